//! `lifeboat dns keeper`: names that live at a DNS provider, or at a name server that takes updates.

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::{
    Said,
    failure::Failure,
    node::{Node, part},
    output::{Paper, Tone, printable, table},
};

/// What to do with keepers.
#[derive(Debug, Subcommand)]
pub enum KeeperVerb {
    /// Make a keeper, or say anew where it is; its token is read from standard input
    Add(Box<AddArgs>),
    /// Show the keepers and how each name stands there
    List,
    /// Forget a keeper; what is there stays as it is
    Remove {
        /// The keeper
        keeper: String,
    },
    /// Look at what is there now, and show what differs; writes nothing
    Plan {
        /// The keeper
        keeper: String,
    },
    /// Write what differs over what is there, and read it back
    Apply {
        /// The keeper
        keeper: String,
        /// How many sets of records differ, as the plan says
        #[arg(long, value_name = "COUNT")]
        confirm: Option<u64>,
    },
    /// Before the emergency: is the token good, are the rights enough, are the lifetimes short?
    Check {
        /// The keeper
        keeper: String,
        /// Write one set as it is there already, to prove that it can be
        #[arg(long)]
        write: bool,
    },
}

/// Whose name service.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// A name server that takes updates, signed with a TSIG key: BIND, Knot, PowerDNS and others
    Rfc2136,
    /// Cloudflare
    Cloudflare,
    /// deSEC
    Desec,
    /// Hetzner
    Hetzner,
    /// Amazon Route 53
    Route53,
}

/// Where a keeper is.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name here
    keeper: String,
    /// Whose name service
    #[arg(long, value_enum)]
    kind: Kind,
    /// The zone there
    #[arg(long)]
    zone: String,
    /// rfc2136: the primary's address and port
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Option<String>,
    /// rfc2136: the TSIG key, as 'lifeboat dns tsig list' shows it
    #[arg(long)]
    key: Option<String>,
    /// cloudflare, route53: the zone's id there
    #[arg(long)]
    zone_id: Option<String>,
    /// route53: the id of the access key; its secret is read from standard input
    #[arg(long)]
    access_key: Option<String>,
    /// The address of the API, where it is not the provider's usual one
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// A name server of the zone, to be asked after each write; may be given several times
    #[arg(long = "name-server", value_name = "ADDRESS:PORT")]
    servers: Vec<String>,
    /// Write over what somebody else wrote over our names, at once
    #[arg(long)]
    enforce: bool,
    /// Keep the token that is there, and read none
    #[arg(long)]
    keep_token: bool,
}

/// A keeper, as the API shows it.
#[derive(Debug, Deserialize)]
pub struct Keeper {
    keeper: String,
    zone: String,
    kind: String,
    place: String,
    enforce: bool,
    held: bool,
    looked: Option<String>,
    trouble: Option<Trouble>,
    behind: Vec<String>,
    sets: Vec<Set>,
}

#[derive(Debug, Deserialize)]
struct Trouble {
    since: String,
    how: String,
    why: String,
    next: String,
}

#[derive(Debug, Deserialize)]
struct Set {
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    standing: String,
    wanted: Vec<String>,
    found: Option<Vec<String>>,
    lifetime: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Keepers {
    keepers: Vec<Keeper>,
}

#[derive(Debug, Deserialize)]
struct Plan {
    keeper: String,
    done: bool,
    changes: u64,
    lines: Vec<String>,
    beside: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Checked {
    good: bool,
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    good: bool,
    what: String,
    advice: String,
}

/// Does what `lifeboat dns keeper` was asked for.
pub async fn keeper(node: &Node, what: KeeperVerb, paper: Paper) -> Result<Said, Failure> {
    let path = |keeper: &str, deed: &str| format!("/dns/keepers/{}/{deed}", part(keeper));
    match what {
        KeeperVerb::Add(args) => add(node, &args).await,
        KeeperVerb::List => {
            let answer = node.get::<Keepers>("/dns/keepers").await?;
            let all: Vec<String> = answer
                .value
                .keepers
                .iter()
                .map(|it| shown(it, paper))
                .collect();
            let mut text = all.join("\n");
            if text.is_empty() {
                text = "no keepers: make one with 'lifeboat dns keeper add'\n".to_owned();
            }
            Ok(Said::of(answer.json, text))
        }
        KeeperVerb::Remove { keeper } => node.said(&path(&keeper, "remove"), json!({})).await,
        KeeperVerb::Plan { keeper } => {
            let answer = node.get::<Plan>(&path(&keeper, "plan")).await?;
            let text = planned(&answer.value, paper);
            Ok(Said::of(answer.json, text))
        }
        KeeperVerb::Apply { keeper, confirm } => {
            let body = json!({ "confirm": confirm });
            let answer = node.post::<Plan>(&path(&keeper, "apply"), &body).await?;
            let text = planned(&answer.value, paper);
            Ok(Said::of(answer.json, text))
        }
        KeeperVerb::Check { keeper, write } => {
            let body = json!({ "write": write });
            let answer = node.post::<Checked>(&path(&keeper, "check"), &body).await?;
            let mut text = String::new();
            for it in &answer.value.findings {
                let what = printable(&it.what);
                if it.good {
                    text.push_str(&format!("good  {what}\n"));
                } else {
                    let what = paper.tone(Tone::Warn, &what);
                    text.push_str(&format!("look  {what}\n      {}\n", printable(&it.advice)));
                }
            }
            if answer.value.good {
                text.push_str("a switch would be written here\n");
            }
            Ok(Said::of(answer.json, text))
        }
    }
}

async fn add(node: &Node, args: &AddArgs) -> Result<Said, Failure> {
    let kind = match args.kind {
        Kind::Rfc2136 => "rfc2136",
        Kind::Cloudflare => "cloudflare",
        Kind::Desec => "desec",
        Kind::Hetzner => "hetzner",
        Kind::Route53 => "route53",
    };
    let mut body = Map::new();
    body.insert("kind".to_owned(), json!(kind));
    body.insert("zone".to_owned(), json!(args.zone));
    body.insert("enforce".to_owned(), json!(args.enforce));
    body.insert("servers".to_owned(), json!(args.servers));
    let given = [
        ("server", &args.server),
        ("key", &args.key),
        ("url", &args.api),
        ("zone_id", &args.zone_id),
        ("access_key", &args.access_key),
    ];
    for (field, value) in given {
        if let Some(value) = value {
            body.insert(field.to_owned(), json!(value));
        }
    }
    // On the command line others of this machine could read it.
    if !matches!(args.kind, Kind::Rfc2136) && !args.keep_token {
        let secret = std::io::read_to_string(std::io::stdin()).unwrap_or_default();
        body.insert("secret".to_owned(), json!(secret.trim()));
    }
    let path = format!("/dns/keepers/{}", part(&args.keeper));
    node.said(&path, Value::Object(body)).await
}

/// A keeper in a few lines, with its names as a table.
pub fn shown(keeper: &Keeper, paper: Paper) -> String {
    let looked = keeper.looked.as_ref().map_or_else(
        || "never looked at yet".to_owned(),
        |it| format!("looked at {}", paper.time(it)),
    );
    let enforce = if keeper.enforce { ", enforced" } else { "" };
    let mut text = format!(
        "keeper {}: {} at {} ({}){enforce}, {looked}\n",
        keeper.keeper,
        printable(&keeper.zone),
        keeper.kind,
        printable(&keeper.place)
    );
    if keeper.held {
        let line = "nothing is written since a restore; 'lifeboat dns release' lets it be";
        text.push_str(&format!("  {}\n", paper.tone(Tone::Bad, line)));
    }
    if let Some(trouble) = &keeper.trouble {
        let line = format!(
            "{} since {}: {}; next try {}",
            trouble.how,
            paper.time(&trouble.since),
            printable(&trouble.why),
            paper.time(&trouble.next)
        );
        text.push_str(&format!("  {}\n", paper.tone(Tone::Bad, &line)));
    }
    for server in &keeper.behind {
        let line = format!("the name server {} answers otherwise", printable(server));
        text.push_str(&format!("  {}\n", paper.tone(Tone::Warn, &line)));
    }
    let rows: Vec<Vec<String>> = keeper
        .sets
        .iter()
        .map(|it| {
            let found = it
                .found
                .as_ref()
                .map_or_else(|| "not looked at yet".to_owned(), |lines| data_of(lines));
            let lifetime = it
                .lifetime
                .map_or(String::new(), |it| format!(" (lifetime {it} s)"));
            vec![
                it.name.clone(),
                it.rtype.clone(),
                it.standing.clone(),
                data_of(&it.wanted),
                format!("{found}{lifetime}"),
            ]
        })
        .collect();
    if rows.is_empty() {
        text.push_str("  no service has a name there\n");
    } else {
        text.push_str(&table(&["NAME", "TYPE", "IS", "WANTED", "THERE"], &rows));
    }
    text
}

/// The data of lines of a zone file.
fn data_of(lines: &[String]) -> String {
    let data = lines.iter().map(|it| {
        let words: Vec<&str> = it.splitn(5, ' ').collect();
        words.get(4).copied().unwrap_or_default().to_owned()
    });
    let data: Vec<String> = data.collect();
    if data.is_empty() {
        "nothing".to_owned()
    } else {
        data.join(", ")
    }
}

fn planned(plan: &Plan, paper: Paper) -> String {
    let mut text = String::new();
    for warning in &plan.warnings {
        let warning = paper.tone(Tone::Warn, &printable(warning));
        text.push_str(&format!("warning    {warning}\n"));
    }
    for line in &plan.lines {
        text.push_str(&format!("  {}\n", printable(line)));
    }
    for line in &plan.beside {
        text.push_str(&format!("stays      {}\n", printable(line)));
    }
    let keeper = &plan.keeper;
    text.push_str(&match (plan.done, plan.changes) {
        (_, 0) => format!("nothing differs at {keeper}\n"),
        (true, count) => format!("{count} sets are written at {keeper}, and read back\n"),
        (false, count) => format!(
            "nothing was confirmed: {count} sets differ at {keeper}\nwrite them: lifeboat dns keeper apply {keeper} --confirm {count}\n"
        ),
    });
    text
}
