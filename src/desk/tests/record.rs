//! The record over the API when most of it has left the state.

use serde_json::Value;

use super::boat::{Boat, until};
use crate::{
    blobs::Blobs,
    clock,
    model::{
        Actor, Command, Proposal,
        audit::Archive,
        limits,
        words::{ClientId, NodeId, Note},
    },
};

/// Reads the record page by page, in the order of `way`.
async fn walked(boat: &Boat, way: &str, from: u64) -> Vec<u64> {
    let mut found = Vec::new();
    let mut from = Some(from);
    while let Some(at) = from {
        let page = boat
            .get(&format!("/audit?limit=1000&{way}={at}"))
            .await
            .json();
        let lines = page["lines"].as_array().unwrap();
        found.extend(lines.iter().map(|it| it["index"].as_u64().unwrap()));
        from = page["next"].as_u64();
    }
    found
}

#[tokio::test]
async fn p9_the_record_is_read_and_verified_through_what_left_the_state() {
    let boat = Boat::afloat().await;
    let propose = async |actor: Actor, command: Command| {
        let id = ClientId(clock::random_bytes());
        let mut proposal = Proposal::of_node(id, NodeId(1), command);
        proposal.actor = actor;
        let deadline = std::time::Duration::from_secs(5);
        boat.cluster.propose(proposal, deadline).await.unwrap()
    };
    while boat.cluster.state().audit.lines.len() < limits::AUDIT_ARCHIVE_AT {
        let change = Note::cut("something");
        propose(Actor::Local { uid: 0 }, Command::ChangeMembers { change }).await;
    }
    let before = walked(&boat, "after", 0).await;
    let blobs = Blobs::open(&boat.folder.path().join("blobs")).unwrap();
    let audit = boat.cluster.state().audit.clone();
    let bytes = Archive::due(&audit).unwrap().encode().unwrap();
    let blob = blobs.put(&bytes).unwrap();
    let segment = Archive::due(&audit)
        .unwrap()
        .segment(blob, bytes.len() as u64, &audit);
    propose(
        Actor::Node(NodeId(1)),
        Command::ArchiveAudit(segment.unwrap()),
    )
    .await;
    until("the lines have left the state", || {
        boat.cluster.state().audit.lines.len() < limits::AUDIT_SEGMENT_LINES
    })
    .await;
    let oldest_first = walked(&boat, "after", 0).await;
    assert_eq!(oldest_first, before);
    let mut newest_first = walked(&boat, "before", u64::MAX).await;
    newest_first.reverse();
    assert_eq!(newest_first, before);
    let middle = before[limits::AUDIT_SEGMENT_LINES];
    assert_eq!(
        walked(&boat, "after", middle).await,
        before[limits::AUDIT_SEGMENT_LINES + 1..]
    );
    let verified = boat.get("/audit/verify").await.json();
    assert_eq!(verified["sound"], true, "{verified}");
    assert_eq!(verified["checked"], verified["count"]);
    let both = boat.get("/audit?before=4&after=2").await.json();
    assert!(
        both["detail"].to_string().contains("before or after"),
        "{both}"
    );
    // Without its blob a node says what it lacks, and shows the rest.
    std::fs::remove_file(boat.folder.path().join("blobs").join(blob.to_string())).unwrap();
    let failed = boat.get("/audit/verify").await.json();
    assert!(
        failed.to_string().contains("is not on this node"),
        "{failed}"
    );
    let rest = boat.get("/audit?limit=10").await.json();
    assert_eq!(rest["lines"].as_array().map(Vec::len), Some(10));
    assert_ne!(rest["next"], Value::Null);
}
