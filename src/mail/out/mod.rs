//! Mail that leaves the house: the courier, who asks the agreed state what is due, and what he needs for it.

pub mod compose;
pub mod line;
pub mod reply;
pub mod session;
mod texts;
