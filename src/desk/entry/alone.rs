//! Sign-ins on a node that has no majority: good on this node only, from what the last agreed state knows, written
//! down before they are granted, and reported to the cluster as soon as it can be reached.
//!
//! If the file cannot be written they are granted all the same and the log says so: on such a day getting in is worth
//! more than a report. What is used here is not used twice here, for as long as the process or the file lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use crate::clock;
use crate::cluster::Cluster;
use crate::durable;
use crate::model::people::{BREAK_GLASS, Knocks, PeopleChange, Session};
use crate::model::words::{ClientId, KeyedHash, Label, Note, SessionId, Timestamp};
use crate::model::{Actor, Command, Proposal, Source, command::FORMAT, conversation::Door, limits};
use crate::tasks::{Outcome, Stop};

/// How often a report is tried.
const LOOK: Duration = Duration::from_secs(1);
/// How long one try may take.
const WITHIN: Duration = Duration::from_secs(5);

/// What happened while this node was alone, to be reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::desk) struct Report {
    id: ClientId,
    who: Label,
    address: Note,
    change: PeopleChange,
}

impl Report {
    pub(in crate::desk) fn new(who: Label, address: Note, change: PeopleChange) -> Self {
        Self {
            id: ClientId(clock::random_bytes()),
            who,
            address,
            change,
        }
    }
}

#[derive(Default)]
struct Inner {
    sessions: BTreeMap<SessionId, Session>,
    seen: BTreeMap<SessionId, Timestamp>,
    told: BTreeMap<SessionId, Timestamp>,
    steps: BTreeMap<Label, u64>,
    codes: BTreeSet<KeyedHash>,
    knocks: Knocks,
    reports: Vec<Report>,
}

/// What only this node knows of sign-ins.
pub(in crate::desk) struct Alone {
    file: PathBuf,
    inner: Mutex<Inner>,
}

impl Alone {
    /// Reads what is still to be reported.
    pub(in crate::desk) fn open(file: PathBuf) -> Self {
        let mut inner = Inner::default();
        match durable::read_at_most(&file, limits::ALONE_SIGN_INS_BYTES_MAX) {
            Ok(bytes) => match serde_json::from_slice::<Vec<Report>>(&bytes) {
                Ok(reports) => inner.take_over(reports),
                Err(error) => {
                    error!(file = %file.display(), %error, "the list of sign-ins while alone cannot be read; they are not reported");
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                error!(file = %file.display(), %error, "the list of sign-ins while alone cannot be read; they are not reported");
            }
        }
        Self {
            file,
            inner: Mutex::new(inner),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the wrong guesses counted here.
    pub(in crate::desk) fn knocks<T>(&self, with: impl FnOnce(&mut Knocks) -> T) -> T {
        with(&mut self.inner().knocks)
    }

    /// The last step taken here of an account.
    pub(in crate::desk) fn step(&self, name: &Label) -> u64 {
        self.inner().steps.get(name).copied().unwrap_or_default()
    }

    /// Whether a code was used here.
    pub(in crate::desk) fn is_used(&self, code: &KeyedHash) -> bool {
        self.inner().codes.contains(code)
    }

    /// Takes what a report says as used; `false` when it was already.
    fn reserve(&self, report: &Report) -> bool {
        let mut inner = self.inner();
        if inner.reports.len() >= limits::ALONE_SIGN_INS_MAX {
            return false;
        }
        match &report.change {
            PeopleChange::ReportSignIn { name, step, .. } => {
                let last = inner.steps.entry(name.clone()).or_default();
                let is_new = *step > *last;
                *last = (*last).max(*step);
                if !is_new {
                    return false;
                }
            }
            PeopleChange::ReportCode { code, .. } => {
                if !inner.codes.insert(*code) {
                    return false;
                }
            }
            _ => return false,
        }
        inner.reports.push(report.clone());
        true
    }

    /// Grants a session on this node only, once it is written down; `false` when what it was granted for was used.
    pub(in crate::desk) async fn grant(
        &self,
        report: Report,
        id: SessionId,
        session: Session,
    ) -> bool {
        if !self.reserve(&report) {
            return false;
        }
        self.save().await;
        let mut inner = self.inner();
        let now = session.made;
        inner.sessions.retain(|_, it| it.until > now);
        if inner.sessions.len() >= limits::ALONE_SIGN_INS_MAX {
            let oldest = inner.sessions.iter().min_by_key(|(_, it)| it.made);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                inner.sessions.remove(&id);
            }
        }
        inner.sessions.insert(id, session);
        true
    }

    /// A session of this node only.
    pub(in crate::desk) fn session(&self, id: &SessionId) -> Option<Session> {
        self.inner().sessions.get(id).cloned()
    }

    /// Sessions of this node only.
    pub(in crate::desk) fn sessions(&self) -> Vec<(SessionId, Session)> {
        let inner = self.inner();
        let all = inner.sessions.iter();
        all.map(|(id, it)| (*id, it.clone())).collect()
    }

    /// Ends a session of this node only.
    pub(in crate::desk) fn end(&self, id: &SessionId) -> bool {
        self.inner().sessions.remove(id).is_some()
    }

    /// Ends those of an account, or all.
    pub(in crate::desk) fn end_all(&self, name: Option<&Label>) {
        let whose = |it: &Session| name.is_none_or(|name| it.holder.name() == *name);
        self.inner().sessions.retain(|_, it| !whose(it));
    }

    /// Notes that a session showed a fresh code here.
    pub(in crate::desk) fn confirm(
        &self,
        id: &SessionId,
        name: &Label,
        step: u64,
        now: Timestamp,
    ) -> bool {
        let mut inner = self.inner();
        let last = inner.steps.entry(name.clone()).or_default();
        if step <= *last {
            return false;
        }
        *last = step;
        if let Some(session) = inner.sessions.get_mut(id) {
            session.confirmed = now;
        }
        true
    }

    /// When a session was last used on this node, and notes that it is now. The second is true when the cluster is to
    /// be told again.
    pub(in crate::desk) fn seen(&self, id: SessionId, now: Timestamp) -> (Timestamp, bool) {
        let mut inner = self.inner();
        let before = inner.seen.insert(id, now).unwrap_or_default();
        let told = inner.told.get(&id).copied().unwrap_or_default();
        let tell = now.ms_since(told) >= limits::SESSION_SEEN_MS;
        if tell {
            inner.told.insert(id, now);
        }
        let old = |at: &Timestamp| now.ms_since(*at) < limits::SESSION_MS_MAX;
        if inner.seen.len() > 2 * limits::SESSIONS_MAX {
            inner.seen.retain(|_, at| old(at));
            inner.told.retain(|_, at| old(at));
        }
        (before, tell)
    }

    /// How many sign-ins are still to be reported, and how many of them by a break-glass code.
    pub(in crate::desk) fn unreported(&self) -> (usize, usize) {
        let inner = self.inner();
        let glass = |it: &&Report| it.who.as_str().starts_with(BREAK_GLASS);
        (
            inner.reports.len(),
            inner.reports.iter().filter(glass).count(),
        )
    }

    async fn save(&self) {
        let (file, bytes) = {
            let inner = self.inner();
            (self.file.clone(), serde_json::to_vec(&inner.reports))
        };
        let Ok(bytes) = bytes else {
            return error!("the sign-ins while alone cannot be put into a file");
        };
        let written =
            tokio::task::spawn_blocking(move || durable::write_secret_durably(&file, &bytes));
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!(%error, "sign-ins while alone cannot be written down"),
            Err(error) => error!(%error, "writing down sign-ins while alone ended early"),
        }
    }

    /// Reports until it is stopped.
    ///
    /// # Errors
    /// Never; the result is what a task returns.
    pub(in crate::desk) async fn report(&self, cluster: Cluster, stop: Stop) -> Outcome {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(LOOK) => {}
            }
            if cluster.health().alone() {
                continue;
            }
            let first = self.inner().reports.first().cloned();
            if let Some(report) = first
                && self.say(&cluster, &report).await
            {
                self.inner().reports.retain(|it| it.id != report.id);
                self.save().await;
            }
        }
    }

    async fn say(&self, cluster: &Cluster, report: &Report) -> bool {
        let proposal = Proposal {
            format: FORMAT,
            id: report.id,
            actor: Actor::Operator {
                name: report.who.clone(),
            },
            source: Source {
                door: Door::Console,
                address: Some(report.address.clone()),
            },
            origin: cluster.id(),
            stamp: None,
            command: Command::People(report.change.clone()),
        };
        match cluster.propose(proposal, WITHIN).await {
            Ok(committed) => {
                if let crate::model::Reply::Refused(refusal) = &committed.reply {
                    warn!(who = %report.who, %refusal, "a sign-in while alone was reported and refused");
                } else {
                    info!(who = %report.who, "a sign-in while alone was reported");
                }
                true
            }
            Err(_) => false,
        }
    }
}

impl Inner {
    fn take_over(&mut self, reports: Vec<Report>) {
        for report in &reports {
            match &report.change {
                PeopleChange::ReportSignIn { name, step, .. } => {
                    let last = self.steps.entry(name.clone()).or_default();
                    *last = (*last).max(*step);
                }
                PeopleChange::ReportCode { code, .. } => {
                    self.codes.insert(*code);
                }
                _ => {}
            }
        }
        self.reports = reports;
    }
}
