//! DescribeInstances: looking up what the store can, filtering the rest, grouping by reservation.

use super::filters::{Candidate, FILTERS};
use super::search::Lookup;
use super::shown::{Shown, ShownInstances};
use crate::Ec2Api;
use crate::common::{Chunk, ROWS, Reach, dry_run, fill, filters, page, rows as read_rows};
use mallee_app::OpContext;
use mallee_app::ids::{parse_ids, require_all};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{DescribeInstancesRequest, Instance, Reservation};
use mallee_store::{InstanceFilter, instance_versions};
use mallee_types::{AccountId, InstanceId, ReservationId};
use std::collections::HashMap;
use std::sync::Arc;

/// Instances with their reservation's id, as reservations in the order of first appearance.
pub(super) fn reservations(account: &AccountId, instances: Vec<(ReservationId, Instance)>) -> Vec<Reservation> {
    let mut out: Vec<Reservation> = Vec::new();
    let mut places: HashMap<ReservationId, usize> = HashMap::new();
    for (id, instance) in instances {
        let at = *places.entry(id).or_insert_with_key(|id| {
            out.push(Reservation {
                owner_id: Some(account.to_string()),
                reservation_id: Some(id.to_string()),
                ..Default::default()
            });
            out.len() - 1
        });
        out[at].instances.push(instance);
    }
    for reservation in &mut out {
        reservation.instances.sort_by_key(|instance| instance.ami_launch_index);
    }
    out
}

impl Ec2Api {
    /// Fails, naming them, if instances of these ids are not there.
    pub(super) async fn require_instances(&self, cx: &OpContext, ids: &[InstanceId]) -> Result<(), ApiError> {
        if ids.is_empty() {
            return Ok(());
        }
        let filter = InstanceFilter { account: Some(cx.account()), ids: Some(ids), ..Default::default() };
        require_found(ids, &read_rows(instance_versions(self.store(), filter, ROWS).await)?)
    }

    pub(crate) async fn describe_instances(
        &self,
        cx: &OpContext,
        r: DescribeInstancesRequest,
    ) -> Result<ShownInstances, ApiError> {
        let DescribeInstancesRequest {
            dry_run: dry,
            filters: wanted,
            include_managed_resources: _none_is_managed,
            instance_ids,
            max_results,
            next_token,
        } = r;
        let filters = &filters(&wanted, FILTERS)?;
        let page = page("DescribeInstances", max_results, next_token.as_deref(), 5..=1000, &instance_ids)?;
        let ids: Vec<InstanceId> = parse_ids(&instance_ids, Code::InvalidInstanceIdMalformed)?;
        dry_run(dry)?;
        // Without filters the rows that are shown are the rows that are there.
        let by_id_only = !ids.is_empty() && filters.is_empty();
        if !by_id_only {
            self.require_instances(cx, &ids).await?;
        }
        let lookup = &Lookup::new(ids, filters);
        let look = self.look();
        let mut reach = Reach::new(&page);
        let read = |after: Option<InstanceId>| {
            let rows = reach.next();
            async move {
                let step = lookup.step(self.store(), cx.account(), after, rows).await?;
                let there = instance_versions(self.store(), step.filter(cx.account()), step.rows()).await;
                let there = read_rows(there)?;
                if by_id_only {
                    require_found(lookup.ids.as_deref().unwrap_or_default(), &there)?;
                }
                let next = step.next(&there, |(id, _)| id.clone());
                let mut found = self.shown(cx.account(), &there).await?;
                if !filters.is_empty() {
                    found.retain(|shown| filters.accept(&Candidate::new(&shown.view, look)));
                }
                Ok(Chunk { found, next })
            }
        };
        let start = page.after()?;
        let key = |shown: &Arc<Shown>| shown.view.row.id.to_string();
        let (found, next_token) = fill(&page, start, read, key).await?;
        Ok(ShownInstances::new(cx.account(), found, next_token))
    }
}

/// Fails, naming them, if some of the ids were not found; what was found comes by id.
fn require_found(ids: &[InstanceId], found: &[(InstanceId, u64)]) -> Result<(), ApiError> {
    let is_there = |id: &InstanceId| found.binary_search_by(|(there, _)| there.cmp(id)).is_ok();
    require_all(ids, is_there, Code::InvalidInstanceIdNotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountId {
        "123456789012".parse().unwrap()
    }

    #[test]
    fn instances_are_grouped_by_reservation() {
        let shown = |n: i32| Instance { ami_launch_index: Some(n), ..Default::default() };
        let r = ReservationId::from_random;
        let got = reservations(&account(), vec![(r(1), shown(1)), (r(2), shown(0)), (r(1), shown(0))]);
        let indexes: Vec<Vec<_>> =
            got.iter().map(|r| r.instances.iter().filter_map(|i| i.ami_launch_index).collect()).collect();
        assert_eq!(indexes, [vec![0, 1], vec![0]]);
        assert_eq!(got[0].reservation_id.as_deref(), Some("r-00000000000000001"));
        assert_eq!(got[0].owner_id.as_deref(), Some("123456789012"));
    }
}
