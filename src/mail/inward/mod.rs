//! Mail that comes in: taken by any node, judged, and stored before it is answered with 250; see decision 33.
//!
//! What it is decides where it goes: a return or a complaint belongs to one recipient of one campaign, a person's words to
//! a conversation, what a robot says to the notes about one. Nothing is relayed.

pub mod bounce;
pub mod counted;
pub mod doorman;
pub mod dots;
pub mod intake;
pub mod judge;
pub mod letter;
pub mod listener;
pub mod places;
pub mod session;
pub mod wire;

#[cfg(test)]
mod tests;
