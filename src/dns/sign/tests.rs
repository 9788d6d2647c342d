//! Signed zones: what is made is what the RFCs' own examples and a validator of another make want, the same every time, and
//! a broken one is never let through.

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::{Flaw, Pen, SignError, canonical, key, verify};
use crate::dns::zone::{Zone, file};
use crate::model::{
    dns::{
        Signed, Signing,
        signing::{Parent, ZoneKey, key_context},
    },
    domain::{DomainName, Rdata, RrSet, RrType},
    words::Timestamp,
};
use crate::seal::Keyring;

const ZONE: &str = "
$TTL 3600
@ IN SOA Ns1.Example.test. hostmaster 7 900 300 1209600 300
@ NS ns1
@ NS NS2.elsewhere.test.
@ MX 10 Mail
@ TXT \"v=spf1 -all\"
ns1 A 192.0.2.53
mail A 192.0.2.25
www 60 A 192.0.2.80
www 60 AAAA 2001:db8::80
*.wild TXT here
a.very.deep TXT below
cut NS ns.cut
cut DS 12345 13 2 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
ns.cut A 192.0.2.99
plain NS ns.elsewhere.test.
old DNAME new.Example.test.
_sip._tcp SRV 1 2 5060 Sip
svc HTTPS 1 . alpn=h2
alias CNAME WWW
n NAPTR 1 1 \"u\" \"x\" \"\" Mail
odd TYPE65280 \\# 2 4142
";

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn sets(text: &str) -> Vec<RrSet> {
    let reading = file::read(text.as_bytes(), &name("example.test"));
    assert!(reading.mistakes.is_empty(), "{:?}", reading.mistakes);
    reading.rrsets
}

/// A pen with as many keys as asked for, the newest of which the parent is to know.
fn pen(keys: u8, parent: bool) -> Pen {
    let apex = name("example.test");
    let keyring = Keyring::generate();
    let mut signing = Signing::default();
    for number in 1..=keys {
        let secret = [number; 32];
        let public = key::Key::from_secret(&secret).unwrap().public().to_vec();
        let key = ZoneKey {
            secret: keyring.seal(&key_context(&apex, &public), &secret),
            public,
            since: Timestamp(0),
        };
        signing.keys.insert(u64::from(number), key);
    }
    let signed = Signed {
        keys: signing.keys.keys().copied().collect(),
        parent: if parent {
            Parent::Knows(u64::from(keys))
        } else {
            Parent::Forgets
        },
        inception: 1_795_000_000,
        expiration: 1_798_000_000,
    };
    Pen::open(&apex, &signing, &signed, &keyring).unwrap()
}

fn at<'s>(sets: &'s [RrSet], owner: &str, rtype: RrType) -> Option<&'s RrSet> {
    let owner = name(owner);
    sets.iter().find(|it| it.name == owner && it.rtype == rtype)
}

fn covered(sets: &[RrSet], owner: &str) -> Vec<RrType> {
    let owner = name(owner);
    let signatures = sets
        .iter()
        .filter(|it| it.name == owner && it.rtype == RrType::RRSIG);
    signatures
        .flat_map(|it| &it.rdata)
        .map(|it| RrType(u16::from_be_bytes([it.as_wire()[0], it.as_wire()[1]])))
        .collect()
}

#[test]
fn the_example_of_rfc_6605_is_understood() {
    let public = STANDARD
        .decode("GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==")
        .unwrap();
    let secret = STANDARD
        .decode("GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=")
        .unwrap();
    let own = key::Key::from_secret(&secret).unwrap();
    assert_eq!(own.public()[..], public);
    let data = key::dnskey(&public);
    assert_eq!(key::tag(&data), 55_648);
    let digest: String = key::ds(&name("example.net"), &data)[4..]
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    assert_eq!(
        digest,
        "b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17"
    );
    let set = RrSet {
        name: name("www.example.net"),
        rtype: RrType::A,
        ttl: 3_600,
        rdata: vec![Rdata::new(&[192, 0, 2, 1]).unwrap()],
    };
    // 20100909100439 and 20100812100439.
    let mut head = vec![0, 1, 13, 3, 0, 0, 14, 16];
    head.extend(1_284_026_679_u32.to_be_bytes());
    head.extend(1_281_607_479_u32.to_be_bytes());
    head.extend(55_648_u16.to_be_bytes());
    head.extend(name("example.net").as_wire());
    let signature = STANDARD
        .decode("qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==")
        .unwrap();
    let message = canonical::message(&head, &set);
    assert!(key::holds(&public, &message, &signature));
    assert!(key::holds(&public, &message, &own.sign(&message)));
}

#[test]
fn the_zone_signs_what_is_its_own_and_nothing_else() {
    let signed = pen(1, true).sign(sets(ZONE), &[]).unwrap();
    assert!(covered(&signed, "ns.cut.example.test").is_empty(), "glue");
    assert!(at(&signed, "ns.cut.example.test", RrType::NSEC).is_none());
    let at_cut = [RrType::DS, RrType::NSEC];
    assert_eq!(covered(&signed, "cut.example.test"), at_cut);
    assert_eq!(covered(&signed, "plain.example.test"), [RrType::NSEC]);
    assert_eq!(covered(&signed, "example.test").len(), 8);
    assert!(at(&signed, "very.deep.example.test", RrType::NSEC).is_none());
    let (zone, findings) = Zone::new(&name("example.test"), signed).unwrap();
    assert!(zone.is_signed());
    let mistakes = findings
        .iter()
        .filter(|it| it.why.grade() == crate::dns::zone::Grade::Mistake);
    assert_eq!(mistakes.count(), 0);
}

#[test]
fn every_node_makes_the_same_bytes_and_takes_over_what_it_has() {
    let first = pen(2, true).sign(sets(ZONE), &[]).unwrap();
    let second = pen(2, true).sign(sets(ZONE), &[]).unwrap();
    assert_eq!(
        first, second,
        "keys sealed by other service keys are the same keys"
    );
    assert_eq!(pen(2, true).sign(sets(ZONE), &first).unwrap(), first);
    // What is answered may come from a table, in another order and shape.
    let (zone, _) = Zone::new(&name("example.test"), first.clone()).unwrap();
    let before: Vec<RrSet> = zone.rrsets().collect();
    let changed = sets(&ZONE.replace("192.0.2.80", "198.51.100.1"));
    let with = pen(2, true).sign(changed.clone(), &before).unwrap();
    let without = pen(2, true).sign(changed, &[]).unwrap();
    assert_eq!(with, without);
    let differing = with.iter().filter(|it| !first.contains(it)).count();
    assert_eq!(differing, 2, "the addresses and their signatures");
}

#[test]
fn a_parent_is_asked_for_the_newest_key_or_to_forget() {
    let roll = pen(2, true).sign(sets(ZONE), &[]).unwrap();
    let newest = key::Key::from_secret(&[2; 32]).unwrap();
    let newest = key::dnskey(newest.public());
    let cds = at(&roll, "example.test", RrType::CDS).unwrap();
    let wanted = key::ds(&name("example.test"), &newest);
    assert_eq!(cds.rdata, [Rdata::new(&wanted).unwrap()]);
    let keys = at(&roll, "example.test", RrType::DNSKEY).unwrap();
    assert_eq!(keys.rdata.len(), 2);
    assert_eq!(covered(&roll, "www.example.test").len(), 6);
    let ending = pen(1, false).sign(sets(ZONE), &[]).unwrap();
    let cds = at(&ending, "example.test", RrType::CDS).unwrap();
    assert_eq!(cds.rdata, [Rdata::new(&[0; 5]).unwrap()]);
}

#[test]
fn signatures_of_another_signer_go_and_its_keys_stay() {
    let other = pen(2, true).sign(sets(ZONE), &[]).unwrap();
    let ours = pen(1, true).sign(other, &[]).unwrap();
    let keys = at(&ours, "example.test", RrType::DNSKEY).unwrap();
    assert_eq!(keys.rdata.len(), 2, "RFC 8901");
    assert_eq!(covered(&ours, "www.example.test").len(), 3);
}

#[test]
fn a_key_sealed_by_another_service_key_signs_nothing() {
    let apex = name("example.test");
    let public = key::Key::from_secret(&[1; 32]).unwrap().public().to_vec();
    let sealed = Keyring::generate().seal(&key_context(&apex, &public), &[1; 32]);
    let mut signing = Signing::default();
    let key = ZoneKey {
        public,
        secret: sealed,
        since: Timestamp(0),
    };
    signing.keys.insert(1, key);
    let signed = signing.at(Timestamp(1_795_000_000_000), 1).unwrap();
    let opened = Pen::open(&apex, &signing, &signed, &Keyring::generate());
    assert!(matches!(opened, Err(SignError::Key { .. })));
    let none = Pen::open(&apex, &Signing::default(), &signed, &Keyring::generate());
    assert!(matches!(none, Err(SignError::Gone { .. })));
}

fn checked(sets: &[RrSet]) -> Result<(), Flaw> {
    checked_at(sets, |_| true)
}

/// The same where only the signatures of some names are new.
fn checked_at(sets: &[RrSet], is_fresh: impl Fn(&DomainName) -> bool) -> Result<(), Flaw> {
    let apex = name("example.test");
    let expected = verify::Expected {
        apex: &apex,
        keys: vec![key::dnskey(
            key::Key::from_secret(&[1; 32]).unwrap().public(),
        )],
        times: (1_795_000_000, 1_798_000_000),
    };
    verify::check(&expected, sets, |set| is_fresh(&set.name))
}

#[test]
fn p4_whatever_is_changed_in_a_signed_zone_it_is_not_let_through() {
    let signed = pen(1, true).sign(sets(ZONE), &[]).unwrap();
    assert_eq!(checked(&signed), Ok(()));
    let is_glue = |set: &RrSet| set.name == name("ns.cut.example.test");
    let at_cut = |set: &RrSet| {
        set.rtype == RrType::NS
            && (set.name == name("cut.example.test") || set.name == name("plain.example.test"))
    };
    for place in 0..signed.len() {
        if is_glue(&signed[place]) || at_cut(&signed[place]) {
            continue;
        }
        let owner = signed[place].name.clone();
        let check = |sets: &[RrSet]| checked_at(sets, |it| *it == owner);
        let mut fewer = signed.clone();
        fewer.remove(place);
        assert!(check(&fewer).is_err(), "without {:?}", signed[place]);
        let mut longer = signed.clone();
        longer[place].ttl += 1;
        assert!(
            check(&longer).is_err(),
            "another lifetime of {:?}",
            signed[place]
        );
        for byte in 0..signed[place].rdata[0].as_wire().len() {
            let mut data = signed[place].rdata[0].as_wire().to_vec();
            data[byte] ^= 1;
            let mut changed = signed.clone();
            changed[place].rdata[0] = Rdata::new(&data).unwrap();
            assert!(
                check(&changed).is_err(),
                "byte {byte} of {:?}",
                signed[place]
            );
        }
    }
    let mut more = signed.clone();
    more.push(RrSet {
        name: name("zzz.example.test"),
        ..at(&signed, "www.example.test", RrType::A).unwrap().clone()
    });
    assert!(checked(&more).is_err());
}

/// What a pen makes of these sets, when what it made is looked at.
fn flaw(pen: &Pen, sets: Vec<RrSet>) -> Flaw {
    match pen.sign(sets, &[]) {
        Err(SignError::Flawed { source, .. }) => source,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let through"),
    }
}

#[test]
fn p4_what_was_signed_is_looked_at_before_it_is_given() {
    let one = pen(1, true);
    // A set that comes in two halves gets a signature of each, and a validator sees the whole.
    let mut halves = sets(ZONE);
    let www = at(&halves, "www.example.test", RrType::A).unwrap().clone();
    halves.push(RrSet {
        rdata: vec![Rdata::new(&[192, 0, 2, 81]).unwrap()],
        ..www.clone()
    });
    let unsigned = Flaw::Unsigned(name("www.example.test"), RrType::A);
    assert_eq!(flaw(&one, halves), unsigned);
    // A name of another zone.
    let mut foreign = sets(ZONE);
    foreign.push(RrSet {
        name: name("www.other.test"),
        ..www
    });
    assert!(
        matches!(flaw(&one, foreign), Flaw::Foreign(place, _) if place == name("www.other.test"))
    );
    // A state that says that a zone is signed, and with no key: to whoever knows a key from the parent all of it is forged.
    assert_eq!(
        flaw(&pen(0, false), sets(ZONE)),
        Flaw::Unpublished(name("example.test"))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Random zones with cuts, aliases downwards, wildcards and gaps; each step is a switch that takes over signatures.
    #[test]
    fn p4_no_switch_shows_an_answer_without_a_signature_that_holds(
        names in prop::collection::btree_map("[ab*]{1,2}(\\.[abc]){0,3}", 0_u8..6, 0..12),
        switches in prop::collection::vec((any::<u8>(), 1_u32..600), 1..4),
    ) {
        let pen = pen(1, true);
        let mut text = "@ 300 SOA ns. h. 1 900 300 1209600 60\n@ 300 NS ns.elsewhere.\n".to_owned();
        for (owner, kind) in &names {
            let data = match kind {
                0 => "A 192.0.2.1",
                1 => "NS ns.elsewhere.",
                2 => "DNAME elsewhere.",
                3 => "CNAME Elsewhere.",
                4 => "MX 1 Mail.Elsewhere.",
                _ => "TXT x",
            };
            text.push_str(&format!("{owner} 300 {data}\n"));
        }
        let mut before = Vec::new();
        for (address, ttl) in switches {
            let sets = sets(&format!("{text}www {ttl} A 192.0.2.{address}\n"));
            let signed = pen.sign(sets, &before).unwrap();
            prop_assert_eq!(checked(&signed), Ok(()));
            prop_assert!(Zone::new(&name("example.test"), signed.clone()).is_ok());
            before = signed;
        }
    }
}
