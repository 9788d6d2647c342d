//! Conversations that live: streams that go on at any node, messages that are one wherever they are sent, chat that gives
//! way, and agents who work on a node that is alone.

use std::time::Duration;

use anyhow::{Context, Result};
use lifeboat::clock;
use lifeboat::model::limits;

use crate::harness::browser::{Form, ticket};
use crate::harness::ears::{Ear, Event, poll, send, texts};
use crate::harness::operators::Operator;
use crate::harness::stage::{Stage, play, says_it_is_alone};
use crate::harness::{meanwhile, tell, until};

const SOON: Duration = Duration::from_secs(10);

/// A conversation with one message: its path and ticket code.
async fn begun(stage: &Stage, place: usize, text: &str) -> Result<(String, String)> {
    let mut browser = stage.browser()?;
    let at = stage.nodes[place].https();
    let form = browser.form(at).await?;
    // What comes back faster than a person writes is set apart from those who wait.
    meanwhile(Duration::from_millis(limits::FORM_AGE_MS_MIN + 100)).await;
    let typed = [("contact", "jana@shop.example"), ("text", text)];
    let answer = browser.send(at, &form, &typed).await?;
    let path = answer
        .taken()?
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let page = browser.read(at, &path).await?;
    let code = ticket(&page).context("no ticket code")?;
    Ok((path, code))
}

async fn answered(stage: &Stage, place: usize, code: &str, text: &str) -> Result<()> {
    until("an answer is agreed on", async || {
        let verb = ["conversations", "answer", code, text];
        let said = stage.nodes[place].verb(&verb).await?;
        Ok((said.code == Some(0)).then_some(()))
    })
    .await
}

/// The texts of a conversation as a node's API tells them.
async fn told(stage: &Stage, place: usize, code: &str) -> Result<Vec<String>> {
    let all = stage.nodes[place]
        .json(&["conversations", "show", code])
        .await?;
    Ok(texts(&all["messages"]))
}

/// Whether an event brings an agreed message; it may have been shown as held before.
fn brings(event: &Event, text: &str) -> bool {
    event.texts().is_ok_and(|it| it.iter().any(|it| it == text))
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_stream_goes_on_at_any_node_where_it_broke_off() -> Result<()> {
    play(3, async |stage| {
        let ca = stage.ca();
        let (path, code) = begun(stage, 0, "My site is gone.").await?;
        let mut ear = Ear::open(&ca, stage.nodes[0].https(), &path, None).await?;
        let first = ear.next(SOON).await?.context("no event")?;
        anyhow::ensure!(first.texts()? == ["My site is gone."], "{first:?}");
        let began = clock::monotonic();
        answered(stage, 2, &code, "We look.").await?;
        let news = ear.until(SOON, |it| brings(it, "We look.")).await?;
        anyhow::ensure!(news.texts()? == ["We look."], "only what is new: {news:?}");
        tell(&format!(
            "an answer by the command line of another node: {:?}",
            began.elapsed()
        ));

        stage.nodes[0].kill().await?;
        answered(stage, 2, &code, "It is the power.").await?;
        let second = stage.nodes[1].https();
        let mut ear = Ear::open(&ca, second, &path, Some(&news.id)).await?;
        let missed = ear.until(SOON, |it| brings(it, "It is the power.")).await?;
        anyhow::ensure!(missed.texts()? == ["It is the power."], "{missed:?}");
        anyhow::ensure!(missed.news()?["anew"] == false, "{missed:?}");

        // After a restore the numbers begin elsewhere: a page of before is told to begin anew.
        let before = missed.id.replace("-1.", "-0.");
        let mut ear = Ear::open(&ca, second, &path, Some(&before)).await?;
        let anew = ear.next(SOON).await?.context("no event")?;
        anyhow::ensure!(anew.news()?["anew"] == true, "{anew:?}");
        anyhow::ensure!(anew.texts()?.len() == 3, "{anew:?}");

        // The same by polling, which waits while there is nothing.
        let (status, all) = poll(&ca, second, &path).await?;
        anyhow::ensure!(status == 200 && texts(&all["new"]).len() == 3, "{all}");
        let at = all["at"].as_str().context("no place")?.to_owned();
        let waiting = format!("{path}?after={at}&wait");
        // What is not agreed on within a second is shown as held first, and ends a wait as well.
        let polled = tokio::time::timeout(SOON * 2, async {
            loop {
                let (_, news) = poll(&ca, second, &waiting).await?;
                if !texts(&news["new"]).is_empty() {
                    return anyhow::Ok(news);
                }
            }
        });
        let (news, told) = tokio::join!(polled, answered(stage, 2, &code, "The power is back."));
        told?;
        let news = news.context("the answer did not come")??;
        anyhow::ensure!(texts(&news["new"]) == ["The power is back."], "{news}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_message_sent_again_elsewhere_under_its_id_is_one_message() -> Result<()> {
    play(3, async |stage| {
        let ca = stage.ca();
        let (path, code) = begun(stage, 0, "Hello").await?;
        let (id, text) = ("00112233445566778899aabbccddeeff", "Is anybody there?");
        let (status, first) = send(&ca, stage.nodes[0].https(), &path, (id, text)).await?;
        anyhow::ensure!(
            status == 200 && first["kept"] == "agreed",
            "{status} {first}"
        );
        stage.nodes[0].kill().await?;
        for place in [1, 2, 1] {
            let at = stage.nodes[place].https();
            until("it is taken elsewhere", async || {
                let (status, again) = send(&ca, at, &path, (id, text)).await?;
                anyhow::ensure!(again["key"] == first["key"], "{status} {again}");
                Ok((again["kept"] == "agreed").then_some(()))
            })
            .await?;
        }
        anyhow::ensure!(told(stage, 2, &code).await? == ["Hello", text]);
        let (status, wrong) = send(&ca, stage.nodes[1].https(), &path, ("short", text)).await?;
        anyhow::ensure!(status == 422 && wrong["wait"].is_null(), "{status} {wrong}");
        let (status, empty) = send(
            &ca,
            stage.nodes[1].https(),
            &path,
            ("0123456789abcdef0", " "),
        )
        .await?;
        anyhow::ensure!(
            status == 422 && empty["why"] == "Write your message.",
            "{empty}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_streams_past_their_bound_are_told_to_ask_and_a_stop_says_goodbye() -> Result<()> {
    play(1, async |stage| {
        let (ca, at) = (stage.ca(), stage.nodes[0].https());
        let (path, _) = begun(stage, 0, "Many tabs").await?;
        let mut ears = Vec::new();
        for _ in 0..limits::STREAMS_PER_CONVERSATION {
            let mut ear = Ear::open(&ca, at, &path, None).await?;
            ear.next(SOON).await?.context("no event")?;
            ears.push(ear);
        }
        let mut late = Ear::open(&ca, at, &path, None).await?;
        let first = late.next(SOON).await?.context("no event")?;
        anyhow::ensure!(
            first.texts()? == ["Many tabs"],
            "it is told how things are: {first:?}"
        );
        let full = late.next(SOON).await?.context("no event")?;
        anyhow::ensure!(full.kind == "full", "{full:?}");
        anyhow::ensure!(late.next(SOON).await?.is_none(), "it goes on");
        let counted = stage.nodes[0].figure("lifeboat_web_streams_full").await?;
        anyhow::ensure!(counted == 1, "{counted}");
        // One that went leaves its seat.
        drop(ears.pop());
        until("there is a seat again", async || {
            let mut ear = Ear::open(&ca, at, &path, None).await?;
            ear.next(SOON).await?;
            let next = ear.next(Duration::from_millis(200)).await;
            Ok(next.is_err().then_some(()))
        })
        .await?;
        let beat = Duration::from_millis(limits::STREAM_BEAT_MS * 2);
        let ear = ears.first_mut().context("no stream")?;
        ear.until(beat, |it| it.kind == "beat").await?;

        let began = clock::monotonic();
        let stopping = stage.nodes[0].stop();
        let bye = async {
            let ear = ears.first_mut().context("no stream")?;
            ear.until(SOON, |it| it.kind == "bye").await?;
            anyhow::ensure!(ear.next(SOON).await?.is_none(), "it goes on");
            Ok::<_, anyhow::Error>(())
        };
        let (stopped, bye) = tokio::join!(stopping, bye);
        stopped?;
        bye?;
        let took = began.elapsed();
        tell(&format!(
            "stopped with {} open streams in {took:?}",
            ears.len()
        ));
        anyhow::ensure!(
            took < Duration::from_secs(10),
            "streams held the stop up: {took:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_lone_node_carries_both_sides_and_everything_is_once_everywhere_later() -> Result<()> {
    play(3, async |stage| {
        let ca = stage.ca();
        let jana = Operator::made(&stage.nodes[0], "jana", "agent").await?;
        let (path, code) = begun(stage, 0, "Before").await?;
        until("it is known at the node that will be alone", async || {
            Ok((told(stage, 2, &code).await? == ["Before"]).then_some(()))
        })
        .await?;
        stage.nodes[0].kill().await?;
        stage.nodes[1].kill().await?;
        says_it_is_alone(&stage.nodes[2]).await?;
        let (at, console) = (stage.nodes[2].https(), stage.nodes[2].console());
        let mut customer = Ear::open(&ca, at, &path, None).await?;
        customer.next(SOON).await?.context("no event")?;
        let (id, text) = ("a0a1a2a3a4a5a6a7a8a9", "While alone");
        let (status, kept) = send(&ca, at, &path, (id, text)).await?;
        anyhow::ensure!(status == 200 && kept["kept"] == "held", "{kept}");
        let held = customer.until(SOON, |it| it.data.contains(text)).await?;
        anyhow::ensure!(texts(&held.news()?["held"]) == [text], "{held:?}");

        let mut browser = stage.browser()?;
        jana.sign_in(&mut browser, console, 1).await?.taken()?;
        let inbox = browser.read(console, "/inbox").await?;
        anyhow::ensure!(inbox.contains(&code), "{inbox}");
        let found = browser.get(console, &format!("/inbox?code={code}")).await?;
        let talk = found.taken()?.to_owned();
        let page = browser.read(console, &talk).await?;
        anyhow::ensure!(page.contains(text) && page.contains("held here"), "{page}");
        let form = Form::of(&page, &format!("{talk}/answer")).context("no form")?;
        let typed = [("text", "We are alone too."), ("do", "send")];
        let said = browser.send(console, &form, &typed).await?;
        anyhow::ensure!(said.text.contains("is held on this node"), "{}", said.text);
        // The browser sends it again, as browsers do.
        browser.send(console, &form, &typed).await?;
        let note = Form::of(&page, &format!("{talk}/note")).context("no form")?;
        let secret = "He owes us money.";
        browser.send(console, &note, &[("note", secret)]).await?;
        let seen = customer
            .until(SOON, |it| it.data.contains("alone too"))
            .await?;
        anyhow::ensure!(
            !seen.data.contains("owes"),
            "a note was shown to the customer"
        );

        stage.nodes[0].up().await?;
        stage.nodes[1].up().await?;
        let all = ["Before", text, "We are alone too."];
        for place in 0..3 {
            until("everything is everywhere once and in order", async || {
                Ok((told(stage, place, &code).await? == all).then_some(()))
            })
            .await?;
            let whole = stage.nodes[place]
                .json(&["conversations", "show", &code])
                .await?;
            anyhow::ensure!(texts(&whole["notes"]) == [secret], "{whole}");
        }
        let agreed = customer.until(SOON, |it| {
            it.news().is_ok_and(|it| texts(&it["held"]).is_empty())
        });
        agreed.await?;
        for node in &stage.nodes {
            let page = stage.browser()?.read(node.https(), &path).await?;
            anyhow::ensure!(!page.contains("owes"), "{}: a note was shown", node.name);
        }
        Ok(())
    })
    .await
}
