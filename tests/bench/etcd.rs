//! etcd as a contestant: three members on loopback, TLS to clients and between members, every write synced to disk.
//! Spoken to as its own clients do, by gRPC over HTTP/2; a put is two fields, so its bytes are written here.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;

use crate::client;
use crate::machine::{Server, pause};
use crate::stage::Stage;
use std::time::Duration;

/// Tries until a cluster that was just started takes a write.
const TRIES: usize = 300;

/// Three members.
pub struct Etcd {
    pub members: Vec<(Server, SocketAddr)>,
}

/// How often the leader speaks, and how long its silence may be, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Pulse {
    pub heartbeat: u32,
    pub election: u32,
}

impl Etcd {
    /// Starts three members with ports from `port` on and waits until they take writes.
    ///
    /// # Errors
    /// When they do not come to that.
    pub async fn launch(stage: &Stage, port: u16, pulse: Pulse) -> Result<Etcd> {
        let folder = stage.fresh_folder("etcd")?;
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let peers: Vec<String> = (0..3)
            .map(|place| format!("m{place}=https://{}", at(port + 10 + place)))
            .collect();
        let (certificate, key) = (stage.certificate(), stage.key());
        let mut members = Vec::new();
        for place in 0..3 {
            let (own, peer) = (at(port + place), at(port + 10 + place));
            let mut words = vec![
                "etcd".to_owned(),
                "--initial-cluster".to_owned(),
                peers.join(","),
            ];
            for (option, value) in [
                ("name", format!("m{place}")),
                (
                    "data-dir",
                    folder.join(format!("m{place}")).display().to_string(),
                ),
                ("listen-client-urls", format!("https://{own}")),
                ("advertise-client-urls", format!("https://{own}")),
                ("listen-peer-urls", format!("https://{peer}")),
                ("initial-advertise-peer-urls", format!("https://{peer}")),
                ("cert-file", certificate.display().to_string()),
                ("key-file", key.display().to_string()),
                ("peer-cert-file", certificate.display().to_string()),
                ("peer-key-file", key.display().to_string()),
                ("peer-trusted-ca-file", certificate.display().to_string()),
                ("heartbeat-interval", pulse.heartbeat.to_string()),
                ("election-timeout", pulse.election.to_string()),
                ("logger", "zap".to_owned()),
                ("log-level", "error".to_owned()),
            ] {
                words.extend([format!("--{option}"), value]);
            }
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let log = folder.join(format!("m{place}.log"));
            members.push((Server::start("etcd", &words, &log)?, own));
        }
        for (server, at) in &mut members {
            server.listens(*at).await?;
        }
        let etcd = Etcd { members };
        etcd.leader(stage).await?;
        Ok(etcd)
    }

    /// Which member leads, once one does.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn leader(&self, stage: &Stage) -> Result<usize> {
        let trust = client::connector(&stage.certificate(), "h2")?;
        for _ in 0..TRIES {
            for (place, (_, at)) in self.members.iter().enumerate() {
                let Ok(mut sender) = client::http2(&trust, *at).await else {
                    continue;
                };
                let status = call(
                    &mut sender,
                    *at,
                    "/etcdserverpb.Maintenance/Status",
                    Bytes::new(),
                );
                let Ok(status) = status.await else { continue };
                if leads(&status) {
                    return Ok(place);
                }
            }
            pause(Duration::from_millis(50)).await;
        }
        anyhow::bail!("etcd elects nobody")
    }
}

/// Stores a value under a key; it is synced on a majority when this returns.
///
/// # Errors
/// When it is not known to be.
pub async fn put(
    sender: &mut SendRequest<Full<Bytes>>,
    at: SocketAddr,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    let mut message = BytesMut::with_capacity(key.len() + value.len() + 8);
    for (number, field) in [(1, key), (2, value)] {
        message.put_u8(number << 3 | 2);
        put_varint(&mut message, field.len());
        message.put_slice(field);
    }
    call(sender, at, "/etcdserverpb.KV/Put", message.freeze())
        .await
        .map(drop)
}

/// One gRPC call without streaming.
async fn call(
    sender: &mut SendRequest<Full<Bytes>>,
    at: SocketAddr,
    path: &str,
    message: Bytes,
) -> Result<Bytes> {
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len())?);
    body.put_slice(&message);
    let request = Request::post(format!("https://localhost:{}{path}", at.port()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(body.freeze()))?;
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let said_no = answer.headers().get("grpc-status").cloned();
    let whole = BodyExt::collect(answer.into_body());
    let whole: http_body_util::Collected<<Incoming as hyper::body::Body>::Data> = whole.await?;
    let status = whole
        .trailers()
        .and_then(|it| it.get("grpc-status"))
        .cloned();
    let status = status.or(said_no).context("no status")?;
    anyhow::ensure!(status == "0", "etcd says {status:?}");
    let mut bytes = whole.to_bytes();
    Ok(bytes.split_off(bytes.len().min(5)))
}

fn put_varint(to: &mut BytesMut, mut number: usize) {
    while number >= 0x80 {
        to.put_u8(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.put_u8(number.to_le_bytes()[0]);
}

/// Whether the member that sent this `StatusResponse` is the leader it names (fields 1.2 and 4).
fn leads(status: &[u8]) -> bool {
    let header = field(status, 1);
    let member = header
        .and_then(|(_, bytes)| field(bytes, 2))
        .map(|(number, _)| number);
    let leader = field(status, 4).map(|(number, _)| number);
    member.is_some() && member == leader
}

/// A field of a protobuf message: its number, or its bytes.
fn field(mut message: &[u8], wanted: u64) -> Option<(u64, &[u8])> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let number = varint(&mut message)?;
        let bytes = match key & 7 {
            0 => &[][..],
            2 => {
                let (bytes, rest) = message.split_at_checked(usize::try_from(number).ok()?)?;
                message = rest;
                bytes
            }
            _ => return None,
        };
        if key >> 3 == wanted {
            return Some((number, bytes));
        }
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
