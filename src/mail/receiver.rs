//! What a receiver would make of our mail: a mail is written and signed as each relay would get it, and judged by what
//! the DNS says now. Nothing is sent.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use mail_auth::SpfResult;

use super::authentic::{Authenticator, Dmarc, Origin, Unasked, Verdict};
use super::dkim::{Signer, domains};
use crate::config::{MailOut, Relay};
use crate::model::State;
use crate::model::mail_key::{KeyName, MailKey, record, record_name};

/// An address that nobody sends from (RFC 5737): what an SPF record says of it does not matter, that it can be said does.
const NOBODYS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Receivers accept it.
    Good,
    /// It cannot be told from here.
    Unproven,
    /// Some receivers will not.
    Doubtful,
    /// Receivers refuse it, or take it for spam.
    Bad,
}

/// One thing that receivers look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// `dkim`, `spf`, `dmarc` or `returns`.
    pub what: &'static str,
    /// The record or relay it is about.
    pub of: String,
    /// How it stands.
    pub standing: Standing,
    /// What was found.
    pub found: String,
    /// The record that the DNS should have, or what to do.
    pub wanted: Option<String>,
}

/// Looks at our mail as receivers do.
pub struct Receiver {
    /// How mail leaves.
    pub out: MailOut,
    /// Signs it.
    pub signer: Arc<Signer>,
    /// Asks the DNS.
    pub authenticator: Authenticator,
}

impl Receiver {
    /// Looks at everything, which takes some seconds where the DNS is slow.
    pub async fn look(&self, state: &State) -> Vec<Sight> {
        let mut sights = Vec::new();
        for (name, key) in &state.mail_keys.all {
            sights.push(self.key(name, key).await);
        }
        sights.extend(self.spf().await);
        for relay in &self.out.relays {
            sights.push(self.dmarc(relay).await);
        }
        if let Some(domain) = &self.out.return_domain {
            sights.push(self.returns(domain).await);
        }
        sights
    }

    /// Whether the DNS has a key as we have it.
    pub async fn key(&self, name: &KeyName, key: &MailKey) -> Sight {
        let at = record_name(name);
        let wanted = format!("{at} TXT \"{}\"", record(key));
        let (missing, signs) = match key.signs {
            Some(_) => (Standing::Bad, "it signs"),
            None => (Standing::Unproven, "it does not sign yet"),
        };
        let (standing, found) = match self.authenticator.texts(&at).await {
            Err(Unasked::Nothing) => (missing, format!("there is no such record; {signs}")),
            Err(silent) => (Standing::Unproven, silent.to_string()),
            Ok(texts) => {
                let halves: Vec<String> = texts.iter().filter_map(|it| tag(it, "p")).collect();
                match halves.as_slice() {
                    [half] if half == key.public.as_str() => {
                        (Standing::Good, format!("the record is right; {signs}"))
                    }
                    [half] if half.is_empty() => (missing, format!("the key is revoked; {signs}")),
                    [_] => (missing, format!("another key is there; {signs}")),
                    several => {
                        let count = several.len();
                        (missing, format!("{count} keys are there; {signs}"))
                    }
                }
            }
        };
        Sight {
            what: "dkim",
            of: at,
            standing,
            found,
            wanted: (standing != Standing::Good).then_some(wanted),
        }
    }

    /// The domain in the envelopes of our mail.
    fn envelope_domain(&self) -> &str {
        let from = self
            .out
            .from
            .as_str()
            .rsplit('@')
            .next()
            .unwrap_or_default();
        self.out.return_domain.as_deref().unwrap_or(from)
    }

    async fn spf(&self) -> Vec<Sight> {
        let domain = self.envelope_domain();
        let sight = |of: String, standing, found: String, wanted: String| Sight {
            what: "spf",
            of,
            standing,
            found,
            wanted: (standing != Standing::Good).then_some(wanted),
        };
        let sources = self.out.relays.iter().flat_map(|it| &it.sends_from);
        let mut sources: Vec<String> = sources.map(|it| source(*it)).collect();
        sources.dedup();
        let named = match sources.is_empty() {
            true => "include:WHAT-YOUR-RELAY-SAYS".to_owned(),
            false => sources.join(" "),
        };
        let wanted = format!("{domain}. TXT \"v=spf1 {named} -all\"");
        let of = || domain.to_owned();
        let texts = match self.authenticator.texts(domain).await {
            Ok(texts) => texts,
            Err(Unasked::Nothing) => Vec::new(),
            Err(silent) => {
                return vec![sight(of(), Standing::Unproven, silent.to_string(), wanted)];
            }
        };
        let records = texts.iter().filter(|it| is_spf(it)).count();
        if records != 1 {
            let found = match records {
                0 => "there is no SPF record".to_owned(),
                several => format!("there are {several} SPF records, and receivers take none"),
            };
            return vec![sight(of(), Standing::Bad, found, wanted)];
        }
        if self.sent_from(NOBODYS).await == Some(SpfResult::PermError) {
            let found = "the SPF record is broken, or needs more than ten lookups".to_owned();
            return vec![sight(of(), Standing::Bad, found, wanted)];
        }
        let mut sights = Vec::new();
        for relay in &self.out.relays {
            let of = format!("{domain} by {}", relay.host);
            if relay.sends_from.is_empty() {
                let found = "nobody said which addresses this relay sends from".to_owned();
                let wanted = format!("sends-from = [\"ADDRESS\"] with the relay {}", relay.host);
                sights.push(sight(of, Standing::Unproven, found, wanted));
                continue;
            }
            let mut refused = Vec::new();
            for address in &relay.sends_from {
                match self.sent_from(*address).await {
                    Some(SpfResult::Pass) => {}
                    other => refused.push((address, other)),
                }
            }
            let (standing, found) = match refused.first() {
                None => (
                    Standing::Good,
                    "every address it sends from is allowed".to_owned(),
                ),
                Some((address, None | Some(SpfResult::TempError))) => (
                    Standing::Unproven,
                    format!("nobody could say whether {address} is allowed"),
                ),
                Some((address, Some(said))) => {
                    (Standing::Bad, format!("{address} is not allowed: {said}"))
                }
            };
            sights.push(sight(of, standing, found, wanted.clone()));
        }
        sights
    }

    async fn sent_from(&self, address: IpAddr) -> Option<SpfResult> {
        let verdict = self.verdict(address, &self.letter()).await;
        Some(verdict?.spf)
    }

    async fn verdict(&self, address: IpAddr, mail: &[u8]) -> Option<Verdict> {
        let sender = format!("returns@{}", self.envelope_domain());
        let origin = Origin {
            address,
            hello: &self.out.hello_name,
            sender: &sender,
            here: &self.out.hello_name,
        };
        self.authenticator.judge(&origin, mail).await
    }

    /// What a receiver concludes of mail by this relay, and why.
    async fn dmarc(&self, relay: &Relay) -> Sight {
        let from = self.out.from.as_str();
        let domain = from.rsplit('@').next().unwrap_or_default();
        let letter = self.letter();
        let signed = self.signer.signed(relay.sign, &letter);
        let address = relay.sends_from.first().copied().unwrap_or(NOBODYS);
        let verdict = self.verdict(address, &signed).await;
        let top = domains(&self.out.from).pop();
        let top = top.map_or_else(|| format!("{domain}."), |it| it.to_string());
        let policy = format!("_dmarc.{top} TXT \"v=DMARC1; p=quarantine\"");
        let key = "a key whose record is right: 'lifeboat mail key'".to_owned();
        let (standing, found, wanted) = match verdict {
            None => (
                Standing::Unproven,
                "the DNS did not answer in time".to_owned(),
                "look again".to_owned(),
            ),
            Some(it) => {
                let bad = it.dkim.iter().find_map(|(of, holds)| {
                    let why = holds.as_ref().err()?;
                    Some(format!("the signature of {of} does not hold ({why})"))
                });
                let good = it.dkim.iter().filter(|it| it.1.is_ok()).count();
                match (&it.dmarc, bad) {
                    (Dmarc::Pass, None) if good > 0 => {
                        let found = format!("{good} signatures hold, and are the domain's");
                        (Standing::Good, found, String::new())
                    }
                    (Dmarc::Pass, Some(bad)) => (Standing::Doubtful, bad, key),
                    // Whoever forwards mail breaks SPF, and so its only proof.
                    (Dmarc::Pass, None) => {
                        let found = "only the envelope proves it: no mail is signed for this relay";
                        (Standing::Doubtful, found.to_owned(), key)
                    }
                    (Dmarc::NoPolicy, _) => {
                        let found = format!("{domain} and what is above it have no DMARC policy");
                        (Standing::Doubtful, found, policy)
                    }
                    (Dmarc::Fail, Some(bad)) => (Standing::Bad, bad, key),
                    (Dmarc::Fail, None) => {
                        let found = "neither signature nor envelope is the domain's";
                        (Standing::Bad, found.to_owned(), key)
                    }
                    (Dmarc::Unknown, _) => (
                        Standing::Unproven,
                        "the DNS did not say".to_owned(),
                        "look again".to_owned(),
                    ),
                }
            }
        };
        Sight {
            what: "dmarc",
            of: format!("{domain} by {}", relay.host),
            standing,
            found,
            wanted: (standing != Standing::Good).then_some(wanted),
        }
    }

    async fn returns(&self, domain: &str) -> Sight {
        let wanted = format!("{domain}. MX 10 NAME-OF-A-NODE.");
        let (standing, found) = match self.authenticator.mail_hosts(domain).await {
            Err(Unasked::Nothing) => (
                Standing::Bad,
                "no host takes its mail: what cannot be delivered and replies are lost".to_owned(),
            ),
            Err(silent) => (Standing::Unproven, silent.to_string()),
            Ok(hosts) => {
                let mut lost = Vec::new();
                for host in &hosts {
                    if self.authenticator.addresses(host).await.is_err() {
                        lost.push(host.as_str());
                    }
                }
                match lost.is_empty() {
                    true => (Standing::Good, format!("goes to {}", hosts.join(", "))),
                    false => (
                        Standing::Bad,
                        format!("without an address: {}", lost.join(", ")),
                    ),
                }
            }
        };
        Sight {
            what: "returns",
            of: domain.to_owned(),
            standing,
            found,
            wanted: (standing != Standing::Good).then_some(wanted),
        }
    }

    /// A mail as ours are, to nobody.
    fn letter(&self) -> Vec<u8> {
        let from = self.out.from.as_str();
        let domain = from.rsplit('@').next().unwrap_or_default();
        format!(
            "From: <{from}>\r\nTo: <{from}>\r\nSubject: probe\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n\
             Message-ID: <probe@{domain}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 7bit\r\n\r\nThis is never sent.\r\n"
        )
        .into_bytes()
    }
}

/// An address as SPF names it (RFC 7208 section 5.6).
fn source(address: IpAddr) -> String {
    match address {
        IpAddr::V4(it) => format!("ip4:{it}"),
        IpAddr::V6(it) => format!("ip6:{it}"),
    }
}

/// Whether a text is an SPF record (RFC 7208 section 4.5).
fn is_spf(text: &str) -> bool {
    let head: String = text.chars().take(6).collect();
    head.eq_ignore_ascii_case("v=spf1") && matches!(text.as_bytes().get(6), None | Some(b' '))
}

/// A tag's value in a list of them (RFC 6376 section 3.2), without white space.
fn tag(text: &str, wanted: &str) -> Option<String> {
    text.split(';').find_map(|it| {
        let (name, value) = it.split_once('=')?;
        (name.trim() == wanted).then(|| value.split_whitespace().collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_receivers_read_them() {
        assert_eq!(tag("v=DKIM1; k=rsa; p=MII B\t==", "p").unwrap(), "MIIB==");
        assert_eq!(tag("v=DKIM1; p=", "p").unwrap(), "");
        assert_eq!(tag("v=DKIM1", "p"), None);
        assert!(
            is_spf("v=spf1 -all")
                && is_spf("V=SPF1")
                && !is_spf("v=spf10 -all")
                && !is_spf("v=spf")
        );
        assert_eq!(source("2001:db8::1".parse().unwrap()), "ip6:2001:db8::1");
    }
}
