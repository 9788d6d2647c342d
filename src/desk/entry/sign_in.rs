//! One sign-in from what was typed to a session: slowed, checked, agreed on, or granted here alone.

use std::net::IpAddr;
use std::time::Duration;

use tracing::{info, warn};

use super::{
    alone::Report,
    codes::{self, Found},
    credentials_context,
    glass::Secret,
    network_of,
    who::Ticket,
};
use crate::clock;
use crate::cluster::health::Quorum;
use crate::desk::Desk;
use crate::model::people::{Account, Holder, Pace, PeopleChange, Session};
use crate::model::words::{ClientId, Label, Note};
use crate::model::{
    Actor, Command, Proposal, Refusal, Reply, Source, command::FORMAT, conversation::Door, limits,
};
use crate::seal::printed::Misread;

/// How long a majority may take before a sign-in is granted on this node alone.
const AGREED_WITHIN: Duration = Duration::from_millis(2_500);
/// How long a majority may be out of reach before nobody waits for it any more: a new leader is elected in less.
const ELECTED_WITHIN: Duration = Duration::from_secs(5);
/// How long telling the others of a wrong guess may take.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// Somebody came in.
pub(in crate::desk) struct Entered {
    /// What the browser keeps.
    pub(in crate::desk) ticket: Ticket,
    /// On this node only.
    pub(in crate::desk) alone: bool,
}

/// Why somebody did not come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::desk) enum NotIn {
    /// Name, password or code is wrong; it is not said which.
    Wrong,
    /// The code was used; the next one comes within half a minute.
    CodeUsed,
    /// Too fast: so many milliseconds must pass.
    Wait(u64),
    /// Too many sign in at a time.
    Busy,
    /// A break-glass code with a typing error.
    Misread,
    /// A break-glass code that opens nothing any more.
    Spent,
    /// It needs a majority, which cannot be reached or asked now.
    NoMajority,
    /// The cluster says no for another reason.
    Refused(Refusal),
}

/// What was typed.
pub(in crate::desk) struct Typed {
    pub(in crate::desk) name: String,
    pub(in crate::desk) password: String,
    pub(in crate::desk) code: String,
}

impl Desk {
    /// Signs somebody in with a password and a code.
    pub(in crate::desk) async fn sign_in(
        &self,
        typed: Typed,
        address: IpAddr,
    ) -> Result<Entered, NotIn> {
        let network = network_of(address);
        // What is no name is nobody's; it is looked at for as long as any other.
        let name = Label::new(typed.name.trim()).or_else(|_| Label::new("nobody"));
        let name = name.map_err(|_| NotIn::Wrong)?;
        let state = self.cluster.state();
        let account = state.people.accounts.get(&name).cloned();
        let _place = self.paced(&name, account.as_ref(), &network).await?;
        let password = typed.password;
        let fits_length = password.len() <= limits::PASSWORD_BYTES_MAX;
        let phc = account.as_ref().and_then(|it| {
            let bytes = self
                .keyring
                .open(&credentials_context(&name), &it.password)?;
            String::from_utf8(bytes).ok()
        });
        let fits = self.entry.passwords.verify(phc, password).await && fits_length;
        let (Some(account), true) = (account, fits) else {
            return Err(self.wrong(Some(&name), &network));
        };
        let step = match self.step(&name, &account, &typed.code) {
            Found::Step(step) => step,
            // Only somebody who has the password hears of it.
            Found::Used => return Err(NotIn::CodeUsed),
            Found::None => return Err(self.wrong(Some(&name), &network)),
        };
        let ticket = Ticket::new(&self.keyring);
        let change = PeopleChange::SignIn {
            name: name.clone(),
            generation: account.generation,
            step,
            session: ticket.id,
            hash: ticket.hash,
            network: network.clone(),
        };
        let report = PeopleChange::ReportSignIn {
            name: name.clone(),
            step,
            at: clock::now(),
        };
        let entered = self
            .begin(
                Holder::Account(name.clone()),
                ticket,
                change,
                report,
                address,
            )
            .await?;
        self.entry.alone.knocks(|it| it.take_back(&name, &network));
        info!(who = %name, alone = entered.alone, "signed in");
        Ok(entered)
    }

    /// Lets somebody in with a code out of an envelope.
    pub(in crate::desk) async fn break_glass(
        &self,
        typed: &str,
        address: IpAddr,
    ) -> Result<Entered, NotIn> {
        let network = network_of(address);
        let secret = Secret::read(typed).map_err(|misread| match misread {
            Misread::Length(_) | Misread::Check => NotIn::Misread,
        })?;
        let nobody = Label::new("break-glass").map_err(|_| NotIn::Wrong)?;
        let _place = self.paced(&nobody, None, &network).await?;
        let code = self.keyring.mac("break-glass code", &secret.0);
        let state = self.cluster.state();
        let Some((serial, place)) = state.people.codes.get(&code).copied() else {
            return Err(self.wrong(None, &network));
        };
        let now = clock::now().max(state.now);
        let is_good = state
            .people
            .envelopes
            .get(&serial)
            .is_some_and(|it| it.is_good(now));
        let used = state.people.used(serial, place).is_some() || self.entry.alone.is_used(&code);
        if !is_good || used {
            return Err(NotIn::Spent);
        }
        let ticket = Ticket::new(&self.keyring);
        let change = PeopleChange::UseCode {
            code,
            session: ticket.id,
            hash: ticket.hash,
            network: network.clone(),
        };
        let report = PeopleChange::ReportCode {
            code,
            at: clock::now(),
        };
        let holder = Holder::Envelope { serial, place };
        let entered = self
            .begin(holder, ticket, change, report, address)
            .await
            .map_err(|why| match why {
                NotIn::CodeUsed => NotIn::Spent,
                other => other,
            })?;
        self.entry
            .alone
            .knocks(|it| it.take_back(&nobody, &network));
        warn!(
            serial,
            code = place + 1,
            alone = entered.alone,
            "a break-glass code was used"
        );
        Ok(entered)
    }

    /// Takes a fresh code of somebody who is signed in.
    pub(in crate::desk) async fn confirm(
        &self,
        signed_in: &super::SignedIn,
        code: &str,
        address: IpAddr,
    ) -> Result<(), NotIn> {
        let network = network_of(address);
        let name = signed_in.name.clone();
        let state = self.cluster.state();
        let account = state.people.accounts.get(&name).cloned();
        let _place = self.paced(&name, account.as_ref(), &network).await?;
        let account = account.ok_or(NotIn::Wrong)?;
        let step = match self.step(&name, &account, code) {
            Found::Step(step) => step,
            Found::Used => return Err(NotIn::CodeUsed),
            Found::None => return Err(self.wrong(Some(&name), &network)),
        };
        self.entry.alone.knocks(|it| it.take_back(&name, &network));
        if signed_in.here_only {
            let now = clock::now();
            let taken = self.entry.alone.confirm(&signed_in.id, &name, step, now);
            return if taken { Ok(()) } else { Err(NotIn::CodeUsed) };
        }
        let session = signed_in.id;
        let change = PeopleChange::Confirm { session, step };
        let committed = self
            .cluster
            .propose(self.as_person(&name, address, change), AGREED_WITHIN)
            .await;
        match committed {
            Ok(it) => {
                refused(&it.reply)?;
                self.applied(it.index).await;
                Ok(())
            }
            Err(_) => Err(NotIn::NoMajority),
        }
    }

    fn step(&self, name: &Label, account: &Account, code: &str) -> Found {
        let secret = self.keyring.open(&credentials_context(name), &account.totp);
        let used = account.totp_used.max(self.entry.alone.step(name));
        let secret = secret.unwrap_or_default();
        codes::step_of(&secret, code, clock::now(), used)
    }

    /// Holds a guess to its pace, and counts it as wrong until it proves right: so many at once are no way around.
    async fn paced(
        &self,
        name: &Label,
        account: Option<&Account>,
        network: &Note,
    ) -> Result<tokio::sync::SemaphorePermit<'_>, NotIn> {
        let state = self.cluster.state();
        let agreed = state
            .people
            .knocks
            .pace(name, account, network, clock::now().max(state.now));
        let here: Result<Pace, u64> = self.entry.alone.knocks(|knocks| {
            let now = clock::now();
            let pace = knocks.pace(name, account, network, now).and(agreed);
            if pace.wait_ms > 0 {
                return Err(pace.wait_ms);
            }
            knocks.note(Some(name), network, now);
            Ok(pace)
        });
        let pace = here.map_err(NotIn::Wait)?;
        let place = self.entry.passwords.queue(pace.hold_ms).await;
        place.map_err(|_| NotIn::Busy)
    }

    /// Tells the other nodes of a wrong guess, so that the next one takes longer there too.
    fn wrong(&self, name: Option<&Label>, network: &Note) -> NotIn {
        let state = self.cluster.state();
        let name = name.filter(|it| state.people.accounts.contains_key(*it));
        let change = PeopleChange::Knock {
            name: name.cloned(),
            network: network.clone(),
        };
        let id = ClientId(clock::random_bytes());
        let proposal = Proposal::of_node(id, self.cluster.id(), Command::People(change));
        let cluster = self.cluster.clone();
        // For this one request; if it does not get through, this node has counted it all the same.
        tokio::spawn(async move { drop(cluster.propose(proposal, TOLD_WITHIN).await) });
        NotIn::Wrong
    }

    fn as_person(&self, name: &Label, address: IpAddr, change: PeopleChange) -> Proposal {
        Proposal {
            format: FORMAT,
            id: ClientId(clock::random_bytes()),
            actor: Actor::Operator { name: name.clone() },
            source: Source {
                door: Door::Console,
                address: Some(Note::cut(&address.to_string())),
            },
            origin: self.cluster.id(),
            stamp: None,
            command: Command::People(change),
        }
    }

    /// Whether a majority can be asked. Waits out an election: what is granted here alone is known nowhere else, and the next
    /// server would ask for everything again.
    async fn reaches_majority(&self) -> bool {
        let mut health = self.cluster.health_changes();
        let lost_for = match health.borrow().quorum {
            Quorum::Held => Duration::ZERO,
            Quorum::LostSince(at) => Duration::from_millis(clock::now().ms_since(at)),
        };
        let left = ELECTED_WITHIN.saturating_sub(lost_for);
        let comes = health.wait_for(|it| !it.alone() || it.halted.is_some());
        match tokio::time::timeout(left, comes).await {
            Ok(Ok(health)) => !health.alone(),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Has the cluster agree on a session, or grants it here when there is no majority.
    async fn begin(
        &self,
        holder: Holder,
        ticket: Ticket,
        change: PeopleChange,
        report: PeopleChange,
        address: IpAddr,
    ) -> Result<Entered, NotIn> {
        let name = holder.name();
        if self.reaches_majority().await {
            let proposal = self.as_person(&name, address, change);
            if let Ok(committed) = self.cluster.propose(proposal, AGREED_WITHIN).await {
                refused(&committed.reply)?;
                self.applied(committed.index).await;
                let alone = false;
                return Ok(Entered { ticket, alone });
            }
        }
        let now = clock::now();
        let session = Session {
            hash: ticket.hash,
            holder,
            node: self.cluster.id(),
            network: network_of(address),
            made: now,
            seen: now,
            until: now.plus_ms(limits::SESSION_MS_MAX),
            confirmed: now,
        };
        let address = Note::cut(&address.to_string());
        let report = Report::new(name, address, report);
        if !self.entry.alone.grant(report, ticket.id, session).await {
            return Err(NotIn::CodeUsed);
        }
        let alone = true;
        Ok(Entered { ticket, alone })
    }
}

fn refused(reply: &Reply) -> Result<(), NotIn> {
    match reply {
        Reply::Refused(Refusal::Unsound { field, .. }) if field == "code" => Err(NotIn::CodeUsed),
        Reply::Refused(Refusal::Stale { .. } | Refusal::Unknown { .. }) => Err(NotIn::Wrong),
        Reply::Refused(refusal) => Err(NotIn::Refused(refusal.clone())),
        _ => Ok(()),
    }
}
