//! The last resort of a node without a majority, for services that opted in: after their wait, and when another node at
//! another provider sees the same, it answers another target by itself. It is this node's own choice, as a person's pin on
//! a lone node is: the serial stays, nobody is told, nobody gets the zone from here, and it ends when the node has
//! rejoined.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{runtime::Handle, sync::watch, time::Instant};

use super::chain;
use crate::{
    clock,
    cluster::{Cluster, encoding::talk::Sighting, health::Health},
    dns::Answers,
    model::{
        Actor, Source,
        alone::OwnChoice,
        conversation::Door,
        failover::{Switchable, resort},
        health::Opinion,
        limits,
        words::{ClientId, Label, NodeId},
    },
    probe::Sights,
    tasks::{Outcome, Stop, Tasks},
};

/// How often is looked while there is no majority: for a wait of minutes.
const LOOK: Duration = Duration::from_secs(1);

/// A node's last resort.
#[derive(Clone)]
struct LastResort {
    cluster: Cluster,
    answers: Arc<Answers>,
    /// What this node thinks of the targets it watches.
    sights: watch::Receiver<Sights>,
}

/// Lets peers know what this node sees, and starts its last resort where it answers names.
pub(super) fn start(
    tasks: &mut Tasks,
    background: &Handle,
    cluster: &Cluster,
    sights: watch::Receiver<Sights>,
    names: Option<Arc<Answers>>,
) {
    let (health, seen) = (cluster.health_changes(), sights.clone());
    cluster.tell_sightings(Arc::new(move || sighting(&health.borrow(), &seen)));
    let Some(answers) = names else {
        return;
    };
    let last_resort = LastResort {
        cluster: cluster.clone(),
        answers,
        sights,
    };
    tasks.keep(background, "last resort", move |stop| {
        last_resort.clone().run(stop)
    });
}

/// What this node tells peers that it sees.
fn sighting(health: &Health, sights: &watch::Receiver<Sights>) -> Sighting {
    let down = sights.borrow();
    let down = down.iter().filter(|it| *it.1 == Opinion::Down);
    Sighting {
        alone: health.alone(),
        down: down.map(|it| it.0.clone()).collect(),
    }
}

impl LastResort {
    async fn run(self, stop: Stop) -> Outcome {
        let mut lost: Option<Instant> = None;
        let mut told = BTreeMap::new();
        loop {
            let health = self.cluster.health();
            // A node that cannot take part says nothing about the majority: the others may well have it.
            if health.alone() && health.halted.is_none() {
                let since = *lost.get_or_insert_with(clock::monotonic);
                self.look(since.elapsed(), &mut told).await?;
            } else {
                lost = None;
                told.clear();
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Looks at every service whose wait is over. `told` is what the log says already of each.
    async fn look(
        &self,
        lost: Duration,
        told: &mut BTreeMap<Label, String>,
    ) -> Result<(), tokio::task::JoinError> {
        let state = self.cluster.state();
        let is_due = |it: &&Switchable| {
            let after = it.policy.last_resort_after_ms();
            let is_over = after.is_some_and(|ms| lost >= Duration::from_millis(ms));
            is_over && !self.has_chosen(&it.name)
        };
        let due: Vec<&Switchable> = state.failover.services.values().filter(is_due).collect();
        if due.is_empty() {
            return Ok(());
        }
        // Most are well: nobody is asked about those.
        let everybody: Vec<NodeId> = state.nodes.keys().copied().collect();
        let asks = due.iter().any(|it| self.decided(it, &everybody).is_ok());
        let sightings = match asks {
            true => self.sightings().await,
            false => Vec::new(),
        };
        if let Some((node, _)) = sightings.iter().find(|(_, it)| !it.alone) {
            tracing::warn!(%node, "no last resort: a node that can be reached has a majority");
            return Ok(());
        }
        for service in due {
            let Some(current) = current(service) else {
                continue;
            };
            let key = (service.name.clone(), current);
            let agree = sightings.iter().filter(|it| it.1.down.contains(&key));
            let agree: Vec<NodeId> = agree.map(|it| it.0).collect();
            match self.decided(service, &agree) {
                Ok(choice) => self.choose(choice).await?,
                Err(why) => {
                    let why = why.to_string();
                    if told.get(&service.name) != Some(&why) {
                        tracing::info!(service = %service.name, why, "without a majority, and no last resort yet");
                        told.insert(service.name.clone(), why);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a choice of this node was made since the majority was lost. A person who ended it has the last word; one that
    /// ended by its time is made anew.
    fn has_chosen(&self, service: &Label) -> bool {
        let now = clock::now();
        let kept = self.answers.own.all();
        let mut of = kept.iter().filter(|it| it.service == *service);
        of.any(|it| it.holds(now) || it.ended.is_some())
    }

    fn decided(&self, service: &Switchable, agree: &[NodeId]) -> Result<OwnChoice, resort::Leave> {
        let state = self.cluster.state();
        let (node, now) = (self.cluster.id(), clock::now().max(state.now));
        let sights = self.sights.borrow().clone();
        let sees = |target: &Label| {
            let key = (service.name.clone(), target.clone());
            sights.get(&key).copied().unwrap_or(Opinion::Unknown)
        };
        let (target, reason) = resort::last_resort(&state, (node, service), now, sees, agree)?;
        let since = clock::now();
        Ok(OwnChoice {
            id: ClientId(clock::random_bytes()),
            actor: Actor::Node(node),
            source: Source {
                door: Door::Cluster,
                address: None,
            },
            service: service.name.clone(),
            target,
            reason,
            since,
            expires: since.plus_ms(limits::PIN_MS.1),
            ended: None,
        })
    }

    /// What the peers that can be reached see.
    async fn sightings(&self) -> Vec<(NodeId, Sighting)> {
        let health = self.cluster.health();
        let peers = health.peers.iter().filter(|it| it.reachable);
        let asked = peers.map(|it| async move { (it.id, self.cluster.sighting_of(it.id).await) });
        let told = join_all(asked).await.into_iter();
        told.filter_map(|(id, it)| Some((id, it?))).collect()
    }

    async fn choose(&self, choice: OwnChoice) -> Result<(), tokio::task::JoinError> {
        let answers = self.answers.clone();
        let (service, target) = (choice.service.clone(), choice.target.clone());
        let reason = choice.reason.as_str().to_owned();
        let chosen = tokio::task::spawn_blocking(move || answers.own.choose(choice)).await?;
        match chosen {
            Ok(()) => {
                tracing::error!(%service, %target, reason, "this node alone answers another target, as its last resort, until it has rejoined");
            }
            Err(error) => {
                tracing::error!(%service, %target, error = %chain(&error), "the last resort cannot be written down, so it is not taken");
            }
        }
        Ok(())
    }
}

/// The target that a service was agreed to answer.
fn current(service: &Switchable) -> Option<Label> {
    match &service.answering {
        crate::model::failover::Answering::One(target) => Some(target.clone()),
        crate::model::failover::Answering::All => None,
    }
}
