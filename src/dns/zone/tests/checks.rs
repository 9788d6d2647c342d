//! Tests of lookups and checks one by one: what is kept, what is refused, which zone answers, what a change is.

use std::sync::Arc;

use super::{ask, lines, sets, zone};
use crate::{
    dns::{
        message::Rcode,
        zone::{Finding, Why, Zone, Zones, change::Caution, difference, file},
    },
    model::domain::{DomainName, Rdata, RrSet, RrType},
};

const HEAD: &str = "$TTL 300\n@ SOA ns hostmaster 1 900 300 1209600 60\n@ NS ns\nns A 192.0.2.53\n";

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn small(text: &str) -> Zone {
    zone("example.test", &format!("{HEAD}{text}"))
}

fn rrsets(text: &str) -> Vec<RrSet> {
    small(text).rrsets().collect()
}

fn whys(findings: Vec<Finding>) -> Vec<Why> {
    findings.into_iter().map(|it| it.why).collect()
}

#[test]
fn a_zone_without_its_own_records_is_no_zone_and_all_mistakes_come_at_once() {
    let set = |owner: &str, rtype, data: &[&[u8]]| RrSet {
        name: name(owner),
        rtype,
        ttl: 60,
        rdata: data.iter().map(|it| Rdata::new(it).unwrap()).collect(),
    };
    let bad = [
        set("a.test", RrType::A, &[b"abcd", b"abc"]),
        set("a.test", RrType::CNAME, &[b"\x01b\0", b"\x01c\0"]),
        set("b.test", RrType::DNAME, &[b"\x01b\0", b"\x01c\0"]),
        set("c.test", RrType::ANY, &[b""]),
        set("d.test", RrType::NSEC3PARAM, &[b"\x01\0\xff\xff\0"]),
        set("other", RrType::A, &[b"abcd"]),
    ];
    let findings = Zone::new(&name("test"), bad).unwrap_err();
    assert_eq!(
        whys(findings),
        [
            Why::ManyCnames(2),
            Why::CnameBeside(RrType::A),
            Why::Malformed("address"),
            Why::ManyDnames(2),
            Why::QuestionType,
            Why::TooManyIterations(65_535),
            Why::NoSoa,
            Why::NoNs,
            Why::OutOfZone,
        ]
    );
}

#[test]
fn names_are_found_in_any_case_and_between_others() {
    let zone = small("WWW A 192.0.2.1\na.b.c A 192.0.2.2\n");
    assert_eq!(ask(&zone, "wWw.Example.TEST", RrType::A).answer.len(), 1);
    let between = ask(&zone, "b.c.example.test", RrType::A);
    assert_eq!(between.rcode, Rcode::NOERROR, "RFC 8020");
    assert_eq!(sets(&between.authority), ["example.test. SOA"]);
    assert_eq!(between.authority[0].ttl, 60, "RFC 2308: the lesser of both");
    assert_eq!(
        ask(&zone, "x.c.example.test", RrType::A).rcode,
        Rcode::NXDOMAIN
    );
    assert_eq!(ask(&zone, "other.test", RrType::A).rcode, Rcode::REFUSED);
}

#[test]
fn any_gets_one_set() {
    let zone = small("www A 192.0.2.1\nwww AAAA 2001:db8::1\nwww TXT a\nalias CNAME www\n");
    assert_eq!(ask(&zone, "www.example.test", RrType::ANY).answer.len(), 1);
    let alias = ask(&zone, "alias.example.test", RrType::ANY);
    assert_eq!(sets(&alias.answer), ["alias.example.test. CNAME"]);
}

#[test]
fn hosts_bring_their_addresses() {
    let zone = small(
        "@ MX 10 mail\nmail A 192.0.2.25\n_x._tcp SRV 0 0 1 srv\nsrv AAAA 2001:db8::2\n\
         svc HTTPS 1 . alpn=h2\nsvc A 192.0.2.9\n",
    );
    let brought = |name: &str, rtype| sets(&ask(&zone, name, rtype).additional);
    assert_eq!(
        brought("example.test", RrType::MX),
        ["mail.example.test. A"]
    );
    assert_eq!(
        brought("_x._tcp.example.test", RrType::SRV),
        ["srv.example.test. AAAA"]
    );
    assert_eq!(
        brought("svc.example.test", RrType::HTTPS),
        ["svc.example.test. A"]
    );
    assert_eq!(brought("example.test", RrType::NS), ["ns.example.test. A"]);
}

#[test]
fn aliases_end() {
    let links: Vec<String> = (0..40)
        .map(|it| format!("a{it} CNAME a{}\n", it + 1))
        .collect();
    let zone = small(&format!(
        "{}one CNAME two\ntwo CNAME one\ninto DNAME x.into\n",
        links.concat()
    ));
    let long = ask(&zone, "a0.example.test", RrType::A);
    assert_eq!((long.rcode, long.answer.len()), (Rcode::NOERROR, 17));
    assert_eq!(ask(&zone, "one.example.test", RrType::A).answer.len(), 2);
    assert_eq!(ask(&zone, "y.into.example.test", RrType::A).answer.len(), 2);
}

#[test]
fn a_dname_that_makes_a_name_too_long_says_so() {
    let target = "a.".repeat(100);
    let zone = small(&format!("d DNAME {target}\n"));
    let asked = format!("{}d.example.test", "b.".repeat(40));
    let answer = ask(&zone, &asked, RrType::A);
    assert_eq!(answer.rcode, Rcode::YXDOMAIN);
    assert_eq!(sets(&answer.answer), ["d.example.test. DNAME"]);
    let short = ask(&zone, "x.d.example.test", RrType::A);
    assert_eq!(
        lines(&short.answer)[1],
        format!("x.d.example.test. 300 IN CNAME x.{target}")
    );
}

#[test]
fn the_longest_zone_answers_and_ds_is_asked_above() {
    let mut zones = Zones::default();
    zones.insert(Arc::new(small(
        "sub NS ns.sub\nns.sub A 192.0.2.9\nfar CNAME www.sub\n",
    )));
    let below = format!("{HEAD}www A 192.0.2.1\n");
    zones.insert(Arc::new(zone("sub.example.test", &below)));
    let ask = |it: &str, rtype| zones.answer(&name(it), rtype, false);
    let www = ask("www.sub.example.test", RrType::A);
    assert!(www.is_authoritative && www.answer.len() == 1);
    assert_eq!(www.zone.unwrap().origin(), name("sub.example.test"));
    let ds = ask("sub.example.test", RrType::DS);
    assert_eq!(sets(&ds.authority), ["example.test. SOA"]);
    let far = ask("far.example.test", RrType::A);
    assert_eq!(
        sets(&far.answer),
        ["far.example.test. CNAME", "www.sub.example.test. A"]
    );
    assert_eq!(ask("else.where", RrType::A).rcode, Rcode::REFUSED);
    let ds = zones
        .remove(&name("example.test"))
        .map(|_| zones.answer(&name("sub.example.test"), RrType::DS, false));
    assert_eq!(
        sets(&ds.unwrap().authority),
        ["sub.example.test. SOA"],
        "the child says what it knows"
    );
}

#[test]
fn what_real_servers_keep_is_kept() {
    let text = format!(
        "{HEAD}sub NS ns.sub\nx.sub TXT hidden\nns.sub A 192.0.2.9\nboth NS ns\nboth DNAME other.test.\n"
    );
    let read = file::read(text.as_bytes(), &name("example.test"));
    let zone = read.zone.unwrap();
    assert_eq!(
        zone.rrsets().count(),
        8,
        "transfers carry hidden records too"
    );
    let both = ask(&zone, "x.both.example.test", RrType::A);
    assert_eq!(sets(&both.authority), ["both.example.test. NS"]);
    assert_eq!(zone.serial(), 1);
}

#[test]
fn a_large_change_or_other_name_servers_must_be_insisted_on() {
    let origin = name("example.test");
    let hosts = |count: u8, last: u8| -> String {
        (0..10)
            .map(|it| format!("h{it} A 192.0.2.{}\n", if it < count { last } else { it }))
            .collect()
    };
    let old = rrsets(&hosts(0, 0));
    let change = |new: &str| difference(&origin, &old, &rrsets(new));
    assert!(change(&hosts(0, 0)).is_empty());
    let three = change(&hosts(3, 99));
    assert_eq!((three.changed.len(), three.percent()), (3, 24));
    assert_eq!(three.cautions(), []);
    // 4 of 13 sets are 30.8 of a hundred.
    assert_eq!(change(&hosts(4, 99)).cautions(), [Caution::MuchChange(31)]);
    let gone = change("");
    assert_eq!((gone.removed.len(), gone.added.len()), (10, 0));
    let servers = change(&format!("{}@ NS ns2.other.test.\n", hosts(0, 0)));
    assert_eq!(servers.cautions(), [Caution::RootNs]);
    assert_eq!(difference(&origin, &[], &old).cautions(), []);
    let mut later = old.clone();
    let serial = later.iter().position(|it| it.rtype == RrType::SOA).unwrap();
    let mut bytes = later[serial].rdata[0].as_wire().to_vec();
    let at = bytes.len() - 17;
    bytes[at] = 9;
    later[serial].rdata[0] = Rdata::new(&bytes).unwrap();
    assert!(
        difference(&origin, &old, &later).is_empty(),
        "a serial is no change"
    );
}
