//! Zones, from the agreed state and this node's blobs into the name service's door; and the leader's part in switching.
//!
//! What a zone answered last is kept in a file of its own, so that a node whose state cannot be read still answers it
//! (P3, P4). A zone that cannot be put together goes on answering what it did: nothing here ever makes one empty.

use std::{
    collections::BTreeMap, fs, io, net::TcpListener as StdListener, path::PathBuf, sync::Arc,
    time::Duration,
};

use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use super::{
    Node, Open, RunError, Runtimes, chain, names_over_https,
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
    durable, model,
    model::{
        Command, Proposal,
        dns::Published,
        domain::{DomainName, RrSet},
        failover, limits, stored,
        words::{ClientId, Label, Timestamp},
    },
    seal::Keyring,
    tasks::{Outcome, Stop, Tasks},
    tls::public::{doq_config, dot_config},
};

/// The layout of a zone's last-good file.
const LAYOUT: u16 = 1;
/// How often the leader looks whether time alone has made a switch due.
const JUDGE_EVERY: Duration = Duration::from_secs(1);
/// How long one such proposal may take.
const JUDGE_WITHIN: Duration = Duration::from_secs(5);
/// How often all zones are looked at although none changed.
const LOOK_ANEW: Duration = Duration::from_secs(3_600);
/// How often what could not be put together is tried again when nothing changed.
const AGAIN: Duration = Duration::from_secs(5);

/// What a zone answered last, as its file keeps it.
#[derive(Serialize, Deserialize)]
struct LastGood {
    layout: u16,
    zone: DomainName,
    generation: u64,
    serial: u32,
    sets: Vec<RrSet>,
}

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
    folder: PathBuf,
}

/// What is answered now of each zone.
type Serving = BTreeMap<DomainName, Served>;

/// What is answered of a zone: which generation under which serial, and by how many weeks its signatures are stretched.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Served {
    generation: u64,
    serial: u32,
    weeks: u32,
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
            folder: self.place.last_good_zones(),
        };
        // What was answered last is answered before the first question comes.
        let serving = zones.answer_last_good();
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
    /// Answers what was answered last, before the state is there. Blocking.
    fn answer_last_good(&self) -> Serving {
        let mut serving = Serving::new();
        let mut zones = Vec::new();
        let files = match fs::read_dir(&self.folder) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return serving,
            Err(error) => {
                tracing::error!(%error, "what zones answered last cannot be read");
                return serving;
            }
        };
        for path in files.filter_map(|it| Some(it.ok()?.path())) {
            let Some(last) = read_last_good(&path) else {
                tracing::warn!(path = %path.display(), "a zone's last answers cannot be read; they are taken from the state");
                continue;
            };
            match built(&last.zone, last.sets) {
                Ok(zone) => {
                    let served = Served {
                        generation: last.generation,
                        serial: last.serial,
                        weeks: 0,
                    };
                    serving.insert(last.zone, served);
                    zones.push(zone);
                }
                Err(error) => {
                    tracing::warn!(%error, "a zone's last answers cannot be used");
                }
            }
        }
        self.answers.replace(Tables::build(zones.into_iter()));
        serving
    }

    async fn run(self, mut serving: Serving, stop: Stop) -> Outcome {
        let mut changes = self.cluster.changes();
        // Most changes of the state are none of the zones: then their map is the very same one.
        let mut seen: Option<OrdMap<DomainName, model::dns::Zone>> = None;
        let mut looked = clock::monotonic();
        loop {
            changes.borrow_and_update();
            let zones = self.cluster.state().dns.zones.clone();
            // Time alone can make signatures due: see `Signed::stretched`.
            if looked.elapsed() > LOOK_ANEW {
                seen = None;
            }
            if !seen.as_ref().is_some_and(|it| it.ptr_eq(&zones)) {
                looked = clock::monotonic();
                let worker = self.clone();
                let before = std::mem::take(&mut serving);
                let step = move || worker.step(before);
                serving = tokio::task::spawn_blocking(step).await?;
                let all = zones.iter().all(|(name, zone)| {
                    let live = zone.live.as_ref();
                    live.is_none_or(|it| {
                        serving
                            .get(name)
                            .is_some_and(|now| now.generation >= it.generation)
                    })
                });
                // What could not be put together is tried again.
                seen = all.then_some(zones);
            }
            let again = tokio::time::sleep(AGAIN);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = changes.changed() => changed?,
                () = again => {}
            }
        }
    }

    /// Brings what is answered up to the state, and notes it. Blocking.
    fn step(&self, mut serving: Serving) -> Serving {
        let state = self.cluster.state();
        // With a majority the time is agreed on, and a clock of ours that is wrong makes no signatures.
        let now = if self.cluster.health().alone() {
            clock::now()
        } else {
            state.now
        };
        let is_newer = |name: &DomainName, live: &Published| {
            let weeks = signing::weeks(live, now);
            // A state that is read in again is older than what was answered last until it has caught up.
            serving.get(name).is_none_or(|it| {
                live.generation > it.generation
                    || (live.generation == it.generation
                        && (live.serial != it.serial || weeks > it.weeks))
            })
        };
        let due: Vec<Due> = state
            .dns
            .zones
            .iter()
            .filter_map(|(name, zone)| Some((name, zone, zone.live.as_ref()?)))
            .filter(|(name, _, live)| {
                is_newer(name, live) && self.blobs.has(&live.edition.part.blob)
            })
            .map(|(name, zone, live)| Due::of(name, zone, live, now))
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
            if let Err(error) = durable::remove_durably(&self.file(&name)) {
                tracing::warn!(zone = %name, %error, "cannot forget what a removed zone answered");
            }
            tracing::info!(zone = %name, "a zone is answered no more: a person removed it");
        }
        self.answer(due, &mut serving);
        serving
    }

    fn answer(&self, due: Vec<Due>, serving: &mut Serving) {
        let mut shelf = Shelf::new(&self.blobs);
        let many = due.len() > limits::ZONES_SWAPPED_SINGLY;
        let mut built_zones = Vec::new();
        let mut notes = Vec::new();
        for it in due {
            let put_together = self.put_together(&mut shelf, &it);
            let Due {
                name, live, weeks, ..
            } = it;
            match put_together {
                Ok((zone, sets)) => {
                    if !many {
                        self.answers.put(&zone);
                        tracing::info!(zone = %name, serial = live.serial, generation = live.generation, "a zone answers its newest state on this node");
                    }
                    built_zones.push(zone);
                    let served = Served {
                        generation: live.generation,
                        serial: live.serial,
                        weeks,
                    };
                    serving.insert(name.clone(), served);
                    notes.push(LastGood {
                        layout: LAYOUT,
                        zone: name,
                        generation: live.generation,
                        serial: live.serial,
                        sets,
                    });
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
        // Answering comes first; a node that dies in between answers the state before, as if it had died earlier.
        for note in &notes {
            if let Err(error) = self.note(note) {
                tracing::warn!(zone = %note.zone, %error, "cannot note what a zone answers; a restart without a cluster would show the state before");
            }
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
        Ok((built(&due.name, sets.clone())?, sets))
    }

    fn note(&self, last: &LastGood) -> io::Result<()> {
        let body = postcard::to_allocvec(last).map_err(io::Error::other)?;
        let bytes = [&Sha256::digest(&body)[..], &body].concat();
        if !self.folder.exists() {
            fs::create_dir_all(&self.folder)?;
        }
        durable::write_durably(&self.file(&last.zone), &bytes)
    }

    /// Names can be longer than a file's, so a hash stands for them.
    fn file(&self, zone: &DomainName) -> PathBuf {
        let hash = Sha256::digest(zone.as_wire());
        let name: String = hash[..16].iter().map(|it| format!("{it:02x}")).collect();
        self.folder.join(name)
    }
}

fn read_last_good(path: &std::path::Path) -> Option<LastGood> {
    let bytes = durable::read_at_most(path, limits::ZONE_CONTENT_BYTES_MAX + 1_024).ok()?;
    let (hash, body) = bytes.split_at_checked(32)?;
    if Sha256::digest(body)[..] != *hash {
        return None;
    }
    let last: LastGood = stored::read(body).ok()?;
    (last.layout == LAYOUT).then_some(last)
}

fn built(apex: &DomainName, sets: Vec<RrSet>) -> Result<Arc<Zone>, NotAnswered> {
    match Zone::new(apex, sets) {
        Ok((zone, _)) => Ok(Arc::new(zone)),
        Err(findings) => Err(NotAnswered::Zone {
            apex: apex.clone(),
            why: findings
                .first()
                .map_or_else(String::new, ToString::to_string),
        }),
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
