//! What a browser wrote is shown by whichever node it asks next (P2): a cookie says how far the log had come, and a node
//! that lags waits a little before it answers. It is no secret and proves nothing; a made-up one waits as long, once.

use axum::http::{HeaderMap, HeaderValue};

use super::who::named;
use crate::desk::Desk;

/// The cookie's name; bound to this host as the session's is.
const NAME: &str = "__Host-lifeboat-at";

impl Desk {
    /// Waits a little until this node shows what the browser wrote at another one. False where it was in vain: the node lags
    /// far behind, or began anew from a backup.
    pub(in crate::desk) async fn shows_what_was_written(&self, headers: &HeaderMap) -> bool {
        let index = named(headers, NAME).and_then(|it| it.parse().ok());
        let Some(index) = index else {
            return true;
        };
        // Nothing comes while this node is alone, and nobody shall wait for it.
        if self.cluster.health().alone() {
            return true;
        }
        self.applied(index).await;
        *self.cluster.changes().borrow() >= index
    }

    /// The cookie for an answer: how far this node has come, whatever it has just agreed on among it.
    pub(in crate::desk) fn shown_so_far(&self) -> Option<HeaderValue> {
        let index = *self.cluster.changes().borrow();
        let value = format!("{NAME}={index}; Path=/; Secure; HttpOnly; SameSite=Strict");
        HeaderValue::from_str(&value).ok()
    }
}
