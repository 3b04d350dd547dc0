//! `RequestSpotInstances` and `CancelSpotInstanceRequests`.

use super::change::{self, Ending};
use super::{SpotOptions, TAG_KIND, Wanted, check_spot_count};
use crate::fail::OrFail as _;
use crate::instances::lifecycle::set_reason;
use crate::instances::run::RunRequest;
use crate::once::{self, Once};
use crate::quotas::hold_account;
use crate::{Cloud, OpContext, tags};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    SpotKind, SpotRequestRow, SpotState, StoreError, instance_fetch_locked, spot_request_fetch_locked,
    spot_request_insert, spot_request_list, spot_request_update, tag_put,
};
use mallee_types::{RunIntent, SpotRequestId, StateReason};

/// The operation of client tokens.
pub(super) const OPERATION: &str = "RequestSpotInstances";
/// Requests that one call makes at most.
const INSTANCES_MAX: u32 = 1000;
/// How long a one-time request that says no end waits, in milliseconds (EC2: seven days).
const VALID_MS: i64 = 7 * 24 * 3600 * 1000;
/// Ids one call may name.
const IDS_MAX: usize = 1000;

/// Requests that are to be made.
#[derive(Debug)]
pub struct NewSpotRequests {
    /// The launch of one instance, with its spot options and the tags of the requests.
    pub launch: RunRequest,
    /// How many.
    pub count: u32,
    /// Not fulfilled before.
    pub valid_from_ms: Option<i64>,
}

impl Cloud {
    /// `RequestSpotInstances`. The requests, open; they are looked at as soon as this is committed.
    ///
    /// # Errors
    /// EC2's, for everything that a launch would refuse; `MaxSpotInstanceCountExceeded`; times in the past.
    pub async fn request_spot_instances(
        &self,
        cx: &OpContext,
        new: NewSpotRequests,
        once: &Once,
        dry_run: bool,
    ) -> Result<Vec<SpotRequestRow>, ApiError> {
        let NewSpotRequests { mut launch, count, valid_from_ms } = new;
        let now_ms = self.clock().now_ms();
        let mut spot: SpotOptions = launch.spot.take().unwrap_or_default();
        check_times(valid_from_ms, spot.valid_until_ms, now_ms)?;
        if spot.kind == SpotKind::OneTime {
            spot.valid_until_ms = Some(spot.valid_until_ms.unwrap_or_else(|| now_ms.saturating_add(VALID_MS)));
        }
        tags::validate(&spot.tags)?;
        if count == 0 || count > INSTANCES_MAX {
            let why = format!("It must be from 1 to {INSTANCES_MAX}.");
            return Err(ApiError::invalid_value("InstanceCount", &count.to_string(), &why));
        }
        launch.spot = Some(spot.clone());
        self.check_launch(cx, &launch).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.spot.request").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(before) = self.claim(&mut tx, cx, OPERATION, once).await? {
            tx.rollback().await.or_fail()?;
            let ids: Vec<String> = before.split(' ').map(str::to_owned).collect();
            return self.known_spot_requests(cx, &ids).await;
        }
        hold_account(&mut tx, cx.account()).await?;
        check_spot_count(&mut tx, cx, u64::from(count)).await?;
        let wanted = Wanted::text(cx, &launch)?;
        let mut rows = Vec::new();
        for _ in 0..count {
            let mut row = self.new_spot_request(cx, &spot, wanted.clone(), now_ms);
            row.valid_from_ms = valid_from_ms;
            spot_request_insert(&mut tx, &row, launch.user_data.as_deref()).await.or_fail()?;
            tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &spot.tags)).await.or_fail()?;
            rows.push(row);
        }
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        once::record(&mut tx, cx, OPERATION, once, &ids.join(" ")).await?;
        self.faults().point("cloud.spot.request.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.spot.request.committed").await.or_fail()?;
        self.spot_nudge().wake();
        Ok(rows)
    }

    /// The account's requests with these ids, in the order of the ids; those that are forgotten are left out.
    async fn known_spot_requests(&self, cx: &OpContext, ids: &[String]) -> Result<Vec<SpotRequestRow>, ApiError> {
        let ids: Vec<SpotRequestId> = crate::ids::parse_ids(ids, Code::InvalidSpotInstanceRequestIdMalformed)?;
        let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let rows = spot_request_list(self.store(), Some(cx.account()), Some(&ids), None, limit).await.or_fail()?;
        Ok(ids.iter().filter_map(|id| rows.iter().find(|row| row.id == *id).cloned()).collect())
    }

    /// The account's requests with these ids.
    ///
    /// # Errors
    /// EC2's for ids that are none, and naming every request that is not there.
    pub async fn find_spot_requests(&self, cx: &OpContext, ids: &[String]) -> Result<Vec<SpotRequestRow>, ApiError> {
        if ids.is_empty() {
            return Err(ApiError::missing_parameter("SpotInstanceRequestId"));
        }
        if ids.len() > IDS_MAX {
            let text = format!("At most {IDS_MAX} Spot Instance request ids can be given in one request.");
            return Err(Code::InvalidParameterValue.message(text));
        }
        let wanted: Vec<SpotRequestId> = crate::ids::parse_ids(ids, Code::InvalidSpotInstanceRequestIdMalformed)?;
        let rows = self.known_spot_requests(cx, ids).await?;
        let missing = Code::InvalidSpotInstanceRequestIdNotFound;
        crate::ids::require_all(&wanted, |id| rows.iter().any(|row| row.id == *id), missing)?;
        Ok(rows)
    }

    /// `CancelSpotInstanceRequests`: all of them, or none. Instances that run go on; one that is stopped is terminated,
    /// as on AWS, because nothing could start it again.
    ///
    /// # Errors
    /// As [`Cloud::find_spot_requests`].
    pub async fn cancel_spot_requests(
        &self,
        cx: &OpContext,
        ids: &[String],
        dry_run: bool,
    ) -> Result<Vec<SpotRequestRow>, ApiError> {
        let mut rows = self.find_spot_requests(cx, ids).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        // Locks of instances are taken by id, everywhere.
        rows.sort_by(|a, b| (&a.instance_id, &a.id).cmp(&(&b.instance_id, &b.id)));
        self.faults().point("cloud.spot.cancel").await.or_fail()?;
        let now_ms = self.clock().now_ms();
        let mut tx = self.store().write().await.or_fail()?;
        let mut cancelled = Vec::new();
        for seen in rows {
            // The instance first, as everywhere.
            let instance = match &seen.instance_id {
                None => None,
                Some(id) => match instance_fetch_locked(&mut tx, id).await {
                    Err(StoreError::NotFound { .. }) => None,
                    other => Some(other.or_fail()?),
                },
            };
            let mut row = spot_request_fetch_locked(&mut tx, &seen.id).await.or_fail()?;
            if row.instance_id != seen.instance_id {
                return Err(Code::IncorrectSpotRequestState.with(&[row.id.as_str()]));
            }
            let was_stopped = matches!(row.state, SpotState::Open | SpotState::Disabled);
            change::cancel(&mut row, now_ms);
            if let Some(mut instance) = instance.filter(|i| was_stopped && i.intent == RunIntent::Stop) {
                instance.intent = RunIntent::Terminate;
                let transition = self.transition("User initiated");
                set_reason(&mut instance, &StateReason::user_terminate(), &transition);
                change::terminated(&mut row, Ending::Service, true, now_ms);
                self.write_intent(&mut tx, &mut instance).await?;
            }
            spot_request_update(&mut tx, &row).await.or_fail()?;
            cancelled.push(row);
        }
        self.faults().point("cloud.spot.cancel.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.spot.cancel.committed").await.or_fail()?;
        let asked = |row: &SpotRequestRow| ids.iter().position(|id| id == row.id.as_str());
        cancelled.sort_by_key(asked);
        Ok(cancelled)
    }
}

fn check_times(from_ms: Option<i64>, until_ms: Option<i64>, now_ms: i64) -> Result<(), ApiError> {
    let invalid = |text: &'static str| Err(Code::InvalidParameterValue.message(text));
    if from_ms.is_some_and(|from| from < now_ms) {
        return invalid("The value for 'ValidFrom' must be a time in the future.");
    }
    if until_ms.is_some_and(|until| until <= now_ms) {
        return invalid("The value for 'ValidUntil' must be a time in the future.");
    }
    match (from_ms, until_ms) {
        (Some(from), Some(until)) if from >= until => invalid("'ValidUntil' must be later than 'ValidFrom'."),
        _ => Ok(()),
    }
}
