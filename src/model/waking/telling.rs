//! What whoever is woken reads: short for a telephone, whole for a mailbox. Pure, so that each try of the same says the same.

use super::{Waking, WakingId, Why};
use crate::model::{
    State, limits,
    people::AlarmKind,
    words::{Label, Lang},
};

/// Minutes before a promised update at which somebody is reminded of it.
const SOON: u64 = limits::PROMISE_NUDGE_MS / 60_000;

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// For what has a subject.
    pub subject: String,
    /// For a telephone: what, and where to answer.
    pub short: String,
    /// For a mailbox.
    pub long: String,
}

/// What a try says to its person. `links` are the addresses at which it is answered, one for each of our names.
pub fn words(
    state: &State,
    (id, waking): (WakingId, &Waking),
    person: &Label,
    company: &str,
    links: &[String],
) -> Words {
    let lang = lang_of(state, person);
    let what = what(state, waking, lang);
    let first = links.first().map_or("", String::as_str);
    let all = links.join("\n");
    let before = tried_before(waking, person);
    if matches!(waking.why, Why::Reminder { .. }) {
        return reminder(lang, what, company, links);
    }
    match (lang, &waking.why) {
        (Lang::Cs, Why::Test) => Words {
            subject: "Zkouška: dá se vás takto vzbudit?".to_owned(),
            short: format!("{company}: zkouška. Potvrďte, že zpráva došla: {first}"),
            long: format!(
                "Tohle je pravidelná zkouška, nic se neděje.\n\n\
                 Potvrďte prosím jedním klepnutím, že zpráva došla:\n{all}\n\n{company}\n"
            ),
        },
        (Lang::En, Why::Test) => Words {
            subject: "A test: can you be woken like this?".to_owned(),
            short: format!("{company}: a test. Say that this came: {first}"),
            long: format!(
                "This is the regular test; nothing has happened.\n\n\
                 Please say with one tap that this came:\n{all}\n\n{company}\n"
            ),
        },
        (Lang::Cs, Why::Drill(_)) => Words {
            subject: what.clone(),
            short: format!("{company}: {what} Nic se neděje. Potvrďte: {first}"),
            long: format!(
                "CVIČENÍ. Nic se neděje, zákazníkům nic nepište.\n\n\
                 Předpokládáme:\n{what}\n\n\
                 Potvrďte jedním klepnutím, že jste u toho. Jinak budeme volat dál:\n{all}\n\n\
                 {}CVIČENÍ. Co dělat, je v konzoli pod Cvičení.\n\n{company}\n",
                before.map_or(String::new(), |it| format!("Neozvali se: {it}\n")),
            ),
        },
        (Lang::En, Why::Drill(_)) => Words {
            subject: what.clone(),
            short: format!("{company}: {what} Nothing has happened. Answer: {first}"),
            long: format!(
                "EXERCISE. Nothing has happened; write nothing to customers.\n\n\
                 We assume:\n{what}\n\n\
                 Say with one tap that you are at it. Otherwise we go on to the next:\n{all}\n\n\
                 {}EXERCISE. What to do is on the console, under Exercise.\n\n{company}\n",
                before.map_or(String::new(), |it| format!("Did not answer: {it}\n")),
            ),
        },
        (Lang::Cs, _) => Words {
            subject: format!("Vstávejte: {what}"),
            short: format!("{company}: {what} Potvrďte: {first}"),
            long: format!(
                "{what}\n\n\
                 Potvrďte jedním klepnutím, že jste vzhůru. Jinak budeme volat dál:\n{all}\n\n\
                 {}Volání {id} od: {}\n\n{company}\n",
                before.map_or(String::new(), |it| format!("Neozvali se: {it}\n")),
                waking.by,
            ),
        },
        (Lang::En, _) => Words {
            subject: format!("Wake up: {what}"),
            short: format!("{company}: {what} Answer: {first}"),
            long: format!(
                "{what}\n\n\
                 Say with one tap that you are awake. Otherwise we go on to the next:\n{all}\n\n\
                 {}Waking {id}, asked for by {}\n\n{company}\n",
                before.map_or(String::new(), |it| format!("Did not answer: {it}\n")),
                waking.by,
            ),
        },
    }
}

fn lang_of(state: &State, person: &Label) -> Lang {
    let account = state.people.accounts.get(person);
    let lang = account.and_then(|it| it.langs.first()).copied();
    lang.unwrap_or_default()
}

fn reminder(lang: Lang, what: String, company: &str, links: &[String]) -> Words {
    let first = links.first().map_or("", String::as_str);
    let all = links.join("\n");
    match lang {
        Lang::Cs => Words {
            short: format!("{company}: {what} Víte o tom? {first}"),
            long: format!(
                "{what}\n\n\
                 Napište zákazníkům, jak to vypadá, i kdyby nebylo nic nového.\n\n\
                 Jedním klepnutím potvrdíte, že o tom víte:\n{all}\n\n{company}\n"
            ),
            subject: what,
        },
        Lang::En => Words {
            short: format!("{company}: {what} You know? {first}"),
            long: format!(
                "{what}\n\n\
                 Tell customers how it stands, even if nothing is new.\n\n\
                 Say with one tap that you know:\n{all}\n\n{company}\n"
            ),
            subject: what,
        },
    }
}

/// Those who were tried before and are not the one that reads.
fn tried_before(waking: &Waking, person: &Label) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for tried in &waking.tries {
        if tried.person != *person && !names.contains(&tried.person.as_str()) {
            names.push(tried.person.as_str());
        }
    }
    (!names.is_empty()).then(|| names.join(", "))
}

/// What it is about, as a sentence.
pub fn what(state: &State, waking: &Waking, lang: Lang) -> String {
    let text = waking.text.as_str();
    match (&waking.why, lang) {
        (Why::Asked, _) => sentence(text),
        (Why::Drill(_), Lang::Cs) => format!("CVIČENÍ: {}", sentence(text)),
        (Why::Drill(_), Lang::En) => format!("EXERCISE: {}", sentence(text)),
        (Why::Alarm(index), lang) => {
            let alarm = state.people.alarms.iter().find(|it| it.index == *index);
            match (alarm.map(|it| &it.what), lang) {
                (Some(AlarmKind::CodeUsed { serial, .. }), Lang::Cs) => {
                    format!("Byl použit nouzový kód z obálky {serial}.")
                }
                (Some(AlarmKind::CodeUsed { serial, .. }), Lang::En) => {
                    format!("A break-glass code of envelope {serial} was used.")
                }
                (Some(AlarmKind::MailCountsDown { recipients, .. }), Lang::Cs) => {
                    format!("Za chvíli odejde hromadný e-mail, příjemců: {recipients}.")
                }
                (Some(AlarmKind::MailCountsDown { recipients, .. }), Lang::En) => {
                    format!("A mass mail to {recipients} people leaves in a moment.")
                }
                (None, Lang::Cs) => "Poplach.".to_owned(),
                (None, Lang::En) => "An alarm.".to_owned(),
            }
        }
        (Why::Promise { .. }, Lang::Cs) => {
            format!("Slíbená zpráva zákazníkům nepřišla včas: {text}.")
        }
        (Why::Promise { .. }, Lang::En) => {
            format!("The update promised to customers is late: {text}.")
        }
        (Why::Reminder { .. }, Lang::Cs) => {
            format!("Do {SOON} minut čekají zákazníci slíbenou zprávu: {text}.")
        }
        (Why::Reminder { .. }, Lang::En) => {
            format!("Customers expect the promised update within {SOON} minutes: {text}.")
        }
        (Why::Alert, Lang::Cs) => format!("Dohled hlásí: {}", sentence(text)),
        (Why::Alert, Lang::En) => format!("Monitoring says: {}", sentence(text)),
        (Why::Test, Lang::Cs) => "Zkouška cest k lidem.".to_owned(),
        (Why::Test, Lang::En) => "A test of the ways to people.".to_owned(),
    }
}

fn sentence(text: &str) -> String {
    match text.ends_with(['.', '!', '?']) {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}
