//! Gateways for SMS, calls, pushes and Matrix: what they are asked, without their secrets.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::post,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Listed, name_of};
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    notices::sound_url,
    problem::{Mistake, Problem},
};
use crate::model::{
    State,
    people::WayKind,
    waking::{Gateway, GatewayFacts, Means, Template, WakingChange, change::secret_context},
    words::{Label, Note},
};

/// A gateway, without its secret.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Described {
    pub(in crate::desk) gateway: String,
    /// sms, voice, push or matrix.
    pub(in crate::desk) serves: &'static str,
    /// How it is asked, in words.
    pub(in crate::desk) place: String,
    pub(in crate::desk) secret: bool,
    pub(in crate::desk) generation: u64,
}

/// What a gateway is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// sms, voice, push or matrix.
    serves: String,
    /// Where to; `{to}`, `{text}`, `{key}` and `{secret}` stand for address, words, the try's own key, and the secret.
    url: String,
    /// GET, POST or PUT; POST where it is left out. Nothing for matrix.
    method: Option<String>,
    /// Headers, with the same placeholders.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body, with the same placeholders; values are escaped as its Content-Type needs it.
    body: Option<String>,
    /// Signed with the secret (Standard Webhooks).
    #[serde(default)]
    signed: bool,
    /// Token or password; left out, the one that is there for this very place.
    secret: Option<String>,
}

/// What a check of a gateway found.
#[derive(Serialize, ToSchema)]
struct GatewayChecked {
    good: bool,
    /// In words.
    says: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Listed>(
            "post",
            "/gateways/{gateway}",
            "Make a gateway, or say anew what it is",
            post(make),
        )
        .takes::<Wanted>(),
        Route::new::<Listed>(
            "post",
            "/gateways/{gateway}/remove",
            "Forget a gateway, with its secret",
            post(remove),
        )
        .takes::<Nothing>(),
        Route::new::<GatewayChecked>(
            "post",
            "/gateways/{gateway}/check",
            "Whether it can be reached; nothing is sent",
            post(check),
        )
        .takes::<Nothing>(),
    ]
}

pub(super) fn all(state: &State) -> Vec<Described> {
    let all = state.wakings.gateways.iter();
    all.map(|(name, it)| Described {
        gateway: name.to_string(),
        serves: it.facts.serves.name(),
        place: spoken(it),
        secret: it.secret.is_some(),
        generation: it.generation,
    })
    .collect()
}

/// How a gateway is asked, in words.
fn spoken(gateway: &Gateway) -> String {
    match &gateway.facts.means {
        Means::Matrix { url } => url.as_str().to_owned(),
        Means::Http { method, url, .. } => format!("{} {}", method.as_str(), url.as_str()),
    }
}

async fn make(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(gateway): Path<String>,
    body: Body<Wanted>,
) -> Result<Json<Listed>, Problem> {
    let gateway = name_of("gateway", &gateway)?;
    let (facts, secret) = read(&body.value)?;
    let seal = |it: String| desk.keyring.seal(&secret_context(&gateway), it.as_bytes());
    let change = WakingChange::SetGateway {
        secret: secret.map(seal),
        gateway: gateway.clone(),
        facts,
    };
    desk.woken(&asking, &body.bytes, "making the gateway", change)
        .await?;
    Ok(Json(desk.wakings()))
}

fn read(wanted: &Wanted) -> Result<(GatewayFacts, Option<String>), Problem> {
    let mut wrong = Vec::new();
    let kinds = [WayKind::Sms, WayKind::Voice, WayKind::Push, WayKind::Matrix];
    let serves = kinds.into_iter().find(|it| it.name() == wanted.serves);
    if serves.is_none() {
        let words = "sms, voice, push or matrix";
        wrong.push(Mistake::of("serves", &wanted.serves, words));
    }
    // A placeholder is no part of an address yet; a number takes its place for the look at it.
    let mut filled = wanted.url.clone();
    for name in ["{to}", "{text}", "{key}", "{secret}"] {
        filled = filled.replace(name, "0");
    }
    let host_is_fixed = wanted.url.find('{').is_none_or(|at| {
        let path = wanted.url.get(8..).and_then(|it| it.find('/'));
        path.is_some_and(|it| it + 8 < at)
    });
    let url = Note::new(&wanted.url).ok();
    let url = url.filter(|_| sound_url(&filled) && host_is_fixed);
    if url.is_none() {
        let words = "https://, with placeholders in the path or query only, in at most 300 bytes";
        wrong.push(Mistake::of("url", &wanted.url, words));
    }
    let method = wanted.method.as_deref().unwrap_or("POST");
    if !["GET", "POST", "PUT"].contains(&method) {
        wrong.push(Mistake::of("method", method, "GET, POST or PUT"));
    }
    let headers = headers(&wanted.headers, &mut wrong);
    let body = wanted.body.as_deref().filter(|it| !it.is_empty());
    let template = body.map(Template::new).transpose();
    if let Err(it) = &template {
        wrong.push(Mistake::of("body", "something else", &it.wanted));
    }
    let secret = wanted
        .secret
        .as_deref()
        .map(str::trim)
        .filter(|it| !it.is_empty());
    let fits = |it: &str| it.len() <= 1_000 && it.bytes().all(|it| it.is_ascii_graphic());
    if secret.is_some_and(|it| !fits(it)) {
        let words = "at most 1000 printable characters without spaces";
        wrong.push(Mistake::of("secret", "something else", words));
    }
    let is_matrix = serves == Some(WayKind::Matrix);
    let (Some(serves), Some(url), Ok(body), true) = (serves, url, template, wrong.is_empty())
    else {
        return Err(Problem::mistaken("the gateway", wrong));
    };
    let means = match is_matrix {
        true => Means::Matrix { url },
        false => Means::Http {
            method: Note::cut(method),
            url,
            headers,
            body,
            signed: wanted.signed,
        },
    };
    Ok((GatewayFacts { serves, means }, secret.map(str::to_owned)))
}

fn headers(wanted: &BTreeMap<String, String>, wrong: &mut Vec<Mistake>) -> Vec<(Note, Note)> {
    let mut headers = Vec::new();
    for (name, value) in wanted {
        let sound = hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
            && !["host", "content-length", "transfer-encoding", "connection"]
                .contains(&name.to_lowercase().as_str());
        match (Note::new(name), Note::new(value)) {
            (Ok(name), Ok(value)) if sound && value.as_str().is_ascii() => {
                headers.push((name, value));
            }
            _ => {
                let words = "a header's name and one line of ASCII of at most 300 bytes";
                wrong.push(Mistake::of("headers", name, words));
            }
        }
    }
    headers
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(gateway): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Listed>, Problem> {
    let gateway = name_of("gateway", &gateway)?;
    let change = WakingChange::RemoveGateway { gateway };
    desk.woken(&asking, &body.bytes, "forgetting the gateway", change)
        .await?;
    Ok(Json(desk.wakings()))
}

async fn check(
    Shared(desk): Shared<Desk>,
    Path(gateway): Path<String>,
    _: Body<Nothing>,
) -> Result<Json<GatewayChecked>, Problem> {
    let name: Label = name_of("gateway", &gateway)?;
    let known = desk.cluster.state().wakings.gateways.get(&name).cloned();
    let known = known.ok_or_else(|| {
        let advice = "'lifeboat wake gateways' shows those that there are";
        Problem::not_found(&format!("gateway as {name}"), advice)
    })?;
    let way = desk.relay.clone().ok_or_else(|| {
        let why = "this node can make no TLS connections; its log says why";
        Problem::failed("looking at the gateway", why, "ask another node")
    })?;
    Ok(Json(match way.check_gateway(&name, &known).await {
        Ok(says) => GatewayChecked { good: true, says },
        Err(says) => GatewayChecked { good: false, says },
    }))
}
