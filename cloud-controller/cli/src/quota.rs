//! `mallee quota …`: quotas of accounts, and requests for more.

use crate::Client;
use crate::commands::{rows, say, text, utc};
use anyhow::{Result, bail};
use serde_json::json;

/// `mallee quota …`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum QuotaCommand {
    /// Show the quotas of an account and what is in use.
    List(ListArgs),
    /// Set a quota of an account, or with --default let it be the usual one again.
    Set(SetArgs),
    /// Show the open requests for higher quotas.
    Requests {
        /// Print the raw answer.
        #[arg(long)]
        json: bool,
    },
    /// Grant a request: the quota is what was asked for from now on.
    Grant {
        /// The request's id.
        id: String,
    },
    /// Refuse a request.
    Deny {
        /// The request's id.
        id: String,
    },
}

/// `mallee quota list ACCOUNT`.
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// Number or name of the account.
    pub account: String,
    /// Print the raw answer.
    #[arg(long)]
    pub json: bool,
}

/// `mallee quota set ACCOUNT SERVICE/CODE VALUE`.
#[derive(Debug, Clone, clap::Args)]
pub struct SetArgs {
    /// Number or name of the account.
    pub account: String,
    /// The quota, as `mallee quota list` shows it: ec2/L-1216C47A.
    pub quota: String,
    /// The most the account may have.
    #[arg(required_unless_present = "default")]
    pub value: Option<u64>,
    /// Let it be the usual quota again.
    #[arg(long, conflicts_with = "value")]
    pub default: bool,
}

/// Runs one of the commands.
///
/// # Errors
/// When the cloud does not answer, or refuses.
pub async fn quota(client: &Client, command: &QuotaCommand) -> Result<()> {
    match command {
        QuotaCommand::List(args) => list(client, args).await,
        QuotaCommand::Set(args) => set(client, args).await,
        QuotaCommand::Requests { json } => requests(client, *json).await,
        QuotaCommand::Grant { id } => decide(client, id, true).await,
        QuotaCommand::Deny { id } => decide(client, id, false).await,
    }
}

async fn list(client: &Client, args: &ListArgs) -> Result<()> {
    let answer = client.get(&format!("/mallee/v1/quotas/{}", args.account)).await?;
    if args.json {
        say(&answer);
        return Ok(());
    }
    say(format_args!("{:<30} {:>10} {:>10}  NAME", "QUOTA", "VALUE", "USED"));
    for quota in rows(&answer, "quotas") {
        let number = |key: &str| quota[key].as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
        let mark = if quota["is_set"].as_bool() == Some(true) { "*" } else { "" };
        let code = format!("{}/{}", text(quota, "service"), text(quota, "code"));
        let value = number("value") + mark;
        say(format_args!("{code:<30} {value:>10} {:>10}  {}", number("used"), text(quota, "name")));
    }
    say("* set by an administrator; - none");
    Ok(())
}

async fn set(client: &Client, args: &SetArgs) -> Result<()> {
    let Some((service, code)) = args.quota.split_once('/') else {
        bail!("{}: a quota is SERVICE/CODE, for example ec2/L-1216C47A", args.quota);
    };
    let body = json!({ "service": service, "code": code, "value": args.value });
    client.post(&format!("/mallee/v1/quotas/{}", args.account), &body).await?;
    match args.value {
        Some(value) => say(format_args!("{} of {}: {value}", args.quota, args.account)),
        None => say(format_args!("{} of {}: the usual one", args.quota, args.account)),
    }
    Ok(())
}

async fn requests(client: &Client, json: bool) -> Result<()> {
    let answer = client.get("/mallee/v1/quota-requests").await?;
    if json {
        say(&answer);
        return Ok(());
    }
    say(format_args!(
        "{:<32} {:<12} {:<30} {:>10} {:<20}  REQUESTER",
        "REQUEST", "ACCOUNT", "QUOTA", "DESIRED", "MADE"
    ));
    for request in rows(&answer, "requests") {
        let code = format!("{}/{}", text(request, "service"), text(request, "code"));
        say(format_args!(
            "{:<32} {:<12} {code:<30} {:>10} {:<20}  {}",
            text(request, "id"),
            text(request, "account"),
            request["desired"],
            utc(request["created_ms"].as_i64().unwrap_or_default()),
            text(request, "requester")
        ));
    }
    Ok(())
}

async fn decide(client: &Client, id: &str, grant: bool) -> Result<()> {
    let answer = client.post(&format!("/mallee/v1/quota-requests/{id}"), &json!({ "grant": grant })).await?;
    say(format_args!("{id}: {}", text(&answer, "status")));
    Ok(())
}
