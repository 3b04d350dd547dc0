//! How long another object store is waited for: to take more of a body, and to answer. However long a request takes on a
//! slow way, it goes on while something moves; a store that is silent is left soon.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// With a connection.
    pub(super) connect: Duration,
    /// With more being taken of a body, and with the body of an answer to anything but a POST.
    pub(super) step: Duration,
    /// With the answer to a request that has a small body, or none.
    pub(super) answer: Duration,
    /// With that to a long body: the end of it may be under way still, and is then to reach a disk.
    pub(super) after_stream: Duration,
    /// With that to a POST, and as long with its body: the end of an upload of many parts takes its time.
    pub(super) post: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(30),
            step: seconds(30),
            answer: seconds(30),
            after_stream: seconds(120),
            post: seconds(300),
        }
    }
}

/// Who is waited for.
#[derive(Debug, Clone, Copy)]
enum Waits {
    /// The store, to take more.
    ToBeTaken,
    /// Whoever reads the body here.
    ToBeRead,
    /// The store, to answer.
    ForAnswer,
}

/// A body that tells who is waited for.
struct Watched {
    body: UnsyncBoxBody<Bytes, io::Error>,
    waits: watch::Sender<Waits>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.waits.send_replace(match &frame {
            Poll::Pending => Waits::ToBeRead,
            Poll::Ready(Some(Ok(_))) => Waits::ToBeTaken,
            Poll::Ready(None | Some(Err(_))) => Waits::ForAnswer,
        });
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    /// Nobody asks for the end of a body whose length is known.
    fn drop(&mut self) {
        self.waits.send_replace(Waits::ForAnswer);
    }
}

/// What is seen of a request that is being sent.
pub(super) struct Watch(watch::Receiver<Waits>);

/// The same body, watched.
pub(super) fn watched(body: UnsyncBoxBody<Bytes, io::Error>) -> (UnsyncBoxBody<Bytes, io::Error>, Watch) {
    let (waits, watch) = watch::channel(Waits::ToBeTaken);
    (UnsyncBoxBody::new(Watched { body, waits }), Watch(watch))
}

impl Watch {
    /// Ends when the store has been silent for too long; how long that was. `step`: patience with more being taken,
    /// `answer`: with the answer.
    pub(super) async fn silence(mut self, step: Duration, answer: Duration) -> Duration {
        loop {
            let most = match *self.0.borrow_and_update() {
                Waits::ToBeTaken => Some(step),
                Waits::ToBeRead => None,
                Waits::ForAnswer => Some(answer),
            };
            let change = async {
                if self.0.changed().await.is_err() {
                    // The body is gone: nothing changes but by the answer.
                    std::future::pending::<()>().await;
                }
            };
            match most {
                None => change.await,
                Some(most) => {
                    if tokio::time::timeout(most, change).await.is_err() {
                        return most;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::StreamExt as _;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::time::Instant;

    fn of(chunks: usize, each: Duration) -> UnsyncBoxBody<Bytes, io::Error> {
        let chunks = futures::stream::iter(0..chunks).then(move |_| async move {
            tokio::time::sleep(each).await;
            Ok(Frame::data(Bytes::from_static(b"x")))
        });
        StreamBody::new(chunks).boxed_unsync()
    }

    const STEP: Duration = Duration::from_secs(30);
    const ANSWER: Duration = Duration::from_secs(100);

    #[tokio::test(start_paused = true)]
    async fn who_reads_the_body_here_is_not_the_store() {
        let (mut body, watch) = watched(of(3, 10 * STEP));
        let silence = tokio::spawn(watch.silence(STEP, ANSWER));
        for _ in 0..3 {
            body.frame().await.unwrap().unwrap();
        }
        assert!(!silence.is_finished());
        assert!(body.frame().await.is_none());
        let since = Instant::now();
        assert_eq!(silence.await.unwrap(), ANSWER);
        assert_eq!(since.elapsed(), ANSWER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_store_takes_as_long_as_it_likes_and_a_silent_one_does_not() {
        let (mut body, watch) = watched(of(2000, Duration::ZERO));
        let silence = tokio::spawn(watch.silence(STEP, ANSWER));
        for _ in 0..1000 {
            tokio::time::sleep(STEP - Duration::from_secs(1)).await;
            body.frame().await.unwrap().unwrap();
        }
        assert!(!silence.is_finished());
        let since = Instant::now();
        assert_eq!(silence.await.unwrap(), STEP);
        assert_eq!(since.elapsed(), STEP);
        drop(body);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_was_sent_is_waited_for_no_more() {
        let (body, watch) = watched(of(1, Duration::ZERO));
        drop(body);
        assert_eq!(watch.silence(STEP, ANSWER).await, ANSWER);
    }
}
