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
/// Of the last drill, in days: one each quarter.
const DRILL_DAYS: u64 = 92;
/// The longest for drills: once a year is the least that anybody asks for.
const DRILL_DAYS_MOST: u64 = 366;
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
    drill_days: Option<u64>,
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
    /// Since the last drill; nothing where nobody asks for drills.
    pub drill: Option<Duration>,
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
        let proofs = Proofs {
            drill: None,
            nodes: seconds("nodes-s", spec.nodes_s, NODES_S),
            outside: seconds("outside-s", spec.outside_s, OUTSIDE_S),
            channels: seconds("channels-s", spec.channels_s, CHANNELS_S),
            customer: seconds("customer-s", spec.customer_s, CUSTOMER_S),
        };
        let days = spec.drill_days.unwrap_or(DRILL_DAYS);
        if days > DRILL_DAYS_MOST {
            let wanted = format!("0 for none, or up to {DRILL_DAYS_MOST} days");
            problems.add("proofs.drill-days", days, &wanted);
        }
        let days = days.min(DRILL_DAYS_MOST);
        let drill = (days > 0).then(|| Duration::from_secs(days * 86_400));
        Proofs { drill, ..proofs }
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
            drill_days: Some(400),
            ..ProofsSpec::default()
        };
        let checked = Proofs::check(spec, &mut problems);
        let said = problems.to_string();
        for part in [
            "proofs.nodes-s",
            "10 to 2678400 seconds",
            "proofs.channels-s",
            "proofs.drill-days",
            "up to 366 days",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(checked.outside, Duration::from_secs(OUTSIDE_S));
    }
}
