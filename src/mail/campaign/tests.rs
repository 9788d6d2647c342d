//! Mass mail without Raft: lists and texts that people get wrong, and nodes that send through the gate to a real socket
//! while agreeing fails, a node dies, and somebody stops it.

mod gate;
mod recorder;
mod trial;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::journal::{Journal, Record};
use super::letter::{self, Sender, Series};
use super::list;
use super::sheet::{self, LIST, Listed, MANIFEST};
use super::texts::{Press, Texts, Words};
use super::{check, name_of};
use crate::directory::Addressee;
use crate::model::campaign::{CampaignId, Fact, Kind, Status, What};
use crate::model::words::{EmailAddress, Lang, Timestamp};
use crate::seal::Keyring;

fn texts(subject: &str, text: &str, html: Option<&str>) -> Texts {
    let words = Words {
        subject: subject.to_owned(),
        text: text.to_owned(),
        html: html.map(str::to_owned),
    };
    BTreeMap::from([("en".to_owned(), words)])
}

fn who(name: Option<&str>) -> Addressee {
    Addressee {
        customer: "17".to_owned(),
        address: "jana@example.com".to_owned(),
        name: name.map(str::to_owned),
        lang: Lang::Cs,
        services: vec!["srv-1".to_owned(), "srv-2".to_owned()],
        values: BTreeMap::from([("until".to_owned(), "23:15".to_owned())]),
    }
}

fn from() -> Sender {
    Sender {
        company: "Example\r\nBcc: all@example.com".to_owned(),
        from: EmailAddress::new("notice@help.example.net").unwrap(),
        reply_to: EmailAddress::new("support@example.com").unwrap(),
        unsubscribe: Arc::new(|_| vec!["https://help.example.net/u/x".to_owned()]),
        return_domain: None,
    }
}

fn written(keyring: &Keyring, kind: Kind, who: &Addressee) -> String {
    let texts = texts(
        "Power: {{ company }}",
        "Dear {{ name | default('customer') }}",
        None,
    );
    let press = Press::new(&texts, "Example").unwrap();
    let series = Series {
        campaign: CampaignId(3),
        kind,
        date: Timestamp(1_795_453_805_000),
    };
    let mail = press.render(who).unwrap();
    let mail = letter::write(&from(), keyring, &series, (4, who), &mail).unwrap();
    String::from_utf8(mail.bytes).unwrap()
}

#[test]
fn what_is_missing_is_a_mistake_and_a_value_is_never_read_as_a_template() {
    let press = Press::new(&texts("Hello", "Dear {{ name }}", None), "Example").unwrap();
    let flaw = press.render(&who(None)).unwrap_err();
    assert!(
        flaw.place.starts_with("en.txt") && flaw.found.contains("undefined"),
        "{flaw:?}"
    );
    let mail = press
        .render(&who(Some("{{ company }}{% for i in services %}")))
        .unwrap();
    assert_eq!(mail.text, "Dear {{ company }}{% for i in services %}");
    assert!(mail.other_lang && mail.lang == Lang::En);

    let list = "{% for it in services %}{{ it }};{% endfor %} until {{ until }}";
    let press = Press::new(&texts("Hello", list, None), "Example").unwrap();
    assert_eq!(
        press.render(&who(None)).unwrap().text,
        "srv-1;srv-2; until 23:15"
    );
}

#[test]
fn html_is_escaped_and_nothing_in_it_calls_home() {
    let press = Press::new(&texts("Hello", "x", Some("<p>{{ name }}</p>")), "E").unwrap();
    let mail = press.render(&who(Some("<script>"))).unwrap();
    assert_eq!(mail.html.as_deref(), Some("<p>&lt;script&gt;</p>"));
    for html in [
        "<a href=\"http://example.com\">x</a>",
        "<img src=\"https://example.com/x\">",
    ] {
        let flaws = Press::new(&texts("Hello", "x", Some(html)), "E")
            .err()
            .unwrap();
        assert!(flaws[0].place.contains("en.html"), "{flaws:?}");
    }
}

#[test]
fn a_subject_is_one_line_and_a_template_ends() {
    let press = Press::new(&texts("Hello {{ name }}", "x", None), "E").unwrap();
    let flaw = press
        .render(&who(Some("a\r\nBcc: b@example.com")))
        .unwrap_err();
    assert_eq!(
        (flaw.place.as_str(), flaw.wanted.as_str()),
        ("en.subject", "one line")
    );
    let press = Press::new(
        &texts(
            "x",
            "{% for i in range(9999) %}{% for j in range(9999) %}a{% endfor %}{% endfor %}",
            None,
        ),
        "E",
    )
    .unwrap();
    assert!(press.render(&who(None)).unwrap_err().found.contains("fuel"));
    let flaws = Press::new(&texts("{{ name", "x", None), "E").err().unwrap();
    assert!(flaws[0].place.starts_with("en.subject"), "{flaws:?}");
}

#[test]
fn p6_a_mail_has_the_same_bytes_at_every_try_on_every_node_and_no_header_can_be_slipped_in() {
    let here = Keyring::generate();
    let there = Keyring::from_text(&here.to_text()).unwrap();
    let mail = written(
        &here,
        Kind::Essential,
        &who(Some("Jana\r\nBcc: x@example.com")),
    );
    assert_eq!(
        mail,
        written(
            &there,
            Kind::Essential,
            &who(Some("Jana\r\nBcc: x@example.com"))
        )
    );
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    assert!(!head.lines().any(|it| it.starts_with("Bcc")), "{head}");
    assert!(mail.contains("Auto-Submitted: auto-generated") && mail.contains("Message-ID: <"));
    assert!(
        !mail.contains("List-Unsubscribe"),
        "nobody unsubscribes from what is essential"
    );
    let updates = written(&here, Kind::Updates, &who(None));
    assert!(updates.contains("List-Unsubscribe: <https://help.example.net/u/x>"));
    assert!(updates.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"));
    let token = here.unsubscribe(&name_of(
        &here,
        &EmailAddress::new("a@example.com").unwrap(),
    ));
    assert!(there.open_unsubscribe(&token).is_some());
    assert_eq!(
        there.open_unsubscribe(&token.replace(&token[4..6], "zz")),
        None
    );
}

#[test]
fn every_bad_line_of_a_list_is_told_with_its_number_and_nothing_is_taken() {
    let text = "address;lang;name;until\r\na@example.com;cs;\"Nov\u{e1}; Jana\";23:15\r\nnobody;cs;;\r\nb@example.com;xx;;\r\n\r\nc@example.com;cs\r\n";
    let read = list::read(text, Lang::En);
    let told: Vec<(u32, &str)> = read
        .mistakes
        .iter()
        .map(|it| (it.line, it.field.as_str()))
        .collect();
    assert_eq!(told, [(3, "address"), (4, "lang"), (6, "the line")]);
    assert_eq!(read.people[0].who.name.as_deref(), Some("Nov\u{e1}; Jana"));
    assert_eq!(read.people[0].who.values["until"], "23:15");

    let text = "{\"address\":\"a@example.com\",\"services\":[\"x\"]}\n{\"adress\":\"b@example.com\"}\n{\"address\":\"c@example.com\",\"name\":\"a\\nb\"}\n";
    let read = list::read(text, Lang::Cs);
    let told: Vec<u32> = read.mistakes.iter().map(|it| it.line).collect();
    assert_eq!(told, [2, 3]);
    assert_eq!(read.people[0].who.lang, Lang::Cs);
    assert_eq!(list::read("", Lang::En).wrong, 1);
}

#[test]
fn a_check_renders_everybody_counts_them_and_names_the_lines_that_are_wrong() {
    let press = Press::new(&texts("Hello", "Dear {{ name }}", None), "E").unwrap();
    let line = |line, address: &str, name| Listed {
        line,
        who: Addressee {
            address: address.to_owned(),
            ..who(name)
        },
    };
    let list = [
        line(2, "a@example.com", Some("A")),
        line(3, "A@example.com", Some("A")),
        line(4, "b@example.org", None),
        line(5, "c@example.com", Some("C")),
    ];
    let checked = check::check(&press, &list, |it| it.as_str().starts_with('c'));
    assert_eq!(
        (
            checked.recipients.len(),
            checked.repeated,
            checked.suppressed
        ),
        (1, 1, 1)
    );
    assert_eq!((checked.wrong, checked.faults[0].line), (1, 4));
    assert_eq!(checked.langs[&Lang::En], 1);
}

#[test]
fn a_sheet_opens_with_the_clusters_key_and_for_its_purpose_only() {
    let keyring = Keyring::generate();
    let people = vec![who(Some("Jana")), who(None)];
    let bytes = sheet::pack(&keyring, MANIFEST, &people).unwrap();
    assert!(!bytes.windows(4).any(|it| it == b"Jana"));
    assert_eq!(
        sheet::unpack::<Addressee>(&keyring, MANIFEST, &bytes).unwrap(),
        people
    );
    assert!(sheet::unpack::<Addressee>(&keyring, LIST, &bytes).is_err());
    assert!(sheet::unpack::<Addressee>(&Keyring::generate(), MANIFEST, &bytes).is_err());
    assert!(sheet::unpack::<Addressee>(&keyring, MANIFEST, &bytes[..bytes.len() - 1]).is_err());
}

#[tokio::test]
async fn p6_the_journal_says_what_the_cluster_may_not_know_and_a_torn_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000001.journal");
    let fact = |place, what| Fact {
        segment: 1,
        place,
        what,
    };
    let refused = What::Refused(Status::of("550 5.1.1"));
    let (journal, left) = Journal::open(&path).unwrap();
    assert_eq!(left, []);
    for place in 0..5 {
        journal
            .write(Record::Begin { segment: 1, place })
            .await
            .unwrap();
    }
    journal
        .write(Record::End(fact(0, What::Delivered)))
        .await
        .unwrap();
    journal.write(Record::End(fact(1, refused))).await.unwrap();
    journal
        .write(Record::TakenBack {
            segment: 1,
            place: 2,
        })
        .await
        .unwrap();
    journal
        .write(Record::End(fact(3, What::Unanswered)))
        .await
        .unwrap();
    drop(journal);
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend_from_slice(&[b'O'; 7]);
    std::fs::write(&path, torn).unwrap();
    let (_, left) = Journal::open(&path).unwrap();
    let wanted = [
        fact(0, What::Delivered),
        fact(1, refused),
        fact(4, What::Unanswered),
    ];
    assert_eq!(left, wanted);
}
