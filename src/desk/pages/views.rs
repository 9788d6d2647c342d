//! What is happening, the servers, the record, and who leads the shift.

use std::fmt::Write as _;

use askama::Template;
use axum::{
    extract::{Path, Query, State as Shared},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Frame, Pages, Posted, Visit, alerts, encoded, says, see, vault};
use crate::blobs::Blobs;
use crate::desk::{
    asking::Asking,
    audit::{newest, oldest},
    people::{colons, label, note},
    problem::Problem,
    status::alarms_of,
};
use crate::model::{
    audit::{Audit, AuditLine},
    people::{PeopleChange, Role},
    when::rfc3339,
};

/// Lines of the record on one page.
const LINES: usize = 100;
/// Lines of the record that are looked through at a time, and how many times for one page.
const BATCH: usize = 1_000;
const BATCHES: usize = 50;
/// Lines of one export: what a node can put together in memory, about 30 MB.
const EXPORTED: usize = 100_000;

#[derive(Template)]
#[template(path = "overview.html", config = "src/desk/pages/askama.toml")]
struct Overview<'a> {
    frame: Frame<'a>,
    view: Happening,
}

/// Something that can be done from here.
struct Act {
    path: String,
    name: String,
    says: String,
}

struct Happening {
    shut: Option<vault::Shut>,
    acts: Vec<Act>,
    going: Vec<says::Row>,
    told: Vec<alerts::Row>,
    leader: String,
    open: String,
    waiting: String,
    apart: String,
    held: String,
    outbox: String,
    given_up: String,
    people: String,
    alarms: Vec<String>,
    services: Vec<Answering>,
}

struct Answering {
    name: String,
    answers: String,
    pinned: bool,
    since: String,
}

pub(super) async fn overview(visit: Visit) -> Response {
    let page = Overview {
        frame: visit.frame(),
        view: happening(&visit),
    };
    visit.scripted(StatusCode::OK, &page)
}

fn happening(visit: &Visit) -> Happening {
    let (state, say) = (&visit.state, &visit.say);
    let (mut open, mut apart) = (0_u64, 0_u64);
    for conversation in state.conversations.values() {
        apart += u64::from(conversation.quarantined);
        open += u64::from(!conversation.quarantined && conversation.closed.is_none());
    }
    let waiting = visit.desk().queue().0 as u64;
    let count = |key: &str, number: u64| say.with(key, [("count", number.into())]);
    let services = state.failover.services.iter().map(|(name, it)| Answering {
        name: name.to_string(),
        answers: it.answering.to_string(),
        pinned: it.pin_at(state.now).is_some(),
        since: visit.time(it.since),
    });
    let leading = state.people.leading.as_ref();
    let going = state.incidents.going().into_iter();
    Happening {
        shut: visit.shut(),
        acts: acts(visit, waiting),
        going: going.map(|(id, it)| visit.row(id, it)).collect(),
        told: visit.waiting_alerts(),
        leader: leading.map_or_else(|| say.it("leader-nobody"), |it| it.who.to_string()),
        open: count("overview-open", open),
        waiting: count("overview-waiting", waiting),
        apart: count("overview-apart", apart),
        held: count("overview-held-count", visit.desk().letterbox.health().held),
        outbox: count("overview-outbox-count", state.outbox.len() as u64),
        given_up: count("overview-given-up", state.outbox_given_up),
        people: count(
            "overview-people-count",
            visit.desk().sessions().len() as u64,
        ),
        alarms: alarms_of(visit.desk()),
        services: services.collect(),
    }
}

/// The big actions, for whoever may do them: say something, worse or better, answer, wake, switch, mail.
fn acts(visit: &Visit, waiting: u64) -> Vec<Act> {
    let (state, say) = (&visit.state, &visit.say);
    let going = state.incidents.going();
    let first = going.first();
    let better = first.map(|(id, it)| Act {
        path: format!("/incidents/{id}"),
        name: say.it("act-better"),
        says: it.title(say.lang).1.to_owned(),
    });
    let services = state.failover.services.iter();
    let answering = services.map(|(name, it)| format!("{name}: {}", it.answering));
    let answering: Vec<String> = answering.take(3).collect();
    let act = |key: &str, path: &str, says: String| Act {
        path: path.to_owned(),
        name: say.it(key),
        says,
    };
    let answers = say.with("overview-waiting", [("count", waiting.into())]);
    let leads = visit.may(Role::Leader);
    let answers_people = visit.may(Role::Agent);
    let all = [
        leads.then(|| act("act-say", "/incidents#open", String::new())),
        better.filter(|_| leads),
        answers_people.then(|| act("act-answer", "/inbox", answers)),
        answers_people.then(|| act("act-wake", "/wake", String::new())),
        (!answering.is_empty() && (leads || visit.may(Role::Ops)))
            .then(|| act("act-switch", "/switch", answering.join(", "))),
        leads.then(|| act("act-mail", "/mail", String::new())),
    ];
    all.into_iter().flatten().collect()
}

#[derive(Template)]
#[template(path = "nodes.html", config = "src/desk/pages/askama.toml")]
struct Nodes<'a> {
    frame: Frame<'a>,
    nodes: Vec<Server>,
}

struct Server {
    name: String,
    provider: String,
    votes: bool,
    reached: bool,
    here: bool,
    version: String,
    consoles: Vec<String>,
    fingerprint: String,
}

pub(super) async fn nodes(visit: Visit) -> Response {
    let state = &visit.state;
    let me = visit.desk().cluster.id();
    let health = visit.desk().cluster.health();
    let nodes = state.nodes.iter().map(|(id, node)| {
        let console = state.people.consoles.get(id);
        Server {
            name: node.facts.name.to_string(),
            provider: node.facts.provider.to_string(),
            votes: state.voters.contains(id),
            reached: *id == me || health.peers.iter().any(|it| it.id == *id && it.reachable),
            here: *id == me,
            version: node.facts.version.as_str().to_owned(),
            consoles: console.map_or_else(Vec::new, |it| {
                let addresses = it.addresses.iter();
                addresses
                    .map(|it| format!("https://{}", it.as_str()))
                    .collect()
            }),
            fingerprint: console.map_or_else(String::new, |it| colons(&it.fingerprint)),
        }
    });
    let page = Nodes {
        frame: visit.frame(),
        nodes: nodes.collect(),
    };
    visit.shown(StatusCode::OK, &page)
}

/// Which part of the record.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Which {
    q: String,
    before: Option<u64>,
}

#[derive(Template)]
#[template(path = "record.html", config = "src/desk/pages/askama.toml")]
struct Record<'a> {
    frame: Frame<'a>,
    search: &'a str,
    lines: Vec<Line>,
    older: Option<String>,
    sound: String,
}

struct Line {
    at: String,
    who: String,
    address: Option<String>,
    node: String,
    what: String,
    about: String,
    outcome: String,
}

pub(super) async fn record(visit: Visit, Query(which): Query<Which>) -> Response {
    let wanted = which.q.trim().to_lowercase();
    let state = visit.state.clone();
    let before = which.before;
    let sought = wanted.clone();
    // It takes time in proportion to the record, so it is looked through off the request's thread.
    let blobs = visit.desk().blobs.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let found = sought_in(&state.audit, &blobs, before, &sought)?;
        Ok::<_, Problem>((found, state.audit.verifies()))
    });
    let ((shown, goes_on), verifies) = match looked.await {
        Ok(Ok(looked)) => looked,
        Ok(Err(problem)) => return visit.failed(&problem),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let older = goes_on.map(|it| format!("/record?q={}&before={it}", encoded(&wanted)));
    let say = &visit.say;
    let sound = if verifies {
        let parts = [
            ("count", visit.state.audit.count.to_string().into()),
            ("head", visit.state.audit.head.to_string().into()),
        ];
        say.with("record-sound", parts)
    } else {
        say.it("record-broken")
    };
    let line = |it: &AuditLine| Line {
        at: visit.time(it.at),
        who: it.who.clone(),
        address: it.address.clone(),
        node: visit.node_name(it.node),
        what: it.what.clone(),
        about: it.about.clone(),
        outcome: match &it.refused {
            Some(why) => say.with("record-refused", [("why", why.clone().into())]),
            None => say.it("record-done"),
        },
    };
    let page = Record {
        frame: visit.frame(),
        search: &which.q,
        lines: shown.iter().map(line).collect(),
        older,
        sound,
    };
    visit.shown(StatusCode::OK, &page)
}

/// The newest lines before an entry that hold what is sought, and from where to go on, if anywhere.
fn sought_in(
    audit: &Audit,
    blobs: &Blobs,
    mut before: Option<u64>,
    sought: &str,
) -> Result<(Vec<AuditLine>, Option<u64>), Problem> {
    let mut found = Vec::new();
    for _ in 0..BATCHES {
        let batch = newest(audit, blobs, before, BATCH)?;
        let is_last = batch.len() < BATCH;
        for line in batch {
            before = Some(line.index);
            if holds(&line, sought) {
                found.push(line);
            }
            if found.len() == LINES {
                return Ok((found, before));
            }
        }
        if is_last {
            return Ok((found, None));
        }
    }
    Ok((found, before))
}

fn holds(line: &AuditLine, wanted: &str) -> bool {
    let fields = [
        line.who.as_str(),
        line.what.as_str(),
        line.about.as_str(),
        line.address.as_deref().unwrap_or_default(),
    ];
    wanted.is_empty() || fields.iter().any(|it| it.to_lowercase().contains(wanted))
}

/// The record as a table for other programs (RFC 4180).
pub(super) async fn export(visit: Visit) -> Response {
    let state = visit.state.clone();
    let blobs = visit.desk().blobs.clone();
    let written = tokio::task::spawn_blocking(move || {
        let mut csv = "entry,at,who,address,node,what,about,refused\r\n".to_owned();
        for it in &oldest(&state.audit, &blobs, 0, EXPORTED)? {
            let fields = [
                it.index.to_string(),
                rfc3339(it.at),
                it.who.clone(),
                it.address.clone().unwrap_or_default(),
                it.node.to_string(),
                it.what.clone(),
                it.about.clone(),
                it.refused.clone().unwrap_or_default(),
            ];
            let fields: Vec<String> = fields.iter().map(|it| quoted(it)).collect();
            // Writing to a string cannot fail.
            let _ = write!(csv, "{}\r\n", fields.join(","));
        }
        Ok::<_, Problem>(csv)
    });
    let csv = match written.await {
        Ok(Ok(csv)) => csv,
        Ok(Err(problem)) => return visit.failed(&problem),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"lifeboat-record.csv\"",
        ),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, csv).into_response()
}

/// A field in quotes; one that a spreadsheet would take for a formula gets an apostrophe before it.
fn quoted(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@']);
    let before = if formula { "'" } else { "" };
    format!("\"{before}{}\"", field.replace('"', "\"\""))
}

#[derive(Template)]
#[template(path = "shift.html", config = "src/desk/pages/askama.toml")]
struct Shift<'a> {
    frame: Frame<'a>,
    now: Option<Leads>,
    may: bool,
    able: Vec<Able>,
}

struct Leads {
    name: String,
    since: String,
    before: Option<String>,
    note: Option<String>,
}

struct Able {
    name: String,
    says: String,
    me: bool,
}

pub(super) async fn shift(visit: Visit) -> Response {
    let (state, say) = (&visit.state, &visit.say);
    let now = state.people.leading.as_ref().map(|it| Leads {
        name: it.who.to_string(),
        since: say.with("shift-since", [("time", visit.time(it.since).into())]),
        before: it
            .before
            .as_ref()
            .map(|it| say.with("shift-before", [("name", it.to_string().into())])),
        note: Some(it.note.as_str())
            .filter(|it| !it.is_empty())
            .map(|it| say.with("shift-note-was", [("note", it.into())])),
    });
    let me = visit.who();
    let mut names: Vec<String> = state
        .people
        .accounts
        .iter()
        .filter(|(_, it)| it.roles.may(Role::Leader))
        .map(|(name, _)| name.to_string())
        .collect();
    if !names.contains(&me) && visit.may(Role::Leader) {
        names.insert(0, me.clone());
    }
    let able = names.into_iter().map(|name| Able {
        me: name == me,
        says: if name == me {
            say.with("shift-me", [("name", name.clone().into())])
        } else {
            name.clone()
        },
        name,
    });
    let page = Shift {
        now,
        may: visit.may(Role::Leader),
        able: able.collect(),
        frame: visit.frame(),
    };
    visit.shown(StatusCode::OK, &page)
}

pub(super) async fn lead(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let read = label("who", posted.text("who"))
        .and_then(|who| Ok((who, note("note", posted.text("note").trim())?)));
    let (who, note) = match read {
        Ok(read) => read,
        Err(problem) => return visit.failed(&problem),
    };
    let change = PeopleChange::Lead { who, note };
    let id = asking.id(b"");
    let done = visit
        .desk()
        .change_people(&asking, id, "the hand-over", change);
    match done.await {
        Ok(_) => see("/shift"),
        Err(problem) => visit.failed(&problem),
    }
}

pub(super) async fn known(
    Shared(_pages): Shared<Pages>,
    visit: Visit,
    asking: Asking,
    Path(alarm): Path<u64>,
    _posted: Posted,
) -> Response {
    let change = PeopleChange::Acknowledge { alarm };
    let id = asking.id(b"");
    let what = "acknowledging the alarm";
    match visit.desk().change_people(&asking, id, what, change).await {
        Ok(_) => see("/"),
        Err(problem) => visit.failed(&problem),
    }
}
