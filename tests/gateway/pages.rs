//! P2: every page works on every node, whichever leads; a customer starts on one and goes on at another.

use std::time::Duration;

use anyhow::{Context, Result};
use hyper::StatusCode;
use lifeboat::clock;

use crate::harness::browser::{Form, heading, ticket};
use crate::harness::ledger::write_to;
use crate::harness::stage::{play, small_write};
use crate::harness::{tell, until};

const SITE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Example Hosting</title>\
    <h1>The Prague datacentre has no power</h1><p><a href=/write>Write to us</a></p>";

#[tokio::test(flavor = "multi_thread")]
async fn p2_every_page_and_the_conversation_open_on_every_node() -> Result<()> {
    play(3, async |stage| {
        let mut browser = stage.browser()?;
        let first = stage.nodes[0].https();
        let (letter, page) = write_to(&mut browser, first, "p2: is my mail lost?").await?;
        anyhow::ensure!(heading(&page) == "Your message is safely stored", "{page}");
        let code = ticket(&page).context("no ticket code on the page")?;
        for node in &stage.nodes {
            let at = node.https();
            for path in ["/", "/write", "/write?lang=cs", "/ticket"] {
                browser.read(at, path).await.context(node.name.clone())?;
            }
            let missing = browser.get(at, "/no-such-page").await?;
            anyhow::ensure!(
                missing.status == StatusCode::NOT_FOUND,
                "{}",
                missing.status
            );
            until("the conversation is on every node", async || {
                let page = browser.read(at, &letter.link).await?;
                Ok(page.contains(&letter.text).then_some(()))
            })
            .await?;
            let form = browser.read(at, "/ticket").await?;
            let form = Form::of(&form, "/ticket").context("no form for a code")?;
            let typed = [("code", code.as_str()), ("contact", &letter.contact)];
            let answer = browser.send(at, &form, &typed).await?;
            let back = browser.read(at, answer.taken()?).await?;
            anyhow::ensure!(back.contains(&letter.text), "another conversation");
        }
        // One adds to it at a node that did not take it, the others show it.
        let second = stage.nodes[1].https();
        let page = browser.read(second, &letter.link).await?;
        let path = letter.link.split('?').next().unwrap_or_default();
        let form = Form::of(&page, path).context("no form to write more")?;
        let answer = browser
            .send(second, &form, &[("text", "p2: and my calendar?")])
            .await?;
        answer.taken()?;
        for node in &stage.nodes {
            until("the addition is on every node", async || {
                let page = browser.read(node.https(), &letter.link).await?;
                Ok(page.contains("and my calendar?").then_some(()))
            })
            .await?;
        }
        let list = stage.nodes[2]
            .json(&["conversations", "list", "--state", "all"])
            .await?;
        anyhow::ensure!(list["conversations"][0]["messages"] == 2, "{list}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_published_site_is_on_every_node_and_survives_its_leader() -> Result<()> {
    play(3, async |stage| {
        let site = stage.folder().join("site");
        std::fs::create_dir(&site)?;
        std::fs::write(site.join("index.html"), SITE)?;
        let folder = site.display().to_string();
        stage.nodes[1].done(&["site", "publish", &folder]).await?;
        let mut browser = stage.browser()?;
        for node in &stage.nodes {
            until("every node serves the published site", async || {
                let page = browser.read(node.https(), "/").await?;
                Ok(page.contains("has no power").then_some(()))
            })
            .await?;
        }
        let leader = stage.leader().await?;
        stage.nodes[leader].kill().await?;
        let began = clock::monotonic();
        let others = stage.others(&[leader]);
        let asked = &stage.nodes[others[0]];
        until("a write after the leader's death", async || {
            small_write(asked, "after the leader").await.map(Some)
        })
        .await?;
        let took = began.elapsed();
        tell(&format!(
            "leader killed -> next write accepted: {:.2} s",
            took.as_secs_f64()
        ));
        anyhow::ensure!(took < Duration::from_secs(15), "that took {took:?}");
        for place in others {
            let page = browser.read(stage.nodes[place].https(), "/").await?;
            anyhow::ensure!(page.contains("has no power"), "another site");
        }
        // Cold, with everything on disk: the site is there before anybody agrees on anything.
        for node in &mut stage.nodes {
            node.kill().await?;
        }
        stage.nodes[leader].up().await?;
        let page = browser.read(stage.nodes[leader].https(), "/").await?;
        anyhow::ensure!(
            page.contains("has no power"),
            "the last good site is not served"
        );
        Ok(())
    })
    .await
}
