//! Taggable resources of the virtual network, besides those an instance is launched into.

use crate::acls::TAG_KIND as ACL_TAG_KIND;
use crate::dhcp;
use crate::fail::OrFail as _;
use crate::routes::{EGRESS_ONLY_TAG_KIND, GATEWAY_TAG_KIND, TABLE_TAG_KIND};
use crate::{flow_logs, insights, nat_gateways, peerings, prefix_lists, transit};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    EgressOnlyGatewayFilter, FlowLogFilter, InsightsAnalysisFilter, NatGatewayFilter, NetworkAclFilter,
    PrefixListFilter, RouteTableFilter, Store, TransitAttachmentFilter, TransitGatewayFilter, TransitTableFilter,
    VpcPeeringFilter, dhcp_options_list, egress_only_gateway_list, flow_log_list, insights_analysis_list,
    insights_path_fetch, internet_gateway_list, nat_gateway_list, network_acl_list, prefix_list_list, route_table_list,
    transit_attachment_list, transit_gateway_list, transit_table_list, vpc_peering_list,
};
use mallee_types::{
    AccountId, DhcpOptionsId, EgressOnlyGatewayId, FlowLogId, InsightsAnalysisId, InsightsPathId, InternetGatewayId,
    NatGatewayId, NetworkAclId, PrefixListId, RouteTableId, TransitAttachmentId, TransitGatewayId, TransitTableId,
    VpcPeeringId,
};
use std::str::FromStr;

/// The kind and id of such a resource.
pub(super) enum NetworkKind {
    DhcpOptions(DhcpOptionsId),
    EgressOnlyGateway(EgressOnlyGatewayId),
    InternetGateway(InternetGatewayId),
    NetworkAcl(NetworkAclId),
    RouteTable(RouteTableId),
    PrefixList(PrefixListId),
    VpcPeering(VpcPeeringId),
    FlowLog(FlowLogId),
    InsightsPath(InsightsPathId),
    InsightsAnalysis(InsightsAnalysisId),
    NatGateway(NatGatewayId),
    TransitGateway(TransitGatewayId),
    TransitAttachment(TransitAttachmentId),
    TransitTable(TransitTableId),
}

fn id<T: FromStr>(text: &str, malformed: Code) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::malformed(malformed, &clip(text)))
}

impl NetworkKind {
    /// By the prefix of its id; `None`: it is of no such kind.
    pub(super) fn parse(prefix: &str, text: &str) -> Option<Result<Self, ApiError>> {
        Some(match prefix {
            "dopt" => id(text, Code::InvalidDhcpOptionsIdMalformed).map(Self::DhcpOptions),
            "eigw" => id(text, Code::InvalidEgressOnlyInternetGatewayIdNotFound).map(Self::EgressOnlyGateway),
            "igw" => id(text, Code::InvalidInternetGatewayIdMalformed).map(Self::InternetGateway),
            "acl" => id(text, Code::InvalidNetworkAclIdMalformed).map(Self::NetworkAcl),
            "rtb" => id(text, Code::InvalidRouteTableIdMalformed).map(Self::RouteTable),
            "pl" => id(text, Code::InvalidPrefixListIdMalformed).map(Self::PrefixList),
            "pcx" => id(text, Code::InvalidVpcPeeringConnectionIdMalformed).map(Self::VpcPeering),
            "fl" => id(text, Code::InvalidFlowLogIdMalformed).map(Self::FlowLog),
            "nip" => id(text, Code::InvalidNetworkInsightsPathIdMalformed).map(Self::InsightsPath),
            "nia" => id(text, Code::InvalidNetworkInsightsAnalysisIdMalformed).map(Self::InsightsAnalysis),
            "nat" => id(text, Code::NatGatewayMalformed).map(Self::NatGateway),
            "tgw" => id(text, Code::InvalidTransitGatewayIdMalformed).map(Self::TransitGateway),
            "tgw-attach" => id(text, Code::InvalidTransitGatewayAttachmentIdMalformed).map(Self::TransitAttachment),
            "tgw-rtb" => id(text, Code::InvalidRouteTableIdMalformed).map(Self::TransitTable),
            _ => return None,
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::DhcpOptions(_) => dhcp::TAG_KIND,
            Self::EgressOnlyGateway(_) => EGRESS_ONLY_TAG_KIND,
            Self::InternetGateway(_) => GATEWAY_TAG_KIND,
            Self::NetworkAcl(_) => ACL_TAG_KIND,
            Self::RouteTable(_) => TABLE_TAG_KIND,
            Self::PrefixList(_) => prefix_lists::TAG_KIND,
            Self::VpcPeering(_) => peerings::TAG_KIND,
            Self::FlowLog(_) => flow_logs::TAG_KIND,
            Self::InsightsPath(_) => insights::PATH_TAG_KIND,
            Self::InsightsAnalysis(_) => insights::ANALYSIS_TAG_KIND,
            Self::NatGateway(_) => nat_gateways::TAG_KIND,
            Self::TransitGateway(_) => transit::TAG_KIND,
            Self::TransitAttachment(_) => transit::ATTACHMENT_TAG_KIND,
            Self::TransitTable(_) => transit::TABLE_TAG_KIND,
        }
    }

    pub(super) async fn require(&self, store: &Store, account: &AccountId) -> Result<(), ApiError> {
        let (found, code, id) = match self {
            Self::DhcpOptions(id) => {
                let ids = Some(std::slice::from_ref(id));
                let found = dhcp_options_list(store, account, ids, None, 1).await.or_fail()?.len();
                (found, Code::InvalidDhcpOptionIdNotFound, id.as_str())
            }
            Self::EgressOnlyGateway(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = EgressOnlyGatewayFilter { account: Some(account), ids, ..Default::default() };
                let found = egress_only_gateway_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidEgressOnlyInternetGatewayIdNotFound, id.as_str())
            }
            Self::InternetGateway(id) => {
                let ids = Some(std::slice::from_ref(id));
                let found = internet_gateway_list(store, account, ids, None, None, 1).await.or_fail()?.len();
                (found, Code::InvalidInternetGatewayIdNotFound, id.as_str())
            }
            Self::NetworkAcl(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = NetworkAclFilter { account: Some(account), ids, ..Default::default() };
                let found = network_acl_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidNetworkAclIdNotFound, id.as_str())
            }
            Self::RouteTable(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = RouteTableFilter { account: Some(account), ids, ..Default::default() };
                let found = route_table_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidRouteTableIdNotFound, id.as_str())
            }
            Self::PrefixList(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = PrefixListFilter { account: Some(account), ids, ..Default::default() };
                let found = prefix_list_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidPrefixListIdNotFound, id.as_str())
            }
            Self::VpcPeering(id) => {
                let filter = VpcPeeringFilter { ids: Some(std::slice::from_ref(id)), ..Default::default() };
                let rows = vpc_peering_list(store, filter, 1).await.or_fail()?;
                let found = rows.iter().filter(|row| row.is_of(account)).count();
                (found, Code::InvalidVpcPeeringConnectionIdNotFound, id.as_str())
            }
            Self::FlowLog(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = FlowLogFilter { account: Some(account), ids, ..Default::default() };
                let found = flow_log_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidFlowLogIdNotFound, id.as_str())
            }
            Self::InsightsPath(id) => {
                let found = insights_path_fetch(store, account, id).await.or_fail()?;
                (usize::from(found.is_some()), Code::InvalidNetworkInsightsPathIdNotFound, id.as_str())
            }
            Self::InsightsAnalysis(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = InsightsAnalysisFilter { account: Some(account), ids, ..Default::default() };
                let found = insights_analysis_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidNetworkInsightsAnalysisIdNotFound, id.as_str())
            }
            Self::NatGateway(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = NatGatewayFilter { account: Some(account), ids, ..Default::default() };
                let found = nat_gateway_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::NatGatewayNotFound, id.as_str())
            }
            Self::TransitGateway(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = TransitGatewayFilter { account: Some(account), ids, ..Default::default() };
                let found = transit_gateway_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidTransitGatewayIdNotFound, id.as_str())
            }
            Self::TransitAttachment(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = TransitAttachmentFilter { account: Some(account), ids, ..Default::default() };
                let found = transit_attachment_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidTransitGatewayAttachmentIdNotFound, id.as_str())
            }
            Self::TransitTable(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = TransitTableFilter { account: Some(account), ids, ..Default::default() };
                let found = transit_table_list(store, filter, 1).await.or_fail()?.len();
                (found, Code::InvalidRouteTableIdNotFound, id.as_str())
            }
        };
        if found == 0 { Err(ApiError::not_found(code, &[id])) } else { Ok(()) }
    }
}
