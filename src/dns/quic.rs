//! DNS over QUIC (RFC 9250) through hickory-server: connections, streams and framing are its, what is answered is ours.
//! It takes answers as records only, so ours are read by its parser and written again. Transfers are refused here, as
//! it ends a stream after one message. What it does not bound is bounded by how many handshakes are let in.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use hickory_server::Server;
use hickory_server::net::NetError;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Message, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::answers::{Answers, Transport};
use super::counters::Tally;
use super::reply::PADDING_BLOCK;
use super::secure::exchange;
use crate::clock;
use crate::model::limits::{
    DNS_QUIC_HANDSHAKES_AT_ONCE, DNS_QUIC_IDLE_MS, DNS_QUIC_MS_PER_HANDSHAKE, DNS_QUIC_SOCKETS,
    DNS_STOP_MS, MESSAGE_BYTES_MAX,
};

const PADDING: u16 = 12;

/// Why there is no DNS over QUIC.
#[derive(Debug, Error)]
pub enum QuicError {
    /// The system does not give the socket to the runtime.
    #[error("a socket for DNS over QUIC cannot be used")]
    Socket(#[from] io::Error),
    /// The settings of TLS are not fit for QUIC.
    #[error("DNS over QUIC cannot be set up")]
    Setup(#[source] NetError),
}

/// Lets in so many handshakes, for all connections together: a connection can be told to go only before it is one.
pub struct Gate {
    tally: Arc<Tally>,
    /// When the bucket is full again.
    full_at: Mutex<Instant>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Gate")
    }
}

impl Gate {
    /// One for all sockets of a node.
    pub fn new(answers: &Answers) -> Arc<Gate> {
        Arc::new(Gate {
            tally: answers.counters.tally(),
            full_at: Mutex::new(clock::monotonic()),
        })
    }

    /// Whether one more handshake may go on now.
    pub fn admits(&self) -> bool {
        let now = clock::monotonic();
        let each = Duration::from_millis(DNS_QUIC_MS_PER_HANDSHAKE);
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full_at).max(now) + each;
        if next.duration_since(now) > each * DNS_QUIC_HANDSHAKES_AT_ONCE {
            self.tally.refused_total.add();
            return false;
        }
        *full_at = next;
        self.tally.connections.add();
        true
    }
}

/// Binds the sockets of one address; the system spreads clients over them. Several, since hickory-server finishes one
/// handshake of a socket before it begins the next: who does not go on with theirs holds up those of one socket only.
///
/// # Errors
/// What the system says, such as that the address is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<Vec<UdpSocket>> {
    let mut sockets: Vec<UdpSocket> = Vec::with_capacity(DNS_QUIC_SOCKETS);
    for _ in 0..DNS_QUIC_SOCKETS {
        // A port that the system chose for the first socket is that of the others too.
        let address = sockets.first().map_or(Ok(address), UdpSocket::local_addr)?;
        let kind = (Domain::for_address(address), Some(Protocol::UDP));
        let socket = Socket::new(kind.0, Type::DGRAM, kind.1)?;
        socket.set_reuse_port(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

/// Serves until `stop` is cancelled. `tls` must offer `doq` and ask the gate.
///
/// # Errors
/// When the sockets or the settings of TLS cannot be used.
pub async fn serve(
    answers: Arc<Answers>,
    sockets: Vec<UdpSocket>,
    tls: Arc<ServerConfig>,
    stop: CancellationToken,
) -> Result<(), QuicError> {
    let tally = answers.counters.tally();
    let mut server = Server::new(Answering { answers, tally });
    for socket in sockets {
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        let idle = Duration::from_millis(DNS_QUIC_IDLE_MS);
        server
            .register_quic_listener_and_tls_config(socket, idle, tls.clone())
            .map_err(QuicError::Setup)?;
    }
    tokio::select! {
        ended = server.block_until_done() => {
            // The other ways to ask go on; this one is not worth the node.
            error!(how = ?ended, "names are not answered over QUIC any more until the node is started again");
            stop.cancelled().await;
        }
        () = stop.cancelled() => {}
    }
    let _ = timeout(
        Duration::from_millis(DNS_STOP_MS),
        server.shutdown_gracefully(),
    )
    .await;
    Ok(())
}

/// Answers what hickory-server has read from streams.
struct Answering {
    answers: Arc<Answers>,
    tally: Arc<Tally>,
}

#[async_trait]
impl RequestHandler for Answering {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut way: R,
    ) -> ResponseInfo {
        let mut nothing = Metadata::response_from_request(&request.metadata);
        nothing.response_code = ResponseCode::ServFail;
        let info = |metadata| {
            ResponseInfo::from(Header {
                metadata,
                counts: HeaderCounts::default(),
            })
        };
        self.tally.queries_quic.add();
        let (answers, from) = (&self.answers, request.src().ip());
        let way_in = Transport::Quic;
        let Some((bytes, _)) = exchange(answers, &self.tally, request.as_slice(), from, way_in)
        else {
            return info(nothing);
        };
        let said = match read(&bytes) {
            Ok(said) => said,
            Err(error) => {
                warn!(%error, "an answer cannot be sent over QUIC: hickory-proto does not understand it");
                let mut said = Message::response(0, request.metadata.op_code);
                said.metadata = nothing;
                said
            }
        };
        let response = MessageResponseBuilder::new(&request.queries, said.edns.as_ref()).build(
            said.metadata,
            &said.answers,
            &said.authorities,
            &[],
            &said.additionals,
        );
        // Who does not take an answer must not keep the connection for ever.
        let sent = way.send_response(response);
        match timeout(Duration::from_millis(DNS_QUIC_IDLE_MS), sent).await {
            Ok(Ok(sent)) => sent,
            _ => {
                self.tally.idle.add();
                info(nothing)
            }
        }
    }
}

/// An answer as hickory-proto has it. Padded anew, as it writes names with other pointers than we do.
pub(super) fn read(
    answer: &[u8],
) -> Result<Message, hickory_server::proto::serialize::binary::DecodeError> {
    let mut message = Message::from_vec(answer)?;
    let padded = |it: &Message| {
        let edns = it.edns.as_ref();
        edns.is_some_and(|it| it.option(EdnsCode::Padding).is_some())
    };
    if padded(&message)
        && let Some(edns) = &mut message.edns
    {
        edns.options_mut().remove(EdnsCode::Padding);
        // The head of the option has four bytes.
        let len = message.to_vec().map_or(0, |it| it.len()) + 4;
        let room = MESSAGE_BYTES_MAX.saturating_sub(len);
        let more = (len.next_multiple_of(PADDING_BLOCK) - len).min(room);
        if let Some(edns) = &mut message.edns {
            let padding = EdnsOption::Unknown(PADDING, vec![0; more]);
            edns.options_mut().insert(padding);
        }
    }
    Ok(message)
}
