//! What other servers and attackers say over a connection, and what they are answered.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::MailIn;
use crate::mail::inward::counted::Counted;
use crate::mail::inward::doorman::{Doorman, Whom};
use crate::mail::inward::places::Places;
use crate::mail::inward::session::{End, House, Session, Take};
use crate::mail::inward::wire::Wire;
use crate::mail::marks::{self, Mark, Purpose};
use crate::model::campaign::CampaignId;
use crate::model::limits::{MAIL_IN_RECIPIENTS, SMTP_MISTAKES_MAX};
use crate::model::words::EmailAddress;
use crate::seal::Keyring;

type Taken = Arc<Mutex<Vec<(Option<String>, Vec<Whom>, Vec<u8>)>>>;

fn house(answer: &'static str) -> (House, Taken, Arc<Keyring>) {
    let keyring = Arc::new(Keyring::generate());
    let config = MailIn {
        listen: Vec::new(),
        host_name: "n1.help.example.net".to_owned(),
        addresses: vec![EmailAddress::new("Support@example.com").unwrap()],
        domains: vec!["example.org".to_owned()],
        connections: 10,
        connections_per_network: 5,
        message_bytes: 1_000,
    };
    let taken: Taken = Arc::default();
    let keep = taken.clone();
    let take: Take = Arc::new(move |it| {
        keep.lock().unwrap().push((it.from, it.to, it.bytes));
        async move { answer.to_owned() }.boxed()
    });
    let house = House {
        host: config.host_name.clone(),
        message_bytes: config.message_bytes,
        doorman: Doorman::new(keyring.clone(), &config, Some("back.help.example.net")),
        take,
        places: Places::new(10, 5, 2_000),
        counted: Counted::default(),
        tls: true,
    };
    (house, taken, keyring)
}

/// Says all of it at once and returns the codes of the answers, and how the session ended.
async fn codes(house: &House, said: &[u8]) -> (Vec<String>, End) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (mut reading, mut writing) = tokio::io::split(theirs);
    writing.write_all(said).await.unwrap();
    writing.shutdown().await.unwrap();
    let mut session = Session::new(house, "192.0.2.1".parse().unwrap());
    let end = session.run(&mut Wire::new(ours)).await;
    let mut text = String::new();
    reading.read_to_string(&mut text).await.unwrap();
    let last = |line: &&str| line.as_bytes().get(3) == Some(&b' ');
    let codes = text.lines().filter(last).map(|it| it[..3].to_owned());
    (codes.collect(), end)
}

async fn said(house: &House, said: &str) -> String {
    codes(house, said.as_bytes()).await.0.join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_mail_is_taken_in_one_breath_and_its_dots_are_undone() {
    let (house, taken, _) = house("250 2.0.0 Safely stored");
    let all = "EHLO mx.example.org\r\nMAIL FROM:<a@b.example> SIZE=20 BODY=8BITMIME\r\nRCPT TO:<SUPPORT@Example.com>\r\nRCPT TO:<any@example.org>\r\nDATA\r\na: b\r\n\r\n..x\r\n.\r\nQUIT\r\n";
    assert_eq!(said(&house, all).await, "220 250 250 250 250 354 250 221");
    let taken = taken.lock().unwrap();
    let (from, to, bytes) = &taken[0];
    assert_eq!(
        (from.as_deref(), to.as_slice()),
        (Some("a@b.example"), &[Whom::Support][..])
    );
    assert_eq!(bytes, b"a: b\r\n\r\n.x\r\n");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_relayed_whatever_the_address_looks_like() {
    let (house, taken, keyring) = house("250 2.0.0 Stored");
    for to in [
        "<a@elsewhere.example>",
        "<a%elsewhere.example@example.com>",
        "<a!b@example.org>",
        "<@example.org:a@elsewhere.example>",
        "<\"a@elsewhere.example\"@example.org>",
        "<support@example.com@elsewhere.example>",
        "<a@elsewhere.example@example.org>",
        "<a@[127.0.0.1]>",
        "<a>",
        "<>",
        "a@example.org",
        "<a@example.org",
        "<a@back.help.example.net>",
        "<b-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@back.help.example.net>",
        "<a@n1.help.example.net>",
        "<a@example.org> NOTIFY=SUCCESS",
    ] {
        let all = format!("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:{to}\r\nDATA\r\n");
        let answer = said(&house, &all).await;
        let refused = [
            "220 250 250 550 503",
            "220 250 250 501 503",
            "220 250 250 555 503",
        ];
        assert!(refused.contains(&answer.as_str()), "{to}: {answer}");
    }
    assert!(taken.lock().unwrap().is_empty());
    let mark = Mark::Recipient(CampaignId(3), 4);
    let address = marks::write(&keyring, Purpose::Address, mark);
    for to in [
        format!("{address}@back.help.example.net"),
        "postmaster".to_owned(),
        "Abuse@back.help.example.net".to_owned(),
    ] {
        assert_eq!(
            said(
                &house,
                &format!("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{to}>\r\n")
            )
            .await,
            "220 250 250 250"
        );
    }
    let elsewhere =
        format!("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{address}@n1.help.example.net>\r\n");
    assert_eq!(said(&house, &elsewhere).await, "220 250 250 550");
}

#[tokio::test(start_paused = true)]
async fn a_second_mail_behind_a_lone_line_feed_is_never_read() {
    let (house, taken, _) = house("250 2.0.0 Stored");
    let hidden =
        "MAIL FROM:<x@y.example>\r\nRCPT TO:<support@example.com>\r\nDATA\r\nhidden\r\n.\r\n";
    for end in ["\n.\r\n", "\r\n.\n", "\n.\n", "\r.\r\n", "\r\n.\r\r\n"] {
        let all = format!(
            "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<support@example.com>\r\nDATA\r\ntext{end}{hidden}"
        );
        assert_eq!(
            said(&house, &all).await,
            "220 250 250 250 354 554",
            "{end:?}"
        );
    }
    assert!(taken.lock().unwrap().is_empty());
    for line in ["NOOP\nNOOP\r\n", "NOOP\rNOOP\r\n", "NO\0OP\r\n"] {
        assert_eq!(said(&house, line).await, "220 421", "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p10_what_is_too_much_is_refused_and_the_session_goes_on_or_ends() {
    let (house, taken, _) = house("250 2.0.0 Stored");
    let begin = "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<support@example.com>\r\nDATA\r\n";
    let large = format!("{begin}{}.\r\nNOOP\r\n", "x".repeat(500).add_lines(3));
    assert_eq!(said(&house, &large).await, "220 250 250 250 354 552 250");
    assert_eq!(
        said(&house, "EHLO x\r\nMAIL FROM:<a@b.example> SIZE=1001\r\n").await,
        "220 250 552"
    );
    let many: String = (0..=MAIL_IN_RECIPIENTS)
        .map(|it| format!("RCPT TO:<a{it}@example.org>\r\n"))
        .collect();
    // The same reader however often: one place.
    let answers = said(&house, &format!("EHLO x\r\nMAIL FROM:<>\r\n{many}")).await;
    assert!(answers.ends_with("250"), "{answers}");
    let wrong = "VRFY root\r\n".repeat(SMTP_MISTAKES_MAX + 5);
    let (answers, end) = codes(&house, wrong.as_bytes()).await;
    assert_eq!(
        (answers.len(), answers.last().map(String::as_str), end),
        (SMTP_MISTAKES_MAX + 1, Some("421"), End::Over)
    );
    let long = format!("NOOP {}\r\nNOOP\r\n", "x".repeat(3_000));
    assert_eq!(said(&house, &long).await, "220 421");
    assert!(taken.lock().unwrap().is_empty());
    // Nobody waits for who says nothing.
    let (ours, mut theirs) = tokio::io::duplex(1_000);
    let mut session = Session::new(&house, "192.0.2.1".parse().unwrap());
    assert_eq!(session.run(&mut Wire::new(ours)).await, End::Over);
    let mut text = String::new();
    theirs.read_to_string(&mut text).await.unwrap();
    assert!(text.contains("421 4.4.2"), "{text}");
}

trait Lines {
    fn add_lines(&self, times: usize) -> String;
}

impl Lines for String {
    fn add_lines(&self, times: usize) -> String {
        format!("{self}\r\n").repeat(times)
    }
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_and_what_was_said_in_the_clear_is_forgotten() {
    let (house, _, _) = house("250 2.0.0 Stored");
    assert_eq!(said(&house, "MAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\nDATA\r\nEXPN x\r\nAUTH PLAIN\r\nGET / HTTP/1.1\r\n").await, "220 503 503 503 502 503 500");
    assert_eq!(said(&house, "EHLO x\r\nMAIL FROM:<>\r\nRSET\r\nRCPT TO:<a@example.org>\r\nMAIL FROM:<\u{e1}@b.example>\r\n").await, "220 250 250 250 503 553");
    let (answers, end) = codes(
        &house,
        b"EHLO x\r\nMAIL FROM:<>\r\nSTARTTLS\r\nRCPT TO:<a@example.org>\r\n",
    )
    .await;
    assert_eq!(
        (answers.join(" ").as_str(), end),
        ("220 250 250 220", End::Tls)
    );
    let mut session = Session::new(&house, "192.0.2.1".parse().unwrap());
    session.is_encrypted();
    let (ours, mut theirs) = tokio::io::duplex(10_000);
    theirs
        .write_all(b"RCPT TO:<a@example.org>\r\nEHLO x\r\nSTARTTLS\r\nQUIT\r\n")
        .await
        .unwrap();
    session.run(&mut Wire::new(ours)).await;
    let mut text = String::new();
    theirs.read_to_string(&mut text).await.unwrap();
    assert!(
        text.starts_with("503")
            && !text.contains("250-STARTTLS")
            && text.contains("503 5.5.1 Not now"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn p1_a_mail_that_could_not_be_stored_is_not_said_to_be() {
    let (house, _, _) = house("451 4.3.0 Later");
    let all =
        "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<support@example.com>\r\nDATA\r\nx\r\n.\r\n";
    assert_eq!(said(&house, all).await, "220 250 250 250 354 451");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn p10_whatever_is_said_the_session_ends_and_nothing_panics(parts in proptest::collection::vec(prop_oneof![
        Just(b"EHLO x\r\n".to_vec()), Just(b"MAIL FROM:<>\r\n".to_vec()), Just(b"RCPT TO:<a@example.org>\r\n".to_vec()),
        Just(b"DATA\r\n".to_vec()), Just(b".\r\n".to_vec()), Just(b"\r\n".to_vec()), Just(b"STARTTLS\r\n".to_vec()),
        Just(b"MAIL FROM:".to_vec()), Just(b"RCPT TO:<".to_vec()), proptest::collection::vec(any::<u8>(), 0..40),
    ], 0..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (house, _, _) = house("250 2.0.0 Stored");
        let (answers, _) = runtime.block_on(codes(&house, &parts.concat()));
        prop_assert!(!answers.is_empty());
    }
}
