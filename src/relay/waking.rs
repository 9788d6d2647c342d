//! Waking people through gateways: the tries of wakings whose way is an SMS, a call, a push or a Matrix room. It also goes
//! on with what nobody else does: a round that is over, and a mail where no node sends any.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use super::{Way, gateway, without};
use crate::cluster::Cluster;
use crate::errands::{Carrier, Hold};
use crate::model::{
    State,
    limits::{WAKING_LEAVE_MS, WAKING_TRY_MS, WAKINGS_AT_ONCE},
    outbox::{Item, ItemId, Outcome},
    people::WayKind,
    waking::{self, GatewayFacts, WakingId, change::secret_context, telling},
    words::{Label, Note, Timestamp},
};
use crate::seal::person_context;
use crate::telemetry::{Counter, Metrics};

/// The addresses at which a try is answered, one for each of our own names.
pub type Links = Arc<dyn Fn(WakingId, u32) -> Vec<String> + Send + Sync>;

/// What wakes people through gateways.
pub struct Waker {
    cluster: Cluster,
    way: Way,
    links: Links,
    company: String,
    taken: Counter,
    failed: Counter,
}

/// What is to be sent.
struct Ready {
    facts: GatewayFacts,
    secret: String,
    to: String,
    text: String,
    key: String,
}

impl Waker {
    /// Wakes people by this way, in the company's name.
    pub fn new(
        cluster: Cluster,
        way: Way,
        (links, company): (Links, String),
        metrics: &Metrics,
    ) -> Self {
        let counter = |how: &'static str| {
            metrics.counter_of(
                "lifeboat_wakings_tried_total",
                "Tries of this node to wake somebody through a gateway, by how they ended.",
                &[("ended", how)],
            )
        };
        Self {
            taken: counter("taken"),
            failed: counter("failed"),
            cluster,
            way,
            links,
            company,
        }
    }

    fn ready(&self, state: &State, id: WakingId) -> Result<Ready, String> {
        let waking = state.wakings.all.get(&id).ok_or("it is over")?;
        let number = waking.open.ok_or("there is nothing to try")?;
        let tried = waking.tried(number).ok_or("the try is forgotten")?;
        let Some(name) = &tried.gateway else {
            return Err("no node sends mail".to_owned());
        };
        let gateway = state.wakings.gateways.get(name);
        let gateway = gateway.ok_or("the gateway is no longer there")?;
        let keyring = &self.way.keyring;
        let text = |bytes: Option<Vec<u8>>| bytes.and_then(|it| String::from_utf8(it).ok());
        let secret = match &gateway.secret {
            Some(sealed) => text(keyring.open(&secret_context(name), sealed))
                .ok_or("this node cannot open the gateway's secret")?,
            None => String::new(),
        };
        let to = text(keyring.open(&person_context(&tried.person), &tried.address));
        let links = (self.links)(id, number);
        let it = (id, waking);
        let words = telling::words(state, it, &tried.person, &self.company, &links);
        Ok(Ready {
            facts: gateway.facts.clone(),
            secret,
            to: to.ok_or("this node cannot open the address")?,
            text: words.short,
            key: format!("{id}.{number}"),
        })
    }
}

impl Carrier for Waker {
    const AT_ONCE: usize = WAKINGS_AT_ONCE;

    fn due(&self, state: &State, now: Timestamp) -> Vec<(ItemId, Item)> {
        let due = waking::due(state, now).into_iter();
        due.filter(|it| {
            let left = it.item.due.plus_ms(WAKING_LEAVE_MS) < now;
            it.kind != Some(WayKind::Mail) || left
        })
        .map(|it| (it.id, it.item))
        .collect()
    }

    async fn deliver(&self, _: ItemId, item: Item, hold: &Hold) -> Outcome {
        let Some(waking) = item.kind.waking() else {
            return Outcome::RefusedForGood(Note::cut("it wakes nobody"));
        };
        let state = self.cluster.state();
        let outcome = match self.ready(&state, waking) {
            Err(why) => Outcome::TryLater(Note::cut(&why)),
            Ok(_) if !hold.gate() => return Outcome::HandedBack,
            Ok(ready) => {
                let message = gateway::Message {
                    to: &ready.to,
                    text: &ready.text,
                    key: &ready.key,
                };
                let sending = gateway::send(&self.way.https, &ready.facts, &ready.secret, &message);
                let ended = timeout(Duration::from_millis(WAKING_TRY_MS), sending).await;
                let late = || Outcome::Unknown(Note::cut("the gateway does not answer in time"));
                let outcome = without(ended.unwrap_or_else(|_| late()), &ready.secret);
                without(outcome, &ready.to)
            }
        };
        match &outcome {
            Outcome::Accepted | Outcome::Placed(_) => {
                self.taken.add(1);
                info!(%waking, "a gateway took a waking");
            }
            other => {
                self.failed.add(1);
                warn!(%waking, outcome = ?other, "a gateway did not take a waking");
            }
        }
        outcome
    }

    async fn close(&self) {}
}

impl Way {
    /// Whether a gateway would take something now, in words.
    ///
    /// # Errors
    /// What is wrong, in words without secrets.
    pub async fn check_gateway(
        &self,
        name: &Label,
        gateway: &waking::Gateway,
    ) -> Result<String, String> {
        let opened = match &gateway.secret {
            Some(sealed) => self.keyring.open(&secret_context(name), sealed),
            None => Some(Vec::new()),
        };
        let secret = opened.and_then(|it| String::from_utf8(it).ok());
        let secret = secret.ok_or("this node cannot open the gateway's secret")?;
        let checked = gateway::check(&self.https, &gateway.facts, &secret).await;
        checked.map_err(|it| super::clean(it, &secret))
    }
}
