//! The door towards the targets that are watched: what this node sees of them, and its votes on them.
//!
//! A look (`look`, with `http`, `dns`, `smtp`) goes to the `board`, where counters (`settle`) and the canaries
//! (`vantage`) make an opinion of it; the `voter` tells the cluster what changed, and everything again every 20 s. What
//! the cluster makes of the votes is the model's business. Without a majority the watching goes on, and the votes wait.

mod board;
mod dns;
mod fault;
mod http;
mod look;
mod lookout;
mod settle;
mod smtp;
mod vantage;
mod voter;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};
use tracing::{debug, error, info, warn};

use crate::clock;
use crate::cluster::{Cluster, Committed, ProposeError};
use crate::config::Probe as ProbeConfig;
use crate::model::failover::Failover;
use crate::model::health::{Ballot, Opinion, Watch};
use crate::model::limits::{PROBE_CHECKS_MAX, PROBE_LOOKS_MAX};
use crate::model::words::{ClientId, Label};
use crate::model::{Command, Proposal};
use crate::model::{Refusal, Reply};
use crate::tasks::{Outcome, Stop};
use crate::telemetry::{Counter, Gauge, Metrics};
use crate::tls::outgoing::OutgoingError;
use crate::tls::watching::Watching;

use board::{Board, Key, Look, Turned};
use lookout::Lookouts;
use vantage::View;
use voter::Voter;

/// How long one vote may take to be agreed on.
const AGREEMENT: Duration = Duration::from_secs(3);
/// The longest time without looking whether a vote is due.
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// What this node thinks of targets, by service and target.
pub type Sights = BTreeMap<(Label, Label), Opinion>;

/// Watches every target of every service from this node.
#[derive(Clone)]
pub struct Probes {
    cluster: Cluster,
    anchors: Vec<SocketAddr>,
    tls: Watching,
    incarnation: u64,
    figures: Figures,
    sights: watch::Sender<Sights>,
    /// Counts the votes of this start of the node, also over a new start of the task.
    rounds: Arc<std::sync::atomic::AtomicU64>,
}

/// What is counted.
#[derive(Clone)]
struct Figures {
    metrics: Metrics,
    looks: Counter,
    misses: Counter,
    votes: Counter,
    unheard: Counter,
    sound: Gauge,
}

impl Figures {
    fn new(metrics: &Metrics) -> Self {
        Self {
            looks: metrics.counter("lifeboat_probe_looks_total", "Looks at targets."),
            misses: metrics.counter(
                "lifeboat_probe_misses_total",
                "Looks that found something wrong.",
            ),
            votes: metrics.counter("lifeboat_probe_votes_total", "Votes that were counted."),
            unheard: metrics.counter(
                "lifeboat_probe_votes_unheard_total",
                "Tries to vote that did not get through.",
            ),
            sound: metrics.gauge(
                "lifeboat_probe_line_sound",
                "1 while enough canaries answer, so that this node may say that a target is down.",
            ),
            metrics: metrics.clone(),
        }
    }

    fn opinion(&self, (service, target): &Key, opinion: Option<Opinion>) {
        let labels = [("service", service.as_str()), ("target", target.as_str())];
        let help = "This node's opinion: 1 up, 0 not known, -1 down.";
        let value = match opinion {
            Some(Opinion::Up) => 1,
            Some(Opinion::Down) => -1,
            Some(Opinion::Unknown) | None => 0,
        };
        self.metrics
            .gauge_of("lifeboat_probe_opinion", help, &labels)
            .set(value);
    }
}

impl Probes {
    /// What watches for the node behind `cluster`. `incarnation` is which start of the node this is.
    ///
    /// # Errors
    /// When the configured authorities cannot be used.
    pub fn new(
        cluster: Cluster,
        config: &ProbeConfig,
        incarnation: u64,
        metrics: &Metrics,
    ) -> Result<Self, OutgoingError> {
        Ok(Self {
            cluster,
            anchors: config.anchors.clone(),
            tls: Watching::new(config.tls_ca_file.as_deref())?,
            incarnation,
            figures: Figures::new(metrics),
            sights: watch::Sender::default(),
            rounds: Arc::default(),
        })
    }

    /// What this node thinks of the targets it watches, whether or not anybody counts its votes.
    pub fn sights(&self) -> watch::Receiver<Sights> {
        self.sights.subscribe()
    }

    /// Watches and votes until stopped. Everything it started ends with it.
    ///
    /// # Errors
    /// Never; the result is what a task returns.
    pub async fn run(self, stop: Stop) -> Outcome {
        let asked = Arc::new(Notify::new());
        let (views, mut view) = watch::channel(None);
        let canaries = vantage::keep_watch(
            self.cluster.clone(),
            self.anchors.clone(),
            asked.clone(),
            views,
        );
        let (saw, mut looks) = mpsc::channel(PROBE_LOOKS_MAX);
        let mut lookouts = Lookouts::new(self.tls.clone(), saw);
        let mut changes = self.cluster.changes();
        let mut opinions = Opinions::new(&self);
        let mut canaries = std::pin::pin!(canaries);
        while !stop.is_cancelled() {
            if let Some(wanted) = opinions.news(&self.cluster) {
                lookouts.keep_to(&wanted, &mut opinions.board);
            }
            opinions.turn(*view.borrow_and_update(), &asked);
            tokio::select! {
                () = stop.cancelled() => {}
                () = &mut canaries => {}
                Some(look) = looks.recv() => opinions.take(look, &mut looks),
                _ = view.changed() => {}
                () = news_or_a_tick(&mut changes) => {}
                Some(told) = opinions.telling.join_next() => opinions.was_told(told.ok()),
                Some(check) = lookouts.ended() => {
                    error!(check = %check.1, "watching a target ended badly; it begins anew");
                    opinions.services = None;
                }
            }
        }
        Ok(())
    }
}

/// Whether a mail server at this address greets, knows EHLO and says goodbye; it is sent nothing.
///
/// # Errors
/// What it does instead, in words.
pub async fn greets(to: SocketAddr, within: Duration) -> Result<(), String> {
    let deadline = clock::monotonic() + within;
    let looked = async {
        let stream = look::connect(to, deadline).await?;
        look::within(deadline, "waiting for the greeting", smtp::greet(stream)).await?
    };
    looked
        .await
        .map(drop)
        .map_err(|it: fault::Fault| it.words().as_str().to_owned())
}

/// Waits for an entry, at most [`AT_LEAST_EVERY`].
async fn news_or_a_tick(changes: &mut watch::Receiver<u64>) {
    let tick = clock::monotonic() + AT_LEAST_EVERY;
    if let Ok(Err(_)) = timeout_at(tick, changes.changed()).await {
        // The sender is gone: the cluster has stopped, and only the clock is left.
        sleep_until(tick).await;
    }
}

/// What one try to vote came to.
type Told = (Vec<Ballot>, Result<Committed, ProposeError>);

/// Where looks become opinions, and opinions votes.
struct Opinions<'a> {
    probes: &'a Probes,
    board: Board,
    voter: Voter,
    /// At most one vote is under way: they are counted in order.
    telling: JoinSet<Told>,
    /// The services as last seen.
    services: Option<Failover>,
    refused: bool,
    sound: Option<bool>,
}

impl<'a> Opinions<'a> {
    fn new(probes: &'a Probes) -> Self {
        Self {
            probes,
            board: Board::default(),
            voter: Voter::new(),
            telling: JoinSet::new(),
            services: None,
            refused: false,
            sound: None,
        }
    }

    /// What is to be watched, where that may have changed.
    fn news(&mut self, cluster: &Cluster) -> Option<BTreeMap<Key, Watch>> {
        let state = cluster.state();
        let same = |seen: &Failover| seen.services.ptr_eq(&state.failover.services);
        if self.services.as_ref().is_some_and(same) {
            return None;
        }
        self.services = Some(state.failover.clone());
        let wanted = wanted(&state.failover);
        self.voter.forget_all_but(|key| wanted.contains_key(key));
        self.board.keep_to(&wanted);
        Some(wanted)
    }

    /// Takes one look, and all others that are waiting.
    fn take(&mut self, look: Look, waiting: &mut mpsc::Receiver<Look>) {
        let mut next = Some(look);
        while let Some(look) = next {
            self.probes.figures.looks.add(1);
            if look.seen.is_err() {
                self.probes.figures.misses.add(1);
            }
            self.board.take(look);
            next = waiting.try_recv().ok();
        }
    }

    /// Draws conclusions, and tells the cluster what is due.
    fn turn(&mut self, view: Option<View>, asked: &Notify) {
        if let Some(view) = view
            && self.sound != Some(view.sound)
        {
            self.sound = Some(view.sound);
            self.probes.figures.sound.set(i64::from(view.sound));
        }
        if self.board.needs_a_view(view) {
            asked.notify_one();
        }
        for Turned { key, from, to } in self.board.conclude(view) {
            self.probes.figures.opinion(&key, to);
            let evidence = self.board.ballot(&key, view).map(|it| it.evidence);
            let evidence = evidence.as_ref().map_or("", |it| it.as_str());
            let (service, target) = (key.0.as_str(), key.1.as_str());
            let (from, to) = (spoken(from), spoken(to));
            if to == "down" {
                warn!(service, target, from, to, evidence, "an opinion changed");
            } else {
                info!(service, target, from, to, evidence, "an opinion changed");
            }
        }
        self.probes.sights.send_if_modified(|sights| {
            let now = self.board.opinions();
            let now: Sights = now.map(|(key, it)| (key.clone(), it)).collect();
            let changed = *sights != now;
            *sights = now;
            changed
        });
        if !self.telling.is_empty() {
            return;
        }
        let due = self.voter.due(self.board.opinions(), clock::monotonic());
        let ballots: Vec<Ballot> = due
            .iter()
            .filter_map(|key| self.board.ballot(key, view))
            .collect();
        if !ballots.is_empty() {
            let telling = self.probes.clone().tell(ballots);
            self.telling.spawn(telling);
        }
    }

    fn was_told(&mut self, told: Option<Told>) {
        let now = clock::monotonic();
        let figures = &self.probes.figures;
        let Some((ballots, result)) = told else {
            let pause_ms = self.voter.was_not_heard(now).as_millis();
            return error!(pause_ms, "a vote ended badly and will be repeated");
        };
        let refusal = match result {
            Ok(Committed {
                reply: Reply::Refused(refusal),
                ..
            }) => refusal,
            Ok(_) => {
                figures.votes.add(ballots.len() as u64);
                self.refused = false;
                let heard = ballots
                    .into_iter()
                    .map(|it| ((it.service, it.target), it.opinion));
                return self.voter.was_heard(heard, now);
            }
            Err(error) => {
                figures.unheard.add(1);
                let pause_ms = self.voter.was_not_heard(now).as_millis();
                return debug!(%error, pause_ms, "a vote did not get through yet");
            }
        };
        figures.unheard.add(1);
        self.voter.was_not_heard(now);
        // An earlier try that was slow got through after all; the next one is counted.
        if !self.refused && refusal != Refusal::StaleEpoch {
            self.refused = true;
            warn!(%refusal, "the cluster does not count this node's votes");
        }
    }
}

impl Probes {
    async fn tell(self, ballots: Vec<Ballot>) -> Told {
        let node = self.cluster.id();
        let round = 1 + self
            .rounds
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let proposal = Proposal::of_node(
            ClientId(clock::random_bytes()),
            node,
            Command::Vote {
                node,
                incarnation: self.incarnation,
                round,
                ballots: ballots.clone(),
            },
        );
        let result = self.cluster.propose(proposal, AGREEMENT).await;
        (ballots, result)
    }
}

fn spoken(opinion: Option<Opinion>) -> &'static str {
    match opinion {
        Some(Opinion::Up) => "up",
        Some(Opinion::Down) => "down",
        Some(Opinion::Unknown) => "cannot tell",
        None => "not looked at yet",
    }
}

/// The targets that can be watched, with how. Past the bound the last services are left out, and the log says so.
fn wanted(failover: &Failover) -> BTreeMap<Key, Watch> {
    let mut wanted = BTreeMap::new();
    let mut checks = 0;
    for (name, service) in &failover.services {
        for (target, it) in &service.targets {
            if it.watch.checks.is_empty() {
                continue;
            }
            checks += it.watch.checks.len();
            if checks > PROBE_CHECKS_MAX {
                error!(service = %name, %target, most = PROBE_CHECKS_MAX, "there are too many checks: this target is not watched");
                continue;
            }
            wanted.insert((name.clone(), target.clone()), it.watch.clone());
        }
    }
    wanted
}
