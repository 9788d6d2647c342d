//! A form with files, from a request's body: fields into memory, files to the disk. Read to its end whatever is wrong with
//! it, so that the page comes back with what was typed.
//!
//! The body is read by whoever has the connection, and written by a thread that may wait for a disk; between them lie a
//! few pieces and no more.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::{
    Locker, Ready, Refused, Why,
    incoming::Incoming,
    multipart::{Event, Malformed, Reader},
};
use crate::model::{limits, words::ConversationId};

/// Pieces of a body between its reader and its writer.
const PIECES_AHEAD: usize = 4;
/// The field whose files are taken.
const FILES: &str = "file";

/// What a form brought.
#[derive(Default)]
pub struct Form {
    /// Its fields, in order.
    pub fields: Vec<(String, String)>,
    /// Files that can be kept.
    pub files: Vec<Ready>,
    /// Files that are not taken.
    pub refused: Vec<Refused>,
}

/// Why a form could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// It is no form.
    #[error("the form cannot be read")]
    Malformed(#[from] Malformed),
    /// Its fields have too many bytes.
    #[error("the form's fields are too large")]
    TooLarge,
    /// Its body ended early.
    #[error("the form did not come whole")]
    Broken,
    /// It took longer than any line that a form with files is worth trying on.
    #[error("the form took too long")]
    TooSlow,
    /// This node's disk does not answer.
    #[error("the disk does not answer")]
    Stalled,
}

impl Form {
    /// What stands in a field; nothing where it is not there.
    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|it| it.0 == name);
        found.map_or("", |it| it.1.as_str())
    }

    /// What was typed and chosen, for the id of a write: the same files are the same content, whatever their seal.
    pub fn digests(&self) -> Vec<u8> {
        let all = self.files.iter();
        all.flat_map(|it| it.digest().iter().copied()).collect()
    }
}

impl Locker {
    /// Reads a form of this content type, for a conversation where there is one already.
    ///
    /// # Errors
    /// When it is no form, or cannot be read to its end.
    pub async fn read<E>(
        &self,
        content_type: &str,
        conversation: Option<ConversationId>,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Form, FormError> {
        let reader = Reader::new(content_type)?;
        // Without a place the fields are read all the same, and the page says that the files were not taken.
        let permit = self.uploads.clone().try_acquire_owned().ok();
        let room = match permit {
            Some(_) => self.room(conversation.as_ref()),
            None => Err(Why::Busy),
        };
        let writer = Writer {
            locker: self.clone(),
            room,
            form: Form::default(),
            taken: 0,
            part: Part::Nothing,
            count: 0,
        };
        let within = Duration::from_millis(limits::FILES_BODY_MS);
        let Some(permit) = permit else {
            // Nothing goes to the disk then, and no thread waits for whoever sends slowly.
            let fields = tokio::time::timeout(within, fields_only(writer, reader, body)).await;
            return fields.unwrap_or(Err(FormError::TooSlow));
        };
        let (pieces, waiting) = mpsc::channel(PIECES_AHEAD);
        self.counted.reading.add(1);
        let writing = tokio::task::spawn_blocking(move || {
            let written = writer.run(reader, waiting);
            drop(permit);
            written
        });
        let came = tokio::time::timeout(within, pass_on(body, pieces)).await;
        let came = came.unwrap_or(Err(FormError::TooSlow));
        let within = Duration::from_millis(limits::FILE_STORE_MS);
        let written = tokio::time::timeout(within, writing).await;
        self.counted.reading.add(-1);
        match (came, written) {
            (Err(error), _) => Err(error),
            (Ok(()), Ok(Ok(written))) => written,
            (Ok(()), Ok(Err(_)) | Err(_)) => Err(FormError::Stalled),
        }
    }
}

/// Reads a form whose files are not taken.
async fn fields_only<E>(
    mut writer: Writer,
    mut reader: Reader,
    body: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Form, FormError> {
    let (mut body, mut bytes) = (std::pin::pin!(body), 0);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| FormError::Broken)?;
        bytes += piece.len() as u64;
        if bytes > limits::FILES_BODY_BYTES {
            return Err(FormError::TooLarge);
        }
        writer.feed(&mut reader, &piece)?;
    }
    writer.finish(reader)
}

/// Passes a body on to whoever writes it, as fast as that goes.
async fn pass_on<E>(
    body: impl Stream<Item = Result<Bytes, E>>,
    pieces: mpsc::Sender<Bytes>,
) -> Result<(), FormError> {
    let mut body = std::pin::pin!(body);
    let within = Duration::from_millis(limits::FILE_STORE_MS);
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| FormError::Broken)?;
        bytes += piece.len() as u64;
        if bytes > limits::FILES_BODY_BYTES {
            return Err(FormError::TooLarge);
        }
        match tokio::time::timeout(within, pieces.send(piece)).await {
            Ok(Ok(())) => {}
            // The writer has ended: it says why.
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(FormError::Stalled),
        }
    }
    Ok(())
}

enum Part {
    Nothing,
    Field(String, Vec<u8>),
    File(Box<Incoming>),
}

/// Writes a form as it comes. Blocking.
struct Writer {
    locker: Locker,
    room: Result<u64, Why>,
    form: Form,
    /// Bytes of fields so far.
    taken: usize,
    part: Part,
    /// Files so far.
    count: usize,
}

impl Writer {
    fn run(
        mut self,
        mut reader: Reader,
        mut pieces: mpsc::Receiver<Bytes>,
    ) -> Result<Form, FormError> {
        while let Some(piece) = pieces.blocking_recv() {
            self.feed(&mut reader, &piece)?;
        }
        self.finish(reader)
    }

    fn feed(&mut self, reader: &mut Reader, piece: &[u8]) -> Result<(), FormError> {
        let mut trouble = None;
        reader.read(piece, |event| {
            if trouble.is_none() {
                trouble = self.take(event).err();
            }
        })?;
        trouble.map_or(Ok(()), Err)
    }

    fn finish(self, reader: Reader) -> Result<Form, FormError> {
        reader.end()?;
        for refused in &self.form.refused {
            self.locker.counted.refused(refused.why);
        }
        Ok(self.form)
    }

    fn take(&mut self, event: Event) -> Result<(), FormError> {
        match event {
            Event::Part { name, file } => {
                self.begin(name, file);
                Ok(())
            }
            Event::Data(bytes) => match &mut self.part {
                Part::Nothing => Ok(()),
                Part::Field(_, value) => {
                    self.taken += bytes.len();
                    if self.taken > limits::FORM_BYTES_MAX {
                        return Err(FormError::TooLarge);
                    }
                    value.extend_from_slice(&bytes);
                    Ok(())
                }
                Part::File(incoming) => {
                    incoming.write(&bytes);
                    Ok(())
                }
            },
            Event::End => {
                self.end();
                Ok(())
            }
        }
    }

    fn begin(&mut self, name: String, file: Option<String>) {
        self.part = match file {
            None => Part::Field(name, Vec::new()),
            // A field for files in which nothing was chosen.
            Some(given) if given.is_empty() || name != FILES => Part::Nothing,
            Some(given) => {
                self.count += 1;
                let why = match self.room {
                    _ if self.count > limits::FILES_PER_MESSAGE => Some(Why::TooMany),
                    Err(why) => Some(why),
                    Ok(_) => None,
                };
                let Locker { keyring, blobs, .. } = &self.locker;
                let incoming = match why {
                    Some(why) => Incoming::refused(given, why),
                    None => Incoming::begin(given, keyring, blobs),
                };
                Part::File(Box::new(incoming))
            }
        };
    }

    fn end(&mut self) {
        match std::mem::replace(&mut self.part, Part::Nothing) {
            Part::Nothing => {}
            Part::Field(name, value) => {
                let value = String::from_utf8_lossy(&value).into_owned();
                self.form.fields.push((name, value));
            }
            Part::File(incoming) => match incoming.end() {
                Ok(ready) => self.fit(ready),
                Err(refused) => self.form.refused.push(refused),
            },
        }
    }

    /// Takes a whole file where there is room for it.
    fn fit(&mut self, ready: Ready) {
        let left = self.room.unwrap_or_default();
        match left.checked_sub(ready.stored()) {
            Some(left) => {
                self.room = Ok(left);
                self.form.files.push(ready);
            }
            None => self.form.refused.push(Refused {
                name: ready.name().to_owned(),
                why: Why::ConversationFull,
                bytes: ready.stored(),
            }),
        }
    }
}

impl Locker {
    /// A file that came another way, whole. Blocking.
    ///
    /// # Errors
    /// With why it is not taken.
    pub fn take_whole(&self, given: &str, bytes: &[u8], room: &mut Room) -> Result<Ready, Refused> {
        room.count += 1;
        let why = match room.left {
            _ if room.count > limits::FILES_PER_MESSAGE => Some(Why::TooMany),
            Err(why) => Some(why),
            Ok(_) => None,
        };
        let given = given.to_owned();
        let mut incoming = match why {
            Some(why) => Incoming::refused(given, why),
            None => Incoming::begin(given, &self.keyring, &self.blobs),
        };
        incoming.write(bytes);
        let mut taken = incoming.end();
        if let Ok(ready) = &taken {
            let left = room.left.unwrap_or_default();
            match left.checked_sub(ready.stored()) {
                Some(left) => room.left = Ok(left),
                None => {
                    taken = Err(Refused {
                        name: ready.name().to_owned(),
                        why: Why::ConversationFull,
                        bytes: ready.stored(),
                    });
                }
            }
        }
        if let Err(refused) = &taken {
            self.counted.refused(refused.why);
        }
        taken
    }

    /// The room that is left for files of a message whose conversation is not known yet.
    pub fn room_for_any(&self) -> Room {
        Room {
            left: self.room(None),
            count: 0,
        }
    }
}

/// What files of one message may still take.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    left: Result<u64, Why>,
    count: usize,
}
