//! Rows out of comma-separated text (RFC 4180), as spreadsheets and billing systems really write it: `,`, `;` or tab,
//! quotes, line breaks within quotes, a byte order mark.
//!
//! One row is in memory at a time. What cannot be read is told with its line, and reading goes on where that can be done.

use std::io::{self, BufRead};

use crate::model::limits;

/// The bytes that other programs put before UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One row, or why it is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// Its fields.
    Fields(Vec<String>),
    /// It is not UTF-8.
    NotUtf8,
    /// It is longer than any row may be; nothing after it can be read.
    Endless,
    /// A quote in it is never closed; nothing after it can be read.
    Unclosed,
}

/// Reads rows. Lines count from 1.
pub(super) struct Rows<R> {
    reader: R,
    separator: u8,
    line: u32,
    over: bool,
}

impl<R: BufRead> Rows<R> {
    /// Rows of `reader`, which stands after a byte order mark, with the separator that its first line has most of.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn new(mut reader: R) -> io::Result<Self> {
        let separator = separator(reader.fill_buf()?);
        Ok(Self {
            reader,
            separator,
            line: 0,
            over: false,
        })
    }

    /// The separator.
    pub(super) fn separator(&self) -> char {
        char::from(self.separator)
    }

    /// The next row that is not blank, with the line on which it begins.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<(u32, Row)>> {
        while !self.over {
            let begins = self.line.saturating_add(1);
            let Some(raw) = self.raw()? else {
                return Ok(None);
            };
            match raw {
                Ok(raw) if raw.iter().all(u8::is_ascii_whitespace) => {}
                Ok(raw) => return Ok(Some((begins, fields(&raw, self.separator)))),
                Err(row) => {
                    self.over = true;
                    return Ok(Some((begins, row)));
                }
            }
        }
        Ok(None)
    }

    /// The bytes of the next row without its line break.
    fn raw(&mut self) -> io::Result<Option<Result<Vec<u8>, Row>>> {
        let mut raw = Vec::new();
        let mut quotes = 0_usize;
        loop {
            let had = raw.len();
            let room = (limits::DIRECTORY_LINE_BYTES_MAX + 1).saturating_sub(had);
            let took = io::Read::take(&mut self.reader, room as u64).read_until(b'\n', &mut raw)?;
            if took == 0 && raw.len() > limits::DIRECTORY_LINE_BYTES_MAX {
                return Ok(Some(Err(Row::Endless)));
            }
            if took == 0 {
                return Ok(match (had, quotes % 2) {
                    (0, _) => None,
                    (_, 0) => Some(Ok(raw)),
                    (_, _) => Some(Err(Row::Unclosed)),
                });
            }
            quotes += raw[had..].iter().filter(|it| **it == b'"').count();
            let ended = raw.ends_with(b"\n");
            if ended {
                self.line = self.line.saturating_add(1);
            }
            if ended && quotes.is_multiple_of(2) {
                raw.pop();
                if raw.ends_with(b"\r") {
                    raw.pop();
                }
                return Ok(Some(Ok(raw)));
            }
        }
    }
}

/// The separator that the first line has most of, outside of quotes.
fn separator(beginning: &[u8]) -> u8 {
    let mut counts = [(b';', 0), (b',', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in beginning {
        match byte {
            b'\n' if !quoted => break,
            b'"' => quoted = !quoted,
            byte if !quoted => {
                for (separator, count) in &mut counts {
                    *count += usize::from(separator == byte);
                }
            }
            _ => {}
        }
    }
    // Of equally many the first of the list: a semicolon stands in few names.
    let best = counts.into_iter().rev().max_by_key(|it| it.1);
    best.filter(|it| it.1 > 0).map_or(b',', |it| it.0)
}

/// Splits a row. A quote within a field that does not begin with one is an ordinary character.
fn fields(raw: &[u8], separator: u8) -> Row {
    let mut fields = Vec::new();
    let mut rest = raw;
    loop {
        let (field, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted, separator),
            None => {
                let end = rest.iter().position(|it| *it == separator);
                let (field, after) = rest.split_at(end.unwrap_or(rest.len()));
                (field.to_vec(), after)
            }
        };
        match String::from_utf8(field) {
            Ok(field) => fields.push(field),
            Err(_) => return Row::NotUtf8,
        }
        match after.split_first() {
            Some((_, after)) => rest = after,
            None => return Row::Fields(fields),
        }
    }
}

/// The field up to its closing quote and whatever follows until the separator, and the bytes from the separator on.
fn unquoted(quoted: &[u8], separator: u8) -> (Vec<u8>, &[u8]) {
    let mut field = Vec::new();
    let mut at = 0;
    while let Some(byte) = quoted.get(at) {
        match (byte, quoted.get(at + 1)) {
            (b'"', Some(b'"')) => {
                field.push(b'"');
                at += 2;
            }
            (b'"', _) => break,
            (byte, _) => {
                field.push(*byte);
                at += 1;
            }
        }
    }
    let after = quoted.get(at + 1..).unwrap_or_default();
    let end = after.iter().position(|it| *it == separator);
    let (more, after) = after.split_at(end.unwrap_or(after.len()));
    field.extend_from_slice(more);
    (field, after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8]) -> Vec<(u32, Row)> {
        let mut rows = Rows::new(text).unwrap();
        std::iter::from_fn(|| rows.next().unwrap()).collect()
    }

    fn row(line: u32, fields: &[&str]) -> (u32, Row) {
        let fields = fields.iter().map(|it| (*it).to_owned()).collect();
        (line, Row::Fields(fields))
    }

    #[test]
    fn rows_are_read_as_spreadsheets_write_them() {
        let text = b"a;b;c\r\n1;\"x;\"\"y\"\"\nz\";\n\n \t\n2;q\"q;\"n\"";
        let rows = all(text);
        let wanted = [row(1, &["a", "b", "c"]), row(2, &["1", "x;\"y\"\nz", ""])];
        assert_eq!(rows[..2], wanted);
        // A single quote within a field is odd: what follows to the end is one row, told as such.
        assert_eq!(rows[2], (6, Row::Unclosed));
        assert_eq!(
            all(b"a\tb\n1\t2,3;4\n"),
            [row(1, &["a", "b"]), row(2, &["1", "2,3;4"])]
        );
        assert_eq!(all(b"one\n\xff\xfe,x\n2\n")[1], (2, Row::NotUtf8));
    }

    #[test]
    fn a_row_without_an_end_is_told_and_takes_no_more_memory() {
        let mut text = b"a,b\n1,\"".to_vec();
        text.extend(std::iter::repeat_n(b"x\n", limits::DIRECTORY_LINE_BYTES_MAX).flatten());
        assert_eq!(all(&text)[1], (2, Row::Endless));
        assert_eq!(all(b"a,b\n1,\"x\n2,y\n")[1], (2, Row::Unclosed));
    }

    proptest! {
        #[test]
        fn what_is_written_with_quotes_reads_back(rows in prop::collection::vec(prop::collection::vec("[a-z\";,\n\r\t é]{1,8}", 3), 1..5)) {
            let mut text = "k,l,m\n".to_owned();
            for row in &rows {
                let quoted: Vec<String> = row.iter().map(|it| format!("\"{}\"", it.replace('"', "\"\""))).collect();
                text.push_str(&quoted.join(","));
                text.push('\n');
            }
            let read: Vec<Row> = all(text.as_bytes()).into_iter().skip(1).map(|it| it.1).collect();
            let wanted: Vec<Row> = rows.into_iter().map(Row::Fields).collect();
            prop_assert_eq!(read, wanted);
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes: Vec<u8>) {
            all(&bytes);
        }
    }
}
