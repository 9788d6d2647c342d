//! Files of messages on the command line: named, fetched, sent along with an answer, and erased.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{Kept, Opened, write};
use crate::{
    cli::{
        Said,
        failure::{Exit, Failure},
        node::{Node, part},
        output::printable,
    },
    durable,
    model::limits,
};

/// A file of a message.
#[derive(Debug, Deserialize)]
pub(super) struct Carried {
    number: usize,
    name: Option<String>,
    kind: String,
    bytes: u64,
    safe: bool,
    copies: usize,
    erased: bool,
}

impl Carried {
    pub(super) fn line(&self) -> String {
        let name = self.name.as_deref().unwrap_or("(no key here)");
        let state = match (self.erased, self.safe) {
            (true, _) => "deleted for good".to_owned(),
            (false, true) => "safely stored".to_owned(),
            (false, false) => format!("copies known: {}", self.copies),
        };
        format!(
            "  file {}: {}, {}, {} bytes; {state}\n",
            self.number,
            printable(name),
            printable(&self.kind),
            self.bytes
        )
    }
}

/// Fetches a file of a message.
pub(super) async fn fetch(
    node: &Node,
    conversation: &str,
    number: usize,
    to: &Path,
) -> Result<Said, Failure> {
    let path = format!("/conversations/{}/files/{number}", part(conversation));
    let bytes = node.fetch(&path).await?;
    let written = || -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(to)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    written().map_err(|error| {
        Failure::new(
            Exit::Usage,
            "the file was not saved",
            format!("{}: {error}", to.display()),
            "name another path with --to",
        )
    })?;
    let text = format!("{} bytes are in {}\n", bytes.len(), to.display());
    let answer = json!({ "bytes": bytes.len(), "path": to.display().to_string() });
    Ok(Said::of(answer, text))
}

/// Deletes a file for good.
pub(super) async fn erase(
    node: &Node,
    conversation: &str,
    number: usize,
    confirm: &str,
) -> Result<Said, Failure> {
    let path = format!("/conversations/{}", part(conversation));
    let all = node.get::<Opened>(&path).await?;
    let files = all.value.messages.iter().flat_map(|it| &it.files);
    let found = files.into_iter().find(|it| it.number == number);
    let name = found.and_then(|it| it.name.as_deref()).unwrap_or_default();
    if name != confirm {
        let why = match found {
            None => format!("there is no file {number}"),
            Some(_) => format!("file {number} is called {name:?}, and --confirm says {confirm:?}"),
        };
        let advice = "'lifeboat conversations show' names the files with their numbers";
        return Err(Failure::new(
            Exit::Usage,
            "nothing was deleted",
            why,
            advice,
        ));
    }
    write(
        node,
        conversation,
        &format!("files/{number}/erase"),
        json!({}),
    )
    .await
}

/// Answers with files.
pub(super) async fn answer(
    node: &Node,
    conversation: &str,
    text: &str,
    attach: &[PathBuf],
) -> Result<Said, Failure> {
    let mut files = Vec::new();
    for path in attach {
        let read = fs::metadata(path).and_then(|it| match it.len() > limits::FILE_BYTES_MAX {
            true => Err(io::Error::other(format!(
                "{} bytes, and at most {} fit",
                it.len(),
                limits::FILE_BYTES_MAX
            ))),
            false => durable::read_at_most(path, limits::FILE_BYTES_MAX),
        });
        let bytes = read.map_err(|error| {
            Failure::new(
                Exit::Usage,
                "a file cannot be sent",
                format!("{}: {error}", path.display()),
                "give another file with --attach",
            )
        })?;
        let name = path.file_name().map(|it| it.to_string_lossy().into_owned());
        files.push((name.unwrap_or_default(), bytes));
    }
    let path = format!("/conversations/{}/messages", part(conversation));
    let answer = node
        .send_form::<Kept>(&path, &form(node.key(), text, &files))
        .await?;
    let text = format!("{}\n", printable(&answer.value.says));
    Ok(Said::of(answer.json, text))
}

/// The form, with a boundary that is in none of its parts.
fn form(key: &str, text: &str, files: &[(String, Vec<u8>)]) -> (String, Bytes) {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut boundary = format!("lifeboat{}", plain.chars().take(40).collect::<String>());
    let clashes = |boundary: &str| {
        let has = |it: &[u8]| {
            it.windows(boundary.len())
                .any(|it| it == boundary.as_bytes())
        };
        has(text.as_bytes()) || files.iter().any(|it| has(&it.1))
    };
    while clashes(&boundary) && boundary.len() < 70 {
        boundary.push('x');
    }
    let mut body =
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n{text}\r\n")
            .into_bytes();
    for (name, bytes) in files {
        let name = name.replace('"', "%22").replace(['\r', '\n'], " ");
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (
        format!("multipart/form-data; boundary={boundary}"),
        body.into(),
    )
}
