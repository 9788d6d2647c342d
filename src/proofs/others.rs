//! Other people's servers and our own for mail, seen from this node: a session with each relay, each node's listener for
//! mail, and whether channels would take something. Nothing is sent by any of it.

use std::{net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream};

use super::{
    Found, Inner,
    board::{Finding, Outcome},
    visit::reach,
};
use crate::{
    mail::receiver::Standing,
    model::{
        limits::{PROOF_LOOK_MS, PROOF_LOOKS_AT_ONCE},
        notice::Means,
    },
    probe,
};

const RELAYS: &str = "look at the relay, its password and the firewall on the way; mail goes by the others meanwhile";
const NO_RELAY: &str =
    "no mail can leave this node: look at the relays, their passwords and the firewall on the way";
const MAIL_IN: &str =
    "start the node, or open its port for mail; other mail servers try again for days";
const MAIL_KEYS: &str =
    "'lifeboat mail ready' says which record is wanted; receivers take unsigned mail for spam";
const BRIDGES: &str = "'lifeboat bridge list' says more; look at the program at the other end, and answer from the inbox meanwhile";
const CHANNELS: &str = "'lifeboat channel check NAME' says more; give the channel a new token";

pub(super) async fn relays(inner: &Inner) -> Found {
    let Some(way) = &inner.parts.mail else {
        return vec![("relays", None)];
    };
    let seen = way.greet().await;
    let count = seen.len();
    let amiss = seen.into_iter().filter_map(|(host, it)| {
        let why = it.err()?;
        Some(format!("{host}: {why}"))
    });
    let amiss: Vec<String> = amiss.collect();
    let none = !amiss.is_empty() && amiss.len() == count;
    let advice = if none { NO_RELAY } else { RELAYS };
    let good = format!("{count} would take a mail");
    vec![("relays", Some(Finding::of(good, &amiss, advice)))]
}

/// Whether the DNS has every key that signs our mail. Which other records are wanted `lifeboat mail ready` says.
pub(super) async fn mail_keys(inner: &Inner) -> Found {
    let state = inner.parts.cluster.state();
    let signing = state.mail_keys.all.iter().filter(|it| it.1.signs.is_some());
    let signing: Vec<_> = signing
        .map(|(name, key)| (name.clone(), key.clone()))
        .collect();
    let Some(receiver) = inner
        .parts
        .receiver
        .as_ref()
        .filter(|_| !signing.is_empty())
    else {
        return vec![("mail-keys", None)];
    };
    let (mut amiss, mut unsaid) = (Vec::new(), Vec::new());
    for (name, key) in &signing {
        let sight = receiver.key(name, key).await;
        let line = format!("{} {}", sight.of, sight.found);
        match sight.standing {
            Standing::Good => {}
            Standing::Unproven => unsaid.push(line),
            Standing::Doubtful | Standing::Bad => amiss.push(line),
        }
    }
    if amiss.is_empty() && !unsaid.is_empty() {
        let finding = Finding::new(Outcome::NotProven, unsaid.join("; "), MAIL_KEYS);
        return vec![("mail-keys", Some(finding))];
    }
    let good = format!("the DNS has all {} that sign", signing.len());
    vec![("mail-keys", Some(Finding::of(good, &amiss, MAIL_KEYS)))]
}

pub(super) async fn mail_in(inner: &Inner) -> Found {
    let (known, _) = inner.nodes();
    let places = known.into_iter().flat_map(|(_, name, doors)| {
        let all = doors.mail.into_iter();
        all.map(move |it| (name.clone(), it))
    });
    let places: Vec<(String, SocketAddr)> = places.collect();
    if places.is_empty() {
        return vec![("mail-in", None)];
    }
    let count = places.len();
    let looks = stream::iter(places).map(|(node, to)| async move {
        let within = Duration::from_millis(PROOF_LOOK_MS);
        let why = probe::greets(to, within).await.err()?;
        Some(format!("{node} at {to}: {why}"))
    });
    let looks: Vec<Option<String>> = looks.buffer_unordered(PROOF_LOOKS_AT_ONCE).collect().await;
    let mut amiss: Vec<String> = looks.into_iter().flatten().collect();
    amiss.sort();
    let good = format!("{count} addresses greet as mail servers do");
    vec![("mail-in", Some(Finding::of(good, &amiss, MAIL_IN)))]
}

/// Whether bridges take what is carried, and their other ends can be reached from here. Nothing is posted.
pub(super) async fn bridges(inner: &Inner) -> Found {
    let state = inner.parts.cluster.state();
    let all = state.bridges.all.iter();
    let all: Vec<_> = all.map(|(name, it)| (name.clone(), it.clone())).collect();
    if all.is_empty() {
        return vec![("bridges", None)];
    }
    let Some(way) = &inner.parts.channels else {
        let why = "this node can make no TLS connections; its log says why";
        let finding = Finding::new(Outcome::Failed, why, BRIDGES);
        return vec![("bridges", Some(finding))];
    };
    let count = all.len();
    let looks = stream::iter(all).map(|(name, bridge)| async move {
        if let Some(trouble) = &bridge.trouble {
            return Some(format!("{name}: {}", trouble.why.as_str()));
        }
        let Some(site) = way.bridge_site(&name, &bridge) else {
            return Some(format!("{name}: this node cannot open its address"));
        };
        let reached = reach(inner.parts.tls.as_ref(), &site).await;
        reached.err().map(|why| format!("{name}: {why}"))
    });
    let looks: Vec<Option<String>> = looks.buffer_unordered(PROOF_LOOKS_AT_ONCE).collect().await;
    let mut amiss: Vec<String> = looks.into_iter().flatten().collect();
    amiss.sort();
    let good = format!("{count} are reached and take what is carried");
    vec![("bridges", Some(Finding::of(good, &amiss, BRIDGES)))]
}

pub(super) async fn channels(inner: &Inner) -> Found {
    let state = inner.parts.cluster.state();
    let asked = state.notices.channels.iter().filter(|(_, it)| {
        let means = &it.facts.means;
        !matches!(means, Means::Mail { .. } | Means::ByHand { .. })
    });
    let asked = asked.map(|(name, it)| (name.clone(), it.clone()));
    let asked: Vec<_> = asked.collect();
    if asked.is_empty() {
        return vec![("channels", None)];
    }
    let Some(way) = &inner.parts.channels else {
        let why = "this node can make no TLS connections; its log says why";
        let finding = Finding::new(Outcome::Failed, why, CHANNELS);
        return vec![("channels", Some(finding))];
    };
    let count = asked.len();
    let looks = stream::iter(asked).map(|(name, channel)| async move {
        let seen = match &channel.facts.means {
            // A webhook shows people whatever it is sent, so that it is only connected to.
            Means::Webhook { url } => reach(inner.parts.tls.as_ref(), url.as_str()).await,
            _ => way.check(&name, &channel).await.map(drop),
        };
        seen.err().map(|why| format!("{name}: {why}"))
    });
    let looks: Vec<Option<String>> = looks.buffer_unordered(PROOF_LOOKS_AT_ONCE).collect().await;
    let mut amiss: Vec<String> = looks.into_iter().flatten().collect();
    amiss.sort();
    let good = format!("{count} would take a notice; webhooks are reached and not tried");
    vec![("channels", Some(Finding::of(good, &amiss, CHANNELS)))]
}
