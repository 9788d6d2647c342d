//! A website before it counts: served by the code that serves the live one, to a browser on this machine.
//!
//! Plain HTTP on a loopback address, for the person who started it. Every answer says that it is a preview, and nothing
//! of it may be kept or listed. Lifeboat's own pages are not part of a website and are not here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::debug;

use crate::model::limits::{ACCEPT_PAUSE_MS, H2_STREAMS, REQUEST_HEAD_MS};
use crate::web::content::Content;
use crate::web::host::Names;
use crate::web::policy;
use crate::web::public;
use crate::web::site::Site;

/// Names the version in every answer.
pub const PREVIEW: HeaderName = HeaderName::from_static("x-lifeboat-preview");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// One website that is looked at.
struct Preview {
    site: Site,
    names: Names,
    label: HeaderValue,
}

/// Serves `site`, called `label`, to this machine for as long as it is polled.
pub async fn serve(listener: TcpListener, site: Site, label: &str) {
    let preview = Arc::new(Preview {
        site,
        // A page elsewhere could point a name of its own at this address; it would be told nothing.
        names: Names::new(["localhost", "127.0.0.1", "[::1]"], []),
        label: HeaderValue::from_str(label).unwrap_or(HeaderValue::from_static("preview")),
    });
    let room = Arc::new(Semaphore::new(H2_STREAMS as usize));
    while let Ok(place) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let preview = preview.clone();
                let answers = service_fn(move |request| {
                    let preview = preview.clone();
                    async move { Ok::<_, Infallible>(preview.answer(&request)) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_millis(REQUEST_HEAD_MS))
                    .serve_connection(TokioIo::new(stream), answers);
                // Ends with the connection, which an idle browser does not keep.
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        debug!(%error, "a connection to the preview ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                debug!(%error, "a connection to the preview cannot be accepted");
                sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

impl Preview {
    fn answer(&self, request: &Request<Incoming>) -> Response<Content> {
        let mut answer = match self.names.find(request) {
            Err(_) => plain(
                StatusCode::MISDIRECTED_REQUEST,
                "The preview answers to localhost only.\n",
            ),
            Ok(_) if public::is_kept(request.uri().path()) => plain(
                StatusCode::NOT_FOUND,
                "Here stands a page of Lifeboat's own, which a preview does not have.\n",
            ),
            Ok(_) => self
                .site
                .answer(request)
                .or_else(|| self.site.not_found(request))
                .unwrap_or_else(|| {
                    plain(
                        StatusCode::NOT_FOUND,
                        "The website has no file at this address.\n",
                    )
                }),
        };
        let headers = answer.headers_mut();
        policy::leave_no_trace(headers);
        headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
        headers.insert(PREVIEW, self.label.clone());
        answer
    }
}

fn plain(status: StatusCode, words: &'static str) -> Response<Content> {
    let mut answer = Response::new(Content::bytes(Bytes::from_static(words.as_bytes())));
    *answer.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, text);
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::web::archive::Draft;
    use crate::web::bundle;

    async fn ask(address: std::net::SocketAddr, host: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_preview_is_browsed_like_the_site_and_can_be_mistaken_for_it_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("en")).unwrap();
        for (path, text) in [
            ("index.html", "<h1>home</h1>"),
            ("help.html", "<h1>help</h1>"),
            ("en/index.html", "<h1>english</h1>"),
            ("404.html", "<h1>nothing</h1>"),
        ] {
            std::fs::write(folder.path().join(path), text).unwrap();
        }
        let packed = bundle::pack(&Draft::from_path(folder.path()).unwrap());
        let site = Site::load(&packed.bytes.into(), public::is_kept).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(serve(listener, site, "v42"));
        for (path, status, text) in [
            ("/", "200", "home"),
            ("/help", "200", "help"),
            ("/en/", "200", "english"),
            ("/none", "404", "nothing"),
            ("/write", "404", "Lifeboat's own"),
        ] {
            let said = ask(address, "localhost:8000", path).await;
            assert!(
                said.starts_with(&format!("HTTP/1.1 {status}")) && said.contains(text),
                "{path}: {said}"
            );
            for header in [
                "x-lifeboat-preview: v42",
                "x-robots-tag: noindex",
                "cache-control: no-store",
            ] {
                assert!(said.contains(header), "{path}: {said}");
            }
            assert!(!said.contains("etag") && !said.contains("strict-transport"));
        }
        let stranger = ask(address, "attacker.example", "/").await;
        assert!(stranger.starts_with("HTTP/1.1 421"), "{stranger}");
        served.abort();
    }
}
