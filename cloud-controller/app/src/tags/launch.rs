//! Taggable resources that say how instances are launched.

use crate::fail::OrFail as _;
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    CapacityFilter, HostFilter, Store, capacity_list, fleet_list, host_list, launch_template_list,
    placement_group_list, spot_request_list,
};
use mallee_types::{
    AccountId, CapacityReservationId, FleetId, HostId, LaunchTemplateId, PlacementGroupId, SpotRequestId,
};
use std::str::FromStr;

/// The kind and id of such a resource.
pub(super) enum LaunchKind {
    Capacity(CapacityReservationId),
    Host(HostId),
    Fleet(FleetId),
    Group(PlacementGroupId),
    Template(LaunchTemplateId),
    Spot(SpotRequestId),
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
            "cr" => id(text, Code::InvalidCapacityReservationIdMalformed).map(Self::Capacity),
            "h" => id(text, Code::InvalidHostIdMalformed).map(Self::Host),
            "pg" => id(text, Code::InvalidPlacementGroupIdMalformed).map(Self::Group),
            "sir" => id(text, Code::InvalidSpotInstanceRequestIdMalformed).map(Self::Spot),
            _ => return None,
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Capacity(_) => crate::capacity::TAG_KIND,
            Self::Host(_) => crate::capacity::HOST_TAG_KIND,
            Self::Fleet(_) => crate::fleets::TAG_KIND,
            Self::Group(_) => crate::placement_groups::TAG_KIND,
            Self::Template(_) => crate::launch_templates::TAG_KIND,
            Self::Spot(_) => crate::spot::TAG_KIND,
        }
    }

    pub(super) async fn require(&self, store: &Store, account: &AccountId) -> Result<(), ApiError> {
        let (found, code, id) = match self {
            Self::Capacity(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = CapacityFilter { account: Some(account), ids, ..Default::default() };
                let found = capacity_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidCapacityReservationIdNotFound, id.as_str())
            }
            Self::Host(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = HostFilter { account: Some(account), ids, ..Default::default() };
                let found = host_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidHostIdNotFound, id.as_str())
            }
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
            Self::Spot(id) => {
                let ids = Some(std::slice::from_ref(id));
                let found = spot_request_list(store, Some(account), ids, None, 1).await.or_fail()?.len();
                (found, Code::InvalidSpotInstanceRequestIdNotFound, id.as_str())
            }
        };
        if found == 0 { Err(ApiError::not_found(code, &[id])) } else { Ok(()) }
    }
}
