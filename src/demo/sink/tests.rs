//! The mailbox, written to by the program's own SMTP session and read as the demo and a browser read it.

use crate::mail::out::line::{Patience, Relay, Security};
use crate::mail::out::session::{Letter, Outcome, Session};
use std::time::Duration;

use super::*;

const SHORT: Duration = Duration::from_secs(5);

fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

async fn session(smtp: SocketAddr) -> Session {
    let relay = Relay {
        host: smtp.ip().to_string(),
        port: smtp.port(),
        security: Security::Clear,
    };
    let patience = Patience {
        connect: SHORT,
        command: SHORT,
        block: SHORT,
        answer: SHORT,
    };
    loop {
        if let Ok(session) = Session::open(&relay, "gw.example.test", patience).await {
            return session;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_sent_is_on_disk_when_it_is_accepted_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (smtp, web) = (free(), free());
    let mailbox = tokio::spawn(run(smtp, web, folder.path().to_owned()));
    let to = "support@example.test".parse().unwrap();
    let letter = Letter {
        from: None,
        to: &to,
        bytes: b"Subject: =?utf-8?b?xb5pdm90?=\r\nMessage-ID: <1@x>\r\n\r\n.\r\n..two <b>\r\n",
    };
    let mut session = session(smtp).await;
    for number in 1..=2 {
        assert_eq!(
            session.send(&letter, async { true }).await,
            Outcome::Accepted
        );
        assert_eq!(kept(folder.path()).len(), number);
    }
    let first = &kept(folder.path())[0];
    assert_eq!(
        (first.to.as_str(), first.subject.as_str()),
        ("support@example.test", "\u{17e}ivot")
    );
    assert_eq!(first.text, ".\n..two <b>\n");
    let page = show(folder.path(), "/").body;
    assert!(page.contains("..two &lt;b&gt;"));
    assert!(
        show(folder.path(), "/mail/000001.eml")
            .body
            .contains("Message-ID: <1@x>")
    );
    assert_eq!(show(folder.path(), "/mail/../secret").status.as_u16(), 404);
    mailbox.abort();
}

#[tokio::test]
async fn a_sender_that_breaks_the_rules_is_told_or_left() {
    let folder = tempfile::tempdir().unwrap();
    let (smtp, web) = (free(), free());
    let mailbox = tokio::spawn(run(smtp, web, folder.path().to_owned()));
    drop(session(smtp).await);
    let mut stream = BufReader::new(TcpStream::connect(smtp).await.unwrap());
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    for (said, answer) in [
        ("DATA", "503"),
        ("RCPT TO:<a@b>", "503"),
        ("WHAT", "500"),
        ("MAIL FROM:<>", "250"),
    ] {
        stream
            .write_all(format!("{said}\r\n").as_bytes())
            .await
            .unwrap();
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        assert!(line.starts_with(answer), "{said}: {line}");
    }
    let long = vec![b'x'; usize::try_from(SINK_LINE_BYTES_MAX).unwrap() + 1];
    // The mailbox may hang up before all of it is written.
    let _ = stream.write_all(&long).await;
    line.clear();
    assert!(matches!(stream.read_line(&mut line).await, Ok(0) | Err(_)));
    mailbox.abort();
}
