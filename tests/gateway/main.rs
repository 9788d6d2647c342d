//! The promises, proven on real node processes: killed, stopped, starved of disk, cut off from each other, restarted.
//! Each test founds a cluster of its own on addresses of its own and leaves nothing behind, whatever it ends with.
//! What a test needs and cannot have here (root, strace) it says in a line that begins with "skipped:".

mod alone;
mod cold_start;
mod damage;
mod disk;
mod full_disk;
mod harness;
mod kills;
mod members;
mod pages;
mod partitions;
mod rolling;
