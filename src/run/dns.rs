//! The name service's door: its sockets, and what is started with them; and the leader's part in switching. What is
//! answered is put together in [`super::zones`].

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{
    Node, Open, RunError, Runtimes, alone,
    last_good::Notes,
    listening::{self, Wildcard},
    names_over_https, signing,
    zones::LiveZones,
};
use crate::{
    clock,
    cluster::Cluster,
    config::{self, RateMode},
    dns::{
        Answers, Rate, Settings, Unusual, cookie::Secrets, quic, rate::Pace, secure::Exchange, tcp,
        transfer::Transfers, udp,
    },
    model::{
        Command, Proposal, failover,
        words::{ClientId, Label, Timestamp},
    },
    tasks::{Outcome, Stop, Tasks},
    tls::public::{doq_config, dot_config},
};

/// How often the leader looks whether time alone has made a switch due.
const JUDGE_EVERY: Duration = Duration::from_secs(1);
/// How long one such proposal may take.
const JUDGE_WITHIN: Duration = Duration::from_secs(5);

impl Node<'_> {
    /// Opens the name service's sockets and starts what answers. A node without addresses for it answers no names, but
    /// takes its part in switching all the same.
    pub(super) fn start_names(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        open: &Open,
    ) -> Result<Option<Arc<Answers>>, RunError> {
        let background = runtimes.background.handle();
        let judge = self.cluster.clone();
        tasks.keep(background, "judge", move |stop| judged(judge.clone(), stop));
        let cluster = self.cluster.clone();
        tasks.keep(background, "signatures", move |stop| {
            signing::refreshed(cluster.clone(), stop)
        });
        let dns = &self.config.dns;
        if dns.listen.is_empty() {
            return Ok(None);
        }
        let (answers, unusual) =
            Answers::new(settings(dns, &self.config.node.name), self.secrets());
        self.start_transfers(tasks, runtimes, &answers, unusual);
        let notes = Notes::new(self.place.last_good_zones());
        let zones = LiveZones {
            cluster: self.cluster.clone(),
            blobs: self.blobs.clone(),
            answers: answers.clone(),
            keyring: self.keyring.clone(),
            notes: notes.clone(),
        };
        answers.own.open(&self.place.own_answers());
        // What was answered last is answered before the first question comes.
        let serving = zones.answer_last_good();
        let (cluster, own) = (self.cluster.clone(), answers.clone());
        tasks.keep(background, "own answers", move |stop| {
            alone::rejoined(cluster.clone(), own.clone(), stop)
        });
        tasks.keep(background, "last answers", move |stop| {
            notes.clone().write(stop)
        });
        tasks.keep(background, "zones", move |stop| {
            zones.clone().run(serving.clone(), stop)
        });
        self.start_listeners(tasks, runtimes, open, &answers)?;
        Ok(Some(answers))
    }

    /// Starts what moves zones between name servers: answers to them, notices, and transfers in.
    fn start_transfers(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        answers: &Arc<Answers>,
        unusual: mpsc::Receiver<Unusual>,
    ) {
        let (transfers, noticed) = Transfers::new(
            self.cluster.clone(),
            self.blobs.clone(),
            self.keyring.clone(),
            answers.clone(),
            &self.config.dns.listen,
        );
        let people = runtimes.people.handle();
        let leaving = transfers.clone();
        tasks.start(people, "transfers out", |stop| {
            leaving.answer_all(unusual, stop)
        });
        let background = runtimes.background.handle();
        let telling = transfers.clone();
        tasks.keep(background, "notices", move |stop| {
            telling.clone().tell(stop)
        });
        let calling = transfers.clone();
        tasks.keep(background, "roll call", move |stop| {
            calling.clone().call_the_roll(stop)
        });
        let asking = transfers.clone();
        tasks.keep(background, "parents", move |stop| {
            asking.clone().ask_parents(stop)
        });
        tasks.start(background, "transfers in", |stop| {
            transfers.follow(noticed, stop)
        });
    }

    fn start_listeners(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        open: &Open,
        answers: &Arc<Answers>,
    ) -> Result<(), RunError> {
        let dns = &self.config.dns;
        let _inside = runtimes.people.enter();
        let mut sockets = Vec::new();
        for address in &dns.listen {
            let bound = udp::bind(*address, answers.settings.threads);
            sockets.extend(bound.map_err(|source| RunError::Listen {
                what: "DNS over UDP",
                address: *address,
                source,
            })?);
        }
        let listeners = tcp::Listeners {
            tcp: listening::all(&dns.listen, Wildcard::Ipv6, "DNS over TCP")?,
            tls: listening::all(&dns.tls_listen, Wildcard::Ipv6, "DNS over TLS")?,
        };
        let threads = udp::Threads::start(answers, sockets).map_err(RunError::Threads)?;
        tasks.start(
            runtimes.people.handle(),
            "names over UDP",
            |stop| async move {
                stop.cancelled().await;
                tokio::task::spawn_blocking(move || threads.stop()).await?;
                Ok(())
            },
        );
        let secret = self.keyring.mac("tls session tickets, dot", b"").0;
        let certificates = open.certificates.clone();
        let (keep, tls) = watch::channel(dot_config(certificates, &secret, clock::now)?);
        let over_tcp = answers.clone();
        tasks.start(
            runtimes.people.handle(),
            "names over TCP",
            |stop| async move {
                tcp::serve(over_tcp, listeners, tls, stop).await;
                drop(keep);
                Ok(())
            },
        );
        self.start_quic(tasks, runtimes, open, answers)?;
        // At the public's port; there from the first connection on, as that port is opened later.
        let routes = names_over_https::routes(Exchange::new(answers.clone()));
        let _ = open.front.name_queries.set(routes);
        Ok(())
    }

    fn start_quic(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        open: &Open,
        answers: &Arc<Answers>,
    ) -> Result<(), RunError> {
        let mut sockets = Vec::new();
        for address in &self.config.dns.quic_listen {
            let bound = quic::bind(*address).map_err(|source| RunError::Listen {
                what: "DNS over QUIC",
                address: *address,
                source,
            })?;
            sockets.extend(bound);
        }
        if sockets.is_empty() {
            return Ok(());
        }
        let gate = quic::Gate::new(answers);
        let tls = doq_config(open.certificates.clone(), Arc::new(move || gate.admits()))?;
        let answers = answers.clone();
        tasks.start(
            runtimes.people.handle(),
            "names over QUIC",
            |stop| async move { Ok(quic::serve(answers, sockets, tls, stop).await?) },
        );
        Ok(())
    }

    /// What cookies are made with: the same on all nodes, as the cluster's key is.
    fn secrets(&self) -> Secrets {
        let mut current = [0; 16];
        current.copy_from_slice(&self.keyring.mac("dns cookies", b"").0[..16]);
        Secrets::new(current, None)
    }
}

fn settings(dns: &config::Dns, node: &Label) -> Settings {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let pace = Pace {
        per_second: dns.rate_per_second,
        slip: dns.rate_slip,
    };
    let nsid = dns.nsid.clone().unwrap_or_else(|| node.to_string());
    Settings {
        nsid: nsid.into_bytes().into(),
        udp_payload: dns.udp_payload,
        rate: match dns.rate {
            RateMode::Off => Rate::Off,
            RateMode::Count => Rate::Noted(pace),
            RateMode::On => Rate::Kept(pace),
        },
        threads: dns.udp_threads.unwrap_or(cores),
        connections: dns.connections,
        connections_per_network: dns.connections_per_network,
        idle: dns.idle,
    }
}

/// On the leader: has services judged that time alone made due, such as at the end of a pin or a dwell time. Votes
/// decide in their own entries, so nothing here stands between a dead primary and the switch.
async fn judged(cluster: Cluster, stop: Stop) -> Outcome {
    let mut changes = cluster.changes();
    loop {
        changes.borrow_and_update();
        if cluster.health().leader == Some(cluster.id()) {
            let due: Vec<Label> = {
                let state = cluster.state();
                let now: Timestamp = clock::now().max(state.now);
                failover::due(&state, now).collect()
            };
            for service in due {
                let proposal = Proposal::of_node(
                    ClientId(clock::random_bytes()),
                    cluster.id(),
                    Command::Judge { service },
                );
                // Judged again at the next look if it did not get through.
                if let Err(error) = cluster.propose(proposal, JUDGE_WITHIN).await {
                    tracing::debug!(%error, "could not have a service judged yet");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = changes.changed() => changed?,
            () = tokio::time::sleep(JUDGE_EVERY) => {}
        }
    }
}
