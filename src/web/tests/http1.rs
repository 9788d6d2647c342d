//! What RFC 9112 asks of a server where a client could make it and a proxy in front of it see different requests
//! (section 11.2): each case is the bytes of one connection and the statuses of the answers that may come back. One
//! answer too many is a request that was smuggled in.

use super::*;

/// The statuses of the answers on one connection, whose bytes were `sent`.
async fn statuses(house: &House, sent: &str) -> Vec<u16> {
    let answers = house.raw(sent).await;
    answers
        .match_indices("HTTP/1.")
        .map(|(at, _)| status(&answers[at..]))
        .collect()
}

/// Each case with every sequence of statuses that the RFC allows.
async fn each(cases: Vec<(&str, String, &[&[u16]])>) {
    // Only a connection that is kept for nothing ends early; the cases are played at once, and that takes its time.
    let patience = Patience {
        handshake: PATIENT,
        head: PATIENT,
        body_grace: PATIENT,
        answer_grace: PATIENT,
        ..hasty()
    };
    let house = House::with(|bounds| bounds.patience = patience).await;
    let house = &house;
    let played = cases.into_iter().map(|(case, sent, allowed)| async move {
        let found = statuses(house, &sent).await;
        let right = allowed.contains(&&found[..]);
        (!right).then(|| format!("{case}: {found:?} instead of {allowed:?}"))
    });
    let wrong = futures_util::future::join_all(played).await;
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(house.counters.panics.get(), 0);
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: {OWN}\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /write HTTP/1.1\r\nhost: {OWN}\r\n{fields}\r\n{body}")
}

/// A request in the body of another: answered only if the body's end was misjudged.
fn inner() -> String {
    format!("GET /write/visitor HTTP/1.1\r\nhost: {OWN}\r\nconnection: close\r\n\r\n")
}

const REFUSED: &[&[u16]] = &[&[400]];
const FINE: &[&[u16]] = &[&[200]];

#[tokio::test]
async fn a_bodys_length_is_never_a_matter_of_opinion() {
    let chunked = "transfer-encoding: chunked\r\n";
    let hidden = inner();
    let both = format!("{chunked}content-length: {}\r\n", 5 + hidden.len());
    let lengths = |one: &str, two: &str| {
        post(
            &format!("content-length: {one}\r\ncontent-length: {two}\r\n"),
            "four!",
        )
    };
    let length = |said: &str| post(&format!("content-length: {said}\r\n"), "four!");
    let coded = |said: &str| post(&format!("transfer-encoding: {said}\r\n"), "0\r\n\r\n");
    each(vec![
        // Section 6.3: an error, or the chunks count and the connection ends with the answer.
        (
            "6.3 both lengths",
            post(&both, &format!("0\r\n\r\n{hidden}")),
            &[&[400], &[200]],
        ),
        ("6.3 two lengths", lengths("4", "5"), REFUSED),
        (
            "6.3 the same length twice",
            lengths("5", "5"),
            &[&[400], &[200]],
        ),
        ("6.3 a list of lengths", length("5, 6"), REFUSED),
        ("6.2 a length with a sign", length("+5"), REFUSED),
        ("6.2 a length below zero", length("-5"), REFUSED),
        ("6.2 a length in hexadecimal", length("0x5"), REFUSED),
        (
            "6.2 a length beyond any number",
            length("99999999999999999999999"),
            &[&[400], &[413]],
        ),
        ("6.2 a length of nothing", length(""), REFUSED),
        (
            "6.1 chunked is not the last coding",
            coded("chunked, identity"),
            REFUSED,
        ),
        (
            "6.1 a coding that nobody knows",
            coded("xchunked"),
            &[&[400], &[501]],
        ),
        (
            "6.1 chunked twice",
            coded("chunked, chunked"),
            &[&[400], &[501]],
        ),
        (
            "6.1 chunked in HTTP/1.0",
            post(chunked, "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"),
            REFUSED,
        ),
        (
            "6.3 a body of a GET is read as one",
            format!(
                "{}{hidden}{}",
                get(&format!("content-length: {}\r\n", hidden.len())),
                get("connection: close\r\n")
            ),
            &[&[200, 200]],
        ),
    ])
    .await;
}

#[tokio::test]
async fn chunks_are_read_strictly() {
    let chunks = |body: &str| post("transfer-encoding: chunked\r\nconnection: close\r\n", body);
    let extension = "x".repeat(40_000);
    let trailers = "x-a: b\r\n".repeat(5_000);
    // Cut off, with or without words: what matters is that nothing after it is answered.
    const CUT: &[&[u16]] = &[&[400], &[], &[431], &[413], &[500]];
    each(vec![
        (
            "7.1 two chunks",
            chunks("2\r\nfo\r\n2;a=b\r\nur\r\n0\r\n\r\n"),
            FINE,
        ),
        ("7.1.2 trailers", chunks("0\r\nx-sum: 1\r\n\r\n"), FINE),
        (
            "7.1 a size that is no number",
            chunks("z\r\nfour\r\n0\r\n\r\n"),
            CUT,
        ),
        (
            "7.1 a size with a sign",
            chunks("+4\r\nfour\r\n0\r\n\r\n"),
            CUT,
        ),
        (
            "7.1 a size beyond any number",
            chunks("fffffffffffffffff\r\nfour\r\n0\r\n\r\n"),
            CUT,
        ),
        (
            "7.1 a chunk longer than it says",
            chunks("2\r\nfour\r\n0\r\n\r\n"),
            CUT,
        ),
        (
            "7.1 a size that ends with LF alone",
            chunks("4\nfour\r\n0\r\n\r\n"),
            CUT,
        ),
        (
            "7.1.1 an extension without end",
            chunks(&format!("4;{extension}\r\nfour\r\n0\r\n\r\n")),
            CUT,
        ),
        (
            "7.1.2 trailers without end",
            chunks(&format!("0\r\n{trailers}\r\n")),
            CUT,
        ),
        (
            "7.1 a thousand small chunks",
            chunks(&format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(1_000))),
            FINE,
        ),
    ])
    .await;
}

#[tokio::test]
async fn heads_are_read_strictly() {
    let line = |line: &str| format!("{line}\r\nhost: {OWN}\r\nconnection: close\r\n\r\n");
    let field = |field: &str| get(&format!("{field}\r\nconnection: close\r\n"));
    each(vec![
        ("2.2 an empty line in front", format!("\r\n{}", field("x: y")), FINE),
        ("2.2 CR alone in a value", field("x-a: b\rc"), REFUSED),
        ("2.2 a zero byte in a value", field("x-a: b\0c"), REFUSED),
        ("2.2 a blank before the first field", format!("GET / HTTP/1.1\r\n host: {OWN}\r\n\r\n"), REFUSED),
        ("5.1 a blank before the colon", field("content-length : 4"), REFUSED),
        ("5.1 a name with a blank", field("x a: b"), REFUSED),
        ("5.1 a field without a colon", field("nothing"), REFUSED),
        ("5.1 a field without a name", field(": nothing"), REFUSED),
        ("5.2 a line that goes on", field("x-a: b\r\n c"), REFUSED),
        ("3.2 no Host", "GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), REFUSED),
        ("3.2 two Hosts", field(&format!("host: {OWN}")), REFUSED),
        ("3.2 a Host with a path", "GET / HTTP/1.1\r\nhost: help.example.net/x\r\nconnection: close\r\n\r\n".to_owned(), REFUSED),
        ("3.2.2 a whole address as target", line(&format!("GET https://{OWN}/ HTTP/1.1")), FINE),
        ("3.2.2 a whole address beats Host", line("GET https://other.example/ HTTP/1.1"), &[&[421], &[400]]),
        ("3 a target with a blank", line("GET /a b HTTP/1.1"), REFUSED),
        ("3 no target", line("GET HTTP/1.1"), REFUSED),
        ("2.3 a version that is none", line("GET / HTTP/9.9"), &[&[400], &[505]]),
        ("2.3 no version", "GET /\r\n\r\n".to_owned(), &[&[400], &[]]),
        ("2.3 HTTP/1.0", line("GET / HTTP/1.0"), FINE),
        ("3.1 a method in small letters", line("get / HTTP/1.1"), &[&[405], &[501]]),
        ("3.1 no method", line(" / HTTP/1.1"), REFUSED),
        ("7.8 an upgrade is passed over", get("connection: upgrade, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"), FINE),
        ("3.3 CONNECT", format!("CONNECT {OWN}:443 HTTP/1.1\r\nhost: {OWN}\r\nconnection: close\r\n\r\n"), &[&[405], &[400]]),
        ("bytes of TLS", "\u{16}\u{3}\u{1}\0\0\r\n\r\n".to_owned(), &[&[400], &[]]),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[&[400], &[505], &[]]),
    ])
    .await;
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_a_row() {
    let house = House::open().await;
    house.publish();
    let row = format!("GET /about HTTP/1.1\r\nhost: {OWN}\r\n\r\n").repeat(500);
    let found = statuses(&house, &format!("{row}{}", inner())).await;
    assert_eq!(found, [200; 501]);
}
