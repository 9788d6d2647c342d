//! Zones that come from their primaries: the leader looks by the SOA's times, any node that got a notice looks at once.
//! What comes is checked to be a zone that can be answered, kept as a blob, and agreed on like any other content; the
//! generation fence lets one of two nodes that fetched the same win.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::super::live::Shelf;
use super::super::tsig::Key;
use super::super::zone::Zone;
use super::client::{Here, Primary, Trouble};
use super::intake::Came;
use super::ledger::Taken;
use super::wire::Rr;
use super::{Noticed, Transfers};
use crate::blobs::{BlobError, Blobs};
use crate::clock;
use crate::cluster::ProposeError;
use crate::model::{
    Command, Proposal, Refusal, Reply,
    dns::{
        ContentError, Edition, Outline, Zone as Agreed, ZoneContent, ZoneSettings, ZoneSource,
        publish::ZonePart, serial_after,
    },
    domain::{DomainName, RrSet},
    limits::{
        DNS_REFRESH_S_MAX, DNS_REFRESH_S_MIN, DNS_RETRY_S_MAX, DNS_RETRY_S_MIN,
        DNS_TRANSFERS_IN_MAX,
    },
    words::{ClientId, Note},
};
use crate::tasks::{Outcome, Stop};

/// How often settings are looked at when nothing changes.
const LOOK: Duration = Duration::from_secs(30);
/// How long a node that does not lead leaves a notice to the one that does.
const GRACE: Duration = Duration::from_secs(1);
/// How long agreeing on a new content may take.
const AGREED_WITHIN: Duration = Duration::from_secs(20);
/// Of a hundred sets so many may be missing from a new content without a warning.
const LOSS_WARNED_PERCENT: u64 = 30;

/// When a zone's primaries are asked next.
#[derive(Default)]
struct Look {
    /// When; nothing on a node that does not lead and got no notice.
    at: Option<Instant>,
    settings: ZoneSettings,
    failures: u32,
    is_under_way: bool,
    /// Who sent the last notice.
    from: Option<IpAddr>,
    /// Another notice came while the look was under way.
    again: bool,
}

/// Why nothing is taken from a primary.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error("the key {0} cannot be opened on this node")]
    Key(DomainName),
    #[error("its serial {there} is before {here}, which came earlier")]
    Backward { there: u32, here: u32 },
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error("it is no zone that can be answered from: {0}")]
    Unsound(String),
    #[error("it cannot be kept: {0}")]
    Blob(#[from] BlobError),
    #[error("checking it ended early")]
    Ended(#[from] JoinError),
    #[error("the cluster cannot agree on it: {0}")]
    Agreement(#[from] ProposeError),
    #[error("the cluster refuses it: {0}")]
    Refused(Refusal),
}

/// How a look ended.
struct Looked {
    zone: DomainName,
    is_well: bool,
}

impl Transfers {
    /// Keeps transferred zones in step with their primaries until asked to stop.
    ///
    /// # Errors
    /// When the cluster's handle is gone.
    pub async fn follow(self, mut noticed: mpsc::Receiver<Noticed>, stop: Stop) -> Outcome {
        let mut changes = self.cluster.changes();
        let mut health = self.cluster.health_changes();
        let mut looks: BTreeMap<DomainName, Look> = BTreeMap::new();
        let mut under_way: JoinSet<Looked> = JoinSet::new();
        loop {
            changes.borrow_and_update();
            let leads = health.borrow_and_update().leader == Some(self.cluster.id());
            self.plan(&mut looks, leads);
            self.start_looks(&mut looks, &mut under_way);
            let next = looks.values().filter(|it| !it.is_under_way);
            let wait = next.filter_map(|it| it.at).min();
            let wait = wait.map_or(LOOK, |at| at.saturating_duration_since(clock::monotonic()));
            let is_full = under_way.len() >= DNS_TRANSFERS_IN_MAX;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                it = changes.changed() => it?,
                it = health.changed() => it?,
                Some(it) = noticed.recv() => {
                    let look = looks.entry(it.zone).or_default();
                    let grace = if leads { Duration::ZERO } else { GRACE };
                    look.at = Some(clock::monotonic() + grace);
                    look.from = Some(it.from);
                    look.again = look.is_under_way;
                }
                Some(looked) = under_way.join_next() => {
                    if let Ok(looked) = looked {
                        self.replan(&mut looks, looked, leads);
                    }
                }
                () = tokio::time::sleep(wait.min(LOOK)), if !is_full => {}
            }
        }
    }

    /// On the leader every transferred zone has its next look.
    fn plan(&self, looks: &mut BTreeMap<DomainName, Look>, leads: bool) {
        let state = self.cluster.state();
        let is_transferred = |zone: &Agreed| zone.settings.source != ZoneSource::Here;
        looks.retain(|name, _| state.dns.zones.get(name).is_some_and(is_transferred));
        for (name, zone) in &state.dns.zones {
            if !is_transferred(zone) {
                continue;
            }
            let look = looks.entry(name.clone()).or_default();
            if leads && (look.at.is_none() || look.settings.source != zone.settings.source) {
                look.at = Some(clock::monotonic());
                look.settings = zone.settings.clone();
                look.again = look.is_under_way;
            }
        }
    }

    fn start_looks(&self, looks: &mut BTreeMap<DomainName, Look>, under_way: &mut JoinSet<Looked>) {
        let now = clock::monotonic();
        for (name, look) in looks.iter_mut() {
            if under_way.len() >= DNS_TRANSFERS_IN_MAX {
                return;
            }
            if look.is_under_way || look.at.is_none_or(|at| at > now) {
                continue;
            }
            look.is_under_way = true;
            let (transfers, zone, from) = (self.clone(), name.clone(), look.from.take());
            under_way.spawn(async move {
                let is_well = transfers.look(&zone, from).await;
                Looked { zone, is_well }
            });
        }
    }

    fn replan(&self, looks: &mut BTreeMap<DomainName, Look>, looked: Looked, leads: bool) {
        let (refresh, retry) = self.pace(&looked.zone);
        let Some(look) = looks.get_mut(&looked.zone) else {
            return;
        };
        look.is_under_way = false;
        let wait = if looked.is_well {
            look.failures = 0;
            refresh
        } else {
            look.failures = look.failures.saturating_add(1);
            let doubled = DNS_RETRY_S_MIN << (look.failures - 1).min(12);
            Duration::from_secs(doubled).min(retry)
        };
        look.at = match std::mem::take(&mut look.again) {
            true => Some(clock::monotonic()),
            false => leads.then(|| clock::monotonic() + wait),
        };
    }

    /// How long after a good look, and at most after a bad one, the next comes: as the zone's SOA says, within bounds.
    fn pace(&self, zone: &DomainName) -> (Duration, Duration) {
        let zone = self.answers.tables.load().zone(zone).cloned();
        let soa = zone.and_then(|it| Rr::of(it.rrsets().next()?).next()?.soa());
        let (refresh, retry) = soa.map_or((DNS_REFRESH_S_MIN, DNS_RETRY_S_MIN * 12), |it| {
            (u64::from(it[1]), u64::from(it[2]))
        });
        let refresh = refresh.clamp(DNS_REFRESH_S_MIN, DNS_REFRESH_S_MAX);
        let retry = retry.clamp(DNS_RETRY_S_MIN, DNS_RETRY_S_MAX);
        (Duration::from_secs(refresh), Duration::from_secs(retry))
    }

    /// Asks a zone's primaries in turn, the one that sent a notice first. True when one of them is sound and the zone is
    /// as new as there.
    async fn look(&self, zone: &DomainName, from: Option<IpAddr>) -> bool {
        let state = self.cluster.state();
        let Some(agreed) = state.dns.zones.get(zone) else {
            return true;
        };
        let ZoneSource::Transferred { primaries, key } = &agreed.settings.source else {
            return true;
        };
        let opened = match key {
            None => Ok(None),
            Some(name) => self.key(&state, name).map(Some).ok_or(name),
        };
        let mut order = primaries.clone();
        order.sort_by_key(|it| Some(it.ip().to_canonical()) != from);
        let mut is_well = false;
        for primary in order {
            let asked = match &opened {
                Ok(key) => self.ask(zone, agreed, key.as_ref(), primary).await,
                Err(name) => Err(NotTaken::Key((*name).clone())),
            };
            if let Err(why) = &asked {
                tracing::warn!(%zone, %primary, %why, "nothing can be taken from a zone's primary");
            }
            is_well = asked.is_ok();
            let seen = asked.as_ref().map(|serial| *serial);
            let seen = seen.map_err(ToString::to_string);
            self.answers.ledger.asked(zone, primary, seen);
            if is_well {
                break;
            }
        }
        self.answers.ledger.looked(zone, primaries, is_well);
        if !is_well {
            tracing::error!(%zone, "no primary of a zone can be used; its last good content is answered on");
        }
        is_well
    }

    /// Asks one primary and takes what is newer there. Gives its serial.
    async fn ask(
        &self,
        zone: &DomainName,
        agreed: &Agreed,
        key: Option<&Key>,
        from: SocketAddr,
    ) -> Result<u32, NotTaken> {
        let source = self.source_for(from);
        let live = agreed.live.as_ref().map(|it| &it.edition);
        let newest = agreed.wanted.as_ref().or(live);
        let mut primary = Primary::connect(zone, key, source, from).await?;
        let serial = primary.serial().await?;
        // After a change of primaries theirs counts, whatever was here.
        let is_other = newest.is_none_or(|it| agreed.generation > it.generation);
        let here = newest.map(|it| it.outline.serial);
        match here {
            Some(here) if here == serial => return Ok(serial),
            Some(here) if !is_other && !serial_after(serial, here) => {
                return Err(NotTaken::Backward {
                    there: serial,
                    here,
                });
            }
            _ => {}
        }
        let base = match newest.filter(|_| !is_other) {
            Some(edition) => self.base(zone, edition.clone()).await,
            None => None,
        };
        let here = base.as_ref().zip(here);
        let here = here.map(|(content, serial)| Here {
            serial,
            sets: &content.sets,
        });
        let came = match primary.fetch(here).await {
            Ok(came) => came,
            Err(trouble) if base.is_some() => {
                tracing::info!(%zone, primary = %from, %trouble, "differences cannot be had; the whole zone is fetched");
                let again = Primary::connect(zone, key, source, from).await;
                again?.fetch(None).await?
            }
            Err(trouble) => return Err(trouble.into()),
        };
        self.take(zone, agreed, came, from).await?;
        Ok(serial)
    }

    /// The content that differences are asked for, if this node can read it.
    async fn base(&self, zone: &DomainName, edition: Edition) -> Option<ZoneContent> {
        let (blobs, zone) = (self.blobs.clone(), zone.clone());
        let read = move || Shelf::new(&blobs).content(&zone, &edition).ok();
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    /// Checks what came, keeps it, and has it agreed on.
    async fn take(
        &self,
        zone: &DomainName,
        agreed: &Agreed,
        came: Came,
        from: SocketAddr,
    ) -> Result<(), NotTaken> {
        let Came::Zone {
            sets,
            serial,
            incremental,
            records,
        } = came
        else {
            return Ok(());
        };
        let live = agreed.live.as_ref();
        let before = live.map_or(0, |it| u64::from(it.edition.outline.sets));
        let after = sets.len() as u64;
        if after * 100 < before * (100 - LOSS_WARNED_PERCENT) {
            tracing::error!(%zone, primary = %from, before, after, "a primary sent a zone with much less in it than before; it is taken, as the primary decides");
        }
        let (blobs, name) = (self.blobs.clone(), zone.clone());
        let against = agreed.generation;
        let kept = tokio::task::spawn_blocking(move || kept(&blobs, &name, sets, against));
        let (blob, part) = kept.await??;
        let how = if incremental { "changes" } else { "all of it" };
        let command = Command::PublishZones {
            blob,
            size: part.len,
            zones: vec![part],
            note: Note::cut(&format!("serial {serial} from {from}, {how}")),
        };
        match self.propose(command).await? {
            // Another node was faster with the same.
            Reply::Refused(Refusal::Stale { .. }) => {}
            Reply::Refused(refusal) => return Err(NotTaken::Refused(refusal)),
            _ => {
                tracing::info!(%zone, primary = %from, serial, incremental, records, "a zone was transferred from its primary");
                let taken = Taken {
                    at: clock::now(),
                    from,
                    serial,
                    incremental,
                    records,
                };
                self.answers.ledger.taken(zone, taken);
            }
        }
        Ok(())
    }

    async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        let proposal =
            Proposal::of_node(ClientId(clock::random_bytes()), self.cluster.id(), command);
        let committed = self.cluster.propose(proposal, AGREED_WITHIN).await?;
        Ok(committed.reply)
    }
}

/// Puts a content into a blob of its own, once it is known that it can be answered from. Blocking.
fn kept(
    blobs: &Blobs,
    zone: &DomainName,
    sets: Vec<RrSet>,
    against: u64,
) -> Result<(crate::model::words::BlobHash, ZonePart), NotTaken> {
    let outline = Outline::of(zone, &sets);
    let content = ZoneContent::new(zone, sets)?;
    if let Err(findings) = Zone::new(zone, content.sets.iter().cloned()) {
        let first = findings.first().map(ToString::to_string);
        return Err(NotTaken::Unsound(first.unwrap_or_default()));
    }
    let bytes = content.encode()?;
    let blob = blobs.put(&bytes)?;
    let part = ZonePart {
        zone: zone.clone(),
        offset: 0,
        len: bytes.len() as u64,
        outline,
        against,
    };
    Ok((blob, part))
}
