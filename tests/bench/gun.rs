//! Questions over UDP, many to a system call, so that the server and not the generator is the limit: dnsperf costs more
//! for each question than the servers do.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use tokio::time::Instant;

/// Messages in one system call.
const BATCH: usize = 64;
/// Sockets, each of them another flow for the server.
const SOCKETS: usize = 8;
/// Questions that wait for an answer, for each socket: all together fit into what a socket holds by default.
const WINDOW: usize = 32;
/// After so long what was not answered is lost.
const LOST_AFTER: Duration = Duration::from_millis(200);
/// The largest answer.
const ANSWER_BYTES: usize = 4_096;

/// What came of a run.
#[derive(Debug, Default, Clone, Copy)]
pub struct Shot {
    /// Answers.
    pub answers: u64,
    /// Of them with NOERROR.
    pub good: u64,
    /// Of them with NXDOMAIN.
    pub missing: u64,
    /// Questions without an answer.
    pub lost: u64,
}

/// One socket and what it waits for.
struct Barrel {
    socket: UdpSocket,
    waiting: usize,
    heard: Instant,
}

/// A question in wire form; with DNSSEC asked for where `signed`.
pub fn question(name: &str, rtype: u16, signed: bool) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(signed)];
    for label in name.split('.').filter(|it| !it.is_empty()) {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend(rtype.to_be_bytes());
    message.extend([0, 1]);
    if signed {
        // OPT: 1,232 bytes, the DO bit.
        message.extend([0, 0, 41, 4, 208, 0, 0, 128, 0, 0, 0]);
    }
    message
}

/// Asks these questions in turn for a while, as fast as they are answered. Blocking.
///
/// # Errors
/// When the system refuses a socket.
pub fn fire(at: SocketAddr, questions: &[Vec<u8>], long: Duration) -> Result<Shot> {
    let mut barrels = Vec::new();
    for _ in 0..SOCKETS {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(at)?;
        socket.set_nonblocking(true)?;
        barrels.push(Barrel {
            socket,
            waiting: 0,
            heard: Instant::now(),
        });
    }
    let mut shot = Shot::default();
    let mut next = questions.iter().cycle();
    let began = Instant::now();
    loop {
        let is_over = began.elapsed() > long;
        let mut idle = true;
        for barrel in &mut barrels {
            let room = WINDOW - barrel.waiting;
            // Small batches would make many system calls on both sides.
            if !is_over && room >= WINDOW / 2 {
                let batch: Vec<&Vec<u8>> = next.by_ref().take(room.min(BATCH)).collect();
                barrel.waiting += send(&barrel.socket, &batch)?;
                idle = false;
            }
            let heard = receive(&barrel.socket, &mut shot)?;
            if heard > 0 {
                barrel.waiting = barrel.waiting.saturating_sub(heard);
                barrel.heard = Instant::now();
                idle = false;
            } else if barrel.waiting > 0 && barrel.heard.elapsed() > LOST_AFTER {
                shot.lost += barrel.waiting as u64;
                barrel.waiting = 0;
                barrel.heard = Instant::now();
            }
        }
        if is_over && barrels.iter().all(|it| it.waiting == 0) {
            return Ok(shot);
        }
        if idle {
            std::thread::yield_now();
        }
    }
}

/// How many went out.
fn send(socket: &UdpSocket, batch: &[&Vec<u8>]) -> Result<usize> {
    let slices: Vec<[IoSlice<'_>; 1]> = batch.iter().map(|it| [IoSlice::new(it)]).collect();
    let nowhere = vec![None::<SockaddrIn>; batch.len()];
    let mut headers = MultiHeaders::preallocate(batch.len(), None);
    let sent = sendmmsg(
        socket.as_raw_fd(),
        &mut headers,
        &slices,
        &nowhere,
        [],
        MsgFlags::MSG_DONTWAIT,
    );
    match sent {
        Ok(sent) => Ok(sent.count()),
        // Full, or the server is not there yet.
        Err(Errno::EAGAIN | Errno::ECONNREFUSED) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// How many came in.
fn receive(socket: &UdpSocket, shot: &mut Shot) -> Result<usize> {
    let mut room = vec![[0_u8; ANSWER_BYTES]; BATCH];
    let mut slices: Vec<[IoSliceMut<'_>; 1]> =
        room.iter_mut().map(|it| [IoSliceMut::new(it)]).collect();
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let flags = MsgFlags::MSG_DONTWAIT;
    let came = recvmmsg(
        socket.as_raw_fd(),
        &mut headers,
        slices.iter_mut(),
        flags,
        None,
    );
    let came = match came {
        Ok(came) => came,
        Err(Errno::EAGAIN | Errno::ECONNREFUSED) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut count = 0;
    for message in came {
        count += 1;
        let code = message.iovs().next().and_then(|it| it.get(3).copied());
        match code.map(|it| it & 15) {
            Some(0) => shot.good += 1,
            Some(3) => shot.missing += 1,
            _ => {}
        }
    }
    shot.answers += count as u64;
    Ok(count)
}
