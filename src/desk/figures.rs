//! Whether the node is alive and ready, and its figures as Prometheus text. Nothing here names a visitor.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use super::calls::Calls;
use crate::{
    cluster::{Cluster, health::RaftRole},
    dns::Answers,
    letterbox::Letterbox,
    model::{
        bridge::Bridge,
        failover::Answering,
        keeper::Standing,
        limits, outbox,
        rule::{self, mail::is_due},
        words::Timestamp,
    },
    proofs::Proofs,
    tasks::{Outcome, Stop},
    telemetry::Metrics,
    web::counters::Counters,
};

/// What callers of the figures must keep to: whoever can reach the listener cannot hold it up for others.
const CALLS: Calls = Calls {
    what: "the metrics",
    most: limits::METRICS_CONNECTIONS_MAX,
    head: Duration::from_millis(limits::METRICS_HEAD_MS),
    whole: Duration::from_millis(limits::METRICS_CONNECTION_MS),
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
    /// What answers names, where this node does.
    pub names: Option<Arc<Answers>>,
    /// How the proofs stand, where this node looks.
    pub proofs: Option<Proofs>,
    /// Where the figures go.
    pub metrics: Metrics,
}

/// Name, what it says, and how much.
type Figure = (&'static str, &'static str, u64);

/// `/healthz`: the process answers. `/readyz`: it can keep what customers write, agreed on or held.
pub fn checks(cluster: Cluster, letterbox: Letterbox) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state((cluster, letterbox))
}

async fn ready(State((cluster, letterbox)): State<(Cluster, Letterbox)>) -> impl IntoResponse {
    let (health, letters) = (cluster.health(), letterbox.health());
    let keeps = letters.failed.is_none() && letters.stalled_ms < limits::DISK_STALL_MS;
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
    CALLS
        .take(
            listener,
            |stream| CALLS.answer(stream, router.clone(), stop.clone()),
            &stop,
        )
        .await
}

async fn figures(State(seen): State<Seen>) -> impl IntoResponse {
    seen.note();
    if let Some(proofs) = &seen.proofs {
        proofs.count(&seen.metrics).await;
    }
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
        for (name, help, value) in self
            .agreement()
            .into_iter()
            .chain(self.messages())
            .chain(self.counters.figures())
            .chain(self.names())
            .chain(self.keepers())
            .chain(self.directory())
            .chain(self.drills())
            .chain(self.rules())
        {
            self.metrics.gauge(name, help).set(signed(value));
        }
        for peer in &self.cluster.health().peers {
            let (help, id) = ("Round trip of the last ping.", peer.id.to_string());
            let round_trip =
                self.metrics
                    .gauge_of("lifeboat_peer_round_trip_us", help, &[("peer", &id)]);
            round_trip.set(signed(peer.round_trip_us.unwrap_or_default()));
        }
    }

    /// How this node takes part.
    fn agreement(&self) -> Vec<Figure> {
        let health = self.cluster.health();
        let reachable = health.peers.iter().filter(|it| it.reachable).count();
        vec![
            (
                "lifeboat_raft_leader",
                "1 where this node leads.",
                u64::from(health.role == RaftRole::Leader),
            ),
            ("lifeboat_raft_term", "Raft's term.", health.term),
            (
                "lifeboat_raft_last_log_index",
                "The last entry of the log.",
                health.last_log,
            ),
            (
                "lifeboat_raft_applied_index",
                "The last entry applied.",
                health.applied,
            ),
            (
                "lifeboat_raft_snapshot_index",
                "How far the newest snapshot reaches.",
                health.snapshot,
            ),
            (
                "lifeboat_quorum_held",
                "1 while a majority answers.",
                u64::from(!health.alone()),
            ),
            (
                "lifeboat_halted",
                "1 when Raft cannot run here.",
                u64::from(health.halted.is_some()),
            ),
            (
                "lifeboat_raft_begun_anew",
                "How often Raft began anew in this process.",
                health.begun_anew,
            ),
            (
                "lifeboat_state_refetched",
                "How often the state differed from the others' and was fetched anew.",
                health.refetched,
            ),
            (
                "lifeboat_alarms",
                "What somebody should look at.",
                health.alarms.len() as u64,
            ),
            (
                "lifeboat_peers_reachable",
                "Other members that answer.",
                reachable as u64,
            ),
            (
                "lifeboat_disk_stalled_ms",
                "How long the log's disk is at it.",
                health.disk.stalled_ms,
            ),
        ]
    }

    /// How names are answered, and what services answer.
    fn names(&self) -> Vec<Figure> {
        let Some(names) = &self.names else {
            return Vec::new();
        };
        let mut figures = names.counters.figures();
        let (tables, state) = (names.tables.load(), self.cluster.state());
        let services = state.failover.services.values();
        let away = services.filter(|it| {
            it.primary().map(|it| Answering::One(it.clone())) != Some(it.answering.clone())
        });
        figures.push((
            "lifeboat_dns_zones",
            "Zones that are answered.",
            tables.len() as u64,
        ));
        figures.push((
            "lifeboat_dns_services_away",
            "Services that do not answer their primary.",
            away.count() as u64,
        ));
        figures.push((
            "lifeboat_dns_servers_lagging",
            "Name servers of our zones, ours and outside, that do not answer the newest of one.",
            crate::model::names::lagging(&state),
        ));
        figures
    }

    /// Who the customers are.
    fn directory(&self) -> Vec<Figure> {
        let state = self.cluster.state();
        let directory = &state.directory;
        let live = directory.live();
        vec![
            (
                "lifeboat_directory_customers",
                "Customers of the live directory.",
                live.map_or(0, |(_, it)| it.counts.customers),
            ),
            (
                "lifeboat_directory_age_s",
                "How long ago the live directory was last taken in or changed; 0 where there is none.",
                live.map_or(0, |(_, it)| state.now.ms_since(it.at) / 1_000),
            ),
            (
                "lifeboat_directory_waiting",
                "1 while a wanted directory is not held by a majority yet.",
                u64::from(directory.live != directory.wanted),
            ),
            (
                "lifeboat_directory_erased",
                "Customers that are kept out of imports.",
                directory.erased.len() as u64,
            ),
        ]
    }

    /// When it was last rehearsed.
    fn drills(&self) -> Vec<Figure> {
        let state = self.cluster.state();
        let last = state.drills.last().and_then(|it| it.1.over.as_ref());
        let all = state.drills.all.values();
        let tests = state.drills.calendar.values();
        vec![
            (
                "lifeboat_drill_running",
                "1 while a drill goes on.",
                u64::from(state.drills.running.is_some()),
            ),
            (
                "lifeboat_drill_last_seconds",
                "When the last drill ended, in seconds since 1970; 0 where there was none.",
                last.map_or(0, |it| it.at.0 / 1_000),
            ),
            (
                "lifeboat_drill_actions_open",
                "What drills left to be mended.",
                all.map(|it| it.open_actions() as u64).sum(),
            ),
            (
                "lifeboat_calendar_overdue",
                "Emergency tests of the calendar that are overdue.",
                tests.filter(|it| it.is_overdue(state.now)).count() as u64,
            ),
        ]
    }

    /// What is said without a person.
    fn rules(&self) -> Vec<Figure> {
        let state = self.cluster.state();
        let (rules, now) = (&state.rules, state.now);
        let lately = |at: Timestamp| now.ms_since(at) < limits::RULE_HOUR_MS;
        let published = rules.published.iter().filter(|it| lately(it.0));
        let rounds = rules.rounds.values().filter(|it| lately(it.at));
        let due = rules.tellings.iter();
        vec![
            (
                "lifeboat_rules_on",
                "1 while rules say something without a person.",
                u64::from(rule::armed(&state)),
            ),
            (
                "lifeboat_rules_published",
                "Incidents that rules published within the last hour.",
                published.count() as u64,
            ),
            (
                "lifeboat_notices_written",
                "Automatic mails of the last hour, those that wait for a person among them.",
                rounds.count() as u64,
            ),
            (
                "lifeboat_notices_due",
                "Incidents of which something is due to be told to those affected.",
                due.filter(|(id, it)| is_due(&state, **id, it, now)).count() as u64,
            ),
        ]
    }

    /// How names at other people's name services stand.
    fn keepers(&self) -> Vec<Figure> {
        let state = self.cluster.state();
        let all = || state.keepers.all.values();
        let standings: Vec<Standing> = all()
            .flat_map(|it| it.standings(&state))
            .map(|it| it.1)
            .collect();
        let count = |wanted: &[Standing]| {
            let those = standings.iter().filter(|it| wanted.contains(it));
            those.count() as u64
        };
        vec![
            (
                "lifeboat_keepers",
                "Zones at other people's name services.",
                all().count() as u64,
            ),
            (
                "lifeboat_keepers_in_trouble",
                "Of those, that could not be looked at or written last.",
                all().filter(|it| it.trouble.is_some()).count() as u64,
            ),
            (
                "lifeboat_keeper_sets_waiting",
                "Sets of records there that are to be written.",
                count(&[Standing::Waiting]),
            ),
            (
                "lifeboat_keeper_sets_foreign",
                "Sets there that somebody else wrote, and that wait for a person.",
                count(&[Standing::Drifted, Standing::NotOurs]),
            ),
        ]
    }

    /// How messages and mail stand.
    fn messages(&self) -> Vec<Figure> {
        let (letters, state) = (self.letterbox.health(), self.cluster.state());
        let oldest_due_ms = outbox::next_due(&state).map_or(0, |it| state.now.ms_since(it));
        let behind: usize = state.bridges.all.values().map(Bridge::behind).sum();
        vec![
            (
                "lifeboat_letterbox_held",
                "Held here, not agreed on.",
                letters.held,
            ),
            (
                "lifeboat_letterbox_copied",
                "Of those held, kept by another node too.",
                letters.copied,
            ),
            (
                "lifeboat_letterbox_copies",
                "Copies of what other nodes hold.",
                letters.copies,
            ),
            (
                "lifeboat_letterbox_refused",
                "Held, then refused for good.",
                letters.refused,
            ),
            (
                "lifeboat_letterbox_stalled_ms",
                "How long its disk is at it.",
                letters.stalled_ms,
            ),
            (
                "lifeboat_letterbox_failed",
                "1 while its file takes nothing after a failed write.",
                u64::from(letters.failed.is_some()),
            ),
            (
                "lifeboat_conversations",
                "Conversations.",
                state.conversations.len() as u64,
            ),
            (
                "lifeboat_outbox_waiting",
                "Mail that waits to leave.",
                state.outbox.len() as u64,
            ),
            (
                "lifeboat_outbox_given_up",
                "Mail that was given up.",
                state.outbox_given_up,
            ),
            (
                "lifeboat_outbox_due_ms",
                "How long the oldest has been due.",
                oldest_due_ms,
            ),
            (
                "lifeboat_bridges_behind",
                "Conversations with something that a bridge to agents does not have yet.",
                behind as u64,
            ),
        ]
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::{clock, cluster::tests::stand_in::Majority};

    #[tokio::test(start_paused = true)]
    async fn p10_silent_callers_of_the_metrics_do_not_keep_others_out() {
        let folder = tempfile::tempdir().unwrap();
        let (cluster, _knows) = Majority::founded(1).node(1);
        let (letterbox, _work) =
            Letterbox::open(&folder.path().join("letterbox.db"), cluster.clone()).unwrap();
        let seen = Seen {
            cluster,
            letterbox,
            counters: Arc::default(),
            names: None,
            proofs: None,
            metrics: Metrics::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Stop::new();
        let served = tokio::spawn(serve(listener, seen, stop.clone()));
        let mut silent = Vec::new();
        for _ in 0..limits::METRICS_CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let began = clock::monotonic();
        let mut asks = TcpStream::connect(address).await.unwrap();
        asks.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        asks.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("lifeboat_letterbox_held"));
        let waited = clock::monotonic() - began;
        assert!(
            waited >= CALLS.head,
            "there was room for one more: {waited:?}"
        );
        stop.cancel();
        served.await.unwrap().unwrap();
    }
}
