//! Updates to a real BIND, where it is installed: what is refused, and that nothing is done then.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::set;
use crate::dns::keeper::update::Server;
use crate::dns::keeper::{Trouble, Wrote};
use crate::dns::tsig::Key;
use crate::model::{
    dns::TsigAlgorithm,
    domain::{RrSet, RrType},
    keeper::{SetKey, plan::Change},
};

const NAMED: &str = "/usr/sbin/named";
const SECRET: &[u8] = b"thirty-two bytes for one secret!";
const ZONE: &str = "$TTL 60
@ IN SOA ns1 hostmaster 1 900 300 1209600 300
@ IN NS ns1
ns1 IN A 192.0.2.53
www IN A 192.0.2.80
www IN A 192.0.2.81
shop IN CNAME www
";

fn started(folder: &Path, address: SocketAddr) -> Child {
    let path = folder.display();
    let secret = STANDARD.encode(SECRET);
    let config = format!(
        "key \"update.example.test\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};
options {{ directory \"{path}\"; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
pid-file \"{path}/pid\"; session-keyfile \"{path}/session\"; recursion no; dnssec-validation no; notify no; }};
controls {{ }};
zone \"example.test\" {{ type primary; file \"{path}/zone\"; allow-update {{ key \"update.example.test\"; }}; }};\n",
        address.port()
    );
    std::fs::write(folder.join("zone"), ZONE).unwrap();
    std::fs::write(folder.join("config"), config).unwrap();
    Command::new(NAMED)
        .args(["-g", "-c"])
        .arg(folder.join("config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn server(address: SocketAddr, key: &str, secret: &[u8]) -> Server {
    Server {
        address,
        zone: "example.test".parse().unwrap(),
        key: Some(Key::new(
            key.parse().unwrap(),
            TsigAlgorithm::HmacSha256,
            secret,
        )),
    }
}

fn change(before: Option<&str>, after: Option<&str>) -> Change {
    let (before, after) = (before.map(set), after.map(set));
    let one = before.as_ref().or(after.as_ref()).unwrap();
    Change {
        name: one.name.clone(),
        rtype: one.rtype,
        before,
        after,
    }
}

fn keys() -> Vec<SetKey> {
    vec![
        ("www.example.test".parse().unwrap(), RrType::A),
        ("www.example.test".parse().unwrap(), RrType::AAAA),
        ("shop.example.test".parse().unwrap(), RrType::A),
    ]
}

const WWW: &str = "www.example.test 60 A 192.0.2.80 | 192.0.2.81";
const SHOP: &str = "shop.example.test 60 CNAME www.example.test.";

async fn refused(server: &Server, changes: &[Change], why: &str, there: &[RrSet]) {
    match server.write(changes).await {
        Err(Trouble::Refused(said)) => assert!(said.contains(why), "{said}"),
        other => panic!("{other:?} instead of {why}"),
    }
    let now = server.sets(&keys()).await;
    if let Ok(now) = now {
        assert_eq!(now, there, "something was done all the same");
    }
}

#[tokio::test]
async fn p5_a_change_made_by_somebody_else_meanwhile_is_refused_and_all_of_it_or_nothing_is_done() {
    if !Path::new(NAMED).exists() {
        println!("skipped: BIND is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let _named = started(folder.path(), address);
    let server_here = server(address, "update.example.test", SECRET);
    let mut there = server_here.sets(&keys()).await;
    for _ in 0..200 {
        if there.is_ok() {
            break;
        }
        // waits because another process has to get there, and it tells nobody when it does
        sleep(Duration::from_millis(50)).await;
        there = server_here.sets(&keys()).await;
    }
    let mut there = there.unwrap();
    for set in &mut there {
        set.rdata.sort();
    }
    assert_eq!(there, [set(SHOP), set(WWW)]);

    // One record less or more than is there, and one condition of two that does not hold.
    let sorted = there.clone();
    let after = "www.example.test 60 A 198.51.100.1";
    for before in [
        Some("www.example.test 60 A 192.0.2.80"),
        Some("www.example.test 60 A 192.0.2.80 | 192.0.2.81 | 192.0.2.82"),
        Some("www.example.test 60 A 203.0.113.9"),
        None,
    ] {
        let whole = [
            change(
                Some(SHOP),
                Some("shop.example.test 60 CNAME elsewhere.example.net."),
            ),
            change(before, Some(after)),
        ];
        match server_here.write(&whole).await {
            Err(Trouble::Refused(said)) => assert!(said.contains("somebody else"), "{said}"),
            other => panic!("{before:?}: {other:?}"),
        }
        let mut now = server_here.sets(&keys()).await.unwrap();
        now.iter_mut().for_each(|it| it.rdata.sort());
        assert_eq!(now, sorted, "{before:?}: something was done all the same");
    }

    nobody_else(&server_here, after).await;

    // An alias goes and addresses come, with the other set, in one message.
    let whole = [
        change(Some(WWW), Some(after)),
        change(Some(SHOP), None),
        change(None, Some("shop.example.test 60 A 198.51.100.2")),
    ];
    assert_eq!(server_here.write(&whole).await, Ok(Wrote::Done));
    let now = server_here.sets(&keys()).await.unwrap();
    assert_eq!(
        now,
        [set("shop.example.test 60 A 198.51.100.2"), set(after)]
    );
    // What is there written once more, as a check does to prove that it may, changes nothing.
    assert_eq!(
        server_here.write(&[change(Some(after), Some(after))]).await,
        Ok(Wrote::Done)
    );
    assert_eq!(server_here.sets(&keys()).await.unwrap(), now);
}

/// Who may not do it is told so.
async fn nobody_else(server_here: &Server, after: &str) {
    let wrong = server(
        server_here.address,
        "update.example.test",
        b"another secret that is long enough",
    );
    refused(&wrong, &[change(Some(WWW), Some(after))], "BADSIG", &[]).await;
    let unknown = server(server_here.address, "nobody.example.test", SECRET);
    refused(&unknown, &[change(Some(WWW), Some(after))], "BADKEY", &[]).await;
    let elsewhere = change(None, Some("www.example.net 60 A 192.0.2.1"));
    match server_here.write(&[elsewhere]).await {
        Err(Trouble::Refused(said)) => assert!(said.contains("not in that zone"), "{said}"),
        other => panic!("{other:?}"),
    }
}
