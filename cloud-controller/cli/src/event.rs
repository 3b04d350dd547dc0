//! `mallee event …`: maintenance that the administrator announces.

use crate::Client;
use crate::commands::{rows, say, text, utc};
use anyhow::Result;
use serde_json::{Value, json};

/// `mallee event …`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum EventCommand {
    /// Announce maintenance for the instances on a node, or for some instances.
    Add(EventArgs),
    /// Show the events that are still to come.
    List {
        /// Those that ended within a week too.
        #[arg(long)]
        all: bool,
        /// Print the raw answer.
        #[arg(long)]
        json: bool,
    },
    /// Call events off.
    Cancel {
        /// The events' ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Say that what was announced was done.
    Complete {
        /// The events' ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// `mallee event add`.
#[derive(Debug, Clone, clap::Args)]
pub struct EventArgs {
    /// For all instances that are on this node now.
    #[arg(long, required_unless_present = "instances", conflicts_with = "instances")]
    pub node: Option<String>,
    /// For this instance; may be given more than once.
    #[arg(long = "instance", value_name = "ID", id = "instances")]
    pub instances: Vec<String>,
    /// What happens: instance-reboot, instance-stop and instance-retirement are done by the cloud, system-reboot and
    /// system-maintenance by you.
    #[arg(long)]
    pub code: String,
    /// Earliest start, for example 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub not_before: String,
    /// Latest end.
    #[arg(long, value_name = "TIME")]
    pub not_after: Option<String>,
    /// Until when the instances' owners may move the start; without one they may not.
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<String>,
    /// What is done, for the owners.
    #[arg(long)]
    pub description: String,
    /// Print the raw answer.
    #[arg(long)]
    pub json: bool,
}

/// Runs one of the commands.
///
/// # Errors
/// When the cloud does not answer, or refuses.
pub async fn event(client: &Client, command: &EventCommand) -> Result<()> {
    match command {
        EventCommand::Add(args) => add(client, args).await,
        EventCommand::List { all, json } => list(client, *all, *json).await,
        EventCommand::Cancel { ids } => end(client, ids, "canceled").await,
        EventCommand::Complete { ids } => end(client, ids, "completed").await,
    }
}

async fn add(client: &Client, args: &EventArgs) -> Result<()> {
    let instances = if args.node.is_some() { Value::Null } else { json!(args.instances) };
    let body = json!({
        "node": args.node,
        "instances": instances,
        "code": args.code,
        "not_before": args.not_before,
        "not_after": args.not_after,
        "deadline": args.deadline,
        "description": args.description,
    });
    let answer = client.post("/mallee/v1/events", &body).await?;
    if args.json {
        say(&answer);
        return Ok(());
    }
    for event in rows(&answer, "made") {
        say(format_args!("{} {}", text(event, "id"), text(event, "instance")));
    }
    for event in rows(&answer, "known") {
        say(format_args!("{} {} (announced before)", text(event, "id"), text(event, "instance")));
    }
    if rows(&answer, "made").chain(rows(&answer, "known")).next().is_none() {
        say("there is no instance on the node that this happens to");
    }
    Ok(())
}

async fn list(client: &Client, all: bool, json: bool) -> Result<()> {
    let path = if all { "/mallee/v1/events?all=true" } else { "/mallee/v1/events" };
    let answer = client.get(path).await?;
    if json {
        say(&answer);
        return Ok(());
    }
    say(format_args!(
        "{:<32} {:<19} {:<12} {:<19} {:<9} {:<20}  DESCRIPTION",
        "EVENT", "INSTANCE", "NODE", "CODE", "STATE", "NOT BEFORE"
    ));
    for event in rows(&answer, "events") {
        say(format_args!(
            "{:<32} {:<19} {:<12} {:<19} {:<9} {:<20}  {}",
            text(event, "id"),
            text(event, "instance"),
            text(event, "node"),
            text(event, "code"),
            text(event, "state"),
            utc(event["not_before_ms"].as_i64().unwrap_or_default()),
            text(event, "description")
        ));
    }
    Ok(())
}

async fn end(client: &Client, ids: &[String], state: &str) -> Result<()> {
    for id in ids {
        let answer = client.post(&format!("/mallee/v1/events/{id}"), &json!({ "state": state })).await?;
        say(format_args!("{} {}", text(&answer, "id"), text(&answer, "state")));
    }
    Ok(())
}
