//! Taggable resources of the virtual network, besides those an instance is launched into.

use crate::fail::OrFail as _;
use crate::prefix_lists;
use crate::routes::{GATEWAY_TAG_KIND, TABLE_TAG_KIND};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    PrefixListFilter, RouteTableFilter, Store, internet_gateway_list, prefix_list_list, route_table_list,
};
use mallee_types::{AccountId, InternetGatewayId, PrefixListId, RouteTableId};
use std::str::FromStr;

/// The kind and id of such a resource.
pub(super) enum NetworkKind {
    InternetGateway(InternetGatewayId),
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
            "igw" => id(text, Code::InvalidInternetGatewayIdMalformed).map(Self::InternetGateway),
            "rtb" => id(text, Code::InvalidRouteTableIdMalformed).map(Self::RouteTable),
            "pl" => id(text, Code::InvalidPrefixListIdMalformed).map(Self::PrefixList),
            _ => return None,
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::InternetGateway(_) => GATEWAY_TAG_KIND,
            Self::RouteTable(_) => TABLE_TAG_KIND,
            Self::PrefixList(_) => prefix_lists::TAG_KIND,
        }
    }

    pub(super) async fn require(&self, store: &Store, account: &AccountId) -> Result<(), ApiError> {
        let (found, code, id) = match self {
            Self::InternetGateway(id) => {
                let ids = Some(std::slice::from_ref(id));
                let found = internet_gateway_list(store, account, ids, None, None, 1).await.or_fail()?.len();
                (found, Code::InvalidInternetGatewayIdNotFound, id.as_str())
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
