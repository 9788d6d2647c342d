//! What is wanted is ordered, renewed in time, and shown by nobody else than who is at it.

use imbl::{OrdMap, vector};

use super::{
    change::{Ending, Fresh, change},
    *,
};
use crate::model::{
    Actor, Refusal, Reply,
    words::{Label, NodeId},
};

const DAY: u64 = 24 * 3_600_000;

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn person() -> Actor {
    Actor::Operator {
        name: label("petra"),
    }
}

fn node(id: u64) -> Actor {
    Actor::Node(NodeId(id))
}

/// Does it as the next entry; a refusal must leave the state as it was, and the state must always be sound.
fn does(state: &mut State, actor: &Actor, it: CertificateChange) -> Result<Reply, Refusal> {
    state.index += 1;
    let mut tried = state.clone();
    let result = change(&mut tried, state.index, actor, &it);
    if result.is_ok() {
        *state = tried;
    }
    assert_eq!(state.check(), Vec::<String>::new());
    result
}

fn authority(name: &str, against: u64) -> CertificateChange {
    CertificateChange::SetAuthority {
        authority: label(name),
        facts: AuthorityFacts {
            url: Note::cut(&format!("https://{name}.example/directory")),
            contact: None,
            trust: None,
            binding_id: None,
        },
        binding: None,
        against,
    }
}

fn wanted(hosts: &[&str]) -> Wanted {
    Wanted {
        hosts: hosts.iter().map(|it| Note::cut(it)).collect(),
        authorities: vector![label("first"), label("second")],
    }
}

fn want(hosts: &[&str], against: u64) -> CertificateChange {
    CertificateChange::Want {
        certificate: label("www"),
        wanted: wanted(hosts),
        against,
    }
}

fn story() -> State {
    let mut state = State {
        now: Timestamp(1_000 * DAY),
        ..State::default()
    };
    does(&mut state, &person(), authority("first", 0)).unwrap();
    does(&mut state, &person(), authority("second", 0)).unwrap();
    does(&mut state, &person(), want(&["www.example.net"], 0)).unwrap();
    state
}

fn www(state: &State) -> &Certificate {
    &state.certificates.all[&label("www")]
}

fn lease(state: &mut State, id: u64) -> Result<u64, Refusal> {
    let it = CertificateChange::Lease {
        certificate: label("www"),
        node: NodeId(id),
    };
    does(state, &node(id), it).map(|reply| match reply {
        Reply::Leased { epoch } => epoch,
        other => panic!("{other:?}"),
    })
}

fn settle(state: &mut State, epoch: u64, ending: Ending) -> Result<Reply, Refusal> {
    let it = CertificateChange::Settle {
        certificate: label("www"),
        epoch,
        ending,
    };
    does(state, &node(1), it)
}

fn show(state: &mut State, epoch: u64) -> Result<Reply, Refusal> {
    let it = CertificateChange::Show {
        certificate: label("www"),
        epoch,
        challenges: OrdMap::unit(Note::cut("token"), Note::cut("token.thumb")),
    };
    does(state, &node(1), it)
}

fn good(state: &State, days: u64) -> Ending {
    Ending::Issued(Box::new(Fresh {
        chain: Pem::new("PEM").unwrap(),
        key: Sealed {
            key: 0,
            bytes: vec![1],
        },
        not_before: state.now,
        not_after: state.now.plus_ms(days * DAY),
        by: label("first"),
        hosts: www(state).wanted.hosts.clone(),
    }))
}

fn is_due(state: &State) -> bool {
    due(state, state.now).count() == 1
}

#[test]
fn one_node_orders_and_what_it_shows_goes_with_the_order() {
    let mut state = story();
    assert!(is_due(&state));
    let epoch = lease(&mut state, 1).unwrap();
    assert!(!is_due(&state));
    assert!(matches!(lease(&mut state, 2), Err(Refusal::Leased { .. })));
    show(&mut state, epoch).unwrap();
    assert_eq!(shown(&state, "token").as_deref(), Some("token.thumb"));
    assert_eq!(shown(&state, "other"), None);
    let ending = good(&state, 90);
    settle(&mut state, epoch, ending).unwrap();
    assert_eq!(shown(&state, "token"), None);
    let issued = www(&state).issued.clone().unwrap();
    assert_eq!(issued.index, state.index);
    assert_eq!(www(&state).due, state.now.plus_ms(60 * DAY));
    state.now = state.now.plus_ms(60 * DAY - 1);
    assert!(!is_due(&state));
    state.now = state.now.plus_ms(1);
    assert!(is_due(&state), "a third of its life is left");
}

#[test]
fn an_order_of_a_dead_node_is_begun_anew_and_its_late_words_change_nothing() {
    let mut state = story();
    let dead = lease(&mut state, 1).unwrap();
    show(&mut state, dead).unwrap();
    state.now = state.now.plus_ms(limits::CERTIFICATE_LEASE_MS);
    assert!(is_due(&state));
    let epoch = lease(&mut state, 2).unwrap();
    assert_eq!(
        shown(&state, "token"),
        None,
        "the dead node's order is over"
    );
    let late = good(&state, 90);
    assert_eq!(settle(&mut state, dead, late), Err(Refusal::StaleEpoch));
    assert_eq!(show(&mut state, dead), Err(Refusal::StaleEpoch));
    let ending = good(&state, 90);
    settle(&mut state, epoch, ending).unwrap();
}

#[test]
fn after_a_failure_the_other_authority_is_asked_later_and_what_was_issued_stays() {
    let mut state = story();
    let epoch = lease(&mut state, 1).unwrap();
    let ending = good(&state, 90);
    settle(&mut state, epoch, ending).unwrap();
    state.now = state.now.plus_ms(60 * DAY);
    assert_eq!(www(&state).asks(), Some(&label("first")));
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let epoch = lease(&mut state, 1).unwrap();
        let why = Note::cut("it is closed");
        settle(&mut state, epoch, Ending::Failed(why)).unwrap();
        pauses.push(www(&state).due.ms_since(state.now));
        state.now = www(&state).due;
    }
    assert_eq!(pauses[..2], [120_000, 240_000]);
    assert_eq!(pauses.last(), Some(&limits::CERTIFICATE_RETRY_MS_MAX));
    assert!(www(&state).issued.is_some() && www(&state).trouble.is_some());
    assert_eq!(
        www(&state).asks(),
        Some(&label("first")),
        "after twelve, with two"
    );
}

#[test]
fn other_host_names_are_another_certificate_and_a_lease_does_not_outlive_them() {
    let mut state = story();
    let epoch = lease(&mut state, 1).unwrap();
    let generation = www(&state).generation;
    assert!(matches!(
        does(
            &mut state,
            &person(),
            want(&["other.example.net"], generation + 1)
        ),
        Err(Refusal::Stale { .. })
    ));
    does(
        &mut state,
        &person(),
        want(&["other.example.net"], generation),
    )
    .unwrap();
    let late = good(&state, 90);
    assert_eq!(settle(&mut state, epoch, late), Err(Refusal::StaleEpoch));
    assert!(is_due(&state) && www(&state).issued.is_none());
    // The same names with other authorities keep what there is.
    let epoch = lease(&mut state, 1).unwrap();
    let ending = good(&state, 90);
    settle(&mut state, epoch, ending).unwrap();
    let generation = www(&state).generation;
    does(
        &mut state,
        &person(),
        want(&["other.example.net"], generation),
    )
    .unwrap();
    assert!(!is_due(&state) && www(&state).issued.is_some());
}

#[test]
fn an_account_is_with_one_place() {
    let mut state = story();
    let generation = state.certificates.authorities[&label("first")].generation;
    let account = CertificateChange::Account {
        authority: label("first"),
        against: generation,
        account: Sealed {
            key: 0,
            bytes: vec![2],
        },
    };
    assert!(matches!(
        does(&mut state, &person(), account.clone()),
        Err(Refusal::NotAllowed { .. })
    ));
    does(&mut state, &node(1), account).unwrap();
    let has = |state: &State| {
        state.certificates.authorities[&label("first")]
            .account
            .is_some()
    };
    does(&mut state, &person(), authority("first", generation)).unwrap();
    assert!(has(&state), "the same place");
    let generation = state.certificates.authorities[&label("first")].generation;
    let CertificateChange::SetAuthority { mut facts, .. } = authority("first", 0) else {
        panic!()
    };
    facts.url = Note::cut("https://elsewhere.example/directory");
    let moved = CertificateChange::SetAuthority {
        authority: label("first"),
        facts,
        binding: None,
        against: generation,
    };
    does(&mut state, &person(), moved).unwrap();
    assert!(!has(&state), "another place is another account");
    let used = CertificateChange::RemoveAuthority {
        authority: label("second"),
        against: state.certificates.authorities[&label("second")].generation,
    };
    assert!(matches!(
        does(&mut state, &person(), used),
        Err(Refusal::InUse { .. })
    ));
}
