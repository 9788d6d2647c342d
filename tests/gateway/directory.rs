//! P2, P3, P11: customers that are taken in through one node are known on all, also while one of them is dead and where a
//! node is alone; one who is erased is gone from all; and visitors are told whether it is them.

use anyhow::{Context, Result};
use lifeboat::demo::browser::Form;
use serde_json::Value;

use crate::harness::stage::{Stage, play, says_it_is_alone};
use crate::harness::{node::Node, until};

/// So many customers, one in three in Brno and the others in Prague; every third writes English.
fn customers(count: u32) -> String {
    let mut text = "customer;name;email;language;server;datacentre;product;domain\n".to_owned();
    for number in 0..count {
        let (house, lang) = match number % 3 {
            0 => ("brno", "en"),
            _ => ("prague", "cs"),
        };
        text.push_str(&format!(
            "{number:06};Customer {number};c{number}@mail.example c{number}@d{number}.example;{lang};web{};{house};hosting;d{number}.example\n",
            number % 50
        ));
    }
    text
}

async fn live_everywhere(stage: &Stage, which: &[usize], version: &str) -> Result<()> {
    for place in which {
        let node = &stage.nodes[*place];
        until(
            &format!("{} answers from {version}", node.name),
            async || {
                let shown = node.json(&["directory", "show"]).await?;
                Ok((shown["open"] == version).then_some(()))
            },
        )
        .await?;
    }
    Ok(())
}

async fn meant(node: &Node, audience: &str) -> Result<u64> {
    let answer = node.json(&["directory", "audience", audience]).await?;
    answer["customers"].as_u64().context("no count")
}

/// What a visitor of a node reads who asks whether it is them.
async fn is_it_me(stage: &Stage, place: usize, typed: &str) -> Result<String> {
    let (mut browser, at) = (stage.browser()?, stage.nodes[place].https());
    let page = browser.read(at, "/en/").await?;
    let form = Form::of(&page, "/is-it-me").context("the first page does not ask")?;
    let page = browser.send(at, &form, &[("reference", typed)]).await?;
    Ok(page.text)
}

fn version(answer: &Value) -> Result<String> {
    Ok(answer["version"].as_str().context("no version")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn p2_p3_p11_customers_are_known_on_all_nodes_with_one_dead_and_on_one_alone() -> Result<()> {
    play(3, async |stage| {
        let file = stage.folder().join("customers.csv");
        std::fs::write(&file, customers(2_000))?;
        let path = file.to_str().context("a path")?.to_owned();
        let broken = stage.folder().join("broken.csv");
        std::fs::write(&broken, format!("{}\nx;y\n", customers(10)))?;
        let refused = stage.nodes[0].verb(&["directory", "import", broken.to_str().context("a path")?]).await?;
        anyhow::ensure!(refused.code == Some(2), "{:?}", refused.code);

        // One node is dead while the customers are taken in; it has them when it is back.
        stage.nodes[2].kill().await?;
        let first = stage.nodes[0].json(&["directory", "import", &path]).await?;
        anyhow::ensure!(first["live"] == true && first["customers"] == 2_000, "{first}");
        live_everywhere(stage, &[0, 1], &version(&first)?).await?;
        stage.nodes[2].up().await?;
        live_everywhere(stage, &[2], &version(&first)?).await?;
        anyhow::ensure!(meant(&stage.nodes[2], "datacentre=prague and language=cs").await? == 1_333);

        // Half of an export is refused; what is meant is confirmed.
        std::fs::write(&file, customers(1_000))?;
        let half = stage.nodes[1].verb(&["directory", "import", &path]).await?;
        anyhow::ensure!(half.code == Some(2), "{:?}: half of the customers were lost unasked", half.code);
        let changes = stage.folder().join("changes.jsonl");
        std::fs::write(&changes, "{\"customer\": \"000001\", \"gone\": true}\n{\"customer\": \"n1\", \"services\": [{\"server\": \"web1\", \"datacentre\": \"prague\", \"domains\": [\"new.example\"]}]}\n")?;
        let changed = stage.nodes[1].json(&["directory", "update", changes.to_str().context("a path")?]).await?;
        live_everywhere(stage, &[0, 1, 2], &version(&changed)?).await?;

        // Said on one node, asked on another; the leader is killed in between.
        let opened = stage.nodes[0]
            .json(&["incident", "open", "--title", "en=No power in Prague", "--severity", "critical", "--text", "en=No power.", "--next", "45m"])
            .await?;
        let incident = opened["incident"].as_str().context("no incident")?.to_owned();
        let touched = stage.nodes[1].json(&["directory", "affects", &incident, "datacentre=prague"]).await?;
        anyhow::ensure!(touched["customers"] == 1_333, "{touched}");
        let leader = stage.leader().await?;
        stage.nodes[leader].kill().await?;
        let left = stage.others(&[leader]);
        for place in &left {
            until("a visitor is told", async || {
                let page = is_it_me(stage, *place, "www.new.example").await?;
                Ok(page.contains("By “No power in Prague”").then_some(()))
            })
            .await?;
            let other = is_it_me(stage, *place, "d3.example").await?;
            anyhow::ensure!(other.contains("is not among what we know"), "{other}");
        }
        // Alone the last one still answers visitors and agents.
        stage.nodes[left[1]].kill().await?;
        let last = left[0];
        says_it_is_alone(&stage.nodes[last]).await?;
        let page = is_it_me(stage, last, "d2.example").await?;
        anyhow::ensure!(page.contains("is affected") && page.contains("cannot reach the others"), "{page}");
        let card = stage.nodes[last].json(&["directory", "customer", "000002"]).await?;
        anyhow::ensure!(card["affected"] == true && card["contacts"][0] == "c2@mail.example", "{card}");
        let refused = stage.nodes[last].verb(&["directory", "erase", "000002", "--confirm", "1"]).await?;
        anyhow::ensure!(refused.code == Some(1), "{:?}", refused.code);
        for place in [leader, left[1]] {
            stage.nodes[place].up().await?;
        }
        stage.all_agree().await?;

        // One who is erased is gone everywhere, and no version holds them any more.
        until("the erasure is agreed on", async || {
            let said = stage.nodes[last].verb(&["directory", "erase", "000002", "--confirm", "1"]).await?;
            Ok((said.code == Some(0)).then_some(()))
        })
        .await?;
        for node in &stage.nodes {
            until("the files were written anew", async || {
                let shown = node.json(&["directory", "show"]).await?;
                let versions = shown["versions"].as_array().context("no versions")?;
                let card = node.verb(&["directory", "customer", "000002"]).await?;
                Ok((versions.len() == 1 && shown["open"] == shown["live"] && card.code == Some(3)).then_some(()))
            })
            .await?;
            anyhow::ensure!(meant(node, "all").await? == 1_999);
        }
        Ok(())
    })
    .await
}
