//! What RFC 9113 asks of a server, frame by frame: each case is an opened connection, the bytes of a client that breaks
//! one rule, and how the server must take it. An error of a stream may also end the connection (section 5.4.2).

use super::limits::{PREFACE, frame};
use super::*;

const NO_ERROR: u32 = 0;
const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const CLOSED: u32 = 5;
const SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// The flags of a request without a body.
const WHOLE: u8 = END_STREAM | END_HEADERS;

/// How the server must take it.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// The connection goes on as if nothing had happened.
    Fine,
    /// The connection ends with one of these codes, or with the general one: what matters is that it ends.
    Goaway(&'static [u32]),
    /// The stream ends with one of these codes, or the whole connection with one of them or the general one.
    Reset(&'static [u32]),
    /// The request is malformed (section 8.1.1): the stream is reset, or it is told with 400.
    Malformed,
}

/// What came back: kind, stream, and for GOAWAY and RST_STREAM the code.
#[derive(Debug, Default)]
struct Said {
    goaway: Option<u32>,
    resets: Vec<(u32, u32)>,
    /// The first byte of each stream's head, where HPACK has the statuses 200 to 500 at 0x88 to 0x8e.
    heads: Vec<(u32, u8)>,
    pongs: usize,
    ended: bool,
}

/// Plays one case. Two pings tell that everything before them was taken: the second is sent when the first was answered.
async fn say(house: &House, bytes: &[u8]) -> Said {
    let mut stream = house.tls("h2").await;
    let ping = frame(PING, 0, 0, b"whole?!!");
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[]), bytes, &ping].concat();
    let mut said = Said::default();
    // A server that has ended already may not take all of it.
    let _ = stream.write_all(&opening).await;
    let _ = stream.flush().await;
    let mut held = Vec::new();
    let read = async {
        let mut part = [0; 16 * 1024];
        loop {
            while held.len() >= 9 && held.len() >= 9 + length(&held) {
                let rest = held.split_off(9 + length(&held));
                said.hear(&std::mem::replace(&mut held, rest));
            }
            if said.pongs == 2 || said.ended {
                return;
            }
            if said.pongs == 1 {
                let _ = stream.write_all(&ping).await;
                let _ = stream.flush().await;
            }
            match stream.read(&mut part).await {
                Ok(count @ 1..) => held.extend_from_slice(&part[..count]),
                _ => said.ended = true,
            }
        }
    };
    tokio::time::timeout(PATIENT, read)
        .await
        .expect("the server answers or ends");
    said
}

fn length(held: &[u8]) -> usize {
    u32::from_be_bytes([0, held[0], held[1], held[2]]) as usize
}

impl Said {
    fn hear(&mut self, frame: &[u8]) {
        let (kind, flags, payload) = (frame[3], frame[4], &frame[9..]);
        let stream = u32::from_be_bytes(frame[5..9].try_into().unwrap());
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match kind {
            GOAWAY => self.goaway = self.goaway.or(Some(code(4))),
            RST_STREAM => self.resets.push((stream, code(0))),
            HEADERS => self.heads.push((stream, payload[0])),
            PING if flags & ACK != 0 && payload == b"whole?!!" => self.pongs += 1,
            _ => {}
        }
    }

    fn is(&self, want: Want) -> bool {
        let errors = self.goaway.filter(|code| *code != NO_ERROR);
        let reset = |codes: &[u32]| self.resets.iter().any(|(_, code)| codes.contains(code));
        let ends = |codes: &[u32]| errors.is_some_and(|it| it == PROTOCOL || codes.contains(&it));
        match want {
            Want::Fine => self.pongs == 2 && errors.is_none() && self.resets.is_empty(),
            Want::Goaway(codes) => ends(codes),
            Want::Reset(codes) => reset(codes) || ends(codes),
            // 0x8c is `:status 400` of the static table.
            Want::Malformed => {
                reset(&[PROTOCOL])
                    || errors == Some(PROTOCOL)
                    || self.heads.iter().any(|(_, first)| *first == 0x8c)
            }
        }
    }
}

async fn each(cases: Vec<(&str, Vec<u8>, Want)>) {
    let house = House::open().await;
    let mut wrong = Vec::new();
    for (case, bytes, want) in cases {
        let said = say(&house, &bytes).await;
        if !said.is(want) {
            wrong.push(format!("{case}: wanted {want:?}, {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(house.counters.panics.get(), 0);
    assert_eq!(body(&house.h1("GET", OWN, "/", "").await), "default");
}

/// The block of a request: `:method`, `:scheme https`, `:path`, `:authority`, then more fields.
fn head(method: u8, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![method, 0x87, 0x04, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(&[0x41, OWN.len() as u8]);
    block.extend_from_slice(OWN.as_bytes());
    block.extend(fields(more));
    block
}

/// Fields as literals that are not indexed.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.extend_from_slice(&[0, name.len() as u8]);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &head(GET, "/", &[]))
}

/// The head of a request whose body follows.
fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(POST, "/write", more))
}

/// A request that does not end before the connection does.
fn slow(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &head(GET, "/write/slow", &[]))
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
async fn frames_are_read_as_section_4_says() {
    let large = vec![0; 16_385];
    let setting = |id: u8, value: u32| [&[0, id][..], &value.to_be_bytes()].concat();
    each(vec![
        (
            "4.1 an unknown kind is passed over",
            frame(0x16, 0, 0, &[0; 8]),
            Want::Fine,
        ),
        (
            "4.1 unknown flags are passed over",
            frame(PING, 0x16, 0, &[0; 8]),
            Want::Fine,
        ),
        (
            "4.1 the reserved bit is passed over",
            frame(PING, 0, 1 << 31, &[0; 8]),
            Want::Fine,
        ),
        (
            "4.2 DATA larger than announced",
            [post(1, &[]), frame(DATA, 1, 1, &large)].concat(),
            Want::Reset(&[SIZE]),
        ),
        (
            "4.2 HEADERS larger than announced",
            frame(HEADERS, WHOLE, 1, &large),
            Want::Goaway(&[SIZE]),
        ),
        (
            "4.3 a block that is no HPACK",
            frame(HEADERS, WHOLE, 1, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Want::Goaway(&[COMPRESSION]),
        ),
        (
            "4.3 a block cut by PRIORITY",
            [
                frame(HEADERS, END_STREAM, 1, &head(GET, "/", &[])),
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]),
            ]
            .concat(),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "4.3 a block cut by another stream",
            [frame(HEADERS, END_STREAM, 1, &head(GET, "/", &[])), get(3)].concat(),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "5.5 a block cut by an unknown kind",
            [
                frame(HEADERS, END_STREAM, 1, &head(GET, "/", &[])),
                frame(0x16, 0, 0, &[]),
            ]
            .concat(),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.5 SETTINGS on a stream",
            frame(SETTINGS, 0, 1, &[]),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.5 SETTINGS of five bytes",
            frame(SETTINGS, 0, 0, &[0; 5]),
            Want::Goaway(&[SIZE]),
        ),
        (
            "6.5 an acknowledgement that says something",
            frame(SETTINGS, ACK, 0, &[0; 6]),
            Want::Goaway(&[SIZE]),
        ),
        (
            "6.5.2 ENABLE_PUSH of 2",
            frame(SETTINGS, 0, 0, &setting(2, 2)),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.5.2 a window beyond 2^31",
            frame(SETTINGS, 0, 0, &setting(4, 1 << 31)),
            Want::Goaway(&[FLOW_CONTROL]),
        ),
        (
            "6.5.2 frames smaller than allowed",
            frame(SETTINGS, 0, 0, &setting(5, 16_383)),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.5.2 frames larger than allowed",
            frame(SETTINGS, 0, 0, &setting(5, 1 << 24)),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.5.2 an unknown setting is passed over",
            frame(SETTINGS, 0, 0, &setting(0x99, 1)),
            Want::Fine,
        ),
        (
            "6.7 PING on a stream",
            frame(PING, 0, 1, &[0; 8]),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.7 PING of six bytes",
            frame(PING, 0, 0, &[0; 6]),
            Want::Goaway(&[SIZE]),
        ),
        (
            "6.8 GOAWAY on a stream",
            frame(GOAWAY, 0, 1, &[0; 8]),
            Want::Goaway(&[PROTOCOL]),
        ),
    ])
    .await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
async fn streams_live_and_end_as_section_5_says() {
    let many: Vec<u8> = (0..101).flat_map(|n| slow(2 * n + 1)).collect();
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    each(vec![
        (
            "5.1 DATA on an idle stream",
            frame(DATA, 1, 1, b"x"),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "5.1 RST_STREAM on an idle stream",
            reset.clone(),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "5.1 WINDOW_UPDATE on an idle stream",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "5.1 CONTINUATION on an idle stream",
            frame(CONTINUATION, END_HEADERS, 1, &[]),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "5.1 DATA after the end",
            [slow(1), frame(DATA, 1, 1, b"x")].concat(),
            Want::Reset(&[CLOSED]),
        ),
        (
            "5.1 HEADERS after the end",
            [slow(1), get(1)].concat(),
            Want::Reset(&[CLOSED, PROTOCOL]),
        ),
        (
            "5.1 HEADERS after a reset",
            [slow(1), reset, get(1)].concat(),
            Want::Reset(&[CLOSED, PROTOCOL]),
        ),
        ("5.1.1 an even number", get(2), Want::Goaway(&[PROTOCOL])),
        (
            "5.1.1 a number that was passed over",
            [get(5), get(3)].concat(),
            Want::Reset(&[PROTOCOL, CLOSED]),
        ),
        (
            "5.1.2 more streams than announced",
            many,
            Want::Reset(&[REFUSED, PROTOCOL]),
        ),
        (
            "6.1 DATA on stream 0",
            frame(DATA, 1, 0, b"x"),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.1 DATA that is all padding and more",
            [post(1, &[]), frame(DATA, PADDED | 1, 1, &[9, 1])].concat(),
            Want::Goaway(&[PROTOCOL]),
        ),
        ("6.2 HEADERS on stream 0", get(0), Want::Goaway(&[PROTOCOL])),
        (
            "6.2 HEADERS that are all padding and more",
            frame(HEADERS, WHOLE | PADDED, 1, &[9, 0x82]),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.3 PRIORITY on stream 0",
            frame(PRIORITY, 0, 0, &[0; 5]),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.3 PRIORITY of four bytes",
            [slow(1), frame(PRIORITY, 0, 1, &[0; 4])].concat(),
            Want::Reset(&[SIZE]),
        ),
        (
            "6.4 RST_STREAM on stream 0",
            frame(RST_STREAM, 0, 0, &[0; 4]),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.4 RST_STREAM of three bytes",
            [slow(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            Want::Goaway(&[SIZE]),
        ),
        (
            "6.6 PUSH_PROMISE from a client",
            [slow(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])].concat(),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.9 a window made larger by nothing",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.9 a stream's window made larger by nothing",
            [slow(1), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
            Want::Reset(&[PROTOCOL]),
        ),
        (
            "6.9 WINDOW_UPDATE of three bytes",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            Want::Goaway(&[SIZE]),
        ),
        (
            "6.9.1 a window beyond 2^31",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            Want::Goaway(&[FLOW_CONTROL]),
        ),
        (
            "6.9.1 a stream's window beyond 2^31",
            [
                slow(1),
                frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
            ]
            .concat(),
            Want::Reset(&[FLOW_CONTROL]),
        ),
        (
            "6.10 CONTINUATION on stream 0",
            [
                frame(HEADERS, END_STREAM, 1, &head(GET, "/", &[])),
                frame(CONTINUATION, END_HEADERS, 0, &[]),
            ]
            .concat(),
            Want::Goaway(&[PROTOCOL]),
        ),
        (
            "6.10 CONTINUATION after the block",
            [slow(1), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
            Want::Goaway(&[PROTOCOL, CLOSED]),
        ),
    ])
    .await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
async fn requests_are_read_as_section_8_says() {
    let asks = |more: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &head(GET, "/", more));
    let bare = |block: &[u8]| frame(HEADERS, WHOLE, 1, block);
    let authority = [&[0x41, OWN.len() as u8][..], OWN.as_bytes()].concat();
    let without = |parts: &[u8]| bare(&[parts, &authority[..]].concat());
    let body = |length: &str, data: &[u8]| {
        [
            post(1, &[("content-length", length)]),
            frame(DATA, END_STREAM, 1, data),
        ]
        .concat()
    };
    let trailers = |flags: u8, more: &[(&str, &str)]| {
        [
            post(1, &[]),
            frame(DATA, 0, 1, b"x"),
            frame(HEADERS, flags, 1, &fields(more)),
        ]
        .concat()
    };
    each(vec![
        ("8.1 a request", get(1), Want::Fine),
        (
            "8.1 a body and trailers",
            trailers(WHOLE, &[("x-sum", "1")]),
            Want::Fine,
        ),
        (
            "8.1 a second head in the middle",
            trailers(END_HEADERS, &[("x-sum", "1")]),
            Want::Malformed,
        ),
        (
            "8.1 trailers with a pseudo-field, which is dropped",
            trailers(WHOLE, &[(":path", "/")]),
            Want::Fine,
        ),
        (
            "8.1.1 a body shorter than it says",
            body("9", b"four"),
            Want::Malformed,
        ),
        (
            "8.1.1 a body longer than it says",
            body("1", b"four"),
            Want::Malformed,
        ),
        (
            "8.2.1 capitals in a name",
            asks(&[("X-A", "1")]),
            Want::Malformed,
        ),
        (
            "8.2.1 a line end in a value",
            asks(&[("x-a", "1\r\nx: y")]),
            Want::Malformed,
        ),
        (
            "8.2.1 a zero byte in a value",
            asks(&[("x-a", "1\0")]),
            Want::Malformed,
        ),
        (
            "8.2.2 connection",
            asks(&[("connection", "keep-alive")]),
            Want::Malformed,
        ),
        (
            "8.2.2 transfer-encoding",
            asks(&[("transfer-encoding", "chunked")]),
            Want::Malformed,
        ),
        (
            "8.2.2 te other than trailers",
            asks(&[("te", "gzip")]),
            Want::Malformed,
        ),
        (
            "8.2.2 te: trailers",
            asks(&[("te", "trailers")]),
            Want::Fine,
        ),
        (
            "8.3 an unknown pseudo-field",
            asks(&[(":who", "me")]),
            Want::Malformed,
        ),
        (
            "8.3 a pseudo-field of answers",
            asks(&[(":status", "200")]),
            Want::Malformed,
        ),
        (
            "8.3 a pseudo-field after the others",
            asks(&[("x-a", "1"), (":path", "/x")]),
            Want::Malformed,
        ),
        ("8.3.1 no :method", without(&[0x87, 0x84]), Want::Malformed),
        ("8.3.1 no :scheme", without(&[0x82, 0x84]), Want::Malformed),
        ("8.3.1 no :path", without(&[0x82, 0x87]), Want::Malformed),
        (
            "8.3.1 two :path",
            without(&[0x82, 0x87, 0x84, 0x84]),
            Want::Malformed,
        ),
        (
            "8.3.1 an empty :path",
            without(&[0x82, 0x87, 0x04, 0]),
            Want::Malformed,
        ),
        (
            "8.3.1 no name of a host",
            bare(&[0x82, 0x87, 0x84]),
            Want::Malformed,
        ),
        (
            "8.3.1 two names of a host",
            asks(&[("host", "other.example")]),
            Want::Malformed,
        ),
        (
            "8.5 CONNECT with :path",
            bare(&[&[0x02, 7][..], b"CONNECT", &[0x87, 0x84], &authority].concat()),
            Want::Malformed,
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_preface_ends_the_connection() {
    let house = House::open().await;
    let mut stream = house.tls("h2").await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n....")
        .await
        .unwrap();
    answer_of(&mut stream).await;
    house.until(|counters| &counters.open, 0).await;
}

#[tokio::test]
async fn heads_in_many_pieces_are_bounded() {
    let house = House::open().await;
    let piece = fields(&[("x-filling", &"a".repeat(100))]).repeat(100);
    let mut flood = frame(HEADERS, END_STREAM, 1, &head(GET, "/", &[]));
    for _ in 0..2_000 {
        flood.extend(frame(CONTINUATION, 0, 1, &piece));
    }
    let said = say(&house, &flood).await;
    assert!(said.ended || said.goaway.is_some(), "{said:?}");
    house.until(|counters| &counters.open, 0).await;
}
