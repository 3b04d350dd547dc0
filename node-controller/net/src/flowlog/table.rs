//! The tables that count: what they say, and how one follows another.

use super::read::{Set, flows, printed, read};
use super::{Owner, Wanted};
use crate::exec::{failed, nft, run};
use crate::nft::list;
use mallee_node_core::network::NetworkError;
use mallee_proto::v1::FlowWindow;
use std::collections::BTreeMap;
use std::time::Duration;
use tracing::warn;

/// Flows of one kind that are counted of an interface in one window; further ones are lost, and that is told.
pub(super) const FLOWS_MAX: usize = 4096;
/// Elements that all sets of a host have room for; of very many interfaces each has less.
pub(super) const ELEMENTS_MAX: usize = 1 << 20;
/// What each set has room for at least.
pub(super) const FLOWS_MIN: usize = 64;
/// Sets of one interface.
pub(super) const SETS: usize = SIDES.len() * 2 + FLAGS.len();
/// Tables of windows that have ended and could not be removed; further ones go unread.
const ENDED_MAX: usize = 2;
/// What a packet needs at most from the first chain to the last.
const UNDER_WAY: Duration = Duration::from_millis(50);
/// Tables begin with this; then comes when their window began, in milliseconds since 1970, and their parity.
const TABLE: &str = "flow_";
/// Packets' marks bear the parity of their table here; no route table's number reaches so far.
const PARITY: u32 = 0x8000_0000;
/// Protocols with ports.
const PORTS: &str = "meta l4proto { tcp, udp, sctp }";
/// The key of a flow with ports, and of one without.
const WITH: &str = "ip saddr . ip daddr . meta l4proto . th sport . th dport";
const WITHOUT: &str = "ip saddr . ip daddr . meta l4proto";
/// TCP's flags that are told: the name of the set, which packets, and the bits in the record.
pub(super) const FLAGS: [(&str, &str, u32); 4] = [
    ("ff", "tcp flags & fin == fin", 1),
    ("fs", "tcp flags & (syn | ack) == syn", 2),
    ("fr", "tcp flags & rst == rst", 4),
    ("fa", "tcp flags & (syn | ack) == (syn | ack)", 18),
];

/// A way through an interface, and how far packets came: begins the names of chains and sets.
pub(super) struct Side {
    pub(super) start: &'static str,
    pub(super) ingress: bool,
    pub(super) passed: bool,
}

pub(super) const SIDES: [Side; 4] = [
    Side { start: "outs", ingress: false, passed: false },
    Side { start: "outp", ingress: false, passed: true },
    Side { start: "ins", ingress: true, passed: false },
    Side { start: "inp", ingress: true, passed: true },
];

/// The window of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Began {
    at_ms: i64,
    odd: bool,
}

impl Began {
    fn name(self) -> String {
        format!("{TABLE}{}_{}", self.at_ms, u8::from(self.odd))
    }

    fn parse(name: &str) -> Option<Self> {
        let (at, odd) = name.strip_prefix(TABLE)?.split_once('_')?;
        Some(Self { at_ms: at.parse().ok()?, odd: odd == "1" })
    }
}

/// Room in each set where so many interfaces are logged.
pub(super) fn room(logged: usize) -> usize {
    (ELEMENTS_MAX / (SETS * logged.max(1))).clamp(FLOWS_MIN, FLOWS_MAX)
}

/// Sets and chains of these devices; they stand in the block of a table.
fn counters(out: &mut String, devices: &BTreeMap<String, Owner>, size: usize) {
    for (device, owner) in devices {
        let comment = owner.comment().map_or_else(String::new, |text| format!(" comment \"{text}\";"));
        let mut set = |name: &str, keys: &str| {
            putln!(out, "\tset {name}_{device} {{ type {keys}; size {size}; flags dynamic;{comment} }}");
        };
        let with = "ipv4_addr . ipv4_addr . inet_proto . inet_service . inet_service";
        for Side { start, .. } in &SIDES {
            set(&format!("{start}w"), with);
            set(&format!("{start}o"), "ipv4_addr . ipv4_addr . inet_proto");
        }
        for (name, ..) in FLAGS {
            set(name, with);
        }
        for Side { start, passed, .. } in &SIDES {
            putln!(out, "\tchain {start}_{device} {{");
            // What is inside one link concerns nobody else and never comes here but by mistake.
            putln!(out, "\t\tip daddr 169.254.0.0/16 return");
            putln!(out, "\t\t{PORTS} add @{start}w_{device} {{ {WITH} counter }}");
            putln!(out, "\t\tmeta l4proto != {{ tcp, udp, sctp }} add @{start}o_{device} {{ {WITHOUT} counter }}");
            if !passed {
                for (name, which, _) in FLAGS {
                    putln!(out, "\t\t{which} add @{name}_{device} {{ {WITH} }}");
                }
            }
            out.push_str("\t}\n");
        }
    }
}

/// What a map of one side says of these devices.
fn jumps(start: &str, devices: &BTreeMap<String, Owner>) -> String {
    list(devices.keys().map(|device| format!("\"{device}\" : jump {start}_{device}")))
}

/// The table that counts what these devices send and get.
fn rules(began: Began, Wanted { devices, taps, size }: &Wanted) -> String {
    let mut out = format!("table inet {} {{\n", began.name());
    counters(&mut out, devices, *size);
    for Side { start, .. } in &SIDES {
        putln!(out, "\tmap {start} {{ type ifname : verdict;{} }}", jumps(start, devices));
    }
    let parity = if began.odd { PARITY } else { 0 };
    let (rest, local) = (!PARITY, format!("iifname \"{taps}*\""));
    put!(
        out,
        "\tchain first {{ type filter hook forward priority filter - 10; policy accept;\n\
         \t\tmeta mark set meta mark & {rest:#x} | {parity:#x}\n\
         \t\tiifname vmap @outs\n\t\tiifname != \"{taps}*\" oifname vmap @ins\n\t}}\n\
         \tchain middle {{ type filter hook forward priority filter + 5; policy accept;\n\
         \t\tmeta mark & {PARITY:#x} != {parity:#x} accept\n\
         \t\tiifname vmap @outp\n\t\t{local} oifname vmap @ins\n\t}}\n\
         \tchain last {{ type filter hook forward priority filter + 20; policy accept;\n\
         \t\tmeta mark & {PARITY:#x} != {parity:#x} accept\n\
         \t\toifname vmap @inp\n\t}}\n}}\n",
    );
    out
}

/// The tables of windows in the calling thread's namespace, the oldest first.
fn tables() -> Result<Vec<Began>, NetworkError> {
    let items = printed(&run("nft", &["-j", "list tables"], "")?)?.into_iter();
    let mut found: Vec<Began> = items.filter_map(|item| Began::parse(&item.table?.name)).collect();
    found.sort_unstable();
    Ok(found)
}

/// The devices that a table counts: whose they are, where that is known, and the room in their sets.
fn devices(table: &str) -> Result<BTreeMap<String, (Option<Owner>, usize)>, NetworkError> {
    let items = printed(&run("nft", &["-j", "-t", &format!("list table inet {table}")], "")?)?.into_iter();
    let first = format!("{}w_", SIDES[0].start);
    let of = |set: Set| {
        let owner = set.comment.as_deref().and_then(Owner::parse);
        Some((set.name.strip_prefix(&first)?.to_owned(), (owner, set.size)))
    };
    Ok(items.filter_map(|item| of(item.set?)).collect())
}

/// A window was begun, and others ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    /// Its table; `None`: nothing is counted any more.
    pub(super) next: Option<Began>,
    at_ms: i64,
    /// Tables were removed unread.
    dropped: bool,
}

/// Begins a window in the calling thread's namespace: from now on the older tables count nothing new. `None`: there is
/// nothing to read.
pub(super) fn begin(now_ms: i64, wanted: &Wanted) -> Result<Option<Begun>, NetworkError> {
    let old = tables()?;
    let last = old.last().copied();
    // Clocks go back now and then; names and windows do not.
    let now_ms = last.map_or(now_ms, |last| now_ms.max(last.at_ms + 1));
    let odd = last.is_some_and(|last| !last.odd);
    let next = (!wanted.devices.is_empty()).then_some(Began { at_ms: now_ms, odd });
    let (dropped, kept) = old.split_at(old.len().saturating_sub(ENDED_MAX));
    let mut text = next.map_or_else(String::new, |next| rules(next, wanted));
    for table in dropped {
        putln!(text, "delete table inet {}", table.name());
    }
    for table in kept {
        putln!(text, "flush chain inet {} first", table.name());
    }
    if !text.is_empty() {
        nft(&text)?;
    }
    Ok((!old.is_empty()).then_some(Begun { next, at_ms: now_ms, dropped: !dropped.is_empty() }))
}

/// Counts devices from now on that came after the window began in the calling thread's namespace.
pub(super) fn join(now_ms: i64, mut wanted: Wanted) -> Result<(), NetworkError> {
    let Some(open) = tables()?.pop() else {
        return nft(&rules(Began { at_ms: now_ms, odd: false }, &wanted));
    };
    let (name, known) = (open.name(), devices(&open.name())?);
    wanted.devices.retain(|device, _| !known.contains_key(device));
    if wanted.devices.is_empty() {
        return Ok(());
    }
    let mut text = format!("table inet {name} {{\n");
    counters(&mut text, &wanted.devices, wanted.size);
    text.push_str("}\n");
    for Side { start, .. } in &SIDES {
        let of = wanted.devices.keys().map(|device| format!("\"{device}\" : jump {start}_{device}"));
        putln!(text, "add element inet {name} {start} {{ {} }}", of.collect::<Vec<String>>().join(", "));
    }
    nft(&text)
}

/// Reads and removes the tables of windows that ended before this one began. One that cannot be read is removed, and that
/// its flows are lost is told; one that cannot be removed is read again the next time. `broken`: reading fails.
pub(super) fn take(
    begun: Begun,
    wanted: &Wanted,
    broken: Option<&NetworkError>,
) -> Result<Vec<FlowWindow>, NetworkError> {
    // Network jobs run on threads of their own (`inside`), never on one of the runtime.
    #[allow(clippy::disallowed_methods)]
    std::thread::sleep(UNDER_WAY);
    let old: Vec<Began> = tables()?.into_iter().filter(|table| begun.next.is_none_or(|next| *table < next)).collect();
    let mut told = Vec::new();
    for (n, table) in old.iter().enumerate() {
        let span = (table.at_ms, old.get(n + 1).map_or(begun.at_ms, |next| next.at_ms));
        let name = table.name();
        let windows = read_all(&name, span, wanted, broken.filter(|_| n == 0), begun.dropped);
        match nft(&format!("delete table inet {name}\n")) {
            Ok(()) => told.extend(windows),
            Err(error) => warn!(table = name, %error, "a window that ended is not gone"),
        }
    }
    Ok(told)
}

/// The windows of a table. `lost`: older ones are gone unread.
fn read_all(
    table: &str,
    span: (i64, i64),
    wanted: &Wanted,
    broken: Option<&NetworkError>,
    lost: bool,
) -> Vec<FlowWindow> {
    let known = broken.map_or_else(|| devices(table), |error| Err(failed(error))).unwrap_or_else(|error| {
        warn!(table, %error, "the flows of a window are lost");
        wanted.devices.iter().map(|(device, owner)| (device.clone(), (Some(owner.clone()), 0))).collect()
    });
    let mut told = Vec::with_capacity(known.len());
    for (device, (owner, size)) in known {
        // Tables that an older version made do not say it.
        let Some(owner) = owner.or_else(|| wanted.devices.get(&device).cloned()) else { continue };
        let counted = if broken.is_some() { Err(failed("not read")) } else { read(table, &device, size) };
        told.push(match counted {
            Ok(counted) => owner.window(span, lost || counted.full, flows(&counted)),
            Err(error) => {
                warn!(table, interface = owner.interface, %error, "the flows of an interface are lost");
                owner.window(span, true, Vec::new())
            }
        });
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_counts_is_bounded() {
        assert_eq!(room(1), FLOWS_MAX);
        assert!(room(100) < FLOWS_MAX && room(100) * SETS * 100 <= ELEMENTS_MAX);
        assert_eq!(room(1_000_000), FLOWS_MIN);
        let odd = Owner { vpc: "a\"; b".into(), subnet: "s".into(), instance: "i".into(), interface: "e".into() };
        assert_eq!(odd.comment(), None);
    }
}
