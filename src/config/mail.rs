//! The `[mail]` section: the way out for messages to support and for acknowledgements to customers.
//! A file without it sends no mail; what is due then waits in the state. Mistakes go to `Problems`,
//! nothing fails here; password files are read when a relay is used.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::mail_in::{MailIn, MailInSpec, mail_domain};
use super::problem::Problems;
use super::secret::SecretFile;
use crate::model::limits::{
    LEASE_MS_MAX, MAIL_RELAYS_MAX, MAIL_RESOLVERS_MAX, MAIL_SOURCES_MAX, RELAY_CONNECTIONS,
    RELAY_CONNECTIONS_MAX, RELAY_MAILS_PER_CONNECTION,
};
use crate::model::words::{EmailAddress, Lang};

/// What a file may say under `[mail]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MailSpec {
    from: Option<String>,
    hello_name: Option<String>,
    support: Option<String>,
    support_off_net: Option<String>,
    staff_language: Option<String>,
    relays: Vec<RelaySpec>,
    connect_timeout_s: Option<u64>,
    command_timeout_s: Option<u64>,
    answer_timeout_s: Option<u64>,
    return_domain: Option<String>,
    resolvers: Vec<String>,
    #[serde(rename = "in")]
    inward: Option<MailInSpec>,
}

/// What a file may say under one `[[mail.relays]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RelaySpec {
    host: Option<String>,
    port: Option<u16>,
    tls: Option<RelayTls>,
    tls_name: Option<String>,
    tls_ca_file: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    connections: Option<usize>,
    mails_per_connection: Option<u32>,
    per_second: Option<u32>,
    sign: Option<RelaySign>,
    sends_from: Option<Vec<IpAddr>>,
}

/// The section, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// How mail leaves; nothing where the section is not filled in.
    pub out: Option<MailOut>,
    /// How mail comes in; nothing where it does not.
    pub inward: Option<MailIn>,
    /// The domain whose mail comes to our nodes: returns of mass mail, and replies, each to an address that we signed.
    pub return_domain: Option<String>,
    /// Who is asked what the DNS says of mail; this machine's resolvers where nobody is named.
    pub resolvers: Vec<SocketAddr>,
}

/// How mail leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailOut {
    /// What all our mail comes from; a name outside the company's own network.
    pub from: EmailAddress,
    /// The name this node gives itself in EHLO.
    pub hello_name: String,
    /// Where customers' messages go.
    pub support: EmailAddress,
    /// Where they go when the first address does not take them, and when this node is alone.
    pub support_off_net: Option<EmailAddress>,
    /// The language of mail to support.
    pub staff_lang: Lang,
    /// The relays, tried in this order.
    pub relays: Vec<Relay>,
    /// The longest time for connecting to a relay, TLS included.
    pub connect_timeout: Duration,
    /// The longest time for the answer to one command.
    pub command_timeout: Duration,
    /// The longest time for the answer to a whole message.
    pub answer_timeout: Duration,
    /// The domain that what cannot be delivered, and replies, come back to.
    pub return_domain: Option<String>,
}

/// One relay: a mail server that takes our mail and passes it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// A host name or an address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether and how the connection is encrypted.
    pub tls: RelayTls,
    /// The name its certificate must carry.
    pub tls_name: String,
    /// An authority to trust instead of the public ones.
    pub tls_ca_file: Option<PathBuf>,
    /// Who we are there.
    pub login: Option<RelayLogin>,
    /// How mass mail uses it.
    pub mass: Mass,
    /// What our mail is signed with before it gets it.
    pub sign: RelaySign,
    /// The addresses that it sends from, as far as anybody said: what the domain's SPF record must name.
    pub sends_from: Vec<IpAddr>,
}

/// How mass mail uses a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mass {
    /// Connections of one node at a time.
    pub connections: usize,
    /// Mails over one connection before it is opened anew.
    pub mails_per_connection: u32,
    /// Mails a second of all nodes together; nothing for no limit.
    pub per_second: Option<u32>,
}

impl Default for Mass {
    fn default() -> Self {
        Self {
            connections: RELAY_CONNECTIONS,
            mails_per_connection: RELAY_MAILS_PER_CONNECTION,
            per_second: None,
        }
    }
}

/// Who we are at a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayLogin {
    /// The user name.
    pub user: String,
    /// Where the password is kept.
    pub password_file: SecretFile,
}

/// What mail is signed with (DKIM) before a relay gets it, where the cluster has such keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelaySign {
    /// Nothing; for a relay that signs by itself, or takes no mail with two signatures.
    None,
    /// The RSA key.
    #[default]
    Rsa,
    /// The Ed25519 key.
    Ed25519,
    /// Both.
    Both,
}

/// Whether and how a connection to a relay is encrypted. Encryption that is asked for is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayTls {
    /// Never; for a relay on this machine.
    None,
    /// After STARTTLS, as on ports 587 and 25.
    Starttls,
    /// From the first byte, as on port 465.
    Tls,
}

const FROM: &str = "from = \"notice@help.example.net\"";
const SUPPORT: &str = "support = \"support@example.com\"";
const LOGIN: &str = "password-file = \"/etc/lifeboat/relay.password\"";

impl Mail {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: MailSpec, problems: &mut Problems) -> Mail {
        let asked_for = spec.from.is_some() || spec.support.is_some() || !spec.relays.is_empty();
        let example = "return-domain = \"back.help.example.net\"";
        let return_domain = spec.return_domain.clone().map(|it| it.to_lowercase());
        if let Some(domain) = &return_domain {
            mail_domain("mail.return-domain", domain, example, problems);
        }
        let mut spec = spec;
        let resolvers = resolvers(&spec.resolvers, problems);
        let inward = spec.inward.take().map(|it| MailIn::check(it, problems));
        let out = asked_for.then(|| MailOut::check(spec, problems)).flatten();
        Mail {
            out: out.map(|it| MailOut {
                return_domain: return_domain.clone(),
                ..it
            }),
            inward: inward.flatten(),
            return_domain,
            resolvers,
        }
    }
}

impl MailOut {
    fn check(spec: MailSpec, problems: &mut Problems) -> Option<MailOut> {
        let wanted = "the address that all our mail comes from";
        let from = problems.required("mail.from", spec.from, wanted, FROM);
        let from = from.and_then(|text| email("mail.from", &text, FROM, problems));
        let wanted = "the address that customers' messages go to";
        let support = problems.required("mail.support", spec.support, wanted, SUPPORT);
        let support = support.and_then(|text| email("mail.support", &text, SUPPORT, problems));
        let example = "support-off-net = \"example.support@mailbox.example.org\"";
        let support_off_net = spec
            .support_off_net
            .and_then(|text| email("mail.support-off-net", &text, example, problems));
        let staff_lang = staff_language(spec.staff_language, problems);
        let relays = relays(spec.relays, problems);
        let mut seconds = |key: &str, given: Option<u64>, default: u64, most: u64| {
            let given = given.unwrap_or(default);
            if !(1..=most).contains(&given) {
                problems.add(key, given, &format!("1 to {most} seconds"));
            }
            Duration::from_secs(given)
        };
        let connect_timeout = seconds("mail.connect-timeout-s", spec.connect_timeout_s, 10, 60);
        let command_timeout = seconds("mail.command-timeout-s", spec.command_timeout_s, 30, 60);
        // A message may be given to another node when its lease ends, so the wait must end before.
        let most = LEASE_MS_MAX / 2_000;
        let answer_timeout = seconds("mail.answer-timeout-s", spec.answer_timeout_s, 300, most);
        let from = from?;
        let own_domain = from.as_str().rsplit('@').next().unwrap_or_default();
        let hello_name = spec.hello_name.unwrap_or_else(|| own_domain.to_owned());
        plain_host(
            "mail.hello-name",
            &hello_name,
            "hello-name = \"help.example.net\"",
            problems,
        );
        Some(MailOut {
            hello_name,
            from,
            support: support?,
            support_off_net,
            staff_lang,
            relays,
            connect_timeout,
            command_timeout,
            answer_timeout,
            return_domain: None,
        })
    }
}

/// Addresses with or without a port, which is 53 then.
fn resolvers(given: &[String], problems: &mut Problems) -> Vec<SocketAddr> {
    if given.len() > MAIL_RESOLVERS_MAX {
        let wanted = format!("{MAIL_RESOLVERS_MAX} resolvers at most");
        problems.add("mail.resolvers", given.len(), &wanted);
    }
    let read = |text: &String| {
        let with_port = text.parse::<SocketAddr>().ok();
        with_port.or_else(|| Some(SocketAddr::new(text.parse().ok()?, 53)))
    };
    let mut resolvers = Vec::new();
    for text in given {
        match read(text) {
            Some(it) => resolvers.push(it),
            None => problems.add_with(
                "mail.resolvers",
                format_args!("\"{text}\""),
                "addresses of resolvers, each with or without a port",
                "resolvers = [\"192.0.2.53\", \"[2001:db8::53]:53\"]",
            ),
        }
    }
    resolvers
}

fn staff_language(given: Option<String>, problems: &mut Problems) -> Lang {
    let Some(tag) = given else {
        return Lang::default();
    };
    Lang::of_tag(&tag).unwrap_or_else(|| {
        let known = Lang::ALL
            .map(|lang| format!("\"{}\"", lang.tag()))
            .join(" or ");
        problems.add_with(
            "mail.staff-language",
            tag,
            &known,
            "staff-language = \"cs\"",
        );
        Lang::default()
    })
}

fn relays(specs: Vec<RelaySpec>, problems: &mut Problems) -> Vec<Relay> {
    if specs.is_empty() || specs.len() > MAIL_RELAYS_MAX {
        let wanted = format!("1 to {MAIL_RELAYS_MAX} relays, each under its own [[mail.relays]]");
        problems.add("mail.relays", specs.len(), &wanted);
    }
    let numbered = specs.into_iter().zip(1..);
    numbered
        .filter_map(|(spec, number)| relay(spec, &format!("mail.relays.{number}"), problems))
        .collect()
}

fn relay(spec: RelaySpec, key: &str, problems: &mut Problems) -> Option<Relay> {
    let wanted = "the relay's host name or address";
    let example = "host = \"smtp.example.org\"";
    let host_key = format!("{key}.host");
    let host = problems.required(&host_key, spec.host, wanted, example);
    if let Some(host) = &host {
        plain_host(&host_key, host, example, problems);
    }
    let tls = spec.tls.unwrap_or(RelayTls::Starttls);
    let port = spec.port.unwrap_or(match tls {
        RelayTls::None => 25,
        RelayTls::Starttls => 587,
        RelayTls::Tls => 465,
    });
    if port == 0 {
        problems.add(&format!("{key}.port"), port, "a port other than 0");
    }
    let login = match (spec.user, spec.password_file) {
        (Some(user), Some(path)) => Some(RelayLogin {
            user,
            password_file: SecretFile::new(path),
        }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let wanted = "user and password-file, both or none";
            problems.add_with(key, "one of user and password-file", wanted, LOGIN);
            None
        }
    };
    if login.is_some() && tls == RelayTls::None {
        let wanted = "\"starttls\" or \"tls\", as a password must not be sent in the clear";
        problems.add(&format!("{key}.tls"), "\"none\" with a user", wanted);
    }
    let mass = mass(
        key,
        (spec.connections, spec.mails_per_connection, spec.per_second),
        problems,
    );
    let sends_from = spec.sends_from.unwrap_or_default();
    if sends_from.len() > MAIL_SOURCES_MAX {
        let wanted = format!("{MAIL_SOURCES_MAX} addresses at most");
        problems.add(&format!("{key}.sends-from"), sends_from.len(), &wanted);
    }
    let host = host?;
    let tls_name = spec.tls_name.unwrap_or_else(|| host.clone());
    plain_host(
        &format!("{key}.tls-name"),
        &tls_name,
        "tls-name = \"smtp.example.org\"",
        problems,
    );
    Some(Relay {
        host,
        port,
        tls,
        tls_name,
        tls_ca_file: spec.tls_ca_file,
        login,
        mass,
        sign: spec.sign.unwrap_or_default(),
        sends_from,
    })
}

fn mass(
    key: &str,
    (connections, mails_per_connection, per_second): (Option<usize>, Option<u32>, Option<u32>),
    problems: &mut Problems,
) -> Mass {
    let usual = Mass::default();
    let mass = Mass {
        connections: connections.unwrap_or(usual.connections),
        mails_per_connection: mails_per_connection.unwrap_or(usual.mails_per_connection),
        per_second,
    };
    if !(1..=RELAY_CONNECTIONS_MAX).contains(&mass.connections) {
        let wanted = format!("1 to {RELAY_CONNECTIONS_MAX} connections of one node");
        problems.add(&format!("{key}.connections"), mass.connections, &wanted);
    }
    if mass.mails_per_connection == 0 {
        problems.add(&format!("{key}.mails-per-connection"), 0, "1 or more");
    }
    if mass.per_second == Some(0) {
        let wanted = "1 or more mails a second, or no such line for no limit";
        problems.add(&format!("{key}.per-second"), 0, wanted);
    }
    mass
}

pub(super) fn email(
    key: &str,
    text: &str,
    example: &str,
    problems: &mut Problems,
) -> Option<EmailAddress> {
    let address = EmailAddress::new(text).ok();
    if address.is_none() {
        problems.add_with(
            key,
            format_args!("\"{text}\""),
            "an e-mail address",
            example,
        );
    }
    address
}

/// Host names end up in SMTP commands, so they hold nothing that could end one.
pub(super) fn plain_host(key: &str, text: &str, example: &str, problems: &mut Problems) {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
    if text.is_empty() || text.len() > 253 || !text.chars().all(plain) {
        problems.add_with(
            key,
            format_args!("\"{text}\""),
            "a host name or an address",
            example,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    /// Checks a file whose other sections are right.
    fn check(mail: &str) -> Result<Mail, String> {
        let rest = "version = 1\n[node]\nname = \"a\"\nprovider = \"p\"\nregion = \"r\"\ndata-dir = \"/d\"\n\
                    [cluster]\nlisten = \"127.0.0.1:7400\"\n";
        let spec: Result<MailSpec, _> = toml::from_str(mail);
        let mut problems = Problems::new();
        match spec {
            Ok(spec) => {
                let mail = Mail::check(spec, &mut problems);
                problems.or(mail).map_err(|it| it.to_string())
            }
            Err(_) => Err(Config::parse(&format!("{rest}[mail]\n{mail}"))
                .unwrap_err()
                .to_string()),
        }
    }

    const GOOD: &str = "from = \"n@help.example.net\"\nsupport = \"s@example.com\"\n";

    #[test]
    fn no_section_means_no_mail() {
        assert_eq!(check("").unwrap().out, None);
    }

    #[test]
    fn what_is_left_out_has_safe_defaults() {
        let mail = check(&format!("{GOOD}[[relays]]\nhost = \"smtp.example.org\"\n")).unwrap();
        let out = mail.out.unwrap();
        assert_eq!(
            (out.relays[0].port, out.relays[0].tls),
            (587, RelayTls::Starttls)
        );
        assert_eq!(out.relays[0].tls_name, "smtp.example.org");
        assert_eq!(out.hello_name, "help.example.net");
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let said = check(
            "from = \"nobody\"\nstaff-language = \"xx\"\nanswer-timeout-s = 5000\n\
             [[relays]]\nhost = \"a b\\r\\nQUIT\"\nuser = \"u\"\n\
             [[relays]]\ntls = \"none\"\nhost = \"h\"\nuser = \"u\"\npassword-file = \"/p\"\n",
        )
        .unwrap_err();
        for key in [
            "mail.from",
            "mail.support",
            "mail.staff-language",
            "mail.answer-timeout-s",
            "mail.relays.1.host",
            "mail.relays.1: ",
            "mail.relays.2.tls",
        ] {
            assert!(said.contains(key), "{key} is missing in\n{said}");
        }
    }
}
