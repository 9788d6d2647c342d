//! Forms with files (RFC 7578, multipart/form-data), read as they come: what was read is passed on at once, and never more
//! than a part's header or a boundary's length stays behind. Pure.
//!
//! Of our own, because the readers there are take in as much as a socket gives, which is the whole body.

use crate::model::limits::{
    FORM_BOUNDARY_BYTES_MAX, FORM_HEAD_BYTES_MAX, FORM_PADDING_BYTES_MAX, FORM_PARTS_MAX,
};

/// Why a body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The content type names no boundary.
    #[error("the form does not say where its parts end")]
    NoBoundary,
    /// It ends before its last boundary.
    #[error("the form ended early")]
    EndedEarly,
    /// A part begins in a way that no browser writes.
    #[error("a part of the form has no header that can be read")]
    Head,
    /// More parts than any form of ours has.
    #[error("the form has more than {FORM_PARTS_MAX} parts")]
    TooMany,
}

/// What comes, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    Part {
        /// The field.
        name: String,
        /// The file's name, where the part is one.
        file: Option<String>,
    },
    /// Bytes of it.
    Data(Vec<u8>),
    /// It ends.
    End,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Preamble,
    AfterBoundary,
    Head,
    Data,
    Done,
}

/// A form that is being read.
#[derive(Debug)]
pub struct Reader {
    /// What ends a part: a line's end, two lines and the boundary.
    delimiter: Vec<u8>,
    stage: Stage,
    /// What was not passed on yet.
    rest: Vec<u8>,
    parts: usize,
}

impl Reader {
    /// A reader for a body of this content type.
    ///
    /// # Errors
    /// When it is not multipart/form-data with a boundary.
    pub fn new(content_type: &str) -> Result<Self, Malformed> {
        let boundary = boundary(content_type).ok_or(Malformed::NoBoundary)?;
        Ok(Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            stage: Stage::Preamble,
            // The first boundary has no line before it.
            rest: b"\r\n".to_vec(),
            parts: 0,
        })
    }

    /// Reads on.
    ///
    /// # Errors
    /// When the body is none of a form's. Nothing more is to be read then.
    pub fn read(&mut self, bytes: &[u8], mut tell: impl FnMut(Event)) -> Result<(), Malformed> {
        if self.stage == Stage::Done {
            return Ok(());
        }
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(used) = self.step(at, &mut tell)? {
            at += used;
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// Says whether the form came whole.
    ///
    /// # Errors
    /// When it did not.
    pub fn end(self) -> Result<(), Malformed> {
        match self.stage {
            Stage::Done => Ok(()),
            _ => Err(Malformed::EndedEarly),
        }
    }

    /// Does the next thing with what begins at `at`; how many bytes it took, or nothing until more comes.
    fn step(
        &mut self,
        at: usize,
        tell: &mut impl FnMut(Event),
    ) -> Result<Option<usize>, Malformed> {
        let rest = &self.rest[at..];
        match self.stage {
            Stage::Preamble | Stage::Data => {
                let (upto, found) = match find(rest, &self.delimiter) {
                    Some(place) => (place, true),
                    // The last bytes may be the beginning of a boundary.
                    None => ((rest.len() + 1).saturating_sub(self.delimiter.len()), false),
                };
                let in_part = self.stage == Stage::Data;
                if in_part && upto > 0 {
                    tell(Event::Data(rest[..upto].to_vec()));
                }
                if !found {
                    return Ok((upto > 0).then_some(upto));
                }
                if in_part {
                    tell(Event::End);
                }
                self.stage = Stage::AfterBoundary;
                Ok(Some(upto + self.delimiter.len()))
            }
            Stage::AfterBoundary => {
                if rest.starts_with(b"--") {
                    self.stage = Stage::Done;
                    return Ok(Some(rest.len()));
                }
                match find(rest, b"\r\n") {
                    Some(place) if rest[..place].iter().all(|it| b" \t".contains(it)) => {
                        self.stage = Stage::Head;
                        Ok(Some(place + 2))
                    }
                    Some(_) => Err(Malformed::Head),
                    None if rest.len() > FORM_PADDING_BYTES_MAX => Err(Malformed::Head),
                    None => Ok(None),
                }
            }
            Stage::Head => match find(rest, b"\r\n\r\n") {
                Some(place) if place <= FORM_HEAD_BYTES_MAX => {
                    self.parts += 1;
                    if self.parts > FORM_PARTS_MAX {
                        return Err(Malformed::TooMany);
                    }
                    tell(head(&rest[..place]).ok_or(Malformed::Head)?);
                    self.stage = Stage::Data;
                    Ok(Some(place + 4))
                }
                Some(_) => Err(Malformed::Head),
                None if rest.len() > FORM_HEAD_BYTES_MAX + 4 => Err(Malformed::Head),
                None => Ok(None),
            },
            Stage::Done => Ok(None),
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut at = 0;
    loop {
        at += text.get(at..)?.iter().position(|it| *it == first)?;
        if text[at..].starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
}

/// The boundary that a content type names.
fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(rest, "boundary")?;
    let sound = (1..=FORM_BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary
            .bytes()
            .all(|it| it.is_ascii_graphic() || it == b' ');
    sound.then_some(boundary)
}

/// What a part's header says of it.
fn head(bytes: &[u8]) -> Option<Event> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split("\r\n");
    let mut disposition = lines.filter_map(|it| it.split_once(':'));
    let value = disposition
        .find(|it| it.0.trim().eq_ignore_ascii_case("content-disposition"))?
        .1;
    let (kind, rest) = value.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    Some(Event::Part {
        name: parameter(rest, "name")?,
        file: parameter(rest, "filename"),
    })
}

/// A parameter's value, quoted or not. Browsers write `%22` for a quote and leave a backslash as it is; programs escape
/// with it.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim().trim_start_matches(';').trim();
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices().peekable());
    while let Some((at, it)) = chars.next() {
        match it {
            '"' => return Some((value.replace("%22", "\""), &text[at + 1..])),
            '\\' => match chars.peek() {
                Some((_, next @ ('"' | '\\'))) => {
                    value.push(*next);
                    chars.next();
                }
                _ => value.push('\\'),
            },
            _ => value.push(it),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=----WebKitFormBoundaryX";

    fn read(content_type: &str, pieces: &[&[u8]]) -> Result<Vec<Event>, Malformed> {
        let mut reader = Reader::new(content_type)?;
        let mut events: Vec<Event> = Vec::new();
        for piece in pieces {
            reader.read(piece, |it| match (events.last_mut(), it) {
                (Some(Event::Data(all)), Event::Data(more)) => all.extend(more),
                (_, it) => events.push(it),
            })?;
            assert!(reader.rest.len() <= FORM_HEAD_BYTES_MAX + piece.len() + 200);
        }
        reader.end()?;
        Ok(events)
    }

    fn part(name: &str, file: Option<&str>) -> Event {
        Event::Part {
            name: name.to_owned(),
            file: file.map(str::to_owned),
        }
    }

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let body = b"------WebKitFormBoundaryX\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nHelp\r\n------WebKitFormBoundaryX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a%22b\\c.png\"\r\nContent-Type: image/png\r\n\r\n\r\n--\r\n------WebKitFormBoundary\r\n------WebKitFormBoundaryX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n------WebKitFormBoundaryX--\r\n";
        assert_eq!(
            read(TYPE, &[body]).unwrap(),
            [
                part("text", None),
                Event::Data(b"Help".to_vec()),
                Event::End,
                part("file", Some("a\"b\\c.png")),
                Event::Data(b"\r\n--\r\n------WebKitFormBoundary".to_vec()),
                Event::End,
                part("file", Some("")),
                Event::End,
            ]
        );
    }

    #[test]
    fn what_is_no_form_is_told_so() {
        let wrong = |content_type: &str| Reader::new(content_type).err();
        for content_type in [
            "",
            "multipart/form-data",
            "multipart/mixed; boundary=a",
            "multipart/form-data; boundary=",
            &format!("multipart/form-data; boundary={}", "a".repeat(71)),
            "application/x-www-form-urlencoded; boundary=a",
        ] {
            assert_eq!(
                wrong(content_type),
                Some(Malformed::NoBoundary),
                "{content_type}"
            );
        }
        let form = |body: &[u8]| read("multipart/form-data; boundary=\"a\"", &[body]);
        assert_eq!(form(b"--a--"), Ok(vec![]));
        assert_eq!(form(b""), Err(Malformed::EndedEarly));
        assert_eq!(form(b"--a\r\nX: y\r\n\r\nx\r\n--a--"), Err(Malformed::Head));
        assert_eq!(form(b"--a x\r\n"), Err(Malformed::Head));
        let long = [
            b"--a\r\nX: ".as_slice(),
            &vec![b'x'; FORM_HEAD_BYTES_MAX + 10],
        ]
        .concat();
        assert_eq!(form(&long), Err(Malformed::Head));
        let one = "--a\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n";
        assert_eq!(
            form(one.repeat(FORM_PARTS_MAX + 1).as_bytes()),
            Err(Malformed::TooMany)
        );
    }

    proptest! {
        #[test]
        fn what_was_sent_comes_out_wherever_it_was_cut(
            data: Vec<u8>, near in "[\r\n\\-a]{0,60}", cuts in proptest::collection::vec(0_usize..40, 0..30)
        ) {
            let data = [&data[..], near.as_bytes()].concat();
            prop_assume!(find(&data, b"\r\n--a").is_none());
            let body = [
                b"--a\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n\"\r\n\r\n".as_slice(),
                &data,
                b"\r\n--a--\r\n",
            ].concat();
            let (mut pieces, mut rest) = (Vec::new(), &body[..]);
            for cut in cuts {
                let (one, other) = rest.split_at(cut.min(rest.len()));
                pieces.push(one);
                rest = other;
            }
            pieces.push(rest);
            let mut wanted = vec![part("f", Some("n"))];
            if !data.is_empty() {
                wanted.push(Event::Data(data));
            }
            wanted.push(Event::End);
            prop_assert_eq!(read("multipart/form-data; boundary=a", &pieces).unwrap(), wanted);
        }

        #[test]
        fn no_body_can_disturb_it(bytes: Vec<u8>, near in "[\r\na:;=\" \\-]{0,200}") {
            let _ = read("multipart/form-data; boundary=a", &[&bytes, near.as_bytes()]);
        }
    }
}
