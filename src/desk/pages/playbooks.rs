//! Playbooks: starting one, for real or in the drill that goes on, and working through it step by step. Each step says who
//! did it and when.

use askama::Template;
use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Frame, Posted, Visit, drills::ICON, encoded, says::hex, see};
use crate::clock;
use crate::desk::{
    asking::Asking,
    people::note,
    playbooks::{Begin, Played, Stands, done},
    problem::Problem,
};
use crate::model::{
    people::Role,
    playbook::{PlayId, PlaybookChange},
    when::of_rfc3339,
};

#[derive(Template)]
#[template(path = "playbooks.html", config = "src/desk/pages/askama.toml")]
struct Playbooks<'a> {
    frame: Frame<'a>,
    mistakes: Vec<String>,
    may: bool,
    /// A drill goes on in which one can be played.
    drill: bool,
    once: String,
    books: Vec<Book>,
    plays: Vec<Row>,
}

struct Book {
    name: String,
    title: String,
    version: u64,
    says: String,
    expired: bool,
}

struct Row {
    id: String,
    title: String,
    says: String,
}

#[derive(Template)]
#[template(path = "play.html", config = "src/desk/pages/askama.toml")]
struct One<'a> {
    frame: Frame<'a>,
    icon: &'static str,
    /// What stands on every button of a drill.
    word: String,
    says: String,
    mistakes: Vec<String>,
    once: String,
    going: bool,
    may: bool,
    may_act: bool,
    passages: Vec<Passage>,
    it: Played,
}

struct Passage {
    number: usize,
    title: String,
    steps: Vec<Step>,
}

struct Step {
    number: usize,
    says: String,
    open: bool,
    state: String,
    /// Lifeboat does it.
    acts: bool,
    act: String,
    /// People may say that it is done.
    ticks: bool,
    incident: Option<String>,
}

pub(super) async fn list(visit: Visit) -> Response {
    all(&visit, StatusCode::OK, Vec::new())
}

fn all(visit: &Visit, status: StatusCode, mistakes: Vec<String>) -> Response {
    let known = visit.desk().playbooks();
    let books = known.playbooks.iter().map(|it| {
        let parts = [
            ("version", it.version.to_string().into()),
            ("time", visit.play_time(&it.at).into()),
            ("who", it.by.clone().into()),
            ("steps", it.steps.into()),
        ];
        Book {
            name: it.playbook.clone(),
            title: it.title.clone(),
            version: it.version,
            says: visit.say.with("playbook-says", parts),
            expired: it.expired,
        }
    });
    let page = Playbooks {
        mistakes,
        may: visit.may(Role::Ops) || visit.may(Role::Leader),
        drill: visit.state.drills.running.is_some(),
        once: hex(&clock::random_bytes::<16>()),
        books: books.collect(),
        // What is real and what is not are never in one list.
        plays: known
            .plays
            .iter()
            .filter(|it| it.drill.is_none())
            .map(|it| Row {
                id: it.play.clone(),
                title: it.title.clone(),
                says: visit.play_says(it),
            })
            .collect(),
        frame: visit.frame(),
    };
    visit.shown(status, &page)
}

pub(super) async fn print(visit: Visit, Path(name): Path<String>) -> Response {
    match visit.desk().printed(&name, visit.say.lang) {
        Ok(page) => (
            [
                (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
                (header::CONTENT_SECURITY_POLICY, page.policy),
            ],
            page.html,
        )
            .into_response(),
        Err(problem) => visit.failed(&problem),
    }
}

pub(super) async fn start(
    visit: Visit,
    asking: Asking,
    Path(name): Path<String>,
    posted: Posted,
) -> Response {
    let asking = asking.once(
        posted.text("once"),
        &format!("/playbooks/{}", encoded(&name)),
    );
    let asked = Begin {
        version: posted.text("version").parse().ok(),
        drill: posted.text("do") == "drill",
    };
    let content = [posted.content(), posted.text("do").as_bytes().to_vec()].concat();
    let desk = visit.desk();
    match desk.start_playbook(&asking, &content, &name, &asked).await {
        Ok(play) => see(&format!("/plays/{play}")),
        Err(problem) => all(&visit, problem.status(), problem.lines()),
    }
}

pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Response {
    match visit.desk().play(&id) {
        Ok(it) => visit.play_page(StatusCode::OK, it, Vec::new()),
        Err(problem) => visit.failed(&problem),
    }
}

pub(super) async fn tick(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |play, step, _: &Posted| Ok(PlaybookChange::Tick { play, step });
    v.in_play(a, id, p, ("tick", deed)).await
}

pub(super) async fn act(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |play, step, _: &Posted| Ok(done(play, step));
    v.in_play(a, id, p, ("do", deed)).await
}

pub(super) async fn skip(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |play, step, posted: &Posted| {
        let why = note("why", posted.text("why").trim())?;
        Ok(PlaybookChange::Skip { play, step, why })
    };
    v.in_play(a, id, p, ("skip", deed)).await
}

pub(super) async fn end(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |play, _, _: &Posted| Ok(PlaybookChange::End { play });
    v.in_play(a, id, p, ("end", deed)).await
}

impl Visit {
    async fn in_play(
        self,
        asking: Asking,
        Path(id): Path<String>,
        posted: Posted,
        (what, deed): (
            &str,
            impl FnOnce(PlayId, u32, &Posted) -> Result<PlaybookChange, Problem>,
        ),
    ) -> Response {
        let asking = asking.once(
            posted.text("once"),
            &format!("/plays/{}/{what}", encoded(&id)),
        );
        let content = posted.content();
        let step = posted.text("step").parse().unwrap_or_default();
        let deed = |play| deed(play, step, &posted);
        match self.desk().in_play(&asking, &content, &id, deed).await {
            Ok(_) => see(&format!("/plays/{}", encoded(&id))),
            Err(problem) => match self.desk().play(&id) {
                Ok(it) => self.play_page(problem.status(), it, problem.lines()),
                Err(_) => self.failed(&problem),
            },
        }
    }

    fn play_time(&self, text: &str) -> String {
        of_rfc3339(text).map(|at| self.time(at)).unwrap_or_default()
    }

    /// How a play stands, in a sentence.
    fn play_says(&self, it: &Played) -> String {
        let parts = [
            ("time", self.play_time(&it.begun).into()),
            ("who", it.by.clone().into()),
            ("open", it.open.into()),
        ];
        match (&it.ended, it.open) {
            (Some(_), _) => self.say.with("play-ended", parts),
            (None, 0) => self.say.with("play-all-done", parts),
            (None, _) => self.say.with("play-going", parts),
        }
    }

    fn play_page(&self, status: StatusCode, it: Played, mistakes: Vec<String>) -> Response {
        let mut passages: Vec<Passage> = Vec::new();
        for step in &it.steps {
            if passages
                .last()
                .is_none_or(|last| last.title != step.passage)
            {
                passages.push(Passage {
                    number: passages.len() + 1,
                    title: step.passage.clone(),
                    steps: Vec::new(),
                });
            }
            if let Some(last) = passages.last_mut() {
                last.steps.push(self.play_step(step, it.drill.is_some()));
            }
        }
        let page = One {
            icon: ICON,
            word: match it.drill {
                Some(_) => format!("{} ", self.say.it("exercise-word")),
                None => String::new(),
            },
            says: self.play_says(&it),
            mistakes,
            once: hex(&clock::random_bytes::<16>()),
            going: it.ended.is_none(),
            may: self.may(Role::Agent),
            may_act: self.may(Role::Leader),
            passages,
            frame: self.frame(),
            it,
        };
        self.shown(status, &page)
    }

    fn play_step(&self, it: &Stands, in_drill: bool) -> Step {
        let parts = [
            ("who", it.by.clone().unwrap_or_default().into()),
            (
                "time",
                it.at
                    .as_deref()
                    .map(|it| self.play_time(it))
                    .unwrap_or_default()
                    .into(),
            ),
            ("why", it.why.clone().unwrap_or_default().into()),
        ];
        Step {
            number: it.number,
            says: it.says.clone(),
            open: it.state == "open",
            state: self.say.with(&format!("play-is-{}", it.state), parts),
            acts: it.act.is_some(),
            act: it
                .act
                .map(|act| self.say.it(&format!("play-do-{act}")))
                .unwrap_or_default(),
            ticks: it.act.is_none() || in_drill,
            incident: it.incident.clone(),
        }
    }
}

/// Every text that is put together from a kind or a state.
#[cfg(test)]
pub(super) fn kinds() -> Vec<String> {
    let states = ["open", "done", "skipped"].map(|it| format!("play-is-{it}"));
    let acts = ["publish", "switch", "wake"].map(|it| format!("play-do-{it}"));
    [states, acts].concat()
}
