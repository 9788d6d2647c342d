//! What a page's script does, without a browser: an open stream of events of a conversation, and messages sent under ids
//! of its own making.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::attacker;

/// An open stream.
pub struct Ear {
    line: BufReader<TlsStream<TcpStream>>,
}

/// One event.
#[derive(Debug, Default)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: String,
}

impl Event {
    /// The news that it brings.
    ///
    /// # Errors
    /// When it brings none.
    pub fn news(&self) -> Result<Value> {
        serde_json::from_str(&self.data).with_context(|| format!("no news: {self:?}"))
    }

    /// The texts of its new messages.
    ///
    /// # Errors
    /// When it brings no news.
    pub fn texts(&self) -> Result<Vec<String>> {
        Ok(texts(&self.news()?["new"]))
    }
}

/// The texts of messages.
pub fn texts(messages: &Value) -> Vec<String> {
    let messages = messages.as_array().into_iter().flatten();
    let text = |it: &Value| it["text"].as_str().unwrap_or_default().to_owned();
    messages.map(text).collect()
}

impl Ear {
    /// Opens the stream of a conversation, from the place where another one ended.
    ///
    /// # Errors
    /// When it is not answered as one.
    pub async fn open(ca: &Path, at: SocketAddr, path: &str, last: Option<&str>) -> Result<Ear> {
        let mut stream = attacker::tls(ca, Ipv4Addr::LOCALHOST, at, "http/1.1").await?;
        let last = last.map_or_else(String::new, |it| format!("last-event-id: {it}\r\n"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost:{}\r\naccept: text/event-stream\r\n{last}\r\n",
            at.port()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut line = BufReader::new(stream);
        let head = head(&mut line).await?;
        let is_stream = head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream");
        anyhow::ensure!(is_stream, "no stream: {head}");
        Ok(Ear { line })
    }

    /// The next event; nothing at the end of the stream.
    ///
    /// # Errors
    /// When nothing comes in time, or the line breaks.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Event>> {
        let reading = self.read();
        timeout(within, reading)
            .await
            .with_context(|| format!("nothing in {within:?}"))?
    }

    async fn read(&mut self) -> Result<Option<Event>> {
        let mut event = Event::default();
        loop {
            let mut text = String::new();
            if self.line.read_line(&mut text).await? == 0 {
                return Ok(None);
            }
            let text = text.trim_end_matches(['\r', '\n']);
            match text.split_once(": ") {
                Some(("id", it)) => event.id = it.to_owned(),
                Some(("event", it)) => event.kind = it.to_owned(),
                Some(("data", it)) => event.data = it.to_owned(),
                // Lengths of chunks are no lines of the stream.
                _ if text == "0" => return Ok(None),
                _ if text.is_empty() && !event.data.is_empty() => return Ok(Some(event)),
                _ => {}
            }
        }
    }

    /// Events until one is as wanted.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn until(
        &mut self,
        within: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        let found = async {
            loop {
                match self.read().await? {
                    Some(event) if wanted(&event) => return Ok(event),
                    Some(_) => {}
                    None => anyhow::bail!("the stream ended"),
                }
            }
        };
        timeout(within, found).await.context("in vain")?
    }
}

async fn head(line: &mut BufReader<TlsStream<TcpStream>>) -> Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = timeout(Duration::from_secs(20), line.read_line(&mut head));
        anyhow::ensure!(read.await?? > 0, "half a head: {head}");
    }
    Ok(head.to_lowercase().replacen("http/1.1", "HTTP/1.1", 1))
}

/// Sends a message under an id, as the page's script does.
///
/// # Errors
/// When there is no answer in time.
pub async fn send(
    ca: &Path,
    at: SocketAddr,
    path: &str,
    (id, text): (&str, &str),
) -> Result<(u16, Value)> {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("id", id), ("text", text), ("lang", "en")])
        .finish();
    ask(ca, at, &format!("POST {path}"), &body).await
}

/// Asks once what is new, without waiting, or as long as the node waits with it.
///
/// # Errors
/// When there is no answer in time.
pub async fn poll(ca: &Path, at: SocketAddr, path: &str) -> Result<(u16, Value)> {
    ask(ca, at, &format!("GET {path}"), "").await
}

async fn ask(ca: &Path, at: SocketAddr, what: &str, body: &str) -> Result<(u16, Value)> {
    let mut stream = attacker::tls(ca, Ipv4Addr::LOCALHOST, at, "http/1.1").await?;
    let request = format!(
        "{what} HTTP/1.1\r\nhost: localhost:{}\r\naccept: application/json\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        at.port(),
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = BufReader::new(stream);
    let asked = async {
        let head = head(&mut line).await?;
        let mut answer = Vec::new();
        // A peer that closes without saying so has said everything all the same.
        let _ended = line.read_to_end(&mut answer).await;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let value = serde_json::from_slice(&answer).unwrap_or(Value::Null);
        Ok::<_, anyhow::Error>((status, value))
    };
    timeout(Duration::from_secs(40), asked).await?
}
