//! People and their sessions.

use std::fmt::Write as _;

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};

use super::{Frame, Posted, Visit, see};
use crate::desk::{
    asking::Asking,
    entry::codes,
    people::{Credentials, known, label, note, roles_of},
    problem::Problem,
};
use crate::model::{
    people::{PeopleChange, Role, Roles},
    when::of_rfc3339,
    words::SessionId,
};

#[derive(Template)]
#[template(path = "people.html", config = "src/desk/pages/askama.toml")]
struct People<'a> {
    frame: Frame<'a>,
    people: Vec<Row>,
    roles: Vec<Tick>,
}

struct Row {
    name: String,
    shown: String,
    roles: String,
    signed_in: String,
    ways: String,
    guesses: u32,
}

/// A role to tick.
struct Tick {
    name: &'static str,
    says: String,
    given: bool,
}

fn ticks(visit: &Visit, given: Roles) -> Vec<Tick> {
    let tick = |role: Role| Tick {
        name: role.name(),
        says: visit.say.it(&format!("role-{}", role.name())),
        given: given.each().any(|it| it == role),
    };
    Role::ALL.into_iter().map(tick).collect()
}

pub(super) async fn people(visit: Visit) -> Response {
    let people = &visit.state.people;
    let rows = people.accounts.iter().map(|(name, it)| Row {
        name: name.to_string(),
        shown: it.shown.as_str().to_owned(),
        roles: it.roles.spoken(),
        signed_in: it
            .signed_in
            .map_or_else(|| visit.say.it("never"), |at| visit.time(at)),
        ways: match it.ways.as_slice() {
            [] => visit.say.it("people-none"),
            ways => {
                let kinds: Vec<&str> = ways.iter().map(|it| it.kind.name()).collect();
                kinds.join(", ")
            }
        },
        guesses: people.knocks.of_account(name, visit.now),
    });
    let page = People {
        people: rows.collect(),
        roles: ticks(&visit, Roles::of(&[Role::Agent])),
        frame: visit.frame(),
    };
    visit.shown(StatusCode::OK, &page)
}

#[derive(Template)]
#[template(path = "person.html", config = "src/desk/pages/askama.toml")]
struct Person<'a> {
    frame: Frame<'a>,
    name: String,
    shown: String,
    roles: Vec<Tick>,
}

pub(super) async fn person(visit: Visit, Path(name): Path<String>) -> Response {
    let name = match known(&visit.state, &name) {
        Ok(name) => name,
        Err(problem) => return visit.failed(&problem),
    };
    let Some(account) = visit.state.people.accounts.get(&name) else {
        return see("/people");
    };
    let page = Person {
        name: name.to_string(),
        shown: account.shown.as_str().to_owned(),
        roles: ticks(&visit, account.roles),
        frame: visit.frame(),
    };
    visit.shown(StatusCode::OK, &page)
}

#[derive(Template)]
#[template(path = "made.html", config = "src/desk/pages/askama.toml")]
struct Made<'a> {
    frame: Frame<'a>,
    heading: String,
    made: Credentials,
    picture: String,
    size: usize,
}

fn made_page(visit: &Visit, made: Result<Credentials, Problem>) -> Response {
    let made = match made {
        Ok(made) => made,
        Err(problem) => return visit.failed(&problem),
    };
    let rows = codes::picture(&made.totp_address).unwrap_or_default();
    let mut picture = String::new();
    for (y, row) in rows.iter().enumerate() {
        for (x, _) in row.iter().enumerate().filter(|it| *it.1) {
            // Writing to a string cannot fail.
            let _ = write!(picture, "M{x} {y}h1v1h-1z");
        }
    }
    let name = made.name.clone();
    let page = Made {
        frame: visit.frame(),
        heading: visit.say.with("person-made", [("name", name.into())]),
        made,
        picture,
        size: rows.len(),
    };
    visit.shown(StatusCode::OK, &page)
}

pub(super) async fn add(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let name = posted.text("name").trim();
    let shown = match posted.text("shown").trim() {
        "" => name,
        shown => shown,
    };
    let read = || {
        let roles = roles_of(&posted.all("role"))?;
        Ok((label("name", name)?, roles, note("shown", shown)?))
    };
    let (name, roles, shown) = match read() {
        Ok(read) => read,
        Err(problem) => return visit.failed(&problem),
    };
    let id = asking.id(b"");
    let langs = Vec::new();
    let desk = visit.desk();
    let made = desk.admit(&asking, id, (name, roles), (shown, langs), None);
    made_page(&visit, made.await)
}

pub(super) async fn reset(
    visit: Visit,
    asking: Asking,
    Path(name): Path<String>,
    _posted: Posted,
) -> Response {
    let name = match known(&visit.state, &name) {
        Ok(name) => name,
        Err(problem) => return visit.failed(&problem),
    };
    let id = asking.id(b"");
    let made = visit.desk().reset(&asking, id, name, None).await;
    made_page(&visit, made)
}

pub(super) async fn set_roles(
    visit: Visit,
    asking: Asking,
    Path(name): Path<String>,
    posted: Posted,
) -> Response {
    let read =
        known(&visit.state, &name).and_then(|name| Ok((name, roles_of(&posted.all("role"))?)));
    let (name, roles) = match read {
        Ok(read) => read,
        Err(problem) => return visit.failed(&problem),
    };
    let to = format!("/people/{name}");
    let change = PeopleChange::SetRoles { name, roles };
    done(&visit, &asking, "changing the roles", change, &to).await
}

pub(super) async fn remove(
    visit: Visit,
    asking: Asking,
    Path(name): Path<String>,
    _posted: Posted,
) -> Response {
    let name = match known(&visit.state, &name) {
        Ok(name) => name,
        Err(problem) => return visit.failed(&problem),
    };
    visit.desk().entry.alone.end_all(Some(&name));
    let change = PeopleChange::Remove { name };
    done(&visit, &asking, "removing the person", change, "/people").await
}

#[derive(Template)]
#[template(path = "sessions.html", config = "src/desk/pages/askama.toml")]
struct Sessions<'a> {
    frame: Frame<'a>,
    sessions: Vec<Session>,
}

struct Session {
    id: String,
    who: String,
    node: String,
    network: String,
    made: String,
    seen: String,
    here_only: bool,
    yours: bool,
}

pub(super) async fn sessions(visit: Visit) -> Response {
    let mine = visit.signed_in.as_ref().map(|it| it.id.to_string());
    let time = |text: &str| of_rfc3339(text).map_or_else(String::new, |at| visit.time(at));
    let all = visit.desk().sessions().into_iter().map(|it| Session {
        yours: mine.as_ref() == Some(&it.id),
        made: time(&it.made),
        seen: time(&it.seen),
        id: it.id,
        who: it.who,
        node: it.node,
        network: it.network,
        here_only: it.here_only,
    });
    let page = Sessions {
        sessions: all.collect(),
        frame: visit.frame(),
    };
    visit.shown(StatusCode::OK, &page)
}

pub(super) async fn end(
    visit: Visit,
    asking: Asking,
    Path(session): Path<String>,
    _posted: Posted,
) -> Response {
    let Ok(id) = session.parse::<SessionId>() else {
        return see("/sessions");
    };
    match visit.desk().end_session(&asking, id).await {
        Ok(()) => see("/sessions"),
        Err(problem) => visit.failed(&problem),
    }
}

pub(super) async fn end_all(visit: Visit, asking: Asking, _posted: Posted) -> Response {
    visit.desk().entry.alone.end_all(None);
    let change = PeopleChange::EndSessions { name: None };
    done(&visit, &asking, "ending the sessions", change, "/sign-in").await
}

async fn done(
    visit: &Visit,
    asking: &Asking,
    what: &str,
    change: PeopleChange,
    to: &str,
) -> Response {
    let id = asking.id(b"");
    match visit.desk().change_people(asking, id, what, change).await {
        Ok(_) => see(to),
        Err(problem) => visit.failed(&problem),
    }
}
