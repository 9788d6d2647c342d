//! Every change the cluster can agree on. What the proposer is told is in `reply`.
//!
//! New variants go to the end (the position is part of the stored bytes) and state the format that introduced them.

mod described;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    alert::AlertChange,
    alone::AloneReport,
    audit::Segment,
    bridge::BridgeChange,
    campaign::CampaignChange,
    certificate::CertificateChange,
    directory::DirectoryChange,
    dns::{TsigAlgorithm, ZoneSettings, publish::ZonePart, signing::SigningChange},
    domain::DomainName,
    drill::DrillChange,
    effect::EffectChange,
    failover::{Policy, Target},
    files::FileChange,
    gauge::GaugeChange,
    health::Ballot,
    incident::IncidentChange,
    keeper::KeeperChange,
    mail_key::MailKeyChange,
    names::NameChange,
    nodes::{CaRecord, NodeFacts, Profile, Recovered, Role},
    notice::NoticeChange,
    outbox::{ItemId, Outcome},
    people::PeopleChange,
    playbook::PlaybookChange,
    returns::ReturnChange,
    rule::RuleChange,
    site::SiteVersion,
    synthetic::SyntheticChange,
    talk::TalkChange,
    trust::TrustChange,
    vault::VaultChange,
    waking::WakingChange,
    words::{
        BlobHash, ClusterId, ConversationId, KeyedHash, Label, Lang, NodeId, Note, Sealed,
        TicketCode, Timestamp, TokenId,
    },
};

/// The newest format of entries that this program writes and reads.
pub const FORMAT: u16 = 1;

/// Every change the cluster can agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Gives the cluster its name, its certificate authority and its first node. Once.
    Found {
        /// Chosen at random.
        cluster: ClusterId,
        /// For people.
        name: Label,
        /// Timing profile of every node.
        profile: Profile,
        /// The authority that signs node certificates.
        authority: CaRecord,
        /// The first node, [`NodeId::FOUNDER`].
        node: NodeFacts,
    },
    /// Allows somebody who knows a secret to bring a new node.
    CreateToken {
        /// The public half.
        token: TokenId,
        /// SHA-256 of the secret half.
        secret_hash: KeyedHash,
        /// What the new node may become.
        role: Role,
        /// How many nodes may join with it.
        uses: u16,
        /// Until when, in milliseconds from the entry's time.
        ttl_ms: u64,
    },
    /// Withdraws a join token.
    RevokeToken {
        /// The token.
        token: TokenId,
    },
    /// Admits a node that showed a token's secret; the entry's index becomes its id.
    AdmitNode {
        /// The token that it showed.
        token: TokenId,
        /// SHA-256 of the secret it showed.
        secret_hash: KeyedHash,
        /// What it says of itself.
        node: NodeFacts,
    },
    /// A node says what it is, at each start and when something changed.
    ReportNode {
        /// The node.
        node: NodeId,
        /// What it says of itself.
        facts: NodeFacts,
        /// Which start of it.
        incarnation: u64,
    },
    /// Forgets a node that is no longer a member. Its id is never used again.
    ForgetNode {
        /// The node.
        node: NodeId,
    },
    /// Changes the timing profile.
    SetProfile {
        /// The new one.
        profile: Profile,
    },
    /// Makes a site bundle the wanted one; it goes live when a majority of voters holds its blob.
    PublishSite {
        /// The packed bundle.
        bundle: BlobHash,
        /// Bytes of the packed bundle.
        size: u64,
        /// Files in it.
        files: u32,
        /// Why, in the publisher's words.
        note: Note,
    },
    /// Makes an earlier version the wanted one.
    RollbackSite {
        /// That version.
        version: SiteVersion,
    },
    /// A node has downloaded, verified and fsynced a blob.
    BlobHeld {
        /// The blob.
        hash: BlobHash,
        /// The node.
        node: NodeId,
        /// Which start of it.
        incarnation: u64,
    },
    /// A node no longer has a blob: it let it go after its release, or found it damaged.
    BlobDropped {
        /// The blob.
        hash: BlobHash,
        /// The node.
        node: NodeId,
    },
    /// A customer writes for the first time.
    OpenConversation {
        /// Made at the client, or from the form's nonce and content.
        conversation: ConversationId,
        /// Keyed hash of the conversation id, as the customer reads it out.
        ticket: TicketCode,
        /// Keyed hash of the contact, to open a ticket by code and contact.
        contact_hash: KeyedHash,
        /// The contact, sealed.
        contact: Sealed,
        /// The contact is an e-mail address, so that mail can go to it.
        by_mail: bool,
        /// Domain, server or customer number, sealed.
        reference: Option<Sealed>,
        /// The customer's language.
        lang: Lang,
        /// The text, sealed.
        body: Sealed,
        /// When the node took it, by that node's clock.
        taken: Timestamp,
        /// It looks like abuse: kept, shown apart, and nobody is mailed.
        quarantined: bool,
    },
    /// A customer or an agent adds to a conversation.
    AddMessage {
        /// The conversation.
        conversation: ConversationId,
        /// The text, sealed.
        body: Sealed,
        /// When the node took it, by that node's clock.
        taken: Timestamp,
    },
    /// An agent closes a conversation; a customer's next message opens it again.
    CloseConversation {
        /// The conversation.
        conversation: ConversationId,
    },
    /// An agent decides that a quarantined conversation is a real one.
    ReleaseConversation {
        /// The conversation.
        conversation: ConversationId,
    },
    /// A node takes an outbox item to work on.
    LeaseItem {
        /// The item.
        item: ItemId,
        /// The node.
        node: NodeId,
        /// For how long, in milliseconds from the entry's time.
        ttl_ms: u64,
    },
    /// A node says what became of an item it had leased.
    SettleItem {
        /// The item.
        item: ItemId,
        /// The lease it worked under: the log index that granted it.
        epoch: u64,
        /// What became of it.
        outcome: Outcome,
    },
    /// A node has started with a new letterbox incarnation.
    BoxOpened {
        /// The node.
        node: NodeId,
        /// The incarnation.
        incarnation: u64,
    },
    /// Says whether a node may vote. Raft's membership follows; without it a demoted node would be promoted again.
    SetRole {
        /// The node.
        node: NodeId,
        /// What it may become.
        role: Role,
    },
    /// Somebody asks for a change of members or of leadership. It is put on the record before it is tried.
    ChangeMembers {
        /// The change, in words.
        change: Note,
    },
    /// A node says what it thinks of the targets it watches: what changed at once, everything every 20 s.
    Vote {
        /// The node, which must be the one that asks.
        node: NodeId,
        /// Which start of it.
        incarnation: u64,
        /// Counts up within that start; what comes late is refused.
        round: u64,
        /// Its opinions.
        ballots: Vec<Ballot>,
    },
    /// Asks what the verdict on a service is, and does what it says; refused when it says nothing.
    Judge {
        /// The service.
        service: Label,
    },
    /// Makes a service, or makes it anew.
    ApplyService {
        /// The service.
        service: Label,
        /// What its names can answer.
        targets: OrdMap<Label, Target>,
        /// When and how it switches.
        policy: Policy,
        /// Its generation that this was made against; 0 when there was no such service.
        against: u64,
    },
    /// Takes a service away; its names go on answering what they answered.
    RemoveService {
        /// The service.
        service: Label,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Sets a person's choice of what a service answers.
    PinService {
        /// The service.
        service: Label,
        /// The target.
        target: Label,
        /// Why.
        reason: Note,
        /// For how long, in milliseconds from the entry's time.
        ttl_ms: u64,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Ends a person's choice.
    UnpinService {
        /// The service.
        service: Label,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Takes the last change of what a service answers back.
    UndoSwitch {
        /// The service.
        service: Label,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Lets nothing switch by verdict for a while.
    FreezeSwitching {
        /// Why.
        reason: Note,
        /// For how long, in milliseconds from the entry's time.
        ttl_ms: u64,
    },
    /// Ends that.
    ThawSwitching,
    /// Lets services switch by verdict again after a restore or a recovery.
    ReleaseSwitching,
    /// Makes contents of zones the wanted ones; each goes live when a majority of voters holds the blob.
    PublishZones {
        /// The blob that all of them are in.
        blob: BlobHash,
        /// Its bytes.
        size: u64,
        /// The zones.
        zones: Vec<ZonePart>,
        /// Why, in the publisher's words.
        note: Note,
    },
    /// Makes an earlier content of a zone the wanted one.
    RollbackZone {
        /// The zone.
        zone: DomainName,
        /// The generation of that content.
        edition: u64,
        /// The zone's generation that this was made against.
        against: u64,
    },
    /// Changes where a zone comes from and who gets it.
    SetZone {
        /// The zone.
        zone: DomainName,
        /// The new settings.
        settings: ZoneSettings,
        /// The zone's generation that this was made against; 0 when there was no such zone.
        against: u64,
    },
    /// Takes a zone away for good.
    RemoveZone {
        /// The zone.
        zone: DomainName,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Makes a key for transfers, or another secret for it.
    SetTsigKey {
        /// Its name.
        key: DomainName,
        /// How it signs.
        algorithm: TsigAlgorithm,
        /// The secret.
        secret: Sealed,
    },
    /// Takes such a key away.
    RemoveTsigKey {
        /// Its name.
        key: DomainName,
    },
    /// Changes how a zone is signed, or signs it anew.
    ChangeSigning {
        /// The zone.
        zone: DomainName,
        /// What is asked.
        change: SigningChange,
    },
    /// Lets the oldest lines of the record leave the state; they go when a majority of voters holds their blob.
    ArchiveAudit(Segment),
    /// Changes people, sessions, tokens or envelopes.
    People(PeopleChange),
    /// Says what happens, or changes what was said.
    Incident(IncidentChange),
    /// A node says what it answered by itself while it had no majority.
    Alone(AloneReport),
    /// Changes who keeps names outside, or says what is there.
    Keeper(KeeperChange),
    /// Changes channels, or what goes through them.
    Notice(NoticeChange),
    /// Changes who the customers are, or whom an incident touches.
    Directory(DirectoryChange),
    /// The majority is lost, and a person made one node a cluster of its own. Only a recovery writes it.
    Recovered(Recovered),
    /// Drafts, approves, stops or sends mass mail.
    Campaign(CampaignChange),
    /// Changes what agents made of conversations.
    Talk(TalkChange),
    /// Says what the world's side of our zones answers.
    Names(NameChange),
    /// Orders certificates for the public, or says what came of it.
    Certificate(CertificateChange),
    /// Wakes people, or says who is woken how.
    Waking(WakingChange),
    /// Machines tell of something, or people decide about it.
    Alert(AlertChange),
    /// Says what came back by mail.
    Return(ReturnChange),
    /// Releases what is held, or begins a cluster from a backup.
    Trust(TrustChange),
    /// Changes the keys that our mail is signed with.
    MailKey(MailKeyChange),
    /// Takes what a node wrote as a customer.
    Synthetic(SyntheticChange),
    /// Plans, runs and ends a drill.
    Drill(Box<DrillChange>),
    /// Brings playbooks, and plays them.
    Playbook(Box<PlaybookChange>),
    /// Says something with files, or erases one.
    File(FileChange),
    /// Says how values for the wallboard are.
    Gauge(GaugeChange),
    /// Changes the vault, or seals a secret in it.
    Vault(Box<VaultChange>),
    /// Changes bridges to where agents are, or brings an answer from there.
    Bridge(BridgeChange),
    /// Says which places an incident affected, from when until when.
    Effect(EffectChange),
    /// Changes rules, or does what a rule is due to do.
    Rule(Box<RuleChange>),
}

impl Command {
    /// The format that introduced this kind of command.
    pub fn format(&self) -> u16 {
        1
    }
}
