//! Histories of one register, and whether there is an order in which they could have happened one at a time.
#![allow(dead_code)]

use std::collections::HashSet;

/// What an operation did: values are numbers that no two writes share; `None` is "nothing there".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    Wrote(Option<u64>),
    Read(Option<u64>),
}

/// One operation, between the moments of its call and of its answer.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub called: u64,
    pub answered: u64,
    pub did: Did,
}

/// Whether the operations on one key, which was empty at first, are linearizable.
pub fn linearizable(history: &[Operation]) -> bool {
    let mut history = history.to_vec();
    history.sort_by_key(|o| o.called);
    let mut seen = HashSet::new();
    let mut open = vec![(vec![false; history.len()], None)];
    while let Some((done, value)) = open.pop() {
        if done.iter().all(|done| *done) {
            return true;
        }
        if !seen.insert((done.clone(), value)) {
            continue;
        }
        // What comes next was called before any that is left was answered.
        let left = || history.iter().enumerate().filter(|(n, _)| !done[*n]);
        let first_answer = left().map(|(_, o)| o.answered).min().unwrap_or(u64::MAX);
        for (n, operation) in left().filter(|(_, o)| o.called <= first_answer) {
            let next = match operation.did {
                Did::Wrote(new) => new,
                Did::Read(read) if read == value => value,
                Did::Read(_) => continue,
            };
            let mut done = done.clone();
            done[n] = true;
            open.push((done, next));
        }
    }
    false
}

/// The checker itself finds what it should.
pub fn self_test() {
    let op = |called, answered, did| Operation { called, answered, did };
    let (w1, w2) = (Did::Wrote(Some(1)), Did::Wrote(Some(2)));
    let read = |value| Did::Read(value);
    assert!(linearizable(&[op(0, 1, w1), op(2, 3, read(Some(1)))]));
    assert!(!linearizable(&[op(0, 1, w1), op(2, 3, read(None))]), "a read after a write sees it");
    assert!(linearizable(&[op(0, 5, w1), op(2, 3, read(None))]), "a write under way may come later");
    assert!(
        !linearizable(&[op(0, 1, w1), op(2, 9, w2), op(3, 4, read(Some(2))), op(5, 6, read(Some(1)))]),
        "no way back"
    );
    assert!(!linearizable(&[op(0, 1, w1), op(2, 3, Did::Wrote(None)), op(4, 5, read(Some(1)))]), "deleted is deleted");
}
