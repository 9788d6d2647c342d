//! Who leads the shift, and what everybody must hear of.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Done, at, envelopes::colons, label, note};
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    problem::Problem,
};
use crate::model::{
    Actor, State,
    people::{Alarm, AlarmKind, PeopleChange},
};

/// Who leads the shift, and what is open.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Shift {
    /// Who leads; nobody at first.
    pub(in crate::desk) leader: Option<Leader>,
    /// What nobody has said to know of.
    pub(in crate::desk) alarms: Vec<Told>,
}

/// Who leads the shift.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Leader {
    pub(in crate::desk) name: String,
    pub(in crate::desk) since: String,
    /// Who led before.
    pub(in crate::desk) before: Option<String>,
    /// What was said at the hand-over.
    pub(in crate::desk) note: String,
}

/// Something that everybody must hear of.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Told {
    pub(in crate::desk) alarm: u64,
    pub(in crate::desk) at: String,
    pub(in crate::desk) says: String,
}

/// Who is to lead.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HandOver {
    /// The person; whoever asks where it is left out.
    who: Option<String>,
    /// What is said at the hand-over.
    #[serde(default)]
    note: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Shift>(
            "get",
            "/shift",
            "Who leads the shift, and what everybody must hear of",
            get(show),
        ),
        Route::new::<Done>(
            "post",
            "/shift",
            "Take the shift over, or hand it over",
            post(lead),
        )
        .takes::<HandOver>(),
        Route::new::<Done>(
            "post",
            "/alarms/{alarm}/acknowledge",
            "Say that you know of an alarm",
            post(acknowledge),
        )
        .takes::<Nothing>(),
    ]
}

/// Who leads, and where the console is.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Brief {
    /// Who leads the shift.
    shift_leader: Option<String>,
    /// Accounts there are.
    accounts: u64,
    /// Sessions there are.
    signed_in: u64,
    /// Sign-ins while this node was alone that are still to be reported.
    unreported: u64,
    /// Where this node's console is.
    console: Vec<String>,
    /// SHA-256 of the certificate that it shows under an IP address, as browsers show it.
    fingerprint: Option<String>,
}

/// Who leads, and where this node's console is.
pub(in crate::desk) fn brief(desk: &Desk) -> Brief {
    let state = desk.cluster.state();
    let console = state.people.consoles.get(&desk.cluster.id());
    let addresses = console.map_or(&[][..], |it| &it.addresses);
    Brief {
        shift_leader: state.people.leading.as_ref().map(|it| it.who.to_string()),
        accounts: state.people.accounts.len() as u64,
        signed_in: desk.sessions().len() as u64,
        unreported: desk.entry.alone.unreported().0 as u64,
        console: addresses
            .iter()
            .map(|it| format!("https://{}", it.as_str()))
            .collect(),
        fingerprint: console.map(|it| colons(&it.fingerprint)),
    }
}

/// What everybody must hear of, in words.
pub(in crate::desk) fn alarms(desk: &Desk) -> Vec<String> {
    let state = desk.cluster.state();
    let said = |it: &Alarm| {
        let says = spoken(&state, it);
        format!("{says} at {}; nobody has said to know of it", at(it.at))
    };
    let mut alarms: Vec<String> = state.people.open_alarms().map(said).collect();
    let (all, glass) = desk.entry.alone.unreported();
    if glass > 0 {
        alarms.push(format!(
            "{glass} break-glass codes were used on this node while it was alone; the others do not know yet"
        ));
    }
    if all > glass {
        alarms.push(format!(
            "{} people signed in on this node while it was alone; the others do not know yet",
            all - glass
        ));
    }
    alarms
}

/// What an alarm says, in English.
pub(in crate::desk) fn spoken(state: &State, alarm: &Alarm) -> String {
    match &alarm.what {
        AlarmKind::CodeUsed {
            serial,
            place,
            node,
            alone,
            again,
        } => {
            let known = state.nodes.get(node);
            let node = known.map_or_else(|| node.to_string(), |it| it.facts.name.to_string());
            let how = match (alone, again) {
                (_, true) => ", although it had been used before",
                (true, false) => ", which was alone then",
                (false, false) => "",
            };
            let code = place + 1;
            format!("code {code} of break-glass envelope {serial} was used on {node}{how}")
        }
        AlarmKind::MailCountsDown {
            campaign,
            recipients,
            by,
            why,
            from,
        } => {
            let (why, from) = (why.as_str(), at(*from));
            format!(
                "{by} alone mails {recipients} people from {from} on: {why}; \
                 'lifeboat mail cancel {campaign}' or the console stops it"
            )
        }
    }
}

impl Desk {
    /// Who leads, and what is open.
    pub(in crate::desk) fn shift(&self) -> Shift {
        let state = self.cluster.state();
        let leader = state.people.leading.as_ref().map(|it| Leader {
            name: it.who.to_string(),
            since: at(it.since),
            before: it.before.as_ref().map(ToString::to_string),
            note: it.note.as_str().to_owned(),
        });
        let alarms = state.people.open_alarms().map(|it| Told {
            alarm: it.index,
            at: at(it.at),
            says: spoken(&state, it),
        });
        Shift {
            leader,
            alarms: alarms.collect(),
        }
    }
}

async fn show(Shared(desk): Shared<Desk>) -> Json<Shift> {
    Json(desk.shift())
}

async fn lead(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<HandOver>,
) -> Result<Json<Done>, Problem> {
    let who = match (&body.value.who, &asking.actor) {
        (Some(name), _) => label("who", name)?,
        (None, Actor::Operator { name }) => name.clone(),
        (None, _) => {
            let wanted = "the name of somebody with the role shift-leader";
            return Err(Problem::invalid("who", "", wanted));
        }
    };
    let note = note("note", &body.value.note)?;
    let says = format!("{who} leads the shift");
    let change = PeopleChange::Lead { who, note };
    desk.change_people(&asking, asking.id(&body.bytes), "the hand-over", change)
        .await?;
    Ok(Json(Done { says }))
}

async fn acknowledge(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(alarm): Path<u64>,
    _body: Body<Nothing>,
) -> Result<Json<Done>, Problem> {
    let id = asking.id(&alarm.to_le_bytes());
    let change = PeopleChange::Acknowledge { alarm };
    desk.change_people(&asking, id, "acknowledging the alarm", change)
        .await?;
    Ok(Json(Done {
        says: format!("alarm {alarm} is known"),
    }))
}
