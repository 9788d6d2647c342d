//! What is told outside: channels to choose in a form, what would leave, what is on its way and can be stopped, what is
//! to be copied by hand, and what was told and holds no more.

use axum::{extract::Path, response::Response};

use super::{Posted, Visit, encoded, see};
use crate::desk::{
    asking::Asking,
    notices::{self, ByHand, Stop, Tell},
    problem::Problem,
};
use crate::model::{
    incident::IncidentId,
    notice::{Channel, Notice, NoticeId, Standing},
    words::{Label, Timestamp},
};

/// A channel that can be chosen.
pub(super) struct Tick {
    pub name: String,
    pub says: String,
    pub chosen: bool,
}

/// What would leave through a channel.
pub(super) struct Leaving {
    pub channel: String,
    pub text: String,
    /// What somebody should know of it.
    pub notes: Vec<String>,
}

/// A notice of an incident.
pub(super) struct Went {
    pub id: String,
    pub heading: String,
    pub says: String,
    pub bad: bool,
    pub link: Option<String>,
    pub can_stop: bool,
    /// What a person is to copy, and the revision of it.
    pub by_hand: Option<(String, u32)>,
}

/// What was told and holds no more.
pub(super) struct Due {
    pub update: u32,
    pub says: String,
    pub channels: Vec<String>,
}

/// What waits on this page's account, shown on every page.
pub(super) struct Waiting {
    pub says: String,
    pub ids: Vec<String>,
    pub to: String,
}

/// Of an incident: what went outside, and what no longer holds there.
pub(super) struct Outside {
    pub went: Vec<Went>,
    pub due: Vec<Due>,
}

impl Posted {
    /// The channels chosen, where the form let somebody choose.
    pub(super) fn tell(&self) -> Option<Vec<String>> {
        (!self.text("channels").is_empty()).then(|| self.all("tell"))
    }
}

pub(super) async fn stop(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let asked = Stop {
        notices: Some(posted.all("notice")),
    };
    let asking = asking.once(posted.text("once"), "/notices/stop");
    let done = visit
        .desk()
        .stop_notices(&asking, &posted.content(), &asked)
        .await;
    visit.back(&posted, done)
}

pub(super) async fn done(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let asked = ByHand {
        revision: posted.text("revision").parse().ok(),
        place: Some(posted.text("place").to_owned()),
    };
    let path = format!("/notices/{}/done", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let desk = visit.desk();
    let content = posted.content();
    let done = desk.done_by_hand(&asking, &content, &id, &asked).await;
    visit.back(&posted, done.map(|_| ()))
}

pub(super) async fn tell(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let asked = Tell {
        update: posted.text("update").parse().unwrap_or_default(),
        channels: posted.all("tell"),
    };
    let path = format!("/incidents/{}/tell", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let desk = visit.desk();
    let done = desk
        .tell_update(&asking, &posted.content(), &id, &asked)
        .await;
    visit.back(&posted, done)
}

impl Visit {
    /// Leads back to where a form was, or says what was wrong.
    fn back(&self, posted: &Posted, done: Result<(), Problem>) -> Response {
        match done {
            Ok(()) => see(super::inside(posted.text("to"))),
            Err(problem) => self.failed(&problem),
        }
    }

    /// The channels there are, ticked as typed or, in a new form, as usual.
    pub(super) fn ticks(&self, typed: &Posted) -> Vec<Tick> {
        let chosen = typed.tell();
        let all = self.state.notices.channels.iter();
        let tick = |(name, it): (&Label, &Channel)| {
            let name = name.to_string();
            let means = self.say.it(&format!("means-{}", it.facts.means.kind()));
            let reach = it.facts.reach.map(|reach| {
                let parts = [("count", u64::from(reach).into())];
                self.say.with("channel-reach", parts)
            });
            let chosen = match &chosen {
                Some(chosen) => chosen.contains(&name),
                None => it.facts.usual,
            };
            Tick {
                says: match reach {
                    Some(reach) => format!("{name} ({means}, {reach})"),
                    None => format!("{name} ({means})"),
                },
                name,
                chosen,
            }
        };
        all.map(tick).collect()
    }

    /// What would leave, of an answer that only shows it.
    pub(super) fn leaving(&self, shown: &[notices::Shown]) -> Vec<Leaving> {
        let leaving = shown.iter().map(|it| {
            let mut notes = Vec::new();
            if it.cut {
                notes.push(self.say.it("notice-cut"));
            }
            if let Some(tag) = it.other_language {
                let lang = self.say.it(&format!("in-{tag}"));
                notes.push(
                    self.say
                        .with("notice-other-language", [("lang", lang.into())]),
                );
            }
            Leaving {
                channel: it.channel.clone(),
                text: it.text.clone(),
                notes,
            }
        });
        leaving.collect()
    }

    /// What of an incident went outside.
    pub(super) fn outside(&self, incident: IncidentId) -> Outside {
        let all = self.state.notices.all.iter().rev();
        let own = all.filter(|(_, it)| it.incident == incident);
        let due = notices::corrections(&self.state).into_iter();
        let due = due.filter(|it| it.0 == incident).map(|(_, it)| Due {
            says: self.say.with(
                "notice-due",
                [
                    ("number", u64::from(it.update).into()),
                    ("channels", it.channels.join(", ").into()),
                ],
            ),
            update: it.update,
            channels: it.channels,
        });
        Outside {
            went: own.map(|(id, it)| self.went(*id, it)).collect(),
            due: due.collect(),
        }
    }

    fn went(&self, id: NoticeId, it: &Notice) -> Went {
        let shown = notices::Shown::of(&self.state, id, it);
        let parts = [
            ("channel", it.channel.to_string().into()),
            ("number", u64::from(it.update).into()),
        ];
        let heading = match it.corrects {
            Some(_) => "notice-correction",
            None => "notice-update",
        };
        let place = shown.place.clone();
        let link = place.and_then(|it| {
            let mut words = it.split_whitespace();
            let link = words.find(|it| it.starts_with("https://"));
            link.map(str::to_owned)
        });
        let by_hand = it.standing == Standing::ByHand;
        Went {
            id: id.to_string(),
            heading: self.say.with(heading, parts),
            says: self.standing(it, &shown),
            bad: matches!(
                it.standing,
                Standing::Failed { .. } | Standing::Unknown { .. }
            ),
            link,
            can_stop: by_hand || shown.state == "queued",
            by_hand: by_hand.then_some((shown.text, shown.revision)),
        }
    }

    fn standing(&self, it: &Notice, shown: &notices::Shown) -> String {
        let clock = |at: Timestamp| self.clock(at);
        let why = |why: &str| ("why", why.to_owned().into());
        match &it.standing {
            Standing::ByHand => self.say.it("notice-by-hand"),
            Standing::Queued(_) if shown.state == "sending" => self.say.it("notice-sending"),
            Standing::Queued(_) if shown.attempts > 0 => {
                let last = shown.why.clone().unwrap_or_default();
                self.say.with("notice-again", [why(&last)])
            }
            Standing::Queued(_) => {
                let parts = [("time", clock(it.leaves).into())];
                self.say.with("notice-queued", parts)
            }
            Standing::Sent { at, .. } => {
                let parts = [("time", clock(*at).into())];
                self.say.with("notice-sent", parts)
            }
            Standing::Failed { why: last, .. } => {
                self.say.with("notice-failed", [why(last.as_str())])
            }
            Standing::Unknown { why: last, .. } => {
                self.say.with("notice-unknown", [why(last.as_str())])
            }
            Standing::Stopped { by, .. } => {
                let parts = [("who", by.clone().into())];
                self.say.with("notice-stopped", parts)
            }
        }
    }

    fn clock(&self, at: Timestamp) -> String {
        let zone = &self.desk().console.company.zone;
        self.say.clock_to_the_second(zone, at)
    }

    /// What has not left and can be stopped, from every page.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        let open = self.state.notices.open();
        let waiting: Vec<(NoticeId, &Notice)> = open
            .filter(|(_, it)| matches!(it.standing, Standing::Queued(_)) && it.told.is_none())
            .collect();
        let first = waiting.iter().map(|(_, it)| it.leaves).min()?;
        let mut channels: Vec<&str> = waiting.iter().map(|(_, it)| it.channel.as_str()).collect();
        channels.sort_unstable();
        channels.dedup();
        let parts = [
            ("time", self.clock(first).into()),
            ("channels", channels.join(", ").into()),
        ];
        Some(Waiting {
            says: self.say.with("notices-waiting", parts),
            ids: waiting.iter().map(|(id, _)| id.to_string()).collect(),
            to: self.path.clone(),
        })
    }
}

/// Every kind of channel, each of which has a text.
#[cfg(test)]
pub(super) fn kinds() -> Vec<String> {
    use crate::model::notice::Means;
    let all = [
        Means::Webhook {
            url: Default::default(),
        },
        Means::Mail {
            address: Default::default(),
        },
        Means::Matrix {
            url: Default::default(),
            room: Default::default(),
        },
        Means::Mastodon {
            url: Default::default(),
            chars: 0,
        },
        Means::ByHand { chars: 0 },
    ];
    all.iter()
        .map(|it| format!("means-{}", it.kind()))
        .collect()
}
