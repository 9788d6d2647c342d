//! A customer writes for the first time: from the form's body to a conversation in the letterbox.
//!
//! What is sent twice is one write: the conversation's id is a keyed hash of the form's nonce and what was typed, so a
//! browser's second sending of a POST gets the first answer on whichever node it lands, and "back, change, send" is a
//! new message. Whenever the answer is not "kept", the page comes back with all that was typed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::letterbox::Posted;
use crate::model::conversation::Door;
use crate::model::limits;
use crate::model::words::{ClientId, Contact, ConversationId, KeyedHash};
use crate::model::{Actor, Command, Proposal, Reply, Source};
use crate::seal::conversation_context;

use super::form::{Form, Letter, Typed, contact_for_finding};
use super::pace::Pace;
use super::token::{self, Age, Judged, Nonce, Purpose};
use super::{Asked, Public, form_body};

/// Whether a message was taken.
pub(super) enum Taken {
    /// It is kept, here or by a quorum.
    Kept,
    /// It is not kept, and why: a status and the key of a sentence.
    Not(StatusCode, &'static str),
}

pub(super) async fn post(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Some(body) = form_body(&parts.method, body).await else {
        return public.asked(&parts, None).too_large();
    };
    let typed = Typed::read(&body);
    let asked = public.asked(&parts, typed.lang);
    let judged = token::judge(
        |said| public.sign(said),
        Purpose::Open,
        &typed.token,
        asked.now,
    );
    // A form that is still good keeps its token, so that pressing Send again is the same write.
    let token = match judged {
        Judged::Ours {
            age: Age::Hasty | Age::Right,
            ..
        } => typed.token.clone(),
        Judged::Ours { age: Age::Old, .. } | Judged::Unknown => asked.token(Purpose::Open),
    };
    let letter = match Letter::read(&typed, asked.say) {
        Ok(letter) => letter,
        Err(wrongs) => {
            let heading = asked.say.it("problem-heading");
            return asked.front(
                StatusCode::UNPROCESSABLE_ENTITY,
                Form::blaming(typed, token, heading, wrongs),
            );
        }
    };
    let again = |status: StatusCode, said: String| {
        asked.front(
            status,
            Form::again(
                typed.clone(),
                token.clone(),
                asked.say.it("problem-heading"),
                said,
            ),
        )
    };
    let Judged::Ours { nonce, age } = judged else {
        return again(
            StatusCode::UNPROCESSABLE_ENTITY,
            asked.say.it("form-unknown"),
        );
    };
    let conversation = conversation_id(&public, nonce, &letter);
    let there = asked.path_of(conversation, None);
    if public.knows(&conversation) {
        return asked.send_on(StatusCode::SEE_OTHER, &there);
    }
    if age == Age::Old {
        return again(StatusCode::UNPROCESSABLE_ENTITY, asked.say.it("form-old"));
    }
    let pace = public.paces.open(asked.visitor.address);
    if let Pace::Wait(seconds) = pace {
        return waiting(
            again(
                StatusCode::TOO_MANY_REQUESTS,
                asked.say.with("form-busy", [("seconds", seconds.into())]),
            ),
            seconds,
        );
    }
    let quarantined = age == Age::Hasty || !typed.trap.is_empty() || pace == Pace::Crowded;
    match public
        .take(asked.opening(conversation, &letter, quarantined))
        .await
    {
        Taken::Kept => asked.send_on(StatusCode::SEE_OTHER, &there),
        Taken::Not(status, key) => again(status, asked.say.it(key)),
    }
}

/// The answer, with how long to wait.
pub(super) fn waiting(mut answer: Response<Body>, seconds: u64) -> Response<Body> {
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// The id of the conversation that this form with this content opens.
fn conversation_id(public: &Public, nonce: Nonce, letter: &Letter) -> ConversationId {
    let reference = letter.reference.as_ref().map_or("", |it| it.as_str());
    let mut said = nonce.0.to_vec();
    for part in [letter.contact.as_str(), reference, letter.text.as_str()] {
        // Each part with its length, so that no two letters run together alike.
        said.extend_from_slice(&(part.len() as u64).to_be_bytes());
        said.extend_from_slice(part.as_bytes());
    }
    ConversationId(first_half(
        public.parts.keyring.mac("conversation of form", &said),
    ))
}

/// 128 bits of a keyed hash, which is what an id holds.
pub(super) fn first_half(hash: KeyedHash) -> [u8; 16] {
    let [half, _] = halves(hash.0);
    half
}

fn halves(bytes: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    halves[0].copy_from_slice(&bytes[..16]);
    halves[1].copy_from_slice(&bytes[16..]);
    halves
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
        self.public.proposal(id, command)
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

    /// A customer's proposal, by way of the form.
    pub(super) fn proposal(&self, id: ClientId, command: Command) -> Proposal {
        Proposal {
            format: command.format(),
            id,
            actor: Actor::Customer,
            source: Source {
                door: Door::Form,
                address: None,
            },
            origin: self.parts.cluster.id(),
            stamp: None,
            command,
        }
    }

    /// Posts a proposal and waits until this node's own pages show what became of it.
    pub(super) async fn take(&self, proposal: Proposal) -> Taken {
        match self.parts.letterbox.post(proposal).await {
            Posted::Agreed(committed) => match committed.reply {
                Reply::Refused(_) => Taken::Not(StatusCode::SERVICE_UNAVAILABLE, "form-refused"),
                Reply::Done
                | Reply::Admitted(_)
                | Reply::Wanted(_)
                | Reply::Kept { .. }
                | Reply::Leased { .. } => {
                    self.caught_up(committed.index).await;
                    Taken::Kept
                }
            },
            Posted::Held => Taken::Kept,
            Posted::Refused(_) => Taken::Not(StatusCode::SERVICE_UNAVAILABLE, "form-refused"),
            Posted::Unsure(_) => Taken::Not(StatusCode::SERVICE_UNAVAILABLE, "form-unsure"),
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
