//! Whether this cluster would hold on the worst day, as far as this node can prove it: one line for each proof, with
//! what it stands on and what to do.
//!
//! Everything here is read from what the node knows already: asking costs nothing and sends nothing.

use axum::{Json, extract::State as Shared, routing::get};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, api::Route, status::room_on_disk};
use crate::{
    clock,
    cluster::health::Health,
    model::{
        State,
        nodes::sound_voters,
        outbox,
        people::Role,
        when::rfc3339,
        words::{NodeId, Timestamp},
    },
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

/// What a proof came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It holds.
    Ok,
    /// Nobody has shown it.
    NotProven,
    /// It holds, not for long or not well.
    Warning,
    /// It does not hold.
    Failed,
}

/// One proof.
#[derive(Serialize, ToSchema)]
struct Proof {
    name: &'static str,
    state: Outcome,
    /// What it stands on.
    evidence: String,
    /// What to do where it is not ok.
    advice: Option<&'static str>,
}

/// Every proof.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// The node that was asked.
    node: String,
    /// When.
    at: String,
    /// The worst of the proofs.
    state: Outcome,
    proofs: Vec<Proof>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new::<Readiness>(
        "get",
        "/readiness",
        "Whether the cluster would hold on the worst day, proof by proof, as this node knows it",
        get(readiness),
    )]
}

async fn readiness(Shared(desk): Shared<Desk>) -> Json<Readiness> {
    let (state, health, now) = (desk.cluster.state(), desk.cluster.health(), clock::now());
    let mut proofs = agreement(&state, &health);
    proofs.push(clocks(&health));
    let room = room_on_disk(desk.node.data_dir.clone()).await;
    proofs.push(disk(room, &health));
    proofs.push(site(&state, desk.cluster.id()));
    proofs.push(mail(&state, now));
    proofs.push(held(&state));
    proofs.extend(directory(&state, now));
    proofs.push(backups(desk.backups.as_ref(), now));
    proofs.extend(people(&state, now));
    let worst = proofs.iter().map(|it| it.state).max();
    Json(Readiness {
        node: desk.node.name.to_string(),
        at: rfc3339(now),
        state: worst.unwrap_or(Outcome::NotProven),
        proofs,
    })
}

fn proof(name: &'static str, state: Outcome, evidence: String, advice: &'static str) -> Proof {
    Proof {
        name,
        state,
        evidence,
        advice: (state != Outcome::Ok).then_some(advice),
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

fn backups(mark: Option<&super::BackupMark>, now: Timestamp) -> Proof {
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
