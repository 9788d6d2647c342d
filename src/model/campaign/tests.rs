//! Campaigns in the model: whatever the order of commands and crashes, everybody has one outcome, and nothing is let go
//! of by a slip.

mod order;

use super::*;
use crate::model::{
    Actor, Command, Entry, Proposal, Refusal, Reply, Source, Stamped,
    command::FORMAT,
    conversation::Door,
    domain::DomainName,
    mail_key::{Algorithm, KeyName, MailKeyChange, PublicHalf},
    nodes::{CaRecord, NodeFacts, Profile},
    words::{ClientId, ClusterId, Label, Sealed},
};

const ID: CampaignId = CampaignId(7);
const TEXTS: BlobHash = BlobHash([1; 32]);
const LIST: BlobHash = BlobHash([2; 32]);
const MANIFEST: BlobHash = BlobHash([3; 32]);

/// A cluster of three in the model, and its clock.
struct Town {
    state: State,
    at: u64,
}

fn operator(name: &str) -> Actor {
    Actor::Operator {
        name: Label::new(name).unwrap(),
    }
}

impl Town {
    fn new() -> Self {
        let mut town = Self {
            state: State::default(),
            at: 1_800_000_000_000,
        };
        let label = |text: &str| Label::new(text).unwrap();
        let found = Command::Found {
            cluster: ClusterId([1; 16]),
            name: label("test"),
            profile: Profile::Near,
            authority: CaRecord {
                certificate: String::new(),
                key: Sealed {
                    key: 1,
                    bytes: vec![],
                },
            },
            node: NodeFacts {
                name: label("a"),
                provider: label("p"),
                region: label("r"),
                advertise: Note::new("127.0.0.1:1").unwrap(),
                sites: vec![],
                fingerprint: KeyedHash([0; 32]),
                format: FORMAT,
                version: Note::new("1").unwrap(),
            },
        };
        assert_eq!(town.does(Actor::System, found), Reply::Admitted(NodeId(1)));
        let voters = [1, 2, 3].map(NodeId).into_iter().collect();
        town.state
            .set_members(town.state.index, voters, Default::default());
        town
    }

    fn does(&mut self, actor: Actor, command: Command) -> Reply {
        let index = self.state.index + 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&index.to_be_bytes());
        let stamped = Stamped {
            at: Timestamp(self.at),
            proposal: Proposal {
                format: FORMAT,
                id: ClientId(id),
                actor,
                source: Source {
                    door: Door::Console,
                    address: None,
                },
                origin: NodeId(1),
                stamp: None,
                command,
            },
        };
        let stamped = &stamped;
        self.state.apply(&Entry { index, stamped })
    }

    fn asks(&mut self, actor: &Actor, change: CampaignChange) -> Reply {
        self.does(actor.clone(), Command::Campaign(change))
    }

    fn campaign(&self) -> &Campaign {
        &self.state.campaigns.all[&ID]
    }

    fn held_by(&mut self, hash: BlobHash, nodes: &[u64]) {
        for node in nodes.iter().copied().map(NodeId) {
            let command = Command::BlobHeld {
                hash,
                node,
                incarnation: 1,
            };
            assert_eq!(self.does(Actor::Node(node), command), Reply::Done);
        }
    }

    fn drafted(&mut self, against: u64) -> Reply {
        let draft = Draft {
            name: Note::new("power").unwrap(),
            kind: Kind::Essential,
            texts: (TEXTS, 10),
            list: (LIST, 10),
            follows: None,
            deliver_ms: 3_600_000,
            waves: false,
        };
        let draft = Box::new(draft);
        self.asks(
            &operator("anna"),
            CampaignChange::Draft {
                campaign: ID,
                draft,
                against,
            },
        )
    }

    fn asked(&mut self, recipients: u32) -> KeyedHash {
        let frozen = Frozen {
            manifest: (MANIFEST, 10),
            recipients,
            routes: KeyedHash([4; 32]),
            langs: vec![],
            domains: vec![],
            repeated: 0,
            suppressed: 0,
        };
        let against = self.campaign().generation;
        let change = CampaignChange::Ask {
            campaign: ID,
            frozen: Box::new(frozen.clone()),
            against,
        };
        assert_eq!(self.asks(&operator("anna"), change), Reply::Done);
        binds(&self.campaign().draft, &frozen)
    }

    /// Drafted, asked for and copied, but not agreed to.
    fn waiting(recipients: u32) -> (Self, KeyedHash) {
        let mut town = Self::new();
        assert_eq!(town.drafted(0), Reply::Done);
        let binds = town.asked(recipients);
        town.held_by(TEXTS, &[1, 2]);
        town.held_by(MANIFEST, &[1, 2]);
        (town, binds)
    }

    fn approves(&mut self, who: &str, binds: KeyedHash, count: u32, alone: bool) -> Reply {
        let alone = alone.then(|| Note::new("nobody else is awake").unwrap());
        let change = CampaignChange::Approve {
            campaign: ID,
            binds,
            count,
            alone,
        };
        self.asks(&operator(who), change)
    }

    fn leases(&mut self, node: u64, segment: u32) -> Reply {
        let node = NodeId(node);
        let change = CampaignChange::Lease {
            campaign: ID,
            node,
            segments: vec![segment],
        };
        self.asks(&Actor::Node(node), change)
    }

    fn reports(&mut self, node: u64, facts: Vec<Fact>) -> Reply {
        let node = NodeId(node);
        let change = CampaignChange::Report {
            campaign: ID,
            node,
            facts,
        };
        self.asks(&Actor::Node(node), change)
    }

    /// Asks for a key of our mail to rest, as it is now.
    fn rests(&mut self, key: &KeyName) -> Reply {
        let against = self.state.mail_keys.all[key].generation;
        let key = key.clone();
        let change = MailKeyChange::Rest { key, against };
        self.does(operator("anna"), Command::MailKey(change))
    }

    /// What must be true of every campaign, whatever happened.
    fn is_sound(&self, recipients: u32) {
        let campaign = self.campaign();
        let mut counted = [0_u32; Fate::COUNT];
        for segment in campaign.segments.values() {
            let waiting = segment
                .marks
                .iter()
                .filter(|it| fate::fate_of(**it) == Fate::Waiting);
            assert_eq!(waiting.count(), usize::from(segment.waiting));
            for mark in &segment.marks {
                counted[fate::fate_of(*mark) as usize] += 1;
                assert!(fate::dots_of(*mark) <= limits::FINAL_DOTS_MAX);
            }
        }
        assert_eq!(
            counted, campaign.counts,
            "the counts are what the marks say"
        );
        assert_eq!(counted.iter().sum::<u32>(), recipients, "nobody is lost");
        if let Stage::Ended(_) = campaign.stage {
            assert_eq!(
                campaign.count(Fate::Waiting),
                0,
                "everybody has an outcome at the end"
            );
        }
    }
}

fn fact(segment: u32, place: u16, what: What) -> Fact {
    Fact {
        segment,
        place,
        what,
    }
}

fn refused(reply: &Reply, word: &str) {
    let Reply::Refused(refusal) = reply else {
        panic!("wanted a refusal with {word:?}, got {reply:?}");
    };
    let said = refusal.to_string();
    assert!(said.contains(word), "{word:?} is not in {said:?}");
}

fn runs(reply: &Reply) -> bool {
    matches!(reply, Reply::Sending { running: true, .. })
}

fn holds(reply: &Reply) -> bool {
    matches!(reply, Reply::Sending { held, .. } if !held.is_empty())
}

#[test]
fn p7_an_approval_takes_nothing_but_the_exact_count_and_a_second_person() {
    let (mut town, binds) = Town::waiting(2_143);
    refused(&town.approves("bert", binds, 2_144, false), "count is 2144");
    refused(
        &town.approves("anna", binds, 2_143, false),
        "anna, who asked for it",
    );
    assert!(!holds(&town.leases(1, 0)), "sent without an approval");
    let machine = Actor::Token {
        name: Label::new("script").unwrap(),
    };
    let change = CampaignChange::Approve {
        campaign: ID,
        binds,
        count: 2_143,
        alone: None,
    };
    refused(&town.asks(&machine, change), "may not do this");
    assert_eq!(town.approves("bert", binds, 2_143, false), Reply::Done);
    assert!(holds(&town.leases(1, 0)));
    // Few enough for one alone.
    let (mut town, binds) = Town::waiting(limits::CAMPAIGN_ALONE_UP_TO);
    assert_eq!(town.approves("anna", binds, 100, false), Reply::Done);
}

#[test]
fn p7_a_countdown_runs_in_the_clusters_time_everybody_hears_and_anybody_stops_it() {
    let (mut town, binds) = Town::waiting(2_143);
    assert_eq!(town.approves("anna", binds, 2_143, true), Reply::Done);
    assert!(!town.state.outbox.is_empty(), "staff are mailed");
    assert_eq!(
        town.state.people.open_alarms().count(),
        1,
        "and the console says it"
    );
    town.at += limits::COUNTDOWN_MS - 1;
    assert!(
        !holds(&town.leases(1, 0)),
        "sent before the countdown's end"
    );
    let mut stopped = Town {
        state: town.state.clone(),
        at: town.at,
    };
    town.at += 1;
    assert!(holds(&town.leases(1, 0)));
    let why = Note::new("wrong list").unwrap();
    let cancel = CampaignChange::Cancel { campaign: ID, why };
    assert_eq!(stopped.asks(&operator("viewer"), cancel), Reply::Done);
    stopped.at += limits::COUNTDOWN_MS;
    assert!(!holds(&stopped.leases(1, 0)));
    assert_eq!(stopped.campaign().count(Fate::Cancelled), 2_143);
    stopped.is_sound(2_143);
}

#[test]
fn p7_whatever_changes_takes_the_approval_back() {
    // Drafted anew after the request.
    let (mut town, binds) = Town::waiting(500);
    let generation = town.campaign().generation;
    assert_eq!(town.drafted(generation), Reply::Done);
    refused(
        &town.approves("bert", binds, 500, false),
        "campaign is draft",
    );
    // Frozen anew with other recipients: what was looked at is not what is there.
    let (mut town, looked_at) = Town::waiting(500);
    let now = town.asked(501);
    town.held_by(MANIFEST, &[1, 2]);
    assert_ne!(looked_at, now);
    refused(&town.approves("bert", looked_at, 501, false), "binds is");
    // A sent campaign cannot be drafted anew, and one whose binding does not hold is not sent.
    let (mut town, binds) = Town::waiting(500);
    assert_eq!(town.approves("bert", binds, 500, false), Reply::Done);
    let generation = town.campaign().generation;
    refused(&town.drafted(generation), "campaign is sending");
    let mut changed = town.campaign().clone();
    changed.frozen.as_mut().unwrap().routes = KeyedHash([9; 32]);
    let now = town.state.now;
    assert!(may_send(&town.state, town.campaign(), now));
    assert!(
        !may_send(&town.state, &changed, now),
        "other routes than were approved"
    );
    // An old request is looked at again.
    let (mut town, binds) = Town::waiting(500);
    town.at += limits::CAMPAIGN_ASKED_MS + 1;
    refused(
        &town.approves("bert", binds, 500, false),
        "asked too long ago",
    );
}

#[test]
fn p7_nothing_is_approved_before_a_majority_has_copied_the_recipients() {
    let mut town = Town::new();
    town.drafted(0);
    let binds = town.asked(500);
    town.held_by(TEXTS, &[1, 2]);
    town.held_by(MANIFEST, &[1]);
    refused(
        &town.approves("bert", binds, 500, false),
        "manifest is not copied yet",
    );
    town.held_by(MANIFEST, &[3]);
    assert_eq!(town.approves("bert", binds, 500, false), Reply::Done);
    // The recipients stay for as long as the campaign does.
    assert!(town.state.blobs[&MANIFEST].released.is_none());
}

#[test]
fn p7_a_restore_holds_a_campaign_until_somebody_typed_how_many_may_get_it_twice() {
    let (mut town, binds) = Town::waiting(500);
    town.approves("bert", binds, 500, false);
    town.leases(1, 0);
    town.reports(1, vec![fact(0, 0, What::Delivered)]);
    town.state.cluster.as_mut().unwrap().generation += 1;
    assert!(!runs(&town.leases(1, 0)), "sent after a restore");
    let release = |count| CampaignChange::Release {
        campaign: ID,
        count,
    };
    refused(&town.asks(&operator("bert"), release(500)), "count is 500");
    assert_eq!(town.asks(&operator("bert"), release(499)), Reply::Done);
    assert!(runs(&town.leases(1, 0)));
    town.is_sound(500);
}

#[test]
fn p7_what_is_not_sent_in_time_is_given_up() {
    let (mut town, binds) = Town::waiting(500);
    town.approves("bert", binds, 500, false);
    town.leases(1, 0);
    town.reports(
        1,
        vec![fact(0, 0, What::Unanswered), fact(0, 1, What::Delivered)],
    );
    town.at += 3_600_001;
    assert!(!runs(&town.leases(1, 0)));
    let campaign = town.campaign();
    assert_eq!(campaign.stage, Stage::Ended(Ending::Expired));
    assert_eq!(campaign.count(Fate::Expired), 498);
    assert_eq!(
        campaign.count(Fate::Unknown),
        1,
        "whoever was sent a dot may have it"
    );
    // A fact that comes late is still one.
    town.reports(
        2,
        vec![fact(0, 0, What::Delivered), fact(0, 2, What::Delivered)],
    );
    assert_eq!(town.campaign().count(Fate::Delivered), 3);
    town.is_sound(500);
}

#[test]
fn p6_a_segment_is_one_nodes_until_its_lease_runs_out_and_a_fact_is_a_fact_all_the_same() {
    let (mut town, binds) = Town::waiting(500);
    town.approves("bert", binds, 500, false);
    let Reply::Sending { held, .. } = town.leases(1, 3) else {
        panic!("no lease");
    };
    assert!(!holds(&town.leases(2, 3)), "two nodes at one segment");
    town.at += limits::SEGMENT_LEASE_MS / 2;
    assert_eq!(
        town.leases(1, 3),
        Reply::Sending {
            running: true,
            held: held.clone()
        }
    );
    town.at += limits::SEGMENT_LEASE_MS + 1;
    let Reply::Sending { held: taken, .. } = town.leases(2, 3) else {
        panic!("no lease");
    };
    assert!(taken[0].1 > held[0].1, "another lease has another epoch");
    let late = town.reports(1, vec![fact(3, 0, What::Delivered)]);
    assert!(!holds(&late), "the old holder is told that it is none");
    assert_eq!(town.campaign().fate(3, 0), Some((Fate::Delivered, 0)));
    // A node can only speak for itself.
    let foreign = CampaignChange::Report {
        campaign: ID,
        node: NodeId(2),
        facts: vec![],
    };
    refused(
        &town.asks(&Actor::Node(NodeId(1)), foreign),
        "may not do this",
    );
}

#[test]
fn p6_a_mailbox_that_never_answers_gets_it_three_times_at_most() {
    let (mut town, binds) = Town::waiting(50);
    town.approves("bert", binds, 50, false);
    town.leases(1, 0);
    for _ in 0..limits::FINAL_DOTS_MAX {
        assert_eq!(town.campaign().fate(0, 5).unwrap().0, Fate::Waiting);
        town.reports(1, vec![fact(0, 5, What::Unanswered)]);
    }
    assert_eq!(
        town.campaign().fate(0, 5),
        Some((Fate::Unknown, limits::FINAL_DOTS_MAX))
    );
    town.is_sound(50);
}

#[test]
fn many_refusals_pause_a_campaign_by_itself_and_waves_wait_for_a_look() {
    let (mut town, binds) = Town::waiting(5_000);
    town.state.campaigns.all.get_mut(&ID).unwrap().draft.waves = true;
    let bound = super::binds(
        &town.campaign().draft,
        town.campaign().frozen.as_ref().unwrap(),
    );
    assert_ne!(bound, binds, "waves are part of what is approved");
    assert_eq!(town.approves("bert", bound, 5_000, false), Reply::Done);
    // 156 a segment: the first wave is one, the second ends with the seventh.
    assert!(holds(&town.leases(1, 0)));
    assert!(
        !holds(&town.leases(1, 1)),
        "the second wave came before the first was over"
    );
    let all = |segment| {
        (0..156)
            .map(|place| fact(segment, place, What::Delivered))
            .collect()
    };
    town.reports(1, all(0));
    assert!(
        !holds(&town.leases(1, 1)),
        "nobody could look at the first wave"
    );
    town.at += limits::WAVE_PAUSE_MS;
    assert!(holds(&town.leases(1, 1)));
    assert!(!holds(&town.leases(1, 7)));
    let status = Status::of("550 5.1.1");
    let bad = (0..30)
        .map(|place| fact(1, place, What::Refused(status)))
        .collect();
    assert!(!runs(&town.reports(1, bad)));
    assert!(matches!(&town.campaign().stage, Stage::Paused { by, .. } if by == "the cluster"));
    town.asks(&operator("bert"), CampaignChange::Resume { campaign: ID });
    assert!(runs(&town.leases(1, 1)), "somebody looked and resumed it");
    assert_eq!(town.campaign().segments[&1].said[&3].spoken(), "550 5.1.1");
    town.is_sound(5_000);
}

#[test]
fn whom_a_correction_and_a_second_sending_are_for() {
    for fate in Fate::ALL {
        let (got, missed) = (Which::Got.means(fate), Which::Missed.means(fate));
        assert!(!(got && missed), "{fate:?}");
    }
    assert!(Which::Got.means(Fate::Unknown) && !Which::Missed.means(Fate::Suppressed));
}

#[test]
fn who_unsubscribed_still_gets_what_is_essential_and_a_complaint_keeps_everything_away() {
    let mut town = Town::new();
    let (one, other) = (KeyedHash([1; 32]), KeyedHash([2; 32]));
    let suppress = |addresses, scope| CampaignChange::Suppress { addresses, scope };
    town.asks(&operator("anna"), suppress(vec![one], Scope::Updates));
    town.asks(&operator("anna"), suppress(vec![other], Scope::Everything));
    town.asks(&operator("anna"), suppress(vec![other], Scope::Updates));
    let campaigns = &town.state.campaigns;
    assert!(
        campaigns.keeps_away(&one, Kind::Updates) && !campaigns.keeps_away(&one, Kind::Essential)
    );
    assert!(
        campaigns.keeps_away(&other, Kind::Essential),
        "unsubscribing weakened a suppression"
    );
}

#[test]
fn a_refusal_of_the_model_is_one_of_its_kinds() {
    let mut town = Town::new();
    let reply = town.asks(&operator("anna"), CampaignChange::Resume { campaign: ID });
    assert_eq!(reply, Reply::Refused(Refusal::unknown("campaign")));
}

/// A repeat has to be the same bytes, its signature among them.
#[test]
fn p6_no_key_changes_while_a_mass_mail_has_not_ended() {
    let (mut town, binds) = Town::waiting(1);
    let domain = DomainName::parse("example.net", &DomainName::root()).unwrap();
    let key: KeyName = (domain, Label::new("one").unwrap());
    let add = MailKeyChange::Add {
        key: key.clone(),
        algorithm: Algorithm::Rsa,
        public: PublicHalf::new("MIIB").unwrap(),
        private: Sealed {
            key: 1,
            bytes: vec![1],
        },
    };
    assert_eq!(
        town.does(operator("anna"), Command::MailKey(add)),
        Reply::Done
    );
    assert_eq!(town.rests(&key), Reply::Done);
    assert_eq!(town.approves("bert", binds, 1, false), Reply::Done);
    let refused = |reply| matches!(reply, Reply::Refused(Refusal::InUse { .. }));
    assert!(refused(town.rests(&key)));
    let (campaign, why) = (ID, Note::new("enough").unwrap());
    let pause = CampaignChange::Pause { campaign, why };
    assert_eq!(town.asks(&operator("bert"), pause), Reply::Done);
    assert!(refused(town.rests(&key)));
    let why = Note::new("enough").unwrap();
    let cancel = CampaignChange::Cancel { campaign, why };
    assert_eq!(town.asks(&operator("bert"), cancel), Reply::Done);
    assert_eq!(town.rests(&key), Reply::Done);
}
