//! A notice leaves by mail whatever the node that carries it has seen of it so far.

use imbl::OrdMap;
use std::sync::atomic::Ordering;

use super::agreement::Agreement;
use super::courier::start;
use super::*;
use crate::cluster::tests::stand_in::{Majority, proposal};
use crate::model::incident::{
    IncidentChange, IncidentId, Said, Severity, Stage, Title, change::Opening,
};
use crate::model::notice::{ChannelFacts, Means, NoticeChange, Standing};
use crate::model::words::{Label, Lang, Note};
use crate::model::{Actor, Command, Reply, State, limits};

fn agreed(majority: &Majority, command: Command) {
    let name = Label::new("petra").unwrap();
    let actor = Actor::Operator { name };
    let reply = majority.apply(proposal(actor, command)).reply;
    assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
}

/// A mailing list, and an incident that it is told of.
fn told(majority: &Majority) {
    let list = Label::new("list").unwrap();
    let address = Note::cut("status@lists.example.net");
    let set = NoticeChange::SetChannel {
        channel: list.clone(),
        facts: ChannelFacts {
            means: Means::Mail { address },
            lang: None,
            usual: true,
            reach: None,
        },
        secret: None,
        against: 0,
    };
    agreed(majority, Command::Notice(set));
    let title = Title::new("No power in Prague").unwrap();
    let text = Said::new("The Prague datacentre has no power.").unwrap();
    let opening = Opening {
        titles: OrdMap::unit(Lang::En, title),
        severity: Severity::Critical,
        stage: Stage::Investigating,
        affected: OrdMap::new(),
        window: None,
        texts: OrdMap::unit(Lang::En, text),
        next_ms: None,
        tell: vec![list],
    };
    let open = IncidentChange::Open {
        incident: IncidentId(0x3f9a_1c02),
        opening,
    };
    agreed(majority, Command::Incident(open));
}

fn standing(state: &State) -> Standing {
    state.notices.all.values().next().unwrap().standing.clone()
}

#[tokio::test]
async fn a_node_that_has_not_seen_its_lease_yet_waits_and_gives_nothing_up() {
    let agreement = Agreement::new();
    let mut server = server(friendly, None, false).await;
    told(&agreement);
    let hold = limits::NOTICE_HOLD_MS + 1_000;
    agreement.ahead_ms.store(hold, Ordering::SeqCst);
    // Anything agreed on moves the time on.
    agreement.apply(agreement.opening(1, "+420 123 456 789", "Pomoc"));
    let (cluster, laggard) = agreement.lagging_node(1);
    let _task = start(&agreement, cluster, server.port);
    let is_news = |state: &State| match standing(state) {
        Standing::Queued(id) => state.outbox[&id].lease.is_some(),
        other => panic!("{other:?}"),
    };
    agreement.until("the notice's lease", is_news).await;
    // Long enough for a node that goes on at once: whatever is ready to run does so before this returns.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        is_news(&agreement.state());
    }
    laggard.catches_up();
    heard(&mut server, "RCPT TO:<status@lists.example.net>").await;
    let sent = |state: &State| matches!(standing(state), Standing::Sent { .. });
    agreement.until("the notice sent", sent).await;
}
