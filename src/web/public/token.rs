//! The signed time token of a form: when the form was made, what for, and a nonce that makes each form one write.
//! Every node can check every node's tokens; nothing is stored. A token that does not check is only an answer, no error.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock;
use crate::model::limits;
use crate::model::words::Timestamp;

/// What a form is for: a token for one cannot be used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// A new conversation.
    Open,
    /// One more message in the conversation of this link.
    Add(&'a str),
}

impl Purpose<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Open => "new",
            Self::Add(link) => link,
        }
    }
}

/// What makes two sendings of one form the same write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

/// What a token says about the form it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Signed by one of our nodes, for this purpose.
    Ours {
        /// The form's nonce.
        nonce: Nonce,
        /// How old the form is.
        age: Age,
    },
    /// Missing, damaged, forged, or for something else.
    Unknown,
}

/// How long a form was open before it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Faster than a person writes.
    Hasty,
    /// As people do.
    Right,
    /// Longer than a day, or from the future: a clock is wrong.
    Old,
}

/// Makes the token of a new form. `sign` is a keyed hash that every node computes alike.
pub fn make(sign: impl Fn(&[u8]) -> [u8; 32], purpose: Purpose<'_>, now: Timestamp) -> String {
    let nonce = URL_SAFE_NO_PAD.encode(clock::random_bytes::<16>());
    let issued = now.0;
    let mark = signature(sign, issued, purpose, &nonce);
    format!("v1.{issued:x}.{nonce}.{mark}")
}

/// Judges a token that came back with a form.
pub fn judge(
    sign: impl Fn(&[u8]) -> [u8; 32],
    purpose: Purpose<'_>,
    token: &str,
    now: Timestamp,
) -> Judged {
    let mut parts = token.split('.');
    let (Some("v1"), Some(issued), Some(nonce), Some(mark), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Judged::Unknown;
    };
    let Ok(issued) = u64::from_str_radix(issued, 16) else {
        return Judged::Unknown;
    };
    let Ok(Ok(bytes)) = URL_SAFE_NO_PAD.decode(nonce).map(<[u8; 16]>::try_from) else {
        return Judged::Unknown;
    };
    if !same(
        signature(sign, issued, purpose, nonce).as_bytes(),
        mark.as_bytes(),
    ) {
        return Judged::Unknown;
    }
    Judged::Ours {
        nonce: Nonce(bytes),
        age: age(issued, now.0),
    }
}

fn age(issued: u64, now: u64) -> Age {
    if issued > now {
        // Another node made the form and its clock is ahead, which says nothing about the person.
        return if issued - now <= limits::FORM_CLOCK_AHEAD_MS {
            Age::Right
        } else {
            Age::Old
        };
    }
    match now - issued {
        ms if ms < limits::FORM_AGE_MS_MIN => Age::Hasty,
        ms if ms <= limits::FORM_AGE_MS_MAX => Age::Right,
        _ => Age::Old,
    }
}

fn signature(
    sign: impl Fn(&[u8]) -> [u8; 32],
    issued: u64,
    purpose: Purpose<'_>,
    nonce: &str,
) -> String {
    let said = format!("v1.{issued:x}.{}.{nonce}", purpose.text());
    // Half of the hash: 128 bits are beyond guessing, and the token is on every page.
    URL_SAFE_NO_PAD.encode(&sign(said.as_bytes())[..16])
}

/// Compares two byte strings in a time that depends on their lengths only.
pub fn same(one: &[u8], two: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, two).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    fn sign(bytes: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(b"key")
            .chain_update(bytes)
            .finalize()
            .into()
    }

    fn age_after(ms: u64) -> Judged {
        let token = make(sign, Purpose::Open, Timestamp(1_000_000_000));
        judge(sign, Purpose::Open, &token, Timestamp(1_000_000_000 + ms))
    }

    #[test]
    fn a_form_is_judged_by_its_age() {
        for (ms, wanted) in [
            (0, Age::Hasty),
            (1_999, Age::Hasty),
            (2_000, Age::Right),
            (86_400_000, Age::Right),
            (86_400_001, Age::Old),
        ] {
            assert!(
                matches!(age_after(ms), Judged::Ours { age, .. } if age == wanted),
                "{ms}"
            );
        }
    }

    #[test]
    fn a_form_from_a_node_whose_clock_is_ahead_is_right() {
        let token = make(sign, Purpose::Open, Timestamp(2_000_000));
        let judged = |now: u64| judge(sign, Purpose::Open, &token, Timestamp(now));
        assert!(matches!(
            judged(1_990_000),
            Judged::Ours {
                age: Age::Right,
                ..
            }
        ));
        assert!(matches!(
            judged(1_000_000),
            Judged::Ours { age: Age::Old, .. }
        ));
    }

    #[test]
    fn a_token_is_good_for_its_purpose_and_key_only() {
        let now = Timestamp(5_000);
        let token = make(sign, Purpose::Add("one"), now);
        assert_ne!(
            judge(sign, Purpose::Add("one"), &token, now),
            Judged::Unknown
        );
        assert_eq!(
            judge(sign, Purpose::Add("two"), &token, now),
            Judged::Unknown
        );
        assert_eq!(judge(sign, Purpose::Open, &token, now), Judged::Unknown);
        assert_eq!(
            judge(|_| [0; 32], Purpose::Add("one"), &token, now),
            Judged::Unknown
        );
    }

    proptest! {
        #[test]
        fn nothing_from_outside_is_taken_for_ours(text in "(v1\\.)?[0-9a-f.]{0,40}\\PC{0,40}") {
            prop_assert_eq!(judge(sign, Purpose::Open, &text, Timestamp(5_000)), Judged::Unknown);
        }
    }
}
