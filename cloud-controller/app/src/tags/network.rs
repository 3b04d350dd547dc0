//! Taggable resources of the virtual network, besides those an instance is launched into.

use crate::acls::TAG_KIND as ACL_TAG_KIND;
use crate::dhcp;
use crate::fail::OrFail as _;
use crate::prefix_lists;
use crate::routes::{GATEWAY_TAG_KIND, TABLE_TAG_KIND};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    NetworkAclFilter, PrefixListFilter, RouteTableFilter, Store, dhcp_options_list, internet_gateway_list,
    network_acl_list, prefix_list_list, route_table_list,
};
use mallee_types::{AccountId, DhcpOptionsId, InternetGatewayId, NetworkAclId, PrefixListId, RouteTableId};
use std::str::FromStr;

/// The kind and id of such a resource.
pub(super) enum NetworkKind {
    DhcpOptions(DhcpOptionsId),
    InternetGateway(InternetGatewayId),
    NetworkAcl(NetworkAclId),
    RouteTable(RouteTableId),
    PrefixList(PrefixListId),
}

fn id<T: FromStr>(text: &str, malformed: Code) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::malformed(malformed, &clip(text)))
}

impl NetworkKind {
    /// By the prefix of its id; `None`: it is of no such kind.
    pub(super) fn parse(prefix: &str, text: &str) -> Option<Result<Self, ApiError>> {
        Some(match prefix {
            "dopt" => id(text, Code::InvalidDhcpOptionsIdMalformed).map(Self::DhcpOptions),
            "igw" => id(text, Code::InvalidInternetGatewayIdMalformed).map(Self::InternetGateway),
            "acl" => id(text, Code::InvalidNetworkAclIdMalformed).map(Self::NetworkAcl),
            "rtb" => id(text, Code::InvalidRouteTableIdMalformed).map(Self::RouteTable),
            "pl" => id(text, Code::InvalidPrefixListIdMalformed).map(Self::PrefixList),
            _ => return None,
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::DhcpOptions(_) => dhcp::TAG_KIND,
            Self::InternetGateway(_) => GATEWAY_TAG_KIND,
            Self::NetworkAcl(_) => ACL_TAG_KIND,
            Self::RouteTable(_) => TABLE_TAG_KIND,
            Self::PrefixList(_) => prefix_lists::TAG_KIND,
        }
    }

    pub(super) async fn require(&self, store: &Store, account: &AccountId) -> Result<(), ApiError> {
        let (found, code, id) = match self {
            Self::DhcpOptions(id) => {
                let ids = Some(std::slice::from_ref(id));
                let found = dhcp_options_list(store, account, ids, None, 1).await.or_fail()?.len();
                (found, Code::InvalidDhcpOptionIdNotFound, id.as_str())
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
        };
        if found == 0 { Err(ApiError::not_found(code, &[id])) } else { Ok(()) }
    }
}
