//! Placement groups: where an instance may be, given where the other members of its group are.

use mallee_types::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// How a group places its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupStrategy {
    /// As near to each other as there is room.
    Cluster,
    /// Never two on one node.
    Spread,
    /// No node serves two partitions.
    Partition,
}

/// The group an instance is to be in, and where its other members are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// How it places.
    pub strategy: GroupStrategy,
    /// The instance's partition, from 1; 0 unless the strategy is `Partition`.
    pub partition: u32,
    /// Partitions of the members on each node (0 where there are none).
    members: BTreeMap<NodeId, BTreeSet<u32>>,
}

impl Group {
    /// A group without members.
    #[must_use]
    pub const fn new(strategy: GroupStrategy, partition: u32) -> Self {
        Self { strategy, partition, members: BTreeMap::new() }
    }

    /// Another member is on this node, in this partition.
    pub fn add(&mut self, node: NodeId, partition: u32) {
        self.members.entry(node).or_default().insert(partition);
    }

    /// Why the node cannot take this member; `planned`: one of the same batch goes there already.
    pub(crate) fn refusal(&self, node: &NodeId, planned: bool) -> Option<String> {
        let there = self.members.get(node);
        match self.strategy {
            GroupStrategy::Cluster => None,
            GroupStrategy::Spread if planned || there.is_some() => {
                Some("holds an instance of the same spread placement group".to_owned())
            }
            GroupStrategy::Spread => None,
            GroupStrategy::Partition => {
                let other = there?.iter().find(|partition| **partition != self.partition)?;
                Some(format!(
                    "serves partition {other} of the placement group, the instance is for partition {}",
                    self.partition
                ))
            }
        }
    }

    /// Whether the node is not where the rest of a cluster is.
    pub(crate) fn is_far(&self, node: &NodeId, planned: bool) -> bool {
        self.strategy == GroupStrategy::Cluster && !planned && !self.members.contains_key(node)
    }
}
