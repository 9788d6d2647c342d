//! What a look at a target can find wrong, in words that go into a vote. Never a byte of what the target said, beyond
//! its codes: votes are read by people and kept by every node.

use std::error::Error;
use std::io;

use crate::model::words::Note;

/// Why a look was a miss.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// A step did not end in time.
    #[error("no answer in time while {0}")]
    TooSlow(&'static str),
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// No TLS, or no certificate that is valid for the name.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The name cannot stand in a TLS handshake.
    #[error("{0} cannot be asked for in TLS")]
    Name(String),
    /// The certificate ends soon, or has ended.
    #[error("the certificate ends in {left} days; {wanted} wanted")]
    Days {
        /// Whole days left; negative once it has ended.
        left: i64,
        /// As many should be left.
        wanted: u16,
    },
    /// The server showed no certificate that can be read.
    #[error("no certificate that can be read was shown")]
    NoCertificate,
    /// The connection ended too early.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// What came is not HTTP, or the connection broke.
    #[error("no HTTP answer")]
    Http(#[source] hyper::Error),
    /// The request cannot be written.
    #[error("the request cannot be made")]
    Request(#[source] hyper::http::Error),
    /// Another status than wanted.
    #[error("status {0}, which is not wanted")]
    Status(u16),
    /// The text is not in the part of the page that is read.
    #[error("the wanted text is not on the page")]
    NoText,
    /// What came is no answer to the question.
    #[error("no DNS answer to the question")]
    NotAnAnswer,
    /// Another response code than wanted (RFC 1035 section 4.1.1).
    #[error("DNS response code {0}, which is not wanted")]
    Rcode(u8),
    /// The answer holds no record of the type asked for.
    #[error("the answer holds no record of the type asked for")]
    NoRecord,
    /// Another reply code than wanted (RFC 5321 section 4.2).
    #[error("reply code {0}, which is not wanted")]
    Reply(u16),
    /// What came is no reply of a mail server.
    #[error("no reply of a mail server")]
    NotAReply,
}

impl Fault {
    /// The fault with what caused it, in one line.
    pub(super) fn words(&self) -> Note {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // An io::Error that only carries another error says the same twice.
            if !line.ends_with(&words) {
                line.push_str(": ");
                line.push_str(&words);
            }
            cause = error.source();
        }
        Note::cut(&line)
    }
}
