//! The directory, from a file that a company exports to a question on the day.

mod any;

use super::*;
use crate::model::{
    directory::{Publication, Version},
    vault::{FIRST_KEY, Vault, VaultKey},
    words::{Lang, Note, Timestamp},
};
use crate::seal::VaultSecret;

/// A file, open for reading and writing.
fn for_both(path: &std::path::Path) -> std::fs::File {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).open(path).unwrap()
}

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
        Intake::read(for_both(&path), how).unwrap()
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
    let stolen = Directory::open(&house.blobs, &other, &house.said, version, record).unwrap();
    let refused = stolen.find("1").unwrap_err();
    assert!(matches!(refused, DirectoryError::Sealed), "{refused}");
    assert!(stolen.walk().any(|it| it.is_err()));
}

/// After a cold start, before anybody has opened the vault.
#[test]
fn while_the_vault_is_locked_a_visitor_is_told_whether_it_is_them_and_nobody_sees_a_customer() {
    let mut house = Boathouse::new();
    let (secret, mut vault) = (VaultSecret::generate(), Vault::default());
    let key = VaultKey {
        made: Timestamp(0),
        check: secret.check(),
        under: None,
    };
    vault.keys.insert(FIRST_KEY, key);
    assert!(house.keys().1.unlock(&vault, &secret));
    house.import(CZECH);
    assert!(house.open().unwrap().is_sealed_by(FIRST_KEY));
    let known = house.open().unwrap().walk().next().unwrap().unwrap();
    let again = Keyring::from_text(&house.keys().1.to_text()).unwrap();
    again.look_at_vault(&vault);
    let again = Arc::new(again);
    let (version, record) = house.said.wanted().unwrap();
    let open = Directory::open(&house.blobs, &again, &house.said, version, record).unwrap();
    let places = open.places(Kind::Number, &known.number).unwrap();
    assert!(places.is_some());
    assert!(matches!(
        open.find(&known.number),
        Err(DirectoryError::Sealed)
    ));
    let mut more = house.intake(CZECH.as_bytes(), &How::default());
    let written = whole(&mut more, None, |_| false, (&house.blobs, &again), true);
    assert!(matches!(written, Err(DirectoryError::Locked(_))));
    // The same open directory tells, once somebody has opened the vault.
    assert!(again.unlock(&vault, &secret));
    assert_eq!(
        open.find(&known.number).unwrap().unwrap().number,
        known.number
    );
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
