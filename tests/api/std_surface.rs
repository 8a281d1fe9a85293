//! Every stable name of std that is here too has std's signature, and std's traits.
//!
//! One text is compiled twice, with std's `use` lines and with ours: whatever of it one of them refuses
//! fails to compile. Nothing of it runs. Left out: what std has deprecated, and what is about kernel threads
//! (`LocalKey`, `JoinHandleExt`).

macro_rules! text {
    () => {
        use std::{
            any::Any,
            ffi::{OsStr, OsString},
            fmt::{Debug, Display},
            io::{self, BufRead, Read, Seek, Write},
            num::NonZero,
            ops::{Deref, DerefMut},
            os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
            panic::{RefUnwindSafe, UnwindSafe},
            path::{Path, PathBuf},
            time::{Duration, SystemTime},
        };

        fn safe<T: UnwindSafe + RefUnwindSafe>() {}
        fn shared<T: Send + Sync>() {}
        fn shown<T: Debug + ?Sized>() {}
        fn told<T: Display + ?Sized>() {}
        fn descriptor<T>()
        where
            T: AsFd + AsRawFd + FromRawFd + IntoRawFd + From<OwnedFd> + Into<OwnedFd>,
            T: Debug + Send + Sync,
        {
        }
        fn stream<T: Read + Write>()
        where
            for<'a> &'a T: Read + Write,
        {
        }

        pub(super) fn mutex() {
            const _: Mutex<i32> = Mutex::new(1);
            let _: fn(Mutex<i32>) -> LockResult<i32> = Mutex::into_inner;
            let _: fn(&mut Mutex<i32>) -> LockResult<&mut i32> = Mutex::get_mut;
            let _: fn(&Mutex<i32>) -> LockResult<MutexGuard<'_, i32>> = Mutex::lock;
            let _: fn(&Mutex<i32>) -> TryLockResult<MutexGuard<'_, i32>> = Mutex::try_lock;
            let _: fn(&Mutex<i32>) -> bool = Mutex::is_poisoned;
            let _: fn(&Mutex<i32>) = Mutex::clear_poison;
            let _: fn(i32) -> Mutex<i32> = Mutex::from;
            let _: fn() -> Mutex<i32> = Mutex::default;
            let _: &Mutex<dyn Send> = &Mutex::new(1);
            drop::<Arc<Mutex<[i32]>>>(Arc::new(Mutex::new([1])));
            shown::<Mutex<dyn Debug>>();
            shown::<MutexGuard<'_, dyn Debug>>();
            told::<MutexGuard<'_, dyn Display>>();
            safe::<Mutex<*mut std::cell::Cell<i32>>>();
            safe::<MutexGuard<'_, i32>>();
            shared::<Mutex<std::cell::Cell<i32>>>();
            fn guard<T: DerefMut<Target = i32> + Sync>() {}
            guard::<MutexGuard<'_, i32>>();
        }

        pub(super) fn rwlock() {
            const _: RwLock<i32> = RwLock::new(1);
            let _: fn(RwLock<i32>) -> LockResult<i32> = RwLock::into_inner;
            let _: fn(&mut RwLock<i32>) -> LockResult<&mut i32> = RwLock::get_mut;
            let _: fn(&RwLock<i32>) -> LockResult<RwLockReadGuard<'_, i32>> = RwLock::read;
            let _: fn(&RwLock<i32>) -> TryLockResult<RwLockReadGuard<'_, i32>> = RwLock::try_read;
            let _: fn(&RwLock<i32>) -> LockResult<RwLockWriteGuard<'_, i32>> = RwLock::write;
            let _: fn(&RwLock<i32>) -> TryLockResult<RwLockWriteGuard<'_, i32>> = RwLock::try_write;
            let _: fn(RwLockWriteGuard<'static, i32>) -> RwLockReadGuard<'static, i32> =
                RwLockWriteGuard::downgrade;
            let _: fn(&RwLock<i32>) -> bool = RwLock::is_poisoned;
            let _: fn(&RwLock<i32>) = RwLock::clear_poison;
            let _: fn(i32) -> RwLock<i32> = RwLock::from;
            let _: fn() -> RwLock<i32> = RwLock::default;
            let _: &RwLock<dyn Send> = &RwLock::new(1);
            shown::<RwLock<dyn Debug>>();
            shown::<RwLockReadGuard<'_, dyn Debug>>();
            shown::<RwLockWriteGuard<'_, dyn Debug>>();
            told::<RwLockReadGuard<'_, dyn Display>>();
            told::<RwLockWriteGuard<'_, dyn Display>>();
            safe::<RwLock<*mut std::cell::Cell<i32>>>();
            safe::<RwLockReadGuard<'_, i32>>();
            safe::<RwLockWriteGuard<'_, i32>>();
            fn reader<T: Deref<Target = i32> + Sync>() {}
            fn writer<T: DerefMut<Target = i32> + Sync>() {}
            reader::<RwLockReadGuard<'_, i32>>();
            writer::<RwLockWriteGuard<'_, i32>>();
        }

        pub(super) fn condvar() {
            type Guard<'a> = MutexGuard<'a, bool>;
            type Timed<'a> = (MutexGuard<'a, bool>, WaitTimeoutResult);
            const _: Condvar = Condvar::new();
            let _: fn(&Condvar, Guard<'static>) -> LockResult<Guard<'static>> = Condvar::wait;
            let _: fn(
                &Condvar,
                Guard<'static>,
                fn(&mut bool) -> bool,
            ) -> LockResult<Guard<'static>> = Condvar::wait_while;
            let _: fn(&Condvar, Guard<'static>, Duration) -> LockResult<Timed<'static>> =
                Condvar::wait_timeout;
            let _: fn(
                &Condvar,
                Guard<'static>,
                Duration,
                fn(&mut bool) -> bool,
            ) -> LockResult<Timed<'static>> = Condvar::wait_timeout_while;
            let _: fn(&Condvar) = Condvar::notify_one;
            let _: fn(&Condvar) = Condvar::notify_all;
            let _: fn() -> Condvar = Condvar::default;
            let _: fn(&WaitTimeoutResult) -> bool = WaitTimeoutResult::timed_out;
            fn result<T: Copy + Clone + Eq + Debug>() {}
            result::<WaitTimeoutResult>();
            shown::<Condvar>();
            safe::<Condvar>();
            shared::<Condvar>();
        }

        pub(super) fn once_and_barrier() {
            const _: Barrier = Barrier::new(1);
            let _: fn(&Barrier) -> BarrierWaitResult = Barrier::wait;
            let _: fn(&BarrierWaitResult) -> bool = BarrierWaitResult::is_leader;
            shown::<Barrier>();
            shown::<BarrierWaitResult>();
            safe::<Barrier>();
            shared::<Barrier>();
            safe::<BarrierWaitResult>();

            const _: Once = Once::new();
            let _: fn(&Once, fn()) = Once::call_once;
            let _: fn(&Once, fn(&OnceState)) = Once::call_once_force;
            let _: fn(&Once) -> bool = Once::is_completed;
            let _: fn(&Once) = Once::wait;
            let _: fn(&Once) = Once::wait_force;
            let _: fn(&OnceState) -> bool = OnceState::is_poisoned;
            shown::<Once>();
            shown::<OnceState>();
            safe::<Once>();
            shared::<Once>();

            const _: OnceLock<i32> = OnceLock::new();
            let _: fn(&OnceLock<i32>) -> Option<&i32> = OnceLock::get;
            let _: fn(&mut OnceLock<i32>) -> Option<&mut i32> = OnceLock::get_mut;
            let _: fn(&OnceLock<i32>) -> &i32 = OnceLock::wait;
            let _: fn(&OnceLock<i32>, i32) -> Result<(), i32> = OnceLock::set;
            let _: fn(&OnceLock<i32>, fn() -> i32) -> &i32 = OnceLock::get_or_init;
            let _: fn(OnceLock<i32>) -> Option<i32> = OnceLock::into_inner;
            let _: fn(&mut OnceLock<i32>) -> Option<i32> = OnceLock::take;
            let _: fn(i32) -> OnceLock<i32> = OnceLock::from;
            fn cell<T: Default + Clone + Eq + Debug>() {}
            cell::<OnceLock<i32>>();
            safe::<OnceLock<i32>>();
            shared::<OnceLock<i32>>();

            static LAZY: LazyLock<i32> = LazyLock::new(|| 1);
            let _: fn(&LazyLock<i32>) -> &i32 = LazyLock::force;
            let _: fn(&mut LazyLock<i32>) -> &mut i32 = LazyLock::force_mut;
            let _: fn(&LazyLock<i32>) -> Option<&i32> = LazyLock::get;
            let _: fn(&mut LazyLock<i32>) -> Option<&mut i32> = LazyLock::get_mut;
            let _: i32 = *LAZY;
            fn lazy<T: Default + DerefMut<Target = i32> + Debug>() {}
            lazy::<LazyLock<i32>>();
            safe::<LazyLock<i32>>();
            shared::<LazyLock<i32>>();
        }

        pub(super) fn poison() {
            let _: fn(PoisonError<i32>) -> i32 = PoisonError::into_inner;
            let _: fn(&PoisonError<i32>) -> &i32 = PoisonError::get_ref;
            let _: fn(&mut PoisonError<i32>) -> &mut i32 = PoisonError::get_mut;
            let _: fn(i32) -> PoisonError<i32> = PoisonError::new;
            let _: fn(PoisonError<i32>) -> TryLockError<i32> = TryLockError::from;
            let _: fn(PoisonError<i32>) -> TryLockError<i32> = TryLockError::Poisoned;
            let _: TryLockError<i32> = TryLockError::WouldBlock;
        }

        pub(super) fn queues() {
            let _: fn() -> (mpsc::Sender<i32>, mpsc::Receiver<i32>) = mpsc::channel;
            let _: fn(usize) -> (mpsc::SyncSender<i32>, mpsc::Receiver<i32>) = mpsc::sync_channel;
            let _: fn(&mpsc::Sender<i32>, i32) -> Result<(), mpsc::SendError<i32>> =
                mpsc::Sender::send;
            let _: fn(&mpsc::SyncSender<i32>, i32) -> Result<(), mpsc::SendError<i32>> =
                mpsc::SyncSender::send;
            let _: fn(&mpsc::SyncSender<i32>, i32) -> Result<(), mpsc::TrySendError<i32>> =
                mpsc::SyncSender::try_send;
            let _: fn(&mpsc::Receiver<i32>) -> Result<i32, mpsc::RecvError> = mpsc::Receiver::recv;
            let _: fn(&mpsc::Receiver<i32>) -> Result<i32, mpsc::TryRecvError> =
                mpsc::Receiver::try_recv;
            let _: fn(&mpsc::Receiver<i32>, Duration) -> Result<i32, mpsc::RecvTimeoutError> =
                mpsc::Receiver::recv_timeout;
            let _: fn(&mpsc::Receiver<i32>) -> mpsc::Iter<'_, i32> = mpsc::Receiver::iter;
            let _: fn(&mpsc::Receiver<i32>) -> mpsc::TryIter<'_, i32> = mpsc::Receiver::try_iter;
            let _: fn(mpsc::Receiver<i32>) -> mpsc::IntoIter<i32> = IntoIterator::into_iter;
            fn iterator<T: Iterator<Item = i32> + Debug>() {}
            iterator::<mpsc::Iter<'_, i32>>();
            iterator::<mpsc::TryIter<'_, i32>>();
            iterator::<mpsc::IntoIter<i32>>();
            fn sender<T: Clone + Debug + Send + Sync + UnwindSafe + RefUnwindSafe>() {}
            sender::<mpsc::Sender<i32>>();
            sender::<mpsc::SyncSender<i32>>();
            fn receiver<T: Send + Debug + IntoIterator<Item = i32> + UnwindSafe + RefUnwindSafe>() {
            }
            receiver::<mpsc::Receiver<i32>>();
        }

        pub(super) fn threads() {
            let _: fn(fn() -> i32) -> thread::JoinHandle<i32> = thread::spawn;
            let _: fn() -> thread::Builder = thread::Builder::new;
            let _: fn(thread::Builder, String) -> thread::Builder = thread::Builder::name;
            let _: fn(thread::Builder, usize) -> thread::Builder = thread::Builder::stack_size;
            let _: fn(thread::Builder, fn() -> i32) -> io::Result<thread::JoinHandle<i32>> =
                thread::Builder::spawn;
            let _: fn(thread::JoinHandle<i32>) -> thread::Result<i32> = thread::JoinHandle::join;
            let _: fn(thread::JoinHandle<i32>) -> Result<i32, Box<dyn Any + Send>> =
                thread::JoinHandle::join;
            let _: fn(&thread::JoinHandle<i32>) -> &thread::Thread = thread::JoinHandle::thread;
            let _: fn(&thread::JoinHandle<i32>) -> bool = thread::JoinHandle::is_finished;
            let _: fn(&thread::Thread) = thread::Thread::unpark;
            let _: fn(&thread::Thread) -> thread::ThreadId = thread::Thread::id;
            let _: fn(&thread::Thread) -> Option<&str> = thread::Thread::name;
            let _: fn() -> thread::Thread = thread::current;
            let _: fn() = thread::park;
            let _: fn(Duration) = thread::park_timeout;
            let _: fn(Duration) = thread::sleep;
            let _: fn() = thread::yield_now;
            let _: fn() -> bool = thread::panicking;
            let _: fn() -> io::Result<NonZero<usize>> = thread::available_parallelism;
            fn id<T: Copy + Eq + std::hash::Hash + Debug + Send + Sync>() {}
            id::<thread::ThreadId>();
            fn handle<T: Debug + Send + Sync>() {}
            handle::<thread::JoinHandle<std::cell::Cell<i32>>>();
            handle::<thread::ScopedJoinHandle<'_, std::cell::Cell<i32>>>();
            handle::<thread::Scope<'_, '_>>();
            fn thread_handle<T: Clone + Debug + Send + Sync + UnwindSafe + RefUnwindSafe>() {}
            thread_handle::<thread::Thread>();
            shown::<thread::Builder>();

            let mut here = [1, 2];
            let there = String::new();
            let sum: i32 = thread::scope(|scope| {
                let one: thread::ScopedJoinHandle<'_, i32> = scope.spawn(|| here.iter().sum());
                let two = thread::Builder::new()
                    .name("two".to_owned())
                    .spawn_scoped(scope, || scope.spawn(|| there.len()).join())
                    .expect("a thread");
                let _: &thread::Thread = two.thread();
                let _: bool = two.is_finished();
                one.join().expect("no panic")
            });
            here[0] = sum;
            assert_eq!(here[0], 3);
            fn lends<'scope, 'env>(scope: &'scope thread::Scope<'scope, 'env>, text: &'env str) {
                scope.spawn(move || text.len());
            }
            thread::scope(|scope| lends(scope, &there));
        }

        pub(super) fn tcp_and_udp() {
            type End = SocketAddr;
            let _: fn(&'static str) -> io::Result<TcpListener> = TcpListener::bind;
            let _: fn(&'static [SocketAddr]) -> io::Result<TcpListener> = TcpListener::bind;
            let _: fn(&TcpListener) -> io::Result<End> = TcpListener::local_addr;
            let _: fn(&TcpListener) -> io::Result<TcpListener> = TcpListener::try_clone;
            let _: fn(&TcpListener) -> io::Result<(TcpStream, End)> = TcpListener::accept;
            let _: fn(&TcpListener) -> Incoming<'_> = TcpListener::incoming;
            let _: fn(&TcpListener, u32) -> io::Result<()> = TcpListener::set_ttl;
            let _: fn(&TcpListener) -> io::Result<u32> = TcpListener::ttl;
            let _: fn(&TcpListener) -> io::Result<Option<io::Error>> = TcpListener::take_error;
            let _: fn(&TcpListener, bool) -> io::Result<()> = TcpListener::set_nonblocking;
            fn incoming<T: Iterator<Item = io::Result<TcpStream>> + Debug>() {}
            incoming::<Incoming<'_>>();
            descriptor::<TcpListener>();

            let _: fn(&'static str) -> io::Result<TcpStream> = TcpStream::connect;
            let _: fn((&'static str, u16)) -> io::Result<TcpStream> = TcpStream::connect;
            let _: fn(&End, Duration) -> io::Result<TcpStream> = TcpStream::connect_timeout;
            let _: fn(&TcpStream) -> io::Result<End> = TcpStream::peer_addr;
            let _: fn(&TcpStream) -> io::Result<End> = TcpStream::local_addr;
            let _: fn(&TcpStream, Shutdown) -> io::Result<()> = TcpStream::shutdown;
            let _: fn(&TcpStream) -> io::Result<TcpStream> = TcpStream::try_clone;
            let _: fn(&TcpStream, Option<Duration>) -> io::Result<()> = TcpStream::set_read_timeout;
            let _: fn(&TcpStream, Option<Duration>) -> io::Result<()> =
                TcpStream::set_write_timeout;
            let _: fn(&TcpStream) -> io::Result<Option<Duration>> = TcpStream::read_timeout;
            let _: fn(&TcpStream) -> io::Result<Option<Duration>> = TcpStream::write_timeout;
            let _: fn(&TcpStream, &mut [u8]) -> io::Result<usize> = TcpStream::peek;
            let _: fn(&TcpStream, bool) -> io::Result<()> = TcpStream::set_nodelay;
            let _: fn(&TcpStream) -> io::Result<bool> = TcpStream::nodelay;
            let _: fn(&TcpStream, u32) -> io::Result<()> = TcpStream::set_ttl;
            let _: fn(&TcpStream) -> io::Result<u32> = TcpStream::ttl;
            let _: fn(&TcpStream) -> io::Result<Option<io::Error>> = TcpStream::take_error;
            let _: fn(&TcpStream, bool) -> io::Result<()> = TcpStream::set_nonblocking;
            descriptor::<TcpStream>();
            stream::<TcpStream>();

            let _: fn(&'static str) -> io::Result<UdpSocket> = UdpSocket::bind;
            let _: fn(&UdpSocket, &mut [u8]) -> io::Result<(usize, End)> = UdpSocket::recv_from;
            let _: fn(&UdpSocket, &mut [u8]) -> io::Result<(usize, End)> = UdpSocket::peek_from;
            let _: fn(&UdpSocket, &[u8], &'static str) -> io::Result<usize> = UdpSocket::send_to;
            let _: fn(&UdpSocket) -> io::Result<End> = UdpSocket::peer_addr;
            let _: fn(&UdpSocket) -> io::Result<End> = UdpSocket::local_addr;
            let _: fn(&UdpSocket) -> io::Result<UdpSocket> = UdpSocket::try_clone;
            let _: fn(&UdpSocket, Option<Duration>) -> io::Result<()> = UdpSocket::set_read_timeout;
            let _: fn(&UdpSocket, Option<Duration>) -> io::Result<()> =
                UdpSocket::set_write_timeout;
            let _: fn(&UdpSocket) -> io::Result<Option<Duration>> = UdpSocket::read_timeout;
            let _: fn(&UdpSocket) -> io::Result<Option<Duration>> = UdpSocket::write_timeout;
            let _: fn(&UdpSocket, bool) -> io::Result<()> = UdpSocket::set_broadcast;
            let _: fn(&UdpSocket) -> io::Result<bool> = UdpSocket::broadcast;
            let _: fn(&UdpSocket, bool) -> io::Result<()> = UdpSocket::set_multicast_loop_v4;
            let _: fn(&UdpSocket) -> io::Result<bool> = UdpSocket::multicast_loop_v4;
            let _: fn(&UdpSocket, u32) -> io::Result<()> = UdpSocket::set_multicast_ttl_v4;
            let _: fn(&UdpSocket) -> io::Result<u32> = UdpSocket::multicast_ttl_v4;
            let _: fn(&UdpSocket, bool) -> io::Result<()> = UdpSocket::set_multicast_loop_v6;
            let _: fn(&UdpSocket) -> io::Result<bool> = UdpSocket::multicast_loop_v6;
            let _: fn(&UdpSocket, u32) -> io::Result<()> = UdpSocket::set_ttl;
            let _: fn(&UdpSocket) -> io::Result<u32> = UdpSocket::ttl;
            let _: fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()> =
                UdpSocket::join_multicast_v4;
            let _: fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()> = UdpSocket::join_multicast_v6;
            let _: fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()> =
                UdpSocket::leave_multicast_v4;
            let _: fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()> = UdpSocket::leave_multicast_v6;
            let _: fn(&UdpSocket) -> io::Result<Option<io::Error>> = UdpSocket::take_error;
            let _: fn(&UdpSocket, &'static str) -> io::Result<()> = UdpSocket::connect;
            let _: fn(&UdpSocket, &[u8]) -> io::Result<usize> = UdpSocket::send;
            let _: fn(&UdpSocket, &mut [u8]) -> io::Result<usize> = UdpSocket::recv;
            let _: fn(&UdpSocket, &mut [u8]) -> io::Result<usize> = UdpSocket::peek;
            let _: fn(&UdpSocket, bool) -> io::Result<()> = UdpSocket::set_nonblocking;
            descriptor::<UdpSocket>();
        }

        pub(super) fn local_sockets() {
            type End = unix::SocketAddr;
            let _: fn(PathBuf) -> io::Result<UnixStream> = UnixStream::connect;
            let _: fn(&End) -> io::Result<UnixStream> = UnixStream::connect_addr;
            let _: fn() -> io::Result<(UnixStream, UnixStream)> = UnixStream::pair;
            let _: fn(&UnixStream) -> io::Result<UnixStream> = UnixStream::try_clone;
            let _: fn(&UnixStream) -> io::Result<End> = UnixStream::local_addr;
            let _: fn(&UnixStream) -> io::Result<End> = UnixStream::peer_addr;
            let _: fn(&UnixStream, Option<Duration>) -> io::Result<()> =
                UnixStream::set_read_timeout;
            let _: fn(&UnixStream, Option<Duration>) -> io::Result<()> =
                UnixStream::set_write_timeout;
            let _: fn(&UnixStream) -> io::Result<Option<Duration>> = UnixStream::read_timeout;
            let _: fn(&UnixStream) -> io::Result<Option<Duration>> = UnixStream::write_timeout;
            let _: fn(&UnixStream, bool) -> io::Result<()> = UnixStream::set_nonblocking;
            let _: fn(&UnixStream) -> io::Result<Option<io::Error>> = UnixStream::take_error;
            let _: fn(&UnixStream, Shutdown) -> io::Result<()> = UnixStream::shutdown;
            descriptor::<UnixStream>();
            stream::<UnixStream>();

            let _: fn(PathBuf) -> io::Result<UnixListener> = UnixListener::bind;
            let _: fn(&End) -> io::Result<UnixListener> = UnixListener::bind_addr;
            let _: fn(&UnixListener) -> io::Result<(UnixStream, End)> = UnixListener::accept;
            let _: fn(&UnixListener) -> io::Result<UnixListener> = UnixListener::try_clone;
            let _: fn(&UnixListener) -> io::Result<End> = UnixListener::local_addr;
            let _: fn(&UnixListener, bool) -> io::Result<()> = UnixListener::set_nonblocking;
            let _: fn(&UnixListener) -> io::Result<Option<io::Error>> = UnixListener::take_error;
            let _: fn(&UnixListener) -> unix::Incoming<'_> = UnixListener::incoming;
            fn connections<T: IntoIterator<Item = io::Result<UnixStream>>>() {}
            connections::<&UnixListener>();
            connections::<unix::Incoming<'_>>();
            shown::<unix::Incoming<'_>>();
            descriptor::<UnixListener>();

            let _: fn(PathBuf) -> io::Result<UnixDatagram> = UnixDatagram::bind;
            let _: fn(&End) -> io::Result<UnixDatagram> = UnixDatagram::bind_addr;
            let _: fn() -> io::Result<UnixDatagram> = UnixDatagram::unbound;
            let _: fn() -> io::Result<(UnixDatagram, UnixDatagram)> = UnixDatagram::pair;
            let _: fn(&UnixDatagram, PathBuf) -> io::Result<()> = UnixDatagram::connect;
            let _: fn(&UnixDatagram, &End) -> io::Result<()> = UnixDatagram::connect_addr;
            let _: fn(&UnixDatagram) -> io::Result<UnixDatagram> = UnixDatagram::try_clone;
            let _: fn(&UnixDatagram) -> io::Result<End> = UnixDatagram::local_addr;
            let _: fn(&UnixDatagram) -> io::Result<End> = UnixDatagram::peer_addr;
            let _: fn(&UnixDatagram, &mut [u8]) -> io::Result<(usize, End)> =
                UnixDatagram::recv_from;
            let _: fn(&UnixDatagram, &mut [u8]) -> io::Result<usize> = UnixDatagram::recv;
            let _: fn(&UnixDatagram, &[u8], PathBuf) -> io::Result<usize> = UnixDatagram::send_to;
            let _: fn(&UnixDatagram, &[u8], &End) -> io::Result<usize> = UnixDatagram::send_to_addr;
            let _: fn(&UnixDatagram, &[u8]) -> io::Result<usize> = UnixDatagram::send;
            let _: fn(&UnixDatagram, Option<Duration>) -> io::Result<()> =
                UnixDatagram::set_read_timeout;
            let _: fn(&UnixDatagram, Option<Duration>) -> io::Result<()> =
                UnixDatagram::set_write_timeout;
            let _: fn(&UnixDatagram) -> io::Result<Option<Duration>> = UnixDatagram::read_timeout;
            let _: fn(&UnixDatagram) -> io::Result<Option<Duration>> = UnixDatagram::write_timeout;
            let _: fn(&UnixDatagram, bool) -> io::Result<()> = UnixDatagram::set_nonblocking;
            let _: fn(&UnixDatagram) -> io::Result<Option<io::Error>> = UnixDatagram::take_error;
            let _: fn(&UnixDatagram, Shutdown) -> io::Result<()> = UnixDatagram::shutdown;
            descriptor::<UnixDatagram>();
        }

        pub(super) fn processes() {
            type Same = for<'a> fn(&'a mut Command) -> &'a mut Command;
            let _: fn(&'static str) -> Command = Command::new;
            let _: for<'a> fn(&'a mut Command, OsString) -> &'a mut Command = Command::arg;
            let _: for<'a> fn(&'a mut Command, [&'static str; 2]) -> &'a mut Command =
                Command::args;
            let _: for<'a> fn(&'a mut Command, String, String) -> &'a mut Command = Command::env;
            let _: for<'a> fn(&'a mut Command, Vec<(String, String)>) -> &'a mut Command =
                Command::envs;
            let _: for<'a> fn(&'a mut Command, String) -> &'a mut Command = Command::env_remove;
            let _: Same = Command::env_clear;
            let _: for<'a> fn(&'a mut Command, PathBuf) -> &'a mut Command = Command::current_dir;
            let _: for<'a> fn(&'a mut Command, Stdio) -> &'a mut Command = Command::stdin;
            let _: for<'a> fn(&'a mut Command, ChildStdout) -> &'a mut Command = Command::stdin;
            let _: for<'a> fn(&'a mut Command, fs::File) -> &'a mut Command = Command::stdout;
            let _: for<'a> fn(&'a mut Command, ChildStdin) -> &'a mut Command = Command::stderr;
            let _: for<'a> fn(&'a mut Command, ChildStderr) -> &'a mut Command = Command::stderr;
            let _: fn(&mut Command) -> io::Result<Child> = Command::spawn;
            let _: fn(&mut Command) -> io::Result<Output> = Command::output;
            let _: fn(&mut Command) -> io::Result<ExitStatus> = Command::status;
            let _: fn(&Command) -> &OsStr = Command::get_program;
            let _: fn(&Command) -> CommandArgs<'_> = Command::get_args;
            let _: fn(&Command) -> CommandEnvs<'_> = Command::get_envs;
            let _: fn(&Command) -> Option<&Path> = Command::get_current_dir;
            let mut command = Command::new("true");
            let _: &mut Command = command.uid(1).gid(1).arg0("it").process_group(0);
            drop::<io::Error>(command.exec());
            shown::<Command>();
            shared::<Command>();

            let _: fn(&mut Child) -> io::Result<()> = Child::kill;
            let _: fn(&Child) -> u32 = Child::id;
            let _: fn(&mut Child) -> io::Result<ExitStatus> = Child::wait;
            let _: fn(&mut Child) -> io::Result<Option<ExitStatus>> = Child::try_wait;
            let _: fn(Child) -> io::Result<Output> = Child::wait_with_output;
            let _: fn(&Child) -> &Option<ChildStdin> = |it| &it.stdin;
            let _: fn(&Child) -> &Option<ChildStdout> = |it| &it.stdout;
            let _: fn(&Child) -> &Option<ChildStderr> = |it| &it.stderr;
            shown::<Child>();
            shared::<Child>();
            fn pipe<T>()
            where
                T: AsFd + AsRawFd + IntoRawFd + Into<OwnedFd> + From<OwnedFd> + Into<Stdio>,
                T: Debug + Send + Sync,
            {
            }
            pipe::<ChildStdin>();
            pipe::<ChildStdout>();
            pipe::<ChildStderr>();
            fn reads<T: Read>() {}
            reads::<ChildStdout>();
            reads::<ChildStderr>();
            fn writes<T: Write>()
            where
                for<'a> &'a T: Write,
            {
            }
            writes::<ChildStdin>();
            let _: fn() -> u32 = process::id;
            let _: fn(i32) -> ! = process::exit;
            let _: fn() -> ! = process::abort;
            let _: ExitCode = ExitCode::SUCCESS;
        }

        pub(super) fn files() {
            let _: fn(&'static str) -> io::Result<fs::File> = fs::File::open;
            let _: fn(&'static str) -> io::Result<fs::File> = fs::File::create;
            let _: fn(&'static str) -> io::Result<fs::File> = fs::File::create_new;
            let _: fn() -> fs::OpenOptions = fs::File::options;
            let _: fn(&fs::File) -> io::Result<()> = fs::File::sync_all;
            let _: fn(&fs::File) -> io::Result<()> = fs::File::sync_data;
            let _: fn(&fs::File) -> io::Result<()> = fs::File::lock;
            let _: fn(&fs::File) -> io::Result<()> = fs::File::lock_shared;
            let _: fn(&fs::File) -> io::Result<()> = fs::File::unlock;
            let _: fn(&fs::File) -> Result<(), fs::TryLockError> = fs::File::try_lock;
            let _: fn(&fs::File) -> Result<(), fs::TryLockError> = fs::File::try_lock_shared;
            let _: fn(&fs::File, u64) -> io::Result<()> = fs::File::set_len;
            let _: fn(&fs::File) -> io::Result<fs::Metadata> = fs::File::metadata;
            let _: fn(&fs::File) -> io::Result<fs::File> = fs::File::try_clone;
            let _: fn(&fs::File, fs::Permissions) -> io::Result<()> = fs::File::set_permissions;
            let _: fn(&fs::File, fs::FileTimes) -> io::Result<()> = fs::File::set_times;
            let _: fn(&fs::File, SystemTime) -> io::Result<()> = fs::File::set_modified;
            descriptor::<fs::File>();
            stream::<fs::File>();
            fn seeks<T: Seek + std::os::unix::fs::FileExt + Into<Stdio>>()
            where
                for<'a> &'a T: Seek,
            {
            }
            seeks::<fs::File>();

            let mut options = fs::OpenOptions::new();
            let _: &mut fs::OpenOptions = options
                .read(true)
                .write(true)
                .append(false)
                .truncate(false)
                .create(true)
                .create_new(false)
                .mode(0o600)
                .custom_flags(0);
            let _: fn(&fs::OpenOptions, &'static str) -> io::Result<fs::File> =
                fs::OpenOptions::open;
            fn options_are<T: Clone + Debug>() {}
            options_are::<fs::OpenOptions>();

            let mut builder = fs::DirBuilder::new();
            let _: &mut fs::DirBuilder = builder.recursive(true).mode(0o700);
            let _: fn(&fs::DirBuilder, &'static str) -> io::Result<()> = fs::DirBuilder::create;
            shown::<fs::DirBuilder>();

            let _: fn(&'static str) -> io::Result<Vec<u8>> = fs::read;
            let _: fn(&'static str) -> io::Result<String> = fs::read_to_string;
            let _: fn(&'static str, Vec<u8>) -> io::Result<()> = fs::write;
            let _: fn(&'static str) -> io::Result<()> = fs::remove_file;
            let _: fn(&'static str) -> io::Result<fs::Metadata> = fs::metadata;
            let _: fn(&'static str) -> io::Result<fs::Metadata> = fs::symlink_metadata;
            let _: fn(&'static str, String) -> io::Result<()> = fs::rename;
            let _: fn(&'static str, String) -> io::Result<u64> = fs::copy;
            let _: fn(&'static str, String) -> io::Result<()> = fs::hard_link;
            let _: fn(&'static str) -> io::Result<PathBuf> = fs::read_link;
            let _: fn(&'static str) -> io::Result<PathBuf> = fs::canonicalize;
            let _: fn(&'static str) -> io::Result<()> = fs::create_dir;
            let _: fn(&'static str) -> io::Result<()> = fs::create_dir_all;
            let _: fn(&'static str) -> io::Result<()> = fs::remove_dir;
            let _: fn(&'static str) -> io::Result<()> = fs::remove_dir_all;
            let _: fn(&'static str) -> io::Result<fs::ReadDir> = fs::read_dir;
            let _: fn(&'static str, fs::Permissions) -> io::Result<()> = fs::set_permissions;
            let _: fn(&'static str) -> io::Result<bool> = fs::exists;
            fn entries<T: Iterator<Item = io::Result<fs::DirEntry>> + Debug>() {}
            entries::<fs::ReadDir>();
            let _: fn(&fs::DirEntry) -> PathBuf = fs::DirEntry::path;
            let _: fn(&fs::DirEntry) -> io::Result<fs::Metadata> = fs::DirEntry::metadata;
            let _: fn(&fs::DirEntry) -> io::Result<fs::FileType> = fs::DirEntry::file_type;
            let _: fn(&fs::DirEntry) -> OsString = fs::DirEntry::file_name;
            shown::<fs::DirEntry>();
        }

        pub(super) fn standard_streams() {
            let _: fn() -> streams::Stdin = streams::stdin;
            let _: fn() -> streams::Stdout = streams::stdout;
            let _: fn() -> streams::Stderr = streams::stderr;
            let _: fn(&'static streams::Stdin) -> streams::StdinLock<'static> =
                streams::Stdin::lock;
            let _: fn(&'static streams::Stdin, &mut String) -> io::Result<usize> =
                streams::Stdin::read_line;
            for line in streams::stdin().lines() {
                drop::<io::Result<String>>(line);
            }
            let _: fn(&'static streams::Stdout) -> streams::StdoutLock<'static> =
                streams::Stdout::lock;
            let _: fn(&'static streams::Stderr) -> streams::StderrLock<'static> =
                streams::Stderr::lock;
            fn input<T: Read + Debug + Send + Sync>()
            where
                for<'a> &'a T: Read,
            {
            }
            input::<streams::Stdin>();
            fn output<T: Write + Debug + Send + Sync>()
            where
                for<'a> &'a T: Write,
            {
            }
            output::<streams::Stdout>();
            output::<streams::Stderr>();
            fn locked_input<T: BufRead + Debug>() {}
            locked_input::<streams::StdinLock<'_>>();
            fn locked_output<T: Write + Debug>() {}
            locked_output::<streams::StdoutLock<'_>>();
            locked_output::<streams::StderrLock<'_>>();
            fn standard<T: AsFd + AsRawFd>() {}
            standard::<streams::Stdin>();
            standard::<streams::Stdout>();
            standard::<streams::Stderr>();
            standard::<streams::StdinLock<'_>>();
            standard::<streams::StdoutLock<'_>>();
            standard::<streams::StderrLock<'_>>();
            let _: fn(&mut &'static [u8], &mut Vec<u8>) -> io::Result<u64> = streams::copy;
        }
    };
}

macro_rules! surface {
    ($module:ident: $($uses:item)*) => {
        #[expect(
            dead_code,
            clippy::items_after_statements,
            reason = "it is compiled, and not run"
        )]
        mod $module {
            $($uses)*
            text!();
        }
    };
}

surface! { of_std:
    use std::{
        fs, io as streams,
        net::{
            Incoming, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
        },
        os::unix::{
            fs::{DirBuilderExt as _, OpenOptionsExt as _},
            net::{self as unix, UnixDatagram, UnixListener, UnixStream},
            process::CommandExt as _,
        },
        process::{
            self, Child, ChildStderr, ChildStdin, ChildStdout, Command, CommandArgs, CommandEnvs,
            ExitCode, ExitStatus, Output, Stdio,
        },
        sync::{
            Arc, Barrier, BarrierWaitResult, Condvar, LazyLock, LockResult, Mutex, MutexGuard, Once,
            OnceLock, OnceState, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
            TryLockError, TryLockResult, WaitTimeoutResult, mpsc,
        },
        thread,
    };
}

surface! { of_sward:
    use sward::{
        fs, io as streams,
        net::{
            Incoming, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
            unix::{self, UnixDatagram, UnixListener, UnixStream},
        },
        process::{
            self, Child, ChildStderr, ChildStdin, ChildStdout, Command, CommandArgs, CommandEnvs,
            ExitCode, ExitStatus, Output, Stdio,
        },
        sync::{
            Arc, Barrier, BarrierWaitResult, Condvar, LazyLock, LockResult, Mutex, MutexGuard, Once,
            OnceLock, OnceState, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
            TryLockError, TryLockResult, WaitTimeoutResult, mpsc,
        },
        thread,
    };
}
