//! What people copy and type: join tokens, ticket codes, secret links, service keys. Nothing panics; what is read is
//! written as text that reads the same; a link that nobody made opens nothing.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lifeboat::model::words::TicketCode;
use lifeboat::seal::Keyring;
use lifeboat::tls::token::JoinToken;

static KEYRING: LazyLock<Keyring> = LazyLock::new(Keyring::generate);

fuzz_target!(|text: &str| {
    if let Ok(token) = text.parse::<JoinToken>() {
        assert!((1..=7).contains(&token.addresses.len()));
        assert_eq!(token.to_string().parse::<JoinToken>().ok(), Some(token));
    }
    if let Ok(code) = TicketCode::new(text) {
        assert_eq!(TicketCode::new(code.as_str()).ok(), Some(code));
    }
    assert!(KEYRING.open_link(text).is_none());
    if let Some(keyring) = Keyring::from_text(text) {
        let again = Keyring::from_text(&keyring.to_text());
        assert!(again.is_some_and(|again| again.to_text() == keyring.to_text()));
    }
});
