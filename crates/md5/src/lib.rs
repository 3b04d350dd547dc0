//! MD5 of several uploads at a time.
//!
//! An MD5 is one chain of steps, each waiting for the one before: a core computes it at a fraction of what it could do. So
//! uploads that come in at the same time share a core: their chains run side by side, one in each lane of the vector
//! registers. (One upload alone gains nothing: its MD5 is what it costs.)

mod lanes;
mod pool;

use bytes::Bytes;
use lanes::State;
use mallee_runtime::{Share, Sharer};

/// Bytes of one step; fewer are hashed where they are, without asking the thread.
const STEP_BYTES: usize = 256 * 1024;
/// Where many have to share [`ALL_BYTES`].
const STEP_BYTES_MIN: usize = 64 * 1024;
/// Bytes of all that are with the thread; as many more may be waiting for it.
const ALL_BYTES: usize = 4 << 20;

/// Pieces of fewer bytes are copied together.
const COPIED_BYTES: usize = 16 * 1024;

/// Those of more bytes than that.
static LONG: Share = Share::new();

/// An MD5 being computed.
#[derive(Debug)]
pub struct Md5 {
    step: Step,
    length: u64,
    held: Vec<Bytes>,
    /// Small pieces that come behind them.
    small: Vec<u8>,
    /// Of both.
    held_bytes: usize,
    share: Option<Sharer>,
}

/// Where the state is.
#[derive(Debug)]
enum Step {
    Here(State),
    /// With the thread.
    Away(pool::Ticket),
    /// Nowhere: the thread is gone.
    Lost,
}

impl Default for Md5 {
    fn default() -> Self {
        Self::new()
    }
}

impl Md5 {
    /// Of nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            step: Step::Here(State::new()),
            length: 0,
            held: Vec::new(),
            small: Vec::new(),
            held_bytes: 0,
            share: None,
        }
    }

    /// Adds bytes; waits while those before the last step are still being hashed.
    pub async fn update(&mut self, data: &Bytes) {
        self.length = self.length.wrapping_add(data.len() as u64);
        self.held_bytes += data.len();
        if data.len() < COPIED_BYTES {
            // Each would hold an allocation, perhaps a large one, for its few bytes.
            self.small.extend_from_slice(data);
        } else {
            self.hold_small();
            self.held.push(data.clone());
        }
        if self.held_bytes < STEP_BYTES_MIN {
            return;
        }
        let share = self.share.get_or_insert_with(|| LONG.enter());
        if self.held_bytes >= share.part(ALL_BYTES, STEP_BYTES_MIN, STEP_BYTES) {
            self.hold_small();
            let held = std::mem::take(&mut self.held);
            self.held_bytes = 0;
            if let Some(state) = self.settle().await {
                self.step = Step::Away(pool::submit(state, held));
            }
        }
    }

    /// What was copied so far is the next piece.
    fn hold_small(&mut self) {
        if !self.small.is_empty() {
            self.held.push(std::mem::take(&mut self.small).into());
        }
    }

    /// Waits for the state.
    async fn settle(&mut self) -> Option<State> {
        match std::mem::replace(&mut self.step, Step::Lost) {
            Step::Here(state) => Some(state),
            Step::Away(ticket) => ticket.state().await,
            Step::Lost => None,
        }
    }

    /// The digest; `None` if the system gave no thread to compute it.
    pub async fn finish(mut self) -> Option<[u8; 16]> {
        let mut state = self.settle().await?;
        self.hold_small();
        for data in &self.held {
            state.update(data);
        }
        Some(state.finish(self.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::Digest as _;

    async fn of(data: &Bytes, piece: usize) -> [u8; 16] {
        let mut md5 = Md5::new();
        let mut at = 0;
        while at < data.len() {
            let end = (at + piece).min(data.len());
            md5.update(&data.slice(at..end)).await;
            at = end;
        }
        md5.finish().await.unwrap()
    }

    fn expected(data: &[u8]) -> [u8; 16] {
        md5::Md5::digest(data).into()
    }

    #[tokio::test]
    async fn small_ones_are_as_the_library_computes_them() {
        let data: Bytes = (0..300_u32).map(|n| (n * 7 % 251) as u8).collect::<Vec<_>>().into();
        for len in 0..data.len() {
            let part = data.slice(..len);
            assert_eq!(of(&part, 17).await, expected(&part), "{len} bytes");
        }
    }

    #[tokio::test]
    async fn tiny_pieces_are_not_held_one_by_one() {
        let data = Bytes::from(vec![7; 200_000]);
        let mut md5 = Md5::new();
        for at in 0..data.len() - 1 {
            md5.update(&data.slice(at..=at)).await;
            let held: usize = md5.held.iter().map(Bytes::len).sum();
            assert!(md5.held.len() <= 1 + held / COPIED_BYTES, "{} pieces of {held} bytes", md5.held.len());
        }
        md5.update(&data.slice(data.len() - 1..)).await;
        assert_eq!(md5.finish().await.unwrap(), expected(&data));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_at_once_of_any_length_and_in_any_pieces() {
        let mut seed = 1_u32;
        let noise = (0..3 << 20).map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        });
        let noise: Bytes = noise.collect::<Vec<_>>().into();
        let all: Vec<_> = (1..40_usize)
            .map(|n| {
                let data = noise.slice(n..n + (n * 77_773) % (2 << 20));
                tokio::spawn(async move { (of(&data, 1 + n * 4001).await, expected(&data)) })
            })
            .collect();
        for done in all {
            let (computed, expected) = done.await.unwrap();
            assert_eq!(computed, expected);
        }
    }

    #[tokio::test]
    async fn an_upload_that_goes_away_leaves_the_others() {
        let data = Bytes::from(vec![7; 2 << 20]);
        for _ in 0..20 {
            let mut gone = Md5::new();
            gone.update(&data).await;
            drop(gone);
        }
        assert_eq!(of(&data, 100_000).await, expected(&data));
    }
}
