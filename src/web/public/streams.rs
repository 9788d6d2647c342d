//! How many streams and waiting polls may be open: of one conversation, of one network, and in all. Chat is the first
//! to give way (P10): in all there are never more than half of the connections that the public may have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::limits;
use crate::model::words::ConversationId;

/// The seats of one node.
#[derive(Debug)]
pub struct Streams {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    networks: HashMap<IpAddr, usize>,
    talks: HashMap<ConversationId, usize>,
}

/// The right to one open stream; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    streams: Arc<Streams>,
    network: Option<IpAddr>,
    talk: ConversationId,
}

impl Streams {
    /// Seats for a door that may have so many connections.
    pub fn new(connections: usize) -> Arc<Streams> {
        Arc::new(Streams {
            most: limits::STREAMS_MAX.min(connections / 2),
            taken: Mutex::default(),
        })
    }

    /// Takes a seat, if there is one. Nobody's network is counted where it has none to be counted by.
    pub fn take(
        self: &Arc<Streams>,
        network: Option<IpAddr>,
        talk: ConversationId,
    ) -> Option<Seat> {
        let mut taken = self.lock();
        let of_network = network.and_then(|it| taken.networks.get(&it).copied());
        let of_talk = taken.talks.get(&talk).copied().unwrap_or_default();
        if taken.total >= self.most
            || of_network.unwrap_or_default() >= limits::STREAMS_PER_NETWORK
            || of_talk >= limits::STREAMS_PER_CONVERSATION
        {
            return None;
        }
        taken.total += 1;
        *taken.talks.entry(talk).or_default() += 1;
        if let Some(network) = network {
            *taken.networks.entry(network).or_default() += 1;
        }
        Some(Seat {
            streams: self.clone(),
            network,
            talk,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        // A panic while it was held leaves only numbers behind.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.streams.lock();
        taken.total -= 1;
        one_less(&mut taken.talks, &self.talk);
        if let Some(network) = &self.network {
            one_less(&mut taken.networks, network);
        }
    }
}

fn one_less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(number: usize) -> ConversationId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        ConversationId(id)
    }

    #[test]
    fn p10_streams_are_bounded_by_conversation_by_network_and_by_half_of_the_connections() {
        let home = Some(IpAddr::from([192, 0, 2, 0]));
        let streams = Streams::new(100_000);
        let one: Vec<Option<Seat>> = (0..=limits::STREAMS_PER_CONVERSATION)
            .map(|_| streams.take(home, talk(0)))
            .collect();
        assert_eq!(
            one.iter().flatten().count(),
            limits::STREAMS_PER_CONVERSATION
        );
        drop(one);
        let many: Vec<Seat> = (0..2_000)
            .filter_map(|it| streams.take(home, talk(it)))
            .collect();
        assert_eq!(many.len(), limits::STREAMS_PER_NETWORK);
        assert!(streams.take(None, talk(1)).is_some(), "others have seats");
        drop(many);
        let all: Vec<Seat> = (0..20_000)
            .filter_map(|it| streams.take(None, talk(it)))
            .collect();
        assert_eq!(all.len(), limits::STREAMS_MAX);
        drop(all);
        let taken = streams.lock();
        assert_eq!(
            (taken.total, taken.networks.len(), taken.talks.len()),
            (0, 0, 0)
        );
        let few = Streams::new(20);
        let seats: Vec<Seat> = (0..20).filter_map(|it| few.take(None, talk(it))).collect();
        assert_eq!(seats.len(), 10);
    }
}
