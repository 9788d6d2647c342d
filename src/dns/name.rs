//! Domain names as borrowed bytes: what a lookup needs to walk and compare names in place.
//! The bytes are whole uncompressed names; those who hand them in have checked that. Fails for nothing.

use std::{cmp::Ordering, fmt};

use crate::model::{
    domain::DomainName,
    limits::{DOMAIN_LABEL_BYTES_MAX, DOMAIN_NAME_BYTES_MAX},
};

/// Where the labels of a name start: its first is at 0, the root's zero is not counted.
pub struct Labels {
    starts: [u8; 128],
    count: usize,
}

impl Labels {
    /// Finds the labels of a name.
    pub fn of(name: &[u8]) -> Self {
        let (mut starts, mut count, mut at) = ([0; 128], 0, 0);
        while let Some(len) = name.get(at).filter(|len| **len > 0) {
            starts[count] = at as u8;
            count += 1;
            at += 1 + usize::from(*len);
        }
        Self { starts, count }
    }

    /// The offsets from the left.
    pub fn starts(&self) -> impl DoubleEndedIterator<Item = usize> {
        self.starts[..self.count].iter().map(|at| usize::from(*at))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// The name without its first label; of the root there is none.
pub fn parent(name: &[u8]) -> Option<&[u8]> {
    let len = usize::from(*name.first()?);
    (len > 0).then(|| &name[1 + len..])
}

/// Whether `name` is `other` or below it. Both in small letters.
pub fn is_within(name: &[u8], other: &[u8]) -> bool {
    let Some(ahead) = name.len().checked_sub(other.len()) else {
        return false;
    };
    let mut at = 0;
    while at < ahead {
        at += 1 + usize::from(name[at]);
    }
    at == ahead && name[ahead..] == *other
}

/// The order of RFC 4034 section 6.1. Both in small letters.
pub fn order(left: &[u8], right: &[u8]) -> Ordering {
    let (mine, theirs) = (Labels::of(left), Labels::of(right));
    let label = |name: &[u8], at: usize| at + 1..at + 1 + usize::from(name[at]);
    for (i, j) in mine.starts().rev().zip(theirs.starts().rev()) {
        let order = left[label(left, i)].cmp(&right[label(right, j)]);
        if order != Ordering::Equal {
            return order;
        }
    }
    mine.count().cmp(&theirs.count())
}

/// The number of bytes that an uncompressed name at the start of `bytes` has; none when there is no such name.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1 + len;
        if len > DOMAIN_LABEL_BYTES_MAX || at > DOMAIN_NAME_BYTES_MAX || at > bytes.len() {
            return None;
        }
        if len == 0 {
            return Some(at);
        }
    }
}

/// The name as a value.
pub fn owned(name: &[u8]) -> DomainName {
    DomainName::from_wire(name).map_or_else(|_| DomainName::root(), |(name, _)| name)
}

/// Reads a name as zone files write it, keeping the case of its letters: a signature may cover them (RFC 9460 section
/// 2.2 names are not lowered). One without a final dot is completed by `origin`.
pub fn read(text: &[u8], origin: &[u8]) -> Option<Vec<u8>> {
    match text {
        b"@" => return Some(origin.to_vec()),
        b"." => return Some(vec![0]),
        b"" => return None,
        _ => {}
    }
    let (mut bytes, mut start, mut at) = (vec![0], 0, 0);
    while at < text.len() {
        if text[at] == b'.' {
            if bytes.len() == start + 1 {
                return None;
            }
            start = bytes.len();
            bytes.push(0);
            at += 1;
            continue;
        }
        let (byte, used) = unescaped(&text[at..])?;
        at += used;
        bytes.push(byte);
        let len = bytes.len() - start - 1;
        if len > DOMAIN_LABEL_BYTES_MAX || bytes.len() > DOMAIN_NAME_BYTES_MAX {
            return None;
        }
        bytes[start] = len as u8;
    }
    if bytes.len() > start + 1 {
        bytes.extend_from_slice(origin);
    }
    (bytes.len() <= DOMAIN_NAME_BYTES_MAX).then_some(bytes)
}

/// One byte of a text and how many characters wrote it: itself, `\X` or `\DDD` (RFC 1035 section 5.1).
pub fn unescaped(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'\\', digits @ ..] if digits.first()?.is_ascii_digit() => {
            let digits = digits
                .get(..3)
                .filter(|it| it.iter().all(u8::is_ascii_digit))?;
            let value = digits
                .iter()
                .fold(0, |sum, it| sum * 10 + u16::from(it - b'0'));
            Some((u8::try_from(value).ok()?, 4))
        }
        [b'\\', byte, ..] => Some((*byte, 2)),
        [byte, ..] => Some((*byte, 1)),
        [] => None,
    }
}

/// Shows a name as zone files write it, with the case it has.
pub struct Shown<'n>(pub &'n [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() <= 1 {
            return f.write_str(".");
        }
        for at in Labels::of(self.0).starts() {
            for byte in &self.0[at + 1..at + 1 + usize::from(self.0[at])] {
                match byte {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(*byte))?;
                    }
                    0x21..=0x7e => write!(f, "{}", char::from(*byte))?,
                    other => write!(f, "\\{other:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}
