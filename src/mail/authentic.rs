//! Whether a mail is from whom it says: SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 9989), asked of the DNS through the
//! resolvers that the configuration names, or this machine's.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{AuthenticatedMessage, DkimResult, DmarcResult, MessageAuthenticator, SpfResult};

/// How long one question may take, and how often it is asked.
const QUESTION: (Duration, usize) = (Duration::from_secs(3), 2);
/// How long a verdict on one mail may take, with all its questions.
const VERDICT: Duration = Duration::from_secs(20);
/// How many answers are kept: those of everybody who writes on a busy day.
const ANSWERS_KEPT: u64 = 4_096;

/// Asks the DNS about mail.
#[derive(Clone)]
pub struct Authenticator(MessageAuthenticator);

/// Where a mail came from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The address that connected.
    pub address: IpAddr,
    /// What it called itself in EHLO.
    pub hello: &'a str,
    /// The envelope's sender; empty for a return.
    pub sender: &'a str,
    /// Our own name.
    pub here: &'a str,
}

/// What a mail came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Of the envelope's domain.
    pub spf: SpfResult,
    /// Of each signature: the domain and selector that it names, and why it does not hold where it does not.
    pub dkim: Vec<(String, Result<(), String>)>,
    /// Of the domain in From.
    pub dmarc: Dmarc,
}

/// What the domain in a mail's From says of the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dmarc {
    /// It has no policy.
    NoPolicy,
    /// The mail is the domain's.
    Pass,
    /// Neither signature nor envelope is of the domain.
    Fail,
    /// Nobody could tell.
    Unknown,
}

/// A name without such records, or nobody who could say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// There is nothing there.
    #[error("there is no such record")]
    Nothing,
    /// Nobody answered.
    #[error("the DNS does not answer: {0}")]
    Silent(String),
}

impl Authenticator {
    /// Asks these resolvers; this machine's where there are none. Answers are kept for as long as they may be where `keeps`;
    /// otherwise each question is asked anew.
    ///
    /// # Errors
    /// When this machine names none either.
    pub fn new(resolvers: &[SocketAddr], keeps: bool) -> Result<Authenticator, NetError> {
        let (config, mut options) = match resolvers.is_empty() {
            true => hickory_resolver::system_conf::read_system_conf()?,
            false => {
                let servers = resolvers.iter().map(|it| {
                    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
                    udp.port = it.port();
                    tcp.port = it.port();
                    NameServerConfig::new(it.ip(), true, vec![udp, tcp])
                });
                let config = ResolverConfig::from_name_servers(servers.collect());
                (config, ResolverOpts::default())
            }
        };
        (options.timeout, options.attempts) = QUESTION;
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = if keeps { ANSWERS_KEPT } else { 0 };
        Ok(Authenticator(MessageAuthenticator::new(config, options)?))
    }

    /// Judges a mail. Nothing where it is no mail, or took too long.
    pub async fn judge(&self, origin: &Origin<'_>, mail: &[u8]) -> Option<Verdict> {
        let judging = self.verdict(origin, mail);
        tokio::time::timeout(VERDICT, judging).await.ok()?
    }

    async fn verdict(&self, origin: &Origin<'_>, mail: &[u8]) -> Option<Verdict> {
        let message = AuthenticatedMessage::parse(mail)?;
        let signatures = self.0.verify_dkim(&message).await;
        let parameters = SpfParameters::verify_mail_from(
            origin.address,
            origin.hello,
            origin.here,
            origin.sender,
        );
        let spf = self.0.verify_spf(parameters).await;
        let domain = origin.sender.rsplit_once('@');
        let domain = domain.map_or(origin.hello, |it| it.1);
        let parameters = DmarcParameters::new(&message, &signatures, domain, &spf);
        let dmarc = self.0.verify_dmarc(parameters).await;
        let said = [dmarc.dkim_result(), dmarc.spf_result()];
        let dmarc = if said.contains(&&DmarcResult::Pass) {
            Dmarc::Pass
        } else if said
            .iter()
            .any(|it| matches!(it, DmarcResult::TempError(_)))
        {
            Dmarc::Unknown
        } else if dmarc.dmarc_record().is_none() {
            Dmarc::NoPolicy
        } else {
            Dmarc::Fail
        };
        let dkim = signatures.iter().map(|it| {
            let of = it.signature().map_or_else(
                || "unreadable".to_owned(),
                |it| format!("{}._domainkey.{}", it.s, it.d),
            );
            let holds = match it.result() {
                DkimResult::Pass => Ok(()),
                other => Err(other.to_string()),
            };
            (of, holds)
        });
        Some(Verdict {
            spf: spf.result(),
            dkim: dkim.collect(),
            dmarc,
        })
    }

    /// The texts at a name, each in one piece.
    ///
    /// # Errors
    /// When there is none, or nobody answers.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, Unasked> {
        let answer = self.0.resolver().txt_lookup(absolute(name)).await;
        let answer = answer.map_err(|error| unasked(&error))?;
        let texts = answer.answers().iter().filter_map(|it| match &it.data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        });
        let texts: Vec<String> = texts
            .map(|it| String::from_utf8_lossy(&it).into_owned())
            .collect();
        match texts.is_empty() {
            true => Err(Unasked::Nothing),
            false => Ok(texts),
        }
    }

    /// The hosts that take a domain's mail, the most preferred first.
    ///
    /// # Errors
    /// When it names none, or nobody answers.
    pub async fn mail_hosts(&self, domain: &str) -> Result<Vec<String>, Unasked> {
        let answer = self.0.resolver().mx_lookup(absolute(domain)).await;
        let answer = answer.map_err(|error| unasked(&error))?;
        let mut hosts: Vec<(u16, String)> = answer
            .answers()
            .iter()
            .filter_map(|it| match &it.data {
                RData::MX(mx) => Some((mx.preference, mx.exchange.to_string())),
                _ => None,
            })
            .collect();
        hosts.sort();
        match hosts.is_empty() {
            true => Err(Unasked::Nothing),
            false => Ok(hosts.into_iter().map(|it| it.1).collect()),
        }
    }

    /// The addresses of a host.
    ///
    /// # Errors
    /// When it has none, or nobody answers.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unasked> {
        let answer = self.0.resolver().lookup_ip(absolute(host)).await;
        let answer = answer.map_err(|error| unasked(&error))?;
        Ok(answer.iter().collect())
    }
}

/// A name that no search list is added to.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn unasked(error: &NetError) -> Unasked {
    match error.is_no_records_found() || error.is_nx_domain() {
        true => Unasked::Nothing,
        false => Unasked::Silent(error.to_string()),
    }
}
