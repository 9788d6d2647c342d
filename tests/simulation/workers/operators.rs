//! Operators: they found the cluster, publish and roll back, bring nodes and let them go.

use imbl::OrdSet;
use lifeboat::model::{
    Actor, Command, Reply,
    nodes::{CaRecord, NodeFacts, Profile, Role},
    site::SiteVersion,
    words::{BlobHash, ClusterId, KeyedHash, Label, NodeId, Note, Sealed, TokenId},
};

use super::{by, by_node};
use crate::world::{Waits, World};

/// Bundles of one run: few, so that old ones are published again.
const BUNDLES: u64 = 14;
/// Machines at a time.
const MACHINES: usize = 6;

/// Something an operator asked for, and asks again with the same id until it is known.
pub struct Ask {
    pub node: NodeId,
    id: [u8; 16],
    command: Command,
    tries: u32,
}

impl World {
    /// The first node founds the cluster, as `lifeboat init` does, and two more join.
    pub fn found(&mut self) {
        let first = NodeId::FOUNDER;
        let command = Command::Found {
            cluster: ClusterId([1; 16]),
            name: Label::new("world").unwrap(),
            profile: Profile::Near,
            authority: CaRecord {
                certificate: String::new(),
                key: Sealed {
                    key: 1,
                    bytes: Vec::new(),
                },
            },
            node: facts(1),
        };
        let proposal = by(self.fresh(), Actor::System, first, command);
        self.agree(proposal);
        self.agree_on_members(OrdSet::unit(first), OrdSet::new());
        for _ in 0..2 {
            let token = self.agreed_token(first);
            let number = self.number();
            let command = admission(token, number);
            let proposal = by(self.fresh(), operator(), first, command);
            if let Reply::Admitted(id) = self.agree(proposal) {
                self.new_machine(id);
                self.listen(id);
                self.catch_up(id, u64::MAX);
                self.promote(id);
            }
        }
        self.catch_up(first, u64::MAX);
    }

    fn agreed_token(&mut self, node: NodeId) -> TokenId {
        let token = TokenId(self.number().to_be_bytes());
        let proposal = by(self.fresh(), operator(), node, token_command(token, 1));
        self.agree(proposal);
        token
    }

    /// An operator does something on that node.
    pub fn operator_acts(&mut self, node: NodeId) {
        let versions: Vec<SiteVersion> = self.nodes[&node]
            .state
            .sites
            .versions
            .keys()
            .copied()
            .collect();
        let tokens: Vec<TokenId> = self.nodes[&node].state.tokens.keys().copied().collect();
        let known: Vec<NodeId> = self.nodes[&node].state.nodes.keys().copied().collect();
        match self.dice.below(16) {
            0..5 => self.publish(node),
            5..7 => {
                if let Some(version) = self.dice.pick(&versions).copied() {
                    self.ask(node, Command::RollbackSite { version });
                }
            }
            7..9 => {
                let token = TokenId(self.number().to_be_bytes());
                let uses = u16::try_from(self.dice.below(3)).unwrap();
                self.ask(node, token_command(token, uses));
            }
            9..13 => {
                if let Some(token) = self.dice.pick(&tokens).copied()
                    && self.nodes.len() < MACHINES
                {
                    let number = self.number();
                    self.ask(node, admission(token, number));
                }
            }
            13 => {
                if let Some(token) = self.dice.pick(&tokens).copied() {
                    self.ask(node, Command::RevokeToken { token });
                }
            }
            14 => {
                if let Some(id) = self.dice.pick(&known).copied() {
                    // Mostly refused, for it is a member. One that was admitted and never came is cleared away.
                    if !self.nodes.contains_key(&id) || self.agreed.members().contains(&id) {
                        self.ask(node, Command::ForgetNode { node: id });
                    }
                }
            }
            _ => {
                let profile = Profile::Wan;
                self.ask(node, Command::SetProfile { profile });
            }
        }
    }

    /// The bundle is on the publisher's disk before it is proposed.
    fn publish(&mut self, node: NodeId) {
        let number = u8::try_from(self.dice.below(BUNDLES)).unwrap();
        let bundle = BlobHash([number; 32]);
        self.blobs(node).insert(bundle);
        self.tell(format_args!(
            "bundle-{number} is put on {node} and published"
        ));
        let command = Command::PublishSite {
            bundle,
            size: 1_000,
            files: 3,
            note: Note::cut("why not"),
        };
        self.ask(node, command);
    }

    fn ask(&mut self, node: NodeId, command: Command) {
        let (number, id) = (self.number(), self.fresh());
        let proposal = by(id, operator(), node, command.clone());
        let ask = Ask {
            node,
            id,
            command,
            tries: 1,
        };
        self.asks.insert(number, ask);
        self.send(node, proposal, Waits::Ask(number));
    }

    pub fn ask_answered(&mut self, number: u64, reply: Option<Reply>) {
        let Some(ask) = self.asks.get_mut(&number) else {
            return;
        };
        if reply.is_none() && ask.tries < 5 {
            ask.tries += 1;
            let (node, id, command) = (ask.node, ask.id, ask.command.clone());
            return self.send(node, by(id, operator(), node, command), Waits::Ask(number));
        }
        self.asks.remove(&number);
        if let Some(Reply::Admitted(id)) = reply
            && self.agreed.nodes.contains_key(&id)
            && !self.nodes.contains_key(&id)
        {
            self.new_machine(id);
            self.tell(format_args!("{id} is set up"));
        }
    }

    /// Somebody who leads changes who belongs to the cluster.
    pub fn roster_changes(&mut self) {
        if !self.quorum() {
            return;
        }
        let (voters, learners) = (self.agreed.voters.clone(), self.agreed.learners.clone());
        let known = |it: &&NodeId| self.agreed.nodes.contains_key(*it);
        let outside: Vec<NodeId> = self
            .nodes
            .keys()
            .filter(known)
            .filter(|it| !voters.contains(*it) && !learners.contains(*it))
            .copied()
            .collect();
        let listening: Vec<NodeId> = learners.iter().copied().collect();
        let voting: Vec<NodeId> = voters.iter().copied().collect();
        match self.dice.below(6) {
            0..3 if !outside.is_empty() => {
                let id = *self.dice.pick(&outside).unwrap();
                self.listen(id);
                self.report(id);
            }
            0..4 if !listening.is_empty() => {
                let id = *self.dice.pick(&listening).unwrap();
                // Promoted once it has caught up.
                let behind = self
                    .nodes
                    .get(&id)
                    .map_or(u64::MAX, |it| self.agreed.index - it.state.index);
                if behind < 50 && voters.len() < 5 {
                    self.promote(id);
                }
            }
            4 if voters.len() > 3 => {
                let id = *self.dice.pick(&voting).unwrap();
                let left = voters.without(&id);
                if self.can_live(&left) {
                    self.agree_on_members(left, learners.update(id));
                }
            }
            _ => self.remove_one(),
        }
    }

    /// A node leaves: after its letterbox is drained, or because its machine burnt down.
    fn remove_one(&mut self) {
        let (voters, learners) = (self.agreed.voters.clone(), self.agreed.learners.clone());
        let members: Vec<NodeId> = self.agreed.members().iter().copied().collect();
        let Some(id) = self.dice.pick(&members).copied() else {
            return;
        };
        if voters.contains(&id) && voters.len() <= 3 {
            return;
        }
        let drained = self
            .nodes
            .get(&id)
            .is_some_and(|it| it.up && it.letterbox.is_empty());
        let left = voters.without(&id);
        if !self.can_live(&left) {
            return;
        }
        let after_fire = left
            .iter()
            .filter(|it| self.nodes.contains_key(*it))
            .count();
        let burns = !drained && after_fire * 2 > voters.len() && self.dice.percent(30);
        if !drained && !burns {
            return;
        }
        if burns {
            self.burn(id);
            if !self.quorum() {
                return;
            }
        }
        self.agree_on_members(voters.without(&id), learners.without(&id));
        if drained {
            // Its operator stops it for good; nothing was left in it.
            self.burn(id);
        }
        let up = self.up();
        if let Some(node) = self.dice.pick(&up).copied() {
            self.ask(node, Command::ForgetNode { node: id });
        }
    }

    /// Whether most of these voters still have a machine: nobody takes away what cannot come back.
    fn can_live(&self, voters: &OrdSet<NodeId>) -> bool {
        let there = voters.iter().filter(|it| self.nodes.contains_key(*it));
        there.count() * 2 > voters.len()
    }

    fn listen(&mut self, id: NodeId) {
        let learners = self.agreed.learners.update(id);
        self.agree_on_members(self.agreed.voters.clone(), learners);
    }

    fn promote(&mut self, id: NodeId) {
        let learners = self.agreed.learners.without(&id);
        self.agree_on_members(self.agreed.voters.update(id), learners);
    }

    fn report(&mut self, id: NodeId) {
        let Some(facts) = self.agreed.nodes.get(&id).map(|it| it.facts.clone()) else {
            return;
        };
        let incarnation = self.nodes.get(&id).map_or(1, |it| it.life);
        let command = Command::ReportNode {
            node: id,
            facts,
            incarnation,
        };
        let proposal = by_node(self.fresh(), id, command);
        self.send(id, proposal, Waits::Nobody);
    }
}

fn operator() -> Actor {
    Actor::Local { uid: 1_000 }
}

fn token_command(token: TokenId, uses: u16) -> Command {
    Command::CreateToken {
        token,
        secret_hash: KeyedHash([7; 32]),
        role: Role::Voter,
        uses,
        ttl_ms: 3_600_000,
    }
}

fn admission(token: TokenId, number: u64) -> Command {
    Command::AdmitNode {
        token,
        secret_hash: KeyedHash([7; 32]),
        node: facts(number),
    }
}

fn facts(number: u64) -> NodeFacts {
    NodeFacts {
        name: Label::new(&format!("node-{number}")).unwrap(),
        provider: Label::new(&format!("provider-{}", number % 3)).unwrap(),
        region: Label::new("eu").unwrap(),
        advertise: Note::cut(&format!("node-{number}.example:1")),
        sites: Vec::new(),
        fingerprint: KeyedHash([9; 32]),
        format: 1,
        version: Note::cut("0.1.0"),
    }
}
