//! Tests of serving one version of the website: addresses, methods, encodings, conditions, ranges and headers.

use http_body_util::BodyExt;

use super::*;
use crate::web::archive::Draft;

const PAGE: &str = "<!doctype html><title>Status</title><style>p{}</style><p>The power is out.";

fn site(files: &[(&str, &[u8])]) -> Site {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder
            .append_data(&mut header, name, *content)
            .expect("memory");
    }
    let archive = builder.into_inner().expect("memory");
    let draft = Draft::from_archive(std::io::Cursor::new(archive)).expect("a good bundle");
    let blob = Bytes::from(bundle::pack(&draft).bytes);
    Site::load(&blob, |path| path.starts_with("/c/")).expect("what we packed")
}

fn usual() -> Site {
    let text = long_text();
    site(&[
        ("index.html", PAGE.as_bytes()),
        ("about.html", b"about"),
        ("help/index.html", b"help"),
        ("help/p\u{159}\u{ed}.txt", b"utf-8"),
        ("both.html", b"file"),
        ("both/index.html", b"folder"),
        ("c/mine.html", b"hidden"),
        ("404.html", b"no such page"),
        ("style.0a1b2c3d.css", b"p{}"),
        ("logo.png", b"0123456789"),
        ("long.txt", text.as_bytes()),
    ])
}

fn long_text() -> String {
    "Generator 2 is being refuelled. ".repeat(100)
}

fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

fn get(site: &Site, target: &str, fields: &[(&str, &str)]) -> Response<Content> {
    site.answer(&request("GET", target, fields))
        .expect("an address of the site")
}

fn field<'a>(answer: &'a Response<Content>, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().expect("visible"))
}

async fn body(answer: Response<Content>) -> Vec<u8> {
    let declared = answer.headers().get("content-length").cloned();
    let bytes = answer
        .into_body()
        .collect()
        .await
        .expect("memory")
        .to_bytes();
    if let Some(declared) = declared {
        assert_eq!(declared.to_str().expect("digits"), bytes.len().to_string());
    }
    bytes.to_vec()
}

#[tokio::test]
async fn addresses_show_the_files_they_mean() {
    let site = usual();
    for (target, wanted) in [
        ("/", PAGE),
        ("/index.html", PAGE),
        ("/?from=mail", PAGE),
        ("/about", "about"),
        ("/about.html", "about"),
        ("/%61bout", "about"),
        ("/help/", "help"),
        ("/help/index", "help"),
        ("/help/p%C5%99%C3%AD.txt", "utf-8"),
        ("/both", "file"),
        ("/both/", "folder"),
    ] {
        let answer = get(&site, target, &[]);
        assert_eq!(answer.status(), 200, "{target}");
        assert_eq!(body(answer).await, wanted.as_bytes(), "{target}");
    }
}

#[test]
fn a_folder_is_entered_by_its_slash_and_the_question_comes_along() {
    let site = usual();
    let answer = get(&site, "/help?a=b", &[]);
    assert_eq!(
        (answer.status().as_u16(), field(&answer, "location")),
        (308, "/help/?a=b")
    );
    assert_eq!(field(&answer, "cache-control"), "no-cache");
}

#[test]
fn no_address_leads_out_or_elsewhere() {
    let site = usual();
    for target in [
        "/../etc/passwd",
        "/help/../index.html",
        "/%2e%2e/etc/passwd",
        "/help%2Findex.html",
        "/help/%00",
        "/%ff",
        "/%",
        "/%4",
        "/%zz",
        "//index.html",
        "/About",
        "/about/",
        "/c/mine.html",
        "/nothing",
    ] {
        assert!(
            site.answer(&request("GET", target, &[])).is_none(),
            "{target}"
        );
    }
}

#[tokio::test]
async fn the_websites_own_page_is_shown_for_what_is_not_there() {
    let site = usual();
    let answer = site
        .not_found(&request("GET", "/nothing", &[]))
        .expect("a page");
    assert_eq!(
        (answer.status().as_u16(), field(&answer, "etag")),
        (404, "")
    );
    assert_eq!(body(answer).await, b"no such page");
    assert!(site.not_found(&request("POST", "/nothing", &[])).is_none());
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let site = usual();
    let wanted = get(&site, "/long.txt", &[]);
    let head = site
        .answer(&request("HEAD", "/long.txt", &[]))
        .expect("an answer");
    assert_eq!(head.headers(), wanted.headers());
    assert_eq!(head.into_body().as_bytes().map(Bytes::len), Some(0));
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    let site = usual();
    for (method, status) in [
        ("OPTIONS", 204),
        ("POST", 405),
        ("PUT", 405),
        ("DELETE", 405),
        ("BREW", 405),
    ] {
        let answer = site
            .answer(&request(method, "/about", &[]))
            .expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), field(&answer, "allow")),
            (status, "GET, HEAD, OPTIONS"),
            "{method}"
        );
    }
}

#[tokio::test]
async fn the_best_encoding_is_sent_and_named_with_its_own_etag() {
    let site = usual();
    let mut etags = std::collections::HashSet::new();
    for (accepts, sent) in [
        ("gzip, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("", ""),
    ] {
        let answer = get(&site, "/long.txt", &[("accept-encoding", accepts)]);
        assert_eq!(field(&answer, "content-encoding"), sent, "{accepts}");
        assert_eq!(field(&answer, "vary"), "accept-encoding");
        assert!(etags.insert(field(&answer, "etag").to_owned()));
    }
    let refused = get(
        &site,
        "/long.txt",
        &[("accept-encoding", "identity;q=0, deflate")],
    );
    assert_eq!(refused.status(), 406);
    let picture = get(&site, "/logo.png", &[("accept-encoding", "gzip, br")]);
    assert_eq!(
        (field(&picture, "content-encoding"), field(&picture, "vary")),
        ("", "")
    );
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let site = usual();
    let first = get(&site, "/long.txt", &[("accept-encoding", "gzip")]);
    let etag = field(&first, "etag");
    assert!(etag.starts_with('"') && etag.ends_with("-gzip\""), "{etag}");
    let again = get(
        &site,
        "/long.txt",
        &[("accept-encoding", "gzip"), ("if-none-match", etag)],
    );
    assert_eq!(
        (again.status().as_u16(), field(&again, "etag")),
        (304, etag)
    );
    assert_eq!(field(&again, "vary"), "accept-encoding");
    assert!(body(again).await.is_empty());
    let other = get(
        &site,
        "/long.txt",
        &[("accept-encoding", "br"), ("if-none-match", etag)],
    );
    assert_eq!(other.status(), 200);
    let failed = get(&site, "/long.txt", &[("if-match", "\"x\"")]);
    assert_eq!(failed.status(), 412);
    // Our ETag says more than a date.
    let dated = get(
        &site,
        "/long.txt",
        &[("if-modified-since", "Mon, 23 Nov 2099 10:00:00 GMT")],
    );
    assert_eq!(dated.status(), 200);
}

#[tokio::test]
async fn ranges_are_cut_from_the_file_as_it_is() {
    let site = usual();
    let range = |range| [("range", range), ("accept-encoding", "br")];
    let one = get(&site, "/logo.png", &range("bytes=2-4"));
    assert_eq!(
        (one.status().as_u16(), field(&one, "content-range")),
        (206, "bytes 2-4/10")
    );
    assert_eq!(body(one).await, b"234");
    let text = get(&site, "/long.txt", &range("bytes=-3"));
    assert_eq!(field(&text, "content-encoding"), "");
    assert_eq!(body(text).await, b"d. ");
    let several = get(&site, "/logo.png", &range("bytes=0-0,-2"));
    assert_eq!(several.status(), 206);
    let kind = field(&several, "content-type").to_owned();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("parts");
    let wanted = format!(
        "\r\n--{boundary}\r\ncontent-type: image/png\r\ncontent-range: bytes 0-0/10\r\n\r\n0\
         \r\n--{boundary}\r\ncontent-type: image/png\r\ncontent-range: bytes 8-9/10\r\n\r\n89\r\n--{boundary}--\r\n"
    );
    assert_eq!(
        String::from_utf8(body(several).await).expect("text"),
        wanted
    );
    let beyond = get(&site, "/logo.png", &range("bytes=10-"));
    assert_eq!(
        (beyond.status().as_u16(), field(&beyond, "content-range")),
        (416, "bytes */10")
    );
    let unknown = get(&site, "/logo.png", &range("pages=1-2"));
    assert_eq!(unknown.status(), 200);
    let etag = field(&unknown, "etag").to_owned();
    let fields = [("range", "bytes=0-1"), ("if-none-match", etag.as_str())];
    assert_eq!(get(&site, "/logo.png", &fields).status(), 304);
    let head = site.answer(&request("HEAD", "/logo.png", &[("range", "bytes=0-1")]));
    assert_eq!(head.expect("an answer").status(), 200);
}

#[test]
fn pages_are_asked_for_anew_and_hashed_names_never() {
    let site = usual();
    for (target, caching) in [
        ("/", "no-cache"),
        ("/style.0a1b2c3d.css", "public, max-age=31536000, immutable"),
        ("/logo.png", "public, max-age=60"),
    ] {
        assert_eq!(
            field(&get(&site, target, &[]), "cache-control"),
            caching,
            "{target}"
        );
    }
}

#[test]
fn pages_are_protected_and_may_use_what_stands_in_them() {
    let page = get(&usual(), "/", &[]);
    let policy = field(&page, "content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self' 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        assert_eq!(field(&page, name), value, "{name}");
    }
    assert!(field(&page, "permissions-policy").contains("camera=()"));
}

#[tokio::test]
async fn under_a_borrowed_name_only_the_emergency_page_is_shown_and_nothing_stays() {
    let site = usual();
    for (target, status) in [
        ("/", 200),
        ("/about", 503),
        ("/logo.png", 503),
        ("/nothing", 503),
        ("/index.html", 503),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let asked = request(
                method,
                target,
                &[("if-none-match", "*"), ("range", "bytes=0-1")],
            );
            let answer = site.emergency(&asked);
            assert_eq!(answer.status().as_u16(), status, "{method} {target}");
            assert_eq!(field(&answer, "cache-control"), "no-store");
            assert_eq!(!field(&answer, "retry-after").is_empty(), status == 503);
            for name in [
                "strict-transport-security",
                "etag",
                "set-cookie",
                "last-modified",
            ] {
                assert_eq!(field(&answer, name), "", "{name}");
            }
            assert!(field(&answer, "content-security-policy").ends_with("worker-src 'none'"));
            if method != "HEAD" {
                assert_eq!(body(answer).await, PAGE.as_bytes());
            }
        }
    }
}

#[tokio::test]
async fn the_emergency_page_gets_its_parts_when_a_browser_says_that_they_are_parts() {
    let site = usual();
    let part = |target, dest, site_of| {
        let fields = [("sec-fetch-dest", dest), ("sec-fetch-site", site_of)];
        site.part_of_emergency(&request("GET", target, &fields))
    };
    let style = part("/style.0a1b2c3d.css", "style", "same-origin").expect("a part");
    assert_eq!(
        (style.status().as_u16(), field(&style, "cache-control")),
        (200, "no-store")
    );
    for (target, dest, site_of) in [
        ("/about", "document", "same-origin"),
        ("/about", "image", "same-origin"),
        ("/logo.png", "document", "none"),
        ("/logo.png", "image", "cross-site"),
        ("/logo.png", "serviceworker", "same-origin"),
        ("/nothing.png", "image", "same-origin"),
    ] {
        assert!(
            part(target, dest, site_of).is_none(),
            "{target} {dest} {site_of}"
        );
    }
    assert!(
        site.part_of_emergency(&request("GET", "/logo.png", &[]))
            .is_none()
    );
}
