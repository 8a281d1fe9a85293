//! Players around a table, who move in turn and wait for the dealer between rounds.
//!
//! Shows a condition variable: the state of the game is behind one mutex, each player waits until that
//! state says what it waits for, and whoever changes it tells all. The condition is looked at again after
//! each wake-up, by `wait_while`, so nobody moves because another was meant.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example game
//! ```
//!
//! The rule: who moves takes one to three stones, and who takes the last has lost. The dice are seeded, so
//! it prints the same each time:
//!
//! ```text
//! round 1: Ada 1, Ben 3, Cleo 1, Dan 2, Ada 3, Ben 1, Cleo 1, Dan 3
//! round 1: Dan took the last of 15 stones
//! round 2: Ada 1, Ben 1, Cleo 1, Ada 3, Ben 2, Cleo 1, Ada 3, Ben 3
//! round 2: Ben took the last of 15 stones
//! round 3: Cleo 1, Ada 3, Cleo 2, Ada 3, Cleo 2, Ada 3, Cleo 1
//! round 3: Cleo took the last of 15 stones
//! Ada has won
//! ```

use sward::sync::{Condvar, Mutex, MutexGuard, PoisonError};

const PLAYERS: [&str; 4] = ["Ada", "Ben", "Cleo", "Dan"];
const STONES: u64 = 15;

struct Game {
    round: usize,
    stones: u64,
    /// Who is still in, in the order around the table; the first is to move.
    players: Vec<usize>,
    moves: Vec<String>,
    phase: Phase,
    dice: u64,
}

#[derive(PartialEq)]
enum Phase {
    Dealing,
    Playing,
    Over,
}

/// The table: the game, and the bell that rings when it has changed.
struct Table {
    game: Mutex<Game>,
    changed: Condvar,
}

fn main() {
    sward::run(|| {
        let table = Table {
            game: Mutex::new(Game {
                round: 0,
                stones: 0,
                players: (0..PLAYERS.len()).collect(),
                moves: Vec::new(),
                phase: Phase::Dealing,
                dice: 2024,
            }),
            changed: Condvar::new(),
        };
        sward::scope(|scope| {
            for player in 0..PLAYERS.len() {
                let table = &table;
                scope.spawn(move || table.play(player));
            }
            table.deal();
        });
    });
}

impl Table {
    /// Waits until `is_ready`, with the game in hand afterwards.
    fn when(&self, is_ready: impl Fn(&Game) -> bool) -> MutexGuard<'_, Game> {
        let game = self.game.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed
            .wait_while(game, |it| !is_ready(it))
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The dealer: lays out stones for each round, and says who has lost it.
    fn deal(&self) {
        loop {
            let mut game = self.when(|it| it.phase == Phase::Dealing);
            if game.round > 0 {
                // Who moved last stands last, and is out.
                let loser = game.players.pop().map_or("nobody", |it| PLAYERS[it]);
                let (round, moves) = (game.round, game.moves.join(", "));
                println!("round {round}: {moves}");
                println!("round {round}: {loser} took the last of {STONES} stones");
                game.moves.clear();
            }
            game.phase = if game.players.len() > 1 {
                Phase::Playing
            } else {
                Phase::Over
            };
            game.round += 1;
            game.stones = STONES;
            self.changed.notify_all();
            if game.phase == Phase::Over {
                if let Some(winner) = game.players.first() {
                    println!("{} has won", PLAYERS[*winner]);
                }
                return;
            }
        }
    }

    /// A player: moves when it is its turn, until it is out or the game is over.
    fn play(&self, player: usize) {
        loop {
            let mut game = self.when(|it| {
                let is_out = !it.players.contains(&player);
                let moves = it.phase == Phase::Playing && it.players.first() == Some(&player);
                is_out || moves || it.phase == Phase::Over
            });
            if game.phase == Phase::Over || !game.players.contains(&player) {
                return;
            }
            game.dice = game
                .dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let taken = ((game.dice >> 33) % 3 + 1).min(game.stones);
            game.stones -= taken;
            game.moves.push(format!("{} {taken}", PLAYERS[player]));
            game.players.rotate_left(1);
            if game.stones == 0 {
                game.phase = Phase::Dealing;
            }
            self.changed.notify_all();
        }
    }
}
