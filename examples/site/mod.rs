//! A small web site for the examples that read from one: the files below a directory, over HTTP/1.0.
//!
//! A directory's page has a line for each thing in it, with a slash behind the name of a directory.

use std::{
    fs,
    io::{self, BufRead, BufReader, Error, ErrorKind, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};
use sward::{
    net::{TcpListener, TcpStream},
    thread,
};

/// Serves `root` for as long as the program runs, a green thread for each request. Returns where.
pub(crate) fn serve(root: PathBuf) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    sward::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let root = root.clone();
            let answering = thread::Builder::new().spawn(move || answer(&stream, &root));
            // Out of memory: this client gets no answer.
            drop(answering);
        }
    });
    Ok(address)
}

/// The page at `path`; `None` if there is none.
pub(crate) fn get(server: SocketAddr, path: &str) -> io::Result<Option<String>> {
    let mut stream = TcpStream::connect(server)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(ErrorKind::UnexpectedEof)?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(Some(body.to_owned())),
        Some("404") => Ok(None),
        status => Err(Error::other(format!("{path}: status {status:?}"))),
    }
}

fn answer(stream: &TcpStream, root: &Path) -> io::Result<()> {
    let mut lines = BufReader::new(stream.take(8 << 10));
    let mut request = String::new();
    lines.read_line(&mut request)?;
    let mut field = String::from("unread");
    while !field.trim_end().is_empty() {
        field.clear();
        lines.read_line(&mut field)?;
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match page(root, path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", String::new()),
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn page(root: &Path, path: &str) -> Option<String> {
    let path = path.trim_start_matches('/');
    // Nothing above the root, and nothing that is hidden.
    if path.split('/').any(|it| it.starts_with('.')) {
        return None;
    }
    let path = root.join(path);
    sward::blocking(|| {
        if !path.is_dir() {
            return fs::read_to_string(&path).ok();
        }
        let mut names: Vec<_> = fs::read_dir(&path)
            .ok()?
            .flatten()
            .filter_map(|entry| {
                let slash = if entry.file_type().ok()?.is_dir() {
                    "/"
                } else {
                    ""
                };
                Some(format!("{}{slash}\n", entry.file_name().to_str()?))
            })
            .collect();
        names.sort();
        Some(names.concat())
    })
}
