//! The log of a node that does not run: read, applied as the node would, and written to, so that stories can begin with
//! what only a crash at the wrong moment or a fault leaves behind.

use anyhow::{Context, Result};
use lifeboat::cluster::disk::{Disk, Mark, Row, Write};
use lifeboat::cluster::encoding::{EntryRecord, Kind, LogIdRecord, decode, encode};
use lifeboat::cluster::hashes::Hashes;
use lifeboat::cluster::raft::{Entry, LogId, Payload, SnapshotMeta, StoredMembership};
use lifeboat::cluster::snapshots::{self, Contents};
use lifeboat::cluster::sqlite::SqliteDisk;
use lifeboat::model::words::{ClusterId, NodeId};
use lifeboat::model::{Command, Reply, State};
use lifeboat::run::Place;

use super::node::Node;

/// The log of a node that does not run, as far as it knows that it is agreed on.
pub struct Logbook {
    /// What is agreed on.
    pub entries: Vec<Entry>,
    /// The last entry, agreed on or not.
    pub last: LogId,
    /// Which node's it is.
    pub node: NodeId,
    disk: SqliteDisk,
    cluster: ClusterId,
}

impl Logbook {
    /// Opens it.
    ///
    /// # Errors
    /// When the node runs, or its log cannot be read.
    pub fn of(node: &Node) -> Result<Self> {
        let place = Place::open(&node.data)?;
        let disk = SqliteDisk::open(&place.raft())?;
        let loaded = disk.load()?;
        let mark = |wanted| loaded.marks.iter().find(|(mark, _)| *mark == wanted);
        let (_, committed) = mark(Mark::Committed).context("nothing is agreed on")?;
        let committed = decode::<LogIdRecord>(committed)?.index;
        let agreed = loaded.tail.iter().filter(|row| row.index <= committed);
        let read = |row: &Row| decode::<EntryRecord>(&row.frame)?.into_raft(Kind::Entry);
        let entries = agreed.map(read).collect::<Result<_, _>>()?;
        let last = loaded.tail.last().context("the log is empty")?;
        let resident = place.resident()?;
        Ok(Self {
            entries,
            last: read(last)?.log_id,
            node: resident.node,
            cluster: resident.cluster,
            disk,
        })
    }

    /// What comes of the first `count` entries when those that `missed` names are passed over.
    ///
    /// # Errors
    /// When an entry cannot be read.
    pub fn applied(&self, count: usize, missed: impl Fn(&Command) -> bool) -> Result<Contents> {
        let mut state = State::default();
        let mut membership = StoredMembership::default();
        let mut hashes = Hashes::default();
        for entry in &self.entries[..count] {
            let index = entry.log_id.index;
            let mut reply = Reply::Done;
            match &entry.payload {
                Payload::Blank => {}
                Payload::Membership(set) => {
                    membership = StoredMembership::new(Some(entry.log_id), set.clone());
                    let voters = set.voter_ids().map(NodeId).collect();
                    state.set_members(index, voters, set.learner_ids().map(NodeId).collect());
                }
                Payload::Normal(packed) => {
                    let stamped = packed.read()?;
                    if missed(&stamped.proposal.command) {
                        continue;
                    }
                    let stamped = &stamped;
                    reply = state.apply(&lifeboat::model::Entry { index, stamped });
                }
            }
            let payload = postcard::to_stdvec(&EntryRecord::from(entry).payload)?;
            hashes.add(index, &payload, &postcard::to_stdvec(&reply)?);
        }
        let last = self.entries.get(count - 1).map(|it| it.log_id);
        Ok(Contents {
            state,
            meta: SnapshotMeta {
                last_log_id: last,
                last_membership: membership,
            },
            running: hashes.last().context("nothing was applied")?.1,
        })
    }

    /// Writes a snapshot as the node itself would; returns its file's name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, contents: &Contents) -> Result<String> {
        let packed = snapshots::pack(self.cluster, contents)?;
        let name = snapshots::file_name(contents.meta.last_log_id);
        self.disk.write_file(&name, &packed.file)?;
        Ok(name)
    }

    /// Writes one entry over what is in its place, or after the last.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put(&self, entry: &Entry) -> Result<()> {
        let (done, written) = tokio::sync::oneshot::channel();
        let row = Row {
            index: entry.log_id.index,
            frame: encode(&EntryRecord::from(entry))?.into(),
        };
        let tell = Box::new(move |result| drop(done.send(result)));
        self.disk.submit(Write::Append(vec![row]), tell).await;
        Ok(written.await??)
    }
}
