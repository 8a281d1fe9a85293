//! Runs the examples and compares what they print, or asks them, if they are servers.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::Duration,
};

/// Those that print the same each time, as the last block of their header says.
const STEADY: &[&str] = &[
    "broadcast",
    "chat",
    "counter",
    "crawler",
    "embed",
    "game",
    "guess",
    "letters",
    "matmul",
    "merge",
    "ping",
    "pipeline",
    "quit",
    "readers",
    "semaphore",
    "sentinel",
    "sieve",
    "timeout",
];

/// Those that print figures, and what stands in their lines all the same, in order.
const CHANGING: &[(&str, &[&str])] = &[
    (
        "grep",
        &[
            "examples/grep.rs:",
            "a needle in a haystack",
            "1 line in 1 file",
        ],
    ),
    (
        "trace",
        &["served 480 requests", "on https://ui.perfetto.dev"],
    ),
    (
        "tour",
        &[
            "1. A crowd",
            "100000 green threads on ",
            "altogether: 333328333350000",
            "2. A server and its clients",
            "while all is quiet:",
            "answers; half within",
            "beside 4 green threads that compute",
            "answers; half within",
            "3. Giving way",
            "4. What it costs here",
            "a switch, two in turn",
            "All answers were right.",
        ],
    ),
];

/// Those that serve until they are stopped.
const SERVERS: &[&str] = &["echo", "http"];

/// Longer than any of them takes, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The folder of the built examples. They are built when a test first asks: `cargo test --test examples`
/// alone does not.
static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let this = env::current_exe().expect("a test knows its file");
    let profile = this
        .ancestors()
        .nth(2)
        .expect("it lies in target/PROFILE/deps");
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--quiet", "--examples", "--target-dir"])
        .arg(profile.parent().expect("a profile lies in target"))
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success(), "{build:?}");
    profile.join("examples")
});

fn command(example: &str) -> Command {
    let mut command = Command::new(BUILT.join(example));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Ends a child with the test, however the test ends.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs an example to its end, which must be a good one.
fn run(example: &str) -> String {
    let mut child = command(example);
    let mut child = Guard(child.spawn().expect("the example starts"));
    let mut stdout = child.0.stdout.take().expect("it was asked for");
    let (done, ended) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let result = stdout.read_to_string(&mut text);
        // Nobody listens if it took too long.
        _ = done.send(());
        result.map(|_| text)
    });
    ended
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("{example} has not ended after {PATIENCE:?}"));
    let text = reader.join().expect("a reader does not panic");
    let text = text.expect("it prints text");
    let status = child.0.wait().expect("it can be waited for");
    assert!(status.success(), "{example}: {status}\n{text}");
    text
}

/// The last block of an example's header: what it prints.
fn promised(example: &str) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{example}.rs"));
    let source = fs::read_to_string(source).expect("the example is there");
    let header: Vec<_> = source
        .lines()
        .map_while(|it| it.strip_prefix("//!"))
        .map(|it| it.strip_prefix(' ').unwrap_or(it))
        .collect();
    let header = header.join("\n");
    let block = header.rsplit("```text\n").next().expect("it has one");
    block.trim_end().trim_end_matches("```").to_owned()
}

#[test]
fn every_example_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let found: BTreeSet<_> = fs::read_dir(folder)
        .expect("there are examples")
        .map(|it| it.expect("the folder can be read").path())
        // A folder without a program of its own is shared by others.
        .filter(|it| it.is_file() || it.join("main.rs").is_file())
        .filter_map(|it| Some(it.file_stem()?.to_str()?.to_owned()))
        .collect();
    let listed: BTreeSet<_> = CHANGING
        .iter()
        .map(|it| &it.0)
        .chain(STEADY)
        .chain(SERVERS)
        .map(|it| (*it).to_owned())
        .collect();
    assert_eq!(found, listed);
}

#[test]
fn some_print_the_same_each_time() {
    for example in STEADY {
        assert_eq!(run(example), promised(example), "{example}");
    }
}

#[test]
fn some_print_figures() {
    for (example, parts) in CHANGING {
        let text = run(example);
        let mut rest = text.as_str();
        for part in *parts {
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => panic!("{example} does not say {part:?} where it should:\n{text}"),
            }
        }
    }
}

/// Starts a server on any port; what it says first is where it listens.
fn serve(example: &str) -> (Guard, TcpStream) {
    let mut server = command(example);
    let mut server = Guard(server.arg("0").spawn().expect("the server starts"));
    let stdout = server.0.stdout.take().expect("it was asked for");
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("it prints text");
    let address = line.trim_end().strip_prefix("listening on ");
    let stream = TcpStream::connect(address.expect("it says where")).expect("it listens there");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout that is not zero");
    (server, stream)
}

#[test]
fn echo_sends_back_what_comes() -> io::Result<()> {
    let (_server, mut stream) = serve("echo");
    let sent: Vec<u8> = (0..1_000_000_u32)
        .map(|it| it.to_le_bytes()[it as usize % 3])
        .collect();
    let mut writer = stream.try_clone()?;
    let expected = sent.clone();
    let writer = thread::spawn(move || {
        writer.write_all(&sent)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    writer.join().expect("the writer does not panic")?;
    assert!(received == expected, "{} bytes came back", received.len());
    Ok(())
}

#[test]
fn http_greets_and_refuses() -> io::Result<()> {
    let (_server, mut stream) = serve("http");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\nGET / HTTP/2.5\r\n\r\n")?;
    let mut answers = String::new();
    stream.read_to_string(&mut answers)?;
    let (first, second) = answers.split_once("Hello, World!").expect("a greeting");
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
    assert!(second.trim_start().starts_with("HTTP/1.1 "), "{answers}");
    assert!(!second.contains(" 200 "), "{answers}");
    Ok(())
}

#[test]
fn a_port_that_is_no_port_is_refused() -> io::Result<()> {
    for example in SERVERS {
        for arguments in [&[][..], &["seven"], &["70000"]] {
            refuses(example, arguments)?;
        }
    }
    // Without one, this plays its guests itself.
    for arguments in [&["seven"], &["70000"]] {
        refuses("chat", arguments)?;
    }
    Ok(())
}

fn refuses(example: &str, arguments: &[&str]) -> io::Result<()> {
    let mut server = command(example);
    let Output { status, stderr, .. } = server.args(arguments).stderr(Stdio::piped()).output()?;
    assert_eq!(status.code(), Some(2), "{example} {arguments:?}");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(stderr.starts_with("usage: "), "{example}: {stderr}");
    Ok(())
}

/// The chat as `nc` sees it: two guests, one of whom goes.
#[test]
fn guests_of_the_chat_hear_each_other() -> io::Result<()> {
    let (_server, ada) = serve("chat");
    let ben = TcpStream::connect(ada.peer_addr()?)?;
    ben.set_read_timeout(Some(PATIENCE))?;
    let (mut from_ada, mut from_ben) = (BufReader::new(&ada).lines(), BufReader::new(&ben).lines());
    let hears = |lines: &mut dyn Iterator<Item = io::Result<String>>, what: &str| {
        let line = lines.next().expect("a line")?;
        assert_eq!(line, what);
        io::Result::Ok(())
    };
    (&ada).write_all(b"Ada\n")?;
    hears(&mut from_ada, "Ada, you are the first here")?;
    (&ben).write_all(b"Ben\r\n")?;
    hears(&mut from_ben, "Ben, here are Ada")?;
    hears(&mut from_ada, "* Ben has come")?;
    (&ada).write_all(b"hello\n")?;
    hears(&mut from_ben, "Ada: hello")?;
    ben.shutdown(Shutdown::Write)?;
    hears(&mut from_ada, "* Ben has gone")
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn texts_of_ones_own_are_worked_on() -> io::Result<()> {
    let folder = Folder(env::temp_dir().join(format!("sward-examples-{}", std::process::id())));
    let root = &folder.0;
    fs::create_dir_all(root.join("below"))?;
    fs::write(root.join("one.txt"), "a needle\nhay\n")?;
    fs::write(root.join("below/two.txt"), "hay\n  needles\n")?;
    // No text, but the same bytes.
    fs::write(root.join("none"), b"needle\xff")?;
    let output = command("grep").arg("needle").arg(root).output()?;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!(
            "{0}/below/two.txt:2: needles\n{0}/one.txt:1: a needle\n2 lines in 2 files\n",
            root.display()
        )
    );
    let output = command("letters")
        .arg(root)
        .stderr(Stdio::piped())
        .output()?;
    let table = String::from_utf8_lossy(&output.stderr);
    let times = table.lines().find_map(|it| it.strip_prefix("e "));
    let times = times.and_then(|it| it.split_whitespace().next());
    assert_eq!(times, Some("6"), "{table}");
    assert!(output.stdout.ends_with(b": the same letters\n"));
    let output = command("crawler")
        .arg(root)
        .stderr(Stdio::null())
        .output()?;
    assert!(
        output
            .stdout
            .starts_with(b"the crawl saw every page once\n")
    );
    Ok(())
}

#[test]
fn a_folder_that_is_not_there_is_an_error() -> io::Result<()> {
    for (example, arguments) in [
        ("letters", &["/no/such/folder"][..]),
        ("crawler", &["/no/such/folder"]),
        ("grep", &["needle", "/no/such/folder"]),
    ] {
        let mut it = command(example);
        let output = it.args(arguments).stderr(Stdio::piped()).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("No such file"), "{example}: {stderr}");
        if example == "grep" {
            // What can be searched is searched all the same: here, nothing.
            assert_eq!(output.stdout, b"0 lines in 0 files\n");
        } else {
            assert!(!output.status.success(), "{example}");
            assert!(output.stdout.is_empty(), "{example}");
        }
    }
    Ok(())
}
