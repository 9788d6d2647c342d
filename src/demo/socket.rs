//! A node's API over its local socket, as the demo and the tests of real nodes use it. An answer that is no success is an error with its words.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The longest that a node may take for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Reads from the API; `path` begins after `/api/v1`.
///
/// # Errors
/// When there is no answer in time, or it is no success.
pub async fn get(socket: &Path, path: &str) -> Result<Value> {
    call(socket, Method::GET, path, None).await
}

/// Writes to the API under an idempotency key.
///
/// # Errors
/// As above.
pub async fn post(socket: &Path, path: &str, key: &str, body: &Value) -> Result<Value> {
    call(socket, Method::POST, path, Some((key, body.to_string()))).await
}

async fn call(
    socket: &Path,
    method: Method,
    path: &str,
    write: Option<(&str, String)>,
) -> Result<Value> {
    let asked = async {
        let stream = UnixStream::connect(socket)
            .await
            .context("the socket does not answer")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection, which ends with this request.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(HOST, "localhost");
        let mut body = Bytes::new();
        if let Some((key, text)) = write {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .header("Idempotency-Key", key);
            body = text.into();
        }
        let answer = sender.send_request(request.body(Full::new(body))?).await?;
        let status = answer.status();
        let text = answer.into_body().collect().await?.to_bytes();
        anyhow::ensure!(
            status.is_success(),
            "{path}: {status}: {}",
            String::from_utf8_lossy(&text)
        );
        serde_json::from_slice(&text).context("the node did not answer in JSON")
    };
    timeout(PATIENCE, asked)
        .await
        .with_context(|| format!("{path}: no answer within {} s", PATIENCE.as_secs()))?
}
