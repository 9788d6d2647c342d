//! Mass mail on the console, from an incident to the report: nothing typed is lost, every mistake is named, and nothing
//! is sent by a slip.

use hyper::StatusCode;
use serde_json::json;

use super::boat::{Boat, until};
use super::console::{Operator, Page, Visitor};

const CUSTOMERS: &str = "customer;name;email;language;server;datacentre;product;domain\n\
    1;Jana;jana@mail.example;cs;web1;prague;hosting;nova.example\n\
    1;Jana;jana@mail.example;cs;vps1;prague;vps;nova.example\n\
    2;Petr;petr@mail.example;cs;web1;prague;hosting;petr.example\n\
    3;;ann@mail.example;en;vps3;prague;vps;ann.example\n\
    4;Paul;paul@mail.example;en;vps4;brno;vps;paul.example\n";

/// A node with customers, an incident that touches Prague, and a shift leader who is signed in.
async fn three_in_the_morning() -> (Boat, Visitor, String) {
    let boat = Boat::afloat().await;
    let headers = [("idempotency-key", "one")];
    let got = boat
        .ask("POST", "/directory", &headers, CUSTOMERS.into())
        .await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.json());
    until("it is open", || boat.desk.directory.get().is_some()).await;
    let open = json!({
        "titles": { "en": "No power in Prague", "cs": "Praha bez proudu" },
        "texts": { "en": "We start the generator.", "cs": "Startujeme generátor." },
        "next": "45m",
    });
    let incident = boat.post("/incidents", "i", &open).await.json();
    let id = incident["incident"].as_str().unwrap().to_owned();
    let touches = json!({ "incident": id, "audience": "datacentre=prague" });
    let said = boat.post("/directory/affects", "t", &touches).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.json());
    let jana = Operator::made(&boat, "jana", "shift-leader").await;
    let mut leader = Visitor::at(&boat);
    leader.sign_in(&jana, &jana.code(0)).await;
    (boat, leader, id)
}

/// What stands in a field of the form.
fn value_of(page: &Page, id: &str) -> String {
    let at = page.text.find(&format!("id=\"{id}\"")).unwrap();
    let rest = &page.text[at..];
    let (begin, end) = match page.text[..at].ends_with("<textarea ") {
        true => (">\n", "</textarea>"),
        false => ("value=\"", "\""),
    };
    let from = rest.find(begin).unwrap() + begin.len();
    let text = &rest[from..];
    let text = &text[..text.find(end).unwrap()];
    text.replace("&#39;", "'")
        .replace("&#34;", "\"")
        .replace("&quot;", "\"")
}

async fn drafted(leader: &mut Visitor, fields: &[(&str, &str)]) -> Page {
    leader.post("/mail", fields).await
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn a_mail_to_those_affected_is_written_from_the_incident_and_nothing_typed_is_lost() {
    let (boat, mut leader, id) = three_in_the_morning().await;
    let page = leader.get(&format!("/incidents/{id}")).await;
    assert!(
        page.says(&format!("/mail/new?incident={id}")),
        "{}",
        page.text
    );
    let page = leader.get(&format!("/mail/new?incident={id}")).await;
    let (form, subject) = (page.form(), value_of(&page, "subject-cs"));
    assert_eq!(subject, "Praha bez proudu");
    let (cs, en) = (value_of(&page, "text-cs"), value_of(&page, "text-en"));
    for part in [
        "Startujeme generátor.",
        "{{ services | join(', ') }}",
        "Další zprávu napíšeme do",
    ] {
        assert!(cs.contains(part), "{part} is not in {cs}");
    }
    let whom = format!("incident:{id}");
    assert!(
        page.says(&format!("value=\"{whom}\" checked")),
        "{}",
        page.text
    );
    let right = [
        ("form", form.as_str()),
        ("once", "one"),
        ("whom", whom.as_str()),
        ("name", "No power in Prague"),
        ("kind", "essential"),
        ("deliver", "24h"),
        ("subject-cs", subject.as_str()),
        ("text-cs", cs.as_str()),
        ("subject-en", "No power in Prague"),
        ("text-en", en.as_str()),
    ];
    let with = |changes: &[(&'static str, &'static str)]| {
        let mut fields = right.to_vec();
        for (name, text) in changes {
            match fields.iter_mut().find(|it| it.0 == *name) {
                Some(field) => field.1 = text,
                None => fields.push((name, text)),
            }
        }
        fields
    };

    let page = drafted(&mut leader, &with(&[("do", "count")])).await;
    assert!(
        page.says("3 customers are meant.") && page.says("ann@mail.example"),
        "{}",
        page.text
    );
    let places = [
        ("do", "count"),
        ("whom", "places"),
        ("by-datacentre", "brno, ostrava"),
        ("by-language", "en"),
    ];
    let page = drafted(&mut leader, &with(&places)).await;
    assert!(
        page.says("1 customers are meant.") && page.says("paul@mail.example"),
        "{}",
        page.text
    );

    // Three mistakes at once, each with its field; everything else is there again.
    let bad = with(&[("whom", ""), ("subject-cs", ""), ("name", "")]);
    let page = drafted(&mut leader, &bad).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for part in [
        "whom: found nothing",
        "cs.subject: found nothing",
        "name: found",
    ] {
        assert!(page.says(part), "{part} is not in {}", page.text);
    }
    assert_eq!(value_of(&page, "text-cs"), cs);
    let page = drafted(
        &mut leader,
        &with(&[("whom", "words"), ("audience", "datacentre prague")]),
    )
    .await;
    assert!(
        page.says("audience cannot be used") && page.says("datacentre prague"),
        "{}",
        page.text
    );

    // What does not fit a recipient is named with the recipient.
    let page = drafted(
        &mut leader,
        &with(&[("text-en", "Dear {{ name }}"), ("once", "two")]),
    )
    .await;
    let path = page.location.clone();
    assert!(path.starts_with("/mail/"), "{}", page.text);
    let page = leader.get(&path).await;
    assert!(
        page.says("3 (line 3)") && page.says("en.txt, line 1: found") && !page.says("/request"),
        "{}",
        page.text
    );
    let asked = leader
        .post(&format!("{path}/request"), &[("form", form.as_str())])
        .await;
    assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);

    // Put right on the page that changes it: the same mail, the same people.
    let page = leader.get(&format!("{path}/change")).await;
    let list = format!(
        "list:{}",
        boat.cluster
            .state()
            .campaigns
            .all
            .values()
            .next()
            .unwrap()
            .draft
            .list
            .0
    );
    assert!(
        page.says(&format!("value=\"{list}\" checked")),
        "{}",
        page.text
    );
    let (campaign, against) = (
        path.trim_start_matches("/mail/").to_owned(),
        boat.get(&format!("/campaigns/{}", &path[6..])).await.json()["generation"].to_string(),
    );
    let mut fields = with(&[("once", "three")]);
    fields[2].1 = &list;
    fields.extend([
        ("campaign", campaign.as_str()),
        ("against", against.as_str()),
    ]);
    let page = drafted(&mut leader, &fields).await;
    assert_eq!(page.location, path, "{}", page.text);
    let page = leader.get(&path).await;
    for part in [
        "Nothing is wrong.",
        "vps1, web1",
        "jana@mail.example",
        "ann@mail.example",
    ] {
        assert!(page.says(part), "{part} is not in {}", page.text);
    }
    let page = leader.get(&format!("{path}?find=2")).await;
    assert!(page.says("petr@mail.example"), "{}", page.text);
    let page = leader.get(&format!("{path}?find=4")).await;
    assert!(page.says("find cannot be used"), "{}", page.text);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn p7_on_the_console_a_mail_leaves_only_after_its_number_was_typed_and_is_stopped_searched_and_sent_again()
 {
    let (boat, mut leader, _) = three_in_the_morning().await;
    let form = leader.get("/mail/new").await.form();
    let fields = [
        ("form", form.as_str()),
        ("once", "one"),
        ("whom", "all"),
        ("name", "power"),
        ("kind", "essential"),
        ("deliver", "24h"),
        ("subject-en", "No power"),
        ("text-en", "Dear customer, {{ services | join(', ') }}"),
    ];
    let path = drafted(&mut leader, &fields).await.location;
    let again = drafted(&mut leader, &fields).await.location;
    assert_eq!(path, again, "a form that is sent twice is one draft");
    // Nobody of the company has a mailbox here: a test reaches nobody else.
    let test = [("form", form.as_str()), ("person", "jana"), ("line", "1")];
    let page = leader.post(&format!("{path}/test"), &test).await;
    assert!(
        page.says("somebody with an account and a mailbox"),
        "{}",
        page.text
    );

    let request = [("form", form.as_str()), ("once", "r")];
    let page = leader.post(&format!("{path}/request"), &request).await;
    assert_eq!(page.location, path, "{}", page.text);
    let cluster = boat.cluster.clone();
    until("the blobs are held", || {
        let state = cluster.state();
        let campaign = state.campaigns.all.values().next().unwrap();
        let held = |hash| {
            state
                .blobs
                .get(hash)
                .is_some_and(|it| !it.holders.is_empty())
        };
        held(&campaign.draft.texts.0)
            && campaign
                .frozen
                .as_ref()
                .is_some_and(|it| held(&it.manifest.0))
    })
    .await;
    let page = leader.get(&path).await;
    assert!(
        page.says("Type 4 to send") && page.says("jana@mail.example"),
        "{}",
        page.text
    );
    let binds = boat.get(&format!("/campaigns/{}", &path[6..])).await.json()["binds"]
        .as_str()
        .unwrap()
        .to_owned();
    let approve = format!("{path}/approve");
    for (count, says) in [("four", "in digits"), ("3", "count cannot be used")] {
        let fields = [
            ("form", form.as_str()),
            ("once", count),
            ("binds", &binds),
            ("count", count),
        ];
        let page = leader.post(&approve, &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            page.says(says) && page.says(&format!("value=\"{count}\"")),
            "{}",
            page.text
        );
    }
    let fields = [
        ("form", form.as_str()),
        ("once", "a"),
        ("binds", &binds),
        ("count", "4"),
    ];
    let page = leader.post(&approve, &fields).await;
    assert_eq!(page.location, path, "{}", page.text);
    let page = leader.get(&path).await;
    let light = leader.get(&format!("{path}?live=yes")).await;
    assert!(light.says("Is being sent") && !light.says("@mail.example"));
    assert!(
        page.says("Is being sent") && page.says("data-state=\"sending\""),
        "{}",
        page.text
    );
    for (deed, stage) in [("pause", "Paused"), ("resume", "Is being sent")] {
        let fields = [("form", form.as_str()), ("once", deed), ("do", deed)];
        leader.post(&format!("{path}/pause"), &fields).await;
        assert!(leader.get(&path).await.says(stage), "{deed}");
    }
    let eva = Operator::made(&boat, "eva", "viewer").await;
    let mut viewer = Visitor::at(&boat);
    viewer.sign_in(&eva, &eva.code(0)).await;
    let page = viewer.get(&path).await;
    assert!(!page.says("@mail.example"), "{}", page.text);
    for hidden in [
        "/mail/new",
        &format!("{path}/report"),
        &format!("{path}/change"),
    ] {
        assert_eq!(
            viewer.get(hidden).await.status,
            StatusCode::FORBIDDEN,
            "{hidden}"
        );
    }
    let fields = [("form", page.form()), ("reason", "a wrong word".to_owned())];
    let fields = fields.each_ref().map(|it| (it.0, it.1.as_str()));
    let page = viewer.post(&format!("{path}/cancel"), &fields).await;
    assert_eq!(page.location, path, "anybody stops it: {}", page.text);

    let page = leader.get(&path).await;
    assert!(
        page.says(&format!("/mail/new?resend={}", &path[6..])),
        "{}",
        page.text
    );
    let page = leader
        .get(&format!("{path}/report?q=ANN&outcome=cancelled"))
        .await;
    assert!(
        page.says("ann@mail.example") && !page.says("jana@mail.example"),
        "{}",
        page.text
    );
    let page = leader
        .get(&format!("{path}/report?outcome=delivered"))
        .await;
    assert!(page.says("Nobody."), "{}", page.text);
    let page = leader
        .get(&format!("/mail/new?resend={}", &path[6..]))
        .await;
    assert_eq!(value_of(&page, "subject-en"), "No power");
    let whom = format!("missed:{}", &path[6..]);
    assert!(
        page.says(&format!("value=\"{whom}\" checked")),
        "{}",
        page.text
    );
    let fields = [
        ("form", form.as_str()),
        ("once", "again"),
        ("whom", &whom),
        ("name", "power again"),
        ("kind", "essential"),
        ("deliver", "24h"),
        ("subject-en", "No power"),
        ("text-en", "Dear customer"),
    ];
    let again = drafted(&mut leader, &fields).await.location;
    let page = leader.get(&again).await;
    assert!(page.says("<p class=\"big\">4</p>"), "{}", page.text);
    let nobody = leader
        .get(&format!("/mail/new?correct={}", &path[6..]))
        .await;
    assert!(nobody.says("Correction: No power"), "{}", nobody.text);
}
