//! Taking customers in: from comma-separated text or JSON lines, one row after the other, back onto the disk, then in
//! order of their numbers. In memory are the numbers only.
//!
//! Every mistake is told with file, line, field, what was found and what is wanted, up to a bound. Whoever publishes asks
//! first whether there are any: nothing is half taken in.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

use serde::{Deserialize, Serialize};

use super::{
    DirectoryError,
    arena::Arena,
    column::{self, Mapped},
    csv::{BYTE_ORDER_MARK, Row, Rows},
    customer::Customer,
    json, row,
};
use crate::model::{limits, stored};

/// Bytes that are read at a time.
const BUFFER: usize = 256 * 1024;

/// One mistake in a file. What was found is shortened by whoever shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file; empty where there is one only.
    pub file: String,
    /// The line, from 1; 0 where it is about the whole.
    pub line: u32,
    /// The field or column.
    pub field: String,
    /// What was found.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
}

impl Mistake {
    /// One that is about the whole file.
    pub(super) fn of_whole(field: &str, found: &str, wanted: &str) -> Self {
        Self::of_line(0, field, found, wanted)
    }

    pub(super) fn of_line(line: u32, field: &str, found: &str, wanted: &str) -> Self {
        Self {
            file: String::new(),
            line,
            field: field.to_owned(),
            found: found.to_owned(),
            wanted: wanted.to_owned(),
        }
    }
}

/// Why nothing can be taken in at all.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The file cannot be read.
    #[error("the upload cannot be read")]
    Read(#[from] io::Error),
    /// It is more than a node puts in order.
    #[error("the upload has more than {most} rows, or they are too large", most = limits::DIRECTORY_ROWS_MAX)]
    TooMuch,
    /// A row cannot be kept, which only a fault of ours can cause.
    #[error("a row cannot be kept")]
    Row(#[from] postcard::Error),
}

/// What one row says: of a customer, or that they are gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Said {
    /// The customer; only the number where they are gone.
    pub(super) customer: Customer,
    /// They are gone.
    pub(super) gone: bool,
}

/// Where a row and its number are, and where it came from.
#[derive(Clone, Copy, Debug)]
struct Kept {
    at: u64,
    len: u32,
    number_at: u32,
    line: u32,
    file: u16,
    number_len: u8,
}

/// How a file was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Understood {
    /// Its name; empty where there is one only.
    pub file: String,
    /// `csv` with its separator, or `json lines`.
    pub format: String,
    /// Its columns; none of JSON lines.
    pub columns: Vec<Mapped>,
    /// Rows in it.
    pub rows: u64,
}

/// All rows of an upload.
#[derive(Debug)]
pub struct Intake {
    arena: Arena,
    numbers: Vec<u8>,
    kept: Vec<Kept>,
    files: Vec<Understood>,
    mistakes: Vec<Mistake>,
    mistaken: u64,
}

/// How to read.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// What columns hold, where the headings do not say it: field and heading.
    pub map: Vec<(String, String)>,
    /// Rows may say that a customer is gone.
    pub changes: bool,
}

impl Intake {
    /// Reads an upload: one file, or a .tar of several, open for reading and writing, with nobody else to read it. Blocking.
    ///
    /// # Errors
    /// When it cannot be read or held. Mistakes in it are none of these: see [`Self::mistakes`].
    pub fn read(mut upload: File, how: &How) -> Result<Self, IntakeError> {
        let len = upload.metadata()?.len();
        let mut intake = Self {
            arena: Arena::behind(upload.try_clone()?)?,
            numbers: Vec::new(),
            kept: Vec::new(),
            files: Vec::new(),
            mistakes: Vec::new(),
            mistaken: 0,
        };
        if is_tar(&mut upload)? {
            let upload = BufReader::with_capacity(BUFFER, upload.take(len));
            let mut archive = tar::Archive::new(upload);
            for (at, entry) in archive.entries()?.enumerate() {
                let entry = entry?;
                if at >= limits::DIRECTORY_FILES_MAX {
                    let most = format!("at most {} files", limits::DIRECTORY_FILES_MAX);
                    intake.mistake(Mistake::of_whole("files", "more", &most));
                    break;
                }
                let name = entry.path()?.display().to_string();
                intake.file(&name, BufReader::with_capacity(BUFFER, entry), how)?;
            }
        } else {
            let upload = BufReader::with_capacity(BUFFER, upload.take(len));
            intake.file("", upload, how)?;
        }
        if intake.kept.is_empty() && intake.mistaken == 0 {
            intake.mistake(Mistake::of_whole(
                "the file",
                "nothing",
                "at least one customer",
            ));
        }
        intake.arena.flush()?;
        intake.sort();
        Ok(intake)
    }

    /// The first mistakes, and how many there are.
    pub fn mistakes(&self) -> (&[Mistake], u64) {
        (&self.mistakes, self.mistaken)
    }

    /// Rows that can be used.
    pub fn rows(&self) -> usize {
        self.kept.len()
    }

    /// How each file was understood.
    pub fn files(&self) -> &[Understood] {
        &self.files
    }

    fn mistake(&mut self, mut mistake: Mistake) {
        self.mistaken += 1;
        if self.mistakes.len() < limits::DIRECTORY_MISTAKES_SHOWN_MAX {
            if mistake.file.is_empty() {
                mistake.file = self
                    .files
                    .last()
                    .map_or_else(String::new, |it| it.file.clone());
            }
            self.mistakes.push(mistake);
        }
    }

    fn file(&mut self, name: &str, mut reader: impl BufRead, how: &How) -> Result<(), IntakeError> {
        self.files.push(Understood {
            file: name.to_owned(),
            format: String::new(),
            columns: Vec::new(),
            rows: 0,
        });
        let beginning = reader.fill_buf()?;
        if beginning.starts_with(b"\xff\xfe") || beginning.starts_with(b"\xfe\xff") {
            self.mistake(Mistake::of_line(
                1,
                "the file",
                "UTF-16",
                "UTF-8; save it as that",
            ));
            return Ok(());
        }
        if beginning.starts_with(BYTE_ORDER_MARK) {
            reader.consume(BYTE_ORDER_MARK.len());
        }
        let first = reader
            .fill_buf()?
            .iter()
            .find(|it| !it.is_ascii_whitespace());
        match first {
            Some(b'{') => self.json(reader, how),
            _ => self.csv(reader, how),
        }
    }

    fn csv(&mut self, reader: impl BufRead, how: &How) -> Result<(), IntakeError> {
        let mut rows = Rows::new(reader)?;
        let separator = match rows.separator() {
            '\t' => "tab".to_owned(),
            other => other.to_string(),
        };
        self.understood(|it| it.format = format!("csv, separated by {separator}"));
        let heading = match rows.next()? {
            Some((_, Row::Fields(heading))) => heading,
            Some((line, row)) => {
                self.mistake(unread(line, &row));
                return Ok(());
            }
            None => return Ok(()),
        };
        if heading.len() > limits::DIRECTORY_COLUMNS_MAX {
            let most = format!("at most {} columns", limits::DIRECTORY_COLUMNS_MAX);
            self.mistake(Mistake::of_line(
                1,
                "columns",
                &heading.len().to_string(),
                &most,
            ));
            return Ok(());
        }
        let columns = match column::mapped(&heading, &how.map) {
            Ok(columns) => columns,
            Err(mistakes) => {
                for mistake in mistakes {
                    self.mistake(Mistake { line: 1, ..mistake });
                }
                return Ok(());
            }
        };
        self.understood(|it| it.columns.clone_from(&columns));
        while let Some((line, row)) = rows.next()? {
            match row {
                Row::Fields(fields) => {
                    let (said, mistakes) = row::said(line, &columns, &fields);
                    if mistakes.is_empty() {
                        self.keep(&said, line)?;
                    }
                    mistakes.into_iter().for_each(|it| self.mistake(it));
                }
                other => self.mistake(unread(line, &other)),
            }
        }
        Ok(())
    }

    fn json(&mut self, mut reader: impl BufRead, how: &How) -> Result<(), IntakeError> {
        self.understood(|it| it.format = "json lines".to_owned());
        let (mut line, mut number) = (Vec::new(), 0_u32);
        loop {
            line.clear();
            number = number.saturating_add(1);
            let most = limits::DIRECTORY_RECORD_BYTES_MAX;
            let took = Read::take(&mut reader, most as u64 + 1).read_until(b'\n', &mut line)?;
            if took == 0 {
                return Ok(());
            }
            if took > most {
                let wanted = format!("at most {most} bytes");
                self.mistake(Mistake::of_line(
                    number,
                    "the line",
                    "a longer one",
                    &wanted,
                ));
                return Ok(());
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match json::said(&line, how.changes) {
                Ok(said) => self.keep(&said, number)?,
                Err(mistakes) => {
                    for mistake in mistakes {
                        self.mistake(Mistake {
                            line: number,
                            ..mistake
                        });
                    }
                }
            }
        }
    }

    fn understood(&mut self, change: impl FnOnce(&mut Understood)) {
        if let Some(file) = self.files.last_mut() {
            change(file);
        }
    }

    fn keep(&mut self, said: &Said, line: u32) -> Result<(), IntakeError> {
        self.understood(|it| it.rows += 1);
        if self.mistaken > 0 {
            // Nothing will be published, and reading goes on for the sake of the mistakes.
            return Ok(());
        }
        if self.kept.len() >= limits::DIRECTORY_ROWS_MAX {
            return Err(IntakeError::TooMuch);
        }
        let fits = |it: usize| u32::try_from(it).map_err(|_| IntakeError::TooMuch);
        let (row, number) = (postcard::to_stdvec(said)?, said.customer.number.as_bytes());
        self.kept.push(Kept {
            at: self.arena.keep(&row)?,
            len: fits(row.len())?,
            number_at: fits(self.numbers.len())?,
            number_len: u8::try_from(number.len()).unwrap_or(u8::MAX),
            line,
            file: u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX),
        });
        self.numbers.extend_from_slice(number);
        Ok(())
    }

    fn sort(&mut self) {
        let numbers = &self.numbers;
        self.kept.sort_unstable_by(|one, other| {
            let by_number = number_of(numbers, one).cmp(number_of(numbers, other));
            by_number.then(one.at.cmp(&other.at))
        });
    }

    /// Every customer once, in order of their numbers, rows of the same number put together. What does not fit together is
    /// a mistake, told afterwards by [`Self::mistakes`]; such customers are left out.
    pub(super) fn each(
        &mut self,
        mut take: impl FnMut(Said) -> Result<(), DirectoryError>,
    ) -> Result<(), DirectoryError> {
        let (kept, numbers) = (
            std::mem::take(&mut self.kept),
            std::mem::take(&mut self.numbers),
        );
        let mut counted = 0_usize;
        for rows in
            kept.chunk_by(|one, other| number_of(&numbers, one) == number_of(&numbers, other))
        {
            counted += 1;
            if counted > limits::DIRECTORY_CUSTOMERS_MAX {
                let most = format!("at most {}", limits::DIRECTORY_CUSTOMERS_MAX);
                self.mistake(Mistake::of_whole("customers", "more", &most));
                break;
            }
            match self.together(rows)? {
                Ok(said) => take(said)?,
                Err(mistake) => self.mistake(mistake),
            }
        }
        (self.kept, self.numbers) = (kept, numbers);
        Ok(())
    }

    fn together(&self, rows: &[Kept]) -> Result<Result<Said, Mistake>, DirectoryError> {
        let mut whole = Said::default();
        for (place, row) in rows.iter().enumerate() {
            let mistake = |field: &str, found: &str, wanted: String| {
                let file = self.files.get(usize::from(row.file));
                let mut mistake = Mistake::of_line(row.line, field, found, &wanted);
                mistake.file = file.map_or_else(String::new, |it| it.file.clone());
                mistake
            };
            let said: Said = stored::read(&self.arena.row(row.at, row.len)?)?;
            let first = rows.first().map_or(0, |it| it.line);
            if place == 0 {
                whole.gone = said.gone;
                whole.customer.number.clone_from(&said.customer.number);
            } else if whole.gone || said.gone {
                let wanted =
                    format!("each customer once in a batch of changes; line {first} has them too");
                return Ok(Err(mistake("customer", &said.customer.number, wanted)));
            }
            if let Err((field, found)) = joined(&mut whole.customer, said.customer) {
                let wanted =
                    format!("the same {field} on every line of a customer, as on line {first}");
                return Ok(Err(mistake(&field, &found, wanted)));
            }
            if let Some((field, found, most)) = whole.customer.excess() {
                return Ok(Err(mistake(
                    field,
                    &found.to_string(),
                    format!("at most {most}"),
                )));
            }
        }
        whole.customer.settle();
        Ok(Ok(whole))
    }
}

/// Puts what another row says to what is known, or says which field differs.
fn joined(whole: &mut Customer, more: Customer) -> Result<(), (String, String)> {
    for (field, known, said) in [
        ("name", &mut whole.name, more.name),
        ("language", &mut whole.language, more.language),
    ] {
        match (&known, said) {
            (Some(known), Some(said)) if **known != said => {
                return Err((field.to_owned(), said));
            }
            (None, Some(said)) => *known = Some(said),
            (_, _) => {}
        }
    }
    for (name, said) in more.values {
        let known = whole
            .values
            .entry(name.clone())
            .or_insert_with(|| said.clone());
        if *known != said {
            return Err((format!("value.{name}"), said));
        }
    }
    more.contacts
        .into_iter()
        .for_each(|it| whole.add_contact(it));
    more.services
        .into_iter()
        .for_each(|it| whole.add_service(it));
    Ok(())
}

fn number_of<'a>(numbers: &'a [u8], kept: &Kept) -> &'a [u8] {
    let at = kept.number_at as usize;
    let number = numbers.get(at..at + usize::from(kept.number_len));
    number.unwrap_or_default()
}

const _: () = assert!(limits::DIRECTORY_NUMBER_BYTES_MAX <= u8::MAX as usize);

fn is_tar(upload: &mut File) -> io::Result<bool> {
    let mut beginning = [0; 262];
    let mut had = 0;
    loop {
        match upload.read(beginning.get_mut(had..).unwrap_or_default())? {
            0 => break,
            some => had += some,
        }
    }
    upload.seek(SeekFrom::Start(0))?;
    Ok(beginning.get(257..262) == Some(b"ustar"))
}

fn unread(line: u32, row: &Row) -> Mistake {
    let (found, wanted) = match row {
        Row::Fields(_) => ("a row", "a row"),
        Row::NotUtf8 => ("bytes that are not UTF-8", "UTF-8; save the file as that"),
        Row::Endless => (
            "a row without an end",
            "rows of at most 256 kB; a quote may not be closed",
        ),
        Row::Unclosed => (
            "a quote that is not closed",
            "as many opening as closing quotes; what follows was not read",
        ),
    };
    Mistake::of_line(line, "the row", found, wanted)
}
