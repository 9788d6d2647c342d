//! What this node knows of itself without looking anywhere: whether it agrees with the others, its disk, its copy of the
//! website, what waits, who can be woken. Reading it costs nothing and sends nothing.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Parts,
    board::{Outcome, Proof},
    rehearsed,
};
use crate::{
    clock,
    cluster::health::Health,
    model::{
        State, limits,
        nodes::sound_voters,
        outbox,
        people::Role,
        waking::{can_carry, on_call},
        when::rfc3339,
        words::{NodeId, Timestamp},
    },
    seal::{Keyring, Standing},
};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// A clock that is further off than this is worth a look; from 5 s on the cluster overrules it.
const CLOCK_WARN_MS: u64 = 1_000;
const CLOCK_FAILED_MS: u64 = 5_000;
/// Mail that has been due for so long does not get out.
const OUTBOX_FAILED_MS: u64 = 15 * 60_000;
const DIRECTORY_WARN_MS: u64 = 7 * DAY;
/// Envelopes are to be renewed so long before they end.
const ENVELOPE_WARN_MS: u64 = 30 * DAY;
/// A disk with less room than this, in bytes or in hundredths, fills up in an emergency.
const DISK_FAILED: u64 = 1 << 30;
const DISK_WARN_PERCENT: u64 = 15;

/// Every such proof.
pub(super) async fn proofs(parts: &Parts) -> Vec<Proof> {
    let (cluster, now) = (&parts.cluster, clock::now());
    let (state, health) = (cluster.state(), cluster.health());
    let mut proofs = agreement(&state, &health);
    proofs.push(clocks(&health));
    let room = room_on_disk(parts.node.data_dir.clone()).await;
    proofs.push(disk(room, &health));
    proofs.push(site(&state, cluster.id()));
    proofs.push(mail(&state, now));
    proofs.push(held(&state));
    proofs.extend(vault(&state, &parts.keyring));
    proofs.extend(directory(&state, now));
    proofs.push(backups(parts.backups.as_ref(), now));
    proofs.extend(people(&state, now));
    proofs.extend(ways(&state, now));
    proofs.extend(rehearsed::drill(&state, now, parts.periods.drill));
    proofs.extend(rehearsed::calendar(&state, now));
    proofs
}

/// Bytes free and in all on the disk under this folder; nothing when it does not say in time.
pub async fn room_on_disk(folder: PathBuf) -> Option<(u64, u64)> {
    let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&folder).ok());
    let in_time = tokio::time::timeout(Duration::from_millis(limits::DESK_DISK_MS), asked);
    let told = in_time.await.ok()?.ok()??;
    let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
    Some((bytes(told.f_bavail), bytes(told.f_blocks)))
}

/// When this node's newest backup was taken that was read back whole. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BackupMark {
    newest: Arc<AtomicU64>,
    /// Hours from one to the next.
    pub every_hours: u64,
}

impl BackupMark {
    /// None yet.
    pub fn new(every_hours: u64) -> Self {
        let newest = Arc::default();
        Self {
            newest,
            every_hours,
        }
    }

    /// Says when the newest was taken.
    pub fn set(&self, taken: Timestamp) {
        self.newest.store(taken.0, Ordering::Relaxed);
    }

    /// When the newest was taken; 0 for none.
    pub fn newest(&self) -> Timestamp {
        Timestamp(self.newest.load(Ordering::Relaxed))
    }
}

pub(super) fn proof(
    name: &'static str,
    state: Outcome,
    evidence: String,
    advice: &'static str,
) -> Proof {
    Proof {
        name: name.to_owned(),
        state,
        evidence,
        advice: (state != Outcome::Ok).then(|| advice.to_owned()),
        age: Some(Duration::ZERO),
        period: None,
    }
}

fn agreement(state: &State, health: &Health) -> Vec<Proof> {
    let named = |id: &NodeId| {
        let node = state.nodes.get(id);
        node.map_or_else(|| id.to_string(), |it| it.facts.name.to_string())
    };
    let quorum = match &health.halted {
        Some(why) => (
            Outcome::Failed,
            format!("this node does not take part: {why}"),
        ),
        None if health.alone() => (Outcome::Failed, "this node reaches no majority".to_owned()),
        None => {
            let leader = health.leader.as_ref().map_or_else(String::new, named);
            (Outcome::Ok, format!("a majority agrees; {leader} leads"))
        }
    };
    let gone: Vec<String> = health
        .peers
        .iter()
        .filter(|it| !it.reachable || it.certificate_expired)
        .map(|it| named(&it.id))
        .collect();
    let members = match gone.is_empty() {
        true => (
            Outcome::Ok,
            format!("{} other nodes answer", health.peers.len()),
        ),
        false => (
            Outcome::Failed,
            format!(
                "not reached, or with an expired certificate: {}",
                gone.join(", ")
            ),
        ),
    };
    let voters = state.voters.len();
    let placement = match sound_voters(state, &state.voters) {
        Ok(()) if voters >= 3 => (
            Outcome::Ok,
            format!("{voters} voters, no provider has half"),
        ),
        Ok(()) => (
            Outcome::Warning,
            format!("{voters} voter: it is a single point of failure"),
        ),
        Err(why) => (
            Outcome::Warning,
            why.to_string()
                .replace(" (--force to do it all the same)", ""),
        ),
    };
    vec![
        proof("quorum", quorum.0, quorum.1, "look at 'lifeboat status'"),
        proof(
            "nodes",
            members.0,
            members.1,
            "start or replace the nodes: 'lifeboat nodes'",
        ),
        proof(
            "placement",
            placement.0,
            placement.1,
            "add voters at other providers: 'lifeboat token create'",
        ),
    ]
}

fn clocks(health: &Health) -> Proof {
    let apart = health.peers.iter().filter_map(|it| it.clock_ahead_ms);
    let worst = apart.map(i64::unsigned_abs).max();
    let (state, evidence) = match worst {
        None => (
            Outcome::NotProven,
            "no other node's clock is known".to_owned(),
        ),
        Some(ms) => {
            let state = match ms {
                CLOCK_FAILED_MS.. => Outcome::Failed,
                CLOCK_WARN_MS.. => Outcome::Warning,
                _ => Outcome::Ok,
            };
            (state, format!("{ms} ms from this node's to the furthest"))
        }
    };
    proof(
        "clocks",
        state,
        evidence,
        "look at the time service (NTP) of the nodes",
    )
}

fn disk(room: Option<(u64, u64)>, health: &Health) -> Proof {
    let advice = "make room, or replace the disk";
    if let Some(why) = &health.disk.poisoned {
        let evidence = format!("the journal takes no more writes: {why}");
        return proof("disk", Outcome::Failed, evidence, advice);
    }
    let Some((free, all)) = room else {
        let evidence = "the room on it cannot be told".to_owned();
        return proof("disk", Outcome::NotProven, evidence, advice);
    };
    let percent = free.saturating_mul(100) / all.max(1);
    let state = match () {
        () if free < DISK_FAILED => Outcome::Failed,
        () if percent < DISK_WARN_PERCENT => Outcome::Warning,
        () => Outcome::Ok,
    };
    let evidence = format!(
        "{} GiB free, {percent} %; the last write took {} ms",
        free >> 30,
        health.disk.last_write_us / 1_000
    );
    proof("disk", state, evidence, advice)
}

fn site(state: &State, own: NodeId) -> Proof {
    let advice = "publish one with 'lifeboat site publish'";
    let Some(live) = state.sites.live() else {
        let evidence = "no website is published; the built-in one is served".to_owned();
        return proof("website", Outcome::Warning, evidence, advice);
    };
    let blob = state.blobs.get(&live.bundle);
    let here = blob.is_some_and(|it| it.holders.contains_key(&own));
    let (state, evidence) = match here {
        true => (
            Outcome::Ok,
            format!("from {}, on this node", rfc3339(live.at)),
        ),
        false => (
            Outcome::Failed,
            "this node has no copy of it yet".to_owned(),
        ),
    };
    proof("website", state, evidence, "look at 'lifeboat site list'")
}

fn mail(state: &State, now: Timestamp) -> Proof {
    let since = outbox::next_due(state).map_or(0, |it| now.ms_since(it));
    let (outcome, evidence) = match since {
        OUTBOX_FAILED_MS.. => (
            Outcome::Failed,
            format!("mail has been due for {} min", since / 60_000),
        ),
        _ => (
            Outcome::Ok,
            format!("{} waiting, none for long", state.outbox.len()),
        ),
    };
    proof(
        "mail",
        outcome,
        evidence,
        "look at the relays: the log of the nodes says what they answered",
    )
}

fn held(state: &State) -> Proof {
    let items = state.held.items.len();
    let generation = state.cluster.as_ref().map_or(0, |it| it.generation);
    let switching = state.failover.released != generation && !state.failover.services.is_empty();
    let (outcome, evidence) = match items > 0 || switching {
        true => (
            Outcome::Warning,
            format!(
                "{items} mails and notices, switching: {}",
                if switching { "held" } else { "released" }
            ),
        ),
        false => (Outcome::Ok, "nothing waits for a person's word".to_owned()),
    };
    proof(
        "held",
        outcome,
        evidence,
        "look at 'lifeboat held' and release it",
    )
}

/// Whether this node has the vault's key, where there is a vault, and whether people could open it once more.
fn vault(state: &State, keyring: &Keyring) -> Option<Proof> {
    keyring.look_at_vault(&state.vault);
    let ways = state.vault.ways.len();
    let mut moved = state.nodes.iter().filter(|(id, node)| {
        let at = &node.facts.advertise;
        state.members().contains(*id) && !state.vault.may_be_handed(**id, at)
    });
    let (outcome, evidence) = match (keyring.vault_standing(), moved.next()) {
        (Standing::Absent, _) => return None,
        (Standing::Locked, _) => (Outcome::Failed, "locked on this node".to_owned()),
        (Standing::Open, Some((id, _))) => (
            Outcome::Warning,
            format!("open; {id} is where nobody trusted it with the key"),
        ),
        (Standing::Open, None) if ways < 2 => (
            Outcome::Warning,
            "open; there is one way into it only".to_owned(),
        ),
        (Standing::Open, None) => (Outcome::Ok, format!("open; {ways} ways into it")),
    };
    let advice = "'lifeboat vault' says which: unlock it, trust the node, or add a second way";
    Some(proof("vault", outcome, evidence, advice))
}

/// How old the directory is, where there is one: a company without customers' data here needs none.
fn directory(state: &State, now: Timestamp) -> Option<Proof> {
    let live = state.directory.versions.get(&state.directory.live?)?;
    let age = now.ms_since(live.at);
    let outcome = match age > DIRECTORY_WARN_MS {
        true => Outcome::Warning,
        false => Outcome::Ok,
    };
    let evidence = format!(
        "{} customers, from {}",
        live.counts.customers,
        rfc3339(live.at)
    );
    Some(proof(
        "directory",
        outcome,
        evidence,
        "import it anew: 'lifeboat directory import'",
    ))
}

fn backups(mark: Option<&BackupMark>, now: Timestamp) -> Proof {
    let advice = "set [backup] in the configuration, and look at the log; 'lifeboat backup take' makes one by hand";
    let Some(mark) = mark else {
        let evidence = "this node makes none by itself".to_owned();
        return proof("backup", Outcome::NotProven, evidence, advice);
    };
    let newest = mark.newest();
    if newest == Timestamp::default() {
        let evidence = "none was made and read back since the start".to_owned();
        return proof("backup", Outcome::NotProven, evidence, advice);
    }
    let outcome = match now.ms_since(newest) > mark.every_hours * 2 * HOUR {
        true => Outcome::Failed,
        false => Outcome::Ok,
    };
    let evidence = format!("the newest was taken at {}", rfc3339(newest));
    proof("backup", outcome, evidence, advice)
}

fn people(state: &State, now: Timestamp) -> [Proof; 3] {
    let accounts = state.people.accounts.values();
    let leaders: Vec<_> = accounts.filter(|it| it.roles.may(Role::Leader)).collect();
    let reached = leaders.iter().filter(|it| it.ways.len() >= 2).count();
    let evidence = format!(
        "{} may lead a shift, {reached} of them with two ways to be reached",
        leaders.len()
    );
    let outcome = match reached {
        0 => Outcome::Failed,
        1 => Outcome::Warning,
        _ => Outcome::Ok,
    };
    let advice = "have two people who may lead, each with two ways: 'lifeboat people'";
    let ways = proof("people", outcome, evidence, advice);
    let leading = match &state.people.leading {
        Some(_) => (Outcome::Ok, "somebody leads the shift".to_owned()),
        None => (Outcome::Warning, "nobody leads the shift".to_owned()),
    };
    let advice = "say who does: 'lifeboat shift lead NAME'";
    let shift = proof("shift", leading.0, leading.1, advice);
    let good = state.people.envelopes.values();
    let good: Vec<_> = good.filter(|it| it.is_good(now) && it.left() > 0).collect();
    let longest = good.iter().map(|it| it.expires).max();
    let (outcome, evidence) = match longest {
        None => (Outcome::Failed, "no sealed envelope is good".to_owned()),
        Some(until) => {
            let soon = until.ms_since(now) < ENVELOPE_WARN_MS;
            let outcome = if soon { Outcome::Warning } else { Outcome::Ok };
            (
                outcome,
                format!("{} good, the last until {}", good.len(), rfc3339(until)),
            )
        }
    };
    let advice = "print new ones: 'lifeboat breakglass print'";
    [ways, shift, proof("envelopes", outcome, evidence, advice)]
}

/// Whether the ways by which machines wake those on call were seen to work; nothing where nobody is on call.
fn ways(state: &State, now: Timestamp) -> Option<Proof> {
    let (mut count, mut unproven) = (0_u32, Vec::new());
    let on_call = on_call(state);
    for name in &on_call {
        let ways = state.people.accounts.get(name).map(|it| it.ways.as_slice());
        let ways = ways.unwrap_or_default().iter();
        for way in ways.filter(|it| can_carry(state, it.kind)) {
            count += 1;
            let proven = way
                .proven
                .is_some_and(|at| now.ms_since(at) <= limits::WAY_PROOF_MS);
            if !proven {
                unproven.push(format!("{name} by {}", way.kind.name()));
            }
        }
    }
    if on_call.is_empty() {
        return None;
    }
    let (outcome, evidence) = match (count, unproven.is_empty()) {
        (0, _) => (
            Outcome::Failed,
            "no machine can wake anybody who is on call".to_owned(),
        ),
        (_, false) => (
            Outcome::NotProven,
            format!("not seen to work lately: {}", unproven.join(", ")),
        ),
        (_, true) => (Outcome::Ok, format!("{count} were seen to work lately")),
    };
    let advice = "have each tried: 'lifeboat people prove NAME'; they are tried each week";
    Some(proof("ways", outcome, evidence, advice))
}
