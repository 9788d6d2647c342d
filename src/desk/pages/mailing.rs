//! Writing a mass mail: in each language, to whom, with the count and some of them at once; begun from an incident, from
//! an earlier mail, or from nothing. What was typed comes back with every mistake. Nothing leaves from here.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    extract::{Path, Query},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;

use super::{
    Frame, Posted, Visit,
    says::{Choice, hex},
    see,
    texts::Say,
};
use crate::clock;
use crate::desk::{
    asking::Asking,
    campaigns::{self, Drafted, Follows, Words as Texts, find as find_mail},
    directory::{Meant, Question},
    incidents::find as find_incident,
    problem::{Mistake, Problem},
};
use crate::model::{
    campaign::Kind,
    incident::{Incident, IncidentId, Reading},
    words::Lang,
};

/// In what time it can be delivered.
pub(super) const DELIVERS: [&str; 4] = ["4h", "24h", "48h", "72h"];
/// In what time unless somebody says otherwise.
const DELIVER: &str = "24h";
/// By what people can be chosen; each is a field of an audience and the end of its text's key.
pub(super) const PLACES: [&str; 6] = [
    "datacentre",
    "rack",
    "server",
    "service",
    "product",
    "language",
];
/// Of those who are meant so many are shown.
const SAMPLE: usize = 5;

/// What a mail begins with.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Begun {
    incident: String,
    correct: String,
    resend: String,
}

#[derive(Template)]
#[template(path = "draft.html", config = "src/desk/pages/askama.toml")]
struct Draft<'a> {
    frame: Frame<'a>,
    mistakes: Vec<String>,
    wrong: Vec<String>,
    once: String,
    /// The mail that is changed, and its generation.
    campaign: String,
    against: String,
    name: String,
    kinds: Vec<Choice>,
    whom: Vec<Whom>,
    places: Vec<Place>,
    audience: String,
    words: Vec<Words>,
    delivers: Vec<Choice>,
    at_once: bool,
    counted: Option<Counted>,
}

/// Whom it can go to.
struct Whom {
    value: String,
    says: String,
    chosen: bool,
}

/// A field by which people are chosen.
struct Place {
    name: &'static str,
    says: String,
    value: String,
}

/// The fields of one language.
struct Words {
    tag: &'static str,
    name: String,
    subject: String,
    text: String,
    html: String,
}

/// How many are meant, and some of them.
struct Counted {
    lines: Vec<String>,
    sample: Vec<String>,
}

/// Where recipients come from.
enum To {
    Audience(String),
    List(String),
    Follows(Follows),
}

impl Draft<'_> {
    /// Whether this field of the form is one of those that are wrong.
    fn is_wrong(&self, field: &str) -> bool {
        self.wrong.iter().any(|it| it == field)
    }

    fn is_wrong_in(&self, field: &str, tag: &str) -> bool {
        self.is_wrong(&format!("{field}-{tag}"))
    }
}

pub(super) async fn begin(visit: Visit, Query(begun): Query<Begun>) -> Response {
    let typed = match (
        begun.incident.as_str(),
        begun.correct.as_str(),
        begun.resend.as_str(),
    ) {
        ("", "", "") => Ok(visit.blank("", "")),
        ("", "", resend) => visit.after_mail(resend, "missed").await,
        ("", correct, _) => visit.after_mail(correct, "got").await,
        (incident, _, _) => visit.of_incident(incident),
    };
    match typed {
        Ok(typed) => visit.draft(StatusCode::OK, &Posted::of(typed), None, None),
        Err(problem) => visit.failed(&problem),
    }
}

pub(super) async fn change(visit: Visit, Path(id): Path<String>) -> Response {
    match visit.of_draft(&id).await {
        Ok(typed) => visit.draft(StatusCode::OK, &Posted::of(typed), None, None),
        Err(problem) => visit.failed(&problem),
    }
}

pub(super) async fn draft(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let to = visit.to(&posted);
    if posted.text("do") == "count" {
        return visit.count(&posted, to).await;
    }
    let (to, wrong) = match to {
        Ok(to) => (Some(to), None),
        Err(wrong) => (None, Some(wrong)),
    };
    let asked = visit.drafted(&posted, to);
    if let Some(wrong) = wrong {
        // What else is wrong is told with it.
        let mut all = campaigns::mistakes(&asked);
        all.insert(0, wrong);
        let problem = Problem::mistaken("the mail", all);
        return visit.draft(problem.status(), &posted, Some(&problem), None);
    }
    let asking = asking.once(posted.text("once"), "/mail");
    let content = posted.content();
    match visit.desk().draft_campaign(&asking, &content, &asked).await {
        Ok(shown) => see(&format!("/mail/{}", shown.0.campaign)),
        Err(problem) => visit.draft(problem.status(), &posted, Some(&problem), None),
    }
}

fn typed(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

/// A text that stays as it is where a template is read.
fn literal(text: &str) -> String {
    match ["{{", "{%", "{#"].iter().any(|it| text.contains(it)) {
        true => format!("{{% raw %}}{}{{% endraw %}}", text.replace("{%", "{ %")),
        false => text.to_owned(),
    }
}

impl Visit {
    /// A form in which nothing was written yet.
    fn blank(&self, name: &str, whom: &str) -> Vec<(String, String)> {
        typed(&[
            ("name", name),
            ("kind", Kind::Essential.name()),
            ("whom", whom),
            ("deliver", DELIVER),
        ])
    }

    /// What an incident says, for those whom it touches.
    fn of_incident(&self, id: &str) -> Result<Vec<(String, String)>, Problem> {
        let (id, it) = find_incident(&self.state, id)?;
        let whom = match self.state.directory.affects.contains_key(&id) {
            true => format!("incident:{id}"),
            false => String::new(),
        };
        let name = it.title(self.say.lang).1.to_owned();
        let mut all = self.blank(&name, &whom);
        let link = self.desk().relay.as_ref();
        let link = link.and_then(|it| (it.pages)(&id.to_string()));
        for lang in &self.desk().console.company.languages {
            let Some(text) = said(it, *lang) else {
                continue;
            };
            let body = self.body(it, (*lang, &text), link.as_deref());
            all.push((
                format!("subject-{}", lang.tag()),
                literal(it.title(*lang).1),
            ));
            all.push((format!("text-{}", lang.tag()), body));
        }
        Ok(all)
    }

    /// A mail about an incident: what was said last, which services of the reader it touches, when more follows.
    fn body(&self, it: &Incident, (lang, text): (Lang, &str), link: Option<&str>) -> String {
        let say = Say::in_lang(lang);
        let zone = &self.desk().console.company.zone;
        let mut body = format!("{}\n\n{}\n\n", say.it("mail-body-hello"), literal(text));
        let services = say.it("mail-body-services");
        body.push_str(&format!(
            "{{% if services %}}{services} {{{{ services | join(', ') }}}}\n\n{{% endif %}}"
        ));
        if let Some(by) = it.next_by.filter(|_| it.goes_on()) {
            let time = say.clock(zone, by, self.now);
            body.push_str(&say.with("mail-body-next", [("time", time.into())]));
            body.push('\n');
        }
        if let Some(link) = link {
            body.push_str(&say.with("mail-body-link", [("link", link.to_owned().into())]));
            body.push('\n');
        }
        body.push_str("\n{{ company }}\n");
        body
    }

    /// The texts of an earlier mail, for exactly those who got it, or who did not.
    async fn after_mail(&self, id: &str, who: &str) -> Result<Vec<(String, String)>, Problem> {
        let (id, earlier) = find_mail(&self.state, id)?;
        let mut all = self.blank(earlier.draft.name.as_str(), &format!("{who}:{id}"));
        let texts = self.desk().campaign_texts(&id.to_string()).await?;
        for (tag, it) in texts {
            let corrects = Lang::of_tag(&tag).filter(|_| who == "got");
            let subject = match corrects {
                Some(lang) => {
                    let parts = [("subject", it.subject.into())];
                    Say::in_lang(lang).with("mail-body-correction", parts)
                }
                None => it.subject,
            };
            all.push((format!("subject-{tag}"), subject));
            all.push((format!("text-{tag}"), it.text));
            all.extend(it.html.map(|html| (format!("html-{tag}"), html)));
        }
        Ok(all)
    }

    /// A draft that is changed; those whom it goes to stay unless others are chosen.
    async fn of_draft(&self, id: &str) -> Result<Vec<(String, String)>, Problem> {
        let (id, known) = find_mail(&self.state, id)?;
        let draft = &known.draft;
        let hours = format!("{}h", draft.deliver_ms / 3_600_000);
        let (id, generation) = (id.to_string(), known.generation.to_string());
        let mut all = typed(&[
            ("name", draft.name.as_str()),
            ("kind", draft.kind.name()),
            ("whom", &format!("list:{}", draft.list.0)),
            ("deliver", &hours),
            ("campaign", &id),
            ("against", &generation),
            ("at-once", if draft.waves { "" } else { "yes" }),
        ]);
        for (tag, it) in self.desk().campaign_texts(&id).await? {
            all.push((format!("subject-{tag}"), it.subject));
            all.push((format!("text-{tag}"), it.text));
            all.extend(it.html.map(|html| (format!("html-{tag}"), html)));
        }
        Ok(all)
    }

    /// Whom the form means.
    fn to(&self, posted: &Posted) -> Result<To, Mistake> {
        let nothing = |wanted: &str| Mistake::of("whom", "nothing", wanted);
        match posted.text("whom").split_once(':') {
            Some(("incident", id)) => {
                let known: Option<IncidentId> = id.parse().ok();
                let said = known.and_then(|it| self.state.directory.affects.get(&it));
                let wanted = "an incident of which it was said whom it touches";
                let said = said.ok_or_else(|| Mistake::of("whom", id, wanted))?;
                Ok(To::Audience(said.audience.as_str().to_owned()))
            }
            Some(("list", hash)) => Ok(To::List(hash.to_owned())),
            Some((who @ ("got" | "missed"), campaign)) => Ok(To::Follows(Follows {
                campaign: campaign.to_owned(),
                who: who.to_owned(),
            })),
            Some(_) | None => match posted.text("whom") {
                "all" => Ok(To::Audience("all".to_owned())),
                "places" => posted.places().map(To::Audience),
                "words" => match posted.text("audience").trim() {
                    "" => Err(Mistake::of("audience", "nothing", "whom, in words")),
                    words => Ok(To::Audience(words.to_owned())),
                },
                _ => Err(nothing("everybody, an incident, places, or words")),
            },
        }
    }

    fn drafted(&self, posted: &Posted, to: Option<To>) -> Drafted {
        let (subjects, texts) = (posted.by_lang("subject"), posted.by_lang("text"));
        let html = posted.by_lang("html");
        let all: BTreeMap<String, Texts> = Lang::ALL
            .iter()
            .map(|it| it.tag().to_owned())
            .filter(|it| subjects.contains_key(it) || texts.contains_key(it))
            .map(|tag| {
                let of = |all: &BTreeMap<String, String>| all.get(&tag).cloned();
                let words = Texts {
                    subject: of(&subjects).unwrap_or_default(),
                    text: of(&texts).unwrap_or_default(),
                    html: of(&html),
                };
                (tag, words)
            })
            .collect();
        let mut asked = Drafted {
            name: posted.text("name").trim().to_owned(),
            kind: posted.text("kind").to_owned(),
            texts: all,
            list: None,
            audience: None,
            follows: None,
            deliver: Some(posted.text("deliver").to_owned()),
            at_once: posted.text("at-once") == "yes",
            campaign: Some(posted.text("campaign").to_owned()).filter(|it| !it.is_empty()),
            against: posted.text("against").parse().ok(),
        };
        match to {
            Some(To::Audience(it)) => asked.audience = Some(it),
            Some(To::List(it)) => asked.list = Some(it),
            Some(To::Follows(it)) => asked.follows = Some(it),
            None => {}
        }
        asked
    }

    async fn count(&self, posted: &Posted, to: Result<To, Mistake>) -> Response {
        let audience = match to {
            Ok(To::Audience(it)) => it,
            // Those of an earlier mail or list are counted with the check, which comes next.
            Ok(To::List(_) | To::Follows(_)) => {
                let counted = Counted {
                    lines: vec![self.say.it("mail-count-later")],
                    sample: Vec::new(),
                };
                return self.draft(StatusCode::OK, posted, None, Some(counted));
            }
            Err(wrong) => {
                let problem = Problem::mistaken("the mail", vec![wrong]);
                return self.draft(problem.status(), posted, Some(&problem), None);
            }
        };
        let asked = Question {
            audience,
            lists: BTreeMap::new(),
            failed: None,
            avoid: Vec::new(),
            sample: SAMPLE,
        };
        match self.desk().ask_audience(asked).await {
            Ok(meant) => {
                let counted = self.counted(&meant);
                self.draft(StatusCode::OK, posted, None, Some(counted))
            }
            Err(problem) => self.draft(problem.status(), posted, Some(&problem), None),
        }
    }

    fn counted(&self, meant: &Meant) -> Counted {
        let count = |key, number: u64| self.say.with(key, [("count", number.into())]);
        let mut lines = vec![
            count("mail-meant", meant.customers),
            count("mail-reached", meant.reached),
        ];
        for (key, number) in [
            ("mail-off-net", meant.off_net),
            ("mail-on-failed", meant.on_failed),
        ] {
            if number > 0 {
                lines.push(count(key, number));
            }
        }
        for (tag, number) in &meant.languages {
            lines.push(format!("{}: {number}", self.say.it(&format!("in-{tag}"))));
        }
        let line = |it: &crate::directory::Addressee| {
            let name = it.name.clone().unwrap_or_default();
            let services = it.services.join(", ");
            format!("{} {name} {} {services}", it.customer, it.address)
        };
        Counted {
            lines,
            sample: meant.sample.iter().map(line).collect(),
        }
    }

    fn draft(
        &self,
        status: StatusCode,
        typed: &Posted,
        problem: Option<&Problem>,
        counted: Option<Counted>,
    ) -> Response {
        let field = |name: &str| typed.text(name).to_owned();
        let words = self.desk().console.company.languages.iter().map(|lang| {
            let tag = lang.tag();
            let own = |name: &str| field(&format!("{name}-{tag}"));
            Words {
                tag,
                name: self.say.it(&format!("in-{tag}")),
                subject: own("subject"),
                text: own("text"),
                html: own("html"),
            }
        });
        let places = PLACES.iter().map(|name| Place {
            name,
            says: self.say.it(&format!("mail-by-{name}")),
            value: field(&format!("by-{name}")),
        });
        let kinds = Kind::ALL.iter().map(|it| it.name());
        let fields = problem.map(Problem::fields).unwrap_or_default();
        let page = Draft {
            mistakes: problem.map(Problem::lines).unwrap_or_default(),
            wrong: fields.iter().map(|it| field_of(it)).collect(),
            once: hex(&clock::random_bytes::<16>()),
            campaign: field("campaign"),
            against: field("against"),
            name: field("name"),
            kinds: self.choices("mail-kind", kinds, typed.text("kind")),
            whom: self.whom(typed.text("whom")),
            places: places.collect(),
            audience: field("audience"),
            words: words.collect(),
            delivers: self.choices("mail-within", DELIVERS.into_iter(), typed.text("deliver")),
            at_once: typed.text("at-once") == "yes",
            counted,
            frame: self.frame(),
        };
        self.shown(status, &page)
    }

    /// Whom it can go to: those of an earlier mail or draft first, then everybody, incidents, places, words.
    fn whom(&self, chosen: &str) -> Vec<Whom> {
        let mut all: Vec<(String, String)> = Vec::new();
        let follows = chosen.split_once(':');
        let key = match follows.map(|it| it.0) {
            Some("list") => Some("mail-to-same"),
            Some("got") => Some("mail-to-got"),
            Some("missed") => Some("mail-to-missed"),
            _ => None,
        };
        if let Some(key) = key {
            all.push((chosen.to_owned(), self.say.it(key)));
        }
        all.push(("all".to_owned(), self.say.it("mail-to-all")));
        for (id, said) in &self.state.directory.affects {
            let Some(it) = self.state.incidents.all.get(id) else {
                continue;
            };
            let value = format!("incident:{id}");
            if it.goes_on() || value == chosen {
                let parts = [
                    ("title", it.title(self.say.lang).1.to_owned().into()),
                    ("audience", said.audience.as_str().to_owned().into()),
                ];
                all.push((value, self.say.with("mail-to-incident", parts)));
            }
        }
        for which in ["places", "words"] {
            all.push((which.to_owned(), self.say.it(&format!("mail-to-{which}"))));
        }
        let whom = |(value, says): (String, String)| Whom {
            chosen: value == chosen,
            value,
            says,
        };
        all.into_iter().map(whom).collect()
    }
}

impl Posted {
    /// An audience out of the fields by which people are chosen; all that are filled in count together.
    fn places(&self) -> Result<String, Mistake> {
        let mut terms = Vec::new();
        for name in PLACES {
            let field = format!("by-{name}");
            let values = self.text(&field).split(',').map(str::trim);
            let values: Vec<String> = values
                .filter(|it| !it.is_empty())
                .map(|it| format!("\"{it}\""))
                .collect();
            if values.iter().any(|it| it.matches('"').count() > 2) {
                let wanted = "names with commas between them, without quotes";
                return Err(Mistake::of(&field, self.text(&field), wanted));
            }
            if !values.is_empty() {
                terms.push(format!("{name}={}", values.join(",")));
            }
        }
        match terms.is_empty() {
            true => {
                let wanted = "at least one of datacentre, rack, server, service, product, language";
                Err(Mistake::of("whom", "nothing", wanted))
            }
            false => Ok(terms.join(" and ")),
        }
    }
}

/// The form's field for a field of the API, such as `text-cs` for `cs.txt, line 3`.
fn field_of(api: &str) -> String {
    let place = api.split(',').next().unwrap_or_default();
    match place.split_once('.') {
        Some((tag, "subject")) => format!("subject-{tag}"),
        Some((tag, "txt" | "html")) => format!("text-{tag}"),
        _ => match place {
            "audience" | "list" | "who" => "whom".to_owned(),
            other => other.to_owned(),
        },
    }
}

/// What was said last in a language and still stands.
fn said(it: &Incident, lang: Lang) -> Option<String> {
    let updates = it.updates.iter().rev();
    let mut standing = updates.filter(|it| it.withdrawn.is_none());
    match standing.next()?.reading(lang) {
        Reading::Current(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// Every text that is put together from what can be chosen.
#[cfg(test)]
pub(super) fn kinds() -> Vec<String> {
    let within = DELIVERS.iter().map(|it| format!("mail-within-{it}"));
    let kinds = Kind::ALL
        .iter()
        .map(|it| format!("mail-kind-{}", it.name()));
    let places = PLACES.iter().map(|it| format!("mail-by-{it}"));
    let to = ["places", "words"].map(|it| format!("mail-to-{it}"));
    within.chain(kinds).chain(places).chain(to).collect()
}
