//! One look at a target: connect to its address, do what the check says, and say what was seen. Each step has the same
//! deadline; whatever is open is closed when the look ends. Nothing here resolves a name.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::fault::Fault;
use super::http::Ask;
use super::{dns, http, smtp};
use crate::clock;
use crate::model::health::{Check, CheckKind, TlsCheck, Trust};
use crate::tls::watching::{Watching, days_left};

/// What a good look saw: the code that the target answered with, where the protocol has codes.
pub(super) type Seen = Result<Option<u16>, Fault>;

/// Waits for one step, and names it where it takes too long.
pub(super) async fn within<T>(
    deadline: Instant,
    step: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, Fault> {
    timeout_at(deadline, work)
        .await
        .map_err(|_| Fault::TooSlow(step))
}

/// Looks once.
pub(super) async fn look(check: &Check, tls: &Watching) -> Seen {
    let timeout = Duration::from_millis(u64::from(check.timeout_ms));
    let deadline = clock::monotonic() + timeout;
    match &check.kind {
        CheckKind::Tcp => connect(check.to, deadline).await.map(|_stream| None),
        CheckKind::Tls(wanted) => {
            let stream = connect(check.to, deadline).await?;
            shake_hands(stream, wanted, tls, deadline).await?;
            Ok(None)
        }
        CheckKind::Http {
            host,
            path,
            status,
            contains,
            tls: wanted,
        } => {
            let ask = Ask {
                host: host.as_str(),
                path: path.as_str(),
                status: *status,
                contains: contains.as_ref().map(|text| text.as_str()),
            };
            let stream = connect(check.to, deadline).await?;
            let step = "waiting for the page";
            let status = match wanted {
                None => within(deadline, step, http::ask(stream, ask)).await?,
                Some(wanted) => {
                    let stream = shake_hands(stream, wanted, tls, deadline).await?;
                    within(deadline, step, http::ask(stream, ask)).await?
                }
            };
            Ok(Some(status?))
        }
        CheckKind::Dns { name, rtype } => {
            let heard = dns::ask(check.to, name, *rtype, deadline).await?;
            if heard.rcode != 0 {
                return Err(Fault::Rcode(heard.rcode));
            }
            if !heard.records.contains(rtype) {
                return Err(Fault::NoRecord);
            }
            Ok(Some(0))
        }
        CheckKind::Smtp => {
            let stream = connect(check.to, deadline).await?;
            let greeting = smtp::greet(stream);
            let code = within(deadline, "waiting for the greeting", greeting).await?;
            Ok(Some(code?))
        }
    }
}

/// Connects, also for canaries, where the connection is all that is wanted.
pub(super) async fn connect(to: SocketAddr, deadline: Instant) -> Result<TcpStream, Fault> {
    let stream = within(deadline, "connecting", TcpStream::connect(to)).await?;
    stream.map_err(Fault::Connect)
}

async fn shake_hands(
    stream: TcpStream,
    wanted: &TlsCheck,
    tls: &Watching,
    deadline: Instant,
) -> Result<TlsStream<TcpStream>, Fault> {
    let name = wanted.server_name.as_str();
    let name = ServerName::try_from(name.to_owned()).map_err(|_| Fault::Name(name.to_owned()))?;
    let shaking = tls.connector(wanted.trust).connect(name, stream);
    let stream = within(deadline, "shaking hands", shaking).await?;
    let stream = stream.map_err(Fault::Tls)?;
    if wanted.trust != Trust::Anything && wanted.days_left_min > 0 {
        let shown = stream.get_ref().1.peer_certificates();
        let left = days_left(shown, clock::now()).ok_or(Fault::NoCertificate)?;
        if left < i64::from(wanted.days_left_min) {
            let wanted = wanted.days_left_min;
            return Err(Fault::Days { left, wanted });
        }
    }
    Ok(stream)
}
