//! What we say is read by a second parser, that of hickory-proto: it takes every answer, finds the records that the zone
//! said, and still does when they were written again by it, as for DNS over QUIC.

use hickory_server::proto::op::Message;
use hickory_server::proto::rr::Record;
use hickory_server::proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use proptest::prelude::*;

use super::equal::{asked, asked_name, types, zones};
use super::{WithEdns, answers_with, ask, query, settings};
use crate::dns::answers::Transport;
use crate::dns::quic;
use crate::dns::zone::records;
use crate::dns::zone::{Answer, Piece};
use crate::model::domain::RrType;

/// Owner in small letters, type, lifetime, data with whole names.
type Said = (Vec<u8>, u16, u32, Vec<u8>);

fn wire(part: &impl BinEncodable) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(NameEncoding::UncompressedLowercase);
    part.emit(&mut encoder).unwrap();
    bytes
}

fn theirs(section: &[Record]) -> Vec<Said> {
    let mut said: Vec<Said> = section
        .iter()
        .map(|it| {
            let rtype = u16::from(it.record_type());
            (wire(&it.name), rtype, it.ttl, wire(&it.data))
        })
        .collect();
    said.sort();
    said
}

fn ours(section: &[Piece<'_>]) -> Vec<Said> {
    let mut said: Vec<Said> = section
        .iter()
        .flat_map(|piece| {
            records(&piece.data).map(|data| {
                let owner = piece.owner.to_ascii_lowercase();
                (owner, piece.rtype.0, piece.ttl, data.to_vec())
            })
        })
        .collect();
    said.sort();
    said
}

/// Whether what was heard is what the zone said.
fn same(heard: &Message, said: &Answer<'_>) -> Result<(), TestCaseError> {
    prop_assert_eq!(u16::from(heard.response_code), said.rcode.0);
    prop_assert_eq!(heard.authoritative, said.is_authoritative);
    prop_assert_eq!(theirs(&heard.answers), ours(&said.answer));
    prop_assert_eq!(theirs(&heard.authorities), ours(&said.authority));
    prop_assert_eq!(theirs(&heard.additionals), ours(&said.additional));
    Ok(())
}

/// Types whose answers are those of the zone alone.
fn is_ordinary(rtype: RrType) -> bool {
    rtype.0 != 0 && rtype.0 < 128
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_second_parser_reads_the_records_that_the_zone_said_also_as_they_go_over_quic(
        (zone, known) in zones(),
        questions in prop::collection::vec((asked(), types(), any::<bool>(), any::<bool>()), 30),
    ) {
        let (answers, _unusual) = answers_with(settings(), std::slice::from_ref(&zone));
        for (asked, rtype, dnssec, pad) in questions {
            let asked = asked_name(&known, &asked);
            let options = if pad { vec![(12, vec![]), (3, vec![])] } else { vec![] };
            let edns = WithEdns { payload: 1_232, dnssec, options, ..WithEdns::default() };
            let message = query(asked.as_wire(), rtype, Some(&edns));
            let Some(bytes) = ask(&answers, &message, Transport::Quic) else { continue };
            let heard = Message::from_vec(&bytes);
            prop_assert!(heard.is_ok(), "{heard:?}");
            let heard = heard.unwrap();
            let again = quic::read(&bytes).unwrap().to_vec().unwrap();
            if pad && heard.edns.is_some() && is_ordinary(rtype) {
                prop_assert_eq!(bytes.len() % 468, 0);
                prop_assert_eq!(again.len() % 468, 0);
            }
            let again = Message::from_vec(&again).unwrap();
            prop_assert_eq!(&heard.metadata, &again.metadata);
            if is_ordinary(rtype) {
                let said = zone.answer(&asked, rtype, dnssec);
                same(&heard, &said)?;
                same(&again, &said)?;
            }
        }
    }
}
