//! A mail as a person reads it: headers unfolded and decoded, the text with its transfer encoding undone. Knows only
//! what Lifeboat itself writes (one part of UTF-8 text); anything else is shown as it came.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A mail taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    headers: Vec<(String, String)>,
    /// The text.
    pub text: String,
}

impl Read {
    /// Takes a mail apart; never fails, as a mailbox must show whatever it was sent.
    pub fn of(bytes: &[u8]) -> Read {
        let whole = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        let (head, body) = whole.split_once("\n\n").unwrap_or((&whole, ""));
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in head.lines() {
            match (line.strip_prefix([' ', '\t']), headers.last_mut()) {
                (Some(more), Some((_, value))) => {
                    value.push(' ');
                    value.push_str(more.trim());
                }
                _ => {
                    if let Some((name, value)) = line.split_once(':') {
                        headers.push((name.to_owned(), value.trim().to_owned()));
                    }
                }
            }
        }
        let mut read = Read {
            headers,
            text: String::new(),
        };
        read.text = match read
            .header("Content-Transfer-Encoding")
            .to_lowercase()
            .as_str()
        {
            "base64" => from_base64(body).unwrap_or_else(|| body.to_owned()),
            "quoted-printable" => from_quoted(&body.replace("=\n", ""), '=', false),
            _ => body.to_owned(),
        };
        read
    }

    /// A header's value, decoded; empty when there is none.
    pub fn header(&self, name: &str) -> String {
        let found = self
            .headers
            .iter()
            .find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| decoded(value)).unwrap_or_default()
    }
}

/// Undoes encoded words (RFC 2047).
fn decoded(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(start) = rest.find("=?") {
        let (before, word) = rest.split_at(start);
        // White space between two encoded words is not part of the text.
        if !before.trim().is_empty() || out.is_empty() {
            out.push_str(before);
        }
        let Some((text, after)) = encoded_word(word) else {
            out.push_str(word);
            return out;
        };
        out.push_str(&text);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `=?charset?b|q?text?=` at the start, and what follows it.
fn encoded_word(word: &str) -> Option<(String, &str)> {
    let mut parts = word.strip_prefix("=?")?.splitn(3, '?');
    let (_charset, kind, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (text, after) = rest.split_once("?=")?;
    let text = match kind {
        "b" | "B" => from_base64(text)?,
        "q" | "Q" => from_quoted(text, '=', true),
        _ => return None,
    };
    Some((text, after))
}

fn from_base64(text: &str) -> Option<String> {
    let packed: String = text.chars().filter(|it| !it.is_whitespace()).collect();
    let bytes = BASE64.decode(packed).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
}

fn from_quoted(text: &str, mark: char, underscores: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        let digits = after
            .get(..2)
            .and_then(|it| u8::from_str_radix(it, 16).ok());
        match (letter == mark, digits) {
            (true, Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                let shown = if underscores && letter == '_' {
                    ' '
                } else {
                    letter
                };
                bytes.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_text_are_decoded() {
        let mail = Read::of(
            b"Subject: =?utf-8?b?VmHFoWkgenByw6F2dQ==?=\r\n =?utf-8?q?_m=C3=A1me?= [K7F]\r\nX: y\r\n\
              Content-Transfer-Encoding: quoted-printable\r\n\r\nDobr=C3=BD=\r\n den\r\n",
        );
        assert_eq!(
            mail.header("subject"),
            "Va\u{161}i zpr\u{e1}vu m\u{e1}me [K7F]"
        );
        assert_eq!(mail.text, "Dobr\u{fd} den\n");
    }

    #[test]
    fn what_is_not_a_mail_is_shown_as_it_came() {
        assert_eq!(Read::of(b"").text, "");
        assert_eq!(
            Read::of(b"Subject: =?broken\n\nx=zz").header("Subject"),
            "=?broken"
        );
        assert_eq!(Read::of(b"\xff\n\nbody").text, "body");
    }
}
