//! Which pools a fleet launches from, and how many in each: pure, so that every strategy can be tried in a table.
//!
//! A pool is one type of instance in one place. Only spot instances can have a price here: where nothing has one, what
//! an instance takes of a machine stands in its place, and the lowest price is the least of a machine for a unit.

use mallee_store::{FleetCandidate, FleetOptions, FleetStrategy};
use mallee_types::limits::RUN_INSTANCES_COUNT_MAX;
use std::cmp::Reverse;

/// A pool as it is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pool<'a> {
    /// Its place in the fleet's list.
    pub at: usize,
    /// What it is.
    pub candidate: &'a FleetCandidate,
    /// Instances of it that would fit now; 0 where nobody knows.
    pub room: u64,
    /// Instances of it that the fleet has.
    pub have: u64,
    /// What an hour of one costs as a spot instance, in millionths of a dollar; 0 on demand, and where nothing was set.
    pub price: u64,
}

/// One launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    /// The pool's place in the fleet's list.
    pub at: usize,
    /// Fewer is failure.
    pub count_min: u32,
    /// More is not wanted.
    pub count: u32,
}

/// What a fleet has of its on-demand or spot capacity.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing<'a> {
    /// In thousandths of a unit.
    pub have: u64,
    /// What is wanted, in thousandths of a unit.
    pub target: u64,
    /// An instance it has, to which others must be alike.
    pub first: Option<&'a FleetCandidate>,
}

/// Instances of this weight that make up so much.
fn instances_for(units: u64, weight: u64) -> u32 {
    u32::try_from(units.div_ceil(weight.max(1))).unwrap_or(u32::MAX).min(RUN_INSTANCES_COUNT_MAX)
}

/// Orders by the strategy: the pool to launch from first comes first.
fn sort(pools: &mut [Pool<'_>], strategy: FleetStrategy, missing: u64) {
    let per_unit =
        |value: u64, pool: &Pool<'_>| u128::from(value) * 1_000_000 / u128::from(pool.candidate.weight.max(1));
    let price = |pool: &Pool<'_>| (per_unit(pool.price, pool), per_unit(pool.candidate.cost, pool));
    let priority = |pool: &Pool<'_>| pool.candidate.priority.unwrap_or(u64::MAX);
    match strategy {
        FleetStrategy::LowestPrice => pools.sort_by_key(|pool| (price(pool), pool.at)),
        FleetStrategy::Prioritized => pools.sort_by_key(|pool| (priority(pool), pool.at)),
        FleetStrategy::Diversified => pools.sort_by_key(|pool| pool.at),
        FleetStrategy::CapacityOptimized => pools.sort_by_key(|pool| (Reverse(pool.room), pool.at)),
        FleetStrategy::CapacityOptimizedPrioritized => {
            pools.sort_by_key(|pool| (Reverse(pool.room), priority(pool), pool.at));
        }
        FleetStrategy::PriceCapacityOptimized => pools.sort_by_key(|pool| {
            let enough = pool.room >= u64::from(instances_for(missing, pool.candidate.weight));
            (!enough, price(pool), Reverse(pool.room), pool.at)
        }),
    }
}

/// The next launches for what is missing, from pools that have not failed in this round. None: there is nothing to do,
/// or nowhere to do it.
pub(super) fn choose(options: &FleetOptions, mut pools: Vec<Pool<'_>>, standing: Standing<'_>) -> Vec<Order> {
    let missing = standing.target.saturating_sub(standing.have);
    if missing == 0 {
        return Vec::new();
    }
    sort(&mut pools, options.strategy, missing);
    let Some(alike) = standing.first.or_else(|| pools.first().map(|pool| pool.candidate)).cloned() else {
        return Vec::new();
    };
    if options.single_type {
        pools.retain(|pool| pool.candidate.instance_type == alike.instance_type);
    }
    if options.single_zone {
        pools.retain(|pool| pool.candidate.zone == alike.zone);
    }
    let spread = match options.strategy {
        FleetStrategy::Diversified => pools.len(),
        FleetStrategy::LowestPrice if options.pools > 1 => pools.len().min(options.pools as usize),
        _ => 1,
    };
    pools.truncate(spread);
    let mut counts = vec![0u32; pools.len()];
    if let [only] = pools.as_slice() {
        counts[0] = instances_for(missing, only.candidate.weight);
    } else {
        // One by one to the pool with the least.
        let mut left = missing;
        while left > 0 {
            let load = |at: usize| (pools[at].have + u64::from(counts[at])) * pools[at].candidate.weight;
            let open = (0..pools.len()).filter(|at| counts[*at] < RUN_INSTANCES_COUNT_MAX);
            let Some(least) = open.min_by_key(|at| (load(*at), *at)) else { break };
            counts[least] += 1;
            left = left.saturating_sub(pools[least].candidate.weight.max(1));
        }
    }
    // Where one pool has to give the minimum by itself, less of it is not launched at all.
    let alone = options.single_type && options.single_zone && pools.len() == 1;
    let least = if alone { options.least.saturating_sub(standing.have) } else { 0 };
    let order = |(pool, count): (&Pool<'_>, u32)| Order {
        at: pool.at,
        count_min: instances_for(least, pool.candidate.weight).clamp(1, count),
        count,
    };
    pools.iter().zip(counts).filter(|(_, count)| *count > 0).map(order).collect()
}

/// An instance that counts, as a choice of what to end sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spare {
    /// Which one.
    pub at: usize,
    /// In thousandths of a unit.
    pub weight: u64,
    /// What it takes for a unit.
    pub cost: u64,
    /// When it was launched.
    pub launched_ms: i64,
}

/// Instances that can go without the rest falling below the target: what takes most first, of these the newest.
pub(super) fn excess(mut spares: Vec<Spare>, have: u64, target: u64) -> Vec<usize> {
    spares.sort_by_key(|spare| {
        (Reverse(u128::from(spare.cost) * 1000 / u128::from(spare.weight.max(1))), Reverse(spare.launched_ms))
    });
    let mut left = have;
    let mut out = Vec::new();
    for spare in spares {
        if left.saturating_sub(spare.weight) >= target && left > target {
            left -= spare.weight;
            out.push(spare.at);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::LaunchTemplateId;

    fn candidate(instance_type: &str, zone: &str, weight: u64, cost: u64, priority: Option<u64>) -> FleetCandidate {
        FleetCandidate {
            config: 0,
            over: None,
            template: LaunchTemplateId::from_random(1),
            version: 1,
            launch: Vec::new(),
            subnet: None,
            instance_type: instance_type.into(),
            zone: Some(zone.into()),
            weight: weight * 1000,
            priority: priority.map(|p| p * 1000),
            cost,
        }
    }

    fn orders(options: &FleetOptions, list: &[FleetCandidate], rooms: &[u64], target: u64) -> Vec<(usize, u32)> {
        let pools =
            list.iter().enumerate().map(|(at, candidate)| Pool { at, candidate, room: rooms[at], have: 0, price: 0 });
        let standing = Standing { target: target * 1000, ..Default::default() };
        choose(options, pools.collect(), standing).iter().map(|order| (order.at, order.count)).collect()
    }

    fn with(strategy: FleetStrategy) -> FleetOptions {
        FleetOptions { strategy, ..Default::default() }
    }

    #[test]
    fn each_strategy_has_its_order() {
        let list = [
            candidate("big", "a", 4, 40, Some(3)),
            candidate("small", "a", 1, 8, Some(1)),
            candidate("small", "b", 1, 8, None),
        ];
        let rooms = [2, 0, 9];
        assert_eq!(orders(&with(FleetStrategy::LowestPrice), &list, &rooms, 4), [(1, 4)], "8 a unit, not 10");
        assert_eq!(orders(&with(FleetStrategy::Prioritized), &list, &rooms, 4), [(1, 4)]);
        assert_eq!(orders(&with(FleetStrategy::CapacityOptimized), &list, &rooms, 4), [(2, 4)]);
        assert_eq!(orders(&with(FleetStrategy::CapacityOptimizedPrioritized), &list, &rooms, 4), [(2, 4)]);
        assert_eq!(orders(&with(FleetStrategy::PriceCapacityOptimized), &list, &rooms, 4), [(2, 4)]);
        assert_eq!(orders(&with(FleetStrategy::Diversified), &list, &rooms, 6), [(0, 1), (1, 1), (2, 1)]);
        let two = FleetOptions { pools: 2, ..with(FleetStrategy::LowestPrice) };
        assert_eq!(orders(&two, &list, &rooms, 5), [(1, 3), (2, 2)]);
    }

    #[test]
    fn a_price_that_was_set_goes_before_what_is_taken() {
        let list = [candidate("small", "a", 1, 1, None), candidate("big", "a", 1, 9, None)];
        let pool = |at: usize, price| Pool { at, candidate: &list[at], room: 0, have: 0, price };
        let standing = Standing { target: 1000, ..Default::default() };
        let chosen = choose(&with(FleetStrategy::LowestPrice), vec![pool(0, 20), pool(1, 10)], standing);
        assert_eq!(chosen, [Order { at: 1, count_min: 1, count: 1 }]);
    }

    #[test]
    fn weights_round_up_and_nothing_missing_is_nothing_to_do() {
        let list = [candidate("big", "a", 4, 40, None)];
        assert_eq!(orders(&with(FleetStrategy::LowestPrice), &list, &[0], 9), [(0, 3)]);
        assert_eq!(orders(&with(FleetStrategy::LowestPrice), &list, &[0], 0), []);
        assert_eq!(orders(&with(FleetStrategy::LowestPrice), &[], &[], 3), []);
    }

    #[test]
    fn one_type_or_one_zone_is_kept_to() {
        let list = [candidate("x", "a", 1, 1, None), candidate("y", "a", 1, 2, None), candidate("x", "b", 1, 3, None)];
        let pools = |skip: usize| {
            let all = list.iter().enumerate().filter(move |(at, _)| *at != skip);
            all.map(|(at, candidate)| Pool { at, candidate, room: 0, have: 0, price: 0 }).collect::<Vec<_>>()
        };
        let standing = Standing { have: 1000, target: 3000, first: Some(&list[0]) };
        let one_type = FleetOptions { single_type: true, ..Default::default() };
        assert_eq!(choose(&one_type, pools(0), standing), [Order { at: 2, count_min: 1, count: 2 }]);
        let one_zone = FleetOptions { single_zone: true, ..Default::default() };
        assert_eq!(choose(&one_zone, pools(0), standing), [Order { at: 1, count_min: 1, count: 2 }]);
        let both = FleetOptions { single_type: true, single_zone: true, least: 3000, ..Default::default() };
        assert_eq!(choose(&both, pools(0), standing), []);
        let fresh = Standing { target: 4000, ..Default::default() };
        assert_eq!(choose(&both, pools(9), fresh), [Order { at: 0, count_min: 3, count: 4 }]);
    }

    #[test]
    fn what_goes_never_leaves_too_little() {
        let spare = |at, weight, cost, launched_ms| Spare { at, weight, cost, launched_ms };
        let three = vec![spare(0, 3000, 30, 1), spare(1, 3000, 30, 2), spare(2, 3000, 30, 3)];
        assert!(excess(three.clone(), 9000, 7000).is_empty(), "6 is less than 7");
        assert_eq!(excess(three.clone(), 9000, 6000), [2], "the newest");
        assert_eq!(excess(three, 9000, 0), [2, 1, 0]);
        assert_eq!(excess(vec![spare(0, 1000, 1, 9), spare(1, 1000, 5, 1)], 2000, 1000), [1], "what takes most");
    }
}
