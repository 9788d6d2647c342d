//! The way out: the relays in the configured order, and the sessions that are kept open between messages.
//! One call carries one message to the first relay that takes it. What no relay takes comes back with the reason;
//! whether and when it is tried again is the agreed state's business, not ours.

use std::borrow::Cow;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio_rustls::TlsConnector;
use tracing::{debug, warn};

use crate::config::{self, MailOut, RelayTls, SecretError};
use crate::mail::dkim::Signer;
use crate::model::limits::MAIL_SESSIONS_MAX;
use crate::tls::outgoing::{self, OutgoingError};

use super::compose::Composed;
use super::line::{LineError, Login, Patience, Relay, Security, TlsStart};
use super::session::{Letter, Outcome, Session};

/// Why a relay cannot be used at all or just now.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// The name for its certificate is not a name.
    #[error("{name} is not a name that a certificate can carry")]
    Name {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: InvalidDnsNameError,
    },
    /// The authority to trust cannot be read.
    #[error("no authority to trust for {host}")]
    Trust {
        /// The relay.
        host: String,
        /// Why.
        #[source]
        source: OutgoingError,
    },
    /// The password cannot be read.
    #[error("no password for {host}")]
    Password {
        /// The relay.
        host: String,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// There is no session.
    #[error("no session with {host}")]
    Session {
        /// The relay.
        host: String,
        /// Why.
        #[source]
        source: LineError,
    },
}

/// The relays and the sessions kept open.
pub struct Way {
    stations: Vec<Station>,
    hello: String,
    patience: Patience,
    signer: Option<Arc<Signer>>,
    idle: Mutex<Vec<(usize, Session)>>,
}

/// A relay with what was made ready for it.
struct Station {
    config: config::Relay,
    encryption: Option<(ServerName<'static>, TlsConnector)>,
}

impl Way {
    /// Makes the relays ready.
    ///
    /// # Errors
    /// When a certificate name or authority of one of them cannot be used.
    pub fn new(out: &MailOut) -> Result<Way, WayError> {
        let station = |relay: &config::Relay| {
            let encryption = match relay.tls {
                RelayTls::None => None,
                RelayTls::Starttls | RelayTls::Tls => {
                    let name = ServerName::try_from(relay.tls_name.clone());
                    let name = name.map_err(|source| WayError::Name {
                        name: relay.tls_name.clone(),
                        source,
                    })?;
                    let connector = outgoing::connector(relay.tls_ca_file.as_deref());
                    let connector = connector.map_err(|source| WayError::Trust {
                        host: relay.host.clone(),
                        source,
                    })?;
                    Some((name, connector))
                }
            };
            Ok(Station {
                config: relay.clone(),
                encryption,
            })
        };
        Ok(Way {
            stations: out.relays.iter().map(station).collect::<Result<_, _>>()?,
            hello: out.hello_name.clone(),
            patience: Patience {
                connect: out.connect_timeout,
                command: out.command_timeout,
                block: out.command_timeout,
                answer: out.answer_timeout,
            },
            signer: None,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// The same with whatever it carries signed as each relay is to get it.
    pub fn signed_by(self, signer: Arc<Signer>) -> Way {
        let signer = Some(signer);
        Way { signer, ..self }
    }

    /// A mail as the relay of this number is to get it.
    pub(in crate::mail) fn signed<'a>(&self, number: usize, mail: &'a [u8]) -> Cow<'a, [u8]> {
        match (self.stations.get(number), &self.signer) {
            (Some(station), Some(signer)) => signer.signed(station.config.sign, mail),
            _ => Cow::Borrowed(mail),
        }
    }

    /// Carries one message to the first relay that takes it. `gate` is asked right before each final dot; see
    /// [`Session::send`]. After an unknown end no further relay is tried, as the message may be on its way.
    pub async fn carry(&self, mail: &Composed, gate: &(dyn Fn() -> bool + Sync)) -> Outcome {
        let mut best = None;
        for (number, station) in self.stations.iter().enumerate() {
            let host = station.config.host.as_str();
            let outcome = match self.carry_to(number, station, mail, gate).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    warn!(relay = host, why = whole(&error), "mail relay not usable");
                    Outcome::TryLater(whole(&error))
                }
            };
            match &outcome {
                Outcome::Accepted | Outcome::Unknown(_) => return outcome,
                Outcome::RefusedForGood(status) if names_the_recipient(status) => return outcome,
                Outcome::TryLater(why) | Outcome::RefusedForGood(why) => {
                    debug!(relay = host, why, "mail relay did not take a message");
                }
            }
            let hopeful = matches!(outcome, Outcome::TryLater(_));
            if best.is_none() || hopeful {
                best = Some(outcome);
            }
            if !gate() {
                break;
            }
        }
        best.unwrap_or_else(|| Outcome::TryLater("no relay is configured".to_owned()))
    }

    /// Says goodbye to the sessions kept open.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for (_, session) in idle {
            session.quit().await;
        }
    }

    /// Opens a session of its own with the relay of this number, for whoever keeps sessions by themselves.
    ///
    /// # Errors
    /// When there is none.
    pub(in crate::mail) async fn open(&self, number: usize) -> Result<Session, WayError> {
        let station = self.stations.get(number).ok_or_else(|| WayError::Session {
            host: format!("relay {}", number + 1),
            source: LineError::Lookup {
                host: format!("relay {}", number + 1),
                source: std::io::ErrorKind::NotFound.into(),
            },
        })?;
        let relay = station.relay().await?;
        let session = Session::open(&relay, &self.hello, self.patience).await;
        session.map_err(|source| WayError::Session {
            host: station.config.host.clone(),
            source,
        })
    }

    /// Opens a session with each relay as for a mail, signed in and encrypted as configured, says NOOP and leaves. What
    /// came of it, by host and port.
    pub async fn greet(&self) -> Vec<(String, Result<(), String>)> {
        let mut seen = Vec::new();
        for (number, station) in self.stations.iter().enumerate() {
            let host = format!("{}:{}", station.config.host, station.config.port);
            seen.push((host, self.greet_one(number, station).await));
        }
        seen
    }

    async fn greet_one(&self, number: usize, station: &Station) -> Result<(), String> {
        let mut session = self.open(number).await.map_err(|it| whole(&it))?;
        let idled = session.idle().await.map_err(|source| WayError::Session {
            host: station.config.host.clone(),
            source,
        });
        session.quit().await;
        idled.map_err(|it| whole(&it))
    }

    async fn carry_to(
        &self,
        number: usize,
        station: &Station,
        mail: &Composed,
        gate: &(dyn Fn() -> bool + Sync),
    ) -> Result<Outcome, WayError> {
        let letter = Letter {
            from: Some(&mail.from),
            to: &mail.to,
            bytes: &self.signed(number, &mail.bytes),
        };
        if let Some(mut session) = self.idle_session(number) {
            let outcome = session.send(&letter, async { gate() }).await;
            let broke = !session.is_usable();
            self.keep(number, session);
            // A relay closes what was idle for too long; surely not delivered, so a new session may try at once.
            if !(broke && matches!(outcome, Outcome::TryLater(_)) && gate()) {
                return Ok(outcome);
            }
        }
        let host = || station.config.host.clone();
        let relay = station.relay().await?;
        let session = Session::open(&relay, &self.hello, self.patience).await;
        let mut session = session.map_err(|source| WayError::Session {
            host: host(),
            source,
        })?;
        let outcome = session.send(&letter, async { gate() }).await;
        self.keep(number, session);
        Ok(outcome)
    }

    fn idle_session(&self, number: usize) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().position(|(of, _)| *of == number)?;
        Some(idle.swap_remove(at).1)
    }

    fn keep(&self, number: usize, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if session.is_usable() && idle.len() < MAIL_SESSIONS_MAX {
            idle.push((number, session));
        }
    }
}

impl Station {
    async fn relay(&self) -> Result<Relay, WayError> {
        let security = match &self.encryption {
            None => Security::Clear,
            Some((name, connector)) => Security::Tls {
                start: match self.config.tls {
                    RelayTls::Tls => TlsStart::AtOnce,
                    RelayTls::Starttls | RelayTls::None => TlsStart::Upgrade,
                },
                name: name.clone(),
                connector: connector.clone(),
                login: self.login().await?,
            },
        };
        Ok(Relay {
            host: self.config.host.clone(),
            port: self.config.port,
            security,
        })
    }

    /// Reads the password anew, so that a changed one needs no restart.
    async fn login(&self) -> Result<Option<Login>, WayError> {
        let Some(login) = self.config.login.clone() else {
            return Ok(None);
        };
        let host = self.config.host.clone();
        let read = tokio::task::spawn_blocking(move || {
            let password = login.password_file.read()?;
            Ok(Login {
                user: login.user,
                password: password.reveal().to_owned(),
            })
        });
        match read.await {
            Ok(Ok(login)) => Ok(Some(login)),
            Ok(Err(source)) => Err(WayError::Password { host, source }),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

/// Whether a refusal is about the recipient, whom another relay will not find either: RFC 3463, X.1.x (addressing)
/// and X.2.x (mailbox).
fn names_the_recipient(status: &str) -> bool {
    status
        .split(' ')
        .nth(1)
        .is_some_and(|it| it.starts_with("5.1.") || it.starts_with("5.2."))
}

/// The error and what caused it, in one line.
pub(in crate::mail) fn whole(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
