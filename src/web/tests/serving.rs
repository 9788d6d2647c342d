//! What is answered, and by whom: both protocols, both ports, the published website and Lifeboat's own pages.

use super::*;

#[tokio::test]
async fn the_default_page_gives_way_to_a_published_website_and_comes_back() {
    let house = House::open().await;
    assert_eq!(body(&house.h1("GET", OWN, "/", "").await), "default");
    house.publish();
    assert_eq!(body(&house.h1("GET", OWN, "/", "").await), "<p>published");
    assert_eq!(house.counters.from_site.get(), 1);
    house.site.store(None);
    assert_eq!(body(&house.h1("GET", OWN, "/", "").await), "default");
}

#[tokio::test]
async fn both_protocols_serve_the_same() {
    let house = House::open().await;
    house.publish();
    let over_h1 = house.h1("GET", OWN, "/about", "").await;
    let mut client = house.h2().await;
    let over_h2 = client
        .send_request(request("GET", OWN, "/about"))
        .await
        .unwrap();
    assert_eq!((status(&over_h1), over_h2.status().as_u16()), (200, 200));
    for name in [
        "etag",
        "strict-transport-security",
        "content-security-policy",
        "content-length",
        "cache-control",
    ] {
        let value = over_h2.headers()[name].to_str().unwrap();
        assert_eq!(field(&over_h1, name), value, "{name}");
    }
    assert_eq!(
        (body(&over_h1), text(over_h2).await.as_str()),
        ("about", "about")
    );
    assert_eq!(
        (
            house.counters.requests_h1.get(),
            house.counters.requests_h2.get()
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn many_answers_at_once_on_one_http_2_connection_are_all_whole() {
    let house = House::open().await;
    house.publish();
    let client = house.h2().await;
    let asked = (0..50).map(|number| {
        let mut client = client.clone();
        async move {
            let target = if number % 10 == 0 {
                "/large.mp4"
            } else {
                "/about"
            };
            let answer = client
                .send_request(request("GET", OWN, target))
                .await
                .unwrap();
            answer.into_body().collect().await.unwrap().to_bytes().len()
        }
    });
    let sizes = futures_util::future::join_all(asked).await;
    assert_eq!(sizes.iter().filter(|&&size| size == 5).count(), 45);
    assert_eq!(
        sizes
            .iter()
            .filter(|&&size| size == 20 * 1024 * 1024)
            .count(),
        5
    );
}

#[tokio::test]
async fn a_connection_is_used_again_and_requests_may_come_early() {
    let house = House::open().await;
    house.publish();
    let one = format!("GET /about HTTP/1.1\r\nhost: {OWN}\r\n\r\n");
    let last = format!("GET /about HTTP/1.1\r\nhost: {OWN}\r\nconnection: close\r\n\r\n");
    let answers = house.raw(&[one.as_str(), &one, &last].concat()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);
    assert_eq!(answers.matches("about").count(), 3);
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_misdirected_and_one_that_is_missing_is_bad() {
    let house = House::open().await;
    for (host, wanted) in [
        ("example.org", 421),
        ("127.0.0.1", 421),
        ("a b", 400),
        ("", 400),
    ] {
        assert_eq!(
            status(&house.h1("GET", host, "/", "").await),
            wanted,
            "{host:?}"
        );
    }
    assert_eq!(
        status(
            &house
                .raw("GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
                .await
        ),
        400
    );
    let twice = format!("host: {OWN}\r\n");
    assert_eq!(status(&house.h1("GET", OWN, "/", &twice).await), 400);
    let mut client = house.h2().await;
    let answer = client
        .send_request(request("GET", "example.org", "/"))
        .await
        .unwrap();
    assert_eq!(answer.status(), 421);
    assert_eq!(house.counters.misdirected.get(), 3);
}

#[tokio::test]
async fn raw_paths_lead_nowhere_but_to_the_website() {
    let house = House::open().await;
    house.publish();
    for target in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2fetc/passwd",
        "//etc/passwd",
        "/\\etc",
    ] {
        let answer = house.h1("GET", OWN, target, "").await;
        assert_eq!((status(&answer), body(&answer)), (404, "lost"), "{target}");
    }
    let long = format!("/{}", "a".repeat(9_000));
    assert_eq!(status(&house.h1("GET", OWN, &long, "").await), 414);
}

#[tokio::test]
async fn methods_are_answered_as_the_rfc_says() {
    let house = House::open().await;
    house.publish();
    for (method, target, wanted) in [
        ("HEAD", "/about", 200),
        ("OPTIONS", "/about", 204),
        ("OPTIONS", "*", 204),
        ("DELETE", "/about", 405),
        ("TRACE", "/about", 405),
        ("POST", "/about", 405),
    ] {
        let answer = house.h1(method, OWN, target, "").await;
        assert_eq!(status(&answer), wanted, "{method} {target}");
        assert!(
            wanted == 200 || field(&answer, "allow").contains("GET"),
            "{method}"
        );
        assert!(
            method != "HEAD"
                || (body(&answer).is_empty() && field(&answer, "content-length") == "5")
        );
    }
}

#[tokio::test]
async fn lifeboats_own_pages_are_protected_and_never_kept_by_mistake() {
    let house = House::open().await;
    house.publish();
    let posted = house
        .h1("POST", OWN, "/write", "content-length: 5\r\n\r\nhello")
        .await;
    assert_eq!((status(&posted), body(&posted)), (200, "got 5"));
    assert_eq!(field(&posted, "cache-control"), "no-store");
    assert_eq!(
        field(&posted, "strict-transport-security"),
        "max-age=31536000"
    );
    house.site.store(None);
    let page = house.h1("GET", OWN, "/", "").await;
    assert!(field(&page, "content-security-policy").starts_with("default-src 'none'"));
}

#[tokio::test]
async fn a_page_that_panics_ends_in_an_apology_and_nothing_else_ends() {
    let house = House::open().await;
    let mut other = house.h2().await;
    let answer = house.h1("GET", OWN, "/write/panic", "").await;
    assert_eq!(status(&answer), 500);
    assert!(!answer.contains("planted"));
    let over_h2 = other
        .send_request(request("GET", OWN, "/write/panic"))
        .await
        .unwrap();
    assert_eq!(over_h2.status(), 500);
    let after = other.send_request(request("GET", OWN, "/")).await.unwrap();
    assert_eq!(after.status(), 200);
    assert_eq!(
        (house.counters.panics.get(), house.counters.failed.get()),
        (2, 2)
    );
}

#[tokio::test]
async fn the_plain_port_leads_to_https_and_nowhere_else() {
    let house = House::open().await;
    house.publish();
    let port = house.https.port();
    let own = house.plain(OWN, "/about?a=b").await;
    assert_eq!(status(&own), 308);
    assert_eq!(
        field(&own, "location"),
        format!("https://{OWN}:{port}/about?a=b")
    );
    let borrowed = house.plain(BORROWED, "/about").await;
    assert_eq!(
        (status(&borrowed), field(&borrowed, "cache-control")),
        (307, "no-store")
    );
    assert_eq!(
        field(&borrowed, "location"),
        format!("https://{BORROWED}:{port}/about")
    );
    assert_eq!(status(&house.plain("example.org", "/").await), 421);
    let absolute = house.plain("example.org", &format!("http://{OWN}/x")).await;
    assert_eq!(
        field(&absolute, "location"),
        format!("https://{OWN}:{port}/x")
    );
    for answer in [own, borrowed] {
        assert_eq!(field(&answer, "strict-transport-security"), "");
    }
}

#[tokio::test]
async fn one_redirect_is_the_most_that_anyone_follows() {
    let house = House::open().await;
    house.publish();
    for host in [OWN, BORROWED] {
        for target in ["/", "/about", "/nothing", "//x", "/write/visitor"] {
            let first = house.plain(host, target).await;
            let (_, path) = field(&first, "location")
                .split_once(&house.https.port().to_string())
                .unwrap();
            let second = house.h1("GET", host, path, "").await;
            assert!(
                !(300..400).contains(&status(&second)),
                "{host}{target}: {second}"
            );
        }
    }
}

#[tokio::test]
async fn machines_that_watch_us_and_certificate_authorities_are_answered_without_tls() {
    let house = House::open().await;
    for answer in [
        house.plain("127.0.0.1", "/healthz").await,
        house.plain(BORROWED, "/healthz").await,
        house.h1("GET", "127.0.0.1", "/healthz", "").await,
    ] {
        assert_eq!((status(&answer), body(&answer)), (200, "ok"));
    }
    let challenge = "/.well-known/acme-challenge/";
    for (token, wanted) in [
        ("tok_en-1", (200, "key")),
        ("other", (404, "There is no such challenge.\n")),
    ] {
        let answer = house.plain(OWN, &format!("{challenge}{token}")).await;
        assert_eq!((status(&answer), body(&answer)), wanted);
    }
    assert_eq!(
        status(&house.plain(OWN, &format!("{challenge}../x")).await),
        404
    );
}
