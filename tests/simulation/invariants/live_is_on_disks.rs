//! When a version goes live, a majority of voters really has its bundle on disk, not only said so once. A copy that was
//! damaged or burnt since counts: saying so takes a moment.

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
            nodes.get(*it).is_none_or(|it| {
                it.blobs.contains(&site.bundle) || it.damaged.contains(&site.bundle)
            })
        });
        let having = having.count();
        if having * 2 > after.voters.len() {
            return Ok(());
        }
        Err(format!(
            "{:?} went live and {having} of {} voters have its bundle-{}, though {:?} say so",
            after.sites.live,
            after.voters.len(),
            site.bundle.0[0],
            after.blobs.get(&site.bundle).map(|it| &it.holders)
        ))
    }
}
