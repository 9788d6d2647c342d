//! Whether a mail server greets: its banner, our EHLO, its answer, goodbye. Nothing is sent by it, and nothing that it
//! says is kept but its codes.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::fault::Fault;
use crate::model::limits::{SMTP_REPLY_LINE_BYTES, SMTP_REPLY_LINES};

/// Greets over an open connection; the code of the banner where all went well.
pub(super) async fn greet(stream: TcpStream) -> Result<u16, Fault> {
    let us = stream.local_addr().map_err(Fault::Broken)?;
    let mut stream = BufReader::new(stream);
    let banner = reply(&mut stream).await?;
    if banner != 220 {
        return Err(Fault::Reply(banner));
    }
    // We have no name that stands for us there, so our address does (RFC 5321 section 4.1.3).
    let hello = format!("EHLO {}\r\n", literal(us));
    stream
        .write_all(hello.as_bytes())
        .await
        .map_err(Fault::Broken)?;
    let hello = reply(&mut stream).await?;
    if hello != 250 {
        return Err(Fault::Reply(hello));
    }
    // It has shown what it can; whether it takes the goodbye does not matter.
    let _ = stream.write_all(b"QUIT\r\n").await;
    Ok(banner)
}

fn literal(us: SocketAddr) -> String {
    match us.ip().to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

/// The code of one reply, all its lines read (RFC 5321 section 4.2.1).
async fn reply(stream: &mut BufReader<TcpStream>) -> Result<u16, Fault> {
    for _ in 0..SMTP_REPLY_LINES {
        let mut line = Vec::new();
        let read = stream
            .take(SMTP_REPLY_LINE_BYTES as u64)
            .read_until(b'\n', &mut line)
            .await;
        read.map_err(Fault::Broken)?;
        let code = line
            .get(..3)
            .filter(|code| code.iter().all(u8::is_ascii_digit) && line.ends_with(b"\n"))
            .and_then(|code| std::str::from_utf8(code).ok()?.parse().ok())
            .ok_or(Fault::NotAReply)?;
        if line[3] != b'-' {
            return Ok(code);
        }
    }
    Err(Fault::NotAReply)
}
