//! What nodes tell each other of their proofs, as JSON: what a newer node says besides is left out, what an older one does
//! not say is empty. What a peer last said is kept with when, for the time when it says nothing.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    board::{Outcome, Proof, ago},
    doors::Doors,
};
use crate::{
    clock,
    cluster::testimony::Untold,
    model::{
        limits::{PROOF_CHARS_MAX, PROOFS_TOLD_MAX},
        words::NodeId,
    },
};

const SILENT: &str = "start or replace the node: 'lifeboat nodes'; what it last said is below";
const OLD: &str = "upgrade the node";

/// What a node says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    pub(super) doors: Doors,
    /// It takes what other nodes write as customers.
    pub(super) takes_synthetics: bool,
    pub(super) proofs: Vec<Line>,
}

/// One proof, told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    name: String,
    state: String,
    evidence: String,
    advice: Option<String>,
    age_ms: Option<u64>,
    period_ms: Option<u64>,
}

impl Line {
    pub(super) fn of(proof: &Proof) -> Self {
        let ms = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: proof.name.clone(),
            state: proof.state.name().to_owned(),
            evidence: proof.evidence.clone(),
            advice: proof.advice.clone(),
            age_ms: proof.age.map(ms),
            period_ms: proof.period.map(ms),
        }
    }

    /// The proof as it counts when it was told so long ago.
    fn proof(&self, since: Duration, is_fresh: bool) -> Proof {
        let states = [
            Outcome::Ok,
            Outcome::NotProven,
            Outcome::Warning,
            Outcome::Failed,
        ];
        let state = states.into_iter().find(|it| it.name() == self.state);
        let age = self.age_ms.map(Duration::from_millis);
        // What is looked at whenever it is asked for is as old as the answer.
        let period = self.period_ms.map(Duration::from_millis);
        let period = period.or((!is_fresh).then_some(Duration::ZERO));
        let proof = Proof {
            name: cut(&self.name),
            state: state.unwrap_or(Outcome::NotProven),
            evidence: cut(&self.evidence),
            advice: self.advice.as_deref().map(cut),
            age: age.map(|it| it.saturating_add(since)),
            period,
        };
        proof.aged()
    }
}

fn cut(text: &str) -> String {
    let plain = text.chars().filter(|it| !it.is_control());
    plain.take(PROOF_CHARS_MAX).collect()
}

/// What peers said, and what keeps them from it now.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<BTreeMap<NodeId, One>>);

/// What was heard of one peer.
#[derive(Clone, Debug, Default)]
struct One {
    said: Option<(Instant, Told)>,
    trouble: Option<Untold>,
}

impl Heard {
    // Held for a look-up or a change of one line, never across a wait.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a peer said, or why it did not.
    pub(super) fn note(&self, peer: NodeId, said: Result<Vec<u8>, Untold>) {
        let mut heard = self.lock();
        let one = heard.entry(peer).or_default();
        let read = said.and_then(|json| {
            let told = serde_json::from_slice::<Told>(&json);
            told.map_err(|_| Untold::Unreadable)
        });
        match read {
            Ok(mut told) => {
                told.proofs.truncate(PROOFS_TOLD_MAX);
                told.doors = told.doors.within_bounds();
                one.said = Some((clock::monotonic(), told));
                one.trouble = None;
            }
            Err(why) => one.trouble = Some(why),
        }
    }

    /// Forgets nodes that are no members any more.
    pub(super) fn keep(&self, members: &[NodeId]) {
        self.lock().retain(|node, _| members.contains(node));
    }

    /// Where a peer is reached, if it ever said so.
    pub(super) fn doors(&self, peer: NodeId) -> Option<Doors> {
        let heard = self.lock();
        let said = heard.get(&peer)?.said.as_ref()?;
        Some(said.1.doors.clone())
    }

    /// Whether some peer answers, and says that it does not know what nodes write as customers: it could not read the entry.
    pub(super) fn is_some_too_old(&self) -> bool {
        let heard = self.lock();
        heard.values().any(|it| {
            let said = it.said.as_ref();
            let says_no = said.is_some_and(|(_, told)| !told.takes_synthetics);
            says_no || it.trouble == Some(Untold::Refused)
        })
    }

    /// The peers that take what other nodes write as customers.
    pub(super) fn take_synthetics(&self) -> Vec<NodeId> {
        let heard = self.lock();
        let takes = heard.iter().filter(|(_, it)| {
            let said = it.said.as_ref();
            said.is_some_and(|(_, told)| told.takes_synthetics)
        });
        takes.map(|(node, _)| *node).collect()
    }

    /// How the proofs of a peer stand at `now`, the first of them whether it says so, and how long ago it did.
    pub(super) fn proofs(&self, peer: NodeId, now: Instant) -> (Option<Duration>, Vec<Proof>) {
        let one = self.lock().get(&peer).cloned().unwrap_or_default();
        let since = one
            .said
            .as_ref()
            .map(|it| now.saturating_duration_since(it.0));
        let mut proofs = vec![first(&one, since)];
        if let (Some((_, told)), Some(since)) = (&one.said, since) {
            let is_fresh = one.trouble.is_none();
            let lines = told.proofs.iter();
            proofs.extend(lines.map(|it| it.proof(since, is_fresh)));
        }
        (since, proofs)
    }
}

/// Whether a peer says how its proofs stand.
fn first(one: &One, since: Option<Duration>) -> Proof {
    let last = since.map_or("it never did since this node's start".to_owned(), |it| {
        format!("it last did {} ago", ago(it))
    });
    let (state, evidence, advice) = match (one.trouble, since) {
        (None, Some(_)) => (Outcome::Ok, "it says how its proofs stand".to_owned(), None),
        (None, None) => (
            Outcome::NotProven,
            "it was not asked yet".to_owned(),
            Some("wait a moment, and ask again"),
        ),
        (Some(why @ Untold::Refused), _) => (Outcome::NotProven, why.to_string(), Some(OLD)),
        (Some(why), _) => (Outcome::Failed, format!("{why}; {last}"), Some(SILENT)),
    };
    Proof {
        name: "told".to_owned(),
        state,
        evidence,
        advice: advice.map(str::to_owned),
        age: since,
        period: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: NodeId = NodeId(2);

    fn told(json: &str) -> Result<Vec<u8>, Untold> {
        Ok(json.as_bytes().to_vec())
    }

    #[test]
    fn a_newer_peer_is_understood_as_far_as_it_can_be_and_an_older_one_as_well() {
        let heard = Heard::default();
        heard.note(
            B,
            told(
                r#"{"newer": [1], "proofs": [
                    {"name": "orbit", "state": "wobbling", "evidence": "x", "newer": true, "age_ms": 1},
                    {"name": "disk", "state": "ok", "age_ms": 0}]}"#,
            ),
        );
        let (since, proofs) = heard.proofs(B, clock::monotonic());
        assert!(since.is_some());
        let states: Vec<_> = proofs
            .iter()
            .map(|it| (it.name.as_str(), it.state))
            .collect();
        assert_eq!(
            states,
            [
                ("told", Outcome::Ok),
                ("orbit", Outcome::NotProven),
                ("disk", Outcome::Ok)
            ]
        );
        assert!(heard.take_synthetics().is_empty() && heard.is_some_too_old());
        let heard = Heard::default();
        heard.note(B, told(r#"{"takes_synthetics": true}"#));
        assert!(heard.take_synthetics() == [B] && !heard.is_some_too_old());
        // Whoever cannot be reached is not old for that; whoever refuses the question is.
        heard.note(B, Err(Untold::Unreached));
        assert!(!heard.is_some_too_old());
        heard.note(NodeId(3), Err(Untold::Refused));
        assert!(heard.is_some_too_old());
        heard.note(B, told("{}"));
        assert_eq!(heard.proofs(B, clock::monotonic()).1.len(), 1);
    }

    #[test]
    fn a_peer_that_does_not_answer_is_red_with_what_it_last_said_and_nothing_of_that_is_green() {
        let heard = Heard::default();
        let line =
            r#"{"proofs": [{"name": "disk", "state": "ok", "evidence": "9 GiB", "age_ms": 0}]}"#;
        heard.note(B, told(line));
        heard.note(B, Err(Untold::Unreached));
        let later = clock::monotonic() + Duration::from_secs(200);
        let (since, proofs) = heard.proofs(B, later);
        assert!(since.unwrap() >= Duration::from_secs(200));
        assert_eq!(proofs[0].state, Outcome::Failed);
        assert!(
            proofs[0].evidence.contains("last did 3 min ago"),
            "{proofs:?}"
        );
        assert_eq!(proofs[1].state, Outcome::NotProven);
        assert!(proofs[1].evidence.contains("9 GiB"));
        // One that was never heard of at all.
        heard.note(NodeId(3), Err(Untold::Unreached));
        assert_eq!(heard.proofs(NodeId(3), later).1[0].state, Outcome::Failed);
        // One that is too old to know the question is not broken.
        heard.note(NodeId(4), Err(Untold::Refused));
        let old = heard.proofs(NodeId(4), later).1.remove(0);
        assert_eq!(
            (old.state, old.advice.as_deref()),
            (Outcome::NotProven, Some(OLD))
        );
        heard.keep(&[B]);
        assert_eq!(
            heard.proofs(NodeId(3), later).1[0].state,
            Outcome::NotProven
        );
    }

    #[test]
    fn what_a_peer_shows_of_its_looks_ages_on_the_way() {
        let heard = Heard::default();
        let line = r#"{"proofs": [{"name": "doors", "state": "ok", "age_ms": 90000, "period_ms": 120000}]}"#;
        heard.note(B, told(line));
        let state = |seconds| {
            let at = clock::monotonic() + Duration::from_secs(seconds);
            heard.proofs(B, at).1[1].state
        };
        assert_eq!((state(10), state(40)), (Outcome::Ok, Outcome::NotProven));
    }

    #[test]
    fn nonsense_is_no_proof() {
        let heard = Heard::default();
        heard.note(B, told("[1, 2"));
        assert_eq!(
            heard.proofs(B, clock::monotonic()).1[0].state,
            Outcome::Failed
        );
    }
}
