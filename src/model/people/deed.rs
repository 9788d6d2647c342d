//! Every change of people, sessions, tokens and envelopes that can be asked for.
//!
//! New variants go to the end: the position is part of the stored bytes.

use serde::{Deserialize, Serialize};

use super::{Console, Roles, Way};
use crate::model::words::{KeyedHash, Label, Lang, NodeId, Note, Sealed, SessionId, Timestamp};

/// A change of people, sessions, tokens or envelopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeopleChange {
    /// Makes an account.
    Add {
        /// Its name.
        name: Label,
        /// What they may do.
        roles: Roles,
        /// What they are called.
        shown: Note,
        /// What they speak.
        langs: Vec<Lang>,
        /// The password's hash, sealed.
        password: Sealed,
        /// The codes' secret, sealed.
        totp: Sealed,
    },
    /// Changes what somebody may do.
    SetRoles {
        /// The account.
        name: Label,
        /// Their new roles.
        roles: Roles,
    },
    /// Changes what somebody is called and speaks.
    Describe {
        /// The account.
        name: Label,
        /// What they are called.
        shown: Note,
        /// What they speak.
        langs: Vec<Lang>,
    },
    /// Changes how somebody is reached.
    SetWays {
        /// The account.
        name: Label,
        /// First things first. A proof stays where kind and address do, which the caller sees to.
        ways: Vec<Way>,
    },
    /// Says that a way to reach somebody was seen to work.
    ProveWay {
        /// The account.
        name: Label,
        /// Its place, from 0.
        place: u32,
    },
    /// Gives somebody a new password and codes, and ends their sessions.
    Reset {
        /// The account.
        name: Label,
        /// The password's hash, sealed.
        password: Sealed,
        /// The codes' secret, sealed.
        totp: Sealed,
    },
    /// Takes an account away.
    Remove {
        /// The account.
        name: Label,
    },
    /// Somebody signed in; password and code were checked against `generation`.
    SignIn {
        /// The account.
        name: Label,
        /// What it was checked against.
        generation: u64,
        /// The step of the code.
        step: u64,
        /// The new session.
        session: SessionId,
        /// Keyed hash of its secret.
        hash: KeyedHash,
        /// The network they came from.
        network: Note,
    },
    /// Somebody did not: counted, so that the next guess takes longer on every node.
    Knock {
        /// The account, where there is one of that name.
        name: Option<Label>,
        /// The network they came from.
        network: Note,
    },
    /// Somebody who is signed in showed a fresh code.
    Confirm {
        /// The session.
        session: SessionId,
        /// The step of the code.
        step: u64,
    },
    /// A session is in use.
    Seen {
        /// The session.
        session: SessionId,
    },
    /// Ends a session.
    EndSession {
        /// The session.
        session: SessionId,
    },
    /// Ends all sessions of somebody, or of everybody.
    EndSessions {
        /// The account; nobody's name for everybody.
        name: Option<Label>,
    },
    /// Lets a machine ask.
    AddToken {
        /// Its name.
        name: Label,
        /// Keyed hash of its secret.
        hash: KeyedHash,
        /// What it may do.
        roles: Roles,
        /// For how long, in milliseconds from the entry's time.
        ttl_ms: u64,
    },
    /// Lets it ask no more.
    RevokeToken {
        /// Its name.
        name: Label,
    },
    /// Makes an envelope; the entry's index becomes its serial.
    AddEnvelope {
        /// Who keeps it, or where.
        holder: Note,
        /// What its codes open.
        roles: Roles,
        /// For how long, in milliseconds from the entry's time.
        ttl_ms: u64,
        /// Keyed hashes of its codes.
        codes: Vec<KeyedHash>,
    },
    /// Makes an envelope worthless, and ends what was opened with it.
    WithdrawEnvelope {
        /// Its serial.
        serial: u64,
    },
    /// Somebody came in with a code of an envelope. Everybody is told.
    UseCode {
        /// Keyed hash of the code.
        code: KeyedHash,
        /// The new session.
        session: SessionId,
        /// Keyed hash of its secret.
        hash: KeyedHash,
        /// The network they came from.
        network: Note,
    },
    /// Somebody signed in on a node that was alone then.
    ReportSignIn {
        /// The account.
        name: Label,
        /// The step of the code.
        step: u64,
        /// When, by that node's clock.
        at: Timestamp,
    },
    /// A code was used on a node that was alone then. Everybody is told.
    ReportCode {
        /// Keyed hash of the code.
        code: KeyedHash,
        /// When, by that node's clock.
        at: Timestamp,
    },
    /// Somebody says that they know of an alarm.
    Acknowledge {
        /// Its index.
        alarm: u64,
    },
    /// Somebody leads the shift from now on.
    Lead {
        /// The person.
        who: Label,
        /// What is said at the hand-over.
        note: Note,
    },
    /// A node says where its console is.
    ConsoleAt {
        /// The node.
        node: NodeId,
        /// Where.
        console: Console,
    },
}

impl PeopleChange {
    /// The kind, for logs, metrics and the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add-person",
            Self::SetRoles { .. } => "set-roles",
            Self::Describe { .. } => "describe-person",
            Self::SetWays { .. } => "set-ways",
            Self::ProveWay { .. } => "prove-way",
            Self::Reset { .. } => "reset-person",
            Self::Remove { .. } => "remove-person",
            Self::SignIn { .. } => "sign-in",
            Self::Knock { .. } => "wrong-sign-in",
            Self::Confirm { .. } => "confirm-sign-in",
            Self::Seen { .. } => "session-seen",
            Self::EndSession { .. } => "end-session",
            Self::EndSessions { .. } => "end-sessions",
            Self::AddToken { .. } => "add-api-token",
            Self::RevokeToken { .. } => "revoke-api-token",
            Self::AddEnvelope { .. } => "add-envelope",
            Self::WithdrawEnvelope { .. } => "withdraw-envelope",
            Self::UseCode { .. } => "break-glass",
            Self::ReportSignIn { .. } => "sign-in-while-alone",
            Self::ReportCode { .. } => "break-glass-while-alone",
            Self::Acknowledge { .. } => "acknowledge-alarm",
            Self::Lead { .. } => "lead-shift",
            Self::ConsoleAt { .. } => "console-at",
        }
    }

    /// What it is about, for the record. Never a secret.
    pub fn about(&self) -> String {
        match self {
            Self::Add { name, roles, .. } | Self::SetRoles { name, roles } => {
                format!("{name}: {}", roles.spoken())
            }
            Self::Describe { name, .. }
            | Self::SetWays { name, .. }
            | Self::ProveWay { name, .. }
            | Self::Reset { name, .. }
            | Self::Remove { name }
            | Self::SignIn { name, .. }
            | Self::ReportSignIn { name, .. }
            | Self::RevokeToken { name } => name.to_string(),
            Self::Knock { name, .. } | Self::EndSessions { name } => name
                .as_ref()
                .map_or_else(|| "everybody".to_owned(), ToString::to_string),
            Self::Confirm { session, .. }
            | Self::Seen { session }
            | Self::EndSession { session } => session.to_string(),
            Self::AddToken { name, roles, .. } => format!("{name}: {}", roles.spoken()),
            Self::AddEnvelope { holder, codes, .. } => {
                format!("{} codes for {}", codes.len(), holder.as_str())
            }
            Self::WithdrawEnvelope { serial } => serial.to_string(),
            Self::UseCode { .. } | Self::ReportCode { .. } => "a code of an envelope".to_owned(),
            Self::Acknowledge { alarm } => alarm.to_string(),
            Self::Lead { who, note } => format!("{who}: {}", note.as_str()),
            Self::ConsoleAt { node, .. } => node.to_string(),
        }
    }

    /// Whether its first answer is not worth remembering: there are many of it and a repeat does no harm.
    pub fn is_frequent(&self) -> bool {
        matches!(self, Self::Knock { .. } | Self::Seen { .. })
    }
}
