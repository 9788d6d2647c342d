//! A conversation as it looks from this node: agreed on, and what the letterbox holds laid on top.
//!
//! Only ever shown. What is held counts as said, not as agreed; the cluster may still refuse it.

use imbl::Vector;

use crate::{
    letterbox::{HeldItem, Letterbox},
    model::{
        Actor, Command, State,
        conversation::{Author, Conversation, Door, Message},
        talk::{Talk, TalkChange, waits_since},
        words::{ClientId, ConversationId, Label, Lang, Sealed, TicketCode, Timestamp},
    },
};

/// Which conversations are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Open,
    Waiting,
    Closed,
    Quarantined,
    All,
}

/// Whose conversations are asked for.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Whose {
    Anybodys,
    Nobodys,
    Of(Label),
}

/// Everything that is asked for.
#[derive(Clone)]
pub(super) struct Sought {
    pub(super) wanted: Wanted,
    pub(super) whose: Whose,
    pub(super) tag: Option<Label>,
}

impl Sought {
    /// Whether what agents made of a conversation fits.
    pub(super) fn fits(&self, talk: Option<&Talk>) -> bool {
        let assigned = talk.and_then(|it| it.assigned.as_ref());
        let whose = match &self.whose {
            Whose::Anybodys => true,
            Whose::Nobodys => assigned.is_none(),
            Whose::Of(name) => assigned == Some(name),
        };
        let tagged = |tag: &Label| talk.is_some_and(|it| it.tags.contains(tag));
        whose && self.tag.as_ref().is_none_or(tagged)
    }
}

/// A conversation with what this node holds of it laid on top.
pub(super) struct Seen {
    pub(super) ticket: TicketCode,
    pub(super) lang: Lang,
    pub(super) door: Door,
    pub(super) contact: Sealed,
    pub(super) by_mail: bool,
    pub(super) reference: Option<Sealed>,
    pub(super) quarantined: bool,
    pub(super) closed: Option<Timestamp>,
    pub(super) touched: Timestamp,
    pub(super) messages: Vector<Message>,
    pub(super) held: Vec<HeldItem>,
    /// What agents made of it.
    pub(super) talk: Talk,
}

impl Seen {
    /// open, closed or quarantined.
    pub(super) fn state(&self) -> &'static str {
        if self.quarantined {
            "quarantined"
        } else if self.closed.is_some() {
            "closed"
        } else {
            "open"
        }
    }

    /// Whether the customer wrote last and nobody closed it.
    pub(super) fn waiting(&self) -> bool {
        let held = self
            .held
            .iter()
            .rev()
            .find(|it| it.proposal.command.written().is_some())
            .map(|it| it.proposal.actor == Actor::Customer);
        let agreed = self.messages.back().map(|it| it.author == Author::Customer);
        self.state() == "open" && held.or(agreed).unwrap_or(false)
    }

    /// Since when the customer waits.
    pub(super) fn since(&self) -> Option<Timestamp> {
        if !self.waiting() {
            return None;
        }
        let agreed = self.messages.iter().rev();
        let agreed = agreed.take_while(|it| it.author == Author::Customer);
        let held = self
            .held
            .iter()
            .filter_map(|it| it.proposal.command.written().map(|it| it.taken));
        agreed.last().map(|it| it.agreed).or(held.min())
    }

    /// The last message that is shown, by which a page is known to be older than another.
    pub(super) fn last(&self) -> Option<ClientId> {
        let said = |it: &&HeldItem| it.proposal.command.written().is_some();
        let held = self.held.iter().rev().find(said);
        let agreed = self.messages.last().map(|it| it.id);
        held.map(|it| it.proposal.id).or(agreed)
    }

    /// Whether it is one of those that are asked for.
    pub(super) fn is(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::Open => self.state() == "open",
            Wanted::Waiting => self.waiting(),
            Wanted::Closed => self.state() == "closed",
            Wanted::Quarantined => self.quarantined,
            Wanted::All => true,
        }
    }

    /// What is held changes how the conversation looks before the cluster agrees.
    fn lay(&mut self, item: &HeldItem) {
        if let Some(written) = item.proposal.command.written() {
            self.touched = self.touched.max(written.taken);
            if item.proposal.actor == Actor::Customer {
                self.closed = None;
            }
            return;
        }
        match &item.proposal.command {
            Command::CloseConversation { .. } => {
                self.closed.get_or_insert(self.touched);
            }
            Command::ReleaseConversation { .. } => self.quarantined = false,
            Command::Talk(change) => {
                if let TalkChange::Reopen { .. } = change {
                    self.closed = None;
                }
                let messages = &self.messages;
                let place = |message: &ClientId| {
                    let mut messages = messages.iter();
                    messages.position(|it| it.id == *message).map(|it| it + 1)
                };
                let now = self.touched;
                // What does not fit is refused when it is agreed on; until then it is only not shown.
                let _full = self.talk.take(&item.proposal, change, (0, now), place);
            }
            _ => {}
        }
    }
}

impl From<&Conversation> for Seen {
    fn from(agreed: &Conversation) -> Self {
        Self {
            ticket: agreed.ticket.clone(),
            lang: agreed.lang,
            door: agreed.door,
            contact: agreed.contact.clone(),
            by_mail: agreed.by_mail,
            reference: agreed.reference.clone(),
            quarantined: agreed.quarantined,
            closed: agreed.closed,
            touched: agreed.touched,
            messages: agreed.messages.clone(),
            held: Vec::new(),
            talk: Talk::default(),
        }
    }
}

/// The conversation as it looks from here; `None` when it is neither agreed on nor held.
pub(super) fn seen(letterbox: &Letterbox, state: &State, id: ConversationId) -> Option<Seen> {
    let held = letterbox.held_for(&id);
    let agreed = state.conversations.get(&id).map(Seen::from);
    let mut seen = agreed.or_else(|| held.iter().find_map(opened_by))?;
    seen.talk = state.talks.of(&id);
    for item in &held {
        // Agreed on a moment ago, and not yet taken out of the box: it would show twice.
        if state.answers.contains_key(&item.proposal.id) {
            continue;
        }
        if item.refused.is_none() {
            seen.lay(item);
        }
        seen.held.push(item.clone());
    }
    Some(seen)
}

/// The conversation that a held item opens.
pub(super) fn opened_by(item: &HeldItem) -> Option<Seen> {
    let written = item.proposal.command.written()?;
    let it = written.opening?;
    Some(Seen {
        ticket: it.ticket.clone(),
        lang: it.lang,
        door: item.proposal.source.door,
        contact: it.contact.clone(),
        by_mail: it.by_mail,
        reference: it.reference.cloned(),
        quarantined: it.quarantined,
        closed: None,
        touched: written.taken,
        messages: Vector::new(),
        held: Vec::new(),
        talk: Talk::default(),
    })
}

/// As [`Seen::is`], without copying anything.
pub(super) fn matches(agreed: &Conversation, wanted: Wanted) -> bool {
    let open = !agreed.quarantined && agreed.closed.is_none();
    match wanted {
        Wanted::Open => open,
        Wanted::Waiting => waits_since(agreed).is_some(),
        Wanted::Closed => !agreed.quarantined && agreed.closed.is_some(),
        Wanted::Quarantined => agreed.quarantined,
        Wanted::All => true,
    }
}
