//! A name server that takes updates (RFC 2136), signed with TSIG (RFC 8945), over TCP.
//!
//! One message holds all changes and the condition of each: the set that is there must be the one that was looked at, to
//! the last record, or none must be. The server does all of it or nothing, so that what somebody else wrote meanwhile is
//! refused and never written over.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::message::{CLASS_ANY, HEADER, IN, Rcode, UPDATE};
use super::super::question::u16_at;
use super::super::transfer::wire;
use super::super::tsig::{Key, Signer, Wrong};
use super::{Finding, Trouble, Wrote};
use crate::clock;
use crate::model::{
    domain::{DomainName, RrSet, RrType},
    keeper::{SetKey, plan::Change},
    limits::{KEEPER_QUERY_MS, MESSAGE_BYTES_MAX, TSIG_RECORD_BYTES_MAX},
};

/// The class of a condition that there is no such set (RFC 2136 section 2.4.3).
const CLASS_NONE: u16 = 254;
/// A set is there that must not be.
const YXRRSET: u16 = 7;
/// A set is not there as it must be.
const NXRRSET: u16 = 8;
/// A name is not in the zone.
const NOTZONE: u16 = 10;

/// A name server, and the key that we sign with.
pub(super) struct Server {
    pub address: SocketAddr,
    pub zone: DomainName,
    pub key: Option<Key>,
}

/// What went wrong with one exchange.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it cannot be reached: {0}")]
    Connect(io::Error),
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("it does not answer in time")]
    Slow,
    #[error("it answers what cannot be read")]
    Unreadable,
    #[error(transparent)]
    Signature(#[from] Wrong),
}

impl Server {
    /// The sets that are there of those asked for, and an alias where one is in the way.
    pub async fn sets(&self, keys: &[SetKey]) -> Result<Vec<RrSet>, Trouble> {
        let mut found: BTreeMap<SetKey, RrSet> = BTreeMap::new();
        let asked = async {
            let mut line = Line::open(self).await?;
            let mut names: Vec<&DomainName> = keys.iter().map(|it| &it.0).collect();
            names.sort();
            names.dedup();
            let aliases = names.into_iter().map(|it| (it, RrType::CNAME));
            for (name, rtype) in aliases.chain(keys.iter().map(|it| (&it.0, it.1))) {
                let reply = line.ask((name, rtype)).await?;
                match Rcode(reply.rcode) {
                    Rcode::NOERROR | Rcode::NXDOMAIN if reply.authoritative => {}
                    Rcode::NOERROR | Rcode::NXDOMAIN => {
                        return Ok(Err(Trouble::refused(format!(
                            "{} does not speak for {name}",
                            self.address
                        ))));
                    }
                    code => return Ok(Err(self.said_no("a question", code.0))),
                }
                for rr in reply.answers {
                    let wanted =
                        rr.name == *name && (rr.rtype == rtype || rr.rtype == RrType::CNAME);
                    if !wanted {
                        continue;
                    }
                    let set = found
                        .entry((rr.name.clone(), rr.rtype))
                        .or_insert_with(|| RrSet {
                            name: rr.name.clone(),
                            rtype: rr.rtype,
                            ttl: rr.ttl,
                            rdata: Vec::new(),
                        });
                    if !set.rdata.contains(&rr.data) {
                        set.rdata.push(rr.data);
                    }
                }
            }
            Ok::<_, Fault>(Ok(()))
        };
        match asked.await {
            Ok(done) => done?,
            Err(fault @ Fault::Signature(_)) => {
                return Err(Trouble::refused(format!("{}: {fault}", self.address)));
            }
            Err(fault) => return Err(Trouble::later(format!("{}: {fault}", self.address))),
        }
        Ok(found.into_values().collect())
    }

    /// Writes all changes in one message.
    pub async fn write(&self, changes: &[Change]) -> Result<Wrote, Trouble> {
        let id = u16::from_be_bytes(clock::random_bytes());
        let message = update(id, &self.zone, changes);
        if message.len() + TSIG_RECORD_BYTES_MAX > MESSAGE_BYTES_MAX {
            return Err(Trouble::refused("the changes do not fit one message"));
        }
        let mut line = match Line::open(self).await {
            Ok(line) => line,
            Err(fault) => return Err(Trouble::later(format!("{}: {fault}", self.address))),
        };
        let (answer, signed) = match line.exchange(id, message).await {
            Ok(answer) => answer,
            // Whoever does not know our key did nothing.
            Err(fault @ Fault::Signature(Wrong::Told(_))) => {
                return Err(Trouble::refused(format!("{}: {fault}", self.address)));
            }
            Err(fault) => return Ok(Wrote::Perhaps(format!("{}: {fault}", self.address))),
        };
        let code = u16_at(&answer, 2).unwrap_or(2) & 15;
        match Rcode(code) {
            Rcode::NOERROR if signed => Ok(Wrote::Done),
            Rcode::NOERROR => Ok(Wrote::Perhaps("its answer is not signed".to_owned())),
            // It broke somewhere: what it did before that is to be looked at.
            Rcode::SERVFAIL => Ok(Wrote::Perhaps(format!("{} broke at it", self.address))),
            _ => Err(self.said_no("the update", code)),
        }
    }

    fn said_no(&self, what: &str, code: u16) -> Trouble {
        let why = match code {
            YXRRSET | NXRRSET => "somebody else changed it meanwhile; nothing was written",
            NOTZONE => "a name is not in that zone there",
            5 => "REFUSED: the key may not do this there, or this address may not",
            9 => "NOTAUTH: it does not know the key, or is not the zone's primary",
            1 => "FORMERR: it does not understand it",
            4 => "NOTIMP: it takes no updates",
            _ => "with an error",
        };
        let says = format!("{} answers {what} with code {code}: {why}", self.address);
        match code {
            2 => Trouble::later(says),
            _ => Trouble::refused(says),
        }
    }

    /// What can be said of it before an emergency.
    pub async fn look_over(&self) -> Vec<Finding> {
        let asked = async {
            let mut line = Line::open(self).await?;
            line.ask((&self.zone, RrType::SOA)).await
        };
        match asked.await {
            Ok(reply) if reply.rcode == 0 && reply.authoritative => {
                vec![Finding::good(format!(
                    "{} speaks for {} and takes the key",
                    self.address, self.zone
                ))]
            }
            Ok(reply) => vec![Finding::bad(
                format!(
                    "{} does not speak for {}, code {}",
                    self.address, self.zone, reply.rcode
                ),
                "name the zone's primary, and let the key ask there",
            )],
            Err(fault) => vec![Finding::bad(
                format!("{}: {fault}", self.address),
                "look at the address, the firewall, the key's name and secret, and both clocks",
            )],
        }
    }
}

/// One connection to a server.
struct Line<'s> {
    server: &'s Server,
    stream: TcpStream,
}

async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let limit = Duration::from_millis(KEEPER_QUERY_MS);
    timeout(limit, work).await.unwrap_or(Err(Fault::Slow))
}

impl<'s> Line<'s> {
    async fn open(server: &'s Server) -> Result<Self, Fault> {
        let stream = in_time(async {
            let stream = TcpStream::connect(server.address).await;
            stream.map_err(Fault::Connect)
        });
        let stream = stream.await?;
        stream.set_nodelay(true).map_err(Fault::Connect)?;
        Ok(Self { server, stream })
    }

    async fn ask(&mut self, question: (&DomainName, RrType)) -> Result<wire::Reply, Fault> {
        let id = u16::from_be_bytes(clock::random_bytes());
        let message = wire::request(id, 0, question, None, None);
        let (answer, _) = self.exchange(id, message).await?;
        wire::read(&answer).ok_or(Fault::Unreadable)
    }

    /// Sends a message, signed where there is a key, and takes its answer. Says whether that was signed: who does not
    /// know our key says no without a signature, and only that is taken so.
    async fn exchange(&mut self, id: u16, mut message: Vec<u8>) -> Result<(Vec<u8>, bool), Fault> {
        let checker = self.server.key.as_ref().map(|key| {
            let mut signer = Signer::of_request(key.clone());
            signer.sign(&mut message, clock::now().0 / 1_000);
            signer.checker()
        });
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&message);
        let stream = &mut self.stream;
        let answer = in_time(async {
            stream.write_all(&framed).await.map_err(Fault::Broken)?;
            let len = usize::from(stream.read_u16().await.map_err(Fault::Broken)?);
            let mut answer = vec![0; len];
            stream
                .read_exact(&mut answer)
                .await
                .map_err(Fault::Broken)?;
            Ok(answer)
        });
        let answer = answer.await?;
        let flags = u16_at(&answer, 2).ok_or(Fault::Unreadable)?;
        if u16_at(&answer, 0) != Some(id) || flags & 0x8000 == 0 || answer.len() < HEADER {
            return Err(Fault::Unreadable);
        }
        let Some(mut checker) = checker else {
            return Ok((answer, true));
        };
        match checker.take(&answer, clock::now().0 / 1_000) {
            Ok(()) => Ok((answer, true)),
            Err(Wrong::Unsigned) if flags & 15 != 0 => Ok((answer, false)),
            Err(wrong) => Err(wrong.into()),
        }
    }
}

/// The message of an update: zone, conditions, changes (RFC 2136 section 2).
fn update(id: u16, zone: &DomainName, changes: &[Change]) -> Vec<u8> {
    let (mut conditions, mut updates) = (Vec::new(), Vec::new());
    let (mut condition_count, mut update_count) = (0_u16, 0_u16);
    for change in changes {
        let owner = (&change.name, change.rtype);
        match &change.before {
            // The set exists with exactly this data, whatever its lifetime (section 2.4.2).
            Some(set) => {
                for data in &set.rdata {
                    put(&mut conditions, owner, IN, 0, data.as_wire());
                    condition_count = condition_count.saturating_add(1);
                }
            }
            None => {
                put(&mut conditions, owner, CLASS_NONE, 0, &[]);
                condition_count = condition_count.saturating_add(1);
            }
        }
    }
    // What goes makes room before anything comes: an alias stands alone at its name.
    for change in changes.iter().filter(|it| it.before.is_some()) {
        put(
            &mut updates,
            (&change.name, change.rtype),
            CLASS_ANY,
            0,
            &[],
        );
        update_count = update_count.saturating_add(1);
    }
    for set in changes.iter().filter_map(|it| it.after.as_ref()) {
        for data in &set.rdata {
            put(
                &mut updates,
                (&set.name, set.rtype),
                IN,
                set.ttl,
                data.as_wire(),
            );
            update_count = update_count.saturating_add(1);
        }
    }
    let mut out = Vec::with_capacity(512);
    out.extend(id.to_be_bytes());
    out.extend((u16::from(UPDATE) << 11).to_be_bytes());
    let counts = [1, condition_count, update_count, 0_u16];
    out.extend(counts.iter().flat_map(|it| it.to_be_bytes()));
    out.extend_from_slice(zone.as_wire());
    out.extend(RrType::SOA.0.to_be_bytes());
    out.extend(IN.to_be_bytes());
    out.extend(conditions);
    out.extend(updates);
    out
}

fn put(out: &mut Vec<u8>, (name, rtype): (&DomainName, RrType), class: u16, ttl: u32, data: &[u8]) {
    out.extend_from_slice(name.as_wire());
    out.extend(rtype.0.to_be_bytes());
    out.extend(class.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend((data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
}
