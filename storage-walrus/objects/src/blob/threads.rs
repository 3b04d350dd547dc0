//! Threads for work on files, which may wait for the disk. The runtime's own pool begins a thread whenever work comes
//! before the thread of the work before it has gone idle, on a busy machine nearly always: that makes hundreds, each with
//! memory of its own.

use crate::error::Error;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Threads at most. More would not make a disk faster.
pub(super) const THREADS_MAX: usize = 32;

type Work = Box<dyn FnOnce() + Send>;

struct Pool {
    waiting: VecDeque<Work>,
    threads: usize,
    /// Those of them that have nothing to do.
    idle: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { waiting: VecDeque::new(), threads: 0, idle: 0 });
static MORE: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a work will give.
#[derive(Debug)]
pub(super) struct Pending<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Pending<T> {
    /// Its result; a panic reads as an I/O error.
    pub(super) async fn done(self) -> Result<T, Error> {
        self.0.await.unwrap_or_else(|e| Err(Error::io("blocking file work", std::io::Error::other(e))))
    }
}

/// Has work done, in the runtime of the caller. It is done also when nobody waits for it any more.
pub(super) fn start<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Pending<T> {
    let (tell, told) = oneshot::channel();
    let runtime = Handle::current();
    let work: Work = Box::new(move || {
        let _within = runtime.enter();
        drop(tell.send(work()));
    });
    let mut pool = pool();
    pool.waiting.push_back(work);
    if pool.idle < pool.waiting.len() && pool.threads < THREADS_MAX {
        let thread = std::thread::Builder::new().name("files".to_owned()).spawn(run);
        match thread {
            Ok(_) => pool.threads += 1,
            // Those that there are do it in time.
            Err(_) if pool.threads > 0 => {}
            Err(error) => {
                pool.waiting.clear();
                tracing::error!(%error, "no thread to work on files");
            }
        }
    }
    drop(pool);
    MORE.notify_one();
    Pending(told)
}

/// Works, for ever.
fn run() {
    let mut pool = pool();
    loop {
        match pool.waiting.pop_front() {
            Some(work) => {
                drop(pool);
                // Whoever waits for it is told by its end; the panic itself is in the log.
                drop(catch_unwind(AssertUnwindSafe(work)));
                pool = self::pool();
            }
            None => {
                pool.idle += 1;
                pool = MORE.wait(pool).unwrap_or_else(PoisonError::into_inner);
                pool.idle -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn all_is_done_by_few_threads() {
        let done = Arc::new(AtomicUsize::new(0));
        let all: Vec<_> = (0..1000)
            .map(|n| {
                let done = Arc::clone(&done);
                start(move || {
                    assert!(n != 500, "one breaks down");
                    done.fetch_add(1, Ordering::Relaxed);
                    Ok(n)
                })
            })
            .collect();
        for (n, pending) in all.into_iter().enumerate() {
            assert_eq!(pending.done().await.ok(), (n != 500).then_some(n));
        }
        assert_eq!(done.load(Ordering::Relaxed), 999);
        assert!(pool().threads <= THREADS_MAX);
    }
}
