//! P6 at the gate: how much leaves when agreeing fails, a node dies, or somebody stops it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::recorder::{Does, Plan, Recorder};
use super::*;
use crate::blobs::Blobs;
use crate::cluster::tests::stand_in::{Majority, Weather, proposal};
use crate::config::{Mail, MailOut, MailSpec, Problems};
use crate::mail::campaign::sender::{Parts, Sender as MassSender};
use crate::mail::out::way::Way;
use crate::model::campaign::{
    Campaign, CampaignChange, Draft, Ending, Fate, Frozen, Scope, Stage, binds,
};
use crate::model::words::{Label, NodeId, Note};
use crate::model::{Actor, Command, Reply};
use crate::tasks::Stop;
use crate::telemetry::Metrics;

const ID: CampaignId = CampaignId(9);
/// Connections of one node.
const LINES: usize = 3;
const LONGEST: Duration = Duration::from_secs(30);

/// A campaign that was approved, and what its nodes share.
struct Fleet {
    majority: Arc<Majority>,
    keyring: Arc<Keyring>,
    blobs: Blobs,
    folder: tempfile::TempDir,
    out: MailOut,
}

fn address(number: u32) -> String {
    format!("c{number}@example.com")
}

impl Fleet {
    fn new(recipients: u32, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec: MailSpec = toml::from_str(&format!(
            "from = \"notice@help.example.net\"\nsupport = \"support@example.com\"\n\
             [[relays]]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nconnections = {LINES}\n"
        ))
        .unwrap();
        let fleet = Self {
            majority: Majority::founded(3),
            keyring: Arc::new(Keyring::generate()),
            blobs: Blobs::open(&folder.path().join("blobs")).unwrap(),
            out: Mail::check(spec, &mut Problems::new()).out.unwrap(),
            folder,
        };
        fleet.approved(recipients);
        fleet
    }

    fn asks(&self, actor: Actor, change: CampaignChange) {
        let committed = self
            .majority
            .apply(proposal(actor, Command::Campaign(change)));
        assert_eq!(committed.reply, Reply::Done);
    }

    /// What is sent to so many, with every blob on disk.
    fn prepared(&self, recipients: u32) -> (Draft, Frozen) {
        let people: Vec<Addressee> = (0..recipients)
            .map(|number| Addressee {
                address: address(number),
                ..who(None)
            })
            .collect();
        let put = |bytes: &[u8]| (self.blobs.put(bytes).unwrap(), bytes.len() as u64);
        let manifest = put(&sheet::pack(&self.keyring, MANIFEST, &people).unwrap());
        let list = put(b"list");
        let words = texts(
            "Power {{ customer }}",
            "Until {{ until }}",
            Some("<p>{{ until }}</p>"),
        );
        let texts = put(&serde_json::to_vec(&words).unwrap());
        let draft = Draft {
            name: Note::new("power").unwrap(),
            kind: Kind::Essential,
            texts,
            list,
            follows: None,
            deliver_ms: 3_600_000,
            waves: false,
        };
        let frozen = Frozen {
            manifest,
            recipients,
            routes: crate::mail::campaign::routes(&self.out),
            langs: vec![],
            domains: vec![],
            repeated: 0,
            suppressed: 0,
        };
        (draft, frozen)
    }

    fn approved(&self, recipients: u32) {
        let (draft, frozen) = self.prepared(recipients);
        let (texts, manifest) = (draft.texts, frozen.manifest);
        let bound = binds(&draft, &frozen);
        let (campaign, against) = (ID, 0);
        let draft = Box::new(draft);
        let operator = |name: &str| Actor::Operator {
            name: Label::new(name).unwrap(),
        };
        self.asks(
            operator("anna"),
            CampaignChange::Draft {
                campaign,
                draft,
                against,
            },
        );
        let against = self.campaign().generation;
        let frozen = Box::new(frozen);
        self.asks(
            operator("anna"),
            CampaignChange::Ask {
                campaign,
                frozen,
                against,
            },
        );
        for node in [1, 2].map(NodeId) {
            for hash in [texts.0, manifest.0] {
                let held = Command::BlobHeld {
                    hash,
                    node,
                    incarnation: 1,
                };
                self.majority.apply(proposal(Actor::Node(node), held));
            }
        }
        let (binds, count, alone) = (bound, recipients, None);
        self.asks(
            operator("bert"),
            CampaignChange::Approve {
                campaign,
                binds,
                count,
                alone,
            },
        );
    }

    fn campaign(&self) -> Campaign {
        self.majority.state().campaigns.all[&ID].clone()
    }

    fn journals(&self, node: u64) -> PathBuf {
        self.folder.path().join(format!("sending-{node}"))
    }

    /// Starts a node's sender on this runtime.
    fn node(&self, id: u64) -> Stop {
        let (cluster, health) = self.majority.node(id);
        let parts = Parts {
            cluster,
            blobs: self.blobs.clone(),
            keyring: self.keyring.clone(),
            from: from(),
            way: Way::new(&self.out).unwrap(),
            folder: self.journals(id),
        };
        let sender = Arc::new(MassSender::new(parts, &self.out, &Metrics::new()));
        let stop = Stop::new();
        let ended = stop.clone();
        tokio::spawn(async move {
            sender.run(ended).await.unwrap();
            drop(health);
        });
        stop
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Campaign) -> bool) {
        let waiting = async {
            while !wanted(&self.campaign()) {
                // waits because another party has to get there; the deadline is below
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = tokio::time::timeout(LONGEST, waiting).await.is_ok();
        let campaign = self.campaign();
        let open = campaign.segments.iter().filter(|(_, it)| it.waiting > 0);
        let open: Vec<_> = open
            .map(|(number, it)| (number, it.waiting, it.lease))
            .collect();
        assert!(
            came,
            "never came: {what}; {:?}, {:?}, {open:?}",
            campaign.stage, campaign.counts
        );
    }

    fn stops(&self, change: CampaignChange) {
        let viewer = Actor::Operator {
            name: Label::new("viewer").unwrap(),
        };
        self.asks(viewer, change);
    }
}

async fn until_dots(recorder: &Recorder, wanted: usize) {
    let waiting = async {
        while recorder.dots() < wanted {
            // waits because the recorder is another party that tells nobody
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONGEST, waiting).await.unwrap();
}

/// Lets time pass in which no more may be sent.
async fn meanwhile() {
    // waits because the test is about what is not sent meanwhile
    tokio::time::sleep(Duration::from_millis(1_500)).await;
}

fn take_all() -> Plan {
    Arc::new(|_, _| Does::Take)
}

fn once_each(recorder: &Recorder, recipients: u32) {
    let mails = recorder.mails();
    for number in 0..recipients {
        let copies = mails.get(&address(number)).map_or(0, Vec::len);
        assert_eq!(copies, 1, "{} has {copies} copies", address(number));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_two_nodes_side_by_side_send_everybody_one_mail() {
    let recorder = Recorder::begin(take_all(), Duration::from_millis(2)).await;
    let fleet = Fleet::new(300, recorder.port);
    let _nodes = [fleet.node(1), fleet.node(2)];
    fleet
        .until("the end", |it| it.stage == Stage::Ended(Ending::Done))
        .await;
    assert_eq!(fleet.campaign().count(Fate::Delivered), 300);
    once_each(&recorder, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_node_whose_outcomes_are_not_agreed_on_sends_one_more_mail_a_connection_at_most() {
    let recorder = Recorder::begin(take_all(), Duration::from_millis(2)).await;
    let fleet = Fleet::new(400, recorder.port);
    let _node = fleet.node(1);
    until_dots(&recorder, 60).await;
    // The node believes that it reaches a majority: only the gate can hold it.
    fleet.majority.weather(Weather::Alone);
    let before = recorder.dots();
    meanwhile().await;
    let more = recorder.dots() - before;
    assert!(
        more <= LINES,
        "{more} mails left without a majority, over {LINES} connections"
    );
    fleet.majority.weather(Weather::Fair);
    fleet
        .until("the end", |it| it.stage == Stage::Ended(Ending::Done))
        .await;
    once_each(&recorder, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_pause_and_cancel_let_one_more_mail_a_connection_through() {
    let recorder = Recorder::begin(take_all(), Duration::from_millis(2)).await;
    let fleet = Fleet::new(500, recorder.port);
    let _node = fleet.node(1);
    until_dots(&recorder, 50).await;
    let (campaign, why) = (ID, Note::new("look").unwrap());
    fleet.stops(CampaignChange::Pause {
        campaign,
        why: why.clone(),
    });
    let before = recorder.dots();
    meanwhile().await;
    let more = recorder.dots() - before;
    assert!(
        more <= LINES,
        "{more} mails left after the pause, over {LINES} connections"
    );
    fleet.stops(CampaignChange::Resume { campaign });
    until_dots(&recorder, before + 50).await;
    fleet.stops(CampaignChange::Cancel { campaign, why });
    let before = recorder.dots();
    meanwhile().await;
    let more = recorder.dots() - before;
    assert!(
        more <= LINES,
        "{more} mails left after the end, over {LINES} connections"
    );
    // Whoever got it is known to have got it, although it was cancelled.
    let dots = u32::try_from(recorder.dots()).unwrap();
    fleet
        .until("the last facts", |it| it.count(Fate::Delivered) == dots)
        .await;
    let campaign = fleet.campaign();
    assert_eq!(
        campaign.count(Fate::Delivered) + campaign.count(Fate::Cancelled),
        500
    );
    assert!(recorder.mails().values().all(|it| it.len() == 1));
}

#[test]
fn p6_a_killed_node_repeats_one_mail_a_connection_at_most_with_the_same_bytes() {
    let outside = tokio::runtime::Runtime::new().unwrap();
    let recorder = outside.block_on(Recorder::begin(take_all(), Duration::from_millis(20)));
    let fleet = outside.block_on(async { Fleet::new(300, recorder.port) });
    // A runtime that is dropped in the middle is a node that is killed: nothing of it runs on.
    let inside = tokio::runtime::Runtime::new().unwrap();
    let stop = inside.block_on(async { fleet.node(1) });
    outside.block_on(until_dots(&recorder, 60));
    // What is being polled ends at its next wait; only then nothing of the node is written in the later time any more.
    inside.shutdown_timeout(LONGEST);
    drop(stop);
    outside.block_on(async {
        // The dead node's leases run out in the cluster's time.
        fleet
            .majority
            .ahead_ms
            .store(60_000, std::sync::atomic::Ordering::SeqCst);
        let _other = fleet.node(2);
        fleet
            .until("the end", |it| it.stage == Stage::Ended(Ending::Done))
            .await;
    });
    let mails = recorder.mails();
    let copies: usize = mails.values().map(Vec::len).sum();
    assert_eq!(mails.len(), 300, "somebody is missing");
    assert!(
        copies - 300 <= LINES,
        "{} repeated, over {LINES} connections",
        copies - 300
    );
    for (to, copies) in &mails {
        assert!(
            copies.iter().all(|it| it == &copies[0]),
            "{to} got two different mails"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_later_closed_and_unanswered_mails_each_come_to_their_end_over_the_same_connections()
 {
    let plan: Plan = Arc::new(|to, tries| match (to, tries) {
        ("c1@example.com" | "c2@example.com" | "c3@example.com" | "c4@example.com", _) => {
            Does::Refuse
        }
        ("c5@example.com", 0) => Does::Later,
        ("c6@example.com", 0) => Does::Close,
        ("c7@example.com", 0) => Does::TakeAndLeave,
        ("c8@example.com", _) => Does::TakeAndLeave,
        _ => Does::Take,
    });
    let recorder = Recorder::begin(plan, Duration::ZERO).await;
    let fleet = Fleet::new(60, recorder.port);
    let _node = fleet.node(1);
    fleet
        .until("the end", |it| it.stage == Stage::Ended(Ending::Done))
        .await;
    let campaign = fleet.campaign();
    let mails = recorder.mails();
    let fate = |number: u32| {
        let (segment, place) = campaign.place_of(number);
        campaign.fate(segment, place).unwrap()
    };
    for number in 1..=4 {
        assert_eq!(fate(number), (Fate::Refused, 0));
        assert!(
            !mails.contains_key(&address(number)),
            "a refused mail was sent"
        );
    }
    for number in [0, 5, 6, 7, 9, 59] {
        assert_eq!(fate(number).0, Fate::Delivered, "{number}");
    }
    assert_eq!(
        mails[&address(7)].len(),
        2,
        "sent again, as nobody could know"
    );
    assert_eq!(mails[&address(7)][0], mails[&address(7)][1]);
    assert_eq!((fate(8), mails[&address(8)].len()), ((Fate::Unknown, 3), 3));
    // Each of five connections was lost to the relay; a 550 costs none.
    let connections = recorder.connections();
    assert!(
        connections <= 3 + 5 + 1,
        "{connections} connections for five that were closed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suppressed_meanwhile_gets_nothing() {
    let recorder = Recorder::begin(take_all(), Duration::from_millis(1)).await;
    let fleet = Fleet::new(100, recorder.port);
    let whom = name_of(&fleet.keyring, &EmailAddress::new(&address(90)).unwrap());
    let (addresses, scope) = (vec![whom], Scope::Everything);
    fleet.stops(CampaignChange::Suppress { addresses, scope });
    let _node = fleet.node(1);
    fleet
        .until("the end", |it| it.stage == Stage::Ended(Ending::Done))
        .await;
    assert_eq!(fleet.campaign().count(Fate::Suppressed), 1);
    assert!(!recorder.mails().contains_key(&address(90)));
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_node_with_other_routes_than_were_approved_sends_nothing() {
    let recorder = Recorder::begin(take_all(), Duration::ZERO).await;
    let mut fleet = Fleet::new(50, recorder.port);
    fleet.out.from = EmailAddress::new("other@help.example.net").unwrap();
    let _node = fleet.node(1);
    meanwhile().await;
    assert_eq!(recorder.dots(), 0);
    assert_eq!(fleet.campaign().count(Fate::Waiting), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_journal_of_an_earlier_start_is_told_first() {
    let recorder = Recorder::begin(take_all(), Duration::ZERO).await;
    let fleet = Fleet::new(60, recorder.port);
    std::fs::create_dir_all(fleet.journals(1)).unwrap();
    let path = fleet.journals(1).join(format!("{ID}.journal"));
    let (journal, _) = Journal::open(&path).unwrap();
    let fact = Fact {
        segment: 0,
        place: 4,
        what: What::Delivered,
    };
    journal
        .write(Record::Begin {
            segment: 0,
            place: 4,
        })
        .await
        .unwrap();
    journal.write(Record::End(fact)).await.unwrap();
    journal
        .write(Record::Begin {
            segment: 0,
            place: 5,
        })
        .await
        .unwrap();
    drop(journal);
    let _node = fleet.node(1);
    fleet
        .until("the end", |it| it.stage == Stage::Ended(Ending::Done))
        .await;
    assert!(
        !recorder.mails().contains_key(&address(4)),
        "sent although the journal knew better"
    );
    assert_eq!(
        fleet.campaign().fate(0, 5),
        Some((Fate::Delivered, 1)),
        "one dot was not answered"
    );
}
