//! Updates in their wire form against a zone's sets: conditions, what may be touched, changes, and their codes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    apply::{Sets, Tally, Zone},
    message::{NOTZONE, NXRRSET, Update, YXRRSET},
};
use crate::{
    dns::{
        message::{Query, Rcode, Unreadable},
        zone::file,
    },
    model::{
        domain::{DomainName, RrSet, RrType},
        limits::UPDATE_RECORDS_MAX,
        names::updates::Rule,
    },
};

const APEX: &str = "example.test";
const ZONE: &str = "$TTL 300
@ SOA ns1 host 1 900 300 1209600 300
@ NS ns1
ns1 A 192.0.2.53
www 60 A 192.0.2.80
alias CNAME www
txt TXT \"one\"
txt TXT \"two\"
deep.empty TXT \"below\"
";

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn sets(text: &str) -> Sets {
    let read = file::read(text.as_bytes(), &name(APEX));
    assert!(read.mistakes.is_empty(), "{:?}", read.mistakes);
    let sets = read.rrsets.into_iter();
    sets.map(|it| ((it.name.clone(), it.rtype), it)).collect()
}

/// One record of a section: name, type, class, lifetime, and data as a zone file has it.
type Line<'l> = (&'l str, RrType, u16, u32, &'l str);

const IN: u16 = 1;
const NONE: u16 = 254;
const ANY: u16 = 255;
const ALL: RrType = RrType(255);

fn wire(owner: &str, rtype: RrType, data: &str) -> Vec<u8> {
    if data.is_empty() {
        return Vec::new();
    }
    let text = format!("$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\n{owner}. {rtype} {data}\n");
    let read = file::read(text.as_bytes(), &name(APEX));
    let owner = name(owner);
    let set = read
        .rrsets
        .into_iter()
        .find(|it| it.name == owner && it.rtype == rtype);
    set.expect("a record").rdata[0].as_wire().to_vec()
}

fn message(conditions: &[Line<'_>], changes: &[Line<'_>]) -> Vec<u8> {
    let mut out = vec![0, 7, 5 << 3, 0, 0, 1];
    out.extend((conditions.len() as u16).to_be_bytes());
    out.extend((changes.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend_from_slice(name(APEX).as_wire());
    out.extend([0, 6, 0, 1]);
    for (owner, rtype, class, ttl, data) in conditions.iter().chain(changes) {
        let data = wire(owner, *rtype, data);
        out.extend_from_slice(name(owner).as_wire());
        out.extend(rtype.0.to_be_bytes());
        out.extend(class.to_be_bytes());
        out.extend(ttl.to_be_bytes());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    out
}

fn read(message: &[u8]) -> Result<Update, Rcode> {
    match Query::read(message) {
        Ok(query) => Update::read(message, &query),
        Err(Unreadable::Refuse { rcode, .. }) => Err(rcode),
        Err(other) => panic!("{other:?}"),
    }
}

/// A rule that lets everything of the zone be changed.
fn everything() -> Rule {
    Rule {
        below: [name(APEX)].into_iter().collect(),
        ..Rule::default()
    }
}

fn run(
    over: &str,
    rule: &Rule,
    conditions: &[Line<'_>],
    changes: &[Line<'_>],
) -> Result<(Sets, Tally), Rcode> {
    let content = sets(ZONE);
    let mut answered = content.clone();
    let mut switched = BTreeSet::new();
    if !over.is_empty() {
        let key = (name(over), RrType::A);
        let mut set: RrSet = content[&(name("ns1.example.test"), RrType::A)].clone();
        set.name = key.0.clone();
        answered.insert(key.clone(), set);
        switched.insert(key);
    }
    let apex = name(APEX);
    let zone = Zone {
        apex: &apex,
        content,
        over: switched,
        answered: &answered,
    };
    zone.update(&read(&message(conditions, changes))?, rule)
}

fn code(conditions: &[Line<'_>]) -> Rcode {
    let add = ("new.example.test", RrType::TXT, IN, 5, "\"x\"");
    match run("", &everything(), conditions, &[add]) {
        Ok(_) => Rcode::NOERROR,
        Err(code) => code,
    }
}

#[test]
fn every_condition_of_the_rfc_has_its_code() {
    for (line, wanted) in [
        (("www.example.test", ALL, ANY, 0, ""), Rcode::NOERROR),
        (("none.example.test", ALL, ANY, 0, ""), Rcode::NXDOMAIN),
        // A name that only has names below it has no records.
        (("empty.example.test", ALL, ANY, 0, ""), Rcode::NXDOMAIN),
        (("none.example.test", ALL, NONE, 0, ""), Rcode::NOERROR),
        (("www.example.test", ALL, NONE, 0, ""), Rcode::YXDOMAIN),
        (("www.example.test", RrType::A, ANY, 0, ""), Rcode::NOERROR),
        (("www.example.test", RrType::AAAA, ANY, 0, ""), NXRRSET),
        (
            ("www.example.test", RrType::AAAA, NONE, 0, ""),
            Rcode::NOERROR,
        ),
        (("www.example.test", RrType::A, NONE, 0, ""), YXRRSET),
        (
            ("www.example.test", RrType::A, IN, 0, "192.0.2.80"),
            Rcode::NOERROR,
        ),
        (
            ("www.example.test", RrType::A, IN, 0, "192.0.2.81"),
            NXRRSET,
        ),
        // A part of a set is not the set.
        (("txt.example.test", RrType::TXT, IN, 0, "\"one\""), NXRRSET),
        (
            (
                "alias.example.test",
                RrType::CNAME,
                IN,
                0,
                "WWW.example.test.",
            ),
            Rcode::NOERROR,
        ),
        (("www.example.test", RrType::A, ANY, 1, ""), Rcode::FORMERR),
        (
            ("www.example.test", RrType::A, ANY, 0, "192.0.2.80"),
            Rcode::FORMERR,
        ),
        (("www.example.test", RrType::A, 3, 0, ""), Rcode::FORMERR),
        (("www.example.test", ALL, IN, 0, ""), Rcode::FORMERR),
        (("www.example.org", ALL, ANY, 0, ""), NOTZONE),
    ] {
        assert_eq!(code(&[line]), wanted, "{line:?}");
    }
    let both = [
        ("txt.example.test", RrType::TXT, IN, 0, "\"two\""),
        ("txt.example.test", RrType::TXT, IN, 0, "\"one\""),
    ];
    assert_eq!(code(&both), Rcode::NOERROR);
}

#[test]
fn changes_do_what_the_rfc_says_and_leave_the_zone_whole() {
    let txt = |data| ("txt.example.test", RrType::TXT, IN, 9, data);
    let run = |changes: &[Line<'_>]| run("", &everything(), &[], changes).unwrap();
    let (after, tally) = run(&[txt("\"three\""), txt("\"one\"")]);
    let set = &after[&(name("txt.example.test"), RrType::TXT)];
    assert_eq!(
        (set.rdata.len(), set.ttl),
        (3, 9),
        "no record twice, the newest lifetime"
    );
    assert_eq!(
        tally,
        Tally {
            changed: 1,
            ..Tally::default()
        }
    );
    // An alias and anything else do not go together; what came second is passed over.
    let (after, tally) = run(&[
        ("alias.example.test", RrType::A, IN, 9, "192.0.2.1"),
        ("www.example.test", RrType::CNAME, IN, 9, "x.example.test."),
    ]);
    assert_eq!((after.len(), tally), (sets(ZONE).len(), Tally::default()));
    let (after, _) = run(&[(
        "alias.example.test",
        RrType::CNAME,
        IN,
        9,
        "ns1.example.test.",
    )]);
    assert_eq!(
        after[&(name("alias.example.test"), RrType::CNAME)]
            .rdata
            .len(),
        1
    );
    let (after, tally) = run(&[
        ("txt.example.test", RrType::TXT, NONE, 0, "\"one\""),
        ("txt.example.test", RrType::TXT, NONE, 0, "\"two\""),
        ("www.example.test", RrType::A, ANY, 0, ""),
        ("deep.empty.example.test", ALL, ANY, 0, ""),
    ]);
    assert_eq!(tally.removed, 3);
    assert_eq!(after.len(), sets(ZONE).len() - 3);
    let (_, tally) = run(&[("none.example.test", ALL, ANY, 0, "")]);
    assert!(tally.is_empty());
    // Everything at the zone's own name: its SOA and NS stay.
    let (after, tally) = run(&[(APEX, ALL, ANY, 0, "")]);
    assert!(after.contains_key(&(name(APEX), RrType::SOA)) && tally.is_empty());
}

#[test]
fn p5_an_update_never_touches_what_a_service_answers_nor_what_is_ours() {
    let refused = |over: &str, rule: &Rule, line: Line<'_>| {
        assert_eq!(
            run(over, rule, &[], &[line]).unwrap_err(),
            Rcode::REFUSED,
            "{line:?}"
        );
    };
    let all = everything();
    for line in [
        ("www.example.test", RrType::A, IN, 9, "192.0.2.1"),
        ("www.example.test", RrType::A, ANY, 0, ""),
        ("www.example.test", RrType::A, NONE, 0, "192.0.2.80"),
        ("www.example.test", ALL, ANY, 0, ""),
        ("www.example.test", RrType::CNAME, IN, 9, "x.example.test."),
    ] {
        refused("www.example.test", &all, line);
    }
    let beside = ("www.example.test", RrType::TXT, IN, 9, "\"beside\"");
    assert!(run("www.example.test", &all, &[], &[beside]).is_ok());
    for line in [
        (APEX, RrType::NS, IN, 9, "elsewhere.test."),
        (APEX, RrType::NS, ANY, 0, ""),
        (APEX, RrType::SOA, ANY, 0, ""),
        (APEX, RrType::DNSKEY, ANY, 0, ""),
        ("www.example.test", RrType::RRSIG, ANY, 0, ""),
    ] {
        refused("", &all, line);
    }
}

#[test]
fn a_key_changes_the_names_and_types_of_its_rule_and_nothing_else() {
    let rule = Rule {
        names: [name("_acme-challenge.example.test")].into_iter().collect(),
        below: [name("dyn.example.test")].into_iter().collect(),
        types: [RrType::TXT].into_iter().collect(),
    };
    let may = |owner: &'static str, rtype, class, data| {
        let ttl = if class == IN { 9 } else { 0 };
        run("", &rule, &[], &[(owner, rtype, class, ttl, data)]).is_ok()
    };
    assert!(may(
        "_acme-challenge.example.test",
        RrType::TXT,
        IN,
        "\"x\""
    ));
    assert!(may("_acme-challenge.example.test", RrType::TXT, ANY, ""));
    assert!(may("a.b.dyn.example.test", RrType::TXT, IN, "\"x\""));
    assert!(!may(
        "a._acme-challenge.example.test",
        RrType::TXT,
        IN,
        "\"x\""
    ));
    assert!(!may(
        "_acme-challenge.example.test",
        RrType::A,
        IN,
        "192.0.2.1"
    ));
    assert!(
        !may("_acme-challenge.example.test", ALL, ANY, ""),
        "all types"
    );
    assert!(!may("txt.example.test", RrType::TXT, IN, "\"x\""));
    // One change that it may not makes nothing of the whole.
    let good = ("dyn.example.test", RrType::TXT, IN, 9, "\"x\"");
    let bad = ("txt.example.test", RrType::TXT, IN, 9, "\"x\"");
    assert_eq!(
        run("", &rule, &[], &[good, bad]).unwrap_err(),
        Rcode::REFUSED
    );
}

#[test]
fn broken_and_endless_updates_have_their_codes() {
    let add = ("new.example.test", RrType::TXT, IN, 9, "\"x\"");
    assert!(read(&message(&[], &[add; UPDATE_RECORDS_MAX])).is_ok());
    let many = read(&message(&[], &[add; UPDATE_RECORDS_MAX + 1]));
    assert_eq!(many.unwrap_err(), Rcode::REFUSED);
    for line in [
        ("new.example.test", RrType::TXT, IN, 9, ""),
        ("new.example.test", RrType::TXT, IN, 1 << 31, "\"x\""),
        ("new.example.test", RrType::TXT, ANY, 9, ""),
        ("new.example.test", RrType::TXT, NONE, 0, ""),
        ("new.example.test", ALL, NONE, 0, ""),
        ("new.example.test", RrType(41), ANY, 0, ""),
        ("new.example.test", RrType(250), ANY, 0, ""),
    ] {
        assert_eq!(
            read(&message(&[], &[line])).unwrap_err(),
            Rcode::FORMERR,
            "{line:?}"
        );
    }
}

proptest! {
    /// Whatever bytes stand in its sections, an update is read or refused, and what it makes has its SOA and NS records.
    #[test]
    fn p10_no_bytes_make_an_update_panic_or_a_zone_without_its_own_records(
        counts in (0_u16..4, 0_u16..4),
        rest in proptest::collection::vec(any::<u8>(), 0..200),
        flip in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        whole in any::<bool>(),
    ) {
        let add = ("new.example.test", RrType::TXT, IN, 9, "\"x\"");
        let gone = (APEX, ALL, ANY, 0, "");
        let mut bytes = message(&[("www.example.test", ALL, ANY, 0, "")], &[add, gone]);
        if whole {
            let at = flip.index(bytes.len());
            bytes[at] ^= 1 << bit;
        } else {
            bytes.truncate(12 + name(APEX).as_wire().len() + 4);
            bytes[6..8].copy_from_slice(&counts.0.to_be_bytes());
            bytes[8..10].copy_from_slice(&counts.1.to_be_bytes());
            bytes.extend(rest);
        }
        let Ok(query) = Query::read(&bytes) else { return Ok(()) };
        let apex = name(APEX);
        let Ok(update) = Update::read(&bytes, &query) else { return Ok(()) };
        let answered = sets(ZONE);
        let zone = Zone { apex: &apex, content: sets(ZONE), over: BTreeSet::new(), answered: &answered };
        if let Ok((after, _)) = zone.update(&update, &everything()) {
            prop_assert!(after.contains_key(&(apex.clone(), RrType::SOA)));
            prop_assert!(after.contains_key(&(apex, RrType::NS)));
        }
    }
}
