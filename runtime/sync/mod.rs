//! `std::sync`, green: locks and the like that let other green threads run while one waits, and Go's.
//!
//! Everything here works the same from green threads, of whatever runtime, and from plain kernel
//! threads, also between both: who waits on a green thread gives its kernel thread to others, who waits
//! on a kernel thread sleeps. Names, signatures and poisoning are those of [`std::sync`].

mod barrier;
mod condvar;
mod group;
mod lazy_lock;
pub mod mpsc;
mod mutex;
mod once;
mod once_lock;
mod poison;
mod pool;
mod raw_mutex;
mod raw_rwlock;
mod rwlock;
mod semaphore;
mod single_flight;
mod wait_group;

pub(crate) use raw_rwlock::READER;

pub use self::{
    barrier::{Barrier, BarrierWaitResult},
    condvar::{Condvar, WaitTimeoutResult},
    group::Group,
    lazy_lock::LazyLock,
    mutex::{Mutex, MutexGuard},
    once::{Once, OnceState},
    once_lock::OnceLock,
    pool::{Pool, PoolGuard},
    rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    semaphore::{Permits, Semaphore},
    single_flight::SingleFlight,
    wait_group::WaitGroup,
};
pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};
