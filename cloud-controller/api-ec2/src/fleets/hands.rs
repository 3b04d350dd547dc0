//! The keeper's hands: a fleet's launch is RunInstances from a launch template.

use super::candidates::{Said, launch_params};
use crate::Ec2Api;
use crate::instances::{impaired, run};
use crate::templates::data::Data;
use crate::templates::template_tags;
use async_trait::async_trait;
use mallee_app::OpContext;
use mallee_app::fleets::{FLEET_TAG, FleetHands, LaunchOrder};
use mallee_app::instances::run::RunRequest;
use mallee_app::launch_templates::TemplateRef;
use mallee_awswire::{ApiError, FromQuery as _};
use mallee_ec2_types::ec2::RunInstancesRequest;
use mallee_store::InstanceRow;
use mallee_types::InstanceId;
use std::collections::BTreeSet;

#[async_trait]
impl FleetHands for Ec2Api {
    async fn launch(&self, cx: &OpContext, order: &LaunchOrder<'_>) -> Result<(), ApiError> {
        let candidate = &order.doc.candidate;
        let reference = TemplateRef { id: Some(candidate.template.to_string()), name: None };
        let template = self.cloud.find_launch_template(cx, &reference).await?;
        let version = self.cloud.launch_template_version(&template, Some(&candidate.version.to_string())).await?;
        let said = Said {
            spot: order.doc.spot,
            counts: (order.doc.count_min, order.doc.count),
            token: Some(order.token()),
            instance_tags: order.instance_tags,
            interface_tags: order.interface_tags,
        };
        let merged = launch_params(Data::from_text(&version.data)?, candidate, &said)?;
        let request = RunInstancesRequest::from_query(merged.root())?;
        let mut system_tags = template_tags(&template, &version);
        system_tags.push((FLEET_TAG.to_owned(), order.launch.fleet.to_string()));
        let defaults = self.cloud.metadata_defaults(cx).await?;
        // What a launch of this number asks for never changes.
        let request = run::run_request(request, order.token(), self.look(), self.ipv6(), defaults)?;
        let request = RunRequest { system_tags, fleet: Some(order.launch.clone()), ..request };
        Box::pin(self.cloud.run_instances(cx, request)).await.map(drop)
    }

    fn impaired(&self, rows: &[InstanceRow]) -> BTreeSet<InstanceId> {
        impaired(&self.cloud, rows)
    }
}
