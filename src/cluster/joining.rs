//! How a cluster begins, and how a node comes to belong to it: founding, tokens, joining, newer certificates.
//!
//! A newcomer proves that it holds a token's secret, bound to the very connection it speaks over; any node can answer
//! it, because admitting is agreed on and every node can open the authority's key. A repeat of the same request gets
//! the same id. The secret of a token is never kept: the state has its SHA-256.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::{constant_time, hmac};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use openraft::{AsyncRuntime, storage::RaftStateMachine};
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    encoding::{
        EncodingError, decode, encode,
        joining::{JoinAnswer, JoinRequest, RenewAnswer, RenewRequest, Welcome},
    },
    frames::Refused,
    net::{BINDING_LABEL, Net, tuned},
    propose::Proposer,
    raft::Types,
    serve::{read_message, write_message},
};
use crate::{
    clock,
    model::{
        Actor, Command, Proposal, Refusal, Reply, State, limits,
        nodes::{CaRecord, NodeFacts, Profile, Role},
        vault::AUTHORITY_CONTEXT,
        words::{ClientId, ClusterId, KeyedHash, Label, NodeId, Timestamp, TokenId},
    },
    seal::Keyring,
    tls::{
        identity::{Identity, IdentityError},
        peer::{self, Now, PeerTlsError},
        pki::{self, Authority, PeerName, PkiError, Request},
        token::{JoinToken, Secret},
    },
};

/// The path by which a member asks for a newer certificate.
pub const RENEW_PATH: &str = "certificate";
/// How long admitting may take: a commit, with a change of leaders in between.
const ADMIT_WITHIN: Duration = Duration::from_secs(8);
/// How often and with what pause this node looks whether it has applied what was agreed through another one.
const APPLIED_LOOKS: u32 = 100;
const APPLIED_PAUSE: Duration = Duration::from_millis(20);
/// How long a newcomer waits for one node's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);

/// Answers a newcomer's request, which came over a connection with this binding.
pub type JoinAnswerer = dyn Fn([u8; 32], Bytes) -> BoxFuture<'static, Bytes> + Send + Sync;

/// Why a cluster could not be founded or joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A key or certificate could not be made.
    #[error("a key or certificate could not be made")]
    Pki(#[from] PkiError),
    /// The certificate that came does not fit.
    #[error("the certificate that the cluster gave does not fit")]
    Identity(#[from] IdentityError),
    /// TLS could not be set up.
    #[error("TLS to the cluster could not be set up")]
    Tls(#[from] PeerTlsError),
    /// The request could not be written.
    #[error("the request to join could not be written")]
    Encoding(#[from] EncodingError),
    /// The cluster said no.
    #[error("the cluster refused")]
    Refused(#[source] Refusal),
    /// The cluster finds the proof wrong or cannot read the request.
    #[error(
        "the cluster did not accept the request; is the token whole, and is this the same version of Lifeboat?"
    )]
    NotAccepted,
    /// None of the token's addresses led to a node that could admit us.
    #[error("no node of the cluster answered:{}", tried.iter().map(|(address, why)| format!("\n  {address}: {why}")).collect::<String>())]
    Nobody {
        /// Each address, and what came of it.
        tried: Vec<(String, String)>,
    },
    /// What came is for another cluster.
    #[error("what came belongs to another cluster")]
    OtherCluster,
}

/// A cluster that is about to begin: what the first node keeps, and what it proposes first.
pub struct Founding {
    /// Who the first node is.
    pub identity: Identity,
    /// The service key.
    pub keyring: Keyring,
    /// The first command of the cluster.
    pub command: Command,
}

/// Founds a cluster on its first node. Nothing is written: the caller saves identity and keyring, starts Raft, proposes.
pub fn found(
    name: Label,
    profile: Profile,
    node: NodeFacts,
    now: Timestamp,
) -> Result<Founding, JoinError> {
    let keyring = Keyring::generate();
    let first = first_node(&keyring, NodeId::FOUNDER, node, now)?;
    let command = Command::Found {
        cluster: first.identity.name.cluster,
        name,
        profile,
        authority: first.authority,
        node: first.facts,
    };
    Ok(Founding {
        identity: first.identity,
        keyring,
        command,
    })
}

/// The first node of a cluster that nobody else belongs to yet.
pub struct FirstNode {
    /// Who it is.
    pub identity: Identity,
    /// The cluster's authority, sealed by the service key.
    pub authority: CaRecord,
    /// What it says of itself.
    pub facts: NodeFacts,
}

/// A new cluster's authority and its first node's certificate. Nothing is written.
pub fn first_node(
    keyring: &Keyring,
    node: NodeId,
    mut facts: NodeFacts,
    now: Timestamp,
) -> Result<FirstNode, JoinError> {
    let cluster = ClusterId(clock::random_bytes());
    let authority = Authority::found(cluster, now)?;
    let request = Request::new()?;
    let certificate = authority.issue(&request.csr_pem, PeerName { cluster, node }, now)?;
    let ca = authority.certificate_pem().to_owned();
    let identity = Identity::from_pem(ca.clone(), certificate, request.key_pem)?;
    facts.fingerprint =
        KeyedHash(pki::fingerprint(&pki::certificate(&identity.certificate_pem)?)?.0);
    let key = keyring.seal(AUTHORITY_CONTEXT, authority.key_der());
    Ok(FirstNode {
        identity,
        authority: CaRecord {
            certificate: ca,
            key,
        },
        facts,
    })
}

/// A new join token, and the command that makes the cluster accept it. `None` before the cluster is founded.
///
/// The token is shown once, to whoever asked; only its hash is agreed on.
pub fn new_token(
    state: &State,
    role: Role,
    uses: u16,
    ttl_ms: u64,
) -> Result<Option<(JoinToken, Command)>, PkiError> {
    let Some(facts) = &state.cluster else {
        return Ok(None);
    };
    let authority = pki::fingerprint(&pki::certificate(&facts.authority.certificate)?)?;
    let (id, secret) = (TokenId(clock::random_bytes()), Secret::random());
    let addresses = state
        .members()
        .iter()
        .filter_map(|id| state.nodes.get(id))
        .map(|node| node.facts.advertise.as_str().to_owned())
        .take(limits::TOKEN_ADDRESSES_MAX)
        .collect();
    let command = Command::CreateToken {
        token: id,
        secret_hash: hash_of(&secret),
        role,
        uses,
        ttl_ms,
    };
    Ok(Some((
        JoinToken {
            cluster: facts.id,
            authority,
            addresses,
            id,
            secret,
        },
        command,
    )))
}

fn hash_of(secret: &Secret) -> KeyedHash {
    KeyedHash(Sha256::digest(secret.0).into())
}

/// The id of a request: the same for each repeat, and made by nobody without the secret.
fn id_of(secret: &KeyedHash, csr_pem: &str) -> ClientId {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret.0));
    mac.update(b"lifeboat join id 1");
    mac.update(csr_pem.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&mac.sign().as_ref()[..16]);
    ClientId(id)
}

/// Proves knowledge of the secret on this connection and for this request only.
fn prove(
    secret: &KeyedHash,
    binding: &[u8; 32],
    request: &JoinRequest,
) -> Result<KeyedHash, EncodingError> {
    let unproven = JoinRequest {
        proof: KeyedHash([0; 32]),
        ..request.clone()
    };
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret.0));
    mac.update(b"lifeboat join 1");
    mac.update(binding);
    mac.update(&encode(&unproven)?);
    let mut proof = [0; 32];
    proof.copy_from_slice(mac.sign().as_ref());
    Ok(KeyedHash(proof))
}

/// Admits newcomers and renews certificates, on any node.
pub struct Admission<R: AsyncRuntime, N: Net, SM: RaftStateMachine<Types<R>>> {
    state: Arc<ArcSwap<State>>,
    proposer: Proposer<R, N, SM>,
    keyring: Arc<Keyring>,
    now: Now,
}

impl<R: AsyncRuntime, N: Net, SM: RaftStateMachine<Types<R>>> Admission<R, N, SM> {
    /// Admits into the cluster whose agreed `state` this is.
    pub fn new(
        state: Arc<ArcSwap<State>>,
        proposer: Proposer<R, N, SM>,
        keyring: Arc<Keyring>,
        now: Now,
    ) -> Arc<Self> {
        Arc::new(Self {
            state,
            proposer,
            keyring,
            now,
        })
    }

    /// What answers newcomers on the peer port.
    pub fn answerer(self: &Arc<Self>) -> Arc<JoinAnswerer> {
        let admission = self.clone();
        Arc::new(move |binding, request| {
            let admission = admission.clone();
            async move {
                let answer = admission.admit(binding, &request).await;
                // An answer too large to write cannot be: names and addresses are bounded.
                encode(&answer).map(Bytes::from).unwrap_or_default()
            }
            .boxed()
        })
    }

    async fn admit(&self, binding: [u8; 32], request: &[u8]) -> JoinAnswer {
        let Ok(mut request) = decode::<JoinRequest>(request) else {
            return JoinAnswer::Malformed;
        };
        let state = self.state.load_full();
        let (Some(cluster), Some(authority)) = (&state.cluster, self.authority(&state)) else {
            return JoinAnswer::NotNow;
        };
        let token = state.tokens.get(&request.token).map(|it| it.secret_hash);
        let proven = |secret| {
            prove(secret, &binding, &request).is_ok_and(|proof| {
                constant_time::verify_slices_are_equal(&proof.0, &request.proof.0).is_ok()
            })
        };
        if token.as_ref().is_some_and(|secret| !proven(secret)) {
            return JoinAnswer::Refused(Refusal::TokenWrong);
        }
        let Ok(fingerprint) = pki::request_fingerprint(&request.csr_pem) else {
            return JoinAnswer::Malformed;
        };
        request.facts.fingerprint = KeyedHash(fingerprint.0);
        let command = Command::AdmitNode {
            token: request.token,
            // A token that was used up is unknown, yet its owner may be asking again because the answer got lost. The
            // cluster then knows the request by its id, which only the secret makes, or refuses the empty hash.
            secret_hash: token.unwrap_or(KeyedHash([0; 32])),
            node: request.facts.clone(),
        };
        match self.agree(request.id, command).await {
            Some(Reply::Admitted(node))
                if self.is_known_as(node, &request.facts.fingerprint).await =>
            {
                self.welcome(&authority, cluster, node, &request.csr_pem)
            }
            // The token is newer than what this node has applied.
            Some(Reply::Refused(Refusal::TokenWrong)) if token.is_none() => JoinAnswer::NotNow,
            Some(Reply::Refused(refusal)) => JoinAnswer::Refused(refusal),
            Some(_) | None => JoinAnswer::NotNow,
        }
    }

    /// Waits until this node has applied the admission, and says whether it was for this key.
    async fn is_known_as(&self, node: NodeId, fingerprint: &KeyedHash) -> bool {
        for _ in 0..APPLIED_LOOKS {
            if let Some(known) = self.state.load().nodes.get(&node) {
                return known.facts.fingerprint == *fingerprint;
            }
            sleep(APPLIED_PAUSE).await;
        }
        false
    }

    fn welcome(
        &self,
        authority: &Authority,
        cluster: &crate::model::nodes::ClusterFacts,
        node: NodeId,
        csr_pem: &str,
    ) -> JoinAnswer {
        let name = PeerName {
            cluster: cluster.id,
            node,
        };
        let Ok(certificate_pem) = authority.issue(csr_pem, name, (self.now)()) else {
            return JoinAnswer::Malformed;
        };
        let state = self.state.load();
        let listens = |(id, it): (&NodeId, &crate::model::nodes::Node)| {
            (*id, it.facts.advertise.as_str().to_owned())
        };
        JoinAnswer::Welcome(Box::new(Welcome {
            node,
            cluster: cluster.id,
            cluster_name: cluster.name.to_string(),
            generation: cluster.generation,
            profile: cluster.profile,
            ca_pem: authority.certificate_pem().to_owned(),
            certificate_pem,
            service_key: self.keyring.to_text(),
            peers: state
                .nodes
                .iter()
                .map(listens)
                .filter(|(id, _)| *id != node)
                .collect(),
        }))
    }

    async fn agree(&self, id: ClientId, command: Command) -> Option<Reply> {
        let proposal = Proposal {
            actor: Actor::System,
            ..Proposal::of_node(id, self.proposer.transport.us().node, command)
        };
        self.proposer
            .propose(proposal, ADMIT_WITHIN)
            .await
            .ok()
            .map(|it| it.reply)
    }

    /// Signs a newer certificate for a member that proved itself by its old one.
    pub fn renew(&self, from: NodeId, request: &[u8]) -> Result<Bytes, Refused> {
        let RenewRequest { csr_pem } = decode(request).map_err(|_| Refused::Malformed)?;
        let certificate_pem = self.issue(from, &csr_pem)?;
        encode(&RenewAnswer { certificate_pem })
            .map(Bytes::from)
            .map_err(|_| Refused::Failed)
    }

    /// Signs a certificate for a node that the state knows. A node without peers signs its own.
    pub fn issue(&self, node: NodeId, csr_pem: &str) -> Result<String, Refused> {
        let state = self.state.load();
        let (Some(cluster), Some(authority)) = (&state.cluster, self.authority(&state)) else {
            return Err(Refused::Failed);
        };
        if !state.nodes.contains_key(&node) {
            return Err(Refused::NotAMember);
        }
        let name = PeerName {
            cluster: cluster.id,
            node,
        };
        authority
            .issue(csr_pem, name, (self.now)())
            .map_err(|_| Refused::Malformed)
    }

    fn authority(&self, state: &State) -> Option<Authority> {
        let record = &state.cluster.as_ref()?.authority;
        let key = self.keyring.open(AUTHORITY_CONTEXT, &record.key)?;
        Authority::open(&record.certificate, &key).ok()
    }
}

/// What a newcomer keeps once it is admitted. Nothing is written: the caller saves it, identity last.
#[derive(Debug)]
pub struct Joined {
    /// Who it is now.
    pub identity: Identity,
    /// Everything else that it was told.
    pub welcome: Welcome,
}

/// Joins the cluster that a token leads to. Tries each address; a refusal ends it.
///
/// # Errors
/// Says for each address what came of it. With the same `keys` it can be tried again and admits once.
pub async fn join(
    token: &JoinToken,
    facts: NodeFacts,
    keys: &Request,
    now: Now,
) -> Result<Joined, JoinError> {
    let request = JoinRequest {
        id: id_of(&hash_of(&token.secret), &keys.csr_pem),
        token: token.id,
        proof: KeyedHash([0; 32]),
        csr_pem: keys.csr_pem.clone(),
        facts,
    };
    let config = peer::join_client(token.authority, token.cluster, now)?;
    let connector = TlsConnector::from(config);
    let mut tried = Vec::new();
    for address in &token.addresses {
        let asked = timeout(ANSWER_WITHIN, ask(&connector, address, token, &request)).await;
        match asked {
            Ok(Ok(JoinAnswer::Welcome(welcome))) => {
                return accept(token, keys.key_pem.clone(), *welcome);
            }
            Ok(Ok(JoinAnswer::Refused(refusal))) => return Err(JoinError::Refused(refusal)),
            Ok(Ok(JoinAnswer::Malformed)) => return Err(JoinError::NotAccepted),
            Ok(Ok(JoinAnswer::NotNow)) => {
                tried.push((
                    address.clone(),
                    "it cannot have it agreed on now".to_owned(),
                ));
            }
            Ok(Err(why)) => tried.push((address.clone(), why.to_string())),
            Err(_) => tried.push((address.clone(), "it did not answer in time".to_owned())),
        }
    }
    Err(JoinError::Nobody { tried })
}

async fn ask(
    connector: &TlsConnector,
    address: &str,
    token: &JoinToken,
    request: &JoinRequest,
) -> std::io::Result<JoinAnswer> {
    let found: Option<SocketAddr> = lookup_host(address).await?.next();
    let found = found.ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let stream = TcpStream::connect(found).await?;
    tuned(&stream)?;
    let mut stream = connector
        .connect(ServerName::from(found.ip()), stream)
        .await?;
    let binding = stream
        .get_ref()
        .1
        .export_keying_material([0; 32], BINDING_LABEL, None)
        .map_err(std::io::Error::other)?;
    let mut request = request.clone();
    request.proof =
        prove(&hash_of(&token.secret), &binding, &request).map_err(std::io::Error::other)?;
    let bytes = encode(&request).map_err(std::io::Error::other)?;
    write_message(&mut stream, &bytes).await?;
    let answer = read_message(&mut stream, limits::PEER_JOIN_BYTES_MAX).await?;
    decode(&answer).map_err(std::io::Error::other)
}

fn accept(token: &JoinToken, key_pem: String, welcome: Welcome) -> Result<Joined, JoinError> {
    let identity = Identity::from_pem(
        welcome.ca_pem.clone(),
        welcome.certificate_pem.clone(),
        key_pem,
    )?;
    let name = PeerName {
        cluster: token.cluster,
        node: welcome.node,
    };
    if identity.name != name
        || identity.authority != token.authority
        || welcome.cluster != token.cluster
    {
        return Err(JoinError::OtherCluster);
    }
    Ok(Joined { identity, welcome })
}
