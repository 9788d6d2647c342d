//! What a message says at the other end of a bridge. A customer's words can call nobody there, and hide nothing.

use serde_json::{Value, json};

use crate::model::{
    State,
    bridge::{Carried, agent_of},
    when::rfc3339,
    words::{Label, Lang, TicketCode, Timestamp},
};
use crate::seal::{Keyring, conversation_context};

/// A message as it is told elsewhere.
pub(super) struct Words<'a> {
    bridge: &'a str,
    ticket: &'a TicketCode,
    number: usize,
    agent: Option<&'a str>,
    text: String,
    files: usize,
    lang: Lang,
    speaks: Lang,
    at: Timestamp,
}

impl<'a> Words<'a> {
    /// Opens a message; nothing where the key for it is not here.
    pub(super) fn of(keyring: &Keyring, state: &State, it: &Carried<'a>) -> Option<Self> {
        let opened = keyring.open(&conversation_context(&it.id), &it.message.body)?;
        Some(Self {
            bridge: it.name.as_str(),
            ticket: &it.conversation.ticket,
            number: it.number,
            agent: agent_of(it.message).map(Label::as_str),
            text: String::from_utf8(opened).ok()?,
            files: state.files.of(&it.id, &it.message.id).len(),
            lang: it.conversation.lang,
            speaks: it.bridge.facts.speaks,
            at: it.message.agreed,
        })
    }

    /// For programs. Fields are added, never taken out or given another meaning.
    pub(super) fn json(&self) -> Value {
        json!({
            "version": 1,
            "kind": "message",
            "bridge": self.bridge,
            "conversation": self.ticket.to_string(),
            "number": self.number,
            "author": if self.agent.is_some() { "agent" } else { "customer" },
            "agent": self.agent,
            "text": self.text,
            "files": self.files,
            "lang": self.lang.tag(),
            "at": rfc3339(self.at),
        })
    }

    /// For a room of people.
    pub(super) fn line(&self) -> String {
        let who = match (self.agent, self.speaks) {
            (Some(name), _) => name,
            (None, Lang::Cs) => "zákazník",
            (None, Lang::En) => "customer",
        };
        let files = match (self.files, self.speaks) {
            (0, _) => String::new(),
            (count, Lang::Cs) => format!("\n(příloh: {count}, jsou v konzoli)"),
            (count, Lang::En) => format!("\n(files: {count}, in the console)"),
        };
        let text = harmless(&self.text);
        format!("[{} #{}] {who}: {text}{files}", self.ticket, self.number)
    }

    /// For a Matrix room, in the conversation's thread where there is one.
    pub(super) fn event(&self, thread: Option<&str>) -> Value {
        let mut event = json!({"msgtype": "m.text", "body": self.line(), "m.mentions": {}});
        if let Some(first) = thread {
            event["m.relates_to"] = json!({
                "rel_type": "m.thread",
                "event_id": first,
                "is_falling_back": true,
                "m.in_reply_to": {"event_id": first},
            });
        }
        event
    }
}

/// Without marks that change the direction or hide letters, and so that no room takes anything in it for calling people: a
/// word joiner (U+2060) follows what mentions begin with.
pub(super) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars().filter(|it| !is_hidden(*it)) {
        out.push(letter);
        if matches!(letter, '@' | '<') {
            out.push('\u{2060}');
        }
    }
    out
}

/// Controls but the line feed, and marks of direction and of nothing (Unicode TR 36 section 2.6).
pub(super) fn is_hidden(letter: char) -> bool {
    (letter.is_control() && letter != '\n')
        || matches!(letter, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}' | '\u{061C}')
}

/// What a test says.
pub(super) fn test(bridge: &Label, speaks: Lang) -> String {
    match speaks {
        Lang::Cs => format!("Zkouška mostu {bridge}: nic se nestalo, odpovídat není třeba."),
        Lang::En => format!("Test of the bridge {bridge}: nothing happened, no answer is needed."),
    }
}

/// Why something did not reach a customer.
pub(super) fn not_sent(speaks: Lang, why: &str) -> String {
    match speaks {
        Lang::Cs => format!("Zákazníkovi nic neodešlo: {why}"),
        Lang::En => format!("Nothing went to the customer: {why}"),
    }
}

/// That an answer stays what it was.
pub(super) fn stays_said(speaks: Lang) -> String {
    match speaks {
        Lang::Cs => "úprava ani smazání ho nezmění, odpověď už má. Napište novou.",
        Lang::En => {
            "an edit or a deletion changes nothing, the answer is there already. Write a new one."
        }
    }
    .to_owned()
}

/// That only text is carried.
pub(super) fn only_text(speaks: Lang) -> String {
    match speaks {
        Lang::Cs => "most přenáší jen text. Soubory posílejte z konzole.",
        Lang::En => "the bridge carries text only. Send files from the console.",
    }
    .to_owned()
}
