//! What a request's head asks for: a route, its body's framing, the connection's future.
//!
//! `httparse` finds the fields; here is what they mean together (RFC 9110 and 9112). Where two readings
//! are possible the request is refused: a proxy before us may have chosen the other one, and then the
//! rest of the body would be taken for a request (request smuggling).

use std::mem::MaybeUninit;

use httparse::{Error, Header, Request};

/// More fields than this are too many.
const FIELDS: usize = 64;

/// A status line's code and reason, which is also the text of the answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) &'static str);

impl Status {
    pub(crate) const OK: Self = Self("200 OK");
    pub(crate) const BAD_REQUEST: Self = Self("400 Bad Request");
    pub(crate) const NOT_FOUND: Self = Self("404 Not Found");
    pub(crate) const METHOD_NOT_ALLOWED: Self = Self("405 Method Not Allowed");
    pub(crate) const REQUEST_TIMEOUT: Self = Self("408 Request Timeout");
    pub(crate) const CONTENT_TOO_LARGE: Self = Self("413 Content Too Large");
    pub(crate) const URI_TOO_LONG: Self = Self("414 URI Too Long");
    pub(crate) const EXPECTATION_FAILED: Self = Self("417 Expectation Failed");
    pub(crate) const FIELDS_TOO_LARGE: Self = Self("431 Request Header Fields Too Large");
    pub(crate) const NOT_IMPLEMENTED: Self = Self("501 Not Implemented");
    pub(crate) const VERSION_NOT_SUPPORTED: Self = Self("505 HTTP Version Not Supported");
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Hello,
    Echo,
    Unknown,
    /// The path is known, the method is not; these are its methods.
    WrongMethod(&'static str),
}

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// What becomes of the connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It stays, as HTTP/1.1 takes for granted.
    Stay,
    /// It stays, and an HTTP/1.0 client has to be told.
    StaySaid,
    Close,
}

/// All that is left of a head once it is understood: small, and free of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// How many bytes it took.
    pub(crate) bytes: usize,
    pub(crate) route: Route,
    /// The method is HEAD: the answer's fields without its body.
    pub(crate) fields_only: bool,
    pub(crate) framing: Framing,
    pub(crate) persistence: Persistence,
    /// The client holds its body back until it reads `100 Continue`.
    pub(crate) expects_continue: bool,
}

impl Head {
    /// The head at the start of `bytes`; `None` while its end has not come.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, Status> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut request = Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(Error::TooManyHeaders) => return Err(Status::FIELDS_TOO_LARGE),
            Err(Error::Version) => return Err(wrong_version(bytes)),
            Err(_) => return Err(Status::BAD_REQUEST),
        };
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err(Status::BAD_REQUEST);
        };
        let old = version == 0;
        let fields = Fields::collect(request.headers)?;
        // Without Host a virtual server could not be chosen, with two it could be chosen twice.
        if fields.hosts > 1 || (fields.hosts == 0 && !old) {
            return Err(Status::BAD_REQUEST);
        }
        let framing = match (fields.length, fields.codings) {
            (length, Codings::None) => Framing::Length(length.unwrap_or(0)),
            (None, Codings::Chunked) if !old => Framing::Chunked,
            (None, Codings::Other) if !old => return Err(Status::NOT_IMPLEMENTED),
            // Both ways at once, or one that HTTP/1.0 does not have: smuggling, or broken.
            _ => return Err(Status::BAD_REQUEST),
        };
        Ok(Some(Self {
            bytes: length,
            route: route(method, target),
            fields_only: method == "HEAD",
            framing,
            persistence: match (fields.close, old, fields.keep_alive) {
                (true, ..) | (false, true, false) => Persistence::Close,
                (false, true, true) => Persistence::StaySaid,
                (false, false, _) => Persistence::Stay,
            },
            expects_continue: fields.expects_continue && !old && framing != Framing::Length(0),
        }))
    }
}

/// The transfer codings that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codings {
    None,
    Chunked,
    Other,
}

/// The fields that matter here.
#[derive(Debug)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    codings: Codings,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Fields {
    fn collect(headers: &[Header<'_>]) -> Result<Self, Status> {
        let mut fields = Self {
            hosts: 0,
            length: None,
            codings: Codings::None,
            close: false,
            keep_alive: false,
            expects_continue: false,
        };
        for header in headers {
            let (name, value) = (header.name, header.value.trim_ascii());
            if name.eq_ignore_ascii_case("host") {
                fields.hosts += 1;
            } else if name.eq_ignore_ascii_case("content-length") {
                // Even two that agree: nobody needs them.
                if fields.length.is_some() {
                    return Err(Status::BAD_REQUEST);
                }
                fields.length = Some(content_length(value)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                for coding in list(value) {
                    fields.codings = match (fields.codings, coding) {
                        (Codings::None, it) if it.eq_ignore_ascii_case(b"chunked") => {
                            Codings::Chunked
                        }
                        // Chunked twice, or something done to the chunks: no end that we could find.
                        (Codings::Chunked, _) => return Err(Status::BAD_REQUEST),
                        _ => Codings::Other,
                    };
                }
                // Named, but with nothing in it.
                if fields.codings == Codings::None {
                    return Err(Status::BAD_REQUEST);
                }
            } else if name.eq_ignore_ascii_case("connection") {
                for option in list(value) {
                    fields.close |= option.eq_ignore_ascii_case(b"close");
                    fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if name.eq_ignore_ascii_case("expect") {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Status::EXPECTATION_FAILED);
                }
                fields.expects_continue = true;
            }
        }
        Ok(fields)
    }
}

/// The members of a comma-separated list; empty ones do not count.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|it| !it.is_empty())
}

/// Digits and nothing else; more than 64 bits of them are too large whatever they say.
fn content_length(value: &[u8]) -> Result<u64, Status> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Status::BAD_REQUEST);
    }
    value.iter().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(10)
            .and_then(|it| it.checked_add(u64::from(digit - b'0')))
            .ok_or(Status::CONTENT_TOO_LARGE)
    })
}

/// The size in a chunk's first line, given without its `\n`. Extensions are passed over.
pub(crate) fn chunk_size(line: &[u8]) -> Result<u64, Status> {
    let line = line.strip_suffix(b"\r").ok_or(Status::BAD_REQUEST)?;
    if line.iter().any(|it| it.is_ascii_control() && *it != b'\t') {
        return Err(Status::BAD_REQUEST);
    }
    let size = line.split(|it| *it == b';').next().unwrap_or(line);
    let size = if size.len() < line.len() {
        size.trim_ascii_end()
    } else {
        size
    };
    if size.is_empty() {
        return Err(Status::BAD_REQUEST);
    }
    size.iter().try_fold(0_u64, |sum, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Status::BAD_REQUEST)?;
        sum.checked_mul(16)
            .map(|it| it + u64::from(digit))
            .ok_or(Status::CONTENT_TOO_LARGE)
    })
}

/// The answer to a request line that does not end in HTTP/1.0 or HTTP/1.1.
fn wrong_version(bytes: &[u8]) -> Status {
    let line = bytes.trim_ascii_start();
    let line = line.split(|it| *it == b'\n').next().unwrap_or(line);
    let word = line.trim_ascii_end().rsplit(|it| *it == b' ').next();
    match word.and_then(|it| it.strip_prefix(b"HTTP/")) {
        Some([b'0'..=b'9']) => Status::VERSION_NOT_SUPPORTED,
        Some([b'0'..=b'9', b'.', minor @ ..]) if minor.iter().all(u8::is_ascii_digit) => {
            Status::VERSION_NOT_SUPPORTED
        }
        _ => Status::BAD_REQUEST,
    }
}

fn route(method: &str, target: &str) -> Route {
    // A proxy may send the whole URI.
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |it| &rest[it..]),
        _ => target,
    };
    let path = path.split('?').next().unwrap_or(path);
    match (path, method) {
        ("/", "GET" | "HEAD") => Route::Hello,
        ("/", _) => Route::WrongMethod("GET, HEAD"),
        ("/echo", "POST") => Route::Echo,
        ("/echo", _) => Route::WrongMethod("POST"),
        _ => Route::Unknown,
    }
}
