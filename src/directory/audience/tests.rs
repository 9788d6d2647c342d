//! Audiences: what they mean, how they are refused, and that no text breaks them.

use proptest::prelude::*;

use super::*;
use crate::directory::customer::Contact;

fn service(server: &str, datacentre: &str, product: &str, domain: &str) -> Hosted {
    Hosted {
        name: String::new(),
        place: Place {
            server: server.to_owned(),
            rack: "r1".to_owned(),
            datacentre: datacentre.to_owned(),
            product: product.to_owned(),
        },
        domains: vec![domain.to_owned()],
    }
}

fn customer(number: &str, language: &str, services: Vec<Hosted>) -> Customer {
    Customer {
        number: number.to_owned(),
        language: Some(language.to_owned()),
        contacts: vec![Contact {
            address: format!("{number}@example.net"),
            rank: 0,
        }],
        services,
        ..Customer::default()
    }
}

/// The labels of what a text picks of a customer with mail on web1 in Prague and a virtual server in Frankfurt.
fn picked(text: &str) -> Option<Vec<String>> {
    let lists = Lists::from([("VIP".to_owned(), ["17@Example.net".to_owned()].into())]);
    let audience = Audience::read(text, lists).unwrap();
    let both = vec![
        service("web1", "prague", "mail", "a.example"),
        service("vps7", "frankfurt", "vps", "b.example"),
    ];
    let customer = customer("17", "cs-cz", both);
    let picked = audience.picks(&customer)?;
    Some(picked.iter().map(|it| it.label().to_owned()).collect())
}

#[test]
fn an_audience_means_services_and_except_takes_customers_out() {
    let some = |labels: &[&str]| Some(labels.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    assert_eq!(picked("all"), some(&["web1", "vps7"]));
    assert_eq!(picked("server=WEB1"), some(&["web1"]));
    assert_eq!(
        picked("server=web1 and product=vps"),
        None,
        "of one service at a time"
    );
    assert_eq!(
        picked("server=web1 or product=vps"),
        some(&["web1", "vps7"])
    );
    assert_eq!(picked("not datacentre=prague"), some(&["vps7"]));
    assert_eq!(picked("all except datacentre=prague"), None);
    assert_eq!(
        picked("dc=frank*,\"new york\" and lang=cs"),
        some(&["vps7"])
    );
    assert_eq!(
        picked("rack=r1 and not (server=web1 or server=web2)"),
        some(&["vps7"])
    );
    assert_eq!(picked("list:vip and domain=a.example"), some(&["web1"]));
    assert_eq!(picked("customer=17"), some(&["web1", "vps7"]));
    assert_eq!(picked("language=de"), None);
    assert_eq!(
        picked("all or language=de and language=fr"),
        some(&["web1", "vps7"])
    );
}

#[test]
fn a_customer_without_services_is_asked_once() {
    let audience = |text: &str| Audience::read(text, Lists::new()).unwrap();
    let bare = customer("5", "en", vec![]);
    assert_eq!(audience("all").picks(&bare), Some(vec![]));
    assert_eq!(audience("language=en").picks(&bare), Some(vec![]));
    assert_eq!(audience("server=*1").picks(&bare), None);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let wrong = |text: &str| Audience::read(text, Lists::new()).unwrap_err();
    assert_eq!(wrong("server=web1 an product=x").at, 13);
    assert_eq!(wrong("server web1").found, "web1");
    assert_eq!(wrong("king=1").found, "king");
    assert_eq!(wrong("").found, "the end");
    assert_eq!((wrong("(server=a").at, wrong("server=").at), (10, 8));
    assert!(wrong("list=vip").wanted.contains("none does"));
    assert!(wrong("server=\"a").found.contains("not closed"));
    assert!(wrong(&"(".repeat(200)).wanted.contains("at most 32"));
    assert!(wrong(&"not ".repeat(200)).wanted.contains("at most 32"));
    assert!(wrong(&"x".repeat(5_000)).found.contains("5000 bytes"));
}

#[test]
fn only_places_can_be_asked_for_without_knowing_customers() {
    let audience = |text: &str| Audience::read(text, Lists::new()).unwrap();
    let place = service("web1", "prague", "mail", "a.example").place;
    assert!(audience("server=web1 and not product=vps").is_of_places());
    assert!(audience("server=web1 and not product=vps").means(&place));
    assert!(!audience("datacentre=frankfurt").means(&place));
    for text in [
        "language=cs",
        "all except server=web1",
        "not customer=1",
        "domain=a.example",
    ] {
        assert!(!audience(text).is_of_places(), "{text}");
    }
}

/// A term as text, and what it must mean of the customer below, by a second way of reckoning.
fn any_term() -> impl Strategy<Value = (String, [bool; 2])> {
    let leaf = prop_oneof![
        Just(("all".to_owned(), [true, true])),
        Just(("server=web1".to_owned(), [true, false])),
        Just(("product=v*".to_owned(), [false, true])),
        Just(("language=cs".to_owned(), [true, true])),
        Just(("customer=99".to_owned(), [false, false])),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|((a, x), (b, y))| {
                (format!("({a} and {b})"), [x[0] && y[0], x[1] && y[1]])
            }),
            (inner.clone(), inner.clone()).prop_map(|((a, x), (b, y))| {
                (format!("({a} or {b})"), [x[0] || y[0], x[1] || y[1]])
            }),
            inner.prop_map(|(a, x)| (format!("not {a}"), [!x[0], !x[1]])),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_an_audience_panic(text in "\\PC*") {
        if let Ok(audience) = Audience::read(&text, Lists::new()) {
            let _ = audience.picks(&customer("1", "cs", vec![service("a", "b", "c", "d.example")]));
        }
    }

    #[test]
    fn no_words_of_the_language_make_an_audience_panic(words in prop::collection::vec("(all|and|or|not|except|\\(|\\)|server|=|,|\\*|a\\*b|\"|list)", 0..60)) {
        let _ = Audience::read(&words.join(" "), Lists::new());
    }

    #[test]
    fn any_audience_means_what_its_parts_mean((text, wanted) in any_term()) {
        let audience = Audience::read(&text, Lists::new()).unwrap();
        let both = vec![
            service("web1", "prague", "mail", "a.example"),
            service("vps7", "frankfurt", "vps", "b.example"),
        ];
        let customer = customer("17", "cs", both);
        let picked = audience.picks(&customer).unwrap_or_default();
        let found = ["web1", "vps7"].map(|label| picked.iter().any(|it| it.label() == label));
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn a_pattern_fits_as_it_reads(before in "[ab]{0,4}", middle in "[ab]{0,4}", after in "[ab]{0,4}") {
        let text = [before.as_str(), &middle, &after].concat();
        let both = [before.as_str(), "*", &after].concat();
        prop_assert!(fits(&both, &text));
        let within = ["*", &middle, "*"].concat();
        prop_assert!(fits("*", &text) && fits(&text, &text) && fits(&within, &text));
        prop_assert_eq!(fits(&before, &text), before == text);
    }
}
