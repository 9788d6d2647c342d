//! The door as a whole: looks at real servers on loopback, and votes that reach an agreed state.

mod looks;
mod opinions;
mod votes;

use std::net::SocketAddr;
use std::time::Duration;

use crate::model::health::{Check, CheckKind};
use crate::model::words::{Label, Note};

/// What every wait for something that must happen may take, on a busy machine.
const PATIENT: Duration = Duration::from_secs(30);

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn note(text: &str) -> Note {
    Note::new(text).unwrap()
}

/// A check that gives servers on a busy machine enough time.
fn check(to: SocketAddr, kind: CheckKind) -> Check {
    Check {
        name: label("page"),
        to,
        kind,
        interval_ms: 20_000,
        timeout_ms: 20_000,
        down_after: 3,
        up_after: 2,
    }
}
