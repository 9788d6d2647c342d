//! Borrowed names: whatever is asked for, nothing may outlive the outage.

use super::*;

#[tokio::test]
async fn every_path_but_the_first_page_and_our_own_is_an_emergency() {
    let house = House::open().await;
    for (published, words) in [(false, "default"), (true, "<p>published")] {
        if published {
            house.publish();
        }
        for (target, wanted) in [
            ("/", 200),
            ("/about", 503),
            ("/style.css", 503),
            ("/shop?id=1", 503),
            ("/index.html", 503),
        ] {
            for method in ["GET", "POST", "DELETE"] {
                let answer = house.h1(method, BORROWED, target, "").await;
                assert_eq!(
                    (status(&answer), body(&answer)),
                    (wanted, words),
                    "{method} {target}"
                );
                assert_eq!(
                    !field(&answer, "retry-after").is_empty(),
                    wanted == 503,
                    "{target}"
                );
                leaves_nothing(&answer);
            }
        }
    }
}

#[tokio::test]
async fn our_own_pages_work_without_reading_or_setting_cookies() {
    let house = House::open().await;
    house.publish();
    let asked = "cookie: session=secret\r\nauthorization: Basic x\r\nif-none-match: \"1\"\r\n";
    let answer = house.h1("GET", BORROWED, "/write/visitor", asked).await;
    assert_eq!(body(&answer), "borrowed=true cookie=false");
    leaves_nothing(&answer);
    let own = house.h1("GET", OWN, "/write/visitor", asked).await;
    assert_eq!(body(&own), "borrowed=false cookie=true");
    let cookie = house.h1("GET", BORROWED, "/write/cookie", "").await;
    assert_eq!((status(&cookie), body(&cookie)), (200, "x"));
    leaves_nothing(&cookie);
}

#[tokio::test]
async fn only_307_redirects_and_words_are_never_sent_twice() {
    let house = House::open().await;
    let kept = house.h1("GET", OWN, "/write/308", "").await;
    assert_eq!((status(&kept), field(&kept, "location")), (308, "/write/x"));
    let lent = house.h1("GET", BORROWED, "/write/308", "").await;
    assert_eq!((status(&lent), field(&lent, "location")), (307, "/write/x"));
    leaves_nothing(&lent);
    let posted = house
        .h1("POST", BORROWED, "/write/303", "content-length: 0\r\n")
        .await;
    assert_eq!((status(&posted), field(&posted, "location")), (200, ""));
    assert_eq!(field(&posted, "refresh"), "0; url=/write/x");
}

#[tokio::test]
async fn a_service_worker_is_never_given() {
    let house = House::open().await;
    house.publish();
    for target in ["/", "/sw.js", "/style.css", "/write/visitor"] {
        let fields = "service-worker: script\r\nsec-fetch-dest: serviceworker\r\nsec-fetch-site: same-origin\r\n";
        let answer = house.h1("GET", BORROWED, target, fields).await;
        assert_eq!(status(&answer), 404, "{target}");
        assert!(field(&answer, "content-type").starts_with("text/plain"));
    }
    let page = house.h1("GET", BORROWED, "/", "").await;
    assert!(field(&page, "content-security-policy").ends_with("worker-src 'none'"));
}

#[tokio::test]
async fn browsers_get_the_style_of_the_page_they_show() {
    let house = House::open().await;
    house.publish();
    let fields = "sec-fetch-dest: style\r\nsec-fetch-site: same-origin\r\n";
    let answer = house.h1("GET", BORROWED, "/style.css", fields).await;
    assert_eq!((status(&answer), body(&answer)), (200, "p{}"));
    leaves_nothing(&answer);
}

fn leaves_nothing(answer: &str) {
    assert_eq!(field(answer, "cache-control"), "no-store", "{answer}");
    for name in [
        "strict-transport-security",
        "set-cookie",
        "etag",
        "last-modified",
        "alt-svc",
    ] {
        assert_eq!(field(answer, name), "", "{name}");
    }
}
