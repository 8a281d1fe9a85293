//! One connection's life: heads, bodies, answers in batches, deadlines, a polite end.
//!
//! Requests are answered from what is buffered, into `output`, and `output` is sent before we read
//! again: a client that sends twenty requests at once costs one read and one write. [`Connection::fill`]
//! is the only place that reads requests, hence the only one that must send first.
//!
//! **Memory**: the buffers live as long as the connection and are used again, so that a request costs no
//! allocation. `input` grows up to the head's limit, `body` up to the body's; what has grown large is
//! given back when the connection goes idle.
//!
//! **Time**: idle connections, heads, bodies, answers each have their limit. A head's or body's runs from
//! its first byte to its last, however many reads it takes; a trickle does not extend it. The clock is
//! looked at only where something is incomplete.
//!
//! **The end**: whatever we cannot make sense of is answered by its status and `Connection: close`. To
//! close while the client still sends would make the kernel answer by a reset, which can destroy our last
//! answer on its way; so we close our side and read on for a moment.
//!
//! Not done: bodies are held, not streamed.

use std::{
    io::{self, ErrorKind, Read, Write},
    mem,
    time::{Duration, Instant},
};

use crate::{
    date::Date,
    head::{Framing, Head, Persistence, Route, Status, chunk_size},
};

/// What a connection starts with, and what most never exceed.
const INPUT_BYTES: usize = 4 << 10;
/// How much is read at once where a body is longer than that.
const BODY_INPUT_BYTES: usize = 16 << 10;
/// A batch of answers larger than this is sent before more are added.
const BATCH_BYTES: usize = 32 << 10;
/// What an idle connection may keep of a buffer that has grown.
const IDLE_BYTES: usize = 64 << 10;
/// The longest line before a chunk, extensions included.
const CHUNK_LINE_BYTES: usize = 256;
/// The part of such a line that counts as its size; the rest has a budget.
const CHUNK_SIZE_BYTES: usize = 16;
/// More trailers than this are too many.
const TRAILERS: usize = 16;

/// What a connection needs of its socket.
pub(crate) trait Transport: Read + Write {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()>;
    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()>;
    /// Tells the client that nothing more will come.
    fn shutdown_write(&self) -> io::Result<()>;
    /// The clock that deadlines go by.
    fn now(&self) -> Instant;
}

/// What a client may take, in bytes and in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
    /// Between requests.
    pub(crate) idle: Duration,
    /// From a head's first byte to its last.
    pub(crate) head: Duration,
    /// From the first wait for a body to its last byte.
    pub(crate) body: Duration,
    /// For a batch of answers to be taken.
    pub(crate) answer: Duration,
    /// How long we read on after our last word.
    pub(crate) linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 << 10,
            body_bytes: 1 << 20,
            idle: Duration::from_mins(1),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            linger: Duration::from_secs(2),
        }
    }
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client is gone or silent, between requests.
    Gone,
    /// The last answer said so.
    Said,
    /// The request is refused, and we cannot tell where the next would start.
    Refused(Status),
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

/// Answers requests until one side has enough.
///
/// # Errors
/// The socket's, when it breaks in the middle of something.
pub(crate) fn serve<S: Transport>(stream: &mut S, limits: Limits) -> io::Result<()> {
    let mut connection = Connection::new(stream, limits)?;
    let end = loop {
        if let Err(end) = connection.exchange() {
            break end;
        }
    };
    match end {
        End::Gone => connection.flush(),
        End::Said => connection.finish(),
        End::Refused(status) => {
            connection.refuse(status)?;
            connection.finish()
        }
        End::Broken(error) => Err(error),
    }
}

struct Connection<'s, S> {
    stream: &'s mut S,
    limits: Limits,
    /// All of it initialised; what is received and not yet used is `start..end`.
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
    body: Vec<u8>,
    date: Date,
    /// What the socket was last told, so that it is told changes only.
    read_timeout: Duration,
    /// When the head or body that we are in must be complete; set when we first wait for more of it.
    deadline: Option<Instant>,
    /// The client waits for `100 Continue`.
    owes_continue: bool,
    /// The request that we are in is a HEAD.
    fields_only: bool,
}

/// An answer, without what is the same in all.
struct Answer<'a> {
    status: Status,
    kind: &'a str,
    /// The methods of a path, where a wrong one was tried.
    allow: Option<&'static str>,
    persistence: Persistence,
    fields_only: bool,
    body: &'a [u8],
}

impl<'s, S: Transport> Connection<'s, S> {
    fn new(stream: &'s mut S, limits: Limits) -> io::Result<Self> {
        stream.set_read_timeout(limits.idle)?;
        stream.set_write_timeout(limits.answer)?;
        Ok(Self {
            stream,
            limits,
            input: vec![0; INPUT_BYTES.min(limits.head_bytes)],
            start: 0,
            end: 0,
            output: Vec::with_capacity(INPUT_BYTES),
            body: Vec::new(),
            date: Date::now(),
            read_timeout: limits.idle,
            deadline: None,
            owes_continue: false,
            fields_only: false,
        })
    }

    /// One request and its answer.
    fn exchange(&mut self) -> Result<(), End> {
        let head = self.read_head()?;
        let (status, allow) = match head.route {
            Route::Hello | Route::Echo => (Status::OK, None),
            Route::Unknown => (Status::NOT_FOUND, None),
            Route::WrongMethod(methods) => (Status::METHOD_NOT_ALLOWED, Some(methods)),
        };
        let mut persistence = head.persistence;
        if head.expects_continue && status != Status::OK {
            // The client asked first, and the answer is no: it need not send its body. Whether it does all
            // the same we cannot know, so this is the last request.
            persistence = Persistence::Close;
            self.body.clear();
        } else {
            self.owes_continue = head.expects_continue;
            self.read_body(head.framing)?;
        }
        let (kind, body) = match head.route {
            Route::Hello => ("text/plain", b"Hello, World!".as_slice()),
            Route::Echo => ("application/octet-stream", self.body.as_slice()),
            Route::Unknown | Route::WrongMethod(_) => ("text/plain", status.0.as_bytes()),
        };
        let answer = Answer {
            status,
            kind,
            allow,
            persistence,
            fields_only: head.fields_only,
            body,
        };
        answer.write(&mut self.output, &self.date)?;
        if persistence == Persistence::Close {
            return Err(End::Said);
        }
        if self.output.len() > BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn read_head(&mut self) -> Result<Head, End> {
        (self.deadline, self.fields_only) = (None, false);
        loop {
            // Some old clients send an empty line after a body.
            let empty = self.unread().iter().take_while(|it| b"\r\n".contains(it));
            self.start += empty.count();
            if self.start == self.end {
                match self.idle() {
                    Ok(0) => return Err(End::Gone),
                    Err(error) if timed_out(&error) => return Err(End::Gone),
                    result => result?,
                };
                continue;
            }
            if let Some(head) = Head::parse(self.unread())? {
                if head.bytes > self.limits.head_bytes {
                    return Err(End::Refused(Status::FIELDS_TOO_LARGE));
                }
                self.start += head.bytes;
                (self.deadline, self.fields_only) = (None, head.fields_only);
                return Ok(head);
            }
            self.more_lines(self.limits.head)?;
        }
    }

    /// Waits for the next request's first bytes, keeping little meanwhile.
    fn idle(&mut self) -> io::Result<usize> {
        if self.body.capacity() > IDLE_BYTES {
            self.body = Vec::new();
        }
        self.deadline = None;
        self.fill(self.limits.idle)
    }

    /// Waits for at least one more line: a part of a head or of trailers whose end has not come.
    fn more_lines(&mut self, limit: Duration) -> Result<(), End> {
        loop {
            if self.unread().len() >= self.limits.head_bytes {
                let one_line = !self.unread().contains(&b'\n');
                return Err(End::Refused(if one_line {
                    Status::URI_TOO_LONG
                } else {
                    Status::FIELDS_TOO_LARGE
                }));
            }
            let received = self.more(limit)?;
            // Not to be parsed again for each byte of a trickle.
            if self.input[self.end - received..self.end].contains(&b'\n') {
                return Ok(());
            }
        }
    }

    /// Reads the body, whoever wants it: the next request starts behind it.
    fn read_body(&mut self, framing: Framing) -> Result<(), End> {
        self.body.clear();
        match framing {
            Framing::Length(bytes) => self.take(bytes),
            Framing::Chunked => self.take_chunks(),
        }
    }

    /// Moves the next `bytes` bytes to the body.
    fn take(&mut self, bytes: u64) -> Result<(), End> {
        let mut missing = usize::try_from(bytes)
            .ok()
            .filter(|it| *it <= self.limits.body_bytes - self.body.len())
            .ok_or(Status::CONTENT_TOO_LARGE)?;
        loop {
            let part = missing.min(self.end - self.start);
            let part = &self.input[self.start..self.start + part];
            self.body.extend_from_slice(part);
            self.start += part.len();
            missing -= part.len();
            if missing == 0 {
                return Ok(());
            }
            if missing > self.input.len() {
                self.input.resize(BODY_INPUT_BYTES, 0);
            }
            self.more(self.limits.body)?;
        }
    }

    /// Moves the chunks' data to the body; extensions and trailers are read and forgotten.
    fn take_chunks(&mut self) -> Result<(), End> {
        // What hides in extensions is not in the body's size, so it has a budget of its own.
        let mut extensions = self.limits.head_bytes;
        loop {
            let line = self.chunk_line()?;
            let size = chunk_size(&self.input[self.start..self.start + line])?;
            self.start += line + 1;
            extensions = extensions
                .checked_sub(line.saturating_sub(CHUNK_SIZE_BYTES))
                .ok_or(Status::FIELDS_TOO_LARGE)?;
            if size == 0 {
                return self.skip_trailers();
            }
            self.take(size)?;
            while self.unread().len() < 2 {
                self.more(self.limits.body)?;
            }
            if !self.unread().starts_with(b"\r\n") {
                return Err(End::Refused(Status::BAD_REQUEST));
            }
            self.start += 2;
        }
    }

    /// Waits for a whole line before a chunk; how many bytes stand before its `\n`.
    fn chunk_line(&mut self) -> Result<usize, End> {
        loop {
            let window = self.unread().iter().take(CHUNK_LINE_BYTES);
            match window.enumerate().find(|(_, byte)| **byte == b'\n') {
                Some((line, _)) => return Ok(line),
                None if self.unread().len() >= CHUNK_LINE_BYTES => {
                    return Err(End::Refused(Status::BAD_REQUEST));
                }
                None => self.more(self.limits.body)?,
            };
        }
    }

    fn skip_trailers(&mut self) -> Result<(), End> {
        loop {
            let mut trailers = [httparse::EMPTY_HEADER; TRAILERS];
            match httparse::parse_headers(self.unread(), &mut trailers) {
                Ok(httparse::Status::Complete((bytes, _))) => {
                    self.start += bytes;
                    return Ok(());
                }
                Ok(httparse::Status::Partial) => self.more_lines(self.limits.body)?,
                Err(httparse::Error::TooManyHeaders) => {
                    return Err(End::Refused(Status::FIELDS_TOO_LARGE));
                }
                Err(_) => return Err(End::Refused(Status::BAD_REQUEST)),
            }
        }
    }

    fn unread(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// More of what we are in the middle of, which may take `limit` in all; how many bytes.
    fn more(&mut self, limit: Duration) -> Result<usize, End> {
        if mem::take(&mut self.owes_continue) {
            self.output
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let now = self.stream.now();
        let deadline = *self.deadline.get_or_insert(now + limit);
        let rest = deadline.saturating_duration_since(now);
        if rest.is_zero() {
            return Err(End::Refused(Status::REQUEST_TIMEOUT));
        }
        match self.fill(rest) {
            // The client has sent all it had, and it was not enough.
            Ok(0) => Err(End::Refused(Status::BAD_REQUEST)),
            Ok(bytes) => Ok(bytes),
            Err(error) if timed_out(&error) => Err(End::Refused(Status::REQUEST_TIMEOUT)),
            Err(error) => Err(End::Broken(error)),
        }
    }

    /// Sends what there is to send, then waits for input; 0 is its end.
    fn fill(&mut self, timeout: Duration) -> io::Result<usize> {
        self.flush()?;
        self.input.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end == self.input.len() {
            self.input.resize(self.end * 2, 0);
        }
        if timeout != self.read_timeout {
            self.stream.set_read_timeout(timeout)?;
            self.read_timeout = timeout;
        }
        let received = read(self.stream, &mut self.input[self.end..])?;
        self.end += received;
        self.date.refresh();
        Ok(received)
    }

    /// Sends all answers, in one write unless the client is slow to take them.
    fn flush(&mut self) -> io::Result<()> {
        let (mut sent, mut deadline) = (0, None);
        while sent < self.output.len() {
            match self.stream.write(&self.output[sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Not to be mistaken for a read's time-out: after half an answer there is no other.
                Err(error) => return Err(io::Error::other(error)),
            }
            if sent < self.output.len() {
                let now = self.stream.now();
                let deadline = *deadline.get_or_insert(now + self.limits.answer);
                let rest = deadline.saturating_duration_since(now);
                if rest.is_zero() {
                    return Err(io::Error::other("the answer was not taken in time"));
                }
                self.stream.set_write_timeout(rest)?;
            }
        }
        if deadline.is_some() {
            self.stream.set_write_timeout(self.limits.answer)?;
        }
        self.output.clear();
        self.output.shrink_to(IDLE_BYTES);
        Ok(())
    }

    fn refuse(&mut self, status: Status) -> io::Result<()> {
        let answer = Answer {
            status,
            kind: "text/plain",
            allow: None,
            persistence: Persistence::Close,
            fields_only: self.fields_only,
            body: status.0.as_bytes(),
        };
        answer.write(&mut self.output, &self.date)
    }

    /// Sends what is left to say, and reads on until the client has seen it or time is up.
    fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.stream.shutdown_write()?;
        let deadline = self.stream.now() + self.limits.linger;
        loop {
            let rest = deadline.saturating_duration_since(self.stream.now());
            if rest.is_zero() {
                return Ok(());
            }
            self.stream.set_read_timeout(rest)?;
            match read(self.stream, &mut self.input) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if timed_out(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Answer<'_> {
    fn write(&self, output: &mut Vec<u8>, date: &Date) -> io::Result<()> {
        for part in [
            b"HTTP/1.1 ",
            self.status.0.as_bytes(),
            b"\r\nServer: sward\r\nDate: ",
            date.text(),
            b"\r\nContent-Type: ",
            self.kind.as_bytes(),
        ] {
            output.extend_from_slice(part);
        }
        write!(output, "\r\nContent-Length: {}\r\n", self.body.len())?;
        if let Some(methods) = self.allow {
            write!(output, "Allow: {methods}\r\n")?;
        }
        output.extend_from_slice(match self.persistence {
            Persistence::Stay => b"\r\n",
            Persistence::StaySaid => b"Connection: keep-alive\r\n\r\n",
            Persistence::Close => b"Connection: close\r\n\r\n",
        });
        if !self.fields_only {
            output.extend_from_slice(self.body);
        }
        Ok(())
    }
}

/// One read that a signal does not end.
fn read(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Whether a read or write took too long; which of the two it is called depends on the system.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
