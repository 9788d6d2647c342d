//! From the death of a leader to the next write that a majority has: Lifeboat with its near profile, etcd as it comes
//! and tuned. The leader is killed as by kill -9; from then on the others are asked, one after the other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::Run;
use crate::boat::Boat;
use crate::client;
use crate::commits::Way;
use crate::etcd::{Etcd, Pulse};
use crate::machine::pause;
use crate::table::{Figure, OURS, percentile};

/// How often survivors are asked.
const EVERY: Duration = Duration::from_millis(10);
/// The longest that is waited for the next write.
const PATIENCE: Duration = Duration::from_secs(30);
/// A Lifeboat node says "held here" after two seconds: what took longer may be that, and is not counted as agreed.
const HELD_AFTER: Duration = Duration::from_millis(1_950);
/// What is wanted of the near profile, in seconds.
const GOALS: [(usize, f64); 2] = [(50, 1.2), (99, 2.0)];

const NEXT_WRITE: Figure = Figure {
    name: "leader killed to next write",
    unit: "ms",
    goal: None,
};

/// Kills leaders.
///
/// # Errors
/// When a cluster does not come back.
pub async fn failover(run: &mut Run) -> Result<()> {
    let trust = client::connector(&run.stage.certificate(), "h2")?;
    let mut boat = Boat::launch(&run.stage, run.port, 3).await?;
    let way = Way::form(&run.stage, boat.nodes[0].https).await?;
    let mut ours = Vec::new();
    for trial in 0..run.trials {
        let leader = boat.all_vote().await?;
        // A leader that has just been elected is no ordinary one.
        pause(Duration::from_millis(500)).await;
        let survivors: Vec<SocketAddr> = (0..3)
            .filter(|&at| at != leader)
            .map(|at| boat.nodes[at].https)
            .collect();
        let senders = senders(&trust, &survivors).await?;
        let mut server = boat.nodes[leader]
            .server
            .take()
            .context("the leader runs")?;
        server.kill()?;
        let ms = next_write(&way, senders, trial).await? * 1e3;
        println!("# failover trial {trial} lifeboat: {ms:.0} ms");
        ours.push(ms / 1e3);
        run.table.add(NEXT_WRITE, OURS, ms);
        boat.start(leader).await?;
    }
    drop(boat);
    for (name, pulse, trials) in [
        (
            "etcd 30/300 ms",
            Pulse {
                heartbeat: 30,
                election: 300,
            },
            run.trials.div_ceil(5),
        ),
        (
            "etcd 100/1000 ms",
            Pulse {
                heartbeat: 100,
                election: 1_000,
            },
            run.trials.div_ceil(10),
        ),
    ] {
        for trial in 0..trials {
            let mut etcd = Etcd::launch(&run.stage, run.port + 50, pulse).await?;
            pause(Duration::from_millis(1_500)).await;
            let leader = etcd.leader(&run.stage).await?;
            let (mut server, _) = etcd.members.remove(leader);
            let survivors: Vec<SocketAddr> = etcd.members.iter().map(|(_, at)| *at).collect();
            let senders = senders(&trust, &survivors).await?;
            server.kill()?;
            let ms = next_write(&Way::Put, senders, trial).await? * 1e3;
            println!("# failover trial {trial} {name}: {ms:.0} ms");
            run.table.add(NEXT_WRITE, name, ms);
        }
    }
    for (percent, goal) in GOALS {
        let found = percentile(&ours, percent);
        let word = if found <= goal { "reached" } else { "MISSED" };
        println!(
            "# leader killed to next write, near: p{percent} {found:.2} s of {goal:.1} s, {word}"
        );
    }
    Ok(())
}

type Sender = (SendRequest<Full<Bytes>>, SocketAddr);

async fn senders(trust: &TlsConnector, to: &[SocketAddr]) -> Result<Vec<Sender>> {
    let mut senders = Vec::new();
    for at in to {
        senders.push((client::http2(trust, *at).await?, *at));
    }
    Ok(senders)
}

/// Seconds until the first write is taken, with a new one every 10 ms.
async fn next_write(way: &Way, senders: Vec<Sender>, trial: usize) -> Result<f64> {
    let began = Instant::now();
    let mut tries = JoinSet::new();
    let mut ticks = tokio::time::interval(EVERY);
    let mut number = 1_000_000_000 + 1_000_000 * trial as u64;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                anyhow::ensure!(began.elapsed() < PATIENCE, "no write is taken any more");
                number += 1;
                let (mut sender, at) = senders[usize::try_from(number)? % senders.len()].clone();
                let way = way.clone();
                tries.spawn(async move {
                    let asked = Instant::now();
                    way.write(&mut sender, at, number).await?;
                    anyhow::Ok(asked.elapsed())
                });
            }
            Some(tried) = tries.join_next() => {
                if let Ok(Ok(took)) = tried && took < HELD_AFTER {
                    return Ok(began.elapsed().as_secs_f64());
                }
            }
        }
    }
}
