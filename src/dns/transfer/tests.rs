//! Tests of what needs no cluster: reading other servers' answers, and putting zones together from what they send. That
//! real servers agree is shown in `tests/gateway/interop`.

use proptest::prelude::*;

use super::super::tests::{name, set, soa};
use super::intake::{Came, Intake, Unfit};
use super::wire::{self, Rr};
use crate::model::domain::{Rdata, RrSet, RrType};

const APEX: &str = "example.test";

fn rr(set: RrSet) -> Rr {
    Rr::of(set).next().unwrap()
}

fn start(serial: u32) -> Rr {
    rr(soa(APEX, serial))
}

fn address(owner: &str, last: u8) -> Rr {
    rr(set(owner, RrType::A, &[&[192, 0, 2, last]]))
}

fn base() -> Vec<RrSet> {
    vec![
        soa(APEX, 7),
        set(APEX, RrType::NS, &[name("ns1.example.test").as_wire()]),
        set(
            "www.example.test",
            RrType::A,
            &[&[192, 0, 2, 1], &[192, 0, 2, 2]],
        ),
    ]
}

fn run(mut intake: Intake, records: &[Rr]) -> Result<Option<Came>, Unfit> {
    for record in records {
        intake.take(record.clone())?;
    }
    Ok(intake.came())
}

fn addresses(came: Option<Came>) -> (u32, bool, Vec<u8>) {
    let Some(Came::Zone {
        sets,
        serial,
        incremental,
        ..
    }) = came
    else {
        return (0, false, Vec::new());
    };
    let last = |it: &Rdata| it.as_wire()[3];
    let all = sets.iter().filter(|it| it.rtype == RrType::A);
    (
        serial,
        incremental,
        all.flat_map(|it| it.rdata.iter().map(last)).collect(),
    )
}

#[test]
fn a_whole_zone_ends_with_the_soa_it_began_with() {
    let records = [
        start(9),
        address("www.example.test", 5),
        address("elsewhere.test", 6),
        start(9),
    ];
    let came = run(Intake::whole(&name(APEX)), &records).unwrap();
    assert_eq!(
        addresses(came),
        (9, false, vec![5]),
        "what is outside is left out"
    );
    let cut = run(Intake::whole(&name(APEX)), &records[..3]).unwrap();
    assert_eq!(cut, None, "a zone that was cut off is none");
    let after = [&records[..], &[address("www.example.test", 7)]].concat();
    assert_eq!(
        run(Intake::whole(&name(APEX)), &after),
        Err(Unfit::AfterEnd)
    );
    let torn = [start(9), address("www.example.test", 5), start(10)];
    assert_eq!(
        run(Intake::whole(&name(APEX)), &torn),
        Err(Unfit::Contradiction)
    );
    assert_eq!(
        run(Intake::whole(&name(APEX)), &records[1..]),
        Err(Unfit::NoSoa)
    );
}

#[test]
fn differences_are_applied_step_by_step() {
    let since = || Intake::since(&name(APEX), 7, &base());
    let www = |last| address("www.example.test", last);
    let steps = [
        start(9),
        start(7),
        www(1),
        start(8),
        www(3),
        start(8),
        www(2),
        start(9),
        www(4),
        start(9),
    ];
    assert_eq!(
        addresses(run(since(), &steps).unwrap()),
        (9, true, vec![3, 4])
    );
    assert_eq!(run(since(), &[start(7)]).unwrap(), Some(Came::Nothing));
    assert_eq!(run(since(), &[start(6)]).unwrap(), Some(Came::Nothing));
    let whole = [start(9), www(5), start(9)];
    assert_eq!(
        addresses(run(since(), &whole).unwrap()),
        (9, false, vec![5])
    );
    let foreign = [start(9), start(8), www(2)];
    assert_eq!(run(since(), &foreign), Err(Unfit::NotFromHere));
    let absent = [start(9), start(7), www(77)];
    assert_eq!(run(since(), &absent), Err(Unfit::NotFromHere));
    let gap = [start(9), start(7), start(8), www(3), start(9)];
    assert_eq!(run(since(), &gap), Err(Unfit::Contradiction));
}

#[test]
fn compressed_names_are_written_out_and_pointers_lead_backwards_only() {
    let mut message = vec![0, 1, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0];
    message.extend(b"\x07example\x04test\x00\x00\x0f\x00\x01");
    message.extend(b"\xc0\x0c\x00\x0f\x00\x01\x00\x00\x01\x2c\x00\x09\x00\x0a\x04mail\xc0\x0c");
    let read = wire::read(&message).unwrap();
    let mx = &read.answers[0];
    assert_eq!((mx.name.clone(), mx.ttl), (name(APEX), 300));
    let mut data = vec![0, 10];
    data.extend(name("mail.example.test").as_wire());
    assert_eq!(mx.data.as_wire(), data);
    let at = message.len() - 1;
    message[at] = at as u8 - 1;
    assert_eq!(wire::read(&message), None, "a pointer to itself");
    message[2] = 0;
    assert_eq!(wire::read(&message), None, "a question is no answer");
}

#[test]
fn a_request_for_differences_says_what_is_here() {
    let soa = start(7);
    let message = wire::request(5, 0, (&name(APEX), RrType::IXFR), None, Some(&soa));
    let query = super::Query::read(&message).unwrap();
    assert_eq!(super::out::client_serial(&message, &query), Some(7));
    assert_eq!(soa.soa(), Some([7, 900, 300, 1_209_600, 60]));
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(tail in prop::collection::vec(any::<u8>(), 0..120), answers in 0_u8..4, pointer in any::<u8>()) {
        let mut message = vec![0, 1, 0x84, 0, 0, 1, 0, answers, 0, 0, 0, 0];
        message.extend(b"\x07example\x04test\x00\x00\x06\x00\x01\xc0");
        message.push(pointer);
        message.extend(&tail);
        let _ = wire::read(&message);
        let _ = wire::read(&tail);
    }

    #[test]
    fn any_records_in_any_order_make_a_whole_zone_or_none(picks in prop::collection::vec(0_u32..8, 0..12), whole in any::<bool>()) {
        let apex = name(APEX);
        let mut intake = if whole { Intake::whole(&apex) } else { Intake::since(&apex, 7, &base()) };
        for pick in picks {
            let record = match pick {
                0..=3 => start(6 + pick),
                other => address("www.example.test", other as u8),
            };
            if intake.take(record).is_err() {
                break;
            }
        }
        if let Some(Came::Zone { sets, serial, .. }) = intake.came() {
            prop_assert_eq!(crate::model::dns::content::serial_of(&apex, &sets), Some(serial));
        }
    }
}
