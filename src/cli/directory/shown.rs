//! What a node says about the directory, as a terminal shows it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::customers;
use crate::cli::output::{Paper, bytes as size, count, printable, table};

#[derive(Debug, Deserialize)]
pub(super) struct Imported {
    pub(super) version: Option<String>,
    pub(super) live: bool,
    customers: u64,
    contacts: u64,
    services: u64,
    added: u64,
    changed: u64,
    removed: u64,
    numbers: Vec<String>,
    pub(super) confirm: Option<u64>,
    left_out: u64,
    unreachable: u64,
    files: Vec<FileRead>,
}

#[derive(Debug, Deserialize)]
struct FileRead {
    file: String,
    format: String,
    rows: u64,
    columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
struct Column {
    column: String,
    field: String,
}

impl Imported {
    pub(super) fn changes(&self) -> u64 {
        self.added + self.changed + self.removed
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            let name = match file.file.as_str() {
                "" => String::new(),
                name => format!("{}: ", printable(name)),
            };
            text.push_str(&format!(
                "{name}{}, {}\n",
                count(file.rows, "row"),
                file.format
            ));
            for column in &file.columns {
                let field = match column.field.as_str() {
                    "-" => "left out",
                    field => field,
                };
                text.push_str(&format!(
                    "  {} -> {}\n",
                    printable(&column.column),
                    printable(field)
                ));
            }
        }
        text.push_str(&format!(
            "{}, {}, {}\ncompared with what there is: {} added, {} changed, {} gone\n",
            customers(self.customers),
            addresses(self.contacts),
            count(self.services, "service"),
            self.added,
            self.changed,
            self.removed
        ));
        for number in &self.numbers {
            text.push_str(&format!("  {}\n", printable(number)));
        }
        let more = self.changes().saturating_sub(self.numbers.len() as u64);
        if more > 0 {
            text.push_str(&format!("  and {more} more\n"));
        }
        if self.unreachable > 0 {
            text.push_str(&format!(
                "without an address: {}\n",
                customers(self.unreachable)
            ));
        }
        if self.left_out > 0 {
            text.push_str(&format!(
                "erased, and left out: {}\n",
                customers(self.left_out)
            ));
        }
        text
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Whole {
    pub(super) live: Option<String>,
    open: Option<String>,
    erased: u64,
    affects: Vec<Touched>,
    versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
struct Version {
    version: String,
    live: bool,
    wanted: bool,
    customers: u64,
    contacts: u64,
    services: u64,
    bytes: u64,
    changes: u64,
    published: String,
    by: String,
    note: String,
    voters_holding: u64,
    voters: u64,
}

impl Whole {
    /// Voters that have a version, and voters in all.
    pub(super) fn holding(&self, version: &str) -> (u64, u64) {
        let found = self.versions.iter().find(|it| it.version == version);
        found.map_or((0, 0), |it| (it.voters_holding, it.voters))
    }

    pub(super) fn summary(&self, paper: Paper) -> String {
        let Some(live) = self.versions.iter().find(|it| it.live) else {
            return "no directory is live; take one in with 'lifeboat directory import'\n"
                .to_owned();
        };
        let mut text = format!(
            "{} is live since {}: {}, {}, {}\n",
            live.version,
            paper.time(&live.published),
            customers(live.customers),
            addresses(live.contacts),
            count(live.services, "service")
        );
        match &self.open {
            Some(open) if *open == live.version => {}
            Some(open) => text.push_str(&format!(
                "this node answers from {open} until it has copied it\n"
            )),
            None => text.push_str("this node cannot answer from it yet\n"),
        }
        if let Some(wanted) = self.versions.iter().find(|it| it.wanted && !it.live) {
            let (held, voters) = (wanted.voters_holding, wanted.voters);
            text.push_str(&format!(
                "{} is wanted: {held} of {voters} voters have it\n",
                wanted.version
            ));
        }
        if self.erased > 0 {
            text.push_str(&format!(
                "erased, and kept out of imports: {}\n",
                customers(self.erased)
            ));
        }
        for touched in &self.affects {
            let audience = touched.audience.as_deref().unwrap_or("not known");
            text.push_str(&format!(
                "incident {} touches {}\n",
                touched.incident,
                printable(audience)
            ));
        }
        text
    }

    pub(super) fn table(&self, paper: Paper) -> String {
        let row = |it: &Version| {
            let state = match (it.live, it.wanted) {
                (true, _) => "live",
                (false, true) => "waiting",
                (false, false) => "kept",
            };
            vec![
                it.version.clone(),
                state.to_owned(),
                it.customers.to_string(),
                it.changes.to_string(),
                size(it.bytes),
                format!("{} of {}", it.voters_holding, it.voters),
                paper.time(&it.published),
                it.by.clone(),
                it.note.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = self.versions.iter().map(row).collect();
        if rows.is_empty() {
            return "no directory yet; take one in with 'lifeboat directory import'\n".to_owned();
        }
        let heading = [
            "VERSION",
            "STATE",
            "CUSTOMERS",
            "CHANGES",
            "SIZE",
            "VOTERS",
            "PUBLISHED",
            "BY",
            "NOTE",
        ];
        table(&heading, &rows)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Touched {
    incident: String,
    audience: Option<String>,
    customers: Option<u64>,
}

impl Touched {
    pub(super) fn text(&self) -> String {
        let Some(audience) = &self.audience else {
            return format!("it is not known whom incident {} touches\n", self.incident);
        };
        let many = match self.customers {
            Some(number) => format!(": {}", customers(number)),
            None => String::new(),
        };
        format!(
            "incident {} touches {}{many}\n",
            self.incident,
            printable(audience)
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Differs {
    from: String,
    to: String,
    added: u64,
    changed: u64,
    removed: u64,
    numbers: Vec<String>,
}

impl Differs {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "from {} to {}: {} added, {} changed, {} gone\n",
            self.from, self.to, self.added, self.changed, self.removed
        );
        for number in &self.numbers {
            text.push_str(&format!("  {}\n", printable(number)));
        }
        let all = self.added + self.changed + self.removed;
        let more = all.saturating_sub(self.numbers.len() as u64);
        if more > 0 {
            text.push_str(&format!("  and {more} more\n"));
        }
        text
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Erased {
    done: bool,
    known: bool,
    contacts: u64,
    services: u64,
}

impl Erased {
    pub(super) fn text(&self) -> String {
        let what = match self.known {
            true => format!(
                "{} and {}",
                addresses(self.contacts),
                count(self.services, "service")
            ),
            false => "a customer that the directory does not know".to_owned(),
        };
        match self.done {
            true => format!(
                "erased: {what}. Nobody is shown it any more; the files are written anew without it, and the old ones go within an hour after that\n"
            ),
            false => format!(
                "nothing was done: this would erase {what}. To do it, repeat it with --confirm 1\n"
            ),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Short {
    customer: String,
    name: Option<String>,
}

impl Short {
    pub(super) fn row(&self) -> Vec<String> {
        vec![self.customer.clone(), self.name.clone().unwrap_or_default()]
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Card {
    version: String,
    customer: String,
    name: Option<String>,
    language: Option<String>,
    contacts: Vec<String>,
    services: Vec<Had>,
    affected: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Had {
    name: String,
    server: String,
    rack: String,
    datacentre: String,
    product: String,
    domains: Vec<String>,
    incidents: Vec<String>,
}

impl Card {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{}  {}\n",
            printable(&self.customer),
            printable(self.name.as_deref().unwrap_or_default())
        );
        text.push_str(match self.affected {
            Some(true) => "affected by what happens now\n",
            Some(false) => "not affected by what is known to be\n",
            None => "it was not said whom anything touches now\n",
        });
        if let Some(language) = &self.language {
            text.push_str(&format!("language {}\n", printable(language)));
        }
        for contact in &self.contacts {
            text.push_str(&format!("  {}\n", printable(contact)));
        }
        let row = |it: &Had| {
            vec![
                it.name.clone(),
                it.server.clone(),
                it.rack.clone(),
                it.datacentre.clone(),
                it.product.clone(),
                it.domains.join(" "),
                it.incidents.join(" "),
            ]
        };
        let rows: Vec<Vec<String>> = self.services.iter().map(row).collect();
        if !rows.is_empty() {
            let heading = [
                "SERVICE",
                "SERVER",
                "RACK",
                "DATACENTRE",
                "PRODUCT",
                "DOMAINS",
                "INCIDENTS",
            ];
            text.push_str(&table(&heading, &rows));
        }
        text.push_str(&format!("as of {}\n", self.version));
        text
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Meant {
    version: String,
    customers: u64,
    reached: u64,
    off_net: u64,
    on_failed: u64,
    languages: BTreeMap<String, u64>,
    sample: Vec<Addressee>,
}

#[derive(Debug, Deserialize)]
struct Addressee {
    customer: String,
    address: String,
    lang: String,
    #[serde(default)]
    services: Vec<String>,
}

impl Meant {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} in {}, {} with an address\n",
            customers(self.customers),
            self.version,
            self.reached
        );
        if self.off_net > 0 {
            text.push_str(&format!(
                "at another address, as the best one has failed: {}\n",
                self.off_net
            ));
        }
        if self.on_failed > 0 {
            text.push_str(&format!("with failed addresses only: {}\n", self.on_failed));
        }
        for (lang, number) in &self.languages {
            text.push_str(&format!("  {lang} {number}\n"));
        }
        let row = |it: &Addressee| {
            let lang = it.lang.to_lowercase();
            vec![
                it.customer.clone(),
                it.address.clone(),
                lang,
                it.services.join(" "),
            ]
        };
        let rows: Vec<Vec<String>> = self.sample.iter().map(row).collect();
        if !rows.is_empty() {
            text.push_str(&table(
                &["CUSTOMER", "ADDRESS", "LANGUAGE", "SERVICES"],
                &rows,
            ));
        }
        text
    }
}

fn addresses(number: u64) -> String {
    match number {
        1 => "1 address".to_owned(),
        many => format!("{many} addresses"),
    }
}
