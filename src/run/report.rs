//! What this node says of itself to the cluster: at each start, when it changed, and until it is agreed on.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    clock,
    cluster::Cluster,
    config::Config,
    model::{
        Command, Proposal,
        command::FORMAT,
        nodes::NodeFacts,
        words::{ClientId, KeyedHash, Note},
    },
    tasks::{Outcome, Stop},
    tls::{identity::Identity, pki},
};

/// How long one attempt may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How often it is compared with what the state says.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a node of this configuration says of itself.
pub(super) fn facts(config: &Config, fingerprint: KeyedHash) -> NodeFacts {
    NodeFacts {
        name: config.node.name.clone(),
        provider: config.node.provider.clone(),
        region: config.node.region.clone(),
        advertise: Note::cut(&config.cluster.advertise.to_string()),
        sites: config.web.names.iter().map(|it| Note::cut(it)).collect(),
        fingerprint,
        format: FORMAT,
        version: Note::cut(env!("CARGO_PKG_VERSION")),
    }
}

/// Keeps what the cluster knows of this node true.
#[derive(Clone)]
pub(super) struct Report {
    cluster: Cluster,
    incarnation: u64,
    facts: Arc<NodeFacts>,
}

impl Report {
    pub(super) fn new(
        config: &Config,
        cluster: Cluster,
        incarnation: u64,
        identity: &Path,
    ) -> Self {
        let print = Identity::load(identity)
            .ok()
            .and_then(|it| pki::key_fingerprint(&it.key_pem).ok());
        let known = cluster
            .state()
            .nodes
            .get(&cluster.id())
            .map(|it| it.facts.fingerprint);
        let fingerprint = print
            .map(|it| KeyedHash(it.0))
            .or(known)
            .unwrap_or(KeyedHash([0; 32]));
        Self {
            cluster,
            incarnation,
            facts: Arc::new(facts(config, fingerprint)),
        }
    }

    pub(super) async fn run(self, stop: Stop) -> Outcome {
        let me = self.cluster.id();
        loop {
            let state = self.cluster.state();
            let known = state
                .nodes
                .get(&me)
                .is_some_and(|it| it.facts == *self.facts && it.incarnation == self.incarnation);
            if !known && state.nodes.contains_key(&me) {
                let facts = NodeFacts::clone(&self.facts);
                self.say(Command::ReportNode {
                    node: me,
                    facts,
                    incarnation: self.incarnation,
                })
                .await;
            }
            if state.cluster.is_some() && !state.boxes.contains_key(&(me, self.incarnation)) {
                self.say(Command::BoxOpened {
                    node: me,
                    incarnation: self.incarnation,
                })
                .await;
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn say(&self, command: Command) {
        let kind = command.kind();
        let proposal =
            Proposal::of_node(ClientId(clock::random_bytes()), self.cluster.id(), command);
        // Said again at the next look if it did not get through.
        if let Err(error) = self.cluster.propose(proposal, WITHIN).await {
            tracing::debug!(kind, %error, "could not tell the cluster about this node yet");
        }
    }
}
