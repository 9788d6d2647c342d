//! Names, seen from this node: what every node's name server answers of every zone over UDP and TCP, how long signatures
//! hold there, and what the zones above say of ours.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream};

use super::{
    Found, Inner,
    board::{Finding, Outcome},
};
use crate::{
    clock,
    dns::{outside, transfer::delegation::Undelegated},
    model::{
        State,
        domain::DomainName,
        limits::{PROOF_LOOKS_AT_ONCE, PROOF_SIGNATURE_DAYS, PROOF_ZONES_AT_ONCE},
        names::asked_for,
    },
};

/// How long a change may take to be everywhere before it is looked at again.
const AGAIN: Duration = Duration::from_secs(2);
const DAY_S: i64 = 86_400;
const ANSWERS: &str = "look at 'lifeboat dns status' and at the log of that node; a wrong answer is worse than none: stop the node if it stays";
const SIGNATURES: &str =
    "look at 'lifeboat dns key list', at the clocks, and why the leader does not sign anew";
const DELEGATION: &str =
    "put it right at the registrar; 'lifeboat dns key parent' names the servers to ask";

/// Which zones' turn it is, where there are too many for one round.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicUsize);

impl Turn {
    fn of(&self, all: &[DomainName]) -> Vec<DomainName> {
        if all.len() <= PROOF_ZONES_AT_ONCE {
            return all.to_vec();
        }
        let from = self.0.fetch_add(PROOF_ZONES_AT_ONCE, Ordering::Relaxed) % all.len();
        let round = all.iter().cycle().skip(from);
        round.take(PROOF_ZONES_AT_ONCE).cloned().collect()
    }
}

fn zones(state: &State) -> Vec<DomainName> {
    let live = state.dns.zones.iter().filter(|(_, it)| it.live.is_some());
    live.map(|(name, _)| name.clone()).collect()
}

/// Every address at which a node answers names.
fn servers(inner: &Inner) -> Vec<(String, SocketAddr)> {
    let (known, _) = inner.nodes();
    let all = known.into_iter().flat_map(|(_, name, doors)| {
        let all = doors.dns.into_iter();
        all.map(move |it| (name.clone(), it))
    });
    all.collect()
}

/// Every zone with every server.
fn pairs(
    zones: &[DomainName],
    servers: &[(String, SocketAddr)],
) -> Vec<(DomainName, String, SocketAddr)> {
    let of_zone = |zone: &DomainName| {
        let all = servers.iter();
        let all = all.map(|(node, server)| (zone.clone(), node.clone(), *server));
        all.collect::<Vec<_>>()
    };
    zones.iter().flat_map(of_zone).collect()
}

fn counted(round: usize, all: usize) -> String {
    match round == all {
        true if all == 1 => "one zone".to_owned(),
        true => format!("{all} zones"),
        false => format!("{round} of {all} zones, the others in turn"),
    }
}

pub(super) async fn answers(inner: &Inner) -> Found {
    let state = inner.parts.cluster.state();
    let all = zones(&state);
    if all.is_empty() {
        return vec![("answers", None)];
    }
    if inner.parts.names.is_none() {
        let why = "this node answers no names itself, so it cannot tell what is expected";
        let advice = "ask a node that does, or give this one [dns]";
        let finding = Finding::new(Outcome::NotProven, why, advice);
        return vec![("answers", Some(finding))];
    }
    let round = inner.answers_turn.of(&all);
    let servers = servers(inner);
    let looks = stream::iter(pairs(&round, &servers)).map(|(zone, node, server)| async move {
        let seen = compared(inner, &zone, server).await;
        seen.err()
            .map(|why| format!("{node} at {server}, {zone}: {why}"))
    });
    let looks: Vec<Option<String>> = looks.buffer_unordered(PROOF_LOOKS_AT_ONCE).collect().await;
    let mut amiss: Vec<String> = looks.into_iter().flatten().collect();
    amiss.sort();
    let counted = counted(round.len(), all.len());
    let good = format!(
        "{counted} answered alike by {} addresses, over UDP and TCP",
        servers.len()
    );
    vec![("answers", Some(Finding::of(good, &amiss, ANSWERS)))]
}

async fn compared(inner: &Inner, zone: &DomainName, server: SocketAddr) -> Result<(), String> {
    let first = compared_once(inner, zone, server).await;
    if first.is_ok() {
        return first;
    }
    // It may have changed meanwhile: the next answer counts.
    tokio::time::sleep(AGAIN).await;
    compared_once(inner, zone, server).await
}

async fn compared_once(inner: &Inner, zone: &DomainName, server: SocketAddr) -> Result<(), String> {
    let state = inner.parts.cluster.state();
    let live = state.dns.zones.get(zone).and_then(|it| it.live.as_ref());
    let Some(live) = live else {
        return Ok(());
    };
    let switched: Vec<_> = asked_for(live).into_iter().map(|it| it.0).collect();
    let answers = inner.parts.names.as_ref();
    let expected = answers.and_then(|it| outside::expected(it, zone, &switched));
    let expected =
        expected.ok_or("this node does not answer it yet, so nothing can be compared")?;
    outside::compare(server, &expected).await
}

pub(super) async fn signatures(inner: &Inner) -> Found {
    let state = inner.parts.cluster.state();
    let is_signed = |zone: &DomainName| {
        let live = state.dns.zones.get(zone).and_then(|it| it.live.as_ref());
        live.is_some_and(|it| it.signed.is_some())
    };
    let all: Vec<DomainName> = zones(&state).into_iter().filter(is_signed).collect();
    if all.is_empty() {
        return vec![("signatures", None)];
    }
    let round = inner.signatures_turn.of(&all);
    let servers = servers(inner);
    let looks = stream::iter(pairs(&round, &servers)).map(|(zone, node, server)| async move {
        let left = match outside::signed_until(server, &zone).await {
            Ok(Some(until)) => Ok(days_left(until, clock::now().0 / 1_000)),
            Ok(None) => Err("no signature".to_owned()),
            Err(why) => Err(why),
        };
        (format!("{node} at {server}, {zone}"), left)
    });
    let looks: Vec<_> = looks.buffer_unordered(PROOF_LOOKS_AT_ONCE).collect().await;
    let (mut amiss, mut least) = (Vec::new(), i64::MAX);
    for (place, left) in looks {
        match left {
            Ok(days) if days < PROOF_SIGNATURE_DAYS => {
                amiss.push(format!("{place}: signatures end in {days} days"));
            }
            Ok(days) => least = least.min(days),
            Err(why) => amiss.push(format!("{place}: {why}")),
        }
    }
    amiss.sort();
    let counted = counted(round.len(), all.len());
    let good = format!("{counted} signed, for {least} days at least");
    vec![("signatures", Some(Finding::of(good, &amiss, SIGNATURES)))]
}

/// Whole days from `now` to a time of signatures, both in seconds since 1970; the latter wraps (RFC 4034 section 3.1.5).
fn days_left(until: u32, now: u64) -> i64 {
    let apart = until.wrapping_sub(now as u32) as i32;
    i64::from(apart).div_euclid(DAY_S)
}

pub(super) async fn delegation(inner: &Inner) -> Found {
    let state = inner.parts.cluster.state();
    let all = zones(&state);
    let Some(transfers) = inner.parts.transfers.as_ref().filter(|_| !all.is_empty()) else {
        return vec![("delegation", None)];
    };
    let round = inner.delegation_turn.of(&all);
    let looks = stream::iter(round.clone()).map(|zone| async move {
        let said = transfers.delegation(&zone).await;
        (zone, said)
    });
    let looks: Vec<_> = looks.buffer_unordered(PROOF_LOOKS_AT_ONCE).collect().await;
    let (mut amiss, mut unknown, mut good) = (Vec::new(), Vec::new(), Vec::new());
    for (zone, said) in looks {
        match said {
            Ok(said) => good.push(format!("{zone}: {said}")),
            Err(Undelegated::Differs(why)) => amiss.push(format!("{zone}: {why}")),
            Err(Undelegated::Unknown(why)) => unknown.push(format!("{zone}: {why}")),
        }
    }
    good.sort();
    unknown.sort();
    amiss.sort();
    let finding = match (amiss.is_empty(), unknown.is_empty()) {
        (true, false) => Finding::new(Outcome::NotProven, unknown.join("; "), DELEGATION),
        _ => {
            good.truncate(3);
            let counted = counted(round.len(), all.len());
            let good = format!("{counted} as the zones above say; {}", good.join("; "));
            Finding::of(good, &amiss, DELEGATION)
        }
    };
    vec![("delegation", Some(finding))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_signatures_are_counted_over_the_wrap() {
        let day = 86_400_u32;
        assert_eq!(days_left(day * 10, u64::from(day) * 3), 7);
        assert_eq!(days_left(day, u64::from(day) + 1), -1);
        // 2106: the counter begins anew while the clock goes on.
        assert_eq!(days_left(day - 1, (1 << 32) - 1), 1);
    }

    #[test]
    fn every_zone_has_its_turn() {
        let name = |it: usize| format!("z{it}.test").parse::<DomainName>().unwrap();
        let all: Vec<DomainName> = (0..PROOF_ZONES_AT_ONCE * 2 + 7).map(name).collect();
        let turn = Turn::default();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let round = turn.of(&all);
            assert_eq!(round.len(), PROOF_ZONES_AT_ONCE);
            seen.extend(round);
        }
        assert_eq!(seen.len(), all.len());
    }
}
