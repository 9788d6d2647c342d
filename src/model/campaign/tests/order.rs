//! Any order of what may happen to a campaign that is sent.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One thing that may happen.
#[derive(Clone, Debug)]
enum Step {
    Lease(u64, u32),
    Yield(u64, u32),
    Report(u64, u32, u16, u8),
    Pause,
    Resume,
    Cancel,
    Later(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1_u64..4, 0_u32..8).prop_map(|(node, segment)| Step::Lease(node, segment)),
        2 => (1_u64..4, 0_u32..8).prop_map(|(node, segment)| Step::Yield(node, segment)),
        30 => (1_u64..4, 0_u32..8, 0_u16..25, 0_u8..6)
            .prop_map(|(node, segment, place, what)| Step::Report(node, segment, place, what)),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Cancel),
        4 => (0_u64..900_000).prop_map(Step::Later),
    ];
    prop::collection::vec(step, 0..250)
}

fn what_of(number: u8) -> What {
    match number {
        0 | 1 => What::Delivered,
        2 => What::Refused(Status::of("550 5.1.1")),
        3 => What::Rejected(Status::of("554 5.7.1")),
        4 => What::Suppressed,
        _ => What::Unanswered,
    }
}

proptest! {
    /// Any order of leases, facts, late facts, pauses, stops and time: nobody is lost, nobody is counted twice, who got
    /// it stays so, and at most one node holds a segment.
    #[test]
    fn p6_in_any_order_everybody_ends_with_one_outcome(steps in steps()) {
        let (mut town, binds) = Town::waiting(150);
        assert_eq!(town.approves("bert", binds, 150, false), Reply::Done);
        let mut delivered = BTreeMap::new();
        for step in steps {
            match step {
                Step::Lease(node, segment) => drop(town.leases(node, segment)),
                Step::Yield(node, segment) => {
                    let node = NodeId(node);
                    let segments = vec![segment];
                    let change = CampaignChange::Yield { campaign: ID, node, segments };
                    town.asks(&Actor::Node(node), change);
                }
                Step::Report(node, segment, place, what) => {
                    let fact = fact(segment, place, what_of(what));
                    town.reports(node, vec![fact]);
                    let known = town.campaign().fate(segment, place).is_some();
                    if known && fact.what == What::Delivered {
                        delivered.insert((segment, place), ());
                    }
                }
                Step::Pause => {
                    let why = Note::default();
                    town.asks(&operator("anna"), CampaignChange::Pause { campaign: ID, why });
                }
                Step::Resume => drop(town.asks(&operator("anna"), CampaignChange::Resume { campaign: ID })),
                Step::Cancel => {
                    let why = Note::default();
                    town.asks(&operator("anna"), CampaignChange::Cancel { campaign: ID, why });
                }
                Step::Later(ms) => town.at += ms,
            }
            town.is_sound(150);
            for (segment, place) in delivered.keys() {
                let fate = town.campaign().fate(*segment, *place);
                prop_assert_eq!(fate.map(|it| it.0), Some(Fate::Delivered));
            }
        }
        // The end always comes, and everybody has an outcome then.
        town.at += 3_600_001;
        town.asks(&operator("anna"), CampaignChange::Resume { campaign: ID });
        town.leases(1, 0);
        prop_assert!(matches!(town.campaign().stage, Stage::Ended(_)));
        town.is_sound(150);
    }
}
