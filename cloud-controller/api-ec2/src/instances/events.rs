//! Scheduled events: how they are shown, and ModifyInstanceEventStartTime.

use crate::Ec2Api;
use crate::common::time;
use mallee_app::OpContext;
use mallee_app::events::shown_description;
use mallee_awswire::ApiError;
use mallee_ec2_types::ec2::{
    InstanceStatusEvent, ModifyInstanceEventStartTimeRequest, ModifyInstanceEventStartTimeResult,
};
use mallee_store::InstanceEventRow;
use time::OffsetDateTime;

/// A time of the wire as it is stored.
pub(super) fn unix_ms(at: OffsetDateTime) -> i64 {
    at.unix_timestamp().saturating_mul(1000).saturating_add(i64::from(at.millisecond()))
}

/// An event as its instance's owner sees it.
pub(super) fn shown(row: &InstanceEventRow) -> InstanceStatusEvent {
    InstanceStatusEvent {
        code: Some(row.code.name().to_owned()),
        description: Some(shown_description(row)),
        instance_event_id: Some(row.id.to_string()),
        not_after: row.not_after_ms.and_then(time),
        not_before: time(row.not_before_ms),
        not_before_deadline: row.deadline_ms.and_then(time),
    }
}

impl Ec2Api {
    pub(crate) async fn modify_instance_event_start_time(
        &self,
        cx: &OpContext,
        r: ModifyInstanceEventStartTimeRequest,
    ) -> Result<ModifyInstanceEventStartTimeResult, ApiError> {
        let ModifyInstanceEventStartTimeRequest { dry_run, instance_event_id, instance_id, not_before } = r;
        let (instance, event) = (instance_id.unwrap_or_default(), instance_event_id.unwrap_or_default());
        let at = not_before.ok_or_else(|| ApiError::missing_parameter("NotBefore"))?;
        let dry_run = dry_run == Some(true);
        let row = self.cloud.move_instance_event(cx, &instance, &event, unix_ms(at), dry_run).await?;
        Ok(ModifyInstanceEventStartTimeResult { event: Some(shown(&row)) })
    }
}
