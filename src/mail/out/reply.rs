//! What an SMTP server says: replies of one or several lines, and what its EHLO offers.
//! Everything read here is bounded; a reply that breaks the rules is an error and the connection is done with.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use crate::model::limits::{SMTP_REPLY_LINE_BYTES, SMTP_REPLY_LINES};

/// One reply: three digits and the text of each line, in the order they came (RFC 5321, 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Lines without code and line end; bytes that are not UTF-8 are replaced.
    pub lines: Vec<String>,
}

/// Why no reply could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// The server closed the connection, or it broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// The server closed the connection before or within a reply.
    #[error("the server closed the connection")]
    Closed,
    /// A line is longer than any honest server sends.
    #[error("a reply line is longer than {SMTP_REPLY_LINE_BYTES} bytes")]
    LineTooLong,
    /// More lines than any honest server sends.
    #[error("a reply has more than {SMTP_REPLY_LINES} lines")]
    TooManyLines,
    /// Not three digits and a space or hyphen, or the digits change between lines.
    #[error("a reply is not in the form of RFC 5321, section 4.2")]
    Malformed,
}

impl Reply {
    /// Reads one whole reply; the caller bounds the time.
    pub async fn read<R: AsyncBufRead + Unpin>(from: &mut R) -> Result<Reply, ReplyError> {
        let mut reply = Reply {
            code: 0,
            lines: Vec::new(),
        };
        loop {
            let line = read_line(from).await?;
            let (code, last, text) = split_line(&line).ok_or(ReplyError::Malformed)?;
            if reply.code != 0 && reply.code != code {
                return Err(ReplyError::Malformed);
            }
            if reply.lines.len() == SMTP_REPLY_LINES {
                return Err(ReplyError::TooManyLines);
            }
            reply.code = code;
            reply.lines.push(text);
            if last {
                return Ok(reply);
            }
        }
    }

    /// The server did what was asked.
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The server waits for more, as after DATA.
    pub fn is_go_on(&self) -> bool {
        (300..400).contains(&self.code)
    }

    /// Asking again later may help.
    pub fn is_later(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Asking again will not help.
    pub fn is_refusal(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// Code and enhanced status code (RFC 3463), such as `550 5.1.1`. The server's prose often repeats the
    /// recipient's address, so this is the only part of a reply that is logged or agreed on.
    pub fn status(&self) -> String {
        match self.lines.first().and_then(|line| enhanced(line)) {
            Some(status) => format!("{} {status}", self.code),
            None => self.code.to_string(),
        }
    }
}

/// The enhanced status code at the start of a line, if there is one.
fn enhanced(line: &str) -> Option<&str> {
    let word = line.split(' ').next()?;
    let mut parts = word.split('.');
    let class = parts.next()?;
    let number =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let rest = [parts.next()?, parts.next()?];
    (matches!(class, "2" | "4" | "5") && rest.into_iter().all(number) && parts.next().is_none())
        .then_some(word)
}

async fn read_line<R: AsyncBufRead + Unpin>(from: &mut R) -> Result<Vec<u8>, ReplyError> {
    let mut line = Vec::new();
    loop {
        let seen = from.fill_buf().await.map_err(ReplyError::Broken)?;
        if seen.is_empty() {
            return Err(ReplyError::Closed);
        }
        let (used, ended) = match seen.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (seen.len(), false),
        };
        if line.len() + used > SMTP_REPLY_LINE_BYTES {
            return Err(ReplyError::LineTooLong);
        }
        line.extend_from_slice(&seen[..used]);
        from.consume(used);
        if ended {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(line);
        }
    }
}

/// Code, whether this is the last line, and the text. A bare code without a space is allowed (RFC 5321, 4.2).
fn split_line(line: &[u8]) -> Option<(u16, bool, String)> {
    let digits = line.get(..3)?;
    if !matches!(digits[0], b'2'..=b'5') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let last = match line.get(3) {
        None | Some(b' ') => true,
        Some(b'-') => false,
        Some(_) => return None,
    };
    let text = line.get(4..).unwrap_or_default();
    Some((code, last, String::from_utf8_lossy(text).into_owned()))
}

/// What the server's EHLO offers, as far as we use it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub utf8: bool,
    /// SIZE (RFC 1870): offered, with the largest message in bytes where the server names one.
    pub size: Option<u64>,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// AUTH PLAIN (RFC 4616).
    pub auth_plain: bool,
    /// AUTH LOGIN.
    pub auth_login: bool,
}

impl Offers {
    /// Reads the reply to EHLO; the first line is the server's name, words we do not know are passed over.
    pub fn of(reply: &Reply) -> Offers {
        let mut offers = Offers::default();
        for line in reply.lines.iter().skip(1) {
            // Some old servers write `AUTH=PLAIN LOGIN`.
            let line = line.to_ascii_uppercase().replace('=', " ");
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("STARTTLS") => offers.starttls = true,
                Some("8BITMIME") => offers.eight_bit = true,
                Some("PIPELINING") => offers.pipelining = true,
                Some("SMTPUTF8") => offers.utf8 = true,
                Some("SIZE") => {
                    offers.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0))
                }
                Some("AUTH") => {
                    for word in words {
                        offers.auth_plain |= word == "PLAIN";
                        offers.auth_login |= word == "LOGIN";
                    }
                }
                Some(_) | None => {}
            }
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Reply, ReplyError> {
        Reply::read(&mut &bytes[..]).await
    }

    #[tokio::test]
    async fn a_reply_of_several_lines_is_one_reply() {
        let reply = read(b"250-mail.example.test\r\n250-SIZE 1000\r\n250 AUTH PLAIN LOGIN\r\n")
            .await
            .unwrap();
        assert_eq!(reply.lines.len(), 3);
        let offers = Offers::of(&reply);
        assert_eq!(offers.size, Some(1000));
        assert!(offers.auth_plain && offers.auth_login && !offers.starttls);
    }

    #[tokio::test]
    async fn a_bare_code_and_a_bare_newline_are_understood() {
        assert_eq!(
            read(b"250\n").await.unwrap(),
            Reply {
                code: 250,
                lines: vec![String::new()]
            }
        );
    }

    #[tokio::test]
    async fn what_breaks_the_rules_is_an_error() {
        assert!(matches!(
            read(b"250-one\r\n550 two\r\n").await,
            Err(ReplyError::Malformed)
        ));
        assert!(matches!(
            read(b"hello\r\n").await,
            Err(ReplyError::Malformed)
        ));
        assert!(matches!(read(b"2\r\n").await, Err(ReplyError::Malformed)));
        assert!(matches!(
            read(b"250?\r\n").await,
            Err(ReplyError::Malformed)
        ));
        assert!(matches!(
            read(b"250-only half").await,
            Err(ReplyError::Closed)
        ));
    }

    #[tokio::test]
    async fn a_server_that_talks_without_end_is_cut_off() {
        let long = [b"250 ".as_slice(), &vec![b'x'; SMTP_REPLY_LINE_BYTES]].concat();
        assert!(matches!(read(&long).await, Err(ReplyError::LineTooLong)));
        let many = b"250-x\r\n".repeat(SMTP_REPLY_LINES + 1);
        assert!(matches!(read(&many).await, Err(ReplyError::TooManyLines)));
    }

    #[tokio::test]
    async fn the_status_holds_numbers_and_never_an_address() {
        let reply = read(b"550 5.1.1 <somebody@example.test> unknown\r\n")
            .await
            .unwrap();
        assert_eq!(reply.status(), "550 5.1.1");
        let reply = read(b"550 somebody@example.test unknown\r\n")
            .await
            .unwrap();
        assert_eq!(reply.status(), "550");
    }
}
