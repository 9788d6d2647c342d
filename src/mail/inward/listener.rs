//! Taking connections of mail servers, within their bounds, and STARTTLS.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::session::{End, House, Session};
use super::wire::Wire;
use crate::model::limits::{ACCEPT_PAUSE_MS, MAIL_IN_STOP_MS, SMTP_CONNECTION_MS, SMTP_TLS_MS};
use crate::tasks::Stop;

/// Serves until asked to stop. New connections use the newest TLS settings.
pub async fn serve(
    house: Arc<House>,
    sockets: Vec<TcpListener>,
    tls: watch::Receiver<Arc<ServerConfig>>,
    stop: Stop,
) {
    let open = TaskTracker::new();
    let accepting = sockets
        .iter()
        .map(|it| accept(&house, it, &tls, (&open, &stop)));
    join_all(accepting).await;
    drop(sockets);
    open.close();
    // Who is not answered yet keeps the message and comes again.
    if timeout(Duration::from_millis(MAIL_IN_STOP_MS), open.wait())
        .await
        .is_err()
    {
        tracing::info!(
            connections = open.len(),
            "connections of mail servers are cut at the stop"
        );
    }
}

async fn accept(
    house: &Arc<House>,
    socket: &TcpListener,
    tls: &watch::Receiver<Arc<ServerConfig>>,
    (open, stop): (&TaskTracker, &Stop),
) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "no connection of a mail server can be taken at the moment");
                tokio::select! {
                    () = sleep(Duration::from_millis(ACCEPT_PAUSE_MS)) => continue,
                    () = stop.cancelled() => return,
                }
            }
        };
        let Some(place) = house.places.take(from.ip()) else {
            house.counted.no_place.add(1);
            let busy = b"421 4.7.0 Too many connections; come again\r\n";
            // Said only where it can be said at once: nobody waits for whoever is turned away.
            let _ = stream.try_write(busy);
            continue;
        };
        let (house, tls, stop) = (house.clone(), tls.borrow().clone(), stop.clone());
        open.spawn(async move {
            house.counted.open.add(1);
            let longest = Duration::from_millis(SMTP_CONNECTION_MS);
            let spoken = timeout(longest, speak(&house, stream, from.ip(), tls));
            tokio::select! {
                _ = spoken => {}
                () = late(&stop) => {}
            }
            house.counted.open.add(-1);
            drop(place);
        });
    }
}

/// The end of what a stop leaves to sessions.
async fn late(stop: &Stop) {
    stop.cancelled().await;
    sleep(Duration::from_millis(MAIL_IN_STOP_MS)).await;
}

async fn speak(house: &House, stream: TcpStream, from: std::net::IpAddr, tls: Arc<ServerConfig>) {
    // Nagle's algorithm with delayed acknowledgements costs 43 ms an answer.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut session = Session::new(house, from);
    let mut wire = Wire::new(stream);
    if session.run(&mut wire).await == End::Over {
        return;
    }
    let Some(stream) = wire.into_inner() else {
        // Commands in the clear behind STARTTLS (CVE-2011-0411): somebody is on the line.
        house.counted.broken.add(1);
        return;
    };
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let Ok(Ok(stream)) = timeout(Duration::from_millis(SMTP_TLS_MS), handshake).await else {
        return;
    };
    session.is_encrypted();
    session.run(&mut Wire::new(stream)).await;
}
