//! One request to one address over TLS, as a visitor's browser makes it: under a host name, which is not looked up. What
//! the certificate is worth is told apart from what the page says.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;

use crate::{
    clock,
    model::{health::Trust, limits},
    tls::watching::{Watching, days_left},
};

/// What is asked for.
pub(super) struct Ask<'a> {
    pub(super) path: &'a str,
    /// What a form sends; nothing where a page is read.
    pub(super) form: Option<String>,
}

/// What was seen.
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) body: String,
    /// Days until the certificate ends; negative once it has.
    pub(super) days: Option<i64>,
    /// Why browsers do not trust the certificate, where they do not.
    pub(super) distrust: Option<String>,
}

/// Asks once.
pub(super) async fn visit(
    tls: &Watching,
    to: SocketAddr,
    host: &str,
    ask: Ask<'_>,
) -> Result<Seen, String> {
    let patience = Duration::from_millis(limits::PROOF_LOOK_MS);
    let visited = timeout(patience, visited(tls, to, host, ask)).await;
    visited.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

async fn visited(tls: &Watching, to: SocketAddr, host: &str, ask: Ask<'_>) -> Result<Seen, String> {
    let (stream, distrust) = match shake_hands(tls, to, host, Trust::Public).await {
        Ok(stream) => (stream, None),
        Err(Miss::Connect(why)) => return Err(format!("cannot connect: {why}")),
        Err(Miss::Tls(why)) => {
            let stream = shake_hands(tls, to, host, Trust::Anything).await;
            let stream = stream.map_err(|_| format!("no TLS: {why}"))?;
            (stream, Some(why))
        }
    };
    let days = days_left(stream.get_ref().1.peer_certificates(), clock::now());
    let answer = exchange(stream, to, host, ask).await?;
    let etag = answer.headers().get(header::ETAG);
    let etag = etag.and_then(|it| it.to_str().ok()).map(str::to_owned);
    Ok(Seen {
        status: answer.status().as_u16(),
        etag,
        body: String::from_utf8_lossy(answer.body()).into_owned(),
        days,
        distrust,
    })
}

enum Miss {
    Connect(String),
    Tls(String),
}

async fn shake_hands(
    tls: &Watching,
    to: SocketAddr,
    host: &str,
    trust: Trust,
) -> Result<TlsStream<TcpStream>, Miss> {
    let tcp = TcpStream::connect(to).await;
    let tcp = tcp.map_err(|it| Miss::Connect(it.to_string()))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|it| Miss::Tls(it.to_string()))?;
    let shaken = tls.connector(trust).connect(name, tcp).await;
    shaken.map_err(|it| Miss::Tls(it.to_string()))
}

async fn exchange(
    stream: TlsStream<TcpStream>,
    to: SocketAddr,
    host: &str,
    ask: Ask<'_>,
) -> Result<Response<Bytes>, String> {
    let named = match to.port() {
        443 => host.to_owned(),
        port => format!("{host}:{port}"),
    };
    let mut request = Request::builder()
        .uri(ask.path)
        .header(header::HOST, named)
        .header(header::USER_AGENT, "lifeboat-proofs")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close");
    if ask.form.is_some() {
        let kind = "application/x-www-form-urlencoded";
        request = request.method("POST").header(header::CONTENT_TYPE, kind);
    }
    let body = Full::new(Bytes::from(ask.form.unwrap_or_default()));
    let request = request
        .body(body)
        .map_err(|it| format!("the request cannot be made: {it}"))?;
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|it| format!("no HTTP: {it}"))?;
    let asking = async {
        let answer = sender.send_request(request).await;
        whole(answer.map_err(|it| format!("no HTTP answer: {it}"))?).await
    };
    let (mut asking, connection) = (std::pin::pin!(asking), std::pin::pin!(connection));
    // The connection is driven beside the request and ends with it, so that no socket outlives an answer.
    tokio::select! {
        biased;
        done = &mut asking => done,
        _ = connection => asking.await,
    }
}

async fn whole(answer: Response<Incoming>) -> Result<Response<Bytes>, String> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, limits::PROOF_PAGE_BYTES_MAX);
    let body = body.collect().await;
    let body = body.map_err(|it| format!("the page did not come whole: {it}"))?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// Whether the server of an HTTPS address is there and has a certificate that is trusted. Nothing is asked of it.
pub(super) async fn reach(tls: Option<&Watching>, url: &str) -> Result<(), String> {
    let tls = tls.ok_or("this node can make no TLS connections; its log says why")?;
    let uri: hyper::Uri = url.parse().map_err(|_| "its address cannot be read")?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let clear = uri.scheme_str() == Some("http");
    let port = uri.port_u16().unwrap_or(if clear { 80 } else { 443 });
    let patience = Duration::from_millis(limits::PROOF_LOOK_MS);
    let reaching = async {
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found.map_err(|it| format!("{host} is not found: {it}"))?;
        let mut last = format!("{host} has no address");
        for to in found {
            let reached = match clear {
                true => {
                    let tcp = TcpStream::connect(to).await;
                    tcp.map(drop).map_err(|it| Miss::Connect(it.to_string()))
                }
                false => shake_hands(tls, to, host, Trust::Public).await.map(drop),
            };
            match reached {
                Ok(()) => return Ok(()),
                Err(Miss::Connect(why) | Miss::Tls(why)) => last = format!("{host}: {why}"),
            }
        }
        Err(last)
    };
    let reached = timeout(patience, reaching).await;
    reached.unwrap_or_else(|_| Err(format!("{host} does not answer in time")))
}
