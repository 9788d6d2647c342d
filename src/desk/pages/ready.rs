//! Whether everything would work on the worst day: one sentence, then what is not proven with what to do, then everything,
//! node by node. What proofs stand on is in the words of the proofs, which are English.

use std::collections::BTreeMap;

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::{Frame, Visit};
use crate::desk::readiness::{OneNode, Told};
use crate::model::words::Lang;
use crate::proofs::Outcome;

/// The proofs that this program has words for: what it is, and what to do.
pub(super) const KNOWN: [&str; 29] = [
    "quorum",
    "nodes",
    "placement",
    "clocks",
    "disk",
    "website",
    "mail",
    "held",
    "vault",
    "directory",
    "backup",
    "people",
    "shift",
    "envelopes",
    "ways",
    "told",
    "doors",
    "certificates",
    "answers",
    "signatures",
    "delegation",
    "relays",
    "mail-keys",
    "mail-in",
    "channels",
    "bridges",
    "customer",
    "drill",
    "calendar",
];

#[derive(Template)]
#[template(path = "ready.html", config = "src/desk/pages/askama.toml")]
struct Ready<'a> {
    frame: Frame<'a>,
    good: bool,
    verdict: String,
    amiss: Vec<Amiss>,
    nodes: Vec<Node>,
}

/// A proof that some nodes do not show.
struct Amiss {
    class: &'static str,
    state: String,
    title: String,
    todo: String,
    lang: &'static str,
    seen: Vec<Seen>,
}

/// What some nodes say of it.
struct Seen {
    by: String,
    evidence: String,
}

/// Everything of one node.
struct Node {
    title: String,
    rows: Vec<Row>,
}

struct Row {
    class: &'static str,
    state: String,
    title: String,
    age: String,
    evidence: String,
}

/// How a state is coloured; its word and its shape say the same.
fn class(state: Outcome) -> &'static str {
    match state {
        Outcome::Ok => "good",
        Outcome::NotProven | Outcome::Warning => "warn",
        Outcome::Failed => "bad",
    }
}

pub(super) async fn show(visit: Visit) -> Response {
    let readiness = visit.desk().readiness().await;
    let all = || readiness.nodes.iter().flat_map(|it| &it.proofs);
    let count = all().count();
    let amiss = all().filter(|it| it.state != Outcome::Ok).count();
    let good = readiness.state == Outcome::Ok;
    let say = &visit.say;
    let nodes = readiness.nodes.len();
    let verdict = match good {
        true => {
            let parts = [("proofs", count.into()), ("nodes", nodes.into())];
            say.with("ready-good", parts)
        }
        false => {
            let parts = [("amiss", amiss.into()), ("proofs", count.into())];
            say.with("ready-bad", parts)
        }
    };
    let page = Ready {
        frame: visit.frame(),
        good,
        verdict,
        amiss: visit.amiss(&readiness.nodes),
        nodes: readiness.nodes.iter().map(|it| visit.of_node(it)).collect(),
    };
    visit.shown(StatusCode::OK, &page)
}

impl Visit {
    /// What is not proven, the worst first; what several nodes say of one proof stands together.
    fn amiss(&self, nodes: &[OneNode]) -> Vec<Amiss> {
        let mut by_name: BTreeMap<&str, Vec<(&OneNode, &Told)>> = BTreeMap::new();
        for node in nodes {
            for proof in node.proofs.iter().filter(|it| it.state != Outcome::Ok) {
                by_name.entry(&proof.name).or_default().push((node, proof));
            }
        }
        let mut all: Vec<(Outcome, Amiss)> = Vec::new();
        for (name, seen) in by_name {
            let worst = seen.iter().map(|it| it.1.state).max();
            let worst = worst.unwrap_or(Outcome::NotProven);
            let is_known = KNOWN.contains(&name);
            let advice = seen.iter().find_map(|it| it.1.advice.clone());
            let amiss = Amiss {
                class: class(worst),
                state: self.say.it(&format!("ready-{}", worst.name())),
                title: self.title(name),
                todo: match is_known {
                    true => self.say.it(&format!("proof-{name}-do")),
                    false => advice.unwrap_or_default(),
                },
                lang: if is_known {
                    self.say.lang.tag()
                } else {
                    Lang::En.tag()
                },
                seen: self.seen_from(&seen),
            };
            all.push((worst, amiss));
        }
        all.sort_by_key(|it| std::cmp::Reverse(it.0));
        all.into_iter().map(|it| it.1).collect()
    }

    /// What nodes say of one proof; who say the same stand together, with the oldest look of theirs.
    fn seen_from(&self, seen: &[(&OneNode, &Told)]) -> Vec<Seen> {
        let mut same: Vec<(&str, Vec<&str>, Option<u64>)> = Vec::new();
        for (node, proof) in seen {
            match same.iter_mut().find(|it| it.0 == proof.evidence) {
                Some((_, nodes, age)) => {
                    nodes.push(&node.node);
                    *age = (*age).max(proof.age_s);
                }
                None => same.push((&proof.evidence, vec![&node.node], proof.age_s)),
            }
        }
        let one = |(evidence, nodes, age): (&str, Vec<&str>, Option<u64>)| {
            let parts = [
                ("node", nodes.join(", ").into()),
                ("age", self.age(age).into()),
            ];
            Seen {
                by: self.say.with("ready-seen", parts),
                evidence: evidence.to_owned(),
            }
        };
        same.into_iter().map(one).collect()
    }

    fn of_node(&self, node: &OneNode) -> Node {
        let amiss = node.proofs.iter().filter(|it| it.state != Outcome::Ok);
        let parts = [
            ("node", node.node.clone().into()),
            ("proofs", node.proofs.len().into()),
            ("amiss", amiss.count().into()),
        ];
        let rows = node.proofs.iter().map(|it| Row {
            class: class(it.state),
            state: self.say.it(&format!("ready-{}", it.state.name())),
            title: self.title(&it.name),
            age: self.age(it.age_s),
            evidence: it.evidence.clone(),
        });
        Node {
            title: self.say.with("ready-node", parts),
            rows: rows.collect(),
        }
    }

    fn title(&self, name: &str) -> String {
        match KNOWN.contains(&name) {
            true => self.say.it(&format!("proof-{name}")),
            false => name.to_owned(),
        }
    }

    pub(super) fn age(&self, age_s: Option<u64>) -> String {
        let Some(age) = age_s else {
            return self.say.it("never");
        };
        let (key, count) = match age {
            0..10 => return self.say.it("just-now"),
            10..120 => ("ready-seconds-ago", age),
            120..7_200 => ("minutes-ago", age / 60),
            7_200..172_800 => ("hours-ago", age / 3_600),
            _ => ("days-ago", age / 86_400),
        };
        self.say.with(key, [("count", count.into())])
    }
}
