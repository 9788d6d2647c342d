//! Planned restarts, one node after another, while customers write: whoever meets a node on its way down sends the
//! form again elsewhere, and meets nothing worse.

use std::time::Duration;

use anyhow::Result;

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::Crowd;
use crate::harness::node::Node;
use crate::harness::stage::play;
use crate::harness::{tell, until};

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_rolling_restart_under_load_fails_no_request_that_was_sent_again() -> Result<()> {
    play(3, async |stage| {
        let crowd = Crowd::start(stage, "rolling", 8, 150);
        // The leader last, as an operator would; it hands leadership over before it stops.
        let leader = stage.leader().await?;
        let order = [stage.others(&[leader]), vec![leader]].concat();
        for place in order {
            let before = crowd.taken();
            until("letters are taken", async || {
                Ok((crowd.taken() >= before + 20).then_some(()))
            })
            .await?;
            stage.nodes[place].stop().await?;
            stage.nodes[place].up().await?;
            stage.all_agree().await?;
        }
        let tally = crowd.enough().await?;
        tell(&tally.told());
        let slow = Duration::from_secs(30);
        anyhow::ensure!(tally.slowest < slow, "somebody waited {:?}", tally.slowest);
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &tally.letters).await
    })
    .await
}
