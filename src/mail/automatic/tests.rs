//! What is written to whom: each customer their own services, one letter for all that is due to them, nobody twice.

use imbl::{OrdMap, Vector};

use super::*;
use crate::config::Problems;
use crate::directory::{How, Intake, whole};
use crate::model::{
    campaign::{Campaign, Fate, Stage as Sent},
    directory::{AudienceText, Directories, DirectoryVersion, Version},
    effect::Affected,
    incident::{Said, Severity, Stage, Title, Update, Wording},
    rule::{
        MailFacts,
        mail::{Round, Telling},
    },
    words::Line,
};

const MINUTE: u64 = 60_000;
const NOW: Timestamp = Timestamp(1_795_453_805_000);

const CUSTOMERS: &str = "customer;name;email;language;service;server;domain\n\
    1;Jana;jana@shop.example jana@mail.example;cs;shop;web1;shop.example\n\
    1;Jana;jana@shop.example;cs;blog;web2;blog.example\n\
    2;Petr;petr@mail.example;en;;web1;\n\
    3;;ann@mail.example;en;;web2;\n\
    4;;;en;;web1;\n";

struct Office {
    writer: Writer,
    state: State,
    _folder: tempfile::TempDir,
}

impl Office {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&folder.path().join("blobs")).unwrap();
        let keyring = Arc::new(Keyring::generate());
        let path = folder.path().join("upload");
        std::fs::write(&path, CUSTOMERS).unwrap();
        let upload = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let mut intake = Intake::read(upload, &How::default()).unwrap();
        assert_eq!(intake.mistakes().1, 0);
        let made = whole(&mut intake, None, |_| false, (&blobs, &keyring), true);
        let it = made.unwrap().unwrap();
        let it = it.publication(Note::default(), 0, None).unwrap();
        let record = Version {
            base: it.base,
            deltas: it.deltas,
            counts: it.counts,
            at: NOW,
            by: String::new(),
            note: Note::default(),
        };
        let version = DirectoryVersion(1);
        let said = Directories::default();
        let directory = Directory::open(&blobs, &keyring, &said, version, &record);
        let live = Live::default();
        live.set(Some(directory.unwrap()));
        let company = Company::check(Default::default(), &mut Problems::new());
        Self {
            writer: Writer {
                blobs,
                keyring,
                directory: live,
                company: Arc::new(company),
                routes: KeyedHash([4; 32]),
            },
            state: State {
                now: NOW,
                ..State::default()
            },
            _folder: folder,
        }
    }

    /// An incident of a server, whose customers are told.
    fn incident(&mut self, number: u32, server: &str) -> IncidentId {
        let id = IncidentId(number);
        let text = |text: &str| Wording {
            text: Said::new(text).unwrap(),
            revision: 1,
        };
        let opened = Timestamp(NOW.0 - 10 * MINUTE);
        let update = Update {
            index: 1,
            at: opened,
            by: "rule vps".to_owned(),
            stage: Stage::Investigating,
            revision: 1,
            wordings: OrdMap::from(vec![
                (Lang::En, text(&format!("{server} does not answer."))),
                (Lang::Cs, text(&format!("{server} neodpovídá."))),
            ]),
            edits: Vector::new(),
            withdrawn: None,
        };
        let incident = Incident {
            titles: OrdMap::from(vec![
                (Lang::En, Title::cut(&format!("{server} restarted"))),
                (Lang::Cs, Title::cut(&format!("{server} se restartoval"))),
            ]),
            severity: Severity::Minor,
            stage: Stage::Investigating,
            affected: OrdMap::new(),
            window: None,
            opened,
            ended: None,
            next_by: None,
            updates: Vector::unit(update),
            withdrawn: None,
            generation: 1,
        };
        self.state.incidents.all.insert(id, incident);
        let effect = effect::Effect {
            number: 1,
            scope: AudienceText::new(&format!("server=\"{server}\"")).unwrap(),
            from: opened,
            until: None,
            at: opened,
            by: "rule vps".to_owned(),
        };
        let affected = Affected {
            last: 1,
            all: Vector::unit(effect),
        };
        self.state.effects.of.insert(id, affected);
        let telling = Telling {
            by: "rule vps".to_owned(),
            since: opened,
            facts: MailFacts {
                up_to: 50,
                hold_ms: 10_000,
                still_ms: None,
            },
            covered: 0,
            effects: 0,
            owed: None,
            too_many: false,
            stopped: false,
        };
        self.state.rules.tellings.insert(id, telling);
        id
    }

    fn ends(&mut self, id: IncidentId) {
        let incident = self.state.incidents.all.get_mut(&id).unwrap();
        incident.ended = Some(self.state.now);
        incident.stage = Stage::Resolved;
    }

    /// What is written now; agreed on at once.
    fn writes(&mut self) -> (Vec<Addressee>, Vec<Cover>, Texts) {
        let now = self.state.now;
        match self.writer.write(&self.state, now).unwrap() {
            RuleChange::Round {
                campaign,
                draft,
                frozen,
                covers,
                ..
            } => {
                let read = |blob| self.writer.blobs.read(&blob).unwrap();
                let bytes = read(frozen.manifest.0);
                let people = sheet::unpack(&self.writer.keyring, MANIFEST, &bytes).unwrap();
                let texts = serde_json::from_slice(&read(draft.texts.0)).unwrap();
                let round = Round {
                    at: now,
                    covers: covers.clone(),
                    up_to: 50,
                    hold_ms: 10_000,
                    recipients: frozen.recipients,
                    by_rule: true,
                    retracted: false,
                };
                self.state.rules.rounds.insert(campaign, round);
                self.state
                    .campaigns
                    .all
                    .insert(campaign, sent(*draft, *frozen));
                (people, covers, texts)
            }
            RuleChange::Nobody { covers, .. } => (Vec::new(), covers, Texts::new()),
            other => panic!("{other:?}"),
        }
    }

    fn later(&mut self, minutes: u64) {
        self.state.now = self.state.now.plus_ms(minutes * MINUTE);
    }
}

fn sent(draft: Draft, frozen: Frozen) -> Campaign {
    Campaign {
        generation: 1,
        by: "rule notices".to_owned(),
        made: NOW,
        draft,
        stage: Sent::Asked,
        asked: None,
        frozen: Some(frozen),
        approval: None,
        segment_size: 0,
        segments: OrdMap::new(),
        counts: [0; Fate::COUNT],
        began: None,
        ended: None,
        progress: Vector::new(),
        waves_over: Vector::new(),
        tolerated: false,
        released: 0,
    }
}

fn numbers(people: &[Addressee]) -> Vec<&str> {
    people.iter().map(|it| it.customer.as_str()).collect()
}

#[test]
fn each_customer_gets_their_own_services_at_an_address_that_works_and_a_link_of_their_own() {
    let mut office = Office::open();
    office.state.rules.claim_url = Line::cut("https://my.example.net/claim?t={token}");
    let id = office.incident(7, "web1");
    let (people, covers, texts) = office.writes();
    assert_eq!(
        numbers(&people),
        ["1", "2"],
        "who has no address is not written to"
    );
    assert_eq!(
        (covers[0].news, covers[0].effects, covers[0].owed),
        (1, 1, None)
    );
    let jana = &people[0];
    assert_eq!(
        jana.address, "jana@mail.example",
        "the other one is on what is down"
    );
    let press = Press::new(&texts, "Example").unwrap();
    let mail = press.render(jana).unwrap();
    assert_eq!(mail.subject, "web1 se restartoval");
    for part in [
        "web1 neodpovídá.",
        "Vaše služby: shop\n",
        "trvá; minut celkem: 10",
    ] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
    let at = mail.text.find("claim?t=").unwrap() + 8;
    let token = mail.text[at..].split_whitespace().next().unwrap();
    let keyring = &office.writer.keyring;
    assert_eq!(keyring.open_claim(token), Some((id.0, "1".to_owned())));
    let forged = keyring
        .claim(id.0, "2")
        .replace(&keyring.claim(id.0, "2")[..4], "AAAA");
    assert_eq!(keyring.open_claim(&forged), None);
    let petr = press.render(&people[1]).unwrap();
    assert!(petr.text.contains("web1 does not answer."), "{}", petr.text);
}

#[test]
fn whoever_had_a_notice_of_late_is_left_alone_and_gets_the_rest_in_one() {
    let mut office = Office::open();
    let first = office.incident(7, "web1");
    assert_eq!(office.writes().0.len(), 2);
    // The same again is nobody's.
    office.later(1);
    assert!(office.writes().0.is_empty());
    // Jana has something on the other server as well, and hears of it later.
    let second = office.incident(8, "web2");
    office.later(1);
    let (people, covers, _) = office.writes();
    assert_eq!(numbers(&people), ["3"]);
    let owed = covers.iter().find(|it| it.incident == second).unwrap().owed;
    assert_eq!(owed, Some(NOW.plus_ms(60 * MINUTE)));
    office.later(3);
    office.ends(first);
    let (people, ..) = office.writes();
    assert!(people.is_empty(), "{people:?}");
    office.later(60);
    let (people, _, texts) = office.writes();
    assert_eq!(numbers(&people), ["1", "2"]);
    let press = Press::new(&texts, "Example").unwrap();
    let mail = press.render(&people[0]).unwrap();
    assert_eq!(mail.subject, "Example: zprávy o vašich službách (2)");
    assert!(mail.text.contains("web2 neodpovídá.") && mail.text.contains("minut celkem: 15"));
    assert_eq!(press.render(&people[1]).unwrap().subject, "web1 restarted");
}

#[test]
fn what_was_taken_back_told_nobody_and_a_suppressed_address_gets_nothing() {
    let mut office = Office::open();
    office.incident(7, "web1");
    office.writes();
    let id = office.state.rules.rounds.get_min().unwrap().0;
    office.state.rules.rounds.get_mut(&id).unwrap().retracted = true;
    office.later(1);
    let petr = crate::model::words::EmailAddress::new("petr@mail.example").unwrap();
    let kept_away = crate::model::campaign::Suppression {
        scope: crate::model::campaign::Scope::Everything,
        since: NOW,
        by: "a bounce".to_owned(),
    };
    let name = name_of(&office.writer.keyring, &petr);
    office.state.campaigns.suppressed.insert(name, kept_away);
    assert_eq!(numbers(&office.writes().0), ["1"]);
}

#[test]
fn a_letter_that_not_everybody_can_get_is_refused_beforehand() {
    assert_eq!(tried(&usual(), "Example"), Ok(()));
    let letter = |subject: &str, text: &str| {
        let words = crate::mail::campaign::texts::Words {
            subject: subject.to_owned(),
            text: text.to_owned(),
            html: None,
        };
        Texts::from([("en".to_owned(), words)])
    };
    for (subject, text) in [
        ("{{ title }}", "Dear {{ name }}"),
        ("{{ nothing }}", "{{ notice }}"),
        ("{{ title", "{{ notice }}"),
    ] {
        assert!(
            tried(&letter(subject, text), "Example").is_err(),
            "{subject} {text}"
        );
    }
}
