//! Bandwidth limits of ports. What comes by a port, and what goes out by it, is led through two devices of its own in the
//! same namespace (`ifb`, one each way), queues there, and goes on as if nothing had happened.
//!
//! The port's own queue stays: while the kernel puts another one there it drops what comes (seen: a lost datagram). So it
//! does when the place for filters (`clsact`) is made, once in the life of a port, or taken away, which therefore is not done.
//!
//! The led packets pass no chain of nftables' `netdev` family; all our checks are in `inet` and `arp`, which see them.
//!
//! How far it got stands in the alias of the first device, written last and taken away first: one look at the devices tells
//! what is to be done. The devices are made before what leads to them, and go after it. A change of a limit changes queues in
//! place: nothing is dropped and nothing passes by.

use crate::exec::{delete_links, ip_batch, tc_batch};
use crate::model::Vpc;
use crate::names::Names;
use crate::observe::{Link, Observed};
use mallee_node_core::network::NetworkError;
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::time::Duration;

/// The highest limit, 10 Tbit/s in kbit/s: no host is so fast, and products of it stay within 64 bits.
pub(crate) const MAX_KBPS: u64 = 10_000_000_000;
/// What may pass at once at least: two packets as large as a guest can send them, else each waits for the next tick.
const MIN_BURST: u64 = 128 << 10;
/// Ticks of the kernel's clock in a second, at least: in each, so much as passes until the next must be allowed.
const HZ: u64 = 100;
/// How much waits at most: so many milliseconds of the rate. What comes more is dropped, as senders expect.
const QUEUE_MS: u64 = 50;
/// Between the end of the way into a device and the device's own.
const DRAIN: Duration = Duration::from_millis(QUEUE_MS + 50);
/// Bytes that may wait however low the rate: four packets as large as a guest can send them.
const MIN_QUEUE: u64 = 256 << 10;
/// The most that may wait, and that may pass at once (the tool's own numbers are of 32 bits).
const MAX_BYTES: u64 = 1 << 30;
/// What the device says while nobody knows what holds.
const UNSURE: &str = "unsure";

/// What is to be done: lines of tools, in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    /// `ip`: devices of ports that are limited no more say that they are not sure.
    doubt: Vec<String>,
    /// `tc`: these ports let go of their devices.
    free: Vec<String>,
    /// Devices that then go, when they are empty.
    delete: Vec<String>,
    /// `ip`: devices are made, or say that they are not sure.
    open: Vec<String>,
    /// `tc`: queues, and then the way into them.
    queues: Vec<String>,
    /// `ip`: what now holds.
    close: Vec<String>,
}

/// Queues of a device at this rate, which may have others, or these.
fn queue(device: &str, kbps: u64, fresh: bool, out: &mut Vec<String>) {
    let bytes = kbps * 1000 / 8;
    let burst = (bytes / HZ).clamp(MIN_BURST, MAX_BYTES);
    let waiting = (bytes * QUEUE_MS / 1000).clamp(MIN_QUEUE, MAX_BYTES);
    if fresh {
        out.push(format!("qdisc replace dev {device} root handle 1: htb default 1"));
    }
    out.push(format!(
        "class replace dev {device} parent 1: classid 1:1 htb rate {kbps}kbit burst {burst}b cburst {burst}b quantum 65536"
    ));
    out.push(format!("qdisc replace dev {device} parent 1:1 handle 10: bfifo limit {waiting}b"));
}

/// What comes by the port goes into the first device, what goes out by it into the second.
fn lead(tap: &str, devices: &[String; 2], anew: bool, out: &mut Vec<String>) {
    out.push(format!("qdisc replace dev {tap} clsact"));
    if anew {
        out.extend(unlead(tap));
    }
    // The kernel numbers the tables of filters of both ways in the order in which they are made, so a filter said again is
    // the same filter.
    for (way, table, device) in [("ingress", 800, &devices[0]), ("egress", 801, &devices[1])] {
        out.push(format!(
            "filter replace dev {tap} {way} protocol all prio 1 handle {table}::800 u32 match u32 0 0 \
             action mirred egress redirect dev {device}"
        ));
    }
}

/// Nothing is led anywhere any more.
fn unlead(tap: &str) -> [String; 2] {
    ["ingress", "egress"].map(|way| format!("filter del dev {tap} {way}"))
}

/// Of the first device, when all of a limit holds: the limit, and which device the port was, as another may have its name.
fn seal(kbps: u64, tap: &Link) -> String {
    format!("{kbps} {}", tap.ifindex)
}

fn has_queues(link: &Link) -> bool {
    link.up() && link.qdisc == "htb"
}

/// From what is there to what the view says.
pub(crate) fn steps(vpc: &Vpc, names: &Names, seen: &Observed) -> Steps {
    let mut steps = Steps::default();
    let mut wanted = BTreeSet::new();
    // Ports that nobody names have gone by now, and what led elsewhere with them.
    for (tap, port) in vpc.ports.iter().filter_map(|(tap, port)| Some((seen.links.get(tap)?, port))) {
        let devices = names.shapers(&tap.name);
        let there = devices.each_ref().map(|device| seen.links.get(device));
        let Some(kbps) = port.bandwidth.map(NonZeroU64::get) else {
            if there.iter().any(Option::is_some) {
                let [first, _] = &devices;
                steps.doubt.extend(there[0].map(|_| format!("link set {first} alias {UNSURE}")));
                // Made first, as it may never have been. It stays, empty: while the kernel takes it away it drops what comes.
                steps.free.push(format!("qdisc replace dev {} clsact", tap.name));
                steps.free.extend(unlead(&tap.name));
            }
            continue;
        };
        let seal = seal(kbps, tap);
        let sealed = there[0].is_some_and(|link| link.ifalias == seal);
        if !(sealed && there.iter().all(|link| link.is_some_and(has_queues))) {
            for (device, there) in devices.iter().zip(there) {
                if there.is_none() {
                    steps.open.push(format!("link add {device} txqueuelen 1000 type ifb"));
                }
                steps.open.push(format!("link set {device} alias {UNSURE} addrgenmode none up"));
                queue(device, kbps, !there.is_some_and(has_queues), &mut steps.queues);
            }
            // Of what an agent was killed in, one way may be left: the kernel would number the other anew.
            let unsure = there.iter().flatten().any(|link| link.ifalias == UNSURE);
            lead(&tap.name, &devices, unsure, &mut steps.queues);
            steps.close.push(format!("link set {} alias \"{seal}\"", devices[0]));
        }
        wanted.extend(devices);
    }
    let is_shaper = |name: &&String| names.shaper_starts().iter().any(|start| name.starts_with(start));
    steps.delete = seen.links.keys().filter(is_shaper).filter(|name| !wanted.contains(*name)).cloned().collect();
    steps
}

/// One part of the steps, done in the calling thread's namespace.
type Job = fn(&Steps) -> Result<(), NetworkError>;

impl Steps {
    /// All there is to do, in this order, each with the name of its fault point.
    pub(crate) const JOBS: [(&'static str, Job); 3] =
        [("unlimited", Self::release), ("limits", Self::hold), ("limited", Self::seal)];

    /// Whether all is as it should be.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How long to wait between the first job and the next: what waits in queues that nothing leads into any more gets out.
    pub(crate) fn drain(&self) -> Option<Duration> {
        (!self.free.is_empty()).then_some(DRAIN)
    }

    /// Nothing is led any more into queues of limits that are none any more.
    fn release(&self) -> Result<(), NetworkError> {
        ip_batch(&self.doubt)?;
        tc_batch(&self.free)
    }

    /// These go; others are made, and the way into them.
    fn hold(&self) -> Result<(), NetworkError> {
        delete_links(self.delete.iter().cloned())?;
        ip_batch(&self.open)?;
        tc_batch(&self.queues)
    }

    /// Writes down what holds.
    fn seal(&self) -> Result<(), NetworkError> {
        ip_batch(&self.close)
    }
}

/// Tries it on a device of the calling thread's namespace, with others that are made for it.
pub(crate) fn trial(port: &str) -> Result<(), NetworkError> {
    let devices = ["sa", "sb"].map(ToOwned::to_owned);
    let mut lines = Vec::new();
    for device in &devices {
        ip_batch(&[format!("link add {device} type ifb"), format!("link set {device} up")])?;
        queue(device, 1000, true, &mut lines);
    }
    lead(port, &devices, false, &mut lines);
    tc_batch(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kbps: u64, fresh: bool) -> String {
        let mut lines = Vec::new();
        queue("mi0", kbps, fresh, &mut lines);
        lines.join("\n")
    }

    #[test]
    fn a_slow_port_takes_what_a_guest_sends_at_once_and_a_fast_one_what_passes_in_a_tick() {
        assert_eq!(
            text(50_000, true),
            "qdisc replace dev mi0 root handle 1: htb default 1\n\
             class replace dev mi0 parent 1: classid 1:1 htb rate 50000kbit burst 131072b cburst 131072b quantum 65536\n\
             qdisc replace dev mi0 parent 1:1 handle 10: bfifo limit 312500b"
        );
        let fast = text(10_000_000, false);
        assert!(fast.starts_with("class replace") && fast.contains(" burst 12500000b ") && fast.ends_with("62500000b"));
        // The highest limit makes numbers that the tool takes.
        assert!(text(MAX_KBPS, false).contains("burst 1073741824b"), "{}", text(MAX_KBPS, false));
    }
}
