//! Drills over the API: planning, what is done in one, its score sheet. When one begins by surprise is drawn here and told
//! to nobody before.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    incidents::Texts,
    people::{known, label, note},
    problem::{Mistake, Problem},
};
use crate::{
    clock,
    model::{
        Command, State,
        drill::{DrillChange, DrillId, change::Asked},
        incident::{Title, Window},
        limits,
        when::{of_rfc3339, span_ms},
        words::{Lang, Text, Timestamp},
    },
};

mod views;

use views::sheet;
pub(super) use views::{Action, Drills, Line, Sheet, Timed, Told};

/// What is to be rehearsed.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDrill)]
pub(super) struct New {
    pub(super) title: String,
    /// What is assumed to have happened, in a sentence.
    pub(super) task: String,
    /// Who takes part; left out, whoever is on call when it begins.
    #[serde(default)]
    pub(super) people: Vec<String>,
    /// The service to be switched, whose name and names say that they are a drill's.
    pub(super) service: Option<String>,
    /// When it begins, such as `2026-11-23T17:40:00.000Z`; left out, now, or by surprise.
    pub(super) at: Option<String>,
    /// It begins by surprise, not before this time,
    pub(super) from: Option<String>,
    /// and not after this one.
    pub(super) until: Option<String>,
    /// How long it may last, such as `90m`; left out, 2 h.
    #[serde(rename = "for")]
    pub(super) lasts: Option<String>,
}

/// A text for the drill's page.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SayInDrill)]
struct Say {
    /// By language.
    texts: Texts,
}

/// Some words.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DrillWords)]
struct Words {
    text: String,
}

/// What the drill's service is to answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SwitchInDrill)]
struct To {
    to: String,
}

pub(super) fn routes() -> Vec<Route> {
    let row = |path: &'static str, summary: &'static str, works| {
        Route::new::<Sheet>("post", path, summary, works)
    };
    vec![
        Route::new::<Drills>(
            "get",
            "/drills",
            "Every drill, with its score sheet",
            get(list),
        ),
        row("/drills", "Begin a drill, or plan one", post(plan)).takes::<New>(),
        Route::new::<Sheet>("get", "/drills/{drill}", "A drill's score sheet", get(show)),
        row(
            "/drills/{drill}/end",
            "End a drill, or call it off",
            post(end),
        )
        .takes::<Nothing>(),
        row(
            "/drills/{drill}/acknowledge",
            "Say that you are at it",
            post(acknowledge),
        )
        .takes::<Nothing>(),
        row(
            "/drills/{drill}/say",
            "Put a text on the drill's page",
            post(say),
        )
        .takes::<Say>(),
        row(
            "/drills/{drill}/answer",
            "Answer the customer who is played",
            post(answer),
        )
        .takes::<Words>(),
        row(
            "/drills/{drill}/switch",
            "Switch the drill's service",
            post(switch),
        )
        .takes::<To>(),
        row(
            "/drills/{drill}/remarks",
            "Say something of it",
            post(remark),
        )
        .takes::<Words>(),
        row(
            "/drills/{drill}/actions",
            "Say what is to be mended",
            post(open),
        )
        .takes::<Words>(),
        row(
            "/drills/{drill}/actions/{action}",
            "Say that it is mended",
            post(close),
        )
        .takes::<Nothing>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Drills> {
    Json(desk.drills())
}

async fn show(
    Shared(desk): Shared<Desk>,
    Path(drill): Path<String>,
) -> Result<Json<Sheet>, Problem> {
    let drill = desk.drill(&drill)?;
    desk.sheet(drill).map(Json)
}

async fn plan(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<New>,
) -> Result<Json<Sheet>, Problem> {
    let drill = desk.plan_drill(&asking, &body.bytes, &body.value).await?;
    desk.sheet(drill).map(Json)
}

async fn end(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(drill): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Sheet>, Problem> {
    let deed = |drill| Ok(DrillChange::End { drill });
    desk.in_drill(&asking, &body.bytes, (&drill, "ending the drill"), deed)
        .await
        .map(Json)
}

async fn acknowledge(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(drill): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Sheet>, Problem> {
    let deed = |drill| Ok(DrillChange::Acknowledge { drill });
    desk.in_drill(&asking, &body.bytes, (&drill, "saying so"), deed)
        .await
        .map(Json)
}

async fn say(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(drill): Path<String>,
    body: Body<Say>,
) -> Result<Json<Sheet>, Problem> {
    let deed = |drill| spoken(drill, &body.value.texts);
    desk.in_drill(&asking, &body.bytes, (&drill, "publishing it"), deed)
        .await
        .map(Json)
}

async fn answer(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(drill): Path<String>,
    body: Body<Words>,
) -> Result<Json<Sheet>, Problem> {
    let deed = |drill| answered(drill, &body.value.text);
    desk.in_drill(&asking, &body.bytes, (&drill, "answering"), deed)
        .await
        .map(Json)
}

async fn switch(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(drill): Path<String>,
    body: Body<To>,
) -> Result<Json<Sheet>, Problem> {
    let deed = |drill| {
        let target = label("to", &body.value.to)?;
        Ok(DrillChange::Switch { drill, target })
    };
    desk.in_drill(&asking, &body.bytes, (&drill, "switching"), deed)
        .await
        .map(Json)
}

async fn remark(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(drill): Path<String>,
    body: Body<Words>,
) -> Result<Json<Sheet>, Problem> {
    let deed = |drill| {
        let text = note("text", body.value.text.trim())?;
        Ok(DrillChange::Remark { drill, text })
    };
    desk.in_drill(&asking, &body.bytes, (&drill, "noting it"), deed)
        .await
        .map(Json)
}

async fn open(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(drill): Path<String>,
    body: Body<Words>,
) -> Result<Json<Sheet>, Problem> {
    let deed = |drill| {
        let text = note("text", body.value.text.trim())?;
        Ok(DrillChange::Open { drill, text })
    };
    desk.in_drill(&asking, &body.bytes, (&drill, "noting it"), deed)
        .await
        .map(Json)
}

async fn close(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path((drill, action)): Path<(String, u32)>,
    body: Body<Nothing>,
) -> Result<Json<Sheet>, Problem> {
    let deed = |drill| Ok(DrillChange::Close { drill, action });
    desk.in_drill(&asking, &body.bytes, (&drill, "noting it"), deed)
        .await
        .map(Json)
}

/// A text for the drill's page, as typed.
pub(super) fn spoken(drill: DrillId, texts: &Texts) -> Result<DrillChange, Problem> {
    let mut wordings = imbl::OrdMap::new();
    for (tag, text) in texts.iter().filter(|it| !it.1.trim().is_empty()) {
        let lang = Lang::of_tag(tag);
        let lang = lang.ok_or_else(|| Problem::invalid("texts", tag, "cs or en"))?;
        let text = Text::new(text)
            .map_err(|wrong| Problem::invalid(&format!("texts.{tag}"), text, &wrong.wanted))?;
        wordings.insert(lang, text);
    }
    Ok(DrillChange::Say { drill, wordings })
}

/// An answer to the customer who is played, as typed.
pub(super) fn answered(drill: DrillId, text: &str) -> Result<DrillChange, Problem> {
    let text = Text::new(text).map_err(|wrong| Problem::invalid("text", text, &wrong.wanted))?;
    Ok(DrillChange::Answer { drill, text })
}

impl Desk {
    /// Every drill.
    pub(super) fn drills(&self) -> Drills {
        let state = self.cluster.state();
        let all = state.drills.all.iter().rev();
        Drills {
            running: state.drills.running.map(|it| it.to_string()),
            drills: all.map(|(id, it)| sheet(&state, *id, it)).collect(),
        }
    }

    /// The drill of this number.
    pub(super) fn drill(&self, text: &str) -> Result<DrillId, Problem> {
        let id: Option<DrillId> = text.parse().ok();
        let id = id.filter(|it| self.cluster.state().drills.all.contains_key(it));
        id.ok_or_else(|| Problem::not_found("drill", "'lifeboat drill list' shows them"))
    }

    /// A drill with its score sheet.
    pub(super) fn sheet(&self, id: DrillId) -> Result<Sheet, Problem> {
        let state = self.cluster.state();
        let found = state.drills.all.get(&id);
        found
            .map(|it| sheet(&state, id, it))
            .ok_or_else(|| Problem::not_found("drill", "'lifeboat drill list' shows them"))
    }

    /// Begins a drill, or plans one.
    pub(super) async fn plan_drill(
        &self,
        asking: &Asking,
        content: &[u8],
        asked: &New,
    ) -> Result<DrillId, Problem> {
        let state = self.cluster.state();
        let asked = planned(&state, asked, clock::now().max(state.now))?;
        let command = Command::Drill(Box::new(DrillChange::Plan(asked)));
        self.made(asking, content, "planning the drill", command)
            .await
            .map(DrillId)
    }

    /// Does something in a drill.
    pub(super) async fn in_drill(
        &self,
        asking: &Asking,
        content: &[u8],
        (drill, what): (&str, &str),
        deed: impl FnOnce(DrillId) -> Result<DrillChange, Problem>,
    ) -> Result<Sheet, Problem> {
        let drill = self.drill(drill)?;
        let command = Command::Drill(Box::new(deed(drill)?));
        self.agreed(asking, content, what, command).await?;
        self.sheet(drill)
    }
}

/// What is asked for, in the model's words. A surprise is drawn here.
fn planned(state: &State, asked: &New, now: Timestamp) -> Result<Asked, Problem> {
    let mut wrong = Vec::new();
    let mut time = |field: &str, given: &Option<String>| {
        let text = given.as_deref().filter(|it| !it.is_empty())?;
        let at = of_rfc3339(text);
        if at.is_none() {
            let wanted = "a time such as 2026-11-23T17:40:00.000Z";
            wrong.push(Mistake::of(field, text, wanted));
        }
        at
    };
    let at = time("at", &asked.at);
    let (from, until) = (time("from", &asked.from), time("until", &asked.until));
    let lasts_ms = match asked.lasts.as_deref().filter(|it| !it.is_empty()) {
        Some(text) => span_ms(text).unwrap_or_else(|| {
            wrong.push(Mistake::of("for", text, "a time such as 90m or 2h"));
            0
        }),
        None => limits::DRILL_MS_DEFAULT,
    };
    let title = asked.title.trim();
    let title = match Title::new(title) {
        Ok(it) if !it.as_str().is_empty() => it,
        _ => {
            wrong.push(Mistake::of("title", title, "a few words"));
            Title::default()
        }
    };
    let mut people = Vec::new();
    for name in asked.people.iter().map(|it| it.trim()) {
        match known(state, name) {
            Ok(person) => people.push(person),
            Err(_) => wrong.push(Mistake::of(
                "people",
                name,
                "somebody of 'lifeboat people list'",
            )),
        }
    }
    if from.is_some() != until.is_some() || (at.is_some() && from.is_some()) {
        let wanted =
            "a time at which it begins, or both ends of the time in which it does by surprise";
        wrong.push(Mistake::of("begin", "something else", wanted));
    }
    if !wrong.is_empty() {
        return Err(Problem::mistaken("the drill", wrong));
    }
    let window = from.zip(until).map(|(from, until)| Window { from, until });
    let service = asked.service.as_deref().filter(|it| !it.is_empty());
    Ok(Asked {
        title,
        task: note("task", asked.task.trim())?,
        people,
        service: service.map(|it| label("service", it)).transpose()?,
        begins: window.map_or(at.unwrap_or_default(), |it| drawn(it, now)),
        window,
        lasts_ms,
    })
}

/// A moment of what is left of the window, each as likely as any other.
fn drawn(window: Window, now: Timestamp) -> Timestamp {
    let from = window.from.max(now);
    let span = window.until.ms_since(from).saturating_add(1);
    let dice = u64::from_be_bytes(clock::random_bytes());
    from.plus_ms(dice % span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surprise_is_drawn_from_what_is_left_of_its_window() {
        let window = Window {
            from: Timestamp(1_000),
            until: Timestamp(1_010),
        };
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            let at = drawn(window, Timestamp(1_004));
            assert!((1_004..=1_010).contains(&at.0), "{at:?}");
            seen.insert(at);
        }
        // Each of seven is missed in 2,000 draws less than once in 10^130.
        assert_eq!(seen.len(), 7);
    }
}
