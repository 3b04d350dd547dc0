//! Taggable resources that say how instances are launched.

use crate::fail::OrFail as _;
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{Store, fleet_list, launch_template_list, placement_group_list};
use mallee_types::{AccountId, FleetId, LaunchTemplateId, PlacementGroupId};
use std::str::FromStr;

/// The kind and id of such a resource.
pub(super) enum LaunchKind {
    Fleet(FleetId),
    Group(PlacementGroupId),
    Template(LaunchTemplateId),
}

fn id<T: FromStr>(text: &str, malformed: Code) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::malformed(malformed, &clip(text)))
}

impl LaunchKind {
    /// By the prefix of its id; `None`: it is of no such kind.
    pub(super) fn parse(prefix: &str, text: &str) -> Option<Result<Self, ApiError>> {
        Some(match prefix {
            "fleet" => id(text, Code::InvalidFleetIdMalformed).map(Self::Fleet),
            "lt" => id(text, Code::InvalidLaunchTemplateIdMalformed).map(Self::Template),
            "pg" => id(text, Code::InvalidPlacementGroupIdMalformed).map(Self::Group),
            _ => return None,
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Fleet(_) => crate::fleets::TAG_KIND,
            Self::Group(_) => crate::placement_groups::TAG_KIND,
            Self::Template(_) => crate::launch_templates::TAG_KIND,
        }
    }

    pub(super) async fn require(&self, store: &Store, account: &AccountId) -> Result<(), ApiError> {
        let (found, code, id) = match self {
            Self::Fleet(id) => {
                let ids = Some(std::slice::from_ref(id));
                let found = fleet_list(store, account, ids, None, 1).await.or_fail()?.len();
                (found, Code::InvalidFleetIdNotFound, id.as_str())
            }
            Self::Group(id) => {
                let ids = Some(std::slice::from_ref(id));
                let found = placement_group_list(store, account, ids, None, None, 1).await.or_fail()?.len();
                (found, Code::InvalidPlacementGroupUnknown, id.as_str())
            }
            Self::Template(id) => {
                let ids = Some(std::slice::from_ref(id));
                let found = launch_template_list(store, account, ids, None, None, 1).await.or_fail()?.len();
                (found, Code::InvalidLaunchTemplateIdNotFound, id.as_str())
            }
        };
        if found == 0 { Err(ApiError::not_found(code, &[id])) } else { Ok(()) }
    }
}
