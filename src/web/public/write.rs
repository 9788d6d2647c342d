//! A customer writes for the first time: from the form's body to a conversation in the letterbox.
//!
//! What is sent twice is one write: the conversation's id is a keyed hash of the form's nonce and what was typed, so a
//! browser's second sending of a POST gets the first answer on whichever node it lands, and "back, change, send" is a
//! new message. Whenever the answer is not "kept", the page comes back with all that was typed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};

use crate::letterbox::Posted;
use crate::model::conversation::Door;
use crate::model::limits;
use crate::model::words::{ClientId, Contact, ConversationId, KeyedHash};
use crate::model::{Actor, Command, Proposal, Source};
use crate::seal::conversation_context;

use super::form::{Letter, contact_for_finding};
use super::pace::Pace;
use super::sent::{NotTaken, Sent, digests};
use super::texts::Say;
use super::token::{Nonce, Purpose};
use super::{Asked, Public, synthetic};

pub(super) async fn post(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let mut sent = match Sent::read(&public, request, Purpose::Open, None).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let letter = Letter::read(&sent.typed, sent.asked.say);
    let mut wrongs = letter.as_ref().err().cloned().unwrap_or_default();
    wrongs.extend(sent.wrong_files());
    let letter = match letter {
        Ok(letter) if wrongs.is_empty() => letter,
        Ok(_) | Err(_) => {
            let form = sent.blaming(wrongs);
            return sent.asked.front(StatusCode::UNPROCESSABLE_ENTITY, form);
        }
    };
    if !sent.typed.proof.is_empty() {
        return synthetic::take(&public, &sent, &letter).await;
    }
    match open(&public, &mut sent, &letter).await {
        Ok(there) => sent.asked.send_on(StatusCode::SEE_OTHER, &there),
        Err(why) => why.on(sent.asked.front(why.status, sent.again(&why))),
    }
}

/// Opens the conversation, and says where it is.
async fn open(public: &Public, sent: &mut Sent<'_>, letter: &Letter) -> Result<String, NotTaken> {
    let digests = digests(&sent.files);
    let conversation = conversation_id(public, sent.nonce()?, letter, &digests);
    let files = std::mem::take(&mut sent.files);
    let asked = &sent.asked;
    let there = asked.path_of(conversation, None);
    if public.knows(&conversation) {
        return Ok(there);
    }
    sent.in_time()?;
    let pace = public.paces.open(asked.visitor.address);
    NotTaken::if_too_fast(pace, asked.say, "form-busy")?;
    let quarantined = sent.is_suspect() || pace == Pace::Crowded;
    let mut proposal = asked.opening(conversation, letter, quarantined);
    let command = public.with_files(asked, conversation, files, proposal.command);
    let (command, kept) = command.await?;
    proposal.command = command;
    public.take(proposal, asked.say).await?;
    public.parts.locker.copied(&kept).await;
    Ok(there)
}

/// The id of the conversation that this form with this content opens.
fn conversation_id(public: &Public, nonce: Nonce, letter: &Letter, files: &[u8]) -> ConversationId {
    let reference = letter.reference.as_ref().map_or("", |it| it.as_str());
    let mut said = nonce.0.to_vec();
    for part in [letter.contact.as_str(), reference, letter.text.as_str()] {
        // Each part with its length, so that no two letters run together alike.
        said.extend_from_slice(&(part.len() as u64).to_be_bytes());
        said.extend_from_slice(part.as_bytes());
    }
    said.extend_from_slice(files);
    ConversationId(first_half(
        public.parts.keyring.mac("conversation of form", &said),
    ))
}

/// 128 bits of a keyed hash, which is what an id holds.
pub(super) fn first_half(KeyedHash(hash): KeyedHash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

impl Asked<'_> {
    /// The command that opens a conversation with this letter.
    fn opening(
        &self,
        conversation: ConversationId,
        letter: &Letter,
        quarantined: bool,
    ) -> Proposal {
        let keyring = &self.public.parts.keyring;
        let context = conversation_context(&conversation);
        let seal = |plain: &str| keyring.seal(&context, plain.as_bytes());
        let command = Command::OpenConversation {
            conversation,
            ticket: keyring.ticket(&conversation),
            contact_hash: self.public.contact_hash(&letter.contact),
            contact: seal(letter.contact.as_str()),
            by_mail: matches!(letter.contact, Contact::Email(_)),
            reference: letter.reference.as_ref().map(|it| seal(it.as_str())),
            lang: self.say.lang,
            body: seal(letter.text.as_str()),
            taken: self.now,
            quarantined,
        };
        let id = ClientId(first_half(keyring.mac("first message", &conversation.0)));
        self.public.proposal(id, Door::Form, command)
    }
}

impl Public {
    /// Whether a conversation is agreed on, or kept on this node.
    fn knows(&self, conversation: &ConversationId) -> bool {
        self.parts
            .cluster
            .state()
            .conversations
            .contains_key(conversation)
            || self
                .parts
                .letterbox
                .held_for(conversation)
                .iter()
                .any(|item| item.stored)
    }

    /// How a contact is found again without being read.
    pub(super) fn contact_hash(&self, contact: &Contact) -> KeyedHash {
        self.parts
            .keyring
            .mac("contact", contact_for_finding(contact).as_bytes())
    }

    /// A customer's proposal.
    pub(super) fn proposal(&self, id: ClientId, door: Door, command: Command) -> Proposal {
        Proposal {
            format: command.format(),
            id,
            actor: Actor::Customer,
            source: Source {
                door,
                address: None,
            },
            origin: self.parts.cluster.id(),
            stamp: None,
            command,
        }
    }

    /// Posts a proposal and waits until this node's own pages show what became of it.
    pub(super) async fn take(&self, proposal: Proposal, say: &Say) -> Result<(), NotTaken> {
        match self.parts.letterbox.post(proposal).await {
            Posted::Agreed(committed) => {
                self.caught_up(committed.index).await;
                Ok(())
            }
            Posted::Held { .. } => Ok(()),
            Posted::Refused(_) => Err(NotTaken::for_now(say, "form-refused")),
            Posted::Unsure(_) => Err(NotTaken::for_now(say, "form-unsure")),
        }
    }

    /// Waits a little until this node has applied what another one led: the next page is read here. Past the wait the
    /// page says that the conversation has not arrived yet, which is true.
    async fn caught_up(&self, index: u64) {
        let mut applied = self.parts.cluster.changes();
        let reached = applied.wait_for(|at| *at >= index);
        let _ = tokio::time::timeout(Duration::from_millis(limits::CATCH_UP_MS), reached).await;
    }
}
