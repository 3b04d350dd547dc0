//! Whether the rows of elastic IPs agree with what interfaces show to the world and with the pool.

use crate::Cloud;
use crate::check::Report;
use crate::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_store::{
    ElasticIpFilter, ElasticIpRow, PublicAddressRow, elastic_ip_list, public_address_count, public_address_list,
};
use mallee_types::InterfaceId;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Rows read at once.
const PAGE: u32 = 1000;

/// I3: a public address is taken from the pool for as long as it is shown or belongs to an account, and an elastic IP is
/// shown by the interface that it is associated with and by no other.
pub(crate) async fn check_public(
    cloud: &Cloud,
    is_interface: impl Fn(&InterfaceId) -> bool,
    report: &mut Report,
) -> Result<(), ApiError> {
    let taken = public_address_count(cloud.store()).await.or_fail()?;
    let mut shown: BTreeMap<Ipv4Addr, PublicAddressRow> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = public_address_list(cloud.store(), None, after, PAGE).await.or_fail()?;
        let Some(last) = page.last() else { break };
        after = Some(last.address);
        shown.extend(page.into_iter().map(|row| (row.address, row)));
    }
    let mut elastic: Vec<ElasticIpRow> = Vec::new();
    loop {
        let filter = ElasticIpFilter { after: elastic.last().map(|row| &row.id), ..Default::default() };
        let page = elastic_ip_list(cloud.store(), filter, PAGE).await.or_fail()?;
        if page.is_empty() {
            break;
        }
        elastic.extend(page);
    }
    report.checked += shown.len() + elastic.len();
    for row in shown.values().filter(|row| !is_interface(&row.interface_id)) {
        report.add("I3", row.address, "belongs to an interface that is gone");
    }
    for row in &elastic {
        if let Some(problem) = problem(row, shown.get(&row.address)) {
            report.add("I3", &row.id, problem);
        }
    }
    let automatic = shown.values().filter(|row| row.allocation_id.is_none()).count();
    let used = (automatic + elastic.len()) as u64;
    if taken != used {
        report.add("I3", "public", format!("{taken} public addresses are taken, {used} are used"));
    }
    Ok(())
}

/// What does not agree between an elastic IP and the address as it is shown.
fn problem(row: &ElasticIpRow, shown: Option<&PublicAddressRow>) -> Option<String> {
    let led = match (&row.association_id, &row.interface_id) {
        (Some(_), Some(interface)) => Some(interface),
        (None, None) => None,
        (association, interface) => {
            return Some(format!("has the association {association:?} but the interface {interface:?}"));
        }
    };
    match (led, shown) {
        (None, None) => None,
        (Some(interface), Some(shown)) if *interface == shown.interface_id && row.private_ip == shown.private_ip => {
            None
        }
        (Some(interface), Some(shown)) if *interface == shown.interface_id => {
            Some(format!("leads to {:?} of {interface}, but is shown for {:?}", row.private_ip, shown.private_ip))
        }
        (Some(interface), None) => Some(format!("leads to {interface}, which does not show {}", row.address)),
        (led, Some(shown)) => {
            let led = led.map_or("nowhere", |id| id.as_str());
            Some(format!("leads {led}, but {} is shown by {}", row.address, shown.interface_id))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::{AddressId, AllocationId};

    #[test]
    fn what_is_shown_is_what_is_associated() {
        let free = ElasticIpRow {
            id: AllocationId::from_random(1),
            account_id: "000000000001".parse().unwrap(),
            address: Ipv4Addr::new(192, 0, 2, 1),
            association_id: None,
            interface_id: None,
            allocated_ms: 1,
            private_ip: None,
        };
        let (eni, other) = (InterfaceId::from_random(1), InterfaceId::from_random(2));
        let led = ElasticIpRow {
            association_id: Some(AddressId::from_random(1)),
            interface_id: Some(eni.clone()),
            ..free.clone()
        };
        let shown = |interface: &InterfaceId| PublicAddressRow {
            address: free.address,
            interface_id: interface.clone(),
            account_id: free.account_id.clone(),
            allocated_ms: 1,
            allocation_id: Some(free.id.clone()),
            association_id: None,
            private_ip: None,
        };
        assert_eq!((problem(&free, None), problem(&led, Some(&shown(&eni)))), (None, None));
        assert!(problem(&free, Some(&shown(&eni))).is_some());
        assert!(problem(&led, None).is_some() && problem(&led, Some(&shown(&other))).is_some());
        let elsewhere = ElasticIpRow { private_ip: Some(Ipv4Addr::new(10, 0, 0, 9)), ..led.clone() };
        assert!(problem(&elsewhere, Some(&shown(&eni))).is_some());
        assert!(problem(&ElasticIpRow { interface_id: None, ..led.clone() }, None).is_some());
    }
}
