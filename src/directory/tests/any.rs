//! Any changes in any order, any damage, any bytes; and very many customers.

use std::{collections::BTreeMap, io::Write};

use proptest::prelude::*;

use super::*;
use crate::clock;

/// A customer as a line of JSON: few numbers, servers and domains, so that they meet.
fn any_change() -> impl Strategy<Value = (u8, Option<Vec<(u8, u8)>>)> {
    let services = prop::collection::vec((0_u8..4, 0_u8..6), 0..4);
    (0_u8..12, proptest::option::of(services))
}

fn line(number: u8, services: Option<&Vec<(u8, u8)>>) -> String {
    let Some(services) = services else {
        return format!("{{\"customer\": \"k{number:03}\", \"gone\": true}}\n");
    };
    let services: Vec<String> = services
        .iter()
        .map(|(server, domain)| {
            format!("{{\"server\": \"s{server}\", \"domains\": [\"d{domain}-{number}.example\"]}}")
        })
        .collect();
    format!(
        "{{\"customer\": \"k{number:03}\", \"services\": [{}]}}\n",
        services.join(",")
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_of_changes_is_what_a_plain_map_would_be(batches in prop::collection::vec(prop::collection::vec(any_change(), 1..8), 1..6), rewrite_after in 0_usize..6) {
        let mut house = Boathouse::new();
        let mut plain: BTreeMap<u8, Vec<(u8, u8)>> = BTreeMap::from([(50, vec![(1, 1)])]);
        house.import(&line(50, Some(&vec![(1, 1)])));
        for (turn, batch) in batches.iter().enumerate() {
            // Of one customer the last word of a batch.
            let batch: BTreeMap<u8, Option<Vec<(u8, u8)>>> = batch.iter().cloned().collect();
            let text: String = batch.iter().map(|(number, it)| line(*number, it.as_ref())).collect();
            house.update(&text);
            for (number, services) in batch {
                match services {
                    Some(services) => drop(plain.insert(number, services)),
                    None => drop(plain.remove(&number)),
                }
            }
            if turn == rewrite_after {
                let made = rewritten(&house.open().unwrap(), house.keys()).unwrap();
                house.agreed(&made);
            }
            let directory = house.open().unwrap();
            let numbers: Vec<String> = plain.keys().map(|it| format!("k{it:03}")).collect();
            prop_assert_eq!(house.numbers(), numbers);
            prop_assert_eq!(directory.counts().customers, plain.len() as u64);
            for number in 0..12_u8 {
                let key = format!("k{number:03}");
                let known = plain.get(&number).filter(|it| !it.is_empty());
                let mut wanted: Vec<String> = known.into_iter().flatten().map(|it| format!("s{}", it.0)).collect();
                wanted.sort();
                wanted.dedup();
                let found = directory.places(Kind::Number, &key).unwrap().unwrap_or_default();
                let mut found: Vec<String> = found.into_iter().map(|it| it.server).collect();
                found.sort();
                prop_assert_eq!(found, wanted);
                prop_assert_eq!(directory.find(&key).unwrap().is_some(), plain.contains_key(&number));
                for domain in 0..6_u8 {
                    let name = format!("d{domain}-{number}.example");
                    let is_there = plain.get(&number).is_some_and(|it| it.iter().any(|it| it.1 == domain));
                    prop_assert_eq!(directory.places(Kind::Domain, &name).unwrap().is_some(), is_there);
                }
            }
        }
    }

    #[test]
    fn no_damage_to_a_file_makes_a_reader_panic(at in 0_usize..3_000, to: u8, cut in 0_usize..3_000, shorten: bool) {
        let mut house = Boathouse::new();
        house.import(CZECH);
        let record = house.said.wanted().unwrap().1.clone();
        let path = house.folder.path().join("blobs").join(record.base.blob.to_string());
        let mut bytes = std::fs::read(path).unwrap();
        // The fan is most of the file and says little; what is around it is damaged as often.
        let place = if at < 1_500 { at % bytes.len() } else { bytes.len() - 1 - (at - 1_500) % bytes.len() };
        bytes[place] = to;
        if shorten {
            bytes.truncate(bytes.len() - cut % bytes.len());
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        if let Ok(reader) = Reader::open(file, house.keyring.clone()) {
            for chunk in 0..reader.chunks().unwrap_or(0) {
                let _ = reader.chunk(chunk);
            }
            for (kind, text) in [(Kind::Number, "17"), (Kind::Domain, "nova.example"), (Kind::Server, "web1")] {
                let _ = reader.leads(key(&house.keyring, kind, text));
            }
        }
    }

    #[test]
    fn no_upload_makes_a_reader_panic(bytes: Vec<u8>, changes: bool) {
        let house = Boathouse::new();
        let how = How { changes, ..How::default() };
        let mut intake = house.intake(&bytes, &how);
        let _ = whole(&mut intake, None, |_| false, house.keys(), false);
    }

    #[test]
    fn no_rows_make_a_reader_panic(rows in prop::collection::vec("[a-z0-9@.;,\" é]{0,30}", 0..12)) {
        let house = Boathouse::new();
        let text = format!("customer;email;language;server;domain;value.x\n{}", rows.join("\n"));
        let mut intake = house.intake(text.as_bytes(), &How::default());
        let _ = whole(&mut intake, None, |_| false, house.keys(), true);
    }
}

/// The most memory that this process had so far, in megabytes.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmHWM")).unwrap();
    let kb = line.split_whitespace().nth(1).unwrap();
    kb.parse::<u64>().unwrap() / 1_024
}

/// `LIFEBOAT_CUSTOMERS` says how many; what is printed is for docs/operations/directory.md.
#[test]
fn many_customers_are_taken_in_and_asked_with_little_memory() {
    let count = std::env::var("LIFEBOAT_CUSTOMERS").map_or(20_000, |it| it.parse::<u64>().unwrap());
    let mut house = Boathouse::new();
    let path = house.folder.path().join("export.csv");
    let mut file = io::BufWriter::new(std::fs::File::create(&path).unwrap());
    file.write_all(b"customer,name,email,language,server,rack,datacentre,product,domain\n")
        .unwrap();
    for number in 0..count {
        // Shuffled, as exports are in no order of ours.
        let number = number * 7_919 % count;
        for service in 0..2 {
            writeln!(
                file,
                "{number:07},Customer Number {number},customer{number}@mail{}.example,cs,web{}.prg.example.net,r{},prague-{},hosting-{service},customer{number}-{service}.example",
                number % 1_000, number % 5_000, number % 200, number % 2
            )
            .unwrap();
        }
    }
    file.flush().unwrap();
    let before = peak_mb();
    let began = clock::monotonic();
    let mut intake = Intake::read(for_both(&path), &How::default()).unwrap();
    let read = began.elapsed();
    let made = whole(&mut intake, None, |_| false, house.keys(), true)
        .unwrap()
        .unwrap();
    drop(intake);
    let taken_in = began.elapsed();
    house.agreed(&made);
    let record = house.said.wanted().unwrap().1.clone();
    let began = clock::monotonic();
    let directory = house.open().unwrap();
    let opened = began.elapsed();
    let choice = Choice {
        failed: None,
        avoid: &[],
        otherwise: Lang::En,
    };
    let audience = Audience::read("datacentre=prague-1 and not rack=r7", Lists::new()).unwrap();
    let began = clock::monotonic();
    let all = directory.addressees(&audience, &choice).unwrap();
    let meant = all.inspect(|it| assert!(it.is_ok())).count();
    let asked = began.elapsed();
    let began = clock::monotonic();
    for number in 0..1_000_u64 {
        let name = format!("customer{}-1.example", number * 7_919 % count);
        assert!(directory.places(Kind::Domain, &name).unwrap().is_some());
    }
    let known = began.elapsed() / 1_000;
    println!(
        "{count} customers: read {read:.1?}, taken in {taken_in:.1?}, opened {opened:.1?}, {meant} addressees {asked:.1?}, is it me {known:.1?}, {} MB on disk, peak {} MB (before {before} MB)",
        record.base.size / 1_000_000,
        peak_mb()
    );
    assert_eq!(directory.counts().customers, count);
    assert!(meant as u64 > count * 4 / 10 && (meant as u64) < count / 2);
}
