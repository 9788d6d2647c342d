//! The node's part in mail that comes in: the listener, and keeping away whom mail came back from.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::watch;

use super::{
    Node, Open, RunError, Runtimes,
    listening::{self, Wildcard},
};
use crate::{
    clock,
    mail::{
        campaign::away::Away,
        inward::{
            counted::Counted,
            doorman::Doorman,
            intake::Intake,
            listener,
            places::{Pace, Places},
            session::{House, Take},
        },
    },
    model::limits::MAIL_IN_BYTES_AT_ONCE,
    tasks::Tasks,
    telemetry::Metrics,
    tls::public::smtp_config,
};

impl Node<'_> {
    /// Starts the listener where the configuration asks for one. That its port cannot be opened keeps the node from
    /// nothing else.
    pub(super) fn start_mail_in(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        open: &Open,
        metrics: &Metrics,
    ) -> Result<(), RunError> {
        let away = Arc::new(Away {
            cluster: self.cluster.clone(),
            blobs: self.blobs.clone(),
            keyring: self.keyring.clone(),
        });
        tasks.keep(runtimes.background.handle(), "returned mail", move |stop| {
            away.clone().run(stop)
        });
        let Some(config) = self.config.mail.inward.clone() else {
            return Ok(());
        };
        let counted = Counted::new(metrics);
        let lang = self.config.company.languages.first().copied();
        let intake = Arc::new(Intake {
            cluster: self.cluster.clone(),
            letterbox: self.letterbox.clone(),
            keyring: self.keyring.clone(),
            lang: lang.unwrap_or_default(),
            pace: Pace::default(),
            authenticator: self.authenticator(true),
            counted: counted.clone(),
            locker: self.locker.clone(),
        });
        let take: Take = Arc::new(move |arrived| intake.clone().take(arrived).boxed());
        let returns = self.config.mail.return_domain.as_deref();
        let house = Arc::new(House {
            host: config.host_name.clone(),
            message_bytes: config.message_bytes,
            doorman: Doorman::new(self.keyring.clone(), &config, returns),
            take,
            places: Places::new(
                config.connections,
                config.connections_per_network,
                MAIL_IN_BYTES_AT_ONCE,
            ),
            counted,
            tls: true,
        });
        let secret = self.keyring.mac("tls session tickets, smtp", b"").0;
        let (keep, tls) =
            watch::channel(smtp_config(open.certificates.clone(), &secret, clock::now)?);
        let keep = Arc::new(keep);
        tasks.keep(runtimes.people.handle(), "mail in", move |stop| {
            let (house, tls, keep, listen) = (
                house.clone(),
                tls.clone(),
                keep.clone(),
                config.listen.clone(),
            );
            async move {
                let sockets = listening::all(&listen, Wildcard::Both, "mail in")?;
                listener::serve(house, sockets, tls, stop).await;
                drop(keep);
                Ok(())
            }
        });
        Ok(())
    }
}
