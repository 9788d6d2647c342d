//! What the API answers when it did not do what was asked (RFC 9457, `application/problem+json`).
//!
//! Every problem says what happened, why, and what to do, and whether the cluster may have changed all the same.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::roles::NotYours;
use crate::{
    cluster::{ChangeError, ProposeError},
    model::Refusal,
};

/// The kinds of problems; programs decide by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) enum Kind {
    /// A value of the request is not one that can be used.
    #[serde(rename = "urn:lifeboat:problem:invalid")]
    Invalid,
    /// There is no such thing, or no such path.
    #[serde(rename = "urn:lifeboat:problem:not-found")]
    NotFound,
    /// Nobody is signed in, or the token is not one that is good.
    #[serde(rename = "urn:lifeboat:problem:signed-out")]
    SignedOut,
    /// Whoever asks may not do this.
    #[serde(rename = "urn:lifeboat:problem:not-allowed")]
    NotAllowed,
    /// A rule of the cluster forbids it; nothing was changed.
    #[serde(rename = "urn:lifeboat:problem:refused")]
    Refused,
    /// No majority can be reached or asked now; nothing was changed.
    #[serde(rename = "urn:lifeboat:problem:no-majority")]
    NoMajority,
    /// This node has too much to do; nothing was changed.
    #[serde(rename = "urn:lifeboat:problem:busy")]
    Busy,
    /// It may or may not have happened; repeating it with the same key is safe.
    #[serde(rename = "urn:lifeboat:problem:unknown-outcome")]
    Unknown,
    /// The node itself could not do it.
    #[serde(rename = "urn:lifeboat:problem:failed")]
    Failed,
}

/// A problem. Its words are apart, as it is carried through many results and seldom there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem(Box<Words>);

/// A problem as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Words {
    /// The kind, for programs.
    #[serde(rename = "type")]
    kind: Kind,
    /// The HTTP status once more.
    status: u16,
    /// What happened, in one line.
    title: String,
    /// Why, in one line.
    detail: String,
    /// What to do about it, in one line.
    advice: String,
    /// The field of the request that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// What was found in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    /// What is wanted there.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<String>,
    /// All mistakes of a request that has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<Mistake>,
}

/// One mistake of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Mistake {
    /// The field, or the file and line.
    field: String,
    /// What was found.
    found: String,
    /// What is wanted.
    wanted: String,
}

impl Mistake {
    /// A field that cannot be used. `found` must hold no secret.
    pub(super) fn of(field: &str, found: &str, wanted: &str) -> Self {
        Self {
            field: field.to_owned(),
            found: shortened(found),
            wanted: wanted.to_owned(),
        }
    }
}

impl Problem {
    fn new(kind: Kind, status: StatusCode, title: impl Into<String>) -> Self {
        Self(Box::new(Words {
            kind,
            status: status.as_u16(),
            title: title.into(),
            detail: String::new(),
            advice: String::new(),
            field: None,
            found: None,
            wanted: None,
            mistakes: Vec::new(),
        }))
    }

    /// Everything that is wrong with `what`, told at once. There is at least one mistake.
    pub(super) fn mistaken(what: &str, mistakes: Vec<Mistake>) -> Self {
        let mut problem = Self::new(
            Kind::Invalid,
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{what} cannot be used"),
        );
        if let Some(first) = mistakes.first() {
            problem.0.field = Some(first.field.clone());
            problem.0.found = Some(first.found.clone());
            problem.0.wanted = Some(first.wanted.clone());
        }
        let more = mistakes.len();
        problem.0.detail = match mistakes.as_slice() {
            [one] => format!("{}: found {}; wanted {}", one.field, one.found, one.wanted),
            _ => format!("it has {more} mistakes"),
        };
        problem.0.advice = "put them right and ask again; nothing was changed".to_owned();
        problem.0.mistakes = mistakes;
        problem
    }

    fn because(mut self, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        self.0.detail = detail.into();
        self.0.advice = advice.into();
        self
    }

    /// A field that cannot be used: which, what was found, and what is wanted. `found` must hold no secret.
    pub(super) fn invalid(field: &str, found: &str, wanted: &str) -> Self {
        let found = shortened(found);
        let mut problem = Self::new(
            Kind::Invalid,
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{field} cannot be used"),
        )
        .because(
            format!("found {found}; wanted {wanted}"),
            format!("give {wanted}"),
        );
        problem.0.field = Some(field.to_owned());
        problem.0.found = Some(found);
        problem.0.wanted = Some(wanted.to_owned());
        problem
    }

    /// Something that is not there.
    pub(super) fn not_found(what: &str, advice: &str) -> Self {
        Self::new(
            Kind::NotFound,
            StatusCode::NOT_FOUND,
            format!("there is no such {what}"),
        )
        .because("this node does not know it, or no longer", advice)
    }

    /// The path exists, but not with this method.
    pub(super) fn method() -> Self {
        Self::new(
            Kind::NotFound,
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take that method",
        )
        .because(
            "each path of the API takes the methods of its description",
            "read /api/v1/openapi.json",
        )
    }

    /// A rule that the node itself keeps forbids it.
    pub(super) fn forbidden(what: &str, why: &str, advice: &str) -> Self {
        Self::new(Kind::Refused, StatusCode::CONFLICT, what).because(why, advice)
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What, why, and what to do, a line each; of several mistakes each has its own.
    pub(super) fn lines(&self) -> Vec<String> {
        let told = |it: &Mistake| format!("{}: found {}; wanted {}", it.field, it.found, it.wanted);
        let why = match self.0.mistakes.as_slice() {
            [] | [_] => vec![self.0.detail.clone()],
            several => several.iter().map(told).collect(),
        };
        let mut lines = vec![self.0.title.clone()];
        lines.extend(why);
        lines.push(self.0.advice.clone());
        lines
    }

    /// The fields that are meant.
    pub(super) fn fields(&self) -> Vec<&str> {
        let several = self.0.mistakes.iter().map(|it| it.field.as_str());
        self.0.field.as_deref().into_iter().chain(several).collect()
    }

    /// Nobody is known to ask.
    pub(super) fn nobody() -> Self {
        Self::new(
            Kind::SignedOut,
            StatusCode::UNAUTHORIZED,
            "nobody is signed in",
        )
        .because(
            "the request has no session or API token that is good",
            "sign in, or send 'Authorization: Bearer TOKEN' with a token of 'lifeboat people token create'",
        )
    }

    /// Whoever asks did not prove to be what they say.
    pub(super) fn unproven() -> Self {
        Self::new(
            Kind::SignedOut,
            StatusCode::UNAUTHORIZED,
            "the proof is not good",
        )
        .because(
            "there is no such bridge, or the signature, its time or the token is not right",
            "look at the bridge's secret and at the sender's clock; docs/operations/bridges.md says how to sign",
        )
    }

    /// The request may come from another site.
    pub(super) fn foreign() -> Self {
        Self::new(
            Kind::NotAllowed,
            StatusCode::FORBIDDEN,
            "this request may come from another site",
        )
        .because(
            "a change that goes with a cookie must come from the console itself, with its form token",
            "use the console's pages, or an API token",
        )
    }

    /// Whoever asks may not do this.
    pub(super) fn not_yours(who: &str, why: NotYours) -> Self {
        let title = "you may not do this";
        let problem = Self::new(Kind::NotAllowed, StatusCode::FORBIDDEN, title);
        match why {
            NotYours::Role(role) => problem.because(
                format!("{who} does not have the role {}", role.name()),
                "ask an admin for the role, or somebody who has it to do it",
            ),
            NotYours::Fresh => problem.because(
                "this asks for a fresh code",
                "confirm with a code on the console's page /confirm, then ask again",
            ),
            NotYours::Local => problem.because(
                "this can be done over the node's local socket only",
                "use the command line on the node",
            ),
        }
    }

    /// The cluster refused it.
    pub(super) fn refused(what: &str, refusal: &Refusal) -> Self {
        let why = refusal.to_string();
        let title = format!("{what} was refused");
        match refusal {
            Refusal::Unknown { .. } => Self::new(Kind::NotFound, StatusCode::NOT_FOUND, title)
                .because(
                    why,
                    "look at the list; somebody may have removed it meanwhile",
                ),
            Refusal::Internal => Self::new(Kind::Failed, StatusCode::INTERNAL_SERVER_ERROR, title)
                .because(why, "look at the alarms with 'lifeboat status'"),
            Refusal::VotersEven { .. } | Refusal::ProviderTooHeavy { .. } => {
                Self::new(Kind::Refused, StatusCode::CONFLICT, title)
                    .because(why, "choose other nodes, or repeat it with --force")
            }
            Refusal::Unsound {
                field,
                found,
                wanted,
            } => Self::invalid(field, found, wanted),
            Refusal::Stale { .. } => Self::new(Kind::Refused, StatusCode::CONFLICT, title)
                .because(why, "look at what is there now, then ask again"),
            Refusal::NotFounded
            | Refusal::InUse { .. }
            | Refusal::AlreadyFounded
            | Refusal::FormatNotReady { .. }
            | Refusal::TooLarge { .. }
            | Refusal::TooMany { .. }
            | Refusal::Taken { .. }
            | Refusal::TokenSpent { .. }
            | Refusal::TokenWrong
            | Refusal::StillMember { .. }
            | Refusal::Leased { .. }
            | Refusal::StaleEpoch
            | Refusal::NotDue
            | Refusal::Held
            | Refusal::NotAllowed { .. }
            | Refusal::ConversationFull { .. } => {
                Self::new(Kind::Refused, StatusCode::CONFLICT, title)
                    .because(why, "nothing was changed; remove the reason and ask again")
            }
        }
    }

    /// It may or may not have happened.
    pub(super) fn unknown(what: &str, why: &str) -> Self {
        Self::new(
            Kind::Unknown,
            StatusCode::GATEWAY_TIMEOUT,
            format!("it is not known whether {what} happened"),
        )
        .because(
            why,
            "repeat it with the same Idempotency-Key (--repeat): it then happens once",
        )
    }

    /// The node has no room or hands for it now.
    pub(super) fn busy(what: &str, why: &str) -> Self {
        Self::new(
            Kind::Busy,
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{what} was not begun"),
        )
        .because(why, "try again in a few seconds")
    }

    /// The vault is locked on this node.
    pub(super) fn locked(what: &str) -> Self {
        let why = "the vault is locked on this node";
        let advice = "ask another node, or open it with 'lifeboat vault unlock'";
        Self::forbidden(&format!("{what} needs the vault"), why, advice)
    }

    /// The node could not do it. `why` is for the operator; it must not hold a customer's words.
    pub(super) fn failed(what: &str, why: impl Into<String>, advice: &str) -> Self {
        Self::new(
            Kind::Failed,
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{what} failed"),
        )
        .because(why, advice)
    }

    /// The body is larger than this path takes.
    pub(super) fn too_large(most: u64) -> Self {
        let mut problem =
            Self::invalid("the body", "a larger one", &format!("at most {most} bytes"));
        problem.0.status = StatusCode::PAYLOAD_TOO_LARGE.as_u16();
        problem
    }

    /// No answer from the cluster.
    pub(super) fn proposing(what: &str, error: &ProposeError) -> Self {
        match error {
            ProposeError::Unknown => Self::unknown(what, &error.to_string()),
            ProposeError::Busy => Self::busy(what, &error.to_string()),
            ProposeError::NoLeader | ProposeError::Halted(_) => Self::new(
                Kind::NoMajority,
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{what} was not done: it needs a majority of the servers"),
            )
            .because(
                error.to_string(),
                "look at 'lifeboat status'; try again, here or on another node",
            ),
        }
    }

    /// Where it needs a majority that is not there, says what can be done without one as well.
    pub(super) fn without_majority(mut self, advice: &str) -> Self {
        if matches!(self.0.kind, Kind::NoMajority | Kind::Unknown) {
            self.0.advice = format!("{}; {advice}", self.0.advice);
        }
        self
    }

    /// The membership was not changed.
    pub(super) fn changing(what: &str, error: &ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => Self::refused(what, refusal),
            ChangeError::Unreachable(error) => Self::proposing(what, error),
            ChangeError::Unknown => {
                let mut problem = Self::unknown(what, "no majority agreed on it in time");
                problem.0.advice = "look at 'lifeboat nodes' before trying again".to_owned();
                problem
            }
            ChangeError::Failed(_) => Self::failed(
                what,
                error.to_string(),
                "look at 'lifeboat nodes' and 'lifeboat status', then try again",
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(*self.0)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

/// What was found, short enough to recognise and safe for a terminal.
fn shortened(found: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = found
        .chars()
        .take(SHOWN)
        .map(|it| if it.is_control() { '?' } else { it })
        .collect();
    if found.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    if shown.is_empty() {
        shown.push_str("nothing");
    }
    shown
}
