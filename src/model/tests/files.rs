//! Files that messages carry: one entry with their message, bounded, and kept for as long as a message refers to them.

use super::*;
use crate::model::files::{self, File, FileChange, FileKind};

pub(super) fn file(blob: u8, stored: u64) -> File {
    File {
        blob: BlobHash([blob; 32]),
        stored,
        bytes: stored,
        kind: FileKind::Png,
        name: sealed(blob),
        erased: None,
    }
}

fn adding(to: u8, files: Vec<File>) -> Command {
    let add = Command::AddMessage {
        conversation: ConversationId([to; 16]),
        body: sealed(to),
        taken: Timestamp(1),
    };
    add.with_files(files)
}

fn held(blob: u8, node: u64) -> Command {
    Command::BlobHeld {
        hash: BlobHash([blob; 32]),
        node: NodeId(node),
        incarnation: 1,
    }
}

fn agent() -> Actor {
    Actor::Local { uid: 0 }
}

#[test]
fn p1_a_message_and_its_files_are_one_entry_and_a_repeat_changes_nothing() {
    let mut story = Story::founded();
    let command = opening(7).with_files(vec![file(1, 100), file(2, 50)]);
    let proposal = story.proposal(Actor::Customer, command);
    let first = story.propose(proposal.clone(), 10);
    let conversation = ConversationId([7; 16]);
    let kept = Reply::Kept {
        conversation,
        number: 1,
    };
    assert_eq!(first, kept);
    let state = story.state.clone();
    assert_eq!(state.files.of(&conversation, &proposal.id).len(), 2);
    assert_eq!((state.files.count, state.files.bytes), (2, 150));
    assert_eq!(state.conversations[&conversation].door, Door::Form);
    assert_eq!(state.talks.waiting.len(), 1, "it waits like any other");
    // Sent again to another node, which sealed the same files anew.
    let again = Proposal {
        command: opening(7).with_files(vec![file(3, 100), file(4, 50)]),
        ..proposal
    };
    assert_eq!(story.propose(again, 20), first);
    assert_eq!(story.state.files, state.files);
    assert!(!story.state.blobs.contains_key(&BlobHash([3; 32])));
}

#[test]
fn p1_a_file_is_safe_when_a_majority_of_voters_has_it_and_not_before() {
    let mut story = Story::founded();
    let known = story.state.nodes[&NodeId(1)].clone();
    for id in [2, 3] {
        story.state.nodes.insert(NodeId(id), known.clone());
    }
    story.state.set_members(
        3,
        [1, 2, 3].into_iter().map(NodeId).collect(),
        OrdSet::new(),
    );
    let one = file(1, 10);
    story.by(Actor::Customer, opening(7).with_files(vec![one.clone()]));
    assert_eq!(files::copies(&story.state, &one), (0, 3));
    story.by(Actor::Node(NodeId(1)), held(1, 1));
    assert_eq!(files::copies(&story.state, &one), (1, 3));
    // A node that does not vote, or left, is no copy that counts.
    story.by(Actor::Node(NodeId(9)), held(1, 9));
    assert!(!files::is_safe(&story.state, &one));
    story.by(Actor::Node(NodeId(2)), held(1, 2));
    assert!(files::is_safe(&story.state, &one));
    assert_eq!(files::copies(&story.state, &one), (2, 3));
}

#[test]
fn a_file_that_a_message_refers_to_is_never_let_go_of_and_an_erased_one_is() {
    let mut story = Story::founded();
    story.by(Actor::Customer, opening(7).with_files(vec![file(1, 10)]));
    let message = story.state.conversations[&ConversationId([7; 16])].messages[0].id;
    story.by(Actor::Node(NodeId(1)), held(1, 1));
    // Whatever else is published and forgotten.
    for bundle in 100..120 {
        let publish = Command::PublishSite {
            bundle: BlobHash([bundle; 32]),
            size: 1,
            files: 1,
            note: Note::default(),
        };
        story.by(agent(), publish);
    }
    assert_eq!(story.state.blobs[&BlobHash([1; 32])].released, None);
    let erase = |number| {
        Command::File(FileChange::Erase {
            conversation: ConversationId([7; 16]),
            message,
            number,
        })
    };
    let by_customer = story.by(Actor::Customer, erase(0));
    assert!(matches!(
        by_customer,
        Reply::Refused(Refusal::NotAllowed { .. })
    ));
    let unknown = story.by(agent(), erase(1));
    assert_eq!(unknown, Reply::Refused(Refusal::unknown("file")));
    assert_eq!(story.by(agent(), erase(0)), Reply::Done);
    assert!(story.state.blobs[&BlobHash([1; 32])].released.is_some());
    assert_eq!((story.state.files.count, story.state.files.bytes), (0, 0));
    assert_eq!(story.by(agent(), erase(0)), Reply::Done);
    let lines = &story.state.audit.lines;
    assert!(
        lines.iter().any(|it| it.what == "erase-file"),
        "it is on the record"
    );
}

#[test]
fn p10_what_is_beyond_the_bounds_is_refused_and_nothing_of_it_is_kept() {
    let mut story = Story::founded();
    let many = vec![file(1, 1); limits::FILES_PER_MESSAGE + 1];
    let large = vec![file(
        1,
        limits::FILE_BYTES_MAX + limits::FILE_SEAL_BYTES_MAX + 1,
    )];
    let mut name = file(1, 1);
    name.name.bytes = vec![0; limits::FILE_NAME_SEALED_MAX + 1];
    let mut erased = file(1, 1);
    erased.erased = Some(Timestamp(1));
    for files in [many, large, vec![name], vec![erased]] {
        let reply = story.by(Actor::Customer, opening(7).with_files(files));
        assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    }
    assert!(story.state.conversations.is_empty() && story.state.blobs.is_empty());
    // Twice what doors take fits, so that what lone nodes took does.
    story.by(Actor::Customer, opening(7));
    let most = limits::FILES_OF_CONVERSATION_BYTES * limits::FILES_STATE_FACTOR;
    let each = limits::FILE_BYTES_MAX;
    for blob in 0..u8::try_from(most / each).unwrap() {
        let reply = story.by(Actor::Customer, adding(7, vec![file(blob, each)]));
        assert!(matches!(reply, Reply::Kept { .. }), "{reply:?}");
    }
    let reply = story.by(Actor::Customer, adding(7, vec![file(200, each)]));
    assert!(
        matches!(reply, Reply::Refused(Refusal::TooMany { .. })),
        "{reply:?}"
    );
    // Another conversation has its own room, and words always fit.
    let other = story.by(
        Actor::Customer,
        opening(8).with_files(vec![file(201, each)]),
    );
    assert!(matches!(other, Reply::Kept { .. }), "{other:?}");
    assert!(matches!(
        story.by(Actor::Customer, adding(7, vec![])),
        Reply::Kept { .. }
    ));
}

#[test]
fn p11_a_message_with_files_keeps_its_bytes() {
    let of = |bytes: &[u8]| Sealed {
        key: 1,
        bytes: bytes.to_vec(),
    };
    let said = files::Said {
        conversation: ConversationId([7; 16]),
        opening: None,
        body: of(&[0xaa, 0xbb]),
        taken: Timestamp(5),
        files: vec![File {
            blob: BlobHash([3; 32]),
            stored: 10,
            bytes: 9,
            kind: FileKind::Text,
            name: of(&[0xcc]),
            erased: None,
        }],
    };
    let said = FileChange::Said(Box::new(said));
    let erase = FileChange::Erase {
        conversation: ConversationId([7; 16]),
        message: id(9),
        number: 2,
    };
    let (seven, nine, three) = ("07".repeat(16), "09".repeat(16), "03".repeat(32));
    for (change, wanted) in [
        (
            said,
            format!("00{seven}000102aabb0501{three}0a09050101cc00"),
        ),
        (erase, format!("01{seven}{nine}02")),
    ] {
        let bytes = postcard::to_stdvec(&change).unwrap();
        let hex: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
        assert_eq!(hex, wanted);
        assert_eq!(stored::read::<FileChange>(&bytes).unwrap(), change);
    }
}
