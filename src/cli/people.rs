//! `lifeboat people` and `lifeboat shift`: who may do what, who is signed in, which machines may ask, who leads.

use std::io::Read;

use clap::Subcommand;
use qrcodegen::{QrCode, QrCodeEcc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Said,
    failure::{Exit, Failure},
    node::{Node, part},
    output::{Paper, printable, table},
    waking,
};
use crate::model::limits;

/// What to do with people.
#[derive(Debug, Subcommand)]
pub enum People {
    /// Show everybody with an account
    List,
    /// Show one person
    Show {
        /// The account
        name: String,
    },
    /// Let somebody in; password and secret of the codes are shown this once
    Add {
        /// The account's name
        name: String,
        /// What they may do: viewer, agent, shift-leader, ops, admin; several with commas
        #[arg(long, value_delimiter = ',', required = true, value_name = "ROLE")]
        role: Vec<String>,
        /// What they are called
        #[arg(long, value_name = "TEXT")]
        shown: Option<String>,
        /// What they speak, best first: cs, en
        #[arg(long, value_delimiter = ',', value_name = "LANG")]
        lang: Vec<String>,
        /// Read the password from standard input instead of making one
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change what somebody may do
    SetRole {
        /// The account
        name: String,
        /// All their roles from now on
        #[arg(required = true, value_delimiter = ',')]
        role: Vec<String>,
    },
    /// Change how somebody is reached, first things first: mail:ADDRESS, sms:NUMBER, voice:NUMBER, push:TOPIC,
    /// matrix:!ROOM, phone:NUMBER
    Ways {
        /// The account
        name: String,
        /// The ways from now on; none takes all away
        way: Vec<String>,
    },
    /// Send a test by every way of somebody; or, with a way, say that it was seen to work
    Prove {
        /// The account
        name: String,
        /// Its place in the list, from 1
        way: Option<u32>,
    },
    /// Give somebody a new password and codes, and end their sessions
    Reset {
        /// The account
        name: String,
        /// Read the password from standard input instead of making one
        #[arg(long)]
        password_stdin: bool,
    },
    /// Take an account away
    Remove {
        /// The account
        name: String,
        /// The account's name once more, to do it
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Show who is signed in
    Sessions,
    /// Sign somebody out, on every node
    Revoke {
        /// One session, as 'people sessions' shows it
        #[arg(required_unless_present_any = ["person", "everybody"])]
        session: Option<String>,
        /// All sessions of one person
        #[arg(long, value_name = "NAME", conflicts_with = "session")]
        person: Option<String>,
        /// All sessions of everybody
        #[arg(long, conflicts_with_all = ["session", "person"])]
        everybody: bool,
    },
    /// Tokens by which machines ask over HTTPS
    Token {
        #[command(subcommand)]
        what: Token,
    },
}

/// What to do with API tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Let a machine ask; the token is shown this once
    Create {
        /// What the machine is called
        name: String,
        /// What it may do: viewer, agent, shift-leader, ops, admin; several with commas
        #[arg(long, value_delimiter = ',', required = true, value_name = "ROLE")]
        role: Vec<String>,
        /// For how many days
        #[arg(long, default_value_t = 365)]
        days: u64,
    },
    /// Show the tokens, without their secrets
    List,
    /// Let a machine ask no more
    Revoke {
        /// What the machine is called
        name: String,
    },
}

/// What to do with the shift.
#[derive(Debug, Subcommand)]
pub enum Shift {
    /// Show who leads, and what everybody must hear of
    Show,
    /// Say who leads from now on
    Lead {
        /// Somebody with the role shift-leader
        who: String,
        /// What the next one must know
        #[arg(long, default_value = "", value_name = "TEXT")]
        note: String,
    },
    /// Say that you know of an alarm
    Acknowledge {
        /// Its number
        alarm: u64,
    },
}

#[derive(Debug, Deserialize)]
struct Everybody {
    people: Vec<Person>,
}

#[derive(Debug, Deserialize)]
struct Person {
    name: String,
    shown: String,
    roles: Vec<String>,
    languages: Vec<String>,
    ways: Vec<Way>,
    made: String,
    signed_in: Option<String>,
    sessions: u64,
    wrong_guesses: u32,
}

#[derive(Debug, Deserialize)]
struct Way {
    kind: String,
    address: String,
    proven: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Credentials {
    name: String,
    password: Option<String>,
    totp_secret: String,
    totp_address: String,
}

#[derive(Debug, Deserialize)]
struct Sessions {
    sessions: Vec<Session>,
}

#[derive(Debug, Deserialize)]
struct Session {
    id: String,
    who: String,
    node: String,
    network: String,
    made: String,
    seen: String,
    here_only: bool,
}

#[derive(Debug, Deserialize)]
struct Made {
    name: String,
    token: String,
    expires: String,
}

#[derive(Debug, Deserialize)]
struct Tokens {
    tokens: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    roles: Vec<String>,
    by: String,
    expires: String,
    expired: bool,
}

#[derive(Debug, Deserialize)]
struct Leads {
    leader: Option<Leader>,
    alarms: Vec<Told>,
}

#[derive(Debug, Deserialize)]
struct Leader {
    name: String,
    since: String,
    before: Option<String>,
    note: String,
}

#[derive(Debug, Deserialize)]
struct Told {
    alarm: u64,
    at: String,
    says: String,
}

/// Does what `lifeboat people` was asked for.
pub async fn people(node: &Node, what: People, paper: Paper) -> Result<Said, Failure> {
    match what {
        People::List => list(node, paper).await,
        People::Show { name } => show(node, &name, paper).await,
        People::Add {
            name,
            role,
            shown,
            lang,
            password_stdin,
        } => {
            let body = json!({
                "name": name, "roles": role, "shown": shown, "languages": lang,
                "password": password(password_stdin)?,
            });
            credentials(node, "/people", &body).await
        }
        People::SetRole { name, role } => {
            let path = format!("/people/{}/roles", part(&name));
            node.said(&path, &json!({ "roles": role })).await
        }
        People::Ways { name, way } => set_ways(node, &name, &way).await,
        People::Prove { name, way: None } => waking::prove(node, &name, paper).await,
        People::Prove {
            name,
            way: Some(way),
        } => {
            let path = format!("/people/{}/prove", part(&name));
            node.said(&path, &json!({ "way": way })).await
        }
        People::Reset {
            name,
            password_stdin,
        } => {
            let path = format!("/people/{}/reset", part(&name));
            let body = json!({ "password": password(password_stdin)? });
            credentials(node, &path, &body).await
        }
        People::Remove { name, confirm } if confirm.as_deref() == Some(name.as_str()) => {
            node.said(&format!("/people/{}/remove", part(&name)), &json!({}))
                .await
        }
        People::Remove { name, .. } => {
            let mut said = show(node, &name, paper).await?;
            let line = format!("\nnothing was done; to do it, add --confirm {name}\n");
            said.text.push_str(&line);
            Ok(said)
        }
        People::Sessions => sessions(node, paper).await,
        People::Revoke {
            session: Some(id), ..
        } => {
            node.said(&format!("/sessions/{}/end", part(&id)), &json!({}))
                .await
        }
        People::Revoke { person, .. } => {
            node.said("/sessions/end", &json!({ "name": person })).await
        }
        People::Token { what } => token(node, what, paper).await,
    }
}

/// Does what `lifeboat shift` was asked for.
pub async fn shift(node: &Node, what: Option<Shift>, paper: Paper) -> Result<Said, Failure> {
    match what.unwrap_or(Shift::Show) {
        Shift::Show => leads(node, paper).await,
        Shift::Lead { who, note } => {
            node.said("/shift", &json!({ "who": who, "note": note }))
                .await
        }
        Shift::Acknowledge { alarm } => {
            node.said(&format!("/alarms/{alarm}/acknowledge"), &json!({}))
                .await
        }
    }
}

async fn list(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Everybody>("/people").await?;
    let row = |it: &Person| {
        vec![
            it.name.clone(),
            it.shown.clone(),
            it.roles.join(","),
            it.signed_in
                .as_ref()
                .map_or_else(|| "never".to_owned(), |at| paper.time(at)),
            it.ways
                .first()
                .map_or_else(|| "none".to_owned(), |way| way.kind.clone()),
            it.wrong_guesses.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.value.people.iter().map(row).collect();
    let heading = [
        "NAME",
        "CALLED",
        "ROLES",
        "SIGNED IN",
        "REACHED BY",
        "GUESSES",
    ];
    let text = if rows.is_empty() {
        "nobody has an account; make the first with 'lifeboat people add NAME --role admin'\n"
            .to_owned()
    } else {
        table(&heading, &rows)
    };
    Ok(Said::of(answer.json, text))
}

async fn show(node: &Node, name: &str, paper: Paper) -> Result<Said, Failure> {
    let path = format!("/people/{}", part(name));
    let answer = node.get::<Person>(&path).await?;
    let it = &answer.value;
    let signed_in = it
        .signed_in
        .as_ref()
        .map_or_else(|| "never".to_owned(), |at| paper.time(at));
    let mut text = format!(
        "{} ({})\nroles      {}\nlanguages  {}\nmade       {}\nsigned in  {signed_in}; {} sessions now\nguesses    {} wrong ones lately\n",
        it.name,
        printable(&it.shown),
        it.roles.join(", "),
        it.languages.join(", "),
        paper.time(&it.made),
        it.sessions,
        it.wrong_guesses,
    );
    for (number, way) in (1..).zip(&it.ways) {
        let proven = way.proven.as_ref().map_or_else(
            || "never seen to work".to_owned(),
            |at| format!("seen to work {}", paper.time(at)),
        );
        let address = printable(&way.address);
        text.push_str(&format!(
            "way {number}      {} {address}: {proven}\n",
            way.kind
        ));
    }
    Ok(Said::of(answer.json, text))
}

async fn set_ways(node: &Node, name: &str, given: &[String]) -> Result<Said, Failure> {
    let mut ways = Vec::new();
    for way in given {
        let Some((kind, address)) = way.split_once(':') else {
            let why = format!("found {way}; wanted mail:ADDRESS or phone:NUMBER");
            let advice = "put what it is before it, with a colon";
            return Err(Failure::new(
                Exit::Usage,
                "that is no way to reach somebody",
                why,
                advice,
            ));
        };
        ways.push(json!({ "kind": kind, "address": address }));
    }
    let path = format!("/people/{}/ways", part(name));
    node.said(&path, &json!({ "ways": ways })).await
}

async fn credentials(node: &Node, path: &str, body: &Value) -> Result<Said, Failure> {
    let answer = node.post::<Credentials>(path, body).await?;
    let it = &answer.value;
    let mut text = format!("{} signs in with\n\n", it.name);
    if let Some(password) = &it.password {
        text.push_str(&format!("password         {password}\n"));
    }
    text.push_str(&format!(
        "secret of codes  {}\nthe same         {}\n\n{}\nThis is shown once. Hand it over in person or by telephone.\n",
        it.totp_secret,
        it.totp_address,
        picture(&it.totp_address),
    ));
    Ok(Said::of(answer.json, text))
}

/// The address as a picture of characters, two rows of modules in a line, light on dark and dark on light alike.
fn picture(address: &str) -> String {
    let Ok(code) = QrCode::encode_text(address, QrCodeEcc::Low) else {
        return String::new();
    };
    let (size, quiet) = (code.size(), 2);
    let mut text = String::new();
    for y in (-quiet..size + quiet).step_by(2) {
        for x in -quiet..size + quiet {
            // A light module is drawn, as terminals are dark; phones read both.
            let symbol = match (code.get_module(x, y), code.get_module(x, y + 1)) {
                (false, false) => '\u{2588}',
                (false, true) => '\u{2580}',
                (true, false) => '\u{2584}',
                (true, true) => ' ',
            };
            text.push(symbol);
        }
        text.push('\n');
    }
    text
}

/// The first line of standard input, where that is asked for.
fn password(from_stdin: bool) -> Result<Option<String>, Failure> {
    if !from_stdin {
        return Ok(None);
    }
    let mut text = String::new();
    let most = limits::PASSWORD_BYTES_MAX as u64 + 2;
    let read = std::io::stdin().lock().take(most).read_to_string(&mut text);
    read.map_err(|error| {
        let advice = "give it as one line of UTF-8";
        Failure::new(
            Exit::Usage,
            "the password cannot be read",
            error.to_string(),
            advice,
        )
    })?;
    Ok(text.lines().next().map(ToOwned::to_owned))
}

async fn sessions(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Sessions>("/sessions").await?;
    let row = |it: &Session| {
        let node = match it.here_only {
            true => format!("{} only", it.node),
            false => it.node.clone(),
        };
        vec![
            it.id.clone(),
            it.who.clone(),
            node,
            it.network.clone(),
            paper.time(&it.made),
            paper.since(&it.seen),
        ]
    };
    let rows: Vec<Vec<String>> = answer.value.sessions.iter().map(row).collect();
    let text = if rows.is_empty() {
        "nobody is signed in\n".to_owned()
    } else {
        table(
            &["SESSION", "WHO", "NODE", "FROM", "SINCE", "LAST USED"],
            &rows,
        )
    };
    Ok(Said::of(answer.json, text))
}

async fn token(node: &Node, what: Token, paper: Paper) -> Result<Said, Failure> {
    match what {
        Token::Create { name, role, days } => {
            let body = json!({ "name": name, "roles": role, "days": days });
            let answer = node.post::<Made>("/api-tokens", &body).await?;
            let it = &answer.value;
            let text = format!(
                "{}\n\nIt is shown once. {} asks with it until {}:\n  Authorization: Bearer TOKEN\n",
                it.token,
                it.name,
                paper.time(&it.expires)
            );
            Ok(Said::of(answer.json, text))
        }
        Token::List => {
            let answer = node.get::<Tokens>("/api-tokens").await?;
            let row = |it: &Listed| {
                let state = if it.expired { "expired" } else { "good" };
                vec![
                    it.name.clone(),
                    it.roles.join(","),
                    it.by.clone(),
                    paper.time(&it.expires),
                    state.to_owned(),
                ]
            };
            let rows: Vec<Vec<String>> = answer.value.tokens.iter().map(row).collect();
            let text = if rows.is_empty() {
                "there are no API tokens\n".to_owned()
            } else {
                table(&["NAME", "ROLES", "MADE BY", "UNTIL", "STATE"], &rows)
            };
            Ok(Said::of(answer.json, text))
        }
        Token::Revoke { name } => {
            node.said(&format!("/api-tokens/{}/revoke", part(&name)), &json!({}))
                .await
        }
    }
}

async fn leads(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Leads>("/shift").await?;
    let it = &answer.value;
    let mut text = match &it.leader {
        Some(leader) => {
            let before = leader.before.as_deref().unwrap_or("nobody");
            format!(
                "{} leads the shift since {}; before: {before}\n{}",
                leader.name,
                paper.time(&leader.since),
                if leader.note.is_empty() {
                    String::new()
                } else {
                    format!("note: {}\n", printable(&leader.note))
                }
            )
        }
        None => "nobody leads the shift; 'lifeboat shift lead NAME' says who does\n".to_owned(),
    };
    for alarm in &it.alarms {
        let (number, says) = (alarm.alarm, printable(&alarm.says));
        let when = paper.time(&alarm.at);
        text.push_str(&format!("alarm {number}: {says}, {when}\n"));
    }
    Ok(Said::of(answer.json, text))
}
