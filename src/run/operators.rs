//! The operators' door: its certificate, its listener, and telling the cluster where it is. What fails here is logged
//! and tried again; it never keeps the node from anything else.

use std::{sync::Arc, time::Duration};

use super::{
    Node, Runtimes, chain,
    listening::{self, Wildcard},
};
use crate::{
    clock,
    cluster::Cluster,
    desk::{self, Desk},
    model::{
        Command, Proposal,
        people::{Console, PeopleChange},
        words::{ClientId, Note},
    },
    tasks::{Outcome, Stop, Tasks},
    tls::{
        console::{ConsoleCertificates, console_config},
        public::CertificateSet,
    },
};

/// How often what the cluster knows of this console is compared with what is true.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long telling it may take.
const WITHIN: Duration = Duration::from_secs(10);

impl Node<'_> {
    /// Starts the console, and reports sign-ins that happened while this node was alone.
    pub(super) fn start_operators(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        desk: Desk,
        named: Arc<CertificateSet>,
    ) {
        let on = runtimes.operators.handle();
        let reports = desk.clone();
        tasks.keep(on, "sign-ins while alone", move |stop| {
            reports.clone().report_sign_ins(stop)
        });
        let listen = self.config.console.listen.clone();
        if listen.is_empty() {
            return;
        }
        let own = self.config.cluster.advertise.ip();
        let reached = self.config.console.reached_at(own);
        let hosts: Vec<String> = reached.iter().map(|it| it.ip().to_string()).collect();
        let folder = self.place.console_certificate();
        let opened = ConsoleCertificates::open(named, &folder, &hosts, clock::now());
        let secret = self.keyring.mac("console session tickets", b"").0;
        let ready = opened.and_then(|it| {
            let certificates = Arc::new(it);
            let tls = console_config(certificates.clone(), &secret, clock::now)?;
            Ok((certificates, tls))
        });
        let (certificates, tls) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(reason = %chain(&error), "this node has no console");
                return;
            }
        };
        let addresses = reached.iter().map(|it| Note::cut(&it.to_string()));
        let told = Console {
            addresses: addresses.collect(),
            fingerprint: certificates.fingerprint(),
        };
        let cluster = self.cluster.clone();
        tasks.keep(on, "console address", move |stop| {
            tell(cluster.clone(), told.clone(), stop)
        });
        tasks.keep(on, "operators", move |stop| {
            let (desk, tls, listen) = (desk.clone(), tls.clone(), listen.clone());
            async move {
                let sockets = listening::all(&listen, Wildcard::Both, "the console")?;
                desk::serve_console(desk, desk::Console { sockets, tls }, stop).await
            }
        });
    }
}

/// Keeps what the cluster knows of this node's console true.
async fn tell(cluster: Cluster, console: Console, stop: Stop) -> Outcome {
    let me = cluster.id();
    loop {
        let state = cluster.state();
        let is_known = state.people.consoles.get(&me) == Some(&console);
        if !is_known && state.nodes.contains_key(&me) {
            let change = PeopleChange::ConsoleAt {
                node: me,
                console: console.clone(),
            };
            let id = ClientId(clock::random_bytes());
            let proposal = Proposal::of_node(id, me, Command::People(change));
            // Said again at the next look if it did not get through.
            if let Err(error) = cluster.propose(proposal, WITHIN).await {
                tracing::debug!(%error, "could not tell the cluster about this console yet");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
