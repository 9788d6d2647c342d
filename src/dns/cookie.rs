//! DNS cookies (RFC 7873) as RFC 9018 wants servers to make them: all nodes share one secret, so a client that
//! learned its cookie from one node is known to all. A cookie made with the secret before the last one still counts.
//! A cookie that is wrong is no error: its client is treated as one without.

use std::net::IpAddr;

use crate::model::limits::{DNS_COOKIE_AGE_S_MAX, DNS_COOKIE_AHEAD_S_MAX};

/// Bytes of the part that the client chooses.
pub const CLIENT_BYTES: usize = 8;
/// Bytes of client and server part together, as we make them.
pub const COOKIE_BYTES: usize = 24;
/// The bounds of a whole cookie from any server (RFC 7873 section 4).
const FOREIGN_BYTES: std::ops::RangeInclusive<usize> = 16..=40;
const VERSION: u8 = 1;

/// What cookies are made with; 128 bits that only the nodes know.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    current: [u8; 16],
    previous: Option<[u8; 16]>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// Whether a query's cookie shows that its source address is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The client was here before, from this very address.
    Known,
    /// It has no cookie of ours yet, an old one or a wrong one.
    Stranger,
}

impl Secrets {
    /// Cookies are made with `current`; those made with `previous` are still taken.
    pub fn new(current: [u8; 16], previous: Option<[u8; 16]>) -> Secrets {
        Secrets { current, previous }
    }

    /// Whether the length is one that a cookie may have; another is a malformed query (RFC 7873 section 5.2.2).
    pub fn is_well_formed(option: &[u8]) -> bool {
        option.len() == CLIENT_BYTES || FOREIGN_BYTES.contains(&option.len())
    }

    /// Judges a well-formed cookie that came from `from` at `now` (seconds since 1970, which may wrap).
    pub fn judge(&self, option: &[u8], from: IpAddr, now: u32) -> Standing {
        let Some((client, server)) = option.split_first_chunk::<CLIENT_BYTES>() else {
            return Standing::Stranger;
        };
        let Ok(server) = <&[u8; 16]>::try_from(server) else {
            return Standing::Stranger;
        };
        let [version, _, _, _, a, b, c, d, hash @ ..] = *server;
        let age = now.wrapping_sub(u32::from_be_bytes([a, b, c, d])) as i32;
        let in_time = (-DNS_COOKIE_AHEAD_S_MAX..=DNS_COOKIE_AGE_S_MAX).contains(&age);
        if version != VERSION || !in_time {
            return Standing::Stranger;
        }
        let head = [version, server[1], server[2], server[3], a, b, c, d];
        let made = |secret| {
            let ours = u64::from_le_bytes(hash_of(secret, client, head, from));
            // One comparison of whole words: its time tells nothing about which byte differs.
            ours == u64::from_le_bytes(hash)
        };
        if made(&self.current) || self.previous.as_ref().is_some_and(made) {
            Standing::Known
        } else {
            Standing::Stranger
        }
    }

    /// The cookie to give back: the client's own part and a fresh one of ours. `option` is a well-formed cookie.
    pub fn make(&self, option: &[u8], from: IpAddr, now: u32) -> [u8; COOKIE_BYTES] {
        let mut cookie = [0; COOKIE_BYTES];
        let mut client = [0; CLIENT_BYTES];
        client.copy_from_slice(&option[..CLIENT_BYTES]);
        let [a, b, c, d] = now.to_be_bytes();
        let head = [VERSION, 0, 0, 0, a, b, c, d];
        cookie[..8].copy_from_slice(&client);
        cookie[8..16].copy_from_slice(&head);
        cookie[16..].copy_from_slice(&hash_of(&self.current, &client, head, from));
        cookie
    }
}

/// The hash of RFC 9018 section 4.4: client cookie, version and reserved bytes, time, client address.
fn hash_of(secret: &[u8; 16], client: &[u8; 8], head: [u8; 8], from: IpAddr) -> [u8; 8] {
    let mut text = [0; 32];
    text[..8].copy_from_slice(client);
    text[8..16].copy_from_slice(&head);
    let len = match from {
        IpAddr::V4(address) => {
            text[16..20].copy_from_slice(&address.octets());
            20
        }
        IpAddr::V6(address) => {
            text[16..].copy_from_slice(&address.octets());
            32
        }
    };
    sip_hash_2_4(secret, &text[..len]).to_le_bytes()
}

/// SipHash-2-4 with a 64-bit result (Aumasson and Bernstein, 2012).
pub(super) fn sip_hash_2_4(key: &[u8; 16], text: &[u8]) -> u64 {
    let word = |bytes: &[u8]| {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(whole)
    };
    let (k0, k1) = (word(&key[..8]), word(&key[8..]));
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let chunks = text.chunks_exact(8);
    let last = word(chunks.remainder()) | (text.len() as u64) << 56;
    for m in chunks.map(word).chain([last]) {
        v[3] ^= m;
        (0..2).for_each(|_| sip_round(&mut v));
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    (0..4).for_each(|_| sip_round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn sip_round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digits).collect()
    }

    fn secret(text: &str) -> [u8; 16] {
        hex(text).try_into().unwrap()
    }

    #[test]
    fn sip_hash_is_that_of_its_inventors() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let text: Vec<u8> = (0..15).collect();
        assert_eq!(sip_hash_2_4(&key, &text), 0xa129_ca61_49be_45e5);
    }

    /// RFC 9018 appendix A: secret, address, what the client sends, when, what it gets.
    #[test]
    fn cookies_are_those_that_other_servers_make() {
        let one = secret("e5e973e5a6b2a43f48e7dc849e37bfcf");
        let (old, new) = (
            secret("dd3bdf9344b678b185a6f5cb60fca715"),
            secret("445536bcd2513298075a5d379663c962"),
        );
        let one = Secrets::new(one, None);
        let rolled = Secrets::new(new, Some(old));
        let cases = [
            (
                &one,
                "198.51.100.100",
                "2464c4abcf10c957",
                1_559_731_985,
                "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
            ),
            (
                &one,
                "198.51.100.100",
                "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
                1_559_734_385,
                "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
            ),
            (
                &one,
                "203.0.113.203",
                "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
                1_559_734_700,
                "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
            ),
            (
                &rolled,
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                1_559_741_961,
                "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
            ),
        ];
        for (secrets, from, sent, now, given) in cases {
            let from = from.parse().unwrap();
            assert_eq!(&secrets.make(&hex(sent), from, now)[..], hex(given));
        }
    }

    #[test]
    fn a_cookie_is_good_from_its_own_address_and_for_its_time_only() {
        let key = secret("e5e973e5a6b2a43f48e7dc849e37bfcf");
        let secrets = Secrets::new(key, None);
        let from: IpAddr = "198.51.100.100".parse().unwrap();
        let made = secrets.make(b"12345678", from, 10_000);
        let judge = |cookie: &[u8], from, now| secrets.judge(cookie, from, now);
        assert_eq!(judge(&made, from, 10_000 + 3_600), Standing::Known);
        assert_eq!(judge(&made, from, 10_000 - 300), Standing::Known);
        assert_eq!(judge(&made, from, 10_000 + 3_601), Standing::Stranger);
        assert_eq!(judge(&made, from, 10_000 - 301), Standing::Stranger);
        assert_eq!(
            judge(&made, "198.51.100.101".parse().unwrap(), 10_000),
            Standing::Stranger
        );
        for at in 0..made.len() {
            let mut other = made;
            other[at] ^= 1;
            assert_eq!(judge(&other, from, 10_000), Standing::Stranger, "byte {at}");
        }
        let after_a_roll = Secrets::new([7; 16], Some(key));
        assert_eq!(after_a_roll.judge(&made, from, 10_000), Standing::Known);
        assert_eq!(
            Secrets::new([7; 16], None).judge(&made, from, 10_000),
            Standing::Stranger
        );
        for len in 0..64 {
            let bytes = vec![1; len];
            assert_eq!(
                Secrets::is_well_formed(&bytes),
                len == 8 || (16..=40).contains(&len)
            );
            assert_eq!(judge(&bytes, from, 10_000), Standing::Stranger);
        }
    }
}
