//! Queries over connections (RFC 7766): many at once, answered as soon as each is known, in the clear or over TLS. A
//! connection that is idle, slow, or one too many is closed (RFC 9210); what others answer (transfers) is passed
//! through as it comes. A fault in one connection ends that one only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::answers::{Answers, Transport, Unusual, Way};
use super::counters::Tally;
use super::name_key::NameKey;
use super::rate;
use super::respond::{self, Deed, Moment, respond};
use crate::clock;
use crate::model::limits::{
    ACCEPT_PAUSE_MS, DNS_ANSWERS_WAITING_BYTES, DNS_HANDED_ON_PER_CONNECTION_MAX, DNS_HANDSHAKE_MS,
    DNS_MESSAGE_MS, DNS_STOP_MS, MESSAGE_BYTES_MAX,
};

/// Transfer messages that wait for a slow reader before their maker has to.
const REPLIES_WAITING: usize = 4;

/// Sockets that are bound already, by whoever may.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For queries in the clear.
    pub tcp: Vec<TcpListener>,
    /// For queries over TLS.
    pub tls: Vec<TcpListener>,
}

/// Serves until `stop` is cancelled, then lets connections finish what they have begun for a moment. New TLS
/// connections use the newest configuration, which must offer `dot`.
pub async fn serve(
    answers: Arc<Answers>,
    listeners: Listeners,
    tls: watch::Receiver<Arc<ServerConfig>>,
    stop: CancellationToken,
) {
    let hall = Arc::new(Hall {
        tcp: answers.counters.tally(),
        tls: answers.counters.tally(),
        answers,
        open: Mutex::default(),
        stop,
    });
    let connections = TaskTracker::new();
    let clear = listeners
        .tcp
        .iter()
        .map(|socket| hall.accept(socket, None, &connections));
    let secure = listeners
        .tls
        .iter()
        .map(|socket| hall.accept(socket, Some(&tls), &connections));
    futures_util::future::join(
        futures_util::future::join_all(clear),
        futures_util::future::join_all(secure),
    )
    .await;
    connections.close();
    // What is still open then has had its time: it is cut off with the runtime or by its own limits.
    let _ = timeout(Duration::from_millis(DNS_STOP_MS), connections.wait()).await;
}

/// Where connections are let in.
struct Hall {
    answers: Arc<Answers>,
    tcp: Arc<Tally>,
    tls: Arc<Tally>,
    open: Mutex<Open>,
    stop: CancellationToken,
}

/// How many connections are open, in all and from each network.
#[derive(Default)]
struct Open {
    total: usize,
    networks: HashMap<[u8; 8], usize>,
}

/// One connection's place, until dropped.
struct Place {
    hall: Arc<Hall>,
    network: [u8; 8],
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self
            .hall
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(count) = open.networks.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.networks.remove(&self.network);
            }
        }
    }
}

impl Hall {
    fn place(self: &Arc<Hall>, from: IpAddr, tally: &Tally) -> Option<Place> {
        let settings = &self.answers.settings;
        let network = rate::network(from);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= settings.connections {
            tally.refused_total.add();
            return None;
        }
        let own = open.networks.get(&network).copied().unwrap_or(0);
        if own >= settings.connections_per_network {
            tally.refused_network.add();
            return None;
        }
        open.total += 1;
        open.networks.insert(network, own + 1);
        tally.connections.add();
        Some(Place {
            hall: self.clone(),
            network,
        })
    }

    async fn accept(
        self: &Arc<Hall>,
        socket: &TcpListener,
        tls: Option<&watch::Receiver<Arc<ServerConfig>>>,
        connections: &TaskTracker,
    ) {
        let tally = if tls.is_some() { &self.tls } else { &self.tcp };
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, from)) => {
                    let Some(place) = self.place(from.ip(), tally) else {
                        continue;
                    };
                    let tls = tls.map(|tls| tls.borrow().clone());
                    let connection = Connection::new(place, from, tally.clone(), tls.is_some());
                    // One task a connection, spawned where it arises; it ends with the connection.
                    connections.spawn(connection.serve(stream, tls));
                }
                Err(error) => {
                    warn!(%error, "no connection for name queries can be taken at the moment");
                    sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }
}

/// One connection.
struct Connection {
    place: Place,
    from: std::net::SocketAddr,
    tally: Arc<Tally>,
    transport: Transport,
    inbox: BytesMut,
    outbox: Vec<u8>,
    /// When the last message was answered.
    quiet_since: Instant,
    /// When the message began that has come in part.
    begun: Option<Instant>,
    /// What others answer comes through here.
    way: mpsc::Sender<Bytes>,
    replies: mpsc::Receiver<Bytes>,
}

/// What a connection does next.
enum Next {
    Read(usize),
    Reply(Bytes),
    Stop,
    Idle,
    Broken,
}

thread_local! {
    /// Where answers are written before they are sent. Used between two waits only, so one a thread is enough.
    static DESK: RefCell<Option<(NameKey, Box<[u8]>)>> = const { RefCell::new(None) };
}

impl Connection {
    fn new(
        place: Place,
        from: std::net::SocketAddr,
        tally: Arc<Tally>,
        secure: bool,
    ) -> Connection {
        let (way, replies) = mpsc::channel(REPLIES_WAITING);
        Connection {
            place,
            from,
            tally,
            transport: if secure {
                Transport::Tls
            } else {
                Transport::Tcp
            },
            inbox: BytesMut::new(),
            outbox: Vec::new(),
            quiet_since: clock::monotonic(),
            begun: None,
            way,
            replies,
        }
    }

    async fn serve(mut self, stream: TcpStream, tls: Option<Arc<ServerConfig>>) {
        // Answers are whole when they are written; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            return self.converse(stream).await;
        };
        let handshake = TlsAcceptor::from(tls).accept(stream);
        match timeout(Duration::from_millis(DNS_HANDSHAKE_MS), handshake).await {
            Ok(Ok(stream)) => self.converse(stream).await,
            _ => self.tally.handshakes_failed.add(),
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&mut self, mut stream: S) {
        let mut is_open = true;
        loop {
            match self.next(&mut stream, is_open).await {
                // They have said all; what others still answer is theirs to get.
                Next::Read(0) if self.handed_on() > 0 && is_open => is_open = false,
                Next::Read(0) | Next::Stop | Next::Broken => break,
                Next::Read(_) => self.begun = self.begun.or_else(|| Some(clock::monotonic())),
                Next::Reply(message) => {
                    self.quiet_since = clock::monotonic();
                    self.frame(&message);
                }
                Next::Idle => {
                    self.tally.idle.add();
                    break;
                }
            }
            loop {
                let more = self.answer();
                if !self.send(&mut stream).await {
                    return;
                }
                if !more {
                    break;
                }
            }
            if !is_open && self.handed_on() == 0 && self.replies.is_empty() {
                break;
            }
        }
        // A proper end of TLS tells the client that nothing was cut off.
        let _ = timeout(Duration::from_secs(1), stream.shutdown()).await;
    }

    /// Messages of ours that others are answering.
    fn handed_on(&self) -> usize {
        self.way.strong_count() - 1
    }

    async fn next<S: AsyncRead + Unpin>(&mut self, stream: &mut S, is_open: bool) -> Next {
        // A message has its time as a whole: one that drips in byte by byte ends the connection too.
        let deadline = match self.begun {
            Some(begun) => begun + Duration::from_millis(DNS_MESSAGE_MS),
            None => self.quiet_since + self.place.hall.answers.settings.idle,
        };
        let waiting = self.handed_on() > 0 || !self.replies.is_empty();
        tokio::select! {
            reply = self.replies.recv(), if waiting => reply.map_or(Next::Broken, Next::Reply),
            read = stream.read_buf(&mut self.inbox), if is_open => read.map_or(Next::Broken, Next::Read),
            () = self.place.hall.stop.cancelled(), if !waiting => Next::Stop,
            () = sleep_until(deadline) => Next::Idle,
        }
    }

    /// Answers the whole messages that have come, until enough waits to be sent. True when there is more to answer.
    fn answer(&mut self) -> bool {
        let answers = self.place.hall.answers.clone();
        let (tables, secrets) = (answers.tables.load(), answers.secrets.load());
        let moment = Moment {
            tables: &tables,
            secrets: &secrets,
            settings: &answers.settings,
            now_s: (clock::now().0 / 1_000) as u32,
        };
        DESK.with_borrow_mut(|desk| {
            let desk =
                desk.get_or_insert_with(|| (tables.name_key(), vec![0; MESSAGE_BYTES_MAX].into()));
            if !tables.takes(&desk.0) {
                desk.0 = tables.name_key();
            }
            while self.outbox.len() < DNS_ANSWERS_WAITING_BYTES {
                let Some(message) = take_message(&mut self.inbox) else {
                    return false;
                };
                self.quiet_since = clock::monotonic();
                self.begun = (!self.inbox.is_empty()).then_some(self.quiet_since);
                self.answer_one(&moment, &message, &mut desk.0, &mut desk.1);
            }
            true
        })
    }

    fn answer_one(
        &mut self,
        moment: &Moment<'_>,
        message: &[u8],
        key: &mut NameKey,
        out: &mut [u8],
    ) {
        match self.transport {
            Transport::Tls => self.tally.queries_tls.add(),
            _ => self.tally.queries_tcp.add(),
        }
        let sent = match respond(moment, message, self.from.ip(), self.transport, key, out) {
            Deed::Silence => return self.tally.noise.add(),
            Deed::HandOn(_) if self.hand_on(message) => return,
            Deed::HandOn(sent) | Deed::Send(sent) => sent,
        };
        respond::count(&self.tally, out, &sent, false);
        self.frame(&out[..sent.len]);
    }

    fn hand_on(&self, message: &[u8]) -> bool {
        let unusual = Unusual {
            message: message.to_vec(),
            from: self.from,
            transport: self.transport,
            way: Way::Connection(self.way.clone()),
        };
        let taken = self.handed_on() <= DNS_HANDED_ON_PER_CONNECTION_MAX
            && self.place.hall.answers.hand_on(unusual);
        if taken {
            self.tally.handed_on.add();
        } else {
            self.tally.not_handed_on.add();
        }
        taken
    }

    /// Lines up a message with its length in front.
    fn frame(&mut self, message: &[u8]) {
        let message = &message[..message.len().min(MESSAGE_BYTES_MAX)];
        self.outbox.extend((message.len() as u16).to_be_bytes());
        self.outbox.extend_from_slice(message);
    }

    /// Sends what is lined up, in one piece; false when the client does not take it.
    async fn send<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> bool {
        if self.outbox.is_empty() {
            return true;
        }
        let written = async {
            stream.write_all(&self.outbox).await?;
            stream.flush().await
        };
        let sent = timeout(Duration::from_millis(DNS_MESSAGE_MS), written).await;
        self.outbox.clear();
        // One large answer must not keep its memory for the rest of an idle connection's life.
        self.outbox.shrink_to(DNS_ANSWERS_WAITING_BYTES);
        if sent.is_err() {
            self.tally.idle.add();
        }
        matches!(sent, Ok(Ok(())))
    }
}

/// The first whole message that has come.
fn take_message(inbox: &mut BytesMut) -> Option<BytesMut> {
    let len = usize::from(u16::from_be_bytes(*inbox.first_chunk()?));
    (inbox.len() >= 2 + len).then(|| {
        inbox.advance(2);
        inbox.split_to(len)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::answers::{Rate, Settings};
    use crate::dns::cookie::Secrets;

    #[tokio::test(start_paused = true)]
    async fn a_message_that_drips_in_is_not_waited_for() {
        let settings = Settings {
            nsid: Box::default(),
            udp_payload: 1_232,
            rate: Rate::Off,
            threads: 1,
            connections: 1,
            connections_per_network: 1,
            idle: Duration::from_secs(10),
        };
        let (answers, _unusual) = Answers::new(settings, Secrets::new([1; 16], None));
        let tally = answers.counters.tally();
        let hall = Arc::new(Hall {
            tcp: tally.clone(),
            tls: tally.clone(),
            answers,
            open: Mutex::default(),
            stop: CancellationToken::new(),
        });
        let from: std::net::SocketAddr = "192.0.2.1:5353".parse().unwrap();
        let place = hall.place(from.ip(), &tally).unwrap();
        let mut connection = Connection::new(place, from, tally.clone(), false);
        let (mut client, stream) = tokio::io::duplex(64);
        let start = clock::monotonic();
        let dripping = async {
            while client.write_all(&[1]).await.is_ok() {
                // waits because dripping is the point; the clock is paused.
                sleep(Duration::from_secs(4)).await;
            }
        };
        tokio::join!(dripping, connection.converse(stream));
        assert!(clock::monotonic() - start < Duration::from_secs(30));
        assert_eq!(tally.idle.get(), 1);
    }
}
