//! Passwords: hashed with argon2id (RFC 9106) on few threads, so that a flood of guesses takes nothing from the rest.
//!
//! A guess at a name that nobody has takes as long as any other.

use std::sync::Arc;
use std::time::Duration;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock;
use crate::model::limits;

/// Where passwords are hashed.
pub(in crate::desk) struct Passwords {
    hands: Arc<Semaphore>,
    waiting: Semaphore,
    nobodys: String,
}

/// There are too many sign-ins at a time.
#[derive(Debug)]
pub(in crate::desk) struct Busy;

impl Passwords {
    pub(in crate::desk) fn new() -> Self {
        let nobodys = hashed(b"nobody's password").unwrap_or_default();
        Self {
            hands: Arc::new(Semaphore::new(limits::PASSWORD_HASHES_AT_A_TIME)),
            waiting: Semaphore::new(limits::SIGN_INS_WAITING_MAX),
            nobodys,
        }
    }

    /// A place among those who wait for their sign-in, held up for `hold_ms` first.
    pub(in crate::desk) async fn queue(&self, hold_ms: u64) -> Result<SemaphorePermit<'_>, Busy> {
        let place = self.waiting.try_acquire().map_err(|_| Busy)?;
        if hold_ms > 0 {
            tokio::time::sleep(Duration::from_millis(hold_ms)).await;
        }
        Ok(place)
    }

    /// The hash of a new password, as a PHC string.
    pub(in crate::desk) async fn hash(&self, password: String) -> Option<String> {
        self.by_hand(move || hashed(password.as_bytes())).await?
    }

    /// Whether the password belongs to the hash; without one nobody's is tried, and it does not.
    pub(in crate::desk) async fn verify(&self, phc: Option<String>, password: String) -> bool {
        let is_somebodys = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.nobodys.clone());
        let fits = self.by_hand(move || is_of(&phc, password.as_bytes())).await;
        is_somebodys && fits == Some(true)
    }

    async fn by_hand<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let hand = self.hands.clone().acquire_owned().await.ok()?;
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(hand);
            done
        })
        .await
        .ok()
    }
}

fn hashed(password: &[u8]) -> Option<String> {
    let salt = clock::random_bytes::<16>();
    let hash = Argon2::default().hash_password_with_salt(password, &salt);
    hash.ok().map(|it| it.to_string())
}

fn is_of(phc: &str, password: &[u8]) -> bool {
    PasswordHash::new(phc)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only_and_nobodys_fits_none() {
        let passwords = Passwords::new();
        let phc = passwords.hash("twelve letters".to_owned()).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(
            passwords
                .verify(Some(phc.clone()), "twelve letters".to_owned())
                .await
        );
        assert!(
            !passwords
                .verify(Some(phc), "twelve lettres".to_owned())
                .await
        );
        assert!(!passwords.verify(None, "nobody's password".to_owned()).await);
    }

    #[tokio::test]
    async fn p10_more_than_so_many_sign_ins_do_not_wait() {
        let passwords = Passwords::new();
        let mut places = Vec::new();
        for _ in 0..limits::SIGN_INS_WAITING_MAX {
            places.push(passwords.queue(0).await.unwrap());
        }
        assert!(passwords.queue(0).await.is_err());
        places.pop();
        assert!(passwords.queue(0).await.is_ok());
    }
}
