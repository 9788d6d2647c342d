//! The course of a run: a life full of faults, then calm, in which everything promised must come to its end.

use lifeboat::model::{outbox, words::NodeId};

use crate::{
    planted::Planted,
    world::{SKEW_MS, World, Wrong},
};

/// Steps of one run with faults.
const STEPS: u32 = 2_500;
/// Rounds of calm after which everything must be done.
const ROUNDS: u32 = 1_000;

/// Lives one whole life.
pub fn live(seed: u64, planted: Planted) -> Result<World, (Box<World>, Wrong)> {
    let mut world = World::empty(seed, planted);
    world.found();
    let long_sleep = seed.is_multiple_of(8).then_some(STEPS / 2);
    for step in 0..STEPS {
        if Some(step) == long_sleep {
            // Longer than the answers to operators' writes are remembered.
            world.now_ms += 8 * 24 * 3_600_000;
        }
        world.step();
        if let Some(wrong) = world.wrong.take() {
            return Err((Box::new(world), wrong));
        }
    }
    world.come_to_rest();
    match world.wrong.take() {
        Some(wrong) => Err((Box::new(world), wrong)),
        None => Ok(world),
    }
}

impl World {
    /// Anybody does anything.
    pub fn step(&mut self) {
        self.time_passes();
        if !self.connected(self.leader) || self.dice.percent(4) {
            self.elect();
        }
        let up = self.up();
        let Some(node) = self.dice.pick(&up).copied() else {
            return self.misfortune();
        };
        match self.dice.below(100) {
            0..32 => self.move_a_flight(),
            32..44 => self.hear_of_the_log(node),
            44..53 => self.sync_box(node),
            53..65 => self.propose_from_box(node),
            65..70 => self.somebody_writes(node),
            70..82 => self.courier_works(node),
            82..88 => self.keeper_works(node),
            88..90 => self.answer_the_patient(),
            90..93 => self.operator_acts(node),
            93..96 => self.roster_changes(),
            96..97 => self.take_snapshot(node),
            _ => self.misfortune(),
        }
    }

    fn time_passes(&mut self) {
        self.now_ms += match self.dice.below(1_000) {
            0..700 => self.dice.below(300),
            700..960 => self.dice.below(3_000),
            960..995 => self.dice.below(60_000),
            995..999 => self.dice.below(900_000),
            _ => self.dice.below(3 * 3_600_000),
        };
    }

    /// Another voter leads, if any can.
    fn elect(&mut self) {
        let able: Vec<NodeId> = self
            .agreed
            .voters
            .iter()
            .copied()
            .filter(|it| self.connected(*it))
            .collect();
        if let Some(leader) = self.dice.pick(&able).copied() {
            self.leader = leader;
        }
    }

    fn hear_of_the_log(&mut self, node: NodeId) {
        if !self.connected(node) {
            return;
        }
        let up = self.up();
        match self.dice.below(10) {
            0 => {
                if let Some(from) = self.dice.pick(&up).copied() {
                    self.load_snapshot(node, from);
                }
            }
            1..4 => self.catch_up(node, u64::MAX),
            _ => {
                let some = self.dice.below(12);
                self.catch_up(node, some);
            }
        }
    }

    /// Machines stop, cables are cut, clocks jump; and all of it comes right again.
    fn misfortune(&mut self) {
        let all: Vec<NodeId> = self.nodes.keys().copied().collect();
        let Some(id) = self.dice.pick(&all).copied() else {
            return;
        };
        let (up, cut) = {
            let it = &self.nodes[&id];
            (it.up, it.cut)
        };
        match self.dice.below(10) {
            0..2 if up => self.crash(id),
            0..4 => self.restart(id),
            4 if up => {
                // One clock at most is wildly wrong: a majority's median must be sound.
                let sound = self.sound_skew();
                let others_sound = self
                    .nodes
                    .values()
                    .all(|it| it.id == id || it.skew_ms.unsigned_abs() <= SKEW_MS);
                let wild = self.dice.percent(25) && others_sound;
                let skew_ms = match (wild, self.dice.percent(50)) {
                    (false, _) => sound,
                    (true, true) => sound + 3_600_000,
                    (true, false) => sound - 3_600_000,
                };
                self.tell(format_args!("{id}: its clock is now {skew_ms} ms off"));
                self.nodes.get_mut(&id).unwrap().skew_ms = skew_ms;
            }
            5 => self.damage_a_blob(id),
            6 if !cut => {
                self.tell(format_args!("{id} is cut off"));
                self.nodes.get_mut(&id).unwrap().cut = true;
            }
            6..9 if cut => {
                self.tell(format_args!("{id} is connected again"));
                self.nodes.get_mut(&id).unwrap().cut = false;
            }
            _ => {}
        }
    }

    /// Faults stop; everything that was promised must come true.
    pub fn come_to_rest(&mut self) {
        self.calm = true;
        self.tell(format_args!("faults stop"));
        let all: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in all {
            self.restart(id);
            let skew_ms = self.sound_skew();
            let it = self.nodes.get_mut(&id).unwrap();
            it.cut = false;
            it.skew_ms = skew_ms;
        }
        for _ in 0..ROUNDS {
            self.calm_round();
            if self.wrong.is_some() {
                return;
            }
            if self.left_to_do().is_none() {
                let (agreed, nodes) = (self.agreed.clone(), std::mem::take(&mut self.nodes));
                self.show(&crate::invariants::Seen::AtRest {
                    agreed: &agreed,
                    nodes: &nodes,
                });
                self.nodes = nodes;
                return;
            }
        }
        if let Some(what) = self.left_to_do() {
            self.fault("what is due gets done", what);
        }
    }

    fn calm_round(&mut self) {
        if !self.connected(self.leader) || !self.agreed.voters.contains(&self.leader) {
            self.elect();
        }
        self.now_ms += 1_000;
        // When nobody has anything to do before the hour has passed, it passes.
        let idle = self.nodes.values().all(|it| it.errands.is_empty());
        if idle
            && self.flights.is_empty()
            && let Some(due) = outbox::next_due(&self.agreed)
        {
            self.now_ms = self.now_ms.max(due.0.min(self.now_ms + 2 * 3_600_000));
        }
        for id in self.up() {
            self.catch_up(id, u64::MAX);
            for _ in 0..4 {
                self.sync_box(id);
                self.propose_from_box(id);
                self.courier_works(id);
                self.keeper_works(id);
            }
        }
        self.answer_the_patient();
        for _ in 0..self.flights.len() {
            self.move_a_flight();
        }
    }

    /// What still keeps somebody busy.
    fn left_to_do(&self) -> Option<String> {
        for node in self.nodes.values() {
            if !node.letterbox.is_empty() {
                return Some(format!("the letterbox of {} is not empty", node.id));
            }
            if !node.errands.is_empty() {
                return Some(format!("the courier of {} is still at work", node.id));
            }
            if node.state.index < self.agreed.index {
                return Some(format!("{} is behind", node.id));
            }
        }
        if !self.flights.is_empty() {
            return Some("a proposal is still under way".to_owned());
        }
        if !self.posts.is_empty() || !self.asks.is_empty() {
            return Some("somebody still waits for an answer".to_owned());
        }
        if let Some((id, item)) = self.agreed.outbox.iter().next() {
            return Some(format!("outbox item {id} never left: {:?}", item.kind));
        }
        let sites = &self.agreed.sites;
        if sites.wanted != sites.live && self.somebody_has_the_wanted() {
            return Some(format!(
                "{:?} is wanted and {:?} is live",
                sites.wanted, sites.live
            ));
        }
        None
    }

    /// A bundle whose only copies burnt cannot go live.
    fn somebody_has_the_wanted(&self) -> bool {
        let sites = &self.agreed.sites;
        let site = sites.wanted.and_then(|it| sites.versions.get(&it));
        site.is_some_and(|site| {
            self.nodes
                .values()
                .any(|it| it.blobs.contains(&site.bundle))
        })
    }
}
