//! Amazon Route 53 (API 2013-04-01). All changes are one batch, done whole or not at all, and a change is made of the
//! removal of exactly what is there and the making of what shall be: if somebody else was quicker, the batch is refused.
//!
//! A batch that is taken is pending until all their name servers have it; that is waited for, and then read back.

use std::time::Duration;

use hyper::Method;
use tokio::time::sleep;

use super::sigv4::{self, Signed};
use super::xml::{Element, escaped};
use super::{Finding, NAMES_ASKED_SINGLY, Trouble, Wrote, names, text};
use crate::clock;
use crate::https::{Answer, Ask, Failed, Https};
use crate::model::{
    domain::{DomainName, RrSet, RrType},
    keeper::{SetKey, plan::Change},
    limits::{KEEPER_PAGES_MAX, KEEPER_SYNC_EVERY_MS, KEEPER_SYNC_MS},
};

const VERSION: &str = "/2013-04-01";
/// Sets of one page, as many as they give.
const PER_PAGE: usize = 300;
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// A hosted zone at Route 53.
pub(super) struct Route53 {
    pub https: Https,
    pub url: String,
    pub zone: DomainName,
    pub zone_id: String,
    pub access_key: String,
    pub secret_key: String,
}

impl Route53 {
    fn ask_for(&self, method: Method, path: &str, query: &str, body: Vec<u8>) -> Ask {
        let path = format!("{VERSION}{path}");
        let rest = self.url.split("://").nth(1).unwrap_or_default();
        let (host, before) = rest.split_once('/').unwrap_or((rest, ""));
        let whole = match before {
            "" => path,
            before => format!("/{before}{path}"),
        };
        let signer = sigv4::Signer {
            access_key: &self.access_key,
            secret_key: &self.secret_key,
            region: "us-east-1",
            service: "route53",
        };
        let signed = Signed {
            method: method.as_str(),
            host,
            path: &whole,
            query,
            headers: &[],
            body: &body,
        };
        let (date, authorization) = sigv4::sign(&signer, &signed, clock::now());
        let scheme = self.url.split("://").next().unwrap_or("https");
        let mark = if query.is_empty() { "" } else { "?" };
        let mut headers = vec![("x-amz-date", date), ("authorization", authorization)];
        if !body.is_empty() {
            headers.push(("content-type", "application/xml".to_owned()));
        }
        Ask {
            method,
            url: format!("{scheme}://{host}{whole}{mark}{query}"),
            headers,
            body,
        }
    }

    async fn get(&self, path: &str, query: &str) -> Result<Element, Trouble> {
        let ask = self.ask_for(Method::GET, path, query, Vec::new());
        let answer = self.https.ask(ask).await.map_err(Failed::of_a_question)?;
        understood(&answer)
    }

    /// The sets at the names that are asked for: one name after the other where they are few, else all of the zone, as
    /// they take five requests a second.
    pub async fn sets(&self, keys: &[SetKey]) -> Result<Vec<RrSet>, Trouble> {
        let names = names(keys);
        if names.len() > NAMES_ASKED_SINGLY {
            return self
                .listed(&self.zone, |it| names.contains(it), false)
                .await;
        }
        let mut sets = Vec::new();
        for name in &names {
            sets.extend(self.listed(name, |it| it == name, true).await?);
        }
        Ok(sets)
    }

    /// The sets of some names, from one on. Sets come in the order of names, the zone's own first.
    async fn listed(
        &self,
        first: &DomainName,
        wanted: impl Fn(&DomainName) -> bool,
        only_first: bool,
    ) -> Result<Vec<RrSet>, Trouble> {
        let path = format!("/hostedzone/{}/rrset", self.zone_id);
        let mut sets = Vec::new();
        let mut from = Some((first.to_string(), None::<String>));
        let mut pages = 0;
        while let Some((at, rtype)) = from.take() {
            pages += 1;
            if pages > KEEPER_PAGES_MAX {
                return Err(Trouble::refused("there are too many sets in the zone"));
            }
            // Their signature wants the parts of a query in order.
            let mut query = format!("maxitems={PER_PAGE}&name={}", text::encoded(&at));
            if let Some(rtype) = &rtype {
                query.push_str(&format!("&type={}", text::encoded(rtype)));
            }
            let page = self.get(&path, &query).await?;
            let list = page.at(&["ResourceRecordSets"]);
            for it in list.iter().flat_map(|it| it.all("ResourceRecordSet")) {
                if named(it).is_some_and(|it| wanted(&it)) {
                    sets.extend(read(it)?);
                }
            }
            let next = page.text(&["NextRecordName"]);
            // The rest is of other names as soon as one is.
            let more = page.text(&["IsTruncated"]) == Some("true")
                && (!only_first || next.and_then(unescaped).as_ref() == Some(first));
            if more {
                let rtype = page.text(&["NextRecordType"]).map(str::to_owned);
                from = next.map(|it| (it.to_owned(), rtype));
            }
        }
        Ok(sets)
    }

    /// Writes all changes as one batch, and waits until their name servers have it.
    pub async fn write(&self, changes: &[Change]) -> Result<Wrote, Trouble> {
        let path = format!("/hostedzone/{}/rrset", self.zone_id);
        let ask = self.ask_for(Method::POST, &path, "", batch(changes).into_bytes());
        let answer = match self.https.ask(ask).await {
            Ok(answer) => answer,
            Err(Failed::NotSent(why)) => return Err(Trouble::later(why)),
            Err(Failed::Lost(why)) => return Ok(Wrote::Perhaps(why)),
        };
        let said = match understood(&answer) {
            Ok(said) => said,
            Err(trouble) if answer.is_doubtful() => return Ok(Wrote::Perhaps(trouble.to_string())),
            Err(trouble) => return Err(trouble),
        };
        let info = said.at(&["ChangeInfo"]);
        let mut status = info.and_then(|it| it.text(&["Status"])).map(str::to_owned);
        let id = info.and_then(|it| it.text(&["Id"])).unwrap_or_default();
        let path = format!(
            "/change/{}",
            text::encoded(id.trim_start_matches("/change/"))
        );
        let until = clock::monotonic() + Duration::from_millis(KEEPER_SYNC_MS);
        while status.as_deref() != Some("INSYNC") {
            if clock::monotonic() > until {
                let why = "it is taken, and not all their name servers have it yet";
                return Ok(Wrote::Perhaps(why.to_owned()));
            }
            sleep(Duration::from_millis(KEEPER_SYNC_EVERY_MS)).await;
            status = match self.get(&path, "").await {
                Ok(said) => said.text(&["ChangeInfo", "Status"]).map(str::to_owned),
                // Taken it is; not being able to ask how far it is does not undo that.
                Err(trouble) => return Ok(Wrote::Perhaps(trouble.to_string())),
            };
        }
        Ok(Wrote::Done)
    }

    /// What can be said of it before an emergency.
    pub async fn look_over(&self) -> Vec<Finding> {
        match self.get(&format!("/hostedzone/{}", self.zone_id), "").await {
            Ok(said) => {
                let name = said.text(&["HostedZone", "Name"]).unwrap_or_default();
                if unescaped(name).as_ref() == Some(&self.zone) {
                    vec![Finding::good(
                        "the access key is good and sees the hosted zone",
                    )]
                } else {
                    vec![Finding::bad(
                        format!(
                            "the hosted zone {} is {name}, not {}",
                            self.zone_id, self.zone
                        ),
                        "give the id of the right hosted zone",
                    )]
                }
            }
            Err(trouble) => vec![Finding::of(
                &trouble,
                "look at the access key, its policy (route53:GetHostedZone) and the hosted zone's id",
            )],
        }
    }
}

fn batch(changes: &[Change]) -> String {
    let mut body = String::new();
    let mut put = |action: &str, set: &RrSet| {
        let records: String = set
            .rdata
            .iter()
            .map(|it| {
                let value = escaped(&text::shown(set.rtype, it));
                format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>")
            })
            .collect();
        let name = escaped(&set.name.to_string());
        body.push_str(&format!(
            "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>{}</Type><TTL>{}</TTL><ResourceRecords>{records}</ResourceRecords></ResourceRecordSet></Change>",
            set.rtype, set.ttl
        ));
    };
    for set in changes.iter().filter_map(|it| it.before.as_ref()) {
        put("DELETE", set);
    }
    for set in changes.iter().filter_map(|it| it.after.as_ref()) {
        put("CREATE", set);
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\"><ChangeBatch><Comment>Lifeboat</Comment><Changes>{body}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    )
}

fn named(set: &Element) -> Option<DomainName> {
    unescaped(set.text(&["Name"])?)
}

/// They write unusual characters as a backslash and three octal digits, the asterisk among them.
fn unescaped(text: &str) -> Option<DomainName> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = u8::from_str_radix(rest.get(at + 1..at + 4)?, 8).ok()?;
        out.push_str(&format!("\\{code:03}"));
        rest = &rest[at + 4..];
    }
    out.push_str(rest);
    out.parse().ok()
}

fn read(set: &Element) -> Result<Option<RrSet>, Trouble> {
    let Some((name, rtype)) = named(set).zip(set.text(&["Type"])) else {
        return Ok(None);
    };
    let odd = if set.at(&["AliasTarget"]).is_some() {
        Some("is an alias of theirs")
    } else if set.at(&["SetIdentifier"]).is_some() {
        Some("is one of several that they choose from")
    } else {
        None
    };
    if let Some(odd) = odd {
        return Err(Trouble::refused(format!(
            "{name} {rtype} {odd}: make it a simple set of records, or the service leave it out"
        )));
    }
    let Ok(rtype) = rtype.parse::<RrType>() else {
        return Ok(None);
    };
    let records = set.at(&["ResourceRecords"]);
    let values = records.iter().flat_map(|it| it.all("ResourceRecord"));
    let data: Option<Vec<_>> = values
        .map(|it| text::read(rtype, it.text(&["Value"])?, &DomainName::root()))
        .collect();
    let ttl = set.text(&["TTL"]).and_then(|it| it.parse().ok());
    Ok(data.zip(ttl).map(|(rdata, ttl)| RrSet {
        name,
        rtype,
        ttl,
        rdata,
    }))
}

fn understood(answer: &Answer) -> Result<Element, Trouble> {
    let read = Element::read(&answer.body);
    let read = read.filter(|it| !answer.is_good() || it.name() != "ErrorResponse");
    match read {
        Some(read) if answer.is_good() => Ok(read),
        None if answer.is_good() => Err(Trouble::later("it answers what cannot be read")),
        Some(read) => Err(said_no(answer, &read)),
        None => Err(answer.trouble("no reason is given")),
    }
}

fn said_no(answer: &Answer, said: &Element) -> Trouble {
    let code = said.text(&["Error", "Code"]).unwrap_or_default();
    let message = match said.name() {
        "InvalidChangeBatch" => said.text(&["Messages", "Message"]),
        _ => said.text(&["Error", "Message"]),
    };
    let message = message.unwrap_or_default();
    let meant_later = matches!(
        code,
        "Throttling" | "ThrottlingException" | "PriorRequestNotComplete" | "ServiceUnavailable"
    );
    if meant_later {
        return Trouble::TryLater {
            why: format!("{message} ({code})"),
            rest_ms: answer.rest_ms,
        };
    }
    if message.contains("but it was not found") || message.contains("values provided do not match")
    {
        return Trouble::refused(format!(
            "somebody else changed it meanwhile; nothing was written: {message}"
        ));
    }
    answer.trouble(&format!("{message} ({code})"))
}
