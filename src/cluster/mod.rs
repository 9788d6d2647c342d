//! How the nodes agree: the only place that names openraft.

pub mod encoding;
pub mod raft;
