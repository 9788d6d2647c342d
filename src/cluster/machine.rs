//! The agreed state under openraft: applies entries, publishes the result, makes and takes snapshots.
//!
//! Readers get an `Arc<State>` without waiting. A panic while applying changes nothing, is answered as a
//! refusal and counted. An entry that this node cannot read stops Raft here, with the reason readable,
//! while the state before it stays published. A running hash over every entry and reply lets nodes
//! notice that they differ, and so does one over the whole state every few minutes. Snapshots are encoded and written elsewhere (`snapshots`) from a cheap clone.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::{FutureExt, Stream, TryStreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{AsyncRuntime, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::watch;
use tracing::error;

use super::disk::Disk;
use super::encoding::{EntryRecord, Unreadable};
use super::front::Shown;
use super::hashes::Hashes;
use super::journal::KeepFrom;
use super::raft::{
    Entry, LogId, Membership, Payload, Snapshot, SnapshotMeta, StoredMembership, Types,
};
use super::snapshots::{self, Contents, SnapshotError};
use crate::model::words::{ClusterId, NodeId};
use crate::model::{self, Refusal, Reply, State, limits};

/// Entries that are applied before readers see them together.
const BATCH: usize = 256;

/// Why this node cannot go on applying. Raft stops here; the process and the state so far stay.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Halt {
    /// Other nodes could apply it, so going on without it would make this one differ.
    #[error("entry {index} cannot be applied here: {source}")]
    Unreadable {
        /// The entry.
        index: u64,
        /// Why.
        source: Arc<Unreadable>,
    },
}

/// What is counted for people to look at; each was logged where it happened.
#[derive(Debug, Default)]
pub struct Faults {
    panics: AtomicU64,
    snapshots: AtomicU64,
    contradictions: AtomicU64,
}

impl Faults {
    /// Entries whose applying panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Snapshots that could not be written, read back, or read again.
    pub fn snapshots(&self) -> u64 {
        self.snapshots.load(Ordering::Relaxed)
    }

    /// Contradictions that the self-check found in states that were about to be stored.
    pub fn contradictions(&self) -> u64 {
        self.contradictions.load(Ordering::Relaxed)
    }
}

/// What others may see of the machine, at any time, without waiting for it.
#[derive(Debug, Clone)]
pub struct Published {
    /// The state as last applied.
    pub state: Arc<ArcSwap<State>>,
    /// The index of the last entry applied, changed after the state can be read.
    pub applied: watch::Receiver<u64>,
    /// Why Raft cannot go on here, once it cannot.
    pub halted: watch::Receiver<Option<Halt>>,
    /// Index up to which the newest durable, verified snapshot reaches.
    pub snapshot: watch::Receiver<u64>,
    /// What went wrong so far.
    pub faults: Arc<Faults>,
    hashes: Arc<Mutex<Hashes>>,
}

impl Published {
    /// The hashes of the last entries applied. Hold it only for a look.
    pub fn hashes(&self) -> MutexGuard<'_, Hashes> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state machine. openraft owns it; everybody else has [`Published`].
pub struct Machine<D> {
    state: State,
    last: Option<LogId>,
    membership: StoredMembership,
    /// What was applied and readers do not see yet: at most a batch.
    since: Vec<Entry>,
    /// The whole state is to be hashed as it is now: a slot of the cluster's time has begun with the last entry.
    hash_due: bool,
    keeper: Keeper<D>,
    published: Published,
    shown: Shown,
    halted: watch::Sender<Option<Halt>>,
}

/// Where snapshots are kept, shared with the task that makes one.
#[derive(Clone)]
struct Keeper<D> {
    disk: D,
    cluster: ClusterId,
    keep_from: KeepFrom,
    current: Arc<Mutex<Option<Current>>>,
    reaches: watch::Sender<u64>,
    faults: Arc<Faults>,
}

/// The newest snapshot: in its file, or in memory when the file could not be written.
#[derive(Clone)]
struct Current {
    last: Option<LogId>,
    unwritten: Option<Bytes>,
}

/// One snapshot in the making: the state as it was when it was asked for.
pub struct Builder<D> {
    keeper: Keeper<D>,
    contents: Contents,
}

fn index_of(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index)
}

impl<D: Disk> Machine<D> {
    /// Starts from the newest snapshot that is whole, or from nothing, and shows what it applies on `shown`.
    /// `keep_from` is set to what the snapshots on disk allow, before the journal is opened with it.
    ///
    /// # Errors
    /// When snapshots are there and none of them may be used: another cluster's, or a newer release's.
    pub async fn open(
        disk: D,
        cluster: ClusterId,
        keep_from: KeepFrom,
        shown: Shown,
    ) -> Result<(Self, Published), SnapshotError> {
        let found = disk
            .offload(move |disk| snapshots::newest(disk, cluster))
            .await??;
        keep_from.set(found.keep_from);
        let Contents {
            state,
            meta,
            running,
        } = found.contents;
        let faults = Arc::new(Faults::default());
        faults
            .snapshots
            .store(found.damaged.len() as u64, Ordering::Relaxed);
        let last = meta.last_log_id;
        let current = found.name.is_some().then_some(Current {
            last,
            unwritten: None,
        });
        let keeper = Keeper {
            disk,
            cluster,
            keep_from,
            current: Arc::new(Mutex::new(current)),
            reaches: watch::Sender::new(index_of(last)),
            faults: faults.clone(),
        };
        let mut hashes = Hashes::default();
        hashes.start_from(last, running);
        shown.show(&state, index_of(last));
        let halted = watch::Sender::new(None);
        let published = Published {
            state: shown.state.clone(),
            applied: shown.applied.subscribe(),
            halted: halted.subscribe(),
            snapshot: keeper.reaches.subscribe(),
            faults,
            hashes: Arc::new(Mutex::new(hashes)),
        };
        let membership = meta.last_membership;
        let machine = Machine {
            state,
            last,
            membership,
            since: Vec::new(),
            hash_due: false,
            keeper,
            published: published.clone(),
            shown,
            halted,
        };
        Ok((machine, published))
    }

    /// The last entry applied; the log must be opened over it.
    pub fn last(&self) -> Option<LogId> {
        self.last
    }

    /// Applies one entry while Raft does not run.
    pub(super) fn apply_offline(&mut self, entry: &Entry) -> Result<Reply, Halt> {
        self.apply_one(entry)
    }

    /// Takes over what was applied while Raft does not run.
    pub(super) fn publish_offline(&mut self) {
        self.publish();
        self.since.clear();
    }

    /// The state with everything applied to it.
    pub(super) fn state_offline(&self) -> &State {
        &self.state
    }

    /// What a snapshot of it holds.
    pub(super) fn contents_offline(&self) -> Contents {
        self.contents()
    }

    /// Applies one entry to the state that readers do not see yet.
    fn apply_one(&mut self, entry: &Entry) -> Result<Reply, Halt> {
        let index = entry.log_id.index;
        let slot = |state: &State| state.now.0 / limits::STATE_HASH_EVERY_MS;
        let before = slot(&self.state);
        let reply = match &entry.payload {
            Payload::Blank => Reply::Done,
            Payload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                self.since.push(entry.clone());
                self.change(index, |state| set_members(state, index, membership))
            }
            Payload::Normal(packed) => {
                let stamped = packed.read().map_err(|source| Halt::Unreadable {
                    index,
                    source: Arc::new(source),
                })?;
                self.since.push(entry.clone());
                self.change(index, |state| {
                    state.apply(&model::Entry {
                        index,
                        stamped: &stamped,
                    })
                })
            }
        };
        self.last = Some(entry.log_id);
        self.hash_due |= slot(&self.state) != before;
        // Replies and records are plain data; should one not encode, the nodes still hash the same nothing.
        let reply_bytes = postcard::to_stdvec(&reply).unwrap_or_default();
        let entry_bytes =
            postcard::to_stdvec(&EntryRecord::from(entry).payload).unwrap_or_default();
        self.published
            .hashes()
            .add(index, &entry_bytes, &reply_bytes);
        Ok(reply)
    }

    /// Runs one change. Should it panic, the state is made once more from what readers see and what was applied since,
    /// so that no half of it stays; a clone for each entry would copy what it changes in every map.
    fn change(&mut self, index: u64, change: impl FnOnce(&mut State) -> Reply) -> Reply {
        let state = &mut self.state;
        if let Ok(reply) = catch_unwind(AssertUnwindSafe(|| change(state))) {
            return reply;
        }
        self.published.faults.panics.fetch_add(1, Ordering::Relaxed);
        error!(
            index,
            "applying an entry panicked; the state is as it was, and the entry is refused"
        );
        self.since.pop();
        let mut state = State::clone(&self.published.state.load());
        for entry in &self.since {
            apply_again(&mut state, entry);
        }
        self.state = state;
        Reply::Refused(Refusal::Internal)
    }

    /// Lets readers see what was applied.
    fn publish(&self) {
        self.shown.show(&self.state, index_of(self.last));
    }

    /// Hashes the whole state beside the applying, when that is due.
    fn hash_whole<R: AsyncRuntime>(&mut self) {
        if !std::mem::take(&mut self.hash_due) {
            return;
        }
        let (state, index) = (self.state.clone(), index_of(self.last));
        let (disk, published) = (self.keeper.disk.clone(), self.published.clone());
        // One hash: it ends by itself, and without it this state is compared at the next one.
        drop(R::spawn(async move {
            if let Ok(hash) = disk.offload(move |_| state.digest()).await {
                published.hashes().add_whole(index, hash.0);
            }
        }));
    }

    fn contents(&self) -> Contents {
        let meta = SnapshotMeta {
            last_log_id: self.last,
            last_membership: self.membership.clone(),
        };
        Contents {
            state: self.state.clone(),
            meta,
            running: self.published.hashes().running,
        }
    }
}

/// Applies an entry that was applied before, to the same effect.
fn apply_again(state: &mut State, entry: &Entry) {
    let index = entry.log_id.index;
    match &entry.payload {
        Payload::Blank => {}
        Payload::Membership(membership) => drop(set_members(state, index, membership)),
        Payload::Normal(packed) => {
            if let Ok(stamped) = packed.read() {
                let stamped = &stamped;
                state.apply(&model::Entry { index, stamped });
            }
        }
    }
}

fn set_members(state: &mut State, index: u64, membership: &Membership) -> Reply {
    let voters = membership.voter_ids().map(NodeId).collect();
    let learners = membership.learner_ids().map(NodeId).collect();
    state.set_members(index, voters, learners);
    Reply::Done
}

impl<D: Disk> Keeper<D> {
    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Encodes, writes and verifies. Off the runtime. When the file cannot be written the snapshot stays
    /// in memory, and the log simply stays as long as it is.
    fn keep(&self, contents: Contents) -> Result<Snapshot, SnapshotError> {
        let contradictions = contents.state.check();
        self.faults
            .contradictions
            .fetch_add(contradictions.len() as u64, Ordering::Relaxed);
        for contradiction in contradictions.iter().take(10) {
            error!(contradiction, "the state contradicts itself");
        }
        let packed = snapshots::pack(self.cluster, &contents)?;
        self.store(&packed);
        Ok(Snapshot {
            meta: contents.meta,
            snapshot: packed.file,
        })
    }

    fn store(&self, packed: &snapshots::Packed) {
        let last = packed.header.last.map(LogId::from);
        let unwritten = match snapshots::save(&self.disk, self.cluster, packed) {
            Ok(keep_from) => {
                self.keep_from.set(keep_from);
                self.reaches.send_replace(index_of(last));
                None
            }
            Err(why) => {
                self.faults.snapshots.fetch_add(1, Ordering::Relaxed);
                error!(%why, source = ?std::error::Error::source(&why), "a snapshot could not be kept on disk");
                Some(packed.file.clone())
            }
        };
        *self.current() = Some(Current { last, unwritten });
    }

    /// The newest snapshot, read and verified again; `None` when it is damaged by now.
    fn read(&self, current: &Current) -> Option<Snapshot> {
        let read = || -> Result<Snapshot, SnapshotError> {
            let file = match &current.unwritten {
                Some(file) => file.clone(),
                None => {
                    let name = snapshots::file_name(current.last);
                    let file = self.disk.read_file(&name, limits::STATE_BYTES_MAX)?;
                    Bytes::from(file.ok_or(SnapshotError::NotWhole {
                        what: "its file is gone",
                    })?)
                }
            };
            let header = snapshots::verify(self.cluster, &file)?;
            Ok(Snapshot {
                meta: header.meta()?,
                snapshot: file,
            })
        };
        read()
            .inspect_err(|why| {
                self.faults.snapshots.fetch_add(1, Ordering::Relaxed);
                error!(%why, "the newest snapshot cannot be read again; a new one is made");
                if let Err(why) =
                    snapshots::set_aside(&self.disk, &snapshots::file_name(current.last))
                {
                    error!(%why, "the damaged snapshot cannot be set aside");
                }
            })
            .ok()
    }
}

impl<R: AsyncRuntime, D: Disk> RaftSnapshotBuilder<Types<R>> for Builder<D> {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (keeper, contents) = (self.keeper.clone(), self.contents.clone());
        let kept = self
            .keeper
            .disk
            .offload(move |_| keeper.keep(contents))
            .await;
        kept.map_err(io::Error::other)?.map_err(io::Error::other)
    }
}

impl<R: AsyncRuntime, D: Disk> RaftStateMachine<Types<R>> for Machine<D> {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder<D>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<R>>>> + Unpin + OptionalSend,
    {
        let mut answers: Vec<(ApplyResponder<Types<R>>, Reply)> = Vec::new();
        let mut unseen = 0;
        loop {
            // While more is ready the readers can wait; when nothing is, they see what there is.
            let next = match entries.try_next().now_or_never() {
                Some(next) => next,
                None => {
                    self.show(&mut answers, &mut unseen);
                    entries.try_next().await
                }
            };
            let applied = match next {
                Ok(Some((entry, responder))) => {
                    let applied = self.apply_one(&entry);
                    self.hash_whole::<R>();
                    applied.map(|reply| (reply, responder))
                }
                Ok(None) => {
                    self.show(&mut answers, &mut unseen);
                    return Ok(());
                }
                Err(error) => {
                    self.show(&mut answers, &mut unseen);
                    return Err(error);
                }
            };
            match applied {
                Ok((reply, responder)) => {
                    answers.extend(responder.map(|responder| (responder, reply)))
                }
                Err(halt) => {
                    self.show(&mut answers, &mut unseen);
                    error!(reason = %halt, "Raft stops on this node");
                    self.halted.send_replace(Some(halt.clone()));
                    return Err(io::Error::other(halt));
                }
            }
            unseen += 1;
            if unseen == BATCH {
                self.show(&mut answers, &mut unseen);
            }
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder<D> {
        Builder {
            keeper: self.keeper.clone(),
            contents: self.contents(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, file: Bytes) -> io::Result<()> {
        let (keeper, announced) = (self.keeper.clone(), meta.clone());
        let install = move |_: &D| -> Result<Contents, SnapshotError> {
            let header = snapshots::verify(keeper.cluster, &file)?;
            if header.meta()? != announced {
                return Err(SnapshotError::OtherContent);
            }
            let contents = snapshots::unpack(keeper.cluster, &file)?;
            keeper.store(&snapshots::Packed { header, file });
            Ok(contents)
        };
        let contents = self
            .keeper
            .disk
            .offload(install)
            .await
            .map_err(io::Error::other)?;
        let contents = contents.map_err(io::Error::other)?;
        self.state = contents.state;
        self.last = contents.meta.last_log_id;
        self.membership = contents.meta.last_membership;
        self.published
            .hashes()
            .start_from(self.last, contents.running);
        self.publish();
        self.since.clear();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let Some(current) = self.keeper.current().clone() else {
            return Ok(None);
        };
        let (keeper, contents) = (self.keeper.clone(), self.contents());
        let read = move |_: &D| match keeper.read(&current) {
            Some(snapshot) => Ok(snapshot),
            None => keeper.keep(contents),
        };
        let snapshot = self
            .keeper
            .disk
            .offload(read)
            .await
            .map_err(io::Error::other)?;
        snapshot.map(Some).map_err(io::Error::other)
    }
}

impl<D: Disk> Machine<D> {
    /// Publishes what was applied, then answers whoever waits: they find their own write in the state.
    fn show<R: AsyncRuntime>(
        &mut self,
        answers: &mut Vec<(ApplyResponder<Types<R>>, Reply)>,
        unseen: &mut usize,
    ) {
        if *unseen > 0 {
            self.publish();
            self.since.clear();
            *unseen = 0;
        }
        for (responder, reply) in answers.drain(..) {
            responder.send(reply);
        }
    }
}

#[cfg(test)]
mod tests;
