//! Cloudflare (API v4, `api.cloudflare.com/client/v4`). All changes are one batch, which is one transaction of theirs.
//!
//! A batch has no conditions: what somebody else writes between our look and our batch is lost, which is a second or two.
//! Records that are changed keep their id, and with it whether Cloudflare's own proxy stands before them.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Finding, Trouble, Wrote, at_each, gather, text, unchanged};
use crate::https::{Answer, Ask, Failed, Https};
use crate::model::{
    domain::{DomainName, Rdata, RrSet, RrType},
    keeper::{SetKey, plan::Change},
    limits::KEEPER_PAGES_MAX,
};

/// Records of one page.
const PER_PAGE: usize = 100;
/// Their lifetime of "automatic".
const AUTOMATIC: u32 = 1;
/// What that is, in seconds.
const AUTOMATIC_S: u32 = 300;
/// The shortest lifetime that every plan takes, in seconds.
const TTL_LEAST_S: u32 = 60;

/// A zone at Cloudflare.
pub(super) struct Cloudflare {
    pub https: Https,
    pub url: String,
    pub zone: DomainName,
    pub zone_id: Option<String>,
    pub token: String,
}

#[derive(Deserialize)]
struct Envelope {
    success: bool,
    #[serde(default)]
    errors: Vec<Said>,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    result_info: Option<Pages>,
}

#[derive(Deserialize)]
struct Said {
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Pages {
    #[serde(default)]
    total_pages: usize,
}

#[derive(Deserialize)]
struct Zone {
    id: String,
    name: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    permissions: Vec<String>,
}

/// One record as they have it.
#[derive(Clone, Debug, Deserialize)]
struct Record {
    id: String,
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    content: String,
    ttl: u32,
    #[serde(default)]
    priority: Option<u32>,
    #[serde(default)]
    proxied: bool,
}

impl Record {
    /// The record in our words; nothing when it is of a type or in a form that is not known here.
    fn read(&self) -> Option<((DomainName, RrType), Rdata)> {
        let name: DomainName = self.name.parse().ok()?;
        let rtype: RrType = self.rtype.parse().ok()?;
        let content = match (rtype, self.priority) {
            (RrType::MX, Some(priority)) => format!("{priority} {}", self.content),
            (RrType::SRV, Some(priority)) if self.content.split_whitespace().count() == 3 => {
                format!("{priority} {}", self.content)
            }
            (RrType::TXT, _) if !self.content.starts_with('"') => quoted(&self.content),
            _ => self.content.clone(),
        };
        let data = text::read(rtype, &content, &DomainName::root())?;
        Some(((name, rtype), data))
    }

    fn ttl(&self) -> u32 {
        match self.ttl {
            AUTOMATIC => AUTOMATIC_S,
            other => other,
        }
    }
}

fn quoted(content: &str) -> String {
    let inside = content.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{inside}\"")
}

/// A record's data in their words.
fn written(rtype: RrType, data: &Rdata) -> Value {
    let shown = text::shown(rtype, data);
    let bare = |name: &str| name.trim_end_matches('.').to_owned();
    let parts: Vec<&str> = shown.split_whitespace().collect();
    let number = |at: usize| {
        parts
            .get(at)
            .and_then(|it| it.parse::<u32>().ok())
            .unwrap_or(0)
    };
    let word = |at: usize| parts.get(at).copied().unwrap_or_default();
    match rtype {
        RrType::CNAME => json!({ "content": bare(&shown) }),
        RrType::MX => json!({ "content": bare(word(1)), "priority": number(0) }),
        RrType::SRV => json!({ "data": {
            "priority": number(0), "weight": number(1), "port": number(2), "target": bare(word(3)),
        } }),
        RrType::SVCB | RrType::HTTPS => json!({ "data": {
            "priority": number(0), "target": word(1), "value": parts.get(2..).unwrap_or_default().join(" "),
        } }),
        RrType::CAA => json!({ "data": {
            "flags": number(0), "tag": word(1),
            "value": parts.get(2..).unwrap_or_default().join(" ").trim_matches('"'),
        } }),
        _ => json!({ "content": shown }),
    }
}

impl Cloudflare {
    fn ask_for(&self, method: Method, path: &str, body: Option<&Value>) -> Ask {
        let said = format!("Bearer {}", self.token);
        Ask::with_json(method, format!("{}{path}", self.url), said, body)
    }

    async fn get(&self, path: &str) -> Result<Envelope, Trouble> {
        let ask = self.ask_for(Method::GET, path, None);
        let answer = self.https.ask(ask).await.map_err(Failed::of_a_question)?;
        read(&answer)
    }

    /// The zone's id, looked up by name where it was not given.
    async fn zone_id(&self) -> Result<String, Trouble> {
        match &self.zone_id {
            Some(id) => Ok(id.clone()),
            None => Ok(self.look_up().await?.id),
        }
    }

    async fn look_up(&self) -> Result<Zone, Trouble> {
        let name = self.zone.to_string();
        let name = name.trim_end_matches('.');
        let found = self
            .get(&format!("/zones?name={}", text::encoded(name)))
            .await?;
        let zones: Vec<Zone> = understood(found.result)?;
        let zone = zones
            .into_iter()
            .find(|it| it.name.eq_ignore_ascii_case(name));
        zone.ok_or_else(|| {
            Trouble::refused(format!(
                "the token sees no zone {name}: it needs Zone Read there, or the keeper its zone-id"
            ))
        })
    }

    async fn records(&self, zone_id: &str, keys: &[SetKey]) -> Result<Vec<Record>, Trouble> {
        at_each(keys, |name| self.records_at(zone_id, name)).await
    }

    async fn records_at(&self, zone_id: &str, name: DomainName) -> Result<Vec<Record>, Trouble> {
        let mut all = Vec::new();
        let name = name.to_string();
        let name = text::encoded(name.trim_end_matches('.'));
        let mut page = 1;
        loop {
            let path =
                format!("/zones/{zone_id}/dns_records?name={name}&per_page={PER_PAGE}&page={page}");
            let found = self.get(&path).await?;
            let pages = found.result_info.map_or(1, |it| it.total_pages);
            let records: Vec<Record> = understood(found.result)?;
            all.extend(records);
            page += 1;
            if page > pages {
                return Ok(all);
            }
            if page > KEEPER_PAGES_MAX {
                return Err(Trouble::refused(format!(
                    "there are too many records at {name}"
                )));
            }
        }
    }

    /// The sets at the names that are asked for.
    pub async fn sets(&self, keys: &[SetKey]) -> Result<Vec<RrSet>, Trouble> {
        let zone_id = self.zone_id().await?;
        Ok(sets_of(&self.records(&zone_id, keys).await?))
    }

    /// Writes all changes as one batch.
    pub async fn write(&self, changes: &[Change]) -> Result<Wrote, Trouble> {
        let zone_id = self.zone_id().await?;
        let keys: Vec<SetKey> = changes
            .iter()
            .map(|it| (it.name.clone(), it.rtype))
            .collect();
        let there = self.records(&zone_id, &keys).await?;
        unchanged(changes, &sets_of(&there))?;
        let batch = batch(changes, &there)?;
        self.batched(&zone_id, &batch).await
    }

    async fn batched(&self, zone_id: &str, batch: &Value) -> Result<Wrote, Trouble> {
        let path = format!("/zones/{zone_id}/dns_records/batch");
        let ask = self.ask_for(Method::POST, &path, Some(batch));
        let answer = match self.https.ask(ask).await {
            Ok(answer) => answer,
            Err(Failed::NotSent(why)) => return Err(Trouble::later(why)),
            Err(Failed::Lost(why)) => return Ok(Wrote::Perhaps(why)),
        };
        match read(&answer) {
            Ok(_) => Ok(Wrote::Done),
            Err(trouble) if answer.is_doubtful() => Ok(Wrote::Perhaps(trouble.to_string())),
            Err(trouble) => Err(trouble),
        }
    }

    /// Writes the lifetime that a set has already, to see whether it may be written.
    pub async fn prove(&self, set: &RrSet) -> Result<Wrote, Trouble> {
        let zone_id = self.zone_id().await?;
        let there = self.records_at(&zone_id, set.name.clone()).await?;
        let key = (set.name.clone(), set.rtype);
        let own = there
            .iter()
            .filter(|it| it.read().is_some_and(|it| it.0 == key));
        let patches: Vec<Value> = own
            .map(|it| json!({ "id": it.id, "ttl": it.ttl }))
            .collect();
        self.batched(&zone_id, &json!({ "patches": patches })).await
    }

    /// What can be said of it before an emergency.
    pub async fn look_over(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        match self.look_up().await {
            Ok(zone) => {
                found.push(Finding::good(format!(
                    "the token is good and sees the zone {}",
                    zone.name
                )));
                if zone.status != "active" {
                    found.push(Finding::bad(
                        format!("the zone is {}, not active", zone.status),
                        "nobody is sent there yet: look at its name servers at the registrar",
                    ));
                }
                let may = |it: &&String| it.as_str() == "#dns_records:edit";
                if !zone.permissions.is_empty() && zone.permissions.iter().find(may).is_none() {
                    found.push(Finding::bad(
                        "the token may not change records",
                        "give it Zone DNS Edit for this zone",
                    ));
                }
            }
            Err(trouble) if self.zone_id.is_none() => {
                found.push(Finding::of(
                    &trouble,
                    "look at the token and its rights: Zone Read and DNS Edit",
                ));
            }
            Err(_) => found.push(Finding::good(
                "the zone's id is given, and is not looked up",
            )),
        }
        found
    }
}

fn sets_of(records: &[Record]) -> Vec<RrSet> {
    let mut sets = Vec::new();
    for record in records {
        if let Some((key, data)) = record.read() {
            gather(&mut sets, key, record.ttl(), data);
        }
    }
    sets
}

/// The batch that makes the changes of what is there: records that are changed keep their id.
fn batch(changes: &[Change], there: &[Record]) -> Result<Value, Trouble> {
    let (mut deletes, mut patches, mut posts) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let mut own: Vec<(&Record, Rdata)> = there
            .iter()
            .filter_map(|it| it.read().map(|(key, data)| (it, key, data)))
            .filter(|(_, key, _)| key.0 == change.name && key.1 == change.rtype)
            .map(|(record, _, data)| (record, data))
            .collect();
        let proxied = own.iter().any(|it| it.0.proxied);
        let after = change.after.as_ref();
        let wanted = after.map(|it| it.rdata.as_slice()).unwrap_or_default();
        let ttl = after.map_or(0, |it| it.ttl).max(TTL_LEAST_S);
        // First those that stay as they are, then any for any.
        let mut left: Vec<&Rdata> = Vec::new();
        for data in wanted {
            let mut same = own.iter();
            let at = same.position(|it| same_text(change.rtype, &it.1, data));
            match at.map(|at| own.remove(at)) {
                Some((record, _)) if record.proxied || record.ttl == ttl => {}
                Some((record, _)) => patches.push(json!({ "id": record.id, "ttl": ttl })),
                None => left.push(data),
            }
        }
        for data in left {
            let mut value = written(change.rtype, data);
            match own.pop() {
                Some((record, _)) => {
                    value["id"] = json!(record.id);
                    // Of a record behind their proxy the lifetime is theirs.
                    if !record.proxied {
                        value["ttl"] = json!(ttl);
                    }
                    patches.push(value);
                }
                None => {
                    let name = change.name.to_string();
                    value["name"] = json!(name.trim_end_matches('.'));
                    value["type"] = json!(change.rtype.to_string());
                    value["ttl"] = json!(if proxied { AUTOMATIC } else { ttl });
                    if proxied {
                        value["proxied"] = json!(true);
                    }
                    posts.push(value);
                }
            }
        }
        deletes.extend(own.iter().map(|it| json!({ "id": it.0.id })));
    }
    Ok(json!({ "deletes": deletes, "patches": patches, "posts": posts }))
}

fn same_text(rtype: RrType, one: &Rdata, other: &Rdata) -> bool {
    one == other || text::shown(rtype, one).eq_ignore_ascii_case(&text::shown(rtype, other))
}

fn read(answer: &Answer) -> Result<Envelope, Trouble> {
    let envelope: Result<Envelope, _> = serde_json::from_slice(&answer.body);
    match envelope {
        Ok(envelope) if envelope.success && answer.is_good() => Ok(envelope),
        Ok(envelope) => {
            let says: Vec<String> = envelope
                .errors
                .iter()
                .take(3)
                .map(|it| format!("{} (code {})", it.message, it.code))
                .collect();
            Err(answer.trouble(&says.join("; ")))
        }
        Err(_) if answer.is_good() => Err(Trouble::later("it answers what cannot be read")),
        Err(_) => Err(answer.trouble("no reason is given")),
    }
}

fn understood<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, Trouble> {
    serde_json::from_value(value)
        .map_err(|it| Trouble::later(format!("it answers what cannot be read: {it}")))
}
