//! The vault: what must not open on a stolen disk is sealed by a key that no disk has.
//!
//! Nodes that are unlocked have the key in memory. Here is what they need to agree on it: which key is in force, the ways
//! in which people open it, and to which nodes, at which addresses, unlocked ones may hand it. Every way has a pair of
//! keys of its own (HPKE, RFC 9180): whoever is unlocked can seal a new key for all of them without knowing their secrets.
//! Each new key seals the one before it, so that the newest opens everything.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    Actor, Refusal, Reply, State, keeper, limits,
    mail_key::{self, KeyName},
    notice,
    words::{KeyedHash, Label, NodeId, Note, Sealed, Timestamp},
};

/// Numbers of vault keys begin here, those of service keys are below: what is sealed says by itself what opens it.
pub const FIRST_KEY: u32 = 1 << 31;

/// Under what the cluster's authority is sealed.
pub const AUTHORITY_CONTEXT: &str = "cluster authority";

/// What is agreed on about the vault. There is none before somebody founds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vault {
    /// The log index of its last change: what a change is made against; 0 while there is none.
    pub generation: u64,
    /// The keys by their numbers; the last one is in force.
    pub keys: OrdMap<u32, VaultKey>,
    /// The ways in which people open it.
    pub ways: OrdMap<Label, Way>,
    /// The nodes that may be handed the key, each at the address where it was believed.
    pub trusted: OrdMap<NodeId, Note>,
}

/// A key of the vault; it is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultKey {
    /// Since when.
    pub made: Timestamp,
    /// A keyed hash by which a node knows the right one.
    pub check: KeyedHash,
    /// This key, sealed by its successor; nothing for the one in force.
    pub under: Option<Sealed>,
}

/// One way in which people open the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// By what.
    pub kind: WayKind,
    /// Its public half, 32 bytes (X25519).
    pub public: Vec<u8>,
    /// The key in force, sealed for it: encapsulation and ciphertext.
    pub wrapped: Vec<u8>,
}

/// By what the vault is opened: where the secret half of a way is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WayKind {
    /// Here, sealed by a passphrase.
    Passphrase {
        /// The salt of argon2id (RFC 9106).
        salt: [u8; 16],
        /// Its memory in KiB.
        memory_kib: u32,
        /// Its passes.
        passes: u32,
        /// The secret half, sealed.
        locked: Vec<u8>,
    },
    /// In a file on something that can be carried away.
    File,
    /// In shares (Shamir 1979), any `needed` of which suffice.
    Shares {
        /// So many are needed.
        needed: u8,
        /// So many there are.
        made: u8,
    },
}

impl WayKind {
    /// As the command line calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passphrase { .. } => "passphrase",
            Self::File => "file",
            Self::Shares { .. } => "shares",
        }
    }
}

/// A secret in the state that belongs into the vault. What a node needs to answer by itself after its power came back does
/// not: the keys of certificates, of zones and of transfers, and what wakes people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Secret {
    /// The key of the cluster's certificate authority.
    Authority,
    /// A key that mail is signed with.
    MailKey(KeyName),
    /// What opens a zone at somebody else's name service.
    Keeper(Label),
    /// What opens a channel to people outside.
    Channel(Label),
}

impl Secret {
    /// For people.
    pub fn spoken(&self) -> String {
        match self {
            Self::Authority => "the cluster's authority".to_owned(),
            Self::MailKey(key) => format!("the mail key {}", mail_key::record_name(key)),
            Self::Keeper(name) => format!("what opens the keeper {name}"),
            Self::Channel(name) => format!("what opens the channel {name}"),
        }
    }
}

/// A change of the vault. People make all but the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VaultChange {
    /// Makes the vault. Its key becomes [`FIRST_KEY`], and the members may be handed it where they are.
    Found {
        /// By which its key is known.
        check: KeyedHash,
        /// How it is opened.
        way: (Label, Way),
    },
    /// Adds a way to open it.
    AddWay {
        /// What it is called.
        way: (Label, Way),
        /// The generation that this was made against.
        against: u64,
    },
    /// Puts a new key in the place of the one in force.
    Rotate {
        /// By which the new key is known.
        check: KeyedHash,
        /// The key before, sealed by the new one.
        older: Sealed,
        /// The new key, sealed for each way that stays. Those that are not here end, as what they opened is no more.
        wrapped: OrdMap<Label, Vec<u8>>,
        /// The generation that this was made against.
        against: u64,
    },
    /// Says that a node may be handed the key at the address that it has now.
    Trust {
        /// The node.
        node: NodeId,
        /// The address that was looked at.
        address: Note,
    },
    /// A node has sealed a secret of the state by the key in force.
    Sealed {
        /// Which.
        secret: Secret,
        /// What it was.
        was: Sealed,
        /// What it is now.
        now: Sealed,
    },
}

impl VaultChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Found { .. } => "found-vault",
            Self::AddWay { .. } => "add-way-into-vault",
            Self::Rotate { .. } => "rotate-vault",
            Self::Trust { .. } => "trust-node-with-vault",
            Self::Sealed { .. } => "seal-in-vault",
        }
    }

    /// What it is about, for the record.
    pub fn about(&self) -> String {
        match self {
            Self::Found { way, .. } | Self::AddWay { way, .. } => {
                format!("{} ({})", way.0, way.1.kind.name())
            }
            Self::Rotate { wrapped, .. } => {
                let ways: Vec<&str> = wrapped.keys().map(Label::as_str).collect();
                format!("opened by {}", ways.join(", "))
            }
            Self::Trust { node, address } => format!("{node} at {}", address.as_str()),
            Self::Sealed { secret, .. } => secret.spoken(),
        }
    }
}

impl Vault {
    /// The number of the key in force; nothing while there is no vault.
    pub fn current(&self) -> Option<u32> {
        self.keys.get_max().map(|(number, _)| *number)
    }

    /// Whether an unlocked node may hand the key to this one, where it is now.
    pub fn may_be_handed(&self, node: NodeId, address: &Note) -> bool {
        self.trusted.get(&node) == Some(address)
    }
}

/// Every secret that belongs into the vault, with what it is sealed for.
pub fn secrets(state: &State) -> Vec<(Secret, String, Sealed)> {
    let authority = state.cluster.iter().map(|it| {
        let context = AUTHORITY_CONTEXT.to_owned();
        (Secret::Authority, context, it.authority.key.clone())
    });
    let mail = state.mail_keys.all.iter().map(|(name, key)| {
        let context = mail_key::key_context(name);
        (Secret::MailKey(name.clone()), context, key.private.clone())
    });
    let keepers = state.keepers.all.iter().filter_map(|(name, it)| {
        let context = keeper::change::secret_context(name);
        Some((Secret::Keeper(name.clone()), context, it.secret.clone()?))
    });
    let channels = state.notices.channels.iter().filter_map(|(name, it)| {
        let context = notice::change::secret_context(name);
        Some((Secret::Channel(name.clone()), context, it.secret.clone()?))
    });
    authority
        .chain(mail)
        .chain(keepers)
        .chain(channels)
        .collect()
}

/// Those that are not sealed by the key in force yet.
pub fn due(state: &State) -> Vec<(Secret, String, Sealed)> {
    let Some(current) = state.vault.current() else {
        return Vec::new();
    };
    let mut all = secrets(state);
    all.retain(|(_, _, it)| it.key != current);
    all
}

fn place<'a>(state: &'a mut State, secret: &Secret) -> Option<&'a mut Sealed> {
    match secret {
        Secret::Authority => Some(&mut state.cluster.as_mut()?.authority.key),
        Secret::MailKey(name) => Some(&mut state.mail_keys.all.get_mut(name)?.private),
        Secret::Keeper(name) => state.keepers.all.get_mut(name)?.secret.as_mut(),
        Secret::Channel(name) => state.notices.channels.get_mut(name)?.secret.as_mut(),
    }
}

/// Applies a change.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &VaultChange,
) -> Result<Reply, Refusal> {
    let by_node = matches!(actor, Actor::Node(_));
    if by_node != matches!(change, VaultChange::Sealed { .. }) {
        let actor = actor.spoken();
        return Err(Refusal::NotAllowed { actor });
    }
    match change {
        VaultChange::Found { check, way } => found(state, *check, way)?,
        VaultChange::AddWay { way, against } => add_way(state, way, *against)?,
        VaultChange::Rotate {
            check,
            older,
            wrapped,
            against,
        } => rotate(state, (*check, older), wrapped, *against)?,
        VaultChange::Trust { node, address } => trust(state, *node, address)?,
        VaultChange::Sealed { secret, was, now } => {
            sealed(state, secret, was, now)?;
            // Not a change of the vault: what people look at meanwhile stays what they looked at.
            return Ok(Reply::Done);
        }
    }
    state.vault.generation = index;
    Ok(Reply::Done)
}

fn found(state: &mut State, check: KeyedHash, way: &(Label, Way)) -> Result<(), Refusal> {
    if state.vault.current().is_some() {
        return Err(Refusal::InUse {
            what: "the name of a new vault".to_owned(),
            by: "the vault that there is; 'lifeboat vault rotate' gives it a new key".to_owned(),
        });
    }
    sound(&way.1)?;
    let key = VaultKey {
        made: state.now,
        check,
        under: None,
    };
    state.vault.keys.insert(FIRST_KEY, key);
    state.vault.ways.insert(way.0.clone(), way.1.clone());
    // Whoever founds it has all of them in sight; who comes later is looked at by a person.
    let here = state.nodes.iter();
    state.vault.trusted = here
        .map(|(id, it)| (*id, it.facts.advertise.clone()))
        .collect();
    Ok(())
}

fn add_way(state: &mut State, (name, way): &(Label, Way), against: u64) -> Result<(), Refusal> {
    looked_at(state, against)?;
    if state.vault.ways.contains_key(name) {
        let wanted = "a name that no way into the vault has yet";
        return Err(Refusal::unsound("way", name.as_str(), wanted));
    }
    if state.vault.ways.len() >= limits::VAULT_WAYS_MAX {
        return Err(Refusal::TooMany {
            what: "ways into the vault".to_owned(),
            most: limits::VAULT_WAYS_MAX as u64,
        });
    }
    sound(way)?;
    state.vault.ways.insert(name.clone(), way.clone());
    Ok(())
}

fn rotate(
    state: &mut State,
    (check, older): (KeyedHash, &Sealed),
    wrapped: &OrdMap<Label, Vec<u8>>,
    against: u64,
) -> Result<(), Refusal> {
    looked_at(state, against)?;
    let current = state.vault.current();
    let current = current.ok_or_else(|| Refusal::unknown("vault"))?;
    if state.vault.keys.len() >= limits::VAULT_KEYS_MAX {
        return Err(Refusal::TooMany {
            what: "keys of the vault".to_owned(),
            most: limits::VAULT_KEYS_MAX as u64,
        });
    }
    let stays = state.vault.ways.iter().filter_map(|(name, way)| {
        let wrapped = wrapped.get(name)?.clone();
        Some((
            name.clone(),
            Way {
                wrapped,
                ..way.clone()
            },
        ))
    });
    let stays: OrdMap<Label, Way> = stays.collect();
    if stays.is_empty() || stays.len() != wrapped.len() {
        let wanted = "ways that the vault has, one at least, as nobody could open it otherwise";
        return Err(Refusal::unsound("ways", spoken(wrapped), wanted));
    }
    for way in stays.values() {
        sound(way)?;
    }
    // What is sealed by it opens with the new key only.
    if older.key != current + 1 || older.bytes.len() > limits::SEALED_BYTES_MAX {
        let wanted = format!("the key before, sealed by key {}", current + 1);
        return Err(Refusal::unsound("older", older.key.to_string(), wanted));
    }
    if let Some(before) = state.vault.keys.get_mut(&current) {
        before.under = Some(older.clone());
    }
    let key = VaultKey {
        made: state.now,
        check,
        under: None,
    };
    state.vault.keys.insert(current + 1, key);
    state.vault.ways = stays;
    Ok(())
}

fn spoken(wrapped: &OrdMap<Label, Vec<u8>>) -> String {
    let names: Vec<&str> = wrapped.keys().map(Label::as_str).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

fn trust(state: &mut State, node: NodeId, address: &Note) -> Result<(), Refusal> {
    if state.vault.current().is_none() {
        return Err(Refusal::unknown("vault"));
    }
    let known = state
        .nodes
        .get(&node)
        .ok_or_else(|| Refusal::unknown("node"))?;
    if known.facts.advertise != *address {
        let wanted = format!("{}, where the node is now", known.facts.advertise.as_str());
        return Err(Refusal::unsound("address", address.as_str(), wanted));
    }
    state.vault.trusted.insert(node, address.clone());
    Ok(())
}

fn sealed(state: &mut State, secret: &Secret, was: &Sealed, now: &Sealed) -> Result<(), Refusal> {
    let current = state.vault.current();
    let current = current.ok_or_else(|| Refusal::unknown("vault"))?;
    if now.key != current || now.bytes.len() > limits::SEALED_BYTES_MAX {
        let wanted = format!("key {current}, which is in force");
        return Err(Refusal::unsound("now", now.key.to_string(), wanted));
    }
    let at = place(state, secret).ok_or_else(|| Refusal::unknown("secret"))?;
    // Somebody brought another one meanwhile: that one must not be lost.
    if at != was {
        let wanted = "the secret as it is now";
        return Err(Refusal::unsound("was", "another secret", wanted));
    }
    *at = now.clone();
    Ok(())
}

fn looked_at(state: &State, against: u64) -> Result<(), Refusal> {
    let found = state.vault.generation;
    if found == 0 {
        return Err(Refusal::unknown("vault"));
    }
    if found == against {
        return Ok(());
    }
    let what = "the vault".to_owned();
    Err(Refusal::Stale {
        what,
        against,
        found,
    })
}

/// Bounds of what a way says. Whether it opens anything only its owner can see.
fn sound(way: &Way) -> Result<(), Refusal> {
    let length = |field: &str, found: usize, wanted: usize| {
        if found == wanted {
            return Ok(());
        }
        Err(Refusal::unsound(
            field,
            format!("{found} bytes"),
            format!("{wanted} bytes"),
        ))
    };
    length("public", way.public.len(), 32)?;
    length("wrapped", way.wrapped.len(), limits::VAULT_WRAP_BYTES)?;
    match &way.kind {
        WayKind::Passphrase {
            memory_kib,
            passes,
            locked,
            ..
        } => {
            length("locked", locked.len(), limits::VAULT_LOCKED_BYTES)?;
            // Whoever opens it spends what is written here.
            let (memory, most) = (*memory_kib, limits::VAULT_MEMORY_KIB_MAX);
            if !(8_192..=most).contains(&memory) {
                let wanted = format!("8192 to {most} KiB");
                return Err(Refusal::unsound("memory_kib", memory.to_string(), wanted));
            }
            if !(1..=limits::VAULT_PASSES_MAX).contains(passes) {
                let wanted = format!("1 to {}", limits::VAULT_PASSES_MAX);
                return Err(Refusal::unsound("passes", passes.to_string(), wanted));
            }
            Ok(())
        }
        WayKind::File => Ok(()),
        WayKind::Shares { needed, made } => {
            if 2 <= *needed && needed <= made && *made <= limits::VAULT_SHARES_MAX {
                return Ok(());
            }
            let wanted = format!(
                "2 to {} shares, 2 of which at least are needed",
                limits::VAULT_SHARES_MAX
            );
            Err(Refusal::unsound(
                "shares",
                format!("{needed} of {made}"),
                wanted,
            ))
        }
    }
}

/// A vault that nobody can open, or whose keys do not lead to each other, has lost what is in it.
pub(in crate::model) fn check(state: &State, wrong: &mut Vec<String>) {
    let vault = &state.vault;
    if vault.generation > state.index {
        wrong.push("vault: comes from the future".to_owned());
    }
    let Some(current) = vault.current() else {
        if !vault.ways.is_empty() || !vault.trusted.is_empty() {
            wrong.push("vault: there are ways into one that does not exist".to_owned());
        }
        return;
    };
    if vault.ways.is_empty() {
        wrong.push("vault: nobody can open it".to_owned());
    }
    let numbers = vault.keys.keys().copied();
    if !numbers.eq(FIRST_KEY..=current) {
        wrong.push("vault: keys are missing".to_owned());
    }
    for (number, key) in &vault.keys {
        let under = key.under.as_ref().map(|it| it.key);
        let wanted = (*number != current).then_some(number + 1);
        if under != wanted {
            wrong.push(format!(
                "vault: key {number} does not open with its successor"
            ));
        }
    }
}

#[cfg(test)]
mod tests;
