//! What each proof came to when it was last looked at. What is older than its period is not green, whatever it was.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

/// What a proof came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Ok,
    /// Nobody has shown it within its period.
    NotProven,
    /// It holds, not for long or not well.
    Warning,
    /// It does not hold.
    Failed,
}

impl Outcome {
    /// As written and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotProven => "not-proven",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) state: Outcome,
    /// What it stands on.
    pub(super) evidence: String,
    /// What to do where it is not ok.
    pub(super) advice: &'static str,
}

impl Finding {
    pub(super) fn new(state: Outcome, evidence: impl Into<String>, advice: &'static str) -> Self {
        Self {
            state,
            evidence: evidence.into(),
            advice,
        }
    }

    /// Good where nothing is amiss; else what is, all of it.
    pub(super) fn of(good: String, amiss: &[String], advice: &'static str) -> Self {
        match amiss.is_empty() {
            true => Self::new(Outcome::Ok, good, advice),
            false => Self::new(Outcome::Failed, amiss.join("; "), advice),
        }
    }
}

/// One proof as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: Outcome,
    /// What it stands on.
    pub evidence: String,
    /// What to do where it is not ok.
    pub advice: Option<String>,
    /// How long ago it was looked at; nothing when it never was.
    pub age: Option<Duration>,
    /// How old it may be; nothing where it is looked at whenever it is asked for.
    pub period: Option<Duration>,
}

/// What was found last.
#[derive(Clone, Debug)]
struct Kept {
    at: Instant,
    finding: Finding,
}

/// A proof that is looked at now and then.
#[derive(Clone, Debug)]
struct Line {
    period: Duration,
    kept: Option<Kept>,
}

/// The last outcome of every proof that is looked at now and then.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<BTreeMap<&'static str, Line>>);

impl Board {
    // Held for a look-up or a change of one line, never across a wait.
    fn lines(&self) -> MutexGuard<'_, BTreeMap<&'static str, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that this will be looked at.
    pub(super) fn expect(&self, name: &'static str, period: Duration) {
        let line = Line { period, kept: None };
        self.lines().entry(name).or_insert(line);
    }

    /// Notes what a look found; nothing when there is nothing to prove, such as names where no zone is.
    pub(super) fn note(
        &self,
        name: &'static str,
        period: Duration,
        finding: Option<Finding>,
        at: Instant,
    ) {
        let mut lines = self.lines();
        let Some(finding) = finding else {
            lines.remove(name);
            return;
        };
        let kept = Some(Kept { at, finding });
        lines.insert(name, Line { period, kept });
    }

    /// How every proof stands at `now`.
    pub(super) fn proofs(&self, now: Instant) -> Vec<Proof> {
        let lines = self.lines();
        let all = lines.iter();
        all.map(|(name, line)| line.judged(name, now)).collect()
    }
}

impl Line {
    fn judged(&self, name: &str, now: Instant) -> Proof {
        let Some(Kept { at, finding }) = &self.kept else {
            return Proof {
                name: name.to_owned(),
                state: Outcome::NotProven,
                evidence: "not looked at yet since the start".to_owned(),
                advice: Some("wait a moment, and ask again".to_owned()),
                age: None,
                period: Some(self.period),
            };
        };
        let age = now.saturating_duration_since(*at);
        let proof = Proof {
            name: name.to_owned(),
            state: finding.state,
            evidence: finding.evidence.clone(),
            advice: (finding.state != Outcome::Ok).then(|| finding.advice.to_owned()),
            age: Some(age),
            period: Some(self.period),
        };
        proof.aged()
    }
}

impl Proof {
    /// The same as it counts at its age: nothing is green longer than it may be. What failed stays failed.
    pub(super) fn aged(mut self) -> Self {
        let (Some(age), Some(period)) = (self.age, self.period) else {
            return self;
        };
        if age <= period || self.state == Outcome::Failed {
            return self;
        }
        self.state = Outcome::NotProven;
        self.evidence = format!("last shown {} ago: {}", ago(age), self.evidence);
        self.advice =
            Some("look why this node does not look any more: its log, its load".to_owned());
        self
    }
}

/// A stretch of time in words.
pub(super) fn ago(age: Duration) -> String {
    match age.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const PERIOD: Duration = Duration::from_secs(120);

    fn state(board: &Board, now: Instant) -> (Outcome, Option<String>) {
        let proof = board.proofs(now).remove(0);
        (proof.state, proof.advice)
    }

    #[test]
    fn stale_is_not_green() {
        let board = Board::default();
        let began = clock::monotonic();
        board.expect("doors", PERIOD);
        assert_eq!(state(&board, began).0, Outcome::NotProven);
        let good = Finding::new(Outcome::Ok, "3 seen", "look");
        board.note("doors", PERIOD, Some(good), began);
        assert_eq!(state(&board, began + PERIOD), (Outcome::Ok, None));
        let late = began + PERIOD + Duration::from_millis(1);
        let (stale, advice) = state(&board, late);
        assert_eq!(stale, Outcome::NotProven);
        assert!(advice.is_some_and(|it| it.contains("log")));
        assert!(board.proofs(late)[0].evidence.contains("3 seen"));
    }

    #[test]
    fn what_failed_does_not_get_better_by_waiting() {
        let board = Board::default();
        let began = clock::monotonic();
        let bad = Finding::new(Outcome::Failed, "b: no answer", "start it");
        board.note("doors", PERIOD, Some(bad), began);
        let late = began + PERIOD * 9;
        assert_eq!(
            state(&board, late),
            (Outcome::Failed, Some("start it".to_owned()))
        );
    }

    #[test]
    fn what_there_is_no_longer_to_prove_is_not_shown() {
        let board = Board::default();
        board.expect("answers", PERIOD);
        board.note("answers", PERIOD, None, clock::monotonic());
        assert!(board.proofs(clock::monotonic()).is_empty());
    }
}
