//! What must always be true of people, sessions, tokens and envelopes.

use super::{Holder, People};
use crate::model::limits;

impl People {
    /// Says everything that contradicts itself.
    pub(in crate::model) fn check(&self, wrong: &mut Vec<String>) {
        if self.accounts.len() > limits::ACCOUNTS_MAX {
            wrong.push(format!("people: {} accounts", self.accounts.len()));
        }
        if self.sessions.len() > limits::SESSIONS_MAX
            || self.sessions.len() != self.sessions_ending.len()
        {
            let (all, ending) = (self.sessions.len(), self.sessions_ending.len());
            wrong.push(format!("sessions: {all}, of which {ending} end"));
        }
        for (id, session) in &self.sessions {
            if !self.sessions_ending.contains(&(session.until, *id)) {
                wrong.push(format!("session {id}: never ends"));
            }
            let is_somebodys = match &session.holder {
                Holder::Account(name) => self.accounts.contains_key(name),
                // The envelope may have made room for a newer one; then the session opens nothing.
                Holder::Envelope { serial, place } => {
                    !self.envelopes.contains_key(serial) || self.used(*serial, *place).is_some()
                }
            };
            if !is_somebodys {
                wrong.push(format!("session {id}: is nobody's"));
            }
        }
        for (name, token) in &self.tokens {
            if self.token_hashes.get(&token.hash) != Some(name) {
                wrong.push(format!("API token {name}: its secret does not lead to it"));
            }
        }
        if self.tokens.len() != self.token_hashes.len() {
            wrong.push("API tokens: a secret leads to none".to_owned());
        }
        self.check_envelopes(wrong);
        if !self.knocks.is_sound() {
            wrong.push("sign-ins: wrong guesses are counted wrongly".to_owned());
        }
        if self.alarms.len() > limits::STAFF_ALARMS_MAX {
            wrong.push(format!("alarms: {} are kept", self.alarms.len()));
        }
    }

    fn check_envelopes(&self, wrong: &mut Vec<String>) {
        let mut codes = 0;
        for (serial, envelope) in &self.envelopes {
            for (place, code) in (0..).zip(&envelope.codes) {
                codes += 1;
                if self.codes.get(&code.hash) != Some(&(*serial, place)) {
                    wrong.push(format!(
                        "envelope {serial}: code {place} does not lead to it"
                    ));
                }
            }
        }
        if codes != self.codes.len() {
            wrong.push("envelopes: a code leads to none".to_owned());
        }
    }
}
