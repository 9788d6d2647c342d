//! Reading a document key by key, with every mistake told and nothing stopped by one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::desk::problem::Mistake;
use crate::model::when::span_ms;

/// A table of the file: what was not taken at the end is unknown.
pub(super) struct Table<'v> {
    pub(super) path: String,
    left: BTreeMap<&'v str, &'v Value>,
}

impl<'v> Table<'v> {
    /// The table at `path`; says so when it is none.
    pub(super) fn of(path: String, value: &'v Value, said: &mut Vec<Mistake>) -> Option<Self> {
        let Value::Object(map) = value else {
            let field = if path.is_empty() {
                "the definition"
            } else {
                &path
            };
            said.push(Mistake::of(field, &kind(Some(value)), "a table"));
            return None;
        };
        let left = map
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        Some(Self { path, left })
    }

    fn field(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Takes a key's value.
    pub(super) fn take(&mut self, key: &str) -> Option<&'v Value> {
        self.left.remove(key)
    }

    /// Takes a text.
    pub(super) fn text(&mut self, key: &str, said: &mut Vec<Mistake>) -> Option<&'v str> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            other => {
                said.push(Mistake::of(&self.field(key), &kind(Some(other)), "a text"));
                None
            }
        }
    }

    /// Takes a text that is one of our words.
    pub(super) fn word<W, E: std::fmt::Display>(
        &mut self,
        key: &str,
        said: &mut Vec<Mistake>,
        read: impl FnOnce(&str) -> Result<W, E>,
    ) -> Option<W> {
        let text = self.text(key, said)?;
        match read(text) {
            Ok(word) => Some(word),
            Err(wrong) => {
                let wanted = wrong.to_string();
                let wanted = wanted.strip_prefix("wanted ").unwrap_or(&wanted);
                said.push(Mistake::of(&self.field(key), text, wanted));
                None
            }
        }
    }

    /// Takes a whole number into `into`, which stays when there is none.
    pub(super) fn number<N: TryFrom<u64>>(
        &mut self,
        key: &str,
        said: &mut Vec<Mistake>,
        into: &mut N,
    ) {
        let Some(value) = self.take(key) else { return };
        match value.as_u64().and_then(|it| N::try_from(it).ok()) {
            Some(number) => *into = number,
            None => said.push(Mistake::of(
                &self.field(key),
                &shown(value),
                "a whole number within its bounds",
            )),
        }
    }

    /// Takes true or false into `into`, which stays when there is none.
    pub(super) fn flag(&mut self, key: &str, said: &mut Vec<Mistake>, into: &mut bool) {
        let Some(value) = self.take(key) else { return };
        match value.as_bool() {
            Some(flag) => *into = flag,
            None => said.push(Mistake::of(
                &self.field(key),
                &shown(value),
                "true or false",
            )),
        }
    }

    /// Takes a time span into `into`, in milliseconds.
    pub(super) fn span(&mut self, key: &str, said: &mut Vec<Mistake>, into: &mut u64) {
        let Some(text) = self.text(key, said) else {
            return;
        };
        match span_ms(text) {
            Some(ms) => *into = ms,
            None => said.push(Mistake::of(
                &self.field(key),
                text,
                "a time span, such as 500ms, 30s, 10m or 4h",
            )),
        }
    }

    /// Takes one of several names into `into`.
    pub(super) fn choice<C: Copy>(
        &mut self,
        key: &str,
        choices: &[(&str, C)],
        said: &mut Vec<Mistake>,
        into: &mut C,
    ) {
        let Some(text) = self.text(key, said) else {
            return;
        };
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, choice)) => *into = *choice,
            None => {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                said.push(Mistake::of(&self.field(key), text, &names.join(", ")));
            }
        }
    }

    /// One text of several lines, or a list of lines.
    pub(super) fn lines(&mut self, key: &str, said: &mut Vec<Mistake>) -> Vec<&'v str> {
        match self.take(key) {
            Some(Value::String(text)) => text.lines().collect(),
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
                list.iter().filter_map(Value::as_str).collect()
            }
            found => {
                let wanted = "lines of a zone file, such as \"www 60 A 192.0.2.1\"";
                said.push(Mistake::of(&self.field(key), &kind(found), wanted));
                Vec::new()
            }
        }
    }

    /// Says which keys nobody took.
    pub(super) fn end(self, said: &mut Vec<Mistake>) {
        for key in self.left.keys() {
            let field = self.field(key);
            said.push(Mistake::of(
                &field,
                "a key that is not known here",
                "no such key",
            ));
        }
    }
}

/// Reads a word, or says that it cannot be used.
pub(super) fn parsed<W: std::str::FromStr>(
    said: &mut Vec<Mistake>,
    field: &str,
    text: &str,
    wanted: &str,
) -> Option<W> {
    let word = text.parse().ok();
    if word.is_none() {
        let found = if text.is_empty() { "nothing" } else { text };
        said.push(Mistake::of(field, found, wanted));
    }
    word
}

/// What a value is, in words.
pub(super) fn kind(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "nothing",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a text",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "a table",
    }
    .to_owned()
}

fn shown(value: &Value) -> String {
    value.to_string()
}
