//! Keys that our mail is signed with, and what a receiver would make of our mail.

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
    mail::{
        dkim::key::PrivateKey,
        receiver::{Receiver, Sight, Standing},
    },
    model::{
        Command, State,
        domain::DomainName,
        mail_key::{Algorithm, KeyName, MailKey, MailKeyChange, key_context, record, record_name},
        when::rfc3339,
        words::Label,
    },
};

/// Every key.
#[derive(Serialize, ToSchema)]
struct Keys {
    keys: Vec<KnownKey>,
}

/// A key that mail is, was or will be signed with.
#[derive(Serialize, ToSchema)]
struct KnownKey {
    domain: String,
    selector: String,
    /// rsa or ed25519.
    algorithm: &'static str,
    /// Where receivers look for it.
    record_name: String,
    /// What the DNS is to say there (TXT).
    record: String,
    made: String,
    /// Since when it signs.
    signs: Option<String>,
    /// What the next change is to name as `against`.
    generation: u64,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[schema(as = MailKeyDone)]
struct Done {
    /// In words.
    says: String,
    key: Option<KnownKey>,
}

/// A key to be made, or brought.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// Whose mail it signs; left out, the domain that our mail comes from.
    domain: Option<String>,
    /// What it is called there.
    selector: String,
    /// rsa or ed25519; left out, rsa, or what the key that is brought is.
    algorithm: Option<String>,
    /// A private key in PEM, instead of making one.
    pem: Option<String>,
}

/// A key is to sign.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Using {
    /// Also though the DNS does not show it yet.
    #[serde(default)]
    unseen: bool,
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

/// What was looked at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MailKeyLookedAt)]
struct LookedAt {
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

/// What a receiver would make of our mail.
#[derive(Serialize, ToSchema)]
struct Receiving {
    /// The worst of them.
    state: &'static str,
    sights: Vec<Seen>,
}

/// One thing that receivers look at.
#[derive(Serialize, ToSchema)]
struct Seen {
    /// dkim, spf, dmarc or returns.
    what: &'static str,
    /// The record or relay it is about.
    of: String,
    /// ok, not-proven, warning or failed.
    state: &'static str,
    /// What was found.
    found: String,
    /// The record that the DNS should have, or what to do.
    wanted: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Keys>(
            "get",
            "/mail/keys",
            "The keys that our mail is signed with (DKIM)",
            get(list),
        ),
        Route::new::<Done>(
            "post",
            "/mail/keys",
            "Make a key, or bring one; it does not sign yet",
            post(add),
        )
        .takes::<NewKey>(),
        Route::new::<Done>(
            "post",
            "/mail/keys/{domain}/{selector}/use",
            "Sign with it, in the place of the domain's other key of its kind",
            post(sign_with),
        )
        .takes::<Using>(),
        Route::new::<Done>(
            "post",
            "/mail/keys/{domain}/{selector}/rest",
            "Sign with it no more",
            post(rest),
        )
        .takes::<LookedAt>(),
        Route::new::<Done>(
            "post",
            "/mail/keys/{domain}/{selector}/remove",
            "Forget one that does not sign",
            post(remove),
        )
        .takes::<LookedAt>(),
        Route::new::<Receiving>(
            "get",
            "/mail/readiness",
            "What a receiver would make of our mail: SPF, DKIM, DMARC and the way back, with the records that are wanted",
            get(readiness),
        ),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Keys> {
    let state = desk.cluster.state();
    let all = state.mail_keys.all.iter();
    Json(Keys {
        keys: all.map(|(name, key)| known(name, key)).collect(),
    })
}

fn known(name: &KeyName, key: &MailKey) -> KnownKey {
    KnownKey {
        domain: plain(&name.0),
        selector: name.1.to_string(),
        algorithm: key.algorithm.name(),
        record_name: record_name(name),
        record: record(key),
        made: rfc3339(key.made),
        signs: key.signs.map(rfc3339),
        generation: key.generation,
    }
}

async fn add(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<NewKey>,
) -> Result<Json<Done>, Problem> {
    let asked = &body.value;
    let from = desk.mailing.as_ref().map(|it| &it.from.from);
    let own = from.and_then(|it| it.as_str().rsplit('@').next());
    let domain = asked.domain.as_deref().or(own).ok_or_else(|| {
        let wanted = "a domain, as this node sends no mail and has none of its own";
        Problem::invalid("domain", "nothing", wanted)
    })?;
    let name = key_name(domain, &asked.selector)?;
    let wanted = asked.algorithm.as_deref().map(algorithm).transpose()?;
    let pem = asked.pem.clone();
    let made = tokio::task::spawn_blocking(move || {
        let key = match pem {
            Some(text) => PrivateKey::from_pem(&text)?,
            None => PrivateKey::generate(wanted.unwrap_or(Algorithm::Rsa))?,
        };
        let (public, private) = (key.public()?, key.to_pkcs8()?);
        Ok::<_, crate::mail::dkim::key::KeyError>((key.algorithm(), public, private))
    });
    let made = made
        .await
        .map_err(|error| Problem::failed("making the key", error.to_string(), "look at the log"))?;
    // Never the text: it is a secret.
    let (algorithm, public, private) =
        made.map_err(|why| Problem::invalid("pem", &why.to_string(), "a private key in PEM"))?;
    if let Some(wanted) = wanted.filter(|it| *it != algorithm) {
        return Err(Problem::invalid(
            "algorithm",
            wanted.name(),
            &format!("{}, which the key is", algorithm.name()),
        ));
    }
    let private = desk.keyring.seal_in_vault(&key_context(&name), &private);
    let private = private.map_err(|_| Problem::locked("keeping the key"))?;
    let change = MailKeyChange::Add {
        key: name.clone(),
        algorithm,
        public,
        private,
    };
    desk.mail_key(&asking, &body.bytes, "adding the key", change)
        .await?;
    Ok(done(
        &desk,
        &name,
        "is kept; publish its record, then let it sign with 'lifeboat mail key use'",
    ))
}

async fn sign_with(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path((domain, selector)): Path<(String, String)>,
    body: Body<Using>,
) -> Result<Json<Done>, Problem> {
    let (name, key) = find(&desk.cluster.state(), &domain, &selector)?;
    if !body.value.unseen {
        let receiver = desk.receiver().ok_or_else(|| {
            let wanted = "true, as this node cannot look whether the DNS shows it";
            Problem::invalid("unseen", "false", wanted)
        })?;
        let sight = receiver.key(&name, &key).await;
        if sight.standing != Standing::Good {
            let wanted = sight.wanted.unwrap_or_default();
            return Err(Problem::invalid(&sight.of, &sight.found, &wanted));
        }
    }
    let change = MailKeyChange::Use {
        key: name.clone(),
        against: body.value.against.unwrap_or(key.generation),
    };
    desk.mail_key(&asking, &body.bytes, "signing with the key", change)
        .await?;
    Ok(done(&desk, &name, "signs from now on"))
}

async fn rest(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(at): Path<(String, String)>,
    body: Body<LookedAt>,
) -> Result<Json<Done>, Problem> {
    let change = |key, against| MailKeyChange::Rest { key, against };
    let name = desk.changed(&asking, at, &body, ("letting the key rest", change));
    let says = "signs no more; leave its record for a week, as mail under way is still looked at";
    Ok(done(&desk, &name.await?, says))
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(at): Path<(String, String)>,
    body: Body<LookedAt>,
) -> Result<Json<Done>, Problem> {
    let change = |key, against| MailKeyChange::Remove { key, against };
    let name = desk.changed(&asking, at, &body, ("forgetting the key", change));
    Ok(done(&desk, &name.await?, "is forgotten"))
}

async fn readiness(Shared(desk): Shared<Desk>) -> Result<Json<Receiving>, Problem> {
    let receiver = desk.receiver().ok_or_else(|| {
        let advice = "ask a node with a [mail] section, and with resolvers";
        Problem::not_found("mail on this node", advice)
    })?;
    let sights = receiver.look(&desk.cluster.state()).await;
    let worst = sights.iter().map(|it| it.standing).max();
    Ok(Json(Receiving {
        state: state_of(worst.unwrap_or(Standing::Unproven)),
        sights: sights.into_iter().map(seen).collect(),
    }))
}

fn seen(it: Sight) -> Seen {
    Seen {
        what: it.what,
        of: it.of,
        state: state_of(it.standing),
        found: it.found,
        wanted: it.wanted,
    }
}

fn state_of(standing: Standing) -> &'static str {
    match standing {
        Standing::Good => "ok",
        Standing::Unproven => "not-proven",
        Standing::Doubtful => "warning",
        Standing::Bad => "failed",
    }
}

fn done(desk: &Desk, name: &KeyName, what: &str) -> Json<Done> {
    let state = desk.cluster.state();
    let key = state.mail_keys.all.get(name);
    Json(Done {
        says: format!("the key {} {what}", record_name(name)),
        key: key.map(|it| known(name, it)),
    })
}

impl Desk {
    fn receiver(&self) -> Option<&Receiver> {
        self.mailing.as_ref()?.receiver.as_ref()
    }

    /// Has a change of a key agreed on, made against what was looked at.
    async fn changed(
        &self,
        asking: &Asking,
        (domain, selector): (String, String),
        body: &Body<LookedAt>,
        (what, change): (&str, impl Fn(KeyName, u64) -> MailKeyChange),
    ) -> Result<KeyName, Problem> {
        let (name, key) = find(&self.cluster.state(), &domain, &selector)?;
        let against = body.value.against.unwrap_or(key.generation);
        let change = change(name.clone(), against);
        self.mail_key(asking, &body.bytes, what, change).await?;
        Ok(name)
    }

    async fn mail_key(
        &self,
        asking: &Asking,
        content: &[u8],
        what: &str,
        change: MailKeyChange,
    ) -> Result<(), Problem> {
        self.agreed(asking, content, what, Command::MailKey(change))
            .await
    }
}

fn algorithm(text: &str) -> Result<Algorithm, Problem> {
    let mut all = Algorithm::ALL.into_iter();
    all.find(|it| it.name() == text)
        .ok_or_else(|| Problem::invalid("algorithm", text, "rsa or ed25519"))
}

fn key_name(domain: &str, selector: &str) -> Result<KeyName, Problem> {
    let wanted = "a domain such as example.net";
    let name = DomainName::parse(domain.trim_end_matches('.'), &DomainName::root());
    let name = name.ok().filter(|it| it.labels().count() > 1);
    let name = name.ok_or_else(|| Problem::invalid("domain", domain, wanted))?;
    let selector =
        Label::new(selector).map_err(|it| Problem::invalid("selector", selector, &it.wanted))?;
    Ok((name, selector))
}

fn find(state: &State, domain: &str, selector: &str) -> Result<(KeyName, MailKey), Problem> {
    let name = key_name(domain, selector)?;
    let key = state.mail_keys.all.get(&name).cloned();
    let key = key.ok_or_else(|| {
        let advice = "'lifeboat mail key list' shows those that there are";
        Problem::not_found(&format!("key {}", record_name(&name)), advice)
    })?;
    Ok((name, key))
}

/// A domain as people and mail write it, without the last dot.
fn plain(domain: &DomainName) -> String {
    domain.to_string().trim_end_matches('.').to_owned()
}
