//! StartInstances, StopInstances, RebootInstances, TerminateInstances.

use super::shape::state;
use crate::Ec2Api;
use crate::common::refuse;
use mallee_app::OpContext;
use mallee_app::instances::lifecycle::StateChange;
use mallee_awswire::ApiError;
use mallee_ec2_types::ec2::{
    InstanceStateChange, RebootInstancesRequest, StartInstancesRequest, StartInstancesResult, StopInstancesRequest,
    StopInstancesResult, TerminateInstancesRequest, TerminateInstancesResult,
};

fn changes(changes: Vec<StateChange>) -> Vec<InstanceStateChange> {
    let change = |(id, previous, current): StateChange| InstanceStateChange {
        current_state: Some(state(current)),
        instance_id: Some(id.to_string()),
        previous_state: Some(state(previous)),
    };
    changes.into_iter().map(change).collect()
}

impl Ec2Api {
    pub(crate) async fn start_instances(
        &self,
        cx: &OpContext,
        r: StartInstancesRequest,
    ) -> Result<StartInstancesResult, ApiError> {
        let StartInstancesRequest { additional_info, dry_run, instance_ids } = r;
        refuse("AdditionalInfo", additional_info.is_some())?;
        let done = self.cloud.start_instances(cx, &instance_ids, dry_run == Some(true)).await?;
        Ok(StartInstancesResult { starting_instances: changes(done) })
    }

    pub(crate) async fn stop_instances(
        &self,
        cx: &OpContext,
        r: StopInstancesRequest,
    ) -> Result<StopInstancesResult, ApiError> {
        let StopInstancesRequest {
            dry_run,
            // A guest that does not obey within its grace is switched off in any case: a stop always has force.
            force: _always,
            hibernate,
            instance_ids,
            skip_os_shutdown,
        } = r;
        refuse("Hibernate", hibernate == Some(true))?;
        refuse("SkipOsShutdown", skip_os_shutdown == Some(true))?;
        let done = self.cloud.stop_instances(cx, &instance_ids, dry_run == Some(true)).await?;
        Ok(StopInstancesResult { stopping_instances: changes(done) })
    }

    pub(crate) async fn reboot_instances(&self, cx: &OpContext, r: RebootInstancesRequest) -> Result<(), ApiError> {
        let RebootInstancesRequest { dry_run, instance_ids } = r;
        self.cloud.reboot_instances(cx, &instance_ids, dry_run == Some(true)).await
    }

    pub(crate) async fn terminate_instances(
        &self,
        cx: &OpContext,
        r: TerminateInstancesRequest,
    ) -> Result<TerminateInstancesResult, ApiError> {
        let TerminateInstancesRequest {
            dry_run,
            // As with a stop.
            force: _always,
            instance_ids,
            skip_os_shutdown,
        } = r;
        refuse("SkipOsShutdown", skip_os_shutdown == Some(true))?;
        let done = self.cloud.terminate_instances(cx, &instance_ids, dry_run == Some(true)).await?;
        Ok(TerminateInstancesResult { terminating_instances: changes(done) })
    }
}
