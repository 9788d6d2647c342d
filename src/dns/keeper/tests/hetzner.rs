//! Hetzner's rules: RRSets of a zone, made by one path and changed by actions that are done a moment later.

use serde_json::{Value, json};

use super::stand::{Asked, Row, Rules, Says, Stand, zone};
use super::{Desk, PRIMARY, TOKEN, every_provider, url};
use crate::model::keeper::{Ending, Place};

struct Hetzner {
    rows: Vec<Row>,
    mode: &'static str,
    /// Sets of a page.
    page: usize,
    /// Actions that are under way, with how they end.
    actions: Vec<(u64, bool)>,
    /// What is done only when its action is asked for.
    later: Vec<Row>,
    fails: bool,
}

impl Hetzner {
    fn new() -> Self {
        Self {
            rows: zone(),
            mode: "primary",
            page: 50,
            actions: Vec::new(),
            later: Vec::new(),
            fails: false,
        }
    }

    fn listed(&self, asked: &Asked) -> Says {
        let name = asked.part("name").unwrap();
        let page: usize = asked.part("page").unwrap().parse().unwrap();
        let mut sets: Vec<Value> = Vec::new();
        for row in self.rows.iter().filter(|it| short(&it.name) == name) {
            let record = json!({ "value": row.value, "comment": null });
            let known = sets.iter_mut().find(|it| it["type"] == row.rtype.as_str());
            match known {
                Some(set) => set["records"].as_array_mut().unwrap().push(record),
                None => sets.push(json!({
                    "id": format!("{name}/{}", row.rtype), "name": name, "type": row.rtype, "ttl": row.ttl,
                    "labels": {}, "protection": { "change": false }, "records": [record], "zone": 1,
                })),
            }
        }
        let pages = sets.len().div_ceil(self.page).max(1);
        let next = (page < pages).then_some(page + 1);
        let sets: Vec<Value> = sets
            .into_iter()
            .skip((page - 1) * self.page)
            .take(self.page)
            .collect();
        let pagination =
            json!({ "page": page, "per_page": self.page, "next_page": next, "last_page": pages });
        Says::of(
            200,
            json!({ "rrsets": sets, "meta": { "pagination": pagination } }),
        )
    }

    fn begun(&mut self) -> Says {
        let id = 100 + self.actions.len() as u64;
        self.actions.push((id, false));
        let action = json!({ "id": id, "command": "set_rrset_records", "status": "running", "progress": 0, "error": null });
        Says::of(201, json!({ "action": action }))
    }

    fn asked_for(&mut self, id: u64) -> Says {
        let fails = self.fails;
        let Some(action) = self.actions.iter_mut().find(|it| it.0 == id) else {
            return no(404, "not_found", "action not found");
        };
        action.1 = true;
        if !fails {
            for row in std::mem::take(&mut self.later) {
                self.rows.push(row);
            }
        }
        let error = fails.then(|| json!({ "code": "action_failed", "message": "Action failed" }));
        let status = if fails { "error" } else { "success" };
        Says::of(
            200,
            json!({ "action": { "id": id, "status": status, "progress": 100, "error": error } }),
        )
    }

    /// A set that is not there yet.
    fn make(&mut self, body: &Value) -> Says {
        let short = body["name"].as_str().unwrap();
        let name = full(if short == "@" { "%40" } else { short });
        let rtype = body["type"].as_str().unwrap().to_owned();
        if self
            .rows
            .iter()
            .any(|it| it.name == name && it.rtype == rtype)
        {
            return no(409, "uniqueness_error", "rrset already exists");
        }
        let ttl = u32::try_from(body["ttl"].as_u64().unwrap()).unwrap();
        self.later.extend(rows_of(&name, &rtype, ttl, body));
        self.begun()
    }

    /// An action on a set that is there.
    fn act(&mut self, name: &str, rtype: &str, deed: &str, body: &Value) -> Says {
        match deed {
            "set_records" => self.set_records(name, rtype, body),
            "change_ttl" => {
                let ttl = u32::try_from(body["ttl"].as_u64().unwrap()).unwrap();
                let own = self.rows.iter_mut();
                own.filter(|it| it.name == name && it.rtype == rtype)
                    .for_each(|it| it.ttl = ttl);
                self.begun()
            }
            _ => no(404, "not_found", "no such action"),
        }
    }

    fn set_records(&mut self, name: &str, rtype: &str, body: &Value) -> Says {
        let is_own = |it: &Row| it.name == name && it.rtype == rtype;
        let Some(known) = self.rows.iter().find(|it| is_own(it)).cloned() else {
            return no(404, "not_found", "rrset not found");
        };
        if !self.fails {
            self.rows.retain(|it| !is_own(it));
            self.later.extend(rows_of(name, rtype, known.ttl, body));
        }
        self.begun()
    }
}

fn rows_of(name: &str, rtype: &str, ttl: u32, body: &Value) -> Vec<Row> {
    let records = body["records"].as_array().unwrap().iter();
    records
        .map(|it| Row {
            id: String::new(),
            name: name.to_owned(),
            rtype: rtype.to_owned(),
            ttl,
            value: it["value"].as_str().unwrap().to_owned(),
        })
        .collect()
}

fn full(name: &str) -> String {
    match name {
        "%40" | "@" => "example.test".to_owned(),
        below => format!("{below}.example.test"),
    }
}

fn short(name: &str) -> &str {
    match name
        .strip_suffix("example.test")
        .unwrap()
        .trim_end_matches('.')
    {
        "" => "@",
        below => below,
    }
}

fn no(status: u16, code: &str, message: &str) -> Says {
    Says::of(
        status,
        json!({ "error": { "code": code, "message": message, "details": null } }),
    )
}

impl Rules for Hetzner {
    fn answer(&mut self, asked: &Asked) -> Says {
        if asked.authorization != format!("Bearer {TOKEN}") {
            return no(401, "unauthorized", "the provided token is invalid");
        }
        let parts: Vec<&str> = asked.path.trim_start_matches("/api/").split('/').collect();
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        if asked.method != "GET" && self.mode != "primary" {
            return no(422, "incorrect_zone_mode", "zone mode is not primary");
        }
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["zones", "example.test"]) => {
                let zone = json!({ "id": 1, "name": "example.test", "mode": self.mode, "ttl": 3600, "status": "ok" });
                Says::of(200, json!({ "zone": zone }))
            }
            ("GET", ["zones", "example.test", "rrsets"]) => self.listed(asked),
            ("GET", ["actions", id]) => self.asked_for(id.parse().unwrap()),
            ("POST", ["zones", "example.test", "rrsets"]) => self.make(&body),
            (
                "POST",
                [
                    "zones",
                    "example.test",
                    "rrsets",
                    name,
                    rtype,
                    "actions",
                    deed,
                ],
            ) => self.act(&full(name), rtype, deed, &body),
            ("DELETE", ["zones", "example.test", "rrsets", name, rtype]) => {
                let name = full(name);
                self.rows.retain(|it| it.name != name || it.rtype != *rtype);
                self.begun()
            }
            _ => no(404, "not_found", "no such path"),
        }
    }

    fn rows(&mut self) -> &mut Vec<Row> {
        // What was taken is done by the time that anybody looks from outside.
        for row in std::mem::take(&mut self.later) {
            self.rows.push(row);
        }
        &mut self.rows
    }

    fn has_conditions(&self) -> bool {
        false
    }
}

fn desk(stand: &Stand, token: &str) -> Desk {
    Desk::at(Place::Hetzner { url: url(stand) }, token, &PRIMARY)
}

#[tokio::test]
async fn hetzner_is_waited_for_and_read_back() {
    let mut rules = Hetzner::new();
    rules.page = 1;
    let stand = Stand::new(rules).await;
    let mut desk = desk(&stand, TOKEN);
    let there = desk.there().await;
    assert!(desk.is_done(&there), "{there:?}");
    let written = desk.switch(&super::FALLBACK).await;
    assert_eq!(written.ending, Ending::Confirmed, "{}", written.why);
    assert_eq!(stand.others(), ["other.example.test"]);
    // One that is not there is made.
    let written = desk.switch(&["new.example.test 60 A 192.0.2.1"]).await;
    assert_eq!(written.ending, Ending::Confirmed, "{}", written.why);
}

#[tokio::test]
async fn hetzner_is_read_back_whatever_is_lost() {
    let stand = Stand::new(Immediate(Hetzner::new())).await;
    every_provider(&stand, desk(&stand, TOKEN), desk(&stand, "wrong-token")).await;
}

/// The same, where every action is done at once.
struct Immediate(Hetzner);

impl Rules for Immediate {
    fn answer(&mut self, asked: &Asked) -> Says {
        let mut said = self.0.answer(asked);
        let _done = self.0.rows();
        if asked.method != "GET" {
            said.body = said.body.replace("\"running\"", "\"success\"");
        }
        said
    }

    fn rows(&mut self) -> &mut Vec<Row> {
        self.0.rows()
    }

    fn has_conditions(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_secondary_zone_and_an_action_that_fails_are_told() {
    let mut rules = Hetzner::new();
    rules.mode = "secondary";
    let stand = Stand::new(rules).await;
    let mut secondary = desk(&stand, TOKEN);
    let written = secondary
        .switch(&["www.example.test 60 A 198.51.100.1"])
        .await;
    assert_eq!(written.ending, Ending::Refused, "{}", written.why);
    assert!(
        written.why.contains("is a secondary there"),
        "{}",
        written.why
    );
    let findings = secondary.office.look_over().await;
    assert!(
        findings.iter().any(|it| it.what.contains("secondary")),
        "{findings:?}"
    );

    let mut rules = Hetzner::new();
    rules.fails = true;
    let stand = Stand::new(rules).await;
    let mut failing = desk(&stand, TOKEN);
    let written = failing
        .switch(&["www.example.test 60 A 198.51.100.1"])
        .await;
    assert_eq!(written.ending, Ending::Refused, "{}", written.why);
    assert!(written.why.contains("Action failed"), "{}", written.why);
}
