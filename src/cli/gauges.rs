//! `lifeboat gauge`: values of other machines for the wallboard.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Said,
    failure::Failure,
    node::{Node, part},
    output::{printable, table},
};

/// What to do about values for the wallboard.
#[derive(Debug, Subcommand)]
pub enum GaugeVerb {
    /// Show every value with its age
    List,
    /// Say how one is
    Tell {
        /// Its name
        name: String,
        /// The value with its unit, such as "21.5 °C" or "-4 °C"
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// What it is called [default: as before, else its name]
        #[arg(long)]
        title: Option<String>,
        /// good, warning or bad
        #[arg(long, default_value = "good")]
        level: String,
        /// For how many seconds it counts, 10 to 172800 [default: as before, else 120]
        #[arg(long, value_name = "SECONDS")]
        fresh: Option<u32>,
    },
    /// Forget one
    Forget {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Deserialize)]
struct Gauges {
    gauges: Vec<Gauge>,
}

#[derive(Debug, Deserialize)]
struct Gauge {
    name: String,
    title: String,
    value: String,
    level: String,
    age_s: u64,
    stale: bool,
    by: String,
}

/// Does what `lifeboat gauge` was asked for.
pub async fn gauge(node: &Node, what: GaugeVerb) -> Result<Said, Failure> {
    let answer = match what {
        GaugeVerb::List => node.get::<Gauges>("/gauges").await?,
        GaugeVerb::Tell {
            name,
            value,
            title,
            level,
            fresh,
        } => {
            let one = json!({ "value": value, "title": title, "level": level, "fresh_s": fresh });
            let all: Map<String, Value> = [(name, one)].into_iter().collect();
            node.post::<Gauges>("/gauges", &json!({ "gauges": all }))
                .await?
        }
        GaugeVerb::Forget { name } => {
            let path = format!("/gauges/{}/forget", part(&name));
            node.post::<Gauges>(&path, &json!({})).await?
        }
    };
    let text = listed(&answer.value.gauges);
    Ok(Said::of(answer.json, text))
}

fn listed(all: &[Gauge]) -> String {
    if all.is_empty() {
        return "no values\n".to_owned();
    }
    let row = |it: &Gauge| {
        let age = match it.stale {
            true => format!("STALE, {} s", it.age_s),
            false => format!("{} s", it.age_s),
        };
        vec![
            it.name.clone(),
            printable(&it.title),
            printable(&it.value),
            it.level.clone(),
            age,
            it.by.clone(),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&["name", "title", "value", "level", "age", "by"], &rows)
}
