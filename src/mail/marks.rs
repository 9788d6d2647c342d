//! Signed marks in the mail that we write, by which what comes back finds its way: addresses of returns and of replies,
//! and the left sides of Message-IDs. Only this cluster makes them; every node reads them, and nothing is kept for it.
//!
//! A mark is a keyed hash of what it stands for, followed by that, hidden under another keyed hash of the first: the
//! same for the same thing, and it gives neither number nor campaign away. 80 bits and more are checked, in small
//! letters and digits, as mail servers may change the case of an address.

use crate::model::campaign::CampaignId;
use crate::model::words::{ConversationId, KeyedHash};
use crate::seal::Keyring;
use crate::tls::base32;

/// Bytes of the keyed hash in a mark.
const TAG: usize = 12;
/// Bytes of a campaign's number and a recipient's.
const RECIPIENT: usize = 8;
const CONVERSATION: usize = 16;

/// What a mark is for. One that was made for another purpose is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The address that a mail comes back to when it cannot be delivered, or that a reply goes to.
    Address,
    /// The Message-ID.
    Message,
}

/// What somebody's mark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// One recipient of one campaign: their number in the manifest.
    Recipient(CampaignId, u32),
    /// A conversation.
    Conversation(ConversationId),
}

/// Writes a mark: `b-` and 32 letters for a recipient, `r-` and 45 for a conversation. It fits a local part (RFC 5321
/// section 4.5.3.1.1).
pub fn write(keyring: &Keyring, purpose: Purpose, mark: Mark) -> String {
    match mark {
        Mark::Recipient(CampaignId(campaign), ordinal) => {
            let said = [campaign.to_be_bytes(), ordinal.to_be_bytes()].concat();
            format!(
                "b-{}",
                base32::encode(&hidden(keyring, purpose, "b", &said))
            )
        }
        Mark::Conversation(id) => {
            let hidden = hidden(keyring, purpose, "r", &id.0);
            format!("r-{}", base32::encode(&hidden))
        }
    }
}

/// Reads a mark; `None` for whatever this cluster did not write for this purpose. Any case.
pub fn read(keyring: &Keyring, purpose: Purpose, text: &str) -> Option<Mark> {
    let (kind, rest) = text.split_at_checked(2)?;
    match kind {
        "b-" | "B-" => {
            let bytes: [u8; TAG + RECIPIENT] = base32::decode(rest)?;
            let said = shown(keyring, purpose, "b", &bytes)?;
            let (campaign, ordinal) = said.split_first_chunk::<4>()?;
            let ordinal: &[u8; 4] = ordinal.first_chunk()?;
            let campaign = CampaignId(u32::from_be_bytes(*campaign));
            Some(Mark::Recipient(campaign, u32::from_be_bytes(*ordinal)))
        }
        "r-" | "R-" => {
            let bytes: [u8; TAG + CONVERSATION] = base32::decode(rest)?;
            let said = shown(keyring, purpose, "r", &bytes)?;
            let id: &[u8; CONVERSATION] = said.first_chunk()?;
            Some(Mark::Conversation(ConversationId(*id)))
        }
        _ => None,
    }
}

/// Reads the mark of a Message-ID of ours: the last part before the `@`.
pub fn of_message_id(keyring: &Keyring, id: &str) -> Option<Mark> {
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let (local, _) = id.rsplit_once('@')?;
    let last = local.rsplit('.').next()?;
    read(keyring, Purpose::Message, last)
}

fn hidden(keyring: &Keyring, purpose: Purpose, kind: &str, said: &[u8]) -> Vec<u8> {
    let tag = tag(keyring, purpose, kind, said);
    let veil = veil(keyring, &tag);
    let veiled = said.iter().zip(veil).map(|(byte, veil)| byte ^ veil);
    tag.into_iter().chain(veiled).collect()
}

fn shown(keyring: &Keyring, purpose: Purpose, kind: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let (found, veiled) = bytes.split_first_chunk::<TAG>()?;
    let veil = veil(keyring, found);
    let said: Vec<u8> = veiled
        .iter()
        .zip(veil)
        .map(|(byte, veil)| byte ^ veil)
        .collect();
    let wanted = tag(keyring, purpose, kind, &said);
    crate::seal::same_bytes(found, &wanted).then_some(said)
}

fn tag(keyring: &Keyring, purpose: Purpose, kind: &str, said: &[u8]) -> [u8; TAG] {
    let purpose = match purpose {
        Purpose::Address => "mail address mark",
        Purpose::Message => "mail message mark",
    };
    let KeyedHash(hash) = keyring.mac(purpose, &[kind.as_bytes(), said].concat());
    let mut tag = [0; TAG];
    tag.copy_from_slice(&hash[..TAG]);
    tag
}

fn veil(keyring: &Keyring, tag: &[u8; TAG]) -> [u8; 32] {
    keyring.mac("mail mark veil", tag).0
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPIENT_4: Mark = Mark::Recipient(CampaignId(0xdead_beef), 4);
    const TALK: Mark = Mark::Conversation(ConversationId([7; 16]));

    #[test]
    fn another_node_with_the_same_key_reads_a_mark_in_any_case_and_nobody_else_does() {
        let here = Keyring::generate();
        let there = Keyring::from_text(&here.to_text()).unwrap();
        for mark in [RECIPIENT_4, TALK] {
            let text = write(&here, Purpose::Address, mark);
            assert!(text.len() <= 64, "{text} is no local part");
            assert_eq!(text, write(&there, Purpose::Address, mark));
            for said in [text.clone(), text.to_uppercase()] {
                assert_eq!(read(&there, Purpose::Address, &said), Some(mark));
                assert_eq!(read(&there, Purpose::Message, &said), None);
                assert_eq!(read(&Keyring::generate(), Purpose::Address, &said), None);
            }
        }
    }

    #[test]
    fn a_forged_or_changed_mark_is_worth_nothing() {
        let keyring = Keyring::generate();
        for mark in [RECIPIENT_4, TALK] {
            let text = write(&keyring, Purpose::Address, mark);
            for at in 0..text.len() {
                let mut changed = text.clone().into_bytes();
                changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(
                    read(&keyring, Purpose::Address, &changed),
                    None,
                    "{changed}"
                );
                assert_eq!(read(&keyring, Purpose::Address, &text[..at]), None);
            }
        }
        for text in [
            "",
            "b",
            "b-",
            "r-",
            "b-\u{e1}",
            "\u{10000}",
            "b-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(read(&keyring, Purpose::Address, text), None);
        }
    }

    #[test]
    fn neighbours_have_nothing_in_common_that_shows() {
        let keyring = Keyring::generate();
        let of = |ordinal| {
            write(
                &keyring,
                Purpose::Message,
                Mark::Recipient(CampaignId(3), ordinal),
            )
        };
        let (one, next) = (of(1), of(2));
        let same = one
            .bytes()
            .zip(next.bytes())
            .filter(|(a, b)| a == b)
            .count();
        assert!(same < 16, "{one} {next}");
        let id = format!("<abc.{one}@help.example.net>");
        assert_eq!(
            of_message_id(&keyring, &id),
            Some(Mark::Recipient(CampaignId(3), 1))
        );
        assert_eq!(of_message_id(&keyring, "<abc@help.example.net>"), None);
        assert_eq!(of_message_id(&keyring, "abc"), None);
    }
}
