//! The operators' door over real sockets: an address shows the printed certificate, and silent callers take their own
//! places only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::boat::Boat;
use crate::clock;
use crate::desk::{Console, serve_console};
use crate::model::limits;
use crate::model::words::KeyedHash;
use crate::tasks::Stop;
use crate::tls::console::{ConsoleCertificates, console_config};
use crate::tls::pinned;
use crate::tls::public::CertificateSet;

const WAIT: Duration = Duration::from_secs(20);

/// Opens a node's door; says where it is and what it shows there.
async fn opened(boat: &Boat, stop: &Stop) -> (SocketAddr, KeyedHash) {
    let folder = |name: &str| boat.data_dir().join(name);
    let names = ["localhost".to_owned()];
    let (named, _) =
        CertificateSet::open(&folder("none"), &folder("own"), &names, clock::now()).unwrap();
    let hosts = ["127.0.0.1".to_owned()];
    let shown =
        ConsoleCertificates::open(Arc::new(named), &folder("console"), &hosts, clock::now());
    let shown = Arc::new(shown.unwrap());
    let fingerprint = shown.fingerprint();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let console = Console {
        sockets: vec![socket],
        tls: console_config(shown, &[7; 32], clock::now).unwrap(),
    };
    tokio::spawn(serve_console(boat.desk.clone(), console, stop.clone()));
    (address, fingerprint)
}

async fn connected(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// What the sign-in page answers to a caller from there who trusts this certificate only.
async fn signed_in_page(from: &str, to: SocketAddr, trusted: KeyedHash) -> std::io::Result<String> {
    let stream = connected(from, to).await;
    let name = ServerName::from(to.ip());
    let mut stream = pinned::connector(trusted).connect(name, stream).await?;
    let request = format!("GET /sign-in HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page).await?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[tokio::test]
async fn p10_the_console_opens_by_address_with_the_printed_fingerprint_and_no_other() {
    let (boat, stop) = (Boat::afloat().await, Stop::new());
    let (address, fingerprint) = opened(&boat, &stop).await;
    let page = signed_in_page("127.0.0.1", address, fingerprint)
        .await
        .unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    let wrong = signed_in_page("127.0.0.1", address, KeyedHash([0; 32])).await;
    assert!(wrong.is_err(), "another certificate is not this one");
    let again = ConsoleCertificates::open(
        Arc::new(
            CertificateSet::open(
                &boat.data_dir().join("none"),
                &boat.data_dir().join("own"),
                &[],
                clock::now(),
            )
            .unwrap()
            .0,
        ),
        &boat.data_dir().join("console"),
        &["198.51.100.7".to_owned()],
        clock::now(),
    );
    assert_eq!(
        again.unwrap().fingerprint(),
        fingerprint,
        "what is on paper stays true"
    );
    stop.cancel();
}

#[tokio::test]
async fn p10_silent_callers_from_one_address_keep_nobody_else_from_the_console() {
    let (boat, stop) = (Boat::afloat().await, Stop::new());
    let (address, fingerprint) = opened(&boat, &stop).await;
    let mut silent = Vec::new();
    for _ in 0..limits::CONSOLE_CONNECTIONS_EACH {
        silent.push(connected("127.0.0.2", address).await);
    }
    let mut refused = connected("127.0.0.2", address).await;
    let mut nothing = [0; 1];
    // Those that have a place are closed at the end of this time, so half of it tells the one from the others.
    let at_once = Duration::from_millis(limits::CONSOLE_HANDSHAKE_MS / 2);
    let closed = timeout(at_once, refused.read(&mut nothing)).await.unwrap();
    assert!(
        matches!(closed, Ok(0) | Err(_)),
        "one more from there is let go"
    );
    let page = timeout(WAIT, signed_in_page("127.0.0.3", address, fingerprint)).await;
    assert!(page.unwrap().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    silent.pop();
    stop.cancel();
}
