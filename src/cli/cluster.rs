//! `lifeboat nodes` and `lifeboat token`: who belongs to the cluster, who votes, who may come.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    failure::{Exit, Failure},
    node::{Node, part},
    output::{Paper, table},
};

/// One node, as the API describes it.
#[derive(Debug, Deserialize)]
pub struct Member {
    /// Its number, such as n4.
    pub id: String,
    /// Its name.
    pub name: String,
    provider: String,
    region: String,
    address: String,
    role: String,
    leader: bool,
    here: bool,
    reachable: bool,
    round_trip_ms: Option<f64>,
    clock_ahead_ms: Option<i64>,
    behind: Option<u64>,
    holds_site: bool,
    certificate_expired: bool,
    version: String,
}

#[derive(Debug, Deserialize)]
struct Members {
    nodes: Vec<Member>,
    warning: Option<String>,
}

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub enum Nodes {
    /// Show every node as this one sees it
    List,
    /// Let an admitted node vote once it has caught up
    Promote {
        /// The node: its number (n4) or its name
        node: String,
        #[command(flatten)]
        force: Force,
    },
    /// Let a node listen only
    Demote {
        /// The node: its number (n4) or its name
        node: String,
        #[command(flatten)]
        force: Force,
    },
    /// Let a node go for good; without --confirm only shows what would happen
    Remove {
        /// The node: its number (n4) or its name
        node: String,
        /// The node's name once more, to do it
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
        #[command(flatten)]
        force: Force,
    },
    /// Let another node take a node's place in one step; without --confirm only shows what would happen
    Replace {
        /// The node that goes
        node: String,
        /// The admitted node that comes
        with: String,
        /// The name of the node that goes once more, to do it
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
        #[command(flatten)]
        force: Force,
    },
    /// Hand leadership to another node, before a planned stop
    Transfer {
        /// The node; without it, whoever has the whole log
        node: Option<String>,
    },
}

/// Doing what the rules advise against.
#[derive(Debug, Args)]
pub struct Force {
    /// Do it though voters would be even in number, or one provider would hold half of them
    #[arg(long)]
    force: bool,
}

/// What to do with join tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token that lets a new node in; it is shown this once
    Create {
        /// What the node becomes: voter (once it has caught up) or learner
        #[arg(long, default_value = "voter", value_parser = ["voter", "learner"])]
        role: String,
        /// How many nodes may join with it
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
        uses: u16,
        /// For how long: 90s, 15m, 2h; a day at most
        #[arg(long = "for", default_value = "1h", value_name = "TIME", value_parser = seconds)]
        ttl_s: u64,
    },
    /// Show the tokens that exist, without their secrets
    List,
    /// Withdraw a token
    Revoke {
        /// Its id, as `lifeboat token list` shows it
        token: String,
    },
}

/// Reads `90s`, `15m`, `2h`, `1d`.
fn seconds(text: &str) -> Result<u64, String> {
    let wanted = || format!("found {text}; wanted a number and a unit, such as 90s, 15m or 2h");
    let unit = text.chars().last().ok_or_else(wanted)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wanted()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wanted())?;
    number.checked_mul(factor).ok_or_else(wanted)
}

/// Does what `lifeboat nodes` was asked for.
pub async fn nodes(node: &Node, what: Option<Nodes>) -> Result<Said, Failure> {
    match what.unwrap_or(Nodes::List) {
        Nodes::List => list(node).await,
        Nodes::Promote { node: who, force } => change(node, &who, "promote", &force).await,
        Nodes::Demote { node: who, force } => change(node, &who, "demote", &force).await,
        Nodes::Remove {
            node: who,
            confirm,
            force,
        } => {
            let goes = sure(node, &who, confirm.as_deref()).await?;
            match goes {
                Sure::Yes => change(node, &who, "remove", &force).await,
                Sure::Not(member, rest) => Ok(planned(&member, &rest, "remove", &who)),
            }
        }
        Nodes::Replace {
            node: who,
            with,
            confirm,
            force,
        } => match sure(node, &who, confirm.as_deref()).await? {
            Sure::Yes => {
                let path = format!("/nodes/{}/replace", part(&who));
                let body = json!({ "with": with, "force": force.force });
                node.said(&path, &body).await
            }
            Sure::Not(member, rest) => {
                Ok(planned(&member, &rest, "replace", &format!("{who} {with}")))
            }
        },
        Nodes::Transfer { node: to } => node.said("/leader", &json!({ "to": to })).await,
    }
}

#[derive(Debug, Deserialize)]
struct Founded {
    profile: String,
}

#[derive(Debug, Deserialize)]
struct OfCluster {
    cluster: Option<Founded>,
}

/// Does what `lifeboat profile` was asked for.
pub async fn profile(node: &Node, wanted: Option<String>) -> Result<Said, Failure> {
    if let Some(profile) = wanted {
        let body = json!({ "profile": profile });
        return node.said("/profile", &body).await;
    }
    let answer = node.get::<OfCluster>("/status").await?;
    let profile = answer.value.cluster.map(|it| it.profile);
    let text = match &profile {
        Some(profile) => format!("{profile}\n"),
        None => "this node belongs to no cluster yet\n".to_owned(),
    };
    Ok(Said::of(json!({ "profile": profile }), text))
}

async fn change(node: &Node, who: &str, how: &str, force: &Force) -> Result<Said, Failure> {
    let path = format!("/nodes/{}/{how}", part(who));
    let body = json!({ "force": force.force });
    node.said(&path, &body).await
}

async fn list(node: &Node) -> Result<Said, Failure> {
    let answer = node.get::<Members>("/nodes").await?;
    let members = &answer.value.nodes;
    let mut text = table(
        &[
            "NODE",
            "ID",
            "ROLE",
            "STATE",
            "ROUND TRIP",
            "CLOCK",
            "BEHIND",
            "SITE",
            "VERSION",
        ],
        &member_rows(members),
    );
    let places: Vec<Vec<String>> = members
        .iter()
        .map(|it| {
            let words = [&it.name, &it.provider, &it.region, &it.address];
            words.into_iter().cloned().collect()
        })
        .collect();
    text.push('\n');
    text.push_str(&table(&["NODE", "PROVIDER", "REGION", "ADDRESS"], &places));
    if let Some(warning) = &answer.value.warning {
        text.push_str(&format!("\nwarning: {warning}\n"));
    }
    Ok(Said::of(answer.json, text))
}

/// The rows of the table that `nodes` and `status` share.
pub fn member_rows(members: &[Member]) -> Vec<Vec<String>> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let row = |it: &Member| {
        let role = if it.leader { "leader" } else { &it.role };
        let mut state = match (it.here, it.reachable) {
            (true, _) => "this server",
            (false, true) => "reachable",
            (false, false) => "NOT REACHABLE",
        }
        .to_owned();
        if it.certificate_expired {
            state.push_str(", certificate run out");
        }
        let behind = it.behind.map(|entries| match entries {
            0 => "up to date".to_owned(),
            more => format!("{more} entries"),
        });
        vec![
            it.name.clone(),
            it.id.clone(),
            role.to_owned(),
            state,
            or_dash(it.round_trip_ms.map(|ms| format!("{ms:.1} ms"))),
            or_dash(it.clock_ahead_ms.map(|ms| format!("{ms:+} ms"))),
            or_dash(behind),
            if it.holds_site { "yes" } else { "no" }.to_owned(),
            it.version.clone(),
        ]
    };
    members.iter().map(row).collect()
}

/// Whether a deed that cannot be undone was confirmed.
enum Sure {
    Yes,
    Not(Box<Member>, Vec<Member>),
}

/// A node is let go only when its name was typed twice, once as the confirmation.
async fn sure(node: &Node, who: &str, confirm: Option<&str>) -> Result<Sure, Failure> {
    let mut members = node.get::<Members>("/nodes").await?.value.nodes;
    let place = members
        .iter()
        .position(|it| it.name == who || it.id == who || it.id.strip_prefix('n') == Some(who));
    let Some(place) = place else {
        let why = "this node knows nobody of that number or name";
        let advice = "'lifeboat nodes' lists them";
        let what = format!("there is no node {who}");
        return Err(Failure::new(Exit::Refused, what, why, advice));
    };
    let member = members.swap_remove(place);
    match confirm {
        None => Ok(Sure::Not(Box::new(member), members)),
        Some(name) if name == member.name => Ok(Sure::Yes),
        Some(name) => Err(Failure::new(
            Exit::Usage,
            "the confirmation does not name the node",
            format!("found {name}; wanted {}", member.name),
            format!("add --confirm {} if that node shall go", member.name),
        )),
    }
}

fn planned(member: &Member, rest: &[Member], verb: &str, words: &str) -> Said {
    let voters = rest.iter().filter(|it| it.role == "voter").count();
    let (name, id) = (&member.name, &member.id);
    let text = format!(
        "Nothing was changed. This would let {name} ({id}) go; {id} is never used again.\n\
         Other voters: {voters}. What only {name} holds must be agreed on first: see 'lifeboat status' there.\n\
         To do it: lifeboat nodes {verb} {words} --confirm {name}\n"
    );
    let json = json!({
        "dry_run": true, "node": id, "name": name, "other_voters": voters, "confirm": name,
    });
    Said::of(json, text)
}

#[derive(Debug, Deserialize)]
struct Made {
    id: String,
    token: String,
    role: String,
    uses: u16,
    expires: String,
}

#[derive(Debug, Deserialize)]
struct Tokens {
    tokens: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    role: String,
    uses: u16,
    expires: String,
    expired: bool,
}

#[derive(Debug, Deserialize)]
struct Revoked {
    id: String,
}

/// Does what `lifeboat token` was asked for.
pub async fn token(node: &Node, what: Token, paper: Paper) -> Result<Said, Failure> {
    match what {
        Token::Create { role, uses, ttl_s } => {
            let body = json!({ "role": role, "uses": uses, "ttl_s": ttl_s });
            let answer = node.post::<Made>("/tokens", &body).await?;
            let made = &answer.value;
            let text = format!(
                "{}\n\nLets {} in as {}, until {}. Whoever has it can join: keep it to yourselves.\n\
                 On the new machine: lifeboat join <the token>; to withdraw it: lifeboat token revoke {}\n",
                made.token,
                super::output::count(u64::from(made.uses), "node"),
                made.role,
                paper.time(&made.expires),
                made.id
            );
            Ok(Said::of(answer.json, text))
        }
        Token::List => {
            let answer = node.get::<Tokens>("/tokens").await?;
            let row = |it: &Listed| {
                let state = if it.expired { "expired" } else { "usable" };
                vec![
                    it.id.clone(),
                    it.role.clone(),
                    it.uses.to_string(),
                    state.to_owned(),
                    paper.time(&it.expires),
                ]
            };
            let rows: Vec<Vec<String>> = answer.value.tokens.iter().map(row).collect();
            let text = if rows.is_empty() {
                "no join tokens; make one with 'lifeboat token create'\n".to_owned()
            } else {
                table(&["TOKEN", "ROLE", "USES LEFT", "STATE", "EXPIRES"], &rows)
            };
            Ok(Said::of(answer.json, text))
        }
        Token::Revoke { token } => {
            let path = format!("/tokens/{}", part(&token));
            let answer = node.delete::<Revoked>(&path).await?;
            let text = format!("token {} is withdrawn\n", answer.value.id);
            Ok(Said::of(answer.json, text))
        }
    }
}
