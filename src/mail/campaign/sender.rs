//! The sender: on every node, asks the agreed state which campaigns may be sent, and sends its share of each. What an
//! earlier start left in the journals is told first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{info, warn};

use super::journal::{Journal, JournalError, facts_of};
use super::letter::{self, Series};
use super::mission::{self, Load};
use super::relays::Relay;
use super::sheet::{self, MANIFEST, SheetError};
use super::texts::{Press, Texts};
use crate::blobs::{BlobError, Blobs};
use crate::clock;
use crate::cluster::{Cluster, ProposeError};
use crate::config::MailOut;
use crate::mail::out::way::Way;
use crate::model::campaign::{
    Campaign, CampaignChange, CampaignId, Fact, Stage, What, held, may_send,
};
use crate::model::limits::OUTCOMES_AT_ONCE;
use crate::model::words::{ClientId, KeyedHash, Timestamp};
use crate::model::{Command, Proposal, Reply, State};
use crate::seal::Keyring;
use crate::tasks::{self, Stop};
use crate::telemetry::{Counter, Gauge, Metrics};

/// How long one proposal may take.
const AGREEMENT: Duration = Duration::from_secs(3);
/// The shortest and the longest time between two looks for work.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long a change may take to be seen here after it was agreed on.
const SEEN_WITHIN: Duration = Duration::from_secs(2);
/// How long each further node leaves the end of a late campaign to those before it.
const TURN_MS: u64 = 2_000;
/// The pause after a campaign that this node cannot send.
const REST: Duration = Duration::from_secs(5);

/// What the sender is made from.
pub struct Parts {
    /// The agreed state and the way to propose.
    pub cluster: Cluster,
    /// Where texts and manifests are.
    pub blobs: Blobs,
    /// Opens what is sealed.
    pub keyring: Arc<Keyring>,
    /// Who mails.
    pub from: letter::Sender,
    /// The relays.
    pub way: Way,
    /// The folder of the journals.
    pub folder: PathBuf,
}

/// Sends this node's share of every campaign.
pub struct Sender {
    pub(super) cluster: Cluster,
    blobs: Blobs,
    pub(super) keyring: Arc<Keyring>,
    pub(super) from: letter::Sender,
    folder: PathBuf,
    pub(super) way: Way,
    pub(super) relays: Vec<Relay>,
    routes: KeyedHash,
    pub(super) counted: Counted,
}

/// What is counted on this node.
pub(super) struct Counted {
    delivered: Counter,
    refused: Counter,
    unanswered: Counter,
    suppressed: Counter,
    at_work: Gauge,
}

impl Counted {
    fn new(metrics: &Metrics) -> Self {
        let counter = |outcome| {
            metrics.counter_of(
                "lifeboat_campaign_mails_total",
                "Mails of campaigns that this node sent and the cluster agreed on, by what came of them.",
                &[("outcome", outcome)],
            )
        };
        Self {
            delivered: counter("delivered"),
            refused: counter("refused"),
            unanswered: counter("unanswered"),
            suppressed: counter("suppressed"),
            at_work: metrics.gauge(
                "lifeboat_campaigns_sending",
                "Campaigns that this node is sending.",
            ),
        }
    }

    pub(super) fn agreed(&self, facts: &[Fact]) {
        for fact in facts {
            let counter = match fact.what {
                What::Delivered => &self.delivered,
                What::Refused(_) | What::Rejected(_) => &self.refused,
                What::Suppressed => &self.suppressed,
                What::Unanswered => &self.unanswered,
            };
            counter.add(1);
        }
    }
}

/// Why a campaign cannot be sent from here.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("the manifest: {0}")]
    Manifest(#[from] SheetError),
    #[error("the texts cannot be read")]
    Texts(#[source] serde_json::Error),
    #[error("the texts have a flaw in {0}")]
    Flawed(String),
    #[error("the manifest has {found} lines; {wanted} were approved")]
    Length { found: usize, wanted: u32 },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("it was not approved")]
    NotApproved,
}

impl Sender {
    /// Makes it ready.
    pub fn new(parts: Parts, out: &MailOut, metrics: &Metrics) -> Sender {
        Sender {
            cluster: parts.cluster,
            blobs: parts.blobs,
            keyring: parts.keyring,
            from: parts.from,
            folder: parts.folder,
            way: parts.way,
            relays: out.relays.iter().map(Relay::of).collect(),
            routes: super::routes(out),
            counted: Counted::new(metrics),
        }
    }

    /// Works until asked to stop, then gives back what it has not sent.
    ///
    /// # Errors
    /// When the folder of the journals cannot be made.
    pub async fn run(self: Arc<Self>, stop: Stop) -> tasks::Outcome {
        std::fs::create_dir_all(&self.folder)?;
        let mut changes = self.cluster.changes();
        let (mut missions, mut at_work) = (JoinSet::new(), BTreeSet::new());
        let mut told = BTreeSet::new();
        let mut warned = BTreeSet::new();
        while !stop.is_cancelled() {
            let state = self.cluster.state();
            self.tell_what_is_left(&state, &at_work, &mut told).await;
            for id in self.due(&state, &at_work, &mut warned) {
                at_work.insert(id);
                let (sender, stop) = (self.clone(), stop.child_token());
                missions.spawn(async move {
                    sender.send(id, stop).await;
                    id
                });
            }
            self.counted
                .at_work
                .set(i64::try_from(at_work.len()).unwrap_or(i64::MAX));
            self.end_what_is_late(&state).await;
            tokio::select! {
                () = stop.cancelled() => {}
                _ = tokio::time::timeout(LOOK.1, changes.changed()) => {}
                Some(Ok(id)) = missions.join_next() => drop(at_work.remove(&id)),
            }
            tokio::time::sleep(LOOK.0).await;
        }
        while missions.join_next().await.is_some() {}
        self.way.close().await;
        Ok(())
    }

    /// The campaigns that this node should begin to send.
    fn due(
        &self,
        state: &State,
        at_work: &BTreeSet<CampaignId>,
        warned: &mut BTreeSet<CampaignId>,
    ) -> Vec<CampaignId> {
        if self.cluster.health().alone() {
            return Vec::new();
        }
        let now = self.time(state);
        let mut due = Vec::new();
        for (id, campaign) in &state.campaigns.all {
            if at_work.contains(id) || !may_send(state, campaign, now) {
                continue;
            }
            let Some(frozen) = &campaign.frozen else {
                continue;
            };
            if frozen.routes != self.routes {
                if warned.insert(*id) {
                    warn!(campaign = %id, "this node's relays or sender are not those that were approved; it does not send this campaign");
                }
                continue;
            }
            if self.blobs.has(&frozen.manifest.0) && self.blobs.has(&campaign.draft.texts.0) {
                due.push(*id);
            }
        }
        due
    }

    async fn send(self: Arc<Self>, id: CampaignId, stop: Stop) {
        let worker = self.clone();
        let loaded = tokio::task::spawn_blocking(move || worker.load(id)).await;
        let (load, journal, left) = match loaded {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(error)) => {
                warn!(campaign = %id, reason = %error, "a campaign cannot be sent from here");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(REST) => {}
                }
                return;
            }
            Err(error) => return warn!(campaign = %id, %error, "reading a campaign ended early"),
        };
        if self.tell(id, left).await {
            mission::run(self, id, (load, journal), stop).await;
        }
    }

    /// Reads everything that a campaign is sent with. Blocking.
    fn load(&self, id: CampaignId) -> Result<(Load, Journal, Vec<Fact>), LoadError> {
        let state = self.cluster.state();
        let campaign = state.campaigns.all.get(&id).ok_or(LoadError::NotApproved)?;
        let (Some(frozen), Some(approval)) = (&campaign.frozen, &campaign.approval) else {
            return Err(LoadError::NotApproved);
        };
        let manifest = self.blobs.read(&frozen.manifest.0)?;
        let recipients: Vec<_> = sheet::unpack(&self.keyring, MANIFEST, &manifest)?;
        if u32::try_from(recipients.len()) != Ok(frozen.recipients) {
            let (found, wanted) = (recipients.len(), frozen.recipients);
            return Err(LoadError::Length { found, wanted });
        }
        let texts = self.blobs.read(&campaign.draft.texts.0)?;
        let texts: Texts = serde_json::from_slice(&texts).map_err(LoadError::Texts)?;
        let press = Press::new(&texts, &self.from.company).map_err(|flaws| {
            LoadError::Flawed(flaws.first().map_or(String::new(), |it| it.place.clone()))
        })?;
        let (journal, left) = Journal::open(&self.journal(id))?;
        let series = Series {
            campaign: id,
            kind: campaign.draft.kind,
            date: approval.at,
        };
        let load = Load {
            recipients,
            press,
            series,
        };
        Ok((load, journal, left))
    }

    fn journal(&self, id: CampaignId) -> PathBuf {
        self.folder.join(format!("{id}.journal"))
    }

    /// Tells what the journals of an earlier start hold of campaigns that are not sent now, and lets journals of ended
    /// campaigns go once that is agreed on.
    async fn tell_what_is_left(
        &self,
        state: &State,
        at_work: &BTreeSet<CampaignId>,
        told: &mut BTreeSet<CampaignId>,
    ) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = path.file_stem().and_then(|it| it.to_str());
            let Some(id) = name.and_then(|it| it.parse::<CampaignId>().ok()) else {
                continue;
            };
            if at_work.contains(&id) {
                continue;
            }
            let campaign = state.campaigns.all.get(&id);
            let ended = campaign.is_none_or(|it| matches!(it.stage, Stage::Ended(_)));
            if !ended && !told.insert(id) {
                continue;
            }
            if campaign.is_some() && !self.tell_of(id, &path, ended).await {
                told.remove(&id);
                continue;
            }
            if ended && let Err(error) = std::fs::remove_file(&path) {
                warn!(campaign = %id, %error, "a journal that nobody needs cannot be deleted");
            }
        }
    }

    async fn tell_of(&self, id: CampaignId, path: &Path, ended: bool) -> bool {
        match facts_of(path) {
            // What was not answered is told when the journal is opened to send, or when nobody will open it any more.
            Ok(facts) => {
                let told = facts
                    .into_iter()
                    .filter(|it| ended || it.what != What::Unanswered);
                self.tell(id, told.collect()).await
            }
            Err(error) => {
                warn!(campaign = %id, %error, "a sending journal cannot be read");
                false
            }
        }
    }

    /// Has facts of an earlier start agreed on; `false` when that cannot be done now.
    async fn tell(&self, id: CampaignId, facts: Vec<Fact>) -> bool {
        let state = self.cluster.state();
        let campaign = state.campaigns.all.get(&id);
        let news = |fact: &Fact| campaign.is_some_and(|it| is_news(it, fact));
        let facts: Vec<Fact> = facts.into_iter().filter(news).collect();
        for batch in facts.chunks(OUTCOMES_AT_ONCE) {
            let change = CampaignChange::Report {
                campaign: id,
                node: self.cluster.id(),
                facts: batch.to_vec(),
            };
            match self.propose(change).await {
                Ok(_) => {
                    info!(campaign = %id, count = batch.len(), "told what was sent before the last stop")
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Ends campaigns whose time is over: whoever asks for a lease then ends them.
    async fn end_what_is_late(&self, state: &State) {
        let now = self.time(state);
        let me = self.cluster.id();
        let place = state
            .voters
            .iter()
            .position(|it| *it == me)
            .unwrap_or(state.voters.len());
        for (id, campaign) in &state.campaigns.all {
            let open = matches!(campaign.stage, Stage::Sending | Stage::Paused { .. });
            let late = campaign.not_after().plus_ms(TURN_MS * place as u64) < now;
            if open && late && !held(state, campaign) && !self.cluster.health().alone() {
                let change = CampaignChange::Lease {
                    campaign: *id,
                    node: me,
                    segments: Vec::new(),
                };
                // Tried again at the next look.
                let _ = self.propose(change).await;
            }
        }
    }

    /// What the cluster's time is about now: it stands still between entries, and ours may be behind it.
    pub(super) fn time(&self, state: &State) -> Timestamp {
        state.now.max(clock::now())
    }

    /// Connections of this node for mass mail.
    pub(super) fn connections(&self) -> usize {
        self.relays.iter().map(|it| it.connections).sum()
    }

    /// How many nodes share a relay's limits.
    pub(super) fn nodes(&self) -> u32 {
        u32::try_from(self.cluster.state().voters.len()).unwrap_or(u32::MAX)
    }

    /// Waits until this node's state shows what was agreed on.
    pub(super) async fn reached(&self, index: u64) {
        // A node that lags further behind goes on with what it has; the gate asks again.
        let _shown = self.cluster.shows(index, SEEN_WITHIN).await;
    }

    pub(super) async fn propose(
        &self,
        change: CampaignChange,
    ) -> Result<(u64, Reply), ProposeError> {
        let id = ClientId(clock::random_bytes());
        let proposal = Proposal::of_node(id, self.cluster.id(), Command::Campaign(change));
        let committed = self.cluster.propose(proposal, AGREEMENT).await?;
        Ok((committed.index, committed.reply))
    }
}

/// Whether the cluster does not know this yet.
fn is_news(campaign: &Campaign, fact: &Fact) -> bool {
    use crate::model::campaign::Fate;
    let known = campaign.fate(fact.segment, fact.place).map(|it| it.0);
    match fact.what {
        What::Unanswered => {
            known.is_some_and(|it| matches!(it, Fate::Waiting | Fate::Cancelled | Fate::Expired))
        }
        What::Delivered => known.is_some_and(|it| it != Fate::Delivered),
        What::Refused(_) | What::Rejected(_) | What::Suppressed => known == Some(Fate::Waiting),
    }
}
