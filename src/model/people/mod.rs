//! People: who may do what, what they are signed in with, envelopes for the worst day, and who leads the shift.
//!
//! Passwords are hashed and six-digit codes computed outside; what is kept here is sealed or a keyed hash. Signing in
//! is slowed by what the state counted and never locked: a lock would be a way to keep people out.

mod accounts;
mod check;
mod deed;
mod envelopes;
mod knocks;
mod sessions;

use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Refusal, Reply, State,
    campaign::CampaignId,
    limits,
    outbox::{self, ItemKind},
    proposal::Entry,
    waking::{self, Why},
    words::{KeyedHash, Label, Lang, NodeId, Note, Sealed, SessionId, Timestamp},
};

pub use deed::PeopleChange;
pub use envelopes::{Code, Envelope, Use};
pub use knocks::{Knocks, Pace};
pub use sessions::{Holder, Session};

/// What begins the names of those who came by a break-glass code; no account is called so.
pub const BREAK_GLASS: &str = "breakglass-";

/// Everybody who may do something here, and what they are signed in with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct People {
    /// Local accounts, which need nothing outside.
    pub accounts: OrdMap<Label, Account>,
    /// Whoever is signed in, on whatever node.
    pub sessions: OrdMap<SessionId, Session>,
    /// When each of those ends at the latest.
    pub sessions_ending: OrdSet<(Timestamp, SessionId)>,
    /// Machines that may ask.
    pub tokens: OrdMap<Label, ApiToken>,
    /// Which token a secret belongs to.
    pub token_hashes: OrdMap<KeyedHash, Label>,
    /// Sealed envelopes, by serial.
    pub envelopes: OrdMap<u64, Envelope>,
    /// Which envelope a code is in, and at which place.
    pub codes: OrdMap<KeyedHash, (u64, u32)>,
    /// Wrong guesses.
    pub knocks: Knocks,
    /// Who leads the shift.
    pub leading: Option<Leading>,
    /// What everybody must hear of, oldest first.
    pub alarms: Vector<Alarm>,
    /// Where each node's console is.
    pub consoles: OrdMap<NodeId, Console>,
}

/// What somebody may do. Each is asked for by name where something is done; [`Roles::may`] says what includes what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Reads what customers wrote, and answers.
    Agent,
    /// Speaks for the company: incidents and what is published.
    Leader,
    /// Nodes, names, and the website.
    Ops,
    /// People.
    Admin,
    /// A machine that tells of alerts, and may do nothing else.
    Monitor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Viewer,
        Self::Agent,
        Self::Leader,
        Self::Ops,
        Self::Admin,
        Self::Monitor,
    ];

    /// As written and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Leader => "shift-leader",
            Self::Ops => "ops",
            Self::Admin => "admin",
            Self::Monitor => "monitor",
        }
    }

    /// The role of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Itself and what it includes.
    fn includes(self) -> u8 {
        let viewer = Self::Viewer.bit();
        match self {
            Self::Viewer => viewer,
            Self::Agent => viewer | self.bit(),
            Self::Leader => viewer | Self::Agent.bit() | self.bit(),
            Self::Ops => viewer | self.bit(),
            Self::Admin => u8::MAX,
            Self::Monitor => self.bit(),
        }
    }
}

/// The roles of one person or machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles(u8);

impl Roles {
    /// These roles.
    pub fn of(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |sum, it| sum | it.bit()))
    }

    /// Whether somebody with these roles may do what `role` may.
    pub fn may(self, role: Role) -> bool {
        let all = self.each().fold(0, |sum, it| sum | it.includes());
        all & role.bit() != 0
    }

    /// The roles as they were given.
    pub fn each(self) -> impl Iterator<Item = Role> {
        Role::ALL
            .into_iter()
            .filter(move |it| self.0 & it.bit() != 0)
    }

    /// Their names, with commas.
    pub fn spoken(self) -> String {
        let names: Vec<&str> = self.each().map(Role::name).collect();
        names.join(", ")
    }

    fn is_sound(self) -> bool {
        self.each().next().is_some()
    }
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What they may do.
    pub roles: Roles,
    /// What they are called.
    pub shown: Note,
    /// What they speak, best first.
    pub langs: Vec<Lang>,
    /// How to reach them, first things first.
    pub ways: Vec<Way>,
    /// The hash of the password (argon2id, PHC string), sealed.
    pub password: Sealed,
    /// The secret of the six-digit codes (RFC 6238), sealed.
    pub totp: Sealed,
    /// The last step whose code was taken: none up to it is taken again.
    pub totp_used: u64,
    /// When it was made.
    pub made: Timestamp,
    /// Log index of the last change of how they sign in. A sign-in was checked against one of these.
    pub generation: u64,
    /// Where they signed in from of late, newest last.
    pub networks: Vector<Note>,
    /// When they last signed in.
    pub signed_in: Option<Timestamp>,
}

/// A way to reach somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// What kind.
    pub kind: WayKind,
    /// The address or number, sealed.
    pub address: Sealed,
    /// When it was last seen to work.
    pub proven: Option<Timestamp>,
}

/// Kinds of ways to reach somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WayKind {
    /// Mail, to a mailbox outside the company. Alarms go there by themselves.
    Mail,
    /// A telephone, for people to call.
    Phone,
    /// A short message to a telephone, through a gateway.
    Sms,
    /// A call that a machine makes, through a gateway.
    Voice,
    /// A message to a program on a telephone, such as ntfy, through a gateway.
    Push,
    /// A Matrix room with the person in it.
    Matrix,
}

impl WayKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Mail,
        Self::Phone,
        Self::Sms,
        Self::Voice,
        Self::Push,
        Self::Matrix,
    ];

    /// As written and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Phone => "phone",
            Self::Sms => "sms",
            Self::Voice => "voice",
            Self::Push => "push",
            Self::Matrix => "matrix",
        }
    }

    /// The kind of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// A machine that may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Keyed hash of its secret.
    pub hash: KeyedHash,
    /// What it may do.
    pub roles: Roles,
    /// When it was made, and by whom.
    pub made: Timestamp,
    /// By whom.
    pub by: String,
    /// Until when.
    pub expires: Timestamp,
}

/// Who leads the shift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leading {
    /// The person.
    pub who: Label,
    /// Since when.
    pub since: Timestamp,
    /// Who led before.
    pub before: Option<Label>,
    /// What was said at the hand-over.
    pub note: Note,
}

/// Where a node's console is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// Addresses with ports at which it answers.
    pub addresses: Vec<Note>,
    /// SHA-256 of the certificate that it shows under an IP address, as browsers show it.
    pub fingerprint: KeyedHash,
}

/// Something that everybody must hear of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Log index of the entry that raised it: its name.
    pub index: u64,
    /// When it happened; by the node's own clock where that was alone.
    pub at: Timestamp,
    /// What happened.
    pub what: AlarmKind,
    /// Who said that they know, and when.
    pub known: Option<(String, Timestamp)>,
}

/// What everybody must hear of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmKind {
    /// A break-glass code was used.
    CodeUsed {
        /// The envelope.
        serial: u64,
        /// The code's place in it, from 0.
        place: u32,
        /// On which node.
        node: NodeId,
        /// That node had no majority then.
        alone: bool,
        /// The code had been used before, elsewhere: somebody must look at once.
        again: bool,
    },
    /// One person sends a mass mail; everybody can stop it while the countdown runs.
    MailCountsDown {
        /// The campaign.
        campaign: CampaignId,
        /// How many get it.
        recipients: u32,
        /// Who sends it.
        by: String,
        /// Why.
        why: Note,
        /// When it begins.
        from: Timestamp,
    },
}

/// Tells everybody that a mass mail begins soon, so that anybody can stop it.
pub(super) fn campaign_counts_down(state: &mut State, index: u64, id: CampaignId) {
    let Some(campaign) = state.campaigns.all.get(&id) else {
        return;
    };
    let (Some(approval), Some(frozen)) = (&campaign.approval, &campaign.frozen) else {
        return;
    };
    let what = AlarmKind::MailCountsDown {
        campaign: id,
        recipients: frozen.recipients,
        by: approval.by.clone(),
        why: approval.alone.clone().unwrap_or_default(),
        from: approval.from,
    };
    let at = state.now;
    raise(state, index, at, what);
}

/// Makes a change.
pub(super) fn change(
    state: &mut State,
    entry: &Entry<'_>,
    change: &PeopleChange,
) -> Result<Reply, Refusal> {
    let (index, origin) = (entry.index, entry.stamped.proposal.origin);
    match change {
        PeopleChange::Add { .. }
        | PeopleChange::SetRoles { .. }
        | PeopleChange::Describe { .. }
        | PeopleChange::SetWays { .. }
        | PeopleChange::ProveWay { .. }
        | PeopleChange::Reset { .. }
        | PeopleChange::Remove { .. } => accounts::change(state, index, change)?,
        PeopleChange::SignIn { .. }
        | PeopleChange::Knock { .. }
        | PeopleChange::Confirm { .. }
        | PeopleChange::Seen { .. }
        | PeopleChange::EndSession { .. }
        | PeopleChange::EndSessions { .. }
        | PeopleChange::ReportSignIn { .. } => sessions::change(state, origin, change)?,
        PeopleChange::AddToken {
            name,
            hash,
            roles,
            ttl_ms,
        } => {
            let by = entry.stamped.proposal.actor.spoken();
            add_token(state, name, (*hash, *roles, *ttl_ms), by)?;
        }
        PeopleChange::RevokeToken { name } => revoke_token(state, name)?,
        PeopleChange::AddEnvelope { .. }
        | PeopleChange::WithdrawEnvelope { .. }
        | PeopleChange::UseCode { .. }
        | PeopleChange::ReportCode { .. } => envelopes::change(state, index, origin, change)?,
        PeopleChange::Acknowledge { alarm } => {
            acknowledge(state, *alarm, entry.stamped.proposal.actor.spoken())?;
        }
        PeopleChange::Lead { who, note } => lead(state, who, note)?,
        PeopleChange::ConsoleAt { node, console } => console_at(state, *node, console)?,
    }
    Ok(Reply::Done)
}

fn add_token(
    state: &mut State,
    name: &Label,
    (hash, roles, ttl_ms): (KeyedHash, Roles, u64),
    by: String,
) -> Result<(), Refusal> {
    let now = state.now;
    let people = &mut state.people;
    let used_up: Vec<Label> = people
        .tokens
        .iter()
        .filter(|(_, it)| it.expires <= now)
        .map(|(name, _)| name.clone())
        .collect();
    for name in used_up {
        people.forget_token(&name);
    }
    if people.tokens.contains_key(name) || people.token_hashes.contains_key(&hash) {
        let what = "a name that no other API token has";
        return Err(Refusal::unsound("name", name.to_string(), what));
    }
    if people.tokens.len() >= limits::API_TOKENS_MAX {
        return Err(too_many("API tokens", limits::API_TOKENS_MAX));
    }
    sound_roles(roles)?;
    sound_ttl(ttl_ms, limits::API_TOKEN_MS_MAX)?;
    let token = ApiToken {
        hash,
        roles,
        made: now,
        by,
        expires: now.plus_ms(ttl_ms),
    };
    people.tokens.insert(name.clone(), token);
    people.token_hashes.insert(hash, name.clone());
    Ok(())
}

fn revoke_token(state: &mut State, name: &Label) -> Result<(), Refusal> {
    if !state.people.forget_token(name) {
        return Err(Refusal::unknown("API token"));
    }
    Ok(())
}

fn acknowledge(state: &mut State, alarm: u64, by: String) -> Result<(), Refusal> {
    let now = state.now;
    let alarms = &mut state.people.alarms;
    let place = alarms.iter().position(|it| it.index == alarm);
    let Some(alarm) = place.and_then(|it| alarms.get_mut(it)) else {
        return Err(Refusal::unknown("alarm"));
    };
    alarm.known.get_or_insert((by, now));
    Ok(())
}

fn lead(state: &mut State, who: &Label, note: &Note) -> Result<(), Refusal> {
    let now = state.now;
    let people = &mut state.people;
    let may = people
        .roles_of(who, now)
        .ok_or_else(|| Refusal::unknown("person"))?
        .may(Role::Leader);
    if !may {
        let wanted = "somebody with the role shift-leader";
        return Err(Refusal::unsound("who", who.to_string(), wanted));
    }
    people.leading = Some(Leading {
        who: who.clone(),
        since: now,
        before: people.leading.take().map(|it| it.who),
        note: note.clone(),
    });
    Ok(())
}

fn console_at(state: &mut State, node: NodeId, console: &Console) -> Result<(), Refusal> {
    if !state.nodes.contains_key(&node) {
        return Err(Refusal::unknown("node"));
    }
    if console.addresses.len() > limits::CONSOLE_ADDRESSES_MAX {
        return Err(too_many("addresses", limits::CONSOLE_ADDRESSES_MAX));
    }
    state.people.consoles.insert(node, console.clone());
    // Nodes that were forgotten leave nothing behind.
    let gone: Vec<NodeId> = state
        .people
        .consoles
        .keys()
        .filter(|it| !state.nodes.contains_key(*it))
        .copied()
        .collect();
    for node in gone {
        state.people.consoles.remove(&node);
    }
    Ok(())
}

impl People {
    /// What somebody may do, by the name they act under: an account's, or that of a break-glass code that was used.
    pub fn roles_of(&self, who: &Label, now: Timestamp) -> Option<Roles> {
        if let Some(account) = self.accounts.get(who) {
            return Some(account.roles);
        }
        let (serial, place) = who
            .as_str()
            .strip_prefix(BREAK_GLASS)?
            .split_once('.')
            .and_then(|(serial, place)| {
                Some((serial.parse::<u64>().ok()?, place.parse::<u32>().ok()?))
            })?;
        let envelope = self.envelopes.get(&serial)?;
        envelope
            .codes
            .get(usize::try_from(place.checked_sub(1)?).ok()?)?;
        envelope.is_good(now).then_some(envelope.roles)
    }

    /// The token that a secret with this keyed hash belongs to, if it is still good.
    pub fn token(&self, hash: &KeyedHash, now: Timestamp) -> Option<(&Label, &ApiToken)> {
        let name = self.token_hashes.get(hash)?;
        let token = self.tokens.get(name)?;
        (token.expires > now).then_some((name, token))
    }

    /// Alarms that nobody has said to know of.
    pub fn open_alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.iter().filter(|it| it.known.is_none())
    }

    fn forget_token(&mut self, name: &Label) -> bool {
        let Some(token) = self.tokens.remove(name) else {
            return false;
        };
        self.token_hashes.remove(&token.hash);
        true
    }

    fn admins_but(&self, name: &Label) -> usize {
        self.accounts
            .iter()
            .filter(|(it, account)| *it != name && account.roles.may(Role::Admin))
            .count()
    }
}

/// Tells everybody: on the console until somebody says that they know, and by mail.
fn raise(state: &mut State, index: u64, at: Timestamp, what: AlarmKind) {
    let alarm = Alarm {
        index,
        at,
        what,
        known: None,
    };
    state.people.alarms.push_back(alarm);
    while state.people.alarms.len() > limits::STAFF_ALARMS_MAX {
        state.people.alarms.pop_front();
    }
    // Where nobody is on call, nobody asked to be woken.
    if !waking::on_call(state).is_empty() {
        let said = (Why::Alarm(index), Note::default(), "an alarm".to_owned());
        let _waking = waking::start(state, index, said, None);
    }
    let reached: Vec<Label> = state
        .people
        .accounts
        .iter()
        .filter(|(_, it)| it.ways.iter().any(|way| way.kind == WayKind::Mail))
        .map(|(name, _)| name.clone())
        .collect();
    let people = reached.into_iter().map(Some).chain([None]);
    for person in people.collect::<Vec<_>>() {
        let alarm = index;
        outbox::put(state, index, ItemKind::TellStaff { alarm, person });
    }
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}

fn sound_roles(roles: Roles) -> Result<(), Refusal> {
    if roles.is_sound() {
        return Ok(());
    }
    Err(Refusal::unsound("role", "none", "at least one role"))
}

fn sound_ttl(ttl_ms: u64, most: u64) -> Result<(), Refusal> {
    if (1..=most).contains(&ttl_ms) {
        return Ok(());
    }
    let wanted = format!("more than nothing and at most {} days", most / 86_400_000);
    Err(Refusal::unsound("ttl", format!("{ttl_ms} ms"), wanted))
}

fn sound_sealed(field: &str, sealed: &Sealed) -> Result<(), Refusal> {
    if sealed.bytes.len() <= limits::SEALED_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::TooLarge {
        field: field.to_owned(),
        found: sealed.bytes.len() as u64,
        most: limits::SEALED_BYTES_MAX as u64,
    })
}

#[cfg(test)]
mod tests;
