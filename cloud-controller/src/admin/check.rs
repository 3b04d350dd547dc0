//! `mallee check`: the checker of the app crate, as an API.

use mallee_app::Cloud;
use mallee_app::check::check as run;
use mallee_awswire::ApiError;
use serde_json::{Value, json};

/// The findings, and what was repaired.
pub(super) async fn check(cloud: &Cloud, repair: bool) -> Result<Value, ApiError> {
    let report = run(cloud, repair).await?;
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(
            |f| json!({ "invariant": f.invariant, "subject": f.subject, "problem": f.problem, "repaired": f.repaired }),
        )
        .collect();
    Ok(json!({ "checked": report.checked, "findings": findings }))
}
