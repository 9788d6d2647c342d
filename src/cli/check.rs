//! `lifeboat check`: is this node's configuration good, are its certificates, is its state consistent with itself?
//!
//! Works without a running node, apart from the state; changes nothing.

use std::{fs, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Said,
    failure::{Exit, Failure, chain},
    node::Node,
    output::{Paper, Tone, printable},
};
use crate::{
    config::{self, Config},
    durable,
    model::{limits, when::rfc3339, words::Timestamp},
    tls::pki::{self, PkiError},
};

/// A certificate that ends sooner than this is worth a word: a renewal should have happened by then.
const SOON_MS: u64 = 14 * 86_400_000;

#[derive(Debug, Deserialize)]
struct Checked {
    index: u64,
    sound: bool,
    wrong: Vec<String>,
}

/// One thing that was looked at.
struct Line {
    tone: Tone,
    about: &'static str,
    says: String,
}

/// Looks at everything and says what was found; fails when something is wrong.
pub async fn check(path: &Path, node: &Node, paper: Paper) -> Result<Said, Failure> {
    let config = Config::load(path).map_err(|problems| bad_config(&problems))?;
    let mut lines = vec![Line {
        tone: Tone::Good,
        about: "config",
        says: format!("{} is good", path.display()),
    }];
    lines.extend(certificates(&config.web, paper.now));
    let state = match node.get::<Checked>("/check").await {
        Ok(answer) => {
            lines.extend(state_lines(&answer.value));
            answer.json
        }
        Err(failure) if failure.exit == Exit::Unreachable => {
            lines.push(Line {
                tone: Tone::Warn,
                about: "state",
                says: "not checked: the node is not running".to_owned(),
            });
            Value::Null
        }
        Err(failure) => return Err(failure),
    };
    let text: String = lines.iter().map(|it| shown(it, paper)).collect();
    let wrong = lines.iter().filter(|it| it.tone == Tone::Bad).count();
    let listed: Vec<Value> = lines
        .iter()
        .map(|it| json!({ "about": it.about, "state": word(it.tone), "says": it.says }))
        .collect();
    let json = json!({ "sound": wrong == 0, "lines": listed, "state": state });
    if wrong == 0 {
        return Ok(Said::of(json, text));
    }
    let advice = "correct what is marked WRONG and check again";
    let why = text.trim_end().replace('\n', "\n       ");
    let mut failure = Failure::new(Exit::Failed, "something is wrong on this node", why, advice);
    failure.problem = Some(json);
    Err(failure)
}

/// Every mistake of a configuration file, as a failure.
pub fn bad_config(problems: &config::Problems) -> Failure {
    let listed: Vec<Value> = problems
        .iter()
        .map(|it| {
            json!({
                "field": it.key, "line": it.line, "found": it.found, "wanted": it.wanted, "example": it.example,
            })
        })
        .collect();
    let why = problems.to_string().replace('\n', "\n     ");
    let advice = "correct the file; docs/reference and config/ show complete examples";
    let what = "the configuration cannot be used";
    let mut failure = Failure::new(Exit::Config, what, why, advice);
    failure.problem = Some(json!({
        "type": "urn:lifeboat:problem:config", "title": what, "problems": listed, "advice": advice,
    }));
    failure
}

fn shown(line: &Line, paper: Paper) -> String {
    let word = format!("{:<6}", word(line.tone));
    let word = paper.tone(line.tone, &word);
    format!("{word}  {:<12}  {}\n", line.about, printable(&line.says))
}

fn word(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Warn => "note",
        Tone::Bad => "WRONG",
    }
}

fn state_lines(checked: &Checked) -> Vec<Line> {
    if checked.sound {
        return vec![Line {
            tone: Tone::Good,
            about: "state",
            says: format!("consistent with itself at entry {}", checked.index),
        }];
    }
    let wrong = checked.wrong.iter().map(|it| Line {
        tone: Tone::Bad,
        about: "state",
        says: it.clone(),
    });
    wrong.collect()
}

/// What the public side would present, and which of its names no certificate is for.
fn certificates(web: &config::Web, now: Timestamp) -> Vec<Line> {
    let names: Vec<&String> = web.names.iter().chain(&web.borrowed_names).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let line = |tone, says| Line {
        tone,
        about: "certificates",
        says,
    };
    let folder = &web.certificates;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let says = format!(
                "{} cannot be read ({error}): a certificate that nobody vouches for is presented",
                folder.display()
            );
            return vec![line(Tone::Warn, says)];
        }
    };
    let mut lines = Vec::new();
    let mut covered: Vec<String> = Vec::new();
    let mut paths: Vec<_> = entries.flatten().map(|it| it.path()).collect();
    paths.sort();
    let is_certificate = |path: &&std::path::PathBuf| {
        path.extension()
            .is_some_and(|it| it == "crt" || it == "pem")
    };
    for path in paths.iter().filter(is_certificate) {
        match pair(path) {
            Ok((names, not_after)) => {
                let (tone, until) = match not_after {
                    ended if ended < now => (Tone::Bad, "ran out on"),
                    soon if soon.ms_since(now) < SOON_MS => (Tone::Warn, "runs out on"),
                    _ => (Tone::Good, "until"),
                };
                let day = rfc3339(not_after)[..10].to_owned();
                let says = format!("{}: {} {until} {day}", path.display(), names.join(", "));
                lines.push(line(tone, says));
                covered.extend(names);
            }
            Err(why) => lines.push(line(Tone::Bad, format!("{}: {why}", path.display()))),
        }
    }
    for name in names.into_iter().filter(|it| !is_covered(it, &covered)) {
        let says = format!("no certificate in {} is for {name}", folder.display());
        lines.push(line(Tone::Warn, says));
    }
    lines
}

/// The names and the end of a certificate whose key lies beside it, or what is wrong with the two.
fn pair(path: &Path) -> Result<(Vec<String>, Timestamp), String> {
    let text = |path: &Path| -> Result<String, String> {
        let bytes = durable::read_at_most(path, limits::PEM_BYTES_MAX).map_err(|it| chain(&it))?;
        String::from_utf8(bytes).map_err(|_| format!("{} is no text", path.display()))
    };
    let said = |error: PkiError| chain(&error);
    let certificate = pki::certificate(&text(path)?).map_err(said)?;
    let key = text(&path.with_extension("key"))?;
    let of_key = pki::key_fingerprint(&key).map_err(said)?;
    if pki::fingerprint(&certificate).map_err(said)? != of_key {
        return Err("the key beside it is another one's".to_owned());
    }
    let validity = pki::validity(&certificate).map_err(said)?;
    Ok((pki::names(&certificate).map_err(said)?, validity.not_after))
}

/// Whether a certificate for `names` is good for `host`; a `*` stands for one label (RFC 9525).
fn is_covered(host: &str, names: &[String]) -> bool {
    let wild = host.split_once('.').map(|(_, rest)| format!("*.{rest}"));
    names
        .iter()
        .any(|it| it == host || Some(it) == wild.as_ref())
}
