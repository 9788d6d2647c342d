//! What systemd is told, where it started this node: that it serves, how it is, that it stops, and that it is alive.
//!
//! systemd restarts a node whose sign of life stays away (`WatchdogSec`). A sign goes out only when the runtimes that
//! serve people have both done a piece of work: the public's and the local socket's. Raft, disks and errands are left
//! out on purpose: a node that cannot agree or whose disk hangs still serves, and must not be restarted for it (P3).
//! Where nobody listens (`NOTIFY_SOCKET` is not set) nothing is sent. Protocol: `sd_notify(3)`, `sd_watchdog_enabled(3)`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    net::UnixStream,
    runtime::Handle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    cluster::{Cluster, health::RaftRole},
    tasks::{Outcome, Stop},
};

/// How often the status line is looked at where no watchdog asks for more.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// How often the local socket is tried until it is there.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Tells systemd that the node serves, so that what was ordered after it may start: once the local socket takes
/// connections, which the public's door does by then.
async fn serving(socket: &Path) {
    let mut looks = interval(LOOK_EVERY);
    while UnixStream::connect(socket).await.is_err() {
        looks.tick().await;
    }
    tell(&[NotifyState::Ready]);
}

/// Tells systemd that the node was asked to stop or has to.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Says when the node serves; then gives signs of life while `alive`, the runtimes that serve people, work; and says how the node is, whenever that
/// changes. Three signs fit into the time after which systemd restarts the node.
///
/// # Errors
/// Never; what cannot be sent is logged.
pub(super) async fn signs_of_life(
    cluster: Cluster,
    (alive, socket): (Vec<Handle>, PathBuf),
    stop: Stop,
) -> Outcome {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = serving(&socket) => {}
    }
    let patience = sd_notify::watchdog_enabled();
    let every = patience.map_or(STATUS_EVERY, |patience| patience / 3);
    if let Some(patience) = patience {
        tracing::info!(
            seconds = patience.as_secs_f64(),
            "systemd restarts this node when it gives no sign of life for so long"
        );
    }
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = String::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        if patience.is_some() && all_work(&alive, every).await {
            tell(&[NotifyState::Watchdog]);
        }
        let now = in_words(&cluster);
        if now != said {
            tell(&[NotifyState::Status(&now)]);
            said = now;
        }
    }
}

/// Whether each runtime did a piece of work within `patience`.
async fn all_work(runtimes: &[Handle], patience: Duration) -> bool {
    for runtime in runtimes {
        let done = timeout(patience, runtime.spawn(std::future::ready(()))).await;
        if !matches!(done, Ok(Ok(()))) {
            tracing::error!(
                "the threads that serve people do nothing; systemd gets no sign of life"
            );
            return false;
        }
    }
    true
}

/// How the node is, in one line for `systemctl status`.
fn in_words(cluster: &Cluster) -> String {
    let health = cluster.health();
    let place = match health.role {
        RaftRole::Leader => "leads the cluster",
        RaftRole::Follower => "follows",
        RaftRole::Learner => "learns",
        RaftRole::Candidate => "looks for a leader",
        RaftRole::Starting => "begins",
        RaftRole::Halted => "takes no part in agreeing",
    };
    let agreed = if health.alone() {
        "alone: serves and takes messages, cannot decide"
    } else {
        "a majority agrees"
    };
    format!("{place}; {agreed}")
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "systemd cannot be told how this node is");
    }
}
