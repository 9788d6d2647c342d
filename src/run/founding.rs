//! Founding a cluster on its first node, and joining one: everything is written, the record of who lives here last,
//! so that what was interrupted can simply be done again.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{
    NoPart, Place, PlaceError, Resident,
    part::{Part, Peers},
    report,
};
use crate::{
    blobs::{BlobError, Blobs},
    clock,
    cluster::{
        ProposeError,
        agreement::OpenError,
        joining::{self, JoinError},
        sqlite::SqliteDisk,
    },
    config::Config,
    model::{
        Actor, Proposal, Refusal, Reply,
        words::{ClientId, KeyedHash, Label, NodeId, Wrong},
    },
    seal::{KeyError, Keyring},
    tasks::Tasks,
    tls::{
        identity::IdentityError,
        pki::{PkiError, Request},
        token::JoinToken,
    },
};

/// How long a lone node's first entry may take: an election and two fsyncs.
const FIRST_ENTRY_WITHIN: Duration = Duration::from_secs(20);
/// How long the founding node may take to stop again.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Why a cluster was not founded or joined.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The data folder.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The service key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The identity could not be written.
    #[error("the node's identity cannot be written")]
    Identity(#[from] IdentityError),
    /// Keys or certificates, or the cluster's answer.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A key could not be made.
    #[error("a key could not be made")]
    Pki(#[from] PkiError),
    /// Raft could not run.
    #[error("the first node cannot run")]
    NoPart(#[from] NoPart),
    /// Raft could not be started on its first node.
    #[error("the cluster cannot be started")]
    Start(#[from] OpenError),
    /// The blobs.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The first entry was not agreed on.
    #[error("the cluster's first entry was not agreed on")]
    NotAgreed(#[source] ProposeError),
    /// The first entry was refused.
    #[error("the cluster's first entry was refused")]
    Refused(#[source] Refusal),
    /// What came from the cluster is no valid name or address.
    #[error("the cluster sent a {what} that cannot be")]
    Nonsense {
        /// What.
        what: &'static str,
        /// What was wanted.
        #[source]
        source: Wrong,
    },
    /// Threads could not be started.
    #[error("cannot start threads")]
    Threads(#[source] std::io::Error),
}

/// Founds a cluster of which this machine is the first node. Blocks until its first entry is durable.
///
/// # Errors
/// Nothing was founded; what was written is overwritten by the next attempt.
pub fn found(config: &Config, name: Label) -> Result<Resident, FoundError> {
    let place = Place::open(&config.node.data_dir)?;
    place.must_be_empty()?;
    place.make_room()?;
    let facts = report::facts(config, KeyedHash([0; 32]));
    let founding = joining::found(
        name.clone(),
        config.cluster.profile.into(),
        facts,
        clock::now(),
    )?;
    founding.keyring.save(&place.service_key())?;
    founding.identity.save(&place.identity())?;
    let resident = Resident::new(
        founding.identity.name.cluster,
        name,
        NodeId::FOUNDER,
        config.cluster.profile.into(),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("raft")
        .enable_all()
        .build()
        .map_err(FoundError::Threads)?;
    let blobs = Blobs::open(&place.blobs())?;
    let keyring = Arc::new(founding.keyring);
    runtime.block_on(async {
        let listen = config.cluster.listen;
        let mut part = Part::new(place.clone(), resident.clone(), listen, blobs, keyring);
        let Peers { mut agreement, .. } = part.open(None).await?;
        let mut tasks = Tasks::new();
        for (name, work) in agreement.work.drain(..) {
            tasks.start(runtime.handle(), name, work);
        }
        agreement.found().await?;
        let proposal = Proposal {
            actor: Actor::System,
            ..Proposal::of_node(
                ClientId(clock::random_bytes()),
                NodeId::FOUNDER,
                founding.command,
            )
        };
        let agreed = agreement
            .cluster
            .propose(proposal, FIRST_ENTRY_WITHIN)
            .await
            .map_err(FoundError::NotAgreed)?;
        tasks.stop(STOP_WITHIN).await;
        agreement.stop().await;
        match agreed.reply {
            Reply::Refused(refusal) => Err(FoundError::Refused(refusal)),
            Reply::Done
            | Reply::Admitted(_)
            | Reply::Wanted(_)
            | Reply::Kept { .. }
            | Reply::Leased { .. }
            | Reply::Directory(_)
            | Reply::Sending { .. }
            | Reply::Made(_) => Ok(()),
        }
    })?;
    place.settle(&resident)?;
    Ok(resident)
}

/// Joins the cluster that a token leads to. This node votes once it has run, caught up, and the voters stay sound.
///
/// # Errors
/// Says for each address of the token what came of it. Trying again with the same token is safe.
pub fn join(config: &Config, token: &JoinToken) -> Result<Resident, FoundError> {
    let place = Place::open(&config.node.data_dir)?;
    place.must_be_empty()?;
    settle(config, token, &place)
}

/// Lets the node that lives here join its cluster as a new one: its log is lost, or with it its vote. Letterbox, blobs
/// and the website stay; log, identity and number are given up, once the cluster has admitted the new node.
///
/// # Errors
/// When nobody lives here, the node runs, or the token is another cluster's; otherwise as [`join`].
pub fn rejoin(config: &Config, token: &JoinToken) -> Result<Resident, FoundError> {
    let place = Place::open(&config.node.data_dir)?;
    let old = place.resident()?;
    if old.cluster != token.cluster {
        return Err(JoinError::OtherCluster.into());
    }
    let _held = place.hold()?;
    settle(config, token, &place)
}

/// Has the cluster admit this machine, then makes room in the data folder and writes down who lives there.
fn settle(config: &Config, token: &JoinToken, place: &Place) -> Result<Resident, FoundError> {
    let keys = Request::new()?;
    let facts = report::facts(
        config,
        KeyedHash(crate::tls::pki::key_fingerprint(&keys.key_pem)?.0),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(FoundError::Threads)?;
    let joined = runtime.block_on(joining::join(token, facts, &keys, clock::now))?;
    let welcome = joined.welcome;
    let keyring = Keyring::from_text(&welcome.service_key).ok_or_else(|| KeyError::Malformed {
        path: place.service_key(),
    })?;
    let nonsense = |what| move |source| FoundError::Nonsense { what, source };
    let name = Label::new(&welcome.cluster_name).map_err(nonsense("cluster name"))?;
    let mut resident = Resident::new(welcome.cluster, name, welcome.node, welcome.profile);
    resident.generation = welcome.generation;
    for (node, address) in &welcome.peers {
        let address: SocketAddr = address
            .parse()
            .map_err(|_| nonsense("peer's address")(Wrong::wanted("an address and a port")))?;
        resident.seeds.insert(*node, address);
    }
    place.make_room()?;
    keyring.save(&place.service_key())?;
    joined.identity.save(&place.identity())?;
    // An empty log from the start, so that one that is missing later is known to be lost, with the vote in it.
    drop(SqliteDisk::open(&place.raft()).map_err(NoPart::Disk)?);
    place.settle(&resident)?;
    Ok(resident)
}
