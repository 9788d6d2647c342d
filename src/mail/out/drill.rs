//! The mail that tells those who take part of a drill: that it has begun, and how it ended. Every one says in its subject
//! and at both ends of its text that it is an exercise. Pure.

use sha2::{Digest, Sha256};

use crate::model::drill::{Drill, DrillId, Ending, Letter};
use crate::model::words::{Label, Lang};

/// What makes the mail to this reader one mail, however often it is tried.
pub(super) fn mark(id: DrillId, letter: Letter, person: &Label) -> [u8; 16] {
    let letter: &[u8] = match letter {
        Letter::Begun => b"begun",
        Letter::Over => b"over",
    };
    let hash = Sha256::new()
        .chain_update("drill")
        .chain_update(id.0.to_be_bytes())
        .chain_update(letter)
        .chain_update(person.as_str())
        .finalize();
    let mut mark = [0; 16];
    mark.copy_from_slice(&hash[..16]);
    mark
}

/// Subject and text.
pub(super) fn words(
    lang: Lang,
    company: &str,
    (id, drill): (DrillId, &Drill),
    letter: Letter,
) -> (String, String) {
    let (title, task) = (drill.plan.title.as_str(), drill.plan.task.as_str());
    match (lang, letter) {
        (Lang::Cs, Letter::Begun) => (
            format!("CVIČENÍ: {title}"),
            format!(
                "CVIČENÍ. Nic se neděje, zákazníkům nic nepište.\n\n\
                 Předpokládáme: {task}\n\n\
                 Co dělat, je v konzoli pod Cvičení, nebo příkazem:\n\
                 lifeboat drill show {id}\n\n\
                 CVIČENÍ. {company}\n"
            ),
        ),
        (Lang::En, Letter::Begun) => (
            format!("EXERCISE: {title}"),
            format!(
                "EXERCISE. Nothing has happened; write nothing to customers.\n\n\
                 We assume: {task}\n\n\
                 What to do is on the console under Exercise, or with:\n\
                 lifeboat drill show {id}\n\n\
                 EXERCISE. {company}\n"
            ),
        ),
        (Lang::Cs, Letter::Over) => (
            format!("KONEC CVIČENÍ: {title}"),
            format!(
                "Cvičení skončilo. {}\n\n\
                 Jak dopadlo, je v konzoli pod Cvičení, nebo příkazem:\n\
                 lifeboat drill show {id}\n\n\
                 KONEC CVIČENÍ. {company}\n",
                why(lang, drill)
            ),
        ),
        (Lang::En, Letter::Over) => (
            format!("END OF EXERCISE: {title}"),
            format!(
                "The exercise is over. {}\n\n\
                 What came of it is on the console under Exercise, or with:\n\
                 lifeboat drill show {id}\n\n\
                 END OF EXERCISE. {company}\n",
                why(lang, drill)
            ),
        ),
    }
}

fn why(lang: Lang, drill: &Drill) -> String {
    let why = drill.over.as_ref().map(|it| &it.why);
    match (lang, why) {
        (Lang::Cs, Some(Ending::Real { .. })) => {
            "Stalo se něco doopravdy: podívejte se na začátek konzole.".to_owned()
        }
        (Lang::En, Some(Ending::Real { .. })) => {
            "Something real has happened: look at the first page of the console.".to_owned()
        }
        (Lang::Cs, Some(Ending::Ended { by })) => format!("Ukončeno: {by}."),
        (Lang::En, Some(Ending::Ended { by })) => format!("Ended by {by}."),
        (Lang::Cs, Some(Ending::Time)) => "Vypršel jeho čas.".to_owned(),
        (Lang::En, Some(Ending::Time)) => "Its time was over.".to_owned(),
        (_, Some(Ending::CalledOff { .. }) | None) => String::new(),
    }
}
