//! The story of signed zones: whatever happens, what is answered says how it is signed, for long enough.

use super::{
    super::super::dns::signing::{self, Parent, SigningChange},
    *,
};
use crate::model::{
    domain::DomainName,
    names::{
        NameChange,
        parent::{self, Answered},
    },
    words::{NodeId, Sealed},
};

const DAY_MS: u64 = 86_400_000;

fn zone() -> DomainName {
    name("example.test")
}

fn change(town: &mut Town, change: impl FnOnce(u64) -> SigningChange) -> Reply {
    let against = town.state.dns.zones[&zone()].generation;
    let command = Command::ChangeSigning {
        zone: zone(),
        change: change(against),
    };
    town.by_hand(command)
}

fn key(number: u8) -> impl FnOnce(u64) -> SigningChange {
    move |against| SigningChange::AddKey {
        public: vec![number; signing::PUBLIC_BYTES],
        secret: Sealed {
            key: 1,
            bytes: vec![number],
        },
        against,
    }
}

/// What is answered is signed, and its signatures outlast whoever may keep it.
fn holds(town: &Town) {
    let live = town.zone();
    let signed = live.signed.as_ref().expect("signed");
    let left = signed.left_s(town.state.now);
    assert!(left >= signing::horizon_s(&live), "{left} s left");
    let keys = &town.state.dns.zones[&zone()].signing.as_ref().unwrap().keys;
    assert!(!signed.keys.is_empty());
    assert!(signed.keys.iter().all(|it| keys.contains_key(it)));
}

#[test]
fn p4_every_change_of_a_signed_zone_is_signed_for_the_horizon() {
    let mut town = Town::with_service();
    assert!(town.zone().signed.is_none());
    let serial = town.zone().serial;
    assert_eq!(change(&mut town, key(1)), Reply::Done);
    assert!(dns::serial_after(town.zone().serial, serial));
    holds(&town);
    let before = town.zone().signed;
    town.all(FALLBACK, Up);
    town.all(PRIMARY, Down);
    assert_eq!(town.answering(), FALLBACK);
    holds(&town);
    assert_eq!(town.zone().signed, before, "all other signatures stay");
    town.pin(PRIMARY, 60_000);
    holds(&town);
    let content = part("example.test", outline(&[], &["ns1.example.test"]), 0);
    assert_eq!(town.publish(content), Reply::Done);
    holds(&town);
}

#[test]
fn p4_over_two_years_signatures_are_made_anew_before_they_are_needed_and_not_all_the_time() {
    let mut town = Town::with_service();
    change(&mut town, key(1));
    let mut refreshed = 0;
    for _ in 0..730 * 4 {
        town.pass(DAY_MS / 4);
        let due: Vec<_> = signing::due(&town.state, town.state.now).collect();
        for zone in due {
            let command = Command::ChangeSigning {
                zone,
                change: SigningChange::Refresh,
            };
            assert_eq!(town.by(Actor::Node(NodeId(1)), command), Reply::Done);
            refreshed += 1;
        }
        holds(&town);
    }
    assert!((20..150).contains(&refreshed), "{refreshed}");
    let again = change(&mut town, |_| SigningChange::Refresh);
    assert!(matches!(again, Reply::Refused(_)), "it is not due");
}

#[test]
fn p4_without_a_majority_for_a_year_every_node_stretches_the_same_signatures() {
    let mut town = Town::with_service();
    change(&mut town, key(1));
    let signed = town.zone().signed.unwrap();
    let mut last = signed.clone();
    for day in 0..365 {
        let now = town.state.now.plus_ms(day * DAY_MS);
        let (stretched, weeks) = signed.stretched(now);
        let left = stretched.left_s(now);
        assert!(left > 2 * 86_400, "day {day}: {left} s left");
        let seconds = (now.0 / 1_000) as u32;
        assert!(
            seconds.wrapping_sub(stretched.inception) < 1 << 31,
            "day {day}: not yet"
        );
        assert_eq!(weeks == 0, stretched == signed);
        assert!(stretched.expiration >= last.expiration);
        last = stretched;
    }
    assert_ne!(last, signed);
}

#[test]
fn a_key_is_rolled_with_both_signing_and_the_old_one_goes_when_all_have_the_new() {
    let mut town = Town::with_service();
    assert!(matches!(
        change(&mut town, |against| SigningChange::DropOldKeys {
            forced: false,
            against
        }),
        Reply::Refused(_)
    ));
    change(&mut town, key(1));
    let first = town.zone().signed.unwrap().keys[0];
    assert_eq!(town.zone().signed.unwrap().parent, Parent::Knows(first));
    assert_eq!(change(&mut town, key(2)), Reply::Done);
    let signed = town.zone().signed.unwrap();
    assert_eq!(signed.keys.len(), 2);
    assert_eq!(signed.parent, Parent::Knows(signed.keys[1]));
    assert!(matches!(
        change(&mut town, key(3)),
        Reply::Refused(Refusal::TooMany { .. })
    ));
    let drop_old = |forced| move |against| SigningChange::DropOldKeys { forced, against };
    let early = change(&mut town, drop_old(false));
    assert!(matches!(early, Reply::Refused(_)), "{early:?}");
    town.pass(3 * DAY_MS);
    let unknown = change(&mut town, drop_old(false));
    assert!(
        matches!(unknown, Reply::Refused(_)),
        "nobody asked the parent"
    );
    parent_names(&mut town, &[first], 0);
    let old = change(&mut town, drop_old(false));
    assert!(
        matches!(old, Reply::Refused(_)),
        "the parent names the old one"
    );
    parent_names(&mut town, &[first, signed.keys[1]], 0);
    let early = change(&mut town, drop_old(false));
    assert!(
        matches!(early, Reply::Refused(_)),
        "resolvers know the old one only"
    );
    town.pass(DS_TTL_S * 1_000);
    parent_names(&mut town, &[first, signed.keys[1]], 0);
    assert_eq!(change(&mut town, drop_old(false)), Reply::Done);
    assert_eq!(town.zone().signed.unwrap().keys, [signed.keys[1]]);
    holds(&town);
}

const DS_TTL_S: u64 = 3_600;

/// A node tells which keys the parent's DS records name, and how many others.
fn parent_names(town: &mut Town, keys: &[u64], others: u32) {
    let heard = NameChange::HeardParent {
        node: NodeId(1),
        zone: zone(),
        answered: Ok(Answered {
            knows: keys.iter().copied().collect(),
            others,
            ttl_s: DS_TTL_S as u32,
        }),
    };
    let node = Actor::Node(NodeId(1));
    assert_eq!(town.by(node, Command::Names(heard)), Reply::Done);
}

#[test]
fn signing_ends_when_the_parent_has_forgotten_the_keys_and_so_has_every_resolver() {
    let mut town = Town::with_service();
    change(&mut town, key(1));
    let first = town.zone().signed.unwrap().keys[0];
    let unsign = |forced| move |against| SigningChange::Unsign { forced, against };
    parent_names(&mut town, &[first], 0);
    assert_eq!(change(&mut town, unsign(false)), Reply::Done);
    let named = change(&mut town, unsign(false));
    assert!(matches!(named, Reply::Refused(_)), "it names the key still");
    parent_names(&mut town, &[], 0);
    let early = change(&mut town, unsign(false));
    assert!(
        matches!(early, Reply::Refused(_)),
        "resolvers know it still"
    );
    town.pass(DS_TTL_S * 1_000);
    town.pass(limits::PARENT_FRESH_MS);
    let old = change(&mut town, unsign(false));
    assert!(matches!(old, Reply::Refused(_)), "nobody has asked since");
    parent_names(&mut town, &[], 0);
    assert_eq!(change(&mut town, unsign(false)), Reply::Done);
    assert!(town.zone().signed.is_none());
}

#[test]
fn a_parent_that_names_no_key_that_signs_breaks_the_chain_and_one_that_does_nothing_waits() {
    let mut town = Town::with_service();
    change(&mut town, key(1));
    let first = town.zone().signed.unwrap().keys[0];
    let looks = |town: &Town| {
        let (agreed, parent) = (
            &town.state.dns.zones[&zone()],
            &town.state.names.parents[&zone()],
        );
        let signing = agreed.signing.as_ref().unwrap();
        let waits = parent::is_waiting(signing, parent, town.state.now).is_some();
        (parent::is_broken(agreed, parent), waits)
    };
    parent_names(&mut town, &[], 0);
    assert_eq!(looks(&town), (false, false), "not validated at all");
    parent_names(&mut town, &[], 1);
    assert_eq!(looks(&town), (true, false));
    parent_names(&mut town, &[first], 1);
    assert_eq!(looks(&town), (false, false));
    change(&mut town, key(2));
    town.pass(limits::PARENT_WAITS_MS);
    assert_eq!(looks(&town), (false, true));
}

#[test]
fn signing_ends_by_asking_the_parent_and_then_by_force() {
    let mut town = Town::with_service();
    change(&mut town, key(1));
    let unsign = |forced| move |against| SigningChange::Unsign { forced, against };
    assert_eq!(change(&mut town, unsign(false)), Reply::Done);
    assert_eq!(town.zone().signed.unwrap().parent, Parent::Forgets);
    holds(&town);
    let unknown = change(&mut town, unsign(false));
    assert!(
        matches!(unknown, Reply::Refused(_)),
        "nobody asked the parent"
    );
    assert_eq!(change(&mut town, unsign(true)), Reply::Done);
    assert!(town.zone().signed.is_none());
    assert!(town.state.dns.zones[&zone()].live.is_some());
}

#[test]
fn a_change_of_signing_made_against_an_old_generation_is_refused() {
    let mut town = Town::with_service();
    change(&mut town, key(1));
    let stale = change(&mut town, |against| key(2)(against - 1));
    assert!(matches!(stale, Reply::Refused(Refusal::Stale { .. })));
    let short = change(&mut town, |against| SigningChange::AddKey {
        public: vec![1; 63],
        secret: Sealed {
            key: 1,
            bytes: vec![],
        },
        against,
    });
    assert!(matches!(short, Reply::Refused(_)));
}
