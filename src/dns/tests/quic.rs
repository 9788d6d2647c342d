//! DNS over QUIC with hickory's own client over a real socket, and how many are let in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hickory_net::quic::{QuicClientStream, QuicClientStreamBuilder};
use hickory_net::xfer::DnsRequestSender;
use hickory_server::proto::op::{Message, ResponseCode};
use hickory_server::proto::rr::rdata::opt::EdnsCode;
use hickory_server::proto::rr::{RData, RecordType};
use tokio_util::sync::CancellationToken;

use super::{WithEdns, answers_with, name, query, settings, small_zone};
use crate::dns::Answers;
use crate::dns::quic;
use crate::model::domain::RrType;
use crate::model::limits::DNS_QUIC_HANDSHAKES_AT_ONCE;
use crate::tls::public::{Admits, CertificateSet, doq_config};

const APEX: &str = "example.test";
const HOST: &str = "help.example.net";

struct House {
    answers: Arc<Answers>,
    to: SocketAddr,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<Result<(), quic::QuicError>>,
    folder: tempfile::TempDir,
    _unusual: tokio::sync::mpsc::Receiver<super::Unusual>,
}

impl House {
    fn open(admits: impl FnOnce(&Answers) -> Admits) -> House {
        let (answers, unusual) = answers_with(settings(), &[small_zone(APEX, 7)]);
        let folder = tempfile::tempdir().unwrap();
        let (missing, own) = (folder.path().join("none"), folder.path().join("own"));
        let names = [HOST.to_owned()];
        let now = crate::clock::now();
        let (set, _) = CertificateSet::open(&missing, &own, &names, now).unwrap();
        let tls = doq_config(Arc::new(set), admits(&answers)).unwrap();
        let sockets = quic::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let stop = CancellationToken::new();
        House {
            to: sockets[0].local_addr().unwrap(),
            served: tokio::spawn(quic::serve(answers.clone(), sockets, tls, stop.clone())),
            answers,
            stop,
            folder,
            _unusual: unusual,
        }
    }

    async fn connect(&self) -> Result<QuicClientStream, hickory_net::NetError> {
        let own = self.folder.path().join("own/self-signed.crt");
        let connector = crate::tls::outgoing::connector(Some(&own)).unwrap();
        QuicClientStreamBuilder::default()
            .crypto_config((**connector.config()).clone())
            .build(self.to, HOST.into())
            .await
    }
}

async fn hear(client: &mut QuicClientStream, message: &[u8]) -> Message {
    let mut message = Message::from_vec(message).unwrap();
    // RFC 9250 section 4.2.1.
    message.metadata.id = 0;
    let answer = client.send_message(message.into()).next().await;
    answer.unwrap().unwrap().into_message()
}

#[tokio::test]
async fn a_client_that_is_not_ours_is_answered_over_quic_padded_and_refused_a_transfer() {
    let house = House::open(|answers| {
        let gate = quic::Gate::new(answers);
        Arc::new(move || gate.admits())
    });
    let mut client = house.connect().await.unwrap();
    let at = |owner: &str| name(&format!("{owner}.{APEX}")).as_wire().to_vec();
    let edns = WithEdns {
        payload: 1_232,
        options: vec![(12, vec![]), (3, vec![])],
        ..WithEdns::default()
    };
    let answer = hear(&mut client, &query(&at("www"), RrType::A, Some(&edns))).await;
    assert!(answer.authoritative && answer.id == 0);
    assert_eq!(answer.answers.len(), 1);
    assert!(matches!(answer.answers[0].data, RData::A(it) if it.0.octets() == [192, 0, 2, 7]));
    assert_eq!(answer.to_vec().unwrap().len(), 468);
    let said = answer.edns.unwrap();
    assert!(said.option(EdnsCode::NSID).is_some());
    // Larger than any datagram, and what does not exist.
    let answer = hear(&mut client, &query(&at("big"), RrType::TXT, None)).await;
    assert_eq!((answer.answers.len(), answer.truncation), (8, false));
    let answer = hear(&mut client, &query(&at("nothing"), RrType::A, None)).await;
    assert_eq!(answer.response_code, ResponseCode::NXDomain);
    assert_eq!(answer.authorities[0].record_type(), RecordType::SOA);
    let transfer = query(name(APEX).as_wire(), RrType::AXFR, None);
    let answer = hear(&mut client, &transfer).await;
    assert_eq!(answer.response_code, ResponseCode::Refused);
    let figures = house.answers.counters.figures();
    let count = |wanted: &str| figures.iter().find(|it| it.0 == wanted).unwrap().2;
    assert_eq!(count("lifeboat_dns_queries_quic"), 4);
    assert_eq!(count("lifeboat_dns_connections"), 1);
    drop(client);
    house.stop.cancel();
    house.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_is_not_let_in_gets_no_connection() {
    let house = House::open(|_| Arc::new(|| false));
    assert!(house.connect().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn so_many_handshakes_are_let_in_at_once_and_then_one_by_one() {
    let (answers, _unusual) = answers_with(settings(), &[]);
    let gate = quic::Gate::new(&answers);
    let admitted = (0..1_000).filter(|_| gate.admits()).count();
    assert_eq!(admitted, DNS_QUIC_HANDSHAKES_AT_ONCE as usize);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!((0..1_000).filter(|_| gate.admits()).count(), 20);
}
