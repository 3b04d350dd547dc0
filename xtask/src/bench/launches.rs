//! Launches per second: from the first RunInstances to the moment when the last instance is `running`.

use super::client::Connection;
use super::cloud::Cloud;
use super::load::{Until, drive};
use super::report::{Row, Table};
use super::{Bench, process};
use anyhow::{Result, ensure};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Simulated nodes.
const NODES: &str = "100";
const CLIENTS: usize = 16;
/// Instances per measurement; the nodes have room for twice as many.
const INSTANCES: usize = 1500;
const AIM: f64 = 500.0;
const CALL_AIM_MS: f64 = 50.0;
/// Time between two looks whether any is still pending.
const POLL: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(120);
/// Durable writes beside which launches are set: bytes of each, and for how long.
const WRITE_BYTES: usize = 4096;
const WRITE_TIME: Duration = Duration::from_secs(1);

/// Measures.
pub fn run(bench: &Bench) -> Result<Table> {
    let mut rows = Vec::new();
    for per_call in [1, 10] {
        rows.extend(launches(bench, per_call)?);
    }
    Ok(Table { name: "launches", rows })
}

#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
fn launches(bench: &Bench, per_call: usize) -> Result<Vec<Row>> {
    let cloud = Cloud::start(bench, "launches", &["--simulate", NODES])?;
    let writes = durable_writes(&cloud.state)?;
    let request = [cloud.run_instances(per_call)?];
    let mut connection = Connection::open(cloud.access.address)?;
    let cpu = process::cpu_seconds(cloud.pid())?;
    let start = Instant::now();
    let run = drive(cloud.access.address, cloud.pid(), CLIENTS, &request, Until::Count(INSTANCES / per_call))?;
    cloud.settle(&mut connection, POLL, PATIENCE)?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_ms = (process::cpu_seconds(cloud.pid())? - cpu) * 1000.0 / INSTANCES as f64;
    let running = cloud.instances(&mut connection, "running")?.len();
    ensure!(running == INSTANCES, "{running} of {INSTANCES} instances run");
    let rate = INSTANCES as f64 / seconds;
    let launched = Row {
        what: format!("launches to `running`, {CLIENTS} clients, {per_call} per call, {NODES} simulated nodes"),
        figure: format!("{rate:.0}/s"),
        aim: format!("≥ {AIM:.0}/s"),
        met: Some(rate >= AIM),
        beside: format!(
            "{:.2} per durable write of {} KiB ({writes:.0}/s on the same disk); server CPU {cpu_ms:.2} ms per launch; a call takes {:.1} ms",
            rate / writes,
            WRITE_BYTES / 1024,
            run.median_ms
        ),
    };
    if per_call > 1 {
        return Ok(vec![launched]);
    }
    let replied = Row {
        what: format!("RunInstances of one, {CLIENTS} clients: the slowest of a hundred calls"),
        figure: format!("{:.0} ms", run.p99_ms),
        aim: format!("≤ {CALL_AIM_MS:.0} ms"),
        met: Some(run.p99_ms <= CALL_AIM_MS),
        beside: format!("{:.1} times the median; {:.0} calls/s", run.p99_ms / run.median_ms, run.per_second()),
    };
    Ok(vec![launched, replied])
}

/// How often per second this disk makes a small write durable.
#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
fn durable_writes(dir: &Path) -> Result<f64> {
    let path = dir.join("durable");
    let mut file = std::fs::File::create(&path)?;
    let block = [0x5a; WRITE_BYTES];
    // As a log that has found its size: blocks are there already.
    for _ in 0..64 {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < WRITE_TIME {
        file.write_all_at(&block, count % 64 * WRITE_BYTES as u64)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}
