//! Keeps this node's certificate fresh: asks a peer for a newer one at two thirds of its life.
//!
//! A node without peers signs its own. What fails is tried again; meanwhile peers tolerate the old one and report it.
//! One that no peer takes any more, because everybody was off for a season or a clock is years away, signs its own as
//! well: every member has the authority's key, unless it is in a vault that is shut, and without it none of them would
//! ever meet another again.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use openraft::{AsyncRuntime, storage::RaftStateMachine};
use tokio::time::sleep;

use super::{
    encoding::{
        decode, encode,
        joining::{RenewAnswer, RenewRequest},
    },
    joining::{Admission, RENEW_PATH},
    net::{Channel, Net},
    raft::Types,
    transport::{Peer, Transport},
};
use crate::{
    model::limits,
    tasks::{Outcome, Stop},
    tls::{
        identity::{Identity, IdentityError},
        peer::{IsMember, Now, PeerTls, PeerTlsError},
        pki::{PkiError, Request},
    },
};

/// How often it is looked whether the certificate is due: two dates are compared, and a clock may be set right any time.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How soon a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// The same where no peer takes the certificate any more, so that this node is alone until it has another.
const AGAIN_ALONE: Duration = Duration::from_secs(2);
/// How long a peer may take to sign.
const SIGN_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no newer certificate yet.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The request could not be made.
    #[error("the request for a newer certificate could not be made")]
    Request(#[from] PkiError),
    /// Nobody signed it.
    #[error("none of {asked} peers signed a newer certificate")]
    Nobody {
        /// How many were asked.
        asked: usize,
    },
    /// What came does not fit, or could not be saved.
    #[error("the newer certificate cannot be used")]
    Identity(#[from] IdentityError),
    /// TLS could not be set up with it.
    #[error("TLS could not be set up with the newer certificate")]
    Tls(#[from] PeerTlsError),
}

/// Renews one node's certificate.
pub struct Renewal<R: AsyncRuntime, N: Net, SM: RaftStateMachine<Types<R>>> {
    /// Where the identity's files are.
    pub folder: PathBuf,
    /// What connections use; swapped when there is a newer certificate.
    pub tls: Arc<ArcSwap<PeerTls>>,
    /// Who may speak to us, for the new settings.
    pub is_member: IsMember,
    /// Signs for ourselves when there is no peer.
    pub admission: Arc<Admission<R, N, SM>>,
    /// The way to the peers.
    pub transport: Transport<N>,
    /// The peers, the likeliest to be reached first.
    pub peers: Arc<dyn Fn() -> Vec<Peer> + Send + Sync>,
    /// The clock.
    pub now: Now,
}

impl<R: AsyncRuntime, N: Net, SM: RaftStateMachine<Types<R>>> Renewal<R, N, SM> {
    /// Renews whenever it is due, until it is stopped.
    pub async fn run(self: Arc<Self>, mut identity: Identity, stop: Stop) -> Outcome {
        loop {
            let mut rest = LOOK_EVERY;
            match self.renew_if_due(&identity).await {
                Ok(Some(newer)) => {
                    tracing::info!(
                        until_ms = newer.validity.not_after.0,
                        "this node has a newer certificate"
                    );
                    identity = newer;
                }
                Ok(None) => {}
                Err(error) => {
                    rest = match identity.is_beyond_grace((self.now)()) {
                        true => AGAIN_ALONE,
                        false => AGAIN,
                    };
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        "this node's certificate is due and was not renewed; it is tried again"
                    );
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(rest) => {}
            }
        }
    }

    /// Renews now if it is due: the file is written before connections use the new certificate.
    pub async fn renew_if_due(
        &self,
        identity: &Identity,
    ) -> Result<Option<Identity>, RenewalError> {
        if !identity.due_for_renewal((self.now)()) {
            return Ok(None);
        }
        let csr_pem = Request::renewal(&identity.key_pem)?;
        let alone = identity.is_beyond_grace((self.now)());
        let newer = identity.renewed(self.signed(&csr_pem, alone).await?)?;
        newer.save_certificate(&self.folder)?;
        let tolerated = self.tls.load().tolerated.clone();
        let tls = PeerTls::new(&newer, self.is_member.clone(), tolerated, self.now)?;
        self.tls.store(Arc::new(tls));
        Ok(Some(newer))
    }

    async fn signed(&self, csr_pem: &str, alone: bool) -> Result<String, RenewalError> {
        let peers = (self.peers)();
        let nobody = RenewalError::Nobody { asked: peers.len() };
        // Peers would refuse the connection itself: nobody is asked in vain.
        if peers.is_empty() || alone {
            let own = self.transport.us().node;
            return self.admission.issue(own, csr_pem).map_err(|_| nobody);
        }
        let Ok(request) = encode(&RenewRequest {
            csr_pem: csr_pem.to_owned(),
        }) else {
            return Err(nobody);
        };
        for peer in peers.into_iter().take(limits::NODES_MAX) {
            let request = request.clone().into();
            let answer = self
                .transport
                .call(peer, Channel::Control, RENEW_PATH, request, SIGN_WITHIN)
                .await;
            // Whoever cannot sign says why in its own log; the next one is asked.
            if let Some(answer) = answer.ok().and_then(|it| decode::<RenewAnswer>(&it).ok()) {
                return Ok(answer.certificate_pem);
            }
        }
        Err(nobody)
    }
}
