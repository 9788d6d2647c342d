//! Tests of zone files: what is read, what is told, and that what is written is read back.

use proptest::prelude::*;

use super::*;

fn reading(text: &str) -> Reading {
    read(text.as_bytes(), &"example.test".parse().unwrap())
}

fn told(list: &[Mistake]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn records(text: &str) -> Vec<String> {
    let read = reading(text);
    assert_eq!(told(&read.mistakes), [""; 0]);
    read.rrsets.iter().flat_map(lines).collect()
}

const HEAD: &str =
    "$TTL 1h\n@ IN SOA ns hostmaster (\n 7 ; serial\n 15m 5m 2w 1m )\n NS ns\nns A 192.0.2.53\n";

#[test]
fn a_zone_file_is_read_with_all_its_short_forms() {
    let text = format!(
        "{HEAD}$ORIGIN sub.example.test.\nwww 60 IN A 192.0.2.1\n\tIN 2h AAAA 2001:db8::1\n$ORIGIN example.test.\n\
         text TXT \"a ; b\" c\\\"d \"\\233\"\n*.wild CNAME www.sub ; comment\nraw TYPE65280 \\# 3 01 02 ff\n\
         $GENERATE 1-3 host$ A 192.0.2.${{10,0,d}}\n"
    );
    assert_eq!(
        records(&text)[3..],
        [
            "www.sub.example.test. 60 IN A 192.0.2.1",
            "www.sub.example.test. 7200 IN AAAA 2001:db8::1",
            r#"text.example.test. 3600 IN TXT "a ; b" "c\"d" "\233""#,
            "*.wild.example.test. 3600 IN CNAME www.sub.example.test.",
            "raw.example.test. 3600 IN TYPE65280 \\# 3 0102ff",
            "host1.example.test. 3600 IN A 192.0.2.11",
            "host2.example.test. 3600 IN A 192.0.2.12",
            "host3.example.test. 3600 IN A 192.0.2.13",
        ]
    );
}

#[test]
fn records_of_many_types_are_written_as_they_were_read() {
    let lines = [
        "MX 10 mail.example.test.",
        "SRV 0 5 443 www.example.test.",
        "CAA 0 issue \"ca.example; accounturi=https://ca.example/1\"",
        "TLSA 3 1 1 0123abcd",
        "SSHFP 4 2 0123abcd",
        "NAPTR 100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:a@example.test!\" .",
        "LOC 52 14 5.123 N 0 8 50.000 E -10.50m 1.00m 10000.00m 10.00m",
        "URI 10 1 \"https://www.example.test/\"",
        "DS 12345 13 2 0123abcd",
        "CDS 0 0 0 00",
        "DNSKEY 257 3 13 AAECAwQF",
        "CDNSKEY 0 3 0 AA==",
        "RRSIG A 13 2 300 20261201000000 20261101000000 12345 example.test. AAECAwQF",
        "NSEC a.example.test. A NS RRSIG NSEC TYPE65280",
        "NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG",
        "NSEC3PARAM 1 0 0 ab12",
        "HTTPS 1 . alpn=\"h2,h3\" port=8443 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1",
        "SVCB 0 other.example.test.",
        "SVCB 1 www.example.test. mandatory=port,key65280 no-default-alpn port=53 ech=AAEC dohpath=\"/q{?dns}\" key65280=\"a b\"",
        "HINFO \"PC\" \"a \\\"b\"",
        "RP mbox.example.test. txt.example.test.",
        "CERT 1 0 13 AAEC",
        "OPENPGPKEY AAEC",
        "CSYNC 7 3 A NS AAAA",
        "ZONEMD 7 1 1 0123abcd",
        "EUI48 00-00-5e-00-53-2a",
        "EUI64 00-00-5e-ef-10-00-00-2a",
        "DNAME other.test.",
        "SPF \"v=spf1 -all\"",
        "AFSDB 1 afs.example.test.",
        "PTR www.example.test.",
        "TYPE65280 \\# 0",
    ];
    for (number, line) in lines.iter().enumerate() {
        let text = format!("{HEAD}n{number} {line}\n");
        let wanted = format!("n{number}.example.test. 3600 IN {line}");
        assert_eq!(records(&text)[3..], [wanted]);
    }
}

#[test]
fn a_place_on_earth_may_leave_out_what_is_zero() {
    let text = format!("{HEAD}loc LOC 42 21 54 N 71 6 18 W -24m 30m\nat LOC 42 N 71 W 1\n");
    assert_eq!(
        records(&text)[3..],
        [
            "loc.example.test. 3600 IN LOC 42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m",
            "at.example.test. 3600 IN LOC 42 0 0.000 N 71 0 0.000 W 1.00m 1.00m 10000.00m 10.00m",
        ]
    );
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let text = "\
$TTL forever
@ 300 SOA ns hostmaster 1 900 300 many 60
@ 300 NS ns
www 300 A 192.0.2.300
www 300 MX ten mail..example
www 300 CH A 192.0.2.1
a..b 300 A 192.0.2.1
x 300 FOO bar
y 300 TXT \"no end
z 300 AAAA ::1 more
v 300 A \\# 4 0102
$INCLUDE other.zone
w 300 A 192.0.2.1
w 300 CNAME www
( w
";
    let read = reading(text);
    assert!(read.zone.is_none());
    assert_eq!(
        told(&read.mistakes),
        [
            "line 1: $TTL: found forever, wanted seconds from 0 to 2147483647, or a time such as 1h30m",
            "line 2: SOA expire: found many, wanted seconds from 0 to 2147483647, or a time such as 1h30m",
            "line 4: A address: found 192.0.2.300, wanted an IPv4 address such as 192.0.2.1",
            "line 5: MX preference: found ten, wanted a number from 0 to 65535",
            "line 5: MX host: found mail..example, wanted a domain name: labels of 1 to 63 bytes, at most 255 bytes in all",
            "line 6: class: found CH, wanted IN",
            "line 7: owner: found a..b, wanted a domain name: labels of 1 to 63 bytes, at most 255 bytes in all",
            "line 8: type: found FOO, wanted a type of record, such as A, MX or TYPE65280",
            "line 9: line: found no end, wanted a closing quotation mark on the same line",
            "line 10: AAAA data: found more, wanted the end of the line after the data of AAAA",
            "line 11: A data: found 2 bytes, wanted 4 bytes, as the length says",
            "line 12: $INCLUDE: found $INCLUDE, wanted the records themselves: no other file is read",
            "line 14: w.example.test. CNAME: found CNAME beside A, wanted a CNAME alone at its name",
            "line 15: line: found ( without its end, wanted a ) after it",
        ]
    );
}

#[test]
fn what_somebody_should_look_at_does_not_keep_a_zone_from_being_read() {
    let text = format!(
        "{HEAD}www A 192.0.2.1\nwww 60 A 192.0.2.2\nother.test. A 192.0.2.1\nsub NS ns.sub\nx.sub TXT hidden\n\
         alias CNAME www\nmail MX 10 alias\nmail2 MX 10 nowhere\n"
    );
    let read = reading(&text);
    assert!(read.zone.is_some());
    assert_eq!(
        told(&read.warnings),
        [
            "line 8: www.example.test. A: found lifetimes of 60 and 3600 seconds; the shorter counts, wanted one lifetime for all records of a name and type",
            "line 9: other.test. A: found a name outside the zone, left out, wanted names in the zone example.test.",
            "line 10: sub.example.test. NS: found name server ns.sub.example.test. without an address, wanted its A or AAAA record in this zone",
            "line 11: x.sub.example.test. TXT: found a name below sub.example.test., never answered, wanted nothing below a cut but addresses of its name servers",
            "line 13: mail.example.test. MX: found alias.example.test., which is an alias, wanted a name with addresses",
            "line 14: mail2.example.test. MX: found nowhere.example.test., which has no address, wanted a name with addresses",
        ]
    );
    assert!(
        read.rrsets
            .iter()
            .all(|it| it.name != "other.test".parse().unwrap())
    );
}

#[test]
fn mistakes_and_generated_lines_have_an_end() {
    let text = "x A no\n".repeat(ZONE_MISTAKES_MAX + 5);
    let read = reading(&format!("{HEAD}{text}"));
    assert_eq!(read.mistakes.len(), ZONE_MISTAKES_MAX + 1);
    assert!(told(&read.mistakes)[ZONE_MISTAKES_MAX].contains("5 more"));
    for (line, found) in [
        ("$GENERATE 0-4294967295 h$ A 192.0.2.1", "0-4294967295"),
        ("$GENERATE 3-1 h$ A 192.0.2.1", "3-1"),
        ("$GENERATE 1-9 h${x} A 192.0.2.1", "h${x} A"),
        ("$GENERATE 1-9 h$ A no$", "no1"),
    ] {
        let read = reading(&format!("{HEAD}{line}\n"));
        assert_eq!(read.mistakes.len(), 1, "{line}");
        assert!(read.mistakes[0].found.contains(found), "{line}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "(?s).{0,300}", line in "[a-z0-9 @$.*\"();\\\\\\-{},/=#\n\t]{0,120}") {
        let _ = reading(&text);
        let _ = reading(&format!("{HEAD}{line}"));
        for rtype in ["A", "SOA", "TXT", "LOC", "SVCB", "NSEC3", "RRSIG", "CAA", "NAPTR", "TYPE1", "CERT"] {
            let _ = reading(&format!("{HEAD}x {rtype} {line}"));
        }
        let _ = reading(&format!("{HEAD}$GENERATE {line}"));
    }

    #[test]
    fn any_data_is_written_and_read_back(rtype in prop::sample::select((1_u16..=257).filter(|it| !matches!(it, 41 | 128..=255)).collect::<Vec<_>>()), data in prop::collection::vec(any::<u8>(), 0..60)) {
        let rtype = RrType(rtype);
        let shown = rdata::Shown(rtype, &data).to_string();
        let fits = rdata::split(rtype, &data).is_ok();
        let line = format!("x 5 IN {rtype} {shown}");
        let read = reading(&format!("{HEAD}{line}"));
        let found = read.rrsets.iter().find(|it| it.rtype == rtype && it.ttl == 5);
        match found {
            Some(set) => prop_assert_eq!(set.rdata[0].as_wire(), &data[..], "{}", line),
            None => prop_assert!(!fits, "{}: {:?}", line, read.mistakes),
        }
    }

    #[test]
    fn data_of_known_types_that_fits_is_shown_as_itself(
        rtype in prop::sample::select(vec![RrType::LOC, RrType::SVCB, RrType::NSEC3, RrType::TXT, RrType::CAA, RrType::RRSIG, RrType::URI, RrType::MX, RrType::NSEC]),
        text in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let data = match rtype {
            RrType::LOC => [&[0, 0x12, 0x16, 0x13][..], &[0x80, 1, 2, 3, 0x7f, 3, 4, 5], text.get(..4).unwrap_or(&[0; 4])].concat(),
            RrType::SVCB => [&[0, 1, 0, 0, 1, 0, text.len() as u8 + 1, text.len() as u8][..], &text, &[0xff, 0, 0, 1, 9]].concat(),
            RrType::NSEC3 => [&[1, 0, 0, 5, text.len() as u8][..], &text, &[text.len() as u8 + 1], &text, b"x", &[0, 1, 0x40]].concat(),
            RrType::RRSIG => [&[0, 1, 13, 2, 0, 0, 1, 0, 0xf0, 1, 2, 3, 4, 5, 6, 7, 1, 2, 0][..], &text, b"x"].concat(),
            RrType::CAA => [&[0, 1, b'a'][..], &text].concat(),
            RrType::URI => [&[0, 1, 0, 2][..], &text].concat(),
            RrType::MX => [&[0, 1, text.len() as u8 + 1][..], b"x", &text, &[0]].concat(),
            RrType::NSEC => [&[text.len() as u8 + 1][..], b"x", &text, &[0, 0, 1, 0x40]].concat(),
            _ => [&[text.len() as u8][..], &text].concat(),
        };
        prop_assume!(rdata::split(rtype, &data).is_ok());
        let shown = rdata::Shown(rtype, &data).to_string();
        prop_assert!(!shown.starts_with("\\#"), "{}", shown);
        let read = reading(&format!("{HEAD}x 5 IN {rtype} {shown}"));
        let found = read.rrsets.iter().find(|it| it.rtype == rtype && it.ttl == 5);
        let found = found.map(|it| it.rdata[0].as_wire().to_vec());
        prop_assert_eq!(found, Some(data), "{}: {:?}", shown, read.mistakes);
    }
}
