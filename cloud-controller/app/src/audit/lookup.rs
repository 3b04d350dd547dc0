//! `LookupEvents`: an account's calls of the last 90 days, newest first.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>

use crate::{Cloud, OpContext};
use mallee_awswire::ApiError;
use mallee_store::{AuditEventRow, AuditFilter, AuditResourceRow, audit_list, audit_resource_list};

/// Resources shown with a page of events.
const RESOURCES_MAX: u32 = 5_000;

/// What events are looked up by: one of CloudTrail's attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `EventId`
    Id(String),
    /// `EventName`
    Name(String),
    /// `EventSource`
    Source(String),
    /// `Username`
    Username(String),
    /// `AccessKeyId`
    AccessKeyId(String),
    /// `ReadOnly`
    ReadOnly(bool),
    /// `ResourceType`
    ResourceKind(String),
    /// `ResourceName`
    ResourceName(String),
}

/// A lookup. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct LookupQuery {
    /// Only events with this attribute.
    pub attribute: Option<Attribute>,
    /// Not before.
    pub from_ms: Option<i64>,
    /// Not after.
    pub to_ms: Option<i64>,
    /// Events on the page.
    pub limit: u32,
    /// The last event of the page before: its time and id.
    pub before: Option<(i64, String)>,
}

/// A page of events with what they were about.
#[derive(Debug, Default)]
pub struct LookupPage {
    /// Newest first.
    pub events: Vec<(AuditEventRow, Vec<AuditResourceRow>)>,
    /// Where the next page begins, if there is one.
    pub next: Option<(i64, String)>,
}

/// The caller's account's events.
///
/// # Errors
/// What the database says.
pub async fn lookup(cloud: &Cloud, cx: &OpContext, query: &LookupQuery) -> Result<LookupPage, ApiError> {
    let mut filter = AuditFilter {
        from_ms: query.from_ms.unwrap_or(0),
        to_ms: query.to_ms.unwrap_or(i64::MAX),
        before: query.before.as_ref().map(|(event_ms, id)| (*event_ms, id.as_str())),
        ..AuditFilter::default()
    };
    match &query.attribute {
        None => {}
        Some(Attribute::Id(value)) => filter.id = Some(value),
        Some(Attribute::Name(value)) => filter.name = Some(value),
        Some(Attribute::Source(value)) => filter.source = Some(value),
        Some(Attribute::Username(value)) => filter.username = Some(value),
        Some(Attribute::AccessKeyId(value)) => filter.access_key_id = Some(value),
        Some(Attribute::ReadOnly(value)) => filter.read_only = Some(*value),
        Some(Attribute::ResourceKind(value)) => filter.resource_kind = Some(value),
        Some(Attribute::ResourceName(value)) => filter.resource_name = Some(value),
    }
    let mut tx = cloud.store().read().await.map_err(ApiError::internal)?;
    // One more than asked for tells whether there is another page.
    let rows = audit_list(&mut tx, cx.account(), filter, query.limit.saturating_add(1)).await;
    let mut rows = rows.map_err(ApiError::internal)?;
    let more = rows.len() > query.limit as usize;
    rows.truncate(query.limit as usize);
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let about = audit_resource_list(&mut tx, cx.account(), &ids, RESOURCES_MAX).await.map_err(ApiError::internal)?;
    let next = rows.last().filter(|_| more).map(|row| (row.event_ms, row.id.clone()));
    let of = |row: &AuditEventRow| about.iter().filter(|r| r.event_id == row.id).cloned().collect();
    let events = rows
        .into_iter()
        .map(|row| {
            let about = of(&row);
            (row, about)
        })
        .collect();
    Ok(LookupPage { events, next })
}
