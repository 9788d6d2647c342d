//! The node's local socket: who may open its file may ask, and the kernel says who that is.
//!
//! One request a connection, within the bounds of `calls`.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::Router;
use hyper::body::Incoming;
use tokio::net::{UnixListener, UnixStream};
use tower::ServiceExt;
use tracing::{info, warn};

use super::{Caller, calls::Calls};
use crate::{
    durable,
    model::{Actor, limits},
    tasks::{Outcome, Stop},
};

/// The owner and the group may open the socket; who is in the group is the machine's administrator's choice.
const MODE: u32 = 0o660;
/// What callers of the API must keep to.
const CALLS: Calls = Calls {
    what: "the API",
    most: limits::DESK_CONNECTIONS_MAX,
    head: Duration::from_millis(limits::DESK_HEAD_MS),
    whole: Duration::from_millis(limits::DESK_REQUEST_MS),
};

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
    let ended = CALLS
        .take(
            listener,
            |stream| answer(stream, router.clone(), stop.clone()),
            &stop,
        )
        .await;
    // A name that is left behind is replaced at the next start, so failing here loses nothing.
    let _ = fs::remove_file(path);
    ended
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
        standing: None,
    };
    let works = router.map_request(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        request
    });
    CALLS.answer(stream, works, stop).await;
}
