//! Updates from others (RFC 2136), signed with TSIG, to zones whose content is given here.
//!
//! The node that gets one makes the zone's next content of it and has that agreed on against the very generation that it
//! read: whoever was faster makes it begin anew. It is answered with success only when a majority holds the content and it
//! is answered from, so that nothing acknowledged can be lost. The same message again gets the first answer.

mod apply;
mod message;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::live::Shelf;
use super::message::{Query, Rcode};
use super::transfer::Transfers;
use super::zone::Zone;
use crate::clock;
use crate::model::{
    Command, Proposal, Refusal, Reply, State,
    dns::{self, Edition, Outline, ZoneContent, ZoneSource, laid_over, publish::ZonePart},
    domain::DomainName,
    limits::{
        UPDATE_AGREED_MS, UPDATE_LIVE_MS, UPDATE_TRIES, UPDATE_ZONE_BYTES_MAX, UPDATES_REMEMBERED,
        UPDATES_WAITING_MAX,
    },
    names::{
        NameChange,
        updates::{Rule, Updated},
    },
    words::{ClientId, Note},
};
use apply::{Sets, Tally};
use message::Update;

/// Not now (RFC 8914 section 4.15).
const EDE_NOT_READY: u16 = 14;
/// The key may not do this (RFC 8914 section 4.19).
const EDE_PROHIBITED: u16 = 18;
/// Not ours to change (RFC 8914 section 4.21).
const EDE_NOT_AUTHORITATIVE: u16 = 20;

/// How an update is answered: its code, and why (RFC 8914).
pub(super) type Said = (Rcode, Option<u16>);

/// Updates on this node: one at a time, and what the last ones were answered.
pub(super) struct Updates {
    at_work: Semaphore,
    waiting: Semaphore,
    answered: Mutex<VecDeque<([u8; 32], Said)>>,
}

impl Default for Updates {
    fn default() -> Self {
        Self {
            at_work: Semaphore::new(1),
            waiting: Semaphore::new(UPDATES_WAITING_MAX),
            answered: Mutex::default(),
        }
    }
}

impl Updates {
    fn known(&self, message: &[u8; 32]) -> Option<Said> {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = answered.iter();
        known.find(|it| it.0 == *message).map(|it| it.1)
    }

    fn remember(&self, message: [u8; 32], said: Said) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.len() >= UPDATES_REMEMBERED {
            answered.pop_front();
        }
        answered.push_back((message, said));
    }
}

/// What an update makes of a zone.
struct Next {
    bytes: Vec<u8>,
    part: ZonePart,
    tally: Tally,
}

impl Transfers {
    /// Does an update that was signed with `key`, and says how it is answered.
    pub(super) async fn update(
        &self,
        message: &[u8],
        query: &Query<'_>,
        key: Option<&DomainName>,
    ) -> Said {
        let zone = &query.question.name;
        let state = self.cluster.state();
        let source = state.dns.zones.get(zone).map(|it| &it.settings.source);
        if source != Some(&ZoneSource::Here) {
            return (Rcode::NOTAUTH, Some(EDE_NOT_AUTHORITATIVE));
        }
        let rule = key.and_then(|key| rule(&state, zone, key));
        let Some((key, rule)) = key.zip(rule) else {
            match key {
                // Anybody can send those.
                None => tracing::debug!(%zone, "an update was refused: it is not signed"),
                Some(key) => {
                    tracing::warn!(%zone, %key, "an update was refused: its key may not update the zone");
                }
            }
            return (Rcode::REFUSED, Some(EDE_PROHIBITED));
        };
        drop(state);
        let update = match Update::read(message, query) {
            Ok(update) => update,
            Err(code) => return (code, None),
        };
        if self.cluster.health().alone() {
            tracing::warn!(%zone, %key, "an update was not taken: this node has no majority");
            return (Rcode::SERVFAIL, Some(EDE_NOT_READY));
        }
        let updates = &self.updates;
        let Ok(_waiting) = updates.waiting.try_acquire() else {
            return (Rcode::SERVFAIL, Some(EDE_NOT_READY));
        };
        let Ok(_place) = updates.at_work.acquire().await else {
            return (Rcode::SERVFAIL, Some(EDE_NOT_READY));
        };
        let hash: [u8; 32] = Sha256::digest(message).into();
        if let Some(said) = updates.known(&hash) {
            return said;
        }
        let said = self.agree_on(zone, (key, &rule), Arc::new(update)).await;
        // What may be done or not is tried again by whoever asked.
        if said.0 != Rcode::SERVFAIL {
            updates.remember(hash, said);
        }
        said
    }

    async fn agree_on(
        &self,
        zone: &DomainName,
        (key, rule): (&DomainName, &Rule),
        update: Arc<Update>,
    ) -> Said {
        for _ in 0..UPDATE_TRIES {
            self.has_content(zone).await;
            let next = self.next(zone, rule.clone(), update.clone()).await;
            let next = match next {
                Ok(Some(next)) => next,
                // Nothing changes: also what a repeat finds.
                Ok(None) => return (Rcode::NOERROR, None),
                Err(said) => return said,
            };
            let (tally, size) = (next.tally, next.part.len);
            let kept = self.blobs.clone();
            let bytes = next.bytes;
            let kept = tokio::task::spawn_blocking(move || kept.put(&bytes)).await;
            let blob = match kept {
                Ok(Ok(blob)) => blob,
                Ok(Err(error)) => {
                    tracing::error!(%zone, %error, "the content after an update cannot be kept");
                    return (Rcode::SERVFAIL, None);
                }
                Err(_) => return (Rcode::SERVFAIL, None),
            };
            let what = format!(
                "{} sets added, {} changed, {} removed",
                tally.added, tally.changed, tally.removed
            );
            let change = NameChange::Updated(Updated {
                key: key.clone(),
                blob,
                size,
                part: next.part,
                what: Note::cut(&what),
            });
            match self.propose_update(change).await {
                Some((_, Reply::Refused(Refusal::Stale { .. }))) => {}
                Some((_, Reply::Refused(refusal))) => {
                    tracing::warn!(%zone, %key, %refusal, "an update was refused");
                    return (Rcode::REFUSED, Some(EDE_PROHIBITED));
                }
                Some((index, _)) => {
                    if self.is_answered(zone, index).await {
                        tracing::info!(%zone, %key, what, "a zone was updated");
                        return (Rcode::NOERROR, None);
                    }
                    tracing::warn!(%zone, %key, "an update is agreed on, and no majority has copied it yet");
                    return (Rcode::SERVFAIL, Some(EDE_NOT_READY));
                }
                None => return (Rcode::SERVFAIL, Some(EDE_NOT_READY)),
            }
        }
        (Rcode::SERVFAIL, Some(EDE_NOT_READY))
    }

    async fn propose_update(&self, change: NameChange) -> Option<(u64, Reply)> {
        let id = ClientId(clock::random_bytes());
        let proposal = Proposal::of_node(id, self.cluster.id(), Command::Names(change));
        let within = Duration::from_millis(UPDATE_AGREED_MS);
        match self.cluster.propose(proposal, within).await {
            Ok(it) => Some((it.index, it.reply)),
            Err(error) => {
                tracing::warn!(%error, "an update could not be agreed on");
                None
            }
        }
    }

    /// Waits until the content of that entry is answered here, and so by a majority held.
    async fn is_answered(&self, zone: &DomainName, index: u64) -> bool {
        let mut changed = self.answers.changed();
        let answered = async {
            loop {
                changed.borrow_and_update();
                let state = self.cluster.state();
                let live = state.dns.zones.get(zone).and_then(|it| it.live.as_ref());
                if let Some(live) = live.filter(|it| it.edition.generation >= index) {
                    let tables = self.answers.tables.load();
                    let serial = tables.zone(zone).map(|it| it.serial());
                    if serial == Some(live.serial) {
                        return;
                    }
                }
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        let within = Duration::from_millis(UPDATE_LIVE_MS);
        timeout(within, answered).await.is_ok()
    }

    /// Waits for what another node made of the zone a moment ago: its list is agreed on before its bytes are here.
    async fn has_content(&self, zone: &DomainName) {
        let mut changes = self.cluster.changes();
        let here = async {
            loop {
                changes.borrow_and_update();
                let state = self.cluster.state();
                let newest = state.dns.zones.get(zone).and_then(newest);
                if newest.is_none_or(|it| self.blobs.has(&it.part.blob))
                    || changes.changed().await.is_err()
                {
                    return;
                }
            }
        };
        // Whoever waits in vain is told so by what follows.
        let _late = timeout(Duration::from_millis(UPDATE_LIVE_MS), here).await;
    }

    /// The zone's next content; nothing when the update changes nothing.
    async fn next(
        &self,
        zone: &DomainName,
        rule: Rule,
        update: Arc<Update>,
    ) -> Result<Option<Next>, Said> {
        let (state, blobs, zone) = (self.cluster.state(), self.blobs.clone(), zone.clone());
        let made = tokio::task::spawn_blocking(move || {
            let mut shelf = Shelf::new(&blobs);
            made(&state, &mut shelf, &zone, (&rule, &update))
        });
        made.await.unwrap_or(Err((Rcode::SERVFAIL, None)))
    }
}

/// What a key may update.
fn rule(state: &State, zone: &DomainName, key: &DomainName) -> Option<Rule> {
    state.names.updates.get(zone)?.get(key).cloned()
}

/// What somebody gave last, whether it is answered already or still copied.
fn newest(zone: &dns::Zone) -> Option<&Edition> {
    let live = zone.live.as_ref().map(|it| &it.edition);
    zone.wanted.as_ref().or(live)
}

/// Makes the next content of what is to be answered now. Blocking.
fn made(
    state: &State,
    shelf: &mut Shelf<'_>,
    name: &DomainName,
    (rule, update): (&Rule, &Update),
) -> Result<Option<Next>, Said> {
    let not_ready = (Rcode::SERVFAIL, Some(EDE_NOT_READY));
    let zone = state.dns.zones.get(name).ok_or(not_ready)?;
    let live = zone.live.as_ref().ok_or(not_ready)?;
    // What somebody gave before and is still copied is not lost: the update comes after it.
    let edition = newest(zone).unwrap_or(&live.edition);
    if edition.part.len > UPDATE_ZONE_BYTES_MAX {
        tracing::warn!(zone = %name, bytes = edition.part.len, most = UPDATE_ZONE_BYTES_MAX, "an update was refused: the zone is too large to be given anew for each");
        return Err((Rcode::REFUSED, Some(EDE_PROHIBITED)));
    }
    let content = shelf.content(name, edition).map_err(|error| {
        tracing::warn!(zone = %name, %error, "an update waits: this node does not have the zone's content yet");
        not_ready
    })?;
    let by_key = |sets: Vec<_>| -> Sets {
        let sets = sets.into_iter();
        sets.map(|it: crate::model::domain::RrSet| ((it.name.clone(), it.rtype), it))
            .collect()
    };
    let over: BTreeSet<_> = live.over.keys().cloned().collect();
    let answered = by_key(laid_over(name, content.clone(), live));
    let before = apply::Zone {
        apex: name,
        content: by_key(content.sets),
        over,
        answered: &answered,
    };
    let (after, tally) = before.update(update, rule).map_err(|code| (code, None))?;
    if tally.is_empty() {
        return Ok(None);
    }
    let sets: Vec<_> = after.into_values().collect();
    let unsound = |why: String| {
        tracing::warn!(zone = %name, why, "an update was refused: what it makes is no zone that can be answered");
        (Rcode::REFUSED, Some(EDE_PROHIBITED))
    };
    if let Err(findings) = Zone::new(name, sets.iter().cloned()) {
        let first = findings.first().map(ToString::to_string);
        return Err(unsound(first.unwrap_or_default()));
    }
    let outline = Outline::of(name, &sets);
    let content = ZoneContent::new(name, sets).map_err(|it| unsound(it.to_string()))?;
    let bytes = content.encode().map_err(|it| unsound(it.to_string()))?;
    let part = ZonePart {
        zone: name.clone(),
        offset: 0,
        len: bytes.len() as u64,
        outline,
        against: zone.generation,
    };
    Ok(Some(Next { bytes, part, tally }))
}
