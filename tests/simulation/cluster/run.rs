//! One run: a town is built, lives through what its seed has in store, comes to rest, and is judged.

use std::{net::SocketAddr, time::Duration};

use lifeboat::{cluster::health::RaftRole, model::words::NodeId};
use turmoil::{Builder, Sim};

use super::{
    net::PORT,
    node,
    runtime::lay_dice,
    town::{HOSTS, Host, Square, View, Wish},
};
use crate::dice::Dice;

/// One step of simulated time.
const TICK: Duration = Duration::from_millis(5);
/// How long a cluster may take to be founded and have its first three voters.
const FOUNDED_WITHIN: Duration = Duration::from_secs(40);
/// How long after the last fault everything must be agreed on: dials back off to 2 s, an election takes a second.
pub const HEALED_WITHIN: Duration = Duration::from_secs(25);

/// A town in its simulation.
pub struct Run<'a> {
    pub sim: Sim<'a>,
    pub square: Square,
    pub dice: Dice,
}

impl Run<'_> {
    /// Builds the machines. Only the first has a name, and founds a cluster with two more.
    pub fn new(seed: u64) -> Self {
        let mut sim = Builder::new()
            .rng_seed(seed)
            .enable_random_order()
            .tick_duration(TICK)
            .simulation_duration(Duration::from_secs(600))
            .min_message_latency(Duration::from_millis(2))
            .max_message_latency(Duration::from_millis(20))
            .tcp_capacity(4_096)
            .build();
        lay_dice(seed);
        let (square, mut dice) = (Square::default(), Dice::of_seed(seed));
        for host in HOSTS {
            let town = square.clone();
            sim.host(host, move || node::live(seed, host, town.clone()));
            let address = SocketAddr::new(sim.lookup(host), PORT);
            let skew = i64::try_from(dice.below(4_001)).unwrap() - 2_000;
            let mut town = square.town();
            town.addresses.insert(host, address);
            town.skews.insert(host, skew);
        }
        {
            let mut town = square.town();
            town.residents.insert("a", NodeId::FOUNDER);
            town.wishes.extend([Wish::Admit("b"), Wish::Admit("c")]);
        }
        Self { sim, square, dice }
    }

    /// Lets the first node found the cluster and two more join; then customers write.
    pub fn found(&mut self) -> Result<(), String> {
        self.until(FOUNDED_WITHIN, "three nodes vote", |square| {
            voters(square).len() == 3
        })?;
        self.square.town().open = true;
        Ok(())
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) -> Result<(), String> {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.sim.step().map_err(|error| error.to_string())?;
            if let Some(wrong) = self.square.town().wrong.clone() {
                return Err(wrong);
            }
        }
        Ok(())
    }

    /// Lets time pass until something holds, and says so when it does not in time.
    pub fn until(
        &mut self,
        within: Duration,
        what: &str,
        holds: impl Fn(&Square) -> bool,
    ) -> Result<Duration, String> {
        let began = self.sim.elapsed();
        while !holds(&self.square) {
            let passed = self.sim.elapsed() - began;
            if passed > within {
                return Err(format!("not within {} s: {what}", within.as_secs()));
            }
            self.pass(TICK * 4)?;
        }
        Ok(self.sim.elapsed() - began)
    }

    pub fn tell(&self, line: std::fmt::Arguments<'_>) {
        self.square.town().tell(self.sim.elapsed(), line);
    }

    /// The node stops without a word.
    pub fn crash(&mut self, host: Host) {
        if self.sim.is_host_running(host) {
            self.tell(format_args!("{host} crashes"));
            self.sim.crash(host);
            self.square.town().views.remove(host);
        }
    }

    /// It starts again.
    pub fn start(&mut self, host: Host) {
        if !self.sim.is_host_running(host) {
            self.tell(format_args!("{host} starts"));
            self.sim.bounce(host);
        }
    }

    /// No machine of the one side reaches one of the other.
    pub fn cut(&mut self, one: &[Host], other: &[Host]) {
        self.tell(format_args!("cut {one:?} from {other:?}"));
        for (a, b) in pairs(one, other) {
            self.sim.partition(a, b);
        }
    }

    /// What the one side sends does not reach the other.
    pub fn silence(&mut self, one: &[Host], other: &[Host]) {
        self.tell(format_args!("{one:?} is not heard by {other:?}"));
        for (a, b) in pairs(one, other) {
            self.sim.partition_oneway(a, b);
        }
    }

    /// Everybody reaches everybody.
    pub fn heal(&mut self) {
        self.tell(format_args!("all are connected"));
        for (a, b) in pairs(&HOSTS, &HOSTS) {
            self.sim.repair(a, b);
        }
    }

    /// Faults stop. Within bounded time everything posted must be agreed on, and all members be the same.
    pub fn come_to_rest(&mut self) -> Result<(), String> {
        self.heal();
        for host in HOSTS {
            let poisoned = self
                .square
                .town()
                .platters
                .get(host)
                .is_some_and(|it| it.lock().unwrap().fails);
            if poisoned {
                self.crash(host);
            }
            self.start(host);
        }
        self.square.town().open = false;
        let took = self.until(HEALED_WITHIN, "everything is agreed on", |square| {
            square.town().boxes_are_empty()
        })?;
        self.tell(format_args!("agreed on after {} ms", took.as_millis()));
        self.until(HEALED_WITHIN, "all members are the same", |square| {
            square.town().judge().is_ok() && all_have_views(square)
        })
        .map_err(|_| {
            self.square
                .town()
                .judge()
                .err()
                .unwrap_or_else(|| "a member says nothing".to_owned())
        })?;
        Ok(())
    }

    /// Some seconds of one misfortune after another.
    pub fn live(&mut self, misfortunes: u32) -> Result<(), String> {
        for _ in 0..misfortunes {
            let pause = 200 + self.dice.below(2_500);
            self.pass(Duration::from_millis(pause))?;
            self.misfortune();
        }
        Ok(())
    }

    fn misfortune(&mut self) {
        let named: Vec<Host> = self.square.town().residents.keys().copied().collect();
        let one = *self.dice.pick(&named).unwrap();
        let others: Vec<Host> = named.iter().copied().filter(|it| *it != one).collect();
        let another = *self.dice.pick(&others).unwrap();
        match self.dice.below(16) {
            0..4 => self.crash(one),
            4..8 => {
                for host in named {
                    if self.dice.percent(70) {
                        self.start(host);
                    }
                }
            }
            8 => self.cut(&[one], &others),
            9 => self.cut(&[one], &[another]),
            10 => self.silence(&[one], &others),
            11 => self.silence(&others, &[one]),
            12 => named.into_iter().for_each(|host| self.crash(host)),
            13 if self.dice.percent(30) => {
                self.tell(format_args!("the disk of {one} fails"));
                let platter = self.square.town().platters.get(one).cloned();
                if let Some(platter) = platter {
                    platter.lock().unwrap().fails = true;
                }
            }
            _ => self.heal(),
        }
    }

    /// Two more nodes join and vote; one is replaced.
    pub fn wish_for_five(&mut self) {
        let mut town = self.square.town();
        town.wishes.extend([Wish::Admit("d"), Wish::Admit("e")]);
    }

    /// Another node takes one's place.
    pub fn wish_for_replacement(&mut self, old: Host, new: Host) {
        let wish = Wish::Replace { old, new };
        self.square.town().wishes.push_back(wish);
    }
}

/// The voters, as the node that is furthest knows them.
pub fn voters(square: &Square) -> Vec<NodeId> {
    let town = square.town();
    let furthest = town.views.values().max_by_key(|it| it.state.index);
    furthest
        .map(|it| it.state.voters.iter().copied().collect())
        .unwrap_or_default()
}

/// Who leads, with a majority that says so.
pub fn leader(square: &Square) -> Option<Host> {
    let town = square.town();
    let leads = |it: &View| it.role == RaftRole::Leader && it.quorum;
    let mut leading = town.views.iter().filter(|(_, view)| leads(view));
    leading.next().map(|(host, _)| *host)
}

/// Whether every member says how it is.
fn all_have_views(square: &Square) -> bool {
    let town = square.town();
    let furthest = town.views.values().max_by_key(|it| it.state.index);
    let Some(view) = furthest else { return false };
    let members = view.state.members();
    town.residents
        .iter()
        .filter(|(_, node)| members.contains(*node))
        .all(|(host, _)| town.views.contains_key(host))
}

fn pairs(one: &[Host], other: &[Host]) -> Vec<(Host, Host)> {
    let with_all = |a: &Host| other.iter().map(|b| (*a, *b)).collect::<Vec<_>>();
    one.iter()
        .flat_map(with_all)
        .filter(|(a, b)| a != b)
        .collect()
}
