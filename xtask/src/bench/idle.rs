//! What a cloud costs that nobody uses.

use super::cloud::Cloud;
use super::report::{Row, Table};
use super::{Bench, guest, pause, process};
use anyhow::Result;
use std::time::{Duration, Instant};

/// Time for the start to be over.
const SETTLE: Duration = Duration::from_secs(5);
const TIME: Duration = Duration::from_secs(20);
const MEMORY_AIM_MIB: f64 = 80.0;
const CPU_AIM: f64 = 1.0;

/// Measures.
pub fn run(bench: &Bench) -> Result<Table> {
    let mut rows = idle(bench, "`mallee up --simulate 1`", &["--simulate", "1"])?;
    guest::require_host()?;
    rows.extend(idle(bench, "`mallee up` on this host", &[])?);
    Ok(Table { name: "idle", rows })
}

fn idle(bench: &Bench, what: &str, options: &[&str]) -> Result<Vec<Row>> {
    let cloud = Cloud::start(bench, "idle", options)?;
    pause(SETTLE);
    let (before, start) = (process::cpu_seconds(cloud.pid())?, Instant::now());
    pause(TIME);
    let percent = (process::cpu_seconds(cloud.pid())? - before) * 100.0 / start.elapsed().as_secs_f64();
    let (rss, pss) = process::memory_mib(cloud.pid())?;
    Ok(vec![
        Row {
            what: format!("{what}, idle: memory"),
            figure: format!("{rss:.0} MiB"),
            aim: format!("≤ {MEMORY_AIM_MIB:.0} MiB"),
            met: Some(rss <= MEMORY_AIM_MIB),
            beside: format!("resident set, {:.2} of the aim; proportional set {pss:.0} MiB", rss / MEMORY_AIM_MIB),
        },
        Row {
            what: format!("{what}, idle: CPU"),
            figure: format!("{percent:.2} %"),
            aim: format!("< {CPU_AIM:.0} %"),
            met: Some(percent < CPU_AIM),
            beside: format!("of one core, over {} s", TIME.as_secs()),
        },
    ])
}
