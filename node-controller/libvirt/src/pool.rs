//! A few named threads for calls that block: libvirt's can take minutes, and its errors are kept per thread.

use mallee_node_core::HypervisorError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Threads that wait for libvirt.
const THREADS: usize = 8;
/// Jobs that may wait for a thread; more are refused, so that a hanging libvirtd does not fill memory.
const QUEUE_MAX: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when the pool is dropped and their jobs are done.
#[derive(Debug)]
pub(crate) struct Pool {
    jobs: SyncSender<Job>,
}

impl Pool {
    /// Starts the threads.
    pub(crate) fn start() -> Result<Self, HypervisorError> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..THREADS {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("libvirt-{number}"))
                .spawn(move || work(&queue))
                .map_err(|error| HypervisorError::Exhausted(format!("threads: {error}")))?;
        }
        Ok(Self { jobs })
    }

    /// Queues `job`.
    pub(crate) fn submit(&self, job: Job) -> Result<(), HypervisorError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => {
                HypervisorError::Unavailable(format!("{QUEUE_MAX} calls already wait for libvirtd"))
            }
            TrySendError::Disconnected(_) => HypervisorError::Unavailable("the driver is stopping".into()),
        })
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A panic must not cost the pool a thread; the caller sees that its answer will not come.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a libvirt call panicked; this is a bug in the driver");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_panic_costs_no_thread() {
        let pool = Pool::start().unwrap();
        for _ in 0..THREADS * 2 {
            pool.submit(Box::new(|| panic!("on purpose"))).unwrap();
        }
        let (done, wait) = channel();
        pool.submit(Box::new(move || done.send(thread::current().name().map(str::to_owned)).unwrap())).unwrap();
        assert!(wait.recv().unwrap().unwrap().starts_with("libvirt-"));
    }
}
