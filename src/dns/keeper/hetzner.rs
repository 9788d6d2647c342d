//! Hetzner (`api.hetzner.cloud/v1`, zones and RRSets). Each set is an action of its own that they do a moment later; it
//! is waited for before anything is read back.
//!
//! It has neither conditions nor one request for several sets: a visit that breaks in the middle leaves some written and
//! some not, and the next one goes on. What somebody else writes between our look and our request is lost.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Finding, Trouble, Wrote, at_each, text};
use crate::clock;
use crate::https::{Answer, Ask, Failed, Https};
use crate::model::{
    domain::{DomainName, RrSet, RrType},
    keeper::{SetKey, plan::Change},
    limits::{KEEPER_PAGES_MAX, KEEPER_SYNC_EVERY_MS, KEEPER_SYNC_MS},
};

/// Sets of one page.
const PER_PAGE: usize = 50;
/// The lifetime of a zone that says none, in seconds.
const TTL_S: u32 = 3_600;

/// A zone at Hetzner.
pub(super) struct Hetzner {
    pub https: Https,
    pub url: String,
    pub zone: DomainName,
    pub token: String,
}

#[derive(Deserialize)]
struct Zone {
    #[serde(default)]
    ttl: Option<u32>,
    #[serde(default)]
    mode: String,
}

#[derive(Deserialize)]
struct Set {
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    #[serde(default)]
    ttl: Option<u32>,
    records: Vec<Value>,
    #[serde(default)]
    protection: Protection,
}

#[derive(Default, Deserialize)]
struct Protection {
    #[serde(default)]
    change: bool,
}

#[derive(Deserialize)]
struct Action {
    id: u64,
    status: String,
    #[serde(default)]
    error: Option<Said>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Hetzner {
    fn ask_for(&self, method: Method, path: &str, body: Option<&Value>) -> Ask {
        let said = format!("Bearer {}", self.token);
        Ask::with_json(method, format!("{}{path}", self.url), said, body)
    }

    fn zone_path(&self) -> String {
        let name = self.zone.to_string();
        format!("/zones/{}", text::encoded(name.trim_end_matches('.')))
    }

    /// The name of a set in a path: below the zone, in small letters, `@` for the zone's own.
    fn name_of(&self, name: &DomainName) -> String {
        match text::below(name, &self.zone) {
            own if own.is_empty() => "@".to_owned(),
            below => below,
        }
    }

    async fn get(&self, path: &str) -> Result<Value, Trouble> {
        let ask = self.ask_for(Method::GET, path, None);
        let answer = self.https.ask(ask).await.map_err(Failed::of_a_question)?;
        if !answer.is_good() {
            return Err(answer.trouble(&says(&answer)));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|it| Trouble::later(format!("it answers what cannot be read: {it}")))
    }

    async fn zone(&self) -> Result<Zone, Trouble> {
        let mut found = self.get(&self.zone_path()).await?;
        understood(found["zone"].take())
    }

    async fn listed(&self, name: DomainName) -> Result<Vec<Set>, Trouble> {
        let mut sets = Vec::new();
        let mut page = Some(1);
        while let Some(number) = page {
            if number > KEEPER_PAGES_MAX as u64 {
                return Err(Trouble::refused(format!(
                    "there are too many sets at {name}"
                )));
            }
            let path = format!(
                "{}/rrsets?name={}&page={number}&per_page={PER_PAGE}",
                self.zone_path(),
                text::encoded(&self.name_of(&name))
            );
            let mut found = self.get(&path).await?;
            page = found["meta"]["pagination"]["next_page"].as_u64();
            let more: Vec<Set> = understood(found["rrsets"].take())?;
            sets.extend(more);
        }
        Ok(sets)
    }

    /// The sets at the names that are asked for.
    pub async fn sets(&self, keys: &[SetKey]) -> Result<Vec<RrSet>, Trouble> {
        let zone = self.zone().await?;
        let sets = at_each(keys, |name| self.listed(name)).await?;
        let ttl = zone.ttl.unwrap_or(TTL_S);
        Ok(sets.iter().filter_map(|it| self.read(it, ttl)).collect())
    }

    fn read(&self, set: &Set, ttl: u32) -> Option<RrSet> {
        let rtype: RrType = set.rtype.parse().ok()?;
        let values = set.records.iter().map(|it| it["value"].as_str());
        // Their names without a final dot are within the zone.
        let data = values.map(|it| text::read(rtype, it?, &self.zone));
        Some(RrSet {
            name: text::within(&set.name, &self.zone)?,
            rtype,
            ttl: set.ttl.unwrap_or(ttl),
            rdata: data.collect::<Option<_>>()?,
        })
    }

    /// Writes one set after the other; what goes away goes first.
    pub async fn write(&self, changes: &[Change]) -> Result<Wrote, Trouble> {
        let until = clock::monotonic() + Duration::from_millis(KEEPER_SYNC_MS);
        let (gone, stay): (Vec<&Change>, Vec<&Change>) =
            changes.iter().partition(|it| it.after.is_none());
        let mut running = Vec::new();
        let mut perhaps = None;
        for (done, change) in gone.into_iter().chain(stay).enumerate() {
            for ask in self.asks(change) {
                match self.act(ask).await {
                    Ok(action) => running.extend(action),
                    Err(Doubt::Lost(why)) => perhaps = Some(why),
                    // Some are written already: what is there is to be looked at.
                    Err(Doubt::Trouble(trouble)) if done > 0 => {
                        return Ok(Wrote::Perhaps(trouble.to_string()));
                    }
                    Err(Doubt::Trouble(trouble)) => return Err(trouble),
                }
            }
        }
        for action in running {
            self.done(action, until).await?;
        }
        Ok(perhaps.map_or(Wrote::Done, Wrote::Perhaps))
    }

    /// Writes the lifetime that a set has already, to see whether it may be written.
    pub async fn prove(&self, set: &RrSet) -> Result<Wrote, Trouble> {
        let path = format!(
            "{}/rrsets/{}/{}/actions/change_ttl",
            self.zone_path(),
            text::encoded(&self.name_of(&set.name)),
            set.rtype
        );
        let ask = self.ask_for(Method::POST, &path, Some(&json!({ "ttl": set.ttl })));
        match self.act(ask).await {
            Ok(_) => Ok(Wrote::Done),
            Err(Doubt::Lost(why)) => Ok(Wrote::Perhaps(why)),
            Err(Doubt::Trouble(trouble)) => Err(trouble),
        }
    }

    /// What makes one change: a set that is there has its records and its lifetime set, one that is not is made.
    fn asks(&self, change: &Change) -> Vec<Ask> {
        let name = self.name_of(&change.name);
        let set = format!(
            "{}/rrsets/{}/{}",
            self.zone_path(),
            text::encoded(&name),
            change.rtype
        );
        let Some(after) = &change.after else {
            return vec![self.ask_for(Method::DELETE, &set, None)];
        };
        let records: Vec<Value> = after
            .rdata
            .iter()
            .map(|it| json!({ "value": text::shown(change.rtype, it) }))
            .collect();
        let Some(before) = &change.before else {
            let made = json!({
                "name": name, "type": change.rtype.to_string(), "ttl": after.ttl, "records": records,
            });
            let path = format!("{}/rrsets", self.zone_path());
            return vec![self.ask_for(Method::POST, &path, Some(&made))];
        };
        let mut asks = Vec::new();
        // The records first: they are what the emergency is about.
        if before.rdata != after.rdata {
            let path = format!("{set}/actions/set_records");
            let body = json!({ "records": records });
            asks.push(self.ask_for(Method::POST, &path, Some(&body)));
        }
        if before.ttl != after.ttl {
            let path = format!("{set}/actions/change_ttl");
            let body = json!({ "ttl": after.ttl });
            asks.push(self.ask_for(Method::POST, &path, Some(&body)));
        }
        asks
    }

    async fn act(&self, ask: Ask) -> Result<Option<Action>, Doubt> {
        let answer = match self.https.ask(ask).await {
            Ok(answer) => answer,
            Err(Failed::NotSent(why)) => return Err(Doubt::Trouble(Trouble::later(why))),
            Err(Failed::Lost(why)) => return Err(Doubt::Lost(why)),
        };
        if !answer.is_good() {
            let trouble = answer.trouble(&says(&answer));
            return Err(if answer.is_doubtful() {
                Doubt::Lost(trouble.to_string())
            } else {
                Doubt::Trouble(trouble)
            });
        }
        let mut value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(serde_json::from_value(value["action"].take()).ok())
    }

    /// Waits until they have done it.
    async fn done(&self, action: Action, until: tokio::time::Instant) -> Result<(), Trouble> {
        let mut action = action;
        loop {
            match action.status.as_str() {
                "success" => return Ok(()),
                "error" => {
                    let said = action.error.as_ref();
                    let says =
                        said.map_or_else(String::new, |it| format!("{} ({})", it.message, it.code));
                    return Err(Trouble::refused(format!("it could not do it: {says}")));
                }
                _ if clock::monotonic() > until => {
                    return Err(Trouble::later("it does not say in time that it is done"));
                }
                _ => {}
            }
            sleep(Duration::from_millis(KEEPER_SYNC_EVERY_MS)).await;
            let mut found = self.get(&format!("/actions/{}", action.id)).await?;
            action = understood(found["action"].take())?;
        }
    }

    /// What can be said of it before an emergency.
    pub async fn look_over(&self) -> Vec<Finding> {
        let zone = match self.zone().await {
            Ok(zone) => zone,
            Err(trouble) => {
                return vec![Finding::of(
                    &trouble,
                    "look at the token (it must be of the zone's project, with read and write) and the zone's name",
                )];
            }
        };
        let mut found = vec![Finding::good("the token is good and sees the zone")];
        if zone.mode == "secondary" {
            found.push(Finding::bad(
                "the zone is a secondary there and takes no changes",
                "write at its primary, with a keeper of its own",
            ));
        }
        match self.listed(self.zone.clone()).await {
            Ok(sets) => {
                let locked = sets.iter().filter(|it| it.protection.change);
                for set in locked {
                    found.push(Finding::bad(
                        format!("{} {} is protected from changes there", set.name, set.rtype),
                        "take the protection off, if a service has it",
                    ));
                }
            }
            Err(trouble) => found.push(Finding::of(&trouble, "look at the token's rights")),
        }
        found
    }
}

/// Why an action is not known to be under way.
enum Doubt {
    Lost(String),
    Trouble(Trouble),
}

fn says(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Wrong {
        error: Said,
    }
    match serde_json::from_slice::<Wrong>(&answer.body) {
        Ok(Wrong { error }) if error.code == "incorrect_zone_mode" => {
            format!(
                "{} ({}): the zone is a secondary there",
                error.message, error.code
            )
        }
        Ok(Wrong { error }) => format!("{} ({})", error.message, error.code),
        Err(_) => "no reason is given".to_owned(),
    }
}

fn understood<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, Trouble> {
    serde_json::from_value(value)
        .map_err(|it| Trouble::later(format!("it answers what cannot be read: {it}")))
}
