//! A relay that writes down every final dot it was sent, with recipient, Message-ID and a hash of the bytes, and is as
//! difficult as the recipient's name says: `no` is refused, `later` is put off once, `bye` has the connection closed,
//! `gap` is taken without an answer, once.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One mail that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub message_id: String,
    pub hash: Vec<u8>,
}

#[derive(Default)]
struct Book {
    taken: BTreeMap<String, Vec<Taken>>,
    senders: BTreeMap<String, String>,
    last: BTreeMap<String, String>,
    whole: Vec<(String, String)>,
    tries: BTreeMap<String, u32>,
    dots: usize,
}

/// The relay.
#[derive(Clone)]
pub struct Recorder {
    pub at: SocketAddr,
    book: Arc<Mutex<Book>>,
}

impl Recorder {
    /// Begins to listen; each mail takes `pause` before it is answered.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn begin(pause: Duration) -> Result<Recorder> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let recorder = Recorder {
            at: listener.local_addr()?,
            book: Arc::default(),
        };
        let kept = recorder.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move { kept.serve(tcp, pause).await });
            }
        });
        Ok(recorder)
    }

    fn book<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        work(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Final dots so far.
    pub fn dots(&self) -> usize {
        self.book(|it| it.dots)
    }

    /// Everything taken, by recipient.
    pub fn taken(&self) -> BTreeMap<String, Vec<Taken>> {
        self.book(|it| it.taken.clone())
    }

    /// The return path of what each recipient was sent last.
    pub fn senders(&self) -> BTreeMap<String, String> {
        self.book(|it| it.senders.clone())
    }

    /// What each recipient was sent last.
    pub fn last(&self) -> BTreeMap<String, String> {
        self.book(|it| it.last.clone())
    }

    /// The newest mail to a recipient that says something.
    pub fn saying(&self, to: &str, word: &str) -> Option<String> {
        self.book(|it| {
            let mut all = it.whole.iter().rev();
            let found = all.find(|(whose, mail)| whose == to && mail.contains(word));
            found.map(|it| it.1.clone())
        })
    }

    async fn serve(&self, tcp: TcpStream, pause: Duration) -> Option<()> {
        tcp.set_nodelay(true).ok()?;
        let mut stream = BufReader::new(tcp);
        let (mut line, mut to, mut first, mut takes) = (String::new(), String::new(), true, false);
        let mut from = String::new();
        say(&mut stream, "220 recorder ESMTP").await?;
        loop {
            line.clear();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            match line.split([' ', ':', '\r']).next().unwrap_or_default() {
                "EHLO" => {
                    say(
                        &mut stream,
                        "250-recorder\r\n250-8BITMIME\r\n250 PIPELINING",
                    )
                    .await?
                }
                "MAIL" => {
                    from = line.split_once('<')?.1.split('>').next()?.to_owned();
                    say(&mut stream, "250 2.1.0 ok").await?;
                }
                "RCPT" => {
                    to = line.split_once('<')?.1.split('>').next()?.to_owned();
                    let tries = self.book(|it| {
                        it.senders.insert(to.clone(), from.clone());
                        let tries = it.tries.entry(to.clone()).or_default();
                        *tries += 1;
                        *tries
                    });
                    first = tries == 1;
                    let kind = to.trim_start_matches(|it: char| it.is_ascii_digit());
                    takes = false;
                    if kind.starts_with("no@") {
                        say(&mut stream, "550 5.1.1 no such user").await?;
                    } else if kind.starts_with("later@") && first {
                        say(&mut stream, "451 4.7.1 try again").await?;
                    } else if kind.starts_with("bye@") && first {
                        say(&mut stream, "421 4.7.0 too many messages").await?;
                        return None;
                    } else {
                        takes = true;
                        say(&mut stream, "250 2.1.5 ok").await?;
                    }
                }
                "DATA" if takes => {
                    say(&mut stream, "354 go on").await?;
                    let mail = message(&mut stream).await?;
                    // waits because a real relay takes its time, so that a kill finds mails on the wire
                    tokio::time::sleep(pause).await;
                    self.write_down(&to, &mail);
                    if to.contains("gap@") && first {
                        return None;
                    }
                    say(&mut stream, "250 2.0.0 taken").await?;
                }
                "DATA" => say(&mut stream, "503 5.5.1 no recipient").await?,
                "QUIT" => return say(&mut stream, "221 2.0.0 bye").await,
                _ => say(&mut stream, "250 2.0.0 ok").await?,
            }
        }
    }

    fn write_down(&self, to: &str, mail: &str) {
        let id = mail.lines().find_map(|it| it.strip_prefix("Message-ID: "));
        let taken = Taken {
            message_id: id.unwrap_or_default().to_owned(),
            hash: Sha256::digest(mail).to_vec(),
        };
        self.book(|it| {
            it.dots += 1;
            it.last.insert(to.to_owned(), mail.to_owned());
            it.whole.push((to.to_owned(), mail.to_owned()));
            it.taken.entry(to.to_owned()).or_default().push(taken);
        });
    }
}

async fn message(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut mail, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            return Some(mail);
        }
        mail.push_str(&line);
    }
}

async fn say(stream: &mut BufReader<TcpStream>, text: &str) -> Option<()> {
    let line = format!("{text}\r\n");
    stream.get_mut().write_all(line.as_bytes()).await.ok()
}
