//! The door to mail servers. Everything that leaves is an item of the agreed outbox; this door only carries it. What
//! comes in is judged, and becomes a return, a conversation, or a note about one.

pub mod authentic;
pub mod automatic;
pub mod campaign;
pub mod dkim;
pub mod inward;
pub mod marks;
pub mod out;
pub mod receiver;
