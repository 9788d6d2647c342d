//! A node that is asked from afar: over HTTPS at its console's address, with an API token.

use std::path::{Path, PathBuf};

use clap::Args;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::failure::{Exit, Failure, chain};
use crate::durable;
use crate::model::{limits::SECRET_BYTES_MAX, words::KeyedHash};
use crate::tls::{outgoing, pinned};

/// How a node is asked from afar.
#[derive(Debug, Args)]
pub struct Afar {
    /// Ask a node from afar, at its console's address, such as https://198.51.100.7:8443
    #[arg(long, global = true, value_name = "URL", requires = "token_file")]
    url: Option<String>,
    /// The file with the API token of 'lifeboat people token create', for --url
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The SHA-256 of the node's certificate, as 'lifeboat status' and the envelope show it, for --url
    #[arg(
        long,
        global = true,
        value_name = "SHA-256",
        conflicts_with = "ca_file"
    )]
    fingerprint: Option<String>,
    /// Trust these authorities instead of the public ones, for --url
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// A way to a node from afar. Its token is not printed.
#[derive(Clone)]
pub struct Way {
    host: String,
    port: u16,
    token: String,
    trust: TlsConnector,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Way({})", self.authority())
    }
}

impl Afar {
    /// The way that is named, if one is.
    pub fn way(&self) -> Result<Option<Way>, Failure> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let wrong = || {
            let why = format!("found {url}; wanted https:// with an address and a port");
            let advice = "take it from 'lifeboat status', line console";
            Failure::new(Exit::Usage, "--url cannot be used", why, advice)
        };
        let rest = url.strip_prefix("https://").ok_or_else(wrong)?;
        let (host, port) = rest
            .trim_end_matches('/')
            .rsplit_once(':')
            .ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().map_err(|_| wrong())?;
        let file = self.token_file.as_deref().ok_or_else(wrong)?;
        Ok(Some(Way {
            host: host.to_owned(),
            port,
            token: token(file)?,
            trust: self.trust()?,
        }))
    }

    fn trust(&self) -> Result<TlsConnector, Failure> {
        if let Some(text) = &self.fingerprint {
            let digits: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
            let print: KeyedHash = digits.parse().map_err(|_| {
                let why = "wanted 64 hexadecimal digits, with or without colons";
                let advice = "take it from 'lifeboat status' on the node, or from an envelope";
                Failure::new(Exit::Usage, "--fingerprint cannot be used", why, advice)
            })?;
            return Ok(pinned::connector(print));
        }
        outgoing::connector(self.ca_file.as_deref()).map_err(|error| {
            let advice = "name a PEM file of authorities";
            Failure::new(
                Exit::Usage,
                "--ca-file cannot be used",
                chain(&error),
                advice,
            )
        })
    }
}

fn token(file: &Path) -> Result<String, Failure> {
    let failed = |why: String| {
        let advice = "put the token of 'lifeboat people token create' into it, on one line";
        Failure::new(Exit::Usage, "--token-file cannot be used", why, advice)
    };
    let bytes =
        durable::read_at_most(file, SECRET_BYTES_MAX).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| failed(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|it| it.is_ascii_graphic()) {
        return Err(failed("it does not hold one token".to_owned()));
    }
    Ok(token.to_owned())
}

impl Way {
    /// Host and port, as in a Host header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }

    /// The header by which the node knows who asks.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Connects.
    pub async fn connect(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let failed = |why: String, advice: &str| {
            let what = format!("no node answers at https://{}", self.authority());
            Failure::new(Exit::Unreachable, what, why, advice)
        };
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream =
            stream.map_err(|error| failed(error.to_string(), "try another node; any will do"))?;
        let name = ServerName::try_from(self.host.clone())
            .map_err(|error| failed(error.to_string(), "name an address or a host"))?;
        self.trust.connect(name, stream).await.map_err(|error| {
            let advice = "under an IP address add --fingerprint, from 'lifeboat status' or an envelope; if it differs, do not go on";
            failed(chain(&error), advice)
        })
    }
}
