//! Break-glass codes as people read and type them: eight groups of four symbols and one that checks the others.
//!
//! Crockford's base32: no I, L, O or U, read in any case and with any separators, so that a typing error is told apart
//! from a wrong code.

use sha2::{Digest, Sha256};

const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols of the secret, and of the group that checks it.
const SECRET: usize = 32;
const CHECK: usize = 4;

/// The secret of a code: 160 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::desk) struct Secret(pub(in crate::desk) [u8; 20]);

/// Why a text is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::desk) enum Misread {
    /// It has so many symbols.
    Length(usize),
    /// The groups do not fit together: a typing error.
    Check,
}

impl Secret {
    /// The code as it is printed.
    pub(in crate::desk) fn printed(&self) -> String {
        let symbols: Vec<u8> = five_bits(&self.0)
            .take(SECRET)
            .chain(self.check())
            .map(|it| SYMBOLS[usize::from(it)])
            .collect();
        let groups: Vec<String> = symbols
            .chunks(4)
            .map(|group| String::from_utf8_lossy(group).into_owned())
            .collect();
        groups.join("-")
    }

    /// Reads a code as people type it.
    pub(in crate::desk) fn read(text: &str) -> Result<Self, Misread> {
        let symbols: Vec<u8> = text.chars().filter_map(symbol).collect();
        if symbols.len() != SECRET + CHECK {
            return Err(Misread::Length(symbols.len()));
        }
        let (mut bytes, mut held, mut bits) = ([0; 20], 0_u32, 0);
        let mut places = bytes.iter_mut();
        for value in &symbols[..SECRET] {
            held = (held << 5 | u32::from(*value)) & 0xfff;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                if let Some(place) = places.next() {
                    *place = (held >> bits & 0xff) as u8;
                }
            }
        }
        let secret = Self(bytes);
        if !secret.check().eq(symbols[SECRET..].iter().copied()) {
            return Err(Misread::Check);
        }
        Ok(secret)
    }

    fn check(&self) -> impl Iterator<Item = u8> {
        let hash: [u8; 32] = Sha256::new_with_prefix(b"lifeboat break-glass code 1\0")
            .chain_update(self.0)
            .finalize()
            .into();
        five_bits(&hash).take(CHECK).collect::<Vec<_>>().into_iter()
    }
}

fn five_bits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    (0..bytes.len() * 8 / 5).map(move |at| {
        let bit = |it: usize| bytes[it / 8] >> (7 - it % 8) & 1;
        (at * 5..at * 5 + 5).fold(0, |sum, it| sum << 1 | bit(it))
    })
}

/// The value of a symbol; letters that look like digits are those, and separators are nothing. What is no symbol at
/// all counts as one, so that the code is found to be misread.
fn symbol(letter: char) -> Option<u8> {
    if letter.is_whitespace() || "-.\u{2013}".contains(letter) {
        return None;
    }
    let letter = match letter.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        other => other,
    };
    let at = SYMBOLS.iter().position(|it| char::from(*it) == letter);
    Some(at.map_or(0, |it| it as u8))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_code_reads_back_however_it_is_typed_and_a_typing_error_is_found(
            bytes: [u8; 20], at in 0_usize..36, by in 1_usize..32
        ) {
            let code = Secret(bytes).printed();
            prop_assert_eq!(code.len(), 44);
            let typed = code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
            prop_assert!(Secret::read(&typed).is_ok_and(|it| it.0 == bytes));
            let mut symbols: Vec<u8> = code.bytes().filter(|it| *it != b'-').collect();
            let was = SYMBOLS.iter().position(|it| *it == symbols[at]).unwrap();
            symbols[at] = SYMBOLS[(was + by) % 32];
            let wrong = Secret::read(std::str::from_utf8(&symbols).unwrap());
            // One in a million wrong codes fits its check by chance.
            prop_assert!(wrong.is_err_and(|it| it == Misread::Check));
        }

        #[test]
        fn no_text_makes_a_panic(text in "\\PC*") {
            let _ = Secret::read(&text);
        }
    }
}
