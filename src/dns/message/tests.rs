//! Tests of questions read and answers written, against bytes laid out by hand and against each other.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::{
    dns::zone::{Answer, Piece, Zone, file},
    model::domain::{DomainName, RrType},
};

const ZONE: &str = "$TTL 300
@ SOA ns hostmaster 1 900 300 1209600 60
@ NS ns
ns A 192.0.2.53
www A 192.0.2.1
www AAAA 2001:db8::1
big TXT \"0123456789012345678901234567890123456789012345678901234567890123456789\"
mail MX 10 www
sub NS ns.sub
sub NS ns.other
ns.sub A 192.0.2.54
ns.other A 192.0.2.55
";

fn zone() -> Zone {
    let read = file::read(ZONE.as_bytes(), &"example.test".parse().unwrap());
    assert_eq!(read.mistakes, []);
    read.zone.unwrap()
}

fn question(name: &str, rtype: RrType, extra: &[u8], additional: u8) -> Vec<u8> {
    let name: DomainName = name.parse().unwrap();
    let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, additional];
    bytes.extend_from_slice(name.as_wire());
    bytes.extend(rtype.0.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend_from_slice(extra);
    bytes
}

const HEAD: Head = Head {
    id: 0xabcd,
    opcode: QUERY,
    recursion_desired: true,
};

fn written(answer: &Answer<'_>, name: &[u8], rtype: RrType, limit: usize) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let is_cut = write(&mut out, HEAD, (name, rtype, IN), answer, None, limit);
    (out, is_cut)
}

fn wire(name: &str) -> Vec<u8> {
    name.parse::<DomainName>().unwrap().as_wire().to_vec()
}

#[test]
fn a_question_is_read_with_its_options() {
    let opt = opt(1232, Rcode::NOERROR, true, &[0, 3, 0, 0, 0, 10, 0, 2, 7, 8]);
    let bytes = question("www.example.test", RrType::A, &opt, 1);
    let query = Query::read(&bytes).unwrap();
    assert_eq!((query.id, query.opcode()), (0xabcd, QUERY));
    assert!(query.recursion_desired() && query.dnssec_ok());
    assert_eq!(query.question.rtype, RrType::A);
    let edns = query.edns.unwrap();
    assert_eq!((edns.udp_size, edns.version), (1232, 0));
    assert_eq!(edns.option(3), Some(&[][..]));
    assert_eq!(edns.option(10), Some(&[7, 8][..]));
    assert_eq!(edns.option(9), None);
}

#[test]
fn what_is_no_single_question_is_refused_and_answers_are_not_answered() {
    let good = question("www.example.test", RrType::A, &[], 0);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Query::read(&bytes).unwrap_err()
    };
    let refused = |rcode, flags| Unreadable::Refuse {
        id: 0xabcd,
        flags,
        rcode,
    };
    assert_eq!(with(2, 0x81), Unreadable::Silence, "an answer");
    assert_eq!(Query::read(&good[..11]).unwrap_err(), Unreadable::Silence);
    assert_eq!(with(5, 0), refused(Rcode::FORMERR, 0x0100), "no question");
    assert_eq!(with(5, 2), refused(Rcode::FORMERR, 0x0100), "two questions");
    assert_eq!(
        with(2, 0x10),
        refused(Rcode::NOTIMP, 0x1000),
        "opcode STATUS"
    );
    assert_eq!(
        with(11, 1),
        refused(Rcode::FORMERR, 0x0100),
        "a record missing"
    );
    assert_eq!(with(12, 0xc0), refused(Rcode::FORMERR, 0x0100), "a pointer");
    let opt = opt(1232, Rcode::NOERROR, false, &[]);
    let twice = question("a.test", RrType::A, &[&opt[..], &opt].concat(), 2);
    assert!(Query::read(&twice).is_err(), "two OPT records");
    let longer = question("a.test", RrType::A, b"x", 0);
    assert!(Query::read(&longer).is_err(), "bytes after the end");
}

#[test]
fn an_answer_points_to_names_already_written_and_keeps_the_case_of_the_question() {
    let zone = zone();
    let name = "mail.example.test";
    let answer = zone.answer(&name.parse().unwrap(), RrType::MX, false);
    let mut asked = wire(name);
    asked[1] = b'M';
    asked[7] = b'X';
    let (bytes, is_cut) = written(&answer, &asked, RrType::MX, 512);
    assert!(!is_cut);
    let mut wanted = vec![0xab, 0xcd, 0x85, 0, 0, 1, 0, 1, 0, 0, 0, 2];
    wanted.extend_from_slice(&asked);
    wanted.extend([0, 15, 0, 1]);
    wanted.extend([0xc0, 12, 0, 15, 0, 1, 0, 0, 1, 44, 0, 8, 0, 10]);
    wanted.extend(b"\x03www\xc0\x11");
    let www = 12 + asked.len() as u8 + 4 + 14;
    wanted.extend([0xc0, www, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1]);
    wanted.extend([0xc0, www, 0, 28, 0, 1, 0, 0, 1, 44, 0, 16]);
    wanted.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(bytes, wanted);
}

#[test]
fn what_does_not_fit_cuts_the_answer_off_only_when_it_is_needed() {
    let zone = zone();
    let ask = |name: &str, rtype| zone.answer(&name.parse().unwrap(), rtype, false);
    // TXT of 70 bytes beside a question of 33.
    let big = ask("big.example.test", RrType::TXT);
    let (bytes, is_cut) = written(&big, &wire("big.example.test"), RrType::TXT, 100);
    assert!(is_cut && bytes[2] & 2 == 2, "TC");
    assert_eq!(bytes.len(), HEADER + wire("big.example.test").len() + 4);
    assert_eq!(bytes[6..12], [0; 6]);
    // Addresses beside an answer are left out without a word.
    let mail = ask("mail.example.test", RrType::MX);
    let (bytes, is_cut) = written(&mail, &wire("mail.example.test"), RrType::MX, 60);
    assert!(!is_cut && bytes[2] & 2 == 0);
    assert_eq!(bytes[6..12], [0, 1, 0, 0, 0, 0]);
    // Glue of a server inside the other zone is needed (RFC 9471), of one beside it not.
    let referral = ask("x.sub.example.test", RrType::A);
    let name = wire("x.sub.example.test");
    let (whole, _) = written(&referral, &name, RrType::A, 512);
    assert_eq!(whole[6..12], [0, 0, 0, 2, 0, 2]);
    let (less, is_cut) = written(&referral, &name, RrType::A, whole.len() - 1);
    assert!(!is_cut);
    assert_eq!(less[6..12], [0, 0, 0, 2, 0, 1]);
    let (_, is_cut) = written(&referral, &name, RrType::A, whole.len() - 17);
    assert!(is_cut);
}

#[test]
fn the_upper_bits_of_a_code_travel_in_opt() {
    let opt = opt(1232, Rcode::BADVERS, true, &[]);
    assert_eq!(opt, [0, 0, 41, 4, 208, 1, 0, 0x80, 0, 0, 0]);
}

/// Reads a name that may end in pointers.
fn followed(message: &[u8], mut at: usize) -> Vec<u8> {
    let mut name = Vec::new();
    loop {
        let len = usize::from(message[at]);
        if len >= 0xc0 {
            let to = (len & 0x3f) << 8 | usize::from(message[at + 1]);
            assert!(to < at, "pointers go backwards");
            at = to;
            continue;
        }
        name.extend_from_slice(&message[at..=at + len]);
        if len == 0 {
            return name;
        }
        at += 1 + len;
    }
}

fn some_name() -> impl Strategy<Value = Vec<u8>> {
    let label = prop::sample::select(vec!["a", "b", "www", "WWW", "example", "test"]);
    prop::collection::vec(label, 0..6).prop_map(|labels| {
        let mut name: Vec<u8> = Vec::new();
        for label in labels {
            name.push(label.len() as u8);
            name.extend(label.bytes());
        }
        name.push(0);
        name
    })
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), flags in 0..16_u8) {
        let _ = Query::read(&bytes);
        let mut shaped = question("www.example.test", RrType::A, &bytes, flags);
        let _ = Query::read(&shaped);
        shaped.truncate(bytes.len());
        let _ = Query::read(&shaped);
    }

    #[test]
    fn names_written_with_pointers_are_read_back(names in prop::collection::vec(some_name(), 1..40), limit in 100..800_usize) {
        let mut out = vec![9; 2];
        let mut writer = Writer::new(&mut out, HEAD, Some((&names[0], RrType::A, IN)), limit);
        let mut kept = Vec::new();
        for name in &names {
            let data = [&(name.len() as u16).to_be_bytes()[..], name].concat();
            let piece = Piece {
                owner: Cow::Borrowed(name),
                rtype: RrType::NS,
                ttl: 5,
                data: Cow::Owned(data),
                is_required: true,
            };
            let len = writer.len();
            if writer.add(Section::Answer, &piece) {
                kept.push((len, name));
            } else {
                prop_assert_eq!(writer.len(), len);
            }
        }
        writer.finish(None);
        let message = &out[2..];
        prop_assert!(message.len() <= limit.max(HEADER + names[0].len() + 4));
        prop_assert_eq!(usize::from(message[7]), kept.len());
        for (at, name) in kept {
            prop_assert!(followed(message, at).eq_ignore_ascii_case(name));
            let mut end = at;
            while message[end] != 0 && message[end] < 0xc0 {
                end += 1 + usize::from(message[end]);
            }
            let data = end + if message[end] == 0 { 1 } else { 2 } + 10;
            prop_assert!(followed(message, data).eq_ignore_ascii_case(name));
        }
    }
}
