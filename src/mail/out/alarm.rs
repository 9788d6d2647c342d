//! The mail that tells the company's people what everybody must hear of, such as the use of a break-glass code.
//! Pure: from the agreed state and the key to subject, text and address.

use sha2::{Digest, Sha256};

use crate::model::State;
use crate::model::people::{Alarm, AlarmKind, WayKind};
use crate::model::when::rfc3339;
use crate::model::words::{EmailAddress, Label, Lang, NodeId};
use crate::seal::{Keyring, person_context};

/// The alarm of an item, while it is kept.
pub(super) fn found(state: &State, index: u64) -> Option<&Alarm> {
    state.people.alarms.iter().find(|it| it.index == index)
}

/// The first mailbox of a person.
pub fn mailbox(keyring: &Keyring, state: &State, person: &Label) -> Option<EmailAddress> {
    let account = state.people.accounts.get(person)?;
    let way = account.ways.iter().find(|it| it.kind == WayKind::Mail)?;
    let bytes = keyring.open(&person_context(person), &way.address)?;
    EmailAddress::new(std::str::from_utf8(&bytes).ok()?).ok()
}

/// What makes the mail to this reader one mail, however often it is tried.
pub(super) fn id(index: u64, person: Option<&Label>) -> [u8; 16] {
    let reader = person.map_or("support", Label::as_str);
    let hash = Sha256::new()
        .chain_update(index.to_be_bytes())
        .chain_update(reader)
        .finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

/// Subject and text.
pub(super) fn words(lang: Lang, company: &str, state: &State, alarm: &Alarm) -> (String, String) {
    match &alarm.what {
        AlarmKind::CodeUsed {
            serial,
            place,
            node,
            alone,
            again,
        } => {
            let used = Used {
                serial: *serial,
                number: place + 1,
                node: name_of(state, *node),
                at: rfc3339(alarm.at),
                alone: *alone,
                again: *again,
            };
            code_used(lang, company, state, &used)
        }
        AlarmKind::MailCountsDown {
            campaign,
            recipients,
            by,
            why,
            from,
        } => {
            let facts = (campaign.to_string(), *recipients, by.as_str(), why.as_str());
            counts_down(lang, company, facts, &rfc3339(*from))
        }
    }
}

/// Somebody alone lets a mass mail go: what everybody must hear of while it can be stopped.
fn counts_down(
    lang: Lang,
    company: &str,
    (campaign, recipients, by, why): (String, u32, &str, &str),
    from: &str,
) -> (String, String) {
    match lang {
        Lang::Cs => {
            let text = format!(
                "{by} rozesílá sám hromadný e-mail. Kdokoli přihlášený ho může zastavit.\n\n\
                 Příjemců: {recipients}\n\
                 Důvod: {why}\n\
                 Začne: {from}\n\n\
                 Zastavit ho můžete v konzoli, nebo příkazem:\n\
                 lifeboat mail cancel {campaign} --reason \"...\"\n\n\
                 {company}\n"
            );
            (format!("Za chvíli odejde e-mail {recipients} lidem"), text)
        }
        Lang::En => {
            let text = format!(
                "{by} sends a mass mail alone. Anybody who is signed in can stop it.\n\n\
                 Recipients: {recipients}\n\
                 Reason: {why}\n\
                 Begins: {from}\n\n\
                 Stop it on the console, or with:\n\
                 lifeboat mail cancel {campaign} --reason \"...\"\n\n\
                 {company}\n"
            );
            (format!("{recipients} people are mailed in a moment"), text)
        }
    }
}

/// A break-glass code that was used.
struct Used {
    serial: u64,
    number: u32,
    node: String,
    at: String,
    alone: bool,
    again: bool,
}

fn code_used(lang: Lang, company: &str, state: &State, used: &Used) -> (String, String) {
    let Used {
        serial,
        number,
        node,
        at,
        alone,
        again,
    } = used;
    let holder = state.people.envelopes.get(serial);
    let holder = holder.map_or("", |it| it.holder.as_str());
    match lang {
        Lang::Cs => {
            let more = match (alone, again) {
                (_, true) => "Tento kód byl předtím použit jinde. Zjistěte hned, kdo ho má.\n\n",
                (true, false) => "Server byl v té chvíli bez spojení s většinou ostatních.\n\n",
                (false, false) => "",
            };
            let text = format!(
                "Někdo se přihlásil nouzovým kódem.\n\n\
                 Obálka: {serial} ({holder})\n\
                 Kód: {number}\n\
                 Server: {node}\n\
                 Čas: {at}\n\n\
                 {more}\
                 Víte-li, kdo to byl a proč, potvrďte to v konzoli. Nevíte-li, zneplatněte obálku:\n\
                 lifeboat breakglass withdraw {serial}\n\n\
                 {company}\n"
            );
            ("Byl použit nouzový kód".to_owned(), text)
        }
        Lang::En => {
            let more = match (alone, again) {
                (_, true) => {
                    "This code had been used before, elsewhere. Find out at once who has it.\n\n"
                }
                (true, false) => "The server could not reach a majority of the others then.\n\n",
                (false, false) => "",
            };
            let text = format!(
                "Somebody signed in with a break-glass code.\n\n\
                 Envelope: {serial} ({holder})\n\
                 Code: {number}\n\
                 Server: {node}\n\
                 Time: {at}\n\n\
                 {more}\
                 If you know who it was and why, say so on the console. If not, make the envelope worthless:\n\
                 lifeboat breakglass withdraw {serial}\n\n\
                 {company}\n"
            );
            ("A break-glass code was used".to_owned(), text)
        }
    }
}

fn name_of(state: &State, node: NodeId) -> String {
    let known = state.nodes.get(&node);
    known.map_or_else(|| node.to_string(), |it| it.facts.name.to_string())
}
