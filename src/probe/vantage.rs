//! Whether this node's own line can be believed. When it cannot reach the world, everything looks dead to it, and a node
//! that thinks so must not say that a target is down (P5).
//!
//! Its canaries are the configured anchors, asked by opening a connection, and the other nodes, whose answers to pings
//! are known anyway. At least half of them must answer. After a bad round it takes two good ones to be believed again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::look::connect;
use crate::clock;
use crate::cluster::Cluster;
use crate::model::limits::{PROBE_ANCHOR_MS, PROBE_VANTAGE_MS};

/// How often a round is made when nobody asks for one.
const EVERY: Duration = Duration::from_millis(PROBE_VANTAGE_MS);
/// The shortest time between two rounds, however often one is asked for.
const AT_MOST_EVERY: Duration = Duration::from_millis(200);
/// Good rounds in a row that it takes after a bad one.
const GOOD_AGAIN: u32 = 2;

/// What the last round of canaries showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// When the round began: it says nothing about anything later.
    pub(super) began: Instant,
    /// Enough canaries answer.
    pub(super) sound: bool,
    /// Canaries that had answered when it was clear.
    pub(super) answered: usize,
    /// All canaries.
    pub(super) of: usize,
}

/// Makes rounds for ever: regularly, and when `asked`.
pub(super) async fn keep_watch(
    cluster: Cluster,
    anchors: Vec<SocketAddr>,
    asked: Arc<Notify>,
    views: watch::Sender<Option<View>>,
) {
    let mut good_rounds = GOOD_AGAIN;
    loop {
        let began = clock::monotonic();
        let peers = cluster.health();
        let peers = peers.peers.iter().map(|peer| peer.reachable);
        let (answered, of) = round(peers, &anchors).await;
        good_rounds = if is_sound(answered, of) {
            good_rounds.saturating_add(1)
        } else {
            0
        };
        let view = View {
            began,
            sound: good_rounds >= GOOD_AGAIN,
            answered,
            of,
        };
        let before = views.send_replace(Some(view));
        tell(before, view);
        tokio::time::sleep_until(began + AT_MOST_EVERY).await;
        // Whoever asked gets a round, and so does the clock.
        let _ = timeout(EVERY, asked.notified()).await;
    }
}

fn tell(before: Option<View>, now: View) {
    let View { answered, of, .. } = now;
    match (before.is_none_or(|it| it.sound), now.sound) {
        (true, false) => warn!(
            answered,
            of, "too few canaries answer: this node does not say that anything is down"
        ),
        (false, true) => info!(answered, of, "the canaries answer again"),
        _ => {}
    }
}

/// At least half of them: a node among three that lost one neighbour is still with the majority.
fn is_sound(answered: usize, of: usize) -> bool {
    answered * 2 >= of
}

/// Asks all canaries, until it is clear what comes of it. How many answered by then, and how many there are.
async fn round(peers: impl Iterator<Item = bool>, anchors: &[SocketAddr]) -> (usize, usize) {
    let peers: Vec<bool> = peers.collect();
    let of = peers.len() + anchors.len();
    let mut answered = peers.iter().filter(|reachable| **reachable).count();
    let mut silent = peers.len() - answered;
    let deadline = clock::monotonic() + Duration::from_millis(PROBE_ANCHOR_MS);
    let mut asking: FuturesUnordered<_> = anchors
        .iter()
        .map(|anchor| connect(*anchor, deadline))
        .collect();
    while !is_sound(answered, of) && is_sound(of - silent, of) {
        match asking.next().await {
            Some(Ok(_stream)) => answered += 1,
            Some(Err(_)) => silent += 1,
            None => break,
        }
    }
    (answered, of)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn open() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn closed() -> SocketAddr {
        open().await.1
    }

    #[tokio::test]
    async fn half_of_the_canaries_must_answer() {
        let (_one, one) = open().await;
        let (_two, two) = open().await;
        let dead = closed().await;
        let sound = async |peers: &[bool], anchors: &[SocketAddr]| {
            let (answered, of) = round(peers.iter().copied(), anchors).await;
            is_sound(answered, of)
        };
        assert!(sound(&[], &[]).await, "nothing says otherwise");
        assert!(
            sound(&[true, false], &[]).await,
            "with one of two, a majority of three"
        );
        assert!(!sound(&[false, false], &[]).await);
        assert!(sound(&[false, false], &[one, two, one]).await);
        assert!(sound(&[true, true], &[one, dead, dead]).await);
        assert!(!sound(&[true, true], &[dead, dead, dead]).await);
        assert!(!sound(&[false, false], &[one, two, dead]).await);
    }
}
