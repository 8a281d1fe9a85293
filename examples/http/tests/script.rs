//! A socket whose client is a script and whose clock is its own, and answers taken apart again.

use std::{
    cell::Cell,
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use crate::connection::{self, Limits, Transport};

/// A socket whose client is a script, and whose time passes only while we wait for it.
pub(super) struct Script {
    incoming: VecDeque<Vec<u8>>,
    /// What passes before each part comes.
    pub(super) pace: Duration,
    /// After the last part: silence, not the end.
    pub(super) silent: bool,
    /// What one write takes; the rest of it waits for the next.
    pub(super) window: usize,
    pub(super) now: Cell<Instant>,
    pub(super) read_timeout: Cell<Duration>,
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) reads: usize,
    shut: Cell<bool>,
}

impl Script {
    pub(super) fn new(parts: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self {
            incoming: parts.into_iter().collect(),
            pace: Duration::ZERO,
            silent: false,
            window: usize::MAX,
            now: Cell::new(Instant::now()),
            read_timeout: Cell::new(Duration::MAX),
            sent: Vec::new(),
            reads: 0,
            shut: Cell::new(false),
        }
    }

    pub(super) fn whole(input: impl Into<Vec<u8>>) -> Self {
        Self::new([input.into()])
    }

    pub(super) fn bytes(input: impl Into<Vec<u8>>) -> Self {
        Self::new(input.into().into_iter().map(|it| vec![it]))
    }

    /// Serves the script to its end; all that was sent.
    pub(super) fn serve(&mut self) -> String {
        connection::serve(self, Limits::default()).expect("scripts do not break");
        self.text()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.sent.concat()).expect("these tests send text")
    }

    fn wait(&self, duration: Duration) {
        self.now.set(self.now.get() + duration);
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a read into nothing looks like the end");
        self.reads += 1;
        let late = self.pace >= self.read_timeout.get();
        if late || (self.incoming.is_empty() && self.silent) {
            self.wait(self.read_timeout.get());
            return Err(ErrorKind::WouldBlock.into());
        }
        self.wait(self.pace);
        let Some(mut part) = self.incoming.pop_front() else {
            return Ok(0);
        };
        let bytes = part.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&part[..bytes]);
        if bytes < part.len() {
            self.incoming.push_front(part.split_off(bytes));
        }
        Ok(bytes)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.shut.get(), "written after the end");
        if self.window == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = bytes.len().min(self.window);
        self.sent.push(bytes[..taken].to_vec());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Script {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero(), "std refuses this");
        self.read_timeout.set(timeout);
        Ok(())
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero(), "std refuses this");
        Ok(())
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.shut.set(true);
        Ok(())
    }

    fn now(&self) -> Instant {
        self.now.get()
    }
}

/// An answer as a client sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case; without Date.
    fields: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|it| it.0 == name);
        field.map(|it| it.1.as_str())
    }
}

/// Takes answers apart, strictly: every byte must belong to one.
pub(super) fn answers(mut text: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !text.is_empty() {
        let (head, rest) = text.split_once("\r\n\r\n").expect("a whole head");
        let mut lines = head.split("\r\n");
        let line = lines.next().expect("a status line");
        let status = line.strip_prefix("HTTP/1.1 ").expect("our version");
        let status = status[..3].parse().expect("a code");
        let mut fields: Vec<(String, String)> = lines
            .map(|it| it.split_once(": ").expect("a field"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        fields.retain(|(name, _)| name != "date");
        let mut answer = Answer {
            status,
            fields,
            body: String::new(),
        };
        let length = answer
            .field("content-length")
            .map_or(0, |it| it.parse().expect("a length"));
        // Only a HEAD's answer may end early, and then another follows or nothing.
        let length = if rest.is_empty() || rest.starts_with("HTTP/1.1") {
            0
        } else {
            length
        };
        answer.body.push_str(&rest[..length]);
        text = &rest[length..];
        answers.push(answer);
    }
    answers
}
