//! Somebody can always open the vault, each key opens the one before, and no secret is lost on its way into it.

use proptest::prelude::*;

use super::*;
use crate::model::{
    command::Command,
    nodes::{CaRecord, NodeFacts, Profile},
    words::ClusterId,
    {Entry, Proposal, Stamped, proposal::Source, words::ClientId},
};

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn person() -> Actor {
    Actor::Operator {
        name: label("petra"),
    }
}

fn by(key: u32, byte: u8) -> Sealed {
    Sealed {
        key,
        bytes: vec![byte; 40],
    }
}

fn way(kind: WayKind) -> Way {
    Way {
        kind,
        public: vec![1; 32],
        wrapped: vec![2; limits::VAULT_WRAP_BYTES],
    }
}

fn facts(name: &str) -> NodeFacts {
    NodeFacts {
        name: label(name),
        provider: label("a"),
        region: label("eu"),
        advertise: Note::new("198.51.100.7:7400").unwrap(),
        sites: vec![],
        fingerprint: KeyedHash([0; 32]),
        format: 1,
        version: Note::new("0.1.0").unwrap(),
    }
}

fn founded() -> State {
    let mut state = State::default();
    let found = Command::Found {
        cluster: ClusterId([1; 16]),
        name: label("boat"),
        profile: Profile::Near,
        authority: CaRecord {
            certificate: String::new(),
            key: by(1, 0),
        },
        node: facts("n1"),
    };
    let mut proposal = Proposal::of_node(ClientId([9; 16]), NodeId::FOUNDER, found);
    proposal.actor = Actor::System;
    proposal.source = Source {
        door: proposal.source.door,
        address: None,
    };
    let stamped = Stamped {
        at: Timestamp(1_000),
        proposal,
    };
    state.apply(&Entry {
        index: 1,
        stamped: &stamped,
    });
    assert!(state.cluster.is_some());
    state
}

/// Does it as the next entry; the state must always be sound.
fn does(state: &mut State, actor: &Actor, it: VaultChange) -> Result<Reply, Refusal> {
    state.index += 1;
    let mut tried = state.clone();
    let result = change(&mut tried, state.index, actor, &it);
    if result.is_ok() {
        *state = tried;
    }
    assert_eq!(state.check(), Vec::<String>::new());
    result
}

fn found() -> VaultChange {
    VaultChange::Found {
        check: KeyedHash([5; 32]),
        way: (label("words"), way(WayKind::File)),
    }
}

fn add(state: &State, name: &str, kind: WayKind) -> VaultChange {
    VaultChange::AddWay {
        way: (label(name), way(kind)),
        against: state.vault.generation,
    }
}

fn rotate(state: &State, ways: &[&str]) -> VaultChange {
    let wrapped = ways
        .iter()
        .map(|it| (label(it), vec![3; limits::VAULT_WRAP_BYTES]));
    VaultChange::Rotate {
        check: KeyedHash([6; 32]),
        older: by(state.vault.current().unwrap_or(FIRST_KEY) + 1, 4),
        wrapped: wrapped.collect(),
        against: state.vault.generation,
    }
}

#[test]
fn the_first_key_comes_with_a_way_and_trusts_the_nodes_where_they_are() {
    let mut state = founded();
    assert_eq!(state.vault.current(), None);
    assert!(due(&state).is_empty());
    does(&mut state, &person(), found()).unwrap();
    assert_eq!(state.vault.current(), Some(FIRST_KEY));
    let here = &state.nodes[&NodeId::FOUNDER].facts.advertise;
    assert!(state.vault.may_be_handed(NodeId::FOUNDER, here));
    let elsewhere = Note::new("203.0.113.9:7400").unwrap();
    assert!(!state.vault.may_be_handed(NodeId::FOUNDER, &elsewhere));
    let again = does(&mut state, &person(), found()).unwrap_err();
    assert!(matches!(again, Refusal::InUse { .. }), "{again}");
}

/// A thief starts a stolen disk at home: the node says its new address, and gets nothing there.
#[test]
fn a_node_that_moved_is_trusted_again_by_a_person_only() {
    let mut state = founded();
    does(&mut state, &person(), found()).unwrap();
    let moved = Note::new("203.0.113.9:7400").unwrap();
    let node = NodeId::FOUNDER;
    state.nodes.get_mut(&node).unwrap().facts.advertise = moved.clone();
    assert!(!state.vault.may_be_handed(node, &moved));
    let trust = |address: &Note| VaultChange::Trust {
        node,
        address: address.clone(),
    };
    let by_itself = does(&mut state, &Actor::Node(node), trust(&moved));
    assert!(matches!(by_itself, Err(Refusal::NotAllowed { .. })));
    // Who looked at the address before is not believed about the one after.
    let late = does(
        &mut state,
        &person(),
        trust(&Note::new("198.51.100.7:7400").unwrap()),
    );
    assert!(matches!(late, Err(Refusal::Unsound { .. })));
    does(&mut state, &person(), trust(&moved)).unwrap();
    assert!(state.vault.may_be_handed(node, &moved));
}

#[test]
fn a_new_key_ends_the_ways_that_are_not_sealed_for_and_never_the_last() {
    let mut state = founded();
    does(&mut state, &person(), found()).unwrap();
    let stick = add(&state, "stick", WayKind::File);
    does(&mut state, &person(), stick).unwrap();
    let nobody = rotate(&state, &[]);
    let refused = does(&mut state, &person(), nobody).unwrap_err().to_string();
    assert!(
        refused.starts_with("ways is nothing; wanted ways that the vault has"),
        "{refused}"
    );
    let strangers = rotate(&state, &["words", "nobodys"]);
    assert!(does(&mut state, &person(), strangers).is_err());
    let without = rotate(&state, &["words"]);
    does(&mut state, &person(), without.clone()).unwrap();
    assert_eq!(state.vault.current(), Some(FIRST_KEY + 1));
    assert_eq!(
        state.vault.ways.keys().collect::<Vec<_>>(),
        [&label("words")]
    );
    let stale = does(&mut state, &person(), without);
    assert!(matches!(stale, Err(Refusal::Stale { .. })));
    // A key that its successor did not seal would take everything under it along.
    let VaultChange::Rotate {
        check,
        wrapped,
        against,
        ..
    } = rotate(&state, &["words"])
    else {
        unreachable!()
    };
    let lost = VaultChange::Rotate {
        check,
        older: by(FIRST_KEY, 4),
        wrapped,
        against,
    };
    assert!(matches!(
        does(&mut state, &person(), lost),
        Err(Refusal::Unsound { .. })
    ));
}

#[test]
fn a_secret_goes_into_the_vault_once_and_one_that_was_brought_meanwhile_stays() {
    let mut state = founded();
    let node = Actor::Node(NodeId::FOUNDER);
    does(&mut state, &person(), found()).unwrap();
    let all = due(&state);
    let [(secret, context, was)] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(
        (secret, context.as_str()),
        (&Secret::Authority, AUTHORITY_CONTEXT)
    );
    let seal = |was: &Sealed, now: Sealed| VaultChange::Sealed {
        secret: Secret::Authority,
        was: was.clone(),
        now,
    };
    assert!(does(&mut state, &person(), seal(was, by(FIRST_KEY, 1))).is_err());
    assert!(does(&mut state, &node, seal(was, by(1, 1))).is_err());
    assert!(does(&mut state, &node, seal(was, by(FIRST_KEY + 1, 1))).is_err());
    assert!(does(&mut state, &node, seal(&by(1, 9), by(FIRST_KEY, 1))).is_err());
    let generation = state.vault.generation;
    does(&mut state, &node, seal(was, by(FIRST_KEY, 1))).unwrap();
    assert!(due(&state).is_empty());
    // What a person looked at meanwhile is still what they looked at.
    assert_eq!(state.vault.generation, generation);
    let gone = VaultChange::Sealed {
        secret: Secret::Keeper(label("gone")),
        was: by(1, 0),
        now: by(FIRST_KEY, 0),
    };
    assert!(matches!(
        does(&mut state, &node, gone),
        Err(Refusal::Unknown { .. })
    ));
}

#[test]
fn ways_have_their_bounds() {
    let mut state = founded();
    let early = add(&state, "stick", WayKind::File);
    assert!(matches!(
        does(&mut state, &person(), early),
        Err(Refusal::Unknown { .. })
    ));
    does(&mut state, &person(), found()).unwrap();
    let phrase = |memory_kib, passes, bytes| WayKind::Passphrase {
        salt: [0; 16],
        memory_kib,
        passes,
        locked: vec![0; bytes],
    };
    let shares = |needed, made| WayKind::Shares { needed, made };
    for wrong in [
        phrase(1, 3, limits::VAULT_LOCKED_BYTES),
        phrase(
            limits::VAULT_MEMORY_KIB_MAX + 1,
            3,
            limits::VAULT_LOCKED_BYTES,
        ),
        phrase(65_536, 0, limits::VAULT_LOCKED_BYTES),
        phrase(
            65_536,
            limits::VAULT_PASSES_MAX + 1,
            limits::VAULT_LOCKED_BYTES,
        ),
        phrase(65_536, 3, 31),
        shares(1, 3),
        shares(4, 3),
        shares(2, limits::VAULT_SHARES_MAX + 1),
    ] {
        let change = add(&state, "wrong", wrong);
        let refused = does(&mut state, &person(), change);
        assert!(
            matches!(refused, Err(Refusal::Unsound { .. })),
            "{refused:?}"
        );
    }
    for count in 1..limits::VAULT_WAYS_MAX {
        let change = add(&state, &format!("w{count}"), shares(2, 3));
        does(&mut state, &person(), change).unwrap();
    }
    let more = add(&state, "more", WayKind::File);
    assert!(matches!(
        does(&mut state, &person(), more),
        Err(Refusal::TooMany { .. })
    ));
}

proptest! {
    /// Whatever is asked for in whatever order: `does` looks that the vault can be opened and its keys lead to each other.
    #[test]
    fn no_history_leaves_a_vault_that_nobody_opens(steps in prop::collection::vec((0..5_u8, 0..3_usize, 0..3_usize), 0..40)) {
        let mut state = founded();
        let names = ["words", "stick", "people"];
        for (deed, one, other) in steps {
            let change = match deed {
                0 => found(),
                1 => add(&state, names[one], WayKind::File),
                2 => rotate(&state, &names[one.min(other)..=one.max(other)]),
                3 => VaultChange::Trust {
                    node: NodeId::FOUNDER,
                    address: Note::new("198.51.100.7:7400").unwrap(),
                },
                _ => rotate(&state, &[]),
            };
            let before = state.vault.current();
            let _ = does(&mut state, &person(), change);
            prop_assert!(state.vault.current() >= before);
        }
    }
}
