//! Names at other people's name services: looked at, written and read back, each provider in a file of its own.
//!
//! A provider can do two things: tell which sets of records are there, and write changes as close to "all or nothing, and
//! only if it is still as I saw it" as its API allows. Whether a write got through is never believed but read back. What
//! is due, and under which lease, is the model's; [`rounds`] brings both together.

mod cloudflare;
mod desec;
mod hetzner;
pub mod rounds;
mod route53;
mod sigv4;
mod text;
mod update;
mod xml;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use imbl::OrdMap;
use tokio_rustls::TlsConnector;

use super::tsig::Key;
use crate::https::{Answer, Failed, Https};
use crate::model::{
    State,
    dns::tsig_context,
    domain::{DomainName, Rdata, RrSet, RrType},
    keeper::{
        Ending, Keeper, Place, SetKey,
        change::secret_context,
        in_order,
        plan::{Change, For, Plan, plan},
        wanted,
    },
    limits::KEEPER_SETS_MAX,
    words::Label,
};
use crate::seal::Keyring;

/// Names that one provider is asked for at a time: soon done, and within what all of them allow.
const NAMES_AT_ONCE: usize = 4;
/// Past so many names a provider that takes few requests is asked for the whole zone.
const NAMES_ASKED_SINGLY: usize = 5;

/// Why nothing was learned or written. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The provider says no, and will until somebody changes something.
    #[error("{0}")]
    Refused(String),
    /// It may work later.
    #[error("{why}")]
    TryLater {
        /// In words.
        why: String,
        /// The provider asks to be left alone for so long, in milliseconds.
        rest_ms: u64,
    },
}

impl Trouble {
    fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }

    fn later(why: impl Into<String>) -> Self {
        Self::TryLater {
            why: why.into(),
            rest_ms: 0,
        }
    }

    fn without(self, secret: &str) -> Self {
        let clean = |text: String| match secret.len() {
            0..6 => text,
            _ => text.replace(secret, "(secret)"),
        };
        match self {
            Self::Refused(why) => Self::Refused(clean(why)),
            Self::TryLater { why, rest_ms } => Self::TryLater {
                why: clean(why),
                rest_ms,
            },
        }
    }
}

impl Failed {
    /// Of a request that changes nothing, so that it does not matter how far it came.
    fn of_a_question(self) -> Trouble {
        match self {
            Self::NotSent(why) | Self::Lost(why) => Trouble::later(why),
        }
    }
}

impl Answer {
    /// What an answer that is no success means, given what the provider says in it.
    fn trouble(&self, says: &str) -> Trouble {
        let says = format!("HTTP status {}: {says}", self.status);
        if self.may_change() {
            let rest_ms = self.rest_ms;
            return Trouble::TryLater { why: says, rest_ms };
        }
        Trouble::refused(says)
    }
}

/// What a provider said to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// That it is done.
    Done,
    /// Nothing that tells: its answer was lost, or says that it broke somewhere.
    Perhaps(String),
}

/// Something that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub good: bool,
    /// What.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self {
            good: true,
            what: what.into(),
            advice: String::new(),
        }
    }

    fn bad(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            good: false,
            what: what.into(),
            advice: advice.into(),
        }
    }

    fn of(trouble: &Trouble, advice: &str) -> Self {
        Self::bad(trouble.to_string(), advice)
    }
}

/// Opens keepers: with the cluster's own key, and a way out over TLS.
#[derive(Clone)]
pub struct Opener {
    keyring: Arc<Keyring>,
    https: Https,
}

/// A keeper that can be asked.
pub struct Office {
    desk: Desk,
    zone: DomainName,
    servers: Vec<SocketAddr>,
    secret: String,
}

enum Desk {
    Update(Box<update::Server>),
    Cloudflare(cloudflare::Cloudflare),
    DeSec(desec::DeSec),
    Hetzner(hetzner::Hetzner),
    Route53(route53::Route53),
}

impl Opener {
    /// With the public authorities, or others that the connector trusts.
    pub fn new(keyring: Arc<Keyring>, tls: TlsConnector) -> Self {
        Self {
            keyring,
            https: Https::new(tls),
        }
    }

    /// Opens a keeper.
    ///
    /// # Errors
    /// When this node cannot open its secret.
    pub fn open(&self, state: &State, name: &Label, keeper: &Keeper) -> Result<Office, Trouble> {
        let zone = keeper.facts.zone.clone();
        let secret = match &keeper.secret {
            None => String::new(),
            Some(sealed) => {
                let opened = self.keyring.open(&secret_context(name), sealed);
                let text = opened.and_then(|it| String::from_utf8(it).ok());
                text.ok_or_else(|| Trouble::later("this node cannot open the keeper's token"))?
            }
        };
        let https = self.https.clone();
        let desk = match &keeper.facts.place {
            Place::Update { server, key } => Desk::Update(Box::new(update::Server {
                address: *server,
                zone: zone.clone(),
                key: Some(self.key(state, key)?),
            })),
            Place::Cloudflare { url, zone_id } => Desk::Cloudflare(cloudflare::Cloudflare {
                https,
                url: url.as_str().to_owned(),
                zone: zone.clone(),
                zone_id: zone_id.as_ref().map(|it| it.as_str().to_owned()),
                token: secret.clone(),
            }),
            Place::DeSec { url } => Desk::DeSec(desec::DeSec {
                https,
                url: url.as_str().to_owned(),
                zone: zone.clone(),
                token: secret.clone(),
            }),
            Place::Hetzner { url } => Desk::Hetzner(hetzner::Hetzner {
                https,
                url: url.as_str().to_owned(),
                zone: zone.clone(),
                token: secret.clone(),
            }),
            Place::Route53 {
                url,
                zone_id,
                access_key,
            } => Desk::Route53(route53::Route53 {
                https,
                url: url.as_str().to_owned(),
                zone: zone.clone(),
                zone_id: zone_id.as_str().to_owned(),
                access_key: access_key.as_str().to_owned(),
                secret_key: secret.clone(),
            }),
        };
        Ok(Office {
            desk,
            zone,
            servers: keeper.facts.servers.iter().copied().collect(),
            secret,
        })
    }

    fn key(&self, state: &State, name: &DomainName) -> Result<Key, Trouble> {
        let key = state.dns.keys.get(name);
        let secret = key.and_then(|it| self.keyring.open(&tsig_context(name), &it.secret));
        match (key, secret) {
            (Some(key), Some(secret)) => Ok(Key::new(name.clone(), key.algorithm, &secret)),
            _ => Err(Trouble::later(format!(
                "this node cannot open the TSIG key {name}"
            ))),
        }
    }
}

/// What a look at a keeper found, and what would be written there.
pub struct Looked {
    /// What its names shall answer.
    pub wanted: OrdMap<SetKey, RrSet>,
    /// What is there, at those names.
    pub there: Vec<RrSet>,
    /// What differs.
    pub plan: Plan,
}

impl Office {
    /// Looks at what is there, and plans.
    ///
    /// # Errors
    /// When nobody can say what is there.
    pub async fn look(&self, state: &State, keeper: &Keeper, whom: For) -> Result<Looked, Trouble> {
        let wanted = wanted(state, keeper);
        let there = self.there(keeper, &wanted).await?;
        let plan = plan(keeper, &wanted, &there, whom);
        Ok(Looked {
            wanted,
            there,
            plan,
        })
    }

    /// What is there at the wanted names, spelled as we spell it.
    async fn there(
        &self,
        keeper: &Keeper,
        wanted: &OrdMap<SetKey, RrSet>,
    ) -> Result<Vec<RrSet>, Trouble> {
        let keys: Vec<SetKey> = wanted.keys().cloned().collect();
        let found = match &self.desk {
            Desk::Update(it) => it.sets(&keys).await,
            Desk::Cloudflare(it) => it.sets(&keys).await,
            Desk::DeSec(it) => it.sets(&keys).await,
            Desk::Hetzner(it) => it.sets(&keys).await,
            Desk::Route53(it) => it.sets(&keys).await,
        };
        let mut there = found.map_err(|it| it.without(&self.secret))?;
        there.truncate(4 * KEEPER_SETS_MAX);
        let ours = wanted.values().flat_map(|set| {
            let rtype = set.rtype;
            set.rdata.iter().map(move |it| (rtype, it))
        });
        let known = keeper.sets.iter().flat_map(|(key, kept)| {
            let data = kept.known.iter().chain(&kept.tried).flatten();
            data.map(move |it| (key.1, it))
        });
        text::spelled(&mut there, ours.chain(known));
        for set in &mut there {
            set.rdata = in_order(set);
        }
        Ok(there)
    }

    /// Writes changes, and reads back whether they are there.
    pub async fn write(
        &self,
        keeper: &Keeper,
        wanted: &OrdMap<SetKey, RrSet>,
        changes: &[Change],
    ) -> Written {
        let wrote = match &self.desk {
            Desk::Update(it) => it.write(changes).await,
            Desk::Cloudflare(it) => it.write(changes).await,
            Desk::DeSec(it) => it.write(changes).await,
            Desk::Hetzner(it) => it.write(changes).await,
            Desk::Route53(it) => it.write(changes).await,
        };
        let wrote = wrote.map_err(|it| it.without(&self.secret));
        let there = self.there(keeper, wanted).await;
        judged(wrote, there, changes, &self.secret)
    }

    /// Whether the token is good and may do what it must.
    pub async fn look_over(&self) -> Vec<Finding> {
        let found = match &self.desk {
            Desk::Update(it) => it.look_over().await,
            Desk::Cloudflare(it) => it.look_over().await,
            Desk::DeSec(it) => it.look_over().await,
            Desk::Hetzner(it) => it.look_over().await,
            Desk::Route53(it) => it.look_over().await,
        };
        let clean = |it: Finding| Finding {
            what: match self.secret.len() {
                0..6 => it.what,
                _ => it.what.replace(&self.secret, "(secret)"),
            },
            ..it
        };
        found.into_iter().map(clean).collect()
    }

    /// Whether a set may be written: writes what is there already, in a way that undoes nobody's change.
    pub async fn prove(&self, set: &RrSet) -> Finding {
        let same = Change {
            name: set.name.clone(),
            rtype: set.rtype,
            before: Some(set.clone()),
            after: Some(set.clone()),
        };
        let wrote = match &self.desk {
            // These refuse it when it is not what is there any more.
            Desk::Update(it) => it.write(&[same]).await,
            Desk::Route53(it) => it.write(&[same]).await,
            Desk::Cloudflare(it) => it.prove(set).await,
            Desk::DeSec(it) => it.prove(set).await,
            Desk::Hetzner(it) => it.prove(set).await,
        };
        let (name, rtype) = (&set.name, set.rtype);
        match wrote {
            Ok(Wrote::Done) => Finding::good(format!("{name} {rtype} may be written")),
            Ok(Wrote::Perhaps(why)) => {
                let what = format!("whether {name} {rtype} may be written is not known: {why}");
                Finding::bad(
                    Trouble::refused(what).without(&self.secret).to_string(),
                    "check again",
                )
            }
            Err(trouble) => Finding::bad(
                format!(
                    "{name} {rtype} may not be written: {}",
                    trouble.without(&self.secret)
                ),
                "look at the rights of the token or key",
            ),
        }
    }

    /// The name servers that answer otherwise than is wanted, or not at all.
    pub async fn behind(&self, wanted: &OrdMap<SetKey, RrSet>) -> Vec<SocketAddr> {
        let keys: Vec<SetKey> = wanted.keys().cloned().collect();
        let mut behind = Vec::new();
        for address in &self.servers {
            let server = update::Server {
                address: *address,
                zone: self.zone.clone(),
                key: None,
            };
            let Ok(mut there) = server.sets(&keys).await else {
                behind.push(*address);
                continue;
            };
            let ours = wanted.values().flat_map(|set| {
                let rtype = set.rtype;
                set.rdata.iter().map(move |it| (rtype, it))
            });
            text::spelled(&mut there, ours);
            let answers = |set: &RrSet| {
                let mut sets = there.iter();
                sets.any(|it| {
                    it.name == set.name && it.rtype == set.rtype && in_order(it) == set.rdata
                })
            };
            if !wanted.values().all(answers) {
                behind.push(*address);
            }
        }
        behind
    }
}

/// What came of a write.
pub struct Written {
    /// How it ended.
    pub ending: Ending,
    /// Why, where it did not go well.
    pub why: String,
    /// What was there afterwards; nothing when nobody could look.
    pub there: Option<Vec<RrSet>>,
    /// The provider asks to be left alone for so long.
    pub rest_ms: u64,
}

/// What is there decides; what the provider said explains.
fn judged(
    wrote: Result<Wrote, Trouble>,
    there: Result<Vec<RrSet>, Trouble>,
    changes: &[Change],
    secret: &str,
) -> Written {
    let rest_ms = match &wrote {
        Err(Trouble::TryLater { rest_ms, .. }) => *rest_ms,
        _ => 0,
    };
    let said = match &wrote {
        Ok(Wrote::Done) => "it says that it is done".to_owned(),
        Ok(Wrote::Perhaps(why)) => Trouble::refused(why.clone()).without(secret).to_string(),
        Err(trouble) => trouble.to_string(),
    };
    let there = match there {
        Ok(there) => there,
        Err(trouble) => {
            let ending = match wrote {
                Ok(_) => Ending::Unknown,
                Err(Trouble::Refused(_)) => Ending::Refused,
                Err(Trouble::TryLater { .. }) => Ending::TryLater,
            };
            return Written {
                ending,
                why: format!("{said}; reading back: {trouble}"),
                there: None,
                rest_ms,
            };
        }
    };
    let is_done = changes.iter().all(|it| is_there(it, &there));
    let (ending, why) = match (is_done, wrote) {
        (true, _) => (Ending::Confirmed, String::new()),
        (false, Err(Trouble::Refused(_))) => (Ending::Refused, said),
        (false, Ok(Wrote::Done)) => (Ending::TryLater, format!("{said}, and it is not there")),
        (false, _) => (Ending::TryLater, format!("{said}; it was not written")),
    };
    Written {
        ending,
        why,
        there: Some(there),
        rest_ms,
    }
}

/// Whether a change is what is there now.
fn is_there(change: &Change, there: &[RrSet]) -> bool {
    let now = there
        .iter()
        .find(|it| it.name == change.name && it.rtype == change.rtype);
    match (&change.after, now) {
        (None, now) => now.is_none(),
        (Some(after), Some(now)) => in_order(now) == in_order(after),
        (Some(_), None) => false,
    }
}

/// Asks for the records at each name, a few names at a time.
async fn at_each<T, F>(keys: &[SetKey], ask: impl Fn(DomainName) -> F) -> Result<Vec<T>, Trouble>
where
    F: Future<Output = Result<Vec<T>, Trouble>>,
{
    let asked = stream::iter(names(keys)).map(ask).buffered(NAMES_AT_ONCE);
    let found: Vec<Vec<T>> = asked.try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Whether what is there is still what the changes were made against. For providers that cannot ask it themselves.
fn unchanged(changes: &[Change], there: &[RrSet]) -> Result<(), Trouble> {
    let plain = |set: Option<&RrSet>| set.map(text::plain_set);
    for change in changes {
        let now = there
            .iter()
            .find(|it| it.name == change.name && it.rtype == change.rtype);
        if plain(now) != plain(change.before.as_ref()) {
            return Err(Trouble::refused(format!(
                "somebody else changed {} {} meanwhile; nothing was written",
                change.name, change.rtype
            )));
        }
    }
    Ok(())
}

/// The names of some sets, each once.
fn names(keys: &[SetKey]) -> Vec<DomainName> {
    let mut names: Vec<DomainName> = keys.iter().map(|it| it.0.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Puts a record into the set that it belongs to.
fn gather(sets: &mut Vec<RrSet>, (name, rtype): (DomainName, RrType), ttl: u32, data: Rdata) {
    let known = sets
        .iter_mut()
        .find(|it| it.name == name && it.rtype == rtype);
    match known {
        Some(set) if set.rdata.contains(&data) => {}
        Some(set) => set.rdata.push(data),
        None => sets.push(RrSet {
            name,
            rtype,
            ttl,
            rdata: vec![data],
        }),
    }
}
