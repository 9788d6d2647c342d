//! Channels outside that are no mail: notices of the outbox carried to webhooks, Matrix rooms and Mastodon accounts, each
//! kind in a file of its own; and conversations carried to where agents already are (`bridges`).
//!
//! Every kind of channel has a key by which it knows a repeat, and it is the notice's id: so a notice whose answer was lost
//! is told again, and the channel tells it once.

pub mod bridges;
mod gateway;
mod mastodon;
mod matrix;
pub mod waking;
pub mod webhook;

use std::sync::Arc;

use serde_json::Value;
use tokio_rustls::TlsConnector;
use tracing::{info, warn};

use crate::clock;
use crate::cluster::Cluster;
use crate::errands::{Carrier, Hold};
use crate::https::{Answer, Failed, Https};
use crate::model::{
    State,
    limits::RELAY_AT_ONCE,
    notice::{
        Channel, Means, Notice, NoticeId, Standing, Told,
        change::secret_context,
        of_item,
        telling::{Plain, plain},
    },
    outbox::{Item, ItemId, Outcome},
    trust::is_held,
    words::{Label, Note, Timestamp},
};
use crate::seal::Keyring;
use crate::telemetry::{Counter, Metrics};

/// Where an incident's page is for everybody.
pub type Pages = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Reaches channels: with the cluster's own key, and a way out over TLS. Cheap to clone.
#[derive(Clone)]
pub struct Way {
    keyring: Arc<Keyring>,
    https: Https,
    /// Where an incident's page is, given its id.
    pub pages: Pages,
}

/// Carries notices from this node.
pub struct Relay {
    cluster: Cluster,
    way: Way,
    counted: Counted,
}

/// What this node did.
struct Counted {
    sent: Counter,
    later: Counter,
    refused: Counter,
    unknown: Counter,
}

/// A notice, ready to be told.
struct Message<'a> {
    id: NoticeId,
    notice: &'a Notice,
    told: &'a Told,
    /// In words, in the channel's language and within its bounds.
    plain: Plain,
    link: Option<String>,
    /// The name there of what this one corrects.
    corrects: Option<&'a str>,
    /// When it was made, so that every try says the same.
    made: Timestamp,
    company: &'a str,
}

impl Relay {
    /// Carries notices by this way.
    pub fn new(cluster: Cluster, way: Way, metrics: &Metrics) -> Self {
        let counter = |how: &'static str| {
            metrics.counter_of(
                "lifeboat_notices_total",
                "Tries of this node to tell a notice through a channel outside that is no mail, by how they ended.",
                &[("ended", how)],
            )
        };
        Self {
            counted: Counted {
                sent: counter("sent"),
                later: counter("later"),
                refused: counter("refused"),
                unknown: counter("unknown"),
            },
            cluster,
            way,
        }
    }

    fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted | Outcome::Placed(_) => self.counted.sent.add(1),
            Outcome::TryLater(_) => self.counted.later.add(1),
            Outcome::RefusedForGood(_) => self.counted.refused.add(1),
            Outcome::Unknown(_) => self.counted.unknown.add(1),
            Outcome::HandedBack => {}
        }
    }
}

impl Carrier for Relay {
    const AT_ONCE: usize = RELAY_AT_ONCE;

    fn due(&self, state: &State, now: Timestamp) -> Vec<(ItemId, Item)> {
        let queued = state.notices.open().filter_map(|(_, it)| {
            let Standing::Queued(id) = it.standing else {
                return None;
            };
            let item = state.outbox.get(&id)?;
            (!item.kind.is_mail() && item.due <= now && !is_held(state, &id))
                .then(|| (id, item.clone()))
        });
        queued.collect()
    }

    async fn deliver(&self, _: ItemId, item: Item, hold: &Hold) -> Outcome {
        let state = self.cluster.state();
        let Some(id) = of_item(&item.kind) else {
            return Outcome::RefusedForGood(Note::cut("it is no notice"));
        };
        let began = clock::monotonic();
        let outcome = self.way.tell(&state, id, hold).await;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let channel = state.notices.all.get(&id).map(|it| it.channel.to_string());
        let channel = channel.unwrap_or_default();
        match &outcome {
            Outcome::Accepted | Outcome::Placed(_) => {
                info!(notice = %id, channel, took_ms, "notice told");
            }
            Outcome::TryLater(why) => {
                info!(notice = %id, channel, took_ms, why = why.as_str(), "notice not taken yet");
            }
            Outcome::RefusedForGood(why) => {
                warn!(notice = %id, channel, took_ms, why = why.as_str(), "notice refused");
            }
            Outcome::Unknown(why) => {
                warn!(notice = %id, channel, took_ms, why = why.as_str(), "notice may have been taken, will be told again");
            }
            Outcome::HandedBack => {}
        }
        self.count(&outcome);
        outcome
    }

    async fn close(&self) {}
}

impl Way {
    /// With the public authorities, or others that the connector trusts.
    pub fn new(keyring: Arc<Keyring>, tls: TlsConnector, pages: Pages) -> Self {
        Self {
            keyring,
            https: Https::new(tls),
            pages,
        }
    }

    async fn tell(&self, state: &State, id: NoticeId, hold: &Hold) -> Outcome {
        let refused = |why: &str| Outcome::RefusedForGood(Note::cut(why));
        let Some(notice) = state.notices.all.get(&id) else {
            return refused("the notice is no longer there");
        };
        let Some(told) = &notice.told else {
            // The lease is agreed on and this node's state lags behind it.
            return Outcome::TryLater(Note::cut("this node does not know yet what it says"));
        };
        let Some(channel) = state.notices.channels.get(&notice.channel) else {
            return refused("the channel is no longer there");
        };
        let Some(secret) = self.secret(&notice.channel, channel) else {
            return Outcome::TryLater(Note::cut("this node cannot open the channel's secret"));
        };
        let link = (self.pages)(&notice.incident.to_string());
        let corrected = notice.corrects.and_then(|it| state.notices.all.get(&it));
        let message = Message {
            id,
            notice,
            told,
            plain: said(channel, notice, told, link.as_deref()),
            link,
            corrects: corrected.and_then(name_there),
            made: notice.made,
            company: state.cluster.as_ref().map_or("", |it| it.name.as_str()),
        };
        if !hold.gate() {
            return Outcome::HandedBack;
        }
        let outcome = match &channel.facts.means {
            Means::Webhook { url } => {
                webhook::tell(&self.https, url.as_str(), &secret, &message).await
            }
            Means::Matrix { url, room } => {
                let room = (url.as_str(), room.as_str());
                matrix::tell(&self.https, room, &secret, &message).await
            }
            Means::Mastodon { url, .. } => {
                mastodon::tell(&self.https, url.as_str(), &secret, &message).await
            }
            Means::Mail { .. } | Means::ByHand { .. } => {
                refused("the channel is of another kind now")
            }
        };
        without(outcome, &secret)
    }

    /// Whether a channel would take something now, in words. A webhook is sent a message that says that it is a test.
    ///
    /// # Errors
    /// What is wrong, in words without secrets.
    pub async fn check(&self, name: &Label, channel: &Channel) -> Result<String, String> {
        let secret = self.secret(name, channel);
        let secret = secret.ok_or("this node cannot open the channel's secret")?;
        let checked = match &channel.facts.means {
            Means::Webhook { url } => webhook::check(&self.https, url.as_str(), &secret).await,
            Means::Matrix { url, room } => {
                matrix::check(&self.https, (url.as_str(), room.as_str()), &secret).await
            }
            Means::Mastodon { url, chars } => {
                mastodon::check(&self.https, (url.as_str(), *chars), &secret).await
            }
            Means::Mail { address } => Ok(format!(
                "mail to {} goes the way of all our mail; whether the list takes it shows a test mail from that address",
                address.as_str()
            )),
            Means::ByHand { .. } => Ok("a person does this; there is nothing to ask".to_owned()),
        };
        checked.map_err(|it| clean(it, &secret))
    }

    fn secret(&self, name: &Label, channel: &Channel) -> Option<String> {
        let Some(sealed) = &channel.secret else {
            return Some(String::new());
        };
        let opened = self.keyring.open(&secret_context(name), sealed)?;
        String::from_utf8(opened).ok()
    }
}

/// What a notice says through its channel.
fn said(channel: &Channel, notice: &Notice, told: &Told, link: Option<&str>) -> Plain {
    let facts = &channel.facts;
    let corrects = notice.corrects.is_some();
    plain(told, facts.lang, corrects, link, facts.means.chars())
}

/// The name that a notice has where it was told, for what answers to it there.
fn name_there(notice: &Notice) -> Option<&str> {
    match &notice.standing {
        Standing::Sent {
            place: Some(place), ..
        } => place.as_str().split_whitespace().next(),
        _ => None,
    }
}

/// What no answer means: before it was sent nothing happened.
fn silence(failed: Failed) -> Outcome {
    match failed {
        Failed::NotSent(why) => Outcome::TryLater(Note::cut(&why)),
        Failed::Lost(why) => Outcome::Unknown(Note::cut(&why)),
    }
}

/// What an answer that is no success means. `says` is the channel's own reason.
fn no(answer: &Answer, says: &str) -> Outcome {
    let why = Note::cut(&format!("HTTP status {}: {says}", answer.status));
    if answer.is_doubtful() {
        return Outcome::Unknown(why);
    }
    // A wrong token or address can be put right while the notice waits; a redirect or a "gone" is meant.
    match answer.status {
        300..400 | 400 | 410 | 413 | 422 => Outcome::RefusedForGood(why),
        _ => Outcome::TryLater(why),
    }
}

/// The text of a field of a JSON answer.
fn field(answer: &Answer, name: &str) -> Option<String> {
    let value: Value = serde_json::from_slice(&answer.body).ok()?;
    value.get(name)?.as_str().map(str::to_owned)
}

fn failed(failed: Failed) -> String {
    match failed {
        Failed::NotSent(why) | Failed::Lost(why) => why,
    }
}

fn without(outcome: Outcome, secret: &str) -> Outcome {
    let cleaned = |it: Note| Note::cut(&clean(it.as_str().to_owned(), secret));
    match outcome {
        Outcome::TryLater(why) => Outcome::TryLater(cleaned(why)),
        Outcome::Unknown(why) => Outcome::Unknown(cleaned(why)),
        Outcome::RefusedForGood(why) => Outcome::RefusedForGood(cleaned(why)),
        other => other,
    }
}

fn clean(text: String, secret: &str) -> String {
    match secret.len() {
        0..6 => text,
        _ => text.replace(secret, "(secret)"),
    }
}

#[cfg(test)]
mod tests;
