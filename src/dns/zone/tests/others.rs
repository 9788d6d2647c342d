//! Our answers beside those of BIND, NSD, Knot and PowerDNS (tests/data/dns-answers), compared as the authors of the
//! cases do. Where we differ is told case by case in docs/reference/dns-answers.md.

use std::{collections::BTreeSet, io::Read as _, path::Path};

use serde::Deserialize;

use super::{file, lines};
use crate::{
    dns::message::Rcode,
    model::domain::{DomainName, RrType},
};

#[derive(Deserialize)]
struct Case {
    id: u32,
    zone: String,
    query: Asked,
    answers: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    name: String,
    #[serde(rename = "Type")]
    rtype: String,
}

#[derive(Deserialize)]
struct Group {
    servers: Vec<String>,
    response: Vec<String>,
}

/// A message as it is compared: sections as sets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    rcode: String,
    flags: String,
    sections: [BTreeSet<String>; 3],
}

impl Seen {
    fn agrees(&self, other: &Self) -> bool {
        let [answer, authority, additional] = &self.sections;
        let [their_answer, their_authority, their_additional] = &other.sections;
        let head = self.rcode == other.rcode && self.flags == other.flags;
        let with_authority = answer.is_empty() || their_answer.is_empty();
        head && answer == their_answer
            && additional == their_additional
            && (!with_authority || authority == their_authority)
    }
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dns-answers/cases.jsonl.zst");
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    zstd::Decoder::new(file)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The words of a line in small letters: names may come in any case.
fn plain(line: &str) -> String {
    line.to_lowercase()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn theirs(group: &Group) -> Seen {
    let mut seen = Seen::default();
    let mut section = None;
    for line in &group.response {
        match line.as_str() {
            ";QUESTION" => section = None,
            ";ANSWER" => section = Some(0),
            ";AUTHORITY" => section = Some(1),
            ";ADDITIONAL" => section = Some(2),
            other => match (section, other.split_once(' ')) {
                (Some(at), _) => {
                    seen.sections[at].insert(plain(other));
                }
                (None, Some(("rcode", rcode))) => rcode.clone_into(&mut seen.rcode),
                (None, Some(("flags", flags))) => {
                    let kept = flags.split(' ').filter(|it| *it != "RA");
                    seen.flags = kept.collect::<Vec<_>>().join(" ");
                }
                _ => {}
            },
        }
    }
    seen
}

fn ours(case: &Case) -> Result<Seen, Vec<file::Mistake>> {
    let origin: DomainName = case
        .zone
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let reading = file::read(case.zone.as_bytes(), &origin);
    let Some(zone) = reading.zone else {
        return Err(reading.mistakes);
    };
    let name: DomainName = case.query.name.parse().unwrap();
    let rtype: RrType = case.query.rtype.parse().unwrap();
    let answer = zone.answer(&name, rtype, false);
    let rcode = match answer.rcode {
        Rcode::NOERROR => "NOERROR",
        Rcode::NXDOMAIN => "NXDOMAIN",
        Rcode::YXDOMAIN => "YXDOMAIN",
        _ => "REFUSED",
    };
    let flags = if answer.is_authoritative {
        "QR AA"
    } else {
        "QR"
    };
    let section = |it: &[super::Piece<'_>]| lines(it).iter().map(|it| plain(it)).collect();
    Ok(Seen {
        rcode: rcode.to_owned(),
        flags: flags.to_owned(),
        sections: [
            section(&answer.answer),
            section(&answer.authority),
            section(&answer.additional),
        ],
    })
}

#[test]
fn answers_agree_with_those_of_four_name_servers() {
    let cases = cases();
    let mut apart = Vec::new();
    for case in &cases {
        let seen = ours(case);
        let agrees = |it: &Seen| case.answers.iter().any(|group| it.agrees(&theirs(group)));
        if !seen.as_ref().is_ok_and(agrees) {
            let groups: Vec<_> = case
                .answers
                .iter()
                .map(|it| (&it.servers, theirs(it)))
                .collect();
            let (name, rtype) = (&case.query.name, &case.query.rtype);
            apart.push(format!(
                "case {}: {name} {rtype}\n{}ours {seen:#?}\ntheirs {groups:#?}",
                case.id, case.zone
            ));
        }
    }
    let agreed = (cases.len() - apart.len()) as f64 * 100.0 / cases.len() as f64;
    println!("{agreed:.2} % of {} answers agree", cases.len());
    assert!(
        agreed >= 99.5,
        "{agreed:.2} % agree; apart are\n{}",
        apart.join("\n")
    );
    for case in &apart {
        println!("{case}");
    }
}
