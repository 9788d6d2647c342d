//! Six-digit codes that change every half minute (TOTP, RFC 6238), and how a phone learns their secret.

use aws_lc_rs::hmac;
use qrcodegen::{QrCode, QrCodeEcc};

use crate::model::limits;
use crate::model::words::Timestamp;
use crate::tls::base32;

/// Bytes of a secret: what RFC 4226 section 4 recommends.
pub(in crate::desk) const SECRET_BYTES: usize = 20;

/// The step that a time is in.
pub(in crate::desk) fn step_at(now: Timestamp) -> u64 {
    now.0 / 1_000 / limits::TOTP_STEP_S
}

/// The code of a step.
pub(in crate::desk) fn code_of(secret: &[u8], step: u64) -> String {
    // RFC 6238 section 1.2: what every phone's program computes; nothing else here uses SHA-1.
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let hash = hmac::sign(&key, &step.to_be_bytes());
    let hash = hash.as_ref();
    let at = usize::from(hash.last().copied().unwrap_or_default() & 15);
    let number = hash[at..at + 4]
        .iter()
        .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

/// The step that a code belongs to, around `now` and after `used`.
pub(in crate::desk) fn step_of(secret: &[u8], code: &str, now: Timestamp, used: u64) -> Found {
    let code: String = code.chars().filter(|it| !it.is_whitespace()).collect();
    let middle = step_at(now);
    let around = middle.saturating_sub(limits::TOTP_STEPS_OFF)..=middle + limits::TOTP_STEPS_OFF;
    let mut found = Found::None;
    for step in around {
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(
            code_of(secret, step).as_bytes(),
            code.as_bytes(),
        );
        if same.is_ok() {
            found = if step > used {
                Found::Step(step)
            } else {
                Found::Used
            };
        }
    }
    found
}

/// What a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::desk) enum Found {
    /// The code of this step.
    Step(u64),
    /// A code that was taken before.
    Used,
    /// None of now.
    None,
}

/// The address by which a phone learns the secret (the "otpauth" scheme that all programs read).
pub(in crate::desk) fn address(secret: &[u8], cluster: &str, name: &str) -> String {
    let secret = base32::encode(secret).to_uppercase();
    format!(
        "otpauth://totp/Lifeboat%20{cluster}:{name}?secret={secret}&issuer=Lifeboat%20{cluster}"
    )
}

/// The address as a picture: rows of modules, dark where true, without the quiet zone.
pub(in crate::desk) fn picture(address: &str) -> Option<Vec<Vec<bool>>> {
    let code = QrCode::encode_text(address, QrCodeEcc::Medium).ok()?;
    let size = code.size();
    let row = |y| (0..size).map(|x| code.get_module(x, y)).collect();
    Some((0..size).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn the_codes_are_those_of_rfc_6238_appendix_b() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            let step = step_at(Timestamp(seconds * 1_000));
            assert_eq!(code_of(SECRET, step), code, "{seconds}");
        }
    }

    #[test]
    fn a_code_is_good_for_its_step_and_one_on_either_side_and_not_twice() {
        let now = Timestamp(1_234_567_890_000);
        let step = step_at(now);
        for (off, found) in [
            (step - 2, Found::None),
            (step - 1, Found::Step(step - 1)),
            (step, Found::Step(step)),
            (step + 1, Found::Step(step + 1)),
            (step + 2, Found::None),
        ] {
            assert_eq!(step_of(SECRET, &code_of(SECRET, off), now, 0), found);
        }
        let code = code_of(SECRET, step);
        assert_eq!(step_of(SECRET, &code, now, step), Found::Used);
        assert_eq!(step_of(SECRET, "", now, 0), Found::None);
        assert_eq!(
            step_of(SECRET, &format!("{} {}", &code[..3], &code[3..]), now, 0),
            Found::Step(step)
        );
    }
}
