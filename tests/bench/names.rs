//! Names: processor time for each question over UDP, TCP and TLS, and what ten thousand zones cost. Lifeboat beside
//! gdnsd, NSD and Knot, each with one worker and the same zones; the signed one is that which Lifeboat signed.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::Instant;

use crate::Run;
use crate::boat::Boat;
use crate::gun::{Shot, fire, question};
use crate::machine::{Meter, Server, memory_kb, pause, put_first};
use crate::name_peers::{NamePeer, ZoneFile};
use crate::table::{Figure, OURS};

const UDP: Figure = figure(
    "names over UDP, mixed questions, server's processor time",
    "gdnsd",
);
const SIGNED: Figure = figure(
    "names over UDP, signed zone, server's processor time",
    "nsd",
);
const TCP: Figure = figure(
    "names over TCP, kept connections, server's processor time",
    "gdnsd",
);
const TLS: Figure = figure(
    "names over TLS, kept connections, server's processor time",
    "nsd",
);
const LOAD: Figure = Figure {
    name: "10,000 zones with 100,000 names, from start to answers from all",
    unit: "s",
    goal: Some(("knot", 100)),
};
const MEMORY: Figure = Figure {
    name: "10,000 zones with 100,000 names, memory",
    unit: "kB",
    goal: Some(("knot", 100)),
};

const fn figure(name: &'static str, peer: &'static str) -> Figure {
    Figure {
        name,
        unit: "us a question",
        goal: Some((peer, 100)),
    }
}

const A: u16 = 1;
const ZONE: &str = "example.test";
/// Names that most ask for.
const POPULAR: [&str; 6] = ["www", "support", "mail", "status", "chat", "api"];
/// Other names.
const HOSTS: usize = 36;
/// Different questions.
const QUESTIONS: usize = 20_000;
/// Zones that all have ten names.
const ZONES: usize = 10_000;
/// Hosts of each of them, beside its apex and name server.
const HOSTS_EACH: usize = 8;
/// Each so manieth of them is asked about.
const SAMPLED: usize = 50;
/// How long all zones may take until they are answered.
const LOADS_WITHIN: Duration = Duration::from_secs(180);

/// A name server with a place to ask it at.
struct Contestant {
    name: &'static str,
    /// Over UDP and TCP.
    at: SocketAddr,
    /// Over TLS.
    tls: Option<SocketAddr>,
    server: Running,
}

enum Running {
    Ours(Boat),
    Theirs(Server),
}

impl Contestant {
    fn server(&self) -> Result<&Server> {
        match &self.server {
            Running::Ours(boat) => boat.servers().next().context("no node runs"),
            Running::Theirs(server) => Ok(server),
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The section that makes a node a name server with one worker, at a port and over TLS at the next one.
fn section(port: u16) -> String {
    format!(
        "[dns]\nlisten = [\"{}\"]\ntls-listen = [\"{}\"]\nudp-threads = 1\nrate = \"off\"\n",
        local(port),
        local(port + 1)
    )
}

/// Small steps of a generator of numbers that look drawn, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

fn zone_text() -> String {
    let mut text = format!(
        "$ORIGIN {ZONE}.\n$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 900 604800 300\n@ IN NS ns1\n@ IN NS ns2\n\
         ns1 IN A 192.0.2.1\nns2 IN A 192.0.2.2\nns1 IN AAAA 2001:db8::1\n@ IN A 192.0.2.10\n\
         @ IN AAAA 2001:db8::10\n@ IN MX 10 mail\n@ IN TXT \"v=spf1 mx -all\"\n\
         _dmarc IN TXT \"v=DMARC1; p=reject\"\nhelp IN CNAME support\n*.w IN A 192.0.2.77\n"
    );
    let hosts = (0..HOSTS).map(|it| format!("host{it}"));
    let names = POPULAR.iter().map(|it| (*it).to_owned()).chain(hosts);
    for (at, name) in names.enumerate() {
        let _ = writeln!(text, "{name} IN A 192.0.2.{}", 20 + at);
        if at < 8 {
            let _ = writeln!(text, "{name} IN AAAA 2001:db8::{:x}", 32 + at);
        }
    }
    text
}

/// Six in ten for what is there, two for names that are not, one for a wildcard, one for IPv6 and rarer types.
fn mixed() -> Vec<(String, &'static str, u16)> {
    let mut dice = Dice(1);
    let mut questions = Vec::with_capacity(QUESTIONS);
    for _ in 0..QUESTIONS {
        let popular = POPULAR[dice.below(POPULAR.len())];
        let host = dice.below(HOSTS);
        questions.push(match (dice.below(10), dice.below(10)) {
            (0..6, 0..5) => (format!("{popular}.{ZONE}"), "A", A),
            (0..6, 5..7) => (format!("host{host}.{ZONE}"), "A", A),
            (0..6, 7) => (ZONE.to_owned(), "MX", 15),
            (0..6, 8) => (format!("help.{ZONE}"), "A", A),
            (0..6, _) => (ZONE.to_owned(), "TXT", 16),
            (6 | 7, _) => (format!("nx{}.{ZONE}", dice.below(1_000_000)), "A", A),
            (8, _) => (format!("u{}.w.{ZONE}", dice.below(1_000_000)), "A", A),
            (_, 0..7) => (format!("{popular}.{ZONE}"), "AAAA", 28),
            _ => (format!("host{host}.{ZONE}"), "AAAA", 28),
        });
    }
    questions
}

fn import(boat: &Boat, from: &str) -> Result<()> {
    let node = boat.nodes.first().context("no node")?;
    let plan = boat.ask(node, &["dns", "zone", "import", from, "--json"])?;
    let plan: Value = serde_json::from_str(&plan)?;
    let count = plan["changes"].to_string();
    boat.ask(node, &["dns", "zone", "import", from, "--confirm", &count])?;
    Ok(())
}

/// Waits until a question is answered with records.
async fn answers(at: SocketAddr, name: &str, within: Duration) -> Result<()> {
    let socket = tokio::net::UdpSocket::bind(local(0)).await?;
    socket.connect(at).await?;
    let asked = question(name, A, false);
    let began = Instant::now();
    let mut answer = [0; 4_096];
    loop {
        anyhow::ensure!(began.elapsed() < within, "{at} does not answer for {name}");
        let heard = async {
            socket.send(&asked).await?;
            socket.recv(&mut answer).await
        };
        let heard = tokio::time::timeout(Duration::from_millis(200), heard).await;
        match heard {
            Ok(Ok(len)) if len > 12 && answer[3] & 15 == 0 && answer[7] > 0 => return Ok(()),
            _ => pause(Duration::from_millis(5)).await,
        }
    }
}

/// Everybody with the same zone, and the same signed by us.
async fn everybody(run: &Run) -> Result<(Vec<Contestant>, Vec<Contestant>)> {
    let file = run.stage.path("example.test.zone");
    std::fs::write(&file, zone_text())?;
    let port = run.port + 20;
    let boat = Boat::launch_with(&run.stage, "plain", run.port, 1, &section(port)).await?;
    import(&boat, &file.to_string_lossy())?;
    let signing =
        Boat::launch_with(&run.stage, "signing", run.port + 10, 1, &section(port + 2)).await?;
    import(&signing, &file.to_string_lossy())?;
    signing.ask(&signing.nodes[0], &["dns", "sign", ZONE])?;
    let exported = signed_zone(&signing).await?;
    let signed_file = run.stage.path("signed.zone");
    std::fs::write(&signed_file, exported)?;
    let ours = |boat, at| Contestant {
        name: OURS,
        at: local(at),
        tls: Some(local(at + 1)),
        server: Running::Ours(boat),
    };
    let (mut plain, mut signed) = (vec![ours(boat, port)], vec![ours(signing, port + 2)]);
    for (at, peer) in (port + 4..).step_by(4).zip(NamePeer::ALL) {
        plain.push(theirs(run, peer, at, file.clone())?);
        if peer.signs() {
            signed.push(theirs(run, peer, at + 2, signed_file.clone())?);
        }
    }
    for it in plain.iter().chain(&signed) {
        answers(it.at, &format!("www.{ZONE}"), LOADS_WITHIN).await?;
        put_first(&it.server()?.pid().to_string());
    }
    Ok((plain, signed))
}

/// The zone with signatures, once they are there.
async fn signed_zone(boat: &Boat) -> Result<String> {
    let began = Instant::now();
    loop {
        let text = boat.ask(&boat.nodes[0], &["dns", "zone", "export", ZONE, "--signed"])?;
        if text.contains(" RRSIG ") {
            return Ok(text);
        }
        anyhow::ensure!(
            began.elapsed() < LOADS_WITHIN,
            "the zone is not signed: {text}"
        );
        pause(Duration::from_millis(50)).await;
    }
}

fn theirs(run: &Run, peer: NamePeer, port: u16, file: PathBuf) -> Result<Contestant> {
    let server = peer.launch(&run.stage, port, &[(ZONE.to_owned(), file)])?;
    Ok(Contestant {
        name: peer.name(),
        at: local(port),
        tls: peer.has_tls().then(|| local(port + 1)),
        server: Running::Theirs(server),
    })
}

/// Questions over all transports.
///
/// # Errors
/// When a contestant does not come up or answers wrongly.
pub async fn questions(run: &mut Run) -> Result<()> {
    let (plain, signed) = everybody(run).await?;
    let mixed = mixed();
    let wire = |signed| {
        mixed
            .iter()
            .map(|it| question(&it.0, it.2, signed))
            .collect()
    };
    let (asked, asked_signed): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (wire(false), wire(true));
    let text: String = mixed
        .iter()
        .map(|it| format!("{} {}\n", it.0, it.1))
        .collect();
    let file = run.stage.path("questions");
    std::fs::write(&file, text)?;
    for round in 0..run.rounds {
        for it in &plain {
            shoot(run, it, UDP, &asked, round)?;
        }
        for it in &signed {
            shoot(run, it, SIGNED, &asked_signed, round)?;
        }
        for it in &plain {
            perform(run, it, TCP, ("tcp", it.at, &file), round).await?;
        }
        for it in &plain {
            if let Some(tls) = it.tls {
                perform(run, it, TLS, ("dot", tls, &file), round).await?;
            }
        }
    }
    Ok(())
}

fn shoot(
    run: &mut Run,
    it: &Contestant,
    figure: Figure,
    questions: &[Vec<u8>],
    round: usize,
) -> Result<()> {
    let meter = Meter::start([it.server()?]);
    let shot = fire(it.at, questions, Duration::from_secs_f64(run.seconds))?;
    let reading = meter.read();
    let Shot {
        answers,
        good,
        missing,
        lost,
    } = shot;
    anyhow::ensure!(
        answers > 0 && good + missing == answers,
        "{} answers wrongly: {shot:?}",
        it.name
    );
    let us = reading.us_each(answers);
    println!(
        "# {} round {round} {}: {us:.2} us, {:.0}/s, {lost} lost, {missing} of {answers} missing names, {}",
        figure.name,
        it.name,
        answers as f64 / reading.wall,
        reading.told()
    );
    run.table.add(figure, it.name, us);
    run.table.note_foreign(reading.foreign);
    Ok(())
}

/// One run of dnsperf, over connections that stay.
async fn perform(
    run: &mut Run,
    it: &Contestant,
    figure: Figure,
    (mode, at, file): (&str, SocketAddr, &PathBuf),
    round: usize,
) -> Result<()> {
    let seconds = run.seconds.ceil().to_string();
    let meter = Meter::start([it.server()?]);
    let said = tokio::process::Command::new("dnsperf")
        .args([
            "-m",
            mode,
            "-s",
            &at.ip().to_string(),
            "-p",
            &at.port().to_string(),
        ])
        .args(["-l", &seconds, "-c", "20", "-q", "200", "-d"])
        .arg(file)
        .stderr(Stdio::null())
        .output()
        .await
        .context("cannot run dnsperf")?;
    let reading = meter.read();
    let said = String::from_utf8_lossy(&said.stdout);
    let done = number_after(&said, "Queries completed:").unwrap_or(0);
    let lost = number_after(&said, "Queries lost:").unwrap_or(0);
    anyhow::ensure!(
        done > 1_000,
        "{} answered {done} over {mode}: {said}",
        it.name
    );
    let us = reading.us_each(done);
    println!(
        "# {} round {round} {}: {us:.2} us, {:.0}/s, {lost} lost, {}",
        figure.name,
        it.name,
        done as f64 / reading.wall,
        reading.told()
    );
    run.table.add(figure, it.name, us);
    run.table.note_foreign(reading.foreign);
    Ok(())
}

/// The number that stands after a word.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let after = &text[text.find(word)? + word.len()..];
    after.split_whitespace().next()?.parse().ok()
}

/// What ten thousand zones cost in memory and at a start. Of ours that is a start of a node which had them before, as
/// theirs is.
///
/// # Errors
/// When a contestant does not come up or does not answer for all.
pub async fn zones(run: &mut Run) -> Result<()> {
    let folder = run.stage.fresh_folder("zones")?;
    let mut zones: Vec<ZoneFile> = Vec::with_capacity(ZONES);
    for number in 0..ZONES {
        let (zone, mut text) = (format!("z{number}.test"), String::new());
        let _ = write!(
            text,
            "$ORIGIN {zone}.\n$TTL 300\n@ IN SOA ns1 h 1 3600 900 604800 300\n@ IN NS ns1\nns1 IN A 192.0.2.1\n"
        );
        for host in 0..HOSTS_EACH {
            let _ = writeln!(text, "n{host} IN A 192.0.2.{}", 10 + host);
        }
        let file = folder.join(&zone);
        std::fs::write(&file, text)?;
        zones.push((zone, file));
    }
    let port = run.port + 20;
    let mut boat = Boat::launch_with(&run.stage, "zones-node", run.port, 1, &section(port)).await?;
    let began = Instant::now();
    import(&boat, &folder.to_string_lossy())?;
    all_answered(local(port)).await?;
    println!(
        "# zones {OURS}: imported and answered after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    for round in 0..run.rounds {
        // A node ends in order here, and a new process loads what is on its disk.
        boat.nodes[0].server = None;
        let began = Instant::now();
        let starting = boat.start(0);
        let (started, answered) = tokio::join!(starting, all_answered(local(port)));
        started?;
        let took = answered?.duration_since(began).as_secs_f64();
        let server = boat.servers().next().context("no node runs")?;
        note_load(run, OURS, (took, server), round).await;
        for (at, peer) in (port + 4..).step_by(4).zip(NamePeer::ALL) {
            let began = Instant::now();
            let server = peer.launch(&run.stage, at, &zones)?;
            let took = all_answered(local(at))
                .await?
                .duration_since(began)
                .as_secs_f64();
            note_load(run, peer.name(), (took, &server), round).await;
        }
    }
    Ok(())
}

async fn note_load(run: &mut Run, name: &str, (took, server): (f64, &Server), round: usize) {
    // What was freed after loading is to be gone.
    pause(Duration::from_secs(1)).await;
    let memory = memory_kb(server);
    println!("# zones round {round} {name}: answered after {took:.2} s, {memory:.0} kB");
    run.table.add(LOAD, name, took);
    run.table.add(MEMORY, name, memory);
}

/// When a sample of the zones is answered, the last of them too.
async fn all_answered(at: SocketAddr) -> Result<Instant> {
    for number in (0..ZONES).step_by(SAMPLED).chain([ZONES - 1]) {
        answers(at, &format!("n1.z{number}.test"), LOADS_WITHIN).await?;
    }
    Ok(Instant::now())
}
