//! Publishing over the API: taken in, checked, kept, agreed on, live, and back.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;

use super::boat::{Boat, Weather, until};

/// A .tar of these files.
fn tar(files: &[(&str, &str)]) -> Bytes {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    archive.into_inner().unwrap().into()
}

async fn publish(boat: &Boat, query: &str, archive: Bytes) -> super::boat::Got {
    boat.ask(
        "POST",
        &format!("/site{query}"),
        &[("idempotency-key", "p")],
        archive,
    )
    .await
}

fn live(boat: &Boat) -> Option<String> {
    boat.cluster.state().sites.live.map(|it| it.to_string())
}

#[tokio::test]
async fn a_site_is_published_goes_live_is_previewed_and_rolled_back() {
    let boat = Boat::afloat().await;
    let first = tar(&[
        ("index.html", "<h1>one</h1>"),
        ("a.css", "h1{}"),
        (".git/x", "y"),
    ]);
    let got = publish(&boat, "?note=first", first.clone()).await;
    assert_eq!(got.status, StatusCode::OK, "{:?}", got.json());
    let publication = got.json();
    assert_eq!(
        (&publication["files"], &publication["left_out"]),
        (&json!(2), &json!([".git/x"]))
    );
    assert_eq!(publication["changes"]["added"], 2);
    let one = publication["version"].as_str().unwrap().to_owned();
    until("it is live", || live(&boat).as_ref() == Some(&one)).await;

    let again = publish(&boat, "?note=first", first).await.json();
    assert_eq!(
        again["version"],
        one.as_str(),
        "a repeat under the same key is the same publication"
    );

    let second = tar(&[("index.html", "<h1>two</h1>"), ("b.css", "h1{}")]);
    let got = publish(&boat, "?dry_run=true", second.clone()).await.json();
    assert_eq!(got["version"], serde_json::Value::Null);
    assert_eq!(
        got["changes"],
        json!({
            "added": 1, "changed": 1, "removed": 1, "names": ["+ b.css", "~ index.html", "- a.css"],
        })
    );
    assert_eq!(live(&boat).as_ref(), Some(&one), "a look changes nothing");

    let two = publish(&boat, "", second).await.json()["version"]
        .as_str()
        .unwrap()
        .to_owned();
    until("it is live", || live(&boat).as_ref() == Some(&two)).await;
    let got = boat.get(&format!("/site/preview/{one}/index.html")).await;
    assert_eq!(
        (got.body.as_ref(), got.media.as_str()),
        (&b"<h1>one</h1>"[..], "text/html; charset=utf-8")
    );
    assert_eq!(
        boat.get(&format!("/site/preview/{one}/none")).await.status,
        StatusCode::NOT_FOUND
    );

    let got = boat.get(&format!("/site/bundles/{one}")).await;
    let kept = boat.cluster.state().sites.versions.values().next().cloned();
    assert_eq!(got.body.len() as u64, kept.unwrap().size);

    let got = boat
        .post("/site/rollback", "r", &json!({ "version": one }))
        .await
        .json();
    assert_eq!(
        (&got["live"], &got["holders"]),
        (&json!(true), &json!(["n1"]))
    );
    let listed = boat.get("/site").await.json();
    let states: Vec<_> = listed["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["live"])
        .collect();
    assert_eq!(states, [false, true], "newest first");
    assert_eq!(listed["versions"][1]["note"], "first");
    let got = boat
        .post("/site/rollback", "s", &json!({ "version": "v9999" }))
        .await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_bad_bundle_is_refused_with_the_file_named_and_leaves_nothing() {
    let boat = Boat::afloat().await;
    for (archive, says) in [
        (tar(&[("a.html", "x")]), "index.html"),
        (Bytes::from_static(b"hello"), "neither a folder nor"),
        (Bytes::new(), "neither a folder nor"),
        (
            tar(&[("index.html", "x"), ("INDEX.html", "y")]),
            "INDEX.html",
        ),
    ] {
        let got = publish(&boat, "", archive).await;
        assert_eq!(got.status, StatusCode::CONFLICT);
        let problem = got.json();
        assert_eq!(problem["type"], "urn:lifeboat:problem:refused");
        assert!(
            problem["detail"].as_str().unwrap().contains(says),
            "{problem}"
        );
    }
    assert!(boat.cluster.state().sites.versions.is_empty());
    assert!(!boat.data_dir().join("site.upload").exists());
    let long = "x".repeat(301);
    let got = publish(&boat, &format!("?note={long}"), tar(&[("index.html", "x")])).await;
    assert_eq!(got.json()["field"], "note");
    assert_eq!(
        publish(&boat, "?nope=1", Bytes::new()).await.json()["field"],
        "the query"
    );
}

#[tokio::test]
async fn publishing_needs_a_majority_and_looking_does_not() {
    let boat = Boat::afloat().await;
    boat.weather(Weather::Alone);
    let archive = tar(&[("index.html", "x")]);
    let got = publish(&boat, "", archive.clone()).await;
    assert_eq!(got.json()["type"], "urn:lifeboat:problem:no-majority");
    assert_eq!(
        publish(&boat, "?dry_run=true", archive).await.json()["files"],
        1
    );
}
