//! The join token: everything a new node needs to find the cluster, know it for real, and be let in once.
//!
//! `LB1.<cluster>.<authority>.<host:port,...>.<token id>.<secret>`. It is carried by people, so every
//! way it can be cut short or mixed up has its own sentence. The cluster keeps only a hash of the secret.

use std::{fmt, str::FromStr};

use crate::{
    clock,
    model::{
        limits,
        words::{ClusterId, TokenId},
    },
};

use super::{base32, pki::Fingerprint};

const MARK: &str = "LB1";

/// Why a text is not a join token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is too long to be one.
    #[error("a join token has at most {most} characters, this has {found}", most = limits::TOKEN_BYTES_MAX)]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// It does not begin like one.
    #[error("a join token begins with 'LB1.'; copy it whole from 'lifeboat token create'")]
    NotAToken,
    /// It is of a later format.
    #[error(
        "this join token was made by a newer Lifeboat ({found}); install the same version here first"
    )]
    Newer {
        /// Its mark.
        found: String,
    },
    /// Parts are missing.
    #[error("the join token is cut short: it has {found} of 6 parts; copy it whole, in one line")]
    CutShort {
        /// Parts found.
        found: usize,
    },
    /// A part cannot be read.
    #[error("the {part} in the join token cannot be read (wanted {wanted}); copy it again")]
    Part {
        /// Which one.
        part: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// An address cannot be dialled.
    #[error(
        "the address '{found}' in the join token is not host:port (for example 192.0.2.10:7400 or [2001:db8::1]:7400)"
    )]
    Address {
        /// The address.
        found: String,
    },
    /// The wrong number of addresses.
    #[error("a join token has 1 to {most} addresses, this has {found}", most = limits::TOKEN_ADDRESSES_MAX)]
    Addresses {
        /// How many.
        found: usize,
    },
}

/// The secret of a join token; 160 bits, used once.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 20]);

impl Secret {
    /// A new one.
    pub fn random() -> Self {
        Self(clock::random_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(withheld)")
    }
}

/// A join token, checked. `Display` prints it with its secret: only for the person who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// The cluster to join.
    pub cluster: ClusterId,
    /// Its authority, by which the newcomer knows the cluster before it trusts anything.
    pub authority: Fingerprint,
    /// Where nodes of the cluster listen for peers, 1 to 7, each `host:port`.
    pub addresses: Vec<String>,
    /// The public half, by which the cluster finds its record.
    pub id: TokenId,
    /// The secret half.
    pub secret: Secret,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = base32::encode(&self.authority.0);
        let secret = base32::encode(&self.secret.0);
        write!(
            f,
            "{MARK}.{}.{authority}.{}.{}.{secret}",
            self.cluster,
            self.addresses.join(","),
            self.id
        )
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > limits::TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { found: text.len() });
        }
        let (mark, rest) = text.split_once('.').ok_or(TokenError::NotAToken)?;
        if mark != MARK {
            let newer = mark
                .strip_prefix("LB")
                .is_some_and(|version| version.parse::<u16>().is_ok_and(|at| at > 1));
            return Err(if newer {
                TokenError::Newer {
                    found: mark.to_owned(),
                }
            } else {
                TokenError::NotAToken
            });
        }
        // Addresses contain dots, so they are what is left between two parts in front and two behind.
        let short = || TokenError::CutShort {
            found: text.split('.').count().min(5),
        };
        let (cluster, rest) = rest.split_once('.').ok_or_else(short)?;
        let (authority, rest) = rest.split_once('.').ok_or_else(short)?;
        let (rest, secret) = rest.rsplit_once('.').ok_or_else(short)?;
        let (addresses, id) = rest.rsplit_once('.').ok_or_else(short)?;
        let part = |part, wanted| TokenError::Part { part, wanted };
        Ok(Self {
            cluster: cluster
                .parse()
                .map_err(|_| part("cluster", "32 hexadecimal digits"))?,
            authority: base32::decode(authority)
                .map(Fingerprint)
                .ok_or_else(|| part("authority's fingerprint", "52 letters and digits"))?,
            id: id
                .parse()
                .map_err(|_| part("token id", "16 hexadecimal digits"))?,
            secret: base32::decode(secret)
                .map(Secret)
                .ok_or_else(|| part("secret", "32 letters and digits"))?,
            addresses: addresses_in(addresses)?,
        })
    }
}

fn addresses_in(text: &str) -> Result<Vec<String>, TokenError> {
    let addresses: Vec<String> = text.split(',').map(str::to_owned).collect();
    if addresses.len() > limits::TOKEN_ADDRESSES_MAX {
        return Err(TokenError::Addresses {
            found: addresses.len(),
        });
    }
    match addresses.iter().find(|address| !is_address(address)) {
        Some(wrong) => Err(TokenError::Address {
            found: wrong.clone(),
        }),
        None => Ok(addresses),
    }
}

/// Whether a text is `host:port` with a host that is a name, an IPv4 address, or an IPv6 address in brackets.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let host_is_good = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let letters = host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
            !host.is_empty() && host.len() <= 253 && letters
        }
    };
    host_is_good
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> JoinToken {
        JoinToken {
            cluster: ClusterId([0xab; 16]),
            authority: Fingerprint([3; 32]),
            addresses: vec![
                "192.0.2.10:7400".into(),
                "[2001:db8::1]:7400".into(),
                "n3.example.test:7400".into(),
            ],
            id: TokenId([9; 8]),
            secret: Secret([0x5a; 20]),
        }
    }

    #[test]
    fn a_printed_token_is_read_again_with_dots_in_its_addresses() {
        let text = token().to_string();
        assert_eq!(text.parse::<JoinToken>().unwrap(), token());
        assert_eq!(format!(" {text}\n").parse::<JoinToken>().unwrap(), token());
        assert!(!format!("{:?}", token()).contains(&base32::encode(&token().secret.0)));
    }

    #[test]
    fn every_way_to_spoil_a_token_has_its_own_sentence() {
        let good = token().to_string();
        let said = |text: &str| text.parse::<JoinToken>().unwrap_err().to_string();
        says(&said("hello"), "begins with 'LB1.'");
        says(&said("LB2.x"), "newer Lifeboat (LB2)");
        says(&said("LB1.abab"), "cut short");
        says(&said(&good[..good.len() - 1]), "secret");
        says(&said(&good.replacen("ab", "zz", 1)), "cluster");
        says(
            &said(&good.replace(":7400,[", ":99999,[")),
            "'192.0.2.10:99999'",
        );
        says(
            &said(&good.replace("[2001:db8::1]", "[2001:db8]")),
            "is not host:port",
        );
        says(&said(&format!("LB1.{}", "a".repeat(3_000))), "at most 2048");
    }

    fn says(said: &str, wanted: &str) {
        assert!(said.contains(wanted), "{said:?} should say {wanted:?}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_accepted_prints_the_same(text in "(LB1\\.)?[a-z0-9A-Z.:,\\[\\]é]{0,300}") {
            if let Ok(token) = text.parse::<JoinToken>() {
                prop_assert_eq!(token.to_string().parse::<JoinToken>().unwrap(), token);
            }
        }

        #[test]
        fn one_changed_byte_never_panics(at in 0usize..200, byte in any::<u8>()) {
            let mut bytes = token().to_string().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = text.parse::<JoinToken>();
            }
        }
    }
}
