//! The customer's way through the pages, against the real letterbox and the real model. In Raft's place stands a task
//! that applies what it is asked to, or, when alone, answers that no leader can be reached.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::request::Builder;
use imbl::OrdSet;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use super::*;
use crate::cluster::health::Health;
use crate::cluster::{Committed, ProposeError, Request as ClusterRequest};
use crate::config::Problems;
use crate::model::conversation::Door;
use crate::model::nodes::{CaRecord, NodeFacts, Profile};
use crate::model::words::{
    ClientId, ClusterId, ConversationId, KeyedHash, Label, NodeId, Note, Sealed,
};
use crate::model::{Actor, Command, Entry, Proposal, Reply, Source, Stamped, State as Agreed};
use crate::seal::conversation_context;
use crate::tasks::Stop;

/// A node with its pages, and a hand on whether it can reach the others.
struct House {
    routes: Router,
    keyring: Arc<Keyring>,
    state: Arc<ArcSwap<Agreed>>,
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

const COMPANY: &str = r##"
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

fn company() -> Company {
    let mut problems = Problems::new();
    let company = Company::check(toml::from_str(COMPANY).unwrap(), &mut problems);
    assert!(problems.is_empty(), "{problems}");
    company
}

/// A founded cluster of `voters` nodes, as far as the model knows.
fn founded(voters: u64) -> Agreed {
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

fn proposal(actor: Actor, id: ClientId, command: Command) -> Proposal {
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

fn apply(state: &mut Agreed, proposal: Proposal) -> Reply {
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
fn no_blobs() -> Arc<crate::cluster::FetchBlob> {
    Arc::new(|_, _, _, _| Box::pin(std::future::pending()))
}

async fn house() -> House {
    let keyring = Arc::new(Keyring::generate());
    house_with(keyring, founded(3)).await
}

async fn house_with(keyring: Arc<Keyring>, state: Agreed) -> House {
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

struct Page {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Page {
    fn goes_to(&self) -> String {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        self.headers[header::LOCATION].to_str().unwrap().to_owned()
    }

    /// The value of the form's token.
    fn token(&self) -> String {
        self.text
            .split("name=\"token\" value=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    }

    fn code(&self) -> String {
        let after = self
            .text
            .split("class=\"code\"")
            .nth(1)
            .expect("a ticket code");
        after.split(['>', '<']).nth(1).unwrap().to_owned()
    }
}

impl House {
    fn set_alone(&self, alone: bool) {
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

    async fn ask(&self, request: Builder, body: String) -> Page {
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

    async fn get(&self, path: &str) -> Page {
        self.ask(axum::http::Request::get(path), String::new())
            .await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.ask(axum::http::Request::post(path), body).await
    }

    /// A form's token as if the page had been opened `ms` ago.
    fn token_opened(&self, purpose: Purpose<'_>, ms: u64) -> String {
        let opened = Timestamp(clock::now().0 - ms);
        token::make(
            |said| self.keyring.mac("form token", said).0,
            purpose,
            opened,
        )
    }

    fn conversations(&self) -> usize {
        self.state.load().conversations.len()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Agreed) -> bool) {
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

    async fn write(&self, text: &str) -> Page {
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

#[tokio::test]
async fn the_first_page_speaks_the_visitor_s_language() {
    let house = house().await;
    let page = house.get("/cs/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("<html lang=\"cs\">") && page.text.contains("Napište nám"));
    assert!(
        page.text.contains("Příklad &#38; Hosting"),
        "text is escaped"
    );
    assert!(page.text.contains("href=\"tel:+420234567890\""));
    let english = house
        .ask(
            axum::http::Request::get("/").header("accept-language", "en-GB, cs;q=0.5"),
            String::new(),
        )
        .await;
    assert!(english.text.contains("Write to us"));
    let slashless = house.get("/en").await;
    assert_eq!(slashless.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(slashless.headers[header::LOCATION], "/en/");
    assert_eq!(house.get("/de/").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_first_page_fits_into_one_tcp_window() {
    let house = house().await;
    for path in ["/cs/", "/en/"] {
        let page = house.get(path).await;
        let headers: usize = page
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        let mut squeezed = Vec::new();
        let mut reader = brotli::CompressorReader::new(page.text.as_bytes(), 4096, 5, 20);
        std::io::Read::read_to_end(&mut reader, &mut squeezed).unwrap();
        let total = headers + squeezed.len();
        assert!(total <= 12_000, "{path} has {total} bytes");
    }
}

#[tokio::test]
async fn a_message_becomes_a_conversation_with_a_code_a_link_and_the_truth_about_where_it_is() {
    let house = house().await;
    let sent = house.write("Nejde web <b>ani</b> pošta.\r\nOd rána.").await;
    assert!(
        sent.text.contains(&format!("href=\"{}\"", sent.goes_to())),
        "who does not follow a redirect finds a link"
    );
    let page = house.get(&sent.goes_to()).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Your message is safely stored"));
    assert!(page.text.contains("At least 2 of our 3 servers have it."));
    assert!(page.text.contains("We answer to j…@example.com."));
    assert!(
        page.text
            .contains("Nejde web &#60;b&#62;ani&#60;/b&#62; pošta.\nOd rána.")
    );
    assert!(
        page.text
            .contains(&format!("https://help1.example.net{}", sent.goes_to()))
    );
    let state = house.state.load_full();
    let (id, conversation) = state.conversations.get_min().unwrap();
    assert_eq!(page.code(), house.keyring.ticket(id).to_string());
    assert!(!conversation.quarantined && conversation.by_mail);
    let body = house
        .keyring
        .open(&conversation_context(id), &conversation.messages[0].body)
        .unwrap();
    assert_eq!(body, "Nejde web <b>ani</b> pošta.\nOd rána.".as_bytes());
}

#[tokio::test]
async fn p1_a_repeated_post_gets_the_first_answer_on_any_node_and_is_kept_once() {
    let keyring = Arc::new(Keyring::generate());
    let (one, two) = (
        house_with(keyring.clone(), founded(3)).await,
        house_with(keyring, founded(3)).await,
    );
    let token = one.token_opened(Purpose::Open, 10_000);
    let fields = [
        ("text", "Help"),
        ("contact", "jana@example.com"),
        ("token", token.as_str()),
    ];
    let first = one.post("/write", &fields).await.goes_to();
    assert_eq!(one.post("/write", &fields).await.goes_to(), first);
    assert_eq!(
        two.post("/write", &fields).await.goes_to(),
        first,
        "another node gives the same answer"
    );
    let state = one.state.load_full();
    assert_eq!(
        (
            state.conversations.len(),
            state.conversations.iter().next().unwrap().1.messages.len()
        ),
        (1, 1)
    );
    let changed = [("text", "Help me"), fields[1], fields[2]];
    assert_ne!(
        one.post("/write", &changed).await.goes_to(),
        first,
        "back, change, send is a new message"
    );
    assert_eq!(one.conversations(), 2);
}

#[tokio::test]
async fn p1_the_same_two_posts_at_the_same_moment_are_one_message() {
    let house = house().await;
    let token = house.token_opened(Purpose::Open, 10_000);
    let fields = [
        ("text", "Help"),
        ("contact", "jana@example.com"),
        ("token", token.as_str()),
    ];
    let (one, two) = tokio::join!(house.post("/write", &fields), house.post("/write", &fields));
    assert_eq!(one.goes_to(), two.goes_to());
    let state = house.state.load_full();
    assert_eq!(
        state
            .conversations
            .iter()
            .map(|(_, it)| it.messages.len())
            .collect::<Vec<_>>(),
        [1]
    );
}

#[tokio::test]
async fn p3_a_lone_node_takes_messages_says_where_they_are_and_passes_them_on() {
    let house = house().await;
    house.set_alone(true);
    let path = house.write("Help").await.goes_to();
    let page = house.get(&path).await;
    assert!(
        page.text
            .contains("This server cannot reach the others right now.")
    );
    assert!(page.text.contains("Your message is held on one server"));
    assert!(
        page.text.contains("(Frankfurt)") && page.text.contains("held here, not passed on yet")
    );
    assert!(page.text.contains("Contact was lost at "));
    let added = house
        .post(
            &path,
            &[
                ("text", "And mail"),
                (
                    "token",
                    &house.token_opened(Purpose::Add(&path[3..]), 9_000),
                ),
                ("lang", "en"),
            ],
        )
        .await;
    assert_eq!(added.goes_to(), path);
    let code = page.code();
    let opened = house
        .post(
            "/ticket",
            &[
                ("code", &code),
                ("contact", "JANA@example.com"),
                ("asked", "1"),
                ("lang", "en"),
            ],
        )
        .await;
    assert_eq!(opened.goes_to(), path, "a code opens what is only held");
    assert_eq!(house.conversations(), 0);
    house.set_alone(false);
    house
        .until("both messages are agreed on", |state| {
            state
                .conversations
                .iter()
                .map(|(_, it)| it.messages.len())
                .sum::<usize>()
                == 2
        })
        .await;
    let page = house.get(&path).await;
    assert!(page.text.contains("safely stored") && !page.text.contains("held here"));
    assert!(page.text.find("Help").unwrap() < page.text.find("And mail").unwrap());
}

#[tokio::test]
async fn an_answer_of_the_company_is_shown() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let id = house.keyring.open_link(&path[3..]).unwrap();
    assert!(house.get(&path).await.text.contains("No answer yet."));
    let body = house
        .keyring
        .seal(&conversation_context(&id), "We are on it.".as_bytes());
    let command = Command::AddMessage {
        conversation: id,
        body,
        taken: clock::now(),
    };
    let mut next = (*house.state.load_full()).clone();
    apply(
        &mut next,
        proposal(Actor::Local { uid: 0 }, ClientId([3; 16]), command),
    );
    house.state.store(Arc::new(next));
    let page = house.get(&path).await;
    assert!(page.text.contains("We are on it.") && !page.text.contains("No answer yet."));
    let czech = house.get(&format!("{path}?lang=cs")).await;
    assert!(czech.text.contains("<html lang=\"cs\">"));
}

#[tokio::test]
async fn bad_input_gets_the_same_page_with_everything_kept_and_the_fields_named() {
    let house = house().await;
    let token = house.token_opened(Purpose::Open, 10_000);
    let long = "x".repeat(300);
    let fields = [
        ("text", "\nNejde \"web\""),
        ("contact", "jana@"),
        ("reference", long.as_str()),
        ("token", token.as_str()),
        ("lang", "en"),
    ];
    let page = house.post("/write", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("role=\"alert\""));
    assert!(
        page.text
            .contains("<a href=\"#contact\">This is neither a whole e-mail address")
    );
    assert!(
        page.text
            .contains("<a href=\"#reference\">This has 300 characters and at most 253 fit.")
    );
    assert!(!page.text.contains("href=\"#text\""));
    assert!(
        page.text.contains(">\n\nNejde &#34;web&#34;</textarea>"),
        "{}",
        page.text
    );
    assert!(page.text.contains("value=\"jana@\"") && page.text.contains(&long));
    assert_eq!(page.token(), token, "sending again is the same form");
    assert!(page.text.contains("<title>Problem – "));
    assert_eq!(house.conversations(), 0);
}

#[tokio::test]
async fn a_form_that_is_too_old_or_unknown_asks_to_press_send_again_and_then_works() {
    let house = house().await;
    let old = house.token_opened(Purpose::Open, limits::FORM_AGE_MS_MAX + 1);
    for token in [old.as_str(), "", "v1.0.AAAA.BBBB"] {
        let fields = [
            ("text", "Help"),
            ("contact", "jana@example.com"),
            ("lang", "en"),
        ];
        let page = house
            .post(
                "/write",
                &[fields[0], fields[1], fields[2], ("token", token)],
            )
            .await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.text.contains("press Send again") && page.text.contains("Help</textarea>"));
        let sent = house
            .post(
                "/write",
                &[fields[0], fields[1], fields[2], ("token", &page.token())],
            )
            .await;
        sent.goes_to();
    }
    assert_eq!(house.conversations(), 3);
}

#[tokio::test]
async fn what_looks_like_abuse_is_kept_apart_and_never_refused() {
    let house = house().await;
    let hasty = house.token_opened(Purpose::Open, 100);
    let path = house
        .post(
            "/write",
            &[
                ("text", "Buy"),
                ("contact", "a@example.com"),
                ("token", &hasty),
            ],
        )
        .await
        .goes_to();
    assert!(
        house
            .get(&format!("{path}?lang=en"))
            .await
            .text
            .contains("Your message is safely stored")
    );
    let token = house.token_opened(Purpose::Open, 10_000);
    house
        .post(
            "/write",
            &[
                ("text", "Buy"),
                ("contact", "a@example.com"),
                ("token", &token),
                ("website", "x"),
            ],
        )
        .await
        .goes_to();
    let state = house.state.load_full();
    assert_eq!(
        state
            .conversations
            .iter()
            .map(|(_, it)| it.quarantined)
            .collect::<Vec<_>>(),
        [true, true]
    );
}

#[tokio::test]
async fn too_many_messages_are_asked_to_wait_with_what_was_typed_kept() {
    let house = house().await;
    let mut last = house.write("0").await;
    for turn in 1..=limits::PACE_HOST.hard + 1 {
        last = house.write(&turn.to_string()).await;
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(last.headers.contains_key(header::RETRY_AFTER));
    assert!(last.text.contains("</textarea>") && last.text.contains("Please wait"));
    let quarantined = house
        .state
        .load()
        .conversations
        .iter()
        .filter(|(_, it)| it.quarantined)
        .count() as u64;
    assert!(quarantined > 0 && quarantined < limits::PACE_HOST.hard);
}

#[tokio::test]
async fn a_code_opens_only_together_with_its_contact_and_only_so_many_tries() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let code = house.get(&path).await.code();
    let open = |code: String, contact: &'static str| {
        let house = &house;
        async move {
            house
                .post(
                    "/ticket",
                    &[
                        ("code", &code),
                        ("contact", contact),
                        ("asked", "1"),
                        ("lang", "en"),
                    ],
                )
                .await
        }
    };
    let spoken = code.replace('-', " ").to_lowercase();
    assert_eq!(open(spoken, " Jana@Example.com").await.goes_to(), path);
    let wrong = open(code.clone(), "petr@example.com").await;
    let unknown = open(
        house.keyring.ticket(&ConversationId([1; 16])).to_string(),
        "petr@example.com",
    )
    .await;
    assert_eq!(
        (wrong.status, unknown.status),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            StatusCode::UNPROCESSABLE_ENTITY
        )
    );
    assert!(
        wrong
            .text
            .contains("No conversation has this code together")
            && unknown
                .text
                .contains("No conversation has this code together")
    );
    let mistyped = open("K7F-Q2M-9XA".to_owned(), "jana@example.com").await;
    assert!(mistyped.text.contains("One of the symbols is wrong"));
    let mut last = wrong;
    for _ in 0..=limits::PACE_TICKET.hard {
        last = open(code.clone(), "petr@example.com").await;
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_box_at_the_foot_asks_for_the_contact_and_keeps_the_code() {
    let house = house().await;
    let code = house.keyring.ticket(&ConversationId([1; 16])).to_string();
    let page = house
        .post("/ticket", &[("code", &code), ("lang", "en")])
        .await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains(&format!("value=\"{code}\"")) && !page.text.contains("role=\"alert\"")
    );
}

#[tokio::test]
async fn a_link_that_is_not_ours_opens_nothing_and_one_that_has_not_arrived_says_so() {
    let house = house().await;
    assert_eq!(house.get("/c/nonsense").await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        house.post("/c/nonsense", &[("text", "x")]).await.status,
        StatusCode::NOT_FOUND
    );
    let (id, link) = (
        ConversationId([1; 16]),
        house.keyring.link(&ConversationId([1; 16])),
    );
    let page = house.get(&format!("/c/{link}?lang=en")).await;
    assert!(
        page.text
            .contains("Your conversation is not on this server yet")
            && !page.text.contains("safely stored")
    );
    assert_eq!(page.code(), house.keyring.ticket(&id).as_str());
    let token = house.token_opened(Purpose::Add(&link), 9_000);
    let fields = [("text", "More"), ("token", token.as_str()), ("lang", "en")];
    let sent = house.post(&format!("/c/{link}"), &fields).await;
    let page = house.get(&format!("{}?lang=en", sent.goes_to())).await;
    assert!(
        page.text.contains("Your message is held on one server") && page.text.contains(">More<")
    );
}

#[tokio::test]
async fn a_conversation_that_is_full_says_so_and_keeps_what_was_typed() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let id = house.keyring.open_link(&path[3..]).unwrap();
    let body = house.keyring.seal(&conversation_context(&id), b"again");
    let mut next = (*house.state.load_full()).clone();
    for turn in 1..limits::CONVERSATION_MESSAGES_MAX {
        let command = Command::AddMessage {
            conversation: id,
            body: body.clone(),
            taken: clock::now(),
        };
        let mut message = [4; 16];
        message[..8].copy_from_slice(&turn.to_be_bytes());
        apply(
            &mut next,
            proposal(Actor::Customer, ClientId(message), command),
        );
    }
    house.state.store(Arc::new(next));
    let token = house.token_opened(Purpose::Add(&path[3..]), 9_000);
    let page = house
        .post(
            &path,
            &[("text", "One more"), ("token", &token), ("lang", "en")],
        )
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.text.contains("as many messages as it can hold")
            && page.text.contains("One more</textarea>")
    );
}

#[tokio::test]
async fn p10_a_body_over_the_bound_is_refused_clearly() {
    let house = house().await;
    let huge = "x".repeat(limits::FORM_BYTES_MAX + 1);
    let page = house.post("/write", &[("text", &huge)]).await;
    assert_eq!(page.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(page.text.contains("At most 4,000 characters fit") || page.text.contains("4 000"));
}

#[tokio::test]
async fn pages_allow_no_script_and_give_no_link_away() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    for path in ["/", "/ticket", "/write", "/nothing", path.as_str()] {
        let page = house.get(path).await;
        let policy = page.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{path}"
        );
        assert_eq!(
            page.headers[header::REFERRER_POLICY],
            "no-referrer",
            "{path}"
        );
        assert!(!page.headers.contains_key(header::SET_COOKIE), "{path}");
        assert!(
            !page.text.contains("<script") && !page.text.contains("style=\""),
            "{path}"
        );
    }
    let wrong_way = house
        .ask(axum::http::Request::delete("/write"), String::new())
        .await;
    assert_eq!(wrong_way.status, StatusCode::METHOD_NOT_ALLOWED);
    let form = house.get("/ticket").await;
    assert!(
        form.text.contains("method=\"post\""),
        "a code never stands in an address"
    );
}

#[tokio::test]
async fn under_a_borrowed_name_the_link_leads_to_a_name_of_our_own() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let visitor = Visitor {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        borrowed: true,
    };
    let page = house
        .ask(
            axum::http::Request::get(&path).extension(visitor),
            String::new(),
        )
        .await;
    assert!(
        page.text
            .contains(&format!("https://help1.example.net{path}"))
    );
}

#[test]
fn a_published_site_takes_everything_but_our_own_paths() {
    for path in ["/cs/", "/en", "/write", "/ticket", "/c/abc"] {
        assert!(is_ours(path), "{path}");
    }
    for path in ["/", "/css/a.css", "/writer", "/cz", "/index.html"] {
        assert!(!is_ours(path), "{path}");
    }
}
