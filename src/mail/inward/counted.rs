//! What is counted of mail that comes in. Numbers only.

use crate::mail::authentic::Dmarc;
use crate::telemetry::{Counter, Gauge, Metrics};

/// The counters.
#[derive(Clone, Default)]
pub struct Counted {
    /// Open connections.
    pub open: Gauge,
    /// Connections that found no place.
    pub no_place: Counter,
    /// Recipients that were refused.
    pub refused: Counter,
    /// Messages with a CR or LF on its own, or an endless line.
    pub broken: Counter,
    /// Messages for conversations.
    pub people: Counter,
    /// Returns of mail, by campaign or conversation.
    pub returned: Counter,
    /// Complaints.
    pub complaints: Counter,
    /// What machines wrote.
    pub machines: Counter,
    /// Reports and our own mail that belong to nothing we know.
    pub strange: Counter,
    /// Messages whose sender was asked to come again.
    pub later: Counter,
    /// Messages by what the domain in From said of them: pass, fail, no policy, nobody could tell.
    proven: [Counter; 4],
}

impl Counted {
    /// Shown from now on.
    pub fn new(metrics: &Metrics) -> Self {
        let kind = |kind| {
            let help = "Mails that came in, by what they were.";
            metrics.counter_of("lifeboat_mail_in_total", help, &[("kind", kind)])
        };
        let not = |why| {
            let help = "Connections, recipients and messages that were not taken, by why.";
            metrics.counter_of("lifeboat_mail_in_not_taken_total", help, &[("why", why)])
        };
        let proof = |dmarc| {
            let help = "Mails that came in, by what the domain in From said of them (DMARC).";
            metrics.counter_of("lifeboat_mail_in_proven_total", help, &[("dmarc", dmarc)])
        };
        Self {
            open: metrics.gauge(
                "lifeboat_mail_in_open",
                "Connections of mail servers to this node.",
            ),
            no_place: not("connections"),
            refused: not("recipient"),
            broken: not("broken"),
            later: not("later"),
            people: kind("person"),
            returned: kind("returned"),
            complaints: kind("complaint"),
            machines: kind("machine"),
            strange: kind("strange"),
            proven: ["pass", "fail", "no-policy", "unknown"].map(proof),
        }
    }

    /// Counts what the domain in From said of a message.
    pub fn proven(&self, proof: &Dmarc) {
        let place = match proof {
            Dmarc::Pass => 0,
            Dmarc::Fail => 1,
            Dmarc::NoPolicy => 2,
            Dmarc::Unknown => 3,
        };
        self.proven[place].add(1);
    }
}
