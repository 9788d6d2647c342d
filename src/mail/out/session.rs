//! One SMTP session with one relay and the truth about each message: accepted, try later, refused for good, or
//! unknown because the connection died after the final dot (RFC 1047). Nothing here logs, retries or reads the state;
//! a session that failed is not used again.
//!
//! Connection and commands are our own; from lettre come addresses and messages. lettre 0.11's connection leaves
//! Nagle's algorithm on (43 ms a message), bounds only the time to connect, believes bytes injected before STARTTLS,
//! and cannot tell a message that was surely not delivered from one that may have been.

use lettre::Address;

use super::line::{Line, LineError, Patience, Relay, Step, Wire};
use super::reply::{Offers, Reply};

/// One message to one recipient.
pub struct Letter<'a> {
    /// Envelope sender; none for the null return path.
    pub from: Option<&'a Address>,
    /// Envelope recipient.
    pub to: &'a Address,
    /// Headers and body.
    pub bytes: &'a [u8],
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The relay has taken responsibility for it.
    Accepted,
    /// Surely not delivered; worth another try. Holds a status code, or what went wrong here.
    TryLater(String),
    /// Surely not delivered, and this relay will not take it for this recipient.
    RefusedForGood(String),
    /// The final dot went out and no answer came: it may have been delivered.
    Unknown(String),
}

/// An open session, ready for messages.
pub struct Session {
    line: Line<Wire>,
    offers: Offers,
    usable: bool,
}

/// A piece of a message whose writing is bounded in time: one TLS record.
const BLOCK_BYTES: usize = 16 * 1024;

impl Session {
    /// Opens a session; `hello` is our own host name.
    pub async fn open(
        relay: &Relay,
        hello: &str,
        patience: Patience,
    ) -> Result<Session, LineError> {
        let (line, offers) = Line::open(relay, hello, patience).await?;
        Ok(Session {
            line,
            offers,
            usable: true,
        })
    }

    /// Whether another message may be sent in this session.
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// Sends one message to one recipient and says what became of it.
    ///
    /// `gate` is asked when everything but the final dot is out: `false` takes the message back, `true` lets go of it
    /// for good. What must be true at the moment of handing over is checked there and nowhere earlier.
    pub async fn send(&mut self, letter: &Letter<'_>, gate: impl Future<Output = bool>) -> Outcome {
        if let Some(why) = self.cannot_take(letter) {
            return Outcome::RefusedForGood(why);
        }
        let outcome = match self.envelope(letter).await {
            Ok(None) => self.message(letter.bytes, gate).await,
            Ok(Some(said_no)) => said_no,
            // Before the final dot nothing has been handed over.
            Err(error) => {
                self.usable = false;
                Outcome::TryLater(error.to_string())
            }
        };
        let clean = matches!(outcome, Outcome::Accepted);
        if self.usable && !clean {
            // The transaction may be half open; a server that will not forget it is left.
            self.usable = matches!(self.line.command(Step::Reset, "RSET\r\n").await, Ok(reply) if reply.is_done());
        }
        outcome
    }

    /// Why this relay can never take this message, known before asking it.
    fn cannot_take(&self, letter: &Letter<'_>) -> Option<String> {
        if needs_utf8(letter) && !self.offers.utf8 {
            return Some("553 5.6.7".to_owned());
        }
        if !letter.bytes.is_ascii() && !self.offers.eight_bit {
            return Some("554 5.6.3".to_owned());
        }
        let length = u64::try_from(letter.bytes.len()).unwrap_or(u64::MAX);
        match self.offers.size {
            Some(limit) if limit > 0 && length > limit => Some("552 5.3.4".to_owned()),
            Some(_) | None => None,
        }
    }

    /// MAIL, RCPT, DATA; `None` when the server waits for the message.
    async fn envelope(&mut self, letter: &Letter<'_>) -> Result<Option<Outcome>, LineError> {
        let mut from = format!(
            "MAIL FROM:<{}>",
            letter.from.map(Address::to_string).unwrap_or_default()
        );
        if self.offers.size.is_some() {
            from.push_str(&format!(" SIZE={}", letter.bytes.len()));
        }
        if !letter.bytes.is_ascii() {
            from.push_str(" BODY=8BITMIME");
        }
        if needs_utf8(letter) {
            from.push_str(" SMTPUTF8");
        }
        from.push_str("\r\n");
        let to = format!("RCPT TO:<{}>\r\n", letter.to);
        if self.offers.pipelining {
            return self.envelope_at_once(&from, &to).await;
        }
        let reply = self.line.command(Step::From, &from).await?;
        if !reply.is_done() {
            return Ok(Some(self.said_no(Step::From, &reply)));
        }
        let reply = self.line.command(Step::To, &to).await?;
        if !reply.is_done() {
            return Ok(Some(self.said_no(Step::To, &reply)));
        }
        let reply = self.line.command(Step::Data, "DATA\r\n").await?;
        if !reply.is_go_on() {
            return Ok(Some(self.said_no(Step::Data, &reply)));
        }
        Ok(None)
    }

    /// The same in one round trip (RFC 2920). All three answers are read, whatever the first says.
    async fn envelope_at_once(
        &mut self,
        from: &str,
        to: &str,
    ) -> Result<Option<Outcome>, LineError> {
        let all = format!("{from}{to}DATA\r\n");
        self.line.commands(Step::From, &all).await?;
        let mut said_no = None;
        for step in [Step::From, Step::To] {
            let reply = self.line.answer(step).await?;
            if reply.code == 421 {
                // The server is closing and answers nothing more.
                return Ok(Some(self.said_no(step, &reply)));
            }
            if !reply.is_done() && said_no.is_none() {
                said_no = Some(self.said_no(step, &reply));
            }
        }
        let reply = self.line.answer(Step::Data).await?;
        match (said_no, reply.is_go_on()) {
            (None, true) => Ok(None),
            (None, false) => Ok(Some(self.said_no(Step::Data, &reply))),
            (Some(outcome), false) => Ok(Some(outcome)),
            (Some(outcome), true) => {
                // It waits for a message that nobody gets: an empty one, which it refuses (RFC 2920, 3.1). A server that
                // takes it has taken a mail for nobody.
                let reply = self.line.dot().await?;
                self.usable &= !reply.is_done() && reply.code != 421;
                Ok(Some(outcome))
            }
        }
    }

    fn said_no(&mut self, step: Step, reply: &Reply) -> Outcome {
        if reply.code == 421 {
            self.usable = false; // RFC 5321, 3.8: the server is closing
        }
        if reply.is_refusal() {
            Outcome::RefusedForGood(reply.status())
        } else if reply.is_later() {
            Outcome::TryLater(reply.status())
        } else {
            self.usable = false;
            Outcome::TryLater(format!("{step} was answered with {}", reply.status()))
        }
    }

    async fn message(&mut self, bytes: &[u8], gate: impl Future<Output = bool>) -> Outcome {
        for block in transparent(bytes).chunks(BLOCK_BYTES) {
            if let Err(error) = self.line.block(block).await {
                self.usable = false;
                return Outcome::TryLater(error.to_string());
            }
        }
        if !gate.await {
            self.usable = false;
            return Outcome::TryLater("taken back before the final dot".to_owned());
        }
        // From here on the relay may have the whole message, whatever we hear of it.
        match self.line.dot().await {
            Ok(reply) if reply.is_done() => Outcome::Accepted,
            Ok(reply) if reply.is_later() || reply.is_refusal() => self.said_no(Step::Dot, &reply),
            Ok(reply) => {
                self.usable = false;
                Outcome::Unknown(format!(
                    "{} was answered with {}",
                    Step::Dot,
                    reply.status()
                ))
            }
            Err(error) => {
                self.usable = false;
                Outcome::Unknown(error.to_string())
            }
        }
    }

    /// Asks for nothing (RFC 5321, 4.1.1.9), to see whether the server would take a command now.
    ///
    /// # Errors
    /// When it does not answer, or answers anything but 2yz.
    pub async fn idle(&mut self) -> Result<(), LineError> {
        let reply = self.line.command(Step::Nothing, "NOOP\r\n").await;
        let reply = reply.inspect_err(|_| self.usable = false)?;
        if reply.is_done() {
            return Ok(());
        }
        self.usable = false;
        Err(LineError::Refused {
            step: Step::Nothing,
            status: reply.status(),
        })
    }

    /// Says goodbye; the answer does not matter.
    pub async fn quit(mut self) {
        if self.usable {
            // Everything sent has had its answer, so a failure here changes nothing.
            let _ = self.line.quit().await;
        }
    }
}

fn needs_utf8(letter: &Letter<'_>) -> bool {
    let plain = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    !plain(letter.to) || !letter.from.is_none_or(plain)
}

/// The message as it goes over the wire, up to but without the final dot: every line ends in CRLF, a dot that starts
/// a line is doubled (RFC 5321, 4.5.2). A bare CR or LF becomes a line end, so that no reader can see another end of
/// the message than we do.
fn transparent(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + message.len() / 64 + 2);
    let mut start = true;
    let mut bytes = message.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {
                if byte == b'\r' && bytes.peek() == Some(&b'\n') {
                    bytes.next();
                }
                wire.extend_from_slice(b"\r\n");
                start = true;
            }
            _ => {
                if start && byte == b'.' {
                    wire.push(b'.');
                }
                wire.push(byte);
                start = false;
            }
        }
    }
    if !start {
        wire.extend_from_slice(b"\r\n");
    }
    wire
}
