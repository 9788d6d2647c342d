//! The roll call: after a change the leader asks every name server of the zone, ours and outside, whether it answers it,
//! and tells the cluster who does and who lags. Sooner at first, then each minute until all do, and now and then after
//! that, so that a server that lost its zone is noticed too.
//!
//! Asked are those that are told of changes, and those that the zone's own NS records name. Every question is bounded, goes
//! out without recursion, and only the leader asks: whatever others answer, nothing here answers otherwise for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::super::ask;
use super::super::sign::canonical;
use super::{Transfers, wire};
use crate::clock;
use crate::model::{
    Command, Proposal,
    dns::{Published, Zone as Agreed, ZoneSource, serial_after},
    domain::{DomainName, RrSet, RrType},
    limits::{
        ROLL_AGAIN_MS, ROLL_PATIENCE_MS, ROLL_PAUSE_S_MAX, ROLL_PLACE_MS, ROLL_PLACES_MAX,
        ROLL_PLACES_MS, ROLL_SERVERS_AT_ONCE, ROLL_SERVERS_MAX, ROLL_ZONES_AT_ONCE,
    },
    names::{
        How, NameChange, Roll, asked_for,
        change::{Heard, HeardFrom},
    },
    words::{ClientId, Note},
};
use crate::tasks::{Outcome, Stop};

/// The port of name servers.
const PORT: u16 = 53;
/// How often settings are looked at when no zone changes.
const LOOK: Duration = Duration::from_secs(5);
/// How long after a change the first question comes: an entry takes less to be everywhere.
const FIRST: Duration = Duration::from_millis(200);
/// How long telling the cluster may take.
const AGREED_WITHIN: Duration = Duration::from_secs(5);

/// What is known of the calls of one zone.
struct Call {
    generation: u64,
    began: Instant,
    at: Instant,
    rounds: u32,
    is_under_way: bool,
}

impl Call {
    fn new(generation: u64) -> Self {
        let began = clock::monotonic();
        Self {
            generation,
            began,
            at: began + FIRST,
            rounds: 0,
            is_under_way: false,
        }
    }

    /// How long after a round the next comes.
    fn pause(&self, all: bool) -> Duration {
        if all {
            return Duration::from_millis(ROLL_AGAIN_MS);
        }
        let seconds = 1_u64 << self.rounds.saturating_sub(1).min(6);
        Duration::from_secs(seconds.min(ROLL_PAUSE_S_MAX))
    }
}

/// How a round ended.
struct Ended {
    zone: DomainName,
    generation: u64,
    /// Every server answers, and the cluster knows.
    all: bool,
}

/// Addresses of name servers' names outside of our zones, with when they were found. Empty where none was.
type Places = Mutex<BTreeMap<DomainName, (Instant, Vec<IpAddr>)>>;

/// What is asked of one zone's servers.
struct Round {
    zone: DomainName,
    live: Published,
    /// Those that are told of changes.
    told: Vec<SocketAddr>,
    /// Where it comes from: what is there has a serial of its own and no services over it.
    primaries: Vec<IpAddr>,
    began: Instant,
}

impl Transfers {
    /// Calls the roll while this node leads, until asked to stop.
    ///
    /// # Errors
    /// When the cluster's handle is gone.
    pub async fn call_the_roll(self, stop: Stop) -> Outcome {
        let mut health = self.cluster.health_changes();
        let mut changes = self.cluster.changes();
        let mut calls: BTreeMap<DomainName, Call> = BTreeMap::new();
        let places = Arc::new(Places::default());
        let mut rounds: JoinSet<Ended> = JoinSet::new();
        let mut seen = None;
        loop {
            changes.borrow_and_update();
            if health.borrow_and_update().leader == Some(self.cluster.id()) {
                let zones = self.cluster.state().dns.zones.clone();
                if !seen.as_ref().is_some_and(|it| zones.ptr_eq(it)) {
                    keep_to(&mut calls, &zones);
                    seen = Some(zones);
                }
                self.start_rounds(&mut calls, &places, &mut rounds);
            } else {
                calls.clear();
                rounds.abort_all();
                seen = None;
            }
            let next = calls.values().filter(|it| !it.is_under_way);
            let wait = next.map(|it| it.at.saturating_duration_since(clock::monotonic()));
            let wait = match rounds.len() < ROLL_ZONES_AT_ONCE {
                true => wait.min().unwrap_or(LOOK).min(LOOK),
                false => LOOK,
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                it = changes.changed() => it?,
                it = health.changed() => it?,
                Some(ended) = rounds.join_next() => {
                    if let Ok(ended) = ended {
                        note(&mut calls, &ended);
                    }
                }
                () = sleep(wait) => {}
            }
        }
    }

    fn start_rounds(
        &self,
        calls: &mut BTreeMap<DomainName, Call>,
        places: &Arc<Places>,
        rounds: &mut JoinSet<Ended>,
    ) {
        let now = clock::monotonic();
        for (name, call) in calls.iter_mut() {
            if rounds.len() >= ROLL_ZONES_AT_ONCE {
                return;
            }
            if call.is_under_way || call.at > now {
                continue;
            }
            let state = self.cluster.state();
            let agreed = state.dns.zones.get(name);
            let Some((agreed, live)) = agreed.and_then(|it| Some((it, it.live.clone()?))) else {
                continue;
            };
            call.rounds = call.rounds.saturating_add(1);
            call.is_under_way = true;
            let round = Round {
                zone: name.clone(),
                live,
                told: agreed.settings.notify.clone(),
                primaries: primaries_of(agreed),
                began: call.began,
            };
            let (transfers, places) = (self.clone(), places.clone());
            // one round of questions, which ends with it
            rounds.spawn(async move { transfers.call(round, &places).await });
        }
    }

    /// Who is asked about a zone, and the names of those that nobody can find.
    async fn servers(
        &self,
        round: &Round,
        places: &Places,
    ) -> (BTreeSet<SocketAddr>, Vec<DomainName>) {
        let mut servers: BTreeSet<SocketAddr> = round.told.iter().copied().collect();
        let mut unplaced = Vec::new();
        for name in self.named(&round.zone) {
            let found = self.place(&name, places).await;
            if found.is_empty() {
                unplaced.push(name);
            }
            let is_asked = |it: &IpAddr| !is_for_books(*it) && !round.primaries.contains(it);
            let reached = found.into_iter().filter(is_asked);
            servers.extend(reached.map(|it| SocketAddr::new(it, self.port_at(it))));
        }
        while servers.len() > ROLL_SERVERS_MAX {
            servers.pop_last();
        }
        unplaced.truncate(ROLL_SERVERS_MAX);
        (servers, unplaced)
    }

    /// The names that a zone's own NS records point to, as it is answered here.
    pub(super) fn named(&self, zone: &DomainName) -> Vec<DomainName> {
        let tables = self.answers.tables.load();
        let Some(it) = tables.zone(zone) else {
            return Vec::new();
        };
        let own = it.rrsets().take_while(|set| set.name == *zone);
        let servers = own.filter(|set| set.rtype == RrType::NS);
        let names = servers.flat_map(|set| set.rdata);
        names
            .filter_map(|it| DomainName::from_wire(it.as_wire()).ok())
            .map(|it| it.0)
            .take(ROLL_SERVERS_MAX)
            .collect()
    }

    /// The addresses of a name: from our own zones, else as this machine resolves it.
    async fn place(&self, name: &DomainName, places: &Places) -> Vec<IpAddr> {
        // Ours may have changed with the very change that is asked about.
        if let Some(found) = self.placed_by_us(name) {
            return found;
        }
        let fresh = Duration::from_millis(ROLL_PLACES_MS);
        let remembered = || {
            let known = places.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(name).filter(|it| it.0.elapsed() < fresh).cloned()
        };
        if let Some((_, found)) = remembered() {
            return found;
        }
        let found = resolved(name).await;
        let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= ROLL_PLACES_MAX {
            places.clear();
        }
        places.insert(name.clone(), (clock::monotonic(), found.clone()));
        found
    }

    /// The addresses that our own zones have for a name; nothing where none of them has the name.
    pub(super) fn placed_by_us(&self, name: &DomainName) -> Option<Vec<IpAddr>> {
        let tables = self.answers.tables.load();
        let mut at = Some(name.clone());
        let zone = loop {
            let candidate = at?;
            match tables.zone(&candidate) {
                Some(zone) => break zone.clone(),
                None => at = candidate.parent(),
            }
        };
        let sets: Vec<RrSet> = zone.rrsets().filter(|it| it.name == *name).collect();
        let data = sets.iter().flat_map(|set| {
            let rtype = set.rtype;
            set.rdata.iter().map(move |it| (rtype, it.as_wire()))
        });
        let found: Vec<IpAddr> = data
            .filter_map(|(rtype, bytes)| match rtype {
                RrType::A => Some(IpAddr::from(*bytes.first_chunk::<4>()?)),
                RrType::AAAA => Some(IpAddr::from(*bytes.first_chunk::<16>()?)),
                _ => None,
            })
            .collect();
        (!found.is_empty()).then_some(found)
    }

    /// The port of a name server: ours where it is this machine, as of a cluster that is tried out on one.
    pub(super) fn port_at(&self, address: IpAddr) -> u16 {
        if address.is_loopback() || self.own.contains(&address) {
            self.own_port
        } else {
            PORT
        }
    }

    /// One round: asks all, and tells the cluster what is news.
    async fn call(&self, round: Round, places: &Places) -> Ended {
        let (zone, generation) = (round.zone.clone(), round.live.generation);
        let (servers, unplaced) = self.servers(&round, places).await;
        let wanted = asked_for(&round.live);
        let asking = stream::iter(servers).map(|server| {
            let (zone, live, wanted) = (&round.zone, &round.live, &wanted);
            async move { (server, self.hear(zone, live, wanted, server).await) }
        });
        let mut servers: Vec<(SocketAddr, HeardFrom)> = asking
            .buffer_unordered(ROLL_SERVERS_AT_ONCE)
            .collect()
            .await;
        servers.sort_by_key(|it| it.0);
        let all = servers.iter().all(|it| it.1.how == How::Answers);
        let heard = Heard {
            zone: zone.clone(),
            generation,
            servers,
            unplaced,
        };
        let told = self.tell_heard(&round, heard, all).await;
        Ended {
            zone,
            generation,
            all: all && told,
        }
    }

    /// Whether a server answers what was agreed on: a serial that is as new, and the switched records.
    async fn hear(
        &self,
        zone: &DomainName,
        live: &Published,
        wanted: &[((DomainName, RrType), RrSet)],
        server: SocketAddr,
    ) -> HeardFrom {
        let source = self.source_for(server);
        let from = |how, serial, why: &str| HeardFrom {
            how,
            serial,
            why: Note::cut(why),
        };
        let soa = ask::authoritative(server, source, (zone, RrType::SOA)).await;
        let serial = match soa {
            Ok(reply) => reply.answers.iter().find_map(wire::Rr::serial),
            Err(error) => return from(How::Fails, None, &error.to_string()),
        };
        let Some(serial) = serial else {
            return from(How::Fails, None, "it answers no SOA record");
        };
        if serial_after(live.serial, serial) {
            return from(How::Behind, Some(serial), "it answers an older serial");
        }
        for ((name, rtype), set) in wanted {
            let reply = ask::authoritative(server, source, (name, *rtype)).await;
            let reply = match reply {
                Ok(reply) => reply,
                Err(error) => {
                    let why = format!("{name} {rtype}: {error}");
                    return from(How::Fails, Some(serial), &why);
                }
            };
            let found = reply.answers.iter();
            let found = found.filter(|it| it.name == *name && it.rtype == *rtype);
            let found: BTreeSet<Vec<u8>> = found
                .map(|it| canonical::rdata(*rtype, it.data.as_wire()))
                .collect();
            let set = set.rdata.iter();
            let set: BTreeSet<Vec<u8>> = set
                .map(|it| canonical::rdata(*rtype, it.as_wire()))
                .collect();
            if found != set {
                let why = format!("it answers other records for {name} {rtype}");
                return from(How::Behind, Some(serial), &why);
            }
        }
        from(How::Answers, Some(serial), "")
    }

    /// Tells the cluster what its state does not say yet. False when it has to be told again.
    async fn tell_heard(&self, round: &Round, heard: Heard, all: bool) -> bool {
        if heard.servers.is_empty() {
            return true;
        }
        let state = self.cluster.state();
        let known = state.names.rolls.get(&heard.zone);
        let known = known.filter(|it| it.generation == heard.generation);
        let is_early = round.began.elapsed() < Duration::from_millis(ROLL_PATIENCE_MS);
        if known.is_some_and(|it| says(it, &heard)) || (known.is_none() && !all && is_early) {
            return true;
        }
        let is_news = match known {
            Some(known) => all && known.complete.is_none(),
            None => true,
        };
        let words = in_words(&heard, clock::now().ms_since(round.live.at));
        if is_news {
            let (zone, serial) = (&heard.zone, round.live.serial);
            if all {
                tracing::info!(%zone, serial, "{words}");
            } else {
                tracing::warn!(%zone, serial, "{words}");
            }
        }
        // Only a switch is followed on the record: whoever reads it later asks when the world had it.
        let told = (is_news && !round.live.choices.is_empty()).then(|| Note::cut(&words));
        let command = Command::Names(NameChange::Heard {
            node: self.cluster.id(),
            heard,
            told,
        });
        let id = ClientId(clock::random_bytes());
        let proposal = Proposal::of_node(id, self.cluster.id(), command);
        match self.cluster.propose(proposal, AGREED_WITHIN).await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "what name servers answer could not be told yet");
                false
            }
        }
    }
}

/// Takes over which zones there are and what they answer.
fn keep_to(calls: &mut BTreeMap<DomainName, Call>, zones: &imbl::OrdMap<DomainName, Agreed>) {
    calls.retain(|name, _| zones.contains_key(name));
    for (name, zone) in zones {
        let Some(live) = &zone.live else {
            continue;
        };
        let call = calls
            .entry(name.clone())
            .or_insert_with(|| Call::new(live.generation));
        if call.generation != live.generation {
            *call = Call::new(live.generation);
        }
    }
}

fn note(calls: &mut BTreeMap<DomainName, Call>, ended: &Ended) {
    let call = calls.get_mut(&ended.zone);
    // A newer change has its own call.
    if let Some(call) = call.filter(|it| it.generation == ended.generation) {
        call.is_under_way = false;
        call.at = clock::monotonic() + call.pause(ended.all);
    }
}

/// Whether the state says already what was heard.
fn says(known: &Roll, heard: &Heard) -> bool {
    let same = |(address, it): &(SocketAddr, HeardFrom)| {
        let known = known.servers.get(address);
        known.is_some_and(|known| {
            known.how == it.how && known.serial == it.serial && known.why == it.why
        })
    };
    known.servers.len() == heard.servers.len()
        && heard.servers.iter().all(same)
        && known.unplaced.iter().eq(&heard.unplaced)
}

/// Who answers and who lags, so many milliseconds after the change.
fn in_words(heard: &Heard, after_ms: u64) -> String {
    let all = heard.servers.len();
    let lagging: Vec<String> = heard
        .servers
        .iter()
        .filter(|it| it.1.how != How::Answers)
        .map(|(address, it)| format!("{address}: {}", it.why.as_str()))
        .collect();
    let after = format!("{}.{} s", after_ms / 1_000, after_ms % 1_000 / 100);
    if lagging.is_empty() {
        return format!("all {all} name servers answer it after {after}");
    }
    let well = all - lagging.len();
    let lagging = lagging.join("; ");
    format!("{well} of {all} name servers answer it after {after}; not yet {lagging}")
}

/// The addresses that a zone is transferred from.
fn primaries_of(zone: &Agreed) -> Vec<IpAddr> {
    match &zone.settings.source {
        ZoneSource::Here => Vec::new(),
        ZoneSource::Transferred { primaries, .. } => primaries.iter().map(SocketAddr::ip).collect(),
    }
}

/// Addresses that are kept for books and examples (RFC 5737, RFC 3849): nobody is there.
fn is_for_books(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => it.is_documentation(),
        IpAddr::V6(it) => it.segments()[..2] == [0x2001, 0x0db8],
    }
}

/// The addresses of a name as this machine resolves it; none when it cannot in time.
pub(super) async fn resolved(name: &DomainName) -> Vec<IpAddr> {
    let host = name.to_string();
    let limit = Duration::from_millis(ROLL_PLACE_MS);
    let found = timeout(limit, tokio::net::lookup_host((host.as_str(), PORT)));
    match found.await {
        Ok(Ok(found)) => found.map(|it| it.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}
