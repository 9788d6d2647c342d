//! Keepers against servers in this process that behave as the providers publish it: their shapes, pages and refusals, and
//! the faults that any of them can have. The providers themselves are not reached.

mod cloudflare;
mod desec;
mod hetzner;
mod route53;
mod stand;
mod update;

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use super::{Office, Opener, Written};
use crate::model::{
    State,
    domain::{DomainName, RrSet, RrType},
    keeper::{
        Ending, Keeper, KeeperFacts, Kept, Place, SetKey,
        change::secret_context,
        in_order,
        plan::{Change, For, found, plan},
    },
    words::{Label, Note, Timestamp},
};
use crate::seal::Keyring;
use crate::tls::outgoing;
use stand::{Fault, Stand};

const TOKEN: &str = "a-token-that-nobody-may-see";

/// A keeper at a stand-in, with what its names shall answer.
struct Desk {
    office: Office,
    keeper: Keeper,
    wanted: OrdMap<SetKey, RrSet>,
}

fn set(line: &str) -> RrSet {
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let rtype: RrType = words[2].parse().unwrap();
    let data = words[3].split(" | ");
    RrSet {
        name: words[0].parse().unwrap(),
        rtype,
        ttl: words[1].parse().unwrap(),
        rdata: data
            .map(|it| super::text::read(rtype, it, &DomainName::root()).unwrap())
            .collect(),
    }
}

/// What is wanted: lines of a name, a lifetime, a type, and data apart by bars.
fn sets(lines: &[&str]) -> OrdMap<SetKey, RrSet> {
    let sets = lines.iter().map(|line| {
        let set = set(line);
        let rdata = in_order(&set);
        ((set.name.clone(), set.rtype), RrSet { rdata, ..set })
    });
    sets.collect()
}

impl Desk {
    /// With so little patience that a slow answer is one within a test.
    fn at(place: Place, token: &str, wanted: &[&str]) -> Self {
        let keyring = Arc::new(Keyring::generate());
        let name = Label::new("outside").unwrap();
        let keeper = Keeper {
            generation: 1,
            facts: KeeperFacts {
                zone: "example.test".parse().unwrap(),
                place,
                enforce: false,
                servers: Vector::new(),
            },
            secret: Some(keyring.seal(&secret_context(&name), token.as_bytes())),
            sets: OrdMap::new(),
            lease: None,
            due: Timestamp(0),
            attempts: 0,
            looked: None,
            trouble: None,
            behind: Vector::new(),
        };
        let mut opener = Opener::new(keyring, outgoing::connector(None).unwrap());
        opener.https.patience = std::time::Duration::from_millis(800);
        let office = opener.open(&State::default(), &name, &keeper).unwrap();
        Self {
            office,
            keeper,
            wanted: sets(wanted),
        }
    }

    async fn there(&self) -> Vec<RrSet> {
        self.office.there(&self.keeper, &self.wanted).await.unwrap()
    }

    /// Takes what is there for ours, and writes what is wanted instead.
    async fn switch(&mut self, wanted: &[&str]) -> Written {
        self.wanted = sets(wanted);
        let there = self.there().await;
        self.take(&there);
        let changes = self.changes(&there);
        self.office
            .write(&self.keeper, &self.wanted, &changes)
            .await
    }

    fn take(&mut self, there: &[RrSet]) {
        self.keeper.sets = there
            .iter()
            .map(|it| {
                let kept = Kept {
                    known: Some(in_order(it)),
                    found: Some(found(Some(it))),
                    ..Kept::default()
                };
                ((it.name.clone(), it.rtype), kept)
            })
            .collect();
    }

    fn changes(&self, there: &[RrSet]) -> Vec<Change> {
        plan(&self.keeper, &self.wanted, there, For::Person).changes
    }

    fn is_done(&self, there: &[RrSet]) -> bool {
        let mut wanted = self.wanted.values();
        wanted.all(|it| {
            there
                .iter()
                .any(|at| at.name == it.name && at.rtype == it.rtype && in_order(at) == it.rdata)
        })
    }
}

const PRIMARY: [&str; 4] = [
    "example.test 60 A 192.0.2.80",
    "www.example.test 60 A 192.0.2.80",
    "www.example.test 60 AAAA 2001:db8::80",
    "example.test 60 MX 10 mail.example.test.",
];
const FALLBACK: [&str; 4] = [
    "example.test 60 A 198.51.100.1",
    "www.example.test 60 A 198.51.100.1 | 198.51.100.2",
    "www.example.test 60 AAAA 2001:db8::f",
    "example.test 60 MX 10 boat.example.net.",
];

/// What every provider must do, whatever its API looks like. `stand` has what [`PRIMARY`] says.
async fn every_provider(stand: &Stand, mut desk: Desk, wrong_token: Desk) {
    // Looked at, and written.
    desk.wanted = sets(&PRIMARY);
    let there = desk.there().await;
    assert!(desk.is_done(&there), "{there:?}");
    let written = desk.switch(&FALLBACK).await;
    assert_eq!(written.ending, Ending::Confirmed, "{}", written.why);
    let there = desk.there().await;
    assert!(desk.is_done(&there), "{there:?}");
    assert_eq!(
        stand.others(),
        ["other.example.test"],
        "another name was touched"
    );

    // The answer to the write is lost: what is there decides.
    stand.next_write(Fault::LoseAnswer);
    let written = desk.switch(&PRIMARY).await;
    assert_eq!(written.ending, Ending::Confirmed, "{}", written.why);

    // The write itself is lost.
    stand.next_write(Fault::Close);
    let written = desk.switch(&FALLBACK).await;
    assert_eq!(written.ending, Ending::TryLater, "{}", written.why);
    assert!(!desk.is_done(&written.there.unwrap()));

    // Nobody answers any more after the write was taken.
    stand.next_write(Fault::LoseAnswerAndDie);
    let written = desk.switch(&FALLBACK).await;
    assert_eq!(written.ending, Ending::Unknown, "{}", written.why);
    assert!(written.there.is_none());
    stand.live_again();
    assert!(
        desk.is_done(&desk.there().await),
        "it was taken all the same"
    );

    trouble(stand, &mut desk).await;
    somebody_else(stand, &mut desk).await;
    tokens(&desk, &wrong_token).await;
}

/// Too many requests, a fault of theirs, no answer at all.
async fn trouble(stand: &Stand, desk: &mut Desk) {
    stand.next_write(Fault::Status(429, Some(7)));
    let written = desk.switch(&PRIMARY).await;
    assert_eq!(written.ending, Ending::TryLater, "{}", written.why);
    assert_eq!(written.rest_ms, 7_000);
    stand.next_write(Fault::Status(503, None));
    let written = desk.switch(&PRIMARY).await;
    assert_eq!(written.ending, Ending::TryLater, "{}", written.why);
    stand.next_write(Fault::Status(502, None));
    let written = desk.switch(&PRIMARY).await;
    assert_eq!(written.ending, Ending::TryLater, "{}", written.why);
    stand.next_write(Fault::Silence);
    let written = desk.switch(&PRIMARY).await;
    assert_eq!(written.ending, Ending::TryLater, "{}", written.why);
    stand.next_write(Fault::Garbage);
    let written = desk.switch(&PRIMARY).await;
    assert_ne!(written.ending, Ending::Confirmed, "{}", written.why);
}

/// Somebody else is quicker.
async fn somebody_else(stand: &Stand, desk: &mut Desk) {
    let written = desk.switch(&PRIMARY).await;
    assert_eq!(written.ending, Ending::Confirmed, "{}", written.why);
    desk.wanted = sets(&FALLBACK);
    let there = desk.there().await;
    desk.take(&there);
    let changes = desk.changes(&there);
    stand.by_hand("www.example.test", "A", &["203.0.113.9"]);
    if stand.has_conditions() {
        let written = desk
            .office
            .write(&desk.keeper, &desk.wanted, &changes)
            .await;
        assert_eq!(written.ending, Ending::Refused, "{}", written.why);
        assert!(written.why.contains("somebody else"), "{}", written.why);
        let there = written.there.unwrap();
        let now = there
            .iter()
            .find(|it| it.rtype == RrType::A && it.name.label_count() == 3);
        assert_eq!(now.unwrap(), &set("www.example.test 60 A 203.0.113.9"));
    }
}

/// The token is good, and a wrong one is told from it and never shown.
async fn tokens(desk: &Desk, wrong_token: &Desk) {
    let findings = desk.office.look_over().await;
    assert!(findings.iter().all(|it| it.good), "{findings:?}");
    let proof = desk.office.prove(&desk.there().await[0]).await;
    assert!(proof.good, "{proof:?}");
    let findings = wrong_token.office.look_over().await;
    assert!(findings.iter().any(|it| !it.good), "{findings:?}");
    assert!(
        !format!("{findings:?}").contains("wrong-token"),
        "{findings:?}"
    );
    let refused = wrong_token
        .office
        .there(&wrong_token.keeper, &wrong_token.wanted)
        .await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, super::Trouble::Refused(_)), "{refused}");
    assert!(!refused.to_string().contains("wrong-token"), "{refused}");
}

fn url(stand: &Stand) -> Note {
    Note::new(&format!("http://{}/api", stand.address)).unwrap()
}

#[tokio::test]
async fn a_token_goes_over_tls_to_a_server_that_is_vouched_for_and_nowhere_else() {
    use crate::https::{Ask, Failed, Https};
    let (address, file, served) = stand::over_tls().await;
    let ask = |host: &str| Ask {
        method: hyper::Method::GET,
        url: format!("https://{host}:{}/", address.port()),
        headers: vec![("authorization", TOKEN.to_owned())],
        body: Vec::new(),
    };
    let trusting = Https::new(outgoing::connector(Some(file.path())).unwrap());
    let answer = trusting.ask(ask("localhost")).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, &b"over TLS"[..])
    );
    let public = Https::new(outgoing::connector(None).unwrap());
    let refused = public.ask(ask("localhost")).await.err().unwrap();
    assert!(matches!(refused, Failed::NotSent(_)), "{refused:?}");
    // A certificate for another name is none.
    let refused = trusting.ask(ask("127.0.0.1")).await.err().unwrap();
    assert!(matches!(refused, Failed::NotSent(_)), "{refused:?}");
    let clear = Ask {
        url: format!("http://localhost:{}/", address.port()),
        ..ask("localhost")
    };
    let refused = trusting.ask(clear).await.err().unwrap();
    assert!(
        matches!(refused, Failed::NotSent(_)),
        "in the clear to a name: {refused:?}"
    );
    served.abort();
}
