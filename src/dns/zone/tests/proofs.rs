//! Tests of signed zones: which records prove what. The zones were signed by another name server's tool.

use std::path::Path;

use super::{ask, ask_signed, sets, zone};
use crate::{
    dns::{
        message::Rcode,
        zone::{Answer, Zone, denial::hash, file, records},
    },
    model::domain::RrType,
};

fn signed(name: &str) -> Zone {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dns-signed");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    zone("example.test", &text)
}

/// Owner and type of what stands in the authority section, signatures aside.
fn proofs(answer: &Answer<'_>) -> Vec<String> {
    let all = sets(&answer.authority);
    let signatures = all.iter().filter(|it| it.ends_with(" RRSIG")).count();
    let plain: Vec<String> = all
        .iter()
        .filter(|it| !it.ends_with(" RRSIG"))
        .cloned()
        .collect();
    let is_referral = !answer.is_authoritative;
    assert_eq!(
        signatures,
        plain.len() - usize::from(is_referral),
        "each with its signature"
    );
    let short = |it: &String| {
        it.replace(".example.test.", "")
            .replace("example.test.", "@")
    };
    plain.iter().map(short).collect()
}

/// The owner of the NSEC3 record of a name's hash.
fn hashed(zone: &Zone, name: &str) -> String {
    let param = zone.held(0, RrType::NSEC3PARAM).unwrap();
    let data = records(zone.data(param)).next().unwrap();
    let iterations = u16::from_be_bytes([data[2], data[3]]);
    let name: crate::model::domain::DomainName = name.parse().unwrap();
    let label = crate::dns::rdata::base32_of(&hash(name.as_wire(), iterations, &data[5..]));
    format!("{label} NSEC3")
}

#[test]
fn nsec_proves_what_is_not_there() {
    let zone = signed("nsec.zone");
    assert!(zone.is_signed());
    let proven =
        |name: &str, rtype| proofs(&ask_signed(&zone, &format!("{name}.example.test"), rtype));
    // No such name, and no wildcard for it.
    assert_eq!(
        proven("nothere", RrType::A),
        ["@ SOA", "near NSEC", "@ NSEC"]
    );
    // The name has no such type.
    assert_eq!(proven("www", RrType::TXT), ["@ SOA", "www NSEC"]);
    // A name that only others stand below: nothing is at it, and it exists (RFC 8020).
    let between = ask_signed(&zone, "ent.example.test", RrType::A);
    assert_eq!(between.rcode, Rcode::NOERROR);
    assert_eq!(proofs(&between), ["@ SOA", "cut NSEC"]);
    // A wildcard stands for it: nothing closer is there.
    assert_eq!(proven("x.wild", RrType::TXT), ["host.wild NSEC"]);
    // The same, and the wildcard has no such type: never NXDOMAIN.
    let nodata = ask_signed(&zone, "x.wild.example.test", RrType::A);
    assert_eq!(nodata.rcode, Rcode::NOERROR);
    assert_eq!(proofs(&nodata), ["@ SOA", "host.wild NSEC", "*.wild NSEC"]);
    // Below a name that exists no wildcard above it counts (RFC 4592).
    assert_eq!(
        ask_signed(&zone, "x.host.wild.example.test", RrType::TXT).rcode,
        Rcode::NXDOMAIN
    );
    // Other zones: with a DS record, and proven to have none.
    assert_eq!(proven("x.sec", RrType::A), ["sec NS", "sec DS"]);
    assert_eq!(proven("x.ins", RrType::A), ["ins NS", "ins NSEC"]);
    assert_eq!(proven("ins", RrType::DS), ["@ SOA", "ins NSEC"]);
}

#[test]
fn nsec3_proves_what_is_not_there() {
    let zone = signed("nsec3.zone");
    let own = |name: &str| hashed(&zone, name);
    let proven =
        |name: &str, rtype| proofs(&ask_signed(&zone, &format!("{name}.example.test"), rtype));
    let nothere = proven("a.nothere", RrType::A);
    assert_eq!(
        nothere.len(),
        4,
        "encloser, next closer and wildcard: {nothere:?}"
    );
    assert_eq!(nothere[1], own("example.test"));
    assert_eq!(
        proven("www", RrType::TXT),
        ["@ SOA".to_owned(), own("www.example.test")]
    );
    assert_eq!(
        proven("ent", RrType::A),
        ["@ SOA".to_owned(), own("ent.example.test")]
    );
    assert_eq!(proven("x.wild", RrType::TXT).len(), 1);
    let nodata = proven("x.wild", RrType::A);
    assert_eq!(nodata[1], own("wild.example.test"));
    assert_eq!(nodata[3], own("*.wild.example.test"));
    assert_eq!(proven("x.ins", RrType::A)[1], own("ins.example.test"));
    // An NSEC3 record's owner is not a name of the zone (RFC 5155 section 7.2.8).
    let owner = own("www.example.test").replace(" NSEC3", ".example.test");
    assert_eq!(
        ask_signed(&zone, &owner, RrType::NSEC3).rcode,
        Rcode::NXDOMAIN
    );
}

#[test]
fn an_opted_out_zone_is_shown_by_its_encloser() {
    let zone = signed("optout.zone");
    let proven = proofs(&ask_signed(&zone, "x.ins.example.test", RrType::A));
    assert_eq!(
        proven[..2],
        ["ins NS".to_owned(), hashed(&zone, "example.test")]
    );
    assert_eq!(proven.len(), 3);
    let nodata = ask_signed(&zone, "ins.example.test", RrType::DS);
    assert_eq!(proofs(&nodata).len(), 3);
}

#[test]
fn signatures_come_only_when_asked_for_and_only_over_our_own_data() {
    let zone = signed("nsec.zone");
    let plain = ask(&zone, "nothere.example.test", RrType::A);
    assert_eq!(sets(&plain.authority), ["example.test. SOA"]);
    let www = ask_signed(&zone, "www.example.test", RrType::A);
    assert_eq!(
        sets(&www.answer),
        ["www.example.test. A", "www.example.test. RRSIG"]
    );
    let covered = records(&www.answer[1].data).map(|it| it[..2].to_vec());
    assert_eq!(
        covered.collect::<Vec<_>>(),
        [[0, 1]],
        "one signature, over A"
    );
    let referral = ask_signed(&zone, "x.sec.example.test", RrType::A);
    assert_eq!(
        sets(&referral.additional),
        ["ns.sec.example.test. A"],
        "glue is not ours"
    );
    // The made CNAME of a DNAME is not signed, the DNAME is.
    let sent_on = ask_signed(&zone, "x.tree.example.test", RrType::A);
    assert_eq!(
        sets(&sent_on.answer),
        [
            "tree.example.test. DNAME",
            "tree.example.test. RRSIG",
            "x.tree.example.test. CNAME"
        ]
    );
}

#[test]
fn a_signed_zone_is_written_and_read_back_whole() {
    for name in ["nsec.zone", "nsec3.zone", "optout.zone"] {
        let zone = signed(name);
        let all: Vec<_> = zone.rrsets().collect();
        assert_eq!(all[0].rtype, RrType::SOA);
        let again = file::read(file::write(&all).as_bytes(), &zone.origin());
        let again: Vec<_> = again.zone.unwrap().rrsets().collect();
        assert_eq!(again, all);
    }
}
