//! The only functions that change what is known of channels and notices.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    Channel, ChannelFacts, Means, Next, Notice, NoticeId, Standing, Told, holding, next, of_item,
};
use crate::model::{
    Refusal, Reply, State,
    incident::IncidentId,
    limits,
    outbox::{self, ItemKind},
    words::{Label, Note, Sealed, Timestamp},
};

/// A change to what is known of channels and notices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeChange {
    /// Makes a channel, or says anew what it is.
    SetChannel {
        /// The channel.
        channel: Label,
        /// What it is.
        facts: ChannelFacts,
        /// Its token or secret; nothing to keep the one that is there.
        secret: Option<Sealed>,
        /// Its generation that this was made against; 0 when there was none.
        against: u64,
    },
    /// Forgets a channel that nothing is on its way through.
    RemoveChannel {
        /// The channel.
        channel: Label,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Tells an update through channels, or what holds now where it was told otherwise.
    Tell {
        /// The incident.
        incident: IncidentId,
        /// The update, from 1.
        update: u32,
        /// The channels.
        channels: Vec<Label>,
    },
    /// Stops what has not left yet.
    Stop {
        /// The notices; of those that have left nothing is changed.
        notices: Vec<NoticeId>,
    },
    /// A person has done what was to be done by hand.
    Done {
        /// The notice.
        notice: NoticeId,
        /// The revision of the update that the person copied.
        revision: u32,
        /// Where it can be seen.
        place: Option<Note>,
    },
}

impl NoticeChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SetChannel { .. } => "set-channel",
            Self::RemoveChannel { .. } => "remove-channel",
            Self::Tell { .. } => "tell-update",
            Self::Stop { .. } => "stop-notices",
            Self::Done { .. } => "notice-done",
        }
    }

    /// What it is about, for the record. Never a secret.
    pub fn about(&self) -> String {
        match self {
            Self::SetChannel { channel, facts, .. } => {
                format!("{channel}: {}", facts.means.kind())
            }
            Self::RemoveChannel { channel, .. } => channel.to_string(),
            Self::Tell {
                incident,
                update,
                channels,
            } => format!("{incident} update {update}: {}", listed(channels)),
            Self::Stop { notices } => listed(notices),
            Self::Done { notice, .. } => notice.to_string(),
        }
    }
}

fn listed<T: ToString>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// Does what is asked. `index` is the entry's, `by` who asks as the record names them.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    by: String,
    change: &NoticeChange,
) -> Result<Reply, Refusal> {
    match change {
        NoticeChange::SetChannel {
            channel,
            facts,
            secret,
            against,
        } => set_channel(state, index, channel, (facts, secret.as_ref()), *against),
        NoticeChange::RemoveChannel { channel, against } => {
            remove_channel(state, channel, *against)
        }
        NoticeChange::Tell {
            incident,
            update,
            channels,
        } => {
            if channels.is_empty() {
                return Err(Refusal::unsound("channels", "none", "at least one"));
            }
            ready(state, channels)?;
            let words = holding(state, *incident, *update);
            let words = words.ok_or_else(|| Refusal::unknown("update of this incident"))?;
            for channel in channels {
                worth_telling(state, (*incident, *update), channel, &words)?;
            }
            put(state, index, &by, (*incident, *update), channels);
            Ok(Reply::Done)
        }
        NoticeChange::Stop { notices } => stop(state, &by, notices),
        NoticeChange::Done {
            notice,
            revision,
            place,
        } => done(state, *notice, *revision, place.clone()),
    }
}

fn worth_telling(
    state: &State,
    (incident, update): (IncidentId, u32),
    channel: &Label,
    words: &Told,
) -> Result<(), Refusal> {
    let say = |found: &str, wanted: &str| {
        Err(Refusal::unsound(
            format!("channels: {channel}"),
            found,
            wanted,
        ))
    };
    match next(state, incident, update, channel) {
        Next::OnItsWay => say("told already, and on its way", "one that was not told"),
        Next::Holds => say(
            "told already",
            "one that was not told, or was told otherwise",
        ),
        Next::First if words.withdrawn.is_some() => {
            say("not told", "one that was told, as the update is taken back")
        }
        Next::First | Next::Correction(_) => Ok(()),
    }
}

fn set_channel(
    state: &mut State,
    index: u64,
    name: &Label,
    (facts, secret): (&ChannelFacts, Option<&Sealed>),
    against: u64,
) -> Result<Reply, Refusal> {
    let known = state.notices.channels.get(name);
    fresh(name, known.map_or(0, |it| it.generation), against)?;
    if known.is_none() && state.notices.channels.len() >= limits::CHANNELS_MAX {
        return Err(too_many("channels", limits::CHANNELS_MAX));
    }
    let (least, most) = limits::CHANNEL_CHARS;
    if let Some(chars) = facts.means.chars()
        && !(least as usize..=most as usize).contains(&chars)
    {
        let wanted = format!("{least} to {most}");
        return Err(Refusal::unsound("chars", chars.to_string(), &wanted));
    }
    if let Some(secret) = secret
        && secret.bytes.len() > limits::SEALED_BYTES_MAX
    {
        return Err(Refusal::TooLarge {
            field: "secret".to_owned(),
            found: secret.bytes.len() as u64,
            most: limits::SEALED_BYTES_MAX as u64,
        });
    }
    // A secret goes only where it was meant for: nobody may point it at another place.
    let same_place = known.filter(|it| it.facts.means == facts.means);
    let kept = same_place.and_then(|it| it.secret.clone());
    let secret = secret.cloned().or(kept);
    let needs = facts.means.needs_secret();
    if needs != secret.is_some() {
        let (found, wanted) = if needs {
            (
                "nothing",
                "the token or secret for this place; another place needs it anew",
            )
        } else {
            ("a secret", "nothing: this channel needs none")
        };
        return Err(Refusal::unsound("secret", found, wanted));
    }
    let made = Channel {
        generation: index,
        facts: facts.clone(),
        secret,
    };
    state.notices.channels.insert(name.clone(), made);
    Ok(Reply::Done)
}

fn remove_channel(state: &mut State, name: &Label, against: u64) -> Result<Reply, Refusal> {
    let known = state.notices.channels.get(name);
    let known = known.ok_or_else(|| Refusal::unknown("channel"))?;
    fresh(name, known.generation, against)?;
    let used = state.notices.open().find(|(_, it)| it.channel == *name);
    if let Some((id, _)) = used {
        return Err(Refusal::InUse {
            what: format!("the channel {name}"),
            by: format!("notice {id}; stop it first"),
        });
    }
    state.notices.channels.remove(name);
    Ok(Reply::Done)
}

/// Whether something can be told through these channels.
pub(in crate::model) fn ready(state: &State, channels: &[Label]) -> Result<(), Refusal> {
    for (place, name) in channels.iter().enumerate() {
        if channels.iter().take(place).any(|it| it == name) {
            let wanted = "each once";
            return Err(Refusal::unsound("channels", name.as_str(), wanted));
        }
        if !state.notices.channels.contains_key(name) {
            let there: Vec<&str> = state.notices.channels.keys().map(Label::as_str).collect();
            let wanted = match there.is_empty() {
                true => "a channel; there is none yet".to_owned(),
                false => format!("a channel: {}", there.join(", ")),
            };
            return Err(Refusal::unsound("channels", name.as_str(), &wanted));
        }
    }
    let open = state.notices.open().count();
    if open + channels.len() > limits::NOTICES_QUEUED_MAX {
        return Err(too_many("notices on their way", limits::NOTICES_QUEUED_MAX));
    }
    Ok(())
}

/// Puts an update on its way through channels that are [`ready`].
pub(in crate::model) fn put(
    state: &mut State,
    index: u64,
    by: &str,
    (incident, update): (IncidentId, u32),
    channels: &[Label],
) {
    let leaves = state.now.plus_ms(limits::NOTICE_HOLD_MS);
    let not_after = leaves.plus_ms(limits::NOTICE_KEPT_MS);
    for (place, name) in (0..).zip(channels) {
        let Some(channel) = state.notices.channels.get(name) else {
            continue;
        };
        let id = NoticeId { index, place };
        let kind = match channel.facts.means {
            Means::ByHand { .. } => None,
            Means::Mail { .. } => Some(ItemKind::NoticeByMail { notice: id }),
            Means::Webhook { .. } | Means::Matrix { .. } | Means::Mastodon { .. } => {
                Some(ItemKind::NoticeByRelay { notice: id })
            }
        };
        let corrects = match next(state, incident, update, name) {
            Next::Correction(id) => Some(id),
            Next::First | Next::OnItsWay | Next::Holds => None,
        };
        let standing = match kind {
            None => Standing::ByHand,
            Some(kind) => match outbox::put_later(state, index, kind, (leaves, not_after)) {
                Some(item) => Standing::Queued(item),
                None => Standing::Failed {
                    at: state.now,
                    why: Note::cut("the outbox is full"),
                },
            },
        };
        let made = Notice {
            incident,
            update,
            channel: name.clone(),
            corrects,
            made: state.now,
            by: by.to_owned(),
            leaves,
            told: None,
            doubtful: false,
            standing,
        };
        state.notices.all.insert(id, made);
    }
    make_room(state);
}

/// Forgets the oldest notices that ended, when there are too many.
fn make_room(state: &mut State) {
    while state.notices.all.len() > limits::NOTICES_MAX {
        let mut all = state.notices.all.iter();
        let Some(oldest) = all.find(|(_, it)| !it.standing.is_open()) else {
            break;
        };
        let oldest = *oldest.0;
        state.notices.all.remove(&oldest);
    }
}

fn stop(state: &mut State, by: &str, notices: &[NoticeId]) -> Result<Reply, Refusal> {
    if notices.len() > limits::NOTICES_QUEUED_MAX {
        return Err(too_many("notices at once", limits::NOTICES_QUEUED_MAX));
    }
    let mut left = None;
    let mut stopped = 0;
    for id in notices {
        match stop_one(state, by, *id) {
            Ok(()) => stopped += 1,
            Err(refusal) => left = left.or(Some(refusal)),
        }
    }
    match left {
        // Some of them could be stopped, and that is what mattered; how each stands shows the others.
        Some(refusal) if stopped == 0 => Err(refusal),
        _ if notices.is_empty() => Err(Refusal::unsound("notices", "none", "at least one")),
        _ => Ok(Reply::Done),
    }
}

fn stop_one(state: &mut State, by: &str, id: NoticeId) -> Result<(), Refusal> {
    let notice = state.notices.all.get(&id);
    let notice = notice.ok_or_else(|| Refusal::unknown("notice"))?;
    match &notice.standing {
        Standing::ByHand => {}
        Standing::Queued(item) => {
            let item = *item;
            outbox::withdraw(state, item)?;
        }
        ended => {
            let wanted = "one that has not left";
            return Err(Refusal::unsound("notice", ended.name(), wanted));
        }
    }
    end(state, id, |at, doubtful| match doubtful {
        true => Standing::Unknown {
            at,
            why: Note::cut("stopped after a try that nobody knows the end of"),
        },
        false => Standing::Stopped {
            at,
            by: by.to_owned(),
        },
    });
    Ok(())
}

/// An update, or a whole incident, was taken back: what tells of it and has not left stays here.
pub(in crate::model) fn taken_back(
    state: &mut State,
    by: &str,
    incident: IncidentId,
    update: Option<u32>,
) {
    let of_it = |it: &Notice| {
        let concerned = it.incident == incident && update.is_none_or(|no| no == it.update);
        concerned && it.told.is_none() && it.corrects.is_none()
    };
    let open = state.notices.open().filter(|(_, it)| of_it(it));
    let waiting: Vec<NoticeId> = open.map(|(id, _)| id).collect();
    for id in waiting {
        // What a node is carrying at this moment is gone, and a correction is offered afterwards.
        let _carried = stop_one(state, by, id);
    }
}

fn done(
    state: &mut State,
    id: NoticeId,
    revision: u32,
    place: Option<Note>,
) -> Result<Reply, Refusal> {
    let notice = state.notices.all.get(&id);
    let notice = notice.ok_or_else(|| Refusal::unknown("notice"))?;
    if notice.standing != Standing::ByHand {
        let wanted = "one that is to be done by hand";
        return Err(Refusal::unsound("notice", notice.standing.name(), wanted));
    }
    let holds = holding(state, notice.incident, notice.update);
    let told = holds.map(|it| match it.revision == revision {
        true => it,
        // The person copied what it said before; what that was is on the incident's page.
        false => Told {
            revision,
            texts: OrdMap::new(),
            withdrawn: None,
            ..it
        },
    });
    if let Some(notice) = state.notices.all.get_mut(&id) {
        notice.told = told;
    }
    end(state, id, |at, _| Standing::Sent { at, place });
    Ok(Reply::Done)
}

/// A node begins to carry an item: what it says is fixed from now on. False when there is nothing left to say.
pub(in crate::model) fn leaving(state: &mut State, kind: &ItemKind) -> bool {
    let Some(id) = of_item(kind) else {
        return true;
    };
    let Some(notice) = state.notices.all.get(&id) else {
        return false;
    };
    if notice.told.is_some() {
        return true;
    }
    let Some(told) = holding(state, notice.incident, notice.update) else {
        return false;
    };
    if let Some(notice) = state.notices.all.get_mut(&id) {
        notice.told = Some(told);
    }
    true
}

/// Nobody knows how a try of an item ended.
pub(in crate::model) fn doubted(state: &mut State, kind: &ItemKind) {
    if let Some(notice) = of_item(kind).and_then(|id| state.notices.all.get_mut(&id)) {
        notice.doubtful = true;
    }
}

/// An item got through.
pub(in crate::model) fn sent(state: &mut State, kind: &ItemKind, place: Option<Note>) {
    if let Some(id) = of_item(kind) {
        end(state, id, |at, _| Standing::Sent { at, place });
    }
}

/// An item was given up.
pub(in crate::model) fn given_up(state: &mut State, kind: &ItemKind, answer: Option<Note>) {
    let why = answer.unwrap_or_else(|| Note::cut("it was never tried"));
    if let Some(id) = of_item(kind) {
        end(state, id, |at, doubtful| match doubtful {
            true => Standing::Unknown { at, why },
            false => Standing::Failed { at, why },
        });
    }
}

fn end(state: &mut State, id: NoticeId, standing: impl FnOnce(Timestamp, bool) -> Standing) {
    let at = state.now;
    if let Some(notice) = state.notices.all.get_mut(&id) {
        notice.standing = standing(at, notice.doubtful);
    }
}

fn fresh(name: &Label, found: u64, against: u64) -> Result<(), Refusal> {
    if found == against {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: format!("the channel {name}"),
        against,
        found,
    })
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}

/// What a channel's secret is sealed for.
pub fn secret_context(channel: &Label) -> String {
    format!("channel {channel}")
}
