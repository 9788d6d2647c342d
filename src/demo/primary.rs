//! The demo's primary website: what customers see as long as nothing has happened, and what the story breaks. Runs as
//! a process of its own, so that it can be killed like a datacentre.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;

use super::http::{self, Page};

const PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Example Hosting</title>\
    <style>body{font:17px/1.5 system-ui,sans-serif;max-width:34em;margin:3em auto;padding:0 1em}</style>\
    <h1>Example Hosting</h1><p>Everything works. This is the company's own website, in its own datacentre.</p>";

/// Serves the website on `web`. Runs until dropped.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn run(web: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(web).await;
    let listener = listener.with_context(|| format!("cannot serve the website on {web}"))?;
    let never = http::serve(listener, |path| match path {
        "/" => Page::html(PAGE.to_owned()),
        _ => Page::missing(),
    });
    match never.await {}
}
