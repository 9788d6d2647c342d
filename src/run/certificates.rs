//! The node's part in certificates that the cluster orders: orders while it leads, shows what authorities look for, and
//! presents what was issued.

use std::sync::Arc;

use super::{Node, Runtimes, chain};
use crate::acme::{self, Orders};
use crate::cluster::Cluster;
use crate::model::certificate::shown;
use crate::seal::Keyring;
use crate::tasks::{Outcome, Stop, Tasks};
use crate::telemetry::Metrics;
use crate::tls::public::{Agreed, CertificateSet};
use crate::web::front::Challenge;

impl Node<'_> {
    /// Answers authorities by what was agreed on.
    pub(super) fn challenge(&self) -> Challenge {
        let cluster = self.cluster.clone();
        Arc::new(move |token| shown(&cluster.state(), token))
    }

    /// Starts ordering, which only whoever leads does.
    pub(super) fn start_orders(&self, tasks: &mut Tasks, runtimes: &Runtimes, metrics: &Metrics) {
        let orders = Orders::new(self.cluster.clone(), self.keyring.clone(), metrics);
        tasks.keep(
            runtimes.background.handle(),
            "certificate orders",
            move |stop| orders.clone().run(stop),
        );
    }

    /// Presents what was issued besides the certificates of the folder.
    pub(super) fn start_presenting(
        &self,
        tasks: &mut Tasks,
        background: &tokio::runtime::Handle,
        certificates: &Arc<CertificateSet>,
    ) {
        let (cluster, keyring) = (self.cluster.clone(), self.keyring.clone());
        let certificates = certificates.clone();
        tasks.keep(background, "issued certificates", move |stop| {
            present(cluster.clone(), keyring.clone(), certificates.clone(), stop)
        });
    }
}

/// Presents what was issued as soon as this node knows of it.
async fn present(
    cluster: Cluster,
    keyring: Arc<Keyring>,
    certificates: Arc<CertificateSet>,
    stop: Stop,
) -> Outcome {
    let mut changes = cluster.changes();
    let mut presented = Vec::new();
    loop {
        changes.borrow_and_update();
        let state = cluster.state();
        let issued = acme::issued(&state);
        if issued != presented {
            let (opened, shut) = acme::opened(&state, &keyring);
            for name in shut {
                tracing::error!(certificate = %name, "this node cannot open a certificate's key, and does not present it");
            }
            let agreed: Vec<Agreed<'_>> = opened
                .iter()
                .map(|it| Agreed {
                    name: &it.name,
                    chain: &it.chain,
                    key: &it.key,
                })
                .collect();
            for problem in certificates.agree(&agreed) {
                tracing::warn!(problem = %chain(&problem), "a certificate of the cluster cannot be used; the old one stays");
            }
            tracing::info!(
                pairs = opened.len(),
                "certificates of the cluster are presented"
            );
            presented = issued;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = changes.changed() => changed?,
        }
    }
}
