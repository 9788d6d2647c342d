//! The end of a message on the wire (RFC 5321 section 4.5.2): `CR LF . CR LF` and nothing else.
//!
//! Servers that take a lone LF for the end of a line see the end of a message where others do not, so that a sender
//! can hide a second mail in the first, past whoever checked it (CVE-2023-51764 and its like). Here a CR or LF on its own
//! ends the session: what follows it is never read as a command.

use crate::model::limits::SMTP_TEXT_LINE_BYTES;

/// Where in the text the last byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Dot,
    DotCr,
    Middle,
    Cr,
}

/// Why a message cannot be taken whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A CR or an LF on its own.
    Bare,
    /// A line longer than any mail has.
    LongLine,
}

/// What a piece brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// All of it was taken, and more is to come.
    More,
    /// The message is over; so many bytes of the piece belong to it.
    End(usize),
}

/// Takes a message apart from its end and its stuffed dots, in pieces of any size.
#[derive(Debug)]
pub struct Dots {
    at: At,
    line: usize,
    most: usize,
    text: Vec<u8>,
    too_large: bool,
}

impl Dots {
    /// For a message of at most `most` bytes; what is longer is read to its end and not kept.
    pub fn new(most: usize) -> Self {
        Self {
            at: At::Start,
            line: 0,
            most,
            text: Vec::new(),
            too_large: false,
        }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// When no honest mail has this; the session must end.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Fed, Broken> {
        for (place, byte) in piece.iter().copied().enumerate() {
            self.line += 1;
            if self.line > SMTP_TEXT_LINE_BYTES {
                return Err(Broken::LongLine);
            }
            self.at = match (self.at, byte) {
                (At::DotCr, b'\n') => return Ok(Fed::End(place + 1)),
                (At::Cr, b'\n') => {
                    self.keep(b"\r\n");
                    self.line = 0;
                    At::Start
                }
                (At::Cr | At::DotCr, _) | (_, b'\n') => return Err(Broken::Bare),
                (At::Start, b'.') => At::Dot,
                (At::Dot, b'\r') => At::DotCr,
                (_, b'\r') => At::Cr,
                (At::Start | At::Dot | At::Middle, byte) => {
                    self.keep(&[byte]);
                    At::Middle
                }
            };
        }
        Ok(Fed::More)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.text.len() + bytes.len() > self.most {
            self.too_large = true;
            self.text = Vec::new();
        }
        if !self.too_large {
            self.text.extend_from_slice(bytes);
        }
    }

    /// Bytes that are kept now.
    pub fn kept(&self) -> usize {
        self.text.len()
    }

    /// Keeps nothing more; the end is still looked for.
    pub fn give_up(&mut self) {
        self.too_large = true;
        self.text = Vec::new();
    }

    /// The message; nothing where it was too large.
    pub fn text(self) -> Option<Vec<u8>> {
        (!self.too_large).then_some(self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes of bytes that arrive in pieces of this size: the message and the rest, or why not.
    fn fed(bytes: &[u8], size: usize) -> Result<(Vec<u8>, Vec<u8>), Option<Broken>> {
        let mut dots = Dots::new(1_000);
        for (piece, number) in bytes.chunks(size).zip(0..) {
            match dots.feed(piece) {
                Ok(Fed::More) => {}
                Ok(Fed::End(taken)) => {
                    let rest = bytes[number * size + taken..].to_vec();
                    return Ok((dots.text().unwrap(), rest));
                }
                Err(broken) => return Err(Some(broken)),
            }
        }
        Err(None)
    }

    #[test]
    fn a_message_ends_at_its_dot_however_it_is_cut() {
        let wire = b"a: b\r\n\r\n..one\r\n.two\r\n...\r\n.\r\nQUIT\r\n";
        for size in 1..wire.len() {
            let (text, rest) = fed(wire, size).unwrap();
            assert_eq!(text, b"a: b\r\n\r\n.one\r\ntwo\r\n..\r\n");
            assert_eq!(rest, b"QUIT\r\n");
        }
        assert_eq!(fed(b".\r\n", 1).unwrap().0, b"");
    }

    #[test]
    fn no_second_mail_can_be_hidden_behind_a_lone_cr_or_lf() {
        for end in [
            "\n.\r\n",
            "\r\n.\n",
            "\n.\n",
            "\r.\r\n",
            "\r\n.\r.\r\n",
            "\r\r\n.\r\n",
            "\n\n.\r\n",
        ] {
            let wire = format!("text{end}MAIL FROM:<a@example.com>\r\n");
            for size in 1..wire.len() {
                assert_eq!(
                    fed(wire.as_bytes(), size),
                    Err(Some(Broken::Bare)),
                    "{end:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_too_large_is_read_to_its_end_and_not_kept() {
        let mut dots = Dots::new(10);
        assert_eq!(dots.feed(b"12345\r\n67890\r\n"), Ok(Fed::More));
        assert_eq!(dots.kept(), 0);
        assert_eq!(dots.feed(b".\r\n"), Ok(Fed::End(3)));
        assert_eq!(dots.text(), None);
        let long = vec![b'a'; SMTP_TEXT_LINE_BYTES + 1];
        assert_eq!(Dots::new(10).feed(&long), Err(Broken::LongLine));
    }

    proptest! {
        #[test]
        fn what_was_stuffed_comes_out_as_it_went_in(lines in proptest::collection::vec("[.a]{0,5}", 0..20), size in 1_usize..9) {
            let text: String = lines.iter().map(|it| format!("{it}\r\n")).collect();
            let stuffed = |it: &String| match it.starts_with('.') {
                true => format!(".{it}\r\n"),
                false => format!("{it}\r\n"),
            };
            let mut wire: String = lines.iter().map(stuffed).collect();
            wire.push_str(".\r\nrest");
            let (found, rest) = fed(wire.as_bytes(), size).unwrap();
            prop_assert_eq!(String::from_utf8(found).unwrap(), text);
            prop_assert_eq!(rest, b"rest".to_vec());
        }

        #[test]
        fn any_bytes_end_in_a_word_about_them(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), any::<u8>()], 0..200), size in 1_usize..9) {
            let whole = fed(&bytes, bytes.len().max(1));
            prop_assert_eq!(fed(&bytes, size), whole);
        }
    }
}
