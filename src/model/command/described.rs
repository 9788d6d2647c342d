//! What a command is called on the record, in logs and metrics, what it is about, and whose order it keeps.

use super::Command;
use crate::model::words::ConversationId;

impl Command {
    /// The kind, for logs, metrics and the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Found { .. } => "found",
            Self::CreateToken { .. } => "create-token",
            Self::RevokeToken { .. } => "revoke-token",
            Self::AdmitNode { .. } => "admit-node",
            Self::ReportNode { .. } => "report-node",
            Self::ForgetNode { .. } => "forget-node",
            Self::SetProfile { .. } => "set-profile",
            Self::PublishSite { .. } => "publish-site",
            Self::RollbackSite { .. } => "rollback-site",
            Self::BlobHeld { .. } => "blob-held",
            Self::BlobDropped { .. } => "blob-dropped",
            Self::OpenConversation { .. } => "open-conversation",
            Self::AddMessage { .. } => "add-message",
            Self::CloseConversation { .. } => "close-conversation",
            Self::ReleaseConversation { .. } => "release-conversation",
            Self::LeaseItem { .. } => "lease-item",
            Self::SettleItem { .. } => "settle-item",
            Self::BoxOpened { .. } => "box-opened",
            Self::SetRole { .. } => "set-role",
            Self::ChangeMembers { .. } => "change-members",
            Self::Vote { .. } => "vote",
            Self::Judge { .. } => "judge",
            Self::ApplyService { .. } => "apply-service",
            Self::RemoveService { .. } => "remove-service",
            Self::PinService { .. } => "pin-service",
            Self::UnpinService { .. } => "unpin-service",
            Self::UndoSwitch { .. } => "undo-switch",
            Self::FreezeSwitching { .. } => "freeze-switching",
            Self::ThawSwitching => "thaw-switching",
            Self::ReleaseSwitching => "release-switching",
            Self::PublishZones { .. } => "publish-zones",
            Self::RollbackZone { .. } => "rollback-zone",
            Self::SetZone { .. } => "set-zone",
            Self::RemoveZone { .. } => "remove-zone",
            Self::SetTsigKey { .. } => "set-tsig-key",
            Self::RemoveTsigKey { .. } => "remove-tsig-key",
            Self::ChangeSigning { change, .. } => change.kind(),
            Self::Incident(change) => change.kind(),
            Self::Keeper(change) => change.kind(),
            Self::Notice(change) => change.kind(),
            Self::Campaign(change) => change.kind(),
            Self::Talk(change) => change.kind(),
            Self::Names(change) => change.kind(),
            Self::Certificate(change) => change.kind(),
            Self::Waking(change) => change.kind(),
            Self::Alert(change) => change.kind(),
            Self::Return(change) => change.kind(),
            Self::Trust(change) => change.kind(),
            Self::MailKey(change) => change.kind(),
            Self::Synthetic(change) => change.kind(),
            Self::Drill(change) => change.kind(),
            Self::Playbook(change) => change.kind(),
            Self::File(change) => change.kind(),
            Self::Gauge(change) => change.kind(),
            Self::Vault(change) => change.kind(),
            Self::Bridge(change) => change.kind(),
            Self::Effect(change) => change.kind(),
            Self::Rule(change) => change.kind(),
            Self::ArchiveAudit(_) => "archive-audit",
            Self::People(change) => change.kind(),
            Self::Alone(_) => "alone",
            Self::Directory(change) => change.kind(),
            Self::Recovered(_) => "recovered",
        }
    }

    /// The conversation that the command belongs to, whose order the letterbox keeps.
    pub fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::OpenConversation { conversation, .. }
            | Self::AddMessage { conversation, .. }
            | Self::CloseConversation { conversation }
            | Self::ReleaseConversation { conversation } => Some(*conversation),
            Self::Talk(change) => change.conversation(),
            Self::Return(change) => change.conversation(),
            Self::Synthetic(change) => Some(change.conversation()),
            Self::File(change) => Some(change.conversation()),
            Self::Bridge(change) => change.conversation(),
            Self::Found { .. }
            | Self::CreateToken { .. }
            | Self::RevokeToken { .. }
            | Self::AdmitNode { .. }
            | Self::ReportNode { .. }
            | Self::ForgetNode { .. }
            | Self::SetProfile { .. }
            | Self::PublishSite { .. }
            | Self::RollbackSite { .. }
            | Self::BlobHeld { .. }
            | Self::BlobDropped { .. }
            | Self::LeaseItem { .. }
            | Self::SettleItem { .. }
            | Self::BoxOpened { .. }
            | Self::SetRole { .. }
            | Self::ChangeMembers { .. }
            | Self::Vote { .. }
            | Self::Judge { .. }
            | Self::ApplyService { .. }
            | Self::RemoveService { .. }
            | Self::PinService { .. }
            | Self::UnpinService { .. }
            | Self::UndoSwitch { .. }
            | Self::FreezeSwitching { .. }
            | Self::ThawSwitching
            | Self::ReleaseSwitching
            | Self::PublishZones { .. }
            | Self::RollbackZone { .. }
            | Self::SetZone { .. }
            | Self::RemoveZone { .. }
            | Self::SetTsigKey { .. }
            | Self::RemoveTsigKey { .. }
            | Self::ChangeSigning { .. }
            | Self::ArchiveAudit(_)
            | Self::People(_)
            | Self::Incident(_)
            | Self::Alone(_)
            | Self::Keeper(_)
            | Self::Notice(_)
            | Self::Directory(_)
            | Self::Recovered(_)
            | Self::Campaign(_)
            | Self::Names(_)
            | Self::Certificate(_)
            | Self::Waking(_)
            | Self::Alert(_)
            | Self::Trust(_)
            | Self::MailKey(_)
            | Self::Drill(_)
            | Self::Playbook(_)
            | Self::Gauge(_)
            | Self::Vault(_)
            | Self::Effect(_)
            | Self::Rule(_) => None,
        }
    }

    /// What the command is about, in a word or two for the record. Never a customer's words.
    pub fn about(&self) -> String {
        match self {
            Self::Found { name, .. } => name.to_string(),
            Self::CreateToken { token, .. }
            | Self::RevokeToken { token }
            | Self::AdmitNode { token, .. } => token.to_string(),
            Self::ReportNode { node, .. }
            | Self::ForgetNode { node }
            | Self::BoxOpened { node, .. }
            | Self::SetRole { node, .. }
            | Self::Vote { node, .. } => node.to_string(),
            Self::SetProfile { profile } => profile.name().to_owned(),
            Self::PublishSite { bundle: hash, .. }
            | Self::BlobHeld { hash, .. }
            | Self::BlobDropped { hash, .. } => hash.to_string(),
            Self::RollbackSite { version } => version.to_string(),
            Self::OpenConversation { ticket, .. } => ticket.to_string(),
            Self::AddMessage { conversation, .. }
            | Self::CloseConversation { conversation }
            | Self::ReleaseConversation { conversation } => conversation.to_string(),
            Self::LeaseItem { item, .. } | Self::SettleItem { item, .. } => item.to_string(),
            Self::ChangeMembers { change } => change.as_str().to_owned(),
            Self::Judge { service }
            | Self::ApplyService { service, .. }
            | Self::RemoveService { service, .. }
            | Self::UnpinService { service, .. }
            | Self::UndoSwitch { service, .. } => service.to_string(),
            Self::PinService {
                service,
                target,
                reason,
                ..
            } => format!("{service} to {target}: {}", reason.as_str()),
            Self::FreezeSwitching { reason, .. } => reason.as_str().to_owned(),
            Self::ThawSwitching | Self::ReleaseSwitching => "all services".to_owned(),
            Self::PublishZones { zones, .. } => match zones.as_slice() {
                [one] => one.zone.to_string(),
                several => format!("{} zones", several.len()),
            },
            Self::RollbackZone { zone, .. }
            | Self::SetZone { zone, .. }
            | Self::RemoveZone { zone, .. }
            | Self::ChangeSigning { zone, .. } => zone.to_string(),
            Self::SetTsigKey { key, .. } | Self::RemoveTsigKey { key } => key.to_string(),
            Self::Incident(change) => change.about(),
            Self::Keeper(change) => change.about(),
            Self::Notice(change) => change.about(),
            Self::Campaign(change) => change.about(),
            Self::Talk(change) => change.about(),
            Self::Names(change) => change.about(),
            Self::Certificate(change) => change.about(),
            Self::Waking(change) => change.about(),
            Self::Alert(change) => change.about(),
            Self::Return(change) => change.about(),
            Self::Trust(change) => change.about(),
            Self::MailKey(change) => change.about(),
            Self::Synthetic(change) => change.about(),
            Self::Drill(change) => change.about(),
            Self::Playbook(change) => change.about(),
            Self::File(change) => change.about(),
            Self::Gauge(change) => change.about(),
            Self::Vault(change) => change.about(),
            Self::Bridge(change) => change.about(),
            Self::Effect(change) => change.about(),
            Self::Rule(change) => change.about(),
            Self::ArchiveAudit(segment) => segment.blob.to_string(),
            Self::People(change) => change.about(),
            Self::Alone(report) => report.about(),
            Self::Directory(change) => change.about(),
            Self::Recovered(it) => it.about(),
        }
    }
}
