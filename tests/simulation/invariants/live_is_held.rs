//! The wanted site is live as soon as a majority of voters said that they hold it, and never before; a live site stays
//! until another is. Counted again here, from the entries alone.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat::model::{
    Command, Reply, Stamped, State,
    site::SiteVersion,
    words::{BlobHash, NodeId},
};

use super::{Invariant, Seen};

#[derive(Default)]
pub struct LiveIsHeld {
    holders: BTreeMap<BlobHash, BTreeSet<NodeId>>,
}

impl Invariant for LiveIsHeld {
    fn name(&self) -> &'static str {
        "live is held by a majority"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let (before, after) = match seen {
            Seen::Agreed {
                stamped,
                reply,
                before,
                after,
                ..
            } => {
                self.count(stamped, reply, before, after);
                (before, after)
            }
            Seen::Members { before, after, .. } => {
                self.members_only(after);
                (before, after)
            }
            _ => return Ok(()),
        };
        self.holders.retain(|it, _| after.blobs.contains_key(it));
        self.judge(before, after)
    }
}

impl LiveIsHeld {
    fn count(&mut self, stamped: &Stamped, reply: &Reply, before: &State, after: &State) {
        if matches!(reply, Reply::Refused(_)) || before.answers.contains_key(&stamped.proposal.id) {
            return;
        }
        match &stamped.proposal.command {
            Command::BlobHeld { hash, node, .. } => {
                self.holders.entry(*hash).or_default().insert(*node);
            }
            Command::BlobDropped { hash, node } => {
                self.holders.entry(*hash).or_default().remove(node);
                self.members_only(after);
            }
            Command::PublishSite { bundle, .. } => {
                // What was released may have been deleted by now: everybody has to say again that they hold it.
                if before
                    .blobs
                    .get(bundle)
                    .is_some_and(|it| it.released.is_some())
                {
                    self.holders.remove(bundle);
                }
                self.members_only(after);
            }
            Command::ForgetNode { .. } => self.members_only(after),
            _ => {}
        }
    }

    /// What those said who are no members is cleared away whenever something is; a new node may say it again.
    fn members_only(&mut self, after: &State) {
        let members = after.members();
        for holders in self.holders.values_mut() {
            holders.retain(|it| members.contains(it));
        }
    }

    fn judge(&self, before: &State, after: &State) -> Result<(), String> {
        let held = |version: &SiteVersion| {
            let bundle = after.sites.versions.get(version).map(|it| it.bundle)?;
            let holders = self.holders.get(&bundle)?;
            let voting = after
                .voters
                .iter()
                .filter(|it| holders.contains(it))
                .count();
            (voting * 2 > after.voters.len()).then_some(())
        };
        let (wanted, live) = (after.sites.wanted, after.sites.live);
        if live != before.sites.live {
            let sound = live.filter(|it| Some(*it) == wanted && held(it).is_some());
            if sound.is_none() {
                return Err(format!(
                    "{live:?} went live though {wanted:?} is wanted, or no majority of {:?} holds it",
                    after.voters
                ));
            }
        }
        if let Some(version) = wanted.filter(|it| live != Some(*it))
            && held(&version).is_some()
        {
            return Err(format!(
                "{version} is wanted and held by a majority of {:?}, but {live:?} is live",
                after.voters
            ));
        }
        Ok(())
    }
}
