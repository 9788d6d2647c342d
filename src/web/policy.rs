//! What browsers are told besides the content: security headers, caching, and what a borrowed name must never say.
//! Headers only add and remove; nothing here fails.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::web::encode::Encoding;
use crate::web::host::Standing;
use crate::web::inline::Inline;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A year, on Lifeboat's own names only: a browser that remembers it for a borrowed name would lock customers out of
/// the real site if that ever answers without TLS.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// Nobody guesses types.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Secret links stay with us; our own forms still say where they came from.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");
const PERMISSIONS: HeaderValue = HeaderValue::from_static(
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
);
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// Kept nowhere.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Kept, but asked for again each time: a page must never show yesterday's emergency.
pub const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
/// For names that carry the hash of their content.
pub const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For other parts of a page: one visit needs them several times, a new version shows within the minute.
pub const A_MINUTE: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// Where several encodings exist.
pub const VARY_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Headers of every answer over TLS.
pub fn protect(headers: &mut HeaderMap, standing: Standing) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    // What is made for other people's pages says so itself.
    headers.entry(RESOURCE_POLICY).or_insert(SAME_ORIGIN);
    headers.entry(header::REFERRER_POLICY).or_insert(REFERRER);
    match standing {
        Standing::Own => {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        Standing::Borrowed => {
            headers.remove(header::STRICT_TRANSPORT_SECURITY);
        }
    }
}

/// Headers of every answer that a browser may show as a page; `content_policy` is kept if one is there already.
pub fn protect_document(headers: &mut HeaderMap, content_policy: HeaderValue) {
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(content_policy);
    headers.insert(PERMISSIONS_POLICY, PERMISSIONS);
    headers.insert(OPENER_POLICY, SAME_ORIGIN);
}

/// The content security policy of a page: only what comes from the same host, and what stands in the page itself.
pub fn content_policy(standing: Standing, inline: &Inline) -> HeaderValue {
    let mut policy = String::from("default-src 'none'; script-src 'self'");
    name_hashes(&mut policy, &inline.scripts);
    policy.push_str("; style-src 'self'");
    name_hashes(&mut policy, &inline.styles);
    policy.push_str(
        "; img-src 'self' data:; font-src 'self'; media-src 'self'; connect-src 'self'; manifest-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'; worker-src ",
    );
    policy.push_str(match standing {
        Standing::Own => "'self'",
        // A service worker under a borrowed name would answer long after the outage.
        Standing::Borrowed => "'none'",
    });
    HeaderValue::from_str(&policy).expect("the policy is made of visible ASCII")
}

fn name_hashes(policy: &mut String, hashes: &[[u8; 32]]) {
    for hash in hashes {
        policy.push_str(" 'sha256-");
        BASE64.encode_string(hash, policy);
        policy.push('\'');
    }
}

/// Takes from an answer under a borrowed name everything that could outlive the outage.
pub fn leave_no_trace(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    for name in [
        header::SET_COOKIE,
        header::STRICT_TRANSPORT_SECURITY,
        header::ETAG,
        header::LAST_MODIFIED,
        header::EXPIRES,
        header::AGE,
        header::ALT_SVC,
        HeaderName::from_static("service-worker-allowed"),
    ] {
        headers.remove(name);
    }
}

/// Takes from a request under a borrowed name what was meant for the real site: cookies and passwords of customers,
/// and validators of pages that are not ours.
pub fn leave_unread(headers: &mut HeaderMap) {
    for name in [
        header::COOKIE,
        header::AUTHORIZATION,
        header::IF_NONE_MATCH,
        header::IF_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
        header::RANGE,
    ] {
        headers.remove(name);
    }
}

/// The value of `Content-Encoding`, where there is one.
pub fn content_encoding(encoding: Encoding) -> Option<HeaderValue> {
    (encoding != Encoding::Identity).then(|| HeaderValue::from_static(encoding.token()))
}
