//! The door of the name service: zones and the answers they give, and the wire form of questions and answers.
//! Where content comes from and who may change it is decided elsewhere. Bad input gives a reason, never a panic.

pub mod answers;
mod ask;
mod compile;
pub mod cookie;
pub mod counters;
pub mod keeper;
pub mod live;
pub mod message;
pub mod name;
mod name_key;
pub mod outside;
pub mod own;
mod question;
pub mod quic;
pub mod rate;
pub mod rdata;
mod records;
mod reply;
mod respond;
pub mod secure;
pub mod sign;
mod table;
pub mod tables;
pub mod tcp;
pub mod transfer;
pub mod tsig;
pub mod udp;
mod update;
pub mod zone;

pub use answers::{Answers, Rate, Settings, Transport, Unusual, Way};
pub use tables::{Prepared, Tables};

#[cfg(test)]
mod tests;
