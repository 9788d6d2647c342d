//! The data of records: which fields each type has, in one table that reading, writing, checking and compression follow.
//! A type that is not in the table is opaque (RFC 3597). Data that does not fit its type gives a reason, never a panic.

mod location;
mod params;
mod read;
mod show;

pub use read::{Fault, Token, base32, read, seconds, shortened};
pub use show::{Shown, base32 as base32_of};

use crate::model::domain::RrType;

use super::name;

/// A field of record data, by how the wire and the text write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// One byte, as a number.
    Byte,
    /// Two bytes, as a number.
    Short,
    /// Four bytes, as a number.
    Long,
    /// Four bytes, as seconds with or without units.
    Seconds,
    /// Four bytes, as a date (RFC 4034 section 3.2).
    Date,
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
    /// A domain name.
    Name,
    /// One text of at most 255 bytes.
    Text,
    /// One or more of those, to the end.
    Texts,
    /// All that is left as one text without a length (RFC 7553, RFC 8659).
    Rest,
    /// A word of letters and digits with its length (RFC 8659 section 4.1).
    Tag,
    /// A type of record.
    Type,
    /// A number of a signature's algorithm, or its mnemonic.
    Algorithm,
    /// Two bytes, the kind of a certificate or its mnemonic (RFC 4398 section 2.1).
    Certificate,
    /// All that is left, base64.
    Base64,
    /// All that is left, hexadecimal.
    Hex,
    /// With its length, hexadecimal, `-` when empty (RFC 5155 section 3.3).
    Salt,
    /// With its length, base32 without padding (RFC 5155 section 3.3).
    Hash,
    /// The types that a name has, to the end (RFC 4034 section 4.1.2).
    Bitmap,
    /// Six bytes in pairs of digits (RFC 7043).
    Eui48,
    /// Eight bytes in pairs of digits (RFC 7043).
    Eui64,
    /// A place on earth (RFC 1876).
    Location,
    /// Parameters of a service binding, to the end (RFC 9460 section 2.1).
    Params,
}

/// The fields of a type and what each is called; none when the type is opaque to us.
pub fn fields(rtype: RrType) -> Option<&'static [(Field, &'static str)]> {
    use Field as F;
    Some(match rtype {
        RrType::A => &[(F::V4, "address")],
        RrType::AAAA => &[(F::V6, "address")],
        RrType::NS | RrType::CNAME | RrType::PTR | RrType::DNAME => &[(F::Name, "target")],
        RrType::SOA => &[
            (F::Name, "primary name server"),
            (F::Name, "mailbox"),
            (F::Long, "serial"),
            (F::Seconds, "refresh"),
            (F::Seconds, "retry"),
            (F::Seconds, "expire"),
            (F::Seconds, "minimum"),
        ],
        RrType::HINFO => &[(F::Text, "machine"), (F::Text, "system")],
        RrType::MX | RrType::KX | RrType::AFSDB => &[(F::Short, "preference"), (F::Name, "host")],
        RrType::TXT | RrType::SPF => &[(F::Texts, "text")],
        RrType::RP => &[(F::Name, "mailbox"), (F::Name, "text's name")],
        RrType::LOC => &[(F::Location, "location")],
        RrType::SRV => &[
            (F::Short, "priority"),
            (F::Short, "weight"),
            (F::Short, "port"),
            (F::Name, "target"),
        ],
        RrType::NAPTR => &[
            (F::Short, "order"),
            (F::Short, "preference"),
            (F::Text, "flags"),
            (F::Text, "services"),
            (F::Text, "expression"),
            (F::Name, "replacement"),
        ],
        RrType::URI => &[
            (F::Short, "priority"),
            (F::Short, "weight"),
            (F::Rest, "target"),
        ],
        RrType::CAA => &[(F::Byte, "flags"), (F::Tag, "tag"), (F::Rest, "value")],
        RrType::SVCB | RrType::HTTPS => &[
            (F::Short, "priority"),
            (F::Name, "target"),
            (F::Params, "parameters"),
        ],
        RrType::OPENPGPKEY => &[(F::Base64, "key")],
        RrType::EUI48 => &[(F::Eui48, "address")],
        RrType::EUI64 => &[(F::Eui64, "address")],
        other => return secure_fields(other),
    })
}

/// The fields of the types that keys, signatures and digests are in.
fn secure_fields(rtype: RrType) -> Option<&'static [(Field, &'static str)]> {
    use Field as F;
    Some(match rtype {
        RrType::DS | RrType::CDS => &[
            (F::Short, "key tag"),
            (F::Algorithm, "algorithm"),
            (F::Byte, "digest type"),
            (F::Hex, "digest"),
        ],
        RrType::DNSKEY | RrType::CDNSKEY => &[
            (F::Short, "flags"),
            (F::Byte, "protocol"),
            (F::Algorithm, "algorithm"),
            (F::Base64, "key"),
        ],
        RrType::RRSIG => &[
            (F::Type, "type covered"),
            (F::Algorithm, "algorithm"),
            (F::Byte, "labels"),
            (F::Seconds, "original TTL"),
            (F::Date, "expiration"),
            (F::Date, "inception"),
            (F::Short, "key tag"),
            (F::Name, "signer"),
            (F::Base64, "signature"),
        ],
        RrType::NSEC => &[(F::Name, "next name"), (F::Bitmap, "types")],
        RrType::NSEC3 => &[
            (F::Byte, "hash algorithm"),
            (F::Byte, "flags"),
            (F::Short, "iterations"),
            (F::Salt, "salt"),
            (F::Hash, "next hash"),
            (F::Bitmap, "types"),
        ],
        RrType::NSEC3PARAM => &[
            (F::Byte, "hash algorithm"),
            (F::Byte, "flags"),
            (F::Short, "iterations"),
            (F::Salt, "salt"),
        ],
        RrType::CERT => &[
            (F::Certificate, "kind"),
            (F::Short, "key tag"),
            (F::Algorithm, "algorithm"),
            (F::Base64, "certificate"),
        ],
        RrType::SSHFP => &[
            (F::Byte, "algorithm"),
            (F::Byte, "fingerprint type"),
            (F::Hex, "fingerprint"),
        ],
        RrType::TLSA | RrType::SMIMEA => &[
            (F::Byte, "usage"),
            (F::Byte, "selector"),
            (F::Byte, "matching type"),
            (F::Hex, "data"),
        ],
        RrType::CSYNC => &[
            (F::Long, "serial"),
            (F::Short, "flags"),
            (F::Bitmap, "types"),
        ],
        RrType::ZONEMD => &[
            (F::Long, "serial"),
            (F::Byte, "scheme"),
            (F::Byte, "hash algorithm"),
            (F::Hex, "digest"),
        ],
        _ => return None,
    })
}

/// Whether names in the data may be written with pointers: only in the types of RFC 1035 (RFC 3597 section 4).
pub fn may_compress(rtype: RrType) -> bool {
    matches!(
        rtype,
        RrType::NS | RrType::CNAME | RrType::PTR | RrType::SOA | RrType::MX
    )
}

/// The bytes of each field, in order.
///
/// # Errors
/// The name of the first field that the bytes do not fit; `"end"` when bytes are left over.
pub fn split(rtype: RrType, data: &[u8]) -> Result<Vec<(Field, &[u8])>, &'static str> {
    let Some(fields) = fields(rtype) else {
        return Ok(Vec::new());
    };
    let (mut parts, mut rest) = (Vec::with_capacity(fields.len()), data);
    for (field, called) in fields {
        let len = length(*field, rest).ok_or(*called)?;
        let (part, tail) = rest.split_at_checked(len).ok_or(*called)?;
        parts.push((*field, part));
        rest = tail;
    }
    if rest.is_empty() {
        Ok(parts)
    } else {
        Err("end")
    }
}

/// How many of `rest`'s bytes a field takes; none when it does not fit.
pub fn length(field: Field, rest: &[u8]) -> Option<usize> {
    let counted = || Some(1 + usize::from(*rest.first()?));
    let len = match field {
        Field::Byte | Field::Algorithm => 1,
        Field::Short | Field::Type | Field::Certificate => 2,
        Field::Long | Field::Seconds | Field::Date | Field::V4 => 4,
        Field::V6 => 16,
        Field::Eui48 => 6,
        Field::Eui64 => 8,
        Field::Location => 16,
        Field::Name => name::length(rest)?,
        Field::Text | Field::Salt => counted()?,
        Field::Hash | Field::Tag => counted().filter(|len| *len > 1)?,
        Field::Base64 | Field::Hex | Field::Rest => rest.len(),
        Field::Texts => are_texts(rest).then_some(rest.len())?,
        Field::Bitmap => is_bitmap(rest).then_some(rest.len())?,
        Field::Params => params::are_ordered(rest).then_some(rest.len())?,
    };
    (len <= rest.len()).then_some(len)
}

fn are_texts(mut rest: &[u8]) -> bool {
    if rest.is_empty() {
        return false;
    }
    while let Some((len, tail)) = rest.split_first() {
        let Some(tail) = tail.get(usize::from(*len)..) else {
            return false;
        };
        rest = tail;
    }
    true
}

/// Blocks with rising numbers, 1 to 32 bytes each (RFC 4034 section 4.1.2).
fn is_bitmap(mut rest: &[u8]) -> bool {
    let mut last = None;
    while let [window, len, tail @ ..] = rest {
        let len = usize::from(*len);
        if !(1..=32).contains(&len) || len > tail.len() || last.is_some_and(|it| it >= *window) {
            return false;
        }
        last = Some(*window);
        rest = &tail[len..];
    }
    rest.is_empty()
}

/// The types that a bitmap names, in order.
pub fn bitmap_types(mut rest: &[u8]) -> Vec<RrType> {
    let mut types = Vec::new();
    while let [window, len, tail @ ..] = rest {
        let len = usize::from(*len).min(tail.len());
        for (at, byte) in tail[..len].iter().enumerate() {
            let bits = (0..8_u16).filter(|bit| byte & (0x80 >> bit) != 0);
            types.extend(bits.map(|bit| RrType((u16::from(*window) << 8) + at as u16 * 8 + bit)));
        }
        rest = &tail[len..];
    }
    types
}

/// The bitmap of these types (RFC 4034 section 4.1.2).
pub fn bitmap(types: &[RrType]) -> Vec<u8> {
    let mut numbers: Vec<u16> = types.iter().map(|it| it.0).collect();
    numbers.sort_unstable();
    let mut bytes = Vec::new();
    for window in numbers.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0_u8; 32];
        let mut len = 0;
        for number in window {
            let low = usize::from(number & 0xff);
            bits[low / 8] |= 0x80 >> (low % 8);
            len = low / 8 + 1;
        }
        bytes.extend([(window[0] >> 8) as u8, len as u8]);
        bytes.extend_from_slice(&bits[..len]);
    }
    bytes
}

/// The name in the data that answers bring addresses of: the target of NS, MX, SRV, SVCB and HTTPS.
pub fn target(rtype: RrType, data: &[u8]) -> Option<&[u8]> {
    let ahead = match rtype {
        RrType::NS | RrType::CNAME | RrType::DNAME | RrType::PTR => 0,
        RrType::MX | RrType::KX | RrType::AFSDB | RrType::SVCB | RrType::HTTPS => 2,
        RrType::SRV => 6,
        _ => return None,
    };
    let rest = data.get(ahead..)?;
    name::length(rest).map(|len| &rest[..len])
}
