//! P8: a whole cluster starts from cold in a network that leads nowhere: no internet, no names, nobody to ask.

use anyhow::Result;
use lifeboat::clock;
use lifeboat::cluster::encoding::{LogIdRecord, decode};
use rusqlite::{Connection, OpenFlags};

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::write_to;
use crate::harness::node::Node;
use crate::harness::{tell, until};
use crate::partitions::on_a_switch;

/// Waits until a node has on disk that everything it applied is agreed on, which it writes when the disk has nothing else
/// to do: only then can it know after a start alone.
async fn knows_what_is_agreed(node: &Node) -> Result<()> {
    let log = node.data.join("raft").join("raft.db");
    let log = Connection::open_with_flags(log, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    until("it has written what is agreed on", async || {
        let mark = "SELECT frame FROM mark WHERE name = 'committed' AND copy = 0";
        let frame: Vec<u8> = log.query_row(mark, [], |row| row.get(0))?;
        let agreed = decode::<LogIdRecord>(&frame)?.index;
        let applied = node.status().await?["agreement"]["applied"].as_u64();
        Ok((Some(agreed) >= applied).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_the_whole_cluster_starts_cold_with_no_network_but_its_own() -> Result<()> {
    on_a_switch("a cold start", 3, async |stage, _| {
        let routes = stage.rooms[0].run("ip route show default").await?;
        anyhow::ensure!(routes.trim().is_empty(), "there is a way out: {routes}");
        let mut browser = stage.browser()?;
        let (before, _) = write_to(&mut browser, stage.nodes[0].https(), "cold: before").await?;
        knows_what_is_agreed(&stage.nodes[2]).await?;
        for node in &mut stage.nodes {
            node.kill().await?;
        }
        // The last one first, alone for a while, as after a power cut.
        let began = clock::monotonic();
        stage.nodes[2].up().await?;
        let alone = began.elapsed();
        browser.read(stage.nodes[2].https(), "/").await?;
        // What was agreed before is there, before anybody can be asked.
        let page = browser.read(stage.nodes[2].https(), &before.link).await?;
        anyhow::ensure!(page.contains(&before.text), "it forgot what was agreed");
        let (held, page) = write_to(&mut browser, stage.nodes[2].https(), "cold: alone").await?;
        anyhow::ensure!(
            page.contains("held on one server"),
            "it promises more than it can"
        );
        let began = clock::monotonic();
        stage.nodes[0].up().await?;
        stage.nodes[1].up().await?;
        stage.all_agree().await?;
        tell(&format!(
            "cold: the first serves after {:.1} s, all agree {:.1} s after the others started",
            alone.as_secs_f64(),
            began.elapsed().as_secs_f64()
        ));
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &[before, held]).await
    })
    .await
}
