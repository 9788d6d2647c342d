//! Clients that are slow, silent, greedy or hostile: each is cut off, and others are served meanwhile.

use super::*;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

async fn hasty_house() -> House {
    House::with(|bounds| bounds.patience = hasty()).await
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_the_time_for_the_handshake() {
    let house = hasty_house().await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(house.https).await.unwrap());
    }
    assert_eq!(body(&house.h1("GET", OWN, "/", "").await), "default");
    for stream in &mut silent {
        assert_eq!(answer_of(stream).await, "");
    }
    assert_eq!(house.counters.handshakes_slow.get(), 20);
    house.until(|counters| &counters.open, 0).await;
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let house = hasty_house().await;
    let mut stream = house.tls("http/1.1").await;
    let begun = tokio::time::Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let drip = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while writing.write_all(b"x-a: b\r\n").await.is_ok() {
            tick.tick().await;
        }
    });
    assert_eq!(answer_of(&mut reading).await, "");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(house.counters.slow_heads.get(), 1);
    drip.abort();
}

#[tokio::test]
async fn a_connection_that_never_asks_is_cut_off_on_both_protocols_and_ports() {
    let house = hasty_house().await;
    let mut plain = TcpStream::connect(house.http).await.unwrap();
    let mut h1 = house.tls("http/1.1").await;
    let mut h2 = house.tls("h2").await;
    h2.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat())
        .await
        .unwrap();
    assert_eq!(answer_of(&mut plain).await, "");
    assert_eq!(answer_of(&mut h1).await, "");
    answer_of(&mut h2).await;
    assert_eq!(house.counters.slow_heads.get(), 3);
}

#[tokio::test]
async fn a_connection_that_rested_goes_on_where_it_was() {
    let house = hasty_house().await;
    let mut stream = house.tls("http/1.1").await;
    let request = format!("GET / HTTP/1.1\r\nhost: {OWN}\r\n\r\n");
    for rests in 1..=2 {
        stream.write_all(request.as_bytes()).await.unwrap();
        house.until(|counters| &counters.rested, rests).await;
    }
    // The beginning of the next request comes with this one and must outlast the rest.
    let begun = format!("{request}GET / HTTP/1.1\r\nho");
    stream.write_all(begun.as_bytes()).await.unwrap();
    house.until(|counters| &counters.rested, 3).await;
    let rest = format!("st: {OWN}\r\nconnection: close\r\n\r\n");
    stream.write_all(rest.as_bytes()).await.unwrap();
    let answers = answer_of(&mut stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 4, "{answers}");
}

#[tokio::test]
async fn a_kept_connection_is_closed_when_it_carries_nothing() {
    let house = hasty_house().await;
    let mut stream = house.tls("http/1.1").await;
    stream
        .write_all(format!("GET / HTTP/1.1\r\nhost: {OWN}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    assert_eq!(body(&answer_of(&mut stream).await), "default");
    let mut client = house.h2().await;
    client.send_request(request("GET", OWN, "/")).await.unwrap();
    house.until(|counters| &counters.idle, 2).await;
    house.until(|counters| &counters.open, 0).await;
}

#[tokio::test]
async fn a_body_that_drips_is_answered_with_408() {
    let house = hasty_house().await;
    let mut stream = house.tls("http/1.1").await;
    let head = format!("POST /write HTTP/1.1\r\nhost: {OWN}\r\ncontent-length: 500\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let drip = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while writing.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    });
    assert_eq!(status(&answer_of(&mut reading).await), 408);
    assert_eq!(house.counters.slow_bodies.get(), 1);
    drip.abort();
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_with_413_however_it_comes() {
    let house = House::open().await;
    let declared = house
        .h1("POST", OWN, "/write", "content-length: 10001\r\n")
        .await;
    assert_eq!(status(&declared), 413);
    let chunk = format!("2710\r\n{}\r\n", "x".repeat(10_000));
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{chunk}1\r\nx\r\n0\r\n");
    assert_eq!(
        status(&house.h1("POST", OWN, "/write", &chunked).await),
        413
    );
    let mut client = house.h2().await;
    let mut large = request("POST", OWN, "/write");
    *large.body_mut() = Full::from(vec![b'x'; 10_001]);
    assert_eq!(client.send_request(large).await.unwrap().status(), 413);
    assert_eq!(house.counters.large_bodies.get(), 3);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let house = House::open().await;
    let large = format!("x-a: {}\r\n", "a".repeat(20_000));
    assert_eq!(status(&house.h1("GET", OWN, "/", &large).await), 431);
    let many = "x-a: b\r\n".repeat(200);
    assert_eq!(status(&house.h1("GET", OWN, "/", &many).await), 431);
}

#[tokio::test]
async fn one_address_cannot_take_every_place_and_places_come_back() {
    let house = House::with(|bounds| bounds.connections_per_address = 3).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(house.tls("http/1.1").await);
    }
    let fourth = TcpStream::connect(house.https).await.unwrap();
    assert!(house.tls_over(fourth, "http/1.1").await.is_err());
    assert_eq!(house.counters.refused_address.get(), 1);
    taken.pop();
    house.until(|counters| &counters.open, 2).await;
    assert_eq!(body(&house.h1("GET", OWN, "/", "").await), "default");
}

#[tokio::test]
async fn there_are_only_so_many_places_in_all() {
    let house = House::with(|bounds| bounds.connections = 2).await;
    let _taken = (
        house.tls("h2").await,
        TcpStream::connect(house.http).await.unwrap(),
    );
    house.until(|counters| &counters.open, 2).await;
    let third = TcpStream::connect(house.https).await.unwrap();
    assert!(house.tls_over(third, "h2").await.is_err());
    assert_eq!(house.counters.refused_total.get(), 1);
}

/// Sends the same frame until the other side has enough; how many it took.
async fn flood(house: &House, frame: &[u8]) -> usize {
    let mut stream = house.tls("h2").await;
    let opening = [PREFACE, &self::frame(4, 0, 0, &[])].concat();
    stream.write_all(&opening).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let read = tokio::spawn(async move { answer_of(&mut reading).await });
    let mut sent = 0;
    while sent < 100_000 && writing.write_all(frame).await.is_ok() && writing.flush().await.is_ok()
    {
        sent += 1;
    }
    read.await.unwrap();
    sent
}

#[tokio::test]
async fn floods_of_settings_and_pings_are_cut_and_others_are_served() {
    let house = House::open().await;
    let mut good = house.h2().await;
    let frames = [
        frame(4, 0, 0, &[]),
        frame(6, 0, 0, &[0; 8]),
        frame(0x42, 0, 0, &[1; 3]),
        frame(8, 0, 0, &[0, 0, 0, 1]),
    ];
    for (number, frame) in frames.iter().enumerate() {
        assert!(flood(&house, frame).await < 100_000, "{number}");
        house
            .until(|counters| &counters.floods, number as u64 + 1)
            .await;
        assert_eq!(
            good.send_request(request("GET", OWN, "/"))
                .await
                .unwrap()
                .status(),
            200
        );
    }
}

#[tokio::test]
async fn rapid_reset_is_cut() {
    let house = House::open().await;
    let mut stream = house.tls("h2").await;
    stream
        .write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat())
        .await
        .unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let read = tokio::spawn(async move { answer_of(&mut reading).await });
    // :method GET, :scheme https, :path /, then :authority as a literal.
    let head = [&[0x82, 0x87, 0x84, 0x41, 16][..], OWN.as_bytes()].concat();
    let mut stream_id = 1;
    while stream_id < 200_000 {
        let pair = [
            frame(1, 5, stream_id, &head),
            frame(3, 0, stream_id, &[0, 0, 0, 8]),
        ]
        .concat();
        if writing.write_all(&pair).await.is_err() || writing.flush().await.is_err() {
            break;
        }
        stream_id += 2;
    }
    assert!(stream_id < 200_000, "the connection is cut");
    read.await.unwrap();
    house.until(|counters| &counters.open, 0).await;
}

#[tokio::test]
async fn a_reader_who_stands_still_is_left() {
    let house = hasty_house().await;
    house.publish();
    let mut h1 = house.tls("http/1.1").await;
    h1.write_all(format!("GET /large.mp4 HTTP/1.1\r\nhost: {OWN}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    house.until(|counters| &counters.slow_readers, 1).await;
    // HTTP/2 can also stand still by giving no window, while its socket takes everything.
    let mut h2 = house.tls("h2").await;
    let no_window = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let head = [
        &[0x82, 0x87, 0x04, 10][..],
        b"/large.mp4",
        &[0x41, 16],
        OWN.as_bytes(),
    ]
    .concat();
    h2.write_all(&[PREFACE, &no_window, &frame(1, 5, 1, &head)].concat())
        .await
        .unwrap();
    let (mut reading, mut writing) = tokio::io::split(h2);
    let pings = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        while writing.write_all(&frame(6, 0, 0, &[0; 8])).await.is_ok() {
            tick.tick().await;
        }
    });
    answer_of(&mut reading).await;
    house.until(|counters| &counters.slow_readers, 2).await;
    pings.abort();
}
