//! What our mail says, in Czech and English; each written in its language, not translated word by word.
//! Pure: words in, text out. Nothing here can fail or be injected into, as no text ends up in a header but the
//! subjects, which hold a ticket code and our own words only.

use time::OffsetDateTime;
use time::macros::format_description;

use crate::model::words::{Contact, Lang, TicketCode, Timestamp};

use super::compose::{Forward, Standing, Thread};

/// The subject of the mail that tells a customer that the message is kept.
pub(super) fn acknowledgement_subject(lang: Lang, ticket: &TicketCode) -> String {
    match lang {
        Lang::Cs => format!("Vaši zprávu máme [{ticket}]"),
        Lang::En => format!("We have your message [{ticket}]"),
    }
}

/// The text of that mail. What the customer wrote is not repeated: the address in a form may be anybody's, and nobody
/// is to be sent a stranger's words in our name.
pub(super) fn acknowledgement(
    lang: Lang,
    company: &str,
    (thread, files_on_their_way): (&Thread<'_>, bool),
) -> String {
    let ticket = thread.ticket;
    let links = indented(thread.links);
    let files = match (files_on_their_way, lang) {
        (false, _) => "",
        (true, Lang::Cs) => {
            "Soubory v ní ještě kopírujeme na další servery. Nechte si je, dokud na stránce níže neuvidíte, že je máme v bezpečí.\n\n"
        }
        (true, Lang::En) => {
            "We are still copying the files in it to our other servers. Please keep them until the page below says that they are safely stored.\n\n"
        }
    };
    match lang {
        Lang::Cs => format!(
            "Dobrý den,\n\n\
             vaši zprávu máme a je bezpečně uložená. Lidé z podpory ji čtou a ozvou se vám.\n\n\
             {files}\
             Kód vaší zprávy: {ticket}\n\
             Když nám zavoláte, řekněte tento kód.\n\n\
             Odpověď si přečtete a další zprávu přidáte tady:\n{links}\n\
             Kdyby jedna adresa nefungovala, zkuste další. Odkaz je jen pro vás, nikomu ho neposílejte.\n\n\
             Pokud jste nám nepsali, můžete tento e-mail smazat.\n\n\
             {company}\n"
        ),
        Lang::En => format!(
            "Hello,\n\n\
             we have your message and it is safely stored. Our support staff read it and will get back to you.\n\n\
             {files}\
             Your ticket code: {ticket}\n\
             If you call us, read out this code.\n\n\
             Read our answer or add to your message here:\n{links}\n\
             If one address does not work, try the next. The link is for you alone; please do not pass it on.\n\n\
             If you did not write to us, you can delete this e-mail.\n\n\
             {company}\n"
        ),
    }
}

/// The subject of the mail with an agent's answer.
pub(super) fn answer_subject(lang: Lang, ticket: &TicketCode) -> String {
    match lang {
        Lang::Cs => format!("Odpověď na vaši zprávu [{ticket}]"),
        Lang::En => format!("Our answer to your message [{ticket}]"),
    }
}

/// The text of that mail.
pub(super) fn answer(lang: Lang, company: &str, thread: &Thread<'_>, text: &str) -> String {
    let ticket = thread.ticket;
    let links = indented(thread.links);
    match lang {
        Lang::Cs => format!(
            "{text}\n\n{company}\n\n-- \n\
             Kód vaší zprávy: {ticket}\n\
             Celý rozhovor je tady, můžete v něm i odpovědět:\n{links}"
        ),
        Lang::En => format!(
            "{text}\n\n{company}\n\n-- \n\
             Your ticket code: {ticket}\n\
             The whole conversation is here, and you can reply in it:\n{links}"
        ),
    }
}

/// That files of the message did not go along.
pub(super) fn left_out(lang: Lang, names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let names = names.join(", ");
    match lang {
        Lang::Cs => format!(
            "\n\n[Soubory, které se do e-mailu nevešly, jsou v rozhovoru na webu: {names}]\n"
        ),
        Lang::En => format!(
            "\n\n[Files that did not fit into this mail are in the conversation on the website: {names}]\n"
        ),
    }
}

/// The subject of the mail that passes a customer's message to support.
pub(super) fn forward_subject(lang: Lang, ticket: &TicketCode, number: Option<u32>) -> String {
    match (lang, number) {
        (Lang::Cs, Some(1) | None) => format!("[{ticket}] Zákazník píše z nouzového webu"),
        (Lang::Cs, Some(number)) => {
            format!("[{ticket}] Zákazník píše z nouzového webu, {number}. zpráva")
        }
        (Lang::En, Some(1) | None) => {
            format!("[{ticket}] A customer writes from the emergency website")
        }
        (Lang::En, Some(number)) => {
            format!("[{ticket}] A customer writes from the emergency website, message {number}")
        }
    }
}

/// The text of that mail: everything needed to answer. Each line of the customer's is marked, so that a customer cannot
/// write lines that look like ours.
pub(super) fn forward(lang: Lang, company: &str, it: &Forward<'_>) -> String {
    let quoted = quoted(it.text);
    let links = indented(it.thread.links);
    let reference = it.reference.unwrap_or("-").replace('\n', " ");
    let (contact, ticket, node) = (it.contact.as_str(), it.thread.ticket, it.node);
    let (customer_lang, taken) = (it.customer_lang.tag(), spoken(it.taken));
    match lang {
        Lang::Cs => {
            let how = match it.contact {
                Contact::Email(_) => "stačí odpovědět na tento e-mail",
                Contact::Phone(_) => "jen telefon, zavolejte",
            };
            let standing = match it.standing {
                Standing::Agreed(at) => format!("bezpečně uloženo, servery se shodly v {}", spoken(at)),
                Standing::HeldHere => {
                    "drží jen tento server, ostatní nejsou vidět; až budou, může zpráva přijít ještě jednou".to_owned()
                }
            };
            format!(
                "Zákazník napsal na nouzový web firmy {company}.\n\n\
                 Kód:        {ticket}\n\
                 Kontakt:    {contact} ({how})\n\
                 Služba:     {reference}\n\
                 Jazyk:      {customer_lang}\n\
                 Přijato:    {taken}, server {node}\n\
                 Stav:       {standing}\n\
                 Rozhovor:\n{links}\n{quoted}"
            )
        }
        Lang::En => {
            let how = match it.contact {
                Contact::Email(_) => "just reply to this e-mail",
                Contact::Phone(_) => "telephone only, please call",
            };
            let standing = match it.standing {
                Standing::Agreed(at) => format!("safely stored, the servers agreed on it at {}", spoken(at)),
                Standing::HeldHere => {
                    "held by this server only, it cannot reach the others; the message may arrive again when it can".to_owned()
                }
            };
            format!(
                "A customer wrote to the emergency website of {company}.\n\n\
                 Ticket:       {ticket}\n\
                 Contact:      {contact} ({how})\n\
                 Service:      {reference}\n\
                 Language:     {customer_lang}\n\
                 Taken:        {taken}, server {node}\n\
                 State:        {standing}\n\
                 Conversation:\n{links}\n{quoted}"
            )
        }
    }
}

fn indented(links: &[String]) -> String {
    links.iter().map(|link| format!("  {link}\n")).collect()
}

fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {line}\n")).collect()
}

/// A time for people, always with its zone.
fn spoken(at: Timestamp) -> String {
    let whole = i64::try_from(at.0 / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    whole
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| format!("{} ms since 1970", at.0))
}
