//! The `[cluster]` section: where this node hears the other nodes and where they find it.
//! Who the other nodes are is not here: the cluster agrees on that itself.

use std::net::SocketAddr;

use serde::Deserialize;

use super::problem::Problems;

/// What a file may say under `[cluster]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ClusterSpec {
    listen: Option<String>,
    advertise: Option<String>,
    profile: Option<Profile>,
}

/// How far apart the nodes are, which decides how patient they are with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// One datacentre or one machine: round trips below 5 ms.
    Lan,
    /// Providers in neighbouring countries: round trips below 50 ms. The default.
    Near,
    /// Different continents: round trips up to 250 ms.
    Wan,
}

impl From<Profile> for crate::model::nodes::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Lan => Self::Lan,
            Profile::Near => Self::Near,
            Profile::Wan => Self::Wan,
        }
    }
}

/// How this node meets the others, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Where this node hears the others.
    pub listen: SocketAddr,
    /// Where the others find this node: an address, never a name, since a cold start has no DNS (P8).
    pub advertise: SocketAddr,
    /// How patient the nodes are with each other; the same on all of them.
    pub profile: Profile,
}

impl Cluster {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: ClusterSpec, problems: &mut Problems) -> Cluster {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = problems
            .required(
                "cluster.listen",
                spec.listen,
                "the address and port where this node hears the others",
                "listen = \"0.0.0.0:7400\"",
            )
            .and_then(|text| {
                problems.parsed::<SocketAddr>(
                    "cluster.listen",
                    &text,
                    "an address and a port",
                    "listen = \"0.0.0.0:7400\"",
                )
            });
        if let Some(listen) = listen
            && listen.port() == 0
        {
            problems.add("cluster.listen", listen, "a port other than 0");
        }
        let advertise = match spec.advertise {
            Some(text) => problems.parsed(
                "cluster.advertise",
                &text,
                "an address and a port, not a name: a cold start has no DNS",
                "advertise = \"198.51.100.7:7400\"",
            ),
            None => listen,
        };
        if let Some(advertise) = advertise
            && (advertise.ip().is_unspecified() || advertise.port() == 0)
        {
            problems.add_with(
                "cluster.advertise",
                advertise,
                "an address and port that the other nodes can reach",
                "advertise = \"198.51.100.7:7400\"",
            );
        }
        Cluster {
            listen: listen.unwrap_or(nowhere),
            advertise: advertise.unwrap_or(nowhere),
            profile: spec.profile.unwrap_or(Profile::Near),
        }
    }
}
