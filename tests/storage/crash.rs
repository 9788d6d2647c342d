//! Histories of appends, votes, truncations and syncs, with the power going at any moment: what was
//! acknowledged is there afterwards, and nothing that was never written.

use lifeboat::cluster::journal::{Journal, KeepFrom};
use lifeboat::cluster::raft::{Entry, Vote};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::lossy_disk::LossyDisk;
use super::{T, entries, entry, id, read_vote, vote};

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Truncate(u8),
    Vote,
    Sync(u8),
    Crash,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..5u8).prop_map(Step::Append),
        1 => (1..6u8).prop_map(Step::Truncate),
        2 => Just(Step::Vote),
        4 => (1..4u8).prop_map(Step::Sync),
        1 => Just(Step::Crash),
    ]
}

/// What the log and the vote are after some number of writes.
#[derive(Debug, Clone, Default, PartialEq)]
struct Content {
    entries: Vec<Entry>,
    vote: Option<Vote>,
}

struct Story {
    disk: LossyDisk,
    journal: Journal<LossyDisk>,
    /// The content after each write that was submitted; the first is what the last start found.
    contents: Vec<Content>,
    /// Up to which of them was acknowledged.
    acknowledged: usize,
    appends: Vec<(
        usize,
        openraft::alias::OneshotReceiverOf<T, std::io::Result<()>>,
    )>,
    /// A vote or truncation that openraft would wait for before doing anything else.
    waiting: Option<JoinHandle<std::io::Result<()>>>,
    term: u64,
}

impl Story {
    async fn new() -> Self {
        let disk = LossyDisk::by_hand();
        let journal = Journal::open(disk.clone(), None, KeepFrom::default())
            .await
            .unwrap();
        let contents = vec![Content::default()];
        Story {
            disk,
            journal,
            contents,
            acknowledged: 0,
            appends: vec![],
            waiting: None,
            term: 0,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Content)) {
        let mut next = self.contents.last().unwrap().clone();
        change(&mut next);
        self.contents.push(next);
    }

    async fn settle(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.disk.sync(usize::MAX);
            waiting.await.unwrap().unwrap();
            self.acknowledged = self.contents.len() - 1;
        }
    }

    async fn take(&mut self, step: &Step) {
        if !matches!(step, Step::Sync(_) | Step::Crash) {
            self.settle().await;
        }
        match step {
            Step::Append(count) => self.append(*count).await,
            // openraft truncates only what is there.
            Step::Truncate(_) if self.contents.last().unwrap().entries.is_empty() => {}
            Step::Truncate(back) => {
                let kept = self
                    .contents
                    .last()
                    .unwrap()
                    .entries
                    .len()
                    .saturating_sub(*back as usize);
                let last = kept
                    .checked_sub(1)
                    .map(|at| self.contents.last().unwrap().entries[at].log_id);
                self.change(|content| content.entries.truncate(kept));
                let mut journal = self.journal.clone();
                self.wait_for(async move {
                    RaftLogStorage::<T>::truncate_after(&mut journal, last).await
                })
                .await;
            }
            Step::Vote => {
                self.term += 1;
                let vote = vote(self.term);
                self.change(|content| content.vote = Some(vote));
                let mut journal = self.journal.clone();
                self.wait_for(
                    async move { RaftLogStorage::<T>::save_vote(&mut journal, &vote).await },
                )
                .await;
            }
            Step::Sync(count) => {
                self.disk.sync(*count as usize);
                self.hear().await;
            }
            Step::Crash => self.crash().await,
        }
    }

    async fn wait_for(&mut self, work: impl Future<Output = std::io::Result<()>> + Send + 'static) {
        self.waiting = Some(tokio::spawn(work));
        // On this one thread the task runs now, up to where it waits for the disk.
        tokio::task::yield_now().await;
    }

    async fn append(&mut self, count: u8) {
        self.term += 1;
        let next = self.contents.last().unwrap().entries.len() as u64;
        let new: Vec<Entry> = (next..next + u64::from(count))
            .map(|index| entry(self.term, index, 8))
            .collect();
        self.change(|content| content.entries.extend(new.clone()));
        let (sender, flushed) = T::oneshot();
        RaftLogStorage::<T>::append(&mut self.journal, new, IOFlushed::signal(sender))
            .await
            .unwrap();
        self.appends.push((self.contents.len() - 1, flushed));
    }

    /// Notes what has been acknowledged by now.
    async fn hear(&mut self) {
        tokio::task::yield_now().await;
        for (content, flushed) in &mut self.appends {
            if let Ok(result) = flushed.try_recv() {
                result.unwrap();
                self.acknowledged = self.acknowledged.max(*content);
            }
        }
        if self.waiting.as_ref().is_some_and(JoinHandle::is_finished) {
            self.acknowledged = self.contents.len() - 1;
            self.waiting = None;
        }
    }

    async fn crash(&mut self) {
        self.hear().await;
        if let Some(waiting) = self.waiting.take() {
            waiting.abort();
        }
        self.appends.clear();
        self.disk = self.disk.crash();
        self.journal = Journal::open(self.disk.clone(), None, KeepFrom::default())
            .await
            .unwrap();
        let found = Content {
            entries: entries(&mut self.journal).await,
            vote: read_vote(&mut self.journal).await,
        };
        let possible = &self.contents[self.acknowledged..];
        assert!(
            possible.contains(&found),
            "found {found:?}, possible were {possible:?}"
        );
        assert_eq!(*self.journal.damage().borrow(), None);
        let last = found.entries.last().map(|entry| entry.log_id);
        assert_eq!(self.journal.last(), last);
        self.contents = vec![found];
        self.acknowledged = 0;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn p1_what_was_acknowledged_survives_every_crash(steps in prop::collection::vec(any_step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut story = Story::new().await;
            for step in &steps {
                story.take(step).await;
            }
            story.crash().await;
        });
    }
}

#[tokio::test]
async fn an_append_is_readable_before_it_is_durable_and_reported_only_after() {
    let disk = LossyDisk::by_hand();
    let mut journal = Journal::open(disk.clone(), None, KeepFrom::default())
        .await
        .unwrap();
    let (sender, mut flushed) = T::oneshot();
    RaftLogStorage::<T>::append(
        &mut journal,
        vec![entry(1, 0, 5)],
        IOFlushed::signal(sender),
    )
    .await
    .unwrap();
    assert_eq!(entries(&mut journal).await, vec![entry(1, 0, 5)]);
    assert!(flushed.try_recv().is_err());
    assert_eq!(disk.sync(1), 1);
    flushed.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_failed_write_is_reported_to_whoever_appended() {
    let disk = LossyDisk::default();
    let mut journal = Journal::open(disk.clone(), None, KeepFrom::default())
        .await
        .unwrap();
    super::append(&mut journal, vec![entry(1, 0, 5)])
        .await
        .unwrap();
    disk.fail("the sync failed");
    let refused = super::append(&mut journal, vec![entry(1, 1, 5)])
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("the sync failed"), "{refused}");
    assert!(super::save_vote(&mut journal, vote(2)).await.is_err());
    assert_eq!(read_vote(&mut journal).await, None);
}

#[tokio::test]
async fn a_hole_is_refused() {
    let mut journal = Journal::open(LossyDisk::default(), None, KeepFrom::default())
        .await
        .unwrap();
    super::append(&mut journal, vec![entry(1, 0, 5)])
        .await
        .unwrap();
    let refused = super::append(&mut journal, vec![entry(1, 2, 5)])
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "entry 2 does not follow entry 0");
    assert_eq!(journal.last(), Some(id(1, 0)));
}
