//! The inbox: who waits, oldest word first; whose each is and what it is about; one answer to all about the same; and the
//! prepared answers.

use askama::Template;
use axum::{
    extract::Query,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Choice, Frame, Posted, Visit, encoded, hex, see};
use crate::clock;
use crate::desk::{
    answers::{AnswerAll, AnsweredAll, Prepare},
    asking::Asking,
    people::label,
    problem::Problem,
    reading::{door, excerpt},
    seen::{Sought, Wanted, Whose, seen},
};
use crate::model::{
    people::Role,
    words::{ConversationId, Label, Lang, Timestamp},
};

/// Conversations on one page.
const ROWS: usize = 100;
/// The lists there are; each name is the end of its text's key.
pub(super) const LISTS: [(&str, Wanted); 4] = [
    ("waiting", Wanted::Waiting),
    ("open", Wanted::Open),
    ("quarantined", Wanted::Quarantined),
    ("closed", Wanted::Closed),
];

/// Which conversations.
#[derive(Clone, Deserialize, Default)]
#[serde(default)]
pub(super) struct Which {
    list: String,
    whose: String,
    tag: String,
    code: String,
}

#[derive(Template)]
#[template(path = "inbox.html", config = "src/desk/pages/askama.toml")]
struct Inbox<'a> {
    frame: Frame<'a>,
    lists: Vec<Choice>,
    owners: Vec<Choice>,
    list: &'static str,
    whose: &'static str,
    tag: String,
    code: String,
    wrong: Option<String>,
    rows: Vec<Row>,
    more: Option<String>,
    all: Option<ToAll>,
    done: Vec<String>,
}

/// A conversation in the list.
struct Row {
    id: String,
    ticket: String,
    waits: Option<String>,
    when: String,
    lang: &'static str,
    door: &'static str,
    assigned: Option<String>,
    tags: Vec<String>,
    excerpt: String,
    present: Vec<String>,
    held: Option<String>,
}

/// One answer to all with a tag.
struct ToAll {
    tag: String,
    count: usize,
    lead: String,
    typed: String,
    once: String,
    mistakes: Vec<String>,
    words: Vec<(&'static str, String, String)>,
}

pub(super) async fn list(visit: Visit, Query(which): Query<Which>) -> Response {
    let code = which.code.trim();
    if !code.is_empty() {
        return match visit.desk().find(code) {
            Ok(id) => see(&format!("/inbox/{id}")),
            Err(_) => visit.inbox(StatusCode::OK, which, None, Vec::new()).await,
        };
    }
    visit.inbox(StatusCode::OK, which, None, Vec::new()).await
}

pub(super) async fn answer_all(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let which = Which {
        tag: posted.text("tag").to_owned(),
        list: "open".to_owned(),
        ..Which::default()
    };
    let typed = posted.text("count").trim();
    let asked = AnswerAll {
        tag: which.tag.clone(),
        texts: posted.by_lang("text"),
        count: typed.parse().unwrap_or_default(),
    };
    let asking = asking.once(posted.text("once"), "/inbox/answer-all");
    match visit.desk().answer_all(&asking, &asked).await {
        Ok(answered) => {
            let done = visit.answered(&answered);
            visit.inbox(StatusCode::OK, which, None, done).await
        }
        Err(problem) => {
            let status = problem.status();
            let back = Some((posted, problem));
            visit.inbox(status, which, back, Vec::new()).await
        }
    }
}

impl Visit {
    fn answered(&self, answered: &AnsweredAll) -> Vec<String> {
        let parts = [
            ("agreed", answered.agreed.into()),
            ("held", answered.held.into()),
        ];
        let mut lines = vec![self.say.with("inbox-all-done", parts)];
        lines.extend(
            answered
                .failed
                .iter()
                .map(|(ticket, why)| format!("{ticket}: {why}")),
        );
        lines
    }

    async fn inbox(
        &self,
        status: StatusCode,
        which: Which,
        back: Option<(Posted, Problem)>,
        done: Vec<String>,
    ) -> Response {
        let (list, wanted) = LISTS
            .into_iter()
            .find(|it| it.0 == which.list)
            .unwrap_or(LISTS[0]);
        let me = Label::new(&self.who()).ok();
        let (whose, owner) = match (which.whose.as_str(), me) {
            ("mine", Some(me)) => ("mine", Whose::Of(me)),
            ("nobody", _) => ("nobody", Whose::Nobodys),
            _ => ("all", Whose::Anybodys),
        };
        let tag = label("tag", which.tag.trim()).ok();
        let sought = Sought {
            wanted,
            whose: owner,
            tag: tag.clone(),
        };
        let desk = self.desk().clone();
        // A walk over all conversations takes tens of milliseconds when there are 200,000 of them.
        let found = tokio::task::spawn_blocking(move || desk.found(&sought)).await;
        let Ok(found) = found else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let (rows, more) = self.rows(found, wanted);
        let choices = |key: &str, names: &[&'static str], chosen: &str| {
            let names = names.iter().copied();
            self.choices(key, names, chosen)
        };
        let page = Inbox {
            lists: choices("inbox", &LISTS.map(|it| it.0), list),
            owners: choices("inbox-whose", &["all", "mine", "nobody"], whose),
            list,
            whose,
            all: tag.map(|tag| self.to_all(&tag, back)),
            tag: which.tag,
            wrong: (!which.code.is_empty()).then(|| self.say.it("inbox-code-wrong")),
            code: which.code,
            rows,
            more: more.then(|| self.say.with("inbox-more", [("count", ROWS.into())])),
            done,
            frame: self.frame(),
        };
        self.scripted(status, &page)
    }

    fn rows(
        &self,
        mut found: Vec<(ConversationId, Timestamp)>,
        wanted: Wanted,
    ) -> (Vec<Row>, bool) {
        let desk = self.desk();
        let mut rows = Vec::new();
        if wanted == Wanted::Waiting {
            // Whoever waits longest comes first.
            let since = |id: &ConversationId| {
                let seen = seen(&desk.letterbox, &self.state, *id)?;
                seen.since()
            };
            found.sort_by_cached_key(|it| since(&it.0));
        } else {
            found.sort_unstable_by_key(|it| std::cmp::Reverse(it.1));
        }
        let more = found.len() > ROWS;
        found.truncate(ROWS);
        for (id, touched) in found {
            let Some(seen) = seen(&desk.letterbox, &self.state, id) else {
                continue;
            };
            let last = seen.messages.last().and_then(|it| desk.text(id, &it.body));
            let present = seen.talk.present_at(self.now);
            let me = self.who();
            rows.push(Row {
                id: id.to_string(),
                ticket: seen.ticket.to_string(),
                waits: seen.since().map(|at| {
                    let time = self.time(at);
                    self.say.with("inbox-since", [("time", time.into())])
                }),
                when: self.time(touched),
                lang: seen.lang.tag(),
                door: door(seen.door),
                assigned: seen.talk.assigned.as_ref().map(ToString::to_string),
                tags: seen.talk.tags.iter().map(ToString::to_string).collect(),
                excerpt: last.as_deref().map(excerpt).unwrap_or_default(),
                present: present
                    .map(|it| it.0.to_string())
                    .filter(|it| *it != me)
                    .map(|it| self.say.with("talk-looks", [("name", it.into())]))
                    .collect(),
                held: match seen.held.len() {
                    0 => None,
                    count => Some(self.say.with("inbox-held", [("count", count.into())])),
                },
            });
        }
        (rows, more)
    }

    fn to_all(&self, tag: &Label, back: Option<(Posted, Problem)>) -> ToAll {
        let count = self.desk().tagged(tag).len();
        let (posted, mistakes) = match back {
            Some((posted, problem)) => (posted, problem.lines()),
            None => (Posted::default(), Vec::new()),
        };
        let languages = &self.desk().console.company.languages;
        let words = languages.iter().map(|lang| {
            let typed = posted.text(&format!("text-{}", lang.tag())).to_owned();
            let name = self.say.it(&format!("in-{}", lang.tag()));
            (lang.tag(), name, typed)
        });
        let once = Some(posted.text("once")).filter(|it| !it.is_empty());
        ToAll {
            lead: self.say.with(
                "inbox-all-lead",
                [("count", count.into()), ("tag", tag.to_string().into())],
            ),
            tag: tag.to_string(),
            count,
            typed: posted.text("count").to_owned(),
            once: once.map_or_else(|| hex(&clock::random_bytes::<16>()), str::to_owned),
            mistakes,
            words: words.collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "prepared.html", config = "src/desk/pages/askama.toml")]
struct Prepared<'a> {
    frame: Frame<'a>,
    answers: Vec<Answer>,
    new: Option<Answer>,
    mistakes: Vec<String>,
}

struct Answer {
    name: String,
    generation: u64,
    words: Vec<(&'static str, String, String)>,
}

pub(super) async fn prepared(visit: Visit) -> Response {
    visit.prepared(StatusCode::OK, None)
}

pub(super) async fn prepare(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let name = posted.text("name").trim();
    let against = posted.text("against").parse().unwrap_or_default();
    let desk = visit.desk();
    let done = match posted.text("do") {
        "remove" => desk.unprepare(&asking, b"", name, against).await,
        _ => {
            let asked = Prepare {
                texts: posted.by_lang("text"),
                against,
            };
            desk.prepare(&asking, b"", name, &asked).await
        }
    };
    match done {
        Ok(()) => see("/prepared"),
        Err(problem) => {
            let status = problem.status();
            visit.prepared(status, Some((posted, problem)))
        }
    }
}

impl Visit {
    fn prepared(&self, status: StatusCode, back: Option<(Posted, Problem)>) -> Response {
        let languages = &self.desk().console.company.languages;
        let words = |text: &dyn Fn(Lang) -> String| {
            let of = |lang: &Lang| {
                let name = self.say.it(&format!("in-{}", lang.tag()));
                (lang.tag(), name, text(*lang))
            };
            languages.iter().map(of).collect()
        };
        let canned = &self.state.talks.canned;
        let answers = canned.iter().map(|(name, it)| Answer {
            name: name.to_string(),
            generation: it.generation,
            words: words(&|lang| {
                let text = it.texts.get(&lang);
                text.map(|it| it.as_str().to_owned()).unwrap_or_default()
            }),
        });
        let (typed, mistakes) = match &back {
            Some((posted, problem)) => (Some(posted), problem.lines()),
            None => (None, Vec::new()),
        };
        let field = |name: &str| typed.map(|it| it.text(name).to_owned()).unwrap_or_default();
        let page = Prepared {
            answers: answers.collect(),
            new: self.may(Role::Leader).then(|| Answer {
                name: field("name"),
                generation: field("against").parse().unwrap_or_default(),
                words: words(&|lang| field(&format!("text-{}", lang.tag()))),
            }),
            mistakes,
            frame: self.frame(),
        };
        self.shown(status, &page)
    }
}

impl Inbox<'_> {
    /// The address of the same with another list, owner or tag.
    fn to(&self, list: &str, whose: &str, tag: &str) -> String {
        format!("/inbox?list={list}&whose={whose}&tag={}", encoded(tag))
    }
}
