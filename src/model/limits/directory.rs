//! Bounds of the directory: who the customers are, and what is asked of it.

/// Customers of one directory: twice the million that it is made for.
pub const DIRECTORY_CUSTOMERS_MAX: usize = 2_000_000;
/// Bytes of an upload: the exports of two million customers, with room for chatty columns.
pub const DIRECTORY_UPLOAD_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Rows of one import: four for each customer. Each takes some 35 bytes of memory while they are put in order.
pub const DIRECTORY_ROWS_MAX: usize = 8_000_000;
/// Bytes that the rows of one import may take on the disk meanwhile.
pub const DIRECTORY_ROWS_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Bytes of one line of a file, and of one row with line breaks in quotes: past it a quote was not closed.
pub const DIRECTORY_LINE_BYTES_MAX: usize = 256 * 1024;
/// Files in one upload.
pub const DIRECTORY_FILES_MAX: usize = 64;
/// Columns of a file: exports have dozens.
pub const DIRECTORY_COLUMNS_MAX: usize = 256;
/// Bad lines that an answer lists; the count tells of the rest.
pub const DIRECTORY_MISTAKES_SHOWN_MAX: usize = 100;
/// Bytes of a customer number.
pub const DIRECTORY_NUMBER_BYTES_MAX: usize = 64;
/// Bytes of a name, a server, a product and the like: the longest host name is 253.
pub const DIRECTORY_FIELD_BYTES_MAX: usize = 253;
/// Bytes of one further value for templates.
pub const DIRECTORY_VALUE_BYTES_MAX: usize = 1_000;
/// Further values of one customer.
pub const DIRECTORY_VALUES_MAX: usize = 32;
/// Addresses of one customer.
pub const DIRECTORY_CONTACTS_MAX: usize = 16;
/// Services of one customer: a reseller with thousands of servers.
pub const DIRECTORY_SERVICES_MAX: usize = 10_000;
/// Domains of one service.
pub const DIRECTORY_DOMAINS_MAX: usize = 10_000;
/// Bytes of one customer as it is kept: far more than a reseller has, and what one part of a file may grow to.
pub const DIRECTORY_RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of customers that are squeezed and sealed together: a look at one customer opens one such part.
pub const DIRECTORY_CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of the table at the end of a file: its parts' beginnings, 2,000,000 customers in parts of 64 kB.
pub const DIRECTORY_TABLE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Places that one key leads to, at most as many as are looked at for one answer.
pub const DIRECTORY_PLACES_MAX: usize = 10_000;
/// Versions kept to go back to.
pub const DIRECTORY_VERSIONS_KEPT: usize = 10;
/// Changes on top of a whole directory before the leader writes it anew.
pub const DIRECTORY_DELTAS_DUE: usize = 24;
/// Changes on top of a whole directory at most: each costs every reader a file.
pub const DIRECTORY_DELTAS_MAX: usize = 64;
/// Customers in one batch of changes: what comes between two looks of a company's own system.
pub const DIRECTORY_BATCH_MAX: usize = 100_000;
/// Customers that were erased and are kept out of later imports: 8 MB of keyed hashes.
pub const DIRECTORY_ERASED_MAX: usize = 200_000;
/// How much of the directory may be lost without somebody saying so: a tenth.
pub const DIRECTORY_LOST_TENTHS: u64 = 1;
/// Customers whose loss is nothing to ask about: a directory of a test.
pub const DIRECTORY_LOST_UNASKED: u64 = 5;
/// Numbers and keys that a comparison of two versions shows.
pub const DIRECTORY_SHOWN_MAX: usize = 50;
/// Bytes of an audience's text.
pub const AUDIENCE_BYTES_MAX: usize = 2_000;
/// Brackets and negations one inside the other in an audience.
pub const AUDIENCE_DEPTH_MAX: usize = 32;
/// Bytes of a question with its lists: 200,000 customer numbers or addresses.
pub const AUDIENCE_LISTS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Customers that a sample shows.
pub const AUDIENCE_SAMPLE_MAX: usize = 100;
/// How often the open directory is compared with what is agreed even when nothing changed.
pub const DIRECTORY_LOOK_MS: u64 = 5_000;
/// How long a visitor waits for the disk that "is it me" is answered from.
pub const IS_IT_ME_MS: u64 = 3_000;
