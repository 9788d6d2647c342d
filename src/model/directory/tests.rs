//! Versions of the directory, as everybody agrees on them.

use imbl::OrdSet;

use super::*;
use crate::model::{
    Command, Entry, Proposal, Stamped,
    command::FORMAT,
    conversation::Door,
    proposal::Source,
    words::{ClientId, NodeId},
};

/// Three voters that have agreed on nothing yet.
struct Story(State);

impl Story {
    fn begin() -> Self {
        let mut state = State::default();
        let founding = crate::cluster::tests::stand_in::founding();
        let mut story = Self(State::default());
        story.propose(Actor::System, founding);
        std::mem::swap(&mut state, &mut story.0);
        let voters: OrdSet<NodeId> = (1..=3).map(NodeId).collect();
        state.set_members(state.index + 1, voters, OrdSet::new());
        Self(state)
    }

    fn propose(&mut self, actor: Actor, command: Command) -> Reply {
        let index = self.0.index + 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&index.to_be_bytes());
        let proposal = Proposal {
            format: FORMAT,
            id: ClientId(id),
            actor,
            source: Source {
                door: Door::Api,
                address: None,
            },
            origin: NodeId(1),
            stamp: None,
            command,
        };
        let stamped = Stamped {
            at: Timestamp(index * 1_000),
            proposal,
        };
        let reply = self.0.apply(&Entry {
            index,
            stamped: &stamped,
        });
        let mut wrong = self.0.check();
        // Two of the voters of this story were never admitted as nodes.
        wrong.retain(|it| !it.starts_with("nodes:"));
        assert_eq!(wrong, Vec::<String>::new());
        reply
    }

    fn asks(&mut self, change: DirectoryChange) -> Reply {
        self.propose(Actor::Local { uid: 0 }, Command::Directory(change))
    }

    fn holds(&mut self, blob: u8, nodes: &[u64]) {
        for node in nodes {
            let command = Command::BlobHeld {
                hash: BlobHash([blob; 32]),
                node: NodeId(*node),
                incarnation: 1,
            };
            self.propose(Actor::Node(NodeId(*node)), command);
        }
    }

    fn publishes(&mut self, blob: u8, customers: u64, lost: u64, confirmed: Option<u64>) -> Reply {
        let against = self.0.directory.wanted.map_or(0, |it| it.0);
        self.asks(DirectoryChange::Publish(publication(
            blob, customers, lost, confirmed, against,
        )))
    }
}

fn layer(blob: u8) -> Layer {
    Layer {
        blob: BlobHash([blob; 32]),
        size: 10,
        customers: 1,
    }
}

fn publication(
    blob: u8,
    customers: u64,
    lost: u64,
    confirmed: Option<u64>,
    against: u64,
) -> Publication {
    Publication {
        base: layer(blob),
        deltas: Vector::new(),
        counts: Counts {
            customers,
            contacts: customers,
            services: customers,
        },
        lost,
        confirmed,
        note: Note::default(),
        against,
    }
}

fn version(reply: &Reply) -> DirectoryVersion {
    match reply {
        Reply::Directory(version) => *version,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_version_is_live_when_a_majority_holds_all_of_its_files() {
    let mut story = Story::begin();
    let one = version(&story.publishes(1, 10, 0, None));
    story.holds(1, &[1]);
    assert_eq!(story.0.directory.live, None);
    story.holds(1, &[2]);
    assert_eq!(story.0.directory.live, Some(one));
    let mut more = publication(1, 11, 0, None, one.0);
    more.deltas.push_back(layer(2));
    let two = version(&story.asks(DirectoryChange::Publish(more)));
    assert_eq!(
        story.0.directory.live,
        Some(one),
        "the change is on no disk yet"
    );
    story.holds(2, &[2, 3]);
    assert_eq!(story.0.directory.live, Some(two));
    story.asks(DirectoryChange::Rollback { version: one });
    assert_eq!(story.0.directory.live, Some(one));
    let unknown = DirectoryChange::Rollback {
        version: DirectoryVersion(999),
    };
    assert!(matches!(
        story.asks(unknown),
        Reply::Refused(Refusal::Unknown { .. })
    ));
}

#[test]
fn a_version_made_against_another_one_is_refused() {
    let mut story = Story::begin();
    let one = version(&story.publishes(1, 10, 0, None));
    let stale = story.asks(DirectoryChange::Publish(publication(2, 10, 0, None, 0)));
    assert!(
        matches!(stale, Reply::Refused(Refusal::Stale { .. })),
        "{stale:?}"
    );
    let mut many = publication(2, 10, 0, None, one.0);
    many.deltas = (0..=limits::DIRECTORY_DELTAS_MAX)
        .map(|_| layer(3))
        .collect();
    let many = story.asks(DirectoryChange::Publish(many));
    assert!(
        matches!(many, Reply::Refused(Refusal::TooMany { .. })),
        "{many:?}"
    );
}

#[test]
fn p7_a_directory_that_lost_more_than_a_tenth_is_not_published_unless_somebody_says_how_many() {
    let mut story = Story::begin();
    story.publishes(1, 1_000, 0, None);
    let wanted = story.0.directory.wanted;
    for confirmed in [None, Some(100), Some(1)] {
        let refused = story.publishes(2, 899, 101, confirmed);
        assert!(
            matches!(refused, Reply::Refused(Refusal::Unsound { .. })),
            "{refused:?}"
        );
        assert_eq!(story.0.directory.wanted, wanted);
    }
    version(&story.publishes(2, 900, 100, None));
    version(&story.publishes(3, 500, 400, Some(400)));
    version(&story.publishes(4, 496, 5, None));
}

#[test]
fn p11_versions_with_an_erased_customer_go_when_one_without_is_live() {
    let mut story = Story::begin();
    story.publishes(1, 10, 0, None);
    story.holds(1, &[1, 2]);
    let two = version(&story.publishes(2, 10, 0, None));
    story.holds(2, &[1, 2]);
    assert_eq!(rewrite_due(&story.0), None);
    let customer = KeyedHash([7; 32]);
    story.asks(DirectoryChange::Erase { customer });
    assert_eq!(rewrite_due(&story.0), Some(Rewrite::Erasure));
    assert_eq!(story.0.directory.hidden_in(two), [customer]);
    let early = story.asks(DirectoryChange::Readmit { customer });
    assert!(
        matches!(early, Reply::Refused(Refusal::NotDue)),
        "{early:?}"
    );
    let three = version(&story.publishes(3, 9, 1, Some(1)));
    assert_eq!(rewrite_due(&story.0), None);
    assert_eq!(
        story.0.directory.versions.len(),
        3,
        "until the new one can be read"
    );
    story.holds(3, &[2, 3]);
    let left: Vec<DirectoryVersion> = story.0.directory.versions.keys().copied().collect();
    assert_eq!(left, [three]);
    let released = |blob: u8| {
        story
            .0
            .blobs
            .get(&BlobHash([blob; 32]))
            .unwrap()
            .released
            .is_some()
    };
    assert!(released(1) && released(2) && !released(3));
    assert!(story.0.directory.hidden_in(three).is_empty());
    assert!(
        story.0.directory.erased.contains_key(&customer),
        "imports leave it out"
    );
    assert_eq!(
        story.asks(DirectoryChange::Readmit { customer }),
        Reply::Done
    );
    assert!(story.0.directory.erased.is_empty());
}

#[test]
fn old_versions_go_and_their_files_with_them() {
    let mut story = Story::begin();
    for blob in 1..=15_u8 {
        story.publishes(blob, 10, 0, None);
        story.holds(blob, &[1, 2]);
    }
    assert_eq!(
        story.0.directory.versions.len(),
        limits::DIRECTORY_VERSIONS_KEPT
    );
    assert!(story.0.blobs[&BlobHash([1; 32])].released.is_some());
    let mut many = publication(15, 10, 0, None, story.0.directory.wanted.unwrap().0);
    many.deltas = (0..limits::DIRECTORY_DELTAS_DUE)
        .map(|_| layer(20))
        .collect();
    version(&story.asks(DirectoryChange::Publish(many)));
    assert_eq!(rewrite_due(&story.0), Some(Rewrite::Changes));
}

#[test]
fn whom_an_incident_touches_is_said_of_one_that_there_is() {
    let mut story = Story::begin();
    let audience = Some(AudienceText::new("datacentre=prague").unwrap());
    let incident = IncidentId(7);
    let touches = DirectoryChange::Affects { incident, audience };
    let unknown = story.asks(touches.clone());
    assert!(
        matches!(unknown, Reply::Refused(Refusal::Unknown { .. })),
        "{unknown:?}"
    );
    let opening = crate::model::incident::change::Opening {
        titles: [(
            Default::default(),
            crate::model::incident::Title::new("No power").unwrap(),
        )]
        .into_iter()
        .collect(),
        severity: crate::model::incident::Severity::Major,
        stage: crate::model::incident::Stage::Investigating,
        affected: OrdMap::new(),
        window: None,
        texts: [(
            Default::default(),
            crate::model::incident::Said::new("No power.").unwrap(),
        )]
        .into_iter()
        .collect(),
        next_ms: None,
        tell: Vec::new(),
    };
    let opened = story.propose(
        Actor::Local { uid: 0 },
        Command::Incident(crate::model::incident::IncidentChange::Open { incident, opening }),
    );
    assert_eq!(opened, Reply::Done);
    assert_eq!(story.asks(touches), Reply::Done);
    assert_eq!(
        story.0.directory.affects[&incident].audience.as_str(),
        "datacentre=prague"
    );
    let not_known = DirectoryChange::Affects {
        incident,
        audience: None,
    };
    assert_eq!(story.asks(not_known), Reply::Done);
    assert!(story.0.directory.affects.is_empty());
}
