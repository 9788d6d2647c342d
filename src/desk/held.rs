//! What is held since a recovery or a restore: shown with what may repeat, and released or dropped by a person (P7).

use axum::{
    Json,
    extract::State as Shared,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::Problem,
};
use crate::model::{
    Command, State,
    campaign::{self, Stage},
    limits,
    outbox::{Item, ItemId},
    trust::{HeldKind, TrustChange, Which, meant},
    when::rfc3339,
    words::{NodeId, Wrong},
};

/// What waits for a person's word.
#[derive(Serialize, ToSchema)]
pub(super) struct HeldThings {
    /// Items of the outbox in all.
    items: u64,
    /// The same by kind.
    kinds: Vec<OfKind>,
    /// The oldest of them, 200 at most.
    oldest: Vec<HeldItem>,
    /// Campaigns that are held; released one by one with 'lifeboat mail release'.
    campaigns: Vec<String>,
    /// Whether switching by verdict is held; released with 'lifeboat dns release'.
    switching: bool,
}

/// How much of one kind waits.
#[derive(Serialize, ToSchema)]
struct OfKind {
    kind: &'static str,
    items: u64,
    /// Of those, how many a mail server or channel may have taken already.
    may_repeat: u64,
    /// Of those, how many are too old to leave: released, they are given up.
    too_old: u64,
}

/// One thing that waits.
#[derive(Serialize, ToSchema)]
struct HeldItem {
    item: String,
    kind: &'static str,
    /// The conversation, where it belongs to one.
    conversation: Option<String>,
    made: String,
    not_after: String,
    /// How often it was tried in vain.
    attempts: u32,
    /// The node that was at it when the old cluster ended: it may have got through.
    was_with: Option<String>,
}

/// Which items.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    /// One of the kinds, or all.
    kind: Option<String>,
    /// One item.
    item: Option<String>,
    /// How many they are, as they were shown.
    count: u64,
    /// Only show what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(super) struct Let {
    /// How many items.
    items: u64,
    /// Whether it was only shown.
    dry_run: bool,
    says: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<HeldThings>(
            "get",
            "/held",
            "What waits for a person's word since a recovery or a restore",
            get(list),
        ),
        Route::new::<Let>(
            "post",
            "/held/release",
            "Let held items leave; what somebody may have had already is sent again",
            post(release),
        )
        .takes::<Chosen>(),
        Route::new::<Let>(
            "post",
            "/held/drop",
            "Give held items up, on the record",
            post(give_up),
        )
        .takes::<Chosen>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<HeldThings> {
    let state = desk.cluster.state();
    let held = || {
        let held = state.held.items.iter();
        held.filter_map(|(id, with)| Some((id, with, state.outbox.get(id)?)))
    };
    let kinds = HeldKind::ALL.into_iter().map(|kind| {
        let of_it = || held().filter(move |(_, _, it)| HeldKind::of(&it.kind) == kind);
        OfKind {
            kind: kind.name(),
            items: of_it().count() as u64,
            may_repeat: of_it().filter(|it| may_repeat(*it.1, it.2)).count() as u64,
            too_old: of_it().filter(|it| it.2.not_after < state.now).count() as u64,
        }
    });
    let campaigns = state.campaigns.all.iter();
    let campaigns = campaigns
        .filter(|(_, it)| !matches!(it.stage, Stage::Ended(_)) && campaign::held(&state, it));
    let released = state.cluster.as_ref().map(|it| it.generation);
    Json(HeldThings {
        items: state.held.items.len() as u64,
        kinds: kinds.filter(|it| it.items > 0).collect(),
        oldest: held()
            .take(limits::HELD_LISTED_MAX)
            .map(|(id, with, it)| shown(&state, (*id, *with), it))
            .collect(),
        campaigns: campaigns.map(|(id, _)| id.to_string()).collect(),
        switching: released.is_some_and(|it| it != state.failover.released),
    })
}

/// Whether somebody may have had it: a node was at it, or it was tried without a clear answer.
fn may_repeat(was_with: Option<NodeId>, item: &Item) -> bool {
    was_with.is_some() || item.attempts > 0
}

fn shown(state: &State, (id, was_with): (ItemId, Option<NodeId>), item: &Item) -> HeldItem {
    let named = |id: NodeId| {
        let node = state.nodes.get(&id);
        node.map_or_else(|| id.to_string(), |it| it.facts.name.to_string())
    };
    HeldItem {
        item: id.to_string(),
        kind: HeldKind::of(&item.kind).name(),
        conversation: item.kind.conversation().map(|it| it.to_string()),
        made: rfc3339(item.made),
        not_after: rfc3339(item.not_after),
        attempts: item.attempts,
        was_with: was_with.map(named),
    }
}

async fn release(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Chosen>,
) -> Result<Json<Let>, Problem> {
    changed(&desk, &asking, &body, true).await
}

async fn give_up(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Chosen>,
) -> Result<Json<Let>, Problem> {
    changed(&desk, &asking, &body, false).await
}

async fn changed(
    desk: &Desk,
    asking: &Asking,
    body: &Body<Chosen>,
    leaves: bool,
) -> Result<Json<Let>, Problem> {
    let (chosen, state) = (&body.value, desk.cluster.state());
    let which = which(chosen)?;
    let items = meant(&state, which).len() as u64;
    let (what, says) = match leaves {
        true => ("releasing held items", format!("{items} may leave")),
        false => ("giving up held items", format!("{items} given up")),
    };
    if !chosen.dry_run {
        let count = chosen.count;
        let change = match leaves {
            true => TrustChange::Release { which, count },
            false => TrustChange::Drop { which, count },
        };
        let command = Command::Trust(change);
        desk.agreed(asking, &body.bytes, what, command).await?;
    }
    Ok(Json(Let {
        items,
        dry_run: chosen.dry_run,
        says,
    }))
}

fn which(chosen: &Chosen) -> Result<Which, Problem> {
    match (chosen.kind.as_deref(), chosen.item.as_deref()) {
        (Some("all"), None) => Ok(Which::All),
        (Some(kind), None) => {
            let parsed = kind.parse::<HeldKind>();
            let wanted = |it: Wrong| Problem::invalid("kind", kind, &it.to_string());
            parsed.map(Which::Kind).map_err(wanted)
        }
        (None, Some(item)) => {
            let numbers = item.split_once('.');
            let numbers = numbers.and_then(|(index, place)| {
                Some(ItemId {
                    index: index.parse().ok()?,
                    place: place.parse().ok()?,
                })
            });
            let wanted = "two numbers with a dot, as 'lifeboat held' shows";
            numbers
                .map(Which::One)
                .ok_or_else(|| Problem::invalid("item", item, wanted))
        }
        _ => Err(Problem::invalid(
            "kind and item",
            "both or neither",
            "one of them",
        )),
    }
}
