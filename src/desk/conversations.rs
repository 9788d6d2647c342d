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
    people::label,
    problem::Problem,
    seen::{Seen, Sought, Wanted, Whose, matches, opened_by, seen},
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
    /// Since when the customer waits for an answer.
    since: Option<String>,
    /// Whose it is.
    assigned: Option<String>,
    /// What it is about.
    tags: Vec<String>,
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
    /// What agents told each other; customers never see it.
    notes: Vec<Noted>,
    /// Whose it is.
    assigned: Option<String>,
    /// What it is about.
    tags: Vec<String>,
    /// How many of the messages an agent has seen.
    seen: u32,
}

/// A note among agents.
#[derive(Serialize, ToSchema)]
pub(super) struct Noted {
    by: String,
    /// Nothing when the key for it is not here.
    text: Option<String>,
    taken: String,
    /// A majority has it.
    agreed: bool,
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
        Problem::invalid("the query", &error.body_text(), "state, assigned, tag, limit and after")
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
        tag: which.tag.as_deref().map(|it| label("tag", it)).transpose()?,
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

async fn answer(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Answer>,
) -> Result<(StatusCode, Json<Kept>), Problem> {
    let conversation = desk.find(&conversation)?;
    desk.answer(&asking, &body.bytes, conversation, &body.value.text)
        .await
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

    fn listed(
        &self,
        sought: &Sought,
        limit: usize,
        after: Option<(Timestamp, ConversationId)>,
    ) -> Listed {
        let before = |at: &(Timestamp, ConversationId)| after.is_none_or(|after| *at < after);
        let state = self.cluster.state();
        let mut found: Vec<(Timestamp, ConversationId)> = self
            .found(sought)
            .into_iter()
            .map(|(id, touched)| (touched, id))
            .filter(before)
            .collect();
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

    /// Every conversation that is asked for, with when anything last happened in it.
    pub(super) fn found(&self, sought: &Sought) -> Vec<(ConversationId, Timestamp)> {
        let state = self.cluster.state();
        let held = self.letterbox.held();
        let looks = |id: &ConversationId| match state.conversations.get(id) {
            // Most conversations have nothing held: judge them without opening anything.
            Some(agreed) if !held.contains_key(id) => {
                let fits = matches(agreed, sought.wanted) && sought.fits(state.talks.all.get(id));
                fits.then_some((*id, agreed.touched))
            }
            Some(_) | None => {
                let seen = seen(&self.letterbox, &state, *id)?;
                let fits = seen.is(sought.wanted) && sought.fits(Some(&seen.talk));
                fits.then_some((*id, seen.touched))
            }
        };
        if sought.wanted == Wanted::Waiting {
            // The queue is kept; what is held may add to it.
            let agreed = state.talks.waiting.iter().map(|it| &it.1);
            let agreed = agreed.filter(|it| !held.contains_key(*it));
            return agreed.chain(held.keys()).filter_map(looks).collect();
        }
        let only_held = held.keys();
        let only_held = only_held.filter(|it| !state.conversations.contains_key(*it));
        let all = state.conversations.keys().chain(only_held);
        all.filter_map(looks).collect()
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
            since: seen.since().map(rfc3339),
            assigned: seen.talk.assigned.as_ref().map(ToString::to_string),
            tags: seen.talk.tags.iter().map(ToString::to_string).collect(),
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
            notes: self.noted(id, seen),
            assigned: seen.talk.assigned.as_ref().map(ToString::to_string),
            tags: seen.talk.tags.iter().map(ToString::to_string).collect(),
            seen: seen.talk.seen,
        }
    }

    fn noted(&self, id: ConversationId, seen: &Seen) -> Vec<Noted> {
        let notes = seen.talk.notes.iter().map(|it| Noted {
            by: it.by.to_string(),
            text: self.text(id, &it.body),
            taken: rfc3339(it.taken),
            agreed: it.index > 0,
        });
        notes.collect()
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

    pub(super) fn text(&self, id: ConversationId, sealed: &Sealed) -> Option<String> {
        let bytes = self.keyring.open(&conversation_context(&id), sealed)?;
        String::from_utf8(bytes).ok()
    }

    /// The conversation that people mean by its id or its ticket code.
    pub(super) fn find(&self, text: &str) -> Result<ConversationId, Problem> {
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
    pub(super) async fn post(
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

/// What an agent writes.
pub(super) fn words(field: &str, text: &str) -> Result<MessageText, Problem> {
    MessageText::new(text).map_err(|wrong| {
        let count = text.chars().count();
        Problem::invalid(field, &format!("{count} characters"), &wrong.wanted)
    })
}

fn cursor(text: &str) -> Option<(Timestamp, ConversationId)> {
    let (at, id) = text.split_once('.')?;
    Some((Timestamp(at.parse().ok()?), id.parse().ok()?))
}

pub(super) fn excerpt(text: &str) -> String {
    let line: String = text
        .chars()
        .take(EXCERPT_CHARS)
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect();
    line
}

pub(super) fn gone() -> Problem {
    Problem::not_found(
        "conversation",
        "'lifeboat conversations list --state all' shows those this node knows",
    )
}

pub(super) fn door(door: Door) -> &'static str {
    match door {
        Door::Form => "form",
        Door::Chat => "chat",
        Door::Mail => "mail",
        Door::Api => "api",
        Door::Console => "console",
        Door::Cluster => "cluster",
    }
}
