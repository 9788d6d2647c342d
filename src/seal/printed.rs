//! Secrets as people read them from paper and type them: groups of four symbols, the last of which checks the others.
//!
//! Crockford's base32: no I, L, O or U, read in any case and with any separators, so that a typing error is told apart
//! from a wrong secret.

use sha2::{Digest, Sha256};

const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols of the group that checks the others: one typing error in a million is not found.
const CHECK: usize = 4;

/// Why a text is no such secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    /// It has so many symbols.
    #[error("{0} symbols")]
    Length(usize),
    /// The groups do not fit together: a typing error.
    #[error("a typing error")]
    Check,
}

/// The text on paper. `purpose` is part of the check, so that secrets of different kinds are told apart; the bytes are a
/// multiple of five.
pub fn print(purpose: &str, bytes: &[u8]) -> String {
    let symbols: Vec<u8> = five_bits(bytes)
        .chain(check(purpose, bytes))
        .map(|it| SYMBOLS[usize::from(it)])
        .collect();
    let groups: Vec<String> = symbols
        .chunks(4)
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect();
    groups.join("-")
}

/// Groups of four symbols that so many bytes are printed as.
pub const fn groups(bytes: usize) -> usize {
    (bytes * 8 / 5 + CHECK) / 4
}

/// Reads it as people type it.
///
/// # Errors
/// When it is too short, too long, or was typed wrong.
pub fn read<const N: usize>(purpose: &str, text: &str) -> Result<[u8; N], Misread> {
    let symbols: Vec<u8> = text.chars().filter_map(symbol).collect();
    if symbols.len() != N * 8 / 5 + CHECK {
        return Err(Misread::Length(symbols.len()));
    }
    let (said, checks) = symbols.split_at(N * 8 / 5);
    let (mut bytes, mut held, mut bits) = ([0; N], 0_u32, 0);
    let mut places = bytes.iter_mut();
    for value in said {
        held = (held << 5 | u32::from(*value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            if let Some(place) = places.next() {
                *place = (held >> bits & 0xff) as u8;
            }
        }
    }
    if !check(purpose, &bytes).eq(checks.iter().copied()) {
        return Err(Misread::Check);
    }
    Ok(bytes)
}

fn check(purpose: &str, bytes: &[u8]) -> impl Iterator<Item = u8> {
    let hash: [u8; 32] = Sha256::new_with_prefix(b"lifeboat ")
        .chain_update(purpose)
        .chain_update([0])
        .chain_update(bytes)
        .finalize()
        .into();
    five_bits(&hash).take(CHECK).collect::<Vec<_>>().into_iter()
}

fn five_bits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    (0..bytes.len() * 8 / 5).map(move |at| {
        let bit = |it: usize| bytes[it / 8] >> (7 - it % 8) & 1;
        (at * 5..at * 5 + 5).fold(0, |sum, it| sum << 1 | bit(it))
    })
}

/// The value of a symbol; letters that look like digits are those, and separators are nothing. What is no symbol at
/// all counts as one, so that the text is found to be misread.
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
        fn a_secret_reads_back_however_it_is_typed_and_a_typing_error_is_found(
            bytes: [u8; 20], at in 0_usize..36, by in 1_usize..32
        ) {
            let code = print("a", &bytes);
            prop_assert_eq!(code.len(), 44);
            prop_assert_eq!(code.split('-').count(), groups(20));
            let typed = code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
            prop_assert_eq!(read("a", &typed), Ok(bytes));
            let mut symbols: Vec<u8> = code.bytes().filter(|it| *it != b'-').collect();
            let was = SYMBOLS.iter().position(|it| *it == symbols[at]).unwrap();
            symbols[at] = SYMBOLS[(was + by) % 32];
            let wrong = read::<20>("a", std::str::from_utf8(&symbols).unwrap());
            // One in a million wrong codes fits its check by chance.
            prop_assert_eq!(wrong, Err(Misread::Check));
            prop_assert_eq!(read::<20>("b", &code), Err(Misread::Check));
        }

        #[test]
        fn no_text_makes_a_panic(text in "\\PC*") {
            let _ = read::<20>("a", &text);
            let _ = read::<35>("a", &text);
        }
    }
}
