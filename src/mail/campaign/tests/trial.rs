//! P7: a test has a recipient's words and goes to the company's own people.

use std::collections::BTreeMap;

use super::from;
use crate::directory::Addressee;
use crate::mail::campaign::check;
use crate::mail::campaign::sheet::Listed;
use crate::mail::campaign::texts::{Press, Texts, Words};
use crate::mail::campaign::trial::{self, Staff};
use crate::model::campaign::{CampaignId, Kind};
use crate::model::words::Lang;
use crate::seal::Keyring;

fn customer(line: u32, lang: Lang, services: &[&str]) -> Listed {
    let who = Addressee {
        customer: line.to_string(),
        address: format!("customer{line}@example.com"),
        name: Some("Jana".to_owned()),
        lang,
        services: services.iter().map(|it| (*it).to_owned()).collect(),
        values: BTreeMap::new(),
    };
    Listed { line, who }
}

fn press() -> Press {
    let words = |subject: &str| Words {
        subject: subject.to_owned(),
        text: "{{ customer }}: {{ services | join(', ') }}".to_owned(),
        html: None,
    };
    let texts = Texts::from([
        ("cs".to_owned(), words("Praha bez proudu")),
        ("en".to_owned(), words("No power")),
    ]);
    Press::new(&texts, "Example").unwrap()
}

#[test]
fn p7_a_test_goes_to_staff_and_names_no_customer_but_in_its_text() {
    let checked = check::check(&press(), &[customer(7, Lang::Cs, &["web1"])], |_| false);
    let (keyring, sender) = (Keyring::generate(), from());
    let to = Staff::support(&sender);
    let which = (CampaignId(3), Kind::Updates);
    let mail = trial::write(&sender, &keyring, which, &checked.samples[0], &to).unwrap();
    assert_eq!(mail.to.to_string(), sender.reply_to.as_str());
    let text = String::from_utf8(mail.bytes).unwrap();
    assert!(text.contains("Subject: [TEST] Praha bez proudu"), "{text}");
    assert!(text.contains("7: web1"), "{text}");
    assert!(
        !text.contains("customer7@example.com") && !text.contains("Jana"),
        "{text}"
    );
}

#[test]
fn a_check_shows_every_language_and_somebody_with_several_services() {
    let list = [
        customer(1, Lang::En, &["web1"]),
        customer(2, Lang::En, &["web1"]),
        customer(3, Lang::En, &["web1", "vps1", "vps2"]),
        customer(4, Lang::En, &["web1", "vps1"]),
        customer(5, Lang::Cs, &["web2"]),
    ];
    let checked = check::check(&press(), &list, |_| false);
    let shown = |line: u32| checked.samples.iter().any(|it| it.line == line);
    assert!(shown(3), "nobody with several services");
    assert!(shown(5), "nobody in Czech");
    let bad = Listed {
        line: 6,
        who: Addressee {
            address: "nobody".to_owned(),
            ..customer(6, Lang::Cs, &[]).who
        },
    };
    let checked = check::check(&press(), &[bad], |_| false);
    assert_eq!(
        (checked.faults[0].who.as_str(), checked.faults[0].line),
        ("6", 6)
    );
}
