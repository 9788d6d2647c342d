//! Zone files cut into entries of words: comments, quotation marks, parentheses (RFC 1035 section 5.1). What words mean
//! is known elsewhere.

use super::{Mistake, Token, shortened};

/// What stands on one line, or on several joined by parentheses.
pub(super) struct Entry<'t> {
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// Whether it begins with a space: its owner is the one before.
    pub(super) is_indented: bool,
    /// Its words, at least one.
    pub(super) tokens: Vec<Token<'t>>,
}

pub(super) struct Words<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
}

impl<'t> Words<'t> {
    pub(super) fn new(text: &'t [u8], first_line: usize) -> Self {
        // A mark that some editors leave in front.
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        Self {
            text,
            at: 0,
            line: first_line,
        }
    }

    pub(super) fn next_entry(&mut self) -> Option<Result<Entry<'t>, Mistake>> {
        loop {
            let is_indented = matches!(self.text.get(self.at)?, b' ' | b'\t');
            let line = self.line;
            match self.tokens() {
                Ok(tokens) if tokens.is_empty() => {}
                Ok(tokens) => {
                    return Some(Ok(Entry {
                        line,
                        is_indented,
                        tokens,
                    }));
                }
                Err(mistake) => return Some(Err(mistake)),
            }
        }
    }

    /// The words up to the end of the line, or of the parentheses.
    fn tokens(&mut self) -> Result<Vec<Token<'t>>, Mistake> {
        let (mut tokens, mut opened) = (Vec::new(), Vec::new());
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\n' => {
                    self.line += 1;
                    if opened.is_empty() {
                        return Ok(tokens);
                    }
                }
                b' ' | b'\t' | b'\r' => {}
                b';' => self.skip_to_line_end(),
                b'(' => opened.push(self.line),
                b')' => {
                    if opened.pop().is_none() {
                        self.skip_to_line_end();
                        return Err(mistake(self.line, b")", "a ( before it"));
                    }
                }
                b'"' => tokens.push(self.quoted()?),
                _ => tokens.push(self.word()),
            }
        }
        match opened.first() {
            Some(line) => Err(mistake(*line, b"( without its end", "a ) after it")),
            None => Ok(tokens),
        }
    }

    fn skip_to_line_end(&mut self) {
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|it| *it == b'\n');
        self.at += len.unwrap_or(rest.len());
    }

    fn quoted(&mut self) -> Result<Token<'t>, Mistake> {
        let start = self.at;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Token { text, quoted: true });
                }
                b'\n' => break,
                b'\\' if self.text.get(self.at + 1).is_some_and(|it| *it != b'\n') => self.at += 2,
                _ => self.at += 1,
            }
        }
        let found = &self.text[start..self.at];
        Err(mistake(
            self.line,
            found,
            "a closing quotation mark on the same line",
        ))
    }

    fn word(&mut self) -> Token<'t> {
        let start = self.at - 1;
        self.at = start;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' | b'"' => break,
                b'\\' if self.text.get(self.at + 1).is_some_and(|it| *it != b'\n') => self.at += 2,
                _ => self.at += 1,
            }
        }
        Token {
            text: &self.text[start..self.at],
            quoted: false,
        }
    }
}

fn mistake(line: usize, found: &[u8], wanted: &str) -> Mistake {
    Mistake {
        line,
        field: "line".to_owned(),
        found: shortened(found),
        wanted: wanted.to_owned(),
    }
}
