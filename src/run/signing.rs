//! Signatures: what a zone that is due is signed with, and the leader's part in having them made anew in time.

use std::time::Duration;

use crate::{
    clock,
    cluster::{Cluster, health::Health},
    model::{
        Command, Proposal,
        alone::Choices,
        dns::{
            Published, Signed, Signing, Zone,
            signing::{SigningChange, due},
        },
        domain::DomainName,
        words::{ClientId, Timestamp},
    },
    tasks::{Outcome, Stop},
};

/// How often the leader looks whether signatures are due: they are days before they must be.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long one such proposal may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Zones that are signed anew at one look, so that many do not fill the log and the secondaries' evening at once.
const AT_ONCE: usize = 16;
/// A leader whose clock is this far from what most others say signs nothing: its dates would be wrong; milliseconds.
const CLOCK_OFF_MS: i64 = 600_000;

/// A zone whose newest answer this node does not give yet.
pub(super) struct Due {
    pub name: DomainName,
    pub live: Published,
    /// With what and how it is signed.
    pub signing: Option<(Signing, Signed)>,
    /// By how many weeks its signatures are stretched.
    pub weeks: u32,
    /// What of it is this node's own choice, and not agreed on.
    pub own: Choices,
}

impl Due {
    pub(super) fn of(
        name: &DomainName,
        zone: &Zone,
        (live, own): (Published, Choices),
        now: Timestamp,
    ) -> Self {
        let stretched = live.signed.as_ref().map(|it| it.stretched(now));
        let weeks = stretched.as_ref().map_or(0, |it| it.1);
        if weeks > 0 {
            tracing::error!(zone = %name, weeks, "nobody could agree on fresh signatures in time: this node makes its own, the same as the others; look why the cluster cannot decide");
        }
        let keys = zone.signing.clone();
        Self {
            name: name.clone(),
            live,
            // A state that says how to sign and has no keys is refused when the pen is opened, and the zone answers what it did.
            signing: stretched.map(|it| (keys.unwrap_or_default(), it.0)),
            weeks,
            own,
        }
    }

    /// Whether next to no signature can be taken over from an answer that was signed with `before`.
    pub(super) fn is_signed_anew(&self, before: Option<&Signed>) -> bool {
        let Some((_, signed)) = &self.signing else {
            return false;
        };
        before.is_none_or(|it| {
            let had = |key| it.keys.contains(key);
            (it.inception, it.expiration) != (signed.inception, signed.expiration)
                || !signed.keys.iter().all(had)
        })
    }
}

/// By how many weeks a zone's signatures are to be stretched now.
pub(super) fn weeks(live: &Published, now: Timestamp) -> u32 {
    live.signed.as_ref().map_or(0, |it| it.stretched(now).1)
}

/// On the leader: has zones signed anew whose signatures are due.
pub(super) async fn refreshed(cluster: Cluster, stop: Stop) -> Outcome {
    loop {
        let health = cluster.health();
        if health.leader == Some(cluster.id()) {
            refresh(&cluster, &health).await;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn refresh(cluster: &Cluster, health: &Health) {
    let zones: Vec<DomainName> = {
        let state = cluster.state();
        let now = clock::now().max(state.now);
        due(&state, now).take(AT_ONCE).collect()
    };
    if zones.is_empty() {
        return;
    }
    if is_clock_off(health) {
        tracing::error!(
            "signatures are due and this leader's clock is not like the others': nothing is signed until it is"
        );
        return;
    }
    for zone in zones {
        let proposal = Proposal::of_node(
            ClientId(clock::random_bytes()),
            cluster.id(),
            Command::ChangeSigning {
                zone: zone.clone(),
                change: SigningChange::Refresh,
            },
        );
        match cluster.propose(proposal, WITHIN).await {
            Ok(_) => tracing::info!(%zone, "fresh signatures are agreed on"),
            // Due again at the next look if it did not get through.
            Err(error) => tracing::debug!(%zone, %error, "could not have a zone signed yet"),
        }
    }
}

/// Whether most of the others' clocks say another time.
fn is_clock_off(health: &Health) -> bool {
    let told: Vec<i64> = health
        .peers
        .iter()
        .filter_map(|it| it.clock_ahead_ms)
        .collect();
    let off = told.iter().filter(|it| it.abs() > CLOCK_OFF_MS).count();
    off * 2 > told.len()
}
