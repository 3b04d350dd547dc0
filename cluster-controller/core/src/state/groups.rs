//! Placement groups: where their members are, and the choice of nodes for more of them.

use super::{ClusterState, NodeIndex};
use mallee_proto::v1::{GroupStrategy, PlacementGroup};
use mallee_proto::{Kind, WireError};
use mallee_scheduler::{self as sched, decide, decide_many};
use mallee_types::InstanceId;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Most partitions of a group (EC2: 7).
const PARTITIONS_MAX: u32 = 7;

/// What an instance is a member of: the group's id and the partition (0: none).
pub(super) type Membership = (String, u32);

/// The instances of each group that take something of a node.
pub(super) type Members = HashMap<String, BTreeSet<InstanceId>>;

/// What was chosen for one instance.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) decision: sched::Decision,
    /// Of its placement group; 0: none.
    pub(super) partition: u32,
}

/// The membership an intent or a wish speaks of.
pub(super) fn membership(group: Option<&PlacementGroup>) -> Option<Membership> {
    group.map(|group| (group.id.clone(), group.partition))
}

/// How the scheduler calls a strategy.
pub(super) fn strategy_of(group: &PlacementGroup) -> Result<sched::GroupStrategy, WireError> {
    let (count, partition) = (group.partition_count, group.partition);
    let invalid = |text: String| Err(WireError::new(Kind::Invalid, text));
    match group.strategy() {
        GroupStrategy::Unspecified => invalid(format!("placement group {} has no strategy", group.id)),
        GroupStrategy::Cluster => Ok(sched::GroupStrategy::Cluster),
        GroupStrategy::Spread => Ok(sched::GroupStrategy::Spread),
        GroupStrategy::Partition if !(1..=PARTITIONS_MAX).contains(&count) || partition > count => {
            invalid(format!("placement group {} has {count} partitions, there is no partition {partition}", group.id))
        }
        GroupStrategy::Partition => Ok(sched::GroupStrategy::Partition),
    }
}

impl ClusterState {
    /// Notes that an instance takes something of a node as a member of a group, or no longer does.
    pub(super) fn note_member(&mut self, id: &InstanceId, before: Option<&Membership>, now: Option<&Membership>) {
        if let Some((group, _)) = before
            && let Some(members) = self.members.get_mut(group)
        {
            members.remove(id);
            if members.is_empty() {
                self.members.remove(group);
            }
        }
        if let Some((group, _)) = now {
            self.members.entry(group.clone()).or_default().insert(id.clone());
        }
    }

    /// Where members of the group are or are promised to be, without `except`, and in which partitions.
    pub(super) fn whereabouts(&self, group: &str, except: &[InstanceId]) -> Vec<(NodeIndex, u32)> {
        let except: HashSet<&InstanceId> = except.iter().collect();
        let held = self.members.get(group).into_iter().flatten().filter(|id| !except.contains(id));
        let held = held.filter_map(|id| self.member_at(id));
        held.chain(self.promised_members(group, &except)).collect()
    }

    /// Chooses nodes for instances, one choice each; fewer when there is no room for more, then the last says why.
    pub(super) fn choose(
        &mut self,
        wanted: &sched::Request,
        wish: Option<&PlacementGroup>,
        ids: &[InstanceId],
    ) -> Result<Vec<Choice>, WireError> {
        let Some(wish) = wish else {
            let decisions = decide_many(wanted, &self.fleet, ids.len());
            return Ok(decisions.into_iter().map(|decision| Choice { decision, partition: 0 }).collect());
        };
        let strategy = strategy_of(wish)?;
        let members = self.whereabouts(&wish.id, ids);
        let group = |partition: u32, members: &[(NodeIndex, u32)], fleet: &[sched::Node]| {
            let mut group = sched::Group::new(strategy, partition);
            members.iter().for_each(|(node, of)| group.add(fleet[*node].id.clone(), *of));
            Some(group)
        };
        let mut wanted = wanted.clone();
        if strategy == sched::GroupStrategy::Cluster {
            wanted.strategy = sched::Strategy::Pack;
        }
        if strategy != sched::GroupStrategy::Partition || wish.partition > 0 {
            wanted.group = group(wish.partition, &members, &self.fleet);
            let decisions = decide_many(&wanted, &self.fleet, ids.len());
            return Ok(decisions.into_iter().map(|decision| Choice { decision, partition: wish.partition }).collect());
        }
        Ok(self.choose_partitions(wanted, wish, ids.len(), members, group))
    }

    /// Instances without a wish of their own go where the fewest are; one after the other, each seeing those before it.
    fn choose_partitions(
        &mut self,
        mut wanted: sched::Request,
        wish: &PlacementGroup,
        count: usize,
        mut members: Vec<(NodeIndex, u32)>,
        group: impl Fn(u32, &[(NodeIndex, u32)], &[sched::Node]) -> Option<sched::Group>,
    ) -> Vec<Choice> {
        let (mut choices, mut taken) = (Vec::with_capacity(count), Vec::new());
        let mut sizes: BTreeMap<u32, usize> = (1..=wish.partition_count).map(|partition| (partition, 0)).collect();
        for (_, partition) in &members {
            *sizes.entry(*partition).or_default() += 1;
        }
        for _ in 0..count {
            let mut order: Vec<u32> = (1..=wish.partition_count).collect();
            order.sort_by_key(|partition| (sizes.get(partition).copied().unwrap_or_default(), *partition));
            let mut refusal = None;
            let mut chosen = None;
            for partition in order {
                wanted.group = group(partition, &members, &self.fleet);
                let decision = decide(&wanted, &self.fleet);
                if let Some(node) = decision.chosen {
                    chosen = Some((node, Choice { decision, partition }));
                    break;
                }
                refusal.get_or_insert(Choice { decision, partition });
            }
            let Some((node, choice)) = chosen else {
                choices.extend(refusal);
                break;
            };
            let fleet = &mut self.fleet[node];
            fleet.reserved = fleet.reserved.plus(wanted.resources);
            if let Some(slots) = &mut wanted.slots {
                slots.take(&fleet.id);
            }
            taken.push(node);
            members.push((node, choice.partition));
            *sizes.entry(choice.partition).or_default() += 1;
            choices.push(choice);
        }
        // The caller holds what it keeps of these.
        for node in taken {
            let fleet = &mut self.fleet[node];
            fleet.reserved = fleet.reserved.minus(wanted.resources);
        }
        choices
    }
}
