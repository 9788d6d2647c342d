//! The door of the name service: zones and the answers they give, and the wire form of questions and answers.
//! Where content comes from and who may change it is decided elsewhere. Bad input gives a reason, never a panic.

pub mod live;
pub mod message;
pub mod name;
pub mod rdata;
pub mod zone;
