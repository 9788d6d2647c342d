//! A form that was sent to us, and the ways in which it is not taken. Whatever is wrong with it, it goes back to its
//! page with all that was typed.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::model::limits;

use super::form::{Form, Typed, Wrong};
use super::pace::Pace;
use super::texts::Say;
use super::token::{self, Age, Judged, Nonce, Purpose};
use super::{Asked, Public};

/// A form that was sent to us.
pub(super) struct Sent<'a> {
    /// The request it came with, in the form's language.
    pub(super) asked: Asked<'a>,
    /// What was typed.
    pub(super) typed: Typed,
    judged: Judged,
    /// The token for the form if it is shown again.
    token: String,
}

/// Why a message was not taken.
pub(super) struct NotTaken {
    /// The status of the answer.
    pub(super) status: StatusCode,
    /// What to do, as a sentence.
    pub(super) said: String,
    /// Seconds to wait before trying again.
    pub(super) wait: Option<u64>,
}

impl<'a> Sent<'a> {
    /// Reads a form.
    ///
    /// # Errors
    /// With the answer to be given where the body is too large or did not come.
    pub(super) async fn read(
        public: &'a Public,
        request: Request,
        purpose: Purpose<'_>,
    ) -> Result<Sent<'a>, Response<Body>> {
        let (parts, body) = request.into_parts();
        // How slowly a body may come is the listener's to limit.
        let Ok(body) = axum::body::to_bytes(body, limits::FORM_BYTES_MAX).await else {
            return Err(public.asked(&parts, None).plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large-heading",
                &["too-large-body"],
            ));
        };
        let typed = Typed::read(&body);
        let asked = public.asked(&parts, typed.lang);
        let judged = token::judge(|said| public.sign(said), purpose, &typed.token, asked.now);
        // A form that is still good keeps its token, so that pressing Send again is the same write.
        let token = match judged {
            Judged::Ours {
                age: Age::Hasty | Age::Right,
                ..
            } => typed.token.clone(),
            Judged::Ours { age: Age::Old, .. } | Judged::Unknown => asked.token(purpose),
        };
        Ok(Sent {
            asked,
            typed,
            judged,
            token,
        })
    }

    /// What makes two sendings of the form one write.
    pub(super) fn nonce(&self) -> Result<Nonce, NotTaken> {
        match self.judged {
            Judged::Ours { nonce, .. } => Ok(nonce),
            Judged::Unknown => Err(NotTaken::because(self.asked.say, "form-unknown")),
        }
    }

    /// Whether the form is not too old for a new message. A repeat of one that is kept already may be.
    pub(super) fn in_time(&self) -> Result<(), NotTaken> {
        match self.judged {
            Judged::Ours { age: Age::Old, .. } => {
                Err(NotTaken::because(self.asked.say, "form-old"))
            }
            Judged::Ours { .. } | Judged::Unknown => Ok(()),
        }
    }

    /// It came back faster than people write, or somebody filled what people do not see.
    pub(super) fn is_suspect(&self) -> bool {
        let hasty = matches!(
            self.judged,
            Judged::Ours {
                age: Age::Hasty,
                ..
            }
        );
        hasty || !self.typed.trap.is_empty()
    }

    /// The form to be shown again with the fields to blame.
    pub(super) fn blaming(&self, wrongs: Vec<Wrong>) -> Form {
        let heading = self.asked.say.it("problem-heading");
        Form::blaming(self.typed.clone(), self.token.clone(), heading, wrongs)
    }

    /// The form to be shown again with what to do.
    pub(super) fn again(&self, why: &NotTaken) -> Form {
        let heading = self.asked.say.it("problem-heading");
        Form::again(
            self.typed.clone(),
            self.token.clone(),
            heading,
            why.said.clone(),
        )
    }
}

impl NotTaken {
    /// The visitor can put it right at once.
    pub(super) fn because(say: &Say, key: &str) -> NotTaken {
        NotTaken {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            said: say.it(key),
            wait: None,
        }
    }

    /// This node cannot take it now.
    pub(super) fn for_now(say: &Say, key: &str) -> NotTaken {
        NotTaken {
            status: StatusCode::SERVICE_UNAVAILABLE,
            said: say.it(key),
            wait: Some(limits::FORM_RETRY_S),
        }
    }

    /// Refuses who is too fast.
    pub(super) fn if_too_fast(pace: Pace, say: &Say, key: &str) -> Result<(), NotTaken> {
        match pace {
            Pace::Ordinary | Pace::Crowded => Ok(()),
            Pace::Wait(seconds) => Err(NotTaken {
                status: StatusCode::TOO_MANY_REQUESTS,
                said: say.with(key, [("seconds", seconds.into())]),
                wait: Some(seconds),
            }),
        }
    }

    /// The page that says so, with how long to wait.
    pub(super) fn on(&self, mut page: Response<Body>) -> Response<Body> {
        if let Some(seconds) = self.wait {
            page.headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        page
    }
}
