//! What was typed into the forms about what the company says: words by language, components, promises, a place.

use super::Posted;
use crate::desk::incidents::Texts;
use crate::model::words::Lang;

/// The place of prepared texts, as it stands in their words.
const PLACE: &str = "{where}";

impl Posted {
    /// The fields `NAME-LANG` that are not empty.
    pub(super) fn by_lang(&self, name: &str) -> Texts {
        let field = |lang: &Lang| self.text(&format!("{name}-{}", lang.tag())).trim();
        let given = Lang::ALL.iter().map(|lang| (lang.tag(), field(lang)));
        given
            .filter(|it| !it.1.is_empty())
            .map(|(tag, text)| (tag.to_owned(), text.replace("\r\n", "\n")))
            .collect()
    }

    /// What was chosen for each component, as far as it is affected.
    pub(super) fn affected(&self) -> Texts {
        let parts = self.0.fields.iter().filter_map(|(name, how)| {
            let part = name.strip_prefix("part-")?;
            (!how.is_empty()).then(|| (part.to_owned(), how.clone()))
        });
        parts.collect()
    }

    pub(super) fn span(&self) -> Option<String> {
        Some(self.text("next").to_owned()).filter(|it| !it.is_empty())
    }

    pub(super) fn against(&self) -> u64 {
        self.text("against").parse().unwrap_or_default()
    }

    /// The same with the place of a prepared text filled in, where it was typed.
    pub(super) fn with_place(mut self) -> Self {
        let place = self.text("where").trim().to_owned();
        if place.is_empty() {
            return self;
        }
        for (name, text) in &mut self.0.fields {
            if name.starts_with("title-") || name.starts_with("text-") {
                *text = text.replace(PLACE, &place);
            }
        }
        self
    }

    /// What was typed for that place, where the words have it or it was typed.
    pub(super) fn place(&self) -> Option<String> {
        let words = ["title", "text"].map(|it| self.by_lang(it));
        let mut words = words.iter().flat_map(|it| it.values());
        let typed = self.text("where");
        (!typed.is_empty() || words.any(|it| it.contains(PLACE))).then(|| typed.to_owned())
    }

    /// Everything that was typed, for the write's id.
    pub(super) fn content(&self) -> Vec<u8> {
        let mut all = form_urlencoded::Serializer::new(String::new());
        all.extend_pairs(
            self.0
                .fields
                .iter()
                .filter(|it| it.0 != "form" && it.0 != "do"),
        );
        all.finish().into_bytes()
    }
}
