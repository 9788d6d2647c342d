//! A mail that comes in: its end on the wire in pieces of any size, then what it is and says. Nothing panics; what is
//! kept is no longer than what came, and every piece of a letter fits a message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::mail::inward::dots::{Dots, Fed};
use lifeboat::mail::inward::judge::{judge, parse};
use lifeboat::mail::inward::letter;
use lifeboat::model::limits::MESSAGE_CHARS_MAX;
use lifeboat::model::words::Lang;

fuzz_target!(|data: &[u8]| {
    let Some((size, wire)) = data.split_first() else {
        return;
    };
    let mut dots = Dots::new(100_000);
    for piece in wire.chunks(usize::from(*size).max(1)) {
        match dots.feed(piece) {
            Ok(Fed::More) => {}
            Ok(Fed::End(taken)) => {
                assert!(taken <= piece.len());
                break;
            }
            Err(_) => break,
        }
    }
    let text = dots.text().unwrap_or_default();
    assert!(text.len() <= wire.len());
    // What ends early is read as well: the reader must not rely on the wire.
    for bytes in [&text[..], wire] {
        let Some(message) = parse(bytes) else { continue };
        let _ = judge(&message, size % 2 == 0);
        let letter = letter::read(&message);
        for piece in letter::said(&letter, Lang::Cs, true, (true, true)).unwrap_or_default() {
            assert!(piece.chars().count() <= MESSAGE_CHARS_MAX);
        }
    }
});
