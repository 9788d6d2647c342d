//! The shift leader says what happens, once, and a mailing list hears of it although nodes die meanwhile.

use anyhow::Context;

use super::{Story, clock, judged, of_rfc3339, sink, until, until_within};
use crate::demo::{node::Node, timeline::Timeline};
use crate::model::limits::NOTICE_HOLD_MS;
use std::time::Duration;

/// The mailing list that is told what happens.
const LIST: &str = "status@lists.example.test";
/// The incident's title for English readers.
const TITLE: &str = "No power: Prague";
/// How long after its time a notice may take: nodes take turns, and one of them may just be starting.
const LEAVES_WITHIN: Duration = Duration::from_secs(45);

impl Story<'_> {
    pub(super) async fn it_is_said(&mut self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let first = *self.alive().first().context("no node is left")?;
        let node = &self.stage.nodes[first];
        let list = [
            "channel",
            "add",
            "list",
            "--kind",
            "mail",
            "--address",
            LIST,
            "--lang",
            "en",
            "--usual",
        ];
        node.verb(&list).await?;
        let began = clock::monotonic();
        let words = [
            "incident",
            "open",
            "--scenario",
            "power",
            "--with",
            "where=Prague",
            "--next",
            "45m",
        ];
        node.verb(&words).await?;
        timeline.measured(
            "the shift leader has said it, in Czech and English",
            began.elapsed(),
        );
        let leads = async |node: &Node| {
            let page = async || self.visitor.get(node.ports.https, "/en/").await;
            let shown = async || matches!(page().await, Ok(page) if page.text.contains(TITLE));
            until("a first page that leads with it", shown)
                .await
                .is_ok()
        };
        let lacking = self.lacking(leads).await;
        timeline.measured("every node's first page leads with it", began.elapsed());
        timeline.promise_everywhere("P2", "what was said once is everywhere", &lacking);
        timeline.event("a mailing list hears of it 90 s later, unless somebody stops that");
        self.said = Some(began);
        Ok(())
    }

    pub(super) async fn it_is_told_outside(
        &mut self,
        timeline: &mut Timeline,
    ) -> anyhow::Result<()> {
        let said = self.said.context("nothing was said")?;
        let copies = || {
            let all = sink::kept(&self.stage.mail()).into_iter();
            all.filter(|it| it.to == LIST).collect::<Vec<_>>()
        };
        let hold = Duration::from_millis(NOTICE_HOLD_MS);
        let within = hold.saturating_sub(said.elapsed()) + LEAVES_WITHIN;
        until_within("mail to the list", within, async || !copies().is_empty()).await?;
        timeline.measured("the mailing list hears of it, after", said.elapsed());
        let node = &self.stage.nodes[0];
        until("the notice that was sent", async || {
            let listed = node.verb_json(&["notice", "list"]).await;
            matches!(listed, Ok(it) if it["notices"][0]["state"] == "sent")
        })
        .await?;
        let listed = node.verb_json(&["notice", "list"]).await?;
        let notice = &listed["notices"][0];
        let time = |field: &str| of_rfc3339(notice[field].as_str().unwrap_or_default());
        let kept = matches!((time("at"), time("leaves")), (Some(at), Some(leaves)) if at >= leaves);
        timeline.promise("P7", "it did not leave before anybody could stop it", kept);
        let copies = copies();
        let (words, held) = judged(&copies);
        timeline.promise("P6", &format!("what was said {words} to the list"), held);
        let says = copies.iter().all(|it| it.subject.contains(TITLE));
        timeline.promise("P2", "the list reads what the pages say", says);
        Ok(())
    }
}
