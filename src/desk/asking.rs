//! Who asks, under which id, and with what: the parts of a request that every write of the API needs.
//!
//! A client's `Idempotency-Key` becomes the proposal's id together with who asks, what, and the content, so that a
//! repeat gets the first answer and a changed request is a new one. Without a key every request is a new one.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{Method, header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{entry::Standing, problem::Problem};
use crate::{
    clock,
    model::{
        Actor, Source,
        conversation::Door,
        limits,
        words::{ClientId, Note},
    },
};

/// Who is at the other end of a connection; put into every request by whoever accepted it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The person or machine.
    pub actor: Actor,
    /// Where they are, when it is not this machine.
    pub address: Option<Note>,
    /// What they may do; nothing for the local socket, which may do everything.
    pub(super) standing: Option<Standing>,
}

/// The body of a request that asks for nothing beside what its path says.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Who asks and under which key.
#[derive(Debug)]
pub(super) struct Asking {
    /// The person or machine.
    pub(super) actor: Actor,
    /// By what way.
    pub(super) source: Source,
    key: Option<Sha256>,
}

impl Asking {
    /// The same under the key that a page put into its form, so that a form that is sent twice is one write.
    pub(super) fn once(mut self, key: &str, path: &str) -> Self {
        let key = Some(key).filter(|it| fits(it));
        self.key = key.map(|key| keyed(key, &self.actor, &Method::POST, path));
        self
    }

    /// The id of the write with this content: the same for a repeat under the same key.
    pub(super) fn id(&self, content: &[u8]) -> ClientId {
        let Some(hash) = &self.key else {
            return ClientId(clock::random_bytes());
        };
        let digest: [u8; 32] = hash.clone().chain_update(content).finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        ClientId(id)
    }
}

impl<S: Sync> FromRequestParts<S> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().ok_or_else(|| {
            Problem::failed(
                "telling who asks",
                "the connection came without a caller",
                "report this as a fault of Lifeboat",
            )
        })?;
        let key = match parts.headers.get("idempotency-key") {
            Some(value) => Some(value.to_str().ok().filter(|it| fits(it)).ok_or_else(|| {
                let wanted = format!("1 to {} printable characters", limits::DESK_KEY_CHARS_MAX);
                Problem::invalid("the header Idempotency-Key", "something else", &wanted)
            })?),
            None => None,
        };
        Ok(Self {
            actor: caller.actor.clone(),
            source: Source {
                door: match caller.actor {
                    Actor::Operator { .. } => Door::Console,
                    _ => Door::Api,
                },
                address: caller.address.clone(),
            },
            key: key.map(|key| keyed(key, &caller.actor, &parts.method, parts.uri.path())),
        })
    }
}

fn fits(key: &str) -> bool {
    (1..=limits::DESK_KEY_CHARS_MAX).contains(&key.len())
        && key.bytes().all(|it| it.is_ascii_graphic())
}

fn keyed(key: &str, actor: &Actor, method: &Method, path: &str) -> Sha256 {
    let mut hash = Sha256::new_with_prefix(b"lifeboat api 1\0");
    for part in [key, &actor.spoken(), method.as_str(), path] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash
}

/// A request's JSON, read into what the path takes, and its bytes.
#[derive(Debug)]
pub(super) struct Body<T> {
    /// What it says.
    pub(super) value: T,
    /// As it came, for the write's id.
    pub(super) bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        // A page of another site can make a browser send a form, never JSON: so a sign-in by cookie stays safe too.
        let media = request.headers().get(header::CONTENT_TYPE);
        let is_json = media
            .and_then(|it| it.to_str().ok())
            .is_some_and(|it| it.split(';').next().map(str::trim) == Some("application/json"));
        if !is_json {
            return Err(Problem::invalid(
                "the header Content-Type",
                media.and_then(|it| it.to_str().ok()).unwrap_or_default(),
                "application/json",
            ));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| Problem::too_large(limits::DESK_BODY_BYTES_MAX as u64))?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let field = match error.path().to_string().as_str() {
                "." => "the body".to_owned(),
                path => path.to_owned(),
            };
            wrong(&field, &error.inner().to_string())
        })?;
        reader
            .end()
            .map_err(|_| Problem::invalid("the body", "more than one value", "one JSON object"))?;
        Ok(Self { value, bytes })
    }
}

/// Our words for serde's: "invalid type: integer `3`, expected a string at line 1 column 9", or "missing field `text`".
fn wrong(field: &str, said: &str) -> Problem {
    let said = said.split(" at line ").next().unwrap_or(said);
    if let Some(missing) = said.strip_prefix("missing field ") {
        return Problem::invalid(missing.trim_matches('`'), "nothing", "a value");
    }
    if let Some(unknown) = said.strip_prefix("unknown field ") {
        let (name, wanted) = unknown
            .split_once(", ")
            .unwrap_or((unknown, "no such field"));
        let name = name.trim_matches('`');
        return Problem::invalid(name, "a field that this path does not know", wanted);
    }
    match said.split_once(", expected ") {
        Some((found, wanted)) => {
            let found = found.split_once(": ").map_or(found, |it| it.1);
            Problem::invalid(field, found, wanted)
        }
        None => Problem::invalid(field, said, "valid JSON of the described shape"),
    }
}
