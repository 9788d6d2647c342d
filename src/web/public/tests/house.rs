//! A node for the tests of the pages: the real letterbox and the real model. In Raft's place stands a task that applies
//! what it is asked to, or, when alone, answers that no leader can be reached.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::request::Builder;
use imbl::OrdSet;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use super::super::*;
use crate::cluster::health::Health;
use crate::cluster::{Committed, FetchBlob, ProposeError, Request as ClusterRequest};
use crate::config::Problems;
use crate::model::conversation::Door;
use crate::model::nodes::{CaRecord, NodeFacts, Profile};
use crate::model::words::{ClientId, ClusterId, KeyedHash, Label, NodeId, Note, Sealed};
use crate::model::{Actor, Command, Entry, Proposal, Reply, Source, Stamped, State as Agreed};
use crate::tasks::Stop;

/// A node with its pages, and a hand on whether it can reach the others.
pub(super) struct House {
    routes: Router,
    pub(super) keyring: Arc<Keyring>,
    pub(super) state: Arc<ArcSwap<Agreed>>,
    alone: Arc<AtomicBool>,
    health: watch::Sender<Arc<Health>>,
    cluster: Cluster,
    folder: PathBuf,
    stop: Stop,
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(super) const COMPANY: &str = r##"
    name = "Příklad & Hosting"
    languages = ["cs", "en"]
    time-zone = "Europe/Prague"
    accent = "#0b57a4"
    hours = { cs = "Odpovídáme ve dne v noci.", en = "We answer day and night." }
    alternates = ["help1.example.net", "help2.example.org"]
    [[phones]]
    number = "+420 234 567 890"
    label = { cs = "Technická podpora", en = "Technical support" }
    hours = { cs = "nonstop", en = "24 hours a day" }
    [[phones]]
    number = "+420 234 567 891"
    label = { cs = "Fakturace", en = "Billing" }
    hours = { cs = "po–pá 8–17", en = "Mon–Fri 8–17" }
"##;

pub(super) fn company() -> Company {
    let mut problems = Problems::new();
    let company = Company::check(toml::from_str(COMPANY).unwrap(), &mut problems);
    assert!(problems.is_empty(), "{problems}");
    company
}

/// A founded cluster of `voters` nodes, as far as the model knows.
pub(super) fn founded(voters: u64) -> Agreed {
    let mut state = Agreed::default();
    let text = |text: &str| Note::new(text).unwrap();
    let command = Command::Found {
        cluster: ClusterId([1; 16]),
        name: Label::new("test").unwrap(),
        profile: Profile::Near,
        authority: CaRecord {
            certificate: String::new(),
            key: Sealed {
                key: 1,
                bytes: vec![0; 40],
            },
        },
        node: NodeFacts {
            name: Label::new("a").unwrap(),
            provider: Label::new("p").unwrap(),
            region: Label::new("eu").unwrap(),
            advertise: text("a:1"),
            sites: Vec::new(),
            fingerprint: KeyedHash([0; 32]),
            format: 1,
            version: text("1"),
        },
    };
    let reply = apply(
        &mut state,
        proposal(Actor::System, ClientId([9; 16]), command),
    );
    assert_eq!(reply, Reply::Admitted(NodeId(1)));
    state.set_members(
        2,
        (1..=voters).map(NodeId).collect::<OrdSet<_>>(),
        OrdSet::new(),
    );
    state
}

pub(super) fn proposal(actor: Actor, id: ClientId, command: Command) -> Proposal {
    let source = Source {
        door: Door::Api,
        address: None,
    };
    Proposal {
        format: 1,
        id,
        actor,
        source,
        origin: NodeId(1),
        stamp: None,
        command,
    }
}

pub(super) fn apply(state: &mut Agreed, proposal: Proposal) -> Reply {
    let stamped = Stamped {
        at: clock::now(),
        proposal,
    };
    state.apply(&Entry {
        index: state.index + 1,
        stamped: &stamped,
    })
}

/// The pages ask for no blob.
pub(super) fn no_blobs() -> Arc<FetchBlob> {
    Arc::new(|_, _, _, _| Box::pin(std::future::pending()))
}

pub(super) async fn house() -> House {
    let keyring = Arc::new(Keyring::generate());
    house_with(keyring, founded(3)).await
}

pub(super) async fn house_with(keyring: Arc<Keyring>, state: Agreed) -> House {
    let state = Arc::new(ArcSwap::from_pointee(state));
    let alone = Arc::new(AtomicBool::new(false));
    let (applied_to, applied) = watch::channel(state.load().index);
    let well = Health {
        quorum: Quorum::Held,
        ..Health::default()
    };
    let (health, health_seen) = watch::channel(Arc::new(well));
    let (requests, mut asked) = mpsc::channel(64);
    let cluster = Cluster::new(
        NodeId(1),
        state.clone(),
        applied,
        health_seen,
        requests,
        no_blobs(),
    );
    let (agreed, is_alone) = (state.clone(), alone.clone());
    tokio::spawn(async move {
        while let Some(request) = asked.recv().await {
            let ClusterRequest::Propose {
                proposal, answer, ..
            } = request
            else {
                continue;
            };
            if is_alone.load(Ordering::SeqCst) {
                let _ = answer.send(Err(ProposeError::NoLeader));
                continue;
            }
            let mut next = (*agreed.load_full()).clone();
            let reply = apply(&mut next, *proposal);
            let index = next.index;
            agreed.store(Arc::new(next));
            applied_to.send_replace(index);
            let _ = answer.send(Ok(Committed { index, reply }));
        }
    });
    let folder = std::env::temp_dir().join(format!(
        "lifeboat-pages-{}",
        ClientId(clock::random_bytes())
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("letterbox");
    let (letterbox, work) = Letterbox::open(&path, cluster.clone()).unwrap();
    let stop = Stop::new();
    tokio::spawn(work(stop.clone()));
    let parts = PublicParts {
        cluster: cluster.clone(),
        letterbox,
        keyring: keyring.clone(),
        company: Arc::new(company()),
        node: "Frankfurt".to_owned(),
    };
    House {
        routes: routes(parts).unwrap(),
        keyring,
        state,
        alone,
        health,
        cluster,
        folder,
        stop,
    }
}

pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) headers: axum::http::HeaderMap,
    pub(super) text: String,
}

impl Page {
    pub(super) fn goes_to(&self) -> String {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        self.headers[header::LOCATION].to_str().unwrap().to_owned()
    }

    /// The value of the form's token.
    pub(super) fn token(&self) -> String {
        self.text
            .split("name=\"token\" value=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    }

    pub(super) fn code(&self) -> String {
        let after = self
            .text
            .split("class=\"code\"")
            .nth(1)
            .expect("a ticket code");
        after.split(['>', '<']).nth(1).unwrap().to_owned()
    }
}

impl House {
    pub(super) fn set_alone(&self, alone: bool) {
        self.alone.store(alone, Ordering::SeqCst);
        let quorum = if alone {
            Quorum::LostSince(clock::now())
        } else {
            Quorum::Held
        };
        self.health.send_replace(Arc::new(Health {
            quorum,
            ..Health::default()
        }));
    }

    pub(super) async fn ask(&self, request: Builder, body: String) -> Page {
        let request = request
            .header(header::HOST, "help1.example.net")
            .body(Body::from(body))
            .unwrap();
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Page {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Page {
        self.ask(axum::http::Request::get(path), String::new())
            .await
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.ask(axum::http::Request::post(path), body).await
    }

    /// A form's token as if the page had been opened `ms` ago.
    pub(super) fn token_opened(&self, purpose: Purpose<'_>, ms: u64) -> String {
        let opened = Timestamp(clock::now().0 - ms);
        token::make(
            |said| self.keyring.mac("form token", said).0,
            purpose,
            opened,
        )
    }

    pub(super) fn conversations(&self) -> usize {
        self.state.load().conversations.len()
    }

    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Agreed) -> bool) {
        let mut changes = self.cluster.changes();
        let wait = async {
            while !is_so(&self.state.load()) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .expect(what);
    }

    pub(super) async fn write(&self, text: &str) -> Page {
        let token = self.token_opened(Purpose::Open, 10_000);
        self.post(
            "/write",
            &[
                ("text", text),
                ("contact", "jana@example.com"),
                ("token", &token),
                ("lang", "en"),
            ],
        )
        .await
    }
}
