//! Files of messages, for agents: named where messages are read, given out as downloads, sent along with answers, and
//! erased. A file is known by its number in its conversation, from 1, in the order in which messages are shown.

use axum::{
    Json,
    body::Body as Content,
    extract::{FromRequest, Path, Request, State as Shared},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    conversations::{Answer, Kept, words},
    problem::{Mistake, Problem},
    reading::gone,
    seen::{Seen, seen},
};
use crate::{
    clock,
    files::{Form, FormError, Lacking, Ready, Refused, Why},
    model::{
        Command,
        files::{File, FileChange},
        limits,
        words::{ClientId, ConversationId},
    },
    seal::conversation_context,
    web::download,
};

/// A file of a message.
#[derive(Serialize, ToSchema)]
pub(super) struct Carried {
    /// Its number in the conversation, from 1.
    number: usize,
    /// Nothing when the key for it is not here.
    name: Option<String>,
    /// What it is, by its bytes.
    kind: &'static str,
    bytes: u64,
    /// A majority has it on their disks.
    safe: bool,
    /// On how many servers it is known to be.
    copies: usize,
    /// It was deleted for good.
    erased: bool,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Nothing>(
            "get",
            "/conversations/{conversation}/files/{number}",
            "A file of a message, as it was sent",
            get(give),
        )
        .gives_bytes(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/files/{number}/erase",
            "Delete a file for good, on every node",
            post(erase),
        )
        .takes::<Nothing>(),
    ]
}

async fn give(
    Shared(desk): Shared<Desk>,
    Path((conversation, number)): Path<(String, usize)>,
) -> Result<Response, Problem> {
    let id = desk.find(&conversation)?;
    let (_, _, file) = desk.numbered(id, number)?;
    desk.give(id, &file).await
}

async fn erase(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path((conversation, number)): Path<(String, usize)>,
    body: Body<Nothing>,
) -> Result<(StatusCode, Json<Kept>), Problem> {
    let id = desk.find(&conversation)?;
    let (message, place, _) = desk.numbered(id, number)?;
    desk.erase(&asking, &body.bytes, id, (message, place)).await
}

/// An answer with files, or one as JSON.
pub(super) async fn answer(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Kept>), Problem> {
    let id = desk.find(&conversation)?;
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        let body = Body::<Answer>::from_request(request, &desk).await?;
        return desk
            .answer(&asking, &body.bytes, id, &body.value.text)
            .await;
    }
    // A page of another site can make a browser send such a form, but none with a header of ours.
    if !request.headers().contains_key("idempotency-key") {
        return Err(Problem::invalid(
            "the header Idempotency-Key",
            "nothing",
            "a key of this request's own, which a form with files must have",
        ));
    }
    let kind = kind.to_owned();
    let body = request.into_body().into_data_stream();
    let form = desk.locker.read(&kind, Some(id), body).await;
    let form = form.map_err(|error| unread(&error))?;
    desk.answer_with(&asking, id, form).await
}

/// A form that could not be read.
pub(super) fn unread(error: &FormError) -> Problem {
    match error {
        FormError::TooLarge => Problem::too_large(limits::FILES_BODY_BYTES),
        FormError::Malformed(why) => Problem::invalid(
            "the body",
            &why.to_string(),
            "a form as browsers send it (multipart/form-data)",
        ),
        FormError::TooSlow | FormError::Broken | FormError::Stalled => {
            let advice = "send it again: under the same key it is kept once";
            Problem::failed("reading the form", error.to_string(), advice)
        }
    }
}

/// Files that are not taken, each with what was found and what is wanted.
fn not_taken(refused: &[Refused]) -> Problem {
    let most = limits::FILE_BYTES_MAX;
    let mistakes = refused.iter().map(|it| {
        let (found, wanted) = match it.why {
            Why::Empty => (
                "nothing in it".to_owned(),
                "a file with something in it".to_owned(),
            ),
            Why::Kind => (
                "another kind of file".to_owned(),
                "PNG, JPEG, GIF, WebP, PDF or plain text in UTF-8, by its bytes".to_owned(),
            ),
            Why::TooLarge => (
                format!("{} bytes", it.bytes),
                format!("at most {most} bytes"),
            ),
            Why::TooMany => (
                "one too many".to_owned(),
                format!("at most {} files", limits::FILES_PER_MESSAGE),
            ),
            Why::ConversationFull => (
                "no room left in this conversation".to_owned(),
                format!(
                    "at most {} bytes of files",
                    limits::FILES_OF_CONVERSATION_BYTES
                ),
            ),
            Why::Full => (
                "no room left on the servers".to_owned(),
                "an answer without files; erase files that nobody needs".to_owned(),
            ),
            Why::Busy => (
                "this server reads as many files as it can".to_owned(),
                "the same again in a minute".to_owned(),
            ),
            Why::Disk => (
                "this server's disk does not take it".to_owned(),
                "the same at another node".to_owned(),
            ),
        };
        Mistake::of(&format!("file {}", it.name), &found, &wanted)
    });
    Problem::mistaken("the files", mistakes.collect())
}

impl Desk {
    /// Answers a customer with files.
    pub(super) async fn answer_with(
        &self,
        asking: &Asking,
        conversation: ConversationId,
        form: Form,
    ) -> Result<(StatusCode, Json<Kept>), Problem> {
        let text = words("text", form.field("text"))?;
        if !form.refused.is_empty() {
            return Err(not_taken(&form.refused));
        }
        let content = content(text.as_str(), &form.files);
        let kept = self.locker.keep(form.files).await.map_err(|error| {
            let advice = "send it again: under the same key it is kept once";
            Problem::failed("keeping the files", error.to_string(), advice)
        })?;
        let context = conversation_context(&conversation);
        let command = Command::AddMessage {
            conversation,
            body: self.keyring.seal(&context, text.as_str().as_bytes()),
            taken: clock::now(),
        };
        let command = command.with_files(self.locker.named(&conversation, &kept));
        let deed = ("the answer", "is kept", "it goes to the customer");
        let done = self
            .post(asking, &content, conversation, command, deed)
            .await?;
        self.locker.copied(&kept).await;
        Ok(done)
    }

    /// Deletes a file for good.
    pub(super) async fn erase(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
        (message, place): (ClientId, u32),
    ) -> Result<(StatusCode, Json<Kept>), Problem> {
        let command = Command::File(FileChange::Erase {
            conversation,
            message,
            number: place,
        });
        let then = "every node deletes its copy within the hour";
        let deed = ("erasing the file", "is done", then);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// A file as a download.
    pub(super) async fn give(&self, id: ConversationId, file: &File) -> Result<Response, Problem> {
        match self.locker.open(file).await {
            Ok(reading) => {
                let standing = self.locker.standing(&id, file);
                let body = Content::from_stream(reading.pieces());
                Ok(download::answer(&standing, body).into_response())
            }
            Err(Lacking::Erased) => Err(Problem::not_found("file", "it was deleted for good")),
            Err(why @ (Lacking::Nowhere | Lacking::Sealed)) => Err(Problem::busy(
                "giving out the file",
                &format!("{why}; try again when more nodes can be reached"),
            )),
        }
    }

    /// The message, the place in it and the file of this number.
    fn numbered(
        &self,
        id: ConversationId,
        number: usize,
    ) -> Result<(ClientId, u32, File), Problem> {
        let seen = seen(&self.letterbox, &self.cluster.state(), id).ok_or_else(gone)?;
        let place = number.checked_sub(1);
        let found = place.and_then(|it| self.all_files(id, &seen).into_iter().nth(it));
        found.ok_or_else(|| {
            Problem::not_found(
                "file",
                "'lifeboat conversations show' names those that there are",
            )
        })
    }

    /// A file by its message and its place in it, from 1.
    pub(super) fn placed(
        &self,
        id: ConversationId,
        message: &str,
        number: usize,
    ) -> Option<(ClientId, u32, File)> {
        let message: ClientId = message.parse().ok()?;
        let place = number.checked_sub(1)?;
        let file = self.locker.of(&id, &message).into_iter().nth(place)?;
        Some((message, u32::try_from(place).ok()?, file))
    }

    /// All files of a conversation in the order in which its messages are shown.
    fn all_files(&self, id: ConversationId, seen: &Seen) -> Vec<(ClientId, u32, File)> {
        let agreed = seen.messages.iter().map(|it| it.id);
        let held = seen.held.iter().map(|it| it.proposal.id);
        let messages = agreed.chain(held);
        let files = messages.flat_map(|message| {
            let files = self.locker.of(&id, &message);
            (0..).zip(files).map(move |(at, it)| (message, at, it))
        });
        files.collect()
    }

    /// What is said of the files of a message.
    pub(super) fn carried(
        &self,
        id: ConversationId,
        seen: &Seen,
        message: &ClientId,
    ) -> Vec<Carried> {
        // Most conversations have none.
        if self.locker.of(&id, message).is_empty() {
            return Vec::new();
        }
        let all = self.all_files(id, seen);
        let own = all.iter().zip(1..).filter(|(it, _)| it.0 == *message);
        let carried = own.map(|((_, _, file), number)| {
            let it = self.locker.standing(&id, file);
            Carried {
                number,
                name: it.name,
                kind: it.kind.media(),
                bytes: it.bytes,
                safe: it.safe,
                copies: it.on,
                erased: it.erased,
            }
        });
        carried.collect()
    }
}

/// The content of an answer, for its id: the same words with the same files are the same answer.
pub(super) fn content(text: &str, files: &[Ready]) -> Vec<u8> {
    let mut content = text.as_bytes().to_vec();
    if !files.is_empty() {
        content.push(0);
    }
    for file in files {
        content.extend_from_slice(file.digest());
    }
    content
}
