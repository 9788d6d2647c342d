//! Whether people have rehearsed it: the last drill, what is tried again and again, how old that may be, and what it left
//! open.

use std::time::Duration;

use super::{
    board::{Outcome, Proof},
    own::proof,
};
use crate::model::{State, drill::calendar::Trial, when::rfc3339, words::Timestamp};

/// How the last drill stands; nothing where nobody asks for drills.
pub(super) fn drill(state: &State, now: Timestamp, period: Option<Duration>) -> Option<Proof> {
    let period = period?;
    let advice =
        "rehearse: 'lifeboat drill start'; what the last one left open is in 'lifeboat drill show'";
    let Some((id, drill)) = state.drills.last() else {
        let evidence = "nobody has rehearsed yet".to_owned();
        return Some(proof("drill", Outcome::NotProven, evidence, advice));
    };
    let ended = drill.over.as_ref().map_or(drill.made, |it| it.at);
    let days = now.ms_since(ended) / 86_400_000;
    let open: usize = state.drills.all.values().map(|it| it.open_actions()).sum();
    let missed: Vec<&str> = drill.missed().into_iter().map(|it| it.name()).collect();
    let is_old = u128::from(now.ms_since(ended)) > period.as_millis();
    let (outcome, evidence) = match (is_old, missed.is_empty(), open) {
        (true, _, _) => (
            Outcome::NotProven,
            format!("the last one, {id}, was {days} days ago"),
        ),
        (false, false, _) => (
            Outcome::Warning,
            format!(
                "{id}, ended {}, without: {}",
                rfc3339(ended),
                missed.join(", ")
            ),
        ),
        (false, true, 1..) => (
            Outcome::Warning,
            format!("{id} passed {}; {open} to be mended", rfc3339(ended)),
        ),
        (false, true, 0) => (Outcome::Ok, format!("{id} passed {}", rfc3339(ended))),
    };
    Some(proof("drill", outcome, evidence, advice))
}

/// How what is tried again and again stands; nothing where the calendar is empty.
pub(super) fn calendar(state: &State, now: Timestamp) -> Option<Proof> {
    let all = &state.drills.calendar;
    let named = |those: &dyn Fn(&Trial) -> bool| {
        let names = all.iter().filter(|(_, it)| those(it));
        let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    if all.is_empty() {
        return None;
    }
    let overdue = named(&|it| it.is_overdue(now));
    let failed = named(&|it| it.last_good() == Some(false));
    let open = named(&|it| it.open_actions() > 0);
    let (outcome, evidence) = match (failed.is_empty(), overdue.is_empty(), open.is_empty()) {
        (false, _, _) => (Outcome::Failed, format!("did not work: {failed}")),
        (true, false, _) => (Outcome::NotProven, format!("overdue: {overdue}")),
        (true, true, false) => (
            Outcome::Warning,
            format!("something is to be mended: {open}"),
        ),
        (true, true, true) => (Outcome::Ok, format!("{} tried in time", all.len())),
    };
    let advice =
        "try what is overdue or failed, and write down what came of it: 'lifeboat calendar list'";
    Some(proof("calendar", outcome, evidence, advice))
}
