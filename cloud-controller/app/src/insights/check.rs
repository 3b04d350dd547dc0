//! What rows of paths and analyses must agree with: an analysis is of the account of its path, and says what is noted of it.

use super::answer_of;
use crate::Cloud;
use mallee_store::{
    InsightsAnalysisFilter, InsightsAnalysisRow, InsightsPathFilter, PAGE_ROWS_MAX, StoreError, insights_analysis_list,
    insights_path_list,
};
use mallee_types::{AccountId, InsightsPathId};
use std::collections::BTreeMap;

fn of_row(row: &InsightsAnalysisRow, paths: &BTreeMap<InsightsPathId, AccountId>) -> Option<String> {
    match paths.get(&row.path_id) {
        None => return Some(format!("is of {}, which is gone", row.path_id)),
        Some(account) if *account != row.account_id => {
            return Some(format!("is of {}, of another account", row.path_id));
        }
        Some(_) => {}
    }
    match answer_of(row) {
        Err(_) => Some("has an answer that cannot be read".to_owned()),
        Ok(answer) if answer.failed.is_none().then_some(answer.found) != row.found => {
            Some("is noted to say what its answer does not say".to_owned())
        }
        Ok(_) => None,
    }
}

/// How many were looked at, and what is wrong with which.
pub(crate) async fn differences(cloud: &Cloud) -> Result<(usize, Vec<(String, String)>), StoreError> {
    // One moment: a path and its analyses may go meanwhile.
    let mut tx = cloud.store().read().await?;
    let (mut paths, mut after) = (BTreeMap::new(), None);
    loop {
        let filter = InsightsPathFilter { after: after.as_ref(), ..Default::default() };
        let page = insights_path_list(&mut tx, filter, PAGE_ROWS_MAX).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        paths.extend(page.into_iter().map(|row| (row.id, row.account_id)));
    }
    let (mut count, mut wrong, mut after) = (paths.len(), Vec::new(), None);
    loop {
        let filter = InsightsAnalysisFilter { after: after.as_ref(), ..Default::default() };
        let page = insights_analysis_list(&mut tx, filter, PAGE_ROWS_MAX).await?;
        let Some(last) = page.last() else { return Ok((count, wrong)) };
        after = Some(last.id.clone());
        count += page.len();
        wrong.extend(page.iter().filter_map(|row| Some((row.id.to_string(), of_row(row, &paths)?))));
    }
}
