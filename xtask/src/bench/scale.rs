//! Descriptions at a hundred thousand instances beside the same at a thousand: two clouds side by side, asked in turn.
//!
//! The instances are rows that the store's own code wrote while the cloud was down (crates/store/examples/fill.rs):
//! stopped before any node took them, so that the clouds have nothing to do for them.

use super::client::{Connection, Prepared, elements};
use super::cloud::Cloud;
use super::load::{Until, drive};
use super::report::{Row, Table};
use super::{Bench, median, pause, process};

use anyhow::{Context as _, Result, ensure};
use std::process::Command;
use std::time::{Duration, Instant};

const FEW: usize = 1000;
const MANY: usize = 100_000;
const OPTIONS: [&str; 2] = ["--simulate", "1"];
const RATIO_AIM: f64 = 2.0;
/// Turns of each measurement; in each turn one cloud after the other is asked.
const TURNS: usize = 5;
const TURN: Duration = Duration::from_millis(600);
const WARM_UP: Duration = Duration::from_millis(600);
/// Tokens that pages are asked for with.
const TOKENS: usize = 9;
/// Instances that are asked for one by one: as many in both clouds, from all over their ids.
const KNOWN_MIN: usize = 400;
/// Of those that differ (fill.rs).
const RARE: usize = 10;
const PAGE: usize = 100;
/// A cloud that has just begun to run hears of all its instances first.
const SETTLE_MAX: Duration = Duration::from_secs(600);
const SETTLED_CPU: f64 = 0.03;
const IDLE: Duration = Duration::from_secs(20);

/// A cloud and what is known of the instances in it.
struct Filled {
    cloud: Cloud,
    /// From all over: id, private address, interface.
    known: Vec<[String; 3]>,
    /// Of one that differs.
    rare: Rare,
    /// Tokens of pages one after the other; at many instances, ten times as far from each other.
    tokens: Vec<String>,
    idle_percent: f64,
    memory_mib: f64,
}

#[derive(Debug, Clone)]
struct Rare {
    subnet: String,
    vpc: String,
    group: String,
    image: String,
}

type Params<'a> = Vec<(&'a str, &'a str)>;

fn filter<'a>(name: &'a str, value: &'a str) -> Params<'a> {
    vec![("Filter.1.Name", name), ("Filter.1.Value.1", value)]
}

impl Filled {
    fn new(bench: &Bench, loader: &std::path::Path, count: usize) -> Result<Self> {
        let name = format!("scale-{count}");
        let mut cloud = Cloud::start(bench, &name, &OPTIONS)?;
        let mut connection = Connection::open(cloud.access.address)?;
        let zones = cloud.access.ec2("DescribeAvailabilityZones", &[])?;
        let zones = String::from_utf8_lossy(connection.call(&zones)?).into_owned();
        let zone = *elements(&zones, "zoneName").first().context("no zone")?;
        let database = format!("sqlite:{}", cloud.state.join("mallee.db").display());
        let mut said = String::new();
        cloud.pause(bench, &name, &OPTIONS, || {
            let filled = Command::new(loader).args([database.as_str(), zone, &count.to_string()]).output()?;
            let error = String::from_utf8_lossy(&filled.stderr);
            ensure!(filled.status.success(), "filling the database with {count} instances: {}", error.trim());
            said = String::from_utf8(filled.stdout)?;
            Ok(())
        })?;
        let (known, rare) = loaded(&said)?;
        let idle_percent = idle(&cloud)?;
        let mut connection = Connection::open(cloud.access.address)?;
        let mut tokens: Vec<String> = Vec::new();
        let page = if count > FEW { "1000" } else { "100" };
        while tokens.len() < TOKENS {
            let mut params = vec![("MaxResults", page)];
            params.extend(tokens.last().map(|token| ("NextToken", token.as_str())));
            let body = connection.call(&cloud.access.ec2("DescribeInstances", &params)?)?;
            match elements(&String::from_utf8_lossy(body), "nextToken").first() {
                Some(token) => tokens.push((*token).to_owned()),
                None => break,
            }
        }
        let (memory_mib, _) = process::memory_mib(cloud.pid())?;
        Ok(Self { cloud, known, rare, tokens, idle_percent, memory_mib })
    }

    /// Requests of one kind, one for each instance that is known.
    fn each(&self, action: &str, params: impl Fn(&[String; 3]) -> Vec<(String, String)>) -> Result<Vec<Prepared>> {
        let prepared = self.known.iter().take(KNOWN_MIN).map(|known| {
            let params = params(known);
            let params: Params<'_> = params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            self.cloud.access.ec2(action, &params)
        });
        prepared.collect()
    }

    fn one(&self, action: &str, params: &[(&str, &str)]) -> Result<Vec<Prepared>> {
        Ok(vec![self.cloud.access.ec2(action, params)?])
    }

    /// How often the reply to a request has an element.
    fn count(&self, request: &Prepared, element: &str) -> Result<usize> {
        let mut connection = Connection::open(self.cloud.access.address)?;
        Ok(elements(&String::from_utf8_lossy(connection.call(request)?), element).len())
    }
}

/// What the loader said it wrote.
fn loaded(said: &str) -> Result<(Vec<[String; 3]>, Rare)> {
    let (mut known, mut rare) = (Vec::new(), None);
    for line in said.lines() {
        let mut words = line.split(' ').map(str::to_owned);
        let kind = words.next().unwrap_or_default();
        let mut word = || words.next().with_context(|| format!("a line of the loader: {line}"));
        match kind.as_str() {
            "rare" => rare = Some(Rare { subnet: word()?, vpc: word()?, group: word()?, image: word()? }),
            _ => known.push([word()?, word()?, word()?]),
        }
    }
    ensure!(known.len() >= KNOWN_MIN, "the loader named {} instances", known.len());
    Ok((known, rare.context("none differs")?))
}

/// Waits until a cloud has heard of all its instances; what it then uses of a core when nobody asks it.
fn idle(cloud: &Cloud) -> Result<f64> {
    let second = Duration::from_secs(1);
    let used = |time: Duration| -> Result<f64> {
        let before = process::cpu_seconds(cloud.pid())?;
        pause(time);
        Ok((process::cpu_seconds(cloud.pid())? - before) / time.as_secs_f64())
    };
    let start = Instant::now();
    while used(second)? > SETTLED_CPU {
        ensure!(start.elapsed() < SETTLE_MAX, "the cloud is still busy after {} s", SETTLE_MAX.as_secs());
    }
    Ok(used(IDLE)? * 100.0)
}

/// What is measured: its name, the requests to one of the clouds, and how many items each reply has.
struct Kind {
    what: &'static str,
    requests: fn(&Filled) -> Result<Vec<Prepared>>,
    element: &'static str,
    items: usize,
    /// Whether the ratio has an aim.
    bound: bool,
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn filter_of(name: &str, value: &str) -> Vec<(String, String)> {
    vec![pair("Filter.1.Name", name), pair("Filter.1.Value.1", value)]
}

const fn kind(what: &'static str, items: usize, requests: fn(&Filled) -> Result<Vec<Prepared>>) -> Kind {
    Kind { what, requests, element: "instanceId", items, bound: true }
}

const KINDS: &[Kind] = &[
    kind("DescribeInstances by id", 1, |f| f.each("DescribeInstances", |k| vec![pair("InstanceId.1", &k[0])])),
    kind("… by `private-ip-address`", 1, |f| f.each("DescribeInstances", |k| filter_of("private-ip-address", &k[1]))),
    kind("… by a tag's key and value", RARE, |f| f.one("DescribeInstances", &filter("tag:Team", "rare"))),
    kind("… by `tag-key`", RARE, |f| f.one("DescribeInstances", &filter("tag-key", "Team"))),
    kind("… by `subnet-id`", RARE, |f| f.one("DescribeInstances", &filter("subnet-id", &f.rare.subnet))),
    kind("… by `vpc-id`", RARE, |f| f.one("DescribeInstances", &filter("vpc-id", &f.rare.vpc))),
    kind("… by `instance.group-id`", RARE, |f| {
        f.one("DescribeInstances", &filter("instance.group-id", &f.rare.group))
    }),
    kind("… by `instance-type`", RARE, |f| f.one("DescribeInstances", &filter("instance-type", "t3.large"))),
    kind("… by `image-id`", RARE, |f| f.one("DescribeInstances", &filter("image-id", &f.rare.image))),
    kind("… by `key-name`", RARE, |f| f.one("DescribeInstances", &filter("key-name", "rare"))),
    kind("… by `instance-state-name`", RARE, |f| {
        f.one("DescribeInstances", &filter("instance-state-name", "terminated"))
    }),
    kind("… by a tag and three states that nearly all are in", RARE, |f| {
        let mut params = filter("tag:Team", "rare");
        params.extend([("Filter.2.Name", "instance-state-name"), ("Filter.2.Value.1", "running")]);
        params.extend([("Filter.2.Value.2", "stopped"), ("Filter.2.Value.3", "pending")]);
        f.one("DescribeInstances", &params)
    }),
    kind("the first page of 100", PAGE, |f| f.one("DescribeInstances", &[("MaxResults", "100")])),
    kind("the pages of 100 after it", PAGE, |f| {
        let page =
            |token: &String| f.cloud.access.ec2("DescribeInstances", &[("MaxResults", "100"), ("NextToken", token)]);
        f.tokens.iter().map(page).collect()
    }),
    kind("the first page of 100 by a state that nearly all are in", PAGE, |f| {
        let mut params = filter("instance-state-name", "stopped");
        params.push(("MaxResults", "100"));
        f.one("DescribeInstances", &params)
    }),
    kind("the first page of 100 by a tag that all have", PAGE, |f| {
        let mut params = filter("tag:Env", "prod");
        params.push(("MaxResults", "100"));
        f.one("DescribeInstances", &params)
    }),
    kind("DescribeInstanceStatus by id", 1, |f| {
        f.each("DescribeInstanceStatus", |k| vec![pair("InstanceId.1", &k[0]), pair("IncludeAllInstances", "true")])
    }),
    kind("DescribeInstanceStatus of those that run (none)", 0, |f| f.one("DescribeInstanceStatus", &[])),
    Kind {
        what: "DescribeTags by `resource-id`",
        requests: |f| f.each("DescribeTags", |k| filter_of("resource-id", &k[0])),
        element: "resourceId",
        items: 2,
        bound: true,
    },
    Kind {
        what: "DescribeNetworkInterfaces by id",
        requests: |f| f.each("DescribeNetworkInterfaces", |k| vec![pair("NetworkInterfaceId.1", &k[2])]),
        element: "networkInterfaceId",
        items: 1,
        bound: true,
    },
    Kind {
        what: "a tag with a wildcard, which reads all instances",
        requests: |f| f.one("DescribeInstances", &filter("tag:Team", "ra*")),
        element: "instanceId",
        items: RARE,
        bound: false,
    },
];

/// Measures, and says each figure as soon as it is known: all of them together take minutes.
#[allow(clippy::print_stderr, reason = "the progress of a task")]
pub fn run(bench: &Bench) -> Result<Table> {
    let loader = bench.filler("fill")?;
    let few = Filled::new(bench, &loader, FEW)?;
    let many = Filled::new(bench, &loader, MANY)?;
    let mut rows = Vec::new();
    for kind in KINDS {
        let row = measure(kind, &few, &many)?;
        eprintln!("{}: {} ({})", row.what, row.figure, row.beside);
        rows.push(row);
    }
    rows.push(Row {
        what: format!("idle with {MANY} stopped instances: CPU"),
        figure: format!("{:.2} %", many.idle_percent),
        aim: "< 1 %".to_owned(),
        met: Some(many.idle_percent < 1.0),
        beside: format!(
            "of one core, over {} s; at {FEW} {:.2} %; resident set {:.0} MiB beside {:.0} MiB",
            IDLE.as_secs(),
            few.idle_percent,
            many.memory_mib,
            few.memory_mib
        ),
    });
    Ok(Table { name: "scale", rows })
}

fn measure(kind: &Kind, few: &Filled, many: &Filled) -> Result<Row> {
    let ask = |filled: &Filled, requests: &[Prepared], time| {
        drive(filled.cloud.access.address, filled.cloud.pid(), 1, requests, Until::Elapsed(time))
    };
    let clouds = [few, many];
    let mut requests = Vec::new();
    for filled in clouds {
        let made = (kind.requests)(filled)?;
        let items = filled.count(made.first().context("no request")?, kind.element)?;
        ensure!(items == kind.items, "{}: {items} items, not {}", kind.what, kind.items);
        ask(filled, &made, WARM_UP)?;
        requests.push(made);
    }
    let (mut times, mut cpu) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..TURNS {
        for (at, filled) in clouds.into_iter().enumerate() {
            let run = ask(filled, &requests[at], TURN)?;
            times[at].push(run.median_ms);
            cpu[at].push(run.server_ms());
        }
    }
    let ([few_ms, many_ms], [few_cpu, many_cpu]) = (times.map(median), cpu.map(median));
    let ratio = many_ms / few_ms;
    Ok(Row {
        what: kind.what.to_owned(),
        figure: format!("{ratio:.2}"),
        aim: if kind.bound { format!("≤ {RATIO_AIM:.0}") } else { String::new() },
        met: kind.bound.then_some(ratio <= RATIO_AIM),
        beside: format!(
            "{many_ms:.2} ms beside {few_ms:.2} ms; server CPU per call {many_cpu:.2} ms beside {few_cpu:.2} ms"
        ),
    })
}
