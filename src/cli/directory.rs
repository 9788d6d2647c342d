//! `lifeboat directory`: taking customers in before the outage, asking for them on the day.
//!
//! Files go to the node as they are; what is in them is for the node to say.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Said,
    failure::{Exit, Failure, chain},
    node::{Node, part},
    output::{Paper, bytes as size, count, printable, table},
};
use crate::{
    clock, durable,
    model::{limits, words::ClientId},
};

mod shown;

use shown::{Card, Differs, Erased, Imported, Meant, Short, Touched, Whole};

/// How often it is asked whether a version is live.
const LOOK: Duration = Duration::from_millis(250);

/// What to do with the directory.
#[derive(Debug, Subcommand)]
pub enum Directory {
    /// Take in a whole directory: CSV or JSON lines, one or several files
    Import(Upload),
    /// Change customers: JSON lines, each a whole customer or {"customer": "...", "gone": true}
    Update(Upload),
    /// Show what is live, and whom incidents touch
    Show,
    /// Show the versions that can be gone back to
    Versions,
    /// Show how two versions differ
    Diff {
        /// The older one [default: the live one]
        from: Option<String>,
        /// The newer one [default: the wanted one]
        to: Option<String>,
    },
    /// Make an earlier version the live one
    Rollback {
        /// The version, such as d42
        version: String,
    },
    /// How many an audience means, and some of them
    Audience(Asked),
    /// Show one customer, and whether what happens touches them
    Customer {
        /// The company's number for the customer
        customer: String,
    },
    /// Find customers by their number, address, domain or server
    Find {
        /// The whole number, address, domain or server
        text: String,
    },
    /// Say whom an incident touches, for "is it me" and the customers' cards
    Affects {
        /// The incident
        incident: String,
        /// Servers, racks, datacentres and products, such as 'datacentre=prague and not product=dns'
        #[arg(required_unless_present = "unknown")]
        audience: Option<String>,
        /// It is not known
        #[arg(long, conflicts_with = "audience")]
        unknown: bool,
    },
    /// Erase one customer from every version
    Erase {
        /// The company's number for the customer
        customer: String,
        /// 1, once it was seen what goes
        #[arg(long, value_name = "1")]
        confirm: Option<u64>,
    },
    /// Let an erased customer into later imports again
    Readmit {
        /// The company's number for the customer
        customer: String,
    },
}

/// Files to take in.
#[derive(Debug, Args)]
pub struct Upload {
    /// The files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What a column holds, where its heading does not say it
    #[arg(long = "map", value_name = "FIELD=COLUMN", allow_hyphen_values = true)]
    map: Vec<String>,
    /// Only read and compare
    #[arg(long)]
    dry_run: bool,
    /// How many customers of the directory may be gone
    #[arg(long, value_name = "COUNT")]
    confirm: Option<u64>,
    /// Why, in one line
    #[arg(long, default_value = "")]
    note: String,
    /// How many seconds to wait until it is live
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    wait: u64,
}

/// An audience.
#[derive(Debug, Args)]
pub struct Asked {
    /// Such as 'datacentre=prague and not product=dns', or 'all except list=told'
    audience: String,
    /// A file of customer numbers and addresses, one a line, that the audience calls list=NAME
    #[arg(long = "list", value_name = "NAME=FILE")]
    lists: Vec<String>,
    /// What has failed, whose mailboxes are avoided [default: the audience, where that is about places]
    #[arg(long, value_name = "AUDIENCE")]
    failed: Option<String>,
    /// A domain whose mailboxes have failed besides
    #[arg(long, value_name = "DOMAIN")]
    avoid: Vec<String>,
    /// Show so many of them
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    sample: usize,
}

/// Does what `lifeboat directory` was asked for. Progress goes to standard error where `progress` says so.
pub async fn directory(
    node: &Node,
    what: Directory,
    paper: Paper,
    progress: bool,
) -> Result<Said, Failure> {
    match what {
        Directory::Import(upload) => take_in(node, "/directory", &upload, progress).await,
        Directory::Update(upload) => take_in(node, "/directory/changes", &upload, progress).await,
        Directory::Show => {
            let answer = node.get::<Whole>("/directory").await?;
            Ok(Said::of(answer.json, answer.value.summary(paper)))
        }
        Directory::Versions => {
            let answer = node.get::<Whole>("/directory").await?;
            Ok(Said::of(answer.json, answer.value.table(paper)))
        }
        Directory::Diff { from, to } => {
            let named = [("from", from), ("to", to)].into_iter();
            let named = named.filter_map(|(name, it)| Some(format!("{name}={}", part(&it?))));
            let path = format!("/directory/diff?{}", named.collect::<Vec<_>>().join("&"));
            let answer = node.get::<Differs>(&path).await?;
            Ok(Said::of(answer.json, answer.value.text()))
        }
        Directory::Rollback { version } => {
            let body = json!({ "version": version });
            let answer = node.post::<Value>("/directory/rollback", &body).await?;
            let text = match answer.value["live"] == true {
                true => format!("{} is live again\n", printable(&version)),
                false => format!(
                    "{} is wanted; a majority makes it live\n",
                    printable(&version)
                ),
            };
            Ok(Said::of(answer.json, text))
        }
        Directory::Audience(asked) => audience(node, asked).await,
        Directory::Customer { customer } => {
            let path = format!("/directory/customers/{}", part(&customer));
            let answer = node.get::<Card>(&path).await?;
            Ok(Said::of(answer.json, answer.value.text()))
        }
        Directory::Find { text } => {
            let path = format!("/directory/customers?find={}", part(&text));
            let answer = node.get::<Vec<Short>>(&path).await?;
            let rows: Vec<Vec<String>> = answer.value.iter().map(Short::row).collect();
            let text = match rows.is_empty() {
                true => "nobody\n".to_owned(),
                false => table(&["CUSTOMER", "NAME"], &rows),
            };
            Ok(Said::of(answer.json, text))
        }
        Directory::Affects {
            incident, audience, ..
        } => {
            let body = json!({ "incident": incident, "audience": audience });
            let answer = node.post::<Touched>("/directory/affects", &body).await?;
            Ok(Said::of(answer.json, answer.value.text()))
        }
        Directory::Erase { customer, confirm } => {
            let body = json!({ "customer": customer, "confirm": confirm });
            let answer = node.post::<Erased>("/directory/erase", &body).await?;
            Ok(Said::of(answer.json, answer.value.text()))
        }
        Directory::Readmit { customer } => {
            let body = json!({ "customer": customer });
            let answer = node.post::<Value>("/directory/readmit", &body).await?;
            let text = "the customer may come with the next import\n".to_owned();
            Ok(Said::of(answer.json, text))
        }
    }
}

async fn take_in(
    node: &Node,
    path: &str,
    upload: &Upload,
    progress: bool,
) -> Result<Said, Failure> {
    let say = move |line: &str| {
        if progress {
            // Progress is a courtesy; a closed standard error must not stop the import.
            let _ = writeln!(io::stderr(), "{line}");
        }
    };
    let mut query = format!("dry_run={}&note={}", upload.dry_run, part(&upload.note));
    if let Some(confirm) = upload.confirm {
        query.push_str(&format!("&confirm={confirm}"));
    }
    for map in &upload.map {
        query.push_str(&format!("&map={}", part(map)));
    }
    let (file, whole) = opened(&upload.files)?;
    say(&format!("sending {} to the node", size(whole)));
    let sent = move |sent: u64| {
        if progress && sent == whole {
            let _ = writeln!(io::stderr(), "sent; the node reads and compares it");
        }
    };
    let began = clock::monotonic();
    let path = format!("{path}?{query}");
    let mut answer = node
        .upload_file::<Imported>(&path, (file, whole), sent)
        .await?;
    let text = answer.value.text();
    let Some(version) = answer.value.version.clone() else {
        let confirm = match answer.value.confirm {
            Some(lost) => format!(" with --confirm {lost}"),
            None => String::new(),
        };
        let text =
            format!("{text}Nothing was changed. To do it, repeat it without --dry-run{confirm}.\n");
        return Ok(Said::of(answer.json, text));
    };
    if answer.value.changes() == 0 && answer.value.live {
        return Ok(Said::of(
            answer.json,
            format!("{text}Nothing changes; {version} stays live.\n"),
        ));
    }
    let took = format!("{:.1} s", began.elapsed().as_secs_f32());
    say(&format!(
        "{version} is agreed on after {took}; waiting until a majority has copied it"
    ));
    let wait = Duration::from_secs(upload.wait);
    let (live, held, voters) = until_live(node, &version, wait).await?;
    answer.json["live"] = json!(live);
    if live {
        let text = format!("{text}{version} is live: {held} of {voters} voters have it.\n");
        return Ok(Said::of(answer.json, text));
    }
    let mut failure = Failure::new(
        Exit::Failed,
        format!("{version} is agreed on but not live yet"),
        format!(
            "{held} of {voters} voters have copied it within {} s",
            upload.wait
        ),
        "it goes live by itself; look with 'lifeboat directory versions'",
    );
    failure.problem = Some(answer.json);
    Err(failure)
}

/// Asks again and again until the version, or a later one, is live, or the time is over.
async fn until_live(
    node: &Node,
    version: &str,
    wait: Duration,
) -> Result<(bool, u64, u64), Failure> {
    let end = clock::monotonic() + wait;
    let number = |text: &str| text.trim_start_matches('d').parse::<u64>().unwrap_or(0);
    loop {
        let whole = node.get::<Whole>("/directory").await?.value;
        let live = whole
            .live
            .as_deref()
            .is_some_and(|it| number(it) >= number(version));
        let (held, voters) = whole.holding(version);
        if live || clock::monotonic() >= end {
            return Ok((live, held, voters));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn audience(node: &Node, asked: Asked) -> Result<Said, Failure> {
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for given in &asked.lists {
        let (name, file) = given.split_once('=').ok_or_else(|| {
            let why = format!("found {}; wanted NAME=FILE", printable(given));
            Failure::new(
                Exit::Usage,
                "--list cannot be used",
                why,
                "name the list and its file",
            )
        })?;
        let most = limits::AUDIENCE_LISTS_BYTES_MAX as u64;
        let text = durable::read_at_most(Path::new(file), most)
            .map_err(|it| unreadable(Path::new(file), &it))?;
        let text = String::from_utf8_lossy(&text);
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|it| !it.is_empty() && !it.starts_with('#'));
        lists.insert(name.to_owned(), lines.map(str::to_owned).collect());
    }
    let body = json!({
        "audience": asked.audience,
        "lists": lists,
        "failed": asked.failed,
        "avoid": asked.avoid,
        "sample": asked.sample,
    });
    let answer = node.post::<Meant>("/directory/audience", &body).await?;
    Ok(Said::of(answer.json, answer.value.text()))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let what = format!("{} cannot be read", path.display());
    let advice = "name a file that this user may read";
    Failure::new(Exit::Usage, what, chain(error), advice)
}

/// One file as it is; several in a .tar that has no name on the disk.
fn opened(files: &[PathBuf]) -> Result<(File, u64), Failure> {
    let length = |file: &File| file.metadata().map(|it| it.len());
    if let [one] = files {
        let file = File::open(one).map_err(|it| unreadable(one, &it))?;
        let len = length(&file).map_err(|it| unreadable(one, &it))?;
        return Ok((file, len));
    }
    let cannot = |error: io::Error| {
        let advice = "look at the room in the folder for temporary files, or send one file";
        Failure::new(
            Exit::Failed,
            "the files cannot be put together",
            chain(&error),
            advice,
        )
    };
    let path =
        std::env::temp_dir().join(format!("lifeboat-{}.tar", ClientId(clock::random_bytes())));
    let made = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    let file = made.map_err(cannot)?;
    fs::remove_file(&path).map_err(cannot)?;
    let mut archive = tar::Builder::new(file);
    for one in files {
        let name = one
            .file_name()
            .map(PathBuf::from)
            .unwrap_or_else(|| one.clone());
        archive
            .append_path_with_name(one, name)
            .map_err(|it| unreadable(one, &it))?;
    }
    let mut file = archive.into_inner().map_err(cannot)?;
    file.rewind().map_err(cannot)?;
    let len = length(&file).map_err(cannot)?;
    Ok((file, len))
}

/// `1 customer`, `2 customers`.
fn customers(number: u64) -> String {
    count(number, "customer")
}
