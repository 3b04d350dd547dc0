//! A socket whose reader must take what is sent: a floor of bytes per time, so that nobody holds a connection and its
//! buffers by reading nothing, or next to nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The time over which the bytes that a client takes are counted.
pub const PACE_TIME: Duration = Duration::from_secs(60);
/// Bytes that a client must take in that time while more wait for it: 1 KiB a second.
pub const PACE_BYTES: u64 = 60 * 1024;

/// While something waits to be taken.
#[derive(Debug)]
struct Window {
    end: Pin<Box<Sleep>>,
    taken: u64,
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Paced<T> {
    inner: T,
    /// [`PACE_TIME`], but in tests.
    time: Duration,
    window: Option<Window>,
}

impl<T> Paced<T> {
    pub(crate) const fn new(inner: T) -> Self {
        Self { inner, time: PACE_TIME, window: None }
    }

    /// What came of a write: it counts what was taken, and ends a wait that is too long.
    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                if let Some(window) = &mut self.window {
                    window.taken += count as u64;
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let time = self.time;
                let start = || Window { end: Box::pin(tokio::time::sleep(time)), taken: 0 };
                let window = self.window.get_or_insert_with(start);
                loop {
                    ready!(window.end.as_mut().poll(cx));
                    if window.taken < PACE_BYTES {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    window.taken = 0;
                    window.end.as_mut().reset(Instant::now() + time);
                }
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing waits: the client owes nothing.
        self.window = None;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const SHORT: Duration = Duration::from_millis(300);

    fn paced<T>(inner: T) -> Paced<T> {
        Paced { time: SHORT, ..Paced::new(inner) }
    }

    #[tokio::test]
    async fn who_takes_nothing_is_left() {
        let (server, client) = tokio::io::duplex(1024);
        let start = Instant::now();
        let error = paced(server).write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= SHORT);
        drop(client);
    }

    #[tokio::test]
    async fn who_drips_is_left_and_who_is_only_slow_is_served() {
        // In a window at most 3,000 bytes, and, also where the machine is busy, once the floor.
        for (bytes, served) in [(100_usize, false), (62_000, true)] {
            let (server, mut client) = tokio::io::duplex(64 * 1024);
            let taking = tokio::spawn(async move {
                let mut buffer = vec![0; bytes];
                while client.read_exact(&mut buffer).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
            let mut paced = paced(server);
            let written = paced.write_all(&vec![0; 1_000_000]).await;
            assert_eq!(written.is_ok(), served, "{bytes} bytes each time");
            drop(paced);
            taking.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_client_that_owes_nothing_may_wait() {
        let (server, mut client) = tokio::io::duplex(1024);
        let mut paced = paced(server);
        for _ in 0..2 {
            let taking = async {
                let mut buffer = [0; 2048];
                client.read_exact(&mut buffer).await
            };
            let sending = async {
                paced.write_all(&[0; 2048]).await?;
                paced.flush().await
            };
            let (taken, sent) = tokio::join!(taking, sending);
            assert!(taken.is_ok() && sent.is_ok());
            tokio::time::sleep(SHORT * 2).await;
        }
    }
}
