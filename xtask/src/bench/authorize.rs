//! What it costs to know who calls and whether they may: CPU of a call that does next to nothing itself, of a user with
//! fifty statements, less that of `GET /health` on the same server in the same run.

use super::Bench;
use super::client::{Connection, elements};
use super::cloud::Cloud;
use super::load::{Run, Until, drive};
use super::report::{Row, Table};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::time::Duration;

const USER: &str = "fifty";
/// Policies of the user, and statements of each.
const POLICIES: usize = 5;
const STATEMENTS: usize = 10;
/// One: more would make more calls a second than an account may.
const CLIENTS: usize = 1;
const TIME: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_secs(1);
const AIM_US: f64 = 100.0;
/// It asks no database and says little, so what is measured is what comes before every handler.
const CALL: &str = "DescribeRegions";

/// Measures.
pub fn run(bench: &Bench) -> Result<Table> {
    let cloud = Cloud::start(bench, "authorize", &["--simulate", "1"])?;
    let (address, pid) = (cloud.access.address, cloud.pid());
    let mut connection = Connection::open(address)?;
    let mut iam = |action: &str, params: &[(&str, &str)]| -> Result<String> {
        Ok(String::from_utf8_lossy(connection.call(&cloud.access.iam(action, params)?)?).into_owned())
    };
    iam("CreateUser", &[("UserName", USER)])?;
    for n in 0..POLICIES {
        let (name, document) = (format!("policy-{n}"), document(n));
        let made = iam("CreatePolicy", &[("PolicyName", &name), ("PolicyDocument", &document)])?;
        let arn = *elements(&made, "Arn").first().context("no policy")?;
        iam("AttachUserPolicy", &[("UserName", USER), ("PolicyArn", arn)])?;
    }
    let keys = iam("CreateAccessKey", &[("UserName", USER)])?;
    let one = |name: &str| elements(&keys, name).first().map(|text| (*text).to_owned()).context("no access key");
    let user = cloud.access.with_keys(&one("AccessKeyId")?, &one("SecretAccessKey")?);

    let measure = |request| -> Result<Run> {
        let requests = [request];
        drive(address, pid, CLIENTS, &requests, Until::Elapsed(WARM_UP))?;
        drive(address, pid, CLIENTS, &requests, Until::Elapsed(TIME))
    };
    let nothing = measure(cloud.access.health())?;
    let of_root = measure(cloud.access.ec2(CALL, &[])?)?;
    let of_user = measure(user.ec2(CALL, &[])?)?;
    // The fifty statements decide: without the one that allows, the call is refused.
    let (status, _) = connection.answer(&user.ec2("DescribeVpcs", &[])?)?;
    ensure!(status == 403, "a call that no statement allows was answered with {status}");
    let row = |who: &str, run: &Run| {
        let more_us = (run.server_ms() - nothing.server_ms()) * 1000.0;
        Row {
            what: format!(
                "signature, decision, audit record and reply of {CALL}, {who}: CPU per call above `GET /health`"
            ),
            figure: format!("{more_us:.0} µs"),
            aim: format!("≤ {AIM_US:.0} µs"),
            met: Some(more_us <= AIM_US),
            beside: format!(
                "CPU per call {:.0} µs, of `GET /health` {:.0} µs; {:.0}/s from {CLIENTS} client",
                run.server_ms() * 1000.0,
                nothing.server_ms() * 1000.0,
                run.per_second()
            ),
        }
    };
    let of_fifty = format!("a user with {} statements", POLICIES * STATEMENTS);
    Ok(Table { name: "authorize", rows: vec![row(&of_fifty, &of_user), row("the account's root", &of_root)] })
}

/// Statements as they are in use: patterns, resources, conditions; the very last one allows the call.
fn document(policy: usize) -> String {
    let statement = |n: usize| {
        json!({
            "Sid": format!("S{policy}x{n}"),
            "Effect": if n % 5 == 4 { "Deny" } else { "Allow" },
            "Action": [format!("ec2:Run{n}*"), format!("s3:Get{policy}*"), "ec2:DescribeI*s"],
            "Resource": [format!("arn:aws:ec2:*:*:instance/i-{policy}{n}*"), "arn:aws:s3:::data/${aws:username}/*"],
            "Condition": {
                "StringLike": { "aws:RequestTag/team": format!("team-{n}-*") },
                "IpAddress": { "aws:SourceIp": ["10.0.0.0/8", "127.0.0.0/8"] },
            },
        })
    };
    let mut statements: Vec<_> = (0..STATEMENTS).map(statement).collect();
    if policy + 1 == POLICIES {
        statements[STATEMENTS - 1] = json!({ "Effect": "Allow", "Action": format!("ec2:{CALL}"), "Resource": "*" });
    }
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}
