//! Keepers: names at other people's name services. Made, looked at, checked before the emergency, and taken over by a
//! person who has seen the plan. Tokens come in and never go out.

mod place;
mod visits;

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Done, services::Against};
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::Problem,
};
use crate::dns::zone::file;
use crate::model::{
    Command, State,
    domain::RrSet,
    failover::Switchable,
    keeper::{
        Ending, Keeper, KeeperChange, Kept, Place, Standing, change::secret_context, held, wanted,
    },
    when::rfc3339,
    words::Label,
};

use place::Wanted;
use visits::{Checked, Confirm, How, Planned};

/// A keeper and how it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Keeper)]
pub(super) struct Described {
    keeper: String,
    /// What a change is made against.
    generation: u64,
    zone: String,
    kind: &'static str,
    /// Where it is, in words.
    place: String,
    enforce: bool,
    servers: Vec<String>,
    /// Nothing is written since a restore or a recovery, until a person releases switching.
    held: bool,
    /// When it was last looked at with success.
    looked: Option<String>,
    trouble: Option<Troubled>,
    /// The name servers that answered otherwise at the last look.
    behind: Vec<String>,
    sets: Vec<Set>,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
struct Troubled {
    since: String,
    /// The node that saw it last.
    node: String,
    /// refused, unknown or try-later.
    how: &'static str,
    why: String,
    /// Visits in a row that did not go well.
    attempts: u32,
    /// The next try by itself.
    next: String,
}

/// One set of records there.
#[derive(Serialize, ToSchema)]
#[schema(as = SetAtKeeper)]
struct Set {
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    /// in-step, waiting, unseen, not-ours or drifted.
    standing: &'static str,
    /// What it shall answer.
    wanted: Vec<String>,
    /// What was there at the last look; nothing when nobody looked yet.
    found: Option<Vec<String>>,
    /// Its lifetime there in seconds, where it is another than is wanted.
    lifetime: Option<u32>,
    /// Since when it is as wanted.
    confirmed: Option<String>,
}

/// Every keeper.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    keepers: Vec<Described>,
}

pub(super) fn routes() -> Vec<Route> {
    let path = "/dns/keepers/{keeper}";
    vec![
        Route::new::<Listed>(
            "get",
            "/dns/keepers",
            "Names at other people's name services, and how each stands there",
            get(list),
        ),
        Route::new::<Described>("get", path, "One keeper", get(one)),
        Route::new::<Done>(
            "post",
            path,
            "Make a keeper, or say anew where it is",
            post(make),
        )
        .takes::<Wanted>(),
        Route::new::<Done>(
            "post",
            "/dns/keepers/{keeper}/remove",
            "Forget a keeper; what is there stays as it is",
            post(remove),
        )
        .takes::<Against>(),
        Route::new::<Planned>(
            "get",
            "/dns/keepers/{keeper}/plan",
            "Look at the keeper now, and show what differs",
            get(visits::plan_now),
        ),
        Route::new::<Planned>(
            "post",
            "/dns/keepers/{keeper}/apply",
            "Take over what is there and write what shall be; only the plan without confirm",
            post(visits::apply),
        )
        .takes::<Confirm>(),
        Route::new::<Checked>(
            "post",
            "/dns/keepers/{keeper}/check",
            "Whether the keeper can be reached and written, and a switch there is quick",
            post(visits::check),
        )
        .takes::<How>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Listed> {
    let state = desk.cluster.state();
    Json(Listed {
        keepers: listed(&state),
    })
}

pub(super) fn listed(state: &State) -> Vec<Described> {
    let all = state.keepers.all.iter();
    all.map(|(name, it)| described(state, name, it)).collect()
}

async fn one(
    Shared(desk): Shared<Desk>,
    Path(keeper): Path<String>,
) -> Result<Json<Described>, Problem> {
    let state = desk.cluster.state();
    let (name, keeper) = find(&state, &keeper)?;
    Ok(Json(described(&state, &name, keeper)))
}

fn find<'s>(state: &'s State, text: &str) -> Result<(Label, &'s Keeper), Problem> {
    let name = keeper_name(text)?;
    let known = state.keepers.all.get(&name).ok_or_else(|| {
        let advice = "'lifeboat dns keeper list' shows those that there are";
        Problem::not_found(&format!("keeper as {name}"), advice)
    })?;
    Ok((name, known))
}

fn keeper_name(text: &str) -> Result<Label, Problem> {
    Label::new(text).map_err(|wrong| Problem::invalid("keeper", text, &wrong.wanted))
}

fn described(state: &State, name: &Label, keeper: &Keeper) -> Described {
    let never = Kept::default();
    let sets = wanted(state, keeper).into_iter().map(|(key, set)| {
        let kept = keeper.sets.get(&key).unwrap_or(&never);
        let there = kept.found.as_ref().map(|it| RrSet {
            name: key.0.clone(),
            rtype: key.1,
            ttl: it.ttl,
            rdata: it.data.clone(),
        });
        let lifetime = there
            .as_ref()
            .filter(|it| !it.rdata.is_empty() && it.ttl != set.ttl);
        Set {
            name: key.0.to_string(),
            rtype: key.1.to_string(),
            standing: kept.standing(&set.rdata).name(),
            lifetime: lifetime.map(|it| it.ttl),
            wanted: file::lines(&set).collect(),
            found: there.as_ref().map(|it| file::lines(it).collect()),
            confirmed: kept.confirmed.map(rfc3339),
        }
    });
    Described {
        keeper: name.to_string(),
        generation: keeper.generation,
        zone: keeper.facts.zone.to_string(),
        kind: keeper.facts.place.kind(),
        place: spoken(&keeper.facts.place),
        enforce: keeper.facts.enforce,
        servers: keeper
            .facts
            .servers
            .iter()
            .map(ToString::to_string)
            .collect(),
        held: held(state),
        looked: keeper.looked.map(rfc3339),
        trouble: keeper.trouble.as_ref().map(|it| Troubled {
            since: rfc3339(it.since),
            node: it.node.to_string(),
            how: match it.how {
                Ending::Refused => "refused",
                Ending::Unknown => "unknown",
                _ => "try-later",
            },
            why: it.why.as_str().to_owned(),
            attempts: keeper.attempts,
            next: rfc3339(keeper.due),
        }),
        behind: keeper.behind.iter().map(ToString::to_string).collect(),
        sets: sets.collect(),
    }
}

fn spoken(place: &Place) -> String {
    match place {
        Place::Update { server, key } => format!("{server}, signed with {key}"),
        Place::Cloudflare { url, zone_id } => match zone_id {
            Some(zone_id) => format!("{}, zone {}", url.as_str(), zone_id.as_str()),
            None => url.as_str().to_owned(),
        },
        Place::DeSec { url } | Place::Hetzner { url } => url.as_str().to_owned(),
        Place::Route53 {
            url,
            zone_id,
            access_key,
        } => format!(
            "{}, zone {}, access key {}",
            url.as_str(),
            zone_id.as_str(),
            access_key.as_str()
        ),
    }
}

async fn make(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(keeper): Path<String>,
    body: Body<Wanted>,
) -> Result<Json<Done>, Problem> {
    let name = keeper_name(&keeper)?;
    let facts = place::facts(&body.value)?;
    let secret = match body.value.secret.as_deref() {
        None => None,
        Some(text)
            if (1..=512).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic()) =>
        {
            let sealed = desk
                .keyring
                .seal_in_vault(&secret_context(&name), text.as_bytes());
            Some(sealed.map_err(|_| Problem::locked("keeping the token"))?)
        }
        Some(_) => {
            let wanted = "1 to 512 printable characters without spaces";
            return Err(Problem::invalid("secret", "something else", wanted));
        }
    };
    let generation = {
        let state = desk.cluster.state();
        state.keepers.all.get(&name).map_or(0, |it| it.generation)
    };
    let what = format!("making the keeper {name}");
    let says = format!(
        "the keeper {name} writes {} at {}; look at it with 'lifeboat dns keeper check {name}'",
        facts.zone,
        spoken(&facts.place)
    );
    let command = Command::Keeper(KeeperChange::Set {
        keeper: name,
        facts,
        secret,
        against: body.value.against.unwrap_or(generation),
    });
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    Ok(Done::says(says))
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(keeper): Path<String>,
    body: Body<Against>,
) -> Result<Json<Done>, Problem> {
    let (name, generation) = {
        let state = desk.cluster.state();
        let (name, known) = find(&state, &keeper)?;
        (name, known.generation)
    };
    let what = format!("removing the keeper {name}");
    let says = format!("the keeper {name} is forgotten; what is there stays as it is");
    let command = Command::Keeper(KeeperChange::Remove {
        keeper: name,
        against: body.value.against.unwrap_or(generation),
    });
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    Ok(Done::says(says))
}

/// What a switch of a service would not reach, or not at once.
pub(super) fn warnings(state: &State, service: &Switchable) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, keeper) in &state.keepers.all {
        let mut own = 0;
        for ((owner, rtype), standing) in keeper.standings(state) {
            if !service.bound().any(|it| *it.0 == owner && it.1 == rtype) {
                continue;
            }
            own += 1;
            let foreign = matches!(standing, Standing::Drifted | Standing::NotOurs);
            if foreign && !(standing == Standing::Drifted && keeper.facts.enforce) {
                warnings.push(format!(
                    "{owner} {rtype} will not be written at the keeper {name}, where it is somebody else's; 'lifeboat dns keeper plan {name}'"
                ));
            }
        }
        if own > 0
            && let Some(trouble) = &keeper.trouble
        {
            warnings.push(format!("the keeper {name}: {}", trouble.why.as_str()));
        }
    }
    warnings
}

/// What somebody should look at, for the node's status.
pub(super) fn alarms(state: &State) -> Vec<String> {
    let mut alarms = Vec::new();
    for (name, keeper) in &state.keepers.all {
        for ((owner, rtype), standing) in keeper.standings(state) {
            match standing {
                Standing::Drifted if !keeper.facts.enforce => alarms.push(format!(
                    "{owner} {rtype} was changed at the keeper {name} by somebody else; 'lifeboat dns keeper plan {name}' shows it"
                )),
                Standing::NotOurs => alarms.push(format!(
                    "{owner} {rtype} at the keeper {name} is not as wanted and waits for a person; 'lifeboat dns keeper plan {name}' shows it"
                )),
                _ => {}
            }
        }
        if let Some(trouble) = &keeper.trouble {
            alarms.push(format!("the keeper {name}: {}", trouble.why.as_str()));
        }
        for server in &keeper.behind {
            alarms.push(format!(
                "the name server {server} does not answer what was written at the keeper {name}"
            ));
        }
    }
    alarms
}
