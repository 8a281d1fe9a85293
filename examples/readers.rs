//! A dictionary that many look words up in, and few change: readers together, writers alone.
//!
//! Shows `RwLock`. The readers check that the dictionary is whole whenever they see it: each edition has
//! the words of all editions before, and its number as the meaning of every word. A writer that waits
//! keeps new readers out, so it comes to its turn however many they are.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example readers
//! ```
//!
//! How many look-ups there were goes to stderr. It prints:
//!
//! ```text
//! 100 editions, read by 50 readers: none was ever half done
//! ```

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use sward::sync::{PoisonError, RwLock};

const READERS: usize = 50;
const WRITERS: usize = 2;
const EDITIONS: usize = 100;

/// A word's meaning is the edition that it was last checked for.
#[derive(Default)]
struct Dictionary {
    edition: usize,
    words: HashMap<String, usize>,
}

fn main() {
    sward::run(|| {
        let dictionary = RwLock::new(Dictionary::default());
        let (lookups, torn) = (AtomicUsize::new(0), AtomicUsize::new(0));
        sward::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| while publish(&dictionary) {});
            }
            for _ in 0..READERS {
                scope.spawn(|| {
                    loop {
                        let book = dictionary.read().unwrap_or_else(PoisonError::into_inner);
                        let is_whole = book.words.len() == book.edition
                            && book.words.values().all(|it| *it == book.edition);
                        let is_last = book.edition == EDITIONS;
                        // Readers may well wait with it in hand: others read on.
                        sward::yield_now();
                        drop(book);
                        lookups.fetch_add(1, Relaxed);
                        torn.fetch_add(usize::from(!is_whole), Relaxed);
                        if is_last {
                            break;
                        }
                    }
                });
            }
        });
        eprintln!("{} look-ups", lookups.into_inner());
        let torn = match torn.into_inner() {
            0 => "none was ever half done".to_owned(),
            count => format!("{count} times one was half done"),
        };
        println!("{EDITIONS} editions, read by {READERS} readers: {torn}");
    });
}

/// Adds a word, and checks all the others for the new edition; `false` if the last is out.
fn publish(dictionary: &RwLock<Dictionary>) -> bool {
    let mut book = dictionary.write().unwrap_or_else(PoisonError::into_inner);
    if book.edition == EDITIONS {
        return false;
    }
    book.edition += 1;
    let edition = book.edition;
    book.words.insert(format!("word {edition}"), 0);
    for meaning in book.words.values_mut() {
        *meaning = edition;
        // Half done; but nobody can look.
        sward::yield_now();
    }
    true
}
