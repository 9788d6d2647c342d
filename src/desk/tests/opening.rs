//! Opening the vault on the console's page: who may, by what, how fast, and that what was typed is in no answer and no file.

use std::path::Path;
use std::sync::Arc;

use hyper::{Request, StatusCode};
use serde_json::json;

use super::boat::{Boat, Weather};
use super::console::{Operator, Page, Visitor};
use crate::desk::{Desk, DeskParts};
use crate::model::limits;
use crate::seal::{Keyring, Standing};

const PHRASE: &str = "seven lifeboats before the storm";

/// What the ways into a vault open with.
struct Kept {
    file: String,
    shares: Vec<String>,
}

/// A node that was started anew: the cluster has a vault, and this process has not its key.
async fn locked() -> (Boat, Arc<Keyring>, Kept) {
    let mut boat = Boat::afloat().await;
    boat.post("/vault", "1", &json!({ "passphrase": PHRASE }))
        .await;
    let mut kept = Vec::new();
    for body in [
        json!({ "name": "stick", "kind": "file" }),
        json!({ "name": "people", "kind": "shares", "needed": 2, "made": 3 }),
    ] {
        let made = boat.post("/vault/ways", "2", &body).await.json();
        let made = made["kept"].as_array().unwrap().iter();
        kept.extend(made.map(|it| it.as_str().unwrap().to_owned()));
    }
    let keyring = Arc::new(Keyring::from_text(&boat.keyring.to_text()).unwrap());
    let parts: &DeskParts = &boat.desk;
    boat.desk = Desk::new(DeskParts {
        keyring: keyring.clone(),
        ..parts.clone()
    });
    let shares = kept.split_off(1);
    let file = kept.remove(0);
    (boat, keyring, Kept { file, shares })
}

/// Somebody who is signed in, and the token of their forms.
async fn inside(boat: &Boat, name: &str, role: &str) -> (Visitor, String) {
    let who = Operator::made(boat, name, role).await;
    let mut visitor = Visitor::at(boat);
    visitor.sign_in(&who, &who.code(0)).await;
    let form = visitor.get("/").await.form();
    (visitor, form)
}

async fn gives(visitor: &mut Visitor, form: &str, by: &str, field: &str, what: &str) -> Page {
    let fields = [("form", form), ("by", by), (field, what)];
    let page = visitor.post("/vault", &fields).await;
    assert!(what.trim().is_empty() || !page.says(what.trim()));
    page
}

/// How many files lie below a folder.
fn files(folder: &Path) -> usize {
    let all = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    all.map(|it| match it.path() {
        it if it.is_dir() => files(&it),
        _ => 1,
    })
    .sum()
}

#[tokio::test]
async fn whoever_may_not_open_the_vault_reads_who_may_and_a_foreign_form_opens_nothing() {
    let (boat, keyring, kept) = locked().await;
    let (mut viewer, form) = inside(&boat, "petr", "viewer").await;
    let home = viewer.get("/").await;
    assert!(
        home.says("The vault is locked on this server"),
        "{}",
        home.text
    );
    assert!(home.says("Nobody has the role ops"), "{}", home.text);
    assert!(
        home.says("it knows no customers and signs no mail"),
        "{}",
        home.text
    );
    assert!(!home.says("href=\"/vault\""), "{}", home.text);
    let (mut ops, own) = inside(&boat, "jana", "ops").await;
    let home = viewer.get("/").await;
    assert!(home.says("It can be opened by: jana."), "{}", home.text);
    assert_eq!(viewer.get("/vault").await.status, StatusCode::FORBIDDEN);
    let page = gives(&mut viewer, &form, "file", "text", &kept.file).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let page = gives(&mut ops, "another form", "file", "text", &kept.file).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let from_elsewhere = format!("form={own}&by=passphrase&passphrase={PHRASE}");
    let request = Request::post("/vault").header("sec-fetch-site", "cross-site");
    let page = ops.ask(request, from_elsewhere).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(keyring.vault_standing(), Standing::Locked);
    let home = ops.get("/").await;
    assert!(home.says("<a class=\"b\" href=\"/vault\">Open the vault</a>"));
    assert!(ops.get("/mail").await.says("The vault is locked"));
}

#[tokio::test]
async fn a_passphrase_opens_the_vault_and_a_wrong_one_is_named_and_not_shown_again() {
    let (boat, keyring, _) = locked().await;
    let (mut ops, form) = inside(&boat, "jana", "ops").await;
    let page = ops.get("/vault").await;
    assert!(page.says("Locked on this server since"), "{}", page.text);
    assert!(page.says("autocomplete=\"current-password\""));
    for (typed, status, words) in [
        ("", StatusCode::UNPROCESSABLE_ENTITY, "you typed nothing"),
        (
            "the words on another sheet",
            StatusCode::FORBIDDEN,
            "it opens nothing",
        ),
    ] {
        let page = gives(&mut ops, &form, "passphrase", "passphrase", typed).await;
        assert_eq!(page.status, status);
        assert!(
            page.says(&format!("Vault passphrase: {words}")),
            "{}",
            page.text
        );
        assert!(page.says("aria-invalid=\"true\""), "{}", page.text);
    }
    assert_eq!(keyring.vault_standing(), Standing::Locked);
    let page = gives(&mut ops, &form, "passphrase", "passphrase", PHRASE).await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (StatusCode::SEE_OTHER, "/vault")
    );
    assert_eq!(keyring.vault_standing(), Standing::Open);
    let page = ops.get("/vault").await;
    assert!(page.says("Open on this server since"), "{}", page.text);
    assert!(page.says("lifeboat vault rotate") && !page.says("type=\"password\""));
    assert!(!ops.get("/").await.says("vault is locked"));
    let record = ops.get("/record?q=trust-node-with-vault").await;
    assert!(record.says("jana") && record.says("n1 at 192.0.2.1:7400"));
    let agreed = format!("{:?}", boat.cluster.state());
    assert!(!agreed.contains(PHRASE));
}

#[tokio::test]
async fn a_vault_file_opens_it_pasted_or_chosen_and_stays_on_no_disk() {
    let (boat, keyring, kept) = locked().await;
    let (mut ops, form) = inside(&boat, "jana", "ops").await;
    let page = gives(&mut ops, &form, "file", "text", "a shopping list").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.says("File: this is no vault file"), "{}", page.text);
    let others = format!("lifeboat vault file 1\nstick\n{}\n", "1".repeat(64));
    let page = gives(&mut ops, &form, "file", "text", &others).await;
    assert!(page.says("File: it opens nothing"), "{}", page.text);
    let before = files(boat.data_dir());
    let part = |head: &str, text: &str| {
        format!("--x\r\ncontent-disposition: form-data; name={head}\r\n\r\n{text}\r\n")
    };
    let body = [
        part("\"form\"", &form),
        part("\"by\"", "file"),
        part("\"chosen\"; filename=\"vault.txt\"", &kept.file),
        part("\"text\"", ""),
        "--x--\r\n".to_owned(),
    ];
    let request = Request::post("/vault")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "multipart/form-data; boundary=x");
    let page = ops.ask(request, body.concat()).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    assert_eq!(keyring.vault_standing(), Standing::Open);
    assert_eq!(
        files(boat.data_dir()),
        before,
        "a secret must not go to the disk"
    );

    // As browsers send what was pasted, and as people paste it.
    let (boat, keyring, kept) = locked().await;
    let (mut ops, form) = inside(&boat, "jana", "ops").await;
    let pasted = format!("\r\n {}", kept.file.replace('\n', "\r\n"));
    let page = gives(&mut ops, &form, "file", "text", &pasted).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    assert_eq!(keyring.vault_standing(), Standing::Open);
}

#[tokio::test]
async fn shares_open_a_node_that_is_alone_and_what_is_wrong_with_them_is_said() {
    let (boat, keyring, kept) = locked().await;
    let (mut ops, form) = inside(&boat, "jana", "ops").await;
    boat.weather(Weather::Alone);
    let page = ops.get("/vault").await;
    assert!(page.says("This server is alone, so it opens by itself only"));
    let [one, two, _] = &kept.shares[..] else {
        panic!("three shares");
    };
    // The first symbol of the last group, which checks the others, is another one.
    let (said, check) = one.rsplit_once('-').unwrap();
    let another = if check.starts_with('0') { "1" } else { "0" };
    let mistyped = format!("{two}\r\n\r\n{said}-{another}{}\r\n", &check[1..]);
    for (typed, words) in [
        (
            one.clone(),
            "Shares: found 1 different ones of one set, wanted 2.",
        ),
        (
            format!("{one}\n{one}"),
            "Shares: found 1 different ones of one set, wanted 2.",
        ),
        (
            format!("{two}\nABCD"),
            "Shares, number 2: found 4 symbols, wanted 60.",
        ),
        (mistyped, "Shares, number 2: a symbol is mistyped"),
        (" \n".to_owned(), "Shares: you typed none."),
    ] {
        let page = gives(&mut ops, &form, "shares", "shares", &typed).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.says(words), "{words}: {}", page.text);
    }
    let typed = format!(
        "{}\r\n\r\n{}\r\n",
        two.to_lowercase().replace('-', " "),
        one
    );
    let page = gives(&mut ops, &form, "shares", "shares", &typed).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    assert_eq!(keyring.vault_standing(), Standing::Open);
    let page = ops.get("/vault").await;
    assert!(page.says("It alone was opened"), "{}", page.text);
}

#[tokio::test]
async fn after_some_wrong_tries_the_next_has_to_wait_here_and_over_the_api() {
    let (boat, keyring, kept) = locked().await;
    let (mut ops, form) = inside(&boat, "jana", "ops").await;
    let others = format!("lifeboat vault file 1\nstick\n{}\n", "1".repeat(64));
    for _ in 0..limits::PAIR_FREE {
        let page = gives(&mut ops, &form, "file", "text", &others).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    // Each further wrong one doubles the wait, so that it outlasts a slow machine.
    let mut waits = 0;
    for _ in 0..20 {
        let page = gives(&mut ops, &form, "file", "text", &others).await;
        if page.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(page.says("Too fast. Wait"), "{}", page.text);
            waits += 1;
        }
    }
    assert!(waits > 0, "twenty more wrong ones were tried at once");
    let request = Request::post("/api/v1/vault/unlock")
        .header("sec-fetch-site", "same-origin")
        .header("x-lifeboat-form", &form)
        .header("content-type", "application/json");
    let body = json!({ "file": others }).to_string();
    let page = ops.ask(request, body).await;
    assert_eq!(
        page.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        page.text
    );
    assert!(page.says("several wrong ones came before"), "{}", page.text);
    // Another network is not held to it.
    let (mut other, form) = inside(&boat, "eva", "ops").await;
    other.from = "198.51.100.9".parse().unwrap();
    let page = gives(&mut other, &form, "file", "text", &kept.file).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    assert_eq!(keyring.vault_standing(), Standing::Open);
}
