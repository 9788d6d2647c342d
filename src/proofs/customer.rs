//! The synthetic customer: this node writes at another one by the public's own page and form, and waits until its words
//! come out of an agent's stream here. One other node at a time, each in its turn.
//!
//! What it writes is proven by the service key, and of a type of its own from the door on (see `model::synthetic`).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use tokio::time::{Instant, timeout};

use super::{
    Found, Inner,
    board::{Finding, Outcome, ago},
    doors::Doors,
    visit::{Ask, visit},
};
use crate::{
    clock,
    model::{
        limits::SYNTHETIC_ARRIVES_MS,
        words::{ConversationId, NodeId},
    },
    seal::conversation_context,
    tasks::Stop,
};

/// An agent's stream of a conversation, from now on, until the stop.
pub type AgentsStream = dyn Fn(ConversationId, Stop) -> BoxStream<'static, Bytes> + Send + Sync;

const ADVICE: &str = "what customers write there may not reach agents here: look at that node's log, its page \"write to us\" and 'lifeboat status' on both";
const OLD: &str = "upgrade all nodes";
const ALONE: &str = "add a node; with one alone nobody but customers can try";

/// What became of the last message to each other node.
#[derive(Debug, Default)]
pub(super) struct Letters(Mutex<Written>);

#[derive(Debug, Default)]
struct Written {
    rounds: usize,
    last: BTreeMap<NodeId, (Instant, Result<Duration, String>)>,
}

/// Writes to the node whose turn it is, and says how it stands with all.
pub(super) async fn look(inner: &Inner) -> Found {
    let own = inner.parts.cluster.id();
    let (known, unknown) = inner.nodes();
    let others: Vec<_> = known.into_iter().filter(|it| it.0 != own).collect();
    let takes = inner.take_synthetics();
    let (others, old): (Vec<_>, Vec<_>) = others.into_iter().partition(|it| takes.contains(&it.0));
    if inner.heard.is_some_too_old() {
        let why =
            "not written while a node runs a version that could not read it, or has just started";
        let finding = Finding::new(Outcome::NotProven, why, OLD);
        return vec![("customer", Some(finding))];
    }
    let finding = match (others.is_empty(), unknown.is_empty() && old.is_empty()) {
        (true, true) => Finding::new(Outcome::NotProven, "there is no other node", ALONE),
        (true, false) => {
            let why = "no other node has said yet that it takes what this one writes";
            Finding::new(Outcome::NotProven, why, ADVICE)
        }
        (false, _) => {
            let turn = inner.letters.turn() % others.len();
            let (node, name, doors) = &others[turn];
            let wrote = write(inner, *node, doors).await;
            if let Err(why) = &wrote {
                tracing::warn!(node = %name, why, "what was written there as a customer did not arrive here");
            }
            inner.letters.note(*node, wrote);
            let period = inner.parts.periods.customer;
            let period = period.saturating_mul(u32::try_from(others.len()).unwrap_or(u32::MAX));
            let names = others.iter().map(|it| (it.0, it.1.clone()));
            inner.letters.judged(&names.collect::<Vec<_>>(), period)
        }
    };
    vec![("customer", Some(finding))]
}

impl Letters {
    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> usize {
        let mut written = self.lock();
        written.rounds = written.rounds.wrapping_add(1);
        written.rounds
    }

    fn note(&self, node: NodeId, wrote: Result<Duration, String>) {
        let now = clock::monotonic();
        self.lock().last.insert(node, (now, wrote));
    }

    /// How it stands with these nodes, each of which must have been written to within `period`.
    fn judged(&self, nodes: &[(NodeId, String)], period: Duration) -> Finding {
        let mut written = self.lock();
        written
            .last
            .retain(|node, _| nodes.iter().any(|it| it.0 == *node));
        let (mut amiss, mut waiting, mut good) = (Vec::new(), Vec::new(), Vec::new());
        for (node, name) in nodes {
            match written.last.get(node) {
                None => waiting.push(format!("{name}: not written to yet")),
                Some((at, Err(why))) => {
                    amiss.push(format!("{name}: {why}, {} ago", ago(at.elapsed())));
                }
                Some((at, Ok(_))) if at.elapsed() > period => {
                    waiting.push(format!("{name}: last {} ago", ago(at.elapsed())));
                }
                Some((_, Ok(took))) => good.push(format!("{name} {} ms", took.as_millis())),
            }
        }
        match (amiss.is_empty(), waiting.is_empty()) {
            (true, false) => Finding::new(Outcome::NotProven, waiting.join("; "), ADVICE),
            _ => {
                let good = format!("from there to an agent here: {}", good.join(", "));
                Finding::of(good, &amiss, ADVICE)
            }
        }
    }
}

/// Writes once at this node, and says how long it took until the words came out of the stream here.
async fn write(inner: &Inner, to: NodeId, doors: &Doors) -> Result<Duration, String> {
    let parts = &inner.parts;
    let own = parts.cluster.id();
    let conversation = parts.keyring.synthetic_conversation(own);
    let leave = Stop::new();
    let _left = leave.clone().drop_guard();
    // Opened first, as by an agent who waits.
    let mut stream = (parts.agents)(conversation, leave);
    let tls = parts.tls.as_ref();
    let tls = tls.ok_or("this node can make no TLS connections; its log says why")?;
    let (Some(at), Some(host)) = (doors.https.first(), doors.names.first()) else {
        return Err("it has said no address of its website".to_owned());
    };
    let began = clock::monotonic();
    let page = Ask {
        path: "/write?lang=en",
        form: None,
    };
    let page = visit(tls, *at, host, page).await;
    let page = page.map_err(|it| format!("its page cannot be had: {it}"))?;
    let token = token(&page.body).ok_or_else(|| {
        let status = page.status;
        format!("its page \"write to us\" has no form (status {status})")
    })?;
    let number = u64::from_be_bytes(clock::random_bytes());
    let text = format!("This node writes as a customer, to see that it arrives: {number:016x}");
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("lang", "en")
        .append_pair("token", token)
        .append_pair("text", &text)
        .append_pair("contact", "synthetic@customer.invalid")
        .append_pair("proof", &parts.keyring.synthetic(own, to, token, &text))
        .finish();
    let ask = Ask {
        path: "/write",
        form: Some(form),
    };
    let taken = visit(tls, *at, host, ask).await;
    let taken = taken.map_err(|it| format!("its form was sent and not answered: {it}"))?;
    if taken.status != 303 {
        return Err(format!("its form is not taken (status {})", taken.status));
    }
    let within = Duration::from_millis(SYNTHETIC_ARRIVES_MS);
    let arriving = timeout(within, arrives(inner, &mut stream, to, &text));
    match arriving.await {
        Ok(true) => Ok(began.elapsed()),
        Ok(false) => Err("an agent's stream here ended".to_owned()),
        Err(_) => Err(format!(
            "it was taken there, and did not come out of an agent's stream here within {} s",
            within.as_secs()
        )),
    }
}

/// Reads an agent's stream until these words are there to be read.
async fn arrives(
    inner: &Inner,
    stream: &mut BoxStream<'static, Bytes>,
    from: NodeId,
    text: &str,
) -> bool {
    let parts = &inner.parts;
    let own = parts.cluster.id();
    let context = conversation_context(&parts.keyring.synthetic_conversation(own));
    while let Some(event) = stream.next().await {
        if !event.starts_with(b"data:") {
            continue;
        }
        let state = parts.cluster.state();
        let Some(standing) = state.synthetics.by_node.get(&own) else {
            continue;
        };
        let there = standing.words.iter().rev().any(|it| {
            let opened = parts.keyring.open(&context, &it.body);
            it.origin == from && opened.is_some_and(|it| it == text.as_bytes())
        });
        if there {
            return true;
        }
    }
    false
}

/// The token in the form of a page.
fn token(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("name=\"token\" value=\"")?;
    let (token, _) = rest.split_once('"')?;
    (!token.is_empty()).then_some(token)
}

/// The other end of [`AgentsStream`] where there is none, such as in tests of something else: it ends at once.
pub fn no_stream() -> Arc<AgentsStream> {
    Arc::new(|_, _| futures_util::stream::empty().boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_shows_its_token() {
        let page = r#"<input type="hidden" name="token" value="v1.a.b.c"><textarea>"#;
        assert_eq!(token(page), Some("v1.a.b.c"));
        assert_eq!(token("<p>Closed</p>"), None);
        assert_eq!(token(r#"name="token" value="">"#), None);
    }

    #[test]
    fn every_other_node_must_have_been_written_to_lately() {
        let letters = Letters::default();
        let nodes = [(NodeId(2), "b".to_owned()), (NodeId(3), "c".to_owned())];
        let period = Duration::from_secs(240);
        letters.note(NodeId(2), Ok(Duration::from_millis(300)));
        let first = letters.judged(&nodes, period);
        assert_eq!(first.state, Outcome::NotProven, "{first:?}");
        letters.note(NodeId(3), Ok(Duration::from_millis(400)));
        assert_eq!(letters.judged(&nodes, period).state, Outcome::Ok);
        // What was good for long enough is not good any more.
        let stale = letters.judged(&nodes, Duration::ZERO);
        assert_eq!(stale.state, Outcome::NotProven, "{stale:?}");
        letters.note(NodeId(3), Err("it was taken and did not come".to_owned()));
        let bad = letters.judged(&nodes, period);
        assert_eq!(bad.state, Outcome::Failed);
        assert!(bad.evidence.contains("c: it was taken"), "{bad:?}");
        // Of a node that is gone nobody speaks.
        assert_eq!(letters.judged(&nodes[..1], period).state, Outcome::Ok);
    }
}
