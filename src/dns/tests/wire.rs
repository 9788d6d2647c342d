//! The rules of the wire: RFC 8906's list of queries that name servers get wrong, and each option of EDNS.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Seen, WithEdns, answers_with, ask, name, query, seen, settings, small_zone};
use crate::dns::answers::{Answers, Transport};
use crate::dns::message::Rcode;
use crate::model::domain::RrType;

const APEX: &str = "example.test";

fn house() -> Arc<Answers> {
    answers_with(settings(), &[small_zone(APEX, 7)]).0
}

fn said(answers: &Answers, message: &[u8]) -> Seen {
    seen(&ask(answers, message, Transport::Udp).expect("this is answered"))
}

fn at(owner: &str) -> Vec<u8> {
    name(&format!("{owner}.{APEX}")).as_wire().to_vec()
}

fn apex() -> Vec<u8> {
    name(APEX).as_wire().to_vec()
}

fn edns() -> WithEdns {
    WithEdns {
        payload: 4_096,
        ..WithEdns::default()
    }
}

/// A query with bits set in the second two bytes of its head.
fn with_bits(mut message: Vec<u8>, high: u8, low: u8) -> Vec<u8> {
    message[2] |= high;
    message[3] |= low;
    message
}

/// Checks that an answer is the zone's SOA record with AA, whole.
#[track_caller]
fn soa(seen: &Seen, has_edns: bool) {
    assert_eq!((seen.rcode, seen.aa, seen.tc), (0, true, false), "{seen:?}");
    assert_eq!(seen.counts[1], 1, "the SOA record is there: {seen:?}");
    assert_eq!(seen.opt.is_some(), has_edns, "{seen:?}");
}

/// RFC 8906 section 8, in its order; each expects what the RFC expects.
#[test]
fn the_queries_of_rfc_8906_without_edns_are_answered_right() {
    let answers = house();
    let plain = query(&apex(), RrType::SOA, None);
    // 8.1.1: is it authoritative.
    soa(&said(&answers, &plain), false);
    // 8.1.2: an unknown type.
    let unknown = said(&answers, &query(&apex(), RrType(1_000), None));
    assert_eq!(
        (unknown.rcode, unknown.aa, unknown.counts),
        (0, true, [1, 0, 1, 0])
    );
    // 8.1.3.1 to 8.1.3.4: CD, AD, the reserved bit, RD.
    for (high, low) in [(0, 0x10), (0, 0x20), (0, 0x40), (0x01, 0)] {
        let message = with_bits(plain.clone(), high, low);
        soa(&said(&answers, &message), false);
        let answer = ask(&answers, &message, Transport::Udp).unwrap();
        assert_eq!(
            answer[3] & 0xf0,
            0,
            "neither RA, reserved, AD nor CD comes back"
        );
        assert_eq!(answer[2] & 1, high, "RD comes back");
    }
    // 8.1.4: an unknown operation, with a head alone.
    let unknown = said(&answers, &with_bits(plain[..12].to_vec(), 15 << 3, 0));
    assert_eq!(
        (unknown.rcode, unknown.aa, unknown.counts),
        (4, false, [0; 4])
    );
    // 8.1.5: over TCP.
    soa(
        &seen(&ask(&answers, &plain, Transport::Tcp).unwrap()),
        false,
    );
}

#[test]
fn the_queries_of_rfc_8906_with_other_versions_and_options_of_edns_are_answered_right() {
    let answers = house();
    // 8.2.1: EDNS.
    soa(
        &said(&answers, &query(&apex(), RrType::SOA, Some(&edns()))),
        true,
    );
    // 8.2.2, 8.2.5, 8.2.6: another version of EDNS, alone, with an unknown flag, with an unknown option.
    let newer = WithEdns {
        version: 1,
        ..edns()
    };
    let option = WithEdns {
        options: vec![(100, vec![])],
        ..newer.clone()
    };
    let mut flagged = query(&apex(), RrType::SOA, Some(&newer));
    let last = flagged.len() - 3;
    flagged[last] |= 0x40;
    for message in [
        query(&apex(), RrType::SOA, Some(&newer)),
        flagged,
        query(&apex(), RrType::SOA, Some(&option)),
    ] {
        let seen = said(&answers, &message);
        assert_eq!((seen.rcode, seen.counts), (16, [1, 0, 0, 1]), "{seen:?}");
        assert_eq!(seen.opt, Some(vec![]));
    }
    // 8.2.3: an unknown option is not repeated.
    let option = WithEdns {
        options: vec![(100, b"x".to_vec())],
        ..edns()
    };
    let seen = said(&answers, &query(&apex(), RrType::SOA, Some(&option)));
    soa(&seen, true);
    assert_eq!(seen.opt, Some(vec![]));
}

#[test]
fn the_queries_of_rfc_8906_with_flags_of_edns_are_answered_right() {
    let answers = house();
    // 8.2.4: an unknown flag is not repeated.
    let mut flagged = query(&apex(), RrType::SOA, Some(&edns()));
    let last = flagged.len() - 3;
    flagged[last] |= 0x40;
    soa(&said(&answers, &flagged), true);
    let answer = ask(&answers, &flagged, Transport::Udp).unwrap();
    assert_eq!(answer[answer.len() - 3] & 0x40, 0);
    // 8.2.7: what does not fit is cut off, with EDNS.
    let small = WithEdns {
        payload: 512,
        ..edns()
    };
    let cut = said(&answers, &query(&at("big"), RrType::TXT, Some(&small)));
    assert_eq!((cut.rcode, cut.tc, cut.counts), (0, true, [1, 0, 0, 1]));
    // 8.2.8, 8.2.9: DO comes back, and with another version BADVERS.
    let dnssec = WithEdns {
        dnssec: true,
        ..edns()
    };
    let message = query(&apex(), RrType::SOA, Some(&dnssec));
    soa(&said(&answers, &message), true);
    let answer = ask(&answers, &message, Transport::Udp).unwrap();
    assert_eq!(answer[answer.len() - 4] & 0x80, 0x80);
    let newer = WithEdns {
        version: 1,
        dnssec: true,
        ..edns()
    };
    assert_eq!(
        said(&answers, &query(&apex(), RrType::SOA, Some(&newer))).rcode,
        16
    );
    // 8.2.10: several options at once.
    let many = WithEdns {
        options: vec![
            (3, vec![]),
            (8, vec![0, 1, 16, 0, 127, 0]),
            (10, b"8 bytes!".to_vec()),
            (9, vec![]),
        ],
        ..edns()
    };
    let seen = said(&answers, &query(&apex(), RrType::SOA, Some(&many)));
    soa(&seen, true);
    let codes: Vec<u16> = seen.opt.unwrap().iter().map(|it| it.0).collect();
    assert_eq!(codes, [3, 10]);
}

#[test]
fn answers_and_noise_are_never_answered() {
    let answers = house();
    let message = with_bits(query(&apex(), RrType::SOA, None), 0x80, 0);
    assert_eq!(ask(&answers, &message, Transport::Udp), None);
    for len in 0..12 {
        assert_eq!(ask(&answers, &vec![0; len], Transport::Udp), None);
    }
}

#[test]
fn more_or_less_than_one_question_is_a_fault() {
    let answers = house();
    let mut two = query(&apex(), RrType::SOA, None);
    two[5] = 2;
    let question = two[12..].to_vec();
    two.extend(question);
    let none = [&[0, 1, 0, 0][..], &[0; 8]].concat();
    for message in [two, none] {
        let seen = said(&answers, &message);
        assert_eq!((seen.rcode, seen.counts), (1, [0; 4]));
    }
    // RFC 7873 section 5.4: a cookie may be asked for alone.
    let cookie = WithEdns {
        options: vec![(10, b"8 bytes!".to_vec())],
        ..edns()
    };
    let whole = query(&[], RrType(0), Some(&cookie));
    let mut message = [&whole[..12], &whole[16..]].concat();
    message[5] = 0;
    let seen = said(&answers, &message);
    assert_eq!((seen.rcode, seen.counts), (0, [0, 0, 0, 1]));
    assert_eq!(seen.opt.unwrap()[0].1.len(), 24);
}

#[test]
fn an_answer_over_udp_keeps_to_what_the_client_and_the_cap_allow() {
    let answers = house();
    let cut =
        |edns: Option<WithEdns>| said(&answers, &query(&at("big"), RrType::TXT, edns.as_ref()));
    assert!(cut(None).tc, "without EDNS 512 bytes are all");
    assert!(
        cut(Some(WithEdns {
            payload: 100,
            ..edns()
        }))
        .tc,
        "less than 512 means 512"
    );
    assert!(
        cut(Some(edns())).tc,
        "the cap is 1,232 whatever the client says"
    );
    let whole = ask(
        &answers,
        &query(&at("big"), RrType::TXT, None),
        Transport::Tcp,
    )
    .unwrap();
    assert_eq!((seen(&whole).tc, seen(&whole).counts[1]), (false, 8));
    assert!(whole.len() > 1_232);
}

#[test]
fn a_question_for_a_zone_that_is_not_ours_is_refused_and_says_why() {
    let answers = house();
    let other = name("www.other.test").as_wire().to_vec();
    let seen = said(&answers, &query(&other, RrType::A, Some(&edns())));
    assert_eq!((seen.rcode, seen.aa, seen.counts), (5, false, [1, 0, 0, 1]));
    assert_eq!(seen.opt, Some(vec![(15, vec![0, 20])]));
    let mut chaos = query(&apex(), RrType::TXT, None);
    let last = chaos.len() - 1;
    chaos[last] = 3;
    assert_eq!(said(&answers, &chaos).rcode, 5);
    assert_eq!(
        said(&answers, &query(&at("nothing"), RrType::A, None)).rcode,
        Rcode::NXDOMAIN.0
    );
}

#[test]
fn every_option_is_answered_where_it_has_a_meaning() {
    let answers = house();
    let options = vec![(3, vec![]), (19, vec![]), (11, vec![]), (12, vec![0; 9])];
    let asked = WithEdns { options, ..edns() };
    let message = query(&at("www"), RrType::A, Some(&asked));
    let over = |transport| seen(&ask(&answers, &message, transport).unwrap());
    let (nsid, version) = ((3, b"node-7".to_vec()), (19, vec![2, 0, 0, 0, 0, 7]));
    let keepalive = (11, vec![0, 100]);
    assert_eq!(
        over(Transport::Udp).opt.unwrap(),
        [nsid.clone(), version.clone()]
    );
    assert_eq!(
        over(Transport::Tcp).opt.unwrap(),
        [nsid.clone(), keepalive.clone(), version.clone()]
    );
    let padded = over(Transport::Tls);
    assert_eq!(padded.len, 468);
    let opt = padded.opt.unwrap();
    assert_eq!(opt[..3], [nsid, keepalive, version]);
    assert_eq!((opt[3].0, opt[3].1.iter().all(|it| *it == 0)), (12, true));
    assert_eq!(over(Transport::Https).len, 468);
    // Of a zone that is not ours there is no version.
    let other = name("other.test").as_wire().to_vec();
    let seen = said(&answers, &query(&other, RrType::A, Some(&asked)));
    assert!(seen.opt.unwrap().iter().all(|it| it.0 != 19));
}

#[test]
fn malformed_options_are_faults() {
    let answers = house();
    for options in [
        vec![(10, vec![0; 7])],
        vec![(10, vec![0; 9])],
        vec![(10, vec![0; 41])],
        vec![(19, vec![0])],
    ] {
        let asked = WithEdns { options, ..edns() };
        let seen = said(&answers, &query(&apex(), RrType::SOA, Some(&asked)));
        assert_eq!((seen.rcode, seen.opt), (1, Some(vec![])));
    }
    let mut two = query(&apex(), RrType::SOA, Some(&edns()));
    let opt = two[two.len() - 11..].to_vec();
    two[11] = 2;
    two.extend(opt);
    assert_eq!(said(&answers, &two).rcode, 1);
    let mut garbage = query(&apex(), RrType::SOA, None);
    garbage.push(0);
    assert_eq!(said(&answers, &garbage).rcode, 1);
    let pointer = query(&[0xc0, 12], RrType::SOA, None);
    assert_eq!(said(&answers, &pointer).rcode, 1);
}

#[test]
fn transfers_come_over_connections_only() {
    let answers = house();
    for rtype in [RrType::AXFR, RrType::IXFR] {
        let seen = said(&answers, &query(&apex(), rtype, None));
        assert_eq!((seen.rcode, seen.tc, seen.counts[1]), (0, true, 0));
    }
}

#[test]
fn the_letters_of_a_question_come_back_as_they_were_written() {
    let answers = house();
    let mixed = b"\x03wWw\x07eXaMpLe\x04TesT\0";
    let answer = ask(&answers, &query(mixed, RrType::A, None), Transport::Udp).unwrap();
    assert_eq!(seen(&answer).counts, [1, 1, 0, 0]);
    assert_eq!(&answer[12..12 + mixed.len()], mixed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_message_makes_a_panic_or_an_answer_to_an_answer(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        real: bool,
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        transport in prop::sample::select(vec![Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https]),
    ) {
        let answers = house();
        let options = vec![(3, vec![]), (10, vec![1; 24]), (12, vec![0; 4]), (19, vec![])];
        let asked = WithEdns { options, dnssec: true, ..edns() };
        let mut message = if real { query(&self::at("a.b.w"), RrType::A, Some(&asked)) } else { bytes };
        for (index, byte) in at {
            if !message.is_empty() {
                let at = index.index(message.len());
                message[at] = byte;
            }
        }
        let answer = ask(&answers, &message, transport);
        if message.len() < 12 || message[2] & 0x80 != 0 {
            prop_assert_eq!(answer, None);
        } else {
            let answer = answer.expect("every query is answered");
            prop_assert_eq!(&answer[..2], &message[..2]);
            let seen = seen(&answer);
            prop_assert!(transport != Transport::Udp || seen.len <= 1_232);
            prop_assert!(seen.rcode != 2, "SERVFAIL is never an answer");
        }
    }
}
