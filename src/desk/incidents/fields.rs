//! Reads the fields of what is to be said, and collects everything that is wrong with them.

use imbl::OrdMap;

use super::{
    Impact, Label, Lang, Mistake, Problem, Said, Texts, Timestamp, Title, Window, Wrong,
    of_rfc3339, scenarios, span_ms,
};

/// What a field that was refused leaves behind; the mistakes are told before anybody comes here.
pub(super) fn missed() -> Problem {
    Problem::invalid("the body", "something else", "what the path takes")
}

/// Reads fields and collects what is wrong with all of them, so that a person learns it at once.
#[derive(Default)]
pub(super) struct Fields(Vec<Mistake>);

impl Fields {
    pub(super) fn of<T>(&mut self, field: &str, found: &str, read: Result<T, Wrong>) -> Option<T> {
        read.map_err(|wrong| self.0.push(Mistake::of(field, found, &wrong.wanted)))
            .ok()
    }

    pub(super) fn done(self) -> Result<Option<()>, Problem> {
        if self.0.is_empty() {
            return Ok(Some(()));
        }
        Err(Problem::mistaken("what is to be said", self.0))
    }

    pub(super) fn label(&mut self, field: &str, text: &str) -> Option<Label> {
        self.of(field, text, Label::new(text))
    }

    pub(super) fn word<T: std::str::FromStr<Err = Wrong>>(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<T> {
        self.of(field, text, text.parse())
    }

    pub(super) fn lang(&mut self, field: &str, tag: &str) -> Option<Lang> {
        let lang = Lang::ALL.into_iter().find(|it| it.tag() == tag);
        let lang = lang.ok_or_else(|| Wrong::wanted("a language: cs or en"));
        self.of(field, tag, lang)
    }

    pub(super) fn titles(&mut self, field: &str, given: &Texts) -> OrdMap<Lang, Title> {
        let read = given.iter().filter_map(|(tag, text)| {
            let lang = self.lang(field, tag)?;
            let title = scenarios::filled(text).and_then(|()| Title::new(text.trim()));
            Some((lang, self.of(field, text, title)?))
        });
        read.collect()
    }

    pub(super) fn texts(&mut self, given: &Texts) -> OrdMap<Lang, Said> {
        let read = given.iter().filter_map(|(tag, text)| {
            let lang = self.lang("texts", tag)?;
            let said = scenarios::filled(text).and_then(|()| Said::new(text));
            Some((lang, self.of("texts", text, said)?))
        });
        read.collect()
    }

    pub(super) fn affected(&mut self, given: &Texts) -> OrdMap<Label, Impact> {
        let read = given.iter().filter_map(|(component, impact)| {
            let component = self.label("affected", component)?;
            Some((component, self.word("affected", impact)?))
        });
        read.collect()
    }

    pub(super) fn span(&mut self, given: Option<&String>) -> Option<u64> {
        let text = given?;
        let read = span_ms(text).ok_or_else(|| Wrong::wanted("a time span such as 45m"));
        self.of("next", text, read)
    }

    pub(super) fn time(&mut self, field: &str, text: &str) -> Option<Timestamp> {
        let wanted = || Wrong::wanted("a time in UTC such as 2026-11-23T17:40:00.000Z");
        self.of(field, text, of_rfc3339(text).ok_or_else(wanted))
    }

    pub(super) fn window(
        &mut self,
        from: Option<&String>,
        until: Option<&String>,
    ) -> Option<Window> {
        match (from, until) {
            (None, None) => None,
            (Some(from), Some(until)) => Some(Window {
                from: self.time("from", from)?,
                until: self.time("until", until)?,
            }),
            (_, until) => {
                let field = if until.is_some() { "from" } else { "until" };
                let wanted = Wrong::wanted("a time, as the other one is given");
                self.of::<Window>(field, "nothing", Err(wanted))
            }
        }
    }
}
