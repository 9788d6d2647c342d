//! The network of the simulation: turmoil's TCP, where who calls is believed at a word.

use std::{io, net::SocketAddr};

use lifeboat::{
    cluster::net::{Caller, Channel, Net, NetError, within},
    model::{limits, words::NodeId},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};

/// Where every node listens.
pub const PORT: u16 = 7_000;

pub struct SimNet {
    us: NodeId,
    listener: TcpListener,
}

impl SimNet {
    pub async fn listen(us: NodeId) -> io::Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        Ok(Self { us, listener })
    }

    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, NetError> {
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(|source| NetError::Connect { address, source })?;
        stream
            .write_u64(self.us.0)
            .await
            .map_err(NetError::Handshake)?;
        Ok(stream)
    }
}

impl Net for SimNet {
    type Stream = TcpStream;
    type Arrival = TcpStream;

    async fn dial(
        &self,
        address: SocketAddr,
        _expected: NodeId,
        _channel: Channel,
    ) -> Result<TcpStream, NetError> {
        within(limits::PEER_DIAL_MS, self.connect(address)).await
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    async fn prove(&self, mut arrival: TcpStream) -> Result<Caller<TcpStream>, NetError> {
        let name = async { arrival.read_u64().await.map_err(NetError::Handshake) };
        let name = within(limits::PEER_HANDSHAKE_MS, name).await?;
        Ok(Caller::Member(arrival, NodeId(name)))
    }
}
