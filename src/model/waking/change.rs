//! What people and nodes may change about waking: begin, answer, test, and say who comes in which order.

use serde::{Deserialize, Serialize};

use super::{
    Gateway, GatewayFacts, Means, Rules, WakingId, Why,
    steps::{can_carry, end, review, start},
};
use crate::model::{
    Actor, Refusal, Reply, State,
    incident::{Incident, IncidentId, Promise},
    limits,
    people::WayKind,
    words::{Label, Note, Sealed, Timestamp},
};

/// A change about waking people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WakingChange {
    /// Wakes somebody.
    Wake {
        /// Who comes first; nobody for whoever leads the shift.
        first: Option<Label>,
        /// What is said.
        text: Note,
    },
    /// Somebody says that they are awake.
    Answer {
        /// The waking.
        waking: WakingId,
        /// The try whose message they had in hand.
        through: Option<u32>,
    },
    /// Tries every way of a person, to see whether it works.
    Test {
        /// The person.
        person: Label,
    },
    /// A promised update did not come.
    Promise {
        /// The incident.
        incident: IncidentId,
        /// By when it was promised.
        by: Timestamp,
    },
    /// Says who is woken in which order, and how long each way is given.
    SetRules {
        /// The new ones; their generation is what they were made against.
        rules: Rules,
    },
    /// Makes a gateway, or says anew what it is.
    SetGateway {
        /// The gateway.
        gateway: Label,
        /// What it is.
        facts: GatewayFacts,
        /// Its token or password; left out, the one it has.
        secret: Option<Sealed>,
    },
    /// Forgets a gateway.
    RemoveGateway {
        /// The gateway.
        gateway: Label,
    },
    /// A promised update is due soon.
    Remind {
        /// The incident.
        incident: IncidentId,
        /// By when it is promised.
        by: Timestamp,
    },
}

impl WakingChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Wake { .. } => "wake",
            Self::Answer { .. } => "answer-waking",
            Self::Test { .. } => "test-ways",
            Self::Promise { .. } => "wake-for-promise",
            Self::SetRules { .. } => "set-waking-rules",
            Self::SetGateway { .. } => "set-gateway",
            Self::RemoveGateway { .. } => "remove-gateway",
            Self::Remind { .. } => "remind-of-promise",
        }
    }

    /// What it is about, for the record. Never a secret.
    pub fn about(&self) -> String {
        match self {
            Self::Wake { first, text } => {
                let first = first.as_ref().map_or("the shift", Label::as_str);
                format!("{first}: {}", text.as_str())
            }
            Self::Answer { waking, .. } => waking.to_string(),
            Self::Test { person } => person.to_string(),
            Self::Promise { incident, .. } | Self::Remind { incident, .. } => incident.to_string(),
            Self::SetRules { rules } => {
                let order: Vec<&str> = rules.order.iter().map(Label::as_str).collect();
                format!("{}; {} s each way", order.join(", "), rules.wait_ms / 1_000)
            }
            Self::SetGateway { gateway, facts, .. } => {
                format!("{gateway}: {}", facts.serves.name())
            }
            Self::RemoveGateway { gateway } => gateway.to_string(),
        }
    }
}

/// Does what is asked. `index` is the entry's.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &WakingChange,
) -> Result<Reply, Refusal> {
    let by = actor.spoken();
    match change {
        WakingChange::Wake { first, text } => {
            if let Some(name) = first
                && !state.people.accounts.contains_key(name)
            {
                return Err(Refusal::unknown("person"));
            }
            let said = (Why::Asked, text.clone(), by);
            begin(state, index, said, first.clone())
        }
        WakingChange::Answer { waking, through } => answer(state, *waking, (by, *through)),
        WakingChange::Test { person } => test(state, index, actor, person),
        WakingChange::Promise { incident, by: due } => {
            let is_late = |it: &Incident, now| it.promise(now) == Promise::Broken(*due);
            let why = Why::Promise {
                incident: *incident,
                by: *due,
            };
            of_promise(state, index, (*incident, is_late), (why, by))
        }
        WakingChange::Remind { incident, by: due } => {
            let is_near = |it: &Incident, now| it.to_remind_of(now) == Some(*due);
            let why = Why::Reminder {
                incident: *incident,
                by: *due,
            };
            of_promise(state, index, (*incident, is_near), (why, by))
        }
        WakingChange::SetRules { rules } => set_rules(state, index, rules),
        WakingChange::SetGateway {
            gateway,
            facts,
            secret,
        } => set_gateway(state, index, gateway, (facts, secret.as_ref())),
        WakingChange::RemoveGateway { gateway } => {
            let known = state.wakings.gateways.remove(gateway);
            known
                .map(|_| Reply::Done)
                .ok_or_else(|| Refusal::unknown("gateway"))
        }
    }
}

/// Begins a waking about the promised update of an incident, where it is so and nobody was woken for the same before.
fn of_promise(
    state: &mut State,
    index: u64,
    (id, is_so): (IncidentId, impl Fn(&Incident, Timestamp) -> bool),
    (why, by): (Why, String),
) -> Result<Reply, Refusal> {
    let incident = state.incidents.all.get(&id);
    let incident = incident.filter(|it| is_so(it, state.now) && !state.wakings.was_for(&why));
    let title = incident.ok_or(Refusal::NotDue)?.titles.values().next();
    let title = title.map_or("", |it| it.as_str());
    let text = Note::cut(&format!("{id} {title}"));
    begin(state, index, (why, text, by), None)
}

fn begin(
    state: &mut State,
    index: u64,
    said: (Why, Note, String),
    first: Option<Label>,
) -> Result<Reply, Refusal> {
    review(state);
    let begun = start(state, index, said, first);
    let id = begun.ok_or_else(|| too_many("wakings that go on", limits::WAKINGS_OPEN_MAX))?;
    let waking = state.wakings.all.get(&id).ok_or(Refusal::Internal)?;
    let ways = waking
        .chain
        .iter()
        .filter_map(|it| state.people.accounts.get(it));
    let reached = ways.flat_map(|it| &it.ways);
    if !reached.into_iter().any(|it| can_carry(state, it.kind)) {
        let wanted = "somebody with a way that a machine can use; 'lifeboat people ways' sets them";
        return Err(Refusal::unsound("who", "nobody who can be reached", wanted));
    }
    Ok(Reply::Done)
}

fn answer(
    state: &mut State,
    id: WakingId,
    (by, through): (String, Option<u32>),
) -> Result<Reply, Refusal> {
    let now = state.now;
    let waking = state.wakings.all.get_mut(&id);
    let waking = waking.ok_or_else(|| Refusal::unknown("waking"))?;
    let is_test = waking.why == Why::Test;
    let place = through.and_then(|it| it.checked_sub(waking.earlier));
    let tried = place.and_then(|it| waking.tries.get_mut(usize::try_from(it).ok()?));
    if let Some(tried) = tried {
        tried.answered.get_or_insert(now);
        let (person, address) = (tried.person.clone(), tried.address.clone());
        // The way itself is proven, unless it was changed since.
        if let Some(account) = state.people.accounts.get_mut(&person) {
            let ways = account.ways.iter_mut();
            for way in ways.filter(|it| it.address == address) {
                way.proven = Some(now);
            }
        }
    }
    match is_test && through.is_some() {
        true => review(state),
        false => end(state, id, Some(by)),
    }
    Ok(Reply::Done)
}

fn test(state: &mut State, index: u64, actor: &Actor, person: &Label) -> Result<Reply, Refusal> {
    if !state.people.accounts.contains_key(person) {
        return Err(Refusal::unknown("person"));
    }
    if !actor.is_operator() && !state.wakings.is_test_due(person, state.now) {
        return Err(Refusal::NotDue);
    }
    let earlier =
        state.wakings.all.iter().filter(|(_, it)| {
            it.is_open() && it.why == Why::Test && it.first.as_ref() == Some(person)
        });
    let earlier: Vec<WakingId> = earlier.map(|(id, _)| *id).collect();
    for id in earlier {
        end(state, id, None);
    }
    let said = (Why::Test, Note::default(), actor.spoken());
    let reply = begin(state, index, said, Some(person.clone()))?;
    if !actor.is_operator() {
        let now = state.now;
        let tested = state.wakings.tested.clone().into_iter();
        let accounts = &state.people.accounts;
        let kept = tested.filter(|(it, _)| accounts.contains_key(it));
        state.wakings.tested = kept.collect();
        state.wakings.tested.insert(person.clone(), now);
    }
    Ok(reply)
}

fn set_rules(state: &mut State, index: u64, rules: &Rules) -> Result<Reply, Refusal> {
    let known = state.wakings.rules.generation;
    if rules.generation != known {
        return Err(Refusal::Stale {
            what: "the order of waking".to_owned(),
            against: rules.generation,
            found: known,
        });
    }
    if rules.order.len() > limits::WAKING_ORDER_MAX {
        return Err(too_many("people in the order", limits::WAKING_ORDER_MAX));
    }
    for (place, name) in rules.order.iter().enumerate() {
        let twice = rules.order.iter().take(place).any(|it| it == name);
        if twice || !state.people.accounts.contains_key(name) {
            let wanted = "each person with an account once";
            return Err(Refusal::unsound("order", name.as_str(), wanted));
        }
    }
    let (least, most) = limits::WAKING_WAIT_MS_EACH;
    for (field, ms) in [("wait", rules.wait_ms), ("rest", rules.rest_ms)] {
        if !(least..=most).contains(&ms) {
            let wanted = format!("{} s to {} s", least / 1_000, most / 1_000);
            return Err(Refusal::unsound(field, format!("{ms} ms"), &wanted));
        }
    }
    if rules.test.is_some_and(|(day, hour)| day > 6 || hour > 23) {
        let wanted = "a weekday of 0 to 6 and an hour of 0 to 23";
        return Err(Refusal::unsound("test", "another time", wanted));
    }
    state.wakings.rules = Rules {
        generation: index,
        ..rules.clone()
    };
    Ok(Reply::Done)
}

fn set_gateway(
    state: &mut State,
    index: u64,
    name: &Label,
    (facts, secret): (&GatewayFacts, Option<&Sealed>),
) -> Result<Reply, Refusal> {
    let known = state.wakings.gateways.get(name);
    if known.is_none() && state.wakings.gateways.len() >= limits::GATEWAYS_MAX {
        return Err(too_many("gateways", limits::GATEWAYS_MAX));
    }
    if matches!(facts.serves, WayKind::Mail | WayKind::Phone) {
        let wanted = "sms, voice, push or matrix: mail goes by itself, and people call telephones";
        return Err(Refusal::unsound("serves", facts.serves.name(), wanted));
    }
    let is_matrix = matches!(facts.means, Means::Matrix { .. });
    if is_matrix != (facts.serves == WayKind::Matrix) {
        let wanted = "a Matrix server for matrix, and a request for anything else";
        return Err(Refusal::unsound("serves", facts.serves.name(), wanted));
    }
    if let Means::Http { headers, .. } = &facts.means
        && headers.len() > limits::GATEWAY_HEADERS_MAX
    {
        return Err(too_many("headers", limits::GATEWAY_HEADERS_MAX));
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
    let same = known.filter(|it| it.facts == *facts);
    let secret = secret
        .cloned()
        .or_else(|| same.and_then(|it| it.secret.clone()));
    let made = Gateway {
        generation: index,
        facts: facts.clone(),
        secret,
    };
    state.wakings.gateways.insert(name.clone(), made);
    Ok(Reply::Done)
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}

/// What a gateway's secret is sealed for.
pub fn secret_context(gateway: &Label) -> String {
    format!("gateway {gateway}")
}
