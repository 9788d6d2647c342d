//! What a newcomer and the cluster say to each other, and how a member renews its certificate.

use serde::{Deserialize, Serialize};

use super::{Kind, Record};
use crate::model::{
    Refusal,
    nodes::{NodeFacts, Profile},
    words::{ClientId, ClusterId, KeyedHash, NodeId, TokenId},
};

/// A newcomer asks to join, over a connection that it knows to lead to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The same for each repeat, and made by nobody without the token's secret.
    pub id: ClientId,
    /// The token it was given.
    pub token: TokenId,
    /// Keyed hash of this connection's binding and of everything below, by the token's secret: it cannot be made
    /// without the secret, nor be passed on over another connection.
    pub proof: KeyedHash,
    /// The request for its certificate, PEM.
    pub csr_pem: String,
    /// What it says of itself.
    pub facts: NodeFacts,
}

impl Record for JoinRequest {
    const KIND: Kind = Kind::JoinRequest;
}

/// What became of a request to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// It is admitted.
    Welcome(Box<Welcome>),
    /// The cluster refused.
    Refused(Refusal),
    /// This node cannot read the request, the proof is wrong, or the facts are not what the certificate says.
    Malformed,
    /// This node could not have it agreed on now; another one may, or this one later.
    NotNow,
}

impl Record for JoinAnswer {
    const KIND: Kind = Kind::JoinAnswer;
}

/// Everything that makes a newcomer a member. It holds the service key: only over the proven connection.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Its id.
    pub node: NodeId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The cluster's name.
    pub cluster_name: String,
    /// How often the cluster was recovered from majority loss, from 1.
    pub generation: u32,
    /// How far apart the nodes are.
    pub profile: Profile,
    /// The authority's certificate, PEM.
    pub ca_pem: String,
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// The service key file's text.
    pub service_key: String,
    /// The nodes so far and where they listen.
    pub peers: Vec<(NodeId, String)>,
}

impl std::fmt::Debug for Welcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Welcome({}, keys withheld)", self.node)
    }
}

/// A member asks for a newer certificate for the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// The request, PEM.
    pub csr_pem: String,
}

impl Record for RenewRequest {
    const KIND: Kind = Kind::RenewRequest;
}

/// The newer certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewAnswer {
    /// The certificate, PEM.
    pub certificate_pem: String,
}

impl Record for RenewAnswer {
    const KIND: Kind = Kind::RenewAnswer;
}
