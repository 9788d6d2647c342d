//! The node's part in telling notices through channels outside, and in carrying conversations to where agents are.

use std::sync::Arc;

use super::{Node, RunError, Runtimes, chain};
use crate::{
    config, errands,
    relay::{
        Pages, Relay, Way,
        bridges::{Bridger, Ears},
    },
    tasks::Tasks,
    telemetry::Metrics,
    tls::outgoing,
};

/// The addresses of the public's pages, one for each of the node's own names, without a final slash.
pub(super) fn sites(web: &config::Web) -> Vec<String> {
    let port = match web.https_port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let names = web.names.iter();
    names.map(|name| format!("https://{name}{port}")).collect()
}

/// Where an incident's page is, under the first of them.
fn pages(web: &config::Web) -> Pages {
    let site = sites(web).into_iter().next();
    Arc::new(move |incident| {
        let site = site.as_ref()?;
        Some(format!("{site}/incident/{incident}"))
    })
}

impl Node<'_> {
    /// The way to channels; nothing on a node that cannot make TLS connections.
    pub(super) fn relay_way(&self) -> Option<Way> {
        match outgoing::connector(None) {
            Ok(tls) => Some(Way::new(self.keyring.clone(), tls, pages(&self.config.web))),
            Err(error) => {
                tracing::error!(reason = %chain(&error), "notices are not told from this node");
                None
            }
        }
    }

    /// Starts everything that leaves the house because the agreed state says that it is due.
    pub(super) fn start_errands(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        metrics: &Metrics,
    ) -> Result<(), RunError> {
        self.start_keepers(tasks, runtimes, metrics);
        self.start_relay(tasks, runtimes, metrics);
        self.start_orders(tasks, runtimes, metrics);
        self.start_waking(tasks, runtimes, metrics)?;
        self.start_directory(tasks, runtimes, self.directory);
        self.start_campaigns(tasks, runtimes, metrics)
    }

    /// Starts telling. A node that cannot leaves it to the others.
    pub(super) fn start_relay(&self, tasks: &mut Tasks, runtimes: &Runtimes, metrics: &Metrics) {
        let Some(way) = self.relay_way() else {
            return;
        };
        let cluster = self.cluster.clone();
        let bridger = Arc::new(Bridger::new(cluster.clone(), way.clone(), metrics));
        tasks.keep(runtimes.background.handle(), "bridges", move |stop| {
            errands::run(cluster.clone(), bridger.clone(), stop)
        });
        let (cluster, letterbox) = (self.cluster.clone(), self.letterbox.clone());
        let ears = Arc::new(Ears::new(cluster, letterbox, way.clone(), metrics));
        tasks.keep(runtimes.background.handle(), "ears", move |stop| {
            ears.clone().run(stop)
        });
        let cluster = self.cluster.clone();
        let relay = Arc::new(Relay::new(cluster.clone(), way, metrics));
        tasks.keep(runtimes.background.handle(), "notices", move |stop| {
            errands::run(cluster.clone(), relay.clone(), stop)
        });
    }
}
