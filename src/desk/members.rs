//! The nodes: who they are and how they are, and asking for changes of who votes and who leads.
//!
//! A change is put on the record first, under the caller's name, and tried then.

use std::time::Duration;

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
    asking::{Asking, Body},
    problem::Problem,
};
use crate::{
    cluster::{
        MemberChange,
        health::{Health, RaftRole},
    },
    model::{
        Command, State, limits,
        nodes::{Profile, sound_voters},
        when::rfc3339,
        words::{NodeId, Note},
    },
};

/// One node.
#[derive(Serialize, ToSchema)]
pub(super) struct Member {
    id: String,
    name: String,
    provider: String,
    region: String,
    /// Address and port for other nodes.
    address: String,
    /// What it is: voter, learner, or admitted (not a member yet, or no longer).
    role: &'static str,
    /// It leads, as far as this node knows.
    leader: bool,
    /// It is this node.
    here: bool,
    /// It answered this node lately.
    reachable: bool,
    /// Round trip from this node, in milliseconds.
    round_trip_ms: Option<f64>,
    /// Its clock minus this node's, in milliseconds.
    clock_ahead_ms: Option<i64>,
    /// Entries of the log that it has not applied yet, as far as this node knows.
    behind: Option<u64>,
    /// It has the live site's files.
    holds_site: bool,
    certificate_expired: bool,
    version: String,
    /// The newest entry format that it reads.
    format: u16,
    admitted: Option<String>,
}

/// Every node.
#[derive(Serialize, ToSchema)]
pub(super) struct Members {
    nodes: Vec<Member>,
    /// What is unsound about the voters, in words.
    warning: Option<String>,
}

/// How a change of members is asked for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wish {
    /// Do it though the voters would be even in number, or one provider would hold half of them.
    force: bool,
}

/// Which node takes the place of another.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replacement {
    /// The node that comes in: id or name.
    with: String,
    /// As in the other changes.
    #[serde(default)]
    force: bool,
}

/// Who shall lead.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Leadership {
    /// The node: id or name. Without it, whoever has the whole log.
    to: Option<String>,
}

/// How far apart the nodes are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The timing profile: lan, near or wan.
    profile: String,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(super) struct Done {
    /// In words.
    says: String,
}

pub(super) fn routes() -> Vec<Route> {
    let change = |path, summary, works| Route::new::<Done>("post", path, summary, works);
    vec![
        Route::new::<Members>(
            "get",
            "/nodes",
            "Every node, as this one sees it",
            get(nodes),
        ),
        change(
            "/nodes/{node}/promote",
            "Let an admitted node vote once it has caught up",
            post(promote),
        )
        .takes::<Wish>(),
        change(
            "/nodes/{node}/demote",
            "Let a node listen only",
            post(demote),
        )
        .takes::<Wish>(),
        change(
            "/nodes/{node}/remove",
            "Let a node go for good",
            post(remove),
        )
        .takes::<Wish>(),
        change(
            "/nodes/{node}/replace",
            "Let another node take its place in one step",
            post(replace),
        )
        .takes::<Replacement>(),
        change("/leader", "Hand leadership over", post(transfer)).takes::<Leadership>(),
        change("/profile", "Change the timing profile", post(profile)).takes::<Wanted>(),
    ]
}

async fn nodes(Shared(desk): Shared<Desk>) -> Json<Members> {
    let (state, health) = (desk.cluster.state(), desk.cluster.health());
    let warning = sound_voters(&state, &state.voters).err();
    Json(Members {
        nodes: list(&desk, &state, &health),
        // The hint at --force in the sentence belongs to a change, not to what is.
        warning: warning
            .filter(|_| !state.voters.is_empty())
            .map(|it| match it {
                crate::model::Refusal::VotersEven { count } => {
                    format!("{count} voters survive no more failures than {}", count - 1)
                }
                other => other
                    .to_string()
                    .replace(" (--force to do it all the same)", ""),
            }),
    })
}

async fn promote(
    desk: Shared<Desk>,
    asking: Asking,
    Path(node): Path<String>,
    body: Body<Wish>,
) -> Result<Json<Done>, Problem> {
    let node = find(&desk.cluster.state(), &node)?;
    let change = MemberChange::Promote(node);
    let says = format!("{node} votes now");
    changed(&desk, &asking, &body.bytes, change, body.value.force, says).await
}

async fn demote(
    desk: Shared<Desk>,
    asking: Asking,
    Path(node): Path<String>,
    body: Body<Wish>,
) -> Result<Json<Done>, Problem> {
    let node = find(&desk.cluster.state(), &node)?;
    let change = MemberChange::Demote(node);
    let says = format!("{node} listens only now");
    changed(&desk, &asking, &body.bytes, change, body.value.force, says).await
}

async fn remove(
    desk: Shared<Desk>,
    asking: Asking,
    Path(node): Path<String>,
    body: Body<Wish>,
) -> Result<Json<Done>, Problem> {
    let state = desk.cluster.state();
    let node = find(&state, &node)?;
    let says = format!("{node} is gone; its number is never used again");
    if state.members().contains(&node) {
        let change = MemberChange::Remove(node);
        // The change forgets the node as its last step.
        return changed(&desk, &asking, &body.bytes, change, body.value.force, says).await;
    }
    let id = asking.id(&[&body.bytes[..], b"forget"].concat());
    let what = format!("letting {node} go");
    desk.propose(&asking, id, &what, Command::ForgetNode { node })
        .await?;
    Ok(Json(Done { says }))
}

async fn replace(
    desk: Shared<Desk>,
    asking: Asking,
    Path(node): Path<String>,
    body: Body<Replacement>,
) -> Result<Json<Done>, Problem> {
    let state = desk.cluster.state();
    let (out, into) = (find(&state, &node)?, find(&state, &body.value.with)?);
    let change = MemberChange::Replace(out, into);
    let says = format!("{into} has taken the place of {out}");
    changed(&desk, &asking, &body.bytes, change, body.value.force, says).await
}

async fn transfer(
    desk: Shared<Desk>,
    asking: Asking,
    body: Body<Leadership>,
) -> Result<Json<Done>, Problem> {
    let to = match &body.value.to {
        Some(node) => Some(find(&desk.cluster.state(), node)?),
        None => None,
    };
    let says = match to {
        Some(node) => format!("{node} leads now"),
        None => "another node leads now".to_owned(),
    };
    let change = MemberChange::TransferLeadership(to);
    changed(&desk, &asking, &body.bytes, change, false, says).await
}

async fn profile(
    desk: Shared<Desk>,
    asking: Asking,
    body: Body<Wanted>,
) -> Result<Json<Done>, Problem> {
    let Some(profile) = Profile::of_name(&body.value.profile) else {
        let wanted = "lan, near or wan";
        return Err(Problem::invalid("profile", &body.value.profile, wanted));
    };
    let what = format!("changing the profile to {}", profile.name());
    let id = asking.id(&[&body.bytes[..], b"profile"].concat());
    desk.propose(&asking, id, &what, Command::SetProfile { profile })
        .await?;
    let says = format!(
        "the timing profile is {} now; each node takes it on within a minute, one after the other",
        profile.name()
    );
    Ok(Json(Done { says }))
}

async fn changed(
    desk: &Desk,
    asking: &Asking,
    content: &[u8],
    change: MemberChange,
    force: bool,
    says: String,
) -> Result<Json<Done>, Problem> {
    try_change(desk, asking, content, change, force).await?;
    Ok(Json(Done { says }))
}

/// Puts the wish on the record, then asks Raft.
async fn try_change(
    desk: &Desk,
    asking: &Asking,
    content: &[u8],
    change: MemberChange,
    force: bool,
) -> Result<(), Problem> {
    let words = spoken(&change, force);
    let note = Command::ChangeMembers {
        change: Note::cut(&words),
    };
    desk.propose(asking, asking.id(content), &words, note)
        .await?;
    let deadline = Duration::from_millis(limits::DESK_MEMBERS_MS);
    desk.cluster
        .change_members(change, force, deadline)
        .await
        .map_err(|error| Problem::changing(&words, &error))
}

fn spoken(change: &MemberChange, force: bool) -> String {
    let words = match change {
        MemberChange::Promote(node) => format!("promoting {node}"),
        MemberChange::Demote(node) => format!("demoting {node}"),
        MemberChange::Remove(node) => format!("removing {node}"),
        MemberChange::Replace(out, into) => format!("replacing {out} with {into}"),
        MemberChange::TransferLeadership(Some(node)) => format!("handing leadership to {node}"),
        MemberChange::TransferLeadership(None) => "handing leadership over".to_owned(),
    };
    if force { words + " by force" } else { words }
}

/// The node that people mean by `n4`, `4` or its name.
pub(super) fn find(state: &State, text: &str) -> Result<NodeId, Problem> {
    let by_name = state
        .nodes
        .iter()
        .find(|(_, node)| node.facts.name.as_str() == text)
        .map(|(id, _)| *id);
    let number = text.strip_prefix('n').unwrap_or(text).parse().map(NodeId);
    let by_number = number.ok().filter(|id| state.nodes.contains_key(id));
    by_name.or(by_number).ok_or_else(|| {
        Problem::not_found(
            &format!("node as {text}"),
            "'lifeboat nodes' lists them; give the number or the name",
        )
    })
}

/// Every node as this one sees it; before the cluster is founded, this node alone.
pub(super) fn list(desk: &Desk, state: &State, health: &Health) -> Vec<Member> {
    let own = desk.cluster.id();
    let bundle = state.sites.live().map(|it| it.bundle);
    let holders = bundle
        .and_then(|it| state.blobs.get(&it))
        .map(|it| it.holders.clone())
        .unwrap_or_default();
    let of = |id: &NodeId, node: &crate::model::nodes::Node| {
        let peer = health.peers.iter().find(|it| it.id == *id);
        let here = *id == own;
        let applied = if here {
            Some(health.applied)
        } else {
            peer.and_then(|it| it.applied.or(it.matched))
        };
        Member {
            id: id.to_string(),
            name: node.facts.name.to_string(),
            provider: node.facts.provider.to_string(),
            region: node.facts.region.to_string(),
            address: node.facts.advertise.as_str().to_owned(),
            role: role(state, *id),
            leader: health.leader == Some(*id),
            here,
            reachable: here || peer.is_some_and(|it| it.reachable),
            round_trip_ms: peer.and_then(|it| it.round_trip_us).map(milliseconds),
            clock_ahead_ms: peer.and_then(|it| it.clock_ahead_ms),
            behind: applied.map(|it| health.last_log.saturating_sub(it)),
            holds_site: holders.contains_key(id),
            certificate_expired: peer.is_some_and(|it| it.certificate_expired),
            version: node.facts.version.as_str().to_owned(),
            format: node.facts.format,
            admitted: Some(rfc3339(node.admitted)),
        }
    };
    state.nodes.iter().map(|(id, node)| of(id, node)).collect()
}

fn role(state: &State, id: NodeId) -> &'static str {
    if state.voters.contains(&id) {
        "voter"
    } else if state.learners.contains(&id) {
        "learner"
    } else {
        "admitted"
    }
}

/// The role as the API and the terminal say it.
pub(super) fn raft_role(role: RaftRole) -> &'static str {
    match role {
        RaftRole::Starting => "starting",
        RaftRole::Learner => "learner",
        RaftRole::Follower => "follower",
        RaftRole::Candidate => "candidate",
        RaftRole::Leader => "leader",
        RaftRole::Halted => "halted",
    }
}

/// Microseconds as milliseconds with three decimals; a round trip is far below what an f64 holds exactly.
fn milliseconds(us: u64) -> f64 {
    f64::from(u32::try_from(us).unwrap_or(u32::MAX)) / 1_000.0
}
