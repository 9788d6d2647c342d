//! One look at a time, at servers that behave well and badly.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration as Days, OffsetDateTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::model::domain::RrType;
use crate::model::health::{TlsCheck, Trust};
use crate::probe::fault::Fault;
use crate::probe::look::look;
use crate::tls::watching::Watching;

const NAME: &str = "www.example.test";

/// An authority of the company, and the ways to look that trust it.
struct Company {
    issuer: CertifiedIssuer<'static, KeyPair>,
    tls: Watching,
    _folder: tempfile::TempDir,
}

impl Company {
    fn new() -> Company {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file: PathBuf = folder.path().join("ca.pem");
        std::fs::write(&file, issuer.pem()).unwrap();
        Company {
            issuer,
            tls: Watching::new(Some(&file)).unwrap(),
            _folder: folder,
        }
    }

    /// What a server with a certificate for `name` needs, valid for so many days from now.
    fn acceptor(&self, name: &str, days: i64) -> TlsAcceptor {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = OffsetDateTime::now_utc() - Days::days(100);
        params.not_after = OffsetDateTime::now_utc() + Days::days(days) + Days::hours(1);
        let key = KeyPair::generate().unwrap();
        let own = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    async fn see(&self, check: &Check) -> Result<Option<u16>, Fault> {
        tokio::time::timeout(PATIENT, look(check, &self.tls))
            .await
            .expect("a look ends by itself")
    }
}

/// Listens, and lets `serve` have each connection.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Spawned for each connection, as servers do.
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Reads a request's head, writes `answer`, and keeps the connection open until the other side ends it.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.starts_with("GET /health HTTP/1.1\r\nhost: www.example.test\r\n"),
        "{head}"
    );
    drop(stream.write_all(answer.as_bytes()).await);
    drop(stream.flush().await);
    drop(stream.read_to_end(&mut Vec::new()).await);
}

fn tls(trust: Trust, days_left_min: u16) -> TlsCheck {
    TlsCheck {
        server_name: note(NAME),
        trust,
        days_left_min,
    }
}

fn page(contains: Option<&str>, tls: Option<TlsCheck>) -> CheckKind {
    CheckKind::Http {
        host: note(NAME),
        path: note("/health"),
        status: (200, 299),
        contains: contains.map(note),
        tls,
    }
}

fn words(seen: Result<Option<u16>, Fault>) -> String {
    seen.expect_err("a miss").words().as_str().to_owned()
}

#[tokio::test]
async fn a_page_must_have_its_status_and_its_text() {
    let company = Company::new();
    let good = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nall is well\n";
    let to = server(move |stream| answer(stream, good)).await;
    for contains in [None, Some("is well"), Some("all is well")] {
        let seen = company.see(&check(to, page(contains, None))).await;
        assert_eq!(seen.unwrap(), Some(200));
    }
    let seen = company.see(&check(to, page(Some("nothing"), None))).await;
    assert!(matches!(seen, Err(Fault::NoText)));
    for (line, code) in [("503 Busy", 503), ("302 Found\r\nlocation: /x", 302)] {
        let bad: &'static str = String::leak(format!(
            "HTTP/1.1 {line}\r\ncontent-length: 11\r\n\r\nall is well"
        ));
        let to = server(move |stream| answer(stream, bad)).await;
        let seen = company
            .see(&check(to, page(Some("all is well"), None)))
            .await;
        assert!(
            matches!(seen, Err(Fault::Status(found)) if found == code),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_text_is_found_across_pieces_and_not_beyond_what_is_read() {
    let company = Company::new();
    let pieces = |stream: TcpStream| async move {
        let mut stream = stream;
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        drop(stream.write_all(head.as_bytes()).await);
        for piece in ["3\r\nall\r\n", "4\r\n is \r\n", "4\r\nwell\r\n"] {
            drop(stream.write_all(piece.as_bytes()).await);
            drop(stream.flush().await);
        }
        // A page without end: whoever reads it all never comes back.
        let more = format!("1000\r\n{}\r\n", "x".repeat(4_096));
        while stream.write_all(more.as_bytes()).await.is_ok() {}
    };
    let to = server(pieces).await;
    let seen = company
        .see(&check(to, page(Some("all is well"), None)))
        .await;
    assert_eq!(seen.unwrap(), Some(200));
    let seen = company
        .see(&check(to, page(Some("is not there"), None)))
        .await;
    assert!(matches!(seen, Err(Fault::NoText)));
}

#[tokio::test]
async fn a_server_that_is_silent_slow_or_gone_is_a_miss_that_says_so() {
    let company = Company::new();
    let hasty = |to, kind| Check {
        timeout_ms: 400,
        ..check(to, kind)
    };
    let silent = server(|mut stream| async move {
        drop(stream.read_to_end(&mut Vec::new()).await);
    })
    .await;
    let seen = company.see(&hasty(silent, page(None, None))).await;
    assert_eq!(words(seen), "no answer in time while waiting for the page");
    let seen = company
        .see(&hasty(silent, page(None, Some(tls(Trust::Public, 0)))))
        .await;
    assert_eq!(words(seen), "no answer in time while shaking hands");
    let seen = company.see(&hasty(silent, CheckKind::Smtp)).await;
    assert_eq!(
        words(seen),
        "no answer in time while waiting for the greeting"
    );
    let slow =
        server(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall")).await;
    let seen = company.see(&hasty(slow, page(Some("is well"), None))).await;
    assert_eq!(words(seen), "no answer in time while waiting for the page");
    let reset = server(|stream| async move {
        // Closed with an RST instead of a FIN.
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    })
    .await;
    let seen = company.see(&check(reset, page(None, None))).await;
    assert!(matches!(seen, Err(Fault::Http(_))), "{seen:?}");
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for kind in [CheckKind::Tcp, CheckKind::Smtp, page(None, None)] {
        let seen = company.see(&check(gone, kind)).await;
        assert_eq!(
            words(seen),
            "cannot connect: Connection refused (os error 111)"
        );
    }
    assert_eq!(
        company.see(&check(silent, CheckKind::Tcp)).await.unwrap(),
        None
    );
    let nonsense = server(|stream| answer(stream, "220 mail.example.test\r\n")).await;
    let seen = company.see(&check(nonsense, page(None, None))).await;
    assert!(matches!(seen, Err(Fault::Http(_))));
}

#[tokio::test]
async fn a_certificate_must_be_for_the_name_in_time_and_from_somebody_trusted() {
    let company = Company::new();
    let stranger = Company::new();
    let secure = |acceptor: TlsAcceptor| {
        server(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        })
    };
    let good = secure(company.acceptor(NAME, 30)).await;
    let other_name = secure(company.acceptor("other.example.test", 30)).await;
    let expired = secure(company.acceptor(NAME, -3)).await;
    let unknown = secure(stranger.acceptor(NAME, 30)).await;
    let is_good = async |to, trust, days| {
        let over_http = company
            .see(&check(to, page(None, Some(tls(trust, days)))))
            .await;
        let alone = company
            .see(&check(to, CheckKind::Tls(tls(trust, days))))
            .await;
        assert_eq!(over_http.is_ok(), alone.is_ok());
        alone.map_err(|fault| fault.words().as_str().to_owned())
    };
    use Trust::{AnyAuthority, Anything, Public};
    assert_eq!(is_good(good, Public, 30).await, Ok(None));
    let soon = "the certificate ends in 30 days; 31 wanted".to_owned();
    assert_eq!(is_good(good, Public, 31).await, Err(soon.clone()));
    assert_eq!(is_good(good, AnyAuthority, 31).await, Err(soon));
    assert!(
        is_good(other_name, Public, 0)
            .await
            .unwrap_err()
            .contains("not valid for name")
    );
    assert!(is_good(other_name, AnyAuthority, 0).await.is_err());
    assert!(
        is_good(expired, Public, 0)
            .await
            .unwrap_err()
            .contains("expired")
    );
    assert!(
        is_good(expired, AnyAuthority, 0)
            .await
            .unwrap_err()
            .contains("xpired")
    );
    assert!(is_good(unknown, Public, 0).await.is_err());
    assert_eq!(is_good(unknown, AnyAuthority, 30).await, Ok(None));
    for to in [good, other_name, expired, unknown] {
        assert_eq!(is_good(to, Anything, 1_000).await, Ok(None));
    }
}

#[tokio::test]
async fn a_mail_server_must_greet_and_answer() {
    let company = Company::new();
    let greeting = |banner: &'static str, hello: &'static str| {
        server(move |mut stream| async move {
            drop(stream.write_all(banner.as_bytes()).await);
            let mut said = [0; 18];
            if stream.read_exact(&mut said).await.is_ok() {
                assert_eq!(&said, b"EHLO [127.0.0.1]\r\n");
                drop(stream.write_all(hello.as_bytes()).await);
            }
            drop(stream.read_to_end(&mut Vec::new()).await);
        })
    };
    let hello = "250-mail.example.test\r\n250-PIPELINING\r\n250 SIZE 1000\r\n";
    let to = greeting("220-be patient\r\n220 mail.example.test ESMTP\r\n", hello).await;
    let seen = company.see(&check(to, CheckKind::Smtp)).await;
    assert_eq!(seen.unwrap(), Some(220));
    for (banner, answer, found) in [
        ("554 go away\r\n", "", "reply code 554, which is not wanted"),
        (
            "220 hello\r\n",
            "502 what?\r\n",
            "reply code 502, which is not wanted",
        ),
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "",
            "no reply of a mail server",
        ),
        ("220\n", "\n", "no reply of a mail server"),
    ] {
        let to = greeting(banner, answer).await;
        let seen = company.see(&check(to, CheckKind::Smtp)).await;
        assert_eq!(words(seen), found, "{banner}");
    }
    let endless = server(|mut stream| async move {
        while stream.write_all(b"220-and more\r\n").await.is_ok() {}
    })
    .await;
    let seen = company.see(&check(endless, CheckKind::Smtp)).await;
    assert_eq!(words(seen), "no reply of a mail server");
}

/// A name server that answers each question with what `reply` makes of it, over UDP and TCP at one port.
async fn name_server(reply: fn(&[u8], bool) -> Vec<Vec<u8>>) -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    // Spawned for the test; they end with its runtime.
    tokio::spawn(async move {
        let mut bytes = [0; 512];
        loop {
            let (length, from) = udp.recv_from(&mut bytes).await.unwrap();
            for answer in reply(&bytes[..length], false) {
                udp.send_to(&answer, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut bytes = vec![0; length.into()];
            stream.read_exact(&mut bytes).await.unwrap();
            for answer in reply(&bytes, true) {
                stream
                    .write_u16(answer.len().try_into().unwrap())
                    .await
                    .unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        }
    });
    address
}

/// An answer to `asked` with these flags and, if wanted, one A record.
fn dns_answer(asked: &[u8], flags: u16, record: bool) -> Vec<u8> {
    let mut answer = asked.to_vec();
    answer[2..4].copy_from_slice(&flags.to_be_bytes());
    if record {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    answer
}

#[tokio::test]
async fn a_name_server_must_have_a_record_of_the_type() {
    let company = Company::new();
    let question = |rtype| CheckKind::Dns {
        name: NAME.parse().unwrap(),
        rtype,
    };
    // What does not belong to the question comes first and is passed over.
    let good = name_server(|asked, _| {
        let mut forged = dns_answer(asked, 0x8400, false);
        forged[0] ^= 0xff;
        vec![
            vec![1, 2, 3],
            forged,
            asked.to_vec(),
            dns_answer(asked, 0x8400, true),
        ]
    })
    .await;
    let seen = company.see(&check(good, question(RrType::A))).await;
    assert_eq!(seen.unwrap(), Some(0));
    let seen = company.see(&check(good, question(RrType::AAAA))).await;
    assert_eq!(
        words(seen),
        "the answer holds no record of the type asked for"
    );
    let refusing = name_server(|asked, _| vec![dns_answer(asked, 0x8005, false)]).await;
    let seen = company.see(&check(refusing, question(RrType::A))).await;
    assert_eq!(words(seen), "DNS response code 5, which is not wanted");
    let large = name_server(|asked, over_tcp| {
        let flags = if over_tcp { 0x8400 } else { 0x8600 };
        vec![dns_answer(asked, flags, over_tcp)]
    })
    .await;
    let seen = company.see(&check(large, question(RrType::A))).await;
    assert_eq!(seen.unwrap(), Some(0));
    let silent = name_server(|_, _| Vec::new()).await;
    let hasty = Check {
        timeout_ms: 300,
        ..check(silent, question(RrType::A))
    };
    let seen = company.see(&hasty).await;
    assert_eq!(
        words(seen),
        "no answer in time while waiting for the DNS answer"
    );
}
