//! A server that stands in for a provider: the provider's rules in one function, and the faults that any server can have.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What goes wrong with the next write.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It is done, and the connection ends before the answer.
    LoseAnswer,
    /// The same, and nothing is answered from then on.
    LoseAnswerAndDie,
    /// The connection ends before it is done.
    Close,
    /// It is answered with this status and `Retry-After`, and not done.
    Status(u16, Option<u64>),
    /// It is not done and never answered.
    Silence,
    /// It is not done, and what is answered is no answer.
    Garbage,
}

/// What was asked.
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub authorization: String,
    pub date: String,
    pub host: String,
    pub body: Vec<u8>,
}

impl Asked {
    /// A part of the query.
    pub fn part(&self, name: &str) -> Option<String> {
        let mut parts = form_urlencoded::parse(self.query.as_bytes());
        parts.find(|it| it.0 == name).map(|it| it.1.into_owned())
    }
}

/// What is answered: a status, headers, and a body.
pub struct Says {
    pub status: u16,
    pub link: Option<String>,
    pub body: String,
}

impl Says {
    pub fn of(status: u16, body: impl ToString) -> Self {
        Self {
            status,
            link: None,
            body: body.to_string(),
        }
    }
}

/// One record of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    /// With its zone, without a final dot.
    pub name: String,
    pub rtype: String,
    pub ttl: u32,
    /// As zone files write it.
    pub value: String,
}

/// A provider's rules.
pub trait Rules: Send + 'static {
    fn answer(&mut self, asked: &Asked) -> Says;
    fn rows(&mut self) -> &mut Vec<Row>;
    /// Whether a write that somebody else was quicker than is refused.
    fn has_conditions(&self) -> bool;
}

/// The zone that every story begins with.
pub fn zone() -> Vec<Row> {
    let row = |number: usize, (name, rtype, value): (&str, &str, &str)| Row {
        id: format!("id{number}"),
        name: name.to_owned(),
        rtype: rtype.to_owned(),
        ttl: 60,
        value: value.to_owned(),
    };
    [
        ("example.test", "A", "192.0.2.80"),
        ("www.example.test", "A", "192.0.2.80"),
        ("www.example.test", "AAAA", "2001:db8::80"),
        ("example.test", "MX", "10 mail.example.test."),
        ("www.example.test", "TXT", "\"beside; them\""),
        ("other.example.test", "A", "192.0.2.7"),
    ]
    .into_iter()
    .enumerate()
    .map(|(number, it)| row(number, it))
    .collect()
}

/// The server.
pub struct Stand {
    pub address: SocketAddr,
    rules: Arc<Mutex<Box<dyn Rules>>>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    dead: Arc<AtomicBool>,
    serving: JoinHandle<()>,
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Stand {
    pub async fn new(rules: impl Rules) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let rules: Arc<Mutex<Box<dyn Rules>>> = Arc::new(Mutex::new(Box::new(rules)));
        let faults = Arc::new(Mutex::new(VecDeque::new()));
        let dead = Arc::new(AtomicBool::new(false));
        let parts = (rules.clone(), faults.clone(), dead.clone());
        let serving = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                if parts.2.load(Ordering::SeqCst) {
                    continue;
                }
                tokio::spawn(serve(stream, parts.clone()));
            }
        });
        Self {
            address,
            rules,
            faults,
            dead,
            serving,
        }
    }

    pub fn next_write(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    pub fn live_again(&self) {
        self.dead.store(false, Ordering::SeqCst);
    }

    pub fn has_conditions(&self) -> bool {
        self.rules.lock().unwrap().has_conditions()
    }

    /// Somebody else's change.
    pub fn by_hand(&self, name: &str, rtype: &str, values: &[&str]) {
        let mut rules = self.rules.lock().unwrap();
        let rows = rules.rows();
        rows.retain(|it| it.name != name || it.rtype != rtype);
        rows.extend(values.iter().map(|it| Row {
            id: format!("hand{it}"),
            name: name.to_owned(),
            rtype: rtype.to_owned(),
            ttl: 60,
            value: (*it).to_owned(),
        }));
    }

    pub fn rows(&self) -> Vec<Row> {
        self.rules.lock().unwrap().rows().clone()
    }

    /// The names besides those of the story, each of which must stay.
    pub fn others(&self) -> Vec<String> {
        let rows = self.rows();
        assert!(
            rows.iter()
                .any(|it| it.rtype == "TXT" && it.value.contains("beside"))
        );
        let names = rows.into_iter().map(|it| it.name);
        names
            .filter(|it| !["example.test", "www.example.test"].contains(&it.as_str()))
            .collect()
    }
}

type Parts = (
    Arc<Mutex<Box<dyn Rules>>>,
    Arc<Mutex<VecDeque<Fault>>>,
    Arc<AtomicBool>,
);

async fn serve(stream: TcpStream, parts: Parts) {
    let answering = service_fn(|request| answer(request, parts.clone()));
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answering)
        .await;
}

/// An error ends the connection without an answer.
async fn answer(
    request: Request<Incoming>,
    (rules, faults, dead): Parts,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|it| it.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let mut asked = Asked {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        authorization: header("authorization"),
        date: header("x-amz-date"),
        host: header("host"),
        body: Vec::new(),
    };
    let body = request.into_body().collect().await;
    asked.body = body.map_err(std::io::Error::other)?.to_bytes().to_vec();
    let fault = match asked.method.as_str() {
        "GET" => None,
        _ => faults.lock().unwrap().pop_front(),
    };
    let gone = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let said = match fault {
        None => rules.lock().unwrap().answer(&asked),
        Some(Fault::LoseAnswer) => {
            let _ = rules.lock().unwrap().answer(&asked);
            return Err(gone());
        }
        Some(Fault::LoseAnswerAndDie) => {
            let _ = rules.lock().unwrap().answer(&asked);
            dead.store(true, Ordering::SeqCst);
            return Err(gone());
        }
        Some(Fault::Close) => return Err(gone()),
        Some(Fault::Status(status, rest)) => {
            let mut answer = Response::builder().status(status);
            if let Some(rest) = rest {
                answer = answer.header("retry-after", rest);
            }
            let body = Full::new(Bytes::from_static(b"a fault"));
            return answer.body(body).map_err(std::io::Error::other);
        }
        Some(Fault::Silence) => return std::future::pending().await,
        Some(Fault::Garbage) => Says::of(200, "<<<{[nothing"),
    };
    let mut answer = Response::builder().status(said.status);
    if let Some(link) = said.link {
        answer = answer.header("link", link);
    }
    let body = Full::new(Bytes::from(said.body));
    answer.body(body).map_err(std::io::Error::other)
}

/// A server behind a certificate for `localhost`, and the file of who vouches for it.
pub async fn over_tls() -> (SocketAddr, tempfile::NamedTempFile, JoinHandle<()>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let answer = service_fn(async |_: Request<Incoming>| {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"over TLS"))))
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        }
    });
    (address, file, serving)
}
