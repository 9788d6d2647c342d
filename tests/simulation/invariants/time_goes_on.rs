//! The cluster's time never runs backwards and is the newest stamp; entries are counted without gaps.

use super::{Invariant, Seen};

pub struct TimeGoesOn;

impl Invariant for TimeGoesOn {
    fn name(&self) -> &'static str {
        "time goes on"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let (before, after, at) = match seen {
            Seen::Agreed {
                stamped,
                before,
                after,
                ..
            } => (before, after, stamped.at),
            Seen::Members { before, after, .. } => (before, after, before.now),
            _ => return Ok(()),
        };
        if after.now != before.now.max(at) {
            return Err(format!(
                "time went from {} to {} by an entry of {}",
                before.now.0, after.now.0, at.0
            ));
        }
        if after.index != before.index + 1 {
            return Err(format!("entry {} follows {}", after.index, before.index));
        }
        Ok(())
    }
}
