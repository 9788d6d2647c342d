//! P2, P9: what is said once is on every node, in pages, feeds and JSON, with its corrections, and on the record.

use std::time::Duration;

use anyhow::{Context, Result};
use lifeboat::clock;

use crate::harness::stage::play;
use crate::harness::{tell, until};

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn p2_p9_an_incident_said_once_is_on_every_node_and_on_the_record() -> Result<()> {
    play(3, async |stage| {
        let mut browser = stage.browser()?;
        let names = [
            "component",
            "add",
            "mail",
            "--name",
            "en=E-mail",
            "--name",
            "cs=Pošta",
        ];
        stage.nodes[0].done(&names).await?;
        let words = [
            "incident",
            "open",
            "--title",
            "en=No power in Prague",
            "--title",
            "cs=Praha bez proudu",
            "--affects",
            "mail=down",
            "--severity",
            "critical",
            "--next",
            "45m",
            "--text",
            "en=Websites & <mail> do not work.",
            "--text",
            "cs=Weby a pošta nejdou.",
        ];
        let rehearsed = stage.nodes[1]
            .json(&[&words[..], &["--dry-run"]].concat())
            .await?;
        anyhow::ensure!(rehearsed["dry_run"] == true, "{rehearsed}");
        let page = browser
            .read(stage.nodes[1].https(), "/status?lang=en")
            .await?;
        anyhow::ensure!(!page.contains("No power"), "a rehearsal was published");

        let began = clock::monotonic();
        let opened = stage.nodes[1].json(&words).await?;
        let id = opened["incident"]
            .as_str()
            .context("no incident")?
            .to_owned();
        for node in &stage.nodes {
            until("the first page leads with it", async || {
                let page = browser.read(node.https(), "/en/").await?;
                Ok(page.contains("No power in Prague").then_some(()))
            })
            .await?;
        }
        let took = began.elapsed();
        tell(&format!(
            "said once -> on all pages: {:.3} s",
            took.as_secs_f64()
        ));
        anyhow::ensure!(took < Duration::from_secs(5), "that took {took:?}");

        // Whoever speaks is killed; the correction goes through another node and shows.
        stage.nodes[1].kill().await?;
        let correction = [
            "incident",
            "edit",
            &id,
            "--update",
            "1",
            "--text",
            "en=Half of the websites do not work.",
        ];
        until("a correction after the node's death", async || {
            let said = stage.nodes[0].verb(&correction).await?;
            Ok((said.code == Some(0)).then_some(()))
        })
        .await?;
        stage.nodes[1].up().await?;
        for node in &stage.nodes {
            until("the correction is on every node and shows", async || {
                let page = browser
                    .read(node.https(), &format!("/incident/{id}?lang=en"))
                    .await?;
                let shown = page.contains("Half of the websites") && page.contains("edited at");
                Ok(shown.then_some(()))
            })
            .await?;
            let czech = browser
                .read(node.https(), &format!("/incident/{id}?lang=cs"))
                .await?;
            anyhow::ensure!(
                czech.contains("se tato zpráva změnila"),
                "not marked: {czech}"
            );
        }
        // The same bytes from every node.
        for path in [
            "/status.json?lang=en",
            "/status.atom?lang=cs",
            "/status.rss?lang=en",
        ] {
            let mut all = Vec::new();
            for node in &stage.nodes {
                let host = node.https().to_string();
                all.push(
                    browser
                        .read(node.https(), path)
                        .await?
                        .replace(&host, "host"),
                );
            }
            anyhow::ensure!(all[0].contains(&id), "{path}: {}", all[0]);
            anyhow::ensure!(
                all.iter().all(|it| *it == all[0]),
                "{path} differs: {all:?}"
            );
        }
        let stale = stage.nodes[2]
            .verb(&[
                "incident",
                "resolve",
                &id,
                "--against",
                "1",
                "--text",
                "en=Over.",
            ])
            .await?;
        anyhow::ensure!(
            stale.code == Some(3),
            "an old view overwrote: {}",
            stale.out
        );
        stage.nodes[2]
            .done(&[
                "incident",
                "resolve",
                &id,
                "--text",
                "en=Over.",
                "--text",
                "cs=Konec.",
            ])
            .await?;
        let timeline = stage.nodes[2].done(&["incident", "timeline", &id]).await?;
        for what in ["open-incident", "edit-update", "update-incident", "refused"] {
            anyhow::ensure!(
                timeline.contains(what),
                "{what} is not on the record: {timeline}"
            );
        }
        let report = stage.nodes[2].done(&["incident", "export", &id]).await?;
        anyhow::ensure!(
            report.contains("# No power in Prague") && report.contains("Edited"),
            "{report}"
        );
        Ok(())
    })
    .await
}
