//! People's story: who comes in, who is slowed, what is good once, and what everybody hears of.

use super::super::{
    Actor, Command, Proposal, Source, Stamped,
    conversation::Door,
    nodes::{CaRecord, NodeFacts, Profile},
    words::{ClientId, ClusterId},
};
use super::*;

struct Story {
    state: State,
    next: u64,
}

fn name(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn net(text: &str) -> Note {
    Note::new(text).unwrap()
}

fn sealed() -> Sealed {
    Sealed {
        key: 1,
        bytes: vec![7; 60],
    }
}

fn session(byte: u8) -> (SessionId, KeyedHash) {
    (SessionId([byte; 8]), KeyedHash([byte; 32]))
}

impl Story {
    fn founded() -> Self {
        let facts = NodeFacts {
            name: name("a"),
            provider: name("p1"),
            region: name("eu"),
            advertise: net("a:1"),
            sites: vec![],
            fingerprint: KeyedHash([0; 32]),
            format: 1,
            version: net("0.1.0"),
        };
        let found = Command::Found {
            cluster: ClusterId([1; 16]),
            name: name("test"),
            profile: Profile::Near,
            authority: CaRecord {
                certificate: String::new(),
                key: sealed(),
            },
            node: facts,
        };
        let mut story = Self {
            state: State::default(),
            next: 0,
        };
        story.command(Actor::System, NodeId(1), found);
        story.state.now = Timestamp(1_000_000_000);
        story
    }

    fn command(&mut self, actor: Actor, origin: NodeId, command: Command) -> Reply {
        self.next += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next.to_le_bytes());
        let source = Source {
            door: Door::Console,
            address: Some(net("192.0.2.7")),
        };
        let stamped = Stamped {
            at: self.state.now.plus_ms(1),
            proposal: Proposal {
                format: 1,
                id: ClientId(id),
                actor,
                source,
                origin,
                stamp: None,
                command,
            },
        };
        let index = self.state.index + 1;
        let reply = self.state.apply(&Entry {
            index,
            stamped: &stamped,
        });
        assert_eq!(self.state.check(), Vec::<String>::new());
        reply
    }

    fn on(&mut self, node: u64, change: PeopleChange) -> Reply {
        let actor = Actor::Local { uid: 0 };
        self.command(actor, NodeId(node), Command::People(change))
    }

    fn ask(&mut self, change: PeopleChange) -> Reply {
        self.on(1, change)
    }

    fn add(&mut self, who: &str, roles: &[Role]) {
        let change = PeopleChange::Add {
            name: name(who),
            roles: Roles::of(roles),
            shown: net(who),
            langs: vec![Lang::Cs],
            password: sealed(),
            totp: sealed(),
        };
        assert_eq!(self.ask(change), Reply::Done);
    }

    fn sign_in(&mut self, who: &str, step: u64, byte: u8, network: &str) -> Reply {
        let (session, hash) = session(byte);
        let generation = self.state.people.accounts[&name(who)].generation;
        self.ask(PeopleChange::SignIn {
            name: name(who),
            generation,
            step,
            session,
            hash,
            network: net(network),
        })
    }

    fn passes(&mut self, ms: u64) {
        self.state.now = self.state.now.plus_ms(ms);
    }

    fn pace(&self, who: &str, network: &str) -> Pace {
        let (who, network) = (name(who), net(network));
        let people = &self.state.people;
        let account = people.accounts.get(&who);
        people.knocks.pace(&who, account, &network, self.state.now)
    }

    fn knock(&mut self, who: &str, network: &str) {
        let change = PeopleChange::Knock {
            name: Some(name(who)),
            network: net(network),
        };
        assert_eq!(self.ask(change), Reply::Done);
    }

    fn envelope(&mut self) -> u64 {
        let change = PeopleChange::AddEnvelope {
            holder: net("safe"),
            roles: Roles::of(&[Role::Admin]),
            ttl_ms: 1_000_000_000,
            codes: vec![KeyedHash([1; 32]), KeyedHash([2; 32])],
        };
        assert_eq!(self.ask(change), Reply::Done);
        self.state.index
    }

    fn use_code(&mut self, node: u64, code: u8, byte: u8) -> Reply {
        let (session, hash) = session(byte);
        let change = PeopleChange::UseCode {
            code: KeyedHash([code; 32]),
            session,
            hash,
            network: net("192.0.2.0/24"),
        };
        self.on(node, change)
    }
}

#[test]
fn roles_include_what_they_need_and_no_more() {
    let may = |given: Role| -> Vec<&str> {
        let roles = Roles::of(&[given]);
        let all = Role::ALL.into_iter().filter(|it| roles.may(*it));
        all.map(Role::name).collect()
    };
    assert_eq!(may(Role::Viewer), ["viewer"]);
    assert_eq!(may(Role::Agent), ["viewer", "agent"]);
    assert_eq!(may(Role::Leader), ["viewer", "agent", "shift-leader"]);
    assert_eq!(may(Role::Ops), ["viewer", "ops"]);
    assert_eq!(may(Role::Monitor), ["monitor"]);
    assert_eq!(may(Role::Admin).len(), Role::ALL.len());
    assert!(!Roles::default().may(Role::Viewer));
}

#[test]
fn a_code_is_good_once_and_none_before_it_is_taken_any_more() {
    let mut story = Story::founded();
    story.add("jana", &[Role::Admin]);
    assert_eq!(story.sign_in("jana", 100, 1, "192.0.2.0/24"), Reply::Done);
    for step in [100, 99] {
        let again = story.sign_in("jana", step, 2, "192.0.2.0/24");
        assert!(
            matches!(again, Reply::Refused(Refusal::Unsound { .. })),
            "{again:?}"
        );
    }
    assert_eq!(story.sign_in("jana", 101, 2, "192.0.2.0/24"), Reply::Done);
    assert_eq!(story.state.people.sessions.len(), 2);
}

#[test]
fn what_was_checked_against_an_older_password_opens_nothing() {
    let mut story = Story::founded();
    story.add("jana", &[Role::Admin]);
    let old = story.state.people.accounts[&name("jana")].generation;
    assert_eq!(story.sign_in("jana", 100, 1, "192.0.2.0/24"), Reply::Done);
    let reset = PeopleChange::Reset {
        name: name("jana"),
        password: sealed(),
        totp: sealed(),
    };
    assert_eq!(story.ask(reset), Reply::Done);
    assert!(
        story.state.people.sessions.is_empty(),
        "a reset ends sessions"
    );
    let (session, hash) = session(2);
    let late = story.ask(PeopleChange::SignIn {
        name: name("jana"),
        generation: old,
        step: 101,
        session,
        hash,
        network: net("192.0.2.0/24"),
    });
    assert!(
        matches!(late, Reply::Refused(Refusal::Stale { .. })),
        "{late:?}"
    );
}

#[test]
fn the_last_admin_stays() {
    let mut story = Story::founded();
    story.add("jana", &[Role::Admin]);
    story.add("petr", &[Role::Agent]);
    let remove = || PeopleChange::Remove { name: name("jana") };
    let demote = PeopleChange::SetRoles {
        name: name("jana"),
        roles: Roles::of(&[Role::Viewer]),
    };
    for change in [remove(), demote] {
        let refused = story.ask(change);
        assert!(
            matches!(refused, Reply::Refused(Refusal::Unsound { .. })),
            "{refused:?}"
        );
    }
    story.add("eva", &[Role::Admin]);
    assert_eq!(story.ask(remove()), Reply::Done);
}

#[test]
fn sessions_end_by_time_by_rest_and_by_decision() {
    let mut story = Story::founded();
    story.add("jana", &[Role::Admin]);
    story.sign_in("jana", 100, 1, "192.0.2.0/24");
    let (id, _) = session(1);
    let good = |story: &Story| {
        let session = &story.state.people.sessions[&id];
        session.is_good(story.state.now, Timestamp(0))
    };
    assert!(good(&story));
    story.passes(limits::SESSION_IDLE_MS);
    assert!(!good(&story), "it rested");
    assert_eq!(story.ask(PeopleChange::Seen { session: id }), Reply::Done);
    assert!(good(&story));
    let mut left = limits::SESSION_MS_MAX;
    while left > 0 {
        let pause = left.min(limits::SESSION_IDLE_MS / 2);
        story.passes(pause);
        left -= pause;
        story.ask(PeopleChange::Seen { session: id });
    }
    assert!(!good(&story), "a shift is over");
    story.sign_in("jana", 200, 2, "192.0.2.0/24");
    assert!(
        !story.state.people.sessions.contains_key(&id),
        "what ended is swept"
    );
    let everybody = PeopleChange::EndSessions { name: None };
    assert_eq!(story.ask(everybody), Reply::Done);
    assert!(story.state.people.sessions.is_empty());
}

#[test]
fn p10_one_more_session_ends_the_oldest_of_the_same_person() {
    let mut story = Story::founded();
    story.add("jana", &[Role::Admin]);
    for byte in 0..=limits::SESSIONS_EACH as u8 {
        let step = 100 + u64::from(byte);
        assert_eq!(
            story.sign_in("jana", step, byte, "192.0.2.0/24"),
            Reply::Done
        );
    }
    let people = &story.state.people;
    assert_eq!(people.sessions.len(), limits::SESSIONS_EACH);
    assert!(!people.sessions.contains_key(&session(0).0));
}

#[test]
fn wrong_guesses_are_slowed_and_nobody_is_locked_out() {
    let mut story = Story::founded();
    story.add("jana", &[Role::Admin]);
    story.sign_in("jana", 100, 1, "198.51.100.0/24");
    let attacker = "192.0.2.0/24";
    for _ in 0..limits::PAIR_FREE {
        assert_eq!(story.pace("jana", attacker).wait_ms, 0);
        story.knock("jana", attacker);
    }
    let mut last = 0;
    for _ in 0..10 {
        let wait = story.pace("jana", attacker).wait_ms;
        assert!(
            wait > last.min(limits::PAIR_WAIT_MS_MAX - 1),
            "{wait} after {last}"
        );
        last = wait;
        story.passes(wait);
        assert_eq!(story.pace("jana", attacker).wait_ms, 0, "the wait ends");
        story.knock("jana", attacker);
    }
    assert!(last <= limits::PAIR_WAIT_MS_MAX);
    // From a thousand networks: strangers are held up for a moment, the owner's own network is not.
    for place in 0..limits::ACCOUNT_FREE {
        story.knock("jana", &format!("203.0.{place}.0/24"));
    }
    let stranger = story.pace("jana", "100.64.0.0/24");
    assert_eq!(
        (stranger.wait_ms, stranger.hold_ms),
        (0, limits::ACCOUNT_HOLD_MS)
    );
    assert_eq!(story.pace("jana", "198.51.100.0/24"), Pace::default());
    story.passes(limits::KNOCKS_FORGIVEN_MS);
    assert_eq!(
        story.pace("jana", attacker),
        Pace::default(),
        "it is forgiven"
    );
}

#[test]
fn one_network_that_tries_every_name_is_slowed() {
    let mut story = Story::founded();
    for who in 0..limits::NETWORK_FREE {
        story.knock(&format!("nobody{who}"), "192.0.2.0/24");
    }
    assert!(story.pace("someone-else", "192.0.2.0/24").wait_ms > 0);
    assert_eq!(story.pace("someone-else", "192.0.3.0/24").wait_ms, 0);
}

#[test]
fn p10_wrong_guesses_take_no_more_room_than_their_bound() {
    let mut knocks = Knocks::default();
    for place in 0..limits::KNOCKS_MAX + 100 {
        knocks.note(None, &net(&format!("{place}")), Timestamp(1_000_000));
    }
    assert!(knocks.is_sound());
}

#[test]
fn p9_a_code_from_an_envelope_is_good_once_and_everybody_hears_of_it() {
    let mut story = Story::founded();
    story.add("jana", &[Role::Admin]);
    let way = Way {
        kind: WayKind::Mail,
        address: sealed(),
        proven: None,
    };
    story.ask(PeopleChange::SetWays {
        name: name("jana"),
        ways: vec![way],
    });
    let serial = story.envelope();
    assert_eq!(story.use_code(1, 1, 1), Reply::Done);
    let again = story.use_code(1, 1, 2);
    assert!(
        matches!(again, Reply::Refused(Refusal::Unsound { .. })),
        "{again:?}"
    );
    let people = &story.state.people;
    assert_eq!(people.open_alarms().count(), 1);
    let told: Vec<_> = story.state.outbox.values().map(|it| &it.kind).collect();
    let [alarm] = [people.alarms[0].index];
    assert_eq!(
        told,
        [
            &ItemKind::TellStaff {
                alarm,
                person: Some(name("jana"))
            },
            &ItemKind::TellStaff {
                alarm,
                person: None
            },
        ]
    );
    let holder = &people.sessions[&session(1).0].holder;
    let who = holder.name();
    assert_eq!(who.as_str(), format!("breakglass-{serial}.1"));
    assert!(
        people
            .roles_of(&who, story.state.now)
            .unwrap()
            .may(Role::Admin)
    );
    assert_eq!(story.ask(PeopleChange::Acknowledge { alarm }), Reply::Done);
    assert_eq!(story.state.people.open_alarms().count(), 0);
    assert_eq!(
        story.ask(PeopleChange::WithdrawEnvelope { serial }),
        Reply::Done
    );
    assert!(
        story.state.people.sessions.is_empty(),
        "what it opened is closed"
    );
    let late = story.use_code(1, 2, 3);
    assert!(matches!(late, Reply::Refused(_)), "{late:?}");
}

#[test]
fn p3_a_code_used_alone_and_elsewhere_as_well_is_told_loudly() {
    let mut story = Story::founded();
    story.envelope();
    assert_eq!(story.use_code(1, 1, 1), Reply::Done);
    let report = PeopleChange::ReportCode {
        code: KeyedHash([1; 32]),
        at: Timestamp(999_999_999),
    };
    assert_eq!(story.on(2, report), Reply::Done);
    let again: Vec<bool> = story
        .state
        .people
        .alarms
        .iter()
        .map(|it| match it.what {
            AlarmKind::CodeUsed { again, alone, .. } => again && alone,
            AlarmKind::MailCountsDown { .. } => false,
        })
        .collect();
    assert_eq!(again, [false, true]);
}

#[test]
fn only_somebody_who_may_leads_the_shift() {
    let mut story = Story::founded();
    story.add("jana", &[Role::Leader]);
    story.add("petr", &[Role::Agent]);
    let lead = |who: &str| PeopleChange::Lead {
        who: name(who),
        note: net("generator 2 is being repaired"),
    };
    assert_eq!(story.ask(lead("jana")), Reply::Done);
    let refused = story.ask(lead("petr"));
    assert!(
        matches!(refused, Reply::Refused(Refusal::Unsound { .. })),
        "{refused:?}"
    );
    assert_eq!(
        story.state.people.leading.as_ref().unwrap().who,
        name("jana")
    );
    // Every one of these is on the record, refused ones too.
    let last = story.state.audit.lines.back().unwrap();
    assert_eq!(
        (last.what.as_str(), last.refused.is_some()),
        ("lead-shift", true)
    );
}

#[test]
fn a_machines_token_opens_what_it_says_until_it_ends() {
    let mut story = Story::founded();
    let hash = KeyedHash([9; 32]);
    let add = PeopleChange::AddToken {
        name: name("prometheus"),
        hash,
        roles: Roles::of(&[Role::Viewer]),
        ttl_ms: 1_000,
    };
    assert_eq!(story.ask(add), Reply::Done);
    let now = story.state.now;
    let people = &story.state.people;
    assert_eq!(people.token(&hash, now).unwrap().0, &name("prometheus"));
    assert!(people.token(&hash, now.plus_ms(1_000)).is_none());
    let revoke = PeopleChange::RevokeToken {
        name: name("prometheus"),
    };
    assert_eq!(story.ask(revoke), Reply::Done);
    assert!(story.state.people.token(&hash, now).is_none());
}
