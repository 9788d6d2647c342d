//! Places on earth (RFC 1876): degrees and metres to sixteen bytes and back. What does not fit gives nothing.

use std::fmt;

use super::Token;

/// A degree in thousandths of a second of arc.
const DEGREE: u64 = 3_600_000;
/// The equator and the prime meridian.
const MIDDLE: u32 = 1 << 31;
/// Centimetres between the deepest place that can be told and the ellipsoid.
const DEPTH_CM: i64 = 10_000_000;

/// Reads latitude, longitude, altitude and optionally size and both precisions.
pub(super) fn read(tokens: &[Token<'_>]) -> Option<[u8; 16]> {
    let words: Option<Vec<&str>> = tokens
        .iter()
        .map(|it| std::str::from_utf8(it.text).ok())
        .collect();
    let words = words?;
    let mut rest = &words[..];
    let latitude = angle(&mut rest, ["N", "S"], 90)?;
    let longitude = angle(&mut rest, ["E", "W"], 180)?;
    let (altitude, tail) = rest.split_first()?;
    let altitude = u32::try_from(centimetres(altitude)? + DEPTH_CM).ok()?;
    let mut sizes = [0x12, 0x16, 0x13];
    if tail.len() > sizes.len() {
        return None;
    }
    for (size, word) in sizes.iter_mut().zip(tail) {
        *size = power(u64::try_from(centimetres(word)?).ok()?)?;
    }
    let mut bytes = [0; 16];
    bytes[1..4].copy_from_slice(&sizes);
    bytes[4..8].copy_from_slice(&latitude.to_be_bytes());
    bytes[8..12].copy_from_slice(&longitude.to_be_bytes());
    bytes[12..].copy_from_slice(&altitude.to_be_bytes());
    Some(bytes)
}

/// Degrees, perhaps minutes and seconds, and a letter for the half.
fn angle(rest: &mut &[&str], letters: [&str; 2], degrees_max: u64) -> Option<u32> {
    let is_letter = |word: &&str| letters.iter().any(|it| it.eq_ignore_ascii_case(word));
    let at = rest
        .iter()
        .take(4)
        .position(is_letter)
        .filter(|at| *at > 0)?;
    let degrees: u64 = rest[0].parse().ok().filter(|it| *it <= degrees_max)?;
    let minutes: u64 = if at > 1 { rest[1].parse().ok()? } else { 0 };
    let thousandths = if at > 2 { decimal(rest[2], 3)? } else { 0 };
    if minutes > 59 || thousandths > 59_999 {
        return None;
    }
    let sum = degrees * DEGREE + minutes * 60_000 + thousandths;
    if sum > degrees_max * DEGREE {
        return None;
    }
    let is_low = rest[at].eq_ignore_ascii_case(letters[1]);
    *rest = &rest[at + 1..];
    let sum = u32::try_from(sum).ok()?;
    Some(if is_low { MIDDLE - sum } else { MIDDLE + sum })
}

/// A number with at most `places` digits after its point, in units of its last place.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |it: &str| it.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || part.len() > places || !digits(whole) || !digits(part)
    {
        return None;
    }
    format!("{whole}{part:0<places$}").parse().ok()
}

fn centimetres(text: &str) -> Option<i64> {
    let text = text.strip_suffix(['m', 'M']).unwrap_or(text);
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    Some(sign * i64::try_from(decimal(text, 2)?).ok()?)
}

/// Centimetres as one digit and a power of ten.
fn power(centimetres: u64) -> Option<u8> {
    let (mut digit, mut power) = (centimetres, 0);
    while digit > 9 {
        digit /= 10;
        power += 1;
    }
    (power <= 9).then_some((digit as u8) << 4 | power)
}

/// Whether the text can tell these bytes: version 0, angles on the globe, sizes of one digit and a power of ten.
pub(super) fn can_show(data: &[u8]) -> bool {
    let angle = |at: usize, max: u64| {
        let value = i64::from(long(data, at)) - i64::from(MIDDLE);
        value.unsigned_abs() <= max * DEGREE
    };
    let sizes = data[1..4].iter().all(|it| {
        let (digit, power) = (it >> 4, it & 15);
        digit <= 9 && power <= 9 && (digit > 0 || power == 0)
    });
    data.len() == 16 && data[0] == 0 && sizes && angle(4, 90) && angle(8, 180)
}

fn long(data: &[u8], at: usize) -> u32 {
    let bytes = data.get(at..at + 4).and_then(|it| it.try_into().ok());
    u32::from_be_bytes(bytes.unwrap_or_default())
}

/// Writes what [`read`] reads.
pub(super) fn show(f: &mut fmt::Formatter<'_>, data: &[u8]) -> fmt::Result {
    for (at, letters) in [(4, ["N", "S"]), (8, ["E", "W"])] {
        let value = i64::from(long(data, at)) - i64::from(MIDDLE);
        let sum = value.unsigned_abs();
        let (degrees, minutes) = (sum / DEGREE, sum / 60_000 % 60);
        let letter = letters[usize::from(value < 0)];
        let (seconds, thousandths) = (sum / 1_000 % 60, sum % 1_000);
        write!(
            f,
            "{degrees} {minutes} {seconds}.{thousandths:03} {letter} "
        )?;
    }
    let altitude = i64::from(long(data, 12)) - DEPTH_CM;
    let sign = if altitude < 0 { "-" } else { "" };
    let altitude = altitude.unsigned_abs();
    write!(f, "{sign}{}.{:02}m", altitude / 100, altitude % 100)?;
    for byte in &data[1..4] {
        let size = u64::from(byte >> 4) * 10_u64.pow(u32::from(byte & 15));
        write!(f, " {}.{:02}m", size / 100, size % 100)?;
    }
    Ok(())
}
