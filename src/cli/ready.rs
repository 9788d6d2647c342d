//! `lifeboat ready --proofs`: whether the cluster would hold on the worst day, as a table of every node's proofs and as an
//! exit status.

use serde::Deserialize;

use super::{
    Said,
    failure::Failure,
    node::Node,
    output::{printable, table},
};

#[derive(Debug, Deserialize)]
struct Readiness {
    node: String,
    at: String,
    state: String,
    nodes: Vec<OneNode>,
}

#[derive(Debug, Deserialize)]
struct OneNode {
    node: String,
    proofs: Vec<Proof>,
}

#[derive(Debug, Deserialize)]
struct Proof {
    name: String,
    state: String,
    evidence: String,
    advice: Option<String>,
    age_s: Option<u64>,
}

/// Shows every proof of every node. The exit status is 0 where all hold, 2 where one failed, 1 otherwise.
pub async fn ready(node: &Node) -> Result<Said, Failure> {
    let answer = node.get::<Readiness>("/readiness").await?;
    let it = answer.value;
    let mut said = Said::of(answer.json, text(&it));
    said.code = match it.state.as_str() {
        "ok" => 0,
        "failed" => 2,
        _ => 1,
    };
    Ok(said)
}

fn text(it: &Readiness) -> String {
    let all = || it.nodes.iter();
    let rows = all().flat_map(|node| node.proofs.iter().map(move |proof| (node, proof)));
    let rows: Vec<Vec<String>> = rows
        .map(|(node, proof)| {
            let age = proof
                .age_s
                .map_or("never".to_owned(), |it| format!("{it} s"));
            let words = [&node.node, &proof.name, &proof.state, &age, &proof.evidence];
            words.map(|it| printable(it)).to_vec()
        })
        .collect();
    let mut text = format!("{} from {} at {}\n", it.state, printable(&it.node), it.at);
    let head = ["NODE", "PROOF", "STATE", "AGE", "EVIDENCE"];
    text.push_str(&table(&head, &rows));
    // What several nodes see needs to be done once.
    let mut told = Vec::new();
    for proof in all().flat_map(|node| &node.proofs) {
        let Some(advice) = &proof.advice else {
            continue;
        };
        let line = format!("{}: {}\n", printable(&proof.name), printable(advice));
        if !told.contains(&line) {
            text.push_str(&line);
            told.push(line);
        }
    }
    text
}
