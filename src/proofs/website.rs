//! The website as every node shows it to the public, seen from this node: an answer at each address under each own name,
//! the version that was agreed on, and a certificate that browsers trust for a while yet.

use std::{net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream};

use super::{
    Found, Inner,
    board::{Finding, Outcome},
    visit::{Ask, Seen, visit},
};
use crate::model::limits::{PROOF_CERTIFICATE_DAYS, PROOF_LOOKS_AT_ONCE};

/// How long a version that was just published may take to be everywhere before it is looked at again.
const AGAIN: Duration = Duration::from_secs(2);
const DOORS: &str = "start the node, open its port 443, or look at its log; until then visitors who come to it find nothing";
const CERTIFICATES: &str = "renew it ('lifeboat certificate list' says how it stands), or put a new file into the folder of certificates";

pub(super) async fn look(inner: &Inner) -> Found {
    let (known, unknown) = inner.nodes();
    let mut amiss: Vec<String> = Vec::new();
    let places = known.iter().flat_map(|(_, name, doors)| {
        let names = doors.names.iter();
        names.flat_map(move |host| {
            let all = doors.https.iter();
            all.map(move |to| (name.clone(), host.clone(), *to))
        })
    });
    let places: Vec<(String, String, SocketAddr)> = places.collect();
    let looks = stream::iter(places).map(|(node, host, to)| async move {
        let seen = one(inner, &host, to).await;
        (format!("{node} as {host} at {to}"), seen)
    });
    let looks: Vec<(String, Result<Seen, String>)> =
        looks.buffer_unordered(PROOF_LOOKS_AT_ONCE).collect().await;
    let (mut distrusted, mut least) = (Vec::new(), None::<i64>);
    for (place, seen) in &looks {
        match seen {
            Err(why) => amiss.push(format!("{place}: {why}")),
            Ok(seen) => {
                distrusted.extend(distrust(place, seen));
                least = seen.days.into_iter().chain(least).min();
            }
        }
    }
    amiss.sort();
    distrusted.sort();
    let good = format!("{} places look right", looks.len());
    let doors = match (amiss.is_empty(), unknown.is_empty()) {
        (true, false) => {
            let who = unknown.join(", ");
            let why = format!("{good}; nobody has said yet where {who} is reached");
            Finding::new(Outcome::NotProven, why, DOORS)
        }
        _ => Finding::of(good, &amiss, DOORS),
    };
    let certificates = match (least, distrusted.is_empty()) {
        (None, true) => {
            let none = "no certificate could be seen";
            Finding::new(Outcome::NotProven, none, DOORS)
        }
        _ => {
            let days = least.unwrap_or_default();
            let good = format!("trusted, the first to end has {days} days left");
            Finding::of(good, &distrusted, CERTIFICATES)
        }
    };
    vec![("doors", Some(doors)), ("certificates", Some(certificates))]
}

fn distrust(place: &str, seen: &Seen) -> Option<String> {
    if let Some(why) = &seen.distrust {
        return Some(format!("{place}: browsers do not trust it: {why}"));
    }
    let days = seen.days?;
    (days < PROOF_CERTIFICATE_DAYS).then(|| format!("{place}: it ends in {days} days"))
}

async fn one(inner: &Inner, host: &str, to: SocketAddr) -> Result<Seen, String> {
    let first = looked(inner, host, to).await;
    if first.is_ok() {
        return first;
    }
    tokio::time::sleep(AGAIN).await;
    looked(inner, host, to).await
}

async fn looked(inner: &Inner, host: &str, to: SocketAddr) -> Result<Seen, String> {
    let tls = inner.parts.tls.as_ref();
    let tls = tls.ok_or("this node can make no TLS connections; its log says why")?;
    let ask = Ask {
        path: "/",
        form: None,
    };
    let seen = visit(tls, to, host, ask).await?;
    if seen.status != 200 {
        return Err(format!("status {}", seen.status));
    }
    if let Some(wanted) = (inner.parts.front_tag)()
        && seen.etag.as_ref() != Some(&wanted)
    {
        return Err("another version of the website than this node shows".to_owned());
    }
    Ok(seen)
}
