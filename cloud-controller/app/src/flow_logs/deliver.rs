//! From what nodes count to objects in the buckets of accounts. Nodes keep what they could not tell and tell it again:
//! object names come from the batch, so that the same objects are written again.

use super::format::{About, head, line, parse};
use crate::Cloud;
use crate::trails::objects::{NewObject, ObjectService};
use flate2::Compression;
use flate2::write::GzEncoder;
use mallee_proto::v1::{FlowWindow, RecordFlowsRequest};
use mallee_proto::{Kind, WireError};
use mallee_runtime::clock::from_unix_ms;
use mallee_store::{
    FILTER_VALUES_MAX, FlowLogFilter, FlowLogRow, InstanceFilter, InstanceRow, InterfaceFilter, InterfaceRow,
    PAGE_ROWS_MAX, Store, StoreError, flow_log_list, flow_log_tail_list, flow_log_tried, instance_list, interface_list,
    subnet_fetch, vpc_blocks, vpc_fetch,
};
use mallee_types::{FlowLogId, InstanceId, InterfaceId, NodeId, SubnetId, VpcId};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

/// Windows in one batch at most; a node of more interfaces tells several.
const WINDOWS_MAX: usize = 10_000;
/// Letters of the hash in an object's name.
const HASH_CHARS: usize = 8;
/// What DescribeFlowLogs says of a bucket that is gone, or is not the account's any more.
const ACCESS_ERROR: &str = "Access error";

/// The text of one flow log's object.
#[derive(Debug)]
struct File {
    row: FlowLogRow,
    fields: Vec<&'static str>,
    text: String,
}

fn store_error(error: StoreError) -> WireError {
    WireError::new(Kind::Unavailable, format!("the database: {error}"))
}

/// Takes what a node counted, and puts it where flow logs want it. What is not the node's to tell, and what no flow log
/// wants any more, is passed over.
///
/// # Errors
/// `Invalid` for a batch that is none; anything else: tell it again later.
pub async fn record(
    cloud: &Cloud,
    objects: &dyn ObjectService,
    node: &NodeId,
    request: RecordFlowsRequest,
) -> Result<(), WireError> {
    let RecordFlowsRequest { batch, gathered_ms, windows } = request;
    if windows.len() > WINDOWS_MAX || batch.is_empty() || batch.len() > 128 {
        return Err(WireError::new(Kind::Invalid, format!("a batch has a name and at most {WINDOWS_MAX} windows")));
    }
    let store = cloud.store();
    let told = owned(store, node, windows).await.map_err(store_error)?;
    let mut files = wanted(store, &told).await.map_err(store_error)?;
    let places = Places::of(cloud, &told).await.map_err(store_error)?;
    for (window, instance) in &told {
        let resources = [&window.vpc_id, &window.subnet_id, &window.interface_id];
        let account = instance.account_id.as_str();
        for file in files.values_mut() {
            let row = &file.row;
            let theirs = row.account_id == instance.account_id && row.vpc_id == instance.vpc_id;
            if !theirs || !resources.contains(&&row.resource_id) {
                continue;
            }
            let about = About {
                window,
                account,
                region: &cloud.config().region,
                zone_id: places.zones.get(&window.subnet_id).map_or("", String::as_str),
                vpc: places.vpcs.get(&window.vpc_id).map_or(&[], Vec::as_slice),
            };
            write(file, &about);
        }
    }
    // One that cannot be written keeps no other waiting; then all are told again.
    let mut failed = Ok(());
    for (id, file) in files.into_iter().filter(|(_, file)| !file.text.is_empty()) {
        let written = put(cloud, objects, &id, file, &batch, gathered_ms).await;
        failed = failed.and(written);
    }
    failed
}

/// The windows of instances that are this node's, with these.
async fn owned(
    store: &Store,
    node: &NodeId,
    windows: Vec<FlowWindow>,
) -> Result<Vec<(FlowWindow, InstanceRow)>, StoreError> {
    let ids: BTreeSet<InstanceId> = windows.iter().filter_map(|window| window.instance_id.parse().ok()).collect();
    let ids: Vec<InstanceId> = ids.into_iter().collect();
    let mut rows: BTreeMap<String, InstanceRow> = BTreeMap::new();
    for some in ids.chunks(FILTER_VALUES_MAX) {
        let filter = InstanceFilter { ids: Some(some), ..Default::default() };
        let page = instance_list(store, filter, PAGE_ROWS_MAX).await?;
        rows.extend(page.into_iter().map(|row| (row.id.to_string(), row)));
    }
    let named: BTreeSet<InterfaceId> = windows.iter().filter_map(|window| window.interface_id.parse().ok()).collect();
    let named: Vec<InterfaceId> = named.into_iter().collect();
    let mut interfaces: BTreeMap<String, InterfaceRow> = BTreeMap::new();
    for some in named.chunks(FILTER_VALUES_MAX) {
        let filter = InterfaceFilter { ids: Some(some), ..Default::default() };
        let page = interface_list(store, filter, PAGE_ROWS_MAX).await?;
        interfaces.extend(page.into_iter().map(|row| (row.id.to_string(), row)));
    }
    // One that is terminated may be nobody's any more: its last window counts.
    let of_node = |row: &InstanceRow| row.node_id.as_ref().is_none_or(|of| of == node);
    let with = |window: FlowWindow| {
        let row = rows.get(&window.instance_id).filter(|row| of_node(row) && row.vpc_id.as_str() == window.vpc_id)?;
        let is_its = match interfaces.get(&window.interface_id) {
            Some(interface) => is_of(interface, row, &window),
            // It went since: a name that was nobody else's, and that is one.
            None => window.interface_id.parse::<InterfaceId>().is_ok() && window.subnet_id.parse::<SubnetId>().is_ok(),
        };
        is_its.then(|| (window, row.clone()))
    };
    Ok(windows.into_iter().filter_map(with).collect())
}

/// Whether an interface is where its window says, and this instance's: or nobody's, having left it.
fn is_of(interface: &InterfaceRow, instance: &InstanceRow, window: &FlowWindow) -> bool {
    interface.account_id == instance.account_id
        && interface.vpc_id == instance.vpc_id
        && interface.subnet_id.as_str() == window.subnet_id
        && interface.instance_id.as_ref().is_none_or(|of| *of == instance.id)
}

/// The flow logs of what was told about.
async fn wanted(store: &Store, told: &[(FlowWindow, InstanceRow)]) -> Result<BTreeMap<FlowLogId, File>, StoreError> {
    let resources: BTreeSet<&String> =
        told.iter().flat_map(|(window, _)| [&window.vpc_id, &window.subnet_id, &window.interface_id]).collect();
    let resources: Vec<String> = resources.into_iter().cloned().collect();
    let mut files = BTreeMap::new();
    for some in resources.chunks(FILTER_VALUES_MAX) {
        let filter = FlowLogFilter { resources: Some(some), ..Default::default() };
        let mut rows = flow_log_list(store, filter, PAGE_ROWS_MAX).await?;
        rows.extend(flow_log_tail_list(store, some, PAGE_ROWS_MAX).await?);
        for row in rows {
            // A format was checked when it was asked for.
            let fields = parse(&row.format).unwrap_or_default();
            files.insert(row.id.clone(), File { row, fields, text: String::new() });
        }
    }
    Ok(files)
}

/// What records say of where interfaces are.
#[derive(Debug, Default)]
struct Places {
    /// Ids of zones, by subnet.
    zones: BTreeMap<String, String>,
    /// The blocks of VPCs.
    vpcs: BTreeMap<String, Vec<ipnet::Ipv4Net>>,
}

impl Places {
    async fn of(cloud: &Cloud, told: &[(FlowWindow, InstanceRow)]) -> Result<Self, StoreError> {
        let mut places = Self::default();
        let subnets: BTreeSet<SubnetId> = told.iter().filter_map(|(window, _)| window.subnet_id.parse().ok()).collect();
        for id in subnets {
            match subnet_fetch(cloud.store(), &id).await {
                Ok(row) => drop(places.zones.insert(id.to_string(), cloud.zone_id(&row.zone).unwrap_or_default())),
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let vpcs: BTreeSet<VpcId> = told.iter().map(|(_, instance)| instance.vpc_id.clone()).collect();
        for id in vpcs {
            match vpc_fetch(cloud.store(), &id).await {
                Ok(row) => drop(places.vpcs.insert(id.to_string(), vpc_blocks(cloud.store(), &row).await?)),
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(places)
    }
}

/// Adds a window to a file, which begins with its first record: its flows of the wanted kind; that there was no traffic; that some is not told.
fn write(file: &mut File, about: &About<'_>) {
    let File { row, fields, text } = file;
    let wants = |accepted: bool| match row.traffic.as_str() {
        "ACCEPT" => accepted,
        "REJECT" => !accepted,
        _ => true,
    };
    let window = about.window;
    let any = window.lost || window.flows.is_empty() || window.flows.iter().any(|flow| wants(flow.accepted));
    if any && text.is_empty() {
        text.push_str(&head(fields));
    }
    for flow in window.flows.iter().filter(|flow| wants(flow.accepted)) {
        line(text, fields, about, Some(flow), "OK");
    }
    if window.lost {
        line(text, fields, about, None, "SKIPDATA");
    } else if window.flows.is_empty() {
        line(text, fields, about, None, "NODATA");
    }
}

/// The key of an object.
fn key(row: &FlowLogRow, region: &str, batch: &str, gathered_ms: i64) -> String {
    let (at, account, id) = (from_unix_ms(gathered_ms), &row.account_id, &row.id);
    let (year, month, day, hour) = (at.year(), u8::from(at.month()), at.day(), at.hour());
    let mut key = if row.hive {
        format!(
            "{}AWSLogs/aws-account-id={account}/aws-service=vpcflowlogs/aws-region={region}/\
             year={year:04}/month={month:02}/day={day:02}/",
            row.prefix
        )
    } else {
        format!("{}AWSLogs/{account}/vpcflowlogs/{region}/{year:04}/{month:02}/{day:02}/", row.prefix)
    };
    match (row.per_hour, row.hive) {
        (true, true) => key.push_str(&format!("hour={hour:02}/")),
        (true, false) => key.push_str(&format!("{hour:02}/")),
        (false, _) => {}
    }
    let mut hash = hex::encode(Sha256::digest(format!("{batch} {id}")));
    hash.truncate(HASH_CHARS);
    let stamp = format!("{year:04}{month:02}{day:02}T{hour:02}{:02}Z", at.minute());
    key + &format!("{account}_vpcflowlogs_{region}_{id}_{stamp}_{hash}.log.gz")
}

async fn put(
    cloud: &Cloud,
    objects: &dyn ObjectService,
    id: &FlowLogId,
    file: File,
    batch: &str,
    gathered_ms: i64,
) -> Result<(), WireError> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let packed = gzip.write_all(file.text.as_bytes()).and_then(|()| gzip.finish());
    let data = packed.map_err(|error| WireError::new(Kind::Internal, error.to_string()))?;
    let object = NewObject {
        account: file.row.account_id.clone(),
        bucket: file.row.bucket.clone(),
        key: key(&file.row, &cloud.config().region, batch, gathered_ms),
        content_type: "application/octet-stream",
        data,
        metadata: Vec::new(),
    };
    let error = match objects.put(object).await {
        Ok(()) => "",
        Err(error) if matches!(error.kind, Kind::NotFound | Kind::Invalid | Kind::Forbidden) => {
            tracing::debug!(flow_log = %id, %error, "records are not taken and are gone");
            ACCESS_ERROR
        }
        Err(error) => return Err(error),
    };
    let mut tx = cloud.store().write().await.map_err(store_error)?;
    flow_log_tried(&mut tx, id, error).await.map_err(store_error)?;
    tx.commit().await.map_err(store_error)
}
