//! Bridges: conversations carried to where agents already are, and what an answer from there becomes.
//!
//! Each message has a key that is the same at each try and on each node. Where the other end knows a repeat by it, a message
//! whose answer was lost is sent again and is there once. Chat programs know no key: there a message may be seen twice,
//! and its number says that it is the same one.

mod ears;
mod words;

use serde_json::json;
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::{Way, clean, failed, matrix, no, silence, webhook, without};
use crate::clock;
use crate::cluster::Cluster;
use crate::errands::{Carrier, Hold};
use crate::https::{Answer as Answered, Ask};
use crate::model::{
    Actor, Command, Proposal, Source, State,
    bridge::{
        self, Bridge, BridgeChange, BridgeMeans, Carried,
        change::{secret_context, url_context},
        key_of, key_text,
    },
    command::FORMAT,
    conversation::Door,
    limits::{BRIDGE_AUTHOR_CHARS_MAX, BRIDGES_AT_ONCE},
    outbox::{Item, ItemId, Outcome},
    when::rfc3339,
    words::{ClientId, ConversationId, Label, MessageText, NodeId, Note, TicketCode, Timestamp},
};
use crate::seal::{Keyring, conversation_context};
use crate::telemetry::{Counter, Metrics};

pub use ears::Ears;
use words::Words;

/// How often a message is tried that the other end calls wrong: the address may be wrong and not the message.
const WRONG_TRIES: u32 = 5;

/// Carries conversations over bridges from this node.
pub struct Bridger {
    cluster: Cluster,
    way: Way,
    carried: Counter,
    later: Counter,
    refused: Counter,
    unknown: Counter,
}

/// Where a bridge leads to, opened.
pub(super) struct Open {
    pub(super) url: String,
    pub(super) secret: String,
}

impl Bridger {
    /// Carries them by this way.
    pub fn new(cluster: Cluster, way: Way, metrics: &Metrics) -> Self {
        let counter = |how: &'static str| {
            metrics.counter_of(
                "lifeboat_bridge_messages_total",
                "Tries of this node to carry a message over a bridge to where agents are, by how they ended.",
                &[("ended", how)],
            )
        };
        Self {
            carried: counter("carried"),
            later: counter("later"),
            refused: counter("refused"),
            unknown: counter("unknown"),
            cluster,
            way,
        }
    }
}

impl Carrier for Bridger {
    const AT_ONCE: usize = BRIDGES_AT_ONCE;

    fn due(&self, state: &State, now: Timestamp) -> Vec<(ItemId, Item)> {
        bridge::due(state, now)
    }

    async fn deliver(&self, _: ItemId, item: Item, hold: &Hold) -> Outcome {
        let state = self.cluster.state();
        let Some(it) = bridge::of_item(&state, &item.kind) else {
            return Outcome::RefusedForGood(Note::cut("the bridge or the conversation is gone"));
        };
        let outcome = self.way.carry(&state, &it, hold).await;
        let outcome = match outcome {
            Outcome::RefusedForGood(why) if item.attempts + 1 < WRONG_TRIES => {
                Outcome::TryLater(why)
            }
            other => other,
        };
        let (bridge, conversation, number) = (it.name.as_str(), it.id.to_string(), it.number);
        match &outcome {
            Outcome::Accepted | Outcome::Placed(_) => {
                self.carried.add(1);
                info!(
                    bridge,
                    conversation, number, "message carried over a bridge"
                );
            }
            Outcome::TryLater(why) => {
                self.later.add(1);
                info!(
                    bridge,
                    conversation,
                    number,
                    why = why.as_str(),
                    "bridge does not take a message yet"
                );
            }
            Outcome::RefusedForGood(why) => {
                self.refused.add(1);
                warn!(
                    bridge,
                    conversation,
                    number,
                    why = why.as_str(),
                    "bridge refuses a message"
                );
            }
            Outcome::Unknown(why) => {
                self.unknown.add(1);
                info!(
                    bridge,
                    conversation,
                    number,
                    why = why.as_str(),
                    "bridge may have taken a message; sent again under its key"
                );
            }
            Outcome::HandedBack => {}
        }
        outcome
    }

    async fn close(&self) {}
}

impl Way {
    /// Where a bridge leads to.
    pub(super) fn open(&self, name: &Label, bridge: &Bridge) -> Option<Open> {
        let open = |context: &str, sealed| {
            let opened = self.keyring.open(context, sealed)?;
            String::from_utf8(opened).ok()
        };
        Some(Open {
            url: open(&url_context(name), &bridge.url)?,
            secret: open(&secret_context(name), &bridge.secret)?,
        })
    }

    async fn carry(&self, state: &State, it: &Carried<'_>, hold: &Hold) -> Outcome {
        let sealed = || Outcome::TryLater(Note::cut("this node cannot open what it is to carry"));
        let Some(open) = self.open(it.name, it.bridge) else {
            return sealed();
        };
        let Some(words) = Words::of(&self.keyring, state, it) else {
            return sealed();
        };
        let key = key_text(&self.keyring.mac("bridge message", &key_of(it)));
        if !hold.gate() {
            return Outcome::HandedBack;
        }
        let outcome = match &it.bridge.facts.means {
            BridgeMeans::Webhook { .. } => {
                let body = words.json().to_string().into_bytes();
                self.post(webhook::signed(&open.url, &open.secret, &key, body))
                    .await
            }
            BridgeMeans::Chat { .. } => self.post(chat(&open.url, &words.line())).await,
            BridgeMeans::Matrix { room, .. } => {
                let thread = it.bridge.spans.get(&it.id);
                let thread = thread.and_then(|it| it.thread.as_ref());
                let event = words.event(thread.map(Note::as_str));
                let room = (open.url.as_str(), room.as_str());
                matrix::put(&self.https, room, &open.secret, &key, &event).await
            }
        };
        without(without(outcome, &open.secret), &open.url)
    }

    async fn post(&self, ask: Ask) -> Outcome {
        match self.https.ask(ask).await {
            Ok(answer) if answer.is_good() => Outcome::Accepted,
            Ok(answer) => turned_down(&answer),
            Err(error) => silence(error),
        }
    }

    /// Posts what says of itself that it is a test.
    ///
    /// # Errors
    /// What is wrong, in words without secrets.
    pub async fn try_bridge(&self, name: &Label, bridge: &Bridge) -> Result<String, String> {
        let open = self.open(name, bridge);
        let open = open.ok_or("this node cannot open the bridge's address and secret")?;
        let at = clock::now();
        let text = words::test(name, bridge.facts.speaks);
        let place = bridge.facts.means.spoken();
        let done = match &bridge.facts.means {
            BridgeMeans::Webhook { .. } => {
                let body = json!({"version": 1, "kind": "test", "bridge": name.as_str(), "at": rfc3339(at)});
                let body = body.to_string().into_bytes();
                let ask = webhook::signed(&open.url, &open.secret, &format!("test.{}", at.0), body);
                self.asked(ask).await
            }
            BridgeMeans::Chat { .. } => self.asked(chat(&open.url, &text)).await,
            BridgeMeans::Matrix { room, .. } => {
                let room = (open.url.as_str(), room.as_str());
                match matrix::check(&self.https, room, &open.secret).await {
                    Ok(_) => {
                        let event = json!({"msgtype": "m.notice", "body": text});
                        let key = format!("test-{}", at.0);
                        match matrix::put(&self.https, room, &open.secret, &key, &event).await {
                            Outcome::Accepted | Outcome::Placed(_) => Ok(()),
                            Outcome::TryLater(why)
                            | Outcome::RefusedForGood(why)
                            | Outcome::Unknown(why) => Err(why.as_str().to_owned()),
                            Outcome::HandedBack => Err("it was not sent".to_owned()),
                        }
                    }
                    Err(why) => Err(why),
                }
            }
        };
        done.map(|()| format!("{place} took a message that says that it is a test"))
            .map_err(|it| clean(clean(it, &open.secret), &open.url))
    }

    async fn asked(&self, ask: Ask) -> Result<(), String> {
        let answer = self.https.ask(ask).await.map_err(failed)?;
        match answer.is_good() {
            true => Ok(()),
            false => Err(format!(
                "HTTP status {}: {}",
                answer.status,
                webhook::says(&answer)
            )),
        }
    }

    /// The host that a bridge leads to, as a URL without its path, which may be a secret.
    pub fn bridge_site(&self, name: &Label, bridge: &Bridge) -> Option<String> {
        let open = self.open(name, bridge)?;
        let url: hyper::Uri = open.url.parse().ok()?;
        Some(format!("{}://{}", url.scheme_str()?, url.authority()?))
    }
}

/// What the incoming webhooks of Mattermost, Slack and Rocket.Chat take.
fn chat(url: &str, text: &str) -> Ask {
    let mut ask = Ask::with_json(
        hyper::Method::POST,
        url.to_owned(),
        String::new(),
        Some(&json!({ "text": text })),
    );
    ask.headers.retain(|it| it.0 != "authorization");
    ask
}

/// What an answer that is no success means for a message: only when it is the message that is wrong, it is refused.
fn turned_down(answer: &Answered) -> Outcome {
    let says = webhook::says(answer);
    match (answer.status, no(answer, &says)) {
        (400 | 413 | 422, it) => it,
        (_, Outcome::RefusedForGood(why)) => Outcome::TryLater(why),
        (_, it) => it,
    }
}

/// What an agent at the other end of a bridge answers.
pub struct Answer<'a> {
    /// The bridge.
    pub bridge: &'a Label,
    /// The log index at which it was made.
    pub made: u64,
    /// The conversation.
    pub conversation: ConversationId,
    /// What they say.
    pub text: &'a MessageText,
    /// Who they are there; colleagues see it, the customer does not.
    pub author: &'a str,
    /// What the answer is called there: a repeat has the same.
    pub id: &'a str,
    /// Where it came from.
    pub address: Option<Note>,
}

impl Answer<'_> {
    /// The proposal that brings it: the same id for a repeat, whichever node it comes to.
    pub fn proposal(&self, keyring: &Keyring, origin: NodeId) -> Proposal {
        let context = conversation_context(&self.conversation);
        let author: String = self
            .author
            .chars()
            .filter(|it| !words::is_hidden(*it))
            .take(BRIDGE_AUTHOR_CHARS_MAX)
            .collect();
        Proposal {
            format: FORMAT,
            id: answer_id(self.bridge, self.made, self.id),
            actor: Actor::Token {
                name: self.bridge.clone(),
            },
            source: Source {
                door: Door::Api,
                address: self.address.clone(),
            },
            origin,
            stamp: None,
            command: Command::Bridge(BridgeChange::Answer {
                bridge: self.bridge.clone(),
                conversation: self.conversation,
                body: keyring.seal(&context, self.text.as_str().as_bytes()),
                by: keyring.seal(&context, author.as_bytes()),
                taken: clock::now(),
            }),
        }
    }
}

/// The ticket code that a text begins with, and the rest of it.
pub fn addressed(text: &str) -> Option<(TicketCode, &str)> {
    let text = text.trim_start().trim_start_matches('[');
    let end = text.find(|it: char| it.is_whitespace() || matches!(it, ':' | ']' | ','));
    let (code, rest) = text.split_at(end.unwrap_or(text.len()));
    let code = TicketCode::new(code).ok()?;
    let rest = rest.trim_start_matches([':', ']', ',', ' ']);
    Some((code, rest.trim()))
}

/// The id of an answer: of the bridge, as it was made, and of what the answer is called there.
fn answer_id(bridge: &Label, made: u64, id: &str) -> ClientId {
    let mut hash = Sha256::new_with_prefix(b"lifeboat bridge answer 1\0");
    hash.update(made.to_be_bytes());
    for part in [bridge.as_str(), id] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    ClientId(id)
}

#[cfg(test)]
mod tests;
