//! Late visitors, with a real primary behind TLS on loopback, seen by clients on both protocols.

use std::path::PathBuf;
use std::sync::Mutex;

use axum::extract::Request as Asked;
use axum::response::IntoResponse;
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;

const MANY: usize = 8 * 1024 * 1024;

/// A company's web server.
struct Primary {
    address: SocketAddr,
    /// What it was asked: method, target and header fields, one request an entry.
    asked: Arc<Mutex<Vec<String>>>,
    /// One permit lets one request to `/slow` go on.
    gate: Arc<Semaphore>,
    authority: PathBuf,
    _folder: tempfile::TempDir,
}

impl Primary {
    async fn open() -> Primary {
        Primary::named(BORROWED).await
    }

    async fn named(name: &str) -> Primary {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("ca.pem");
        std::fs::write(&authority, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let primary = Primary {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            authority,
            _folder: folder,
        };
        let pages = primary.pages();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        // Spawned for each connection, as a server does.
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, pages) = (acceptor.clone(), pages.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let pages = TowerToHyperService::new(pages);
                        let server = auto::Builder::new(TokioExecutor::new());
                        drop(server.serve_connection(TokioIo::new(stream), pages).await);
                    }
                });
            }
        });
        primary
    }

    fn pages(&self) -> Router {
        let (asked, gate) = (self.asked.clone(), self.gate.clone());
        let note = move |request: Asked, next: axum::middleware::Next| {
            let mut said = format!("{} {}\n", request.method(), request.uri());
            for (field, value) in request.headers() {
                said.push_str(&format!("{field}: {}\n", value.to_str().unwrap()));
            }
            asked.lock().unwrap().push(said);
            next.run(request)
        };
        let slow = move || async move {
            gate.acquire().await.expect("never closed").forget();
            "at last"
        };
        let cookies = || async { ([("set-cookie", "a=b"), ("alt-svc", "h3=\":443\"")], "own") };
        let echo = |request: Asked| async move { request.into_body().into_response() };
        Router::new()
            .route("/", get(cookies))
            .route("/large", get(|| async { vec![b'x'; MANY] }))
            .route("/echo", post(echo))
            .route("/slow", get(slow))
            .layer(axum::middleware::from_fn(note))
    }

    async fn house(&self) -> House {
        House::passing_on_to(vec![self.address], &self.authority).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_late_visitor_sees_the_primary_and_the_primary_who_asked() {
    let primary = Primary::open().await;
    let house = primary.house().await;
    house.publish();
    let fields =
        "cookie: session=1\r\nx-forwarded-for: 10.0.0.1\r\nconnection: x-hop\r\nx-hop: 1\r\n";
    let answer = house.h1("GET", BORROWED, "/?q=1", fields).await;
    assert_eq!((status(&answer), body(&answer)), (200, "own"), "{answer}");
    assert_eq!(field(&answer, "set-cookie"), "a=b");
    assert_eq!(field(&answer, "via"), "1.1 lifeboat");
    assert_eq!(field(&answer, "alt-svc"), "");
    let asked = primary.asked();
    assert_eq!(asked.len(), 1);
    for said in [
        "GET /?q=1\n",
        "host: www.example.com\n",
        "cookie: session=1\n",
        "x-forwarded-for: 127.0.0.1\n",
        "forwarded: for=127.0.0.1;host=www.example.com;proto=https\n",
        "via: 1.1 lifeboat\n",
    ] {
        assert!(asked[0].contains(said), "{said} in {}", asked[0]);
    }
    assert!(!asked[0].contains("x-hop") && !asked[0].contains("10.0.0.1"));
    assert_eq!(house.counters.passed.get(), 1);
}

#[tokio::test]
async fn large_bodies_stream_both_ways_on_http_2() {
    let primary = Primary::open().await;
    let house = primary.house().await;
    let mut client = house.h2().await;
    let answer = client.send_request(request("GET", BORROWED, "/large"));
    let answer = answer.await.unwrap();
    assert_eq!(answer.headers()["content-length"], MANY.to_string());
    assert_eq!(text(answer).await.len(), MANY);
    let sent = Request::post(format!("https://{BORROWED}/echo"))
        .body(Full::new(Bytes::from(vec![b'y'; MANY])))
        .unwrap();
    let answer = client.send_request(sent).await.unwrap();
    assert_eq!(answer.headers()["via"], "1.1 lifeboat");
    assert_eq!(text(answer).await.len(), MANY);
    assert!(primary.asked()[1].contains("via: 2 lifeboat\n"));
}

#[tokio::test]
async fn a_dead_primary_and_one_with_another_name_show_the_fallback() {
    let other = Primary::named("other.example.com").await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = dead.local_addr().unwrap();
    drop(dead);
    for address in [gone, other.address] {
        let house = House::passing_on_to(vec![address], &other.authority).await;
        let answer = house.h1("GET", BORROWED, "/", "").await;
        assert_eq!((status(&answer), body(&answer)), (503, "default"));
        assert_eq!(field(&answer, "retry-after"), "300");
        house.publish();
        for target in ["/", "/about.html"] {
            let answer = house.h1("GET", BORROWED, target, "").await;
            assert_eq!((status(&answer), body(&answer)), (503, "<p>published"));
            assert_eq!(field(&answer, "set-cookie"), "");
        }
        let part = "sec-fetch-dest: style\r\nsec-fetch-site: same-origin\r\n";
        let answer = house.h1("GET", BORROWED, "/style.css", part).await;
        assert_eq!((status(&answer), body(&answer)), (200, "p{}"));
        assert_eq!(house.counters.pass_unanswered.get(), 4);
    }
    assert!(
        other.asked().is_empty(),
        "nothing is sent to whom we do not trust"
    );
}

#[tokio::test]
async fn the_second_address_is_tried_when_the_first_is_dead() {
    let primary = Primary::open().await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = vec![dead.local_addr().unwrap(), primary.address];
    drop(dead);
    let house = House::passing_on_to(home, &primary.authority).await;
    assert_eq!(status(&house.h1("GET", BORROWED, "/", "").await), 200);
}

#[tokio::test]
async fn a_primary_that_does_not_answer_in_time_is_a_dead_one() {
    let primary = Primary::open().await;
    let house = primary.house().await;
    let mut stream = house.tls("http/1.1").await;
    let sent = format!("GET /slow HTTP/1.1\r\nhost: {BORROWED}\r\nconnection: close\r\n\r\n");
    stream.write_all(sent.as_bytes()).await.unwrap();
    while primary.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!((status(&answer), body(&answer)), (503, "default"));
    tokio::time::resume();
    primary.gate.add_permits(1);
    let answer = house.h1("GET", BORROWED, "/slow", "").await;
    assert_eq!((status(&answer), body(&answer)), (200, "at last"));
}

#[tokio::test]
async fn what_is_in_a_circle_or_a_websocket_is_not_passed_on() {
    let primary = Primary::open().await;
    let house = primary.house().await;
    let answer = house
        .h1("GET", BORROWED, "/", "via: 1.1 lifeboat\r\n")
        .await;
    assert_eq!((status(&answer), body(&answer)), (503, "default"));
    assert_eq!(house.counters.pass_circles.get(), 1);
    let websocket = format!(
        "GET /chat HTTP/1.1\r\nhost: {BORROWED}\r\nconnection: close, upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let mut stream = house.tls("http/1.1").await;
    stream.write_all(websocket.as_bytes()).await.unwrap();
    let answer = answer_of(&mut stream).await;
    assert_eq!(status(&answer), 501, "{answer}");
    assert!(primary.asked().is_empty());
}

#[tokio::test]
async fn nothing_is_smuggled_behind_a_request() {
    let primary = Primary::open().await;
    let house = primary.house().await;
    let hidden = "GET /smuggled HTTP/1.1\r\nhost: www.example.com\r\n\r\n";
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    for sent in [
        format!("content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"),
        format!("transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n{chunk}"),
        format!("transfer-encoding: xchunked\r\n\r\n{chunk}"),
        format!("transfer-encoding : chunked\r\n\r\n{chunk}"),
        format!(
            "content-length: {}\r\ncontent-length: 0\r\n\r\n{hidden}",
            hidden.len()
        ),
        format!("content-length: {}\r\n\r\n{hidden}", hidden.len()),
    ] {
        let head = format!("POST /echo HTTP/1.1\r\nhost: {BORROWED}\r\nconnection: close\r\n");
        let _ = house.raw(&format!("{head}{sent}")).await;
    }
    for asked in primary.asked() {
        assert!(asked.starts_with("POST /echo\n"), "{asked}");
    }
    assert!(
        !primary.asked().is_empty(),
        "the last one is an honest body"
    );
}

#[tokio::test]
async fn who_writes_to_us_finishes_here_and_own_names_are_never_passed_on() {
    let primary = Primary::open().await;
    let house = primary.house().await;
    let sent = format!(
        "POST /write HTTP/1.1\r\nhost: {BORROWED}\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc"
    );
    assert_eq!(body(&house.raw(&sent).await), "got 3");
    assert_eq!(body(&house.h1("GET", OWN, "/", "").await), "default");
    assert_eq!(status(&house.plain(BORROWED, "/").await), 307);
    assert!(primary.asked().is_empty());
}

#[tokio::test]
async fn an_old_connection_is_ended_so_that_the_visitor_asks_dns_again() {
    let primary = Primary::open().await;
    let house = primary.house().await;
    let mut stream = house.tls("http/1.1").await;
    let sent = format!("GET / HTTP/1.1\r\nhost: {BORROWED}\r\n\r\n");
    stream.write_all(sent.as_bytes()).await.unwrap();
    house.until(|counters| &counters.passed, 1).await;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let rest = answer_of(&mut stream).await;
    assert_eq!(house.counters.passed.get(), 2, "{rest}");
    assert!(rest.contains("connection: close"), "{rest}");
}
