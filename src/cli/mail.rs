//! `lifeboat mail`: mass mail from the draft to the report.
//!
//! Nothing leaves by a slip: an approval without `--confirm` only shows what would be sent, and with it takes nothing
//! but the exact number of recipients.

mod keys;
mod shown;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Said,
    failure::{Exit, Failure, chain},
    node::{Node, part},
    output::{Paper, count, printable, printable_lines, table},
};
use crate::model::limits::{CAMPAIGN_LIST_BYTES_MAX, CAMPAIGN_TEXTS_BYTES_MAX};

use shown::{Campaign, Checked, Preview, progress, said, sample};

/// How often progress is asked for.
const LOOK: Duration = Duration::from_millis(500);

/// How often it is looked whether a majority has copied the recipients.
const COPY_LOOKS: u32 = 30;

/// What to do with mass mail.
#[derive(Debug, Subcommand)]
pub enum Mail {
    /// Draft a mass mail, or draft it anew with --campaign
    Draft(Drafting),
    /// Render every mail and show who gets it, samples, and whatever is wrong
    Check {
        /// The campaign
        campaign: String,
    },
    /// Show one person's mail as it would be sent
    Preview {
        /// The campaign
        campaign: String,
        /// The line of the list [default: the first]
        #[arg(long)]
        line: Option<u32>,
    },
    /// Send one person's mail to somebody of the company, marked as a test
    Test {
        /// The campaign
        campaign: String,
        /// Somebody with an account and a mailbox [default: the support mailbox]
        #[arg(long)]
        person: Option<String>,
        /// The line of the list [default: the first]
        #[arg(long)]
        line: Option<u32>,
    },
    /// Freeze the recipients and ask for an approval
    Request {
        /// The campaign
        campaign: String,
        /// The generation that was looked at [default: the newest]
        #[arg(long)]
        against: Option<u64>,
    },
    /// Look at what would be sent; with --confirm, agree to it
    Approve {
        /// The campaign
        campaign: String,
        /// The exact number of recipients
        #[arg(long, value_name = "COUNT")]
        confirm: Option<u32>,
        /// The hash that was looked at [default: what is frozen now]
        #[arg(long, value_name = "SHA-256")]
        binds: Option<String>,
        /// Nobody else agrees: why; then a countdown of 90 s runs that anybody can stop
        #[arg(long, value_name = "REASON")]
        alone: Option<String>,
    },
    /// Let nothing more of it leave until it is resumed
    Pause(Stopping),
    /// Let it go on
    Resume {
        /// The campaign
        campaign: String,
    },
    /// End it: whoever has not got it does not get it
    Cancel(Stopping),
    /// Let it be sent after a restore or a recovery; without --confirm shows what may repeat
    Release {
        /// The campaign
        campaign: String,
        /// The number of recipients that still wait and may get it twice
        #[arg(long, value_name = "COUNT")]
        confirm: Option<u32>,
    },
    /// List mass mail, the newest first
    List,
    /// Show one, with its progress
    Show {
        /// The campaign
        campaign: String,
        /// Go on showing until it ends
        #[arg(long)]
        watch: bool,
    },
    /// Print what became of every recipient, as CSV
    Report {
        /// The campaign
        campaign: String,
    },
    /// Keep mass mail away from addresses
    Suppress {
        /// The addresses
        #[arg(required = true)]
        addresses: Vec<String>,
        /// Keep away only what is not essential
        #[arg(long)]
        updates_only: bool,
    },
    /// Let addresses be written to again
    Allow {
        /// The addresses
        #[arg(required = true)]
        addresses: Vec<String>,
    },
    /// The keys that our mail is signed with (DKIM)
    Key {
        /// What to do
        #[command(subcommand)]
        what: keys::Keys,
    },
    /// Show what receivers would make of our mail, with the DNS records that are wanted
    Ready,
    /// Show the rules, or say how many one person alone may mail to
    Rules {
        /// Above so many, somebody else agrees or a countdown runs
        #[arg(long, value_name = "COUNT")]
        alone_up_to: Option<u32>,
    },
}

/// What is drafted.
#[derive(Debug, Args)]
pub struct Drafting {
    /// What people call it; recipients do not see it
    #[arg(long)]
    name: String,
    /// essential (about what a customer pays for; nobody can unsubscribe) or updates
    #[arg(long, default_value = "essential", value_parser = ["essential", "updates"])]
    kind: String,
    /// The folder of the texts: cs.txt with "Subject: ..." as its first line, cs.html where there is HTML; en.txt and so on
    #[arg(long, value_name = "FOLDER")]
    texts: PathBuf,
    /// The recipients: CSV with a heading (address, lang, name, customer, services, ...), or JSON lines
    #[arg(long, value_name = "FILE", required_unless_present_any = ["audience", "correct", "resend"])]
    list: Option<PathBuf>,
    /// Whom of the directory, such as 'datacentre:prague'; 'lifeboat directory audience' counts them first
    #[arg(long, value_name = "AUDIENCE", conflicts_with = "list")]
    audience: Option<String>,
    /// The language of lines that have none
    #[arg(long, default_value = "en")]
    lang: String,
    /// To exactly those who got this earlier campaign, or may have
    #[arg(long, value_name = "CAMPAIGN", conflicts_with_all = ["list", "audience", "resend"])]
    correct: Option<String>,
    /// To exactly those who did not get this earlier campaign
    #[arg(long, value_name = "CAMPAIGN", conflicts_with_all = ["list", "audience"])]
    resend: Option<String>,
    /// In what time after the approval it must be delivered
    #[arg(long, default_value = "24h", value_name = "SPAN")]
    deliver: String,
    /// Everybody at once: no smaller waves first
    #[arg(long)]
    at_once: bool,
    /// Draft this campaign anew
    #[arg(long)]
    campaign: Option<String>,
    /// Its generation that was looked at [default: the newest]
    #[arg(long, requires = "campaign")]
    against: Option<u64>,
}

/// What is stopped and why.
#[derive(Debug, Args)]
pub struct Stopping {
    /// The campaign
    campaign: String,
    /// Why, in one line
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Taken {
    list: String,
    recipients: u64,
}

#[derive(Debug, Deserialize)]
struct Listed {
    campaigns: Vec<Campaign>,
}

#[derive(Debug, Deserialize)]
struct Tested {
    says: String,
}

#[derive(Debug, Deserialize)]
struct Rules {
    suppressed: u64,
    alone_up_to: u32,
}

/// Does what `lifeboat mail` was asked for. Progress goes to standard error where `live`.
pub async fn mail(node: &Node, what: Mail, paper: Paper, live: bool) -> Result<Said, Failure> {
    match what {
        Mail::Draft(drafting) => draft(node, &drafting, paper).await,
        Mail::Check { campaign } => check(node, &campaign).await,
        Mail::Preview { campaign, line } => {
            let line = line.map_or(String::new(), |it| format!("?line={it}"));
            let path = path(&campaign, &format!("/preview{line}"));
            let answer = node.get::<Preview>(&path).await?;
            let text = sample(&answer.value);
            Ok(Said::of(answer.json, text))
        }
        Mail::Test {
            campaign,
            person,
            line,
        } => {
            let body = json!({ "person": person, "line": line });
            let answer = node
                .post::<Tested>(&path(&campaign, "/test"), &body)
                .await?;
            let text = format!("{}\n", answer.value.says);
            Ok(Said::of(answer.json, text))
        }
        Mail::Request { campaign, against } => {
            let body = json!({ "against": against });
            change(node, &campaign, "request", &body, paper).await?;
            copied(node, &campaign, paper).await
        }
        Mail::Approve {
            campaign,
            confirm,
            binds,
            alone,
        } => approve(node, &campaign, (confirm, binds, alone), paper).await,
        Mail::Pause(it) => {
            let body = json!({ "reason": it.reason });
            change(node, &it.campaign, "pause", &body, paper).await
        }
        Mail::Resume { campaign } => change(node, &campaign, "resume", &json!({}), paper).await,
        Mail::Cancel(it) => {
            let body = json!({ "reason": it.reason });
            change(node, &it.campaign, "cancel", &body, paper).await
        }
        Mail::Release { campaign, confirm } => release(node, &campaign, confirm, paper).await,
        Mail::List => list(node, paper).await,
        Mail::Show { campaign, watch } => show(node, &campaign, watch && live, paper).await,
        Mail::Report { campaign } => {
            Ok(Said::bytes(node.fetch(&path(&campaign, "/report")).await?))
        }
        Mail::Key { what } => keys::keys(node, what).await,
        Mail::Ready => keys::ready(node).await,
        other => of_rules(node, other).await,
    }
}

async fn of_rules(node: &Node, what: Mail) -> Result<Said, Failure> {
    match what {
        Mail::Suppress {
            addresses,
            updates_only,
        } => {
            let scope = if updates_only {
                "updates"
            } else {
                "everything"
            };
            let body = json!({ "addresses": addresses, "scope": scope });
            rules(node.post("/suppressions", &body).await?)
        }
        Mail::Allow { addresses } => {
            let body = json!({ "addresses": addresses });
            rules(node.post("/suppressions/remove", &body).await?)
        }
        Mail::Rules { alone_up_to: None } => rules(node.get("/suppressions").await?),
        Mail::Rules {
            alone_up_to: Some(most),
        } => {
            let body = json!({ "alone_up_to": most });
            rules(node.post("/suppressions/alone", &body).await?)
        }
        _ => Ok(Said::nothing()),
    }
}

fn rules(answer: super::node::Answer<Rules>) -> Result<Said, Failure> {
    let Rules {
        suppressed,
        alone_up_to,
    } = answer.value;
    let text = format!(
        "one person alone may mail to {alone_up_to} recipients; above that somebody else agrees, or a countdown runs\n\
         {} suppressed\n",
        count(suppressed, "address").replace("addresss", "addresses")
    );
    Ok(Said::of(answer.json, text))
}

fn path(campaign: &str, rest: &str) -> String {
    format!("/campaigns/{}{rest}", part(campaign))
}

async fn change(
    node: &Node,
    campaign: &str,
    what: &str,
    body: &Value,
    paper: Paper,
) -> Result<Said, Failure> {
    let answer = node
        .post::<Campaign>(&path(campaign, &format!("/{what}")), body)
        .await?;
    let text = said(&answer.value, paper);
    Ok(Said::of(answer.json, text))
}

async fn draft(node: &Node, drafting: &Drafting, paper: Paper) -> Result<Said, Failure> {
    let texts = texts(&drafting.texts)?;
    let mut list = None;
    if let Some(file) = &drafting.list {
        let bytes = read(
            file,
            CAMPAIGN_LIST_BYTES_MAX,
            "name a CSV file or one of JSON lines",
        )?;
        let path = format!("/campaigns/lists?lang={}", part(&drafting.lang));
        let taken = node
            .upload::<Taken>(&path, bytes.into(), |_| {})
            .await?
            .value;
        // Progress is a courtesy; a closed standard error must not stop the draft.
        let _ = writeln!(
            std::io::stderr(),
            "the node has read {}",
            count(taken.recipients, "recipient")
        );
        list = Some(taken.list);
    }
    let follows = match (&drafting.correct, &drafting.resend) {
        (Some(campaign), _) => Some(json!({ "campaign": campaign, "who": "got" })),
        (None, Some(campaign)) => Some(json!({ "campaign": campaign, "who": "missed" })),
        (None, None) => None,
    };
    let body = json!({
        "name": drafting.name,
        "kind": drafting.kind,
        "texts": texts,
        "list": list,
        "audience": drafting.audience,
        "follows": follows,
        "deliver": drafting.deliver,
        "at_once": drafting.at_once,
        "campaign": drafting.campaign,
        "against": drafting.against,
    });
    let answer = node.post::<Campaign>("/campaigns", &body).await?;
    let id = &answer.value.campaign;
    let text = format!(
        "{}\nLook at every mail with 'lifeboat mail check {id}', then ask with 'lifeboat mail request {id}'.\n",
        said(&answer.value, paper)
    );
    Ok(Said::of(answer.json, text))
}

fn read(file: &Path, most: u64, advice: &str) -> Result<Vec<u8>, Failure> {
    crate::durable::read_at_most(file, most).map_err(|error| {
        let what = format!("{} cannot be read", file.display());
        Failure::new(Exit::Usage, what, chain(&error), advice)
    })
}

/// The texts of a folder, by language: the first line of each `.txt` is its subject.
fn texts(folder: &Path) -> Result<BTreeMap<String, Value>, Failure> {
    let advice = "put cs.txt, en.txt and so on into it, each beginning with 'Subject: ...' and an empty line";
    let wrong = |what: &Path, why: &str| {
        let what = format!("{} cannot be used", what.display());
        Failure::new(Exit::Usage, what, why, advice)
    };
    let entries = fs::read_dir(folder).map_err(|error| wrong(folder, &error.to_string()))?;
    let mut texts = BTreeMap::new();
    for entry in entries.flatten() {
        let file = entry.path();
        let tag = file
            .file_stem()
            .and_then(|it| it.to_str())
            .map(str::to_owned);
        let (Some(tag), Some("txt")) = (tag, file.extension().and_then(|it| it.to_str())) else {
            continue;
        };
        let text = text_of(&file, advice)?;
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let subject = first.trim_end().strip_prefix("Subject:");
        let subject =
            subject.ok_or_else(|| wrong(&file, "its first line is not 'Subject: ...'"))?;
        let html = file.with_extension("html");
        let html = html.exists().then(|| text_of(&html, advice)).transpose()?;
        let words = json!({
            "subject": subject.trim(),
            "text": rest.trim_start_matches(['\r', '\n']),
            "html": html,
        });
        texts.insert(tag, words);
    }
    if texts.is_empty() {
        return Err(wrong(folder, "there is no .txt file in it"));
    }
    Ok(texts)
}

fn text_of(file: &Path, advice: &str) -> Result<String, Failure> {
    let bytes = read(file, CAMPAIGN_TEXTS_BYTES_MAX as u64, advice)?;
    String::from_utf8(bytes).map_err(|error| {
        let what = format!("{} cannot be used", file.display());
        Failure::new(Exit::Usage, what, error.to_string(), "save it as UTF-8")
    })
}

async fn check(node: &Node, campaign: &str) -> Result<Said, Failure> {
    let answer = node.get::<Checked>(&path(campaign, "/check")).await?;
    let text = answer.value.spoken(campaign);
    if answer.value.wrong > 0 {
        let what = format!("{} cannot be sent as it is", printable(campaign));
        let why = format!("{}\n{text}", count(answer.value.wrong, "mistake"));
        let advice = "put the list or the texts right and draft it anew";
        let mut failure = Failure::new(Exit::Refused, what, why, advice);
        failure.problem = Some(answer.json);
        return Err(failure);
    }
    Ok(Said::of(answer.json, text))
}

async fn approve(
    node: &Node,
    campaign: &str,
    (confirm, binds, alone): (Option<u32>, Option<String>, Option<String>),
    paper: Paper,
) -> Result<Said, Failure> {
    let known = node.get::<Campaign>(&path(campaign, "")).await?;
    let found = known.value.binds.clone();
    let Some(found) = found else {
        let why = "its recipients are not frozen yet";
        let advice = format!(
            "ask for it with 'lifeboat mail request {}'",
            printable(campaign)
        );
        return Err(Failure::new(
            Exit::Refused,
            "there is nothing to approve",
            why,
            advice,
        ));
    };
    let Some(typed) = confirm else {
        let checked = node.get::<Checked>(&path(campaign, "/check")).await?;
        let mut text = String::from("nothing was approved yet; this would be sent:\n\n");
        text.push_str(&said(&known.value, paper));
        for it in &checked.value.samples {
            text.push('\n');
            text.push_str(&sample(it));
        }
        let recipients = known.value.recipients;
        text.push_str(&format!(
            "\nTo agree to exactly this: lifeboat mail approve {campaign} --confirm COUNT --binds {found}\n\
             where COUNT is the number of recipients above.\n"
        ));
        if known.value.needs_second {
            text.push_str(&format!(
                "{recipients} are more than {}: somebody else than {} agrees, or --alone REASON begins a countdown of 90 s.\n",
                known.value.alone_up_to,
                printable(known.value.asked_by.as_deref().unwrap_or_default())
            ));
        }
        return Ok(Said::of(known.json, text));
    };
    let body = json!({ "binds": binds.unwrap_or(found), "count": typed, "alone": alone });
    change(node, campaign, "approve", &body, paper).await
}

async fn release(
    node: &Node,
    campaign: &str,
    confirm: Option<u32>,
    paper: Paper,
) -> Result<Said, Failure> {
    if let Some(typed) = confirm {
        return change(node, campaign, "release", &json!({ "count": typed }), paper).await;
    }
    let known = node.get::<Campaign>(&path(campaign, "")).await?;
    let waiting = known
        .value
        .outcomes
        .get("waiting")
        .copied()
        .unwrap_or_default();
    let text = format!(
        "{}\n{waiting} still wait in what was restored; whoever of them was mailed after the backup gets it twice.\n\
         To let it be sent: lifeboat mail release {campaign} --confirm {waiting}\n",
        said(&known.value, paper)
    );
    Ok(Said::of(known.json, text))
}

/// Waits a while until a majority has copied the recipients, so that the approval can follow at once.
async fn copied(node: &Node, campaign: &str, paper: Paper) -> Result<Said, Failure> {
    let mut looks = 0;
    loop {
        let answer = node.get::<Campaign>(&path(campaign, "")).await?;
        if answer.value.is_copied() || looks == COPY_LOOKS {
            let text = said(&answer.value, paper);
            return Ok(Said::of(answer.json, text));
        }
        looks += 1;
        tokio::time::sleep(LOOK).await;
    }
}

async fn list(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Listed>("/campaigns").await?;
    let row = |it: &Campaign| {
        vec![
            it.campaign.clone(),
            it.stage.clone(),
            it.recipients.to_string(),
            it.settled.to_string(),
            paper.since(&it.made),
            it.by.clone(),
            it.name.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.value.campaigns.iter().map(row).collect();
    let heading = [
        "CAMPAIGN",
        "STAGE",
        "RECIPIENTS",
        "SETTLED",
        "MADE",
        "BY",
        "NAME",
    ];
    let text = match rows.is_empty() {
        true => "no mass mail\n".to_owned(),
        false => table(&heading, &rows),
    };
    Ok(Said::of(answer.json, text))
}

async fn show(node: &Node, campaign: &str, watch: bool, paper: Paper) -> Result<Said, Failure> {
    let mut last = String::new();
    loop {
        let answer = node.get::<Campaign>(&path(campaign, "")).await?;
        let goes_on = matches!(
            answer.value.stage.as_str(),
            "counting" | "sending" | "paused"
        );
        if !watch || !goes_on {
            if !last.is_empty() {
                // The bar is a courtesy; nobody may be there to see it.
                let _ = writeln!(std::io::stderr());
            }
            let text = said(&answer.value, paper);
            return Ok(Said::of(answer.json, text));
        }
        let line = progress(&answer.value);
        if line != last {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K{line}");
            last = line;
        }
        tokio::time::sleep(LOOK).await;
    }
}
