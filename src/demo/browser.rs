//! A customer's browser, as the demo and the tests of real nodes use it: real HTTPS with checked certificates, one
//! connection kept open, no JavaScript. Any node can be asked; one that broke is opened anew by the next request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::tls::outgoing;

/// The longest that a customer waits for a page.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser with at most one open connection. A clone begins with none.
pub struct Browser {
    trust: TlsConnector,
    open: Option<(SocketAddr, SendRequest<Full<Bytes>>)>,
    cookies: BTreeMap<String, String>,
}

/// A page that was read.
#[derive(Debug)]
pub struct Page {
    /// Whether it is what was asked for.
    pub status: StatusCode,
    /// Where the browser is sent on to.
    pub location: Option<String>,
    /// What it says, as HTML.
    pub text: String,
    /// The same as it came.
    pub bytes: Bytes,
}

/// A form as a browser holds it: where it goes, and its hidden fields.
#[derive(Debug, Clone)]
pub struct Form {
    action: String,
    hidden: Vec<(String, String)>,
}

impl Clone for Browser {
    fn clone(&self) -> Browser {
        Browser {
            trust: self.trust.clone(),
            open: None,
            cookies: self.cookies.clone(),
        }
    }
}

impl Browser {
    /// A browser that trusts the authority in `ca`.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn new(ca: &Path) -> Result<Browser> {
        let trust = outgoing::connector(Some(ca)).context("cannot trust the certificate")?;
        Ok(Browser {
            trust,
            open: None,
            cookies: BTreeMap::new(),
        })
    }

    /// The value of a cookie that it keeps.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// Reads a page.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn get(&mut self, at: SocketAddr, path: &str) -> Result<Page> {
        let nothing = ("application/x-www-form-urlencoded", Bytes::new());
        self.ask(at, Method::GET, path, nothing).await
    }

    /// Reads a page that must be there.
    ///
    /// # Errors
    /// When it is not, or is no success.
    pub async fn read(&mut self, at: SocketAddr, path: &str) -> Result<String> {
        let page = self.get(at, path).await?;
        anyhow::ensure!(page.status.is_success(), "{path} answers {}", page.status);
        Ok(page.text)
    }

    /// Opens the form for a new message.
    ///
    /// # Errors
    /// When there is no page or no form on it.
    pub async fn form(&mut self, at: SocketAddr) -> Result<Form> {
        let text = self.read(at, "/write?lang=en").await?;
        Form::of(&text, "/write").context("the page to write on has no form")
    }

    /// Sends a form with what was typed into it.
    ///
    /// # Errors
    /// When there is no whole answer in time: nobody knows then whether it was taken.
    pub async fn send(
        &mut self,
        at: SocketAddr,
        form: &Form,
        typed: &[(&str, &str)],
    ) -> Result<Page> {
        let hidden = form
            .hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(hidden.chain(typed.iter().copied()))
            .finish();
        let kind = "application/x-www-form-urlencoded";
        let body = (kind, body.into());
        self.ask(at, Method::POST, &form.action, body).await
    }

    /// The same with files, each with its name.
    ///
    /// # Errors
    /// As of [`Self::send`].
    pub async fn send_files(
        &mut self,
        at: SocketAddr,
        form: &Form,
        typed: &[(&str, &str)],
        files: &[(&str, &[u8])],
    ) -> Result<Page> {
        let hidden = form.hidden.iter();
        let hidden = hidden.map(|(name, value)| (name.as_str(), value.as_str()));
        let mut body = Vec::new();
        let head = |name: &str, file: &str| {
            format!(
                "--lifeboat-form\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
            )
        };
        for (name, value) in hidden.chain(typed.iter().copied()) {
            body.extend(head(name, "").into_bytes());
            body.extend_from_slice(value.as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        for (name, bytes) in files {
            let file = format!("; filename=\"{name}\"");
            body.extend(head("file", &file).into_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--lifeboat-form--\r\n");
        let body = ("multipart/form-data; boundary=lifeboat-form", body.into());
        self.ask(at, Method::POST, &form.action, body).await
    }

    async fn ask(
        &mut self,
        at: SocketAddr,
        method: Method,
        path: &str,
        body: (&str, Bytes),
    ) -> Result<Page> {
        let answered = timeout(PATIENCE, self.try_asking(at, method, path, body)).await;
        let page = answered.unwrap_or_else(|_| Err(anyhow::anyhow!("no page in time")));
        if page.is_err() {
            self.open = None;
        }
        page
    }

    async fn try_asking(
        &mut self,
        at: SocketAddr,
        method: Method,
        path: &str,
        (kind, body): (&str, Bytes),
    ) -> Result<Page> {
        let mut sender = self.connection(at).await?;
        let mut request = Request::builder().method(method).uri(path);
        if !self.cookies.is_empty() {
            let pairs = self.cookies.iter();
            let pairs: Vec<String> = pairs
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        let request = request
            .header(HOST, format!("localhost:{}", at.port()))
            .header(ACCEPT_LANGUAGE, "en")
            .header(CONTENT_TYPE, kind)
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await.context("no answer")?;
        let status = answer.status();
        // All nodes are "localhost" here, and cookies know no ports (RFC 6265 section 8.5).
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|it| it.split(';').next());
            if let Some((name, value)) = pair.and_then(|it| it.split_once('=')) {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = answer.headers().get(LOCATION);
        let location = location.and_then(|it| it.to_str().ok()).map(str::to_owned);
        let body = answer
            .into_body()
            .collect()
            .await
            .context("half an answer")?;
        self.open = Some((at, sender));
        let bytes = body.to_bytes();
        Ok(Page {
            status,
            location,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        })
    }

    /// The open connection to this node if it still is one, or a new one.
    async fn connection(&mut self, at: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
        if let Some((where_to, mut sender)) = self.open.take()
            && where_to == at
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let stream = TcpStream::connect(at).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").context("localhost is a name")?;
        let stream = self
            .trust
            .connect(name, stream)
            .await
            .context("no encryption")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .context("no handshake")?;
        // Ends with the connection.
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Page {
    /// Where the browser is sent on to after a form was taken.
    ///
    /// # Errors
    /// When it was not taken.
    pub fn taken(&self) -> Result<&str> {
        anyhow::ensure!(
            self.status == StatusCode::SEE_OTHER,
            "the form was not taken: {} {}",
            self.status,
            heading(&self.text)
        );
        self.location.as_deref().context("the answer leads nowhere")
    }
}

impl Form {
    /// The form of a page that goes to `action`.
    pub fn of(page: &str, action: &str) -> Option<Form> {
        let forms = page.split("<form").skip(1);
        let forms = forms.filter_map(|rest| rest.split("</form>").next());
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
                let value = between(input, "value=\"", "\"").unwrap_or_default();
                Some((between(input, "name=\"", "\"")?, unescaped(&value)))
            });
        Some(Form {
            action: action.to_owned(),
            hidden: hidden.collect(),
        })
    }
}

/// What the page says in its first heading.
pub fn heading(page: &str) -> String {
    without_tags(&between(page, "<h1>", "</h1>").unwrap_or_default())
}

/// The ticket code on a conversation's page.
pub fn ticket(page: &str) -> Option<String> {
    let code = between(page, "class=\"code\"", "</p>")?;
    Some(code.split_once('>')?.1.trim().to_owned())
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
    let words: Vec<&str> = text.split_whitespace().collect();
    unescaped(&words.join(" "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_a_browser_does() {
        let page = "<form action=\"/ticket\"><input name=\"code\"></form><form method=\"post\" action=\"/write\">\
            <input type=\"hidden\" name=\"token\" value=\"a&amp;b\"><input id=\"x\" name=\"contact\"></form>\
            <h1><svg></svg>\n <span>Safely  stored</span></h1><p class=\"code\" id=\"k\"> K7F-Q2M-9XF </p>";
        let form = Form::of(page, "/write").unwrap();
        assert_eq!(form.hidden, [("token".to_owned(), "a&b".to_owned())]);
        assert!(Form::of(page, "/nowhere").is_none());
        assert_eq!(heading(page), "Safely stored");
        assert_eq!(ticket(page).as_deref(), Some("K7F-Q2M-9XF"));
    }
}
