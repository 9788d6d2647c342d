//! What this node makes of everything it watches: looks come in, opinions on targets come out. No clock and no socket.
//!
//! A target is up while enough of its checks are, and down when too few can be. Until its checks have settled there is no
//! opinion at all, and the cluster keeps the last vote it heard until that one is too old. "Down" is only said after the
//! canaries, asked after the last miss, have shown that the fault is not this node's own.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::settle::{Settling, Thresholds};
use super::vantage::View;
use crate::model::health::{Ballot, Check, Opinion, Watch};
use crate::model::words::{Label, Note};

/// A target: the name of its service and its own.
pub(super) type Key = (Label, Label);

/// What one look came to.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// The target.
    pub(super) key: Key,
    /// The check's name.
    pub(super) check: Label,
    /// Which start of that check.
    pub(super) start: u64,
    /// When it ended.
    pub(super) ended: Instant,
    /// How long it took.
    pub(super) took: Duration,
    /// The code seen, or why it was a miss.
    pub(super) seen: Result<Option<u16>, Note>,
}

/// All targets that this node watches.
#[derive(Default)]
pub(super) struct Board {
    targets: BTreeMap<Key, Stand>,
}

/// How one target stands.
struct Stand {
    need: usize,
    checks: BTreeMap<Label, Checked>,
    shown: Option<Opinion>,
}

/// How one check stands.
struct Checked {
    start: u64,
    thresholds: Thresholds,
    settling: Settling,
    last: Option<Look>,
    /// The end of the look that made it down.
    fell: Option<Instant>,
}

/// An opinion that has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turned {
    pub(super) key: Key,
    pub(super) from: Option<Opinion>,
    pub(super) to: Option<Opinion>,
}

impl Board {
    /// Takes over which targets there are. What is known of a target that stays is kept.
    pub(super) fn keep_to(&mut self, wanted: &BTreeMap<Key, Watch>) {
        self.targets.retain(|key, _| wanted.contains_key(key));
        for (key, watch) in wanted {
            let stand = self.targets.entry(key.clone()).or_insert_with(|| Stand {
                need: 0,
                checks: BTreeMap::new(),
                shown: None,
            });
            stand.need = watch.need.into();
            stand
                .checks
                .retain(|name, _| watch.checks.iter().any(|it| it.name == *name));
        }
    }

    /// A check begins, or begins anew because it is another one now.
    pub(super) fn begin(&mut self, key: &Key, check: &Check, start: u64) {
        let Some(stand) = self.targets.get_mut(key) else {
            return;
        };
        let checked = Checked {
            start,
            thresholds: Thresholds::of(check),
            settling: Settling::new(),
            last: None,
            fell: None,
        };
        stand.checks.insert(check.name.clone(), checked);
        // What was concluded from other checks is not repeated; the last vote stands until it is too old.
        stand.shown = None;
    }

    /// Takes one look into account; one of a check that is gone is passed over.
    pub(super) fn take(&mut self, look: Look) {
        let checked = self
            .targets
            .get_mut(&look.key)
            .and_then(|stand| stand.checks.get_mut(&look.check))
            .filter(|checked| checked.start == look.start);
        let Some(checked) = checked else {
            return;
        };
        let before = checked.settling.opinion();
        checked.settling = checked
            .settling
            .after(look.seen.is_ok(), checked.thresholds);
        if checked.settling.opinion() != before {
            let is_down = checked.settling.opinion() == Opinion::Down;
            checked.fell = is_down.then_some(look.ended);
        }
        checked.last = Some(look);
    }

    /// Whether something is down that the canaries have not been asked about since.
    pub(super) fn needs_a_view(&self, view: Option<View>) -> bool {
        self.targets.values().any(|stand| {
            stand.settled() == Some(Opinion::Down)
                && view.is_none_or(|view| stand.fell().is_some_and(|fell| view.began < fell))
        })
    }

    /// Draws the conclusions from what was taken; says what changed.
    pub(super) fn conclude(&mut self, view: Option<View>) -> Vec<Turned> {
        let mut turned = Vec::new();
        for (key, stand) in &mut self.targets {
            let from = stand.shown;
            stand.shown = shown(stand.settled(), from, view, stand.fell());
            if stand.shown != from {
                turned.push(Turned {
                    key: key.clone(),
                    from,
                    to: stand.shown,
                });
            }
        }
        turned
    }

    /// Every target on which there is an opinion.
    pub(super) fn opinions(&self) -> impl Iterator<Item = (&Key, Opinion)> + Clone {
        let shown = |(key, stand): (_, &Stand)| stand.shown.map(|opinion| (key, opinion));
        self.targets.iter().filter_map(shown)
    }

    /// The opinion on a target as it is sent.
    pub(super) fn ballot(&self, key: &Key, view: Option<View>) -> Option<Ballot> {
        let stand = self.targets.get(key)?;
        let opinion = stand.shown?;
        Some(Ballot {
            service: key.0.clone(),
            target: key.1.clone(),
            opinion,
            evidence: stand.evidence(opinion, view),
        })
    }
}

impl Stand {
    /// The opinion by its checks alone; `None` until enough of them have settled.
    fn settled(&self) -> Option<Opinion> {
        let count = |wanted| {
            let opinions = self.checks.values().map(|it| it.settling.opinion());
            opinions.filter(|opinion| *opinion == wanted).count()
        };
        if self.need == 0 {
            return None;
        }
        let (up, down) = (count(Opinion::Up), count(Opinion::Down));
        if up >= self.need {
            Some(Opinion::Up)
        } else if self.checks.len().saturating_sub(down) < self.need {
            Some(Opinion::Down)
        } else {
            None
        }
    }

    /// When the last of the checks that are down fell.
    fn fell(&self) -> Option<Instant> {
        self.checks.values().filter_map(|it| it.fell).max()
    }

    /// What was seen, for people: the misses where it is not up.
    fn evidence(&self, opinion: Opinion, view: Option<View>) -> Note {
        let mut words = Vec::new();
        if let (Opinion::Unknown, Some(view)) = (opinion, view) {
            let View { answered, of, .. } = view;
            words.push(format!("only {answered} of {of} canaries answered"));
        }
        for look in self.checks.values().filter_map(|it| it.last.as_ref()) {
            let ms = look.took.as_millis();
            match &look.seen {
                Ok(_) if opinion != Opinion::Up => {}
                Ok(Some(code)) => words.push(format!("{}: {code} in {ms} ms", look.check)),
                Ok(None) => words.push(format!("{}: good in {ms} ms", look.check)),
                Err(fault) => {
                    words.push(format!("{}: {} ({ms} ms)", look.check, fault.as_str()));
                }
            }
        }
        Note::cut(&words.join("; "))
    }
}

/// What is said of a target, given what its checks settled on and how far this node's own line can be believed.
fn shown(
    settled: Option<Opinion>,
    before: Option<Opinion>,
    view: Option<View>,
    fell: Option<Instant>,
) -> Option<Opinion> {
    match (settled, view) {
        (Some(Opinion::Down), None) => before,
        (Some(Opinion::Down), Some(view)) if !view.sound => Some(Opinion::Unknown),
        (Some(Opinion::Down), Some(view)) if fell.is_some_and(|fell| view.began < fell) => before,
        // Checks that have not settled say nothing against what was said before.
        (None, _) => before,
        (settled, _) => settled,
    }
}
