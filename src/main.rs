//! Arguments -> one command -> exit status.

fn main() {}
