//! The `[company]` section: whose boat this is: name, languages, colours, phone numbers, other addresses.
//! Holds what the file may say and what the pages are given. Mistakes go to `Problems`; nothing fails here,
//! and no disk is touched: the logo's file is read by the pages, at start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::colour::Colour;
use super::problem::Problems;
use super::zone::Zone;
use crate::model::words::{Lang, Phone};

/// The longest name, label or sentence about hours, in characters: each is one line on a phone, or two.
const LINE_CHARS_MAX: usize = 160;
/// The most phone numbers: more than a screen of them does not help anybody.
const PHONES_MAX: usize = 8;
/// The most other addresses shown: they must fit on the first page of 12 kB.
const ALTERNATES_MAX: usize = 8;
/// The most networks that are not slowed down.
const UNHURRIED_MAX: usize = 64;
/// The smallest contrast between text and its ground (WCAG 2.2, success criterion 1.4.3).
const CONTRAST_MIN: f64 = 4.5;

/// The contrast of a night colour that is made from the day colour: comfortably above what is asked of people.
const CONTRAST_MADE: f64 = 7.0;

/// The colour of actions where the file names none.
const ACCENT: Colour = Colour::of(0x0b, 0x57, 0xa4);
const ACCENT_NIGHT: Colour = Colour::of(0x8a, 0xb8, 0xf0);

/// A text in each of the languages: `{ cs = "...", en = "..." }`.
type TextSpec = BTreeMap<String, String>;

/// What a file may say under `[company]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CompanySpec {
    name: Option<String>,
    languages: Option<Vec<String>>,
    time_zone: Option<String>,
    logo: Option<PathBuf>,
    accent: Option<String>,
    accent_night: Option<String>,
    hours: Option<TextSpec>,
    alternates: Vec<String>,
    phones: Vec<PhoneSpec>,
    unhurried: Vec<String>,
}

/// What a file may say under `[[company.phones]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct PhoneSpec {
    number: Option<String>,
    label: Option<TextSpec>,
    hours: Option<TextSpec>,
}

/// Whose boat this is, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// The name that customers know.
    pub name: String,
    /// The languages of the pages, at least one; the first is for browsers that ask for none of them.
    pub languages: Vec<Lang>,
    /// The clock that customers live by.
    pub zone: Zone,
    /// An SVG or PNG file to stand beside the name.
    pub logo: Option<PathBuf>,
    /// The colour of links and buttons on white.
    pub accent: Colour,
    /// The same at night.
    pub accent_night: Colour,
    /// When people answer, as a sentence.
    pub hours: Option<Spoken>,
    /// Other host names of the same pages, without scheme: where to go when this one stops working.
    pub alternates: Vec<String>,
    /// Where to call, in the order of the file.
    pub phones: Vec<PhoneLine>,
    /// Networks from which many people write through few addresses (a call centre), so that nobody is slowed.
    pub unhurried: Vec<Network>,
}

/// A number that customers may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneLine {
    /// The number as people read it.
    pub shown: String,
    /// The number as a phone dials it: digits with an optional `+`.
    pub dialled: String,
    /// What it is for.
    pub label: Option<Spoken>,
    /// When somebody answers.
    pub hours: Option<Spoken>,
}

/// One text in every configured language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken(BTreeMap<Lang, String>);

impl Spoken {
    /// The text in this language; empty where the company does not speak it, which no page is shown in.
    pub fn in_lang(&self, lang: Lang) -> &str {
        self.0.get(&lang).map_or("", String::as_str)
    }
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address is in the range.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                shifted(
                    u32::from(base) ^ u32::from(address),
                    32 - u32::from(self.bits),
                ) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differ = u128::from(base) ^ u128::from(address);
                differ.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Reads an address, or a network as "203.0.113.0/24".
    pub fn read(text: &str) -> Option<Network> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { base, bits })
    }
}

fn shifted(value: u32, by: u32) -> u32 {
    value.checked_shr(by).unwrap_or(0)
}

impl Company {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: CompanySpec, problems: &mut Problems) -> Company {
        let name = problems.required(
            "company.name",
            spec.name,
            "the name that customers know",
            "name = \"Example Hosting\"",
        );
        let name = name
            .inspect(|name| line(problems, "company.name", name))
            .unwrap_or_default();
        let languages = languages(spec.languages, problems);
        let hours = spec
            .hours
            .map(|texts| spoken(problems, "company.hours", texts, &languages));
        let phones = phones(spec.phones, &languages, problems);
        let (accent, accent_night) = colours(spec.accent, spec.accent_night, problems);
        Company {
            name,
            hours,
            phones,
            accent,
            accent_night,
            zone: zone(spec.time_zone, problems),
            logo: spec.logo,
            alternates: alternates(spec.alternates, problems),
            unhurried: unhurried(&spec.unhurried, problems),
            languages,
        }
    }
}

/// One line that people read: not empty, not endless, no control characters.
fn line(problems: &mut Problems, key: &str, text: &str) {
    let fits = (1..=LINE_CHARS_MAX).contains(&text.trim().chars().count())
        && !text.chars().any(char::is_control);
    if !fits {
        problems.add(
            key,
            format_args!("\"{text}\""),
            &format!("one line of 1 to {LINE_CHARS_MAX} characters"),
        );
    }
}

fn languages(tags: Option<Vec<String>>, problems: &mut Problems) -> Vec<Lang> {
    let known = Lang::ALL.map(Lang::tag).join(", ");
    let Some(tags) = tags else {
        return Lang::ALL.to_vec();
    };
    let mut languages = Vec::new();
    for tag in &tags {
        match Lang::of_tag(tag) {
            Some(lang) if languages.contains(&lang) => {
                problems.add(
                    "company.languages",
                    format_args!("\"{tag}\" twice"),
                    "each language once",
                );
            }
            Some(lang) => languages.push(lang),
            None => problems.add_with(
                "company.languages",
                format_args!("\"{tag}\""),
                &format!("languages that the pages are written in: {known}"),
                "languages = [\"cs\", \"en\"]",
            ),
        }
    }
    if tags.is_empty() {
        problems.add_with(
            "company.languages",
            "none",
            "at least one language",
            "languages = [\"cs\", \"en\"]",
        );
    }
    languages
}

fn zone(name: Option<String>, problems: &mut Problems) -> Zone {
    let Some(name) = name else { return Zone::utc() };
    problems
        .parsed(
            "company.time-zone",
            &name,
            "the name of a time zone",
            "time-zone = \"Europe/Prague\"",
        )
        .unwrap_or_else(Zone::utc)
}

fn spoken(problems: &mut Problems, key: &str, texts: TextSpec, languages: &[Lang]) -> Spoken {
    let mut spoken = BTreeMap::new();
    for (tag, text) in texts {
        match Lang::of_tag(&tag) {
            Some(lang) => {
                line(problems, key, &text);
                spoken.insert(lang, text);
            }
            None => problems.add(
                key,
                format_args!("the language \"{tag}\""),
                "one of company.languages",
            ),
        }
    }
    for lang in languages.iter().filter(|lang| !spoken.contains_key(lang)) {
        problems.add_with(
            key,
            format_args!("nothing in \"{}\"", lang.tag()),
            "the text in each of company.languages",
            "hours = { cs = \"nonstop\", en = \"day and night\" }",
        );
    }
    Spoken(spoken)
}

fn phones(specs: Vec<PhoneSpec>, languages: &[Lang], problems: &mut Problems) -> Vec<PhoneLine> {
    let key = "company.phones";
    if specs.len() > PHONES_MAX {
        problems.add(
            key,
            format_args!("{} numbers", specs.len()),
            &format!("at most {PHONES_MAX}"),
        );
    }
    let mut lines = Vec::new();
    for spec in specs {
        let example = "number = \"+420 234 567 890\"";
        let Some(shown) = problems.required(key, spec.number, "a number to call", example) else {
            continue;
        };
        let Ok(number) = Phone::new(&shown) else {
            problems.add_with(
                key,
                format_args!("\"{shown}\""),
                "a telephone number of 6 to 15 digits",
                example,
            );
            continue;
        };
        lines.push(PhoneLine {
            shown: shown.trim().to_owned(),
            dialled: number.as_str().to_owned(),
            label: spec
                .label
                .map(|texts| spoken(problems, key, texts, languages)),
            hours: spec
                .hours
                .map(|texts| spoken(problems, key, texts, languages)),
        });
    }
    lines
}

fn colours(
    day: Option<String>,
    night: Option<String>,
    problems: &mut Problems,
) -> (Colour, Colour) {
    let derived = match (&day, &night) {
        (None, _) => Some(ACCENT_NIGHT),
        (Some(_), _) => None,
    };
    let day = colour(day, "company.accent", ACCENT, Colour::WHITE, problems);
    let derived = derived.unwrap_or_else(|| day.lightened_until(CONTRAST_MADE, Colour::NIGHT));
    let night = colour(
        night,
        "company.accent-night",
        derived,
        Colour::NIGHT,
        problems,
    );
    (day, night)
}

/// The colour that the file names, which people must be able to read on its ground.
fn colour(
    text: Option<String>,
    key: &str,
    otherwise: Colour,
    ground: Colour,
    problems: &mut Problems,
) -> Colour {
    let Some(text) = text else { return otherwise };
    let wanted = "a colour as # and six hexadecimal digits";
    let Some(colour) =
        problems.parsed::<Colour>(key, &text, wanted, &format!("accent = \"{otherwise}\""))
    else {
        return otherwise;
    };
    let contrast = colour.contrast(ground);
    if contrast < CONTRAST_MIN {
        problems.add_with(
            key,
            format_args!("{colour}, which has a contrast of {contrast:.1} : 1 on {ground}"),
            "at least 4.5 : 1, so that people can read it",
            &format!("accent = \"{otherwise}\""),
        );
    }
    colour
}

fn alternates(names: Vec<String>, problems: &mut Problems) -> Vec<String> {
    let key = "company.alternates";
    if names.len() > ALTERNATES_MAX {
        problems.add(
            key,
            format_args!("{} names", names.len()),
            &format!("at most {ALTERNATES_MAX}"),
        );
    }
    for name in names.iter().filter(|name| !is_host(name)) {
        problems.add_with(
            key,
            format_args!("\"{name}\""),
            "a host name, with a port where it is not 443, without https://",
            "alternates = [\"help1.example.net\", \"help2.example.org\"]",
        );
    }
    names
}

/// A host name or address in ASCII, with an optional port.
fn is_host(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "443"));
    let label = |it: &str| {
        (1..=63).contains(&it.len())
            && it
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !it.starts_with('-')
            && !it.ends_with('-')
    };
    host.len() <= 253
        && host.split('.').all(label)
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn unhurried(texts: &[String], problems: &mut Problems) -> Vec<Network> {
    let key = "company.unhurried";
    if texts.len() > UNHURRIED_MAX {
        problems.add(
            key,
            format_args!("{} networks", texts.len()),
            &format!("at most {UNHURRIED_MAX}"),
        );
    }
    let mut networks = Vec::new();
    for text in texts {
        match Network::read(text) {
            Some(network) => networks.push(network),
            None => problems.add_with(
                key,
                format_args!("\"{text}\""),
                "an address or a network",
                "unhurried = [\"203.0.113.0/24\"]",
            ),
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (Company, Vec<String>) {
        let mut problems = Problems::new();
        let spec = toml::from_str(text).unwrap();
        let company = Company::check(spec, &mut problems);
        (company, problems.iter().map(ToString::to_string).collect())
    }

    const WHOLE: &str = r##"
        name = "Example Hosting"
        languages = ["cs", "en"]
        time-zone = "Europe/Prague"
        accent = "#7a1f5c"
        hours = { cs = "Odpovídáme ve dne v noci.", en = "We answer day and night." }
        alternates = ["help1.example.net", "127.0.0.1:8443"]
        unhurried = ["203.0.113.0/24", "2001:db8::/32"]
        [[phones]]
        number = "+420 234 567 890"
        label = { cs = "Podpora", en = "Support" }
    "##;

    #[test]
    fn a_whole_section_is_read() {
        let (company, problems) = checked(WHOLE);
        assert_eq!(problems, [""; 0]);
        assert_eq!(company.phones[0].dialled, "+420234567890");
        assert_eq!(
            company.phones[0].label.as_ref().unwrap().in_lang(Lang::Cs),
            "Podpora"
        );
        assert_eq!(company.languages, [Lang::Cs, Lang::En]);
        assert!(company.unhurried[0].holds("203.0.113.77".parse().unwrap()));
        assert!(!company.unhurried[0].holds("203.0.114.77".parse().unwrap()));
        assert!(company.unhurried[1].holds("2001:db8:1::1".parse().unwrap()));
    }

    #[test]
    fn the_night_colour_is_made_readable_from_the_day_colour() {
        let (company, problems) = checked(WHOLE);
        assert_eq!(problems, [""; 0]);
        assert!(company.accent.contrast(Colour::WHITE) >= CONTRAST_MIN);
        assert!(company.accent_night.contrast(Colour::NIGHT) >= CONTRAST_MIN);
    }

    #[test]
    fn the_colours_that_come_with_the_program_can_be_read() {
        assert!(ACCENT.contrast(Colour::WHITE) >= CONTRAST_MIN);
        assert!(ACCENT_NIGHT.contrast(Colour::NIGHT) >= CONTRAST_MIN);
    }

    #[test]
    fn a_colour_that_people_cannot_read_is_refused_with_its_contrast() {
        let (_, problems) = checked("name = \"E\"\naccent = \"#ffcc00\"");
        assert!(
            problems[0].contains("company.accent: found #ffcc00, which has a contrast of 1.5 : 1"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_text_missing_in_one_language_is_named() {
        let (_, problems) = checked("name = \"E\"\nhours = { cs = \"nonstop\" }");
        assert!(
            problems[0].contains("company.hours: found nothing in \"en\""),
            "{problems:?}"
        );
    }

    #[test]
    fn every_mistake_is_said_with_what_is_wanted() {
        let (_, problems) = checked(
            r#"
            languages = ["cs", "xx"]
            time-zone = "Mars/Olympus"
            alternates = ["https://help1.example.net"]
            unhurried = ["203.0.113.0/33"]
            [[phones]]
            number = "call us"
            "#,
        );
        let all = problems.join("\n");
        for key in [
            "name",
            "languages",
            "time-zone",
            "alternates",
            "unhurried",
            "phones",
        ] {
            assert!(
                all.contains(&format!("company.{key}: ")),
                "{key} is missing in {all}"
            );
        }
        assert_eq!(problems.len(), 6, "{all}");
    }
}
