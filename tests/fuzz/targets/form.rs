//! The body of the public form, as anybody may send it: read into fields, fields into words, the token judged. Nothing
//! panics; what is taken keeps the words' bounds; what is refused names a field of the form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::model::limits::{MESSAGE_CHARS_MAX, REFERENCE_CHARS_MAX};
use lifeboat::model::words::{Lang, Timestamp};
use lifeboat::web::public::form::{Letter, Typed, claim, contact_for_finding, contact_in_short};
use lifeboat::web::public::texts::Say;
use lifeboat::web::public::token::{Judged, Purpose, judge};

fuzz_target!(|body: &[u8]| {
    let typed = Typed::read(body);
    assert!(typed == Typed::read(body), "the same body, other fields");
    let say = Say::in_lang(typed.lang.unwrap_or(Lang::ALL[0]));
    match Letter::read(&typed, &say) {
        Ok(letter) => {
            let chars = letter.text.as_str().chars().count();
            assert!((1..=MESSAGE_CHARS_MAX).contains(&chars));
            if let Some(reference) = &letter.reference {
                let chars = reference.as_str().chars().count();
                assert!((1..=REFERENCE_CHARS_MAX).contains(&chars));
            }
            assert!(!contact_for_finding(&letter.contact).is_empty());
            assert!(!contact_in_short(&letter.contact).is_empty());
        }
        Err(wrongs) => {
            assert!(!wrongs.is_empty());
            for wrong in wrongs {
                assert!(["text", "contact", "reference"].contains(&wrong.field));
                assert!(!wrong.said.is_empty());
            }
        }
    }
    if let Err(wrongs) = claim(&typed, &say) {
        assert!(!wrongs.is_empty());
    }
    // A signature that nobody can guess: whatever the token says, it is not ours.
    let sign = |said: &[u8]| {
        sha2::Digest::finalize(sha2::Digest::chain_update(
            <sha2::Sha256 as sha2::Digest>::new(),
            [b"a key of this target", said].concat(),
        ))
        .into()
    };
    let judged = judge(
        sign,
        Purpose::Open,
        &typed.token,
        Timestamp(1_700_000_000_000),
    );
    assert_eq!(judged, Judged::Unknown);
    // One that is no secret: everything behind it is reached as well.
    let open = |_: &[u8]| [0; 32];
    let _ = judge(
        open,
        Purpose::Add(&typed.code),
        &typed.token,
        Timestamp(1_700_000_000_000),
    );
});
