//! Visits that people ask for: the plan as of now, its writing after a person has seen it, and the check before the
//! emergency. Nothing is kept here; what is written goes the way of every write, by a lease.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State as Shared},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::zones::changed_lines;
use super::find;
use crate::desk::{
    Desk,
    asking::{Asking, Body},
    problem::Problem,
};
use crate::dns::keeper::{Finding, Looked, Office, Opener, Trouble};
use crate::dns::zone::file;
use crate::model::{
    Command, State,
    domain::RrSet,
    keeper::{
        Keeper, KeeperChange, Seen, Standing, held,
        plan::{For, Plan, found},
    },
    limits,
    words::Label,
};
use crate::tls::outgoing;

/// A lifetime above which a switch is slow, in seconds.
const TTL_SLOW_S: u32 = 300;
/// How long to wait until a plan that was confirmed is done.
const DONE_WITHIN: Duration = Duration::from_millis(limits::KEEPER_VISIT_MS);

/// How many changes a person has seen.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Confirm {
    /// The number of changes in the plan; without it only the plan is shown.
    confirm: Option<u64>,
}

/// What would be written, or was.
#[derive(Serialize, ToSchema)]
#[schema(as = KeeperPlan)]
pub(super) struct Planned {
    keeper: String,
    /// It was written and read back; else it was only looked at, or is under way.
    done: bool,
    /// How many sets differ. Given back as `confirm`, they are written over.
    changes: u64,
    /// Records that change, as lines: `- old`, `+ new`.
    lines: Vec<String>,
    /// Other records at the same names, which stay.
    beside: Vec<String>,
    /// What somebody should look at.
    warnings: Vec<String>,
}

/// Whether to prove that it can be written.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct How {
    /// Write one set as it is there already.
    write: bool,
}

/// What a check found.
#[derive(Serialize, ToSchema)]
#[schema(as = KeeperChecked)]
pub(super) struct Checked {
    keeper: String,
    /// All is as it should be.
    good: bool,
    findings: Vec<Found>,
}

/// One thing that was found.
#[derive(Serialize, ToSchema)]
#[schema(as = KeeperFinding)]
struct Found {
    good: bool,
    what: String,
    advice: String,
}

fn open(desk: &Desk, state: &State, name: &Label, keeper: &Keeper) -> Result<Office, Problem> {
    let tls = outgoing::connector(None).map_err(|it| {
        Problem::failed(
            "opening the keeper",
            it.to_string(),
            "look at this node's log",
        )
    })?;
    let opener = Opener::new(desk.keyring.clone(), tls);
    let opened = opener.open(state, name, keeper);
    opened.map_err(|it| cannot(name, &it))
}

fn cannot(name: &Label, trouble: &Trouble) -> Problem {
    let advice = format!("'lifeboat dns keeper check {name}' says more; nothing was changed");
    Problem::failed(
        &format!("looking at the keeper {name}"),
        trouble.to_string(),
        &advice,
    )
}

/// Looks at a keeper now.
async fn look(desk: &Desk, keeper: &str) -> Result<(Label, u64, Looked), Problem> {
    let state = desk.cluster.state();
    let (name, known) = find(&state, keeper)?;
    let office = open(desk, &state, &name, known)?;
    let looked = bounded(office.look(&state, known, For::Person)).await;
    let looked = looked.map_err(|it| cannot(&name, &it))?;
    Ok((name, known.generation, looked))
}

/// A look of many names at a slow provider ends too.
async fn bounded<T>(look: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let late = |_| {
        Err(Trouble::TryLater {
            why: "it does not answer in time".to_owned(),
            rest_ms: 0,
        })
    };
    tokio::time::timeout(DONE_WITHIN, look)
        .await
        .unwrap_or_else(late)
}

fn planned(name: &Label, plan: &Plan, held: bool) -> Planned {
    let mut lines = Vec::new();
    for change in &plan.changes {
        let set = |it: &Option<RrSet>| it.iter().cloned().collect::<Vec<_>>();
        lines.extend(changed_lines(&set(&change.before), &set(&change.after)));
    }
    let mut warnings = Vec::new();
    for ((owner, rtype), standing) in &plan.standings {
        match standing {
            Standing::Drifted => warnings.push(format!(
                "{owner} {rtype} was changed there by somebody else"
            )),
            Standing::NotOurs => warnings.push(format!(
                "{owner} {rtype} was never written or found as wanted by us"
            )),
            Standing::InStep | Standing::Waiting | Standing::Unseen => {}
        }
    }
    for ((owner, rtype), there, wanted) in &plan.lifetimes {
        warnings.push(format!(
            "{owner} {rtype} has the lifetime {there} s there, and {wanted} s is wanted"
        ));
    }
    if held {
        warnings
            .push("nothing is written since a restore, until 'lifeboat dns release'".to_owned());
    }
    Planned {
        keeper: name.to_string(),
        done: false,
        changes: plan.changes.len() as u64,
        lines,
        beside: plan.beside.iter().flat_map(file::lines).collect(),
        warnings,
    }
}

pub(super) async fn plan_now(
    Shared(desk): Shared<Desk>,
    Path(keeper): Path<String>,
) -> Result<Json<Planned>, Problem> {
    let (name, _, looked) = look(&desk, &keeper).await?;
    let held = held(&desk.cluster.state());
    Ok(Json(planned(&name, &looked.plan, held)))
}

pub(super) async fn apply(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(keeper): Path<String>,
    body: Body<Confirm>,
) -> Result<Json<Planned>, Problem> {
    let (name, against, looked) = look(&desk, &keeper).await?;
    let held = held(&desk.cluster.state());
    let mut answer = planned(&name, &looked.plan, held);
    match body.value.confirm {
        Some(count) if count == answer.changes && count > 0 => {}
        Some(count) if count != answer.changes => {
            let found = format!("{count}");
            let wanted = format!(
                "{}, as many as differ now; look at the plan again",
                answer.changes
            );
            return Err(Problem::invalid("confirm", &found, &wanted));
        }
        _ => return Ok(Json(answer)),
    }
    let seen = looked.plan.changes.iter().map(|it| Seen {
        name: it.name.clone(),
        rtype: it.rtype,
        found: found(it.before.as_ref()),
    });
    let command = Command::Keeper(KeeperChange::TakeOver {
        keeper: name.clone(),
        seen: seen.collect(),
        against,
    });
    let what = format!("writing to the keeper {name}");
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    answer.done = written(&desk, &name, &mut answer.warnings).await;
    Ok(Json(answer))
}

/// Waits until everything at a keeper is as wanted, or something went wrong.
async fn written(desk: &Desk, name: &Label, warnings: &mut Vec<String>) -> bool {
    let mut changes = desk.cluster.changes();
    let ended = async {
        loop {
            changes.borrow_and_update();
            let state = desk.cluster.state();
            let Some(keeper) = state.keepers.all.get(name) else {
                return Err("the keeper is gone".to_owned());
            };
            let standings = keeper.standings(&state);
            if standings.iter().all(|it| it.1 == Standing::InStep) {
                return Ok(());
            }
            if let Some(trouble) = &keeper.trouble {
                return Err(trouble.why.as_str().to_owned());
            }
            if standings.iter().any(|it| it.1 == Standing::Drifted) {
                return Err("somebody else changed it meanwhile; look at the plan again".to_owned());
            }
            if changes.changed().await.is_err() {
                return Err("this node is stopping".to_owned());
            }
        }
    };
    match tokio::time::timeout(DONE_WITHIN, ended).await {
        Ok(Ok(())) => true,
        Ok(Err(why)) => {
            warnings.push(format!("not everything is written: {why}"));
            false
        }
        Err(_) => {
            warnings.push("it is still under way; 'lifeboat dns keeper list' shows it".to_owned());
            false
        }
    }
}

pub(super) async fn check(
    Shared(desk): Shared<Desk>,
    Path(keeper): Path<String>,
    body: Body<How>,
) -> Result<Json<Checked>, Problem> {
    let state = desk.cluster.state();
    let (name, known) = find(&state, &keeper)?;
    let office = open(&desk, &state, &name, known)?;
    let mut findings: Vec<Found> = office.look_over().await.into_iter().map(told).collect();
    match bounded(office.look(&state, known, For::Person)).await {
        Err(trouble) => findings.push(bad(
            format!("what is there cannot be read: {trouble}"),
            "look at the rights to read",
        )),
        Ok(looked) => {
            findings.extend(looked_over(&looked));
            let behind = office.behind(&looked.wanted).await;
            findings.extend(behind.iter().map(|it| {
                bad(
                    format!("the name server {it} answers otherwise, or not at all"),
                    "wait a moment; else look at it",
                )
            }));
            if body.value.write {
                let there = looked.there.iter();
                let own = there
                    .filter(|it| looked.wanted.contains_key(&(it.name.clone(), it.rtype)))
                    .take(1);
                for set in own {
                    findings.push(told(office.prove(set).await));
                }
            }
        }
    }
    Ok(Json(Checked {
        keeper: name.to_string(),
        good: findings.iter().all(|it| it.good),
        findings,
    }))
}

fn told(it: Finding) -> Found {
    Found {
        good: it.good,
        what: it.what,
        advice: it.advice,
    }
}

fn bad(what: String, advice: &str) -> Found {
    Found {
        good: false,
        what,
        advice: advice.to_owned(),
    }
}

/// What a look tells about an emergency to come.
fn looked_over(looked: &Looked) -> Vec<Found> {
    let mut findings = Vec::new();
    if looked.wanted.is_empty() {
        findings.push(bad(
            "no service has a name in this zone".to_owned(),
            "make one with 'lifeboat dns service apply FILE'",
        ));
    }
    for ((owner, rtype), standing) in &looked.plan.standings {
        let what = match standing {
            Standing::Drifted => "was changed there by somebody else: a switch will not write it",
            Standing::NotOurs => "is not as wanted and was never ours: a switch will not write it",
            Standing::InStep | Standing::Waiting | Standing::Unseen => continue,
        };
        findings.push(bad(
            format!("{owner} {rtype} {what}"),
            "look with 'lifeboat dns keeper plan', then 'lifeboat dns keeper apply'",
        ));
    }
    for set in &looked.there {
        if looked.wanted.contains_key(&(set.name.clone(), set.rtype)) && set.ttl > TTL_SLOW_S {
            findings.push(bad(
                format!("{} {} has the lifetime {} s there", set.name, set.rtype, set.ttl),
                "resolvers keep the old address that long: give the targets' records 60 s, then 'lifeboat dns keeper apply'",
            ));
        }
    }
    for set in &looked.plan.beside {
        findings.push(bad(
            format!("{} {} is there beside them, and no service switches it", set.name, set.rtype),
            "whoever asks for it stays with the old target: put it into every target, or take it away",
        ));
    }
    if findings.is_empty() {
        findings.push(Found {
            good: true,
            what: format!("{} sets of records are as wanted", looked.wanted.len()),
            advice: String::new(),
        });
    }
    findings
}
