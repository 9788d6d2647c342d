//! `lifeboat channel` and `lifeboat notice`: who is told outside, what leaves when, and stopping it.

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::{
    Said,
    failure::Failure,
    node::{Node, part},
    output::{Paper, Tone, printable, printable_lines, table},
};

/// What to do with channels.
#[derive(Debug, Subcommand)]
pub enum ChannelVerb {
    /// Make a channel, or say anew what it is; its token or secret is read from standard input
    Add(Box<AddArgs>),
    /// Show the channels
    List,
    /// Forget a channel, with its secret
    Remove {
        /// The channel
        channel: String,
    },
    /// Before the emergency: would it take something? A webhook gets a message that says that it is a test
    Check {
        /// The channel
        channel: String,
    },
}

/// By what means people are reached.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// A signed POST of JSON (Standard Webhooks)
    Webhook,
    /// A mailing list, by its address
    Mail,
    /// A Matrix room
    Matrix,
    /// A Mastodon account
    Mastodon,
    /// A person copies the text, to where no program may
    ByHand,
}

/// What a channel is.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name here
    channel: String,
    /// By what means
    #[arg(long, value_enum)]
    kind: Kind,
    /// webhook: where to; matrix, mastodon: the server
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// matrix: the room's id, such as !abc:example.org
    #[arg(long)]
    room: Option<String>,
    /// mail: the list's address
    #[arg(long)]
    address: Option<String>,
    /// mastodon, by-hand: characters that fit [default: 500; by hand 280]
    #[arg(long)]
    chars: Option<u32>,
    /// The language it speaks: cs or en [default: both, one after the other]
    #[arg(long)]
    lang: Option<String>,
    /// Told unless somebody says otherwise
    #[arg(long)]
    usual: bool,
    /// How many people it reaches, for whoever decides
    #[arg(long, value_name = "PEOPLE")]
    reach: Option<u32>,
    /// Keep the token or secret that is there, and read none
    #[arg(long)]
    keep_secret: bool,
}

/// What to do with notices.
#[derive(Debug, Subcommand)]
pub enum NoticeVerb {
    /// Show what is on its way outside and what went lately
    List,
    /// Stop what has not left yet
    Stop {
        /// The notices [default: everything that has not left]
        notices: Vec<String>,
    },
    /// Tell an update through more channels, or what holds now where something else was told
    Tell {
        /// The incident
        incident: String,
        /// The update, from 1
        #[arg(long)]
        update: u32,
        /// The channels, apart by commas
        #[arg(long, value_delimiter = ',', required = true)]
        through: Vec<String>,
    },
    /// Say that you have told it by hand
    Done {
        /// The notice
        notice: String,
        /// Where it can be seen
        #[arg(long)]
        place: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
struct Channels {
    channels: Vec<Channel>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    channel: String,
    kind: String,
    place: String,
    lang: Option<String>,
    usual: bool,
    reach: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Checked {
    good: bool,
    says: String,
}

#[derive(Debug, Deserialize)]
struct Notices {
    notices: Vec<Notice>,
    corrections: BTreeMap<String, Vec<Correction>>,
}

/// A notice, as the API shows it.
#[derive(Debug, Deserialize)]
pub struct Notice {
    notice: String,
    incident: String,
    update: u32,
    channel: String,
    corrects: Option<String>,
    state: String,
    leaves: String,
    attempts: u32,
    at: Option<String>,
    place: Option<String>,
    why: Option<String>,
    text: String,
    cut: bool,
    other_language: Option<String>,
}

/// What was told and holds no more.
#[derive(Debug, Deserialize)]
pub struct Correction {
    update: u32,
    channels: Vec<String>,
}

/// Does what `lifeboat channel` was asked for.
pub async fn channel(node: &Node, what: ChannelVerb) -> Result<Said, Failure> {
    let path = |channel: &str, deed: &str| format!("/channels/{}/{deed}", part(channel));
    match what {
        ChannelVerb::Add(args) => add(node, &args).await,
        ChannelVerb::List => {
            let answer = node.get::<Channels>("/channels").await?;
            let text = listed(&answer.value.channels);
            Ok(Said::of(answer.json, text))
        }
        ChannelVerb::Remove { channel } => node.said(&path(&channel, "remove"), json!({})).await,
        ChannelVerb::Check { channel } => {
            let answer = node
                .post::<Checked>(&path(&channel, "check"), &json!({}))
                .await?;
            let word = if answer.value.good { "good" } else { "look" };
            let text = format!("{word}  {}\n", printable(&answer.value.says));
            Ok(Said::of(answer.json, text))
        }
    }
}

async fn add(node: &Node, args: &AddArgs) -> Result<Said, Failure> {
    let (kind, secret) = match args.kind {
        Kind::Webhook => ("webhook", true),
        Kind::Mail => ("mail", false),
        Kind::Matrix => ("matrix", true),
        Kind::Mastodon => ("mastodon", true),
        Kind::ByHand => ("by-hand", false),
    };
    let mut body = Map::new();
    body.insert("kind".to_owned(), json!(kind));
    body.insert("usual".to_owned(), json!(args.usual));
    let given = [
        ("url", &args.to),
        ("room", &args.room),
        ("address", &args.address),
        ("lang", &args.lang),
    ];
    for (field, value) in given {
        if let Some(value) = value {
            body.insert(field.to_owned(), json!(value));
        }
    }
    for (field, value) in [("chars", args.chars), ("reach", args.reach)] {
        if let Some(value) = value {
            body.insert(field.to_owned(), json!(value));
        }
    }
    // On the command line others of this machine could read it.
    if secret && !args.keep_secret {
        let secret = std::io::read_to_string(std::io::stdin()).unwrap_or_default();
        body.insert("secret".to_owned(), json!(secret.trim()));
    }
    let path = format!("/channels/{}", part(&args.channel));
    node.said(&path, Value::Object(body)).await
}

fn listed(channels: &[Channel]) -> String {
    if channels.is_empty() {
        return "no channels: make one with 'lifeboat channel add'\n".to_owned();
    }
    let rows: Vec<Vec<String>> = channels
        .iter()
        .map(|it| {
            vec![
                it.channel.clone(),
                it.kind.clone(),
                if it.usual { "usual" } else { "when named" }.to_owned(),
                it.lang.clone().unwrap_or_else(|| "all".to_owned()),
                it.reach.map_or_else(|| "-".to_owned(), |it| it.to_string()),
                printable(&it.place),
            ]
        })
        .collect();
    table(
        &["CHANNEL", "KIND", "TOLD", "LANGUAGE", "REACH", "PLACE"],
        &rows,
    )
}

/// Does what `lifeboat notice` was asked for.
pub async fn notice(node: &Node, what: NoticeVerb, paper: Paper) -> Result<Said, Failure> {
    let answer = match what {
        NoticeVerb::List => node.get::<Notices>("/notices").await?,
        NoticeVerb::Stop { notices } => {
            let body = match notices.is_empty() {
                true => json!({}),
                false => json!({ "notices": notices }),
            };
            node.post::<Notices>("/notices/stop", &body).await?
        }
        NoticeVerb::Tell {
            incident,
            update,
            through,
        } => {
            let body = json!({ "update": update, "channels": through });
            let path = format!("/incidents/{}/tell", part(&incident));
            node.post::<Notices>(&path, &body).await?
        }
        NoticeVerb::Done { notice, place } => {
            let path = format!("/notices/{}/done", part(&notice));
            let answer = node
                .post::<Notice>(&path, &json!({ "place": place }))
                .await?;
            let text = table(&HEADINGS, &[row(&answer.value, paper)]);
            return Ok(Said::of(answer.json, text));
        }
    };
    let mut text = rows(&answer.value.notices, paper);
    if text.is_empty() {
        text = "nothing is on its way outside, and nothing went\n".to_owned();
    }
    for (incident, due) in &answer.value.corrections {
        text.push_str(&holds_no_more(incident, due, paper));
    }
    Ok(Said::of(answer.json, text))
}

const HEADINGS: [&str; 6] = [
    "NOTICE",
    "INCIDENT",
    "UPDATE",
    "CHANNEL",
    "IS",
    "WHY OR WHERE",
];

/// Notices as a table; nothing for none.
pub fn rows(notices: &[Notice], paper: Paper) -> String {
    if notices.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = notices.iter().map(|it| row(it, paper)).collect();
    table(&HEADINGS, &rows)
}

fn row(it: &Notice, paper: Paper) -> Vec<String> {
    let is = match (it.state.as_str(), &it.at) {
        ("queued", _) if it.attempts == 0 => format!("leaves {}", paper.time(&it.leaves)),
        ("queued", _) => format!("tried {} times", it.attempts),
        (state, Some(at)) => format!("{state} {}", paper.time(at)),
        (state, None) => state.to_owned(),
    };
    let about = it.why.as_ref().or(it.place.as_ref());
    let update = match &it.corrects {
        Some(_) => format!("{} (correction)", it.update),
        None => it.update.to_string(),
    };
    vec![
        it.notice.clone(),
        it.incident.clone(),
        update,
        it.channel.clone(),
        is,
        about.map_or_else(String::new, |it| printable(it)),
    ]
}

/// What each channel would get, for a dry run.
pub fn previews(notices: &[Notice]) -> String {
    let mut text = String::new();
    for it in notices {
        text.push_str(&format!("--- through {}:\n", it.channel));
        text.push_str(&printable_lines(&it.text, "    "));
        text.push('\n');
        if it.cut {
            text.push_str(
                "(too long for this channel: cut as shown; the page's address follows)\n",
            );
        }
        if let Some(lang) = &it.other_language {
            text.push_str(&format!(
                "(nothing in this channel's language: it gets {lang})\n"
            ));
        }
    }
    text
}

/// What was told and holds no more, with what to do.
pub fn holds_no_more(incident: &str, due: &[Correction], paper: Paper) -> String {
    let lines = due.iter().map(|it| {
        let line = format!(
            "what was told of update {} through {} holds no more",
            it.update,
            it.channels.join(", ")
        );
        format!(
            "{}\ntell what holds now: lifeboat notice tell {incident} --update {} --through {}\n",
            paper.tone(Tone::Warn, &line),
            it.update,
            it.channels.join(",")
        )
    });
    lines.collect()
}
