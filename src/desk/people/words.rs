//! What is typed about people, read into the model's words.

use crate::desk::problem::{Mistake, Problem};
use crate::model::{
    State, limits,
    people::{Role, Roles},
    when::rfc3339,
    words::{Label, Lang, Note, Timestamp},
};

pub(super) fn nobody() -> Problem {
    Problem::not_found("person", "look at 'lifeboat people list'")
}

pub(in crate::desk) fn known(state: &State, name: &str) -> Result<Label, Problem> {
    let name = Label::new(name).map_err(|_| nobody())?;
    if !state.people.accounts.contains_key(&name) {
        return Err(nobody());
    }
    Ok(name)
}

pub(in crate::desk) fn label(field: &str, text: &str) -> Result<Label, Problem> {
    Label::new(text).map_err(|wrong| Problem::invalid(field, text, &wrong.wanted))
}

pub(in crate::desk) fn note(field: &str, text: &str) -> Result<Note, Problem> {
    Note::new(text).map_err(|wrong| Problem::invalid(field, text, &wrong.wanted))
}

pub(in crate::desk) fn roles_of(names: &[String]) -> Result<Roles, Problem> {
    let wanted = "viewer, agent, shift-leader, ops or admin";
    let (mut roles, mut mistakes) = (Vec::new(), Vec::new());
    for name in names {
        match Role::of_name(name.trim()) {
            Some(role) => roles.push(role),
            None => mistakes.push(Mistake::of("roles", name, wanted)),
        }
    }
    if roles.is_empty() && mistakes.is_empty() {
        mistakes.push(Mistake::of("roles", "none", wanted));
    }
    if mistakes.is_empty() {
        return Ok(Roles::of(&roles));
    }
    Err(Problem::mistaken("roles", mistakes))
}

pub(super) fn langs_of(tags: &[String]) -> Result<Vec<Lang>, Problem> {
    let lang = |tag: &String| {
        Lang::of_tag(tag).ok_or_else(|| Problem::invalid("languages", tag, "cs or en"))
    };
    tags.iter().map(lang).collect()
}

pub(super) fn sound_password(password: String) -> Result<String, Problem> {
    let (least, most) = (limits::PASSWORD_CHARS_MIN, limits::PASSWORD_BYTES_MAX);
    let count = password.chars().count();
    if count < least || password.len() > most {
        let found = format!("one of {count} characters");
        let wanted = format!("at least {least} characters and at most {most} bytes");
        return Err(Problem::invalid("password", &found, &wanted));
    }
    Ok(password)
}

/// In groups of four, for people who copy it by hand.
pub(super) fn grouped(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|it| it.iter().collect()).collect();
    groups.join("-")
}

/// When a time is, for people.
pub(super) fn at(time: Timestamp) -> String {
    rfc3339(time)
}
