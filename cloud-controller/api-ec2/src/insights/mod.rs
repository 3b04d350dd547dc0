//! Reachability analysis: paths, and analyses of them.

mod shapes;

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, choice, dry_run, fill, filters, next_key, page, refuse, rows, tag_filter_values, tags_of_one, tags_on,
    values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::ids::{parse_id, parse_ids, require_all};
use mallee_app::insights::{ANALYSIS_TAG_KIND, NewAnalysis, NewPath, PATH_TAG_KIND};
use mallee_app::once::Once;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{
    InsightsAnalysisFilter, InsightsFilter, InsightsPathDoc, InsightsPathFilter, insights_analysis_list,
    insights_path_list,
};
use mallee_types::{InsightsAnalysisId, InsightsPathId};
use std::net::Ipv4Addr;
use time::OffsetDateTime;

/// What paths are filtered by, besides tags.
const PATH_FILTERS: [&str; 12] = [
    "destination",
    "filter-at-destination.destination-address",
    "filter-at-destination.destination-port-range",
    "filter-at-destination.source-address",
    "filter-at-destination.source-port-range",
    "filter-at-source.destination-address",
    "filter-at-source.destination-port-range",
    "filter-at-source.source-address",
    "filter-at-source.source-port-range",
    "protocol",
    "source",
    "tag-key",
];
/// What analyses are filtered by, besides tags.
const ANALYSIS_FILTERS: [&str; 3] = ["path-found", "status", "tag-key"];
/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 1..=100;

/// A range of ports as filters name it: `22-80`, and of one port also just that.
fn range_values(range: Option<&FilterPortRange>) -> Vec<String> {
    let Some((from, to)) = range.and_then(|range| Some((range.from_port?, range.to_port?))) else { return Vec::new() };
    let mut values = vec![format!("{from}-{to}")];
    values.extend((from == to).then(|| from.to_string()));
    values
}

fn filter_values(filter: Option<&PathFilter>, name: &str) -> Vec<String> {
    let Some(filter) = filter else { return Vec::new() };
    match name {
        "destination-address" => values_of(&filter.destination_address),
        "destination-port-range" => range_values(filter.destination_port_range.as_ref()),
        "source-address" => values_of(&filter.source_address),
        _ => range_values(filter.source_port_range.as_ref()),
    }
}

impl Filterable for NetworkInsightsPath {
    fn values(&self, name: &str) -> Vec<String> {
        if let Some(name) = name.strip_prefix("filter-at-source.") {
            return filter_values(self.filter_at_source.as_ref(), name);
        }
        if let Some(name) = name.strip_prefix("filter-at-destination.") {
            return filter_values(self.filter_at_destination.as_ref(), name);
        }
        match name {
            "destination" => values_of(&self.destination),
            "protocol" => values_of(&self.protocol),
            "source" => values_of(&self.source),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

impl Filterable for NetworkInsightsAnalysis {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "path-found" => values_of(&self.network_path_found),
            "status" => values_of(&self.status),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn address(name: &str, text: Option<String>) -> Result<Option<Ipv4Addr>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let parsed = text.parse();
    parsed
        .map(Some)
        .map_err(|_| ApiError::invalid_value(name, &mallee_awswire::texts::clip(&text), "It must be an IPv4 address."))
}

fn port(name: &str, port: i32) -> Result<u16, ApiError> {
    u16::try_from(port)
        .map_err(|_| ApiError::invalid_value(name, &port.to_string(), "Ports are numbers from 0 to 65535."))
}

fn range(name: &str, range: Option<RequestFilterPortRange>) -> Result<Option<(u16, u16)>, ApiError> {
    let Some(RequestFilterPortRange { from_port, to_port }) = range else { return Ok(None) };
    let from = from_port.ok_or_else(|| ApiError::missing_parameter(&format!("{name}.FromPort")))?;
    let to = to_port.ok_or_else(|| ApiError::missing_parameter(&format!("{name}.ToPort")))?;
    let (from, to) = (port(name, from)?, port(name, to)?);
    if from > to {
        return Err(ApiError::invalid_value(name, &format!("{from}-{to}"), "The first port is above the last."));
    }
    Ok(Some((from, to)))
}

fn filter(name: &str, filter: Option<PathRequestFilter>) -> Result<Option<InsightsFilter>, ApiError> {
    let Some(PathRequestFilter { destination_address, destination_port_range, source_address, source_port_range }) =
        filter
    else {
        return Ok(None);
    };
    Ok(Some(InsightsFilter {
        source_address: address(&format!("{name}.SourceAddress"), source_address)?,
        source_ports: range(&format!("{name}.SourcePortRange"), source_port_range)?,
        destination_address: address(&format!("{name}.DestinationAddress"), destination_address)?,
        destination_ports: range(&format!("{name}.DestinationPortRange"), destination_port_range)?,
    }))
}

fn once(token: Option<String>, params: &Params) -> Result<Once, ApiError> {
    let token = Some(token.ok_or_else(|| ApiError::missing_parameter("ClientToken"))?);
    Ok(Once { token, params_hash: hex::encode(params.fingerprint()) })
}

fn ms(time: Option<OffsetDateTime>) -> Option<i64> {
    time.and_then(|time| i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok())
}

impl Ec2Api {
    pub(crate) async fn create_network_insights_path(
        &self,
        cx: &OpContext,
        r: CreateNetworkInsightsPathRequest,
        params: &Params,
    ) -> Result<CreateNetworkInsightsPathResult, ApiError> {
        let CreateNetworkInsightsPathRequest {
            client_token,
            destination,
            destination_ip,
            destination_port,
            dry_run,
            filter_at_destination,
            filter_at_source,
            protocol,
            source,
            source_ip,
            tag_specifications,
        } = r;
        let source = source.ok_or_else(|| ApiError::missing_parameter("Source"))?;
        let protocol = choice("Protocol", protocol.as_deref(), &[("tcp", "tcp"), ("udp", "udp")])?
            .ok_or_else(|| ApiError::missing_parameter("Protocol"))?;
        if filter_at_source.is_some() && (source_ip.is_some() || destination_port.is_some()) {
            return Err(ApiError::invalid_combination(
                "The parameter FilterAtSource cannot be used with the parameters SourceIp and DestinationPort",
            ));
        }
        if filter_at_destination.is_some() && destination_ip.is_some() {
            return Err(ApiError::invalid_combination(
                "The parameter FilterAtDestination cannot be used with the parameter DestinationIp",
            ));
        }
        let doc = InsightsPathDoc {
            source_ip: address("SourceIp", source_ip)?,
            destination_ip: address("DestinationIp", destination_ip)?,
            destination_port: destination_port.map(|number| port("DestinationPort", number)).transpose()?,
            at_source: filter("FilterAtSource", filter_at_source)?,
            at_destination: filter("FilterAtDestination", filter_at_destination)?,
        };
        let tags = tags_of_one(tag_specifications, PATH_TAG_KIND)?;
        let new = NewPath { source, destination, protocol, doc, tags };
        let once = once(client_token, params)?;
        let row = self.cloud.create_insights_path(cx, &new, &once, dry_run == Some(true)).await?;
        let mut tags = tags_on(self.store(), cx.account(), [row.id.to_string()]).await?;
        let path = shapes::path(&row, &self.look(), &mut tags);
        Ok(CreateNetworkInsightsPathResult { network_insights_path: Some(path) })
    }

    pub(crate) async fn delete_network_insights_path(
        &self,
        cx: &OpContext,
        r: DeleteNetworkInsightsPathRequest,
    ) -> Result<DeleteNetworkInsightsPathResult, ApiError> {
        let DeleteNetworkInsightsPathRequest { dry_run, network_insights_path_id } = r;
        let id = network_insights_path_id.ok_or_else(|| ApiError::missing_parameter("NetworkInsightsPathId"))?;
        self.cloud.delete_insights_path(cx, &id, dry_run == Some(true)).await?;
        Ok(DeleteNetworkInsightsPathResult { network_insights_path_id: Some(id) })
    }

    pub(crate) async fn describe_network_insights_paths(
        &self,
        cx: &OpContext,
        r: DescribeNetworkInsightsPathsRequest,
    ) -> Result<DescribeNetworkInsightsPathsResult, ApiError> {
        let DescribeNetworkInsightsPathsRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            network_insights_path_ids,
            next_token,
        } = r;
        let filters = &filters(&wanted, &PATH_FILTERS)?;
        let operation = "DescribeNetworkInsightsPaths";
        let page = page(operation, max_results, next_token.as_deref(), PAGE_SIZES, &network_insights_path_ids)?;
        let ids: &Vec<InsightsPathId> =
            &parse_ids(&network_insights_path_ids, Code::InvalidNetworkInsightsPathIdMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let look = &self.look();
        let read = |after: Option<InsightsPathId>| async move {
            let filter = InsightsPathFilter { account: Some(cx.account()), ids: some_ids, after: after.as_ref() };
            let list = rows(insights_path_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            let missing = Code::InvalidNetworkInsightsPathIdNotFound;
            require_all(ids, |id| list.iter().any(|row| row.id == *id), missing)?;
            let mut tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let shapes = list.iter().map(|row| shapes::path(row, look, &mut tags));
            Ok(Chunk { found: shapes.filter(|path| filters.accept(path)).collect(), next })
        };
        let key = |path: &NetworkInsightsPath| path.network_insights_path_id.clone().unwrap_or_default();
        let (network_insights_paths, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeNetworkInsightsPathsResult { network_insights_paths, next_token })
    }

    pub(crate) async fn start_network_insights_analysis(
        &self,
        cx: &OpContext,
        r: StartNetworkInsightsAnalysisRequest,
        params: &Params,
    ) -> Result<StartNetworkInsightsAnalysisResult, ApiError> {
        let StartNetworkInsightsAnalysisRequest {
            additional_accounts,
            client_token,
            dry_run,
            filter_in_arns,
            filter_out_arns,
            network_insights_path_id,
            tag_specifications,
        } = r;
        // There are no organisations whose accounts could be looked into.
        refuse("AdditionalAccount", !additional_accounts.is_empty())?;
        let path = network_insights_path_id.ok_or_else(|| ApiError::missing_parameter("NetworkInsightsPathId"))?;
        let tags = tags_of_one(tag_specifications, ANALYSIS_TAG_KIND)?;
        let new = NewAnalysis { path, filter_in: filter_in_arns, filter_out: filter_out_arns, tags };
        let once = once(client_token, params)?;
        let row = self.cloud.start_insights_analysis(cx, &new, &once, dry_run == Some(true)).await?;
        let mut tags = tags_on(self.store(), cx.account(), [row.id.to_string()]).await?;
        let analysis = shapes::analysis(&row, &self.look(), &mut tags)?;
        Ok(StartNetworkInsightsAnalysisResult { network_insights_analysis: Some(analysis) })
    }

    pub(crate) async fn delete_network_insights_analysis(
        &self,
        cx: &OpContext,
        r: DeleteNetworkInsightsAnalysisRequest,
    ) -> Result<DeleteNetworkInsightsAnalysisResult, ApiError> {
        let DeleteNetworkInsightsAnalysisRequest { dry_run, network_insights_analysis_id } = r;
        let id =
            network_insights_analysis_id.ok_or_else(|| ApiError::missing_parameter("NetworkInsightsAnalysisId"))?;
        self.cloud.delete_insights_analysis(cx, &id, dry_run == Some(true)).await?;
        Ok(DeleteNetworkInsightsAnalysisResult { network_insights_analysis_id: Some(id) })
    }

    pub(crate) async fn describe_network_insights_analyses(
        &self,
        cx: &OpContext,
        r: DescribeNetworkInsightsAnalysesRequest,
    ) -> Result<DescribeNetworkInsightsAnalysesResult, ApiError> {
        let DescribeNetworkInsightsAnalysesRequest {
            analysis_end_time,
            analysis_start_time,
            dry_run: dry,
            filters: wanted,
            max_results,
            network_insights_analysis_ids,
            network_insights_path_id,
            next_token,
        } = r;
        let filters = &filters(&wanted, &ANALYSIS_FILTERS)?;
        let operation = "DescribeNetworkInsightsAnalyses";
        let page = page(operation, max_results, next_token.as_deref(), PAGE_SIZES, &network_insights_analysis_ids)?;
        let ids: &Vec<InsightsAnalysisId> =
            &parse_ids(&network_insights_analysis_ids, Code::InvalidNetworkInsightsAnalysisIdMalformed)?;
        let malformed = Code::InvalidNetworkInsightsPathIdMalformed;
        let path: Option<InsightsPathId> =
            network_insights_path_id.as_deref().map(|id| parse_id(id, malformed)).transpose()?;
        if let Some(id) = &path {
            self.cloud.find_insights_path(cx, id.as_str()).await?;
        }
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let path = path.as_ref();
        // Each is over in the moment in which it begins.
        let (from_ms, to_ms) = (ms(analysis_start_time), ms(analysis_end_time));
        let look = &self.look();
        let read = |after: Option<InsightsAnalysisId>| async move {
            let (account, after) = (Some(cx.account()), after.as_ref());
            let filter = InsightsAnalysisFilter { account, ids: some_ids, path, from_ms, to_ms, after };
            let list = rows(insights_analysis_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            if path.is_none() && from_ms.is_none() && to_ms.is_none() {
                let missing = Code::InvalidNetworkInsightsAnalysisIdNotFound;
                require_all(ids, |id| list.iter().any(|row| row.id == *id), missing)?;
            }
            let mut tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let mut found = Vec::with_capacity(list.len());
            for row in &list {
                found.push(shapes::analysis(row, look, &mut tags)?);
            }
            Ok(Chunk { found: found.into_iter().filter(|analysis| filters.accept(analysis)).collect(), next })
        };
        let key =
            |analysis: &NetworkInsightsAnalysis| analysis.network_insights_analysis_id.clone().unwrap_or_default();
        let (network_insights_analyses, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeNetworkInsightsAnalysesResult { network_insights_analyses, next_token })
    }
}
