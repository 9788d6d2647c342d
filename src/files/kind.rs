//! What a file is, by its first bytes. Neither its name nor what its sender calls it counts. Pure.

use crate::model::files::FileKind;

/// Bytes that tell every kind apart.
const TELLING: usize = 12;

/// Why a file is not taken for what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strange {
    /// Nothing is in it.
    Empty,
    /// None of the kinds that are taken.
    Unknown,
}

/// Looks at a file as it comes.
#[derive(Debug, Default)]
pub struct Look {
    first: Vec<u8>,
    /// Told by the first bytes.
    kind: Option<FileKind>,
    /// The beginning of a character whose end has not come yet.
    half: Vec<u8>,
}

impl Look {
    /// Looks at the next bytes.
    ///
    /// # Errors
    /// As soon as it can be none of the kinds.
    pub fn at(&mut self, bytes: &[u8]) -> Result<(), Strange> {
        if self.kind.is_none() {
            let room = TELLING.saturating_sub(self.first.len());
            let (first, rest) = bytes.split_at(room.min(bytes.len()));
            self.first.extend_from_slice(first);
            if self.first.len() < TELLING {
                return Ok(());
            }
            let first = std::mem::take(&mut self.first);
            self.tell(&first)?;
            return self.words(rest);
        }
        self.words(bytes)
    }

    /// What it was, once all of it was seen.
    ///
    /// # Errors
    /// When it is empty, or none of the kinds.
    pub fn end(mut self) -> Result<FileKind, Strange> {
        if self.kind.is_none() {
            let first = std::mem::take(&mut self.first);
            if first.is_empty() {
                return Err(Strange::Empty);
            }
            self.tell(&first)?;
        }
        match self.kind {
            Some(kind) if self.half.is_empty() => Ok(kind),
            _ => Err(Strange::Unknown),
        }
    }

    fn tell(&mut self, first: &[u8]) -> Result<(), Strange> {
        let picture = by_mark(first);
        self.kind = Some(picture.unwrap_or(FileKind::Text));
        self.words(first)
    }

    /// Of words every byte is looked at.
    fn words(&mut self, bytes: &[u8]) -> Result<(), Strange> {
        if self.kind != Some(FileKind::Text) {
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.half);
        all.extend_from_slice(bytes);
        let (text, half) = match std::str::from_utf8(&all) {
            Ok(text) => (text, &[][..]),
            Err(error) if error.error_len().is_none() => {
                let (text, half) = all.split_at(error.valid_up_to());
                (std::str::from_utf8(text).unwrap_or_default(), half)
            }
            Err(_) => return Err(Strange::Unknown),
        };
        if text.bytes().any(|it| !is_of_a_log(it)) {
            return Err(Strange::Unknown);
        }
        self.half = half.to_vec();
        Ok(())
    }
}

/// Control characters that logs have: tabs, line ends, new pages, and the escape of colours.
fn is_of_a_log(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)
}

fn by_mark(first: &[u8]) -> Option<FileKind> {
    let marks: [(&[u8], FileKind); 5] = [
        (b"\x89PNG\r\n\x1a\n", FileKind::Png),
        (b"\xff\xd8\xff", FileKind::Jpeg),
        (b"GIF87a", FileKind::Gif),
        (b"GIF89a", FileKind::Gif),
        (b"%PDF-", FileKind::Pdf),
    ];
    let mark = marks.into_iter().find(|it| first.starts_with(it.0));
    let webp = first.starts_with(b"RIFF") && first.get(8..12) == Some(b"WEBP");
    mark.map(|it| it.1).or(webp.then_some(FileKind::Webp))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(pieces: &[&[u8]]) -> Result<FileKind, Strange> {
        let mut look = Look::default();
        for piece in pieces {
            look.at(piece)?;
        }
        look.end()
    }

    #[test]
    fn a_file_is_what_its_first_bytes_say() {
        for (bytes, wanted) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], FileKind::Png),
            (b"\xff\xd8\xff\xe0\0\x10JFIF\0", FileKind::Jpeg),
            (b"GIF89a\x01\0", FileKind::Gif),
            (b"RIFF\x10\0\0\0WEBPVP8 ", FileKind::Webp),
            (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", FileKind::Pdf),
            (
                "\u{feff}Žluťoučký kůň\r\n\x1b[31mERROR\x1b[0m".as_bytes(),
                FileKind::Text,
            ),
            (b"x", FileKind::Text),
            // Words that a browser would run are words, and are served as such.
            (b"<!DOCTYPE html><script>alert(1)</script>", FileKind::Text),
        ] {
            assert_eq!(kind(&[bytes]), Ok(wanted), "{bytes:?}");
        }
    }

    #[test]
    fn programs_archives_and_what_is_no_utf_8_are_not_taken() {
        for bytes in [
            &b"MZ\x90\0\x03\0\0\0\x04\0\0\0"[..],
            b"\x7fELF\x02\x01\x01\0\0\0\0\0",
            b"PK\x03\x04\x14\0\0\0\x08\0",
            b"\x1f\x8b\x08\0\0\0\0\0",
            b"R\0E\0P\0O\0R\0T\0",
            b"text and then \xff\xfe",
            b"text and then \0",
            b"RIFF\x10\0\0\0WAVEfmt ",
            "ends within a character: ž"
                .as_bytes()
                .split_last()
                .unwrap()
                .1,
        ] {
            assert_eq!(kind(&[bytes]), Err(Strange::Unknown), "{bytes:?}");
        }
        assert_eq!(kind(&[]), Err(Strange::Empty));
    }

    proptest! {
        #[test]
        fn where_it_is_cut_on_its_way_does_not_matter(text in ".{0,40}", bytes: Vec<u8>, cuts: Vec<u8>) {
            for whole in [text.as_bytes(), &bytes] {
                let (mut pieces, mut rest) = (Vec::new(), whole);
                for cut in &cuts {
                    let (one, other) = rest.split_at((*cut as usize % 7).min(rest.len()));
                    pieces.push(one);
                    rest = other;
                }
                pieces.push(rest);
                prop_assert_eq!(kind(&pieces), kind(&[whole]));
            }
        }
    }
}
