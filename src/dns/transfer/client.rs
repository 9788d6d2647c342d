//! Asks a primary over one connection: its serial first, then what changed since ours or everything. Bounded in time and
//! size; signed when the zone has a key, and then every answer must be.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::super::message::Rcode;
use super::super::tsig::{Checker, Key, Signer, Wrong};
use super::intake::{Came, Intake, Unfit};
use super::wire::{self, Reply, Rr};
use crate::clock;
use crate::model::{
    domain::{DomainName, RrSet, RrType},
    limits::{DNS_PRIMARY_MS, DNS_TRANSFER_IN_MS},
};

/// Why nothing came from a primary.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("it cannot be reached: {0}")]
    Io(#[from] io::Error),
    #[error("it does not answer in time")]
    Slow,
    #[error("it answers what cannot be read")]
    Unreadable,
    #[error("it answers with code {0}")]
    Code(u16),
    #[error("it does not speak for the zone")]
    NotAuthoritative,
    #[error(transparent)]
    Signature(#[from] Wrong),
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// What of a zone is here already.
pub(super) struct Here<'a> {
    pub serial: u32,
    pub sets: &'a [RrSet],
}

/// A connection to a zone's primary.
pub(super) struct Primary<'a> {
    zone: &'a DomainName,
    key: Option<&'a Key>,
    stream: TcpStream,
}

async fn in_time<T>(work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let limit = Duration::from_millis(DNS_PRIMARY_MS);
    timeout(limit, work).await.unwrap_or(Err(Trouble::Slow))
}

impl<'a> Primary<'a> {
    /// Connects from `source`.
    pub async fn connect(
        zone: &'a DomainName,
        key: Option<&'a Key>,
        source: SocketAddr,
        primary: SocketAddr,
    ) -> Result<Self, Trouble> {
        let connected = async {
            let socket = match primary {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            socket.bind(source)?;
            Ok(socket.connect(primary).await?)
        };
        let stream = in_time(connected).await?;
        stream.set_nodelay(true)?;
        Ok(Self { zone, key, stream })
    }

    /// The zone's serial there.
    pub async fn serial(&mut self) -> Result<u32, Trouble> {
        let (id, mut checker) = self.ask(RrType::SOA, None).await?;
        let reply = self.reply(id, checker.as_mut()).await?;
        if !reply.authoritative {
            return Err(Trouble::NotAuthoritative);
        }
        let soa = reply.answers.iter().find(|it| it.name == *self.zone);
        soa.and_then(Rr::serial).ok_or(Trouble::NotAuthoritative)
    }

    /// Fetches the zone: the differences to what is here, where that is known.
    pub async fn fetch(&mut self, here: Option<Here<'_>>) -> Result<Came, Trouble> {
        let limit = Duration::from_millis(DNS_TRANSFER_IN_MS);
        let fetched = timeout(limit, self.fetch_unbounded(here)).await;
        fetched.unwrap_or(Err(Trouble::Slow))
    }

    async fn fetch_unbounded(&mut self, here: Option<Here<'_>>) -> Result<Came, Trouble> {
        let soa = here.as_ref().and_then(|here| {
            let soa = here.sets.iter().find(|it| it.rtype == RrType::SOA)?;
            Rr::of(soa.clone()).next()
        });
        let mut intake = match (&here, &soa) {
            (Some(here), Some(_)) => Intake::since(self.zone, here.serial, here.sets),
            _ => Intake::whole(self.zone),
        };
        let rtype = if soa.is_some() {
            RrType::IXFR
        } else {
            RrType::AXFR
        };
        let (id, mut checker) = self.ask(rtype, soa.as_ref()).await?;
        while !intake.is_over() {
            let reply = self.reply(id, checker.as_mut()).await?;
            if reply.answers.is_empty() {
                return Err(Trouble::Unreadable);
            }
            for rr in reply.answers {
                intake.take(rr)?;
            }
        }
        if let Some(checker) = checker {
            checker.finish()?;
        }
        intake.came().ok_or(Trouble::Unreadable)
    }

    async fn ask(
        &mut self,
        rtype: RrType,
        authority: Option<&Rr>,
    ) -> Result<(u16, Option<Checker>), Trouble> {
        let id = u16::from_be_bytes(clock::random_bytes());
        let mut message = wire::request(id, 0, (self.zone, rtype), None, authority);
        let checker = self.key.map(|key| {
            let mut signer = Signer::of_request(key.clone());
            signer.sign(&mut message, clock::now().0 / 1_000);
            signer.checker()
        });
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&message);
        let stream = &mut self.stream;
        in_time(async { Ok(stream.write_all(&framed).await?) }).await?;
        Ok((id, checker))
    }

    async fn reply(&mut self, id: u16, checker: Option<&mut Checker>) -> Result<Reply, Trouble> {
        let stream = &mut self.stream;
        let message = in_time(async {
            let len = usize::from(stream.read_u16().await?);
            let mut message = vec![0; len];
            stream.read_exact(&mut message).await?;
            Ok(message)
        });
        let message = message.await?;
        let reply = wire::read(&message).filter(|it| it.id == id);
        let reply = reply.ok_or(Trouble::Unreadable)?;
        if let Some(checker) = checker {
            let checked = checker.take(&message, clock::now().0 / 1_000);
            // Who does not know our key says so unsigned; the code tells more than that it is unsigned.
            match checked {
                Err(Wrong::Unsigned) if reply.rcode != Rcode::NOERROR.0 => {}
                other => other?,
            }
        }
        match reply.rcode {
            0 => Ok(reply),
            code => Err(Trouble::Code(code)),
        }
    }
}
