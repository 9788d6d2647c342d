//! The API: one way in for people and programs, first over a socket of this machine, later over HTTPS as well.
//!
//! What can be read comes from this node alone and is there without a majority. What is asked for becomes a proposal
//! with the caller's name on it, or goes through the letterbox. Nothing here decides; the model does.

mod affected;
mod alerts;
mod answers;
pub mod api;
mod asking;
mod audit;
mod backup;
mod bridges;
mod calendar;
mod calls;
mod campaigns;
mod certificates;
mod conversations;
mod directory;
mod dns;
mod drills;
mod entry;
pub mod figures;
mod files;
mod gauges;
mod held;
mod https;
mod incidents;
mod mail_keys;
mod members;
mod notices;
mod pages;
mod people;
mod playbooks;
mod problem;
mod readiness;
mod reading;
mod roles;
mod rules;
mod seen;
mod site;
mod socket;
mod status;
mod talks;
mod tokens;
mod unlocking;
mod vault;
mod waking;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::body::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;

use crate::{
    blobs::Blobs,
    cluster::{Cluster, Committed},
    config,
    directory::Live,
    dns::{Answers, own::Own},
    files::Locker,
    letterbox::Letterbox,
    model::{
        Command, Proposal, Reply,
        command::FORMAT,
        limits,
        words::{ClientId, ConversationId},
    },
    proofs::Proofs,
    relay,
    seal::Keyring,
    tasks::{Outcome, Stop},
};

pub use asking::Caller;
pub use campaigns::Mailing;
pub use https::{Console, serve as serve_console};
pub use socket::BindError;

use asking::Asking;
use entry::Entry;
use problem::Problem;

/// What the API is about: one node and what it has.
#[derive(Clone)]
pub struct DeskParts {
    /// The cluster.
    pub cluster: Cluster,
    /// This node's letterbox.
    pub letterbox: Letterbox,
    /// This node's blobs.
    pub blobs: Blobs,
    /// The service key.
    pub keyring: Arc<Keyring>,
    /// Which machine this is.
    pub node: config::Node,
    /// When the process started.
    pub started: crate::model::words::Timestamp,
    /// The program's version.
    pub version: &'static str,
    /// What answers names, where this node does.
    pub names: Option<Arc<Answers>>,
    /// The open directory.
    pub directory: Live,
    /// Files of messages.
    pub locker: Locker,
    /// The operators' door.
    pub console: ConsoleParts,
    /// Requests of the last ten minutes that were passed on to a primary, by host name.
    pub late: LateVisitors,
    /// The way to channels outside, where this node has one.
    pub relay: Option<relay::Way>,
    /// What mass mail is written with, where this node mails.
    pub mailing: Option<Arc<Mailing>>,
    /// How the proofs stand.
    pub proofs: Proofs,
}

/// What the operators' door is about.
#[derive(Clone, Debug)]
pub struct ConsoleParts {
    /// Whose boat this is.
    pub company: Arc<config::Company>,
    /// Who is called on the worst day.
    pub phone_tree: Vec<config::Call>,
    /// The file of sign-ins while this node was alone.
    pub alone_file: PathBuf,
}

/// Says how many visitors still come late after a switch back; the public's door counts them.
pub type LateVisitors = Arc<dyn Fn() -> Vec<(Arc<str>, u64)> + Send + Sync>;

/// The API's state: the parts, and what limits its own work. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    parts: Arc<DeskParts>,
    /// Held while a site is taken in and packed: that takes memory, so one at a time.
    packing: Arc<Semaphore>,
    /// Held while a passphrase is stretched for the vault, which takes memory as well.
    unlocking: Arc<Semaphore>,
    entry: Arc<Entry>,
}

impl std::ops::Deref for Desk {
    type Target = DeskParts;

    fn deref(&self) -> &DeskParts {
        &self.parts
    }
}

impl Desk {
    /// The API of a node.
    pub fn new(parts: DeskParts) -> Self {
        Self {
            entry: Arc::new(Entry::new(parts.console.alone_file.clone())),
            parts: Arc::new(parts),
            packing: Arc::new(Semaphore::new(1)),
            unlocking: Arc::new(Semaphore::new(1)),
        }
    }

    /// What this node answers by itself while it has no majority, where it answers names.
    fn own(&self) -> Option<&Own> {
        self.names.as_ref().map(|it| &it.own)
    }

    fn proposal(&self, asking: &Asking, id: ClientId, command: Command) -> Proposal {
        Proposal {
            format: FORMAT,
            id,
            actor: asking.actor.clone(),
            source: asking.source.clone(),
            origin: self.cluster.id(),
            stamp: None,
            command,
        }
    }

    /// Waits a moment until this node's state has reached `index`, so that what is read next shows what was done.
    async fn applied(&self, index: u64) {
        let within = Duration::from_millis(limits::DESK_APPLY_MS);
        // A node that lags further behind answers from what it has: the write itself is agreed on.
        let _shown = self.cluster.shows(index, within).await;
    }

    /// Asks the cluster to agree under the request's own id, and waits until this node shows it.
    async fn agreed(
        &self,
        asking: &Asking,
        content: &[u8],
        what: &str,
        command: Command,
    ) -> Result<(), Problem> {
        let id = asking.id(content);
        let committed = self.propose(asking, id, what, command).await?;
        self.applied(committed.index).await;
        Ok(())
    }

    /// The same for what makes something: gives the log index that it is known by, for a repeat the first one's.
    async fn made(
        &self,
        asking: &Asking,
        content: &[u8],
        what: &str,
        command: Command,
    ) -> Result<u64, Problem> {
        let id = asking.id(content);
        let committed = self.propose(asking, id, what, command).await?;
        self.applied(committed.index).await;
        match committed.reply {
            Reply::Made(index) => Ok(index),
            _ => Ok(committed.index),
        }
    }

    /// Asks the cluster to agree; `what` names the deed in the middle of a sentence.
    async fn propose(
        &self,
        asking: &Asking,
        id: ClientId,
        what: &str,
        command: Command,
    ) -> Result<Committed, Problem> {
        let proposal = self.proposal(asking, id, command);
        let deadline = Duration::from_millis(limits::DESK_PROPOSE_MS);
        let committed = self
            .cluster
            .propose(proposal, deadline)
            .await
            .map_err(|error| Problem::proposing(what, &error))?;
        match &committed.reply {
            Reply::Refused(refusal) => Err(Problem::refused(what, refusal)),
            Reply::Done
            | Reply::Admitted(_)
            | Reply::Wanted(_)
            | Reply::Kept { .. }
            | Reply::Leased { .. }
            | Reply::Directory(_)
            | Reply::Sending { .. }
            | Reply::Made(_) => Ok(committed),
        }
    }
}

/// The stream of events that an agent's page of this conversation reads, from now on.
pub fn agents_stream(
    letterbox: &Letterbox,
    conversation: ConversationId,
    leaving: Stop,
) -> BoxStream<'static, Bytes> {
    pages::agents(letterbox.listen(conversation), leaving)
}

/// Serves the API on the socket at `path` until asked to stop; then the socket's file is gone.
///
/// # Errors
/// When the socket cannot be made, or another process answers on it.
pub async fn serve(desk: Desk, path: &Path, stop: Stop) -> Outcome {
    let listener = socket::bind(path).await?;
    socket::serve(listener, path, api::router(desk), stop).await
}

#[cfg(test)]
impl Desk {
    fn unreported(&self) -> usize {
        self.entry.alone.unreported().0
    }
}

impl Desk {
    /// Reports sign-ins that happened while this node was alone, until it is stopped.
    ///
    /// # Errors
    /// Never; the result is what a task returns.
    pub async fn report_sign_ins(self, stop: Stop) -> Outcome {
        self.entry.alone.report(self.cluster.clone(), stop).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
