//! The end of what this node answered by itself: once it reaches a majority again the cluster is told, for the record,
//! and what was agreed on is answered.

use std::{sync::Arc, time::Duration};

use super::chain;
use crate::{
    clock,
    cluster::{Cluster, Committed},
    dns::Answers,
    model::{Actor, Command, Proposal, Reply, alone::OwnChoice, command::FORMAT},
    tasks::{Outcome, Stop},
};

/// How long one report may take, and this node then to reach the state that it was agreed in.
const WITHIN: Duration = Duration::from_secs(5);
/// How often is looked when nothing changes, and when a report did not get through.
const LOOK: Duration = Duration::from_secs(2);

/// Ends what this node answers by itself when it has a majority again, until it is stopped.
pub(super) async fn rejoined(cluster: Cluster, answers: Arc<Answers>, stop: Stop) -> Outcome {
    let mut health = cluster.health_changes();
    let mut chosen = answers.own.chosen();
    loop {
        chosen.borrow_and_update();
        let alone = health.borrow_and_update().alone();
        let kept = if alone { Vec::new() } else { answers.own.all() };
        let mut again = false;
        for choice in kept {
            again |= !ended(&cluster, &answers, choice).await?;
        }
        let look = tokio::time::sleep(LOOK);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            it = health.changed(), if !again => it?,
            it = chosen.changed(), if !again => it?,
            () = look => {}
        }
    }
}

/// Tells of one choice and ends it. False when it must be told of again.
async fn ended(
    cluster: &Cluster,
    answers: &Arc<Answers>,
    choice: OwnChoice,
) -> Result<bool, tokio::task::JoinError> {
    let node = cluster.id();
    let report = choice.report(node, clock::now());
    let about = report.about();
    let proposal = Proposal {
        format: FORMAT,
        id: choice.id,
        actor: choice.actor.clone(),
        source: choice.source.clone(),
        origin: node,
        stamp: None,
        command: Command::Alone(report),
    };
    let told = cluster.propose(proposal, WITHIN).await;
    let is_told = match &told {
        Ok(Committed {
            reply: Reply::Refused(refusal),
            ..
        }) => {
            tracing::warn!(%about, %refusal, "the cluster did not take the report of what this node answered by itself");
            false
        }
        Ok(it) => {
            // What this node answers next is then as new as the report at least, and not what was agreed on long ago.
            let mut changes = cluster.changes();
            let caught_up = changes.wait_for(|index| *index >= it.index);
            let _lags = tokio::time::timeout(WITHIN, caught_up).await;
            tracing::info!(%about, "the cluster was told what this node answered by itself; what was agreed on holds again");
            true
        }
        Err(error) => {
            tracing::debug!(error = %chain(error), "the cluster could not be told yet what this node answered by itself");
            false
        }
    };
    // Lost again before the report got through: it is alone as before, and so is its choice.
    if !is_told && cluster.health().alone() {
        return Ok(false);
    }
    let answers = answers.clone();
    let done = tokio::task::spawn_blocking(move || {
        if is_told {
            answers.own.forget(choice.id)
        } else {
            let by = Actor::System;
            answers
                .own
                .end(&choice.service, clock::now(), &by)
                .map(drop)
        }
    });
    if let Err(error) = done.await? {
        tracing::error!(error = %chain(&error), "what this node answered by itself has ended and cannot be forgotten; it is told of again");
        return Ok(false);
    }
    Ok(is_told)
}
