//! Campaigns in the model: whatever the order of commands and crashes, everybody has one outcome.
