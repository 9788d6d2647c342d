//! The directory over the API: taken in, refused, changed, asked, erased, and what an incident touches.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::{Boat, Got, Weather, until};

const CUSTOMERS: &str = "customer;name;email;language;server;datacentre;product;domain\n\
    1;Jana;jana@nova.example jana@mail.example;cs;web1;prague;hosting;nova.example\n\
    2;Petr;petr@mail.example;cs;web1;prague;hosting;petr.example\n\
    3;Ann;ann@mail.example;en;vps3;brno;vps;ann.example\n";

async fn upload(boat: &Boat, path: &str, key: &str, text: &str) -> Got {
    let body = Bytes::copy_from_slice(text.as_bytes());
    boat.ask("POST", path, &[("idempotency-key", key)], body)
        .await
}

async fn is_open(boat: &Boat, version: &Value) {
    let version = version.as_str().unwrap().to_owned();
    until("it is open", || {
        let open = boat.desk.directory.get();
        open.is_some_and(|it| it.version().to_string() == version)
    })
    .await;
}

/// A node with three customers.
async fn peopled() -> Boat {
    let boat = Boat::afloat().await;
    let got = upload(&boat, "/directory?note=first", "one", CUSTOMERS).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.json());
    is_open(&boat, &got.json()["version"]).await;
    boat
}

#[tokio::test]
async fn a_directory_is_taken_in_changed_compared_and_gone_back_to() {
    let boat = Boat::afloat().await;
    let none = boat.get("/directory/customers/1").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let looked = upload(&boat, "/directory?dry_run=true", "d", CUSTOMERS)
        .await
        .json();
    assert_eq!(
        (&looked["version"], &looked["customers"]),
        (&Value::Null, &json!(3))
    );
    assert_eq!(
        looked["files"][0]["columns"][5],
        json!({ "column": "datacentre", "field": "datacentre" })
    );
    assert!(boat.cluster.state().directory.versions.is_empty());

    let first = upload(&boat, "/directory?note=first", "one", CUSTOMERS)
        .await
        .json();
    is_open(&boat, &first["version"]).await;
    let again = upload(&boat, "/directory?note=first", "one", CUSTOMERS)
        .await
        .json();
    assert_eq!(
        again["version"], first["version"],
        "a repeat under the same key is the same import"
    );
    let same = upload(&boat, "/directory?note=other", "two", CUSTOMERS)
        .await
        .json();
    assert_eq!(
        same["version"], first["version"],
        "what changes nothing is no version"
    );

    let lines = "{\"customer\": \"3\", \"gone\": true}\n{\"customer\": \"4\", \"contacts\": [\"d@example.com\"]}\n";
    let second = upload(&boat, "/directory/changes", "three", lines)
        .await
        .json();
    assert_eq!(second["numbers"], json!(["- 3", "+ 4"]), "{second}");
    is_open(&boat, &second["version"]).await;
    let path = format!(
        "/directory/diff?from={}",
        first["version"].as_str().unwrap()
    );
    let differs = boat.get(&path).await.json();
    assert_eq!(differs["numbers"], json!(["- 3", "+ 4"]));
    let shown = boat.get("/directory").await.json();
    assert_eq!(
        (
            &shown["versions"][0]["changes"],
            &shown["versions"][0]["live"]
        ),
        (&json!(1), &json!(true))
    );
    let back = boat
        .post(
            "/directory/rollback",
            "b",
            &json!({ "version": first["version"] }),
        )
        .await;
    assert_eq!(back.json()["live"], true);
    boat.weather(Weather::Alone);
    let alone = upload(&boat, "/directory", "a", CUSTOMERS).await;
    assert_eq!(alone.status, StatusCode::SERVICE_UNAVAILABLE);
    let asked = boat
        .post("/directory/audience", "q", &json!({ "audience": "all" }))
        .await;
    assert_eq!(asked.json()["customers"], 3, "it is asked alone as well");
}

#[tokio::test]
async fn an_upload_with_mistakes_tells_all_of_them_and_leaves_nothing() {
    let boat = Boat::afloat().await;
    let text = "id,email,language\n1,nobody,cs\n2,b@example.com,klingon!\n";
    let unmapped = upload(&boat, "/directory", "a", text).await;
    assert_eq!(unmapped.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        unmapped.json()["mistakes"][0]["wanted"]
            .as_str()
            .unwrap()
            .contains("map customer=COLUMN")
    );
    let wrong = upload(&boat, "/directory?map=customer%3Did", "b", text)
        .await
        .json();
    let fields: Vec<&str> = wrong["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["line 2: email", "line 3: language"]);
    assert_eq!(wrong["mistakes"][0]["found"], "nobody");
    assert!(boat.cluster.state().directory.versions.is_empty());
    let unknown = upload(&boat, "/directory?kofirm=1", "c", text).await.json();
    assert_eq!(unknown["field"], "kofirm");
    let early = upload(&boat, "/directory/changes", "d", "{\"customer\": \"1\"}").await;
    assert_eq!(
        early.status,
        StatusCode::NOT_FOUND,
        "changes need something to change"
    );
    let many: String = (0..300).map(|it| format!("{it},nobody,cs\n")).collect();
    let many = upload(
        &boat,
        "/directory",
        "e",
        &format!("customer,email,language\n{many}"),
    )
    .await
    .json();
    let told = many["mistakes"].as_array().unwrap();
    assert_eq!((told.len(), &told[100]["found"]), (101, &json!("200")));
}

#[tokio::test]
async fn p7_an_export_that_broke_off_is_not_taken_in_unless_its_loss_is_confirmed() {
    let boat = Boat::afloat().await;
    let rows = |many: u32| -> String { (0..many).map(|it| format!("{it:04}\n")).collect() };
    let whole = upload(
        &boat,
        "/directory",
        "a",
        &format!("customer\n{}", rows(100)),
    )
    .await
    .json();
    is_open(&boat, &whole["version"]).await;
    let half = format!("customer\n{}", rows(50));
    let looked = upload(&boat, "/directory?dry_run=true", "b", &half)
        .await
        .json();
    assert_eq!(
        (&looked["confirm"], &looked["removed"]),
        (&json!(50), &json!(50))
    );
    for (path, key) in [("/directory", "c"), ("/directory?confirm=49", "d")] {
        let refused = upload(&boat, path, key, &half).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(refused.json()["field"], "confirm");
    }
    assert_eq!(boat.cluster.state().directory.versions.len(), 1);
    let meant = upload(&boat, "/directory?confirm=50", "e", &half)
        .await
        .json();
    assert_eq!(meant["customers"], 50, "{meant}");
}

#[tokio::test]
async fn an_audience_is_counted_sampled_and_refused_with_its_place() {
    let boat = peopled().await;
    let ask = async |body: Value| boat.post("/directory/audience", "q", &body).await.json();
    let prague = ask(json!({ "audience": "datacentre=prague", "sample": 5 })).await;
    assert_eq!(
        (&prague["customers"], &prague["off_net"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(prague["languages"], json!({ "cs": 2 }));
    assert_eq!(
        prague["sample"][0]["address"], "jana@mail.example",
        "her own mailbox has failed"
    );
    let listed = json!({ "audience": "all except list=told", "lists": { "told": ["2", "ANN@mail.example"] }, "sample": 5 });
    let listed = ask(listed).await;
    assert_eq!(
        (&listed["customers"], &listed["sample"][0]["customer"]),
        (&json!(1), &json!("1"))
    );
    let one = ask(json!({ "audience": "all", "sample": 1 })).await;
    assert_eq!(one["sample"].as_array().unwrap().len(), 1);
    let wrong = ask(json!({ "audience": "datacentre=prague or" })).await;
    assert_eq!(
        (&wrong["field"], &wrong["found"]),
        (&json!("audience"), &json!("the end at character 21"))
    );
    let found = boat
        .get("/directory/customers?find=ann.example")
        .await
        .json();
    assert_eq!(found[0]["customer"], "3");
}

#[tokio::test]
async fn a_customers_card_says_whether_what_happens_touches_them() {
    let boat = peopled().await;
    let card = boat.get("/directory/customers/1").await.json();
    assert_eq!(
        (&card["affected"], &card["services"][0]["server"]),
        (&Value::Null, &json!("web1"))
    );
    let opened = boat
        .post("/incidents", "i", &json!({ "scenario": "unknown" }))
        .await
        .json();
    let id = opened["incident"].clone();
    for audience in ["customer=1", "all except server=web1", "king=1"] {
        let wrong = json!({ "incident": id, "audience": audience });
        let wrong = boat.post("/directory/affects", audience, &wrong).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{audience}");
    }
    let touches = json!({ "incident": id, "audience": "datacentre=prague" });
    let touched = boat.post("/directory/affects", "t", &touches).await.json();
    assert_eq!(touched["customers"], 2, "{touched}");
    let card = boat.get("/directory/customers/1").await.json();
    assert_eq!(
        (&card["affected"], &card["services"][0]["incidents"][0]),
        (&json!(true), &id)
    );
    let card = boat.get("/directory/customers/3").await.json();
    assert_eq!(card["affected"], false);
    let nobody = boat.get("/directory/customers/99").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn p11_an_erased_customer_is_gone_at_once_and_the_leader_writes_the_files_anew() {
    let boat = peopled().await;
    let before = boat.cluster.state().directory.live().unwrap().1.base.blob;
    let looked = boat
        .post("/directory/erase", "a", &json!({ "customer": "1" }))
        .await
        .json();
    assert_eq!(
        (&looked["done"], &looked["contacts"]),
        (&json!(false), &json!(2))
    );
    assert_eq!(
        boat.get("/directory/customers/1").await.status,
        StatusCode::OK
    );
    let erased = boat
        .post(
            "/directory/erase",
            "b",
            &json!({ "customer": "1", "confirm": 1 }),
        )
        .await
        .json();
    assert_eq!(erased["done"], true, "{erased}");
    until("the files are written anew", || {
        let state = boat.cluster.state();
        let rewritten = state
            .directory
            .live()
            .is_some_and(|(_, it)| it.base.blob != before);
        rewritten && state.directory.versions.len() == 1
    })
    .await;
    let live = boat.cluster.state().directory.live.unwrap();
    is_open(&boat, &json!(live.to_string())).await;
    assert_eq!(
        boat.get("/directory/customers/1").await.status,
        StatusCode::NOT_FOUND
    );
    assert!(boat.cluster.state().blobs[&before].released.is_some());
    let again = upload(&boat, "/directory", "c", CUSTOMERS).await.json();
    assert_eq!(
        (&again["left_out"], &again["customers"]),
        (&json!(1), &json!(2))
    );
    let record = boat.get("/audit").await.json().to_string();
    assert!(
        record.contains("erase-customer") && !record.contains("jana"),
        "{record}"
    );
}

#[tokio::test]
async fn a_mass_mail_to_an_audience_goes_to_addresses_that_work_and_to_nobody_by_a_slip() {
    let boat = peopled().await;
    let mut draft = json!({
        "name": "power", "kind": "essential", "audience": "datacentre:prague",
        "texts": { "en": { "subject": "No power", "text": "{{ name }}: {{ services | join(', ') }}" } },
    });
    let drafted = boat.post("/campaigns", "a", &draft).await;
    assert_eq!(drafted.status, StatusCode::OK, "{}", drafted.json());
    let id = drafted.json()["campaign"].as_str().unwrap().to_owned();
    let checked = boat.get(&format!("/campaigns/{id}/check")).await.json();
    assert_eq!(checked["recipients"], 2, "{checked}");
    let first = boat.get(&format!("/campaigns/{id}/preview?line=1")).await;
    let first = first.json();
    // The first address of Jana lives on what the audience is about.
    assert_eq!(first["to"], "jana@mail.example", "{first}");
    assert!(
        first["text"].as_str().unwrap().contains("Jana: web1"),
        "{first}"
    );
    for (key, audience) in [("b", "datacentre:berlin"), ("c", "datacentre:")] {
        draft["audience"] = json!(audience);
        let refused = boat.post("/campaigns", key, &draft).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{audience}"
        );
        assert_eq!(refused.json()["field"], "audience");
    }
    draft["list"] = json!("00");
    let both = boat.post("/campaigns", "d", &draft).await;
    assert_eq!(both.json()["field"], "list");
}
