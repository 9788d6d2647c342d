//! DNS over HTTPS (RFC 8484) as a pure exchange: the web door has the connections, their limits and their certificates;
//! here a message goes in and an answer comes out. DNS over TLS is in `tcp`, as it differs by a handshake only;
//! DNS over QUIC is in `quic`.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

use super::answers::{Answers, Transport};
use super::counters::Tally;
use super::question::{HEAD_BYTES, skip_name, u16_at};
use super::respond::{self, Deed, Moment, Sent, respond};
use crate::clock;
use crate::model::domain::RrType;
use crate::model::limits::MESSAGE_BYTES_MAX;

/// The media type of requests and answers.
pub const MEDIA_TYPE: &str = "application/dns-message";
/// The path that clients are told (RFC 8484 section 4.1 leaves it open; this is what all use).
pub const PATH: &str = "/dns-query";

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoAnswer {
    /// The parameter is not base64url without padding.
    #[error("the parameter dns is not base64url without padding (RFC 8484 section 6)")]
    NotBase64,
    /// It is no query.
    #[error("the message is not a DNS query")]
    NoQuery,
}

/// An answer, and for how long a cache may keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverHttps {
    /// The message.
    pub message: Vec<u8>,
    /// Seconds for `Cache-Control: max-age`: the shortest lifetime in it (RFC 8484 section 5.1).
    pub max_age_s: u32,
}

/// Answers queries that come over HTTPS.
pub struct Exchange {
    answers: Arc<Answers>,
    tally: Arc<Tally>,
}

impl Exchange {
    /// Answers from what `answers` holds.
    pub fn new(answers: Arc<Answers>) -> Exchange {
        let tally = answers.counters.tally();
        Exchange { answers, tally }
    }

    /// Answers the body of a POST.
    ///
    /// # Errors
    /// When it is not a query.
    pub fn post(&self, message: &[u8], from: IpAddr) -> Result<OverHttps, NoAnswer> {
        self.tally.queries_https.add();
        let way_in = Transport::Https;
        let (message, sent) =
            exchange(&self.answers, &self.tally, message, from, way_in).ok_or(NoAnswer::NoQuery)?;
        Ok(OverHttps {
            max_age_s: shortest_lifetime(&message, sent.question_end),
            message,
        })
    }

    /// Answers a GET by the value of its parameter `dns`.
    ///
    /// # Errors
    /// When it is not a query in base64url.
    pub fn get(&self, dns: &str, from: IpAddr) -> Result<OverHttps, NoAnswer> {
        let message = URL_SAFE_NO_PAD
            .decode(dns)
            .map_err(|_| NoAnswer::NotBase64)?;
        self.post(&message, from)
    }
}

/// One message in, its answer out; nothing for what is no query.
pub(super) fn exchange(
    answers: &Answers,
    tally: &Tally,
    message: &[u8],
    from: IpAddr,
    transport: Transport,
) -> Option<(Vec<u8>, Sent)> {
    let (tables, secrets) = (answers.tables.load(), answers.secrets.load());
    let moment = Moment {
        tables: &tables,
        secrets: &secrets,
        settings: &answers.settings,
        now_s: (clock::now().0 / 1_000) as u32,
    };
    let mut out = vec![0; MESSAGE_BYTES_MAX];
    let mut key = tables.name_key();
    let sent = match respond(&moment, message, from, transport, &mut key, &mut out) {
        Deed::Silence => {
            tally.noise.add();
            return None;
        }
        // Transfers and updates have no place here; what is said then is that they are refused.
        Deed::Send(sent) | Deed::HandOn(sent) => sent,
    };
    respond::count(tally, &out, &sent, false);
    out.truncate(sent.len);
    out.shrink_to_fit();
    Some((out, sent))
}

/// The shortest lifetime of all records but OPT; 0 where there is none.
fn shortest_lifetime(message: &[u8], question_end: usize) -> u32 {
    let count = |at| usize::from(u16_at(message, at).unwrap_or(0));
    let mut at = question_end;
    let mut shortest: Option<u32> = None;
    for _ in 0..count(6) + count(8) + count(10) {
        let Some(fixed) = skip_name(message, at) else {
            break;
        };
        let (Some(rtype), Some(high), Some(low), Some(len)) = (
            u16_at(message, fixed),
            u16_at(message, fixed + 4),
            u16_at(message, fixed + 6),
            u16_at(message, fixed + 8),
        ) else {
            break;
        };
        let ttl = u32::from(high) << 16 | u32::from(low);
        if rtype != RrType::OPT.0 {
            shortest = Some(shortest.map_or(ttl, |it| it.min(ttl)));
        }
        at = fixed + 10 + usize::from(len);
    }
    debug_assert!(question_end >= HEAD_BYTES);
    shortest.unwrap_or(0)
}
