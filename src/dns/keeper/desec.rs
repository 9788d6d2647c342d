//! deSEC (`desec.io/api/v1`). All changes are one bulk request, which they do whole or not at all.
//!
//! It has no conditions: what somebody else writes between our look and our request is lost, which is a second or two.
//! Lifetimes have a least value for each domain, an hour for new ones, until they lower it on request.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Finding, NAMES_ASKED_SINGLY, Trouble, Wrote, at_each, names, text};
use crate::https::{Answer, Ask, Failed, Https};
use crate::model::{
    domain::{DomainName, RrSet, RrType},
    keeper::{SetKey, plan::Change},
    limits::KEEPER_PAGES_MAX,
};

/// A lifetime above which a switch is slow, in seconds.
const TTL_SLOW_S: u32 = 300;

/// A domain at deSEC.
pub(super) struct DeSec {
    pub https: Https,
    pub url: String,
    pub zone: DomainName,
    pub token: String,
}

#[derive(Deserialize)]
struct Set {
    subname: String,
    #[serde(rename = "type")]
    rtype: String,
    ttl: u32,
    records: Vec<String>,
}

#[derive(Deserialize)]
struct Domain {
    minimum_ttl: u32,
}

impl DeSec {
    fn ask_for(&self, method: Method, url: String, body: Option<&Value>) -> Ask {
        Ask::with_json(method, url, format!("Token {}", self.token), body)
    }

    fn domain(&self) -> String {
        let name = self.zone.to_string();
        format!(
            "{}/domains/{}/",
            self.url,
            text::encoded(name.trim_end_matches('.'))
        )
    }

    async fn get(&self, url: String) -> Result<Answer, Trouble> {
        let ask = self.ask_for(Method::GET, url, None);
        let answer = self.https.ask(ask).await.map_err(Failed::of_a_question)?;
        if answer.is_good() {
            Ok(answer)
        } else {
            Err(answer.trouble(&says(&answer.body)))
        }
    }

    /// The sets at the names that are asked for: one by one where they are few, else all of the domain, as they take few
    /// requests a minute.
    pub async fn sets(&self, keys: &[SetKey]) -> Result<Vec<RrSet>, Trouble> {
        let names = names(keys);
        if names.len() > NAMES_ASKED_SINGLY {
            let all = self.listed(format!("{}rrsets/", self.domain())).await?;
            return Ok(all
                .into_iter()
                .filter(|it| names.contains(&it.name))
                .collect());
        }
        let at = |name: DomainName| {
            let below = text::encoded(&text::below(&name, &self.zone));
            self.listed(format!("{}rrsets/?subname={below}", self.domain()))
        };
        at_each(keys, at).await
    }

    async fn listed(&self, url: String) -> Result<Vec<RrSet>, Trouble> {
        let mut sets = Vec::new();
        let mut next = Some(url);
        let mut pages = 0;
        while let Some(url) = next {
            pages += 1;
            if pages > KEEPER_PAGES_MAX {
                return Err(Trouble::refused("there are too many sets in the domain"));
            }
            let answer = self.get(url).await?;
            let found: Vec<Set> = serde_json::from_slice(&answer.body)
                .map_err(|it| Trouble::later(format!("it answers what cannot be read: {it}")))?;
            sets.extend(found.iter().filter_map(|it| self.read(it)));
            next = answer.link.as_deref().and_then(|it| self.next(it));
        }
        Ok(sets)
    }

    /// The next page, where there is one; only ever at the same place.
    pub(super) fn next(&self, link: &str) -> Option<String> {
        let next = link.split(',').find(|it| it.contains("rel=\"next\""))?;
        let url = next.split('<').nth(1)?.split('>').next()?;
        url.starts_with(&format!("{}/", self.url))
            .then(|| url.to_owned())
    }

    fn read(&self, set: &Set) -> Option<RrSet> {
        let rtype: RrType = set.rtype.parse().ok()?;
        let data = set
            .records
            .iter()
            .map(|it| text::read(rtype, it, &DomainName::root()));
        Some(RrSet {
            name: text::within(&set.subname, &self.zone)?,
            rtype,
            ttl: set.ttl,
            rdata: data.collect::<Option<_>>()?,
        })
    }

    /// Writes all changes as one bulk request. A set without records is taken away.
    pub async fn write(&self, changes: &[Change]) -> Result<Wrote, Trouble> {
        let sets: Vec<Value> = changes
            .iter()
            .map(|it| {
                let data = it.after.as_ref().map(|it| it.rdata.as_slice());
                let records: Vec<String> = data
                    .unwrap_or_default()
                    .iter()
                    .map(|data| text::shown(it.rtype, data))
                    .collect();
                let ttl = it
                    .after
                    .as_ref()
                    .or(it.before.as_ref())
                    .map_or(0, |it| it.ttl);
                json!({
                    "subname": text::below(&it.name, &self.zone),
                    "type": it.rtype.to_string(),
                    "ttl": ttl,
                    "records": records,
                })
            })
            .collect();
        self.bulk(Method::PUT, sets).await
    }

    /// Writes the lifetime that a set has already, to see whether it may be written.
    pub async fn prove(&self, set: &RrSet) -> Result<Wrote, Trouble> {
        let same = json!({
            "subname": text::below(&set.name, &self.zone),
            "type": set.rtype.to_string(),
            "ttl": set.ttl,
        });
        self.bulk(Method::PATCH, vec![same]).await
    }

    async fn bulk(&self, method: Method, sets: Vec<Value>) -> Result<Wrote, Trouble> {
        let url = format!("{}rrsets/", self.domain());
        let ask = self.ask_for(method, url, Some(&Value::Array(sets)));
        let answer = match self.https.ask(ask).await {
            Ok(answer) => answer,
            Err(Failed::NotSent(why)) => return Err(Trouble::later(why)),
            Err(Failed::Lost(why)) => return Ok(Wrote::Perhaps(why)),
        };
        let trouble = answer.trouble(&says(&answer.body));
        match (answer.is_good(), answer.is_doubtful()) {
            (true, _) => Ok(Wrote::Done),
            (false, true) => Ok(Wrote::Perhaps(trouble.to_string())),
            (false, false) => Err(trouble),
        }
    }

    /// What can be said of it before an emergency.
    pub async fn look_over(&self) -> Vec<Finding> {
        let domain = match self.get(self.domain()).await {
            Ok(answer) => serde_json::from_slice::<Domain>(&answer.body),
            Err(trouble) => {
                return vec![Finding::of(
                    &trouble,
                    "look at the token and the domain's name there",
                )];
            }
        };
        let Ok(domain) = domain else {
            return vec![Finding::bad(
                "it answers what cannot be read",
                "look at the URL",
            )];
        };
        let mut found = vec![Finding::good("the token is good and sees the domain")];
        if domain.minimum_ttl > TTL_SLOW_S {
            found.push(Finding::bad(
                format!(
                    "the domain takes no lifetime below {} s, so resolvers keep the old address that long",
                    domain.minimum_ttl
                ),
                "ask their support for a smaller least TTL, and give the targets' records at least what it is",
            ));
        }
        found
    }
}

/// What they say went wrong: `detail`, or the messages of each set.
fn says(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(map)) if map.contains_key("detail") => {
            map["detail"].as_str().unwrap_or_default().to_owned()
        }
        Ok(value @ (Value::Object(_) | Value::Array(_))) => {
            value.to_string().chars().take(200).collect()
        }
        _ => "no reason is given".to_owned(),
    }
}
