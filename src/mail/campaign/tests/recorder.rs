//! A relay on a real socket that writes down every final dot it was sent, and does to each recipient what the test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What is done to one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Take,
    /// 550 to RCPT.
    Refuse,
    /// 450 to RCPT.
    Later,
    /// Takes it and hangs up without a word (RFC 1047).
    TakeAndLeave,
    /// 421 to RCPT, and hangs up.
    Close,
}

/// What to do with the mail to somebody, the `n`th time from 0.
pub(super) type Plan = Arc<dyn Fn(&str, u32) -> Does + Send + Sync>;

#[derive(Default)]
struct Taken {
    /// The bytes of every mail taken, by recipient.
    mails: BTreeMap<String, Vec<String>>,
    tries: BTreeMap<String, u32>,
    connections: u32,
}

/// The relay.
#[derive(Clone)]
pub(super) struct Recorder {
    pub(super) port: u16,
    taken: Arc<Mutex<Taken>>,
}

impl Recorder {
    pub(super) async fn begin(plan: Plan, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(Taken::default()));
        let recorder = Self { port, taken };
        let kept = recorder.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (kept, plan) = (kept.clone(), plan.clone());
                kept.lock(|it| it.connections += 1);
                tokio::spawn(async move { kept.serve(tcp, plan, pause).await });
            }
        });
        recorder
    }

    fn lock<T>(&self, work: impl FnOnce(&mut Taken) -> T) -> T {
        work(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Final dots that were taken.
    pub(super) fn dots(&self) -> usize {
        self.lock(|it| it.mails.values().map(Vec::len).sum())
    }

    pub(super) fn mails(&self) -> BTreeMap<String, Vec<String>> {
        self.lock(|it| it.mails.clone())
    }

    pub(super) fn connections(&self) -> u32 {
        self.lock(|it| it.connections)
    }

    async fn serve(&self, tcp: TcpStream, plan: Plan, pause: Duration) -> Option<()> {
        tcp.set_nodelay(true).ok()?;
        let mut stream = BufReader::new(tcp);
        let (mut line, mut to, mut does) = (String::new(), String::new(), Does::Take);
        say(&mut stream, "220 recorder ESMTP").await?;
        loop {
            line.clear();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            match line.split([' ', ':', '\r']).next().unwrap_or_default() {
                "EHLO" => say(&mut stream, "250-recorder\r\n250 PIPELINING").await?,
                "RCPT" => {
                    let (_, rest) = line.split_once('<')?;
                    to = rest.split('>').next()?.to_owned();
                    let tries = self.lock(|it| {
                        let tries = it.tries.entry(to.clone()).or_default();
                        *tries += 1;
                        *tries - 1
                    });
                    does = plan(&to, tries);
                    match does {
                        Does::Refuse => say(&mut stream, "550 5.1.1 no such user").await?,
                        Does::Later => say(&mut stream, "450 4.2.0 later").await?,
                        Does::Close => {
                            say(&mut stream, "421 4.7.0 closing").await?;
                            return None;
                        }
                        Does::Take | Does::TakeAndLeave => say(&mut stream, "250 ok").await?,
                    }
                }
                "DATA" if matches!(does, Does::Take | Does::TakeAndLeave) => {
                    say(&mut stream, "354 go on").await?;
                    let mut mail = String::new();
                    loop {
                        line.clear();
                        if stream.read_line(&mut line).await.ok()? == 0 {
                            return None;
                        }
                        if line == ".\r\n" {
                            break;
                        }
                        mail.push_str(&line);
                    }
                    // waits because a real relay takes its time, and the gate must hold meanwhile
                    tokio::time::sleep(pause).await;
                    self.lock(|it| it.mails.entry(to.clone()).or_default().push(mail));
                    if does == Does::TakeAndLeave {
                        return None;
                    }
                    say(&mut stream, "250 taken").await?;
                }
                "DATA" => say(&mut stream, "503 no recipient").await?,
                "QUIT" => return say(&mut stream, "221 bye").await,
                _ => say(&mut stream, "250 ok").await?,
            }
        }
    }
}

async fn say(stream: &mut BufReader<TcpStream>, text: &str) -> Option<()> {
    stream
        .get_mut()
        .write_all(format!("{text}\r\n").as_bytes())
        .await
        .ok()
}
