//! Bounds of playbooks. A passage must fit on one printed side, so that what is on it is small.

/// Playbooks that are kept.
pub const PLAYBOOKS_MAX: usize = 50;
/// Times that playbooks were played that are kept: a busy year.
pub const PLAYS_MAX: usize = 100;
/// Plays that go on at the same time.
pub const PLAYS_OPEN_MAX: usize = 10;
/// Passages of one: each is a side of paper, and more than a folder is not read at night.
pub const PASSAGES_MAX: usize = 12;
/// Steps of one passage: with the bounds below they fit on one A4 side, which a browser test prints.
pub const PASSAGE_STEPS_MAX: usize = 8;
/// Bytes of a step's text: three printed lines.
pub const STEP_BYTES_MAX: usize = 160;
/// Telephone numbers of one.
pub const PLAYBOOK_PHONES_MAX: usize = 6;
/// Places of envelopes of one.
pub const PLAYBOOK_PLACES_MAX: usize = 4;
/// Bytes of a name, a number or a place on it: one printed line.
pub const PLAYBOOK_LINE_BYTES_MAX: usize = 40;
