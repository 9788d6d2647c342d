//! What we sign is believed: keys are made, refused until the DNS shows them, and put to use; a verifier of another make
//! accepts every signature on the wire; `lifeboat mail ready` says what receivers would make of it, and what is wrong.

use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use lifeboat::mail::authentic::Authenticator;

use crate::harness::node::{NAMES, Node};
use crate::harness::recorder::Recorder;
use crate::harness::stage::Stage;
use crate::harness::{skipped, tell, until};
use crate::mail_in::{Client, SMTP};

/// Reads a JSON of mail and records, and says of each signature whether it holds.
const VERIFIER: &str = r#"
import json, sys, dkim
told = json.load(sys.stdin)
records = {name.encode(): text.encode() for name, text in told["records"].items()}
mail = told["mail"].encode()
judge = dkim.DKIM(mail, logger=None)
signatures = sum(1 for name, _ in judge.headers if name.lower() == b"dkim-signature")
holds = [judge.verify(idx=place, dnsfunc=lambda name, timeout=5: records.get(name)) for place in range(signatures)]
print(json.dumps(holds))
"#;

// The whole top-level domain is ours here: receivers look for a policy up to there, and this resolver knows nothing else.
const ZONE: &str = "$TTL 60
@ IN SOA ns1 hostmaster 1 900 300 1209600 60
@ NS ns1
ns1 A 192.0.2.53
";

async fn stage(recorder: &Recorder) -> Result<Stage> {
    let mut stage = Stage::empty()?;
    let node = stage.prepare()?;
    let mail = format!(
        "[mail]\nfrom = \"notice@help.example.test\"\nsupport = \"staff@example.com\"\nreturn-domain = \"back.help.example.test\"\n\
         resolvers = [\"{}:{NAMES}\"]\n\
         [[mail.relays]]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nsign = \"both\"\nsends-from = [\"192.0.2.25\"]\n\
         [mail.in]\nlisten = [\"{}:{SMTP}\"]\nhost-name = \"localhost.example.test\"\naddresses = [\"support@example.com\"]\n[proofs]\noutside-s = 10\n[telemetry]\n",
        node.address,
        recorder.at.port(),
        node.address,
    );
    node.amend("[telemetry]\n", &mail)?;
    node.make_data_folder()?;
    stage.admit(node, "voter").await?;
    stage.all_agree().await?;
    Ok(stage)
}

/// Publishes the zone with these records more, and waits until the node answers them.
async fn publish(stage: &Stage, more: &str) -> Result<()> {
    let node = &stage.nodes[0];
    let file = stage.folder().join("test.zone");
    let mark = lifeboat::clock::now().0.to_string();
    std::fs::write(&file, format!("{ZONE}mark TXT {mark}\n{more}"))?;
    let file = file.to_str().context("a path")?;
    let plan = node.json(&["dns", "zone", "import", file]).await?;
    let count = plan["changes"].to_string();
    node.done(&[
        "dns",
        "zone",
        "import",
        file,
        "--confirm",
        &count,
        "--force",
    ])
    .await?;
    let resolver = Authenticator::new(&[(node.address, NAMES).into()], false)?;
    until("the zone is answered", async || {
        let found = resolver.texts("mark.test").await;
        let is_new = found.is_ok_and(|it| it == [mark.clone()]);
        Ok(is_new.then_some(()))
    })
    .await
}

/// The records that the keys want, each as a zone file has it.
async fn records(node: &Node) -> Result<(Value, String)> {
    let listed = node.json(&["mail", "key", "list"]).await?;
    let mut texts = serde_json::Map::new();
    let mut lines = String::new();
    for key in listed["keys"].as_array().context("no keys")? {
        let (name, text) = (key["record_name"].as_str(), key["record"].as_str());
        let (name, text) = (name.context("no name")?, text.context("no record")?);
        let (first, rest) = text.split_at(text.len().min(200));
        lines.push_str(&format!("{name} TXT \"{first}\" \"{rest}\"\n"));
        texts.insert(name.to_owned(), text.into());
    }
    Ok((Value::Object(texts), lines))
}

/// What somebody else's verifier says of each signature of a mail.
async fn verified(records: &Value, mail: &str) -> Result<Vec<bool>> {
    let mut verifier = Command::new("/usr/bin/python3")
        .args(["-c", VERIFIER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let told = serde_json::json!({ "records": records, "mail": mail }).to_string();
    let mut stdin = verifier.stdin.take().context("no input")?;
    stdin.write_all(told.as_bytes()).await?;
    drop(stdin);
    let said = verifier.wait_with_output().await?;
    let why = String::from_utf8_lossy(&said.stderr);
    serde_json::from_slice(&said.stdout).with_context(|| format!("the verifier: {why}"))
}

/// A mass mail to one person and a test of it, as they were on the wire.
async fn mailed(stage: &Stage, recorder: &Recorder) -> Result<Vec<String>> {
    let node = &stage.nodes[0];
    let texts = stage.folder().join("texts");
    std::fs::create_dir_all(&texts)?;
    std::fs::write(
        texts.join("cs.txt"),
        "Subject: Výpadek napájení\n\nProud nejde.\nPíšeme znovu ve 3:00.\n",
    )?;
    std::fs::write(texts.join("cs.html"), "<p>Proud nejde.</p>\n")?;
    let list = stage.folder().join("list.csv");
    std::fs::write(&list, "address,lang\r\njana@example.com,cs\r\n")?;
    let (texts, list) = (
        texts.to_str().context("a path")?,
        list.to_str().context("a path")?,
    );
    let draft = [
        "mail",
        "draft",
        "--name",
        "power",
        "--texts",
        texts,
        "--list",
        list,
        "--at-once",
    ];
    let drafted = node.json(&draft).await?;
    let id = drafted["campaign"].as_str().context("no campaign")?;
    node.done(&["mail", "test", id]).await?;
    node.done(&["mail", "request", id]).await?;
    node.done(&["mail", "approve", id, "--confirm", "1"])
        .await?;
    until("both were mailed", async || {
        let last = recorder.last();
        let both = ["jana@example.com", "staff@example.com"].map(|it| last.get(it).cloned());
        Ok(both.into_iter().collect::<Option<Vec<String>>>())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_sign_is_believed_and_what_is_wrong_is_said() -> Result<()> {
    let has = Command::new("/usr/bin/python3")
        .args(["-c", "import dkim, nacl"])
        .output();
    if !has.await.is_ok_and(|it| it.status.success()) {
        skipped("what we sign is believed", "python3-dkim is not here");
        return Ok(());
    }
    let recorder = Recorder::begin(Duration::ZERO).await?;
    let stage = stage(&recorder).await?;
    let played = story(&stage, &recorder).await;
    stage.end(played)
}

async fn story(stage: &Stage, recorder: &Recorder) -> Result<()> {
    let node = &stage.nodes[0];
    publish(stage, "").await?;
    let ready = node.verb(&["mail", "ready"]).await?;
    anyhow::ensure!(ready.code == Some(2), "{}", ready.out);
    for wanted in [
        "there is no SPF record",
        "back.help.example.test. TXT \"v=spf1 ip4:192.0.2.25 -all\"",
        "no host takes its mail",
        "_dmarc.example.test. TXT",
    ] {
        anyhow::ensure!(ready.out.contains(wanted), "no {wanted:?}: {}", ready.out);
    }

    for (selector, algorithm) in [("r26", "rsa"), ("e26", "ed25519")] {
        let add = ["mail", "key", "add", selector, "--algorithm", algorithm];
        tell(node.done(&add).await?.trim());
        let early = ["mail", "key", "use", "help.example.test", selector];
        let early = node.verb(&early).await?;
        let why = "there is no such record";
        anyhow::ensure!(
            early.code != Some(0) && early.err.contains(why),
            "{}",
            early.err
        );
    }
    let (texts, lines) = records(node).await?;
    let others = "_dmarc.example TXT \"v=DMARC1; p=reject; adkim=s\"\nback.help.example TXT \"v=spf1 ip4:192.0.2.25 -all\"\nback.help.example MX 10 ns1\n";
    publish(stage, &format!("{lines}{others}")).await?;
    for selector in ["r26", "e26"] {
        let using = ["mail", "key", "use", "help.example.test", selector];
        tell(node.done(&using).await?.trim());
    }
    let ready = node.verb(&["mail", "ready"]).await?;
    tell(&ready.out);
    anyhow::ensure!(ready.code == Some(0), "{}", ready.out);

    for mail in mailed(stage, recorder).await? {
        let holds = verified(&texts, &mail).await?;
        anyhow::ensure!(holds == [true, true], "{holds:?}\n{mail}");
        let changed = mail.replacen("Subject: ", "Subject: changed ", 1);
        let holds = verified(&texts, &changed).await?;
        anyhow::ensure!(holds == [false, false], "{holds:?}");
    }

    proves(node, "ok").await?;
    // Somebody publishes another key, and forgets a relay.
    let broken = format!(
        "{}{}",
        lines.replace("k=ed25519; p=", "k=ed25519; p=AAAA"),
        others.replace("192.0.2.25", "192.0.2.26")
    );
    publish(stage, &broken).await?;
    let ready = node.verb(&["mail", "ready"]).await?;
    anyhow::ensure!(ready.code == Some(2), "{}", ready.out);
    for wanted in [
        "another key is there; it signs",
        "192.0.2.25 is not allowed: Fail",
        "the signature of e26._domainkey.help.example.test does not hold",
    ] {
        anyhow::ensure!(ready.out.contains(wanted), "no {wanted:?}: {}", ready.out);
    }
    proves(node, "failed").await
}

/// Waits until the node's proof of its keys stands so.
async fn proves(node: &Node, wanted: &str) -> Result<()> {
    until(&format!("the keys of mail are {wanted}"), async || {
        let said = node.verb(&["ready", "--proofs", "--json"]).await?;
        let all: Value = serde_json::from_str(&said.out).context("no JSON")?;
        let proofs = all["proofs"].as_array().context("no proofs")?;
        let keys = proofs.iter().find(|it| it["name"] == "mail-keys");
        Ok(keys.filter(|it| it["state"] == wanted).map(drop))
    })
    .await
}

/// A letter from somebody at this domain.
fn letter(number: u32, domain: &str, subject: &str) -> String {
    format!(
        "From: Jana <jana@{domain}>\nTo: support@example.com\nSubject: {subject}\nMessage-ID: <{number}@{domain}>\n\nLetter {number}."
    )
}

/// Hands it in, and says what the conversation with its words looks like then.
async fn taken(node: &Node, number: u32, (domain, subject): (&str, &str)) -> Result<Vec<Value>> {
    let mut client = Client::connect(node).await?;
    let from = format!("jana@{domain}");
    let mail = letter(number, domain, subject);
    let told = client.mail(&from, "support@example.com", &mail, "250");
    told.await?;
    let listed = node
        .json(&["conversations", "list", "--state", "all"])
        .await?;
    let all = listed["conversations"].as_array().context("no list")?;
    Ok(all.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_sender_is_set_apart_and_nobody_is_thanked_for_it() -> Result<()> {
    let recorder = Recorder::begin(Duration::ZERO).await?;
    let stage = stage(&recorder).await?;
    let played = async {
        let node = &stage.nodes[0];
        publish(
            &stage,
            "mine.example TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n_dmarc.mine.example TXT \"v=DMARC1; p=reject\"\n\
             theirs.example TXT \"v=spf1 ip4:192.0.2.25 -all\"\n_dmarc.theirs.example TXT \"v=DMARC1; p=reject\"\n",
        )
        .await?;
        let set_apart =
            |all: &[Value]| all.iter().filter(|it| it["state"] == "quarantined").count();
        let all = taken(node, 1, ("mine.example.test", "Help")).await?;
        anyhow::ensure!(all.len() == 1 && set_apart(&all) == 0, "{all:?}");
        let all = taken(node, 2, ("theirs.example.test", "Help")).await?;
        anyhow::ensure!(all.len() == 2 && set_apart(&all) == 1, "{all:?}");
        // A domain that says nothing is believed as before.
        let all = taken(node, 3, ("silent.example.test", "Help")).await?;
        anyhow::ensure!(all.len() == 3 && set_apart(&all) == 1, "{all:?}");
        until("the others were thanked", async || {
            let taken = recorder.taken();
            let thanked = ["mine", "silent"].map(|it| format!("jana@{it}.example.test"));
            Ok(thanked
                .iter()
                .all(|it| taken.contains_key(it))
                .then_some(()))
        })
        .await?;
        let forged = recorder.taken().contains_key("jana@theirs.example.test");
        anyhow::ensure!(
            !forged,
            "somebody was thanked for a mail that they never wrote"
        );
        for (name, wanted) in [("pass", 1), ("fail", 1), ("no-policy", 1)] {
            let figure = format!("lifeboat_mail_in_proven_total{{dmarc=\"{name}\"}}");
            let found = node.figure(&figure).await?;
            anyhow::ensure!(found == wanted, "{figure}: {found}");
        }
        Ok(())
    };
    let played = played.await;
    stage.end(played)
}
