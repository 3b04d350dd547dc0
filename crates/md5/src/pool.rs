//! One thread hashes for all uploads: what queues up while it is busy is what it then takes side by side.

use super::lanes::{LANES, Load, State, work};
use bytes::Bytes;
use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

struct Job {
    load: Load,
    reply: oneshot::Sender<State>,
}

/// Steps that wait: no more than one of each upload under way.
static WAITING: Mutex<VecDeque<Job>> = Mutex::new(VecDeque::new());
static MORE: Condvar = Condvar::new();
/// Whether there is a thread. (Of no runtime: those end one by one, in tests.)
static THREAD: LazyLock<bool> = LazyLock::new(|| std::thread::Builder::new().name("md5".to_owned()).spawn(run).is_ok());

fn waiting() -> MutexGuard<'static, VecDeque<Job>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a submitted step will give.
#[derive(Debug)]
pub(crate) struct Ticket(oneshot::Receiver<State>);

impl Ticket {
    /// The state; `None` if nobody computes it.
    pub(crate) async fn state(self) -> Option<State> {
        self.0.await.ok()
    }
}

/// Hands a step over.
pub(crate) fn submit(state: State, data: Vec<Bytes>) -> Ticket {
    let (reply, receive) = oneshot::channel();
    if *THREAD {
        waiting().push_back(Job { load: Load::new(state, data), reply });
        MORE.notify_one();
    }
    Ticket(receive)
}

/// Hashes what comes, for ever. Should it break down, those whose steps are under way hear of it, and it begins anew.
fn run() {
    while catch_unwind(hash).is_err() {}
}

fn hash() {
    let (mut loads, mut replies): (Vec<Load>, Vec<oneshot::Sender<State>>) = (Vec::new(), Vec::new());
    loop {
        let mut waiting = waiting();
        while loads.is_empty() && waiting.is_empty() {
            waiting = MORE.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        while loads.len() < LANES
            && let Some(job) = waiting.pop_front()
        {
            loads.push(job.load);
            replies.push(job.reply);
        }
        drop(waiting);
        let mut at = 0;
        while let Some(load) = loads.get_mut(at) {
            if load.ready() {
                at += 1;
                continue;
            }
            let (load, reply) = (loads.swap_remove(at), replies.swap_remove(at));
            // Who asked may be gone.
            drop(reply.send(load.state));
        }
        work(&mut loads);
    }
}
