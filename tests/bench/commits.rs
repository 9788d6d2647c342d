//! Writes that a majority has on disk, Lifeboat beside etcd: three nodes each, both spoken to over eight TLS
//! connections with HTTP/2. Ours is the whole way of a customer's message: the form, the letterbox, the agreement and
//! the page that says so. Each round starts with empty clusters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::SendRequest;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Run;
use crate::boat::Boat;
use crate::client;
use crate::etcd::{self, Etcd, Pulse};
use crate::machine::{Meter, Server, pause};
use crate::stage::Stage;
use crate::table::{Figure, OURS, percentile};

/// Connections that clients share, as etcd's own client library would.
const CONNECTIONS: usize = 8;
/// What is written, beside the key or the address.
const TEXT: &str = "Our shop does not answer since this morning, neither the web nor the mail; customers ring us up \
    and we do not know what to tell them. Please say when it will be back, and whether orders of last night are kept.";
/// A form that comes back faster than this is kept apart as a machine's.
const TYPING: Duration = Duration::from_millis(2_100);

/// Clients at a time, with the figures for it.
const CROWDS: [(usize, Figure, Figure); 3] = [
    (
        1,
        time("write, 1 client, time a write"),
        spent("write, 1 client, processor time of three nodes"),
    ),
    (
        16,
        time("write, 16 clients, time a write"),
        spent("write, 16 clients, processor time of three nodes"),
    ),
    (
        256,
        time("write, 256 clients, time a write"),
        spent("write, 256 clients, processor time of three nodes"),
    ),
];

const fn time(name: &'static str) -> Figure {
    Figure {
        name,
        unit: "us a write",
        goal: Some(("etcd", 100)),
    }
}

const fn spent(name: &'static str) -> Figure {
    Figure {
        name,
        unit: "us a write",
        goal: None,
    }
}

/// Where a client writes.
#[derive(Clone)]
pub enum Way {
    /// A form on a Lifeboat node, with its token.
    Form(Arc<str>),
    /// A put to an etcd member.
    Put,
}

impl Way {
    /// Opens a form on a Lifeboat node, and waits as long as a person types.
    ///
    /// # Errors
    /// When there is none.
    pub async fn form(stage: &Stage, at: SocketAddr) -> Result<Way> {
        let trust = client::connector(&stage.certificate(), "http/1.1")?;
        let mut stream = client::connect(&trust, at).await?;
        let (_, page) = client::get(&mut stream, at.port(), "/write").await?;
        let page = String::from_utf8_lossy(&page);
        let token = page.split("name=\"token\" value=\"").nth(1);
        let token = token
            .and_then(|rest| rest.split('"').next())
            .context("no form")?;
        pause(TYPING).await;
        Ok(Way::Form(token.into()))
    }

    /// One write, no two alike.
    ///
    /// # Errors
    /// When it was not taken.
    pub async fn write(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        at: SocketAddr,
        number: u64,
    ) -> Result<()> {
        let Way::Form(token) = self else {
            let key = format!("customers/shop.example/{number:040}");
            return etcd::put(sender, at, key.as_bytes(), TEXT.as_bytes()).await;
        };
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("contact", &format!("customer{number}@shop.example"))
            .append_pair("text", TEXT)
            .append_pair("reference", "")
            .append_pair("website", "")
            .finish();
        let request = Request::post(format!("https://localhost:{}/write", at.port()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))?;
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let page = answer.into_body().collect().await?.to_bytes();
        let taken = status == hyper::StatusCode::SEE_OTHER;
        anyhow::ensure!(taken, "the form was not taken: {status} {page:?}");
        Ok(())
    }
}

/// All crowds, round by round.
///
/// # Errors
/// When a cluster does not come up or loses a write.
pub async fn commits(run: &mut Run) -> Result<()> {
    for round in 0..run.rounds {
        let boat = Boat::launch(&run.stage, run.port, 3).await?;
        let at = boat.nodes[boat.all_vote().await?].https;
        let way = Way::form(&run.stage, at).await?;
        let servers: Vec<&Server> = boat.servers().collect();
        for crowd in CROWDS {
            write(run, OURS, &servers, at, &way, crowd, round).await?;
        }
        drop(boat);
        let pulse = Pulse {
            heartbeat: 100,
            election: 1_000,
        };
        let etcd = Etcd::launch(&run.stage, run.port + 50, pulse).await?;
        let (_, at) = etcd.members[etcd.leader(&run.stage).await?];
        let servers: Vec<&Server> = etcd.members.iter().map(|(server, _)| server).collect();
        for crowd in CROWDS {
            write(run, "etcd", &servers, at, &Way::Put, crowd, round).await?;
        }
    }
    Ok(())
}

/// One crowd writes to one cluster for a while.
async fn write(
    run: &mut Run,
    name: &str,
    servers: &[&Server],
    at: SocketAddr,
    way: &Way,
    (clients, time, spent): (usize, Figure, Figure),
    round: usize,
) -> Result<()> {
    let trust = client::connector(&run.stage.certificate(), "h2")?;
    let mut connections = Vec::new();
    for _ in 0..clients.min(CONNECTIONS) {
        connections.push(client::http2(&trust, at).await?);
    }
    let next = Arc::new(AtomicU64::new(1_000_000 * clients as u64));
    // The first writes open files and connections; they are nobody's speed.
    for _ in 0..20 {
        let number = next.fetch_add(1, Ordering::Relaxed);
        way.write(&mut connections[0], at, number).await?;
    }
    let meter = Meter::start(servers.iter().copied());
    let end = Instant::now() + Duration::from_secs_f64(run.seconds);
    let mut crowd = JoinSet::new();
    for client in 0..clients {
        let (mut sender, way, next) = (
            connections[client % connections.len()].clone(),
            way.clone(),
            next.clone(),
        );
        crowd.spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                let number = next.fetch_add(1, Ordering::Relaxed);
                way.write(&mut sender, at, number).await?;
                took.push(began.elapsed().as_secs_f64() * 1e6);
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(client) = crowd.join_next().await {
        took.extend(client??);
    }
    let reading = meter.read();
    let count = took.len() as u64;
    let each = reading.wall * 1e6 / count as f64;
    println!(
        "# {} round {round} {name}: {count} writes, {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {:.0} us of processor, {}",
        time.name,
        1e6 / each,
        percentile(&took, 50) / 1e3,
        percentile(&took, 99) / 1e3,
        reading.us_each(count),
        reading.told()
    );
    run.table.add(time, name, each);
    run.table.add(spent, name, reading.us_each(count));
    run.table.note_foreign(reading.foreign);
    Ok(())
}
