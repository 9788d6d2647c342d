//! Files that customers send: taken, named, given back byte for byte, and refused with what was typed kept.

use axum::http::Request;

use super::house::{House, Page, house, house_with};
use super::*;
use crate::cluster::tests::stand_in::{Majority, proposal};
use crate::model::Actor;
use crate::model::Command;
use crate::model::words::NodeId;

const BOUNDARY: &str = "----boundary";
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and the rest of it\r\n--";

/// A form as browsers send it.
fn form(fields: &[(&str, &str)], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .bytes(),
        );
    }
    for (name, bytes) in files {
        body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/html\r\n\r\n").bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    body
}

async fn send(house: &House, path: &str, fields: &[(&str, &str)], files: &[(&str, &[u8])]) -> Page {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let request = Request::post(path).header(header::CONTENT_TYPE, kind);
    house.ask_with(request, form(fields, files)).await
}

async fn write(house: &House, token: &str, text: &str, files: &[(&str, &[u8])]) -> Page {
    let fields = [
        ("text", text),
        ("contact", "jana@example.com"),
        ("token", token),
        ("lang", "en"),
    ];
    send(house, "/write", &fields, files).await
}

/// Where the first file of a page is.
fn href(page: &Page) -> String {
    let at = page.text.find("download>").expect("a file");
    let before = &page.text[..at];
    let from = before.rfind("href=\"").unwrap() + 6;
    before[from..].split('"').next().unwrap().to_owned()
}

/// The other nodes say that they have every blob.
fn copied(majority: &Majority) {
    let hashes: Vec<_> = majority.state().blobs.keys().copied().collect();
    for hash in hashes {
        for node in [1, 2] {
            let held = Command::BlobHeld {
                hash,
                node: NodeId(node),
                incarnation: 1,
            };
            majority.apply(proposal(Actor::Node(NodeId(node)), held));
        }
    }
}

#[tokio::test]
async fn a_file_comes_back_byte_for_byte_as_a_download_and_to_nobody_without_the_link() {
    let house = house().await;
    let token = house.token_opened(Purpose::Open, 10_000);
    let there = write(&house, &token, "See this", &[("../evil.html", PICTURE)])
        .await
        .goes_to();
    let page = house.get(&there).await;
    assert!(page.text.contains("evil.html.png"), "{}", page.text);
    let path = href(&page);
    let got = house.bytes(&path).await;
    assert_eq!(got.1, PICTURE);
    let says = |name: &str| got.0.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(says("content-type"), "image/png", "by its bytes");
    assert!(says("content-disposition").starts_with("attachment; filename=\"evil.html.png\""));
    assert_eq!(says("x-content-type-options"), "nosniff");
    assert_eq!(says("cache-control"), "no-store");
    assert!(says("content-security-policy").ends_with("sandbox"));
    // Nothing of it lies on the disk as it is.
    for entry in std::fs::read_dir(house.folder.join("blobs")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(8).any(|it| it == &PICTURE[16..24]));
    }
    let other = house.write("Another").await.goes_to();
    let message = path.split('/').nth(3).unwrap();
    for wrong in [
        format!("{other}/{message}/1"),
        path.replace("/1", "/2"),
        path.replace("/1", "/0"),
        format!("/c/nobody/{message}/1"),
    ] {
        assert_eq!(
            house.get(&wrong).await.status,
            StatusCode::NOT_FOUND,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn p1_nothing_is_called_safely_stored_before_a_majority_has_the_file() {
    let house = house().await;
    let token = house.token_opened(Purpose::Open, 10_000);
    let there = write(&house, &token, "See this", &[("a.png", PICTURE)])
        .await
        .goes_to();
    let page = house.get(&there).await;
    assert!(page.text.contains("on 1 of 3 servers"), "{}", page.text);
    assert!(!page.text.contains("safely stored"), "{}", page.text);
    copied(&house.majority);
    let page = house.get(&there).await;
    assert!(
        page.text.contains("Your message is safely stored"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn p1_a_form_with_a_file_that_is_sent_again_is_one_message_with_one_file() {
    let majority = Majority::founded(3);
    let keyring = Arc::new(Keyring::generate());
    let one = house_with(keyring.clone(), majority.clone(), 1).await;
    let two = house_with(keyring, majority, 2).await;
    let token = one.token_opened(Purpose::Open, 10_000);
    let there = write(&one, &token, "See this", &[("a.png", PICTURE)])
        .await
        .goes_to();
    for house in [&one, &two] {
        assert_eq!(
            write(house, &token, "See this", &[("a.png", PICTURE)])
                .await
                .goes_to(),
            there
        );
    }
    let state = one.majority.state();
    assert_eq!((state.conversations.len(), state.files.count), (1, 1));
    // Another file is another message.
    let other = write(&one, &token, "See this", &[("a.txt", b"words")])
        .await
        .goes_to();
    assert_ne!(other, there);
}

#[tokio::test]
async fn a_file_that_does_not_fit_brings_the_page_back_with_what_was_typed_and_what_is_wanted() {
    let house = house().await;
    let token = house.token_opened(Purpose::Open, 10_000);
    let large = vec![b'x'; usize::try_from(limits::FILE_BYTES_MAX).unwrap() + 1];
    let files: [(&str, &[u8]); 3] = [
        ("movie.txt", &large),
        ("setup.exe", b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff"),
        ("good.png", PICTURE),
    ];
    let page = write(&house, &token, "The shop is down", &files).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for wanted in [
        "movie.txt has 5.0 MB, and at most 5 MB fit",
        "setup.exe is none of the kinds",
        "browsers forget them: good.png",
        ">\nThe shop is down</textarea>",
        "value=\"jana@example.com\"",
    ] {
        assert!(page.text.contains(wanted), "{wanted}: {}", page.text);
    }
    assert_eq!(house.conversations(), 0);
    let files: Vec<(&str, &[u8])> = vec![("a.png", PICTURE); limits::FILES_PER_MESSAGE + 1];
    let page = write(&house, &token, "Many", &files).await;
    assert!(page.text.contains("at most 5 files"), "{}", page.text);
    // Whatever was wrong with the form, nothing of it is left on the disk.
    let left = std::fs::read_dir(house.folder.join("blobs")).unwrap();
    assert_eq!(
        left.filter(|it| it.as_ref().unwrap().path().is_file())
            .count(),
        0
    );
}

#[tokio::test]
async fn p3_a_node_that_is_alone_takes_a_file_and_says_where_it_is() {
    let house = house().await;
    house.set_alone(true);
    let token = house.token_opened(Purpose::Open, 10_000);
    let there = write(&house, &token, "Alone", &[("a.png", PICTURE)])
        .await
        .goes_to();
    let page = house.get(&there).await;
    assert!(
        page.text.contains("held here") || page.text.contains("on this server"),
        "{}",
        page.text
    );
    assert_eq!(house.bytes(&href(&page)).await.1, PICTURE);
    assert_eq!(house.majority.state().files.count, 0);
    house.set_alone(false);
    let mut waited = house.listen(&there).await;
    while house.majority.state().files.count == 0 {
        use http_body_util::BodyExt;
        waited.frame().await.unwrap().unwrap();
    }
    assert_eq!(house.bytes(&href(&page)).await.1, PICTURE);
}

#[tokio::test]
async fn the_chat_takes_a_file_under_the_page_s_own_id_and_tells_of_it() {
    let house = house().await;
    let there = house.write("Help").await.goes_to();
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let fields = [
        ("id", "0123456789abcdef"),
        ("text", "a log"),
        ("lang", "en"),
    ];
    for _ in 0..2 {
        let request = Request::post(&there)
            .header(header::CONTENT_TYPE, kind.clone())
            .header(header::ACCEPT, "application/json");
        let body = form(&fields, &[("e.log", b"one\ntwo\n")]);
        let taken = house.ask_with(request, body).await;
        assert_eq!(taken.status, StatusCode::OK, "{}", taken.text);
    }
    assert_eq!(house.majority.state().files.count, 1);
    let request = Request::get(&there).header(header::ACCEPT, "application/json");
    let news = house.ask(request, String::new()).await;
    assert!(
        news.text.contains("\"files\":[[\"e.log (1 kB)\",\"/c/"),
        "{}",
        news.text
    );
    let request = Request::post(&there)
        .header(header::CONTENT_TYPE, kind)
        .header(header::ACCEPT, "application/json");
    let fields = [("id", "1123456789abcdef"), ("text", "x"), ("lang", "en")];
    let refused = house
        .ask_with(
            request,
            form(&fields, &[("e.zip", b"PK\x03\x04\0\0\0\0\0\0\0\0")]),
        )
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.text.contains("e.zip is none of the kinds"),
        "{}",
        refused.text
    );
}
