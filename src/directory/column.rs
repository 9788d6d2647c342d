//! What a column of a file means: by its heading, in Czech or English, or as somebody says with `--map`.

use std::collections::BTreeMap;

use super::intake::Mistake;

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// The company's number for the customer.
    Customer,
    /// How to address them.
    Name,
    /// The language they read.
    Language,
    /// An address; several may stand in one field. Of several columns the first is the best.
    Email,
    /// How good the row's addresses are, 1 the best.
    Rank,
    /// What the customer calls the service.
    Service,
    /// The machine.
    Server,
    /// Where the machine stands.
    Rack,
    /// In which house.
    Datacentre,
    /// What the service is sold as.
    Product,
    /// A domain; several may stand in one field.
    Domain,
    /// A further value for templates, by its name.
    Value(String),
    /// Nothing for us.
    Ignored,
}

/// The headings that are understood: field, its name for `--map`, and others, as [`folded`] leaves them.
const KNOWN: &[(Field, &str, &[&str])] = &[
    (
        Field::Customer,
        "customer",
        &[
            "customernumber",
            "customerid",
            "customerno",
            "clientid",
            "client",
            "clientnumber",
            "account",
            "accountid",
            "userid",
            "zakaznik",
            "cislozakaznika",
            "idzakaznika",
            "zakaznickecislo",
            "klient",
            "cisloklienta",
        ],
    ),
    (
        Field::Name,
        "name",
        &[
            "customername",
            "fullname",
            "company",
            "jmeno",
            "nazev",
            "firma",
            "osloveni",
            "jmenozakaznika",
        ],
    ),
    (Field::Language, "language", &["lang", "locale", "jazyk"]),
    (
        Field::Email,
        "email",
        &[
            "mail",
            "emailaddress",
            "contactemail",
            "contact",
            "email1",
            "email2",
            "email3",
            "email4",
            "kontakt",
            "kontaktniemail",
            "emailovaadresa",
            "billingemail",
            "technicalemail",
        ],
    ),
    (Field::Rank, "rank", &["priority", "poradi", "priorita"]),
    (
        Field::Service,
        "service",
        &["servicename", "label", "sluzba", "nazevsluzby"],
    ),
    (
        Field::Server,
        "server",
        &["hostname", "host", "machine", "node", "nazevserveru"],
    ),
    (Field::Rack, "rack", &["cabinet", "skrin"]),
    (
        Field::Datacentre,
        "datacentre",
        &[
            "datacenter",
            "dc",
            "location",
            "site",
            "datovecentrum",
            "datacentrum",
            "lokalita",
        ],
    ),
    (
        Field::Product,
        "product",
        &[
            "plan",
            "package",
            "producttype",
            "produkt",
            "tarif",
            "balicek",
        ],
    ),
    (
        Field::Domain,
        "domain",
        &["domains", "domainname", "domena", "domeny"],
    ),
];

/// What a column of a file was taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its heading.
    pub column: String,
    /// What it holds.
    pub field: Field,
}

impl Field {
    /// Its name, as in `--map`.
    pub fn name(&self) -> String {
        match self {
            Self::Value(name) => format!("value.{name}"),
            Self::Ignored => "-".to_owned(),
            other => {
                let known = KNOWN.iter().find(|it| it.0 == *other);
                known.map_or_else(String::new, |it| it.1.to_owned())
            }
        }
    }

    /// The field of a name, as in `--map`.
    pub fn of_name(name: &str) -> Option<Self> {
        if name == "-" {
            return Some(Self::Ignored);
        }
        if let Some(value) = name.strip_prefix("value.") {
            return is_value_name(value).then(|| Self::Value(value.to_owned()));
        }
        let known = KNOWN.iter().find(|it| it.1 == name);
        known.map(|it| it.0.clone())
    }

    /// Every name, for whoever gave another.
    pub fn names() -> String {
        let names: Vec<&str> = KNOWN.iter().map(|it| it.1).collect();
        format!("{}, value.NAME, or - to leave it out", names.join(", "))
    }

    fn of_heading(heading: &str) -> Self {
        if let Some(value) = heading.trim().strip_prefix("value.")
            && is_value_name(value)
        {
            return Self::Value(value.to_owned());
        }
        let heading = folded(heading);
        let known = KNOWN
            .iter()
            .find(|(_, name, others)| *name == heading || others.contains(&heading.as_str()));
        known.map_or(Self::Ignored, |it| it.0.clone())
    }
}

/// A name that a template can use.
pub(super) fn is_value_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}

/// What every column of a heading holds. `map` says it of some, as field and heading.
///
/// # Errors
/// Everything that is wrong with the heading and the map.
pub(super) fn mapped(
    heading: &[String],
    map: &[(String, String)],
) -> Result<Vec<Mapped>, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut said: BTreeMap<usize, Field> = BTreeMap::new();
    let shown = || {
        let names: Vec<&str> = heading.iter().map(|it| it.trim()).collect();
        names.join(", ")
    };
    for (name, column) in map {
        let Some(field) = Field::of_name(name) else {
            mistakes.push(Mistake::of_whole("map", name, &Field::names()));
            continue;
        };
        let found = heading.iter().position(|it| it.trim() == column.trim());
        match found.or_else(|| heading.iter().position(|it| folded(it) == folded(column))) {
            Some(at) => drop(said.insert(at, field)),
            None => {
                let wanted = format!("a column of the file: {}", shown());
                mistakes.push(Mistake::of_whole("map", column, &wanted));
            }
        }
    }
    let of_map: Vec<Field> = said.values().cloned().collect();
    let several = |field: &Field| matches!(field, Field::Email | Field::Domain | Field::Ignored);
    let mut columns = Vec::new();
    for (at, name) in heading.iter().enumerate() {
        let field = match said.remove(&at) {
            Some(field) => field,
            // What somebody says of one column goes before what another is called.
            None => Some(Field::of_heading(name))
                .filter(|it| several(it) || !of_map.contains(it))
                .unwrap_or(Field::Ignored),
        };
        let twice = columns.iter().find(|it: &&Mapped| it.field == field);
        if let Some(other) = twice.filter(|_| !several(&field)) {
            let found = format!("{} and {}", other.column, name.trim());
            let wanted = "one column; say which with map, and - for the other";
            mistakes.push(Mistake::of_whole(&field.name(), &found, wanted));
        }
        let column = name.trim().to_owned();
        columns.push(Mapped { column, field });
    }
    if !columns.iter().any(|it| it.field == Field::Customer) && mistakes.is_empty() {
        let wanted = "a column with the customer number; say which with map customer=COLUMN";
        mistakes.push(Mistake::of_whole("customer", &shown(), wanted));
    }
    if mistakes.is_empty() {
        Ok(columns)
    } else {
        Err(mistakes)
    }
}

/// A heading without case, accents, spaces and punctuation.
fn folded(heading: &str) -> String {
    let plain = |it: char| match it {
        'á' | 'ä' => 'a',
        'č' => 'c',
        'ď' => 'd',
        'é' | 'ě' => 'e',
        'í' => 'i',
        'ľ' | 'ĺ' => 'l',
        'ň' => 'n',
        'ó' | 'ô' => 'o',
        'ř' | 'ŕ' => 'r',
        'š' => 's',
        'ť' => 't',
        'ú' | 'ů' => 'u',
        'ý' => 'y',
        'ž' => 'z',
        other => other,
    };
    let lower = heading.to_lowercase();
    lower
        .chars()
        .map(plain)
        .filter(char::is_ascii_alphanumeric)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(heading: &[&str], map: &[(&str, &str)]) -> Result<Vec<String>, Vec<Mistake>> {
        let heading: Vec<String> = heading.iter().map(|it| (*it).to_owned()).collect();
        let map: Vec<(String, String)> = map
            .iter()
            .map(|(one, two)| ((*one).to_owned(), (*two).to_owned()))
            .collect();
        mapped(&heading, &map).map(|it| it.iter().map(|it| it.field.name()).collect())
    }

    #[test]
    fn headings_are_understood_in_both_languages_and_a_map_goes_before_them() {
        let czech = [
            "Číslo zákazníka",
            "Jméno",
            "E-mail",
            "Jazyk",
            "Server",
            "Doména",
            "Pozn.",
        ];
        let wanted = [
            "customer", "name", "email", "language", "server", "domain", "-",
        ];
        assert_eq!(fields(&czech, &[]).unwrap(), wanted);
        let english = ["id", "customer", "E-mail address", "value.discount"];
        assert_eq!(
            fields(&english, &[("customer", "id")]).unwrap(),
            ["customer", "-", "email", "value.discount"]
        );
    }

    #[test]
    fn everything_that_is_wrong_with_a_map_is_told_at_once() {
        let wrong = fields(&["a", "b"], &[("king", "a"), ("email", "c")]).unwrap_err();
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[1].wanted.contains("a, b"));
        let none = fields(&["a", "b"], &[]).unwrap_err();
        assert_eq!(none[0].field, "customer");
        let twice = fields(&["customer", "server", "host"], &[]).unwrap_err();
        assert_eq!(
            (twice[0].field.as_str(), twice[0].found.as_str()),
            ("server", "server and host")
        );
    }
}
