//! Conversations with customers: what the cluster agreed on, overlaid with what this node still holds.
//!
//! Answers, closing and releasing go through the letterbox, so that an agent can work on a node that is alone.
//! Texts are opened here and sent to the caller only; they are never logged.

use axum::{
    Json,
    extract::{Path, Query, State as Shared},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    files,
    people::label,
    problem::Problem,
    reading::{Listed, Opened, cursor, gone},
    seen::{Sought, Wanted, Whose, seen},
};
use crate::{
    clock,
    letterbox::Posted,
    model::{
        Command, Proposal, Reply, limits,
        words::{ConversationId, MessageText},
    },
    seal::conversation_context,
};

/// Conversations in one answer when nobody says otherwise.
const PAGE: usize = 100;
/// An agent's answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) text: String,
}

/// What became of a write, truthfully.
#[derive(Serialize, ToSchema)]
pub(super) struct Kept {
    /// agreed (a majority has it) or held (this node, and perhaps others, have it and will pass it on).
    pub(super) kept: &'static str,
    conversation: String,
    /// Its place in the conversation, once agreed.
    number: Option<u32>,
    /// In words.
    pub(super) says: String,
}

/// Which conversations to list.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Which {
    state: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
    assigned: Option<String>,
    tag: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Listed>(
            "get",
            "/conversations",
            "Conversations, the one touched last first",
            get(list),
        )
        .query(&[
            (
                "state",
                "open (default), waiting, closed, quarantined or all",
            ),
            ("assigned", "whose: an agent's name, or nobody"),
            ("tag", "only those with this tag"),
            ("limit", "how many, at most 1000"),
            ("after", "what `next` said"),
        ]),
        Route::new::<Opened>(
            "get",
            "/conversations/{conversation}",
            "One conversation, opened; by id or ticket code",
            get(one),
        ),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/messages",
            "Answer the customer",
            post(files::answer),
        )
        .takes::<Answer>(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/close",
            "Close it; the customer's next message opens it again",
            post(close),
        )
        .takes::<Nothing>(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/release",
            "It was quarantined and is a real one: pass it on",
            post(release),
        )
        .takes::<Nothing>(),
    ]
}

async fn list(
    Shared(desk): Shared<Desk>,
    query: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Listed>, Problem> {
    let Query(which) = query.map_err(|error| {
        Problem::invalid(
            "the query",
            &error.body_text(),
            "state, assigned, tag, limit and after",
        )
    })?;
    let wanted = match which.state.as_deref() {
        None | Some("open") => Wanted::Open,
        Some("waiting") => Wanted::Waiting,
        Some("closed") => Wanted::Closed,
        Some("quarantined") => Wanted::Quarantined,
        Some("all") => Wanted::All,
        Some(other) => {
            let states = "open, waiting, closed, quarantined or all";
            return Err(Problem::invalid("state", other, states));
        }
    };
    let sought = Sought {
        wanted,
        whose: match which.assigned.as_deref() {
            None => Whose::Anybodys,
            Some("nobody") => Whose::Nobodys,
            Some(name) => Whose::Of(label("assigned", name)?),
        },
        tag: which
            .tag
            .as_deref()
            .map(|it| label("tag", it))
            .transpose()?,
    };
    let limit = which.limit.unwrap_or(PAGE);
    if !(1..=limits::DESK_PAGE_MAX).contains(&limit) {
        let range = format!("1 to {}", limits::DESK_PAGE_MAX);
        return Err(Problem::invalid("limit", &limit.to_string(), &range));
    }
    let after = match which.after.as_deref() {
        None => None,
        Some(text) => {
            Some(cursor(text).ok_or_else(|| Problem::invalid("after", text, "what `next` said"))?)
        }
    };
    // A walk over all conversations takes tens of milliseconds when there are 200,000 of them.
    tokio::task::spawn_blocking(move || desk.listed(&sought, limit, after))
        .await
        .map(Json)
        .map_err(|_| {
            let advice = "look at the node's log";
            Problem::failed("listing conversations", "it ended in a panic", advice)
        })
}

async fn one(
    Shared(desk): Shared<Desk>,
    Path(conversation): Path<String>,
) -> Result<Json<Opened>, Problem> {
    let id = desk.find(&conversation)?;
    let seen = seen(&desk.letterbox, &desk.cluster.state(), id).ok_or_else(gone)?;
    Ok(Json(desk.opened(id, &seen)))
}

async fn close(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Nothing>,
) -> Result<(StatusCode, Json<Kept>), Problem> {
    let conversation = desk.find(&conversation)?;
    desk.close(&asking, &body.bytes, conversation).await
}

async fn release(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Nothing>,
) -> Result<(StatusCode, Json<Kept>), Problem> {
    let conversation = desk.find(&conversation)?;
    desk.release(&asking, &body.bytes, conversation).await
}

impl Desk {
    /// Closes a conversation.
    pub(super) async fn close(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
    ) -> Result<(StatusCode, Json<Kept>), Problem> {
        let command = Command::CloseConversation { conversation };
        let then = "the customer's next message opens it again";
        let deed = ("closing it", "is done", then);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Takes one out of quarantine.
    pub(super) async fn release(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
    ) -> Result<(StatusCode, Json<Kept>), Problem> {
        let command = Command::ReleaseConversation { conversation };
        let then = "its messages go to the support mailbox";
        let deed = ("releasing it", "is done", then);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Answers a customer.
    pub(super) async fn answer(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
        text: &str,
    ) -> Result<(StatusCode, Json<Kept>), Problem> {
        let text = words("text", text)?;
        let context = conversation_context(&conversation);
        let command = Command::AddMessage {
            conversation,
            body: self.keyring.seal(&context, text.as_str().as_bytes()),
            taken: clock::now(),
        };
        let deed = ("the answer", "is kept", "it goes to the customer");
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Posts a write into the letterbox and says truthfully what became of it.
    pub(super) async fn post(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
        command: Command,
        deed: (&str, &str, &str),
    ) -> Result<(StatusCode, Json<Kept>), Problem> {
        let proposal = self.proposal(asking, asking.id(content), command);
        self.posted(proposal, conversation, deed).await
    }

    /// The same for a proposal that has its id already.
    pub(super) async fn posted(
        &self,
        proposal: Proposal,
        conversation: ConversationId,
        (deed, agreed, then): (&str, &str, &str),
    ) -> Result<(StatusCode, Json<Kept>), Problem> {
        let kept = |status, kept, number, says| {
            let conversation = conversation.to_string();
            Ok((
                status,
                Json(Kept {
                    kept,
                    conversation,
                    number,
                    says,
                }),
            ))
        };
        match self.letterbox.post(proposal).await {
            Posted::Agreed(committed) => {
                self.applied(committed.index).await;
                let number = match committed.reply {
                    Reply::Kept { number, .. } => Some(number),
                    Reply::Done
                    | Reply::Admitted(_)
                    | Reply::Wanted(_)
                    | Reply::Leased { .. }
                    | Reply::Directory(_)
                    | Reply::Sending { .. }
                    | Reply::Made(_)
                    | Reply::Refused(_) => None,
                };
                let says = format!("{deed} {agreed}: a majority has it; {then}");
                kept(StatusCode::OK, "agreed", number, says)
            }
            Posted::Held { servers } => {
                let where_to = match servers {
                    0 | 1 => "this node".to_owned(),
                    more => format!("{more} of {} nodes", self.cluster.state().members().len()),
                };
                let says = format!(
                    "{deed} is held on {where_to}; it is passed on as soon as a majority can be reached"
                );
                kept(StatusCode::ACCEPTED, "held", None, says)
            }
            Posted::Refused(refusal) => Err(Problem::refused(deed, &refusal)),
            Posted::Unsure(why) => Err(Problem::unknown(deed, &why)),
        }
    }
}

/// What an agent writes.
pub(super) fn words(field: &str, text: &str) -> Result<MessageText, Problem> {
    MessageText::new(text).map_err(|wrong| {
        let count = text.chars().count();
        Problem::invalid(field, &format!("{count} characters"), &wrong.wanted)
    })
}
