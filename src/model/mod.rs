//! What the cluster agrees on, and the only functions that change it.
//!
//! Pure: nothing here waits, reads a clock, rolls dice, logs, or touches a socket or a disk. Time and dice arrive
//! inside an [`Entry`]. The same entries in the same order give the same [`State`] on every node.
//!
//! Applying an entry never asks for work to be done. Work is *due* because of what the state says (see
//! [`outbox::due`]); whoever does it reports back with another command.

pub mod alert;
pub mod alone;
pub mod audit;
pub mod boxes;
pub mod bridge;
pub mod campaign;
pub mod certificate;
pub mod check;
pub mod command;
pub mod conversation;
pub mod directory;
pub mod dns;
pub mod domain;
pub mod drill;
pub mod effect;
pub mod failover;
pub mod files;
pub mod gauge;
pub mod health;
pub mod incident;
pub mod keeper;
pub mod limits;
pub mod mail_key;
pub mod names;
pub mod nodes;
pub mod notice;
pub mod outbox;
pub mod people;
pub mod playbook;
pub mod proposal;
pub mod refusal;
pub mod reply;
pub mod returns;
pub mod rule;
pub mod site;
pub mod stored;
pub mod synthetic;
pub mod talk;
pub mod trust;
pub mod vault;
pub mod waking;
pub mod when;
pub mod words;

pub use command::Command;
use imbl::{OrdMap, OrdSet};
pub use proposal::{Actor, BoxStamp, Entry, Proposal, Source, Stamped};
pub use refusal::Refusal;
pub use reply::Reply;
use serde::{Deserialize, Serialize};

use alert::Alerts;
use audit::Audit;
use boxes::BoxMark;
use bridge::Bridges;
use campaign::Campaigns;
use certificate::Certificates;
use conversation::Conversation;
use directory::Directories;
use dns::Dns;
use dns::publish::Giver;
use drill::Drills;
use effect::Effects;
use failover::{Failover, change, change::Deed};
use files::Files;
use gauge::Gauges;
use health::Health;
use incident::Incidents;
use keeper::Keepers;
use mail_key::MailKeys;
use names::Names;
use nodes::{ClusterFacts, JoinToken, Node};
use notice::Notices;
use outbox::{Item, ItemId};
use people::People;
use playbook::Playbooks;
use returns::Returns;
use rule::Rules;
use site::{Blob, SiteVersion, Sites};
use synthetic::Synthetics;
use talk::Talks;
use trust::Held;
use vault::Vault;
use waking::Wakings;
use words::{
    BlobHash, ClientId, ConversationId, KeyedHash, NodeId, TicketCode, Timestamp, TokenId,
};

/// Everything the cluster has agreed on. Cheap to clone: the maps share their structure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Log index of the last entry applied.
    pub index: u64,
    /// The cluster's time: it never runs backwards, whatever a node's clock does.
    pub now: Timestamp,
    /// The cluster's own facts, once it is founded.
    pub cluster: Option<ClusterFacts>,
    /// The committed voters, as Raft has them.
    pub voters: OrdSet<NodeId>,
    /// The committed learners, as Raft has them.
    pub learners: OrdSet<NodeId>,
    /// Every node that was admitted and not forgotten.
    pub nodes: OrdMap<NodeId, Node>,
    /// Join tokens that can still be used.
    pub tokens: OrdMap<TokenId, JoinToken>,
    /// The website's versions.
    pub sites: Sites,
    /// The blobs that nodes keep.
    pub blobs: OrdMap<BlobHash, Blob>,
    /// Conversations with customers.
    pub conversations: OrdMap<ConversationId, Conversation>,
    /// Which conversations a ticket code leads to: nearly always one.
    pub tickets: OrdMap<TicketCode, OrdSet<ConversationId>>,
    /// What must leave the house.
    pub outbox: OrdMap<ItemId, Item>,
    /// When each of those is due next.
    pub outbox_due: OrdSet<(Timestamp, ItemId)>,
    /// Items that never found room.
    pub outbox_overflow: u64,
    /// Items that were given up.
    pub outbox_given_up: u64,
    /// What of each letterbox has been agreed on, by node and incarnation.
    pub boxes: OrdMap<(NodeId, u64), BoxMark>,
    /// First answers by client id, for repeats (P1).
    pub answers: OrdMap<ClientId, Reply>,
    /// The answers that expire, with when. Those of conversations are not among them.
    pub answers_expiring: OrdSet<(Timestamp, ClientId)>,
    /// The record of operator actions.
    pub audit: Audit,
    /// What nodes think of the targets they watch.
    pub health: Health,
    /// Services whose names can point at different targets.
    pub failover: Failover,
    /// Zones and the keys of their transfers.
    pub dns: Dns,
    /// Who may do what, and whoever is signed in.
    pub people: People,
    /// What the company says happens.
    pub incidents: Incidents,
    /// Who keeps names outside.
    pub keepers: Keepers,
    /// What is told through channels outside.
    pub notices: Notices,
    /// Who the customers are.
    pub directory: Directories,
    /// Mass mail.
    pub campaigns: Campaigns,
    /// What agents made of conversations, and who waits.
    pub talks: Talks,
    /// The world's side of our zones.
    pub names: Names,
    /// Certificates for the public that the cluster orders itself.
    pub certificates: Certificates,
    /// Who is woken, by what ways and in which order.
    pub wakings: Wakings,
    /// What machines tell.
    pub alerts: Alerts,
    /// What came back by mail.
    pub returns: Returns,
    /// What waits for a person's word after a recovery or a restore.
    pub held: Held,
    /// Keys that our mail is signed with.
    pub mail_keys: MailKeys,
    /// What nodes wrote as customers, to see that it arrives.
    pub synthetics: Synthetics,
    /// Rehearsals, apart from everything real.
    pub drills: Drills,
    /// What is to be done on the worst day, and what was played of it.
    pub playbooks: Playbooks,
    /// Files that messages carry.
    pub files: Files,
    /// Values that other machines tell for the wallboard.
    pub gauges: Gauges,
    /// What is agreed on about the key that no disk has.
    pub vault: Vault,
    /// Bridges to where agents already are.
    pub bridges: Bridges,
    /// Which places incidents affected, from when until when.
    pub effects: Effects,
    /// By what rules something is said without a person.
    pub rules: Rules,
}

impl State {
    /// Applies one committed entry.
    ///
    /// Total: no input makes it panic, because a panic here would stop every node at the same line of the log. A
    /// repeat of a client id gets the first answer and changes nothing but the letterbox mark. A refusal changes nothing
    /// but that and the record.
    pub fn apply(&mut self, entry: &Entry<'_>) -> Reply {
        let proposal = &entry.stamped.proposal;
        self.index = entry.index;
        self.now = self.now.max(entry.stamped.at);
        if let Some(stamp) = proposal.stamp {
            boxes::mark(self, proposal.origin, stamp);
        }
        if let Some(first) = self.answers.get(&proposal.id) {
            return first.clone();
        }
        let before = self.clone();
        let result = self.allowed(proposal).and_then(|()| self.change(entry));
        if result.is_ok() {
            talk::keep_in_line(&before, self, entry);
            bridge::change::follow(self, entry);
            drill::watch(self, entry.index);
        } else {
            // Whatever a command did before it was refused: the same state as if it had not been asked for.
            *self = before;
        }
        audit::record(self, entry, result.as_ref().err());
        match result {
            Ok(reply) => {
                self.remember(proposal, &reply);
                reply
            }
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    /// Takes over who votes and who only listens, from a committed membership entry.
    pub fn set_members(&mut self, index: u64, voters: OrdSet<NodeId>, learners: OrdSet<NodeId>) {
        self.index = index;
        self.voters = voters;
        self.learners = learners;
        site::go_live(self);
        dns::go_live(self, index);
        directory::go_live(self);
        audit::let_go(self);
        site::sweep(self);
    }

    /// Voters and learners.
    pub fn members(&self) -> OrdSet<NodeId> {
        self.voters.clone().union(self.learners.clone())
    }

    /// SHA-256 over the whole state, encoded. Equal on every node at the same index.
    pub fn digest(&self) -> KeyedHash {
        // The state is plain data, so encoding it cannot fail; a failure would show as a differing digest.
        KeyedHash(stored::digest(self).unwrap_or_default())
    }

    fn allowed(&self, proposal: &Proposal) -> Result<(), Refusal> {
        let founding = matches!(proposal.command, Command::Found { .. });
        if self.cluster.is_none() && !founding {
            return Err(Refusal::NotFounded);
        }
        let (needs, agreed) = (
            proposal.command.format().max(proposal.format),
            nodes::agreed_format(self),
        );
        if needs > agreed {
            return Err(Refusal::FormatNotReady { needs, agreed });
        }
        let by_customer = proposal.command.written().is_some();
        if proposal.actor == Actor::Customer && !by_customer {
            return Err(Refusal::NotAllowed {
                actor: proposal.actor.spoken(),
            });
        }
        Ok(())
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one exhaustive match: a line or a few for each command"
    )]
    fn change(&mut self, entry: &Entry<'_>) -> Result<Reply, Refusal> {
        let proposal = &entry.stamped.proposal;
        let index = entry.index;
        match &proposal.command {
            Command::Found {
                cluster,
                name,
                profile,
                authority,
                node,
            } => {
                let facts = ClusterFacts {
                    id: *cluster,
                    name: name.clone(),
                    generation: 1,
                    profile: *profile,
                    authority: authority.clone(),
                    founded: self.now,
                };
                nodes::found(self, facts, node.clone())
            }
            Command::CreateToken {
                token,
                secret_hash,
                role,
                uses,
                ttl_ms,
            } => {
                let record = JoinToken {
                    secret_hash: *secret_hash,
                    role: *role,
                    uses: (*uses).max(1),
                    expires: self.now,
                };
                nodes::create_token(self, *token, record, *ttl_ms)
            }
            Command::RevokeToken { token } => nodes::revoke_token(self, *token),
            Command::AdmitNode {
                token,
                secret_hash,
                node,
            } => nodes::admit(self, NodeId(index), *token, *secret_hash, node.clone()),
            Command::ReportNode {
                node,
                facts,
                incarnation,
            } => nodes::report(self, *node, facts.clone(), *incarnation),
            Command::ForgetNode { node } => nodes::forget(self, *node),
            Command::SetProfile { profile } => {
                let facts = self.cluster.as_mut().ok_or(Refusal::NotFounded)?;
                facts.profile = *profile;
                Ok(Reply::Done)
            }
            Command::PublishSite {
                bundle,
                size,
                files,
                note,
            } => site::publish(
                self,
                SiteVersion(index),
                proposal.actor.spoken(),
                (*bundle, *size, *files),
                note,
            ),
            Command::RollbackSite { version } => site::roll_back(self, *version),
            Command::BlobHeld {
                hash,
                node,
                incarnation,
            } => {
                let reply = site::held(self, *hash, *node, *incarnation)?;
                dns::go_live(self, index);
                directory::go_live(self);
                audit::let_go(self);
                Ok(reply)
            }
            Command::BlobDropped { hash, node } => site::dropped(self, *hash, *node),
            Command::OpenConversation { .. } | Command::AddMessage { .. } => {
                let written = proposal.command.written().ok_or(Refusal::Internal)?;
                conversation::take(self, entry, &written)
            }
            Command::CloseConversation { conversation } => conversation::close(self, *conversation),
            Command::ReleaseConversation { conversation } => {
                conversation::release(self, index, *conversation)
            }
            Command::LeaseItem { item, node, ttl_ms } => {
                outbox::lease(self, index, *item, *node, *ttl_ms)
            }
            Command::SettleItem {
                item,
                epoch,
                outcome,
            } => outbox::settle(self, *item, *epoch, outcome),
            Command::BoxOpened { node, incarnation } => boxes::opened(self, *node, *incarnation),
            Command::SetRole { node, role } => nodes::set_role(self, *node, *role),
            // Raft changes its members itself; that somebody asked for it is what the record needs.
            Command::ChangeMembers { .. } => Ok(Reply::Done),
            Command::Vote {
                node,
                incarnation,
                round,
                ballots,
            } => {
                health::allowed(&proposal.actor, *node)?;
                let concerned = health::vote(self, *node, (*incarnation, *round), ballots)?;
                for service in &concerned {
                    change::heard(self, index, service);
                }
                Ok(Reply::Done)
            }
            Command::Judge { .. }
            | Command::ApplyService { .. }
            | Command::RemoveService { .. }
            | Command::PinService { .. }
            | Command::UnpinService { .. }
            | Command::UndoSwitch { .. }
            | Command::FreezeSwitching { .. }
            | Command::ThawSwitching
            | Command::ReleaseSwitching => self.change_services(entry),
            Command::PublishZones { .. }
            | Command::RollbackZone { .. }
            | Command::SetZone { .. }
            | Command::RemoveZone { .. }
            | Command::SetTsigKey { .. }
            | Command::RemoveTsigKey { .. } => self.change_zones(entry),
            Command::ChangeSigning { zone, change } => {
                dns::signing::change(self, index, zone, change)
            }
            Command::ArchiveAudit(segment) => audit::archive(self, &proposal.actor, segment),
            Command::People(change) => {
                let reply = people::change(self, entry, change)?;
                waking::review(self);
                Ok(reply)
            }
            Command::Incident(it) => {
                let by = proposal.actor.spoken();
                let reply = incident::change::change(self, index, by, it)?;
                waking::review(self);
                Ok(reply)
            }
            Command::Alone(report) => alone::report(entry, report),
            Command::Keeper(it) => keeper::change::change(self, index, &proposal.actor, it),
            Command::Notice(it) => notice::change::change(self, index, proposal.actor.spoken(), it),
            Command::Directory(it) => directory::change(self, index, &proposal.actor, it),
            Command::Recovered(it) => nodes::recovered(self, &proposal.actor, it),
            Command::Campaign(it) => campaign::change::change(self, index, &proposal.actor, it),
            Command::Talk(it) => talk::change::change(self, entry, it),
            Command::Names(it) => names::change::change(self, index, &proposal.actor, it),
            Command::Certificate(it) => {
                certificate::change::change(self, index, &proposal.actor, it)
            }
            Command::Waking(it) => waking::change::change(self, index, &proposal.actor, it),
            Command::Alert(it) => alert::change::change(self, index, &proposal.actor, it),
            Command::Return(it) => returns::change(self, entry, it),
            Command::Trust(it) => trust::change(self, index, &proposal.actor, it),
            Command::MailKey(it) => mail_key::change(self, index, &proposal.actor, it),
            Command::Synthetic(it) => synthetic::change(self, entry, it),
            Command::Drill(it) => drill::change::change(self, index, &proposal.actor, it),
            Command::Playbook(it) => playbook::change::change(self, index, &proposal.actor, it),
            Command::File(it) => files::change(self, entry, it),
            Command::Gauge(it) => gauge::change(self, &proposal.actor, it),
            Command::Vault(it) => vault::change(self, index, &proposal.actor, it),
            Command::Bridge(it) => bridge::change::change(self, entry, it),
            Command::Effect(it) => effect::change(self, proposal.actor.spoken(), it),
            Command::Rule(it) => rule::change::change(self, index, &proposal.actor, it),
        }
    }

    fn change_services(&mut self, entry: &Entry<'_>) -> Result<Reply, Refusal> {
        let proposal = &entry.stamped.proposal;
        let deed = Deed {
            index: entry.index,
            by: proposal.actor.spoken(),
        };
        match &proposal.command {
            Command::Judge { service } => change::judge(self, entry.index, service),
            Command::ApplyService {
                service,
                targets,
                policy,
                against,
            } => change::apply_service(self, &deed, service, (targets, policy), *against),
            Command::RemoveService { service, against } => {
                change::remove_service(self, service, *against)
            }
            Command::PinService {
                service,
                target,
                reason,
                ttl_ms,
                against,
            } => change::pin(self, &deed, service, (target, reason, *ttl_ms), *against),
            Command::UnpinService { service, against } => {
                change::unpin(self, &deed, service, *against)
            }
            Command::UndoSwitch { service, against } => {
                change::undo(self, &deed, service, *against)
            }
            Command::FreezeSwitching { reason, ttl_ms } => {
                change::freeze(self, deed.by, reason, *ttl_ms)
            }
            Command::ThawSwitching => change::thaw(self),
            Command::ReleaseSwitching => change::release(self),
            _ => Err(Refusal::Internal),
        }
    }

    fn change_zones(&mut self, entry: &Entry<'_>) -> Result<Reply, Refusal> {
        let proposal = &entry.stamped.proposal;
        let by = proposal.actor.spoken();
        match &proposal.command {
            Command::PublishZones {
                blob,
                size,
                zones,
                note,
            } => {
                let giver = match proposal.actor {
                    Actor::Node(_) => Giver::Node,
                    _ => Giver::Person,
                };
                dns::publish(
                    self,
                    entry.index,
                    (by, giver),
                    (*blob, *size),
                    (zones, note),
                )
            }
            Command::RollbackZone {
                zone,
                edition,
                against,
            } => dns::roll_back(self, entry.index, by, (zone, *edition, *against)),
            Command::SetZone {
                zone,
                settings,
                against,
            } => dns::set_zone(self, entry.index, zone, settings, *against),
            Command::RemoveZone { zone, against } => dns::remove(self, zone, *against),
            Command::SetTsigKey {
                key,
                algorithm,
                secret,
            } => dns::set_key(self, key, *algorithm, secret),
            Command::RemoveTsigKey { key } => dns::remove_key(self, key),
            _ => Err(Refusal::Internal),
        }
    }

    /// Remembers the first answer. A conversation's ids stay as long as it does; others for a week.
    fn remember(&mut self, proposal: &Proposal, reply: &Reply) {
        let lasting = proposal.command.written().is_some();
        // These are many, and a repeat of a vote is refused by its round.
        let is_frequent = match &proposal.command {
            Command::Vote { .. } | Command::Synthetic(_) => true,
            Command::People(change) => change.is_frequent(),
            Command::Keeper(change) => change.is_frequent(),
            Command::Gauge(change) => change.is_frequent(),
            Command::Bridge(change) => change.is_frequent(),
            Command::Campaign(change) => change.is_frequent(),
            Command::Talk(change) => change.is_frequent(),
            Command::Names(change) => change.is_frequent(),
            _ => false,
        };
        if is_frequent {
            return;
        }
        self.answers.insert(proposal.id, reply.clone());
        if !lasting {
            self.answers_expiring
                .insert((self.now.plus_ms(limits::ANSWER_KEPT_MS), proposal.id));
        }
        while let Some((at, id)) = self.answers_expiring.get_min().copied() {
            if at > self.now && self.answers_expiring.len() <= limits::ANSWERS_MAX {
                break;
            }
            self.answers_expiring.remove(&(at, id));
            self.answers.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
