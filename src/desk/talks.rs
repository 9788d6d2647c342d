//! What agents make of conversations, over the API: notes, whose they are, tags, what was seen, and who is at them.
//!
//! All that belongs to a conversation goes through the letterbox, as answers do, so that agents work on on a lone node.

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::StatusCode,
    routing::post,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    conversations::{Kept, words},
    people::label,
    problem::Problem,
    reading::gone,
    seen::{Seen, seen},
};
use crate::{
    clock,
    model::{
        Command,
        conversation::Author,
        limits,
        talk::{Doing, TalkChange},
        words::{ClientId, ConversationId, Label},
    },
    seal::conversation_context,
};

type Wrote = Result<(StatusCode, Json<Kept>), Problem>;

/// A note for other agents.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

/// Whose it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Assign {
    /// An account's name, or nothing to give it back to all.
    to: Option<String>,
}

/// Tags to be added and taken away.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tags {
    pub(super) add: Vec<String>,
    pub(super) remove: Vec<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/notes",
            "Tell other agents something that the customer never sees",
            post(note),
        )
        .takes::<Note>(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/assign",
            "Say whose it is",
            post(assign),
        )
        .takes::<Assign>(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/tags",
            "Say what it is about",
            post(tag),
        )
        .takes::<Tags>(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/reopen",
            "Open a closed one again",
            post(reopen),
        )
        .takes::<Nothing>(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/seen",
            "An agent has seen everything in it; the customer is told so",
            post(mark_seen),
        )
        .takes::<Nothing>(),
    ]
}

async fn note(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Note>,
) -> Wrote {
    let id = desk.find(&conversation)?;
    desk.note(&asking, &body.bytes, id, &body.value.text).await
}

async fn assign(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Assign>,
) -> Wrote {
    let id = desk.find(&conversation)?;
    let to = body.value.to.as_deref();
    let to = to.map(|it| label("to", it)).transpose()?;
    desk.assign(&asking, &body.bytes, id, to).await
}

async fn tag(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Tags>,
) -> Wrote {
    let id = desk.find(&conversation)?;
    desk.tag(&asking, &body.bytes, id, &body.value).await
}

async fn reopen(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Nothing>,
) -> Wrote {
    let id = desk.find(&conversation)?;
    desk.reopen(&asking, &body.bytes, id).await
}

async fn mark_seen(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Nothing>,
) -> Wrote {
    let id = desk.find(&conversation)?;
    let seen = seen(&desk.letterbox, &desk.cluster.state(), id).ok_or_else(gone)?;
    let message = seen.last().ok_or_else(gone)?;
    let change = TalkChange::Seen {
        conversation: id,
        message,
    };
    let deed = ("the mark", "is kept", "the customer is told");
    let command = Command::Talk(change);
    desk.post(&asking, &body.bytes, id, command, deed).await
}

fn tags_of(field: &str, tags: &[String]) -> Result<Vec<Label>, Problem> {
    tags.iter().map(|it| label(field, it)).collect()
}

impl Desk {
    /// Adds a note for other agents.
    pub(super) async fn note(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
        text: &str,
    ) -> Wrote {
        let text = words("text", text)?;
        let context = conversation_context(&conversation);
        let change = TalkChange::Note {
            conversation,
            body: self.keyring.seal(&context, text.as_str().as_bytes()),
            taken: clock::now(),
        };
        let deed = ("the note", "is kept", "agents see it, the customer never");
        let command = Command::Talk(change);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Says whose it is. Somebody without an account cannot have it.
    pub(super) async fn assign(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
        to: Option<Label>,
    ) -> Wrote {
        if let Some(to) = &to {
            let now = clock::now();
            let known = self.cluster.state().people.roles_of(to, now).is_some();
            // Whoever asks may have it in any case: a program, or somebody with a code from an envelope.
            if !known && asking.actor.spoken() != to.as_str() {
                let wanted = "somebody of 'lifeboat people list'";
                return Err(Problem::invalid("to", to.as_str(), wanted));
            }
        }
        let change = TalkChange::Assign { conversation, to };
        let deed = ("assigning it", "is done", "everybody sees whose it is");
        let command = Command::Talk(change);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Says what it is about.
    pub(super) async fn tag(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
        tags: &Tags,
    ) -> Wrote {
        let add = tags_of("add", &tags.add)?;
        let remove = tags_of("remove", &tags.remove)?;
        if add.is_empty() && remove.is_empty() {
            return Err(Problem::invalid(
                "add",
                "nothing",
                "a tag to add or to remove",
            ));
        }
        let change = TalkChange::Tag {
            conversation,
            add,
            remove,
        };
        let deed = ("the tag", "is kept", "everybody sees it");
        let command = Command::Talk(change);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Opens it again.
    pub(super) async fn reopen(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
    ) -> Wrote {
        let change = TalkChange::Reopen { conversation };
        let deed = ("opening it again", "is done", "it is in the inbox");
        let command = Command::Talk(change);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Says that whoever asks has seen everything in it. Nobody waits for that; said again it changes nothing.
    pub(super) fn has_seen(&self, asking: &Asking, conversation: ConversationId, seen: &Seen) {
        let Some(message) = seen.last() else {
            return;
        };
        let unseen = seen.messages.iter().skip(seen.talk.seen as usize);
        let unseen = unseen.filter(|it| it.author == Author::Customer).count();
        let holds_own = seen.held.iter().any(|it| it.proposal.id == message);
        if unseen == 0 && !holds_own {
            return;
        }
        let who = asking.actor.spoken();
        let parts = [&conversation.0[..], &message.0, who.as_bytes()].concat();
        let hash: [u8; 32] = Sha256::new_with_prefix(b"lifeboat seen 1\0")
            .chain_update(parts)
            .finalize()
            .into();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        let change = TalkChange::Seen {
            conversation,
            message,
        };
        let proposal = self.proposal(asking, ClientId(id), Command::Talk(change));
        if !self.letterbox.leave(proposal) {
            tracing::warn!("the letterbox is too busy to note that a message was seen");
        }
    }

    /// Says that whoever asks is at it, or has left. Only a majority is told, and nobody waits for that.
    pub(super) fn is_present(&self, asking: &Asking, conversation: ConversationId, doing: Doing) {
        if self.cluster.health().alone() || self.is_known_present(asking, conversation, doing) {
            return;
        }
        let change = TalkChange::Present {
            conversation,
            doing,
            ttl_ms: limits::TALK_PRESENT_MS,
        };
        let id = ClientId(clock::random_bytes());
        let proposal = self.proposal(asking, id, Command::Talk(change));
        let cluster = self.cluster.clone();
        // On behalf of one request, whose answer does not wait for it.
        tokio::spawn(async move {
            let deadline = std::time::Duration::from_millis(limits::DESK_PROPOSE_MS);
            // Lost, it is said again with the next page or beat.
            let _lost = cluster.propose(proposal, deadline).await;
        });
    }

    /// Whether that was said a moment ago: every page that is read anew would say it again, and be rung for it.
    fn is_known_present(&self, asking: &Asking, id: ConversationId, doing: Doing) -> bool {
        let state = self.cluster.state();
        let talk = state.talks.all.get(&id);
        let name = Label::new(&asking.actor.spoken()).ok();
        let known = name.and_then(|it| talk?.present.get(&it).copied());
        let Some(known) = known else {
            return doing == Doing::Gone;
        };
        known.doing == doing && known.until.ms_since(clock::now()) > limits::TALK_PRESENT_MS / 2
    }
}
