//! `lifeboat held`: what waits for a person's word after a recovery or a restore, and giving that word.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    failure::Failure,
    node::Node,
    output::{Paper, count, printable, table},
};

/// What to do with what is held.
#[derive(Debug, Subcommand)]
pub enum Held {
    /// Let items leave; without --confirm only shows how many
    Release(Chosen),
    /// Give items up; without --confirm only shows how many
    Drop(Chosen),
}

/// Which items.
#[derive(Debug, Args)]
pub struct Chosen {
    /// A kind, an item such as 812.0, or all
    which: String,
    /// How many there are, to do it
    #[arg(long, value_name = "COUNT")]
    confirm: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Things {
    items: u64,
    kinds: Vec<OfKind>,
    oldest: Vec<Item>,
    campaigns: Vec<String>,
    switching: bool,
}

#[derive(Debug, Deserialize)]
struct OfKind {
    kind: String,
    items: u64,
    may_repeat: u64,
    too_old: u64,
}

#[derive(Debug, Deserialize)]
struct Item {
    item: String,
    kind: String,
    made: String,
    was_with: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Let {
    items: u64,
    says: String,
}

/// Items that the terminal lists; `--json` has more.
const SHOWN: usize = 20;

/// Does what `lifeboat held` was asked for.
pub async fn held(node: &Node, what: Option<Held>, paper: Paper) -> Result<Said, Failure> {
    match what {
        None => list(node, paper).await,
        Some(Held::Release(chosen)) => change(node, "release", &chosen).await,
        Some(Held::Drop(chosen)) => change(node, "drop", &chosen).await,
    }
}

async fn list(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Things>("/held").await?;
    let things = answer.value;
    let mut text = String::new();
    if things.items > 0 {
        let rows: Vec<Vec<String>> = things
            .kinds
            .iter()
            .map(|it| {
                let numbers = [it.items, it.may_repeat, it.too_old];
                let mut row = vec![it.kind.clone()];
                row.extend(numbers.map(|it| it.to_string()));
                row
            })
            .collect();
        text.push_str(&table(&["KIND", "HELD", "MAY REPEAT", "TOO OLD"], &rows));
        text.push('\n');
        let rows: Vec<Vec<String>> = things
            .oldest
            .iter()
            .take(SHOWN)
            .map(|it| {
                let with = it.was_with.as_deref().unwrap_or("-");
                let (item, kind) = (it.item.clone(), it.kind.clone());
                vec![item, kind, paper.time(&it.made), printable(with)]
            })
            .collect();
        text.push_str(&table(&["ITEM", "KIND", "MADE", "WAS WITH"], &rows));
        text.push_str(
            "Released: lifeboat held release KIND --confirm COUNT; given up: lifeboat held drop KIND --confirm COUNT\n",
        );
    }
    if !things.campaigns.is_empty() {
        text.push_str(&format!(
            "Mass mail is held: {}; lifeboat mail release ID\n",
            things.campaigns.join(", ")
        ));
    }
    if things.switching {
        text.push_str("Switching by verdict is held; lifeboat dns release\n");
    }
    if text.is_empty() {
        text.push_str("nothing is held\n");
    }
    Ok(Said::of(answer.json, text))
}

async fn change(node: &Node, deed: &str, chosen: &Chosen) -> Result<Said, Failure> {
    let field = if chosen.which.contains('.') {
        "item"
    } else {
        "kind"
    };
    let mut body = json!({ "count": chosen.confirm.unwrap_or_default() });
    body[field] = json!(chosen.which);
    body["dry_run"] = json!(chosen.confirm.is_none());
    let answer = node.post::<Let>(&format!("/held/{deed}"), &body).await?;
    let it = answer.value;
    let text = match chosen.confirm {
        Some(_) => format!("{}\n", it.says),
        None => format!(
            "Nothing was changed. This would {deed} {}. To do it: add --confirm {}\n",
            count(it.items, "item"),
            it.items
        ),
    };
    Ok(Said::of(answer.json, text))
}
