//! How a command fails: what happened, why, what to do, and the exit status that says which kind it was.

use std::fmt;

use serde_json::{Value, json};

/// The exit statuses, as `lifeboat --help` and docs/reference/cli.md list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It could not be done.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A rule refused it; nothing was changed.
    Refused = 3,
    /// It may or may not have happened.
    Unknown = 4,
    /// The node does not answer.
    Unreachable = 5,
    /// The configuration cannot be used.
    Config = 78,
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// What happened, in one line.
    pub what: String,
    /// Why, in one line.
    pub why: String,
    /// What to do, in one line.
    pub advice: String,
    /// The node's own words, for `--json`.
    pub problem: Option<Value>,
}

impl Failure {
    /// A failure in three lines.
    pub fn new(
        exit: Exit,
        what: impl Into<String>,
        why: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            what: what.into(),
            why: why.into(),
            advice: advice.into(),
            problem: None,
        }
    }

    /// What a program reads: the node's problem, or one of the same shape.
    pub fn json(&self) -> Value {
        let ours = json!({
            "type": "urn:lifeboat:problem:command-line",
            "title": self.what,
            "detail": self.why,
            "advice": self.advice,
        });
        let mut problem = self.problem.clone().unwrap_or(ours);
        problem["exit"] = json!(self.exit as u8);
        problem
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        for (word, line) in [("why", &self.why), ("do", &self.advice)] {
            if !line.is_empty() {
                write!(f, "\n  {word:<4} {line}")?;
            }
        }
        Ok(())
    }
}

/// An error and what caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
