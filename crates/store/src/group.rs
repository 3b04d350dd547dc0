//! Grouped commits. SQLite has one writer, and each of its commits waits for the disk. Works that come while one commit
//! waits are done together in the next transaction, each behind a savepoint, so that one that fails takes nothing of
//! the others with it; then they wait for the disk once. Nobody waits for company: a work that comes alone is done
//! alone. PostgreSQL groups commits by itself: there each work has a transaction of its own.

use crate::StoreError;
use crate::dialect::{SQLITE_NEXT_SAVEPOINT, SQLITE_ROLLBACK_TO, SQLITE_SAVEPOINT};
use crate::exec::{Exec, Text};
use crate::store::Store;
use crate::tx::Tx;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Works in one transaction at most, so that the first of them does not wait long for the last.
const GROUP_MAX: usize = 64;

/// Tells whoever waits for a work how its transaction ended.
type Tell = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// A work: whether its writes are to stay, and whom to tell.
type Work = Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, (bool, Tell)> + Send>;

/// Works that wait for their turn.
#[derive(Default)]
pub(crate) struct Group(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    works: VecDeque<Work>,
    /// A task does them.
    driven: bool,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl Group {
    /// Adds a work; true if whoever added it must see that they are done.
    fn push(&self, work: Work) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.works.push_back(work);
        !std::mem::replace(&mut waiting.driven, true)
    }

    /// What waits now; none: whoever adds the next one must see to it.
    fn take(&self) -> VecDeque<Work> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.works.len().min(GROUP_MAX);
        waiting.driven = count > 0;
        waiting.works.drain(..count).collect()
    }
}

impl Store {
    /// Does a work in a transaction, perhaps together with others, and makes it durable. On an error nothing of it is
    /// written. The work asks nothing but this transaction. Once begun it ends even if the caller goes away, and before
    /// any transaction that begins later; if the caller goes before, it is not done at all.
    ///
    /// # Errors
    /// The work's own. [`StoreError::Unavailable`] when the outcome is not known, [`StoreError::Undone`] when it is known
    /// that nothing was written.
    pub async fn write_grouped<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        if self.is_shared() {
            let mut tx = self.write().await?;
            let value = work(&mut tx).await?;
            tx.commit().await?;
            return Ok(value);
        }
        let (tell, told) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let work: Work = Box::new(move |tx| {
            begins.store(true, Ordering::SeqCst);
            Box::pin(async move {
                if tell.is_closed() {
                    return (false, Box::new(|_| ()) as Tell);
                }
                let result = work(tx).await;
                let stays = result.is_ok();
                // A refusal, too, stands on what the works before it wrote: it holds only if that is committed.
                let told = move |end: Result<(), StoreError>| drop(tell.send(end.map_err(E::from).and(result)));
                (stays, Box::new(told) as Tell)
            })
        });
        if self.group().push(work) {
            let (driver, runtime) = (Driver { store: self.clone(), done: false }, tokio::runtime::Handle::current());
            // On a thread of its own, which sleeps while SQLite's works and the other way round: as a task it would be
            // woken by way of the workers of the runtime, each of which wakes another to look for more.
            drop(tokio::task::spawn_blocking(move || driver.run(&runtime)));
        }
        let lost = || match begun.load(Ordering::SeqCst) {
            true => StoreError::Unavailable("a work in a transaction broke down".into()),
            false => StoreError::Undone("the transaction did not begin".into()),
        };
        told.await.unwrap_or_else(|_| Err(lost().into()))
    }
}

/// Whoever sees to the works that wait. Where the runtime ends before they are done they are dropped: they may hold the very
/// store that holds them, and its database would stay in use for ever.
struct Driver {
    store: Store,
    done: bool,
}

impl Driver {
    fn run(mut self, runtime: &tokio::runtime::Handle) {
        runtime.block_on(drive(&self.store));
        self.done = true;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        while !self.done {
            self.done = self.store.group().take().is_empty();
        }
    }
}

/// Does all works that come, until none is left.
async fn drive(store: &Store) {
    loop {
        let mut works = store.group().take();
        if works.is_empty() {
            return;
        }
        while !works.is_empty() {
            // Those that were not told yet hear of it as their works are dropped.
            match AssertUnwindSafe(transaction(store, &mut works)).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, works = works.len(), "a grouped transaction did not begin");
                    works.clear();
                }
                Err(_) => {
                    tracing::error!(works = works.len(), "a grouped transaction broke down");
                    works.clear();
                }
            }
        }
    }
}

/// One transaction. What is left in `works` was not begun: it goes into the next one.
async fn transaction(store: &Store, works: &mut VecDeque<Work>) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    let (mut told, alone) = (Vec::new(), works.len() == 1);
    while let Some(work) = works.pop_front() {
        let done = if alone { single(&mut tx, work).await } else { one_of_many(&mut tx, work, told.is_empty()).await };
        match done {
            Ok(tell) => told.extend(tell),
            Err(error) => {
                // SQLite has ended the whole transaction: nothing of it was written, whoever's it was.
                drop(tx);
                return tell_all(told, Err(error));
            }
        }
    }
    let end = if told.is_empty() { tx.rollback().await } else { tx.commit_here().await };
    tell_all(told, end)
}

#[allow(clippy::unnecessary_wraps, reason = "the end of a transaction that began")]
fn tell_all(told: Vec<Tell>, end: Result<(), StoreError>) -> Result<(), StoreError> {
    for tell in told {
        tell(end.as_ref().copied().map_err(same));
    }
    Ok(())
}

/// The error once more, for another caller.
fn same(error: &StoreError) -> StoreError {
    let text = || error.to_string().into();
    match error {
        StoreError::Full(_) => StoreError::Full(text()),
        StoreError::Unavailable(_) => StoreError::Unavailable(text()),
        StoreError::Undone(_) => StoreError::Undone(text()),
        _ => StoreError::Database(text()),
    }
}

/// Runs a work; one that breaks down is one that failed.
async fn run(tx: &mut Tx, work: Work) -> (bool, Option<Tell>) {
    match AssertUnwindSafe(async { work(tx).await }).catch_unwind().await {
        Ok((stays, tell)) => (stays, Some(tell)),
        Err(_) => (false, None),
    }
}

/// A work that has the transaction for itself: without anything that stays there is nothing to commit.
async fn single(tx: &mut Tx, work: Work) -> Result<Option<Tell>, StoreError> {
    let (stays, tell) = run(tx, work).await;
    if stays {
        return Ok(tell);
    }
    if let Some(tell) = tell {
        tell(Ok(()));
    }
    Ok(None)
}

async fn one_of_many(tx: &mut Tx, work: Work, first: bool) -> Result<Option<Tell>, StoreError> {
    let noted = tx.pending.len();
    Exec::Tx(tx).run(if first { SQLITE_SAVEPOINT } else { SQLITE_NEXT_SAVEPOINT }, vec![]).await?;
    let (stays, tell) = run(tx, work).await;
    // What it left for later belongs behind its own savepoint.
    let written = if stays { tx.run_later().await } else { Ok(()) };
    if stays && written.is_ok() {
        return Ok(tell);
    }
    tx.forget_since(noted);
    let undone = Exec::Tx(tx).run_now(Text::Constant(SQLITE_ROLLBACK_TO), vec![]).await;
    match (written, tell) {
        (Err(error), Some(tell)) => {
            tell(Err(error));
            undone.map(|_| None)
        }
        (_, tell) => undone.map(|_| tell),
    }
}
