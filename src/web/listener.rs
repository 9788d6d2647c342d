//! Taking connections: the accept loops, the bounds on how many there are, and the stop.
//! When the system has no descriptor left, one that was put by is used to turn the next caller away, and accepting
//! rests a moment; the loops never end by themselves.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::model::limits::{ACCEPT_PAUSE_MS, WEB_STOP_MS};
use crate::web::connection::{self, Shared};
use crate::web::counters::Counters;
use crate::web::front::Front;
use crate::web::places::{Full, Place, Places};
use crate::web::vitals::Patience;

/// What connections must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections open at a time.
    pub connections: usize,
    /// Connections open at a time from one address, or from one /64 of IPv6.
    pub connections_per_address: usize,
    /// Times and pace.
    pub patience: Patience,
    /// How long requests in flight may take once the node stops.
    pub stop: Duration,
}

impl Bounds {
    /// The usual times, and these numbers of connections.
    pub fn new(connections: usize, connections_per_address: usize) -> Bounds {
        Bounds {
            connections,
            connections_per_address,
            patience: Patience::default(),
            stop: Duration::from_millis(WEB_STOP_MS),
        }
    }
}

/// Sockets that are bound already, by whoever may.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For HTTPS.
    pub https: Vec<TcpListener>,
    /// For HTTP, which leads to HTTPS.
    pub http: Vec<TcpListener>,
}

/// Serves until `stop` is cancelled, then until every request in flight is answered or `bounds.stop` has passed.
/// New connections use the newest TLS configuration; it must offer `h2` and `http/1.1`.
pub async fn serve(
    front: Arc<Front>,
    sockets: Sockets,
    tls: watch::Receiver<Arc<ServerConfig>>,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let shared = Arc::new(Shared {
        patience: bounds.patience,
        counters: front.counters.clone(),
        front,
        stopping: stop,
        ending: CancellationToken::new(),
    });
    let hall = Hall {
        places: Places::new(bounds.connections, bounds.connections_per_address),
        open: TaskTracker::new(),
        shared,
    };
    let https = sockets
        .https
        .iter()
        .map(|socket| (socket, Some(tls.clone())));
    let http = sockets.http.iter().map(|socket| (socket, None));
    join_all(
        https
            .chain(http)
            .map(|(socket, tls)| hall.accept(socket, tls)),
    )
    .await;
    // Nobody new is let in; the sockets refuse from here on.
    drop(sockets);
    hall.open.close();
    if timeout(bounds.stop, hall.open.wait()).await.is_err() {
        info!(
            connections = hall.open.len(),
            "connections were cut at the deadline of the stop"
        );
        hall.shared.ending.cancel();
        hall.open.wait().await;
    }
}

/// Where connections are let in.
struct Hall {
    shared: Arc<Shared>,
    places: Arc<Places>,
    open: TaskTracker,
}

impl Hall {
    /// Lets connections in until the node stops.
    async fn accept(&self, socket: &TcpListener, tls: Option<watch::Receiver<Arc<ServerConfig>>>) {
        let mut put_by = PutBy::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = self.shared.stopping.cancelled() => return,
            };
            match accepted {
                Ok((stream, from)) => {
                    let tls = tls.as_ref().map(|tls| tls.borrow().clone());
                    self.let_in(stream, from, tls);
                }
                Err(error) if is_the_callers(&error) => {}
                Err(error) => {
                    self.shared.counters.accept_failed.add();
                    warn!(%error, "no connection can be taken at the moment");
                    put_by.turn_one_away(socket);
                    tokio::select! {
                        () = sleep(Duration::from_millis(ACCEPT_PAUSE_MS)) => {}
                        () = self.shared.stopping.cancelled() => return,
                    }
                }
            }
        }
    }

    fn let_in(&self, stream: TcpStream, from: SocketAddr, tls: Option<Arc<ServerConfig>>) {
        let counters = &self.shared.counters;
        let place = match self.places.take(from.ip()) {
            Ok(place) => place,
            Err(Full::Total) => return counters.refused_total.add(),
            Err(Full::Address) => return counters.refused_address.add(),
        };
        counters.accepted.add();
        let open = Open::new(place, counters.clone());
        let served = connection::serve(self.shared.clone(), stream, from, tls);
        self.open.spawn(async move {
            served.await;
            drop(open);
        });
    }
}

/// One connection more, until dropped.
struct Open {
    _place: Place,
    counters: Arc<Counters>,
}

impl Open {
    fn new(place: Place, counters: Arc<Counters>) -> Open {
        counters.open.add();
        Open {
            _place: place,
            counters,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters.open.take();
    }
}

/// A caller who left before being let in is no fault of the socket.
fn is_the_callers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A descriptor kept for the moment when there is no other: without it a waiting caller could not even be turned away
/// and the socket would report it again at once, for ever.
struct PutBy(Option<File>);

impl PutBy {
    fn new() -> PutBy {
        PutBy(File::open("/dev/null").ok())
    }

    /// Uses the descriptor to take one caller and close on them, so that they can try another node.
    fn turn_one_away(&mut self, socket: &TcpListener) {
        use futures_util::FutureExt;
        self.0 = None;
        drop(socket.accept().now_or_never());
        *self = PutBy::new();
    }
}
