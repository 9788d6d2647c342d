//! Zones, from the agreed state and this node's blobs into the name service's door.
//!
//! A zone that cannot be put together goes on answering what it did: nothing here ever makes one empty (P4). Large zones
//! are put together apart (see [`super::apart`]), so that no other zone waits for them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use imbl::OrdMap;

use super::{
    apart::{Apart, Made, Pace},
    chain,
    last_good::{LastGood, Notes},
    signing::{self, Due},
};
use crate::{
    blobs::Blobs,
    clock,
    cluster::Cluster,
    dns::{
        Answers, Tables,
        live::{LiveError, Shelf},
        own::Answered,
        sign::{Pen, SignError},
        zone::Zone,
    },
    model::{
        self, State,
        alone::{Choices, answered_alone},
        dns::{Published, Signed, Zone as Known},
        domain::{DomainName, RrSet},
        limits,
        words::{Label, Timestamp},
    },
    seal::Keyring,
    tasks::{Outcome, Stop},
};

/// How often all zones are looked at although none changed.
const LOOK_ANEW: Duration = Duration::from_secs(3_600);
/// How often what could not be put together is tried again when nothing changed.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// Why a zone is not answered from.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAnswered {
    #[error(transparent)]
    Live(#[from] LiveError),
    #[error(transparent)]
    Signed(#[from] SignError),
    #[error("the zone {apex} cannot be answered from: {why}")]
    Zone { apex: DomainName, why: String },
}

/// Keeps what the door answers in step with what is live.
#[derive(Clone)]
pub(super) struct LiveZones {
    pub cluster: Cluster,
    pub blobs: Blobs,
    pub answers: Arc<Answers>,
    pub keyring: Arc<Keyring>,
    pub notes: Notes,
}

/// What is answered now of each zone.
pub(super) type Serving = BTreeMap<DomainName, Served>;

/// What is answered of a zone: which generation under which serial, by how many weeks its signatures are stretched, and
/// by which choices of this node alone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Served {
    pub generation: u64,
    serial: u32,
    weeks: u32,
    /// What it was signed with; nothing too where only its file told of it.
    signed: Option<Signed>,
    own: Choices,
}

impl Served {
    fn of(due: &Due) -> Self {
        Self {
            generation: due.live.generation,
            serial: due.live.serial,
            weeks: due.weeks,
            signed: due.signing.as_ref().map(|it| it.1.clone()),
            own: due.own.clone(),
        }
    }

    /// What its file tells.
    fn noted(last: &LastGood) -> Self {
        Self {
            generation: last.generation,
            serial: last.serial,
            weeks: 0,
            signed: None,
            own: last.own.clone(),
        }
    }

    /// Whether this is the zone's newest answer with these choices.
    fn is_newest(&self, live: &Published, weeks: u32, own: &Choices) -> bool {
        // A state that is read in again is older than what was answered last until it has caught up.
        self.generation > live.generation
            || (self.generation == live.generation
                && self.serial == live.serial
                && self.weeks >= weeks
                && self.own == *own)
    }
}

impl LiveZones {
    /// Answers what was answered last, before the state is there: by a choice of this node alone while that holds.
    /// Blocking.
    pub(super) fn answer_last_good(&self) -> Serving {
        let holding = self.answers.own.choices(clock::now());
        let mut serving = Serving::new();
        let mut zones = BTreeMap::new();
        for last in self.notes.read() {
            let before = serving.get(&last.zone);
            let is_superseded = before.is_some_and(|it: &Served| !it.own.is_empty());
            if is_superseded || !holds(&last.own, &holding) {
                continue;
            }
            match last.built() {
                Ok(zone) => {
                    serving.insert(last.zone.clone(), Served::noted(&last));
                    zones.insert(last.zone, zone);
                }
                Err(error) => {
                    tracing::warn!(%error, "a zone's last answers cannot be used");
                }
            }
        }
        self.answers.own.answers(alone_of(&serving));
        self.answers.replace(Tables::build(zones.into_values()));
        serving
    }

    pub(super) async fn run(self, mut serving: Serving, stop: Stop) -> Outcome {
        let mut changes = self.cluster.changes();
        // Most changes of the state are none of the zones: then their map is the very same one.
        let mut seen: Option<OrdMap<DomainName, model::dns::Zone>> = None;
        let mut chosen = self.answers.own.chosen();
        let mut own = Choices::new();
        let mut looked = clock::monotonic();
        let mut apart = Apart::default();
        loop {
            changes.borrow_and_update();
            chosen.borrow_and_update();
            let zones = self.cluster.state().dns.zones.clone();
            let before = std::mem::replace(&mut own, self.answers.own.choices(clock::now()));
            if own != before {
                seen = None;
            }
            // Time alone can make signatures due: see `Signed::stretched`.
            if looked.elapsed() > LOOK_ANEW {
                seen = None;
            }
            if !seen.as_ref().is_some_and(|it| it.ptr_eq(&zones)) {
                looked = clock::monotonic();
                let worker = self.clone();
                let before = std::mem::take(&mut serving);
                let choices = own.clone();
                let step = move || worker.step(before, &choices);
                let (now, large) = tokio::task::spawn_blocking(step).await?;
                serving = now;
                let none_waits = large.is_empty();
                for due in large {
                    self.start_apart(&mut apart, due, &serving);
                }
                let current = zones.iter().all(|(name, zone)| {
                    let live = zone.live.as_ref();
                    live.is_none_or(|it| {
                        serving
                            .get(name)
                            .is_some_and(|now| now.generation >= it.generation)
                    })
                });
                let all = current && none_waits && own.keys().all(|it| is_laid(&serving, it));
                // What could not be put together is tried again.
                seen = all.then_some(zones);
            }
            let again = tokio::time::sleep(AGAIN);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = changes.changed() => changed?,
                changed = chosen.changed() => changed?,
                Some(made) = apart.next() => self.take(made?, &mut apart, &mut serving),
                () = again => {}
            }
        }
    }

    /// Brings what is answered up to the state and these choices, and notes it. Blocking. What is large is due still, and
    /// handed back.
    fn step(&self, mut serving: Serving, choices: &Choices) -> (Serving, Vec<Due>) {
        let state = self.cluster.state();
        // With a majority the time is agreed on, and a clock of ours that is wrong makes no signatures.
        let now = if self.cluster.health().alone() {
            clock::now()
        } else {
            state.now
        };
        let zones = state.dns.zones.iter();
        let due = zones.filter_map(|(name, zone)| {
            self.due(&state, (name, zone), choices, serving.get(name), now)
        });
        let (large, due) = due.partition(Due::is_large);
        let gone: Vec<DomainName> = serving
            .iter()
            .filter(|(name, it)| {
                !state.dns.zones.contains_key(*name) && it.generation <= state.index
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.answers.take_out(&name);
            serving.remove(&name);
            self.notes.forget(&name);
            tracing::info!(zone = %name, "a zone is answered no more: a person removed it");
        }
        self.answer(due, &mut serving);
        self.leave_what_ended(choices, &mut serving);
        self.answers.own.answers(alone_of(&serving));
        (serving, large)
    }

    /// What a zone is to answer, if that is not what it answers and this node has its content.
    fn due(
        &self,
        state: &State,
        (name, zone): (&DomainName, &Known),
        choices: &Choices,
        served: Option<&Served>,
        now: Timestamp,
    ) -> Option<Due> {
        let live = zone.live.as_ref()?;
        let laid = (!choices.is_empty()).then(|| answered_alone(state, name, live, choices));
        let (answered, own) = laid.map_or((None, Choices::new()), |it| (Some(it.0), it.1));
        let weeks = signing::weeks(live, now);
        let is_newest = served.is_some_and(|it| it.is_newest(live, weeks, &own));
        if is_newest || !self.blobs.has(&live.edition.part.blob) {
            return None;
        }
        let answered = answered.unwrap_or_else(|| live.clone());
        Some(Due::of(name, zone, (answered, own), now))
    }

    /// Answers what was agreed on last where a choice of this node has ended and the state cannot say what holds now.
    fn leave_what_ended(&self, choices: &Choices, serving: &mut Serving) {
        let ended = serving.iter().filter(|(_, it)| !holds(&it.own, choices));
        let ended: Vec<DomainName> = ended.map(|(name, _)| name.clone()).collect();
        for name in ended {
            let Some(last) = self.notes.agreed(&name) else {
                tracing::error!(zone = %name, "a choice of this node alone has ended, and what was agreed on before it cannot be read; the zone answers what it did");
                continue;
            };
            match last.built() {
                Ok(zone) => {
                    self.answers.put(&zone);
                    serving.insert(name.clone(), Served::noted(&last));
                    self.notes.forget_own(&name);
                }
                Err(error) => {
                    tracing::error!(zone = %name, error = %chain(&error), "what was agreed on for a zone cannot be used; it answers what it did");
                }
            }
        }
    }

    fn answer(&self, due: Vec<Due>, serving: &mut Serving) {
        let mut shelf = Shelf::new(&self.blobs);
        let many = due.len() > limits::ZONES_SWAPPED_SINGLY;
        let mut built_zones = Vec::new();
        let mut notes = Vec::new();
        for it in due {
            match self.put_together(&mut shelf, &it) {
                Ok((zone, sets)) => {
                    self.announce(&it);
                    if !many {
                        self.answers.put(&zone);
                        tell(&it);
                    }
                    built_zones.push(zone);
                    serving.insert(it.name.clone(), Served::of(&it));
                    notes.push(LastGood::of(&it, sets));
                }
                Err(error) => {
                    tracing::error!(zone = %it.name, error = %chain(&error), "a zone cannot be put together; it answers what it did");
                }
            }
        }
        if many {
            self.answers.put_all(&built_zones);
            let count = built_zones.len();
            tracing::info!(
                zones = count,
                "zones answer their newest state on this node"
            );
        }
        // Answering comes first.
        for note in notes {
            self.notes.leave(note);
        }
    }

    /// Has a large zone put together apart, unless that has to wait.
    fn start_apart(&self, apart: &mut Apart, due: Due, serving: &Serving) {
        let pace = if due.is_signed_anew(serving.get(&due.name).and_then(|it| it.signed.as_ref())) {
            Pace::Anew
        } else {
            Pace::Changed
        };
        let worker = self.clone();
        apart.start(due.name.clone(), pace, move || {
            let mut shelf = Shelf::new(&worker.blobs);
            let (zone, sets) = worker.put_together(&mut shelf, &due)?;
            let prepared = worker.answers.prepare(&zone);
            Ok(Made {
                due,
                prepared,
                sets,
            })
        });
    }

    /// Answers what was put together apart, unless its zone is no longer there.
    fn take(
        &self,
        (name, made): (DomainName, Result<Made, NotAnswered>),
        apart: &mut Apart,
        serving: &mut Serving,
    ) {
        let Made {
            due,
            prepared,
            sets,
        } = match made {
            Ok(made) => made,
            Err(error) => {
                apart.rest(name.clone());
                tracing::error!(zone = %name, error = %chain(&error), "a zone cannot be put together; it answers what it did");
                return;
            }
        };
        let state = self.cluster.state();
        let choices = self.answers.own.choices(clock::now());
        // A zone that was removed meanwhile, and perhaps made anew, does not answer what it did before.
        let is_its_own = state.dns.zones.get(&name).is_some_and(|zone| {
            let mut known = zone.live.iter().chain(&zone.kept);
            known.any(|it| it.generation == due.live.generation)
        });
        // Nor does it answer a choice of this node that has ended meanwhile.
        if !is_its_own || !holds(&due.own, &choices) {
            return;
        }
        self.announce(&due);
        self.answers.put_prepared(&prepared);
        tell(&due);
        serving.insert(name, Served::of(&due));
        self.answers.own.answers(alone_of(serving));
        self.notes.leave(LastGood::of(&due, sets));
    }

    /// Says that a zone is about to be answered by this node's own choice: from then on nobody may have it from here.
    fn announce(&self, due: &Due) {
        if !due.own.is_empty() {
            self.answers.own.will_answer(&due.name, &due.own);
            tracing::warn!(zone = %due.name, serial = due.live.serial, own = ?due.own, "this node alone answers a zone by its own choice, under the serial that was agreed on");
        }
    }

    /// What a zone is to answer, signed if it is to be. Signatures are taken over from what it answers now.
    fn put_together(
        &self,
        shelf: &mut Shelf<'_>,
        due: &Due,
    ) -> Result<(Arc<Zone>, Vec<RrSet>), NotAnswered> {
        let sets = shelf.answered(&due.name, &due.live)?;
        let sets = match &due.signing {
            None => sets,
            Some((signing, signed)) => {
                let pen = Pen::open(&due.name, signing, signed, &self.keyring)?;
                let tables = self.answers.tables.load();
                let before: Vec<RrSet> = tables
                    .zone(&due.name)
                    .map_or_else(Vec::new, |it| it.rrsets().collect());
                pen.sign(sets, &before)?
            }
        };
        Ok((built(&due.name, sets.clone())?, sets))
    }
}

impl Due {
    /// Whether others would wait for it.
    fn is_large(&self) -> bool {
        self.live.edition.outline.sets as usize > limits::ZONE_SETS_APART
    }
}

/// Whether all of `own` are among what holds.
fn holds(own: &Choices, holding: &Choices) -> bool {
    let mut own = own.iter();
    own.all(|(service, target)| holding.get(service) == Some(target))
}

/// Whether a service's choice by this node alone is answered somewhere.
fn is_laid(serving: &Serving, service: &Label) -> bool {
    serving.values().any(|it| it.own.contains_key(service))
}

/// The zones that are answered by choices of this node.
fn alone_of(serving: &Serving) -> Answered {
    let own = serving.iter().filter(|(_, it)| !it.own.is_empty());
    own.map(|(name, it)| (name.clone(), it.own.clone()))
        .collect()
}

fn tell(due: &Due) {
    let (serial, generation) = (due.live.serial, due.live.generation);
    tracing::info!(zone = %due.name, serial, generation, "a zone answers its newest state on this node");
}

/// A zone of these sets; or what is wrong with them.
pub(super) fn built(apex: &DomainName, sets: Vec<RrSet>) -> Result<Arc<Zone>, NotAnswered> {
    match Zone::new(apex, sets) {
        Ok((zone, _)) => Ok(Arc::new(zone)),
        Err(findings) => Err(NotAnswered::Zone {
            apex: apex.clone(),
            why: findings
                .first()
                .map_or_else(String::new, ToString::to_string),
        }),
    }
}
