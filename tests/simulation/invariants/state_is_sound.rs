//! The state finds nothing wrong with itself after any entry.

use super::{Invariant, Seen};

pub struct StateIsSound;

impl Invariant for StateIsSound {
    fn name(&self) -> &'static str {
        "the state is sound"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let state = match seen {
            Seen::Agreed { after, .. } | Seen::Members { after, .. } => after,
            Seen::AtRest { agreed, .. } => agreed,
            _ => return Ok(()),
        };
        let wrong = state.check();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(wrong.join("; "))
    }
}
