//! Transfers: prepared requests with large bodies, in closed loops; what comes back is counted and thrown away.

use super::super::client::READ_BYTES;
use super::super::{median, process};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const REPLY_TIMEOUT: Duration = Duration::from_secs(120);
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A request: its head, and the body that many requests may share.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// The head, with its empty line.
    pub head: Vec<u8>,
    /// What follows it.
    pub body: Arc<[u8]>,
}

/// A kept connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Link {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Self { stream, buffer: vec![0; READ_BYTES] })
    }

    /// Sends a request and reads its reply; gives each stretch of the body to `take`. The status must be a good one.
    pub fn run(&mut self, transfer: &Transfer, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if transfer.body.len() <= READ_BYTES {
            self.stream.write_all(&[&transfer.head, &transfer.body[..]].concat())?;
        } else {
            self.stream.write_all(&transfer.head)?;
            self.stream.write_all(&transfer.body)?;
        }
        let mut filled = 0;
        let (status, from, length) = loop {
            ensure!(filled < HEAD_BYTES_MAX, "the head of the reply has more than {HEAD_BYTES_MAX} bytes");
            let read = self.stream.read(&mut self.buffer[filled..])?;
            ensure!(read > 0, "the server closed the connection");
            filled += read;
            if let Some(found) = head(&self.buffer[..filled])? {
                break found;
            }
        };
        let mut left = length.checked_sub(filled - from).context("more than was announced")?;
        if !(200..300).contains(&status) {
            bail!("status {status}: {}", String::from_utf8_lossy(&self.buffer[from..filled]));
        }
        take(&self.buffer[from..filled])?;
        while left > 0 {
            let want = left.min(READ_BYTES);
            let read = self.stream.read(&mut self.buffer[..want])?;
            ensure!(read > 0, "the server closed the connection {left} bytes before the end");
            take(&self.buffer[..read])?;
            left -= read;
        }
        Ok(())
    }

    /// The whole body of a reply.
    pub fn body(&mut self, transfer: &Transfer) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        self.run(transfer, |data| {
            all.extend_from_slice(data);
            Ok(())
        })?;
        Ok(all)
    }
}

/// Status, where the body begins, and its length.
fn head(bytes: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).context("the head of the reply is not text")?;
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).context("a reply without status")?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    // Without a body there may be no length.
    Ok(Some((status, end + 4, if status == 204 { 0 } else { length.context("a reply without length")? })))
}

/// What a run gave.
#[derive(Debug, Clone)]
pub struct Run {
    /// Requests answered.
    pub count: usize,
    /// How long it took.
    pub seconds: f64,
    /// The times of the requests, sorted, in milliseconds.
    pub times: Vec<f64>,
    /// CPU of the server's processes, in seconds.
    pub server_cpu: f64,
}

impl Run {
    /// Server CPU of one request, in milliseconds.
    #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    pub fn cpu_ms(&self) -> f64 {
        self.server_cpu * 1000.0 / self.count.max(1) as f64
    }

    /// The time that this share of the requests stays under.
    pub fn quantile(&self, percent: usize) -> f64 {
        self.times.get(self.times.len() * percent / 100).copied().unwrap_or_default()
    }

    /// The middle one by CPU, with the times of all.
    pub fn merged(runs: Vec<Self>) -> Self {
        let cpu = median(runs.iter().map(Self::cpu_ms).collect());
        let count: usize = runs.iter().map(|r| r.count).sum();
        let seconds = runs.iter().map(|r| r.seconds).sum();
        let mut times: Vec<f64> = runs.into_iter().flat_map(|r| r.times).collect();
        times.sort_by(f64::total_cmp);
        #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
        Self { count, seconds, times, server_cpu: cpu * count as f64 / 1000.0 }
    }
}

/// Runs `clients` loops over the requests in turn until the time is over, or until `count` have been sent.
pub fn drive(
    address: SocketAddr,
    server: &[u32],
    clients: usize,
    transfers: &[Transfer],
    time: Duration,
    count: usize,
) -> Result<Run> {
    let next = AtomicUsize::new(0);
    let mut links = (0..clients).map(|_| Link::open(address)).collect::<Result<Vec<_>>>()?;
    let cpu = || server.iter().map(|pid| process::cpu_seconds(*pid)).sum::<Result<f64>>();
    let before = cpu()?;
    let start = Instant::now();
    let one = |link: &mut Link| -> Result<Vec<f64>> {
        let mut times = Vec::new();
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= count || start.elapsed() >= time {
                return Ok(times);
            }
            let transfer = transfers.get(turn % transfers.len().max(1)).context("no requests")?;
            let sent = Instant::now();
            link.run(transfer, |_| Ok(()))?;
            times.push(sent.elapsed().as_secs_f64() * 1000.0);
        }
    };
    let times = std::thread::scope(|scope| {
        let loops: Vec<_> = links.iter_mut().map(|link| scope.spawn(|| one(link))).collect();
        loops.into_iter().map(|l| l.join().map_err(|_| anyhow!("a client died"))?).collect::<Result<Vec<_>>>()
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let mut times: Vec<f64> = times.into_iter().flatten().collect();
    times.sort_by(f64::total_cmp);
    Ok(Run { count: times.len(), seconds, times, server_cpu: cpu()? - before })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(head(reply).expect("a head"), Some((200, 38, 3)));
        assert_eq!(head(&reply[..20]).expect("not yet"), None);
        assert_eq!(head(b"HTTP/1.1 204 No Content\r\n\r\n").expect("a head"), Some((204, 27, 0)));
    }
}
