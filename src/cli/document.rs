//! A file that is given to a verb: JSON when its name ends so, else TOML.

use std::{error::Error, path::Path};

use serde_json::{Map, Value};

use super::failure::{Exit, Failure, chain};
use crate::{config::toml_as_json, durable, model::limits};

/// What stands in the file; `advice` says where is shown what it should look like.
///
/// # Errors
/// When it cannot be read, is larger than what a node takes at once, or is neither.
pub(super) fn read(file: &Path, advice: &str) -> Result<Value, Failure> {
    let cannot = |error: &dyn Error| {
        let what = format!("{} cannot be read", file.display());
        Failure::new(Exit::Usage, what, chain(error), advice)
    };
    let most = limits::DESK_BODY_BYTES_MAX as u64;
    let bytes = durable::read_at_most(file, most).map_err(|error| cannot(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| cannot(&error))?;
    if file.extension().is_none_or(|it| it != "json") {
        return toml_as_json(&text).map_err(|error| cannot(&error));
    }
    // A map, as TOML always is: something else has no fields that could be wrong.
    let read = serde_json::from_str::<Map<String, Value>>(&text);
    read.map(Value::Object).map_err(|error| cannot(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is_not_is_said_and_nothing_but_a_map_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let reads = |name: &str, text: &[u8]| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            read(&file, "see there").map_err(|it| format!("{it:?}"))
        };
        assert_eq!(reads("a.json", b"{\"b\":1}").unwrap()["b"], 1);
        assert_eq!(reads("a.toml", b"b = 1").unwrap()["b"], 1);
        assert!(reads("b.json", b"[1]").unwrap_err().contains("map"));
        assert!(reads("b.toml", b"[1").is_err());
        assert!(reads("c.toml", b"\xff").unwrap_err().contains("c.toml"));
        let gone = read(&folder.path().join("gone"), "see there");
        assert!(format!("{:?}", gone.unwrap_err()).contains("see there"));
    }
}
