//! A panic while applying, and nothing left of it.

use super::*;
use crate::cluster::encoding::LogIdRecord;
use crate::cluster::sqlite::SqliteDisk;
use crate::model::words::Timestamp;

#[tokio::test]
async fn p3_a_panic_in_apply_changes_nothing_and_becomes_a_refusal() {
    let folder = std::env::temp_dir().join(format!("lifeboat-machine-{}", std::process::id()));
    let disk = SqliteDisk::open(&folder).unwrap();
    let opened = Machine::open(
        disk,
        ClusterId([1; 16]),
        KeepFrom::default(),
        Shown::default(),
    )
    .await;
    let (mut machine, published) = opened.unwrap();
    let before = machine.state.clone();
    let reply = machine.change(5, |state| {
        state.now = Timestamp(99);
        panic!("planted");
    });
    assert_eq!(reply, Reply::Refused(Refusal::Internal));
    assert_eq!(machine.state, before);
    assert_eq!(published.faults.panics(), 1);
    let reply = machine.change(6, |state| {
        state.now = Timestamp(100);
        Reply::Done
    });
    assert_eq!((reply, machine.state.now), (Reply::Done, Timestamp(100)));
    machine.publish();

    // What was applied in the same batch before the panic stays.
    let voters = vec![std::collections::BTreeSet::from([7])];
    let membership = Membership::new_with_defaults(voters, []);
    let id = |index| {
        LogId::from(LogIdRecord {
            term: 1,
            node: 7,
            index,
        })
    };
    machine
        .apply_one(&Entry {
            log_id: id(8),
            payload: Payload::Membership(membership),
        })
        .unwrap();
    let before = machine.state.clone();
    assert!(before.voters.contains(&NodeId(7)));
    machine.since.push(Entry {
        log_id: id(9),
        payload: Payload::Blank,
    });
    machine.change(9, |state| {
        state.now = Timestamp(101);
        panic!("planted")
    });
    assert_eq!(machine.state, before);
    drop(machine);
    std::fs::remove_dir_all(folder).unwrap();
}
