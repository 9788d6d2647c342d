//! Mass mail over the API: list and draft, every mail rendered, frozen at the request, agreed to by people who typed the
//! number, watched, stopped, reported. Nothing is mailed from here but a test to somebody of the company.

mod asked;
mod lists;
pub(super) mod report;
mod trial;
mod views;
mod work;

use axum::{
    Json,
    extract::{DefaultBodyLimit, Path, State as Shared},
    routing::{get, post},
};

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::Problem,
};
use crate::mail::campaign::{letter, name_of};
use crate::mail::out::way::Way;
use crate::mail::receiver::Receiver;
use crate::model::{
    Command, State,
    campaign::{Campaign, CampaignChange, CampaignId, Scope},
    limits,
    words::{EmailAddress, KeyedHash, Label, Note, Wrong},
};

use asked::{Addresses, Against, Alone, Rules, Tested, Typed};
pub(super) use asked::{Agreed, Because, Drafted, Follows, Line, Test, Words};
pub(super) use views::Shown;
use views::{Campaigns, Checked, Preview};
pub(super) use work::mistakes;

/// What this node's desk needs to write and test mass mail.
pub struct Mailing {
    /// Who mails.
    pub from: letter::Sender,
    /// What an approval binds of this node's ways out.
    pub routes: KeyedHash,
    /// For test mails.
    pub way: Way,
    /// Looks at our mail as receivers do; nothing where this machine knows nobody to ask.
    pub receiver: Option<Receiver>,
}

pub(super) fn routes() -> Vec<Route> {
    let mut routes = of_drafts();
    routes.extend(of_sending());
    routes.extend(of_rules());
    routes
}

fn of_drafts() -> Vec<Route> {
    let draft = post(draft).layer(DefaultBodyLimit::max(2 * limits::CAMPAIGN_TEXTS_BYTES_MAX));
    vec![
        Route::new::<Campaigns>(
            "get",
            "/campaigns",
            "Mass mail, the newest first",
            get(list),
        ),
        Route::new::<lists::Taken>(
            "post",
            "/campaigns/lists",
            "Send a list of recipients, as CSV or JSON lines, for a draft on this node",
            post(lists::take),
        )
        .query(&[("lang", "for lines without a language; default en")])
        .takes_bytes(),
        Route::new::<Shown>(
            "post",
            "/campaigns",
            "Draft a mass mail, or draft it anew",
            draft,
        )
        .takes::<Drafted>(),
        Route::new::<Shown>(
            "get",
            "/campaigns/{campaign}",
            "One, with its progress",
            get(show),
        ),
        Route::new::<Checked>(
            "get",
            "/campaigns/{campaign}/check",
            "Render every mail: who gets it, samples, and whatever is wrong",
            get(work::check),
        ),
        Route::new::<Preview>(
            "get",
            "/campaigns/{campaign}/preview",
            "One person's mail, as it would be sent",
            get(work::preview),
        )
        .query(&[
            ("line", "the line of the list"),
            ("find", "or a customer's number or mail address"),
        ]),
        Route::new::<Tested>(
            "post",
            "/campaigns/{campaign}/test",
            "Send one person's mail to somebody of the company, marked as a test",
            post(trial::test),
        )
        .takes::<Test>(),
        Route::new::<Shown>(
            "post",
            "/campaigns/{campaign}/request",
            "Freeze the recipients and ask for an approval",
            post(work::request),
        )
        .takes::<Against>(),
    ]
}

fn of_sending() -> Vec<Route> {
    vec![
        Route::new::<Shown>(
            "post",
            "/campaigns/{campaign}/approve",
            "Agree to exactly what was looked at",
            post(approve),
        )
        .takes::<Agreed>(),
        Route::new::<Shown>(
            "post",
            "/campaigns/{campaign}/pause",
            "Let nothing more of it leave until it is resumed",
            post(pause),
        )
        .takes::<Because>(),
        Route::new::<Shown>(
            "post",
            "/campaigns/{campaign}/resume",
            "Let it go on",
            post(resume),
        )
        .takes::<Because>(),
        Route::new::<Shown>(
            "post",
            "/campaigns/{campaign}/cancel",
            "End it: whoever has not got it does not get it",
            post(cancel),
        )
        .takes::<Because>(),
        Route::new::<Shown>(
            "post",
            "/campaigns/{campaign}/release",
            "Let it be sent after a restore or a recovery",
            post(release),
        )
        .takes::<Typed>(),
        Route::new::<Shown>(
            "get",
            "/campaigns/{campaign}/report",
            "What became of every recipient, as CSV",
            get(report::csv),
        )
        .gives_bytes(),
    ]
}

fn of_rules() -> Vec<Route> {
    vec![
        Route::new::<Rules>("get", "/suppressions", "The rules of mass mail", get(rules)),
        Route::new::<Rules>(
            "post",
            "/suppressions",
            "Keep mass mail away from addresses",
            post(suppress),
        )
        .takes::<Addresses>(),
        Route::new::<Rules>(
            "post",
            "/suppressions/remove",
            "Let addresses be written to again",
            post(allow),
        )
        .takes::<Addresses>(),
        Route::new::<Rules>(
            "post",
            "/suppressions/alone",
            "Say how many one person alone may mail to",
            post(set_alone),
        )
        .takes::<Alone>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Campaigns> {
    Json(Campaigns::of(&desk.cluster.state()))
}

async fn show(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let state = desk.cluster.state();
    let (id, campaign) = find(&state, &campaign)?;
    Ok(Json(Shown::of(&state, id, campaign)))
}

async fn draft(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Drafted>,
) -> Result<Json<Shown>, Problem> {
    desk.draft_campaign(&asking, &body.bytes, &body.value).await
}

async fn approve(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
    asking: Asking,
    body: Body<Agreed>,
) -> Result<Json<Shown>, Problem> {
    desk.approve_campaign(&asking, &body.bytes, &campaign, &body.value)
        .await
}

async fn pause(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
    asking: Asking,
    body: Body<Because>,
) -> Result<Json<Shown>, Problem> {
    let how = (&body.value, false);
    desk.pause_campaign(&asking, &body.bytes, &campaign, how)
        .await
}

async fn resume(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
    asking: Asking,
    body: Body<Because>,
) -> Result<Json<Shown>, Problem> {
    let how = (&body.value, true);
    desk.pause_campaign(&asking, &body.bytes, &campaign, how)
        .await
}

async fn cancel(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
    asking: Asking,
    body: Body<Because>,
) -> Result<Json<Shown>, Problem> {
    desk.cancel_campaign(&asking, &body.bytes, &campaign, &body.value)
        .await
}

async fn release(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
    asking: Asking,
    body: Body<Typed>,
) -> Result<Json<Shown>, Problem> {
    let count = body.value.count;
    desk.release_campaign(&asking, &body.bytes, &campaign, count)
        .await
}

async fn rules(Shared(desk): Shared<Desk>) -> Json<Rules> {
    Json(desk.mail_rules())
}

async fn suppress(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Addresses>,
) -> Result<Json<Rules>, Problem> {
    let addresses = desk.hashed(&body.value.addresses)?;
    let scope = match body.value.scope.as_deref().unwrap_or("everything") {
        "everything" => Scope::Everything,
        "updates" => Scope::Updates,
        other => return Err(Problem::invalid("scope", other, "everything or updates")),
    };
    let change = CampaignChange::Suppress { addresses, scope };
    desk.rules_changed(&asking, &body.bytes, change).await
}

async fn allow(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Addresses>,
) -> Result<Json<Rules>, Problem> {
    let addresses = desk.hashed(&body.value.addresses)?;
    let change = CampaignChange::Allow { addresses };
    desk.rules_changed(&asking, &body.bytes, change).await
}

async fn set_alone(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Alone>,
) -> Result<Json<Rules>, Problem> {
    let recipients = body.value.alone_up_to;
    let change = CampaignChange::AloneUpTo { recipients };
    desk.rules_changed(&asking, &body.bytes, change).await
}

impl Desk {
    /// Agrees to a campaign.
    pub(super) async fn approve_campaign(
        &self,
        asking: &Asking,
        content: &[u8],
        campaign: &str,
        asked: &Agreed,
    ) -> Result<Json<Shown>, Problem> {
        let campaign = find(&self.cluster.state(), campaign)?.0;
        let binds = asked
            .binds
            .parse()
            .map_err(|wrong: Wrong| Problem::invalid("binds", &asked.binds, &wrong.wanted))?;
        let alone = match asked.alone.as_deref() {
            None => None,
            Some(why) if why.trim().is_empty() => {
                return Err(Problem::invalid(
                    "alone",
                    "nothing",
                    "a reason, in one line",
                ));
            }
            Some(why) => Some(note("alone", why)?),
        };
        let change = CampaignChange::Approve {
            campaign,
            binds,
            count: asked.count,
            alone,
        };
        self.campaign_changed(asking, content, "approving it", (campaign, change))
            .await
    }

    /// Lets a campaign be sent after a restore or a recovery.
    pub(super) async fn release_campaign(
        &self,
        asking: &Asking,
        content: &[u8],
        campaign: &str,
        count: u32,
    ) -> Result<Json<Shown>, Problem> {
        let campaign = find(&self.cluster.state(), campaign)?.0;
        let change = CampaignChange::Release { campaign, count };
        self.campaign_changed(asking, content, "releasing it", (campaign, change))
            .await
    }

    /// Stops a campaign for good.
    pub(super) async fn cancel_campaign(
        &self,
        asking: &Asking,
        content: &[u8],
        campaign: &str,
        because: &Because,
    ) -> Result<Json<Shown>, Problem> {
        let (campaign, why) = self.named(campaign, because)?;
        let change = CampaignChange::Cancel { campaign, why };
        self.campaign_changed(asking, content, "cancelling it", (campaign, change))
            .await
    }

    /// Pauses a campaign, or lets it go on.
    pub(super) async fn pause_campaign(
        &self,
        asking: &Asking,
        content: &[u8],
        campaign: &str,
        (because, goes_on): (&Because, bool),
    ) -> Result<Json<Shown>, Problem> {
        let (campaign, why) = self.named(campaign, because)?;
        let (what, change) = match goes_on {
            false => ("pausing it", CampaignChange::Pause { campaign, why }),
            true => ("resuming it", CampaignChange::Resume { campaign }),
        };
        self.campaign_changed(asking, content, what, (campaign, change))
            .await
    }

    fn named(&self, campaign: &str, because: &Because) -> Result<(CampaignId, Note), Problem> {
        let campaign = find(&self.cluster.state(), campaign)?.0;
        Ok((campaign, note("reason", &because.reason)?))
    }

    /// Asks the cluster for a change and answers with how the campaign is then.
    async fn campaign_changed(
        &self,
        asking: &Asking,
        content: &[u8],
        what: &str,
        (id, change): (CampaignId, CampaignChange),
    ) -> Result<Json<Shown>, Problem> {
        let command = Command::Campaign(change);
        let committed = self
            .propose(asking, asking.id(content), what, command)
            .await?;
        self.applied(committed.index).await;
        let state = self.cluster.state();
        let campaign = state.campaigns.all.get(&id).ok_or_else(|| {
            Problem::not_found("campaign here yet", "this node lags behind; ask it again")
        })?;
        Ok(Json(Shown::of(&state, id, campaign)))
    }

    async fn rules_changed(
        &self,
        asking: &Asking,
        content: &[u8],
        change: CampaignChange,
    ) -> Result<Json<Rules>, Problem> {
        let command = Command::Campaign(change);
        let committed = self
            .propose(asking, asking.id(content), "changing the rules", command)
            .await?;
        self.applied(committed.index).await;
        Ok(Json(self.mail_rules()))
    }

    fn mail_rules(&self) -> Rules {
        let state = self.cluster.state();
        Rules {
            suppressed: state.campaigns.suppressed.len() as u64,
            alone_up_to: state.campaigns.alone_up_to(),
        }
    }

    fn hashed(&self, addresses: &[String]) -> Result<Vec<KeyedHash>, Problem> {
        let read = addresses.iter().map(|text| {
            let address = EmailAddress::new(text)
                .map_err(|wrong| Problem::invalid("addresses", text, &wrong.wanted))?;
            Ok(name_of(&self.keyring, &address))
        });
        read.collect()
    }

    /// What this node mails with.
    ///
    /// # Errors
    /// When it mails nothing.
    fn mailing(&self) -> Result<&Mailing, Problem> {
        self.parts.mailing.as_deref().ok_or_else(|| {
            let why = "this node has no [mail] section, so it sends no mail";
            Problem::forbidden(
                "mass mail is not set up here",
                why,
                "ask a node that has one",
            )
        })
    }
}

fn note(field: &str, text: &str) -> Result<Note, Problem> {
    Note::new(text).map_err(|wrong| Problem::invalid(field, text, &wrong.wanted))
}

pub(super) fn find<'a>(
    state: &'a State,
    text: &str,
) -> Result<(CampaignId, &'a Campaign), Problem> {
    let id: CampaignId = text
        .parse()
        .map_err(|wrong: Wrong| Problem::invalid("campaign", text, &wrong.wanted))?;
    let campaign = state.campaigns.all.get(&id);
    campaign.map(|it| (id, it)).ok_or_else(|| {
        let what = format!("campaign {id}");
        Problem::not_found(&what, "'lifeboat mail list' shows those there are")
    })
}

fn person(text: &str) -> Result<Label, Problem> {
    Label::new(text).map_err(|wrong| Problem::invalid("person", text, &wrong.wanted))
}

/// What somebody should look at, for the node's status.
pub(super) fn alarms(state: &State) -> Vec<String> {
    let mut alarms = Vec::new();
    for (id, campaign) in &state.campaigns.all {
        let shown = Shown::of(state, *id, campaign);
        match shown.stage {
            "counting" => alarms.push(format!(
                "mass mail {id} goes to {} people in {} s; 'lifeboat mail cancel {id}' stops it",
                shown.recipients, shown.countdown_s
            )),
            "paused" => alarms.push(format!(
                "mass mail {id} is paused: {}",
                shown.paused_why.as_deref().unwrap_or_default()
            )),
            _ => {}
        }
        if shown.held {
            alarms.push(format!(
                "mass mail {id} is held since a restore or a recovery; 'lifeboat mail release {id}' shows what may repeat"
            ));
        }
    }
    alarms
}
