//! Any order of words, leases, deaths and late reports.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What may happen, in any order.
#[derive(Clone, Copy, Debug)]
enum Step {
    Writes(u8),
    Answers(u8),
    BridgeAnswers(u8, u8),
    /// A node leases what is due, gets it through or not, and reports or dies: the item, whether it arrives, what it says.
    Carries(u8, bool, u8),
    Waits(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u8..4).prop_map(Step::Writes),
        (0_u8..4).prop_map(Step::Answers),
        (0_u8..4, 100_u8..110).prop_map(|(it, id)| Step::BridgeAnswers(it, id)),
        (any::<u8>(), any::<bool>(), 0_u8..5)
            .prop_map(|(it, ok, says)| Step::Carries(it, ok, says)),
        any::<u16>().prop_map(Step::Waits),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The cluster, and what the other end has, which knows a repeat by its key.
struct World {
    story: Story,
    /// Numbers by conversation, in the order of their first arrival.
    there: BTreeMap<u8, Vec<usize>>,
    /// What nodes that are slow will report.
    reports: Vec<(ItemId, u64, Outcome)>,
}

impl World {
    fn arrive(&mut self, (byte, number): (u8, usize)) {
        let all = self.there.entry(byte).or_default();
        if !all.contains(&number) {
            all.push(number);
        }
    }

    fn step(&mut self, step: Step) {
        let knows = |story: &Story, byte: u8| {
            let all = &story.state.conversations;
            all.contains_key(&conversation(byte))
        };
        match step {
            Step::Writes(byte) if knows(&self.story, byte) => {
                self.story.says(byte, Actor::Customer);
            }
            Step::Writes(byte) => self.story.opens(byte, false),
            Step::Answers(byte) if knows(&self.story, byte) => self.story.says(byte, agent()),
            Step::Answers(_) => {}
            Step::BridgeAnswers(byte, id) => drop(self.story.answers(byte, id, bridge_itself())),
            Step::Carries(which, arrives, says) => self.carries(which, arrives, says),
            Step::Waits(ms) => {
                self.story.later(u64::from(ms));
                if let Some((item, epoch, outcome)) = self.reports.pop() {
                    self.story.settle(item, epoch, outcome);
                }
            }
        }
    }

    fn carries(&mut self, which: u8, arrives: bool, says: u8) {
        let due = self.story.due();
        let Some(item) = due.get(usize::from(which) % due.len().max(1)).copied() else {
            return;
        };
        let what = self.story.what(item);
        let Some(epoch) = self.story.lease(item, u64::from(which % 3)) else {
            return;
        };
        if arrives {
            self.arrive(what);
        }
        let outcome = match (says, arrives) {
            (0, true) => Outcome::Accepted,
            (1, _) => Outcome::Unknown(Note::cut("lost")),
            (2, false) => Outcome::TryLater(Note::cut("503")),
            (3, false) => Outcome::HandedBack,
            // The node died, or its report comes late.
            (_, true) => return self.reports.push((item, epoch, Outcome::Accepted)),
            (_, false) => return,
        };
        self.story.settle(item, epoch, outcome);
    }

    /// The bridge works from now on.
    fn ends_well(&mut self) {
        for _ in 0..1_000 {
            self.story.later(130_000);
            let Some(item) = self.story.due().first().copied() else {
                break;
            };
            let what = self.story.what(item);
            if let Some(epoch) = self.story.lease(item, 1) {
                self.arrive(what);
                self.story.settle(item, epoch, Outcome::Accepted);
            }
        }
    }
}

proptest! {
    // Each case is a long history, checked after every entry.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn p1_whatever_nodes_lease_lose_and_report_each_message_arrives_once_and_in_order(steps in steps()) {
        let mut world = World {
            story: Story::bridged(webhook()),
            there: BTreeMap::new(),
            reports: Vec::new(),
        };
        for step in steps {
            world.step(step);
        }
        world.ends_well();
        let bridge = world.story.bridge();
        for (id, it) in &world.story.state.conversations {
            let answers = &bridge.spans[id].answers;
            let carried = (1..).zip(&it.messages).filter(|(_, it)| !answers.contains_key(&it.id));
            let wanted: Vec<usize> = carried.map(|(number, _)| number).collect();
            prop_assert_eq!(world.there.get(&id.0[0]).cloned().unwrap_or_default(), wanted);
            let ids: std::collections::BTreeSet<ClientId> = it.messages.iter().map(|it| it.id).collect();
            prop_assert_eq!(ids.len(), it.messages.len(), "an answer is there twice");
        }
        prop_assert_eq!(bridge.given_up, 0);
    }
}
