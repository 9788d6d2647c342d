//! Conversations where the agents already are: over a bridge both ways, each message once, although the node that carries
//! it is killed between a customer's words and an answer.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use lifeboat::model::limits;
use lifeboat::{clock, durable};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::harness::browser::ticket;
use crate::harness::ears::{send, texts};
use crate::harness::stage::{Stage, play};
use crate::harness::{WAIT, attacker, meanwhile, tell, until, until_within};

const SECRET: &str = "secret-of-the-bridge-of-this-story";

/// What came, by the id that tells a repeat, in the order of the first arrival.
#[derive(Default)]
struct Room {
    came: Vec<(String, Value)>,
    arrivals: usize,
    /// So many are taken and then not answered.
    loses: usize,
    /// Whatever comes is taken, and its connection is left open without an answer.
    stalls: bool,
    /// The port that such a connection came from.
    stalled: Option<u16>,
}

type Shared = Arc<Mutex<Room>>;

/// A program at the other end of a bridge, which knows a repeat by its id.
async fn room(loses: usize) -> Result<(String, Shared)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}/hooks/of-this-room", listener.local_addr()?);
    let room: Shared = Arc::new(Mutex::new(Room {
        loses,
        ..Room::default()
    }));
    let shared = room.clone();
    tokio::spawn(async move {
        while let Ok((stream, from)) = listener.accept().await {
            let shared = shared.clone();
            tokio::spawn(async move {
                let taking = service_fn(|it| take(it, from.port(), shared.clone()));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), taking)
                    .await;
            });
        }
    });
    Ok((url, room))
}

async fn take(
    request: Request<Incoming>,
    from: u16,
    room: Shared,
) -> std::io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?;
    let body = body.to_bytes();
    let text = |name: &str| {
        let value = head.headers.get(name).and_then(|it| it.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (id, at) = (text("webhook-id"), text("webhook-timestamp"));
    let signed = text("webhook-signature") == signature(&id, &at, &body);
    let (lost, stalls) = {
        let mut room = room.lock().unwrap();
        if signed {
            room.arrivals += 1;
            if !room.came.iter().any(|it| it.0 == id) {
                let said = serde_json::from_slice(&body).unwrap_or_default();
                room.came.push((id, said));
            }
        }
        if room.stalls {
            room.stalled = Some(from);
        }
        (room.arrivals <= room.loses, room.stalls)
    };
    if lost {
        return Err(std::io::ErrorKind::ConnectionReset.into());
    }
    if stalls {
        // Ends with the connection, which ends with the node.
        std::future::pending::<()>().await;
    }
    let status = if signed { 200 } else { 401 };
    let answer = Response::builder().status(status);
    answer
        .body(Full::new(Bytes::new()))
        .map_err(std::io::Error::other)
}

fn signature(id: &str, at: &str, body: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", body].concat();
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed).as_ref()))
}

/// An agent in the room answers, by the console's door of a node; a repeat has the same id. Gives the status.
async fn answers(stage: &Stage, place: usize, code: &str, text: &str, id: &str) -> Result<String> {
    let body = json!({
        "version": 1, "kind": "answer", "conversation": code, "text": text, "author": "jana",
    })
    .to_string();
    let at = (clock::now().0 / 1_000).to_string();
    let signature = signature(id, &at, body.as_bytes());
    let to = stage.nodes[place].console();
    let mut stream = attacker::tls(&stage.ca(), Ipv4Addr::LOCALHOST, to, "http/1.1").await?;
    let request = format!(
        "POST /api/v1/bridges/room/answers HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n\
         content-type: application/json\r\nwebhook-id: {id}\r\nwebhook-timestamp: {at}\r\n\
         webhook-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        to.port(),
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = String::new();
    let mut reading = BufReader::new(stream);
    timeout(WAIT, reading.read_line(&mut line)).await??;
    let status = line.split(' ').nth(1).unwrap_or_default();
    Ok(status.to_owned())
}

/// A conversation with one message: its path and ticket code.
pub async fn begun(stage: &Stage, place: usize, text: &str) -> Result<(String, String)> {
    let mut browser = stage.browser()?;
    let at = stage.nodes[place].https();
    let form = browser.form(at).await?;
    // What comes back faster than a person writes is set apart from those who wait.
    meanwhile(Duration::from_millis(limits::FORM_AGE_MS_MIN + 100)).await;
    let typed = [("contact", "+420 123 456 789"), ("text", text)];
    let answer = browser.send(at, &form, &typed).await?;
    let path = answer.taken()?.split('?').next();
    let path = path.unwrap_or_default().to_owned();
    let page = browser.read(at, &path).await?;
    let code = ticket(&page).context("no ticket code")?;
    Ok((path, code))
}

/// Which node's process has the connection that comes from this port of this machine.
fn sender(stage: &Stage, port: u16) -> Result<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let from = format!("0100007F:{port:04X}");
    let mut lines = table
        .lines()
        .map(|it| it.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|it| it.get(1).is_some_and(|it| *it == from));
    let line = line.context("no such connection")?;
    let inode = line.get(9).context("no inode")?;
    let socket = format!("socket:[{inode}]");
    let holds = |place: &usize| -> Option<bool> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", stage.nodes[*place].pid().ok()?));
        let mut open = open.ok()?.flatten();
        Some(
            open.any(|it| std::fs::read_link(it.path()).is_ok_and(|it| it.as_os_str() == &*socket)),
        )
    };
    let mut all = 0..stage.nodes.len();
    all.find(|it| holds(it) == Some(true))
        .context("no node has it")
}

/// The numbers of what came, and what was said, in the order of the first arrival.
fn came(room: &Shared) -> Vec<(u64, String)> {
    let room = room.lock().unwrap();
    let of = |it: &Value| {
        let text = it["text"].as_str().unwrap_or_default().to_owned();
        (it["number"].as_u64().unwrap_or_default(), text)
    };
    room.came.iter().map(|it| of(&it.1)).collect()
}

/// Makes the bridge on one node.
async fn bridged(stage: &Stage, url: &str) -> Result<()> {
    let file = |name: &str, text: &str| -> Result<String> {
        let path = stage.folder().join(name);
        durable::write_secret_durably(&path, text.as_bytes())?;
        Ok(path.display().to_string())
    };
    let (url, secret) = (file("bridge.url", url)?, file("bridge.secret", SECRET)?);
    let add = [
        "bridge",
        "add",
        "room",
        "--kind",
        "webhook",
        "--url-file",
        &url,
        "--secret-file",
        &secret,
    ];
    stage.nodes[0].done(&add).await?;
    Ok(())
}

/// The customer says something, and whoever carries it is killed after the room has it and before the node knows.
async fn killed_at_work(stage: &mut Stage, room: &Shared, path: &str) -> Result<usize> {
    room.lock().unwrap().stalls = true;
    let said = ("00112233445566778899aabbccddee01", "Hello?");
    send(&stage.ca(), stage.nodes[0].https(), path, said).await?;
    let port = until("the second is on its way", async || {
        Ok(room.lock().unwrap().stalled)
    })
    .await?;
    let carrier = sender(stage, port)?;
    stage.nodes[carrier].kill().await?;
    room.lock().unwrap().stalls = false;
    let rest = stage.others(&[carrier]);
    until("the two others agree", async || {
        Ok(stage.leader_among(&rest).await.ok())
    })
    .await?;
    Ok(carrier)
}

async fn taken(stage: &Stage, place: usize, code: &str) -> Result<()> {
    let status = answers(stage, place, code, "We look.", "msg_1").await?;
    anyhow::ensure!(status == "200" || status == "202", "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_words_and_answers_cross_a_bridge_once_although_the_node_that_carries_them_is_killed()
-> Result<()> {
    play(3, async |stage| {
        let (url, room) = room(1).await?;
        bridged(stage, &url).await?;
        // The first is taken and its answer lost: it comes again under the same id.
        let (path, code) = begun(stage, 0, "My site is gone.").await?;
        until("the first message is there, twice sent", async || {
            let twice = room.lock().unwrap().arrivals >= 2;
            Ok((twice && came(&room).len() == 1).then_some(()))
        })
        .await?;

        let carrier = killed_at_work(stage, &room, &path).await?;
        let began = clock::monotonic();
        // The room answers, and says it again to another node as it did not hear that it was taken.
        let rest = stage.others(&[carrier]);
        for place in &rest {
            taken(stage, *place, &code).await?;
        }
        let within = Duration::from_millis(2 * limits::MAIL_LEASE_MS);
        until_within("another node carries it", within, async || {
            let again = room.lock().unwrap().arrivals >= 4;
            Ok(again.then_some(()))
        })
        .await?;
        tell(&format!(
            "carried by another node {:?} after the kill",
            began.elapsed()
        ));
        let said = ("00112233445566778899aabbccddee02", "Still gone.");
        send(&stage.ca(), stage.nodes[rest[1]].https(), &path, said).await?;
        stage.nodes[carrier].up().await?;

        let wanted = [(1, "My site is gone."), (2, "Hello?"), (4, "Still gone.")];
        let wanted = wanted.map(|(number, it)| (number, it.to_owned()));
        until("everything is there", async || {
            Ok((came(&room).len() >= wanted.len()).then_some(()))
        })
        .await?;
        taken(stage, carrier, &code).await?;
        let whole = ["My site is gone.", "Hello?", "We look.", "Still gone."];
        for node in &stage.nodes {
            until("every node has all of it once", async || {
                let all = node.json(&["conversations", "show", &code]).await?;
                Ok((texts(&all["messages"]) == whole).then_some(()))
            })
            .await?;
        }
        anyhow::ensure!(came(&room) == wanted, "{:?}", came(&room));
        let listed = stage.nodes[rest[0]].json(&["bridge", "list"]).await?;
        let it = &listed["bridges"][0];
        let done = it["carried"] == 3 && it["behind"] == 0 && it["given_up"] == 0;
        anyhow::ensure!(done, "{it}");
        Ok(())
    })
    .await
}
