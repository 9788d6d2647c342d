//! Whether the node is alive and ready, and its figures as Prometheus text. Nothing here names a visitor.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use crate::{
    cluster::{Cluster, health::RaftRole},
    letterbox::Letterbox,
    model::outbox,
    tasks::{Outcome, Stop},
    telemetry::Metrics,
    web::counters::Counters,
};

/// What the figures are taken from.
#[derive(Clone)]
pub struct Seen {
    /// The cluster.
    pub cluster: Cluster,
    /// The letterbox.
    pub letterbox: Letterbox,
    /// What the public's door counted.
    pub counters: Arc<Counters>,
    /// Where the figures go.
    pub metrics: Metrics,
}

/// `/healthz`: the process answers. `/readyz`: it can keep what customers write, agreed on or held.
pub fn checks(cluster: Cluster, letterbox: Letterbox) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state((cluster, letterbox))
}

async fn ready(State((cluster, letterbox)): State<(Cluster, Letterbox)>) -> impl IntoResponse {
    let (health, letters) = (cluster.health(), letterbox.health());
    let keeps = letters.stalled_ms < crate::model::limits::DISK_STALL_MS;
    let agrees = !health.alone();
    let status = if keeps || agrees {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = |yes: bool, good: &'static str, bad: &'static str| if yes { good } else { bad };
    let text = format!(
        "site: ready\nmessages: {}\nagreement: {}\n",
        word(keeps, "kept", "this disk does not answer"),
        word(agrees, "held", "this server is alone")
    );
    (status, text)
}

/// Serves `/metrics` until it is stopped.
pub async fn serve(listener: TcpListener, seen: Seen, stop: Stop) -> Outcome {
    let router = checks(seen.cluster.clone(), seen.letterbox.clone()).merge(
        Router::new()
            .route("/metrics", get(figures))
            .with_state(seen),
    );
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await?;
    Ok(())
}

async fn figures(State(seen): State<Seen>) -> impl IntoResponse {
    seen.note();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        seen.metrics.render(),
    )
}

impl Seen {
    /// Takes the figures of this moment over into the metrics.
    fn note(&self) {
        self.note_agreement();
        self.note_work();
        for (name, help, value) in self.counters.figures() {
            self.set(name, help, value);
        }
    }

    fn note_agreement(&self) {
        let health = self.cluster.health();
        let leads = u64::from(health.role == RaftRole::Leader);
        self.set("lifeboat_raft_leader", "1 where this node leads.", leads);
        self.set("lifeboat_raft_term", "Raft's term.", health.term);
        let last = health.last_log;
        self.set(
            "lifeboat_raft_last_log_index",
            "The last entry of the log.",
            last,
        );
        let applied = health.applied;
        self.set(
            "lifeboat_raft_applied_index",
            "The last entry applied.",
            applied,
        );
        let help = "The last entry that the newest snapshot holds.";
        self.set("lifeboat_raft_snapshot_index", help, health.snapshot);
        let held = u64::from(!health.alone());
        self.set(
            "lifeboat_quorum_held",
            "1 while a majority can be reached.",
            held,
        );
        let halted = u64::from(health.halted.is_some());
        self.set(
            "lifeboat_halted",
            "1 when Raft cannot run on this node.",
            halted,
        );
        let alarms = health.alarms.len() as u64;
        self.set("lifeboat_alarms", "What somebody should look at.", alarms);
        let reached = health.peers.iter().filter(|it| it.reachable).count() as u64;
        self.set(
            "lifeboat_peers_reachable",
            "Other members that answer.",
            reached,
        );
        let help = "How long the log's oldest write has waited.";
        self.set("lifeboat_disk_stalled_ms", help, health.disk.stalled_ms);
        for peer in &health.peers {
            let id = peer.id.to_string();
            let us = peer.round_trip_us.unwrap_or_default();
            let help = "Round trip of the last ping.";
            self.metrics
                .gauge_of("lifeboat_peer_round_trip_us", help, &[("peer", &id)])
                .set(signed(us));
        }
    }

    fn note_work(&self) {
        let (letters, state) = (self.letterbox.health(), self.cluster.state());
        let help = "Messages held here and not agreed on.";
        self.set("lifeboat_letterbox_held", help, letters.held);
        let help = "Held messages that the cluster refused.";
        self.set("lifeboat_letterbox_refused", help, letters.refused);
        let help = "How long the letterbox's oldest write has waited.";
        self.set("lifeboat_letterbox_stalled_ms", help, letters.stalled_ms);
        let conversations = state.conversations.len() as u64;
        self.set(
            "lifeboat_conversations",
            "Conversations in the state.",
            conversations,
        );
        let waiting = state.outbox.len() as u64;
        self.set(
            "lifeboat_outbox_waiting",
            "Mail that waits to leave.",
            waiting,
        );
        let given_up = state.outbox_given_up;
        self.set(
            "lifeboat_outbox_given_up",
            "Mail that was given up.",
            given_up,
        );
        let help = "How long the oldest due mail has been due.";
        self.set("lifeboat_outbox_due_ms", help, oldest_due_ms(&state));
    }

    fn set(&self, name: &'static str, help: &'static str, value: u64) {
        self.metrics.gauge(name, help).set(signed(value));
    }
}

/// Prometheus' numbers here are signed; what is larger than they hold is shown as the largest.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn oldest_due_ms(state: &crate::model::State) -> u64 {
    outbox::next_due(state).map_or(0, |it| state.now.ms_since(it))
}
