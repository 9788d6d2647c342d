//! Words that can only hold what is valid: ids, times, texts, addresses.
//!
//! A value of one of these types has passed its check, so nobody checks again. Decoding from
//! bytes goes through the same checks, so a damaged or hostile record cannot make a bad one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits;

/// Why a text is not one of our words. Says what was wanted; the caller names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wanted {wanted}")]
pub struct Wrong {
    /// What would have been accepted, as a phrase.
    pub wanted: String,
}

impl Wrong {
    /// A refusal that says what would have been accepted.
    pub fn wanted(wanted: impl Into<String>) -> Self {
        Self {
            wanted: wanted.into(),
        }
    }
}

/// Milliseconds since the Unix epoch, as stamped into the log by the leader.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This time and `ms` milliseconds more, never past the end of time.
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// How many milliseconds this is after `earlier`; zero when it is not.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A node. The first node is 1; every other id is the log index of the entry that admitted it, so none is reused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The node that founded the cluster.
    pub const FOUNDER: Self = Self(1);
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

macro_rules! byte_word {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = Wrong;

            fn from_str(text: &str) -> Result<Self, Wrong> {
                let wanted = || Wrong::wanted(format!("{} hexadecimal digits", $len * 2));
                if text.len() != $len * 2 || !text.is_ascii() {
                    return Err(wanted());
                }
                let mut bytes = [0; $len];
                for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
                    *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wanted())?;
                }
                Ok(Self(bytes))
            }
        }
    };
}

byte_word!(
    /// The SHA-256 of a blob's bytes, and its name.
    BlobHash, 32
);
byte_word!(
    /// Made where a write enters; a repeat of the same id gets the first answer (P1).
    ClientId, 16
);
byte_word!(
    /// Everything between one customer and support, whatever door it came in by.
    ConversationId, 16
);
byte_word!(
    /// The cluster, chosen at random when it is founded.
    ClusterId, 16
);
byte_word!(
    /// A join token's public half.
    TokenId, 8
);
byte_word!(
    /// A sign-in that lasts a while.
    SessionId, 8
);
byte_word!(
    /// A keyed hash (HMAC-SHA-256): equal inputs can be found again, nothing can be read back.
    KeyedHash, 32
);

/// Bytes that only holders of the key numbered `key` can read. The model never looks inside.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which key of the keyring opens it.
    pub key: u32,
    /// Nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.bytes.len())
    }
}

/// A short name for people and logs: 1 to 63 letters, digits, `-`, `_`, `.`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// Checks a name. Refuses what is empty, over 63 bytes, or has other characters.
    pub fn new(text: &str) -> Result<Self, Wrong> {
        let fits = (1..=63).contains(&text.len())
            && text
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it))
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Wrong::wanted(
                "1 to 63 letters, digits, '-', '_' or '.', starting with a letter or digit",
            ))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Label {
    type Error = Wrong;
    fn try_from(text: String) -> Result<Self, Wrong> {
        Self::new(&text)
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

/// A line of at most `MAX` bytes without control characters, for notes and reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Line<const MAX: usize>(String);

impl<const MAX: usize> Line<MAX> {
    /// Checks a line. Refuses control characters and more than `MAX` bytes.
    pub fn new(text: &str) -> Result<Self, Wrong> {
        if text.len() <= MAX && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Wrong::wanted(format!("one line of at most {MAX} bytes")))
        }
    }

    /// Makes a line of whatever was given: control characters become spaces, the rest is cut at `MAX` bytes.
    pub fn cut(text: &str) -> Self {
        let mut line = String::new();
        for letter in text
            .chars()
            .map(|it| if it.is_control() { ' ' } else { it })
        {
            if line.len() + letter.len_utf8() > MAX {
                break;
            }
            line.push(letter);
        }
        Self(line)
    }

    /// The line as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Line<MAX> {
    type Error = Wrong;
    fn try_from(text: String) -> Result<Self, Wrong> {
        Self::new(&text)
    }
}

impl<const MAX: usize> From<Line<MAX>> for String {
    fn from(line: Line<MAX>) -> Self {
        line.0
    }
}

/// What a person wrote: 1 to `MAX` characters, no control characters but line breaks and tabs, ends trimmed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Checks and tidies a text: CRLF becomes LF, other control characters go, ends are trimmed.
    pub fn new(raw: &str) -> Result<Self, Wrong> {
        let text: String = raw
            .replace("\r\n", "\n")
            .replace('\r', "\n")
            .chars()
            .filter(|it| !it.is_control() || "\n\t".contains(*it))
            .collect();
        let text = text.trim().to_owned();
        if (1..=MAX).contains(&text.chars().count()) {
            Ok(Self(text))
        } else {
            Err(Wrong::wanted(format!("1 to {MAX} characters")))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
    type Error = Wrong;
    fn try_from(text: String) -> Result<Self, Wrong> {
        Self::new(&text)
    }
}

impl<const MAX: usize> From<Text<MAX>> for String {
    fn from(text: Text<MAX>) -> Self {
        text.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// The languages that pages and mail are written in (BCP 47 tags).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lang {
    /// Czech.
    Cs,
    /// English.
    #[default]
    En,
}

impl Lang {
    /// Every language there is.
    pub const ALL: [Self; 2] = [Self::Cs, Self::En];

    /// The BCP 47 tag, as used in paths and `lang` attributes.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Cs => "cs",
            Self::En => "en",
        }
    }

    /// The language of a tag, `None` when we have none for it. Regions are ignored.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|it| it.tag().eq_ignore_ascii_case(primary))
    }
}

/// An e-mail address we are ready to write to: RFC 5321 lengths, dot-atom local part, a domain with a dot.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Checks an address. Quoted local parts and address literals are refused on purpose: nobody types them here.
    pub fn new(text: &str) -> Result<Self, Wrong> {
        let wanted = || Wrong::wanted("an e-mail address such as name@example.com");
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or_else(wanted)?;
        let atom = |it: char| it.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(it);
        let local_fits = (1..=64).contains(&local.len())
            && local.chars().all(atom)
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
        let label_fits = |it: &str| {
            (1..=63).contains(&it.len())
                && it.chars().all(|it| it.is_alphanumeric() || it == '-')
                && !it.starts_with('-')
                && !it.ends_with('-')
        };
        let domain_fits =
            domain.contains('.') && domain.len() <= 253 && domain.split('.').all(label_fits);
        if text.len() <= 254 && local_fits && domain_fits {
            Ok(Self(format!("{local}@{}", domain.to_lowercase())))
        } else {
            Err(wanted())
        }
    }

    /// The address as text; the domain is in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}

/// A telephone number: 6 to 15 digits (E.164), with an optional leading `+`; separators are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(String);

impl Phone {
    /// Checks a number. Spaces, dots, dashes, slashes and brackets are dropped.
    pub fn new(text: &str) -> Result<Self, Wrong> {
        let wanted =
            || Wrong::wanted("a telephone number of 6 to 15 digits, such as +420 123 456 789");
        let kept: String = text
            .trim()
            .chars()
            .filter(|it| !" .-/()\u{a0}".contains(*it))
            .collect();
        let digits = kept.strip_prefix('+').unwrap_or(&kept);
        if (6..=15).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit()) {
            Ok(Self(kept))
        } else {
            Err(wanted())
        }
    }

    /// The number, without separators.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(..)")
    }
}

/// How a customer can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// By e-mail.
    Email(EmailAddress),
    /// By telephone.
    Phone(Phone),
}

impl Contact {
    /// Reads either kind out of one field: what has an `@` is an address, all else a number.
    pub fn new(text: &str) -> Result<Self, Wrong> {
        let either =
            |_| Wrong::wanted("an e-mail address such as name@example.com, or a telephone number");
        if text.contains('@') {
            EmailAddress::new(text).map(Self::Email).map_err(either)
        } else {
            Phone::new(text).map(Self::Phone).map_err(either)
        }
    }

    /// The address or number as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Email(address) => address.as_str(),
            Self::Phone(number) => number.as_str(),
        }
    }
}

/// What a customer reads out on the phone: eight symbols and a check symbol, "K7F-Q2M-9XF".
///
/// The alphabet leaves out look-alikes (0 O, 1 I L, U V as Crockford does); the ninth symbol catches any single
/// wrong symbol and any swap of neighbours (a weighted sum modulo the prime 29).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TicketCode(String);

/// 29 symbols, a prime number of them so that the check symbol catches every swap of neighbours.
const TICKET_SYMBOLS: &[u8; 29] = b"23456789ABCDEFGHJKMNPQRSTWXYZ";

impl TicketCode {
    /// The code that eight symbols' worth of `entropy` spell.
    pub fn from_entropy(entropy: u64) -> Self {
        let mut rest = entropy;
        let mut places = [0_u64; 9];
        for place in &mut places[..8] {
            *place = rest % 29;
            rest /= 29;
        }
        places[8] = Self::check(&places);
        let text: String = places
            .iter()
            .map(|place| {
                char::from(TICKET_SYMBOLS[usize::try_from(*place).unwrap_or_default() % 29])
            })
            .collect();
        Self(format!("{}-{}-{}", &text[..3], &text[3..6], &text[6..]))
    }

    /// Reads a code as people type it: any case, any or no separators. Refuses a wrong check symbol.
    pub fn new(text: &str) -> Result<Self, Wrong> {
        let wanted =
            || Wrong::wanted("a ticket code such as K7F-Q2M-9XF; one symbol of this one is wrong");
        let mut places = [0_u64; 9];
        let mut count = 0;
        for symbol in text.chars().filter(|it| !" -.\u{2013}\t".contains(*it)) {
            let symbol = symbol.to_ascii_uppercase();
            let at = TICKET_SYMBOLS
                .iter()
                .position(|it| char::from(*it) == symbol)
                .ok_or_else(wanted)?;
            *places.get_mut(count).ok_or_else(wanted)? = at as u64;
            count += 1;
        }
        if count != 9 || Self::check(&places) != places[8] {
            return Err(wanted());
        }
        let entropy = places[..8]
            .iter()
            .rev()
            .fold(0, |sum, place| sum * 29 + place);
        Ok(Self::from_entropy(entropy))
    }

    fn check(places: &[u64; 9]) -> u64 {
        places[..8]
            .iter()
            .zip(2..)
            .map(|(place, weight)| place * weight)
            .sum::<u64>()
            % 29
    }

    /// The code with its dashes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TicketCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TicketCode {
    type Error = Wrong;
    fn try_from(text: String) -> Result<Self, Wrong> {
        Self::new(&text)
    }
}

impl From<TicketCode> for String {
    fn from(code: TicketCode) -> Self {
        code.0
    }
}

/// What a customer writes in one message.
pub type MessageText = Text<{ limits::MESSAGE_CHARS_MAX }>;
/// A domain, server or customer number that a customer gives along.
pub type ReferenceText = Text<{ limits::REFERENCE_CHARS_MAX }>;
/// An operator's note on a publication, or a mail server's last words.
pub type Note = Line<{ limits::NOTE_BYTES_MAX }>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_ticket_code_reads_back_as_itself_however_it_is_typed(entropy: u64) {
            let code = TicketCode::from_entropy(entropy);
            let typed = code.as_str().replace('-', " ").to_lowercase();
            prop_assert_eq!(TicketCode::new(&typed).unwrap(), code);
        }

        #[test]
        fn a_ticket_code_with_one_wrong_symbol_is_refused(entropy: u64, at in 0_usize..9, by in 1_usize..29) {
            let code = TicketCode::from_entropy(entropy);
            let mut symbols: Vec<u8> = code.as_str().bytes().filter(|it| *it != b'-').collect();
            let was = TICKET_SYMBOLS.iter().position(|it| *it == symbols[at]).unwrap();
            symbols[at] = TICKET_SYMBOLS[(was + by) % 29];
            prop_assert!(TicketCode::new(std::str::from_utf8(&symbols).unwrap()).is_err());
        }

        #[test]
        fn a_ticket_code_with_two_neighbours_swapped_is_refused(entropy: u64, at in 0_usize..7) {
            let code = TicketCode::from_entropy(entropy);
            let mut symbols: Vec<u8> = code.as_str().bytes().filter(|it| *it != b'-').collect();
            prop_assume!(symbols[at] != symbols[at + 1]);
            symbols.swap(at, at + 1);
            prop_assert!(TicketCode::new(std::str::from_utf8(&symbols).unwrap()).is_err());
        }

        #[test]
        fn no_text_makes_a_word_panic(text in "\\PC*") {
            let _ = TicketCode::new(&text);
            let _ = Contact::new(&text);
            let _ = Label::new(&text);
            let _ = MessageText::new(&text);
            let _ = Note::cut(&text);
            let _ = text.parse::<BlobHash>();
        }
    }

    #[test]
    fn a_contact_is_an_address_or_a_number() {
        assert!(
            matches!(Contact::new(" Jana.Nova@Example.COM "), Ok(Contact::Email(it)) if it.as_str() == "Jana.Nova@example.com")
        );
        assert!(
            matches!(Contact::new("+420 123 456 789"), Ok(Contact::Phone(it)) if it.as_str() == "+420123456789")
        );
        for wrong in [
            "",
            "jana",
            "jana@",
            "@example.com",
            "jana@localhost",
            "a b@example.com",
            "12345",
            "jana@example..com",
        ] {
            assert!(Contact::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_message_keeps_its_lines_and_loses_other_control_characters() {
        assert_eq!(
            MessageText::new(" a\r\nb\u{7}c\t ").unwrap().as_str(),
            "a\nbc"
        );
        assert!(MessageText::new(" \r\n ").is_err());
    }
}
