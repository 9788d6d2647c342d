//! People over the API: accounts, how they sign in, how they are reached. Secrets are shown once, when they are made.
//!
//! A generated password and the codes' secret follow from the write's id by the service key, so that a repeat under
//! the same key shows the same ones.

mod envelopes;
mod machines;
mod sessions;
mod shift;
mod words;

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
    entry::{codes, credentials_context},
    problem::Problem,
};
use crate::{
    clock,
    model::{
        Command, State, limits,
        people::{Account, PeopleChange, Role, Roles, Way, WayKind},
        when::rfc3339,
        words::{ClientId, EmailAddress, KeyedHash, Label, Lang, Note, Phone, Sealed, Wrong},
    },
    seal::person_context,
    tls::base32,
};

pub(super) use envelopes::colons;
pub(super) use shift::{Brief, alarms, brief};
pub(super) use words::{known, label, note, roles_of};

use words::{at, grouped, langs_of, nobody, sound_password};

/// A person, without secrets.
#[derive(Serialize, ToSchema)]
struct Person {
    name: String,
    /// What they are called.
    shown: String,
    roles: Vec<&'static str>,
    languages: Vec<&'static str>,
    /// How to reach them, first things first.
    ways: Vec<Reached>,
    made: String,
    signed_in: Option<String>,
    /// Sessions that they have now.
    sessions: u64,
    /// Wrong guesses at their sign-in of the last quarter of an hour.
    wrong_guesses: u32,
}

/// A way to reach somebody.
#[derive(Serialize, ToSchema)]
struct Reached {
    kind: &'static str,
    address: String,
    /// When it was last seen to work.
    proven: Option<String>,
}

/// Everybody with an account.
#[derive(Serialize, ToSchema)]
struct Everybody {
    people: Vec<Person>,
}

/// Who is to be let in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Newcomer {
    name: String,
    /// viewer, agent, shift-leader, ops or admin.
    roles: Vec<String>,
    /// What they are called; the name where it is left out.
    shown: Option<String>,
    /// cs or en, best first.
    #[serde(default)]
    languages: Vec<String>,
    /// At least 12 characters; one is made where it is left out.
    password: Option<String>,
}

/// How somebody signs in. It is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct Credentials {
    pub(super) name: String,
    /// The password, where one was made.
    pub(super) password: Option<String>,
    /// The secret of the six-digit codes, in base32.
    pub(super) totp_secret: String,
    /// The same as phones read it.
    pub(super) totp_address: String,
}

/// New roles.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRoles {
    roles: Vec<String>,
}

/// What somebody is called and speaks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Described {
    shown: String,
    languages: Vec<String>,
}

/// How somebody is reached, first things first.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWays {
    ways: Vec<NewWay>,
}

/// A way to reach somebody.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWay {
    /// mail, phone, sms, voice, push or matrix.
    kind: String,
    address: String,
}

/// Which way was seen to work.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Proof {
    /// Its place in the list, from 1.
    way: u32,
}

/// A new password, or none to have one made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    password: Option<String>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
struct Done {
    /// In words.
    says: String,
}

pub(super) fn routes() -> Vec<Route> {
    let own = vec![
        Route::new::<Everybody>("get", "/people", "Everybody with an account", get(list)),
        Route::new::<Credentials>(
            "post",
            "/people",
            "Let somebody in; what they sign in with is shown once",
            post(add),
        )
        .takes::<Newcomer>(),
        Route::new::<Person>("get", "/people/{person}", "One person", get(one)),
        Route::new::<Done>(
            "post",
            "/people/{person}/roles",
            "Change what somebody may do",
            post(set_roles),
        )
        .takes::<NewRoles>(),
        Route::new::<Done>(
            "post",
            "/people/{person}/describe",
            "Change what somebody is called and speaks",
            post(describe),
        )
        .takes::<Described>(),
        Route::new::<Done>(
            "post",
            "/people/{person}/ways",
            "Change how somebody is reached",
            post(set_ways),
        )
        .takes::<NewWays>(),
        Route::new::<Done>(
            "post",
            "/people/{person}/prove",
            "Say that a way to reach somebody was seen to work",
            post(prove),
        )
        .takes::<Proof>(),
        Route::new::<Credentials>(
            "post",
            "/people/{person}/reset",
            "Give somebody a new password and codes, and end their sessions",
            post(reset),
        )
        .takes::<NewPassword>(),
        Route::new::<Done>(
            "post",
            "/people/{person}/remove",
            "Take an account away",
            post(remove),
        )
        .takes::<Nothing>(),
    ];
    [
        own,
        sessions::routes(),
        machines::routes(),
        envelopes::routes(),
        shift::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Everybody> {
    let state = desk.cluster.state();
    let accounts = state.people.accounts.iter();
    let people = accounts.map(|(name, it)| person(&desk, &state, name, it));
    Json(Everybody {
        people: people.collect(),
    })
}

async fn one(
    Shared(desk): Shared<Desk>,
    Path(name): Path<String>,
) -> Result<Json<Person>, Problem> {
    let state = desk.cluster.state();
    let name = known(&state, &name)?;
    let account = state.people.accounts.get(&name);
    let account = account.ok_or_else(nobody)?;
    Ok(Json(person(&desk, &state, &name, account)))
}

fn person(desk: &Desk, state: &State, name: &Label, account: &Account) -> Person {
    let sessions = state.people.sessions.values();
    let now = clock::now().max(state.now);
    Person {
        name: name.to_string(),
        shown: account.shown.as_str().to_owned(),
        roles: account.roles.each().map(Role::name).collect(),
        languages: account.langs.iter().map(|it| it.tag()).collect(),
        ways: account
            .ways
            .iter()
            .map(|way| Reached {
                kind: way.kind.name(),
                address: opened(desk, name, &way.address),
                proven: way.proven.map(rfc3339),
            })
            .collect(),
        made: rfc3339(account.made),
        signed_in: account.signed_in.map(rfc3339),
        sessions: sessions.filter(|it| it.holder.name() == *name).count() as u64,
        wrong_guesses: state.people.knocks.of_account(name, now),
    }
}

fn opened(desk: &Desk, name: &Label, sealed: &Sealed) -> String {
    let bytes = desk.keyring.open(&person_context(name), sealed);
    bytes
        .and_then(|it| String::from_utf8(it).ok())
        .unwrap_or_else(|| "(this node cannot open it)".to_owned())
}

async fn add(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Newcomer>,
) -> Result<Json<Credentials>, Problem> {
    let id = asking.id(&body.bytes);
    let wanted = body.value;
    let name = label("name", &wanted.name)?;
    let roles = roles_of(&wanted.roles)?;
    let shown = note("shown", wanted.shown.as_deref().unwrap_or(&wanted.name))?;
    let langs = langs_of(&wanted.languages)?;
    desk.admit(&asking, id, (name, roles), (shown, langs), wanted.password)
        .await
        .map(Json)
}

async fn reset(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<NewPassword>,
) -> Result<Json<Credentials>, Problem> {
    let id = asking.id(&body.bytes);
    let name = known(&desk.cluster.state(), &name)?;
    let password = body.value.password;
    desk.reset(&asking, id, name, password).await.map(Json)
}

impl Desk {
    /// Makes an account, with new codes and, where none is given, a new password.
    pub(super) async fn admit(
        &self,
        asking: &Asking,
        id: ClientId,
        (name, roles): (Label, Roles),
        (shown, langs): (Note, Vec<Lang>),
        password: Option<String>,
    ) -> Result<Credentials, Problem> {
        let (made, password, totp) = self.new_credentials(&name, id, password).await?;
        let change = PeopleChange::Add {
            name,
            roles,
            shown,
            langs,
            password,
            totp,
        };
        self.change_people(asking, id, "adding the person", change)
            .await?;
        Ok(made)
    }

    /// Gives somebody new codes and a new password.
    pub(super) async fn reset(
        &self,
        asking: &Asking,
        id: ClientId,
        name: Label,
        password: Option<String>,
    ) -> Result<Credentials, Problem> {
        let (made, password, totp) = self.new_credentials(&name, id, password).await?;
        let change = PeopleChange::Reset {
            name: name.clone(),
            password,
            totp,
        };
        self.change_people(asking, id, "resetting the sign-in", change)
            .await?;
        self.entry.alone.end_all(Some(&name));
        Ok(made)
    }

    async fn new_credentials(
        &self,
        name: &Label,
        id: ClientId,
        password: Option<String>,
    ) -> Result<(Credentials, Sealed, Sealed), Problem> {
        let KeyedHash(secret) = self.keyring.mac("new codes", &id.0);
        let secret = &secret[..codes::SECRET_BYTES];
        let (password, shown) = match password {
            Some(given) => (sound_password(given)?, None),
            None => {
                let KeyedHash(bytes) = self.keyring.mac("new password", &id.0);
                let made = grouped(&base32::encode(&bytes[..15]));
                (made.clone(), Some(made))
            }
        };
        let phc = self.entry.passwords.hash(password).await.ok_or_else(|| {
            Problem::failed("hashing the password", "it ended early", "try again")
        })?;
        let context = credentials_context(name);
        let cluster = self
            .cluster
            .state()
            .cluster
            .as_ref()
            .map(|it| it.name.to_string());
        let made = Credentials {
            name: name.to_string(),
            password: shown,
            totp_secret: base32::encode(secret).to_uppercase(),
            totp_address: codes::address(secret, &cluster.unwrap_or_default(), name.as_str()),
        };
        let hash = self.keyring.seal(&context, phc.as_bytes());
        Ok((made, hash, self.keyring.seal(&context, secret)))
    }

    /// Has a change agreed on, and waits until this node shows it. Gives the entry's index.
    pub(super) async fn change_people(
        &self,
        asking: &Asking,
        id: ClientId,
        what: &str,
        change: PeopleChange,
    ) -> Result<u64, Problem> {
        let committed = self
            .propose(asking, id, what, Command::People(change))
            .await?;
        self.applied(committed.index).await;
        Ok(committed.index)
    }
}

async fn set_roles(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<NewRoles>,
) -> Result<Json<Done>, Problem> {
    let name = known(&desk.cluster.state(), &name)?;
    let roles = roles_of(&body.value.roles)?;
    let says = format!("{name} is {} now", roles.spoken());
    let change = PeopleChange::SetRoles { name, roles };
    done(
        &desk,
        &asking,
        &body.bytes,
        "changing the roles",
        change,
        says,
    )
    .await
}

async fn describe(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<Described>,
) -> Result<Json<Done>, Problem> {
    let name = known(&desk.cluster.state(), &name)?;
    let shown = note("shown", &body.value.shown)?;
    let langs = langs_of(&body.value.languages)?;
    let says = format!("{name} is called {} now", shown.as_str());
    let change = PeopleChange::Describe { name, shown, langs };
    done(
        &desk,
        &asking,
        &body.bytes,
        "describing the person",
        change,
        says,
    )
    .await
}

async fn set_ways(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<NewWays>,
) -> Result<Json<Done>, Problem> {
    let state = desk.cluster.state();
    let name = known(&state, &name)?;
    let before = state.people.accounts.get(&name);
    let mut ways = Vec::new();
    for (number, wanted) in (1..).zip(&body.value.ways) {
        let (kind, address) = way(number, wanted)?;
        let same = |it: &&Way| it.kind == kind && opened(&desk, &name, &it.address) == address;
        let proven = before.and_then(|it| it.ways.iter().find(same)?.proven);
        let address = desk
            .keyring
            .seal(&person_context(&name), address.as_bytes());
        ways.push(Way {
            kind,
            address,
            proven,
        });
    }
    let says = format!("{name} is reached in {} ways now", ways.len());
    let change = PeopleChange::SetWays { name, ways };
    let what = "changing how somebody is reached";
    done(&desk, &asking, &body.bytes, what, change, says).await
}

fn way(number: usize, wanted: &NewWay) -> Result<(WayKind, String), Problem> {
    let field = |part: &str| format!("ways.{number}.{part}");
    let kind = WayKind::of_name(&wanted.kind).ok_or_else(|| {
        let words = "mail, phone, sms, voice, push or matrix";
        Problem::invalid(&field("kind"), &wanted.kind, words)
    })?;
    let address = match kind {
        WayKind::Mail => EmailAddress::new(&wanted.address).map(|it| it.as_str().to_owned()),
        WayKind::Phone | WayKind::Sms | WayKind::Voice => {
            Phone::new(&wanted.address).map(|it| it.as_str().to_owned())
        }
        WayKind::Push => plain(&wanted.address, ""),
        WayKind::Matrix => plain(&wanted.address, "!"),
    };
    let address = address
        .map_err(|wrong| Problem::invalid(&field("address"), "something else", &wrong.wanted))?;
    Ok((kind, address))
}

/// An address that only its service can read: a topic, a device, or a room's id.
fn plain(text: &str, begins: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let sound = (1..=limits::WAY_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_graphic())
        && text.starts_with(begins);
    let wanted = match begins {
        "!" => "a room's id such as !abc:example.org, of a room with the person in it",
        _ => "the topic, device or user that the gateway knows, without spaces",
    };
    sound
        .then(|| text.to_owned())
        .ok_or_else(|| Wrong::wanted(wanted))
}

async fn prove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<Proof>,
) -> Result<Json<Done>, Problem> {
    let name = known(&desk.cluster.state(), &name)?;
    let way = body.value.way;
    let place = way
        .checked_sub(1)
        .ok_or_else(|| Problem::invalid("way", "0", "its place in the list, from 1"))?;
    let says = format!("way {way} to reach {name} was seen to work");
    let change = PeopleChange::ProveWay { name, place };
    done(
        &desk,
        &asking,
        &body.bytes,
        "noting the proof",
        change,
        says,
    )
    .await
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Done>, Problem> {
    let name = known(&desk.cluster.state(), &name)?;
    let says = format!("{name} has no account any more");
    let change = PeopleChange::Remove { name: name.clone() };
    let answer = done(
        &desk,
        &asking,
        &body.bytes,
        "removing the person",
        change,
        says,
    )
    .await?;
    desk.entry.alone.end_all(Some(&name));
    Ok(answer)
}

async fn done(
    desk: &Desk,
    asking: &Asking,
    content: &[u8],
    what: &str,
    change: PeopleChange,
    says: String,
) -> Result<Json<Done>, Problem> {
    desk.change_people(asking, asking.id(content), what, change)
        .await?;
    Ok(Json(Done { says }))
}
