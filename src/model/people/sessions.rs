//! Sessions: whoever is signed in, on whatever node, until it ends by time, by rest, or by somebody's decision.

use serde::{Deserialize, Serialize};

use super::super::{
    Refusal, State, limits,
    words::{KeyedHash, Label, NodeId, Note, SessionId, Timestamp},
};
use super::{BREAK_GLASS, People, PeopleChange, Roles, too_many};

/// Somebody is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Keyed hash of the secret that the browser has.
    pub hash: KeyedHash,
    /// Who.
    pub holder: Holder,
    /// The node where they signed in.
    pub node: NodeId,
    /// The network they came from.
    pub network: Note,
    /// When they signed in.
    pub made: Timestamp,
    /// When it was last known to be in use.
    pub seen: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// When they last showed a fresh code.
    pub confirmed: Timestamp,
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// A person with an account.
    Account(Label),
    /// Whoever opened an envelope.
    Envelope {
        /// Its serial.
        serial: u64,
        /// The place of the code, from 0.
        place: u32,
    },
}

impl Holder {
    /// The name they act under.
    pub fn name(&self) -> Label {
        match self {
            Self::Account(name) => name.clone(),
            Self::Envelope { serial, place } => {
                let name = format!("{BREAK_GLASS}{serial}.{}", place + 1);
                Label::new(&name).expect("a word and two numbers are a name of below 63 letters")
            }
        }
    }
}

impl Session {
    /// Whether it is still good at `now`, when it was last used at `seen` or later.
    pub fn is_good(&self, now: Timestamp, seen: Timestamp) -> bool {
        self.until > now && now.ms_since(self.seen.max(seen)) < limits::SESSION_IDLE_MS
    }

    /// Whether a code was shown so lately that dangerous things may be done.
    pub fn is_confirmed(&self, now: Timestamp) -> bool {
        now.ms_since(self.confirmed) < limits::CONFIRMED_MS
    }
}

pub(super) fn change(
    state: &mut State,
    origin: NodeId,
    change: &PeopleChange,
) -> Result<(), Refusal> {
    let now = state.now;
    let people = &mut state.people;
    match change {
        PeopleChange::SignIn {
            name,
            generation,
            step,
            session,
            hash,
            network,
        } => {
            people.take_step(name, Some(*generation), *step)?;
            let holder = Holder::Account(name.clone());
            people.begin(*session, (*hash, holder), (origin, network), now)?;
            people.knocks.came_in(name, network);
            if let Some(account) = people.accounts.get_mut(name) {
                account.signed_in = Some(now);
                account.networks.retain(|it| it != network);
                account.networks.push_back(network.clone());
                while account.networks.len() > limits::NETWORKS_KEPT {
                    account.networks.pop_front();
                }
            }
            Ok(())
        }
        PeopleChange::Knock { name, network } => {
            let known = name.as_ref().filter(|it| people.accounts.contains_key(*it));
            people.knocks.note(known, network, now);
            Ok(())
        }
        PeopleChange::Confirm { session, step } => {
            let it = people.sessions.get(session);
            let holder = it
                .map(|it| it.holder.clone())
                .ok_or_else(|| Refusal::unknown("session"))?;
            let Holder::Account(name) = holder else {
                return Err(Refusal::unknown("account of this session"));
            };
            people.take_step(&name, None, *step)?;
            if let Some(session) = people.sessions.get_mut(session) {
                (session.confirmed, session.seen) = (now, now);
            }
            Ok(())
        }
        PeopleChange::Seen { session } => {
            let session = people.sessions.get_mut(session);
            session.ok_or_else(|| Refusal::unknown("session"))?.seen = now;
            Ok(())
        }
        PeopleChange::EndSession { session } => {
            if !people.end(session) {
                return Err(Refusal::unknown("session"));
            }
            Ok(())
        }
        PeopleChange::EndSessions { name } => {
            people.end_sessions(name.as_ref());
            Ok(())
        }
        PeopleChange::ReportSignIn { name, step, .. } => {
            // The account may be gone or the step taken meanwhile; that it happened is on the record all the same.
            if let Some(account) = people.accounts.get_mut(name) {
                account.totp_used = account.totp_used.max(*step);
            }
            Ok(())
        }
        _ => Err(Refusal::Internal),
    }
}

impl People {
    /// Begins a session; who has too many loses the oldest.
    pub(super) fn begin(
        &mut self,
        id: SessionId,
        (hash, holder): (KeyedHash, Holder),
        (node, network): (NodeId, &Note),
        now: Timestamp,
    ) -> Result<(), Refusal> {
        while let Some((until, id)) = self.sessions_ending.get_min().copied() {
            if until > now {
                break;
            }
            self.end(&id);
        }
        if self.sessions.contains_key(&id) {
            return Err(Refusal::unsound("session", id.to_string(), "a new one"));
        }
        let mut theirs: Vec<(Timestamp, SessionId)> = self
            .sessions
            .iter()
            .filter(|(_, it)| it.holder == holder)
            .map(|(id, it)| (it.made, *id))
            .collect();
        theirs.sort_unstable();
        let over = (theirs.len() + 1).saturating_sub(limits::SESSIONS_EACH);
        for (_, oldest) in theirs.into_iter().take(over) {
            self.end(&oldest);
        }
        if self.sessions.len() >= limits::SESSIONS_MAX {
            return Err(too_many("sessions", limits::SESSIONS_MAX));
        }
        let until = now.plus_ms(limits::SESSION_MS_MAX);
        let session = Session {
            hash,
            holder,
            node,
            network: network.clone(),
            made: now,
            seen: now,
            until,
            confirmed: now,
        };
        self.sessions.insert(id, session);
        self.sessions_ending.insert((until, id));
        Ok(())
    }

    /// Takes the code of a step: each is good once, and none before one that was taken.
    fn take_step(
        &mut self,
        name: &Label,
        generation: Option<u64>,
        step: u64,
    ) -> Result<(), Refusal> {
        let account = self.accounts.get_mut(name);
        let account = account.ok_or_else(|| Refusal::unknown("person"))?;
        if let Some(against) = generation.filter(|it| *it != account.generation) {
            return Err(Refusal::Stale {
                what: format!("the account {name}"),
                against,
                found: account.generation,
            });
        }
        if step <= account.totp_used {
            let wanted = "the next one: each is good once";
            return Err(Refusal::unsound("code", "a code that was used", wanted));
        }
        account.totp_used = step;
        Ok(())
    }

    fn end(&mut self, id: &SessionId) -> bool {
        let Some(session) = self.sessions.remove(id) else {
            return false;
        };
        self.sessions_ending.remove(&(session.until, *id));
        true
    }

    /// Ends the sessions of an account, or all.
    pub(in crate::model) fn end_sessions(&mut self, name: Option<&Label>) {
        self.end_where(|holder| match (name, holder) {
            (None, _) => true,
            (Some(name), Holder::Account(it)) => it == name,
            (Some(_), Holder::Envelope { .. }) => false,
        });
    }

    /// Ends the sessions of some holders.
    pub(super) fn end_where(&mut self, whose: impl Fn(&Holder) -> bool) {
        let ended: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, it)| whose(&it.holder))
            .map(|(id, _)| *id)
            .collect();
        for id in &ended {
            self.end(id);
        }
    }

    /// What the holder of a session may do now; nothing where the account or the envelope is gone.
    pub fn roles_of_holder(&self, holder: &Holder, now: Timestamp) -> Option<Roles> {
        self.roles_of(&holder.name(), now)
    }
}
