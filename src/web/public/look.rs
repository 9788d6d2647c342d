//! What the pages look like: the style with the company's colours, and its logo, both inlined so that a page is one
//! answer. Made once at start, which fails where the logo cannot be used.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::config::Company;
use crate::model::limits::LOGO_BYTES_MAX;

/// Why the pages cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The file is not there or cannot be read.
    #[error("cannot read company.logo at {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is too large for a page on a bad line.
    #[error(
        "company.logo at {path} has {found} bytes; at most {LOGO_BYTES_MAX} fit, so that the first page loads on a bad line (a simplified SVG mostly does)"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: usize,
    },
    /// The file is not a picture of a kind that every browser shows.
    #[error("company.logo at {path} is neither an SVG nor a PNG file")]
    NotAPicture {
        /// The file.
        path: PathBuf,
    },
}

/// The style, the logo, and what the browser is told about them.
#[derive(Debug, Clone)]
pub struct Look {
    /// The text of the one `<style>` element.
    pub style: String,
    /// The logo as a `data:` address.
    pub logo: Option<String>,
    /// The Content-Security-Policy of the pages.
    pub policy: String,
    /// The same of the conversation, whose script asks this host and those that the page names.
    pub chat_policy: String,
    /// The same of what stands inside that page.
    pub frame_policy: String,
    /// The script of the conversation.
    pub script: String,
    /// The address of the script, which changes with it.
    pub script_path: String,
}

impl Look {
    /// Makes the look of this company's pages.
    ///
    /// # Errors
    /// When the logo's file cannot be read, is too large or is no picture.
    pub fn of(company: &Company) -> Result<Look, LookError> {
        Look::with(company, "")
    }

    /// The same with more style, for other pages of ours.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn with(company: &Company, more: &str) -> Result<Look, LookError> {
        let style = style(company, more);
        let logo = company.logo.as_deref().map(logo).transpose()?;
        let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
        // Forms may go to this host only; everything that is not named is forbidden, scripts among it.
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        let hosts: String = company
            .alternates
            .iter()
            .map(|it| format!(" https://{it}"))
            .collect();
        let chat_policy =
            format!("{policy}; script-src 'self'; connect-src 'self'{hosts}; frame-src 'self'");
        let frame_policy = policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'");
        let script = script(include_str!("chat.js"));
        let mark = STANDARD.encode(&Sha256::digest(script.as_bytes())[..6]);
        let mark = mark.replace(['+', '/'], "-");
        Ok(Look {
            style,
            logo,
            policy,
            chat_policy,
            frame_policy,
            script,
            script_path: format!("{SCRIPT_PATH}?{mark}"),
        })
    }
}

/// Where the script of the conversation is.
pub(super) const SCRIPT_PATH: &str = "/c/chat.js";

/// A script without indents and without the lines that are comments.
fn script(source: &str) -> String {
    let lines = source.lines().map(str::trim);
    let lines = lines.filter(|it| !it.is_empty() && !it.starts_with("//"));
    lines.flat_map(|it| [it, "\n"]).collect()
}

/// The style sheet without comments and indents, with the company's colours at the end.
fn style(company: &Company, more: &str) -> String {
    let mut style = String::new();
    let whole = [include_str!("style.css"), more].concat();
    let mut rest = whole.as_str();
    while let Some((before, after)) = rest.split_once("/*") {
        style.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    style.push_str(rest);
    let mut style: String = style.lines().map(str::trim).collect();
    let (day, night) = (company.accent, company.accent_night);
    // Writing to a string cannot fail. Print stays black: it is last in the sheet and says so itself.
    let _ = write!(
        style,
        "@media screen{{:root{{--accent:{day}}}}}@media screen and (prefers-color-scheme:dark){{:root{{--accent:{night}}}}}"
    );
    style
}

fn logo(path: &Path) -> Result<String, LookError> {
    let bytes = std::fs::read(path).map_err(|source| LookError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() > LOGO_BYTES_MAX {
        return Err(LookError::TooLarge {
            path: path.to_owned(),
            found: bytes.len(),
        });
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(format!("data:image/png;base64,{}", STANDARD.encode(&bytes)));
    }
    match std::str::from_utf8(&bytes) {
        // Shown by <img>, where a browser runs no script of it and loads nothing for it.
        Ok(text) if text.contains("<svg") => Ok(format!("data:image/svg+xml,{}", escaped(text))),
        Ok(_) | Err(_) => Err(LookError::NotAPicture {
            path: path.to_owned(),
        }),
    }
}

/// Percent-encodes what may not stand in a `data:` address. Readable text compresses far better than base64.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b" -._~:/=,;'()!*+@$?".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02x}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_has_no_comments_and_no_indents() {
        let mut problems = crate::config::Problems::new();
        let company = Company::check(Default::default(), &mut problems);
        let look = Look::of(&company).unwrap();
        assert!(
            !look.style.contains("/*") && !look.style.contains('\n') && !look.style.contains("</")
        );
        assert!(look.style.len() < 7_000, "{}", look.style.len());
    }

    #[test]
    fn the_script_of_the_conversation_is_small() {
        let script = script(include_str!("chat.js"));
        assert!(!script.contains("\n//"));
        let mut squeezed = Vec::new();
        let mut reader = brotli::CompressorReader::new(script.as_bytes(), 4096, 5, 20);
        std::io::Read::read_to_end(&mut reader, &mut squeezed).unwrap();
        // Issue 6: at most 6 kB on the line.
        assert!(squeezed.len() <= 6_000, "{}", squeezed.len());
    }

    #[test]
    fn a_logo_that_cannot_be_used_is_refused_with_its_path() {
        let folder = std::env::temp_dir().join(format!("lifeboat-logo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("logo.svg");
        assert!(matches!(logo(&path), Err(LookError::Unreadable { .. })));
        std::fs::write(&path, vec![b'a'; LOGO_BYTES_MAX + 1]).unwrap();
        assert!(logo(&path).unwrap_err().to_string().contains("4097 bytes"));
        std::fs::write(&path, "GIF89a").unwrap();
        assert!(matches!(logo(&path), Err(LookError::NotAPicture { .. })));
        std::fs::write(
            &path,
            "<svg xmlns=\"http://www.w3.org/2000/svg\"><path d='M0 0\"'/></svg>",
        )
        .unwrap();
        assert!(
            logo(&path)
                .unwrap()
                .starts_with("data:image/svg+xml,%3csvg xmlns=%22http://")
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
