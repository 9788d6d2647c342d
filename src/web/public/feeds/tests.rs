//! The line rules of calendars; what the feeds hold is in `tests/feeds.rs`.

use super::calendar::{escaped, folded};

#[test]
fn a_line_of_a_calendar_is_folded_between_letters_and_its_text_escaped() {
    assert_eq!(escaped("a, b; c\\d\ne\r"), "a\\, b\\; c\\\\d\\ne");
    let line = folded(&format!("DESCRIPTION:{}", "ž".repeat(60)));
    for part in line.trim_end().split("\r\n") {
        assert!(part.len() <= 75, "{part}");
    }
    assert!(line.ends_with("\r\n"));
    let whole = line.replace("\r\n ", "");
    assert_eq!(whole.trim_end(), format!("DESCRIPTION:{}", "ž".repeat(60)));
}
