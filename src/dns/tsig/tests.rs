//! Tests of signed messages: each bit counts, errors are told as RFC 8945 wants, chains may have gaps of so many.

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_795_000_000;

fn key(secret: &[u8]) -> Key {
    let name = "transfer.example.test".parse().unwrap();
    Key::new(name, TsigAlgorithm::HmacSha256, secret)
}

fn request() -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(b"\x07example\x04test\x00\x00\xfc\x00\x01");
    message
}

fn answer() -> Vec<u8> {
    let mut message = request();
    message[2] = 0x84;
    message
}

/// A signed request and who signed it.
fn signed() -> (Vec<u8>, Signer) {
    let mut message = request();
    let mut signer = Signer::of_request(key(b"secret"));
    signer.sign(&mut message, NOW);
    (message, signer)
}

fn check(message: &[u8], now_s: u64, known: Key) -> Result<Signer, Option<Box<Refused>>> {
    let at = request().len();
    check_request(
        message,
        at,
        |name| Some(known).filter(|it| it.name() == name),
        now_s,
    )
}

fn error_of(checked: Result<Signer, Option<Box<Refused>>>) -> u16 {
    checked.unwrap_err().unwrap().error
}

#[test]
fn a_signed_request_gets_signed_answers() {
    for algorithm in TsigAlgorithm::ALL {
        let key = Key::new("k".parse().unwrap(), algorithm, b"secret");
        let mut message = request();
        let mut asking = Signer::of_request(key.clone());
        asking.sign(&mut message, NOW);
        let mut answering = check(&message, NOW + 300, key).unwrap();
        let mut checker = asking.checker();
        assert_eq!(checker.finish(), Err(Wrong::Unsigned));
        for _ in 0..3 {
            let mut answer = answer();
            answering.sign(&mut answer, NOW);
            assert_eq!(checker.take(&answer, NOW), Ok(()));
        }
        assert_eq!(checker.finish(), Ok(()));
        assert_eq!(without(&message, request().len()), request());
    }
}

#[test]
fn a_wrong_key_secret_or_clock_is_told_apart() {
    let (message, asking) = signed();
    assert_eq!(error_of(check(&message, NOW, key(b"other"))), BADSIG);
    let other = Key::new(
        "other".parse().unwrap(),
        TsigAlgorithm::HmacSha256,
        b"secret",
    );
    assert_eq!(error_of(check(&message, NOW, other)), BADKEY);
    let stronger = Key::new(
        key(b"").name().clone(),
        TsigAlgorithm::HmacSha512,
        b"secret",
    );
    assert_eq!(error_of(check(&message, NOW, stronger)), BADKEY);
    let late = check(&message, NOW + 301, key(b"secret"))
        .unwrap_err()
        .unwrap();
    assert_eq!(late.error, BADTIME);
    // Its answer is signed, so that the client knows who says that its clock is wrong, and tells our time.
    let mut told = answer();
    late.sign(&mut told, NOW + 301);
    let record = Record::read(&told, answer().len()).unwrap();
    assert_eq!((record.time, record.other.len()), (NOW, 6));
    assert_eq!(asking.checker().take(&told, NOW), Err(Wrong::Told(BADTIME)));

    let unknown = check(&message, NOW, key(b"other")).unwrap_err().unwrap();
    let mut told = answer();
    unknown.sign(&mut told, NOW);
    assert_eq!(asking.checker().take(&told, NOW), Err(Wrong::Told(BADSIG)));
}

#[test]
fn a_cut_signature_is_known_and_not_taken() {
    let (message, _) = signed();
    let record = Record::read(&message, request().len()).unwrap();
    let (stamp, mac) = (record.stamp(), record.mac[..16].to_vec());
    let mut cut = request();
    put_record(
        &mut cut,
        (&record.key, &record.algorithm),
        &stamp,
        &mac,
        0x1234,
    );
    assert_eq!(error_of(check(&cut, NOW, key(b"secret"))), BADTRUNC);
    let mut cut = request();
    put_record(
        &mut cut,
        (&record.key, &record.algorithm),
        &stamp,
        &mac[..15],
        0x1234,
    );
    assert!(check(&cut, NOW, key(b"secret")).unwrap_err().is_none());
}

/// Signs every so many-th message of a chain only, as some servers do.
fn chain(asking: &Signer, gap: usize, length: usize) -> Vec<Vec<u8>> {
    let key = key(b"secret");
    let mut digest = hmac::Context::with_key(&key.secret);
    digest_prior(&mut digest, asking.prior.as_deref().unwrap());
    let algorithm = algorithm_name(key.algorithm);
    let stamp = Stamp {
        time: NOW,
        fudge: 300,
        error: 0,
        other: Vec::new(),
    };
    let mut messages = Vec::new();
    for place in 0..length {
        let mut message = answer();
        digest.update(&message);
        if place % (gap + 1) == 0 {
            let names = (key.name.as_wire(), &algorithm[..]);
            match place {
                0 => digest_variables(&mut digest, names, &stamp),
                _ => digest_timers(&mut digest, &stamp),
            }
            let mac = digest.sign();
            put_record(&mut message, names, &stamp, mac.as_ref(), 0x1234);
            digest = hmac::Context::with_key(&key.secret);
            digest_prior(&mut digest, mac.as_ref());
        }
        messages.push(message);
    }
    messages
}

#[test]
fn ninety_nine_messages_may_come_unsigned_between_two_that_are() {
    let (_, asking) = signed();
    let run = |gap, length| {
        let mut checker = asking.checker();
        for message in chain(&asking, gap, length) {
            checker.take(&message, NOW)?;
        }
        checker.finish()
    };
    assert_eq!(run(0, 5), Ok(()));
    assert_eq!(run(99, 301), Ok(()));
    assert_eq!(run(99, 300), Err(Wrong::Unsigned), "the last is not signed");
    assert_eq!(run(100, 202), Err(Wrong::Unsigned));
}

#[test]
fn a_message_left_out_of_a_chain_or_put_in_twice_is_noticed() {
    let (_, asking) = signed();
    for order in [vec![0, 2], vec![0, 1, 1], vec![1], vec![0, 2, 1]] {
        let messages = chain(&asking, 0, 3);
        let mut checker = asking.checker();
        let taken = order
            .iter()
            .try_for_each(|at| checker.take(&messages[*at], NOW));
        assert_eq!(taken, Err(Wrong::Signature), "{order:?}");
    }
}

proptest! {
    #[test]
    fn a_request_of_which_one_bit_changed_is_not_taken(at in 0_usize..76, bit in 0_u8..8) {
        let (mut message, _) = signed();
        // The names of key and algorithm may come in any case.
        let is_case = at >= request().len() && bit == 5 && message[at].is_ascii_alphabetic();
        message[at] ^= 1 << bit;
        // The id may change on the way (RFC 8945 section 4.2): the original one is signed.
        let checked = check(&message, NOW, key(b"secret"));
        prop_assert_eq!(checked.is_ok(), at < 2 || is_case, "byte {}", at);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..220) {
        let _ = check_request(&bytes, at, |_| Some(key(b"secret")), NOW);
        let (_, asking) = signed();
        let _ = asking.checker().take(&bytes, NOW);
        let _ = without(&bytes, at);
        let mut message = answer();
        message.extend(&bytes);
        let _ = check_request(&message, answer().len(), |_| Some(key(b"secret")), NOW);
        message[11] = 1;
        let _ = asking.checker().take(&message, NOW);
    }
}
