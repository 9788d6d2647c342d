//! One conversation, for whoever answers it. An answer goes through the letterbox, so that it is taken on a lone node too.
//!
//! What was typed is never lost: where somebody else wrote meanwhile, the page comes back with it and says so, and the
//! next sending goes through.

use askama::Template;
use axum::{
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{Frame, Posted, Visit, encoded, hex, see};
use crate::clock;
use crate::desk::{
    asking::Asking,
    files,
    problem::Problem,
    reading::gone,
    seen::{Seen, seen},
    talks::Tags,
};
use crate::letterbox::HeldItem;
use crate::model::{
    Actor,
    conversation::{Author, Message},
    talk::Doing,
    words::{ClientId, ConversationId, Label, Sealed, Timestamp},
};

#[derive(Template)]
#[template(path = "talk.html", config = "src/desk/pages/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    id: String,
    ticket: String,
    state: String,
    facts: Vec<(String, String)>,
    present: Vec<String>,
    lines: Vec<Line>,
    assigned: Option<String>,
    mine: bool,
    closed: bool,
    quarantined: bool,
    tags: Vec<String>,
    people: Vec<Choosable>,
    canned: Vec<Choosable>,
    form: Form,
    others: Vec<String>,
}

/// A message or a note, in the order in which they were taken.
struct Line {
    kind: &'static str,
    who: String,
    when: String,
    state: String,
    text: String,
    files: Vec<FileLine>,
}

/// A file of a message.
struct FileLine {
    name: String,
    state: String,
    /// Where it is; nothing when it was deleted.
    href: Option<String>,
    is_picture: bool,
}

/// Something to choose.
struct Choosable {
    value: String,
    says: String,
    chosen: bool,
}

/// What was typed, and what is said about it.
#[derive(Default)]
struct Form {
    text: String,
    note: String,
    once: String,
    last: String,
    /// Files were chosen, and must be again.
    again: bool,
    mistakes: Vec<String>,
    warning: Option<String>,
    said: Option<String>,
}

pub(super) async fn show(visit: Visit, asking: Asking, Path(id): Path<String>) -> Response {
    let id = match visit.desk().find(&id) {
        Ok(id) => id,
        Err(problem) => return visit.failed(&problem),
    };
    visit.desk().is_present(&asking, id, Doing::Looking);
    if let Some(seen) = visit.seen(id) {
        visit.desk().has_seen(&asking, id, &seen);
    }
    visit.talk(StatusCode::OK, id, Form::default())
}

pub(super) async fn answer(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let desk = visit.desk();
    let (id, seen) = match desk.find(&id) {
        Ok(id) => match visit.seen(id) {
            Some(seen) => (id, seen),
            None => return visit.failed(&gone()),
        },
        Err(problem) => return visit.failed(&problem),
    };
    let typed = posted.text("text").to_owned();
    let typed = typed.as_str();
    let had_files = !posted.0.files.is_empty() || !posted.0.refused.is_empty();
    let mut form = Form {
        text: typed.to_owned(),
        once: posted.text("once").to_owned(),
        last: posted.text("last").to_owned(),
        ..Form::default()
    };
    if posted.text("do") == "insert" {
        form.text = visit.inserted(typed, posted.text("canned"), id, &seen);
        form.again = had_files;
        return visit.talk(StatusCode::OK, id, form);
    }
    let asking = asking.once(&form.once, &format!("/inbox/{id}/answer"));
    let content = files::content(typed, &posted.0.files);
    let own = asking.id(&content).to_string();
    let keys = seen.keys();
    // Sent a second time by the browser: it is there already, and nothing is to be warned of.
    let is_repeat = keys.iter().any(|it| it.0 == own);
    if !is_repeat && let Some(warning) = visit.crossed(&keys, &form.last) {
        form.warning = Some(warning);
        form.again = !posted.0.files.is_empty();
        form.last = String::new();
        return visit.talk(StatusCode::CONFLICT, id, form);
    }
    desk.is_present(&asking, id, Doing::Looking);
    match desk.answer_with(&asking, id, posted.0).await {
        Ok((_, kept)) if kept.0.kept == "agreed" => see(&format!("/inbox/{id}#end")),
        Ok((_, kept)) => {
            let form = Form {
                said: Some(kept.0.says.clone()),
                ..Form::default()
            };
            visit.talk(StatusCode::OK, id, form)
        }
        Err(problem) => {
            form.mistakes = problem.lines();
            form.again = had_files;
            visit.talk(problem.status(), id, form)
        }
    }
}

pub(super) async fn note(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let desk = visit.desk();
    let id = match desk.find(&id) {
        Ok(id) => id,
        Err(problem) => return visit.failed(&problem),
    };
    let text = posted.text("note");
    let asking = asking.once(posted.text("once"), &format!("/inbox/{id}/note"));
    let done = desk.note(&asking, text.as_bytes(), id, text).await;
    let form = Form {
        note: text.to_owned(),
        ..Form::default()
    };
    visit.after(id, done.err(), form)
}

/// The small deeds: whose it is, tags, closing, opening again, out of quarantine.
pub(super) async fn deed(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let desk = visit.desk();
    let id = match desk.find(&id) {
        Ok(id) => id,
        Err(problem) => return visit.failed(&problem),
    };
    let (what, value) = posted
        .text("do")
        .split_once(' ')
        .unwrap_or((posted.text("do"), ""));
    let content = [what, value, posted.text("to"), posted.text("tag")].join("\n");
    let path = format!("/inbox/{id}/do");
    let asking = asking.once(posted.text("once"), &path);
    let content = content.as_bytes();
    let done = match what {
        "take" => {
            let me = Label::new(&visit.who()).ok();
            desk.assign(&asking, content, id, me).await
        }
        "give" => {
            let to = Some(posted.text("to")).filter(|it| !it.is_empty());
            desk.assign(&asking, content, id, to.and_then(|it| Label::new(it).ok()))
                .await
        }
        "tag" => {
            let add = posted
                .text("tag")
                .split([' ', ','])
                .filter(|it| !it.is_empty());
            let tags = Tags {
                add: add.map(str::to_owned).collect(),
                remove: Vec::new(),
            };
            desk.tag(&asking, content, id, &tags).await
        }
        "untag" => {
            let tags = Tags {
                add: Vec::new(),
                remove: vec![value.to_owned()],
            };
            desk.tag(&asking, content, id, &tags).await
        }
        "reopen" => desk.reopen(&asking, content, id).await,
        "close" => desk.close(&asking, content, id).await,
        "release" => desk.release(&asking, content, id).await,
        other => {
            let wanted = "take, give, tag, untag, close, reopen or release";
            Err(Problem::invalid("do", other, wanted))
        }
    };
    visit.after(id, done.err(), Form::default())
}

/// Says that somebody writes here.
pub(super) async fn writing(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    _posted: Posted,
) -> Response {
    if let Ok(id) = visit.desk().find(&id) {
        visit.desk().is_present(&asking, id, Doing::Writing);
    }
    StatusCode::NO_CONTENT.into_response()
}

impl Seen {
    /// The keys of all messages in order, with whether an agent wrote them and who.
    fn keys(&self) -> Vec<(String, Option<String>)> {
        let agreed = self.messages.iter().map(|it| {
            let by = match &it.author {
                Author::Customer => None,
                Author::Agent(name) => Some(name.to_string()),
            };
            (it.id.to_string(), by)
        });
        let held = self
            .held
            .iter()
            .filter(|it| it.proposal.command.written().is_some())
            .map(|it| {
                let by = match &it.proposal.actor {
                    Actor::Customer => None,
                    other => Some(other.spoken()),
                };
                (it.proposal.id.to_string(), by)
            });
        agreed.chain(held).collect()
    }
}

impl Visit {
    fn seen(&self, id: ConversationId) -> Option<Seen> {
        let desk = self.desk();
        seen(&desk.letterbox, &desk.cluster.state(), id)
    }

    /// What to say when a colleague answered after the page was made. What the customer writes meanwhile shows by itself
    /// and stops nobody.
    fn crossed(&self, keys: &[(String, Option<String>)], last: &str) -> Option<String> {
        let known = keys.iter().position(|it| it.0 == last)?;
        let me = self.who();
        let mut agents = keys[known + 1..].iter().filter_map(|it| it.1.clone());
        let who = agents.find(|it| *it != me)?;
        Some(self.say.with("talk-crossed", [("name", who.into())]))
    }

    /// What was typed with a prepared answer after it.
    fn inserted(&self, typed: &str, name: &str, id: ConversationId, seen: &Seen) -> String {
        let canned = Label::new(name).ok();
        let canned = canned.and_then(|it| self.state.talks.canned.get(&it));
        let text = canned.and_then(|it| {
            let own = it.texts.get(&seen.lang);
            own.or_else(|| it.texts.values().next())
        });
        let text = text.map(|it| self.desk().filled(it.as_str(), id, seen.lang));
        let parts = [Some(typed.trim_end().to_owned()), text];
        let parts = parts.into_iter().flatten().filter(|it| !it.is_empty());
        parts.collect::<Vec<_>>().join("\n\n")
    }

    fn after(&self, id: ConversationId, problem: Option<Problem>, form: Form) -> Response {
        match problem {
            None => see(&format!("/inbox/{id}")),
            Some(it) => {
                let form = Form {
                    mistakes: it.lines(),
                    ..form
                };
                self.talk(it.status(), id, form)
            }
        }
    }

    fn talk(&self, status: StatusCode, id: ConversationId, mut form: Form) -> Response {
        let Some(seen) = self.seen(id) else {
            return self.failed(&gone());
        };
        if form.once.is_empty() {
            form.once = hex(&clock::random_bytes::<16>());
        }
        if form.last.is_empty() {
            let last = seen.last();
            form.last = last.map(|it| it.to_string()).unwrap_or_default();
        }
        let me = self.who();
        let assigned = seen.talk.assigned.as_ref().map(ToString::to_string);
        let page = Page {
            id: id.to_string(),
            ticket: seen.ticket.to_string(),
            state: self.say.it(&format!("talk-is-{}", seen.state())),
            facts: self.facts(id, &seen),
            present: self.present(&seen),
            lines: self.lines(id, &seen),
            mine: assigned.as_ref() == Some(&me),
            closed: seen.state() == "closed",
            quarantined: seen.quarantined,
            tags: seen.talk.tags.iter().map(ToString::to_string).collect(),
            people: self.agents(assigned.as_deref()),
            assigned: assigned.map(|it| self.say.with("talk-is-of", [("name", it.into())])),
            canned: self.canned(),
            form,
            others: self.other_consoles(),
            frame: self.frame(),
        };
        self.scripted(status, &page)
    }

    fn facts(&self, id: ConversationId, seen: &Seen) -> Vec<(String, String)> {
        let desk = self.desk();
        let no_key = || self.say.it("talk-no-key");
        let opened = |sealed| desk.text(id, sealed).unwrap_or_else(no_key);
        let mut facts = vec![(self.say.it("talk-contact"), opened(&seen.contact))];
        if let Some(reference) = &seen.reference {
            facts.push((self.say.it("talk-reference"), opened(reference)));
        }
        let lang = self.say.it(&format!("in-{}", seen.lang.tag()));
        facts.push((self.say.it("talk-language"), lang));
        if let Some(since) = seen.since() {
            facts.push((self.say.it("talk-waits"), self.time(since)));
        }
        let all = seen.messages.len();
        for (name, bridge, done) in self.state.bridges.of(&id) {
            let parts = [
                ("bridge", name.to_string().into()),
                ("done", done.into()),
                ("all", all.into()),
            ];
            let key = match bridge.trouble {
                Some(_) => "talk-bridge-stuck",
                None => "talk-bridge-goes",
            };
            facts.push((self.say.it("talk-bridge"), self.say.with(key, parts)));
        }
        facts
    }

    fn present(&self, seen: &Seen) -> Vec<String> {
        let me = self.who();
        let others = seen.talk.present_at(self.now);
        let others = others.filter(|it| it.0.as_str() != me);
        let spoken = others.map(|(who, doing)| {
            let key = match doing {
                Doing::Writing => "talk-writes",
                Doing::Looking | Doing::Gone => "talk-looks",
            };
            self.say.with(key, [("name", who.to_string().into())])
        });
        spoken.collect()
    }

    fn agents(&self, assigned: Option<&str>) -> Vec<Choosable> {
        let accounts = self.state.people.accounts.iter();
        let may = accounts.filter(|it| it.1.roles.may(crate::model::people::Role::Agent));
        let choosable = may.map(|(name, it)| Choosable {
            value: name.to_string(),
            says: match it.shown.as_str() {
                "" => name.to_string(),
                shown => format!("{name} ({shown})"),
            },
            chosen: assigned == Some(name.as_str()),
        });
        let nobody = Choosable {
            value: String::new(),
            says: self.say.it("talk-nobody"),
            chosen: assigned.is_none(),
        };
        std::iter::once(nobody).chain(choosable).collect()
    }

    fn canned(&self) -> Vec<Choosable> {
        let canned = self.state.talks.canned.keys().map(|it| Choosable {
            value: it.to_string(),
            says: it.to_string(),
            chosen: false,
        });
        canned.collect()
    }

    /// Where the consoles of the other nodes are, for when this one stops answering.
    fn other_consoles(&self) -> Vec<String> {
        let here = self.desk().cluster.id();
        let consoles = self.state.people.consoles.iter();
        let others = consoles.filter(|it| *it.0 != here);
        let first = others.filter_map(|it| it.1.addresses.first());
        first.map(|it| format!("https://{}", it.as_str())).collect()
    }

    fn lines(&self, id: ConversationId, seen: &Seen) -> Vec<Line> {
        let mut lines: Vec<(Timestamp, Line)> = (1..)
            .zip(&seen.messages)
            .map(|(number, it)| (it.taken, self.agreed(id, it, number > seen.talk.seen)))
            .collect();
        for it in &seen.talk.notes {
            let state = match it.index {
                0 => "talk-held",
                _ => "talk-note-is",
            };
            let note = Line {
                kind: "note",
                who: it.by.to_string(),
                when: self.time(it.taken),
                state: self.say.it(state),
                text: self.opened(id, &it.body),
                files: Vec::new(),
            };
            // Messages keep the order agreed on; a note stands before the first that came after it.
            let place = lines.iter().position(|line| line.0 > it.taken);
            lines.insert(place.unwrap_or(lines.len()), (it.taken, note));
        }
        let lines = lines.into_iter().map(|it| it.1);
        let held = seen.held.iter().filter_map(|it| self.held(id, it));
        lines.chain(held).collect()
    }

    fn opened(&self, id: ConversationId, sealed: &Sealed) -> String {
        let text = self.desk().text(id, sealed);
        text.unwrap_or_else(|| self.say.it("talk-no-key"))
    }

    /// A message that is agreed on.
    fn agreed(&self, id: ConversationId, it: &Message, is_new: bool) -> Line {
        let (kind, who) = match &it.author {
            Author::Customer => ("customer", self.say.it("talk-customer")),
            Author::Agent(name) => ("us", self.desk().agent(id, &it.id, name)),
        };
        let state = match (&it.author, it.passed_on) {
            (Author::Customer, _) if is_new => self.say.it("talk-new"),
            (Author::Customer, _) => String::new(),
            (Author::Agent(_), Some(at)) => {
                let time = self.time(at);
                self.say.with("talk-mailed", [("time", time.into())])
            }
            (Author::Agent(_), None) => self.say.it("talk-stored"),
        };
        Line {
            kind,
            who,
            when: self.time(it.taken),
            state,
            text: self.opened(id, &it.body),
            files: self.files(id, &it.id),
        }
    }

    fn files(&self, id: ConversationId, message: &ClientId) -> Vec<FileLine> {
        let locker = &self.desk().locker;
        let files = locker.of(&id, message).into_iter().zip(1..);
        let lines = files.map(|(file, number)| {
            let it = locker.standing(&id, &file);
            let copies = [("on", it.on.into()), ("of", it.of.into())];
            let state = match (it.erased, it.safe) {
                (true, _) => self.say.it("talk-file-erased"),
                (false, true) => self.say.it("talk-stored"),
                (false, false) => self.say.with("talk-file-copies", copies),
            };
            let size = [("kb", it.bytes.div_ceil(1024).into())];
            FileLine {
                name: it.name.unwrap_or_else(|| self.say.it("talk-no-key")),
                state: format!("{} · {state}", self.say.with("talk-file-size", size)),
                href: (!it.erased).then(|| format!("/inbox/{id}/files/{message}/{number}")),
                is_picture: it.kind.is_picture(),
            }
        });
        lines.collect()
    }

    /// A message that this node holds.
    fn held(&self, id: ConversationId, item: &HeldItem) -> Option<Line> {
        let written = item.proposal.command.written()?;
        let (kind, who) = match &item.proposal.actor {
            Actor::Customer => ("customer", self.say.it("talk-customer")),
            other => ("us", other.spoken()),
        };
        let state = match &item.refused {
            Some(why) => self.say.with("talk-refused", [("why", why.clone().into())]),
            None => self.say.it("talk-held"),
        };
        Some(Line {
            kind,
            who,
            when: self.time(written.taken),
            state,
            text: self.opened(id, written.body),
            files: self.files(id, &item.proposal.id),
        })
    }
}

impl Page<'_> {
    fn to_tag(tag: &str) -> String {
        format!("/inbox?list=open&tag={}", encoded(tag))
    }
}
