//! The `[proofs]` section: how old each proof that everything would work may be. Each is looked at twice within that
//! time; what is older is shown as not proven.

use std::time::Duration;

use serde::Deserialize;

use super::problem::Problems;

/// Of what this node sees of the other nodes.
const NODES_S: u64 = 120;
/// Of what it sees of other people's servers.
const OUTSIDE_S: u64 = 3_600;
/// Of the tokens of channels: they are for ever, until somebody changes them.
const CHANNELS_S: u64 = 2 * 86_400;
/// Of words that came from another node to an agent here.
const CUSTOMER_S: u64 = 120;
/// The shortest: a look may take seconds.
const LEAST_S: u64 = 10;
/// The longest: what nobody has looked at for longer is not known.
const MOST_S: u64 = 31 * 86_400;

/// What a file may say under `[proofs]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ProofsSpec {
    nodes_s: Option<u64>,
    outside_s: Option<u64>,
    channels_s: Option<u64>,
    customer_s: Option<u64>,
}

/// How old proofs may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proofs {
    /// The website, its certificates, names, signatures and mail as each node shows them.
    pub nodes: Duration,
    /// Delegations and mail relays.
    pub outside: Duration,
    /// Channels.
    pub channels: Duration,
    /// Words from one other node to an agent here; with two other nodes this one writes twice as often.
    pub customer: Duration,
}

impl Proofs {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: ProofsSpec, problems: &mut Problems) -> Proofs {
        let mut seconds = |key: &str, given: Option<u64>, usual: u64| {
            let given = given.unwrap_or(usual);
            if !(LEAST_S..=MOST_S).contains(&given) {
                let wanted = format!("{LEAST_S} to {MOST_S} seconds");
                problems.add(&format!("proofs.{key}"), given, &wanted);
            }
            Duration::from_secs(given.clamp(LEAST_S, MOST_S))
        };
        Proofs {
            nodes: seconds("nodes-s", spec.nodes_s, NODES_S),
            outside: seconds("outside-s", spec.outside_s, OUTSIDE_S),
            channels: seconds("channels-s", spec.channels_s, CHANNELS_S),
            customer: seconds("customer-s", spec.customer_s, CUSTOMER_S),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_out_of_bounds_is_told_with_what_is_wanted() {
        let mut problems = Problems::new();
        let spec = ProofsSpec {
            nodes_s: Some(3),
            channels_s: Some(u64::MAX),
            ..ProofsSpec::default()
        };
        let checked = Proofs::check(spec, &mut problems);
        let said = problems.to_string();
        for part in [
            "proofs.nodes-s",
            "10 to 2678400 seconds",
            "proofs.channels-s",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(checked.outside, Duration::from_secs(OUTSIDE_S));
    }
}
