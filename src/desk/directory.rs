//! The directory over the API: taking it in, changing it, comparing and going back; asking it for an audience or one
//! customer; erasing one; and saying whom an incident touches.
//!
//! What is uploaded is read and written on this node, away from the threads that answer, before the cluster is asked. An
//! upload with a mistake in it leaves nothing behind.

use axum::{
    Json,
    extract::{DefaultBodyLimit, Query, State as Shared},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::Problem,
    site::chain,
};
use crate::{
    directory::{Audience, Directory, DirectoryError, Lists, difference, erasure},
    model::{
        Command, State,
        directory::{AudienceText, DirectoryChange, DirectoryVersion, Version},
        incident::IncidentId,
        limits,
        when::rfc3339,
        words::Wrong,
    },
};

mod asks;
mod import;

use asks::{Card, Short};
pub(super) use asks::{Meant, Question};
use import::Imported;

/// One version of the directory.
#[derive(Serialize, ToSchema)]
pub(super) struct Shown {
    version: String,
    /// It is what is asked.
    live: bool,
    /// It is what somebody asked for last.
    wanted: bool,
    customers: u64,
    contacts: u64,
    services: u64,
    /// Bytes of all its files.
    bytes: u64,
    /// Changes on top of a whole directory.
    changes: u64,
    published: String,
    by: String,
    note: String,
    /// Voters that have all of it, and voters in all: a majority makes it live.
    voters_holding: u64,
    voters: u64,
}

/// The directory as a whole.
#[derive(Serialize, ToSchema)]
pub(super) struct Whole {
    live: Option<String>,
    wanted: Option<String>,
    /// The version that this node answers from.
    open: Option<String>,
    /// Customers that were erased and are kept out of imports.
    erased: u64,
    /// Whom incidents touch.
    affects: Vec<Touched>,
    /// Newest first.
    versions: Vec<Shown>,
}

/// Whom one incident touches.
#[derive(Serialize, ToSchema)]
pub(super) struct Touched {
    incident: String,
    /// Nothing where it is not known.
    audience: Option<String>,
    /// Customers that this means now; nothing where this node has no directory.
    customers: Option<u64>,
}

/// How two versions differ.
#[derive(Serialize, ToSchema)]
pub(super) struct Differs {
    from: String,
    to: String,
    added: u64,
    changed: u64,
    removed: u64,
    /// The first of them: `+`, `~` or `-` and the customer's number.
    numbers: Vec<String>,
}

/// Which versions to compare.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Between {
    from: Option<String>,
    to: Option<String>,
}

/// Which version to go back to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Back {
    /// As listed, such as `d42`.
    version: String,
}

/// A customer who must not be known any more, or may be again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Whom {
    /// The company's number for the customer.
    customer: String,
    /// 1, once it was seen what goes; without it nothing is done.
    #[serde(default)]
    confirm: Option<u64>,
}

/// What is erased.
#[derive(Serialize, ToSchema)]
pub(super) struct Erased {
    /// It is agreed on; else it was only looked at.
    done: bool,
    /// The directory knew the customer.
    known: bool,
    contacts: u64,
    services: u64,
}

/// Whom an incident touches.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Touches {
    pub(super) incident: String,
    /// Servers, racks, datacentres and products, such as `datacentre=prague and not product=dns`; nothing where it is not
    /// known.
    pub(super) audience: Option<String>,
}

/// What an upload's query takes.
const UPLOAD: &[(&str, &str)] = &[
    ("note", "why, in one line"),
    ("dry_run", "true: read and compare only"),
    ("confirm", "how many customers of the directory may be gone"),
    (
        "map",
        "FIELD=COLUMN, as often as needed, where a heading does not say it",
    ),
];

pub(super) fn routes() -> Vec<Route> {
    let mut routes = versions();
    routes.extend(questions());
    routes
}

fn versions() -> Vec<Route> {
    vec![
        Route::new::<Whole>("get", "/directory", "The directory's versions", get(show)),
        Route::new::<Imported>(
            "post",
            "/directory",
            "Take in a whole directory: CSV or JSON lines, or a .tar of such files",
            post(import::whole),
        )
        .query(UPLOAD)
        .takes_bytes(),
        Route::new::<Imported>(
            "post",
            "/directory/changes",
            "Change customers: JSON lines, each a whole customer or {\"customer\": ..., \"gone\": true}",
            post(import::changes),
        )
        .query(UPLOAD)
        .takes_bytes(),
        Route::new::<Differs>("get", "/directory/diff", "How two versions differ", get(diff)).query(&[
            ("from", "the older version; left out, the live one"),
            ("to", "the newer version; left out, the wanted one"),
        ]),
        Route::new::<Shown>(
            "post",
            "/directory/rollback",
            "Make an earlier version the wanted one",
            post(rollback),
        )
        .takes::<Back>(),
    ]
}

fn questions() -> Vec<Route> {
    let lists = DefaultBodyLimit::max(limits::AUDIENCE_LISTS_BYTES_MAX);
    vec![
        Route::new::<Meant>(
            "post",
            "/directory/audience",
            "How many an audience means, and some of them",
            post(asks::audience).layer(lists),
        )
        .takes::<Question>(),
        Route::new::<Touched>(
            "post",
            "/directory/affects",
            "Say whom an incident touches, for \"is it me\" and the customers' cards",
            post(affects),
        )
        .takes::<Touches>(),
        Route::new::<Vec<Short>>(
            "get",
            "/directory/customers",
            "Customers with this number, address, domain or server",
            get(asks::find),
        )
        .query(&[("find", "the whole number, address, domain or server")]),
        Route::new::<Card>(
            "get",
            "/directory/customers/{customer}",
            "One customer, and whether what happens touches them",
            get(asks::card),
        ),
        Route::new::<Erased>(
            "post",
            "/directory/erase",
            "Erase one customer from every version",
            post(erase),
        )
        .takes::<Whom>(),
        Route::new::<Erased>(
            "post",
            "/directory/readmit",
            "Let an erased customer into later imports again",
            post(readmit),
        )
        .takes::<Whom>(),
    ]
}

async fn show(Shared(desk): Shared<Desk>) -> Json<Whole> {
    let state = desk.cluster.state();
    let directory = &state.directory;
    let versions = directory.versions.iter().rev();
    let touched = directory.affects.iter().map(|(incident, it)| Touched {
        incident: incident.to_string(),
        audience: Some(it.audience.as_str().to_owned()),
        customers: None,
    });
    Json(Whole {
        live: directory.live.map(|it| it.to_string()),
        wanted: directory.wanted.map(|it| it.to_string()),
        open: desk.directory.get().map(|it| it.version().to_string()),
        erased: directory.erased.len() as u64,
        affects: touched.collect(),
        versions: versions
            .map(|(version, it)| shown(&state, *version, it))
            .collect(),
    })
}

fn shown(state: &State, version: DirectoryVersion, it: &Version) -> Shown {
    let holds = |node: &&crate::model::words::NodeId| {
        it.layers().all(|layer| {
            let blob = state.blobs.get(&layer.blob);
            blob.is_some_and(|blob| blob.holders.contains_key(*node))
        })
    };
    Shown {
        version: version.to_string(),
        live: state.directory.live == Some(version),
        wanted: state.directory.wanted == Some(version),
        customers: it.counts.customers,
        contacts: it.counts.contacts,
        services: it.counts.services,
        bytes: it.layers().map(|it| it.size).sum(),
        changes: it.deltas.len() as u64,
        published: rfc3339(it.at),
        by: it.by.clone(),
        note: it.note.as_str().to_owned(),
        voters_holding: state.voters.iter().filter(holds).count() as u64,
        voters: state.voters.len() as u64,
    }
}

async fn diff(
    Shared(desk): Shared<Desk>,
    query: Result<Query<Between>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Differs>, Problem> {
    let what = "comparing the versions";
    let Query(asked) =
        query.map_err(|error| Problem::invalid("the query", &error.body_text(), "from and to"))?;
    let state = desk.cluster.state();
    let named = |text: &Option<String>, otherwise: Option<DirectoryVersion>| match text {
        Some(text) => find(&state, text),
        None => otherwise.ok_or_else(none_yet),
    };
    let from = named(&asked.from, state.directory.live)?;
    let to = named(&asked.to, state.directory.wanted)?;
    let found = desk
        .blocking(what, move |desk| {
            let (from, to) = (
                desk.directory_at(&state, from)?,
                desk.directory_at(&state, to)?,
            );
            difference(&from, &to).map_err(|error| unread(what, &error))
        })
        .await?;
    Ok(Json(Differs {
        from: from.to_string(),
        to: to.to_string(),
        added: found.added,
        changed: found.changed,
        removed: found.removed,
        numbers: found.numbers,
    }))
}

async fn rollback(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Back>,
) -> Result<Json<Shown>, Problem> {
    let version = find(&desk.cluster.state(), &body.value.version)?;
    let what = format!("going back to {version}");
    let command = Command::Directory(DirectoryChange::Rollback { version });
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    let state = desk.cluster.state();
    let record = state
        .directory
        .versions
        .get(&version)
        .ok_or_else(none_yet)?;
    Ok(Json(shown(&state, version, record)))
}

async fn erase(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Whom>,
) -> Result<Json<Erased>, Problem> {
    let what = "erasing the customer";
    let number = named(&body.value)?;
    let open = desk.directory.get();
    let asked = number.clone();
    let known = desk
        .blocking(what, move |_| match open {
            Some(directory) => directory.find(&asked).map_err(|error| unread(what, &error)),
            None => Ok(None),
        })
        .await?;
    let mut erased = Erased {
        done: false,
        known: known.is_some(),
        contacts: known.as_ref().map_or(0, |it| it.contacts.len() as u64),
        services: known.as_ref().map_or(0, |it| it.services.len() as u64),
    };
    match body.value.confirm {
        None => return Ok(Json(erased)),
        Some(1) => {}
        Some(other) => {
            let wanted = "1, for this one customer";
            return Err(Problem::invalid("confirm", &other.to_string(), wanted));
        }
    }
    let customer = erasure(&desk.keyring, &number);
    let command = Command::Directory(DirectoryChange::Erase { customer });
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), what, command)
        .await?;
    desk.applied(committed.index).await;
    erased.done = true;
    Ok(Json(erased))
}

async fn readmit(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Whom>,
) -> Result<Json<Erased>, Problem> {
    let customer = erasure(&desk.keyring, &named(&body.value)?);
    let command = Command::Directory(DirectoryChange::Readmit { customer });
    let what = "letting the customer in again";
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), what, command)
        .await?;
    desk.applied(committed.index).await;
    Ok(Json(Erased {
        done: true,
        known: false,
        contacts: 0,
        services: 0,
    }))
}

async fn affects(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Touches>,
) -> Result<Json<Touched>, Problem> {
    desk.say_affects(&asking, &body.bytes, &body.value)
        .await
        .map(Json)
}

/// An audience that can be asked without knowing customers.
pub(super) fn of_places(field: &str, text: &str) -> Result<(AudienceText, Audience), Problem> {
    let audience = read_as(field, text, Lists::new())?;
    let line =
        AudienceText::new(text).map_err(|wrong| Problem::invalid(field, text, &wrong.wanted))?;
    if !audience.is_of_places() {
        let wanted = "server, rack, datacentre and product only, with and, or, not and brackets: it is answered to visitors";
        return Err(Problem::invalid(field, text, wanted));
    }
    Ok((line, audience))
}

/// Reads an audience that names no lists.
pub(super) fn read_audience(text: &str) -> Result<Audience, Problem> {
    read(text, Lists::new())
}

/// Reads an audience.
fn read(text: &str, lists: Lists) -> Result<Audience, Problem> {
    read_as("audience", text, lists)
}

fn read_as(field: &str, text: &str, lists: Lists) -> Result<Audience, Problem> {
    Audience::read(text, lists).map_err(|wrong| {
        let found = format!("{} at character {}", wrong.found, wrong.at);
        Problem::invalid(field, &found, &wrong.wanted)
    })
}

fn named(whom: &Whom) -> Result<String, Problem> {
    let number = whom.customer.trim();
    if number.is_empty() || number.len() > limits::DIRECTORY_NUMBER_BYTES_MAX {
        let wanted = format!(
            "a customer number of 1 to {} bytes",
            limits::DIRECTORY_NUMBER_BYTES_MAX
        );
        return Err(Problem::invalid("customer", number, &wanted));
    }
    Ok(number.to_owned())
}

fn find(state: &State, text: &str) -> Result<DirectoryVersion, Problem> {
    let wanted = "a version as 'lifeboat directory versions' shows it, such as d42";
    let number = text.strip_prefix('d').unwrap_or(text).parse();
    let version = DirectoryVersion(number.map_err(|_| Problem::invalid("version", text, wanted))?);
    match state.directory.versions.contains_key(&version) {
        true => Ok(version),
        false => Err(Problem::not_found(
            &format!("directory version as {version}"),
            "'lifeboat directory versions' shows those that are kept",
        )),
    }
}

fn none_yet() -> Problem {
    Problem::not_found("directory", "take one in with 'lifeboat directory import'")
}

pub(super) fn unread(what: &str, error: &DirectoryError) -> Problem {
    let advice = "this node may not have copied it yet; try again, or ask another node";
    Problem::failed(what, chain(error), advice)
}

impl Desk {
    /// Says whom an incident touches, and counts them where this node has a directory.
    pub(super) async fn say_affects(
        &self,
        asking: &Asking,
        content: &[u8],
        asked: &Touches,
    ) -> Result<Touched, Problem> {
        let incident: IncidentId = asked
            .incident
            .parse()
            .map_err(|wrong: Wrong| Problem::invalid("incident", &asked.incident, &wrong.wanted))?;
        let audience = asked.audience.as_deref();
        let audience = audience.map(|it| of_places("audience", it)).transpose()?;
        let text = audience.as_ref().map(|it| it.0.clone());
        let command = Command::Directory(DirectoryChange::Affects {
            incident,
            audience: text,
        });
        let what = "saying whom the incident touches";
        let committed = self
            .propose(asking, asking.id(content), what, command)
            .await?;
        self.applied(committed.index).await;
        let (open, said) = (self.directory.get(), audience.map(|it| it.1));
        let customers = self.blocking(what, move |_| {
            let Some((directory, audience)) = open.zip(said) else {
                return Ok(None);
            };
            let mut count = 0_u64;
            for customer in directory.walk() {
                let customer = customer.map_err(|error| unread(what, &error))?;
                count += u64::from(audience.picks(&customer).is_some());
            }
            Ok(Some(count))
        });
        Ok(Touched {
            incident: incident.to_string(),
            audience: asked.audience.clone(),
            customers: customers.await?,
        })
    }

    /// Does something that waits for a disk away from the threads that answer.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Desk) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let desk = self.clone();
        tokio::task::spawn_blocking(move || work(&desk))
            .await
            .map_err(|_| Problem::failed(what, "it ended in a panic", "look at the node's log"))?
    }

    /// Opens a version. Blocking.
    fn directory_at(&self, state: &State, version: DirectoryVersion) -> Result<Directory, Problem> {
        let record = state
            .directory
            .versions
            .get(&version)
            .ok_or_else(none_yet)?;
        Directory::open(
            &self.blobs,
            &self.keyring,
            &state.directory,
            version,
            record,
        )
        .map_err(|error| unread("opening the directory", &error))
    }
}
