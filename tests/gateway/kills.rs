//! P1 under kill -9: many customers write to all nodes while one node after another is killed and comes back.

use anyhow::{Context, Result};
use lifeboat::clock;

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::Crowd;
use crate::harness::node::Node;
use crate::harness::stage::play;
use crate::harness::{tell, until};

/// Letters that are written at least; `tests/run full` asks for 10,000.
const POSTS: usize = 600;
/// Customers who write at the same time.
const CUSTOMERS: usize = 16;
/// Each node is killed at least so often.
const ROUNDS: usize = 1;

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_message_called_safely_stored_survives_kill_9_of_any_node() -> Result<()> {
    let posts = match std::env::var("LIFEBOAT_POSTS") {
        Ok(text) => text.parse().context("LIFEBOAT_POSTS is no number")?,
        Err(_) => POSTS,
    };
    play(3, async |stage| {
        let began = clock::monotonic();
        let crowd = Crowd::start(stage, "kill", CUSTOMERS, posts);
        let mut kills = 0;
        while kills < ROUNDS * stage.nodes.len() || crowd.taken() < posts {
            let victim = kills % stage.nodes.len();
            let before = crowd.taken();
            stage.nodes[victim].kill().await?;
            kills += 1;
            // The others take letters while it is dead, so that it really is behind when it comes back.
            until("letters are taken with a node dead", async || {
                Ok((crowd.taken() >= before + CUSTOMERS).then_some(()))
            })
            .await?;
            stage.nodes[victim].up().await?;
            stage.all_agree().await?;
        }
        let tally = crowd.enough().await?;
        let took = began.elapsed().as_secs_f64();
        tell(&format!(
            "{} in {took:.1} s with {kills} x kill -9",
            tally.told()
        ));
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &tally.letters).await?;
        let mut browser = stage.browser()?;
        for (place, letter) in tally.letters.iter().step_by(40).enumerate() {
            let node = &stage.nodes[place % stage.nodes.len()];
            let page = browser.read(node.https(), &letter.link).await?;
            anyhow::ensure!(
                page.contains(&letter.text),
                "{} shows another text",
                node.name
            );
        }
        Ok(())
    })
    .await
}
