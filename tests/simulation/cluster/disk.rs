//! The disk of the simulation: in memory, and as unkind as a disk may be. A sync takes its time; what was not synced
//! when the node stopped may be there or not; after a failed sync nothing is taken any more.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use lifeboat::cluster::{
    disk::{Disk, DiskError, Done, Loaded, Mark, Row, Write},
    encoding::{LogIdRecord, decode},
};
use tokio::time::{Instant, sleep};

use crate::dice::Dice;

/// Rows that a start finds in memory: few, so that older ones are read from the disk.
const TAIL_ROWS: usize = 24;

/// What stays when the node stops.
#[derive(Default)]
pub struct Platter {
    rows: BTreeMap<u64, Bytes>,
    marks: BTreeMap<Mark, Bytes>,
    purged: u64,
    files: BTreeMap<String, Vec<u8>>,
    /// Asked for and not synced, in order.
    unsynced: VecDeque<Write>,
    /// Whether the next write fails. One that failed goes on failing until the node is started again.
    pub fails: bool,
    /// Whether it says that a write is synced before it is: the bug that the oracle must find.
    pub lies: bool,
}

impl Platter {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Append(rows) => {
                self.rows
                    .extend(rows.into_iter().map(|row| (row.index, row.frame)));
            }
            Write::TruncateFrom(index) => drop(self.rows.split_off(&index)),
            Write::Purge { upto, mark } => {
                self.rows = self.rows.split_off(&(upto + 1));
                self.purged = upto;
                self.marks.insert(Mark::Purged, mark);
            }
            Write::Set(mark, frame) => drop(self.marks.insert(mark, frame)),
            Write::Committed(frame) => drop(self.marks.insert(Mark::Committed, frame)),
            Write::Clear(mark) => drop(self.marks.remove(&mark)),
            Write::Reset(marks) => {
                self.rows.clear();
                self.purged = 0;
                for (mark, frame) in marks {
                    match frame {
                        Some(frame) => drop(self.marks.insert(mark, frame)),
                        None => drop(self.marks.remove(&mark)),
                    }
                }
                if let Some(frame) = self.marks.get(&Mark::Purged) {
                    self.purged = decode::<LogIdRecord>(frame).unwrap().index;
                }
            }
        }
    }

    /// What a start finds: of what was not synced, some may have got through, in order.
    fn settle(&mut self, dice: &mut Dice) {
        let through = match self.lies {
            true => 0,
            false => dice.below(self.unsynced.len() as u64 + 1),
        };
        for _ in 0..through {
            if let Some(write) = self.unsynced.pop_front() {
                self.apply(write);
            }
        }
        self.unsynced.clear();
        self.fails = false;
    }
}

struct Desk {
    waiting: VecDeque<(Write, Done)>,
    working: bool,
    dice: Dice,
    since: Option<Instant>,
    last: Option<Duration>,
    poison: Option<Arc<str>>,
}

/// One life of a disk.
#[derive(Clone)]
pub struct SimDisk {
    platter: Arc<Mutex<Platter>>,
    desk: Arc<Mutex<Desk>>,
}

impl SimDisk {
    pub fn open(platter: Arc<Mutex<Platter>>, mut dice: Dice) -> Self {
        platter.lock().unwrap().settle(&mut dice);
        let desk = Desk {
            waiting: VecDeque::new(),
            working: false,
            dice,
            since: None,
            last: None,
            poison: None,
        };
        Self {
            platter,
            desk: Arc::new(Mutex::new(desk)),
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }

    /// How long the next sync takes: some milliseconds, now and then much longer.
    fn pace(&self) -> Duration {
        let mut desk = self.desk();
        let ms = match desk.dice.below(200) {
            0..190 => 1 + desk.dice.below(8),
            190..199 => 20 + desk.dice.below(150),
            _ => 500 + desk.dice.below(1_500),
        };
        Duration::from_millis(ms)
    }

    async fn work(self) {
        loop {
            let began = Instant::now();
            let pace = self.pace();
            // waits because a sync takes time
            sleep(pace).await;
            let group: Vec<(Write, Done)> = {
                let mut desk = self.desk();
                if desk.waiting.is_empty() {
                    desk.working = false;
                    desk.since = None;
                    return;
                }
                desk.last = Some(began.elapsed());
                desk.waiting.drain(..).collect()
            };
            for (write, done) in group {
                let result = self.commit(write);
                done(result);
            }
            self.desk().since = Some(Instant::now());
        }
    }

    fn commit(&self, write: Write) -> Result<(), DiskError> {
        if let Some(reason) = self.desk().poison.clone() {
            return Err(DiskError::Poisoned { reason });
        }
        let mut platter = self.platter.lock().unwrap();
        if platter.fails {
            self.desk().poison = Some(Arc::from("the sync failed"));
            return Err(DiskError::Write {
                path: PathBuf::from("platter"),
                source: Arc::from(Box::from("the sync failed")),
            });
        }
        if platter.lies {
            // Late by this many writes: gone, if the power goes.
            while platter.unsynced.len() > 8
                && let Some(late) = platter.unsynced.pop_front()
            {
                platter.apply(late);
            }
            return Ok(());
        }
        platter.unsynced.pop_front();
        platter.apply(write);
        Ok(())
    }
}

impl Disk for SimDisk {
    fn load(&self) -> Result<Loaded, DiskError> {
        let platter = self.platter.lock().unwrap();
        let first = platter.rows.first_key_value().map(|it| *it.0);
        let last = platter.rows.last_key_value().map(|it| *it.0);
        let tail = platter.rows.iter().rev().take(TAIL_ROWS).rev();
        Ok(Loaded {
            marks: platter
                .marks
                .iter()
                .map(|(mark, frame)| (*mark, frame.clone()))
                .collect(),
            purged: platter.purged,
            rows: first.zip(last),
            tail: tail
                .map(|(index, frame)| Row {
                    index: *index,
                    frame: frame.clone(),
                })
                .collect(),
            ..Loaded::default()
        })
    }

    async fn submit(&self, write: Write, done: Done) {
        self.platter
            .lock()
            .unwrap()
            .unsynced
            .push_back(write.clone());
        let mut desk = self.desk();
        desk.waiting.push_back((write, done));
        desk.since.get_or_insert_with(Instant::now);
        if !std::mem::replace(&mut desk.working, true) {
            drop(desk);
            drop(tokio::spawn(self.clone().work()));
        }
    }

    async fn rows(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<Row>, DiskError> {
        // waits because a read takes time
        sleep(Duration::from_millis(1)).await;
        let platter = self.platter.lock().unwrap();
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for index in from..to {
            let frame = platter
                .rows
                .get(&index)
                .ok_or(DiskError::MissingRow { index })?;
            bytes += frame.len();
            if !rows.is_empty() && bytes > max_bytes {
                break;
            }
            rows.push(Row {
                index,
                frame: frame.clone(),
            });
        }
        Ok(rows)
    }

    fn stalled(&self) -> Option<Duration> {
        self.desk().since.map(|it| it.elapsed())
    }

    fn last_write(&self) -> Option<Duration> {
        self.desk().last
    }

    fn poisoned(&self) -> Option<Arc<str>> {
        self.desk().poison.clone()
    }

    async fn offload<T, F>(&self, work: F) -> Result<T, DiskError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> T + Send + 'static,
    {
        // waits because long work takes time
        sleep(Duration::from_millis(3)).await;
        Ok(work(self))
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let mut platter = self.platter.lock().unwrap();
        platter.files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn read_file(&self, name: &str, _limit: u64) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.platter.lock().unwrap().files.get(name).cloned())
    }

    fn delete_file(&self, name: &str) -> Result<(), DiskError> {
        self.platter.lock().unwrap().files.remove(name);
        Ok(())
    }

    fn list_files(&self) -> Result<Vec<String>, DiskError> {
        Ok(self.platter.lock().unwrap().files.keys().cloned().collect())
    }
}
