//! The node's part in mail: what signs it, the way out, and what it carries.

use std::sync::Arc;

use super::{Node, RunError, Runtimes, relay};
use crate::{
    cluster::Cluster,
    config::{Config, MailOut},
    errands,
    mail::{
        authentic::Authenticator,
        dkim::Signer,
        out::{
            self as mail_out,
            way::{Way, WayError},
        },
        receiver::Receiver,
    },
    seal::Keyring,
    tasks::Tasks,
    telemetry::Metrics,
};

/// What signs this node's mail, where it sends any.
pub(super) fn signer(
    config: &Config,
    cluster: &Cluster,
    keyring: &Arc<Keyring>,
    metrics: &Metrics,
) -> Option<Arc<Signer>> {
    let out = config.mail.out.as_ref()?;
    let cluster = cluster.clone();
    let agreed = Arc::new(move || cluster.state());
    let signer = Signer::new(&out.from, agreed, keyring.clone(), metrics);
    Some(Arc::new(signer))
}

impl Node<'_> {
    /// The relays, with whatever they carry signed.
    ///
    /// # Errors
    /// When a certificate name or authority of one of them cannot be used.
    pub(super) fn mail_way(&self, out: &MailOut) -> Result<Way, WayError> {
        let way = Way::new(out)?;
        Ok(match &self.signer {
            Some(signer) => way.signed_by(signer.clone()),
            None => way,
        })
    }

    /// Looks at our mail as receivers do.
    pub(super) fn receiver(&self, out: &MailOut) -> Option<Receiver> {
        Some(Receiver {
            out: out.clone(),
            signer: self.signer.clone()?,
            authenticator: self.authenticator(false)?,
        })
    }

    /// Asks the DNS about mail; nothing where neither configuration nor machine say whom.
    pub(super) fn authenticator(&self, keeps: bool) -> Option<Authenticator> {
        match Authenticator::new(&self.config.mail.resolvers, keeps) {
            Ok(it) => Some(it),
            Err(error) => {
                tracing::warn!(%error, "nobody can be asked whether mail is genuine: set [mail] resolvers");
                None
            }
        }
    }

    /// Starts what carries mail.
    pub(super) fn start_mail(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
    ) -> Result<(), RunError> {
        let Some(out) = &self.config.mail.out else {
            tracing::warn!("no [mail] section: messages are kept and shown, and nobody is mailed");
            return Ok(());
        };
        let (web, keyring) = (self.config.web.clone(), self.keyring.clone());
        let links: mail_out::letters::Links = Arc::new(move |conversation| {
            let link = keyring.link(conversation);
            let sites = relay::sites(&web).into_iter();
            sites.map(|site| format!("{site}/c/{link}")).collect()
        });
        let letters = || mail_out::letters::Letters {
            keyring: self.keyring.clone(),
            house: mail_out::compose::House {
                company: self.config.company.name.clone(),
                from: out.from.clone(),
                staff_lang: out.staff_lang,
            },
            support: out.support.clone(),
            support_off_net: out.support_off_net.clone(),
            links: links.clone(),
            site: relay::sites(&self.config.web).into_iter().next(),
            return_domain: out.return_domain.clone(),
        };
        let courier = Arc::new(mail_out::courier::Courier {
            cluster: self.cluster.clone(),
            letters: letters(),
            way: self.mail_way(out)?,
            locker: Some(self.locker.clone()),
        });
        let background = runtimes.background.handle();
        let cluster = self.cluster.clone();
        tasks.keep(background, "courier", move |stop| {
            errands::run(cluster.clone(), courier.clone(), stop)
        });
        let (letterbox, reach) = (self.letterbox.clone(), self.cluster.clone());
        let alone = Arc::new(mail_out::held::Alone {
            cluster: self.cluster.clone(),
            letters: letters(),
            way: self.mail_way(out)?,
            held: Arc::new(move || {
                let held = letterbox.held();
                // A copy is the other node's to tell of, for as long as that node can be reached.
                let peers = reach.health();
                let others = |node| peers.peers.iter().any(|it| it.id == node && it.reachable);
                let ours = held.values().flatten();
                ours.filter(|it| !it.copy_of.is_some_and(others))
                    .map(|it| it.proposal.clone())
                    .collect()
            }),
            locker: Some(self.locker.clone()),
            told_file: self.place.held_told(),
        });
        tasks.keep(background, "held mail", move |stop| {
            mail_out::held::run(alone.clone(), stop)
        });
        Ok(())
    }
}
