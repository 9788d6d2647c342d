//! What a node knows of conversations, over its API, and the one question after every story: whether everything
//! that was acknowledged is on every node exactly once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use lifeboat::clock;
use serde_json::Value;

use super::ledger::Letter;
use super::node::Node;
use super::{socket, until_within};

/// How long nodes may take to pass on everything they hold and to catch up.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Every conversation on a node.
///
/// # Errors
/// When it does not answer.
pub async fn all(node: &Node) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/conversations?state=all&limit=1000{after}");
        let mut page = socket::get(&node.socket, &path).await?;
        let list = page["conversations"].as_array_mut();
        found.append(list.context("no list of conversations")?);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(found),
        }
    }
}

/// What one node has of a ledger.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub lost: usize,
    pub doubled: usize,
    pub held: u64,
    /// Neither acknowledged nor expected.
    pub strange: usize,
}

/// Counts what of the acknowledged letters one node has.
///
/// # Errors
/// When it does not answer.
pub async fn count(node: &Node, letters: &[Letter]) -> Result<Count> {
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = Count::default();
    for conversation in all(node).await? {
        let text = conversation["excerpt"].as_str().unwrap_or("(sealed)");
        *copies.entry(text.to_owned()).or_default() += 1;
        count.held += conversation["held"].as_u64().unwrap_or_default();
        // Each letter of a ledger opens a conversation and adds nothing to it.
        count.doubled += usize::from(conversation["messages"] != 1);
    }
    count.doubled += copies.values().map(|it| it - 1).sum::<usize>();
    for letter in letters {
        count.lost += usize::from(copies.remove(&letter.text).is_none());
    }
    count.strange = copies.len();
    Ok(count)
}

/// How many messages of a letter's conversation this node holds, or `None` when it does not know the conversation.
///
/// # Errors
/// When it does not answer.
pub async fn held_of(node: &Node, letter: &Letter) -> Result<Option<u64>> {
    let known = all(node).await?;
    let its = known.iter().find(|it| it["excerpt"] == *letter.text);
    Ok(its.and_then(|it| it["held"].as_u64()))
}

/// Waits until all these nodes have drained their letterboxes and have every acknowledged letter exactly once.
///
/// # Errors
/// When one is lost or doubled, or a letterbox stays full.
pub async fn exactly_once_on(nodes: &[&Node], letters: &[Letter]) -> Result<()> {
    let began = clock::monotonic();
    let what = "every letter is on every node and every letterbox is empty";
    until_within(what, CATCH_UP, async || {
        for node in nodes {
            let status = node.status().await?;
            let letterbox = &status["letterbox"];
            let empty = letterbox["drained"] == true && letterbox["held"] == 0;
            anyhow::ensure!(empty, "{}: letterbox {letterbox}", node.name);
            let count = count(node, letters).await?;
            anyhow::ensure!(count == Count::default(), "{}: {count:?}", node.name);
        }
        Ok(Some(()))
    })
    .await?;
    println!(
        "  {} messages on {} nodes: 0 lost, 0 doubled, letterboxes empty after {:.1} s",
        letters.len(),
        nodes.len(),
        began.elapsed().as_secs_f64()
    );
    Ok(())
}
