//! Matrix rooms: one event a notice (client-server API v3). The transaction id is the notice's, so that the home server
//! knows a repeat and gives the first event's id again.

use hyper::Method;
use serde_json::{Value, json};

use super::{Message, failed, field, no, silence};
use crate::https::{Answer, Ask, Https};
use crate::model::{outbox::Outcome, words::Note};

pub(super) async fn tell(
    https: &Https,
    (url, room): (&str, &str),
    token: &str,
    it: &Message<'_>,
) -> Outcome {
    let mut event = json!({"msgtype": "m.text", "body": it.plain.text});
    if let Some(earlier) = it.corrects {
        event["m.relates_to"] = json!({"m.in_reply_to": {"event_id": earlier}});
    }
    put(https, (url, room), token, &it.id.to_string(), &event).await
}

/// Says something plain in a room. `key` is the same at each repeat.
pub(super) async fn say(
    https: &Https,
    (url, room): (&str, &str),
    token: &str,
    key: &str,
    text: &str,
) -> Outcome {
    let event = json!({"msgtype": "m.text", "body": text});
    put(https, (url, room), token, &format!("waking-{key}"), &event).await
}

pub(super) async fn put(
    https: &Https,
    (url, room): (&str, &str),
    token: &str,
    key: &str,
    event: &Value,
) -> Outcome {
    let path = format!("rooms/{}/send/m.room.message/lifeboat-{key}", segment(room));
    let ask = ask(Method::PUT, url, &path, token, Some(event));
    match https.ask(ask).await {
        Ok(answer) if answer.is_good() => match field(&answer, "event_id") {
            Some(event) => Outcome::Placed(Note::cut(&event)),
            None => Outcome::Accepted,
        },
        Ok(answer) => no(&answer, &says(&answer)),
        Err(error) => silence(error),
    }
}

/// Whose token it is.
pub(super) async fn whoami(https: &Https, url: &str, token: &str) -> Result<String, String> {
    let whoami = https.ask(ask(Method::GET, url, "account/whoami", token, None));
    let whoami = whoami.await.map_err(failed)?;
    if !whoami.is_good() {
        return Err(format!("HTTP status {}: {}", whoami.status, says(&whoami)));
    }
    Ok(field(&whoami, "user_id").unwrap_or_default())
}

/// Whether the token is good and its owner is in the room.
pub(super) async fn check(
    https: &Https,
    (url, room): (&str, &str),
    token: &str,
) -> Result<String, String> {
    let who = whoami(https, url, token).await?;
    let rooms = https.ask(ask(Method::GET, url, "joined_rooms", token, None));
    let rooms = rooms.await.map_err(failed)?;
    let joined: Value = serde_json::from_slice(&rooms.body).unwrap_or_default();
    let joined = joined["joined_rooms"].as_array();
    let is_in = joined.is_some_and(|all| all.iter().any(|it| it.as_str() == Some(room)));
    match is_in {
        true => Ok(format!("{who} is in {room}")),
        false => Err(format!(
            "{who} is not in {room}: invite it there and have it join"
        )),
    }
}

pub(super) fn ask(method: Method, url: &str, path: &str, token: &str, body: Option<&Value>) -> Ask {
    let url = format!("{url}/_matrix/client/v3/{path}");
    Ask::with_json(method, url, format!("Bearer {token}"), body)
}

/// A room's id as a segment of a path (RFC 3986 section 3.3).
pub(super) fn segment(text: &str) -> String {
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

pub(super) fn says(answer: &Answer) -> String {
    let code = field(answer, "errcode").unwrap_or_default();
    let error = field(answer, "error").unwrap_or_else(|| "no reason is given".to_owned());
    format!("{error} {code}").trim().to_owned()
}
