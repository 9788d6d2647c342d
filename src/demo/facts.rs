//! `demo.json`: where everything of a running demo is, for tests and operators' scripts. The fields are a promise: parts
//! that are not built yet are null or empty and never missing.

use std::path::PathBuf;

use serde::Serialize;

/// Everything about a running demo.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts {
    /// The nodes, the founder first.
    pub nodes: Vec<NodeFacts>,
    /// The file of the authority that the websites' certificates are checked with.
    pub ca_pem: PathBuf,
    /// Who can sign in.
    pub operators: Vec<OperatorFacts>,
    /// The company's own website, to be broken.
    pub primary: PrimaryFacts,
    /// The mailbox.
    pub sink: SinkFacts,
    /// Zones that the nodes serve.
    pub zones: Vec<String>,
}

/// One node.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NodeFacts {
    /// Its number in the cluster.
    pub id: u64,
    /// What people call it.
    pub name: String,
    /// Its process.
    pub pid: Option<u32>,
    /// Its configuration file.
    pub config: PathBuf,
    /// The folder of everything it keeps.
    pub data_dir: PathBuf,
    /// The website.
    pub https: String,
    /// What only leads to the website.
    pub http: String,
    /// Where it answers resolvers.
    pub dns: Option<String>,
    /// Where it takes mail.
    pub smtp: Option<String>,
    /// The path of its local socket.
    pub api: PathBuf,
    /// The operators' console.
    pub console: String,
}

/// Somebody who can sign in.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OperatorFacts {
    pub name: String,
    pub role: String,
    pub password: String,
    pub totp_secret: String,
}

/// The company's own website.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PrimaryFacts {
    pub url: String,
    pub pid: Option<u32>,
}

/// The mailbox.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SinkFacts {
    /// Where it takes mail.
    pub smtp: String,
    /// Where it is read.
    pub url: String,
    /// The folder of its messages.
    pub dir: PathBuf,
}
