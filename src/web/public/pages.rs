//! The pages as values, and how they become HTML. Everything shown is put in here as text and escaped by the
//! templates; the only markup that goes through unescaped is our own style sheet.

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::config::{Company, Spoken};
use crate::model::limits;
use crate::model::words::{Lang, TicketCode};

use super::form::Form;
use super::look::Look;
use super::status::Happening;
use super::texts::Say;
use super::times::Moment;

/// What stands around every page.
pub struct Frame<'a> {
    /// The page's language.
    pub say: &'a Say,
    /// Style and logo.
    pub look: &'a Look,
    /// Whose page it is.
    pub company: &'a Company,
    /// The same page in each language.
    pub switch: Vec<Turn>,
    /// That this node cannot reach the others, when so.
    pub alone: Option<Alone>,
    /// What customers call this node.
    pub node: &'a str,
    /// When the page was made.
    pub made: Moment<'a>,
}

impl Frame<'_> {
    /// The company's text in the page's language.
    pub(super) fn words<'s>(&self, spoken: &'s Spoken) -> &'s str {
        spoken.in_lang(self.say.lang)
    }

    /// What files may be sent.
    pub(super) fn file_hint(&self) -> String {
        let most = limits::FILE_BYTES_MAX >> 20;
        let bounds = [
            ("count", limits::FILES_PER_MESSAGE.into()),
            ("most", most.into()),
        ];
        self.say.with("field-file-hint", bounds)
    }

    pub(super) fn made_by(&self) -> String {
        self.say.with("made-by", [("node", self.node.into())])
    }
}

/// One language of the language switch.
pub struct Turn {
    /// The language.
    pub lang: Lang,
    /// What it calls itself.
    pub name: String,
    /// Where the page is in it.
    pub href: String,
}

/// That this node cannot reach the others.
pub struct Alone {
    /// Since when, as a sentence, where that is known.
    pub since: Option<String>,
}

/// The first page, and the same with a form that was not taken.
#[derive(Template)]
#[template(path = "front.html", config = "src/web/public/askama.toml")]
pub struct Front<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// The form.
    pub form: Form,
    /// What happens now.
    pub now: Happening<'a>,
    /// Visitors can ask whether it is them.
    pub asks: bool,
}

/// A conversation, for its customer.
#[derive(Template)]
#[template(path = "conversation.html", config = "src/web/public/askama.toml")]
pub struct TalkPage<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// The conversation.
    pub talk: Talk<'a>,
    /// The form for one more message.
    pub form: Form,
}

/// What a customer sees of a conversation.
pub struct Talk<'a> {
    /// The page's title.
    pub title: String,
    /// The ticket code.
    pub code: TicketCode,
    /// Where the last word of the customer is kept, as a heading.
    pub state: String,
    /// The same in more words.
    pub more: Option<String>,
    /// A message is on this node only.
    pub held: bool,
    /// Where the answer goes, as a sentence.
    pub answer_goes: String,
    /// The messages in order.
    pub messages: Vec<Line<'a>>,
    /// Somebody of the company has answered.
    pub answered: bool,
    /// An agent has closed it.
    pub closed: bool,
    /// When somebody answers, where something can be said about it.
    pub wait: Option<String>,
    /// The place in the conversation up to which the page goes.
    pub place: String,
    /// What the script says, as JSON.
    pub words: String,
    /// The browser may keep what is typed for longer than the tab is open: not under a name that was lent to us.
    pub keeps: bool,
    /// The secret part of the path.
    pub secret: String,
    /// Path of this page, in its language.
    pub path: String,
    /// The whole address to be kept, where there is a name that outlives the outage.
    pub link: Option<String>,
}

/// One message of a conversation.
pub struct Line<'a> {
    /// The id it was posted under.
    pub key: String,
    /// The log index it was agreed at; nothing while it is held.
    pub index: Option<u64>,
    /// Written by the company, not by the customer.
    pub ours: bool,
    /// When it was taken.
    pub at: Moment<'a>,
    /// What became of it, for the customer's own.
    pub state: Option<String>,
    /// The text.
    pub text: String,
    /// The files that it carries.
    pub files: Vec<FileLine>,
}

/// A file of a message.
pub struct FileLine {
    /// Its cleaned name.
    pub name: String,
    /// How large it is, in words.
    pub size: String,
    /// Where it is to be had; nothing when it was deleted.
    pub href: Option<String>,
    /// A majority has it on their disks.
    pub is_safe: bool,
    /// On how many servers it is, of how many.
    pub copies: (usize, usize),
}

/// What is new in a conversation, inside its page. It looks again by itself and never takes what was typed with it.
#[derive(Template)]
#[template(path = "newer.html", config = "src/web/public/askama.toml")]
pub struct NewerPage<'a> {
    /// The page's language.
    pub say: &'a Say,
    /// The style.
    pub style: &'a str,
    /// Whose page it is.
    pub company: &'a str,
    /// The messages.
    pub messages: Vec<Line<'a>>,
    /// That there is nothing, and when it was looked.
    pub nothing: String,
}

/// The page on which a ticket code and a contact open a conversation.
#[derive(Template)]
#[template(path = "ticket.html", config = "src/web/public/askama.toml")]
pub struct TicketPage<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// The form.
    pub form: Form,
}

/// The page on which somebody unsubscribes.
#[derive(Template)]
#[template(path = "unsubscribe.html", config = "src/web/public/askama.toml")]
pub struct Unsubscribe<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// The secret part of its address.
    pub token: String,
}

/// The page on which somebody says that they are awake.
#[derive(Template)]
#[template(path = "awake.html", config = "src/web/public/askama.toml")]
pub struct Awake<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// The secret part of its address.
    pub token: String,
    /// What it is about.
    pub what: String,
    /// It is only an exercise.
    pub drill: bool,
    /// The title of the page.
    pub title: String,
    /// What an answer means.
    pub ask: String,
    /// What is written on the button.
    pub button: String,
    /// Why nothing is to be done any more.
    pub says: Option<String>,
}

/// A page with a heading and a few sentences.
#[derive(Template)]
#[template(path = "plain.html", config = "src/web/public/askama.toml")]
pub struct Plain<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// The heading.
    pub heading: String,
    /// The sentences.
    pub body: Vec<String>,
    /// Where to go on, and its words.
    pub onward: (String, String),
}

/// What stands in an answer that leads elsewhere, for the rare browser that shows it. Every message that is taken is
/// answered so, so it is no more than that.
#[derive(Template)]
#[template(path = "onward.html", config = "src/web/public/askama.toml")]
pub struct Onward<'a> {
    /// The page's language.
    pub say: &'a Say,
    /// The heading.
    pub heading: String,
    /// Where to go on, and its words.
    pub onward: (String, String),
}

/// The answer that carries a page. `policy` is its Content-Security-Policy.
pub fn answer(status: StatusCode, page: &impl Template, policy: &str) -> Response<Body> {
    let (status, html) = match page.render() {
        Ok(html) => (status, html),
        // Writing to a string does not fail and our templates hold nothing else that could; say the least that helps.
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "<!DOCTYPE html><title>500</title>".to_owned(),
        ),
    };
    let mut answer = Response::new(Body::from(html));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    // Asked for again each time: a page says where a message is now. Nobody else may keep it.
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    // Secret links stay with us.
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    if let Ok(policy) = HeaderValue::from_str(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}
