//! Old lines of the record leave the state, and the chain leads through what left.

use imbl::OrdSet;

use super::{Story, id};
use crate::model::{
    Actor, Command, Refusal, Reply,
    audit::{Archive, Audit, Segment, chained},
    limits,
    words::{BlobHash, KeyedHash, NodeId, Note},
};

impl Story {
    /// Operators act until the record has so many lines.
    fn has_acted(&mut self, lines: usize) {
        while self.state.audit.lines.len() < lines {
            let change = Note::cut(&format!("change {}", self.state.audit.count));
            self.quickly(Actor::Local { uid: 0 }, Command::ChangeMembers { change });
        }
        assert_eq!(self.state.check(), Vec::<String>::new());
    }

    /// Proposes without a check of the whole state.
    fn quickly(&mut self, actor: Actor, command: Command) -> Reply {
        let mut proposal = self.proposal(actor, command);
        let mut bytes = [9; 16];
        bytes[..8].copy_from_slice(&self.state.index.to_be_bytes());
        proposal.id.0 = bytes;
        let stamped = crate::model::Stamped {
            at: self.state.now,
            proposal,
        };
        let index = self.state.index + 1;
        self.state.apply(&crate::model::Entry {
            index,
            stamped: &stamped,
        })
    }

    fn held(&mut self, node: u64, hash: BlobHash) {
        let (node, incarnation) = (NodeId(node), 1);
        let held = Command::BlobHeld {
            hash,
            node,
            incarnation,
        };
        assert_eq!(self.by(Actor::Node(node), held), Reply::Done);
    }
}

/// The oldest lines as they leave, in a blob of that name.
fn leaving(audit: &Audit, blob: u8) -> (Archive, Segment) {
    let archive = Archive::due(audit).expect("enough lines are there");
    let bytes = archive.encode().unwrap();
    let segment = archive.segment(BlobHash([blob; 32]), bytes.len() as u64, audit);
    assert_eq!(Archive::decode(&bytes).unwrap(), archive);
    (archive, segment.unwrap())
}

/// Three voters and a record that is long enough.
fn long() -> Story {
    let mut story = Story::founded();
    story
        .state
        .nodes
        .insert(NodeId(4), story.state.nodes[&NodeId(1)].clone());
    story
        .state
        .nodes
        .insert(NodeId(5), story.state.nodes[&NodeId(1)].clone());
    let voters = OrdSet::from_iter([NodeId(1), NodeId(4), NodeId(5)]);
    story.state.set_members(10, voters, OrdSet::new());
    assert_eq!(Archive::due(&story.state.audit), None);
    story.has_acted(limits::AUDIT_ARCHIVE_AT);
    story
}

#[test]
fn p9_lines_leave_the_state_when_a_majority_holds_them_and_the_chain_is_whole() {
    let mut story = long();
    let (head, count) = (story.state.audit.head, story.state.audit.count);
    let (archive, segment) = leaving(&story.state.audit, 7);
    let node = Actor::Node(NodeId(1));
    let archived = Command::ArchiveAudit(segment.clone());
    assert_eq!(story.by(node.clone(), archived.clone()), Reply::Done);
    story.held(1, segment.blob);
    assert_eq!(story.state.audit.lines.len(), limits::AUDIT_ARCHIVE_AT);
    story.held(4, segment.blob);
    let audit = &story.state.audit;
    assert_eq!(
        audit.lines.len(),
        limits::AUDIT_ARCHIVE_AT - limits::AUDIT_SEGMENT_LINES
    );
    assert_eq!((audit.head, audit.count), (head, count));
    let through = archive.lines.iter().chain(&audit.lines);
    assert_eq!(through.fold(Audit::default().base, chained), head);
    assert_eq!(audit.segments.last(), Some(&segment));
    // The blob stays, and what is gone cannot go again.
    assert_eq!(story.state.blobs[&segment.blob].released, None);
    let mut again = story.proposal(node, archived);
    again.id = id(1);
    let refused = Reply::Refused(Refusal::unknown("part of the record"));
    assert_eq!(story.propose(again, 20), refused);
}

#[test]
fn p9_only_the_oldest_lines_as_they_are_can_leave_and_only_a_node_lets_them() {
    let mut story = long();
    let (_, segment) = leaving(&story.state.audit, 7);
    let node = Actor::Node(NodeId(1));
    let wrong = [
        Segment {
            first: 1,
            ..segment.clone()
        },
        Segment {
            lines: segment.lines - 1,
            ..segment.clone()
        },
        Segment {
            lines: 0,
            ..segment.clone()
        },
        Segment {
            last_index: segment.last_index + 1,
            ..segment.clone()
        },
        Segment {
            head: KeyedHash([3; 32]),
            ..segment.clone()
        },
    ];
    for wrong in wrong {
        let refused = Reply::Refused(Refusal::unknown("part of the record"));
        assert_eq!(
            story.quickly(node.clone(), Command::ArchiveAudit(wrong)),
            refused
        );
    }
    let by_person = story.quickly(
        Actor::Local { uid: 0 },
        Command::ArchiveAudit(segment.clone()),
    );
    assert!(matches!(
        by_person,
        Reply::Refused(Refusal::NotAllowed { .. })
    ));
    // One whose file was lost gives way to another, after a while.
    let (_, second) = leaving(&story.state.audit, 8);
    assert_eq!(
        story.by(node.clone(), Command::ArchiveAudit(segment.clone())),
        Reply::Done
    );
    let early = story.quickly(node.clone(), Command::ArchiveAudit(second.clone()));
    assert!(matches!(early, Reply::Refused(Refusal::TooMany { .. })));
    story.state.now = story.state.now.plus_ms(limits::AUDIT_ARCHIVE_WITHIN_MS);
    assert_eq!(
        story.by(node, Command::ArchiveAudit(second.clone())),
        Reply::Done
    );
    assert!(story.state.blobs.get(&segment.blob).is_none());
    story.held(1, second.blob);
    story.held(5, second.blob);
    assert_eq!(story.state.audit.segments.len(), 1);
}

#[test]
fn p9_what_fell_out_before_a_majority_held_it_is_in_the_segment_all_the_same() {
    let mut story = long();
    let (_, segment) = leaving(&story.state.audit, 7);
    story.by(
        Actor::Node(NodeId(1)),
        Command::ArchiveAudit(segment.clone()),
    );
    story.has_acted(limits::AUDIT_LINES_MAX);
    for _ in 0..100 {
        let change = Note::cut("one more");
        story.quickly(Actor::Local { uid: 0 }, Command::ChangeMembers { change });
    }
    assert_eq!(story.state.audit.first(), 100);
    story.held(1, segment.blob);
    story.held(4, segment.blob);
    assert_eq!(
        story.state.audit.first(),
        limits::AUDIT_SEGMENT_LINES as u64
    );
    assert_eq!(story.state.check(), Vec::<String>::new());
}

#[test]
fn p9_what_a_node_answered_alone_is_on_the_record_with_who_chose_it_and_only_that_node_tells() {
    use crate::model::alone::AloneReport;
    use crate::model::words::{Label, Timestamp};
    let mut story = Story::founded();
    let report = AloneReport {
        node: NodeId(1),
        service: Label::new("www").unwrap(),
        target: Label::new("fallback").unwrap(),
        reason: Note::cut("the datacentre is dark"),
        since: Timestamp(1_000_000),
        until: Timestamp(1_090_000),
        ended_by: None,
    };
    let before = story.state.clone();
    let person = Actor::Local { uid: 7 };
    let told = Command::Alone(report.clone());
    assert_eq!(story.quickly(person.clone(), told.clone()), Reply::Done);
    let line = story.state.audit.lines.last().unwrap();
    assert_eq!(
        (line.who.as_str(), line.what.as_str()),
        ("local user 7", "alone")
    );
    assert!(
        line.about.contains("www to fallback on n1 alone") && line.about.contains("(90 s)"),
        "{}",
        line.about
    );
    assert!(line.about.ends_with("the datacentre is dark"));
    assert_eq!(story.state.failover, before.failover);
    assert_eq!(story.state.dns, before.dns);

    // The node's own choice, without a person, is on the record too.
    let lines = story.state.audit.count;
    assert_eq!(
        story.quickly(Actor::Node(NodeId(1)), told.clone()),
        Reply::Done
    );
    assert_eq!(story.state.audit.count, lines + 1);

    let refused = |reply| matches!(reply, Reply::Refused(_));
    let other = AloneReport {
        node: NodeId(9),
        ..report.clone()
    };
    assert!(refused(
        story.quickly(person.clone(), Command::Alone(other))
    ));
    assert!(refused(story.quickly(Actor::Node(NodeId(9)), told.clone())));
    assert!(refused(story.quickly(Actor::System, told)));
    for until in [Timestamp(999_999), Timestamp(1_000_001 + limits::PIN_MS.1)] {
        let wrong = AloneReport {
            until,
            ..report.clone()
        };
        assert!(refused(
            story.quickly(person.clone(), Command::Alone(wrong))
        ));
    }
}
