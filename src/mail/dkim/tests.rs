//! Our signatures are read by a verifier that is not ours, on mails as they leave, and on whatever bytes.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use base64::engine::general_purpose::STANDARD;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{
    AuthenticatedMessage, DkimResult, MX, MessageAuthenticator, Parameters, RecordSet,
    ResolverCache, Txt,
};
use proptest::prelude::*;

use super::*;
use crate::model::mail_key::{MailKey, record};
use crate::model::words::{Label, Timestamp};

/// What the DNS says in these tests.
struct Said(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Said {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// Nothing is asked of these.
struct Nothing;

macro_rules! nothing {
    ($key:ty, $value:ty) => {
        impl ResolverCache<$key, $value> for Nothing {
            fn get<Q>(&self, _: &Q) -> Option<$value>
            where
                $key: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                None
            }

            fn remove<Q>(&self, _: &Q) -> Option<$value>
            where
                $key: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                None
            }

            fn insert(&self, _: $key, _: $value, _: Instant) {}
        }
    };
}

nothing!(Box<str>, RecordSet<MX>);
nothing!(Box<str>, RecordSet<Ipv4Addr>);
nothing!(Box<str>, RecordSet<Ipv6Addr>);
nothing!(IpAddr, RecordSet<Box<str>>);

/// A state with one key of each algorithm, both signing.
fn house() -> (Arc<State>, Arc<Keyring>) {
    let keyring = Arc::new(Keyring::generate());
    let mut state = State::default();
    for algorithm in Algorithm::ALL {
        let domain = DomainName::parse("example.net", &DomainName::root()).unwrap();
        let name: KeyName = (domain, Label::new(algorithm.name()).unwrap());
        let key = PrivateKey::generate(algorithm).unwrap();
        let made = MailKey {
            generation: 1,
            algorithm,
            public: key.public().unwrap(),
            private: keyring.seal(&key_context(&name), &key.to_pkcs8().unwrap()),
            made: Timestamp(1),
            signs: Some(Timestamp(1)),
        };
        state.mail_keys.all.insert(name, made);
    }
    (Arc::new(state), keyring)
}

fn signer((state, keyring): &(Arc<State>, Arc<Keyring>)) -> Signer {
    let from = EmailAddress::new("notice@help.example.net").unwrap();
    let state = state.clone();
    let agreed = Arc::new(move || state.clone());
    Signer::new(&from, agreed, keyring.clone(), &Metrics::new())
}

fn said(state: &State) -> Said {
    let all = state.mail_keys.all.iter().map(|(name, key)| {
        let parsed = DomainKey::parse(record(key).as_bytes()).unwrap();
        let at = record_name(name).into_boxed_str();
        (at, Txt::DomainKey(Arc::new(parsed)))
    });
    Said(all.collect())
}

/// What somebody else's verifier says of each signature.
fn verified(state: &State, mail: &[u8]) -> Vec<DkimResult> {
    let said = said(state);
    let judge =
        MessageAuthenticator::new(ResolverConfig::default(), ResolverOpts::default()).unwrap();
    let message = AuthenticatedMessage::parse(mail).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let parameters = Parameters {
            params: &message,
            cache_txt: Some(&said),
            cache_mx: None::<&Nothing>,
            cache_ptr: None::<&Nothing>,
            cache_ipv4: None::<&Nothing>,
            cache_ipv6: None::<&Nothing>,
        };
        let output = judge.verify_dkim(parameters).await;
        output.iter().map(|it| it.result().clone()).collect()
    })
}

const MAIL: &str = "From: \"Example\" <notice@help.example.net>\r\nTo: jana@example.com\r\n\
    Subject: =?utf-8?b?VsO9cGFkZWs=?=\r\n =?utf-8?b?IG5hcMOhamVuw60=?=\r\nDate: Fri, 27 Nov 2026 02:00:00 +0000\r\n\
    Message-ID: <one@help.example.net>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 7bit\r\n\r\nThe power is  out.\t\r\n\r\nWe write again at 03:00. \r\n\r\n\r\n";

#[test]
fn another_verifier_accepts_what_each_relay_gets() {
    let house = house();
    let signer = signer(&house);
    for (sign, count) in [
        (RelaySign::None, 0),
        (RelaySign::Rsa, 1),
        (RelaySign::Ed25519, 1),
        (RelaySign::Both, 2),
    ] {
        let signed = signer.signed(sign, MAIL.as_bytes());
        assert!(signed.ends_with(MAIL.as_bytes()));
        let results = verified(&house.0, &signed);
        assert_eq!(results, vec![DkimResult::Pass; count], "{sign:?}");
        let lines = String::from_utf8(signed.to_vec()).unwrap();
        // RFC 5322 section 2.1.1 recommends 78.
        assert!(lines.lines().all(|it| it.len() <= 78), "{lines}");
        // The same mail has the same signature at every try.
        assert_eq!(signed, signer.signed(sign, MAIL.as_bytes()));
    }
}

#[test]
fn what_was_changed_on_the_way_does_not_verify() {
    let house = house();
    let signer = signer(&house);
    let signed = signer.signed(RelaySign::Both, MAIL.as_bytes());
    let signed = String::from_utf8(signed.to_vec()).unwrap();
    let changes = [
        ("jana@example.com", "petr@example.com"),
        ("03:00", "04:00"),
        ("VsO9cGFkZWs", "VsO9cGFkZWt"),
        // Nobody may add a field that a reader would look at.
        ("\r\nTo: ", "\r\nFrom: boss@example.com\r\nTo: "),
        ("\r\nTo: ", "\r\nSubject: other\r\nTo: "),
        ("\r\nTo: ", "\r\nReply-To: thief@example.com\r\nTo: "),
    ];
    for (from, to) in changes {
        let changed = signed.replacen(from, to, 1);
        assert_ne!(changed, signed, "{from}");
        for result in verified(&house.0, changed.as_bytes()) {
            assert_ne!(result, DkimResult::Pass, "{from} became {to}");
        }
    }
    // What may happen on the way: other folds, other spaces.
    let carried = signed
        .replacen("Subject: ", "SUBJECT:   ", 1)
        .replacen("out.\t\r\n", "out.\r\n", 1)
        .replacen("is  out", "is out", 1);
    assert_eq!(
        verified(&house.0, carried.as_bytes()),
        [DkimResult::Pass, DkimResult::Pass]
    );
}

#[test]
fn without_a_key_that_fits_mail_leaves_as_it_is() {
    let (state, keyring) = house();
    let mut only_short = (*state).clone();
    let all = only_short.mail_keys.all.into_iter();
    only_short.mail_keys.all = all
        .filter(|(_, it)| it.algorithm == Algorithm::Ed25519)
        .collect();
    let signer = signer(&(Arc::new(only_short), keyring));
    let signed = signer.signed(RelaySign::Rsa, MAIL.as_bytes());
    assert!(matches!(signed, Cow::Borrowed(_)));
    // Another cluster's keys cannot be opened here.
    let strange = signer_of(&state);
    assert!(matches!(
        strange.signed(RelaySign::Both, MAIL.as_bytes()),
        Cow::Borrowed(_)
    ));
}

fn signer_of(state: &Arc<State>) -> Signer {
    signer(&(state.clone(), Arc::new(Keyring::generate())))
}

#[test]
fn keys_of_other_mail_servers_can_be_brought() {
    for algorithm in Algorithm::ALL {
        let key = PrivateKey::generate(algorithm).unwrap();
        let pem = |tag: &str, der: &[u8]| {
            let text = STANDARD.encode(der);
            let lines: Vec<&str> = canon::pieces(&text, 64).collect();
            format!(
                "-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n",
                lines.join("\n")
            )
        };
        let text = pem("PRIVATE KEY", &key.to_pkcs8().unwrap());
        let brought = PrivateKey::from_pem(&text).unwrap();
        assert_eq!(brought.public().unwrap(), key.public().unwrap());
        for wrong in [
            "",
            "no key",
            &text[..text.len() / 2],
            &pem("CERTIFICATE", b"x"),
        ] {
            assert!(matches!(
                PrivateKey::from_pem(wrong),
                Err(key::KeyError::Unreadable)
            ));
        }
    }
}

/// RFC 6376, appendix A.2: what the body of its example hashes to.
#[test]
fn a_body_hashes_as_in_the_rfc() {
    let body = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
    let wanted = "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=";
    assert_eq!(STANDARD.encode(canon::body_hash(body.as_bytes())), wanted);
    let carried = body.replace("game.  Are", "game. \t Are") + "\r\n \r\n";
    assert_eq!(
        STANDARD.encode(canon::body_hash(carried.as_bytes())),
        wanted
    );
    // RFC 6376 section 3.4.4: an empty body is the hash of nothing.
    let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for none in ["", "\r\n", " \r\n\r\n"] {
        assert_eq!(STANDARD.encode(canon::body_hash(none.as_bytes())), empty);
    }
}

#[test]
fn mail_may_be_signed_for_the_domains_above_its_own() {
    let from = EmailAddress::new("notice@a.help.example.net").unwrap();
    let names: Vec<String> = domains(&from).iter().map(DomainName::to_string).collect();
    assert_eq!(
        names,
        ["a.help.example.net.", "help.example.net.", "example.net."]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever lines a body has, somebody else's verifier agrees on what they hash to. Lines of spaces at the end are left
    /// out, which that verifier's version gets wrong.
    #[test]
    fn any_body_verifies(lines in prop::collection::vec("[ -~\t]{0,40}", 0..12), end in "[!-~]{1,20}") {
        let house = house_once();
        let signer = signer(house);
        let mail = format!("From: a@help.example.net\r\nX-Other:\r\n\tfolded\r\n\r\n{}\r\n{end}\r\n", lines.join("\r\n"));
        let signed = signer.signed(RelaySign::Both, mail.as_bytes());
        prop_assert_eq!(verified(&house.0, &signed), [DkimResult::Pass, DkimResult::Pass]);
    }

    /// Any bytes at all: signed or not, nothing ends the process, and the mail is whole.
    #[test]
    fn any_bytes_stay_whole(mail in prop::collection::vec(any::<u8>(), 0..300)) {
        let signer = signer(house_once());
        let signed = signer.signed(RelaySign::Ed25519, &mail);
        prop_assert!(signed.ends_with(&mail));
    }
}

/// Making an RSA key takes a while.
fn house_once() -> &'static (Arc<State>, Arc<Keyring>) {
    static HOUSE: std::sync::OnceLock<(Arc<State>, Arc<Keyring>)> = std::sync::OnceLock::new();
    HOUSE.get_or_init(house)
}
