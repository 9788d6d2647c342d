//! What a notice says in plain words, within what its channel takes. Pure, so that a preview shows what will leave.

use super::Told;
use crate::model::{
    incident::Stage,
    words::{Lang, Text},
};

/// Characters kept for the address at the end, so that a preview is cut as what leaves is: ours are shorter.
const LINK_CHARS: usize = 66;

/// A notice in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// All of it.
    pub text: String,
    /// The first line, for what has a subject.
    pub subject: String,
    /// The languages it is in.
    pub langs: Vec<Lang>,
    /// It was longer than the channel takes.
    pub cut: bool,
    /// The language wanted has no words for it; another one's are told.
    pub other_language: bool,
}

/// What `told` says in `lang`, or in every language it has, with `link` at the end, in at most `most` characters.
///
/// What is too long is cut between words; the link is never cut.
pub fn plain(
    told: &Told,
    lang: Option<Lang>,
    corrects: bool,
    link: Option<&str>,
    most: Option<usize>,
) -> Plain {
    let has: Vec<Lang> = match told.withdrawn {
        Some(_) => told.titles.keys().copied().collect(),
        None => told.texts.keys().copied().collect(),
    };
    let wanted = lang.filter(|it| has.contains(it));
    let langs = match (lang, wanted) {
        (_, Some(lang)) => vec![lang],
        (Some(_), None) => has.first().copied().into_iter().collect(),
        (None, _) => has,
    };
    let parts = langs.iter().map(|it| part(told, *it, corrects));
    let body = parts.collect::<Vec<String>>().join("\n\n");
    let tail = link.map(|it| format!("\n\n{it}")).unwrap_or_default();
    let kept = tail.chars().count().max(LINK_CHARS);
    let room = most.map(|it| it.saturating_sub(kept));
    let (body, cut) = match room {
        Some(room) if body.chars().count() > room => (shortened(&body, room), true),
        _ => (body, false),
    };
    let first = langs.first().copied().unwrap_or_default();
    Plain {
        subject: heading(told, first, corrects),
        text: format!("{body}{tail}"),
        other_language: lang.is_some_and(|it| !langs.contains(&it)),
        langs,
        cut,
    }
}

/// Heading and text in one language.
fn part(told: &Told, lang: Lang, corrects: bool) -> String {
    let heading = heading(told, lang, corrects);
    let says = match &told.withdrawn {
        Some(reason) => reason.as_str(),
        None => told.texts.get(&lang).map_or("", Text::as_str),
    };
    format!("{heading}\n\n{}", says.trim())
}

fn heading(told: &Told, lang: Lang, corrects: bool) -> String {
    let own = told
        .titles
        .get(&lang)
        .or_else(|| told.titles.values().next());
    let title = own.map_or("", |it| it.as_str());
    match (&told.withdrawn, corrects) {
        (Some(_), _) => match lang {
            Lang::Cs => format!("Bereme zpět: {title}"),
            Lang::En => format!("Taken back: {title}"),
        },
        (None, true) => match lang {
            Lang::Cs => format!("Oprava: {title}"),
            Lang::En => format!("Correction: {title}"),
        },
        (None, false) => format!("{title} ({})", stage(told.stage, lang)),
    }
}

fn stage(stage: Stage, lang: Lang) -> &'static str {
    match (stage, lang) {
        (Stage::Investigating, Lang::Cs) => "zjišťujeme příčinu",
        (Stage::Investigating, Lang::En) => "we are looking for the cause",
        (Stage::Identified, Lang::Cs) => "příčinu známe",
        (Stage::Identified, Lang::En) => "we know the cause",
        (Stage::Monitoring, Lang::Cs) => "opraveno, sledujeme",
        (Stage::Monitoring, Lang::En) => "repaired, we are watching it",
        (Stage::Resolved, Lang::Cs) => "vyřešeno",
        (Stage::Resolved, Lang::En) => "resolved",
        (Stage::Scheduled, Lang::Cs) => "plánováno",
        (Stage::Scheduled, Lang::En) => "planned",
        (Stage::InProgress, Lang::Cs) => "probíhá",
        (Stage::InProgress, Lang::En) => "in progress",
        (Stage::Completed, Lang::Cs) => "dokončeno",
        (Stage::Completed, Lang::En) => "completed",
    }
}

/// The beginning of a text in at most `room` characters, cut between words where there is a word's end in the last third.
fn shortened(text: &str, room: usize) -> String {
    let Some(room) = room.checked_sub(1) else {
        return String::new();
    };
    let kept: String = text.chars().take(room).collect();
    let ends_word = text.chars().nth(room).is_none_or(char::is_whitespace);
    let at_word = kept.rfind(char::is_whitespace).filter(|_| !ends_word);
    let at_word = at_word.filter(|at| *at >= kept.len() / 3 * 2);
    let kept = at_word.map_or(kept.as_str(), |at| &kept[..at]);
    format!("{}…", kept.trim_end())
}
