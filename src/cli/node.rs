//! Speaking to a node: HTTP/1.1 over its local socket, one connection a request.
//!
//! Every write carries the key of this run, so that it can be repeated safely when its outcome is not known.

use std::{
    borrow::Borrow,
    convert::Infallible,
    fs::File,
    io::{ErrorKind, Read, Write},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::{Method, Request, StatusCode, body::Frame, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use super::Said;
use super::afar::Way;
use super::failure::{Exit, Failure, chain};
use super::output::printable;
use crate::model::limits;

/// How long a question may take.
const ASK: Duration = Duration::from_secs(30);
/// How long a write may take: longer than the node itself waits for a majority or a change of members.
const WRITE: Duration = Duration::from_secs(90);
/// How long publishing may take: longer than the node gives it.
const PUBLISH: Duration = Duration::from_secs(16 * 60);
/// Bytes of an upload that are handed on at a time, so that progress can be shown.
const CHUNK_BYTES: usize = 256 * 1024;

/// A node, reached over its socket.
#[derive(Clone, Debug)]
pub struct Node {
    reach: Reach,
    key: String,
}

/// How the node is reached.
#[derive(Clone, Debug)]
enum Reach {
    Socket(PathBuf),
    Afar(Way),
}

/// A connection to it.
trait Line: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// What came of a write, in words.
#[derive(Deserialize)]
struct Sentence {
    says: String,
}

/// What a node answered.
#[derive(Debug)]
pub struct Answer<T> {
    /// As it came, for `--json`.
    pub json: Value,
    /// What of it the terminal shows.
    pub value: T,
}

impl Node {
    /// The node behind a socket. Writes go under `key`.
    pub fn new(socket: PathBuf, key: String) -> Self {
        let reach = Reach::Socket(socket);
        Self { reach, key }
    }

    /// A node that is asked from afar.
    pub fn afar(way: Way, key: String) -> Self {
        let reach = Reach::Afar(way);
        Self { reach, key }
    }

    /// Reads a path of the API.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// Writes: `body` goes as JSON.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<Answer<T>, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Asks for something that is answered with a sentence.
    pub async fn said(&self, path: &str, body: impl Borrow<Value>) -> Result<Said, Failure> {
        let answer = self.post::<Sentence>(path, body.borrow()).await?;
        let text = format!("{}\n", printable(&answer.value.says));
        Ok(Said::of(answer.json, text))
    }

    /// Takes something away.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Failure> {
        self.ask(Method::DELETE, path, None).await
    }

    /// Sends bytes, telling `sent` how many have gone so far.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content: Bytes,
        mut sent: impl FnMut(u64) + Send + Sync + 'static,
    ) -> Result<Answer<T>, Failure> {
        let length = content.len() as u64;
        let (mut rest, mut gone) = (content, 0);
        let chunks = std::iter::from_fn(move || {
            let chunk = rest.split_to(rest.len().min(CHUNK_BYTES));
            gone += chunk.len() as u64;
            sent(gone);
            (!chunk.is_empty()).then_some(Ok::<_, Infallible>(Frame::data(chunk)))
        });
        let body = StreamBody::new(futures_util::stream::iter(chunks));
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, length);
        self.send(request, BodyExt::boxed(body), PUBLISH).await
    }

    /// Sends a file that is not read into memory, telling `sent` how many of its bytes have gone so far.
    pub async fn upload_file<T: DeserializeOwned>(
        &self,
        path: &str,
        (mut file, length): (File, u64),
        mut sent: impl FnMut(u64) + Send + Sync + 'static,
    ) -> Result<Answer<T>, Failure> {
        let mut gone = 0;
        let chunks = std::iter::from_fn(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            // A file that ends early is a body that ends early, which the node refuses.
            let had = file.read(&mut chunk).unwrap_or(0);
            chunk.truncate(had);
            gone += had as u64;
            sent(gone);
            (had > 0).then_some(Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))))
        });
        let body = StreamBody::new(futures_util::stream::iter(chunks));
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, length);
        self.send(request, BodyExt::boxed(body), PUBLISH).await
    }

    /// Sends a form with files: its content type and its bytes.
    pub async fn send_form<T: DeserializeOwned>(
        &self,
        path: &str,
        (kind, body): &(String, Bytes),
    ) -> Result<Answer<T>, Failure> {
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, kind);
        let body = BodyExt::boxed(Full::new(body.clone()));
        self.send(request, body, PUBLISH).await
    }

    /// The key that writes go under.
    pub fn key(&self) -> &str {
        &self.key
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer<T>, Failure> {
        let patience = if method == Method::GET { ASK } else { WRITE };
        let mut request = self.request(method, path);
        let body = match body {
            Some(value) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(value.to_string())
            }
            None => Bytes::new(),
        };
        self.send(request, BodyExt::boxed(Full::new(body)), patience)
            .await
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let is_write = method != Method::GET;
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"));
        let request = match &self.reach {
            Reach::Socket(_) => request.header(header::HOST, "lifeboat"),
            Reach::Afar(way) => request
                .header(header::HOST, way.authority())
                .header(header::AUTHORIZATION, way.authorization()),
        };
        if is_write {
            request.header("idempotency-key", &self.key)
        } else {
            request
        }
    }

    /// Reads a path whose answer is no JSON, such as a file of the site.
    pub async fn fetch(&self, path: &str) -> Result<Bytes, Failure> {
        let request = self.request(Method::GET, path);
        let body = BodyExt::boxed(Full::new(Bytes::new()));
        let (status, bytes) = self.exchanged(request, body, ASK).await?;
        if status.is_success() {
            return Ok(bytes);
        }
        Err(refused(
            serde_json::from_slice(&bytes).map_err(strange)?,
            &self.key,
        ))
    }

    /// Writes, and puts the answer's bytes into `out` as they come. What came is not whole unless this is `Ok`.
    pub async fn download(
        &self,
        path: &str,
        body: &Value,
        out: &mut (dyn Write + Send),
    ) -> Result<(), Failure> {
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json");
        let body = BodyExt::boxed(Full::new(Bytes::from(body.to_string())));
        let broken = |why: String| {
            let advice = "look at the node's log; ask again or ask another node";
            Failure::new(
                Exit::Unreachable,
                "the node did not send all of it",
                why,
                advice,
            )
        };
        let request = request.body(body).map_err(|error| broken(chain(&error)))?;
        let stream = self.connect().await?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(chain(&error)))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let mut body = response.into_body();
            let mut problem = Vec::new();
            while let Some(frame) = body.frame().await {
                let Ok(piece) = frame?.into_data() else {
                    continue;
                };
                match status.is_success() {
                    true => out.write_all(&piece)?,
                    false if problem.len() < limits::DESK_ANSWER_BYTES_MAX => problem.extend(piece),
                    false => {}
                }
            }
            out.flush()?;
            Ok::<_, Broken>((status, problem))
        };
        let whole = async {
            tokio::pin!(answer);
            tokio::select! {
                whole = &mut answer => whole,
                ended = connection => { ended?; answer.await }
            }
        };
        let whole = tokio::time::timeout(PUBLISH, whole).await;
        let whole = whole.map_err(|_| broken(format!("not within {} s", PUBLISH.as_secs())))?;
        let (status, problem) = whole.map_err(|error| broken(chain(&*error)))?;
        if status.is_success() {
            return Ok(());
        }
        Err(refused(
            serde_json::from_slice(&problem).map_err(strange)?,
            &self.key,
        ))
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: hyper::http::request::Builder,
        body: BoxBody<Bytes, Infallible>,
        patience: Duration,
    ) -> Result<Answer<T>, Failure> {
        let (status, bytes) = self.exchanged(request, body, patience).await?;
        let json: Value = serde_json::from_slice(&bytes).map_err(strange)?;
        // "Not ready" is an answer to a question, not a failure to give one.
        let is_problem = json.get("type").is_some() && json.get("title").is_some();
        if !status.is_success() && is_problem {
            return Err(refused(json, &self.key));
        }
        let value = T::deserialize(&json).map_err(strange)?;
        Ok(Answer { json, value })
    }

    async fn exchanged(
        &self,
        request: hyper::http::request::Builder,
        body: BoxBody<Bytes, Infallible>,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let request = request.body(body).map_err(|error| {
            let advice = "leave out what a path or header cannot hold";
            Failure::new(Exit::Usage, "that cannot be asked", chain(&error), advice)
        })?;
        let is_write = request.method() != Method::GET;
        let stream = self.connect().await?;
        match tokio::time::timeout(patience, exchange(stream, request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.broken(is_write, &chain(&*error))),
            Err(_) => {
                let why = format!("no answer within {} s", patience.as_secs());
                Err(self.broken(is_write, &why))
            }
        }
    }

    async fn connect(&self) -> Result<Box<dyn Line>, Failure> {
        let socket = match &self.reach {
            Reach::Socket(socket) => socket,
            Reach::Afar(way) => return Ok(Box::new(way.connect().await?)),
        };
        let stream = UnixStream::connect(socket).await;
        let stream = stream.map_err(|error| {
            let (why, advice) = match error.kind() {
                ErrorKind::NotFound => (
                    "there is no such socket, so no node runs with it".to_owned(),
                    "start the node with 'lifeboat run', or name its socket with --socket",
                ),
                ErrorKind::ConnectionRefused => (
                    "the node that made this socket has ended".to_owned(),
                    "look at the node's log, then start it with 'lifeboat run'",
                ),
                ErrorKind::PermissionDenied => (
                    "this user may not open it".to_owned(),
                    "ask as its owner or as a member of its group, for example with sudo",
                ),
                _ => (
                    error.to_string(),
                    "start the node with 'lifeboat run', or name its socket with --socket",
                ),
            };
            Failure::new(
                Exit::Unreachable,
                format!("no node answers on {}", socket.display()),
                why,
                advice,
            )
        })?;
        Ok(Box::new(stream))
    }

    /// A connection that broke: a question was not answered, a write may have happened.
    fn broken(&self, is_write: bool, why: &str) -> Failure {
        if is_write {
            Failure::new(
                Exit::Unknown,
                "it is not known whether this happened",
                why,
                repeat(&self.key),
            )
        } else {
            let what = "the node did not answer";
            let advice = "look at the node's log; ask again or ask another node";
            Failure::new(Exit::Unreachable, what, why, advice)
        }
    }
}

fn strange(error: serde_json::Error) -> Failure {
    let why = format!("the node's answer cannot be read: {error}");
    let advice = "use the same version of Lifeboat as the node has";
    Failure::new(Exit::Failed, "the node answered strangely", why, advice)
}

fn repeat(key: &str) -> String {
    format!("add --repeat {key} to the same command: it then happens once")
}

/// The node said no, in a problem of its own.
fn refused(problem: Value, key: &str) -> Failure {
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let kind = text("type");
    let exit = match kind.rsplit(':').next().unwrap_or_default() {
        "invalid" => Exit::Usage,
        "refused" | "not-found" | "not-allowed" | "signed-out" => Exit::Refused,
        "unknown-outcome" => Exit::Unknown,
        _ => Exit::Failed,
    };
    // The node does not know the words of this command line; what it advises besides stays.
    let advice = match text("advice").split_once("(--repeat): it then happens once") {
        Some((_, besides)) if exit == Exit::Unknown => repeat(key) + besides,
        _ => text("advice"),
    };
    let mut why = text("detail");
    let several = problem["mistakes"].as_array().filter(|it| it.len() > 1);
    for mistake in several.into_iter().flatten() {
        let part = |name: &str| printable(mistake[name].as_str().unwrap_or_default());
        let (field, found, wanted) = (part("field"), part("found"), part("wanted"));
        why.push_str(&format!("\n       {field}: found {found}; wanted {wanted}"));
    }
    let mut failure = Failure::new(exit, text("title"), why, advice);
    failure.problem = Some(problem);
    failure
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(
    stream: Box<dyn Line>,
    request: Request<BoxBody<Bytes, Infallible>>,
) -> Result<(StatusCode, Bytes), Broken> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::DESK_ANSWER_BYTES_MAX);
        Ok::<_, Broken>((status, body.collect().await?.to_bytes()))
    };
    // The connection moves bytes only while it is polled, so both go side by side; the answer's end is the end.
    tokio::pin!(answer);
    tokio::select! {
        whole = &mut answer => whole,
        ended = connection => {
            ended?;
            answer.await
        }
    }
}

/// A part of a path that holds whatever people typed.
pub fn part(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut part = String::new();
    for byte in text.bytes() {
        if keep(byte) {
            part.push(char::from(byte));
        } else {
            part.push_str(&format!("%{byte:02X}"));
        }
    }
    part
}
