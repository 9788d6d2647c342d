//! Mass mail without Raft: lists, texts, the gate.
