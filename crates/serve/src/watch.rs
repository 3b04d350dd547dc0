//! What a connection does: one that asks for nothing, or lets replies wait, is ended, so that nobody holds one of those
//! that there are. HTTP/1.1 is looked after by its own timers and by the pace of its socket; of HTTP/2 the socket tells
//! nothing, for each stream has a window of its own.

use crate::PACE_BYTES;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// From the connection to the end of the first request's head.
    pub(crate) head: Duration,
    /// Without any request, on HTTP/2.
    pub(crate) idle: Duration,
    /// To take [`PACE_BYTES`] of a reply on HTTP/2.
    pub(crate) pace: Duration,
}

/// Most bytes given to a stream at once: more than its window lets through waits in memory.
const STREAM_BYTES: usize = 16 * 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far the client is with a reply.
#[derive(Debug)]
struct Taking {
    /// It is the client's turn: what there is of the reply waits for it.
    waits: bool,
    since: Instant,
    taken: u64,
}

#[derive(Debug)]
struct Streams {
    open: Vec<Weak<Mutex<Taking>>>,
    /// When there was a request last.
    last: Instant,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Watch {
    asked: AtomicBool,
    /// Of HTTP/2.
    streams: Mutex<Option<Streams>>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { asked: AtomicBool::new(false), streams: Mutex::default() }
    }

    /// A request has come.
    pub(crate) fn asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// A request has come on a stream; to be kept until its reply is given.
    pub(crate) fn stream(&self) -> Stream {
        let now = Instant::now();
        // It is the server's turn.
        let taking = Arc::new(Mutex::new(Taking { waits: false, since: now, taken: 0 }));
        let mut streams = lock(&self.streams);
        let streams = streams.get_or_insert_with(|| Streams { open: Vec::new(), last: now });
        streams.last = now;
        streams.open.retain(|open| open.strong_count() > 0);
        streams.open.push(Arc::downgrade(&taking));
        Stream(taking)
    }

    /// Ends when the connection should.
    pub(crate) async fn over(&self, times: Times) -> &'static str {
        tokio::time::sleep(times.head).await;
        if !self.asked.load(Ordering::Relaxed) {
            return "no request has come";
        }
        if lock(&self.streams).is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(times.idle.min(times.pace) / 4).await;
            if let Some(why) = self.late(times) {
                return why;
            }
        }
    }

    fn late(&self, times: Times) -> Option<&'static str> {
        let now = Instant::now();
        let mut streams = lock(&self.streams);
        let streams = streams.as_mut()?;
        let mut late = false;
        streams.open.retain(|open| {
            let Some(taking) = open.upgrade() else { return false };
            let mut taking = lock(&taking);
            if taking.waits && now.duration_since(taking.since) >= times.pace {
                late |= taking.taken < PACE_BYTES;
                (taking.since, taking.taken) = (now, 0);
            }
            true
        });
        if !streams.open.is_empty() {
            streams.last = now;
        }
        match late {
            true => Some("a reply is not taken"),
            false => (now.duration_since(streams.last) >= times.idle).then_some("it is idle"),
        }
    }
}

/// A request of HTTP/2 under way.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Mutex<Taking>>);

impl Stream {
    /// The reply's body, watched.
    pub(crate) fn reply(self, inner: axum::body::Body) -> Watched {
        let mut taking = lock(&self.0);
        (taking.waits, taking.since) = (true, Instant::now());
        drop(taking);
        Watched { inner, rest: Bytes::new(), stream: self }
    }
}

/// The body of a reply on HTTP/2.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: axum::body::Body,
    /// What the inner one gave and the stream did not get yet.
    rest: Bytes,
    stream: Stream,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let polled = Pin::new(&mut self.inner).poll_frame(cx);
            let mut taking = lock(&self.stream.0);
            // Whoever asks for more has taken what it got.
            if !taking.waits {
                (taking.since, taking.taken) = (Instant::now(), 0);
            }
            taking.waits = polled.is_ready();
            drop(taking);
            match polled {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return other,
            }
        }
        let len = self.rest.len().min(STREAM_BYTES);
        let data = self.rest.split_to(len);
        lock(&self.stream.0).taken += len as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
