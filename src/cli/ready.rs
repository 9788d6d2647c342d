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
    text.push_str(&todo(&it.nodes));
    text
}

/// What is to be done, once for each proof, with all that it stands on: the table has no room for that.
fn todo(nodes: &[OneNode]) -> String {
    let mut todo: Vec<(&str, &str, String)> = Vec::new();
    for node in nodes {
        for proof in &node.proofs {
            let Some(advice) = &proof.advice else {
                continue;
            };
            let seen = format!(
                "  {}: {}\n",
                printable(&node.node),
                printable(&proof.evidence)
            );
            let same = todo.iter_mut();
            match same.into_iter().find(|it| it.0 == proof.name) {
                Some((_, _, all)) => all.push_str(&seen),
                None => todo.push((&proof.name, advice, seen)),
            }
        }
    }
    let lines = todo.into_iter();
    lines
        .map(|(name, advice, seen)| format!("{}: {}\n{seen}", printable(name), printable(advice)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_nodes_see_is_to_be_done_once_and_told_whole() {
        let proof = |evidence: &str| Proof {
            name: "doors".to_owned(),
            state: "failed".to_owned(),
            evidence: evidence.repeat(20),
            advice: Some("start it".to_owned()),
            age_s: None,
        };
        let node = |name: &str, evidence: &str| OneNode {
            node: name.to_owned(),
            proofs: vec![proof(evidence)],
        };
        let said = todo(&[node("a", "c is gone "), node("b", "c is away ")]);
        assert_eq!(said.matches("start it").count(), 1);
        for whole in ["c is gone ".repeat(20), "c is away ".repeat(20)] {
            assert!(said.contains(whole.trim_end()), "{said}");
        }
    }
}
