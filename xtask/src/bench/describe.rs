//! DescribeInstances: 500 in one reply, and one by its id.

use super::Bench;
use super::client::Connection;
use super::cloud::Cloud;
use super::load::{Run, Until, drive};
use super::report::{Row, Table};
use anyhow::{Result, ensure};
use std::time::Duration;

const NODES: &str = "100";
/// Instances there are, all in one reply.
const INSTANCES: usize = 500;
/// Instances per launch while the cloud is filled.
const PER_CALL: usize = 50;
/// Clients of the whole list; as many as the machine of the budget has cores.
const LIST_CLIENTS: usize = 2;
/// Clients of single descriptions.
const ID_CLIENTS: usize = 8;
const TIME: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_secs(1);
const LIST_AIM_MS: f64 = 10.0;
const LIST_AIM: f64 = 200.0;
const ID_AIM: f64 = 5000.0;

/// Measures.
pub fn run(bench: &Bench) -> Result<Table> {
    let cloud = Cloud::start(bench, "describe", &["--simulate", NODES])?;
    let (address, pid) = (cloud.access.address, cloud.pid());
    let fill = [cloud.run_instances(PER_CALL)?];
    drive(address, pid, 1, &fill, Until::Count(INSTANCES / PER_CALL))?;
    let mut connection = Connection::open(address)?;
    cloud.settle(&mut connection, Duration::from_millis(50), Duration::from_secs(60))?;
    let ids = cloud.instances(&mut connection, "running")?;
    ensure!(ids.len() == INSTANCES, "{} of {INSTANCES} instances run", ids.len());

    let health = [cloud.access.health()];
    let list = [cloud.access.ec2("DescribeInstances", &[])?];
    let body = connection.call(&list[0])?;
    let kib = body.len() / 1024;
    ensure!(String::from_utf8_lossy(body).matches("<instanceId>").count() == INSTANCES, "the reply has not all");
    let single = ids.iter().map(|id| cloud.access.ec2("DescribeInstances", &[("InstanceId.1", id)]));
    let single = single.collect::<Result<Vec<_>>>()?;

    let measure = |clients, requests: &[_]| -> Result<Run> {
        drive(address, pid, clients, requests, Until::Elapsed(WARM_UP))?;
        drive(address, pid, clients, requests, Until::Elapsed(TIME))
    };
    let alone = measure(1, &list)?;
    let listed = measure(LIST_CLIENTS, &list)?;
    let one = measure(ID_CLIENTS, &single)?;
    let nothing = measure(ID_CLIENTS, &health)?;
    let row = |what: String, run: &Run, figure: String, aim: String, met: bool| Row {
        what,
        figure,
        aim,
        met: Some(met),
        beside: format!(
            "{:.3} of `GET /health` ({:.0}/s from {ID_CLIENTS} clients); CPU per call: server {:.2} ms, client {:.2} ms",
            run.per_second() / nothing.per_second(),
            nothing.per_second(),
            run.server_ms(),
            run.client_cpu * run.server_ms() / run.server_cpu.max(f64::MIN_POSITIVE)
        ),
    };
    let rows = vec![
        row(
            format!("DescribeInstances, {INSTANCES} in one reply ({kib} KiB), 1 client, median"),
            &alone,
            format!("{:.1} ms", alone.median_ms),
            format!("≤ {LIST_AIM_MS:.0} ms"),
            alone.median_ms <= LIST_AIM_MS,
        ),
        row(
            format!("DescribeInstances, {INSTANCES} in one reply, {LIST_CLIENTS} clients"),
            &listed,
            format!("{:.0}/s", listed.per_second()),
            format!("≥ {LIST_AIM:.0}/s"),
            listed.per_second() >= LIST_AIM,
        ),
        row(
            format!("DescribeInstances of one by id, {INSTANCES} there, {ID_CLIENTS} clients"),
            &one,
            format!("{:.0}/s", one.per_second()),
            format!("≥ {ID_AIM:.0}/s"),
            one.per_second() >= ID_AIM,
        ),
    ];
    Ok(Table { name: "describe", rows })
}
