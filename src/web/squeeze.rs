//! Squeezing pages that were made for one visitor, on their way out. A page that is a stream, that is squeezed
//! already or that is small goes as it is.

use axum::body::{Body, to_bytes};
use hyper::Response;
use hyper::body::Body as _;
use hyper::header::{self, HeaderValue};

use crate::model::limits::ROUTED_SQUEEZE_BYTES;
use crate::web::encode::{self, Encoding};
use crate::web::negotiate::Accepted;
use crate::web::policy;

/// Smaller pages fit into the first packet as they are.
const WORTH_FROM_BYTES: u64 = 860;
/// Cheapest first: here the time of the node counts too, and zstd takes a fifth of brotli's.
const ORDER: [Encoding; 3] = [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];

/// The same answer, squeezed where the client takes that and it helps.
pub(super) async fn page(answer: Response<Body>, accepted: Accepted) -> Response<Body> {
    let is_text = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| is_text(value.as_bytes()));
    let size = answer.body().size_hint().exact().unwrap_or(0);
    let fits = (WORTH_FROM_BYTES..=ROUTED_SQUEEZE_BYTES).contains(&size);
    if !is_text || !fits || answer.headers().contains_key(header::CONTENT_ENCODING) {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    head.headers.append(header::VARY, policy::VARY_ENCODING);
    let Ok(content) = to_bytes(body, usize::try_from(size).unwrap_or(usize::MAX)).await else {
        // Its length was known, so it was in memory; a body that fails there is cut off like any other.
        return Response::from_parts(head, Body::empty());
    };
    let best = accepted.first_of(ORDER);
    let squeezed = best.and_then(|encoding| {
        let token = policy::content_encoding(encoding)?;
        Some((token, encode::squeezed_quickly(&content, encoding)?))
    });
    let Some((token, bytes)) = squeezed else {
        return Response::from_parts(head, Body::from(content));
    };
    head.headers.insert(header::CONTENT_ENCODING, token);
    head.headers.remove(header::CONTENT_LENGTH);
    // The bytes are no longer those the page's ETag was made for, only their meaning is (RFC 9110 section 8.8.1).
    if let Some(etag) = head.headers.get(header::ETAG)
        && !etag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat())
    {
        head.headers.insert(header::ETAG, weak);
    }
    Response::from_parts(head, Body::from(bytes))
}

fn is_text(content_type: &[u8]) -> bool {
    [&b"text/"[..], b"application/json", b"application/problem+json", b"image/svg"]
        .iter()
        .any(|kind| content_type.starts_with(kind))
        // Events are sent one by one as they happen.
        && !content_type.starts_with(b"text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderMap;

    async fn sent(content_type: &'static str, accepts: &'static str, body: &str) -> Response<Body> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepts));
        let mut answer = Response::new(Body::from(body.to_owned()));
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        answer
            .headers_mut()
            .insert(header::ETAG, HeaderValue::from_static("\"7\""));
        page(answer, Accepted::of(&headers)).await
    }

    #[tokio::test]
    async fn a_long_page_is_squeezed_and_its_etag_becomes_weak() {
        let text = "The power is out. ".repeat(100);
        let answer = sent("text/html", "gzip, br, zstd", &text).await;
        assert_eq!(answer.headers()[header::CONTENT_ENCODING], "zstd");
        assert_eq!(answer.headers()[header::VARY], "accept-encoding");
        assert_eq!(answer.headers()[header::ETAG], "W/\"7\"");
        let bytes = to_bytes(answer.into_body(), 10_000).await.unwrap();
        assert_eq!(zstd::decode_all(&bytes[..]).unwrap(), text.as_bytes());
    }

    #[tokio::test]
    async fn what_would_not_gain_goes_as_it_is() {
        let text = "The power is out. ".repeat(100);
        for (content_type, accepts, body) in [
            ("text/html", "gzip", "short"),
            ("text/html", "", text.as_str()),
            ("image/png", "gzip", text.as_str()),
            ("text/event-stream", "gzip", text.as_str()),
        ] {
            let answer = sent(content_type, accepts, body).await;
            assert!(
                !answer.headers().contains_key(header::CONTENT_ENCODING),
                "{content_type}"
            );
            assert_eq!(answer.headers()[header::ETAG], "\"7\"");
        }
    }
}
