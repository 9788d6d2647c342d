//! Operators at the console of real nodes: signed in on one and known on all, slowed, refused, and let in alone.

use anyhow::{Context, Result};
use hyper::StatusCode;

use crate::harness::browser::heading;
use crate::harness::operators::{Operator, break_glass};
use crate::harness::stage::{Stage, play, says_it_is_alone};
use crate::harness::{tell, until};

const HOME: &str = "What is happening";

/// Whether what is secret stands in no node's log.
fn nothing_leaked(stage: &Stage, secrets: &[&str]) -> Result<()> {
    for node in &stage.nodes {
        let log = std::fs::read_to_string(&node.log)?;
        anyhow::ensure!(
            log.contains("the console listens"),
            "{}: no such log",
            node.name
        );
        for secret in secrets {
            anyhow::ensure!(!secret.is_empty(), "an empty secret is found everywhere");
            anyhow::ensure!(!log.contains(secret), "{}'s log has a secret", node.name);
        }
    }
    Ok(())
}

/// The command line from afar, by token, and by the fingerprint that the node's own status shows; returns the token.
async fn asked_from_afar(stage: &Stage) -> Result<String> {
    let create = ["people", "token", "create", "watcher", "--role", "viewer"];
    let made = stage.nodes[0].json(&create).await?;
    let token = made["token"].as_str().context("no token")?.to_owned();
    let file = stage.folder().join("token");
    std::fs::write(&file, &token)?;
    let file = file.to_str().context("a path is not text")?;
    let status = stage.nodes[2].status().await?;
    let print = status["people"]["fingerprint"]
        .as_str()
        .context("no fingerprint")?;
    let url = format!("https://{}", stage.nodes[2].console());
    let from = ["--url", &url, "--token-file", file, "--fingerprint"];
    let afar = |print: &str, verb: &[&str]| -> Vec<String> {
        let words = verb.iter().chain(&from).chain([&print]);
        words.map(|it| (*it).to_owned()).collect()
    };
    let ask = async |words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        stage.nodes[0].verb(&words).await
    };
    until("the token is known there", async || {
        let said = ask(afar(print, &["status"])).await?;
        Ok((said.code == Some(0) && said.out.contains("console    https://")).then_some(()))
    })
    .await?;
    let refused = ask(afar(print, &["people", "list"])).await?;
    anyhow::ensure!(refused.code == Some(3), "{refused:?}");
    let other = "00".repeat(32);
    let stranger = ask(afar(&other, &["status"])).await?;
    anyhow::ensure!(stranger.code == Some(5), "{stranger:?}");
    Ok(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_whoever_signs_in_on_one_node_is_known_on_all_until_it_is_revoked_on_any() -> Result<()>
{
    play(3, async |stage| {
        let jana = Operator::made(&stage.nodes[0], "jana", "admin").await?;
        let petr = Operator::made(&stage.nodes[1], "petr", "viewer").await?;
        let (mut browser, code) = (stage.browser()?, jana.code(0)?);
        let at = stage.nodes[0].console();
        let page = jana
            .sign_in_with(&mut browser, at, &jana.password, &code)
            .await?;
        anyhow::ensure!(page.taken()? == "/", "{page:?}");
        for node in &stage.nodes {
            until(&format!("{} knows the session", node.name), async || {
                let page = browser.get(node.console(), "/").await?;
                Ok((heading(&page.text) == HOME).then_some(()))
            })
            .await?;
        }
        // A code is good once, wherever it is shown.
        let mut thief = stage.browser()?;
        let again = jana
            .sign_in_with(&mut thief, stage.nodes[2].console(), &jana.password, &code)
            .await?;
        anyhow::ensure!(again.status == StatusCode::FORBIDDEN, "{again:?}");

        let mut viewer = stage.browser()?;
        petr.sign_in(&mut viewer, stage.nodes[2].console(), 0)
            .await?
            .taken()?;
        let refused = viewer
            .get(stage.nodes[2].console(), "/api/v1/people")
            .await?;
        anyhow::ensure!(refused.status == StatusCode::FORBIDDEN, "{refused:?}");
        let problem: serde_json::Value = serde_json::from_str(&refused.text)?;
        anyhow::ensure!(
            problem["detail"] == "petr does not have the role admin",
            "{problem}"
        );

        let sessions = stage.nodes[1].json(&["people", "sessions"]).await?;
        let all = sessions["sessions"].as_array().context("no sessions")?;
        let of_jana = all.iter().find(|it| it["who"] == "jana");
        let id = of_jana
            .and_then(|it| it["id"].as_str())
            .context("no session of jana")?;
        stage.nodes[1].done(&["people", "revoke", id]).await?;
        for node in &stage.nodes {
            until(&format!("{} knows it no more", node.name), async || {
                let page = browser.get(node.console(), "/").await?;
                Ok((page.location.as_deref() == Some("/sign-in?to=%2F")).then_some(()))
            })
            .await?;
        }
        let record = stage.nodes[2].done(&["audit", "list", "--json"]).await?;
        for what in ["add-person", "sign-in", "end-session"] {
            anyhow::ensure!(
                record.contains(what),
                "{what} is not on the record:\n{record}"
            );
        }
        let token = asked_from_afar(stage).await?;
        let cookie = viewer.cookie("__Host-lifeboat").context("no cookie")?;
        let (_, secret) = cookie.split_once('.').context("no secret")?;
        let secrets = [
            jana.password.as_str(),
            &jana.secret,
            &petr.password,
            secret,
            &token,
        ];
        nothing_leaked(stage, &secrets)?;
        tell("known on 3 of 3 nodes, and on none after it was revoked");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_slowed_on_every_node_and_nobody_is_locked_out() -> Result<()> {
    play(3, async |stage| {
        let jana = Operator::made(&stage.nodes[0], "jana", "admin").await?;
        let mut browser = stage.browser()?;
        let guess = "not the right password";
        for _ in 0..3 {
            let page = jana
                .sign_in_with(&mut browser, stage.nodes[0].console(), guess, "123456")
                .await?;
            anyhow::ensure!(page.status == StatusCode::FORBIDDEN, "{page:?}");
        }
        // The others hear of it; then the next guess has to wait there too.
        until("another node slows the same guesser", async || {
            let page = jana
                .sign_in_with(&mut browser, stage.nodes[1].console(), guess, "123456")
                .await?;
            Ok((page.status == StatusCode::TOO_MANY_REQUESTS).then_some(()))
        })
        .await?;
        // Whoever knows the password comes in once the wait is over.
        until("the right password comes in", async || {
            let page = jana
                .sign_in(&mut browser, stage.nodes[2].console(), 0)
                .await?;
            Ok(page.location.map(|_| ()))
        })
        .await?;
        nothing_leaked(stage, &[guess, &jana.password, &jana.secret])
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn p3_p9_alone_operators_come_in_by_password_and_by_envelope_and_everybody_hears_later()
-> Result<()> {
    play(3, async |stage| {
        let jana = Operator::made(&stage.nodes[0], "jana", "admin").await?;
        for node in &stage.nodes {
            until(
                &format!("the console of {} is known", node.name),
                async || {
                    let status = node.status().await?;
                    Ok(status["people"]["fingerprint"].is_string().then_some(()))
                },
            )
            .await?;
        }
        let print = ["breakglass", "print", "--holder", "safe", "--codes", "2"];
        let page = stage.nodes[0].json(&print).await?;
        let codes = page["codes"].as_array().context("no codes")?;
        let code = codes[0].as_str().context("no code")?.to_owned();
        let other = codes[1].as_str().context("no code")?.to_owned();
        anyhow::ensure!(
            page["nodes"].as_array().is_some_and(|it| it.len() == 3),
            "the page does not name every console: {page}"
        );
        until("the lone node knows the envelope", async || {
            let said = stage.nodes[0]
                .done(&["breakglass", "verify", &code])
                .await?;
            Ok(said.contains("is good").then_some(()))
        })
        .await?;
        stage.nodes[1].kill().await?;
        stage.nodes[2].kill().await?;
        says_it_is_alone(&stage.nodes[0]).await?;

        let lone = stage.nodes[0].console();
        let mut browser = stage.browser()?;
        let entered = jana.sign_in(&mut browser, lone, 0).await?;
        anyhow::ensure!(entered.taken()? == "/", "{entered:?}");
        let home = browser.read(lone, "/").await?;
        anyhow::ensure!(heading(&home) == HOME, "{home}");
        anyhow::ensure!(
            home.contains("This server is alone."),
            "the page does not say it"
        );
        let mut stranger = stage.browser()?;
        let entered = break_glass(&mut stranger, lone, &code).await?;
        anyhow::ensure!(entered.taken()? == "/", "{entered:?}");
        let people = stranger.read(lone, "/people").await?;
        anyhow::ensure!(people.contains("jana"), "an envelope opens what it says");
        let status = stage.nodes[0].done(&["status"]).await?;
        anyhow::ensure!(
            status.contains("1 break-glass codes were used on this node while it was alone"),
            "{status}"
        );

        // Nothing of it is forgotten by a power cut.
        stage.nodes[0].kill().await?;
        stage.nodes[0].up().await?;
        let mut again = stage.browser()?;
        let spent = break_glass(&mut again, lone, &code).await?;
        anyhow::ensure!(spent.status == StatusCode::FORBIDDEN, "{spent:?}");

        stage.nodes[1].up().await?;
        stage.nodes[2].up().await?;
        stage.all_agree().await?;
        for node in &stage.nodes {
            until(&format!("{} has it on the record", node.name), async || {
                let record = node.done(&["audit", "list", "--json"]).await?;
                let status = node.done(&["status"]).await?;
                let told = record.contains("sign-in-while-alone")
                    && record.contains("break-glass-while-alone")
                    && status.contains("nobody has said to know of it");
                Ok(told.then_some(()))
            })
            .await?;
        }
        let spent = break_glass(&mut again, stage.nodes[1].console(), &code).await?;
        anyhow::ensure!(spent.status == StatusCode::FORBIDDEN, "{spent:?}");
        let entered = break_glass(&mut again, stage.nodes[1].console(), &other).await?;
        anyhow::ensure!(entered.taken()? == "/", "{entered:?}");
        until("the banner is on another node", async || {
            let page = again.read(stage.nodes[2].console(), "/").await?;
            Ok((page.matches("Break-glass code used.").count() == 2).then_some(()))
        })
        .await?;
        let bare = code.replace('-', "");
        nothing_leaked(stage, &[&code, &bare, &jana.password, &jana.secret])?;
        tell("let in alone by password and by envelope; 2 reports on the record of 3 nodes");
        Ok(())
    })
    .await
}
