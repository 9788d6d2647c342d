//! Cloudflare's rules: an envelope, records by id, pages, and a batch that is done whole, deletes first.

use serde_json::{Value, json};

use super::stand::{Asked, Row, Rules, Says, Stand, zone};
use super::{Desk, FALLBACK, TOKEN, every_provider, sets, url};
use crate::model::keeper::{Ending, Place};

pub struct Cloudflare {
    rows: Vec<Row>,
    proxied: Vec<String>,
    made: usize,
    /// Records of a page.
    page: usize,
    /// Batches so far.
    batches: usize,
}

impl Cloudflare {
    fn new() -> Self {
        Self {
            rows: zone(),
            proxied: Vec::new(),
            made: 0,
            page: 100,
            batches: 0,
        }
    }

    fn shown(&self, row: &Row) -> Value {
        let (priority, content) = match row.rtype.as_str() {
            "MX" => {
                let (priority, host) = row.value.split_once(' ').unwrap();
                (priority.parse().ok(), host.trim_end_matches('.'))
            }
            _ => (None::<u32>, row.value.trim_end_matches('.')),
        };
        let proxied = self.proxied.contains(&row.id);
        json!({
            "id": row.id, "zone_id": "z1", "zone_name": "example.test", "name": row.name, "type": row.rtype,
            "content": content, "priority": priority, "proxiable": true, "proxied": proxied,
            "ttl": if proxied { 1 } else { row.ttl }, "locked": false, "meta": {}, "comment": null, "tags": [],
        })
    }

    fn listed(&self, asked: &Asked) -> Says {
        let name = asked.part("name").unwrap();
        let page: usize = asked.part("page").unwrap().parse().unwrap();
        let rows: Vec<&Row> = self.rows.iter().filter(|it| it.name == name).collect();
        let pages = rows.len().div_ceil(self.page).max(1);
        let shown: Vec<Value> = rows
            .iter()
            .skip((page - 1) * self.page)
            .take(self.page)
            .map(|it| self.shown(it))
            .collect();
        let info = json!({ "page": page, "per_page": self.page, "total_pages": pages, "count": shown.len() });
        Says::of(
            200,
            json!({ "success": true, "errors": [], "messages": [], "result": shown, "result_info": info }),
        )
    }

    /// Done on a copy, and taken over only where all of it can be.
    fn batch(&mut self, asked: &Asked) -> Says {
        self.batches += 1;
        let batch: Value = serde_json::from_slice(&asked.body).unwrap();
        let all = |key: &str| batch[key].as_array().cloned().unwrap_or_default();
        let mut rows = self.rows.clone();
        for delete in all("deletes") {
            let before = rows.len();
            rows.retain(|it| it.id != delete["id"]);
            if rows.len() == before {
                return no(400, 81044, "Record does not exist.");
            }
        }
        for patch in all("patches") {
            let Some(row) = rows.iter_mut().find(|it| it.id == patch["id"]) else {
                return no(400, 81044, "Record does not exist.");
            };
            if let Some(ttl) = patch["ttl"].as_u64() {
                row.ttl = u32::try_from(ttl).unwrap();
            }
            if let Some(value) = value_of(&row.rtype, &patch) {
                row.value = value;
            }
        }
        for post in all("posts") {
            self.made += 1;
            let rtype = post["type"].as_str().unwrap().to_owned();
            let id = format!("made{}", self.made);
            if post["proxied"] == true {
                self.proxied.push(id.clone());
            }
            let ttl = u32::try_from(post["ttl"].as_u64().unwrap()).unwrap();
            if ttl != 1 && ttl < 60 {
                return no(
                    400,
                    9021,
                    "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.",
                );
            }
            rows.push(Row {
                id,
                name: post["name"].as_str().unwrap().to_owned(),
                value: value_of(&rtype, &post).unwrap(),
                rtype,
                ttl,
            });
        }
        for row in &rows {
            let alias = |it: &Row| it.rtype == "CNAME" && it.name == row.name;
            if row.rtype != "CNAME" && rows.iter().any(alias) {
                return no(400, 81054, "A CNAME record with that host already exists.");
            }
        }
        self.rows = rows;
        Says::of(
            200,
            json!({ "success": true, "errors": [], "messages": [], "result": {} }),
        )
    }
}

fn value_of(rtype: &str, record: &Value) -> Option<String> {
    let content = record["content"].as_str()?;
    Some(match rtype {
        "MX" => format!("{} {content}.", record["priority"]),
        "CNAME" => format!("{content}."),
        _ => content.to_owned(),
    })
}

fn no(status: u16, code: u32, message: &str) -> Says {
    let error = json!({ "code": code, "message": message });
    Says::of(
        status,
        json!({ "success": false, "errors": [error], "messages": [], "result": null }),
    )
}

impl Rules for Cloudflare {
    fn answer(&mut self, asked: &Asked) -> Says {
        if asked.authorization != format!("Bearer {TOKEN}") {
            return no(
                403,
                9109,
                &format!("Invalid access token {}", asked.authorization),
            );
        }
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/api/zones") => {
                let zone = json!({
                    "id": "z1", "name": "example.test", "status": "active", "paused": false, "type": "full",
                    "permissions": ["#zone:read", "#dns_records:read", "#dns_records:edit"],
                });
                let found = (asked.part("name").as_deref() == Some("example.test")).then_some(zone);
                let found: Vec<Value> = found.into_iter().collect();
                Says::of(
                    200,
                    json!({ "success": true, "errors": [], "messages": [], "result": found }),
                )
            }
            ("GET", "/api/zones/z1/dns_records") => self.listed(asked),
            ("POST", "/api/zones/z1/dns_records/batch") => self.batch(asked),
            _ => no(404, 7003, "Could not route to the path"),
        }
    }

    fn rows(&mut self) -> &mut Vec<Row> {
        &mut self.rows
    }

    fn has_conditions(&self) -> bool {
        // A look right before the batch: theirs has none.
        true
    }
}

fn desk(stand: &Stand, token: &str, zone_id: Option<&str>) -> Desk {
    let place = Place::Cloudflare {
        url: url(stand),
        zone_id: zone_id.map(|it| crate::model::words::Note::new(it).unwrap()),
    };
    Desk::at(place, token, &super::PRIMARY)
}

#[tokio::test]
async fn cloudflare_is_switched_and_read_back_whatever_is_lost() {
    let stand = Stand::new(Cloudflare::new()).await;
    every_provider(
        &stand,
        desk(&stand, TOKEN, None),
        desk(&stand, "wrong-token", None),
    )
    .await;
}

#[tokio::test]
async fn cloudflares_pages_are_read_to_the_end_and_records_behind_its_proxy_stay_there() {
    let mut rules = Cloudflare::new();
    rules.page = 1;
    rules.proxied.push("id1".to_owned());
    let stand = Stand::new(rules).await;
    let mut desk = desk(&stand, TOKEN, Some("z1"));
    let there = desk.there().await;
    assert!(desk.is_done(&there), "{there:?}");
    let written = desk.switch(&FALLBACK).await;
    assert_eq!(written.ending, Ending::Confirmed, "{}", written.why);
    let rows = stand.rows();
    let www: Vec<&Row> = rows
        .iter()
        .filter(|it| it.name == "www.example.test" && it.rtype == "A")
        .collect();
    assert_eq!(www.len(), 2);
    assert_eq!(www[0].id, "id1", "the record keeps its id");
    assert!(www[1].id.starts_with("made"), "{www:?}");
}

#[tokio::test]
async fn a_zone_that_the_token_does_not_see_is_told_with_what_it_needs() {
    let stand = Stand::new(Cloudflare::new()).await;
    let mut desk = desk(&stand, TOKEN, None);
    if let super::super::Desk::Cloudflare(it) = &mut desk.office.desk {
        it.zone = "example.net".parse().unwrap();
    }
    desk.wanted = sets(&["www.example.net 60 A 192.0.2.1"]);
    let refused = desk.office.there(&desk.keeper, &desk.wanted).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("Zone Read"), "{refused}");
}

#[tokio::test]
async fn an_alias_in_the_way_goes_and_the_addresses_come_in_one_batch() {
    let mut rules = Cloudflare::new();
    rules.rows.retain(|it| it.name != "www.example.test");
    rules.rows.push(Row {
        id: "alias".to_owned(),
        name: "www.example.test".to_owned(),
        rtype: "CNAME".to_owned(),
        ttl: 60,
        value: "elsewhere.example.net.".to_owned(),
    });
    let stand = Stand::new(rules).await;
    let mut desk = desk(&stand, TOKEN, None);
    let written = desk.switch(&["www.example.test 60 A 198.51.100.1"]).await;
    assert_eq!(written.ending, Ending::Confirmed, "{}", written.why);
    let rows = stand.rows();
    assert!(!rows.iter().any(|it| it.rtype == "CNAME"), "{rows:?}");
}
