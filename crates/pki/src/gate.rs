//! A gate in the in-process links between tiers, through which tests partition a cloud: each direction can be held (bytes
//! wait, as on a link that drops every packet and delivers again later), or the link be cut (connections break, and
//! no new one comes through). Open unless told otherwise.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// What bytes of one direction do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flow {
    /// They pass.
    #[default]
    Open,
    /// They wait.
    Held,
}

#[derive(Debug, Default)]
struct State {
    to_server: Flow,
    to_client: Flow,
    /// No connection comes through.
    cut: bool,
    /// How often it was cut: a connection of an earlier count is broken.
    cuts: u64,
    /// Of every connection that waits.
    waiting: Vec<Waker>,
}

/// Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<State>>);

impl Gate {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, f: impl FnOnce(&mut State)) {
        let waiting = self.with(|state| {
            f(state);
            std::mem::take(&mut state.waiting)
        });
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Lets bytes pass or wait, in each direction.
    pub fn set(&self, to_server: Flow, to_client: Flow) {
        self.change(|state| (state.to_server, state.to_client) = (to_server, to_client));
    }

    /// Breaks every connection, and refuses new ones until it is opened.
    pub fn cut(&self) {
        self.change(|state| {
            state.cut = true;
            state.cuts += 1;
        });
    }

    /// Everything passes again.
    pub fn open(&self) {
        self.change(|state| (state.to_server, state.to_client, state.cut) = (Flow::Open, Flow::Open, false));
    }

    /// The client's end of a new connection, behind the gate.
    pub(crate) fn pass(&self, stream: DuplexStream) -> io::Result<Gated> {
        self.with(|state| match state.cut {
            true => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the link is cut")),
            false => Ok(Gated { stream, gate: self.clone(), cuts: state.cuts }),
        })
    }
}

/// The client's end of a connection.
#[derive(Debug)]
pub(crate) struct Gated {
    stream: DuplexStream,
    gate: Gate,
    cuts: u64,
}

impl Gated {
    /// Pending while held; the task is woken whenever the gate changes.
    fn poll_gate(&self, cx: &Context<'_>, way: impl FnOnce(&State) -> Flow) -> Poll<io::Result<()>> {
        self.gate.with(|state| {
            if state.cuts != self.cuts {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.waiting.push(cx.waker().clone());
            }
            match way(state) {
                Flow::Open => Poll::Ready(Ok(())),
                Flow::Held => Poll::Pending,
            }
        })
    }
}

impl AsyncRead for Gated {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_gate(cx, |state| state.to_client))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_gate(cx, |state| state.to_server))?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn bytes_wait_while_held_and_a_cut_breaks_what_was_open() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let gate = Gate::default();
        let mut ours = gate.pass(ours).unwrap();
        gate.set(Flow::Open, Flow::Held);
        ours.write_all(b"there").await.unwrap();
        let mut bytes = [0; 5];
        theirs.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"there");
        theirs.write_all(b"back!").await.unwrap();
        let reading = tokio::spawn(async move {
            let mut bytes = [0; 5];
            ours.read_exact(&mut bytes).await.map(|_| (ours, bytes))
        });
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(!reading.is_finished(), "held bytes came through");
        gate.open();
        let (mut ours, bytes) = reading.await.unwrap().unwrap();
        assert_eq!(&bytes, b"back!", "what was held is not lost");
        let reading = tokio::spawn(async move { ours.read_u8().await });
        tokio::task::yield_now().await;
        gate.cut();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(gate.pass(tokio::io::duplex(1).0).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        gate.open();
        gate.pass(tokio::io::duplex(1).0).unwrap();
    }
}
