//! Zones, from the agreed state and this node's blobs into the name service's door; and the leader's part in switching.
//!
//! What a zone answered last is kept in a file of its own, so that a node whose state cannot be read still answers it
//! (P3, P4). A zone that cannot be put together goes on answering what it did: nothing here ever makes one empty.

use std::{collections::BTreeMap, io, net::TcpListener as StdListener, sync::Arc, time::Duration};

use imbl::OrdMap;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use super::{
    Node, Open, RunError, Runtimes, alone, chain,
    last_good::{LastGood, LastZones, built},
    names_over_https,
    signing::{self, Due},
};
use crate::{
    blobs::Blobs,
    clock,
    cluster::Cluster,
    config::{self, RateMode},
    dns::{
        Answers, Rate, Settings, Tables, Unusual,
        cookie::Secrets,
        live::{LiveError, Shelf},
        quic,
        rate::Pace,
        secure::Exchange,
        sign::{Pen, SignError},
        tcp,
        transfer::Transfers,
        udp,
        zone::Zone,
    },
    model,
    model::{
        Command, Proposal,
        alone::{Choices, answered_alone},
        dns::Published,
        domain::{DomainName, RrSet},
        failover, limits,
        words::{ClientId, Label, Timestamp},
    },
    seal::Keyring,
    tasks::{Outcome, Stop, Tasks},
    tls::public::{doq_config, dot_config},
};

/// How often the leader looks whether time alone has made a switch due.
const JUDGE_EVERY: Duration = Duration::from_secs(1);
/// How long one such proposal may take.
const JUDGE_WITHIN: Duration = Duration::from_secs(5);
/// How often all zones are looked at although none changed.
const LOOK_ANEW: Duration = Duration::from_secs(3_600);
/// How often what could not be put together is tried again when nothing changed.
const AGAIN: Duration = Duration::from_secs(5);

/// Why a zone is not answered from.
#[derive(Debug, thiserror::Error)]
enum NotAnswered {
    #[error(transparent)]
    Live(#[from] LiveError),
    #[error(transparent)]
    Signed(#[from] SignError),
    #[error("the zone {apex} cannot be answered from: {why}")]
    Zone { apex: DomainName, why: String },
    #[error("putting zones together ended early")]
    Ended(#[from] tokio::task::JoinError),
}

/// Keeps what the door answers in step with what is live.
#[derive(Clone)]
struct LiveZones {
    cluster: Cluster,
    blobs: Blobs,
    answers: Arc<Answers>,
    keyring: Arc<Keyring>,
    last: LastZones,
}

/// What is answered now of each zone.
type Serving = BTreeMap<DomainName, Served>;

/// What is answered of a zone: which generation under which serial, by how many weeks its signatures are stretched, and
/// by which choices of this node alone.
#[derive(Clone, PartialEq, Eq)]
struct Served {
    generation: u64,
    serial: u32,
    weeks: u32,
    own: Choices,
}

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
        let zones = LiveZones {
            cluster: self.cluster.clone(),
            blobs: self.blobs.clone(),
            answers: answers.clone(),
            keyring: self.keyring.clone(),
            last: LastZones {
                folder: self.place.last_good_zones(),
            },
        };
        answers.own.open(&self.place.own_answers());
        // What was answered last is answered before the first question comes.
        let serving = zones.answer_last_good();
        let (cluster, own) = (self.cluster.clone(), answers.clone());
        tasks.keep(background, "own answers", move |stop| {
            alone::rejoined(cluster.clone(), own.clone(), stop)
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
        let mut sockets = Vec::new();
        let mut listeners = tcp::Listeners::default();
        let _inside = runtimes.people.enter();
        for address in &dns.listen {
            let refused = |what| {
                move |source| RunError::Listen {
                    what,
                    address: *address,
                    source,
                }
            };
            sockets.extend(
                udp::bind(*address, answers.settings.threads).map_err(refused("DNS over UDP"))?,
            );
            let tcp = listen_at(*address).map_err(refused("DNS over TCP"))?;
            listeners.tcp.push(tcp);
        }
        for address in &dns.tls_listen {
            let tls = listen_at(*address).map_err(|source| RunError::Listen {
                what: "DNS over TLS",
                address: *address,
                source,
            })?;
            listeners.tls.push(tls);
        }
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

fn listen_at(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let socket = StdListener::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
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

impl LiveZones {
    /// Answers what was answered last, before the state is there: by a choice of this node alone while that holds.
    /// Blocking.
    fn answer_last_good(&self) -> Serving {
        let (agreed, own) = self.last.all();
        let holding = self.answers.own.choices(clock::now());
        let own = own
            .into_iter()
            .filter(|it| holds(&it.choices, &holding))
            .map(|it| (it.last, it.choices));
        let agreed = agreed.into_iter().map(|it| (it, Choices::new()));
        let mut zones = BTreeMap::new();
        let mut serving = Serving::new();
        // What this node alone answered comes later, and takes the place of what was agreed on.
        for (last, choices) in agreed.chain(own) {
            match last.built() {
                Ok(zone) => {
                    serving.insert(last.zone.clone(), Served::of(&last, 0, choices));
                    zones.insert(last.zone, zone);
                }
                Err(why) => {
                    tracing::warn!(zone = %last.zone, why, "a zone's last answers cannot be used");
                }
            }
        }
        self.answers.own.answers(alone_of(&serving));
        self.answers.replace(Tables::build(zones.into_values()));
        serving
    }

    async fn run(self, mut serving: Serving, stop: Stop) -> Outcome {
        let mut changes = self.cluster.changes();
        // Most changes of the state are none of the zones: then their map is the very same one.
        let mut seen: Option<OrdMap<DomainName, model::dns::Zone>> = None;
        let mut chosen = self.answers.own.chosen();
        let mut own = Choices::new();
        let mut looked = clock::monotonic();
        loop {
            changes.borrow_and_update();
            chosen.borrow_and_update();
            let zones = self.cluster.state().dns.zones.clone();
            let before = std::mem::replace(&mut own, self.answers.own.choices(clock::now()));
            if own != before {
                seen = None;
            }
            // Time alone can make signatures due: see `Signed::stretched`.
            if looked.elapsed() > LOOK_ANEW {
                seen = None;
            }
            if !seen.as_ref().is_some_and(|it| it.ptr_eq(&zones)) {
                looked = clock::monotonic();
                let worker = self.clone();
                let before = std::mem::take(&mut serving);
                let choices = own.clone();
                let step = move || worker.step(before, &choices);
                serving = tokio::task::spawn_blocking(step).await?;
                let current = zones.iter().all(|(name, zone)| {
                    let live = zone.live.as_ref();
                    live.is_none_or(|it| {
                        serving
                            .get(name)
                            .is_some_and(|now| now.generation >= it.generation)
                    })
                });
                let all = current && own.keys().all(|it| is_laid(&serving, it));
                // What could not be put together is tried again.
                seen = all.then_some(zones);
            }
            let again = tokio::time::sleep(AGAIN);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = changes.changed() => changed?,
                changed = chosen.changed() => changed?,
                () = again => {}
            }
        }
    }

    /// Brings what is answered up to the state, and notes it. Blocking.
    fn step(&self, mut serving: Serving, choices: &Choices) -> Serving {
        let state = self.cluster.state();
        // With a majority the time is agreed on, and a clock of ours that is wrong makes no signatures.
        let now = if self.cluster.health().alone() {
            clock::now()
        } else {
            state.now
        };
        let is_due = |name: &DomainName, live: &Published, own: &Choices| {
            let weeks = signing::weeks(live, now);
            // A state that is read in again is older than what was answered last until it has caught up.
            serving.get(name).is_none_or(|it| {
                live.generation > it.generation
                    || (live.generation == it.generation
                        && (live.serial != it.serial || weeks > it.weeks || *own != it.own))
            })
        };
        let due: Vec<(Due, Choices)> = state
            .dns
            .zones
            .iter()
            .filter_map(|(name, zone)| {
                let live = zone.live.as_ref()?;
                let (answered, own) = answered_alone(&state, name, live, choices);
                let is_here = self.blobs.has(&live.edition.part.blob);
                (is_due(name, live, &own) && is_here)
                    .then(|| (Due::of(name, zone, &answered, now), own))
            })
            .collect();
        let gone: Vec<DomainName> = serving
            .iter()
            .filter(|(name, it)| {
                !state.dns.zones.contains_key(*name) && it.generation <= state.index
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.answers.take_out(&name);
            serving.remove(&name);
            self.last.forget(&name);
            tracing::info!(zone = %name, "a zone is answered no more: a person removed it");
        }
        self.answer(due, &mut serving);
        self.leave_what_ended(choices, &mut serving);
        self.answers.own.answers(alone_of(&serving));
        serving
    }

    /// Answers what was agreed on last where a choice of this node has ended and the state cannot say what holds now.
    fn leave_what_ended(&self, choices: &Choices, serving: &mut Serving) {
        let ended: Vec<DomainName> = serving
            .iter()
            .filter(|(_, it)| !holds(&it.own, choices))
            .map(|(name, _)| name.clone())
            .collect();
        for name in ended {
            let Some(last) = self.last.agreed(&name) else {
                tracing::error!(zone = %name, "a choice of this node alone has ended, and what was agreed on before it cannot be read; the zone answers what it did");
                continue;
            };
            match last.built() {
                Ok(zone) => {
                    self.answers.put(&zone);
                    serving.insert(name.clone(), Served::of(&last, 0, Choices::new()));
                    if let Err(error) = self.last.forget_own(&name) {
                        tracing::warn!(zone = %name, %error, "cannot forget what this node alone answered");
                    }
                }
                Err(why) => {
                    tracing::error!(zone = %name, why, "what was agreed on for a zone cannot be used; it answers what it did");
                }
            }
        }
    }

    fn answer(&self, due: Vec<(Due, Choices)>, serving: &mut Serving) {
        let mut shelf = Shelf::new(&self.blobs);
        let many = due.len() > limits::ZONES_SWAPPED_SINGLY;
        let mut built_zones = Vec::new();
        let mut notes = Vec::new();
        for (it, own) in due {
            let put_together = self.put_together(&mut shelf, &it);
            let Due {
                name, live, weeks, ..
            } = it;
            match put_together {
                Ok((zone, sets)) => {
                    if !own.is_empty() {
                        // Before it is answered: from then on nobody may have the zone from here.
                        self.answers.own.will_answer(&name, &own);
                        tracing::warn!(zone = %name, serial = live.serial, ?own, "this node alone answers a zone by its own choice, under the serial that was agreed on");
                    }
                    if !many {
                        self.answers.put(&zone);
                        tracing::info!(zone = %name, serial = live.serial, generation = live.generation, "a zone answers its newest state on this node");
                    }
                    built_zones.push(zone);
                    let last = LastGood::new(name.clone(), live.generation, live.serial, sets);
                    serving.insert(name, Served::of(&last, weeks, own.clone()));
                    notes.push((last, own));
                }
                Err(error) => {
                    tracing::error!(zone = %name, error = %chain(&error), "a zone cannot be put together; it answers what it did");
                }
            }
        }
        if many {
            let count = built_zones.len();
            let old = self.answers.tables.load_full();
            let all = old.zones().cloned().chain(built_zones);
            self.answers.replace(Tables::build(all));
            tracing::info!(
                zones = count,
                "zones answer their newest state on this node"
            );
        }
        // Answering comes first.
        for (last, own) in notes {
            self.last.note(last, own);
        }
    }

    /// What a zone is to answer, signed if it is to be. Signatures are taken over from what it answers now.
    fn put_together(
        &self,
        shelf: &mut Shelf<'_>,
        due: &Due,
    ) -> Result<(Arc<Zone>, Vec<RrSet>), NotAnswered> {
        let sets = shelf.answered(&due.name, &due.live)?;
        let sets = match &due.signing {
            None => sets,
            Some((signing, signed)) => {
                let pen = Pen::open(&due.name, signing, signed, &self.keyring)?;
                let tables = self.answers.tables.load();
                let before: Vec<RrSet> = tables
                    .zone(&due.name)
                    .map_or_else(Vec::new, |it| it.rrsets().collect());
                pen.sign(sets, &before)?
            }
        };
        let zone = built(&due.name, sets.clone()).map_err(|why| NotAnswered::Zone {
            apex: due.name.clone(),
            why,
        })?;
        Ok((zone, sets))
    }
}

impl Served {
    fn of(last: &LastGood, weeks: u32, own: Choices) -> Self {
        Self {
            generation: last.generation,
            serial: last.serial,
            weeks,
            own,
        }
    }
}

/// Whether all of `own` are among what holds.
fn holds(own: &Choices, holding: &Choices) -> bool {
    own.iter()
        .all(|(service, target)| holding.get(service) == Some(target))
}

/// Whether a service's choice by this node alone is answered somewhere.
fn is_laid(serving: &Serving, service: &Label) -> bool {
    serving.values().any(|it| it.own.contains_key(service))
}

/// The zones that are answered by choices of this node.
fn alone_of(serving: &Serving) -> crate::dns::own::Answered {
    let own = serving.iter().filter(|(_, it)| !it.own.is_empty());
    own.map(|(name, it)| (name.clone(), it.own.clone()))
        .collect()
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
