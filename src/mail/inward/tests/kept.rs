//! What becomes of a mail: the real letterbox and the real model, with a majority that agrees in Raft's place.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::blobs::Blobs;
use crate::clock;
use crate::cluster::health::Health;
use crate::cluster::tests::stand_in::{Majority, reaches_majority};
use crate::files::{self, Locker};
use crate::letterbox::Letterbox;
use crate::mail::inward::counted::Counted;
use crate::mail::inward::doorman::Whom;
use crate::mail::inward::intake::Intake;
use crate::mail::inward::places::{Pace, Places};
use crate::mail::inward::session::Arrived;
use crate::mail::marks::{self, Mark, Purpose};
use crate::model::campaign::CampaignId;
use crate::model::outbox::ItemKind;
use crate::model::words::{ClientId, ConversationId, Lang};
use crate::seal::{Keyring, conversation_context};
use crate::tasks::Stop;

struct Node {
    majority: Arc<Majority>,
    intake: Arc<Intake>,
    health: watch::Sender<Arc<Health>>,
    folder: PathBuf,
    stop: Stop,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn node() -> Node {
    let majority = Majority::founded(3);
    let (cluster, health) = majority.node(1);
    let folder = std::env::temp_dir().join(format!(
        "lifeboat-mail-in-{}",
        ClientId(clock::random_bytes())
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let (letterbox, work) = Letterbox::open(&folder.join("letterbox"), cluster.clone()).unwrap();
    let stop = Stop::new();
    tokio::spawn(work(stop.clone()));
    let keyring = Arc::new(Keyring::generate());
    let blobs = Blobs::open(&folder.join("blobs")).unwrap();
    let locker = Locker::new(
        &cluster,
        &letterbox,
        &blobs,
        &keyring,
        files::Counted::default(),
    );
    let intake = Arc::new(Intake {
        locker,
        cluster,
        letterbox,
        keyring,
        lang: Lang::En,
        pace: Pace::default(),
        authenticator: None,
        counted: Counted::default(),
    });
    Node {
        majority,
        intake,
        health,
        folder,
        stop,
    }
}

impl Node {
    async fn take(&self, from: Option<&str>, to: Whom, mail: &str) -> String {
        let arrived = Arrived {
            from: from.map(str::to_owned),
            to: vec![to],
            network: "192.0.2.1".parse().unwrap(),
            hello: "mx.example.org".to_owned(),
            bytes: mail.as_bytes().to_vec(),
            room: Places::new(1, 1, 1).room(),
        };
        self.intake.clone().take(arrived).await
    }

    /// Every conversation with its messages.
    fn said(&self) -> Vec<(ConversationId, Vec<String>)> {
        let state = self.majority.state();
        let open = |id: &ConversationId, sealed| {
            let text = self
                .intake
                .keyring
                .open(&conversation_context(id), sealed)
                .unwrap();
            String::from_utf8(text).unwrap()
        };
        let all = state.conversations.iter();
        all.map(|(id, it)| {
            (
                *id,
                it.messages.iter().map(|it| open(id, &it.body)).collect(),
            )
        })
        .collect()
    }

    fn notes(&self, id: &ConversationId) -> usize {
        self.majority.state().talks.of(id).notes.len()
    }

    fn thanks(&self) -> usize {
        let state = self.majority.state();
        state
            .outbox
            .values()
            .filter(|it| matches!(it.kind, ItemKind::Acknowledge { .. }))
            .count()
    }
}

const MAIL: &str = "From: Jana <jana@example.com>\r\nSubject: No power\r\nMessage-ID: <1@example.com>\r\n\r\nHelp.\r\n";
const JANA: Option<&str> = Some("jana@example.com");

fn reply(head: &str, text: &str) -> String {
    format!("From: jana@example.com\r\nSubject: Re: No power\r\n{head}\r\n\r\n{text}\r\n")
}

#[tokio::test]
async fn p1_the_same_mail_twice_is_one_entry_and_250_says_where_it_is() {
    let node = node();
    for hop in ["", "Received: from a by b\r\n"] {
        let answer = node
            .take(JANA, Whom::Support, &format!("{hop}{MAIL}"))
            .await;
        assert_eq!(
            answer,
            "250 2.0.0 Safely stored on a majority of our servers"
        );
    }
    let said = node.said();
    assert_eq!(
        (said.len(), said[0].1.as_slice()),
        (1, &["No power\n\nHelp.".to_owned()][..])
    );
    assert_eq!(node.thanks(), 1);
    let without = "From: jana@example.com\r\nSubject: x\r\n\r\nwithout an id\r\n";
    for hop in ["", "Received: from a by b\r\n"] {
        node.take(JANA, Whom::Support, &format!("{hop}{without}"))
            .await;
    }
    assert_eq!(node.said().len(), 2);
}

#[tokio::test]
async fn a_reply_finds_its_conversation_by_address_by_message_id_and_by_code_with_the_customers_own_address()
 {
    let node = node();
    node.take(JANA, Whom::Support, MAIL).await;
    let id = node.said()[0].0;
    let keyring = &node.intake.keyring;
    let address = Whom::Marked(Mark::Conversation(id));
    assert!(
        node.take(JANA, address, &reply("Message-ID: <2@e>", "two"))
            .await
            .starts_with("250")
    );
    let mark = marks::write(keyring, Purpose::Message, Mark::Conversation(id));
    let head = format!("Message-ID: <3@e>\r\nReferences: <x@y> <abc.{mark}@help.example.net>");
    node.take(JANA, Whom::Support, &reply(&head, "three")).await;
    let ticket = keyring.ticket(&id);
    let coded = |from: &str, id: &str, text: &str| {
        format!("From: {from}\r\nSubject: about {ticket}\r\nMessage-ID: <{id}@e>\r\n\r\n{text}\r\n")
    };
    node.take(JANA, Whom::Support, &coded("JANA@example.com", "4", "four"))
        .await;
    assert_eq!(node.said()[0].1.len(), 4, "{:?}", node.said());
    // The code alone, and a forged Message-ID, open nothing.
    node.take(
        Some("eve@example.com"),
        Whom::Support,
        &coded("eve@example.com", "5", "five"),
    )
    .await;
    let middle = mark.len() / 2;
    let is_c = mark[middle..].starts_with('c');
    let other = if is_c { "d" } else { "c" };
    let mut forged = mark.clone();
    forged.replace_range(middle..=middle, other);
    node.take(
        JANA,
        Whom::Support,
        &reply(
            &format!("Message-ID: <6@e>\r\nIn-Reply-To: <abc.{forged}@help.example.net>"),
            "six",
        ),
    )
    .await;
    let said = node.said();
    assert_eq!(said.len(), 3, "{said:?}");
    // Somebody else with the signed address is taken, and named.
    node.take(
        Some("eve@example.com"),
        address,
        "From: eve@example.com\r\nMessage-ID: <7@e>\r\n\r\nseven\r\n",
    )
    .await;
    let of = |id: &ConversationId| node.said().into_iter().find(|it| it.0 == *id).unwrap().1;
    assert!(
        of(&id)
            .last()
            .unwrap()
            .contains("another address: eve@example.com"),
        "{:?}",
        of(&id)
    );
}

#[tokio::test]
async fn machines_are_never_thanked_and_never_ask_for_an_answer() {
    let node = node();
    node.take(JANA, Whom::Support, MAIL).await;
    let id = node.said()[0].0;
    let address = Whom::Marked(Mark::Conversation(id));
    let away = reply(
        "Message-ID: <2@e>\r\nAuto-Submitted: auto-replied",
        "I am away",
    );
    assert_eq!(node.take(None, address, &away).await, "250 2.0.0 Noted");
    assert_eq!((node.said()[0].1.len(), node.notes(&id)), (1, 1));
    // To support it is kept apart, where nobody is mailed.
    let robot = "From: robot@example.com\r\nMessage-ID: <3@e>\r\nAuto-Submitted: auto-generated\r\n\r\nbeep\r\n";
    assert!(
        node.take(Some("robot@example.com"), Whom::Support, robot)
            .await
            .starts_with("250")
    );
    let state = node.majority.state();
    assert_eq!(
        state
            .conversations
            .values()
            .filter(|it| it.quarantined)
            .count(),
        1
    );
    assert_eq!(node.thanks(), 1);
    // Our own mail that is sent back to us is no customer's.
    let mark = marks::write(
        &node.intake.keyring,
        Purpose::Message,
        Mark::Conversation(id),
    );
    let ours = format!(
        "From: notice@help.example.net\r\nMessage-ID: <x.{mark}@help.example.net>\r\n\r\nours\r\n"
    );
    assert_eq!(
        node.take(Some("notice@help.example.net"), Whom::Support, &ours)
            .await,
        "250 2.0.0 Noted"
    );
    let circles = format!("{}{MAIL}", "Received: from a by b\r\n".repeat(101));
    assert!(
        node.take(JANA, Whom::Support, &circles)
            .await
            .starts_with("554 5.4.6")
    );
    assert_eq!(node.said().len(), 2);
}

#[tokio::test]
async fn an_answer_that_cannot_be_delivered_is_a_note_for_agents() {
    let node = node();
    node.take(JANA, Whom::Support, MAIL).await;
    let id = node.said()[0].0;
    let returned = "From: MAILER-DAEMON@mx.example.com\r\nSubject: Undelivered Mail\r\nMessage-ID: <9@mx>\r\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n--x\r\n\r\nSorry\r\n\
        --x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; jana@example.com\r\n\
        Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n--x--\r\n";
    assert_eq!(
        node.take(None, Whom::Marked(Mark::Conversation(id)), returned)
            .await,
        "250 2.0.0 Noted"
    );
    assert_eq!((node.said()[0].1.len(), node.notes(&id)), (1, 1));
    // Of a campaign that nobody knows there is nothing to note.
    let mark = Whom::Marked(Mark::Recipient(CampaignId(1), 1));
    assert_eq!(node.take(None, mark, returned).await, "250 2.0.0 Noted");
}

#[tokio::test]
async fn p1_p3_alone_a_persons_mail_is_held_and_a_machines_is_to_come_again() {
    let node = node();
    node.majority
        .weather(crate::cluster::tests::stand_in::Weather::Alone);
    reaches_majority(&node.health, false);
    let answer = node.take(JANA, Whom::Support, MAIL).await;
    assert_eq!(
        answer,
        "250 2.0.0 Held on one server, which will pass it on"
    );
    let returned = "From: MAILER-DAEMON@mx.example.com\r\nSubject: Undelivered Mail\r\nX-Failed-Recipients: a@example.com\r\n\r\n550 5.1.1 user unknown\r\n";
    let answer = node
        .take(
            None,
            Whom::Marked(Mark::Recipient(CampaignId(1), 1)),
            returned,
        )
        .await;
    assert!(answer.starts_with("451"), "{answer}");
}

#[tokio::test]
async fn p1_what_cannot_be_stored_at_all_is_to_come_again() {
    let node = node();
    node.majority
        .weather(crate::cluster::tests::stand_in::Weather::Alone);
    reaches_majority(&node.health, false);
    node.stop.cancel();
    let answer = node.take(JANA, Whom::Support, MAIL).await;
    assert!(answer.starts_with("451"), "{answer}");
    assert!(node.said().is_empty());
}

#[tokio::test]
async fn p1_attachments_of_a_mail_are_kept_once_and_what_is_not_is_named_with_its_reason() {
    let node = node();
    let mail = "From: jana@example.com\r\nTo: support@example.com\r\nSubject: Broken\r\nMessage-ID: <files@example.com>\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nSee the log.\r\n\
        --x\r\nContent-Type: image/png; name=error.log\r\nContent-Disposition: attachment; filename=\"../error.log\"\r\n\r\nline one\r\n\
        --x\r\nContent-Type: image/png; name=virus.png\r\nContent-Disposition: attachment; filename=virus.png\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA//8AALgAAAA=\r\n--x--\r\n";
    for _ in 0..2 {
        let answer = node.take(JANA, Whom::Support, mail).await;
        assert!(answer.starts_with("250"), "{answer}");
    }
    let said = node.said();
    assert_eq!((said.len(), said[0].1.len()), (1, 1));
    assert!(
        said[0].1[0].contains("virus.png (1 kB, no picture, PDF or plain text)"),
        "{said:?}"
    );
    let state = node.majority.state();
    assert_eq!(state.files.count, 1);
    let id = said[0].0;
    let message = state.conversations[&id].messages[0].id;
    let locker = &node.intake.locker;
    let file = locker.of(&id, &message).remove(0);
    assert_eq!(
        locker.standing(&id, &file).name.as_deref(),
        Some("error.log")
    );
    assert_eq!(locker.whole(&file).await.unwrap(), b"line one");
}
