//! Signed messages (TSIG, RFC 8945): checks and makes the signature at the end of a message, over the bytes as they
//! travel. Secrets are compared in constant time and never shown; any bytes may come.

#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::{constant_time, hmac};

use super::message::{CLASS_ANY, HEADER};
use super::name;
use super::question::{skip_name, u16_at};
use crate::model::{
    dns::TsigAlgorithm,
    domain::{DomainName, RrType},
    limits::{TSIG_FUDGE_S, TSIG_UNSIGNED_MAX},
};

/// The signature does not fit the message (RFC 8945 section 3).
pub const BADSIG: u16 = 16;
/// The key is not known here, or not with this algorithm.
pub const BADKEY: u16 = 17;
/// The clocks differ by more than the message allows.
pub const BADTIME: u16 = 18;
/// The signature was cut shorter than is taken here.
pub const BADTRUNC: u16 = 22;

/// A key with its secret, ready to sign.
#[derive(Clone)]
pub struct Key {
    name: DomainName,
    algorithm: TsigAlgorithm,
    secret: hmac::Key,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {})", self.name, self.algorithm.name())
    }
}

impl Key {
    /// A key of this name.
    pub fn new(name: DomainName, algorithm: TsigAlgorithm, secret: &[u8]) -> Self {
        let hash = match algorithm {
            TsigAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
            TsigAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
            TsigAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
        };
        Self {
            name,
            algorithm,
            secret: hmac::Key::new(hash, secret),
        }
    }

    /// Its name.
    pub fn name(&self) -> &DomainName {
        &self.name
    }
}

/// The algorithm's name on the wire.
fn algorithm_name(algorithm: TsigAlgorithm) -> Vec<u8> {
    let text = algorithm.name().as_bytes();
    let mut wire = vec![text.len() as u8];
    wire.extend_from_slice(text);
    wire.push(0);
    wire
}

/// A TSIG record as it came (RFC 8945 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'m> {
    /// The key's name in small letters, as it is signed.
    key: Vec<u8>,
    /// The algorithm's name in small letters.
    algorithm: Vec<u8>,
    /// When it was signed, in seconds since 1970.
    time: u64,
    /// By how many seconds clocks may differ.
    fudge: u16,
    mac: &'m [u8],
    original_id: u16,
    /// What the other side found amiss.
    pub error: u16,
    other: &'m [u8],
    /// Where in the message it begins.
    at: usize,
}

impl<'m> Record<'m> {
    /// Reads the record that begins at `at` and must end the message; nothing when it is broken.
    pub fn read(message: &'m [u8], at: usize) -> Option<Self> {
        let (key, fixed) = plain_name(message, at)?;
        let head: &[u8; 10] = message.get(fixed..)?.first_chunk()?;
        let is_sound = head[..2] == RrType::TSIG.0.to_be_bytes()
            && head[2..4] == CLASS_ANY.to_be_bytes()
            && head[4..8] == [0; 4];
        let data = message.get(fixed + 10..)?;
        if !is_sound || data.len() != usize::from(u16::from_be_bytes([head[8], head[9]])) {
            return None;
        }
        let (algorithm, end) = plain_name(data, 0)?;
        let rest = data.get(end..)?;
        let numbers: &[u8; 10] = rest.first_chunk()?;
        let time = numbers[..6]
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let mac_len = usize::from(u16::from_be_bytes([numbers[8], numbers[9]]));
        let mac = rest.get(10..10 + mac_len)?;
        let tail = &rest[10 + mac_len..];
        let other_len = usize::from(u16_at(tail, 4)?);
        let other = tail.get(6..)?;
        (other.len() == other_len).then_some(Self {
            key,
            algorithm,
            time,
            fudge: u16::from_be_bytes([numbers[6], numbers[7]]),
            mac,
            original_id: u16_at(tail, 0)?,
            error: u16_at(tail, 2)?,
            other,
            at,
        })
    }

    /// Finds the record at the end of an answer; nothing when there is none. `Err` when the message is broken.
    fn find(message: &'m [u8]) -> Result<Option<Self>, Wrong> {
        let count = |at| u16_at(message, at).ok_or(Wrong::Broken);
        let questions = count(4)?;
        let records = u32::from(count(6)?) + u32::from(count(8)?) + u32::from(count(10)?);
        let mut at = HEADER;
        for _ in 0..questions {
            at = skip_name(message, at).ok_or(Wrong::Broken)? + 4;
        }
        let mut last = None;
        for _ in 0..records {
            last = Some(at);
            let fixed = skip_name(message, at).ok_or(Wrong::Broken)?;
            let len = u16_at(message, fixed + 8).ok_or(Wrong::Broken)?;
            if u16_at(message, fixed) == Some(RrType::TSIG.0) {
                let record = Self::read(message, at).ok_or(Wrong::Broken)?;
                return Ok(Some(record));
            }
            at = fixed + 10 + usize::from(len);
        }
        match last {
            _ if at > message.len() => Err(Wrong::Broken),
            _ => Ok(None),
        }
    }

    /// The key's name.
    pub fn key(&self) -> DomainName {
        name::owned(&self.key)
    }

    /// Whether the key is of this name and algorithm.
    fn is_by(&self, key: &Key) -> bool {
        self.key == key.name.as_wire() && self.algorithm == algorithm_name(key.algorithm)
    }

    /// Adds the message as it was before it was signed.
    fn digest_message(&self, digest: &mut hmac::Context, message: &[u8]) {
        let additional = u16_at(message, 10).unwrap_or(0).wrapping_sub(1);
        digest.update(&self.original_id.to_be_bytes());
        digest.update(&message[2..10]);
        digest.update(&additional.to_be_bytes());
        digest.update(&message[HEADER..self.at]);
    }

    fn is_in_time(&self, now_s: u64) -> bool {
        self.time.abs_diff(now_s) <= u64::from(self.fudge)
    }
}

/// A name without pointers, in small letters, and where it ends.
fn plain_name(bytes: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let rest = bytes.get(at..)?;
    let len = name::length(rest)?;
    Some((rest[..len].to_ascii_lowercase(), at + len))
}

/// Why a signature is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The message or its signature cannot be read.
    #[error("a message or its signature cannot be read")]
    Broken,
    /// There must be one.
    #[error("a message is not signed that must be")]
    Unsigned,
    /// Another key signed.
    #[error("a message is signed with another key")]
    Key,
    /// It does not fit.
    #[error("a signature does not fit its message")]
    Signature,
    /// The clocks differ too much.
    #[error("a message was signed too long ago or in the future: the clocks differ")]
    Time,
    /// The other side says what it found amiss.
    #[error("the other side does not take our signature: {}", error_name(*.0))]
    Told(u16),
}

/// An error's name in the registry.
fn error_name(error: u16) -> &'static str {
    match error {
        BADSIG => "BADSIG",
        BADKEY => "BADKEY",
        BADTIME => "BADTIME",
        BADTRUNC => "BADTRUNC",
        _ => "an error that is not known here",
    }
}

/// A signed request that is not taken, with what its answer says (RFC 8945 section 5.2): code NOTAUTH and a TSIG record.
#[derive(Clone, Debug)]
pub struct Refused {
    key: Vec<u8>,
    algorithm: Vec<u8>,
    time: u64,
    fudge: u16,
    original_id: u16,
    /// BADSIG, BADKEY, BADTIME or BADTRUNC.
    pub error: u16,
    /// Who signs the answer: only where the signature was right (BADTIME, BADTRUNC).
    signer: Option<Signer>,
}

impl Refused {
    /// Adds the TSIG record to the answer, a whole message without one.
    pub fn sign(mut self, answer: &mut Vec<u8>, now_s: u64) {
        // With BADTIME the client's own time is repeated so that it can check, and ours goes along.
        let other = match self.error {
            BADTIME => now_s.to_be_bytes()[2..].to_vec(),
            _ => Vec::new(),
        };
        let mut stamp = Stamp {
            time: self.time,
            fudge: self.fudge,
            error: self.error,
            other,
        };
        if let Some(signer) = &mut self.signer {
            if self.error != BADTIME {
                stamp.time = now_s;
            }
            return signer.sign_stamped(answer, &stamp);
        }
        put_record(
            answer,
            (&self.key, &self.algorithm),
            &stamp,
            &[],
            self.original_id,
        );
    }
}

/// Checks a signed request and gives what signs its answers. `at` is where its TSIG record begins.
///
/// # Errors
/// `None` when the record cannot be read (FORMERR), else why it is not taken.
pub fn check_request(
    message: &[u8],
    at: usize,
    key_of: impl FnOnce(&DomainName) -> Option<Key>,
    now_s: u64,
) -> Result<Signer, Option<Box<Refused>>> {
    let record = Record::read(message, at).ok_or(None)?;
    let refused = |error, signer| {
        Some(Box::new(Refused {
            key: record.key.clone(),
            algorithm: record.algorithm.clone(),
            time: record.time,
            fudge: record.fudge,
            original_id: record.original_id,
            error,
            signer,
        }))
    };
    let key = key_of(&record.key()).filter(|key| record.is_by(key));
    let key = key.ok_or_else(|| refused(BADKEY, None))?;
    let full = key.algorithm.secret_bytes();
    if record.mac.len() > full || record.mac.len() < full / 2 {
        return Err(None);
    }
    let mut digest = hmac::Context::with_key(&key.secret);
    record.digest_message(&mut digest, message);
    digest_variables(
        &mut digest,
        (&record.key, &record.algorithm),
        &record.stamp(),
    );
    let mac = digest.sign();
    // What was cut is compared as far as it goes, so that the answer can be signed (RFC 8945 section 5.2.2.1).
    let expected = &mac.as_ref()[..record.mac.len()];
    if constant_time::verify_slices_are_equal(expected, record.mac).is_err() {
        return Err(refused(BADSIG, None));
    }
    let signer = Signer {
        key,
        prior: Some(record.mac.to_vec()),
        is_first: true,
    };
    if !record.is_in_time(now_s) {
        return Err(refused(BADTIME, Some(signer)));
    }
    if record.mac.len() < full {
        return Err(refused(BADTRUNC, Some(signer)));
    }
    Ok(signer)
}

/// What of a signature varies besides the message.
#[derive(Clone, Debug)]
struct Stamp {
    time: u64,
    fudge: u16,
    error: u16,
    other: Vec<u8>,
}

impl Record<'_> {
    fn stamp(&self) -> Stamp {
        Stamp {
            time: self.time,
            fudge: self.fudge,
            error: self.error,
            other: self.other.to_vec(),
        }
    }
}

/// RFC 8945 section 4.3.3.
fn digest_variables(digest: &mut hmac::Context, (key, algorithm): (&[u8], &[u8]), stamp: &Stamp) {
    digest.update(key);
    digest.update(&CLASS_ANY.to_be_bytes());
    digest.update(&[0; 4]);
    digest.update(algorithm);
    digest_timers(digest, stamp);
    digest.update(&stamp.error.to_be_bytes());
    digest.update(&(stamp.other.len() as u16).to_be_bytes());
    digest.update(&stamp.other);
}

/// All that is signed besides the messages from the second one on (RFC 8945 section 5.3.1).
fn digest_timers(digest: &mut hmac::Context, stamp: &Stamp) {
    digest.update(&stamp.time.to_be_bytes()[2..]);
    digest.update(&stamp.fudge.to_be_bytes());
}

fn digest_prior(digest: &mut hmac::Context, mac: &[u8]) {
    digest.update(&(mac.len() as u16).to_be_bytes());
    digest.update(mac);
}

/// Puts a TSIG record behind a whole message and counts it.
fn put_record(
    message: &mut Vec<u8>,
    (key, algorithm): (&[u8], &[u8]),
    stamp: &Stamp,
    mac: &[u8],
    original_id: u16,
) {
    message.extend_from_slice(key);
    message.extend(RrType::TSIG.0.to_be_bytes());
    message.extend(CLASS_ANY.to_be_bytes());
    message.extend([0; 4]);
    let len = algorithm.len() + 16 + mac.len() + stamp.other.len();
    message.extend((len as u16).to_be_bytes());
    message.extend_from_slice(algorithm);
    message.extend_from_slice(&stamp.time.to_be_bytes()[2..]);
    message.extend(stamp.fudge.to_be_bytes());
    message.extend((mac.len() as u16).to_be_bytes());
    message.extend_from_slice(mac);
    message.extend(original_id.to_be_bytes());
    message.extend(stamp.error.to_be_bytes());
    message.extend((stamp.other.len() as u16).to_be_bytes());
    message.extend_from_slice(&stamp.other);
    let count = u16_at(message, 10).unwrap_or(0).wrapping_add(1);
    message[10..12].copy_from_slice(&count.to_be_bytes());
}

/// Signs a request, or the messages of an answer one after the other.
#[derive(Clone, Debug)]
pub struct Signer {
    key: Key,
    /// The MAC before this one: the request's, then that of each message.
    prior: Option<Vec<u8>>,
    is_first: bool,
}

impl Signer {
    /// Signs a request.
    pub fn of_request(key: Key) -> Self {
        Self {
            key,
            prior: None,
            is_first: true,
        }
    }

    /// The key's name.
    pub fn key(&self) -> &DomainName {
        &self.key.name
    }

    /// Signs the next message, which has a whole header and no TSIG record yet.
    pub fn sign(&mut self, message: &mut Vec<u8>, now_s: u64) {
        let stamp = Stamp {
            time: now_s,
            fudge: TSIG_FUDGE_S,
            error: 0,
            other: Vec::new(),
        };
        self.sign_stamped(message, &stamp);
    }

    fn sign_stamped(&mut self, message: &mut Vec<u8>, stamp: &Stamp) {
        let algorithm = algorithm_name(self.key.algorithm);
        let names = (self.key.name.as_wire(), &algorithm[..]);
        let mut digest = hmac::Context::with_key(&self.key.secret);
        if let Some(prior) = &self.prior {
            digest_prior(&mut digest, prior);
        }
        digest.update(message);
        if self.is_first {
            digest_variables(&mut digest, names, stamp);
        } else {
            digest_timers(&mut digest, stamp);
        }
        let mac = digest.sign();
        let id = u16_at(message, 0).unwrap_or(0);
        put_record(message, names, stamp, mac.as_ref(), id);
        self.prior = Some(mac.as_ref().to_vec());
        self.is_first = false;
    }

    /// Checks the answers to the request that was signed last.
    pub fn checker(&self) -> Checker {
        let mut checker = Checker {
            key: self.key.clone(),
            digest: hmac::Context::with_key(&self.key.secret),
            is_first: true,
            unsigned: 0,
        };
        digest_prior(
            &mut checker.digest,
            self.prior.as_deref().unwrap_or_default(),
        );
        checker
    }
}

/// Checks the messages of an answer one after the other: the first and the last must be signed, and one of each hundred.
#[derive(Clone)]
pub struct Checker {
    key: Key,
    digest: hmac::Context,
    is_first: bool,
    unsigned: usize,
}

impl Checker {
    /// Takes the next message.
    ///
    /// # Errors
    /// When its signature does not fit, or it must be signed and is not.
    pub fn take(&mut self, message: &[u8], now_s: u64) -> Result<(), Wrong> {
        let Some(record) = Record::find(message)? else {
            self.unsigned += 1;
            if self.is_first || self.unsigned > TSIG_UNSIGNED_MAX {
                return Err(Wrong::Unsigned);
            }
            self.digest.update(message);
            return Ok(());
        };
        if record.mac.is_empty() && record.error != 0 {
            return Err(Wrong::Told(record.error));
        }
        if !record.is_by(&self.key) {
            return Err(Wrong::Key);
        }
        let mut digest = self.digest.clone();
        record.digest_message(&mut digest, message);
        if self.is_first {
            digest_variables(
                &mut digest,
                (&record.key, &record.algorithm),
                &record.stamp(),
            );
        } else {
            digest_timers(&mut digest, &record.stamp());
        }
        constant_time::verify_slices_are_equal(digest.sign().as_ref(), record.mac)
            .map_err(|_| Wrong::Signature)?;
        if record.error != 0 {
            return Err(Wrong::Told(record.error));
        }
        if !record.is_in_time(now_s) {
            return Err(Wrong::Time);
        }
        self.digest = hmac::Context::with_key(&self.key.secret);
        digest_prior(&mut self.digest, record.mac);
        (self.is_first, self.unsigned) = (false, 0);
        Ok(())
    }

    /// Says whether the answer may end here.
    ///
    /// # Errors
    /// When its last message was not signed.
    pub fn finish(&self) -> Result<(), Wrong> {
        if self.is_first || self.unsigned > 0 {
            return Err(Wrong::Unsigned);
        }
        Ok(())
    }
}

/// The message without its TSIG record, which begins at `at`.
pub fn without(message: &[u8], at: usize) -> Vec<u8> {
    let mut plain = message.get(..at).unwrap_or(message).to_vec();
    if let Some(count) = u16_at(&plain, 10) {
        plain[10..12].copy_from_slice(&count.saturating_sub(1).to_be_bytes());
    }
    plain
}
