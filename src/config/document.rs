//! A TOML document that is no configuration, such as a service's definition, as the JSON that the API takes.

use serde_json::Value;

/// Why a text is no such document: in the parser's words, with line and column.
#[derive(Debug, thiserror::Error)]
#[error("it is not valid TOML")]
pub struct NotToml(#[from] toml::de::Error);

/// Reads a TOML document. What its keys mean is for whoever takes it to say.
///
/// # Errors
/// When it is not valid TOML.
pub fn toml_as_json(text: &str) -> Result<Value, NotToml> {
    Ok(toml::from_str(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_json_and_a_mistake_says_where() {
        let json = toml_as_json("zone = \"a.test\"\n[policy]\ndwell = \"2m\"\n").unwrap();
        assert_eq!(json["policy"]["dwell"], "2m");
        let NotToml(error) = toml_as_json("zone = \n").unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
