//! Pages over HTTP/1.1 and HTTP/2, handshakes, and what an idle connection keeps in memory: Lifeboat beside nginx and
//! h2o. h2load asks for pages, since it costs least; handshakes and idle connections are made here.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::Run;
use crate::boat::Boat;
use crate::client;
use crate::machine::{Meter, Server, memory_kb, pause};
use crate::peers::Peer;
use crate::table::{Figure, OURS};

/// Handshakes under way at a time.
const HANDSHAKES: usize = 24;
/// Connections opened at a time where they then stay open.
const OPENERS: usize = 16;

const H1: Figure = Figure {
    name: "page of 10 kB over HTTP/1.1, server's processor time",
    unit: "us a request",
    goal: Some(("nginx", 100)),
};
const H2: Figure = Figure {
    name: "page of 10 kB over HTTP/2, server's processor time",
    unit: "us a request",
    goal: Some(("nginx", 100)),
};
const HANDSHAKE: Figure = Figure {
    name: "full TLS 1.3 handshake and a small page, server's processor time",
    unit: "us a connection",
    goal: Some(("nginx", 65)),
};
const IDLE: Figure = Figure {
    name: "memory of an idle TLS connection",
    unit: "kB",
    goal: Some(("nginx", 150)),
};

/// A web server with a website.
struct Contestant {
    name: &'static str,
    at: SocketAddr,
    server: Running,
}

enum Running {
    Ours(Boat),
    Theirs(Server),
}

impl Contestant {
    async fn launch(run: &Run, peer: Option<Peer>) -> Result<Contestant> {
        let Some(peer) = peer else {
            let boat = Boat::launch(&run.stage, run.port, 1).await?;
            boat.publish(&run.stage.website())?;
            let at = boat.nodes[0].https;
            return Ok(Contestant {
                name: OURS,
                at,
                server: Running::Ours(boat),
            });
        };
        let port = run.port + 50 + u16::from(peer == Peer::H2o);
        let (server, at) = peer.launch(&run.stage, port).await?;
        Ok(Contestant {
            name: peer.name(),
            at,
            server: Running::Theirs(server),
        })
    }

    fn server(&self) -> Result<&Server> {
        match &self.server {
            Running::Ours(boat) => boat.servers().next().context("no node runs"),
            Running::Theirs(server) => Ok(server),
        }
    }
}

fn everyone() -> impl Iterator<Item = Option<Peer>> {
    [None].into_iter().chain(Peer::ALL.map(Some))
}

/// The page by both protocols, and handshakes.
///
/// # Errors
/// When a contestant does not come up or answers wrongly.
pub async fn pages_and_handshakes(run: &mut Run, wanted: &[&str]) -> Result<()> {
    let mut contestants = Vec::new();
    for peer in everyone() {
        contestants.push(Contestant::launch(run, peer).await?);
    }
    for round in 0..run.rounds {
        for it in &contestants {
            if wanted.contains(&"h1") {
                load(run, it, H1, &["--h1", "-c", "32"], round).await?;
            }
        }
        for it in &contestants {
            if wanted.contains(&"h2") {
                load(run, it, H2, &["-c", "8", "-m", "16"], round).await?;
            }
        }
        for it in &contestants {
            if wanted.contains(&"handshakes") {
                shake_hands(run, it, round).await?;
            }
        }
    }
    Ok(())
}

/// One run of h2load against one contestant.
async fn load(
    run: &mut Run,
    it: &Contestant,
    figure: Figure,
    how: &[&str],
    round: usize,
) -> Result<()> {
    let (requests, page) = (
        run.requests.to_string(),
        format!("https://localhost:{}/", it.at.port()),
    );
    let meter = Meter::start([it.server()?]);
    let said = tokio::process::Command::new("h2load")
        .args([
            "-t",
            "1",
            "-n",
            &requests,
            "--tls13-ciphers=TLS_AES_128_GCM_SHA256",
            "--groups=X25519",
        ])
        .arg(format!("--connect-to={}", it.at))
        .args(how)
        .arg(page)
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("cannot run h2load")?;
    let reading = meter.read();
    let said = String::from_utf8_lossy(&said.stdout);
    let good = number_before(&said, " 2xx").unwrap_or(0);
    anyhow::ensure!(
        good == run.requests,
        "{} answered {good} of {requests}: {said}",
        it.name
    );
    let us = reading.us_each(good);
    let rate = good as f64 / reading.wall;
    println!(
        "# {} round {round} {}: {us:.1} us, {rate:.0}/s, {}",
        figure.name,
        it.name,
        reading.told()
    );
    run.table.add(figure, it.name, us);
    run.table.note_foreign(reading.foreign);
    Ok(())
}

/// The number that stands before a word.
fn number_before(text: &str, word: &str) -> Option<u64> {
    let before = &text[..text.find(word)?];
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// New connections, one after the other, each with one small page.
async fn shake_hands(run: &mut Run, it: &Contestant, round: usize) -> Result<()> {
    let trust = client::connector(&run.stage.certificate(), "http/1.1")?;
    let end = Instant::now() + Duration::from_secs_f64(run.seconds);
    let meter = Meter::start([it.server()?]);
    let mut callers = JoinSet::new();
    for _ in 0..HANDSHAKES {
        let (trust, at) = (trust.clone(), it.at);
        callers.spawn(async move {
            let mut count = 0;
            while Instant::now() < end {
                open(&trust, at, "/small.txt").await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0_u64;
    while let Some(caller) = callers.join_next().await {
        count += caller??;
    }
    let reading = meter.read();
    let us = reading.us_each(count);
    let rate = count as f64 / reading.wall;
    println!(
        "# handshakes round {round} {}: {us:.1} us, {rate:.0}/s, {}",
        it.name,
        reading.told()
    );
    run.table.add(HANDSHAKE, it.name, us);
    run.table.note_foreign(reading.foreign);
    Ok(())
}

/// A new connection with one page read over it.
async fn open(
    trust: &TlsConnector,
    at: SocketAddr,
    path: &str,
) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let mut stream = client::connect(trust, at).await?;
    let (status, body) = client::get(&mut stream, at.port(), path).await?;
    anyhow::ensure!(
        status.contains(" 200 ") && !body.is_empty(),
        "{path} answers {status}"
    );
    Ok(stream)
}

/// Memory of connections that have read a page and stay open. Each contestant is started anew for it.
///
/// # Errors
/// When a contestant does not come up or loses a connection.
pub async fn idle(run: &mut Run) -> Result<()> {
    let trust = client::connector(&run.stage.certificate(), "http/1.1")?;
    for peer in everyone() {
        let it = Contestant::launch(run, peer).await?;
        for _ in 0..200 {
            open(&trust, it.at, "/").await?;
        }
        pause(Duration::from_secs(1)).await;
        let before = memory_kb(it.server()?);
        let mut openers = JoinSet::new();
        for opener in 0..OPENERS {
            let (trust, at) = (trust.clone(), it.at);
            let share = run.idle / OPENERS + usize::from(opener < run.idle % OPENERS);
            openers.spawn(async move {
                let mut held = Vec::with_capacity(share);
                for _ in 0..share {
                    held.push(open(&trust, at, "/").await?);
                }
                anyhow::Ok(held)
            });
        }
        let mut held = Vec::new();
        while let Some(opener) = openers.join_next().await {
            held.extend(opener??);
        }
        pause(Duration::from_secs(2)).await;
        let each = (memory_kb(it.server()?) - before) / held.len() as f64;
        println!(
            "# idle {}: {before:.0} kB before, {each:.1} kB for each of {}",
            it.name,
            held.len()
        );
        run.table.add(IDLE, it.name, each);
    }
    Ok(())
}
