//! The node's local socket: who may open its file may ask, and the kernel says who that is.
//!
//! One request a connection. More connections than the limit wait in the system's queue; silent ones are closed.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, info, warn};

use super::Caller;
use crate::{
    durable,
    model::{Actor, limits},
    tasks::{Outcome, Stop},
};

/// The owner and the group may open the socket; who is in the group is the machine's administrator's choice.
const MODE: u32 = 0o660;
/// How long accepting rests when the system has no descriptor left for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers there.
    #[error("another process answers on {path}; is this node running already?")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has that name.
    #[error("{path} is there and is no socket; remove it or set node.socket")]
    NotASocket {
        /// What stands there.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot make the socket {path}")]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes the socket. It gets its name only once its permissions are right; what a dead process left is replaced.
pub(super) async fn bind(path: &Path) -> Result<UnixListener, BindError> {
    use std::os::unix::fs::FileTypeExt;
    let refused = |source| BindError::Refused {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            let path = path.to_owned();
            return Err(BindError::NotASocket { path });
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            let path = path.to_owned();
            return Err(BindError::InUse { path });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refused(error)),
    }
    let unfinished = durable::temporary_name(path);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&unfinished).map_err(refused)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(MODE)).map_err(refused)?;
    fs::rename(&unfinished, path).map_err(refused)?;
    Ok(listener)
}

/// Answers until asked to stop, then lets requests in progress finish for a while.
pub(super) async fn serve(
    listener: UnixListener,
    path: &Path,
    router: Router,
    stop: Stop,
) -> Outcome {
    info!(socket = %path.display(), "the API listens");
    let room = Arc::new(Semaphore::new(limits::DESK_CONNECTIONS_MAX));
    let open = TaskTracker::new();
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = room.clone().acquire_owned() => place?,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, stop) = (router.clone(), stop.clone());
                open.spawn(async move {
                    answer(stream, router, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "the API cannot accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
    // A name that is left behind is replaced at the next start, so failing here loses nothing.
    let _ = fs::remove_file(path);
    open.close();
    let _cut_off = timeout(Duration::from_millis(limits::DESK_STOP_MS), open.wait()).await;
    Ok(())
}

async fn answer(stream: UnixStream, router: Router, stop: Stop) {
    let uid = match stream.peer_cred() {
        Ok(peer) => peer.uid(),
        Err(error) => {
            warn!(%error, "the API cannot tell who connects; the connection is closed");
            return;
        }
    };
    let caller = Caller {
        actor: Actor::Local { uid },
        address: None,
    };
    let works = router.map_request(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::DESK_HEAD_MS))
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(works));
    tokio::pin!(connection);
    let whole = Duration::from_millis(limits::DESK_REQUEST_MS);
    let ended = timeout(whole, async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        }
    });
    match ended.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection to the API ended early"),
        Err(_) => warn!("a request to the API took too long; its connection is closed"),
    }
}
