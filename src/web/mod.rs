//! The door of people over HTTPS.

pub mod public;
