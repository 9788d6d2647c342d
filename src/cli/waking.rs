//! `lifeboat wake`: waking people, answering, and who comes in which order by what ways.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Said,
    failure::{Exit, Failure},
    node::{Node, part},
    output::{Paper, Tone, printable, table},
};

/// What to do about waking people.
#[derive(Debug, Subcommand)]
pub enum Wake {
    /// Wake somebody: by each of their ways, then the next person, until somebody answers
    Up {
        /// What has happened, in a sentence
        text: String,
        /// Who comes first [default: whoever leads the shift]
        #[arg(long, value_name = "NAME")]
        who: Option<String>,
    },
    /// Show who is being woken, and who was
    List,
    /// Say that you are awake and take it on
    Answer {
        /// The waking, as 'wake list' shows it
        waking: String,
    },
    /// Show who is on call, or say who is, and how long each way is given
    Order(OrderArgs),
    /// Show the gateways for SMS, calls, pushes and Matrix
    Gateways,
    /// Make a gateway, or say anew what it is; its token or password is read from standard input
    AddGateway(Box<GatewayArgs>),
    /// Forget a gateway, with its secret
    RemoveGateway {
        /// The gateway
        gateway: String,
    },
    /// Can a gateway be reached? Nothing is sent
    CheckGateway {
        /// The gateway
        gateway: String,
    },
}

/// Who is on call, and how long each way is given.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Who comes after whoever leads the shift, in order
    people: Vec<String>,
    /// How long each way is given, such as 2m
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
    /// The pause after everybody was tried in vain, such as 2m
    #[arg(long, value_name = "TIME")]
    rest: Option<String>,
    /// When ways are tested each week, by the company's clock, such as tue:10; or never
    #[arg(long, value_name = "DAY:HOUR")]
    test: Option<String>,
}

/// What a gateway is. {to}, {text}, {key} and {secret} stand for address, words, the try's own key, and the secret.
#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// Its name here
    gateway: String,
    /// Which ways go through it: sms, voice, push or matrix
    #[arg(long, value_name = "KIND")]
    serves: String,
    /// Where to; for matrix the server
    #[arg(long, value_name = "URL")]
    to: String,
    /// GET, POST or PUT [default: POST]
    #[arg(long)]
    method: Option<String>,
    /// A header, such as 'Authorization: Bearer {secret}'; several times for several
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The body, such as 'To={to}&Body={text}'
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Sign it with the secret (Standard Webhooks)
    #[arg(long)]
    signed: bool,
    /// It needs no secret, or keeps the one that is there
    #[arg(long)]
    keep_secret: bool,
}

#[derive(Debug, Deserialize)]
struct Listed {
    wakings: Vec<Waking>,
    rules: Rules,
    on_call: Vec<OnCall>,
    gateways: Vec<Gateway>,
}

#[derive(Debug, Deserialize)]
struct Waking {
    waking: String,
    why: String,
    what: String,
    made: String,
    state: String,
    whom: Option<String>,
    answered_by: Option<String>,
    rounds: u32,
    tries: Vec<Try>,
}

#[derive(Debug, Deserialize)]
struct Try {
    person: String,
    kind: String,
    gateway: Option<String>,
    at: String,
    state: String,
    why: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Rules {
    wait: u64,
    rest: u64,
    test: Option<String>,
}

#[derive(Debug, Deserialize)]
struct OnCall {
    person: String,
    ways: Vec<Way>,
    wrong: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Way {
    kind: String,
    usable: bool,
    proven: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Gateway {
    gateway: String,
    serves: String,
    place: String,
    secret: bool,
}

#[derive(Debug, Deserialize)]
struct Checked {
    good: bool,
    says: String,
}

/// Does what `lifeboat wake` was asked for.
pub async fn wake(node: &Node, what: Wake, paper: Paper) -> Result<Said, Failure> {
    let shown = |answer: super::node::Answer<Listed>, how: fn(&Listed, Paper) -> String| {
        let text = how(&answer.value, paper);
        Said::of(answer.json, text)
    };
    match what {
        Wake::Up { text, who } => {
            let body = json!({ "text": text, "who": who });
            let answer = node.post::<Listed>("/wakings", &body).await?;
            Ok(shown(answer, wakings))
        }
        Wake::List => Ok(shown(node.get::<Listed>("/wakings").await?, wakings)),
        Wake::Answer { waking } => {
            let path = format!("/wakings/{}/answer", part(&waking));
            let answer = node.post::<Listed>(&path, &json!({})).await?;
            Ok(shown(answer, wakings))
        }
        Wake::Order(args) => {
            let body = rules(&args);
            let answer = match body.is_empty() {
                true => node.get::<Listed>("/wakings").await?,
                false => {
                    node.post::<Listed>("/wakings/rules", &Value::Object(body))
                        .await?
                }
            };
            Ok(shown(answer, order))
        }
        Wake::Gateways => Ok(shown(node.get::<Listed>("/wakings").await?, gateways)),
        Wake::AddGateway(args) => {
            let path = format!("/gateways/{}", part(&args.gateway));
            let answer = node.post::<Listed>(&path, &gateway(&args)?).await?;
            Ok(shown(answer, gateways))
        }
        Wake::RemoveGateway { gateway } => {
            let path = format!("/gateways/{}/remove", part(&gateway));
            let answer = node.post::<Listed>(&path, &json!({})).await?;
            Ok(shown(answer, gateways))
        }
        Wake::CheckGateway { gateway } => {
            let path = format!("/gateways/{}/check", part(&gateway));
            let answer = node.post::<Checked>(&path, &json!({})).await?;
            let word = if answer.value.good { "good" } else { "look" };
            let text = format!("{word}  {}\n", printable(&answer.value.says));
            Ok(Said::of(answer.json, text))
        }
    }
}

/// Tries every way of a person.
pub async fn prove(node: &Node, name: &str, paper: Paper) -> Result<Said, Failure> {
    let path = format!("/people/{}/test", part(name));
    let answer = node.post::<Listed>(&path, &json!({})).await?;
    let text = format!(
        "a test goes out by every way of {name}; each is proven when they tap on the address in it\n{}",
        wakings(&answer.value, paper)
    );
    Ok(Said::of(answer.json, text))
}

fn rules(args: &OrderArgs) -> Map<String, Value> {
    let mut body = Map::new();
    if !args.people.is_empty() {
        body.insert("order".to_owned(), json!(args.people));
    }
    for (field, given) in [
        ("wait", &args.wait),
        ("rest", &args.rest),
        ("test", &args.test),
    ] {
        if let Some(given) = given {
            body.insert(field.to_owned(), json!(given));
        }
    }
    body
}

fn gateway(args: &GatewayArgs) -> Result<Value, Failure> {
    let mut headers = Map::new();
    for line in &args.header {
        let Some((name, value)) = line.split_once(':') else {
            let what = format!("the header '{line}' cannot be used");
            let advice = "write a name, a colon and a value";
            return Err(Failure::new(Exit::Usage, what, "it has no colon", advice));
        };
        headers.insert(name.trim().to_owned(), json!(value.trim()));
    }
    let mut body = json!({
        "serves": args.serves,
        "url": args.to,
        "headers": headers,
        "signed": args.signed,
    });
    if let Some(method) = &args.method {
        body["method"] = json!(method);
    }
    if let Some(text) = &args.body {
        body["body"] = json!(text);
    }
    // On the command line others of this machine could read it.
    if !args.keep_secret {
        let secret = std::io::read_to_string(std::io::stdin()).unwrap_or_default();
        body["secret"] = json!(secret.trim());
    }
    Ok(body)
}

fn wakings(listed: &Listed, paper: Paper) -> String {
    if listed.wakings.is_empty() {
        return "nobody is being woken, and nobody was\n".to_owned();
    }
    let mut text = String::new();
    for it in &listed.wakings {
        let state = match it.state.as_str() {
            "going" => paper.tone(Tone::Bad, "going"),
            "answered" => paper.tone(Tone::Good, "answered"),
            other => other.to_owned(),
        };
        let who = match (&it.answered_by, &it.whom) {
            (Some(by), _) => format!(" by {}", printable(by)),
            (None, Some(whom)) => format!(", {whom} is tried now"),
            (None, None) => String::new(),
        };
        text.push_str(&format!(
            "{} {} ({}) {}{who}, begun {}\n",
            it.waking,
            printable(&it.what),
            it.why,
            state,
            paper.time(&it.made),
        ));
        for tried in &it.tries {
            let through = tried.gateway.as_ref();
            let through = through.map_or(String::new(), |it| format!(" through {it}"));
            let why = tried.why.as_ref();
            let why = why.map_or(String::new(), |it| format!(": {}", printable(it)));
            text.push_str(&format!(
                "    {} {} by {}{through}: {}{why}\n",
                paper.time(&tried.at),
                tried.person,
                tried.kind,
                tried.state,
            ));
        }
        if it.rounds > 0 {
            text.push_str(&format!(
                "    everybody was tried {} times in vain\n",
                it.rounds
            ));
        }
    }
    text
}

fn order(listed: &Listed, paper: Paper) -> String {
    let rules = &listed.rules;
    let mut text = format!(
        "each way is given {} s; after everybody, {} s; tests: {}\n",
        rules.wait,
        rules.rest,
        rules.test.as_deref().unwrap_or("never"),
    );
    if listed.on_call.is_empty() {
        text.push_str(
            "nobody is on call: 'lifeboat wake order NAME...' or 'lifeboat shift lead NAME'\n",
        );
    }
    for (number, it) in (1..).zip(&listed.on_call) {
        text.push_str(&format!("{number}. {}\n", it.person));
        for way in &it.ways {
            let proven = match (&way.proven, way.usable) {
                (_, false) => "no machine can use it".to_owned(),
                (Some(at), true) => format!("worked {}", paper.time(at)),
                (None, true) => "not proven".to_owned(),
            };
            text.push_str(&format!("     {:<7} {proven}\n", way.kind));
        }
        for wrong in &it.wrong {
            text.push_str(&format!(
                "     {}\n",
                paper.tone(Tone::Warn, &printable(wrong))
            ));
        }
    }
    text
}

fn gateways(listed: &Listed, _: Paper) -> String {
    if listed.gateways.is_empty() {
        return "no gateways: make one with 'lifeboat wake add-gateway'\n".to_owned();
    }
    let rows: Vec<Vec<String>> = listed
        .gateways
        .iter()
        .map(|it| {
            vec![
                it.gateway.clone(),
                it.serves.clone(),
                if it.secret { "yes" } else { "no" }.to_owned(),
                printable(&it.place),
            ]
        })
        .collect();
    table(&["GATEWAY", "SERVES", "SECRET", "ASKED"], &rows)
}
