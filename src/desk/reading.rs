//! Conversations as an agent reads them: found, listed and opened, with what this node holds laid on top.
//!
//! Texts are opened here and go to the caller only; they are never logged.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Desk,
    files::Carried,
    problem::Problem,
    seen::{Seen, Sought, Wanted, matches, opened_by, seen},
};
use crate::{
    model::{
        Actor, Command,
        conversation::{Author, Door},
        when::rfc3339,
        words::{ClientId, ConversationId, Label, Sealed, TicketCode, Timestamp},
    },
    seal::conversation_context,
};

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
pub(super) struct Said {
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
    /// The files that it carries.
    files: Vec<Carried>,
}

impl Desk {
    pub(super) fn listed(
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

    /// How many customers wait for an answer, what this node holds included, and since when the first of them does.
    pub(super) fn queue(&self) -> (usize, Option<Timestamp>) {
        let state = self.cluster.state();
        let held = self.letterbox.held();
        let agreed = state.talks.waiting.iter();
        let agreed = agreed.filter(|it| !held.contains_key(&it.1)).map(|it| it.0);
        let holding = held.keys();
        let holding = holding.filter_map(|id| seen(&self.letterbox, &state, *id)?.since());
        let all: Vec<Timestamp> = agreed.chain(holding).collect();
        (all.len(), all.into_iter().min())
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

    pub(super) fn opened(&self, id: ConversationId, seen: &Seen) -> Opened {
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
                Author::Agent(name) => self.agent(id, &it.id, name),
            },
            text: self.text(id, &it.body),
            taken: rfc3339(it.taken),
            agreed: Some(rfc3339(it.agreed)),
            node: it.origin.to_string(),
            servers: None,
            passed_on: it.passed_on.map(rfc3339),
            refused: None,
            files: self.carried(id, seen, &it.id),
        });
        let held = seen.held.iter().filter_map(|item| {
            let written = item.proposal.command.written()?;
            let (body, taken) = (written.body, written.taken);
            Some(Said {
                author: match &item.proposal.actor {
                    Actor::Customer => "customer".to_owned(),
                    Actor::Operator { name } | Actor::Token { name } => name.to_string(),
                    Actor::Local { .. } | Actor::Node(_) | Actor::System | Actor::Rule { .. } => {
                        "local".to_owned()
                    }
                },
                text: self.text(id, body),
                taken: rfc3339(taken),
                agreed: None,
                node: item.proposal.origin.to_string(),
                servers: Some(item.servers),
                passed_on: None,
                refused: item.refused.clone(),
                files: self.carried(id, seen, &item.proposal.id),
            })
        });
        agreed.chain(held).collect()
    }

    /// Who of us wrote a message: over a bridge, the name there as well.
    pub(super) fn agent(&self, id: ConversationId, message: &ClientId, name: &Label) -> String {
        let state = self.cluster.state();
        let there = state.bridges.author(&id, message);
        let there = there.and_then(|(_, sealed)| self.text(id, sealed));
        match there.filter(|it| !it.is_empty()) {
            Some(there) => format!("{there} ({name})"),
            None => name.to_string(),
        }
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
}

/// When a node took the message that a command carries.
pub(super) fn taken(command: &Command) -> Option<Timestamp> {
    command.written().map(|it| it.taken)
}

pub(super) fn cursor(text: &str) -> Option<(Timestamp, ConversationId)> {
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
