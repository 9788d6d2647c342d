//! `lifeboat conversations`: reading what customers wrote and answering them, on a node that is alone as well.

mod files;

use std::{collections::BTreeMap, io::Read, path::PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    failure::{Exit, Failure},
    node::{Node, part},
    output::{Paper, printable, printable_lines, table},
};
use crate::model::limits;

/// What to do with conversations.
#[derive(Debug, Subcommand)]
pub enum Conversations {
    /// List conversations, the one touched last first
    List(Which),
    /// Show one whole
    Show {
        /// Ticket code or id
        conversation: String,
    },
    /// Answer the customer; without a text, it is read from standard input
    Answer {
        /// Ticket code or id
        conversation: String,
        /// The answer
        text: Option<String>,
        /// A file that goes along; may be given again
        #[arg(long, value_name = "FILE")]
        attach: Vec<PathBuf>,
    },
    /// Fetch a file of a message
    File {
        /// Ticket code or id
        conversation: String,
        /// Its number, as 'show' names it
        number: usize,
        /// Where to put it; a file that is there already is not written over
        #[arg(long, value_name = "PATH")]
        to: PathBuf,
    },
    /// Delete a file of a message for good, on every node
    EraseFile {
        /// Ticket code or id
        conversation: String,
        /// Its number, as 'show' names it
        number: usize,
        /// The file's name, so that it is the one that is meant
        #[arg(long, value_name = "NAME")]
        confirm: String,
    },
    /// Close one; the customer's next message opens it again
    Close {
        /// Ticket code or id
        conversation: String,
    },
    /// Take one out of quarantine: its messages go to the support mailbox
    Release {
        /// Ticket code or id
        conversation: String,
    },
    /// Open a closed one again
    Reopen {
        /// Ticket code or id
        conversation: String,
    },
    /// Tell other agents something that the customer never sees
    Note {
        /// Ticket code or id
        conversation: String,
        /// The note
        text: String,
    },
    /// Say whose it is
    Assign {
        /// Ticket code or id
        conversation: String,
        /// An account's name; nobody gives it back to all
        to: String,
    },
    /// Say what it is about
    Tag {
        /// Ticket code or id
        conversation: String,
        /// Tags to add
        tags: Vec<String>,
        /// Tags to take away
        #[arg(long, value_name = "TAG")]
        remove: Vec<String>,
    },
    /// Answer all open conversations with a tag; without --confirm it only counts them
    AnswerAll {
        /// The tag
        tag: String,
        /// What to answer, by language: en=TEXT; {ticket}, {company} and {incident} are filled in
        #[arg(long, value_name = "LANG=TEXT", required = true)]
        text: Vec<String>,
        /// How many people will get it
        #[arg(long, value_name = "COUNT")]
        confirm: Option<usize>,
    },
    /// Prepared answers
    #[command(subcommand)]
    Prepared(Prepared),
}

/// What to do with prepared answers.
#[derive(Debug, Subcommand)]
pub enum Prepared {
    /// List them
    List,
    /// Prepare one, or change one
    Set {
        /// Its name
        name: String,
        /// What it says, by language: en=TEXT
        #[arg(long, value_name = "LANG=TEXT", required = true)]
        text: Vec<String>,
    },
    /// Take one away
    Remove {
        /// Its name
        name: String,
    },
}

/// Which conversations to list.
#[derive(Debug, Args)]
pub struct Which {
    /// Which ones
    #[arg(long, default_value = "open", value_parser = ["open", "waiting", "closed", "quarantined", "all"])]
    state: String,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those of this agent; nobody lists those that nobody has
    #[arg(long, value_name = "NAME")]
    assigned: Option<String>,
    /// Only those with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Where an earlier list ended
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    conversations: Vec<Brief>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Brief {
    ticket: String,
    state: String,
    waiting: bool,
    lang: String,
    door: String,
    messages: u64,
    held: u64,
    touched: String,
    excerpt: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Opened {
    id: String,
    ticket: String,
    state: String,
    waiting: bool,
    lang: String,
    contact: Option<String>,
    reference: Option<String>,
    messages: Vec<Message>,
    notes: Vec<Note>,
    assigned: Option<String>,
    tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    author: String,
    text: Option<String>,
    taken: String,
    agreed: Option<String>,
    node: String,
    passed_on: Option<String>,
    refused: Option<String>,
    /// An older node says nothing of files.
    #[serde(default)]
    files: Vec<files::Carried>,
}

#[derive(Debug, Deserialize)]
struct Note {
    by: String,
    text: Option<String>,
    taken: String,
    agreed: bool,
}

#[derive(Debug, Deserialize)]
struct Kept {
    says: String,
}

#[derive(Debug, Deserialize)]
struct AnsweredAll {
    agreed: usize,
    held: usize,
    failed: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct PreparedAnswers {
    answers: BTreeMap<String, PreparedAnswer>,
}

#[derive(Debug, Deserialize)]
struct PreparedAnswer {
    texts: BTreeMap<String, String>,
    generation: u64,
}

/// Does what `lifeboat conversations` was asked for.
pub async fn conversations(
    node: &Node,
    what: Conversations,
    paper: Paper,
) -> Result<Said, Failure> {
    match what {
        Conversations::List(which) => list(node, &which, paper).await,
        Conversations::Show { conversation } => {
            let path = format!("/conversations/{}", part(&conversation));
            let answer = node.get::<Opened>(&path).await?;
            let text = opened(&answer.value, paper);
            Ok(Said::of(answer.json, text))
        }
        Conversations::Answer {
            conversation,
            text,
            attach,
        } => {
            let text = match text {
                Some(text) => text,
                None => from_standard_input()?,
            };
            match attach.is_empty() {
                true => write(node, &conversation, "messages", json!({ "text": text })).await,
                false => files::answer(node, &conversation, &text, &attach).await,
            }
        }
        Conversations::File {
            conversation,
            number,
            to,
        } => files::fetch(node, &conversation, number, &to).await,
        Conversations::EraseFile {
            conversation,
            number,
            confirm,
        } => files::erase(node, &conversation, number, &confirm).await,
        Conversations::Close { conversation } => {
            write(node, &conversation, "close", json!({})).await
        }
        Conversations::Release { conversation } => {
            write(node, &conversation, "release", json!({})).await
        }
        Conversations::Reopen { conversation } => {
            write(node, &conversation, "reopen", json!({})).await
        }
        Conversations::Note { conversation, text } => {
            write(node, &conversation, "notes", json!({ "text": text })).await
        }
        Conversations::Assign { conversation, to } => {
            let to = Some(to).filter(|it| it != "nobody");
            write(node, &conversation, "assign", json!({ "to": to })).await
        }
        Conversations::Tag {
            conversation,
            tags,
            remove,
        } => {
            let body = json!({ "add": tags, "remove": remove });
            write(node, &conversation, "tags", body).await
        }
        Conversations::AnswerAll { tag, text, confirm } => {
            answer_all(node, &tag, &text, confirm).await
        }
        Conversations::Prepared(what) => prepared(node, what).await,
    }
}

/// Texts by language, from `LANG=TEXT`.
fn by_lang(texts: &[String]) -> Result<BTreeMap<&str, &str>, Failure> {
    let split = |it: &'_ String| it.split_once('=').is_some();
    if let Some(wrong) = texts.iter().find(|it| !split(it)) {
        let why = format!("found {wrong:?}, wanted a language, an equals sign and a text");
        let advice = "write it like --text 'en=We are working on it.'";
        return Err(Failure::new(
            Exit::Usage,
            "--text cannot be used",
            why,
            advice,
        ));
    }
    Ok(texts.iter().filter_map(|it| it.split_once('=')).collect())
}

async fn answer_all(
    node: &Node,
    tag: &str,
    texts: &[String],
    confirm: Option<usize>,
) -> Result<Said, Failure> {
    let texts = by_lang(texts)?;
    let Some(count) = confirm else {
        let path = format!("/conversations?state=open&limit=1000&tag={}", part(tag));
        let answer = node.get::<Listed>(&path).await?;
        let count = answer.value.conversations.len();
        let text = format!(
            "{count} open conversations have the tag {tag}; nothing was sent\nadd --confirm {count} to answer them\n"
        );
        return Ok(Said::of(answer.json, text));
    };
    let body = json!({ "tag": tag, "texts": texts, "count": count });
    let path = "/conversations/answer-all";
    let answer = node.post::<AnsweredAll>(path, &body).await?;
    let done = &answer.value;
    let mut text = format!(
        "{} answered: a majority has it; {} held on this node and passed on later\n",
        done.agreed, done.held
    );
    for (ticket, why) in &done.failed {
        text.push_str(&format!("{ticket} was NOT answered: {}\n", printable(why)));
    }
    Ok(Said::of(answer.json, text))
}

async fn prepared(node: &Node, what: Prepared) -> Result<Said, Failure> {
    let all = node.get::<PreparedAnswers>("/prepared-answers").await?;
    let against = |name: &str| all.value.answers.get(name).map_or(0, |it| it.generation);
    let (path, body) = match &what {
        Prepared::List => {
            let mut text = String::new();
            for (name, it) in &all.value.answers {
                text.push_str(&format!("{}\n", printable(name)));
                for (lang, words) in &it.texts {
                    text.push_str(&format!("  {lang}\n{}\n", printable_lines(words, "    ")));
                }
            }
            if all.value.answers.is_empty() {
                text.push_str("no prepared answers\n");
            }
            return Ok(Said::of(all.json, text));
        }
        Prepared::Set { name, text } => {
            let body = json!({ "texts": by_lang(text)?, "against": against(name) });
            (format!("/prepared-answers/{}", part(name)), body)
        }
        Prepared::Remove { name } => {
            let path = format!("/prepared-answers/{}/remove", part(name));
            (path, json!({ "against": against(name) }))
        }
    };
    node.said(&path, &body).await
}

async fn write(
    node: &Node,
    conversation: &str,
    what: &str,
    body: serde_json::Value,
) -> Result<Said, Failure> {
    let path = format!("/conversations/{}/{what}", part(conversation));
    let answer = node.post::<Kept>(&path, &body).await?;
    let text = format!("{}\n", printable(&answer.value.says));
    Ok(Said::of(answer.json, text))
}

/// The answer's text, read with a bound, so that a wrong file is not sent.
fn from_standard_input() -> Result<String, Failure> {
    let most = limits::MESSAGE_CHARS_MAX * 4;
    let mut text = String::new();
    let read = std::io::stdin()
        .take(most as u64 + 1)
        .read_to_string(&mut text);
    let why = match read {
        Ok(bytes) if bytes <= most => return Ok(text),
        Ok(_) => format!("standard input has more than {most} bytes"),
        Err(error) => error.to_string(),
    };
    let advice = format!(
        "give a text of at most {} characters",
        limits::MESSAGE_CHARS_MAX
    );
    let what = "the answer's text cannot be read";
    Err(Failure::new(Exit::Usage, what, why, advice))
}

async fn list(node: &Node, which: &Which, paper: Paper) -> Result<Said, Failure> {
    let mut path = format!("/conversations?state={}&limit={}", which.state, which.limit);
    let more = [
        ("after", &which.after),
        ("assigned", &which.assigned),
        ("tag", &which.tag),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", part(value)));
        }
    }
    let answer = node.get::<Listed>(&path).await?;
    let row = |it: &Brief| {
        let state = match (it.waiting, it.held) {
            (true, 0) => format!("{}, WAITING", it.state),
            (true, held) => format!("{}, WAITING, {held} held", it.state),
            (false, 0) => it.state.clone(),
            (false, held) => format!("{}, {held} held", it.state),
        };
        vec![
            it.ticket.clone(),
            state,
            paper.since(&it.touched),
            it.messages.to_string(),
            it.lang.clone(),
            it.door.clone(),
            it.excerpt
                .clone()
                .unwrap_or_else(|| "(no key here)".to_owned()),
        ]
    };
    let rows: Vec<Vec<String>> = answer.value.conversations.iter().map(row).collect();
    let mut text = if rows.is_empty() {
        let which = match which.state.as_str() {
            "all" => "",
            other => &format!("{other} "),
        };
        format!("no {which}conversations\n")
    } else {
        table(
            &[
                "TICKET",
                "STATE",
                "TOUCHED",
                "MESSAGES",
                "LANG",
                "DOOR",
                "LAST WORDS",
            ],
            &rows,
        )
    };
    if let Some(next) = &answer.value.next {
        text.push_str(&format!("\nmore: add --after {}\n", printable(next)));
    }
    Ok(Said::of(answer.json, text))
}

fn opened(conversation: &Opened, paper: Paper) -> String {
    let waiting = if conversation.waiting {
        ", the customer waits for an answer"
    } else {
        ""
    };
    let no_key = "(this node has no key to open it)";
    let mut text = format!(
        "{} is {}{waiting}\nid         {}\ncontact    {}\n",
        conversation.ticket,
        conversation.state,
        conversation.id,
        printable(conversation.contact.as_deref().unwrap_or(no_key)),
    );
    if let Some(reference) = &conversation.reference {
        text.push_str(&format!("about      {}\n", printable(reference)));
    }
    text.push_str(&format!("language   {}\n", conversation.lang));
    if let Some(assigned) = &conversation.assigned {
        text.push_str(&format!("assigned   {}\n", printable(assigned)));
    }
    if !conversation.tags.is_empty() {
        text.push_str(&format!("tags       {}\n", conversation.tags.join(", ")));
    }
    for message in &conversation.messages {
        let kept = match (&message.refused, &message.agreed) {
            (Some(why), _) => format!("REFUSED by the cluster: {why}"),
            (None, None) => "held on this node, not agreed on yet".to_owned(),
            (None, Some(_)) => match &message.passed_on {
                Some(at) => format!("passed on {}", paper.time(at)),
                None => "safely stored".to_owned(),
            },
        };
        text.push_str(&format!(
            "\n{}, {}, on {}; {}\n{}\n",
            printable(&message.author),
            paper.time(&message.taken),
            message.node,
            printable(&kept),
            printable_lines(message.text.as_deref().unwrap_or(no_key), "  "),
        ));
        for file in &message.files {
            text.push_str(&file.line());
        }
    }
    for note in &conversation.notes {
        let kept = if note.agreed {
            "safely stored"
        } else {
            "held on this node"
        };
        text.push_str(&format!(
            "\nNOTE by {}, {}; customers never see it; {kept}\n{}\n",
            printable(&note.by),
            paper.time(&note.taken),
            printable_lines(note.text.as_deref().unwrap_or(no_key), "  "),
        ));
    }
    text
}
