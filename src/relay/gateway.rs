//! Gateways: a message for one person through whoever sells SMS, calls or pushes. One HTTPS request from a template, in
//! which `{to}`, `{text}`, `{key}` and `{secret}` stand for address, words, the try's own key, and the gateway's secret.

use hyper::Method;

use super::{failed, matrix, no, silence, webhook};
use crate::clock;
use crate::https::{Answer, Ask, Https};
use crate::model::{
    outbox::Outcome,
    waking::{GatewayFacts, Means, Template},
    words::Note,
};

/// A message for one person.
pub(super) struct Message<'a> {
    pub to: &'a str,
    pub text: &'a str,
    /// The same at each repeat of this try.
    pub key: &'a str,
}

/// Has a gateway take a message.
pub(super) async fn send(
    https: &Https,
    facts: &GatewayFacts,
    secret: &str,
    it: &Message<'_>,
) -> Outcome {
    match &facts.means {
        Means::Matrix { url } => {
            let room = (url.as_str(), it.to);
            matrix::say(https, room, secret, it.key, it.text).await
        }
        Means::Http {
            method,
            url,
            headers,
            body,
            signed,
        } => {
            let (ask, headers) = filled(
                (
                    method.as_str(),
                    url.as_str(),
                    body.as_ref().map_or("", Template::as_str),
                ),
                (headers, *signed),
                secret,
                it,
            );
            match https.ask_with(ask, &headers).await {
                Ok(answer) if answer.is_good() => Outcome::Accepted,
                Ok(answer) => no(&answer, &says(&answer)),
                Err(error) => silence(error),
            }
        }
    }
}

/// Why a gateway would take nothing, as far as that can be asked without sending anything.
pub(super) async fn check(
    https: &Https,
    facts: &GatewayFacts,
    secret: &str,
) -> Result<String, String> {
    match &facts.means {
        Means::Matrix { url } => matrix::whoami(https, url.as_str(), secret).await,
        Means::Http { url, .. } => {
            let host: Option<hyper::Uri> = url.as_str().parse().ok();
            let host = host.as_ref().and_then(hyper::Uri::host).unwrap_or_default();
            let reached = https.ask(Ask {
                method: Method::HEAD,
                url: url
                    .as_str()
                    .split('{')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                headers: Vec::new(),
                body: Vec::new(),
            });
            let answer = reached.await.map_err(failed)?;
            Ok(format!(
                "{host} answers (HTTP status {}); whether it takes a message shows 'lifeboat people test'",
                answer.status
            ))
        }
    }
}

fn filled(
    (method, url, body): (&str, &str, &str),
    (headers, signed): (&[(Note, Note)], bool),
    secret: &str,
    it: &Message<'_>,
) -> (Ask, Vec<(String, String)>) {
    let kind = headers
        .iter()
        .find(|(name, _)| name.as_str().eq_ignore_ascii_case("content-type"))
        .map_or("", |it| it.1.as_str());
    let escape: fn(&str) -> String = match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => in_json,
        "application/x-www-form-urlencoded" => in_url,
        _ => str::to_owned,
    };
    let body = fill(body, secret, it, escape).into_bytes();
    let mut all: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| {
            let value = fill(value.as_str(), secret, it, in_header);
            (name.as_str().to_lowercase(), value)
        })
        .collect();
    if signed {
        let at = (clock::now().0 / 1_000).to_string();
        let signature = webhook::signature(secret, it.key, &at, &body);
        all.push(("webhook-id".to_owned(), it.key.to_owned()));
        all.push(("webhook-timestamp".to_owned(), at));
        all.push(("webhook-signature".to_owned(), signature));
    }
    let ask = Ask {
        method: Method::from_bytes(method.as_bytes()).unwrap_or(Method::POST),
        url: fill(url, secret, it, in_url),
        headers: Vec::new(),
        body,
    };
    (ask, all)
}

/// Puts values into a template in one pass, so that what a value says is no template again.
fn fill(template: &str, secret: &str, it: &Message<'_>, escape: fn(&str) -> String) -> String {
    let values = [
        ("{to}", it.to),
        ("{text}", it.text),
        ("{key}", it.key),
        ("{secret}", secret),
    ];
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                out.push_str(&escape(value));
                rest = &rest[name.len()..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// As it stands within quotation marks (RFC 8259 section 7).
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

/// Everything but what RFC 3986 section 2.3 leaves alone, so that it fits into paths, queries and forms.
fn in_url(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// One line; what a header cannot carry (RFC 9110 section 5.5) is left out.
fn in_header(text: &str) -> String {
    text.chars()
        .filter(|it| !it.is_control() && it.is_ascii())
        .collect()
}

/// The first line of what was answered, for people.
fn says(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let first = text.lines().next().unwrap_or_default().trim();
    match first {
        "" => "no reason is given".to_owned(),
        line => line.chars().take(120).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_says_stays_a_value_wherever_it_stands() {
        let it = Message {
            to: "+420777000111",
            text: "it's \"down\" & {secret}\r\nX-Evil: 1",
            key: "7.0",
        };
        let headers = [
            (Note::cut("Content-Type"), Note::cut("application/json")),
            (Note::cut("Title"), Note::cut("{text}")),
            (Note::cut("Authorization"), Note::cut("Bearer {secret}")),
        ];
        let json = r#"{"to":"{to}","text":"{text}","id":"{key}"}"#;
        let parts = ("POST", "https://sms.example.net/{to}", json);
        let (ask, headers) = filled(parts, (&headers, true), "s3cret", &it);
        assert_eq!(ask.url, "https://sms.example.net/%2B420777000111");
        let body: serde_json::Value = serde_json::from_slice(&ask.body).unwrap();
        assert_eq!(body["text"], it.text);
        assert_eq!(headers[1].1, "it's \"down\" & {secret}X-Evil: 1");
        assert_eq!(headers[2].1, "Bearer s3cret");
        assert_eq!(headers.len(), 6);
        let form = [(
            Note::cut("content-type"),
            Note::cut("application/x-www-form-urlencoded"),
        )];
        let parts = ("POST", "https://a.example", "To={to}&Body={text}");
        let (ask, _) = filled(parts, (&form, false), "s3cret", &it);
        let body = String::from_utf8(ask.body).unwrap();
        assert_eq!(
            body,
            "To=%2B420777000111&Body=it%27s%20%22down%22%20%26%20%7Bsecret%7D%0D%0AX-Evil%3A%201"
        );
    }
}
