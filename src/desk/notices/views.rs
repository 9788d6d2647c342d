//! Notices as the API shows them: how each stands, what it says, and what no longer holds.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{
    State,
    incident::IncidentId,
    limits,
    notice::{Next, Notice, NoticeId, Standing, holding, next, telling::plain},
    when::rfc3339,
    words::{Lang, Note},
};

/// Ended notices in a list.
const LATELY: usize = 100;

/// What is on its way, and what went lately.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    /// The newest first, those that are still to come before all others.
    notices: Vec<Shown>,
    /// What was told and holds no more, by incident.
    corrections: BTreeMap<String, Vec<Corrections>>,
    /// How long what cannot be taken back waits, in seconds.
    hold_seconds: u64,
}

/// Channels that were told something of an update that holds no more.
#[derive(Clone, Serialize, ToSchema)]
pub(in crate::desk) struct Corrections {
    /// The update, from 1.
    pub(in crate::desk) update: u32,
    /// The channels.
    pub(in crate::desk) channels: Vec<String>,
}

/// One notice.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Shown {
    /// Its id.
    pub(in crate::desk) notice: String,
    incident: String,
    /// The update, from 1.
    pub(in crate::desk) update: u32,
    /// The channel.
    pub(in crate::desk) channel: String,
    /// By what means.
    pub(in crate::desk) kind: &'static str,
    /// What it puts right.
    pub(in crate::desk) corrects: Option<String>,
    by: String,
    /// queued, sending, by-hand, sent, failed, unknown or stopped.
    pub(in crate::desk) state: &'static str,
    /// Not before; until then it can be stopped.
    pub(in crate::desk) leaves: String,
    /// Tries that did not get through.
    pub(in crate::desk) attempts: u32,
    /// When it ended so.
    at: Option<String>,
    /// Where it can be seen.
    pub(in crate::desk) place: Option<String>,
    /// What was answered last, or who stopped it.
    pub(in crate::desk) why: Option<String>,
    /// What it says.
    pub(in crate::desk) text: String,
    /// The revision of the update that this says.
    pub(in crate::desk) revision: u32,
    /// It was too long for the channel.
    pub(in crate::desk) cut: bool,
    /// The channel's language has no words for it, and another one's are told.
    pub(in crate::desk) other_language: Option<&'static str>,
    /// How many people the channel reaches.
    pub(in crate::desk) reach: Option<u32>,
}

impl Shown {
    pub(in crate::desk) fn of(state: &State, id: NoticeId, it: &Notice) -> Self {
        let channel = state.notices.channels.get(&it.channel);
        let facts = channel.map(|it| &it.facts);
        let told = it.told.clone();
        let told = told.or_else(|| holding(state, it.incident, it.update));
        let says = told.as_ref().map(|told| {
            let lang = facts.and_then(|it| it.lang);
            // The address of the page is the sending node's own; it comes after this text.
            let most = facts.and_then(|it| it.means.chars());
            plain(told, lang, it.corrects.is_some(), None, most)
        });
        let item = match it.standing {
            Standing::Queued(item) => state.outbox.get(&item),
            _ => None,
        };
        let leased = item
            .and_then(|it| it.lease)
            .is_some_and(|it| it.until > state.now);
        let (at, place, why) = ended(it);
        Self {
            notice: id.to_string(),
            incident: it.incident.to_string(),
            update: it.update,
            channel: it.channel.to_string(),
            kind: facts.map_or("gone", |it| it.means.kind()),
            corrects: it.corrects.map(|it| it.to_string()),
            by: it.by.clone(),
            state: if leased {
                "sending"
            } else {
                it.standing.name()
            },
            leaves: rfc3339(it.leaves),
            attempts: item.map_or(0, |it| it.attempts),
            at,
            place,
            why: why.or_else(|| Some(item?.last_answer.as_ref()?.as_str().to_owned())),
            revision: told.as_ref().map_or(0, |it| it.revision),
            cut: says.as_ref().is_some_and(|it| it.cut),
            other_language: says
                .as_ref()
                .filter(|it| it.other_language)
                .and_then(|it| it.langs.first().map(|it| Lang::tag(*it))),
            text: says.map_or_else(String::new, |it| it.text),
            reach: facts.and_then(|it| it.reach),
        }
    }
}

fn ended(it: &Notice) -> (Option<String>, Option<String>, Option<String>) {
    let text = |it: &Note| it.as_str().to_owned();
    match &it.standing {
        Standing::Queued(_) | Standing::ByHand => (None, None, None),
        Standing::Sent { at, place } => (Some(rfc3339(*at)), place.as_ref().map(text), None),
        Standing::Failed { at, why } | Standing::Unknown { at, why } => {
            (Some(rfc3339(*at)), None, Some(text(why)))
        }
        Standing::Stopped { at, by } => (Some(rfc3339(*at)), None, Some(format!("by {by}"))),
    }
}

impl Listed {
    pub(super) fn of(state: &State) -> Self {
        let all = state.notices.all.iter().rev();
        let (open, ended): (Vec<_>, Vec<_>) = all.partition(|(_, it)| it.standing.is_open());
        let shown = open.into_iter().chain(ended.into_iter().take(LATELY));
        let mut by_incident: BTreeMap<String, Vec<Corrections>> = BTreeMap::new();
        for (incident, what) in corrections(state) {
            by_incident
                .entry(incident.to_string())
                .or_default()
                .push(what);
        }
        Self {
            notices: shown.map(|(id, it)| Shown::of(state, *id, it)).collect(),
            corrections: by_incident,
            hold_seconds: limits::NOTICE_HOLD_MS / 1_000,
        }
    }
}

/// Notices of an incident, the newest first: those since an entry, or all.
pub(in crate::desk) fn of_incident(
    state: &State,
    incident: IncidentId,
    since: Option<u64>,
) -> Vec<Shown> {
    let all = state.notices.all.iter().rev();
    let own =
        all.filter(|(id, it)| it.incident == incident && since.is_none_or(|at| id.index >= at));
    own.map(|(id, it)| Shown::of(state, *id, it)).collect()
}

/// What was told outside and holds no more.
pub(in crate::desk) fn corrections(state: &State) -> Vec<(IncidentId, Corrections)> {
    let mut due: BTreeMap<(IncidentId, u32), Vec<String>> = BTreeMap::new();
    for (id, it) in &state.notices.all {
        let Standing::Sent { .. } = it.standing else {
            continue;
        };
        let there = state.notices.channels.contains_key(&it.channel);
        if there && next(state, it.incident, it.update, &it.channel) == Next::Correction(*id) {
            let key = (it.incident, it.update);
            due.entry(key).or_default().push(it.channel.to_string());
        }
    }
    let due = due.into_iter();
    due.map(|((incident, update), channels)| (incident, Corrections { update, channels }))
        .collect()
}
