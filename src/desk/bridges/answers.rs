//! Answers that come over a bridge: signed JSON (Standard Webhooks), or what the outgoing webhooks of Mattermost, Slack and
//! Rocket.Chat send. An answer goes through the letterbox, so that it is taken on a lone node too, and a repeat at any node
//! gets the first answer.
//!
//! Whoever proves nothing is told nothing: neither whether there is such a bridge nor what was wrong with the proof.

use axum::{
    Json,
    body::Bytes,
    extract::{Extension, Path, State as Shared},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    clock,
    desk::{
        Caller, Desk,
        api::Route,
        conversations::{Kept, words},
        https::same_text,
        problem::Problem,
        reading::gone,
    },
    model::{
        bridge::{Bridge, BridgeMeans, change::secret_context},
        limits,
        words::{ConversationId, Label, Note},
    },
    relay::{
        bridges::{Answer, addressed},
        webhook::signature,
    },
};

/// An answer in signed JSON.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BridgeAnswer {
    /// 1.
    version: u32,
    /// `answer`.
    kind: String,
    /// The ticket code, as the message had it.
    conversation: String,
    /// What the customer is told.
    text: String,
    /// Who says it; colleagues see it.
    author: String,
}

/// What a chat program sends of a message that somebody wrote.
#[derive(Default)]
struct Heard {
    token: String,
    text: String,
    author: String,
    id: String,
    trigger: String,
}

pub(super) fn route() -> Route {
    Route::new::<Kept>(
        "post",
        "/bridges/{bridge}/answers",
        "An answer of an agent at the other end: signed JSON, or an outgoing webhook of a chat program",
        post(take),
    )
    .takes::<BridgeAnswer>()
}

async fn take(
    Shared(desk): Shared<Desk>,
    Extension(caller): Extension<Caller>,
    Path(bridge): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let nobody = || Problem::unproven().into_response();
    let Ok(name) = Label::new(&bridge) else {
        return nobody();
    };
    let Some(bridge) = desk.cluster.state().bridges.all.get(&name).cloned() else {
        return nobody();
    };
    let opened = desk.keyring.open(&secret_context(&name), &bridge.secret);
    let Some(secret) = opened.and_then(|it| String::from_utf8(it).ok()) else {
        return nobody();
    };
    let there = There {
        desk: &desk,
        name,
        bridge,
        address: caller.address,
    };
    match &there.bridge.facts.means {
        BridgeMeans::Webhook { .. } => match proven(&headers, &secret, &body) {
            Some(id) => there.signed(id, &body).await,
            None => nobody(),
        },
        BridgeMeans::Chat { .. } => match heard(&headers, &body) {
            Some(heard) if same_text(heard.token.as_bytes(), secret.as_bytes()) => {
                there.said(heard).await
            }
            _ => nobody(),
        },
        // A room is listened to; nobody brings what is said there.
        BridgeMeans::Matrix { .. } => nobody(),
    }
}

/// The message's id, when it was signed by whoever has the secret, and lately (Standard Webhooks 1.0).
fn proven<'h>(headers: &'h HeaderMap, secret: &str, body: &[u8]) -> Option<&'h str> {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let id = header("webhook-id").filter(|it| fits(it))?;
    let at = header("webhook-timestamp")?;
    let seconds: u64 = at.parse().ok()?;
    let apart = clock::now().0.abs_diff(seconds.checked_mul(1_000)?);
    let ours = signature(secret, id, at, body);
    let given = header("webhook-signature")?;
    let mut signatures = given.split(' ');
    let signed = signatures.any(|it| same_text(it.as_bytes(), ours.as_bytes()));
    (signed && apart <= limits::BRIDGE_ANSWER_MS).then_some(id)
}

fn fits(id: &str) -> bool {
    (1..=limits::BRIDGE_ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|it| it.is_ascii_graphic())
}

/// Reads what a chat program sends: Slack a form, Rocket.Chat JSON, Mattermost either.
fn heard(headers: &HeaderMap, body: &[u8]) -> Option<Heard> {
    let media = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media = media.split(';').next().unwrap_or_default().trim();
    let fields: Vec<(String, String)> = match media {
        "application/x-www-form-urlencoded" => form_urlencoded::parse(body).into_owned().collect(),
        "application/json" => {
            let Value::Object(all) = serde_json::from_slice(body).ok()? else {
                return None;
            };
            let text = |it: Value| it.as_str().map(str::to_owned);
            let all = all.into_iter();
            all.filter_map(|(name, it)| Some((name, text(it)?)))
                .collect()
        }
        _ => return None,
    };
    let field = |name: &str| {
        let found = fields.iter().find(|it| it.0 == name);
        found.map(|it| it.1.clone()).unwrap_or_default()
    };
    // Mattermost names its posts, Rocket.Chat its messages, and of Slack's only place, time and person are known.
    let named = [field("post_id"), field("message_id")];
    let named = named.into_iter().find(|it| !it.is_empty());
    let slack = [field("channel_id"), field("user_id"), field("timestamp")];
    let id = named.unwrap_or_else(|| match slack[2].is_empty() {
        true => String::new(),
        false => slack.join("."),
    });
    Some(Heard {
        token: field("token"),
        text: field("text"),
        author: field("user_name"),
        trigger: field("trigger_word"),
        id,
    })
}

/// Who has proven to be a bridge.
struct There<'d> {
    desk: &'d Desk,
    name: Label,
    bridge: Bridge,
    address: Option<Note>,
}

impl There<'_> {
    async fn signed(&self, id: &str, body: &[u8]) -> Response {
        let answer: BridgeAnswer = match serde_json::from_slice(body) {
            Ok(it) => it,
            Err(error) => {
                let wanted = "an object with version, kind, conversation, text and author";
                return Problem::invalid("the body", &error.to_string(), wanted).into_response();
            }
        };
        if (answer.version, answer.kind.as_str()) != (1, "answer") {
            let found = format!("{} {}", answer.version, answer.kind);
            let wanted = "version 1 and kind answer";
            return Problem::invalid("kind", &found, wanted).into_response();
        }
        let code = answer.conversation.as_str();
        match self.answer(code, &answer.text, &answer.author, id).await {
            Ok(kept) => kept.into_response(),
            Err(problem) => problem.into_response(),
        }
    }

    /// A chat program shows what is answered to it in the room, and nothing where that is no success.
    async fn said(&self, heard: Heard) -> Response {
        let text = heard.text.trim_start();
        let called = !heard.trigger.is_empty();
        let text = text.strip_prefix(heard.trigger.as_str()).unwrap_or(text);
        let says = |text: String| Json(json!({ "text": text })).into_response();
        let Some((code, rest)) = addressed(text) else {
            // People of the room talk to each other.
            return match called {
                true => says("K7F-Q2M-9XF: answer".to_owned()),
                false => Json(json!({})).into_response(),
            };
        };
        let code = code.to_string();
        if !fits(&heard.id) {
            return says(format!("{code}: not sent, the webhook names no message"));
        }
        match self.answer(&code, rest, &heard.author, &heard.id).await {
            Ok((_, kept)) => says(format!("{code}: {}", kept.0.says)),
            Err(problem) => says(format!("{code}: not sent. {}", problem.lines().join(". "))),
        }
    }

    async fn answer(
        &self,
        code: &str,
        text: &str,
        author: &str,
        id: &str,
    ) -> Result<(StatusCode, Json<Kept>), Problem> {
        let desk = self.desk;
        let conversation: ConversationId = desk.find(code)?;
        // What did not go over this bridge is not answered over it, and is not known to be there either.
        if !self.bridge.spans.contains_key(&conversation) {
            return Err(gone());
        }
        let text = words("text", text)?;
        let answer = Answer {
            bridge: &self.name,
            made: self.bridge.made,
            conversation,
            text: &text,
            author,
            id,
            address: self.address.clone(),
        };
        let proposal = answer.proposal(&desk.keyring, desk.cluster.id());
        let deed = ("the answer", "is kept", "it goes to the customer");
        desk.posted(proposal, conversation, deed).await
    }
}
