//! This node's record of what it sent of one campaign: a line before each final dot and one after each answer, on disk
//! before either counts. One thread writes, and fsyncs once for everything that waits.
//!
//! It is evidence, not the source of truth: after a crash it says what the cluster does not know yet, and for which
//! recipients nobody can know. A torn end is cut off; nothing behind it was counted on.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::oneshot;

use crate::durable;
use crate::model::campaign::{Fact, Status, What};
use crate::model::limits::SENDING_RECORDS_MAX;

/// Bytes of one record: kind, what, segment, place, code, detail, padding, checksum.
const RECORD: usize = 22;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A final dot is about to be sent.
    Begin {
        /// The segment.
        segment: u32,
        /// The place in it.
        place: u16,
    },
    /// It was not sent after all.
    TakenBack {
        /// The segment.
        segment: u32,
        /// The place in it.
        place: u16,
    },
    /// What came of it.
    End(Fact),
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system said no.
    #[error("cannot use the sending journal {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A write failed; nothing about the file can be trusted until the node starts anew.
    #[error("the sending journal takes no more")]
    Closed,
}

struct Job {
    record: Record,
    done: Option<oneshot::Sender<()>>,
}

/// An open journal. Cheap to clone; its thread ends with the last clone.
#[derive(Clone)]
pub struct Journal {
    jobs: SyncSender<Job>,
}

impl Journal {
    /// Opens the file, making it if needed, and says what it holds that may not be agreed on: every outcome, and
    /// `Unanswered` for each dot whose answer was not written down. Blocking.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(path: &Path) -> Result<(Journal, Vec<Fact>), JournalError> {
        let failed = |source| JournalError::File {
            path: path.to_owned(),
            source,
        };
        let fresh = !path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let records = records(&bytes);
        file.set_len((records.len() * RECORD) as u64)
            .map_err(failed)?;
        file.seek(io::SeekFrom::End(0)).map_err(failed)?;
        if fresh && let Some(folder) = path.parent() {
            durable::sync_folder(folder).map_err(failed)?;
        }
        let facts = left_over(&records);
        let (jobs, queue) = sync_channel(SENDING_RECORDS_MAX);
        thread::Builder::new()
            .name("sending".to_owned())
            .spawn(move || keep(file, &queue))
            .map_err(failed)?;
        let journal = Journal { jobs };
        for fact in &facts {
            // Written down as known, so that it is not told once more after the next start.
            if fact.what == What::Unanswered {
                journal.note(Record::End(*fact));
            }
        }
        Ok((journal, facts))
    }

    /// Writes a record and waits until it is on disk.
    ///
    /// # Errors
    /// When the disk failed: then nothing may be sent on the strength of it.
    pub async fn write(&self, record: Record) -> Result<(), JournalError> {
        let (done, written) = oneshot::channel();
        let job = Job {
            record,
            done: Some(done),
        };
        self.jobs.try_send(job).map_err(|_| JournalError::Closed)?;
        written.await.map_err(|_| JournalError::Closed)
    }

    /// Writes a record without waiting: lost at a crash, it costs at most one question.
    pub fn note(&self, record: Record) {
        // A journal that is closed has said so to whoever waited for it.
        let _ = self.jobs.try_send(Job { record, done: None });
    }
}

/// Takes everything that waits, writes it, fsyncs once, and answers. Ends when the disk fails or nobody is left.
fn keep(mut file: File, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        while batch.len() < SENDING_RECORDS_MAX
            && let Ok(job) = queue.try_recv()
        {
            batch.push(job);
        }
        let bytes: Vec<u8> = batch.iter().flat_map(|it| encoded(&it.record)).collect();
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            tracing::error!(%error, "the sending journal's disk failed; this node sends no more of the campaign");
            return;
        }
        for job in batch {
            if let Some(done) = job.done {
                // Whoever waited may have gone.
                let _ = done.send(());
            }
        }
    }
}

/// Reads the facts of a file that nobody has open. Blocking.
///
/// # Errors
/// When it cannot be read.
pub fn facts_of(path: &Path) -> io::Result<Vec<Fact>> {
    Ok(left_over(&records(&fs::read(path)?)))
}

/// What the cluster may not know: the last thing of each recipient.
fn left_over(records: &[Record]) -> Vec<Fact> {
    let mut last: BTreeMap<(u32, u16), Option<What>> = BTreeMap::new();
    for record in records {
        match *record {
            Record::Begin { segment, place } => {
                last.insert((segment, place), Some(What::Unanswered));
            }
            Record::TakenBack { segment, place } => {
                last.insert((segment, place), None);
            }
            // It was told of when it was written down, and more than once makes it worse.
            Record::End(Fact {
                segment,
                place,
                what: What::Unanswered,
            }) => drop(last.insert((segment, place), None)),
            Record::End(fact) => drop(last.insert((fact.segment, fact.place), Some(fact.what))),
        }
    }
    let known = last.into_iter();
    known
        .filter_map(|((segment, place), what)| {
            Some(Fact {
                segment,
                place,
                what: what?,
            })
        })
        .collect()
}

fn encoded(record: &Record) -> [u8; RECORD] {
    let nothing = Status::default();
    let (kind, what, segment, place, status) = match *record {
        Record::Begin { segment, place } => (b'I', 0, segment, place, nothing),
        Record::TakenBack { segment, place } => (b'B', 0, segment, place, nothing),
        Record::End(fact) => {
            let (what, status) = match fact.what {
                What::Delivered => (1, nothing),
                What::Refused(status) => (2, status),
                What::Rejected(status) => (3, status),
                What::Suppressed => (4, nothing),
                What::Unanswered => (5, nothing),
            };
            (b'O', what, fact.segment, fact.place, status)
        }
    };
    let mut bytes = [0; RECORD];
    bytes[0] = kind;
    bytes[1] = what;
    bytes[2..6].copy_from_slice(&segment.to_be_bytes());
    bytes[6..8].copy_from_slice(&place.to_be_bytes());
    bytes[8..10].copy_from_slice(&status.code.to_be_bytes());
    bytes[10..12].copy_from_slice(&status.detail.0.to_be_bytes());
    bytes[12..14].copy_from_slice(&status.detail.1.to_be_bytes());
    let sum = crc32c::crc32c(&bytes[..18]);
    bytes[18..].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The records up to the first that is torn.
fn records(bytes: &[u8]) -> Vec<Record> {
    bytes.chunks_exact(RECORD).map_while(decoded).collect()
}

fn decoded(bytes: &[u8]) -> Option<Record> {
    let (body, sum) = bytes.split_at_checked(18)?;
    if crc32c::crc32c(body).to_be_bytes() != *sum {
        return None;
    }
    let number = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    let segment = u32::from_be_bytes([body[2], body[3], body[4], body[5]]);
    let place = number(6)?;
    let status = Status {
        code: number(8)?,
        detail: (number(10)?, number(12)?),
    };
    let what = match (body[0], body[1]) {
        (b'I', _) => return Some(Record::Begin { segment, place }),
        (b'B', _) => return Some(Record::TakenBack { segment, place }),
        (b'O', 1) => What::Delivered,
        (b'O', 2) => What::Refused(status),
        (b'O', 3) => What::Rejected(status),
        (b'O', 4) => What::Suppressed,
        (b'O', 5) => What::Unanswered,
        _ => return None,
    };
    Some(Record::End(Fact {
        segment,
        place,
        what,
    }))
}
