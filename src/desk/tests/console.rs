//! The operators' door: coming in, being slowed, being refused, being alone; and what no other site can send.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::{Request, StatusCode, header};
use serde_json::{Value, json};

use super::boat::{Boat, Weather, until};
use crate::clock;
use crate::desk::entry::codes;
use crate::desk::https::Door;
use crate::model::limits;
use crate::tasks::Stop;
use crate::tls::base32;

/// A browser at the operators' door.
pub(super) struct Visitor {
    door: Door,
    pub(super) from: IpAddr,
    cookie: Option<String>,
    /// How far the log had come at what was written last.
    pub(super) shown: Option<String>,
}

pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) location: String,
    pub(super) text: String,
}

impl Page {
    /// The token of this session's forms.
    pub(super) fn form(&self) -> String {
        let at = self.text.find("name=\"form\" value=\"").unwrap();
        let rest = &self.text[at + 19..];
        rest[..rest.find('"').unwrap()].to_owned()
    }

    pub(super) fn says(&self, words: &str) -> bool {
        self.text.contains(words)
    }
}

impl Visitor {
    pub(super) fn at(boat: &Boat) -> Self {
        Self {
            door: Door::new(boat.desk.clone()),
            from: "192.0.2.7".parse().unwrap(),
            cookie: None,
            shown: None,
        }
    }

    pub(super) async fn ask(
        &mut self,
        request: hyper::http::request::Builder,
        body: String,
    ) -> Page {
        let mut request = request
            .header(header::HOST, "192.0.2.1:8443")
            .header(header::ACCEPT_LANGUAGE, "en");
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        if let Some(shown) = &self.shown {
            request = request.header(header::COOKIE, shown);
        }
        let request = request.body(Body::from(body)).unwrap();
        let answer = self.door.answer(request, self.from).await;
        let text = |name: header::HeaderName| {
            let value = answer.headers().get(name);
            value.map_or(String::new(), |it| it.to_str().unwrap().to_owned())
        };
        let location = text(header::LOCATION);
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(
                cookie.contains("; Path=/; Secure; HttpOnly; SameSite=Strict"),
                "{cookie}"
            );
            let value = cookie.split(';').next().map(ToOwned::to_owned);
            match cookie.starts_with("__Host-lifeboat-at=") {
                true => self.shown = value,
                false => self.cookie = value,
            }
        }
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Page {
            status,
            location,
            text: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    pub(super) async fn get(&mut self, path: &str) -> Page {
        self.ask(Request::get(path), String::new()).await
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = Request::post(path).header("sec-fetch-site", "same-origin");
        self.ask(request, body).await
    }

    pub(super) async fn sign_in(&mut self, who: &Operator, code: &str) -> Page {
        let fields = [
            ("name", who.name.as_str()),
            ("password", who.password.as_str()),
            ("code", code),
        ];
        self.post("/sign-in", &fields).await
    }
}

pub(super) struct Operator {
    name: String,
    password: String,
    secret: Vec<u8>,
}

impl Operator {
    pub(super) async fn made(boat: &Boat, name: &str, role: &str) -> Self {
        let body = json!({ "name": name, "roles": [role] });
        let got = boat.post("/people", name, &body).await;
        assert_eq!(got.status, StatusCode::OK, "{:?}", got.json());
        let made = got.json();
        Self {
            name: name.to_owned(),
            password: made["password"].as_str().unwrap().to_owned(),
            secret: base32::decode::<20>(made["totp_secret"].as_str().unwrap())
                .unwrap()
                .to_vec(),
        }
    }

    /// The code of now, or of a step after it.
    pub(super) fn code(&self, after: u64) -> String {
        codes::code_of(&self.secret, codes::step_at(clock::now()) + after)
    }
}

#[tokio::test]
async fn a_person_signs_in_sees_the_pages_and_signs_out() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    let mut visitor = Visitor::at(&boat);
    let page = visitor.get("/nodes").await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (StatusCode::SEE_OTHER, "/sign-in?to=%2Fnodes")
    );
    let page = visitor.sign_in(&jana, &jana.code(0)).await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (StatusCode::SEE_OTHER, "/")
    );
    for (path, heading) in [
        ("/", "What is happening"),
        ("/nodes", "Servers"),
        ("/people", "People"),
        ("/people/jana", "jana"),
        ("/sessions", "Who is signed in"),
        ("/record", "Who did what"),
        ("/shift", "Who leads the shift"),
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(
            page.says(&format!("<h1>{heading}</h1>")),
            "{path}: {}",
            page.text
        );
    }
    let home = visitor.get("/").await;
    let record = visitor.get("/record.csv").await;
    assert!(
        record.says("\"jana\",\"192.0.2.7\",\"n1\",\"sign-in\",\"jana\""),
        "{}",
        record.text
    );
    let kept = visitor.cookie.clone();
    visitor.post("/sign-out", &[("form", &home.form())]).await;
    visitor.cookie = kept;
    assert_eq!(
        visitor.get("/").await.status,
        StatusCode::SEE_OTHER,
        "the session is over"
    );
}

#[tokio::test]
async fn what_is_wrong_is_not_said_and_a_code_is_good_once() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    let mut visitor = Visitor::at(&boat);
    let code = jana.code(0);
    let wrong = "Name, password or code is wrong";
    for (name, password, code) in [
        ("nobody-here", jana.password.as_str(), code.as_str()),
        ("not a name\u{1}", "another password", "y"),
        ("jana", "not the password", code.as_str()),
        ("jana", jana.password.as_str(), "000000x"),
    ] {
        let fields = [("name", name), ("password", password), ("code", code)];
        let page = visitor.post("/sign-in", &fields).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        assert!(page.says(wrong) && !page.says(password), "{}", page.text);
    }
    assert_eq!(
        visitor.sign_in(&jana, &code).await.status,
        StatusCode::SEE_OTHER
    );
    let page = Visitor::at(&boat).sign_in(&jana, &code).await;
    assert!(page.says("This code was used already"), "{}", page.text);
}

#[tokio::test]
async fn wrong_passwords_are_slowed_also_many_at_once() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    let began = clock::monotonic();
    let guesses = (0..12).map(|_| async {
        let wrong = Operator {
            name: "jana".to_owned(),
            password: "a wrong password".to_owned(),
            secret: jana.secret.clone(),
        };
        Visitor::at(&boat).sign_in(&wrong, "123456").await.status
    });
    let answered = futures_util::future::join_all(guesses).await;
    let looked_at = answered
        .iter()
        .filter(|it| **it == StatusCode::FORBIDDEN)
        .count();
    // On a slow machine the guesses take so long that a wait of one second, then two, is over meanwhile.
    let waited_for = (began.elapsed().as_secs() + 1).ilog2() as usize;
    let free = limits::PAIR_FREE as usize;
    assert!(
        (free..=free + waited_for).contains(&looked_at),
        "{looked_at} in {:?}: {answered:?}",
        began.elapsed()
    );
    let mut elsewhere = Visitor::at(&boat);
    elsewhere.from = "198.51.100.9".parse().unwrap();
    let page = elsewhere.sign_in(&jana, &jana.code(0)).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "nobody is locked out");
}

#[tokio::test]
async fn a_role_is_asked_for_on_pages_and_over_the_api() {
    let boat = Boat::afloat().await;
    let petr = Operator::made(&boat, "petr", "viewer").await;
    let mut visitor = Visitor::at(&boat);
    visitor.sign_in(&petr, &petr.code(0)).await;
    let page = visitor.get("/people").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(
        page.says("petr does not have the role admin"),
        "{}",
        page.text
    );
    let home = visitor.get("/").await;
    assert!(
        !home.says("href=\"/people\""),
        "the menu shows what may be seen"
    );
    let page = visitor.get("/api/v1/people").await;
    let problem: Value = serde_json::from_str(&page.text).unwrap();
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(problem["type"], "urn:lifeboat:problem:not-allowed");
    assert_eq!(problem["detail"], "petr does not have the role admin");
    assert_eq!(visitor.get("/api/v1/status").await.status, StatusCode::OK);
    let nobody = Visitor::at(&boat).get("/api/v1/status").await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_form_of_another_site_is_refused_and_changes_nothing() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    let mut visitor = Visitor::at(&boat);
    visitor.sign_in(&jana, &jana.code(0)).await;
    let form = visitor.get("/shift").await.form();
    let body = |form: &str| format!("form={form}&who=jana&note=");
    let post = || Request::post("/shift");
    for (request, form) in [
        (post().header("sec-fetch-site", "same-origin"), "wrong"),
        (post().header("sec-fetch-site", "same-origin"), ""),
        (post().header("sec-fetch-site", "cross-site"), form.as_str()),
        (
            post().header("origin", "https://evil.example.test"),
            form.as_str(),
        ),
    ] {
        let page = visitor.ask(request, body(form)).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    // The API's cookie side asks for the token in a header.
    let request = Request::post("/api/v1/shift")
        .header("content-type", "application/json")
        .header("sec-fetch-site", "same-origin");
    let page = visitor
        .ask(request, json!({ "note": "" }).to_string())
        .await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(boat.cluster.state().people.leading.is_none());
    let request = post().header("origin", "https://192.0.2.1:8443");
    let page = visitor.ask(request, body(&form)).await;
    assert_eq!(page.location, "/shift");
    assert!(boat.cluster.state().people.leading.is_some());
}

#[tokio::test]
async fn every_form_asks_for_its_token() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    let mut visitor = Visitor::at(&boat);
    visitor.sign_in(&jana, &jana.code(0)).await;
    for path in crate::desk::pages::posts() {
        let path = path.replace("{person}", "jana").replace("{alarm}", "1");
        let path = path.replace("{session}", "0000000000000000");
        let page = visitor
            .post(&path, &[("name", "x"), ("role", "admin")])
            .await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}: {}", page.text);
        assert!(page.says("This form did not come from this page"), "{path}");
    }
}

#[tokio::test]
async fn a_dangerous_deed_asks_for_a_fresh_code() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    let mut visitor = Visitor::at(&boat);
    visitor.sign_in(&jana, &jana.code(0)).await;
    let form = visitor.get("/people").await.form();
    let fields = [("form", form.as_str()), ("name", "eva"), ("role", "agent")];
    let page = visitor.post("/people", &fields).await;
    assert!(
        page.says("This is shown once"),
        "a fresh sign-in is fresh: {}",
        page.text
    );
    let session = boat
        .cluster
        .state()
        .people
        .sessions
        .values()
        .next()
        .cloned()
        .unwrap();
    let later = session.made.plus_ms(limits::CONFIRMED_MS);
    assert!(session.is_confirmed(session.made) && !session.is_confirmed(later));
    // A fresh code makes it fresh again.
    let fields = [
        ("form", form.as_str()),
        ("code", &jana.code(1)),
        ("to", "/people"),
    ];
    let page = visitor.post("/confirm", &fields).await;
    assert_eq!(page.location, "/people", "{}", page.text);
    let confirmed = boat
        .cluster
        .state()
        .people
        .sessions
        .values()
        .next()
        .unwrap()
        .confirmed;
    assert!(confirmed > session.confirmed);
}

#[tokio::test]
async fn a_machine_asks_with_its_token_and_not_with_another() {
    let boat = Boat::afloat().await;
    let body = json!({ "name": "prometheus", "roles": ["viewer"] });
    let made = boat.post("/api-tokens", "t", &body).await.json();
    let token = made["token"].as_str().unwrap().to_owned();
    let mut visitor = Visitor::at(&boat);
    let with = |token: &str, path: &str| {
        Request::get(path.to_owned()).header(header::AUTHORIZATION, format!("Bearer {token}"))
    };
    let page = visitor
        .ask(with(&token, "/api/v1/status"), String::new())
        .await;
    assert_eq!(page.status, StatusCode::OK);
    let page = visitor
        .ask(with(&token, "/api/v1/people"), String::new())
        .await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let page = visitor
        .ask(with("lifeboat-api-wrong", "/api/v1/status"), String::new())
        .await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    boat.post("/api-tokens/prometheus/revoke", "r", &json!({}))
        .await;
    let page = visitor
        .ask(with(&token, "/api/v1/status"), String::new())
        .await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn p3_alone_people_come_in_and_it_is_reported_after_rejoining() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    let body = json!({ "holder": "safe", "codes": 2 });
    let envelope = boat.post("/envelopes", "e", &body).await.json();
    let codes: Vec<&str> = envelope["codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    boat.weather(Weather::Alone);
    let mut visitor = Visitor::at(&boat);
    // The same twice, whatever the clock says by then.
    let code = jana.code(0);
    let page = visitor.sign_in(&jana, &code).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    let home = visitor.get("/").await;
    assert!(home.says("This server is alone."), "{}", home.text);
    let again = Visitor::at(&boat).sign_in(&jana, &code).await;
    assert!(again.says("This code was used already"), "{}", again.text);
    let mut glass = Visitor::at(&boat);
    let page = glass.post("/break-glass", &[("code", codes[0])]).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    assert_eq!(glass.get("/people").await.status, StatusCode::OK);
    let again = Visitor::at(&boat)
        .post("/break-glass", &[("code", codes[0])])
        .await;
    assert!(again.says("opens nothing any more"), "{}", again.text);
    let status = boat.get("/status").await.json();
    assert_eq!(status["people"]["unreported"], 2);
    assert!(
        status["alarms"]
            .to_string()
            .contains("1 break-glass codes were used"),
        "{status}"
    );
    assert!(boat.cluster.state().people.sessions.is_empty());

    boat.weather(Weather::Fair);
    let stop = Stop::new();
    tokio::spawn(boat.desk.clone().report_sign_ins(stop.clone()));
    until("it is reported", || {
        boat.cluster.state().people.open_alarms().count() == 1
    })
    .await;
    let told = |what: &str| {
        let state = boat.cluster.state();
        state.audit.lines.iter().any(|it| it.what == what)
    };
    until("both are on the record", || {
        told("sign-in-while-alone") && told("break-glass-while-alone")
    })
    .await;
    until("nothing is left to report", || boat.desk.unreported() == 0).await;
    let home = glass.get("/").await;
    assert!(
        home.says("Break-glass code used."),
        "the banner is shown: {}",
        home.text
    );
    stop.cancel();
}

#[tokio::test]
async fn p3_what_was_used_alone_is_not_used_again_after_a_restart() {
    let boat = Boat::afloat().await;
    let body = json!({ "holder": "safe", "codes": 1 });
    let envelope = boat.post("/envelopes", "e", &body).await.json();
    let code = envelope["codes"][0].as_str().unwrap();
    boat.weather(Weather::Alone);
    let page = Visitor::at(&boat)
        .post("/break-glass", &[("code", code)])
        .await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    let mut later = Visitor::at(&boat);
    later.door = Door::new(boat.restarted());
    let page = later.post("/break-glass", &[("code", code)]).await;
    assert!(page.says("opens nothing any more"), "{}", page.text);
}

#[tokio::test]
async fn a_break_glass_code_is_looked_at_without_being_used_and_typing_errors_are_told_apart() {
    let boat = Boat::afloat().await;
    let body = json!({ "holder": "safe", "codes": 1 });
    let envelope = boat.post("/envelopes", "e", &body).await.json();
    let code = envelope["codes"][0].as_str().unwrap();
    let verify = async |code: &str| {
        boat.post("/envelopes/verify", code, &json!({ "code": code }))
            .await
    };
    assert_eq!(verify(code).await.json()["good"], true);
    assert_eq!(
        verify(&code.to_lowercase().replace('-', " ")).await.json()["good"],
        true
    );
    let first = if code.starts_with('0') { "1" } else { "0" };
    let mistyped = format!("{first}{}", &code[1..]);
    assert_eq!(
        verify(&mistyped).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let mut visitor = Visitor::at(&boat);
    let page = visitor.post("/break-glass", &[("code", &mistyped)]).await;
    assert!(page.says("A symbol is mistyped"), "{}", page.text);
    let page = visitor.post("/break-glass", &[("code", code)]).await;
    assert_eq!(page.location, "/", "{}", page.text);
    assert_eq!(verify(code).await.json()["good"], false);
    let home = visitor.get("/").await;
    let alarm = boat.cluster.state().people.alarms[0].index;
    assert!(home.says("Break-glass code used."), "{}", home.text);
    visitor
        .post(&format!("/alarms/{alarm}"), &[("form", &home.form())])
        .await;
    assert!(!visitor.get("/").await.says("Break-glass code used."));
}

#[tokio::test]
async fn no_page_repeats_what_was_typed_as_markup() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    let mut visitor = Visitor::at(&boat);
    let evil = "\"><script>alert(1)</script>";
    let page = visitor
        .post("/sign-in", &[("name", evil), ("to", evil)])
        .await;
    assert!(!page.says("<script"), "{}", page.text);
    visitor.sign_in(&jana, &jana.code(0)).await;
    let form = visitor.get("/shift").await.form();
    visitor
        .post(
            "/shift",
            &[("form", &form), ("who", "jana"), ("note", evil)],
        )
        .await;
    let query: String = form_urlencoded::byte_serialize(evil.as_bytes()).collect();
    for path in [
        "/shift",
        "/record",
        &format!("/record?q={query}"),
        &format!("/people/{query}"),
    ] {
        assert!(!visitor.get(path).await.says("<script"), "{path}");
    }
}

#[tokio::test]
async fn a_forged_or_damaged_cookie_opens_nothing() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    let mut visitor = Visitor::at(&boat);
    visitor.sign_in(&jana, &jana.code(0)).await;
    let good = visitor.cookie.clone().unwrap();
    let start = good.find('.').unwrap() + 1;
    for at in [start, start + 7, good.len() - 2] {
        let mut forged = good.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        visitor.cookie = Some(String::from_utf8(forged).unwrap());
        assert_eq!(visitor.get("/").await.status, StatusCode::SEE_OTHER);
    }
    // A session that somebody else chose is not taken over at the sign-in.
    visitor.cookie = Some("__Host-lifeboat=0000000000000000.AAAA".to_owned());
    let code = jana.code(1);
    visitor.sign_in(&jana, &code).await;
    assert!(
        visitor
            .cookie
            .as_ref()
            .is_some_and(|it| !it.contains("=0000000000000000."))
    );
    let one_second = Duration::from_secs(1);
    let _in_time = tokio::time::timeout(one_second, visitor.get("/"))
        .await
        .unwrap();
}
