//! Asking the parents of signed zones which of our keys their DS records name. The leader asks, over TCP, every server that
//! was named or that can be found, and tells the cluster: steps that would break the chain of trust are refused by it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use imbl::OrdSet;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::super::ask;
use super::super::sign::key;
use super::{Transfers, roll};
use crate::clock;
use crate::model::{
    Command, Proposal, State,
    dns::Signing,
    domain::{DomainName, RrType},
    limits::{
        PARENT_AGAIN_MS, PARENT_SERVERS_MAX, PARENT_SOON_MS, PARENT_WAITS_MS, PARENTS_AT_ONCE,
    },
    names::{NameChange, parent::Answered},
    words::{ClientId, Note},
};
use crate::tasks::{Outcome, Stop};

/// How often is looked whether a parent is to be asked.
const LOOK: Duration = Duration::from_secs(2);
/// How long telling the cluster may take.
const AGREED_WITHIN: Duration = Duration::from_secs(5);
/// For how long an answer without DS records may be kept, where nobody says; seconds.
const NONE_TTL_S: u32 = 3_600;
/// SHA-256 as a DS record's digest (RFC 4509).
const SHA256: u8 = 2;
/// Where this machine says who resolves names for it.
const RESOLVERS: &str = "/etc/resolv.conf";

/// When each zone's parent was asked last, about which generation and at which servers.
type Asked = BTreeMap<DomainName, (Instant, u64, Vec<SocketAddr>)>;

impl Transfers {
    /// Asks parents while this node leads, until asked to stop.
    ///
    /// # Errors
    /// Never; the result is what a task returns.
    pub async fn ask_parents(self, stop: Stop) -> Outcome {
        let mut asked = Asked::new();
        let mut asking: JoinSet<()> = JoinSet::new();
        loop {
            while asking.try_join_next().is_some() {}
            if self.cluster.health().leader == Some(self.cluster.id()) {
                self.start_asking(&mut asked, &mut asking);
            } else {
                asked.clear();
                asking.abort_all();
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(LOOK) => {}
            }
        }
    }

    fn start_asking(&self, asked: &mut Asked, asking: &mut JoinSet<()>) {
        let state = self.cluster.state();
        asked.retain(|name, _| state.dns.zones.contains_key(name));
        for (name, zone) in &state.dns.zones {
            let Some(signing) = &zone.signing else {
                continue;
            };
            let servers = named(&state, name);
            let is_asked = asked.get(name).is_some_and(|(at, generation, at_servers)| {
                let same = *generation == zone.generation && *at_servers == servers;
                same && at.elapsed() < pace(&state, name, signing)
            });
            if is_asked {
                continue;
            }
            if asking.len() >= PARENTS_AT_ONCE {
                return;
            }
            let now = clock::monotonic();
            asked.insert(name.clone(), (now, zone.generation, servers.clone()));
            let (transfers, name, signing) = (self.clone(), name.clone(), signing.clone());
            // one round of questions, which ends with it
            asking.spawn(async move { transfers.ask_parent(name, signing, servers).await });
        }
    }

    async fn ask_parent(self, zone: DomainName, signing: Signing, named: Vec<SocketAddr>) {
        let servers = match named.is_empty() {
            true => self.parents_of(&zone).await,
            false => named,
        };
        let answered = self.said_by(&zone, &signing, &servers).await;
        let state = self.cluster.state();
        let known = state.names.parents.get(&zone);
        let says = known.is_some_and(|known| match (&answered, &known.seen) {
            (Err(why), _) => known.trouble == *why,
            (Ok(it), Some(seen)) => {
                let at = known.asked.unwrap_or_default();
                let is_fresh = state.now.ms_since(at) < PARENT_AGAIN_MS / 2;
                let same = seen.knows == it.knows && seen.others == it.others;
                is_fresh && same && known.trouble.as_str().is_empty()
            }
            (Ok(_), None) => false,
        });
        if says {
            return;
        }
        match &answered {
            Ok(it) => {
                let (knows, others) = (it.knows.len(), it.others);
                tracing::info!(%zone, knows, others, "a parent says which keys of a signed zone it knows");
            }
            Err(why) => {
                tracing::warn!(%zone, why = why.as_str(), "the parent of a signed zone cannot be asked");
            }
        }
        let command = Command::Names(NameChange::HeardParent {
            node: self.cluster.id(),
            zone,
            answered,
        });
        let id = ClientId(clock::random_bytes());
        let proposal = Proposal::of_node(id, self.cluster.id(), command);
        // Told at the next round if it did not get through.
        if let Err(error) = self.cluster.propose(proposal, AGREED_WITHIN).await {
            tracing::debug!(%error, "what a parent says could not be told yet");
        }
    }

    /// What all servers that answer say alike. At least half of them must answer.
    pub(super) async fn said_by(
        &self,
        zone: &DomainName,
        signing: &Signing,
        servers: &[SocketAddr],
    ) -> Result<Answered, Note> {
        if servers.is_empty() {
            let why = "its name servers cannot be found; name them with 'lifeboat dns key parent'";
            return Err(Note::cut(why));
        }
        let asked = servers.iter().map(|server| async move {
            let question = (zone, RrType::DS);
            let source = self.source_for(*server);
            let said = ask::authoritative_over_tcp(*server, source, question).await;
            (*server, said)
        });
        let mut sets: BTreeSet<BTreeSet<Vec<u8>>> = BTreeSet::new();
        let (mut ttl_s, mut silent) = (None::<u32>, Vec::new());
        for (server, said) in futures_util::future::join_all(asked).await {
            match said {
                Ok(reply) => {
                    let found = reply.answers.into_iter();
                    let found = found.filter(|it| it.name == *zone && it.rtype == RrType::DS);
                    let found: Vec<_> = found.collect();
                    ttl_s = found.iter().map(|it| it.ttl).chain(ttl_s).max();
                    let data = found.iter().map(|it| it.data.as_wire().to_vec());
                    sets.insert(data.collect());
                }
                Err(error) => silent.push(format!("{server}: {error}")),
            }
        }
        if sets.is_empty() || silent.len() * 2 > servers.len() {
            return Err(Note::cut(&silent.join("; ")));
        }
        let mut sets = sets.into_iter();
        match (sets.next(), sets.next()) {
            (Some(set), None) => Ok(judged(zone, signing, &set, ttl_s)),
            _ => Err(Note::cut("its name servers answer different DS records")),
        }
    }

    /// The name servers of the zone above, as this machine's resolvers find them; ourselves where it is ours.
    pub(super) async fn parents_of(&self, zone: &DomainName) -> Vec<SocketAddr> {
        let resolvers = resolvers().await;
        let mut at = zone.parent();
        while let Some(candidate) = at {
            if self.answers.tables.load().zone(&candidate).is_some() {
                let own = self.own.iter().copied();
                return own
                    .take(1)
                    .map(|it| SocketAddr::new(it, self.own_port))
                    .collect();
            }
            for resolver in &resolvers {
                let source = self.source_for(*resolver);
                let question = (&candidate, RrType::NS);
                let Ok(reply) = ask::resolved(*resolver, source, question).await else {
                    continue;
                };
                let names = reply.answers.iter();
                let names = names.filter(|it| it.name == candidate && it.rtype == RrType::NS);
                let names = names.filter_map(|it| DomainName::from_wire(it.data.as_wire()).ok());
                let mut servers = Vec::new();
                for (name, _) in names.take(PARENT_SERVERS_MAX) {
                    let found = roll::resolved(&name).await.into_iter();
                    // One address of each: what differs differs between servers.
                    servers.extend(
                        found
                            .take(1)
                            .map(|it| SocketAddr::new(it, self.port_at(it))),
                    );
                }
                if !servers.is_empty() {
                    return servers;
                }
                break;
            }
            at = candidate.parent();
        }
        Vec::new()
    }
}

/// The servers that a person named.
pub(super) fn named(state: &State, zone: &DomainName) -> Vec<SocketAddr> {
    let parent = state.names.parents.get(zone);
    parent.map_or_else(Vec::new, |it| it.servers.iter().copied().collect())
}

/// How long after a round the next comes: soon while somebody waits for it.
fn pace(state: &State, zone: &DomainName, signing: &Signing) -> Duration {
    let parent = state.names.parents.get(zone);
    let is_amiss = parent.is_none_or(|it| !it.trouble.as_str().is_empty());
    let seen = parent.and_then(|it| it.seen.as_ref());
    let is_strange = seen.is_some_and(|it| it.others > 0);
    let newest = signing.keys.get_max().map(|it| it.1.since);
    let is_young = newest.is_some_and(|it| clock::now().ms_since(it) < PARENT_WAITS_MS);
    let is_moving = signing.keys.len() > 1 || signing.ending.is_some() || is_young;
    Duration::from_millis(match is_moving || is_amiss || is_strange {
        true => PARENT_SOON_MS,
        false => PARENT_AGAIN_MS,
    })
}

/// Which of the zone's keys the DS records name.
fn judged(
    zone: &DomainName,
    signing: &Signing,
    set: &BTreeSet<Vec<u8>>,
    ttl_s: Option<u32>,
) -> Answered {
    let (mut knows, mut others) = (OrdSet::new(), 0);
    for data in set {
        let named = signing.keys.iter().find(|(_, it)| {
            let ours = key::ds(zone, &key::dnskey(&it.public));
            match data.get(3) {
                Some(&SHA256) => *data == ours,
                // Of another digest the key's tag and algorithm are what can be compared.
                _ => data.get(..3) == ours.get(..3),
            }
        });
        match named {
            Some((id, _)) => drop(knows.insert(*id)),
            None => others += 1,
        }
    }
    let ttl_s = ttl_s.unwrap_or(NONE_TTL_S);
    Answered {
        knows,
        others,
        ttl_s,
    }
}

/// Who resolves names for this machine.
async fn resolvers() -> Vec<SocketAddr> {
    let read = tokio::task::spawn_blocking(|| std::fs::read_to_string(RESOLVERS));
    let text = read.await.ok().and_then(Result::ok).unwrap_or_default();
    let lines = text.lines().filter_map(|it| it.strip_prefix("nameserver"));
    let found = lines.filter_map(|it| it.trim().parse().ok());
    found.map(|it| SocketAddr::new(it, 53)).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        dns::signing::ZoneKey,
        words::{Sealed, Timestamp},
    };

    fn zone_key(number: u8) -> ZoneKey {
        ZoneKey {
            public: vec![number; 64],
            secret: Sealed {
                key: 1,
                bytes: vec![],
            },
            since: Timestamp(0),
        }
    }

    #[test]
    fn a_ds_record_names_our_key_only_when_its_digest_is_of_it() {
        let zone: DomainName = "example.test".parse().unwrap();
        let keys = [(5_u64, zone_key(1)), (9, zone_key(2))];
        let signing = Signing {
            keys: keys.into_iter().collect(),
            ending: None,
        };
        let ds = |number: u8| key::ds(&zone, &key::dnskey(&[number; 64]));
        let says = |set: &[Vec<u8>]| {
            let said = judged(&zone, &signing, &set.iter().cloned().collect(), Some(60));
            (said.knows.iter().copied().collect::<Vec<_>>(), said.others)
        };
        assert_eq!(says(&[]), (vec![], 0));
        assert_eq!(says(&[ds(2)]), (vec![9], 0));
        assert_eq!(says(&[ds(1), ds(2), ds(3)]), (vec![5, 9], 1));
        let mut forged = ds(1);
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(says(&[forged]), (vec![], 1));
        let mut other_digest = ds(1);
        other_digest[3] = 4;
        assert_eq!(says(&[other_digest]), (vec![5], 0));
    }
}
