//! The stage for the tests of outgoing mail: a small scripted mail server on a real socket, with and without TLS, and
//! an agreement without Raft that applies real entries to a real state for several nodes.

use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::line::{Login, Patience, Relay, Security, TlsStart};
use super::session::{Letter, Outcome, Session};

mod agreement;
mod courier;
mod held;
mod news;
mod session;
mod way;

/// The longest any test waits for anything.
const TEST_LONGEST: Duration = Duration::from_secs(20);

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    command: Duration::from_secs(5),
    block: Duration::from_secs(5),
    answer: Duration::from_secs(5),
};

/// What the server answers to a line; `.` stands for a whole message.
type Script = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

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
    script: &Script,
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

async fn server(
    script: impl Fn(&str) -> Answer + Send + Sync + 'static,
    tls: Option<TlsAcceptor>,
    at_once: bool,
) -> Server {
    let script: Script = Arc::new(script);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heard) = mpsc::channel(1_000);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (script, tls, tell) = (script.clone(), tls.clone(), tell.clone());
            tokio::spawn(async move {
                match tls {
                    Some(acceptor) if at_once => {
                        if let Ok(tls) = acceptor.accept(tcp).await {
                            play(tls, &script, tell, true).await;
                        }
                    }
                    Some(acceptor) => {
                        if let Some(tcp) = play(tcp, &script, tell.clone(), true).await
                            && let Ok(tls) = acceptor.accept(tcp).await
                        {
                            play(tls, &script, tell, false).await;
                        }
                    }
                    None => drop(play(tcp, &script, tell, true).await),
                }
            });
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
    encryption_until(4096)
}

/// The same with a certificate that ends with the beginning of this year.
fn encryption_until(year: i32) -> (TlsAcceptor, TlsConnector) {
    let names = vec!["relay.example.test".to_owned()];
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&signing_key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let server = server
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
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
    let letter = Letter {
        from: Some(&address),
        to: &address,
        bytes: body.as_bytes(),
    };
    session.send(&letter, async { true }).await
}

async fn open(server: &Server) -> Session {
    Session::open(&clear(server.port), "gw.example.test", PATIENCE)
        .await
        .unwrap()
}

/// Waits for a line that starts so; a test that waits too long fails.
async fn heard(server: &mut Server, start: &str) -> String {
    let waiting = async {
        while let Some(line) = server.heard.recv().await {
            if line.starts_with(start) {
                return line;
            }
        }
        panic!("the server is gone");
    };
    tokio::time::timeout(TEST_LONGEST, waiting)
        .await
        .unwrap_or_else(|_| panic!("the server never heard {start}"))
}
