//! The generators' side of TLS: every contestant is spoken to with the same suite, the same key exchange and no
//! resumption, and its certificate is checked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A TLS client that trusts the certificate in `ca` and offers one protocol.
///
/// # Errors
/// When the file cannot be used.
pub fn connector(ca: &Path, protocol: &str) -> Result<TlsConnector> {
    let pem = std::fs::read(ca).context("cannot read the certificate")?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem)?)?;
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config).into())
}

/// One new connection.
///
/// # Errors
/// When there is none.
pub async fn connect(trust: &TlsConnector, at: SocketAddr) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(at).await.context("no connection")?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").context("localhost is a name")?;
    trust.connect(name, stream).await.context("no encryption")
}

/// Reads one page over HTTP/1.1 and leaves the connection open. Returns the status line and the body.
///
/// # Errors
/// When there is no whole answer with a length.
pub async fn get(
    stream: &mut TlsStream<TcpStream>,
    port: u16,
    path: &str,
) -> Result<(String, Vec<u8>)> {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\naccept-language: en\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut bytes = Vec::new();
    let head = loop {
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "half an answer");
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
        }
    };
    let rest = head.len() + 4;
    let length = head
        .split("content-length:")
        .nth(1)
        .and_then(|it| it.lines().next());
    let length: usize = length.context("no length")?.trim().parse()?;
    while bytes.len() < rest + length {
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "half an answer");
    }
    let status = head.lines().next().unwrap_or_default().to_owned();
    Ok((status, bytes.split_off(rest)))
}

/// One new HTTP/2 connection.
///
/// # Errors
/// When there is none.
pub async fn http2(trust: &TlsConnector, at: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = connect(trust, at).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    // Ends with the connection.
    tokio::spawn(connection);
    Ok(sender)
}
