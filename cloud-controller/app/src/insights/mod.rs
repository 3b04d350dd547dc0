//! Reachability analysis: whether packets get from one resource to another, and if not, what is in the way. Nothing is sent:
//! the answer is worked out of the rows that clusters are told, as they are at one moment.
//!
//! `snapshot` reads them, in one transaction; `evaluate` is a pure function of what was read: `walk` says which stations a
//! packet passes, `judge` which ports these let through, `render` how that is shown.

mod answer;
pub(crate) mod check;
mod evaluate;
mod judge;
mod net;
mod ports;
mod render;
mod snapshot;
mod walk;

pub use answer::{Answer, Component, Header, Range, ShownEntry, ShownRoute, ShownRule, Why};

use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::once::{Once, record as remember};
use crate::quotas::table as quotas;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use evaluate::{End, Question, evaluate};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    InsightsAnalysisFilter, InsightsAnalysisRow, InsightsPathDoc, InsightsPathRow, Json, StoreError,
    insights_analysis_count, insights_analysis_delete, insights_analysis_insert, insights_analysis_list,
    insights_path_delete, insights_path_fetch, insights_path_insert, tag_put,
};
use mallee_types::{InsightsAnalysisId, InsightsPathId};
use snapshot::Resource;
use std::net::Ipv4Addr;

/// EC2's resource type for tags of a path.
pub const PATH_TAG_KIND: &str = "network-insights-path";
/// EC2's resource type for tags of an analysis.
pub const ANALYSIS_TAG_KIND: &str = "network-insights-analysis";
/// What a path may lead through, or not, in one request.
const FILTER_ARNS_MAX: usize = 100;
/// The operations' names in the log of client tokens.
const CREATE: &str = "CreateNetworkInsightsPath";
const START: &str = "StartNetworkInsightsAnalysis";
/// What paths can begin and end at.
const KINDS: [(&str, &str); 4] = [
    ("i-", "instance"),
    ("eni-", "network-interface"),
    ("igw-", "internet-gateway"),
    ("pcx-", "vpc-peering-connection"),
];
/// What they can on AWS, besides.
const NOT_HERE: [&str; 5] = ["tgw-", "vgw-", "vpce-", "tgw-attach-", "vpce-svc-"];

/// A path as a request gives it.
#[derive(Debug, Clone)]
pub struct NewPath {
    /// Id or ARN of where it begins.
    pub source: String,
    /// Id or ARN of where it ends; `None`: at an address.
    pub destination: Option<String>,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Addresses and ports.
    pub doc: InsightsPathDoc,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// An analysis as a request gives it.
#[derive(Debug, Clone)]
pub struct NewAnalysis {
    /// Of which path.
    pub path: String,
    /// ARNs of what it must lead through.
    pub filter_in: Vec<String>,
    /// ARNs of what it must not lead through.
    pub filter_out: Vec<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

fn unreadable(error: serde_json::Error) -> ApiError {
    ApiError::internal(format!("the answer of an analysis: {error}"))
}

/// What an analysis said.
///
/// # Errors
/// When the row is damaged.
pub fn answer_of(row: &InsightsAnalysisRow) -> Result<Answer, ApiError> {
    serde_json::from_str(&row.answer).map_err(unreadable)
}

impl Cloud {
    /// The id in a parameter that is an id or an ARN: of this account and region.
    fn end_id(&self, cx: &OpContext, name: &str, text: &str, missing: Code) -> Result<String, ApiError> {
        let clipped = || clip(text);
        let id = match text.strip_prefix("arn:") {
            None => text,
            Some(rest) => {
                let parts: Vec<&str> = rest.splitn(5, ':').collect();
                let [_, "ec2", region, account, resource] = parts.as_slice() else {
                    return Err(ApiError::invalid_value(name, &clipped(), "It is no ARN of a resource of EC2."));
                };
                if *region != self.config().region || *account != cx.account().as_str() {
                    return Err(Code::Unsupported.message(format!(
                        "{name}: resources of other accounts and Regions are not supported by this cloud."
                    )));
                }
                let kind = |(start, kind): &(&str, &str)| {
                    resource.strip_prefix(kind)?.strip_prefix('/').filter(|id| id.starts_with(start))
                };
                KINDS.iter().find_map(kind).ok_or_else(|| missing.with(&[&clipped()]))?
            }
        };
        if NOT_HERE.iter().any(|start| id.starts_with(start)) {
            return Err(Code::Unsupported.message(format!(
                "{name}: resources like '{}' are not supported by this cloud. Supported: instances, network interfaces, \
                 internet gateways, VPC peering connections.",
                clip(id)
            )));
        }
        match KINDS.iter().any(|(start, _)| id.starts_with(start)) {
            true => Ok(id.to_owned()),
            false => Err(missing.with(&[&clipped()])),
        }
    }

    /// `CreateNetworkInsightsPath`.
    ///
    /// # Errors
    /// Ends that are not there, or between which nothing can be analysed; the quota.
    pub async fn create_insights_path(
        &self,
        cx: &OpContext,
        new: &NewPath,
        once: &Once,
        dry_run: bool,
    ) -> Result<InsightsPathRow, ApiError> {
        tags::validate(&new.tags)?;
        let source = self.end_id(cx, "Source", &new.source, Code::NetworkInsightsSourceNotFound)?;
        let destination = match &new.destination {
            None => None,
            Some(text) => Some(self.end_id(cx, "Destination", text, Code::NetworkInsightsDestinationNotFound)?),
        };
        if destination.is_none() && snapshot::destination_address(&new.doc).is_none() {
            return Err(ApiError::missing_parameter("Destination"));
        }
        if destination.as_ref() == Some(&source) {
            return Err(ApiError::invalid_combination("The source and the destination must be different resources."));
        }
        let is_far = |id: &String| id.starts_with("igw-") || id.starts_with("pcx-");
        if is_far(&source) && destination.as_ref().is_some_and(is_far) {
            return Err(Code::Unsupported.message(
                "A path between gateways or peering connections is not supported by this cloud. One end must be an \
                 instance or a network interface.",
            ));
        }
        let mut tx = self.store().read().await.or_fail()?;
        self.ends(&mut tx, cx, &source, destination.as_deref()).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        drop(tx);
        let allowance = self.ec2_allowance(cx, "ec2:CreateNetworkInsightsPath", PATH_TAG_KIND, &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(made) = self.claim(&mut tx, cx, CREATE, once).await? {
            drop(tx);
            return self.find_insights_path(cx, &made).await;
        }
        let row = InsightsPathRow {
            id: InsightsPathId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            source,
            destination,
            protocol: new.protocol.to_owned(),
            doc: Json(new.doc.clone()),
            created_ms: self.clock().now_ms(),
        };
        allowance.take(&mut tx, &[(&quotas::INSIGHTS_PATHS, 1)], &[row.id.to_string()]).await?;
        insights_path_insert(&mut tx, &row).await.or_fail()?;
        tag_put(&mut tx, &tags::rows(cx.account(), PATH_TAG_KIND, row.id.as_str(), &new.tags)).await.or_fail()?;
        remember(&mut tx, cx, CREATE, once, row.id.as_str()).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// The resources at the ends of a path.
    async fn ends(
        &self,
        tx: &mut mallee_store::Tx,
        cx: &OpContext,
        source: &str,
        destination: Option<&str>,
    ) -> Result<(Resource, Option<Resource>), ApiError> {
        let from = snapshot::resource(tx, cx.account(), source).await.or_fail()?;
        let from = from.ok_or_else(|| Code::NetworkInsightsSourceNotFound.with(&[source]))?;
        let Some(destination) = destination else { return Ok((from, None)) };
        let to = snapshot::resource(tx, cx.account(), destination).await.or_fail()?;
        let to = to.ok_or_else(|| Code::NetworkInsightsDestinationNotFound.with(&[destination]))?;
        Ok((from, Some(to)))
    }

    /// The path of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a path that is not there.
    pub async fn find_insights_path(&self, cx: &OpContext, id: &str) -> Result<InsightsPathRow, ApiError> {
        let id: InsightsPathId = parse_id(id, Code::InvalidNetworkInsightsPathIdMalformed)?;
        let found = insights_path_fetch(self.store(), cx.account(), &id).await.or_fail()?;
        found.ok_or_else(|| Code::InvalidNetworkInsightsPathIdNotFound.with(&[id.as_str()]))
    }

    /// `DeleteNetworkInsightsPath`.
    ///
    /// # Errors
    /// `AnalysisExistsForNetworkInsightsPath`, a path that is not there.
    pub async fn delete_insights_path(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let path = self.find_insights_path(cx, id).await?;
        let in_use = || Code::AnalysisExistsForNetworkInsightsPath.with(&[path.id.as_str()]);
        let mut tx = self.store().write().await.or_fail()?;
        if insights_analysis_count(&mut tx, &path.id).await.or_fail()? > 0 {
            return Err(in_use());
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let gone = insights_path_delete(&mut tx, &path.id).await.map_err(|error| match error {
            StoreError::InUse => in_use(),
            other => store_failure(other),
        })?;
        if !gone {
            return Err(Code::InvalidNetworkInsightsPathIdNotFound.with(&[path.id.as_str()]));
        }
        tx.commit().await.or_fail()
    }

    /// What is to be said of a path at this moment: of one read of the database.
    async fn analyse(&self, cx: &OpContext, path: &InsightsPathRow, new: &NewAnalysis) -> Result<Answer, ApiError> {
        let mut tx = self.store().read().await.or_fail()?;
        let (from, to) = self.ends(&mut tx, cx, &path.source, path.destination.as_deref()).await?;
        let doc = path.doc.0.clone();
        let (net, from, to) = snapshot::read(&mut tx, cx.account(), &from, to.as_ref(), &doc).await.or_fail()?;
        drop(tx);
        let filters = || doc.at_source.iter().chain(&doc.at_destination);
        if let End::Interfaces(ids) = &from {
            let said: Vec<Ipv4Addr> =
                doc.source_ip.into_iter().chain(filters().filter_map(|filter| filter.source_address)).collect();
            let ends = ids.iter().filter_map(|id| net.interfaces.get(id));
            let foreign = |address: &Ipv4Addr| {
                !ends.clone().flat_map(|interface| &interface.addresses).any(|(private, _)| private == address)
            };
            if said.iter().any(foreign) && ends.clone().any(|interface| !interface.source_dest_check) {
                return Err(Code::Unsupported.message(
                    "Packets that an interface without source/destination check sends in the name of others are not \
                     analysed by this cloud.",
                ));
            }
        }
        let choice = snapshot::choice(&new.filter_in, &new.filter_out);
        let protocol = if path.protocol == "udp" { 17 } else { 6 };
        let question = Question { from, to, protocol, doc, choice };
        let worked = tokio::task::spawn_blocking(move || evaluate(&net, &question)).await;
        worked.map_err(|error| ApiError::internal(format!("an analysis: {error}")))
    }

    /// `StartNetworkInsightsAnalysis`: it is done when the call returns.
    ///
    /// # Errors
    /// A path that is not there, ends of it that are gone, ARNs that are none, the quota.
    pub async fn start_insights_analysis(
        &self,
        cx: &OpContext,
        new: &NewAnalysis,
        once: &Once,
        dry_run: bool,
    ) -> Result<InsightsAnalysisRow, ApiError> {
        tags::validate(&new.tags)?;
        for (name, arns) in [("FilterInArn", &new.filter_in), ("FilterOutArn", &new.filter_out)] {
            if arns.len() > FILTER_ARNS_MAX {
                let text = format!("At most {FILTER_ARNS_MAX} ARNs can be given as {name}.");
                return Err(Code::InvalidParameterValue.message(text));
            }
            let own = format!("arn:aws:ec2:{}:{}:", self.config().region, cx.account());
            for arn in arns.iter() {
                let resource = arn.strip_prefix(&own).and_then(|resource| resource.split_once('/'));
                if resource.is_none_or(|(kind, id)| kind.is_empty() || id.is_empty() || id.contains('/')) {
                    return Err(ApiError::invalid_value(
                        name,
                        &clip(arn),
                        "It must be the ARN of a resource of EC2 of this account and Region.",
                    ));
                }
            }
        }
        let path = self.find_insights_path(cx, &new.path).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:StartNetworkInsightsAnalysis", ANALYSIS_TAG_KIND, &[]).await?;
        let started_ms = self.clock().now_ms();
        let answer = self.analyse(cx, &path, new).await;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(made) = self.claim(&mut tx, cx, START, once).await? {
            let id: InsightsAnalysisId = parse_id(&made, Code::InvalidNetworkInsightsAnalysisIdMalformed)?;
            drop(tx);
            return self.find_insights_analysis(cx, &id).await;
        }
        let answer = answer?;
        let row = InsightsAnalysisRow {
            id: InsightsAnalysisId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            path_id: path.id,
            filter_in: Json(new.filter_in.clone()),
            filter_out: Json(new.filter_out.clone()),
            found: answer.failed.is_none().then_some(answer.found),
            answer: serde_json::to_string(&answer).map_err(unreadable)?,
            started_ms,
        };
        allowance.take(&mut tx, &[(&quotas::INSIGHTS_ANALYSES, 1)], &[row.id.to_string()]).await?;
        insights_analysis_insert(&mut tx, &row).await.map_err(|error| match error {
            StoreError::InUse => Code::InvalidNetworkInsightsPathIdNotFound.with(&[row.path_id.as_str()]),
            other => store_failure(other),
        })?;
        tag_put(&mut tx, &tags::rows(cx.account(), ANALYSIS_TAG_KIND, row.id.as_str(), &new.tags)).await.or_fail()?;
        remember(&mut tx, cx, START, once, row.id.as_str()).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    async fn find_insights_analysis(
        &self,
        cx: &OpContext,
        id: &InsightsAnalysisId,
    ) -> Result<InsightsAnalysisRow, ApiError> {
        let ids = Some(std::slice::from_ref(id));
        let filter = InsightsAnalysisFilter { account: Some(cx.account()), ids, ..Default::default() };
        let found = insights_analysis_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidNetworkInsightsAnalysisIdNotFound.with(&[id.as_str()]))
    }

    /// `DeleteNetworkInsightsAnalysis`.
    ///
    /// # Errors
    /// An analysis that is not there.
    pub async fn delete_insights_analysis(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let id: InsightsAnalysisId = parse_id(id, Code::InvalidNetworkInsightsAnalysisIdMalformed)?;
        let found = self.find_insights_analysis(cx, &id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if !insights_analysis_delete(&mut tx, &found.id).await.or_fail()? {
            return Err(Code::InvalidNetworkInsightsAnalysisIdNotFound.with(&[id.as_str()]));
        }
        tx.commit().await.or_fail()
    }
}
