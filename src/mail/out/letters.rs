//! From the agreed state to a mail: finds what an outbox item is about, opens what is sealed, and has it composed.
//! Pure but for the key; an item that cannot be written says why and is settled as such.

use std::sync::Arc;

use crate::mail::marks::{self, Mark, Purpose};
use crate::model::State;
use crate::model::conversation::{Conversation, Message};
use crate::model::drill::{DrillId, Letter};
use crate::model::files;
use crate::model::notice::{Means, NoticeId, telling::plain};
use crate::model::outbox::{Item, ItemKind, Real, Recipient, RouteChoice, Staff};
use crate::model::words::{
    ClientId, Contact, ConversationId, EmailAddress, Label, Lang, NodeId, Sealed, TicketCode,
};
use crate::model::{Command, Proposal};
use crate::seal::{Keyring, conversation_context};

use super::compose::{self, ComposeError, Composed, Enclosed, Forward, House, Standing, Thread};
use super::{alarm, drill};

/// The addresses under which the customer of a conversation reaches it, one for each of our own names.
pub type Links = Arc<dyn Fn(&ConversationId) -> Vec<String> + Send + Sync>;

/// What is needed to write any of our mails.
pub struct Letters {
    /// Opens what is sealed.
    pub keyring: Arc<Keyring>,
    /// Who we are.
    pub house: House,
    /// Where customers' messages go.
    pub support: EmailAddress,
    /// Where they go otherwise.
    pub support_off_net: Option<EmailAddress>,
    /// Where conversations are found.
    pub links: Links,
    /// The address of the public's pages, without a final slash.
    pub site: Option<String>,
    /// The domain that replies come to.
    pub return_domain: Option<String>,
}

/// The message that a mail about an item carries, whose files go along.
pub fn message_of(item: &Item) -> Option<(ConversationId, ClientId)> {
    match &item.kind {
        ItemKind::AnswerCustomer {
            conversation,
            message,
        }
        | ItemKind::ForwardToSupport {
            conversation,
            message,
        } => Some((*conversation, *message)),
        _ => None,
    }
}

/// Why there is no mail to send.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// The conversation or message has left the state.
    #[error("the conversation or message is no longer there")]
    Gone,
    /// This node has no key for it.
    #[error("this node cannot open what is sealed")]
    Sealed,
    /// The customer left no address that mail can go to.
    #[error("there is no e-mail address to write to")]
    NoAddress,
    /// It cannot be put into a mail.
    #[error(transparent)]
    Compose(#[from] ComposeError),
}

impl Letters {
    /// The mail that an outbox item stands for.
    ///
    /// # Errors
    /// When what it is about is gone, cannot be opened here, or cannot be put into a mail.
    pub fn of_item(
        &self,
        state: &State,
        item: &Item,
        enclosed: &Enclosed,
    ) -> Result<Composed, Unwritten> {
        let id = match (&item.kind, item.kind.conversation()) {
            (ItemKind::TellStaff { alarm, person }, _) => {
                return self.of_alarm(state, item, *alarm, person.as_ref());
            }
            (ItemKind::NoticeByMail { notice }, _) => return self.of_notice(state, item, *notice),
            (ItemKind::Drill { drill, letter, to }, _) => {
                return self.of_drill(state, item, (*drill, *letter, to));
            }
            (_, Some(id)) => id,
            (_, None) => return Err(Unwritten::Gone),
        };
        let conversation = state.conversations.get(&id).ok_or(Unwritten::Gone)?;
        let links = (self.links)(&id);
        let (mark, back) = self.marks(id);
        let thread = Thread {
            conversation: id,
            ticket: &conversation.ticket,
            links: &links,
            mark: &mark,
            back: back.as_ref(),
        };
        let contact = self.contact(&id, &conversation.contact)?;
        let recipient = self.recipient(item.kind.recipient(), item.route, &contact)?;
        let lang = conversation.lang;
        match &item.kind {
            ItemKind::Acknowledge { .. } => Ok(compose::acknowledgement(
                &self.house,
                (&thread, has_files_on_their_way(state, &id)),
                lang,
                recipient,
                item.made,
            )?),
            ItemKind::AnswerCustomer { message, .. } => {
                let (_, said) = find(conversation, *message)?;
                let text = self.text(&id, &said.body)?;
                Ok(compose::answer(
                    &self.house,
                    &thread,
                    (*message, &text, enclosed),
                    lang,
                    recipient,
                    item.made,
                )?)
            }
            ItemKind::ForwardToSupport { message, .. } => {
                let (number, said) = find(conversation, *message)?;
                let text = self.text(&id, &said.body)?;
                let reference = self.reference(&id, conversation.reference.as_ref())?;
                let forward = Forward {
                    thread,
                    message: *message,
                    number: Some(number),
                    text: &text,
                    contact: &contact,
                    reference: reference.as_deref(),
                    customer_lang: lang,
                    node: &node_name(state, said.origin),
                    taken: said.taken,
                    standing: Standing::Agreed(said.agreed),
                    enclosed,
                };
                Ok(compose::forward(&self.house, &forward, recipient)?)
            }
            ItemKind::TellStaff { .. }
            | ItemKind::NoticeByMail { .. }
            | ItemKind::NoticeByRelay { .. }
            | ItemKind::Wake { .. }
            | ItemKind::Drill { .. }
            | ItemKind::Carry { .. } => Err(Unwritten::Gone),
        }
    }

    fn of_notice(&self, state: &State, item: &Item, id: NoticeId) -> Result<Composed, Unwritten> {
        let notice = state.notices.all.get(&id).ok_or(Unwritten::Gone)?;
        let told = notice.told.as_ref().ok_or(Unwritten::Gone)?;
        let channel = state.notices.channels.get(&notice.channel);
        let facts = &channel.ok_or(Unwritten::Gone)?.facts;
        let Means::Mail { address } = &facts.means else {
            return Err(Unwritten::NoAddress);
        };
        let to = EmailAddress::new(address.as_str()).map_err(|_| Unwritten::NoAddress)?;
        let page = self
            .site
            .as_ref()
            .map(|it| format!("{it}/incident/{}", notice.incident));
        let corrects = notice.corrects.is_some();
        let words = plain(told, facts.lang, corrects, page.as_deref(), None);
        Ok(compose::notice(
            &self.house,
            &id.to_string(),
            words,
            &to,
            item.made,
        )?)
    }

    fn of_alarm(
        &self,
        state: &State,
        item: &Item,
        index: u64,
        person: Option<&Label>,
    ) -> Result<Composed, Unwritten> {
        let found = alarm::found(state, index).ok_or(Unwritten::Gone)?;
        let to = match (person, item.route) {
            (Some(person), _) => {
                alarm::mailbox(&self.keyring, state, person).ok_or(Unwritten::NoAddress)?
            }
            (None, route) => self.support_by(route).clone(),
        };
        let house = &self.house;
        let words = alarm::words(house.staff_lang, &house.company, state, found);
        let id = alarm::id(index, person);
        Ok(compose::alarm(house, &id, words, &to, item.made)?)
    }

    /// A mail of a drill. Its reader is one of the company's: no other can be written down.
    fn of_drill(
        &self,
        state: &State,
        item: &Item,
        (id, letter, to): (DrillId, Letter, &Staff),
    ) -> Result<Composed, Unwritten> {
        let known = state.drills.all.get(&id).ok_or(Unwritten::Gone)?;
        if letter == Letter::Begun && known.over.is_some() {
            return Err(Unwritten::Gone);
        }
        let Staff::Person(person) = to else {
            return Err(Unwritten::NoAddress);
        };
        let address = alarm::mailbox(&self.keyring, state, person).ok_or(Unwritten::NoAddress)?;
        let account = state.people.accounts.get(person);
        let lang = account.and_then(|it| it.langs.first()).copied();
        let words = drill::words(
            lang.unwrap_or(self.house.staff_lang),
            &self.house.company,
            (id, known),
            letter,
        );
        let mark = drill::mark(id, letter, person);
        Ok(compose::alarm(
            &self.house,
            &mark,
            words,
            &address,
            item.made,
        )?)
    }

    fn support_by(&self, route: RouteChoice) -> &EmailAddress {
        match route {
            RouteChoice::First => &self.support,
            RouteChoice::OffNet => self.support_off_net.as_ref().unwrap_or(&self.support),
        }
    }

    /// The mail to the off-net mailbox about a customer's message that only this node holds. `held` is everything it
    /// holds, as an addition may belong to an opening that is held too. Nothing for what nobody is to be mailed about.
    ///
    /// # Errors
    /// As [`Self::of_item`].
    pub fn of_held(
        &self,
        state: &State,
        held: &[Proposal],
        (one, enclosed): (&Proposal, &Enclosed),
    ) -> Result<Option<Composed>, Unwritten> {
        let Some(written) = one.command.written() else {
            return Ok(None);
        };
        let (id, body, taken) = (written.conversation, written.body, written.taken);
        let opening = held.iter().find_map(|it| Opening::held(&it.command, id));
        let agreed = || state.conversations.get(&id).map(Opening::agreed);
        let opening = opening.or_else(agreed).ok_or(Unwritten::Gone)?;
        if opening.quarantined {
            return Ok(None);
        }
        let links = (self.links)(&id);
        let contact = self.contact(&id, opening.contact)?;
        let text = self.text(&id, body)?;
        let reference = self.reference(&id, opening.reference)?;
        let (mark, back) = self.marks(id);
        let forward = Forward {
            thread: Thread {
                conversation: id,
                ticket: opening.ticket,
                links: &links,
                mark: &mark,
                back: back.as_ref(),
            },
            message: one.id,
            number: None,
            text: &text,
            contact: &contact,
            reference: reference.as_deref(),
            customer_lang: opening.lang,
            node: &node_name(state, one.origin),
            taken,
            standing: Standing::HeldHere,
            enclosed,
        };
        let to = self.support_off_net.as_ref().unwrap_or(&self.support);
        Ok(Some(compose::forward(&self.house, &forward, to)?))
    }

    fn recipient<'a>(
        &'a self,
        recipient: Recipient,
        route: RouteChoice,
        contact: &'a Contact,
    ) -> Result<&'a EmailAddress, Unwritten> {
        match (recipient, route, contact) {
            (Recipient::Real(Real::Customer(_)), _, Contact::Email(address)) => Ok(address),
            (Recipient::Real(Real::Customer(_)), _, Contact::Phone(_)) => Err(Unwritten::NoAddress),
            (Recipient::Staff(Staff::Support), route, _) => Ok(self.support_by(route)),
            // Nothing of a conversation goes to one person of the company, or to everybody.
            (Recipient::Staff(Staff::Person(_) | Staff::OnCall), _, _)
            | (Recipient::Real(Real::Readers(_)) | Recipient::Bridge(_), _, _) => {
                Err(Unwritten::NoAddress)
            }
        }
    }

    /// What ends a conversation's Message-IDs, and the address that its replies come to.
    fn marks(&self, id: ConversationId) -> (String, Option<EmailAddress>) {
        let mark = Mark::Conversation(id);
        let address = self.return_domain.as_ref().and_then(|domain| {
            let local = marks::write(&self.keyring, Purpose::Address, mark);
            EmailAddress::new(&format!("{local}@{domain}")).ok()
        });
        (marks::write(&self.keyring, Purpose::Message, mark), address)
    }

    fn text(&self, id: &ConversationId, sealed: &Sealed) -> Result<String, Unwritten> {
        let bytes = self.keyring.open(&conversation_context(id), sealed);
        String::from_utf8(bytes.ok_or(Unwritten::Sealed)?).map_err(|_| Unwritten::Sealed)
    }

    fn contact(&self, id: &ConversationId, sealed: &Sealed) -> Result<Contact, Unwritten> {
        Contact::new(&self.text(id, sealed)?).map_err(|_| Unwritten::NoAddress)
    }

    fn reference(
        &self,
        id: &ConversationId,
        sealed: Option<&Sealed>,
    ) -> Result<Option<String>, Unwritten> {
        sealed.map(|it| self.text(id, it)).transpose()
    }
}

/// What the first message of a conversation says about all of it, agreed on or still held.
struct Opening<'a> {
    ticket: &'a TicketCode,
    contact: &'a Sealed,
    reference: Option<&'a Sealed>,
    lang: Lang,
    quarantined: bool,
}

impl<'a> Opening<'a> {
    fn held(command: &'a Command, id: ConversationId) -> Option<Opening<'a>> {
        let written = command.written().filter(|it| it.conversation == id)?;
        let it = written.opening?;
        Some(Opening {
            ticket: it.ticket,
            contact: it.contact,
            reference: it.reference,
            lang: it.lang,
            quarantined: it.quarantined,
        })
    }

    fn agreed(conversation: &'a Conversation) -> Opening<'a> {
        Opening {
            ticket: &conversation.ticket,
            contact: &conversation.contact,
            reference: conversation.reference.as_ref(),
            lang: conversation.lang,
            quarantined: conversation.quarantined,
        }
    }
}

/// Whether no majority has some file of a conversation yet.
fn has_files_on_their_way(state: &State, id: &ConversationId) -> bool {
    let mut files = state.files.within(id);
    files.any(|it| !files::is_safe(state, it))
}

fn find(conversation: &Conversation, id: ClientId) -> Result<(u32, &Message), Unwritten> {
    let place = conversation.messages.iter().position(|it| it.id == id);
    let place = place.ok_or(Unwritten::Gone)?;
    let message = conversation.messages.get(place).ok_or(Unwritten::Gone)?;
    Ok((u32::try_from(place + 1).unwrap_or(u32::MAX), message))
}

fn node_name(state: &State, id: NodeId) -> String {
    state
        .nodes
        .get(&id)
        .map_or_else(|| id.to_string(), |node| node.facts.name.to_string())
}
