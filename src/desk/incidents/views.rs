//! Incidents as the API shows them.

use super::{
    AuditLine, BTreeMap, Incident, IncidentId, Lang, Promise, Reading, Serialize, State, Texts,
    ToSchema, Update, rfc3339,
};
use crate::desk::notices;

/// Every component.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Components {
    components: Vec<Component>,
}

#[derive(Serialize, ToSchema)]
struct Component {
    component: String,
    names: Texts,
    group: Option<String>,
    /// working, or how badly it is affected.
    state: &'static str,
    generation: u64,
}

/// Every incident, the newest first.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Incidents {
    incidents: Vec<Shown>,
}

/// An incident or a maintenance.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Shown {
    pub(in crate::desk) incident: String,
    /// incident or maintenance.
    kind: &'static str,
    titles: Texts,
    severity: &'static str,
    stage: &'static str,
    affected: BTreeMap<String, &'static str>,
    opened: String,
    ended: Option<String>,
    from: Option<String>,
    until: Option<String>,
    /// By when the next update is promised.
    next_by: Option<String>,
    /// none, made, near or broken.
    promise: &'static str,
    withdrawn: Option<Withdrawn>,
    updates: Vec<Said>,
    /// What is on its way through channels outside and what went, the newest first; in a dry run what would be.
    notices: Vec<notices::Shown>,
    /// What was told outside and holds no more.
    corrections: Vec<notices::Corrections>,
    /// What the next change is to name as `against`.
    generation: u64,
    /// Nothing was changed: this is what would be said.
    dry_run: bool,
}

#[derive(Serialize, ToSchema)]
struct Withdrawn {
    at: String,
    by: String,
    reason: String,
}

/// One update, with what a reader of each language gets.
#[derive(Serialize, ToSchema)]
struct Said {
    number: u64,
    at: String,
    by: String,
    stage: &'static str,
    revision: u32,
    readings: BTreeMap<String, Read>,
    edits: Vec<Edited>,
    withdrawn: Option<Withdrawn>,
}

#[derive(Serialize, ToSchema)]
struct Read {
    /// current, outdated or missing: how this language stands.
    state: &'static str,
    /// The language of the text that is shown.
    shown_in: String,
    text: String,
}

#[derive(Serialize, ToSchema)]
struct Edited {
    at: String,
    by: String,
    /// What it said before, by language.
    before: Texts,
}

/// What happened while it went on, oldest first.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Timeline {
    lines: Vec<Line>,
    /// The record begins after the incident did: what is older was exported, not kept.
    incomplete: bool,
}

/// One line of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Line {
    #[serde(skip)]
    order: (u64, u8),
    pub(super) at: String,
    pub(super) who: String,
    pub(super) node: Option<String>,
    pub(super) what: String,
    pub(super) about: String,
    pub(super) refused: Option<String>,
}

impl Shown {
    /// Its id, as it stands in addresses.
    pub(in crate::desk) fn id(&self) -> &str {
        &self.incident
    }
}

impl Components {
    pub(super) fn of(state: &State) -> Self {
        let components = state.incidents.components.iter().map(|(name, it)| {
            let names = it.names.iter();
            Component {
                component: name.to_string(),
                names: names
                    .map(|(lang, it)| (lang.tag().to_owned(), it.as_str().to_owned()))
                    .collect(),
                group: it.group.as_ref().map(ToString::to_string),
                state: state
                    .incidents
                    .impact(name)
                    .map_or("working", |it| it.name()),
                generation: it.generation,
            }
        });
        Self {
            components: components.collect(),
        }
    }
}

impl Incidents {
    pub(super) fn of(state: &State) -> Self {
        let all = state.incidents.sorted();
        Self {
            incidents: all
                .map(|(id, it)| Shown::of(state, id, it, false))
                .collect(),
        }
    }
}

impl Shown {
    pub(super) fn of(state: &State, id: IncidentId, it: &Incident, dry_run: bool) -> Self {
        let updates = it.updates.iter().zip(1..);
        Self {
            incident: id.to_string(),
            kind: match it.window {
                Some(_) => "maintenance",
                None => "incident",
            },
            titles: it
                .titles
                .iter()
                .map(|(lang, it)| (lang.tag().to_owned(), it.as_str().to_owned()))
                .collect(),
            severity: it.severity.name(),
            stage: it.stage.name(),
            affected: it
                .affected
                .iter()
                .map(|(name, it)| (name.to_string(), it.name()))
                .collect(),
            opened: rfc3339(it.opened),
            ended: it.ended.map(rfc3339),
            from: it.window.map(|it| rfc3339(it.from)),
            until: it.window.map(|it| rfc3339(it.until)),
            next_by: it.next_by.map(rfc3339),
            promise: match it.promise(crate::clock::now().max(state.now)) {
                Promise::None => "none",
                Promise::Made(_) => "made",
                Promise::Near(_) => "near",
                Promise::Broken(_) => "broken",
            },
            withdrawn: it.withdrawn.as_ref().map(withdrawn),
            updates: updates
                .map(|(update, number)| said(update, number))
                .collect(),
            notices: notices::of_incident(state, id, dry_run.then_some(state.index)),
            corrections: notices::corrections(state)
                .into_iter()
                .filter(|(of, _)| *of == id)
                .map(|(_, it)| it)
                .collect(),
            generation: it.generation,
            dry_run,
        }
    }

    /// What is or would be on its way outside.
    pub(in crate::desk) fn notices(&self) -> &[notices::Shown] {
        &self.notices
    }
}

fn withdrawn(mark: &crate::model::incident::Mark) -> Withdrawn {
    Withdrawn {
        at: rfc3339(mark.at),
        by: mark.by.clone(),
        reason: mark.reason.as_str().to_owned(),
    }
}

fn said(update: &Update, number: u64) -> Said {
    let readings = Lang::ALL.into_iter().filter_map(|lang| {
        let (state, shown_in, text) = match update.reading(lang) {
            Reading::Current(text) => ("current", lang, text),
            Reading::Outdated { lang, text } => ("outdated", lang, text),
            Reading::Missing { lang, text } => ("missing", lang, text),
            Reading::Nothing => return None,
        };
        let read = Read {
            state,
            shown_in: shown_in.tag().to_owned(),
            text: text.as_str().to_owned(),
        };
        Some((lang.tag().to_owned(), read))
    });
    let edits = update.edits.iter().map(|it| Edited {
        at: rfc3339(it.at),
        by: it.by.clone(),
        before: it
            .before
            .iter()
            .map(|(lang, it)| (lang.tag().to_owned(), it.text.as_str().to_owned()))
            .collect(),
    });
    Said {
        number,
        at: rfc3339(update.at),
        by: update.by.clone(),
        stage: update.stage.name(),
        revision: update.revision,
        readings: readings.collect(),
        edits: edits.collect(),
        withdrawn: update.withdrawn.as_ref().map(withdrawn),
    }
}

impl Timeline {
    /// Operators' actions and switches from the opening to the end, or to now.
    pub(super) fn of(state: &State, id: IncidentId, it: &Incident) -> Self {
        let until = if it.goes_on() {
            state.now
        } else {
            it.touched()
        };
        let within = it.opened..=until;
        let named = id.to_string();
        // Two incidents at a time: what was said of the other one is not this one's story.
        let of_another = |it: &AuditLine| {
            let kinds = [
                "-incident",
                "-update",
                "confirm-alert",
                "-effect",
                "publish-by-rule",
                "tell-affected",
                "tell-affected-no-more",
            ];
            kinds.iter().any(|kind| it.what.ends_with(kind)) && !it.about.starts_with(&named)
        };
        let acted = state.audit.lines.iter();
        let acted = acted.filter(|it| within.contains(&it.at) && !of_another(it));
        let acted = acted.map(|it| Line {
            order: (it.index, 0),
            at: rfc3339(it.at),
            who: it.who.clone(),
            node: Some(it.node.to_string()),
            what: it.what.clone(),
            about: it.about.clone(),
            refused: it.refused.clone(),
        });
        let services = state.failover.services.iter();
        let switched =
            services.flat_map(|(service, it)| it.history.iter().map(move |it| (service, it)));
        let switched = switched
            .filter(|(_, it)| within.contains(&it.at))
            .map(|(service, it)| Line {
                order: (it.index, 1),
                at: rfc3339(it.at),
                who: it.by.clone(),
                node: None,
                what: "switched".to_owned(),
                about: format!(
                    "{service} from {} to {}: {}",
                    it.from,
                    it.to,
                    it.why.as_str()
                ),
                refused: None,
            });
        let mut lines: Vec<Line> = acted.chain(switched).collect();
        lines.sort_by_key(|it| it.order);
        let oldest = state.audit.lines.front();
        let lost = state.audit.count > state.audit.lines.len() as u64;
        Self {
            lines,
            incomplete: lost && oldest.is_none_or(|it| it.at > *within.start()),
        }
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }
}
