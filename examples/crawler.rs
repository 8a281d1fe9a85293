//! Crawls a web site, page by page, with a limit on open connections and one on the time.
//!
//! Shows a set of what was seen behind a mutex, a weighted semaphore for connections, and a context scope:
//! each page is a green thread that borrows the crawl, finds others and starts a green thread for each.
//! The first that fails cancels the context, which all look at, and so does a deadline; either way the
//! scope waits until all have ended.
//!
//! Run it, with a directory that is to be the site, or for this project's own sources:
//!
//! ```text
//! cargo run --release --example crawler -- ~/texts
//! ```
//!
//! The pages go to stderr. It prints:
//!
//! ```text
//! the crawl saw every page once
//! a second crawl, without any time: context deadline exceeded
//! ```

mod site;

use std::{
    collections::BTreeSet,
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use sward::{
    context::{Context, Scope},
    sync::{Mutex, PoisonError, Semaphore},
};

/// How many connections may be open.
const CONNECTIONS: usize = 8;

/// One crawl, which all its green threads borrow.
struct Crawl {
    server: SocketAddr,
    context: Context,
    connections: Semaphore,
    seen: Mutex<BTreeSet<String>>,
    fetched: AtomicUsize,
}

fn main() -> io::Result<()> {
    let root = env::args_os().nth(1).map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("runtime"),
        PathBuf::from,
    );
    let expected = count(&root)?;
    sward::run(move || {
        let server = site::serve(root)?;
        let crawl = Crawl::new(server, Duration::from_mins(1));
        crawl.run()?;
        let fetched = crawl.fetched.load(Ordering::Relaxed);
        let seen = crawl
            .seen
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for url in &seen {
            eprintln!("{url}");
        }
        let verdict = if (seen.len(), fetched) == (expected, expected) {
            "once"
        } else {
            "not"
        };
        println!("the crawl saw every page {verdict}");
        if let Err(error) = Crawl::new(server, Duration::ZERO).run() {
            println!("a second crawl, without any time: {error}");
        }
        Ok(())
    })
}

impl Crawl {
    fn new(server: SocketAddr, limit: Duration) -> Self {
        Self {
            server,
            context: Context::background().with_timeout(limit),
            connections: Semaphore::new(CONNECTIONS),
            seen: Mutex::default(),
            fetched: AtomicUsize::new(0),
        }
    }

    fn run(&self) -> io::Result<()> {
        self.context.scope(|scope| self.visit(scope, "/"))
    }

    /// Fetches a page, unless somebody has, and has those visited that it links to.
    fn visit<'scope>(
        &'scope self,
        scope: &Scope<'scope, '_, io::Error>,
        url: &str,
    ) -> io::Result<()> {
        let is_new = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(url.to_owned());
        if !is_new {
            return Ok(());
        }
        let connection = self.connections.acquire(1);
        if let Some(error) = self.context.err() {
            return Err(io::Error::other(error));
        }
        let page = site::get(self.server, url)?.ok_or(io::ErrorKind::NotFound)?;
        drop(connection);
        self.fetched.fetch_add(1, Ordering::Relaxed);
        if url.ends_with('/') {
            // Itself is among its links, as on many pages.
            for link in page.lines().chain([""]) {
                let (link, nested) = (format!("{url}{link}"), scope.clone());
                scope.spawn(move || self.visit(&nested, &link));
            }
        }
        Ok(())
    }
}

/// How many pages the site has: files and directories.
fn count(directory: &Path) -> io::Result<usize> {
    let mut pages = 1;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        pages += if entry.file_type()?.is_dir() {
            count(&entry.path())?
        } else {
            1
        };
    }
    Ok(pages)
}
