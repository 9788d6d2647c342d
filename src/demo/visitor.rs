//! A customer of the demo with an ordinary browser: real HTTPS, checked certificates, no JavaScript. Reads the form as
//! a browser would, fills it in, follows where it leads, and reads the code off the page.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, HOST, LOCATION};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::clock;
use crate::model::words::TicketCode;
use crate::tls::outgoing;

/// The longest that a customer waits for a page.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a person takes to fill in a form: what is faster looks like a robot and is put aside.
const TYPING: Duration = Duration::from_millis(2_500);

/// A customer's browser.
pub(super) struct Visitor {
    trust: TlsConnector,
}

/// A form as a browser holds it, before it is filled in.
pub(super) struct Form {
    opened: Instant,
    action: String,
    hidden: Vec<(String, String)>,
}

/// A page that was read.
pub(super) struct Seen {
    pub status: StatusCode,
    pub location: Option<String>,
    pub text: String,
}

/// What the page said after a message was sent.
#[derive(Debug, Clone)]
pub(super) struct Receipt {
    /// The code to read out on the phone.
    pub ticket: TicketCode,
    /// "safely stored" or "held here", in the page's words.
    pub said: String,
    /// Only this node has it.
    pub held: bool,
    /// From pressing Send to reading this.
    pub took: Duration,
}

impl Visitor {
    /// A browser that trusts the authority in `ca`.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn new(ca: &Path) -> anyhow::Result<Visitor> {
        let trust =
            outgoing::connector(Some(ca)).context("cannot trust the demo's certificates")?;
        Ok(Visitor { trust })
    }

    /// Reads the page to write on and finds its form.
    ///
    /// # Errors
    /// When there is no page or no form.
    pub async fn open_form(&self, at: SocketAddr) -> anyhow::Result<Form> {
        let page = self.get(at, "/write?lang=en").await?;
        anyhow::ensure!(
            page.status.is_success(),
            "the page to write on answers {}",
            page.status
        );
        form_of(&page.text, "/write").context("the page to write on has no form")
    }

    /// Fills in a form as a person does, sends it, and reads what the page says.
    ///
    /// # Errors
    /// When the message was not taken.
    pub async fn send(
        &self,
        at: SocketAddr,
        form: &Form,
        contact: &str,
        text: &str,
    ) -> anyhow::Result<Receipt> {
        tokio::time::sleep_until(form.opened + TYPING).await;
        let began = clock::monotonic();
        let typed = [
            ("contact", contact),
            ("text", text),
            ("reference", "example.test"),
            ("website", ""),
        ];
        let answer = self.post(at, form, &typed).await?;
        let path = moved_to(&answer)
            .with_context(|| format!("the message was not taken: {}", answer.status))?;
        let receipt = self.receipt(at, &path).await?;
        Ok(Receipt {
            took: began.elapsed(),
            ..receipt
        })
    }

    /// Comes back with the code that was read off the page.
    ///
    /// # Errors
    /// When the node does not know it.
    pub async fn come_back(
        &self,
        at: SocketAddr,
        ticket: &TicketCode,
        contact: &str,
    ) -> anyhow::Result<Seen> {
        let page = self.get(at, "/ticket").await?;
        let form = form_of(&page.text, "/ticket").context("there is no form for a code")?;
        let typed = [("code", ticket.as_str()), ("contact", contact)];
        let answer = self.post(at, &form, &typed).await?;
        let path = moved_to(&answer).context("the code is not known")?;
        self.get(at, &path).await
    }

    async fn receipt(&self, at: SocketAddr, path: &str) -> anyhow::Result<Receipt> {
        let page = self.get(at, path).await?;
        let code =
            between(&page.text, "class=\"code\"", "</p>").context("the page shows no code")?;
        let code = code.split_once('>').map_or("", |(_, code)| code.trim());
        let heading = between(&page.text, "<h1>", "</h1>").unwrap_or_default();
        Ok(Receipt {
            ticket: TicketCode::new(code).context("the page shows a code that is none")?,
            said: without_tags(&heading),
            held: without_tags(&heading).contains("held"),
            took: Duration::ZERO,
        })
    }

    /// Reads a page.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, at: SocketAddr, path: &str) -> anyhow::Result<Seen> {
        self.ask(at, Method::GET, path, String::new()).await
    }

    async fn post(
        &self,
        at: SocketAddr,
        form: &Form,
        typed: &[(&str, &str)],
    ) -> anyhow::Result<Seen> {
        let hidden = form
            .hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let fields = hidden.chain(typed.iter().copied());
        let body: Vec<String> = fields
            .map(|(name, value)| format!("{name}={}", percent(value)))
            .collect();
        self.ask(at, Method::POST, &form.action, body.join("&"))
            .await
    }

    async fn ask(
        &self,
        at: SocketAddr,
        method: Method,
        path: &str,
        body: String,
    ) -> anyhow::Result<Seen> {
        let asked = async {
            let stream = TcpStream::connect(at).await.context("nobody answers")?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").context("localhost is a name")?;
            let stream = self
                .trust
                .connect(name, stream)
                .await
                .context("no encryption")?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // Ends with the connection, which ends with this request.
            tokio::spawn(connection);
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(HOST, format!("localhost:{}", at.port()))
                .header(ACCEPT_LANGUAGE, "en")
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Full::new(Bytes::from(body)))?;
            let answer = sender.send_request(request).await.context("no answer")?;
            let status = answer.status();
            let location = answer
                .headers()
                .get(LOCATION)
                .and_then(|it| it.to_str().ok());
            let location = location.map(str::to_owned);
            let bytes = answer
                .into_body()
                .collect()
                .await
                .context("half an answer")?
                .to_bytes();
            Ok(Seen {
                status,
                location,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })
        };
        timeout(PATIENCE, asked).await.context("no page in time")?
    }
}

fn moved_to(answer: &Seen) -> Option<String> {
    (answer.status == StatusCode::SEE_OTHER)
        .then(|| answer.location.clone())
        .flatten()
}

/// The form that is sent to `action`, with its hidden fields.
fn form_of(page: &str, action: &str) -> Option<Form> {
    let forms = page.split("<form").skip(1);
    let forms = forms.filter_map(|rest| rest.split("</form>").next());
    // The last one: a page may have a short form of the same kind in its foot or head.
    let form = forms
        .filter(|form| form.contains(&format!("action=\"{action}\"")))
        .max_by_key(|form| form.len())?;
    let inputs = form
        .split("<input")
        .skip(1)
        .filter_map(|rest| rest.split('>').next());
    let hidden = inputs
        .filter(|input| input.contains("type=\"hidden\""))
        .filter_map(|input| {
            let name = between(input, "name=\"", "\"")?;
            let value = between(input, "value=\"", "\"").unwrap_or_default();
            Some((name, unescaped(&value)))
        });
    Some(Form {
        opened: clock::monotonic(),
        action: action.to_owned(),
        hidden: hidden.collect(),
    })
}

fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0.to_owned())
}

fn without_tags(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for letter in html.chars() {
        match letter {
            '<' => inside = true,
            '>' => inside = false,
            other if !inside => text.push(other),
            _ => {}
        }
    }
    unescaped(
        text.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .as_str(),
    )
}

fn unescaped(text: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(text.to_owned(), |text, (entity, letter)| {
            text.replace(entity, letter)
        })
}

/// As a form sends it.
fn percent(text: &str) -> String {
    let mut sent = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                sent.push(char::from(byte))
            }
            b' ' => sent.push('+'),
            other => sent.push_str(&format!("%{other:02X}")),
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_and_filled_in_as_a_browser_does() {
        let page = "<form action=\"/ticket\"><input name=\"code\"></form><form method=\"post\" action=\"/write\">\
            <input type=\"hidden\" name=\"token\" value=\"a&amp;b\"><input id=\"x\" name=\"contact\"></form>";
        let form = form_of(page, "/write").unwrap();
        assert_eq!(form.hidden, [("token".to_owned(), "a&b".to_owned())]);
        assert!(form_of(page, "/nowhere").is_none());
        assert_eq!(percent("a b+\u{e1}"), "a+b%2B%C3%A1");
        assert_eq!(
            without_tags("<svg></svg>\n <span>Safely  stored</span>"),
            "Safely stored"
        );
    }
}
