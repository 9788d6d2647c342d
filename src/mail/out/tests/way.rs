//! Which relay takes a message when some do not.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::config::{MailOut, Relay as RelayConfig, RelaySign, RelayTls};
use crate::mail::out::compose::Composed;
use crate::mail::out::way::Way;
use crate::model::words::{EmailAddress, Lang};

pub(super) fn out(ports: &[u16]) -> MailOut {
    let email = |text| EmailAddress::new(text).unwrap();
    MailOut {
        return_domain: None,
        from: email("notice@help1.example.net"),
        hello_name: "help1.example.net".to_owned(),
        support: email("support@example.com"),
        support_off_net: Some(email("off-net@example.org")),
        staff_lang: Lang::En,
        relays: ports.iter().map(|port| relay(*port)).collect(),
        connect_timeout: PATIENCE.connect,
        command_timeout: PATIENCE.command,
        answer_timeout: PATIENCE.answer,
    }
}

fn relay(port: u16) -> RelayConfig {
    RelayConfig {
        host: "127.0.0.1".to_owned(),
        port,
        tls: RelayTls::None,
        tls_name: "127.0.0.1".to_owned(),
        tls_ca_file: None,
        login: None,
        sign: RelaySign::None,
        sends_from: Vec::new(),
        mass: crate::config::Mass::default(),
    }
}

pub(super) fn way(ports: &[u16]) -> Way {
    Way::new(&out(ports)).unwrap()
}

fn mail() -> Composed {
    Composed {
        from: "notice@help1.example.net".parse().unwrap(),
        to: "support@example.com".parse().unwrap(),
        bytes: b"A: b\r\n\r\nx\r\n".to_vec(),
    }
}

async fn nobody() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

fn refusing(code: &'static str) -> impl Fn(&str) -> Answer + Send + Sync + 'static {
    move |line| match line.starts_with("RCPT") {
        true => Answer::Say(code),
        false => friendly(line),
    }
}

#[tokio::test]
async fn the_next_relay_takes_what_the_first_does_not() {
    let last = server(friendly, None, false).await;
    let policy = server(refusing("550 5.7.1 not from you\r\n"), None, false).await;
    let way = way(&[nobody().await, policy.port, last.port]);
    assert_eq!(way.carry(&mail(), &|| true).await, Outcome::Accepted);
}

#[tokio::test]
async fn a_recipient_that_does_not_exist_is_not_asked_for_elsewhere() {
    let first = server(refusing("550 5.1.1 unknown\r\n"), None, false).await;
    let mut second = server(friendly, None, false).await;
    let way = way(&[first.port, second.port]);
    let outcome = way.carry(&mail(), &|| true).await;
    assert_eq!(outcome, Outcome::RefusedForGood("550 5.1.1".to_owned()));
    assert!(second.heard.try_recv().is_err());
}

#[tokio::test]
async fn after_an_unknown_end_no_other_relay_is_given_a_copy() {
    let dies = |line: &str| match line {
        "." => Answer::Leave,
        _ => friendly(line),
    };
    let first = server(dies, None, false).await;
    let mut second = server(friendly, None, false).await;
    let outcome = way(&[first.port, second.port])
        .carry(&mail(), &|| true)
        .await;
    assert!(matches!(outcome, Outcome::Unknown(_)));
    assert!(second.heard.try_recv().is_err());
}

#[tokio::test]
async fn one_session_carries_many_messages_and_a_closed_one_is_replaced() {
    let asked = AtomicU32::new(0);
    let closes_once = move |line: &str| match line.starts_with("MAIL") {
        true if asked.fetch_add(1, Ordering::SeqCst) == 2 => {
            Answer::Say("421 4.3.2 idle too long\r\n")
        }
        _ => friendly(line),
    };
    let mut server = server(closes_once, None, false).await;
    let way = way(&[server.port]);
    for _ in 0..3 {
        assert_eq!(way.carry(&mail(), &|| true).await, Outcome::Accepted);
    }
    let mut greetings = 0;
    while let Ok(line) = server.heard.try_recv() {
        greetings += u32::from(line.starts_with("EHLO"));
    }
    assert_eq!(greetings, 2);
}

/// Every step of a session, in order: the greeting, and what is answered there.
const STEPS: [&str; 6] = ["", "EHLO", "MAIL", "RCPT", "DATA", "."];

#[tokio::test]
async fn whatever_goes_wrong_at_whichever_step_the_next_relay_takes_it_unless_it_may_be_on_its_way()
{
    for step in STEPS {
        for act in ["later", "never", "leaves"] {
            let wrong = move |line: &str| match (
                line == step || !step.is_empty() && line.starts_with(step),
                act,
            ) {
                (false, _) => friendly(line),
                (true, "later") => Answer::Say("450 4.7.1 later\r\n"),
                (true, "never") => Answer::Say("550 5.7.1 not from you\r\n"),
                (true, _) => Answer::Leave,
            };
            let first = server(wrong, None, false).await;
            let alone = way(&[first.port]).carry(&mail(), &|| true).await;
            let may_be_there = act == "leaves" && step == ".";
            // A relay that does not want us at all may want us tomorrow: a person can mend that.
            let about_us = ["", "EHLO"].contains(&step);
            let as_told = match &alone {
                Outcome::Unknown(_) => may_be_there,
                Outcome::RefusedForGood(_) => act == "never" && !about_us,
                Outcome::TryLater(_) => !may_be_there && (act != "never" || about_us),
                Outcome::Accepted => false,
            };
            assert!(as_told, "{act} at {step:?}: {alone:?}");
            let mut second = server(friendly, None, false).await;
            let both = way(&[first.port, second.port])
                .carry(&mail(), &|| true)
                .await;
            let copies = std::iter::from_fn(|| second.heard.try_recv().ok());
            let copies = copies.filter(|it| it.ends_with("\r\n.")).count();
            let (wanted, taken) = if may_be_there {
                (alone, 0)
            } else {
                (Outcome::Accepted, 1)
            };
            assert_eq!((&both, copies), (&wanted, taken), "{act} at {step:?}");
        }
    }
}
