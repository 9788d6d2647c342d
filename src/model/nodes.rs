//! Nodes: who was admitted, what each says of itself, who may vote, and by which tokens new ones come.

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use super::{
    Actor, Refusal, Reply, State, health, limits, site, trust,
    words::{ClusterId, KeyedHash, Label, NodeId, Note, Sealed, Timestamp, TokenId},
};

/// The cluster's own facts, set when it is founded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// Chosen at random.
    pub id: ClusterId,
    /// For people.
    pub name: Label,
    /// Raised by a recovery from majority loss; nodes of an older one are fenced.
    pub generation: u32,
    /// Timing profile of every node.
    pub profile: Profile,
    /// The authority that signs node certificates.
    pub authority: CaRecord,
    /// When it was founded.
    pub founded: Timestamp,
}

/// The cluster's certificate authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaRecord {
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key (PKCS #8, DER), sealed.
    pub key: Sealed,
}

/// How far apart the nodes are; decides every Raft timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Profile {
    /// One room: round trips up to 5 ms.
    Lan,
    /// One continent: round trips up to 40 ms.
    #[default]
    Near,
    /// The world: round trips up to 150 ms.
    Wan,
}

impl Profile {
    /// Every profile, fastest first.
    pub const ALL: [Self; 3] = [Self::Lan, Self::Near, Self::Wan];

    /// As written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Near => "near",
            Self::Wan => "wan",
        }
    }

    /// The profile of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The longest round trip, in milliseconds, that its timers bear.
    pub fn round_trip_ms_max(self) -> u64 {
        match self {
            Self::Lan => 5,
            Self::Near => 40,
            Self::Wan => 150,
        }
    }
}

/// What a node may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Votes once it has caught up.
    Voter,
    /// Receives everything, never votes.
    Learner,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// For people; unique.
    pub name: Label,
    /// Who rents it to us; decides how votes are spread.
    pub provider: Label,
    /// Where it stands.
    pub region: Label,
    /// Address and port at which other nodes reach it.
    pub advertise: Note,
    /// Host names at which people reach its website.
    pub sites: Vec<Note>,
    /// SHA-256 of its certificate's public key.
    pub fingerprint: KeyedHash,
    /// The newest entry format that it can read.
    pub format: u16,
    /// Its program's version.
    pub version: Note,
}

/// A node that was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it says of itself.
    pub facts: NodeFacts,
    /// What it may become.
    pub role: Role,
    /// When it was admitted.
    pub admitted: Timestamp,
    /// Which start of it last reported.
    pub incarnation: u64,
}

/// A join token; only its hash is known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// SHA-256 of the secret.
    pub secret_hash: KeyedHash,
    /// What the new node may become.
    pub role: Role,
    /// How many more nodes may join with it.
    pub uses: u16,
    /// Until when.
    pub expires: Timestamp,
}

pub(super) fn found(
    state: &mut State,
    facts: ClusterFacts,
    node: NodeFacts,
) -> Result<Reply, Refusal> {
    if state.cluster.is_some() {
        return Err(Refusal::AlreadyFounded);
    }
    state.failover.released = facts.generation;
    state.cluster = Some(facts);
    state.nodes.insert(
        NodeId::FOUNDER,
        Node {
            facts: node,
            role: Role::Voter,
            admitted: state.now,
            incarnation: 0,
        },
    );
    Ok(Reply::Admitted(NodeId::FOUNDER))
}

/// What a recovery from the loss of a majority puts on the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// The node that the cluster goes on from.
    pub node: NodeId,
    /// The cluster's generation from now on.
    pub generation: u32,
    /// The voters that somebody declared dead.
    pub dead: Vec<NodeId>,
}

impl Recovered {
    /// For the record.
    pub fn about(&self) -> String {
        let dead: Vec<String> = self.dead.iter().map(ToString::to_string).collect();
        format!(
            "generation {} goes on from {}; declared dead: {}",
            self.generation,
            self.node,
            dead.join(", ")
        )
    }
}

/// A new generation begins with one node. What must not go on by itself is held until a person releases it (P7), and
/// nobody from before is let in again without a new admission.
pub(super) fn recovered(
    state: &mut State,
    actor: &Actor,
    it: &Recovered,
) -> Result<Reply, Refusal> {
    let alone = state.voters.len() == 1 && state.voters.contains(&it.node);
    if !matches!(actor, Actor::Local { .. }) || !alone {
        return Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        });
    }
    let facts = state.cluster.as_mut().ok_or(Refusal::NotFounded)?;
    if it.generation != facts.generation.saturating_add(1) {
        return Err(Refusal::Stale {
            what: "the cluster's generation".to_owned(),
            against: u64::from(it.generation),
            found: u64::from(facts.generation),
        });
    }
    facts.generation = it.generation;
    let others: Vec<NodeId> = state.nodes.keys().copied().collect();
    for other in others.into_iter().filter(|id| *id != it.node) {
        if let Some(node) = state.nodes.get_mut(&other) {
            // Admitted long ago: such a node is no newcomer that is let in by itself.
            node.admitted = Timestamp::default();
        }
    }
    // Who could still use a token from before nobody can say.
    state.tokens = OrdMap::new();
    trust::hold_everything(state);
    Ok(Reply::Done)
}

pub(super) fn create_token(
    state: &mut State,
    id: TokenId,
    mut token: JoinToken,
    ttl_ms: u64,
) -> Result<Reply, Refusal> {
    if ttl_ms > limits::TOKEN_TTL_MS_MAX {
        return Err(Refusal::TooLarge {
            field: "time to live in milliseconds".to_owned(),
            found: ttl_ms,
            most: limits::TOKEN_TTL_MS_MAX,
        });
    }
    let now = state.now;
    let expired: Vec<TokenId> = state
        .tokens
        .iter()
        .filter(|(_, it)| it.expires < now)
        .map(|(id, _)| *id)
        .collect();
    for id in expired {
        state.tokens.remove(&id);
    }
    if state.tokens.len() >= limits::TOKENS_MAX {
        return Err(Refusal::TooMany {
            what: "join tokens".to_owned(),
            most: limits::TOKENS_MAX as u64,
        });
    }
    token.expires = now.plus_ms(ttl_ms);
    state.tokens.insert(id, token);
    Ok(Reply::Done)
}

pub(super) fn revoke_token(state: &mut State, id: TokenId) -> Result<Reply, Refusal> {
    state
        .tokens
        .remove(&id)
        .map(|_| Reply::Done)
        .ok_or_else(|| Refusal::unknown("join token"))
}

pub(super) fn admit(
    state: &mut State,
    id: NodeId,
    token_id: TokenId,
    secret_hash: KeyedHash,
    facts: NodeFacts,
) -> Result<Reply, Refusal> {
    let now = state.now;
    let token = state
        .tokens
        .get(&token_id)
        .ok_or_else(|| Refusal::unknown("join token"))?;
    if token.secret_hash != secret_hash {
        return Err(Refusal::TokenWrong);
    }
    if token.expires < now {
        return Err(Refusal::TokenSpent {
            how: "expired".to_owned(),
        });
    }
    if state.nodes.len() >= limits::NODES_MAX {
        return Err(Refusal::TooMany {
            what: "nodes".to_owned(),
            most: limits::NODES_MAX as u64,
        });
    }
    free_for(state, id, &facts)?;
    let role = token.role;
    let left = token.uses.saturating_sub(1);
    if left == 0 {
        state.tokens.remove(&token_id);
    } else if let Some(token) = state.tokens.get_mut(&token_id) {
        token.uses = left;
    }
    state.nodes.insert(
        id,
        Node {
            facts,
            role,
            admitted: now,
            incarnation: 0,
        },
    );
    Ok(Reply::Admitted(id))
}

pub(super) fn report(
    state: &mut State,
    id: NodeId,
    facts: NodeFacts,
    incarnation: u64,
) -> Result<Reply, Refusal> {
    free_for(state, id, &facts)?;
    let node = state
        .nodes
        .get_mut(&id)
        .ok_or_else(|| Refusal::unknown("node"))?;
    if incarnation >= node.incarnation {
        node.facts = facts;
        node.incarnation = incarnation;
    }
    Ok(Reply::Done)
}

pub(super) fn set_role(state: &mut State, id: NodeId, role: Role) -> Result<Reply, Refusal> {
    let node = state
        .nodes
        .get_mut(&id)
        .ok_or_else(|| Refusal::unknown("node"))?;
    node.role = role;
    Ok(Reply::Done)
}

pub(super) fn forget(state: &mut State, id: NodeId) -> Result<Reply, Refusal> {
    if state.members().contains(&id) {
        return Err(Refusal::StillMember { node: id });
    }
    state
        .nodes
        .remove(&id)
        .ok_or_else(|| Refusal::unknown("node"))?;
    let marks: Vec<(NodeId, u64)> = state
        .boxes
        .keys()
        .filter(|(node, _)| *node == id)
        .copied()
        .collect();
    for mark in marks {
        state.boxes.remove(&mark);
    }
    health::forget_node(state, id);
    site::sweep(state);
    Ok(Reply::Done)
}

/// Whether name and address are free for this node. A node that left keeps neither.
fn free_for(state: &State, id: NodeId, facts: &NodeFacts) -> Result<(), Refusal> {
    for (other, node) in state.nodes.iter().filter(|(other, _)| **other != id) {
        if node.facts.name == facts.name {
            return Err(Refusal::Taken {
                what: format!("the name {}", facts.name),
                by: *other,
            });
        }
        if node.facts.advertise == facts.advertise {
            return Err(Refusal::Taken {
                what: format!("the address {}", facts.advertise.as_str()),
                by: *other,
            });
        }
    }
    Ok(())
}

/// Whether these nodes would make a sound set of voters: 1, 3, 5 or 7 of them, and from three on no provider with
/// half of the votes or more.
///
/// # Errors
/// The refusal that a person can override with `--force`.
pub fn sound_voters(state: &State, voters: &OrdSet<NodeId>) -> Result<(), Refusal> {
    let count = voters.len() as u64;
    if !matches!(count, 1 | 3 | 5 | 7) {
        return Err(Refusal::VotersEven { count });
    }
    if count < 3 {
        return Ok(());
    }
    let mut held = std::collections::BTreeMap::<&Label, u64>::new();
    for node in voters.iter().filter_map(|it| state.nodes.get(it)) {
        *held.entry(&node.facts.provider).or_default() += 1;
    }
    match held.into_iter().find(|(_, held)| held * 2 >= count) {
        Some((provider, held)) => Err(Refusal::ProviderTooHeavy {
            provider: provider.to_string(),
            held,
            voters: count,
        }),
        None => Ok(()),
    }
}

/// The newest entry format that every member can read.
pub fn agreed_format(state: &State) -> u16 {
    state
        .members()
        .iter()
        .filter_map(|it| state.nodes.get(it))
        .map(|it| it.facts.format)
        .min()
        .unwrap_or(1)
}
