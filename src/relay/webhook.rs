//! Webhooks: a POST of JSON, signed as Standard Webhooks 1.0 describes it, with the notice's id as the message's id.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::{Message, failed, no, silence};
use crate::clock;
use crate::https::{Answer, Ask, Https};
use crate::model::{outbox::Outcome, when::rfc3339, words::Lang};

pub(super) async fn tell(https: &Https, url: &str, secret: &str, it: &Message<'_>) -> Outcome {
    let body = body(it).to_string().into_bytes();
    let ask = signed(url, secret, &it.id.to_string(), body);
    match https.ask(ask).await {
        Ok(answer) if answer.is_good() => Outcome::Accepted,
        Ok(answer) => no(&answer, &says(&answer)),
        Err(error) => silence(error),
    }
}

/// Sends what says of itself that it is a test.
pub(super) async fn check(https: &Https, url: &str, secret: &str) -> Result<String, String> {
    let at = clock::now();
    let body = json!({"version": 1, "kind": "test", "at": rfc3339(at)});
    let id = format!("test.{}", at.0);
    let ask = signed(url, secret, &id, body.to_string().into_bytes());
    let answer = https.ask(ask).await.map_err(failed)?;
    match answer.is_good() {
        true => Ok(format!("{url} took a signed test message")),
        false => Err(format!("HTTP status {}: {}", answer.status, says(&answer))),
    }
}

/// What a program that listens reads. Fields are added, never taken out or given another meaning.
fn body(it: &Message<'_>) -> Value {
    let by_lang = |all: Vec<(Lang, &str)>| -> Value {
        let all = all.into_iter();
        let all: Map<String, Value> = all
            .map(|(lang, it)| (lang.tag().to_owned(), it.into()))
            .collect();
        Value::Object(all)
    };
    let titles = it.told.titles.iter().map(|(lang, it)| (*lang, it.as_str()));
    let texts = it.told.texts.iter().map(|(lang, it)| (*lang, it.as_str()));
    json!({
        "version": 1,
        "kind": if it.told.withdrawn.is_some() {
            "withdrawal"
        } else if it.notice.corrects.is_some() {
            "correction"
        } else {
            "update"
        },
        "from": it.company,
        "incident": it.notice.incident.to_string(),
        "update": it.notice.update,
        "stage": it.told.stage.name(),
        "titles": by_lang(titles.collect()),
        "texts": by_lang(texts.collect()),
        "withdrawn": it.told.withdrawn.as_ref().map(|it| it.as_str()),
        "text": it.plain.text,
        "link": it.link,
        "corrects": it.notice.corrects.map(|it| it.to_string()),
        "at": rfc3339(it.made),
    })
}

pub(super) fn signed(url: &str, secret: &str, id: &str, body: Vec<u8>) -> Ask {
    let at = (clock::now().0 / 1_000).to_string();
    let signature = signature(secret, id, &at, &body);
    Ask {
        method: Method::POST,
        url: url.to_owned(),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", at),
            ("webhook-signature", signature),
        ],
        body,
    }
}

/// `v1,` and HMAC-SHA-256 over id, time and body (Standard Webhooks 1.0, "Signature scheme"). A secret that begins with
/// `whsec_` is base64, any other is taken as it is.
pub fn signature(secret: &str, id: &str, at: &str, body: &[u8]) -> String {
    let encoded = secret.strip_prefix("whsec_");
    let key = encoded.and_then(|it| STANDARD.decode(it).ok());
    let key = key.unwrap_or_else(|| secret.as_bytes().to_vec());
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    context.update(format!("{id}.{at}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign().as_ref()))
}

/// The first line of what was answered, for people.
pub(super) fn says(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let first = text.lines().next().unwrap_or_default().trim();
    match first {
        "" => "no reason is given".to_owned(),
        line => line.chars().take(120).collect(),
    }
}
