//! What the kernel says of a process.

use anyhow::{Context as _, Result};

/// Ticks per second in /proc/PID/stat: fixed at 100 for user space on every architecture Linux runs KVM on.
const TICKS: f64 = 100.0;

/// A field of /proc/PID/stat that holds ticks, counted from the one after the name, in seconds.
#[allow(clippy::cast_precision_loss, reason = "ticks of a benchmark are few")]
fn stat_seconds(pid: u32, fields: &[usize]) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    // The name, in parentheses, may hold anything.
    let all: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: &usize| all.get(*at).and_then(|f| f.parse::<u64>().ok()).context("an unknown form of stat");
    Ok(fields.iter().map(ticks).sum::<Result<u64>>()? as f64 / TICKS)
}

/// CPU time a process has used, all threads, user and system, in seconds.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    stat_seconds(pid, &[11, 12])
}

/// How long a process has been there, in seconds.
pub fn age_seconds(pid: u32) -> Result<f64> {
    let uptime = std::fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split(' ').next().unwrap_or_default().parse().context("an unknown form of uptime")?;
    Ok(uptime - stat_seconds(pid, &[19])?)
}

/// Memory of a process in MiB: resident, and its share of it (pages that others map too count in part).
#[allow(clippy::cast_precision_loss, reason = "KiB of one process")]
pub fn memory_mib(pid: u32) -> Result<(f64, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the process has ended")?;
    let value = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name));
        let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib as f64 / 1024.0).with_context(|| format!("no {name} in smaps_rollup"))
    };
    Ok((value("Rss:")?, value("Pss:")?))
}

/// Begins anew to note the most memory a process has.
pub fn forget_peak(pid: u32) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("the process has ended")
}

/// The most memory a process has had, in MiB: resident.
#[allow(clippy::cast_precision_loss, reason = "KiB of one process")]
pub fn peak_mib(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib as f64 / 1024.0).context("no VmHWM")
}
