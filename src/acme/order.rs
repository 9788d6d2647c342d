//! One order: our account, what the authority wants to see, shown by every node, and the certificate that comes of it.

use std::time::Duration;

use imbl::{OrdMap, Vector};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};

use super::{AGREEMENT, Orders, wire::Wire};
use crate::clock;
use crate::https::Https;
use crate::model::certificate::change::{CertificateChange, Fresh};
use crate::model::certificate::{
    Authority, Certificate, Pem, Texts, account_context, binding_context, key_context,
    texts::place_of,
};
use crate::model::words::{Label, Note};
use crate::model::{Reply, State};
use crate::tls::{outgoing, pki};

/// How long an authority may take for one step of an order. It is asked again at growing pauses.
const STEP: Duration = Duration::from_secs(120);
/// How long the other nodes may take to show what the authority looks for.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
/// How long name servers outside may take to fetch a zone and answer from it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// How often a request is made again whose nonce the authority does not know (RFC 8555 section 6.5): it had no effect.
const NONCES: u32 = 50;

/// Why there is no certificate, in words without secrets.
type Why = String;

/// Makes a call, and makes it again with the nonce that came with the refusal of the last one.
macro_rules! heard {
    ($call:expr) => {{
        let mut left = NONCES;
        loop {
            match $call.await {
                Err(error) if left > 0 && is_of_a_nonce(&error) => left -= 1,
                answer => break answer,
            }
        }
    }};
}

impl Orders {
    /// Orders a certificate under a lease.
    pub(super) async fn order(&self, name: &Label, epoch: u64) -> Result<Fresh, Why> {
        if !self.cluster.shows(epoch, AGREEMENT).await {
            return Err("this node is behind the others".to_owned());
        }
        let state = self.cluster.state();
        let certificate = state.certificates.all.get(name);
        let certificate = certificate.ok_or("it is no longer wanted")?;
        let by = certificate.asks().ok_or("no authority is named")?;
        let account = self.account(&state, by).await?;
        let hosts = certificate.wanted.hosts.iter();
        let hosts: Vec<Identifier> = hosts
            .map(|it| Identifier::Dns(it.as_str().to_owned()))
            .collect();
        let wanted = NewOrder::new(&hosts);
        let mut order = heard!(account.new_order(&wanted)).map_err(said)?;
        let proof = match certificate.wanted.by_dns {
            true => ChallengeType::Dns01,
            false => ChallengeType::Http01,
        };
        self.show((name, epoch), &mut order, &proof).await?;
        let policy = RetryPolicy::new().timeout(STEP);
        match heard!(order.poll_ready(&policy)) {
            Ok(OrderStatus::Ready) => {}
            Ok(_) | Err(Error::Api(_)) => return Err(refused(&mut order).await),
            Err(error) => return Err(said(error)),
        }
        let (key, request) = pki::host_request(&names(certificate)).map_err(in_words)?;
        heard!(order.finalize_csr(&request)).map_err(said)?;
        let chain = heard!(order.poll_certificate(&policy)).map_err(said)?;
        self.fresh(name, by, certificate, (&chain, &key))
    }

    /// Our account with an authority, made now where there is none.
    async fn account(&self, state: &State, name: &Label) -> Result<Account, Why> {
        let authority = state.certificates.authorities.get(name);
        let authority = authority.ok_or("the authority is no longer there")?;
        let facts = &authority.facts;
        let wire = || -> Result<Box<Wire>, Why> {
            let tls = match &facts.trust {
                Some(pem) => outgoing::trusting_text(pem.as_str()),
                None => outgoing::connector(None),
            };
            Ok(Box::new(Wire(Https::new(tls.map_err(in_words)?))))
        };
        if let Some(sealed) = &authority.account {
            let opened = self.keyring.open(&account_context(name), sealed);
            let opened = opened.ok_or("this node cannot open our account there")?;
            let known: AccountCredentials = serde_json::from_slice(&opened)
                .map_err(|_| "our account there cannot be read".to_owned())?;
            let builder = Account::builder_with_http(wire()?);
            return builder.from_credentials(known).await.map_err(said);
        }
        let binding = self.binding(name, authority)?;
        let contact: Vec<&str> = facts.contact.iter().map(Note::as_str).collect();
        let us = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let wire = wire()?;
        let url = facts.url.as_str();
        let created = heard!({
            let builder = Account::builder_with_http(wire.clone());
            builder.create(&us, url.to_owned(), binding.as_ref())
        });
        let (account, credentials) = created.map_err(said)?;
        let plain = serde_json::to_vec(&credentials).map_err(in_words)?;
        let made = CertificateChange::Account {
            authority: name.clone(),
            against: authority.generation,
            account: self.keyring.seal(&account_context(name), &plain),
        };
        self.agreed(made).await?;
        Ok(account)
    }

    fn binding(
        &self,
        name: &Label,
        authority: &Authority,
    ) -> Result<Option<ExternalAccountKey>, Why> {
        let (Some(sealed), Some(id)) = (&authority.binding, &authority.facts.binding_id) else {
            return Ok(None);
        };
        let opened = self.keyring.open(&binding_context(name), sealed);
        let opened = opened.ok_or("this node cannot open the key that binds our account")?;
        Ok(Some(ExternalAccountKey::new(
            id.as_str().to_owned(),
            &opened,
        )))
    }

    /// Has every node show what the authority looks for, and tells it to look.
    async fn show(
        &self,
        (name, epoch): (&Label, u64),
        order: &mut Order,
        proof: &ChallengeType,
    ) -> Result<(), Why> {
        let mut challenges = OrdMap::new();
        let mut texts = Texts::new();
        heard!(fetched(order)).map_err(said)?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(said)?;
            let host = authorization.identifier().to_string();
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                _ => return Err(format!("{host} may not be asked for any more")),
            }
            let challenge = authorization.challenge(proof.clone());
            let challenge =
                challenge.ok_or(format!("the authority does not look at {host} this way"))?;
            let answer = challenge.key_authorization();
            let line = |it: &str| Note::new(it).map_err(|_| "a token is too long".to_owned());
            if *proof == ChallengeType::Dns01 {
                let place = place_of(&host).ok_or(format!("{host} is too long to be proven"))?;
                let mut there = texts.get(&place).cloned().unwrap_or_default();
                there.insert(line(&answer.dns_value())?);
                texts.insert(place, there);
            } else {
                challenges.insert(line(&challenge.token)?, line(answer.as_str())?);
            }
        }
        if challenges.is_empty() && texts.is_empty() {
            return Ok(());
        }
        let certificate = name.clone();
        let show = match texts.is_empty() {
            true => CertificateChange::Show {
                certificate,
                epoch,
                challenges,
            },
            false => CertificateChange::ShowTexts {
                certificate,
                epoch,
                texts: texts.clone(),
            },
        };
        let index = self.agreed(show).await?;
        self.everybody_shows(index).await;
        self.name_servers_show(&texts).await;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(said)?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            if let Some(mut challenge) = authorization.challenge(proof.clone()) {
                heard!(challenge.set_ready()).map_err(said)?;
            }
        }
        Ok(())
    }

    /// Waits until every node that can be reached has what was agreed on at `index`. One that cannot be reached now
    /// cannot answer the authority either.
    async fn everybody_shows(&self, index: u64) {
        let mut health = self.cluster.health_changes();
        let all = health.wait_for(|it| {
            let mut there = it.peers.iter().filter(|it| it.reachable);
            there.all(|it| it.applied.is_some_and(|at| at >= index))
        });
        if tokio::time::timeout(SHOWN_WITHIN, all).await.is_err() {
            tracing::warn!(
                "not every node shows what an authority looks for; it is asked to look all the same"
            );
        }
    }

    /// Waits until every name server of the zones, ours and outside, was seen to answer these texts. One that lags for too
    /// long makes no certificate impossible: the authority may ask another.
    async fn name_servers_show(&self, texts: &Texts) {
        let mut changes = self.cluster.changes();
        let waiting = async {
            loop {
                changes.borrow_and_update();
                let state = self.cluster.state();
                let shows = |name| {
                    let (apex, zone) = state.dns.zone_of(name)?;
                    let generation = zone.live.as_ref()?.generation;
                    let roll = state.names.rolls.get(apex)?;
                    (roll.generation >= generation && roll.complete.is_some()).then_some(())
                };
                if texts.keys().all(|it| shows(it).is_some()) || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(ANSWERED_WITHIN, waiting)
            .await
            .is_err()
        {
            tracing::warn!(
                "not every name server answers what an authority looks for; it is asked to look all the same"
            );
        }
    }

    /// What the authority handed out, if it is what was ordered.
    fn fresh(
        &self,
        name: &Label,
        by: &Label,
        certificate: &Certificate,
        (chain, key): (&str, &str),
    ) -> Result<Fresh, Why> {
        let first = pki::certificate(chain).map_err(in_words)?;
        let validity = pki::validity(&first).map_err(in_words)?;
        let (theirs, ours) = (pki::fingerprint(&first), pki::key_fingerprint(key));
        if theirs.map_err(in_words)? != ours.map_err(in_words)? {
            return Err("the authority handed out a certificate for another key".to_owned());
        }
        let hosts = pki::names(&first).map_err(in_words)?;
        let lacking = names(certificate)
            .into_iter()
            .find(|it| !hosts.contains(it));
        if let Some(host) = lacking {
            return Err(format!(
                "the authority handed out a certificate without {host}"
            ));
        }
        if validity.not_after <= clock::now() {
            return Err("the authority handed out a certificate that has ended".to_owned());
        }
        let hosts: Result<Vector<Note>, _> = hosts.iter().map(|it| Note::new(it)).collect();
        Ok(Fresh {
            chain: Pem::new(chain)
                .map_err(|it| format!("the chain is too long; wanted {}", it.wanted))?,
            key: self.keyring.seal(&key_context(name), key.as_bytes()),
            not_before: validity.not_before,
            not_after: validity.not_after,
            by: by.clone(),
            hosts: hosts.map_err(|it| format!("a host name; wanted {}", it.wanted))?,
        })
    }

    /// Has something agreed on; its log index.
    async fn agreed(&self, change: CertificateChange) -> Result<u64, Why> {
        let committed = self.propose(change).await.map_err(in_words)?;
        match committed.reply {
            Reply::Refused(why) => Err(why.to_string()),
            _ => Ok(committed.index),
        }
    }
}

/// Has the library know every authorization of an order: what it knows it does not ask for again.
async fn fetched(order: &mut Order) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        authorization?;
    }
    Ok(())
}

fn is_of_a_nonce(error: &Error) -> bool {
    let kind = match error {
        Error::Api(problem) => problem.r#type.as_deref(),
        _ => None,
    };
    kind == Some("urn:ietf:params:acme:error:badNonce")
}

/// The host names of a certificate that is wanted.
fn names(certificate: &Certificate) -> Vec<String> {
    let hosts = certificate.wanted.hosts.iter();
    hosts.map(|it| it.as_str().to_owned()).collect()
}

/// Why an authority refused, in its words: the reason is with the host name that it is about.
async fn refused(order: &mut Order) -> Why {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else {
            continue;
        };
        if heard!(authorization.refresh()).is_err() {
            continue;
        }
        let host = authorization.identifier().to_string();
        let errors = authorization
            .challenges
            .iter()
            .filter_map(|it| it.error.as_ref());
        for error in errors {
            let detail = error.detail.as_deref().unwrap_or("no reason given");
            reasons.push(format!("{host}: {detail}"));
        }
    }
    match reasons.is_empty() {
        true => "the authority refused, and does not say why".to_owned(),
        false => reasons.join("; "),
    }
}

fn said(error: Error) -> Why {
    match error {
        Error::Api(problem) => {
            let detail = problem.detail.as_deref().unwrap_or("no reason given");
            let kind = problem.r#type.as_deref().unwrap_or_default();
            let kind = kind.rsplit(':').next().unwrap_or_default();
            format!("the authority says: {detail} ({kind})")
        }
        Error::Timeout(_) => "the authority takes too long".to_owned(),
        other => format!("the authority: {other}"),
    }
}

fn in_words(error: impl std::fmt::Display) -> Why {
    error.to_string()
}
