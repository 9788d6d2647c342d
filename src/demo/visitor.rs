//! A customer of the demo: opens the form, fills it in as a person does, follows where it leads, and reads the code off
//! the page.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use super::browser::{self, Browser, Page, heading};
use crate::clock;
use crate::model::words::TicketCode;

/// How long a person takes to fill in a form: what is faster looks like a robot and is put aside.
const TYPING: Duration = Duration::from_millis(2_500);

/// A customer. Each page is read over a connection of its own.
pub(super) struct Visitor {
    browser: Browser,
}

/// A form before it is filled in.
pub(super) struct Form {
    opened: Instant,
    form: browser::Form,
}

/// What the page said after a message was sent.
#[derive(Debug, Clone)]
pub(super) struct Receipt {
    /// The code to read out on the phone.
    pub ticket: TicketCode,
    /// "safely stored" or "held here", in the page's words.
    pub said: String,
    /// No majority has it yet.
    pub held: bool,
    /// From pressing Send to reading this.
    pub took: Duration,
}

impl Visitor {
    /// A customer who trusts the authority in `ca`.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn new(ca: &Path) -> anyhow::Result<Visitor> {
        let browser = Browser::new(ca)?;
        Ok(Visitor { browser })
    }

    /// Reads the page to write on and finds its form.
    ///
    /// # Errors
    /// When there is no page or no form.
    pub async fn open_form(&self, at: SocketAddr) -> anyhow::Result<Form> {
        let form = self.browser.clone().form(at).await?;
        let opened = clock::monotonic();
        Ok(Form { opened, form })
    }

    /// Fills in a form as a person does, sends it, and reads what the page says.
    ///
    /// # Errors
    /// When the message was not taken.
    pub async fn send(
        &self,
        at: SocketAddr,
        form: &Form,
        contact: &str,
        text: &str,
    ) -> anyhow::Result<Receipt> {
        tokio::time::sleep_until(form.opened + TYPING).await;
        let began = clock::monotonic();
        let typed = [
            ("contact", contact),
            ("text", text),
            ("reference", "example.test"),
            ("website", ""),
        ];
        let answer = self.browser.clone().send(at, &form.form, &typed).await?;
        let page = self.get(at, answer.taken()?).await?;
        let code = browser::ticket(&page.text).context("the page shows no code")?;
        let said = heading(&page.text);
        Ok(Receipt {
            ticket: TicketCode::new(&code).context("the page shows a code that is none")?,
            held: said.contains("held"),
            said,
            took: began.elapsed(),
        })
    }

    /// Comes back with the code that was read off the page.
    ///
    /// # Errors
    /// When the node does not know it.
    pub async fn come_back(
        &self,
        at: SocketAddr,
        ticket: &TicketCode,
        contact: &str,
    ) -> anyhow::Result<Page> {
        let page = self.get(at, "/ticket").await?;
        let form =
            browser::Form::of(&page.text, "/ticket").context("there is no form for a code")?;
        let typed = [("code", ticket.as_str()), ("contact", contact)];
        let answer = self.browser.clone().send(at, &form, &typed).await?;
        let path = answer.taken().context("the code is not known")?;
        self.get(at, path).await
    }

    /// Reads a page.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, at: SocketAddr, path: &str) -> anyhow::Result<Page> {
        self.browser.clone().get(at, path).await
    }
}
