//! `lifeboat ready --proofs`: whether the cluster would hold on the worst day, as a table and as an exit status.

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
    proofs: Vec<Proof>,
}

#[derive(Debug, Deserialize)]
struct Proof {
    name: String,
    state: String,
    evidence: String,
    advice: Option<String>,
}

/// Shows every proof. The exit status is 0 where all hold, 2 where one failed, 1 otherwise.
pub async fn ready(node: &Node) -> Result<Said, Failure> {
    let answer = node.get::<Readiness>("/readiness").await?;
    let it = answer.value;
    let rows: Vec<Vec<String>> = it
        .proofs
        .iter()
        .map(|proof| {
            let words = [&proof.name, &proof.state, &proof.evidence];
            words.map(|it| printable(it)).to_vec()
        })
        .collect();
    let mut text = format!("{} on {} at {}\n", it.state, printable(&it.node), it.at);
    text.push_str(&table(&["PROOF", "STATE", "EVIDENCE"], &rows));
    for proof in &it.proofs {
        if let Some(advice) = &proof.advice {
            text.push_str(&format!("{}: {advice}\n", proof.name));
        }
    }
    let mut said = Said::of(answer.json, text);
    said.code = match it.state.as_str() {
        "ok" => 0,
        "failed" => 2,
        _ => 1,
    };
    Ok(said)
}
