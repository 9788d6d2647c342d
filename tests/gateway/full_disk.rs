//! P3 on a full disk: a small file system in memory under the leader fills up while customers write. Each message is
//! refused clearly or kept, the node stays, and takes part again by itself when there is room.

use anyhow::Result;

use lifeboat::clock;

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::Crowd;
use crate::harness::node::Node;
use crate::harness::room::{self, Room};
use crate::harness::stage::{Stage, small_write};
use crate::harness::{skipped, tell, until};

/// Room for everything that the story writes, and little more.
const MEGABYTES: u32 = 48;

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_full_disk_refuses_or_keeps_and_the_node_stays() -> Result<()> {
    if let Err(why) = room::possible().await {
        skipped("a full disk", &why);
        return Ok(());
    }
    let mut stage = Stage::empty()?;
    let played = play(&mut stage).await;
    stage.end(played)
}

async fn play(stage: &mut Stage) -> Result<()> {
    stage.add().await?;
    stage.add().await?;
    let mut node = stage.prepare()?;
    node.make_data_folder()?;
    let disk = Room::with_small_disk(&node.data, MEGABYTES).await?;
    node.live_in(disk.inside()?);
    let ballast = node.data.join("ballast").display().to_string();
    stage.rooms.push(disk);
    stage.admit(node, "voter").await?;
    stage.all_agree().await?;
    let small = stage.nodes[2].name.clone();
    stage.nodes[0].done(&["nodes", "transfer", &small]).await?;

    let crowd = Crowd::start(stage, "full", 6, 200);
    let took = async |count: usize| {
        until("letters are taken", async || {
            Ok((crowd.taken() >= count).then_some(()))
        })
        .await
    };
    took(30).await?;
    let fill = "dd if=/dev/zero bs=64k 2>/dev/null; dd if=/dev/zero bs=512 2>/dev/null; true";
    stage.rooms[0]
        .run(&format!("( {fill} ) > {ballast} || true"))
        .await?;
    let room = "df --output=avail -k";
    tell(&format!(
        "the leader's disk is full: {}",
        stage.rooms[0]
            .run(&format!("{room} {ballast} | tail -1"))
            .await?
            .trim()
    ));
    let with_full_disk = crowd.taken();
    took(with_full_disk + 40).await?;
    anyhow::ensure!(stage.nodes[2].ended()?.is_none(), "the node ended");
    let mut browser = stage.browser()?;
    browser.read(stage.nodes[2].https(), "/").await?;
    stage.agree(&[0, 1], 2).await?;
    small_write(&stage.nodes[0], "while a disk is full").await?;
    let told = stage.nodes[2].status().await?;
    tell(&format!(
        "with a full disk it says: role {}, halted {}, poisoned {}, letterbox {}",
        told["agreement"]["role"],
        told["agreement"]["halted"],
        told["disk"]["poisoned"],
        told["letterbox"]
    ));

    let halted = told["agreement"]["halted"].is_string();
    stage.rooms[0].run(&format!("rm {ballast}")).await?;
    let began = clock::monotonic();
    let with_room = crowd.taken();
    took(with_room + 20).await?;
    let tally = crowd.enough().await?;
    tell(&tally.told());
    anyhow::ensure!(stage.nodes[2].ended()?.is_none(), "the node ended");
    stage.all_agree().await?;
    let status = stage.nodes[2].status().await?;
    let anew = status["agreement"]["begun_anew"].as_u64().unwrap_or(0);
    anyhow::ensure!(!halted || anew > 0, "it was not halted: {status}");
    tell(&format!(
        "after there was room it took part again by itself within {:.1} s, begun anew {anew} times",
        began.elapsed().as_secs_f64()
    ));
    let nodes: Vec<&Node> = stage.nodes.iter().collect();
    exactly_once_on(&nodes, &tally.letters).await
}
