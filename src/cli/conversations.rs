//! `lifeboat conversations`: reading what customers wrote and answering them, on a node that is alone as well.

use std::io::Read;

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
}

#[derive(Debug, Deserialize)]
struct Kept {
    says: String,
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
        Conversations::Answer { conversation, text } => {
            let text = match text {
                Some(text) => text,
                None => from_standard_input()?,
            };
            write(node, &conversation, "messages", json!({ "text": text })).await
        }
        Conversations::Close { conversation } => {
            write(node, &conversation, "close", json!({})).await
        }
        Conversations::Release { conversation } => {
            write(node, &conversation, "release", json!({})).await
        }
    }
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
    if let Some(after) = &which.after {
        path.push_str(&format!("&after={}", part(after)));
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
    }
    text
}
