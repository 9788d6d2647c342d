//! Customers who write, and what was acknowledged to them. Each writes one message at a time and, as browsers and
//! people do, sends the very same form again, to the next node, until it is answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::StatusCode;
use lifeboat::clock;
use tokio::task::JoinSet;

use super::browser::{Browser, Form};
use super::stage::Stage;

/// The longest that one customer goes on trying to send one message.
const STUBBORN: Duration = Duration::from_secs(90);
/// How long a customer waits before pressing Send again.
const AGAIN: Duration = Duration::from_millis(100);

/// A message that a page said is kept.
#[derive(Debug, Clone)]
pub struct Letter {
    /// What was written; no two letters say the same.
    pub text: String,
    pub contact: String,
    /// The path of the conversation's page.
    pub link: String,
}

/// What many customers met with.
#[derive(Debug, Default)]
pub struct Tally {
    pub letters: Vec<Letter>,
    /// Tries that were not answered with success, by what they met.
    pub retried: BTreeMap<String, usize>,
    /// The longest from pressing Send to being taken, repeats included.
    pub slowest: Duration,
}

impl Tally {
    /// The numbers in one line.
    pub fn told(&self) -> String {
        let retried: Vec<String> = self
            .retried
            .iter()
            .map(|(what, count)| format!("{count} x {what}"))
            .collect();
        format!(
            "{} acknowledged, slowest {:.1} s, tried again: {}",
            self.letters.len(),
            self.slowest.as_secs_f64(),
            if retried.is_empty() {
                "never".to_owned()
            } else {
                retried.join(", ")
            }
        )
    }
}

/// Many customers who write at the same time.
pub struct Customers {
    ca: PathBuf,
    story: String,
    targets: Vec<SocketAddr>,
    next: AtomicUsize,
    /// At least so many letters are written.
    wanted: usize,
    /// And as long as this is not said.
    enough: AtomicBool,
    taken: AtomicUsize,
    tally: Mutex<Tally>,
}

/// Customers at work.
pub struct Crowd {
    customers: Arc<Customers>,
    workers: JoinSet<Result<()>>,
}

impl Crowd {
    /// `workers` customers write at least `wanted` letters to all nodes, and go on until it is [`enough`](Self::enough).
    pub fn start(stage: &Stage, story: &str, workers: usize, wanted: usize) -> Crowd {
        let customers = Arc::new(Customers {
            ca: stage.ca(),
            story: story.to_owned(),
            targets: stage.nodes.iter().map(|node| node.https()).collect(),
            next: AtomicUsize::new(0),
            wanted,
            enough: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            tally: Mutex::default(),
        });
        let mut crowd = JoinSet::new();
        for worker in 0..workers {
            crowd.spawn(customers.clone().write(worker));
        }
        Crowd {
            customers,
            workers: crowd,
        }
    }

    /// How many letters have been acknowledged so far.
    pub fn taken(&self) -> usize {
        self.customers.taken.load(Ordering::Relaxed)
    }

    /// Lets everybody finish the letter in hand, once the wanted number is reached.
    ///
    /// # Errors
    /// When one of them gave up, with what it last met.
    pub async fn enough(mut self) -> Result<Tally> {
        self.customers.enough.store(true, Ordering::Relaxed);
        while let Some(worker) = self.workers.join_next().await {
            worker.context("a customer panicked")??;
        }
        let mut tally = self.customers.tally.lock();
        let tally = tally
            .as_mut()
            .map_err(|_| anyhow::anyhow!("a customer panicked"));
        Ok(std::mem::take(&mut **tally?))
    }
}

impl Customers {
    async fn write(self: Arc<Self>, worker: usize) -> Result<()> {
        let mut browser = Browser::new(&self.ca)?;
        let mut turn = worker;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.wanted && self.enough.load(Ordering::Relaxed) {
                return Ok(());
            }
            let text = format!("{} {number:05}: our shop does not answer", self.story);
            let contact = format!("customer{number}@shop.example");
            let began = clock::monotonic();
            let mut form = None;
            let link = loop {
                let at = self.targets[turn % self.targets.len()];
                let tried = try_once(&mut browser, at, &mut form, &contact, &text).await;
                match tried {
                    Ok(link) => break link,
                    Err(Met::Wrong(what)) => anyhow::bail!("letter {number} at {at}: {what}"),
                    Err(Met::Trouble(what)) => {
                        anyhow::ensure!(
                            began.elapsed() < STUBBORN,
                            "letter {number} was not taken in {} s; {at} last met it with {what}",
                            STUBBORN.as_secs()
                        );
                        *self.lock().retried.entry(what).or_default() += 1;
                        turn += 1;
                        // waits because a person does before pressing Send again
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            };
            self.taken.fetch_add(1, Ordering::Relaxed);
            let mut tally = self.lock();
            tally.slowest = tally.slowest.max(began.elapsed());
            tally.letters.push(Letter {
                text,
                contact,
                link,
            });
            // The same node again: its connection is open.
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a letter was not acknowledged this time.
enum Met {
    /// What a dying or lonely node may do: try again.
    Trouble(String),
    /// What no node may do.
    Wrong(String),
}

/// Opens the form if it is not open yet, and sends it.
async fn try_once(
    browser: &mut Browser,
    at: SocketAddr,
    form: &mut Option<Form>,
    contact: &str,
    text: &str,
) -> Result<String, Met> {
    let trouble = |error: anyhow::Error| Met::Trouble(error.to_string());
    if form.is_none() {
        *form = Some(browser.form(at).await.map_err(trouble)?);
    }
    let form = form
        .as_ref()
        .ok_or_else(|| Met::Wrong("no form".to_owned()))?;
    let typed = [
        ("contact", contact),
        ("text", text),
        ("reference", ""),
        ("website", ""),
    ];
    let page = browser.send(at, form, &typed).await.map_err(trouble)?;
    match page.status {
        StatusCode::SEE_OTHER => page
            .location
            .ok_or_else(|| Met::Wrong("an answer that leads nowhere".to_owned())),
        StatusCode::SERVICE_UNAVAILABLE => Err(Met::Trouble("503".to_owned())),
        other => Err(Met::Wrong(other.to_string())),
    }
}

/// One customer writes one letter to this node, which must take it at the first try. Returns it with its page.
///
/// # Errors
/// When it is not taken, or its page cannot be read.
pub async fn write_to(
    browser: &mut Browser,
    at: SocketAddr,
    text: &str,
) -> Result<(Letter, String)> {
    let form = browser.form(at).await?;
    let contact = "jana@shop.example";
    let typed = [
        ("contact", contact),
        ("text", text),
        ("reference", ""),
        ("website", ""),
    ];
    let answer = browser.send(at, &form, &typed).await?;
    let link = answer.taken()?.to_owned();
    let page = browser.read(at, &link).await?;
    let letter = Letter {
        text: text.to_owned(),
        contact: contact.to_owned(),
        link,
    };
    Ok((letter, page))
}
