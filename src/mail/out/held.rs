//! What this node does with customers' messages while it is alone: they are held in its letterbox, and support is told
//! of each once, at the mailbox outside the company's network, so that somebody can answer before the cluster is back.
//!
//! Nothing agreed on is touched: when the node is rejoined the messages go the ordinary way as well, and the mail says
//! so. Which ones were told is kept in a file; if it is lost, support reads some of them again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::clock;
use crate::cluster::Cluster;
use crate::durable;
use crate::files::Locker;
use crate::model::Proposal;
use crate::model::limits::{ALONE_MAIL_MS, HELD_TOLD_BYTES_MAX};
use crate::model::words::ClientId;
use crate::tasks::{self, Stop};

use super::enclose::enclosed;
use super::letters::Letters;
use super::session::Outcome;
use super::way::Way;

const ALONE_LONG_ENOUGH: Duration = Duration::from_millis(ALONE_MAIL_MS);
/// How often the letterbox is looked into.
const LOOK: Duration = Duration::from_secs(1);
/// The first and longest pause after a message that could not be mailed; doubled in between.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// First line of the file; the number is its format.
const HEADER: &str = "lifeboat held messages mailed 1";

/// Looks into the letterbox: what is held there and not agreed on, oldest first.
pub type LookInside = Arc<dyn Fn() -> Vec<Proposal> + Send + Sync>;

/// What the work needs.
pub struct Alone {
    /// Says whether this node is alone.
    pub cluster: Cluster,
    /// Writes the mails.
    pub letters: Letters,
    /// Carries them.
    pub way: Way,
    /// The letterbox.
    pub held: LookInside,
    /// The files that go along.
    pub locker: Option<Locker>,
    /// The file of what was mailed already.
    pub told_file: PathBuf,
}

/// Works until asked to stop.
///
/// # Errors
/// Never; the result is what a task returns.
pub async fn run(alone: Arc<Alone>, stop: Stop) -> tasks::Outcome {
    let mut told = Told::load(&alone.told_file);
    let mut alone_since: Option<Instant> = None;
    let (mut pause, mut not_before) = (PAUSES.0, clock::monotonic());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(LOOK) => {}
        }
        if !alone.cluster.health().alone() {
            alone_since = None;
            continue;
        }
        let now = clock::monotonic();
        let since = *alone_since.get_or_insert(now);
        if now < since + ALONE_LONG_ENOUGH || now < not_before {
            continue;
        }
        let all = tokio::select! {
            () = stop.cancelled() => break,
            all = alone.tell(&mut told) => all,
        };
        pause = if all {
            PAUSES.0
        } else {
            (pause * 2).min(PAUSES.1)
        };
        not_before = clock::monotonic() + if all { LOOK } else { pause };
    }
    alone.way.close().await;
    Ok(())
}

impl Alone {
    /// Mails what is held and was not mailed yet; `false` when something has to be tried again.
    pub(super) async fn tell(&self, told: &mut Told) -> bool {
        let held = (self.held)();
        if told.keep_only(&held) {
            told.save(&self.told_file).await;
        }
        let state = self.cluster.state();
        for one in &held {
            if told.ids.contains(&one.id) {
                continue;
            }
            let about = one.command.written().map(|it| (it.conversation, one.id));
            let enclosed = match about {
                Some(about) => enclosed(self.locker.as_ref(), about).await.0,
                None => Default::default(),
            };
            let mail = match self.letters.of_held(&state, &held, (one, &enclosed)) {
                Ok(Some(mail)) => mail,
                Ok(None) => continue,
                Err(error) => {
                    warn!(id = %one.id, %error, "a held message cannot be mailed");
                    told.ids.insert(one.id);
                    continue;
                }
            };
            match self.way.carry(&mail, &|| true).await {
                Outcome::Accepted | Outcome::Unknown(_) => {
                    info!(id = %one.id, "a held message was mailed to the off-net mailbox");
                }
                Outcome::RefusedForGood(why) => {
                    warn!(id = %one.id, why, "the off-net mailbox refuses a held message");
                }
                Outcome::TryLater(why) => {
                    warn!(id = %one.id, why, "a held message could not be mailed yet");
                    return false;
                }
            }
            told.ids.insert(one.id);
            told.save(&self.told_file).await;
        }
        true
    }
}

/// The messages that were mailed already.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    ids: BTreeSet<ClientId>,
}

impl Told {
    pub(super) fn load(path: &Path) -> Told {
        match durable::read_at_most(path, HELD_TOLD_BYTES_MAX) {
            Ok(bytes) => Told::read(&bytes).unwrap_or_else(|| {
                warn!(path = %path.display(), "not a list of held messages; some may be mailed again");
                Told::default()
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Told::default(),
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read which held messages were mailed");
                Told::default()
            }
        }
    }

    fn read(bytes: &[u8]) -> Option<Told> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let ids = lines.map(|line| line.parse().ok()).collect::<Option<_>>()?;
        Some(Told { ids })
    }

    /// Forgets what is no longer held; says whether there was any.
    fn keep_only(&mut self, held: &[Proposal]) -> bool {
        let before = self.ids.len();
        let still: BTreeSet<ClientId> = held.iter().map(|it| it.id).collect();
        self.ids.retain(|id| still.contains(id));
        self.ids.len() != before
    }

    async fn save(&self, path: &Path) {
        let ids: String = self.ids.iter().map(|id| format!("{id}\n")).collect();
        let (path, text) = (path.to_owned(), format!("{HEADER}\n{ids}"));
        let written = tokio::task::spawn_blocking(move || {
            durable::write_durably(&path, text.as_bytes()).inspect_err(|error| {
                warn!(path = %path.display(), %error, "cannot keep which held messages were mailed");
            })
        });
        // A failure was told above; it costs support a second copy and nothing else.
        let _ = written.await;
    }
}
