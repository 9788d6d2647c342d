//! Keeps mail away from those whose mail came back for good. The state knows them by their number; only the manifest,
//! which nodes have as a sealed file, has the addresses, so that a node looks them up many at once and names them.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::sheet::{self, MANIFEST};
use crate::blobs::Blobs;
use crate::clock;
use crate::cluster::{Cluster, health::RaftRole};
use crate::directory::Addressee;
use crate::model::campaign::CampaignId;
use crate::model::limits::KEPT_AWAY_AT_ONCE;
use crate::model::returns::ReturnChange;
use crate::model::words::{BlobHash, ClientId, EmailAddress, KeyedHash, Timestamp};
use crate::model::{Command, Proposal, Reply, State};
use crate::seal::Keyring;
use crate::tasks::{Outcome, Stop};

/// How often is looked: returns come in swarms, and a manifest is read once for all that came meanwhile.
const LOOK: Duration = Duration::from_secs(2);
const AGREEMENT: Duration = Duration::from_secs(3);
/// How long the leader may leave it undone, having lost the file, before another node does it.
const LEADERS_TURN_MS: u64 = 30_000;

/// What it is made from.
pub struct Away {
    /// The agreed state and the way to propose.
    pub cluster: Cluster,
    /// Where manifests are.
    pub blobs: Blobs,
    /// Opens them.
    pub keyring: Arc<Keyring>,
}

impl Away {
    /// Works until asked to stop.
    pub async fn run(self: Arc<Self>, stop: Stop) -> Outcome {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(LOOK) => {}
            }
            let state = self.cluster.state();
            for (campaign, manifest, ordinals) in self.due(&state) {
                self.keep_away(campaign, manifest, ordinals).await;
            }
        }
    }

    /// The campaigns whose turn it is, each with its manifest and the numbers to be kept away.
    fn due(&self, state: &State) -> Vec<(CampaignId, BlobHash, Vec<u32>)> {
        if self.cluster.health().alone() {
            return Vec::new();
        }
        let leads = self.cluster.health().role == RaftRole::Leader;
        let now = state.now.max(clock::now());
        let mut due = Vec::new();
        for id in state.returns.campaigns.keys() {
            let manifest = state
                .campaigns
                .all
                .get(id)
                .and_then(|it| it.frozen.as_ref());
            let Some(manifest) = manifest.map(|it| it.manifest.0) else {
                continue;
            };
            let mine = |at: Timestamp| leads || now.ms_since(at) > LEADERS_TURN_MS;
            let all = state.returns.to_keep_away(*id).filter(|it| mine(it.1));
            let ordinals: Vec<u32> = all.map(|it| it.0).take(KEPT_AWAY_AT_ONCE).collect();
            if !ordinals.is_empty() && self.blobs.has(&manifest) {
                due.push((*id, manifest, ordinals));
            }
        }
        due
    }

    async fn keep_away(
        self: &Arc<Self>,
        campaign: CampaignId,
        manifest: BlobHash,
        ordinals: Vec<u32>,
    ) {
        let away = self.clone();
        let found = tokio::task::spawn_blocking(move || away.names(manifest, &ordinals)).await;
        let addresses: Vec<(u32, KeyedHash)> = match found {
            Ok(Ok(found)) => found.into_iter().collect(),
            Ok(Err(why)) => return warn!(%campaign, %why, "returned mail cannot be looked up"),
            Err(_) => return warn!(%campaign, "looking up returned mail ended in a panic"),
        };
        let count = addresses.len();
        let change = ReturnChange::KeepAway {
            campaign,
            addresses,
        };
        let id = ClientId(clock::random_bytes());
        let proposal = Proposal::of_node(id, self.cluster.id(), Command::Return(change));
        match self.cluster.propose(proposal, AGREEMENT).await {
            Ok(done) => match done.reply {
                Reply::Refused(refusal) => {
                    warn!(%campaign, %refusal, "addresses whose mail came back cannot be kept away");
                }
                _ => info!(%campaign, count, "addresses whose mail came back are kept away"),
            },
            // Due at the next look still.
            Err(error) => info!(%campaign, %error, "returned mail is looked at again"),
        }
    }

    /// The names of these recipients' addresses in the state. Blocking.
    fn names(
        &self,
        manifest: BlobHash,
        ordinals: &[u32],
    ) -> Result<BTreeMap<u32, KeyedHash>, Box<dyn Error + Send + Sync>> {
        let bytes = self.blobs.read(&manifest)?;
        let people: Vec<Addressee> = sheet::unpack(&self.keyring, MANIFEST, &bytes)?;
        let mut names = BTreeMap::new();
        for ordinal in ordinals {
            let who = usize::try_from(*ordinal).ok().and_then(|it| people.get(it));
            if let Some(address) = who.and_then(|it| EmailAddress::new(&it.address).ok()) {
                names.insert(*ordinal, super::name_of(&self.keyring, &address));
            }
        }
        Ok(names)
    }
}
