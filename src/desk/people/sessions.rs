//! Who is signed in, and ending that.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Done, at, label};
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    problem::Problem,
};
use crate::model::{
    people::{PeopleChange, Session},
    words::SessionId,
};

/// Somebody is signed in.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Listed {
    pub(in crate::desk) id: String,
    pub(in crate::desk) who: String,
    /// The node where they signed in.
    pub(in crate::desk) node: String,
    /// The network they came from.
    pub(in crate::desk) network: String,
    pub(in crate::desk) made: String,
    pub(in crate::desk) seen: String,
    pub(in crate::desk) until: String,
    /// Good on this node only: it was made while the node was alone.
    pub(in crate::desk) here_only: bool,
}

/// Everybody who is signed in.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Sessions {
    pub(in crate::desk) sessions: Vec<Listed>,
}

/// Whose sessions.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Whose {
    /// The account; everybody where it is left out.
    name: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Sessions>("get", "/sessions", "Who is signed in", get(list)),
        Route::new::<Done>(
            "post",
            "/sessions/{session}/end",
            "Sign somebody out, on every node",
            post(end),
        )
        .takes::<Nothing>(),
        Route::new::<Done>(
            "post",
            "/sessions/end",
            "Sign somebody out everywhere, or everybody",
            post(end_all),
        )
        .takes::<Whose>(),
    ]
}

impl Desk {
    /// Everybody who is signed in, newest first.
    pub(in crate::desk) fn sessions(&self) -> Vec<Listed> {
        let state = self.cluster.state();
        let agreed = state.people.sessions.iter();
        let agreed = agreed.map(|(id, it)| (*id, it.clone(), false));
        let here = self.entry.alone.sessions().into_iter();
        let here = here.map(|(id, it)| (id, it, true));
        let mut all: Vec<(SessionId, Session, bool)> = agreed.chain(here).collect();
        all.sort_by_key(|(_, it, _)| std::cmp::Reverse(it.made));
        let name = |it: &Session| {
            let node = state.nodes.get(&it.node);
            node.map_or_else(|| it.node.to_string(), |node| node.facts.name.to_string())
        };
        all.into_iter()
            .map(|(id, it, here_only)| Listed {
                id: id.to_string(),
                who: it.holder.name().to_string(),
                node: name(&it),
                network: it.network.as_str().to_owned(),
                made: at(it.made),
                seen: at(it.seen),
                until: at(it.until),
                here_only,
            })
            .collect()
    }

    /// Ends one session, here or everywhere.
    pub(in crate::desk) async fn end_session(
        &self,
        asking: &Asking,
        id: SessionId,
    ) -> Result<(), Problem> {
        if self.entry.alone.end(&id) {
            return Ok(());
        }
        let change = PeopleChange::EndSession { session: id };
        let what = "ending the session";
        self.change_people(asking, asking.id(&id.0), what, change)
            .await
            .map(drop)
    }
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Sessions> {
    Json(Sessions {
        sessions: desk.sessions(),
    })
}

async fn end(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(session): Path<String>,
    _body: Body<Nothing>,
) -> Result<Json<Done>, Problem> {
    let wanted = "the id that 'lifeboat people sessions' shows";
    let id: SessionId = session
        .parse()
        .map_err(|_| Problem::invalid("session", &session, wanted))?;
    desk.end_session(&asking, id).await?;
    Ok(Json(Done {
        says: format!("session {id} is ended"),
    }))
}

async fn end_all(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Whose>,
) -> Result<Json<Done>, Problem> {
    let name = body.value.name.as_deref();
    let name = name.map(|it| label("name", it)).transpose()?;
    desk.entry.alone.end_all(name.as_ref());
    let who = name
        .as_ref()
        .map_or_else(|| "everybody".to_owned(), ToString::to_string);
    let change = PeopleChange::EndSessions { name };
    desk.change_people(
        &asking,
        asking.id(&body.bytes),
        "ending the sessions",
        change,
    )
    .await?;
    Ok(Json(Done {
        says: format!("{who} is signed out everywhere"),
    }))
}
