//! How fast one address, one network and everybody together may write. Node-local and in memory: a restart forgives.
//!
//! Each bucket is kept as one number (the generic cell rate algorithm): the time at which it is empty again. Past the soft bound a message is kept apart, past the hard one the visitor is asked to wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::config::Network;
use crate::model::limits::{self, Bucket};
use crate::model::words::{ConversationId, TicketCode};

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Host(IpAddr),
    Net(IpAddr),
    Everybody,
    Talk(ConversationId),
    TryHost(IpAddr),
    TryTicket(TicketCode),
    AskHost(IpAddr),
    AskNet(IpAddr),
    FilesHost(IpAddr),
    FilesNet(IpAddr),
}

/// What a visitor may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as people write.
    Ordinary,
    /// Faster: what is sent is kept apart.
    Crowded,
    /// Too fast: wait so many seconds (1 or more).
    Wait(u64),
}

/// All buckets of this node.
#[derive(Debug)]
pub struct Paces {
    unhurried: Vec<Network>,
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// When each bucket is empty again, in milliseconds from the start. One that is empty need not be here.
    empty_at: HashMap<Key, u64>,
    swept_at: u64,
}

impl Paces {
    /// Empty buckets. Who comes from an unhurried network is counted only together with everybody.
    pub fn new(unhurried: Vec<Network>) -> Paces {
        Paces {
            unhurried,
            start: clock::monotonic(),
            inner: Mutex::default(),
        }
    }

    /// Somebody opens a conversation.
    pub fn open(&self, address: IpAddr) -> Pace {
        let mut keys = self.of_address(address);
        keys.push((Key::Everybody, limits::PACE_EVERYBODY));
        self.take(&keys)
    }

    /// Somebody adds to a conversation.
    pub fn add(&self, address: IpAddr, conversation: ConversationId) -> Pace {
        let mut keys = self.of_address(address);
        keys.push((Key::Talk(conversation), limits::PACE_CONVERSATION));
        keys.push((Key::Everybody, limits::PACE_EVERYBODY));
        self.take(&keys)
    }

    /// Somebody tries a ticket code.
    pub fn try_ticket(&self, address: IpAddr, code: &TicketCode) -> Pace {
        let mut keys = vec![(Key::TryTicket(code.clone()), limits::PACE_TICKET)];
        if !self.is_unhurried(address) {
            keys.push((Key::TryHost(host(address)), limits::PACE_TICKETS_OF_HOST));
        }
        self.take(&keys)
    }

    /// Somebody asks whether something is affected.
    pub fn is_it_me(&self, address: IpAddr) -> Pace {
        if self.is_unhurried(address) {
            return Pace::Ordinary;
        }
        self.take(&[
            (Key::AskHost(host(address)), limits::PACE_IS_IT_ME),
            (Key::AskNet(network(address)), limits::PACE_IS_IT_ME_NETWORK),
        ])
    }

    /// Somebody sends files of these sizes in bytes. Each counts at least once, as there is room for so many only.
    pub fn files(&self, address: IpAddr, sizes: impl Iterator<Item = u64>) -> Pace {
        let count: u64 = sizes.map(|bytes| bytes.div_ceil(1 << 20).max(1)).sum();
        if count == 0 || self.is_unhurried(address) {
            return Pace::Ordinary;
        }
        let keys = [
            (Key::FilesHost(host(address)), limits::PACE_FILES),
            (Key::FilesNet(network(address)), limits::PACE_FILES_NETWORK),
        ];
        self.take_many(&keys, count)
    }

    /// The network that somebody is counted by; nothing for one where many people share few addresses.
    pub fn network_of(&self, address: IpAddr) -> Option<IpAddr> {
        (!self.is_unhurried(address)).then(|| network(address))
    }

    fn of_address(&self, address: IpAddr) -> Vec<(Key, Bucket)> {
        if self.is_unhurried(address) {
            return Vec::new();
        }
        vec![
            (Key::Host(host(address)), limits::PACE_HOST),
            (Key::Net(network(address)), limits::PACE_NETWORK),
        ]
    }

    fn is_unhurried(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.unhurried.iter().any(|network| network.holds(address))
    }

    fn take(&self, keys: &[(Key, Bucket)]) -> Pace {
        self.take_many(keys, 1)
    }

    fn take_many(&self, keys: &[(Key, Bucket)], count: u64) -> Pace {
        let now = clock::monotonic().saturating_duration_since(self.start);
        // A panic while the lock was held leaves only numbers behind, each of which is still true.
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(keys, count, now)
    }
}

impl Inner {
    fn take(&mut self, keys: &[(Key, Bucket)], count: u64, now: Duration) -> Pace {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.make_room(now);
        let mut crowded = false;
        for (key, bucket) in keys {
            let level = self.level_after(key, *bucket, count, now);
            let hard = bucket.hard * bucket.each_ms;
            if level > hard {
                return Pace::Wait((level - hard).div_ceil(1000).max(1));
            }
            crowded |= level > bucket.soft * bucket.each_ms;
        }
        for (key, bucket) in keys {
            let empty_at = now.saturating_add(self.level_after(key, *bucket, count, now));
            if self.empty_at.len() < limits::PACE_KEYS_MAX
                || self.empty_at.contains_key(key)
                || *key == Key::Everybody
            {
                self.empty_at.insert(key.clone(), empty_at);
            }
        }
        if crowded {
            Pace::Crowded
        } else {
            Pace::Ordinary
        }
    }

    /// How full the bucket would be with so many more, in milliseconds until it is empty.
    fn level_after(&self, key: &Key, bucket: Bucket, count: u64, now: u64) -> u64 {
        self.empty_at
            .get(key)
            .map_or(0, |at| at.saturating_sub(now))
            + bucket.each_ms * count
    }

    /// Lets go of empty buckets when there are many, at most once a second. Where that is not enough, new addresses are
    /// counted only together with everybody.
    fn make_room(&mut self, now: u64) {
        if self.empty_at.len() >= limits::PACE_KEYS_MAX && now >= self.swept_at + 1000 {
            self.swept_at = now;
            self.empty_at.retain(|_, at| *at > now);
        }
    }
}

/// One home or machine: an IPv4 address, or an IPv6 /64, which is what one line gets.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => masked(address, 64).into(),
    }
}

/// One neighbourhood: /24 or /48.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) & 0xffff_ff00).into(),
        IpAddr::V6(address) => masked(address, 48).into(),
    }
}

fn masked(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(address) & (u128::MAX << (128 - bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: [u8; 4] = [192, 0, 2, 7];

    fn address(last: u8) -> IpAddr {
        [198, 51, 100, last].into()
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_is_first_crowded_then_asked_to_wait_and_is_forgiven_with_time() {
        let paces = Paces::new(Vec::new());
        let seen: Vec<Pace> = (0..=limits::PACE_HOST.hard)
            .map(|_| paces.open(HOME.into()))
            .collect();
        let soft = usize::try_from(limits::PACE_HOST.soft).unwrap();
        assert!(seen[..soft].iter().all(|it| *it == Pace::Ordinary));
        assert!(
            seen[soft..seen.len() - 1]
                .iter()
                .all(|it| *it == Pace::Crowded)
        );
        let Some(Pace::Wait(seconds)) = seen.last() else {
            panic!("{seen:?}")
        };
        assert_eq!(
            paces.open(address(1)),
            Pace::Ordinary,
            "a stranger does not wait"
        );
        tokio::time::advance(Duration::from_secs(*seconds)).await;
        assert_eq!(paces.open(HOME.into()), Pace::Crowded);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(paces.open(HOME.into()), Pace::Ordinary);
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_is_slowed_where_its_addresses_take_turns() {
        let paces = Paces::new(Vec::new());
        let seen: Vec<Pace> = (0..=limits::PACE_NETWORK.hard)
            .map(|turn| paces.open(address(u8::try_from(turn % 256).unwrap())))
            .collect();
        assert!(matches!(seen.last(), Some(Pace::Wait(_))));
        assert_eq!(
            paces.open(HOME.into()),
            Pace::Ordinary,
            "another network does not wait"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_unhurried_network_counts_only_with_everybody() {
        let paces = Paces::new(Vec::from([Network::read("198.51.100.0/24").unwrap()]));
        let ordinary =
            (0..limits::PACE_EVERYBODY.soft).all(|_| paces.open(address(9)) == Pace::Ordinary);
        assert!(ordinary);
        assert_eq!(paces.open(address(9)), Pace::Crowded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_code_cannot_be_tried_from_many_addresses_either() {
        let paces = Paces::new(Vec::new());
        let code = TicketCode::from_entropy(1);
        let seen: Vec<Pace> = (0..=limits::PACE_TICKET.hard)
            .map(|turn| paces.try_ticket([10, 0, 0, u8::try_from(turn).unwrap()].into(), &code))
            .collect();
        assert!(matches!(seen.last(), Some(Pace::Wait(_))));
        assert_ne!(
            paces.try_ticket(HOME.into(), &TicketCode::from_entropy(2)),
            seen[seen.len() - 1]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_does_not_fill_the_room_for_files_by_large_ones_or_by_many() {
        let paces = Paces::new(Vec::from([Network::read("203.0.113.0/24").unwrap()]));
        let large = || [limits::FILE_BYTES_MAX; limits::FILES_PER_MESSAGE].into_iter();
        assert_eq!(paces.files(HOME.into(), large()), Pace::Ordinary);
        assert_eq!(paces.files(HOME.into(), large()), Pace::Ordinary);
        let Pace::Wait(seconds) = paces.files(HOME.into(), large()) else {
            panic!("75 MiB at once");
        };
        assert_eq!(paces.files(address(1), large()), Pace::Ordinary);
        assert_eq!(paces.open(HOME.into()), Pace::Ordinary, "words go through");
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(paces.files(HOME.into(), large()), Pace::Ordinary);
        let small = (0..=limits::PACE_FILES.hard).map(|_| paces.files(address(2), [7].into_iter()));
        assert!(matches!(small.last(), Some(Pace::Wait(_))));
        let few = [203, 0, 113, 7].into();
        assert!((0..100).all(|_| paces.files(few, large()) == Pace::Ordinary));
        assert_eq!(paces.files(few, [].into_iter()), Pace::Ordinary);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut inner = Inner::default();
        for turn in 0..200_000_u32 {
            let host = Key::Host(Ipv4Addr::from(turn).into());
            inner.take(
                &[
                    (host, limits::PACE_HOST),
                    (Key::Everybody, limits::PACE_EVERYBODY),
                ],
                1,
                Duration::from_millis(turn.into()),
            );
        }
        assert!(inner.empty_at.len() <= limits::PACE_KEYS_MAX + 1);
        assert!(inner.empty_at.contains_key(&Key::Everybody));
    }

    #[test]
    fn an_address_in_ipv6_clothes_is_the_same_address() {
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(host(mapped), IpAddr::from(HOME));
        assert_eq!(
            host("2001:db8:1:2:3::4".parse().unwrap()),
            "2001:db8:1:2::".parse::<IpAddr>().unwrap()
        );
        assert_eq!(
            network("2001:db8:1:2:3::4".parse().unwrap()),
            "2001:db8:1::".parse::<IpAddr>().unwrap()
        );
    }
}
