//! The only functions that change what is known of certificates.
//!
//! A node leases a certificate, has its challenges agreed on, and settles what came of the order under the lease's epoch.

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{Authority, AuthorityFacts, Certificate, Issued, Pem, Texts, Wanted, texts};
use crate::model::{
    Actor, Refusal, Reply, State, limits,
    outbox::Lease,
    words::{Label, NodeId, Note, Sealed, Timestamp},
};

/// A change to what is known of certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateChange {
    /// Makes an authority known, or says anew where it is.
    SetAuthority {
        /// The authority.
        authority: Label,
        /// Where it is and who we are there.
        facts: AuthorityFacts,
        /// The key that binds accounts; nothing to keep the one that is there.
        binding: Option<Sealed>,
        /// Its generation that this was made against; 0 when there was none.
        against: u64,
    },
    /// Forgets an authority that no certificate asks, with our account there.
    RemoveAuthority {
        /// The authority.
        authority: Label,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Says what certificate is wanted; it is ordered at once where the host names are others than before.
    Want {
        /// The certificate.
        certificate: Label,
        /// What it is to be.
        wanted: Wanted,
        /// Its generation that this was made against; 0 when there was none.
        against: u64,
    },
    /// Forgets a certificate, with its key. It is presented no more.
    Remove {
        /// The certificate.
        certificate: Label,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Has it ordered now.
    Renew {
        /// The certificate.
        certificate: Label,
    },
    /// A node begins an order.
    Lease {
        /// The certificate.
        certificate: Label,
        /// The node.
        node: NodeId,
    },
    /// A node has made our account with an authority.
    Account {
        /// The authority.
        authority: Label,
        /// Its generation, as another place is another account.
        against: u64,
        /// The account with its key.
        account: Sealed,
    },
    /// What every node is to show to the authority from now on.
    Show {
        /// The certificate.
        certificate: Label,
        /// The lease that it is ordered under.
        epoch: u64,
        /// By token.
        challenges: OrdMap<Note, Note>,
    },
    /// What came of an order.
    Settle {
        /// The certificate.
        certificate: Label,
        /// The lease that it was ordered under.
        epoch: u64,
        /// What came of it.
        ending: Ending,
    },
    /// What the DNS is to show to the authority from now on.
    ShowTexts {
        /// The certificate.
        certificate: Label,
        /// The lease that it is ordered under.
        epoch: u64,
        /// By name.
        texts: Texts,
    },
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// A certificate.
    Issued(Box<Fresh>),
    /// Nothing, and why.
    Failed(Note),
    /// The node stopped before it came to anything.
    HandedBack,
}

/// A certificate as a node got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fresh {
    /// The certificate and its intermediates.
    pub chain: Pem,
    /// Its key, sealed.
    pub key: Sealed,
    /// The first moment it is valid.
    pub not_before: Timestamp,
    /// The last one.
    pub not_after: Timestamp,
    /// Who issued it.
    pub by: Label,
    /// The host names it is for.
    pub hosts: Vector<Note>,
}

impl CertificateChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SetAuthority { .. } => "set-authority",
            Self::RemoveAuthority { .. } => "remove-authority",
            Self::Want { .. } => "want-certificate",
            Self::Remove { .. } => "remove-certificate",
            Self::Renew { .. } => "renew-certificate",
            Self::Lease { .. } => "lease-certificate",
            Self::Account { .. } => "acme-account",
            Self::Show { .. } => "acme-challenge",
            Self::Settle { .. } => "settle-certificate",
            Self::ShowTexts { .. } => "acme-texts",
        }
    }

    /// What it is about, for the record.
    pub fn about(&self) -> String {
        match self {
            Self::SetAuthority { authority, .. }
            | Self::RemoveAuthority { authority, .. }
            | Self::Account { authority, .. } => authority.to_string(),
            Self::Want {
                certificate,
                wanted,
                ..
            } => {
                let hosts: Vec<&str> = wanted.hosts.iter().map(Note::as_str).collect();
                format!("{certificate}: {}", hosts.join(", "))
            }
            Self::Remove { certificate, .. }
            | Self::Renew { certificate }
            | Self::Lease { certificate, .. }
            | Self::Show { certificate, .. }
            | Self::ShowTexts { certificate, .. }
            | Self::Settle { certificate, .. } => certificate.to_string(),
        }
    }

    /// What only a node does; everything else is a person's to say.
    fn is_of_a_node(&self) -> bool {
        matches!(
            self,
            Self::Lease { .. }
                | Self::Account { .. }
                | Self::Show { .. }
                | Self::ShowTexts { .. }
                | Self::Settle { .. }
        )
    }
}

/// Applies a change.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &CertificateChange,
) -> Result<Reply, Refusal> {
    if matches!(actor, Actor::Node(_)) != change.is_of_a_node() {
        let actor = actor.spoken();
        return Err(Refusal::NotAllowed { actor });
    }
    match change {
        CertificateChange::SetAuthority {
            authority,
            facts,
            binding,
            against,
        } => set_authority(state, index, authority, (facts, binding.as_ref()), *against),
        CertificateChange::RemoveAuthority { authority, against } => {
            remove_authority(state, authority, *against)
        }
        CertificateChange::Want {
            certificate,
            wanted,
            against,
        } => want(state, index, certificate, wanted, *against),
        CertificateChange::Remove {
            certificate,
            against,
        } => {
            let known = find(state, certificate)?;
            fresh("certificate", certificate, known.generation, *against)?;
            state.certificates.all.remove(certificate);
            let names = known.texts.keys().cloned().collect();
            texts::lay(state, index, &names);
            Ok(Reply::Done)
        }
        CertificateChange::Renew { certificate } => {
            let mut known = find(state, certificate)?;
            known.due = state.now;
            keep(state, index, certificate, known)
        }
        CertificateChange::Lease { certificate, node } => lease(state, index, certificate, *node),
        CertificateChange::Account {
            authority,
            against,
            account,
        } => keep_account(state, authority, *against, account),
        CertificateChange::Show {
            certificate,
            epoch,
            challenges,
        } => show(state, index, (certificate, *epoch), challenges),
        CertificateChange::ShowTexts {
            certificate,
            epoch,
            texts,
        } => show_texts(state, index, (certificate, *epoch), texts),
        CertificateChange::Settle {
            certificate,
            epoch,
            ending,
        } => settle(state, index, certificate, *epoch, ending),
    }
}

fn keep_account(
    state: &mut State,
    authority: &Label,
    against: u64,
    account: &Sealed,
) -> Result<Reply, Refusal> {
    let known = state.certificates.authorities.get(authority).cloned();
    let mut known = known.ok_or_else(|| Refusal::unknown("authority"))?;
    fresh("authority", authority, known.generation, against)?;
    bounded("account", account)?;
    known.account = Some(account.clone());
    let all = &mut state.certificates.authorities;
    all.insert(authority.clone(), known);
    Ok(Reply::Done)
}

fn show(
    state: &mut State,
    index: u64,
    (certificate, epoch): (&Label, u64),
    challenges: &OrdMap<Note, Note>,
) -> Result<Reply, Refusal> {
    let mut known = under(state, certificate, epoch)?;
    if challenges.len() > limits::CERTIFICATE_HOSTS_MAX {
        return Err(too_many("challenges", limits::CERTIFICATE_HOSTS_MAX));
    }
    known.challenges = challenges.clone();
    keep(state, index, certificate, known)
}

fn show_texts(
    state: &mut State,
    index: u64,
    (certificate, epoch): (&Label, u64),
    texts: &Texts,
) -> Result<Reply, Refusal> {
    let mut known = under(state, certificate, epoch)?;
    texts::can_be_shown(state, texts)?;
    known.texts = texts.clone();
    keep(state, index, certificate, known)
}

fn set_authority(
    state: &mut State,
    index: u64,
    name: &Label,
    (facts, binding): (&AuthorityFacts, Option<&Sealed>),
    against: u64,
) -> Result<Reply, Refusal> {
    let known = state.certificates.authorities.get(name);
    let generation = known.map_or(0, |it| it.generation);
    fresh("authority", name, generation, against)?;
    let count = state.certificates.authorities.len();
    if known.is_none() && count >= limits::AUTHORITIES_MAX {
        return Err(too_many("authorities", limits::AUTHORITIES_MAX));
    }
    if let Some(binding) = binding {
        bounded("binding", binding)?;
    }
    // An account is with one place and one holder, and so is the key that binds it.
    let same =
        known.filter(|it| (&it.facts.url, &it.facts.binding_id) == (&facts.url, &facts.binding_id));
    let binding = binding.or(same.and_then(|it| it.binding.as_ref())).cloned();
    if binding.is_some() != facts.binding_id.is_some() {
        let (found, wanted) = match binding {
            Some(_) => (
                "a key without its name",
                "both from the authority, or neither",
            ),
            None => (
                "nothing",
                "the key that belongs to the name, as the authority gave it",
            ),
        };
        return Err(Refusal::unsound("binding", found, wanted));
    }
    let made = Authority {
        generation: index,
        facts: facts.clone(),
        account: same.and_then(|it| it.account.clone()),
        binding,
    };
    state.certificates.authorities.insert(name.clone(), made);
    Ok(Reply::Done)
}

fn remove_authority(state: &mut State, name: &Label, against: u64) -> Result<Reply, Refusal> {
    let known = state.certificates.authorities.get(name);
    let known = known.ok_or_else(|| Refusal::unknown("authority"))?;
    fresh("authority", name, known.generation, against)?;
    let mut all = state.certificates.all.iter();
    if let Some((user, _)) = all.find(|(_, it)| it.wanted.authorities.contains(name)) {
        return Err(Refusal::InUse {
            what: format!("the authority {name}"),
            by: format!("the certificate {user}"),
        });
    }
    state.certificates.authorities.remove(name);
    Ok(Reply::Done)
}

fn want(
    state: &mut State,
    index: u64,
    name: &Label,
    wanted: &Wanted,
    against: u64,
) -> Result<Reply, Refusal> {
    let known = state.certificates.all.get(name).cloned();
    let generation = known.as_ref().map_or(0, |it| it.generation);
    fresh("certificate", name, generation, against)?;
    if known.is_none() && state.certificates.all.len() >= limits::CERTIFICATES_MAX {
        return Err(too_many("certificates", limits::CERTIFICATES_MAX));
    }
    let count = wanted.hosts.len();
    if count == 0 || count > limits::CERTIFICATE_HOSTS_MAX {
        let most = limits::CERTIFICATE_HOSTS_MAX;
        return Err(Refusal::unsound(
            "hosts",
            count.to_string(),
            format!("1 to {most} host names"),
        ));
    }
    if wanted.authorities.is_empty() || wanted.authorities.len() > limits::AUTHORITIES_MAX {
        let found = wanted.authorities.len().to_string();
        return Err(Refusal::unsound(
            "authorities",
            found,
            "one or more, each once",
        ));
    }
    for it in &wanted.authorities {
        if !state.certificates.authorities.contains_key(it) {
            let wanted = "one that 'lifeboat certificate list' shows";
            return Err(Refusal::unsound("authorities", it.as_str(), wanted));
        }
    }
    let is_star = |it: &Note| it.as_str().starts_with("*.");
    if !wanted.by_dns && wanted.hosts.iter().any(is_star) {
        let wanted = "host names without a star, or proof by the DNS";
        return Err(Refusal::unsound("hosts", "a wildcard", wanted));
    }
    let same = known.filter(|it| it.wanted.hosts == wanted.hosts);
    let now = state.now;
    let issued = same.as_ref().and_then(|it| it.issued.clone());
    let made = Certificate {
        generation: index,
        wanted: wanted.clone(),
        due: issued.as_ref().map_or(now, Issued::renewed_at).max(now),
        attempts: 0,
        lease: None,
        challenges: OrdMap::new(),
        trouble: None,
        issued,
        texts: Texts::new(),
    };
    keep(state, index, name, made)
}

fn lease(state: &mut State, index: u64, name: &Label, node: NodeId) -> Result<Reply, Refusal> {
    let now = state.now;
    let mut known = find(state, name)?;
    if let Some(held) = known.lease.filter(|it| it.until > now) {
        return Err(Refusal::Leased {
            by: held.node,
            until: held.until,
        });
    }
    if known.due > now {
        return Err(Refusal::NotDue);
    }
    known.lease = Some(Lease {
        node,
        epoch: index,
        until: now.plus_ms(limits::CERTIFICATE_LEASE_MS),
    });
    known.challenges = OrdMap::new();
    known.texts = Texts::new();
    keep(state, index, name, known)?;
    Ok(Reply::Leased { epoch: index })
}

fn settle(
    state: &mut State,
    index: u64,
    name: &Label,
    epoch: u64,
    ending: &Ending,
) -> Result<Reply, Refusal> {
    let now = state.now;
    let mut known = under(state, name, epoch)?;
    known.lease = None;
    known.challenges = OrdMap::new();
    known.texts = Texts::new();
    match ending {
        Ending::Issued(fresh) => {
            bounded("key", &fresh.key)?;
            if fresh.not_after <= now || fresh.not_after <= fresh.not_before {
                let found = format!("until {} ms", fresh.not_after.0);
                return Err(Refusal::unsound("not_after", found, "a time to come"));
            }
            let issued = Issued {
                index,
                chain: fresh.chain.clone(),
                key: fresh.key.clone(),
                not_before: fresh.not_before,
                not_after: fresh.not_after,
                by: fresh.by.clone(),
                at: now,
                hosts: fresh.hosts.clone(),
            };
            // One that lives for minutes only would be ordered without a pause.
            let least = now.plus_ms(limits::CERTIFICATE_RETRY_MS);
            known.due = issued.renewed_at().max(least);
            known.attempts = 0;
            known.trouble = None;
            known.issued = Some(issued);
        }
        Ending::Failed(why) => {
            let wait = limits::CERTIFICATE_RETRY_MS << known.attempts.min(16);
            known.due = now.plus_ms(wait.min(limits::CERTIFICATE_RETRY_MS_MAX));
            known.attempts = known.attempts.saturating_add(1);
            known.trouble = Some((now, why.clone()));
        }
        Ending::HandedBack => known.due = now,
    }
    keep(state, index, name, known)
}

fn find(state: &State, name: &Label) -> Result<Certificate, Refusal> {
    let known = state.certificates.all.get(name).cloned();
    known.ok_or_else(|| Refusal::unknown("certificate"))
}

/// The certificate, if it is ordered under this lease. What a person said anew meanwhile ends the lease.
fn under(state: &State, name: &Label, epoch: u64) -> Result<Certificate, Refusal> {
    let known = find(state, name)?;
    match known.lease {
        Some(lease) if lease.epoch == epoch => Ok(known),
        _ => Err(Refusal::StaleEpoch),
    }
}

fn keep(state: &mut State, index: u64, name: &Label, it: Certificate) -> Result<Reply, Refusal> {
    texts::keep(state, index, name, it);
    Ok(Reply::Done)
}

fn fresh(what: &str, name: &Label, found: u64, against: u64) -> Result<(), Refusal> {
    if found == against {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: format!("the {what} {name}"),
        against,
        found,
    })
}

fn bounded(field: &str, sealed: &Sealed) -> Result<(), Refusal> {
    if sealed.bytes.len() <= limits::SEALED_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::TooLarge {
        field: field.to_owned(),
        found: sealed.bytes.len() as u64,
        most: limits::SEALED_BYTES_MAX as u64,
    })
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}
