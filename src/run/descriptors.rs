//! How many files and connections this process may have open, and how they are shared out: the public's door gets what
//! the other nodes, the console and the disk do not need, so that a crowd at the door cannot lock those out (P10).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::model::limits::DESCRIPTORS_KEPT;

/// Asks the system for as many descriptors as it may give, and says how many there are.
pub(super) fn raise() -> usize {
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    // Where it refuses, what there was is what there is.
    let raised = setrlimit(Resource::Nofile, wanted).is_ok();
    let current = if raised { now.maximum } else { now.current };
    current.map_or(usize::MAX, |it| usize::try_from(it).unwrap_or(usize::MAX))
}

/// How many connections the public may have: as many as are configured, but never so many that fewer than
/// `DESCRIPTORS_KEPT` descriptors, or half of all where that is less, are left for the rest of the node.
pub(super) fn for_the_public(configured: usize, descriptors: usize) -> usize {
    let kept = DESCRIPTORS_KEPT.min(descriptors / 2);
    let room = descriptors.saturating_sub(kept).max(1);
    if room < configured {
        warn!(
            configured,
            descriptors,
            room,
            "fewer connections than configured: the system gives too few descriptors"
        );
    }
    configured.min(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_never_gets_what_the_rest_of_the_node_needs() {
        assert_eq!(for_the_public(20_000, 65_536), 20_000);
        assert_eq!(for_the_public(20_000, 4_096), 4_096 - DESCRIPTORS_KEPT);
        assert_eq!(for_the_public(20_000, 100), 50);
        assert_eq!(for_the_public(20_000, 0), 1);
        assert_eq!(for_the_public(1, 100), 1);
    }

    #[test]
    fn the_system_gives_what_it_may_give() {
        let first = raise();
        assert!(first > 0 && raise() == first);
    }
}
