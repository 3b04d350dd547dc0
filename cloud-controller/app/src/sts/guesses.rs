//! How often a caller may be wrong about its second factor: six digits are soon guessed by whoever may ask as often as it
//! likes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Codes that a caller may try in a window before one of them was right.
const TRIES_MAX: u32 = 10;
/// The window, in milliseconds.
const WINDOW_MS: i64 = 10 * 60_000;
/// Callers that are remembered; only those who own a device come in.
const CALLERS_MAX: usize = 65_536;

/// The tries of one caller.
#[derive(Debug, Clone, Copy)]
struct Tries {
    count: u32,
    since_ms: i64,
}

/// The tries of all callers. (Each replica has its own; a restart forgets them.)
#[derive(Debug, Default)]
pub(crate) struct Guesses(Mutex<HashMap<String, Tries>>);

impl Guesses {
    /// Counts a try, before it is known whether it is right: many at once count as many. False when there were too many.
    pub(crate) fn take(&self, caller: &str, now_ms: i64) -> bool {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= CALLERS_MAX {
            callers.retain(|_, tries| now_ms - tries.since_ms < WINDOW_MS);
        }
        if callers.len() >= CALLERS_MAX && !callers.contains_key(caller) {
            return false;
        }
        let tries = callers.entry(caller.to_owned()).or_insert(Tries { count: 0, since_ms: now_ms });
        if now_ms - tries.since_ms >= WINDOW_MS {
            *tries = Tries { count: 0, since_ms: now_ms };
        }
        tries.count += 1;
        tries.count <= TRIES_MAX
    }

    /// The caller was right.
    pub(crate) fn forget(&self, caller: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_has_to_wait_and_nobody_else() {
        let guesses = Guesses::default();
        assert!((0..TRIES_MAX).all(|_| guesses.take("ann", 0)));
        assert!(!guesses.take("ann", WINDOW_MS - 1) && guesses.take("bob", 0));
        assert!(guesses.take("ann", WINDOW_MS));
        for _ in 0..100 {
            assert!(guesses.take("eve", 0));
            guesses.forget("eve");
        }
    }
}
