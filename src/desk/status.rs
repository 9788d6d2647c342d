//! How the node is, in its own words: read from this node alone, so that it is there when the cluster is not.
//!
//! Only the room on the disk is asked of the system, off the request's thread, and the answer goes without it when
//! the disk does not answer.

use axum::{Json, extract::State as Shared, http::StatusCode, routing::get};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Desk, alerts,
    api::Route,
    bridges, campaigns, dns as names, incidents,
    members::{self, Member},
    notices, people, reading, rules, waking,
};
use crate::{
    clock,
    cluster::health::{Health, Quorum},
    letterbox::BoxHealth,
    model::{State, nodes::Profile, when::rfc3339, words::NodeId},
    proofs::room_on_disk,
    seal::Standing,
};

/// How the node is and what it knows.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// This node's time.
    now: String,
    /// The program's version.
    version: String,
    /// When the process started.
    started: String,
    /// The newest log index of this node's state, and the cluster's time there.
    state: StateAge,
    /// This node.
    node: Own,
    /// The cluster, once it is founded or joined.
    cluster: Option<Founded>,
    /// How this node takes part in agreeing.
    agreement: Agreement,
    /// Every node, this one included.
    nodes: Vec<Member>,
    /// What this node holds until the cluster agrees on it.
    letterbox: Letters,
    /// What must leave the house.
    outbox: Outbox,
    /// The fallback website.
    site: SiteBrief,
    /// The files that this node keeps.
    blobs: Files,
    /// The disk under the journal.
    disk: Disk,
    /// Conversations with customers.
    conversations: Conversations,
    /// Zones, and services with what they answer.
    names: names::Brief,
    /// Who still comes here after a switch back.
    late_visitors: Vec<Late>,
    /// Who leads, and where this node's console is.
    people: people::Brief,
    /// What somebody should look at, in words.
    alarms: Vec<String>,
}

/// How far the state is.
#[derive(Serialize, ToSchema)]
struct StateAge {
    /// Log index of the last entry applied.
    index: u64,
    /// The cluster's time there.
    time: String,
    /// Entries in this node's journal that are not applied yet.
    behind: u64,
}

/// Which machine this is.
#[derive(Serialize, ToSchema)]
struct Own {
    id: String,
    name: String,
    provider: String,
    region: String,
    data_dir: String,
}

/// The cluster's own facts.
#[derive(Serialize, ToSchema)]
struct Founded {
    id: String,
    name: String,
    /// Raised by a recovery; nodes of an older one are fenced.
    generation: u32,
    /// Timing profile: lan, near or wan.
    profile: &'static str,
    founded: String,
}

/// How this node takes part in agreeing.
#[derive(Serialize, ToSchema)]
struct Agreement {
    /// starting, learner, follower, candidate, leader or halted.
    role: String,
    term: u64,
    /// The leader this node follows.
    leader: Option<String>,
    /// Whether this node reaches a majority.
    majority: bool,
    /// Since when it does not.
    alone_since: Option<String>,
    /// Why Raft does not run here.
    halted: Option<String>,
    /// Voters in all, and those that this node reaches, itself included.
    voters: u64,
    voters_reached: u64,
    last_log: u64,
    applied: u64,
    snapshot: u64,
    /// How often this node's part began anew since the process started.
    begun_anew: u64,
    /// How often its state differed from the others' and was fetched from one of them.
    refetched: u64,
}

/// What this node's letterbox holds.
#[derive(Serialize, ToSchema)]
struct Letters {
    /// Held here and not yet agreed on.
    held: u64,
    /// Of those, how many another node keeps a copy of.
    copied: u64,
    /// Copies kept here of what other nodes hold.
    copies: u64,
    /// When the oldest of them was taken.
    oldest: Option<String>,
    /// Refused by the cluster after they were held: somebody must look.
    refused: u64,
    /// Stored items that could not be read at the start.
    damaged: u64,
    /// Every item ever taken here is known to be agreed on.
    drained: bool,
    stalled_ms: u64,
    /// Why its file takes nothing any more, until a new one is begun.
    failed: Option<String>,
    incarnation: u64,
}

/// What must leave the house.
#[derive(Serialize, ToSchema)]
struct Outbox {
    waiting: u64,
    /// When the oldest of those waiting was made.
    oldest: Option<String>,
    given_up: u64,
    /// Items that never found room.
    overflow: u64,
}

/// The website's versions.
#[derive(Serialize, ToSchema)]
struct SiteBrief {
    live: Option<String>,
    wanted: Option<String>,
    /// Whether this node has the live version's files.
    here: bool,
}

/// The files that nodes copy from each other.
#[derive(Serialize, ToSchema)]
struct Files {
    here: u64,
    missing: u64,
    bytes: u64,
}

/// The disk under the journal.
#[derive(Serialize, ToSchema)]
struct Disk {
    free_bytes: Option<u64>,
    total_bytes: Option<u64>,
    stalled_ms: u64,
    last_write_us: u64,
    /// Why the journal takes no more writes.
    poisoned: Option<String>,
}

/// How many conversations there are.
#[derive(Serialize, ToSchema)]
struct Conversations {
    open: u64,
    closed: u64,
    quarantined: u64,
}

/// Visitors who still reach this node under a name that answers elsewhere again.
#[derive(Serialize, ToSchema)]
struct Late {
    /// The host name.
    name: String,
    /// Requests of the last ten minutes, passed on to the primary or shown the fallback.
    requests: u64,
}

/// Whether the node can serve, and whether it can decide.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// The node serves the website and takes messages.
    serving: bool,
    /// The cluster can decide through this node.
    ready: bool,
    /// In words.
    says: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Status>(
            "get",
            "/status",
            "How the node is; there without a majority",
            get(status),
        ),
        Route::new::<Ready>(
            "get",
            "/ready",
            "Whether the cluster can decide through this node (503 when it cannot)",
            get(ready),
        ),
    ]
}

async fn status(Shared(desk): Shared<Desk>) -> Json<Status> {
    let (state, health) = (desk.cluster.state(), desk.cluster.health());
    let room = room_on_disk(desk.node.data_dir.clone()).await;
    let own = desk.cluster.id();
    Json(Status {
        now: rfc3339(clock::now()),
        version: desk.version.to_owned(),
        started: rfc3339(desk.started),
        state: StateAge {
            index: state.index,
            time: rfc3339(state.now),
            behind: health.last_log.saturating_sub(state.index),
        },
        node: Own {
            id: own.to_string(),
            name: desk.node.name.to_string(),
            provider: desk.node.provider.to_string(),
            region: desk.node.region.to_string(),
            data_dir: desk.node.data_dir.display().to_string(),
        },
        cluster: founded(&state),
        agreement: agreement(&state, &health, own),
        nodes: members::list(&desk, &state, &health),
        letterbox: letters(&desk),
        outbox: outbox(&state),
        site: site(&state, own),
        blobs: files(&state, own),
        disk: Disk {
            free_bytes: room.map(|it| it.0),
            total_bytes: room.map(|it| it.1),
            stalled_ms: health.disk.stalled_ms,
            last_write_us: health.disk.last_write_us,
            poisoned: health.disk.poisoned.clone(),
        },
        conversations: count(&state),
        names: names::brief(&state, desk.own()),
        late_visitors: late_visitors(&desk),
        people: people::brief(&desk),
        alarms: alarms_of(&desk),
    })
}

/// What somebody should look at, as this node sees it.
pub(super) fn alarms_of(desk: &Desk) -> Vec<String> {
    let (state, health) = (desk.cluster.state(), desk.cluster.health());
    [
        people::alarms(desk),
        incidents::promises(&state),
        notices::alarms(&state, clock::now()),
        campaigns::alarms(&state),
        crate::acme::alarms(&state, clock::now()),
        waking::alarms(&state, clock::now()),
        alerts::alarms(&state),
        rules::alarms(&state, clock::now()),
        bridges::alarms(&state, clock::now()),
        alarms(&state, &health, &desk.letterbox.health()),
        names::cut_off(desk),
        names::answered_alone(desk),
        desk.proofs.alarms(),
        vault_locked(desk),
    ]
    .concat()
}

/// What is shut away while the vault is locked here, as somebody has to come.
fn vault_locked(desk: &Desk) -> Vec<String> {
    match desk.keyring.vault_standing() {
        Standing::Absent | Standing::Open => Vec::new(),
        Standing::Locked => vec![
            "the vault is locked on this node: it knows no customers and signs no mail; open it with 'lifeboat vault unlock' or at /vault in the console".to_owned(),
        ],
    }
}

async fn ready(Shared(desk): Shared<Desk>) -> (StatusCode, Json<Ready>) {
    let health = desk.cluster.health();
    let ready = !health.alone() && health.leader.is_some();
    let says = match (&health.halted, ready) {
        (Some(why), _) => format!("this node does not take part: {why}"),
        (None, true) => "this node is ready".to_owned(),
        (None, false) => {
            "this node is alone: it serves and takes messages, decisions wait".to_owned()
        }
    };
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = Ready {
        serving: true,
        ready,
        says,
    };
    (status, Json(body))
}

fn founded(state: &State) -> Option<Founded> {
    let facts = state.cluster.as_ref()?;
    Some(Founded {
        id: facts.id.to_string(),
        name: facts.name.to_string(),
        generation: facts.generation,
        profile: facts.profile.name(),
        founded: rfc3339(facts.founded),
    })
}

fn agreement(state: &State, health: &Health, own: NodeId) -> Agreement {
    let reached =
        |id: &NodeId| *id == own || health.peers.iter().any(|it| it.id == *id && it.reachable);
    let alone_since = match health.quorum {
        Quorum::Held => None,
        Quorum::LostSince(at) => Some(at),
    };
    Agreement {
        role: members::raft_role(health.role).to_owned(),
        term: health.term,
        leader: health.leader.map(|it| it.to_string()),
        majority: !health.alone(),
        alone_since: alone_since.filter(|it| it.0 > 0).map(rfc3339),
        halted: health.halted.clone(),
        voters: state.voters.len() as u64,
        voters_reached: state.voters.iter().filter(|it| reached(it)).count() as u64,
        last_log: health.last_log,
        applied: health.applied,
        snapshot: health.snapshot,
        begun_anew: health.begun_anew,
        refetched: health.refetched,
    }
}

fn letters(desk: &Desk) -> Letters {
    let health = desk.letterbox.health();
    let held = desk.letterbox.held();
    // A letterbox holds at most some thousands of items, and only when the node is alone or slow.
    let oldest = held
        .values()
        .flatten()
        .filter_map(|it| reading::taken(&it.proposal.command))
        .min();
    Letters {
        held: health.held,
        copied: health.copied,
        copies: health.copies,
        oldest: oldest.map(rfc3339),
        refused: health.refused,
        damaged: health.damaged,
        drained: health.drained,
        stalled_ms: health.stalled_ms,
        failed: health.failed.clone(),
        incarnation: health.incarnation,
    }
}

fn outbox(state: &State) -> Outbox {
    // Items are numbered by the entry that made them, so the first one is the oldest.
    let oldest = state.outbox.values().next().map(|it| it.made);
    Outbox {
        waiting: state.outbox.len() as u64,
        oldest: oldest.map(rfc3339),
        given_up: state.outbox_given_up,
        overflow: state.outbox_overflow,
    }
}

fn site(state: &State, own: NodeId) -> SiteBrief {
    let holds = |site: &crate::model::site::Site| {
        let blob = state.blobs.get(&site.bundle);
        blob.is_some_and(|it| it.holders.contains_key(&own))
    };
    SiteBrief {
        live: state.sites.live.map(|it| it.to_string()),
        wanted: state.sites.wanted.map(|it| it.to_string()),
        here: state.sites.live().is_some_and(holds),
    }
}

fn files(state: &State, own: NodeId) -> Files {
    let (mut here, mut missing, mut bytes) = (0, 0, 0);
    for blob in state.blobs.values().filter(|it| it.released.is_none()) {
        if blob.holders.contains_key(&own) {
            here += 1;
            bytes += blob.size;
        } else {
            missing += 1;
        }
    }
    Files {
        here,
        missing,
        bytes,
    }
}

fn late_visitors(desk: &Desk) -> Vec<Late> {
    let late = |(name, requests): (std::sync::Arc<str>, u64)| Late {
        name: name.to_string(),
        requests,
    };
    (desk.late)().into_iter().map(late).collect()
}

fn count(state: &State) -> Conversations {
    let mut count = Conversations {
        open: 0,
        closed: 0,
        quarantined: 0,
    };
    for conversation in state.conversations.values() {
        if conversation.quarantined {
            count.quarantined += 1;
        } else if conversation.closed.is_some() {
            count.closed += 1;
        } else {
            count.open += 1;
        }
    }
    count
}

/// What the cluster's own tasks raise, and what follows from the state and the letterbox.
fn alarms(state: &State, health: &Health, letters: &BoxHealth) -> Vec<String> {
    let mut alarms = health.alarms.clone();
    if let Some(why) = &health.halted {
        alarms.push(format!(
            "this node does not take part in the cluster: {why}"
        ));
    }
    if let Some(why) = &health.disk.poisoned {
        alarms.push(format!("the journal takes no more writes: {why}"));
    }
    for peer in health.peers.iter().filter(|it| it.certificate_expired) {
        alarms.push(format!(
            "the certificate of {} has run out; it is tolerated for now",
            peer.id
        ));
    }
    let profile = state
        .cluster
        .as_ref()
        .map_or(Profile::default(), |it| it.profile);
    for peer in &health.peers {
        let most_us = profile.round_trip_ms_max() * 1_000;
        if peer.round_trip_us.is_some_and(|it| it > most_us) {
            let most = profile.round_trip_ms_max();
            alarms.push(format!(
                "the round trip to {} is longer than the {} ms that profile {} bears; 'lifeboat profile NAME' changes it",
                peer.id,
                most,
                profile.name()
            ));
        }
    }
    if let Some(why) = &letters.failed {
        alarms.push(format!(
            "the letterbox's disk failed, and messages are kept only where a majority can be reached, until a new file is begun: {why}"
        ));
    }
    if letters.refused > 0 {
        alarms.push(format!(
            "the cluster refused {} held messages; somebody must look at them",
            letters.refused
        ));
    }
    if letters.damaged > 0 {
        alarms.push(format!(
            "the letterbox was damaged when the node started, and {} messages or more may be missing; what it was lies beside it by the name of 'aside'",
            letters.damaged
        ));
    }
    if state.outbox_given_up > 0 {
        alarms.push(format!(
            "{} mails were given up; nobody accepted them",
            state.outbox_given_up
        ));
    }
    if state.outbox_overflow > 0 {
        alarms.push(format!(
            "{} mails found no room in the outbox",
            state.outbox_overflow
        ));
    }
    alarms.extend(names::alarms(state));
    alarms
}
