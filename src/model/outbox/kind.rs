//! What an item of the outbox is, and whom it is for.

use serde::{Deserialize, Serialize};

use crate::model::{
    drill::{DrillId, Letter},
    limits,
    notice::NoticeId,
    waking::WakingId,
    words::{ClientId, ConversationId, Label},
};

/// What an item is. The recipient's kind follows from it by type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ItemKind {
    /// Tells the customer that the message is kept, with ticket code and link.
    Acknowledge {
        /// The conversation.
        conversation: ConversationId,
    },
    /// Passes a customer's message to the support mailbox.
    ForwardToSupport {
        /// The conversation.
        conversation: ConversationId,
        /// The message.
        message: ClientId,
    },
    /// Sends an agent's answer to the customer.
    AnswerCustomer {
        /// The conversation.
        conversation: ConversationId,
        /// The message.
        message: ClientId,
    },
    /// Tells somebody of the company, or the support mailbox, what everybody must hear of.
    TellStaff {
        /// The alarm.
        alarm: u64,
        /// The person; nobody for the support mailbox.
        person: Option<Label>,
    },
    /// Tells an update to a mailing list.
    NoticeByMail {
        /// The notice.
        notice: NoticeId,
    },
    /// Tells an update through a channel that is no mail.
    NoticeByRelay {
        /// The notice.
        notice: NoticeId,
    },
    /// Wakes somebody, by one way after the other.
    Wake {
        /// The waking.
        waking: WakingId,
    },
    /// Tells somebody of the company of a drill. There is no way to write a customer here.
    Drill {
        /// The drill.
        drill: DrillId,
        /// What it says.
        letter: Letter,
        /// Whom it is for.
        to: Staff,
    },
    /// Carries a message over a bridge to where agents already are.
    Carry {
        /// The bridge.
        bridge: Label,
        /// The conversation.
        conversation: ConversationId,
        /// The message.
        message: ClientId,
    },
}

/// Whom an item is for. A drill makes items only from [`Staff`], so it cannot name a customer (P7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// A person outside.
    Real(Real),
    /// Somebody of the company.
    Staff(Staff),
    /// Agents at the other end of a bridge.
    Bridge(Label),
}

/// A person outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Real {
    /// The customer of a conversation.
    Customer(ConversationId),
    /// Whoever reads the channel of a notice.
    Readers(NoticeId),
}

/// Somebody of the company.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Staff {
    /// The support mailbox, or its off-net stand-in.
    Support,
    /// A person with an account.
    Person(Label),
    /// Whoever is woken.
    OnCall,
}

impl ItemKind {
    /// Whom it is for.
    pub fn recipient(&self) -> Recipient {
        match self {
            Self::Acknowledge { conversation } | Self::AnswerCustomer { conversation, .. } => {
                Recipient::Real(Real::Customer(*conversation))
            }
            Self::ForwardToSupport { .. } | Self::TellStaff { person: None, .. } => {
                Recipient::Staff(Staff::Support)
            }
            Self::TellStaff {
                person: Some(name), ..
            } => Recipient::Staff(Staff::Person(name.clone())),
            Self::NoticeByMail { notice } | Self::NoticeByRelay { notice } => {
                Recipient::Real(Real::Readers(*notice))
            }
            Self::Wake { .. } => Recipient::Staff(Staff::OnCall),
            Self::Drill { to, .. } => Recipient::Staff(to.clone()),
            Self::Carry { bridge, .. } => Recipient::Bridge(bridge.clone()),
        }
    }

    /// The conversation it belongs to, if to any.
    pub fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::Acknowledge { conversation }
            | Self::ForwardToSupport { conversation, .. }
            | Self::AnswerCustomer { conversation, .. }
            | Self::Carry { conversation, .. } => Some(*conversation),
            Self::TellStaff { .. }
            | Self::NoticeByMail { .. }
            | Self::NoticeByRelay { .. }
            | Self::Wake { .. }
            | Self::Drill { .. } => None,
        }
    }

    /// The waking that it goes on with, if it is one.
    pub fn waking(&self) -> Option<WakingId> {
        match self {
            Self::Wake { waking } => Some(*waking),
            _ => None,
        }
    }

    /// Whether a mail server is to take it.
    pub fn is_mail(&self) -> bool {
        !matches!(
            self,
            Self::NoticeByRelay { .. } | Self::Wake { .. } | Self::Carry { .. }
        )
    }

    pub(super) fn lifetime_ms(&self) -> u64 {
        match self {
            Self::Acknowledge { .. } => limits::ACKNOWLEDGEMENT_MAIL_MS,
            Self::ForwardToSupport { .. } | Self::AnswerCustomer { .. } => limits::SUPPORT_MAIL_MS,
            Self::TellStaff { .. } => limits::ALARM_MAIL_MS,
            Self::NoticeByMail { .. } | Self::NoticeByRelay { .. } => limits::NOTICE_KEPT_MS,
            Self::Drill { .. } => limits::DRILL_MAIL_MS,
            Self::Carry { .. } => limits::BRIDGE_KEPT_MS,
            // It ends by an answer, never by time.
            Self::Wake { .. } => u64::MAX,
        }
    }
}
