//! The texts of a campaign in each of its languages, and the press that makes one person's words of them.
//!
//! Templates are the operators'; what they say of a customer is a value and never read as a template. A value that is
//! missing is a mistake, not a gap. HTML is escaped by itself. A subject is one line, so that no header can be slipped in.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::{Deserialize, Serialize};

use crate::directory::Addressee;
use crate::model::limits::{CAMPAIGN_MAIL_BYTES_MAX, SUBJECT_CHARS_MAX, TEMPLATE_STEPS_MAX};
use crate::model::words::Lang;

/// The texts by BCP 47 tag, as they are stored.
pub type Texts = BTreeMap<String, Words>;

/// The templates of one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// One line.
    pub subject: String,
    /// The mail as plain text.
    pub text: String,
    /// The same as HTML, for programs that show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

/// What is wrong with a text or with what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Which template, such as `cs.txt`, with the line in it where that is known.
    pub place: String,
    /// What was found; never a customer's words.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
}

/// One person's mail in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The language it is in.
    pub lang: Lang,
    /// It is not the language that the person reads.
    pub other_lang: bool,
    /// One line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: Option<String>,
}

/// The templates, ready to be filled.
pub struct Press {
    environment: Environment<'static>,
    langs: BTreeMap<Lang, bool>,
    company: String,
}

impl Press {
    /// Reads the templates.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(texts: &Texts, company: &str) -> Result<Press, Vec<Flaw>> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(TEMPLATE_STEPS_MAX));
        environment.set_auto_escape_callback(|name| match name.ends_with(".html") {
            true => AutoEscape::Html,
            false => AutoEscape::None,
        });
        let (mut langs, mut flaws) = (BTreeMap::new(), Vec::new());
        for (tag, words) in texts {
            let Some(lang) = Lang::of_tag(tag).filter(|it| it.tag() == tag) else {
                let known = Lang::ALL.map(Lang::tag).join(" or ");
                flaws.push(flaw("texts", tag, &known));
                continue;
            };
            langs.insert(lang, words.html.is_some());
            let html = words.html.as_ref().map(|it| ("html", it));
            let parts = [("subject", &words.subject), ("txt", &words.text)];
            for (part, template) in parts.into_iter().chain(html) {
                let name = format!("{tag}.{part}");
                if template.trim().is_empty() {
                    flaws.push(flaw(&name, "nothing", "a text"));
                }
                if let Err(error) = environment.add_template_owned(name.clone(), template.clone()) {
                    flaws.push(told(&name, &error));
                }
            }
            flaws.extend(words.html.as_ref().and_then(|it| insecure(tag, it)));
        }
        if langs.is_empty() && flaws.is_empty() {
            flaws.push(flaw("texts", "nothing", "a text in one language or more"));
        }
        if !flaws.is_empty() {
            return Err(flaws);
        }
        Ok(Press {
            environment,
            langs,
            company: company.to_owned(),
        })
    }

    /// One person's mail.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn render(&self, who: &Addressee) -> Result<Rendered, Flaw> {
        let lang = self.lang_for(who.lang);
        let values = self.values(who, lang);
        let tag = lang.tag();
        let subject = self.part(&format!("{tag}.subject"), &values)?;
        let subject = subject.trim().to_owned();
        let place = format!("{tag}.subject");
        if subject.is_empty() {
            return Err(flaw(&place, "nothing", "a subject"));
        }
        if subject.chars().any(char::is_control) {
            return Err(flaw(&place, "several lines", "one line"));
        }
        let length = subject.chars().count();
        if length > SUBJECT_CHARS_MAX {
            let wanted = format!("at most {SUBJECT_CHARS_MAX} characters");
            return Err(flaw(&place, &format!("{length} characters"), &wanted));
        }
        let text = self.part(&format!("{tag}.txt"), &values)?;
        let html = match self.langs.get(&lang) {
            Some(true) => Some(self.part(&format!("{tag}.html"), &values)?),
            _ => None,
        };
        let bytes = text.len() + html.as_ref().map_or(0, String::len);
        if bytes > CAMPAIGN_MAIL_BYTES_MAX {
            let wanted =
                format!("at most {CAMPAIGN_MAIL_BYTES_MAX} bytes: larger mails are cut off");
            return Err(flaw(
                &format!("{tag}.txt"),
                &format!("{bytes} bytes"),
                &wanted,
            ));
        }
        Ok(Rendered {
            lang,
            other_lang: lang != who.lang,
            subject,
            text,
            html,
        })
    }

    /// The person's language where there is a text in it; else English, else whatever there is.
    fn lang_for(&self, wanted: Lang) -> Lang {
        [wanted, Lang::En]
            .into_iter()
            .find(|it| self.langs.contains_key(it))
            .or_else(|| self.langs.keys().next().copied())
            .unwrap_or(wanted)
    }

    fn values(&self, who: &Addressee, lang: Lang) -> Value {
        let mut values: BTreeMap<String, Value> = BTreeMap::new();
        for (name, value) in &who.values {
            values.insert(name.clone(), Value::from(value.as_str()));
        }
        let services: Vec<Value> = who
            .services
            .iter()
            .map(|it| Value::from(it.as_str()))
            .collect();
        values.insert("services".to_owned(), Value::from(services));
        values.insert("customer".to_owned(), Value::from(who.customer.as_str()));
        values.insert("address".to_owned(), Value::from(who.address.as_str()));
        values.insert("company".to_owned(), Value::from(self.company.as_str()));
        values.insert("lang".to_owned(), Value::from(lang.tag()));
        if let Some(name) = &who.name {
            values.insert("name".to_owned(), Value::from(name.as_str()));
        }
        Value::from(values)
    }

    fn part(&self, name: &str, values: &Value) -> Result<String, Flaw> {
        let template = self.environment.get_template(name);
        template
            .and_then(|it| it.render(values.clone()))
            .map_err(|error| told(name, &error))
    }
}

/// Links that anybody on the way can change do not belong into a mail that asks to be believed.
fn insecure(tag: &str, html: &str) -> Option<Flaw> {
    let found = html.to_ascii_lowercase();
    let at = found
        .find("href=\"http://")
        .or_else(|| found.find("src=\"http"))?;
    let line = 1 + html[..at].matches('\n').count();
    let place = format!("{tag}.html, line {line}");
    let found = "a link over http:// or a picture from outside";
    let wanted = "https:// links and no pictures from outside: they would tell who reads it";
    Some(flaw(&place, found, wanted))
}

fn flaw(place: &str, found: &str, wanted: &str) -> Flaw {
    Flaw {
        place: place.to_owned(),
        found: found.to_owned(),
        wanted: wanted.to_owned(),
    }
}

fn told(name: &str, error: &minijinja::Error) -> Flaw {
    let line = error
        .line()
        .map_or(String::new(), |it| format!(", line {it}"));
    let found = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let wanted = match error.kind() {
        minijinja::ErrorKind::UndefinedError => {
            "a value that every recipient has, or one with a default"
        }
        minijinja::ErrorKind::OutOfFuel => "a shorter loop",
        _ => "a template as the manual describes it",
    };
    flaw(&format!("{name}{line}"), &found, wanted)
}
