//! A node for tests: a real state, letterbox, blobs, key and socket. Only agreeing is short.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request as HttpRequest, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use imbl::OrdSet;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::UnixStream, sync::watch};

pub(crate) use crate::cluster::tests::stand_in::Weather;
use crate::{
    blobs::Blobs,
    clock,
    cluster::{
        Cluster, Committed,
        health::{Health, PeerHealth, Quorum, RaftRole},
        tests::stand_in::Majority,
    },
    config,
    desk::{self, DeskParts},
    directory::{self, Live},
    files::{self, Locker},
    letterbox::Letterbox,
    model::{
        Actor, Command, Proposal, Source, State,
        command::FORMAT,
        conversation::Door,
        nodes::{CaRecord, NodeFacts, Profile, Role},
        words::{
            ClientId, ClusterId, ConversationId, KeyedHash, Label, Lang, NodeId, Note, Timestamp,
            TokenId,
        },
    },
    proofs::{self, Proofs},
    seal::{Keyring, conversation_context},
    tasks::Stop,
    tls::pki::Authority,
};

pub(crate) struct Boat {
    pub(crate) socket: PathBuf,
    pub(crate) cluster: Cluster,
    pub(crate) letterbox: Letterbox,
    pub(crate) keyring: Arc<Keyring>,
    pub(in crate::desk) desk: desk::Desk,
    majority: Arc<Majority>,
    health: watch::Sender<Arc<Health>>,
    stop: Stop,
    pub(crate) folder: TempDir,
}

impl Drop for Boat {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a request to the API brought.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) media: String,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {:?}", String::from_utf8_lossy(&self.body)))
    }
}

fn machine(folder: &std::path::Path, socket: &std::path::Path) -> config::Node {
    config::Node {
        name: name("prague-1"),
        provider: name("alpha"),
        region: name("prg"),
        data_dir: folder.to_owned(),
        socket: socket.to_owned(),
    }
}

impl Boat {
    /// A node of a founded cluster of three: itself and two admitted others; it alone votes at first.
    pub(crate) async fn afloat() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Arc::new(Keyring::generate());
        let majority = Majority::of(State::default());
        let (cluster, health) = majority.node(1);
        health.send_replace(Arc::new(well()));
        let stop = Stop::new();
        let box_file = folder.path().join("letterbox.db");
        let (letterbox, work) = Letterbox::open(&box_file, cluster.clone()).unwrap();
        tokio::spawn(work(stop.clone()));
        let blobs = Blobs::open(&folder.path().join("blobs")).unwrap();
        tokio::spawn(in_step(&blobs, &cluster, &letterbox, &stop));
        let locker = locker(&cluster, &letterbox, &blobs, &keyring);
        let directory = Live::default();
        let keeper = directory::Keeper {
            cluster: cluster.clone(),
            blobs: blobs.clone(),
            keyring: keyring.clone(),
            live: directory.clone(),
        };
        tokio::spawn(keeper.run(stop.clone()));
        let socket = folder.path().join("api.sock");
        let machine = machine(folder.path(), &socket);
        let parts = DeskParts {
            proofs: unlooked(&cluster, &keyring, machine.clone()),
            cluster: cluster.clone(),
            letterbox: letterbox.clone(),
            blobs,
            keyring: keyring.clone(),
            node: machine,
            started: clock::now(),
            version: "0.1.0",
            names: None,
            directory: directory.clone(),
            locker,
            late: Arc::new(Vec::new),
            relay: None,
            mailing: Some(mailing()),
            console: desk::ConsoleParts {
                company: Arc::new(config::Company::check(
                    Default::default(),
                    &mut config::Problems::new(),
                )),
                phone_tree: Vec::new(),
                alone_file: folder.path().join("alone-sign-ins"),
            },
        };
        let desk = desk::Desk::new(parts);
        let served = desk.clone();
        let (path, end) = (socket.clone(), stop.clone());
        tokio::spawn(async move { desk::serve(served, &path, end).await.unwrap() });
        let boat = Self {
            socket,
            cluster,
            letterbox,
            keyring,
            desk,
            majority,
            health,
            stop,
            folder,
        };
        boat.found().await;
        until("the socket answers", || boat.socket.exists()).await;
        boat
    }

    async fn found(&self) {
        let cluster = ClusterId([7; 16]);
        let authority = Authority::found(cluster, clock::now()).unwrap();
        self.agree(Command::Found {
            cluster,
            name: name("example"),
            profile: Profile::Near,
            authority: CaRecord {
                certificate: authority.certificate_pem().to_owned(),
                key: self.keyring.seal("authority", authority.key_der()),
            },
            node: facts("prague-1", "alpha", 1),
        })
        .await;
        self.majority.has_voters(OrdSet::unit(NodeId(1)));
        let secret_hash = KeyedHash([9; 32]);
        self.agree(Command::CreateToken {
            token: TokenId([1; 8]),
            secret_hash,
            role: Role::Voter,
            uses: 2,
            ttl_ms: 60_000,
        })
        .await;
        for (place, (node, provider)) in [("frankfurt-1", "beta"), ("helsinki-1", "gamma")]
            .into_iter()
            .enumerate()
        {
            self.agree(Command::AdmitNode {
                token: TokenId([1; 8]),
                secret_hash,
                node: facts(node, provider, place + 2),
            })
            .await;
        }
        let reached = |id: u64, round_trip_us: u64, ahead: i64| PeerHealth {
            id: NodeId(id),
            reachable: true,
            round_trip_us: Some(round_trip_us),
            clock_ahead_ms: Some(ahead),
            applied: Some(5),
            ..PeerHealth::default()
        };
        self.health.send_replace(Arc::new(Health {
            peers: vec![reached(3, 6_400, 2), reached(4, 21_900, -11)],
            ..well()
        }));
    }

    /// The same node's API after its process began anew.
    pub(in crate::desk) fn restarted(&self) -> desk::Desk {
        let parts: &DeskParts = &self.desk;
        desk::Desk::new(parts.clone())
    }

    /// Has something agreed on, as the system.
    pub(crate) async fn agree(&self, command: Command) -> Committed {
        let proposal = self.proposal(ClientId(clock::random_bytes()), Actor::System, command);
        let deadline = Duration::from_secs(5);
        self.cluster.propose(proposal, deadline).await.unwrap()
    }

    fn proposal(&self, id: ClientId, actor: Actor, command: Command) -> Proposal {
        Proposal {
            format: FORMAT,
            id,
            actor,
            source: Source {
                door: Door::Form,
                address: None,
            },
            origin: NodeId(1),
            stamp: None,
            command,
        }
    }

    /// A customer writes for the first time, by the form.
    pub(crate) async fn customer_writes(
        &self,
        number: u8,
        text: &str,
        quarantined: bool,
    ) -> ConversationId {
        let conversation = ConversationId([number; 16]);
        let context = conversation_context(&conversation);
        let seal = |text: &str| self.keyring.seal(&context, text.as_bytes());
        let command = Command::OpenConversation {
            conversation,
            ticket: self.keyring.ticket(&conversation),
            contact_hash: self.keyring.mac("contact", b"jana@example.com"),
            contact: seal("jana@example.com"),
            by_mail: true,
            reference: Some(seal("example.com")),
            lang: Lang::Cs,
            body: seal(text),
            taken: clock::now(),
            quarantined,
        };
        let proposal = self.proposal(ClientId([number; 16]), Actor::Customer, command);
        let posted = self.letterbox.post(proposal).await;
        assert!(
            !matches!(posted, crate::letterbox::Posted::Refused(_)),
            "{posted:?}"
        );
        conversation
    }

    pub(crate) fn ticket(&self, conversation: &ConversationId) -> String {
        self.keyring.ticket(conversation).to_string()
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn data_dir(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn weather(&self, weather: Weather) {
        self.majority.weather(weather);
        let mut health = Health::clone(&self.health.borrow());
        match weather {
            Weather::Alone => {
                // For longer than an election takes.
                health.quorum = Quorum::LostSince(Timestamp(clock::now().0 - 60_000));
                health.role = RaftRole::Candidate;
                health.leader = None;
                health.peers.iter_mut().for_each(|it| it.reachable = false);
            }
            Weather::Fair | Weather::Deaf => {
                health.quorum = Quorum::Held;
                health.role = RaftRole::Leader;
                health.leader = Some(NodeId(1));
                health.peers.iter_mut().for_each(|it| it.reachable = true);
            }
        }
        self.health.send_replace(Arc::new(health));
    }

    /// How many wait for what the health says next, or look at it from time to time.
    pub(crate) fn watchers(&self) -> usize {
        self.health.receiver_count()
    }

    /// Makes the health say something else.
    pub(crate) fn health(&self, change: impl FnOnce(&mut Health)) {
        let mut health = Health::clone(&self.health.borrow());
        change(&mut health);
        self.health.send_replace(Arc::new(health));
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.ask("GET", path, &[], Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Got {
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        self.ask("POST", path, &headers, body.to_string().into())
            .await
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Got {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = HttpRequest::builder()
            .method(method)
            .uri(format!("/api/v1{path}"));
        for (name, value) in headers.iter().chain(&[("host", "lifeboat")]) {
            request = request.header(*name, *value);
        }
        let answer = sender
            .send_request(request.body(Full::new(body)).unwrap())
            .await
            .unwrap();
        let media = answer
            .headers()
            .get("content-type")
            .map(|it| it.to_str().unwrap().to_owned());
        Got {
            status: answer.status(),
            media: media.unwrap_or_default(),
            body: answer.into_body().collect().await.unwrap().to_bytes(),
        }
    }
}

/// What mass mail is written with; no relay answers.
fn mailing() -> Arc<desk::Mailing> {
    let address = |text| crate::model::words::EmailAddress::new(text).unwrap();
    let spec: config::MailSpec = toml::from_str(
        "from = \"notice@help.example.net\"\nsupport = \"support@example.com\"\n\
         [[relays]]\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\n",
    )
    .unwrap();
    let out = config::Mail::check(spec, &mut config::Problems::new())
        .out
        .unwrap();
    Arc::new(desk::Mailing {
        from: crate::mail::campaign::letter::Sender {
            company: "Example".to_owned(),
            from: address("notice@help.example.net"),
            reply_to: address("support@example.com"),
            return_domain: None,
            unsubscribe: Arc::new(|_| Vec::new()),
        },
        routes: crate::mail::campaign::routes(&out),
        way: crate::mail::out::way::Way::new(&out).unwrap(),
        receiver: None,
    })
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            // waits because what is waited for has no notification; the deadline is below
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(in_time.is_ok(), "waited in vain until {what}");
}

pub(crate) fn name(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn facts(node: &str, provider: &str, place: usize) -> NodeFacts {
    NodeFacts {
        name: name(node),
        provider: name(provider),
        region: name("eu"),
        advertise: Note::new(&format!("192.0.2.{place}:7400")).unwrap(),
        sites: Vec::new(),
        fingerprint: KeyedHash([u8::try_from(place).unwrap(); 32]),
        format: FORMAT,
        version: Note::new("0.1.0").unwrap(),
    }
}

fn well() -> Health {
    Health {
        id: NodeId(1),
        role: RaftRole::Leader,
        term: 4,
        leader: Some(NodeId(1)),
        quorum: Quorum::Held,
        last_log: 5,
        applied: 5,
        ..Health::default()
    }
}

/// Proofs of a node that looks at nothing but itself.
fn unlooked(cluster: &Cluster, keyring: &Arc<Keyring>, node: config::Node) -> Proofs {
    Proofs::new(proofs::Parts {
        cluster: cluster.clone(),
        keyring: keyring.clone(),
        node,
        doors: proofs::Doors::default(),
        periods: config::Proofs::check(Default::default(), &mut config::Problems::new()),
        backups: None,
        tls: None,
        names: None,
        transfers: None,
        mail: None,
        receiver: None,
        channels: None,
        agents: proofs::no_stream(),
        front_tag: Arc::new(|| None),
    })
}

/// What keeps the blobs and the state in agreement.
fn in_step(
    blobs: &Blobs,
    cluster: &Cluster,
    letterbox: &Letterbox,
    stop: &Stop,
) -> impl Future<Output = crate::tasks::Outcome> + use<> {
    let letterbox = letterbox.clone();
    let held = Arc::new(move || files::held_blobs(&letterbox));
    blobs
        .clone()
        .keep_in_step(cluster.clone(), 1, held, stop.clone())
}

fn locker(
    cluster: &Cluster,
    letterbox: &Letterbox,
    blobs: &Blobs,
    keyring: &Arc<Keyring>,
) -> Locker {
    let counted = files::Counted::default();
    Locker::new(cluster, letterbox, blobs, keyring, counted)
}
