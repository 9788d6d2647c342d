//! `lifeboat incident affected` and `incident effect`: who was affected, and saying which places were, from when until when.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::path;
use crate::cli::{
    Said,
    failure::Failure,
    node::{Node, part},
    output::{Paper, count, printable, table},
};

/// Whose list.
#[derive(Debug, Args)]
pub struct Which {
    /// The incident
    incident: String,
    /// All of them as CSV, a line for each service, instead of a table of the first
    #[arg(long)]
    csv: bool,
    /// Go on after this customer's number
    #[arg(long, value_name = "CUSTOMER", conflicts_with = "csv")]
    after: Option<String>,
    /// Show so many customers, up to 1000
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 50,
        conflicts_with = "csv"
    )]
    limit: usize,
}

/// What to do with what an incident affected.
#[derive(Debug, Subcommand)]
pub enum EffectVerb {
    /// Show which places it affected, from when until when
    List {
        /// The incident
        incident: String,
    },
    /// Say one more
    Add {
        /// The incident
        incident: String,
        /// Servers, racks, datacentres and products, such as 'server=web1,web2'
        scope: String,
        /// Since when, such as 2026-11-27T03:05:00.000Z [default: since it was opened]
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Until when [default: it goes on]
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Say other times of one
    Correct {
        /// The incident
        incident: String,
        /// Its number
        effect: u32,
        /// Since when
        #[arg(long, value_name = "TIME")]
        from: String,
        /// Until when [default: it goes on]
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Take one away that was said by mistake
    Remove {
        /// The incident
        incident: String,
        /// Its number
        effect: u32,
    },
}

#[derive(Debug, Deserialize)]
struct Affected {
    directory: String,
    counted: String,
    sum: Option<Sum>,
    customers: Vec<Customer>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Sum {
    customers: u64,
    services: u64,
    minutes: u64,
}

#[derive(Debug, Deserialize)]
struct Customer {
    customer: String,
    from: String,
    until: Option<String>,
    minutes: u64,
    services: Vec<Hosted>,
}

#[derive(Debug, Deserialize)]
struct Hosted {
    service: String,
}

#[derive(Debug, Deserialize)]
struct Effects {
    known: String,
    effects: Vec<Effect>,
}

#[derive(Debug, Deserialize)]
struct Effect {
    effect: u32,
    scope: String,
    from: String,
    until: Option<String>,
    by: String,
}

/// Shows who was affected.
pub(super) async fn affected(node: &Node, which: &Which, paper: Paper) -> Result<Said, Failure> {
    if which.csv {
        let path = path(&which.incident, "/affected.csv");
        return Ok(Said::bytes(node.fetch(&path).await?));
    }
    let mut query = format!("/affected?limit={}", which.limit);
    if let Some(after) = &which.after {
        query.push_str(&format!("&after={}", part(after)));
    }
    let answer = node.get::<Affected>(&path(&which.incident, &query)).await?;
    let text = shown(&answer.value, paper);
    Ok(Said::of(answer.json, text))
}

fn shown(it: &Affected, paper: Paper) -> String {
    let until = |it: &Option<String>| {
        it.as_ref()
            .map_or("goes on".to_owned(), |it| paper.time(it))
    };
    let row = |it: &Customer| {
        let services: Vec<String> = it
            .services
            .iter()
            .map(|it| printable(&it.service))
            .collect();
        vec![
            printable(&it.customer),
            it.minutes.to_string(),
            paper.time(&it.from),
            until(&it.until),
            services.join(", "),
        ]
    };
    let rows: Vec<Vec<String>> = it.customers.iter().map(row).collect();
    let mut text = match rows.is_empty() {
        true => "nobody in the directory was affected\n".to_owned(),
        false => table(&["CUSTOMER", "MINUTES", "FROM", "UNTIL", "SERVICES"], &rows),
    };
    if let Some(sum) = &it.sum {
        text.push_str(&format!(
            "{} with {}, {} of all services together; computed from directory {} up to {}\n",
            count(sum.customers, "customer"),
            count(sum.services, "service"),
            count(sum.minutes, "minute"),
            printable(&it.directory),
            paper.time(&it.counted),
        ));
    }
    if let Some(next) = &it.next {
        text.push_str(&format!(
            "there are more: --after {}, or --csv for all\n",
            printable(next)
        ));
    }
    text
}

/// Shows or says which places were affected.
pub(super) async fn effect(node: &Node, what: EffectVerb, paper: Paper) -> Result<Said, Failure> {
    let answer = match what {
        EffectVerb::List { incident } => node.get::<Effects>(&path(&incident, "/effects")).await?,
        EffectVerb::Add {
            incident,
            scope,
            from,
            until,
        } => {
            let body = json!({ "scope": scope, "from": from, "until": until });
            node.post::<Effects>(&path(&incident, "/effects"), &body)
                .await?
        }
        EffectVerb::Correct {
            incident,
            effect,
            from,
            until,
        } => {
            let path = path(&incident, &format!("/effects/{effect}"));
            let body = json!({ "from": from, "until": until });
            node.post::<Effects>(&path, &body).await?
        }
        EffectVerb::Remove { incident, effect } => {
            let path = path(&incident, &format!("/effects/{effect}/remove"));
            node.post::<Effects>(&path, &json!({})).await?
        }
    };
    let text = listed(&answer.value, paper);
    Ok(Said::of(answer.json, text))
}

fn listed(it: &Effects, paper: Paper) -> String {
    let row = |it: &Effect| {
        vec![
            it.effect.to_string(),
            printable(&it.scope),
            paper.time(&it.from),
            it.until
                .as_ref()
                .map_or("goes on".to_owned(), |it| paper.time(it)),
            printable(&it.by),
        ]
    };
    let rows: Vec<Vec<String>> = it.effects.iter().map(row).collect();
    match (rows.is_empty(), it.known.as_str()) {
        (false, _) => table(&["EFFECT", "SCOPE", "FROM", "UNTIL", "SAID BY"], &rows),
        (true, "incident") => {
            "nothing was said but for \"is it me\", which counts for the whole incident\n"
                .to_owned()
        }
        (true, _) => "it is not known what was affected\n".to_owned(),
    }
}
