//! What a playbook's file says, read into the model's words; and the same written back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::desk::{
    incidents::Texts,
    people::{label, note},
    problem::{Mistake, Problem},
};
use crate::model::{
    incident::{Impact, Severity, Title},
    limits,
    playbook::{Act, Book, Passage, Phone, Publish, Short, Step, Words},
    when::{of_rfc3339, rfc3339, span_ms, spoken_span},
    words::{Label, Lang, Text, Timestamp},
};

/// A playbook.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Playbook)]
pub(in crate::desk) struct Written {
    /// What it is for.
    title: String,
    /// The day after which a printed copy is thrown away, such as `2027-02-22`.
    expires: String,
    /// Whom to call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    phones: Vec<Number>,
    /// Where the sealed envelopes are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    envelopes: Vec<String>,
    /// Each is one printed side.
    passages: Vec<Part>,
    /// Only look whether it is sound.
    #[serde(default, skip_serializing)]
    pub(super) dry_run: bool,
}

/// Whom to call.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlaybookPhone)]
struct Number {
    who: String,
    number: String,
}

/// Steps that belong together.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlaybookPassage)]
struct Part {
    title: String,
    steps: Vec<OneStep>,
}

/// A step; with one of `publish`, `switch` and `wake` Lifeboat does it.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlaybookStep)]
struct OneStep {
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<Opens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    switch: Option<Switches>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wake: Option<String>,
}

/// The incident that a step opens.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlaybookPublish)]
struct Opens {
    /// By language.
    titles: Texts,
    /// By language.
    texts: Texts,
    /// minor, major or critical; left out, major.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<String>,
    /// How badly which component is affected: maintenance, limited or down.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    affected: Texts,
    /// In what time the next update is promised, such as `45m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The channels that are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tell: Vec<String>,
}

/// The service that a step switches.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlaybookSwitch)]
struct Switches {
    service: String,
    to: String,
    /// Such as `12h`; left out, as long as a switch by hand.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasts: Option<String>,
}

impl Written {
    /// In the model's words; all mistakes at once.
    pub(super) fn book(&self) -> Result<Book, Problem> {
        let mut wrong = Vec::new();
        let title = title("title", &self.title, &mut wrong);
        let expires = of_rfc3339(&format!("{}T00:00:00.000Z", self.expires));
        if expires.is_none() {
            let wanted = "a day such as 2027-02-22";
            wrong.push(Mistake::of("expires", &self.expires, wanted));
        }
        let phones = self.phones.iter().zip(1..).map(|(it, number)| Phone {
            who: short(&format!("phones.{number}.who"), &it.who, &mut wrong),
            number: short(&format!("phones.{number}.number"), &it.number, &mut wrong),
        });
        let phones = phones.collect();
        let envelopes = self.envelopes.iter().zip(1..);
        let envelopes = envelopes
            .map(|(it, number)| short(&format!("envelopes.{number}"), it, &mut wrong))
            .collect();
        let passages = self.passages.iter().zip(1..);
        let passages = passages
            .map(|(it, number)| it.passage(&format!("passages.{number}"), &mut wrong))
            .collect();
        if !wrong.is_empty() {
            return Err(Problem::mistaken("the playbook", wrong));
        }
        Ok(Book {
            title,
            expires: expires.unwrap_or_default(),
            phones,
            envelopes,
            passages,
        })
    }

    /// As the file says it.
    pub(super) fn of(book: &Book) -> Self {
        let text = |it: &Short| it.as_str().to_owned();
        Self {
            title: book.title.as_str().to_owned(),
            expires: day(book.expires),
            phones: book
                .phones
                .iter()
                .map(|it| Number {
                    who: text(&it.who),
                    number: text(&it.number),
                })
                .collect(),
            envelopes: book.envelopes.iter().map(text).collect(),
            passages: book.passages.iter().map(Part::of).collect(),
            dry_run: false,
        }
    }
}

/// The day of a time.
pub(super) fn day(at: Timestamp) -> String {
    rfc3339(at).split('T').next().unwrap_or_default().to_owned()
}

fn title(field: &str, text: &str, wrong: &mut Vec<Mistake>) -> Title {
    Title::new(text).unwrap_or_else(|it| {
        wrong.push(Mistake::of(field, text, &it.wanted));
        Title::default()
    })
}

fn short(field: &str, text: &str, wrong: &mut Vec<Mistake>) -> Short {
    Short::new(text).unwrap_or_else(|it| {
        wrong.push(Mistake::of(field, text, &it.wanted));
        Short::default()
    })
}

impl Part {
    fn passage(&self, at: &str, wrong: &mut Vec<Mistake>) -> Passage {
        let steps = self.steps.iter().zip(1..).map(|(step, number)| {
            let at = format!("{at}.steps.{number}");
            let says = Words::new(&step.says).unwrap_or_else(|it| {
                wrong.push(Mistake::of(&format!("{at}.says"), &step.says, &it.wanted));
                Words::default()
            });
            let act = step.act(&at).unwrap_or_else(|mistake| {
                wrong.push(mistake);
                None
            });
            Step { says, act }
        });
        let steps = steps.collect();
        Passage {
            title: title(&format!("{at}.title"), &self.title, wrong),
            steps,
        }
    }

    fn of(it: &Passage) -> Self {
        Self {
            title: it.title.as_str().to_owned(),
            steps: it.steps.iter().map(OneStep::of).collect(),
        }
    }
}

impl OneStep {
    fn act(&self, at: &str) -> Result<Option<Act>, Mistake> {
        let several = || {
            let wanted = "one of publish, switch and wake, or none of them";
            Err(Mistake::of(at, "several things to do", wanted))
        };
        match (&self.publish, &self.switch, &self.wake) {
            (None, None, None) => Ok(None),
            (Some(it), None, None) => it.publish(at).map(|it| Some(Act::Publish(it))),
            (None, Some(it), None) => it.switch(at).map(Some),
            (None, None, Some(text)) => {
                let text = note("wake", text);
                let wanted = "one line of at most 300 bytes";
                let text = text.map_err(|_| Mistake::of(&format!("{at}.wake"), "more", wanted));
                Ok(Some(Act::Wake { text: text? }))
            }
            _ => several(),
        }
    }

    fn of(it: &Step) -> Self {
        let mut step = Self {
            says: it.says.as_str().to_owned(),
            publish: None,
            switch: None,
            wake: None,
        };
        match &it.act {
            None => {}
            Some(Act::Publish(it)) => step.publish = Some(Opens::of(it)),
            Some(Act::Switch {
                service,
                target,
                for_ms,
            }) => {
                step.switch = Some(Switches {
                    service: service.to_string(),
                    to: target.to_string(),
                    lasts: Some(spoken_span(*for_ms)),
                });
            }
            Some(Act::Wake { text }) => step.wake = Some(text.as_str().to_owned()),
        }
        step
    }
}

impl Opens {
    fn publish(&self, at: &str) -> Result<Publish, Mistake> {
        let lang = |field: &str, tag: &str| {
            let field = format!("{at}.publish.{field}");
            Lang::of_tag(tag).ok_or_else(|| Mistake::of(&field, tag, "cs or en"))
        };
        let titles = self.titles.iter().map(|(tag, text)| {
            let known = Title::new(text);
            let known =
                known.map_err(|it| Mistake::of(&format!("{at}.publish.titles"), text, &it.wanted));
            Ok((lang("titles", tag)?, known?))
        });
        let texts = self.texts.iter().map(|(tag, text)| {
            let known = Text::new(text);
            let known =
                known.map_err(|it| Mistake::of(&format!("{at}.publish.texts"), text, &it.wanted));
            Ok((lang("texts", tag)?, known?))
        });
        let affected = self.affected.iter().map(|(name, how)| {
            let field = format!("{at}.publish.affected");
            let component = Label::new(name).map_err(|it| Mistake::of(&field, name, &it.wanted))?;
            let impact: Impact = how
                .parse()
                .map_err(|it: crate::model::words::Wrong| Mistake::of(&field, how, &it.wanted))?;
            Ok((component, impact))
        });
        let tell = self.tell.iter().map(|name| {
            let field = format!("{at}.publish.tell");
            Label::new(name).map_err(|it| Mistake::of(&field, name, &it.wanted))
        });
        let severity = self.severity.as_deref().unwrap_or("major");
        let wanted = "minor, major or critical";
        let severity: Severity = severity
            .parse()
            .map_err(|_| Mistake::of(&format!("{at}.publish.severity"), severity, wanted))?;
        let next_ms = self.next.as_deref().map(|text| {
            let field = format!("{at}.publish.next");
            span_ms(text).ok_or_else(|| Mistake::of(&field, text, "a time such as 45m"))
        });
        if self.titles.is_empty() || self.texts.is_empty() {
            let wanted = "a title and a text in one language or more";
            return Err(Mistake::of(&format!("{at}.publish"), "nothing", wanted));
        }
        Ok(Publish {
            titles: titles.collect::<Result<_, Mistake>>()?,
            texts: texts.collect::<Result<_, Mistake>>()?,
            severity,
            affected: affected.collect::<Result<_, Mistake>>()?,
            next_ms: next_ms.transpose()?,
            tell: tell.collect::<Result<_, Mistake>>()?,
        })
    }

    fn of(it: &Publish) -> Self {
        let titles = it.titles.iter();
        let texts = it.texts.iter();
        let affected = it.affected.iter();
        Self {
            titles: titles
                .map(|(lang, it)| (lang.tag().to_owned(), it.as_str().to_owned()))
                .collect(),
            texts: texts
                .map(|(lang, it)| (lang.tag().to_owned(), it.as_str().to_owned()))
                .collect(),
            severity: Some(it.severity.name().to_owned()),
            affected: affected
                .map(|(name, it)| (name.to_string(), it.name().to_owned()))
                .collect(),
            next: it.next_ms.map(spoken_span),
            tell: it.tell.iter().map(Label::to_string).collect(),
        }
    }
}

impl Switches {
    fn switch(&self, at: &str) -> Result<Act, Mistake> {
        let name = |field: &str, text: &str| {
            let wrong = label(field, text).err();
            let found = Label::new(text).ok();
            let field = format!("{at}.switch.{field}");
            found.ok_or_else(|| {
                let wanted = wrong.map_or_else(String::new, |_| "a name".to_owned());
                Mistake::of(&field, text, &wanted)
            })
        };
        let (least, most) = limits::PIN_MS;
        let lasts = self.lasts.as_deref().map(|text| {
            let ms = span_ms(text).filter(|it| (least..=most).contains(it));
            let wanted = "a time such as 12h, as long as a switch by hand may last";
            ms.ok_or_else(|| Mistake::of(&format!("{at}.switch.for"), text, wanted))
        });
        Ok(Act::Switch {
            service: name("service", &self.service)?,
            target: name("to", &self.to)?,
            for_ms: lasts.transpose()?.unwrap_or(limits::PIN_MS_DEFAULT),
        })
    }
}
