//! Conversations: read, added to, opened by code, held by a lone node, and seen from elsewhere.

use super::house::{house, house_with};
use super::*;
use crate::cluster::tests::stand_in::{Majority, proposal};
use crate::model::talk::TalkChange;
use crate::model::words::{ConversationId, Label};
use crate::model::{Actor, Command};

#[tokio::test]
async fn p3_a_lone_node_takes_messages_says_where_they_are_and_passes_them_on() {
    let house = house().await;
    house.set_alone(true);
    let path = house.write("Help").await.goes_to();
    let page = house.get(&path).await;
    assert!(
        page.text
            .contains("This server cannot reach the others right now.")
    );
    assert!(page.text.contains("Your message is held on one server"));
    assert!(
        page.text.contains("(Frankfurt)") && page.text.contains("held here, not passed on yet")
    );
    assert!(page.text.contains("Contact was lost at "));
    let added = house
        .post(
            &path,
            &[
                ("text", "And mail"),
                (
                    "token",
                    &house.token_opened(Purpose::Add(&path[3..]), 9_000),
                ),
                ("lang", "en"),
            ],
        )
        .await;
    assert_eq!(added.goes_to(), path);
    let code = page.code();
    let opened = house
        .post(
            "/ticket",
            &[
                ("code", &code),
                ("contact", "JANA@example.com"),
                ("asked", "1"),
                ("lang", "en"),
            ],
        )
        .await;
    assert_eq!(opened.goes_to(), path, "a code opens what is only held");
    assert_eq!(house.conversations(), 0);
    house.set_alone(false);
    house
        .majority
        .until("both messages are agreed on", |state| {
            state
                .conversations
                .iter()
                .map(|(_, it)| it.messages.len())
                .sum::<usize>()
                == 2
        })
        .await;
    let page = house.get(&path).await;
    assert!(page.text.contains("safely stored") && !page.text.contains("held here"));
    assert!(page.text.find("Help").unwrap() < page.text.find("And mail").unwrap());
}

#[tokio::test]
async fn an_answer_of_the_company_is_shown() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let id = house.keyring.open_link(&path[3..]).unwrap();
    let silent = "<p id=\"none\">No answer yet.";
    assert!(house.get(&path).await.text.contains(silent));
    let body = house
        .keyring
        .seal(&conversation_context(&id), "We are on it.".as_bytes());
    let command = Command::AddMessage {
        conversation: id,
        body,
        taken: clock::now(),
    };
    house
        .majority
        .apply(proposal(Actor::Local { uid: 0 }, command));
    let page = house.get(&path).await;
    assert!(page.text.contains("We are on it.") && !page.text.contains(silent));
    let czech = house.get(&format!("{path}?lang=cs")).await;
    assert!(czech.text.contains("<html lang=\"cs\">"));
}

#[tokio::test]
async fn a_code_opens_only_together_with_its_contact_and_only_so_many_tries() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let code = house.get(&path).await.code();
    let open = |code: String, contact: &'static str| {
        let house = &house;
        async move {
            house
                .post(
                    "/ticket",
                    &[
                        ("code", &code),
                        ("contact", contact),
                        ("asked", "1"),
                        ("lang", "en"),
                    ],
                )
                .await
        }
    };
    let spoken = code.replace('-', " ").to_lowercase();
    assert_eq!(open(spoken, " Jana@Example.com").await.goes_to(), path);
    let wrong = open(code.clone(), "petr@example.com").await;
    let unknown = open(
        house.keyring.ticket(&ConversationId([1; 16])).to_string(),
        "petr@example.com",
    )
    .await;
    assert_eq!(
        (wrong.status, unknown.status),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            StatusCode::UNPROCESSABLE_ENTITY
        )
    );
    assert!(
        wrong
            .text
            .contains("No conversation has this code together")
            && unknown
                .text
                .contains("No conversation has this code together")
    );
    let mistyped = open("K7F-Q2M-9XA".to_owned(), "jana@example.com").await;
    assert!(mistyped.text.contains("One of the symbols is wrong"));
    let mut last = wrong;
    for _ in 0..=limits::PACE_TICKET.hard {
        last = open(code.clone(), "petr@example.com").await;
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_box_at_the_foot_asks_for_the_contact_and_keeps_the_code() {
    let house = house().await;
    let code = house.keyring.ticket(&ConversationId([1; 16])).to_string();
    let page = house
        .post("/ticket", &[("code", &code), ("lang", "en")])
        .await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains(&format!("value=\"{code}\"")) && !page.text.contains("role=\"alert\"")
    );
}

#[tokio::test]
async fn a_link_that_is_not_ours_opens_nothing_and_one_that_has_not_arrived_says_so() {
    let house = house().await;
    assert_eq!(house.get("/c/nonsense").await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        house.post("/c/nonsense", &[("text", "x")]).await.status,
        StatusCode::NOT_FOUND
    );
    let (id, link) = (
        ConversationId([1; 16]),
        house.keyring.link(&ConversationId([1; 16])),
    );
    let page = house.get(&format!("/c/{link}?lang=en")).await;
    assert!(
        page.text
            .contains("Your conversation is not on this server yet")
            && !page.text.contains("safely stored")
    );
    assert_eq!(page.code(), house.keyring.ticket(&id).as_str());
    let token = house.token_opened(Purpose::Add(&link), 9_000);
    let fields = [("text", "More"), ("token", token.as_str()), ("lang", "en")];
    let sent = house.post(&format!("/c/{link}"), &fields).await;
    let page = house.get(&format!("{}?lang=en", sent.goes_to())).await;
    assert!(
        page.text.contains("Your message is held on one server") && page.text.contains(">More<")
    );
}

#[tokio::test]
async fn a_conversation_that_is_full_says_so_and_keeps_what_was_typed() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let id = house.keyring.open_link(&path[3..]).unwrap();
    let body = house.keyring.seal(&conversation_context(&id), b"again");
    for _ in 1..limits::CONVERSATION_MESSAGES_MAX {
        let command = Command::AddMessage {
            conversation: id,
            body: body.clone(),
            taken: clock::now(),
        };
        house.majority.apply(proposal(Actor::Customer, command));
    }
    let token = house.token_opened(Purpose::Add(&path[3..]), 9_000);
    let page = house
        .post(
            &path,
            &[("text", "One more"), ("token", &token), ("lang", "en")],
        )
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.text.contains("as many messages as it can hold")
            && page.text.contains("One more</textarea>")
    );
}

#[tokio::test]
async fn under_a_borrowed_name_the_link_leads_to_a_name_of_our_own() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let visitor = Visitor {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        borrowed: true,
    };
    let page = house
        .ask(
            axum::http::Request::get(&path).extension(visitor),
            String::new(),
        )
        .await;
    assert!(
        page.text
            .contains(&format!("https://help1.example.net{path}"))
    );
}

#[tokio::test]
async fn p1_a_held_message_says_on_how_many_servers_it_is_and_is_shown_by_each_of_them() {
    let keyring = Arc::new(Keyring::generate());
    let majority = Majority::founded(5);
    let taker = house_with(keyring.clone(), majority.clone(), 1).await;
    let peer = house_with(keyring, majority, 2).await;
    taker.set_alone(true);
    taker.reaches(&[2]);
    let path = taker.write("Help").await.goes_to();
    for house in [&taker, &peer] {
        let page = house.get(&format!("{path}?lang=en")).await;
        let said = page.text;
        assert!(
            said.contains("Your message is held on 2 of our 5 servers"),
            "{said}"
        );
        assert!(said.contains("held on 2 servers, not passed on yet"));
        let czech = house.get(&format!("{path}?lang=cs")).await.text;
        assert!(
            czech.contains("Vaši zprávu zatím drží 2 z našich 5 serverů"),
            "{czech}"
        );
        assert!(czech.contains("uloženo na 2 serverech, zatím nepředáno"));
    }
}

/// The next event of a stream; nothing at its end.
async fn event(body: &mut Body) -> Option<String> {
    let frame = http_body_util::BodyExt::frame(body).await?;
    let bytes = frame.unwrap().into_data().unwrap();
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_customer_s_stream_tells_an_answer_and_that_it_was_seen_and_never_a_note() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let id = house.keyring.open_link(&path[3..]).unwrap();
    let mut stream = house.listen(&path).await;
    let first = event(&mut stream).await.unwrap();
    assert!(
        first.contains("\"text\":\"Help\"") && first.contains("You are next."),
        "{first}"
    );
    let agent = Actor::Operator {
        name: Label::new("jana").unwrap(),
    };
    let message = house.majority.state().conversations[&id].messages[0].id;
    let seal = |text: &str| {
        house
            .keyring
            .seal(&conversation_context(&id), text.as_bytes())
    };
    let note = TalkChange::Note {
        conversation: id,
        body: seal("He owes us money."),
        taken: clock::now(),
    };
    let seen = TalkChange::Seen {
        conversation: id,
        message,
    };
    for change in [note, seen] {
        house
            .majority
            .apply(proposal(agent.clone(), Command::Talk(change)));
    }
    let marked = event(&mut stream).await.unwrap();
    assert!(marked.contains("seen by support at"), "{marked}");
    let command = Command::AddMessage {
        conversation: id,
        body: seal("We are on it."),
        taken: clock::now(),
    };
    house.majority.apply(proposal(agent, command));
    let answer = event(&mut stream).await.unwrap();
    assert!(
        answer.contains("We are on it.") && !answer.contains("\"text\":\"Help\""),
        "{answer}"
    );
    let page = house.get(&path).await;
    for shown in [marked, answer, page.text] {
        assert!(!shown.contains("owes"), "a note was shown: {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn p10_a_crowded_door_gives_chat_no_seat_and_takes_back_those_it_gave() {
    let house = house().await;
    let path = house.write("Help").await.goes_to();
    let mut stream = house.listen(&path).await;
    event(&mut stream).await.unwrap();
    let beat = event(&mut stream).await.unwrap();
    assert_eq!(beat, "event: beat\ndata: 1\n\n");
    // The house has 100 places.
    for _ in 0..90 {
        house.counters.open.add();
    }
    let full = event(&mut stream).await.unwrap();
    assert!(full.contains("event: full"), "{full}");
    assert_eq!(event(&mut stream).await, None, "it ends");
    let mut late = house.listen(&path).await;
    let told = event(&mut late).await.unwrap();
    assert!(
        told.contains("Help") && told.contains("event: full"),
        "{told}"
    );
    assert_eq!(event(&mut late).await, None);
    assert_eq!(
        house.get(&path).await.status,
        StatusCode::OK,
        "the page is there"
    );
}
