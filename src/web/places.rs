//! How many connections may be open: in all, and from one address (one /64 of IPv6, which is what one customer line
//! gets). A place is given back when it is dropped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts open connections.
#[derive(Debug)]
pub struct Places {
    total: usize,
    per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_source: HashMap<Source, usize>,
}

/// An IPv4 address, or the first half of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4(u32),
    V6(u64),
}

impl Source {
    fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(address) => Source::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Source::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Total,
    Address,
}

impl Places {
    pub fn new(total: usize, per_address: usize) -> Arc<Places> {
        Arc::new(Places {
            total,
            per_address,
            taken: Mutex::default(),
        })
    }

    /// Takes a place for a connection from `address`.
    pub fn take(self: &Arc<Places>, address: IpAddr) -> Result<Place, Full> {
        let source = Source::of(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.total {
            return Err(Full::Total);
        }
        let count = taken.by_source.entry(source).or_default();
        if *count >= self.per_address {
            return Err(Full::Address);
        }
        *count += 1;
        taken.total += 1;
        Ok(Place {
            places: self.clone(),
            source,
        })
    }
}

/// The right to one open connection.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    source: Source,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        if let Some(count) = taken.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(address: &str) -> IpAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn places_run_out_by_address_and_in_all_and_come_back() {
        let places = Places::new(3, 2);
        let first = places.take(ip("192.0.2.1")).expect("free");
        let _second = places.take(ip("::ffff:192.0.2.1")).expect("free");
        assert_eq!(places.take(ip("192.0.2.1")).err(), Some(Full::Address));
        let third = places.take(ip("2001:db8::1")).expect("free");
        assert_eq!(places.take(ip("192.0.2.2")).err(), Some(Full::Total));
        drop(first);
        let _fourth = places.take(ip("2001:db8::ffff:1")).expect("free");
        drop(third);
        places.take(ip("192.0.2.1")).expect("free again");
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let places = Places::new(10, 10);
        drop(places.take(ip("192.0.2.1")));
        assert!(places.taken.lock().expect("no panic").by_source.is_empty());
    }

    #[test]
    fn one_line_has_one_64_of_ipv6() {
        let places = Places::new(10, 1);
        let _place = places.take(ip("2001:db8:0:1::1")).expect("free");
        assert_eq!(
            places.take(ip("2001:db8:0:1:ffff::2")).err(),
            Some(Full::Address)
        );
        places.take(ip("2001:db8:0:2::1")).expect("another line");
    }
}
