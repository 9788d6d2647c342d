//! A courier lets go of a mail only while the lease is its own by the cluster's time, and once under each lease. So a
//! mail goes out twice only when its first acceptance could not be reported before the lease ran out: after a
//! crash, a connection that broke after the final dot, or a partition.

use std::collections::BTreeSet;

use lifeboat::model::outbox::ItemId;

use super::{Invariant, Seen};

#[derive(Default)]
pub struct SentUnderLease {
    sent: BTreeSet<(ItemId, u64)>,
}

impl Invariant for SentUnderLease {
    fn name(&self) -> &'static str {
        "sent under lease"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::HandedOver {
            node,
            item,
            epoch,
            agreed,
        } = seen
        else {
            return Ok(());
        };
        if !self.sent.insert((*item, *epoch)) {
            return Err(format!("item {item} went out twice under epoch {epoch}"));
        }
        let Some(there) = agreed.outbox.get(item) else {
            // Another one's acceptance was reported late, after its lease had run out and ours had begun.
            return Ok(());
        };
        let lease = there.lease;
        match lease {
            Some(lease) if lease.node == *node && lease.until > agreed.now => Ok(()),
            Some(lease) => Err(format!(
                "item {item} went out by {node} (epoch {epoch}) at {} though {} has it (epoch {}) until {}",
                agreed.now.0, lease.node, lease.epoch, lease.until.0
            )),
            None => Err(format!(
                "item {item} went out by {node} (epoch {epoch}) though nobody has a lease on it"
            )),
        }
    }
}
