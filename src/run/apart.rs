//! Large zones are put together here, each by work of its own, so that a switch or another zone's publication never waits
//! for one. Of one zone only one answer is under way at a time, and what is made is taken in by the one who asked: so
//! answers of a zone follow one another as they were agreed on, and each takes over the signatures of the one before.

use std::collections::BTreeMap;

use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

use super::{
    signing::Due,
    zones::{AGAIN, NotAnswered},
};
use crate::{
    clock,
    dns::Prepared,
    model::domain::{DomainName, RrSet},
};

/// How long putting a zone together takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// All of it is signed: tens of seconds for a very large one.
    Anew,
    /// What did not change is taken over: well under a second of work for each 100,000 sets.
    Changed,
}

impl Pace {
    /// How many zones may be under way at this pace. Signing anew is days before it must be and has one processor only;
    /// what merely changed, such as by a switch, never waits behind it.
    fn at_once(self) -> usize {
        match self {
            Pace::Anew => 1,
            Pace::Changed => 2,
        }
    }
}

/// A zone that was put together.
pub(super) struct Made {
    pub due: Due,
    pub prepared: Prepared,
    pub sets: Vec<RrSet>,
}

type Ended = (DomainName, Result<Made, NotAnswered>);

/// What is under way.
#[derive(Default)]
pub(super) struct Apart {
    work: JoinSet<Ended>,
    under_way: BTreeMap<DomainName, Pace>,
    /// Since when zones that could not be put together rest.
    resting: BTreeMap<DomainName, Instant>,
}

impl Apart {
    /// Starts blocking work for a zone, unless an answer of it or enough others are under way: then whoever asks does
    /// so again after the next [`next`](Self::next).
    pub(super) fn start(
        &mut self,
        zone: DomainName,
        pace: Pace,
        work: impl FnOnce() -> Result<Made, NotAnswered> + Send + 'static,
    ) {
        self.resting.retain(|_, since| since.elapsed() < AGAIN);
        let others = self.under_way.values().filter(|it| **it == pace);
        if self.under_way.contains_key(&zone)
            || self.resting.contains_key(&zone)
            || others.count() >= pace.at_once()
        {
            return;
        }
        self.under_way.insert(zone.clone(), pace);
        self.work.spawn_blocking(move || (zone, work()));
    }

    /// Waits for the next zone that is put together, or cannot be; nothing when none is under way.
    pub(super) async fn next(&mut self) -> Option<Result<Ended, JoinError>> {
        let ended = self.work.join_next().await?;
        if let Ok((zone, _)) = &ended {
            self.under_way.remove(zone);
        }
        Some(ended)
    }

    /// Leaves a zone alone for a while.
    pub(super) fn rest(&mut self, zone: DomainName) {
        self.resting.insert(zone, clock::monotonic());
    }
}
