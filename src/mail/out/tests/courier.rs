//! The courier with a real state, real sockets and several nodes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::agreement::Agreement;
use super::way::{out, way};
use super::*;
use crate::cluster::Cluster;
use crate::cluster::health::Quorum;
use crate::cluster::tests::stand_in::Weather;
use crate::errands;
use crate::mail::out::compose::{Enclosed, House};
use crate::mail::out::courier::Courier;
use crate::mail::out::letters::Letters;
use crate::model::State;
use crate::model::command::Command;
use crate::model::files::{File, FileKind};
use crate::model::outbox::{ItemKind, Outcome as Settled};
use crate::model::words::{BlobHash, NodeId, Sealed, Timestamp};
use crate::tasks::Stop;

pub(super) fn letters(agreement: &Agreement) -> Letters {
    let out = out(&[]);
    Letters {
        return_domain: Some("back.help.example.net".to_owned()),
        keyring: agreement.keyring.clone(),
        house: House {
            company: "Example".to_owned(),
            from: out.from,
            staff_lang: out.staff_lang,
        },
        support: out.support,
        support_off_net: out.support_off_net,
        links: Arc::new(|_| vec!["https://help1.example.net/t/x".to_owned()]),
        site: Some("https://help1.example.net".to_owned()),
    }
}

pub(super) fn start(
    agreement: &Agreement,
    cluster: Cluster,
    port: u16,
) -> (Stop, tokio::task::JoinHandle<()>) {
    let stop = Stop::new();
    let courier = Arc::new(Courier {
        cluster: cluster.clone(),
        letters: letters(agreement),
        way: way(&[port]),
        locker: None,
    });
    let work = errands::run(cluster, courier, stop.clone());
    let task = tokio::spawn(async move { work.await.unwrap() });
    (stop, task)
}

/// How often each Message-ID and recipient was heard.
fn count(server: &mut Server) -> BTreeMap<String, u32> {
    let mut seen = BTreeMap::new();
    while let Ok(line) = server.heard.try_recv() {
        if let Some(id) = line.lines().find_map(|it| it.strip_prefix("Message-ID: ")) {
            *seen.entry(id.to_owned()).or_default() += 1;
        }
    }
    seen
}

#[tokio::test]
async fn three_couriers_bring_every_message_once() {
    let agreement = Agreement::new();
    let mut server = server(friendly, None, false).await;
    let nodes: Vec<_> = (1..=3).map(|id| agreement.node(id)).collect();
    let tasks: Vec<_> = nodes
        .iter()
        .map(|(cluster, _)| start(&agreement, cluster.clone(), server.port))
        .collect();
    for number in 1..=20 {
        agreement.apply(agreement.opening(number, "jana@example.com", "Nejde mi web."));
    }
    agreement
        .until("an empty outbox", |state| state.outbox.is_empty())
        .await;
    let seen = count(&mut server);
    assert_eq!(seen.len(), 40, "one to support and one to each customer");
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    let state = agreement.state();
    let mut messages = state.conversations.values().flat_map(|it| &it.messages);
    assert!(messages.all(|it| it.passed_on.is_some()));
    for (stop, task) in tasks {
        stop.cancel();
        task.await.unwrap();
    }
}

#[test]
fn p1_an_acknowledgement_says_which_files_no_majority_has_yet() {
    let agreement = Agreement::new();
    let blob = BlobHash([5; 32]);
    let picture = File {
        blob,
        stored: 40,
        bytes: 12,
        kind: FileKind::Png,
        name: Sealed {
            key: 1,
            bytes: vec![5; 40],
        },
        erased: None,
    };
    let mut opening = agreement.opening(1, "jana@example.com", "Nejde mi web.");
    opening.command = opening.command.with_files(vec![picture]);
    agreement.apply(opening);
    let mut state = State::clone(&agreement.state());
    let waiting = state.outbox.values();
    let mut waiting = waiting.filter(|it| matches!(it.kind, ItemKind::Acknowledge { .. }));
    let item = waiting.next().unwrap().clone();
    let letters = letters(&agreement);
    let says_so = |state: &State| {
        let mail = letters.of_item(state, &item, &Enclosed::default()).unwrap();
        let mail = mail_parser::MessageParser::default()
            .parse(&mail.bytes)
            .unwrap();
        let text = mail.body_text(0).unwrap();
        assert!(text.contains("zprávu máme"), "{text}");
        text.contains("ještě kopírujeme")
    };
    assert!(says_so(&state));
    for node in [1, 2] {
        let kept = state.blobs.get_mut(&blob).unwrap();
        kept.holders.insert(NodeId(node), 1);
    }
    assert!(!says_so(&state));
}

#[tokio::test]
async fn the_off_net_mailbox_gets_what_the_first_does_not_take() {
    let agreement = Agreement::new();
    let full = |line: &str| match line.starts_with("RCPT TO:<support@example.com>") {
        true => Answer::Say("452 4.2.2 mailbox full\r\n"),
        false => friendly(line),
    };
    let mut server = server(full, None, false).await;
    let (cluster, _health) = agreement.node(1);
    let _task = start(&agreement, cluster, server.port);
    agreement.apply(agreement.opening(1, "+420 123 456 789", "Pomoc"));
    heard(&mut server, "RCPT TO:<off-net@example.org>").await;
    agreement
        .until("an empty outbox", |state| state.outbox.is_empty())
        .await;
}

#[tokio::test]
async fn another_node_goes_on_where_one_died() {
    let agreement = Agreement::new();
    let hangs = |line: &str| match line {
        "." => Answer::Hang,
        _ => friendly(line),
    };
    let mut dead_end = server(hangs, None, false).await;
    let (first, _health) = agreement.node(1);
    let (_, task) = start(&agreement, first, dead_end.port);
    agreement.apply(agreement.opening(1, "+420 123 456 789", "Pomoc"));
    heard(&mut dead_end, "From: ").await;
    task.abort();
    let leased = |state: &State| state.outbox.values().any(|it| it.lease.is_some());
    assert!(leased(&agreement.state()), "the dead node's lease is left");

    let mut server = server(friendly, None, false).await;
    let (second, _health) = agreement.node(2);
    let _task = start(&agreement, second, server.port);
    agreement.ahead_ms.store(60_000, Ordering::SeqCst);
    agreement.apply(agreement.opening(2, "+420 123 456 789", "Pomoc"));
    agreement
        .until("an empty outbox", |state| state.outbox.is_empty())
        .await;
    assert_eq!(count(&mut server).len(), 2);
}

#[tokio::test]
async fn a_stop_hands_back_what_was_not_let_go_of() {
    let agreement = Agreement::new();
    let hangs = |line: &str| match line.starts_with("RCPT") {
        true => Answer::Hang,
        false => friendly(line),
    };
    let mut server = server(hangs, None, false).await;
    let (cluster, _health) = agreement.node(1);
    let (stop, task) = start(&agreement, cluster, server.port);
    agreement.apply(agreement.opening(1, "+420 123 456 789", "Pomoc"));
    heard(&mut server, "RCPT").await;
    stop.cancel();
    // Sooner than the silent server would be given up.
    let soon = PATIENCE.command / 2;
    tokio::time::timeout(soon, task).await.unwrap().unwrap();
    let state = agreement.state();
    let item = state.outbox.values().next().unwrap();
    assert_eq!((item.lease, item.attempts), (None, 0));
    assert!(item.due <= state.now);
}

#[tokio::test]
async fn an_acceptance_is_reported_when_the_cluster_is_back_and_nothing_is_sent_again() {
    let agreement = Agreement::new();
    let watched = Arc::clone(&agreement);
    let cuts_off = move |line: &str| {
        if line == "." {
            watched.weather(Weather::Alone);
        }
        friendly(line)
    };
    let mut server = server(cuts_off, None, false).await;
    let (cluster, _health) = agreement.node(1);
    let _task = start(&agreement, cluster, server.port);
    agreement.apply(agreement.opening(1, "+420 123 456 789", "Pomoc"));
    heard(&mut server, "From: ").await;
    let mut unheard = agreement.unheard.subscribe();
    unheard.wait_for(|count| *count > 0).await.unwrap();
    agreement.weather(Weather::Fair);
    agreement
        .until("an empty outbox", |state| state.outbox.is_empty())
        .await;
    let log = agreement.log();
    let settled = log.iter().filter_map(|it| match &it.command {
        Command::SettleItem { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    assert_eq!(settled.collect::<Vec<_>>(), [Settled::Accepted]);
    assert!(count(&mut server).is_empty(), "not a second time");
}

#[tokio::test]
async fn a_node_that_is_alone_takes_nothing_from_the_outbox() {
    let agreement = Agreement::new();
    let server = server(friendly, None, false).await;
    let (lone, health) = agreement.node(1);
    health.send_modify(|it| Arc::make_mut(it).quorum = Quorum::LostSince(Timestamp(1)));
    let _task = start(&agreement, lone, server.port);
    let (other, _health) = agreement.node(2);
    let _other_task = start(&agreement, other, server.port);
    for number in 1..=6 {
        agreement.apply(agreement.opening(number, "+420 123 456 789", "Pomoc"));
    }
    agreement
        .until("an empty outbox", |state| state.outbox.is_empty())
        .await;
    let log = agreement.log();
    let lone_leases = log
        .iter()
        .filter(|it| matches!(&it.command, Command::LeaseItem { node, .. } if node.0 == 1));
    assert_eq!(lone_leases.count(), 0);
}
