//! Whom something is for: a question to the directory, in words that can be typed on a telephone.
//!
//! ```text
//! audience   = either *( "except" either )
//! either     = both *( "or" both )
//! both       = one *( "and" one )
//! one        = "not" one / "(" either ")" / "all" / field "=" value *( "," value )
//! field      = service / server / rack / datacentre / product / domain / language / customer / list
//! value      = letters, digits and -_.@*+ / anything within double quotes; "*" stands for any characters
//! ```
//!
//! `and`, `or` and `not` are about one service at a time: `server=web1 and product=mail` are customers with mail on web1.
//! `except` takes customers out, whatever else they have. A customer without services is asked once, with nothing known of
//! any. Reading cannot panic, and what it takes is bounded by the text's length.

use std::collections::{BTreeMap, BTreeSet};

use super::customer::{Customer, Hosted, Place};
use crate::model::limits;

/// Lists of customer numbers and addresses, by name.
pub type Lists = BTreeMap<String, BTreeSet<String>>;

/// A question to the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    whom: Term,
    except: Vec<Term>,
    lists: Lists,
}

/// Why a text is no audience.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: found {found}; wanted {wanted}")]
pub struct AudienceWrong {
    /// Where, in characters from 1.
    pub at: usize,
    /// What stands there.
    pub found: String,
    /// What could stand there.
    pub wanted: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    All,
    Is(Field, Vec<String>),
    Not(Box<Term>),
    Both(Vec<Term>),
    Either(Vec<Term>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Service,
    Server,
    Rack,
    Datacentre,
    Product,
    Domain,
    Language,
    Customer,
    List,
}

const FIELDS: [(&str, Field); 12] = [
    ("service", Field::Service),
    ("server", Field::Server),
    ("rack", Field::Rack),
    ("datacentre", Field::Datacentre),
    ("datacenter", Field::Datacentre),
    ("dc", Field::Datacentre),
    ("product", Field::Product),
    ("domain", Field::Domain),
    ("language", Field::Language),
    ("lang", Field::Language),
    ("customer", Field::Customer),
    ("list", Field::List),
];

const ONE: &str = "all, not, '(', or a field such as server=web1 (service, server, rack, datacentre, product, domain, language, customer, list)";

impl Audience {
    /// Reads a question. `lists` are those that it may name.
    ///
    /// # Errors
    /// With the place in the text and what could stand there.
    pub fn read(text: &str, lists: Lists) -> Result<Self, AudienceWrong> {
        if text.len() > limits::AUDIENCE_BYTES_MAX {
            return Err(AudienceWrong {
                at: 1,
                found: format!("{} bytes", text.len()),
                wanted: format!(
                    "at most {} bytes; put long lists into a list",
                    limits::AUDIENCE_BYTES_MAX
                ),
            });
        }
        let mut parser = Parser {
            tokens: tokens(text)?,
            next: 0,
            end: text.chars().count() + 1,
            lists: &lists,
        };
        let whom = parser.either(0)?;
        let mut except = Vec::new();
        while parser.takes(&Token::word("except")) {
            except.push(parser.either(0)?);
        }
        parser.ended()?;
        let lists = lists.into_iter().map(|(name, lines)| {
            (
                name,
                lines.iter().map(|it| it.trim().to_lowercase()).collect(),
            )
        });
        Ok(Self {
            whom,
            except,
            lists: lists.collect(),
        })
    }

    /// Whether it asks for places only, so that it can be answered without knowing customers.
    pub fn is_of_places(&self) -> bool {
        self.except.is_empty() && self.whom.is_of_places()
    }

    /// Whether it asks for everybody.
    pub fn is_all(&self) -> bool {
        self.whom == Term::All && self.except.is_empty()
    }

    /// Whether something at this place is meant. Only for an audience of places.
    pub fn means(&self, place: &Place) -> bool {
        let (nobody, service) = (
            Customer::default(),
            Hosted {
                place: place.clone(),
                ..Hosted::default()
            },
        );
        self.holds(&self.whom, &nobody, &service)
    }

    /// Whether a customer is meant, and by which of their services.
    pub fn picks<'c>(&self, customer: &'c Customer) -> Option<Vec<&'c Hosted>> {
        let picked = self.of(&self.whom, customer)?;
        let excepted = self.except.iter().any(|it| self.of(it, customer).is_some());
        (!excepted).then_some(picked)
    }

    fn of<'c>(&self, term: &Term, customer: &'c Customer) -> Option<Vec<&'c Hosted>> {
        if customer.services.is_empty() {
            return self
                .holds(term, customer, &Hosted::default())
                .then(Vec::new);
        }
        let services = customer.services.iter();
        let picked: Vec<&Hosted> = services
            .filter(|it| self.holds(term, customer, it))
            .collect();
        (!picked.is_empty()).then_some(picked)
    }

    fn holds(&self, term: &Term, customer: &Customer, service: &Hosted) -> bool {
        match term {
            Term::All => true,
            Term::Not(one) => !self.holds(one, customer, service),
            Term::Both(all) => all.iter().all(|it| self.holds(it, customer, service)),
            Term::Either(all) => all.iter().any(|it| self.holds(it, customer, service)),
            Term::Is(Field::List, names) => {
                names
                    .iter()
                    .filter_map(|it| self.lists.get(it))
                    .any(|list| {
                        let on_list = |text: &str| list.contains(&text.to_lowercase());
                        on_list(&customer.number)
                            || customer.contacts.iter().any(|it| on_list(&it.address))
                    })
            }
            Term::Is(field, patterns) => {
                let any = |text: &str| patterns.iter().any(|it| fits(it, text));
                let place = &service.place;
                match field {
                    Field::Service => any(&service.label().to_lowercase()),
                    Field::Server => any(&place.server),
                    Field::Rack => any(&place.rack),
                    Field::Datacentre => any(&place.datacentre),
                    Field::Product => any(&place.product),
                    Field::Domain => service.domains.iter().any(|it| any(it)),
                    Field::Language => {
                        let tag = customer.language.as_deref().unwrap_or_default();
                        any(tag) || any(tag.split('-').next().unwrap_or_default())
                    }
                    Field::Customer | Field::List => any(&customer.number.to_lowercase()),
                }
            }
        }
    }
}

impl Term {
    fn is_of_places(&self) -> bool {
        match self {
            Self::All => true,
            Self::Is(field, _) => {
                matches!(
                    field,
                    Field::Server | Field::Rack | Field::Datacentre | Field::Product
                )
            }
            Self::Not(one) => one.is_of_places(),
            Self::Both(all) | Self::Either(all) => all.iter().all(Self::is_of_places),
        }
    }
}

/// Whether a text fits a pattern, in which `*` stands for any characters. Both are in lower case.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|it| text.strip_prefix(it)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(char),
}

impl Token {
    fn word(text: &str) -> Self {
        Self::Word(text.to_owned())
    }

    fn shown(&self) -> String {
        match self {
            Self::Word(text) => text.clone(),
            Self::Quoted(text) => format!("\"{text}\""),
            Self::Sign(sign) => sign.to_string(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, AudienceWrong> {
    let is_word = |it: char| it.is_alphanumeric() || "-_.@*+".contains(it);
    let mut tokens = Vec::new();
    let mut letters = text.chars().zip(1..).peekable();
    while let Some((letter, at)) = letters.next() {
        match letter {
            letter if letter.is_whitespace() => {}
            '(' | ')' | '=' | ',' => tokens.push((at, Token::Sign(letter))),
            ':' => tokens.push((at, Token::Sign('='))),
            '"' => {
                let mut quoted = String::new();
                loop {
                    match letters.next() {
                        Some(('"', _)) => break,
                        Some((letter, _)) => quoted.push(letter),
                        None => {
                            let found = "a quote that is not closed".to_owned();
                            let wanted = "a closing quote".to_owned();
                            return Err(AudienceWrong { at, found, wanted });
                        }
                    }
                }
                tokens.push((at, Token::Quoted(quoted)));
            }
            letter if is_word(letter) => {
                let mut word = letter.to_string();
                while let Some((letter, _)) = letters.next_if(|it| is_word(it.0)) {
                    word.push(letter);
                }
                tokens.push((at, Token::Word(word)));
            }
            other => {
                let found = other.escape_default().to_string();
                let wanted = "letters, digits, -_.@*+ and quotes".to_owned();
                return Err(AudienceWrong { at, found, wanted });
            }
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    lists: &'a Lists,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|it| &it.1)
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is_it = match (self.peek(), token) {
            (Some(Token::Word(found)), Token::Word(wanted)) => found.eq_ignore_ascii_case(wanted),
            (found, wanted) => found == Some(wanted),
        };
        self.next += usize::from(is_it);
        is_it
    }

    fn wrong<T>(&self, wanted: impl Into<String>) -> Result<T, AudienceWrong> {
        let here = self.tokens.get(self.next);
        Err(AudienceWrong {
            at: here.map_or(self.end, |it| it.0),
            found: here.map_or_else(|| "the end".to_owned(), |it| it.1.shown()),
            wanted: wanted.into(),
        })
    }

    fn ended(&self) -> Result<(), AudienceWrong> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.wrong("and, or, except, or the end"),
        }
    }

    fn either(&mut self, depth: usize) -> Result<Term, AudienceWrong> {
        let mut all = vec![self.both(depth)?];
        while self.takes(&Token::word("or")) {
            all.push(self.both(depth)?);
        }
        Ok(single_or(all, Term::Either))
    }

    fn both(&mut self, depth: usize) -> Result<Term, AudienceWrong> {
        let mut all = vec![self.one(depth)?];
        while self.takes(&Token::word("and")) {
            all.push(self.one(depth)?);
        }
        Ok(single_or(all, Term::Both))
    }

    fn one(&mut self, depth: usize) -> Result<Term, AudienceWrong> {
        if depth > limits::AUDIENCE_DEPTH_MAX {
            return self.wrong(format!(
                "at most {} brackets and negations one inside the other",
                limits::AUDIENCE_DEPTH_MAX
            ));
        }
        if self.takes(&Token::word("not")) {
            return Ok(Term::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes(&Token::Sign('(')) {
            let inner = self.either(depth + 1)?;
            return match self.takes(&Token::Sign(')')) {
                true => Ok(inner),
                false => self.wrong("and, or, or ')'"),
            };
        }
        let Some(Token::Word(name)) = self.peek().cloned() else {
            return self.wrong(ONE);
        };
        let field = FIELDS.iter().find(|it| it.0.eq_ignore_ascii_case(&name));
        match field {
            Some((_, field)) => {
                self.next += 1;
                self.values(*field)
            }
            None if name.eq_ignore_ascii_case("all") => {
                self.next += 1;
                Ok(Term::All)
            }
            None => self.wrong(ONE),
        }
    }

    fn values(&mut self, field: Field) -> Result<Term, AudienceWrong> {
        if !self.takes(&Token::Sign('=')) {
            return self.wrong("'='");
        }
        let mut values = Vec::new();
        loop {
            let value = match self.peek() {
                Some(Token::Word(value) | Token::Quoted(value)) => value.trim().to_lowercase(),
                _ => return self.wrong("a value"),
            };
            if value.is_empty() {
                return self.wrong("a value that is not empty");
            }
            if field == Field::List {
                let known = self.lists.keys().find(|it| it.to_lowercase() == value);
                match known {
                    Some(name) => values.push(name.clone()),
                    None => {
                        let names: Vec<&str> = self.lists.keys().map(String::as_str).collect();
                        return self.wrong(match names.is_empty() {
                            true => "a list that comes with the question; none does".to_owned(),
                            false => format!("one of the lists {}", names.join(", ")),
                        });
                    }
                }
            } else {
                values.push(value);
            }
            self.next += 1;
            if !self.takes(&Token::Sign(',')) {
                return Ok(Term::Is(field, values));
            }
        }
    }
}

fn single_or(mut all: Vec<Term>, several: impl FnOnce(Vec<Term>) -> Term) -> Term {
    match (all.len(), all.pop()) {
        (1, Some(one)) => one,
        (_, last) => {
            all.extend(last);
            several(all)
        }
    }
}

#[cfg(test)]
mod tests;
