//! One key of each algorithm signs for a domain, and none changes while a mass mail is under way.

use proptest::prelude::*;

use super::*;
use crate::model::words::NodeId;

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn key(domain: &str, selector: &str) -> KeyName {
    let domain = DomainName::parse(domain, &DomainName::root()).unwrap();
    (domain, label(selector))
}

fn person() -> Actor {
    Actor::Operator {
        name: label("petra"),
    }
}

/// Does it as the next entry; a refusal must leave the state as it was, and the state must always be sound.
fn does(state: &mut State, it: MailKeyChange) -> Result<Reply, Refusal> {
    state.index += 1;
    let mut tried = state.clone();
    let result = change(&mut tried, state.index, &person(), &it);
    if result.is_ok() {
        *state = tried;
    }
    assert_eq!(state.check(), Vec::<String>::new());
    result
}

fn add(name: &KeyName, algorithm: Algorithm) -> MailKeyChange {
    MailKeyChange::Add {
        key: name.clone(),
        algorithm,
        public: PublicHalf::new("MIIB").unwrap(),
        private: Sealed {
            key: 1,
            bytes: vec![1; 40],
        },
    }
}

fn generation(state: &State, name: &KeyName) -> u64 {
    state.mail_keys.all.get(name).map_or(0, |it| it.generation)
}

fn uses(state: &mut State, name: &KeyName) -> Result<Reply, Refusal> {
    let against = generation(state, name);
    let key = name.clone();
    does(state, MailKeyChange::Use { key, against })
}

fn rests(state: &mut State, name: &KeyName) -> Result<Reply, Refusal> {
    let against = generation(state, name);
    let key = name.clone();
    does(state, MailKeyChange::Rest { key, against })
}

fn removes(state: &mut State, name: &KeyName) -> Result<Reply, Refusal> {
    let against = generation(state, name);
    let key = name.clone();
    does(state, MailKeyChange::Remove { key, against })
}

fn sign(state: &State, name: &KeyName) -> Vec<String> {
    let all = signing(state, &name.0);
    all.map(|(name, _)| record_name(name)).collect()
}

#[test]
fn a_new_key_does_not_sign_and_a_used_one_takes_the_others_place() {
    let mut state = State::default();
    let (old, new, short) = (
        key("example.net", "old"),
        key("example.net", "new"),
        key("example.net", "short"),
    );
    does(&mut state, add(&old, Algorithm::Rsa)).unwrap();
    assert!(sign(&state, &old).is_empty());
    uses(&mut state, &old).unwrap();
    does(&mut state, add(&short, Algorithm::Ed25519)).unwrap();
    uses(&mut state, &short).unwrap();
    does(&mut state, add(&new, Algorithm::Rsa)).unwrap();
    uses(&mut state, &new).unwrap();
    assert_eq!(
        sign(&state, &old),
        [
            "new._domainkey.example.net.",
            "short._domainkey.example.net."
        ]
    );
    // The one whose place was taken may go; one that signs may not.
    removes(&mut state, &old).unwrap();
    assert!(matches!(
        removes(&mut state, &new),
        Err(Refusal::InUse { .. })
    ));
    rests(&mut state, &new).unwrap();
    removes(&mut state, &new).unwrap();
}

#[test]
fn a_selector_is_never_given_to_another_key() {
    let mut state = State::default();
    let name = key("example.net", "one");
    does(&mut state, add(&name, Algorithm::Rsa)).unwrap();
    let refused = does(&mut state, add(&name, Algorithm::Ed25519)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "selector is one._domainkey.example.net.; wanted a selector that this domain does not have yet"
    );
}

#[test]
fn what_was_looked_at_has_changed() {
    let mut state = State::default();
    let name = key("example.net", "one");
    does(&mut state, add(&name, Algorithm::Rsa)).unwrap();
    let change = MailKeyChange::Use {
        key: name,
        against: 77,
    };
    assert!(matches!(
        does(&mut state, change),
        Err(Refusal::Stale { .. })
    ));
}

#[test]
fn a_node_changes_no_key() {
    let mut state = State::default();
    let it = add(&key("example.net", "one"), Algorithm::Rsa);
    let refused = change(&mut state, 1, &Actor::Node(NodeId(1)), &it);
    assert!(matches!(refused, Err(Refusal::NotAllowed { .. })));
}

proptest! {
    /// Whatever is asked for in whatever order, at most one key of an algorithm signs for a domain. `does` looks.
    #[test]
    fn never_two_of_one_algorithm_sign(steps in prop::collection::vec((0..3_usize, 0..2_usize, 0..4_usize), 0..60)) {
        let mut state = State::default();
        for (selector, domain, deed) in steps {
            let name = key(["a.example", "b.example"][domain], ["one", "two", "three"][selector]);
            let algorithm = Algorithm::ALL[selector % 2];
            let _ = match deed {
                0 => does(&mut state, add(&name, algorithm)),
                1 => uses(&mut state, &name),
                2 => rests(&mut state, &name),
                _ => removes(&mut state, &name),
            };
        }
    }
}
