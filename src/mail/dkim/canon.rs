//! What of a mail is hashed: header fields and body in their relaxed forms (RFC 6376 sections 3.4.2 and 3.4.4).

use sha2::{Digest, Sha256};

/// One header field with its folds, without the last line end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Its relaxed form, without a line end: small letters, one line, single spaces, none at the ends.
    pub(super) fn relaxed(&self) -> Vec<u8> {
        let mut out = self.name.to_ascii_lowercase();
        out.push(b':');
        let mut gap = false;
        let begin = out.len();
        for byte in self.value.iter().copied() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => gap = true,
                _ => {
                    if gap && out.len() > begin {
                        out.push(b' ');
                    }
                    gap = false;
                    out.push(byte);
                }
            }
        }
        out
    }
}

/// Header and body, without the empty line between them.
pub(super) fn split(mail: &[u8]) -> (&[u8], &[u8]) {
    let end = mail.windows(4).position(|it| it == b"\r\n\r\n");
    match end {
        Some(at) => (&mail[..at + 2], &mail[at + 4..]),
        None => (mail, &[]),
    }
}

/// The fields of a header, in their order. What is no field is left out.
pub(super) fn fields(header: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    let mut rest = header;
    while !rest.is_empty() {
        let end = end_of_field(rest);
        let (field, tail) = rest.split_at(end);
        rest = tail;
        if let Some(colon) = field.iter().position(|it| *it == b':') {
            let name = field[..colon].trim_ascii_end();
            let value = &field[colon + 1..];
            fields.push(Field { name, value });
        }
    }
    fields
}

/// Where the first field ends, after its last line: a line that begins with white space goes on with it.
fn end_of_field(header: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let line = header[at..].windows(2).position(|it| it == b"\r\n");
        let Some(line) = line else {
            return header.len();
        };
        at += line + 2;
        if !matches!(header.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

/// SHA-256 of a body's relaxed form: single spaces, none at line ends, no empty lines at the end.
pub(super) fn body_hash(body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut empty = 0_usize;
    let mut line = Vec::new();
    for raw in lines(body) {
        line.clear();
        let mut gap = false;
        for byte in raw.iter().copied() {
            match byte {
                b' ' | b'\t' => gap = true,
                _ => {
                    if gap {
                        line.push(b' ');
                    }
                    gap = false;
                    line.push(byte);
                }
            }
        }
        if line.is_empty() {
            empty += 1;
            continue;
        }
        for _ in 0..empty {
            hash.update(b"\r\n");
        }
        empty = 0;
        hash.update(&line);
        hash.update(b"\r\n");
    }
    hash.finalize().into()
}

/// The lines of a body, without their ends; only CRLF ends one.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(body).filter(|it| !it.is_empty());
    std::iter::from_fn(move || {
        let all = rest?;
        let end = all.windows(2).position(|it| it == b"\r\n");
        let (line, tail) = match end {
            Some(at) => (&all[..at], &all[at + 2..]),
            None => (all, &all[all.len()..]),
        };
        rest = Some(tail).filter(|it| !it.is_empty());
        Some(line)
    })
}

/// A text of ASCII in pieces of at most so many characters.
pub(super) fn pieces(text: &str, most: usize) -> impl Iterator<Item = &str> {
    text.as_bytes()
        .chunks(most)
        .filter_map(|it| std::str::from_utf8(it).ok())
}
