//! Signals as messages: Go's promises of `os/signal`, each test with signals of its own.

use crate::support::{in_child, on_every_real_home};
use std::{
    io::ErrorKind,
    os::unix::process::ExitStatusExt,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use sward::{
    channel::{RecvTimeoutError, TryRecvError},
    select, signal,
};

const LONG: Duration = Duration::from_secs(30);

#[expect(unsafe_code, reason = "std sends no signals")]
fn raise(number: i32) {
    let own = i32::try_from(std::process::id()).expect("a number of 22 bits");
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::kill(own, number) }, 0);
}

#[test]
fn each_subscriber_is_sent_its_signals() {
    on_every_real_home(|_| {
        let one = signal::notify([signal::SIGUSR1]).expect("a handler");
        let both = signal::notify([signal::SIGUSR1, signal::SIGUSR2]).expect("handlers");
        raise(signal::SIGUSR1);
        assert_eq!(one.recv_timeout(LONG), Ok(signal::SIGUSR1));
        assert_eq!(both.recv_timeout(LONG), Ok(signal::SIGUSR1));
        raise(signal::SIGUSR2);
        assert_eq!(both.recv_timeout(LONG), Ok(signal::SIGUSR2));
        assert_eq!(one.try_recv(), Err(TryRecvError::Empty));
        drop(one);
        raise(signal::SIGUSR1);
        assert_eq!(both.recv_timeout(LONG), Ok(signal::SIGUSR1));
    });
}

#[test]
fn signals_are_an_arm_of_a_choice() {
    on_every_real_home(|home| {
        let winks = signal::notify([signal::SIGWINCH]).expect("a handler");
        let (tx, rx) = sward::channel::bounded::<()>(0);
        let sender = home.spawn(|| raise(signal::SIGWINCH));
        let got = select! {
            recv(winks) -> it => it,
            recv(rx) -> _ => Err(sward::channel::RecvError),
        };
        assert_eq!(got, Ok(signal::SIGWINCH));
        drop(tx);
        sender.join().expect("no panic");
    });
}

/// Go's `TestStress`: nobody is waited for, and what there is no room for is lost.
#[test]
fn a_subscriber_that_does_not_receive_holds_nobody_up() {
    on_every_real_home(|_| {
        let lazy = signal::notify([signal::SIGURG]).expect("a handler");
        let eager = signal::notify([signal::SIGURG]).expect("a handler");
        for _ in 0..100 {
            raise(signal::SIGURG);
            assert_eq!(eager.recv_timeout(LONG), Ok(signal::SIGURG));
        }
        let kept = std::iter::from_fn(|| lazy.try_recv().ok()).count();
        assert!((1..=32).contains(&kept), "{kept}");
    });
}

#[test]
fn what_is_no_signal_or_cannot_be_caught_is_refused() {
    for number in [
        0,
        -1,
        65,
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGBUS,
    ] {
        let error = signal::notify([signal::SIGIO, number]).expect_err("not these");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}");
    }
    // glibc keeps this one to itself; what went before it is taken back.
    assert!(signal::notify([signal::SIGIO, 32]).is_err());
    assert!(signal::notify([]).expect("nothing").try_recv().is_err());
}

/// Go's `TestAtomicStop`, in essence: subscriptions come and go while signals rain, and none is lost that
/// came during one.
#[test]
fn subscriptions_come_and_go_while_signals_come() {
    let ended = in_child::run("signal::child_in_the_rain", |_| ());
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
#[ignore = "run by another test"]
fn child_in_the_rain() {
    // Keeps the program alive while no other subscription is there.
    let always = signal::notify([signal::SIGHUP]).expect("a handler");
    on_every_real_home(move |_| {
        for _ in 0..1000 {
            let short = signal::notify([signal::SIGHUP]).expect("a handler");
            raise(signal::SIGHUP);
            assert_eq!(short.recv_timeout(LONG), Ok(signal::SIGHUP));
            drop(short);
            raise(signal::SIGHUP);
            assert_ne!(always.recv_timeout(LONG), Err(RecvTimeoutError::Timeout));
            while always.try_recv().is_ok() {}
        }
    });
}

/// When the last subscription is gone, Ctrl-C ends the program again, and says by what.
#[test]
fn without_subscribers_a_signal_does_what_it_did_before() {
    let ended = in_child::run("signal::child_that_is_interrupted", |_| ());
    assert_eq!(ended.status.signal(), Some(libc::SIGINT), "{ended:?}");
    assert!(ended.said.contains("heard once"), "{ended:?}");
    assert!(!ended.said.contains("survived"), "{ended:?}");
}

#[test]
#[ignore = "run by another test"]
fn child_that_is_interrupted() {
    let interrupted = signal::ctrl_c().expect("a handler");
    raise(signal::SIGINT);
    assert_eq!(interrupted.recv_timeout(LONG), Ok(signal::SIGINT));
    println!("heard once");
    drop(interrupted);
    raise(signal::SIGINT);
    std::thread::sleep(LONG);
    println!("survived");
}

/// A handler of the program's own is called too, during and after.
#[test]
fn a_handler_of_before_is_called_too() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: i32) {
        CALLS.fetch_add(1, Relaxed);
    }
    #[expect(unsafe_code, reason = "std installs no handlers")]
    fn install() {
        // SAFETY: `count` does what a handler may.
        let before = unsafe { libc::signal(libc::SIGPROF, count as *const () as usize) };
        assert_ne!(before, libc::SIG_ERR);
    }
    install();
    let signals = signal::notify([signal::SIGPROF]).expect("a handler");
    raise(signal::SIGPROF);
    assert_eq!(signals.recv_timeout(LONG), Ok(signal::SIGPROF));
    assert_eq!(CALLS.load(Relaxed), 1);
    drop(signals);
    // This one finds nobody, and brings the handler back; it was called for it already.
    raise(signal::SIGPROF);
    let start = std::time::Instant::now();
    while CALLS.load(Relaxed) < 2 {
        assert!(start.elapsed() < LONG);
        std::thread::yield_now();
    }
    raise(signal::SIGPROF);
    while CALLS.load(Relaxed) < 3 {
        assert!(start.elapsed() < LONG);
        std::thread::yield_now();
    }
}

/// All but those that tell of a fault: no handlers pile up on the stack that a kernel thread has for them.
#[test]
fn other_signals_wait_while_a_handler_runs() {
    #[expect(unsafe_code, reason = "std asks for no actions")]
    fn masks(number: i32, other: i32) -> bool {
        // SAFETY: zeros are an action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: a place for the answer; nothing is changed.
        let outcome = unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) };
        assert_eq!(outcome, 0);
        assert_ne!(action.sa_flags & libc::SA_ONSTACK, 0);
        // SAFETY: a set of signals.
        unsafe { libc::sigismember(&raw const action.sa_mask, other) == 1 }
    }
    let _signals = signal::notify([signal::SIGALRM]).expect("a handler");
    let builder = sward::Runtime::builder().workers(1);
    let _dumps = builder.dump_on(libc::SIGXFSZ).build().expect("a runtime");
    for number in [signal::SIGALRM, libc::SIGXFSZ] {
        for other in [libc::SIGUSR1, libc::SIGPROF, libc::SIGRTMAX()] {
            assert!(masks(number, other), "{other} while {number}");
        }
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            assert!(!masks(number, fault), "{fault} while {number}");
        }
    }
}
