//! Deadlocks are found within moments, and nothing else is taken for one.
//!
//! A test's own threads would keep every deadlock from being one: so each case runs in a child process, this
//! same program without the test harness, whose threads are the runtime's alone.

mod cases;
mod itself;
mod watched;

use std::{
    env,
    io::{self, Read, Write},
    process::{Command, ExitCode, Stdio},
    sync::{Arc, Mutex, atomic::AtomicUsize, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// Tells a child which case it is.
const CASE: &str = "SWARD_DEADLOCK_CASE";
/// What a circle among some is called.
const CIRCLE: &str = "sward: deadlock of ";
const MESSAGE: &str = "all green threads are asleep - deadlock!";
/// For how long a case may run that ends by itself.
const LIMIT: Duration = Duration::from_mins(1);

/// What a case is to come to.
#[derive(Debug, Clone, Copy)]
enum End {
    /// A deadlock, with these words in its dump.
    Deadlock(&'static [&'static str]),
    /// One that it survives.
    Recovers,
    /// None: it returns.
    Fine,
    /// It says these words, and is ended then.
    Says(&'static [&'static str]),
    /// As `Says`, each of them once.
    SaysOnce(&'static [&'static str]),
}

/// All cases.
fn all() -> Vec<(&'static str, fn(), End)> {
    [cases::ALL, itself::ALL, watched::ALL].concat()
}

fn main() -> ExitCode {
    if let Ok(name) = env::var(CASE) {
        let case = all().into_iter().find(|it| it.0 == name);
        let (_, case, _) = case.expect("a case of this name");
        case();
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<String> = env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    if env::args().any(|it| it == "--list") {
        return ExitCode::SUCCESS;
    }
    let all = all();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, _, end)) = all.get(next.fetch_add(1, Relaxed)) {
                    if !wanted.is_empty() && !wanted.iter().any(|it| name.contains(it.as_str())) {
                        continue;
                    }
                    let result = check(name, *end);
                    let word = if result.is_ok() { "ok" } else { "FAILED" };
                    drop(writeln!(io::stdout(), "test {name} ... {word}"));
                    if let Err(why) = result {
                        failed
                            .lock()
                            .expect("no panic")
                            .push(format!("{name}: {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    for it in &failed {
        drop(writeln!(io::stdout(), "{it}"));
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs a case in a child, and says what was not as it should be.
fn check(name: &str, end: End) -> Result<(), String> {
    let started = Instant::now();
    let mut child = Command::new(env::current_exe().map_err(|it| it.to_string())?)
        .env(CASE, name)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|it| it.to_string())?;
    let mut pipe = child.stderr.take().ok_or("no pipe")?;
    let said = Arc::new(Mutex::new(String::new()));
    let reader = thread::spawn({
        let said = Arc::clone(&said);
        move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]);
                said.lock().expect("no panic").push_str(&text);
            }
        }
    });
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|it| it.to_string())? {
            break status;
        }
        if let End::Says(words) | End::SaysOnce(words) = end {
            let said = said.lock().expect("no panic");
            if words.iter().all(|it| said.contains(it)) {
                drop(child.kill());
                drop(child.wait());
                let once = |it: &&&str| said.matches(**it).count() == 1;
                if matches!(end, End::SaysOnce(_))
                    && words.iter().filter(once).count() < words.len()
                {
                    return Err(format!("more than once: {said}"));
                }
                return Ok(());
            }
        }
        if started.elapsed() > LIMIT {
            drop(child.kill());
            drop(child.wait());
            let said = said.lock().expect("no panic");
            return Err(format!("no end after {LIMIT:?}; it said: {said}"));
        }
        thread::sleep(Duration::from_millis(2));
    };
    reader.join().map_err(|_| "the reader panicked")?;
    let said = said.lock().expect("no panic");
    match end {
        End::Fine if status.success() && !said.contains(MESSAGE) && !said.contains(CIRCLE) => {
            Ok(())
        }
        End::Recovers if status.success() && said.contains(MESSAGE) => Ok(()),
        End::Recovers | End::Fine | End::Says(_) | End::SaysOnce(_) => {
            Err(format!("{status}, and said: {said}"))
        }
        End::Deadlock(words) => {
            if status.code() != Some(101) {
                return Err(format!("{status}, and said: {said}"));
            }
            let missing = words.iter().find(|it| !said.contains(*it));
            match missing {
                _ if said.matches(MESSAGE).count() < 2 => Err(format!("it said: {said}")),
                Some(word) => Err(format!("{word:?} is not in: {said}")),
                None => Ok(()),
            }
        }
    }
}
