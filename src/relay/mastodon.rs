//! Mastodon accounts: one post a notice, under an Idempotency-Key that the server knows for an hour (API, "statuses").

use hyper::Method;
use serde_json::{Value, json};

use super::{Message, failed, field, no, silence};
use crate::https::{Answer, Ask, Https};
use crate::model::{outbox::Outcome, words::Note};

pub(super) async fn tell(https: &Https, url: &str, token: &str, it: &Message<'_>) -> Outcome {
    let mut post = json!({"status": it.plain.text, "visibility": "public"});
    if let [lang] = it.plain.langs.as_slice() {
        post["language"] = json!(lang.tag());
    }
    if let Some(earlier) = it.corrects {
        post["in_reply_to_id"] = json!(earlier);
    }
    let mut ask = Ask::with_json(
        Method::POST,
        format!("{url}/api/v1/statuses"),
        format!("Bearer {token}"),
        Some(&post),
    );
    ask.headers
        .push(("idempotency-key", format!("lifeboat-{}", it.id)));
    match https.ask(ask).await {
        Ok(answer) if answer.is_good() => match field(&answer, "id") {
            Some(id) => {
                let seen = field(&answer, "url").unwrap_or_default();
                Outcome::Placed(Note::cut(format!("{id} {seen}").trim()))
            }
            None => Outcome::Accepted,
        },
        Ok(answer) => no(&answer, &says(&answer)),
        Err(error) => silence(error),
    }
}

/// Whether the token is good, and a post may be as long as we think.
pub(super) async fn check(
    https: &Https,
    (url, chars): (&str, u32),
    token: &str,
) -> Result<String, String> {
    let get = |path: &str| {
        let url = format!("{url}{path}");
        Ask::with_json(Method::GET, url, format!("Bearer {token}"), None)
    };
    let app = https.ask(get("/api/v1/apps/verify_credentials"));
    let app = app.await.map_err(failed)?;
    if !app.is_good() {
        return Err(format!("HTTP status {}: {}", app.status, says(&app)));
    }
    let instance = https.ask(get("/api/v2/instance")).await.map_err(failed)?;
    let instance: Value = serde_json::from_slice(&instance.body).unwrap_or_default();
    let most = &instance["configuration"]["statuses"]["max_characters"];
    match most.as_u64() {
        Some(most) if most < u64::from(chars) => Err(format!(
            "a post there has at most {most} characters, and the channel says {chars}"
        )),
        Some(most) => Ok(format!(
            "{url} knows the token; a post there has at most {most} characters"
        )),
        None => Ok(format!("{url} knows the token")),
    }
}

fn says(answer: &Answer) -> String {
    field(answer, "error").unwrap_or_else(|| "no reason is given".to_owned())
}
