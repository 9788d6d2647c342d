//! What a browser is told about a file that somebody sent: it is saved, never shown as a page of ours, never guessed at,
//! never run, and kept nowhere on the way.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};

use crate::files::Standing;

/// The answer that carries a file.
pub fn answer(file: &Standing, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    let name = file.name.as_deref().unwrap_or("file");
    let says = [
        (header::CONTENT_TYPE, file.kind.media()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; sandbox",
        ),
    ];
    for (name, value) in says {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(file.bytes));
    if let Ok(disposition) = HeaderValue::from_str(&disposition(name)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    answer
}

/// The name twice (RFC 6266): in ASCII, and as it is.
fn disposition(name: &str) -> String {
    let plain = |it: char| match it {
        '"' | '\\' | '%' => '_',
        it if it.is_ascii_graphic() || it == ' ' => it,
        _ => '_',
    };
    let ascii: String = name.chars().map(plain).collect();
    let mut whole = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            whole.push(char::from(byte));
        } else {
            whole.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{whole}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_header() {
        assert_eq!(
            disposition("chyba \u{159}.png"),
            "attachment; filename=\"chyba _.png\"; filename*=UTF-8''chyba%20%C5%99.png"
        );
        let hostile = disposition("a\"; filename=b.exe\r\nX: y.png");
        assert!(hostile.starts_with("attachment; filename=\"a_; filename=b.exe__X: y.png\";"));
        assert!(HeaderValue::from_str(&hostile).is_ok());
    }
}
