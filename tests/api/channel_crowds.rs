//! Channels with a crowd at them, and choices with hundreds of arms.

use crate::support::{Home, on_every_home, runtime, watched};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread as kernel,
    time::Duration,
};
use sward::channel::{Receiver, RecvError, Select, Sender, bounded, select, unbounded};

/// Closing wakes a hundred thousand, each once, while a pair that has nothing to do with them goes on.
#[test]
fn closing_wakes_a_hundred_thousand() {
    const CROWD: usize = 100_000;
    watched("closing", Duration::from_mins(3), || {
        for workers in [1, 2] {
            let it = runtime(workers);
            let (tx, rx) = bounded::<usize>(0);
            let woken = Arc::new(AtomicUsize::new(0));
            let crowd: Vec<_> = (0..CROWD)
                .map(|number| {
                    let (rx, woken) = (rx.clone(), Arc::clone(&woken));
                    it.spawn(move || {
                        // Every second one chooses.
                        let result = if number % 2 == 0 {
                            rx.recv()
                        } else {
                            select! { recv(rx) -> it => it }
                        };
                        woken.fetch_add(1, SeqCst);
                        result
                    })
                })
                .collect();
            while it.metrics().parked < CROWD as u64 {
                kernel::yield_now();
            }
            assert_eq!(woken.load(SeqCst), 0);
            let (stop, rounds) = (
                Arc::new(AtomicBool::new(false)),
                Arc::new(AtomicUsize::new(0)),
            );
            let (ping, pinged) = bounded(0);
            let (pong, ponged) = bounded(0);
            let answers =
                it.spawn(move || pinged.iter().try_for_each(|word: usize| pong.send(word)));
            let asks = it.spawn({
                let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
                move || {
                    while !stop.load(SeqCst) {
                        let round = rounds.load(SeqCst);
                        ping.send(round).expect("it answers");
                        assert_eq!(ponged.recv(), Ok(round));
                        rounds.store(round + 1, SeqCst);
                    }
                }
            });
            while rounds.load(SeqCst) == 0 {
                kernel::yield_now();
            }
            let before = rounds.load(SeqCst);
            let closed = it.run(move || tx.close());
            assert!(closed);
            while woken.load(SeqCst) < CROWD {
                kernel::yield_now();
            }
            assert!(rounds.load(SeqCst) > before, "the pair stood still");
            for one in crowd {
                assert_eq!(one.join().expect("no panic"), Err(RecvError));
            }
            assert_eq!(woken.load(SeqCst), CROWD);
            stop.store(true, SeqCst);
            asks.join().expect("no panic");
            answers.join().expect("no panic").expect("it listened");
        }
    });
}

/// Thousands choose between messages of their own and one channel that they share, whose closing ends all.
#[test]
fn a_crowd_shares_the_channel_that_ends_it() {
    on_every_home(|home| {
        const EACH: usize = 5;
        let crowd = match home {
            Home::Threads => 100,
            Home::Green(_) => 10_000,
            Home::Simulated => 300,
        };
        let (finish, done) = bounded::<()>(0);
        let taken = Arc::new(AtomicUsize::new(0));
        let (senders, threads): (Vec<_>, Vec<_>) = (0..crowd)
            .map(|number| {
                let (tx, rx) = unbounded();
                let (done, taken) = (done.clone(), Arc::clone(&taken));
                let thread = home.spawn(move || {
                    let mut next = 0;
                    loop {
                        select! {
                            recv(rx) -> it => {
                                assert_eq!(it, Ok((number, next)));
                                next += 1;
                                taken.fetch_add(1, SeqCst);
                            }
                            recv(done) -> it => {
                                assert_eq!(it, Err(RecvError));
                                return (next, rx.try_iter().count());
                            }
                        }
                    }
                });
                (tx, thread)
            })
            .unzip();
        for turn in 0..EACH {
            for (number, tx) in senders.iter().enumerate() {
                tx.send((number, turn)).expect("it listens");
            }
        }
        while taken.load(SeqCst) < crowd * EACH {
            home.yield_now();
        }
        // One more each, which those may take that are not told of the end before.
        for (number, tx) in senders.iter().enumerate() {
            tx.send((number, EACH)).expect("it listens");
        }
        finish.close();
        for thread in threads {
            let (took, left) = thread.join().expect("no panic");
            assert_eq!(took + left, EACH + 1);
        }
    });
}

/// A choice of that many arms, as one would write it.
macro_rules! choose {
    ($channels:ident: $($number:literal)*) => {
        select! { $(recv($channels[$number].1) -> it => ($number, it),)* }
    };
}

/// With the macro and without: the one that is ready is chosen, wherever it stands; of all, each may be.
#[test]
fn two_hundred_and_fifty_six_arms() {
    on_every_home(|home| {
        let channels: Arc<Vec<_>> = Arc::new((0..256).map(|_| unbounded::<usize>()).collect());
        let choose = |channels: &Arc<Vec<(Sender<usize>, Receiver<usize>)>>| {
            choose!(channels:
                0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
                33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62
                63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92
                93 94 95 96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116
                117 118 119 120 121 122 123 124 125 126 127 128 129 130 131 132 133 134 135 136 137 138
                139 140 141 142 143 144 145 146 147 148 149 150 151 152 153 154 155 156 157 158 159 160
                161 162 163 164 165 166 167 168 169 170 171 172 173 174 175 176 177 178 179 180 181 182
                183 184 185 186 187 188 189 190 191 192 193 194 195 196 197 198 199 200 201 202 203 204
                205 206 207 208 209 210 211 212 213 214 215 216 217 218 219 220 221 222 223 224 225 226
                227 228 229 230 231 232 233 234 235 236 237 238 239 240 241 242 243 244 245 246 247 248
                249 250 251 252 253 254 255
            )
        };
        for number in [0, 1, 7, 8, 100, 254, 255] {
            channels[number].0.send(number).expect("open");
            assert_eq!(choose(&channels), (number, Ok(number)));
            // One that waits is found in each of its lines, and leaves them all.
            let waits = home.spawn({
                let channels = Arc::clone(&channels);
                move || choose(&channels)
            });
            home.yield_now();
            channels[number].0.send(number).expect("open");
            assert_eq!(waits.join().expect("no panic"), (number, Ok(number)));
            let mut select = Select::new();
            for (_, rx) in channels.iter() {
                select.recv(rx);
            }
            assert!(select.try_select().is_err(), "something was left");
        }
        for (number, (tx, _)) in channels.iter().enumerate() {
            tx.send(number).expect("open");
        }
        let mut seen: Vec<_> = (0..256).map(|_| choose(&channels)).collect();
        assert!(
            seen.windows(2).any(|it| it[0].0 > it[1].0),
            "there was no draw"
        );
        seen.sort_unstable_by_key(|it| it.0);
        assert!(
            seen.iter()
                .enumerate()
                .all(|(number, it)| *it == (number, Ok(number)))
        );
    });
}
