//! One version of the website, served from memory: which address shows which file, and every answer prepared.
//! Knows requests and answers, no sockets. An address that is not here gives `None`, and others may answer.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::model::limits::EMERGENCY_RETRY_AFTER_S;
use crate::web::archive::INDEX;
use crate::web::bundle::{self, Unusable};
use crate::web::conditions::{self, Asked, Condition, Part};
use crate::web::content::Content;
use crate::web::encode::Encoding;
use crate::web::host::Standing;
use crate::web::negotiate::Accepted;
use crate::web::{media, paths, policy};

/// What can be done with a file.
pub const ALLOW_READING: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// The page for addresses that lead nowhere.
const NOT_FOUND: &str = "404.html";
const ACCEPT_RANGES: HeaderValue = HeaderValue::from_static("bytes");

/// One version of the website, ready to be served.
#[derive(Debug)]
pub struct Site {
    files: Vec<Served>,
    addresses: HashMap<Box<str>, Address>,
    index: usize,
    not_found: Option<usize>,
}

/// What an address shows.
#[derive(Debug, Clone, Copy)]
enum Address {
    /// This file.
    File(usize),
    /// The folder of that name; the browser is sent there so that its relative links work.
    Folder,
}

/// One file in all its forms.
#[derive(Debug)]
struct Served {
    forms: [Option<Form>; 4],
    is_page: bool,
    squeezed: bool,
    content_type: HeaderValue,
    borrowed_policy: Option<HeaderValue>,
    digest: [u8; 32],
}

/// One form of a file, and the headers that go with it on Lifeboat's own names.
#[derive(Debug)]
struct Form {
    bytes: Bytes,
    etag: HeaderValue,
    headers: HeaderMap,
}

impl Site {
    /// Reads a packed website and prepares every answer. `is_ours` tells addresses that Lifeboat's own pages keep for
    /// themselves; a file there is not reachable.
    ///
    /// # Errors
    /// What is wrong with the packed website.
    pub fn load(blob: &Bytes, is_ours: impl Fn(&str) -> bool) -> Result<Site, Unusable> {
        let files = bundle::load(blob)?;
        let mut addresses = HashMap::with_capacity(files.len() * 2);
        for (at, file) in files.iter().enumerate() {
            addresses.insert(
                format!("/{}", file.path).into_boxed_str(),
                Address::File(at),
            );
        }
        // A file's own name beats the short form of another: `help` beats `help.html`, which beats `help/`.
        for (at, file) in files.iter().enumerate() {
            if let Some(short) = file.path.strip_suffix(".html") {
                let short = format!("/{short}").into_boxed_str();
                addresses.entry(short).or_insert(Address::File(at));
            }
        }
        for (at, file) in files.iter().enumerate() {
            if file.path == INDEX {
                addresses.insert("/".into(), Address::File(at));
            } else if let Some(folder) = file.path.strip_suffix("/index.html") {
                addresses.insert(format!("/{folder}/").into_boxed_str(), Address::File(at));
                let bare = format!("/{folder}").into_boxed_str();
                addresses.entry(bare).or_insert(Address::Folder);
            }
        }
        addresses.retain(|address, _| !is_ours(address));
        let find = |name: &str| files.iter().position(|file| file.path == name);
        Ok(Site {
            index: find(INDEX).expect("`load` refuses a bundle without index.html"),
            not_found: find(NOT_FOUND),
            files: files.into_iter().map(Served::new).collect(),
            addresses,
        })
    }

    /// The ETag of the first page as it is sent in no encoding: what tells this version from others.
    pub fn front_tag(&self) -> HeaderValue {
        etag(&self.files[self.index].digest, Encoding::Identity)
    }

    /// The answer of a name of Lifeboat's own, or nothing where the website has nothing at this address.
    pub fn answer<B>(&self, request: &Request<B>) -> Option<Response<Content>> {
        let address = self.address(request.uri().path())?;
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Some(allowed(StatusCode::NO_CONTENT)),
            _ => return Some(allowed(StatusCode::METHOD_NOT_ALLOWED)),
        }
        Some(match address {
            Address::File(at) => self.files[at].answer(request),
            Address::Folder => to_folder(request),
        })
    }

    /// The website's own page for addresses that lead nowhere, if it has one and this is a request for a page.
    pub fn not_found<B>(&self, request: &Request<B>) -> Option<Response<Content>> {
        let file = &self.files[self.not_found?];
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let form = file.form(request.headers())?;
        let mut answer = whole(request, form);
        *answer.status_mut() = StatusCode::NOT_FOUND;
        answer.headers_mut().remove(header::ETAG);
        answer.headers_mut().remove(header::ACCEPT_RANGES);
        Some(answer)
    }

    /// The emergency page under a borrowed name: for `/` as it is, for every other address as 503 with a time to come
    /// back, so that search engines keep the real pages.
    pub fn emergency<B>(&self, request: &Request<B>) -> Response<Content> {
        let mut answer = self.files[self.index].borrowed(request);
        if request.uri().path() != "/" {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            answer.headers_mut().insert(
                header::RETRY_AFTER,
                HeaderValue::from(EMERGENCY_RETRY_AFTER_S),
            );
        }
        answer
    }

    /// A picture, style or font of the emergency page, which its browser asks for by naming what it is for. A page
    /// under its own address, and anything that would stay (a worker), is nothing of that kind.
    pub fn part_of_emergency<B>(&self, request: &Request<B>) -> Option<Response<Content>> {
        const PARTS: [&[u8]; 8] = [
            b"style",
            b"image",
            b"font",
            b"script",
            b"audio",
            b"video",
            b"track",
            b"manifest",
        ];
        let meant_for = request.headers().get("sec-fetch-dest")?.as_bytes();
        let same_site = request.headers().get("sec-fetch-site")?.as_bytes() == b"same-origin";
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        if !PARTS.contains(&meant_for) || !same_site || !reading {
            return None;
        }
        match self.address(request.uri().path())? {
            Address::File(at) if !self.files[at].is_page => Some(self.files[at].borrowed(request)),
            Address::File(_) | Address::Folder => None,
        }
    }

    fn address(&self, path: &str) -> Option<Address> {
        if !path.contains('%') {
            return self.addresses.get(path).copied();
        }
        self.addresses.get(&*decoded(path)?).copied()
    }
}

impl Served {
    fn new(file: bundle::File) -> Served {
        let content_type = HeaderValue::from_str(&file.content_type)
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        let is_page = media::is_page(&file.content_type);
        let is_document = media::is_document(&file.content_type);
        let squeezed = file.brotli.is_some() || file.zstd.is_some() || file.gzip.is_some();
        let caching = match (is_page, paths::is_hashed(&file.path)) {
            (true, _) => policy::REVALIDATE,
            (false, true) => policy::FOREVER,
            (false, false) => policy::A_MINUTE,
        };
        let form = |encoding: Encoding, bytes: &Bytes| {
            let etag = etag(&file.digest, encoding);
            let mut headers = HeaderMap::with_capacity(16);
            headers.insert(header::CONTENT_TYPE, content_type.clone());
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            headers.insert(header::ETAG, etag.clone());
            headers.insert(header::CACHE_CONTROL, caching.clone());
            headers.insert(header::ACCEPT_RANGES, ACCEPT_RANGES);
            if squeezed {
                headers.insert(header::VARY, policy::VARY_ENCODING);
            }
            if let Some(token) = policy::content_encoding(encoding) {
                headers.insert(header::CONTENT_ENCODING, token);
            }
            policy::protect(&mut headers, Standing::Own);
            if is_document {
                let content_policy = policy::content_policy(Standing::Own, &file.inline);
                policy::protect_document(&mut headers, content_policy);
            }
            Form {
                bytes: bytes.clone(),
                etag,
                headers,
            }
        };
        let forms = Encoding::ALL.map(|encoding| {
            let bytes = match encoding {
                Encoding::Brotli => file.brotli.as_ref(),
                Encoding::Zstd => file.zstd.as_ref(),
                Encoding::Gzip => file.gzip.as_ref(),
                Encoding::Identity => Some(&file.identity),
            };
            bytes.map(|bytes| form(encoding, bytes))
        });
        Served {
            forms,
            is_page,
            squeezed,
            borrowed_policy: is_document
                .then(|| policy::content_policy(Standing::Borrowed, &file.inline)),
            content_type,
            digest: file.digest,
        }
    }

    fn in_encoding(&self, encoding: Encoding) -> Option<&Form> {
        self.forms[encoding as usize].as_ref()
    }

    /// The form that the client wants most; nothing where it refuses all there are.
    fn form(&self, headers: &HeaderMap) -> Option<&Form> {
        if !headers.contains_key(header::ACCEPT_ENCODING) {
            return self.in_encoding(Encoding::Identity);
        }
        let best = Accepted::of(headers).best(|encoding| self.in_encoding(encoding).is_some())?;
        self.in_encoding(best)
    }

    /// GET or HEAD, with conditions, encodings and ranges.
    fn answer<B>(&self, request: &Request<B>) -> Response<Content> {
        let asked = request.headers();
        if request.method() == Method::GET
            && asked.contains_key(header::RANGE)
            && let Some(answer) = self.ranged(asked)
        {
            return answer;
        }
        let Some(form) = self.form(asked) else {
            return status(StatusCode::NOT_ACCEPTABLE);
        };
        match conditions::judge(asked, form.etag.as_bytes()) {
            Condition::Met => whole(request, form),
            Condition::NotModified => form.unchanged(),
            Condition::Failed => status(StatusCode::PRECONDITION_FAILED),
        }
    }

    /// Parts of the file as it is; `None` where the whole has to be sent.
    fn ranged(&self, asked: &HeaderMap) -> Option<Response<Content>> {
        let form = self.in_encoding(Encoding::Identity)?;
        let length = form.bytes.len() as u64;
        let ranges = conditions::ranges(asked, form.etag.as_bytes(), length);
        if ranges == Asked::Whole || Accepted::of(asked).weight(Encoding::Identity) == 0 {
            return None;
        }
        match conditions::judge(asked, form.etag.as_bytes()) {
            Condition::NotModified => return Some(form.unchanged()),
            Condition::Failed => return Some(status(StatusCode::PRECONDITION_FAILED)),
            Condition::Met => {}
        }
        match ranges {
            Asked::Whole => None,
            Asked::Nothing => {
                let mut answer = status(StatusCode::RANGE_NOT_SATISFIABLE);
                let value = format!("bytes */{length}");
                answer
                    .headers_mut()
                    .insert(header::CONTENT_RANGE, visible(&value));
                Some(answer)
            }
            Asked::Parts(parts) => match parts[..] {
                [part] => Some(form.one_part(part)),
                ref parts => Some(self.several_parts(form, parts)),
            },
        }
    }

    /// `multipart/byteranges` (RFC 9110 section 14.6).
    fn several_parts(&self, form: &Form, parts: &[Part]) -> Response<Content> {
        let boundary = hex(&self.digest[16..]);
        let content_type = self
            .content_type
            .to_str()
            .unwrap_or("application/octet-stream");
        let mut pieces = Vec::with_capacity(parts.len() * 2 + 1);
        for &part in parts {
            pieces.push(Bytes::from(format!(
                "\r\n--{boundary}\r\ncontent-type: {content_type}\r\ncontent-range: {}\r\n\r\n",
                form.content_range(part)
            )));
            pieces.push(form.part(part));
        }
        pieces.push(Bytes::from(format!("\r\n--{boundary}--\r\n")));
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let mut answer = Response::new(Content::parts(pieces));
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        *answer.headers_mut() = form.headers.clone();
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, visible(&content_type));
        answer
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        answer
    }

    /// Under a borrowed name: the content, and nothing that stays.
    fn borrowed<B>(&self, request: &Request<B>) -> Response<Content> {
        let form = self
            .form(request.headers())
            .or(self.in_encoding(Encoding::Identity))
            .expect("every file has its content as it is");
        let mut headers = HeaderMap::with_capacity(16);
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(form.bytes.len()));
        headers.insert(header::CACHE_CONTROL, policy::NO_STORE);
        if self.squeezed {
            headers.insert(header::VARY, policy::VARY_ENCODING);
        }
        if let Some(token) = form.headers.get(header::CONTENT_ENCODING) {
            headers.insert(header::CONTENT_ENCODING, token.clone());
        }
        policy::protect(&mut headers, Standing::Borrowed);
        if let Some(content_policy) = &self.borrowed_policy {
            policy::protect_document(&mut headers, content_policy.clone());
        }
        let content = if request.method() == Method::HEAD {
            Content::empty()
        } else {
            Content::bytes(form.bytes.clone())
        };
        let mut answer = Response::new(content);
        *answer.headers_mut() = headers;
        answer
    }
}

impl Form {
    fn unchanged(&self) -> Response<Content> {
        let mut answer = Response::new(Content::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        for name in [
            header::ETAG,
            header::CACHE_CONTROL,
            header::VARY,
            header::STRICT_TRANSPORT_SECURITY,
        ] {
            if let Some(value) = self.headers.get(&name) {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        answer
    }

    fn part(&self, (first, last): Part) -> Bytes {
        let at =
            |byte: u64| usize::try_from(byte).expect("ranges are cut to a file that is in memory");
        self.bytes.slice(at(first)..=at(last))
    }

    fn content_range(&self, (first, last): Part) -> String {
        format!("bytes {first}-{last}/{}", self.bytes.len())
    }

    fn one_part(&self, part: Part) -> Response<Content> {
        let bytes = self.part(part);
        let length = bytes.len();
        let mut answer = Response::new(Content::bytes(bytes));
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        *answer.headers_mut() = self.headers.clone();
        let range = visible(&self.content_range(part));
        answer.headers_mut().insert(header::CONTENT_RANGE, range);
        answer
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        answer
    }
}

fn whole<B>(request: &Request<B>, form: &Form) -> Response<Content> {
    let content = if request.method() == Method::HEAD {
        Content::empty()
    } else {
        Content::bytes(form.bytes.clone())
    };
    let mut answer = Response::new(content);
    *answer.headers_mut() = form.headers.clone();
    answer
}

/// Sends the browser from `/help` to `/help/`, its question with it. Not remembered: the next version may differ.
fn to_folder<B>(request: &Request<B>) -> Response<Content> {
    let uri = request.uri();
    let location = match uri.query() {
        Some(query) => format!("{}/?{query}", uri.path()),
        None => format!("{}/", uri.path()),
    };
    let mut answer = status(StatusCode::PERMANENT_REDIRECT);
    answer
        .headers_mut()
        .insert(header::LOCATION, visible(&location));
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, policy::REVALIDATE);
    answer
}

fn allowed(code: StatusCode) -> Response<Content> {
    let mut answer = status(code);
    answer.headers_mut().insert(header::ALLOW, ALLOW_READING);
    answer
}

/// An answer without content on a name of Lifeboat's own.
fn status(code: StatusCode) -> Response<Content> {
    let mut answer = Response::new(Content::empty());
    *answer.status_mut() = code;
    policy::protect(answer.headers_mut(), Standing::Own);
    answer
}

/// A value made of our own words and of a path that already passed as a URI.
fn visible(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("/"))
}

/// Strong, and different for each form of the file (RFC 9110 section 8.8.3.3).
fn etag(digest: &[u8; 32], encoding: Encoding) -> HeaderValue {
    let hash = hex(&digest[..16]);
    let etag = if encoding == Encoding::Identity {
        format!("\"{hash}\"")
    } else {
        format!("\"{hash}-{}\"", encoding.token())
    };
    HeaderValue::from_str(&etag).expect("hexadecimal digits and letters")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of one hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// A path without its percent signs; `None` where it could not name a file (a slash or a NUL in disguise, no UTF-8).
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let byte = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
        if matches!(byte, b'/' | b'\\' | 0) {
            return None;
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
