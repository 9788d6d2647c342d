//! Names over the API: a zone comes in, a service is made, switched by hand and taken back; every refusal names its field.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::{Boat, until};

const ZONE: &str = "$TTL 300\n@ IN SOA ns1 hostmaster 7 900 300 1209600 300\n@ IN NS ns1\nns1 IN A 198.51.100.53\n\
                    mail IN A 192.0.2.25\nwww IN A 192.0.2.99\n";

fn import(text: &str, confirm: Option<u64>) -> Value {
    json!({ "files": [{ "zone": "example.test", "text": text }], "confirm": confirm })
}

fn service() -> Value {
    json!({
        "zone": "example.test",
        "targets": {
            "primary": { "role": "primary", "records": ["www 60 A 192.0.2.80"] },
            "fallback": { "role": "fallback", "records": ["www 60 A 198.51.100.1"] },
        },
    })
}

async fn with_zone() -> Boat {
    let boat = Boat::afloat().await;
    let plan = boat
        .post("/dns/zones", "a", &import(ZONE, None))
        .await
        .json();
    assert_eq!(
        (&plan["done"], &plan["changes"]),
        (&json!(false), &json!(5))
    );
    assert!(
        boat.cluster.state().dns.zones.is_empty(),
        "a look changes nothing"
    );
    let done = boat
        .post("/dns/zones", "b", &import(ZONE, Some(5)))
        .await
        .json();
    assert_eq!(done["done"], true, "{done}");
    until("it is answered", || {
        let state = boat.cluster.state();
        state.dns.zones.values().any(|it| it.live.is_some())
    })
    .await;
    boat
}

async fn exported(boat: &Boat) -> String {
    let got = boat.get("/dns/zones/example.test/file").await;
    assert_eq!(got.status, StatusCode::OK);
    String::from_utf8(got.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_service_is_laid_over_a_zone_switched_by_hand_and_taken_back() {
    let boat = with_zone().await;
    assert!(
        exported(&boat)
            .await
            .contains("www.example.test. 300 IN A 192.0.2.99\n")
    );
    let looked = boat
        .post("/dns/services/www?dry_run=true", "c", &service())
        .await
        .json();
    assert_eq!(
        (&looked["done"], &looked["new"]),
        (&json!(false), &json!(true))
    );
    let made = boat.post("/dns/services/www", "d", &service()).await.json();
    assert_eq!(made["done"], true, "{made}");
    assert!(
        exported(&boat)
            .await
            .contains("www.example.test. 60 IN A 192.0.2.80\n")
    );

    let choice = json!({ "target": "fallback", "reason": "drill", "for": "10m" });
    let mut look = choice.clone();
    look["dry_run"] = json!(true);
    let path = "/dns/services/www/switch";
    let plan = boat.post(path, "e", &look).await.json();
    let lines = json!([
        "- www.example.test. 60 IN A 192.0.2.80",
        "+ www.example.test. 60 IN A 198.51.100.1"
    ]);
    assert_eq!((&plan["done"], &plan["changes"]), (&json!(false), &lines));
    let done = boat.post(path, "f", &choice).await.json();
    assert_eq!(
        (&done["done"], &done["to"]),
        (&json!(true), &json!("fallback"))
    );
    assert!(
        exported(&boat)
            .await
            .contains("www.example.test. 60 IN A 198.51.100.1\n")
    );
    let shown = boat.get("/dns/services/www").await.json();
    assert_eq!(shown["pin"]["reason"], "drill");
    assert_eq!(shown["history"][0]["why"], "drill");

    boat.post("/dns/services/www/undo", "g", &json!({})).await;
    assert!(
        exported(&boat)
            .await
            .contains("www.example.test. 60 IN A 192.0.2.80\n")
    );
    let shown = boat.get("/dns/services/www").await.json();
    assert_eq!(
        (&shown["answering"], &shown["pin"]),
        (&json!("primary"), &Value::Null)
    );
}

#[tokio::test]
async fn every_mistake_is_told_at_once_and_what_was_not_looked_at_is_refused() {
    let boat = with_zone().await;
    let wrong = ZONE
        .replace("192.0.2.25", "192.0.2.300")
        .replace("@ IN NS ns1", "@ IN NOPE ns1");
    let said = boat
        .post("/dns/zones", "a1", &import(&wrong, Some(1)))
        .await;
    assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY);
    let said = said.json();
    let fields: Vec<&str> = said["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["field"].as_str())
        .collect();
    assert!(
        fields
            .iter()
            .any(|it| it.starts_with("example.test. line 3")),
        "{fields:?}"
    );
    assert!(
        fields
            .iter()
            .any(|it| it.starts_with("example.test. line 5")),
        "{fields:?}"
    );

    let other = ZONE.replace("192.0.2.25", "192.0.2.26");
    let said = boat
        .post("/dns/zones", "a2", &import(&other, Some(4)))
        .await
        .json();
    assert_eq!(
        (&said["field"], &said["wanted"]),
        (&json!("confirm"), &json!("1, the number of changes"))
    );
    let root = ZONE.replace("@ IN NS ns1", "@ IN NS mail");
    let said = boat.post("/dns/zones", "a3", &import(&root, Some(1))).await;
    assert_eq!(
        said.status,
        StatusCode::CONFLICT,
        "its own name servers need force"
    );

    boat.post("/dns/services/www", "a4", &service()).await;
    let late = json!({ "target": "fallback", "reason": "late", "against": 1 });
    let said = boat.post("/dns/services/www/switch", "a5", &late).await;
    assert_eq!(said.status, StatusCode::CONFLICT);
    let unknown = json!({ "target": "moon", "reason": "why" });
    let said = boat
        .post("/dns/services/www/switch", "a6", &unknown)
        .await
        .json();
    assert_eq!(
        (&said["field"], &said["wanted"]),
        (&json!("target"), &json!("fallback or primary"))
    );
    let mut bad = service();
    bad["targets"]["fallback"]["records"] = json!(["www 60 AAAA 2001:db8::1"]);
    let said = boat.post("/dns/services/www", "a7", &bad).await.json();
    assert_eq!(said["field"], "targets.primary.records");
}

#[tokio::test]
async fn a_repeat_of_making_a_key_shows_the_same_secret_and_the_list_shows_none() {
    let boat = Boat::afloat().await;
    let first = boat
        .post("/dns/keys/transfer.test", "k", &json!({}))
        .await
        .json();
    let again = boat
        .post("/dns/keys/transfer.test", "k", &json!({}))
        .await
        .json();
    assert_eq!(first["secret"], again["secret"]);
    let other = boat
        .post("/dns/keys/transfer.test", "l", &json!({}))
        .await
        .json();
    assert_ne!(first["secret"], other["secret"]);
    let listed = boat.get("/dns/keys").await.json().to_string();
    assert!(listed.contains("transfer.test.") && !listed.contains("secret"));
}

#[tokio::test]
async fn a_keeper_is_made_and_shown_and_its_token_is_seen_by_nobody() {
    let boat = Boat::afloat().await;
    let path = "/dns/keepers/cf";
    let bad = json!({ "kind": "cloudflare", "zone": "", "server": "here", "servers": ["x"], "secret": "t" });
    let said = boat.post(path, "a", &bad).await;
    assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY);
    let said = said.json()["mistakes"].to_string();
    for field in ["\"zone\"", "\"server\"", "\"servers\""] {
        assert!(said.contains(field), "{field} is not in {said}");
    }
    let unknown = json!({ "kind": "elsewhere", "zone": "outside.test" });
    let said = boat.post(path, "b", &unknown).await.json();
    assert_eq!(said["found"], "elsewhere", "{said}");
    let without = json!({ "kind": "cloudflare", "zone": "outside.test" });
    let said = boat.post(path, "c", &without).await.json();
    assert_eq!(said["field"], "secret", "{said}");
    let clear = json!({ "kind": "desec", "zone": "outside.test", "url": "http://desec.test", "secret": "t" });
    let said = boat.post(path, "d", &clear).await.json();
    assert_eq!(said["field"], "url", "{said}");

    let token = "a-token-that-nobody-may-see";
    let good = json!({ "kind": "cloudflare", "zone": "outside.test", "secret": token });
    let said = boat.post(path, "e", &good).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.json());
    let outside = json!({
        "zone": "outside.test",
        "targets": {
            "primary": { "role": "primary", "records": ["www 60 A 192.0.2.80"] },
            "fallback": { "role": "fallback", "records": ["www 60 A 198.51.100.1"] },
        },
    });
    let made = boat.post("/dns/services/www", "f", &outside).await.json();
    assert_eq!(made["done"], true, "{made}");
    let shown = boat.get(path).await.json();
    assert_eq!(shown["sets"][0]["standing"], "unseen", "{shown}");
    assert_eq!(shown["place"], "https://api.cloudflare.com/client/v4");
    let everything = [
        shown.to_string(),
        boat.get("/dns").await.json().to_string(),
        boat.get("/audit").await.json().to_string(),
        format!("{:?}", boat.cluster.state()),
    ];
    for text in everything {
        assert!(!text.contains(token), "the token is in {text}");
    }
    // Its name would be answered nowhere.
    let said = boat.post(&format!("{path}/remove"), "g", &json!({})).await;
    assert_eq!(said.status, StatusCode::CONFLICT, "{}", said.json());
}
