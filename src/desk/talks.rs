//! What agents make of conversations, over the API: notes, whose they are, tags, what was seen, prepared answers, and one
//! answer to all that are about the same.
//!
//! All that belongs to a conversation goes through the letterbox, as answers do, so that agents work on on a lone node.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::StatusCode,
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    conversations::{Kept, Nothing, words},
    people::label,
    problem::{Mistake, Problem},
    reading::gone,
    seen::{Seen, Sought, Wanted, Whose, seen},
};
use crate::{
    clock,
    model::{
        Command,
        conversation::Author,
        limits,
        talk::{Doing, TalkChange},
        words::{ClientId, ConversationId, Label, Lang, MessageText},
    },
    seal::conversation_context,
};

/// Answers of one "answer all" on their way side by side.
const SIDE_BY_SIDE: usize = 16;

type Wrote = Result<(StatusCode, Json<Kept>), Problem>;

/// A note for other agents.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

/// Whose it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Assign {
    /// An account's name, or nothing to give it back to all.
    to: Option<String>,
}

/// Tags to be added and taken away.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tags {
    pub(super) add: Vec<String>,
    pub(super) remove: Vec<String>,
}

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
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/notes",
            "Tell other agents something that the customer never sees",
            post(note),
        )
        .takes::<Note>(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/assign",
            "Say whose it is",
            post(assign),
        )
        .takes::<Assign>(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/tags",
            "Say what it is about",
            post(tag),
        )
        .takes::<Tags>(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/reopen",
            "Open a closed one again",
            post(reopen),
        )
        .takes::<Nothing>(),
        Route::new::<Kept>(
            "post",
            "/conversations/{conversation}/seen",
            "An agent has seen everything in it; the customer is told so",
            post(mark_seen),
        )
        .takes::<Nothing>(),
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

async fn note(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Note>,
) -> Wrote {
    let id = desk.find(&conversation)?;
    desk.note(&asking, &body.bytes, id, &body.value.text).await
}

async fn assign(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Assign>,
) -> Wrote {
    let id = desk.find(&conversation)?;
    let to = body.value.to.as_deref();
    let to = to.map(|it| label("to", it)).transpose()?;
    desk.assign(&asking, &body.bytes, id, to).await
}

async fn tag(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Tags>,
) -> Wrote {
    let id = desk.find(&conversation)?;
    desk.tag(&asking, &body.bytes, id, &body.value).await
}

async fn reopen(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Nothing>,
) -> Wrote {
    let id = desk.find(&conversation)?;
    desk.reopen(&asking, &body.bytes, id).await
}

async fn mark_seen(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(conversation): Path<String>,
    body: Body<Nothing>,
) -> Wrote {
    let id = desk.find(&conversation)?;
    let seen = seen(&desk.letterbox, &desk.cluster.state(), id).ok_or_else(gone)?;
    let message = seen.last().ok_or_else(gone)?;
    let change = TalkChange::Seen {
        conversation: id,
        message,
    };
    let deed = ("the mark", "is kept", "the customer is told");
    let command = Command::Talk(change);
    desk.post(&asking, &body.bytes, id, command, deed).await
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

fn tags_of(field: &str, tags: &[String]) -> Result<Vec<Label>, Problem> {
    tags.iter().map(|it| label(field, it)).collect()
}

impl Desk {
    /// Adds a note for other agents.
    pub(super) async fn note(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
        text: &str,
    ) -> Wrote {
        let text = words("text", text)?;
        let context = conversation_context(&conversation);
        let change = TalkChange::Note {
            conversation,
            body: self.keyring.seal(&context, text.as_str().as_bytes()),
            taken: clock::now(),
        };
        let deed = ("the note", "is kept", "agents see it, the customer never");
        let command = Command::Talk(change);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Says whose it is. Somebody without an account cannot have it.
    pub(super) async fn assign(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
        to: Option<Label>,
    ) -> Wrote {
        if let Some(to) = &to {
            let now = clock::now();
            let known = self.cluster.state().people.roles_of(to, now).is_some();
            // Whoever asks may have it in any case: a program, or somebody with a code from an envelope.
            if !known && asking.actor.spoken() != to.as_str() {
                let wanted = "somebody of 'lifeboat people list'";
                return Err(Problem::invalid("to", to.as_str(), wanted));
            }
        }
        let change = TalkChange::Assign { conversation, to };
        let deed = ("assigning it", "is done", "everybody sees whose it is");
        let command = Command::Talk(change);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Says what it is about.
    pub(super) async fn tag(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
        tags: &Tags,
    ) -> Wrote {
        let add = tags_of("add", &tags.add)?;
        let remove = tags_of("remove", &tags.remove)?;
        if add.is_empty() && remove.is_empty() {
            return Err(Problem::invalid(
                "add",
                "nothing",
                "a tag to add or to remove",
            ));
        }
        let change = TalkChange::Tag {
            conversation,
            add,
            remove,
        };
        let deed = ("the tag", "is kept", "everybody sees it");
        let command = Command::Talk(change);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Opens it again.
    pub(super) async fn reopen(
        &self,
        asking: &Asking,
        content: &[u8],
        conversation: ConversationId,
    ) -> Wrote {
        let change = TalkChange::Reopen { conversation };
        let deed = ("opening it again", "is done", "it is in the inbox");
        let command = Command::Talk(change);
        self.post(asking, content, conversation, command, deed)
            .await
    }

    /// Says that whoever asks has seen everything in it. Nobody waits for that; said again it changes nothing.
    pub(super) fn has_seen(&self, asking: &Asking, conversation: ConversationId, seen: &Seen) {
        let Some(message) = seen.last() else {
            return;
        };
        let unseen = seen.messages.iter().skip(seen.talk.seen as usize);
        let unseen = unseen.filter(|it| it.author == Author::Customer).count();
        let holds_own = seen.held.iter().any(|it| it.proposal.id == message);
        if unseen == 0 && !holds_own {
            return;
        }
        let who = asking.actor.spoken();
        let parts = [&conversation.0[..], &message.0, who.as_bytes()].concat();
        let hash: [u8; 32] = Sha256::new_with_prefix(b"lifeboat seen 1\0")
            .chain_update(parts)
            .finalize()
            .into();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        let change = TalkChange::Seen {
            conversation,
            message,
        };
        let proposal = self.proposal(asking, ClientId(id), Command::Talk(change));
        if !self.letterbox.leave(proposal) {
            tracing::warn!("the letterbox is too busy to note that a message was seen");
        }
    }

    /// Says that whoever asks is at it, or has left. Only a majority is told, and nobody waits for that.
    pub(super) fn is_present(&self, asking: &Asking, conversation: ConversationId, doing: Doing) {
        if self.cluster.health().alone() || self.is_known_present(asking, conversation, doing) {
            return;
        }
        let change = TalkChange::Present {
            conversation,
            doing,
            ttl_ms: limits::TALK_PRESENT_MS,
        };
        let id = ClientId(clock::random_bytes());
        let proposal = self.proposal(asking, id, Command::Talk(change));
        let cluster = self.cluster.clone();
        // On behalf of one request, whose answer does not wait for it.
        tokio::spawn(async move {
            let deadline = std::time::Duration::from_millis(limits::DESK_PROPOSE_MS);
            // Lost, it is said again with the next page or beat.
            let _lost = cluster.propose(proposal, deadline).await;
        });
    }

    /// Whether that was said a moment ago: every page that is read anew would say it again, and be rung for it.
    fn is_known_present(&self, asking: &Asking, id: ConversationId, doing: Doing) -> bool {
        let state = self.cluster.state();
        let talk = state.talks.all.get(&id);
        let name = Label::new(&asking.actor.spoken()).ok();
        let known = name.and_then(|it| talk?.present.get(&it).copied());
        let Some(known) = known else {
            return doing == Doing::Gone;
        };
        known.doing == doing && known.until.ms_since(clock::now()) > limits::TALK_PRESENT_MS / 2
    }

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
