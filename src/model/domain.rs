//! Words of the DNS: domain names, types of records, sets of records. As values only: nothing here looks anything up.
//!
//! A name is kept in wire form and small letters (RFC 4343), so that equal names are equal bytes. Record data is kept
//! as the wire has it without compression (RFC 3597 section 4), so that an unknown type is as good as a known one.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    limits::{DOMAIN_LABEL_BYTES_MAX, DOMAIN_NAME_BYTES_MAX},
    words::Wrong,
};

/// A full domain name in wire form and small letters, at most [`DOMAIN_NAME_BYTES_MAX`] bytes. Ordered as RFC 4034 section
/// 6.1 orders names: by labels from the right.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DomainName(Box<[u8]>);

impl DomainName {
    /// The root of all names.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads an uncompressed name from the start of `bytes`; says how long it was there.
    ///
    /// # Errors
    /// When it is cut short, compressed, or longer than a name may be.
    pub fn from_wire(bytes: &[u8]) -> Result<(Self, usize), Wrong> {
        let wanted = || Wrong::wanted("an uncompressed domain name of at most 255 bytes");
        let mut at = 0;
        loop {
            let len = usize::from(*bytes.get(at).ok_or_else(wanted)?);
            at += 1 + len;
            if len > DOMAIN_LABEL_BYTES_MAX || at > DOMAIN_NAME_BYTES_MAX || at > bytes.len() {
                return Err(wanted());
            }
            if len == 0 {
                return Ok((Self(bytes[..at].to_ascii_lowercase().into()), at));
            }
        }
    }

    /// The wire form, with the root's zero.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from the left, without the root's empty one.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (len, tail) = rest.split_first().filter(|(len, _)| **len > 0)?;
            let (label, tail) = tail.split_at(usize::from(*len));
            rest = tail;
            Some(label)
        })
    }

    /// How many labels it has; the root has none.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Whether its first label is the single character `*` (RFC 4592 section 2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// The name without its first label; of the root there is none.
    pub fn parent(&self) -> Option<Self> {
        let len = usize::from(self.0[0]);
        (len > 0).then(|| Self(self.0[1 + len..].into()))
    }

    /// Whether it is `other` or below it.
    pub fn is_within(&self, other: &Self) -> bool {
        let Some(ahead) = self.0.len().checked_sub(other.0.len()) else {
            return false;
        };
        // A label's bytes can look like the other name; what precedes it must end at a label.
        let mut at = 0;
        while at < ahead {
            at += 1 + usize::from(self.0[at]);
        }
        at == ahead && self.0[ahead..] == *other.0
    }

    /// This name with one more label in front.
    ///
    /// # Errors
    /// When the label is empty or too long, or the name becomes too long.
    pub fn child(&self, label: &[u8]) -> Result<Self, Wrong> {
        let whole = 1 + label.len() + self.0.len();
        if label.is_empty() || label.len() > DOMAIN_LABEL_BYTES_MAX || whole > DOMAIN_NAME_BYTES_MAX
        {
            return Err(Wrong::wanted(
                "a label of 1 to 63 bytes in a name of at most 255",
            ));
        }
        let mut bytes = Vec::with_capacity(whole);
        bytes.push(label.len() as u8);
        bytes.extend(label.iter().map(u8::to_ascii_lowercase));
        bytes.extend_from_slice(&self.0);
        Ok(Self(bytes.into()))
    }

    /// Reads a name as zone files write it (RFC 1035 section 5.1). One without a final dot is completed by `origin`;
    /// `@` is the origin itself.
    ///
    /// # Errors
    /// When it has an empty or too long label, a broken escape, or is too long.
    pub fn parse(text: &str, origin: &Self) -> Result<Self, Wrong> {
        match text {
            "@" => return Ok(origin.clone()),
            "." => return Ok(Self::root()),
            _ => {}
        }
        let wanted =
            || Wrong::wanted("a domain name: labels of 1 to 63 bytes, at most 255 bytes in all");
        let (mut bytes, mut start) = (vec![0], 0);
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            let byte = match byte {
                b'.' => {
                    if bytes.len() == start + 1 {
                        return Err(wanted());
                    }
                    start = bytes.len();
                    bytes.push(0);
                    continue;
                }
                b'\\' => escaped(&mut rest).ok_or_else(wanted)?,
                other => other,
            };
            bytes.push(byte.to_ascii_lowercase());
            let len = bytes.len() - start - 1;
            if len > DOMAIN_LABEL_BYTES_MAX || bytes.len() > DOMAIN_NAME_BYTES_MAX {
                return Err(wanted());
            }
            bytes[start] = len as u8;
        }
        let is_full = bytes.len() == start + 1;
        if start == 0 && is_full {
            return Err(wanted());
        }
        if !is_full {
            bytes.extend_from_slice(&origin.0);
        }
        if bytes.len() > DOMAIN_NAME_BYTES_MAX {
            return Err(wanted());
        }
        Ok(Self(bytes.into()))
    }
}

/// What follows a backslash: three digits of a byte, or the byte itself.
fn escaped(rest: &mut std::str::Bytes<'_>) -> Option<u8> {
    let first = rest.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let value = digit(first)? * 100 + digit(rest.next()?)? * 10 + digit(rest.next()?)?;
    u8::try_from(value).ok()
}

impl Ord for DomainName {
    fn cmp(&self, other: &Self) -> Ordering {
        let starts = |name: &Self| {
            let (mut at, mut starts, mut count) = (0, [0_u8; 128], 0);
            while name.0[at] > 0 {
                starts[count] = at as u8;
                count += 1;
                at += 1 + usize::from(name.0[at]);
            }
            (starts, count)
        };
        let ((mine, mut i), (theirs, mut j)) = (starts(self), starts(other));
        while i > 0 && j > 0 {
            (i, j) = (i - 1, j - 1);
            let label = |name: &[u8], at: u8| {
                let at = usize::from(at);
                at + 1..at + 1 + usize::from(name[at])
            };
            let (left, right) = (label(&self.0, mine[i]), label(&other.0, theirs[j]));
            let order = self.0[left].cmp(&other.0[right]);
            if order != Ordering::Equal {
                return order;
            }
        }
        i.cmp(&j)
    }
}

impl PartialOrd for DomainName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for byte in label {
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

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for DomainName {
    type Err = Wrong;

    /// A name given by a person is a full one, with or without its final dot.
    fn from_str(text: &str) -> Result<Self, Wrong> {
        Self::parse(text, &Self::root())
    }
}

impl Serialize for DomainName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            to.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for DomainName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            return String::deserialize(from)?.parse().map_err(D::Error::custom);
        }
        let bytes = <Vec<u8>>::deserialize(from)?;
        match Self::from_wire(&bytes) {
            Ok((name, len)) if len == bytes.len() => Ok(name),
            Ok(_) => Err(D::Error::custom("bytes after the name")),
            Err(wrong) => Err(D::Error::custom(wrong)),
        }
    }
}

/// The type of a record (RFC 1035 section 3.2.2, IANA's registry). Those without a name are written `TYPE123`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RrType(pub u16);

macro_rules! rr_types {
    ($($name:ident = $number:expr, $text:expr;)*) => {
        impl RrType {
            $(#[doc = concat!("`", $text, "`.")] pub const $name: Self = Self($number);)*
            const NAMED: &[(Self, &str)] = &[$((Self::$name, $text)),*];
        }
    };
}

rr_types! {
    A = 1, "A";
    NS = 2, "NS";
    CNAME = 5, "CNAME";
    SOA = 6, "SOA";
    PTR = 12, "PTR";
    HINFO = 13, "HINFO";
    MX = 15, "MX";
    TXT = 16, "TXT";
    RP = 17, "RP";
    AFSDB = 18, "AFSDB";
    AAAA = 28, "AAAA";
    LOC = 29, "LOC";
    SRV = 33, "SRV";
    NAPTR = 35, "NAPTR";
    KX = 36, "KX";
    CERT = 37, "CERT";
    DNAME = 39, "DNAME";
    OPT = 41, "OPT";
    DS = 43, "DS";
    SSHFP = 44, "SSHFP";
    RRSIG = 46, "RRSIG";
    NSEC = 47, "NSEC";
    DNSKEY = 48, "DNSKEY";
    NSEC3 = 50, "NSEC3";
    NSEC3PARAM = 51, "NSEC3PARAM";
    TLSA = 52, "TLSA";
    SMIMEA = 53, "SMIMEA";
    CDS = 59, "CDS";
    CDNSKEY = 60, "CDNSKEY";
    OPENPGPKEY = 61, "OPENPGPKEY";
    CSYNC = 62, "CSYNC";
    ZONEMD = 63, "ZONEMD";
    SVCB = 64, "SVCB";
    HTTPS = 65, "HTTPS";
    SPF = 99, "SPF";
    EUI48 = 108, "EUI48";
    EUI64 = 109, "EUI64";
    TKEY = 249, "TKEY";
    TSIG = 250, "TSIG";
    IXFR = 251, "IXFR";
    AXFR = 252, "AXFR";
    ANY = 255, "ANY";
    URI = 256, "URI";
    CAA = 257, "CAA";
}

impl fmt::Display for RrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(known, _)| known == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for RrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for RrType {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let named = Self::NAMED
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text));
        if let Some((known, _)) = named {
            return Ok(*known);
        }
        let number = text
            .get(..4)
            .filter(|it| it.eq_ignore_ascii_case("TYPE"))
            .and_then(|_| text[4..].parse().ok());
        number
            .map(Self)
            .ok_or_else(|| Wrong::wanted("a type of record, such as A, MX or TYPE65280"))
    }
}

/// The data of one record, as the wire has it without compression; at most 65,535 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Rdata(Box<[u8]>);

impl Rdata {
    /// Takes bytes that are the data of a record.
    ///
    /// # Errors
    /// When there are more than the wire's length field can tell.
    pub fn new(bytes: &[u8]) -> Result<Self, Wrong> {
        if bytes.len() > usize::from(u16::MAX) {
            return Err(Wrong::wanted("record data of at most 65,535 bytes"));
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Rdata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\\# {} ", self.0.len())?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<'de> Deserialize<'de> for Rdata {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&<Vec<u8>>::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// All records of one name and type. They share one lifetime (RFC 2181 section 5.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RrSet {
    /// The owner.
    pub name: DomainName,
    /// The type.
    pub rtype: RrType,
    /// How long resolvers may keep it, in seconds.
    pub ttl: u32,
    /// The data of each record, without repeats.
    pub rdata: Vec<Rdata>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_read_as_zone_files_write_them() {
        let origin = name("example.test");
        let read = |text: &str| DomainName::parse(text, &origin);
        assert_eq!(read("@").unwrap(), origin);
        assert_eq!(read("WWW").unwrap(), name("www.example.test."));
        assert_eq!(read("www.").unwrap(), name("www"));
        assert_eq!(read(".").unwrap(), DomainName::root());
        assert_eq!(
            read(r"a\.b\032c").unwrap().labels().next().unwrap(),
            b"a.b c"
        );
        for bad in ["", "..", "a..b", ".a", r"a\", r"a\25", r"a\999"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&"a".repeat(63)).is_ok());
        assert!(read(&"a".repeat(64)).is_err());
        assert!(read(&"a.".repeat(127)).is_ok());
        assert!(read(&"a.".repeat(128)).is_err());
        assert!(
            read("a.".repeat(122).trim_end_matches('.')).is_err(),
            "the origin counts too"
        );
    }

    #[test]
    fn names_are_ordered_as_rfc_4034_orders_them() {
        let sorted = [
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "Z.a.example.",
            "zABC.a.EXAMPLE.",
            "z.example.",
            r"\001.z.example.",
            "*.z.example.",
            r"\200.z.example.",
        ];
        for pair in sorted.windows(2) {
            assert!(name(pair[0]) < name(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn a_name_is_within_another_only_at_a_label() {
        assert!(name("a.b.test").is_within(&name("b.test")));
        assert!(name("b.test").is_within(&name("b.test")));
        assert!(name("b.test").is_within(&DomainName::root()));
        assert!(!name("ab.test").is_within(&name("b.test")));
        assert!(!name(r"x\001b\004test").is_within(&name("b.test")));
        assert_eq!(name("a.b").parent(), Some(name("b")));
        assert_eq!(DomainName::root().parent(), None);
    }

    #[test]
    fn types_have_names_or_numbers() {
        assert_eq!("aaaa".parse::<RrType>().unwrap(), RrType::AAAA);
        assert_eq!("TYPE65280".parse::<RrType>().unwrap(), RrType(65280));
        assert_eq!("type1".parse::<RrType>().unwrap(), RrType::A);
        assert_eq!(RrType(65280).to_string(), "TYPE65280");
        for bad in ["", "TYP", "TYPE", "TYPE65536", "TYPE-1", "ÄÄÄ"] {
            assert!(bad.parse::<RrType>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_written_name_is_read_back(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8)) {
            let mut name = DomainName::root();
            for label in labels {
                name = name.child(&label).unwrap();
            }
            prop_assert_eq!(&name.to_string().parse::<DomainName>().unwrap(), &name);
            prop_assert_eq!(&DomainName::from_wire(name.as_wire()).unwrap().0, &name);
            let bytes = postcard::to_allocvec(&name).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<DomainName>(&bytes).unwrap(), &name);
        }

        #[test]
        fn no_bytes_and_no_text_make_a_name_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,80}") {
            if let Ok((name, len)) = DomainName::from_wire(&bytes) {
                prop_assert!(len <= bytes.len() && name.as_wire().len() == len);
            }
            let _ = text.parse::<DomainName>();
            let _ = text.parse::<RrType>();
            let _ = postcard::from_bytes::<RrSet>(&bytes);
        }
    }
}
