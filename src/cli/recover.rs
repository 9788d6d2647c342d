//! `lifeboat recover`: after the loss of a majority, on a node that stands still. Looks, compares, and makes one survivor
//! a cluster of its own.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Said,
    failure::{Exit, Failure},
    output::{printable, table},
    start::{failed, loaded},
};
use crate::{model::when::rfc3339, run as node};

/// What to do after the loss of a majority.
#[derive(Debug, Subcommand)]
pub enum Recover {
    /// Show what this machine's node has; it must not run. Changes nothing
    Inspect,
    /// Compare what 'lifeboat recover inspect --json' said on the survivors, and say which one to go on from
    Plan {
        /// A file of each survivor
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Make this machine's node a cluster of its own; without --confirm only shows what would happen
    Apply(Apply),
}

/// Who is gone for good.
#[derive(Debug, Args)]
pub struct Apply {
    /// The voters that are dead, by name, apart by commas: so many that no majority is left
    #[arg(long, value_name = "NODES", value_delimiter = ',', required = true)]
    i_declare_dead: Vec<String>,
    /// The name of this node, to do it
    #[arg(long, value_name = "NODE")]
    confirm: Option<String>,
    /// Even though somebody answers at a dead node's address
    #[arg(long)]
    although_it_answers: bool,
}

/// What a survivor has.
#[derive(Debug, Serialize, Deserialize)]
struct Inspected {
    cluster: String,
    cluster_name: String,
    generation: u32,
    node: String,
    name: String,
    /// The last entry of the log.
    term: u64,
    index: u64,
    /// Up to where this node knows it to be agreed on.
    committed: u64,
    /// The cluster's time at the last entry.
    time: String,
    voters: Vec<String>,
    conversations: u64,
    sha256: String,
}

/// Does what `lifeboat recover` was asked for.
pub fn recover(config: &Path, what: Recover) -> Result<Said, Failure> {
    match what {
        Recover::Inspect => inspect(config),
        Recover::Plan { files } => plan(&files),
        Recover::Apply(apply) => self::apply(config, &apply),
    }
}

fn survivor(config: &Path) -> Result<node::recovery::Survivor, Failure> {
    let config = loaded(config)?;
    node::recovery::survivor(&config)
        .map_err(|error| failed("this node cannot be looked at", &error))
}

fn inspected(it: &node::recovery::Survivor) -> Inspected {
    let voters = it.state.voters.iter().map(|id| it.name_of(*id));
    Inspected {
        cluster: it.resident.cluster.to_string(),
        cluster_name: it.resident.cluster_name.to_string(),
        generation: it.resident.generation,
        node: it.resident.node.to_string(),
        name: it.name_of(it.resident.node),
        term: it.reach.term,
        index: it.reach.index,
        committed: it.reach.committed,
        time: rfc3339(it.state.now),
        voters: voters.collect(),
        conversations: it.state.conversations.len() as u64,
        sha256: it.state.digest().to_string(),
    }
}

fn inspect(config: &Path) -> Result<Said, Failure> {
    let it = inspected(&survivor(config)?);
    let text = format!(
        "cluster    {}, generation {}\n\
         node       {}, {}\n\
         log        up to entry {} of term {}, at {}; known to be agreed on up to {}\n\
         voters     {}\n\
         holds      {} conversations\n\
         state      SHA-256 {}\n\
         Look at every node that survived before you recover one: 'lifeboat recover inspect --json > NAME.json' on each, \
         then 'lifeboat recover plan *.json'.\n",
        printable(&it.cluster_name),
        it.generation,
        it.name,
        it.node,
        it.index,
        it.term,
        it.time,
        it.committed,
        it.voters.join(", "),
        it.conversations,
        it.sha256
    );
    Ok(Said::of(value(&it), text))
}

fn value(it: &impl Serialize) -> Value {
    serde_json::to_value(it).unwrap_or_default()
}

fn plan(files: &[PathBuf]) -> Result<Said, Failure> {
    let all = read(files)?;
    let Some(best) = all.first() else {
        return Ok(Said::nothing());
    };
    let survive = |name: &String| all.iter().any(|it| it.name == *name);
    let voters = best.voters.iter();
    let dead: Vec<String> = voters.filter(|it| !survive(it)).cloned().collect();
    let has_majority = all.len() > best.voters.len() / 2;
    let said = json!({
        "survivors": value(&all),
        "dead": dead,
        "has_majority": has_majority,
        "go_on_from": (!has_majority).then_some(&best.name),
    });
    let mut text = compared(&all);
    text.push_str(&match has_majority {
        true => format!(
            "{} of {} voters survived, and that is a majority: start them; nothing is to be recovered\n",
            all.len(),
            best.voters.len()
        ),
        false => advised(&all, best, &dead),
    });
    Ok(Said::of(said, text))
}

/// What the survivors said, the one whose log reaches furthest first.
fn read(files: &[PathBuf]) -> Result<Vec<Inspected>, Failure> {
    let mut all = Vec::new();
    for path in files {
        let wrong = |why: String| {
            let what = format!("{} cannot be used", path.display());
            let advice = "write it with 'lifeboat recover inspect --json'";
            Failure::new(Exit::Usage, what, why, advice)
        };
        let text = std::fs::read_to_string(path).map_err(|it| wrong(it.to_string()))?;
        let it: Inspected = serde_json::from_str(&text).map_err(|it| wrong(it.to_string()))?;
        all.push(it);
    }
    // As Raft itself compares logs: the later term first, then the longer log.
    all.sort_by_key(|it| std::cmp::Reverse((it.generation, it.term, it.index)));
    let best = all.first();
    let other = best.and_then(|best| all.iter().find(|it| it.cluster != best.cluster));
    if let Some((best, other)) = best.zip(other) {
        let why = format!(
            "{} is of cluster {}, {} of {}",
            best.name, best.cluster, other.name, other.cluster
        );
        let advice = "compare the nodes of one cluster";
        return Err(Failure::new(
            Exit::Usage,
            "these are two clusters",
            why,
            advice,
        ));
    }
    Ok(all)
}

fn compared(all: &[Inspected]) -> String {
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|it| {
            let (generation, term) = (it.generation.to_string(), it.term.to_string());
            let (index, committed) = (it.index.to_string(), it.committed.to_string());
            vec![
                it.name.clone(),
                generation,
                term,
                index,
                committed,
                it.time.clone(),
            ]
        })
        .collect();
    let heading = [
        "NODE",
        "GENERATION",
        "TERM",
        "LAST ENTRY",
        "KNOWN AGREED",
        "AT",
    ];
    table(&heading, &rows)
}

fn advised(all: &[Inspected], best: &Inspected, dead: &[String]) -> String {
    let mut text = format!(
        "Go on from {0}: its log reaches furthest. What only the dead nodes had agreed on after its entry {1} is lost.\n\
         On {0}: lifeboat recover apply --i-declare-dead {2} --confirm {0}\n",
        best.name,
        best.index,
        dead.join(",")
    );
    for other in all.iter().skip(1) {
        text.push_str(&format!(
            "Then give {0} a new place: on {1} lifeboat nodes remove {0} --confirm {0}, and on {0} lifeboat rejoin TOKEN --confirm {0}\n",
            other.name,
            best.name
        ));
    }
    text
}

fn apply(config: &Path, asked: &Apply) -> Result<Said, Failure> {
    let survivor = survivor(config)?;
    let refused = |error: node::recovery::RecoverError| failed("nothing was recovered", &error);
    let dead = survivor
        .dead(&asked.i_declare_dead, asked.although_it_answers)
        .map_err(refused)?;
    let it = inspected(&survivor);
    let others = survivor.others();
    let left: Vec<String> = others
        .iter()
        .filter(|id| !dead.contains(id))
        .map(|id| survivor.name_of(*id))
        .collect();
    let next = it.generation + 1;
    match asked.confirm.as_deref() {
        Some(name) if name == it.name => {}
        Some(name) => {
            let why = format!("found {name}; wanted {}", it.name);
            let advice = format!(
                "add --confirm {} if the cluster shall go on from here",
                it.name
            );
            let what = "the confirmation does not name this node";
            return Err(Failure::new(Exit::Usage, what, why, advice));
        }
        None => {
            let mut text = format!(
                "Nothing was changed. {0} alone would become the cluster, as generation {next}, with everything in its log \
                 up to entry {1}, of which {2} is known to be agreed on.\n\
                 Lost: what only dead nodes have. Never again members as they are: {3}.\n\
                 Held until somebody releases it: mail and notices that wait, switching by itself, and mass mail. Join tokens from before are void.\n",
                it.name,
                it.index,
                it.committed,
                others
                    .iter()
                    .map(|id| survivor.name_of(*id))
                    .collect::<Vec<_>>()
                    .join(", "),
            );
            if !left.is_empty() {
                text.push_str(&format!(
                    "Not declared dead: {}. Look whether its log reaches further: lifeboat recover inspect\n",
                    left.join(", ")
                ));
            }
            text.push_str(&format!("To do it: add --confirm {}\n", it.name));
            let said = json!({ "dry_run": true, "generation": next, "confirm": it.name });
            return Ok(Said::of(said, text));
        }
    }
    let uid = rustix::process::getuid().as_raw();
    let (resident, aside) = survivor.apply(dead, uid).map_err(refused)?;
    let text = format!(
        "{0} is the cluster {1} now, generation {2}; the log from before lies in {3}\n\
         1. start it: lifeboat run\n\
         2. on it: lifeboat nodes remove NAME --confirm NAME for every node from before, and lifeboat token create --role voter --uses 2\n\
         3. on two new machines: lifeboat join TOKEN; on survivors: lifeboat rejoin TOKEN --confirm NAME\n\
         4. lifeboat held: mail and notices that waited; lifeboat dns release, when switching by itself shall go on\n",
        it.name,
        resident.cluster_name,
        resident.generation,
        aside.display()
    );
    let said = json!({
        "node": resident.node.0,
        "generation": resident.generation,
        "aside": aside,
    });
    Ok(Said::of(said, text))
}
