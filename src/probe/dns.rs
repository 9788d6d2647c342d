//! A question to one name server, written and read by hand: it is thirty bytes, and nothing here serves or resolves.
//! Over UDP first, over TCP where the answer does not fit (RFC 7766). Whatever comes back is read within its bounds.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;

use super::fault::Fault;
use super::look::within;
use crate::clock;
use crate::model::domain::{DomainName, RrType};
use crate::model::limits::PROBE_DNS_RECORDS_MAX;

/// Class IN (RFC 1035 section 3.2.4).
const IN: [u8; 2] = [0, 1];
const HEADER: usize = 12;

/// What a name server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// The response code (RFC 1035 section 4.1.1).
    pub(super) rcode: u8,
    /// The types of the answer's records.
    pub(super) records: Vec<RrType>,
    cut_short: bool,
}

/// Asks the server at `address` for a name and type.
pub(super) async fn ask(
    address: SocketAddr,
    name: &DomainName,
    rtype: RrType,
    deadline: Instant,
) -> Result<Heard, Fault> {
    let question = question(name, rtype);
    let id = clock::random_bytes::<2>();
    let message = [&id[..], &header()[2..], &question].concat();
    let heard = over_udp(address, &message, deadline).await?;
    if !heard.cut_short {
        return Ok(heard);
    }
    let asking = over_tcp(address, &message);
    within(deadline, "asking over TCP", asking).await?
}

async fn over_udp(address: SocketAddr, message: &[u8], deadline: Instant) -> Result<Heard, Fault> {
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await.map_err(Fault::Connect)?;
    // Connected, so that the system lets through what comes from there only.
    socket.connect(address).await.map_err(Fault::Connect)?;
    socket.send(message).await.map_err(Fault::Broken)?;
    let mut bytes = [0; 4_096];
    let listening = async {
        loop {
            let length = socket.recv(&mut bytes).await.map_err(Fault::Broken)?;
            // Something else than the answer may be forged or late; the true one may still come.
            if let Some(heard) = read(&bytes[..length], message) {
                return Ok(heard);
            }
        }
    };
    within(deadline, "waiting for the DNS answer", listening).await?
}

async fn over_tcp(address: SocketAddr, message: &[u8]) -> Result<Heard, Fault> {
    let mut stream = TcpStream::connect(address).await.map_err(Fault::Connect)?;
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let framed = [&length.to_be_bytes()[..], message].concat();
    stream.write_all(&framed).await.map_err(Fault::Broken)?;
    let length = stream.read_u16().await.map_err(Fault::Broken)?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.map_err(Fault::Broken)?;
    read(&bytes, message).ok_or(Fault::NotAnAnswer)
}

/// A query with one question; recursion is not asked for, since a name server answers from what it has.
fn header() -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[5] = 1;
    header
}

fn question(name: &DomainName, rtype: RrType) -> Vec<u8> {
    [name.as_wire(), &rtype.0.to_be_bytes(), &IN].concat()
}

/// Reads the answer to `asked`; `None` where it is none.
fn read(bytes: &[u8], asked: &[u8]) -> Option<Heard> {
    let question = &asked[HEADER..];
    let count = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let flags = count(2)?;
    let (response, opcode, cut_short) =
        (flags & 0x8000 != 0, flags >> 11 & 0xf, flags & 0x0200 != 0);
    let repeated = bytes.get(HEADER..HEADER + question.len())?;
    let ours =
        bytes[..2] == asked[..2] && count(4)? == 1 && repeated.eq_ignore_ascii_case(question);
    if !response || opcode != 0 || !ours {
        return None;
    }
    let rcode = u8::try_from(flags & 0xf).unwrap_or_default();
    let answers = usize::from(count(6)?).min(PROBE_DNS_RECORDS_MAX);
    let mut records = Vec::new();
    let mut at = HEADER + question.len();
    for _ in 0..answers {
        // A message that is cut short may end in the middle of a record.
        let Some((record, next)) = record(bytes, at) else {
            if cut_short {
                break;
            }
            return None;
        };
        records.push(record);
        at = next;
    }
    Some(Heard {
        rcode,
        records,
        cut_short,
    })
}

/// The type of the record at `at`, and where the next one begins.
fn record(bytes: &[u8], at: usize) -> Option<(RrType, usize)> {
    let at = after_name(bytes, at)?;
    let fixed = bytes.get(at..at + 10)?;
    let rtype = RrType(u16::from_be_bytes([fixed[0], fixed[1]]));
    let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    bytes.get(at + 10..at + 10 + length)?;
    Some((rtype, at + 10 + length))
}

/// Where the name at `at` ends here; a pointer ends it (RFC 1035 section 4.1.4) and is not followed.
fn after_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            192..=255 => return (at + 2 <= bytes.len()).then_some(at + 2),
            64..=191 => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked() -> Vec<u8> {
        let name: DomainName = "www.example.test".parse().unwrap();
        [&[7, 8], &header()[2..], &question(&name, RrType::A)].concat()
    }

    /// An answer to `asked` with one A record, its owner compressed.
    fn answer() -> Vec<u8> {
        let mut bytes = asked();
        bytes[2] = 0x84;
        bytes[7] = 1;
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        bytes
    }

    #[test]
    fn an_answer_is_read_with_its_code_and_records() {
        let heard = read(&answer(), &asked()).unwrap();
        assert_eq!(heard.rcode, 0);
        assert_eq!(heard.records, [RrType::A]);
        let mut refused = asked();
        (refused[2], refused[3]) = (0x80, 5);
        assert_eq!(read(&refused, &asked()).unwrap().rcode, 5);
    }

    #[test]
    fn another_id_another_question_or_a_question_is_no_answer() {
        for (at, byte) in [(0, 0), (2, 0x04), (2, 0xa4), (5, 2), (14, b'x'), (30, 28)] {
            let mut bytes = answer();
            bytes[at] = byte;
            assert_eq!(read(&bytes, &asked()), None, "byte {at}");
        }
        let mut loud = answer();
        loud[13..16].make_ascii_uppercase();
        assert!(
            read(&loud, &asked()).is_some(),
            "small letters or not (RFC 4343)"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, &asked());
        }

        #[test]
        fn no_damaged_answer_panics(at in 0usize..49, byte: u8, end in 0usize..49) {
            let mut bytes = answer();
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            bytes.truncate(end);
            let _ = read(&bytes, &asked());
        }
    }
}
