//! Conditional and range requests (RFC 9110 sections 13 and 14) against one strong ETag.
//! Dates are not used: a `Last-Modified` would have to be the same on every node, and the ETag says more.
//! What cannot be read is ignored, as the RFC asks.

use hyper::header::{HeaderMap, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};

use crate::model::limits::REQUEST_RANGES;

/// What the conditions of a GET or HEAD come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Send it.
    Met,
    /// The client has it already: 304.
    NotModified,
    /// The client wants another one: 412.
    Failed,
}

/// Judges `If-Match` and `If-None-Match` against the ETag of what would be sent.
pub fn judge(headers: &HeaderMap, etag: &[u8]) -> Condition {
    if headers.contains_key(IF_MATCH) && !lists(headers, &IF_MATCH, etag, Comparison::Strong) {
        return Condition::Failed;
    }
    if lists(headers, &IF_NONE_MATCH, etag, Comparison::Weak) {
        return Condition::NotModified;
    }
    Condition::Met
}

/// RFC 9110 section 8.8.3.2.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn lists(
    headers: &HeaderMap,
    field: &hyper::header::HeaderName,
    etag: &[u8],
    comparison: Comparison,
) -> bool {
    headers.get_all(field).iter().any(|value| {
        // Our ETags hold no comma and no quote, so splitting cannot cut one that matches.
        value.as_bytes().split(|&b| b == b',').any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*"
                || tag == etag
                || (comparison == Comparison::Weak && tag.strip_prefix(b"W/") == Some(etag))
        })
    })
}

/// Bytes of a file, first and last, both included.
pub type Part = (u64, u64);

/// What a `Range` field comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The whole file.
    Whole,
    /// These parts, at least one, in the order asked for.
    Parts(Vec<Part>),
    /// Nothing that the file has: 416.
    Nothing,
}

/// Reads `Range` (and `If-Range`) for a file of `length` bytes.
pub fn ranges(headers: &HeaderMap, etag: &[u8], length: u64) -> Asked {
    let Some(range) = headers.get(RANGE) else {
        return Asked::Whole;
    };
    // A date never matches, as we send none.
    if headers
        .get(IF_RANGE)
        .is_some_and(|value| value.as_bytes() != etag)
    {
        return Asked::Whole;
    }
    parse(range.as_bytes(), length)
}

fn parse(field: &[u8], length: u64) -> Asked {
    let Some((unit, list)) = field.split_at_checked(6) else {
        return Asked::Whole;
    };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Asked::Whole;
    }
    let mut parts = Vec::new();
    let mut sum = 0_u64;
    for (count, spec) in list.split(|&b| b == b',').enumerate() {
        if count >= REQUEST_RANGES {
            return Asked::Whole;
        }
        let Some(part) = one(spec.trim_ascii(), length) else {
            return Asked::Whole;
        };
        if let Some((first, last)) = part {
            sum += last - first + 1;
            parts.push((first, last));
        }
    }
    // Parts that overlap so much that the whole file is smaller are an attack or a mistake.
    match (parts.is_empty(), sum > length) {
        (true, _) => Asked::Nothing,
        (false, true) => Asked::Whole,
        (false, false) => Asked::Parts(parts),
    }
}

/// One range: `None` if it cannot be read, `Some(None)` if the file has nothing of it.
fn one(spec: &[u8], length: u64) -> Option<Option<Part>> {
    let dash = spec.iter().position(|&b| b == b'-')?;
    let (from, to) = (&spec[..dash], &spec[dash + 1..]);
    match (number(from), number(to)) {
        (None, Some(last)) if from.is_empty() => {
            Some((last > 0 && length > 0).then(|| (length - last.min(length), length - 1)))
        }
        (Some(first), None) if to.is_empty() => Some((first < length).then(|| (first, length - 1))),
        (Some(first), Some(last)) if first <= last => {
            Some((first < length).then(|| (first, last.min(length - 1))))
        }
        _ => None,
    }
}

/// Digits only; a number beyond any file counts as the largest there is.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |n, &b| {
        n.saturating_mul(10).saturating_add(u64::from(b - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    const ETAG: &[u8] = b"\"abc\"";

    fn with(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).expect("a field")))
            .collect()
    }

    #[test]
    fn conditions_compare_strongly_or_weakly_as_the_rfc_says() {
        for (field, value, wanted) in [
            (IF_NONE_MATCH, "\"abc\"", Condition::NotModified),
            (IF_NONE_MATCH, "\"x\", W/\"abc\"", Condition::NotModified),
            (IF_NONE_MATCH, "*", Condition::NotModified),
            (IF_NONE_MATCH, "\"x\"", Condition::Met),
            (IF_MATCH, "\"abc\"", Condition::Met),
            (IF_MATCH, "*", Condition::Met),
            (IF_MATCH, "W/\"abc\"", Condition::Failed),
            (IF_MATCH, "\"x\"", Condition::Failed),
        ] {
            assert_eq!(
                judge(&with(&[(field.clone(), value)]), ETAG),
                wanted,
                "{field}: {value}"
            );
        }
        let both = with(&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"abc\"")]);
        assert_eq!(judge(&both, ETAG), Condition::Failed);
    }

    #[test]
    fn ranges_follow_the_rfc() {
        let parts = |parts: &[Part]| Asked::Parts(parts.to_vec());
        for (field, wanted) in [
            ("bytes=0-9", parts(&[(0, 9)])),
            ("bytes=90-", parts(&[(90, 99)])),
            ("bytes=-5", parts(&[(95, 99)])),
            ("bytes=-500", parts(&[(0, 99)])),
            ("bytes=95-99999999999999999999999", parts(&[(95, 99)])),
            ("bytes=0-0, 50-51,-1", parts(&[(0, 0), (50, 51), (99, 99)])),
            ("bytes=0-0,200-", parts(&[(0, 0)])),
            ("bytes=100-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=5-4", Asked::Whole),
            ("bytes=a-", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("bytes=0-,0-", Asked::Whole),
            (
                "bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0",
                Asked::Whole,
            ),
        ] {
            assert_eq!(
                ranges(&with(&[(RANGE, field)]), ETAG, 100),
                wanted,
                "{field}"
            );
        }
        assert_eq!(
            ranges(&with(&[(RANGE, "bytes=0-")]), ETAG, 0),
            Asked::Nothing
        );
    }

    #[test]
    fn a_range_of_an_older_file_gives_the_whole_new_one() {
        let range = (RANGE, "bytes=0-9");
        let asked = |if_range| ranges(&with(&[range.clone(), (IF_RANGE, if_range)]), ETAG, 100);
        assert_eq!(asked("\"abc\""), Asked::Parts(vec![(0, 9)]));
        assert_eq!(asked("W/\"abc\""), Asked::Whole);
        assert_eq!(asked("\"old\""), Asked::Whole);
        assert_eq!(asked("Mon, 23 Nov 2026 10:00:00 GMT"), Asked::Whole);
    }

    proptest! {
        #[test]
        fn parts_always_lie_in_the_file(field in "bytes=[0-9, -]{0,40}", length in 0_u64..1_000) {
            if let Asked::Parts(parts) = ranges(&with(&[(RANGE, &field)]), ETAG, length) {
                prop_assert!(!parts.is_empty());
                prop_assert!(parts.iter().all(|&(first, last)| first <= last && last < length));
            }
        }
    }
}
