//! "Is it me?": what is answered, to whom, and what is kept from whom.

use std::fs::File;

use super::*;
use crate::blobs::Blobs;
use crate::directory::{Directory, How, Intake, whole};
use crate::model::directory::{
    AudienceText, Directories, DirectoryChange, DirectoryVersion, Version,
};
use crate::model::incident::{
    IncidentChange, IncidentId, Said, Severity, Stage, Title, change::Opening,
};
use crate::model::words::{Lang, Note};
use crate::model::{Actor, Command};
use house::House;

const CUSTOMERS: &str = "customer;name;email;server;datacentre;product;domain\n\
    1001;Jana Nová;jana@nova.example;web1.example.net;prague;hosting;nova.example\n\
    1002;Ann;ann@ann.example;vps3;brno;vps;ann.example\n";

/// Takes the customers in and opens the directory to the pages.
fn with_directory(house: &House) {
    let blobs = Blobs::open(&house.folder.join("blobs")).unwrap();
    let path = house.folder.join("upload");
    std::fs::write(&path, CUSTOMERS).unwrap();
    let upload = File::options().read(true).write(true).open(path).unwrap();
    let mut intake = Intake::read(upload, &How::default()).unwrap();
    let made = whole(&mut intake, None, |_| false, (&blobs, &house.keyring), true)
        .unwrap()
        .unwrap();
    let it = made.publication(Note::default(), 0, None).unwrap();
    let record = Version {
        base: it.base,
        deltas: it.deltas,
        counts: it.counts,
        at: Timestamp(0),
        by: String::new(),
        note: Note::default(),
    };
    let said = Directories::default();
    let directory = Directory::open(&blobs, &house.keyring, &said, DirectoryVersion(1), &record);
    house.directory.set(Some(directory.unwrap()));
}

fn says(house: &House, command: Command) {
    let proposal = crate::cluster::tests::stand_in::proposal(Actor::Local { uid: 0 }, command);
    let reply = house.majority.apply(proposal).reply;
    assert!(
        !matches!(reply, crate::model::Reply::Refused(_)),
        "{reply:?}"
    );
}

fn opens(house: &House, id: u32, title: &str) {
    let opening = Opening {
        titles: [(Lang::En, Title::new(title).unwrap())]
            .into_iter()
            .collect(),
        severity: Severity::Major,
        stage: Stage::Investigating,
        affected: imbl::OrdMap::new(),
        window: None,
        texts: [(Lang::En, Said::new("No power.").unwrap())]
            .into_iter()
            .collect(),
        next_ms: Some(3_600_000),
        tell: Vec::new(),
    };
    let incident = IncidentId(id);
    says(
        house,
        Command::Incident(IncidentChange::Open { incident, opening }),
    );
}

fn touches(house: &House, id: u32, audience: &str) {
    let change = DirectoryChange::Affects {
        incident: IncidentId(id),
        audience: Some(AudienceText::new(audience).unwrap()),
    };
    says(house, Command::Directory(change));
}

async fn asks(house: &House, typed: &str, lang: &str) -> house::Page {
    house
        .post("/is-it-me", &[("reference", typed), ("lang", lang)])
        .await
}

#[tokio::test]
async fn visitors_can_ask_while_something_happens_and_there_is_a_directory() {
    let house = house().await;
    let has_form = async |path: &str| house.get(path).await.text.contains("action=\"/is-it-me\"");
    assert!(!has_form("/en/").await);
    opens(&house, 1, "No power in Prague");
    assert!(!has_form("/en/").await, "there is nothing to answer from");
    let page = asks(&house, "nova.example", "en").await;
    assert!(
        page.text.contains("We cannot tell for nova.example yet"),
        "{}",
        page.text
    );
    with_directory(&house);
    assert!(has_form("/en/").await && has_form("/status").await);
    let page = asks(&house, "nova.example", "en").await;
    assert!(
        page.text.contains("We cannot tell for nova.example yet"),
        "nobody said whom it touches"
    );
    let alone = house.get("/is-it-me?lang=cs").await;
    assert!(
        alone.text.contains("Týká se to mě?") && alone.headers[header::CACHE_CONTROL] == "no-store"
    );
}

#[tokio::test]
async fn whoever_is_affected_is_told_by_what_however_they_type_it() {
    let house = house().await;
    with_directory(&house);
    opens(&house, 1, "No power in Prague");
    touches(&house, 1, "datacentre=prague");
    for typed in [
        "nova.example",
        " https://www.NOVA.example/shop?x=1 ",
        "jana@nova.example",
        "1001",
        "web1.example.net",
        "web1.example.net:8443",
    ] {
        let page = asks(&house, typed, "en").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(
            page.text.contains("is affected") && page.text.contains("By “No power in Prague”"),
            "{typed}: {}",
            page.text
        );
        assert!(page.text.contains("/incident/00000001"));
        for secret in ["Jana", "hosting", "prague<", "web1.example.net<"] {
            let own = typed
                .to_lowercase()
                .contains(&secret.trim_end_matches('<').to_lowercase());
            assert!(own || !page.text.contains(secret), "{typed} tells {secret}");
        }
    }
    let czech = asks(&house, "nova.example", "cs").await;
    assert!(czech.text.contains("Ano, nova.example se výpadek týká"));
    let pasted = asks(&house, "https://www.nova.example/shop?x=1", "en").await;
    assert!(
        pasted.text.contains("www.nova.example is affected"),
        "{}",
        pasted.text
    );
    let markup = asks(&house, "<b>x</b>", "en").await;
    assert!(!markup.text.contains("<b>x</b>"));
}

/// The page without what was typed, and without when it was made.
fn bare(page: &house::Page, typed: &str) -> String {
    let text = page.text.replace(typed, "...");
    text.split("<footer>").next().unwrap().to_owned()
}

#[tokio::test]
async fn a_customer_who_is_not_affected_and_nobodys_name_get_the_same_words() {
    let house = house().await;
    with_directory(&house);
    opens(&house, 1, "No power in Prague");
    touches(&house, 1, "datacentre=prague");
    for lang in ["en", "cs"] {
        let known = asks(&house, "ann.example", lang).await;
        let unknown = asks(&house, "nobody.example", lang).await;
        assert_eq!(known.status, unknown.status);
        assert_eq!(
            bare(&known, "ann.example"),
            bare(&unknown, "nobody.example")
        );
        let number = asks(&house, "1002", lang).await;
        assert_eq!(
            bare(&number, "1002"),
            bare(&asks(&house, "9999", lang).await, "9999")
        );
    }
    opens(&house, 2, "Slow mail");
    let page = asks(&house, "ann.example", "en").await;
    assert!(
        page.text.contains("For “Slow mail” we cannot say yet"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn p2_p3_a_node_that_is_alone_answers_as_well() {
    let house = house().await;
    with_directory(&house);
    opens(&house, 1, "No power in Prague");
    touches(&house, 1, "server=web*");
    house.set_alone(true);
    let page = asks(&house, "nova.example", "en").await;
    assert!(page.text.contains("is affected"), "{}", page.text);
    assert!(
        page.text.contains("cannot reach the others"),
        "and says that it is alone"
    );
}

#[tokio::test]
async fn p10_numbers_cannot_be_tried_out_one_after_the_other() {
    let house = house().await;
    with_directory(&house);
    opens(&house, 1, "No power in Prague");
    touches(&house, 1, "datacentre=prague");
    let mut slowed = 0;
    for number in 1_000..1_000 + limits::PACE_IS_IT_ME.hard + 5 {
        let page = asks(&house, &number.to_string(), "en").await;
        if page.status == StatusCode::TOO_MANY_REQUESTS {
            slowed += 1;
            assert!(page.headers.contains_key(header::RETRY_AFTER));
            assert!(!page.text.contains("By “No power"));
        }
    }
    assert_eq!(slowed, 5);
    let empty = asks(&house, " ", "en").await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);
    let long = asks(&house, &"x".repeat(300), "en").await;
    assert!(long.text.contains("has 300 characters"));
}
