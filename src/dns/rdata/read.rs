//! Record data from the text of zone files (RFC 1035 section 5.1, RFC 3597 section 5). Every field that is wrong is told,
//! not the first alone. What a line is and where it ends is known to the reader of files, not here.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;

use super::{Field, bitmap, fields, location, params, split};
use crate::{dns::name, model::domain::RrType};

/// One word of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'t> {
    /// Its bytes with escapes as they stand, without the quotation marks.
    pub text: &'t [u8],
    /// Whether it stood in quotation marks.
    pub quoted: bool,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field.
    pub field: &'static str,
    /// What stands there.
    pub found: String,
    /// What would be accepted.
    pub wanted: String,
}

impl Fault {
    pub(super) fn new(field: &'static str, found: &[u8], wanted: impl Into<String>) -> Self {
        Self {
            field,
            found: shortened(found),
            wanted: wanted.into(),
        }
    }
}

/// Foreign text for a message: one line, and not a long one.
pub fn shortened(text: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(&text[..text.len().min(60)])
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.len() > 60 {
        shown + "..."
    } else {
        shown
    }
}

/// Reads the data of one record. Names without a final dot are completed by `origin`.
///
/// # Errors
/// Every field that is wrong.
pub fn read(rtype: RrType, tokens: &[Token<'_>], origin: &[u8]) -> Result<Vec<u8>, Vec<Fault>> {
    if let [first, rest @ ..] = tokens
        && first.text == b"\\#"
        && !first.quoted
    {
        return opaque(rtype, rest).map_err(|fault| vec![fault]);
    }
    let Some(fields) = fields(rtype) else {
        let wanted = format!("data of {rtype} as \\# length hexadecimal");
        let found = tokens.first().map_or(&b""[..], |it| it.text);
        return Err(vec![Fault::new("data", found, wanted)]);
    };
    let (mut bytes, mut faults, mut rest) = (Vec::new(), Vec::new(), tokens);
    for (field, called) in fields {
        let read = match field {
            Field::Texts
            | Field::Base64
            | Field::Hex
            | Field::Bitmap
            | Field::Params
            | Field::Location => whole(*field, std::mem::take(&mut rest), &mut bytes),
            _ => match rest.split_first() {
                Some((token, tail)) => {
                    rest = tail;
                    single(*field, token, origin, &mut bytes).map_err(|wanted| (token.text, wanted))
                }
                None => Err((&b""[..], wanted(*field).to_owned())),
            },
        };
        if let Err((found, wanted)) = read {
            faults.push(Fault::new(called, found, wanted));
        }
    }
    if let Some(token) = rest.first() {
        let wanted = format!("the end of the line after the data of {rtype}");
        faults.push(Fault::new("data", token.text, wanted));
    }
    if bytes.len() > usize::from(u16::MAX) {
        faults.push(Fault::new("data", b"", "data of at most 65,535 bytes"));
    }
    if faults.is_empty() {
        Ok(bytes)
    } else {
        Err(faults)
    }
}

/// `\# length hexadecimal`, for any type (RFC 3597 section 5).
fn opaque(rtype: RrType, tokens: &[Token<'_>]) -> Result<Vec<u8>, Fault> {
    let (len, digits) = tokens
        .split_first()
        .ok_or_else(|| Fault::new("data", b"", "a length after \\#"))?;
    let wanted_len: usize = number(len.text, u32::from(u16::MAX))
        .map_err(|wanted| Fault::new("data length", len.text, wanted))?
        as usize;
    let bytes = hex(digits).map_err(|(found, wanted)| Fault::new("data", found, wanted))?;
    if bytes.len() != wanted_len {
        let found = format!("{} bytes", bytes.len());
        let wanted = format!("{wanted_len} bytes, as the length says");
        return Err(Fault::new("data", found.as_bytes(), wanted));
    }
    match split(rtype, &bytes) {
        Ok(_) => Ok(bytes),
        Err(field) => Err(Fault::new(
            "data",
            field.as_bytes(),
            format!("bytes that are data of {rtype}"),
        )),
    }
}

/// What a field takes, in words.
fn wanted(field: Field) -> &'static str {
    match field {
        Field::Byte => "a number from 0 to 255",
        Field::Short => "a number from 0 to 65535",
        Field::Long => "a number from 0 to 4294967295",
        Field::Seconds => "seconds from 0 to 2147483647, or a time such as 1h30m",
        Field::Date => "a date as YYYYMMDDHHMMSS, or seconds since 1970",
        Field::V4 => "an IPv4 address such as 192.0.2.1",
        Field::V6 => "an IPv6 address such as 2001:db8::1",
        Field::Name => "a domain name: labels of 1 to 63 bytes, at most 255 bytes in all",
        Field::Text => "a text of at most 255 bytes",
        Field::Texts => "texts of at most 255 bytes each",
        Field::Rest => "a text",
        Field::Tag => "1 to 255 letters and digits",
        Field::Type => "a type of record",
        Field::Algorithm => "the number or name of an algorithm",
        Field::Certificate => "the number or name of a kind of certificate",
        Field::Base64 => "base64",
        Field::Hex => "pairs of hexadecimal digits",
        Field::Salt => "at most 255 pairs of hexadecimal digits, or -",
        Field::Hash => "a hash in base32 (RFC 4648 section 7)",
        Field::Bitmap => "types of records",
        Field::Eui48 => "six pairs of hexadecimal digits joined by -",
        Field::Eui64 => "eight pairs of hexadecimal digits joined by -",
        Field::Location => {
            "a location as \"52 14 05 N 0 8 50 E 10m\": degrees, minutes, seconds, altitude (RFC 1876)"
        }
        Field::Params => "parameters as key=value (RFC 9460)",
    }
}

fn single(field: Field, token: &Token<'_>, origin: &[u8], to: &mut Vec<u8>) -> Result<(), String> {
    let refused = || wanted(field).to_owned();
    let text = std::str::from_utf8(token.text).unwrap_or_default();
    match field {
        Field::Byte => to.push(number(token.text, 255)? as u8),
        Field::Short => to.extend((number(token.text, 65_535)? as u16).to_be_bytes()),
        Field::Long => to.extend(number(token.text, u32::MAX)?.to_be_bytes()),
        Field::Seconds => to.extend(seconds(token.text).ok_or_else(refused)?.to_be_bytes()),
        Field::Date => to.extend(date(text).ok_or_else(refused)?.to_be_bytes()),
        Field::V4 => to.extend(text.parse::<Ipv4Addr>().map_err(|_| refused())?.octets()),
        Field::V6 => to.extend(text.parse::<Ipv6Addr>().map_err(|_| refused())?.octets()),
        Field::Name => to.extend(name::read(token.text, origin).ok_or_else(refused)?),
        Field::Text => {
            counted(to, &unescaped(token.text).ok_or_else(refused)?).ok_or_else(refused)?
        }
        Field::Rest => to.extend(unescaped(token.text).ok_or_else(refused)?),
        Field::Tag => {
            let fits = !token.text.is_empty() && token.text.iter().all(u8::is_ascii_alphanumeric);
            fits.then(|| counted(to, token.text))
                .flatten()
                .ok_or_else(refused)?;
        }
        Field::Type => to.extend(
            text.parse::<RrType>()
                .map_err(|_| refused())?
                .0
                .to_be_bytes(),
        ),
        Field::Algorithm => to.push(match algorithm(text) {
            Some(known) => known,
            None => number(token.text, 255).map_err(|_| refused())? as u8,
        }),
        Field::Certificate => {
            let known = [
                "PKIX", "SPKI", "PGP", "IPKIX", "ISPKI", "IPGP", "ACPKIX", "IACPKIX",
            ];
            let at = known.iter().position(|it| it.eq_ignore_ascii_case(text));
            let kind = match at {
                Some(at) => at as u32 + 1,
                None => number(token.text, 65_535).map_err(|_| refused())?,
            };
            to.extend((kind as u16).to_be_bytes());
        }
        Field::Salt if text == "-" => to.push(0),
        Field::Salt => {
            let bytes = hex(std::slice::from_ref(token)).map_err(|_| refused())?;
            counted(to, &bytes).ok_or_else(refused)?;
        }
        Field::Hash => {
            let bytes = base32(token.text)
                .filter(|it| !it.is_empty())
                .ok_or_else(refused)?;
            counted(to, &bytes).ok_or_else(refused)?;
        }
        Field::Eui48 | Field::Eui64 => {
            let pairs: Option<Vec<u8>> = text.split('-').map(pair).collect();
            let wanted = if field == Field::Eui48 { 6 } else { 8 };
            to.extend(pairs.filter(|it| it.len() == wanted).ok_or_else(refused)?);
        }
        Field::Texts
        | Field::Base64
        | Field::Hex
        | Field::Bitmap
        | Field::Params
        | Field::Location => {}
    }
    Ok(())
}

type Refused<'t> = (&'t [u8], String);

/// Fields that take all that is left of the line.
fn whole<'t>(field: Field, tokens: &[Token<'t>], to: &mut Vec<u8>) -> Result<(), Refused<'t>> {
    let first = tokens.first().map_or(&b""[..], |it| it.text);
    let refused = |found| (found, wanted(field).to_owned());
    match field {
        Field::Texts => {
            for token in tokens {
                unescaped(token.text)
                    .and_then(|bytes| counted(to, &bytes))
                    .ok_or_else(|| refused(token.text))?;
            }
            if tokens.is_empty() {
                return Err(refused(b""));
            }
        }
        Field::Base64 => {
            let digits: Vec<u8> = tokens.iter().flat_map(|it| it.text).copied().collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(digits);
            to.extend(
                bytes
                    .ok()
                    .filter(|it| !it.is_empty())
                    .ok_or_else(|| refused(first))?,
            );
        }
        Field::Hex => to.extend(hex(tokens)?),
        Field::Bitmap => {
            let mut types = Vec::new();
            for token in tokens {
                let text = std::str::from_utf8(token.text).unwrap_or_default();
                types.push(text.parse().map_err(|_| refused(token.text))?);
            }
            to.extend(bitmap(&types));
        }
        Field::Params => params::parse(tokens, to)?,
        _ => to.extend(location::read(tokens).ok_or_else(|| refused(first))?),
    }
    Ok(())
}

/// A decimal number up to `max`.
pub(super) fn number(text: &[u8], max: u32) -> Result<u32, String> {
    let wanted = || format!("a number from 0 to {max}");
    if !text.iter().all(u8::is_ascii_digit) {
        return Err(wanted());
    }
    let text = std::str::from_utf8(text).map_err(|_| wanted())?;
    text.parse().ok().filter(|it| *it <= max).ok_or_else(wanted)
}

/// Seconds, or numbers with the units w, d, h, m and s; at most 2^31 - 1 (RFC 2181 section 8).
pub fn seconds(text: &[u8]) -> Option<u32> {
    let (mut sum, mut number, mut digits) = (0_u64, 0_u64, 0);
    for byte in text {
        if byte.is_ascii_digit() {
            number = number * 10 + u64::from(byte - b'0');
            digits += 1;
            if digits > 10 {
                return None;
            }
            continue;
        }
        let unit = match byte.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        if digits == 0 {
            return None;
        }
        sum = sum.saturating_add(number * unit);
        (number, digits) = (0, 0);
    }
    let fits = text.first()?.is_ascii_digit();
    let sum = sum.saturating_add(number);
    (fits && sum <= i32::MAX as u64).then_some(sum as u32)
}

/// `YYYYMMDDHHMMSS` in UTC, or seconds since 1970, modulo 2^32 (RFC 4034 section 3.2).
fn date(text: &str) -> Option<u32> {
    if text.len() != 14 {
        return number(text.as_bytes(), u32::MAX)
            .ok()
            .filter(|_| !text.is_empty());
    }
    let part = |range: std::ops::Range<usize>| -> Option<u32> {
        number(text.as_bytes().get(range)?, 9_999).ok()
    };
    let small = |range| part(range).and_then(|it| u8::try_from(it).ok());
    let month = time::Month::try_from(small(4..6)?).ok()?;
    let day = time::Date::from_calendar_date(i32::try_from(part(0..4)?).ok()?, month, small(6..8)?);
    let at = day
        .ok()?
        .with_hms(small(8..10)?, small(10..12)?, small(12..14)?);
    Some(at.ok()?.assume_utc().unix_timestamp() as u32)
}

/// The algorithms of RFC 9904 by name.
fn algorithm(text: &str) -> Option<u8> {
    const KNOWN: [(&str, u8); 9] = [
        ("RSASHA1", 5),
        ("RSASHA1-NSEC3-SHA1", 7),
        ("RSASHA256", 8),
        ("RSASHA512", 10),
        ("ECDSAP256SHA256", 13),
        ("ECDSAP384SHA384", 14),
        ("ED25519", 15),
        ("ED448", 16),
        ("PRIVATEDNS", 253),
    ];
    let known = KNOWN.iter().find(|(it, _)| it.eq_ignore_ascii_case(text));
    known.map(|(_, number)| *number)
}

/// The bytes that a word with escapes stands for.
pub(super) fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        let (byte, used) = name::unescaped(&text[at..])?;
        bytes.push(byte);
        at += used;
    }
    Some(bytes)
}

/// Adds bytes with their length in front; none when there are more than 255.
pub(super) fn counted(to: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    to.push(u8::try_from(bytes.len()).ok()?);
    to.extend_from_slice(bytes);
    Some(())
}

fn pair(text: &str) -> Option<u8> {
    let is_pair = text.len() == 2 && text.bytes().all(|it| it.is_ascii_hexdigit());
    is_pair.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

/// Hexadecimal digits of several words as one run.
fn hex<'t>(tokens: &[Token<'t>]) -> Result<Vec<u8>, Refused<'t>> {
    let refused = |found| (found, wanted(Field::Hex).to_owned());
    let mut digits = Vec::new();
    for token in tokens {
        for byte in token.text {
            let digit = char::from(*byte).to_digit(16);
            digits.push(digit.ok_or_else(|| refused(token.text))? as u8);
        }
    }
    if !digits.len().is_multiple_of(2) {
        return Err(refused(tokens.last().map_or(&b""[..], |it| it.text)));
    }
    Ok(digits.chunks(2).map(|it| it[0] << 4 | it[1]).collect())
}

/// Base32 with the extended hex alphabet, without padding (RFC 4648 section 7).
pub fn base32(text: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for byte in text {
        let digit = match byte.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'v' => letter - b'a' + 10,
            _ => return None,
        };
        held = (held << 5 | u32::from(digit)) & 0xffff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    let is_whole = bits < 5 && held & ((1 << bits) - 1) == 0;
    is_whole.then_some(bytes)
}
