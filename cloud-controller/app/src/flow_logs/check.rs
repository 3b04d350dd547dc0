//! What rows of flow logs must agree with: what a flow log is of is there, and in its VPC.

use crate::Cloud;
use mallee_store::{FlowLogFilter, PAGE_ROWS_MAX, StoreError, flow_log_list, interface_fetch, subnet_fetch, vpc_fetch};

/// The VPC of a resource; `None`: it is not there.
async fn vpc_of(cloud: &Cloud, resource: &str) -> Result<Option<String>, StoreError> {
    let store = cloud.store();
    let found = match resource.split('-').next() {
        Some("vpc") => match resource.parse() {
            Ok(id) => vpc_fetch(store, &id).await.map(|row| row.id),
            Err(_) => return Ok(None),
        },
        Some("subnet") => match resource.parse() {
            Ok(id) => subnet_fetch(store, &id).await.map(|row| row.vpc_id),
            Err(_) => return Ok(None),
        },
        _ => match resource.parse() {
            Ok(id) => interface_fetch(store, &id).await.map(|row| row.vpc_id),
            Err(_) => return Ok(None),
        },
    };
    match found {
        Ok(vpc) => Ok(Some(vpc.to_string())),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many flow logs were looked at, and what is wrong with which.
pub(crate) async fn differences(cloud: &Cloud) -> Result<(usize, Vec<(String, String)>), StoreError> {
    let (mut count, mut wrong, mut after) = (0, Vec::new(), None);
    loop {
        let filter = FlowLogFilter { after: after.as_ref(), ..Default::default() };
        let page = flow_log_list(cloud.store(), filter, PAGE_ROWS_MAX).await?;
        let Some(last) = page.last() else { return Ok((count, wrong)) };
        after = Some(last.id.clone());
        count += page.len();
        for row in page {
            if vpc_of(cloud, &row.resource_id).await?.as_deref() != Some(row.vpc_id.as_str()) {
                wrong.push((row.id.to_string(), format!("is of {}, which is not in {}", row.resource_id, row.vpc_id)));
            }
        }
    }
}
