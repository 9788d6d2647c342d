//! The node's part in drills: what begins or ends because its time has come. The leader asks the state, so that not every
//! node does.

use std::time::Duration;

use super::{Node, Runtimes};
use crate::{
    clock,
    cluster::Cluster,
    model::{Command, Proposal, drill::due, words::ClientId},
    tasks::{Outcome, Stop, Tasks},
};

/// How often is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long one proposal may take.
const WITHIN: Duration = Duration::from_secs(5);

impl Node<'_> {
    /// Starts looking for drills that are due.
    pub(super) fn start_drills(&self, tasks: &mut Tasks, runtimes: &Runtimes) {
        let cluster = self.cluster.clone();
        tasks.keep(runtimes.background.handle(), "drills", move |stop| {
            watch(cluster.clone(), stop)
        });
    }
}

async fn watch(cluster: Cluster, stop: Stop) -> Outcome {
    loop {
        let health = cluster.health();
        if health.leader == Some(cluster.id()) && !health.alone() {
            let state = cluster.state();
            let now = clock::now().max(state.now);
            for change in due(&state, now) {
                let kind = change.kind();
                let id = ClientId(clock::random_bytes());
                let command = Command::Drill(Box::new(change));
                let proposal = Proposal::of_node(id, cluster.id(), command);
                // Looked for again if it did not get through.
                match cluster.propose(proposal, WITHIN).await {
                    Ok(_) => tracing::info!(kind, "a drill was due"),
                    Err(error) => tracing::debug!(%error, "a drill that is due waits"),
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
