//! One connection of a mail server as lines, each step bounded in size and time.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::dots::{Broken, Dots, Fed};
use super::places::Room;
use crate::model::limits::{SMTP_ANSWER_MS, SMTP_BLOCK_MS, SMTP_COMMAND_BYTES, SMTP_MESSAGE_MS};

/// Bytes that are read from the system at once.
const PIECE: usize = 16 << 10;

/// What came instead of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum NoLine {
    /// The connection is over, or broken.
    Gone,
    /// Nothing came in time.
    Silent,
    /// It is too long, holds a zero byte, or a CR or LF on its own.
    Bad,
}

/// What came instead of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum NoMessage {
    /// The connection is over, or was too slow.
    Gone,
    /// No honest mail has this.
    Broken(Broken),
}

/// What came as a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Took {
    /// All of it.
    Whole(Vec<u8>),
    /// More than one message may have.
    TooLarge,
    /// There is no room for it now.
    NoRoom,
}

/// A connection.
pub struct Wire<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over a stream.
    pub fn new(stream: S) -> Self {
        Self {
            stream: BufReader::with_capacity(PIECE, stream),
        }
    }

    /// The stream, unless bytes wait that came before: they would be believed as if they came after.
    pub fn into_inner(self) -> Option<S> {
        self.stream
            .buffer()
            .is_empty()
            .then(|| self.stream.into_inner())
    }

    /// Reads a command, without its end.
    ///
    /// # Errors
    /// When none came.
    pub async fn line(&mut self, within: Duration) -> Result<Vec<u8>, NoLine> {
        match timeout(within, self.read_line()).await {
            Ok(line) => line,
            Err(_) => Err(NoLine::Silent),
        }
    }

    async fn read_line(&mut self) -> Result<Vec<u8>, NoLine> {
        let mut line = Vec::new();
        loop {
            let piece = self.stream.fill_buf().await.map_err(|_| NoLine::Gone)?;
            if piece.is_empty() {
                return Err(NoLine::Gone);
            }
            let end = piece.iter().position(|it| *it == b'\n').map(|it| it + 1);
            let taken = end.unwrap_or(piece.len());
            if line.len() + taken > SMTP_COMMAND_BYTES {
                return Err(NoLine::Bad);
            }
            line.extend_from_slice(&piece[..taken]);
            self.stream.consume(taken);
            if end.is_none() {
                continue;
            }
            let text = line.strip_suffix(b"\r\n").ok_or(NoLine::Bad)?;
            return match text.iter().any(|it| b"\r\n\0".contains(it)) {
                true => Err(NoLine::Bad),
                false => Ok(text.to_vec()),
            };
        }
    }

    /// Reads a message of at most `most` bytes to its end.
    ///
    /// # Errors
    /// When the session must end.
    pub async fn message(&mut self, most: usize, room: &mut Room) -> Result<Took, NoMessage> {
        let whole = Duration::from_millis(SMTP_MESSAGE_MS);
        timeout(whole, self.read_message(most, room))
            .await
            .unwrap_or(Err(NoMessage::Gone))
    }

    async fn read_message(&mut self, most: usize, room: &mut Room) -> Result<Took, NoMessage> {
        let mut dots = Dots::new(most);
        let mut no_room = false;
        loop {
            let block = Duration::from_millis(SMTP_BLOCK_MS);
            let piece = timeout(block, self.stream.fill_buf()).await;
            let Ok(Ok(piece)) = piece else {
                return Err(NoMessage::Gone);
            };
            if piece.is_empty() {
                return Err(NoMessage::Gone);
            }
            let fed = dots.feed(piece).map_err(NoMessage::Broken)?;
            let taken = match fed {
                Fed::More => piece.len(),
                Fed::End(taken) => taken,
            };
            self.stream.consume(taken);
            if !no_room && !room.grow(dots.kept()) {
                no_room = true;
                dots.give_up();
            }
            if let Fed::End(_) = fed {
                return Ok(match (no_room, dots.text()) {
                    (true, _) => Took::NoRoom,
                    (false, Some(text)) => Took::Whole(text),
                    (false, None) => Took::TooLarge,
                });
            }
        }
    }

    /// Writes an answer.
    ///
    /// # Errors
    /// When it cannot be written in time.
    pub async fn say(&mut self, answer: &str) -> io::Result<()> {
        let stream = self.stream.get_mut();
        let written = timeout(Duration::from_millis(SMTP_ANSWER_MS), async {
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await
        });
        written.await.unwrap_or_else(|elapsed| Err(elapsed.into()))
    }

    /// Ends the connection so that the last answer is still read.
    pub async fn end(&mut self) {
        // The other end may have gone; nothing depends on it.
        let _ = timeout(Duration::from_secs(1), self.stream.get_mut().shutdown()).await;
    }
}
