//! Which instance has which instance profile.

use crate::Ec2Api;
use crate::common::{Chunk, ROWS, fill, filters, next_key, page, rows, time, values_of};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::ids::parse_id;
use mallee_app::instances::profile::ProfileRef;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    AssociateIamInstanceProfileRequest, AssociateIamInstanceProfileResult,
    DescribeIamInstanceProfileAssociationsRequest, DescribeIamInstanceProfileAssociationsResult,
    DisassociateIamInstanceProfileRequest, DisassociateIamInstanceProfileResult, IamInstanceProfile,
    IamInstanceProfileAssociation, IamInstanceProfileSpecification, ReplaceIamInstanceProfileAssociationRequest,
    ReplaceIamInstanceProfileAssociationResult,
};
use mallee_store::{ProfileAssociationRow, profile_association_list};
use mallee_types::{InstanceId, ProfileAssociationId};

/// What DescribeIamInstanceProfileAssociations filters by.
const FILTERS: [&str; 2] = ["instance-id", "state"];

impl Filterable for IamInstanceProfileAssociation {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "instance-id" => values_of(&self.instance_id),
            "state" => values_of(&self.state),
            _ => Vec::new(),
        }
    }
}

/// A profile as a request names it.
pub(crate) fn reference(given: IamInstanceProfileSpecification) -> ProfileRef {
    let IamInstanceProfileSpecification { arn, name } = given;
    ProfileRef { name, arn }
}

/// An instance's profile as the instance shows it.
pub(crate) fn shown(row: &ProfileAssociationRow) -> IamInstanceProfile {
    IamInstanceProfile { arn: Some(row.profile_arn.clone()), id: Some(row.profile_id.clone()) }
}

fn association(row: &ProfileAssociationRow, state: &str) -> IamInstanceProfileAssociation {
    IamInstanceProfileAssociation {
        association_id: Some(row.id.to_string()),
        iam_instance_profile: Some(shown(row)),
        instance_id: Some(row.instance_id.to_string()),
        state: Some(state.to_owned()),
        timestamp: time(row.created_ms),
    }
}

fn required(profile: Option<IamInstanceProfileSpecification>) -> Result<ProfileRef, ApiError> {
    profile.map(reference).ok_or_else(|| ApiError::missing_parameter("IamInstanceProfile"))
}

impl Ec2Api {
    pub(crate) async fn associate_iam_instance_profile(
        &self,
        cx: &OpContext,
        r: AssociateIamInstanceProfileRequest,
    ) -> Result<AssociateIamInstanceProfileResult, ApiError> {
        let AssociateIamInstanceProfileRequest { iam_instance_profile, instance_id } = r;
        let id = instance_id.ok_or_else(|| ApiError::missing_parameter("InstanceId"))?;
        let id: InstanceId = parse_id(&id, Code::InvalidInstanceIdMalformed)?;
        let row = self.cloud.associate_profile(cx, &id, &required(iam_instance_profile)?).await?;
        let made = Some(association(&row, "associating"));
        Ok(AssociateIamInstanceProfileResult { iam_instance_profile_association: made })
    }

    pub(crate) async fn disassociate_iam_instance_profile(
        &self,
        cx: &OpContext,
        r: DisassociateIamInstanceProfileRequest,
    ) -> Result<DisassociateIamInstanceProfileResult, ApiError> {
        let DisassociateIamInstanceProfileRequest { association_id } = r;
        let id = association_id.ok_or_else(|| ApiError::missing_parameter("AssociationId"))?;
        let row = self.cloud.disassociate_profile(cx, &id).await?;
        let gone = Some(association(&row, "disassociating"));
        Ok(DisassociateIamInstanceProfileResult { iam_instance_profile_association: gone })
    }

    pub(crate) async fn replace_iam_instance_profile_association(
        &self,
        cx: &OpContext,
        r: ReplaceIamInstanceProfileAssociationRequest,
    ) -> Result<ReplaceIamInstanceProfileAssociationResult, ApiError> {
        let ReplaceIamInstanceProfileAssociationRequest { association_id, iam_instance_profile } = r;
        let id = association_id.ok_or_else(|| ApiError::missing_parameter("AssociationId"))?;
        let row = self.cloud.replace_profile(cx, &id, &required(iam_instance_profile)?).await?;
        let made = Some(association(&row, "associating"));
        Ok(ReplaceIamInstanceProfileAssociationResult { iam_instance_profile_association: made })
    }

    pub(crate) async fn describe_iam_instance_profile_associations(
        &self,
        cx: &OpContext,
        r: DescribeIamInstanceProfileAssociationsRequest,
    ) -> Result<DescribeIamInstanceProfileAssociationsResult, ApiError> {
        let DescribeIamInstanceProfileAssociationsRequest { association_ids, filters: wanted, max_results, next_token } =
            r;
        let filters = &filters(&wanted, &FILTERS)?;
        let bad = |id: &str| {
            Code::NoSuchAssociation
                .message(format!("An invalid association-id of '{}' was given", mallee_awswire::texts::clip(id)))
        };
        if association_ids.len() > mallee_app::ids::IDS_MAX {
            return Err(Code::InvalidParameterValue.message("At most 1000 ids can be given in one request."));
        }
        let ids = association_ids.iter().map(|id| id.parse().map_err(|_| bad(id)));
        let ids = &ids.collect::<Result<Vec<ProfileAssociationId>, _>>()?;
        let token = next_token.as_deref();
        let page = page("DescribeIamInstanceProfileAssociations", max_results, token, 1..=1000, &association_ids)?;
        let read = |after: Option<ProfileAssociationId>| async move {
            let wanted = (!ids.is_empty()).then_some(ids.as_slice());
            let list = profile_association_list(self.store(), cx.account(), wanted, None, after.as_ref(), ROWS);
            let read = rows(list.await)?;
            let next = next_key(&read, |row| row.id.clone());
            if let Some(missing) = ids.iter().find(|id| !read.iter().any(|row| row.id == **id)) {
                return Err(bad(missing.as_str()));
            }
            let found = read.iter().map(|row| association(row, "associated")).filter(|a| filters.accept(a)).collect();
            Ok(Chunk { found, next })
        };
        let key = |shown: &IamInstanceProfileAssociation| shown.association_id.clone().unwrap_or_default();
        let (found, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeIamInstanceProfileAssociationsResult { iam_instance_profile_associations: found, next_token })
    }
}
