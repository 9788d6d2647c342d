//! What of a request goes on to the primary, and what of its answer comes back. Headers only; nothing is sent here.
//!
//! Requests and answers were read by hyper and are written by it anew, so no ambiguity in how they were framed (RFC 9112
//! section 11.2) can go through. What belongs to one connection stays on it (RFC 9110 section 7.6.1), and what says who
//! asked is ours to say: whatever a visitor claims about that is dropped.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Uri, Version};

/// Our name in `Via`. A request that carries it came round in a circle.
const OUR_NAME: &str = "lifeboat";

/// Headers that belong to one connection.
const OF_ONE_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers of a request that we say ourselves, or that hyper does.
const OURS_TO_SAY: [HeaderName; 13] = [
    header::HOST,
    header::COOKIE,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-real-ip"),
];

/// Why a request does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stays {
    /// It has been here before.
    InACircle,
    /// It asks for another protocol, such as WebSocket.
    Upgrade,
}

/// A request for the primary, without its body.
#[derive(Debug)]
pub(super) struct Onward {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

/// Makes the request for the primary of `name`, on behalf of `visitor`.
pub(super) fn onward(head: &Parts, name: &str, visitor: IpAddr) -> Result<Onward, Stays> {
    if head.headers.get_all(header::VIA).iter().any(names_us) {
        return Err(Stays::InACircle);
    }
    let upgrade = head.headers.get(header::UPGRADE);
    if upgrade.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err(Stays::Upgrade);
    }
    let path = head.uri.path_and_query().map(ToString::to_string);
    let uri = path
        .filter(|path| path.starts_with('/'))
        .and_then(|path| path.parse().ok())
        .unwrap_or(Uri::from_static("/"));
    let mut headers = HeaderMap::with_capacity(head.headers.len() + 6);
    let named = named_by_connection(&head.headers);
    for (field, value) in &head.headers {
        if !is_of_one_connection(field, &named) && !is_ours_to_say(field) {
            headers.append(field.clone(), value.clone());
        }
    }
    // RFC 9113 section 8.2.3: cookies that came in pieces go on in one.
    let cookies: Vec<&[u8]> = head
        .headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    put(&mut headers, header::COOKIE, &cookies.join(&b"; "[..]));
    put(&mut headers, header::HOST, name.as_bytes());
    let visitor = visitor.to_string();
    let node = if visitor.contains(':') {
        format!("\"[{visitor}]\"")
    } else {
        visitor.clone()
    };
    let forwarded = format!("for={node};host={name};proto=https");
    put(&mut headers, header::FORWARDED, forwarded.as_bytes());
    for (field, value) in [
        ("x-forwarded-for", visitor.as_str()),
        ("x-forwarded-host", name),
        ("x-forwarded-proto", "https"),
    ] {
        put(
            &mut headers,
            HeaderName::from_static(field),
            value.as_bytes(),
        );
    }
    add_via(&head.headers, head.version, &mut headers);
    Ok(Onward {
        method: head.method.clone(),
        uri,
        headers,
    })
}

/// What of the primary's headers goes to the visitor.
pub(super) fn back(from: &HeaderMap) -> HeaderMap {
    let named = named_by_connection(from);
    let mut headers = HeaderMap::with_capacity(from.len() + 1);
    for (field, value) in from {
        // Other ways to the primary are not ways to us.
        if !is_of_one_connection(field, &named) && field != header::ALT_SVC && field != header::VIA
        {
            headers.append(field.clone(), value.clone());
        }
    }
    add_via(from, Version::HTTP_11, &mut headers);
    headers
}

fn put(headers: &mut HeaderMap, field: HeaderName, value: &[u8]) {
    if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_bytes(value)) {
        headers.insert(field, value);
    }
}

/// Those who passed it on before us, then us (RFC 9110 section 7.6.3).
fn add_via(from: &HeaderMap, version: Version, headers: &mut HeaderMap) {
    for before in from.get_all(header::VIA) {
        headers.append(header::VIA, before.clone());
    }
    let received = match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    if let Ok(us) = HeaderValue::try_from(format!("{received} {OUR_NAME}")) {
        headers.append(header::VIA, us);
    }
}

fn names_us(via: &HeaderValue) -> bool {
    let text = String::from_utf8_lossy(via.as_bytes()).to_ascii_lowercase();
    let mut hops = text.split(',');
    hops.any(|hop| hop.split_ascii_whitespace().nth(1) == Some(OUR_NAME))
}

/// The headers that `Connection` names.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter();
    let tokens = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tokens
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .collect()
}

fn is_of_one_connection(field: &HeaderName, named: &[HeaderName]) -> bool {
    OF_ONE_CONNECTION.contains(field) || named.contains(field)
}

/// Some servers take `_` for `-`, so what is spelled so is dropped too.
fn is_ours_to_say(field: &HeaderName) -> bool {
    OURS_TO_SAY.contains(field)
        || (field.as_str().contains('_') && {
            let spelled = field.as_str().replace('_', "-");
            OURS_TO_SAY.iter().any(|it| it.as_str() == spelled)
        })
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use proptest::prelude::*;

    use super::*;

    fn sent(fields: &[(&str, &str)]) -> Result<Onward, Stays> {
        let mut request = Request::builder().uri("https://www.example.com/a?b=c");
        for (field, value) in fields {
            request = request.header(*field, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        onward(&head, "www.example.com", "2001:db8::1".parse().unwrap())
    }

    fn all(headers: &HeaderMap, field: &str) -> Vec<String> {
        let values = headers.get_all(field).iter();
        values.map(|it| it.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_request_keeps_its_own_headers_and_loses_those_of_the_connection() {
        let on = sent(&[
            ("accept", "text/html"),
            ("authorization", "Basic x"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
        ])
        .unwrap();
        assert_eq!(on.uri, "/a?b=c");
        assert_eq!(all(&on.headers, "cookie"), ["a=1; b=2"]);
        assert_eq!(all(&on.headers, "host"), ["www.example.com"]);
        assert_eq!(all(&on.headers, "authorization"), ["Basic x"]);
        for gone in [
            "connection",
            "x-secret",
            "transfer-encoding",
            "content-length",
            "te",
            "upgrade",
        ] {
            assert!(!on.headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn who_asked_is_ours_to_say() {
        let on = sent(&[
            ("x-forwarded-for", "127.0.0.1"),
            ("x_forwarded_for", "127.0.0.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("host", "admin.example.com"),
            ("via", "1.1 cdn"),
        ])
        .unwrap();
        assert_eq!(all(&on.headers, "x-forwarded-for"), ["2001:db8::1"]);
        assert_eq!(
            all(&on.headers, "forwarded"),
            ["for=\"[2001:db8::1]\";host=www.example.com;proto=https"]
        );
        assert_eq!(all(&on.headers, "host"), ["www.example.com"]);
        assert_eq!(all(&on.headers, "via"), ["1.1 cdn", "1.1 lifeboat"]);
        assert!(!on.headers.contains_key("x-real-ip"));
        assert!(!on.headers.contains_key("x_forwarded_for"));
    }

    #[test]
    fn a_circle_and_a_websocket_stay() {
        for via in ["1.1 lifeboat", "2 cdn, 1.1 Lifeboat (x)"] {
            assert_eq!(sent(&[("via", via)]).err(), Some(Stays::InACircle), "{via}");
        }
        assert!(sent(&[("via", "1.1 lifeboat.example")]).is_ok());
        let websocket = [("connection", "upgrade"), ("upgrade", "WebSocket")];
        assert_eq!(sent(&websocket).err(), Some(Stays::Upgrade));
    }

    #[test]
    fn an_answer_loses_what_belongs_to_the_connection_only() {
        let mut from = HeaderMap::new();
        for (field, value) in [
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("etag", "\"1\""),
            ("keep-alive", "timeout=5"),
            ("connection", "keep-alive"),
            ("alt-svc", "h3=\":443\""),
        ] {
            from.append(field, HeaderValue::from_static(value));
        }
        let back = back(&from);
        assert_eq!(all(&back, "set-cookie"), ["a=1", "b=2"]);
        assert_eq!(all(&back, "via"), ["1.1 lifeboat"]);
        assert_eq!(back.len(), 4);
    }

    proptest! {
        #[test]
        fn no_header_panics_or_goes_on_beside_ours(value in prop::collection::vec(32u8..=126, 0..60), at in 0usize..5) {
            let field = ["connection", "via", "cookie", "upgrade", "x-forwarded-for"][at];
            let value = HeaderValue::from_bytes(&value).unwrap();
            let (head, ()) = Request::builder().header(field, value).body(()).unwrap().into_parts();
            if let Ok(on) = onward(&head, "www.example.com", "192.0.2.1".parse().unwrap()) {
                prop_assert_eq!(all(&on.headers, "x-forwarded-for"), ["192.0.2.1"]);
                prop_assert!(!on.headers.contains_key("connection"));
            }
        }
    }
}
