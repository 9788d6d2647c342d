//! What takes time with a campaign: reading its list, rendering every mail, freezing the recipients, a test.

use axum::{
    Json,
    extract::{Path, Query, State as Shared},
};

use super::{
    Body, Desk, Mailing, Problem,
    asked::{Against, Drafted, Follows, Line},
    find,
    views::{Checked, Domain, Preview, Shown, Wrong, kinds},
};
use crate::desk::{asking::Asking, directory::read_audience as audience, problem::Mistake};
use crate::directory::{Choice, DirectoryError};
use crate::mail::campaign::{
    check::{self, Sample},
    name_of,
    sheet::{self, LIST, Listed, MANIFEST},
    texts::{Flaw, Press, Texts, Words},
};
use crate::model::{
    campaign::{Campaign, CampaignChange, CampaignId, Draft, Frozen, Kind, Stage, Which},
    limits,
    when::span_ms,
    words::{BlobHash, Lang, Note},
};

/// In what time a campaign must be delivered where nobody said so.
const DELIVER_MS: u64 = 24 * 3_600_000;
/// Domains that a check names.
const DOMAINS_SHOWN: usize = 20;

/// A draft that can be read: everything but its recipients.
struct Ready {
    name: Note,
    kind: Kind,
    deliver_ms: u64,
    texts: Texts,
}

/// Reads a draft.
fn read(asked: &Drafted) -> Result<Ready, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let name = Note::new(&asked.name)
        .ok()
        .filter(|it| !it.as_str().is_empty());
    if name.is_none() {
        mistakes.push(Mistake::of(
            "name",
            &asked.name,
            "1 to 300 bytes on one line",
        ));
    }
    let kind = Kind::of_name(&asked.kind);
    if kind.is_none() {
        mistakes.push(Mistake::of("kind", &asked.kind, &kinds()));
    }
    let deliver_ms = match asked.deliver.as_deref() {
        None => Some(DELIVER_MS),
        Some(text) => span_ms(text),
    };
    if deliver_ms.is_none() {
        let found = asked.deliver.as_deref().unwrap_or_default();
        mistakes.push(Mistake::of("deliver", found, "a time span such as 24h"));
    }
    let texts = texts_of(asked);
    if let Err(flaws) = Press::new(&texts, "") {
        mistakes.extend(flaws.iter().map(|it| told(None, it)));
    }
    match (name, kind, deliver_ms) {
        (Some(name), Some(kind), Some(deliver_ms)) if mistakes.is_empty() => Ok(Ready {
            name,
            kind,
            deliver_ms,
            texts,
        }),
        _ => Err(mistakes),
    }
}

/// What is wrong with a draft but for its recipients, so that all of it can be told at once.
pub(in crate::desk) fn mistakes(asked: &Drafted) -> Vec<Mistake> {
    read(asked).err().unwrap_or_default()
}

impl Desk {
    /// Drafts a campaign, or drafts it anew.
    pub(in crate::desk) async fn draft_campaign(
        &self,
        asking: &Asking,
        content: &[u8],
        asked: &Drafted,
    ) -> Result<Json<Shown>, Problem> {
        self.mailing()?;
        let ready = read(asked).map_err(|it| Problem::mistaken("the draft", it))?;
        let texts = serde_json::to_vec(&ready.texts).map_err(|error| {
            Problem::failed("keeping the texts", error.to_string(), "report this")
        })?;
        if texts.len() > limits::CAMPAIGN_TEXTS_BYTES_MAX {
            return Err(Problem::too_large(limits::CAMPAIGN_TEXTS_BYTES_MAX as u64));
        }
        let follows = asked.follows.as_ref().map(|it| self.followed(it));
        let follows = follows.transpose()?;
        let list = listed(self, asked, follows).await?;
        let worker = self.clone();
        let texts = blocking(move || worker.keep_blob(&texts)).await?;
        let (campaign, against) = self.drafted(asking, content, asked)?;
        let draft = Draft {
            name: ready.name,
            kind: ready.kind,
            texts,
            list,
            follows,
            deliver_ms: ready.deliver_ms,
            waves: !asked.at_once,
        };
        let change = CampaignChange::Draft {
            campaign,
            draft: Box::new(draft),
            against,
        };
        self.campaign_changed(asking, content, "drafting it", (campaign, change))
            .await
    }

    /// Renders every mail: who gets it, samples, and whatever is wrong.
    pub(in crate::desk) async fn check_campaign(
        &self,
        campaign: &str,
    ) -> Result<check::Checked, Problem> {
        let campaign = find(&self.cluster.state(), campaign)?.1.clone();
        let worker = self.clone();
        blocking(move || worker.rendered(&campaign)).await
    }

    /// One person's mail, as it would be sent.
    pub(in crate::desk) async fn preview_campaign(
        &self,
        campaign: &str,
        wanted: &Line,
    ) -> Result<Sample, Problem> {
        let campaign = find(&self.cluster.state(), campaign)?.1.clone();
        let (worker, wanted) = (self.clone(), wanted.clone());
        blocking(move || worker.one_of(&campaign, &wanted)).await
    }

    /// The texts of a campaign, as they were written.
    pub(in crate::desk) async fn campaign_texts(&self, campaign: &str) -> Result<Texts, Problem> {
        let campaign = find(&self.cluster.state(), campaign)?.1.clone();
        let worker = self.clone();
        blocking(move || worker.texts_of(&campaign)).await
    }

    /// Freezes the recipients and asks for an approval.
    pub(in crate::desk) async fn request_campaign(
        &self,
        asking: &Asking,
        content: &[u8],
        campaign: &str,
        against: Option<u64>,
    ) -> Result<Json<Shown>, Problem> {
        let (id, campaign) = {
            let state = self.cluster.state();
            let (id, campaign) = find(&state, campaign)?;
            (id, campaign.clone())
        };
        if !matches!(campaign.stage, Stage::Draft | Stage::Asked) {
            let why = "it was approved already";
            return Err(Problem::forbidden(
                "it cannot be frozen",
                why,
                "draft another one",
            ));
        }
        let against = against.unwrap_or(campaign.generation);
        let worker = self.clone();
        let frozen = blocking(move || worker.frozen(&campaign)).await?;
        let change = CampaignChange::Ask {
            campaign: id,
            frozen: Box::new(frozen),
            against,
        };
        self.campaign_changed(asking, content, "asking for it", (id, change))
            .await
    }
}

/// Where recipients come from: a list that was sent, an audience of the directory, or an earlier campaign.
async fn listed(
    desk: &Desk,
    asked: &Drafted,
    follows: Option<(CampaignId, Which)>,
) -> Result<(BlobHash, u64), Problem> {
    match (&asked.list, &asked.audience, follows) {
        (Some(hash), None, None) => {
            let wanted = "the list that this node answered when it was sent";
            let found: Option<BlobHash> = hash.parse().ok();
            let found = found.filter(|it| desk.blobs.has(it));
            let hash = found.ok_or_else(|| Problem::invalid("list", hash, wanted))?;
            let blobs = desk.blobs.clone();
            let size = blocking(move || {
                let bytes = blobs.read(&hash);
                bytes.map(|it| it.len() as u64).map_err(|error| {
                    Problem::failed("reading the list", error.to_string(), "send it again")
                })
            });
            Ok((hash, size.await?))
        }
        (None, Some(text), None) => {
            let (worker, text) = (desk.clone(), text.clone());
            blocking(move || worker.list_of(&text)).await
        }
        (None, None, Some((earlier, which))) => {
            let worker = desk.clone();
            blocking(move || worker.list_after(earlier, which)).await
        }
        _ => Err(Problem::invalid(
            "list",
            "more than one of them or none",
            "a list, an audience of the directory, or an earlier campaign that it follows",
        )),
    }
}

fn texts_of(asked: &Drafted) -> Texts {
    let words = asked.texts.iter().map(|(tag, it)| {
        let words = Words {
            subject: it.subject.clone(),
            text: it.text.clone(),
            html: it.html.clone(),
        };
        (tag.clone(), words)
    });
    words.collect()
}

fn told(line: Option<u32>, flaw: &Flaw) -> Mistake {
    let field = match line {
        Some(line) => format!("line {line}, {}", flaw.place),
        None => flaw.place.clone(),
    };
    Mistake::of(&field, &flaw.found, &flaw.wanted)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|_| {
        let what = "reading the campaign";
        Problem::failed(what, "it ended in a panic", "look at the node's log")
    })?
}

pub(super) async fn check(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
) -> Result<Json<Checked>, Problem> {
    let checked = desk.check_campaign(&campaign).await?;
    let domains = checked.largest_domains(DOMAINS_SHOWN).into_iter();
    Ok(Json(Checked {
        recipients: checked.recipients.len() as u64,
        repeated: checked.repeated,
        suppressed: checked.suppressed,
        langs: checked
            .langs
            .iter()
            .map(|(lang, count)| (lang.tag(), *count))
            .collect(),
        other_lang: checked.other_lang,
        domains: domains
            .map(|(domain, recipients)| Domain { domain, recipients })
            .collect(),
        bytes: checked.bytes,
        mistakes: checked
            .faults
            .iter()
            .map(|it| Wrong {
                line: it.line,
                who: it.who.clone(),
                field: it.field.clone(),
                found: it.found.clone(),
                wanted: it.wanted.clone(),
            })
            .collect(),
        wrong: checked.wrong,
        samples: checked.samples.into_iter().map(shown).collect(),
    }))
}

fn shown(sample: Sample) -> Preview {
    Preview {
        why: sample.why.to_owned(),
        line: sample.line,
        to: sample.who.address,
        lang: sample.mail.lang.tag(),
        subject: sample.mail.subject,
        text: sample.mail.text,
        html: sample.mail.html,
    }
}

pub(super) async fn preview(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
    Query(wanted): Query<Line>,
) -> Result<Json<Preview>, Problem> {
    let sample = desk.preview_campaign(&campaign, &wanted).await?;
    Ok(Json(shown(sample)))
}

pub(super) async fn request(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
    asking: Asking,
    body: Body<Against>,
) -> Result<Json<Shown>, Problem> {
    let against = body.value.against;
    desk.request_campaign(&asking, &body.bytes, &campaign, against)
        .await
}

impl Desk {
    /// The id and generation of what is drafted.
    fn drafted(
        &self,
        asking: &Asking,
        content: &[u8],
        asked: &Drafted,
    ) -> Result<(CampaignId, u64), Problem> {
        if let Some(text) = &asked.campaign {
            let state = self.cluster.state();
            let (id, known) = find(&state, text)?;
            return Ok((id, asked.against.unwrap_or(known.generation)));
        }
        // Made from the request's key, so that a repeat means the same campaign.
        let [a, b, c, d, ..] = asking.id(content).0;
        Ok((CampaignId(u32::from_be_bytes([a, b, c, d])), 0))
    }

    fn followed(&self, follows: &Follows) -> Result<(CampaignId, Which), Problem> {
        let state = self.cluster.state();
        let (id, earlier) = find(&state, &follows.campaign)?;
        if !matches!(earlier.stage, Stage::Ended(_)) {
            let why = "what became of its recipients is not known yet";
            return Err(Problem::forbidden(
                "it cannot be followed",
                why,
                "wait until it has ended, or cancel it",
            ));
        }
        let which = match follows.who.as_str() {
            "got" => Which::Got,
            "missed" => Which::Missed,
            other => return Err(Problem::invalid("who", other, "got or missed")),
        };
        Ok((id, which))
    }

    /// Everybody whom an audience of the directory means, each with the address that works. Blocking.
    fn list_of(&self, text: &str) -> Result<(BlobHash, u64), Problem> {
        let audience = audience(text)?;
        let directory = self.directory.get().ok_or_else(|| {
            let why = "no version of the directory is live on this node";
            let advice = "take one in with 'lifeboat directory import', or send a list";
            Problem::forbidden("nobody is known here", why, advice)
        })?;
        let choice = Choice {
            failed: None,
            avoid: &[],
            otherwise: self
                .console
                .company
                .languages
                .first()
                .copied()
                .unwrap_or_default(),
        };
        let failed = |error: DirectoryError| {
            let advice = "another node may have its files; look at this node's log";
            Problem::failed("reading the directory", error.to_string(), advice)
        };
        let people = directory.addressees(&audience, &choice).map_err(failed)?;
        let lines = people.zip(1_u32..).map(|(who, line)| {
            let who = who.map_err(failed)?;
            Ok(Listed { line, who })
        });
        let lines: Vec<Listed> = lines.collect::<Result<_, Problem>>()?;
        if lines.is_empty() {
            let wanted = "an audience that means somebody with a mail address";
            return Err(Problem::invalid("audience", text, wanted));
        }
        self.keep_sheet(LIST, &lines)
    }

    /// Those whom an earlier campaign reached, or missed. Blocking.
    fn list_after(&self, earlier: CampaignId, which: Which) -> Result<(BlobHash, u64), Problem> {
        let state = self.cluster.state();
        let (_, campaign) = find(&state, &earlier.to_string())?;
        let people = self.manifest_of(campaign)?;
        let meant = people.into_iter().zip(1_u32..).filter(|(_, number)| {
            let (segment, place) = campaign.place_of(number - 1);
            let fate = campaign.fate(segment, place);
            fate.is_some_and(|it| which.means(it.0))
        });
        let lines: Vec<Listed> = meant.map(|(who, line)| Listed { line, who }).collect();
        if lines.is_empty() {
            let why = "nobody of that campaign is meant";
            return Err(Problem::forbidden(
                "there is nobody to mail",
                why,
                "look at its report",
            ));
        }
        self.keep_sheet(LIST, &lines)
    }

    /// A campaign's list and templates. Blocking.
    fn list_and_press(&self, campaign: &Campaign) -> Result<(Vec<Listed>, Press), Problem> {
        let failed = |why: String| {
            let advice = "this node may not have copied it yet; ask another node";
            Problem::failed("reading the campaign", why, advice)
        };
        let list = self.blobs.read(&campaign.draft.list.0);
        let list = list.map_err(|error| failed(error.to_string()))?;
        let list = sheet::unpack(&self.keyring, LIST, &list);
        let list = list.map_err(|error| failed(error.to_string()))?;
        let texts = self.texts_of(campaign)?;
        let press = Press::new(&texts, &self.console.company.name).map_err(|flaws| {
            Problem::mistaken("the texts", flaws.iter().map(|it| told(None, it)).collect())
        })?;
        Ok((list, press))
    }

    fn texts_of(&self, campaign: &Campaign) -> Result<Texts, Problem> {
        let failed = |why: String| {
            let advice = "this node may not have copied it yet; ask another node";
            Problem::failed("reading the texts", why, advice)
        };
        let texts = self.blobs.read(&campaign.draft.texts.0);
        let texts = texts.map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&texts).map_err(|error| failed(error.to_string()))
    }

    /// Every mail of a campaign, rendered. Blocking, for as long as that takes.
    fn rendered(&self, campaign: &Campaign) -> Result<check::Checked, Problem> {
        let (list, press) = self.list_and_press(campaign)?;
        let state = self.cluster.state();
        let kind = campaign.draft.kind;
        Ok(check::check(&press, &list, |address| {
            state
                .campaigns
                .keeps_away(&name_of(&self.keyring, address), kind)
        }))
    }

    /// Mails to be looked at before an approval; of a very large campaign the first. Blocking.
    pub(in crate::desk) fn samples(&self, campaign: &Campaign) -> Result<Vec<Sample>, Problem> {
        let recipients = campaign.frozen.as_ref().map_or(0, |it| it.recipients);
        if recipients > limits::CAMPAIGN_SAMPLED_MAX {
            return Ok(vec![self.one_of(campaign, &Line::default())?]);
        }
        Ok(self.rendered(campaign)?.samples)
    }

    /// One person's mail. Blocking.
    pub(super) fn one_of(&self, campaign: &Campaign, wanted: &Line) -> Result<Sample, Problem> {
        let (list, press) = self.list_and_press(campaign)?;
        let sought = wanted.find.as_deref().map(|it| it.trim().to_lowercase());
        let found = match (wanted.line, &sought) {
            (None, None) => list.first(),
            (Some(line), _) => list.iter().find(|it| it.line == line),
            (None, Some(sought)) => list.iter().find(|it| {
                it.who.customer.to_lowercase() == *sought
                    || it.who.address.to_lowercase() == *sought
            }),
        };
        let Listed { line, who } = found.ok_or_else(|| match (wanted.line, sought) {
            (None, Some(sought)) => {
                let wanted = "the customer's number or mail address of somebody who gets it";
                Problem::invalid("find", &sought, wanted)
            }
            (line, _) => {
                let found = line.map_or("nothing".to_owned(), |it| it.to_string());
                Problem::invalid("line", &found, "a line of the list")
            }
        })?;
        let mail = press
            .render(who)
            .map_err(|flaw| Problem::mistaken("this mail", vec![told(Some(*line), &flaw)]))?;
        Ok(Sample {
            why: "chosen",
            line: *line,
            who: who.clone(),
            mail,
        })
    }

    /// Renders every mail and writes the manifest. Blocking.
    fn frozen(&self, campaign: &Campaign) -> Result<Frozen, Problem> {
        let mailing: &Mailing = self.mailing()?;
        let checked = self.rendered(campaign)?;
        if checked.wrong > 0 {
            let mut mistakes: Vec<Mistake> = checked
                .faults
                .iter()
                .map(|it| {
                    let field = format!("{}, line {}, {}", it.who, it.line, it.field);
                    Mistake::of(&field, &it.found, &it.wanted)
                })
                .collect();
            let more = checked.wrong.saturating_sub(mistakes.len() as u64);
            if more > 0 {
                mistakes.push(Mistake::of(
                    "the list",
                    &format!("{more} more mistakes"),
                    "none",
                ));
            }
            return Err(Problem::mistaken("the campaign", mistakes));
        }
        let manifest = self.keep_sheet(MANIFEST, &checked.recipients)?;
        let domains = checked.largest_domains(limits::DOMAINS_TOLD).into_iter();
        // A domain of a few people says who they are.
        let domains = domains.filter(|(_, count)| *count >= 10);
        Ok(Frozen {
            manifest,
            recipients: u32::try_from(checked.recipients.len()).unwrap_or(u32::MAX),
            routes: mailing.routes,
            langs: checked
                .langs
                .iter()
                .map(|(lang, count)| (*lang, *count))
                .collect::<Vec<(Lang, u32)>>(),
            domains: domains
                .map(|(domain, count)| (Note::cut(&domain), count))
                .collect(),
            repeated: checked.repeated,
            suppressed: checked.suppressed,
        })
    }
}
