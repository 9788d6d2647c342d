//! The node's part in looking after names at other people's name services.

use super::{Node, Runtimes, chain};
use crate::{
    dns::keeper::{Opener, rounds::Rounds},
    tasks::Tasks,
    telemetry::Metrics,
    tls::outgoing,
};

impl Node<'_> {
    /// Starts the rounds. A node that cannot make TLS connections leaves them to the others.
    pub(super) fn start_keepers(&self, tasks: &mut Tasks, runtimes: &Runtimes, metrics: &Metrics) {
        let tls = match outgoing::connector(None) {
            Ok(tls) => tls,
            Err(error) => {
                tracing::error!(reason = %chain(&error), "names at other name services are not looked after from this node");
                return;
            }
        };
        let opener = Opener::new(self.keyring.clone(), tls);
        let rounds = Rounds::new(self.cluster.clone(), opener, metrics);
        tasks.keep(runtimes.background.handle(), "keepers", move |stop| {
            rounds.clone().run(stop)
        });
    }
}
