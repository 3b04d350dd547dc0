//! Launching from a template.

use super::data::Data;
use crate::Ec2Api;
use crate::instances::run;
use mallee_app::OpContext;
use mallee_app::authorize::Service;
use mallee_app::instances::modify::MetadataChange;
use mallee_app::launch_templates::TemplateRef;
use mallee_app::tags::Tag;
use mallee_awswire::{ApiError, FromQuery as _, Params};
use mallee_ec2_types::ec2::{LaunchTemplateSpecification, RunInstancesRequest};
use mallee_store::{LaunchTemplateRow, LaunchTemplateVersionRow};

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
            .and_then(|request| {
                run::run_request(request, String::new(), self.look(), self.ipv6(), MetadataChange::default())
            })
            .err()
    }
}

/// Which kinds of instances would do is a question only a fleet asks.
fn launchable(data: Data) -> Result<Data, ApiError> {
    crate::common::refuse("LaunchTemplateData.InstanceRequirements", data.read()?.instance_requirements.is_some())?;
    Ok(data)
}
