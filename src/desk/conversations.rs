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
    asking::{Asking, Body},
    problem::Problem,
    seen::{Seen, Wanted, matches, opened_by, seen},
};
use crate::{
    clock,
    letterbox::Posted,
    model::{
        Actor, Command, Reply,
        conversation::{Author, Door},
        limits,
        when::rfc3339,
        words::{ConversationId, MessageText, Sealed, TicketCode, Timestamp},
    },
    seal::conversation_context,
};

/// Conversations in one answer when nobody says otherwise.
const PAGE: usize = 100;
/// Characters of the last message that a list shows.
const EXCERPT_CHARS: usize = 80;

/// One conversation in a list.
#[derive(Serialize, ToSchema)]
pub(super) struct Brief {
    id: String,
    /// What the customer reads out.
    ticket: String,
    /// open, closed or quarantined.
    state: &'static str,
    /// The customer wrote last, so somebody should answer.
    waiting: bool,
    lang: &'static str,
    door: &'static str,
    messages: u64,
    /// Writes that this node holds and the cluster has not agreed on yet.
    held: u64,
    /// When anything last happened in it.
    touched: String,
    /// The beginning of the last message.
    excerpt: Option<String>,
}

/// Conversations, the one touched last first.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    conversations: Vec<Brief>,
    /// Give this as `after` to get the next ones.
    next: Option<String>,
}

/// One conversation, opened.
#[derive(Serialize, ToSchema)]
pub(super) struct Opened {
    id: String,
    ticket: String,
    state: &'static str,
    waiting: bool,
    lang: &'static str,
    door: &'static str,
    /// How to reach the customer; nothing when the key for it is not here.
    contact: Option<String>,
    by_mail: bool,
    /// Domain, server or customer number, if given.
    reference: Option<String>,
    closed: Option<String>,
    touched: String,
    messages: Vec<Said>,
}

/// One message.
#[derive(Serialize, ToSchema)]
struct Said {
    /// customer, or the agent's name.
    author: String,
    /// Nothing when the key for it is not here.
    text: Option<String>,
    /// When a node took it.
    taken: String,
    /// When the cluster agreed on it; nothing while this node holds it.
    agreed: Option<String>,
    /// The node that took it.
    node: String,
    /// On how many servers' disks it is, while it is held.
    servers: Option<u64>,
    /// When a mail server took it on its way out.
    passed_on: Option<String>,
    /// Why the cluster refused it after it was held: somebody must look.
    refused: Option<String>,
}

/// An agent's answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    text: String,
}

/// Nothing more to say.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// What became of a write, truthfully.
#[derive(Serialize, ToSchema)]
pub(super) struct Kept {
    /// agreed (a majority has it) or held (this node, and perhaps others, have it and will pass it on).
    kept: &'static str,
    conversation: String,
    /// Its place in the conversation, once agreed.
    number: Option<u32>,
    /// In words.
    says: String,
}

/// Which conversations to list.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Which {
    state: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
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
            post(answer),
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
        Problem::invalid("the query", &error.body_text(), "state, limit and after")
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
    tokio::task::spawn_blocking(move || desk.listed(wanted, limit, after))
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

async fn answer(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Answer>,
) -> Result<(StatusCode, Json<Kept>), Problem> {
    let conversation = desk.find(&conversation)?;
    let text = MessageText::new(&body.value.text).map_err(|wrong| {
        let count = body.value.text.chars().count();
        Problem::invalid("text", &format!("{count} characters"), &wrong.wanted)
    })?;
    let context = conversation_context(&conversation);
    let command = Command::AddMessage {
        conversation,
        body: desk.keyring.seal(&context, text.as_str().as_bytes()),
        taken: clock::now(),
    };
    let deed = ("the answer", "is kept", "it goes to the customer");
    desk.post(&asking, &body.bytes, conversation, command, deed)
        .await
}

async fn close(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Nothing>,
) -> Result<(StatusCode, Json<Kept>), Problem> {
    let conversation = desk.find(&conversation)?;
    let command = Command::CloseConversation { conversation };
    let deed = (
        "closing it",
        "is done",
        "the customer's next message opens it again",
    );
    desk.post(&asking, &body.bytes, conversation, command, deed)
        .await
}

async fn release(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Nothing>,
) -> Result<(StatusCode, Json<Kept>), Problem> {
    let conversation = desk.find(&conversation)?;
    let command = Command::ReleaseConversation { conversation };
    let deed = (
        "releasing it",
        "is done",
        "its messages go to the support mailbox",
    );
    desk.post(&asking, &body.bytes, conversation, command, deed)
        .await
}

impl Desk {
    fn listed(
        &self,
        wanted: Wanted,
        limit: usize,
        after: Option<(Timestamp, ConversationId)>,
    ) -> Listed {
        let state = self.cluster.state();
        let held = self.letterbox.held();
        let only_held = held
            .keys()
            .filter(|it| !state.conversations.contains_key(*it));
        let before = |at: &(Timestamp, ConversationId)| after.is_none_or(|after| *at < after);
        let mut found: Vec<(Timestamp, ConversationId)> = Vec::new();
        for id in state.conversations.keys().chain(only_held) {
            let looks = match state.conversations.get(id) {
                // Most conversations have nothing held: judge them without opening anything.
                Some(agreed) if !held.contains_key(id) => {
                    matches(agreed, wanted).then_some(agreed.touched)
                }
                Some(_) | None => {
                    let seen = seen(&self.letterbox, &state, *id).filter(|it| it.is(wanted));
                    seen.map(|it| it.touched)
                }
            };
            found.extend(looks.map(|touched| (touched, *id)).filter(|it| before(it)));
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more);
        let briefs = found.iter().filter_map(|(_, id)| {
            let seen = seen(&self.letterbox, &state, *id)?;
            Some(self.brief(*id, &seen))
        });
        Listed {
            next: next.map(|(touched, id)| format!("{}.{id}", touched.0)),
            conversations: briefs.collect(),
        }
    }

    fn brief(&self, id: ConversationId, seen: &Seen) -> Brief {
        let messages = self.said(id, seen);
        let last = messages.last().and_then(|it| it.text.as_deref());
        Brief {
            id: id.to_string(),
            ticket: seen.ticket.to_string(),
            state: seen.state(),
            waiting: seen.waiting(),
            lang: seen.lang.tag(),
            door: door(seen.door),
            messages: messages.len() as u64,
            held: seen.held.len() as u64,
            touched: rfc3339(seen.touched),
            excerpt: last.map(excerpt),
        }
    }

    fn opened(&self, id: ConversationId, seen: &Seen) -> Opened {
        Opened {
            id: id.to_string(),
            ticket: seen.ticket.to_string(),
            state: seen.state(),
            waiting: seen.waiting(),
            lang: seen.lang.tag(),
            door: door(seen.door),
            contact: self.text(id, &seen.contact),
            by_mail: seen.by_mail,
            reference: seen.reference.as_ref().and_then(|it| self.text(id, it)),
            closed: seen.closed.map(rfc3339),
            touched: rfc3339(seen.touched),
            messages: self.said(id, seen),
        }
    }

    /// What was said, agreed first and then held, as both keep their order.
    fn said(&self, id: ConversationId, seen: &Seen) -> Vec<Said> {
        let agreed = seen.messages.iter().map(|it| Said {
            author: match &it.author {
                Author::Customer => "customer".to_owned(),
                Author::Agent(name) => name.to_string(),
            },
            text: self.text(id, &it.body),
            taken: rfc3339(it.taken),
            agreed: Some(rfc3339(it.agreed)),
            node: it.origin.to_string(),
            servers: None,
            passed_on: it.passed_on.map(rfc3339),
            refused: None,
        });
        let held = seen.held.iter().filter_map(|item| {
            let (body, taken) = match &item.proposal.command {
                Command::OpenConversation { body, taken, .. }
                | Command::AddMessage { body, taken, .. } => (body, taken),
                _ => return None,
            };
            Some(Said {
                author: match &item.proposal.actor {
                    Actor::Customer => "customer".to_owned(),
                    Actor::Operator { name } | Actor::Token { name } => name.to_string(),
                    Actor::Local { .. } | Actor::Node(_) | Actor::System => "local".to_owned(),
                },
                text: self.text(id, body),
                taken: rfc3339(*taken),
                agreed: None,
                node: item.proposal.origin.to_string(),
                servers: Some(item.servers),
                passed_on: None,
                refused: item.refused.clone(),
            })
        });
        agreed.chain(held).collect()
    }

    fn text(&self, id: ConversationId, sealed: &Sealed) -> Option<String> {
        let bytes = self.keyring.open(&conversation_context(&id), sealed)?;
        String::from_utf8(bytes).ok()
    }

    /// The conversation that people mean by its id or its ticket code.
    fn find(&self, text: &str) -> Result<ConversationId, Problem> {
        let state = self.cluster.state();
        let held = self.letterbox.held();
        if let Ok(id) = text.parse::<ConversationId>() {
            let known = state.conversations.contains_key(&id) || held.contains_key(&id);
            return known.then_some(id).ok_or_else(gone);
        }
        let wanted = "a ticket code such as K7F-Q2M-9XF, or a conversation's id";
        let code =
            TicketCode::new(text).map_err(|_| Problem::invalid("conversation", text, wanted))?;
        let mut ids = state.tickets.get(&code).cloned().unwrap_or_default();
        for (id, items) in held.iter() {
            let opens = items.iter().find_map(opened_by);
            if opens.is_some_and(|it| it.ticket == code) {
                ids.insert(*id);
            }
        }
        match (ids.len(), ids.get_min()) {
            (1, Some(id)) => Ok(*id),
            (0, _) | (_, None) => Err(gone()),
            (_, Some(_)) => {
                let all: Vec<String> = ids.iter().map(ToString::to_string).collect();
                Err(Problem::forbidden(
                    "the ticket code leads to several conversations",
                    &all.join(", "),
                    "give the id of the one that is meant",
                ))
            }
        }
    }

    /// Posts a write into the letterbox and says truthfully what became of it.
    async fn post(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
        command: Command,
        (deed, agreed, then): (&str, &str, &str),
    ) -> Result<(StatusCode, Json<Kept>), Problem> {
        let proposal = self.proposal(asking, asking.id(content), command);
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

/// When a node took the message that a command carries.
pub(super) fn taken(command: &Command) -> Option<Timestamp> {
    match command {
        Command::OpenConversation { taken, .. } | Command::AddMessage { taken, .. } => Some(*taken),
        _ => None,
    }
}

fn cursor(text: &str) -> Option<(Timestamp, ConversationId)> {
    let (at, id) = text.split_once('.')?;
    Some((Timestamp(at.parse().ok()?), id.parse().ok()?))
}

fn excerpt(text: &str) -> String {
    let line: String = text
        .chars()
        .take(EXCERPT_CHARS)
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect();
    line
}

fn gone() -> Problem {
    Problem::not_found(
        "conversation",
        "'lifeboat conversations list --state all' shows those this node knows",
    )
}

fn door(door: Door) -> &'static str {
    match door {
        Door::Form => "form",
        Door::Chat => "chat",
        Door::Mail => "mail",
        Door::Api => "api",
        Door::Console => "console",
        Door::Cluster => "cluster",
    }
}
