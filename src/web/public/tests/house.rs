//! A node for the tests of the pages: the real letterbox and the real model. In Raft's place stands a majority
//! that can be lost.

use std::path::PathBuf;

use axum::http::request::Builder;
use tokio::sync::watch;
use tower::ServiceExt;

use super::super::*;
use crate::blobs::Blobs;
use crate::cluster::health::Health;
use crate::cluster::tests::stand_in::{Majority, Weather, reaches, reaches_majority};
use crate::config::Problems;
use crate::files::{self, Locker};
use crate::model::words::ClientId;
use crate::tasks::Stop;

/// A node with its pages, and a hand on whether it can reach the others.
pub(super) struct House {
    routes: Router,
    pub(super) keyring: Arc<Keyring>,
    pub(super) majority: Arc<Majority>,
    health: watch::Sender<Arc<Health>>,
    pub(super) folder: PathBuf,
    /// The open directory, of which there is none at first.
    pub(super) directory: Live,
    pub(super) counters: Arc<Counters>,
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

pub(super) async fn house() -> House {
    let keyring = Arc::new(Keyring::generate());
    house_with(keyring, Majority::founded(3), 1).await
}

/// The house of the node `id`.
pub(super) async fn house_with(keyring: Arc<Keyring>, majority: Arc<Majority>, id: u64) -> House {
    let (cluster, health) = majority.node(id);
    let folder = std::env::temp_dir().join(format!(
        "lifeboat-pages-{}",
        ClientId(clock::random_bytes())
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("letterbox");
    let (letterbox, work) = Letterbox::open(&path, cluster.clone()).unwrap();
    let stop = Stop::new();
    let blobs = Blobs::open(&folder.join("blobs")).unwrap();
    let held = letterbox.clone();
    let held = Arc::new(move || files::held_blobs(&held));
    let keeping = blobs.clone();
    tokio::spawn(keeping.keep_in_step(cluster.clone(), 1, held, stop.clone()));
    let locker = Locker::new(
        &cluster,
        &letterbox,
        &blobs,
        &keyring,
        files::Counted::default(),
    );
    tokio::spawn(work(stop.clone()));
    let directory = Live::default();
    tokio::spawn(letterbox.clone().ring_bells(stop.clone()));
    let counters = Arc::new(Counters::default());
    let parts = PublicParts {
        cluster: cluster.clone(),
        letterbox,
        keyring: keyring.clone(),
        company: Arc::new(company()),
        node: "Frankfurt".to_owned(),
        directory: directory.clone(),
        locker,
        connections: 100,
        counters: counters.clone(),
    };
    House {
        routes: routes(parts).unwrap(),
        keyring,
        majority,
        health,
        counters,
        folder,
        directory,
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
        self.majority.weather(match alone {
            true => Weather::Alone,
            false => Weather::Fair,
        });
        reaches_majority(&self.health, !alone);
    }

    pub(super) async fn ask(&self, request: Builder, body: String) -> Page {
        self.ask_with(request, body).await
    }

    /// What lies under a path, as it is.
    pub(super) async fn bytes(&self, path: &str) -> (Response<()>, Vec<u8>) {
        let request = axum::http::Request::get(path).body(Body::empty()).unwrap();
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, 8 << 20).await.unwrap();
        (Response::from_parts(parts, ()), bytes.to_vec())
    }

    pub(super) async fn ask_with(&self, request: Builder, body: impl Into<Body>) -> Page {
        let request = request
            .header(header::HOST, "help1.example.net")
            .body(body.into())
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

    /// A conversation's events.
    pub(super) async fn listen(&self, path: &str) -> Body {
        let request = axum::http::Request::get(path).header(header::ACCEPT, "text/event-stream");
        let request = request.body(Body::empty()).unwrap();
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body()
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
        self.majority.state().conversations.len()
    }

    /// Lets it know which of the others it can reach.
    pub(super) fn reaches(&self, which: &[u64]) {
        reaches(&self.health, which);
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
