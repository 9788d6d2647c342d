//! One connection's work: takes the next mail, writes it, hands it over through the gate, and tells what came of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::journal::Record;
use super::letter;
use super::mission::{Mission, Shut, Told};
use super::queue::Job;
use super::texts::Flaw;
use crate::mail::out::compose::{ComposeError, Composed};
use crate::mail::out::session::{Letter, Outcome, Session};
use crate::mail::out::way::whole;
use crate::model::campaign::{Fact, Status, What};
use crate::model::limits::RECIPIENT_RETRY_MS;

/// The pause before a mail goes by another connection after this one failed.
const ELSEWHERE: Duration = Duration::from_millis(200);

/// A connection, its use so far, and its outcomes that are not agreed on yet.
struct Line {
    session: Option<Session>,
    mails: u32,
    owed: Vec<oneshot::Receiver<bool>>,
    facts: mpsc::Sender<Told>,
}

/// Works until the campaign ends here.
pub(super) async fn line(mission: Arc<Mission>, number: usize, facts: mpsc::Sender<Told>) {
    let Some(relay) = mission.sender.relays.get(number) else {
        return;
    };
    let mut line = Line {
        session: None,
        mails: 0,
        owed: Vec::new(),
        facts,
    };
    while relay.rested(&mission.end).await {
        let Some(job) = mission.queue.take(&mission.end).await else {
            break;
        };
        if !mission.holds(job.segment) {
            mission.queue.forget(job.segment, job.place);
            continue;
        }
        let only = mission.sender.relays.len() == 1;
        if job.refused_by & bit(number) != 0 && !only {
            // For another relay's connection; this one looks for something else meanwhile.
            mission.queue.again(job, ELSEWHERE);
            tokio::time::sleep(ELSEWHERE).await;
            continue;
        }
        mission.carry(number, &mut line, job).await;
    }
    if let Some(session) = line.session.take() {
        session.quit().await;
    }
    for owed in line.owed {
        // The outcome is agreed on whether anybody waits or not; waiting lets the last one be told before the end.
        let _ = owed.await;
    }
}

fn bit(relay: usize) -> u8 {
    1_u8.checked_shl(u32::try_from(relay).unwrap_or(u32::MAX))
        .unwrap_or(0)
}

impl Mission {
    async fn carry(&self, number: usize, line: &mut Line, job: Job) {
        let relay = &self.sender.relays[number];
        let mail = match self.written(&job) {
            Ok(mail) => mail,
            Err(error) => {
                warn!(campaign = %self.id, %error, "a mail that was checked cannot be written");
                self.outcome(line, &job, What::Rejected(Status::default()))
                    .await;
                return;
            }
        };
        let mut session = match line.session.take() {
            Some(session) if line.mails < relay.mails_per_connection => session,
            worn => {
                if let Some(session) = worn {
                    session.quit().await;
                }
                line.mails = 0;
                match self.sender.way.open(number).await {
                    Ok(session) => session,
                    Err(error) => {
                        warn!(
                            relay = relay.host,
                            why = whole(&error),
                            "relay not usable for mass mail"
                        );
                        relay.fails();
                        self.queue.again(job, Duration::ZERO);
                        return;
                    }
                }
            }
        };
        relay.turn(self.sender.nodes()).await;
        let signed = self.sender.way.signed(number, &mail.bytes);
        let letter = Letter {
            from: Some(&mail.from),
            to: &mail.to,
            bytes: &signed,
        };
        let (mut shut, mut noted) = (None, false);
        let gate = self.gate(&job, &mut line.owed, (&mut shut, &mut noted));
        let outcome = session.send(&letter, gate).await;
        line.mails += 1;
        let fresh = line.mails == 1;
        if session.is_usable() {
            line.session = Some(session);
        }
        let taken_back = noted && shut.is_some();
        if taken_back {
            let (segment, place) = (job.segment, job.place);
            self.journal.note(Record::TakenBack { segment, place });
        }
        match shut {
            Some(Shut::Stopped) => return self.queue.again(job, ELSEWHERE),
            Some(Shut::Settled) => return self.queue.forget(job.segment, job.place),
            Some(Shut::Suppressed) => {
                self.outcome(line, &job, What::Suppressed).await;
                return;
            }
            None => {}
        }
        self.settle(number, line, (job, fresh), outcome).await;
    }

    async fn settle(
        &self,
        number: usize,
        line: &mut Line,
        (job, fresh): (Job, bool),
        outcome: Outcome,
    ) {
        let relay = &self.sender.relays[number];
        match outcome {
            Outcome::Accepted => {
                relay.works();
                self.outcome(line, &job, What::Delivered).await;
            }
            Outcome::RefusedForGood(said) => {
                relay.works();
                let refused_by = job.refused_by | bit(number);
                let others = (0..self.sender.relays.len()).any(|it| refused_by & bit(it) == 0);
                let what = match names_nobody(&said) {
                    true => What::Refused(Status::of(&said)),
                    // The mail itself is not to this relay's taste; another may have another.
                    false if others => {
                        return self.queue.again(Job { refused_by, ..job }, Duration::ZERO);
                    }
                    false => What::Rejected(Status::of(&said)),
                };
                self.outcome(line, &job, what).await;
            }
            Outcome::TryLater(why) => {
                let code = Status::of(&why).code;
                debug!(campaign = %self.id, relay = relay.host, why, "a mail was not taken yet");
                if line.session.is_none() && code == 0 && !fresh {
                    // A relay closes what was idle for too long, or used up. Surely not delivered.
                    return self.queue.again(job, Duration::ZERO);
                }
                if line.session.is_none() {
                    relay.fails();
                    return self.queue.again(job, ELSEWHERE);
                }
                let (first, most) = RECIPIENT_RETRY_MS;
                let wait = first
                    .checked_shl(job.tries.min(16))
                    .unwrap_or(most)
                    .min(most);
                let tries = job.tries.saturating_add(1);
                self.queue
                    .again(Job { tries, ..job }, Duration::from_millis(wait));
            }
            Outcome::Unknown(why) => {
                warn!(campaign = %self.id, relay = relay.host, why, "a mail may have been taken; it is sent again under the same Message-ID");
                self.outcome(line, &job, What::Unanswered).await;
                let tries = job.tries.saturating_add(1);
                let wait = Duration::from_millis(RECIPIENT_RETRY_MS.0);
                self.queue.again(Job { tries, ..job }, wait);
            }
        }
    }

    async fn outcome(&self, line: &mut Line, job: &Job, what: What) {
        let (segment, place) = (job.segment, job.place);
        let fact = Fact {
            segment,
            place,
            what,
        };
        let owed = self.tell(&line.facts, fact).await;
        line.owed.push(owed);
    }

    /// The rule of decision 31, in its order: what could wait first, and the look at the agreed state last.
    async fn gate(
        &self,
        job: &Job,
        owed: &mut Vec<oneshot::Receiver<bool>>,
        (shut, noted): (&mut Option<Shut>, &mut bool),
    ) -> bool {
        for earlier in owed.drain(..) {
            if earlier.await != Ok(true) {
                *shut = Some(Shut::Stopped);
                return false;
            }
        }
        let (segment, place) = (job.segment, job.place);
        if self
            .journal
            .write(Record::Begin { segment, place })
            .await
            .is_err()
        {
            self.end.cancel();
            *shut = Some(Shut::Stopped);
            return false;
        }
        *noted = true;
        *shut = self.still(job).err();
        shut.is_none()
    }

    fn written(&self, job: &Job) -> Result<Composed, Unwritten> {
        let state = self.sender.cluster.state();
        let campaign = state.campaigns.all.get(&self.id).ok_or(Unwritten::Gone)?;
        let ordinal = campaign.ordinal(job.segment, job.place);
        let place = usize::try_from(ordinal).unwrap_or(usize::MAX);
        let who = self.load.recipients.get(place).ok_or(Unwritten::Gone)?;
        let mail = self.load.press.render(who).map_err(Unwritten::Flawed)?;
        let (keyring, series) = (&self.sender.keyring, &self.load.series);
        Ok(letter::write(
            &self.sender.from,
            keyring,
            series,
            (ordinal, who),
            &mail,
        )?)
    }
}

/// Why a mail that was checked cannot be written.
#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error("the campaign or the recipient is gone")]
    Gone,
    #[error("{}: found {}; wanted {}", .0.place, .0.found, .0.wanted)]
    Flawed(Flaw),
    #[error(transparent)]
    Compose(#[from] ComposeError),
}

/// Whether a refusal says that there is no such recipient: X.1.x and X.2.x (RFC 3463), or 550, 551 and 553 where the
/// server says no more. Everything else is about the mail or about us.
fn names_nobody(status: &str) -> bool {
    let mut words = status.split(' ');
    let code = words.next().unwrap_or_default();
    match words.next() {
        Some(detail) => detail.starts_with("5.1.") || detail.starts_with("5.2."),
        None => matches!(code, "550" | "551" | "553"),
    }
}
