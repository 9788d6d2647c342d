//! Arguments -> one command -> exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    lifeboat::cli::main()
}
