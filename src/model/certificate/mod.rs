//! Certificates for the public that the cluster orders itself (ACME, RFC 8555): from whom, for which host names, and what
//! was issued.
//!
//! An order is due because of what the state says: nothing was issued yet, a third of the life is left, or a person asked
//! for it. What a node has to show to an authority meanwhile is agreed on first, so that every node shows it.

pub mod change;
pub mod texts;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    State, limits,
    outbox::Lease,
    words::{Label, Note, Sealed, Text, Timestamp},
};

pub use change::CertificateChange;
pub use texts::Texts;

/// A chain of certificates, or authorities to trust, in PEM.
pub type Pem = Text<{ limits::CERTIFICATE_PEM_CHARS_MAX }>;

/// Every authority and every certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// Whom certificates are ordered from, by the name we gave them.
    pub authorities: OrdMap<Label, Authority>,
    /// By name.
    pub all: OrdMap<Label, Certificate>,
}

/// A certificate authority that we have, or will have, an account with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The log index of the last change by a person: what a change is made against.
    pub generation: u64,
    /// Where it is and who we are there.
    pub facts: AuthorityFacts,
    /// The key that binds our account to one of theirs (RFC 8555 section 7.3.4), where they want that.
    pub binding: Option<Sealed>,
    /// Our account there, with its key. Made at the first order.
    pub account: Option<Sealed>,
}

/// What a person says of an authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityFacts {
    /// The address of its directory (RFC 8555 section 7.1.1).
    pub url: Note,
    /// Where it may write to us, such as `mailto:ops@example.net`.
    pub contact: Option<Note>,
    /// Whom to trust that it is the authority, instead of the public ones.
    pub trust: Option<Pem>,
    /// The name of the key in `binding`.
    pub binding_id: Option<Note>,
}

/// A certificate that is wanted, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The log index of the last change by a person: what a change is made against.
    pub generation: u64,
    /// What is wanted.
    pub wanted: Wanted,
    /// When it is ordered next.
    pub due: Timestamp,
    /// Orders in a row that came to nothing.
    pub attempts: u32,
    /// Which node is at it.
    pub lease: Option<Lease>,
    /// What is shown to the authority now, by token (RFC 8555 section 8.3).
    pub challenges: OrdMap<Note, Note>,
    /// When and why an order came to nothing last, until one comes to something.
    pub trouble: Option<(Timestamp, Note)>,
    /// What is presented.
    pub issued: Option<Issued>,
    /// What the DNS shows to the authority now (RFC 8555 section 8.4).
    pub texts: Texts,
}

/// What a certificate is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The host names, in lower case, each once.
    pub hosts: Vector<Note>,
    /// Who is asked, one after the other when one cannot.
    pub authorities: Vector<Label>,
    /// The DNS proves that the names are ours, and not our websites.
    pub by_dns: bool,
}

/// What an authority issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The log index of the entry that brought it.
    pub index: u64,
    /// The certificate and its intermediates.
    pub chain: Pem,
    /// Its key, in PEM, sealed for [`key_context`].
    pub key: Sealed,
    /// The first moment it is valid.
    pub not_before: Timestamp,
    /// The last one.
    pub not_after: Timestamp,
    /// Who issued it.
    pub by: Label,
    /// When we got it.
    pub at: Timestamp,
    /// The host names it is for.
    pub hosts: Vector<Note>,
}

impl Issued {
    /// When it is renewed: with a third of its life left, as authorities ask for.
    pub fn renewed_at(&self) -> Timestamp {
        let life = self.not_after.ms_since(self.not_before);
        Timestamp(self.not_after.0.saturating_sub(life / 3))
    }
}

impl Certificate {
    /// The authority that the next order goes to: another one after each that came to nothing.
    pub fn asks(&self) -> Option<&Label> {
        let count = self.wanted.authorities.len();
        let place = usize::try_from(self.attempts)
            .unwrap_or(0)
            .checked_rem(count)?;
        self.wanted.authorities.get(place)
    }
}

/// Certificates that a node could order at `now`: due, and nobody at it.
pub fn due(state: &State, now: Timestamp) -> impl Iterator<Item = &Label> {
    let all = state.certificates.all.iter();
    all.filter(move |(_, it)| it.due <= now && it.lease.is_none_or(|lease| lease.until <= now))
        .map(|(name, _)| name)
}

/// What is shown to an authority that asks for `token`.
pub fn shown(state: &State, token: &str) -> Option<String> {
    let mut all = state.certificates.all.values();
    all.find_map(|it| {
        let mut shown = it.challenges.iter();
        shown.find(|(known, _)| known.as_str() == token)
    })
    .map(|(_, answer)| answer.as_str().to_owned())
}

/// What a certificate's key is sealed for.
pub fn key_context(certificate: &Label) -> String {
    format!("certificate {certificate}")
}

/// What our account with an authority is sealed for.
pub fn account_context(authority: &Label) -> String {
    format!("acme account {authority}")
}

/// What the binding key of an authority is sealed for.
pub fn binding_context(authority: &Label) -> String {
    format!("acme binding {authority}")
}

#[cfg(test)]
mod tests;
