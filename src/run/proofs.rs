//! The node's part in knowing beforehand that everything would work: what its proofs are taken from.

use std::sync::Arc;

use super::{Node, Open, RunError, Runtimes, chain};
use crate::{
    desk,
    dns::{Answers, transfer::Transfers},
    mail::out::way::Way,
    proofs::{AgentsStream, Doors, Parts, Proofs},
    tasks::Tasks,
    telemetry::Metrics,
    tls::watching::Watching,
};

impl Node<'_> {
    /// Starts looking, and making backups, which are read back. Nothing of it keeps the node from anything else.
    pub(super) fn start_proofs(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        open: &Open,
        names: Option<Arc<Answers>>,
        metrics: &Metrics,
    ) -> Result<Proofs, RunError> {
        let backups = self.start_backups(tasks, runtimes, metrics);
        let ca = self.config.probe.tls_ca_file.as_deref();
        let tls = Watching::new(ca).inspect_err(|error| {
            tracing::error!(reason = %chain(error), "nothing is looked at over TLS from this node");
        });
        let transfers = names.as_ref().map(|answers| {
            // For asking only: it answers nobody, and is told nothing.
            let (transfers, _) = Transfers::new(
                self.cluster.clone(),
                self.blobs.clone(),
                self.keyring.clone(),
                answers.clone(),
                &self.config.dns.listen,
            );
            transfers
        });
        let letterbox = self.letterbox.clone();
        let agents: Arc<AgentsStream> = Arc::new(move |conversation, leaving| {
            desk::agents_stream(&letterbox, conversation, leaving)
        });
        let site = open.site.clone();
        let front_tag = move || {
            let tag = site.load().as_ref().map(|it| it.front_tag())?;
            tag.to_str().ok().map(str::to_owned)
        };
        let out = self.config.mail.out.as_ref();
        let proofs = Proofs::new(Parts {
            cluster: self.cluster.clone(),
            keyring: self.keyring.clone(),
            node: self.config.node.clone(),
            doors: Doors::of(self.config),
            periods: self.config.proofs,
            backups,
            tls: tls.ok(),
            names,
            transfers,
            mail: out.map(Way::new).transpose()?,
            receiver: out.and_then(|it| self.receiver(it)),
            channels: self.relay_way(),
            agents,
            front_tag: Arc::new(front_tag),
        });
        let looking = proofs.clone();
        tasks.keep(runtimes.background.handle(), "proofs", move |stop| {
            looking.clone().run(stop)
        });
        Ok(proofs)
    }
}
