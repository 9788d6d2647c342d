//! A node that writes as a customer, to see that it arrives: by the same page, the same form and the same letterbox, and
//! from there on of a type of its own. Whoever cannot prove to be a node is refused, and nothing is kept of it.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use crate::model::conversation::Door;
use crate::model::synthetic::SyntheticChange;
use crate::model::words::ClientId;
use crate::model::{Actor, Command};
use crate::seal::conversation_context;

use super::Public;
use super::form::Letter;
use super::sent::{NotTaken, Sent};
use super::write::first_half;

/// Takes what a node wrote.
pub(super) async fn take(public: &Public, sent: &Sent<'_>, letter: &Letter) -> Response<Body> {
    let asked = &sent.asked;
    match keep(public, sent, letter).await {
        Ok(()) => asked.send_on(StatusCode::SEE_OTHER, "/"),
        Err(why) => why.on(asked.front(why.status, sent.again(&why))),
    }
}

async fn keep(public: &Public, sent: &Sent<'_>, letter: &Letter) -> Result<(), NotTaken> {
    let (asked, parts) = (&sent.asked, &public.parts);
    let nonce = sent.nonce()?;
    sent.in_time()?;
    let (typed, own) = (&sent.typed, parts.cluster.id());
    let text = letter.text.as_str();
    let proven = parts
        .keyring
        .open_synthetic(&typed.proof, own, &typed.token, text);
    let by = proven.ok_or_else(|| NotTaken::because(asked.say, "form-unknown"))?;
    let pace = public.paces.open(asked.visitor.address);
    NotTaken::if_too_fast(pace, asked.say, "form-busy")?;
    // A lone node keeps what customers write; what nodes write would only fill its letterbox.
    if parts.cluster.health().alone() {
        return Err(NotTaken::for_now(asked.say, "form-unsure"));
    }
    let conversation = parts.keyring.synthetic_conversation(by);
    let context = conversation_context(&conversation);
    let command = Command::Synthetic(SyntheticChange::Wrote {
        by,
        conversation,
        body: parts.keyring.seal(&context, text.as_bytes()),
        taken: asked.now,
    });
    let id = first_half(parts.keyring.mac("synthetic message", &nonce.0));
    let mut proposal = public.proposal(ClientId(id), Door::Form, command);
    proposal.actor = Actor::Node(own);
    public.take(proposal, asked.say).await
}
