//! A conversation as its customer sees it, on any node: what is agreed, with what this node holds laid over it and
//! marked. The link in the path is the permission; nothing of it is stored.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode, header};
use imbl::{OrdMap, Vector};

use crate::clock;
use crate::letterbox::HeldItem;
use crate::model::conversation::{Author, Conversation, Door};
use crate::model::files::File;
use crate::model::talk::{Doing, Outlook};
use crate::model::words::{
    ClientId, Contact, ConversationId, Lang, MessageText, Sealed, Timestamp,
};
use crate::model::{Actor, Command, limits};
use crate::seal::conversation_context;

use super::form::{Form, contact_in_short, message};
use super::live::{self, Place, Wish};
use super::pages::{FileLine, Line, NewerPage, Talk, TalkPage, answer};
use super::sent::{NotTaken, Sent, digests};
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
    /// How many of the agreed messages an agent has seen, and when.
    seen: (u32, Timestamp),
    /// Its place among those who wait.
    outlook: Option<Outlook>,
    /// What agents do here at this moment.
    doing: Option<Doing>,
    /// The files of its agreed messages.
    files: OrdMap<ClientId, Vector<File>>,
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
    let wish = Wish::of(&parts);
    if matches!(wish, Wish::Stream | Wish::Poll) {
        return live::read_along(&public, &parts, id, wish).await;
    }
    let known = public.known(id);
    let asked = public.asked(&parts, known.lang());
    if wish == Wish::Frame {
        return asked.newer(&known, Place::of(&parts));
    }
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
    let accepts = request.headers().get(header::ACCEPT);
    if accepts.is_some_and(|it| it.as_bytes().starts_with(b"application/json")) {
        return live::take(&public, request, (&link, id)).await;
    }
    let mut sent = match Sent::read(&public, request, Purpose::Add(&link), Some(id)).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let known = public.known(id);
    let mut wrongs = sent.wrong_files();
    let text = match message(&sent.typed.text, sent.asked.say) {
        Ok(text) if wrongs.is_empty() => text,
        other => {
            wrongs.splice(..0, other.err());
            let form = sent.blaming(wrongs);
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return sent.asked.talk(status, &known, form);
        }
    };
    match add_to(&public, &mut sent, &known, &text).await {
        Ok(()) => {
            let there = sent.asked.path_of(id, known.lang());
            sent.asked.send_on(StatusCode::SEE_OTHER, &there)
        }
        Err(why) => why.on(sent.asked.talk(why.status, &known, sent.again(&why))),
    }
}

async fn add_to(
    public: &Public,
    sent: &mut Sent<'_>,
    known: &Known,
    text: &MessageText,
) -> Result<(), NotTaken> {
    let keyring = &public.parts.keyring;
    let (id, nonce) = (known.id, sent.nonce()?);
    let mut said = [&id.0[..], &nonce.0, text.as_str().as_bytes()].concat();
    // A text has no zero byte, so that no text and files run together as another text's.
    if !sent.files.is_empty() {
        said.push(0);
        said.extend(digests(&sent.files));
    }
    let files = std::mem::take(&mut sent.files);
    let asked = &sent.asked;
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
    let command = adding(public, id, text, asked.now);
    let command = public.with_files(asked, id, files, command);
    let (command, kept) = command.await?;
    let proposal = public.proposal(message, Door::Form, command);
    public.take(proposal, asked.say).await?;
    public.parts.locker.copied(&kept).await;
    Ok(())
}

/// The command that adds a customer's message.
pub(super) fn adding(
    public: &Public,
    id: ConversationId,
    text: &MessageText,
    taken: Timestamp,
) -> Command {
    let context = conversation_context(&id);
    let body = public
        .parts
        .keyring
        .seal(&context, text.as_str().as_bytes());
    Command::AddMessage {
        conversation: id,
        body,
        taken,
    }
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
        let state = self.parts.cluster.state();
        let now = clock::now();
        let agreed = state.conversations.get(&id).cloned();
        let talk = state.talks.of(&id);
        let outlook = agreed.as_ref();
        let outlook = outlook.and_then(|it| state.talks.outlook(it, id, now));
        let doing = talk.present_at(now).map(|it| it.1);
        let doing = doing.max_by_key(|it| *it == Doing::Writing);
        let is_agreed = |message: ClientId| {
            agreed
                .as_ref()
                .is_some_and(|it| it.messages.iter().any(|it| it.id == message))
        };
        let held = held
            .into_iter()
            .filter(|item| item.stored && !is_agreed(item.proposal.id))
            .collect();
        Known {
            id,
            agreed,
            held,
            seen: (talk.seen, talk.seen_at),
            outlook,
            doing,
            files: state.files.all.get(&id).cloned().unwrap_or_default(),
        }
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
            .find_map(|item| item.proposal.command.written()?.opening)
            .map(|it| Opening {
                contact: it.contact,
                lang: it.lang,
            })
    }

    /// The conversation's own language, where it is known.
    pub(super) fn lang(&self) -> Option<Lang> {
        self.opening().map(|it| it.lang)
    }

    /// No more messages fit. Asked before one is posted, because the letterbox would try a full one for ever.
    pub(super) fn is_full(&self) -> bool {
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

    /// The log index of the last agreed message.
    pub(super) fn last_index(&self) -> u64 {
        let last = self.agreed.as_ref().and_then(|it| it.messages.last());
        last.map_or(0, |it| it.index)
    }

    /// Something of the customer's is not agreed on.
    pub(super) fn holds_own(&self) -> bool {
        let mut held = self.held.iter();
        held.any(|item| item.proposal.actor == Actor::Customer)
    }

    /// An agent has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.held.is_empty() && self.agreed.as_ref().is_some_and(|it| it.closed.is_some())
    }

    pub(super) fn has(&self, message: ClientId) -> bool {
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
        let held = known.holds_own();
        let (state, more) = self.kept(known, held);
        let talk = Talk {
            title: self
                .say
                .with("talk-title", [("code", code.as_str().into())]),
            code,
            state,
            more,
            held: held || known.agreed.is_none() || self.copies(known),
            answer_goes: self.answer_goes(known),
            answered: messages.iter().any(|line| line.ours),
            messages,
            closed: known.is_closed(),
            wait: self.wait(known),
            place: self.public.place_after(known),
            words: self.script_words(),
            keeps: !self.visitor.borrowed,
            path: self.path_of(known.id, known.lang()),
            link: self
                .lasting_name()
                .map(|name| format!("https://{name}/c/{link}")),
            secret: link.clone(),
        };
        let frame = self.frame(|lang| format!("/c/{link}?lang={}", lang.tag()));
        answer(
            status,
            &TalkPage { frame, talk, form },
            &self.public.look.chat_policy,
        )
    }

    /// What is new since a page was made, to be shown inside it where no script does that.
    fn newer(&self, known: &Known, since: Option<Place>) -> Response<Body> {
        let after = since.map_or(0, |it| it.index);
        let is_new = |it: &Line<'_>| it.index.is_none_or(|it| it > after);
        let page = NewerPage {
            say: self.say,
            style: &self.public.look.style,
            company: &self.public.parts.company.name,
            messages: self.lines(known).into_iter().filter(is_new).collect(),
            nothing: self.told_at("chat-newer-none", self.now),
        };
        answer(StatusCode::OK, &page, &self.public.look.frame_policy)
    }

    /// What the script says by itself.
    fn script_words(&self) -> String {
        let words = [
            ("you", self.say.it("you")),
            ("us", self.public.parts.company.name.clone()),
            ("sending", self.say.it("chat-sending")),
            ("unsent", self.say.it("chat-unsent")),
            ("live", self.say.it("chat-live")),
            ("lost", self.say.it("chat-lost")),
        ];
        let words = words.map(|(name, text)| (name.to_owned(), serde_json::Value::from(text)));
        serde_json::Value::Object(words.into_iter().collect()).to_string()
    }

    /// What can honestly be said of when somebody answers.
    pub(super) fn wait(&self, known: &Known) -> Option<String> {
        match known.doing {
            Some(Doing::Writing) => return Some(self.say.it("wait-writing")),
            Some(Doing::Looking | Doing::Gone) => return Some(self.say.it("wait-looking")),
            None => {}
        }
        let outlook = known.outlook.filter(|_| self.alone().is_none())?;
        let mut said = match outlook.place {
            1 => self.say.it("wait-next"),
            limits::PLACE_TOLD_MAX.. => {
                let most = (limits::PLACE_TOLD_MAX - 1).into();
                self.say.with("wait-far", [("count", most)])
            }
            place => self.say.with("wait-place", [("count", place.into())]),
        };
        if let Some(wait_ms) = outlook.wait_ms {
            let minutes = wait_ms.div_ceil(60_000).max(1);
            // Nobody knows it to the minute.
            let minutes = if minutes > 10 {
                minutes.next_multiple_of(5)
            } else {
                minutes
            };
            said.push(' ');
            said.push_str(&self.say.with("wait-about", [("count", minutes.into())]));
        }
        Some(said)
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

    /// The files of an agreed message.
    fn files(&self, known: &Known, message: &ClientId) -> Vec<FileLine> {
        let files = known.files.get(message).into_iter().flatten();
        self.file_lines(known, message, files)
    }

    fn file_lines<'f>(
        &self,
        known: &Known,
        message: &ClientId,
        files: impl Iterator<Item = &'f File>,
    ) -> Vec<FileLine> {
        let (id, locker) = (&known.id, &self.public.parts.locker);
        let lines = files.zip(1..).map(|(file, number)| {
            let link = self.public.parts.keyring.link(id);
            let it = locker.standing(id, file);
            FileLine {
                name: it.name.unwrap_or_else(|| self.say.it("message-sealed")),
                size: self.size(it.bytes),
                href: (!it.erased).then(|| format!("/c/{link}/{message}/{number}")),
                is_safe: it.safe || it.erased,
                copies: (it.on, it.of),
            }
        });
        lines.collect()
    }

    fn size(&self, bytes: u64) -> String {
        self.say
            .with("file-size", [("kb", bytes.div_ceil(1024).into())])
    }

    /// What is said of a message of which a file is not safe yet: nothing is called safe before all of it is.
    fn copying(&self, files: &[FileLine], key: &str) -> Option<String> {
        let lacking = files.iter().filter(|it| !it.is_safe);
        let (on, of) = lacking.map(|it| it.copies).min()?;
        Some(self.say.with(key, [("on", on.into()), ("of", of.into())]))
    }

    /// Where the messages are, as a heading and a sentence.
    pub(super) fn kept(&self, known: &Known, held: bool) -> (String, Option<String>) {
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
        let own = known.agreed.iter().flat_map(|it| &it.messages);
        let own = own.filter(|it| it.author == Author::Customer);
        let files: Vec<FileLine> = own.flat_map(|it| self.files(known, &it.id)).collect();
        if let Some(copying) = self.copying(&files, "state-files") {
            return (copying, Some(self.say.it("state-files-more")));
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

    /// A file of the customer's is not on a majority's disks.
    pub(super) fn copies(&self, known: &Known) -> bool {
        if known.files.is_empty() {
            return false;
        }
        let own = known.agreed.iter().flat_map(|it| &it.messages);
        let mut own = own.filter(|it| it.author == Author::Customer);
        own.any(|it| self.files(known, &it.id).iter().any(|it| !it.is_safe))
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
    pub(super) fn lines(&self, known: &Known) -> Vec<Line<'a>> {
        let context = conversation_context(&known.id);
        let text = |sealed: &Sealed| {
            self.public
                .opened(&context, sealed)
                .unwrap_or_else(|| self.say.it("message-sealed"))
        };
        let agreed = known.agreed.iter().flat_map(|it| &it.messages);
        let agreed = (1..).zip(agreed).map(|(number, message)| {
            let ours = message.author != Author::Customer;
            let files = self.files(known, &message.id);
            let copying = self.copying(&files, "message-files");
            let state = || match (number <= known.seen.0, message.passed_on) {
                (true, _) => self.told_at("message-seen", known.seen.1),
                (false, Some(at)) => self.told_at("message-passed-on", at),
                (false, None) => self.say.it("message-safe"),
            };
            Line {
                key: message.id.to_string(),
                index: Some(message.index),
                ours,
                at: self.moment(message.taken),
                state: (!ours).then(|| copying.unwrap_or_else(state)),
                text: text(&message.body),
                files,
            }
        });
        let held = known.held.iter().filter_map(|item| {
            let written = item.proposal.command.written()?;
            let ours = item.proposal.actor != Actor::Customer;
            let state = Some(match item.servers {
                0 | 1 => self.say.it("message-held"),
                on => self.say.with("message-held-copies", [("on", on.into())]),
            });
            Some(Line {
                key: item.proposal.id.to_string(),
                index: None,
                ours,
                at: self.moment(written.taken),
                state,
                text: text(written.body),
                files: self.file_lines(known, &item.proposal.id, written.files.iter()),
            })
        });
        agreed.chain(held).collect()
    }

    fn told_at(&self, key: &str, at: Timestamp) -> String {
        let time = self.moment(at).absolute(self.say);
        self.say.with(key, [("time", time.into())])
    }
}
