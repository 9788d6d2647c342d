//! P6, P7: a mass mail by three real nodes. Everybody gets it once although nodes are killed in the middle; nothing
//! leaves by a slip; who stops it stops it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use lifeboat::clock;
use serde_json::Value;

use crate::harness::node::Node;
use crate::harness::recorder::Recorder;
use crate::harness::stage::Stage;
use crate::harness::{meanwhile, tell, until, until_within};

/// Connections of one node to the relay.
const LINES: usize = 6;
/// A debug build on a busy machine takes its time for two thousand mails.
const LONG: Duration = Duration::from_secs(180);

/// A cluster of three whose nodes mail to the recorder.
async fn three(recorder: &Recorder) -> Result<Stage> {
    Stage::mailing(3, recorder.at.port(), &format!("connections = {LINES}\n")).await
}

/// Recipients, every hundredth of them difficult in its own way; returns the list file.
fn write_list(folder: &Path, count: u32) -> Result<String> {
    let mut list = "address,lang,name,customer,services,until\r\n".to_owned();
    for number in 0..count {
        let kind = match number % 100 {
            10 => "no",
            20 => "later",
            30 => "bye",
            40 => "gap",
            _ => "c",
        };
        let lang = if number % 3 == 0 { "en" } else { "cs" };
        list.push_str(&format!(
            "{number}{kind}@example.com,{lang},\"Nov\u{e1}k; {number}\",{number},srv-{number}|vps-{number},23:15\r\n"
        ));
    }
    let file = folder.join(format!("list-{count}.csv"));
    std::fs::write(&file, list)?;
    Ok(file.to_string_lossy().into_owned())
}

fn write_texts(folder: &Path) -> Result<String> {
    let texts = folder.join("texts");
    std::fs::create_dir_all(&texts)?;
    let en = "Subject: No power in Prague\n\nDear {{ name }},\nyour services {{ services | join(', ') }} are down until {{ until }}.\n{{ company }}\n";
    let cs = "Subject: Praha bez proudu\n\nDobr\u{fd} den,\nva\u{161}e slu\u{17e}by ({{ services | join(', ') }}) nepoběží do {{ until }}.\n{{ company }}\n";
    std::fs::write(texts.join("en.txt"), en)?;
    std::fs::write(texts.join("cs.txt"), cs)?;
    std::fs::write(texts.join("cs.html"), "<p>{{ name }}</p>")?;
    Ok(texts.to_string_lossy().into_owned())
}

fn id_of(json: &Value) -> Result<String> {
    Ok(json["campaign"].as_str().context("no campaign")?.to_owned())
}

/// Drafts and asks; the campaign is copied to a majority when this returns.
async fn asked(node: &Node, list: &str, texts: &str) -> Result<String> {
    let words = [
        "mail",
        "draft",
        "--name",
        "power",
        "--texts",
        texts,
        "--list",
        list,
        "--at-once",
    ];
    let id = id_of(&node.json(&words).await?)?;
    node.done(&["mail", "check", &id]).await?;
    node.done(&["mail", "request", &id]).await?;
    until("a majority has copied the recipients", async || {
        let shown = node.json(&["mail", "show", &id]).await?;
        let holding = shown["voters_holding"].as_u64().unwrap_or(0);
        Ok((holding >= 2).then_some(()))
    })
    .await?;
    Ok(id)
}

async fn shown(stage: &Stage, id: &str) -> Result<Value> {
    for node in &stage.nodes {
        if let Ok(shown) = node.json(&["mail", "show", id]).await {
            return Ok(shown);
        }
    }
    anyhow::bail!("no node answers")
}

async fn until_dots(recorder: &Recorder, wanted: usize) -> Result<()> {
    until_within("mails on the wire", LONG, async || {
        Ok((recorder.dots() >= wanted).then_some(()))
    })
    .await
}

/// The addresses with this outcome in a report.
fn with_outcome(report: &str, outcome: &str) -> BTreeSet<String> {
    let of = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let found = fields.get(3)? == &outcome;
        found.then(|| fields[2].trim_matches('"').to_owned())
    };
    report.lines().skip(1).filter_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn p6_p7_two_thousand_get_it_once_although_nodes_are_killed_in_the_middle() -> Result<()> {
    const COUNT: u32 = 2_000;
    let recorder = Recorder::begin(Duration::from_millis(30)).await?;
    let mut stage = three(&recorder).await?;
    let played = async {
        let list = write_list(stage.folder(), COUNT)?;
        let texts = write_texts(stage.folder())?;

        // A list with a mistake is refused whole, with the line.
        let bad = stage.folder().join("bad.csv");
        std::fs::write(&bad, "address,lang\r\na@example.com,cs\r\nnobody,cs\r\n")?;
        let bad = bad.to_string_lossy().into_owned();
        let words = [
            "mail", "draft", "--name", "x", "--texts", &texts, "--list", &bad,
        ];
        let said = stage.nodes[0].verb(&words).await?;
        anyhow::ensure!(
            said.code == Some(2) && said.err.contains("line 3, address"),
            "{said:?}"
        );

        let id = asked(&stage.nodes[0], &list, &texts).await?;
        // P7: looking sends nothing, a wrong count sends nothing, and one alone sends nothing to so many.
        let look = stage.nodes[1].done(&["mail", "approve", &id]).await?;
        anyhow::ensure!(
            look.contains("nothing was approved yet") && look.contains("2000"),
            "{look}"
        );
        let alone = stage.nodes[1]
            .verb(&["mail", "approve", &id, "--confirm", "2000"])
            .await?;
        anyhow::ensure!(
            alone.code == Some(2) && alone.err.contains("somebody else"),
            "{alone:?}"
        );
        stage.nodes[1]
            .done(&["mail", "rules", "--alone-up-to", "5000"])
            .await?;
        let wrong = stage.nodes[1]
            .verb(&["mail", "approve", &id, "--confirm", "1999"])
            .await?;
        anyhow::ensure!(
            wrong.code == Some(2) && wrong.err.contains("1999"),
            "{wrong:?}"
        );
        meanwhile(Duration::from_millis(500)).await;
        anyhow::ensure!(recorder.dots() == 0, "mail left before anybody agreed");

        let began = clock::monotonic();
        stage.nodes[1]
            .done(&["mail", "approve", &id, "--confirm", "2000"])
            .await?;
        until_dots(&recorder, 300).await?;
        // Paused by one node, nothing more leaves any of them.
        stage.nodes[2]
            .done(&["mail", "pause", &id, "--reason", "a look"])
            .await?;
        let before = recorder.dots();
        meanwhile(Duration::from_secs(2)).await;
        let more = recorder.dots() - before;
        tell(&format!(
            "{more} mails after the pause, over {} connections",
            3 * LINES
        ));
        anyhow::ensure!(more <= 3 * LINES, "{more} mails left after the pause");
        stage.nodes[2].done(&["mail", "resume", &id]).await?;
        until_dots(&recorder, before + 200).await?;

        // A follower dies, comes back; then the leader dies.
        let leader = stage.leader().await?;
        let follower = stage.others(&[leader])[0];
        stage.nodes[follower].kill().await?;
        until_dots(&recorder, before + 500).await?;
        stage.nodes[follower].up().await?;
        stage.all_agree().await?;
        let leader = stage.leader().await?;
        stage.nodes[leader].kill().await?;
        let done = async || {
            let now = shown(&stage, &id).await?;
            Ok((now["stage"] == "done").then_some(now))
        };
        let end = until_within("everybody has an outcome", LONG, done).await?;
        tell(&format!(
            "2,000 mails with two kills: {:.1} s",
            began.elapsed().as_secs_f64()
        ));
        stage.nodes[leader].up().await?;
        stage.all_agree().await?;

        let refused = COUNT / 100;
        let (outcomes, taken) = (&end["outcomes"], recorder.taken());
        tell(&format!("outcomes: {outcomes}"));
        anyhow::ensure!(outcomes["refused"] == refused, "{outcomes}");
        anyhow::ensure!(outcomes["delivered"] == COUNT - refused, "{outcomes}");
        anyhow::ensure!(
            taken.len() == (COUNT - refused) as usize,
            "{} got it",
            taken.len()
        );
        // What is repeated because the relay hung up in the gap is not the killed nodes'.
        let gaps = |to: &str| usize::from(to.contains("gap@"));
        let repeated: usize = taken
            .iter()
            .map(|(to, it)| (it.len() - 1).saturating_sub(gaps(to)))
            .sum();
        tell(&format!(
            "{repeated} repeated by two killed nodes of {LINES} connections each"
        ));
        anyhow::ensure!(repeated <= 2 * LINES, "{repeated} repeated");
        for (to, copies) in &taken {
            anyhow::ensure!(
                copies.iter().all(|it| *it == copies[0]),
                "{to} got two different mails"
            );
        }
        // The report says it of each, on every node, once the one that was started again has caught up.
        for node in &stage.nodes {
            until("the node knows that it is over", async || {
                let shown = node.json(&["mail", "show", &id]).await?;
                Ok((shown["stage"] == "done").then_some(()))
            })
            .await?;
            let report = node.done(&["mail", "report", &id]).await?;
            let got = with_outcome(&report, "delivered");
            anyhow::ensure!(
                got == taken.keys().cloned().collect(),
                "{}: the report differs",
                node.name
            );
            anyhow::ensure!(
                report.contains("\"10no@example.com\",refused,550 5.1.1"),
                "{report}"
            );
        }
        let record = stage.nodes[0].done(&["audit", "list"]).await?;
        for what in ["approve-campaign", "pause-campaign", "resume-campaign"] {
            anyhow::ensure!(
                record.contains(what),
                "{what} is not on the record: {record}"
            );
        }
        Ok(())
    };
    let played = played.await;
    stage.end(played)
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_p7_a_cancelled_campaign_stops_everywhere_and_a_correction_goes_to_exactly_those_who_got_it()
-> Result<()> {
    const COUNT: u32 = 600;
    let recorder = Recorder::begin(Duration::from_millis(30)).await?;
    let stage = three(&recorder).await?;
    let played = async {
        let list = write_list(stage.folder(), COUNT)?;
        let texts = write_texts(stage.folder())?;
        stage.nodes[0]
            .done(&["mail", "rules", "--alone-up-to", "1000"])
            .await?;
        let id = asked(&stage.nodes[0], &list, &texts).await?;
        stage.nodes[0]
            .done(&["mail", "approve", &id, "--confirm", "600"])
            .await?;
        until_dots(&recorder, 120).await?;
        stage.nodes[1]
            .done(&["mail", "cancel", &id, "--reason", "wrong text"])
            .await?;
        let before = recorder.dots();
        meanwhile(Duration::from_secs(2)).await;
        let more = recorder.dots() - before;
        tell(&format!(
            "{more} mails after the end, over {} connections",
            3 * LINES
        ));
        anyhow::ensure!(more <= 3 * LINES, "{more} mails left after the end");
        let taken: BTreeSet<String> = recorder.taken().keys().cloned().collect();
        let report = until("the report knows who got it", async || {
            let report = stage.nodes[2].done(&["mail", "report", &id]).await?;
            let got = &with_outcome(&report, "delivered") | &with_outcome(&report, "unknown");
            Ok((got == taken).then_some(report))
        })
        .await?;
        anyhow::ensure!(
            !report.contains(",waiting,"),
            "somebody has no outcome: {report}"
        );

        let words = [
            "mail",
            "draft",
            "--name",
            "sorry",
            "--texts",
            &texts,
            "--correct",
            &id,
            "--at-once",
        ];
        let sorry = id_of(&stage.nodes[2].json(&words).await?)?;
        let check = stage.nodes[2].json(&["mail", "check", &sorry]).await?;
        anyhow::ensure!(check["recipients"] == taken.len(), "{check}");
        Ok(())
    };
    let played = played.await;
    stage.end(played)
}
