//! Channels outside and the notices that go through them: who is told, what leaves when, and what can still be stopped.

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
    incidents::find as find_incident,
    problem::Problem,
};
use crate::model::{
    Command, State,
    notice::{
        Channel, ChannelFacts, Means, NoticeChange, NoticeId, Standing, change::secret_context,
        holding,
    },
    words::{Label, Lang, Note, Timestamp, Wrong},
};

mod place;
mod views;

use place::Wanted;
pub(super) use place::sound_url;
use views::Listed;
pub(super) use views::{Corrections, Shown, corrections, of_incident};

/// Every channel.
#[derive(Serialize, ToSchema)]
struct Channels {
    channels: Vec<Described>,
}

/// One channel.
#[derive(Serialize, ToSchema)]
struct Described {
    channel: String,
    /// webhook, mail, matrix, mastodon or by-hand.
    kind: &'static str,
    place: String,
    /// The language it speaks; nothing for all.
    lang: Option<&'static str>,
    /// It is told unless somebody says otherwise.
    usual: bool,
    /// How many people it reaches, as far as anybody knows.
    reach: Option<u32>,
    /// Characters that fit into one message.
    chars: Option<usize>,
    /// What the next change is to name as `against`.
    generation: u64,
}

/// What was done.
#[derive(Serialize, ToSchema)]
struct Done {
    /// In words.
    says: String,
}

/// What a check of a channel found.
#[derive(Serialize, ToSchema)]
struct Checked {
    good: bool,
    /// In words.
    says: String,
}

/// A channel that goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Gone {
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

/// What is told through channels afterwards.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tell {
    /// The update, from 1.
    pub(super) update: u32,
    /// The channels.
    pub(super) channels: Vec<String>,
}

/// What is stopped.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    /// The notices; left out, everything that has not left.
    pub(super) notices: Option<Vec<String>>,
}

/// What a person did by hand.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ByHand {
    /// The revision of the update that was copied; left out, the newest.
    pub(super) revision: Option<u32>,
    /// Where it can be seen.
    pub(super) place: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let mut routes = of_channels();
    routes.extend([
        Route::new::<Listed>(
            "get",
            "/notices",
            "What is on its way through channels outside, and what went lately",
            get(list),
        ),
        Route::new::<Listed>(
            "post",
            "/notices/stop",
            "Stop what has not left yet",
            post(stop),
        )
        .takes::<Stop>(),
        Route::new::<Shown>(
            "post",
            "/notices/{notice}/done",
            "Say that a person has told it by hand",
            post(done),
        )
        .takes::<ByHand>(),
        Route::new::<Listed>(
            "post",
            "/incidents/{incident}/tell",
            "Tell an update through more channels, or tell what holds now where something else was told",
            post(tell),
        )
        .takes::<Tell>(),
    ]);
    routes
}

fn of_channels() -> Vec<Route> {
    vec![
        Route::new::<Channels>("get", "/channels", "The channels outside", get(channels)),
        Route::new::<Done>(
            "post",
            "/channels/{channel}",
            "Make a channel, or say anew what it is",
            post(make),
        )
        .takes::<Wanted>(),
        Route::new::<Done>(
            "post",
            "/channels/{channel}/remove",
            "Forget a channel that nothing is on its way through",
            post(remove),
        )
        .takes::<Gone>(),
        Route::new::<Checked>(
            "post",
            "/channels/{channel}/check",
            "Whether it would take something now; a webhook gets a message that says that it is a test",
            post(check),
        )
        .takes::<Nothing>(),
    ]
}

fn name_of(text: &str) -> Result<Label, Problem> {
    Label::new(text).map_err(|wrong| Problem::invalid("channel", text, &wrong.wanted))
}

fn find<'s>(state: &'s State, text: &str) -> Result<(Label, &'s Channel), Problem> {
    let name = name_of(text)?;
    let known = state.notices.channels.get(&name).ok_or_else(|| {
        let advice = "'lifeboat channel list' shows those that there are";
        Problem::not_found(&format!("channel as {name}"), advice)
    })?;
    Ok((name, known))
}

async fn channels(Shared(desk): Shared<Desk>) -> Json<Channels> {
    let state = desk.cluster.state();
    let all = state.notices.channels.iter();
    let all = all.map(|(name, it)| Described {
        channel: name.to_string(),
        kind: it.facts.means.kind(),
        place: it.facts.means.spoken(),
        lang: it.facts.lang.map(Lang::tag),
        usual: it.facts.usual,
        reach: it.facts.reach,
        chars: it.facts.means.chars(),
        generation: it.generation,
    });
    Json(Channels {
        channels: all.collect(),
    })
}

async fn make(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(channel): Path<String>,
    body: Body<Wanted>,
) -> Result<Json<Done>, Problem> {
    let name = name_of(&channel)?;
    let (facts, secret) = place::read(&body.value)?;
    let seal = |it: &str| {
        desk.keyring
            .seal_in_vault(&secret_context(&name), it.as_bytes())
    };
    let secret = secret.map(seal).transpose();
    let secret = secret.map_err(|_| Problem::locked("keeping the secret"))?;
    let generation = {
        let state = desk.cluster.state();
        let known = state.notices.channels.get(&name);
        known.map_or(0, |it| it.generation)
    };
    let ChannelFacts { means, usual, .. } = &facts;
    let how = match (means, usual) {
        (Means::ByHand { .. }, _) => "a person tells it by hand",
        (_, true) => "it is told unless somebody says otherwise",
        (_, false) => "it is told when somebody names it",
    };
    let says = format!(
        "the channel {name} is {} ({}); {how}. Try it: lifeboat channel check {name}",
        means.kind(),
        means.spoken()
    );
    let change = NoticeChange::SetChannel {
        channel: name,
        facts,
        secret,
        against: body.value.against.unwrap_or(generation),
    };
    desk.told(&asking, &body.bytes, "making the channel", change)
        .await?;
    Ok(Json(Done { says }))
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(channel): Path<String>,
    body: Body<Gone>,
) -> Result<Json<Done>, Problem> {
    let (name, generation) = {
        let state = desk.cluster.state();
        let (name, known) = find(&state, &channel)?;
        (name, known.generation)
    };
    let says = format!("the channel {name} is forgotten, with its secret");
    let change = NoticeChange::RemoveChannel {
        channel: name,
        against: body.value.against.unwrap_or(generation),
    };
    desk.told(&asking, &body.bytes, "forgetting the channel", change)
        .await?;
    Ok(Json(Done { says }))
}

async fn check(
    Shared(desk): Shared<Desk>,
    Path(channel): Path<String>,
    _: Body<Nothing>,
) -> Result<Json<Checked>, Problem> {
    let (name, channel) = {
        let state = desk.cluster.state();
        let (name, channel) = find(&state, &channel)?;
        (name, channel.clone())
    };
    let way = desk.relay.clone().ok_or_else(|| {
        let why = "this node can make no TLS connections; its log says why";
        Problem::failed("looking at the channel", why, "ask another node")
    })?;
    let found = way.check(&name, &channel).await;
    Ok(Json(match found {
        Ok(says) => Checked { good: true, says },
        Err(says) => Checked { good: false, says },
    }))
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Listed> {
    Json(Listed::of(&desk.cluster.state()))
}

async fn stop(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Stop>,
) -> Result<Json<Listed>, Problem> {
    desk.stop_notices(&asking, &body.bytes, &body.value).await?;
    Ok(Json(Listed::of(&desk.cluster.state())))
}

async fn done(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(notice): Path<String>,
    body: Body<ByHand>,
) -> Result<Json<Shown>, Problem> {
    let id = desk
        .done_by_hand(&asking, &body.bytes, &notice, &body.value)
        .await?;
    let state = desk.cluster.state();
    let notice = state.notices.all.get(&id);
    let notice = notice.ok_or_else(|| {
        Problem::not_found("notice here yet", "this node lags behind; ask it again")
    })?;
    Ok(Json(Shown::of(&state, id, notice)))
}

async fn tell(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(incident): Path<String>,
    body: Body<Tell>,
) -> Result<Json<Listed>, Problem> {
    desk.tell_update(&asking, &body.bytes, &incident, &body.value)
        .await?;
    Ok(Json(Listed::of(&desk.cluster.state())))
}

impl Desk {
    /// Tells an update through more channels, or what holds now.
    pub(super) async fn tell_update(
        &self,
        asking: &Asking,
        content: &[u8],
        incident: &str,
        asked: &Tell,
    ) -> Result<(), Problem> {
        let incident = find_incident(&self.cluster.state(), incident)?.0;
        let channels = asked.channels.iter().map(|it| name_of(it));
        let change = NoticeChange::Tell {
            incident,
            update: asked.update,
            channels: channels.collect::<Result<_, _>>()?,
        };
        self.told(asking, content, "telling it", change).await
    }

    /// Stops what has not left yet.
    pub(super) async fn stop_notices(
        &self,
        asking: &Asking,
        content: &[u8],
        asked: &Stop,
    ) -> Result<(), Problem> {
        let notices = match &asked.notices {
            Some(given) => given.iter().map(|it| id_of(it)).collect::<Result<_, _>>()?,
            None => {
                let state = self.cluster.state();
                let open = state.notices.open();
                open.map(|(id, _)| id).collect()
            }
        };
        let change = NoticeChange::Stop { notices };
        self.told(asking, content, "stopping it", change).await
    }

    /// A person has told it by hand.
    pub(super) async fn done_by_hand(
        &self,
        asking: &Asking,
        content: &[u8],
        notice: &str,
        asked: &ByHand,
    ) -> Result<NoticeId, Problem> {
        let id = id_of(notice)?;
        let place = asked.place.as_deref().map(str::trim);
        let place = place.filter(|it| !it.is_empty()).map(Note::new).transpose();
        let place = place.map_err(|wrong| {
            let found = asked.place.as_deref().unwrap_or_default();
            Problem::invalid("place", found, &wrong.wanted)
        })?;
        let newest = {
            let state = self.cluster.state();
            let notice = state.notices.all.get(&id);
            let holds = notice.and_then(|it| holding(&state, it.incident, it.update));
            holds.map_or(1, |it| it.revision)
        };
        let change = NoticeChange::Done {
            notice: id,
            revision: asked.revision.unwrap_or(newest),
            place,
        };
        self.told(asking, content, "noting that it is done", change)
            .await?;
        Ok(id)
    }

    async fn told(
        &self,
        asking: &Asking,
        content: &[u8],
        what: &str,
        change: NoticeChange,
    ) -> Result<(), Problem> {
        self.agreed(asking, content, what, Command::Notice(change))
            .await
    }
}

fn id_of(text: &str) -> Result<NoticeId, Problem> {
    text.parse()
        .map_err(|wrong: Wrong| Problem::invalid("notice", text, &wrong.wanted))
}

/// What somebody should look at, for the node's status.
pub(super) fn alarms(state: &State, now: Timestamp) -> Vec<String> {
    let mut alarms = Vec::new();
    for (id, it) in state.notices.open() {
        let by_hand = it.standing == Standing::ByHand;
        if by_hand {
            alarms.push(format!(
                "update {} of incident {} is to be told by hand through {}; 'lifeboat notice done {id}' says that it is done",
                it.update, it.incident, it.channel
            ));
        } else if it.leaves < now && it.told.is_some() {
            let item = match it.standing {
                Standing::Queued(item) => state.outbox.get(&item),
                _ => None,
            };
            let tried = item.filter(|it| it.attempts > 0);
            if let Some(answer) = tried.and_then(|it| it.last_answer.as_ref()) {
                alarms.push(format!(
                    "notice {id} has not got through {} yet: {}",
                    it.channel,
                    answer.as_str()
                ));
            }
        }
    }
    for (incident, what) in corrections(state) {
        alarms.push(format!(
            "what was told of update {} of incident {incident} through {} holds no more; 'lifeboat notice tell {incident} --update {} --through {}' tells what holds now",
            what.update,
            what.channels.join(", "),
            what.update,
            what.channels.join(",")
        ));
    }
    alarms
}
