//! The canonical form in which sets of records are signed (RFC 4034 section 6, RFC 6840 section 5.1).

use crate::model::domain::{RrSet, RrType};

/// What is signed: the signature's data up to the signature, then each record (RFC 4034 section 3.1.8.1). The owner's
/// name is canonical as it is, and one with a wildcard is signed under the wildcard.
pub(super) fn message(head: &[u8], set: &RrSet) -> Vec<u8> {
    let mut data: Vec<Vec<u8>> = set
        .rdata
        .iter()
        .map(|it| rdata(set.rtype, it.as_wire()))
        .collect();
    data.sort_unstable();
    data.dedup();
    let mut message = head.to_vec();
    for record in data {
        message.extend_from_slice(set.name.as_wire());
        message.extend(set.rtype.0.to_be_bytes());
        message.extend([0, 1]);
        message.extend(set.ttl.to_be_bytes());
        message.extend((record.len() as u16).to_be_bytes());
        message.extend_from_slice(&record);
    }
    message
}

/// Record data with the names of the old types in small letters. The lengths of labels are below any letter, so a run
/// of names can be lowered as bytes.
pub(in crate::dns) fn rdata(rtype: RrType, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let len = data.len();
    let names = match rtype {
        RrType::NS | RrType::CNAME | RrType::PTR | RrType::DNAME | RrType::RP => 0..len,
        // MD, MF, MB, MG, MR, MINFO.
        RrType(3 | 4 | 7 | 8 | 9 | 14) => 0..len,
        RrType::MX | RrType::AFSDB | RrType::KX => 2..len,
        // RT, PX.
        RrType(21 | 26) => 2..len,
        RrType::SRV => 6..len,
        RrType::SOA => 0..len.saturating_sub(20),
        RrType::NAPTR => after_texts(&data)..len,
        _ => len..len,
    };
    if let Some(names) = data.get_mut(names) {
        names.make_ascii_lowercase();
    }
    data
}

/// Where the replacement of a NAPTR record begins: after two numbers and three texts (RFC 3403 section 4.1).
fn after_texts(data: &[u8]) -> usize {
    (0..3).fold(4, |at, _| {
        at + 1 + data.get(at).map_or(0, |len| usize::from(*len))
    })
}
