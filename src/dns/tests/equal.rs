//! A prepared answer has the very bytes of the one that is looked up, for any zone and any question.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{WithEdns, name, query, set, small_zone, soa};
use crate::dns::name as names;
use crate::dns::question::{self, Message};
use crate::dns::reply::{self, Opt};
use crate::dns::respond::Moment;
use crate::dns::table::Found;
use crate::dns::tables::Tables;
use crate::dns::zone::Zone;
use crate::model::domain::{DomainName, Rdata, RrSet, RrType};

const APEX: &str = "example.test";

/// What stands at a name.
#[derive(Clone, Debug)]
enum At {
    Data(Vec<RrType>),
    Alias(String),
    Cut(Vec<String>, bool),
    Dname(String),
}

fn owner() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        Just("a"),
        Just("b"),
        Just("www"),
        Just("w"),
        Just("*"),
        Just("sub"),
        Just("ns1"),
        Just("hostmaster"),
        Just("x"),
        Just("\\000"),
        Just("\\001"),
        Just("long-label-of-a-name-that-takes-room"),
    ];
    prop::collection::vec(label, 1..4).prop_map(|labels| format!("{}.{APEX}", labels.join(".")))
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![4 => owner(), 1 => Just("elsewhere.example.net".to_owned()), 1 => Just(APEX.to_owned())]
}

fn at() -> impl Strategy<Value = At> {
    let types = prop::sample::subsequence(
        vec![
            RrType::A,
            RrType::AAAA,
            RrType::MX,
            RrType::TXT,
            RrType::SRV,
            RrType::HTTPS,
            RrType::CAA,
        ],
        1..4,
    );
    prop_oneof![
        6 => types.prop_map(At::Data),
        2 => target().prop_map(At::Alias),
        1 => (prop::collection::vec(target(), 1..3), any::<bool>()).prop_map(|(ns, ds)| At::Cut(ns, ds)),
        1 => target().prop_map(At::Dname),
    ]
}

fn data(rtype: RrType) -> Vec<Vec<u8>> {
    let host = |before: &[u8]| [before, name(&format!("www.{APEX}")).as_wire()].concat();
    match rtype {
        RrType::A => vec![vec![192, 0, 2, 1], vec![192, 0, 2, 2]],
        RrType::AAAA => vec![vec![0x20; 16]],
        RrType::MX => vec![host(&[0, 10]), host(&[0, 20])],
        RrType::SRV => vec![host(&[0, 1, 0, 2, 1, 187])],
        RrType::HTTPS => vec![vec![0, 1, 0]],
        RrType::CAA => vec![b"\x00\x05issueca.example".to_vec()],
        _ => vec![[&[200_u8][..], &[b't'; 200]].concat(), b"\x01t".to_vec()],
    }
}

fn sets_of(owner: &str, at: &At) -> Vec<RrSet> {
    let wire = |text: &String| name(text).as_wire().to_vec();
    let own = |rtype, data: &[Vec<u8>]| {
        let data: Vec<&[u8]> = data.iter().map(|it| &it[..]).collect();
        set(owner, rtype, &data)
    };
    match at {
        At::Data(types) => types.iter().map(|it| own(*it, &data(*it))).collect(),
        At::Alias(target) => vec![own(RrType::CNAME, &[wire(target)])],
        At::Dname(target) => vec![own(RrType::DNAME, &[wire(target)])],
        At::Cut(servers, secure) => {
            let servers: Vec<Vec<u8>> = servers.iter().map(wire).collect();
            let mut sets = vec![own(RrType::NS, &servers)];
            if *secure {
                sets.push(own(RrType::DS, &[[&[0, 1, 13, 2][..], &[7; 32]].concat()]));
            }
            sets
        }
    }
}

/// Signs as a signer would, but with signatures that are only as long as real ones.
fn signed(apex: &DomainName, sets: Vec<RrSet>) -> Vec<RrSet> {
    let plain = Zone::new(apex, sets.clone()).unwrap().0;
    let mut owners: Vec<DomainName> = Vec::new();
    let mut above: Option<Vec<u8>> = None;
    let mut cuts = Vec::new();
    for owner in plain.names() {
        let types = plain.types_at(owner);
        if types.is_empty() || above.as_ref().is_some_and(|it| names::is_within(owner, it)) {
            continue;
        }
        let is_cut = types.contains(&RrType::NS) && owner != apex.as_wire();
        if is_cut || types.contains(&RrType::DNAME) {
            above = Some(owner.to_vec());
        }
        if is_cut {
            cuts.push(names::owned(owner));
        }
        owners.push(names::owned(owner));
    }
    let rrsig = |owner: &DomainName, rtype: RrType| {
        let mut data = rtype.0.to_be_bytes().to_vec();
        data.extend([13, owner.label_count() as u8, 0, 0, 1, 44]);
        data.extend([0x70, 0, 0, 0, 0x60, 0, 0, 0, 0x12, 0x34]);
        data.extend(apex.as_wire());
        data.extend([rtype.0 as u8; 64]);
        Rdata::new(&data).unwrap()
    };
    let mut all = sets;
    for (at, owner) in owners.iter().enumerate() {
        let next = owners.get(at + 1).unwrap_or(apex);
        let bits = [next.as_wire(), &[0, 6, 0x40, 0, 0, 0, 0, 3]].concat();
        all.push(RrSet {
            name: owner.clone(),
            rtype: RrType::NSEC,
            ttl: 60,
            rdata: vec![Rdata::new(&bits).unwrap()],
        });
        let own: Vec<RrType> = all
            .iter()
            .filter(|it| it.name == *owner)
            .map(|it| it.rtype)
            .collect();
        let covered = own
            .into_iter()
            .filter(|it| *it != RrType::NS || !cuts.contains(owner));
        let rdata = covered.map(|it| rrsig(owner, it)).collect();
        all.push(RrSet {
            name: owner.clone(),
            rtype: RrType::RRSIG,
            ttl: 300,
            rdata,
        });
    }
    all
}

pub(super) fn zones() -> impl Strategy<Value = (Arc<Zone>, Vec<String>)> {
    let content = prop::collection::btree_map(owner(), at(), 0..12);
    (content, any::<bool>()).prop_filter_map("a zone", |(content, sign)| {
        let content: BTreeMap<String, At> = content;
        let apex = name(APEX);
        let server = name(&format!("ns1.{APEX}")).as_wire().to_vec();
        let mut sets = vec![soa(APEX, 7), set(APEX, RrType::NS, &[&server])];
        sets.extend(content.iter().flat_map(|(owner, at)| sets_of(owner, at)));
        Zone::new(&apex, sets.clone()).ok()?;
        let sets = if sign { signed(&apex, sets) } else { sets };
        let zone = Zone::new(&apex, sets)
            .expect("proofs and signatures make no mistakes")
            .0;
        Some((Arc::new(zone), content.into_keys().collect()))
    })
}

pub(super) fn types() -> impl Strategy<Value = RrType> {
    prop::sample::select(vec![
        RrType::A,
        RrType::AAAA,
        RrType::MX,
        RrType::TXT,
        RrType::NS,
        RrType::SOA,
        RrType::CNAME,
        RrType::DNAME,
        RrType::DS,
        RrType::ANY,
        RrType::RRSIG,
        RrType::NSEC,
        RrType::HTTPS,
        RrType::SRV,
        RrType::DNSKEY,
        RrType(0),
        RrType(65_280),
        RrType(250),
        RrType(128),
    ])
}

/// Names in the zone, above it, below its names, with any case.
pub(super) fn asked() -> impl Strategy<Value = (prop::sample::Index, Option<String>, u8)> {
    (
        any::<prop::sample::Index>(),
        prop::option::of(owner()),
        0..6_u8,
    )
}

pub(super) fn asked_name(
    known: &[String],
    (index, other, how): &(prop::sample::Index, Option<String>, u8),
) -> DomainName {
    let base = match (other, known.is_empty()) {
        (Some(other), _) => other.clone(),
        (None, true) => APEX.to_owned(),
        (None, false) => index.get(known).clone(),
    };
    let base = name(&base);
    match how {
        0 => base.child(b"random-0815").unwrap(),
        1 => base.child(b"*").unwrap(),
        2 => base.parent().unwrap(),
        3 => base.child(b"ns1").unwrap().child(b"a").unwrap(),
        _ => base,
    }
}

/// Checks one question both ways; says whether there was a prepared answer.
fn check(tables: &Tables, message: &[u8], limit: usize) -> Result<bool, TestCaseError> {
    let Message::Question(question) = question::read(message) else {
        return Ok(false);
    };
    let dnssec = question.edns.is_some_and(|it| it.dnssec);
    let mut key = tables.name_key();
    key.set(question.name());
    let Found::Prepared(table, body) = tables.find(&key, question.rtype, dnssec) else {
        return Ok(false);
    };
    let settings = super::settings();
    let secrets = crate::dns::cookie::Secrets::new([0; 16], None);
    let moment = Moment {
        tables,
        secrets: &secrets,
        settings: &settings,
        now_s: 0,
    };
    let opt = || question.edns.as_ref().map(|it| Opt::new(it, 1_232));
    let room = limit.saturating_sub(question.end() + opt().as_ref().map_or(0, Opt::len));
    // Too large with parts that may be left out: not answered from the table.
    if body.records.len() > room && body.additional > 0 {
        return Ok(true);
    }
    let mut out = [vec![0; 20_000], vec![0; 20_000]];
    let prepared = reply::write_to(&mut out[0], limit, &question, &body, opt().as_mut(), false);
    let found = moment.look_up(question.rtype, dnssec, &key, Some(table), room);
    let looked_up = reply::write_to(
        &mut out[1],
        limit,
        &question,
        &found.body(),
        opt().as_mut(),
        false,
    );
    prop_assert_eq!(&out[0][..prepared], &out[1][..looked_up]);
    super::seen(&out[0][..prepared]);
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_prepared_answer_has_the_bytes_of_the_one_that_is_looked_up(
        (zone, known) in zones(),
        questions in prop::collection::vec((asked(), types(), any::<[bool; 2]>(), 512..3_000_u16), 40),
        with_inner: bool,
    ) {
        let inner = small_zone(&format!("sub.{APEX}"), 3);
        let zones = [Some(zone), with_inner.then_some(inner)];
        let tables = Tables::build(zones.into_iter().flatten());
        for (asked, rtype, [edns, dnssec], limit) in questions {
            let edns = edns.then(|| WithEdns { payload: limit, dnssec, ..WithEdns::default() });
            let asked = asked_name(&known, &asked);
            let upper: Vec<u8> = asked.as_wire().iter().enumerate()
                .map(|(at, byte)| if at % 3 == 0 { byte.to_ascii_uppercase() } else { *byte })
                .collect();
            check(&tables, &query(&upper, rtype, edns.as_ref()), usize::from(limit))?;
        }
    }

    #[test]
    fn a_flood_of_random_names_is_answered_from_the_table(
        (zone, known) in zones(),
        labels in prop::collection::vec("[a-z0-9]{20,30}", 1..3),
        above: prop::sample::Index,
        dnssec: bool,
    ) {
        let tables = Tables::build(std::iter::once(zone.clone()));
        let base = if known.is_empty() { APEX.to_owned() } else { above.get(&known).clone() };
        let asked = labels.iter().fold(name(&base), |name, label| name.child(label.as_bytes()).unwrap());
        let edns = WithEdns { payload: 4_096, dnssec, ..WithEdns::default() };
        let answer = zone.answer(&asked, RrType::A, dnssec);
        // Behind a DNAME or an alias that leaves the zone more than this zone decides.
        let leads_on = answer.answer.iter().any(|it| matches!(it.rtype, RrType::DNAME | RrType::CNAME));
        prop_assume!(!leads_on);
        prop_assert!(check(&tables, &query(asked.as_wire(), RrType::A, Some(&edns)), 4_096)?);
    }
}
