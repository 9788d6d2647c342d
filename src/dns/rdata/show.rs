//! Record data as the text of zone files: what the reader reads. Data that does not fit its type, or whose text could
//! not tell all of it, is written as RFC 3597 section 5 writes unknown types. Fails for nothing.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use base64::Engine as _;

use super::{Field, bitmap, bitmap_types, location, params, split};
use crate::{dns::name, model::domain::RrType};

/// Shows the data of a record of this type.
pub struct Shown<'d>(pub RrType, pub &'d [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = split(self.0, self.1).unwrap_or_default();
        if parts.is_empty() || !parts.iter().all(|(field, bytes)| tells_all(*field, bytes)) {
            return opaque(f, self.1);
        }
        for (at, (field, bytes)) in parts.iter().enumerate() {
            // What may be empty to the end brings its own space.
            let own_space = matches!(field, Field::Bitmap | Field::Params);
            if at > 0 && !own_space {
                f.write_str(" ")?;
            }
            show(f, *field, bytes)?;
        }
        Ok(())
    }
}

/// Whether reading the text gives these bytes again.
fn tells_all(field: Field, bytes: &[u8]) -> bool {
    match field {
        Field::Base64 => !bytes.is_empty(),
        Field::Location => location::can_show(bytes),
        Field::Seconds => long(bytes) <= i32::MAX as u32,
        Field::Tag => bytes[1..].iter().all(u8::is_ascii_alphanumeric),
        Field::Bitmap => bitmap(&bitmap_types(bytes)) == bytes,
        _ => true,
    }
}

fn opaque(f: &mut fmt::Formatter<'_>, data: &[u8]) -> fmt::Result {
    write!(f, "\\# {}", data.len())?;
    if !data.is_empty() {
        f.write_str(" ")?;
    }
    hex(f, data)
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|it| write!(f, "{it:02x}"))
}

fn long(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, it| sum << 8 | u32::from(*it))
}

fn show(f: &mut fmt::Formatter<'_>, field: Field, bytes: &[u8]) -> fmt::Result {
    match field {
        Field::Byte
        | Field::Short
        | Field::Long
        | Field::Seconds
        | Field::Algorithm
        | Field::Certificate => write!(f, "{}", long(bytes)),
        Field::Date => date(f, long(bytes)),
        Field::V4 => write!(f, "{}", Ipv4Addr::from(long(bytes))),
        Field::V6 => {
            let bytes: [u8; 16] = bytes.try_into().unwrap_or_default();
            write!(f, "{}", Ipv6Addr::from(bytes))
        }
        Field::Name => write!(f, "{}", name::Shown(bytes)),
        Field::Text => quoted(f, &bytes[1..]),
        Field::Texts => {
            let mut rest = bytes;
            while let Some((len, tail)) = rest.split_first() {
                let (text, tail) = tail.split_at(usize::from(*len).min(tail.len()));
                quoted(f, text)?;
                if !tail.is_empty() {
                    f.write_str(" ")?;
                }
                rest = tail;
            }
            Ok(())
        }
        Field::Rest => quoted(f, bytes),
        Field::Tag => f.write_str(&String::from_utf8_lossy(&bytes[1..])),
        Field::Type => write!(f, "{}", RrType(long(bytes) as u16)),
        Field::Base64 => f.write_str(&base64::engine::general_purpose::STANDARD.encode(bytes)),
        Field::Hex => hex(f, bytes),
        Field::Salt if bytes.len() == 1 => f.write_str("-"),
        Field::Salt => hex(f, &bytes[1..]),
        Field::Hash => f.write_str(&base32(&bytes[1..])),
        Field::Bitmap => bitmap_types(bytes)
            .iter()
            .try_for_each(|it| write!(f, " {it}")),
        Field::Eui48 | Field::Eui64 => bytes.iter().enumerate().try_for_each(|(at, it)| {
            let dash = if at > 0 { "-" } else { "" };
            write!(f, "{dash}{it:02x}")
        }),
        Field::Location => location::show(f, bytes),
        Field::Params => params::show(f, bytes),
    }
}

/// A text in quotation marks.
pub(super) fn quoted(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    f.write_str("\"")?;
    for byte in text {
        match byte {
            b'"' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
            0x20..=0x7e => write!(f, "{}", char::from(*byte))?,
            other => write!(f, "\\{other:03}")?,
        }
    }
    f.write_str("\"")
}

fn date(f: &mut fmt::Formatter<'_>, seconds: u32) -> fmt::Result {
    match time::OffsetDateTime::from_unix_timestamp(i64::from(seconds)) {
        Ok(at) => write!(
            f,
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ),
        Err(_) => write!(f, "{seconds}"),
    }
}

/// Base32 with the extended hex alphabet in small letters, without padding (RFC 4648 section 7).
pub fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let (mut text, mut held, mut bits) = (String::new(), 0_u32, 0);
    for byte in bytes {
        held = (held << 8 | u32::from(*byte)) & 0xffff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(DIGITS[(held >> bits) as usize & 31]));
        }
    }
    if bits > 0 {
        text.push(char::from(DIGITS[(held << (5 - bits)) as usize & 31]));
    }
    text
}
