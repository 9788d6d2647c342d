//! Files that messages carry: what was called safely stored outlives the node that took it, byte for byte, and what a lone
//! node took comes along when it is rejoined.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use lifeboat::model::limits;

use crate::harness::browser::{Browser, heading, ticket};
use crate::harness::stage::{Stage, play, says_it_is_alone};
use crate::harness::{meanwhile, tell, until};

const SAFE: &str = "Your message is safely stored";

/// A picture by its first bytes, and more than a few pieces of it.
fn picture() -> Vec<u8> {
    let rest = (0_u32..300_000).map(|it| (it.wrapping_mul(2_654_435_761) >> 13) as u8);
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
        .iter()
        .copied()
        .chain(rest)
        .collect()
}

/// Writes a message with a file, and returns the path of the conversation.
async fn written(
    browser: &mut Browser,
    at: SocketAddr,
    (text, name, bytes): (&str, &str, &[u8]),
) -> Result<String> {
    let form = browser.form(at).await?;
    // What comes back faster than a person writes is set apart.
    meanwhile(Duration::from_millis(limits::FORM_AGE_MS_MIN + 100)).await;
    let typed = [("contact", "jana@shop.example"), ("text", text)];
    let answer = browser
        .send_files(at, &form, &typed, &[(name, bytes)])
        .await?;
    let path = answer.taken()?.split('?').next().unwrap_or_default();
    Ok(path.to_owned())
}

/// Where the files of a page are: what is downloaded, not the page in another language.
fn hrefs(page: &str) -> Vec<String> {
    let parts = page.split("<a href=\"/c/").skip(1);
    let paths = parts.filter_map(|it| it.split_once("\" download>"));
    let paths = paths.map(|(path, _)| path).filter(|it| !it.contains('"'));
    paths.map(|it| format!("/c/{it}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_file_that_was_called_safely_stored_is_read_elsewhere_after_its_node_died()
-> Result<()> {
    play(3, async |stage| {
        let mut browser = stage.browser()?;
        let sent = picture();
        let first = stage.nodes[0].https();
        let file = ("It looks like this.", "../screen\u{202e}gnp.exe", &sent[..]);
        let path = written(&mut browser, first, file).await?;
        let page = until("the page calls it safely stored", async || {
            let page = browser.read(first, &path).await?;
            Ok((heading(&page) == SAFE).then_some(page))
        })
        .await?;
        stage.nodes[0].kill().await?;
        let code = ticket(&page).context("no ticket code")?;
        let href = hrefs(&page).pop().context("no file")?;
        tell(&format!("sent as {:?}, shown as {href}", file.1));
        for place in [1, 2] {
            let at = stage.nodes[place].https();
            let page = until("the page is there", async || {
                let page = browser.read(at, &path).await?;
                Ok(page.contains("gnp.exe.png").then_some(page))
            })
            .await?;
            anyhow::ensure!(!page.contains('\u{202e}'), "a name that turns others");
            let got = browser.get(at, &href).await?;
            anyhow::ensure!(
                got.bytes == sent,
                "{} of {} bytes",
                got.bytes.len(),
                sent.len()
            );
        }
        by_command_line(stage, &path, (&code, &sent)).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_file_that_a_lone_node_took_is_kept_over_its_death_and_copied_once_it_is_rejoined()
-> Result<()> {
    play(3, async |stage| {
        let mut browser = stage.browser()?;
        let sent = picture();
        let lone = stage.nodes[0].https();
        stage.nodes[1].kill().await?;
        stage.nodes[2].kill().await?;
        says_it_is_alone(&stage.nodes[0]).await?;
        let file = ("alone", "screen.png", &sent[..]);
        let path = written(&mut browser, lone, file).await?;
        let page = browser.read(lone, &path).await?;
        anyhow::ensure!(
            heading(&page) == "Your message is held on one server",
            "{page}"
        );
        let href = hrefs(&page).pop().context("no file")?;
        stage.nodes[0].kill().await?;
        stage.nodes[0].up().await?;
        let got = browser.get(lone, &href).await?;
        anyhow::ensure!(got.bytes == sent, "it forgot what it held");
        stage.nodes[1].up().await?;
        stage.nodes[2].up().await?;
        stage.all_agree().await?;
        until("a majority has it", async || {
            let page = browser.read(lone, &path).await?;
            Ok((heading(&page) == SAFE).then_some(()))
        })
        .await?;
        stage.nodes[0].kill().await?;
        for place in [1, 2] {
            // A majority is two, one of which is dead now: the third copies it from the second.
            until("the file is there", async || {
                let got = browser.get(stage.nodes[place].https(), &href).await?;
                Ok((got.bytes == sent).then_some(()))
            })
            .await?;
        }
        Ok(())
    })
    .await
}

/// The same by the command line of another node, and an answer with a file.
async fn by_command_line(stage: &Stage, path: &str, (code, sent): (&str, &[u8])) -> Result<()> {
    let mut browser = stage.browser()?;
    let (to, log) = (
        stage.folder().join("got.png"),
        stage.folder().join("own.log"),
    );
    let to_text = to.to_string_lossy().into_owned();
    let fetch = ["conversations", "file", code, "1", "--to", &to_text];
    stage.nodes[2].done(&fetch).await?;
    anyhow::ensure!(std::fs::read(&to)? == *sent, "another file");
    let again = stage.nodes[2].verb(&fetch).await?;
    anyhow::ensure!(again.code != Some(0), "a file was written over");
    std::fs::write(&log, b"one\ntwo\n")?;
    let log_text = log.to_string_lossy().into_owned();
    let answer = [
        "conversations",
        "answer",
        code,
        "See this.",
        "--attach",
        &log_text,
    ];
    stage.nodes[2].done(&answer).await?;
    let shown = stage.nodes[1]
        .done(&["conversations", "show", code])
        .await?;
    anyhow::ensure!(
        shown.contains("file 1: ") && shown.contains("file 2: own.log"),
        "{shown}"
    );
    let at = stage.nodes[1].https();
    let page = until("the answer's file is on the customer's page", async || {
        let page = browser.read(at, path).await?;
        Ok((hrefs(&page).len() == 2).then_some(page))
    })
    .await?;
    let own = hrefs(&page).pop().context("no file")?;
    let got = browser.get(at, &own).await?;
    anyhow::ensure!(&got.bytes[..] == b"one\ntwo\n", "{:?}", got.text);
    Ok(())
}
