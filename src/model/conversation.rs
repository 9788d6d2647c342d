//! Conversations: everything between one customer and support, whatever door it came in by.

use imbl::Vector;
use serde::{Deserialize, Serialize};

use super::{
    Refusal, Reply, State,
    command::Command,
    files::{File, FileChange},
    limits,
    outbox::{self, ItemKind},
    proposal::{Actor, Entry},
    returns,
    talk::change::agent,
    words::{
        ClientId, ConversationId, KeyedHash, Label, Lang, NodeId, Sealed, TicketCode, Timestamp,
    },
};

/// The way something came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Door {
    /// The form on the website.
    Form,
    /// The chat on the website.
    Chat,
    /// Mail to a support address.
    Mail,
    /// The API, over the socket or HTTPS.
    Api,
    /// The operators' console.
    Console,
    /// Inside the cluster.
    Cluster,
}

/// Everything between one customer and support.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// What the customer reads out.
    pub ticket: TicketCode,
    /// The customer's language.
    pub lang: Lang,
    /// The door the first message came in by.
    pub door: Door,
    /// How to reach the customer, sealed.
    pub contact: Sealed,
    /// Keyed hash of the contact.
    pub contact_hash: KeyedHash,
    /// The contact is an e-mail address.
    pub by_mail: bool,
    /// Domain, server or customer number, sealed.
    pub reference: Option<Sealed>,
    /// Looks like abuse; shown apart, nobody is mailed.
    pub quarantined: bool,
    /// When an agent closed it; a customer's next message opens it again.
    pub closed: Option<Timestamp>,
    /// When anything last happened in it.
    pub touched: Timestamp,
    /// What was said, in the order agreed.
    pub messages: Vector<Message>,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The id it was posted under.
    pub id: ClientId,
    /// The log index it was agreed at.
    pub index: u64,
    /// When the node took it, by that node's clock.
    pub taken: Timestamp,
    /// When the cluster agreed on it.
    pub agreed: Timestamp,
    /// The node that took it.
    pub origin: NodeId,
    /// Who wrote it.
    pub author: Author,
    /// The text, sealed.
    pub body: Sealed,
    /// When a mail server took it on its way out, if it had to go out.
    pub passed_on: Option<Timestamp>,
}

/// Who wrote a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// The customer.
    Customer,
    /// Somebody of the company, by the name of the account, or "local" for a user of the node's machine.
    Agent(Label),
}

/// A message on its way into a conversation, whatever command brings it.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The conversation.
    pub conversation: ConversationId,
    /// What the first message brings beside its words.
    pub opening: Option<Opening<'a>>,
    /// The text, sealed.
    pub body: &'a Sealed,
    /// When the node took it, by that node's clock.
    pub taken: Timestamp,
    /// The files that it carries.
    pub files: &'a [File],
}

/// What the first message of a conversation brings.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// What the customer reads out.
    pub ticket: &'a TicketCode,
    /// Keyed hash of the contact.
    pub contact_hash: &'a KeyedHash,
    /// How to reach the customer, sealed.
    pub contact: &'a Sealed,
    /// The contact is an e-mail address.
    pub by_mail: bool,
    /// Domain, server or customer number, sealed.
    pub reference: Option<&'a Sealed>,
    /// The customer's language.
    pub lang: Lang,
    /// It looks like abuse.
    pub quarantined: bool,
}

impl Command {
    /// The message that the command brings, where it brings one.
    pub fn written(&self) -> Option<Written<'_>> {
        match self {
            Command::OpenConversation {
                conversation,
                ticket,
                contact_hash,
                contact,
                by_mail,
                reference,
                lang,
                body,
                taken,
                quarantined,
            } => Some(Written {
                conversation: *conversation,
                opening: Some(Opening {
                    ticket,
                    contact_hash,
                    contact,
                    by_mail: *by_mail,
                    reference: reference.as_ref(),
                    lang: *lang,
                    quarantined: *quarantined,
                }),
                body,
                taken: *taken,
                files: &[],
            }),
            Command::AddMessage {
                conversation,
                body,
                taken,
            } => Some(Written {
                conversation: *conversation,
                opening: None,
                body,
                taken: *taken,
                files: &[],
            }),
            Command::File(FileChange::Said(said)) => Some(said.written()),
            Command::Bridge(change) => change.written(),
            _ => None,
        }
    }
}

/// Takes a message: into its conversation where there is one, or as the first of a new one.
pub(super) fn take(
    state: &mut State,
    entry: &Entry<'_>,
    it: &Written<'_>,
) -> Result<Reply, Refusal> {
    match &it.opening {
        Some(opening) => open(state, entry, it, opening),
        None => add(state, entry, it.conversation, it.body, it.taken),
    }
}

fn open(
    state: &mut State,
    entry: &Entry<'_>,
    it: &Written<'_>,
    opening: &Opening<'_>,
) -> Result<Reply, Refusal> {
    let (id, by_mail, quarantined) = (it.conversation, opening.by_mail, opening.quarantined);
    within("contact", opening.contact)?;
    within("text", it.body)?;
    opening
        .reference
        .map_or(Ok(()), |it| within("reference", it))?;
    if state.conversations.contains_key(&id) {
        return add(state, entry, id, it.body, it.taken);
    }
    if state.conversations.len() >= limits::CONVERSATIONS_MAX {
        return Err(Refusal::TooMany {
            what: "conversations".to_owned(),
            most: limits::CONVERSATIONS_MAX as u64,
        });
    }
    let door = entry.stamped.proposal.source.door;
    let ticket = opening.ticket;
    state.conversations.insert(
        id,
        Conversation {
            ticket: ticket.clone(),
            lang: opening.lang,
            door,
            contact: opening.contact.clone(),
            contact_hash: *opening.contact_hash,
            by_mail,
            reference: opening.reference.cloned(),
            quarantined,
            closed: None,
            touched: state.now,
            messages: Vector::new(),
        },
    );
    state.tickets.entry(ticket.clone()).or_default().insert(id);
    let reply = add(state, entry, id, it.body, it.taken)?;
    if by_mail && !quarantined && returns::may_thank(state, door, opening.contact_hash) {
        outbox::put(
            state,
            entry.index,
            ItemKind::Acknowledge { conversation: id },
        );
    }
    Ok(reply)
}

fn add(
    state: &mut State,
    entry: &Entry<'_>,
    id: ConversationId,
    body: &Sealed,
    taken: Timestamp,
) -> Result<Reply, Refusal> {
    within("text", body)?;
    let now = state.now;
    let proposal = &entry.stamped.proposal;
    let author = match &proposal.actor {
        Actor::Customer => Author::Customer,
        other => Author::Agent(agent(other)?),
    };
    let conversation = state
        .conversations
        .get_mut(&id)
        .ok_or_else(|| Refusal::unknown("conversation"))?;
    if conversation.messages.len() >= limits::CONVERSATION_MESSAGES_MAX {
        return Err(Refusal::ConversationFull {
            most: limits::CONVERSATION_MESSAGES_MAX as u64,
        });
    }
    conversation.messages.push_back(Message {
        id: proposal.id,
        index: entry.index,
        taken,
        agreed: now,
        origin: proposal.origin,
        author: author.clone(),
        body: body.clone(),
        passed_on: None,
    });
    conversation.touched = now;
    let number = u32::try_from(conversation.messages.len()).map_err(|_| Refusal::Internal)?;
    let (quarantined, by_mail) = (conversation.quarantined, conversation.by_mail);
    match author {
        Author::Customer => {
            conversation.closed = None;
            if !quarantined {
                outbox::put(
                    state,
                    entry.index,
                    ItemKind::ForwardToSupport {
                        conversation: id,
                        message: proposal.id,
                    },
                );
            }
        }
        Author::Agent(_) => {
            if by_mail {
                outbox::put(
                    state,
                    entry.index,
                    ItemKind::AnswerCustomer {
                        conversation: id,
                        message: proposal.id,
                    },
                );
            }
        }
    }
    Ok(Reply::Kept {
        conversation: id,
        number,
    })
}

pub(super) fn close(state: &mut State, id: ConversationId) -> Result<Reply, Refusal> {
    let now = state.now;
    let conversation = state
        .conversations
        .get_mut(&id)
        .ok_or_else(|| Refusal::unknown("conversation"))?;
    conversation.closed.get_or_insert(now);
    Ok(Reply::Done)
}

pub(super) fn release(state: &mut State, index: u64, id: ConversationId) -> Result<Reply, Refusal> {
    let conversation = state
        .conversations
        .get_mut(&id)
        .ok_or_else(|| Refusal::unknown("conversation"))?;
    if !std::mem::replace(&mut conversation.quarantined, false) {
        return Ok(Reply::Done);
    }
    let by_mail = conversation.by_mail;
    let waiting: Vec<ClientId> = conversation
        .messages
        .iter()
        .filter(|it| it.author == Author::Customer)
        .map(|it| it.id)
        .collect();
    for message in waiting {
        outbox::put(
            state,
            index,
            ItemKind::ForwardToSupport {
                conversation: id,
                message,
            },
        );
    }
    if by_mail {
        outbox::put(state, index, ItemKind::Acknowledge { conversation: id });
    }
    Ok(Reply::Done)
}

pub(super) fn within(field: &str, sealed: &Sealed) -> Result<(), Refusal> {
    if sealed.bytes.len() > limits::SEALED_BYTES_MAX {
        return Err(Refusal::TooLarge {
            field: field.to_owned(),
            found: sealed.bytes.len() as u64,
            most: limits::SEALED_BYTES_MAX as u64,
        });
    }
    Ok(())
}
