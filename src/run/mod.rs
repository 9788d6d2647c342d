//! The composition root: opens, starts, waits, and stops in reverse. The only place that starts long-lived tasks.
//!
//! Raft, the public, the console and background work each have a runtime of their own, so that none starves
//! another. What can fail without ending the node is logged and shown in its status; only a node whose letterbox or
//! public sockets cannot be opened does not start.

mod alone;
mod apart;
mod backups;
mod campaigns;
mod certificates;
mod descriptors;
mod directory;
mod dns;
mod drills;
mod founding;
mod inward;
mod keepers;
mod last_good;
mod last_resort;
mod listening;
mod mail;
mod names_over_https;
mod operators;
mod part;
mod place;
pub mod preview;
mod proofs;
mod record;
pub mod recovery;
mod relay;
mod report;
pub mod restore;
mod rules;
mod signing;
mod site;
mod supervised;
mod vault;
mod waking;
mod zones;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

use crate::{
    blobs::{BlobError, Blobs, LookHeld},
    clock,
    cluster::{Cluster, MemberChange, health::RaftRole},
    config::Config,
    desk::{self, Desk, DeskParts, LateVisitors, figures},
    directory::Live,
    dns::Answers,
    files::{self, Locker},
    letterbox::{self, Letterbox},
    mail::dkim::Signer,
    model::words::Timestamp,
    probe::Probes,
    proofs::Proofs,
    seal::{KeyError, Keyring},
    tasks::{Outcome, Stop, Tasks},
    telemetry::Metrics,
    tls::public::{CertificateSet, PublicTlsError, Reload, server_config},
    tls::watching,
    web,
};

pub use founding::{FoundError, found, join, rejoin};
pub use part::NoPart;
pub use place::{Place, PlaceError, Resident};

use listening::Wildcard;
use part::Part;

/// How long everything may take to stop; systemd's own limit is longer.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// How long leadership may take to go to another node before a stop.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(4);
/// How often the certificate folder is looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(10);

/// Why a node does not start. Everything else it survives.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data folder.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The service key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The letterbox: without it nothing may be taken.
    #[error("the letterbox cannot be opened")]
    Letterbox(#[from] letterbox::OpenError),
    /// The blobs.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The public's certificates.
    #[error("the public's certificates cannot be set up")]
    Certificates(#[from] PublicTlsError),
    /// The pages.
    #[error("the public's pages cannot be made")]
    Pages(#[from] web::public::LookError),
    /// A socket.
    #[error("cannot listen on {address} ({what})")]
    Listen {
        /// What for.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A runtime.
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
    /// The mail section cannot be used.
    #[error("the way out for mail cannot be set up")]
    Mail(#[from] crate::mail::out::way::WayError),
}

/// How a node was asked to stop.
pub type UntilStopped = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The threads of a node, by what must not starve what.
struct Runtimes {
    raft: Runtime,
    people: Runtime,
    console: Runtime,
    /// The console's listener, so that a flood there does not reach the local socket.
    operators: Runtime,
    background: Runtime,
}

impl Runtimes {
    fn start() -> io::Result<Self> {
        let runtime = |name: &str, threads: usize| {
            Builder::new_multi_thread()
                .worker_threads(threads)
                .thread_name(name)
                .enable_all()
                .build()
        };
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Ok(Self {
            // A second thread on one core only costs the switching.
            raft: runtime("raft", cores.min(2))?,
            people: runtime("people", cores)?,
            console: runtime("console", 1)?,
            operators: runtime("operators", 1)?,
            background: runtime("background", 1)?,
        })
    }
}

/// Runs the node that lives in the configured data folder until `until` is ready or a task that must not end does.
///
/// # Errors
/// Why it did not start; once started, it stops only when asked.
pub fn run(config: &Config, metrics: Metrics, until: UntilStopped) -> Result<(), RunError> {
    let started = clock::now();
    let place = Place::open(&config.node.data_dir)?;
    let resident = place.resident()?;
    let _held = place.hold()?;
    let keyring = Arc::new(Keyring::load(&place.service_key())?);
    let blobs = Blobs::open(&place.blobs())?;
    let runtimes = Runtimes::start().map_err(RunError::Threads)?;
    let mut tasks = Tasks::new();

    // Raft first, so that everything else can propose.
    let listen = config.cluster.listen;
    let mut part = Part::new(
        place.clone(),
        resident,
        listen,
        blobs.clone(),
        keyring.clone(),
    );
    let cluster = part.cluster();
    let begun = runtimes.raft.block_on(part.begin(None));
    tasks.start(runtimes.raft.handle(), "agreement", move |stop| {
        part.run(begun, stop)
    });
    let (letterbox, postman) = Letterbox::open(&place.letterbox(), cluster.clone())?;
    let incarnation = letterbox.health().incarnation;
    tasks.start(runtimes.raft.handle(), "letterbox", postman);
    let counted = files::Counted::new(&metrics);
    let locker = Locker::new(&cluster, &letterbox, &blobs, &keyring, counted);
    let node = Node {
        config,
        place: &place,
        cluster: &cluster,
        letterbox: &letterbox,
        blobs: &blobs,
        keyring: &keyring,
        directory: &Live::default(),
        locker: &locker,
        signer: mail::signer(config, &cluster, &keyring, &metrics),
    };

    node.start_vault(&mut tasks, &runtimes, &metrics);
    let open = runtimes.people.block_on(node.open_to_the_public())?;
    node.start_background(&mut tasks, &runtimes, incarnation, &open)?;
    let names = node.start_names(&mut tasks, &runtimes, &open)?;
    let since = (incarnation, &metrics);
    node.start_watching(&mut tasks, &runtimes, since, names.clone());
    node.start_errands(&mut tasks, &runtimes, &metrics)?;
    node.start_mail_in(&mut tasks, &runtimes, &open, &metrics)?;
    let (counters, front) = (open.counters.clone(), open.front.clone());
    let certificates = open.certificates.clone();
    let proofs = node.start_proofs(&mut tasks, &runtimes, &open, names.clone(), &metrics)?;
    let late: LateVisitors = Arc::new(move || front.passing.late());
    tasks.start(runtimes.people.handle(), "public", move |stop| async move {
        web::serve(open.front, open.sockets, open.tls, open.bounds, stop).await;
        Outcome::Ok(())
    });
    node.start_console(
        &mut tasks,
        &runtimes,
        started,
        (counters, names),
        metrics,
        (late, certificates, proofs),
    );

    node.start_signs_of_life(&mut tasks, &runtimes);
    tracing::info!(node = %cluster.id(), name = %config.node.name, "started");
    runtimes
        .console
        .block_on(until_the_end(until, tasks, &cluster));
    tracing::info!("stopped");
    Ok(())
}

/// Waits until the node is to stop, hands over, and stops everything in reverse.
async fn until_the_end(until: UntilStopped, mut tasks: Tasks, cluster: &Cluster) {
    tokio::select! {
        () = until => tracing::info!("asked to stop"),
        ended = tasks.first_end() => {
            tracing::error!(task = ended.name, how = %ended.how, "a task that must not end did; stopping");
        }
    }
    supervised::stopping();
    // Leadership goes to another node while everything still works, so that nobody has to wait for an election.
    if cluster.health().role == RaftRole::Leader {
        let heir = MemberChange::TransferLeadership(None);
        let handed = cluster.change_members(heir, false, HAND_OVER_WITHIN).await;
        if let Err(error) = handed {
            tracing::info!(%error, "leadership was not handed over; the others will elect");
        }
    }
    tasks.stop(STOP_WITHIN).await;
}

/// An error with everything that caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What the steps of a start share.
struct Node<'a> {
    config: &'a Config,
    place: &'a Place,
    cluster: &'a Cluster,
    letterbox: &'a Letterbox,
    blobs: &'a Blobs,
    keyring: &'a Arc<Keyring>,
    directory: &'a Live,
    /// Files of messages.
    locker: &'a Locker,
    /// Signs our mail; nothing on a node that sends none.
    signer: Option<Arc<Signer>>,
}

/// The public's door, ready to be served.
struct Open {
    front: Arc<web::Front>,
    sockets: web::Sockets,
    tls: watch::Receiver<Arc<rustls::ServerConfig>>,
    bounds: web::Bounds,
    counters: Arc<web::counters::Counters>,
    certificates: Arc<CertificateSet>,
    site: Arc<ArcSwapOption<web::Site>>,
}

impl Node<'_> {
    async fn open_to_the_public(&self) -> Result<Open, RunError> {
        let web = &self.config.web;
        let (certificates, problems) = CertificateSet::open(
            &web.certificates,
            &self.place.own_certificate(),
            &web.names,
            clock::now(),
        )?;
        for problem in problems {
            tracing::warn!(problem = %chain(&problem), "a certificate file cannot be used");
        }
        let certificates = Arc::new(certificates);
        if certificates.is_self_signed() {
            tracing::warn!(folder = %web.certificates.display(), "no certificate that anyone vouches for; browsers will warn");
        }
        let ticket_secret = self.keyring.mac("tls session tickets", b"").0;
        let (_, tls) = watch::channel(server_config(
            certificates.clone(),
            &ticket_secret,
            clock::now,
        )?);
        let site = Arc::new(ArcSwapOption::empty());
        let counters = Arc::new(web::counters::Counters::default());
        let connections = descriptors::for_the_public(web.connections, descriptors::raise());
        let public = web::public::routes(web::public::PublicParts {
            cluster: self.cluster.clone(),
            letterbox: self.letterbox.clone(),
            keyring: self.keyring.clone(),
            company: Arc::new(self.config.company.clone()),
            node: self.config.node.region.to_string(),
            directory: self.directory.clone(),
            locker: self.locker.clone(),
            connections,
            counters: counters.clone(),
        })?;
        let front = Arc::new(web::Front {
            names: web::host::Names::new(
                web.names.iter().map(String::as_str),
                web.borrowed_names.iter().map(String::as_str),
            ),
            site: site.clone(),
            public,
            is_ours: web::public::is_ours,
            checks: figures::checks(self.cluster.clone(), self.letterbox.clone()),
            passing: self.passing(),
            challenge: self.challenge(),
            name_queries: OnceLock::new(),
            https_port: web.https_port,
            body_bytes: crate::model::limits::REQUEST_BODY_BYTES,
            patience: web::Patience::default(),
            counters: counters.clone(),
        });
        let sockets = web::Sockets {
            https: listening::all(&web.https_listen, Wildcard::Both, "HTTPS")?,
            http: listening::all(&web.http_listen, Wildcard::Both, "HTTP")?,
        };
        let bounds = web::Bounds::new(connections, web.connections_per_address);
        Ok(Open {
            front,
            sockets,
            tls,
            bounds,
            counters,
            certificates,
            site,
        })
    }

    /// Who comes late after a switch back is passed on to where the agreed state says that the primary is.
    fn passing(&self) -> web::Passing {
        let tls = match watching::passing(self.config.probe.tls_ca_file.as_deref()) {
            Ok(tls) => tls,
            Err(error) => {
                tracing::error!(reason = %chain(&error), "late visitors are passed on to primaries that the public authorities vouch for, and to no others");
                watching::passing_to_public()
            }
        };
        let cluster = self.cluster.clone();
        let window_ms = self.config.web.pass_on_hours * 3_600_000;
        let home =
            move |name: &str| web::home::addresses(&cluster.state(), name, clock::now(), window_ms);
        web::Passing::new(Arc::new(home), tls)
    }

    /// Starts the API and the figures. Neither keeps a node from serving the public.
    fn start_console(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        started: Timestamp,
        (counters, names): (Arc<web::counters::Counters>, Option<Arc<Answers>>),
        metrics: Metrics,
        (late, certificates, proofs): (LateVisitors, Arc<CertificateSet>, Proofs),
    ) {
        let desk = DeskParts {
            cluster: self.cluster.clone(),
            letterbox: self.letterbox.clone(),
            blobs: self.blobs.clone(),
            keyring: self.keyring.clone(),
            node: self.config.node.clone(),
            started,
            version: env!("CARGO_PKG_VERSION"),
            names: names.clone(),
            directory: self.directory.clone(),
            locker: self.locker.clone(),
            late,
            relay: self.relay_way(),
            mailing: self.mailing(),
            proofs: proofs.clone(),
            console: desk::ConsoleParts {
                company: Arc::new(self.config.company.clone()),
                phone_tree: self.config.console.phone_tree.clone(),
                alone_file: self.place.alone_sign_ins(),
            },
        };
        let desk = Desk::new(desk);
        self.start_operators(tasks, runtimes, desk.clone(), certificates);
        let (console, socket) = (runtimes.console.handle(), self.config.node.socket.clone());
        tasks.start(console, "console", move |stop| async move {
            desk::serve(desk, &socket, stop).await
        });
        let seen = figures::Seen {
            cluster: self.cluster.clone(),
            letterbox: self.letterbox.clone(),
            counters,
            names,
            proofs: Some(proofs),
            metrics,
        };
        let address = self.config.telemetry.metrics_listen;
        tasks.keep(console, "metrics", move |stop| {
            let seen = seen.clone();
            async move { figures::serve(listening::one(address, "metrics")?, seen, stop).await }
        });
    }

    /// Tells systemd how this node is.
    fn start_signs_of_life(&self, tasks: &mut Tasks, runtimes: &Runtimes) {
        let (console, people) = (runtimes.console.handle(), runtimes.people.handle());
        let serving = (
            vec![people.clone(), console.clone()],
            self.config.node.socket.clone(),
        );
        let cluster = self.cluster.clone();
        tasks.keep(console, "signs of life", move |stop| {
            supervised::signs_of_life(cluster.clone(), serving.clone(), stop)
        });
    }

    fn start_background(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        incarnation: u64,
        open: &Open,
    ) -> Result<(), RunError> {
        let background = runtimes.background.handle();
        let bells = self.letterbox.clone();
        tasks.keep(runtimes.people.handle(), "bells", move |stop| {
            bells.clone().ring_bells(stop)
        });
        self.start_drills(tasks, runtimes);
        self.start_rules(tasks, runtimes);
        let (blobs, cluster) = (self.blobs.clone(), self.cluster.clone());
        let letterbox = self.letterbox.clone();
        let held: LookHeld = Arc::new(move || files::held_blobs(&letterbox));
        tasks.keep(background, "blobs", move |stop| {
            blobs
                .clone()
                .keep_in_step(cluster.clone(), incarnation, held.clone(), stop)
        });
        let (blobs, cluster) = (self.blobs.clone(), self.cluster.clone());
        tasks.keep(background, "record", move |stop| {
            record::archive(cluster.clone(), blobs.clone(), stop)
        });
        let live = site::LiveSite {
            cluster: self.cluster.clone(),
            blobs: self.blobs.clone(),
            served: open.site.clone(),
            note: self.place.last_good_site(),
        };
        let serving = live.serve_last_good();
        tasks.start(background, "site", move |stop| live.run(serving, stop));
        let certificates = open.certificates.clone();
        tasks.keep(background, "certificates", move |stop| {
            watch_certificates(certificates.clone(), stop)
        });
        self.start_presenting(tasks, background, &open.certificates);
        let report = report::Report::new(
            self.config,
            self.cluster.clone(),
            incarnation,
            &self.place.identity(),
        );
        tasks.keep(background, "report", move |stop| report.clone().run(stop));
        self.start_mail(tasks, runtimes)
    }

    /// Watches the targets of the services that the cluster has agreed on, and votes. A node that cannot tell a good
    /// certificate from a bad one says nothing rather than that a target is down.
    fn start_watching(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        (incarnation, metrics): (u64, &Metrics),
        names: Option<Arc<Answers>>,
    ) {
        let config = &self.config.probe;
        let background = runtimes.background.handle();
        match Probes::new(self.cluster.clone(), config, incarnation, metrics) {
            Ok(probes) => {
                last_resort::start(tasks, background, self.cluster, probes.sights(), names);
                tasks.keep(background, "probes", move |stop| probes.clone().run(stop));
            }
            Err(error) => {
                tracing::error!(reason = %chain(&error), "nothing is watched from this node");
            }
        }
    }
}

async fn watch_certificates(certificates: Arc<CertificateSet>, stop: Stop) -> Outcome {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(CERTIFICATES_EVERY) => {}
        }
        let set = certificates.clone();
        match tokio::task::spawn_blocking(move || set.reload_if_changed()).await? {
            Reload::Unchanged => {}
            Reload::Loaded { pairs } => tracing::info!(pairs, "new certificates are presented"),
            Reload::KeptOld { problems } => {
                for problem in problems {
                    tracing::warn!(problem = %chain(&problem), "a certificate file cannot be used; the old one stays");
                }
            }
        }
    }
}
