//! The `[telemetry]` section: how the node speaks about itself.
//! Nothing here sends anything anywhere: logs go to standard error and metrics wait to be fetched.

use std::net::SocketAddr;

use serde::Deserialize;

use super::problem::Problems;

/// What a file may say under `[telemetry]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TelemetrySpec {
    log_format: Option<LogFormat>,
    log_level: Option<LogLevel>,
    metrics_listen: Option<String>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// The least important event that is still logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Somebody must act.
    Error,
    /// Somebody may have to act.
    Warn,
    /// What happened, in normal times. The default.
    Info,
    /// How it came about, for a search.
    Debug,
}

impl LogLevel {
    /// The level's name as a filter understands it.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
        }
    }
}

/// How the node speaks about itself, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// How a log line looks.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_level: LogLevel,
    /// Where Prometheus fetches `/metrics`, `/healthz` and `/readyz` over plain HTTP; on this
    /// machine only unless the file says otherwise.
    pub metrics_listen: SocketAddr,
}

impl Telemetry {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: TelemetrySpec, problems: &mut Problems) -> Telemetry {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 9464));
        let metrics_listen = match spec.metrics_listen {
            Some(text) => problems
                .parsed(
                    "telemetry.metrics-listen",
                    &text,
                    "an address and a port",
                    "metrics-listen = \"127.0.0.1:9464\"",
                )
                .unwrap_or(loopback),
            None => loopback,
        };
        Telemetry {
            log_format: spec.log_format.unwrap_or(LogFormat::Text),
            log_level: spec.log_level.unwrap_or(LogLevel::Info),
            metrics_listen,
        }
    }
}
