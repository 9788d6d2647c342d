//! Why a command changed nothing: the same on every node, and a sentence that people can act on.

use serde::{Deserialize, Serialize};

use super::words::{NodeId, Timestamp};

/// Why a command changed nothing. Every node reaches the same refusal, and a repeat may reach another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Applying the entry went wrong inside; the state is as it was, and an alarm was raised.
    #[error("an internal fault stopped this; nothing was changed and an alarm was raised")]
    Internal,
    /// The cluster has no name and certificate authority yet.
    #[error("this cluster has not been founded yet; run 'lifeboat init' on its first node")]
    NotFounded,
    /// A cluster is founded once.
    #[error("this cluster has been founded already")]
    AlreadyFounded,
    /// Some node could not read this kind of entry.
    #[error(
        "not every node can read this yet (needs format {needs}, agreed is {agreed}); finish the upgrade first"
    )]
    FormatNotReady {
        /// The format in which the command was introduced.
        needs: u16,
        /// The newest format that all nodes can read.
        agreed: u16,
    },
    /// A field is over its bound.
    #[error("{field} is too large: {found}, at most {most}")]
    TooLarge {
        /// The field.
        field: String,
        /// Its size.
        found: u64,
        /// The bound.
        most: u64,
    },
    /// The table is full.
    #[error("there are too many {what}: {most} is the most")]
    TooMany {
        /// What there are too many of.
        what: String,
        /// The bound.
        most: u64,
    },
    /// No such thing, or no longer.
    #[error("no such {what}")]
    Unknown {
        /// What was looked for.
        what: String,
    },
    /// Something else has that name or address.
    #[error("{what} is taken by node {by}")]
    Taken {
        /// The name or address.
        what: String,
        /// Who has it.
        by: NodeId,
    },
    /// The join token cannot be used any more.
    #[error("the join token has {how}; make a new one with 'lifeboat token create'")]
    TokenSpent {
        /// "expired" or "been used up".
        how: String,
    },
    /// The secret does not belong to the token.
    #[error("the join token's secret is wrong")]
    TokenWrong,
    /// Two voters are worse than one, four than three: they need the same majority and fail more often.
    #[error(
        "{count} voters are refused: 1, 3, 5 or 7 survive best; add --force to do it all the same"
    )]
    VotersEven {
        /// How many there would be.
        count: u64,
    },
    /// One provider's failure must leave a majority.
    #[error(
        "provider {provider} would hold {held} of {voters} voters; its failure would stop the cluster (--force to do it all the same)"
    )]
    ProviderTooHeavy {
        /// The provider.
        provider: String,
        /// Voters there.
        held: u64,
        /// Voters in all.
        voters: u64,
    },
    /// A member cannot be forgotten before it has left.
    #[error("node {node} is still a member; remove it with 'lifeboat nodes remove' first")]
    StillMember {
        /// The node.
        node: NodeId,
    },
    /// Somebody else is working on it.
    #[error("node {by} has this until {until:?}")]
    Leased {
        /// Who has it.
        by: NodeId,
        /// Until when, in the cluster's time.
        until: Timestamp,
    },
    /// The lease that this report belongs to is no longer the current one.
    #[error("this report belongs to an older lease")]
    StaleEpoch,
    /// Not due yet.
    #[error("not due yet")]
    NotDue,
    /// An actor of this kind may not do this.
    #[error("{actor} may not do this")]
    NotAllowed {
        /// What kind of actor asked.
        actor: String,
    },
    /// The conversation holds all it may; its customer is asked to begin another one.
    #[error("this conversation has {most} messages, which is the most; please begin a new one")]
    ConversationFull {
        /// The bound.
        most: u64,
    },
    /// A field holds what it may not.
    #[error("{field} is {found}; wanted {wanted}")]
    Unsound {
        /// The field.
        field: String,
        /// What it holds.
        found: String,
        /// What it may hold.
        wanted: String,
    },
    /// It was made against something that has changed since.
    #[error(
        "{what} has changed since this was made (made against {against}, it is at {found} now); look again"
    )]
    Stale {
        /// What has changed.
        what: String,
        /// The generation that the change was made against.
        against: u64,
        /// The generation that there is.
        found: u64,
    },
    /// Something else needs it.
    #[error("{what} is still used by {by}")]
    InUse {
        /// What is used.
        what: String,
        /// By what.
        by: String,
    },
    /// It waits for a person's word since a recovery or a restore.
    #[error("this is held since a recovery or a restore; release it with 'lifeboat held release'")]
    Held,
}

impl Refusal {
    /// A refusal for something that is not there.
    pub fn unknown(what: &str) -> Self {
        Self::Unknown {
            what: what.to_owned(),
        }
    }

    /// A refusal of one field's value.
    pub fn unsound(
        field: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
    ) -> Self {
        Self::Unsound {
            field: field.into(),
            found: found.into(),
            wanted: wanted.into(),
        }
    }

    /// Whether the same command may be accepted later without anybody changing it.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NotFounded
                | Self::FormatNotReady { .. }
                | Self::TooMany { .. }
                | Self::Leased { .. }
                | Self::NotDue
                | Self::Internal
        )
    }
}
