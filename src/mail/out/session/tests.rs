//! Sessions against a small scripted server over real sockets, with and without TLS.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::super::line::{LineError, Login, Patience, Relay, Security, TlsStart};
use super::*;

const SHORT: Duration = Duration::from_millis(200);
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    command: Duration::from_secs(5),
    block: Duration::from_secs(5),
    answer: Duration::from_secs(5),
};

/// What the server answers to a line; `.` stands for a whole message.
type Script = fn(&str) -> Answer;

enum Answer {
    Say(&'static str),
    Hang,
    Leave,
}

fn friendly(line: &str) -> Answer {
    match line.split([' ', ':']).next().unwrap_or_default() {
        "" => Answer::Say("220 relay.example.test ESMTP\r\n"),
        "EHLO" => Answer::Say(
            "250-relay.example.test\r\n250-SIZE 100000\r\n250-STARTTLS\r\n250 AUTH LOGIN PLAIN\r\n",
        ),
        "DATA" => Answer::Say("354 go on\r\n"),
        "AUTH" => Answer::Say("235 2.7.0 welcome\r\n"),
        _ => Answer::Say("250 2.0.0 fine\r\n"),
    }
}

/// Plays the script on one connection and reports every line heard, a message as one text.
async fn play<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    script: Script,
    heard: mpsc::Sender<String>,
    greet: bool,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut next = if greet { script("") } else { Answer::Say("") };
    loop {
        match next {
            Answer::Say(text) => stream.get_mut().write_all(text.as_bytes()).await.ok()?,
            Answer::Hang => std::future::pending().await,
            Answer::Leave => return None,
        }
        if line == "STARTTLS" {
            return Some(stream.into_inner());
        }
        let in_message = line == "DATA";
        line.clear();
        while stream.read_line(&mut line).await.ok()? > 0 {
            if !in_message || line.ends_with("\r\n.\r\n") {
                break;
            }
        }
        if line.is_empty() {
            return None;
        }
        heard
            .send(line.trim_end_matches("\r\n").to_owned())
            .await
            .ok()?;
        next = script(if in_message { "." } else { line.trim_end() });
        line = if in_message {
            ".".to_owned()
        } else {
            line.trim_end().to_owned()
        };
    }
}

struct Server {
    port: u16,
    heard: mpsc::Receiver<String>,
}

async fn server(script: Script, tls: Option<TlsAcceptor>, at_once: bool) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heard) = mpsc::channel(100);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            match &tls {
                Some(acceptor) if at_once => {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        play(tls, script, tell.clone(), true).await;
                    }
                }
                Some(acceptor) => {
                    if let Some(tcp) = play(tcp, script, tell.clone(), true).await
                        && let Ok(tls) = acceptor.accept(tcp).await
                    {
                        play(tls, script, tell.clone(), false).await;
                    }
                }
                None => drop(play(tcp, script, tell.clone(), true).await),
            }
        }
    });
    Server { port, heard }
}

fn clear(port: u16) -> Relay {
    Relay {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::Clear,
    }
}

/// A certificate for `relay.example.test`, and a client that trusts it.
fn encryption() -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["relay.example.test".to_owned()]).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let server = server
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server).into(), Arc::new(client).into())
}

fn secure(port: u16, start: TlsStart, name: &'static str, connector: TlsConnector) -> Relay {
    let login = Some(Login {
        user: "gateway".to_owned(),
        password: "hush".to_owned(),
    });
    let name = ServerName::try_from(name).unwrap();
    Relay {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::Tls {
            start,
            name,
            connector,
            login,
        },
    }
}

async fn send(session: &mut Session, body: &str) -> Outcome {
    let address: Address = "support@example.test".parse().unwrap();
    session
        .send(&Letter {
            from: Some(&address),
            to: &address,
            bytes: body.as_bytes(),
        })
        .await
}

async fn open(server: &Server) -> Session {
    Session::open(&clear(server.port), "gw.example.test", PATIENCE)
        .await
        .unwrap()
}

async fn heard(server: &mut Server, start: &str) -> String {
    while let Some(line) = server.heard.recv().await {
        if line.starts_with(start) {
            return line;
        }
    }
    panic!("the server never heard {start}");
}

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
