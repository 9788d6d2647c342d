//! TLS session tickets of the public side, with keys that every node derives alike.
//!
//! A customer whose node died resumes at another without a full handshake. Keys change every six
//! hours and hang on the service key: in TLS 1.3 a resumed session has a fresh key exchange all the
//! same; in TLS 1.2 somebody with the service key could read recorded resumed sessions.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use rustls::server::ProducesTickets;

use crate::{
    clock,
    model::{limits, words::Timestamp},
};

use super::peer::Now;

const PERIOD_MS: u64 = limits::TICKET_LIFE_MS / 2;
const PERIOD_BYTES: usize = 8;

/// Seals and opens session tickets. Nodes with the same secret open each other's.
pub struct SharedTickets {
    secret: hmac::Key,
    now: Now,
}

impl fmt::Debug for SharedTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedTickets(secret withheld)")
    }
}

impl SharedTickets {
    /// `secret` is the same on every node and used for nothing else.
    pub fn new(secret: &[u8; 32], now: Now) -> Self {
        Self {
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret),
            now,
        }
    }

    fn key(&self, period: u64) -> Option<LessSafeKey> {
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(b"lifeboat tls ticket 1");
        context.update(&period.to_be_bytes());
        UnboundKey::new(&AES_256_GCM, context.sign().as_ref())
            .ok()
            .map(LessSafeKey::new)
    }

    fn period(&self) -> u64 {
        let Timestamp(now) = (self.now)();
        now / PERIOD_MS
    }
}

impl ProducesTickets for SharedTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        (limits::TICKET_LIFE_MS / 1_000) as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let period = self.period();
        let nonce: [u8; NONCE_LEN] = clock::random_bytes();
        let mut sealed = plain.to_vec();
        let key = self.key(period)?;
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut sealed,
        )
        .ok()?;
        Some([&period.to_be_bytes(), &nonce[..], &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (period, rest) = ticket.split_first_chunk::<PERIOD_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let period = u64::from_be_bytes(*period);
        // Two periods back is the ticket's life; one ahead is another node's faster clock.
        if period.abs_diff(self.period()) > 2 || period > self.period() + 1 {
            return None;
        }
        let mut opened = sealed.to_vec();
        let plain = self.key(period)?.open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::empty(),
            &mut opened,
        );
        plain.ok().map(|plain| plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ten() -> Timestamp {
        Timestamp(10 * PERIOD_MS)
    }
    fn at_twelve() -> Timestamp {
        Timestamp(12 * PERIOD_MS)
    }
    fn at_thirteen() -> Timestamp {
        Timestamp(13 * PERIOD_MS)
    }

    #[test]
    fn another_node_opens_a_ticket_within_its_life_and_not_after() {
        let ticket = SharedTickets::new(&[1; 32], at_ten)
            .encrypt(b"session")
            .unwrap();
        let opened = |secret, now| SharedTickets::new(&[secret; 32], now).decrypt(&ticket);
        assert_eq!(opened(1, at_twelve), Some(b"session".to_vec()));
        assert_eq!(opened(1, at_thirteen), None);
        assert_eq!(opened(2, at_ten), None);
    }

    #[test]
    fn a_tampered_ticket_is_no_ticket() {
        let tickets = SharedTickets::new(&[1; 32], at_ten);
        let ticket = tickets.encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut bad = ticket.clone();
            bad[at] ^= 1;
            assert_eq!(tickets.decrypt(&bad), None, "byte {at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None);
        }
    }
}
