//! The demo's mailbox: a small real SMTP server that takes mail for anybody and keeps each message as a file, and a
//! page to read them on. A message is on disk before it is accepted. Runs as a process of its own.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::durable;
use crate::model::limits::{SINK_LINE_BYTES_MAX, SINK_MESSAGE_BYTES_MAX};

use super::http::{self, Page, escaped};
use super::letter::Read;

/// A message as the list shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// The file's name in the mailbox's folder.
    pub file: String,
    /// Envelope recipients.
    pub to: String,
    /// The From header.
    pub from: String,
    /// The Reply-To header.
    pub reply_to: String,
    /// The subject.
    pub subject: String,
    /// The Message-ID, equal for copies of one message.
    pub message_id: String,
    /// The text.
    pub text: String,
}

/// Takes mail on `smtp` into `folder` and shows it on `web`. Runs until dropped.
///
/// # Errors
/// When an address cannot be listened on or the folder cannot be made.
pub async fn run(smtp: SocketAddr, web: SocketAddr, folder: PathBuf) -> anyhow::Result<()> {
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the mailbox {}", folder.display()))?;
    let mail = TcpListener::bind(smtp).await;
    let mail = mail.with_context(|| format!("cannot take mail on {smtp}"))?;
    let pages = TcpListener::bind(web).await;
    let pages = pages.with_context(|| format!("cannot show mail on {web}"))?;
    let count = kept(&folder).len() as u64;
    let mailbox = Arc::new(Mailbox {
        folder: folder.clone(),
        count: AtomicU64::new(count),
    });
    tokio::select! {
        never = http::serve(pages, move |path| show(&folder, path)) => match never {},
        () = take(mail, mailbox) => Ok(()),
    }
}

/// Every message in the mailbox, oldest first.
pub fn kept(folder: &Path) -> Vec<Kept> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .map(|it| it.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|it| it.ends_with(".eml")).collect();
    names.sort();
    names
        .into_iter()
        .filter_map(|file| read(folder, file))
        .collect()
}

fn read(folder: &Path, file: String) -> Option<Kept> {
    let bytes = std::fs::read(folder.join(&file)).ok()?;
    let mail = Read::of(&bytes);
    Some(Kept {
        file,
        to: mail.header("X-Envelope-To"),
        from: mail.header("From"),
        reply_to: mail.header("Reply-To"),
        subject: mail.header("Subject"),
        message_id: mail.header("Message-ID"),
        text: mail.text,
    })
}

fn show(folder: &Path, path: &str) -> Page {
    match path {
        "/" => Page::html(list(&kept(folder))),
        "/messages.json" => Page {
            media: "application/json",
            ..Page::html(serde_json::to_string(&kept(folder)).unwrap_or_default())
        },
        other => {
            let name = other.strip_prefix("/mail/").unwrap_or_default();
            let plain = name
                .bytes()
                .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'.');
            if !plain || !name.ends_with(".eml") {
                return Page::missing();
            }
            match std::fs::read(folder.join(name)) {
                Ok(bytes) => Page {
                    media: "text/plain; charset=utf-8",
                    ..Page::html(String::from_utf8_lossy(&bytes).into_owned())
                },
                Err(_) => Page::missing(),
            }
        }
    }
}

fn list(mails: &[Kept]) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Mailbox</title><style>\
         body{font:17px/1.5 system-ui,sans-serif;max-width:44em;margin:1.5em auto;padding:0 1em;color:#14171a}\
         article{border-top:1px solid #ccc;padding:1em 0}pre{white-space:pre-wrap;font:15px/1.5 inherit;margin:.5em 0}\
         h2{font-size:1em;margin:0}p{margin:0;font-size:15px}\
         @media(prefers-color-scheme:dark){body{background:#101418;color:#e8eaed}a{color:#8ab8f0}}</style>\
         <h1>Mailbox</h1><p>Everything the demo's nodes have sent, newest first. Reload to look again.</p>",
    );
    if mails.is_empty() {
        page.push_str("<p>No mail yet.</p>");
    }
    for mail in mails.iter().rev() {
        page.push_str(&format!(
            "<article><h2>{}</h2><p>from {} to {} &middot; <a href=\"/mail/{}\">as it came</a></p><pre>{}</pre></article>",
            escaped(&mail.subject),
            escaped(&mail.from),
            escaped(&mail.to),
            escaped(&mail.file),
            escaped(&mail.text),
        ));
    }
    page
}

struct Mailbox {
    folder: PathBuf,
    count: AtomicU64,
}

async fn take(listener: TcpListener, mailbox: Arc<Mailbox>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let mailbox = mailbox.clone();
        // One connection; its end or panic is its own.
        tokio::spawn(async move {
            // A sender that hangs up in the middle sends again, as mail does.
            let _ = Session::new(stream, mailbox).run().await;
        });
    }
}

/// One SMTP session (RFC 5321).
struct Session {
    stream: BufReader<TcpStream>,
    mailbox: Arc<Mailbox>,
    from: Option<String>,
    to: Vec<String>,
}

impl Session {
    fn new(stream: TcpStream, mailbox: Arc<Mailbox>) -> Session {
        Session {
            stream: BufReader::new(stream),
            mailbox,
            from: None,
            to: Vec::new(),
        }
    }

    async fn run(mut self) -> io::Result<()> {
        self.stream.get_ref().set_nodelay(true)?;
        self.say("220 sink.example.test ESMTP").await?;
        while let Some(line) = self.line().await? {
            let line = String::from_utf8_lossy(&line).into_owned();
            let word = line
                .split([' ', ':'])
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase();
            match word.as_str() {
                "EHLO" => self.say("250-sink.example.test\r\n250-SIZE 10485760\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING").await?,
                "HELO" => self.say("250 sink.example.test").await?,
                "MAIL" => {
                    self.from = Some(address(&line));
                    self.to.clear();
                    self.say("250 2.1.0 go on").await?;
                }
                "RCPT" if self.from.is_none() => self.say("503 5.5.1 MAIL first").await?,
                "RCPT" if self.to.len() >= 100 => self.say("452 4.5.3 too many recipients").await?,
                "RCPT" => {
                    self.to.push(address(&line));
                    self.say("250 2.1.5 go on").await?;
                }
                "DATA" if self.to.is_empty() => self.say("503 5.5.1 RCPT first").await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    (self.from, self.to) = (None, Vec::new());
                    self.say("250 2.0.0 forgotten").await?;
                }
                "NOOP" => self.say("250 2.0.0 here").await?,
                "QUIT" => return self.say("221 2.0.0 goodbye").await,
                _ => self.say("500 5.5.2 not understood").await?,
            }
        }
        Ok(())
    }

    async fn data(&mut self) -> io::Result<()> {
        self.say("354 end with a dot").await?;
        let mut message = Vec::new();
        loop {
            let Some(line) = self.line().await? else {
                return Ok(());
            };
            if line == b"." {
                break;
            }
            let line = line.strip_prefix(b".").unwrap_or(&line);
            if message.len() + line.len() > SINK_MESSAGE_BYTES_MAX {
                return self.say("552 5.3.4 too large").await;
            }
            message.extend_from_slice(line);
            message.extend_from_slice(b"\r\n");
        }
        let from = self.from.take().unwrap_or_default();
        let to = std::mem::take(&mut self.to).join(", ");
        let mut whole = format!("X-Envelope-From: {from}\r\nX-Envelope-To: {to}\r\n").into_bytes();
        whole.extend_from_slice(&message);
        let number = self.mailbox.count.fetch_add(1, Ordering::SeqCst) + 1;
        let path = self.mailbox.folder.join(format!("{number:06}.eml"));
        let written =
            tokio::task::spawn_blocking(move || durable::write_durably(&path, &whole)).await;
        match written {
            Ok(Ok(())) => self.say(&format!("250 2.0.0 kept as {number:06}")).await,
            Ok(Err(_)) | Err(_) => self.say("452 4.3.1 cannot keep it").await,
        }
    }

    /// One line without its end; nothing at the end of the session or when a line is too long.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let most = SINK_LINE_BYTES_MAX;
        (&mut self.stream)
            .take(most)
            .read_until(b'\n', &mut line)
            .await?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream
            .write_all(format!("{line}\r\n").as_bytes())
            .await
    }
}

/// What stands between the angle brackets.
fn address(line: &str) -> String {
    let start = line.find('<').map_or(line.len(), |at| at + 1);
    let rest = &line[start..];
    rest[..rest.find('>').unwrap_or(rest.len())].to_owned()
}

#[cfg(test)]
mod tests;
