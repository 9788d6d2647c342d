//! Record data and names as providers write them: lines of zone files, with small differences. What cannot be read is
//! nothing, never a panic.

use std::collections::BTreeMap;

use super::super::rdata::{self, Field, Shown};
use super::super::zone::file;
use crate::model::domain::{DomainName, Rdata, RrSet, RrType};

/// The data of a record of this type from its text; names without a final dot are completed by `origin`.
pub(super) fn read(rtype: RrType, text: &str, origin: &DomainName) -> Option<Rdata> {
    // One record is one line: nothing that a provider says may become another.
    if text.chars().any(char::is_control) {
        return None;
    }
    let around = format!(
        ". 1 IN SOA . . 1 1 1 1 1\n. 1 IN NS .\n$ORIGIN {origin}\nrecord.invalid. 1 IN {rtype} {text}\n"
    );
    let reading = file::read(around.as_bytes(), &DomainName::root());
    let owner: DomainName = "record.invalid".parse().ok()?;
    let mut sets = reading.rrsets.into_iter().filter(|it| it.name == owner);
    let set = sets.next().filter(|it| it.rtype == rtype)?;
    let sound = reading.mistakes.is_empty() && sets.next().is_none() && set.rdata.len() == 1;
    set.rdata.into_iter().next().filter(|_| sound)
}

/// The text of a record's data, with full names.
pub(super) fn shown(rtype: RrType, data: &Rdata) -> String {
    Shown(rtype, data.as_wire()).to_string()
}

/// A name within a zone without the zone's own labels; nothing for the zone's own name.
pub(super) fn below(name: &DomainName, zone: &DomainName) -> String {
    let own = name.to_string();
    let zone = zone.to_string();
    own.strip_suffix(&zone)
        .map(|it| it.trim_end_matches('.').to_owned())
        .unwrap_or(own)
}

/// The name that a provider gives without its zone; `@` and nothing are the zone's own.
pub(super) fn within(text: &str, zone: &DomainName) -> Option<DomainName> {
    match text {
        "" | "@" => Some(zone.clone()),
        _ => DomainName::parse(text, zone).ok(),
    }
}

/// A part of a URL's path or query (RFC 3986 section 2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Data with its names in small letters, so that the same is equal (RFC 4343).
fn plain(rtype: RrType, data: &Rdata) -> Vec<u8> {
    match rdata::split(rtype, data.as_wire()) {
        Ok(parts) if !parts.is_empty() => parts
            .into_iter()
            .flat_map(|(field, bytes)| match field {
                Field::Name => bytes.to_ascii_lowercase(),
                _ => bytes.to_vec(),
            })
            .collect(),
        _ => data.as_wire().to_vec(),
    }
}

/// A set's data for comparison, in order.
pub(super) fn plain_set(set: &RrSet) -> Vec<Vec<u8>> {
    let mut data: Vec<Vec<u8>> = set.rdata.iter().map(|it| plain(set.rtype, it)).collect();
    data.sort();
    data.dedup();
    data
}

/// Spells what is there as `ours` is spelled, where only the case of names differs.
pub(super) fn spelled<'r>(there: &mut [RrSet], ours: impl Iterator<Item = (RrType, &'r Rdata)>) {
    let ours: BTreeMap<(RrType, Vec<u8>), &Rdata> = ours
        .map(|(rtype, data)| ((rtype, plain(rtype, data)), data))
        .collect();
    for set in there {
        for data in &mut set.rdata {
            if let Some(spelling) = ours.get(&(set.rtype, plain(set.rtype, data))) {
                *data = (*spelling).clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn data_is_read_as_it_is_shown_and_one_line_stays_one_record() {
        let zone: DomainName = "example.test".parse().unwrap();
        for (rtype, text) in [
            (RrType::A, "192.0.2.1"),
            (RrType::AAAA, "2001:db8::1"),
            (RrType::CNAME, "www.example.test."),
            (RrType::MX, "10 mail.example.test."),
            (RrType::TXT, "\"v=spf1 -all\" \"a;b\""),
            (RrType::HTTPS, "1 . alpn=h2"),
        ] {
            let data = read(rtype, text, &zone).unwrap();
            let again = shown(rtype, &data);
            assert_eq!(read(rtype, &again, &DomainName::root()), Some(data));
        }
        assert_eq!(
            read(RrType::CNAME, "www", &zone),
            read(RrType::CNAME, "www.example.test.", &zone)
        );
        for bad in [
            "192.0.2.1\nrecord.invalid. 1 IN A 192.0.2.2",
            "",
            "x",
            "192.0.2.1 (",
        ] {
            assert_eq!(read(RrType::A, bad, &zone), None, "{bad:?}");
        }
    }

    #[test]
    fn names_are_cut_at_their_zone_and_put_together_again() {
        let zone: DomainName = "example.test".parse().unwrap();
        for (name, text) in [
            ("example.test", ""),
            ("www.example.test", "www"),
            ("a.b.example.test", "a.b"),
            ("*.example.test", "*"),
        ] {
            let name: DomainName = name.parse().unwrap();
            assert_eq!(below(&name, &zone), text);
            assert_eq!(within(text, &zone), Some(name));
        }
        assert_eq!(encoded("*.a b/ä"), "%2A.a%20b%2F%C3%A4");
    }

    #[test]
    fn what_differs_in_the_case_of_names_only_is_the_same() {
        let wanted = read(RrType::MX, "10 Mail.Example.test.", &DomainName::root()).unwrap();
        let mut there = vec![RrSet {
            name: "example.test".parse().unwrap(),
            rtype: RrType::MX,
            ttl: 60,
            rdata: vec![read(RrType::MX, "10 mail.example.test.", &DomainName::root()).unwrap()],
        }];
        spelled(&mut there, [(RrType::MX, &wanted)].into_iter());
        assert_eq!(there[0].rdata, [wanted]);
    }

    proptest! {
        #[test]
        fn no_text_of_a_provider_makes_a_panic(text in ".{0,80}", number in 0_u16..300) {
            let zone: DomainName = "example.test".parse().unwrap();
            let _ = read(RrType(number), &text, &zone);
            let _ = within(&text, &zone);
            let _ = encoded(&text);
        }
    }
}
