//! Clients side by side: closed loops over prepared requests.

use super::client::{Connection, Prepared};
use super::median;
use super::process;
use anyhow::{Result, anyhow};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After this many requests in all.
    Count(usize),
    /// After this time.
    Elapsed(Duration),
}

/// What a run gave.
#[derive(Debug, Clone)]
pub struct Run {
    /// Requests answered.
    pub count: usize,
    /// From the first request to the last reply.
    pub seconds: f64,
    /// The usual time of one request, in milliseconds.
    pub median_ms: f64,
    /// The time that one request in a hundred takes longer than, in milliseconds.
    pub p99_ms: f64,
    /// CPU time of the server in that time, in seconds.
    pub server_cpu: f64,
    /// CPU time of the clients.
    pub client_cpu: f64,
}

impl Run {
    /// Requests per second.
    #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    /// Server CPU of one request, in milliseconds.
    #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    pub fn server_ms(&self) -> f64 {
        self.server_cpu * 1000.0 / self.count as f64
    }
}

/// Runs `clients` loops, each with a connection of its own, over the requests in turn.
pub fn drive(address: SocketAddr, server: u32, clients: usize, requests: &[Prepared], until: Until) -> Result<Run> {
    let next = AtomicUsize::new(0);
    let mut connections = (0..clients).map(|_| Connection::open(address)).collect::<Result<Vec<_>>>()?;
    let (server_before, client_before) = (process::cpu_seconds(server)?, process::cpu_seconds(std::process::id())?);
    let start = Instant::now();
    let times = std::thread::scope(|scope| {
        let loops: Vec<_> = connections
            .iter_mut()
            .map(|connection| scope.spawn(|| one(connection, requests, &next, start, until)))
            .collect();
        loops.into_iter().map(|l| l.join().map_err(|_| anyhow!("a client died"))?).collect::<Result<Vec<_>>>()
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let mut times: Vec<f64> = times.into_iter().flatten().collect();
    times.sort_by(f64::total_cmp);
    Ok(Run {
        count: times.len(),
        seconds,
        server_cpu: process::cpu_seconds(server)? - server_before,
        client_cpu: process::cpu_seconds(std::process::id())? - client_before,
        p99_ms: times.get(times.len() * 99 / 100).copied().unwrap_or_default(),
        median_ms: median(times),
    })
}

fn one(
    connection: &mut Connection,
    requests: &[Prepared],
    next: &AtomicUsize,
    start: Instant,
    until: Until,
) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    loop {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        let over = match until {
            Until::Count(count) => turn >= count,
            Until::Elapsed(time) => start.elapsed() >= time,
        };
        let Some(request) = requests.get(turn % requests.len().max(1)).filter(|_| !over) else { return Ok(times) };
        let sent = Instant::now();
        connection.call(request)?;
        times.push(sent.elapsed().as_secs_f64() * 1000.0);
    }
}
