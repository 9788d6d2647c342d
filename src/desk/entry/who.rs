//! Who asks: a cookie or an API token, looked up in the agreed state, or among what this node granted while alone.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::clock;
use crate::desk::Desk;
use crate::model::people::{Holder, PeopleChange, Roles};
use crate::model::words::{ClientId, KeyedHash, Label, SessionId};
use crate::model::{Command, Proposal};
use crate::seal::{Keyring, same};

/// The cookie's name: `__Host-` binds it to this host, this path and TLS (RFC 6265bis section 4.1.3.2).
pub(in crate::desk) const COOKIE: &str = "__Host-lifeboat";
/// Bytes of a session's secret.
const SECRET: usize = 32;
/// How long telling the cluster that a session is in use may take.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A new session, with its secret.
pub(in crate::desk) struct Ticket {
    pub(in crate::desk) id: SessionId,
    pub(in crate::desk) hash: KeyedHash,
    secret: [u8; SECRET],
}

impl Ticket {
    pub(in crate::desk) fn new(keyring: &Keyring) -> Self {
        let secret = clock::random_bytes();
        Self {
            id: SessionId(clock::random_bytes()),
            hash: keyring.mac("session", &secret),
            secret,
        }
    }

    /// What the browser is given.
    pub(in crate::desk) fn cookie(&self) -> String {
        let value = format!("{}.{}", self.id, URL_SAFE_NO_PAD.encode(self.secret));
        format!("{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Strict")
    }
}

/// What somebody at the other end of HTTPS may do.
#[derive(Clone, Debug)]
pub(in crate::desk) struct Standing {
    /// Their roles.
    pub(in crate::desk) roles: Roles,
    /// They showed a code lately, or are a machine that cannot.
    pub(in crate::desk) fresh: bool,
}

/// Somebody is signed in.
#[derive(Clone, Debug)]
pub(in crate::desk) struct SignedIn {
    /// The session.
    pub(in crate::desk) id: SessionId,
    /// Under which name.
    pub(in crate::desk) name: Label,
    /// What they may do.
    pub(in crate::desk) standing: Standing,
    /// On this node only.
    pub(in crate::desk) here_only: bool,
    /// What forms of this session carry, so that no other site can send them.
    pub(in crate::desk) form_token: String,
}

impl Desk {
    /// Whoever has this request's cookie.
    pub(in crate::desk) fn signed_in(&self, headers: &HeaderMap) -> Option<SignedIn> {
        let (id, secret) = cookie(headers)?;
        let state = self.cluster.state();
        let agreed = state.people.sessions.get(&id).cloned();
        let here_only = agreed.is_none();
        let session = agreed.or_else(|| self.entry.alone.session(&id))?;
        if !same(&session.hash, &self.keyring.mac("session", &secret)) {
            return None;
        }
        let now = clock::now();
        let (seen, tell) = self.entry.alone.seen(id, now);
        // While this node is alone nobody may be put out for having rested: they could not be agreed on again.
        let seen = if self.cluster.health().alone() {
            now
        } else {
            seen
        };
        if !session.is_good(now, seen) {
            return None;
        }
        let roles = state.people.roles_of_holder(&session.holder, now)?;
        if tell && !here_only {
            self.tell_seen(id);
        }
        let has_account = matches!(session.holder, Holder::Account(_));
        let standing = Standing {
            roles,
            fresh: !has_account || session.is_confirmed(now),
        };
        let KeyedHash(form) = self.keyring.mac("console form", &secret);
        Some(SignedIn {
            id,
            name: session.holder.name(),
            standing,
            here_only,
            form_token: URL_SAFE_NO_PAD.encode(&form[..16]),
        })
    }

    /// The machine that this request's token belongs to.
    pub(in crate::desk) fn machine(&self, headers: &HeaderMap) -> Option<(Label, Standing)> {
        let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let secret = given.strip_prefix("Bearer ")?.trim();
        let hash = self.keyring.mac("api token", secret.as_bytes());
        let state = self.cluster.state();
        let (name, token) = state.people.token(&hash, clock::now())?;
        let standing = Standing {
            roles: token.roles,
            fresh: true,
        };
        Some((name.clone(), standing))
    }

    fn tell_seen(&self, session: SessionId) {
        let change = Command::People(PeopleChange::Seen { session });
        let id = ClientId(clock::random_bytes());
        let proposal = Proposal::of_node(id, self.cluster.id(), change);
        let cluster = self.cluster.clone();
        // For this one request; if it does not get through, this node knows it and tells it again later.
        tokio::spawn(async move { drop(cluster.propose(proposal, TOLD_WITHIN).await) });
    }
}

/// The value of the first cookie with this name.
pub(super) fn named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter();
    let mut pairs = all
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(';'));
    pairs.find_map(|it| it.trim().strip_prefix(name)?.strip_prefix('='))
}

fn cookie(headers: &HeaderMap) -> Option<(SessionId, [u8; SECRET])> {
    let (id, secret) = named(headers, COOKIE)?.split_once('.')?;
    let secret = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
    Some((id.parse().ok()?, secret))
}
