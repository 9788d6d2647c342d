//! Break-glass codes as people read and type them: eight groups of four symbols and one that checks the others.

use crate::seal::printed::{self, Misread};

const PURPOSE: &str = "break-glass code 1";

/// The secret of a code: 160 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::desk) struct Secret(pub(in crate::desk) [u8; 20]);

impl Secret {
    /// The code as it is printed.
    pub(in crate::desk) fn printed(&self) -> String {
        printed::print(PURPOSE, &self.0)
    }

    /// Reads a code as people type it.
    pub(in crate::desk) fn read(text: &str) -> Result<Self, Misread> {
        printed::read(PURPOSE, text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_was_printed_once_is_read_for_ever() {
        let code = Secret([7; 20]);
        assert_eq!(
            code.printed(),
            "0W3G-E1R7-0W3G-E1R7-0W3G-E1R7-0W3G-E1R7-SFCV"
        );
        assert!(Secret::read(&code.printed()) == Ok(code));
    }
}
