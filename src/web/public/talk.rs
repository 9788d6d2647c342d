//! A conversation as its customer sees it, on any node: what is agreed, with what this node holds laid over it and
//! marked. The link in the path is the permission; nothing of it is stored.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};

use crate::letterbox::HeldItem;
use crate::model::conversation::{Author, Conversation};
use crate::model::words::{ClientId, Contact, ConversationId, Lang, MessageText, Sealed};
use crate::model::{Actor, Command, limits};
use crate::seal::conversation_context;

use super::form::{Form, contact_in_short, message};
use super::pages::{Line, Talk, TalkPage, answer};
use super::sent::{NotTaken, Sent};
use super::token::Purpose;
use super::write::first_half;
use super::{Asked, Public};

/// What of a conversation is known here.
pub(super) struct Known {
    id: ConversationId,
    /// What is agreed.
    agreed: Option<Conversation>,
    /// What the cluster has not agreed on, in order.
    held: Vec<HeldItem>,
}

/// The parts of a conversation that its first message brought.
struct Opening<'a> {
    contact: &'a Sealed,
    lang: Lang,
}

pub(super) async fn show(
    State(public): State<Arc<Public>>,
    Path(link): Path<String>,
    request: Request,
) -> Response<Body> {
    let parts = request.into_parts().0;
    let Some(id) = public.parts.keyring.open_link(&link) else {
        return no_such_link(&public, &parts);
    };
    let known = public.known(id);
    let asked = public.asked(&parts, known.lang());
    let form = Form::fresh(asked.token(Purpose::Add(&link)));
    asked.talk(StatusCode::OK, &known, form)
}

pub(super) async fn add(
    State(public): State<Arc<Public>>,
    Path(link): Path<String>,
    request: Request,
) -> Response<Body> {
    let Some(id) = public.parts.keyring.open_link(&link) else {
        return no_such_link(&public, &request.into_parts().0);
    };
    let sent = match Sent::read(&public, request, Purpose::Add(&link)).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let asked = &sent.asked;
    let known = public.known(id);
    let text = match message(&sent.typed.text, asked.say) {
        Ok(text) => text,
        Err(wrong) => {
            let form = sent.blaming(vec![wrong]);
            return asked.talk(StatusCode::UNPROCESSABLE_ENTITY, &known, form);
        }
    };
    match add_to(&public, &sent, &known, &text).await {
        Ok(()) => {
            let there = asked.path_of(id, known.lang());
            asked.send_on(StatusCode::SEE_OTHER, &there)
        }
        Err(why) => why.on(asked.talk(why.status, &known, sent.again(&why))),
    }
}

async fn add_to(
    public: &Public,
    sent: &Sent<'_>,
    known: &Known,
    text: &MessageText,
) -> Result<(), NotTaken> {
    let (asked, keyring) = (&sent.asked, &public.parts.keyring);
    let said = [&known.id.0[..], &sent.nonce()?.0, text.as_str().as_bytes()].concat();
    let message = ClientId(first_half(keyring.mac("added message", &said)));
    if known.has(message) {
        return Ok(());
    }
    sent.in_time()?;
    let pace = public.paces.add(asked.visitor.address, known.id);
    NotTaken::if_too_fast(pace, asked.say, "form-busy")?;
    if known.is_full() {
        return Err(NotTaken::because(asked.say, "conversation-full"));
    }
    let context = conversation_context(&known.id);
    let command = Command::AddMessage {
        conversation: known.id,
        body: keyring.seal(&context, text.as_str().as_bytes()),
        taken: asked.now,
    };
    public
        .take(public.proposal(message, command), asked.say)
        .await
}

fn no_such_link(public: &Public, parts: &Parts) -> Response<Body> {
    let asked = public.asked(parts, None);
    asked.plain(
        StatusCode::NOT_FOUND,
        "not-found-heading",
        &["not-found-body"],
    )
}

impl Public {
    /// What of a conversation is known on this node.
    pub(super) fn known(&self, id: ConversationId) -> Known {
        // The box first: what leaves it between the two looks is then seen agreed, and shown once.
        let held = self.parts.letterbox.held_for(&id);
        let agreed = self.parts.cluster.state().conversations.get(&id).cloned();
        let is_agreed = |message: ClientId| {
            agreed
                .as_ref()
                .is_some_and(|it| it.messages.iter().any(|it| it.id == message))
        };
        let held = held
            .into_iter()
            .filter(|item| item.stored && !is_agreed(item.proposal.id))
            .collect();
        Known { id, agreed, held }
    }

    fn opened(&self, context: &str, sealed: &Sealed) -> Option<String> {
        self.parts
            .keyring
            .open(context, sealed)
            .and_then(|bytes| String::from_utf8(bytes).ok())
    }
}

impl Known {
    fn opening(&self) -> Option<Opening<'_>> {
        if let Some(agreed) = &self.agreed {
            return Some(Opening {
                contact: &agreed.contact,
                lang: agreed.lang,
            });
        }
        self.held
            .iter()
            .find_map(|item| match &item.proposal.command {
                Command::OpenConversation { contact, lang, .. } => Some(Opening {
                    contact,
                    lang: *lang,
                }),
                _ => None,
            })
    }

    /// The conversation's own language, where it is known.
    pub(super) fn lang(&self) -> Option<Lang> {
        self.opening().map(|it| it.lang)
    }

    /// No more messages fit. Asked before one is posted, because the letterbox would try a full one for ever.
    fn is_full(&self) -> bool {
        let agreed = self.agreed.as_ref().map_or(0, |it| it.messages.len());
        agreed + self.held.len() >= limits::CONVERSATION_MESSAGES_MAX
    }

    /// On how many disks the held message of the customer is that is on the fewest.
    fn servers(&self) -> u64 {
        let written = self
            .held
            .iter()
            .filter(|item| item.proposal.actor == Actor::Customer);
        written.map(|item| item.servers).min().unwrap_or_default()
    }

    fn has(&self, message: ClientId) -> bool {
        self.held.iter().any(|item| item.proposal.id == message)
            || self
                .agreed
                .as_ref()
                .is_some_and(|it| it.messages.iter().any(|it| it.id == message))
    }
}

impl<'a> Asked<'a> {
    /// Where a conversation is, in the page's language. The language is named where it is not the conversation's own.
    pub(super) fn path_of(&self, id: ConversationId, lang: Option<Lang>) -> String {
        let link = self.public.parts.keyring.link(&id);
        match lang {
            Some(lang) if lang != self.say.lang => {
                format!("/c/{link}?lang={}", self.say.lang.tag())
            }
            Some(_) | None => format!("/c/{link}"),
        }
    }

    fn talk(&self, status: StatusCode, known: &Known, form: Form) -> Response<Body> {
        let code = self.public.parts.keyring.ticket(&known.id);
        let link = self.public.parts.keyring.link(&known.id);
        let messages = self.lines(known);
        let held = known
            .held
            .iter()
            .any(|item| item.proposal.actor == Actor::Customer);
        let (state, more) = self.kept(known, held);
        let talk = Talk {
            title: self
                .say
                .with("talk-title", [("code", code.as_str().into())]),
            code,
            state,
            more,
            held: held || known.agreed.is_none(),
            answer_goes: self.answer_goes(known),
            answered: messages.iter().any(|line| line.ours),
            messages,
            closed: known.held.is_empty()
                && known.agreed.as_ref().is_some_and(|it| it.closed.is_some()),
            path: self.path_of(known.id, known.lang()),
            link: self
                .lasting_name()
                .map(|name| format!("https://{name}/c/{link}")),
        };
        let frame = self.frame(|lang| format!("/c/{link}?lang={}", lang.tag()));
        answer(
            status,
            &TalkPage { frame, talk, form },
            &self.public.look.policy,
        )
    }

    /// A name of these pages that still leads here after the outage.
    fn lasting_name(&self) -> Option<&str> {
        let alternate = self
            .public
            .parts
            .company
            .alternates
            .first()
            .map(String::as_str);
        if self.visitor.borrowed {
            return alternate;
        }
        if self.host.is_empty() {
            alternate
        } else {
            Some(&self.host)
        }
    }

    /// Where the messages are, as a heading and a sentence.
    fn kept(&self, known: &Known, held: bool) -> (String, Option<String>) {
        if known.agreed.is_none() && !held {
            // The link is one of ours, so some node took the message; it only has not come here yet.
            return (
                self.say.it("absent-heading"),
                Some(self.say.it("absent-body")),
            );
        }
        if held {
            return self.held_on(known.servers());
        }
        let servers = self.public.parts.cluster.state().voters.len();
        let more = match servers {
            0 | 1 => self.say.it("state-safe-one"),
            _ => self.say.with(
                "state-safe-more",
                [
                    ("copies", (servers / 2 + 1).into()),
                    ("servers", servers.into()),
                ],
            ),
        };
        (self.say.it("state-safe"), Some(more))
    }

    /// The same of messages that are not agreed on, the one on fewest disks counting.
    fn held_on(&self, on: u64) -> (String, Option<String>) {
        let node = ("node", self.public.parts.node.as_str().into());
        let of = self.public.parts.cluster.state().members().len();
        if on < 2 {
            let more = self.say.with("state-held-more", [node]);
            return (self.say.it("state-held"), Some(more));
        }
        let on = ("on", on.into());
        let heading = [on.clone(), ("of", of.into())];
        (
            self.say.with("state-held-copies", heading),
            Some(self.say.with("state-held-copies-more", [on, node])),
        )
    }

    fn answer_goes(&self, known: &Known) -> String {
        let contact = known.opening().and_then(|it| {
            self.public
                .opened(&conversation_context(&known.id), it.contact)
        });
        let Some(contact) = contact.and_then(|it| Contact::new(&it).ok()) else {
            return self.say.it("answer-here");
        };
        let key = match contact {
            Contact::Email(_) => "answer-by-mail",
            Contact::Phone(_) => "answer-by-phone",
        };
        self.say
            .with(key, [("contact", contact_in_short(&contact).into())])
    }

    /// The messages, agreed and held, each with what became of it.
    fn lines(&self, known: &Known) -> Vec<Line<'a>> {
        let context = conversation_context(&known.id);
        let text = |sealed: &Sealed| {
            self.public
                .opened(&context, sealed)
                .unwrap_or_else(|| self.say.it("message-sealed"))
        };
        let agreed = known
            .agreed
            .iter()
            .flat_map(|it| &it.messages)
            .map(|message| {
                let ours = message.author != Author::Customer;
                let state = match message.passed_on {
                    Some(at) => self.say.with(
                        "message-passed-on",
                        [("time", self.moment(at).spoken(self.say).into())],
                    ),
                    None => self.say.it("message-safe"),
                };
                Line {
                    ours,
                    at: self.moment(message.taken),
                    state: (!ours).then_some(state),
                    text: text(&message.body),
                }
            });
        let held = known.held.iter().filter_map(|item| {
            let (Command::OpenConversation { body, taken, .. }
            | Command::AddMessage { body, taken, .. }) = &item.proposal.command
            else {
                return None;
            };
            let ours = item.proposal.actor != Actor::Customer;
            let state = Some(match item.servers {
                0 | 1 => self.say.it("message-held"),
                on => self.say.with("message-held-copies", [("on", on.into())]),
            });
            Some(Line {
                ours,
                at: self.moment(*taken),
                state,
                text: text(body),
            })
        });
        agreed.chain(held).collect()
    }
}
