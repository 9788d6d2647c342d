//! Mass mail as the API shows it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock;
use crate::model::{
    State,
    campaign::{Campaign, CampaignId, Fate, Frozen, Kind, Stage, binds, is_held, spoken},
    returns::Came,
    when::rfc3339,
    words::{BlobHash, Note},
};

/// Every campaign.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Campaigns {
    /// Newest first.
    pub(in crate::desk) campaigns: Vec<Shown>,
}

/// One campaign.
#[derive(Serialize, ToSchema)]
#[schema(as = Campaign)]
pub(in crate::desk) struct Shown {
    pub(in crate::desk) campaign: String,
    pub(in crate::desk) name: String,
    /// essential or updates.
    pub(in crate::desk) kind: &'static str,
    /// draft, asked, counting, sending, paused, done, cancelled or expired.
    pub(in crate::desk) stage: &'static str,
    /// What a change is made against.
    pub(in crate::desk) generation: u64,
    pub(in crate::desk) by: String,
    pub(in crate::desk) made: String,
    /// When it is given up; before the approval, so long after it.
    pub(in crate::desk) not_after: Option<String>,
    /// Exact recipients, once it is frozen.
    pub(in crate::desk) recipients: u32,
    /// How many have which outcome: waiting, delivered, refused, rejected, suppressed, expired, cancelled, unknown.
    pub(in crate::desk) outcomes: BTreeMap<&'static str, u32>,
    pub(in crate::desk) settled: u32,
    /// How many came back afterwards, by how: "not delivered", "returned", "complained". They stay delivered above.
    pub(in crate::desk) came_back: BTreeMap<&'static str, u32>,
    pub(in crate::desk) langs: BTreeMap<&'static str, u32>,
    /// The largest mail domains.
    pub(in crate::desk) domains: Vec<Domain>,
    pub(in crate::desk) repeated: u32,
    pub(in crate::desk) suppressed: u32,
    /// The hash that an approval names.
    pub(in crate::desk) binds: Option<String>,
    pub(in crate::desk) asked_by: Option<String>,
    pub(in crate::desk) approved_by: Option<String>,
    /// Above this number somebody else agrees than who asked, or a countdown runs.
    pub(in crate::desk) alone_up_to: u32,
    pub(in crate::desk) needs_second: bool,
    /// Why one person alone sends it.
    pub(in crate::desk) alone_why: Option<String>,
    pub(in crate::desk) countdown_s: u64,
    pub(in crate::desk) paused_by: Option<String>,
    pub(in crate::desk) paused_why: Option<String>,
    /// It is held since a restore or a recovery; who still waits may get it twice.
    pub(in crate::desk) held: bool,
    /// Voters that have the list of recipients, and voters in all: a majority is needed.
    pub(in crate::desk) voters_holding: u64,
    pub(in crate::desk) voters: u64,
    pub(in crate::desk) began: Option<String>,
    pub(in crate::desk) ended: Option<String>,
    /// Outcomes a second of late.
    pub(in crate::desk) per_second: Option<u64>,
    /// Seconds until everybody has an outcome, at that rate.
    pub(in crate::desk) left_s: Option<u64>,
    /// How many segments each node is at.
    pub(in crate::desk) nodes: BTreeMap<String, u32>,
}

/// A mail domain.
#[derive(Serialize, ToSchema)]
#[schema(as = MailDomain)]
pub(in crate::desk) struct Domain {
    pub(in crate::desk) domain: String,
    pub(in crate::desk) recipients: u32,
}

/// What came of rendering every mail.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignCheck)]
pub(in crate::desk) struct Checked {
    pub(in crate::desk) recipients: u64,
    /// Lines whose address another line has.
    pub(in crate::desk) repeated: u32,
    /// Lines whose address is suppressed.
    pub(in crate::desk) suppressed: u32,
    pub(in crate::desk) langs: BTreeMap<&'static str, u32>,
    /// How many do not get it in the language that they read.
    pub(in crate::desk) other_lang: u32,
    pub(in crate::desk) domains: Vec<Domain>,
    /// Bytes of all texts together.
    pub(in crate::desk) bytes: u64,
    /// The first mistakes, and how many there are.
    pub(in crate::desk) mistakes: Vec<Wrong>,
    pub(in crate::desk) wrong: u64,
    /// Typical, longest and oddest.
    pub(in crate::desk) samples: Vec<Preview>,
}

/// A mistake in one person's mail.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignMistake)]
pub(in crate::desk) struct Wrong {
    /// The line of the list.
    pub(in crate::desk) line: u32,
    /// Whose: the customer's number, or else the address.
    pub(in crate::desk) who: String,
    pub(in crate::desk) field: String,
    pub(in crate::desk) found: String,
    pub(in crate::desk) wanted: String,
}

/// One person's mail.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignPreview)]
pub(in crate::desk) struct Preview {
    /// Why it is shown.
    pub(in crate::desk) why: String,
    pub(in crate::desk) line: u32,
    pub(in crate::desk) to: String,
    pub(in crate::desk) lang: &'static str,
    pub(in crate::desk) subject: String,
    pub(in crate::desk) text: String,
    pub(in crate::desk) html: Option<String>,
}

impl Campaigns {
    pub(in crate::desk) fn of(state: &State) -> Self {
        let mut all: Vec<_> = state.campaigns.all.iter().collect();
        all.sort_by_key(|(_, it)| std::cmp::Reverse(it.made));
        Self {
            campaigns: all
                .into_iter()
                .map(|(id, it)| Shown::of(state, *id, it))
                .collect(),
        }
    }
}

impl Shown {
    pub(in crate::desk) fn of(state: &State, id: CampaignId, it: &Campaign) -> Self {
        let now = state.now.max(clock::now());
        let countdown_s = match (&it.stage, &it.approval) {
            (Stage::Sending, Some(approval)) => approval.from.ms_since(now).div_ceil(1_000),
            _ => 0,
        };
        let stage = match countdown_s {
            0 => spoken(&it.stage),
            _ => "counting",
        };
        let frozen = it.frozen.as_ref();
        let (paused_by, paused_why) = match &it.stage {
            Stage::Paused { by, why } => (Some(by.clone()), Some(why.as_str().to_owned())),
            _ => (None, None),
        };
        let recipients = frozen.map_or(0, |it| it.recipients);
        let manifest = frozen.map(|it| it.manifest.0);
        let per_second = rate(it);
        let waiting = u64::from(it.count(Fate::Waiting));
        let approval = it.approval.as_ref();
        let alone_why = approval.and_then(|it| it.alone.as_ref());
        Self {
            campaign: id.to_string(),
            name: it.draft.name.as_str().to_owned(),
            kind: it.draft.kind.name(),
            stage,
            generation: it.generation,
            by: it.by.clone(),
            made: rfc3339(it.made),
            not_after: approval.map(|_| rfc3339(it.not_after())),
            recipients,
            outcomes: Fate::ALL
                .into_iter()
                .map(|fate| (fate.name(), it.count(fate)))
                .collect(),
            settled: it.settled(),
            came_back: came_back(state, id),
            langs: frozen.map(langs).unwrap_or_default(),
            domains: frozen.map(domains).unwrap_or_default(),
            repeated: frozen.map_or(0, |it| it.repeated),
            suppressed: frozen.map_or(0, |it| it.suppressed),
            binds: frozen.map(|frozen| binds(&it.draft, frozen).to_string()),
            asked_by: it.asked.as_ref().map(|it| it.by.clone()),
            approved_by: approval.map(|it| it.by.clone()),
            alone_up_to: state.campaigns.alone_up_to(),
            needs_second: recipients > state.campaigns.alone_up_to(),
            alone_why: alone_why.map(|it| it.as_str().to_owned()),
            countdown_s,
            paused_by,
            paused_why,
            held: is_held(state, it),
            voters_holding: manifest.map_or(0, |it| holding(state, &it)),
            voters: state.voters.len() as u64,
            began: it.began.map(rfc3339),
            ended: it.ended.map(rfc3339),
            per_second,
            left_s: per_second
                .filter(|it| *it > 0)
                .map(|it| waiting.div_ceil(it)),
            nodes: at_work(state, it),
        }
    }
}

fn came_back(state: &State, id: CampaignId) -> BTreeMap<&'static str, u32> {
    let ways = [Came::Soft, Came::Hard, Came::Complained];
    let counted = ways.map(|came| (came.name(), state.returns.count(id, came)));
    counted
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn langs(frozen: &Frozen) -> BTreeMap<&'static str, u32> {
    let langs = frozen.langs.iter();
    langs.map(|(lang, count)| (lang.tag(), *count)).collect()
}

fn domains(frozen: &Frozen) -> Vec<Domain> {
    let domain = |(domain, recipients): &(Note, u32)| Domain {
        domain: domain.as_str().to_owned(),
        recipients: *recipients,
    };
    frozen.domains.iter().map(domain).collect()
}

/// How many segments each node is at.
fn at_work(state: &State, campaign: &Campaign) -> BTreeMap<String, u32> {
    let mut nodes = BTreeMap::new();
    for lease in campaign.segments.values().filter_map(|it| it.lease) {
        let known = state.nodes.get(&lease.node);
        let name = known.map_or_else(|| lease.node.to_string(), |it| it.facts.name.to_string());
        *nodes.entry(name).or_default() += 1;
    }
    nodes
}

/// Voters that hold a blob.
fn holding(state: &State, blob: &BlobHash) -> u64 {
    let Some(blob) = state.blobs.get(blob) else {
        return 0;
    };
    let holds = |id: &&crate::model::words::NodeId| blob.holders.contains_key(*id);
    state.voters.iter().filter(holds).count() as u64
}

/// Outcomes a second of the last minute, while it is sent.
fn rate(campaign: &Campaign) -> Option<u64> {
    if campaign.stage != Stage::Sending {
        return None;
    }
    let (from, before) = *campaign.progress.front()?;
    let (to, after) = *campaign.progress.last()?;
    let ms = to.ms_since(from).max(1);
    (to > from).then(|| u64::from(after.saturating_sub(before)) * 1_000 / ms)
}

/// The kind of a name, or what would have been one.
pub(in crate::desk) fn kinds() -> String {
    Kind::ALL.map(Kind::name).join(" or ")
}
