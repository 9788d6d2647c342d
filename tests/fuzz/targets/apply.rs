//! A log as a faulty node might have written it: any proposals that decode, applied one after another to a cluster that
//! was founded. `apply` is total: nothing panics, the state never contradicts itself, time never runs backwards, and a
//! repeat gets the first answer and changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::cluster::encoding::Packed;
use lifeboat::model::command::FORMAT;
use lifeboat::model::conversation::Door;
use lifeboat::model::nodes::{CaRecord, NodeFacts, Profile};
use lifeboat::model::words::{
    ClientId, ClusterId, KeyedHash, Label, NodeId, Note, Sealed, Timestamp,
};
use lifeboat::model::{Actor, Command, Entry, Proposal, Reply, Source, Stamped, State};

fn founding() -> Stamped {
    let label = |text: &str| Label::new(text).expect("a short word is a label");
    let command = Command::Found {
        cluster: ClusterId([1; 16]),
        name: label("test"),
        profile: Profile::Lan,
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
            advertise: Note::cut("127.0.0.1:1"),
            sites: vec![],
            fingerprint: KeyedHash([0; 32]),
            format: FORMAT,
            version: Note::cut("1"),
        },
    };
    let proposal = Proposal {
        format: FORMAT,
        id: ClientId([255; 16]),
        actor: Actor::Local { uid: 0 },
        source: Source {
            door: Door::Api,
            address: None,
        },
        origin: NodeId(1),
        stamp: None,
        command,
    };
    Stamped {
        at: Timestamp(1),
        proposal,
    }
}

fn founded() -> State {
    let mut state = State::default();
    let stamped = founding();
    state.apply(&Entry {
        index: 1,
        stamped: &stamped,
    });
    let voters = state.nodes.keys().copied().collect();
    state.set_members(2, voters, Default::default());
    assert!(state.cluster.is_some() && state.check().is_empty());
    state
}

fuzz_target!(|log: &[u8]| {
    let mut state = founded();
    let mut rest = log;
    let mut index = 2;
    while let [head, more @ ..] = rest
        && index < 66
    {
        index += 1;
        // The first byte says how long the proposal is and how much time has passed.
        let length = usize::from(*head).min(more.len());
        let (proposal, after) = more.split_at(length);
        rest = after;
        let packed = Packed {
            at: Timestamp(index * 60_000 * u64::from(*head)),
            format: 1,
            proposal: bytes::Bytes::copy_from_slice(proposal),
        };
        let Ok(stamped) = packed.read() else {
            continue;
        };
        let before = state.now;
        let entry = Entry {
            index,
            stamped: &stamped,
        };
        let first = state.apply(&entry);
        assert!(state.now >= before);
        let faults = state.check();
        assert!(faults.is_empty(), "{faults:?} after {stamped:?}");
        if !matches!(first, Reply::Refused(_)) {
            let once = state.clone();
            let again = state.apply(&entry);
            assert_eq!(again, first);
            assert_eq!(state.conversations, once.conversations);
            assert_eq!(state.outbox, once.outbox);
            assert_eq!(state.audit, once.audit);
        }
    }
});
