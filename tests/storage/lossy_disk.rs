//! A disk in memory for simulations: writes are queued, made durable only when `sync` says so (or at
//! once), and everything that was not is gone at a crash. No threads, no files, no randomness of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use lifeboat::cluster::disk::{Disk, DiskError, Done, Loaded, Mark, Row, Write};

/// Clones are handles on the same disk, also those a crashed node still holds: see `crash`.
#[derive(Clone, Default)]
pub struct LossyDisk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    durable: Content,
    /// Submitted and not synced.
    queue: VecDeque<(Write, Done)>,
    by_hand: bool,
    crashed: bool,
    poison: Option<Arc<str>>,
}

#[derive(Default, Clone)]
struct Content {
    rows: BTreeMap<u64, Bytes>,
    marks: BTreeMap<Mark, Bytes>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Content {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Append(rows) => self
                .rows
                .extend(rows.into_iter().map(|row| (row.index, row.frame))),
            Write::TruncateFrom(index) => drop(self.rows.split_off(&index)),
            Write::Purge { upto, mark } => {
                self.rows = self.rows.split_off(&(upto + 1));
                self.marks.insert(Mark::Purged, mark);
            }
            Write::Set(mark, frame) => drop(self.marks.insert(mark, frame)),
            Write::Clear(mark) => drop(self.marks.remove(&mark)),
            Write::Committed(frame) => drop(self.marks.insert(Mark::Committed, frame)),
            Write::Reset(marks) => {
                self.rows.clear();
                for (mark, frame) in marks {
                    match frame {
                        Some(frame) => drop(self.marks.insert(mark, frame)),
                        None => drop(self.marks.remove(&mark)),
                    }
                }
            }
        }
    }
}

impl LossyDisk {
    /// A disk that syncs only when told to.
    pub fn by_hand() -> Self {
        let disk = LossyDisk::default();
        disk.inner().by_hand = true;
        disk
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Makes the oldest `count` queued writes durable and reports them. Says how many there were.
    pub fn sync(&self, count: usize) -> usize {
        let mut reports = Vec::new();
        {
            let mut inner = self.inner();
            for _ in 0..count {
                let Some((write, done)) = inner.queue.pop_front() else {
                    break;
                };
                inner.durable.apply(write);
                reports.push(done);
            }
        }
        let synced = reports.len();
        reports.into_iter().for_each(|done| done(Ok(())));
        synced
    }

    /// The power goes: what was not synced is gone, the old handles are dead, and the new one is what
    /// the machine finds when it comes back.
    pub fn crash(&self) -> Self {
        let mut inner = self.inner();
        inner.crashed = true;
        inner.queue.clear();
        let (durable, by_hand) = (inner.durable.clone(), inner.by_hand);
        LossyDisk(Arc::new(Mutex::new(Inner {
            durable,
            by_hand,
            ..Inner::default()
        })))
    }

    /// The next write fails, and with it every later one.
    pub fn fail(&self, reason: &str) {
        self.inner().poison = Some(Arc::from(reason));
    }
}

impl Disk for LossyDisk {
    fn load(&self) -> Result<Loaded, DiskError> {
        let inner = self.inner();
        let marks = inner
            .durable
            .marks
            .iter()
            .map(|(mark, frame)| (*mark, frame.clone()))
            .collect();
        let rows = &inner.durable.rows;
        let ends = rows.first_key_value().zip(rows.last_key_value());
        let tail = rows.iter().map(|(index, frame)| Row {
            index: *index,
            frame: frame.clone(),
        });
        Ok(Loaded {
            marks,
            rows: ends.map(|(first, last)| (*first.0, *last.0)),
            tail: tail.collect(),
            ..Loaded::default()
        })
    }

    async fn submit(&self, write: Write, done: Done) {
        let by_hand = {
            let mut inner = self.inner();
            if let Some(reason) = inner.poison.clone() {
                drop(inner);
                return done(Err(DiskError::Poisoned { reason }));
            }
            if inner.crashed {
                return;
            }
            inner.queue.push_back((write, done));
            inner.by_hand
        };
        if !by_hand {
            self.sync(usize::MAX);
        }
    }

    async fn rows(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<Row>, DiskError> {
        let inner = self.inner();
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for index in from..to {
            let frame = inner
                .durable
                .rows
                .get(&index)
                .ok_or(DiskError::MissingRow { index })?
                .clone();
            bytes += frame.len();
            if bytes > max_bytes && !rows.is_empty() {
                break;
            }
            rows.push(Row { index, frame });
        }
        Ok(rows)
    }

    fn stalled(&self) -> Option<Duration> {
        None
    }

    fn last_write(&self) -> Option<Duration> {
        None
    }

    fn poisoned(&self) -> Option<Arc<str>> {
        self.inner().poison.clone()
    }

    async fn offload<T, F>(&self, work: F) -> Result<T, DiskError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> T + Send + 'static,
    {
        Ok(work(self))
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        self.inner()
            .durable
            .files
            .insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn read_file(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, DiskError> {
        let file = self.inner().durable.files.get(name).cloned();
        Ok(file.filter(|file| file.len() as u64 <= limit))
    }

    fn delete_file(&self, name: &str) -> Result<(), DiskError> {
        self.inner().durable.files.remove(name);
        Ok(())
    }

    fn list_files(&self) -> Result<Vec<String>, DiskError> {
        Ok(self.inner().durable.files.keys().cloned().collect())
    }
}
