//! Alarms that nobody has said to know of, on every page until somebody does.

use super::Visit;
use crate::model::{
    campaign::{Stage, spoken},
    people::{Alarm, AlarmKind},
};

/// An alarm that nobody has said to know of.
pub(super) struct Ring {
    pub(super) index: u64,
    pub(super) heading: String,
    pub(super) says: String,
    /// Where something can be done about it.
    pub(super) link: Option<String>,
}

impl Visit {
    pub(super) fn rings(&self) -> Vec<Ring> {
        let ring = |it: &Alarm| {
            let (heading, link) = match &it.what {
                AlarmKind::CodeUsed { .. } => ("alarm-heading", None),
                AlarmKind::MailCountsDown { campaign, .. } => {
                    ("alarm-mail-heading", Some(format!("/mail/{campaign}")))
                }
            };
            Ring {
                index: it.index,
                heading: self.say.it(heading),
                says: self.alarm_says(it),
                link,
            }
        };
        self.state.people.open_alarms().map(ring).collect()
    }

    fn alarm_says(&self, it: &Alarm) -> String {
        match &it.what {
            AlarmKind::CodeUsed {
                serial,
                place,
                node,
                alone,
                again,
            } => {
                let parts = [
                    ("code", (place + 1).into()),
                    ("serial", serial.to_string().into()),
                    ("node", self.node_name(*node).into()),
                    ("time", self.time(it.at).into()),
                ];
                let mut says = self.say.with("alarm-code-used", parts);
                for (so, key) in [(*again, "alarm-again"), (*alone, "alarm-alone")] {
                    if so {
                        says.push(' ');
                        says.push_str(&self.say.it(key));
                    }
                }
                says
            }
            AlarmKind::MailCountsDown {
                campaign,
                recipients,
                by,
                why,
                from,
            } => {
                let zone = &self.desk().console.company.zone;
                let time = self.say.clock(zone, *from, self.now);
                let parts = [
                    ("count", (*recipients).into()),
                    ("who", by.clone().into()),
                    ("why", why.as_str().trim_end_matches('.').to_owned().into()),
                    ("time", time.into()),
                ];
                let says = self.say.with("alarm-mail-counts-down", parts);
                // Whoever reads it later learns what became of it.
                let known = self.state.campaigns.all.get(campaign);
                let now =
                    known.filter(|it| matches!(it.stage, Stage::Ended(_)) || *from <= self.now);
                let Some(now) = now else {
                    return format!("{says} {}", self.say.it("alarm-mail-stop"));
                };
                let stage = self.say.it(&format!("mail-stage-{}", spoken(&now.stage)));
                let became = self.say.with("alarm-mail-now", [("stage", stage.into())]);
                format!("{says} {became}")
            }
        }
    }
}
