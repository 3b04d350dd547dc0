//! I3 of peering connections: the VPCs of one that is active are there, are those accounts', and do not overlap.

use super::overlap;
use crate::Cloud;
use crate::fail::OrFail as _;
use ipnet::Ipv4Net;
use mallee_awswire::ApiError;
use mallee_store::{
    PAGE_ROWS_MAX, VpcPeeringFilter, VpcPeeringRow, VpcPeeringState, vpc_cidr_list, vpc_list_all, vpc_peering_list,
};
use mallee_types::{AccountId, VpcId, VpcPeeringId};
use std::collections::BTreeMap;

/// How many active connections there are, and what is wrong: about which, and why.
pub(crate) async fn differences(cloud: &Cloud) -> Result<(usize, Vec<(String, String)>), ApiError> {
    let vpcs = vpc_list_all(cloud.store()).await.or_fail()?;
    let mut vpcs: Vpcs = vpcs.into_iter().map(|vpc| (vpc.id, (vpc.account_id, vec![vpc.cidr]))).collect();
    for row in vpc_cidr_list(cloud.store(), None).await.or_fail()? {
        if let Some((_, blocks)) = vpcs.get_mut(&row.vpc_id) {
            blocks.push(row.cidr);
        }
    }
    let (mut count, mut found) = (0, Vec::new());
    let mut after: Option<VpcPeeringId> = None;
    loop {
        let filter =
            VpcPeeringFilter { state: Some(VpcPeeringState::Active), after: after.as_ref(), ..Default::default() };
        let rows = vpc_peering_list(cloud.store(), filter, PAGE_ROWS_MAX).await.or_fail()?;
        let Some(last) = rows.last() else { return Ok((count, found)) };
        count += rows.len();
        after = Some(last.id.clone());
        found.extend(rows.iter().filter_map(|row| Some((row.id.to_string(), of_row(row, &vpcs)?))));
    }
}

/// Whose each VPC is, and its blocks.
type Vpcs = BTreeMap<VpcId, (AccountId, Vec<Ipv4Net>)>;

fn of_row(row: &VpcPeeringRow, vpcs: &Vpcs) -> Option<String> {
    let sides = [(&row.requester_vpc, &row.requester_account), (&row.accepter_vpc, &row.accepter_account)];
    for (id, account) in sides {
        match vpcs.get(id) {
            None => return Some(format!("is active, and {id} is gone")),
            Some((owner, _)) if owner != account => return Some(format!("is not of the account of {id}")),
            Some(_) => {}
        }
    }
    let (one, other) = (&row.requester_vpc, &row.accepter_vpc);
    let overlap = overlap(&vpcs.get(one)?.1, &vpcs.get(other)?.1);
    overlap.then(|| format!("is active between {one} and {other}, which overlap"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::Generation;

    #[test]
    fn active_connections_of_vpcs_that_are_gone_strange_or_overlap_are_found() {
        let vpc = |n: u128| VpcId::from_random(n);
        let account: AccountId = "123456789012".parse().unwrap();
        let row = |accepter: VpcId| VpcPeeringRow {
            id: VpcPeeringId::from_random(1),
            requester_account: account.clone(),
            requester_vpc: vpc(1),
            accepter_account: account.clone(),
            accepter_vpc: accepter,
            state: VpcPeeringState::Active,
            decided_by: None,
            requester_dns: false,
            accepter_dns: false,
            generation: Generation(1),
            created_ms: 0,
            expires_ms: 0,
            requester_until_ms: None,
            accepter_until_ms: None,
        };
        let blocks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Ipv4Net>>();
        let vpcs: Vpcs = [(1, &["10.0.0.0/16"][..]), (2, &["10.1.0.0/16"]), (3, &["10.2.0.0/16", "10.0.128.0/17"])]
            .into_iter()
            .map(|(n, texts)| (vpc(n), (account.clone(), blocks(texts))))
            .collect();
        assert_eq!(of_row(&row(vpc(2)), &vpcs), None);
        assert!(of_row(&row(vpc(3)), &vpcs).unwrap().contains("overlap"), "by a further block");
        assert!(of_row(&row(vpc(4)), &vpcs).unwrap().contains("is gone"));
        let strange = VpcPeeringRow { accepter_account: "000000000001".parse().unwrap(), ..row(vpc(2)) };
        assert!(of_row(&strange, &vpcs).unwrap().contains("not of the account"));
    }
}
