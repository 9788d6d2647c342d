//! P9: every operator's action is one line on the record, with the truth in it, and the chain leads from line to line.

use lifeboat::model::{Reply, audit::chained};

use super::{Invariant, Seen, short};

pub struct AuditIsComplete;

impl Invariant for AuditIsComplete {
    fn name(&self) -> &'static str {
        "the record is complete"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let (stamped, reply, before, after) = match seen {
            Seen::Agreed {
                stamped,
                reply,
                before,
                after,
                ..
            } => (stamped, reply, before, after),
            Seen::AtRest { agreed, .. } if !agreed.audit.verifies() => {
                return Err("the chain is broken".to_owned());
            }
            _ => return Ok(()),
        };
        let proposal = &stamped.proposal;
        let acted = proposal.is_on_record() && !before.answers.contains_key(&proposal.id);
        let what = format!("{} {}", proposal.command.kind(), short(&proposal.id.0));
        if !acted {
            return match before.audit == after.audit {
                true => Ok(()),
                false => Err(format!("{what} is on the record though no operator acted")),
            };
        }
        let Some(line) = after.audit.lines.last() else {
            return Err(format!("{what} is not on the record"));
        };
        let refused = matches!(reply, Reply::Refused(_));
        let true_line = line.index == after.index
            && line.who == proposal.actor.spoken()
            && line.node == proposal.origin
            && line.what == proposal.command.kind()
            && line.refused.is_some() == refused;
        if !true_line || after.audit.count != before.audit.count + 1 {
            return Err(format!("{what} is not truly on the record: {line:?}"));
        }
        if after.audit.head != chained(before.audit.head, line) {
            return Err(format!("{what} does not continue the chain"));
        }
        Ok(())
    }
}
