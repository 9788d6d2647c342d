//! Bridges to where agents already are: which there are, how they stand, and whether one works.
//!
//! Answers that come over one are in `answers`.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    notices::sound_url,
    problem::{Mistake, Problem},
};
use crate::{
    clock,
    model::{
        Command, State,
        bridge::{
            Bridge, BridgeChange, BridgeFacts, BridgeMeans,
            change::{secret_context, url_context},
        },
        limits,
        when::rfc3339,
        words::{Label, Lang, Note, Timestamp},
    },
};

mod answers;

/// Every bridge.
#[derive(Serialize, ToSchema)]
struct Bridges {
    bridges: Vec<BridgeShown>,
}

/// One bridge.
#[derive(Serialize, ToSchema)]
struct BridgeShown {
    bridge: String,
    /// webhook, chat or matrix.
    kind: &'static str,
    /// The host, and the room; never a secret.
    place: String,
    /// The language that its own words are in.
    speaks: &'static str,
    /// Only customers of this language.
    lang: Option<&'static str>,
    /// Only conversations with one of these tags.
    tags: Vec<String>,
    /// Whose words are answers; empty for everybody's in the room.
    senders: Vec<String>,
    /// Conversations that go over it.
    conversations: usize,
    /// Of those, how many have something that is not there yet.
    behind: usize,
    /// Messages that got through.
    carried: u64,
    /// Messages that did not.
    given_up: u64,
    /// What was answered to the last of those.
    gave_up_why: Option<String>,
    /// Since when it takes nothing.
    trouble_since: Option<String>,
    trouble_tries: u32,
    trouble_why: Option<String>,
    /// The node that listens for answers.
    listener: Option<String>,
    /// What the next change is to name as `against`.
    generation: u64,
}

/// What a bridge is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WantedBridge {
    /// webhook, chat (Mattermost, Slack, Rocket.Chat) or matrix.
    kind: String,
    /// Where messages go: the webhook, or the home server. It is kept as a secret. Left out, the one that is there.
    url: Option<String>,
    /// webhook: what both sides sign with; chat: the token of its outgoing webhook; matrix: the access token. Left out, the
    /// one that is there.
    secret: Option<String>,
    /// matrix: the room's id, such as `!abc:example.org`.
    room: Option<String>,
    /// matrix: whose words are answers; left out, everybody's in the room.
    #[serde(default)]
    senders: BTreeSet<String>,
    /// The language that its own words are in: cs or en.
    speaks: Option<String>,
    /// Only customers of this language.
    lang: Option<String>,
    /// Only conversations with one of these tags.
    #[serde(default)]
    tags: BTreeSet<String>,
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

/// A bridge that goes.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct GoneBridge {
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
struct BridgeDone {
    /// In words.
    says: String,
}

/// What a test found.
#[derive(Serialize, ToSchema)]
struct BridgeTried {
    good: bool,
    /// In words.
    says: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Bridges>(
            "get",
            "/bridges",
            "Bridges to where agents already are, and how they stand",
            get(list),
        ),
        Route::new::<BridgeDone>(
            "post",
            "/bridges/{bridge}",
            "Make a bridge, or say anew what it is",
            post(set),
        )
        .takes::<WantedBridge>(),
        Route::new::<BridgeDone>(
            "post",
            "/bridges/{bridge}/remove",
            "Forget a bridge, with its secret and what is under way over it",
            post(remove),
        )
        .takes::<GoneBridge>(),
        Route::new::<BridgeTried>(
            "post",
            "/bridges/{bridge}/test",
            "Post a message there that says that it is a test",
            post(test),
        )
        .takes::<Nothing>(),
        answers::route(),
    ]
}

fn name_of(text: &str) -> Result<Label, Problem> {
    super::people::label("bridge", text)
}

fn find<'s>(state: &'s State, text: &str) -> Result<(Label, &'s Bridge), Problem> {
    let name = name_of(text)?;
    let known = state.bridges.all.get(&name).ok_or_else(|| {
        let advice = "'lifeboat bridge list' shows those that there are";
        Problem::not_found(&format!("bridge as {name}"), advice)
    })?;
    Ok((name, known))
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Bridges> {
    let state = desk.cluster.state();
    let all = state.bridges.all.iter();
    let bridges = all.map(|(name, it)| shown(&state, name, it)).collect();
    Json(Bridges { bridges })
}

fn shown(state: &State, name: &Label, it: &Bridge) -> BridgeShown {
    let facts = &it.facts;
    let texts = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect();
    let now = clock::now().max(state.now);
    let listener = it.listening.lease.filter(|it| it.2 > now);
    BridgeShown {
        bridge: name.to_string(),
        kind: facts.means.kind(),
        place: facts.means.spoken(),
        speaks: facts.speaks.tag(),
        lang: facts.lang.map(Lang::tag),
        tags: texts(facts.tags.iter().map(Label::as_str).collect()),
        senders: match &facts.means {
            BridgeMeans::Matrix { senders, .. } => {
                texts(senders.iter().map(Note::as_str).collect())
            }
            BridgeMeans::Webhook { .. } | BridgeMeans::Chat { .. } => Vec::new(),
        },
        conversations: it.spans.len(),
        behind: it.behind(),
        carried: it.carried,
        given_up: it.given_up,
        gave_up_why: it.gave_up.as_ref().map(|it| it.1.as_str().to_owned()),
        trouble_since: it.trouble.as_ref().map(|it| rfc3339(it.since)),
        trouble_tries: it.trouble.as_ref().map_or(0, |it| it.tries),
        trouble_why: it.trouble.as_ref().map(|it| it.why.as_str().to_owned()),
        listener: listener.map(|it| it.0.to_string()),
        generation: it.generation,
    }
}

async fn set(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(bridge): Path<String>,
    body: Body<WantedBridge>,
) -> Result<Json<BridgeDone>, Problem> {
    let name = name_of(&bridge)?;
    let wanted = &body.value;
    let (known, generation) = {
        let state = desk.cluster.state();
        let known = state.bridges.all.get(&name);
        let facts = known.map(|it| it.facts.clone());
        (facts, known.map_or(0, |it| it.generation))
    };
    let facts = read(wanted, known.as_ref())?;
    let seal = |context: String, text: &Option<String>| {
        text.as_ref().map(|it| {
            desk.keyring
                .seal(&context, it.trim_end_matches('/').as_bytes())
        })
    };
    let secret = wanted.secret.as_ref();
    let secret = secret.map(|it| desk.keyring.seal(&secret_context(&name), it.as_bytes()));
    let says = format!(
        "the bridge {name} is {} ({}). Try it: lifeboat bridge test {name}",
        facts.means.kind(),
        facts.means.spoken()
    );
    let change = BridgeChange::Set {
        url: seal(url_context(&name), &wanted.url),
        secret,
        facts,
        against: wanted.against.unwrap_or(generation),
        bridge: name,
    };
    let command = Command::Bridge(change);
    desk.agreed(&asking, &body.bytes, "making the bridge", command)
        .await?;
    Ok(Json(BridgeDone { says }))
}

/// What it says, with every mistake at once.
fn read(wanted: &WantedBridge, known: Option<&BridgeFacts>) -> Result<BridgeFacts, Problem> {
    let mut wrong = Vec::new();
    let speaks = lang("speaks", wanted.speaks.as_deref(), &mut wrong).unwrap_or(Lang::En);
    let only = lang("lang", wanted.lang.as_deref(), &mut wrong);
    let mut tags = imbl::OrdSet::new();
    for tag in &wanted.tags {
        match Label::new(tag) {
            Ok(tag) => drop(tags.insert(tag)),
            Err(it) => wrong.push(Mistake::of("tags", tag, &it.wanted)),
        }
    }
    let most = limits::CHANNEL_SECRET_BYTES_MAX;
    let fits =
        |it: &String| (8..=most).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_graphic());
    if wanted.secret.as_ref().is_some_and(|it| !fits(it)) {
        let words = format!("8 to {most} printable characters without spaces");
        wrong.push(Mistake::of("secret", "something else", &words));
    }
    let means = means(wanted, known, &mut wrong);
    let Some(means) = means.filter(|_| wrong.is_empty()) else {
        return Err(Problem::mistaken("the bridge", wrong));
    };
    Ok(BridgeFacts {
        means,
        speaks,
        lang: only,
        tags,
    })
}

fn means(
    wanted: &WantedBridge,
    known: Option<&BridgeFacts>,
    wrong: &mut Vec<Mistake>,
) -> Option<BridgeMeans> {
    let host = host(wanted, known, wrong);
    let is_matrix = wanted.kind == "matrix";
    if !is_matrix && (wanted.room.is_some() || !wanted.senders.is_empty()) {
        wrong.push(Mistake::of(
            "room",
            "something",
            "nothing; room and senders are for matrix",
        ));
    }
    match wanted.kind.as_str() {
        "webhook" => Some(BridgeMeans::Webhook { host: host? }),
        "chat" => Some(BridgeMeans::Chat { host: host? }),
        "matrix" => {
            let found = wanted.room.as_deref().unwrap_or_default();
            let sound = found.starts_with('!') && found.bytes().all(|it| it.is_ascii_graphic());
            let room = Note::new(found).ok().filter(|_| sound);
            if room.is_none() {
                let words = "a room's id such as !abc:example.org (not its address with #)";
                wrong.push(Mistake::of("room", found, words));
            }
            let mut senders = imbl::OrdSet::new();
            for sender in &wanted.senders {
                let sound = sender.starts_with('@') && sender.contains(':');
                match Note::new(sender).ok().filter(|_| sound) {
                    Some(it) => drop(senders.insert(it)),
                    None => wrong.push(Mistake::of("senders", sender, "such as @jana:example.org")),
                }
            }
            Some(BridgeMeans::Matrix {
                host: host?,
                room: room?,
                senders,
            })
        }
        other => {
            wrong.push(Mistake::of("kind", other, "webhook, chat or matrix"));
            None
        }
    }
}

/// The host, for people; of an address that is not given, the one that is there.
fn host(
    wanted: &WantedBridge,
    known: Option<&BridgeFacts>,
    wrong: &mut Vec<Mistake>,
) -> Option<Note> {
    let words = "https://, without a name or password in it, in at most 500 bytes";
    let Some(url) = &wanted.url else {
        let host = known.map(|it| match &it.means {
            BridgeMeans::Webhook { host }
            | BridgeMeans::Chat { host }
            | BridgeMeans::Matrix { host, .. } => host.clone(),
        });
        if host.is_none() {
            wrong.push(Mistake::of("url", "nothing", words));
        }
        return host;
    };
    let sound = sound_url(url) && url.len() <= limits::BRIDGE_URL_BYTES_MAX;
    let parsed: Option<hyper::Uri> = url.parse().ok().filter(|_| sound);
    let host = parsed.as_ref().and_then(|it| it.authority());
    let host = host.and_then(|it| Note::new(it.as_str()).ok());
    if host.is_none() {
        wrong.push(Mistake::of("url", "something else", words));
    }
    host
}

fn lang(field: &str, tag: Option<&str>, wrong: &mut Vec<Mistake>) -> Option<Lang> {
    let tag = tag?;
    let lang = Lang::ALL.into_iter().find(|it| it.tag() == tag);
    if lang.is_none() {
        wrong.push(Mistake::of(field, tag, "cs or en"));
    }
    lang
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(bridge): Path<String>,
    body: Body<GoneBridge>,
) -> Result<Json<BridgeDone>, Problem> {
    let (name, generation) = {
        let state = desk.cluster.state();
        let (name, known) = find(&state, &bridge)?;
        (name, known.generation)
    };
    let says = format!("the bridge {name} is forgotten; conversations stay in the inbox");
    let change = BridgeChange::Remove {
        bridge: name,
        against: body.value.against.unwrap_or(generation),
    };
    let command = Command::Bridge(change);
    desk.agreed(&asking, &body.bytes, "forgetting the bridge", command)
        .await?;
    Ok(Json(BridgeDone { says }))
}

async fn test(
    Shared(desk): Shared<Desk>,
    Path(bridge): Path<String>,
    _: Body<Nothing>,
) -> Result<Json<BridgeTried>, Problem> {
    let (name, bridge) = {
        let state = desk.cluster.state();
        let (name, bridge) = find(&state, &bridge)?;
        (name, bridge.clone())
    };
    let way = desk.relay.clone().ok_or_else(|| {
        let why = "this node can make no TLS connections; its log says why";
        Problem::failed("trying the bridge", why, "ask another node")
    })?;
    let tried = match way.try_bridge(&name, &bridge).await {
        Ok(says) => BridgeTried { good: true, says },
        Err(says) => BridgeTried { good: false, says },
    };
    Ok(Json(tried))
}

/// What somebody should look at, for the node's status.
pub(super) fn alarms(state: &State, now: Timestamp) -> Vec<String> {
    let mut alarms = Vec::new();
    for (name, it) in &state.bridges.all {
        let trouble = it.trouble.as_ref();
        if let Some(trouble) = trouble.filter(|it| now.ms_since(it.since) > limits::BRIDGE_ALARM_MS)
        {
            alarms.push(format!(
                "the bridge {name} takes nothing since {}, {} conversations wait for it, and agents there see nothing new: {}",
                rfc3339(trouble.since),
                it.behind(),
                trouble.why.as_str()
            ));
        }
        let gave_up = it.gave_up.as_ref();
        let lately = |at: Timestamp| now.ms_since(at) < limits::BRIDGE_GAVE_UP_TOLD_MS;
        if let Some((_, why)) = gave_up.filter(|it| lately(it.0)) {
            alarms.push(format!(
                "the bridge {name} did not get {} messages, which are in the inbox: {}; 'lifeboat bridge add {name}' with what is right ends this alarm",
                it.given_up,
                why.as_str()
            ));
        }
    }
    alarms
}
