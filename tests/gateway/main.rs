//! The real thing: whole clusters of real processes, driven from outside as customers and operators drive them.

#![allow(
    clippy::unwrap_used,
    reason = "in a story a broken assumption is a failed test"
)]

mod demo;
