//! The story of an outage, played with the parts that are built: what happens, what is measured, which promises are put
//! to the test. Each step goes on from what the step before left; a step that cannot be played ends the story as a
//! failure.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::customers;
use super::mass_mail::{self, MassMail};
use super::names;
use super::node::Node;
use super::sink::{self, Kept};
use super::timeline::Timeline;
use super::visitor::{Receipt, Visitor};
use super::{LOOK, NODE_STARTS_WITHIN, Stage};
use crate::clock;
use crate::model::{when::of_rfc3339, words::Timestamp};

mod said;

/// The longest that anything in the story is waited for.
const WAIT: Duration = Duration::from_secs(60);
/// How often a small write is tried while there is no leader.
const RETRY: Duration = Duration::from_millis(20);

const SUPPORT: &str = "support@example.test";
const OFF_NET: &str = "example.support@mailbox.example.test";

/// Words of the published page, by which it is known.
const SITE_WORDS: &str = "has no power";
/// The published website's front page.
const SITE_PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Example Hosting</title>\
    <h1>Our Prague datacentre has no power</h1><p>Your data is safe. The next update is at 23:15.</p>\
    <p><a href=/write>Write to us</a></p>";

/// Plays the outage; `true` when every promise touched held.
pub(super) async fn outage(stage: &mut Stage) -> bool {
    let mut timeline = Timeline::begin();
    let played = async {
        anyhow::ensure!(
            stage.nodes.len() >= 3,
            "an outage is played with three nodes or more"
        );
        let visitor = Visitor::new(&stage.ca)?;
        let mut story = Story {
            stage,
            visitor,
            letters: Vec::new(),
            said: None,
        };
        story.customers_are_taken_in(&mut timeline).await?;
        story.primary_dies(&mut timeline).await?;
        story.it_is_said(&mut timeline).await?;
        story
            .node_dies_after_taking_a_message(&mut timeline)
            .await?;
        story.lone_node_takes_a_message(&mut timeline).await?;
        story.everybody_comes_back(&mut timeline).await?;
        story.site_is_published(&mut timeline).await?;
        let mail = story.everybody_is_mailed(&mut timeline).await?;
        story.leader_dies(&mut timeline).await?;
        story.the_report_adds_up(&mail, &mut timeline).await?;
        story.primary_returns(&mut timeline).await?;
        story.it_is_told_outside(&mut timeline).await?;
        story.nothing_was_lost_or_doubled(&mut timeline).await
    };
    if let Err(error) = played.await {
        timeline.stuck(&error);
    }
    timeline.end()
}

/// A customer's message that was acknowledged.
struct Letter {
    receipt: Receipt,
    contact: &'static str,
    text: &'static str,
}

struct Story<'a> {
    stage: &'a mut Stage,
    visitor: Visitor,
    letters: Vec<Letter>,
    /// When the shift leader said what happens.
    said: Option<Instant>,
}

impl Story<'_> {
    /// Before the outage, as a company would: its customers, so that they can be asked for on the day.
    async fn customers_are_taken_in(&mut self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let file = self.stage.folder.file("customers.csv");
        std::fs::write(&file, customers::export()).context("cannot write the customers")?;
        let file = file.to_string_lossy().into_owned();
        let began = clock::monotonic();
        let verb = ["directory", "import", &file];
        self.stage.nodes[0].verb(&verb).await?;
        let what = format!("{} customers are known", customers::COUNT);
        timeline.measured(&what, began.elapsed());
        Ok(())
    }

    async fn primary_dies(&mut self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let address = self.stage.ports.primary();
        until("the company's website", async || {
            website_answers(address).await
        })
        .await?;
        timeline.event("the company's website answers");
        self.until_both_work().await?;
        timeline.event("a majority of the nodes finds the website and the fallback working");
        let primary = self
            .stage
            .primary
            .as_mut()
            .context("there is no website to break")?;
        let (killed, began) = (clock::now(), clock::monotonic());
        primary.kill().await?;
        self.stage.primary = None;
        anyhow::ensure!(
            !website_answers(address).await,
            "the company's website survived being killed"
        );
        timeline.event("the company's website is killed, with its datacentre");
        self.names_switch(timeline, names::FALLBACK, killed, began)
            .await
    }

    /// Waits until the votes say that primary and fallback work, so that the switch has somewhere to go.
    async fn until_both_work(&self) -> anyhow::Result<()> {
        let node = self.stage.nodes.first().context("there is no node")?;
        until("votes that both targets work", async || {
            let service = node.service().await.unwrap_or_default();
            let targets = service["targets"].as_array().cloned().unwrap_or_default();
            targets.len() == 2 && targets.iter().all(|it| it["condition"] == "up")
        })
        .await
    }

    /// Waits until every living node answers the address, and tells how long each part of it took.
    async fn names_switch(
        &self,
        timeline: &mut Timeline,
        to: Ipv4Addr,
        since: Timestamp,
        began: Instant,
    ) -> anyhow::Result<()> {
        let living = || self.stage.nodes.iter().filter(|it| it.child.is_some());
        for node in living() {
            let what = format!("{} to answer {to}", node.name);
            until(&what, async || {
                names::answer(node.ports.dns).await == Some(to)
            })
            .await?;
        }
        let last = began.elapsed();
        let node = living().next().context("no node lives")?;
        let service = node.service().await?;
        let after = |at: &Value| {
            let at = of_rfc3339(at.as_str().unwrap_or_default());
            Duration::from_millis(at.map_or(0, |it| it.ms_since(since)))
        };
        let switched = &service["history"][0];
        let why = switched["why"].as_str().unwrap_or_default();
        timeline.measured(&format!("the votes decide: {why}"), after(&switched["at"]));
        timeline.measured(
            &format!("the last node answers www.{} with {to}", names::ZONE),
            last,
        );
        timeline.promise(
            "P5",
            "it switched by the verdict of a majority, and says why",
            switched["by_verdict"] == true && !why.is_empty(),
        );
        Ok(())
    }

    async fn node_dies_after_taking_a_message(
        &mut self,
        timeline: &mut Timeline,
    ) -> anyhow::Result<()> {
        let taker = self.follower().await?;
        let name = self.stage.nodes[taker].name;
        let address = self.stage.nodes[taker].ports.https;
        let form = self.visitor.open_form(address).await?;
        timeline.event(&format!("a customer reads the page on {name} and types"));
        let (contact, text) = (
            "jana@customer.example",
            "My shop is down. When will it work again?",
        );
        let receipt = self.visitor.send(address, &form, contact, text).await?;
        self.stage.nodes[taker].kill().await?;
        timeline.measured(
            &format!("\"{}\", code {}", receipt.said, receipt.ticket),
            receipt.took,
        );
        timeline.event(&format!(
            "{name} is killed (kill -9) right after it said so"
        ));
        timeline.promise(
            "P1",
            "the page said \"safely stored\" because a majority had it",
            !receipt.held,
        );
        self.letters.push(Letter {
            receipt,
            contact,
            text,
        });

        let began = clock::monotonic();
        self.until_in_step().await?;
        let lacking = self.lacking(async |node| self.reads(node, 0).await).await;
        timeline.measured("read back on the others with the code", began.elapsed());
        timeline.promise_everywhere("P2", "any node serves the customer", &lacking);
        let began = clock::monotonic();
        self.until_mailed(SUPPORT, 0).await?;
        timeline.measured("the message is in the support mailbox", began.elapsed());
        Ok(())
    }

    async fn lone_node_takes_a_message(&mut self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let alive: Vec<usize> = self.alive();
        let (lone, others) = alive.split_first().context("no node is left")?;
        for other in others {
            self.stage.nodes[*other].kill().await?;
        }
        let name = self.stage.nodes[*lone].name;
        timeline.event(&format!("the other nodes are killed too; {name} is alone"));
        let began = clock::monotonic();
        let node = &self.stage.nodes[*lone];
        until("the node knows that it is alone", async || {
            matches!(node.status().await, Ok(status) if status["agreement"]["majority"] == false)
        })
        .await?;
        timeline.measured(&format!("{name} knows that it is alone"), began.elapsed());
        let (contact, text) = ("petr@customer.example", "Is my data safe?");
        let address = node.ports.https;
        let form = self.visitor.open_form(address).await?;
        let receipt = self.visitor.send(address, &form, contact, text).await?;
        timeline.measured(
            &format!("\"{}\", code {}", receipt.said, receipt.ticket),
            receipt.took,
        );
        timeline.promise(
            "P3",
            &format!("{name}, alone, took a message and said who holds it"),
            receipt.held,
        );
        self.letters.push(Letter {
            receipt,
            contact,
            text,
        });
        timeline.promise(
            "P3",
            "the customer can read it there at once",
            self.reads(node, 1).await,
        );
        let began = clock::monotonic();
        self.until_mailed(OFF_NET, 1).await?;
        timeline.measured(
            "the held message is in the off-net mailbox",
            began.elapsed(),
        );
        Ok(())
    }

    async fn everybody_comes_back(&mut self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let began = clock::monotonic();
        let lone = *self.alive().first().context("no node is left")?;
        for node in &mut self.stage.nodes {
            if node.child.is_none() {
                node.start(NODE_STARTS_WITHIN).await?;
            }
        }
        self.stage.until_all_vote().await?;
        self.stage.write_facts()?;
        timeline.measured("the other nodes are back and all agree", began.elapsed());
        let began = clock::monotonic();
        let node = &self.stage.nodes[lone];
        until("an empty letterbox", async || {
            let letterbox = node.status().await.map(|it| it["letterbox"].clone());
            matches!(letterbox, Ok(it) if it["held"] == 0 && it["drained"] == true)
        })
        .await?;
        timeline.measured(
            &format!("{}'s letterbox is proven empty", node.name),
            began.elapsed(),
        );
        self.until_in_step().await?;
        let lacking = self.lacking(async |node| self.reads(node, 1).await).await;
        timeline.promise_everywhere("P3", "what was held is on every node now", &lacking);
        let began = clock::monotonic();
        self.until_mailed(SUPPORT, 1).await?;
        timeline.measured("and in the support mailbox", began.elapsed());
        Ok(())
    }

    async fn site_is_published(&mut self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let folder = self.stage.folder.file("site");
        std::fs::create_dir_all(&folder).context("cannot make a website")?;
        std::fs::write(folder.join("index.html"), SITE_PAGE).context("cannot write a page")?;
        let folder = folder.to_string_lossy().into_owned();
        let began = clock::monotonic();
        self.stage.nodes[0]
            .verb(&["site", "publish", &folder])
            .await?;
        timeline.measured("the shift leader has published a page", began.elapsed());
        let shows = async |node: &Node| {
            let page = async || self.visitor.get(node.ports.https, "/").await;
            let shown = async || matches!(page().await, Ok(page) if page.text.contains(SITE_WORDS));
            until("the published page", shown).await.is_ok()
        };
        let lacking = self.lacking(shows).await;
        timeline.measured("every node shows it", began.elapsed());
        timeline.promise_everywhere("P2", "the published page is everywhere", &lacking);
        Ok(())
    }

    async fn everybody_is_mailed(&mut self, timeline: &mut Timeline) -> anyhow::Result<MassMail> {
        let node = &self.stage.nodes[self.follower().await?];
        let (mail, refused) = MassMail::sent(self.stage, node).await?;
        let words = "a wrong number of recipients mails nobody";
        timeline.promise("P7", words, refused);
        timeline.event(&format!(
            "the shift leader mails {} customers through all nodes",
            mass_mail::CUSTOMERS
        ));
        let before = mass_mail::count(self.stage);
        let enough = mass_mail::CUSTOMERS as usize / 4;
        until("a quarter of the mails", async || {
            mass_mail::count(self.stage) >= before + enough
        })
        .await?;
        Ok(mail)
    }

    async fn the_report_adds_up(
        &mut self,
        mail: &MassMail,
        timeline: &mut Timeline,
    ) -> anyhow::Result<()> {
        let began = clock::monotonic();
        let node = &self.stage.nodes[0];
        let mut stage = String::new();
        while began.elapsed() < mass_mail::WITHIN && stage != "done" {
            let shown = mail.shown(node).await.unwrap_or_default();
            stage = shown["stage"].as_str().unwrap_or_default().to_owned();
            tokio::time::sleep(LOOK).await;
        }
        anyhow::ensure!(
            stage == "done",
            "the mass mail did not come to its end: {stage}"
        );
        timeline.measured("every customer has an outcome", began.elapsed());
        self.until_in_step().await?;
        let taken = MassMail::taken(self.stage);
        let all = mass_mail::CUSTOMERS as usize;
        let words = format!("{} of {all} customers have the mail", taken.len());
        timeline.promise("P6", &words, taken.len() == all);
        let repeated: usize = taken.values().map(|it| it.len() - 1).sum();
        let one_id = taken.values().all(|it| it.iter().all(|id| *id == it[0]));
        let words = format!(
            "{repeated} mails were repeated by the killed node of {} connections, under one Message-ID each",
            mass_mail::CONNECTIONS
        );
        timeline.promise("P6", &words, one_id && repeated <= mass_mail::CONNECTIONS);
        let known: std::collections::BTreeSet<String> = taken.into_keys().collect();
        let lacking = self
            .lacking(async |node| mail.delivered(node).await.is_ok_and(|it| it == known))
            .await;
        timeline.promise_everywhere("P6", "the report says so of each of them", &lacking);
        Ok(())
    }

    async fn leader_dies(&mut self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let leader = self.leader().await?;
        let name = self.stage.nodes[leader].name;
        let other = (0..self.stage.nodes.len())
            .find(|it| *it != leader)
            .context("no other node")?;
        self.stage.nodes[leader].kill().await?;
        let began = clock::monotonic();
        timeline.event(&format!("{name}, the leader, is killed"));
        let node = &self.stage.nodes[other];
        let key = format!("demo-{:?}", clock::now());
        let mut wrote = false;
        while !wrote && began.elapsed() < WAIT {
            wrote = node.small_write(&key).await.is_ok();
            if !wrote {
                tokio::time::sleep(RETRY).await;
            }
        }
        anyhow::ensure!(
            wrote,
            "nothing was agreed on within {} s of the leader's death",
            WAIT.as_secs()
        );
        timeline.measured(
            &format!("{} has the next write agreed on", node.name),
            began.elapsed(),
        );
        let began = clock::monotonic();
        self.stage.nodes[leader].start(NODE_STARTS_WITHIN).await?;
        self.stage.until_all_vote().await?;
        self.stage.write_facts()?;
        timeline.measured(&format!("{name} is back"), began.elapsed());
        Ok(())
    }

    async fn primary_returns(&mut self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let began = clock::monotonic();
        self.stage.start_primary()?;
        let address = self.stage.ports.primary();
        until("the company's website", async || {
            website_answers(address).await
        })
        .await?;
        self.stage.write_facts()?;
        timeline.measured("the company's website is back", began.elapsed());
        let since = clock::now();
        self.names_switch(timeline, names::PRIMARY, since, clock::monotonic())
            .await
    }

    async fn nothing_was_lost_or_doubled(&mut self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let began = clock::monotonic();
        for node in &self.stage.nodes {
            until("an empty outbox", async || {
                matches!(node.status().await, Ok(status) if status["outbox"]["waiting"] == 0)
            })
            .await?;
        }
        timeline.measured("no mail waits any more", began.elapsed());
        self.until_in_step().await?;
        for (number, letter) in self.letters.iter().enumerate() {
            let ticket = &letter.receipt.ticket;
            let lacking = self
                .lacking(async |node| self.reads(node, number).await)
                .await;
            timeline.promise_everywhere("P1", &format!("{ticket} is on every node"), &lacking);
            for to in [SUPPORT, letter.contact] {
                let (words, held) = judged(&self.mails(to, number));
                timeline.promise("P1", &format!("{ticket} {words} to {to}"), held);
            }
        }
        Ok(())
    }

    /// Waits until every living node has applied what any of them has. Nodes are asked and not the pages, where tries
    /// of a code are counted.
    async fn until_in_step(&self) -> anyhow::Result<()> {
        let index = async |node: &Node| {
            let status = node.status().await.unwrap_or_default();
            status["state"]["index"].as_u64().unwrap_or(0)
        };
        let mut newest = 0;
        for place in self.alive() {
            newest = newest.max(index(&self.stage.nodes[place]).await);
        }
        for place in self.alive() {
            let node = &self.stage.nodes[place];
            let what = format!("{} in step with the others", node.name);
            until(&what, async || index(node).await >= newest).await?;
        }
        Ok(())
    }

    /// The names of living nodes of which it is not so.
    async fn lacking(&self, is_so: impl AsyncFn(&Node) -> bool) -> Vec<&'static str> {
        let mut lacking = Vec::new();
        for place in self.alive() {
            let node = &self.stage.nodes[place];
            if !is_so(node).await {
                lacking.push(node.name);
            }
        }
        lacking
    }

    /// Whether the customer of letter `number` finds it on a node, with the code.
    async fn reads(&self, node: &Node, number: usize) -> bool {
        let letter = &self.letters[number];
        let page = self
            .visitor
            .come_back(node.ports.https, &letter.receipt.ticket, letter.contact)
            .await;
        matches!(page, Ok(page) if page.status.is_success() && page.text.contains(letter.text))
    }

    /// The mails to somebody about letter `number`.
    fn mails(&self, to: &str, number: usize) -> Vec<Kept> {
        let ticket = self.letters[number].receipt.ticket.as_str();
        let all = sink::kept(&self.stage.mail());
        all.into_iter()
            .filter(|it| it.to == to && it.subject.contains(ticket))
            .collect()
    }

    async fn until_mailed(&self, to: &str, number: usize) -> anyhow::Result<()> {
        until(&format!("mail to {to}"), async || {
            !self.mails(to, number).is_empty()
        })
        .await
    }

    fn alive(&self) -> Vec<usize> {
        let nodes = self.stage.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| node.child.is_some())
            .map(|(place, _)| place)
            .collect()
    }

    /// The place of a node that lives and does not lead.
    async fn follower(&self) -> anyhow::Result<usize> {
        let leader = self.leader().await?;
        self.alive()
            .into_iter()
            .find(|it| *it != leader)
            .context("no follower is left")
    }

    async fn leader(&self) -> anyhow::Result<usize> {
        let began = clock::monotonic();
        while began.elapsed() < WAIT {
            for place in self.alive() {
                let status: Value = self.stage.nodes[place].status().await.unwrap_or_default();
                if status["agreement"]["role"] == "leader" {
                    return Ok(place);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        anyhow::bail!("nobody leads")
    }
}

/// What to say of the copies of one mail, and whether they are as promised. A node that dies between a mail server's
/// word and its own may repeat one mail, under the same Message-ID, so that nobody has to take it for a new one (P6).
fn judged(copies: &[Kept]) -> (String, bool) {
    let one_id = copies
        .iter()
        .all(|it| it.message_id == copies[0].message_id);
    match copies.len() {
        0 => ("was not mailed".to_owned(), false),
        1 => ("was mailed once".to_owned(), true),
        2 if one_id => ("was repeated once, under one Message-ID,".to_owned(), true),
        count => (format!("was mailed {count} times"), false),
    }
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    until_within(what, WAIT, is_so).await
}

/// The same with another patience.
async fn until_within(
    what: &str,
    patience: Duration,
    is_so: impl AsyncFn() -> bool,
) -> anyhow::Result<()> {
    let began = clock::monotonic();
    while began.elapsed() < patience {
        if is_so().await {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    anyhow::bail!("{what} did not come within {} s", patience.as_secs())
}

/// Whether anybody answers plain HTTP there.
async fn website_answers(at: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(at).await?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: primary\r\nConnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text.starts_with("HTTP/1.1 200"))
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(2), asked).await,
        Ok(Ok(true))
    )
}
