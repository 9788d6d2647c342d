//! Finding the styles and scripts that stand inside a page, so that its content security policy can name their hashes
//! and stay strict. This is no HTML parser: what it misses, a browser blocks; what it finds was written by the author.

use sha2::{Digest, Sha256};

use crate::model::limits::SITE_INLINE_HASHES;

/// SHA-256 of what a page holds inline, in the order of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inline {
    /// Of each `<style>`.
    pub styles: Vec<[u8; 32]>,
    /// Of each `<script>` without `src`.
    pub scripts: Vec<[u8; 32]>,
}

/// The inline styles and scripts of a page, at most `SITE_INLINE_HASHES` of each.
pub fn hashes(page: &[u8]) -> Inline {
    let mut found = Inline::default();
    let mut rest = page;
    while let Some(start) = rest.iter().position(|&b| b == b'<') {
        rest = &rest[start..];
        if let Some(comment) = rest.strip_prefix(b"<!--") {
            let Some(end) = position(comment, b"-->") else {
                break;
            };
            rest = &comment[end..];
            continue;
        }
        let element = [&b"style"[..], b"script"]
            .into_iter()
            .find(|name| opens(rest, name));
        let Some(name) = element else {
            rest = &rest[1..];
            continue;
        };
        let Some(tag_end) = tag_end(rest) else {
            break;
        };
        let (tag, after) = rest.split_at(tag_end);
        let Some(end) = closing(after, name) else {
            break;
        };
        let list = if name == b"style" {
            &mut found.styles
        } else {
            &mut found.scripts
        };
        if list.len() < SITE_INLINE_HASHES && !has_source(tag) {
            list.push(digest(&after[..end]));
        }
        rest = &after[end..];
    }
    found
}

/// Whether `<name` stands here, as a whole word.
fn opens(at: &[u8], name: &[u8]) -> bool {
    let end = 1 + name.len();
    at.len() > end
        && at[1..end].eq_ignore_ascii_case(name)
        && (at[end].is_ascii_whitespace() || matches!(at[end], b'>' | b'/'))
}

/// Where the tag that begins here ends, after its `>`; quoted values may hold one too.
fn tag_end(at: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (index, &byte) in at.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(index + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
    }
    None
}

/// Where `</name` begins.
fn closing(content: &[u8], name: &[u8]) -> Option<usize> {
    (0..content.len().saturating_sub(name.len() + 1)).find(|&at| {
        content[at] == b'<'
            && content[at + 1] == b'/'
            && content[at + 2..].len() >= name.len()
            && content[at + 2..at + 2 + name.len()].eq_ignore_ascii_case(name)
    })
}

fn has_source(tag: &[u8]) -> bool {
    tag.windows(5)
        .any(|w| w[0].is_ascii_whitespace() && w[1..].eq_ignore_ascii_case(b"src="))
}

fn position(content: &[u8], wanted: &[u8]) -> Option<usize> {
    content.windows(wanted.len()).position(|w| w == wanted)
}

/// Browsers hash what their parser sees, in which every line break is one LF.
fn digest(content: &[u8]) -> [u8; 32] {
    let mut lines = Vec::with_capacity(content.len());
    let mut bytes = content.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\r' {
            lines.push(byte);
        } else if bytes.peek() != Some(&b'\n') {
            lines.push(b'\n');
        }
    }
    Sha256::digest(&lines).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> [u8; 32] {
        Sha256::digest(text).into()
    }

    #[test]
    fn inline_styles_and_scripts_are_found_and_linked_ones_are_not() {
        let page = "<!doctype html><STYLE media='a>b'>a\r\n{}</Style><!-- <style>no</style> -->\
            <script src=/x.js></script><script>run()</script ><styles>no</styles>";
        let found = hashes(page.as_bytes());
        assert_eq!(found.styles, [of("a\n{}")]);
        assert_eq!(found.scripts, [of("run()")]);
    }

    #[test]
    fn a_page_cannot_make_the_header_endless() {
        let page = "<style>a</style>".repeat(SITE_INLINE_HASHES + 5);
        assert_eq!(hashes(page.as_bytes()).styles.len(), SITE_INLINE_HASHES);
    }

    proptest! {
        #[test]
        fn no_page_panics(page in "(<style|<script|</style|>|<!--|-->|'|\"| src=|[a-z]| ){0,60}") {
            hashes(page.as_bytes());
        }
    }
}
