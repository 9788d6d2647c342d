//! One HTTPS request to somebody's API, bounded in time and size. Redirects are not followed, as a token goes nowhere else.
//!
//! What matters to the caller is whether a request may have been taken: before its first byte was sent it was not, after
//! that nobody knows unless an answer comes.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::clock;
use crate::model::limits::{HTTPS_ANSWER_BYTES_MAX, HTTPS_REQUEST_MS, HTTPS_REST_MS_MAX};

/// Asks, trusting the authorities of its connector. Cheap to clone.
#[derive(Clone)]
pub struct Https {
    /// Whom it trusts.
    pub tls: TlsConnector,
    /// How long one request may take.
    pub patience: Duration,
}

/// What is asked.
pub struct Ask {
    /// What to do.
    pub method: Method,
    /// Where: `https`, or `http` to this machine's own address.
    pub url: String,
    /// Besides Host, User-Agent and Accept-Encoding.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub body: Vec<u8>,
}

impl Ask {
    /// A request with JSON or without, `said` being the value of its Authorization header.
    pub fn with_json(method: Method, url: String, said: String, body: Option<&Value>) -> Self {
        let mut headers = vec![("authorization", said)];
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        let body = body.map(|it| it.to_string().into_bytes());
        Self {
            method,
            url,
            headers,
            body: body.unwrap_or_default(),
        }
    }
}

/// What came back.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// How long the provider asks to be left alone, in milliseconds.
    pub rest_ms: u64,
    /// The `Link` header, where pages follow each other by it (RFC 8288).
    pub link: Option<String>,
    /// What was answered, up to [`HTTPS_ANSWER_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug)]
pub enum Failed {
    /// It was not sent.
    NotSent(String),
    /// It was sent, at least in part.
    Lost(String),
}

impl Https {
    /// With the usual patience.
    pub fn new(tls: TlsConnector) -> Self {
        Self {
            tls,
            patience: Duration::from_millis(HTTPS_REQUEST_MS),
        }
    }

    /// Asks once.
    ///
    /// # Errors
    /// When no answer came, telling whether the request may have been taken.
    pub async fn ask(&self, ask: Ask) -> Result<Answer, Failed> {
        self.ask_with(ask, &[]).await
    }

    /// The same with headers whose names somebody chose.
    ///
    /// # Errors
    /// When no answer came, telling whether the request may have been taken.
    pub async fn ask_with(&self, ask: Ask, more: &[(String, String)]) -> Result<Answer, Failed> {
        let mut request = Request::builder().method(ask.method).uri(&ask.url);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        for (name, value) in more {
            request = request.header(name.as_str(), value.as_str());
        }
        let request = request.body(Bytes::from(ask.body));
        let request = request.map_err(|it| Failed::NotSent(it.to_string()))?;
        self.send(request).await.map(|it| Answer::of(&it))
    }

    /// Sends a request to the whole address that it names; Host, User-Agent and Accept-Encoding are put in. The answer's
    /// body is at most [`HTTPS_ANSWER_BYTES_MAX`].
    ///
    /// # Errors
    /// When no answer came, telling whether the request may have been taken.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Failed> {
        let not_sent = |why: &dyn std::fmt::Display| Failed::NotSent(why.to_string());
        let (mut head, body) = request.into_parts();
        let uri = head.uri;
        let host = uri.host().unwrap_or_default().to_owned();
        let clear = uri.scheme_str() == Some("http");
        let port = uri.port_u16().unwrap_or(if clear { 80 } else { 443 });
        let authority = uri.authority().map_or(host.as_str(), |it| it.as_str());
        let authority = HeaderValue::from_str(authority).map_err(|it| not_sent(&it))?;
        head.headers.insert(header::HOST, authority);
        let us = HeaderValue::from_static("lifeboat");
        head.headers.insert(header::USER_AGENT, us);
        let plain = HeaderValue::from_static("identity");
        head.headers.insert(header::ACCEPT_ENCODING, plain);
        let path = uri.path_and_query().map_or("/", |it| it.as_str());
        head.uri = path.parse().map_err(|it| not_sent(&it))?;
        let request = Request::from_parts(head, Full::new(body));
        let opened = timeout(self.patience, self.open(&host, port, clear));
        let stream = match opened.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(not_sent(&format!("{host} cannot be reached: {error}"))),
            Err(_) => return Err(not_sent(&format!("{host} cannot be reached in time"))),
        };
        timeout(self.patience, exchange(stream, request))
            .await
            .unwrap_or_else(|_| Err(Failed::Lost(format!("{host} does not answer in time"))))
    }

    async fn open(&self, host: &str, port: u16, clear: bool) -> io::Result<Box<dyn Stream>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in lookup_host((bare, port)).await? {
            // A name that leads to this machine today may lead elsewhere tomorrow.
            if clear && (!address.ip().is_loopback() || bare.parse::<std::net::IpAddr>().is_err()) {
                return Err(io::Error::other("a token goes over TLS only"));
            }
            // An address that swallows packets leaves time for the next one.
            let connected = timeout(self.patience / 3, TcpStream::connect(address)).await;
            match connected.unwrap_or_else(|late| Err(late.into())) {
                Ok(tcp) if clear => return Ok(Box::new(tcp)),
                Ok(tcp) => {
                    tcp.set_nodelay(true)?;
                    let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
                    return Ok(Box::new(self.tls.connect(name, tcp).await?));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Failed> {
    let shaken = http1::Builder::new()
        .max_buf_size(64 * 1024)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = shaken.await.map_err(|it| Failed::NotSent(it.to_string()))?;
    let mut connection = std::pin::pin!(connection);
    let lost = |it: &dyn std::fmt::Display| Failed::Lost(it.to_string());
    let asking = async {
        let answer = sender.send_request(request).await.map_err(|it| lost(&it))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, HTTPS_ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(|it| lost(&it))?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    let mut asking = std::pin::pin!(asking);
    // The connection is driven beside the request and ends with it, so that no socket outlives an answer.
    tokio::select! {
        biased;
        done = &mut asking => done,
        _ = &mut connection => asking.await,
    }
}

/// How long to leave a provider alone: `Retry-After` in seconds (RFC 9110 section 10.2.3), or the time at which its limit
/// begins anew. A date is taken for a minute.
fn rest(retry_after: Option<&str>, reset: Option<&str>, status: u16) -> u64 {
    let most = HTTPS_REST_MS_MAX;
    if let Some(text) = retry_after {
        let seconds = text.trim().parse::<u64>().unwrap_or(60);
        return seconds.saturating_mul(1_000).min(most);
    }
    let reset = reset.filter(|_| status == 429);
    let at = reset.and_then(|it| it.trim().parse::<u64>().ok());
    at.map_or(0, |at| {
        at.saturating_mul(1_000)
            .saturating_sub(clock::now().0)
            .min(most)
    })
}

impl Answer {
    fn of(answer: &Response<Bytes>) -> Self {
        let status = answer.status().as_u16();
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|it| it.to_str().ok());
            value.map(str::to_owned)
        };
        let (after, reset) = (header("retry-after"), header("ratelimit-reset"));
        Self {
            status,
            rest_ms: rest(after.as_deref(), reset.as_deref(), status),
            link: header("link"),
            body: answer.body().to_vec(),
        }
    }

    /// Whether asking again later may get another answer.
    pub fn may_change(&self) -> bool {
        matches!(self.status, 408 | 423 | 425 | 429 | 500..)
    }

    /// Whether it says that it was done.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether a write that got this answer may have been done all the same: a gateway in between gave up.
    pub fn is_doubtful(&self) -> bool {
        (500..600).contains(&self.status) && self.status != 503
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_wish_to_be_left_alone_is_followed_within_bounds() {
        assert_eq!(rest(Some("7"), None, 429), 7_000);
        assert_eq!(rest(Some("999999"), None, 503), HTTPS_REST_MS_MAX);
        assert_eq!(
            rest(Some("Wed, 21 Oct 2026 07:28:00 GMT"), None, 429),
            60_000
        );
        assert_eq!(rest(None, Some("1"), 429), 0);
        assert_eq!(rest(None, Some("99999999999999999999"), 429), 0);
        assert_eq!(
            rest(None, Some("18446744073709551615"), 429),
            HTTPS_REST_MS_MAX
        );
        assert_eq!(rest(None, Some("18446744073709551615"), 200), 0);
    }
}
