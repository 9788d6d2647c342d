//! Datagrams: one thread and one socket for each processor and address, many messages with one call of the system, and
//! no allocation for a query that the tables answer. The one file of ours with `unsafe` code: the system calls for many
//! messages, and for the address that a message came to, have no safe form. What a socket says it has received is
//! believed as far as the memory goes that it was given; a panic over one message costs the messages read with it.

#![allow(
    unsafe_code,
    reason = "recvmmsg, sendmmsg and control messages have no safe form; docs/decisions/0014-dns-serving.md"
)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::Cache;
use libc::{c_int, c_void, iovec, mmsghdr, msghdr, sockaddr_storage, socklen_t};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::{error, warn};

use super::answers::{Answers, Rate, Transport, Unusual, Way};
use super::cookie::Standing;
use super::counters::{Count, Tally};
use super::name_key::NameKey;
use super::rate::{Rates, Verdict};
use super::respond::{self, Deed, Moment, Sent, respond};
use crate::clock;
use crate::model::limits::{
    DNS_BATCH, DNS_DATAGRAM_BYTES_MAX, DNS_RECEIVE_BUFFER_BYTES, DNS_STOP_NOTICED_MS,
};

/// Room for one control message with an address.
const CONTROL_BYTES: usize = 64;
/// A pause after the system could not give a message for a reason other than that there is none.
const PAUSE: Duration = Duration::from_millis(100);

/// What came beside a message: the address that it was sent to.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Control {
    bytes: [u8; CONTROL_BYTES],
}

impl Control {
    const NONE: Control = Control {
        bytes: [0; CONTROL_BYTES],
    };
}

/// Where an answer to a datagram goes, from any thread and at any time.
#[derive(Clone, Debug)]
pub struct ReturnPath {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    control: Control,
    control_len: usize,
}

impl ReturnPath {
    /// Sends one datagram from the address that the message came to. False when the system does not take it now.
    pub fn send(&self, message: &[u8]) -> bool {
        let to = socket2::SockAddr::from(self.to);
        let mut control = self.control;
        let mut part = iovec {
            iov_base: message.as_ptr().cast_mut().cast(),
            iov_len: message.len(),
        };
        // SAFETY: all zeros is a msghdr without anything.
        let mut head: msghdr = unsafe { zeroed() };
        head.msg_name = to.as_ptr().cast_mut().cast();
        head.msg_namelen = to.len();
        head.msg_iov = &raw mut part;
        head.msg_iovlen = 1;
        if self.control_len > 0 {
            head.msg_control = control.bytes.as_mut_ptr().cast();
            head.msg_controllen = self.control_len as _;
        }
        // SAFETY: `head` points at values that live until the end of this function; the system only reads them.
        let sent =
            unsafe { libc::sendmsg(self.socket.as_raw_fd(), &raw const head, libc::MSG_DONTWAIT) };
        sent >= 0
    }
}

/// Binds one socket for each thread to the same address; the system spreads clients over them.
///
/// # Errors
/// What the system says, such as that the address is taken or not ours.
pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Vec<UdpSocket>> {
    let mut sockets: Vec<UdpSocket> = Vec::with_capacity(threads);
    for _ in 0..threads.max(1) {
        // A port that the system chose for the first socket is that of the others too.
        let address = sockets.first().map_or(Ok(address), UdpSocket::local_addr)?;
        sockets.push(bind_one(address)?);
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_reuse_port(true)?;
    // A smaller buffer than asked for is what the system allows; it costs messages in a burst and nothing else.
    let _ = socket.set_recv_buffer_size(DNS_RECEIVE_BUFFER_BYTES);
    let fd = socket.as_raw_fd();
    let wildcard = address.ip().is_unspecified();
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        // Nobody may shrink our packets by a forged "too big" (RFC 9715); the size cap makes it needless.
        option(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_OMIT,
        )?;
        option(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_RECVPKTINFO,
            c_int::from(wildcard),
        )?;
    } else {
        option(
            fd,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_OMIT,
        )?;
        option(
            fd,
            libc::IPPROTO_IP,
            libc::IP_PKTINFO,
            c_int::from(wildcard),
        )?;
    }
    socket.set_read_timeout(Some(Duration::from_millis(DNS_STOP_NOTICED_MS)))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn option(fd: RawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let len = size_of::<c_int>() as socklen_t;
    // SAFETY: `value` is an int that lives through the call, and its size is given.
    let done = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The threads that answer datagrams. Dropping it asks them to stop; [`Threads::stop`] also waits for them.
#[derive(Debug)]
pub struct Threads {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts one thread for each socket.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(answers: &Arc<Answers>, sockets: Vec<UdpSocket>) -> io::Result<Threads> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = Threads {
            stop: stop.clone(),
            threads: Vec::new(),
        };
        for (number, socket) in sockets.into_iter().enumerate() {
            let worker = Worker::new(answers.clone(), Arc::new(socket), stop.clone());
            let name = format!("dns-udp-{number}");
            let thread = thread::Builder::new().name(name).spawn(|| worker.run())?;
            running.threads.push(thread);
        }
        Ok(running)
    }

    /// Asks all threads to stop and waits for them, which takes up to half a second. Messages already read are
    /// answered. Blocks: not for async threads.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so in the log.
            let _ = thread.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Worker {
    answers: Arc<Answers>,
    socket: Arc<UdpSocket>,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
}

impl Worker {
    fn new(answers: Arc<Answers>, socket: Arc<UdpSocket>, stop: Arc<AtomicBool>) -> Worker {
        let tally = answers.counters.tally();
        Worker {
            answers,
            socket,
            stop,
            tally,
        }
    }

    fn run(self) {
        let mut desk = Desk::new(&self.answers);
        let mut batch = Batch::new(usize::from(self.answers.settings.udp_payload));
        while !self.stop.load(Ordering::Relaxed) {
            let turn = catch_unwind(AssertUnwindSafe(|| self.turn(&mut desk, &mut batch)));
            if turn.is_err() {
                // What the panic left half done is thrown away with the memory it was in.
                error!("a message over UDP could not be answered because of a fault of ours");
                desk = Desk::new(&self.answers);
                batch = Batch::new(usize::from(self.answers.settings.udp_payload));
            }
        }
    }

    /// Answers what is there, or waits for it a while.
    fn turn(&self, desk: &mut Desk, batch: &mut Batch) {
        let fd = self.socket.as_raw_fd();
        let count = match batch.receive(fd) {
            Ok(count) => count,
            Err(error) => {
                let kind = error.kind();
                if !matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
                    warn!(%error, "no message over UDP can be read at the moment");
                    thread::sleep(PAUSE);
                }
                return;
            }
        };
        desk.refresh();
        self.tally.queries_udp.add_alone(count as u64);
        for at in 0..count {
            match batch.sender(at) {
                Some(from) if from.port() != 0 => self.answer(desk, batch, at, from),
                // Nobody can hear an answer at port 0, and what is larger than our memory is no query.
                _ => self.tally.noise.add_alone(1),
            }
        }
        batch.send(fd, &self.tally.unsent);
        // The system wrote over the lengths and flags of what came.
        (0..count).for_each(|at| batch.arm(at));
    }

    #[inline]
    fn answer(&self, desk: &mut Desk, batch: &mut Batch, at: usize, from: SocketAddr) {
        let deed = {
            let moment = Moment {
                tables: desk.tables.load(),
                secrets: desk.secrets.load(),
                settings: &self.answers.settings,
                now_s: desk.now_s,
            };
            let (message, out) = batch.message_and_room(at);
            respond(
                &moment,
                message,
                from.ip(),
                Transport::Udp,
                &mut desk.key,
                out,
            )
        };
        let mut sent = match deed {
            Deed::Silence => return self.tally.noise.add_alone(1),
            Deed::Send(sent) => sent,
            Deed::HandOn(sent) => match self.hand_on(batch, at, from) {
                true => return,
                false => sent,
            },
        };
        match desk.verdict(from.ip(), sent.standing, &self.tally) {
            Verdict::Send => {}
            Verdict::Slip => sent.len = shorten(batch.room(), &sent),
            Verdict::Leave => return,
        }
        respond::count(&self.tally, batch.room(), &sent, true);
        batch.put(at, sent.len);
    }

    #[cold]
    fn hand_on(&self, batch: &mut Batch, at: usize, from: SocketAddr) -> bool {
        let (control, control_len) = batch.control(at);
        let unusual = Unusual {
            message: batch.message_and_room(at).0.to_vec(),
            from,
            transport: Transport::Udp,
            way: Way::Datagram(ReturnPath {
                socket: self.socket.clone(),
                to: from,
                control,
                control_len,
            }),
        };
        let taken = self.answers.hand_on(unusual);
        let number = if taken {
            &self.tally.handed_on
        } else {
            &self.tally.not_handed_on
        };
        number.add_alone(1);
        taken
    }
}

/// Leaves head, question and OPT of an answer, with TC set, and returns its new length.
fn shorten(out: &mut [u8], sent: &Sent) -> usize {
    let opt_at = sent.len - sent.opt_len;
    out.copy_within(opt_at..sent.len, sent.question_end);
    out[2] |= 0x02;
    out[6..10].fill(0);
    out[10..12].copy_from_slice(&u16::from(sent.opt_len > 0).to_be_bytes());
    sent.question_end + sent.opt_len
}

/// What a thread looks at while it answers.
struct Desk {
    tables: Cache<Arc<arc_swap::ArcSwap<super::tables::Tables>>, Arc<super::tables::Tables>>,
    secrets: Cache<Arc<arc_swap::ArcSwap<super::cookie::Secrets>>, Arc<super::cookie::Secrets>>,
    key: NameKey,
    rates: Option<Rates>,
    kept: bool,
    now_s: u32,
    now_ms: u32,
}

impl Desk {
    fn new(answers: &Answers) -> Desk {
        let (pace, kept) = match answers.settings.rate {
            Rate::Off => (None, false),
            Rate::Noted(pace) => (Some(pace), false),
            Rate::Kept(pace) => (Some(pace), true),
        };
        let shares = u32::try_from(answers.settings.threads).unwrap_or(1);
        Desk {
            key: answers.tables.load().name_key(),
            tables: Cache::new(answers.tables.clone()),
            secrets: Cache::new(answers.secrets.clone()),
            rates: pace.map(|pace| Rates::new(pace, shares, clock::random_bytes())),
            kept,
            now_s: 0,
            now_ms: 0,
        }
    }

    /// Looks at the clock and whether the tables are other ones.
    fn refresh(&mut self) {
        let now = clock::now().0;
        self.now_s = (now / 1_000) as u32;
        self.now_ms = now as u32;
        let tables = self.tables.load();
        if !tables.takes(&self.key) {
            self.key = tables.name_key();
        }
    }

    #[inline]
    fn verdict(&mut self, from: IpAddr, standing: Standing, tally: &Tally) -> Verdict {
        let Some(rates) = self
            .rates
            .as_mut()
            .filter(|_| standing == Standing::Stranger)
        else {
            return Verdict::Send;
        };
        let verdict = rates.judge(from, self.now_ms);
        match verdict {
            Verdict::Send => return Verdict::Send,
            _ if !self.kept => {
                tally.rate_noted.add_alone(1);
                return Verdict::Send;
            }
            Verdict::Slip => tally.rate_slipped.add_alone(1),
            Verdict::Leave => tally.rate_left.add_alone(1),
        }
        verdict
    }
}

/// Memory for the messages of one turn, and what the system calls need to know about it.
struct Batch {
    inbox: Box<[[u8; DNS_DATAGRAM_BYTES_MAX]]>,
    outbox: Box<[u8]>,
    out_size: usize,
    names: Box<[sockaddr_storage]>,
    controls: Box<[Control]>,
    parts: Box<[iovec]>,
    heads: Box<[mmsghdr]>,
    out_parts: Box<[iovec]>,
    out_heads: Box<[mmsghdr]>,
    /// How many answers wait to be sent.
    ready: usize,
}

impl Batch {
    fn new(payload: usize) -> Batch {
        let out_size = payload.max(512);
        // SAFETY: all of these are plain C structures for which all zeros is a valid, empty value.
        let (name, part, head): (sockaddr_storage, iovec, mmsghdr) = unsafe { zeroed() };
        let mut batch = Batch {
            inbox: vec![[0; DNS_DATAGRAM_BYTES_MAX]; DNS_BATCH].into(),
            outbox: vec![0; out_size * DNS_BATCH].into(),
            out_size,
            names: vec![name; DNS_BATCH].into(),
            controls: vec![Control::NONE; DNS_BATCH].into(),
            parts: vec![part; DNS_BATCH].into(),
            heads: vec![head; DNS_BATCH].into(),
            out_parts: vec![part; DNS_BATCH].into(),
            out_heads: vec![head; DNS_BATCH].into(),
            ready: 0,
        };
        (0..DNS_BATCH).for_each(|at| batch.arm(at));
        batch
    }

    /// Points the head of a message to come at its memory.
    fn arm(&mut self, at: usize) {
        let part = &mut self.parts[at];
        part.iov_base = self.inbox[at].as_mut_ptr().cast();
        part.iov_len = DNS_DATAGRAM_BYTES_MAX;
        let head = &mut self.heads[at].msg_hdr;
        head.msg_name = (&raw mut self.names[at]).cast();
        head.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
        head.msg_iov = &raw mut *part;
        head.msg_iovlen = 1;
        head.msg_control = self.controls[at].bytes.as_mut_ptr().cast();
        head.msg_controllen = CONTROL_BYTES as _;
        head.msg_flags = 0;
    }

    /// Waits for a first message and takes as many as there are. What was there before is gone.
    fn receive(&mut self, fd: RawFd) -> io::Result<usize> {
        self.ready = 0;
        // SAFETY: each of the `DNS_BATCH` heads was armed with memory of this batch, which is not touched by others
        // during the call; sizes are those of the memory.
        let count = unsafe {
            libc::recvmmsg(
                fd,
                self.heads.as_mut_ptr(),
                DNS_BATCH as _,
                libc::MSG_WAITFORONE,
                ptr::null_mut(),
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// Whom a message is from; nothing when it was larger than its memory, or of a family that we do not know.
    #[inline]
    fn sender(&self, at: usize) -> Option<SocketAddr> {
        let cut = self.heads[at].msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        address(&self.names[at]).filter(|_| !cut)
    }

    /// The bytes of a message, and memory for the next answer.
    #[inline]
    fn message_and_room(&mut self, at: usize) -> (&[u8], &mut [u8]) {
        let len = (self.heads[at].msg_len as usize).min(DNS_DATAGRAM_BYTES_MAX);
        let start = self.ready * self.out_size;
        (
            &self.inbox[at][..len],
            &mut self.outbox[start..start + self.out_size],
        )
    }

    /// Memory for the next answer.
    fn room(&mut self) -> &mut [u8] {
        let start = self.ready * self.out_size;
        &mut self.outbox[start..start + self.out_size]
    }

    /// The address that a message was sent to, as an answer must name it to come from there.
    fn control(&mut self, at: usize) -> (Control, usize) {
        let len = self.heads[at].msg_hdr.msg_controllen;
        clear_interface(&mut self.heads[at].msg_hdr);
        (self.controls[at], len.min(CONTROL_BYTES))
    }

    /// Lines up the answer of `len` bytes that was written into `room`, to the sender of message `at`.
    #[inline]
    fn put(&mut self, at: usize, len: usize) {
        let ready = self.ready;
        let start = ready * self.out_size;
        let part = &mut self.out_parts[ready];
        part.iov_base = self.outbox[start..].as_mut_ptr().cast();
        part.iov_len = len.min(self.out_size);
        let came = &mut self.heads[at].msg_hdr;
        let head = &mut self.out_heads[ready].msg_hdr;
        head.msg_name = came.msg_name;
        head.msg_namelen = came.msg_namelen;
        head.msg_iov = &raw mut *part;
        head.msg_iovlen = 1;
        head.msg_control = ptr::null_mut();
        head.msg_controllen = 0;
        if came.msg_controllen > 0 {
            clear_interface(came);
            head.msg_control = came.msg_control;
            head.msg_controllen = came.msg_controllen;
        }
        self.ready += 1;
    }

    /// Sends what is lined up. What the system does not take at once is left out and counted: waiting would make all
    /// others wait.
    fn send(&mut self, fd: RawFd, unsent: &Count) {
        let mut done = 0;
        while done < self.ready {
            let left = self.ready - done;
            // SAFETY: the heads from `done` to `ready` were filled by `put` and point at memory of this batch that
            // nobody has touched since.
            let sent = unsafe {
                let first = self.out_heads.as_mut_ptr().add(done);
                libc::sendmmsg(fd, first, left as _, libc::MSG_DONTWAIT)
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => done += sent,
                _ => {
                    let full = io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
                    // Only the first could not be sent; when the buffer is full, none can.
                    let lost = if full { left } else { 1 };
                    unsent.add_alone(lost as u64);
                    done += lost;
                }
            }
        }
    }
}

/// An answer goes the way that the system finds best, not out of the interface that the question came in by; but where
/// an address means something on one link only, by that link.
fn clear_interface(head: &mut msghdr) {
    // SAFETY: `msg_control` and `msg_controllen` are what the system left of an armed head: a whole list of control
    // messages in aligned memory of this batch. The data of each type is as large as its structure says.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const *head);
        if first.is_null() {
            return;
        }
        let data: *mut c_void = libc::CMSG_DATA(first).cast();
        match ((*first).cmsg_level, (*first).cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info: *mut libc::in_pktinfo = data.cast();
                (*info).ipi_ifindex = 0;
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info: *mut libc::in6_pktinfo = data.cast();
                let to = Ipv6Addr::from((*info).ipi6_addr.s6_addr);
                if !to.is_unicast_link_local() {
                    (*info).ipi6_ifindex = 0;
                }
            }
            _ => {}
        }
    }
}

#[inline]
fn address(name: &sockaddr_storage) -> Option<SocketAddr> {
    match c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in, which is smaller and aligned no more strictly.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = u32::from_be(name.sin_addr.s_addr);
            Some(SocketAddrV4::new(ip.into(), u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a sockaddr_in6, which is smaller and aligned no more strictly.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let (ip, port) = (name.sin6_addr.s6_addr, u16::from_be(name.sin6_port));
            Some(SocketAddrV6::new(ip.into(), port, 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}
