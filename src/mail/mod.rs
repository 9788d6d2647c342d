//! The door to mail servers. Everything that leaves is an item of the agreed outbox; this door only carries it.

pub mod campaign;
pub mod out;
