//! S3 beside nginx and Ceph's radosgw: the same bytes served and taken by all, in turns of one run, by the same client.
//! The figures are ratios of the servers' CPU time per request (all their threads and processes); nginx checks no
//! signature, keeps no checksum, makes nothing durable and knows no ETag but time and size, and Ceph keeps all in memory.

mod servers;
mod transfer;

use super::Bench;
use super::client::{Access, elements};
use super::process;
use super::report::{Row, Table};
use anyhow::{Result, ensure};
use servers::{Nginx, Ours, Rados};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use transfer::{Link, Run, Transfer, drive};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const BUCKET: &str = "speed";
const MANY_BUCKET: &str = "many";
/// Keys of the bucket that is listed, spread over the prefixes.
const MANY: usize = 1_000_000;
const PAGE: usize = 1000;
const PREFIXES: usize = 1000;
const TURNS: usize = 3;
const TURN: Duration = Duration::from_millis(1500);
const WARM_UP: Duration = Duration::from_millis(300);
/// Transfers at once where memory is measured, and their size.
const PARALLEL: usize = 64;
const PARALLEL_BYTES: usize = 64 * MIB;
const PARALLEL_TIME: Duration = Duration::from_secs(120);
const MEMORY_AIM_MIB: f64 = 100.0;
const P50_AIM_MS: f64 = 1.0;
const LIST_AIM_MS: f64 = 3.0;

/// How the body of a PUT is vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    /// `UNSIGNED-PAYLOAD`: only what we ourselves compute of it.
    None,
    /// Its SHA-256 is signed: the server has to compute that too.
    Sha256,
}

struct Cell {
    put: Option<Hash>,
    name: &'static str,
    bytes: usize,
    clients: usize,
    objects: usize,
    aim: Option<f64>,
}

const fn get(name: &'static str, bytes: usize, clients: usize, objects: usize, aim: f64) -> Cell {
    Cell { put: None, name, bytes, clients, objects, aim: Some(aim) }
}

const fn put(name: &'static str, hash: Hash, bytes: usize, clients: usize, aim: Option<f64>) -> Cell {
    Cell { put: Some(hash), name, bytes, clients, objects: 8, aim }
}

const CELLS: &[Cell] = &[
    get("GET 4 KiB, 1 client", 4 * KIB, 1, 1000, 2.0),
    get("GET 4 KiB, 16 clients", 4 * KIB, 16, 1000, 2.0),
    get("GET 1 MiB, 1 client", MIB, 1, 16, 1.2),
    get("GET 1 MiB, 16 clients", MIB, 16, 16, 1.2),
    get("GET 64 MiB, 1 client", 64 * MIB, 1, 2, 1.2),
    get("GET 64 MiB, 4 clients", 64 * MIB, 4, 2, 1.2),
    put("PUT 4 KiB, 1 client", Hash::None, 4 * KIB, 1, None),
    put("PUT 4 KiB, 16 clients", Hash::None, 4 * KIB, 16, None),
    put("PUT 1 MiB, 1 client", Hash::None, MIB, 1, Some(1.3)),
    put("PUT 1 MiB, 8 clients", Hash::None, MIB, 8, Some(1.3)),
    put("PUT 1 MiB, 1 client, SHA-256 signed", Hash::Sha256, MIB, 1, None),
    put("PUT 64 MiB, 1 client", Hash::None, 64 * MIB, 1, Some(1.3)),
    put("PUT 64 MiB, 4 clients", Hash::None, 64 * MIB, 4, Some(1.3)),
    put("PUT 64 MiB, 1 client, SHA-256 signed", Hash::Sha256, 64 * MIB, 1, None),
];

/// Bytes that repeat nowhere near, the same for both servers.
fn bytes(len: usize) -> Arc<[u8]> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&state.rotate_left(23).to_le_bytes());
    }
    out.truncate(len);
    out.into()
}

fn plain(address: SocketAddr, method: &str, path: &str, body: Arc<[u8]>) -> Transfer {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n", body.len());
    Transfer { head: head.into_bytes(), body }
}

fn signed(access: &Access, method: &str, path: &str, hash: Hash, body: Arc<[u8]>) -> Result<Transfer> {
    let payload = match hash {
        Hash::None => None,
        Hash::Sha256 => Some(&body[..]),
    };
    Ok(Transfer { head: access.s3(method, path, body.len(), payload)?, body })
}

fn nothing() -> Arc<[u8]> {
    Arc::from([])
}

/// Measures, and says each figure as soon as it is known.
#[allow(clippy::print_stderr, reason = "the progress of a task of minutes")]
pub fn run(bench: &Bench) -> Result<Table> {
    let (nginx, rados) = (Nginx::start(bench)?, Rados::start(bench)?);
    let mut ours = Ours::start(bench)?;
    for access in [ours.access(), &rados.access] {
        let mut setup = Link::open(access.address)?;
        for bucket in [BUCKET, MANY_BUCKET] {
            setup.body(&signed(access, "PUT", &format!("/{bucket}"), Hash::Sha256, nothing())?)?;
        }
    }
    let mut rows = Vec::new();
    let mut say = |row: Row| {
        eprintln!("{}: {} ({})", row.what, row.figure, row.beside);
        rows.push(row);
    };
    for cell in CELLS.iter().filter(|cell| bench.wants(cell.name)) {
        let [mine, theirs, ceph] = measure(cell, &ours, &nginx, &rados)?;
        if cell.put.is_none() && cell.bytes == 4 * KIB && cell.clients == 1 {
            say(latency(cell, &mine, &theirs));
        }
        say(ratio(cell, &ours, &mine, &theirs, &ceph));
    }
    if bench.wants("memory") {
        memory(&ours)?.into_iter().for_each(&mut say);
    }
    if bench.wants("list") {
        let filler = bench.filler("fill_s3")?;
        ours.pause(bench, |database| {
            let arguments = [&database.display().to_string(), MANY_BUCKET, &MANY.to_string(), &PREFIXES.to_string()];
            let filled = Command::new(filler).args(arguments).output()?;
            ensure!(filled.status.success(), "filling failed: {}", String::from_utf8_lossy(&filled.stderr));
            Ok(())
        })?;
        listings(&ours)?.into_iter().for_each(&mut say);
    }
    Ok(Table { name: "s3", rows })
}

/// A server of a measurement: its requests are ready.
struct Side<'a> {
    address: SocketAddr,
    pids: &'a [u32],
    transfers: Vec<Transfer>,
    runs: Vec<Run>,
}

impl<'a> Side<'a> {
    fn new(address: SocketAddr, pids: &'a [u32]) -> Self {
        Self { address, pids, transfers: Vec::new(), runs: Vec::new() }
    }

    /// Adds a transfer of this object: a PUT is what is measured, or prepares for the GET that is.
    fn add(&mut self, cell: &Cell, store: Transfer, fetch: Transfer) -> Result<()> {
        if cell.put.is_some() {
            self.transfers.push(store);
            return Ok(());
        }
        let mut link = Link::open(self.address)?;
        link.body(&store)?;
        if self.transfers.is_empty() {
            ensure!(link.body(&fetch)?[..] == store.body[..], "other bytes came back");
        }
        self.transfers.push(fetch);
        Ok(())
    }

    fn turn(&mut self, cell: &Cell, turn: usize) -> Result<()> {
        let time = if turn == 0 { WARM_UP } else { TURN };
        let run = drive(self.address, self.pids, cell.clients, &self.transfers, time, usize::MAX)?;
        if turn > 0 {
            self.runs.push(run);
        }
        Ok(())
    }
}

/// Ours, nginx's and Ceph's, in turns.
fn measure(cell: &Cell, ours: &Ours, nginx: &Nginx, rados: &Rados) -> Result<[Run; 3]> {
    let (access, body, pid) = (ours.access(), bytes(cell.bytes), [ours.pid()]);
    let hash = cell.put.unwrap_or(Hash::None);
    let mut sides = [
        Side::new(access.address, &pid),
        Side::new(nginx.address, &nginx.workers),
        Side::new(rados.access.address, &rados.pids),
    ];
    let [mine, theirs, ceph] = &mut sides;
    for name in (0..cell.objects).map(|n| format!("/{BUCKET}/{}-{n}", cell.bytes)) {
        for (side, access) in [(&mut *mine, access), (&mut *ceph, &rados.access)] {
            let store = signed(access, "PUT", &name, hash, body.clone())?;
            side.add(cell, store, signed(access, "GET", &name, Hash::None, nothing())?)?;
        }
        let store = plain(nginx.address, "PUT", &name, body.clone());
        theirs.add(cell, store, plain(nginx.address, "GET", &name, nothing()))?;
    }
    for turn in 0..=TURNS {
        for side in &mut sides {
            side.turn(cell, turn)?;
        }
    }
    Ok(sides.map(|side| Run::merged(side.runs)))
}

fn latency(cell: &Cell, mine: &Run, theirs: &Run) -> Row {
    let p50 = mine.quantile(50);
    Row {
        what: format!("{}: half of all within", cell.name),
        figure: format!("{p50:.3} ms"),
        aim: format!("< {P50_AIM_MS:.0} ms"),
        met: Some(p50 < P50_AIM_MS),
        beside: format!(
            "nginx {:.3} ms; 99 of 100 within {:.2} ms, nginx {:.2} ms",
            theirs.quantile(50),
            mine.quantile(99),
            theirs.quantile(99)
        ),
    }
}

#[allow(clippy::cast_precision_loss, reason = "sizes and counts of a benchmark")]
fn ratio(cell: &Cell, ours: &Ours, mine: &Run, theirs: &Run, ceph: &Run) -> Row {
    let ratio = mine.cpu_ms() / theirs.cpu_ms();
    let rate = |run: &Run| match cell.bytes {
        bytes if bytes >= MIB => format!("{:.0} MB/s", run.count as f64 * bytes as f64 / run.seconds / 1e6),
        _ => format!("{:.0}/s", run.count as f64 / run.seconds),
    };
    let cpu = |run: &Run| {
        if run.cpu_ms() < 1.0 { format!("{:.0} µs", run.cpu_ms() * 1000.0) } else { format!("{:.1} ms", run.cpu_ms()) }
    };
    Row {
        what: format!("{}: server CPU, {} beside nginx", cell.name, ours.name()),
        figure: format!("{ratio:.2}"),
        aim: cell.aim.map(|aim| format!("≤ {aim:.1}")).unwrap_or_default(),
        met: cell.aim.map(|aim| ratio <= aim),
        beside: format!(
            "{}, nginx {}, radosgw {}; {}, {}, {}; half within {:.2}, {:.2}, {:.2} ms; 99 of 100 within {:.1}, {:.1}, {:.1} ms",
            cpu(mine),
            cpu(theirs),
            cpu(ceph),
            rate(mine),
            rate(theirs),
            rate(ceph),
            mine.quantile(50),
            theirs.quantile(50),
            ceph.quantile(50),
            mine.quantile(99),
            theirs.quantile(99),
            ceph.quantile(99)
        ),
    }
}

/// The most memory that many large transfers at once take.
fn memory(ours: &Ours) -> Result<Vec<Row>> {
    let (access, body) = (ours.access(), bytes(PARALLEL_BYTES));
    let mut rows = Vec::new();
    for method in ["PUT", "GET"] {
        let name = |n: usize| format!("/{BUCKET}/parallel-{}", if method == "GET" { n % 4 } else { n });
        let body = if method == "PUT" { body.clone() } else { nothing() };
        let transfers: Vec<_> =
            (0..PARALLEL).map(|n| signed(access, method, &name(n), Hash::None, body.clone())).collect::<Result<_>>()?;
        process::forget_peak(ours.pid())?;
        let run = drive(access.address, &[ours.pid()], PARALLEL, &transfers, PARALLEL_TIME, PARALLEL)?;
        ensure!(run.count == PARALLEL, "{} of {PARALLEL} transfers", run.count);
        let peak = process::peak_mib(ours.pid())?;
        rows.push(Row {
            what: format!("{PARALLEL} {method}s of 64 MiB at once: most memory"),
            figure: format!("{peak:.0} MiB"),
            aim: format!("≤ {MEMORY_AIM_MIB:.0} MiB"),
            met: Some(peak <= MEMORY_AIM_MIB),
            beside: format!("resident set of {}; all done in {:.1} s", ours.name(), run.seconds),
        });
    }
    for n in 4..PARALLEL {
        let gone = signed(access, "DELETE", &format!("/{BUCKET}/parallel-{n}"), Hash::None, nothing())?;
        Link::open(access.address)?.body(&gone)?;
    }
    Ok(rows)
}

fn listings(ours: &Ours) -> Result<Vec<Row>> {
    let access = ours.access();
    let half = format!("p{:04}/", PREFIXES / 2);
    let kinds = [
        (format!("a page of {PAGE} keys of {MANY}"), format!("list-type=2&max-keys={PAGE}"), "Key", PAGE),
        (
            format!("a page of {PAGE} keys from the middle of {MANY}"),
            format!("list-type=2&max-keys={PAGE}&start-after={}", half.replace('/', "%2F")),
            "Key",
            PAGE,
        ),
        (
            format!("all {PREFIXES} common prefixes of {MANY} keys"),
            format!("delimiter=%2F&list-type=2&max-keys={PAGE}"),
            "CommonPrefixes",
            PREFIXES,
        ),
        (
            format!("one key of {MANY} by its prefix"),
            format!("list-type=2&prefix={}", format!("{half}k{:07}", MANY / 2 + 42).replace('/', "%2F")),
            "Key",
            1,
        ),
    ];
    let mut rows = Vec::new();
    for (what, query, element, items) in kinds {
        // `query` is in the order that a signature wants.
        let transfer = signed(access, "GET", &format!("/{MANY_BUCKET}?{query}"), Hash::None, nothing())?;
        let body = String::from_utf8_lossy(&Link::open(access.address)?.body(&transfer)?).into_owned();
        let got =
            if element == "Key" { elements(&body, "Key").len() } else { body.matches("<CommonPrefixes>").count() };
        ensure!(got == items, "{what}: {got} items, not {items}");
        let transfers = [transfer];
        drive(access.address, &[ours.pid()], 1, &transfers, WARM_UP, usize::MAX)?;
        let run = drive(access.address, &[ours.pid()], 1, &transfers, TURN * 2, usize::MAX)?;
        let p50 = run.quantile(50);
        // A page of common prefixes is as many seeks.
        let bound = element == "Key";
        rows.push(Row {
            what,
            figure: format!("{p50:.2} ms"),
            aim: if bound { format!("≤ {LIST_AIM_MS:.0} ms") } else { String::new() },
            met: bound.then_some(p50 <= LIST_AIM_MS),
            beside: format!(
                "99 of 100 within {:.2} ms; server CPU {:.2} ms; {} KiB",
                run.quantile(99),
                run.cpu_ms(),
                body.len() / KIB
            ),
        });
    }
    Ok(rows)
}
