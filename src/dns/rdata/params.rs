//! Parameters of service bindings, as SVCB and HTTPS records carry them (RFC 9460 section 2). Unknown keys are `keyNNN`
//! and their values plain bytes. What is out of order or repeated is refused.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use base64::Engine as _;

use super::{Token, read, show};

const KEYS: [&str; 9] = [
    "mandatory",
    "alpn",
    "no-default-alpn",
    "port",
    "ipv4hint",
    "ech",
    "ipv6hint",
    "dohpath",
    "ohttp",
];

/// Whether the bytes are pairs of key and value with rising keys.
pub(super) fn are_ordered(mut rest: &[u8]) -> bool {
    let mut last = None;
    while let Some((key, value, tail)) = next(rest) {
        if last.is_some_and(|it| it >= key) || !fits(key, value) {
            return false;
        }
        last = Some(key);
        rest = tail;
    }
    rest.is_empty()
}

fn next(rest: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let [a, b, c, d, tail @ ..] = rest else {
        return None;
    };
    let (value, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes([*c, *d])))?;
    Some((u16::from_be_bytes([*a, *b]), value, tail))
}

fn fits(key: u16, value: &[u8]) -> bool {
    match key {
        0 => !value.is_empty() && value.len().is_multiple_of(2),
        1 => alpn(value).is_some(),
        2 | 8 => value.is_empty(),
        3 => value.len() == 2,
        4 => !value.is_empty() && value.len().is_multiple_of(4),
        6 => !value.is_empty() && value.len().is_multiple_of(16),
        _ => true,
    }
}

/// The protocols of an `alpn` value.
fn alpn(mut value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut names = Vec::new();
    while let Some((len, tail)) = value.split_first() {
        let (name, tail) = tail
            .split_at_checked(usize::from(*len))
            .filter(|_| *len > 0)?;
        names.push(name);
        value = tail;
    }
    (!names.is_empty()).then_some(names)
}

fn number_of(key: &str) -> Option<u16> {
    let known = KEYS.iter().position(|it| *it == key);
    known.map(|at| at as u16).or_else(|| {
        let digits = key.strip_prefix("key")?;
        let is_plain = digits.bytes().all(|it| it.is_ascii_digit());
        digits.parse().ok().filter(|_| is_plain)
    })
}

/// Reads `key=value` words, in any order.
pub(super) fn parse<'t>(tokens: &[Token<'t>], to: &mut Vec<u8>) -> Result<(), (&'t [u8], String)> {
    let mut found: Vec<(u16, Vec<u8>)> = Vec::new();
    let mut rest = tokens;
    while let Some((token, tail)) = rest.split_first() {
        rest = tail;
        let refused = |wanted: &str| (token.text, wanted.to_owned());
        let at = token.text.iter().position(|it| *it == b'=');
        let (key, mut value) = token.text.split_at(at.unwrap_or(token.text.len()));
        value = value.get(1..).unwrap_or_default();
        // `key="a b"` reaches us as two words, the second in quotation marks.
        if at.is_some()
            && value.is_empty()
            && let Some((quoted, tail)) = rest.split_first().filter(|(it, _)| it.quoted)
        {
            (value, rest) = (quoted.text, tail);
        }
        let key = std::str::from_utf8(key).ok().and_then(number_of);
        let key = key.ok_or_else(|| refused("a known key or keyNNN, then = and its value"))?;
        let value = read_value(key, value).ok_or_else(|| refused(wanted(key)))?;
        if found.iter().any(|(it, _)| *it == key) {
            return Err(refused("each key once"));
        }
        found.push((key, value));
    }
    found.sort_by_key(|(key, _)| *key);
    for (key, value) in found {
        to.extend(key.to_be_bytes());
        to.extend((value.len() as u16).to_be_bytes());
        to.extend(value);
    }
    Ok(())
}

fn wanted(key: u16) -> &'static str {
    match key {
        0 => "mandatory= and keys joined by commas",
        1 => "alpn= and protocols joined by commas, such as h2,h3",
        2 => "no-default-alpn without a value",
        3 => "port= and a number from 0 to 65535",
        4 => "ipv4hint= and IPv4 addresses joined by commas",
        5 => "ech= and base64",
        6 => "ipv6hint= and IPv6 addresses joined by commas",
        8 => "ohttp without a value",
        _ => "a key and its value of at most 65535 bytes",
    }
}

fn read_value(key: u16, text: &[u8]) -> Option<Vec<u8>> {
    let bytes = read::unescaped(text)?;
    let words = || std::str::from_utf8(&bytes).ok().map(|it| it.split(','));
    let value = match key {
        0 => {
            let mut keys: Vec<u16> = words()?.map(number_of).collect::<Option<_>>()?;
            keys.sort_unstable();
            keys.iter().flat_map(|it| it.to_be_bytes()).collect()
        }
        1 => {
            let mut value = Vec::new();
            for name in listed(&bytes)? {
                read::counted(&mut value, &name).filter(|()| !name.is_empty())?;
            }
            value
        }
        3 => (read::number(&bytes, 65_535)
            .ok()
            .filter(|_| !bytes.is_empty())? as u16)
            .to_be_bytes()
            .into(),
        4 => {
            let all: Option<Vec<[u8; 4]>> = words()?
                .map(|it| it.parse().ok().map(|it: Ipv4Addr| it.octets()))
                .collect();
            all?.concat()
        }
        5 => base64::engine::general_purpose::STANDARD
            .decode(&bytes)
            .ok()?,
        6 => {
            let all: Option<Vec<[u8; 16]>> = words()?
                .map(|it| it.parse().ok().map(|it: Ipv6Addr| it.octets()))
                .collect();
            all?.concat()
        }
        _ => bytes,
    };
    (value.len() <= usize::from(u16::MAX) && fits(key, &value)).then_some(value)
}

/// A list with commas, in which `\,` and `\\` are plain characters (RFC 9460 appendix A.1).
fn listed(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut names = vec![Vec::new()];
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' => names.push(Vec::new()),
            b'\\' => names.last_mut()?.push(*bytes.next()?),
            other => names.last_mut()?.push(*other),
        }
    }
    Some(names)
}

/// Writes what [`parse`] reads.
pub(super) fn show(f: &mut fmt::Formatter<'_>, mut rest: &[u8]) -> fmt::Result {
    while let Some((key, value, tail)) = next(rest) {
        rest = tail;
        f.write_str(" ")?;
        show_key(f, key)?;
        if value.is_empty() {
            continue;
        }
        f.write_str("=")?;
        show_value(f, key, value)?;
    }
    Ok(())
}

fn show_key(f: &mut fmt::Formatter<'_>, key: u16) -> fmt::Result {
    match KEYS.get(usize::from(key)) {
        Some(known) => f.write_str(known),
        None => write!(f, "key{key}"),
    }
}

fn show_value(f: &mut fmt::Formatter<'_>, key: u16, value: &[u8]) -> fmt::Result {
    let comma = |f: &mut fmt::Formatter<'_>, at| if at > 0 { f.write_str(",") } else { Ok(()) };
    match key {
        0 => value.chunks_exact(2).enumerate().try_for_each(|(at, it)| {
            comma(f, at)?;
            show_key(f, u16::from_be_bytes([it[0], it[1]]))
        }),
        1 => {
            let mut listed = Vec::new();
            for (at, name) in alpn(value).unwrap_or_default().into_iter().enumerate() {
                if at > 0 {
                    listed.push(b',');
                }
                for byte in name {
                    if matches!(byte, b',' | b'\\') {
                        listed.push(b'\\');
                    }
                    listed.push(*byte);
                }
            }
            show::quoted(f, &listed)
        }
        3 if value.len() == 2 => write!(f, "{}", u16::from_be_bytes([value[0], value[1]])),
        4 => value.chunks_exact(4).enumerate().try_for_each(|(at, it)| {
            comma(f, at)?;
            write!(f, "{}", Ipv4Addr::new(it[0], it[1], it[2], it[3]))
        }),
        5 => write!(
            f,
            "{}",
            base64::engine::general_purpose::STANDARD.encode(value)
        ),
        6 => value.chunks_exact(16).enumerate().try_for_each(|(at, it)| {
            comma(f, at)?;
            let bytes: [u8; 16] = it.try_into().unwrap_or_default();
            write!(f, "{}", Ipv6Addr::from(bytes))
        }),
        _ => show::quoted(f, value),
    }
}
