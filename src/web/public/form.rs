//! What visitors type: read from a form's body as it came, checked into words, and shown again where it was wrong.
//! Nothing that was typed is dropped on the way back to the page. Whatever the body holds, reading it cannot fail.

use std::borrow::Cow;

use crate::model::limits;
use crate::model::words::{Contact, Lang, MessageText, ReferenceText, TicketCode};

use super::texts::Say;

/// The fields of any of our forms, as they were typed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Typed {
    /// The message.
    pub text: String,
    /// E-mail or phone.
    pub contact: String,
    /// Domain, server or customer number.
    pub reference: String,
    /// A ticket code.
    pub code: String,
    /// The form's token.
    pub token: String,
    /// What the page's script made for this message.
    pub id: String,
    /// The field that people do not see.
    pub trap: String,
    /// The proof that a node of ours wrote it; no page of ours has the field.
    pub proof: String,
    /// The language the form was shown in.
    pub lang: Option<Lang>,
    /// The form asked for the contact as well (the ticket's page does, the box at the foot does not).
    pub asked: bool,
}

impl Typed {
    /// Reads an urlencoded body. Of a field that comes twice the first counts; unknown fields are left out; bytes that
    /// are not UTF-8 become replacement characters.
    pub fn read(body: &[u8]) -> Typed {
        Typed::of(form_urlencoded::parse(body))
    }

    /// The same of fields that were read already.
    pub fn of<'a>(fields: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Typed {
        let mut typed = Typed::default();
        for (name, value) in fields {
            let field = match name.as_ref() {
                "text" => &mut typed.text,
                "contact" => &mut typed.contact,
                "reference" => &mut typed.reference,
                "code" => &mut typed.code,
                "token" => &mut typed.token,
                "id" => &mut typed.id,
                "website" => &mut typed.trap,
                "proof" => &mut typed.proof,
                "lang" => {
                    typed.lang = typed.lang.or_else(|| Lang::of_tag(&value));
                    continue;
                }
                "asked" => {
                    typed.asked = true;
                    continue;
                }
                _ => continue,
            };
            if field.is_empty() {
                *field = value.into_owned();
            }
        }
        typed
    }
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The field's name, and the id of its element.
    pub field: &'static str,
    /// What is wrong and what is wanted, as a sentence.
    pub said: String,
}

/// Why a form was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In one line.
    pub heading: String,
    /// What to do, where no field is to blame.
    pub said: Vec<String>,
}

/// A form on a page: empty, or as it was typed with what is wrong.
#[derive(Clone, Default)]
pub struct Form {
    /// What stands in the fields.
    pub typed: Typed,
    /// The token that goes out with it.
    pub token: String,
    /// Why it was not taken.
    pub problem: Option<Problem>,
    /// The fields to blame.
    pub wrongs: Vec<Wrong>,
}

impl Form {
    /// An empty form.
    pub fn fresh(token: String) -> Form {
        Form {
            token,
            ..Form::default()
        }
    }

    /// A form with something in it already, about which nothing is wrong.
    pub fn showing(typed: Typed) -> Form {
        Form {
            typed,
            ..Form::default()
        }
    }

    /// The form as it was typed, under a token to send it with, with one sentence about why it was not taken.
    pub fn again(typed: Typed, token: String, heading: String, said: String) -> Form {
        Form {
            typed,
            token,
            problem: Some(Problem {
                heading,
                said: vec![said],
            }),
            wrongs: Vec::new(),
        }
    }

    /// The form as it was typed, under a token to send it with, with the fields to blame.
    pub fn blaming(typed: Typed, token: String, heading: String, wrongs: Vec<Wrong>) -> Form {
        Form {
            typed,
            token,
            problem: Some(Problem {
                heading,
                said: Vec::new(),
            }),
            wrongs,
        }
    }

    /// What is wrong with this field, if anything is.
    pub fn wrong(&self, field: &str) -> Option<&str> {
        self.wrongs
            .iter()
            .find(|wrong| wrong.field == field)
            .map(|wrong| wrong.said.as_str())
    }
}

/// A customer's first message, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The message.
    pub text: MessageText,
    /// Where to answer.
    pub contact: Contact,
    /// Domain, server or customer number.
    pub reference: Option<ReferenceText>,
}

impl Letter {
    /// Checks what was typed.
    ///
    /// # Errors
    /// Every field that is wrong, in the order of the page.
    pub fn read(typed: &Typed, say: &Say) -> Result<Letter, Vec<Wrong>> {
        let text = message(&typed.text, say);
        let contact = contact(&typed.contact, say);
        let reference = reference(&typed.reference, say);
        match (text, contact, reference) {
            (Ok(text), Ok(contact), Ok(reference)) => Ok(Letter {
                text,
                contact,
                reference,
            }),
            (text, contact, reference) => Err([text.err(), contact.err(), reference.err()]
                .into_iter()
                .flatten()
                .collect()),
        }
    }
}

/// Checks one message.
///
/// # Errors
/// When it is empty or too long, in the visitor's language.
pub fn message(typed: &str, say: &Say) -> Result<MessageText, Wrong> {
    MessageText::new(typed).map_err(|_| {
        let count = typed.trim().chars().count();
        let said = if count == 0 {
            say.it("wrong-text-empty")
        } else {
            too_long(say, "wrong-text-long", typed, limits::MESSAGE_CHARS_MAX)
        };
        Wrong {
            field: "text",
            said,
        }
    })
}

/// Checks a ticket code together with the contact it was given for.
///
/// # Errors
/// Every field that is wrong.
pub fn claim(typed: &Typed, say: &Say) -> Result<(TicketCode, Contact), Vec<Wrong>> {
    match (code(typed, say), contact(&typed.contact, say)) {
        (Ok(code), Ok(contact)) => Ok((code, contact)),
        (code, contact) => Err([code.err(), contact.err()].into_iter().flatten().collect()),
    }
}

/// Checks a ticket code alone.
///
/// # Errors
/// When it is empty or a symbol of it is wrong.
pub fn code(typed: &Typed, say: &Say) -> Result<TicketCode, Wrong> {
    TicketCode::new(&typed.code).map_err(|_| {
        let key = if typed.code.trim().is_empty() {
            "wrong-code-empty"
        } else {
            "wrong-code"
        };
        Wrong {
            field: "code",
            said: say.it(key),
        }
    })
}

fn contact(typed: &str, say: &Say) -> Result<Contact, Wrong> {
    Contact::new(typed).map_err(|_| {
        let key = if typed.trim().is_empty() {
            "wrong-contact-empty"
        } else {
            "wrong-contact"
        };
        Wrong {
            field: "contact",
            said: say.it(key),
        }
    })
}

fn reference(typed: &str, say: &Say) -> Result<Option<ReferenceText>, Wrong> {
    if typed.trim().is_empty() {
        return Ok(None);
    }
    ReferenceText::new(typed).map(Some).map_err(|_| Wrong {
        field: "reference",
        said: too_long(
            say,
            "wrong-reference-long",
            typed,
            limits::REFERENCE_CHARS_MAX,
        ),
    })
}

fn too_long(say: &Say, key: &str, typed: &str, most: usize) -> String {
    // Counted as MessageText counts: a line break is one character, whatever the browser sends for it.
    let count = typed.replace("\r\n", "\n").trim().chars().count();
    say.with(key, [("count", count.into()), ("most", most.into())])
}

/// The contact as it is hashed to be found again: people do not remember whether they typed capitals or a country code.
pub fn contact_for_finding(contact: &Contact) -> String {
    match contact {
        Contact::Email(address) => address.as_str().to_lowercase(),
        Contact::Phone(number) => {
            let digits = number.as_str().trim_start_matches('+');
            digits[digits.len().saturating_sub(limits::PHONE_DIGITS_COMPARED)..].to_owned()
        }
    }
}

/// The contact as the page repeats it: enough to recognise it, too little for who looks over the shoulder.
pub fn contact_in_short(contact: &Contact) -> String {
    match contact {
        Contact::Email(address) => {
            let (local, domain) = address
                .as_str()
                .rsplit_once('@')
                .unwrap_or((address.as_str(), ""));
            format!("{}…@{domain}", local.chars().next().unwrap_or('…'))
        }
        Contact::Phone(number) => {
            number.as_str()[number.as_str().len().saturating_sub(3)..].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typed(text: &str, contact: &str, reference: &str) -> Typed {
        Typed {
            text: text.to_owned(),
            contact: contact.to_owned(),
            reference: reference.to_owned(),
            ..Typed::default()
        }
    }

    fn wrongs(typed: &Typed) -> Vec<&'static str> {
        let wrongs = Letter::read(typed, &Say::in_lang(Lang::En)).unwrap_err();
        wrongs.iter().map(|it| it.field).collect()
    }

    #[test]
    fn a_body_is_read_as_browsers_write_it() {
        let read = Typed::read(
            "text=Nejde+web%0D%0Aani+po%C5%A1ta&contact=a%40example.com&lang=cs&text=again&x=1"
                .as_bytes(),
        );
        assert_eq!(read.text, "Nejde web\r\nani pošta");
        assert_eq!(
            (read.contact.as_str(), read.lang),
            ("a@example.com", Some(Lang::Cs))
        );
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        assert_eq!(
            wrongs(&typed(" \r\n ", "", &"x".repeat(254))),
            ["text", "contact", "reference"]
        );
        assert_eq!(
            wrongs(&typed(&"é".repeat(4_001), "a@b", "")),
            ["text", "contact"]
        );
    }

    #[test]
    fn a_message_too_long_is_told_by_how_much() {
        let wrong = message(&"a\r\n".repeat(2_001), &Say::in_lang(Lang::En)).unwrap_err();
        assert_eq!(
            wrong.said,
            "Your message has 4001 characters and at most 4000 fit. Shorten it, or send the rest afterwards."
        );
    }

    #[test]
    fn a_contact_is_found_again_however_it_is_typed() {
        let same = |one: &str, two: &str| {
            contact_for_finding(&Contact::new(one).unwrap())
                == contact_for_finding(&Contact::new(two).unwrap())
        };
        assert!(same("Jana.Nova@Example.com", " jana.nova@example.COM"));
        assert!(same("+420 234 567 890", "234567890"));
        assert!(same("00420234567890", "234 567 890"));
        assert!(!same("234567890", "234567891"));
    }

    #[test]
    fn a_contact_is_repeated_in_short() {
        assert_eq!(
            contact_in_short(&Contact::new("jana@example.com").unwrap()),
            "j…@example.com"
        );
        assert_eq!(
            contact_in_short(&Contact::new("+420 234 567 890").unwrap()),
            "890"
        );
    }

    proptest! {
        #[test]
        fn no_body_can_disturb_us(body: Vec<u8>) {
            let typed = Typed::read(&body);
            let _ = Letter::read(&typed, &Say::in_lang(Lang::Cs));
            let _ = claim(&typed, &Say::in_lang(Lang::En));
        }

        #[test]
        fn what_was_typed_is_what_comes_back(text: String, contact: String) {
            let body = form_urlencoded::Serializer::new(String::new())
                .append_pair("text", &text).append_pair("contact", &contact).finish();
            let read = Typed::read(body.as_bytes());
            prop_assert_eq!(read.text, text);
            prop_assert_eq!(read.contact, contact);
        }
    }
}
