//! A draft of the post-mortem in Markdown: the facts are filled in, the judgement is left to people.

use std::fmt::Write;

use super::{Incident, IncidentId, Lang, Reading, State, rfc3339, views::Timeline};

/// The draft.
pub(super) fn markdown(state: &State, id: IncidentId, incident: &Incident) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, state, id, incident);
    text
}

fn write(
    text: &mut String,
    state: &State,
    id: IncidentId,
    incident: &Incident,
) -> std::fmt::Result {
    writeln!(text, "# {}\n", line(incident.title(Lang::En).1))?;
    writeln!(text, "- Incident: {id}")?;
    writeln!(text, "- Severity: {}", incident.severity.name())?;
    writeln!(text, "- Opened: {}", rfc3339(incident.opened))?;
    let ended = incident.ended.map_or_else(
        || "not yet".to_owned(),
        |at| {
            let minutes = at.ms_since(incident.opened) / 60_000;
            format!("{} ({minutes} min)", rfc3339(at))
        },
    );
    writeln!(text, "- Ended: {ended}")?;
    for (component, impact) in &incident.affected {
        writeln!(text, "- Affected: {component}, {}", impact.name())?;
    }
    writeln!(text, "\n## What was said\n")?;
    said(text, incident)?;
    writeln!(
        text,
        "## Timeline\n\n| When | Who | Node | What | About |\n|---|---|---|---|---|"
    )?;
    for it in Timeline::of(state, id, incident).lines() {
        let refused = it
            .refused
            .as_deref()
            .map(|why| format!(" (refused: {why})"));
        let about = format!("{}{}", it.about, refused.unwrap_or_default());
        let node = it.node.as_deref().unwrap_or("");
        let (who, about) = (line(&it.who), line(&about));
        writeln!(
            text,
            "| {} | {who} | {node} | {} | {about} |",
            it.at, it.what
        )?;
    }
    let open = [
        "What happened",
        "Why",
        "What went well",
        "What did not",
        "What we change",
    ];
    for heading in open {
        writeln!(text, "\n## {heading}\n")?;
    }
    Ok(())
}

/// Every update with its edits and withdrawals.
fn said(text: &mut String, incident: &Incident) -> std::fmt::Result {
    for (update, number) in incident.updates.iter().zip(1_u32..) {
        let (at, by) = (rfc3339(update.at), line(&update.by));
        writeln!(
            text,
            "### {number}. {at}, {}, by {by}\n",
            update.stage.name()
        )?;
        for lang in Lang::ALL {
            if let Reading::Current(said) = update.reading(lang) {
                writeln!(text, "{}:\n\n{}\n", lang.tag(), quoted(said.as_str()))?;
            }
        }
        for edit in &update.edits {
            writeln!(
                text,
                "Edited {} by {}; before:\n",
                rfc3339(edit.at),
                line(&edit.by)
            )?;
            for (lang, before) in &edit.before {
                writeln!(
                    text,
                    "{}:\n\n{}\n",
                    lang.tag(),
                    quoted(before.text.as_str())
                )?;
            }
        }
        if let Some(mark) = &update.withdrawn {
            let (at, by, why) = (rfc3339(mark.at), line(&mark.by), line(mark.reason.as_str()));
            writeln!(text, "Withdrawn {at} by {by}: {why}\n")?;
        }
    }
    Ok(())
}

/// Text that stays one line and one cell, whatever was typed.
fn line(text: &str) -> String {
    let mut line = String::new();
    for letter in text.chars() {
        match letter {
            '\n' | '\r' | '\t' => line.push(' '),
            '|' | '<' | '`' | '[' | '\\' | '*' | '_' => line.extend(['\\', letter]),
            _ => line.push(letter),
        }
    }
    line
}

fn quoted(text: &str) -> String {
    let lines = text.lines().map(|it| format!("> {it}"));
    lines.collect::<Vec<_>>().join("\n")
}
