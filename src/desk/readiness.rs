//! Whether the cluster would hold on the worst day, as every node can prove it: one line for each proof of each node, with
//! what it stands on and what to do. What is proven how is in `proofs`.

use axum::{Json, extract::State as Shared, routing::get};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, api::Route};
use crate::{
    clock,
    model::when::rfc3339,
    proofs::{OfNode, Outcome, Proof},
};

/// One proof.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) state: Outcome,
    /// What it stands on.
    pub(super) evidence: String,
    /// What to do where it is not ok.
    pub(super) advice: Option<String>,
    /// How many seconds ago it was looked at; nothing when it never was.
    pub(super) age_s: Option<u64>,
    /// How many seconds it may be old; nothing where it is looked at whenever somebody asks.
    pub(super) period_s: Option<u64>,
}

/// The proofs of one node.
#[derive(Serialize, ToSchema)]
pub(super) struct OneNode {
    pub(super) node: String,
    /// The worst of its proofs.
    pub(super) state: Outcome,
    /// How many seconds ago it said so; nothing when it never did.
    pub(super) told_s: Option<u64>,
    pub(super) proofs: Vec<Told>,
}

/// Every proof.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// The node that was asked.
    node: String,
    /// When.
    at: String,
    /// The worst of the proofs of all nodes.
    pub(super) state: Outcome,
    /// Those of the node that was asked.
    proofs: Vec<Told>,
    /// Those of every node, the one that was asked first.
    pub(super) nodes: Vec<OneNode>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new::<Readiness>(
        "get",
        "/readiness",
        "Whether the cluster would hold on the worst day, proof by proof, as every node knows it",
        get(readiness),
    )]
}

async fn readiness(Shared(desk): Shared<Desk>) -> Json<Readiness> {
    Json(desk.readiness().await)
}

impl Desk {
    /// How the proofs of all nodes stand.
    pub(super) async fn readiness(&self) -> Readiness {
        let all = self.proofs.all().await;
        let nodes: Vec<OneNode> = all.into_iter().map(OneNode::of).collect();
        let worst = nodes.iter().map(|it| it.state).max();
        Readiness {
            node: self.node.name.to_string(),
            at: rfc3339(clock::now()),
            state: worst.unwrap_or(Outcome::NotProven),
            proofs: nodes
                .first()
                .map(|it| it.proofs.clone())
                .unwrap_or_default(),
            nodes,
        }
    }
}

impl OneNode {
    fn of(it: OfNode) -> Self {
        let worst = it.proofs.iter().map(|it| it.state).max();
        Self {
            node: it.name,
            state: worst.unwrap_or(Outcome::NotProven),
            told_s: it.told.map(|it| it.as_secs()),
            proofs: it.proofs.into_iter().map(Told::of).collect(),
        }
    }
}

impl Told {
    fn of(it: Proof) -> Self {
        Self {
            name: it.name,
            state: it.state,
            evidence: it.evidence,
            advice: it.advice,
            age_s: it.age.map(|it| it.as_secs()),
            period_s: it.period.map(|it| it.as_secs()),
        }
    }
}
