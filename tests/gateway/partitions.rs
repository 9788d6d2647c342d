//! Partitions of real networks: nodes in rooms on one switch, cut off from each other while customers reach all of them.

use std::time::Duration;

use anyhow::Result;
use lifeboat::clock;

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::{Letter, write_to};
use crate::harness::node::Node;
use crate::harness::room::{self, Switch};
use crate::harness::stage::{Stage, says_it_is_alone, small_write};
use crate::harness::{meanwhile, skipped, tell, until};

/// Plays a story on `count` nodes on a switch; says so and does nothing where that cannot be.
pub async fn on_a_switch(
    story: &str,
    count: u8,
    played: impl AsyncFnOnce(&mut Stage, &Switch) -> Result<()>,
) -> Result<()> {
    if let Err(why) = room::possible().await {
        skipped(story, &why);
        return Ok(());
    }
    let switch = Switch::new().await?;
    let mut stage = Stage::empty()?;
    let played = async {
        for place in 0..count {
            let room = switch.room(place).await?;
            let mut node = stage.prepare_at(switch.address(place))?;
            node.make_data_folder()?;
            node.live_in(room.inside()?);
            stage.rooms.push(room);
            stage.admit(node, "voter").await?;
        }
        stage.all_agree().await?;
        played(&mut stage, &switch).await
    };
    let played = played.await;
    stage.end(played)
}

fn place(of: usize) -> u8 {
    u8::try_from(of).unwrap_or(u8::MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_an_isolated_leader_serves_alone_while_the_others_go_on_and_there_is_one_history()
-> Result<()> {
    on_a_switch("an isolated leader", 3, async |stage, switch| {
        let old = stage.leader().await?;
        let others = stage.others(&[old]);
        let began = clock::monotonic();
        for other in &others {
            switch.cut(&stage.rooms, place(old), place(*other)).await?;
        }
        let new = stage.leader_among(&others).await?;
        until("the others decide", async || {
            small_write(&stage.nodes[new], "without the old leader")
                .await
                .map(Some)
        })
        .await?;
        tell(&format!(
            "leader isolated -> the others decide: {:.1} s",
            began.elapsed().as_secs_f64()
        ));
        says_it_is_alone(&stage.nodes[old]).await?;
        let refused = small_write(&stage.nodes[old], "the old leader").await;
        anyhow::ensure!(refused.is_err(), "the isolated leader decided something");
        let mut browser = stage.browser()?;
        let (kept, page) =
            write_to(&mut browser, stage.nodes[new].https(), "cut: majority").await?;
        anyhow::ensure!(
            page.contains("safely stored"),
            "the majority does not keep it"
        );
        let (held, page) = write_to(&mut browser, stage.nodes[old].https(), "cut: alone").await?;
        anyhow::ensure!(
            page.contains("held on one server"),
            "the lone one does not say so"
        );
        switch.heal(&stage.rooms).await?;
        stage.all_agree().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &[kept, held]).await?;
        one_way(stage, switch).await
    })
    .await
}

/// The leader hears the others and is not heard: they elect another, and it steps down.
async fn one_way(stage: &Stage, switch: &Switch) -> Result<()> {
    let deaf_to = stage.leader().await?;
    let others = stage.others(&[deaf_to]);
    let began = clock::monotonic();
    for other in &others {
        switch
            .lose(&stage.rooms, place(deaf_to), place(*other))
            .await?;
    }
    let new = stage.leader_among(&others).await?;
    until("the others decide", async || {
        small_write(&stage.nodes[new], "not heard").await.map(Some)
    })
    .await?;
    tell(&format!(
        "leader not heard -> the others decide: {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    switch.heal(&stage.rooms).await?;
    stage.all_agree().await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_five_nodes_that_meet_in_one_only_go_on_deciding() -> Result<()> {
    on_a_switch("a bridge", 5, async |stage, switch| {
        let mut browser = stage.browser()?;
        let bridge = stage.others(&[stage.leader().await?])[0];
        let sides = stage.others(&[bridge]);
        let began = clock::monotonic();
        for one in &sides[..2] {
            for other in &sides[2..] {
                switch.cut(&stage.rooms, place(*one), place(*other)).await?;
            }
        }
        until("somebody decides across the bridge", async || {
            small_write(&stage.nodes[bridge], "across the bridge")
                .await
                .map(Some)
        })
        .await?;
        let took = began.elapsed();
        tell(&format!(
            "bridge of five -> a write is agreed on: {:.1} s",
            took.as_secs_f64()
        ));
        anyhow::ensure!(took < Duration::from_secs(15), "that took {took:?}");
        let (letter, page) =
            write_to(&mut browser, stage.nodes[bridge].https(), "bridge: one").await?;
        anyhow::ensure!(
            page.contains("safely stored"),
            "the bridge does not keep it"
        );
        // Leaders may not chase each other while nothing changes.
        let term = async |stage: &Stage| -> Result<u64> {
            let status = stage.nodes[bridge].status().await?;
            Ok(status["agreement"]["term"].as_u64().unwrap_or_default())
        };
        let before = term(stage).await?;
        meanwhile(Duration::from_secs(5)).await;
        let after = term(stage).await?;
        tell(&format!("terms in 5 s of the bridge: {}", after - before));
        anyhow::ensure!(after - before <= 3, "leaders chase each other");
        switch.heal(&stage.rooms).await?;
        stage.all_agree().await?;
        let mut letters = ring(stage, switch).await?;
        letters.push(letter);
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &letters).await
    })
    .await
}

/// Each of the five reaches its two neighbours only: three of five, from wherever it leads. Returns what was taken.
async fn ring(stage: &Stage, switch: &Switch) -> Result<Vec<Letter>> {
    let count = stage.nodes.len();
    for one in 0..count {
        let across = (one + 2) % count;
        switch.cut(&stage.rooms, place(one), place(across)).await?;
    }
    let began = clock::monotonic();
    let leader = stage.leader().await?;
    let neighbour = (leader + 1) % count;
    until("somebody decides in the ring", async || {
        small_write(&stage.nodes[neighbour], "in the ring")
            .await
            .map(Some)
    })
    .await?;
    let took = began.elapsed().as_secs_f64();
    let term = async || {
        let status = stage.nodes[neighbour].status().await?;
        Ok::<_, anyhow::Error>(status["agreement"]["term"].as_u64().unwrap_or_default())
    };
    let before = term().await?;
    let mut letters = Vec::new();
    for node in &stage.nodes {
        // Whoever does not reach the leader says so, and keeps it all the same.
        let text = format!("ring: {}", node.name);
        letters.push(
            write_to(&mut stage.browser()?, node.https(), &text)
                .await?
                .0,
        );
    }
    let terms = term().await? - before;
    tell(&format!(
        "ring of five -> a write is agreed on: {took:.1} s; {terms} terms while five letters were taken"
    ));
    anyhow::ensure!(terms <= 3, "leaders chase each other: {terms} terms");
    switch.heal(&stage.rooms).await?;
    stage.all_agree().await?;
    Ok(letters)
}
