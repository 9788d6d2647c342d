//! What is wanted is ordered, renewed in time, and shown by nobody else than who is at it.

use imbl::{OrdMap, vector};

use super::{
    change::{Ending, Fresh, change},
    *,
};
use crate::model::{
    Actor, Refusal, Reply,
    dns::{Edition, Outline, Part, Published, Zone, ZoneSettings},
    domain::DomainName,
    site::Blob,
    words::{BlobHash, Label, NodeId},
};

const DAY: u64 = 24 * 3_600_000;

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn person() -> Actor {
    Actor::Operator {
        name: label("petra"),
    }
}

fn node(id: u64) -> Actor {
    Actor::Node(NodeId(id))
}

/// Does it as the next entry; a refusal must leave the state as it was, and the state must always be sound.
fn does(state: &mut State, actor: &Actor, it: CertificateChange) -> Result<Reply, Refusal> {
    state.index += 1;
    let mut tried = state.clone();
    let result = change(&mut tried, state.index, actor, &it);
    if result.is_ok() {
        *state = tried;
    }
    assert_eq!(state.check(), Vec::<String>::new());
    result
}

fn authority(name: &str, against: u64) -> CertificateChange {
    CertificateChange::SetAuthority {
        authority: label(name),
        facts: AuthorityFacts {
            url: Note::cut(&format!("https://{name}.example/directory")),
            contact: None,
            trust: None,
            binding_id: None,
        },
        binding: None,
        against,
    }
}

fn wanted(hosts: &[&str]) -> Wanted {
    Wanted {
        hosts: hosts.iter().map(|it| Note::cut(it)).collect(),
        authorities: vector![label("first"), label("second")],
        by_dns: false,
    }
}

fn want(hosts: &[&str], against: u64) -> CertificateChange {
    CertificateChange::Want {
        certificate: label("www"),
        wanted: wanted(hosts),
        against,
    }
}

fn story() -> State {
    let mut state = State {
        now: Timestamp(1_000 * DAY),
        ..State::default()
    };
    does(&mut state, &person(), authority("first", 0)).unwrap();
    does(&mut state, &person(), authority("second", 0)).unwrap();
    does(&mut state, &person(), want(&["www.example.net"], 0)).unwrap();
    state
}

fn www(state: &State) -> &Certificate {
    &state.certificates.all[&label("www")]
}

fn lease(state: &mut State, id: u64) -> Result<u64, Refusal> {
    let it = CertificateChange::Lease {
        certificate: label("www"),
        node: NodeId(id),
    };
    does(state, &node(id), it).map(|reply| match reply {
        Reply::Leased { epoch } => epoch,
        other => panic!("{other:?}"),
    })
}

fn settle(state: &mut State, epoch: u64, ending: Ending) -> Result<Reply, Refusal> {
    let it = CertificateChange::Settle {
        certificate: label("www"),
        epoch,
        ending,
    };
    does(state, &node(1), it)
}

fn show(state: &mut State, epoch: u64) -> Result<Reply, Refusal> {
    let it = CertificateChange::Show {
        certificate: label("www"),
        epoch,
        challenges: OrdMap::unit(Note::cut("token"), Note::cut("token.thumb")),
    };
    does(state, &node(1), it)
}

fn good(state: &State, days: u64) -> Ending {
    Ending::Issued(Box::new(Fresh {
        chain: Pem::new("PEM").unwrap(),
        key: Sealed {
            key: 0,
            bytes: vec![1],
        },
        not_before: state.now,
        not_after: state.now.plus_ms(days * DAY),
        by: label("first"),
        hosts: www(state).wanted.hosts.clone(),
    }))
}

fn is_due(state: &State) -> bool {
    due(state, state.now).count() == 1
}

#[test]
fn one_node_orders_and_what_it_shows_goes_with_the_order() {
    let mut state = story();
    assert!(is_due(&state));
    let epoch = lease(&mut state, 1).unwrap();
    assert!(!is_due(&state));
    assert!(matches!(lease(&mut state, 2), Err(Refusal::Leased { .. })));
    show(&mut state, epoch).unwrap();
    assert_eq!(shown(&state, "token").as_deref(), Some("token.thumb"));
    assert_eq!(shown(&state, "other"), None);
    let ending = good(&state, 90);
    settle(&mut state, epoch, ending).unwrap();
    assert_eq!(shown(&state, "token"), None);
    let issued = www(&state).issued.clone().unwrap();
    assert_eq!(issued.index, state.index);
    assert_eq!(www(&state).due, state.now.plus_ms(60 * DAY));
    state.now = state.now.plus_ms(60 * DAY - 1);
    assert!(!is_due(&state));
    state.now = state.now.plus_ms(1);
    assert!(is_due(&state), "a third of its life is left");
}

#[test]
fn an_order_of_a_dead_node_is_begun_anew_and_its_late_words_change_nothing() {
    let mut state = story();
    let dead = lease(&mut state, 1).unwrap();
    show(&mut state, dead).unwrap();
    state.now = state.now.plus_ms(limits::CERTIFICATE_LEASE_MS);
    assert!(is_due(&state));
    let epoch = lease(&mut state, 2).unwrap();
    assert_eq!(
        shown(&state, "token"),
        None,
        "the dead node's order is over"
    );
    let late = good(&state, 90);
    assert_eq!(settle(&mut state, dead, late), Err(Refusal::StaleEpoch));
    assert_eq!(show(&mut state, dead), Err(Refusal::StaleEpoch));
    let ending = good(&state, 90);
    settle(&mut state, epoch, ending).unwrap();
}

#[test]
fn after_a_failure_the_other_authority_is_asked_later_and_what_was_issued_stays() {
    let mut state = story();
    let epoch = lease(&mut state, 1).unwrap();
    let ending = good(&state, 90);
    settle(&mut state, epoch, ending).unwrap();
    state.now = state.now.plus_ms(60 * DAY);
    assert_eq!(www(&state).asks(), Some(&label("first")));
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let epoch = lease(&mut state, 1).unwrap();
        let why = Note::cut("it is closed");
        settle(&mut state, epoch, Ending::Failed(why)).unwrap();
        pauses.push(www(&state).due.ms_since(state.now));
        state.now = www(&state).due;
    }
    assert_eq!(pauses[..2], [120_000, 240_000]);
    assert_eq!(pauses.last(), Some(&limits::CERTIFICATE_RETRY_MS_MAX));
    assert!(www(&state).issued.is_some() && www(&state).trouble.is_some());
    assert_eq!(
        www(&state).asks(),
        Some(&label("first")),
        "after twelve, with two"
    );
}

#[test]
fn other_host_names_are_another_certificate_and_a_lease_does_not_outlive_them() {
    let mut state = story();
    let epoch = lease(&mut state, 1).unwrap();
    let generation = www(&state).generation;
    assert!(matches!(
        does(
            &mut state,
            &person(),
            want(&["other.example.net"], generation + 1)
        ),
        Err(Refusal::Stale { .. })
    ));
    does(
        &mut state,
        &person(),
        want(&["other.example.net"], generation),
    )
    .unwrap();
    let late = good(&state, 90);
    assert_eq!(settle(&mut state, epoch, late), Err(Refusal::StaleEpoch));
    assert!(is_due(&state) && www(&state).issued.is_none());
    // The same names with other authorities keep what there is.
    let epoch = lease(&mut state, 1).unwrap();
    let ending = good(&state, 90);
    settle(&mut state, epoch, ending).unwrap();
    let generation = www(&state).generation;
    does(
        &mut state,
        &person(),
        want(&["other.example.net"], generation),
    )
    .unwrap();
    assert!(!is_due(&state) && www(&state).issued.is_some());
}

#[test]
fn an_account_is_with_one_place() {
    let mut state = story();
    let generation = state.certificates.authorities[&label("first")].generation;
    let account = CertificateChange::Account {
        authority: label("first"),
        against: generation,
        account: Sealed {
            key: 0,
            bytes: vec![2],
        },
    };
    assert!(matches!(
        does(&mut state, &person(), account.clone()),
        Err(Refusal::NotAllowed { .. })
    ));
    does(&mut state, &node(1), account).unwrap();
    let has = |state: &State| {
        state.certificates.authorities[&label("first")]
            .account
            .is_some()
    };
    does(&mut state, &person(), authority("first", generation)).unwrap();
    assert!(has(&state), "the same place");
    let generation = state.certificates.authorities[&label("first")].generation;
    let CertificateChange::SetAuthority { mut facts, .. } = authority("first", 0) else {
        panic!()
    };
    facts.url = Note::cut("https://elsewhere.example/directory");
    let moved = CertificateChange::SetAuthority {
        authority: label("first"),
        facts,
        binding: None,
        against: generation,
    };
    does(&mut state, &person(), moved).unwrap();
    assert!(!has(&state), "another place is another account");
    let used = CertificateChange::RemoveAuthority {
        authority: label("second"),
        against: state.certificates.authorities[&label("second")].generation,
    };
    assert!(matches!(
        does(&mut state, &person(), used),
        Err(Refusal::InUse { .. })
    ));
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text, &DomainName::root()).unwrap()
}

fn edition(generation: u64) -> Edition {
    Edition {
        generation,
        part: Part {
            blob: BlobHash([generation as u8; 32]),
            offset: 0,
            len: 1,
        },
        outline: Outline {
            serial: 1,
            sets: 3,
            cuts: vector![name("cut.example.net")],
            servers: vector![],
            expire: 1,
            ttl_max: 60,
        },
        at: Timestamp(0),
        by: "petra".to_owned(),
        note: Note::cut("a zone"),
    }
}

/// The story, ordered under a lease and proven by the DNS, with a zone that is answered.
fn proven_by_dns() -> (State, u64) {
    let mut state = State {
        now: Timestamp(1_000 * DAY),
        ..State::default()
    };
    let live = Published {
        generation: 1,
        serial: 1,
        at: Timestamp(0),
        edition: edition(1),
        over: OrdMap::new(),
        choices: OrdMap::new(),
        signed: None,
    };
    let zone = Zone {
        generation: 1,
        settings: ZoneSettings::default(),
        wanted: None,
        live: Some(live),
        kept: vector![],
        editions: vector![],
        signing: None,
    };
    state.dns.zones.insert(name("example.net"), zone);
    let blob = Blob {
        size: 1,
        holders: OrdMap::new(),
        released: None,
    };
    state.blobs.insert(edition(1).part.blob, blob);
    state.index = 1;
    does(&mut state, &person(), authority("first", 0)).unwrap();
    let wanted = Wanted {
        by_dns: true,
        authorities: vector![label("first")],
        ..wanted(&["www.example.net", "*.example.net"])
    };
    let want = CertificateChange::Want {
        certificate: label("www"),
        wanted,
        against: 0,
    };
    does(&mut state, &person(), want).unwrap();
    let epoch = leased(&mut state);
    (state, epoch)
}

fn leased(state: &mut State) -> u64 {
    let lease = CertificateChange::Lease {
        certificate: label("www"),
        node: NodeId(1),
    };
    match does(state, &node(1), lease).unwrap() {
        Reply::Leased { epoch } => epoch,
        other => panic!("{other:?}"),
    }
}

fn shows(state: &mut State, epoch: u64, at: &[(&str, &str)]) -> Result<Reply, Refusal> {
    let mut texts = Texts::new();
    for (place, text) in at {
        let place = name(place);
        let mut there = texts.get(&place).cloned().unwrap_or_default();
        there.insert(Note::cut(text));
        texts.insert(place, there);
    }
    let change = CertificateChange::ShowTexts {
        certificate: label("www"),
        epoch,
        texts,
    };
    does(state, &node(1), change)
}

/// The texts that the zone answers, by name.
fn answered(state: &State) -> Vec<(String, usize)> {
    let zone = &state.dns.zones[&name("example.net")];
    let over = &zone.live.as_ref().unwrap().over;
    let all = over.iter();
    all.map(|((name, _), set)| (name.to_string(), set.rdata.len()))
        .collect()
}

#[test]
fn the_dns_shows_texts_while_an_order_is_under_way_and_not_after() {
    let (mut state, epoch) = proven_by_dns();
    let serial = |state: &State| {
        state.dns.zones[&name("example.net")]
            .live
            .as_ref()
            .unwrap()
            .serial
    };
    let before = serial(&state);
    let www = "_acme-challenge.www.example.net";
    let all = "_acme-challenge.example.net";
    shows(&mut state, epoch, &[(www, "a"), (all, "b"), (all, "c")]).unwrap();
    let wanted = [(format!("{all}."), 2), (format!("{www}."), 1)];
    assert_eq!(answered(&state), wanted);
    assert!(serial(&state) > before);
    // New content of the zone comes meanwhile, and the texts stay.
    let mut zone = state.dns.zones[&name("example.net")].clone();
    zone.wanted = Some(edition(2));
    state.dns.zones.insert(name("example.net"), zone);
    state.dns.waiting.insert(name("example.net"));
    state.voters.insert(NodeId(1));
    let blob = Blob {
        size: 1,
        holders: OrdMap::unit(NodeId(1), 1),
        released: None,
    };
    state.blobs.insert(edition(2).part.blob, blob);
    state.index += 1;
    let index = state.index;
    crate::model::dns::go_live(&mut state, index);
    assert_eq!(answered(&state), wanted);
    // Another node takes over: nothing of the order before is shown.
    state.now = state.now.plus_ms(limits::CERTIFICATE_LEASE_MS);
    let later = leased(&mut state);
    assert_eq!(answered(&state), []);
    assert!(
        shows(&mut state, epoch, &[(www, "a")]).is_err(),
        "an old lease"
    );
    shows(&mut state, later, &[(www, "d")]).unwrap();
    let settle = CertificateChange::Settle {
        certificate: label("www"),
        epoch: later,
        ending: Ending::HandedBack,
    };
    does(&mut state, &node(1), settle).unwrap();
    assert_eq!(answered(&state), []);
}

#[test]
fn texts_are_shown_in_zones_of_ours_only() {
    let (mut state, epoch) = proven_by_dns();
    for place in [
        "_acme-challenge.www.example.com",
        "_acme-challenge.cut.example.net",
        "_acme-challenge.www.cut.example.net",
    ] {
        let why = shows(&mut state, epoch, &[(place, "a")]);
        let ours = place.ends_with("_acme-challenge.cut.example.net");
        assert_eq!(
            why.is_ok(),
            ours && !place.contains(".cut."),
            "{place}: {why:?}"
        );
    }
    assert_eq!(answered(&state), []);
}

#[test]
fn a_wildcard_is_proven_by_the_dns_only() {
    let mut state = story();
    let against = state.certificates.all[&label("www")].generation;
    let refused = does(&mut state, &person(), want(&["*.example.net"], against)).unwrap_err();
    assert!(
        refused.to_string().contains("proof by the DNS"),
        "{refused}"
    );
}
