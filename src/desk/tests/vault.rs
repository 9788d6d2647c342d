//! The vault over the API: what bad input gets, what opens it, and that nothing secret stays behind.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::Boat;
use crate::{
    model::vault::FIRST_KEY,
    seal::{Keyring, Standing},
};

const PHRASE: &str = "seven lifeboats before the storm";

async fn state(boat: &Boat) -> Value {
    boat.get("/vault").await.json()
}

/// As after a restart: the key is gone from memory, and what was agreed on is there.
fn forgets(boat: &Boat) -> Keyring {
    let again = Keyring::from_text(&boat.keyring.to_text()).unwrap();
    again.look_at_vault(&boat.cluster.state().vault);
    assert_eq!(again.vault_standing(), Standing::Locked);
    again
}

#[tokio::test]
async fn a_vault_is_made_once_and_what_is_kept_is_shown_once() {
    let boat = Boat::afloat().await;
    assert_eq!(state(&boat).await["state"], "absent");
    let early = boat
        .post("/vault/unlock", "0", &json!({ "passphrase": PHRASE }))
        .await;
    assert_eq!(early.status, StatusCode::NOT_FOUND);
    let short = boat
        .post("/vault", "1", &json!({ "passphrase": "too short" }))
        .await;
    assert!(
        short.json()["detail"]
            .as_str()
            .unwrap()
            .contains("found 9 characters; wanted 16 to 1000 characters"),
        "{}",
        short.json()
    );
    let made = boat
        .post("/vault", "2", &json!({ "passphrase": PHRASE }))
        .await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json());
    assert_eq!(boat.keyring.vault_standing(), Standing::Open);
    // The same request again: done before, and the vault is still open.
    let again = boat
        .post("/vault", "2", &json!({ "passphrase": PHRASE }))
        .await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.json());
    let other = boat
        .post("/vault", "3", &json!({ "passphrase": PHRASE }))
        .await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert_eq!(boat.keyring.vault_standing(), Standing::Open);

    let body = json!({ "name": "people", "kind": "shares", "needed": 2, "made": 3 });
    let shares = boat.post("/vault/ways", "4", &body).await.json();
    let kept = shares["kept"].as_array().unwrap().clone();
    assert_eq!(kept.len(), 3);
    // A repeat must not show shares that open nothing.
    let again = boat.post("/vault/ways", "4", &body).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(
        again.json()["detail"]
            .as_str()
            .unwrap()
            .contains("was shown then"),
        "{}",
        again.json()
    );
    let vault = state(&boat).await;
    assert_eq!(
        (&vault["ways"][1]["name"], &vault["ways"][1]["shares"]),
        (&json!("people"), &json!([2, 3]))
    );
    // Neither words nor shares are agreed on or on the record.
    let agreed = format!("{:?}", boat.cluster.state());
    for secret in [PHRASE, kept[0].as_str().unwrap()] {
        assert!(!agreed.contains(secret));
    }
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let boat = Boat::afloat().await;
    boat.post("/vault", "1", &json!({ "passphrase": PHRASE }))
        .await;
    for (path, body, field) in [
        (
            "/vault/ways",
            json!({ "name": "a b", "kind": "file" }),
            "name",
        ),
        ("/vault/ways", json!({ "name": "a", "kind": "key" }), "kind"),
        (
            "/vault/ways",
            json!({ "name": "a", "kind": "passphrase" }),
            "passphrase",
        ),
        (
            "/vault/ways",
            json!({ "name": "a", "kind": "shares", "needed": 4 }),
            "needed",
        ),
        (
            "/vault/rotate",
            json!({ "without": ["nobodys"] }),
            "without",
        ),
        ("/vault/unlock", json!({}), "the body"),
        (
            "/vault/unlock",
            json!({ "file": "a", "shares": [] }),
            "the body",
        ),
    ] {
        let answer = boat.post(path, "2", &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(answer.json()["field"], field, "{}", answer.json());
    }
    let last = boat
        .post("/vault/rotate", "3", &json!({ "without": ["passphrase"] }))
        .await;
    assert!(!last.status.is_success());
    assert_eq!(state(&boat).await["keys"], 1);
    for typed in [
        json!({ "file": "nothing" }),
        json!({ "shares": ["ABCD"] }),
        json!({ "passphrase": "another one than this" }),
    ] {
        let answer = boat.post("/vault/unlock", "4", &typed).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.json());
    }
}

#[tokio::test]
async fn a_way_that_ended_opens_nothing_and_what_it_sealed_opens_with_the_others() {
    let boat = Boat::afloat().await;
    boat.post("/vault", "1", &json!({ "passphrase": PHRASE }))
        .await;
    let stick = boat
        .post(
            "/vault/ways",
            "2",
            &json!({ "name": "stick", "kind": "file" }),
        )
        .await
        .json();
    let sealed = boat.keyring.seal_in_vault("a", b"x").unwrap();
    let ended = boat
        .post("/vault/rotate", "3", &json!({ "without": ["stick"] }))
        .await;
    assert_eq!(ended.status, StatusCode::OK, "{}", ended.json());
    assert_eq!(boat.keyring.vault_secret().unwrap().0, FIRST_KEY + 1);
    assert_eq!(boat.keyring.open("a", &sealed).as_deref(), Some(&b"x"[..]));
    let text = stick["kept"][0].as_str().unwrap();
    let vault = boat.cluster.state().vault.clone();
    assert!(crate::seal::ways::open_by_file(&vault, text).is_err());
    let secret = crate::seal::ways::open_by_passphrase(&vault, PHRASE).unwrap();
    let again = forgets(&boat);
    assert!(again.unlock(&vault, &secret));
    assert_eq!(again.open("a", &sealed).as_deref(), Some(&b"x"[..]));
}
