//! Sessions against the scripted server.

use super::super::line::LineError;
use super::*;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_message_arrives_as_it_was_and_a_lone_dot_does_not_end_it() {
    let mut server = server(friendly, None, false).await;
    let mut session = open(&server).await;
    assert_eq!(
        send(&mut session, "A: b\r\n\r\n.\r\n..x\r\nlone\nfeed\rend").await,
        Outcome::Accepted
    );
    assert_eq!(
        heard(&mut server, "MAIL").await,
        "MAIL FROM:<support@example.test> SIZE=29"
    );
    assert_eq!(
        heard(&mut server, "RCPT").await,
        "RCPT TO:<support@example.test>"
    );
    assert_eq!(
        heard(&mut server, "A: b").await,
        "A: b\r\n\r\n..\r\n...x\r\nlone\r\nfeed\r\nend\r\n."
    );
    assert!(session.is_usable());
    session.quit().await;
    assert_eq!(heard(&mut server, "QUIT").await, "QUIT");
}

#[tokio::test]
async fn a_refused_recipient_does_not_cost_the_session() {
    let mut server = server(
        |line| {
            if line.starts_with("RCPT") {
                Answer::Say("550 5.1.1 no such\r\n")
            } else {
                friendly(line)
            }
        },
        None,
        false,
    )
    .await;
    let mut session = open(&server).await;
    assert_eq!(
        send(&mut session, "A: b\r\n\r\n").await,
        Outcome::RefusedForGood("550 5.1.1".to_owned())
    );
    assert!(session.is_usable());
    assert_eq!(heard(&mut server, "RSET").await, "RSET");
}

#[tokio::test]
async fn what_is_said_after_the_dot_is_believed() {
    let later = server(
        |line| {
            if line == "." {
                Answer::Say("451 4.3.0 disk\r\n")
            } else {
                friendly(line)
            }
        },
        None,
        false,
    )
    .await;
    assert_eq!(
        send(&mut open(&later).await, "x").await,
        Outcome::TryLater("451 4.3.0".to_owned())
    );
    let never = server(
        |line| {
            if line == "." {
                Answer::Say("554 spam\r\n")
            } else {
                friendly(line)
            }
        },
        None,
        false,
    )
    .await;
    assert_eq!(
        send(&mut open(&never).await, "x").await,
        Outcome::RefusedForGood("554".to_owned())
    );
}

#[tokio::test]
async fn a_server_that_closes_is_left() {
    let server = server(
        |line| {
            if line.starts_with("MAIL") {
                Answer::Say("421 4.3.2 closing\r\n")
            } else {
                friendly(line)
            }
        },
        None,
        false,
    )
    .await;
    let mut session = open(&server).await;
    assert_eq!(
        send(&mut session, "x").await,
        Outcome::TryLater("421 4.3.2".to_owned())
    );
    assert!(!session.is_usable());
}

#[tokio::test]
async fn a_connection_lost_after_the_dot_is_unknown_and_before_it_is_not() {
    let after = server(
        |line| {
            if line == "." {
                Answer::Leave
            } else {
                friendly(line)
            }
        },
        None,
        false,
    )
    .await;
    assert!(matches!(
        send(&mut open(&after).await, "x").await,
        Outcome::Unknown(_)
    ));
    let before = server(
        |line| {
            if line == "DATA" {
                Answer::Leave
            } else {
                friendly(line)
            }
        },
        None,
        false,
    )
    .await;
    assert!(matches!(
        send(&mut open(&before).await, "x").await,
        Outcome::TryLater(_)
    ));
}

#[tokio::test]
async fn a_message_whose_gate_is_shut_is_never_ended_with_a_dot() {
    let mut server = server(friendly, None, false).await;
    let mut session = open(&server).await;
    let address: Address = "support@example.test".parse().unwrap();
    let letter = Letter {
        from: None,
        to: &address,
        bytes: b"x",
    };
    let outcome = session.send(&letter, async { false }).await;
    assert!(matches!(outcome, Outcome::TryLater(_)));
    drop(session);
    assert_eq!(heard(&mut server, "MAIL").await, "MAIL FROM:<> SIZE=1");
    assert_eq!(heard(&mut server, "x").await, "x");
}

#[tokio::test]
async fn a_silent_server_holds_nobody_up() {
    let patience = Patience {
        command: SHORT,
        answer: SHORT,
        ..PATIENCE
    };
    let silent = server(|_| Answer::Hang, None, false).await;
    let refused = Session::open(&clear(silent.port), "gw.example.test", patience).await;
    assert!(matches!(refused, Err(LineError::Silent { .. })));
    let mute = server(
        |line| {
            if line == "." {
                Answer::Hang
            } else {
                friendly(line)
            }
        },
        None,
        false,
    )
    .await;
    let mut session = Session::open(&clear(mute.port), "gw.example.test", patience)
        .await
        .unwrap();
    assert!(matches!(send(&mut session, "x").await, Outcome::Unknown(_)));
}

#[tokio::test]
async fn a_message_over_the_size_that_the_server_takes_is_not_tried() {
    let server = server(friendly, None, false).await;
    let mut session = open(&server).await;
    assert_eq!(
        send(&mut session, &"x".repeat(100_001)).await,
        Outcome::RefusedForGood("552 5.3.4".to_owned())
    );
    assert_eq!(send(&mut session, "x").await, Outcome::Accepted);
}

#[tokio::test]
async fn with_tls_required_nothing_goes_out_in_the_clear() {
    let (_, connector) = encryption();
    let mut bare = server(
        |line| {
            if line.starts_with("EHLO") {
                Answer::Say("250 relay.example.test\r\n")
            } else {
                friendly(line)
            }
        },
        None,
        false,
    )
    .await;
    let relay = secure(
        bare.port,
        TlsStart::Upgrade,
        "relay.example.test",
        connector.clone(),
    );
    assert!(matches!(
        Session::open(&relay, "gw", PATIENCE).await,
        Err(LineError::NoStartTls)
    ));
    assert_eq!(heard(&mut bare, "").await, "EHLO gw");
    assert!(bare.heard.try_recv().is_err());

    let inject = |line: &str| {
        if line == "STARTTLS" {
            Answer::Say("220 go\r\n250 fine\r\n")
        } else {
            friendly(line)
        }
    };
    let tapped = server(inject, Some(encryption().0), false).await;
    let relay = secure(
        tapped.port,
        TlsStart::Upgrade,
        "relay.example.test",
        connector,
    );
    assert!(matches!(
        Session::open(&relay, "gw", PATIENCE).await,
        Err(LineError::Injected)
    ));
}

#[tokio::test]
async fn tls_at_once_or_by_starttls_signs_in_and_sends() {
    for (start, at_once) in [(TlsStart::AtOnce, true), (TlsStart::Upgrade, false)] {
        let (acceptor, connector) = encryption();
        let script = |line: &str| {
            if line == "STARTTLS" {
                Answer::Say("220 go\r\n")
            } else {
                friendly(line)
            }
        };
        let mut server = server(script, Some(acceptor), at_once).await;
        let relay = secure(server.port, start, "relay.example.test", connector);
        let mut session = Session::open(&relay, "gw", PATIENCE).await.unwrap();
        assert_eq!(send(&mut session, "x").await, Outcome::Accepted);
        assert_eq!(
            heard(&mut server, "AUTH").await,
            "AUTH PLAIN AGdhdGV3YXkAaHVzaA=="
        );
    }
}

#[tokio::test]
async fn auth_login_is_spoken_where_plain_is_not() {
    let (acceptor, connector) = encryption();
    let script = |line: &str| match line {
        "AUTH LOGIN" => Answer::Say("334 VXNlcm5hbWU6\r\n"),
        "Z2F0ZXdheQ==" => Answer::Say("334 UGFzc3dvcmQ6\r\n"),
        "aHVzaA==" => Answer::Say("535 5.7.8 wrong\r\n"),
        _ if line.starts_with("EHLO") => Answer::Say("250-relay\r\n250 AUTH LOGIN\r\n"),
        _ => friendly(line),
    };
    let server = server(script, Some(acceptor), true).await;
    let relay = secure(
        server.port,
        TlsStart::AtOnce,
        "relay.example.test",
        connector,
    );
    let refused = Session::open(&relay, "gw", PATIENCE).await;
    assert!(matches!(refused, Err(LineError::Refused { status, .. }) if status == "535 5.7.8"));
}

#[tokio::test]
async fn a_relay_with_another_name_in_its_certificate_gets_nothing() {
    let (acceptor, connector) = encryption();
    let mut server = server(friendly, Some(acceptor), true).await;
    let relay = secure(
        server.port,
        TlsStart::AtOnce,
        "other.example.test",
        connector,
    );
    assert!(matches!(
        Session::open(&relay, "gw", PATIENCE).await,
        Err(LineError::Tls { .. })
    ));
    assert!(server.heard.try_recv().is_err());
}

#[tokio::test]
async fn a_relay_with_an_ended_certificate_or_one_of_nobody_known_gets_nothing() {
    let (nobodys, _) = encryption();
    let (ended, knows_ended) = encryption_until(2020);
    let (_, knows_other) = encryption();
    for (acceptor, connector, at_once) in [
        (ended.clone(), knows_ended.clone(), true),
        (ended, knows_ended, false),
        (nobodys.clone(), knows_other.clone(), true),
        (nobodys, knows_other, false),
    ] {
        let script = |line: &str| match line {
            "STARTTLS" => Answer::Say("220 go\r\n"),
            _ => friendly(line),
        };
        let mut server = server(script, Some(acceptor), at_once).await;
        let start = if at_once {
            TlsStart::AtOnce
        } else {
            TlsStart::Upgrade
        };
        let relay = secure(server.port, start, "relay.example.test", connector);
        let refused = Session::open(&relay, "gw", PATIENCE).await;
        assert!(matches!(refused, Err(LineError::Tls { .. })));
        while let Ok(line) = server.heard.try_recv() {
            assert!(["EHLO gw", "STARTTLS"].contains(&line.as_str()), "{line}");
        }
    }
}
