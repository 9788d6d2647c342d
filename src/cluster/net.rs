//! How bytes get from node to node: TCP with mutual TLS, or a simulated network with neither.
//!
//! A connection that exists has both ends proven; who may connect at all is decided here and in
//! `tls::peer`. What is sent over it is not known here. Everything that can hang has a deadline.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::server::Acceptor;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

use crate::{
    model::{limits, words::NodeId},
    tls::{
        peer::{self, JOIN_PROTOCOL, PeerTls},
        pki::PkiError,
    },
};

/// What both ends of a newcomer's connection derive from its TLS secrets, so that nobody can relay its answer.
pub const BINDING_LABEL: &[u8] = b"EXPORTER-lifeboat-join-1";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// No TCP connection.
    #[error("no connection to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("no answer within {ms} ms")]
    Slow {
        /// The limit.
        ms: u64,
    },
    /// The two ends did not accept each other.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// The other end is not who it should be.
    #[error("the other end's certificate names no node")]
    Name(#[source] PkiError),
    /// Nothing in common to speak.
    #[error("the HTTP/2 handshake failed")]
    Protocol(#[source] hyper::Error),
}

/// The three connections to each peer: none waits behind another's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Votes, heartbeats, forwarded proposals, pings.
    Control,
    /// The stream of log entries.
    Log,
    /// Snapshots, blobs, copies of letterboxes.
    Bulk,
}

/// Who is at the other end of an accepted connection.
pub enum Caller<S> {
    /// A member, proven.
    Member(S, NodeId),
    /// Somebody without a certificate, who can only ask to join; with the binding of this connection.
    Newcomer(S, [u8; 32]),
}

/// A way to reach nodes and be reached.
pub trait Net: Send + Sync + 'static {
    /// A connection with both ends proven.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A connection whose other end has yet to prove itself.
    type Arrival: Send + 'static;

    /// Connects to the node that must be `expected`.
    fn dial(
        &self,
        address: SocketAddr,
        expected: NodeId,
        channel: Channel,
    ) -> impl Future<Output = Result<Self::Stream, NetError>> + Send;

    /// The next caller. Never waits for what the caller sends.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Arrival>> + Send;

    /// Lets a caller prove itself.
    fn prove(
        &self,
        arrival: Self::Arrival,
    ) -> impl Future<Output = Result<Caller<Self::Stream>, NetError>> + Send;
}

/// The real network: TCP and mutual TLS 1.3.
pub struct TlsNet {
    listener: TcpListener,
    tls: Arc<ArcSwap<PeerTls>>,
}

impl TlsNet {
    /// Listens on `listener`; `tls` is read at each connection, so a renewed certificate is used from then on.
    pub fn new(listener: TcpListener, tls: Arc<ArcSwap<PeerTls>>) -> Self {
        Self { listener, tls }
    }

    async fn connect(
        &self,
        address: SocketAddr,
        expected: NodeId,
    ) -> Result<TlsStream<TcpStream>, NetError> {
        let stream = TcpStream::connect(address)
            .await
            .and_then(|stream| tuned(&stream).map(|()| stream))
            .map_err(|source| NetError::Connect { address, source })?;
        let tls = self.tls.load_full();
        let connector = TlsConnector::from(tls.client.clone());
        let stream = connector
            .connect(tls.server_name(expected), stream)
            .await
            .map_err(NetError::Handshake)?;
        Ok(TlsStream::Client(stream))
    }

    async fn handshake(
        &self,
        arrival: TcpStream,
    ) -> Result<Caller<TlsStream<TcpStream>>, NetError> {
        tuned(&arrival).map_err(NetError::Handshake)?;
        let hello = LazyConfigAcceptor::new(Acceptor::default(), arrival)
            .await
            .map_err(NetError::Handshake)?;
        let tls = self.tls.load_full();
        let newcomer = hello
            .client_hello()
            .alpn()
            .is_some_and(|mut all| all.any(|one| one == JOIN_PROTOCOL));
        let config = if newcomer {
            &tls.join_server
        } else {
            &tls.server
        };
        let stream = hello
            .into_stream(config.clone())
            .await
            .map_err(NetError::Handshake)?;
        let (_, connection) = stream.get_ref();
        if newcomer {
            let binding = connection
                .export_keying_material([0; 32], BINDING_LABEL, None)
                .map_err(|error| NetError::Handshake(io::Error::other(error)))?;
            return Ok(Caller::Newcomer(stream.into(), binding));
        }
        let name = peer::peer_of(connection.peer_certificates()).map_err(NetError::Name)?;
        Ok(Caller::Member(stream.into(), name.node))
    }
}

impl Net for TlsNet {
    type Stream = TlsStream<TcpStream>;
    type Arrival = TcpStream;

    async fn dial(
        &self,
        address: SocketAddr,
        expected: NodeId,
        _channel: Channel,
    ) -> Result<Self::Stream, NetError> {
        within(limits::PEER_DIAL_MS, self.connect(address, expected)).await
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    async fn prove(&self, arrival: TcpStream) -> Result<Caller<Self::Stream>, NetError> {
        within(limits::PEER_HANDSHAKE_MS, self.handshake(arrival)).await
    }
}

/// Gives up after `ms` milliseconds.
pub async fn within<T>(
    ms: u64,
    work: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    timeout(Duration::from_millis(ms), work)
        .await
        .unwrap_or(Err(NetError::Slow { ms }))
}

/// Small messages leave at once, and a peer that vanished without a word is noticed within seconds.
pub fn tuned(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let unacknowledged = Duration::from_millis(limits::PEER_UNACKNOWLEDGED_MS);
    socket.set_tcp_user_timeout(Some(unacknowledged))?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(unacknowledged)
            .with_interval(unacknowledged),
    )
}
