//! How often each letter occurs in documents that an HTTP server in the same program serves.
//!
//! Shows memory that green threads share: each fetches a document, counts by itself, and then adds what
//! it counted to one table behind a mutex. Server and clients are green threads of one runtime; all of
//! their reads and writes look as if they blocked, and none does.
//!
//! Run it, with a directory of texts or for this project's own sources:
//!
//! ```text
//! cargo run --release --example letters -- ~/texts
//! ```
//!
//! The table goes to stderr. It prints:
//!
//! ```text
//! over the network and from the disk: the same letters
//! ```

mod site;

use std::{
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use sward::sync::{Group, Mutex, PoisonError};

/// How many documents are fetched at a time.
const CLIENTS: usize = 16;

type Letters = [u64; 26];

fn main() -> io::Result<()> {
    let root = env::args_os().nth(1).map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("runtime"),
        PathBuf::from,
    );
    let (mut paths, mut expected) = (Vec::new(), [0; 26]);
    read_all(&root, "/", &mut paths, &mut expected)?;
    let letters = sward::run(move || fetch_all(root, paths))?;
    let most = letters.iter().max().map_or(1, |it| it.div_ceil(60).max(1));
    for (letter, times) in ('a'..='z').zip(letters) {
        let bar = (0..times / most).map(|_| '#').collect::<String>();
        eprintln!("{letter} {times:7} {bar}");
    }
    let verdict = if letters == expected {
        "the same"
    } else {
        "other"
    };
    println!("over the network and from the disk: {verdict} letters");
    Ok(())
}

/// Counts all documents, over the network.
fn fetch_all(root: PathBuf, paths: Vec<String>) -> io::Result<Letters> {
    let server = site::serve(root)?;
    let table = Arc::new(Mutex::new([0; 26]));
    let clients = Group::new();
    clients.limit(CLIENTS);
    for path in paths {
        let table = Arc::clone(&table);
        clients.go(move || fetch(server, &path, &table));
    }
    clients.wait()?;
    let letters = *table.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(letters)
}

fn fetch(server: SocketAddr, path: &str, table: &Mutex<Letters>) -> io::Result<()> {
    let text = site::get(server, path)?.ok_or(io::ErrorKind::NotFound)?;
    let mut letters = [0; 26];
    count(&text, &mut letters);
    // Held for 26 additions, not for a request.
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    for (sum, times) in table.iter_mut().zip(letters) {
        *sum += times;
    }
    Ok(())
}

fn count(text: &str, letters: &mut Letters) {
    for letter in text.bytes().filter(u8::is_ascii_alphabetic) {
        letters[usize::from(letter.to_ascii_lowercase() - b'a')] += 1;
    }
}

/// Counts all documents from the disk, and lists them.
fn read_all(
    directory: &Path,
    url: &str,
    paths: &mut Vec<String>,
    letters: &mut Letters,
) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if entry.file_type()?.is_dir() && !name.starts_with('.') {
            read_all(&entry.path(), &format!("{url}{name}/"), paths, letters)?;
        } else if let Ok(text) = fs::read_to_string(entry.path())
            && !name.starts_with('.')
        {
            count(&text, letters);
            paths.push(format!("{url}{name}"));
        }
    }
    Ok(())
}
