//! Mail that leaves the house: the courier, who carries what the agreed state says is due, and what he needs for it.
//! From the wire up: `reply`, `line`, `session`, `way`; from the state down: `texts`, `compose`, `letters`; and the
//! two who bring both together, `courier` for what is agreed on and `held` for what only this node has.

pub mod alarm;
pub mod compose;
pub mod courier;
mod drill;
mod enclose;
pub mod held;
pub mod letters;
pub mod line;
pub mod reply;
pub mod session;
mod texts;
pub mod waking;
pub mod way;

#[cfg(test)]
mod tests;
