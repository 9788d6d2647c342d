//! Reads the text of a configuration file into a `FileSpec`, collecting every mistake on the way.
//! Knows TOML and nothing of what the keys mean; that is each section's own business. A value that
//! cannot be used is taken out and reading goes on, so that it does not hide the next mistake.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problems;
use super::{FileSpec, VERSION};
use crate::model::limits::CONFIG_MISTAKES_MAX;

/// Reads `text`. What could not be read is in `problems` and left out of the result; there is no
/// result where the file as a whole could not be read.
pub(super) fn read(text: &str, problems: &mut Problems) -> Option<FileSpec> {
    let (document, mistakes) = DeTable::parse_recoverable(text);
    for mistake in mistakes.iter().take(CONFIG_MISTAKES_MAX) {
        let line = mistake.span().map(|span| line_at(text, span.start));
        problems.add_on_reading("", line, mistake.message(), "valid TOML", None);
    }
    if !mistakes.is_empty() {
        return None;
    }
    let mut lines = BTreeMap::new();
    collect_lines(text, "", document.get_ref(), &mut lines);
    problems.know_lines(lines);
    if !version_is_ours(document.get_ref(), problems) {
        return None;
    }
    fill(text, document, problems)
}

/// A file of another version is not judged by this version's keys: that would be noise.
fn version_is_ours(document: &DeTable<'_>, problems: &mut Problems) -> bool {
    let wanted = format!("version = {VERSION}, the version of this file's keys");
    let example = format!("version = {VERSION}");
    match document.get("version").map(Spanned::get_ref) {
        Some(DeValue::Integer(number)) if number.to_string() == VERSION.to_string() => true,
        Some(DeValue::Integer(number)) => {
            problems.add_with("version", number, &wanted, &example);
            false
        }
        Some(other) => {
            problems.add_with("version", other.type_str(), &wanted, &example);
            false
        }
        None => {
            problems.add_with("version", "nothing", &wanted, &example);
            true
        }
    }
}

/// Turns the parsed table into the spec, taking out one unusable entry after another.
fn fill(
    text: &str,
    mut document: Spanned<DeTable<'_>>,
    problems: &mut Problems,
) -> Option<FileSpec> {
    for _ in 0..CONFIG_MISTAKES_MAX {
        let attempt = FileSpec::deserialize(toml::Deserializer::from(document.clone()));
        let mistake = match attempt {
            Ok(spec) => return Some(spec),
            Err(mistake) => mistake,
        };
        let taken = mistake
            .span()
            .and_then(|span| take_out(document.get_mut(), "", &span).map(|key| (key, span)));
        let Some((key, span)) = taken else {
            problems.add_on_reading("", None, mistake.message(), "a file that can be read", None);
            break;
        };
        let line = Some(line_at(text, span.start));
        let (found, wanted) = in_our_words(mistake.message());
        problems.add_on_reading(&key, line, found, &wanted, None);
    }
    None
}

/// Says serde's messages in the words of all other problems.
fn in_our_words(message: &str) -> (String, String) {
    if let Some((found, wanted)) = message
        .strip_prefix("unknown field ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        let found = format!("the unknown key {}", found.replace('`', ""));
        return (found, wanted.replace('`', ""));
    }
    if let Some((found, wanted)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .or_else(|| message.strip_prefix("unknown variant "))
        .and_then(|rest| rest.split_once(", expected "))
    {
        return (found.replace('`', "\""), wanted.replace('`', "\""));
    }
    if let Some(wanted) = message.strip_prefix("wanted ") {
        return ("another kind of value".to_owned(), wanted.to_owned());
    }
    (message.to_owned(), "a value that fits this key".to_owned())
}

/// Takes the deepest entry that covers `span` out of the table and returns its full key.
fn take_out(table: &mut DeTable<'_>, prefix: &str, span: &Range<usize>) -> Option<String> {
    let covers = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut own = None;
    for (key, value) in table.iter_mut() {
        let name = full_key(prefix, key.get_ref());
        for (name, inner) in tables_in(&name, value.get_mut()) {
            if let Some(taken) = take_out(inner, &name, span) {
                return Some(taken);
            }
        }
        if covers(key.span()) || covers(value.span()) {
            own = Some(key.get_ref().clone());
        }
    }
    let own = own?;
    table.remove(own.as_ref());
    Some(full_key(prefix, &own))
}

/// The tables that `value` is or directly holds, each with its name: `mail.relays.2` is the second
/// `[[mail.relays]]`.
fn tables_in<'t, 'i>(name: &str, value: &'t mut DeValue<'i>) -> Vec<(String, &'t mut DeTable<'i>)> {
    let mut found = Vec::new();
    if let DeValue::Table(table) = value {
        found.push((name.to_owned(), table));
    } else if let DeValue::Array(items) = value {
        for (item, number) in items.iter_mut().zip(1..) {
            if let DeValue::Table(table) = item.get_mut() {
                found.push((format!("{name}.{number}"), table));
            }
        }
    }
    found
}

fn collect_lines(
    text: &str,
    prefix: &str,
    table: &DeTable<'_>,
    lines: &mut BTreeMap<String, usize>,
) {
    for (key, value) in table.iter() {
        let name = full_key(prefix, key.get_ref());
        lines.insert(name.clone(), line_at(text, key.span().start));
        if let DeValue::Table(inner) = value.get_ref() {
            collect_lines(text, &name, inner, lines);
        } else if let DeValue::Array(items) = value.get_ref() {
            for (item, number) in items.iter().zip(1..) {
                let name = format!("{name}.{number}");
                lines.insert(name.clone(), line_at(text, item.span().start));
                if let DeValue::Table(inner) = item.get_ref() {
                    collect_lines(text, &name, inner, lines);
                }
            }
        }
    }
}

fn full_key(prefix: &str, key: &str) -> String {
    if prefix.is_empty() {
        key.to_owned()
    } else {
        format!("{prefix}.{key}")
    }
}

/// The line, counted from 1, that holds the byte at `offset`.
fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_list_of_tables_is_named_by_its_number_and_line() {
        let text = "a = 1\n[[b]]\nc = 1\n[[b]]\nc = 2\nd = [{ e = 1 },\n { e = 2 }]\n";
        let (mut document, _) = DeTable::parse_recoverable(text);
        let mut lines = BTreeMap::new();
        collect_lines(text, "", document.get_ref(), &mut lines);
        assert_eq!(
            (lines["b.1.c"], lines["b.2.c"], lines["b.2.d.2.e"]),
            (3, 5, 7)
        );
        let at = text.find("2 }").unwrap();
        let taken = take_out(document.get_mut(), "", &(at..at + 1));
        assert_eq!(taken.as_deref(), Some("b.2.d.2.e"));
    }
}
