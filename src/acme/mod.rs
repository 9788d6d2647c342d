//! Certificates for the public, ordered from authorities by ACME (RFC 8555): the leader asks, every node shows what the
//! authority looks for, and what is issued is agreed on, sealed.
//!
//! A node that dies leaves nothing but a lease that runs out. Nothing here is needed in an emergency: what was issued is
//! in the state of every node, and an authority that cannot be reached for a month is only an alarm.

mod order;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::clock;
use crate::cluster::{Cluster, Committed, ProposeError, health::RaftRole};
use crate::model::certificate::change::{CertificateChange, Ending};
use crate::model::certificate::{due, key_context};
use crate::model::limits::CERTIFICATE_LEASE_MS;
use crate::model::words::{ClientId, Label, Note, Timestamp};
use crate::model::{Command, Proposal, Reply, State};
use crate::seal::Keyring;
use crate::tasks::{Outcome, Stop};
use crate::telemetry::{Counter, Metrics};

/// How often it is looked whether something is due: time passes without the log saying so.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long an agreement may take.
const AGREEMENT: Duration = Duration::from_secs(5);
/// The pause before what came of an order is reported again.
const AGAIN: Duration = Duration::from_secs(1);
/// Of a lease, what an order may use: what comes of it must still be agreed on under it.
const ORDER: Duration = Duration::from_millis(CERTIFICATE_LEASE_MS - 30_000);

/// Orders certificates from this node while it leads.
#[derive(Clone)]
pub struct Orders {
    cluster: Cluster,
    keyring: Arc<Keyring>,
    counted: Arc<Counted>,
}

struct Counted {
    issued: Counter,
    failed: Counter,
}

impl Orders {
    /// Ready to start.
    pub fn new(cluster: Cluster, keyring: Arc<Keyring>, metrics: &Metrics) -> Self {
        let counter = |how: &'static str| {
            metrics.counter_of(
                "lifeboat_certificate_orders_total",
                "Orders of certificates by this node, by how they ended.",
                &[("ended", how)],
            )
        };
        Self {
            cluster,
            keyring,
            counted: Arc::new(Counted {
                issued: counter("issued"),
                failed: counter("failed"),
            }),
        }
    }

    /// Orders what is due, one after the other, until asked to stop.
    ///
    /// # Errors
    /// Never; the result is what a task returns.
    pub async fn run(self, stop: Stop) -> Outcome {
        let mut changes = self.cluster.changes();
        while !stop.is_cancelled() {
            changes.borrow_and_update();
            if let Some(name) = self.next() {
                self.visit(&name, &stop).await;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                // When the sender is gone the cluster has stopped and only the clock is left.
                _ = timeout(LOOK_EVERY, changes.changed()) => sleep(AGAIN).await,
            }
        }
        Ok(())
    }

    /// What this node should order now. Only whoever leads does, so that an authority is not asked twice.
    fn next(&self) -> Option<Label> {
        let health = self.cluster.health();
        if health.alone() || health.role != RaftRole::Leader {
            return None;
        }
        let state = self.cluster.state();
        // The cluster's time stands still between two entries. Running ahead is harmless: a lease is refused then.
        let now = state.now.max(clock::now());
        due(&state, now).next().cloned()
    }

    async fn visit(&self, name: &Label, stop: &Stop) {
        let node = self.cluster.id();
        let lease = CertificateChange::Lease {
            certificate: name.clone(),
            node,
        };
        let epoch = match self.propose(lease).await.map(|it| it.reply) {
            Ok(Reply::Leased { epoch }) => epoch,
            // Another node is at it, it is not due after all, or nobody agrees just now.
            Ok(_) | Err(_) => return sleep(AGAIN).await,
        };
        let began = clock::monotonic();
        let ending = tokio::select! {
            () = stop.cancelled() => Ending::HandedBack,
            done = timeout(ORDER, self.order(name, epoch)) => match done {
                Ok(Ok(fresh)) => Ending::Issued(Box::new(fresh)),
                Ok(Err(why)) => Ending::Failed(Note::cut(&why)),
                Err(_) => Ending::Failed(Note::cut("the authority takes too long")),
            },
        };
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &ending {
            Ending::Issued(it) => {
                self.counted.issued.add(1);
                info!(certificate = %name, authority = %it.by, took_ms, "a certificate was issued");
            }
            Ending::Failed(why) => {
                self.counted.failed.add(1);
                warn!(certificate = %name, took_ms, why = why.as_str(), "a certificate was not issued; it is tried again");
            }
            Ending::HandedBack => {}
        }
        self.settle(name, epoch, ending, stop).await;
    }

    /// Reports what came of an order until it is agreed on or the lease is over.
    async fn settle(&self, name: &Label, epoch: u64, ending: Ending, stop: &Stop) {
        let settle = CertificateChange::Settle {
            certificate: name.clone(),
            epoch,
            ending,
        };
        let id = ClientId(clock::random_bytes());
        loop {
            match self.propose_as(id, settle.clone()).await {
                Ok(_) => return,
                Err(_) if stop.is_cancelled() => return,
                Err(error) => {
                    warn!(certificate = %name, %error, "what came of an order is not agreed on yet");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn propose(&self, change: CertificateChange) -> Result<Committed, ProposeError> {
        self.propose_as(ClientId(clock::random_bytes()), change)
            .await
    }

    async fn propose_as(
        &self,
        id: ClientId,
        change: CertificateChange,
    ) -> Result<Committed, ProposeError> {
        let command = Command::Certificate(change);
        let proposal = Proposal::of_node(id, self.cluster.id(), command);
        self.cluster.propose(proposal, AGREEMENT).await
    }
}

/// A certificate to present, as the state has it.
pub struct Opened {
    /// Its name.
    pub name: String,
    /// The log index of the entry that brought it.
    pub index: u64,
    /// The chain, in PEM.
    pub chain: String,
    /// The key, in PEM.
    pub key: String,
}

/// Which certificates the state has, by the entries that brought them.
pub fn issued(state: &State) -> Vec<(Label, u64)> {
    let all = state.certificates.all.iter();
    all.filter_map(|(name, it)| Some((name.clone(), it.issued.as_ref()?.index)))
        .collect()
}

/// Opens those that this node has the key for; the others are named.
pub fn opened(state: &State, keyring: &Keyring) -> (Vec<Opened>, Vec<Label>) {
    let (mut opened, mut shut) = (Vec::new(), Vec::new());
    for (name, it) in &state.certificates.all {
        let Some(issued) = &it.issued else {
            continue;
        };
        let key = keyring.open(&key_context(name), &issued.key);
        match key.and_then(|it| String::from_utf8(it).ok()) {
            Some(key) => opened.push(Opened {
                name: name.to_string(),
                index: issued.index,
                chain: issued.chain.as_str().to_owned(),
                key,
            }),
            None => shut.push(name.clone()),
        }
    }
    (opened, shut)
}

/// What somebody should look at, for the node's status.
pub fn alarms(state: &State, now: Timestamp) -> Vec<String> {
    use crate::model::limits::CERTIFICATE_ALARM_MS;
    let mut alarms = Vec::new();
    for (name, it) in &state.certificates.all {
        let why = it.trouble.as_ref().map(|it| it.1.as_str());
        let why = why.map(|it| format!("; the last order failed: {it}"));
        let why = why.unwrap_or_default();
        match &it.issued {
            Some(issued) if issued.not_after <= now => {
                alarms.push(format!("the certificate {name} has ended{why}"));
            }
            Some(issued)
                if issued.not_after <= now.plus_ms(CERTIFICATE_ALARM_MS)
                    && it.trouble.is_some() =>
            {
                let days = issued.not_after.ms_since(now) / (24 * 3_600_000);
                alarms.push(format!("the certificate {name} ends in {days} days{why}"));
            }
            None if it.trouble.is_some() => {
                alarms.push(format!("the certificate {name} was not issued yet{why}"));
            }
            Some(_) | None => {}
        }
    }
    alarms
}
