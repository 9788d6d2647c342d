//! When a version goes live, a majority of voters really has its bundle on disk, not only said so once.

use super::{Invariant, Seen};

pub struct LiveIsOnDisks;

impl Invariant for LiveIsOnDisks {
    fn name(&self) -> &'static str {
        "live is on disks"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let (before, after, nodes) = match seen {
            Seen::Agreed {
                before,
                after,
                nodes,
                ..
            }
            | Seen::Members {
                before,
                after,
                nodes,
            } => (before, after, nodes),
            _ => return Ok(()),
        };
        let Some(site) = after.sites.live() else {
            return Ok(());
        };
        if before.sites.live == after.sites.live {
            return Ok(());
        }
        let having = after.voters.iter().filter(|it| {
            nodes
                .get(*it)
                .is_some_and(|it| it.blobs.contains(&site.bundle))
        });
        let having = having.count();
        if having * 2 > after.voters.len() {
            return Ok(());
        }
        Err(format!(
            "{:?} went live and {having} of {} voters have its bundle",
            after.sites.live,
            after.voters.len()
        ))
    }
}
