//! Keepers: names at other people's name services. Made, looked at, checked before the emergency, and taken over by a
//! person who has seen the plan. Tokens come in and never go out.

use std::net::SocketAddr;
use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Done, services::Against, zone_name, zones::changed_lines};
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::{Mistake, Problem},
};
use crate::dns::keeper::{Finding, Looked, Office, Opener, Trouble};
use crate::dns::zone::file;
use crate::model::{
    Command, State,
    domain::{DomainName, RrSet},
    failover::Switchable,
    keeper::{
        Ending, Keeper, KeeperChange, KeeperFacts, Kept, Place, Seen, Standing,
        change::secret_context,
        held,
        plan::{For, Plan, found},
        wanted,
    },
    limits,
    when::rfc3339,
    words::{Label, Note},
};
use crate::tls::outgoing;

/// A lifetime above which a switch is slow, in seconds.
const TTL_SLOW_S: u32 = 300;
/// How long to wait until a plan that was confirmed is done.
const DONE_WITHIN: Duration = Duration::from_millis(limits::KEEPER_VISIT_MS);

/// Which name service it is, and where. What a kind does not have is left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = KeeperWanted)]
pub(super) struct Wanted {
    /// rfc2136, cloudflare, desec, hetzner or route53.
    kind: String,
    /// The zone there.
    zone: String,
    /// rfc2136: the primary's address and port.
    server: Option<String>,
    /// rfc2136: the name of one of our TSIG keys.
    key: Option<String>,
    /// The API, where it is not the provider's usual one.
    url: Option<String>,
    /// cloudflare, route53: the zone's id there.
    zone_id: Option<String>,
    /// route53: the public half of the access key.
    access_key: Option<String>,
    /// The token, or the secret half of the access key; without it the one that is there stays.
    secret: Option<String>,
    /// What somebody else writes over our names is written over again.
    enforce: bool,
    /// Addresses and ports of the zone's name servers, to be asked after each write.
    servers: Vec<String>,
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

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
            get(plan_now),
        ),
        Route::new::<Planned>(
            "post",
            "/dns/keepers/{keeper}/apply",
            "Take over what is there and write what shall be; only the plan without confirm",
            post(apply),
        )
        .takes::<Confirm>(),
        Route::new::<Checked>(
            "post",
            "/dns/keepers/{keeper}/check",
            "Whether the keeper can be reached and written, and a switch there is quick",
            post(check),
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
        place: place(&keeper.facts.place),
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

fn place(place: &Place) -> String {
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

/// Reads where a keeper is, with every mistake at once.
fn facts(wanted: &Wanted) -> Result<KeeperFacts, Problem> {
    let mut said = Vec::new();
    let zone = zone_name(&wanted.zone)
        .ok()
        .filter(|_| !wanted.zone.is_empty());
    if zone.is_none() {
        said.push(Mistake::of(
            "zone",
            &wanted.zone,
            "the zone's name there, such as example.com",
        ));
    }
    let mut servers = imbl::Vector::new();
    for text in &wanted.servers {
        match text.parse::<SocketAddr>() {
            Ok(server) => servers.push_back(server),
            Err(_) => said.push(Mistake::of(
                "servers",
                text,
                "an address and a port, such as 192.0.2.53:53",
            )),
        }
    }
    let place = read_place(wanted, &mut said);
    match (zone, place) {
        (Some(zone), Some(place)) if said.is_empty() => Ok(KeeperFacts {
            zone,
            place,
            enforce: wanted.enforce,
            servers,
        }),
        _ => Err(Problem::mistaken("the keeper", said)),
    }
}

fn read_place(wanted: &Wanted, said: &mut Vec<Mistake>) -> Option<Place> {
    let usual = match wanted.kind.as_str() {
        "rfc2136" => "",
        "cloudflare" => "https://api.cloudflare.com/client/v4",
        "desec" => "https://desec.io/api/v1",
        "hetzner" => "https://api.hetzner.cloud/v1",
        "route53" => "https://route53.amazonaws.com",
        other => {
            let kinds = "rfc2136, cloudflare, desec, hetzner or route53";
            said.push(Mistake::of("kind", other, kinds));
            return None;
        }
    };
    let has: &[&str] = match wanted.kind.as_str() {
        "rfc2136" => &["server", "key"],
        "cloudflare" => &["url", "zone_id", "secret"],
        "route53" => &["url", "zone_id", "access_key", "secret"],
        _ => &["url", "secret"],
    };
    let given = [
        ("server", &wanted.server),
        ("key", &wanted.key),
        ("url", &wanted.url),
        ("zone_id", &wanted.zone_id),
        ("access_key", &wanted.access_key),
        ("secret", &wanted.secret),
    ];
    for (field, value) in given {
        if value.is_some() && !has.contains(&field) {
            let kind = &wanted.kind;
            said.push(Mistake::of(
                field,
                "a value",
                &format!("nothing: a keeper of the kind {kind} has none"),
            ));
        }
    }
    let url = wanted.url.clone().unwrap_or_else(|| usual.to_owned());
    let mut noted = |field: &str, text: Option<&str>, what: &str| {
        let note = text
            .and_then(|it| Note::new(it).ok())
            .filter(|it| !it.as_str().is_empty());
        if note.is_none() {
            said.push(Mistake::of(field, text.unwrap_or("nothing"), what));
        }
        note
    };
    if wanted.kind == "rfc2136" {
        let server = wanted.server.as_deref().and_then(|it| it.parse().ok());
        let key: Option<DomainName> = wanted.key.as_deref().and_then(|it| it.parse().ok());
        if server.is_none() {
            let found = wanted.server.as_deref().unwrap_or("nothing");
            said.push(Mistake::of(
                "server",
                found,
                "the primary's address and port, such as 192.0.2.53:53",
            ));
        }
        if key.is_none() {
            let found = wanted.key.as_deref().unwrap_or("nothing");
            said.push(Mistake::of(
                "key",
                found,
                "the name of a TSIG key; 'lifeboat dns tsig add' makes one",
            ));
        }
        return Some(Place::Update {
            server: server?,
            key: key?,
        });
    }
    let url = noted("url", Some(&url), "https://...");
    match wanted.kind.as_str() {
        "cloudflare" => {
            let zone_id = wanted.zone_id.as_deref();
            let zone_id = zone_id.map(|it| noted("zone_id", Some(it), "the zone's id"));
            Some(Place::Cloudflare {
                url: url?,
                zone_id: zone_id.flatten(),
            })
        }
        "desec" => Some(Place::DeSec { url: url? }),
        "hetzner" => Some(Place::Hetzner { url: url? }),
        _ => {
            let zone_id = noted("zone_id", wanted.zone_id.as_deref(), "the hosted zone's id");
            let access_key = noted(
                "access_key",
                wanted.access_key.as_deref(),
                "the access key's id",
            );
            Some(Place::Route53 {
                url: url?,
                zone_id: zone_id?,
                access_key: access_key?,
            })
        }
    }
}

async fn make(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(keeper): Path<String>,
    body: Body<Wanted>,
) -> Result<Json<Done>, Problem> {
    let name = keeper_name(&keeper)?;
    let facts = facts(&body.value)?;
    let secret = match body.value.secret.as_deref() {
        None => None,
        Some(text)
            if (1..=512).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic()) =>
        {
            Some(desk.keyring.seal(&secret_context(&name), text.as_bytes()))
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
        place(&facts.place)
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

async fn plan_now(
    Shared(desk): Shared<Desk>,
    Path(keeper): Path<String>,
) -> Result<Json<Planned>, Problem> {
    let (name, _, looked) = look(&desk, &keeper).await?;
    let held = held(&desk.cluster.state());
    Ok(Json(planned(&name, &looked.plan, held)))
}

async fn apply(
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

async fn check(
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
