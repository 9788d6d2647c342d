//! Bounds of the listener: connections in all and from one network, memory of all messages that are being taken, and
//! how many conversations one network opens in a minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::model::limits::{MAIL_IN_NETWORKS_KNOWN, MAIL_IN_OPENED_A_MINUTE};

const MINUTE: Duration = Duration::from_secs(60);

/// An IPv4 address, or the first half of an IPv6 address.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts connections and bytes.
pub struct Places {
    total: usize,
    per_network: usize,
    taken: Mutex<HashMap<u128, usize>>,
    open: AtomicUsize,
    room: AtomicUsize,
}

impl Places {
    /// For so many connections, so many from one network, and so many bytes of messages.
    pub fn new(total: usize, per_network: usize, bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            per_network,
            taken: Mutex::default(),
            open: AtomicUsize::new(0),
            room: AtomicUsize::new(bytes),
        })
    }

    /// A place for a connection, if there is one.
    pub fn take(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let network = network(from);
        let mut taken = locked(&self.taken);
        if self.open.load(Ordering::Relaxed) >= self.total {
            return None;
        }
        let count = taken.entry(network).or_default();
        if *count >= self.per_network {
            return None;
        }
        *count += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            places: self.clone(),
            network,
        })
    }

    /// Whether four fifths of the places are taken.
    pub fn is_busy(&self) -> bool {
        self.open.load(Ordering::Relaxed) * 5 >= self.total * 4
    }

    /// No bytes yet, of the room for messages.
    pub fn room(self: &Arc<Self>) -> Room {
        Room {
            places: self.clone(),
            bytes: 0,
        }
    }
}

/// The right to one connection, until dropped.
pub struct Place {
    places: Arc<Places>,
    network: u128,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = locked(&self.places.taken);
        self.places.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = taken.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

/// Memory for one message, given back when dropped.
pub struct Room {
    places: Arc<Places>,
    bytes: usize,
}

impl Room {
    /// Whether there is room for so many bytes in all.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes) else {
            return true;
        };
        let room = &self.places.room;
        let taken = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| {
            it.checked_sub(more)
        });
        if taken.is_ok() {
            self.bytes = bytes;
        }
        taken.is_ok()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.places.room.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// How often networks open conversations.
#[derive(Default)]
pub struct Pace(Mutex<HashMap<u128, (Instant, u32)>>);

impl Pace {
    /// Whether one more is taken now.
    pub fn allows(&self, from: IpAddr) -> bool {
        let (network, now) = (network(from), clock::monotonic());
        let mut known = locked(&self.0);
        if known.len() >= MAIL_IN_NETWORKS_KNOWN {
            known.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
        }
        if known.len() >= MAIL_IN_NETWORKS_KNOWN && !known.contains_key(&network) {
            return false;
        }
        let (since, count) = known.entry(network).or_insert((now, 0));
        if now.duration_since(*since) >= MINUTE {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= MAIL_IN_OPENED_A_MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn p10_places_run_out_by_network_and_in_all_and_come_back() {
        let places = Places::new(3, 2, 10);
        let first = places.take(ip("192.0.2.1"));
        let _second = places.take(ip("::ffff:192.0.2.1")).unwrap();
        assert!(places.take(ip("192.0.2.1")).is_none());
        let _third = places.take(ip("2001:db8::1")).unwrap();
        assert!(places.is_busy() && places.take(ip("192.0.2.2")).is_none());
        drop(first);
        assert!(places.take(ip("2001:db8::2")).is_some());
    }

    #[test]
    fn p10_room_for_messages_runs_out_and_comes_back() {
        let places = Places::new(3, 2, 10);
        let (mut one, mut two) = (places.room(), places.room());
        assert!(one.grow(4) && one.grow(8) && !two.grow(3) && two.grow(2));
        drop(one);
        assert!(two.grow(10) && !two.grow(11));
    }

    #[tokio::test(start_paused = true)]
    async fn p10_a_network_opens_so_many_in_a_minute_and_others_are_not_held_up() {
        let pace = Pace::default();
        for _ in 0..MAIL_IN_OPENED_A_MINUTE {
            assert!(pace.allows(ip("2001:db8::1")));
        }
        assert!(!pace.allows(ip("2001:db8::2")) && pace.allows(ip("192.0.2.1")));
        tokio::time::advance(MINUTE).await;
        assert!(pace.allows(ip("2001:db8::2")));
    }
}
