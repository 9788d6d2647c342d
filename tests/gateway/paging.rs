//! P5: whoever is on call is woken by one way after the other, whichever node dies meanwhile, until somebody answers; and
//! nobody afterwards. What machines tell waits for a person.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use lifeboat::clock;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::browser::Form;
use crate::harness::recorder::Recorder;
use crate::harness::stage::Stage;
use crate::harness::{meanwhile, tell, until, until_within};

/// What a gateway was asked: path, authorization, key and body.
type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A gateway that takes what comes to `/sms` and refuses what comes to `/broken`.
async fn gateway() -> Result<(String, Asked)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let asked = Asked::default();
    let heard = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let answering = service_fn(|it| answer(it, heard.clone()));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answering)
                    .await;
            });
        }
    });
    Ok((url, asked))
}

async fn answer(
    request: Request<Incoming>,
    asked: Asked,
) -> std::io::Result<Response<Full<Bytes>>> {
    let path = request.uri().path().to_owned();
    let key = request.headers().get("authorization").cloned();
    let key = key.and_then(|it| it.to_str().map(str::to_owned).ok());
    let body = request.into_body().collect().await;
    let body = body.map_err(std::io::Error::other)?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let status = match path.as_str() {
        "/broken" => StatusCode::PAYMENT_REQUIRED,
        _ => StatusCode::OK,
    };
    asked
        .lock()
        .unwrap()
        .push((path, key.unwrap_or_default(), body));
    let mut answer = Response::new(Full::new(Bytes::from_static(b"noted")));
    *answer.status_mut() = status;
    Ok(answer)
}

/// Three nodes that mail to the recorder.
async fn three(recorder: &Recorder) -> Result<Stage> {
    Stage::mailing(3, recorder.at.port(), "").await
}

/// Jana leads: a push that fails, then mail; Petr comes next, by SMS.
async fn on_call(stage: &Stage, url: &str) -> Result<()> {
    let node = &stage.nodes[0];
    let body = r#"{"to":"{to}","text":"{text}","key":"{key}"}"#;
    for (name, kind, path) in [("push", "push", "broken"), ("texts", "sms", "sms")] {
        let to = format!("{url}/{path}");
        let words = [
            "wake",
            "add-gateway",
            name,
            "--serves",
            kind,
            "--to",
            &to,
            "--header",
            "Authorization: Bearer {secret}",
            "--header",
            "Content-Type: application/json",
            "--body",
            body,
        ];
        node.told(&words, "a-secret-of-the-gateway").await?;
    }
    for name in ["jana", "petr"] {
        let words = [
            "people",
            "add",
            name,
            "--role",
            "shift-leader",
            "--lang",
            "en",
        ];
        node.done(&words).await?;
    }
    let jana = [
        "people",
        "ways",
        "jana",
        "push:jana-phone",
        "mail:jana@example.com",
    ];
    node.done(&jana).await?;
    node.done(&["people", "ways", "petr", "sms:+420777000111"])
        .await?;
    node.done(&["shift", "lead", "jana"]).await?;
    let order = ["wake", "order", "petr", "--wait", "6s", "--rest", "5s"];
    node.done(&order).await?;
    Ok(())
}

/// A waking, asked of the first node that answers.
async fn waking(stage: &Stage, id: &str) -> Result<Value> {
    for node in &stage.nodes {
        let Ok(listed) = node.json(&["wake", "list"]).await else {
            continue;
        };
        let all = listed["wakings"].as_array().context("no wakings")?;
        if let Some(found) = all.iter().find(|it| it["waking"] == id) {
            return Ok(found.clone());
        }
    }
    anyhow::bail!("no node knows waking {id}")
}

fn newest(listed: &Value) -> Result<String> {
    let first = &listed["wakings"][0]["waking"];
    Ok(first.as_str().context("no waking")?.to_owned())
}

fn sms(asked: &Asked) -> Vec<Value> {
    let asked = asked.lock().unwrap();
    let all = asked.iter().filter(|it| it.0 == "/sms");
    all.map(|it| it.2.clone()).collect()
}

/// The path of the address in a message.
fn address(text: &Value) -> Result<String> {
    let text = text["text"].as_str().context("no text")?;
    let at = text.find("/w/").context("no address in it")?;
    let path = text[at..].split_whitespace().next().context("no path")?;
    Ok(path.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn p5_somebody_is_woken_although_the_leader_dies_and_nobody_after_the_answer() -> Result<()> {
    let recorder = Recorder::begin(Duration::ZERO).await?;
    let (url, asked) = gateway().await?;
    let mut stage = three(&recorder).await?;
    let played = async {
        on_call(&stage, &url).await?;
        let alarms = stage.nodes[1].status().await?["alarms"].to_string();
        anyhow::ensure!(alarms.contains("was never seen to work"), "{alarms}");

        let began = clock::monotonic();
        let up = ["wake", "up", "No power in Prague"];
        let id = newest(&stage.nodes[1].json(&up).await?)?;
        until("Jana is mailed after her push failed", async || {
            Ok(recorder
                .taken()
                .contains_key("jana@example.com")
                .then_some(()))
        })
        .await?;
        tell(&format!(
            "mailed {:.1} s after it was asked for",
            began.elapsed().as_secs_f64()
        ));
        let tried = waking(&stage, &id).await?;
        anyhow::ensure!(tried["tries"][0]["state"] == "failed", "{tried}");
        anyhow::ensure!(sms(&asked).is_empty(), "Petr was woken before his time");

        let leader = stage.leader().await?;
        stage.nodes[leader].kill().await?;
        let within = Duration::from_secs(60);
        until_within(
            "Petr is woken although the leader is dead",
            within,
            async || Ok((!sms(&asked).is_empty()).then_some(())),
        )
        .await?;
        tell(&format!(
            "next person {:.1} s after it was asked for",
            began.elapsed().as_secs_f64()
        ));
        let first = sms(&asked)[0].clone();
        anyhow::ensure!(first["to"] == "+420777000111", "{first}");
        let path = address(&first)?;

        // A scanner follows the link: nothing happens.
        let mut browser = stage.browser()?;
        let other = stage.others(&[leader])[0];
        let at = stage.nodes[other].https();
        let page = browser.read(at, &path).await?;
        anyhow::ensure!(page.contains("I am awake"), "{page}");
        let still = waking(&stage, &id).await?;
        anyhow::ensure!(still["state"] == "going", "looking answered it: {still}");
        let wrong = format!("{}A", &path[..path.len() - 1]);
        let wrong = browser.get(at, &wrong).await?;
        anyhow::ensure!(
            wrong.status == StatusCode::NOT_FOUND || path.ends_with('A'),
            "{wrong:?}"
        );

        // Another node than the one that sent it, without signing in.
        let another = stage.others(&[leader])[1];
        let form = Form::of(&page, &format!("{path}?lang=en")).context("no button")?;
        let taken = browser
            .send(stage.nodes[another].https(), &form, &[])
            .await?;
        anyhow::ensure!(taken.status == StatusCode::OK, "{taken:?}");
        let answered = waking(&stage, &id).await?;
        anyhow::ensure!(answered["state"] == "answered", "{answered}");
        anyhow::ensure!(answered["answered_by"] == "petr", "{answered}");
        let (texts, mails) = (sms(&asked).len(), recorder.dots());
        // waits because nothing must come: longer than the way's time and the pause.
        meanwhile(Duration::from_secs(15)).await;
        anyhow::ensure!(
            sms(&asked).len() == texts,
            "Petr was woken after he answered"
        );
        anyhow::ensure!(
            recorder.dots() == mails,
            "Jana was woken after Petr answered"
        );
        let keys: Vec<String> = sms(&asked).iter().map(|it| it["key"].to_string()).collect();
        let mut once = keys.clone();
        once.dedup();
        anyhow::ensure!(keys == once, "a try was made twice: {keys:?}");

        stage.nodes[leader].up().await?;
        let order = stage.nodes[another].done(&["wake", "order"]).await?;
        anyhow::ensure!(
            order.contains("2. petr") && order.contains("worked"),
            "{order}"
        );
        proven(&stage, &recorder, another).await?;
        let record = stage.nodes[another].done(&["audit", "list"]).await?;
        anyhow::ensure!(record.contains("answer-waking"), "{record}");
        for node in &stage.nodes {
            let log = std::fs::read_to_string(&node.log)?;
            for secret in [
                "a-secret-of",
                "777000111",
                "jana@example.com",
                path.as_str(),
            ] {
                anyhow::ensure!(!log.contains(secret), "{}'s log has {secret}", node.name);
            }
        }
        Ok(())
    };
    let played = played.await;
    stage.end(played)
}

/// A test by hand goes out by every way at once.
async fn proven(stage: &Stage, recorder: &Recorder, node: usize) -> Result<()> {
    let before = recorder.dots();
    stage.nodes[node].done(&["people", "prove", "jana"]).await?;
    until("the test is mailed", async || {
        Ok((recorder.dots() > before).then_some(()))
    })
    .await
}
