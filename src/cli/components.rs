//! `lifeboat component`: what can be affected, as customers know it.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::{Said, failure::Failure, incidents::pairs, node::Node, output::table};

/// What to do with components.
#[derive(Debug, Subcommand)]
pub enum ComponentVerb {
    /// Make one, or name it anew
    Add {
        /// Its short name
        component: String,
        /// What customers call it: LANG=NAME, once for each language
        #[arg(long = "name", value_name = "LANG=NAME", required = true)]
        names: Vec<String>,
        /// What it is shown with
        #[arg(long)]
        group: Option<String>,
    },
    /// List them with how they are
    List,
    /// Take one away that nothing going on affects
    Remove {
        /// Its short name
        component: String,
    },
}

#[derive(Debug, Deserialize)]
struct Components {
    components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
struct Component {
    component: String,
    names: BTreeMap<String, String>,
    group: Option<String>,
    state: String,
    generation: u64,
}

/// Does what `lifeboat component` was asked for.
pub async fn component(node: &Node, what: ComponentVerb) -> Result<Said, Failure> {
    let before = node.get::<Components>("/components").await?;
    let generation = |name: &str| {
        let mut all = before.value.components.iter();
        all.find(|it| it.component == name).map(|it| it.generation)
    };
    let answer = match &what {
        ComponentVerb::Add {
            component,
            names,
            group,
        } => {
            let body = json!({
                "component": component,
                "names": pairs("--name", names)?,
                "group": group,
                "against": generation(component).unwrap_or(0),
            });
            node.post::<Components>("/components", &body).await?
        }
        ComponentVerb::Remove { component } => {
            let against = generation(component).unwrap_or(0);
            let body = json!({ "component": component, "against": against });
            node.post::<Components>("/components/remove", &body).await?
        }
        ComponentVerb::List => before,
    };
    let row = |it: &Component| {
        let names: Vec<String> = it
            .names
            .iter()
            .map(|(lang, it)| format!("{lang}: {it}"))
            .collect();
        let group = it.group.clone().unwrap_or_default();
        vec![
            it.component.clone(),
            it.state.clone(),
            group,
            names.join("; "),
        ]
    };
    let rows: Vec<Vec<String>> = answer.value.components.iter().map(row).collect();
    let text = if rows.is_empty() {
        "no components\n".to_owned()
    } else {
        table(&["COMPONENT", "STATE", "GROUP", "NAMES"], &rows)
    };
    Ok(Said::of(answer.json, text))
}
