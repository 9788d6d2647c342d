//! One question to somebody else's name server, without recursion and within a bound of time. Over UDP as customers'
//! resolvers ask, over TCP where an answer must not be anybody else's.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

use super::message::{HEADER, Rcode};
use super::question::u16_at;
use super::transfer::wire::{self, Reply};
use crate::clock;
use crate::model::{
    domain::{DomainName, RrType},
    limits::ROLL_QUERY_MS,
};

/// Bytes of the largest datagram that is taken: without EDNS nobody sends more than 512.
const DATAGRAM_BYTES: usize = 2_048;
/// How often a question is sent over UDP, where one datagram may be lost.
const TRIES: u32 = 2;

/// The header's flag that asks for recursion.
const RECURSION: u16 = 0x0100;

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("it cannot be reached: {0}")]
    Io(#[from] io::Error),
    #[error("no answer")]
    Silent,
    #[error("an answer that cannot be read")]
    Unreadable,
    #[error("it answers {0}")]
    Code(&'static str),
    #[error("it answers with code {0}")]
    OtherCode(u16),
    #[error("it does not speak for {0}")]
    NotAuthoritative(DomainName),
}

/// What a server says as one who speaks for the name: its answer section, empty where there is no such name or type.
pub(super) async fn authoritative(
    server: SocketAddr,
    source: SocketAddr,
    question: (&DomainName, RrType),
) -> Result<Reply, Unanswered> {
    let reply = over_udp(server, source, question, 0).await?;
    spoken_for(reply, question.0)
}

/// The same over TCP: whoever answers has seen our packets.
pub(super) async fn authoritative_over_tcp(
    server: SocketAddr,
    source: SocketAddr,
    question: (&DomainName, RrType),
) -> Result<Reply, Unanswered> {
    let id = u16::from_be_bytes(clock::random_bytes());
    let asked = wire::request(id, 0, question, None, None);
    let answer = over_tcp(server, source, &asked).await?;
    spoken_for(read(&asked, &answer)?, question.0)
}

/// What a resolver finds, with its recursion.
pub(super) async fn resolved(
    resolver: SocketAddr,
    source: SocketAddr,
    question: (&DomainName, RrType),
) -> Result<Reply, Unanswered> {
    over_udp(resolver, source, question, RECURSION).await
}

/// The same over TCP with the signatures of what is answered (RFC 4035 section 3.1).
pub(super) async fn signed_over_tcp(
    server: SocketAddr,
    source: SocketAddr,
    question: (&DomainName, RrType),
) -> Result<Reply, Unanswered> {
    let id = u16::from_be_bytes(clock::random_bytes());
    let plain = wire::request(id, 0, question, None, None);
    let mut asked = plain.clone();
    // One additional record: OPT with the DO flag and without options (RFC 6891 section 6.1, RFC 3225).
    asked[11] = 1;
    asked.extend([0, 0, 41, 4, 208, 0, 0, 128, 0, 0, 0]);
    let answer = over_tcp(server, source, &asked).await?;
    spoken_for(read(&plain, &answer)?, question.0)
}

/// Whatever a server answers over TCP, as it came: a parent's answer is a referral, and all its sections are of interest.
pub(super) async fn anything_over_tcp(
    server: SocketAddr,
    source: SocketAddr,
    question: (&DomainName, RrType),
) -> Result<Vec<u8>, Unanswered> {
    let id = u16::from_be_bytes(clock::random_bytes());
    let asked = wire::request(id, 0, question, None, None);
    let answer = over_tcp(server, source, &asked).await?;
    let reply = read(&asked, &answer)?;
    match Rcode(reply.rcode) {
        Rcode::NOERROR => Ok(answer),
        Rcode::NXDOMAIN => Err(Unanswered::Code("NXDOMAIN")),
        _ => Err(Unanswered::OtherCode(reply.rcode)),
    }
}

fn spoken_for(reply: Reply, name: &DomainName) -> Result<Reply, Unanswered> {
    match Rcode(reply.rcode) {
        Rcode::NOERROR | Rcode::NXDOMAIN if reply.authoritative => Ok(reply),
        Rcode::NOERROR | Rcode::NXDOMAIN => Err(Unanswered::NotAuthoritative(name.clone())),
        Rcode::SERVFAIL => Err(Unanswered::Code("SERVFAIL")),
        Rcode::REFUSED => Err(Unanswered::Code("REFUSED")),
        Rcode::NOTIMP => Err(Unanswered::Code("NOTIMP")),
        Rcode::FORMERR => Err(Unanswered::Code("FORMERR")),
        Rcode(other) => Err(Unanswered::OtherCode(other)),
    }
}

async fn over_udp(
    server: SocketAddr,
    source: SocketAddr,
    question: (&DomainName, RrType),
    flags: u16,
) -> Result<Reply, Unanswered> {
    let patience = Duration::from_millis(ROLL_QUERY_MS);
    let mut last = Unanswered::Silent;
    for _ in 0..TRIES {
        let id = u16::from_be_bytes(clock::random_bytes());
        let asked = wire::request(id, flags, question, None, None);
        match timeout(patience, exchange(server, source, &asked)).await {
            Ok(Ok(answer)) => {
                let reply = read(&asked, &answer)?;
                // Cut off: the whole of it goes over TCP.
                if answer[2] & 2 != 0 {
                    let answer = over_tcp(server, source, &asked).await?;
                    return read(&asked, &answer);
                }
                return Ok(reply);
            }
            Ok(Err(error)) => last = error.into(),
            Err(_) => {}
        }
    }
    Err(last)
}

async fn exchange(server: SocketAddr, source: SocketAddr, asked: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind(source).await?;
    socket.connect(server).await?;
    socket.send(asked).await?;
    let mut answer = [0; DATAGRAM_BYTES];
    loop {
        let len = socket.recv(&mut answer).await?;
        // What does not answer this question is somebody else's, or late.
        if repeats(asked, &answer[..len]) {
            return Ok(answer[..len].to_vec());
        }
    }
}

async fn over_tcp(
    server: SocketAddr,
    source: SocketAddr,
    asked: &[u8],
) -> Result<Vec<u8>, Unanswered> {
    let whole = async {
        let socket = match server {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind(source)?;
        let mut stream = socket.connect(server).await?;
        let mut framed = (asked.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(asked);
        stream.write_all(&framed).await?;
        let len = usize::from(stream.read_u16().await?);
        let mut answer = vec![0; len];
        stream.read_exact(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let patience = Duration::from_millis(2 * ROLL_QUERY_MS);
    match timeout(patience, whole).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Unanswered::Silent),
    }
}

fn read(asked: &[u8], answer: &[u8]) -> Result<Reply, Unanswered> {
    let reply = wire::read(answer).filter(|_| repeats(asked, answer));
    reply.ok_or(Unanswered::Unreadable)
}

/// Whether an answer has the id and the question of what was asked. Servers may change the case of a name's letters; the
/// lengths of labels are below any letter.
fn repeats(asked: &[u8], answer: &[u8]) -> bool {
    let is_answer = u16_at(answer, 0) == u16_at(asked, 0) && u16_at(answer, 4) == Some(1);
    let (question, repeated) = (&asked[HEADER..], answer.get(HEADER..asked.len()));
    is_answer && repeated.is_some_and(|it| it.eq_ignore_ascii_case(question))
}
