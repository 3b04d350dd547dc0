//! Many cases on a few clouds: each worker has a cloud of its own and takes the next case. Failed steps wait before they
//! are tried again, and meanwhile other workers use the processor.

use futures::future::join_all;
use mallee_tests::{Setup, TestCloud};
use std::cell::RefCell;
use std::collections::VecDeque;

/// Clouds at work at once.
const WORKERS: usize = 8;

/// Runs `case` for each of `cases`, on clouds that are empty before and after.
pub async fn each<T: std::fmt::Debug>(cases: impl IntoIterator<Item = T>, case: impl AsyncFn(&mut TestCloud, &T)) {
    each_on(|seed| Setup { seed, ..Setup::default() }, cases, case).await;
}

/// As [`each`], on clouds of this kind.
pub async fn each_on<T: std::fmt::Debug>(
    setup: impl Fn(u64) -> Setup,
    cases: impl IntoIterator<Item = T>,
    case: impl AsyncFn(&mut TestCloud, &T),
) {
    let cases: RefCell<VecDeque<T>> = RefCell::new(cases.into_iter().collect());
    assert!(!cases.borrow().is_empty(), "there is something to try");
    let workers = (0..WORKERS).map(async |worker| {
        let mut cloud: Option<TestCloud> = None;
        loop {
            let Some(next) = cases.borrow_mut().pop_front() else { break };
            let cloud = match &mut cloud {
                Some(cloud) => cloud,
                none => none.insert(TestCloud::with(setup(worker as u64)).await),
            };
            // Shown by the test runner when the case fails: the last one begun is not always the one that failed, so the
            // panic names its own faults too.
            println!("worker {worker}: {next:?}");
            case(cloud, &next).await;
        }
    });
    join_all(workers).await;
}
