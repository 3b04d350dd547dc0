//! Launching from a template, and a template from what was launched.

use super::data::Data;
use crate::Ec2Api;
use crate::common::{dry_run, wire_tags};
use crate::instances::run;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mallee_app::OpContext;
use mallee_app::authorize::Service;
use mallee_app::fail::OrFail as _;
use mallee_app::instances::modify::MetadataChange;
use mallee_app::instances::view::{InstanceView, views};
use mallee_app::launch_templates::TemplateRef;
use mallee_app::tags::Tag;
use mallee_awswire::{ApiError, FromQuery as _, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{LaunchTemplateRow, LaunchTemplateVersionRow, ShutdownBehavior, instance_user_data};

/// The tags by which an instance says what it was launched from.
const ID_TAG: &str = "aws:ec2launchtemplate:id";
const VERSION_TAG: &str = "aws:ec2launchtemplate:version";

/// The tags of what is launched from this version.
pub(crate) fn template_tags(template: &LaunchTemplateRow, version: &LaunchTemplateVersionRow) -> Vec<Tag> {
    vec![(ID_TAG.to_owned(), template.id.to_string()), (VERSION_TAG.to_owned(), version.version.to_string())]
}

impl Ec2Api {
    /// A launch with its template's parameters filled in, and the tags that say where they are from.
    pub(crate) async fn filled_in(
        &self,
        cx: &OpContext,
        specification: &LaunchTemplateSpecification,
        params: &Params,
    ) -> Result<(RunInstancesRequest, Vec<Tag>), ApiError> {
        let LaunchTemplateSpecification { launch_template_id, launch_template_name, version } = specification;
        let reference = TemplateRef { id: launch_template_id.clone(), name: launch_template_name.clone() };
        let template = self.cloud.find_launch_template(cx, &reference).await?;
        let version = self.cloud.launch_template_version(&template, version.as_deref()).await?;
        let merged = launchable(Data::from_text(&version.data)?)?.launch(params)?;
        let request = RunInstancesRequest::from_query(merged.root())?;
        // What the template brings is asked about as if the caller had said it: above all its instance profile.
        self.cloud.authorize(cx, Service::Ec2, "RunInstances", &merged).await?;
        Ok((request, template_tags(&template, &version)))
    }

    /// Why a launch from this alone would be refused, as far as that can be told without looking anything up.
    pub(super) fn would_refuse(&self, data: &Data) -> Option<ApiError> {
        let mut data = data.clone();
        if !data.says("ImageId") {
            // That may come with the launch.
            data.set("ImageId", "ami-00000000000000000");
        }
        let counts = Params::from_pairs([("MinCount", "1"), ("MaxCount", "1")]);
        let merged = counts.and_then(|counts| launchable(data)?.launch(&counts));
        let request = merged.and_then(|merged| RunInstancesRequest::from_query(merged.root()));
        request
            .and_then(|request| run::run_request(request, String::new(), self.look(), MetadataChange::default()))
            .err()
    }

    pub(crate) async fn get_launch_template_data(
        &self,
        cx: &OpContext,
        r: GetLaunchTemplateDataRequest,
    ) -> Result<GetLaunchTemplateDataResult, ApiError> {
        let GetLaunchTemplateDataRequest { dry_run: dry, instance_id } = r;
        let id = instance_id.unwrap_or_default();
        let rows = self.cloud.find_instances(cx, std::slice::from_ref(&id)).await?;
        let view = views(self.store(), rows).await.or_fail()?.pop();
        let view = view.ok_or_else(|| ApiError::instance_not_found(&[&id]))?;
        let user_data = instance_user_data(self.store(), &view.row.id).await.or_fail()?;
        dry_run(dry)?;
        Ok(GetLaunchTemplateDataResult { launch_template_data: Some(template_of(&view, user_data.as_deref())) })
    }
}

/// Which kinds of instances would do is a question only a fleet asks.
fn launchable(data: Data) -> Result<Data, ApiError> {
    crate::common::refuse("LaunchTemplateData.InstanceRequirements", data.read()?.instance_requirements.is_some())?;
    Ok(data)
}

/// What would launch an instance like this one.
fn template_of(view: &InstanceView, user_data: Option<&[u8]>) -> ResponseLaunchTemplateData {
    let (row, doc) = (&view.row, &view.row.doc);
    let switch = |on: bool| Some(if on { "enabled" } else { "disabled" }.to_owned());
    let interface = view.interfaces.first().map(|interface| LaunchTemplateInstanceNetworkInterfaceSpecification {
        associate_public_ip_address: Some(doc.auto_public_ip),
        delete_on_termination: Some(interface.row.delete_on_termination),
        device_index: Some(0),
        groups: interface.groups.iter().map(|(id, _)| id.to_string()).collect(),
        interface_type: Some("interface".to_owned()),
        network_card_index: Some(0),
        subnet_id: Some(interface.row.subnet_id.to_string()),
        ..Default::default()
    });
    let own = view.tags.iter().filter(|(key, _)| !key.starts_with("aws:"));
    let tags = wire_tags(own.map(|(key, value)| (key.as_str(), value.as_str())));
    let tagged =
        (!tags.is_empty()).then(|| LaunchTemplateTagSpecification { resource_type: Some("instance".to_owned()), tags });
    ResponseLaunchTemplateData {
        disable_api_stop: Some(doc.disable_api_stop),
        disable_api_termination: Some(doc.disable_api_termination),
        ebs_optimized: Some(doc.ebs_optimized),
        image_id: Some(row.image_id.to_string()),
        instance_initiated_shutdown_behavior: Some(
            match doc.shutdown_behavior {
                ShutdownBehavior::Stop => "stop",
                ShutdownBehavior::Terminate => "terminate",
            }
            .to_owned(),
        ),
        instance_type: Some(row.instance_type.clone()),
        key_name: row.key_name.clone(),
        metadata_options: Some(LaunchTemplateInstanceMetadataOptions {
            http_endpoint: switch(doc.metadata.enabled),
            http_protocol_ipv6: switch(false),
            http_put_response_hop_limit: i32::try_from(doc.metadata.hop_limit).ok(),
            http_tokens: Some(if doc.metadata.tokens_required { "required" } else { "optional" }.to_owned()),
            instance_metadata_tags: switch(doc.metadata.tags),
            state: Some("applied".to_owned()),
        }),
        monitoring: Some(LaunchTemplatesMonitoring { enabled: Some(doc.monitoring), ..Default::default() }),
        network_interfaces: interface.into_iter().collect(),
        placement: Some(LaunchTemplatePlacement {
            availability_zone: Some(row.zone.to_string()),
            group_name: doc.group.as_ref().map(|group| group.name.clone()),
            tenancy: Some(doc.tenancy.clone()).filter(|tenancy| !tenancy.is_empty()),
            ..Default::default()
        }),
        tag_specifications: tagged.into_iter().collect(),
        user_data: user_data.map(|data| STANDARD.encode(data).into()),
        ..Default::default()
    }
}
