//! `$GENERATE`, as BIND has it and others took it over: one line that stands for many with a number in them.

use super::{Fault, Token, shortened};
use crate::model::limits::ZONE_GENERATED_MAX;

/// The lines that `$GENERATE first-last[/step] owner [TTL] [class] type data` stands for.
pub(super) fn lines(tokens: &[Token<'_>]) -> Result<impl Iterator<Item = Vec<u8>>, Fault> {
    let fault = |found: &[u8], wanted: &str| Fault {
        field: "$GENERATE",
        found: shortened(found),
        wanted: wanted.to_owned(),
    };
    let [_, range, pattern @ ..] = tokens else {
        return Err(fault(b"", "first-last[/step] owner type data"));
    };
    let (first, last, step) = parse_range(range.text)
        .ok_or_else(|| fault(range.text, "first-last or first-last/step, rising"))?;
    if (last - first) / step >= ZONE_GENERATED_MAX {
        let wanted = format!("at most {ZONE_GENERATED_MAX} lines");
        return Err(fault(range.text, &wanted));
    }
    let mut line = Vec::new();
    for token in pattern {
        let mark: &[u8] = if token.quoted { b"\"" } else { b"" };
        line.extend([mark, token.text, mark, b" "].concat());
    }
    if put(&line, first).is_none() {
        return Err(fault(
            &line,
            "$ or ${offset,width,base} with base d, o, x or X",
        ));
    }
    let numbers = (first..=last).step_by(step as usize);
    Ok(numbers.filter_map(move |number| put(&line, number)))
}

fn parse_range(text: &[u8]) -> Option<(u32, u32, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (range, step) = text.split_once('/').unwrap_or((text, "1"));
    let (first, last) = range.split_once('-')?;
    let (first, last, step) = (first.parse().ok()?, last.parse().ok()?, step.parse().ok()?);
    (first <= last && step > 0).then_some((first, last, step))
}

/// The line with a number in the place of each `$`.
fn put(line: &[u8], number: u32) -> Option<Vec<u8>> {
    let (mut out, mut at) = (Vec::with_capacity(line.len() + 8), 0);
    while let Some(byte) = line.get(at) {
        at += 1;
        match byte {
            b'\\' => {
                // `\$` is the character itself; other escapes stay for those who read the line.
                let next = line.get(at);
                if next != Some(&b'$') {
                    out.push(b'\\');
                }
                out.extend(next);
                at += 1;
            }
            b'$' if line.get(at) == Some(&b'{') => {
                let len = line[at..].iter().position(|it| *it == b'}')?;
                let inner = std::str::from_utf8(&line[at + 1..at + len]).ok()?;
                out.extend(shaped(inner, number)?.into_bytes());
                at += len + 1;
            }
            b'$' => out.extend(number.to_string().into_bytes()),
            other => out.push(*other),
        }
    }
    Some(out)
}

/// `offset,width,base`.
fn shaped(inner: &str, number: u32) -> Option<String> {
    let mut parts = inner.split(',');
    let offset: i64 = parts.next()?.parse().ok()?;
    let width: usize = parts.next().map_or(Some(0), |it| it.parse().ok())?;
    let base = parts.next().unwrap_or("d");
    let value = u64::try_from(i64::from(number).checked_add(offset)?).ok()?;
    if width > 63 || parts.next().is_some() {
        return None;
    }
    Some(match base {
        "d" => format!("{value:0width$}"),
        "o" => format!("{value:0width$o}"),
        "x" => format!("{value:0width$x}"),
        "X" => format!("{value:0width$X}"),
        _ => return None,
    })
}
