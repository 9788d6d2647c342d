//! Where the public reaches a node, as the node tells the others: for looking at it from outside.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{config::Config, model::limits::PROOF_ADDRESSES_MAX};

/// Where the public reaches a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Doors {
    /// Where HTTPS is served.
    pub https: Vec<SocketAddr>,
    /// Host names of its own at which it shows the website.
    pub names: Vec<String>,
    /// Where it answers names, over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// Where it takes mail.
    pub mail: Vec<SocketAddr>,
}

impl Doors {
    /// Those of a node of this configuration. Where it listens at any address, the others reach it at the one at which they
    /// reach it themselves.
    pub fn of(config: &Config) -> Self {
        let own = config.cluster.advertise.ip();
        let mail = config.mail.inward.as_ref();
        let mut names = config.web.names.clone();
        names.truncate(PROOF_ADDRESSES_MAX);
        Self {
            https: reached(&config.web.https_listen, own),
            names,
            dns: reached(&config.dns.listen, own),
            mail: reached(mail.map_or(&[], |it| &it.listen), own),
        }
    }

    /// The same within bounds: it came from another node.
    pub(super) fn within_bounds(mut self) -> Self {
        self.https.truncate(PROOF_ADDRESSES_MAX);
        self.names.truncate(PROOF_ADDRESSES_MAX);
        self.dns.truncate(PROOF_ADDRESSES_MAX);
        self.mail.truncate(PROOF_ADDRESSES_MAX);
        self
    }
}

fn reached(listen: &[SocketAddr], own: IpAddr) -> Vec<SocketAddr> {
    let told = |it: &SocketAddr| match it.ip().is_unspecified() {
        true => SocketAddr::new(own, it.port()),
        false => *it,
    };
    listen.iter().map(told).take(PROOF_ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_anywhere_is_reached_where_the_others_reach_it() {
        let listen = ["0.0.0.0:443", "192.0.2.9:443"].map(|it| it.parse().unwrap());
        let own = IpAddr::from([198, 51, 100, 7]);
        let told = reached(&listen, own)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        assert_eq!(told, ["198.51.100.7:443", "192.0.2.9:443"]);
    }
}
