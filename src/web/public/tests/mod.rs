//! The customer's way through the pages: what the first page says, what becomes of a form, and what must not happen.

mod feeds;
mod files;
mod house;
mod mine;
mod synthetic;
mod talks;

use super::*;
use crate::cluster::tests::stand_in::Majority;
use crate::model::limits;
use crate::seal::conversation_context;
use house::{house, house_with};

#[tokio::test]
async fn the_first_page_speaks_the_visitor_s_language() {
    let house = house().await;
    let page = house.get("/cs/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("<html lang=\"cs\">") && page.text.contains("Napište nám"));
    assert!(
        page.text.contains("Příklad &#38; Hosting"),
        "text is escaped"
    );
    assert!(page.text.contains("href=\"tel:+420234567890\""));
    let english = house
        .ask(
            axum::http::Request::get("/").header("accept-language", "en-GB, cs;q=0.5"),
            String::new(),
        )
        .await;
    assert!(english.text.contains("Write to us"));
    let slashless = house.get("/en").await;
    assert_eq!(slashless.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(slashless.headers[header::LOCATION], "/en/");
    assert_eq!(house.get("/de/").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_first_page_fits_into_one_tcp_window() {
    let house = house().await;
    for path in ["/cs/", "/en/"] {
        let page = house.get(path).await;
        let headers: usize = page
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        let mut squeezed = Vec::new();
        let mut reader = brotli::CompressorReader::new(page.text.as_bytes(), 4096, 5, 20);
        std::io::Read::read_to_end(&mut reader, &mut squeezed).unwrap();
        let total = headers + squeezed.len();
        assert!(total <= 12_000, "{path} has {total} bytes");
    }
}

#[tokio::test]
async fn a_message_becomes_a_conversation_with_a_code_a_link_and_the_truth_about_where_it_is() {
    let house = house().await;
    let sent = house.write("Nejde web <b>ani</b> pošta.\r\nOd rána.").await;
    assert!(
        sent.text.contains(&format!("href=\"{}\"", sent.goes_to())),
        "who does not follow a redirect finds a link"
    );
    let page = house.get(&sent.goes_to()).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Your message is safely stored"));
    assert!(page.text.contains("At least 2 of our 3 servers have it."));
    assert!(page.text.contains("We answer to j…@example.com."));
    assert!(
        page.text
            .contains("Nejde web &#60;b&#62;ani&#60;/b&#62; pošta.\nOd rána.")
    );
    assert!(
        page.text
            .contains(&format!("https://help1.example.net{}", sent.goes_to()))
    );
    let state = house.majority.state();
    let (id, conversation) = state.conversations.get_min().unwrap();
    assert_eq!(page.code(), house.keyring.ticket(id).to_string());
    assert!(!conversation.quarantined && conversation.by_mail);
    let body = house
        .keyring
        .open(&conversation_context(id), &conversation.messages[0].body)
        .unwrap();
    assert_eq!(body, "Nejde web <b>ani</b> pošta.\nOd rána.".as_bytes());
}

#[tokio::test]
async fn p1_a_repeated_post_gets_the_first_answer_on_any_node_and_is_kept_once() {
    let keyring = Arc::new(Keyring::generate());
    let (one, two) = (
        house_with(keyring.clone(), Majority::founded(3), 1).await,
        house_with(keyring, Majority::founded(3), 1).await,
    );
    let token = one.token_opened(Purpose::Open, 10_000);
    let fields = [
        ("text", "Help"),
        ("contact", "jana@example.com"),
        ("token", token.as_str()),
    ];
    let first = one.post("/write", &fields).await.goes_to();
    assert_eq!(one.post("/write", &fields).await.goes_to(), first);
    assert_eq!(
        two.post("/write", &fields).await.goes_to(),
        first,
        "another node gives the same answer"
    );
    let state = one.majority.state();
    assert_eq!(
        (
            state.conversations.len(),
            state.conversations.iter().next().unwrap().1.messages.len()
        ),
        (1, 1)
    );
    let changed = [("text", "Help me"), fields[1], fields[2]];
    assert_ne!(
        one.post("/write", &changed).await.goes_to(),
        first,
        "back, change, send is a new message"
    );
    assert_eq!(one.conversations(), 2);
}

#[tokio::test]
async fn p1_the_same_two_posts_at_the_same_moment_are_one_message() {
    let house = house().await;
    let token = house.token_opened(Purpose::Open, 10_000);
    let fields = [
        ("text", "Help"),
        ("contact", "jana@example.com"),
        ("token", token.as_str()),
    ];
    let (one, two) = tokio::join!(house.post("/write", &fields), house.post("/write", &fields));
    assert_eq!(one.goes_to(), two.goes_to());
    let state = house.majority.state();
    assert_eq!(
        state
            .conversations
            .iter()
            .map(|(_, it)| it.messages.len())
            .collect::<Vec<_>>(),
        [1]
    );
}

#[tokio::test]
async fn bad_input_gets_the_same_page_with_everything_kept_and_the_fields_named() {
    let house = house().await;
    let token = house.token_opened(Purpose::Open, 10_000);
    let long = "x".repeat(300);
    let fields = [
        ("text", "\nNejde \"web\""),
        ("contact", "jana@"),
        ("reference", long.as_str()),
        ("token", token.as_str()),
        ("lang", "en"),
    ];
    let page = house.post("/write", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("role=\"alert\""));
    assert!(
        page.text
            .contains("<a href=\"#contact\">This is neither a whole e-mail address")
    );
    assert!(
        page.text
            .contains("<a href=\"#reference\">This has 300 characters and at most 253 fit.")
    );
    assert!(!page.text.contains("href=\"#text\""));
    assert!(
        page.text.contains(">\n\nNejde &#34;web&#34;</textarea>"),
        "{}",
        page.text
    );
    assert!(page.text.contains("value=\"jana@\"") && page.text.contains(&long));
    assert_eq!(page.token(), token, "sending again is the same form");
    assert!(page.text.contains("<title>Problem – "));
    assert_eq!(house.conversations(), 0);
}

#[tokio::test]
async fn a_form_that_is_too_old_or_unknown_asks_to_press_send_again_and_then_works() {
    let house = house().await;
    let old = house.token_opened(Purpose::Open, limits::FORM_AGE_MS_MAX + 1);
    for token in [old.as_str(), "", "v1.0.AAAA.BBBB"] {
        let fields = [
            ("text", "Help"),
            ("contact", "jana@example.com"),
            ("lang", "en"),
        ];
        let page = house
            .post(
                "/write",
                &[fields[0], fields[1], fields[2], ("token", token)],
            )
            .await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.text.contains("press Send again") && page.text.contains("Help</textarea>"));
        let sent = house
            .post(
                "/write",
                &[fields[0], fields[1], fields[2], ("token", &page.token())],
            )
            .await;
        sent.goes_to();
    }
    assert_eq!(house.conversations(), 3);
}

#[tokio::test]
async fn what_looks_like_abuse_is_kept_apart_and_never_refused() {
    let house = house().await;
    let hasty = house.token_opened(Purpose::Open, 100);
    let path = house
        .post(
            "/write",
            &[
                ("text", "Buy"),
                ("contact", "a@example.com"),
                ("token", &hasty),
            ],
        )
        .await
        .goes_to();
    assert!(
        house
            .get(&format!("{path}?lang=en"))
            .await
            .text
            .contains("Your message is safely stored")
    );
    let token = house.token_opened(Purpose::Open, 10_000);
    house
        .post(
            "/write",
            &[
                ("text", "Buy"),
                ("contact", "a@example.com"),
                ("token", &token),
                ("website", "x"),
            ],
        )
        .await
        .goes_to();
    let state = house.majority.state();
    assert_eq!(
        state
            .conversations
            .iter()
            .map(|(_, it)| it.quarantined)
            .collect::<Vec<_>>(),
        [true, true]
    );
}

#[tokio::test]
async fn too_many_messages_are_asked_to_wait_with_what_was_typed_kept() {
    let house = house().await;
    let mut last = house.write("0").await;
    for turn in 1..=limits::PACE_HOST.hard + 1 {
        last = house.write(&turn.to_string()).await;
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(last.headers.contains_key(header::RETRY_AFTER));
    assert!(last.text.contains("</textarea>") && last.text.contains("Please wait"));
    let quarantined = house
        .majority
        .state()
        .conversations
        .iter()
        .filter(|(_, it)| it.quarantined)
        .count() as u64;
    assert!(quarantined > 0 && quarantined < limits::PACE_HOST.hard);
}

#[tokio::test]
async fn p10_a_body_over_the_bound_is_refused_clearly() {
    let house = house().await;
    let huge = "x".repeat(limits::FORM_BYTES_MAX + 1);
    let page = house.post("/write", &[("text", &huge)]).await;
    assert_eq!(page.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(page.text.contains("At most 4,000 characters fit") || page.text.contains("4 000"));
}

#[tokio::test]
async fn pages_allow_no_script_but_the_chat_s_own_and_give_no_link_away() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let talk = path.as_str();
    for path in ["/", "/ticket", "/write", "/nothing", talk] {
        let page = house.get(path).await;
        let policy = page.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{path}"
        );
        assert_eq!(
            page.headers[header::REFERRER_POLICY],
            "no-referrer",
            "{path}"
        );
        assert!(!page.headers.contains_key(header::SET_COOKIE), "{path}");
        let scripts = usize::from(path == talk);
        assert_eq!(page.text.matches("<script").count(), scripts, "{path}");
        assert_eq!(
            page.text.matches("<script src=\"/c/chat.js?").count(),
            scripts
        );
        assert!(!page.text.contains("style=\""), "{path}");
        let allowed = policy
            .split("script-src ")
            .nth(1)
            .map(|it| it.split(';').next());
        let wanted = (path == talk).then_some(Some("'self'"));
        assert_eq!(allowed, wanted, "{policy}");
    }
    let script = house.get("/c/chat.js").await;
    assert!(script.text.starts_with("'use strict';"), "{}", script.text);
    let frame = house.get(&format!("{talk}?frame&after=x.0")).await;
    let policy = frame.headers[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert!(policy.contains("frame-ancestors 'self'") && frame.text.contains("Help"));
    let wrong_way = house
        .ask(axum::http::Request::delete("/write"), String::new())
        .await;
    assert_eq!(wrong_way.status, StatusCode::METHOD_NOT_ALLOWED);
    let form = house.get("/ticket").await;
    assert!(
        form.text.contains("method=\"post\""),
        "a code never stands in an address"
    );
}

#[test]
fn a_published_site_takes_everything_but_our_own_paths() {
    for path in ["/cs/", "/en", "/write", "/ticket", "/c/abc"] {
        assert!(is_ours(path), "{path}");
    }
    for path in ["/", "/css/a.css", "/writer", "/cz", "/index.html"] {
        assert!(!is_ours(path), "{path}");
    }
    for path in ["/write", "/ticket", "/c/x", "/u/x"] {
        assert!(is_kept(path), "{path}");
    }
    for path in ["/", "/cs/", "/en", "/en/help"] {
        assert!(!is_kept(path), "a published website may have {path}");
    }
}
