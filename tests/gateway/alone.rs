//! P3: a node without a majority serves, takes messages, says that it is alone, and hands over what it took.

use anyhow::{Context, Result};

use crate::harness::browser::{Form, heading};
use crate::harness::conversations::{all, exactly_once_on};
use crate::harness::ledger::write_to;
use crate::harness::node::Node;
use crate::harness::stage::{play, says_it_is_alone, small_write};
use crate::harness::{tell, until};

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn p3_a_node_that_is_alone_serves_takes_and_says_so_and_hands_over_when_rejoined()
-> Result<()> {
    play(3, async |stage| {
        let mut browser = stage.browser()?;
        let lone = stage.nodes[0].https();
        // One hangs, one is dead: both ways of losing a node at once.
        let hanging = stage.nodes[2].freeze().await?;
        stage.nodes[1].kill().await?;
        says_it_is_alone(&stage.nodes[0]).await?;
        let ready = stage.nodes[0].verb(&["ready"]).await?;
        anyhow::ensure!(
            ready.code != Some(0),
            "it calls itself ready: {}",
            ready.out
        );
        let status = stage.nodes[0].done(&["status"]).await?;
        anyhow::ensure!(
            status.contains("ALONE since"),
            "status does not say it: {status}"
        );
        let front = browser.read(lone, "/").await?;
        anyhow::ensure!(
            front.contains("cannot reach the others"),
            "the page does not say it"
        );

        let (first, page) = write_to(&mut browser, lone, "alone: one").await?;
        anyhow::ensure!(
            heading(&page) == "Your message is held on one server",
            "{page}"
        );
        let refused = small_write(&stage.nodes[0], "alone").await;
        anyhow::ensure!(refused.is_err(), "a lone node decided something");

        stage.nodes[0].kill().await?;
        stage.nodes[0].up().await?;
        let page = browser.read(lone, &first.link).await?;
        anyhow::ensure!(page.contains("alone: one"), "it forgot what it held");
        anyhow::ensure!(
            heading(&page) == "Your message is held on one server",
            "{page}"
        );
        let path = first.link.split('?').next().unwrap_or_default();
        let form = Form::of(&page, path).context("no form to write more")?;
        let more = browser
            .send(lone, &form, &[("text", "alone: one more")])
            .await?;
        more.taken()?;
        // The same form once more, as a browser does when the connection dies.
        let more = browser
            .send(lone, &form, &[("text", "alone: one more")])
            .await?;
        more.taken()?;
        let (second, _) = write_to(&mut browser, lone, "alone: two").await?;
        // One that is sent once more while its first copy is held where nobody can ask: at nodes that agree without it.
        let both = browser.form(lone).await?;
        let typed = [("contact", "jana@shop.example"), ("text", "alone: both")];
        let here = browser.send(lone, &both, &typed).await?;
        let held = stage.nodes[0].status().await?["letterbox"]["held"].clone();
        anyhow::ensure!(held == 4, "it holds {held}, not 4");
        stage.nodes[0].kill().await?;

        hanging.thaw().await?;
        stage.nodes[1].up().await?;
        stage.agree(&[1, 2], 2).await?;
        let there = browser.send(stage.nodes[1].https(), &both, &typed).await?;
        anyhow::ensure!(there.taken()? == here.taken()?, "it leads elsewhere");
        stage.nodes[0].up().await?;
        stage.all_agree().await?;
        for node in &stage.nodes {
            until(
                &format!("{} has it all, once and in order", node.name),
                async || {
                    let page = browser.read(node.https(), &first.link).await?;
                    let one = page.find("alone: one<");
                    let more = page.find("alone: one more");
                    let sound = heading(&page) == "Your message is safely stored"
                        && one.is_some()
                        && one < more
                        && page.matches("alone: one more").count() == 1;
                    anyhow::ensure!(sound, "{}", heading(&page));
                    let other = browser.read(node.https(), &second.link).await?;
                    anyhow::ensure!(other.contains("alone: two"), "the second is missing");
                    let both = browser.read(node.https(), here.taken()?).await?;
                    let times = both.matches("alone: both").count();
                    anyhow::ensure!(times == 1, "the one sent twice is there {times} times");
                    let list = all(node).await?;
                    Ok((list.len() == 3).then_some(()))
                },
            )
            .await?;
            let letterbox = node.status().await?["letterbox"].clone();
            anyhow::ensure!(letterbox["drained"] == true, "{}: {letterbox}", node.name);
        }
        tell("held through two kills: 3 conversations, 4 messages, each on every node once");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_everything_acknowledged_is_there_after_all_nodes_are_killed_at_once() -> Result<()> {
    use crate::harness::ledger::Crowd;
    play(3, async |stage| {
        let crowd = Crowd::start(stage, "all", 8, 60);
        until("letters are taken", async || {
            Ok((crowd.taken() > 40).then_some(()))
        })
        .await?;
        for node in &mut stage.nodes {
            node.kill().await?;
        }
        for node in &mut stage.nodes {
            node.start()?;
        }
        for node in &mut stage.nodes {
            node.answers().await?;
        }
        stage.all_agree().await?;
        let tally = crowd.enough().await?;
        tell(&tally.told());
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &tally.letters).await
    })
    .await
}
