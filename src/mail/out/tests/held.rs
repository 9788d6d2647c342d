//! What a lone node mails about the messages it holds.

use std::sync::Mutex;

use super::agreement::Agreement;
use super::courier::letters;
use super::way::way;
use super::*;
use crate::mail::out::held::{Alone, Told};
use crate::model::Proposal;

struct Lone {
    alone: Alone,
    letterbox: Arc<Mutex<Vec<Proposal>>>,
}

fn lone(agreement: &Agreement, port: u16, name: &str) -> Lone {
    let letterbox: Arc<Mutex<Vec<Proposal>>> = Arc::default();
    let inside = letterbox.clone();
    let folder = std::env::temp_dir().join(format!("lifeboat-held-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let alone = Alone {
        cluster: agreement.node(1).0,
        letters: letters(agreement),
        way: way(&[port]),
        held: Arc::new(move || inside.lock().unwrap().clone()),
        locker: None,
        told_file: folder.join(name),
    };
    drop(std::fs::remove_file(&alone.told_file));
    Lone { alone, letterbox }
}

#[tokio::test]
async fn p3_a_held_message_is_mailed_off_net_once_even_over_a_restart() {
    let agreement = Agreement::new();
    let mut server = server(friendly, None, false).await;
    let lone = lone(&agreement, server.port, "once");
    let first = agreement.opening(1, "jana@example.com", "Nejde mi web.");
    lone.letterbox.lock().unwrap().push(first);
    assert!(
        lone.alone
            .tell(&mut Told::load(&lone.alone.told_file))
            .await
    );
    heard(&mut server, "RCPT TO:<off-net@example.org>").await;
    let text = heard(&mut server, "From: ").await;
    assert!(text.contains("Reply-To: jana@example.com"));

    let mut after_restart = Told::load(&lone.alone.told_file);
    assert!(lone.alone.tell(&mut after_restart).await);
    let second = agreement.opening(2, "+420 123 456 789", "Pomoc");
    lone.letterbox.lock().unwrap().push(second);
    assert!(lone.alone.tell(&mut after_restart).await);
    heard(&mut server, "From: ").await;
    assert!(server.heard.try_recv().is_err(), "the first not again");

    lone.letterbox.lock().unwrap().clear();
    assert!(lone.alone.tell(&mut after_restart).await);
    assert_eq!(Told::load(&lone.alone.told_file), Told::default());
}

#[tokio::test]
async fn a_held_message_that_cannot_be_mailed_is_tried_again() {
    let agreement = Agreement::new();
    let full = |line: &str| match line.starts_with("RCPT") {
        true => Answer::Say("452 4.2.2 full\r\n"),
        false => friendly(line),
    };
    let server = server(full, None, false).await;
    let lone = lone(&agreement, server.port, "again");
    let first = agreement.opening(1, "jana@example.com", "Nejde mi web.");
    lone.letterbox.lock().unwrap().push(first);
    let mut told = Told::default();
    assert!(!lone.alone.tell(&mut told).await);
    assert_eq!(told, Told::default());
}

#[tokio::test]
async fn a_damaged_list_of_what_was_mailed_is_an_empty_one() {
    let agreement = Agreement::new();
    let lone = lone(&agreement, 1, "damaged");
    std::fs::write(&lone.alone.told_file, b"\xff\xfe nonsense").unwrap();
    assert_eq!(Told::load(&lone.alone.told_file), Told::default());
}
