//! The courier of a node, step by step: lease, renew, let go of the mail, report what became of it.

use std::collections::BTreeMap;

use lifeboat::model::{
    Command, Reply,
    outbox::{self, ItemId, ItemKind, Outcome},
    words::{NodeId, Note},
};

use super::by_node;
use crate::{
    invariants::Seen,
    planted::Planted,
    world::{SKEW_MS, Waits, World},
};

/// Errands of one node at a time.
const ERRANDS: usize = 2;
/// How long a lease is asked for.
const LEASE_MS: u64 = 30_000;
/// How much of the lease must be left when a mail is let go of: two leaders' clocks, each at most 5 s from a median,
/// can make the cluster's time jump by so much, and the median may move by as much as sound clocks differ.
const MARGIN_MS: u64 = 2 * 5_000 + SKEW_MS;

enum Step {
    /// Waits to be told whether the lease was granted.
    Leasing,
    /// Has it, until then by the node's own watch.
    Holding { epoch: u64, until_ms: u64 },
    /// Knows what became of the mail and has not reported it, or not been heard.
    Knows { epoch: u64, outcome: Outcome },
    /// Waits to be told that the report was agreed on.
    Settling { epoch: u64, outcome: Outcome },
}

struct Errand {
    item: ItemId,
    /// The id of the lease's proposal, then of the report's.
    id: [u8; 16],
    asked_ms: u64,
    asked_again: bool,
    /// When a renewal that is under way was asked for.
    renewing_ms: Option<u64>,
    step: Step,
}

/// What a node's courier is in the middle of.
#[derive(Default)]
pub struct Errands {
    at_work: BTreeMap<u64, Errand>,
}

impl Errands {
    pub fn is_empty(&self) -> bool {
        self.at_work.is_empty()
    }
}

impl World {
    /// The courier of a node takes one step.
    pub fn courier_works(&mut self, node: NodeId) {
        let Some(it) = self.nodes.get(&node).filter(|it| it.up) else {
            return;
        };
        let numbers: Vec<u64> = it.errands.at_work.keys().copied().collect();
        match self.dice.pick(&numbers).copied() {
            Some(number) if numbers.len() >= ERRANDS || self.dice.percent(70) => {
                self.go_on(node, number);
            }
            _ if numbers.len() < ERRANDS => self.take_on(node),
            _ => {}
        }
    }

    fn take_on(&mut self, node: NodeId) {
        // A node that is alone does not even ask.
        if !self.connected(node) {
            return;
        }
        let clock = self.clock_of(node);
        let it = &self.nodes[&node];
        let now = it.state.now.max(clock);
        let busy: Vec<ItemId> = it.errands.at_work.values().map(|it| it.item).collect();
        let due: Vec<ItemId> = outbox::due(&it.state, now)
            .map(|(id, _)| id)
            .filter(|it| !busy.contains(it))
            .take(4)
            .collect();
        let Some(item) = self.dice.pick(&due).copied() else {
            return;
        };
        let (number, id) = (self.number(), self.fresh());
        let errand = Errand {
            item,
            id,
            asked_ms: self.now_ms,
            asked_again: false,
            renewing_ms: None,
            step: Step::Leasing,
        };
        self.errands(node).insert(number, errand);
        self.ask_lease(node, item, id, Waits::Lease(number));
    }

    fn go_on(&mut self, node: NodeId, number: u64) {
        let (now_ms, no_margin) = (self.now_ms, self.planted == Planted::LeaseFromAnswer);
        let margin_ms = if no_margin { 0 } else { MARGIN_MS };
        let Some(errand) = self.errands(node).get_mut(&number) else {
            return;
        };
        let item = errand.item;
        match &errand.step {
            Step::Leasing | Step::Settling { .. } => {}
            Step::Holding { until_ms, .. } if now_ms + margin_ms >= *until_ms => {
                // The gate is shut. It hands the item back under the epoch it has.
                let Step::Holding { epoch, .. } = errand.step else {
                    return;
                };
                errand.step = Step::Knows {
                    epoch,
                    outcome: Outcome::HandedBack,
                };
            }
            Step::Holding { epoch, .. } => {
                let epoch = *epoch;
                if errand.renewing_ms.is_none() && self.dice.percent(30) {
                    let id = self.fresh();
                    if let Some(errand) = self.errands(node).get_mut(&number) {
                        errand.renewing_ms = Some(now_ms);
                    }
                    return self.ask_lease(node, item, id, Waits::Renewal(number));
                }
                if self.unlucky(60) {
                    // The mail server takes its time.
                    return;
                }
                let outcome = self.let_go(node, item, epoch);
                if let Some(errand) = self.errands(node).get_mut(&number) {
                    errand.step = Step::Knows { epoch, outcome };
                }
            }
            Step::Knows { epoch, outcome } => {
                let (epoch, outcome) = (*epoch, outcome.clone());
                errand.step = Step::Settling {
                    epoch,
                    outcome: outcome.clone(),
                };
                let id = errand.id;
                let command = Command::SettleItem {
                    item,
                    epoch,
                    outcome,
                };
                self.send(node, by_node(id, node, command), Waits::Settle(number));
            }
        }
    }

    /// The mail's final dot: from here on nobody can take it back.
    fn let_go(&mut self, node: NodeId, item: ItemId, epoch: u64) -> Outcome {
        let note = || Note::cut("450 later");
        let for_support = self.nodes[&node]
            .state
            .outbox
            .get(&item)
            .is_some_and(|it| matches!(it.kind, ItemKind::ForwardToSupport { .. }));
        if self.unlucky(15) {
            return Outcome::TryLater(note());
        }
        if self.unlucky(6) {
            return Outcome::RefusedForGood(note());
        }
        let (broken, arrived) = (self.unlucky(8), self.dice.percent(50));
        if !broken || arrived {
            self.tell(format_args!(
                "item {item} goes out by {node}, epoch {epoch}, support {for_support}"
            ));
            let agreed = self.agreed.clone();
            self.show(&Seen::HandedOver {
                node,
                item,
                epoch,
                agreed: &agreed,
            });
        }
        if broken {
            return Outcome::Unknown(note());
        }
        Outcome::Accepted
    }

    fn ask_lease(&mut self, node: NodeId, item: ItemId, id: [u8; 16], waits: Waits) {
        let command = Command::LeaseItem {
            item,
            node,
            ttl_ms: LEASE_MS,
        };
        self.send(node, by_node(id, node, command), waits);
    }

    pub fn lease_answered(&mut self, node: NodeId, number: u64, reply: Option<Reply>) {
        let report_id = self.fresh();
        let (now_ms, late) = (self.now_ms, self.planted == Planted::LeaseFromAnswer);
        let Some(errand) = self.errands(node).get_mut(&number) else {
            return;
        };
        let since_ms = if late { now_ms } else { errand.asked_ms };
        match reply {
            Some(Reply::Leased { epoch }) => {
                errand.id = report_id;
                errand.step = Step::Holding {
                    epoch,
                    until_ms: since_ms + LEASE_MS,
                };
            }
            // It may be ours already; asking again with the same id tells.
            None if !errand.asked_again => {
                errand.asked_again = true;
                let (item, id) = (errand.item, errand.id);
                self.ask_lease(node, item, id, Waits::Lease(number));
            }
            Some(_) | None => {
                self.errands(node).remove(&number);
            }
        }
    }

    pub fn renewal_answered(&mut self, node: NodeId, number: u64, reply: Option<Reply>) {
        let Some(errand) = self.errands(node).get_mut(&number) else {
            return;
        };
        let asked_ms = errand.renewing_ms.take();
        if let (Some(asked_ms), Some(Reply::Leased { epoch }), Step::Holding { .. }) =
            (asked_ms, reply, &errand.step)
        {
            errand.step = Step::Holding {
                epoch,
                until_ms: asked_ms + LEASE_MS,
            };
        }
    }

    pub fn settle_answered(&mut self, node: NodeId, number: u64, reply: Option<Reply>) {
        if reply.is_some() {
            self.errands(node).remove(&number);
            return;
        }
        // Reported again, with the same id, until it is heard.
        if let Some(errand) = self.errands(node).get_mut(&number)
            && let Step::Settling { epoch, outcome } = &errand.step
        {
            errand.step = Step::Knows {
                epoch: *epoch,
                outcome: outcome.clone(),
            };
        }
    }

    fn errands(&mut self, node: NodeId) -> &mut BTreeMap<u64, Errand> {
        let it = self
            .nodes
            .get_mut(&node)
            .expect("the node that acts is there");
        &mut it.errands.at_work
    }

    /// A number nobody had before.
    pub fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.fresh()[8..].try_into().unwrap())
    }
}
