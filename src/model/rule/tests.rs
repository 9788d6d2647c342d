//! Rules in any order of alerts, looks and people: bounded, one incident for each alert, a storm is one proposal, and mail
//! goes only as far as a person said beforehand.

mod mailing;

use proptest::prelude::*;

use super::{
    change::{change, is_news},
    mail::{self, Cover, news, round_due},
    *,
};
use crate::model::{
    Actor, Refusal, Reply,
    alert::{AlertChange, change::Said as AlertSaid, change::change as alert_change},
    campaign::{self, CampaignChange, Draft, Frozen, Kind, Stage},
    incident::{self, IncidentChange},
    nodes::{CaRecord, ClusterFacts, Profile},
    words::{BlobHash, ClusterId, KeyedHash, NodeId, Note, Sealed},
};

use mailing::written;

const MINUTE: u64 = 60_000;

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn vps() -> Label {
    label("vps")
}

fn person() -> Actor {
    Actor::Operator {
        name: label("jana"),
    }
}

fn rule(name: &str) -> Actor {
    Actor::Rule { name: label(name) }
}

fn machine() -> Actor {
    Actor::Token {
        name: label("prometheus"),
    }
}

fn texts(text: &str) -> OrdMap<Lang, Said> {
    OrdMap::unit(Lang::En, Said::new(text).unwrap())
}

fn facts() -> RuleFacts {
    RuleFacts {
        labels: OrdMap::unit(Pattern::cut("alertname"), Pattern::cut("Vps*")),
        place: Pattern::cut("instance"),
        field: Field::Server,
        titles: OrdMap::unit(Lang::En, Title::cut("{place} restarted")),
        texts: texts("The server {place} restarted."),
        over: texts("{place} works again."),
        severity: Some(Severity::Minor),
        publish: true,
        stands_ms: MINUTE,
        an_hour: 2,
        places: 1,
        tell: Vec::new(),
        mail: Some(MailFacts {
            up_to: 50,
            hold_ms: 30_000,
            still_ms: Some(10 * MINUTE),
        }),
    }
}

/// A founded cluster of one voter, with the rule, armed.
fn state() -> State {
    let mut state = State {
        cluster: Some(ClusterFacts {
            id: ClusterId([1; 16]),
            name: label("example"),
            generation: 3,
            profile: Profile::Near,
            authority: CaRecord {
                certificate: String::new(),
                key: Sealed {
                    key: 1,
                    bytes: Vec::new(),
                },
            },
            founded: Timestamp(0),
        }),
        voters: OrdSet::unit(NodeId(1)),
        now: Timestamp(1_000_000_000),
        index: 10,
        ..State::default()
    };
    sets(&mut state, facts()).unwrap();
    does(&mut state, &person(), RuleChange::Arm { on: true }).unwrap();
    state
}

/// Does it a second later, as the next entry; a refusal must leave the state as it was.
fn does(state: &mut State, actor: &Actor, it: RuleChange) -> Result<Reply, Refusal> {
    state.index += 1;
    state.now = state.now.plus_ms(1_000);
    let (mut tried, index) = (state.clone(), state.index);
    let result = change(&mut tried, index, actor, &it);
    if result.is_ok() {
        *state = tried;
    }
    sound(state);
    result
}

fn sound(state: &State) {
    let mut wrong = Vec::new();
    state.check_rules(&mut wrong);
    state.check_effects(&mut wrong);
    state.check_alerts(&mut wrong);
    assert_eq!(wrong, Vec::<String>::new());
}

fn sets(state: &mut State, facts: RuleFacts) -> Result<Reply, Refusal> {
    let against = state.rules.all.get(&vps()).map_or(0, |it| it.generation);
    let it = RuleChange::Set {
        rule: vps(),
        facts: Box::new(facts),
        against,
    };
    does(state, &person(), it)
}

fn said(instances: &[u64]) -> AlertSaid {
    AlertSaid {
        title: Title::cut("VpsDown"),
        text: Note::default(),
        affects: Vec::new(),
        severity: Severity::Major,
        firing: instances
            .iter()
            .map(|it| (*it, Note::cut("host")))
            .collect(),
        ended: Vec::new(),
        more: 0,
        over: instances.is_empty(),
        wake: false,
    }
}

/// The alert of one server, or that it is over.
fn comes(state: &mut State, alert: u64, fires: bool) {
    let instances: &[u64] = if fires { &[1] } else { &[] };
    let spot = Spot::new(&format!("web{alert}:9100")).unwrap();
    let it = RuleChange::Came {
        alert: AlertId(alert),
        said: Box::new(said(instances)),
        rule: vps(),
        places: instances.iter().map(|it| (*it, spot.clone())).collect(),
    };
    does(state, &machine(), it).unwrap();
}

/// The leader looks: everything that is due is done, once.
fn looks(state: &mut State) -> Vec<Deed> {
    let mut done = Vec::new();
    for (name, deed) in due(state, state.now) {
        let incident = IncidentId(u32::try_from(state.index).unwrap());
        let it = deed.clone().change(incident);
        if does(state, &Actor::Rule { name }, it).is_ok() {
            done.push(deed);
        }
    }
    done
}

fn later(state: &mut State, minutes: u64) {
    state.now = state.now.plus_ms(minutes * MINUTE);
}

fn the_only(state: &State) -> (IncidentId, incident::Incident) {
    assert_eq!(state.incidents.all.len(), 1);
    let (id, it) = state.incidents.all.get_min().unwrap();
    (*id, it.clone())
}

#[test]
fn what_stood_long_enough_is_told_with_its_place_and_told_again_when_it_is_over() {
    let mut state = state();
    comes(&mut state, 7, true);
    assert!(looks(&mut state).is_empty(), "it has not stood yet");
    later(&mut state, 1);
    assert_eq!(looks(&mut state), [Deed::Publish(AlertId(7))]);
    assert!(looks(&mut state).is_empty(), "once");
    let (id, it) = the_only(&state);
    assert_eq!(it.title(Lang::En).1, "web7 restarted");
    assert_eq!(
        (it.updates[0].by.as_str(), it.severity),
        ("rule vps", Severity::Minor)
    );
    let effect = state.effects.of[&id].all[0].clone();
    assert_eq!(effect.scope.as_str(), "server=\"web7\"");
    assert_eq!(effect.from, state.alerts.all[&AlertId(7)].first);
    later(&mut state, 5);
    comes(&mut state, 7, false);
    let over = state.now;
    assert_eq!(looks(&mut state), [Deed::End(AlertId(7))]);
    let (_, it) = the_only(&state);
    assert_eq!(it.stage, incident::Stage::Resolved);
    assert_eq!(state.effects.of[&id].all[0].until, Some(over));
    // The same again is another incident.
    comes(&mut state, 7, true);
    later(&mut state, 1);
    assert_eq!(looks(&mut state), [Deed::Publish(AlertId(7))]);
    assert_eq!(state.incidents.all.len(), 2);
}

#[test]
fn p7_nothing_is_said_by_a_rule_that_nobody_armed_nor_after_a_restore() {
    let mut state = state();
    comes(&mut state, 7, true);
    later(&mut state, 2);
    if let Some(cluster) = &mut state.cluster {
        cluster.generation += 1;
    }
    assert!(looks(&mut state).is_empty());
    let publish = RuleChange::Publish {
        alert: AlertId(7),
        incident: IncidentId(1),
    };
    assert!(does(&mut state, &rule("vps"), publish.clone()).is_err());
    does(&mut state, &person(), RuleChange::Arm { on: true }).unwrap();
    // Nobody but the rule itself does what a rule does.
    for actor in [person(), machine(), Actor::System, rule("other")] {
        assert!(
            does(&mut state, &actor, publish.clone()).is_err(),
            "{actor:?}"
        );
    }
    assert!(does(&mut state, &rule("vps"), publish).is_ok());
    let set = RuleChange::Arm { on: false };
    assert!(does(&mut state, &rule("vps"), set).is_err());
}

#[test]
fn a_storm_is_one_proposal_and_its_places_are_known_when_a_person_confirms_it() {
    let mut state = state();
    for alert in 1..=30 {
        comes(&mut state, alert, true);
    }
    later(&mut state, 2);
    assert_eq!(looks(&mut state), [Deed::Gather]);
    assert!(state.incidents.all.is_empty());
    let waiting: Vec<AlertId> = state.alerts.waiting().map(|it| it.0).collect();
    assert_eq!(waiting.len(), 1);
    let digest = waiting[0];
    assert_eq!(state.alerts.all[&digest].count(), 30);
    assert_eq!(state.alerts.all[&digest].title.as_str(), "30 x VpsDown");
    // What comes later joins it; what is over leaves it.
    comes(&mut state, 31, true);
    later(&mut state, 2);
    assert_eq!(looks(&mut state), [Deed::Gather]);
    comes(&mut state, 1, false);
    assert_eq!(state.alerts.all[&digest].count(), 30);
    let one = AlertChange::Dismiss {
        alert: AlertId(2),
        reason: Note::cut("x"),
    };
    let refused = alert_change(&mut state.clone(), 1, &person(), &one).unwrap_err();
    assert!(
        refused.to_string().contains(&digest.to_string()),
        "{refused}"
    );
    confirm(&mut state, digest, 99);
    let effects = &state.effects.of[&IncidentId(99)].all;
    assert_eq!(effects.len(), 30);
    comes(&mut state, 2, false);
    let ended = state.effects.of[&IncidentId(99)].all.iter();
    assert_eq!(ended.filter(|it| it.until.is_some()).count(), 1);
    // The person who confirmed it says when it is over.
    for alert in 3..=31 {
        comes(&mut state, alert, false);
    }
    assert_eq!(state.alerts.all[&digest].standing.name(), "confirmed-ended");
    assert!(looks(&mut state).is_empty());
}

fn confirm(state: &mut State, alert: AlertId, number: u32) {
    let incident = IncidentId(number);
    let opening = incident::change::Opening {
        titles: OrdMap::unit(Lang::En, Title::cut("Many servers restarted")),
        severity: Severity::Major,
        stage: incident::Stage::Investigating,
        affected: OrdMap::new(),
        window: None,
        texts: texts("We look."),
        next_ms: None,
        tell: Vec::new(),
    };
    let says = Some(Box::new(IncidentChange::Open { incident, opening }));
    let it = AlertChange::Confirm {
        alert,
        incident,
        says,
    };
    state.index += 1;
    alert_change(state, state.index, &person(), &it).unwrap();
    sound(state);
}

#[test]
fn whoever_speaks_in_between_has_the_last_word_and_a_person_who_confirms_is_helped() {
    let mut state = state();
    comes(&mut state, 7, true);
    confirm(&mut state, AlertId(7), 70);
    assert_eq!(state.effects.of[&IncidentId(70)].all.len(), 1);
    assert_eq!(state.rules.tellings[&IncidentId(70)].by, "rule vps");
    later(&mut state, 5);
    assert!(looks(&mut state).is_empty(), "a person was quicker");
    comes(&mut state, 8, true);
    later(&mut state, 2);
    looks(&mut state);
    let id = state.rules.cases[&AlertId(8)].incident.unwrap();
    let update = IncidentChange::Update {
        incident: id,
        against: state.incidents.all[&id].generation,
        stage: incident::Stage::Identified,
        severity: None,
        affected: None,
        texts: texts("A broken fan."),
        next_ms: None,
        tell: Vec::new(),
    };
    incident::change::change(&mut state, 500, "jana".to_owned(), &update).unwrap();
    comes(&mut state, 8, false);
    assert!(looks(&mut state).is_empty(), "a person speaks now");
    assert!(state.incidents.all[&id].goes_on());
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused_by_field() {
    let mut state = state();
    let mut wrong = |spoil: fn(&mut RuleFacts), field: &str| {
        let mut it = facts();
        spoil(&mut it);
        let refused = sets(&mut state, it).unwrap_err().to_string();
        assert!(refused.contains(field), "{field}: {refused}");
    };
    wrong(|it| it.labels = OrdMap::new(), "labels");
    wrong(|it| it.place = Pattern::default(), "place");
    wrong(|it| it.over = OrdMap::new(), "over");
    wrong(|it| it.an_hour = 0, "an_hour");
    wrong(|it| it.places = 11, "places");
    wrong(|it| it.stands_ms = 2 * limits::RULE_STANDS_MS_MAX, "stands");
    wrong(|it| it.tell = vec![label("nowhere")], "channels");
    let mail = |up_to, hold_ms| {
        Some(MailFacts {
            up_to,
            hold_ms,
            still_ms: None,
        })
    };
    let mut it = facts();
    it.mail = mail(101, 30_000);
    let refused = sets(&mut state, it).unwrap_err().to_string();
    assert!(refused.contains("mail.up_to"), "{refused}");
    let mut it = facts();
    it.mail = mail(1, 9_999);
    let refused = sets(&mut state, it).unwrap_err().to_string();
    assert!(refused.contains("mail.hold"), "{refused}");
    for text in ["*", "a\"b", "", "a*"] {
        assert!(Spot::new(text).is_err(), "{text}");
    }
    assert_eq!(
        Spot::new(" Web1.Example.NET:9100 ").unwrap().as_str(),
        "web1.example.net"
    );
}

#[test]
fn patterns_fit_whole_values() {
    for (pattern, text, wanted) in [
        ("VpsDown", "VpsDown", true),
        ("VpsDown", "VpsDownLong", false),
        ("Vps*", "VpsDown", true),
        ("*Down", "VpsDown", true),
        ("V*o*n", "VpsDown", true),
        ("V*x*n", "VpsDown", false),
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("a*a", "a", false),
    ] {
        assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
    }
}

proptest! {
    #[test]
    fn any_order_of_alerts_looks_and_people_stays_within_bounds(
        calls in proptest::collection::vec((0_u64..12, 0_u8..9, 0_u64..30), 0..200)
    ) {
        let mut state = state();
        // Far above those that rules give, which follow the index.
        let mut number = 100_000_u32;
        for (alert, how, minutes) in calls {
            later(&mut state, minutes % 3);
            match how {
                0..=2 => comes(&mut state, alert, true),
                3 | 4 => comes(&mut state, alert, false),
                5 => {
                    let waiting: Vec<AlertId> = state.alerts.waiting().map(|it| it.0).collect();
                    let going = state.incidents.all.values().filter(|it| it.goes_on()).count();
                    let which = usize::try_from(alert).unwrap() % waiting.len().max(1);
                    if let Some(id) = waiting.get(which).filter(|_| going < limits::INCIDENTS_GOING_MAX) {
                        number += 1;
                        confirm(&mut state, *id, number);
                    }
                }
                6 => drop(does(&mut state, &person(), RuleChange::Arm { on: alert % 3 != 0 })),
                7 if round_due(&state, state.now) => {
                    number += 1;
                    let _maybe = written(&mut state, CampaignId(number), 5 + u32::try_from(minutes).unwrap());
                }
                _ => drop(looks(&mut state)),
            }
            // Whatever happened: an hour's bound held, and every alert is one incident.
            let now = state.now;
            prop_assert!(state.rules.published_lately(&vps(), now) <= 2);
            let mut opened: Vec<IncidentId> = state.rules.cases.values()
                .filter(|it| it.published)
                .filter_map(|it| it.incident)
                .collect();
            let all = opened.len();
            opened.sort();
            opened.dedup();
            prop_assert_eq!(opened.len(), all);
            let by_rule: u32 = state.rules.rounds.values()
                .filter(|it| it.by_rule && !it.retracted && now.ms_since(it.at) < limits::RULE_HOUR_MS)
                .map(|it| it.recipients)
                .sum();
            prop_assert!(by_rule <= state.campaigns.alone_up_to());
        }
    }

    #[test]
    fn a_repeat_is_no_news(instances in proptest::collection::vec(0_u64..6, 1..6)) {
        let mut state = state();
        let mut instances = instances;
        instances.sort_unstable();
        instances.dedup();
        let places: Vec<(u64, Spot)> = instances.iter()
            .map(|it| (*it, Spot::new(&format!("web{it}")).unwrap()))
            .collect();
        let it = RuleChange::Came {
            alert: AlertId(1),
            said: Box::new(said(&instances)),
            rule: vps(),
            places: places.clone(),
        };
        does(&mut state, &machine(), it).unwrap();
        prop_assert!(!is_news(&state, AlertId(1), &vps(), &places));
        let other = vec![(instances[0], Spot::new("web9").unwrap())];
        prop_assert!(!is_news(&state, AlertId(1), &vps(), &other));
        prop_assert!(is_news(&state, AlertId(1), &label("other"), &places));
    }
}
