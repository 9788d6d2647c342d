//! P1, P3: mail that comes in at real nodes, from a plain SMTP client. What was answered with 250 outlives the node that
//! took it; a node that is alone takes mail and passes it on; nothing is relayed; what comes back is in the report.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::conversations::all;
use crate::harness::node::Node;
use crate::harness::recorder::Recorder;
use crate::harness::stage::{Stage, says_it_is_alone};
use crate::harness::{tell, until, until_within};

/// Where nodes take mail.
pub const SMTP: u16 = 2525;
/// The longest that an answer may take: a held message is told of after two seconds.
const ANSWER: Duration = Duration::from_secs(30);

/// A cluster whose nodes take mail, and mail to the recorder.
async fn cluster(count: usize, recorder: &Recorder) -> Result<Stage> {
    let mut stage = Stage::empty()?;
    for _ in 0..count {
        let node = stage.prepare()?;
        let mail = format!(
            "[mail]\nfrom = \"notice@help.example.net\"\nsupport = \"staff@example.com\"\nreturn-domain = \"back.help.example.net\"\n\
             [[mail.relays]]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
             [mail.in]\nlisten = [\"{}:{SMTP}\"]\nhost-name = \"localhost.example.net\"\naddresses = [\"support@example.com\"]\n[telemetry]\n",
            recorder.at.port(),
            node.address
        );
        node.amend("[telemetry]\n", &mail)?;
        node.make_data_folder()?;
        stage.admit(node, "voter").await?;
    }
    stage.all_agree().await?;
    Ok(stage)
}

/// A mail server that hands us mail, and does no more than it must.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub async fn connect(node: &Node) -> Result<Client> {
        let at: SocketAddr = (node.address, SMTP).into();
        let stream = until("the listener answers", async || {
            Ok(TcpStream::connect(at).await.ok())
        })
        .await?;
        let mut client = Client {
            stream: BufReader::new(stream),
        };
        client.answer("220").await?;
        client.say("EHLO mx.example.org", "250").await?;
        Ok(client)
    }

    async fn answer(&mut self, wanted: &str) -> Result<String> {
        loop {
            let mut line = String::new();
            timeout(ANSWER, self.stream.read_line(&mut line))
                .await
                .context("no answer")??;
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            anyhow::ensure!(
                line.starts_with(wanted),
                "wanted {wanted}, was told {line:?}"
            );
            return Ok(line.trim_end().to_owned());
        }
    }

    async fn say(&mut self, line: &str, wanted: &str) -> Result<String> {
        self.stream
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .await?;
        self.answer(wanted).await
    }

    pub async fn mail(&mut self, from: &str, to: &str, mail: &str, wanted: &str) -> Result<String> {
        self.say(&format!("MAIL FROM:<{from}>"), "250").await?;
        self.say(&format!("RCPT TO:<{to}>"), "250").await?;
        self.say("DATA", "354").await?;
        self.say(&format!("{}\r\n.", mail.replace('\n', "\r\n")), wanted)
            .await
    }
}

fn letter(number: u32, text: &str) -> String {
    format!(
        "From: Jana <jana{number}@example.org>\nTo: support@example.com\nSubject: Letter {number}\nMessage-ID: <{number}@example.org>\n\n{text}"
    )
}

/// How many conversations on a node hold these words.
async fn with_words(node: &Node, words: &str) -> Result<Vec<Value>> {
    let known = all(node).await?.into_iter();
    Ok(known
        .filter(|it| it["excerpt"].as_str().is_some_and(|it| it.contains(words)))
        .collect())
}

/// Nothing is relayed, and nobody is told who is here.
async fn takes_for_us_alone(node: &Node) -> Result<()> {
    let mut client = Client::connect(node).await?;
    client.say("VRFY root", "502").await?;
    client.say("MAIL FROM:<a@example.org>", "250").await?;
    let other = "RCPT TO:<victim@elsewhere.example>";
    client.say(other, "550 5.7.1").await?;
    let forged = "RCPT TO:<b-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@back.help.example.net>";
    client.say(forged, "550 5.1.1").await?;
    client.say("DATA", "503").await.map(drop)
}

/// Hands a node a mail, kills it at the answer, and looks whether the others have it; then hands it to another again.
async fn killed_after_250(stage: &mut Stage, victim: usize) -> Result<()> {
    let (number, words) = (u32::try_from(victim)?, format!("killed after {victim}"));
    let (from, to, mail) = (
        "jana@example.org",
        "support@example.com",
        letter(number, &words),
    );
    let mut client = Client::connect(&stage.nodes[victim]).await?;
    let told = client.mail(from, to, &mail, "250").await?;
    stage.nodes[victim].kill().await?;
    tell(&told);
    anyhow::ensure!(told.contains("Safely stored"), "{told}");
    for other in stage.others(&[victim]) {
        let node = &stage.nodes[other];
        until("the words are on the others", async || {
            Ok((with_words(node, &words).await?.len() == 1).then_some(()))
        })
        .await?;
    }
    stage.nodes[victim].up().await?;
    stage.all_agree().await?;
    let other = &stage.nodes[(victim + 1) % 3];
    let mut client = Client::connect(other).await?;
    client.mail(from, to, &mail, "250").await?;
    let found = with_words(other, &words).await?;
    anyhow::ensure!(found.len() == 1 && found[0]["messages"] == 1, "{found:?}");
    anyhow::ensure!(found[0]["door"] == "mail", "{found:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_was_answered_with_250_is_on_the_others_when_its_node_is_killed_at_once()
-> Result<()> {
    let recorder = Recorder::begin(Duration::ZERO).await?;
    let mut stage = cluster(3, &recorder).await?;
    let played = async {
        takes_for_us_alone(&stage.nodes[0]).await?;
        for victim in 0..3 {
            killed_after_250(&mut stage, victim).await?;
        }
        let thanked = until("everybody was thanked", async || {
            let taken = recorder.taken();
            let customers = taken.iter().filter(|it| it.0.starts_with("jana"));
            let thanked: Vec<usize> = customers.map(|it| it.1.len()).collect();
            Ok((thanked.len() == 3).then_some(thanked))
        })
        .await?;
        anyhow::ensure!(thanked == [1, 1, 1], "thanked {thanked:?} times");
        // A customer answers our thanks, at the signed address that it came from.
        let back = recorder.senders()["jana0@example.org"].clone();
        anyhow::ensure!(back.starts_with("r-"), "{back}");
        let mail = "From: jana0@example.org\nSubject: Re: thanks\nMessage-ID: <r@example.org>\n\nOne more thing.";
        let mut client = Client::connect(&stage.nodes[1]).await?;
        client.mail("jana0@example.org", &back, mail, "250").await?;
        let found = with_words(&stage.nodes[1], "killed after 0").await?;
        let all = all(&stage.nodes[1]).await?;
        let added = all.iter().any(|it| it["messages"] == 2);
        anyhow::ensure!(all.len() == 3 && added, "{found:?} {all:?}");
        let listed = stage.nodes[0].done(&["conversations", "list"]).await?;
        anyhow::ensure!(listed.contains("mail"), "{listed}");
        Ok(())
    };
    let played = played.await;
    stage.end(played)
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_lone_node_takes_mail_says_so_and_passes_it_on() -> Result<()> {
    let recorder = Recorder::begin(Duration::ZERO).await?;
    let mut stage = cluster(3, &recorder).await?;
    let played = async {
        stage.nodes[1].kill().await?;
        stage.nodes[2].kill().await?;
        says_it_is_alone(&stage.nodes[0]).await?;
        let mut client = Client::connect(&stage.nodes[0]).await?;
        let told = client
            .mail(
                "jana@example.org",
                "support@example.com",
                &letter(9, "taken alone"),
                "250",
            )
            .await?;
        tell(&told);
        anyhow::ensure!(told.contains("Held on one server"), "{told}");
        // Its sender is killed with the node, and it is not asked again.
        stage.nodes[0].kill().await?;
        for node in &mut stage.nodes {
            node.up().await?;
        }
        stage.all_agree().await?;
        for node in &stage.nodes {
            until("the words are everywhere", async || {
                Ok((with_words(node, "taken alone").await?.len() == 1).then_some(()))
            })
            .await?;
        }
        Ok(())
    };
    let played = played.await;
    stage.end(played)
}

/// A report as servers send it (RFC 3464).
fn returned(status: &str, said: &str, number: u32) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.org\nSubject: Undelivered Mail Returned to Sender\nMessage-ID: <r{number}@mx.example.org>\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n\nSorry.\n--x\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.example.org\n\nFinal-Recipient: rfc822; somebody@example.com\nAction: failed\nStatus: {status}\n\
         Diagnostic-Code: smtp; {said}\n\n--x--"
    )
}

/// Writes texts and a list of thirty.
fn material(folder: &Path) -> Result<(String, String)> {
    let texts = folder.join("texts");
    std::fs::create_dir_all(&texts)?;
    std::fs::write(texts.join("en.txt"), "Subject: Power\n\nNo power.\n")?;
    let list = folder.join("list.csv");
    let people: String = (0..30)
        .map(|it| format!("c{it}@example.com,en\r\n"))
        .collect();
    std::fs::write(&list, format!("address,lang\r\n{people}"))?;
    let text = |it: &Path| it.to_string_lossy().into_owned();
    Ok((text(&texts), text(&list)))
}

async fn drafted(node: &Node, texts: &str, list: &str) -> Result<String> {
    let words = [
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
    let drafted = node.json(&words).await?;
    Ok(drafted["campaign"]
        .as_str()
        .context("no campaign")?
        .to_owned())
}

/// Mails all thirty.
async fn mailed(node: &Node, id: &str) -> Result<()> {
    node.done(&["mail", "request", id]).await?;
    until("a majority has copied the recipients", async || {
        let shown = node.json(&["mail", "show", id]).await?;
        Ok((shown["voters_holding"].as_u64() >= Some(2)).then_some(()))
    })
    .await?;
    node.done(&["mail", "approve", id, "--confirm", "30"])
        .await?;
    until_within("everybody got it", Duration::from_secs(90), async || {
        let shown = node.json(&["mail", "show", id]).await?;
        Ok((shown["stage"] == "done").then_some(()))
    })
    .await
}

/// Hands in what comes back from the third to the sixth.
async fn comes_back(node: &Node, recorder: &Recorder) -> Result<()> {
    let returns = recorder.senders();
    let path = |who: &str| {
        let path = returns.get(&format!("{who}@example.com")).cloned();
        path.with_context(|| format!("{who} got no mail"))
    };
    let (dead, full, angry) = (path("c3")?, path("c4")?, path("c5")?);
    let ours = dead.starts_with("b-") && dead.ends_with("@back.help.example.net");
    anyhow::ensure!(dead != full && ours, "{dead}");
    let mut client = Client::connect(node).await?;
    let unknown = returned("5.1.1", "550 5.1.1 User unknown", 1);
    client.mail("", &dead, &unknown, "250").await?;
    let room = returned("5.2.2", "552 5.2.2 Mailbox full", 2);
    client.mail("", &full, &room, "250").await?;
    let complaint = format!(
        "From: fbl@provider.example\nSubject: Abuse\nMessage-ID: <f@provider.example>\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=x\n\n\
         --x\n\nA complaint.\n--x\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\
         Original-Mail-From: <{angry}>\n\n--x--"
    );
    let abuse = "abuse@back.help.example.net";
    client
        .mail("fbl@provider.example", abuse, &complaint, "250")
        .await?;
    let away = "From: c6@example.com\nSubject: Automatic reply: Power\nAuto-Submitted: auto-replied\n\
                Message-ID: <a@example.com>\n\nAway.";
    client.mail("", &path("c6")?, away, "250").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_is_one_recipients_is_in_the_report_and_kept_away() -> Result<()> {
    let recorder = Recorder::begin(Duration::ZERO).await?;
    let stage = cluster(3, &recorder).await?;
    let played = async {
        let (texts, list) = material(stage.folder())?;
        let node = &stage.nodes[0];
        let id = drafted(node, &texts, &list).await?;
        mailed(node, &id).await?;
        comes_back(&stage.nodes[1], &recorder).await?;
        for node in &stage.nodes {
            let report = until("the report says what came back", async || {
                let report = node.done(&["mail", "report", &id]).await?;
                Ok((report.matches("complained").count() == 1).then_some(report))
            })
            .await?;
            for (who, end) in [
                ("c3", ",returned,550 5.1.1"),
                ("c4", ",not delivered,552 5.2.2"),
                ("c6", ",,"),
            ] {
                let line = report.lines().find(|it| it.contains(&format!("\"{who}@")));
                let line = line.unwrap_or_default();
                anyhow::ensure!(line.ends_with(end), "{line}");
            }
        }
        let shown = node.done(&["mail", "show", &id]).await?;
        let wanted = "came back   complained 1, not delivered 1, returned 1";
        anyhow::ensure!(shown.contains(wanted), "{shown}");
        // Who is gone or complained is left out of the next one; who only did not get it is not.
        until("they are kept away", async || {
            let next = drafted(node, &texts, &list).await?;
            let check = node.json(&["mail", "check", &next]).await?;
            Ok((check["suppressed"] == 2).then_some(()))
        })
        .await
    };
    let played = played.await;
    stage.end(played)
}
