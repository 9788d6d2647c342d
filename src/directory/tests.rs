//! The directory, from a file that a company exports to a question on the day.

use std::{collections::BTreeMap, io::Write};

use proptest::prelude::*;

use super::*;
use crate::{
    clock,
    model::{
        directory::{Publication, Version},
        words::{Lang, Note, Timestamp},
    },
};

/// A node's blobs and key, and what the cluster would have agreed on.
struct Boathouse {
    folder: tempfile::TempDir,
    blobs: Blobs,
    keyring: Arc<Keyring>,
    said: Directories,
}

impl Boathouse {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            blobs: Blobs::open(&folder.path().join("blobs")).unwrap(),
            folder,
            keyring: Arc::new(Keyring::generate()),
            said: Directories::default(),
        }
    }

    fn intake(&self, text: &[u8], how: &How) -> Intake {
        let path = self.folder.path().join("upload");
        std::fs::write(&path, text).unwrap();
        Intake::read(std::fs::File::open(path).unwrap(), how).unwrap()
    }

    fn open(&self) -> Option<Directory> {
        let (version, record) = self.said.wanted()?;
        Some(Directory::open(&self.blobs, &self.keyring, &self.said, version, record).unwrap())
    }

    fn keys(&self) -> (&Blobs, &Arc<Keyring>) {
        (&self.blobs, &self.keyring)
    }

    fn agreed(&mut self, made: &Made) {
        let last = self.said.wanted.map_or(0, |it| it.0);
        let erased = self.said.erased_last;
        let Some(it) = made.publication(Note::default(), last, None) else {
            return;
        };
        let Publication {
            base,
            deltas,
            counts,
            ..
        } = it;
        let version = DirectoryVersion(last.max(erased) + 1);
        let record = Version {
            base,
            deltas,
            counts,
            at: Timestamp(0),
            by: String::new(),
            note: Note::default(),
        };
        self.said.versions.insert(version, record);
        self.said.wanted = Some(version);
    }

    /// Takes in a whole directory that has no mistakes.
    fn import(&mut self, text: &str) -> Made {
        let mut intake = self.intake(text.as_bytes(), &How::default());
        assert_eq!(intake.mistakes(), (&[][..], 0));
        let before = self.open();
        let erased = self.said.erased.clone();
        let made = whole(
            &mut intake,
            before.as_ref(),
            |it| erased.contains_key(it),
            self.keys(),
            true,
        );
        let made = made.unwrap().unwrap();
        self.agreed(&made);
        made
    }

    /// Takes in a batch of changes that has no mistakes.
    fn update(&mut self, text: &str) -> Made {
        let how = How {
            changes: true,
            ..How::default()
        };
        let mut intake = self.intake(text.as_bytes(), &how);
        assert_eq!(intake.mistakes(), (&[][..], 0));
        let before = self.open().unwrap();
        let record = self.said.wanted().unwrap().1.clone();
        let erased = self.said.erased.clone();
        let made = changed(
            &mut intake,
            (&before, &record),
            |it| erased.contains_key(it),
            self.keys(),
            true,
        );
        let made = made.unwrap().unwrap();
        self.agreed(&made);
        made
    }

    fn erase(&mut self, number: &str) {
        let at = self.said.wanted.map_or(0, |it| it.0) + 1;
        self.said.erased.insert(erasure(&self.keyring, number), at);
        self.said.erased_last = at;
    }

    fn numbers(&self) -> Vec<String> {
        let directory = self.open().unwrap();
        directory.walk().map(|it| it.unwrap().number).collect()
    }
}

const CZECH: &str = "\u{feff}Číslo zákazníka;Jméno;E-mail;Jazyk;Server;Datové centrum;Produkt;Doména;Pozn.\r\n\
    17;Jana Nová;jana@example.cz, jana@example.net;cs;web1;Praha;hosting;nova.example;x\r\n\
    9;\"Firma; s. r. o.\";info@firma.example;cs;vps7;Brno;vps;firma.example shop.example;\r\n\
    17;Jana Nová;;;web2;Praha;hosting;nova2.example;\r\n\
    5;Bare;;;;;;;\r\n";

#[test]
fn an_export_of_a_spreadsheet_is_taken_in_and_rows_of_a_customer_are_put_together() {
    let mut house = Boathouse::new();
    let made = house.import(CZECH);
    let directory = house.open().unwrap();
    let counts = directory.counts();
    assert_eq!(
        (counts.customers, counts.contacts, counts.services),
        (3, 3, 3)
    );
    assert_eq!((made.unreachable, made.difference.added), (1, 3));
    assert_eq!(house.numbers(), ["17", "5", "9"], "in order of their bytes");
    let jana = directory.find("17").unwrap().unwrap();
    let addresses: Vec<&str> = jana.contacts.iter().map(|it| it.address.as_str()).collect();
    assert_eq!(addresses, ["jana@example.cz", "jana@example.net"]);
    let servers: Vec<&str> = jana
        .services
        .iter()
        .map(|it| it.place.server.as_str())
        .collect();
    assert_eq!(
        (servers, jana.services[0].place.datacentre.as_str()),
        (vec!["web1", "web2"], "praha")
    );
    let firm = directory.find("9").unwrap().unwrap();
    assert_eq!(
        (firm.name.as_deref(), firm.lang(Lang::En)),
        (Some("Firma; s. r. o."), Lang::Cs)
    );
    assert_eq!(directory.find("1").unwrap(), None);
}

#[test]
fn every_bad_line_is_told_with_its_number_field_and_reason_and_nothing_is_written() {
    let house = Boathouse::new();
    let text = "customer,email,language,domain,server\n\
        1,no address,cs,example.com,a\n\
        ,b@example.com,cs,,\n\
        3,c@example.com,czech language,not a domain,a\n\
        4,d@example.com,cs\n\
        5,e@example.com,cs,,\n\
        5,e@example.com,en,,\n";
    let mut intake = house.intake(text.as_bytes(), &How::default());
    let (told, count) = intake.mistakes();
    let lines: Vec<(u32, &str)> = told.iter().map(|it| (it.line, it.field.as_str())).collect();
    let wanted = [
        (2, "email"),
        (2, "email"),
        (3, "customer"),
        (4, "language"),
        (4, "domain"),
        (4, "domain"),
        (4, "domain"),
        (5, "fields"),
    ];
    assert_eq!((lines.as_slice(), count), (&wanted[..], 8));
    let nothing = whole(&mut intake, None, |_| false, house.keys(), true).unwrap();
    assert!(nothing.is_none());
    // What differs between lines of a customer is seen once they are together.
    let differs =
        "customer,email,language\n5,e@example.com,cs\n6,f@example.com,cs\n5,e@example.com,en\n";
    let mut intake = house.intake(differs.as_bytes(), &How::default());
    assert!(
        whole(&mut intake, None, |_| false, house.keys(), true)
            .unwrap()
            .is_none()
    );
    let (told, _) = intake.mistakes();
    assert_eq!(
        (told[0].line, told[0].field.as_str(), told[0].found.as_str()),
        (4, "language", "en")
    );
    assert!(told[0].wanted.contains("line 2"));
    let left = std::fs::read_dir(house.folder.path().join("blobs")).unwrap();
    let left = left
        .filter(|it| it.as_ref().unwrap().path().is_file())
        .count();
    assert_eq!(left, 0, "nothing half written is left");
}

#[test]
fn json_lines_and_several_files_are_understood_and_mistakes_name_the_file() {
    let mut house = Boathouse::new();
    let lines = concat!(
        r#"{"customer": 7, "name": "A", "contacts": ["a@example.com", {"email": "b@example.com", "rank": 0}], "services": [{"name": "My shop", "server": "WEB1", "domains": ["Shop.Example."]}], "values": {"tariff": "gold"}}"#,
        "\n\n",
        r#"{"customer": "8"}"#,
        "\n",
    );
    let mut archive = tar::Builder::new(Vec::new());
    let mut append = |name: &str, text: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive
            .append_data(&mut header, name, text.as_bytes())
            .unwrap();
    };
    append("one.jsonl", lines);
    append("two.csv", "customer\tserver\n9\tweb2\n");
    let upload = archive.into_inner().unwrap();
    let mut intake = house.intake(&upload, &How::default());
    assert_eq!(intake.mistakes().1, 0, "{:?}", intake.mistakes());
    assert_eq!(intake.files()[1].format, "csv, separated by tab");
    let made = whole(&mut intake, None, |_| false, house.keys(), true)
        .unwrap()
        .unwrap();
    house.agreed(&made);
    let seven = house.open().unwrap().find("7").unwrap().unwrap();
    assert_eq!(
        seven.contacts[0].address, "a@example.com",
        "of equal ranks the first"
    );
    assert_eq!(
        (
            seven.services[0].label(),
            seven.services[0].domains[0].as_str()
        ),
        ("My shop", "shop.example")
    );
    assert_eq!(seven.values["tariff"], "gold");

    let wrong = "{\"customer\": \"1\", \"contacts\": [\"nobody\"], \"values\": {\"a b\": \"x\"}}\n{\"customer\": \"2\", \"kustomer\": 1}\n{\"customer\": \"3\", \"gone\": true}\n{";
    let intake = house.intake(wrong.as_bytes(), &How::default());
    let fields: Vec<(u32, &str)> = intake
        .mistakes()
        .0
        .iter()
        .map(|it| (it.line, it.field.as_str()))
        .collect();
    assert_eq!(fields[..2], [(1, "contacts[0].email"), (1, "values.a b")]);
    assert_eq!((fields[2].0, fields[3]), (2, (3, "gone")));
    assert_eq!(fields.len(), 5);
    let utf16 = house.intake(b"\xff\xfec\0", &How::default());
    assert_eq!(utf16.mistakes().0[0].found, "UTF-16");
    assert_eq!(house.intake(b"", &How::default()).mistakes().1, 1);
}

#[test]
fn what_is_at_rest_tells_nothing_of_a_customer() {
    let mut house = Boathouse::new();
    house.import(CZECH);
    for file in std::fs::read_dir(house.folder.path().join("blobs")).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let bytes = std::fs::read(path).unwrap();
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        for word in ["jana", "example", "nova", "firma"] {
            assert!(!text.contains(word), "{word} stands in the file");
        }
    }
    // Another cluster's key opens nothing.
    let (version, record) = house.said.wanted().unwrap();
    let other = Arc::new(Keyring::generate());
    let refused = Directory::open(&house.blobs, &other, &house.said, version, record).unwrap_err();
    assert!(matches!(refused, DirectoryError::Sealed), "{refused}");
}

#[test]
fn changes_lie_over_the_whole_and_the_whole_is_written_anew_with_them() {
    let mut house = Boathouse::new();
    house.import("customer,server,datacentre,domain\n1,web1,prague,a.example\n2,web1,prague,b.example\n3,web3,brno,c.example\n");
    let made = house.update(concat!(
        r#"{"customer": "2", "services": [{"server": "web9", "datacentre": "brno", "domains": ["b2.example"]}]}"#,
        "\n",
        r#"{"customer": "3", "gone": true}"#,
        "\n",
        r#"{"customer": "4", "services": [{"server": "web1", "datacentre": "prague"}]}"#,
        "\n",
    ));
    assert_eq!(made.difference.numbers, ["~ 2", "- 3", "+ 4"]);
    assert_eq!(house.numbers(), ["1", "2", "4"]);
    let directory = house.open().unwrap();
    assert_eq!(directory.counts().customers, 3);
    let known = |directory: &Directory, kind, text: &str| {
        let places = directory.places(kind, text).unwrap();
        places.map(|it| it.into_iter().map(|it| it.server).collect::<Vec<_>>())
    };
    for directory in [&directory, &{
        let made = rewritten(&directory, house.keys()).unwrap();
        house.agreed(&made);
        house.open().unwrap()
    }] {
        assert_eq!(
            known(directory, Kind::Domain, "b2.example"),
            Some(vec!["web9".to_owned()])
        );
        assert_eq!(
            known(directory, Kind::Domain, "b.example"),
            None,
            "it was taken away"
        );
        assert_eq!(known(directory, Kind::Domain, "c.example"), None);
        assert_eq!(
            known(directory, Kind::Number, "2"),
            Some(vec!["web9".to_owned()])
        );
        assert_eq!(known(directory, Kind::Number, "3"), None);
        assert_eq!(
            known(directory, Kind::Server, "WEB1"),
            Some(vec!["web1".to_owned()])
        );
    }
    assert_eq!(house.open().unwrap().layers.len(), 1);
    // The same again is no change.
    let again = house
        .update(r#"{"customer": "4", "services": [{"server": "web1", "datacentre": "prague"}]}"#);
    assert!(again.difference.is_empty() && again.files.is_none());
    let same = house.import("customer,server,datacentre,domain\n1,web1,prague,a.example\n2,web9,brno,b2.example\n4,web1,prague,\n");
    assert!(same.files.is_none(), "{:?}", same.difference);
}

#[test]
fn p11_an_erased_customer_is_shown_to_nobody_and_is_in_no_file_once_it_is_written_anew() {
    let mut house = Boathouse::new();
    let all = "customer,email,domain\n1,a@example.com,a.example\n2,b@example.com,b.example\n";
    house.import(all);
    house.erase("2");
    assert_eq!(house.numbers(), ["1"]);
    let directory = house.open().unwrap();
    assert_eq!(directory.find("2").unwrap(), None);
    assert_eq!(directory.places(Kind::Number, "2").unwrap(), None);
    let made = rewritten(&directory, house.keys()).unwrap();
    house.agreed(&made);
    let (version, record) = house.said.wanted().unwrap();
    // Also for somebody who does not know that it was erased.
    let nobody_erased = Directories::default();
    let bare = Directory::open(
        &house.blobs,
        &house.keyring,
        &nobody_erased,
        version,
        record,
    )
    .unwrap();
    assert_eq!(bare.find("2").unwrap(), None);
    assert_eq!(bare.places(Kind::Domain, "b.example").unwrap(), None);
    assert_eq!(bare.walk().count(), 1);
    // The company's own system still has it, and it does not come back.
    let again = house.import(all);
    assert_eq!((again.left_out, house.numbers().len()), (1, 1));
    let changed = house.update("{\"customer\": \"2\"}");
    assert_eq!((changed.left_out, house.numbers().len()), (1, 1));
}

#[test]
fn mail_goes_to_the_best_address_that_can_be_read_now() {
    let mut house = Boathouse::new();
    house.import(concat!(
        "customer,name,email,language,server,domain\n",
        "1,A,info@a.example other@gmail.example,cs,web1,a.example\n",
        "2,B,info@mail.a.example,de,web1,b.example\n",
        "3,C,c@c.example,en,web2,c.example\n",
        "4,D,,cs,web1,d.example\n",
        "5,E,e@c.example e@e.example,en,web1,e.example\n",
    ));
    let directory = house.open().unwrap();
    let choice = Choice {
        failed: None,
        avoid: &[],
        otherwise: Lang::En,
    };
    let audience = |text: &str| Audience::read(text, Lists::new()).unwrap();
    let asked = audience("server=web1");
    let mut all = directory.addressees(&asked, &choice).unwrap();
    let found: Vec<Addressee> = all.by_ref().map(Result::unwrap).collect();
    let brief: Vec<(&str, &str, Lang)> = found
        .iter()
        .map(|it| (it.customer.as_str(), it.address.as_str(), it.lang))
        .collect();
    let wanted = [
        ("1", "other@gmail.example", Lang::Cs),
        ("2", "info@mail.a.example", Lang::En),
        ("5", "e@c.example", Lang::En),
    ];
    assert_eq!(
        brief, wanted,
        "a mailbox at a failed domain is passed over where there is another"
    );
    assert_eq!(found[0].services, ["web1"]);
    let told = all.told();
    assert_eq!(
        (told.customers, told.reached, told.off_net, told.on_failed),
        (4, 3, 1, 1)
    );
    // Nothing has failed where somebody only asks for a language, and what has can be said.
    let czech = audience("language=cs");
    let plain: Vec<Addressee> = directory
        .addressees(&czech, &choice)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(plain[0].address, "info@a.example");
    let lost = audience("server=web2");
    let avoid = ["gmail.example".to_owned(), "a.example".to_owned()];
    let choice = Choice {
        failed: Some(&lost),
        avoid: &avoid,
        ..choice
    };
    let asked = audience("customer=1,5");
    let both: Vec<String> = directory
        .addressees(&asked, &choice)
        .unwrap()
        .map(|it| it.unwrap().address)
        .collect();
    assert_eq!(
        both,
        ["info@a.example", "e@e.example"],
        "the best one where all have failed"
    );
}

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
            for chunk in 0..reader.chunks() {
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
    let mut intake = Intake::read(std::fs::File::open(&path).unwrap(), &How::default()).unwrap();
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
