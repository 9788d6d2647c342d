//! The node's part in mass mail: the sender of its share, and what the desk writes and tests with.

use std::sync::Arc;

use super::{Node, RunError, Runtimes};
use crate::{
    desk::Mailing,
    mail::campaign::{
        letter, routes,
        sender::{Parts, Sender},
    },
    model::words::KeyedHash,
    tasks::Tasks,
    telemetry::Metrics,
};

impl Node<'_> {
    /// Starts the sender. A node without a mail section sends nothing and leaves it to the others.
    pub(super) fn start_campaigns(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        metrics: &Metrics,
    ) -> Result<(), RunError> {
        let (Some(out), Some(from)) = (&self.config.mail.out, self.mass_mail_from()) else {
            return Ok(());
        };
        let way = self.mail_way(out)?;
        let parts = Parts {
            cluster: self.cluster.clone(),
            blobs: self.blobs.clone(),
            keyring: self.keyring.clone(),
            from,
            way,
            folder: self.place.sending(),
        };
        let sender = Arc::new(Sender::new(parts, out, metrics));
        tasks.keep(runtimes.background.handle(), "campaigns", move |stop| {
            sender.clone().run(stop)
        });
        Ok(())
    }

    /// What the desk writes and tests mass mail with.
    pub(super) fn mailing(&self) -> Option<Arc<Mailing>> {
        let out = self.config.mail.out.as_ref()?;
        let way = match self.mail_way(out) {
            Ok(way) => way,
            Err(error) => {
                tracing::error!(%error, "mass mail cannot be written on this node");
                return None;
            }
        };
        Some(Arc::new(Mailing {
            from: self.mass_mail_from()?,
            routes: routes(out),
            way,
            receiver: self.receiver(out),
        }))
    }

    fn mass_mail_from(&self) -> Option<letter::Sender> {
        let out = self.config.mail.out.as_ref()?;
        let (web, keyring) = (self.config.web.clone(), self.keyring.clone());
        let unsubscribe: letter::Unsubscribe = Arc::new(move |who: &KeyedHash| {
            let port = match web.https_port {
                443 => String::new(),
                other => format!(":{other}"),
            };
            let token = keyring.unsubscribe(who);
            let names = web.names.iter();
            names
                .map(|name| format!("https://{name}{port}/u/{token}"))
                .collect()
        });
        Some(letter::Sender {
            company: self.config.company.name.clone(),
            from: out.from.clone(),
            reply_to: out.support.clone(),
            unsubscribe,
            return_domain: out.return_domain.clone(),
        })
    }
}
