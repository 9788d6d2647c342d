//! The words of the public pages, in each language. The words themselves are in `locales/`, one file a language.
//! A key that is missing is a mistake of ours that the tests below find; at run time it would be shown as its name.

use std::borrow::Cow;
use std::collections::HashMap;

use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{LanguageIdentifier, Loader};

use crate::model::limits::LANGUAGE_WISHES_MAX;
use crate::model::words::Lang;

fluent_templates::static_loader! {
    static LOCALES = {
        locales: "./src/web/public/locales",
        fallback_language: "en",
        // The marks that isolate inserted text are for mixed writing directions, which none of our languages has.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

/// Something to be put into a sentence.
pub type Part<'a> = FluentValue<'a>;

/// Speaks one language.
#[derive(Debug, Clone)]
pub struct Say {
    /// The language.
    pub lang: Lang,
    id: LanguageIdentifier,
}

impl Say {
    /// The words of this language.
    pub fn in_lang(lang: Lang) -> Say {
        let id = lang
            .tag()
            .parse()
            .expect("the tag of each of our languages is a language identifier");
        Say { lang, id }
    }

    /// The text of this key.
    pub fn it(&self, key: &str) -> String {
        LOCALES.lookup(&self.id, key)
    }

    /// The text of this key with these parts in their places.
    pub fn with<'a, const N: usize>(
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
}

/// The language a visitor gets where the address names none: the first that the browser asks for and the company
/// speaks, else the company's first. `accepts` is the Accept-Language header (RFC 9110 section 12.5.4).
pub fn preferred(accepts: Option<&str>, spoken: &[Lang]) -> Lang {
    let mut wishes: Vec<(u16, Lang)> = accepts
        .unwrap_or_default()
        .split(',')
        .take(LANGUAGE_WISHES_MAX)
        .filter_map(|wish| {
            let mut parts = wish.split(';').map(str::trim);
            let lang = Lang::of_tag(parts.next()?)?;
            let weight = parts
                .find_map(|it| it.strip_prefix("q="))
                .map_or(Some(1000), thousandths)?;
            (weight > 0 && spoken.contains(&lang)).then_some((weight, lang))
        })
        .collect();
    // Stable, so that of equal wishes the first counts.
    wishes.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let first = spoken.first().copied().unwrap_or_default();
    wishes.first().map_or(first, |(_, lang)| *lang)
}

/// A quality value such as "0.8", in thousandths.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let whole: u16 = whole.parse().ok().filter(|it| *it <= 1)?;
    let digits = part.get(..part.len().min(3))?;
    let part: u16 = if digits.is_empty() {
        0
    } else {
        format!("{digits:0<3}").parse().ok()?
    };
    Some((whole * 1000 + part).min(1000))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const FILES: [(&str, &str); 2] = [
        ("cs", include_str!("locales/cs.ftl")),
        ("en", include_str!("locales/en.ftl")),
    ];

    const USERS: [&str; 38] = [
        include_str!("exercise.rs"),
        include_str!("templates/exercise.html"),
        include_str!("files.rs"),
        include_str!("templates/file_field.html"),
        include_str!("templates/file_list.html"),
        include_str!("awake.rs"),
        include_str!("templates/awake.html"),
        include_str!("unsubscribe.rs"),
        include_str!("templates/unsubscribe.html"),
        include_str!("templates/base.html"),
        include_str!("templates/front.html"),
        include_str!("templates/write_form.html"),
        include_str!("templates/trap.html"),
        include_str!("templates/summary.html"),
        include_str!("templates/conversation.html"),
        include_str!("templates/ticket.html"),
        include_str!("templates/plain.html"),
        include_str!("mod.rs"),
        include_str!("pages.rs"),
        include_str!("times.rs"),
        include_str!("form.rs"),
        include_str!("sent.rs"),
        include_str!("write.rs"),
        include_str!("talk.rs"),
        include_str!("ticket.rs"),
        include_str!("status.rs"),
        include_str!("feeds/mod.rs"),
        include_str!("feeds/hosted.rs"),
        include_str!("feeds/cap.rs"),
        include_str!("feeds/banner.rs"),
        include_str!("templates/case.html"),
        include_str!("templates/status.html"),
        include_str!("templates/incident.html"),
        include_str!("templates/mine.html"),
        include_str!("templates/mine_form.html"),
        include_str!("mine.rs"),
        include_str!("templates/newer.html"),
        include_str!("live.rs"),
    ];

    const PARTS: [&str; 26] = [
        "name", "names", "found", "room", "kb", "code", "contact", "copies", "count", "day",
        "month", "most", "node", "of", "on", "seconds", "servers", "time", "year", "zone", "from",
        "until", "reason", "asked", "title", "who",
    ];

    #[test]
    fn a_ticket_code_that_is_shown_as_an_example_is_one() {
        let texts = FILES.iter().map(|it| it.1).chain(USERS);
        let words =
            texts.flat_map(|it| it.split(|it: char| it.is_whitespace() || "\".\\".contains(it)));
        let plain = words.map(|it| it.replace('\u{2011}', "-"));
        let is_code =
            |it: &String| it.len() == 11 && it.match_indices('-').map(|it| it.0).eq([3, 7]);
        let codes: Vec<String> = plain.filter(is_code).collect();
        assert!(codes.len() >= 5, "{codes:?}");
        for code in codes {
            assert!(
                crate::model::words::TicketCode::new(&code).is_ok(),
                "{code}"
            );
        }
    }

    /// Each key of a file with the names of the parts that its text takes.
    fn keys(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut key = "";
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, _)) = line
                .split_once(" = ")
                .filter(|_| line.starts_with(|c: char| c.is_ascii_lowercase()))
            {
                assert!(
                    keys.insert(name, BTreeSet::new()).is_none(),
                    "{name} stands twice"
                );
                key = name;
            }
            for part in line.split('$').skip(1) {
                let end = part
                    .find(|c: char| !c.is_ascii_lowercase())
                    .unwrap_or(part.len());
                keys.get_mut(key)
                    .expect("a part stands in a text")
                    .insert(&part[..end]);
            }
        }
        keys
    }

    #[test]
    fn every_language_has_every_key_with_the_same_parts() {
        let tags: Vec<&str> = FILES.iter().map(|(tag, _)| *tag).collect();
        assert_eq!(tags, Lang::ALL.map(Lang::tag), "each language has its file");
        let (first_tag, first) = FILES[0];
        for (tag, file) in &FILES[1..] {
            assert_eq!(keys(first), keys(file), "{first_tag} and {tag} differ");
        }
        assert!(keys(first).len() > 50);
    }

    #[test]
    fn every_key_in_use_exists_and_every_key_that_exists_is_in_use() {
        let known = keys(FILES[0].1);
        let all = USERS.concat();
        for (at, _) in all
            .match_indices("say.it(\"")
            .chain(all.match_indices("say.with(\""))
        {
            let key = all[at..].split('"').nth(1).expect("a key follows");
            assert!(known.contains_key(key), "no language has {key}");
        }
        for key in known.keys() {
            assert!(all.contains(&format!("\"{key}\"")), "{key} is used nowhere");
        }
    }

    #[test]
    fn every_text_can_be_read_in_every_language() {
        for lang in Lang::ALL {
            let say = Say::in_lang(lang);
            for key in keys(FILES[0].1).keys() {
                let text = say.with(key, PARTS.map(|part| (part, 3.into())));
                assert!(
                    !text.is_empty() && !text.contains("nknown"),
                    "{} {key}: {text}",
                    lang.tag()
                );
            }
        }
    }

    #[test]
    fn czech_counts_as_czech_does() {
        let say = Say::in_lang(Lang::Cs);
        let wait = |seconds: u32| say.with("ticket-busy", [("seconds", seconds.into())]);
        assert!(wait(1).contains("prosím jednu sekundu"));
        assert!(wait(2).contains("prosím 2 sekundy"));
        assert!(wait(5).contains("prosím 5 sekund\u{a0}") || wait(5).contains("prosím 5 sekund "));
    }

    #[test]
    fn the_browser_s_wish_decides_where_we_can_follow_it() {
        let both = [Lang::Cs, Lang::En];
        assert_eq!(preferred(None, &both), Lang::Cs);
        assert_eq!(preferred(Some("de, fr;q=0.9"), &both), Lang::Cs);
        assert_eq!(preferred(Some("en-GB,cs;q=0.9"), &both), Lang::En);
        assert_eq!(preferred(Some("en;q=0.5, cs-CZ;q=0.85"), &both), Lang::Cs);
        assert_eq!(preferred(Some("cs;q=0, en;q=0.001"), &both), Lang::En);
        assert_eq!(preferred(Some("en"), &[Lang::Cs]), Lang::Cs);
        assert_eq!(
            preferred(Some(";;q=é,q=0.\u{e9}1,en;q=9.9.9"), &both),
            Lang::Cs
        );
    }
}
