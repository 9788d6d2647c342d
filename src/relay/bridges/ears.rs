//! Ears: for bridges whose answers nobody brings, one node at a time listens in the room and takes what agents say.
//!
//! What was heard is told to the cluster only after each answer is in the letterbox, so that whoever goes on listening hears
//! it again rather than not at all; an answer's id is that of its event, so that hearing it again changes nothing. An edit
//! or a deletion in the room does not reach the customer, who may have read the answer: the room is told so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::{Answer, Open, Way, addressed, answer_id, clean, matrix, words};
use crate::clock;
use crate::cluster::Cluster;
use crate::letterbox::{Letterbox, Posted};
use crate::model::{
    Command, Proposal, Reply, State,
    bridge::{Bridge, BridgeChange, BridgeMeans, HistoryPlace},
    limits::{BRIDGE_LISTEN_MS, BRIDGE_PAGES_MAX},
    outbox::Outcome,
    words::{ClientId, ConversationId, Label, MessageText, Note},
};
use crate::tasks::{self, Stop};
use crate::telemetry::{Counter, Metrics};

/// How often is looked for a room where nobody listens.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the home server may keep a question until something is said.
const POLL: Duration = Duration::from_secs(15);
/// How long its answer may take beyond that.
const GRACE: Duration = Duration::from_secs(10);
/// The right to listen is renewed after this: the longest question fits in between twice.
const RENEWAL: Duration = Duration::from_secs(10);
/// How long the right to listen may be used.
const LISTEN: Duration = Duration::from_millis(BRIDGE_LISTEN_MS - 5_000);
/// How long one proposal may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The shortest and the longest pause after a question that failed.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The cluster is told at least this often how far the room was read, so that a stranger's talk is not read again.
const TOLD_EVERY: Duration = Duration::from_secs(300);
/// Events of one answer: an event has 65,536 bytes at most, and an answer of the home server its bound.
const EVENTS: usize = 10;

/// Listens from this node.
pub struct Ears {
    cluster: Cluster,
    letterbox: Letterbox,
    way: Way,
    taken: Counter,
    refused: Counter,
}

/// One room that is listened to.
struct Room<'a> {
    name: &'a Label,
    bridge: &'a Bridge,
    room: &'a str,
    open: Open,
    /// Who we are there.
    me: &'a str,
}

/// What a question brought.
struct Heard {
    next: String,
    events: Vec<Value>,
}

impl Ears {
    /// Listens by this way.
    pub fn new(cluster: Cluster, letterbox: Letterbox, mut way: Way, metrics: &Metrics) -> Self {
        way.https.patience = POLL + GRACE;
        let counter = |how: &'static str| {
            metrics.counter_of(
                "lifeboat_bridge_answers_total",
                "Answers that this node heard in rooms, by what became of them.",
                &[("ended", how)],
            )
        };
        Self {
            taken: counter("taken"),
            refused: counter("refused"),
            cluster,
            letterbox,
            way,
        }
    }

    /// Listens wherever nobody does, until asked to stop.
    ///
    /// # Errors
    /// Never; the result is what a task returns.
    pub async fn run(self: Arc<Self>, stop: Stop) -> tasks::Outcome {
        let mut at_work = BTreeSet::new();
        let mut workers: JoinSet<Label> = JoinSet::new();
        while !stop.is_cancelled() {
            for name in self.unheard(&at_work) {
                at_work.insert(name.clone());
                let (ears, stop) = (self.clone(), stop.clone());
                // One for each room; it ends with the right to listen.
                workers.spawn(async move {
                    ears.listen(&name, &stop).await;
                    name
                });
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(LOOK_EVERY) => {}
            }
            while let Some(ended) = workers.try_join_next() {
                match ended {
                    Ok(name) => drop(at_work.remove(&name)),
                    Err(error) => {
                        warn!(%error, "listening in a room ended badly");
                        at_work.clear();
                    }
                }
            }
        }
        while workers.join_next().await.is_some() {}
        Ok(())
    }

    fn unheard(&self, at_work: &BTreeSet<Label>) -> Vec<Label> {
        if self.cluster.health().alone() {
            return Vec::new();
        }
        let (state, me) = (self.cluster.state(), self.cluster.id());
        let now = clock::now().max(state.now);
        let free = |it: &Bridge| {
            let lease = it.listening.lease;
            let others = lease.is_some_and(|(by, _, until)| by != me && until > now);
            it.facts.means.is_listened_to() && !others
        };
        let all = state.bridges.all.iter();
        let free = all.filter(|(name, it)| !at_work.contains(*name) && free(it));
        free.map(|it| it.0.clone()).collect()
    }

    async fn lease(&self, name: &Label) -> Option<u64> {
        let change = BridgeChange::Listen {
            bridge: name.clone(),
            node: self.cluster.id(),
        };
        match self.propose(change).await? {
            Reply::Leased { epoch } => Some(epoch),
            _ => None,
        }
    }

    async fn propose(&self, change: BridgeChange) -> Option<Reply> {
        let id = ClientId(clock::random_bytes());
        let proposal = Proposal::of_node(id, self.cluster.id(), Command::Bridge(change));
        let committed = self.cluster.propose(proposal, WITHIN).await.ok()?;
        Some(committed.reply)
    }

    /// Listens in one room for as long as this node may, and the bridge stays what it is.
    async fn listen(&self, name: &Label, stop: &Stop) {
        let mut leased = clock::monotonic();
        let Some(mut epoch) = self.lease(name).await else {
            return;
        };
        if !self.cluster.shows(epoch, WITHIN).await {
            return;
        }
        let Some(first) = self.cluster.state().bridges.all.get(name).cloned() else {
            return;
        };
        info!(
            bridge = name.as_str(),
            "this node listens in the room of a bridge"
        );
        let mut place = first.listening.heard.clone();
        let (mut me, mut pause, mut told) = (None, PAUSES.0, clock::monotonic());
        while !stop.is_cancelled() {
            if leased.elapsed() > RENEWAL {
                let asked = clock::monotonic();
                match self.lease(name).await {
                    Some(renewed) => (epoch, leased) = (renewed, asked),
                    None if leased.elapsed() > LISTEN => return,
                    None => {}
                }
            }
            let state = self.cluster.state();
            let bridge = state.bridges.all.get(name);
            let Some(bridge) = bridge.filter(|it| it.generation == first.generation) else {
                return;
            };
            let heard = tokio::select! {
                () = stop.cancelled() => return,
                heard = self.round(name, bridge, &mut me, place.as_ref()) => heard,
            };
            match heard {
                Ok((next, something)) => {
                    pause = PAUSES.0;
                    if (something || place.is_none() || told.elapsed() > TOLD_EVERY)
                        && self.tell(name, epoch, &next).await
                    {
                        told = Instant::now();
                    }
                    place = Some(next);
                }
                Err(why) => {
                    debug!(
                        bridge = name.as_str(),
                        why, "cannot listen in the room of a bridge"
                    );
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = sleep(pause) => {}
                    }
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    async fn tell(&self, name: &Label, epoch: u64, place: &HistoryPlace) -> bool {
        let change = BridgeChange::Heard {
            bridge: name.clone(),
            epoch,
            place: place.clone(),
        };
        matches!(self.propose(change).await, Some(Reply::Done))
    }

    /// Asks once what was said, and takes it. Gives the place up to where it was taken, and whether there was anything.
    async fn round(
        &self,
        name: &Label,
        bridge: &Bridge,
        me: &mut Option<String>,
        since: Option<&HistoryPlace>,
    ) -> Result<(HistoryPlace, bool), String> {
        let BridgeMeans::Matrix { room, .. } = &bridge.facts.means else {
            return Err("it is not listened to".to_owned());
        };
        let open = self.way.open(name, bridge);
        let open = open.ok_or("this node cannot open the bridge's secret")?;
        let asked = async {
            if me.is_none() {
                *me = Some(matrix::whoami(&self.way.https, &open.url, &open.secret).await?);
            }
            let heard = self.heard(&open, room.as_str(), since).await?;
            let place = HistoryPlace::new(&heard.next);
            let place = place.map_err(|it| format!("its place in the history: {}", it.wanted))?;
            Ok::<_, String>((heard.events, place))
        };
        let (events, place) = asked.await.map_err(|it| clean(it, &open.secret))?;
        let room = Room {
            name,
            bridge,
            room: room.as_str(),
            me: me.as_deref().unwrap_or_default(),
            open,
        };
        for event in &events {
            self.take(&room, event).await?;
        }
        Ok((place, !events.is_empty()))
    }

    /// What was said since a place; where nothing was heard before, nothing is, as it was not said to us.
    async fn heard(
        &self,
        open: &Open,
        room: &str,
        since: Option<&HistoryPlace>,
    ) -> Result<Heard, String> {
        let only = json!({"types": []});
        let timeline = json!({"limit": EVENTS, "types": ["m.room.message", "m.room.redaction"]});
        let filter = json!({
            "presence": only, "account_data": only,
            "room": {"rooms": [room], "timeline": timeline, "state": only, "ephemeral": only, "account_data": only},
        });
        let filter = matrix::segment(&filter.to_string());
        let path = match since {
            Some(since) => format!(
                "sync?timeout={}&filter={filter}&since={}",
                POLL.as_millis(),
                matrix::segment(since.as_str())
            ),
            None => format!("sync?timeout=0&filter={filter}"),
        };
        let answer = self.get(open, &path).await?;
        let next = answer["next_batch"].as_str().filter(|it| !it.is_empty());
        let next = next
            .ok_or("it does not say up to where it answers")?
            .to_owned();
        let Some(since) = since else {
            return Ok(Heard {
                next,
                events: Vec::new(),
            });
        };
        let timeline = &answer["rooms"]["join"][room]["timeline"];
        let mut events = timeline["events"].as_array().cloned().unwrap_or_default();
        if timeline["limited"] == true
            && let Some(before) = timeline["prev_batch"].as_str()
        {
            let mut older = self.older(open, room, before, since).await?;
            older.append(&mut events);
            events = older;
        }
        Ok(Heard { next, events })
    }

    /// What was said between two places, oldest first.
    async fn older(
        &self,
        open: &Open,
        room: &str,
        before: &str,
        since: &HistoryPlace,
    ) -> Result<Vec<Value>, String> {
        let (mut before, mut back) = (before.to_owned(), Vec::new());
        for _ in 0..BRIDGE_PAGES_MAX {
            let path = format!(
                "rooms/{}/messages?dir=b&limit={EVENTS}&from={}&to={}",
                matrix::segment(room),
                matrix::segment(&before),
                matrix::segment(since.as_str())
            );
            let page = self.get(open, &path).await?;
            let chunk = page["chunk"].as_array().cloned().unwrap_or_default();
            let end = page["end"].as_str().map(str::to_owned);
            let is_last = chunk.is_empty();
            back.extend(chunk);
            match end.filter(|it| !is_last && *it != before) {
                Some(end) => before = end,
                None => {
                    back.reverse();
                    return Ok(back);
                }
            }
        }
        warn!("a bridge's room said more while nobody listened than is read back");
        back.reverse();
        Ok(back)
    }

    async fn get(&self, open: &Open, path: &str) -> Result<Value, String> {
        let ask = matrix::ask(hyper::Method::GET, &open.url, path, &open.secret, None);
        let answer = self.way.https.ask(ask).await.map_err(super::failed)?;
        if !answer.is_good() {
            return Err(format!(
                "HTTP status {}: {}",
                answer.status,
                matrix::says(&answer)
            ));
        }
        serde_json::from_slice(&answer.body).map_err(|it| format!("no JSON: {it}"))
    }

    /// Takes one event, and tells the room where it does not become an answer.
    async fn take(&self, room: &Room<'_>, event: &Value) -> Result<(), String> {
        let state = self.cluster.state();
        let said = room.meant(&state, event);
        let (why, thread) = match said {
            Said::Nothing => return Ok(()),
            Said::Changed { thread } => (words::stays_said(room.bridge.facts.speaks), thread),
            Said::Wrong { why, thread } => (why, thread),
            Said::Answer {
                conversation,
                text,
                author,
                id,
                thread,
            } => {
                let answer = Answer {
                    bridge: room.name,
                    made: room.bridge.made,
                    conversation,
                    text: &text,
                    author: &author,
                    id: &id,
                    address: None,
                };
                let proposal = answer.proposal(&self.way.keyring, self.cluster.id());
                match self.letterbox.post(proposal).await {
                    Posted::Agreed(committed) => match committed.reply {
                        Reply::Refused(why) => (why.to_string(), thread),
                        _ => {
                            self.taken.add(1);
                            return Ok(());
                        }
                    },
                    Posted::Held { .. } => {
                        self.taken.add(1);
                        return Ok(());
                    }
                    Posted::Refused(why) => (why.to_string(), thread),
                    // It is heard again.
                    Posted::Unsure(why) => return Err(why),
                }
            }
        };
        self.refused.add(1);
        self.say(room, event, thread.as_deref(), &why).await
    }

    /// Says something to whoever said something, once.
    async fn say(
        &self,
        room: &Room<'_>,
        event: &Value,
        thread: Option<&str>,
        why: &str,
    ) -> Result<(), String> {
        let id = event["event_id"].as_str().unwrap_or_default();
        let text = words::not_sent(room.bridge.facts.speaks, why);
        let mut note = json!({"msgtype": "m.notice", "body": text, "m.mentions": {}});
        if let Some(thread) = thread {
            note["m.relates_to"] = json!({"rel_type": "m.thread", "event_id": thread});
        }
        let to = (room.open.url.as_str(), room.room);
        let key = format!("about-{}", matrix::segment(id));
        match matrix::put(&self.way.https, to, &room.open.secret, &key, &note).await {
            Outcome::TryLater(why) | Outcome::Unknown(why) => Err(why.as_str().to_owned()),
            // A room that does not take it knows why.
            _ => Ok(()),
        }
    }
}

/// What an event means.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Nothing for a customer.
    Nothing,
    /// An answer that the customer has was edited or deleted.
    Changed { thread: Option<String> },
    /// It was meant for a customer and cannot be sent.
    Wrong { why: String, thread: Option<String> },
    /// An answer.
    Answer {
        conversation: ConversationId,
        text: MessageText,
        author: String,
        id: String,
        thread: Option<String>,
    },
}

impl Room<'_> {
    fn meant(&self, state: &State, event: &Value) -> Said {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let (sender, id) = (text(&event["sender"]), text(&event["event_id"]));
        let BridgeMeans::Matrix { senders, .. } = &self.bridge.facts.means else {
            return Said::Nothing;
        };
        let trusted = senders.is_empty() || senders.iter().any(|it| it.as_str() == sender);
        if sender == self.me || !trusted || id.is_empty() {
            return Said::Nothing;
        }
        let content = &event["content"];
        let relates = &content["m.relates_to"];
        let was_answer = |id: &str| {
            let id = answer_id(self.name, self.bridge.made, id);
            state.answers.contains_key(&id)
        };
        let changes = match (event["type"].as_str(), relates["rel_type"].as_str()) {
            (Some("m.room.redaction"), _) => {
                // Room version 11 moved it into the content.
                let redacts = content["redacts"].as_str().or(event["redacts"].as_str());
                redacts.map(str::to_owned)
            }
            (Some("m.room.message"), Some("m.replace")) => Some(text(&relates["event_id"])),
            (Some("m.room.message"), _) => None,
            _ => return Said::Nothing,
        };
        if let Some(changed) = changes {
            return match was_answer(&changed) {
                true => Said::Changed { thread: None },
                false => Said::Nothing,
            };
        }
        let thread = match relates["rel_type"].as_str() {
            Some("m.thread") => relates["event_id"].as_str(),
            _ => relates["m.in_reply_to"]["event_id"].as_str(),
        };
        let body = text(&content["body"]);
        let body = unquoted(&body);
        let in_thread = thread.and_then(|it| state.bridges.of_thread(self.name, it));
        let by_code = || {
            let (code, rest) = addressed(body)?;
            let ids = state.tickets.get(&code)?;
            let known = ids.iter().find(|it| self.bridge.spans.contains_key(*it));
            Some((*known?, rest))
        };
        let Some((conversation, words)) = in_thread.map(|it| (it, body)).or_else(by_code) else {
            return Said::Nothing;
        };
        let thread = thread.map(str::to_owned).filter(|_| in_thread.is_some());
        if content["msgtype"] != "m.text" {
            let why = words::only_text(self.bridge.facts.speaks);
            return Said::Wrong { why, thread };
        }
        match MessageText::new(words) {
            Ok(text) => Said::Answer {
                conversation,
                text,
                author: sender,
                id,
                thread,
            },
            Err(wrong) => Said::Wrong {
                why: Note::cut(&wrong.wanted).as_str().to_owned(),
                thread,
            },
        }
    }
}

/// Without the quotation that older clients put before a reply (client-server API v1.12, "Fallbacks for rich replies").
fn unquoted(body: &str) -> &str {
    let mut rest = body;
    if !body.starts_with("> <@") {
        return body;
    }
    while let Some((line, after)) = rest.split_once('\n') {
        if !line.starts_with("> ") {
            break;
        }
        rest = after;
    }
    rest.trim_start_matches('\n')
}

#[cfg(test)]
mod tests;
