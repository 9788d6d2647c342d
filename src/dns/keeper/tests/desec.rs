//! deSEC's rules: sets of a subname, pages by link, a least lifetime, and bulk requests that are done whole.

use serde_json::{Value, json};

use super::stand::{Asked, Row, Rules, Says, Stand, zone};
use super::{Desk, PRIMARY, TOKEN, every_provider, url};
use crate::model::keeper::{Ending, Place};

struct DeSec {
    rows: Vec<Row>,
    minimum_ttl: u32,
    /// Sets of a page.
    page: usize,
}

impl DeSec {
    fn new() -> Self {
        Self {
            rows: zone(),
            minimum_ttl: 60,
            page: 500,
        }
    }

    fn listed(&self, asked: &Asked) -> Says {
        let subname = asked.part("subname");
        let mut sets: Vec<Value> = Vec::new();
        for row in &self.rows {
            let below = below(&row.name);
            if subname.as_deref().is_some_and(|it| it != below) {
                continue;
            }
            let is_own =
                |it: &&mut Value| it["type"] == row.rtype.as_str() && it["subname"] == below;
            let known = sets.iter_mut().find(is_own);
            match known {
                Some(set) => set["records"].as_array_mut().unwrap().push(json!(row.value)),
                None => sets.push(json!({
                    "created": "2026-01-01T00:00:00Z", "domain": "example.test", "subname": below,
                    "name": format!("{}.", row.name), "type": row.rtype, "ttl": row.ttl, "records": [row.value],
                    "touched": "2026-01-01T00:00:00Z",
                })),
            }
        }
        let from: usize = asked.part("cursor").map_or(0, |it| it.parse().unwrap());
        let more = sets.len() > from + self.page;
        let sets: Vec<Value> = sets.into_iter().skip(from).take(self.page).collect();
        let mut says = Says::of(200, Value::Array(sets));
        if more {
            let path = format!("http://{}{}", asked.host, asked.path);
            let subname = subname.map_or(String::new(), |it| format!("subname={it}&"));
            let next = format!("{path}?{subname}cursor={}", from + self.page);
            says.link = Some(format!("<{path}>; rel=\"first\", <{next}>; rel=\"next\""));
        }
        says
    }

    fn bulk(&mut self, asked: &Asked) -> Says {
        let sets: Value = serde_json::from_slice(&asked.body).unwrap();
        let mut rows = self.rows.clone();
        let mut wrong = Vec::new();
        for set in sets.as_array().unwrap() {
            let name = match set["subname"].as_str().unwrap() {
                "" => "example.test".to_owned(),
                below => format!("{below}.example.test"),
            };
            let rtype = set["type"].as_str().unwrap();
            let ttl = u32::try_from(set["ttl"].as_u64().unwrap()).unwrap();
            if ttl < self.minimum_ttl {
                let least = self.minimum_ttl;
                let says = format!("Ensure this value is greater than or equal to {least}.");
                wrong.push(json!({ "ttl": [says] }));
                continue;
            }
            wrong.push(json!({}));
            let is_own = |it: &Row| it.name == name && it.rtype == rtype;
            let Some(records) = set["records"].as_array() else {
                let own = rows.iter_mut().filter(|it| is_own(it));
                own.for_each(|it| it.ttl = ttl);
                continue;
            };
            rows.retain(|it| !is_own(it));
            rows.extend(records.iter().map(|it| Row {
                id: String::new(),
                name: name.clone(),
                rtype: rtype.to_owned(),
                ttl,
                value: it.as_str().unwrap().to_owned(),
            }));
        }
        if wrong.iter().any(|it| *it != json!({})) {
            return Says::of(400, Value::Array(wrong));
        }
        self.rows = rows;
        Says::of(200, sets)
    }
}

fn below(name: &str) -> &str {
    name.strip_suffix("example.test")
        .unwrap()
        .trim_end_matches('.')
}

impl Rules for DeSec {
    fn answer(&mut self, asked: &Asked) -> Says {
        if asked.authorization != format!("Token {TOKEN}") {
            return Says::of(
                401,
                json!({ "detail": format!("Invalid token: {}", asked.authorization) }),
            );
        }
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/api/domains/example.test/") => Says::of(
                200,
                json!({ "name": "example.test", "minimum_ttl": self.minimum_ttl, "keys": [] }),
            ),
            ("GET", "/api/domains/example.test/rrsets/") => self.listed(asked),
            ("PUT" | "PATCH", "/api/domains/example.test/rrsets/") => self.bulk(asked),
            _ => Says::of(404, json!({ "detail": "Not found." })),
        }
    }

    fn rows(&mut self) -> &mut Vec<Row> {
        &mut self.rows
    }

    fn has_conditions(&self) -> bool {
        false
    }
}

fn desk(stand: &Stand, token: &str) -> Desk {
    Desk::at(Place::DeSec { url: url(stand) }, token, &PRIMARY)
}

#[tokio::test]
async fn desec_is_switched_and_read_back_whatever_is_lost() {
    let stand = Stand::new(DeSec::new()).await;
    every_provider(&stand, desk(&stand, TOKEN), desk(&stand, "wrong-token")).await;
}

#[tokio::test]
async fn desecs_pages_are_followed_and_its_least_lifetime_is_told_before_the_emergency() {
    let mut rules = DeSec::new();
    rules.page = 1;
    rules.minimum_ttl = 3_600;
    let stand = Stand::new(rules).await;
    let mut desk = desk(&stand, TOKEN);
    let there = desk.there().await;
    assert!(desk.is_done(&there), "{there:?}");
    let findings = desk.office.look_over().await;
    assert!(
        findings
            .iter()
            .any(|it| !it.good && it.what.contains("3600 s")),
        "{findings:?}"
    );
    // Of many names the whole domain is read.
    let many: Vec<String> = (0..8)
        .map(|it| format!("n{it}.example.test 60 A 192.0.2.1"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(PRIMARY).collect();
    desk.wanted = super::sets(&many);
    let there = desk.there().await;
    desk.wanted = super::sets(&PRIMARY);
    assert!(desk.is_done(&there), "{there:?}");
    assert!(
        !there
            .iter()
            .any(|it| it.name.to_string().starts_with("other")),
        "{there:?}"
    );
    let written = desk.switch(&["www.example.test 60 A 198.51.100.1"]).await;
    assert_eq!(written.ending, Ending::Refused, "{}", written.why);
    assert!(written.why.contains("3600"), "{}", written.why);
}

#[tokio::test]
async fn a_next_page_at_another_place_is_not_followed() {
    let stand = Stand::new(DeSec::new()).await;
    let desk = desk(&stand, TOKEN);
    let super::super::Desk::DeSec(it) = &desk.office.desk else {
        panic!("another provider");
    };
    let elsewhere = "<https://elsewhere.example.net/api/?cursor=1>; rel=\"next\"";
    assert_eq!(it.next(elsewhere), None);
}
