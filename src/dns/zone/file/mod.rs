//! Zone files (RFC 1035 section 5, RFC 2308 section 4, RFC 3597 section 5): read with all mistakes at once, each with its
//! line, and written. Nothing else is opened: `$INCLUDE` is refused.

mod generate;
mod words;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    fmt::{self, Write as _},
};

use super::{Finding, Grade, Why, Zone, name, rdata};
use crate::model::{
    domain::{DomainName, Rdata, RrSet, RrType},
    limits::{ZONE_FILE_BYTES_MAX, ZONE_MISTAKES_MAX},
};
use rdata::{Fault, Token, shortened};
use words::{Entry, Words};

/// Something wrong in a zone file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1; 0 when it is the whole file's.
    pub line: usize,
    /// What it concerns: a field, or the name and type of records.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What would be accepted.
    pub wanted: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        let found = if self.found.is_empty() {
            "nothing"
        } else {
            &self.found
        };
        write!(f, "{}: found {found}, wanted {}", self.field, self.wanted)
    }
}

/// A zone file that was read.
#[derive(Debug)]
pub struct Reading {
    /// The zone; none when there are mistakes.
    pub zone: Option<Zone>,
    /// Its records as they stood, sorted within their sets, without those outside the zone.
    pub rrsets: Vec<RrSet>,
    /// What must be put right, in order of lines. Past [`ZONE_MISTAKES_MAX`] the last says how many more there are.
    pub mistakes: Vec<Mistake>,
    /// What somebody should look at.
    pub warnings: Vec<Mistake>,
}

/// Reads the file of the zone with this apex; names without a final dot are completed by it until `$ORIGIN` says
/// otherwise.
pub fn read(text: &[u8], origin: &DomainName) -> Reading {
    let mut reader = Reader {
        apex: origin.clone(),
        origin: origin.as_wire().to_vec(),
        owner: None,
        ttl: None,
        last_ttl: None,
        places: HashMap::new(),
        sets: Vec::new(),
        lines: Vec::new(),
        broken: BTreeSet::new(),
        mistakes: Noted::default(),
        warnings: Noted::default(),
    };
    if text.len() > ZONE_FILE_BYTES_MAX {
        let found = format!("{} bytes", text.len());
        let wanted = format!("a file of at most {ZONE_FILE_BYTES_MAX} bytes");
        reader.mistake(0, "file", found, wanted);
    } else {
        reader.read_all(text, 1);
    }
    reader.finish()
}

struct Reader {
    apex: DomainName,
    origin: Vec<u8>,
    owner: Option<DomainName>,
    /// What `$TTL` said.
    ttl: Option<u32>,
    last_ttl: Option<u32>,
    /// Places in `sets` by name, type and what a signature covers.
    places: HashMap<(DomainName, RrType, RrType), usize>,
    sets: Vec<RrSet>,
    /// The first line of each set.
    lines: Vec<usize>,
    /// Types with a record that could not be read: that they are missing is no news.
    broken: BTreeSet<RrType>,
    mistakes: Noted,
    warnings: Noted,
}

impl Reader {
    fn mistake(&mut self, line: usize, field: &str, found: String, wanted: impl Into<String>) {
        self.mistakes.push(Mistake {
            line,
            field: field.to_owned(),
            found,
            wanted: wanted.into(),
        });
    }

    fn read_all(&mut self, text: &[u8], first_line: usize) {
        let mut words = Words::new(text, first_line);
        while let Some(entry) = words.next_entry() {
            match entry {
                Ok(entry) => self.read_entry(&entry),
                Err(mistake) => self.mistakes.push(mistake),
            }
        }
    }

    fn read_entry(&mut self, entry: &Entry<'_>) {
        let first = entry.tokens[0];
        let is_order = first.text.first() == Some(&b'$') && !first.quoted && !entry.is_indented;
        match (is_order, first.text.to_ascii_uppercase().as_slice()) {
            (false, _) => self.read_record(entry),
            (true, b"$ORIGIN") => match entry
                .tokens
                .get(1)
                .map(|it| (it, name::read(it.text, &self.origin)))
            {
                Some((_, Some(origin))) => self.origin = origin.to_ascii_lowercase(),
                other => {
                    let found = other.map_or(&b""[..], |(it, _)| it.text);
                    self.mistake(entry.line, "$ORIGIN", shortened(found), "a domain name");
                }
            },
            (true, b"$TTL") => {
                let text = entry.tokens.get(1).map_or(&b""[..], |it| it.text);
                match rdata::seconds(text) {
                    Some(seconds) => self.ttl = Some(seconds),
                    None => self.mistake(entry.line, "$TTL", shortened(text), TTL),
                }
            }
            (true, b"$GENERATE") => self.generate(entry),
            (true, b"$INCLUDE") => {
                let wanted = "the records themselves: no other file is read";
                self.mistake(entry.line, "$INCLUDE", shortened(first.text), wanted);
            }
            (true, _) => {
                let wanted = "$ORIGIN, $TTL or $GENERATE";
                self.mistake(entry.line, "line", shortened(first.text), wanted);
            }
        }
    }

    fn generate(&mut self, entry: &Entry<'_>) {
        match generate::lines(&entry.tokens) {
            Ok(lines) => {
                for line in lines {
                    // One broken pattern is one mistake, not thousands.
                    let before = self.mistakes.count();
                    self.read_all(&line, entry.line);
                    if self.mistakes.count() > before {
                        return;
                    }
                }
            }
            Err(Fault {
                field,
                found,
                wanted,
            }) => self.mistake(entry.line, field, found, wanted),
        }
    }

    fn read_record(&mut self, entry: &Entry<'_>) {
        let before = self.mistakes.count();
        let mut rest = &entry.tokens[..];
        if !entry.is_indented {
            let text = rest[0].text;
            rest = &rest[1..];
            self.owner = name::read(text, &self.origin).map(|it| name::owned(&it));
            if self.owner.is_none() {
                let wanted = "a domain name: labels of 1 to 63 bytes, at most 255 bytes in all";
                self.mistake(entry.line, "owner", shortened(text), wanted);
            }
        } else if self.owner.is_none() {
            let wanted = "an owner before the first line that begins with a space";
            self.mistake(entry.line, "owner", String::new(), wanted);
        }
        let ttl = self.lifetime_and_class(entry.line, &mut rest);
        let found = rest.first().map_or(&b""[..], |it| it.text);
        let rtype = std::str::from_utf8(found)
            .ok()
            .and_then(|it| it.parse().ok());
        let Some(rtype) = rtype else {
            let wanted = "a type of record, such as A, MX or TYPE65280";
            self.mistake(entry.line, "type", shortened(found), wanted);
            return;
        };
        let data = match rdata::read(rtype, &rest[1..], &self.origin) {
            Ok(data) => data,
            Err(faults) => {
                self.broken.insert(rtype);
                for fault in faults {
                    let field = format!("{rtype} {}", fault.field);
                    self.mistake(entry.line, &field, fault.found, fault.wanted);
                }
                return;
            }
        };
        if before < self.mistakes.count() {
            self.broken.insert(rtype);
            return;
        }
        self.keep(entry.line, rtype, ttl, &data);
    }

    /// A TTL and a class may stand before the type in either order, or not at all.
    fn lifetime_and_class(&mut self, line: usize, rest: &mut &[Token<'_>]) -> Option<u32> {
        let (mut ttl, mut has_class) = (None, false);
        while let [token, tail @ ..] = *rest {
            let is_number = token.text.first().is_some_and(u8::is_ascii_digit);
            if ttl.is_none() && is_number {
                ttl = rdata::seconds(token.text);
                if ttl.is_none() {
                    self.mistake(line, "TTL", shortened(token.text), TTL);
                    ttl = Some(0);
                }
            } else if !has_class && is_class(token.text) {
                has_class = true;
                let is_ours = [&b"IN"[..], b"CLASS1"]
                    .iter()
                    .any(|it| it.eq_ignore_ascii_case(token.text));
                if !is_ours {
                    self.mistake(line, "class", shortened(token.text), "IN");
                }
            } else {
                break;
            }
            *rest = tail;
        }
        ttl
    }

    fn keep(&mut self, line: usize, rtype: RrType, ttl: Option<u32>, data: &[u8]) {
        let minimum = match rtype {
            RrType::SOA => data.last_chunk().map(|it| u32::from_be_bytes(*it)),
            _ => None,
        };
        let Some(ttl) = ttl.or(self.ttl).or(self.last_ttl).or(minimum) else {
            let wanted = "a lifetime on the line, on one before it, or $TTL";
            return self.mistake(line, "TTL", String::new(), wanted);
        };
        self.last_ttl = Some(ttl);
        let (Some(owner), Ok(record)) = (self.owner.clone(), Rdata::new(data)) else {
            return;
        };
        if !owner.is_within(&self.apex) {
            let field = format!("{owner} {rtype}");
            let (found, wanted) = Why::OutOfZone.told();
            self.warnings.push(Mistake {
                line,
                field,
                found,
                wanted: format!("{wanted} {}", self.apex),
            });
            return;
        }
        let covers = match (rtype, data) {
            (RrType::RRSIG, [a, b, ..]) => RrType(u16::from_be_bytes([*a, *b])),
            _ => RrType(0),
        };
        let place = *self
            .places
            .entry((owner.clone(), rtype, covers))
            .or_insert(self.sets.len());
        if place == self.sets.len() {
            self.lines.push(line);
            self.sets.push(RrSet {
                name: owner,
                rtype,
                ttl,
                rdata: Vec::new(),
            });
        }
        let set = &mut self.sets[place];
        if set.ttl != ttl {
            let (short, long) = (set.ttl.min(ttl), set.ttl.max(ttl));
            let (found, wanted) = Why::TtlsDiffer(short, long).told();
            let field = format!("{} {rtype}", set.name);
            set.ttl = short;
            self.warnings.push(Mistake {
                line,
                field,
                found,
                wanted,
            });
        }
        set.rdata.push(record);
    }

    fn finish(mut self) -> Reading {
        for set in &mut self.sets {
            set.rdata.sort_unstable();
            set.rdata.dedup();
        }
        let (mut zone, findings) = match Zone::new(&self.apex, self.sets.iter().cloned()) {
            Ok((zone, findings)) => (Some(zone), findings),
            Err(findings) => (None, findings),
        };
        for finding in findings {
            self.take(finding);
        }
        if self.mistakes.count() > 0 {
            zone = None;
        }
        Reading {
            zone,
            rrsets: self.sets,
            mistakes: self.mistakes.sorted(),
            warnings: self.warnings.sorted(),
        }
    }

    fn take(&mut self, finding: Finding) {
        let is_missing = matches!(finding.why, Why::NoSoa | Why::NoNs);
        // With a line that could not be read at all, what is missing may be in it.
        let is_known = self.broken.contains(&finding.rtype)
            || self
                .mistakes
                .list
                .iter()
                .any(|it| it.field == "type" || it.field == "file");
        if is_missing && is_known {
            return;
        }
        let key = (finding.name.clone(), finding.rtype, RrType(0));
        let line = self.places.get(&key).map_or(0, |place| self.lines[*place]);
        let (found, wanted) = finding.why.told();
        let mistake = Mistake {
            line,
            field: format!("{} {}", finding.name, finding.rtype),
            found,
            wanted,
        };
        match finding.why.grade() {
            Grade::Mistake => self.mistakes.push(mistake),
            Grade::Warning => self.warnings.push(mistake),
        }
    }
}

const TTL: &str = "seconds from 0 to 2147483647, or a time such as 1h30m";

fn is_class(text: &[u8]) -> bool {
    let known = [&b"IN"[..], b"CH", b"HS", b"CS"];
    let is_number = |it: &[u8]| !it.is_empty() && it.iter().all(u8::is_ascii_digit);
    known.iter().any(|it| it.eq_ignore_ascii_case(text))
        || text
            .split_at_checked(5)
            .is_some_and(|(word, tail)| word.eq_ignore_ascii_case(b"CLASS") && is_number(tail))
}

/// Up to [`ZONE_MISTAKES_MAX`], and how many more there were.
#[derive(Default)]
struct Noted {
    list: Vec<Mistake>,
    more: usize,
}

impl Noted {
    fn push(&mut self, mistake: Mistake) {
        if self.list.len() < ZONE_MISTAKES_MAX {
            self.list.push(mistake);
        } else {
            self.more += 1;
        }
    }

    fn count(&self) -> usize {
        self.list.len() + self.more
    }

    fn sorted(mut self) -> Vec<Mistake> {
        self.list.sort_by_key(|it| it.line);
        if self.more > 0 {
            self.list.push(Mistake {
                line: 0,
                field: "file".to_owned(),
                found: format!("{} more", self.more),
                wanted: "these first to be put right".to_owned(),
            });
        }
        self.list
    }
}

/// The records of a set as lines of a zone file, with full names.
pub fn lines(set: &RrSet) -> impl Iterator<Item = String> {
    set.rdata.iter().map(|data| {
        let (name, ttl, rtype) = (&set.name, set.ttl, set.rtype);
        let shown = rdata::Shown(rtype, data.as_wire());
        format!("{name} {ttl} IN {rtype} {shown}")
    })
}

/// A whole zone file that [`read`] reads to the same records.
pub fn write<'s>(rrsets: impl IntoIterator<Item = &'s RrSet>) -> String {
    let mut text = String::new();
    for line in rrsets.into_iter().flat_map(lines) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    }
    text
}
