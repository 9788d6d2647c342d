//! A cluster of three that agrees without Raft, and the key that its nodes share.

use std::ops::Deref;

use crate::cluster::tests::stand_in::{Majority, proposal};
use crate::model::words::{ClientId, ConversationId, KeyedHash, Lang, Timestamp};
use crate::model::{Actor, Command, Proposal};
use crate::seal::{Keyring, conversation_context};

use super::*;

pub(super) struct Agreement {
    majority: Arc<Majority>,
    pub(super) keyring: Arc<Keyring>,
}

impl Deref for Agreement {
    type Target = Arc<Majority>;

    fn deref(&self) -> &Arc<Majority> {
        &self.majority
    }
}

impl Agreement {
    /// A cluster of three nodes.
    pub(super) fn new() -> Agreement {
        Agreement {
            majority: Majority::founded(3),
            keyring: Arc::new(Keyring::generate()),
        }
    }

    /// A customer's first message.
    pub(super) fn opening(&self, number: u8, contact: &str, text: &str) -> Proposal {
        let conversation = ConversationId([number; 16]);
        let sealed = |text: &str| {
            self.keyring
                .seal(&conversation_context(&conversation), text.as_bytes())
        };
        let mut proposal = proposal(
            Actor::Customer,
            Command::OpenConversation {
                conversation,
                ticket: self.keyring.ticket(&conversation),
                contact_hash: KeyedHash([number; 32]),
                contact: sealed(contact),
                by_mail: contact.contains('@'),
                reference: Some(sealed("example.cz")),
                lang: Lang::Cs,
                body: sealed(text),
                taken: Timestamp(1_795_453_805_000),
                quarantined: false,
            },
        );
        proposal.id = ClientId([number; 16]);
        proposal
    }
}
