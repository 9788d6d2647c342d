//! A form that was sent to us, and the ways in which it is not taken. Whatever is wrong with it, it goes back to its
//! page with all that was typed.

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::files::{FormError, Kept, Ready, Refused, Why};
use crate::model::words::ConversationId;
use crate::model::{Command, limits};

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
    /// Files that came with it.
    pub(super) files: Vec<Ready>,
    /// What those are called.
    chosen: Vec<String>,
    /// Files that are not taken.
    refused: Vec<Refused>,
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
    /// Reads a form, with its files for a conversation where it is known which.
    ///
    /// # Errors
    /// With the answer to be given where the body is too large or did not come.
    pub(super) async fn read(
        public: &'a Public,
        request: Request,
        purpose: Purpose<'_>,
        conversation: Option<ConversationId>,
    ) -> Result<Sent<'a>, Response<Body>> {
        let (parts, body) = request.into_parts();
        let came = match public.came(&parts, body, conversation).await {
            Ok(came) => came,
            Err(trouble) => return Err(trouble.page(&public.asked(&parts, None))),
        };
        let Came {
            typed,
            files,
            refused,
        } = came;
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
            chosen: files.iter().map(|it| it.name().to_owned()).collect(),
            files,
            refused,
            judged,
            token,
        })
    }

    /// What is wrong with its files. Said with all else that is wrong, as they must be chosen again then.
    pub(super) fn wrong_files(&self) -> Vec<Wrong> {
        self.refused
            .iter()
            .map(|it| wrong_file(self.asked.say, it))
            .collect()
    }

    /// What a browser forgets: files that were right and are to be chosen again.
    fn files_again(&self) -> Option<Wrong> {
        let names = [("names", self.chosen.join(", ").into())];
        (!self.chosen.is_empty()).then(|| Wrong {
            field: "file",
            said: self.asked.say.with("file-again", names),
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
    pub(super) fn blaming(&self, mut wrongs: Vec<Wrong>) -> Form {
        wrongs.extend(self.files_again());
        let heading = self.asked.say.it("problem-heading");
        Form::blaming(self.typed.clone(), self.token.clone(), heading, wrongs)
    }

    /// The form to be shown again with what to do.
    pub(super) fn again(&self, why: &NotTaken) -> Form {
        let heading = self.asked.say.it("problem-heading");
        let (typed, token) = (self.typed.clone(), self.token.clone());
        let mut form = Form::again(typed, token, heading, why.said.clone());
        if let (Some(problem), Some(again)) = (&mut form.problem, self.files_again()) {
            problem.said.push(again.said);
        }
        form
    }
}

/// What a form's body brought.
pub(super) struct Came {
    pub(super) typed: Typed,
    pub(super) files: Vec<Ready>,
    pub(super) refused: Vec<Refused>,
}

/// Why a body could not be read.
pub(super) struct Trouble {
    pub(super) status: StatusCode,
    heading: &'static str,
    /// The key of what is said.
    pub(super) body: &'static str,
}

impl Trouble {
    fn page(&self, asked: &Asked<'_>) -> Response<Body> {
        asked.plain(self.status, self.heading, &[self.body])
    }
}

impl From<FormError> for Trouble {
    fn from(error: FormError) -> Self {
        let (status, heading, body) = match error {
            FormError::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large-heading",
                "too-large-body",
            ),
            FormError::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "form-broken-heading",
                "form-slow",
            ),
            FormError::Malformed(_) | FormError::Broken => (
                StatusCode::BAD_REQUEST,
                "form-broken-heading",
                "form-broken",
            ),
            FormError::Stalled => (
                StatusCode::SERVICE_UNAVAILABLE,
                "form-broken-heading",
                "form-unsure",
            ),
        };
        Self {
            status,
            heading,
            body,
        }
    }
}

impl Public {
    /// Reads a form's body, with files or without.
    pub(super) async fn came(
        &self,
        parts: &Parts,
        body: Body,
        conversation: Option<ConversationId>,
    ) -> Result<Came, Trouble> {
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
        if !carries_files(kind) {
            // How slowly a body may come is the listener's to limit.
            let body = axum::body::to_bytes(body, limits::FORM_BYTES_MAX).await;
            let body = body.map_err(|_| FormError::TooLarge)?;
            return Ok(Came {
                typed: Typed::read(&body),
                files: Vec::new(),
                refused: Vec::new(),
            });
        }
        let locker = &self.parts.locker;
        let form = locker
            .read(kind, conversation, body.into_data_stream())
            .await?;
        let fields = form.fields.iter();
        let typed = Typed::of(fields.map(|(name, value)| (name.into(), value.into())));
        Ok(Came {
            typed,
            files: form.files,
            refused: form.refused,
        })
    }

    /// Puts files on the disk and names them in the message, if there are any.
    pub(super) async fn with_files(
        &self,
        asked: &Asked<'_>,
        conversation: ConversationId,
        files: Vec<Ready>,
        command: Command,
    ) -> Result<(Command, Vec<Kept>), NotTaken> {
        let sizes = files.iter().map(Ready::bytes);
        let pace = self.paces.files(asked.visitor.address, sizes);
        NotTaken::if_too_fast(pace, asked.say, "form-files-busy")?;
        let locker = &self.parts.locker;
        let kept = locker.keep(files).await;
        let kept = kept.map_err(|_| NotTaken::for_now(asked.say, "form-unsure"))?;
        let named = locker.named(&conversation, &kept);
        Ok((command.with_files(named), kept))
    }
}

/// Whether a body of this type may carry files.
pub(super) fn carries_files(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("multipart/form-data")
}

/// Files of a form, for the id of what it writes: the same files are the same content.
pub(super) fn digests(files: &[Ready]) -> Vec<u8> {
    let all = files.iter();
    all.flat_map(|it| it.digest().iter().copied()).collect()
}

/// What is wrong with a file, with what was found and what is wanted.
pub(super) fn wrong_file(say: &Say, it: &Refused) -> Wrong {
    let megabytes = |bytes: u64| format!("{}.{}", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20);
    let args = [
        ("name", it.name.clone().into()),
        ("found", megabytes(it.bytes).into()),
        ("most", (limits::FILE_BYTES_MAX >> 20).into()),
        ("count", limits::FILES_PER_MESSAGE.into()),
        ("room", (limits::FILES_OF_CONVERSATION_BYTES >> 20).into()),
    ];
    let key = match it.why {
        Why::Empty => "wrong-file-empty",
        Why::Kind => "wrong-file-kind",
        Why::TooLarge => "wrong-file-large",
        Why::TooMany => "wrong-file-many",
        Why::ConversationFull => "wrong-file-room",
        Why::Full => "wrong-file-full",
        Why::Busy => "wrong-file-busy",
        Why::Disk => "wrong-file-disk",
    };
    Wrong {
        field: "file",
        said: say.with(key, args),
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
