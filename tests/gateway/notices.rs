//! P7: what cannot be taken back waits where everybody can stop it, leaves once although the leader dies meanwhile, and
//! is told again under the same key where an answer was lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use lifeboat::clock;
use lifeboat::model::limits::NOTICE_HOLD_MS;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::stage::{Stage, play};
use crate::harness::{tell, until, until_within};

/// What came to one address: the message's key and its bytes.
type Came = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Takes what comes; the first answers get lost, as many as `loses` says.
async fn listen(loses: usize) -> Result<(String, Came)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}/in", listener.local_addr()?);
    let came = Came::default();
    let heard = came.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let answering = service_fn(|it| answer(it, heard.clone(), loses));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answering)
                    .await;
            });
        }
    });
    Ok((url, came))
}

async fn answer(
    request: Request<Incoming>,
    came: Came,
    loses: usize,
) -> std::io::Result<Response<Full<Bytes>>> {
    let id = request.headers().get("webhook-id").cloned();
    let id = id.and_then(|it| it.to_str().map(str::to_owned).ok());
    let body = request.into_body().collect().await;
    let body = body.map_err(std::io::Error::other)?.to_bytes().to_vec();
    let mut came = came.lock().unwrap();
    came.push((id.unwrap_or_default(), body));
    if came.len() <= loses {
        return Err(std::io::ErrorKind::ConnectionReset.into());
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"taken"))))
}

/// How each channel's notice stands, asked of one node.
async fn standings(stage: &Stage, node: usize) -> Result<BTreeMap<String, String>> {
    let listed = stage.nodes[node].json(&["notice", "list"]).await?;
    let all = listed["notices"].as_array().context("no notices")?;
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    Ok(all
        .iter()
        .map(|it| (text(&it["channel"]), text(&it["state"])))
        .collect())
}

fn notice_through<'n>(notices: &'n [Value], channel: &str) -> Result<&'n str> {
    let mut all = notices.iter();
    let found = all.find(|it| it["channel"] == channel);
    let id = found.and_then(|it| it["notice"].as_str());
    id.with_context(|| format!("no notice through {channel}"))
}

/// Webhooks that are told unless somebody says otherwise.
async fn channels(stage: &Stage, all: [(&str, &String); 3]) -> Result<()> {
    for (name, url) in all {
        let words = [
            "channel", "add", name, "--kind", "webhook", "--to", url, "--usual",
        ];
        stage.nodes[0]
            .told(&words, "a-secret-of-this-channel")
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_what_is_told_outside_leaves_once_although_the_leader_dies_in_its_hold() -> Result<()> {
    play(3, async |stage| {
        let (hook, at_hook) = listen(0).await?;
        let (lossy, at_lossy) = listen(1).await?;
        let (quiet, at_quiet) = listen(0).await?;
        channels(
            stage,
            [("hook", &hook), ("lossy", &lossy), ("quiet", &quiet)],
        )
        .await?;
        let words = [
            "incident",
            "open",
            "--scenario",
            "power",
            "--with",
            "where=Prague",
        ];
        let began = clock::monotonic();
        let opened = stage.nodes[1].json(&words).await?;
        let notices = opened["notices"].as_array().context("no notices")?;
        anyhow::ensure!(notices.len() == 3, "{opened}");
        let stopped = notice_through(notices, "quiet")?;
        // Anybody stops it, on any node.
        stage.nodes[2].done(&["notice", "stop", stopped]).await?;

        let leader = stage.leader().await?;
        stage.nodes[leader].kill().await?;
        let other = stage.others(&[leader])[0];
        until("another node leads", async || {
            Ok(stage.leader_among(&stage.others(&[leader])).await.ok())
        })
        .await?;
        anyhow::ensure!(
            began.elapsed().as_millis() < u128::from(NOTICE_HOLD_MS),
            "the leader died too late for this story"
        );
        anyhow::ensure!(
            at_hook.lock().unwrap().is_empty(),
            "it left within its hold"
        );

        let within = std::time::Duration::from_millis(NOTICE_HOLD_MS * 2);
        until_within("both are told", within, async || {
            let now = standings(stage, other).await?;
            let sent = ["hook", "lossy"]
                .iter()
                .all(|it| now.get(*it).is_some_and(|it| it == "sent"));
            Ok(sent.then_some(()))
        })
        .await?;
        let took = began.elapsed();
        anyhow::ensure!(
            took.as_millis() >= u128::from(NOTICE_HOLD_MS),
            "it left after {took:?}"
        );
        tell(&format!(
            "told outside {:.1} s after it was said",
            took.as_secs_f64()
        ));
        stage.nodes[leader].up().await?;
        until("the node that died knows it too", async || {
            let now = standings(stage, leader).await?;
            let told = now["hook"] == "sent" && now["quiet"] == "stopped";
            Ok(told.then_some(()))
        })
        .await?;

        came_once(&at_hook, &at_lossy)?;
        anyhow::ensure!(
            at_quiet.lock().unwrap().is_empty(),
            "what was stopped has left"
        );
        Ok(())
    })
    .await
}

fn came_once(at_hook: &Came, at_lossy: &Came) -> Result<()> {
    let once = at_hook.lock().unwrap().clone();
    anyhow::ensure!(once.len() == 1, "told {} times", once.len());
    let twice = at_lossy.lock().unwrap().clone();
    anyhow::ensure!(twice.len() == 2, "told {} times", twice.len());
    anyhow::ensure!(twice[0] == twice[1], "the second try says something else");
    let body: Value = serde_json::from_slice(&once[0].1)?;
    let czech = body["titles"]["cs"].as_str().unwrap_or_default();
    anyhow::ensure!(czech.contains("Prague"), "{body}");
    anyhow::ensure!(once[0].0 != twice[0].0, "two notices have one key");
    Ok(())
}
