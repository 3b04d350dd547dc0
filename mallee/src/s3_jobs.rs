//! What an operator says of the object store's background work.

use anyhow::Result;
pub use mallee_walrus::JobsConfig;
use mallee_walrus::{Day, LOG_DELIVERY, Peers, Targets};
use std::time::Duration;

/// Settings of the object store's background work.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct S3JobsArgs {
    /// A webhook that buckets may notify, as arn:aws:sns:REGION:ACCOUNT:NAME; once for each.
    #[arg(long, value_name = "NAME=URL")]
    pub s3_webhook: Vec<String>,
    /// A queue that buckets may notify, as arn:aws:sqs:REGION:ACCOUNT:NAME; once for each.
    #[arg(long, value_name = "NAME=URL")]
    pub s3_queue: Vec<String>,
    /// Another object store that buckets may be replicated into, as arn:aws:s3:NAME::BUCKET; once for each. The secret of
    /// its key is in a file that only its owner may read. `kind=mallee`: versions keep their ids there. Further words:
    /// region=NAME, ca=FILE (whose certificates count), account=ID (whose buckets may go there), sse=bucket.
    #[arg(long, value_name = "NAME=URL,kind=mallee|s3,key=ID,secret-file=FILE[,…]")]
    pub s3_peer: Vec<String>,
    /// Webhooks and queues may be at addresses that are not public, this host's own among them.
    #[arg(long)]
    pub s3_private_targets: bool,
    /// Seconds between two deliveries of access logs (300 without it).
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub s3_log_delivery: Option<u32>,
    /// Seconds of a day of lifecycle rules and inventories (tests only).
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub s3_lifecycle_day: Option<u32>,
}

impl S3JobsArgs {
    /// The settings.
    ///
    /// # Errors
    /// A declaration that is none.
    pub fn config(&self) -> Result<JobsConfig> {
        let targets = Targets::declared(&self.s3_webhook, &self.s3_queue, self.s3_private_targets);
        let day = self.s3_lifecycle_day.map_or_else(Day::default, Day::of_seconds);
        let log_delivery = self.s3_log_delivery.map_or(LOG_DELIVERY, |seconds| Duration::from_secs(u64::from(seconds)));
        let peers = Peers::declared(&self.s3_peer).map_err(anyhow::Error::msg)?;
        Ok(JobsConfig { day, targets: targets.map_err(anyhow::Error::msg)?, peers, log_delivery })
    }
}
