//! The part of the story in which everybody is mailed: two thousand customers who do not exist, by all nodes side by
//! side, while the leader is killed. What the report says and what the mailbox took must be the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::Stage;
use super::node::Node;
use super::sink;

/// How many are mailed.
pub(super) const CUSTOMERS: u32 = 2_000;
/// Connections of one node to the relay: what a node that is killed may repeat.
pub(super) const CONNECTIONS: usize = crate::model::limits::RELAY_CONNECTIONS;
/// How long all of it may take: each mail is on the mailbox's disk before it is accepted.
pub(super) const WITHIN: Duration = Duration::from_secs(240);

const TEXT: &str = "Subject: No power in our Prague datacentre\n\nDear {{ name }},\n\n\
    our Prague datacentre has no power since {{ since }}. Your services there: {{ services | join(', ') }}.\n\
    Your data is safe. The next update is at 23:15 on https://help.example.test/.\n\n{{ company }}\n";
const CZECH: &str = "Subject: Pražské datacentrum je bez proudu\n\nDobrý den,\n\n\
    naše pražské datacentrum je od {{ since }} bez proudu. Vaše služby v něm: {{ services | join(', ') }}.\n\
    Vaše data jsou v bezpečí. Další zprávu čekejte ve 23:15 na https://help.example.test/.\n\n{{ company }}\n";

/// A campaign of the demo.
pub(super) struct MassMail {
    pub(super) id: String,
}

impl MassMail {
    /// Drafts it, asks for the approval and gives it; says whether a wrong count was refused and nothing left by it.
    ///
    /// # Errors
    /// When a step says no.
    pub(super) async fn sent(stage: &Stage, node: &Node) -> anyhow::Result<(MassMail, bool)> {
        let texts = stage.folder.file("mail-texts");
        std::fs::create_dir_all(&texts).context("cannot make the texts")?;
        std::fs::write(texts.join("en.txt"), TEXT).context("cannot write a text")?;
        std::fs::write(texts.join("cs.txt"), CZECH).context("cannot write a text")?;
        let mut list = "address,lang,name,customer,services,since\n".to_owned();
        for number in 1..=CUSTOMERS {
            let lang = if number % 3 == 0 { "en" } else { "cs" };
            let _infallible = writeln!(
                list,
                "customer.{number}@customers.example.test,{lang},Customer {number},{number},srv-{number}|vps-{number},22:40"
            );
        }
        let file = stage.folder.file("customers.csv");
        std::fs::write(&file, list).context("cannot write the list")?;
        let (texts, file) = (texts.to_string_lossy(), file.to_string_lossy());
        let draft = [
            "mail",
            "draft",
            "--name",
            "No power in Prague",
            "--texts",
            &texts,
            "--list",
            &file,
            "--at-once",
        ];
        let drafted = node.verb_json(&draft).await?;
        let id = drafted["campaign"]
            .as_str()
            .context("no campaign was drafted")?
            .to_owned();
        node.verb(&["mail", "request", &id]).await?;
        // One person plays all of them, so that nobody else can agree.
        let most = CUSTOMERS.to_string();
        node.verb(&["mail", "rules", "--alone-up-to", &most])
            .await?;
        for _ in 0..200 {
            let shown = node.verb_json(&["mail", "show", &id]).await?;
            let number = |name: &str| shown[name].as_u64().unwrap_or_default();
            if number("voters_holding") * 2 > number("voters") {
                break;
            }
            tokio::time::sleep(super::LOOK).await;
        }
        let wrong = (CUSTOMERS + 1).to_string();
        let approve = |count| ["mail", "approve", &id, "--confirm", count];
        let refused = node.verb(&approve(&wrong)).await.is_err();
        node.verb(&approve(&most)).await?;
        Ok((MassMail { id: id.clone() }, refused))
    }

    /// How many have which outcome, as a node says it.
    pub(super) async fn shown(&self, node: &Node) -> anyhow::Result<Value> {
        node.verb_json(&["mail", "show", &self.id]).await
    }

    /// Whom a node's report says it was delivered to.
    ///
    /// # Errors
    /// When there is no report.
    pub(super) async fn delivered(&self, node: &Node) -> anyhow::Result<BTreeSet<String>> {
        let report = node.verb(&["mail", "report", &self.id]).await?;
        let of = |line: &str| {
            let fields: Vec<&str> = line.split(',').collect();
            let delivered = *fields.get(3)? == "delivered";
            delivered.then(|| fields[2].trim_matches('"').to_owned())
        };
        Ok(report.lines().skip(1).filter_map(of).collect())
    }

    /// What the mailbox took: the Message-IDs of each customer's copies.
    pub(super) fn taken(stage: &Stage) -> BTreeMap<String, Vec<String>> {
        let mut taken: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for mail in sink::kept(&stage.mail()) {
            if mail.to.ends_with("@customers.example.test") {
                taken.entry(mail.to).or_default().push(mail.message_id);
            }
        }
        taken
    }
}

/// How many mails the mailbox has, without reading them.
pub(super) fn count(stage: &Stage) -> usize {
    std::fs::read_dir(stage.mail()).map_or(0, |it| it.flatten().count())
}
