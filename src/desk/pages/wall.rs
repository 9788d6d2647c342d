//! The wall: everything that a room has to know, to be read from across it. It asks for nothing, shows no customer's words,
//! and every value has its age; what nobody told anew in time is marked as old. Without JavaScript it loads anew by itself.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::{Frame, Visit, alerts, says};
use crate::desk::dns;
use crate::model::{
    campaign::Stage,
    gauge::{Gauge, Level},
};

#[derive(Template)]
#[template(path = "wall.html", config = "src/desk/pages/askama.toml")]
struct Wall<'a> {
    frame: Frame<'a>,
    going: Vec<says::Row>,
    told: Vec<alerts::Row>,
    tiles: Vec<Tile>,
    gauges: Vec<Tile>,
}

/// One thing to be seen.
struct Tile {
    title: String,
    value: String,
    /// good, warn or bad; what is not good has a word and a shape for it too.
    class: &'static str,
    amiss: Option<String>,
    below: String,
}

pub(super) async fn show(visit: Visit) -> Response {
    let gauges = visit.state.gauges.all.values();
    let going = visit.state.incidents.going().into_iter();
    let page = Wall {
        frame: visit.frame(),
        going: going.map(|(id, it)| visit.row(id, it)).collect(),
        told: visit.waiting_alerts(),
        tiles: visit.tiles(),
        gauges: gauges.map(|it| visit.gauge(it)).collect(),
    };
    visit.scripted(StatusCode::OK, &page)
}

impl Visit {
    fn tiles(&self) -> Vec<Tile> {
        let mut all = vec![self.servers(), self.letters(), self.leads()];
        all.extend(dns::services_described(self.desk()).into_iter().map(|it| {
            let home = it
                .targets
                .first()
                .is_some_and(|first| first.target == it.answering);
            let amiss = (!home).then(|| self.say.it("wall-switched"));
            let class = if home { "good" } else { "warn" };
            let below = self.say.it("wall-name");
            Tile {
                title: it.service,
                value: it.answering,
                class,
                amiss,
                below,
            }
        }));
        let sending = self.state.campaigns.all.values();
        let sending =
            sending.filter(|it| matches!(it.stage, Stage::Sending | Stage::Paused { .. }));
        all.extend(sending.map(|it| {
            let recipients = it.frozen.as_ref().map_or(0, |it| it.recipients);
            let paused = matches!(it.stage, Stage::Paused { .. });
            Tile {
                title: it.draft.name.as_str().to_owned(),
                value: format!("{} / {recipients}", it.settled()),
                class: if paused { "warn" } else { "good" },
                amiss: paused.then(|| self.say.it("mail-stage-paused")),
                below: self.say.it("wall-mail"),
            }
        }));
        all
    }

    fn servers(&self) -> Tile {
        let alone = self.desk().cluster.health().alone();
        let (reached, voters) = (self.reached(), self.state.voters.len());
        let (class, amiss) = match (alone, reached < voters) {
            (true, _) => ("bad", Some(self.say.it("wall-alone"))),
            (false, true) => ("warn", Some(self.say.it("wall-missing"))),
            (false, false) => ("good", None),
        };
        Tile {
            title: self.say.it("overview-agreement"),
            value: format!("{reached} / {voters}"),
            class,
            amiss,
            below: self.say.it("wall-agree"),
        }
    }

    fn letters(&self) -> Tile {
        let (waiting, first) = self.desk().queue();
        let below = first.map_or_else(String::new, |since| {
            let age = self.now.ms_since(since) / 1_000;
            self.say
                .with("wall-first", [("age", self.age(Some(age)).into())])
        });
        Tile {
            title: self.say.it("wall-waiting"),
            value: waiting.to_string(),
            class: "good",
            amiss: None,
            below,
        }
    }

    fn leads(&self) -> Tile {
        let leading = self.state.people.leading.as_ref();
        let nobody = leading.is_none();
        Tile {
            title: self.say.it("overview-shift"),
            value: leading.map_or_else(|| "–".to_owned(), |it| it.who.to_string()),
            class: if nobody { "warn" } else { "good" },
            amiss: nobody.then(|| self.say.it("leader-nobody")),
            below: leading.map_or_else(String::new, |it| self.time(it.since)),
        }
    }

    fn gauge(&self, it: &Gauge) -> Tile {
        let (class, amiss) = match (it.is_stale(self.now), it.told.level) {
            (true, _) => ("bad", Some(self.say.it("wall-stale"))),
            (false, Level::Bad) => ("bad", Some(self.say.it("wall-bad"))),
            (false, Level::Warning) => ("warn", Some(self.say.it("wall-warning"))),
            (false, Level::Good) => ("good", None),
        };
        let age = self.now.ms_since(it.at) / 1_000;
        Tile {
            title: it.told.title.as_str().to_owned(),
            value: it.told.value.as_str().to_owned(),
            class,
            amiss,
            below: self.age(Some(age)),
        }
    }
}
