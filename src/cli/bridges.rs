//! `lifeboat bridge`: where agents already are, to which conversations go and from which answers come.

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

use super::{
    Said,
    failure::{Exit, Failure},
    node::{Node, part},
    output::{Paper, Tone, printable, table},
};

/// What to do with bridges.
#[derive(Debug, Subcommand)]
pub enum BridgeVerb {
    /// Make a bridge, or say anew what it is
    Add(Box<AddArgs>),
    /// Show the bridges, and how they stand
    List,
    /// Forget a bridge, with its secret and what is under way over it
    Remove {
        /// The bridge
        bridge: String,
    },
    /// Post a message there that says that it is a test
    Test {
        /// The bridge
        bridge: String,
    },
}

/// By what means agents are reached.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// Signed JSON both ways (Standard Webhooks), for a program of yours
    Webhook,
    /// Incoming and outgoing webhooks of Mattermost, Slack or Rocket.Chat
    Chat,
    /// A Matrix room, with a thread for each conversation
    Matrix,
}

/// What a bridge is.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name here
    bridge: String,
    /// By what means
    #[arg(long, value_enum)]
    kind: Kind,
    /// A file with the webhook's URL, or that of the home server [default: keep the one that is there]
    #[arg(long, value_name = "FILE")]
    url_file: Option<PathBuf>,
    /// A file with the secret: what both sides sign with; the outgoing webhook's token; the access token [default: keep the
    /// one that is there]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// matrix: the room's id, such as !abc:example.org
    #[arg(long)]
    room: Option<String>,
    /// matrix: whose words are answers, apart by commas [default: everybody's in the room]
    #[arg(long, value_delimiter = ',')]
    senders: Vec<String>,
    /// The language that its own words are in: cs or en [default: en]
    #[arg(long)]
    speaks: Option<String>,
    /// Only customers of this language: cs or en [default: all]
    #[arg(long)]
    lang: Option<String>,
    /// Only conversations with one of these tags, apart by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bridges {
    bridges: Vec<Bridge>,
}

#[derive(Debug, Deserialize)]
struct Bridge {
    bridge: String,
    kind: String,
    place: String,
    conversations: u64,
    behind: u64,
    carried: u64,
    given_up: u64,
    trouble_since: Option<String>,
    trouble_why: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tried {
    good: bool,
    says: String,
}

/// Does what `lifeboat bridge` was asked for.
pub async fn bridge(node: &Node, what: BridgeVerb, paper: Paper) -> Result<Said, Failure> {
    let path = |bridge: &str, deed: &str| format!("/bridges/{}/{deed}", part(bridge));
    match what {
        BridgeVerb::Add(args) => add(node, &args).await,
        BridgeVerb::List => {
            let answer = node.get::<Bridges>("/bridges").await?;
            let text = listed(&answer.value.bridges, paper);
            Ok(Said::of(answer.json, text))
        }
        BridgeVerb::Remove { bridge } => node.said(&path(&bridge, "remove"), json!({})).await,
        BridgeVerb::Test { bridge } => {
            let answer = node
                .post::<Tried>(&path(&bridge, "test"), &json!({}))
                .await?;
            let word = if answer.value.good { "good" } else { "look" };
            let text = format!("{word}  {}\n", printable(&answer.value.says));
            Ok(Said::of(answer.json, text))
        }
    }
}

async fn add(node: &Node, args: &AddArgs) -> Result<Said, Failure> {
    let kind = match args.kind {
        Kind::Webhook => "webhook",
        Kind::Chat => "chat",
        Kind::Matrix => "matrix",
    };
    let mut body = Map::new();
    body.insert("kind".to_owned(), json!(kind));
    body.insert("tags".to_owned(), json!(args.tags));
    body.insert("senders".to_owned(), json!(args.senders));
    for (field, value) in [
        ("room", &args.room),
        ("speaks", &args.speaks),
        ("lang", &args.lang),
    ] {
        if let Some(value) = value {
            body.insert(field.to_owned(), json!(value));
        }
    }
    // On the command line others of this machine could read them.
    for (field, file) in [("url", &args.url_file), ("secret", &args.secret_file)] {
        if let Some(file) = file {
            let text = std::fs::read_to_string(file).map_err(|error| {
                let what = format!("cannot read {}", file.display());
                Failure::new(
                    Exit::Failed,
                    what,
                    error.to_string(),
                    "give a file that can be read",
                )
            })?;
            body.insert(field.to_owned(), json!(text.trim()));
        }
    }
    let path = format!("/bridges/{}", part(&args.bridge));
    node.said(&path, Value::Object(body)).await
}

fn listed(bridges: &[Bridge], paper: Paper) -> String {
    if bridges.is_empty() {
        return "no bridges: make one with 'lifeboat bridge add'\n".to_owned();
    }
    let rows: Vec<Vec<String>> = bridges
        .iter()
        .map(|it| {
            vec![
                it.bridge.clone(),
                it.kind.clone(),
                match it.trouble_since {
                    Some(_) => "takes nothing",
                    None => "works",
                }
                .to_owned(),
                it.conversations.to_string(),
                it.behind.to_string(),
                it.carried.to_string(),
                it.given_up.to_string(),
                printable(&it.place),
            ]
        })
        .collect();
    let headings = [
        "BRIDGE",
        "KIND",
        "STATE",
        "CONVERSATIONS",
        "BEHIND",
        "CARRIED",
        "GIVEN UP",
        "PLACE",
    ];
    let mut text = table(&headings, &rows);
    for it in bridges {
        if let (Some(since), Some(why)) = (&it.trouble_since, &it.trouble_why) {
            let line = format!(
                "{} takes nothing since {}: {}",
                it.bridge,
                paper.time(since),
                printable(why)
            );
            text.push_str(&format!("{}\n", paper.tone(Tone::Warn, &line)));
        }
    }
    text
}
