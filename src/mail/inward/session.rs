//! What a mail server says to us and what it is answered (RFC 5321). It is told 250 after a message only once the message
//! is stored; whatever else happens it keeps its copy and comes again. VRFY and EXPN are refused, and nothing is relayed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use super::counted::Counted;
use super::doorman::{Doorman, Refused, Whom};
use super::places::{Places, Room};
use super::wire::{NoLine, NoMessage, Took, Wire};
use crate::model::limits::{
    MAIL_IN_RECIPIENTS, SMTP_COMMAND_BUSY_MS, SMTP_COMMAND_MS, SMTP_COMMANDS_MAX,
    SMTP_MESSAGES_MAX, SMTP_MISTAKES_MAX,
};

/// A message as it came.
pub struct Arrived {
    /// The return path; nothing where it was empty.
    pub from: Option<String>,
    /// Whom it is for; at least one.
    pub to: Vec<Whom>,
    /// Where it came from.
    pub network: IpAddr,
    /// What the other server called itself.
    pub hello: String,
    /// Headers and body.
    pub bytes: Vec<u8>,
    /// Its part of the memory for messages, until it is stored.
    pub room: Room,
}

/// Stores a message, and says what the other server is told: one line that begins with a reply code.
pub type Take = Arc<dyn Fn(Arrived) -> BoxFuture<'static, String> + Send + Sync>;

/// What all sessions share.
pub struct House {
    /// Our name to mail servers.
    pub host: String,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Whom mail may be for.
    pub doorman: Doorman,
    /// Where messages go.
    pub take: Take,
    /// How many there may be.
    pub places: Arc<Places>,
    /// What is counted.
    pub counted: Counted,
    /// STARTTLS can be offered.
    pub tls: bool,
}

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It is over.
    Over,
    /// The other server wants to go on encrypted.
    Tls,
}

/// One connection.
pub struct Session<'a> {
    house: &'a House,
    network: IpAddr,
    encrypted: bool,
    hello: Option<String>,
    from: Option<Option<String>>,
    to: Vec<Whom>,
    commands: usize,
    mistakes: usize,
    messages: usize,
}

/// What follows a command.
enum Step {
    Say(String),
    /// The same for what was wrong.
    No(&'static str),
    Data,
    Tls,
    Bye(&'static str),
}

impl<'a> Session<'a> {
    /// With whoever is at this address.
    pub fn new(house: &'a House, network: IpAddr) -> Self {
        Self {
            house,
            network,
            encrypted: false,
            hello: None,
            from: None,
            to: Vec::new(),
            commands: 0,
            mistakes: 0,
            messages: 0,
        }
    }

    /// Begins anew over TLS: everything that was said in the clear is forgotten (RFC 3207 section 4.2).
    pub fn is_encrypted(&mut self) {
        self.encrypted = true;
        self.hello = None;
        self.forget();
    }

    /// Speaks until the session is over or is to go on encrypted.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>) -> End {
        if !self.encrypted {
            let greeting = format!("220 {} ESMTP\r\n", self.house.host);
            if wire.say(&greeting).await.is_err() {
                return End::Over;
            }
        }
        loop {
            let step = match wire.line(self.patience()).await {
                Ok(line) => self.heard(&line),
                Err(NoLine::Gone) => return End::Over,
                Err(NoLine::Silent) => Step::Bye("421 4.4.2 Nothing was said for too long"),
                // What follows such a line cannot be told from commands.
                Err(NoLine::Bad) => Step::Bye("421 5.5.2 A line that ends in CRLF is wanted"),
            };
            let answer = match step {
                Step::Say(answer) => answer,
                Step::No(answer) => {
                    self.mistakes += 1;
                    if self.mistakes >= SMTP_MISTAKES_MAX {
                        return self.bye(wire, "421 4.7.0 Too many mistakes").await;
                    }
                    answer.to_owned()
                }
                Step::Data => match self.data(wire).await {
                    Ok(answer) => answer,
                    Err(answer) => return self.bye(wire, answer).await,
                },
                Step::Tls => {
                    return match wire.say("220 2.0.0 Go on encrypted\r\n").await {
                        Ok(()) => End::Tls,
                        Err(_) => End::Over,
                    };
                }
                Step::Bye(answer) => return self.bye(wire, answer).await,
            };
            if wire.say(&format!("{answer}\r\n")).await.is_err() {
                return End::Over;
            }
        }
    }

    async fn bye<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        wire: &mut Wire<S>,
        answer: &str,
    ) -> End {
        if !answer.is_empty() {
            // The other end may have gone.
            let _ = wire.say(&format!("{answer}\r\n")).await;
        }
        wire.end().await;
        End::Over
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(match self.house.places.is_busy() {
            true => SMTP_COMMAND_BUSY_MS,
            false => SMTP_COMMAND_MS,
        })
    }

    fn forget(&mut self) {
        self.from = None;
        self.to.clear();
    }

    fn heard(&mut self, line: &[u8]) -> Step {
        self.commands += 1;
        if self.commands > SMTP_COMMANDS_MAX {
            return Step::Bye("421 4.7.0 Too many commands over one connection");
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return Step::No("500 5.5.2 Not understood");
        };
        if !line.is_ascii() {
            // SMTPUTF8 is not offered.
            return Step::No("553 5.6.7 Addresses in ASCII are wanted");
        }
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.hello(rest, true),
            "HELO" => self.hello(rest, false),
            "STARTTLS" if self.house.tls && !self.encrypted && rest.is_empty() => Step::Tls,
            "STARTTLS" => Step::No("503 5.5.1 Not now"),
            "MAIL" => self.mail(rest),
            "RCPT" => self.rcpt(rest),
            "DATA" if !rest.is_empty() => Step::No("501 5.5.4 DATA alone is wanted"),
            "DATA" if self.to.is_empty() => {
                Step::No("503 5.5.1 A recipient that is taken is wanted first")
            }
            "DATA" => Step::Data,
            "RSET" => {
                self.forget();
                Step::Say("250 2.0.0 Forgotten".to_owned())
            }
            "NOOP" => Step::Say("250 2.0.0 Here".to_owned()),
            "QUIT" => Step::Bye("221 2.0.0 Goodbye"),
            "VRFY" | "EXPN" => Step::No("502 5.5.1 Nobody is told who is here"),
            "AUTH" => Step::No("503 5.5.1 Nobody signs in here"),
            _ => Step::No("500 5.5.1 Not understood"),
        }
    }

    fn hello(&mut self, name: &str, extended: bool) -> Step {
        if name.is_empty() {
            return Step::No("501 5.5.4 A name is wanted");
        }
        self.hello = Some(name.chars().take(255).collect());
        self.forget();
        let host = &self.house.host;
        if !extended {
            return Step::Say(format!("250 {host}"));
        }
        let tls = match self.house.tls && !self.encrypted {
            true => "250-STARTTLS\r\n",
            false => "",
        };
        Step::Say(format!(
            "250-{host}\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n{tls}250 SIZE {}",
            self.house.message_bytes
        ))
    }

    fn mail(&mut self, rest: &str) -> Step {
        if self.hello.is_none() {
            return Step::No("503 5.5.1 EHLO is wanted first");
        }
        if self.from.is_some() {
            return Step::No("503 5.5.1 A message has begun already");
        }
        if self.messages >= SMTP_MESSAGES_MAX {
            return Step::Bye("421 4.7.0 Too many messages over one connection");
        }
        let Some((path, parameters)) = path(rest, "FROM:") else {
            return Step::No("501 5.1.7 MAIL FROM:<address> is wanted");
        };
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (
                name.to_ascii_uppercase().as_str(),
                value.to_ascii_uppercase().as_str(),
            ) {
                ("BODY", "7BIT" | "8BITMIME") => {}
                ("SIZE", size) => match size.parse::<u64>() {
                    Ok(size) if size > self.house.message_bytes as u64 => {
                        return Step::No("552 5.3.4 The message is too large");
                    }
                    Ok(_) => {}
                    Err(_) => return Step::No("501 5.5.4 SIZE= and a number is wanted"),
                },
                _ => return Step::No("555 5.5.4 This parameter is not known"),
            }
        }
        self.from = Some((!path.is_empty()).then(|| path.to_owned()));
        Step::Say("250 2.1.0 Yes".to_owned())
    }

    fn rcpt(&mut self, rest: &str) -> Step {
        if self.from.is_none() {
            return Step::No("503 5.5.1 MAIL is wanted first");
        }
        if self.to.len() >= MAIL_IN_RECIPIENTS {
            return Step::Say("452 4.5.3 Too many recipients of one message".to_owned());
        }
        let Some((path, parameters)) = path(rest, "TO:") else {
            return Step::No("501 5.1.3 RCPT TO:<address> is wanted");
        };
        if !parameters.trim().is_empty() {
            return Step::No("555 5.5.4 This parameter is not known");
        }
        match self.house.doorman.recipient(path) {
            Ok(whom) => {
                if !self.to.contains(&whom) {
                    self.to.push(whom);
                }
                Step::Say("250 2.1.5 Yes".to_owned())
            }
            Err(Refused::NoSuch) => {
                self.house.counted.refused.add(1);
                Step::No("550 5.1.1 There is no such address here")
            }
            Err(Refused::NotOurs) => {
                self.house.counted.refused.add(1);
                Step::No("550 5.7.1 Mail for this domain is not taken here, and none is relayed")
            }
        }
    }

    /// Takes a message; the answer ends the session where it is an error.
    async fn data<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
    ) -> Result<String, &'static str> {
        if wire
            .say("354 Go on; CRLF . CRLF ends it\r\n")
            .await
            .is_err()
        {
            return Err("");
        }
        let mut room = self.house.places.room();
        let took = wire.message(self.house.message_bytes, &mut room).await;
        let (from, to) = (self.from.take().flatten(), std::mem::take(&mut self.to));
        self.messages += 1;
        match took {
            Ok(Took::Whole(bytes)) => {
                let arrived = Arrived {
                    from,
                    to,
                    network: self.network,
                    hello: self.hello.clone().unwrap_or_default(),
                    bytes,
                    room,
                };
                Ok((self.house.take)(arrived).await)
            }
            Ok(Took::TooLarge) => Ok("552 5.3.4 The message is too large".to_owned()),
            Ok(Took::NoRoom) => {
                Ok("452 4.3.1 There is no room at the moment; come again".to_owned())
            }
            Err(NoMessage::Broken(_)) => {
                self.house.counted.broken.add(1);
                Err("554 5.6.0 Lines that end in CRLF, none very long, are wanted")
            }
            Err(NoMessage::Gone) => Err("421 4.4.2 The message did not come in time"),
        }
    }
}

/// The address in `FROM:<...>` or `TO:<...>`, and what follows it. Source routes and quoted names are not taken: nobody
/// writes to us so, and relays have been tricked with them.
fn path<'a>(rest: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (found, rest) = rest.split_at_checked(word.len())?;
    if !found.eq_ignore_ascii_case(word) {
        return None;
    }
    let (path, parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    let plain = |it: char| it.is_ascii_graphic() && !"<>\"\\,:;()[]%!".contains(it);
    let sound = path.len() <= 254 && path.matches('@').count() <= 1 && path.chars().all(plain);
    let apart = parameters.is_empty() || parameters.starts_with(' ');
    (sound && apart).then_some((path, parameters))
}
