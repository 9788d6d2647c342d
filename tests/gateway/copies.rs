//! P1: what a node without a majority holds lies on another reachable node's disk too, and that one passes it on when
//! the node that took it never comes back.

use anyhow::Result;

use crate::harness::browser::heading;
use crate::harness::conversations::{all, exactly_once_on};
use crate::harness::ledger::{Letter, write_to};
use crate::harness::node::Node;
use crate::harness::stage::{play, says_it_is_alone};
use crate::harness::{tell, until};

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_message_taken_by_two_of_five_outlives_the_disk_of_the_node_that_took_it() -> Result<()>
{
    play(5, async |stage| {
        let mut browser = stage.browser()?;
        for place in [2, 3, 4] {
            stage.nodes[place].kill().await?;
        }
        for place in [0, 1] {
            says_it_is_alone(&stage.nodes[place]).await?;
        }
        let (taker, peer) = (stage.nodes[0].https(), stage.nodes[1].https());
        let mut letters: Vec<Letter> = Vec::new();
        for number in 1..=5 {
            let (letter, page) =
                write_to(&mut browser, taker, &format!("two of five: {number}")).await?;
            anyhow::ensure!(
                heading(&page) == "Your message is held on 2 of our 5 servers",
                "{}",
                heading(&page)
            );
            letters.push(letter);
        }
        let page = browser.read(peer, &letters[0].link).await?;
        anyhow::ensure!(
            heading(&page) == "Your message is held on 2 of our 5 servers"
                && page.contains("two of five: 1"),
            "the peer does not show what it keeps: {}",
            heading(&page)
        );
        let (took, keeps) = (
            stage.nodes[0].status().await?["letterbox"].clone(),
            stage.nodes[1].status().await?["letterbox"].clone(),
        );
        anyhow::ensure!(took["held"] == 5 && took["copied"] == 5, "{took}");
        anyhow::ensure!(keeps["held"] == 0 && keeps["copies"] == 5, "{keeps}");
        anyhow::ensure!(keeps["drained"] == false, "a copy may be the last one");
        // The keeper's process dies as well, and only its disk remembers.
        stage.nodes[1].kill().await?;
        stage.nodes[1].up().await?;

        stage.nodes[0].kill().await?;
        std::fs::remove_dir_all(&stage.nodes[0].data)?;
        for place in [2, 3, 4] {
            stage.nodes[place].up().await?;
        }
        stage.agree(&[1, 2, 3, 4], 4).await?;
        let nodes: Vec<&Node> = stage.nodes[1..].iter().collect();
        exactly_once_on(&nodes, &letters).await?;
        for node in nodes {
            until(&format!("{} says so", node.name), async || {
                let page = browser.read(node.https(), &letters[0].link).await?;
                let list = all(node).await?;
                let sound = heading(&page) == "Your message is safely stored"
                    && list.len() == letters.len();
                Ok(sound.then_some(()))
            })
            .await?;
        }
        tell("the node that took 5 messages is gone with its disk: 0 lost, 0 doubled");
        Ok(())
    })
    .await
}
