//! Tests of size and random zones: many zones stay small, and no records and no question make a lookup panic.

use proptest::prelude::*;

use super::{file, zone};
use crate::{
    dns::{message, zone::Zone},
    model::domain::{DomainName, Rdata, RrSet, RrType},
};

#[test]
fn ten_thousand_zones_of_ten_names_take_a_few_megabytes() {
    let text = "$TTL 300\n@ SOA ns hostmaster 1 900 300 1209600 60\n@ NS ns\n@ NS ns2\n@ MX 10 mail\n@ A 192.0.2.1\n\
        ns A 192.0.2.53\nns2 A 192.0.2.54\nmail A 192.0.2.25\nwww A 192.0.2.1\nwww AAAA 2001:db8::1\n\
        ftp CNAME www\n_dmarc TXT \"v=DMARC1; p=none\"\nshop A 192.0.2.2\nblog A 192.0.2.3\ndev A 192.0.2.4\n";
    let one = zone("customer-1234.example.test", text);
    assert_eq!(one.name_count(), 10);
    let all = 10_000 * (one.heap_bytes() + size_of::<Zone>());
    assert!(all < 25_000_000, "{all} bytes of 55 MB that Knot takes");
}

fn some_name() -> impl Strategy<Value = DomainName> {
    let label = prop::sample::select(vec!["a", "b", "*", "c"]);
    prop::collection::vec(label, 0..5).prop_map(|labels| {
        format!("{}.test", labels.join("."))
            .trim_start_matches('.')
            .parse()
            .unwrap()
    })
}

fn some_set() -> impl Strategy<Value = RrSet> {
    let rtype = prop::sample::select(vec![
        RrType::A,
        RrType::NS,
        RrType::CNAME,
        RrType::DNAME,
        RrType::MX,
        RrType::DS,
        RrType::NSEC,
        RrType::NSEC3,
        RrType::NSEC3PARAM,
        RrType::RRSIG,
        RrType::HTTPS,
        RrType::SRV,
        RrType(65_280),
    ]);
    let raw = prop::collection::vec(any::<u8>(), 0..30);
    (some_name(), rtype, some_name(), raw, any::<bool>()).prop_map(
        |(name, rtype, target, raw, is_whole)| {
            let wire = target.as_wire();
            let data = match rtype {
                _ if !is_whole => raw,
                RrType::A => vec![192, 0, 2, 1],
                RrType::NS | RrType::CNAME | RrType::DNAME => wire.to_vec(),
                RrType::MX => [&[0, 1], wire].concat(),
                RrType::SRV => [&[0; 6], wire].concat(),
                RrType::HTTPS => [&[0, 1], wire].concat(),
                RrType::NSEC => [wire, &[0, 1, 0x40]].concat(),
                RrType::NSEC3PARAM => vec![1, 0, 0, 2, 0],
                RrType::NSEC3 => vec![1, 0, 0, 2, 0, 1, 7, 0, 1, 0x40],
                RrType::RRSIG => [
                    &[0, 1, 13, 2, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1],
                    wire,
                    &[1],
                ]
                .concat(),
                _ => raw,
            };
            RrSet {
                name,
                rtype,
                ttl: 60,
                rdata: vec![Rdata::new(&data).unwrap()],
            }
        },
    )
}

proptest! {
    #[test]
    fn whatever_a_zone_holds_every_question_gets_an_answer_that_fits(
        sets in prop::collection::vec(some_set(), 0..25),
        questions in prop::collection::vec((some_name(), 0..70_u16, any::<bool>()), 1..20),
        limit in 512..1400_usize,
    ) {
        let origin: DomainName = "test".parse().unwrap();
        let base = "@ 60 SOA a b 1 2 3 4 5\n@ 60 NS a\n";
        let base = file::read(base.as_bytes(), &origin).rrsets;
        // What is a mistake is left out until there is a zone.
        let mut kept = base;
        for set in sets {
            let mut more = kept.clone();
            more.push(set);
            if Zone::new(&origin, more.clone()).is_ok() {
                kept = more;
            }
        }
        let (zone, _) = Zone::new(&origin, kept).unwrap();
        let text = file::write(&zone.rrsets().collect::<Vec<_>>());
        let again = file::read(text.as_bytes(), &origin).zone.unwrap();
        for (name, rtype, dnssec_ok) in questions {
            let rtype = RrType(rtype);
            let answer = zone.answer(&name, rtype, dnssec_ok);
            let written = |answer| {
                let head = message::Head { id: 1, opcode: message::QUERY, recursion_desired: false };
                let mut out = Vec::new();
                message::write(&mut out, head, (name.as_wire(), rtype, message::IN), answer, None, limit);
                out
            };
            let bytes = written(&answer);
            prop_assert!(bytes.len() <= limit);
            prop_assert_eq!(&bytes, &written(&again.answer(&name, rtype, dnssec_ok)), "the same from its file");
        }
    }
}
