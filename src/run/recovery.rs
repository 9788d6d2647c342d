//! A node that stands still: what its disk holds after the loss of a majority, and how it becomes a cluster of its own.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Place, PlaceError, Resident};
use crate::{
    clock,
    cluster::{
        disk::DiskError,
        recovery::{Reach, Recovery, RecoveryError},
        sqlite::SqliteDisk,
    },
    config::Config,
    durable,
    model::{
        Actor, Command, Proposal, State,
        nodes::Recovered,
        words::{ClientId, NodeId},
    },
};

/// How long a node that is declared dead may take to show that it is not.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Why nothing was looked at or recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The data folder.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The disk.
    #[error("the log cannot be opened")]
    Disk(#[from] DiskError),
    /// The log.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The old log cannot be put aside.
    #[error("the log cannot be copied to {}", path.display())]
    Copy {
        /// Where to.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Threads could not be started.
    #[error("cannot start threads")]
    Threads(#[source] std::io::Error),
    /// What was asked for does not fit.
    #[error("{what}")]
    Unfit {
        /// In words, with what to do.
        what: String,
    },
}

/// A node that stands still, looked at.
pub struct Survivor {
    /// Who lives there.
    pub resident: Resident,
    /// Everything in its log applied.
    pub state: Arc<State>,
    /// How far its log reaches.
    pub reach: Reach,
    place: Place,
    recovery: Recovery<SqliteDisk>,
    runtime: tokio::runtime::Runtime,
    /// The folder is ours for as long as this is held.
    _held: fs::File,
}

/// Opens what this machine's node has. The node must not run.
///
/// # Errors
/// When it runs, or its log cannot be read as a whole.
pub fn survivor(config: &Config) -> Result<Survivor, RecoverError> {
    let place = Place::open(&config.node.data_dir)?;
    let resident = place.resident()?;
    let held = place.hold()?;
    super::part::must_have_log(&place).map_err(|it| RecoverError::Unfit {
        what: it.to_string(),
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(RecoverError::Threads)?;
    let disk = SqliteDisk::open(&place.raft())?;
    let opening = Recovery::open(disk, resident.cluster, resident.node);
    let recovery = runtime.block_on(opening)?;
    Ok(Survivor {
        state: recovery.state(),
        reach: recovery.reach(),
        resident,
        place,
        recovery,
        runtime,
        _held: held,
    })
}

impl Survivor {
    /// What a node is called.
    pub fn name_of(&self, id: NodeId) -> String {
        let node = self.state.nodes.get(&id);
        node.map_or_else(|| id.to_string(), |it| it.facts.name.to_string())
    }

    /// Whether a recovery replaced the log and was interrupted before the node knew of its new generation.
    pub fn is_interrupted(&self) -> bool {
        let agreed = self.state.cluster.as_ref().map_or(0, |it| it.generation);
        let alone = self.state.voters.len() == 1 && self.others().is_empty();
        alone && agreed > self.resident.generation
    }

    /// The voters besides this node.
    pub fn others(&self) -> Vec<NodeId> {
        let others = self.state.voters.iter().copied();
        others.filter(|it| *it != self.resident.node).collect()
    }

    /// The voters of these names, if without them no majority is left and none of them answers.
    ///
    /// # Errors
    /// When a name is nobody's, a majority is left, or somebody answers who is declared dead.
    pub fn dead(&self, names: &[String], although: bool) -> Result<Vec<NodeId>, RecoverError> {
        let unfit = |what: String| RecoverError::Unfit { what };
        if self.is_interrupted() {
            return Ok(Vec::new());
        }
        let others = self.others();
        let known = || {
            let names: Vec<String> = others.iter().map(|it| self.name_of(*it)).collect();
            names.join(", ")
        };
        let mut dead = Vec::new();
        for name in names {
            let found = others.iter().find(|it| self.name_of(**it) == *name);
            let found = found.copied().ok_or_else(|| {
                unfit(format!(
                    "{name} is no other voter of this cluster; found {name}, wanted some of {}",
                    known()
                ))
            })?;
            if !dead.contains(&found) {
                dead.push(found);
            }
        }
        let voters = self.state.voters.len();
        let left = voters - dead.len();
        if left > voters / 2 {
            return Err(unfit(format!(
                "{left} of {voters} voters are left, and that is a majority: start them, and replace who is gone with \
                 'lifeboat nodes replace'"
            )));
        }
        let answering: Vec<String> = dead
            .iter()
            .filter(|it| !although && self.answers(**it))
            .map(|it| self.name_of(*it))
            .collect();
        if !answering.is_empty() {
            return Err(unfit(format!(
                "{} answers on its port for other nodes, and so is not dead: stop it first, or two clusters go on from \
                 here (--although-it-answers where something else answers there)",
                answering.join(", ")
            )));
        }
        Ok(dead)
    }

    fn answers(&self, id: NodeId) -> bool {
        let node = self.state.nodes.get(&id);
        let address = node.and_then(|it| it.facts.advertise.as_str().parse::<SocketAddr>().ok());
        address.is_some_and(|it| TcpStream::connect_timeout(&it, ANSWERS_WITHIN).is_ok())
    }

    /// Makes this node a cluster of its own, one generation on. Says where the old log lies.
    ///
    /// # Errors
    /// What could not be written. It can be done again.
    pub fn apply(self, dead: Vec<NodeId>, uid: u32) -> Result<(Resident, PathBuf), RecoverError> {
        let done_before = self.is_interrupted();
        let mut resident = self.resident;
        let agreed = self.state.cluster.as_ref().map_or(1, |it| it.generation);
        let aside = self.place.before_recovery(agreed);
        let copied = copy_folder(&self.place.raft(), &aside);
        copied.map_err(|source| RecoverError::Copy {
            path: aside.clone(),
            source,
        })?;
        if done_before {
            resident.generation = agreed;
        } else {
            let generation = agreed + 1;
            let record = Command::Recovered(Recovered {
                node: resident.node,
                generation,
                dead,
            });
            let id = ClientId(clock::random_bytes());
            let record = Proposal {
                actor: Actor::Local { uid },
                ..Proposal::of_node(id, resident.node, record)
            };
            let at = clock::now().max(self.state.now);
            let recovered = self.recovery.become_the_only_one(resident.node, at, record);
            self.runtime.block_on(recovered)?;
            resident.generation = generation;
        }
        resident.seeds.clear();
        self.place.settle(&resident)?;
        Ok((resident, aside))
    }
}

/// Copies a folder of files, durably. One that is there from an earlier try is left as it is.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        return Ok(());
    }
    let part = to.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    fs::create_dir(&part)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let target = part.join(entry.file_name());
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    durable::sync_folder(&part)?;
    fs::rename(&part, to)?;
    durable::sync_folder(to.parent().unwrap_or(to))
}
