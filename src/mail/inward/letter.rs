//! What a person wrote, out of a mail: the plain text of it, without what it quotes and without a signature, and who wrote
//! it. Pure. What is attached is kept elsewhere; what of it is not is told of. HTML is read as text and never shown.

use mail_parser::{HeaderValue, Message, MimeHeaders, PartType};

use super::judge::{addresses, header, message_ids};
use crate::files::{Refused, Why};
use crate::model::limits::{MAIL_IN_ATTACHMENTS_TOLD, MAIL_IN_PARTS_MAX, MESSAGE_CHARS_MAX};
use crate::model::words::{EmailAddress, Lang, TicketCode};

/// What a mail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Where an answer goes: Reply-To where there is one, else From.
    pub author: Option<EmailAddress>,
    /// The subject, on one line.
    pub subject: String,
    /// What was written, without what it quotes. Empty where there are no words.
    pub text: String,
    /// Lines that were left out as quoted or as a signature.
    pub folded: usize,
    /// Attachments that are not kept: name, bytes and why; the first ones.
    pub left_out: Vec<(String, u64, Why)>,
    /// How many of those there are.
    pub left_out_count: usize,
    /// Its language, where that can be told.
    pub lang: Option<Lang>,
    /// Its Message-ID; empty where it has none.
    pub id: String,
    /// The Message-IDs of the mails that it answers, the nearest first.
    pub answers: Vec<String>,
    /// What in its subject looks like a ticket code.
    pub tickets: Vec<TicketCode>,
}

/// Reads it.
pub fn read(message: &Message<'_>) -> Letter {
    let author = [message.reply_to(), message.from()];
    let author = author.into_iter().flat_map(addresses);
    let subject: String = message.subject().unwrap_or_default().trim().to_owned();
    let subject: String = subject
        .chars()
        .filter(|it| !it.is_control())
        .take(200)
        .collect();
    let whole = words(message);
    let (text, folded) = fold(&whole);
    Letter {
        author: author.filter_map(|it| EmailAddress::new(&it).ok()).next(),
        lang: lang_of(message, &subject, &text),
        tickets: tickets(&subject),
        subject,
        text,
        folded,
        left_out: Vec::new(),
        left_out_count: 0,
        id: message.message_id().unwrap_or_default().to_owned(),
        answers: answers(message),
    }
}

/// All plain words of a mail; of an alternative in text and HTML the text.
fn words(message: &Message<'_>) -> String {
    let most = 2 * MAIL_IN_PARTS_MAX * MESSAGE_CHARS_MAX;
    let mut text = String::new();
    for at in 0..message.text_body_count() {
        if let Some(part) = message.body_text(at) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(part.trim());
        }
        if text.len() > 4 * most {
            break;
        }
    }
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The attachments, each with its name.
pub fn attached<'a>(message: &'a Message<'_>) -> impl Iterator<Item = (String, &'a [u8])> {
    message
        .attachments()
        .map(|part| (named(part), part.contents()))
}

fn named(part: &mail_parser::MessagePart<'_>) -> String {
    let name = match &part.body {
        PartType::Message(inner) => inner.subject().map(str::to_owned),
        _ => part.attachment_name().map(str::to_owned),
    };
    name.unwrap_or_default()
}

impl Letter {
    /// Notes that an attachment is not kept.
    pub fn leave_out(&mut self, refused: &Refused) {
        self.left_out_count += 1;
        if self.left_out.len() < MAIL_IN_ATTACHMENTS_TOLD {
            let one = (refused.name.clone(), refused.bytes, refused.why);
            self.left_out.push(one);
        }
    }
}

fn answers(message: &Message<'_>) -> Vec<String> {
    let mut ids = message_ids(message.in_reply_to());
    let mut further = message_ids(message.references());
    further.reverse();
    ids.append(&mut further);
    ids.truncate(50);
    ids
}

/// Codes in a subject, written as we write them: three times three symbols.
fn tickets(subject: &str) -> Vec<TicketCode> {
    let words = subject.split(|it: char| !it.is_ascii_alphanumeric() && it != '-');
    let shaped =
        words.filter(|it| it.len() == 11 && it.as_bytes()[3] == b'-' && it.as_bytes()[7] == b'-');
    shaped
        .filter_map(|it| TicketCode::new(it).ok())
        .take(3)
        .collect()
}

fn lang_of(message: &Message<'_>, subject: &str, text: &str) -> Option<Lang> {
    let named = match message.root_part().content_language() {
        HeaderValue::Text(one) => Lang::of_tag(one),
        HeaderValue::TextList(all) => all.first().and_then(|it| Lang::of_tag(it)),
        _ => None,
    };
    let czech = |it: &str| it.to_lowercase().contains(['ě', 'ř', 'ů']);
    let said = (czech(subject) || czech(text)).then_some(Lang::Cs);
    named
        .or(said)
        .or_else(|| Lang::of_tag(&header(message, "Accept-Language")))
}

/// Leaves out what a mail quotes, at its end or as a whole mail below, and a signature; says how many lines that were.
/// Answers between quoted lines are left as they are, and where nothing else would be left, so is everything.
pub fn fold(text: &str) -> (String, usize) {
    let lines: Vec<&str> = text.lines().collect();
    let mut end = lines.len();
    if let Some(at) = below(&lines) {
        end = at;
    }
    end = without_quotes(&lines, end);
    if let Some(at) = lines[..end]
        .iter()
        .rposition(|it| *it == "-- " || *it == "--")
        && end - at <= 15
    {
        end = at;
    }
    let kept = lines[..end].join("\n").trim().to_owned();
    if kept.is_empty() {
        return (text.trim().to_owned(), 0);
    }
    let folded = lines[end..]
        .iter()
        .filter(|it| !it.trim().is_empty())
        .count();
    (kept, folded)
}

/// Where a whole mail is quoted below without marks, as Outlook does it.
fn below(lines: &[&str]) -> Option<usize> {
    let words = [
        "original message",
        "původní zpráva",
        "originální zpráva",
        "ursprüngliche nachricht",
        "forwarded message",
    ];
    lines.iter().enumerate().position(|(at, line)| {
        let low = line.trim().to_lowercase();
        let ruled = low.starts_with("--") && words.iter().any(|it| low.contains(it));
        let is_head = |line: &str| {
            let low = line.trim().trim_start_matches('*').to_lowercase();
            ["from:", "od:", "von:"]
                .iter()
                .any(|it| low.starts_with(it))
        };
        let is_sent = |line: &&str| {
            let low = line.trim().trim_start_matches('*').to_lowercase();
            ["sent:", "date:", "odesláno:", "datum:", "gesendet:"]
                .iter()
                .any(|it| low.starts_with(it))
        };
        let headed = is_head(line) && lines[at..].iter().take(4).any(is_sent);
        ruled || headed
    })
}

/// Where the quoted lines at the end begin, with the line that says whose they are.
fn without_quotes(lines: &[&str], end: usize) -> usize {
    let is_quote = |line: &str| line.trim_start().starts_with('>');
    let mut at = end;
    let mut quoted = false;
    while at > 0 && (is_quote(lines[at - 1]) || lines[at - 1].trim().is_empty()) {
        at -= 1;
        quoted |= is_quote(lines[at]);
    }
    if !quoted {
        return end;
    }
    // "On Monday, Jana wrote:", perhaps over two lines.
    let ends = |line: &str| line.trim_end().ends_with(':');
    for _ in 0..2 {
        let said = at > 0
            && !lines[at - 1].trim().is_empty()
            && (ends(lines[at - 1]) || quoted_by(lines[at - 1]));
        if !said {
            break;
        }
        at -= 1;
    }
    at
}

fn quoted_by(line: &str) -> bool {
    let low = line.trim().to_lowercase();
    ["on ", "dne ", "am ", "le ", "el "]
        .iter()
        .any(|it| low.starts_with(it))
        && low.contains(|it: char| it.is_ascii_digit())
}

/// The letter as what is said in a conversation, in pieces that fit; `None` where it is longer than we take.
pub fn said(
    letter: &Letter,
    lang: Lang,
    opens: bool,
    (stranger, forged): (bool, bool),
) -> Option<Vec<String>> {
    let mut text = String::new();
    if forged {
        text.push_str(match lang {
            Lang::Cs => "[Odesílatel je nejspíš podvržený: jeho doména říká, že tento e-mail není od ní]\n\n",
            Lang::En => "[The sender is probably forged: its domain says that this mail is not from there]\n\n",
        });
    }
    if let (true, Some(author)) = (stranger, &letter.author) {
        text.push_str(&match lang {
            Lang::Cs => format!("[Napsáno z jiné adresy: {}]\n\n", author.as_str()),
            Lang::En => format!("[Written from another address: {}]\n\n", author.as_str()),
        });
    }
    if opens && !letter.subject.is_empty() {
        text.push_str(&letter.subject);
        text.push_str("\n\n");
    }
    text.push_str(&letter.text);
    for line in [folded(letter.folded, lang), left_out(letter, lang)]
        .into_iter()
        .flatten()
    {
        text.push_str("\n\n");
        text.push_str(&line);
    }
    if text.trim().is_empty() {
        text = match lang {
            Lang::Cs => "[E-mail bez textu]".to_owned(),
            Lang::En => "[A mail without words]".to_owned(),
        };
    }
    pieces(text.trim())
}

fn folded(lines: usize, lang: Lang) -> Option<String> {
    let line = match lang {
        Lang::Cs => format!("[Citovaný text a podpis vynechány, řádků: {lines}]"),
        Lang::En => format!("[Quoted text and signature left out, lines: {lines}]"),
    };
    (lines > 0).then_some(line)
}

fn left_out(letter: &Letter, lang: Lang) -> Option<String> {
    let one = |(name, bytes, why): &(String, u64, Why)| {
        format!(
            "{name} ({} kB, {})",
            bytes.div_ceil(1_000),
            reason(*why, lang)
        )
    };
    let names: Vec<String> = letter.left_out.iter().map(one).collect();
    let count = letter.left_out_count;
    let line = match lang {
        Lang::Cs => format!(
            "[Přílohy, které jsme neuložili, počet {count}: {}]",
            names.join(", ")
        ),
        Lang::En => format!(
            "[Attachments that were not kept, {count}: {}]",
            names.join(", ")
        ),
    };
    (count > 0).then_some(line)
}

/// Why an attachment is not kept.
fn reason(why: Why, lang: Lang) -> &'static str {
    match (lang, why) {
        (Lang::Cs, Why::Empty) => "prázdná",
        (Lang::En, Why::Empty) => "empty",
        (Lang::Cs, Why::Kind) => "jiný druh než obrázek, PDF nebo prostý text",
        (Lang::En, Why::Kind) => "no picture, PDF or plain text",
        (Lang::Cs, Why::TooLarge) => "větší než 5 MB",
        (Lang::En, Why::TooLarge) => "more than 5 MB",
        (Lang::Cs, Why::TooMany) => "víc než 5 příloh",
        (Lang::En, Why::TooMany) => "more than 5 attachments",
        (Lang::Cs, Why::ConversationFull | Why::Full) => "na serverech už není místo",
        (Lang::En, Why::ConversationFull | Why::Full) => "no room left",
        (Lang::Cs, Why::Busy | Why::Disk) => "server ji nepřijal",
        (Lang::En, Why::Busy | Why::Disk) => "the server did not take it",
    }
}

/// Cuts at a line's end where there is one.
fn pieces(text: &str) -> Option<Vec<String>> {
    let mut pieces = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while !rest.is_empty() {
        if pieces.len() == MAIL_IN_PARTS_MAX {
            return None;
        }
        let mut end = rest.len().min(MESSAGE_CHARS_MAX);
        if end < rest.len() {
            let line = rest[..end].iter().rposition(|it| *it == '\n');
            end = line
                .filter(|it| *it > MESSAGE_CHARS_MAX / 2)
                .map_or(end, |it| it + 1);
        }
        let next = rest.split_off(end);
        let piece: String = rest.into_iter().collect();
        if !piece.trim().is_empty() {
            pieces.push(piece.trim().to_owned());
        }
        rest = next;
    }
    Some(pieces)
}
