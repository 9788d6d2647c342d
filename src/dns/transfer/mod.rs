//! Zones between name servers: out to secondaries and in from primaries, with the notices that go before (RFC 1995, 1996,
//! 5936, 8945). Also answers everything else that is signed, as only here are the keys.
//!
//! A zone that is transferred in never expires here and never becomes empty: while its primary is silent or sends what
//! is no zone, the last good content is answered, and the ledger says since when (P4).

mod client;
pub mod delegation;
mod intake;
mod ledger;
mod notice;
mod out;
mod parent;
mod roll;
mod secondary;
pub(super) mod wire;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use out::Earlier;

pub use ledger::{Given, Ledger, Primary, Taken, Told, Traffic};

use super::answers::{Answers, Transport, Unusual};
use super::message::{IN, NOTIFY, QUERY, Query, Rcode, UPDATE, Unreadable, Writer, opt};
use super::respond::{Deed, Moment, respond};
use super::sign::Pen;
use super::tsig::{self, Key, Refused, Signer};
use super::update::Updates;
use crate::blobs::Blobs;
use crate::clock;
use crate::cluster::Cluster;
use crate::model::{
    State,
    dns::{Published, Zone as Agreed, ZoneSource, tsig_context},
    domain::{DomainName, RrType},
    limits::{
        DNS_TRANSFERS_OUT_MAX, DNS_UNUSUAL_AT_ONCE_MAX, MESSAGE_BYTES_MAX, TSIG_RECORD_BYTES_MAX,
    },
};
use crate::seal::Keyring;
use crate::tasks::{Outcome, Stop};

/// Not now (RFC 8914 section 4.15).
const EDE_NOT_READY: u16 = 14;
/// Nobody here may have this (RFC 8914 section 4.19).
const EDE_PROHIBITED: u16 = 18;
/// We are not the zone's server (RFC 8914 section 4.21).
const EDE_NOT_AUTHORITATIVE: u16 = 20;
/// The EDNS option for those (RFC 8914 section 2).
const EXTENDED_ERROR: u16 = 15;

/// Everything that transfers need. Cheap to clone.
#[derive(Clone)]
pub struct Transfers {
    pub(super) cluster: Cluster,
    pub(super) blobs: Blobs,
    keyring: Arc<Keyring>,
    pub(super) answers: Arc<Answers>,
    pub(super) updates: Arc<Updates>,
    /// The addresses that we send from, where they are known: others know us by them.
    own: Vec<IpAddr>,
    /// The port that we answer at.
    own_port: u16,
    leaving: Arc<Semaphore>,
    notices: mpsc::Sender<Noticed>,
}

/// A zone's primary says that it has something newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noticed {
    zone: DomainName,
    /// The primary's address, when the notice came from one.
    from: IpAddr,
}

impl Transfers {
    /// Ready to answer. Notices that are taken come out at the receiver, for [`Self::follow`].
    pub fn new(
        cluster: Cluster,
        blobs: Blobs,
        keyring: Arc<Keyring>,
        answers: Arc<Answers>,
        listen: &[SocketAddr],
    ) -> (Self, mpsc::Receiver<Noticed>) {
        let (notices, noticed) = mpsc::channel(DNS_UNUSUAL_AT_ONCE_MAX);
        let own = listen.iter().map(SocketAddr::ip);
        let transfers = Self {
            cluster,
            blobs,
            keyring,
            answers,
            updates: Arc::default(),
            own: own.filter(|it| !it.is_unspecified()).collect(),
            own_port: listen.first().map_or(53, SocketAddr::port),
            leaving: Arc::new(Semaphore::new(DNS_TRANSFERS_OUT_MAX)),
            notices,
        };
        (transfers, noticed)
    }

    /// Answers what the listeners hand on until asked to stop.
    ///
    /// # Errors
    /// When the listeners are gone.
    pub async fn answer_all(self, mut unusual: mpsc::Receiver<Unusual>, stop: Stop) -> Outcome {
        let at_once = Arc::new(Semaphore::new(DNS_UNUSUAL_AT_ONCE_MAX));
        let at_work = TaskTracker::new();
        loop {
            let place = at_once.clone().acquire_owned().await?;
            let next = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = unusual.recv() => next.ok_or("the name service's listeners are gone")?,
            };
            let transfers = self.clone();
            // one request's answer, which ends with it
            at_work.spawn(async move {
                transfers.answer(next).await;
                drop(place);
            });
        }
    }

    async fn answer(&self, unusual: Unusual) {
        let query = match Query::read(&unusual.message) {
            Ok(query) => query,
            Err(Unreadable::Silence) => return,
            Err(Unreadable::Refuse { id, flags, rcode }) => {
                unusual.answer(fault(id, flags, rcode)).await;
                return;
            }
        };
        let now_s = clock::now().0 / 1_000;
        let state = self.cluster.state();
        let signer = match query.tsig_at {
            None => None,
            Some(at) => {
                let key_of = |name: &DomainName| self.key(&state, name);
                match tsig::check_request(&unusual.message, at, key_of, now_s) {
                    Ok(signer) => Some(signer),
                    Err(refused) => return refuse(&unusual, &query, refused).await,
                }
            }
        };
        match (query.opcode(), query.question.rtype) {
            (QUERY, RrType::AXFR | RrType::IXFR) => {
                self.transfer(&state, &unusual, &query, signer).await;
            }
            (NOTIFY, _) => self.notice(&state, &unusual, &query, signer).await,
            (QUERY, _) => self.ordinary(&unusual, &query, signer).await,
            (UPDATE, _) => {
                let (rcode, why) = match (query.question.rtype, query.question.class) {
                    (RrType::SOA, IN) => {
                        let key = signer.as_ref().map(Signer::key);
                        self.update(&unusual.message, &query, key).await
                    }
                    _ => (Rcode::FORMERR, None),
                };
                say(&unusual, &query, signer, rcode, why).await;
            }
            _ => say(&unusual, &query, signer, Rcode::NOTIMP, None).await,
        }
    }

    /// A key with its secret, if this node can open it.
    fn key(&self, state: &State, name: &DomainName) -> Option<Key> {
        let key = state.dns.keys.get(name)?;
        let secret = self.keyring.open(&tsig_context(name), &key.secret)?;
        Some(Key::new(name.clone(), key.algorithm, &secret))
    }

    /// An earlier answer, ready to be compared; nothing when the keys that signed it are gone, so that it cannot be made
    /// again.
    fn earlier(&self, apex: &DomainName, agreed: &Agreed, answered: &Published) -> Option<Earlier> {
        let pen = match &answered.signed {
            None => None,
            Some(signed) => {
                let keys = agreed.signing.as_ref()?;
                Some(Pen::open(apex, keys, signed, &self.keyring).ok()?)
            }
        };
        let answered = answered.clone();
        Some(Earlier { answered, pen })
    }

    async fn transfer(
        &self,
        state: &State,
        unusual: &Unusual,
        query: &Query<'_>,
        signer: Option<Signer>,
    ) {
        let apex = &query.question.name;
        let agreed = state.dns.zones.get(apex);
        let zone = self.answers.tables.load().zone(apex).cloned();
        let (Some(agreed), Some(zone), IN) = (agreed, zone, query.question.class) else {
            let why = Some(EDE_NOT_AUTHORITATIVE);
            return say(unusual, query, signer, Rcode::NOTAUTH, why).await;
        };
        if !may_have(agreed, unusual.from.ip(), signer.as_ref()) {
            tracing::debug!(zone = %apex, "a transfer was refused: neither its key nor its address is among those of the zone");
            let why = Some(EDE_PROHIBITED);
            return say(unusual, query, signer, Rcode::REFUSED, why).await;
        }
        if self.answers.own.is_answered(apex) {
            // The same serial with other records would stay at a secondary until the next change.
            tracing::debug!(zone = %apex, "a transfer was refused: this node answers the zone by itself until it has rejoined");
            let why = Some(EDE_NOT_READY);
            return say(unusual, query, signer, Rcode::REFUSED, why).await;
        }
        if unusual.transport == Transport::Udp && query.question.rtype == RrType::AXFR {
            return say(unusual, query, signer, Rcode::FORMERR, None).await;
        }
        let Ok(place) = self.leaving.clone().try_acquire_owned() else {
            return say(unusual, query, signer, Rcode::SERVFAIL, None).await;
        };
        let serial = zone.serial();
        let wanted = out::client_serial(&unusual.message, query);
        let earlier = agreed.kept.iter().find(|it| Some(it.serial) == wanted);
        let outgoing = out::Outgoing {
            zone,
            earlier: earlier.and_then(|it| self.earlier(apex, agreed, it)),
            blobs: self.blobs.clone(),
        };
        let (copy, to) = (clone_of(unusual), unusual.from.ip());
        let sent = tokio::task::spawn_blocking(move || {
            let _place = place;
            Query::read(&copy.message).is_ok_and(|query| outgoing.send(&copy, &query, signer))
        });
        if let Ok(true) = sent.await {
            self.answers.ledger.given(apex, to, serial);
        }
    }

    async fn notice(
        &self,
        state: &State,
        unusual: &Unusual,
        query: &Query<'_>,
        signer: Option<Signer>,
    ) {
        let zone = &query.question.name;
        let from = unusual.from.ip().to_canonical();
        let source = state.dns.zones.get(zone).map(|it| &it.settings.source);
        let Some(ZoneSource::Transferred { primaries, key }) = source else {
            let why = Some(EDE_NOT_AUTHORITATIVE);
            return say(unusual, query, signer, Rcode::NOTAUTH, why).await;
        };
        let is_primary = primaries.iter().any(|it| it.ip().to_canonical() == from);
        let is_signed = signer.is_some() && signer.as_ref().map(Signer::key) == key.as_ref();
        if !is_primary && !is_signed {
            let why = Some(EDE_PROHIBITED);
            return say(unusual, query, signer, Rcode::REFUSED, why).await;
        }
        // When very many wait already, the zone's next look comes by itself.
        let _ = self.notices.try_send(Noticed {
            zone: zone.clone(),
            from,
        });
        say(unusual, query, signer, Rcode::NOERROR, None).await;
    }

    /// An ordinary question that is signed: answered as any other, and signed.
    async fn ordinary(&self, unusual: &Unusual, query: &Query<'_>, signer: Option<Signer>) {
        let plain = match query.tsig_at {
            Some(at) => tsig::without(&unusual.message, at),
            None => unusual.message.clone(),
        };
        let mut answer = self.plain_answer(unusual, &plain);
        if let Some(mut signer) = signer {
            let most = match (unusual.transport, query.edns) {
                (Transport::Udp, Some(edns)) => usize::from(edns.udp_size.clamp(512, 1_232)),
                (Transport::Udp, None) => 512,
                _ => MESSAGE_BYTES_MAX,
            };
            if answer.len() + TSIG_RECORD_BYTES_MAX > most {
                // Cut off: the other side asks again over TCP.
                answer.truncate(query.records_at);
                answer[2] |= 2;
                answer[6..12].fill(0);
            }
            signer.sign(&mut answer, clock::now().0 / 1_000);
        }
        if !answer.is_empty() {
            unusual.answer(answer).await;
        }
    }

    fn plain_answer(&self, unusual: &Unusual, plain: &[u8]) -> Vec<u8> {
        let (tables, secrets) = (self.answers.tables.load(), self.answers.secrets.load());
        let moment = Moment {
            tables: &tables,
            secrets: &secrets,
            settings: &self.answers.settings,
            now_s: (clock::now().0 / 1_000) as u32,
        };
        let mut key = tables.name_key();
        let mut room = vec![0; MESSAGE_BYTES_MAX - TSIG_RECORD_BYTES_MAX];
        let (from, transport) = (unusual.from.ip(), unusual.transport);
        match respond(&moment, plain, from, transport, &mut key, &mut room) {
            Deed::Silence => room.clear(),
            Deed::Send(sent) | Deed::HandOn(sent) => room.truncate(sent.len),
        }
        room
    }
}

/// Whether somebody may have a zone: by a key of the zone, or by an address.
fn may_have(zone: &Agreed, from: IpAddr, signer: Option<&Signer>) -> bool {
    let settings = &zone.settings;
    let by_key = signer.is_some_and(|it| settings.transfer_keys.contains(it.key()));
    let from = from.to_canonical();
    by_key
        || settings
            .transfer_from
            .iter()
            .any(|it| it.to_canonical() == from)
}

fn clone_of(unusual: &Unusual) -> Unusual {
    Unusual {
        message: unusual.message.clone(),
        from: unusual.from,
        transport: unusual.transport,
        way: unusual.way.clone(),
    }
}

/// An answer without a question.
fn fault(id: u16, flags: u16, rcode: Rcode) -> Vec<u8> {
    let mut answer = Vec::new();
    let head = super::message::Head {
        id,
        opcode: (flags >> 11 & 15) as u8,
        recursion_desired: flags & 0x0100 != 0,
    };
    let mut writer = Writer::new(&mut answer, head, None, MESSAGE_BYTES_MAX);
    writer.set_rcode(rcode);
    writer.finish(None);
    answer
}

/// An answer that has a code and no records.
fn brief(query: &Query<'_>, rcode: Rcode, why: Option<u16>) -> Vec<u8> {
    let question = &query.question;
    let question = (question.wire, question.rtype, question.class);
    let mut answer = Vec::new();
    let mut writer = Writer::new(
        &mut answer,
        out::head_of(query),
        Some(question),
        MESSAGE_BYTES_MAX,
    );
    writer.set_rcode(rcode);
    writer.set_authoritative(query.opcode() == NOTIFY && rcode == Rcode::NOERROR);
    let edns = query.edns.map(|_| {
        let mut options = Vec::new();
        if let Some(why) = why {
            options.extend(EXTENDED_ERROR.to_be_bytes());
            options.extend(2_u16.to_be_bytes());
            options.extend(why.to_be_bytes());
        }
        opt(1_232, rcode, false, &options)
    });
    writer.finish(edns.as_deref());
    answer
}

async fn say(
    unusual: &Unusual,
    query: &Query<'_>,
    signer: Option<Signer>,
    rcode: Rcode,
    why: Option<u16>,
) {
    let mut answer = brief(query, rcode, why);
    if let Some(mut signer) = signer {
        signer.sign(&mut answer, clock::now().0 / 1_000);
    }
    unusual.answer(answer).await;
}

/// Answers a request whose signature is not taken.
async fn refuse(unusual: &Unusual, query: &Query<'_>, refused: Option<Box<Refused>>) {
    let Some(refused) = refused else {
        return say(unusual, query, None, Rcode::FORMERR, None).await;
    };
    tracing::debug!(zone = %query.question.name, error = refused.error, "a signed request was refused");
    let mut answer = brief(query, Rcode::NOTAUTH, None);
    refused.sign(&mut answer, clock::now().0 / 1_000);
    unusual.answer(answer).await;
}
