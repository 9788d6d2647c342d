//! Real sockets: datagrams and connections, floods, swaps of the table under load, and the end.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{WithEdns, answers_with, name, query, seen, settings, small_zone};
use crate::dns::answers::{Answers, Rate, Transport, Way};
use crate::dns::rate::Pace;
use crate::dns::tcp::{self, Listeners};
use crate::dns::udp::{self, Threads};
use crate::model::domain::RrType;

const APEX: &str = "example.test";

fn at(owner: &str) -> Vec<u8> {
    name(&format!("{owner}.{APEX}")).as_wire().to_vec()
}

fn figure(answers: &Answers, wanted: &str) -> u64 {
    let figures = answers.counters.figures();
    let found = figures.iter().find(|it| it.0 == wanted);
    found.expect("there is such a figure").2
}

fn client(to: SocketAddr) -> UdpSocket {
    let local: SocketAddr = if to.is_ipv6() {
        "[::1]:0".parse().unwrap()
    } else {
        "127.0.0.1:0".parse().unwrap()
    };
    let socket = UdpSocket::bind(local).unwrap();
    socket.connect(to).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
}

fn exchange(socket: &UdpSocket, message: &[u8]) -> Vec<u8> {
    let mut answer = [0; 4_096];
    socket.send(message).unwrap();
    let len = socket.recv(&mut answer).unwrap();
    answer[..len].to_vec()
}

#[test]
fn datagrams_are_answered_from_the_address_they_came_to() {
    let (answers, _unusual) = answers_with(settings(), &[small_zone(APEX, 7)]);
    for (listen, ask) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.3"),
        ("[::]:0", "::1"),
    ] {
        let sockets = udp::bind(listen.parse().unwrap(), 2).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        let threads = Threads::start(&answers, sockets).unwrap();
        // A connected socket hears answers from the asked address only.
        for _ in 0..20 {
            let socket = client(SocketAddr::new(ask.parse().unwrap(), port));
            let answer = exchange(&socket, &query(&at("www"), RrType::A, None));
            assert_eq!(seen(&answer).counts, [1, 1, 0, 0]);
        }
        threads.stop();
    }
    assert_eq!(figure(&answers, "lifeboat_dns_queries_udp"), 60);
    assert_eq!(figure(&answers, "lifeboat_dns_answers_prepared"), 60);
}

#[test]
fn p4_no_answer_is_lost_while_the_table_is_swapped_a_thousand_times() {
    let zones: Vec<_> = (1..=2).map(|serial| small_zone(APEX, serial)).collect();
    let (answers, _unusual) = answers_with(settings(), &zones[..1]);
    let sockets = udp::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let to = sockets[0].local_addr().unwrap();
    let threads = Threads::start(&answers, sockets).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let asking = {
        let done = done.clone();
        std::thread::spawn(move || {
            let socket = client(to);
            let mut asked = 0_u32;
            while !done.load(Ordering::Relaxed) {
                for owner in ["www", "alias", "nothing", "x.w", "a.sub"] {
                    let answer = seen(&exchange(&socket, &query(&at(owner), RrType::A, None)));
                    let found = answer.counts[1] + answer.counts[2];
                    assert!(
                        found > 0 && answer.rcode != 2 && answer.rcode != 5,
                        "{answer:?}"
                    );
                    asked += 1;
                }
            }
            asked
        })
    };
    for turn in 0..1_000 {
        answers.put(&zones[(turn + 1) % 2]);
        std::thread::yield_now();
    }
    done.store(true, Ordering::Relaxed);
    // Each query waits for its answer, so one that was lost ends the thread with an error.
    assert!(asking.join().unwrap() > 0);
    threads.stop();
}

#[test]
fn a_flood_is_answered_short_and_a_known_client_in_full() {
    let pace = Pace {
        per_second: 10,
        slip: 1,
    };
    let slowed = super::Settings {
        rate: Rate::Kept(pace),
        ..settings()
    };
    let (answers, _unusual) = answers_with(slowed, &[small_zone(APEX, 7)]);
    let sockets = udp::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let socket = client(sockets[0].local_addr().unwrap());
    let threads = Threads::start(&answers, sockets).unwrap();
    let mut asked = WithEdns {
        payload: 1_232,
        options: vec![(10, b"8 bytes!".to_vec())],
        ..WithEdns::default()
    };
    let strange = query(&at("www"), RrType::A, Some(&asked));
    let short = (0..200)
        .map(|_| exchange(&socket, &strange))
        .find(|it| seen(it).tc)
        .expect("two hundred at once are past ten a second");
    let short = seen(&short);
    assert_eq!(short.counts, [1, 0, 0, 1]);
    // Even the short answer brings the cookie with which the client is known from then on.
    asked.options = vec![(10, short.opt.unwrap()[0].1.clone())];
    let known = query(&at("www"), RrType::A, Some(&asked));
    for _ in 0..200 {
        assert_eq!(seen(&exchange(&socket, &known)).counts, [1, 1, 0, 1]);
    }
    threads.stop();
    assert!(figure(&answers, "lifeboat_dns_rate_slipped") > 0);
    assert_eq!(figure(&answers, "lifeboat_dns_cookies_known"), 200);
}

#[test]
fn an_ordinary_query_allocates_nothing() {
    let (answers, _unusual) = answers_with(settings(), &[small_zone(APEX, 7)]);
    let tables = answers.tables.load();
    let secrets = answers.secrets.load();
    let edns = WithEdns {
        payload: 1_232,
        dnssec: true,
        options: vec![(10, b"8 bytes!".to_vec()), (3, vec![])],
        ..WithEdns::default()
    };
    let messages: Vec<Vec<u8>> = ["www", "alias", "nothing", "x.y.w", "a.sub", "ns1"]
        .iter()
        .flat_map(|owner| {
            let plain = query(&at(owner), RrType::A, None);
            [plain, query(&at(owner), RrType::A, Some(&edns))]
        })
        .collect();
    let mut key = tables.name_key();
    let mut out = vec![0; 1_232];
    let from = "192.0.2.9".parse().unwrap();
    let mut rates = crate::dns::rate::Rates::new(
        Pace {
            per_second: 10,
            slip: 2,
        },
        1,
        [1; 16],
    );
    let counted = allocation_counter::measure(|| {
        for message in &messages {
            let moment = crate::dns::respond::Moment {
                tables: &tables,
                secrets: &secrets,
                settings: &answers.settings,
                now_s: 5,
            };
            let deed = crate::dns::respond::respond(
                &moment,
                message,
                from,
                Transport::Udp,
                &mut key,
                &mut out,
            );
            let crate::dns::respond::Deed::Send(sent) = deed else {
                panic!("every one of these is answered");
            };
            assert!(sent.prepared);
            rates.judge(from, 5);
        }
    });
    assert_eq!(counted.count_total, 0);
}

/// A house with connections, until the token is cancelled.
struct House {
    answers: Arc<Answers>,
    unusual: tokio::sync::mpsc::Receiver<super::Unusual>,
    tcp: SocketAddr,
    tls: SocketAddr,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
}

async fn house(settings: super::Settings) -> House {
    let (answers, unusual) = answers_with(settings, &[small_zone(APEX, 7)]);
    let folder = tempfile::tempdir().unwrap();
    let names = ["help.example.net".to_owned()];
    let (missing, own) = (folder.path().join("none"), folder.path().join("own"));
    let now = crate::clock::now();
    let (set, _) = crate::tls::public::CertificateSet::open(&missing, &own, &names, now).unwrap();
    let tls = crate::tls::public::dot_config(Arc::new(set), &[3; 32], crate::clock::now).unwrap();
    let (_keep, tls) = watch::channel(tls);
    let bind = || TcpListener::bind("127.0.0.1:0");
    let (plain, secure) = (bind().await.unwrap(), bind().await.unwrap());
    let (tcp, dot) = (plain.local_addr().unwrap(), secure.local_addr().unwrap());
    let stop = CancellationToken::new();
    let listeners = Listeners {
        tcp: vec![plain],
        tls: vec![secure],
    };
    let served = tokio::spawn(tcp::serve(answers.clone(), listeners, tls, stop.clone()));
    House {
        answers,
        unusual,
        tcp,
        tls: dot,
        stop,
        served,
        folder,
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

async fn hear(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let len = stream.read_u16().await.unwrap();
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message).await.unwrap();
    message
}

#[tokio::test]
async fn many_queries_share_a_connection_however_they_are_cut() {
    let house = house(settings()).await;
    let mut stream = TcpStream::connect(house.tcp).await.unwrap();
    let message = framed(&query(&at("big"), RrType::TXT, None));
    let flood = message.repeat(200);
    let (first, second) = flood.split_at(flood.len() / 2 + 7);
    let (mut read, mut write) = stream.split();
    let (first, second) = (first.to_vec(), second.to_vec());
    let writing = async {
        write.write_all(&first).await.unwrap();
        write.write_all(&second).await.unwrap();
    };
    let reading = async {
        for _ in 0..200 {
            let answer = seen(&hear(&mut read).await);
            assert_eq!((answer.tc, answer.counts[1]), (false, 8));
        }
    };
    tokio::join!(writing, reading);
    house.stop.cancel();
    house.served.await.unwrap();
    assert_eq!(figure(&house.answers, "lifeboat_dns_queries_tcp"), 200);
}

#[tokio::test]
async fn one_network_and_all_together_have_so_many_connections_and_no_more() {
    let house = house(settings()).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(house.tcp).await.unwrap();
        stream
            .write_all(&framed(&query(&at("www"), RrType::A, None)))
            .await
            .unwrap();
        hear(&mut stream).await;
        open.push(stream);
    }
    let mut fifth = TcpStream::connect(house.tcp).await.unwrap();
    assert_eq!(
        fifth.read(&mut [0; 1]).await.unwrap_or(0),
        0,
        "the fifth is closed at once"
    );
    assert_eq!(figure(&house.answers, "lifeboat_dns_refused_network"), 1);
    // Another network still comes in.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.7.1:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(house.tcp).await.unwrap();
    other
        .write_all(&framed(&query(&at("www"), RrType::A, None)))
        .await
        .unwrap();
    hear(&mut other).await;
    // A place is free again when its connection ends.
    drop(open.pop());
    loop {
        let mut again = TcpStream::connect(house.tcp).await.unwrap();
        let _ = again
            .write_all(&framed(&query(&at("www"), RrType::A, None)))
            .await;
        if again.read_u16().await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let hasty = super::Settings {
        idle: Duration::from_millis(50),
        ..settings()
    };
    let house = house(hasty).await;
    let mut silent = TcpStream::connect(house.tcp).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(figure(&house.answers, "lifeboat_dns_idle"), 1);
}

#[tokio::test]
async fn what_others_answer_comes_through_as_many_messages() {
    let mut house = house(settings()).await;
    let mut stream = TcpStream::connect(house.tcp).await.unwrap();
    let transfer = query(name(APEX).as_wire(), RrType::AXFR, None);
    stream.write_all(&framed(&transfer)).await.unwrap();
    let unusual = house.unusual.recv().await.unwrap();
    assert_eq!(
        (unusual.transport, &unusual.message),
        (Transport::Tcp, &transfer)
    );
    // An ordinary query is not held up by it.
    stream
        .write_all(&framed(&query(&at("www"), RrType::A, None)))
        .await
        .unwrap();
    assert_eq!(seen(&hear(&mut stream).await).counts[1], 1);
    for part in 0..20_u8 {
        let way = match &unusual.way {
            Way::Connection(way) => way.clone(),
            Way::Datagram(_) => panic!("it came over a connection"),
        };
        tokio::spawn(async move { way.send(Bytes::from(vec![part; 30])).await });
        assert_eq!(hear(&mut stream).await, vec![part; 30]);
    }
    drop(unusual);
    // Nobody takes them any more: refused.
    drop(house.unusual);
    stream.write_all(&framed(&transfer)).await.unwrap();
    assert_eq!(seen(&hear(&mut stream).await).rcode, 5);
}

#[tokio::test]
async fn queries_over_tls_are_answered_and_padded() {
    let house = house(settings()).await;
    let stream = TcpStream::connect(house.tls).await.unwrap();
    let own = house.folder.path().join("own/self-signed.crt");
    let connector = crate::tls::outgoing::connector(Some(&own)).unwrap();
    let host = "help.example.net".try_into().unwrap();
    let mut stream = connector.connect(host, stream).await.unwrap();
    let edns = WithEdns {
        payload: 1_232,
        options: vec![(12, vec![])],
        ..WithEdns::default()
    };
    stream
        .write_all(&framed(&query(&at("www"), RrType::A, Some(&edns))))
        .await
        .unwrap();
    assert_eq!(hear(&mut stream).await.len(), 468);
}
