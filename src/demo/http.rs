//! The smallest web server that the demo's own pages need: GET and HEAD, from memory, on loopback. It is a prop beside
//! the nodes and no door of the product; a connection that fails is dropped.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// What a path answers.
pub(super) struct Page {
    pub status: StatusCode,
    pub media: &'static str,
    pub body: String,
}

impl Page {
    /// An HTML page.
    pub fn html(body: String) -> Page {
        Page {
            status: StatusCode::OK,
            media: "text/html; charset=utf-8",
            body,
        }
    }

    /// Nothing there.
    pub fn missing() -> Page {
        Page {
            status: StatusCode::NOT_FOUND,
            media: "text/plain; charset=utf-8",
            body: "There is nothing here.\n".to_owned(),
        }
    }
}

/// Serves until dropped.
pub(super) async fn serve(
    listener: TcpListener,
    page: impl Fn(&str) -> Page + Send + Sync + 'static,
) -> Infallible {
    let page = Arc::new(page);
    loop {
        // Out of descriptors or a caller that left: the next one may have more luck.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let page = page.clone();
        // One connection; its end or panic is its own.
        tokio::spawn(async move {
            let respond = service_fn(move |request: Request<Incoming>| {
                let answer = answer(&request, &*page);
                async move { Ok::<_, Infallible>(answer) }
            });
            // A browser that hangs up is no news.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), respond)
                .await;
        });
    }
}

fn answer(request: &Request<Incoming>, page: &dyn Fn(&str) -> Page) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = Response::new(Full::new(Bytes::new()));
        *refusal.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allowed = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return refusal;
    }
    let page = page(request.uri().path());
    let mut answer = Response::new(Full::new(Bytes::from(page.body)));
    *answer.status_mut() = page.status;
    let media = HeaderValue::from_static(page.media);
    answer.headers_mut().insert(CONTENT_TYPE, media);
    answer
}

/// Text as it may stand in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
