//! The node's part in rules: what they are due to say, and the one mail that is due to affected customers. The leader asks
//! the state, so that not every node does; whatever it began another one finishes.

use std::{sync::Arc, time::Duration};

use super::{Node, Runtimes, chain};
use crate::{
    clock,
    cluster::Cluster,
    mail::{automatic::Writer, campaign::routes},
    model::{
        Command, Proposal, Reply,
        incident::IncidentId,
        rule::{RuleChange, Rules, due, mail::round_due},
        words::{ClientId, Label},
    },
    tasks::{Outcome, Stop, Tasks},
};

/// How often is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long one proposal may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How long is waited after a mail could not be written: what keeps it takes a person or a while.
const REST: Duration = Duration::from_secs(15);

impl Node<'_> {
    /// Starts looking for what rules are due to do.
    pub(super) fn start_rules(&self, tasks: &mut Tasks, runtimes: &Runtimes) {
        let cluster = self.cluster.clone();
        tasks.keep(runtimes.background.handle(), "rules", move |stop| {
            watch(cluster.clone(), stop)
        });
        let Some(out) = &self.config.mail.out else {
            return;
        };
        let writer = Arc::new(Writer {
            blobs: self.blobs.clone(),
            keyring: self.keyring.clone(),
            directory: self.directory.clone(),
            company: Arc::new(self.config.company.clone()),
            routes: routes(out),
        });
        let cluster = self.cluster.clone();
        tasks.keep(runtimes.background.handle(), "notices", move |stop| {
            write(cluster.clone(), writer.clone(), stop)
        });
    }
}

fn leads(cluster: &Cluster) -> bool {
    let health = cluster.health();
    health.leader == Some(cluster.id()) && !health.alone()
}

async fn watch(cluster: Cluster, stop: Stop) -> Outcome {
    loop {
        if leads(&cluster) {
            let state = cluster.state();
            let now = clock::now().max(state.now);
            for (rule, deed) in due(&state, now) {
                let incident = IncidentId(u32::from_be_bytes(clock::random_bytes()));
                propose(&cluster, rule, deed.change(incident)).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What did not get through is looked for again.
async fn propose(cluster: &Cluster, rule: Label, change: RuleChange) {
    let kind = change.kind();
    let id = ClientId(clock::random_bytes());
    let command = Command::Rule(Box::new(change));
    let proposal = Proposal::of_rule(id, cluster.id(), rule.clone(), command);
    match cluster.propose(proposal, WITHIN).await {
        Ok(it) => match it.reply {
            Reply::Refused(refusal) => {
                tracing::debug!(%rule, kind, %refusal, "what a rule was to do is not due any more");
            }
            _ => tracing::info!(%rule, kind, "a rule did what was due"),
        },
        Err(error) => tracing::debug!(%rule, kind, %error, "what a rule is due to do waits"),
    }
}

async fn write(cluster: Cluster, writer: Arc<Writer>, stop: Stop) -> Outcome {
    loop {
        let mut rest = LOOK_EVERY;
        let state = cluster.state();
        let now = clock::now().max(state.now);
        if leads(&cluster) && round_due(&state, now) {
            let writer = writer.clone();
            let written = tokio::task::spawn_blocking(move || writer.write(&state, now)).await?;
            match (written, Label::new(Rules::NOTICES)) {
                (Ok(change), Ok(rule)) => propose(&cluster, rule, change).await,
                (Err(error), _) => {
                    tracing::warn!(reason = %chain(&error), "a notice to affected customers cannot be written here yet");
                    rest = REST;
                }
                (Ok(_), Err(_)) => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(rest) => {}
        }
    }
}
