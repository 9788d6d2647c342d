//! A test of a mass mail: one recipient's mail, sent to somebody of the company.

use axum::{
    Json,
    extract::{Path, State as Shared},
};

use super::{
    Body, Desk, Problem,
    asked::{Line, Test, Tested},
    find, person,
    work::blocking,
};
use crate::mail::campaign::trial::{self, Staff};
use crate::mail::out::session::Outcome;

pub(super) async fn test(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
    body: Body<Test>,
) -> Result<Json<Tested>, Problem> {
    desk.test_campaign(&campaign, &body.value).await.map(Json)
}

impl Desk {
    /// Sends one recipient's mail to somebody of the company, marked as a test.
    pub(in crate::desk) async fn test_campaign(
        &self,
        campaign: &str,
        asked: &Test,
    ) -> Result<Tested, Problem> {
        let what = "sending the test";
        let state = self.cluster.state();
        let (id, campaign) = find(&state, campaign)?;
        let campaign = campaign.clone();
        let to = match &asked.person {
            None => Staff::support(&self.mailing()?.from),
            Some(name) => {
                let name = person(name)?;
                Staff::of_account(&self.keyring, &state, &name).ok_or_else(|| {
                    let wanted = "somebody with an account and a mailbox";
                    Problem::invalid("person", name.as_str(), wanted)
                })?
            }
        };
        let wanted = Line {
            line: asked.line,
            find: None,
        };
        let (worker, kind) = (self.clone(), campaign.draft.kind);
        let sample = blocking(move || worker.one_of(&campaign, &wanted)).await?;
        let mailing = self.mailing()?;
        let mail = trial::write(&mailing.from, &self.keyring, (id, kind), &sample, &to);
        let mail =
            mail.map_err(|error| Problem::failed(what, error.to_string(), "look at the text"))?;
        let whom = asked.person.as_deref().unwrap_or("the support mailbox");
        match mailing.way.carry(&mail, &|| true).await {
            Outcome::Accepted => Ok(Tested {
                says: format!("a relay took the test for {whom}"),
            }),
            Outcome::TryLater(why) | Outcome::RefusedForGood(why) | Outcome::Unknown(why) => {
                Err(Problem::failed(what, why, "look at the relays"))
            }
        }
    }
}
