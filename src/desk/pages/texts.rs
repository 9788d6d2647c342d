//! The words of the console, in each language; the words themselves are in `locales/`. A key that is missing is a
//! mistake of ours that the test finds; at run time it would be shown as its name.

use std::borrow::Cow;
use std::collections::HashMap;

use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{LanguageIdentifier, Loader};

use crate::config::Zone;
use crate::model::words::{Lang, Timestamp};

fluent_templates::static_loader! {
    static LOCALES = {
        locales: "./src/desk/pages/locales",
        fallback_language: "en",
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

/// Something to be put into a sentence.
pub(super) type Part<'a> = FluentValue<'a>;

/// Speaks one language.
#[derive(Clone, Debug)]
pub(super) struct Say {
    pub(super) lang: Lang,
    id: LanguageIdentifier,
}

impl Say {
    pub(super) fn in_lang(lang: Lang) -> Self {
        let id = lang
            .tag()
            .parse()
            .expect("the tag of each of our languages is a language identifier");
        Self { lang, id }
    }

    /// The text of this key.
    pub(super) fn it(&self, key: &str) -> String {
        LOCALES.lookup(&self.id, key)
    }

    /// The same with parts in their places.
    pub(super) fn with<'a, const N: usize>(
        &self,
        key: &str,
        parts: [(&'static str, Part<'a>); N],
    ) -> String {
        let parts: HashMap<Cow<'static, str>, Part<'a>> = parts
            .into_iter()
            .map(|(name, part)| (Cow::Borrowed(name), part))
            .collect();
        LOCALES.lookup_with_args(&self.id, key, &parts)
    }

    /// "22:40 CET"; with the date where it is not today's.
    pub(super) fn clock(&self, zone: &Zone, at: Timestamp, now: Timestamp) -> String {
        let (wall, today) = (zone.wall(at), zone.wall(now));
        let time = format!("{}:{:02}", wall.hour, wall.minute);
        let same_day = (wall.year, wall.month, wall.day) == (today.year, today.month, today.day);
        if same_day {
            let parts = [("time", time.into()), ("zone", wall.zone.into())];
            self.with("clock-time", parts)
        } else {
            let parts = [
                ("day", wall.day.into()),
                ("month", wall.month.into()),
                ("year", wall.year.to_string().into()),
                ("time", time.into()),
                ("zone", wall.zone.into()),
            ];
            self.with("clock-dated", parts)
        }
    }

    /// "22:40:05 CET": of today, for what is about to happen.
    pub(super) fn clock_to_the_second(&self, zone: &Zone, at: Timestamp) -> String {
        let wall = zone.wall(at);
        let time = format!("{}:{:02}:{:02}", wall.hour, wall.minute, wall.second);
        let parts = [("time", time.into()), ("zone", wall.zone.into())];
        self.with("clock-time", parts)
    }

    /// "22:40 CET, 12 min ago"; with the date where it is not today's.
    pub(super) fn time(&self, zone: &Zone, at: Timestamp, now: Timestamp) -> String {
        let absolute = self.clock(zone, at, now);
        let minutes = now.ms_since(at) / 60_000;
        let ago = match minutes {
            _ if at.ms_since(now) > 60_000 => self.it("ahead"),
            0 => self.it("just-now"),
            1..60 => self.with("minutes-ago", [("count", minutes.into())]),
            60..1_440 => self.with("hours-ago", [("count", (minutes / 60).into())]),
            _ => self.with("days-ago", [("count", (minutes / 1_440).into())]),
        };
        format!("{absolute}, {ago}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::desk::incidents::scenarios::ALL;
    use crate::desk::pages::inbox::LISTS;
    use crate::desk::pages::ready::KNOWN;
    use crate::desk::pages::says::SPANS;
    use crate::model::campaign::Fate;
    use crate::model::incident::{Impact, Severity, Stage};
    use crate::model::words::Lang;

    const FILES: [&str; 2] = [
        include_str!("locales/cs.ftl"),
        include_str!("locales/en.ftl"),
    ];

    const USERS: &[&str] = &[
        include_str!("wall.rs"),
        include_str!("templates/wall.html"),
        include_str!("rings.rs"),
        include_str!("templates/alerts.html"),
        include_str!("templates/alert.html"),
        include_str!("alerts.rs"),
        include_str!("templates/draft.html"),
        include_str!("templates/report.html"),
        include_str!("mailing.rs"),
        include_str!("outcomes.rs"),
        include_str!("templates/switching.html"),
        include_str!("templates/switch.html"),
        include_str!("switching.rs"),
        include_str!("templates/vault.html"),
        include_str!("templates/shut.html"),
        include_str!("vault.rs"),
        include_str!("templates/ready.html"),
        include_str!("ready.rs"),
        include_str!("templates/drills.html"),
        include_str!("templates/drill.html"),
        include_str!("drills.rs"),
        include_str!("templates/calendar.html"),
        include_str!("calendar.rs"),
        include_str!("templates/playbooks.html"),
        include_str!("templates/play.html"),
        include_str!("playbooks.rs"),
        include_str!("templates/waking.html"),
        include_str!("waking.rs"),
        include_str!("templates/mails.html"),
        include_str!("templates/mail.html"),
        include_str!("mails.rs"),
        include_str!("templates/base.html"),
        include_str!("templates/sign_in.html"),
        include_str!("templates/glass.html"),
        include_str!("templates/confirm.html"),
        include_str!("templates/overview.html"),
        include_str!("templates/nodes.html"),
        include_str!("templates/people.html"),
        include_str!("templates/person.html"),
        include_str!("templates/made.html"),
        include_str!("templates/sessions.html"),
        include_str!("templates/record.html"),
        include_str!("templates/shift.html"),
        include_str!("templates/plain.html"),
        include_str!("templates/incidents.html"),
        include_str!("templates/incident.html"),
        include_str!("templates/maintenance.html"),
        include_str!("templates/words.html"),
        include_str!("templates/parts.html"),
        include_str!("says/maintenance.rs"),
        include_str!("templates/affected.html"),
        include_str!("affected.rs"),
        include_str!("templates/say.html"),
        include_str!("templates/affects.html"),
        include_str!("templates/channels.html"),
        include_str!("templates/outside.html"),
        include_str!("told.rs"),
        include_str!("templates/inbox.html"),
        include_str!("templates/talk.html"),
        include_str!("templates/picture.html"),
        include_str!("files.rs"),
        include_str!("templates/prepared.html"),
        include_str!("inbox.rs"),
        include_str!("talk.rs"),
        include_str!("live.rs"),
        include_str!("says.rs"),
        include_str!("mod.rs"),
        include_str!("door.rs"),
        include_str!("views.rs"),
        include_str!("staff.rs"),
        include_str!("texts.rs"),
    ];

    fn keys(text: &str) -> BTreeSet<(&str, BTreeSet<&str>)> {
        let mut keys: Vec<(&str, BTreeSet<&str>)> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, _)) = line
                .split_once(" = ")
                .filter(|_| line.starts_with(|c: char| c.is_ascii_lowercase()))
            {
                assert!(keys.iter().all(|it| it.0 != name), "{name} stands twice");
                keys.push((name, BTreeSet::new()));
            }
            for part in line.split('$').skip(1) {
                let end = part
                    .find(|c: char| !c.is_ascii_lowercase())
                    .unwrap_or(part.len());
                keys.last_mut().unwrap().1.insert(&part[..end]);
            }
        }
        keys.into_iter().collect()
    }

    #[test]
    fn every_language_has_every_key_with_the_same_parts() {
        assert_eq!(keys(FILES[0]), keys(FILES[1]));
    }

    const MAIL_STAGES: [&str; 8] = [
        "draft",
        "asked",
        "counting",
        "sending",
        "paused",
        "done",
        "cancelled",
        "expired",
    ];
    const MAIL_SAMPLES: [&str; 6] = [
        "typical", "longest", "oddest", "chosen", "several", "language",
    ];

    /// The keys of what can be chosen in forms.
    fn chosen() -> BTreeSet<String> {
        let scenarios = ALL.iter().map(|it| format!("scenario-{}", it.name));
        let severities = Severity::ALL
            .iter()
            .map(|it| format!("severity-{}", it.name()));
        let impacts = Impact::ALL.iter().map(|it| it.name());
        let impacts = std::iter::once("none").chain(impacts);
        let stages = Stage::ALL.iter().map(|it| format!("stage-{}", it.name()));
        let spans = SPANS
            .iter()
            .map(|it| if it.is_empty() { "none" } else { it });
        let languages = Lang::ALL.into_iter().map(|it| format!("in-{}", it.tag()));
        let lists = LISTS.iter().map(|it| format!("inbox-{}", it.0));
        let owners = ["all", "mine", "nobody"].map(|it| format!("inbox-whose-{it}"));
        let states = ["open", "closed", "quarantined"].map(|it| format!("talk-is-{it}"));
        let proofs = KNOWN
            .iter()
            .flat_map(|it| [format!("proof-{it}"), format!("proof-{it}-do")]);
        let outcomes = ["ok", "not-proven", "warning", "failed"].map(|it| format!("ready-{it}"));
        scenarios
            .chain(proofs)
            .chain(outcomes)
            .chain(lists)
            .chain(owners)
            .chain(states)
            .chain(
                Fate::ALL
                    .iter()
                    .map(|it| format!("mail-fate-{}", it.name())),
            )
            .chain(MAIL_STAGES.iter().map(|it| format!("mail-stage-{it}")))
            .chain(MAIL_SAMPLES.iter().map(|it| format!("mail-sample-{it}")))
            .chain(severities)
            .chain(impacts.map(|it| format!("impact-{it}")))
            .chain(stages)
            .chain(spans.map(|it| format!("span-{it}")))
            .chain(languages)
            .chain(super::super::told::kinds())
            .chain(super::super::waking::kinds())
            .chain(super::super::switching::kinds())
            .chain(super::super::alerts::kinds())
            .chain(super::super::drills::kinds())
            .chain(super::super::playbooks::kinds())
            .chain(super::super::mailing::kinds())
            .chain(super::super::vault::kinds())
            .chain(std::iter::once("mail-fate-none".to_owned()))
            .collect()
    }

    #[test]
    fn whatever_can_be_chosen_has_a_text() {
        let known: BTreeSet<&str> = keys(FILES[0]).into_iter().map(|it| it.0).collect();
        for key in chosen() {
            assert!(known.contains(key.as_str()), "{key} is missing");
        }
    }

    #[test]
    fn every_text_is_used() {
        for (key, _) in keys(FILES[0]) {
            let quoted = format!("\"{key}\"");
            // Built from the name of a page, of a role, or of something to choose.
            let built =
                key.starts_with("menu-") || key.starts_with("role-") || chosen().contains(key);
            let used = built || USERS.iter().any(|it| it.contains(&quoted));
            assert!(used, "{key} is used nowhere");
        }
    }
}
