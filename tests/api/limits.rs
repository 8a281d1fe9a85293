//! What is left of runtimes, and what happens where the system has no more to give.

#![expect(unsafe_code, reason = "limits of child processes are system calls")]

use crate::support::{in_child, runtime, watched};
use std::{
    fs,
    io::{self, Read},
    os::unix::process::CommandExt,
    process::Command,
    sync::{Arc, Barrier, mpsc},
    thread as kernel,
    time::{Duration, Instant},
};
use sward::{
    Runtime, blocking, channel,
    net::{TcpListener, unix::UnixStream},
    thread,
};

/// How many threads and descriptors this process has, and its memory in kilobytes.
fn usage() -> (usize, usize, usize) {
    let count = |it| fs::read_dir(it).expect("proc").count();
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let rss = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let rss = rss.and_then(|it| it.trim().strip_suffix(" kB"));
    let rss = rss.and_then(|it| it.parse().ok()).expect("a number");
    (count("/proc/self/task"), count("/proc/self/fd"), rss)
}

#[test]
fn a_thousand_starts_and_stops_leave_nothing() {
    in_child::succeeds("limits::child_starts_and_stops");
}

#[test]
#[ignore = "run by another test"]
fn child_starts_and_stops() {
    let cycle = |number: usize| {
        let it = runtime(1 + number % 3);
        let threads: Vec<_> = (0..10)
            .map(|_| {
                it.spawn(|| {
                    thread::yield_now();
                    thread::sleep(Duration::from_micros(10));
                    blocking(|| 1)
                })
            })
            .collect();
        let parked = it.spawn(thread::park);
        let sum: i32 = threads
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        assert_eq!(sum, 10);
        drop(it);
        assert!(parked.join().is_err());
    };
    (0..100).for_each(cycle);
    let (threads, descriptors, rss) = usage();
    (0..1_000).for_each(cycle);
    // A thread is in /proc until a moment after it was joined.
    let end = Instant::now() + Duration::from_secs(10);
    while usage().0 > threads && Instant::now() < end {
        kernel::yield_now();
    }
    let after = usage();
    assert!(after.0 <= threads, "{threads} threads before, {after:?}");
    assert_eq!(after.1, descriptors);
    assert!(after.2 <= rss + 4 * 1024, "{rss} kB before, {after:?}");
}

/// Limits a resource of the child process.
fn limit(command: &mut Command, resource: u32, value: u64) {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    let set = move || {
        // SAFETY: a system call on a value of our own.
        match unsafe { libc::setrlimit(resource, &raw const limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(set) };
}

#[test]
fn without_memory_a_spawn_is_an_error() {
    in_child::succeeds_with("limits::child_runs_out_of_memory", |it| {
        limit(it, libc::RLIMIT_AS, 2 << 30);
    });
}

/// With two gigabytes of addresses.
#[test]
#[ignore = "run by another test"]
fn child_runs_out_of_memory() {
    assert!(
        Runtime::builder()
            .workers(1)
            .stack_size(4 << 30)
            .build()
            .is_err()
    );
    let it = runtime(1);
    let (spawned, ended) = it.run(|| {
        let mut threads = Vec::new();
        let error = loop {
            let parked = thread::Builder::new()
                .stack_size(64 << 20)
                .spawn(thread::park);
            match parked {
                Ok(handle) => threads.push(handle),
                Err(error) => break error,
            }
            assert!(threads.len() < 100, "there is no end");
        };
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(sward::spawn(|| 1).join().expect("no panic"), 1);
        let spawned = threads.len();
        let ended = threads
            .into_iter()
            .filter_map(|it| {
                it.thread().unpark();
                it.join().ok()
            })
            .count();
        // There is room again.
        let again = thread::Builder::new().stack_size(64 << 20).spawn(|| 2);
        assert_eq!(again.expect("room").join().expect("no panic"), 2);
        (spawned, ended)
    });
    assert!(spawned > 0);
    assert_eq!(spawned, ended);
}

#[test]
fn without_kernel_threads_nothing_is_lost() {
    in_child::succeeds_with("limits::child_runs_out_of_threads", |it| {
        // The limit is not for root: then the child is nobody, whose processes are counted with others'.
        it.uid(65_534);
    });
}

/// Limits itself, when it knows how many it has.
#[test]
#[ignore = "run by another test"]
fn child_runs_out_of_threads() {
    let few = |threads| {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: a place for the answer.
        unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &raw mut limit) };
        limit.rlim_cur = threads;
        // SAFETY: a system call on a value of our own.
        let result = unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) };
        assert_eq!(result, 0);
    };
    // So that the monitor is there.
    let first = runtime(1);
    let own = usage().0 as u64;
    few(own);
    let refused = Runtime::builder().workers(2).build();
    assert!(refused.is_err(), "there are threads for a second one");
    let before = first.metrics();
    // Blocking calls and hogs find no spare thread: all take turns, and end.
    let sum: usize = first.run(|| {
        let threads: Vec<_> = (0..50)
            .map(|number| {
                sward::spawn(move || {
                    if number % 10 == 0 {
                        kernel::sleep(Duration::from_millis(2));
                    }
                    thread::sleep(Duration::from_micros(100));
                    blocking(|| {
                        kernel::sleep(Duration::from_micros(500));
                        1
                    })
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum()
    });
    assert_eq!(sum, 50);
    let after = first.metrics();
    assert!(
        after.take_overs_refused > before.take_overs_refused,
        "{after:?}"
    );
    assert_eq!(after.threads, before.threads, "{after:?}");
    few(own + 20);
    assert_eq!(runtime(2).run(|| 1), 1);
}

#[test]
fn spare_threads_go_within_ten_seconds() {
    watched("spare", Duration::from_mins(1), || {
        let it = runtime(2);
        let together = Arc::new(Barrier::new(64));
        let calls: Vec<_> = (0..64)
            .map(|_| {
                let together = Arc::clone(&together);
                it.spawn(move || blocking(|| together.wait().is_leader()))
            })
            .collect();
        for call in calls {
            call.join().expect("no panic");
        }
        let idle = Instant::now();
        assert!(it.metrics().threads >= 64);
        while it.metrics().threads > 2 {
            let waited = idle.elapsed();
            assert!(waited < Duration::from_secs(10), "{:?}", it.metrics());
            kernel::sleep(Duration::from_millis(50));
        }
        assert_eq!(it.run(|| 1), 1);
    });
}

#[test]
fn an_idle_process_sleeps() {
    in_child::succeeds("limits::child_idles");
}

/// How often all other threads of this process have gone to sleep.
fn voluntary_switches() -> u64 {
    // SAFETY: it takes nothing.
    let own = unsafe { libc::gettid() }.to_string();
    let tasks = fs::read_dir("/proc/self/task").expect("proc");
    tasks
        .filter_map(|it| {
            let task = it.expect("proc");
            if task.file_name() == *own {
                return None;
            }
            // It may have ended since.
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let count = status
                .lines()
                .find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"));
            count?.trim().parse::<u64>().ok()
        })
        .sum()
}

/// Beside a hundred thousand that wait for each other, or for bytes, and no timers.
#[test]
#[ignore = "run by another test"]
fn child_idles() {
    let it = runtime(2);
    let (tx, rx) = channel::bounded::<()>(0);
    let (near, _far) = UnixStream::pair().expect("a pair");
    let near = Arc::new(near);
    for number in 0..100_000 {
        let (rx, near) = (rx.clone(), Arc::clone(&near));
        drop(it.spawn(move || match number {
            0 => drop((&*near).read(&mut [0])),
            it if it % 2 == 0 => thread::park(),
            _ => drop(rx.recv()),
        }));
    }
    while it.metrics().parked < 100_000 {
        kernel::yield_now();
    }
    // Memory is given back, and the monitor looks a few times more; then nothing moves for a second.
    let start = Instant::now();
    loop {
        let before = voluntary_switches();
        kernel::sleep(Duration::from_secs(1));
        let moved = voluntary_switches() - before;
        if moved == 0 {
            break;
        }
        assert!(
            start.elapsed() < Duration::from_secs(40),
            "{moved} a second"
        );
    }
    drop(tx);
}

#[test]
fn without_descriptors_accept_is_an_error() {
    in_child::succeeds_with("limits::child_runs_out_of_descriptors", |it| {
        limit(it, libc::RLIMIT_NOFILE, 64);
    });
}

/// How much processor time this process has had.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a place for the answer.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(
        u64::try_from(time.tv_sec).expect("positive"),
        u32::try_from(time.tv_nsec).expect("below a second"),
    )
}

#[test]
#[ignore = "run by another test"]
fn child_runs_out_of_descriptors() {
    watched("descriptors", Duration::from_mins(1), || {
        let it = runtime(2);
        let (tell, told) = mpsc::channel();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        // It is ready when there are no descriptors any more.
        let client = std::net::TcpStream::connect(address).expect("a place in the queue");
        let mut all = Vec::new();
        while let Ok(file) = fs::File::open("/dev/null") {
            all.push(file);
        }
        assert!(all.len() < 64);
        let server = it.spawn(move || {
            // Others go on, and each try is told.
            for _ in 0..3 {
                let error = listener.accept().expect_err("there is no descriptor");
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                assert_eq!(sward::spawn(|| 1).join().expect("no panic"), 1);
            }
            let (go, wait) = channel::bounded(1);
            tell.send(go).expect("the test waits");
            wait.recv().expect("there are some again");
            let (stream, _) = listener.accept().expect("the client is still there");
            drop(stream);
            // And waits for one who is let in when there are none left.
            tell.send(channel::bounded(1).0).expect("the test waits");
            listener.accept().map(drop)
        });
        let go = told.recv().expect("three errors");
        // Nothing spins meanwhile: of a second, less than half.
        let (before, start) = (processor_time(), Instant::now());
        kernel::sleep(Duration::from_secs(1));
        let (spent, took) = (processor_time().saturating_sub(before), start.elapsed());
        assert!(spent < took / 2, "{spent:?} of {took:?}");
        drop(all);
        go.send(()).expect("it waits");
        told.recv().expect("it went on");
        let again = std::net::TcpStream::connect(address).expect("it listens");
        server.join().expect("no panic").expect("a client");
        drop((client, again));
    });
}

#[test]
fn stalls_are_named_once_a_second() {
    let ended = in_child::run("limits::child_stalls", |_| {});
    assert!(ended.status.success(), "{ended:?}");
    let lines: Vec<_> = ended
        .complained
        .lines()
        .filter(|it| it.contains("in one turn"))
        .collect();
    let named = |name: &str| lines.iter().find(|it| it.contains(name));
    let cruncher = named("'cruncher'").unwrap_or_else(|| panic!("{ended:?}"));
    assert!(cruncher.contains(" has computed for "), "{cruncher}");
    let sleeper = named("'sleeper'").unwrap_or_else(|| panic!("{ended:?}"));
    assert!(
        sleeper.contains(" has blocked its kernel thread for "),
        "{sleeper}"
    );
    for line in [cruncher, sleeper] {
        assert!(line.contains("spawned at tests/api/limits.rs:"), "{line}");
        let (_, ms) = line.split_once(" for ").expect("a time");
        let ms: u64 = ms
            .split(' ')
            .next()
            .and_then(|it| it.parse().ok())
            .expect("a number");
        assert!((20..10_000).contains(&ms), "{line}");
    }
    // Twenty more, one after the other, took this long.
    let took = ended
        .said
        .lines()
        .find_map(|it| it.strip_prefix("seconds: "));
    let seconds: usize = took.expect("said").parse().expect("a number");
    assert!(lines.len() <= seconds + 2, "{seconds} s\n{lines:?}");
}

#[test]
#[ignore = "run by another test"]
fn child_stalls() {
    let it = Runtime::builder()
        .workers(1)
        .warn_stalls(Duration::from_millis(20));
    let it = it.build().expect("a runtime");
    let start = Instant::now();
    let spin = |time: Duration| {
        let end = Instant::now() + time;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    };
    let stall = |name: &str, f: Box<dyn FnOnce() + Send>| {
        let name = name.to_owned();
        it.run(move || {
            let thread = thread::Builder::new().name(name).spawn(f);
            thread.expect("room").join().expect("no panic");
        });
    };
    stall("cruncher", Box::new(move || spin(Duration::from_secs(1))));
    for _ in 0..20 {
        stall("", Box::new(move || spin(Duration::from_millis(40))));
    }
    // Longer than the time between two warnings.
    stall(
        "sleeper",
        Box::new(|| kernel::sleep(Duration::from_millis(2_500))),
    );
    println!("\nseconds: {}", start.elapsed().as_secs() + 1);
}
