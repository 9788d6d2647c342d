//! The path at the public's door under which names are asked for over HTTPS (RFC 8484). The door has the connections and
//! their limits, the name service has the answers; neither knows the other, so what is between them is here.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    dns::secure::{Exchange, MEDIA_TYPE, NoAnswer, OverHttps, PATH},
    model::limits::MESSAGE_BYTES_MAX,
    web::public::Visitor,
};

/// GET and POST, answered from the same tables as over every other transport.
pub fn routes(exchange: Exchange) -> Router {
    Router::new()
        .route(PATH, get(asked).post(posted))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX))
        .with_state(Arc::new(exchange))
}

async fn asked(
    State(exchange): State<Arc<Exchange>>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let mut fields = form_urlencoded::parse(query.as_bytes());
    match fields.find(|(name, _)| name == "dns") {
        Some((_, dns)) => said(exchange.get(&dns, visitor.address)),
        None => {
            let words = "The parameter dns is missing (RFC 8484 section 4.1).\n";
            (StatusCode::BAD_REQUEST, words).into_response()
        }
    }
}

async fn posted(
    State(exchange): State<Arc<Exchange>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).map(|it| it.as_bytes());
    if !kind.is_some_and(|it| it.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())) {
        let words = format!("The content type is not {MEDIA_TYPE} (RFC 8484 section 4.1).\n");
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, words).into_response();
    }
    match body {
        Ok(message) => said(exchange.post(&message, visitor.address)),
        Err(refused) => refused.into_response(),
    }
}

fn said(answer: Result<OverHttps, NoAnswer>) -> Response {
    match answer {
        Ok(answer) => {
            let caching = format!("max-age={}", answer.max_age_s);
            let head = [
                (header::CONTENT_TYPE, MEDIA_TYPE.to_owned()),
                (header::CACHE_CONTROL, caching),
            ];
            (head, answer.message).into_response()
        }
        Err(why) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        sync::watch,
    };
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        clock,
        dns::{Answers, Rate, Settings, cookie::Secrets, zone::Zone},
        model::domain::{DomainName, Rdata, RrSet, RrType},
        tls::{outgoing, public::CertificateSet, public::server_config, watching},
        web,
    };

    const OWN: &str = "help.example.net";
    const BORROWED: &str = "www.example.com";

    struct House {
        https: SocketAddr,
        folder: tempfile::TempDir,
        _stop: tokio_util::sync::DropGuard,
    }

    fn answers() -> Arc<Answers> {
        let set = |name: &str, rtype, ttl, data: &[u8]| RrSet {
            name: name.parse().unwrap(),
            rtype,
            ttl,
            rdata: vec![Rdata::new(data).unwrap()],
        };
        let server: DomainName = "ns1.example.test".parse().unwrap();
        let soa = [server.as_wire(), server.as_wire(), &[0; 20]].concat();
        let sets = [
            set("example.test", RrType::SOA, 300, &soa),
            set("example.test", RrType::NS, 300, server.as_wire()),
            set("ns1.example.test", RrType::A, 300, &[192, 0, 2, 1]),
            set("www.example.test", RrType::A, 20, &[192, 0, 2, 80]),
        ];
        let zone = Zone::new(&"example.test".parse().unwrap(), sets).unwrap().0;
        let settings = Settings {
            nsid: Box::default(),
            udp_payload: 1_232,
            rate: Rate::Off,
            threads: 1,
            connections: 1,
            connections_per_network: 1,
            idle: std::time::Duration::from_secs(10),
        };
        let (answers, _unusual) = Answers::new(settings, Secrets::new([1; 16], None));
        answers.put(&Arc::new(zone));
        answers
    }

    impl House {
        async fn open() -> House {
            let folder = tempfile::tempdir().unwrap();
            let names = [OWN.to_owned(), BORROWED.to_owned()];
            let missing = folder.path().join("none");
            let (set, _) =
                CertificateSet::open(&missing, folder.path(), &names, clock::now()).unwrap();
            let (_, tls) =
                watch::channel(server_config(Arc::new(set), &[7; 32], clock::now).unwrap());
            let front = web::Front {
                names: web::host::Names::new([OWN], [BORROWED]),
                site: Arc::default(),
                public: Router::new().route("/", get(async || "the emergency page")),
                is_ours: |_| false,
                passing: web::Passing::new(
                    Arc::new(|_| Vec::new()),
                    watching::passing(None).unwrap(),
                ),
                checks: Router::new(),
                challenge: Arc::new(|_| None),
                name_queries: routes(Exchange::new(answers())).into(),
                https_port: 443,
                body_bytes: 200_000,
                patience: web::Patience::default(),
                counters: Arc::default(),
            };
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let https = socket.local_addr().unwrap();
            let sockets = web::Sockets {
                https: vec![socket],
                http: Vec::new(),
            };
            let stop = CancellationToken::new();
            let bounds = web::Bounds::new(100, 100);
            tokio::spawn(web::serve(
                Arc::new(front),
                sockets,
                tls,
                bounds,
                stop.clone(),
            ));
            House {
                https,
                folder,
                _stop: stop.drop_guard(),
            }
        }

        /// One request over TLS and HTTP/1.1: head and body of the answer.
        async fn say(
            &self,
            host: &str,
            line: &str,
            fields: &str,
            body: &[u8],
        ) -> (String, Vec<u8>) {
            let own = self.folder.path().join("self-signed.crt");
            let connector = outgoing::connector(Some(&own)).unwrap();
            let stream = TcpStream::connect(self.https).await.unwrap();
            let name = OWN.try_into().unwrap();
            let mut stream = connector.connect(name, stream).await.unwrap();
            let len = body.len();
            let head = format!(
                "{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {len}\r\n{fields}\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            // Who is refused by the head alone need not have taken the body.
            let _ = stream.write_all(body).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
            let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
            (head, answer[end + 4..].to_vec())
        }
    }

    fn query() -> Vec<u8> {
        let name: DomainName = "www.example.test".parse().unwrap();
        let head = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        [&head, name.as_wire(), &[0, 1, 0, 1]].concat()
    }

    #[tokio::test]
    async fn names_are_asked_for_by_get_and_post_and_may_be_kept_as_long_as_their_records() {
        let house = House::open().await;
        let dns = URL_SAFE_NO_PAD.encode(query());
        let kind = "content-type: application/dns-message\r\n";
        let get = format!("GET /dns-query?dns={dns}");
        for (line, fields, body) in [
            (get.as_str(), "", Vec::new()),
            ("POST /dns-query", kind, query()),
        ] {
            let (head, answer) = house.say(OWN, line, fields, &body).await;
            assert!(head.starts_with("http/1.1 200"), "{head}");
            assert!(
                head.contains("content-type: application/dns-message"),
                "{head}"
            );
            assert!(head.contains("cache-control: max-age=20"), "{head}");
            assert_eq!(answer[6..8], [0, 1], "one record answers");
            assert!(answer.ends_with(&[192, 0, 2, 80]));
        }
        let line = format!("HEAD /dns-query?dns={dns}");
        let (head, answer) = house.say(OWN, &line, "", b"").await;
        assert!(
            head.starts_with("http/1.1 200") && answer.is_empty(),
            "{head}"
        );
    }

    #[tokio::test]
    async fn what_is_no_query_is_told_so_and_borrowed_names_have_no_name_service() {
        let house = House::open().await;
        let kind = "content-type: application/dns-message\r\n";
        let large = vec![0; MESSAGE_BYTES_MAX + 1];
        for (line, fields, body, wanted) in [
            ("GET /dns-query", "", &[][..], "400"),
            ("GET /dns-query?dns=%%%", "", &[], "400"),
            ("GET /dns-query?dns=AAAA", "", &[], "400"),
            ("POST /dns-query", "", &query()[..], "415"),
            ("POST /dns-query", kind, &[1, 2], "400"),
            ("POST /dns-query", kind, &large, "413"),
            ("PUT /dns-query", kind, &query(), "405"),
        ] {
            let (head, _) = house.say(OWN, line, fields, body).await;
            assert!(
                head.starts_with(&format!("http/1.1 {wanted}")),
                "{line}: {head}"
            );
            assert!(head.contains("cache-control: no-store"), "{line}: {head}");
            if wanted == "405" {
                assert!(head.contains("allow: get,head,post"), "{head}");
            }
        }
        let line = format!("GET /dns-query?dns={}", URL_SAFE_NO_PAD.encode(query()));
        let (head, body) = house.say(BORROWED, &line, "", b"").await;
        assert!(!head.contains("dns-message"), "{head}");
        assert_eq!(body, b"the emergency page");
    }
}
