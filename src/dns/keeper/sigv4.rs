//! Amazon's signature of a request, version 4: who asks, what, and when, under a key derived for one day, region and
//! service. Nothing is sent here.

use aws_lc_rs::{digest, hmac};
use time::OffsetDateTime;

use crate::model::words::Timestamp;

/// Who signs, and for what.
pub(super) struct Signer<'k> {
    pub access_key: &'k str,
    pub secret_key: &'k str,
    pub region: &'k str,
    pub service: &'k str,
}

/// What is signed.
pub(super) struct Signed<'r> {
    pub method: &'r str,
    pub host: &'r str,
    /// The path, encoded.
    pub path: &'r str,
    /// The query, encoded, its parts in order.
    pub query: &'r str,
    /// Other headers that are signed, in small letters and in order of their names, none of which comes before `host`
    /// or after `x-amz-date`.
    pub headers: &'r [(&'r str, &'r str)],
    pub body: &'r [u8],
}

/// The headers `x-amz-date` and `authorization`.
pub(super) fn sign(signer: &Signer<'_>, request: &Signed<'_>, now: Timestamp) -> (String, String) {
    let (day, moment) = stamps(now);
    let mut headers = Vec::new();
    headers.extend(request.headers.iter().filter(|it| it.0 < "host").copied());
    headers.push(("host", request.host));
    headers.extend(request.headers.iter().filter(|it| it.0 > "host").copied());
    headers.push(("x-amz-date", moment.as_str()));
    let names: Vec<&str> = headers.iter().map(|it| it.0).collect();
    let names = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{}\n", value.trim()))
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{}",
        request.method,
        request.path,
        request.query,
        hex(digest::digest(&digest::SHA256, request.body).as_ref())
    );
    let scope = format!("{day}/{}/{}/aws4_request", signer.region, signer.service);
    let text = format!(
        "AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}",
        hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
    );
    let mut key = format!("AWS4{}", signer.secret_key).into_bytes();
    for part in [&day, signer.region, signer.service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    let signature = hex(&mac(&key, text.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        signer.access_key
    );
    (moment, authorization)
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, data).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// The day, and the moment, in UTC.
fn stamps(now: Timestamp) -> (String, String) {
    let seconds = i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let day = format!("{:04}{:02}{:02}", at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    let moment = format!("{day}T{hour:02}{minute:02}{second:02}Z");
    (day, moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_signed_as_amazons_own_example() {
        // The example of their documentation, whose secret is the one that it prints.
        let signer = Signer {
            access_key: "AKIDEXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
            service: "iam",
        };
        let request = Signed {
            method: "GET",
            host: "iam.amazonaws.com",
            path: "/",
            query: "Action=ListUsers&Version=2010-05-08",
            headers: &[(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )],
            body: b"",
        };
        let (moment, authorization) = sign(&signer, &request, Timestamp(1_440_938_160_000));
        assert_eq!(moment, "20150830T123600Z");
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }
}
