//! 132 real returns, complaints and answers of machines, each with what it means.

use std::collections::BTreeMap;
use std::io::Read;

use crate::mail::inward::bounce::Failed;
use crate::mail::inward::judge::{Kind, judge, parse};

const SAMPLE: &[u8] = include_bytes!("../../../../tests/data/bounces/bounces.tar.zst");

/// What a row of the labels says.
#[derive(Debug)]
struct Row {
    file: String,
    place: usize,
    reason: String,
    hard: bool,
}

fn sample() -> (Vec<Row>, BTreeMap<String, Vec<u8>>) {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(zstd::Decoder::new(SAMPLE).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry
            .path()
            .unwrap()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(name, bytes);
    }
    let labels = String::from_utf8(files.remove("labels.tsv").unwrap()).unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        Row {
            file: fields[0].to_owned(),
            place: fields[1].parse().unwrap(),
            reason: fields[4].to_owned(),
            hard: fields[5] == "true",
        }
    };
    (labels.lines().skip(1).map(row).collect(), files)
}

/// What we make of a row, in a word.
fn found(row: &Row, bytes: &[u8]) -> &'static str {
    let message = parse(bytes).unwrap();
    let null = message.return_address().is_none_or(str::is_empty);
    match judge(
        &message,
        null && message.header_raw("Return-Path").is_some(),
    ) {
        Kind::Returned(failures) => {
            let place = (row.place - 1).min(failures.len() - 1);
            match failures[place].what {
                Failed::Hard => "hard",
                Failed::Soft => "soft",
                Failed::Not => "not",
            }
        }
        Kind::Complaint => "complaint",
        Kind::AutoReply => "auto-reply",
        Kind::Automatic => "automatic",
        Kind::Person => "person",
    }
}

fn wanted(row: &Row) -> &'static str {
    match (row.reason.as_str(), row.hard) {
        ("feedback", _) => "complaint",
        ("vacation", _) => "auto-reply",
        (_, true) => "hard",
        (_, false) => "soft",
    }
}

#[test]
fn of_a_hundred_returned_mails_95_are_understood_and_no_answering_machine_is_taken_for_one() {
    let (rows, files) = sample();
    let mut wrong = Vec::new();
    for row in &rows {
        let (found, wanted) = (found(row, &files[&row.file]), wanted(row));
        // A mail that is only late is no dead address, which is all that the labels say of it.
        if found != wanted && (found, wanted) != ("not", "soft") {
            wrong.push(format!(
                "{} {}: {wanted} ({}), found {found}",
                row.file, row.place, row.reason
            ));
        }
        assert!(wanted != "auto-reply" || found != "hard", "{row:?}");
    }
    println!(
        "{} of {} are wrong:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    assert!(rows.len() >= 140, "the sample is not whole");
    assert!(wrong.len() * 100 <= rows.len() * 5, "{}", wrong.join("\n"));
}
