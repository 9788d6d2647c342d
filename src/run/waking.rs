//! The node's part in waking people: its carriers, and what begins without anybody asking: weekly tests of every way, and
//! promised updates that are due soon or did not come.

use std::{sync::Arc, time::Duration};

use super::{Node, RunError, Runtimes, relay};
use crate::{
    clock,
    cluster::Cluster,
    config::{self, Zone},
    errands,
    mail::out as mail_out,
    model::{
        Command, Proposal, State,
        incident::Promise,
        waking::{WakingChange, WakingId, Why, on_call},
        words::{ClientId, Timestamp},
    },
    relay::waking::Waker,
    seal::Keyring,
    tasks::{Outcome, Stop, Tasks},
    telemetry::Metrics,
};

/// How often is looked for what is due by itself.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long one proposal may take.
const WITHIN: Duration = Duration::from_secs(5);

/// The addresses at which a try is answered, one for each of the node's own names.
fn links(web: config::Web, keyring: Arc<Keyring>) -> mail_out::waking::Links {
    Arc::new(move |waking: WakingId, number| {
        let token = keyring.waking(waking.0, number);
        let sites = relay::sites(&web).into_iter();
        sites.map(|site| format!("{site}/w/{token}")).collect()
    })
}

impl Node<'_> {
    /// Starts waking people. A node that cannot use a way leaves it to the others.
    pub(super) fn start_waking(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        metrics: &Metrics,
    ) -> Result<(), RunError> {
        let links = links(self.config.web.clone(), self.keyring.clone());
        let company = self.config.company.name.clone();
        let background = runtimes.background.handle();
        if let Some(way) = self.relay_way() {
            let cluster = self.cluster.clone();
            let named = (links.clone(), company.clone());
            let waker = Arc::new(Waker::new(cluster.clone(), way, named, metrics));
            tasks.keep(background, "waking", move |stop| {
                errands::run(cluster.clone(), waker.clone(), stop)
            });
        }
        if let Some(out) = &self.config.mail.out {
            let cluster = self.cluster.clone();
            let waker = Arc::new(mail_out::waking::Waker {
                cluster: cluster.clone(),
                keyring: self.keyring.clone(),
                house: mail_out::compose::House {
                    company,
                    from: out.from.clone(),
                    staff_lang: out.staff_lang,
                },
                links,
                way: self.mail_way(out)?,
            });
            tasks.keep(background, "waking by mail", move |stop| {
                errands::run(cluster.clone(), waker.clone(), stop)
            });
        }
        let (cluster, zone) = (self.cluster.clone(), self.config.company.zone.clone());
        tasks.keep(background, "waking by itself", move |stop| {
            watch(cluster.clone(), zone.clone(), stop)
        });
        Ok(())
    }
}

/// Asks for what is due without anybody asking. The leader does it, so that not every node asks.
async fn watch(cluster: Cluster, zone: Zone, stop: Stop) -> Outcome {
    loop {
        let health = cluster.health();
        if health.leader == Some(cluster.id()) && !health.alone() {
            let state = cluster.state();
            let now = clock::now().max(state.now);
            for change in due(&state, &zone, now) {
                let id = ClientId(clock::random_bytes());
                let proposal = Proposal::of_node(id, cluster.id(), Command::Waking(change));
                // Looked for again if it did not get through.
                if let Err(error) = cluster.propose(proposal, WITHIN).await {
                    tracing::debug!(%error, "could not begin a waking yet");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn due(state: &State, zone: &Zone, now: Timestamp) -> Vec<WakingChange> {
    let incidents = state.incidents.all.iter();
    let promised = incidents.filter_map(|(id, it)| {
        let incident = *id;
        let (why, change) = match (it.promise(now), it.to_remind_of(now)) {
            (Promise::Broken(by), _) => (
                Why::Promise { incident, by },
                WakingChange::Promise { incident, by },
            ),
            (_, Some(by)) => (
                Why::Reminder { incident, by },
                WakingChange::Remind { incident, by },
            ),
            (_, None) => return None,
        };
        (!state.wakings.was_for(&why)).then_some(change)
    });
    let mut due: Vec<WakingChange> = Vec::new();
    // Where nobody is on call, nobody asked to be woken.
    if !on_call(state).is_empty() {
        due.extend(promised);
    }
    let wall = zone.wall(now);
    let tests_now = state.wakings.rules.test.is_some_and(|(day, hour)| {
        (wall.weekday, wall.hour) == (day.cast_signed(), hour.cast_signed())
    });
    if tests_now {
        let people = on_call(state).into_iter();
        let people = people.filter(|it| state.wakings.is_test_due(it, now));
        due.extend(people.map(|person| WakingChange::Test { person }));
    }
    due
}
