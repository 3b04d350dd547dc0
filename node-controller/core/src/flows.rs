//! Flow logs: windows that have ended go to the cloud, some at a time. What cannot be told waits in a spool, also while
//! this process is away; of what waits too long only that it is lost is told.

use crate::network::NetworkEngine;
use async_trait::async_trait;
use mallee_proto::v1::{FlowWindow, RecordFlowsRequest};
use mallee_proto::{Kind, WireError};
use mallee_runtime::{Clock, Rng, Shutdown};
use prost::Message as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Flows in one batch at most: about a megabyte, far below what the cloud takes.
const BATCH_FLOWS_MAX: usize = 20_000;
/// Windows in one batch at most.
const BATCH_WINDOWS_MAX: usize = 5_000;
/// Bytes of flows that wait in batches at most; the oldest go first.
const SPOOL_BYTES_MAX: usize = 48 << 20;
/// Bytes of windows that are in no batch yet; what is more goes into batches early.
const GATHERED_BYTES_MAX: usize = 16 << 20;
/// What files of the spool are called: a number that grows, and this.
const SUFFIX: &str = "flows";
/// The file of windows that have ended and are in no batch yet.
const GATHERED: &str = "gathered";
/// A file while it is written.
const FRESH: &str = "new";

/// Where windows are told.
#[async_trait]
pub trait FlowSink: Send + Sync + fmt::Debug {
    /// Tells a batch. `Invalid`: it will never be taken; any other error: later perhaps.
    async fn record(&self, batch: RecordFlowsRequest) -> Result<(), WireError>;
}

/// How often.
#[derive(Debug, Clone, Copy)]
pub struct FlowTimes {
    /// How long a window is.
    pub window: Duration,
    /// After how many windows they are told.
    pub windows: u32,
}

impl Default for FlowTimes {
    /// As AWS: windows of a minute, told every five minutes.
    fn default() -> Self {
        Self { window: Duration::from_secs(60), windows: 5 }
    }
}

/// What waits to be told, the oldest first: in memory, and in a directory if it is to outlive the process.
#[derive(Debug)]
struct Spool {
    dir: Option<PathBuf>,
    waiting: Vec<(u64, RecordFlowsRequest)>,
    /// Of all that waits, encoded.
    bytes: usize,
    next: u64,
}

impl Spool {
    /// Reads what is left. Files that cannot be read are worth nothing and go.
    fn open(dir: Option<PathBuf>) -> Self {
        let mut waiting = Vec::new();
        for path in dir.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten().map(|e| e.path()) {
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            let read = std::fs::read(&path).ok().and_then(|bytes| RecordFlowsRequest::decode(&*bytes).ok());
            match (number, read) {
                (Some(number), Some(batch)) => waiting.push((number, batch)),
                _ if path.ends_with(GATHERED) => {}
                _ => drop(std::fs::remove_file(&path)),
            }
        }
        waiting.sort_by_key(|(number, _)| *number);
        let next = waiting.last().map_or(1, |(number, _)| number + 1);
        let bytes = waiting.iter().map(|(_, batch): &(u64, RecordFlowsRequest)| batch.encoded_len()).sum();
        Self { dir, waiting, bytes, next }
    }

    fn path(dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("{number:020}.{SUFFIX}"))
    }

    fn write(&self, number: u64, batch: &RecordFlowsRequest) {
        let Some(dir) = &self.dir else { return };
        Self::put(dir, &Self::path(dir, number), batch);
    }

    fn push(&mut self, batch: RecordFlowsRequest) {
        let number = self.next;
        self.next += 1;
        self.write(number, &batch);
        self.bytes += batch.encoded_len();
        self.waiting.push((number, batch));
        for at in 0..self.waiting.len() {
            if self.bytes <= SPOOL_BYTES_MAX {
                return;
            }
            let Some((number, batch)) = self.waiting.get_mut(at) else { return };
            if batch.windows.iter().all(|window| window.flows.is_empty()) {
                continue;
            }
            let before = batch.encoded_len();
            for window in &mut batch.windows {
                window.lost |= !std::mem::take(&mut window.flows).is_empty();
            }
            self.bytes -= before - batch.encoded_len();
            let (number, batch) = (*number, batch.clone());
            tracing::warn!(windows = batch.windows.len(), "flows that could not be told for long are lost");
            self.write(number, &batch);
        }
        // Even what is without flows is too much: nothing is told of the oldest.
        while self.bytes > SPOOL_BYTES_MAX && !self.waiting.is_empty() {
            self.pop();
        }
    }

    /// Windows that were gathered by a process that did not come to telling them.
    fn left(&self) -> Vec<FlowWindow> {
        let Some(path) = self.dir.as_ref().map(|dir| dir.join(GATHERED)) else { return Vec::new() };
        let left = std::fs::read(path).ok().and_then(|bytes| RecordFlowsRequest::decode(&*bytes).ok());
        left.map(|left| left.windows).unwrap_or_default()
    }

    /// Keeps what is gathered until it is told, and gives it back.
    fn keep(&self, windows: Vec<FlowWindow>) -> Vec<FlowWindow> {
        let Some(dir) = &self.dir else { return windows };
        let kept = RecordFlowsRequest { windows, ..RecordFlowsRequest::default() };
        if kept.windows.is_empty() {
            drop(std::fs::remove_file(dir.join(GATHERED)));
        } else {
            Self::put(dir, &dir.join(GATHERED), &kept);
        }
        kept.windows
    }

    fn put(dir: &Path, path: &Path, batch: &RecordFlowsRequest) {
        let fresh = dir.join(FRESH);
        let written = std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&fresh, batch.encode_to_vec()))
            .and_then(|()| std::fs::rename(&fresh, path));
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), %error, "flows are kept in memory only");
        }
    }

    /// Forgets the oldest.
    fn pop(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let (number, batch) = self.waiting.remove(0);
        self.bytes -= batch.encoded_len();
        if let Some(dir) = &self.dir {
            drop(std::fs::remove_file(Self::path(dir, number)));
        }
    }
}

/// Windows in batches that a message can carry. A window of very many flows is told in parts.
fn batches(windows: Vec<FlowWindow>, gathered_ms: i64, rng: &Rng) -> Vec<RecordFlowsRequest> {
    let (mut out, mut flows) = (Vec::<RecordFlowsRequest>::new(), 0);
    let parts = windows.into_iter().flat_map(|mut window| {
        let mut rest = std::mem::take(&mut window.flows);
        let mut parts = Vec::new();
        while rest.len() > BATCH_FLOWS_MAX {
            let tail = rest.split_off(BATCH_FLOWS_MAX);
            parts.push(FlowWindow { flows: std::mem::replace(&mut rest, tail), lost: false, ..window.clone() });
        }
        parts.push(FlowWindow { flows: rest, ..window });
        parts
    });
    for part in parts {
        let room = out.last().is_some_and(|batch| {
            flows + part.flows.len() <= BATCH_FLOWS_MAX && batch.windows.len() < BATCH_WINDOWS_MAX
        });
        if !room {
            let batch = format!("{:032x}", rng.u128());
            out.push(RecordFlowsRequest { batch, gathered_ms, windows: Vec::new() });
            flows = 0;
        }
        flows += part.flows.len();
        if let Some(batch) = out.last_mut() {
            batch.windows.push(part);
        }
    }
    out
}

/// Ends windows and tells what was counted, until `shutdown`. `spool`: where what could not be told yet is kept; `None`: in
/// memory.
pub async fn run(
    network: Arc<dyn NetworkEngine>,
    sink: Arc<dyn FlowSink>,
    spool: Option<PathBuf>,
    times: FlowTimes,
    (clock, rng): (Clock, Rng),
    shutdown: Shutdown,
) {
    let mut spool = Spool::open(spool);
    let (mut gathered, mut ended) = (spool.left(), 0);
    loop {
        tokio::select! {
            () = shutdown.stopped() => break,
            () = tokio::time::sleep(times.window) => {}
        }
        match network.flows(clock.now_ms()).await {
            Ok(windows) => gathered.extend(windows),
            Err(error) => tracing::warn!(%error, "what interfaces sent and got could not be counted"),
        }
        ended += 1;
        let due = ended >= times.windows;
        if due || gathered.iter().map(FlowWindow::encoded_len).sum::<usize>() > GATHERED_BYTES_MAX {
            // A kill in between tells the windows twice, in two files: better than not at all.
            let windows = std::mem::take(&mut gathered);
            batches(windows, clock.now_ms(), &rng).into_iter().for_each(|batch| spool.push(batch));
        }
        gathered = spool.keep(gathered);
        if due {
            ended = 0;
            tell(&mut spool, &*sink).await;
        }
    }
    drop(spool.keep(gathered));
}

/// Tells what waits, the oldest first, until one is not taken.
async fn tell(spool: &mut Spool, sink: &dyn FlowSink) {
    while let Some((_, batch)) = spool.waiting.first() {
        match sink.record(batch.clone()).await {
            Ok(()) => {}
            Err(error) if error.kind == Kind::Invalid => {
                tracing::warn!(%error, "a batch of flows is not taken and is gone");
            }
            Err(error) => {
                tracing::info!(%error, waiting = spool.waiting.len(), "flows wait to be told");
                return;
            }
        }
        spool.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Applied, NetworkError, NetworkInventory};
    use mallee_proto::v1::{Flow, NodeView, PortView};

    fn window(flows: usize) -> FlowWindow {
        FlowWindow { interface_id: "eni-1".into(), flows: vec![Flow::default(); flows], ..FlowWindow::default() }
    }

    #[test]
    fn batches_are_small_enough_and_nothing_is_left_out() {
        let all = batches(vec![window(3), window(BATCH_FLOWS_MAX * 2 + 5), window(0)], 7, &Rng::seeded(1));
        let flows = |batch: &RecordFlowsRequest| batch.windows.iter().map(|w| w.flows.len()).sum::<usize>();
        assert!(all.iter().all(|batch| flows(batch) <= BATCH_FLOWS_MAX));
        assert_eq!(all.iter().map(flows).sum::<usize>(), BATCH_FLOWS_MAX * 2 + 8);
        assert_eq!(all.iter().map(|batch| batch.windows.len()).sum::<usize>(), 5);
        assert!(batches(Vec::new(), 7, &Rng::seeded(1)).is_empty());
    }

    #[test]
    fn what_waits_outlives_the_process_and_is_told_in_order() {
        let dir = std::env::temp_dir().join(format!("mallee-flows-{}", std::process::id()));
        let batch = |name: &str| RecordFlowsRequest { batch: name.into(), gathered_ms: 1, windows: vec![window(2)] };
        let mut spool = Spool::open(Some(dir.clone()));
        spool.push(batch("a"));
        spool.push(batch("b"));
        std::fs::write(dir.join("new"), b"half").unwrap();
        spool.keep(vec![window(3)]);
        let mut again = Spool::open(Some(dir.clone()));
        assert_eq!(again.left(), [window(3)]);
        again.keep(Vec::new());
        assert!(again.left().is_empty());
        assert_eq!(again.waiting.iter().map(|(_, b)| b.batch.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        again.pop();
        again.push(batch("c"));
        let last = Spool::open(Some(dir.clone()));
        assert_eq!(last.waiting.iter().map(|(_, b)| b.batch.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// An engine that counts very much, so many times; then it tells that it is done.
    #[derive(Debug)]
    struct Busy(std::sync::Mutex<usize>, Shutdown);

    #[async_trait]
    impl NetworkEngine for Busy {
        async fn apply(&self, _: Arc<NodeView>) -> Result<Applied, NetworkError> {
            Ok(Applied::default())
        }

        async fn create_tap(&self, _: &PortView) -> Result<String, NetworkError> {
            Ok(String::new())
        }

        async fn plug(&self, _: &PortView) -> Result<(), NetworkError> {
            Ok(())
        }

        async fn unplug(&self, _: &str) -> Result<(), NetworkError> {
            Ok(())
        }

        async fn inventory(&self) -> Result<NetworkInventory, NetworkError> {
            Ok(NetworkInventory::default())
        }

        async fn destroy_all(&self) -> Result<(), NetworkError> {
            Ok(())
        }

        async fn flows(&self, _: i64) -> Result<Vec<FlowWindow>, NetworkError> {
            let mut left = self.0.lock().unwrap();
            if *left == 0 {
                self.1.stop();
                return Ok(Vec::new());
            }
            *left -= 1;
            let most = u32::MAX;
            let full = Flow {
                ingress: true,
                accepted: true,
                source: most,
                destination: most,
                protocol: most,
                source_port: most,
                destination_port: most,
                packets: u64::MAX,
                bytes: u64::MAX,
                tcp_flags: most,
            };
            Ok(vec![FlowWindow { flows: vec![full; BATCH_FLOWS_MAX], ..window(0) }; 20])
        }

        fn mtu(&self) -> u32 {
            1450
        }
    }

    #[async_trait]
    impl FlowSink for Busy {
        async fn record(&self, _: RecordFlowsRequest) -> Result<(), WireError> {
            Err(WireError::new(Kind::Unavailable, "away"))
        }
    }

    #[tokio::test]
    async fn windows_that_are_gathered_have_a_limit_too() {
        let (dir, shutdown) = (tempfile::tempdir().unwrap(), Shutdown::new());
        let busy = Arc::new(Busy(std::sync::Mutex::new(4), shutdown.clone()));
        let times = FlowTimes { window: Duration::from_millis(1), windows: 100 };
        let (network, sink): (Arc<dyn NetworkEngine>, Arc<dyn FlowSink>) = (busy.clone(), busy);
        let spool = Some(dir.path().to_owned());
        run(network, sink, spool, times, (Clock::system(), Rng::seeded(1)), shutdown).await;
        let files = std::fs::read_dir(dir.path()).unwrap().flatten();
        let bytes: u64 = files.map(|file| file.metadata().unwrap().len()).sum();
        assert!(bytes > 16 << 20 && bytes <= 64 << 20, "{bytes}");
    }

    #[test]
    fn of_what_waits_too_long_only_the_loss_is_told() {
        let mut spool = Spool::open(None);
        let full = Flow { source: 1, destination: 2, packets: u64::MAX, bytes: u64::MAX, ..Flow::default() };
        let big = FlowWindow { flows: vec![full; BATCH_FLOWS_MAX], ..window(0) };
        let count = SPOOL_BYTES_MAX / big.encoded_len() + 2;
        for n in 0..count {
            spool.push(RecordFlowsRequest { batch: n.to_string(), gathered_ms: 1, windows: vec![big.clone()] });
        }
        assert_eq!(spool.waiting.len(), count);
        let first = &spool.waiting[0].1.windows[0];
        assert!(first.lost && first.flows.is_empty());
        let last = &spool.waiting[count - 1].1.windows[0];
        assert!(!last.lost && last.flows.len() == BATCH_FLOWS_MAX);
    }
}
