//! The story of services and zones, told with entries and replies.

mod chance;
mod resort;
mod signed;
pub(crate) mod town;

use super::{AllDown, Answering, Failback, Mode, Stay, Verdict, verdict};
use crate::model::{
    Actor, Command, Refusal, Reply, dns,
    domain::{DomainName, RrType},
    health::Opinion::{Down, Unknown, Up},
    limits,
    words::{BlobHash, Label, Note, Timestamp},
};
use town::{FALLBACK, PRIMARY, Town, WWW, label, name, outline, part, records, targets};

#[test]
fn a_dead_primary_is_left_once_a_majority_of_two_providers_says_so() {
    let mut town = Town::with_service();
    let serial = town.zone().serial;
    town.all(FALLBACK, Up);
    town.vote(1, PRIMARY, Down);
    assert_eq!(town.answering(), PRIMARY, "one vote of three");
    town.vote(2, PRIMARY, Down);
    assert_eq!(
        town.answering(),
        FALLBACK,
        "decided in the entry of the vote"
    );
    let switched = town.service().history.back().unwrap().clone();
    assert!(switched.by_verdict);
    assert_eq!(
        switched.why.as_str(),
        "primary is down by 2 of 3 voters at 2 providers; fallback is up by 3"
    );
    let zone = town.zone();
    assert!(dns::serial_after(zone.serial, serial));
    assert_eq!(
        zone.over[&(name(WWW), RrType::A)],
        records("192.0.2.2", 60)[0]
    );
    assert_eq!(zone.choices[&label("www")], Answering::One(label(FALLBACK)));
}

#[test]
fn p5_votes_of_one_provider_switch_nothing_unless_the_service_allows_it() {
    let mut town = Town::of_providers(&["p1", "p1", "p1"]);
    town.add_service();
    town.all(FALLBACK, Up);
    town.all(PRIMARY, Down);
    assert_eq!(town.answering(), PRIMARY);
    town.change(|_, policy| policy.allow_single_provider = true);
    town.all(PRIMARY, Down);
    assert_eq!(town.answering(), FALLBACK);
}

#[test]
fn p5_whoever_is_silent_or_unsure_is_not_against_the_target() {
    let mut town = Town::with_service();
    town.all(FALLBACK, Up);
    town.vote(1, PRIMARY, Down);
    town.pass(limits::VOTE_SILENT_MS);
    town.vote(2, PRIMARY, Down);
    town.vote(3, PRIMARY, Unknown);
    town.all(FALLBACK, Up);
    assert_eq!(town.answering(), PRIMARY, "the first vote has gone silent");
    town.vote(1, PRIMARY, Down);
    assert_eq!(town.answering(), FALLBACK);
}

#[test]
fn p5_a_persons_pin_beats_the_verdict_until_it_ends_and_is_undone_in_one_step() {
    let mut town = Town::with_service();
    town.all(FALLBACK, Up);
    assert_eq!(town.pin(PRIMARY, 60_000), Reply::Done);
    town.all(PRIMARY, Down);
    assert_eq!(town.answering(), PRIMARY);
    assert_eq!(town.verdict(), Verdict::Stay(Stay::Pinned));
    town.pass(30_000);
    town.all(FALLBACK, Up);
    town.all(PRIMARY, Down);
    town.pass(30_000);
    assert!(
        matches!(town.verdict(), Verdict::Switch { .. }),
        "it has ended"
    );
    assert_eq!(town.judge(), Reply::Done);
    assert_eq!(town.answering(), FALLBACK);
    assert_eq!(town.undo(), Reply::Done);
    assert_eq!(town.answering(), PRIMARY);
    let pin = town.service().pin.clone().unwrap();
    assert_eq!(pin.expires, town.state.now.plus_ms(limits::PIN_MS_DEFAULT));
    town.all(PRIMARY, Down);
    assert_eq!(
        town.answering(),
        PRIMARY,
        "or the verdict would repeat itself"
    );
    assert_eq!(town.undo(), Reply::Done);
    assert_eq!(town.answering(), FALLBACK);
    assert_eq!(town.service().pin, None);
}

#[test]
fn a_switch_by_hand_is_undone_to_what_was_before_with_its_pin() {
    let mut town = Town::with_service();
    town.pin(PRIMARY, 600_000);
    let first = town.service().pin.clone();
    town.pin(FALLBACK, 600_000);
    assert_eq!(town.answering(), FALLBACK);
    town.undo();
    assert_eq!(
        (town.answering(), town.service().pin.clone()),
        (PRIMARY.to_owned(), first)
    );
    assert_eq!(town.unpin(), Reply::Done);
    assert_eq!(town.service().pin, None);
    assert_eq!(town.unpin(), Reply::Refused(Refusal::unknown("pin")));
}

#[test]
fn a_pin_needs_a_reason_and_an_end() {
    let mut town = Town::with_service();
    let pin = |town: &Town, reason: &str, ttl_ms| Command::PinService {
        service: label("www"),
        target: label(FALLBACK),
        reason: Note::new(reason).unwrap(),
        ttl_ms,
        against: town.service().generation,
    };
    let command = pin(&town, " ", 60_000);
    assert!(
        matches!(town.by_hand(command), Reply::Refused(Refusal::Unsound { field, .. }) if field == "reason")
    );
    for ttl in [0, limits::PIN_MS.1 + 1] {
        let command = pin(&town, "why", ttl);
        assert!(
            matches!(town.by_hand(command), Reply::Refused(Refusal::Unsound { field, .. }) if field == "for")
        );
    }
}

#[test]
fn what_was_made_against_an_older_state_is_refused() {
    let mut town = Town::with_service();
    let against = town.service().generation;
    town.pin(FALLBACK, 60_000);
    let late = Command::PinService {
        service: label("www"),
        target: label(PRIMARY),
        reason: Note::new("an old plan").unwrap(),
        ttl_ms: 60_000,
        against,
    };
    assert!(matches!(
        town.by_hand(late),
        Reply::Refused(Refusal::Stale { .. })
    ));
    let late = Command::PublishZones {
        blob: BlobHash([1; 32]),
        size: 100,
        zones: vec![part("example.test", outline(&[], &["ns1.example.test"]), 0)],
        note: Note::default(),
    };
    assert!(matches!(
        town.by_hand(late),
        Reply::Refused(Refusal::Stale { .. })
    ));
    assert_eq!(town.answering(), FALLBACK);
}

#[test]
fn p5_flapping_is_damped_and_ends_at_the_fallback() {
    let mut town = Town::with_service();
    town.change(|_, policy| {
        policy.dwell_ms = 1_000;
        policy.switches_per_hour = 60;
        policy.failback = Failback::After { hold_ms: 1_000 };
    });
    let mut switches = Vec::new();
    for _ in 0..40 {
        for opinion in [Down, Up] {
            town.all(FALLBACK, Up);
            town.all(PRIMARY, opinion);
            town.pass(1_500);
            town.judge();
        }
        switches.push(town.service().history.len());
    }
    assert_eq!(*switches.last().unwrap(), 3, "{switches:?}");
    assert_eq!(town.answering(), FALLBACK);
    town.all(PRIMARY, Up);
    town.pass(1_500);
    assert_eq!(town.verdict(), Verdict::Stay(Stay::Damped));
    town.pass(2 * limits::PENALTY_HALF_MS);
    town.all(FALLBACK, Up);
    town.all(PRIMARY, Up);
    town.pass(1_500);
    assert_eq!(town.judge(), Reply::Done);
    assert_eq!(town.answering(), PRIMARY);
}

#[test]
fn p5_a_second_switch_waits_for_its_dwell_time() {
    let mut town = Town::with_service();
    town.all(FALLBACK, Up);
    town.all(PRIMARY, Down);
    assert_eq!(town.answering(), FALLBACK);
    let until = town.state.now.plus_ms(120_000);
    town.all(PRIMARY, Up);
    town.all(FALLBACK, Down);
    assert!(matches!(town.verdict(), Verdict::Stay(Stay::Dwell { until: it }) if it.0 <= until.0));
    while town.state.now < until {
        town.pass(20_000);
        town.all(PRIMARY, Up);
        town.all(FALLBACK, Down);
    }
    assert_eq!(town.answering(), PRIMARY);
}

#[test]
fn a_service_returns_by_itself_only_when_told_to_and_after_its_hold() {
    let mut town = Town::with_service();
    town.all(FALLBACK, Up);
    town.all(PRIMARY, Down);
    town.all(PRIMARY, Up);
    town.pass(400_000);
    town.all(FALLBACK, Up);
    town.all(PRIMARY, Up);
    assert_eq!(town.verdict(), Verdict::Stay(Stay::Well), "by hand");
    town.change(|_, policy| policy.failback = Failback::After { hold_ms: 45_000 });
    for _ in 0..3 {
        town.all(PRIMARY, Up);
        town.all(FALLBACK, Up);
        assert_eq!(town.answering(), FALLBACK);
        town.pass(15_000);
    }
    town.all(PRIMARY, Up);
    assert_eq!(town.answering(), PRIMARY);
}

#[test]
fn when_all_are_down_the_service_does_what_it_was_told_and_never_nothing() {
    for (all_down, answers) in [
        (AllDown::Hold, Answering::One(label(PRIMARY))),
        (AllDown::Primary, Answering::One(label(PRIMARY))),
        (AllDown::Fallback, Answering::One(label(FALLBACK))),
        (AllDown::All, Answering::All),
    ] {
        let mut town = Town::with_service();
        town.change(|_, policy| policy.all_down = all_down);
        town.all(FALLBACK, Down);
        town.all(PRIMARY, Down);
        assert_eq!(town.service().answering, answers, "{all_down:?}");
    }
    let mut town = Town::with_service();
    town.change(|_, policy| policy.all_down = AllDown::All);
    town.all(FALLBACK, Down);
    town.all(PRIMARY, Down);
    let set = &town.zone().over[&(name(WWW), RrType::A)];
    assert_eq!(set.rdata.len(), 2);
    town.pass(120_000);
    town.all(FALLBACK, Up);
    assert_eq!(town.answering(), FALLBACK, "the first that works ends it");
}

#[test]
fn a_fallback_that_nobody_knows_to_work_is_not_switched_to() {
    let mut town = Town::with_service();
    town.all(PRIMARY, Down);
    assert_eq!(town.verdict(), Verdict::Stay(Stay::NothingReady));
    town.change(|_, policy| policy.require_ready = false);
    town.all(PRIMARY, Down);
    assert_eq!(town.answering(), FALLBACK);
}

#[test]
fn p7_after_a_restore_nothing_switches_before_a_person_releases_it() {
    let mut town = Town::with_service();
    town.state.cluster.as_mut().unwrap().generation += 1;
    town.all(FALLBACK, Up);
    town.all(PRIMARY, Down);
    assert_eq!(town.verdict(), Verdict::Stay(Stay::Held));
    assert_eq!(town.pin(FALLBACK, 60_000), Reply::Done, "people may");
    town.unpin();
    town.pin(PRIMARY, 60_000);
    town.unpin();
    assert_eq!(town.by_hand(Command::ReleaseSwitching), Reply::Done);
    assert_eq!(town.judge(), Reply::Done);
    assert_eq!(town.answering(), FALLBACK);
}

#[test]
fn frozen_advised_and_manual_services_are_left_to_people() {
    let mut town = Town::with_service();
    let freeze = Command::FreezeSwitching {
        reason: Note::new("work on the network").unwrap(),
        ttl_ms: 30_000,
    };
    assert_eq!(town.by_hand(freeze), Reply::Done);
    town.all(FALLBACK, Up);
    town.all(PRIMARY, Down);
    assert_eq!(town.verdict(), Verdict::Stay(Stay::Frozen));
    assert_eq!(town.by_hand(Command::ThawSwitching), Reply::Done);
    town.change(|_, policy| policy.mode = Mode::Advise);
    town.all(PRIMARY, Down);
    assert!(matches!(town.verdict(), Verdict::Advise { .. }));
    assert_eq!(town.judge(), Reply::Refused(Refusal::NotDue));
    town.change(|_, policy| policy.mode = Mode::Manual);
    assert_eq!(town.verdict(), Verdict::Stay(Stay::Manual));
    assert_eq!(town.answering(), PRIMARY);
}

#[test]
fn a_node_votes_for_itself_only_and_an_old_round_is_refused() {
    let mut town = Town::with_service();
    let ballot = |round| Command::Vote {
        node: crate::model::words::NodeId(1),
        incarnation: 1,
        round,
        ballots: vec![],
    };
    let other = Actor::Node(crate::model::words::NodeId(2));
    assert!(matches!(
        town.by(other, ballot(900)),
        Reply::Refused(Refusal::NotAllowed { .. })
    ));
    let own = Actor::Node(crate::model::words::NodeId(1));
    assert_eq!(town.by(own.clone(), ballot(900)), Reply::Done);
    assert_eq!(
        town.by(own, ballot(900)),
        Reply::Refused(Refusal::StaleEpoch)
    );
}

#[test]
fn a_restless_service_has_the_short_lifetime_until_it_has_been_calm() {
    let mut town = Town::with_service();
    town.change(|_, policy| policy.ttl_restless_s = Some(20));
    let ttl = |town: &Town| town.zone().over[&(name(WWW), RrType::A)].ttl;
    assert_eq!(ttl(&town), 60);
    town.vote(1, PRIMARY, Down);
    assert_eq!(ttl(&town), 20);
    town.vote(1, PRIMARY, Up);
    assert_eq!(ttl(&town), 20);
    town.pass(limits::RESTLESS_MS);
    town.vote(1, PRIMARY, Up);
    assert_eq!(ttl(&town), 60);
}

#[test]
fn p4_a_bound_name_is_no_name_servers_and_is_not_handed_to_others() {
    let mut town = Town::with_service();
    let zone = |cuts: &[&str], servers: &[&str]| part("example.test", outline(cuts, servers), 0);
    for (zone, why) in [
        (zone(&[WWW], &["ns1.example.test"]), "handed to others"),
        (zone(&[], &[WWW]), "NS record that points"),
        (
            part(WWW, outline(&[], &["ns1.example.test"]), 0),
            "a new zone over",
        ),
    ] {
        let Reply::Refused(Refusal::Unsound { field, found, .. }) = town.publish(zone) else {
            panic!("{why}")
        };
        assert!(field.starts_with("zones."), "{field}");
        assert!(found.contains(why), "{found}");
    }
    for (owner, rtype, why) in [
        ("ns1.example.test", RrType::A, "a name server's name"),
        ("x.cut.example.test", RrType::A, "hands to others"),
        ("www.other.test", RrType::A, "www.other.test"),
        ("example.test", RrType::SOA, "SOA"),
        ("example.test", RrType::NS, "NS"),
        ("example.test", RrType::CNAME, "a CNAME at"),
        (WWW, RrType::A, "belongs to the service www"),
        (WWW, RrType::CNAME, "belongs to the service www"),
    ] {
        let (targets, policy) = targets(owner, rtype);
        let command = Command::ApplyService {
            service: label("other"),
            targets,
            policy,
            against: 0,
        };
        let Reply::Refused(Refusal::Unsound { field, found, .. }) = town.by_hand(command) else {
            panic!("{owner} {rtype}")
        };
        assert!(field.starts_with("targets."), "{field}");
        assert!(found.contains(why), "{owner} {rtype}: {found}");
    }
}

#[test]
fn p4_a_service_with_an_empty_or_unequal_target_is_refused_by_field() {
    let mut town = Town::with_service();
    let mut refused = |change: &dyn Fn(&mut imbl::OrdMap<Label, super::Target>)| {
        let mut targets = town.service().targets.clone();
        change(&mut targets);
        let command = Command::ApplyService {
            service: label("www"),
            targets,
            policy: town.service().policy.clone(),
            against: town.service().generation,
        };
        match town.by_hand(command) {
            Reply::Refused(Refusal::Unsound { field, found, .. }) => format!("{field}: {found}"),
            other => panic!("{other:?}"),
        }
    };
    let empty = refused(&|it| it[&label(PRIMARY)].records[0].rdata.clear());
    assert_eq!(
        empty,
        "targets.primary.records: www.example.test. A without data"
    );
    let none = refused(&|it| it[&label(PRIMARY)].records.clear());
    assert_eq!(none, "targets.primary.records: 0");
    let unequal = refused(&|it| it[&label(PRIMARY)].records[0].name = name("w.example.test"));
    assert!(
        unequal.contains("in only one of fallback and this"),
        "{unequal}"
    );
}

#[test]
fn p4_taking_a_service_away_leaves_its_names_answered_and_a_zone_with_services_stays() {
    let mut town = Town::with_service();
    town.pin(FALLBACK, 60_000);
    let remove_zone = |town: &Town| Command::RemoveZone {
        zone: name("example.test"),
        against: town.state.dns.zones[&name("example.test")].generation,
    };
    let command = remove_zone(&town);
    assert!(matches!(
        town.by_hand(command),
        Reply::Refused(Refusal::InUse { .. })
    ));
    let remove = Command::RemoveService {
        service: label("www"),
        against: town.service().generation,
    };
    assert_eq!(town.by_hand(remove), Reply::Done);
    assert_eq!(
        town.zone().over[&(name(WWW), RrType::A)],
        records("192.0.2.2", 60)[0]
    );
    let command = remove_zone(&town);
    assert_eq!(town.by_hand(command), Reply::Done);
    assert!(town.state.dns.zones.is_empty());
}

#[test]
fn p4_a_content_that_too_few_hold_changes_nothing_and_a_switch_does_not_wait_for_it() {
    let mut town = Town::with_service();
    let before = town.zone().edition.generation;
    let against = town.state.dns.zones[&name("example.test")].generation;
    let publish = Command::PublishZones {
        blob: BlobHash([9; 32]),
        size: 100,
        zones: vec![part(
            "example.test",
            outline(&[], &["ns1.example.test"]),
            against,
        )],
        note: Note::default(),
    };
    assert_eq!(town.by_hand(publish), Reply::Done);
    town.hold(1, 9);
    assert_eq!(town.zone().edition.generation, before);
    town.pin(FALLBACK, 60_000);
    let zone = town.zone();
    assert_eq!(zone.edition.generation, before);
    assert_eq!(
        zone.over[&(name(WWW), RrType::A)],
        records("192.0.2.2", 60)[0]
    );
    let serial = zone.serial;
    town.hold(2, 9);
    let zone = town.zone();
    assert!(zone.edition.generation > before && dns::serial_after(zone.serial, serial));
    assert_eq!(
        zone.over[&(name(WWW), RrType::A)],
        records("192.0.2.2", 60)[0]
    );
    let back = Command::RollbackZone {
        zone: name("example.test"),
        edition: before,
        against: town.state.dns.zones[&name("example.test")].generation,
    };
    assert_eq!(town.by_hand(back), Reply::Done);
    assert_eq!(town.zone().edition.part.blob, BlobHash([1; 32]));
}

#[test]
fn a_zone_taken_over_goes_on_from_the_higher_of_time_and_its_old_serial() {
    let now = Timestamp(1_795_000_000_000);
    assert_eq!(dns::publish::next_serial(None, 5, now), 1_795_000_000);
    assert_eq!(
        dns::publish::next_serial(None, 2_026_112_601, now),
        2_026_112_601
    );
    assert_eq!(
        dns::publish::next_serial(Some(2_026_112_601), 2_026_112_601, now),
        2_026_112_602
    );
    assert_eq!(
        dns::publish::next_serial(Some(u32::MAX), 1, now),
        1_795_000_000
    );
    assert_eq!(
        verdict(&crate::model::State::default(), &label("no"), now),
        None
    );
    let _: DomainName = name("example.test");
}
