//! Bells: whoever shows a conversation is told when it changed, agreed on or held, without looking at every entry.
//!
//! One look at a time over what is new since the last: the maps share their structure, so that it costs what changed and
//! not what there is. A bell says only "look again"; what is to be seen is read from the state and the letterbox.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use imbl::{OrdMap, OrdSet, Vector, ordmap::DiffItem};
use tokio::sync::Notify;

use super::{Held, Letterbox};
use crate::{
    model::{
        State,
        files::File,
        limits,
        words::{BlobHash, ClientId, ConversationId},
    },
    tasks::{Outcome, Stop},
};

/// How long changes may come together before the next look: nobody notices it, and a busy minute costs less.
const BETWEEN_LOOKS: Duration = Duration::from_millis(limits::LOOK_AFTER_MS / 2);

/// The bells of one node.
#[derive(Debug, Default)]
pub(super) struct Bells {
    /// Those that somebody listens to.
    by_conversation: Mutex<HashMap<ConversationId, Arc<Bell>>>,
    /// Rings with each of them.
    any: Arc<Bell>,
}

/// Rung whenever there is something to see.
#[derive(Debug, Default)]
struct Bell {
    times: AtomicU64,
    rung: Notify,
}

impl Bell {
    fn ring(&self) {
        self.times.fetch_add(1, Ordering::Release);
        self.rung.notify_waiters();
    }
}

/// An ear at a bell. Gone when dropped.
#[derive(Debug)]
pub struct Listening {
    bells: Arc<Bells>,
    /// Nothing: the bell that rings with each.
    conversation: Option<ConversationId>,
    bell: Arc<Bell>,
    heard: u64,
}

impl Listening {
    /// Returns when the bell has rung since the last time, or since it is listened to. Safe to give up and call again.
    pub async fn rung(&mut self) {
        loop {
            // Made before the look, so that a ring in between is heard.
            let rung = self.bell.rung.notified();
            let times = self.bell.times.load(Ordering::Acquire);
            if times != self.heard {
                self.heard = times;
                return;
            }
            rung.await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let Some(conversation) = self.conversation else {
            return;
        };
        let mut by_conversation = self.bells.lock();
        // Let go of while nobody else can, so that the last one sees that it is the last.
        drop(std::mem::take(&mut self.bell));
        let is_last = |it: &Arc<Bell>| Arc::strong_count(it) == 1;
        if by_conversation.get(&conversation).is_some_and(is_last) {
            by_conversation.remove(&conversation);
        }
    }
}

impl Bells {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ConversationId, Arc<Bell>>> {
        // A panic while it was held leaves a map of bells behind, each of which still rings.
        self.by_conversation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(self: &Arc<Self>, conversation: Option<ConversationId>) -> Listening {
        let bell = match conversation {
            None => self.any.clone(),
            Some(id) => self.lock().entry(id).or_default().clone(),
        };
        Listening {
            bells: self.clone(),
            conversation,
            heard: bell.times.load(Ordering::Acquire),
            bell,
        }
    }

    /// How many are listened to.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Rings for what nodes wrote as customers: who listens to all hears nothing of it.
    fn ring_apart(&self, changed: &[ConversationId]) {
        if changed.is_empty() {
            return;
        }
        let by_conversation = self.lock();
        for bell in changed.iter().filter_map(|it| by_conversation.get(it)) {
            bell.ring();
        }
    }

    fn ring(&self, changed: &[ConversationId]) {
        if changed.is_empty() {
            return;
        }
        self.ring_apart(changed);
        self.any.ring();
    }
}

impl Letterbox {
    /// Listens for changes of one conversation, agreed on or held, from now on.
    pub fn listen(&self, conversation: ConversationId) -> Listening {
        self.bells.listen(Some(conversation))
    }

    /// Listens for changes of any conversation.
    pub fn listen_to_all(&self) -> Listening {
        self.bells.listen(None)
    }

    /// Rings the bells, for as long as the node runs.
    ///
    /// # Errors
    /// When nothing changes any more because the agreement's or the letterbox's task has ended.
    pub async fn ring_bells(self, stop: Stop) -> Outcome {
        let (mut applied, mut posted) = (self.cluster.changes(), self.changed.clone());
        let (mut state, mut held) = (self.cluster.state(), self.held());
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = applied.changed() => changed?,
                changed = posted.changed() => changed?,
            }
            let (state_now, held_now) = (self.cluster.state(), self.held());
            let mut changed = changed_in_state(&state, &state_now);
            changed.extend(changed_in_box(&held, &held_now));
            self.bells.ring(&changed);
            self.bells
                .ring_apart(&changed_synthetics(&state, &state_now));
            (state, held) = (state_now, held_now);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(BETWEEN_LOOKS) => {}
            }
        }
    }
}

fn key<V>(item: DiffItem<'_, '_, ConversationId, V>) -> ConversationId {
    match item {
        DiffItem::Add(id, _) | DiffItem::Remove(id, _) => *id,
        DiffItem::Update { new: (id, _), .. } => *id,
    }
}

fn changed_in_state(before: &State, now: &State) -> Vec<ConversationId> {
    let conversations = before.conversations.diff(&now.conversations).map(key);
    let talks = before.talks.all.diff(&now.talks.all).map(key);
    let files = before.files.all.diff(&now.files.all).map(key);
    let copied = changed_copies(before, now);
    conversations
        .chain(talks)
        .chain(files)
        .chain(copied)
        .collect()
}

/// The conversations of which a file was copied, or lost a copy. Files are few, and entries about blobs are rare.
fn changed_copies(before: &State, now: &State) -> Vec<ConversationId> {
    if before.blobs.ptr_eq(&now.blobs) {
        return Vec::new();
    }
    let changed: OrdSet<BlobHash> = before
        .blobs
        .diff(&now.blobs)
        .map(|item| match item {
            DiffItem::Add(hash, _) | DiffItem::Remove(hash, _) => *hash,
            DiffItem::Update { new: (hash, _), .. } => *hash,
        })
        .collect();
    if changed.is_empty() {
        return Vec::new();
    }
    let has = |messages: &OrdMap<ClientId, Vector<File>>| {
        let mut files = messages.values().flatten();
        files.any(|it| changed.contains(&it.blob))
    };
    let all = now.files.all.iter();
    all.filter(|(_, it)| has(it)).map(|(id, _)| *id).collect()
}

fn changed_synthetics(before: &State, now: &State) -> Vec<ConversationId> {
    let (before, now) = (&before.synthetics.by_node, &now.synthetics.by_node);
    if before.ptr_eq(now) {
        return Vec::new();
    }
    let changed = now
        .iter()
        .filter(|(node, it)| before.get(*node) != Some(*it));
    changed.map(|(_, it)| it.conversation).collect()
}

fn changed_in_box(before: &Held, now: &Held) -> Vec<ConversationId> {
    before.diff(now).map(key).collect()
}
