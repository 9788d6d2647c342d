//! Mails as a receiver sees them, and what hostile input cannot do to them.

use proptest::prelude::*;

use crate::model::words::Phone;

use super::*;

fn house(company: &str) -> House {
    House {
        company: company.to_owned(),
        from: email("notice@help1.example.net"),
        staff_lang: Lang::En,
    }
}

fn email(text: &str) -> EmailAddress {
    EmailAddress::new(text).unwrap()
}

fn links() -> Vec<String> {
    vec![
        "https://help1.example.net/t/abc".to_owned(),
        "https://help2.example.org/t/abc".to_owned(),
    ]
}

/// The header lines, unfolded, and the body with its encoding undone.
fn read(mail: &Composed) -> (Vec<String>, String) {
    assert!(mail.bytes.is_ascii(), "every server can take it");
    let text = String::from_utf8(mail.bytes.clone()).unwrap();
    assert!(
        !text.replace("\r\n", "").contains(['\r', '\n']),
        "no bare CR or LF"
    );
    let (headers, body) = text.split_once("\r\n\r\n").unwrap();
    let headers = headers
        .replace("\r\n ", " ")
        .split("\r\n")
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let encoding = headers
        .iter()
        .find_map(|it| it.strip_prefix("Content-Transfer-Encoding: "))
        .unwrap();
    let body = match encoding {
        "base64" => {
            use base64::Engine;
            let packed = body.replace("\r\n", "");
            String::from_utf8(
                base64::engine::general_purpose::STANDARD
                    .decode(packed)
                    .unwrap(),
            )
            .unwrap()
        }
        "quoted-printable" => unquoted(body),
        _ => body.to_owned(),
    };
    (headers, body.replace("\r\n", "\n"))
}

fn unquoted(body: &str) -> String {
    let body = body.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = body.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'=' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&more[..2]).unwrap(), 16).unwrap());
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn names(headers: &[String]) -> Vec<&str> {
    headers
        .iter()
        .map(|it| it.split(':').next().unwrap())
        .collect()
}

fn pass_on(text: &str, reference: Option<&str>, contact: &Contact, company: &str) -> Composed {
    let ticket = TicketCode::from_entropy(7);
    let links = links();
    let it = Forward {
        thread: Thread {
            conversation: ConversationId([7; 16]),
            ticket: &ticket,
            links: &links,
            mark: "r-mark",
            back: None,
        },
        message: ClientId([9; 16]),
        number: Some(1),
        text,
        contact,
        reference,
        customer_lang: Lang::Cs,
        node: "prague-1",
        taken: Timestamp(1_795_453_805_000),
        standing: Standing::Agreed(Timestamp(1_795_453_806_000)),
        enclosed: &Enclosed::default(),
    };
    forward(&house(company), &it, &email("support@example.com")).unwrap()
}

#[test]
fn an_acknowledgement_says_what_the_customer_needs_in_the_customers_language() {
    let ticket = TicketCode::from_entropy(7);
    let links = links();
    let thread = Thread {
        conversation: ConversationId([7; 16]),
        ticket: &ticket,
        links: &links,
        mark: "r-mark",
        back: None,
    };
    for (lang, word) in [(Lang::Cs, "bezpečně uložená"), (Lang::En, "safely stored")] {
        let at = Timestamp(1_795_453_805_000);
        let mail = acknowledgement(
            &house("Příklad"),
            (&thread, false),
            lang,
            &email("jana@example.com"),
            at,
        )
        .unwrap();
        let (headers, body) = read(&mail);
        assert!(headers.contains(&"Auto-Submitted: auto-replied".to_owned()));
        assert!(
            headers.contains(&"Date: Mon, 23 Nov 2026 17:10:05 +0000".to_owned()),
            "{headers:?}"
        );
        assert!(
            body.contains(word)
                && body.contains(ticket.as_str())
                && links.iter().all(|it| body.contains(it)),
            "{body}"
        );
        assert!(
            !String::from_utf8_lossy(&mail.bytes).contains("07070707"),
            "the conversation's id stays inside"
        );
        let again = acknowledgement(
            &house("Příklad"),
            (&thread, false),
            lang,
            &email("jana@example.com"),
            at,
        )
        .unwrap();
        assert_eq!(mail.bytes, again.bytes, "a repeat is the same mail");
        let house = house("Příklad");
        let with_files = (&thread, true);
        let mail = acknowledgement(&house, with_files, lang, &email("jana@example.com"), at);
        let (_, slowly) = read(&mail.unwrap());
        let copying = ["ještě kopírujeme", "still copying"];
        assert!(copying.iter().any(|it| slowly.contains(it)), "{slowly}");
        assert!(!copying.iter().any(|it| body.contains(it)), "{body}");
    }
}

#[test]
fn support_gets_everything_needed_to_answer() {
    let customer = Contact::new("jana@example.com").unwrap();
    let (headers, body) = read(&pass_on(
        "Nejde mi web.\nCo mám dělat?",
        Some("priklad.cz"),
        &customer,
        "Příklad",
    ));
    assert!(headers.contains(&"Reply-To: jana@example.com".to_owned()));
    assert!(!names(&headers).contains(&"Auto-Submitted"));
    for word in [
        "> Nejde mi web.\n> Co mám dělat?",
        "priklad.cz",
        "prague-1",
        "2026-11-23 17:10:05 UTC",
        "https://help1",
    ] {
        assert!(body.contains(word), "{word} is missing in {body}");
    }
    let phone = Contact::Phone(Phone::new("+420 123 456 789").unwrap());
    let (headers, body) = read(&pass_on("x", None, &phone, "Příklad"));
    assert!(!names(&headers).contains(&"Reply-To"));
    assert!(body.contains("+420123456789 (telephone only"));
}

#[test]
fn a_held_message_and_the_same_message_agreed_on_have_one_message_id() {
    let id = |headers: Vec<String>| {
        headers
            .into_iter()
            .find(|it| it.starts_with("Message-ID"))
            .unwrap()
    };
    let ticket = TicketCode::from_entropy(7);
    let contact = Contact::new("jana@example.com").unwrap();
    let held = Forward {
        thread: Thread {
            conversation: ConversationId([7; 16]),
            ticket: &ticket,
            links: &[],
            mark: "r-mark",
            back: None,
        },
        message: ClientId([9; 16]),
        number: None,
        text: "x",
        contact: &contact,
        reference: None,
        customer_lang: Lang::En,
        node: "prague-1",
        taken: Timestamp(1),
        standing: Standing::HeldHere,
        enclosed: &Enclosed::default(),
    };
    let (headers, body) = read(&forward(&house("E"), &held, &email("off@example.org")).unwrap());
    assert!(body.contains("may arrive again"));
    assert_eq!(id(headers), id(read(&pass_on("x", None, &contact, "E")).0));
}

proptest! {
    // A failing case belongs into a test of its own, not into a folder at the top of the repository.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_a_visitor_or_a_config_writes_becomes_a_header(
        text in "(\\PC|\r|\n|\r\n|\\.|Bcc: x@example.com){0,80}",
        reference in proptest::option::of("(\\PC|\r|\n|\r\nBcc: ){0,20}"),
        company in "(\\PC|\r|\n|\r\nBcc: x@example.com\r\n|\"){0,40}",
    ) {
        let contact = Contact::new("jana@example.com").unwrap();
        let (headers, _) = read(&pass_on(&text, reference.as_deref(), &contact, &company));
        let mut found = names(&headers);
        found.sort_unstable();
        prop_assert_eq!(found, [
            "Content-Language", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "MIME-Version",
            "Message-ID", "References", "Reply-To", "Subject", "To",
        ]);
    }

    #[test]
    fn an_address_that_is_valid_to_us_never_panics_the_composer(local in "\\PC{1,12}", domain in "\\PC{1,12}") {
        if let Ok(to) = EmailAddress::new(&format!("{local}@{domain}.cz")) {
            let ticket = TicketCode::from_entropy(7);
            let thread = Thread { conversation: ConversationId([7; 16]), ticket: &ticket, links: &[], mark: "", back: None };
            let _ = acknowledgement(&house("E"), (&thread, true), Lang::En, &to, Timestamp(u64::MAX));
        }
    }
}

#[test]
fn a_mail_with_files_has_them_as_they_were_and_the_same_bytes_each_time() {
    let ticket = TicketCode::from_entropy(7);
    let thread = Thread {
        conversation: ConversationId([7; 16]),
        ticket: &ticket,
        links: &links(),
        mark: "r-mark",
        back: None,
    };
    let log = b"one\r\n.\r\nFrom here on \xc5\x99\n--=_\n".to_vec();
    let enclosed = Enclosed {
        files: vec![EnclosedFile {
            name: "chyba \u{159} 1.log".to_owned(),
            kind: FileKind::Text,
            bytes: log.clone(),
        }],
        left: vec!["movie.png".to_owned()],
    };
    let mail = || {
        answer(
            &house("Example"),
            &thread,
            (ClientId([9; 16]), "See the log", &enclosed),
            Lang::En,
            &email("jana@example.com"),
            Timestamp(1_795_453_805_000),
        )
        .unwrap()
        .bytes
    };
    let bytes = mail();
    assert_eq!(bytes, mail());
    assert!(bytes.is_ascii());
    let parser = mail_parser::MessageParser::default();
    let read = parser.parse(&bytes[..]).unwrap();
    assert!(read.body_text(0).unwrap().contains("See the log"));
    assert!(read.body_text(0).unwrap().contains("movie.png"));
    let part = read.attachment(0).unwrap();
    assert_eq!(part.contents(), log);
    let named = mail_parser::MimeHeaders::attachment_name(part);
    assert_eq!(named, Some("chyba \u{159} 1.log"));
}
