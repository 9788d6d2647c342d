//! A configuration file. Nothing panics; a file that is refused gets at least one mistake in words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::config::Config;

fuzz_target!(|text: &str| {
    if let Err(problems) = Config::parse(text) {
        assert!(!problems.to_string().is_empty());
    }
});
