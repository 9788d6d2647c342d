//! Answers to many: one to all who asked about the same, and answers that are prepared before anybody asks.
//!
//! An answer to all goes to as many as whoever asks has counted, and to each once under the key of who asks (P7).

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    people::label,
    problem::{Mistake, Problem},
    seen::{Sought, Wanted, Whose, seen},
};
use crate::model::{
    Command, limits,
    talk::TalkChange,
    words::{ConversationId, Label, Lang, MessageText},
};

/// Answers of one "answer all" on their way side by side.
const SIDE_BY_SIDE: usize = 16;

/// One answer to all open conversations with a tag.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerAll {
    /// The tag.
    pub(super) tag: String,
    /// What is answered, by language; customers of other languages get the first.
    pub(super) texts: BTreeMap<String, String>,
    /// How many conversations that is, counted by whoever asks; another number is refused.
    pub(super) count: usize,
}

/// What became of an answer to all.
#[derive(Serialize, ToSchema)]
pub(super) struct AnsweredAll {
    /// A majority has so many of the answers.
    pub(super) agreed: usize,
    /// This node holds so many and passes them on.
    pub(super) held: usize,
    /// Ticket codes of those that were not answered, with why.
    pub(super) failed: BTreeMap<String, String>,
}

/// Prepared answers.
#[derive(Serialize, ToSchema)]
struct Prepared {
    answers: BTreeMap<String, PreparedAnswer>,
}

/// A prepared answer.
#[derive(Serialize, ToSchema)]
struct PreparedAnswer {
    /// By language, with places such as `{ticket}`.
    texts: BTreeMap<String, String>,
    /// To be given as `against` when it is changed.
    generation: u64,
}

/// What a prepared answer is to say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Prepare {
    /// By language.
    pub(super) texts: BTreeMap<String, String>,
    /// Its generation that this was made against; 0 or nothing for a new one.
    #[serde(default)]
    pub(super) against: u64,
}

/// Which generation is to go.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Against {
    against: u64,
}

/// It is done.
#[derive(Serialize, ToSchema)]
struct Done {
    says: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<AnsweredAll>(
            "post",
            "/conversations/answer-all",
            "Answer all open conversations with a tag",
            post(answer_all),
        )
        .takes::<AnswerAll>(),
        Route::new::<Prepared>(
            "get",
            "/prepared-answers",
            "Prepared answers",
            get(prepared),
        ),
        Route::new::<Done>(
            "post",
            "/prepared-answers/{name}",
            "Prepare an answer, or change one",
            post(prepare),
        )
        .takes::<Prepare>(),
        Route::new::<Done>(
            "post",
            "/prepared-answers/{name}/remove",
            "Take a prepared answer away",
            post(unprepare),
        )
        .takes::<Against>(),
    ]
}

async fn answer_all(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<AnswerAll>,
) -> Result<Json<AnsweredAll>, Problem> {
    let asked = body.value;
    desk.answer_all(&asking, &asked).await.map(Json)
}

async fn prepared(Shared(desk): Shared<Desk>) -> Json<Prepared> {
    let state = desk.cluster.state();
    let answers = state.talks.canned.iter().map(|(name, it)| {
        let texts = it.texts.iter();
        let texts = texts.map(|(lang, it)| (lang.tag().to_owned(), it.as_str().to_owned()));
        let answer = PreparedAnswer {
            texts: texts.collect(),
            generation: it.generation,
        };
        (name.to_string(), answer)
    });
    Json(Prepared {
        answers: answers.collect(),
    })
}

async fn prepare(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<Prepare>,
) -> Result<Json<Done>, Problem> {
    desk.prepare(&asking, &body.bytes, &name, &body.value)
        .await?;
    let says = format!("the answer {name} is prepared");
    Ok(Json(Done { says }))
}

async fn unprepare(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(name): Path<String>,
    body: Body<Against>,
) -> Result<Json<Done>, Problem> {
    desk.unprepare(&asking, &body.bytes, &name, body.value.against)
        .await?;
    let says = format!("the answer {name} is gone");
    Ok(Json(Done { says }))
}

/// Texts by language, all mistakes at once.
fn texts_of(given: &BTreeMap<String, String>) -> Result<OrdMap<Lang, MessageText>, Problem> {
    let (mut texts, mut mistakes) = (OrdMap::new(), Vec::new());
    for (tag, text) in given {
        let field = format!("texts.{tag}");
        let known: Vec<&str> = Lang::ALL.iter().map(|it| it.tag()).collect();
        let lang = Lang::ALL.into_iter().find(|it| it.tag() == tag);
        match (lang, MessageText::new(text)) {
            (Some(lang), Ok(text)) => drop(texts.insert(lang, text)),
            (None, _) => mistakes.push(Mistake::of(&field, tag, &known.join(" or "))),
            (Some(_), Err(wrong)) => {
                let found = format!("{} characters", text.chars().count());
                mistakes.push(Mistake::of(&field, &found, &wrong.wanted));
            }
        }
    }
    if texts.is_empty() && mistakes.is_empty() {
        mistakes.push(Mistake::of(
            "texts",
            "none",
            "a text in at least one language",
        ));
    }
    if mistakes.is_empty() {
        return Ok(texts);
    }
    Err(Problem::mistaken("the texts", mistakes))
}

impl Desk {
    /// The open conversations with a tag.
    pub(super) fn tagged(&self, tag: &Label) -> Vec<ConversationId> {
        let sought = Sought {
            wanted: Wanted::Open,
            whose: Whose::Anybodys,
            tag: Some(tag.clone()),
        };
        self.found(&sought).into_iter().map(|it| it.0).collect()
    }

    /// Answers all open conversations with a tag, each once under the key of whoever asks.
    pub(super) async fn answer_all(
        &self,
        asking: &Asking,
        asked: &AnswerAll,
    ) -> Result<AnsweredAll, Problem> {
        let tag = label("tag", &asked.tag)?;
        let texts = texts_of(&asked.texts)?;
        let all = self.tagged(&tag);
        if all.len() != asked.count || all.is_empty() {
            let found = asked.count.to_string();
            let wanted = format!(
                "{}, which is how many open conversations have the tag {tag} now",
                all.len()
            );
            return Err(Problem::invalid("count", &found, &wanted));
        }
        if all.len() > limits::ANSWER_ALL_MAX {
            let wanted = format!("at most {}", limits::ANSWER_ALL_MAX);
            return Err(Problem::invalid("count", &asked.count.to_string(), &wanted));
        }
        let answers = all.into_iter().map(|id| {
            let text = self.text_for(id, &texts);
            async move {
                let content = [&id.0[..], text.as_bytes()].concat();
                let done = self.answer(asking, &content, id, &text).await;
                (id, done.map(|it| it.1.kept))
            }
        });
        let mut answered = AnsweredAll {
            agreed: 0,
            held: 0,
            failed: BTreeMap::new(),
        };
        let mut answers = stream::iter(answers).buffer_unordered(SIDE_BY_SIDE);
        while let Some((id, done)) = answers.next().await {
            match done {
                Ok("agreed") => answered.agreed += 1,
                Ok(_) => answered.held += 1,
                Err(problem) => {
                    let ticket = self.keyring.ticket(&id).to_string();
                    answered.failed.insert(ticket, problem.lines().join(": "));
                }
            }
        }
        Ok(answered)
    }

    /// The text in a customer's language, else the first there is, with its places filled in.
    fn text_for(&self, id: ConversationId, texts: &OrdMap<Lang, MessageText>) -> String {
        let state = self.cluster.state();
        let lang = seen(&self.letterbox, &state, id).map(|it| it.lang);
        let own = lang.and_then(|it| texts.get(&it));
        let text = own.or_else(|| texts.values().next());
        let text = text.map(|it| it.as_str()).unwrap_or_default();
        self.filled(text, id, lang.unwrap_or_default())
    }

    /// A prepared text with its places filled in: the ticket code, the company, and what is going on.
    pub(super) fn filled(&self, text: &str, id: ConversationId, lang: Lang) -> String {
        let state = self.cluster.state();
        let going = state.incidents.going();
        let incident = going.first().map(|(_, it)| it.title(lang).1);
        text.replace("{ticket}", self.keyring.ticket(&id).as_str())
            .replace("{company}", &self.console.company.name)
            .replace("{incident}", incident.unwrap_or_default())
    }

    /// Prepares an answer, or changes one.
    pub(super) async fn prepare(
        &self,
        asking: &Asking,
        content: &[u8],
        name: &str,
        asked: &Prepare,
    ) -> Result<(), Problem> {
        let change = TalkChange::SetCanned {
            name: label("name", name)?,
            texts: texts_of(&asked.texts)?,
            against: asked.against,
        };
        let what = "preparing the answer";
        let id = asking.id(content);
        let done = self.propose(asking, id, what, Command::Talk(change));
        let index = done.await?.index;
        self.applied(index).await;
        Ok(())
    }

    /// Takes a prepared answer away.
    pub(super) async fn unprepare(
        &self,
        asking: &Asking,
        content: &[u8],
        name: &str,
        against: u64,
    ) -> Result<(), Problem> {
        let change = TalkChange::RemoveCanned {
            name: label("name", name)?,
            against,
        };
        let what = "taking the prepared answer away";
        let id = asking.id(content);
        let done = self.propose(asking, id, what, Command::Talk(change));
        let index = done.await?.index;
        self.applied(index).await;
        Ok(())
    }
}
