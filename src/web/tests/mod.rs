//! Tests of the whole door over real sockets on loopback: TLS clients, and raw bytes where a client would be too
//! polite. Each test opens its own house.

mod http1;
mod http2;
mod limits;
mod names;
mod passing;
mod serving;
mod stopping;

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::archive::Draft;
use super::counters::{Count, Counters};
use super::host::Names;
use super::public::Visitor;
use super::{Bounds, Front, Passing, Patience, Site, Sockets, bundle, serve};
use crate::tls::public;

pub(super) const OWN: &str = "help.example.net";
pub(super) const BORROWED: &str = "www.example.com";

/// What every wait for something that must happen may take, on a busy machine.
const PATIENT: Duration = Duration::from_secs(20);

pub(super) struct House {
    pub https: SocketAddr,
    pub http: SocketAddr,
    pub site: Arc<ArcSwapOption<Site>>,
    pub counters: Arc<Counters>,
    pub stop: CancellationToken,
    pub serving: JoinHandle<()>,
    /// One permit lets one request to `/write/slow` go on.
    pub gate: Arc<Semaphore>,
    certificate: CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

pub(super) fn site_of(files: &[(&str, &[u8])]) -> Arc<Site> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    let archive = builder.into_inner().unwrap();
    let draft = Draft::from_archive(Cursor::new(archive)).unwrap();
    let blob = Bytes::from(bundle::pack(&draft).bytes);
    Arc::new(Site::load(&blob, is_ours).unwrap())
}

fn is_ours(path: &str) -> bool {
    path.starts_with("/write")
}

/// Pages that stand for Lifeboat's own.
fn pages(gate: Arc<Semaphore>) -> Router {
    let slow = move || async move {
        gate.acquire().await.expect("never closed").forget();
        "slow"
    };
    let visitor = |axum::Extension(visitor): axum::Extension<Visitor>,
                   headers: axum::http::HeaderMap| async move {
        format!(
            "borrowed={} cookie={}",
            visitor.borrowed,
            headers.contains_key("cookie")
        )
    };
    let redirect = |code: u16| {
        move || async move {
            (
                axum::http::StatusCode::from_u16(code).unwrap(),
                [("location", "/write/x")],
            )
        }
    };
    Router::new()
        .route("/", get(|| async { axum::response::Html("default") }))
        .route(
            "/write",
            post(|body: String| async move { format!("got {}", body.len()) }),
        )
        .route("/write/slow", get(slow))
        .route("/write/visitor", get(visitor))
        .route(
            "/write/cookie",
            get(|| async { ([("set-cookie", "a=b"), ("etag", "\"1\"")], "x") }),
        )
        .route("/write/308", get(redirect(308)))
        .route("/write/303", post(redirect(303)))
        .route(
            "/write/panic",
            get(|| async {
                if true {
                    panic!("planted")
                }
            }),
        )
}

impl House {
    pub async fn open() -> House {
        House::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Bounds)) -> House {
        let mut bounds = Bounds::new(200, 100);
        change(&mut bounds);
        let nowhere = Arc::new(|_: &str| Vec::new());
        let tls = crate::tls::watching::passing(None).unwrap();
        House::build(bounds, Passing::new(nowhere, tls)).await
    }

    /// A house whose borrowed name answers at the primary again.
    pub async fn passing_on_to(home: Vec<SocketAddr>, authority: &std::path::Path) -> House {
        let home = Arc::new(move |name: &str| {
            if name == BORROWED {
                home.clone()
            } else {
                Vec::new()
            }
        });
        let tls = crate::tls::watching::passing(Some(authority)).unwrap();
        House::build(Bounds::new(200, 100), Passing::new(home, tls)).await
    }

    async fn build(bounds: Bounds, passing: Passing) -> House {
        let folder = tempfile::tempdir().unwrap();
        let names = [OWN.to_owned(), BORROWED.to_owned()];
        let (set, _) = public::CertificateSet::open(
            &folder.path().join("none"),
            folder.path(),
            &names,
            crate::clock::now(),
        )
        .unwrap();
        let pem = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                path.extension()
                    .is_some_and(|it| it == "crt" || it == "pem")
            })
            .unwrap();
        let certificate = CertificateDer::from_pem_file(pem).unwrap();
        let config = public::server_config(Arc::new(set), &[7; 32], crate::clock::now).unwrap();
        let (_tls, tls) = watch::channel(config);
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (secure, plain) = (bind().await.unwrap(), bind().await.unwrap());
        let (https, http) = (secure.local_addr().unwrap(), plain.local_addr().unwrap());
        let gate = Arc::new(Semaphore::new(0));
        let front = Arc::new(Front {
            names: Names::new([OWN], [BORROWED]),
            site: Arc::default(),
            public: pages(gate.clone()),
            is_ours,
            passing,
            checks: Router::new().route("/healthz", get(|| async { "ok" })),
            challenge: Arc::new(|token| (token == "tok_en-1").then(|| "key".to_owned())),
            https_port: https.port(),
            body_bytes: 10_000,
            patience: bounds.patience,
            counters: Arc::default(),
        });
        let stop = CancellationToken::new();
        let sockets = Sockets {
            https: vec![secure],
            http: vec![plain],
        };
        House {
            site: front.site.clone(),
            counters: front.counters.clone(),
            serving: tokio::spawn(serve(front, sockets, tls, bounds, stop.clone())),
            https,
            http,
            stop,
            gate,
            certificate,
            _folder: folder,
        }
    }

    /// Shows a small website.
    pub fn publish(&self) {
        self.site.store(Some(site_of(&[
            ("index.html", b"<p>published"),
            ("about.html", b"about"),
            ("404.html", b"lost"),
            ("style.css", b"p{}"),
            ("large.mp4", &vec![b'x'; 20 * 1024 * 1024]),
        ])));
    }

    /// A TLS connection that offers one protocol.
    pub async fn tls(&self, protocol: &str) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.https).await.unwrap();
        self.tls_over(stream, protocol).await.unwrap()
    }

    pub async fn tls_over(
        &self,
        stream: TcpStream,
        protocol: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from(OWN).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// One request over TLS and HTTP/1.1 as the bytes it is made of; the whole answer.
    pub async fn raw(&self, request: &str) -> String {
        let mut stream = self.tls("http/1.1").await;
        stream.write_all(request.as_bytes()).await.unwrap();
        answer_of(&mut stream).await
    }

    /// One request over TLS and HTTP/1.1.
    pub async fn h1(&self, method: &str, host: &str, target: &str, fields: &str) -> String {
        self.raw(&format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{fields}\r\n"
        ))
        .await
    }

    /// One request on the port without TLS.
    pub async fn plain(&self, host: &str, target: &str) -> String {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        answer_of(&mut stream).await
    }

    /// An HTTP/2 connection.
    pub async fn h2(&self) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.tls("h2").await);
        let (client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                .await
                .unwrap();
        tokio::spawn(connection);
        client
    }

    /// Waits until a number is reached.
    pub async fn until(&self, count: impl Fn(&Counters) -> &Count, wanted: u64) {
        let reached = async {
            while count(&self.counters).get() != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENT, reached)
            .await
            .unwrap_or_else(|_| {
                panic!(
                    "{} instead of {wanted}: {:?}",
                    count(&self.counters).get(),
                    self.counters
                )
            });
    }
}

/// Everything until the other side closes. A connection that is cut counts as closed.
pub(super) async fn answer_of(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = async {
        let mut part = [0; 16 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            bytes.extend_from_slice(&part[..count]);
        }
    };
    tokio::time::timeout(PATIENT, read)
        .await
        .expect("the other side closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The status of an answer's first line; 0 where there is none.
pub(super) fn status(answer: &str) -> u16 {
    answer
        .get(9..12)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

/// A header field, or nothing.
pub(super) fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.lines()
        .find_map(|line| line.split_once(": ").filter(|(it, _)| *it == name))
        .map_or("", |(_, value)| value)
}

pub(super) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub(super) fn request(method: &str, host: &str, target: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("https://{host}{target}"))
        .body(Full::default())
        .unwrap()
}

pub(super) async fn text(answer: Response<hyper::body::Incoming>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Short times for tests of what happens when they run out.
pub(super) fn hasty() -> Patience {
    Patience {
        handshake: Duration::from_millis(300),
        head: Duration::from_millis(300),
        idle: Duration::from_millis(600),
        rest: Duration::from_millis(100),
        body_grace: Duration::from_millis(300),
        answer_grace: Duration::from_millis(900),
        pace: 1_024,
    }
}
