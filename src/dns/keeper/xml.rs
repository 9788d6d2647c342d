//! As much XML as one provider's answers need: elements and their texts, no attributes, no entities but the five.
//! What is no such XML gives nothing, never a panic.

use crate::model::limits::KEEPER_XML_DEPTH_MAX;

/// An element with what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    name: String,
    text: String,
    inside: Vec<Element>,
}

impl Element {
    /// Reads a whole document; gives its outermost element.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut open = vec![Self::default()];
        let mut rest = text;
        while let Some(at) = rest.find('<') {
            let (before, tail) = rest.split_at(at);
            open.last_mut()?.text.push_str(&plain(before)?);
            let end = tail.find('>')?;
            let tag = &tail[1..end];
            rest = &tail[end + 1..];
            match tag.as_bytes().first()? {
                b'?' | b'!' => {}
                b'/' => {
                    let done = open.pop()?;
                    if done.name != tag[1..].trim_end() {
                        return None;
                    }
                    open.last_mut()?.inside.push(done);
                }
                _ => {
                    let alone = tag.ends_with('/');
                    let name = tag.trim_end_matches('/').split_whitespace().next()?;
                    let element = Self {
                        name: name.to_owned(),
                        ..Self::default()
                    };
                    if alone {
                        open.last_mut()?.inside.push(element);
                    } else if open.len() <= KEEPER_XML_DEPTH_MAX {
                        open.push(element);
                    } else {
                        return None;
                    }
                }
            }
        }
        let root = open.pop().filter(|_| open.is_empty())?;
        root.inside.into_iter().next()
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The elements of this name directly in it.
    pub(super) fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.inside.iter().filter(move |it| it.name == name)
    }

    /// The first element at the end of a way of names.
    pub(super) fn at<'e>(&'e self, way: &[&str]) -> Option<&'e Element> {
        let step = |at: &'_ Element, name: &&str| at.inside.iter().position(|it| it.name == *name);
        let mut at = self;
        for name in way {
            at = &at.inside[step(at, name)?];
        }
        Some(at)
    }

    /// The text of that element.
    pub(super) fn text<'e>(&'e self, way: &[&str]) -> Option<&'e str> {
        self.at(way).map(|it| it.text.trim())
    }
}

/// Text with its entities read.
fn plain(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(';')? + at;
        out.push(match &rest[at + 1..end] {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let code = match number.strip_prefix("#x") {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.strip_prefix('#')?.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

/// Text as it may stand in an element.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_and_their_texts_are_read() {
        let read = Element::read(
            b"<?xml version=\"1.0\"?>\n<A xmlns=\"x\"><B>1 &amp; &#50;</B><B/><C><D> y </D></C></A>",
        );
        let read = read.unwrap();
        assert_eq!(read.name(), "A");
        assert_eq!(read.text(&["B"]), Some("1 & 2"));
        assert_eq!(read.all("B").count(), 2);
        assert_eq!(read.text(&["C", "D"]), Some("y"));
        for bad in ["", "<A>", "<A></B>", "</A>", "<A>&x;</A>", "<", "<>"] {
            assert_eq!(Element::read(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Element::read("<A>".repeat(1_000).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_panic(text in "[<>/&;a#? ]{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Element::read(text.as_bytes());
            let _ = Element::read(&bytes);
        }
    }
}
