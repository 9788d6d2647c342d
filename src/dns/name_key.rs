//! The name of a question, made ready for many look-ups in one pass: in small letters, with a hash of each of its
//! suffixes, from the root up. Reused from query to query, so that nothing is allocated.

/// The most labels of a name of 255 bytes.
const LABELS: usize = 128;
/// Room for a name and a whole word behind it.
const ROOM: usize = 264;
/// A multiplier with its bits well spread (the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A name, ready to be looked up.
pub(super) struct NameKey {
    name: [u8; ROOM],
    len: usize,
    starts: [u8; LABELS],
    hashes: [u64; LABELS],
    labels: usize,
    seed: u64,
}

/// Bytes whose order is that of names in RFC 4034 section 6.1.
pub(super) struct SortKey {
    bytes: [u8; 2 * ROOM],
    len: usize,
}

impl SortKey {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl NameKey {
    /// `seed` is the same for all tables that are looked into, and nobody outside knows it.
    pub(super) fn new(seed: u64) -> NameKey {
        NameKey {
            name: [0; ROOM],
            len: 0,
            starts: [0; LABELS],
            hashes: [0; LABELS],
            labels: 0,
            seed,
        }
    }

    /// What it was made with.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Takes a whole name in wire form, uncompressed, of at most 255 bytes, in any letters.
    #[inline]
    pub(super) fn set(&mut self, name: &[u8]) {
        self.len = name.len();
        let (words, rest) = name.as_chunks::<8>();
        for (to, word) in self.name.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = lower(u64::from_le_bytes(*word)).to_le_bytes();
        }
        for (to, byte) in self.name[words.len() * 8..].iter_mut().zip(rest) {
            *to = byte.to_ascii_lowercase();
        }
        let (mut at, mut count) = (0, 0);
        while self.name[at] > 0 {
            self.starts[count] = at as u8;
            count += 1;
            at += 1 + usize::from(self.name[at]);
        }
        self.labels = count;
        self.starts[count] = at as u8;
        let mut hash = self.seed;
        self.hashes[count] = mix(hash);
        for label in (0..count).rev() {
            let at = usize::from(self.starts[label]);
            let end = usize::from(self.starts[label + 1]);
            let (words, rest) = self.name[at..end].as_chunks::<8>();
            for word in words {
                hash = mix(hash ^ u64::from_le_bytes(*word));
            }
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            hash = mix(hash ^ u64::from_le_bytes(word));
            self.hashes[label] = hash;
        }
    }

    /// Bytes of the whole name.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many labels it has; the root has none.
    pub(super) fn labels(&self) -> usize {
        self.labels
    }

    /// The hash of the suffix that begins with a label; `labels()` is the root.
    pub(super) fn hash(&self, label: usize) -> u64 {
        self.hashes[label]
    }

    /// The suffix that begins with a label, in small letters.
    pub(super) fn suffix(&self, label: usize) -> &[u8] {
        &self.name[usize::from(self.starts[label])..self.len]
    }

    /// Labels from the root down, each byte 0 or 1 as two, each label with a 0 behind: shorter labels then come before
    /// longer ones, and parents before children.
    pub(super) fn sort_key(&self) -> SortKey {
        let mut key = SortKey {
            bytes: [0; 2 * ROOM],
            len: 0,
        };
        for label in (0..self.labels).rev() {
            let at = usize::from(self.starts[label]) + 1;
            let end = usize::from(self.starts[label + 1]);
            for byte in &self.name[at..end] {
                if *byte <= 1 {
                    key.bytes[key.len] = 1;
                    key.len += 1;
                }
                key.bytes[key.len] = byte.saturating_add(u8::from(*byte <= 1));
                key.len += 1;
            }
            key.bytes[key.len] = 0;
            key.len += 1;
        }
        key
    }
}

/// Letters A to Z of eight bytes made small; all others, bytes above 127 among them, stay.
#[inline]
fn lower(word: u64) -> u64 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let low = word & !HIGH;
    let from_a = low.wrapping_add(0x3f3f_3f3f_3f3f_3f3f);
    let past_z = low.wrapping_add(0x2525_2525_2525_2525);
    word | (((from_a & !past_z) & !word & HIGH) >> 2)
}

#[inline]
fn mix(word: u64) -> u64 {
    let wide = u128::from(word ^ SPREAD) * u128::from(SPREAD.rotate_left(29) | 1);
    (wide as u64) ^ ((wide >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::domain::DomainName;
    use proptest::prelude::*;

    fn key(name: &DomainName) -> NameKey {
        let mut key = NameKey::new(7);
        key.set(name.as_wire());
        key
    }

    fn names() -> impl Strategy<Value = DomainName> {
        let byte = prop_oneof![Just(0_u8), Just(1), Just(b'a'), Just(b'b'), any::<u8>()];
        let label = prop::collection::vec(byte, 1..12);
        prop::collection::vec(label, 0..6).prop_map(|labels| {
            labels
                .iter()
                .fold(DomainName::root(), |name, label| name.child(label).unwrap())
        })
    }

    proptest! {
        #[test]
        fn eight_letters_are_made_small_at_once(bytes: [u8; 8]) {
            let small = lower(u64::from_le_bytes(bytes)).to_le_bytes();
            prop_assert_eq!(small, bytes.map(|byte| byte.to_ascii_lowercase()));
        }

        #[test]
        fn a_suffix_has_the_hash_of_the_name_that_it_is(name in names(), front in "[a-zA-Z]{1,40}") {
            let own = key(&name);
            let mut longer = NameKey::new(7);
            let mut wire = vec![front.len() as u8];
            wire.extend(front.as_bytes());
            wire.extend(name.as_wire());
            longer.set(&wire);
            prop_assert_eq!(longer.labels(), own.labels() + 1);
            prop_assert_eq!(longer.hash(1), own.hash(0));
            prop_assert_eq!(longer.suffix(1), name.as_wire());
            let small = front.to_ascii_lowercase();
            prop_assert_eq!(&longer.suffix(0)[1..=front.len()], small.as_bytes());
        }

        #[test]
        fn sort_keys_have_the_order_of_names(left in names(), right in names()) {
            let (a, b) = (key(&left).sort_key(), key(&right).sort_key());
            prop_assert_eq!(a.as_bytes().cmp(b.as_bytes()), left.cmp(&right));
        }
    }

    #[test]
    fn the_longest_name_fits() {
        let mut wire = b"\x01A".repeat(127);
        wire.push(0);
        let mut key = NameKey::new(1);
        key.set(&wire);
        assert_eq!((key.labels(), key.len()), (127, 255));
        assert_eq!(key.sort_key().as_bytes().len(), 254);
    }
}
