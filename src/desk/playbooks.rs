//! Playbooks over the API: bringing and printing them, and playing them step by step.

use axum::{
    Json,
    extract::{Path, State as Shared},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    people::{label, note},
    problem::Problem,
};
use crate::{
    clock,
    model::{
        Command, State,
        incident::IncidentId,
        playbook::{Play, PlayId, PlaybookChange, Standing, change::sound},
        when::rfc3339,
        words::{Label, Lang},
    },
};

mod print;
mod spec;

pub(super) use spec::Written;

/// Every playbook, and what is or was played.
#[derive(Serialize, ToSchema)]
pub(super) struct Playbooks {
    pub(super) playbooks: Vec<Listed>,
    /// The newest first.
    pub(super) plays: Vec<Played>,
}

/// A playbook in the list.
#[derive(Serialize, ToSchema)]
#[schema(as = PlaybookListed)]
pub(super) struct Listed {
    pub(super) playbook: String,
    pub(super) title: String,
    /// What 'start' is to name.
    pub(super) version: u64,
    pub(super) by: String,
    pub(super) at: String,
    pub(super) expires: String,
    pub(super) expired: bool,
    pub(super) passages: usize,
    pub(super) steps: usize,
}

/// A playbook that is or was played.
#[derive(Serialize, ToSchema)]
pub(super) struct Played {
    pub(super) play: String,
    pub(super) playbook: String,
    pub(super) title: String,
    pub(super) version: u64,
    /// The drill that it is played in; nothing when it is real.
    pub(super) drill: Option<String>,
    pub(super) by: String,
    pub(super) begun: String,
    pub(super) ended: Option<String>,
    pub(super) open: usize,
    pub(super) steps: Vec<Stands>,
}

/// A step of a play.
#[derive(Serialize, ToSchema)]
#[schema(as = PlayStep)]
pub(super) struct Stands {
    pub(super) number: usize,
    pub(super) passage: String,
    pub(super) says: String,
    /// What Lifeboat does: publish, switch or wake; nothing for what people do.
    pub(super) act: Option<&'static str>,
    /// open, done or skipped.
    pub(super) state: &'static str,
    pub(super) by: Option<String>,
    pub(super) at: Option<String>,
    /// Why it was left out.
    pub(super) why: Option<String>,
    /// The incident that it opened.
    pub(super) incident: Option<String>,
}

/// A playbook to be played.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StartPlaybook)]
pub(super) struct Begin {
    /// Its version that was looked at; left out, the one that is there now.
    pub(super) version: Option<u64>,
    /// In the drill that goes on, not for real.
    #[serde(default)]
    pub(super) drill: bool,
}

/// Why a step is left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SkipStep)]
struct Skip {
    why: String,
}

pub(super) fn routes() -> Vec<Route> {
    let play = |path: &'static str, summary: &'static str, works| {
        Route::new::<Played>("post", path, summary, works)
    };
    vec![
        Route::new::<Playbooks>(
            "get",
            "/playbooks",
            "Every playbook, and every play",
            get(list),
        ),
        Route::new::<Playbooks>(
            "post",
            "/playbooks/{playbook}",
            "Bring a playbook, or bring it anew",
            post(import),
        )
        .takes::<Written>(),
        Route::new::<Written>(
            "get",
            "/playbooks/{playbook}",
            "What a playbook says",
            get(show),
        ),
        Route::new::<Playbooks>(
            "post",
            "/playbooks/{playbook}/remove",
            "Forget a playbook",
            post(remove),
        )
        .takes::<Nothing>(),
        Route::new::<()>(
            "get",
            "/playbooks/{playbook}/print",
            "A playbook for paper: one A4 side for each passage",
            get(printed),
        )
        .gives_bytes(),
        play(
            "/playbooks/{playbook}/start",
            "Begin to play it",
            post(start),
        )
        .takes::<Begin>(),
        Route::new::<Played>("get", "/plays/{play}", "How a play stands", get(played)),
        play(
            "/plays/{play}/{step}/tick",
            "Say that a step is done",
            post(tick),
        )
        .takes::<Nothing>(),
        play(
            "/plays/{play}/{step}/do",
            "Have Lifeboat do a step",
            post(act),
        )
        .takes::<Nothing>(),
        play("/plays/{play}/{step}/skip", "Leave a step out", post(skip)).takes::<Skip>(),
        play("/plays/{play}/end", "End a play", post(end)).takes::<Nothing>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Playbooks> {
    Json(desk.playbooks())
}

async fn import(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<Written>,
) -> Result<Json<Playbooks>, Problem> {
    let playbook = label("playbook", &name)?;
    let book = body.value.book()?;
    sound(&book).map_err(|refusal| Problem::refused("the playbook", &refusal))?;
    if !body.value.dry_run {
        let change = PlaybookChange::Import { playbook, book };
        desk.played(&asking, &body.bytes, ("bringing the playbook", change))
            .await?;
    }
    Ok(Json(desk.playbooks()))
}

async fn show(
    Shared(desk): Shared<Desk>,
    Path(name): Path<String>,
) -> Result<Json<Written>, Problem> {
    let state = desk.cluster.state();
    let (_, known) = find(&state, &name)?;
    Ok(Json(Written::of(&known.book)))
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Playbooks>, Problem> {
    let (playbook, _) = find(&desk.cluster.state(), &name)?;
    let change = PlaybookChange::Remove { playbook };
    desk.played(&asking, &body.bytes, ("forgetting the playbook", change))
        .await?;
    Ok(Json(desk.playbooks()))
}

async fn printed(
    Shared(desk): Shared<Desk>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let page = desk.printed(&name, Lang::En)?;
    let kind = [("content-type", "text/html; charset=utf-8")];
    Ok((kind, page.html).into_response())
}

async fn start(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<Begin>,
) -> Result<Json<Played>, Problem> {
    let play = desk
        .start_playbook(&asking, &body.bytes, &name, &body.value)
        .await?;
    desk.play(&play).map(Json)
}

async fn played(
    Shared(desk): Shared<Desk>,
    Path(play): Path<String>,
) -> Result<Json<Played>, Problem> {
    desk.play(&play).map(Json)
}

async fn tick(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path((play, step)): Path<(String, u32)>,
    body: Body<Nothing>,
) -> Result<Json<Played>, Problem> {
    desk.in_play(&asking, &body.bytes, &play, |play| {
        Ok(PlaybookChange::Tick { play, step })
    })
    .await
    .map(Json)
}

async fn act(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path((play, step)): Path<(String, u32)>,
    body: Body<Nothing>,
) -> Result<Json<Played>, Problem> {
    desk.in_play(&asking, &body.bytes, &play, |play| Ok(done(play, step)))
        .await
        .map(Json)
}

async fn skip(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path((play, step)): Path<(String, u32)>,
    body: Body<Skip>,
) -> Result<Json<Played>, Problem> {
    desk.in_play(&asking, &body.bytes, &play, |play| {
        let why = note("why", body.value.why.trim())?;
        Ok(PlaybookChange::Skip { play, step, why })
    })
    .await
    .map(Json)
}

async fn end(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(play): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Played>, Problem> {
    desk.in_play(&asking, &body.bytes, &play, |play| {
        Ok(PlaybookChange::End { play })
    })
    .await
    .map(Json)
}

/// Has Lifeboat do a step; the incident that it may open is named here.
pub(super) fn done(play: PlayId, step: u32) -> PlaybookChange {
    PlaybookChange::Do {
        play,
        step,
        incident: IncidentId(u32::from_be_bytes(clock::random_bytes())),
    }
}

fn find<'a>(
    state: &'a State,
    name: &str,
) -> Result<(Label, &'a crate::model::playbook::Playbook), Problem> {
    let unknown = || Problem::not_found("playbook", "'lifeboat playbook list' shows them");
    let name = Label::new(name).map_err(|_| unknown())?;
    let known = state.playbooks.all.get(&name).ok_or_else(unknown)?;
    Ok((name, known))
}

impl Desk {
    /// Every playbook, and what is or was played.
    pub(super) fn playbooks(&self) -> Playbooks {
        let (state, now) = (self.cluster.state(), clock::now());
        let books = state.playbooks.all.iter().map(|(name, it)| Listed {
            playbook: name.to_string(),
            title: it.book.title.as_str().to_owned(),
            version: it.generation,
            by: it.by.clone(),
            at: rfc3339(it.at),
            expires: rfc3339(it.book.expires),
            expired: it.book.expires <= now,
            passages: it.book.passages.len(),
            steps: it.book.steps().count(),
        });
        let plays = state.playbooks.plays.iter().rev();
        Playbooks {
            playbooks: books.collect(),
            plays: plays.map(|(id, it)| stands(*id, it)).collect(),
        }
    }

    /// How a play stands.
    pub(super) fn play(&self, text: &str) -> Result<Played, Problem> {
        let state = self.cluster.state();
        let unknown = || Problem::not_found("play", "'lifeboat playbook list' shows them");
        let id: PlayId = text.parse().map_err(|_| unknown())?;
        let known = state.playbooks.plays.get(&id).ok_or_else(unknown)?;
        Ok(stands(id, known))
    }

    /// Begins to play a playbook; gives the play's number.
    pub(super) async fn start_playbook(
        &self,
        asking: &Asking,
        content: &[u8],
        name: &str,
        asked: &Begin,
    ) -> Result<String, Problem> {
        let state = self.cluster.state();
        let (playbook, known) = find(&state, name)?;
        let drill = match asked.drill {
            true => Some(state.drills.running.ok_or_else(|| {
                Problem::not_found("drill that goes on", "'lifeboat drill start' begins one")
            })?),
            false => None,
        };
        let change = PlaybookChange::Start {
            playbook,
            version: asked.version.unwrap_or(known.generation),
            drill,
        };
        let command = Command::Playbook(Box::new(change));
        self.made(asking, content, "starting the playbook", command)
            .await
            .map(|it| PlayId(it).to_string())
    }

    /// Does something in a play.
    pub(super) async fn in_play(
        &self,
        asking: &Asking,
        content: &[u8],
        play: &str,
        deed: impl FnOnce(PlayId) -> Result<PlaybookChange, Problem>,
    ) -> Result<Played, Problem> {
        let known = self.play(play)?;
        let id = known.play.parse().map(PlayId).unwrap_or_default();
        self.played(asking, content, ("doing this step", deed(id)?))
            .await?;
        self.play(play)
    }

    async fn played(
        &self,
        asking: &Asking,
        content: &[u8],
        (what, change): (&str, PlaybookChange),
    ) -> Result<(), Problem> {
        let command = Command::Playbook(Box::new(change));
        self.agreed(asking, content, what, command).await
    }
}

fn stands(id: PlayId, it: &Play) -> Played {
    let passages = it.book.passages.iter();
    let steps = passages.flat_map(|passage| passage.steps.iter().map(move |step| (passage, step)));
    let steps = steps.zip(&it.steps).zip(1..);
    let steps = steps.map(|(((passage, step), standing), number)| {
        let (mark, why, incident) = match standing {
            Standing::Open => (None, None, None),
            Standing::Done { mark, incident } => (Some(mark), None, incident.as_ref()),
            Standing::Skipped { mark, why } => (Some(mark), Some(why), None),
        };
        Stands {
            number,
            passage: passage.title.as_str().to_owned(),
            says: step.says.as_str().to_owned(),
            act: step.act.as_ref().map(|it| it.name()),
            state: standing.name(),
            by: mark.map(|it| it.by.clone()),
            at: mark.map(|it| rfc3339(it.at)),
            why: why.map(|it| it.as_str().to_owned()),
            incident: incident.map(ToString::to_string),
        }
    });
    Played {
        play: id.to_string(),
        playbook: it.playbook.to_string(),
        title: it.book.title.as_str().to_owned(),
        version: it.version,
        drill: it.drill.map(|it| it.to_string()),
        by: it.begun.by.clone(),
        begun: rfc3339(it.begun.at),
        ended: it.ended.as_ref().map(|it| rfc3339(it.at)),
        open: it.open_steps(),
        steps: steps.collect(),
    }
}
