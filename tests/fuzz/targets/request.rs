//! The head of a request: target, host names, languages, encodings, conditions and ranges, against a small website.
//! Nothing panics; an answer in parts never holds more than the file; a name that is not ours is not found.
#![no_main]

use std::io::Cursor;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use lifeboat::model::words::Lang;
use lifeboat::web::archive::Draft;
use lifeboat::web::host::Names;
use lifeboat::web::public::is_ours;
use lifeboat::web::public::texts::preferred;
use lifeboat::web::{Site, bundle};

static SITE: LazyLock<Site> = LazyLock::new(|| {
    let page = "<!doctype html><title>Help</title><p>We are here.</p>".repeat(40);
    let files = [
        ("index.html", page.as_bytes()),
        ("404.html", b"<!doctype html><title>Not here</title>"),
        ("help/index.html", page.as_bytes()),
        ("style.3f9c01ab.css", b"body{margin:0}"),
        ("map.bin", &[7; 3_000]),
    ];
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder
            .append_data(&mut header, name, content)
            .expect("a tar in memory is written");
    }
    let archive = builder.into_inner().expect("a tar in memory is written");
    let draft = Draft::from_archive(Cursor::new(archive)).expect("the bundle keeps every rule");
    let blob = Bytes::from(bundle::pack(&draft).bytes);
    Site::load(&blob, is_ours).expect("what was packed is loaded")
});

static NAMES: LazyLock<Names> =
    LazyLock::new(|| Names::new(["help.example.net"], ["www.example.com"]));

/// One line a field, the first the method and target.
fn request(head: &[u8]) -> Option<Request<()>> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.split(|byte| *byte == b' ');
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(first.next()?).ok()?;
    *request.uri_mut() = Uri::try_from(first.next()?).ok()?;
    if first.next() == Some(b"HTTP/2") {
        *request.version_mut() = http::Version::HTTP_2;
    }
    for line in lines.take(100) {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

fuzz_target!(|head: &[u8]| {
    let Some(request) = request(head) else {
        return;
    };
    if let Ok((name, _)) = NAMES.find(&request) {
        assert!(["help.example.net", "www.example.com"].contains(&&**name));
    }
    let accepts = request.headers().get("accept-language");
    let accepts = accepts.and_then(|it| it.to_str().ok());
    let lang = preferred(accepts, &Lang::ALL);
    assert!(Lang::ALL.contains(&lang));
    let answers = [
        SITE.answer(&request),
        SITE.not_found(&request),
        SITE.part_of_emergency(&request),
        Some(SITE.emergency(&request)),
    ];
    for answer in answers.into_iter().flatten() {
        let status = answer.status().as_u16();
        let known = [200, 204, 206, 301, 304, 307, 308, 404, 405, 412, 416, 503];
        assert!(known.contains(&status), "{status}");
        if let Some(body) = answer.body().as_bytes() {
            assert!(body.len() <= 4_000);
        }
    }
});
