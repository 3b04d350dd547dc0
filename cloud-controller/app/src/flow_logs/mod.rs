//! Flow logs: what interfaces send and get, recorded in objects of the account's own bucket. Here is what an account sets;
//! `deliver` is the way of the records, which nodes count in the kernel.

pub(crate) mod check;
mod deliver;
mod format;

pub use deliver::record;
pub use format::{DEFAULT_FORMAT, parse as parse_format};

use crate::fail::{OrFail as _, store_failure, wire_failure};
use crate::ids::parse_id;
use crate::once::{Once, record as remember};
use crate::quotas::{hold_account, table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_proto::Kind;
use mallee_store::{
    FlowLogFilter, FlowLogRow, InterfaceFilter, StoreError, Tx, change_append, flow_log_delete, flow_log_insert,
    flow_log_list, flow_log_tails_put, interface_fetch_locked, interface_list, subnet_hold, tag_put,
};
use mallee_types::{FlowLogId, InterfaceId, VpcId};
use std::collections::BTreeSet;

/// EC2's resource type for tags of a flow log.
pub const TAG_KIND: &str = "vpc-flow-log";
/// Resources that one call names at most (EC2: 1,000 with 25 of a transit gateway).
const RESOURCES_MAX: usize = 1000;
/// Longest prefix of keys, in bytes: S3's keys have 1,024.
const PREFIX_BYTES_MAX: usize = 512;
/// What keys cannot begin with: it follows.
const RESERVED_PREFIX: &str = "AWSLogs";
/// The operation's name in the log of client tokens.
const CREATE: &str = "CreateFlowLogs";
/// Why a resource was refused, in that log: it has one like it, or as many as it may have.
const THERE: &str = "there";
const TOO_MANY: &str = "many";

/// What flow logs are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedKind {
    /// All interfaces of a VPC.
    Vpc,
    /// All interfaces of a subnet.
    Subnet,
    /// One interface.
    Interface,
}

/// Where records go. Another kind of destination is another variant here, and another arm of `deliver`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The bucket, which must be the account's own.
    pub bucket: String,
    /// What keys begin with: ends in a slash, or is empty.
    pub prefix: String,
}

impl Destination {
    /// From an ARN: `arn:aws:s3:::bucket/prefix/`.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn parse(arn: &str) -> Result<Self, ApiError> {
        let wrong = |why: &str| ApiError::invalid_value("LogDestination", &mallee_awswire::texts::clip(arn), why);
        let rest = arn.strip_prefix("arn:aws:s3:::").ok_or_else(|| wrong("It must be the ARN of an S3 bucket."))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || bucket.len() > 63 {
            return Err(wrong("It names no bucket."));
        }
        let plain = prefix.len() <= PREFIX_BYTES_MAX && !prefix.chars().any(char::is_control);
        if !plain || prefix.split('/').next() == Some(RESERVED_PREFIX) {
            return Err(wrong("A folder has up to 512 bytes, and is not named AWSLogs."));
        }
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }

    /// Its ARN.
    #[must_use]
    pub fn arn(bucket: &str, prefix: &str) -> String {
        if prefix.is_empty() { format!("arn:aws:s3:::{bucket}") } else { format!("arn:aws:s3:::{bucket}/{prefix}") }
    }
}

/// Flow logs as a request gives them.
#[derive(Debug, Clone)]
pub struct NewFlowLogs {
    /// Of which kind the resources are.
    pub kind: LoggedKind,
    /// One flow log of each.
    pub resources: Vec<String>,
    /// `ACCEPT`, `REJECT` or `ALL`.
    pub traffic: &'static str,
    /// Where records go.
    pub destination: Destination,
    /// The format of records.
    pub format: String,
    /// The longest window, in seconds.
    pub interval_s: u32,
    /// Keys name what their parts are.
    pub hive: bool,
    /// Keys have the hour, too.
    pub per_hour: bool,
    /// Tags of each.
    pub tags: Vec<Tag>,
}

/// What could not be done: about which id, and why.
pub type Refused = (String, ApiError);

/// How long what nodes counted of something is delivered after it has gone: they tell it within minutes, if the way is open.
const TAIL_MS: i64 = 60 * 60 * 1000;

/// Takes away the flow logs of a VPC, a subnet or an interface that is about to go, and has clusters told. What is still to
/// come of its last minutes is delivered.
pub(crate) async fn end_of(tx: &mut Tx, resource: &str, now_ms: i64) -> Result<(), StoreError> {
    flow_log_tails_put(tx, resource, now_ms, now_ms - TAIL_MS).await?;
    forget_of(tx, resource).await
}

/// As [`end_of`], of an account that goes: there is nobody to deliver to.
pub(crate) async fn forget_of(tx: &mut Tx, resource: &str) -> Result<(), StoreError> {
    let resources = [resource.to_owned()];
    let filter = FlowLogFilter { resources: Some(&resources), ..Default::default() };
    for row in flow_log_list(&mut *tx, filter, mallee_store::PAGE_ROWS_MAX).await? {
        flow_log_delete(tx, &row.id).await?;
        change_append(tx, load::FLOW_LOG, &row.id, None);
    }
    Ok(())
}

/// What a repeated call is answered: a line with the ids of those made, and one for each resource that was refused.
fn remembered(made: &[String], refused: &[Refused]) -> String {
    let line = |(resource, error): &Refused| {
        let what = if error.code() == Code::FlowLogAlreadyExists { THERE } else { TOO_MANY };
        format!("\n{resource} {what} {}", error.message())
    };
    made.join(",") + &refused.iter().map(line).collect::<String>()
}

fn recalled(text: &str) -> (Vec<FlowLogId>, Vec<Refused>) {
    let mut lines = text.lines();
    let made = lines.next().unwrap_or_default().split(',').filter_map(|id| id.parse().ok()).collect();
    let refused = lines.filter_map(|line| {
        let (resource, rest) = line.split_once(' ')?;
        let (what, message) = rest.split_once(' ')?;
        let code = if what == THERE { Code::FlowLogAlreadyExists } else { Code::ResourceLimitExceeded };
        Some((resource.to_owned(), code.message(message.to_owned())))
    });
    (made, refused.collect())
}

/// Keeps what is to be logged from going before its flow log is there, which would be left over then.
async fn hold_logged(tx: &mut Tx, kind: LoggedKind, id: &str) -> Result<(), ApiError> {
    match kind {
        // The database sees to it.
        LoggedKind::Vpc => Ok(()),
        LoggedKind::Subnet => {
            let held = match id.parse() {
                Ok(subnet) => subnet_hold(tx, &subnet).await.or_fail()?,
                Err(_) => false,
            };
            if held { Ok(()) } else { Err(Code::InvalidSubnetIdNotFound.with(&[id])) }
        }
        LoggedKind::Interface => {
            let missing = || Code::InvalidNetworkInterfaceIdNotFound.with(&[id]);
            let interface = id.parse().map_err(|_| missing())?;
            match interface_fetch_locked(tx, &interface).await {
                Ok(_) => Ok(()),
                Err(StoreError::NotFound { .. }) => Err(missing()),
                Err(error) => Err(store_failure(error)),
            }
        }
    }
}

impl Cloud {
    /// The VPC of what is to be logged.
    async fn logged_vpc(&self, cx: &OpContext, kind: LoggedKind, id: &str) -> Result<VpcId, ApiError> {
        match kind {
            LoggedKind::Vpc => Ok(self.find_vpc(cx, id).await?.id),
            LoggedKind::Subnet => Ok(self.find_subnet(cx, id).await?.vpc_id),
            LoggedKind::Interface => {
                let id: InterfaceId = parse_id(id, Code::InvalidNetworkInterfaceIdMalformed)?;
                let ids = Some(std::slice::from_ref(&id));
                let filter = InterfaceFilter { account: Some(cx.account()), ids, ..Default::default() };
                let found = interface_list(self.store(), filter, 1).await.or_fail()?.pop();
                let found = found.ok_or_else(|| Code::InvalidNetworkInterfaceIdNotFound.with(&[id.as_str()]))?;
                Ok(found.vpc_id)
            }
        }
    }

    /// The bucket must be there and the account's own: no other may be written to.
    async fn check_destination(&self, cx: &OpContext, destination: &Destination) -> Result<(), ApiError> {
        let bucket = &destination.bucket;
        let Some(objects) = self.objects() else {
            return Err(
                Code::Unsupported.message("There is no object store here to which flow logs could be delivered.")
            );
        };
        match objects.owner(bucket).await {
            Ok(owner) if owner == cx.account().as_str() => Ok(()),
            Ok(_) => Err(Code::LogDestinationPermissionIssue.with(&[bucket])),
            Err(error) if error.kind == Kind::NotFound => Err(Code::LogDestinationNotFound.with(&[bucket])),
            Err(error) => Err(wire_failure(error)),
        }
    }

    /// `CreateFlowLogs`: the ids of those made, and what could not be logged.
    ///
    /// # Errors
    /// What is wrong with the whole request: a destination that is none, bad tags, resources that are not there.
    pub async fn create_flow_logs(
        &self,
        cx: &OpContext,
        new: &NewFlowLogs,
        once: &Once,
        dry_run: bool,
    ) -> Result<(Vec<FlowLogId>, Vec<Refused>), ApiError> {
        tags::validate(&new.tags)?;
        if new.resources.is_empty() {
            return Err(ApiError::missing_parameter("ResourceId"));
        }
        if new.resources.len() > RESOURCES_MAX {
            let text = format!("At most {RESOURCES_MAX} resources can be given in one request.");
            return Err(Code::InvalidParameterValue.message(text));
        }
        let resources: BTreeSet<&String> = new.resources.iter().collect();
        let mut known = Vec::with_capacity(resources.len());
        for id in resources {
            known.push((id, self.logged_vpc(cx, new.kind, id).await?));
        }
        self.check_destination(cx, &new.destination).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateFlowLogs", TAG_KIND, &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(earlier) = self.claim(&mut tx, cx, CREATE, once).await? {
            return Ok(recalled(&earlier));
        }
        // Nobody else counts, or makes the same, meanwhile.
        hold_account(&mut tx, cx.account()).await?;
        let (mut made, mut refused) = (Vec::new(), Vec::new());
        for (resource, vpc) in known {
            hold_logged(&mut tx, new.kind, resource).await?;
            let resources = std::slice::from_ref(resource);
            let filter = FlowLogFilter { resources: Some(resources), ..Default::default() };
            let there = flow_log_list(&mut tx, filter, mallee_store::PAGE_ROWS_MAX).await.or_fail()?;
            let Destination { bucket, prefix } = &new.destination;
            if there.iter().any(|row| row.bucket == *bucket && row.prefix == *prefix) {
                refused.push((resource.clone(), Code::FlowLogAlreadyExists.error()));
                continue;
            }
            if let Err(error) = within(&mut tx, cx.account(), &quotas::FLOW_LOGS_PER_RESOURCE, there.len() + 1).await {
                refused.push((resource.clone(), error));
                continue;
            }
            let row = FlowLogRow {
                id: FlowLogId::from_random(self.rng().u128()),
                account_id: cx.account().clone(),
                vpc_id: vpc,
                resource_id: resource.clone(),
                traffic: new.traffic.to_owned(),
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                format: new.format.clone(),
                interval_s: new.interval_s,
                hive: new.hive,
                per_hour: new.per_hour,
                created_ms: self.clock().now_ms(),
                error: None,
            };
            flow_log_insert(&mut tx, &row).await.map_err(|error| match error {
                StoreError::InUse => Code::InvalidVpcIdNotFound.with(&[row.vpc_id.as_str()]),
                other => store_failure(other),
            })?;
            tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &new.tags)).await.or_fail()?;
            change_append(&mut tx, load::FLOW_LOG, &row.id, None);
            made.push(row.id);
        }
        let ids: Vec<String> = made.iter().map(ToString::to_string).collect();
        allowance.take(&mut tx, &[], &ids).await?;
        remember(&mut tx, cx, CREATE, once, &remembered(&ids, &refused)).await?;
        tx.commit().await.or_fail()?;
        Ok((made, refused))
    }

    /// `DeleteFlowLogs`: what is not there is said. What was counted and not delivered is not.
    ///
    /// # Errors
    /// Ids that are none.
    pub async fn delete_flow_logs(
        &self,
        cx: &OpContext,
        ids: &[FlowLogId],
        dry_run: bool,
    ) -> Result<Vec<Refused>, ApiError> {
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut refused = Vec::new();
        let mut tx = self.store().write().await.or_fail()?;
        for id in ids {
            let filter = FlowLogFilter {
                account: Some(cx.account()),
                ids: Some(std::slice::from_ref(id)),
                ..Default::default()
            };
            let there = !flow_log_list(&mut tx, filter, 1).await.or_fail()?.is_empty();
            if there && flow_log_delete(&mut tx, id).await.or_fail()? {
                change_append(&mut tx, load::FLOW_LOG, id, None);
            } else {
                refused.push((id.to_string(), Code::InvalidFlowLogIdNotFound.with(&[id.as_str()])));
            }
        }
        tx.commit().await.or_fail()?;
        Ok(refused)
    }
}
