//! The commands that ask a running cloud something and print the answer.

use crate::{Access, Client};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `mallee status`.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    /// Wait until every service is ready and at least one node can take instances.
    #[arg(long)]
    pub wait: bool,
    /// Longest wait, in seconds.
    #[arg(long, default_value_t = 120)]
    pub timeout: u64,
    /// Print the raw answer.
    #[arg(long)]
    pub json: bool,
}

/// `mallee explain ID`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExplainArgs {
    /// An instance id.
    pub id: String,
    /// Print the raw answer.
    #[arg(long)]
    pub json: bool,
}

/// `mallee check`.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// Mend what is safe to mend.
    #[arg(long)]
    pub repair: bool,
    /// Print the raw answer.
    #[arg(long)]
    pub json: bool,
}

/// `mallee image NAME`.
#[derive(Debug, Clone, clap::Args)]
pub struct ImageArgs {
    /// The image's name, for example `tiny`.
    pub name: String,
    /// Upload this disk (qcow2 or raw) and register it under the name first.
    #[arg(long, value_name = "FILE")]
    pub add: Option<PathBuf>,
}

/// `mallee node token`.
#[derive(Debug, Clone, clap::Args)]
pub struct TokenArgs {
    /// What the bearer becomes: node, cluster, walrus.
    #[arg(long, default_value = "node")]
    pub role: String,
    /// The availability zone it joins (default: the cloud's first).
    #[arg(long)]
    pub zone: Option<String>,
    /// Fix the bearer's name.
    #[arg(long)]
    pub name: Option<String>,
    /// Seconds until the token expires.
    #[arg(long, default_value_t = 3600)]
    pub ttl: u64,
}

/// Where `mallee image --add` puts disks.
const IMAGES_BUCKET: &str = "images";
/// Between two tries to reach a cloud that is starting.
const STATUS_RETRY: Duration = Duration::from_millis(200);
/// Longest wait for an image to be checked and copied.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(900);

#[allow(clippy::print_stdout)]
pub(crate) fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}

pub(crate) fn rows<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// Prints the export lines of the cloud whose state is in `state`.
///
/// # Errors
/// When there is none.
pub fn env(state: &Path) -> Result<()> {
    say(Access::read(state)?.export_lines().trim_end());
    Ok(())
}

/// Prints every service and node; with `--wait`, until they are ready. `connect` makes a client: while waiting it is
/// asked again, because a cloud that is starting for the first time has yet to write its keys.
///
/// # Errors
/// When there is no cloud, it does not answer, or is not ready in time.
pub async fn status(connect: impl Fn() -> Result<Client>, args: &StatusArgs) -> Result<()> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(args.timeout);
    let path = if args.wait { "/mallee/v1/status?wait=5" } else { "/mallee/v1/status" };
    loop {
        let answer = match connect() {
            Ok(client) => client.get(path).await,
            Err(error) => Err(error),
        };
        let ready = answer.as_ref().is_ok_and(|a| a["ready"].as_bool() == Some(true));
        if ready || !args.wait || tokio::time::Instant::now() >= deadline {
            let answer = answer?;
            print_status(&answer, args.json);
            if args.wait && !ready {
                bail!("the cloud was not ready within {} seconds: {}", args.timeout, text(&answer, "reason"));
            }
            return Ok(());
        }
        if answer.is_err() {
            tokio::time::sleep(STATUS_RETRY).await;
        }
    }
}

fn print_status(answer: &Value, json: bool) {
    if json {
        return say(answer);
    }
    say(format_args!("{:<10} {:<24} {:<9} {:<20} DETAIL", "SERVICE", "NAME", "STATE", "SINCE"));
    for service in rows(answer, "services") {
        let (role, name) = (text(service, "role"), text(service, "name"));
        let (state, since) = (text(service, "state"), utc(service["since_ms"].as_i64().unwrap_or_default()));
        say(format_args!("{role:<10} {name:<24} {state:<9} {since:<20} {}", text(service, "detail")));
    }
    say("");
    say(format_args!(
        "{:<24} {:<12} {:<10} {:>9} {:>15} {:>10}  HYPERVISOR",
        "NODE", "ZONE", "STATE", "VCPUS", "MEMORY MIB", "INSTANCES"
    ));
    for node in rows(answer, "nodes") {
        let vcpus = format!("{}/{}", node["used"]["vcpus"], node["total"]["vcpus"]);
        let memory = format!("{}/{}", node["used"]["memory_mib"], node["total"]["memory_mib"]);
        say(format_args!(
            "{:<24} {:<12} {:<10} {vcpus:>9} {memory:>15} {:>10}  {}",
            text(node, "id"),
            text(node, "zone"),
            text(node, "state"),
            node["instances"],
            text(node, "hypervisor")
        ));
        for warning in rows(node, "warnings") {
            say(format_args!("  note: {}", warning.as_str().unwrap_or_default()));
        }
    }
}

/// A time in Unix milliseconds as `2026-01-31T12:34:56Z`.
fn utc(ms: i64) -> String {
    let Ok(at) = time::OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)) else { return "-".to_owned() };
    let (date, (hour, minute, second)) = (at.date(), at.to_hms());
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Prints why an instance is where it is, or nowhere.
///
/// # Errors
/// When the cloud does not know it.
pub async fn explain(client: &Client, args: &ExplainArgs) -> Result<()> {
    let answer = client.get(&format!("/mallee/v1/explain/{}", args.id)).await?;
    if args.json {
        say(&answer);
        return Ok(());
    }
    for line in rows(&answer, "lines") {
        say(line.as_str().unwrap_or_default());
    }
    Ok(())
}

/// Compares intent, observation and host truth; prints what differs.
///
/// # Errors
/// When something differs and was not repaired (so that scripts see it).
pub async fn check(client: &Client, args: &CheckArgs) -> Result<()> {
    let answer = client.post("/mallee/v1/check", &json!({ "repair": args.repair })).await?;
    if args.json {
        say(&answer);
    } else {
        for finding in rows(&answer, "findings") {
            let repaired = if finding["repaired"].as_bool() == Some(true) { " (repaired)" } else { "" };
            say(format_args!(
                "{} {}: {}{repaired}",
                text(finding, "invariant"),
                text(finding, "subject"),
                text(finding, "problem")
            ));
        }
        say(format_args!("checked {} resources", answer["checked"]));
    }
    let open = rows(&answer, "findings").filter(|f| f["repaired"].as_bool() != Some(true)).count();
    if open > 0 {
        bail!("{open} findings; `mallee check --repair` mends what is safe");
    }
    Ok(())
}

/// Prints the id of the newest image with this name; with `--add`, uploads and registers it first, and waits until it
/// can be launched.
///
/// # Errors
/// When there is none, or the file is no disk image.
pub async fn image(client: &Client, args: &ImageArgs) -> Result<()> {
    if let Some(file) = &args.add {
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or("disk");
        let key = format!("{}/{name}", args.name);
        client.ensure_bucket(IMAGES_BUCKET).await?;
        client.upload(file, IMAGES_BUCKET, &key).await?;
        client.register_image(&args.name, &format!("{IMAGES_BUCKET}/{key}")).await?;
    }
    let deadline = tokio::time::Instant::now() + IMPORT_TIMEOUT;
    loop {
        let answer = client.get(&format!("/mallee/v1/images/{}?wait=20", args.name)).await?;
        match text(&answer, "state") {
            "available" => {
                say(text(&answer, "id"));
                return Ok(());
            }
            "pending" if tokio::time::Instant::now() < deadline => {}
            state => bail!("the image {} is {state}: {}", args.name, text(&answer, "reason")),
        }
    }
}

/// Prints a one-time join token.
///
/// # Errors
/// When the cloud refuses to make one.
pub async fn node_token(client: &Client, args: &TokenArgs) -> Result<()> {
    let body = json!({ "role": args.role, "zone": args.zone, "name": args.name, "ttl_seconds": args.ttl });
    let answer = client.post("/mallee/v1/join-tokens", &body).await?;
    say(text(&answer, "token"));
    Ok(())
}
