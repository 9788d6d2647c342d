//! Response rate limiting: who gets many answers over UDP gets some of them empty, so that a forged source address
//! is no weapon and a true one comes back over TCP. One table a thread, of fixed size; a busy table may count two
//! networks as one, which makes both slower and nobody deaf. Nothing here reads a clock or a socket.

use std::net::IpAddr;

use super::cookie::sip_hash_2_4;
use crate::model::limits::{DNS_RATE_HALF_LIFE_MS, DNS_RATE_SLOTS};

/// How many answers a network may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Answers a second to one network (a /24 of IPv4, a /56 of IPv6) that go on for ever.
    pub per_second: u32,
    /// Of the answers past it, every so many-th is sent empty with TC set, the others are left out; 0 sends none.
    pub slip: u32,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent.
    Send,
    /// It is sent empty, with TC set: a true client asks again over TCP.
    Slip,
    /// It is not sent.
    Leave,
}

/// What is known of one network: its count halves every `DNS_RATE_HALF_LIFE_MS`.
#[derive(Clone, Copy, Default)]
struct Slot {
    tag: u32,
    count: f32,
    seen_ms: u32,
    over: u32,
}

/// The counts of one thread.
pub struct Rates {
    slots: Box<[Slot]>,
    key: [u8; 16],
    most: f32,
    slip: u32,
}

impl Rates {
    /// `key` is random, so that nobody can aim at a slot; `shares` is the number of threads that the pace is for.
    pub fn new(pace: Pace, shares: u32, key: [u8; 16]) -> Rates {
        // A steady flow of r a second, halved every h, comes to r * h / ln 2.
        let each = pace.per_second as f32 / shares.max(1) as f32;
        let steady = each * DNS_RATE_HALF_LIFE_MS as f32 / 1_000.0 / std::f32::consts::LN_2;
        Rates {
            slots: vec![Slot::default(); DNS_RATE_SLOTS].into(),
            key,
            most: steady.max(1.0),
            slip: pace.slip,
        }
    }

    /// Counts an answer to `from` at `now_ms` (any clock that only grows; it may wrap) and says what becomes of it.
    pub fn judge(&mut self, from: IpAddr, now_ms: u32) -> Verdict {
        let hash = sip_hash_2_4(&self.key, &network(from));
        let (tag, at) = (
            (hash >> 32) as u32,
            hash as usize % (self.slots.len() / 2) * 2,
        );
        // Two places for each network; when others have both, it takes that of the quieter one with its count.
        let [first, second] = &mut self.slots[at..at + 2] else {
            return Verdict::Send;
        };
        fade(first, now_ms);
        fade(second, now_ms);
        let slot = if first.tag == tag || (second.tag != tag && first.count <= second.count) {
            first
        } else {
            second
        };
        if slot.tag != tag {
            slot.tag = tag;
            slot.over = 0;
        }
        slot.count += 1.0;
        if slot.count <= self.most {
            return Verdict::Send;
        }
        // What is not sent costs nobody anything: past twice the pace the count grows no more, so that a network
        // is heard again one half-life after the flood.
        slot.count = slot.count.min(self.most * 2.0);
        slot.over = slot.over.wrapping_add(1);
        if self.slip > 0 && slot.over % self.slip == 0 {
            Verdict::Slip
        } else {
            Verdict::Leave
        }
    }
}

/// Lets a count lose what its age takes.
fn fade(slot: &mut Slot, now_ms: u32) {
    let age = now_ms.wrapping_sub(slot.seen_ms);
    if age > 0 {
        slot.count *= (-(age as f32) / DNS_RATE_HALF_LIFE_MS as f32).exp2();
        slot.seen_ms = now_ms;
    }
}

/// The network that an address counts for, with its kind.
pub(super) fn network(from: IpAddr) -> [u8; 8] {
    match from {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            [4, a, b, c, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => network(IpAddr::V4(address)),
            None => {
                let [a, b, c, d, e, f, g, ..] = address.octets();
                [a, b, c, d, e, f, g, 6]
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(rates: &mut Rates, from: &str, each_second: u32, seconds: u32) -> (u32, u32) {
        let from = from.parse().unwrap();
        let (mut sent, mut slipped) = (0, 0);
        for k in 0..each_second * seconds {
            match rates.judge(from, 1_000 + k * 1_000 / each_second) {
                Verdict::Send => sent += 1,
                Verdict::Slip => slipped += 1,
                Verdict::Leave => {}
            }
        }
        (sent, slipped)
    }

    fn rates(per_second: u32, slip: u32) -> Rates {
        Rates::new(Pace { per_second, slip }, 1, [3; 16])
    }

    #[test]
    fn who_keeps_the_pace_gets_every_answer() {
        assert_eq!(sent(&mut rates(100, 2), "192.0.2.1", 95, 60), (95 * 60, 0));
        assert_eq!(
            sent(&mut rates(100, 2), "2001:db8::1", 95, 60),
            (95 * 60, 0)
        );
    }

    #[test]
    fn a_flood_is_cut_to_about_the_pace_and_every_second_answer_slips() {
        let (full, slipped) = sent(&mut rates(100, 2), "192.0.2.1", 10_000, 10);
        assert!((100..=2_500).contains(&full), "{full}");
        assert!((48_000..=50_000).contains(&slipped), "{slipped}");
        assert_eq!(sent(&mut rates(100, 0), "192.0.2.1", 10_000, 10).1, 0);
    }

    #[test]
    fn a_neighbour_shares_the_count_and_another_network_does_not() {
        let mut rates = rates(10, 0);
        let judge = |rates: &mut Rates, from: &str| rates.judge(from.parse().unwrap(), 5_000);
        while judge(&mut rates, "192.0.2.1") == Verdict::Send {}
        assert_eq!(judge(&mut rates, "192.0.2.200"), Verdict::Leave);
        assert_eq!(judge(&mut rates, "::ffff:192.0.2.7"), Verdict::Leave);
        assert_eq!(judge(&mut rates, "192.0.3.1"), Verdict::Send);
        while judge(&mut rates, "2001:db8:0:1::1") == Verdict::Send {}
        assert_eq!(judge(&mut rates, "2001:db8:0:ff::1"), Verdict::Leave);
        assert_eq!(judge(&mut rates, "2001:db8:0:100::1"), Verdict::Send);
    }

    #[test]
    fn a_network_is_heard_again_soon_after_its_flood() {
        let mut rates = rates(100, 0);
        let from = "192.0.2.1".parse().unwrap();
        for _ in 0..100_000 {
            rates.judge(from, 1_000);
        }
        assert_eq!(rates.judge(from, 1_001), Verdict::Leave);
        let later = 1_100 + 2 * u32::try_from(DNS_RATE_HALF_LIFE_MS).unwrap();
        assert_eq!(rates.judge(from, later), Verdict::Send);
    }

    #[test]
    fn many_networks_and_any_time_cost_no_memory_and_no_panic() {
        let mut rates = rates(10, 2);
        for k in 0..200_000_u32 {
            let from = IpAddr::V4(std::net::Ipv4Addr::from(k.wrapping_mul(2_654_435_761)));
            rates.judge(from, k.wrapping_mul(40_503));
        }
        assert_eq!(rates.slots.len(), DNS_RATE_SLOTS);
    }
}
