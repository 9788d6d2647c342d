//! The keeper of a node's blobs, step by step as in src/blobs.rs: fetch what is missing, say what is held, delete what
//! was released long ago.

use lifeboat::model::{
    Command, limits,
    words::{BlobHash, NodeId},
};

use super::by_node;
use crate::world::{Waits, World};

/// What a keeper is in the middle of.
#[derive(Default)]
pub struct Keeper {
    proposing: bool,
}

impl World {
    /// The keeper looks at one blob and does one thing about it.
    pub fn keeper_works(&mut self, node: NodeId) {
        let clock = self.clock_of(node);
        let Some(it) = self.nodes.get(&node).filter(|it| it.up) else {
            return;
        };
        if it.keeper.proposing {
            return;
        }
        let hashes: Vec<BlobHash> = it.state.blobs.keys().copied().collect();
        let Some(hash) = self.dice.pick(&hashes).copied() else {
            return;
        };
        let it = &self.nodes[&node];
        let (blob, has, life) = (&it.state.blobs[&hash], it.blobs.contains(&hash), it.life);
        let said = blob.holders.get(&node).copied();
        if let Some(released) = blob.released {
            if clock.ms_since(released) > limits::BLOB_RELEASE_MS {
                self.let_go_of_blob(node, hash, said.is_some());
            }
            return;
        }
        if !has && said.is_some() {
            return self.say(node, Command::BlobDropped { hash, node });
        }
        if !has {
            let holders: Vec<NodeId> = blob.holders.keys().copied().collect();
            return self.fetch(node, hash, &holders);
        }
        if said != Some(life) {
            let incarnation = life;
            self.say(
                node,
                Command::BlobHeld {
                    hash,
                    node,
                    incarnation,
                },
            );
        }
    }

    /// A flipped bit that the keeper found: the file is put aside.
    pub fn damage_a_blob(&mut self, node: NodeId) {
        let hashes: Vec<BlobHash> = self.nodes[&node].blobs.iter().copied().collect();
        // The last good copy is left alone: what nobody has, nobody can promise.
        if let Some(hash) = self.dice.pick(&hashes).copied()
            && self
                .nodes
                .values()
                .filter(|it| it.blobs.contains(&hash))
                .count()
                > 3
        {
            self.tell(format_args!("{node}: bundle-{} is damaged", hash.0[0]));
            self.blobs(node).remove(&hash);
            if let Some(it) = self.nodes.get_mut(&node) {
                it.damaged.insert(hash);
            }
        }
    }

    fn fetch(&mut self, node: NodeId, hash: BlobHash, holders: &[NodeId]) {
        let Some(holder) = self.dice.pick(holders).copied() else {
            return;
        };
        let there = self.connected(holder) && self.connected(node) && !self.unlucky(20);
        if there && self.nodes[&holder].blobs.contains(&hash) {
            self.tell(format_args!(
                "{node}: bundle-{} comes from {holder}",
                hash.0[0]
            ));
            self.blobs(node).insert(hash);
            if let Some(it) = self.nodes.get_mut(&node) {
                it.damaged.remove(&hash);
            }
        }
    }

    fn let_go_of_blob(&mut self, node: NodeId, hash: BlobHash, said_so: bool) {
        if self.blobs(node).remove(&hash) {
            self.tell(format_args!("{node}: bundle-{} is let go of", hash.0[0]));
        }
        if said_so {
            self.say(node, Command::BlobDropped { hash, node });
        }
    }

    fn say(&mut self, node: NodeId, command: Command) {
        let proposal = by_node(self.fresh(), node, command);
        if let Some(it) = self.nodes.get_mut(&node) {
            it.keeper.proposing = true;
        }
        self.send(node, proposal, Waits::Keeper);
    }

    pub fn keeper_answered(&mut self, node: NodeId) {
        if let Some(it) = self.nodes.get_mut(&node) {
            it.keeper.proposing = false;
        }
    }

    pub fn blobs(&mut self, node: NodeId) -> &mut std::collections::BTreeSet<BlobHash> {
        let it = self
            .nodes
            .get_mut(&node)
            .expect("the node that acts is there");
        &mut it.blobs
    }
}
