//! The promises, proven on real node processes: killed, stopped, starved of disk, cut off from each other, restarted,
//! driven from outside as customers and operators drive them. Each test founds a cluster of its own on addresses of
//! its own and leaves nothing behind, whatever it ends with. What a test needs and cannot have here (root, strace) it
//! says in a line that begins with "skipped:".

#![allow(
    clippy::unwrap_used,
    reason = "in a story a broken assumption is a failed test"
)]

mod alone;
mod cold_start;
mod copies;
mod damage;
mod demo;
mod disk;
mod full_disk;
mod harness;
mod interop;
mod kills;
mod members;
mod pages;
mod partitions;
mod rolling;
